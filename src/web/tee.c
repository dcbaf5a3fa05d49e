/* tee.c: keeps what a request logs, for the page of its failure, and passes it on.
 *
 * A context that captured a tee may outlive its request (a timer, a link on something that the application
 * shares), so tees are not freed with requests: those that no request uses wait in a queue, and the one
 * unused for longest is taken anew once the queue is long. What such a straggler logs still reaches the log.
 * Only development has tees. */

#include "web/state.h"

#include <stdlib.h>

#define TEE_LINES_MAX 65536 /* bytes */
#define TEES_WAITING 64

struct sl__tee {
    sl_logger logger;
    sl_logger *to;
    sl_app *app;
    const sl_request *request; /* only to compare */
    uint64_t request_id;
    sl_buffer lines;
    size_t dropped;
    sl__timeline *timeline; /* what the request asked of the database */
    sl__tee *next;
};

static void write_record(sl_logger *logger, sl_level level, const sl_site *site, const char *message,
                         size_t size)
{
    sl__tee *tee = (sl__tee *)logger;
    if (tee->lines.size + size < TEE_LINES_MAX)
        sl_log_format(&tee->lines, logger->name, level, message, size);
    else
        tee->dropped++;
    if (level >= tee->to->level)
        tee->to->write(tee->to, level, site, message, size);
}

static sl__tee *take_waiting(sl_app *app)
{
    sl__tee *tee = app->tees;
    if (!tee || app->tee_count < TEES_WAITING)
        return sl_calloc(1, sizeof(*tee));
    app->tees = tee->next;
    if (!app->tees)
        app->last_tee = NULL;
    app->tee_count--;
    sl_buffer_done(&tee->lines);
    sl__timeline_unref(tee->timeline);
    memset(tee, 0, sizeof(*tee));
    return tee;
}

static void let_wait(void *data)
{
    sl__tee *tee = data;
    sl_app *app = tee->app;
    tee->next = NULL;
    if (app->last_tee)
        app->last_tee->next = tee;
    else
        app->tees = tee;
    app->last_tee = tee;
    app->tee_count++;
}

sl__tee *sl__tee_begin(sl_app *app, sl_request *req)
{
    sl__tee *tee = take_waiting(app);
    tee->app = app;
    tee->to = sl_log_current();
    tee->logger = (sl_logger){.name = tee->to->name, .level = SL_DEBUG, .write = write_record};
    tee->request = req;
    tee->request_id = req->id;
    tee->timeline = sl__timeline_new();
    sl_defer(let_wait, tee);
    return tee;
}

sl_logger *sl__tee_logger(sl__tee *tee)
{
    return &tee->logger;
}

static bool is_for(const sl__tee *tee, const sl_request *req)
{
    return tee && tee->request == req && tee->request_id == req->id;
}

sl__timeline *sl__tee_timeline(const sl__tee *tee, const sl_request *req)
{
    return is_for(tee, req) ? tee->timeline : NULL;
}

void sl__tee_lines(const sl__tee *tee, const sl_request *req, sl_buffer *out)
{
    if (!is_for(tee, req))
        return;
    sl_buffer_put(out, tee->lines.data, tee->lines.size);
    if (tee->dropped)
        sl_buffer_printf(out, "(and %zu more, which the log has)\n", tee->dropped);
}

void sl__tees_free(sl_app *app)
{
    for (sl__tee *tee = app->tees, *next; tee; tee = next) {
        next = tee->next;
        sl_buffer_done(&tee->lines);
        sl__timeline_unref(tee->timeline);
        free(tee);
    }
    app->tees = app->last_tee = NULL;
    app->tee_count = 0;
}
