/* wire.c: the two ends of a wire, and what crosses its socket: the bell, and descriptors. */
#include "subsystem/wire_inside.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define SEALS (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)

/* ---- The two ends ---- */

static sl__wire *end_new(sl__shared *shared, size_t mapped, int socket, bool parent)
{
    sl__wire *wire = sl_calloc(1, sizeof *wire);
    size_t ring = (mapped - SL__WIRE_HEADER) / 2;
    char *rings = (char *)shared + SL__WIRE_HEADER;
    *wire = (sl__wire){.socket = socket,
                       .shared = shared,
                       .mapped = mapped,
                       .ring = ring,
                       .out = &shared->directions[parent ? 0 : 1],
                       .in = &shared->directions[parent ? 1 : 0],
                       .out_ring = parent ? rings : rings + ring,
                       .in_ring = parent ? rings + ring : rings,
                       .payload = sl_malloc(SL__INLINE_MAX + 1)};
    sl__wire_set_options(wire, &(sl__wire_options){0});
    return wire;
}

static size_t ring_size(const sl__wire_options *options)
{
    size_t wanted = options && options->ring ? options->ring : 256u * 1024, ring = SL__RING_MIN;
    while (ring < wanted && ring < SL__RING_MAX)
        ring *= 2;
    return ring;
}

static int memory_new(size_t size, int *ret_memory, sl__shared **ret_shared)
{
    int memory = memfd_create("silver-wire", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (memory < 0)
        return -errno;
    void *shared = MAP_FAILED;
    if (ftruncate(memory, (off_t)size) == 0 && fcntl(memory, F_ADD_SEALS, SEALS) == 0)
        shared = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, memory, 0);
    if (shared == MAP_FAILED) {
        int code = -errno;
        close(memory);
        return code;
    }
    *ret_memory = memory;
    *ret_shared = shared;
    return 0;
}

int sl__wire_new(const sl__wire_options *options, sl__wire **ret_wire, int ret_child[2])
{
    size_t ring = ring_size(options), size = SL__WIRE_HEADER + 2 * ring;
    int memory = -1, sockets[2];
    sl__shared *shared = NULL;
    int code = memory_new(size, &memory, &shared);
    if (code < 0)
        return code;
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets) < 0) {
        code = -errno;
        munmap(shared, size);
        close(memory);
        return code;
    }
    shared->magic = SL__WIRE_MAGIC;
    shared->protocol = SL__WIRE_PROTOCOL;
    shared->ring = ring;
    *ret_wire = end_new(shared, size, sockets[0], /* parent= */ true);
    if (options)
        sl__wire_set_options(*ret_wire, options);
    ret_child[0] = memory;
    ret_child[1] = sockets[1];
    return 0;
}

static int memory_join(int memory, sl__shared **ret_shared, size_t *ret_size)
{
    struct stat status;
    int seals = fcntl(memory, F_GET_SEALS);
    if (seals < 0 || (seals & SEALS) != SEALS || fstat(memory, &status) < 0)
        return SL_EPROTO;
    size_t size = (size_t)status.st_size;
    if (size < SL__WIRE_HEADER + 2 * SL__RING_MIN || size > SL__WIRE_HEADER + 2 * (size_t)SL__RING_MAX)
        return SL_EPROTO;
    sl__shared *shared = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, memory, 0);
    if (shared == MAP_FAILED)
        return -errno;
    uint64_t ring = shared->ring;
    if (shared->magic != SL__WIRE_MAGIC || shared->protocol != SL__WIRE_PROTOCOL || (ring & (ring - 1)) ||
        size != SL__WIRE_HEADER + 2 * ring) {
        munmap(shared, size);
        return SL_EPROTO;
    }
    *ret_shared = shared;
    *ret_size = size;
    return 0;
}

int sl__wire_join(int memory, int socket, sl__wire **ret_wire)
{
    sl__shared *shared = NULL;
    size_t size = 0;
    int type = 0;
    socklen_t length = sizeof type;
    int code = memory_join(memory, &shared, &size);
    if (code == 0 &&
        (getsockopt(socket, SOL_SOCKET, SO_TYPE, &type, &length) < 0 || type != SOCK_SEQPACKET)) {
        munmap(shared, size);
        code = SL_EPROTO;
    }
    close(memory);
    if (code < 0) {
        close(socket);
        return code;
    }
    fcntl(socket, F_SETFD, FD_CLOEXEC);
    *ret_wire = end_new(shared, size, socket, /* parent= */ false);
    return 0;
}

static void numbers_done(sl__numbers *numbers)
{
    while (numbers->count)
        close(sl__numbers_get(numbers));
    free(numbers->numbers);
}

sl__wire *sl__wire_free(sl__wire *wire)
{
    if (!wire)
        return NULL;
    sl__wire_detach(wire);
    sl__segments_done(wire);
    numbers_done(&wire->files);
    numbers_done(&wire->backlog_files);
    sl_buffer_done(&wire->backlog);
    sl_buffer_done(&wire->assembled);
    munmap(wire->shared, wire->mapped);
    close(wire->socket);
    free(wire->payload);
    free(wire);
    return NULL;
}

int sl__wire_break(sl__wire *wire, int code)
{
    if (!wire->broken)
        wire->broken = code;
    return wire->broken;
}

void sl__wire_get_stats(const sl__wire *wire, sl__wire_stats *ret_stats)
{
    *ret_stats = wire->stats;
    ret_stats->segment_bytes = wire->out_bytes + wire->in_bytes;
    ret_stats->segments = 0;
    for (unsigned i = 0; i < SL__SEGMENTS; i++)
        ret_stats->segments += !!wire->out_segments[i] + !!wire->in_segments[i];
}

/* ---- Descriptors in order ---- */

void sl__numbers_put(sl__numbers *numbers, int number)
{
    if (numbers->start && numbers->start + numbers->count == numbers->capacity) {
        memmove(numbers->numbers, numbers->numbers + numbers->start, numbers->count * sizeof(int));
        numbers->start = 0;
    }
    if (numbers->count == numbers->capacity) {
        numbers->capacity = numbers->capacity ? numbers->capacity * 2 : 16;
        numbers->numbers = sl_realloc(numbers->numbers, numbers->capacity * sizeof(int));
    }
    numbers->numbers[numbers->start + numbers->count++] = number;
}

int sl__numbers_get(sl__numbers *numbers)
{
    int number = numbers->numbers[numbers->start++];
    if (--numbers->count == 0)
        numbers->start = 0;
    return number;
}

/* ---- The socket ---- */

typedef union control {
    struct cmsghdr header;
    char space[CMSG_SPACE(sizeof(int) * SL__MESSAGE_FILES)];
} control;

int sl__socket_send(sl__wire *wire, const int *files, unsigned count)
{
    char byte = count ? 'f' : 'b';
    struct iovec data = {&byte, 1};
    control space;
    struct msghdr message = {.msg_iov = &data, .msg_iovlen = 1};
    if (wire->closed || wire->broken)
        return 1;
    if (count) {
        message.msg_control = &space;
        message.msg_controllen = CMSG_SPACE(sizeof(int) * count);
        memset(&space, 0, sizeof space);
        space.header.cmsg_level = SOL_SOCKET;
        space.header.cmsg_type = SCM_RIGHTS;
        space.header.cmsg_len = CMSG_LEN(sizeof(int) * count);
        memcpy(CMSG_DATA(&space.header), files, sizeof(int) * count);
    }
    while (sendmsg(wire->socket, &message, MSG_DONTWAIT | MSG_NOSIGNAL) < 0) {
        if (errno == EAGAIN || errno == ENOBUFS || errno == ETOOMANYREFS)
            return 0;
        if (errno == EPIPE || errno == ECONNRESET) {
            wire->closed = true;
            return 1;
        }
        if (errno != EINTR) {
            sl__wire_break(wire, -errno);
            return 1;
        }
    }
    return 1;
}

/* Keeps the descriptors of a message; gives how many. */
static unsigned keep_files(sl__wire *wire, struct msghdr *message)
{
    unsigned kept = 0;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(message); c; c = CMSG_NXTHDR(message, c)) {
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
            continue;
        unsigned count = (unsigned)((c->cmsg_len - CMSG_LEN(0)) / sizeof(int));
        for (unsigned i = 0; i < count; i++, kept++) {
            int number;
            memcpy(&number, CMSG_DATA(c) + i * sizeof number, sizeof number);
            sl__numbers_put(&wire->files, number);
        }
    }
    return kept;
}

int sl__socket_receive(sl__wire *wire, int flags)
{
    char byte[2];
    struct iovec data = {byte, sizeof byte};
    control space;
    struct msghdr message = {
        .msg_iov = &data, .msg_iovlen = 1, .msg_control = &space, .msg_controllen = sizeof space};
    if (wire->closed)
        return 0;
    ssize_t size = recvmsg(wire->socket, &message, flags | MSG_CMSG_CLOEXEC);
    if (size < 0 && (errno == EAGAIN || errno == EINTR))
        return 0;
    if (size == 0 || (size < 0 && errno == ECONNRESET)) {
        wire->closed = true;
        return 0;
    }
    if (size < 0)
        return sl__wire_break(wire, -errno);
    unsigned files = keep_files(wire, &message);
    if (wire->files.count > SL__FILES_AHEAD + SL__MESSAGE_FILES)
        return sl__wire_break(wire, SL_EPROTO);
    if (message.msg_flags & MSG_CTRUNC) /* our own limit of open files, or more than a packet may have */
        return sl__wire_break(wire, files < SL__MESSAGE_FILES ? -EMFILE : SL_EPROTO);
    if (size != 1 || byte[0] != (files ? 'f' : 'b'))
        return sl__wire_break(wire, SL_EPROTO);
    return 1;
}
