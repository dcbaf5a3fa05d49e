/* bus.c: events between the instances of an application.
 *
 * Every pair of instances has two connections, one for each direction: who connected sends, who accepted
 * receives. A frame is its length (4 bytes, most significant first), a letter, and text parts that each end
 * in a NUL:
 *
 *     h  version, application, the sender's socket name     the first frame of a connection
 *     e  channel, event, payload as JSON                    an event
 *
 * Whoever gets a greeting from a name that it does not know connects back at once. So a newcomer that has
 * greeted all who stand in the directory, and was greeted by each, misses nothing from then on. */
#include "run/bus.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <sys/un.h>
#include <unistd.h>
#include <uv.h>

#define VERSION "1"
#define SUFFIX ".sock"
#define BATCH 32

/* One message, shared by the queues of all peers. */
struct frame {
    unsigned references;
    size_t size;
    char data[];
};

struct waiting {
    struct waiting *next;
    struct frame *frame;
};

/* Somebody we send to. */
struct peer {
    struct bus *bus;
    struct peer *next;
    char *name;
    uv_pipe_t pipe;
    uv_connect_t connecting;
    uv_write_t writing;
    struct frame *hello; /* not sent yet; never dropped, as nothing is heard before it */
    struct waiting *first, *last;
    size_t bytes;               /* waiting, without what is being written */
    struct frame *batch[BATCH]; /* being written */
    size_t batch_count;
    uint64_t dropped;
    bool connected, closing;
    bool greeted; /* it has connected to us as well */
    char ignored[64];
};

/* Somebody who sends to us. */
struct source {
    struct bus *bus;
    struct source *next;
    uv_pipe_t pipe;
    sl_buffer in;
    char *name; /* NULL before its greeting */
};

struct bus {
    sl_loop *loop;
    sl_root *root;
    char *directory, *name;
    uv_pipe_t listener;
    uv_fs_event_t watch;
    uv_timer_t join_timer;
    struct peer *peers;
    struct source *sources;
    size_t peer_count, source_count;
    unsigned handles; /* that the loop still knows */
    sl_callback *joined;
    void *data;
    bool closing;
    char chunk[65536];
};

static void release(struct bus *bus)
{
    if (--bus->handles > 0 || !bus->closing)
        return;
    sl_root_unref(bus->root);
    free(bus->directory);
    free(bus->name);
    free(bus);
}

static void bus_handle_closed(uv_handle_t *handle)
{
    release(handle->data);
}

/* ---- Frames ------------------------------------------------------------------------------------------ */

static struct frame *frame_new(char letter, const char *const *parts, const size_t *sizes, size_t count)
{
    size_t body = 1;
    for (size_t i = 0; i < count; i++)
        body += sizes[i] + 1;
    if (body > BUS_FRAME_MAX)
        return NULL;
    struct frame *frame = sl_malloc(sizeof(*frame) + 4 + body);
    frame->references = 1;
    frame->size = 4 + body;
    for (int i = 0; i < 4; i++)
        frame->data[i] = (char)(body >> (8 * (3 - i)));
    char *p = frame->data + 4;
    *p++ = letter;
    for (size_t i = 0; i < count; i++) {
        memcpy(p, parts[i], sizes[i]);
        p[sizes[i]] = '\0';
        p += sizes[i] + 1;
    }
    return frame;
}

static void frame_unref(struct frame *frame)
{
    if (--frame->references == 0)
        free(frame);
}

/* ---- Sending ----------------------------------------------------------------------------------------- */

static void peer_drop_first(struct peer *peer)
{
    struct waiting *item = peer->first;
    peer->first = item->next;
    if (!peer->first)
        peer->last = NULL;
    peer->bytes -= item->frame->size;
    frame_unref(item->frame);
    free(item);
}

static void peer_closed(uv_handle_t *handle)
{
    struct peer *peer = handle->data;
    struct bus *bus = peer->bus;
    while (peer->first)
        peer_drop_first(peer);
    for (size_t i = 0; i < peer->batch_count; i++)
        frame_unref(peer->batch[i]);
    if (peer->hello)
        frame_unref(peer->hello);
    free(peer->name);
    free(peer);
    release(bus);
}

static void check_joined(struct bus *bus)
{
    if (!bus->joined)
        return;
    for (struct peer *peer = bus->peers; peer; peer = peer->next)
        if (!peer->greeted)
            return;
    sl_callback *joined = bus->joined;
    bus->joined = NULL;
    uv_timer_stop(&bus->join_timer);
    joined(bus->data);
}

static void peer_close(struct peer *peer)
{
    struct bus *bus = peer->bus;
    if (peer->closing)
        return;
    peer->closing = true;
    for (struct peer **link = &bus->peers; *link; link = &(*link)->next) {
        if (*link == peer) {
            *link = peer->next;
            break;
        }
    }
    bus->peer_count--;
    uv_close((uv_handle_t *)&peer->pipe, peer_closed);
    if (!bus->closing)
        check_joined(bus);
}

static void peer_flush(struct peer *peer);

static void peer_written(uv_write_t *request, int status)
{
    struct peer *peer = request->data;
    if (peer->closing)
        return; /* peer_closed drops the batch */
    SL_IN_ROOT(peer->bus->root);
    for (size_t i = 0; i < peer->batch_count; i++)
        frame_unref(peer->batch[i]);
    peer->batch_count = 0;
    if (status < 0)
        peer_close(peer);
    else
        peer_flush(peer);
}

static void peer_flush(struct peer *peer)
{
    if (!peer->connected || peer->batch_count || (!peer->first && !peer->hello) || peer->closing)
        return;
    if (peer->dropped) {
        sl_warning("bus: %s does not keep up: %llu events for it were dropped", peer->name,
                   (unsigned long long)peer->dropped);
        peer->dropped = 0;
    }
    uv_buf_t buffers[BATCH];
    if (peer->hello) {
        buffers[0] = uv_buf_init(peer->hello->data, (unsigned)peer->hello->size);
        peer->batch[peer->batch_count++] = peer->hello;
        peer->hello = NULL;
    }
    while (peer->first && peer->batch_count < BATCH) {
        struct frame *frame = peer->first->frame;
        frame->references++;
        buffers[peer->batch_count] = uv_buf_init(frame->data, (unsigned)frame->size);
        peer->batch[peer->batch_count++] = frame;
        peer_drop_first(peer);
    }
    peer->writing.data = peer;
    if (uv_write(&peer->writing, (uv_stream_t *)&peer->pipe, buffers, (unsigned)peer->batch_count,
                 peer_written) < 0)
        peer_close(peer);
}

static void peer_put(struct peer *peer, struct frame *frame)
{
    while (peer->first && peer->bytes + frame->size > BUS_QUEUE_BYTES_MAX) {
        peer_drop_first(peer);
        peer->dropped++;
    }
    struct waiting *item = sl_malloc(sizeof(*item));
    *item = (struct waiting){.frame = frame};
    frame->references++;
    if (peer->last)
        peer->last->next = item;
    else
        peer->first = item;
    peer->last = item;
    peer->bytes += frame->size;
}

static void allocate_ignored(uv_handle_t *handle, size_t suggested, uv_buf_t *buffer)
{
    struct peer *peer = handle->data;
    *buffer = uv_buf_init(peer->ignored, sizeof(peer->ignored));
}

/* Nobody says anything in this direction: all that comes is the end. */
static void peer_heard(uv_stream_t *stream, ssize_t size, const uv_buf_t *buffer)
{
    if (size != 0)
        peer_close(stream->data);
}

static void peer_connected(uv_connect_t *request, int status)
{
    struct peer *peer = request->data;
    if (peer->closing)
        return;
    if (status == UV_ECONNREFUSED) { /* its owner died */
        char *path = sl_printf_heap("%s/%s", peer->bus->directory, peer->name);
        unlink(path);
        free(path);
    }
    if (status < 0) {
        peer_close(peer);
        return;
    }
    peer->connected = true;
    if (uv_read_start((uv_stream_t *)&peer->pipe, allocate_ignored, peer_heard) < 0)
        peer_close(peer);
    else
        peer_flush(peer);
}

/* The peer of this name, connected to if it is new; NULL if there are too many. */
static struct peer *peer_get(struct bus *bus, const char *name)
{
    for (struct peer *peer = bus->peers; peer; peer = peer->next)
        if (strcmp(peer->name, name) == 0)
            return peer;
    if (bus->peer_count == BUS_PEERS_MAX)
        return NULL;
    struct peer *peer = sl_calloc(1, sizeof(*peer));
    peer->bus = bus;
    peer->name = sl_strdup_heap(name);
    peer->next = bus->peers;
    bus->peers = peer;
    bus->peer_count++;
    bus->handles++;
    uv_pipe_init(sl_loop_uv(bus->loop), &peer->pipe, 0);
    peer->pipe.data = peer;
    const char *application = sl_root_name(bus->root);
    peer->hello = frame_new('h', (const char *[]){VERSION, application, bus->name},
                            (size_t[]){strlen(VERSION), strlen(application), strlen(bus->name)}, 3);
    char *path = sl_printf_heap("%s/%s", bus->directory, name);
    peer->connecting.data = peer;
    uv_pipe_connect(&peer->connecting, &peer->pipe, path, peer_connected);
    free(path);
    return peer;
}

static void forward(void *data, const char *channel, const char *event, const char *json, size_t size)
{
    struct bus *bus = data;
    if (bus->closing || !bus->peers)
        return;
    struct frame *frame = frame_new('e', (const char *[]){channel, event, json},
                                    (size_t[]){strlen(channel), strlen(event), size}, 3);
    if (!frame) {
        sl_warning("bus: an event %s on %s has %zu bytes, which is too much to leave this instance", event,
                   channel, size);
        return;
    }
    for (struct peer *peer = bus->peers, *next; peer; peer = next) {
        next = peer->next;
        peer_put(peer, frame);
        peer_flush(peer);
    }
    frame_unref(frame);
}

/* ---- Receiving --------------------------------------------------------------------------------------- */

static void source_closed(uv_handle_t *handle)
{
    struct source *source = handle->data;
    struct bus *bus = source->bus;
    sl_buffer_done(&source->in);
    free(source->name);
    free(source);
    release(bus);
}

static void source_close(struct source *source)
{
    if (uv_is_closing((uv_handle_t *)&source->pipe))
        return;
    struct bus *bus = source->bus;
    for (struct source **link = &bus->sources; *link; link = &(*link)->next) {
        if (*link == source) {
            *link = source->next;
            break;
        }
    }
    bus->source_count--;
    uv_close((uv_handle_t *)&source->pipe, source_closed);
}

/* The next part of a frame's body; NULL where there is none. */
static const char *take_part(const char **p, const char *end)
{
    const char *part = *p, *nul = part < end ? memchr(part, '\0', (size_t)(end - part)) : NULL;
    if (!nul)
        return NULL;
    *p = nul + 1;
    return part;
}

static bool name_ok(const char *name)
{
    size_t size = strlen(name);
    return size > strlen(SUFFIX) && size < 64 && name[0] != '.' && !strchr(name, '/') &&
           strcmp(name + size - strlen(SUFFIX), SUFFIX) == 0;
}

static bool greet(struct source *source, const char *version, const char *application, const char *name)
{
    struct bus *bus = source->bus;
    if (strcmp(version, VERSION) != 0 || strcmp(application, sl_root_name(bus->root)) != 0 ||
        !name_ok(name)) {
        sl_warning("bus: refused %s of %s, which speaks version %s", name, application, version);
        return false;
    }
    source->name = sl_strdup_heap(name);
    struct peer *peer = peer_get(bus, name);
    if (peer)
        peer->greeted = true;
    check_joined(bus);
    return true;
}

/* One frame's body. False if it is not one. */
static bool receive(struct source *source, const char *body, size_t size)
{
    struct bus *bus = source->bus;
    const char *p = body + 1, *end = body + size;
    const char *first = take_part(&p, end), *second = take_part(&p, end), *third = p;
    if (!first || !second || !take_part(&p, end) || p != end)
        return false;
    if (!source->name)
        return body[0] == 'h' && greet(source, first, second, third);
    if (body[0] != 'e')
        return false;
    sl_bus_deliver(bus->root, first, second, third, (size_t)(end - third) - 1);
    return true;
}

static void allocate(uv_handle_t *handle, size_t suggested, uv_buf_t *buffer)
{
    struct source *source = handle->data;
    *buffer = uv_buf_init(source->bus->chunk, sizeof(source->bus->chunk));
}

static void source_heard(uv_stream_t *stream, ssize_t size, const uv_buf_t *buffer)
{
    struct source *source = stream->data;
    SL_IN_ROOT(source->bus->root);
    if (size < 0) {
        source_close(source);
        return;
    }
    sl_buffer_put(&source->in, buffer->base, (size_t)size);
    size_t at = 0;
    while (source->in.size - at >= 4) {
        const unsigned char *head = (const unsigned char *)source->in.data + at;
        size_t body = (size_t)head[0] << 24 | (size_t)head[1] << 16 | (size_t)head[2] << 8 | head[3];
        if (body == 0 || body > BUS_FRAME_MAX) {
            source_close(source);
            return;
        }
        if (source->in.size - at - 4 < body)
            break;
        if (!receive(source, (const char *)head + 4, body)) {
            source_close(source);
            return;
        }
        at += 4 + body;
    }
    sl_buffer_consume(&source->in, at);
}

static void accept_source(uv_stream_t *listener, int status)
{
    struct bus *bus = listener->data;
    if (status < 0)
        return;
    struct source *source = sl_calloc(1, sizeof(*source));
    source->bus = bus;
    source->pipe.data = source;
    uv_pipe_init(sl_loop_uv(bus->loop), &source->pipe, 0);
    bus->handles++;
    source->next = bus->sources;
    bus->sources = source;
    bus->source_count++;
    if (uv_accept(listener, (uv_stream_t *)&source->pipe) < 0 || bus->source_count > BUS_PEERS_MAX ||
        uv_read_start((uv_stream_t *)&source->pipe, allocate, source_heard) < 0)
        source_close(source);
}

/* ---- The directory ----------------------------------------------------------------------------------- */

static void scan(struct bus *bus)
{
    DIR *directory = opendir(bus->directory);
    for (struct dirent *entry; directory && (entry = readdir(directory));)
        if (name_ok(entry->d_name) && strcmp(entry->d_name, bus->name) != 0)
            peer_get(bus, entry->d_name);
    if (directory)
        closedir(directory);
}

static void directory_changed(uv_fs_event_t *watch, const char *name, int events, int status)
{
    struct bus *bus = watch->data;
    SL_IN_ROOT(bus->root);
    if (status == 0 && !bus->closing)
        scan(bus);
}

static void join_late(uv_timer_t *timer)
{
    struct bus *bus = timer->data;
    sl_callback *joined = bus->joined;
    bus->joined = NULL;
    if (joined)
        joined(bus->data);
}

/* Listens at a name that nobody looks for, and takes the right one when it is ready. */
static int listen_beside(struct bus *bus, const char *path)
{
    char *beside = sl_printf_heap("%s.new", path);
    int code = strlen(beside) < sizeof(((struct sockaddr_un *)0)->sun_path)
                   ? uv_pipe_bind(&bus->listener, beside)
                   : -ENAMETOOLONG;
    if (code == 0)
        code = uv_listen((uv_stream_t *)&bus->listener, 64, accept_source);
    if (code == 0 && rename(beside, path) < 0)
        code = -errno;
    free(beside);
    return code;
}

int bus_new(sl_loop *loop, sl_root *root, const char *directory, sl_callback *joined, void *data,
            struct bus **ret_bus, sl_error **ret_error)
{
    struct bus *bus = sl_calloc(1, sizeof(*bus));
    uv_loop_t *uv = sl_loop_uv(loop);
    *bus =
        (struct bus){.loop = loop, .root = sl_root_ref(root), .joined = joined, .data = data, .handles = 3};
    bus->directory = sl_strdup_heap(directory);
    unsigned random = 0; /* processes of several containers may have one number */
    if (getrandom(&random, sizeof(random), 0) < 0)
        random = (unsigned)sl_monotonic_ns();
    bus->name = sl_printf_heap("%d-%08x" SUFFIX, (int)getpid(), random);
    uv_pipe_init(uv, &bus->listener, 0);
    uv_fs_event_init(uv, &bus->watch);
    uv_timer_init(uv, &bus->join_timer);
    bus->listener.data = bus->watch.data = bus->join_timer.data = bus;
    char *path = sl_printf_heap("%s/%s", directory, bus->name);
    int code = listen_beside(bus, path);
    if (code == 0)
        code = uv_fs_event_start(&bus->watch, directory_changed, directory, 0);
    if (code < 0) {
        *ret_error = sl_error_hint(
            sl_error_new(code, "cannot join the bus at %s: %s", path, sl_code_message(code)), "%s",
            code == -ENOSPC || code == -EMFILE
                ? "the system's limit of watches is reached, or its disk is full: raise "
                  "fs.inotify.max_user_watches or fs.inotify.max_user_instances with sysctl"
                : "set XDG_RUNTIME_DIR to a directory of your own with a short path");
        free(path);
        bus_free(bus);
        return code;
    }
    free(path);
    sl_bus_attach(root, forward, bus);
    uv_timer_start(&bus->join_timer, join_late, BUS_JOIN_MS, 0);
    *ret_bus = bus;
    scan(bus);
    check_joined(bus);
    return 0;
}

struct bus *bus_free(struct bus *bus)
{
    if (!bus)
        return NULL;
    bus->closing = true;
    bus->joined = NULL;
    sl_bus_attach(bus->root, NULL, NULL);
    char *path = sl_printf_heap("%s/%s", bus->directory, bus->name);
    unlink(path);
    free(path);
    while (bus->peers)
        peer_close(bus->peers);
    while (bus->sources)
        source_close(bus->sources);
    uv_close((uv_handle_t *)&bus->listener, bus_handle_closed);
    uv_close((uv_handle_t *)&bus->watch, bus_handle_closed);
    uv_close((uv_handle_t *)&bus->join_timer, bus_handle_closed);
    return NULL;
}

size_t bus_peer_count(const struct bus *bus)
{
    size_t count = 0;
    for (const struct peer *peer = bus->peers; peer; peer = peer->next)
        count += peer->connected;
    return count;
}

size_t bus_waiting(const struct bus *bus)
{
    size_t most = 0;
    for (const struct peer *peer = bus->peers; peer; peer = peer->next)
        most = peer->bytes > most ? peer->bytes : most;
    return most;
}
