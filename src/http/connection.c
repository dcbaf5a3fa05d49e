/* connection.c: a connection between requests.
 *
 * What has come is parsed in the server's shared buffer if nothing else waits; otherwise it goes behind what
 * waits. One request is dealt with at a time, in order; pipelined ones wait as input. A request that is
 * refused before it has a task is answered here. */
#include "http/server.h"

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>

#include "http/url.h"

#define LINGER_MS 2000       /* for the client to see the last answer and close */
#define FIRST_REQUEST_MS 200 /* when the server is being stopped */
#define PROBE_S 10           /* between TCP's probes of a client that sends no more */
#define PROBES 7

/* A head that comes in pieces. */
struct sl__pending {
    sl__parser parser;
    sl__field items[];
};

static void take_requests(sl__connection *c);

/* ---- Waiting ---- */

struct sl__waiter {
    sl__waiter *next, **link;
    sl_deferred *deferred;
};

static void unlink_waiter(sl__waiter *waiter)
{
    if (!waiter->link)
        return;
    *waiter->link = waiter->next;
    if (waiter->next)
        waiter->next->link = waiter->link;
    waiter->link = NULL;
}

static sl_cancelled wait_cancelled(sl_deferred *deferred, void *data)
{
    unlink_waiter(data);
    return SL_CANCEL_DONE;
}

void sl__wait(sl__waiter **list)
{
    sl__waiter waiter;
    waiter.next = NULL;
    waiter.deferred = sl_deferred_new(wait_cancelled, &waiter);
    waiter.link = list;
    while (*waiter.link)
        waiter.link = &(*waiter.link)->next;
    *waiter.link = &waiter;
    sl_await(waiter.deferred);
}

void sl__wake(sl__waiter **list)
{
    while (*list) {
        sl__waiter *waiter = *list;
        unlink_waiter(waiter);
        sl_fire(waiter->deferred, NULL, NULL);
    }
}

/* ---- The end ---- */

static void connection_free(sl__connection *c)
{
    sl_http_server *server = c->server;
    sl_buffer_done(&c->input);
    free(c->pending);
    sl__server_remove(server, c);
    free(c);
}

static void on_closed(uv_handle_t *handle)
{
    sl__connection *c = (sl__connection *)handle;
    c->closed = true;
    if (!c->exchange)
        connection_free(c);
}

static void close_handle(sl__connection *c, bool reset)
{
    if (c->state == SL__CLOSING)
        return;
    c->state = SL__CLOSING;
    c->broken = true;
    c->deadline = 0;
    sl__held_drop(c);
    if (!reset || c->handle.type != UV_TCP || uv_tcp_close_reset(&c->tcp, on_closed) < 0)
        uv_close(&c->handle, on_closed);
    sl__wake(&c->reader);
    sl__wake(&c->writer);
    if (c->ws)
        sl__websocket_gone(c);
}

void sl__connection_abort(sl__connection *c)
{
    close_handle(c, /* reset= */ c->exchange || c->outstanding);
}

static void on_shutdown(uv_shutdown_t *shutdown, int status)
{
    free(shutdown);
}

/* All is sent. If the client may still be sending, closing now would reset the connection, perhaps before it
 * has read the answer: only our side is closed then, until it has closed its own or some time has passed. */
static void finish(sl__connection *c)
{
    if (c->eof || c->broken || !c->linger) {
        close_handle(c, /* reset= */ false);
        return;
    }
    c->state = SL__LINGERING;
    c->deadline = uv_now(c->handle.loop) + LINGER_MS;
    sl_buffer_done(&c->input);
    uv_shutdown_t *shutdown = sl_malloc(sizeof(*shutdown));
    if (uv_shutdown(shutdown, &c->stream, on_shutdown) < 0) {
        free(shutdown);
        close_handle(c, /* reset= */ false);
        return;
    }
    sl__connection_resume(c);
}

static void end(sl__connection *c)
{
    c->deadline = 0;
    free(c->pending);
    c->pending = NULL;
    c->state = SL__LAST;
    sl__held_send(c);
    if (c->outstanding == 0 || c->broken)
        finish(c);
}

void sl__connection_sent(sl__connection *c)
{
    if (c->broken || c->outstanding <= c->server->options.limits.write_buffer / 2)
        sl__wake(&c->writer);
    if (c->state == SL__LAST && (c->outstanding == 0 || c->broken))
        finish(c);
    else if (c->state <= SL__PARTIAL && c->broken)
        close_handle(c, /* reset= */ false);
    else if (c->state == SL__IDLE && (c->input.size || c->eof))
        take_requests(c);
}

/* ---- Refusing ---- */

/* What is known of a request that is refused. */
typedef struct asked {
    sl__method method_id;
    const char *method, *target;
    uint8_t minor;
} asked;

static const asked nothing = {SL__METHOD_OTHER, NULL, NULL, 1}; /* there is no whole request */

static void tell_log(sl__connection *c, const asked *request, int status, size_t size)
{
    sl_http_server *server = c->server;
    if (!server->access_log)
        return;
    sl__access access = {.method = request->method,
                         .target = request->target,
                         .minor = request->minor,
                         .status = status,
                         .size = size,
                         .id = sl__server_next_id(server)};
    sl__connection_peer(c, access.peer);
    sl__access_log_put(server->access_log, &access);
}

/* Answers without a handler and closes. */
static void refuse(sl__connection *c, const asked *request, int status, const char *reason)
{
    sl_http_server *server = c->server;
    bool head_only = request->method_id == SL__HEAD;
    sl_buffer text = {0}, out = {0};
    sl_buffer_printf(&text, "%d %s: %s\n", status, sl_status_reason(status), reason);
    sl_buffer_printf(&out,
                     "HTTP/1.1 %d %s\r\n%sContent-Type: text/plain; charset=utf-8\r\nContent-Length: %zu\r\n"
                     "%sConnection: close\r\n\r\n%s",
                     status, sl_status_reason(status), sl__server_date(server, sl_monotonic_ns()), text.size,
                     status == 503 ? "Retry-After: 1\r\n" : "", head_only ? "" : text.data);
    sl__count_request(server, request->method_id, status, 0);
    tell_log(c, request, status, head_only ? 0 : text.size);
    sl__send_soon(c, out.data, out.size);
    sl_buffer_done(&out);
    sl_buffer_done(&text);
    c->linger = true;
    end(c);
}

/* ---- Requests ---- */

/* A whole head has been parsed: starts its task, or refuses it. */
static void begin(sl__connection *c, sl__parser *parser)
{
    sl_http_server *server = c->server;
    const asked request = {parser->method_id, parser->method, parser->target, parser->minor};
    if (parser->form == SL__TARGET_AUTHORITY) {
        refuse(c, &request, 501, "this is not a proxy: CONNECT is not supported");
        return;
    }
    if (sl__server_full(server)) {
        server->counters.refused_in_flight++;
        refuse(c, &request, 503, "too many requests are being dealt with (in_flight)");
        return;
    }
    sl_arena *arena = sl__arena_get(server->loop);
    char *path = sl_arena_alloc(arena, parser->raw_path.size + 1);
    size_t path_size;
    const char *reason;
    if (parser->form == SL__TARGET_ASTERISK) {
        memcpy(path, "*", 2);
    } else if (sl__url_path(parser->raw_path, path, &path_size, &reason) < 0) {
        sl__arena_put(server->loop, arena);
        refuse(c, &request, 400, reason);
        return;
    }
    c->deadline = 0;
    c->state = SL__BUSY;
    c->requests++;
    sl__exchange_begin(c, parser, arena, path);
}

/* Keeps the parser until more of the head has come. */
static void keep_head(sl__connection *c, const sl__parser *parser)
{
    sl_http_server *server = c->server;
    if (!c->pending) {
        size_t items_size = parser->fields.capacity * sizeof(sl__field);
        c->pending = sl_malloc(sizeof(*c->pending) + items_size);
        c->pending->parser = *parser;
        memcpy(c->pending->items, parser->fields.items, parser->fields.count * sizeof(sl__field));
        c->pending->parser.fields.items = c->pending->items;
        c->deadline = uv_now(c->handle.loop) + server->options.limits.header_ms;
    }
    c->state = SL__PARTIAL;
}

/* Parses the head in `data`, the bytes of the request so far. What it consumed. */
static size_t take_head(sl__connection *c, char *data, size_t size)
{
    sl_http_server *server = c->server;
    sl__parser *parser = &server->parser;
    if (c->pending)
        parser = &c->pending->parser;
    else
        sl__parser_init(parser, server->items, server->options.limits.header_count, &server->head_limits);
    int got = sl__parser_feed(parser, data, size);
    if (got == 0) {
        keep_head(c, parser);
        return 0;
    }
    struct sl__pending *pending = c->pending;
    c->pending = NULL;
    if (got < 0) {
        server->counters.refused_heads++;
        refuse(c, &nothing, sl_code_status(got), parser->reason);
    } else {
        begin(c, parser);
    }
    size_t taken = got > 0 ? parser->head_size : size;
    free(pending);
    return taken;
}

static bool can_take(const sl__connection *c)
{
    return c->state <= SL__PARTIAL && c->outstanding <= c->server->options.limits.write_buffer;
}

/* Goes on with what waits in the connection. */
static void take_requests(sl__connection *c)
{
    while (c->input.size && can_take(c)) {
        size_t taken = take_head(c, c->input.data, c->input.size);
        if (taken == 0 || c->state > SL__BUSY)
            break;
        sl_buffer_consume(&c->input, taken);
        if (c->input.size == 0)
            sl_buffer_done(&c->input);
    }
    if (c->state <= SL__PARTIAL && c->eof)
        end(c);
    else
        sl__connection_resume(c);
}

void sl__connection_done(sl__connection *c, bool keep_alive)
{
    c->exchange = NULL;
    c->waits_to_write = false;
    c->deadline = 0;
    if (c->closed) {
        connection_free(c);
        return;
    }
    if (c->state == SL__CLOSING)
        return;
    if (!keep_alive || c->broken) {
        c->linger = c->linger || c->input.size > 0;
        end(c);
        return;
    }
    c->state = SL__IDLE;
    c->deadline = uv_now(c->handle.loop) + c->server->options.limits.idle_ms;
    if (c->input.size || c->eof)
        take_requests(c);
    else if (!c->reading)
        sl__connection_resume(c);
}

void sl__connection_unserved(sl__connection *c)
{
    const sl_request *req = &c->exchange->request;
    if (c->state == SL__CLOSING) {
        sl__connection_done(c, /* keep_alive= */ false);
        return;
    }
    const asked request = {req->method_id, req->method, req->target, req->minor};
    c->exchange = NULL;
    refuse(c, &request, 503, "there is no memory for the stack of one more request");
}

/* ---- Reading ---- */

static void on_room(uv_handle_t *handle, size_t suggested, uv_buf_t *ret_buffer)
{
    sl__connection *c = (sl__connection *)handle;
    sl_http_server *server = c->server;
    if (!server->read_buffer)
        server->read_buffer = sl_malloc(SL__READ_SIZE);
    size_t size = SL__READ_SIZE;
    if (c->state == SL__BUSY && !sl__connection_full(c))
        size = SL__INPUT_MAX - c->input.size;
    *ret_buffer = uv_buf_init(server->read_buffer, (unsigned)size);
}

static void stop_reading(sl__connection *c)
{
    c->reading = false;
    uv_read_stop(&c->stream);
}

/* A client that closes only its sending side still reads; one that has gone looks the same until something is
 * sent to it. A system that has no such socket any more answers TCP's probes with a reset, which the sweep
 * sees. */
static void probe(const sl__connection *c)
{
    int fd, on = 1, seconds = PROBE_S, most = PROBES;
    if (c->handle.type != UV_TCP || uv_fileno(&c->handle, &fd) < 0)
        return;
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &seconds, sizeof(seconds));
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &seconds, sizeof(seconds));
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &most, sizeof(most));
    setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
}

static bool has_gone(const sl__connection *c)
{
    struct pollfd poll_for = {.events = 0};
    return uv_fileno(&c->handle, &poll_for.fd) == 0 && poll(&poll_for, 1, 0) > 0 &&
           (poll_for.revents & (POLLERR | POLLHUP));
}

/* The task that has the connection is told that nothing more comes, or that nothing can be sent either. */
static void tell_task(sl__connection *c)
{
    sl__wake(&c->reader);
    if (!c->broken)
        return;
    sl__wake(&c->writer);
    if (c->exchange->streaming)
        sl_scope_cancel(c->exchange->streaming);
}

static void on_end(sl__connection *c, int code)
{
    c->eof = true;
    c->reading = false;
    if (code != UV_EOF)
        c->broken = true;
    if (c->ws) {
        sl__websocket_feed(c);
        return;
    }
    switch (c->state) {
    case SL__BUSY:
        if (!c->broken)
            probe(c);
        tell_task(c);
        break;
    case SL__LAST:
        if (c->broken)
            finish(c);
        break;
    case SL__CLOSING:
        break;
    case SL__LINGERING:
        close_handle(c, /* reset= */ false);
        break;
    default:
        if (c->broken)
            close_handle(c, /* reset= */ false);
        else
            take_requests(c); /* those that wait are answered */
    }
}

/* Something has come while a task has the connection. */
static void on_more(sl__connection *c)
{
    if (c->ws) {
        sl__websocket_feed(c);
        return;
    }
    if (c->reader)
        sl__wake(&c->reader);
    if (sl__connection_full(c))
        stop_reading(c);
}

static void on_read(uv_stream_t *stream, ssize_t size, const uv_buf_t *buffer)
{
    sl__connection *c = (sl__connection *)stream;
    if (size == 0)
        return;
    SL_IN_CONTEXT(c->server->context);
    if (size < 0) {
        on_end(c, (int)size);
        return;
    }
    c->server->counters.bytes_in += (uint64_t)size;
    if (c->state == SL__IDLE && c->input.size == 0 && can_take(c)) {
        size_t taken = take_head(c, buffer->base, (size_t)size);
        if (taken < (size_t)size && c->state <= SL__BUSY)
            sl_buffer_put(&c->input, buffer->base + taken, (size_t)size - taken);
        if (c->state == SL__BUSY && sl__connection_full(c))
            stop_reading(c);
        return;
    }
    if (c->state >= SL__LAST)
        return; /* dropped */
    sl_buffer_put(&c->input, buffer->base, (size_t)size);
    if (c->state == SL__BUSY)
        on_more(c);
    else if (can_take(c))
        take_requests(c);
    else if (sl__connection_full(c))
        stop_reading(c);
}

void sl__connection_resume(sl__connection *c)
{
    if (c->reading || c->eof || c->broken || c->state == SL__CLOSING)
        return;
    if (c->state != SL__LINGERING && sl__connection_full(c) && c->state != SL__PARTIAL)
        return;
    c->reading = uv_read_start(&c->stream, on_room, on_read) == 0;
}

/* ---- Accepting ---- */

static int open_handle(sl__connection *c, sl__listener *listener)
{
    uv_loop_t *loop = listener->handle.loop;
    if (listener->handle.type == UV_TCP)
        uv_tcp_init(loop, &c->tcp);
    else
        uv_pipe_init(loop, &c->pipe, /* ipc= */ 0);
    int r = uv_accept(&listener->stream, &c->stream);
    if (r < 0)
        return r;
    int size = sizeof(c->peer);
    if (c->handle.type == UV_TCP)
        r = uv_tcp_getpeername(&c->tcp, &c->peer.any, &size);
    return r;
}

void sl__connection_accept(sl__listener *listener)
{
    sl_http_server *server = listener->server;
    size_t limit = server->options.limits.connections;
    sl__connection *c = sl_calloc(1, sizeof(*c));
    c->server = server;
    int r = open_handle(c, listener);
    sl__server_add(server, c);
    server->counters.accepted++;
    /* Those that are told so linger; when too many do, the rest is closed without a word. */
    if (r < 0 || server->connection_count > limit + limit / 8 + 16) {
        server->counters.refused_connections += r == 0;
        close_handle(c, /* reset= */ false);
        return;
    }
    if (server->connection_count > limit) {
        server->counters.refused_connections++;
        refuse(c, &nothing, 503, "too many connections are open (connections)");
        return;
    }
    c->state = SL__IDLE;
    c->deadline = uv_now(c->handle.loop) + server->options.limits.idle_ms;
    sl__connection_resume(c);
}

void sl__connection_peer(const sl__connection *c, char out[static 48])
{
    strcpy(out, "unix");
    if (c->handle.type != UV_TCP)
        return;
    if (c->peer.any.sa_family == AF_INET)
        inet_ntop(AF_INET, &c->peer.v4.sin_addr, out, 48);
    else if (IN6_IS_ADDR_V4MAPPED(&c->peer.v6.sin6_addr))
        inet_ntop(AF_INET, &c->peer.v6.sin6_addr.s6_addr[12], out, 48);
    else
        inet_ntop(AF_INET6, &c->peer.v6.sin6_addr, out, 48);
}

/* ---- Time and stopping ---- */

static bool write_stalls(sl__connection *c, uint64_t now)
{
    if (!c->outstanding && !c->waits_to_write)
        return false;
    size_t queued = uv_stream_get_write_queue_size(&c->stream);
    if (queued != c->queue_seen) {
        c->queue_seen = queued;
        c->write_since = now;
    }
    return now - c->write_since >= c->server->options.limits.write_ms;
}

static void deadline_passed(sl__connection *c)
{
    c->deadline = 0;
    switch (c->state) {
    case SL__PARTIAL:
        if (sl__parser_begun(&c->pending->parser)) {
            c->server->counters.timed_out++;
            refuse(c, &nothing, 408, "the head of the request did not come in time (header_ms)");
            return;
        }
        break;
    case SL__BUSY:
        c->server->counters.timed_out++;
        c->timed_out = true;
        sl__wake(&c->reader);
        return;
    default:
        break;
    }
    close_handle(c, /* reset= */ false);
}

void sl__connection_sweep(sl__connection *c, uint64_t now)
{
    if (c->state == SL__CLOSING)
        return;
    if (write_stalls(c, now)) {
        c->server->counters.timed_out++;
        sl__connection_abort(c);
        return;
    }
    if (c->state == SL__BUSY && c->eof && !c->broken && !c->ws && has_gone(c)) {
        c->broken = true;
        tell_task(c);
    }
    if (c->ws)
        sl__websocket_sweep(c, now);
    if (c->deadline && now >= c->deadline)
        deadline_passed(c);
}

/* Whether the kernel has bytes of the client that were not read yet. */
static bool has_unread(const sl__connection *c)
{
    int fd;
    char byte;
    return uv_fileno(&c->handle, &fd) == 0 && recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) > 0;
}

/* What was accepted is answered: a request that is here already, and the first one of a client that has just
 * connected, which gets a moment to send it. */
void sl__connection_drain(sl__connection *c)
{
    if (c->ws)
        sl__websocket_drain(c);
    else if (c->state != SL__IDLE || c->input.size)
        return;
    else if (c->requests == 0 || has_unread(c))
        c->deadline = uv_now(c->handle.loop) + FIRST_REQUEST_MS;
    else
        end(c);
}
