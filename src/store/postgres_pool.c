/* postgres_pool.c: who gets a line, and what becomes of it afterwards.
 *
 * The line that came back last goes out first, so that few stay warm; tasks wait in order. A waiter is given
 * a line, or, when one was lost, the permit to make another. A line comes back to the pool only when the
 * server has answered everything and says that no transaction is open: until then it is being cleaned, and
 * nobody waits for that.
 *
 * The server may have fewer connections for us than the option says. What we have is the limit then, and from
 * time to time another is tried. */
#include "store/postgres_inside.h"

#include <errno.h>
#include <silver/io.h>
#include <stdlib.h>
#include <sys/socket.h>

#define DEFAULT_CONNECTIONS 8
#define PATIENCE_MS 20        /* with statements that still run when their transaction ends */
#define AGAIN_MS 500          /* then they are cancelled, and again */
#define CLEANING_MAX_MS 30000 /* then the line is given up */
#define ROOM_MS 3000          /* after which a server that was full may have another connection, */
#define NONE_MS 100           /* where we have none at all */

/* ---- Before the loop polls ----------------------------------------------------------------------------- */

static void flush_all(sl__before_poll *hook)
{
    sl__postgres *pool = (sl__postgres *)hook;
    sl__loop_not_before_poll(pool->loop, hook);
    pool->hooked = false;
    sl__pg_singles_send(pool);
    while (pool->unsaid) {
        sl__pg_line *line = pool->unsaid;
        pool->unsaid = line->next_unsaid;
        line->unsaid = false;
        if (!line->outside)
            sl__pg_flush(line);
    }
}

void sl__pg_hook(sl__postgres *pool)
{
    if (pool->hooked)
        return;
    pool->hooked = true;
    sl__loop_before_poll(pool->loop, &pool->before_poll);
}

void sl__pg_unsaid(sl__pg_line *line)
{
    if (line->unsaid)
        return;
    line->unsaid = true;
    line->next_unsaid = line->pool->unsaid;
    line->pool->unsaid = line;
    sl__pg_hook(line->pool);
}

/* ---- Waiters ------------------------------------------------------------------------------------------- */

void sl__pg_queue_add(sl__pg_queue *queue, sl__pg_waiter *waiter, bool first)
{
    sl__pg_waiter **at = &queue->first;
    while (*at && !first)
        at = &(*at)->next;
    waiter->next = *at;
    *at = waiter;
    waiter->queued = true;
}

void sl__pg_queue_remove(sl__pg_queue *queue, sl__pg_waiter *waiter)
{
    if (!waiter->queued)
        return;
    sl__pg_waiter **at = &queue->first;
    while (*at != waiter)
        at = &(*at)->next;
    *at = waiter->next;
    waiter->queued = false;
}

sl__pg_waiter *sl__pg_queue_head(sl__pg_queue *queue)
{
    while (queue->first && !queue->first->wait.deferred) /* cancelled, and its task has not run since */
        sl__pg_queue_remove(queue, queue->first);
    return queue->first;
}

sl__pg_waiter *sl__pg_queue_pop(sl__pg_queue *queue)
{
    sl__pg_waiter *waiter = sl__pg_queue_head(queue);
    if (waiter)
        sl__pg_queue_remove(queue, waiter);
    return waiter;
}

/* ---- Getting a line ------------------------------------------------------------------------------------ */

/* Whether the server has not closed it while it was idle, which the loop may not have seen yet. */
static bool is_alive(sl__pg_line *line)
{
    char byte;
    for (;;) {
        ssize_t got = recv(line->pq->socket(line->conn), &byte, 1, MSG_PEEK | MSG_DONTWAIT);
        if (got <= 0)
            return got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR);
        if (!sl__pg_take_in(line))
            return false;
        line->pq->isBusy(line->conn); /* a notice, or a farewell: then the end comes next */
    }
}

static sl__pg_line *pop_idle(sl__postgres *pool)
{
    while (pool->idle) {
        sl__pg_line *line = pool->idle;
        if (is_alive(line)) {
            pool->idle = line->next_idle;
            return line;
        }
        sl_debug("store %s: the server closed an idle connection", pool->name);
        sl__pg_lose(line, "the server closed it while it was idle");
    }
    return NULL;
}

/* The shared line, if nothing runs on it and no other can be had. */
static sl__pg_line *pop_shared(sl__postgres *pool)
{
    sl__pg_line *line = pool->shared;
    if (!line || line->first || line->cancel || pool->first_single || pool->count < pool->most ||
        sl__pg_queue_head(&pool->waiters))
        return NULL;
    pool->shared = NULL;
    return line;
}

void sl__pg_vacancy(sl__postgres *pool)
{
    sl__pg_waiter *waiter;
    while (pool->store && pool->count < pool->most && (waiter = sl__pg_queue_pop(&pool->waiters))) {
        pool->count++;
        sl__pg_wake(&waiter->wait);
    }
}

/* One more is tried. */
static void on_room(sl__pg_alarm *alarm)
{
    sl__postgres *pool = (sl__postgres *)((char *)alarm - offsetof(sl__postgres, room));
    if (pool->most < pool->limit && pool->most <= pool->count) /* else some were lost since: there is room */
        pool->most = pool->count < pool->limit ? pool->count + 1 : pool->limit;
    sl__pg_vacancy(pool);
}

/* Once the last of those that came together was refused. */
static void tell_limit(sl__postgres *pool)
{
    if (pool->told == pool->most || !pool->most || pool->making || !pool->root)
        return;
    pool->told = pool->most;
    SL_IN_ROOT(pool->root);
    sl_warning(
        "store %s: the server has no more connections for it than %u, and the option connections is %u: "
        "it goes on with what it has",
        pool->name, pool->most, pool->limit);
}

/* The server takes no more. False: we have none, and that for too long. */
static bool is_content(sl__postgres *pool)
{
    uint64_t now = sl_loop_now(pool->loop);
    pool->most = pool->count;
    if (!pool->count && !pool->none_since)
        pool->none_since = now;
    if (!pool->count && now - pool->none_since >= pool->connect_ms)
        return false;
    sl__pg_alarm_set(pool, &pool->room, now + (pool->count ? ROOM_MS : NONE_MS), on_room);
    tell_limit(pool);
    sl__pg_offer_shared(pool);
    return true;
}

/* What one was refused all are. */
static sl_error *no_room(sl__postgres *pool, const sl_site *site, sl_error *cause)
{
    sl_error *error =
        sl__pg_error(pool, site, SL_EDATABASE,
                     "the server had no connection for it in %llu ms, as others have all that it takes: %s",
                     (unsigned long long)pool->connect_ms, cause->message);
    sl_error_hint(sl_error_cause(error, cause),
                  "raise the server's limit (max_connections; CONNECTION LIMIT of the role or the database), "
                  "or lower the option connections (here %u) of those that use it",
                  pool->limit);
    pool->most = pool->limit;
    pool->none_since = 0;
    for (sl__pg_waiter *waiter; (waiter = sl__pg_queue_pop(&pool->waiters));) {
        waiter->error = sl_error_ref(error);
        sl__pg_wake(&waiter->wait);
    }
    return error;
}

/* Makes a line; a place for it is counted already. Success without one: it must be waited for. */
static sl_error *make_line(sl__postgres *pool, uint64_t deadline, const sl_site *site, sl__pg_line **ret_line)
{
    bool full = false;
    pool->making++;
    sl_error *error = sl__pg_connect(pool, deadline, site, ret_line, &full);
    pool->making--;
    if (!error) {
        pool->none_since = 0;
        if (pool->most < pool->limit) { /* perhaps it has more now */
            pool->most++;
            sl__pg_vacancy(pool);
        }
        return NULL;
    }
    pool->count--;
    if (full && pool->store) {
        if (!is_content(pool))
            return no_room(pool, site, error);
        sl_error_unref(error);
        return NULL;
    }
    sl__pg_vacancy(pool);
    return error;
}

static sl_error *no_line(const sl__postgres *pool, const sl_site *site, sl_error *cause)
{
    if (cause->code != SL_EBUDGET)
        return cause; /* the task was cancelled */
    sl_error *error =
        pool->none_since
            ? sl__pg_error(pool, site, SL_EBUDGET,
                           "the server had no connection for it in time, as others have all that it takes")
            : sl__pg_error(pool, site, SL_EBUDGET, "all %u connections%s were in use for too long",
                           pool->most, pool->most < pool->limit ? " that the server has for it" : "");
    return sl_error_hint(sl_error_cause(error, cause),
                         "end transactions sooner, or raise the option connections (here %u) and "
                         "max_connections of the server",
                         pool->limit);
}

/* `first`: before the others. Success without a line: it must be waited for again. */
static sl_error *wait_for_line(sl__postgres *pool, uint64_t deadline, const sl_site *site, bool first,
                               sl__pg_line **ret_line)
{
    sl__pg_waiter waiter = {0};
    sl__pg_queue_add(&pool->waiters, &waiter, first);
    sl_error *error = sl__pg_wait_for(pool, &waiter.wait, deadline, site);
    sl__pg_queue_remove(&pool->waiters, &waiter);
    if (error)
        return no_line(pool, site, error);
    if (waiter.error)
        return waiter.error;
    if (!pool->store)
        return sl__pg_error(pool, site, SL_ECLOSED, "it was closed");
    if (!waiter.line)
        return make_line(pool, deadline, site, ret_line);
    *ret_line = waiter.line;
    return NULL;
}

sl_error *sl__pg_acquire(sl__postgres *pool, uint64_t deadline, const sl_site *site, sl__pg_line **ret_line)
{
    sl_error *error = NULL;
    sl__pg_line *line = NULL;
    for (bool first = false; !(line = pop_idle(pool)) && !(line = pop_shared(pool)); first = true) {
        if (pool->count < pool->most) {
            pool->count++;
            error = make_line(pool, deadline, site, &line);
        } else {
            error = wait_for_line(pool, deadline, site, first, &line);
        }
        if (error)
            return error;
        if (line && line->conn)
            break;
        if (line)
            sl__pg_line_free(line); /* lost again since it was given to us */
    }
    line->state = SL__PG_TAKEN;
    sl__pg_alarm_stop(&line->patience);
    sl__pg_cache_trim(line);
    *ret_line = line;
    return NULL;
}

/* ---- Giving it back ------------------------------------------------------------------------------------ */

void sl__pg_release(sl__pg_line *line)
{
    sl__postgres *pool = line->pool;
    sl__pg_alarm_stop(&line->patience);
    line->user = NULL;
    line->cancelled = line->tidying = false;
    if (!line->conn) {
        sl__pg_line_free(line);
        return;
    }
    sl__pg_waiter *waiter = sl__pg_queue_pop(&pool->waiters);
    if (waiter) {
        line->state = SL__PG_TAKEN;
        waiter->line = line;
        sl__pg_wake(&waiter->wait);
        return;
    }
    line->state = SL__PG_IDLE;
    line->next_idle = pool->idle;
    pool->idle = line;
    sl__pg_watch_on(line);
}

static bool has_statements(const sl__pg_line *line)
{
    for (const sl__pg_command *command = line->first; command; command = command->next)
        if (command->statement)
            return true;
    return false;
}

static void on_impatience(sl__pg_alarm *alarm)
{
    sl__pg_line *line = (sl__pg_line *)((char *)alarm - offsetof(sl__pg_line, patience));
    uint64_t now = sl_loop_now(line->pool->loop);
    if (now - line->cleaning_since > CLEANING_MAX_MS) {
        sl__pg_lose(line, "the server does not answer");
        return;
    }
    if (has_statements(line))
        sl__pg_cancel_start(line);
    sl__pg_alarm_set(line->pool, alarm, now + AGAIN_MS, on_impatience);
}

/* What strangers can leave in a session, and the next transaction must not meet: the user that they have
 * become, settings, locks, tables. (DISCARD ALL would drop what is prepared too.) */
static void tidy_up(sl__pg_line *line)
{
    static const char *const commands[] = {
        "RESET SESSION AUTHORIZATION",     "RESET ROLE", "RESET ALL", SL__PG_SETTING,
        "SELECT pg_advisory_unlock_all()", "UNLISTEN *", "CLOSE ALL", "DISCARD TEMP",
    };
    line->lent = false;
    line->tidying = true;
    for (size_t i = 0; i < sl_array_size(commands); i++)
        if (!sl__pg_say(line, commands[i], /* silent= */ true))
            return;
}

void sl__pg_clean_on(sl__pg_line *line)
{
    if (line->first || line->cancel)
        return; /* ROLLBACK must not be hit by a cancellation that is still on its way */
    if (line->rollback) {
        line->rollback = false;
        sl__pg_say(line, "ROLLBACK", /* silent= */ true);
    } else if (line->lent) {
        tidy_up(line);
    } else if (line->pq->transactionStatus(line->conn) != PQTRANS_IDLE) {
        sl__pg_lose(line, "its transaction could not be ended");
    } else {
        sl__pg_release(line);
    }
}

void sl__pg_clean(sl__pg_line *line, bool rollback)
{
    line->user = NULL;
    if (!line->conn) {
        sl__pg_line_free(line);
        return;
    }
    uint64_t now = sl_loop_now(line->pool->loop);
    line->state = SL__PG_CLEANING;
    line->rollback = rollback;
    line->cleaning_since = now;
    if (line->first || line->cancel || rollback || line->lent)
        sl__pg_alarm_set(line->pool, &line->patience, now + PATIENCE_MS, on_impatience);
    sl__pg_clean_on(line);
}

/* ---- Opening and closing ------------------------------------------------------------------------------- */

static void on_clock_closed(uv_handle_t *handle)
{
    free(handle);
}

static unsigned limit_of(const sl_store *store)
{
    uint64_t limit = store->options ? store->options->connections : DEFAULT_CONNECTIONS;
    return limit ? (unsigned)limit : 1;
}

/* Connections that are too many now stay; no more are made. */
void sl__pg_configured(sl_store *store)
{
    sl__postgres *pool = store->data;
    unsigned limit = limit_of(store);
    if (pool->most == pool->limit || pool->most > limit) /* else the server has fewer for us */
        pool->most = limit;
    pool->limit = limit;
    sl__pg_vacancy(pool);
}

static sl__postgres *pool_new(sl_store *store)
{
    sl__postgres *pool = sl_calloc(1, sizeof *pool);
    pool->store = store;
    pool->name = sl_strdup_heap(store->name);
    pool->root = sl_root_current(); /* whose the store is: it lives longer, until sl__pg_close */
    pool->loop = sl_loop_current();
    pool->before_poll.run = flush_all;
    pool->users = 1;
    pool->limit = pool->most = limit_of(store);
    pool->next_ring = UINT64_MAX;
    pool->clock = sl_malloc(sizeof *pool->clock);
    uv_timer_init(sl_loop_uv(pool->loop), pool->clock);
    uv_unref((uv_handle_t *)pool->clock);
    pool->clock->data = pool;
    return pool;
}

static void free_pool(sl__postgres *pool)
{
    while (pool->free_commands) {
        sl__pg_command *command = pool->free_commands;
        pool->free_commands = command->next;
        free(command);
    }
    while (pool->free_cursors) {
        sl__pg_cursor *cursor = pool->free_cursors;
        pool->free_cursors = cursor->next;
        free(cursor->cells);
        free(cursor);
    }
    while (pool->free_transactions) {
        sl__pg_transaction *transaction = pool->free_transactions;
        pool->free_transactions = transaction->next;
        free(transaction);
    }
    free(pool->parameters.types);
    free(pool->parameters.values);
    free(pool->parameters.lengths);
    free(pool->parameters.formats);
    free(pool->parameters.scratch);
    free(pool->parameters.texts);
    free(pool->name);
    free(pool);
}

void sl__pg_release_pool(sl__postgres *pool)
{
    if (--pool->users == 0)
        free_pool(pool);
}

sl_error *sl__pg_open(sl_store *store)
{
    sl_error *error = NULL;
    sl__pg_line *line = NULL;
    sl__postgres *pool = pool_new(store);
    store->data = pool;
    pool->users++;
    if (sl__libpq_load(&pool->pq, &error) == 0)
        error = sl__pg_acquire(pool, /* deadline= */ 0, SL_HERE, &line);
    if (!error)
        error = sl__pg_drain(line, /* deadline= */ 0, SL_HERE);
    if (line)
        sl__pg_clean(line, /* rollback= */ false);
    if (error && store->data == pool)
        sl__pg_close(store);
    sl__pg_release_pool(pool);
    return error;
}

void sl__pg_close(sl_store *store)
{
    sl__postgres *pool = store->data;
    if (!pool)
        return;
    store->data = NULL;
    pool->store = NULL;
    pool->root = NULL;
    for (sl__pg_line *next, *line = pool->lines; line; line = next) {
        next = line->next;
        if (line->state == SL__PG_CONNECTING)
            sl__pg_wake(&line->ready); /* whoever makes it ends it */
        else
            sl__pg_lose(line, "the store was closed");
    }
    for (sl__pg_waiter *waiter; (waiter = sl__pg_queue_pop(&pool->waiters));)
        sl__pg_wake(&waiter->wait);
    for (sl__pg_waiter *waiter; (waiter = sl__pg_queue_pop(&pool->sharers));)
        sl__pg_wake(&waiter->wait);
    sl__pg_cancels_close(pool);
    while (pool->alarms)
        sl__pg_alarm_stop(pool->alarms);
    if (pool->hooked)
        sl__loop_not_before_poll(pool->loop, &pool->before_poll);
    pool->hooked = false;
    uv_close((uv_handle_t *)pool->clock, on_clock_closed);
    pool->clock = NULL;
    sl__pg_release_pool(pool);
}
