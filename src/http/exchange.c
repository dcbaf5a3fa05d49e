/* exchange.c: one request, from its head to its end.
 *
 * Its task makes the response (static files, then the handler, then what content.c asks), sends it, and gives
 * the connection back. Handler and sending each run behind a sl__catch, so that the end is reached whatever
 * fails: a failure before the head was sent becomes a response, one after it cuts the connection off, since
 * the client must not take what it has for the whole. */
#include "http/server.h"

#include <stdlib.h>

#define SEGMENTS_AT_ONCE 16
#define SMALL 4096
#define STATUS_GONE 499 /* in the log: the client went before anything was answered */

/* ---- Making the response ---- */

static sl_response *serve_static(sl__exchange *x)
{
    sl_http_server *server = x->request.server;
    bool reads = x->request.method_id == SL__GET || x->request.method_id == SL__HEAD;
    return server->statics && reads ? sl__static_serve(server->statics, &x->request) : NULL;
}

static sl_response *answer(sl__exchange *x)
{
    sl_request *req = &x->request;
    if (req->path[0] == '*') {
        sl_response *res = sl_respond(req, 204);
        return sl_set_header(res, "Allow", "GET, HEAD, POST, PUT, DELETE, PATCH, OPTIONS");
    }
    sl_response *res = serve_static(x);
    return res ? res : req->server->options.handler(req);
}

static void *make_response(void *data)
{
    sl__exchange *x = data;
    /* What the handler started is done, or has failed, before the response goes out. */
    SL_SCOPE(scope)
    {
        x->response = answer(x);
    }
    if (!x->response)
        sl_fail(SL_EFAILED, "the handler gave no response");
    sl__content_prepare(&x->request, x->response);
    return NULL;
}

/* ---- Failures ---- */

typedef struct failure {
    sl__exchange *exchange;
    const sl_error *error;
} failure;

static void *make_failure(void *data)
{
    failure *f = data;
    sl_request *req = &f->exchange->request;
    SL_SCOPE(scope)
    {
        f->exchange->response = req->server->options.failure(req, f->error);
    }
    return NULL;
}

static void log_failure(const sl_request *req, const sl_error *error)
{
    char *text = sl_error_text(error);
    sl_error_log("%s %s (request %s) failed: %s", req->method, req->target, sl_request_id(req), text);
    free(text);
}

/* In production a client learns no more of a failure of ours than that there was one. */
static sl_response *plain_failure(sl_request *req, const sl_error *error)
{
    int status = sl_error_status(error);
    const char *reason = sl_status_reason(status);
    if (status >= 500)
        log_failure(req, error);
    if (status >= 500 && req->server->options.debug) {
        char *text = sl_error_text(error);
        sl_response *res = sl_text(req, status, "%d %s\n\n%s\n", status, reason, text);
        free(text);
        return res;
    }
    const char *told = sl_error_told(error);
    return sl_text(req, status, told ? "%d %s: %s\n" : "%d %s\n", status, reason, told);
}

static void respond_to_failure(sl__exchange *x, const sl_error *error)
{
    x->response = NULL;
    if (x->request.server->options.failure) {
        failure f = {x, error};
        sl_error *again = sl__catch(make_failure, &f, NULL);
        if (again) {
            x->response = NULL;
            log_failure(&x->request, again);
            sl_error_unref(again);
        }
    }
    if (!x->response)
        x->response = plain_failure(&x->request, error);
}

/* ---- Sending it ---- */

static bool has_no_content(const sl_response *res)
{
    return res->body == SL__BODY_NONE || res->status == 204 || res->status == 304;
}

static void decide_keep_alive(sl__exchange *x)
{
    const sl_http_server *server = x->request.server;
    const sl__connection *c = x->connection;
    x->keep_alive = x->keep_alive && !server->draining && c->requests < server->options.limits.requests &&
                    sl__body_drainable(x);
}

static bool in_memory(const sl_response *res)
{
    for (size_t i = 0; i < res->segment_count; i++) {
        if (!res->segments[i].data)
            return false;
    }
    return true;
}

/* The last of a response, in one piece. With more requests in the input it can wait for their responses. */
static void send_last(sl__exchange *x, uv_buf_t *piece)
{
    sl__connection *c = x->connection;
    bool more_to_come = x->keep_alive && x->body.ended && c->input.size && !c->server->draining;
    if ((!more_to_come && !sl__holding(c)) || !sl__hold(c, piece))
        sl__send(c, piece, 1);
    else if (!more_to_come)
        sl__held_send(c);
}

/* The head and a small body as one piece: copying it costs less than a call that gathers. */
static void send_small(sl__exchange *x, const sl_response *res, sl__head *head)
{
    head->room = (size_t)head->length;
    uv_buf_t buffer = sl__head_format(x, res, head);
    for (size_t i = 0; i < res->segment_count; i++) {
        memcpy(buffer.base + buffer.len, res->segments[i].data, (size_t)res->segments[i].size);
        buffer.len += (size_t)res->segments[i].size;
    }
    x->status = res->status;
    x->head_sent = true;
    x->body_sent = head->length;
    send_last(x, &buffer);
}

static void send_large(sl__exchange *x, const sl_response *res, const sl__head *head)
{
    sl__connection *c = x->connection;
    uv_buf_t buffers[SEGMENTS_AT_ONCE];
    unsigned count = 0;
    buffers[count++] = sl__head_format(x, res, head);
    x->status = res->status;
    x->head_sent = true;
    size_t segments = head->no_length || x->request.head_only ? 0 : res->segment_count;
    x->body_sent = segments ? head->length : 0;
    if (segments == 0) {
        send_last(x, buffers);
        return;
    }
    for (size_t i = 0; i < segments; i++) {
        const sl__piece *segment = &res->segments[i];
        if (segment->data) {
            buffers[count++] = (uv_buf_t){(char *)segment->data, (size_t)segment->size};
            if (count < SEGMENTS_AT_ONCE)
                continue;
        }
        if (count > 0)
            sl__send(c, buffers, count);
        count = 0;
        if (!segment->data)
            sl__send_file(c, segment->fd, segment->offset, segment->size);
    }
    if (count > 0)
        sl__send(c, buffers, count);
}

static void send_known(sl__exchange *x, const sl_response *res)
{
    sl__head head = {.no_length = has_no_content(res)};
    if (!head.no_length) {
        for (size_t i = 0; i < res->segment_count; i++)
            head.length += res->segments[i].size;
    }
    if (head.length > 0 && head.length <= SMALL && !x->request.head_only && in_memory(res))
        send_small(x, res, &head);
    else
        send_large(x, res, &head);
}

static void *send_response(void *data)
{
    sl__exchange *x = data;
    sl_response *res = x->response;
    decide_keep_alive(x);
    if (res->body == SL__BODY_UPGRADE)
        sl__websocket_run(x, res);
    else if (res->body == SL__BODY_STREAM && !has_no_content(res))
        sl__stream_run(x, res);
    else
        send_known(x, res);
    return NULL;
}

/* A failure while sending: whether there can be a response yet. */
static bool cut_off(sl__exchange *x, sl_error *error)
{
    sl__connection *c = x->connection;
    if (!c->broken && !x->head_sent)
        return false;
    if (!c->broken)
        log_failure(&x->request, error);
    x->keep_alive = false;
    sl__connection_abort(c);
    return true;
}

/* ---- The task ---- */

/* However slowly it drips, nobody waits for long for what nobody wants. */
static void *drain_body(void *data)
{
    sl__exchange *x = data;
    SL_SCOPE(scope, .deadline_ms = x->request.server->options.limits.body_ms)
    {
        x->keep_alive = sl__body_drain(x);
    }
    return NULL;
}

static void drain(sl__exchange *x)
{
    if (x->keep_alive && !x->body.ended) {
        sl_error *error = sl__catch(drain_body, x, NULL);
        if (error)
            x->keep_alive = false;
        sl_error_unref(error);
    }
    if (!x->body.ended)
        x->connection->linger = true;
}

static void tell_log(sl__exchange *x, uint64_t duration_ns)
{
    sl_request *req = &x->request;
    sl__access access = {.method = req->method,
                         .target = req->target,
                         .referer = sl_header(req, "Referer"),
                         .agent = sl_header(req, "User-Agent"),
                         .minor = req->minor,
                         .status = x->status,
                         .size = x->body_sent,
                         .duration_ns = duration_ns,
                         .id = req->id};
    sl__connection_peer(x->connection, access.peer);
    sl__access_log_put(req->server->access_log, &access);
}

static void end(sl__exchange *x)
{
    sl_http_server *server = x->request.server;
    sl__connection *c = x->connection;
    uint64_t duration_ns = (x->sent_ns ? x->sent_ns : sl_monotonic_ns()) - x->request.started_ns;
    if (!x->status)
        x->status = STATUS_GONE;
    sl__count_request(server, x->request.method_id, x->status, duration_ns);
    if (server->access_log)
        tell_log(x, duration_ns);
    drain(x);
    sl__body_done(x);
    sl__request_release(&x->request);
    x->connection = NULL;
    sl__connection_done(c, x->keep_alive);
}

static void *exchange_main(void *data)
{
    sl__exchange *x = data;
    sl__connection *c = x->connection;
    sl_error *error = sl__catch(make_response, x, NULL);
    sl__exchange_count(x, false);
    if (error && !c->broken)
        respond_to_failure(x, error);
    sl_error_unref(error);
    if (x->response && !c->broken) {
        error = sl__catch(send_response, x, NULL);
        if (error && !cut_off(x, error)) {
            respond_to_failure(x, error);
            sl_error *again = sl__catch(send_response, x, NULL);
            if (again)
                sl__connection_abort(c);
            sl_error_unref(again);
        }
        sl_error_unref(error);
    }
    end(x);
    return NULL;
}

/* ---- The beginning ---- */

static const char *const methods[] = {"GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"};

/* Copies the head into the arena, with all that points into it. */
static void copy_head(sl_request *req, const sl__parser *parser)
{
    char *copy = sl_arena_alloc(req->arena, parser->head_size);
    memcpy(copy, parser->base, parser->head_size);
#define MOVED(pointer) (copy + ((pointer)-parser->base))
    size_t count = parser->fields.count;
    sl__field *items = sl_arena_alloc(req->arena, count * sizeof(*items));
    for (size_t i = 0; i < count; i++) {
        const sl__field *field = &parser->fields.items[i];
        items[i] = (sl__field){MOVED(field->name), MOVED(field->value), field->name_size, field->value_size};
    }
    req->fields = (sl__fields){items, count, count};
    req->method = parser->method_id < SL__METHOD_OTHER ? methods[parser->method_id] : MOVED(parser->method);
    req->target = MOVED(parser->target);
    req->query = parser->query.size ? MOVED(parser->query.data) : "";
    if (parser->host.size == 0)
        req->host = "";
    else if (parser->form == SL__TARGET_ABSOLUTE)
        req->host = sl_arena_strndup(req->arena, parser->host.data, parser->host.size);
    else
        req->host = MOVED(parser->host.data);
    if (parser->upgrade)
        ((sl__exchange *)req)->upgrade = MOVED(parser->upgrade);
#undef MOVED
}

static void without_stack(void *data)
{
    sl__exchange *x = data;
    sl__connection *c = x->connection;
    SL_IN_CONTEXT(x->request.server->context);
    sl__exchange_count(x, false);
    sl__body_done(x);
    sl__connection_unserved(c);
}

void sl__exchange_begin(sl__connection *c, const sl__parser *parser, sl_arena *arena, char *path)
{
    sl_http_server *server = c->server;
    sl__exchange *x = sl_arena_zalloc(arena, sizeof(*x));
    sl_request *req = &x->request;
    req->arena = arena;
    req->server = server;
    req->connection = c;
    req->id = sl__server_next_id(server);
    req->started_ns = sl_monotonic_ns();
    req->method_id = parser->method_id;
    req->path = path;
    req->minor = parser->minor;
    req->head_only = parser->method_id == SL__HEAD;
    req->body = &x->body;
    copy_head(req, parser);
    sl__body_init(&x->body, parser);
    x->connection = c;
    x->keep_alive = parser->keep_alive;
    c->exchange = x;
    sl__exchange_count(x, true);
    x->task = sl__task_start(SL_HERE, "request", exchange_main, x, sl__loop_scope(server->loop));
    x->task->arena = arena;
    x->task->without_stack = without_stack;
    x->task->verb = req->method;
    x->task->object = path;
}
