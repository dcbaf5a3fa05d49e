/* server.c: the server as a whole. */
#include "http/server.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define FULL_AGAIN_MS 60000 /* between two lines that say that no descriptor is left */

void sl_http_limits_init(sl_http_limits *limits)
{
#define DEFAULT(name, value, unit, beyond) limits->name = value;
    SL_HTTP_LIMITS(DEFAULT)
#undef DEFAULT
}

const char *sl__server_date(sl_http_server *server, uint64_t now_ns)
{
    if (now_ns >= server->date_until_ns) {
        int64_t wall = sl_wall_ms();
        char date[30];
        sl__http_date(wall / 1000, date);
        memcpy(server->date_line, "Date: ", 6);
        memcpy(server->date_line + 6, date, 29);
        memcpy(server->date_line + 35, "\r\n", 3);
        server->date_until_ns = now_ns + (uint64_t)(1000 - wall % 1000) * 1000000;
    }
    return server->date_line;
}

void sl__server_unref(sl_http_server *server)
{
    if (--server->references > 0)
        return;
    sl__static_free(server->statics);
    sl__ws_pool_done(&server->ws_pool);
    sl_context_release(server->context);
    free(server->items);
    free(server->read_buffer);
    free(server);
}

/* ---- The sweep ---- */

static void fire_drained(sl_http_server *server)
{
    sl_deferred *drained = server->drained;
    server->drained = NULL;
    if (drained)
        sl_fire(drained, NULL, NULL);
}

static void cancel_all(sl_http_server *server)
{
    for (sl__connection *c = server->connections, *next; c; c = next) {
        next = c->next;
        if (c->exchange)
            sl__task_cancel(c->exchange->task);
        sl__connection_abort(c);
    }
}

/* Without a descriptor libuv closes who connects, and says nothing. */
static void look_for_descriptors(sl_http_server *server, uint64_t now)
{
    int fd;
    if (now < server->full_until || !server->listeners || uv_fileno(&server->listeners->handle, &fd) < 0)
        return;
    int copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    if (copy >= 0) {
        close(copy);
        return;
    }
    struct rlimit limit = {0};
    getrlimit(RLIMIT_NOFILE, &limit);
    server->full_until = now + FULL_AGAIN_MS;
    sl_warning("no descriptor is left, of %llu, with %zu connections open: who connects now is turned away "
               "without an answer. Raise the limit of open files (ulimit -n, LimitNOFILE=), or lower "
               "the limit \"connections\"",
               (unsigned long long)limit.rlim_cur, server->connection_count);
}

static void on_sweep(uv_timer_t *timer)
{
    sl_http_server *server = timer->data;
    uint64_t now = uv_now(timer->loop);
    server->references++;
    SL_IN_CONTEXT(server->context);
    if (server->drain_deadline && now >= server->drain_deadline) {
        if (server->connection_count)
            sl_warning("%zu connections were still open %llu ms after the stop began: they are cut off",
                       server->connection_count, (unsigned long long)server->options.limits.drain_ms);
        server->drain_deadline = 0;
        cancel_all(server);
        fire_drained(server);
    }
    look_for_descriptors(server, now);
    /* After a standstill (a handler that computed, a stopped process) what has come meanwhile is to be read
     * first: nobody is late for that. */
    bool stood_still = !server->skipped && now > server->swept_ms + 3 * server->sweep_ms;
    server->skipped = stood_still;
    server->swept_ms = now;
    for (sl__connection *c = stood_still ? NULL : server->connections, *next; c; c = next) {
        next = c->next;
        sl__connection_sweep(c, now);
    }
    sl__server_unref(server);
}

/* A quarter of the shortest time that is limited. */
static uint64_t sweep_interval(const sl_http_options *options)
{
    const sl_http_limits *limits = &options->limits;
    uint64_t ping = options->websocket.ping_ms;
    uint64_t times[] = {limits->header_ms, limits->body_ms, limits->write_ms, limits->idle_ms, ping,
                        limits->drain_ms};
    uint64_t shortest = 4000;
    for (size_t i = 0; i < sl_array_size(times); i++) {
        if (times[i] && times[i] < shortest)
            shortest = times[i];
    }
    return shortest < 40 ? 10 : shortest / 4;
}

void sl__server_add(sl_http_server *server, sl__connection *connection)
{
    connection->next = server->connections;
    if (connection->next)
        connection->next->previous = connection;
    server->connections = connection;
    server->references++;
    if (server->connection_count++ == 0) {
        server->swept_ms = uv_now(server->sweep.loop);
        uv_timer_start(&server->sweep, on_sweep, server->sweep_ms, server->sweep_ms);
    }
}

void sl__server_remove(sl_http_server *server, sl__connection *connection)
{
    *(connection->previous ? &connection->previous->next : &server->connections) = connection->next;
    if (connection->next)
        connection->next->previous = connection->previous;
    if (--server->connection_count == 0) {
        if (!server->freed)
            uv_timer_stop(&server->sweep);
        if (server->draining)
            fire_drained(server);
    }
    sl__server_unref(server);
}

/* ---- Making ---- */

static int check_options(const sl_http_options *options)
{
    const sl_http_limits *limits = &options->limits;
    bool sizes = limits->request_line && limits->header_size && limits->header_count && limits->write_buffer;
    bool counts = limits->requests && limits->connections && limits->in_flight && limits->body_rate;
    return options->handler && sizes && counts ? 0 : SL_EINVAL;
}

static int open_parts(sl_http_server *server)
{
    const sl_http_options *options = &server->options;
    if (options->static_directory) {
        int r = sl__static_new(options->static_directory, &server->statics);
        if (r < 0)
            return r;
    }
    if (options->access_log && options->access_format != SL_ACCESS_NONE)
        return sl__access_log_new(server, &server->access_log);
    return 0;
}

/* Sending to a client that has gone is an error like others, not the end of the process. */
static void ignore_broken_pipes(void)
{
    struct sigaction now;
    if (sigaction(SIGPIPE, NULL, &now) == 0 && now.sa_handler == SIG_DFL)
        signal(SIGPIPE, SIG_IGN);
}

int sl_http_server_new(const sl_http_options *options, sl_http_server **ret_server)
{
    sl_loop *loop = sl_loop_current();
    if (!loop || check_options(options) < 0)
        return SL_EINVAL;
    ignore_broken_pipes();
    const sl_http_limits *limits = &options->limits;
    sl_http_server *server = sl_calloc(1, sizeof(*server));
    server->loop = loop;
    server->options = *options;
    server->head_limits = (sl__head_limits){limits->request_line, limits->header_size, limits->header_count};
    server->items = sl_calloc(limits->header_count, sizeof(*server->items));
    server->next_id = sl_monotonic_ns() ^ (uint64_t)getpid() << 48;
    server->sweep_ms = sweep_interval(options);
    server->references = 1;
    int r = open_parts(server);
    if (r < 0) {
        sl__server_unref(server);
        return r;
    }
    server->context = sl_context_capture();
    uv_timer_init(sl_loop_uv(loop), &server->sweep);
    server->sweep.data = server;
    uv_unref((uv_handle_t *)&server->sweep);
    server->references++;
    *ret_server = server;
    return 0;
}

/* ---- Listening ---- */

static void on_listener_closed(uv_handle_t *handle)
{
    sl__listener *listener = (sl__listener *)handle;
    sl__server_unref(listener->server);
    free(listener);
}

static void close_listeners(sl_http_server *server);

static void on_connection(uv_stream_t *stream, int status)
{
    sl__listener *listener = (sl__listener *)stream;
    SL_IN_CONTEXT(listener->server->context);
    if (status == UV_EINVAL)
        close_listeners(listener->server); /* it was shut down, and accepts no more */
    else if (status < 0)
        sl_warning("a connection could not be accepted: %s", uv_strerror(status));
    else
        sl__connection_accept(listener);
}

static int open_listener(sl__listener *listener, uv_loop_t *loop, int fd, uint64_t write_buffer)
{
    struct sockaddr_storage where;
    socklen_t size = sizeof(where);
    if (getsockname(fd, (struct sockaddr *)&where, &size) < 0)
        return -errno;
    if (where.ss_family == AF_UNIX) {
        uv_pipe_init(loop, &listener->pipe, /* ipc= */ 0);
        return uv_pipe_open(&listener->pipe, fd);
    }
    /* Accepted sockets inherit these. A response that takes several writes need not wait for
     * acknowledgements. And what cannot leave yet waits here, where it is limited, and not in the kernel,
     * which would take megabytes at once. */
    int on = 1, unsent = write_buffer < INT_MAX ? (int)write_buffer : INT_MAX;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    setsockopt(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &unsent, sizeof(unsent));
    uv_tcp_init(loop, &listener->tcp);
    return uv_tcp_open(&listener->tcp, fd);
}

int sl_http_server_listen(sl_http_server *server, int fd)
{
    if (server->draining || server->freed) {
        close(fd); /* it was taken over all the same */
        return SL_ECLOSED;
    }
    sl__listener *listener = sl_calloc(1, sizeof(*listener));
    int r = open_listener(listener, sl_loop_uv(server->loop), fd, server->options.limits.write_buffer);
    if (r < 0 && !listener->handle.loop) {
        free(listener);
        close(fd);
        return r;
    }
    listener->server = server;
    server->references++;
    if (r == 0)
        r = uv_listen(&listener->stream, SOMAXCONN, on_connection);
    else
        close(fd);
    if (r < 0) {
        uv_close(&listener->handle, on_listener_closed);
        return r;
    }
    listener->next = server->listeners;
    server->listeners = listener;
    return 0;
}

static void close_listeners(sl_http_server *server)
{
    while (server->listeners) {
        sl__listener *listener = server->listeners;
        server->listeners = listener->next;
        uv_close(&listener->handle, on_listener_closed);
    }
}

/* ---- Stopping ---- */

static sl_cancelled drain_cancelled(sl_deferred *deferred, void *data)
{
    sl_http_server *server = data;
    if (server->drained == deferred)
        server->drained = NULL;
    return SL_CANCEL_DONE;
}

sl_deferred *sl_http_server_drain(sl_http_server *server)
{
    if (server->drained)
        return sl_failing(sl_error_new(SL_EBUSY, "the server is being drained already"));
    server->draining = true;
    close_listeners(server);
    SL_IN_CONTEXT(server->context);
    for (sl__connection *c = server->connections, *next; c; c = next) {
        next = c->next;
        sl__connection_drain(c);
    }
    if (server->connection_count == 0)
        return sl_succeeded(NULL, NULL);
    server->drain_deadline = uv_now(sl_loop_uv(server->loop)) + server->options.limits.drain_ms;
    server->drained = sl_deferred_new(drain_cancelled, server);
    return server->drained;
}

static void on_sweep_closed(uv_handle_t *handle)
{
    sl__server_unref(handle->data);
}

sl_http_server *sl_http_server_free(sl_http_server *server)
{
    if (!server)
        return NULL;
    server->draining = true;
    close_listeners(server);
    cancel_all(server);
    server->freed = true;
    uv_close((uv_handle_t *)&server->sweep, on_sweep_closed);
    sl__access_log_free(server->access_log);
    server->access_log = NULL;
    fire_drained(server);
    sl__server_unref(server);
    return NULL;
}

int sl_http_server_reopen_log(sl_http_server *server)
{
    return server->access_log ? sl__access_log_reopen(server->access_log) : 0;
}
