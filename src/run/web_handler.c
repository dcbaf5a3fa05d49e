/* web_handler.c: one request, as a long call of a worker.
 *
 * The task of the request begins the call, waits for what the worker answers, and makes a response of it.
 * When that is sent, the task stays until the worker is done with the request: that may be later (ASGI
 * applications work on after their answer), and a worker that is told to leave a request that it is about to
 * end would be disturbed for nothing.
 *
 * A client that goes is no reason to break anything off. A WSGI application is not told while it makes its
 * answer: it has begun something, and ends it. In the middle of a stream it is told, as ASGI applications
 * always are, and has the time of a request to come to its end. Only a request whose time is up is ended by
 * force. */
#include "run/web.h"

#include "core/task.h"
#include "http/message.h"
#include "subsystem/hello.h"
#include "web/app.h"

#include <stdlib.h>
#include <unistd.h>

#define FOR_EVER (UINT64_C(1) << 40) /* ms: the talk has times of its own */
#define RETRY_S "1"

struct web *web_of(sl_request *req)
{
    return sl_app_get(sl_request_app(req));
}

/* ---- What a request is ------------------------------------------------------------------------------- */

static const char *lower(sl_request *req, const char *name)
{
    size_t size = strlen(name);
    char *copy = sl_alloc(size + 1);
    for (size_t i = 0; i <= size; i++)
        copy[i] = (char)(name[i] >= 'A' && name[i] <= 'Z' ? name[i] | 0x20 : name[i]);
    return copy;
}

/* What passes for another where names become variables ("X_User" for "X-User", "Proxy" for HTTP_PROXY), as in
 * WSGI and in frameworks, is nobody's honest header. */
static bool is_false(const char *name)
{
    return strchr(name, '_') || strcmp(name, "proxy") == 0;
}

static void describe_headers(sl_request *req, struct web_request *out)
{
    size_t count = sl_header_count(req);
    out->headers.items = sl_alloc(count * sizeof(*out->headers.items) + 1);
    for (size_t i = 0; i < count; i++) {
        const char *name, *value = sl_header_at(req, i, &name);
        name = lower(req, name);
        if (is_false(name))
            continue;
        if (strcmp(name, "host") == 0)
            value = sl_host(req); /* an absolute target says more than the field (RFC 9112, 3.2.2) */
        out->headers.items[out->headers.count++] = (struct web_header){name, sl_view_of(value)};
    }
}

/* The host as the client named it: "[::1]:8080" is "[::1]" and "8080". */
static void describe_host(sl_request *req, struct web_request *out)
{
    const char *host = sl_host(req), *colon = strrchr(host, ':'), *bracket = strrchr(host, ']');
    bool port = colon && (!bracket || colon > bracket);
    size_t size = port ? (size_t)(colon - host) : strlen(host);
    out->server_name = size ? sl_printf("%.*s", (int)size, host) : "localhost";
    out->server_port = port && colon[1] ? colon + 1 : strcmp(sl_scheme(req), "https") == 0 ? "443" : "80";
}

static void describe(struct relay *relay, struct web_request *out)
{
    sl_request *req = relay->req;
    out->method = sl_method(req);
    out->target = sl_target(req);
    out->path = sl_view_of(sl_path(req));
    out->query = sl_query(req);
    out->scheme = sl_scheme(req);
    out->peer = sl_peer(req);
    out->id = sl_request_id(req);
    out->minor = sl_http_minor(req);
    out->deadline_ms = (int64_t)relay->web->manifest->workers.timeout_ms;
    describe_host(req, out);
    describe_headers(req, out);
}

/* ---- The talk ---------------------------------------------------------------------------------------- */

static void relay_done(void *data);

static void buffer_done(sl_buffer *buffer)
{
    sl_buffer_done(buffer);
}

struct step {
    struct relay *relay;
    void *(*run)(struct relay *relay, void *data);
    void *data;
};

static void unwatch(sl_request **req)
{
    sl__request_watch(*req, NULL);
}

static void *run_step(void *data)
{
    struct step *step = data;
    sl_request *watched SL_CLEANUP(unwatch) = step->relay->req;
    void *result = NULL;
    SL_SCOPE(scope)
    {
        sl__request_watch(watched, scope);
        result = step->run(step->relay, step->data);
        unwatch(&watched);
    }
    return result;
}

void *relay_while_client(struct relay *relay, void *(*run)(struct relay *relay, void *data), void *data)
{
    void *result = NULL;
    sl_error *error = sl__catch(run_step, &(struct step){relay, run, data}, &result);
    if (error && error->code == SL_ECANCELED && sl__request_gone(relay->req)) {
        sl_error_unref(error);
        sl_fail(SL_EPIPE, "the client is gone");
    }
    if (error)
        sl_fail_error(error);
    return result;
}

struct order {
    sl__packet head;
    sl_view data;
};

/* Until a worker is free. */
static void *begin(struct relay *relay, void *data)
{
    const struct order *order = data;
    SL_SCOPE(scope, .deadline_ms = relay->web->manifest->workers.timeout_ms)
    {
        relay->talk = sl__talk_begin(WEB_SERVICE, WEB_SERVE, &order->head,
                                     &(struct iovec){(void *)order->data.data, order->data.size}, 1,
                                     SL_CALL(.timeout_ms = FOR_EVER));
    }
    return NULL;
}

void relay_begin(struct relay *relay, struct web_request *request)
{
    sl_buffer data SL_CLEANUP(buffer_done) = {0};
    sl_files files = {0};
    sl_error *error = NULL;
    describe(relay, request);
    if (sl_codec_flat.encode(web_request_record(), request, &data, &files, &error) < 0)
        sl_fail_error(error);
    struct order order = {.head = {.codec = SL__CODEC_FLAT, .file_count = files.count},
                          .data = {data.data, data.size}};
    for (unsigned i = 0; i < files.count && i < SL__PACKET_FILES; i++)
        order.head.files[i] = files.numbers[i];
    relay_while_client(relay, begin, &order);
    sl_defer(relay_done, relay); /* after the talk's own, so that it comes before that */
}

SL_NORETURN static void time_out(struct relay *relay)
{
    uint64_t ms = relay->web->manifest->workers.timeout_ms;
    int pid = sl__talk_pid(relay->talk);
    relay->failed = true;
    sl__talk_cancel(relay->talk);
    sl_fail_error(sl_error_hint(
        sl_error_new(
            SL_HTTP(504),
            "the application gave no answer within %llu ms; the worker (process %d) is to leave the request",
            (unsigned long long)ms, pid),
        "where it was stands in the log; [workers] timeout_ms in app.ini is how long it may take"));
}

bool relay_next(struct relay *relay, bool bounded, sl__packet *ret_packet)
{
    bool more, silent = false;
    if (bounded)
        more =
            sl__talk_next_within(relay->talk, relay->web->manifest->workers.timeout_ms, ret_packet, &silent);
    else
        more = sl__talk_next(relay->talk, ret_packet);
    if (silent)
        time_out(relay);
    relay->over = relay->over || !more;
    return more;
}

void *relay_decode(const sl__packet *packet, const sl_record *record)
{
    sl_files files = {.count = packet->file_count};
    for (unsigned i = 0; i < packet->file_count; i++)
        files.numbers[i] = packet->files[i];
    void *value;
    sl_error *error = NULL;
    sl_view data = {packet->data, packet->size};
    if (sl_codec_flat.decode(record, data, /* borrow= */ true, &files, sl_task_arena(), &value, &error) < 0)
        sl_fail_error(error);
    return value;
}

void relay_wrong(const struct relay *relay, const char *what)
{
    sl_fail(SL_EPROTO, "the worker (process %d) %s", sl__talk_pid(relay->talk), what);
}

/* ---- The end ----------------------------------------------------------------------------------------- */

/* The rest of what the worker says is for nobody. */
static void *drop_rest(void *data)
{
    struct relay *relay = data;
    sl__packet packet;
    while (relay_next(relay, /* bounded= */ !relay->web->asgi, &packet))
        for (unsigned i = 0; i < packet.file_count; i++)
            close(packet.files[i]);
    return NULL;
}

/* An application need not know that nobody wants its body; one that never ends it is told. */
static void *drop_body(void *data)
{
    struct relay *relay = data;
    sl__packet packet;
    SL_SCOPE(scope, .deadline_ms = relay->web->manifest->workers.timeout_ms)
    {
        while (relay_next(relay, /* bounded= */ false, &packet) && packet.kind != SL__END)
            continue;
    }
    relay->last = true;
    return NULL;
}

static void log_late(const struct relay *relay, const sl_error *error)
{
    if (error->code == SL_ECANCELED || error->code == SL_ECLOSED)
        return;
    char *text = sl_error_text(error);
    sl_error_log("%s %s (request %s) failed after its answer: %s", sl_method(relay->req),
                 sl_target(relay->req), sl_request_id(relay->req), text);
    free(text);
}

static void give_up_unwanted(struct relay *relay)
{
    sl_error *error = sl__catch(drop_body, relay, NULL);
    if (error && error->code != SL_ETIMEDOUT)
        log_late(relay, error);
    sl_error_unref(error);
}

static void relay_done(void *data)
{
    struct relay *relay = data;
    if (relay->talk && !relay->over && relay->unwanted)
        give_up_unwanted(relay);
    if (relay->talk && !relay->over && relay->last && !relay->failed) {
        sl_error *error = sl__catch(drop_rest, relay, NULL);
        if (error)
            log_late(relay, error);
        sl_error_unref(error);
    } else if (relay->talk && !relay->over) {
        sl__talk_leave(relay->talk, relay->web->manifest->workers.timeout_ms);
    }
    spool_done(&relay->spool);
}

/* ---- Failures ---------------------------------------------------------------------------------------- */

/* What a failure of ours or of the worker's is called towards the client. */
static int status_code(int code)
{
    switch (code) {
    case SL_ECRASHED:
        return SL_HTTP(502);
    case SL_ETIMEDOUT: /* before a worker had it */
    case SL_EBUSY:
    case SL_ECLOSED:
    case SL_ENOSERVICE:
        return SL_HTTP(503);
    default:
        return code;
    }
}

/* The same error with another code. */
static sl_error *called(const sl_error *error, int code)
{
    bool waited = error->code == SL_ETIMEDOUT;
    sl_error *copy = sl__error_new(error->origin, code, "%s",
                                   waited ? "no worker was free for the request in time" : error->message);
    if (error->hint)
        sl_error_hint(copy, "%s", error->hint);
    if (error->detail)
        sl_error_detail(copy, error->detail, strlen(error->detail));
    if (error->cause && !waited)
        sl_error_cause(copy, sl_error_ref(error->cause));
    copy->hop_count = error->hop_count;
    memcpy(copy->hops, error->hops, sizeof(copy->hops));
    return copy;
}

sl_response *web_failure(sl_request *req, const sl_error *error)
{
    int code = status_code(error->code);
    sl_error *shown = code == error->code ? NULL : called(error, code);
    sl_response *res = sl__app_failure(req, shown ? shown : error);
    sl_error_unref(shown);
    if (code == SL_HTTP(503))
        sl_set_header(res, "Retry-After", RETRY_S);
    return res;
}

/* ---- The handler ------------------------------------------------------------------------------------- */

sl_response *web_handle(sl_request *req)
{
    struct web *web = web_of(req);
    if (!web || !web->interface)
        return sl__app_handle(req); /* the page that says why the application does not start */
    if (sl__app_routes(req))
        return sl__app_handle(req); /* a plug-in's */
    struct relay *relay = sl_zalloc(sizeof(*relay));
    *relay = (struct relay){
        .web = web, .req = req, .spool = {.web = web, .most = web->manifest->workers.spool_size / 4 + 1}};
    if (web->asgi && socket_asked(req))
        return socket_serve(relay);
    struct web_request request = {.body_file = -1};
    body_take(relay, &request);
    relay_begin(relay, &request);
    return response_wait(relay);
}
