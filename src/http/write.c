/* write.c: sending.
 *
 * What is to be sent goes to the socket at once, in one call. What the socket does not take is copied into
 * the connection's queue, up to limits.write_buffer; beyond it the task waits. So a slow reader costs a
 * buffer, and nothing of a response is needed any more once it has been handed over. Small responses to
 * pipelined requests are kept back for a moment, and go out together.
 *
 * Parts of files go from the page cache to the socket by sendfile, in a thread since the file may have to
 * come from a disk, a slice at a time. */
#include "http/server.h"

#include <silver/io.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/sendfile.h>
#include <unistd.h>

#define FILE_SLICE (1024 * 1024)

/* ---- The queue ---- */

typedef struct queued {
    uv_write_t write;
    sl__connection *connection;
    size_t size;
    char data[];
} queued;

static void on_written(uv_write_t *write, int status)
{
    queued *piece = (queued *)write;
    sl__connection *c = piece->connection;
    c->outstanding -= sizeof(*piece) + piece->size;
    c->write_since = uv_now(c->handle.loop);
    if (status < 0)
        c->broken = true;
    else
        c->server->counters.bytes_out += piece->size;
    free(piece);
    if (status == UV_ECANCELED)
        return; /* it is being closed */
    SL_IN_CONTEXT(c->server->context);
    sl__connection_sent(c);
}

/* Skips what was written. */
static void advance(uv_buf_t **buffers, unsigned *count, size_t size)
{
    while (*count > 0 && size >= (*buffers)->len) {
        size -= (*buffers)->len;
        ++*buffers;
        --*count;
    }
    if (*count > 0) {
        (*buffers)->base += size;
        (*buffers)->len -= size;
    }
}

static size_t total(const uv_buf_t *buffers, unsigned count)
{
    size_t size = 0;
    for (unsigned i = 0; i < count; i++)
        size += buffers[i].len;
    return size;
}

/* Copies up to `most` bytes into the queue. */
static void enqueue(sl__connection *c, uv_buf_t **buffers, unsigned *count, size_t most)
{
    size_t size = total(*buffers, *count);
    if (size > most)
        size = most;
    queued *piece = sl_malloc(sizeof(*piece) + size);
    piece->connection = c;
    piece->size = 0;
    while (piece->size < size) {
        size_t part = size - piece->size < (*buffers)->len ? size - piece->size : (*buffers)->len;
        memcpy(piece->data + piece->size, (*buffers)->base, part);
        piece->size += part;
        advance(buffers, count, part);
    }
    if (!c->outstanding) {
        c->write_since = uv_now(c->handle.loop);
        c->queue_seen = 0;
    }
    c->outstanding += sizeof(*piece) + size;
    uv_buf_t buffer = uv_buf_init(piece->data, (unsigned)size);
    if (uv_write(&piece->write, &c->stream, &buffer, 1, on_written) < 0) {
        c->outstanding -= sizeof(*piece) + size;
        c->broken = true;
        free(piece);
    }
}

/* Writes what the socket takes now, if nothing is queued before it. False if the connection is broken. */
static bool write_now(sl__connection *c, uv_buf_t **buffers, unsigned *count)
{
    sl__held_send(c);
    if (c->broken)
        return false;
    if (c->outstanding)
        return true;
    int r = uv_try_write(&c->stream, *buffers, *count);
    if (r < 0 && r != UV_EAGAIN) {
        c->broken = true;
        return false;
    }
    if (r > 0) {
        c->server->counters.bytes_out += (uint64_t)r;
        advance(buffers, count, (size_t)r);
    }
    return true;
}

void sl__send_soon(sl__connection *c, const void *data, size_t size)
{
    uv_buf_t buffer = uv_buf_init((char *)data, (unsigned)size), *buffers = &buffer;
    unsigned count = 1;
    if (write_now(c, &buffers, &count) && count > 0)
        enqueue(c, &buffers, &count, SIZE_MAX);
}

/* ---- Keeping back ---- */

#define HELD_MAX 16384

/* Stands in the run queue behind the task of the next request. When its turn comes and that task has run and
 * waits for something, or is gone and none has followed, there is nothing more to come soon. */
struct sl__held {
    sl__job job;
    sl__connection *connection; /* NULL once that is closed */
    size_t size;
    char data[HELD_MAX];
};

static void look_at_held(sl__job *job)
{
    sl__held *held = (sl__held *)job;
    sl__connection *c = held->connection;
    if (!c) {
        free(held);
        return;
    }
    if (held->size && c->exchange && !c->exchange->task->started) {
        sl__enqueue(c->server->loop, job);
        return;
    }
    SL_IN_CONTEXT(c->server->context);
    sl__held_send(c);
    c->held = NULL;
    free(held);
    if (c->broken)
        sl__connection_sent(c);
}

bool sl__hold(sl__connection *c, const uv_buf_t *piece)
{
    if (piece->len > HELD_MAX)
        return false;
    if (c->held && c->held->size + piece->len > HELD_MAX)
        sl__held_send(c);
    if (c->outstanding || c->broken)
        return false;
    if (!c->held) {
        c->held = sl_malloc(sizeof(*c->held));
        c->held->job.run = look_at_held;
        c->held->connection = c;
        c->held->size = 0;
        sl__enqueue(c->server->loop, &c->held->job);
    }
    memcpy(c->held->data + c->held->size, piece->base, piece->len);
    c->held->size += piece->len;
    return true;
}

bool sl__holding(const sl__connection *c)
{
    return c->held && c->held->size;
}

void sl__held_send(sl__connection *c)
{
    if (!sl__holding(c))
        return;
    size_t size = c->held->size;
    c->held->size = 0;
    sl__send_soon(c, c->held->data, size);
}

void sl__held_drop(sl__connection *c)
{
    if (c->held)
        c->held->connection = NULL; /* it is still in the run queue */
    c->held = NULL;
}

/* ---- Waiting for room ---- */

static void wait_for_room(sl__connection *c)
{
    c->waits_to_write = true;
    if (c->exchange)
        c->exchange->sent_ns = 0;
    sl__wait(&c->writer);
    c->waits_to_write = false;
}

/* Nobody is told but the task: that a client goes is no error of ours. */
static SL_NORETURN void fail_gone(sl__connection *c)
{
    c->broken = true;
    sl_fail(SL_EPIPE, "the client is gone");
}

void sl__send(sl__connection *c, uv_buf_t *buffers, unsigned count)
{
    size_t limit = c->server->options.limits.write_buffer;
    for (;;) {
        if (!write_now(c, &buffers, &count))
            fail_gone(c);
        if (count == 0)
            return;
        if (c->outstanding < limit)
            enqueue(c, &buffers, &count, limit - c->outstanding);
        if (c->broken)
            fail_gone(c);
        if (count == 0)
            return;
        wait_for_room(c);
    }
}

/* ---- Files ---- */

/* A slice's worth of work for a thread. It uses a descriptor of its own, so that the connection can go. */
typedef struct slice {
    int socket, fd;
    off_t offset;
    uint64_t size;
    uint64_t sent;
    int code; /* -EAGAIN: the socket is full */
} slice;

static sl_result send_slice(void *data)
{
    slice *s = data;
    s->sent = 0;
    s->code = 0;
    while (s->sent < s->size && s->sent < FILE_SLICE) {
        uint64_t left = s->size - s->sent;
        ssize_t got = sendfile(s->socket, s->fd, &s->offset, left < FILE_SLICE ? left : FILE_SLICE);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0) {
            s->code = got < 0 ? -errno : SL_EIO; /* the file has become shorter */
            break;
        }
        s->sent += (uint64_t)got;
    }
    return sl_ok(NULL);
}

/* Tells when the socket takes more. Lives until its handle is closed. */
typedef struct watch {
    uv_poll_t poll;
    int fd;
    sl__connection *connection; /* NULL once the task has gone */
} watch;

static void on_watch_closed(uv_handle_t *handle)
{
    watch *w = (watch *)handle;
    close(w->fd);
    free(w);
}

static void on_writable(uv_poll_t *poll, int status, int events)
{
    watch *w = (watch *)poll;
    uv_poll_stop(poll);
    if (w->connection)
        sl__wake(&w->connection->writer);
}

static void watch_free(void *data)
{
    watch *w = data;
    w->connection = NULL;
    uv_close((uv_handle_t *)&w->poll, on_watch_closed);
}

static void watch_freep(watch **w)
{
    if (*w)
        watch_free(*w);
}

static watch *watch_new(sl__connection *c)
{
    uv_os_fd_t socket;
    watch *w = sl_malloc(sizeof(*w));
    w->connection = c;
    w->fd = uv_fileno(&c->handle, &socket) == 0 ? fcntl(socket, F_DUPFD_CLOEXEC, 3) : -1;
    if (w->fd < 0 || uv_poll_init(c->handle.loop, &w->poll, w->fd) < 0) {
        int code = -errno;
        if (w->fd >= 0)
            close(w->fd);
        free(w);
        sl_fail(code, "cannot send a file: no descriptor is left");
    }
    return w;
}

static void wait_until_writable(sl__connection *c, watch *w)
{
    if (c->broken)
        fail_gone(c);
    c->write_since = uv_now(c->handle.loop);
    if (uv_poll_start(&w->poll, UV_WRITABLE, on_writable) < 0)
        fail_gone(c);
    wait_for_room(c);
}

void sl__send_file(sl__connection *c, int fd, uint64_t offset, uint64_t size)
{
    while (c->outstanding && !c->broken)
        wait_for_room(c);
    if (c->broken)
        fail_gone(c);
    if (c->exchange)
        c->exchange->sent_ns = 0;
    watch *w SL_CLEANUP(watch_freep) = watch_new(c);
    slice *s = sl_zalloc(sizeof(*s));
    *s = (slice){.socket = w->fd, .fd = fd, .offset = (off_t)offset, .size = size};
    while (s->size > 0) {
        /* The thread works on this task's memory, so the task waits for it even if it was cancelled. */
        SL_SHIELD()
        {
            sl_await(sl_in_thread(send_slice, s, NULL));
        }
        s->size -= s->sent;
        c->server->counters.bytes_out += s->sent;
        if (s->code == -EAGAIN)
            wait_until_writable(c, w);
        else if (s->code == SL_EIO)
            sl_fail(SL_EIO, "a file became shorter, or could not be read, while it was being sent");
        else if (s->code < 0)
            fail_gone(c);
    }
}
