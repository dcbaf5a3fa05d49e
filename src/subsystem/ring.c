/* ring.c: packets into the ring and out of it.
 *
 * The sender alone moves `head` and the receiver alone `tail`; each keeps its own position to itself, only
 * publishes it, and believes of the other's what can be true. A frame is copied out of the ring before it is
 * looked at. What finds no room waits in the backlog, as the same bytes as it will be in the ring, so that a
 * packet's position is known when it is put. */
#include "subsystem/wire_inside.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

static size_t frame_size(const sl__frame *frame)
{
    size_t payload = frame->flags & SL__IN_SEGMENT ? 0 : frame->size;
    return (sizeof *frame + payload + 7) & ~(size_t)7;
}

static void copy_in(const sl__wire *wire, uint64_t position, const void *data, size_t size)
{
    size_t at = position & (wire->ring - 1), first = wire->ring - at;
    if (first > size)
        first = size;
    memcpy(wire->out_ring + at, data, first);
    if (size > first)
        memcpy(wire->out_ring, (const char *)data + first, size - first);
}

static void copy_out(const sl__wire *wire, uint64_t position, void *data, size_t size)
{
    size_t at = position & (wire->ring - 1), first = wire->ring - at;
    if (first > size)
        first = size;
    memcpy(data, wire->in_ring + at, first);
    if (size > first)
        memcpy((char *)data + first, wire->in_ring, size - first);
}

/* ---- In ---- */

static bool has_room(sl__wire *wire, size_t size)
{
    if (wire->ring - (wire->head - wire->tail_seen) >= size)
        return true;
    uint64_t tail = atomic_load_explicit(&wire->out->tail, memory_order_acquire);
    if (tail < wire->tail_seen || tail > wire->head) {
        sl__wire_break(wire, SL_EPROTO);
        return false;
    }
    wire->tail_seen = tail;
    return wire->ring - (wire->head - tail) >= size;
}

/* After this the other side rings when there is room; there may be some already. */
static void want_room(sl__wire *wire)
{
    atomic_store_explicit(&wire->out->wants_room, 1, memory_order_relaxed);
    atomic_thread_fence(memory_order_seq_cst);
}

static void publish(sl__wire *wire, size_t size)
{
    wire->head += size;
    atomic_store_explicit(&wire->out->head, wire->head, memory_order_release);
    wire->unrung = true;
}

static bool move_one(sl__wire *wire)
{
    sl__frame frame;
    int files[SL__MESSAGE_FILES];
    memcpy(&frame, wire->backlog.data + wire->backlog_at, sizeof frame);
    size_t size = frame_size(&frame);
    unsigned count = frame.files + !!(frame.flags & SL__NEW_SEGMENT);
    if (!has_room(wire, size))
        return false;
    if (count) {
        sl__numbers *waiting = &wire->backlog_files;
        memcpy(files, waiting->numbers + waiting->start, count * sizeof(int));
        if (!sl__socket_send(wire, files, count))
            return false;
        for (unsigned i = 0; i < count; i++)
            close(sl__numbers_get(waiting));
    }
    copy_in(wire, wire->head, wire->backlog.data + wire->backlog_at, size);
    publish(wire, size);
    wire->backlog_at += size;
    return true;
}

void sl__ring_pump(sl__wire *wire)
{
    bool asked = false;
    while (wire->backlog_at < wire->backlog.size && !wire->broken) {
        if (move_one(wire))
            continue;
        if (asked)
            break;
        want_room(wire);
        asked = true;
    }
    if (wire->backlog_at == wire->backlog.size) {
        wire->backlog_at = 0;
        if (wire->backlog.capacity > 2 * wire->ring)
            sl_buffer_done(&wire->backlog);
        else
            wire->backlog.size = 0;
    } else if (wire->backlog_at > wire->backlog.size / 2) {
        sl_buffer_consume(&wire->backlog, wire->backlog_at);
        wire->backlog_at = 0;
    }
}

static void put_off(sl__wire *wire, const sl__frame *frame, const struct iovec *pieces, unsigned count,
                    const int *files, unsigned file_count)
{
    static const char zeros[8] = {0};
    size_t before = wire->backlog.size, size = frame_size(frame);
    for (unsigned i = 0; i < file_count; i++) {
        int copy = fcntl(files[i], F_DUPFD_CLOEXEC, 0);
        if (copy < 0)
            sl__wire_break(wire, -errno);
        sl__numbers_put(&wire->backlog_files, copy);
    }
    sl_buffer_reserve(&wire->backlog, size);
    sl_buffer_put(&wire->backlog, frame, sizeof *frame);
    for (unsigned i = 0; i < count; i++)
        sl_buffer_put(&wire->backlog, pieces[i].iov_base, pieces[i].iov_len);
    sl_buffer_put(&wire->backlog, zeros, before + size - wire->backlog.size);
    sl__ring_pump(wire);
}

uint64_t sl__ring_put(sl__wire *wire, const sl__frame *frame, const struct iovec *pieces, unsigned count,
                      const int *files, unsigned file_count)
{
    size_t size = frame_size(frame);
    if (wire->backlog.size || !has_room(wire, size) ||
        (file_count && !sl__socket_send(wire, files, file_count))) {
        put_off(wire, frame, pieces, count, files, file_count);
        return wire->head + (wire->backlog.size - wire->backlog_at);
    }
    copy_in(wire, wire->head, frame, sizeof *frame);
    uint64_t position = wire->head + sizeof *frame;
    for (unsigned i = 0; i < count; position += pieces[i++].iov_len)
        copy_in(wire, position, pieces[i].iov_base, pieces[i].iov_len);
    publish(wire, size);
    return wire->head;
}

/* Cuts the pieces down to `size` bytes from `*at` on, and puts them as frames without files. */
static uint64_t put_in_frames(sl__wire *wire, sl__frame frame, const struct iovec *pieces, unsigned count,
                              const sl__packet *head, size_t total)
{
    uint64_t position = 0;
    char *part = sl_malloc(SL__INLINE_MAX);
    for (size_t done = 0, piece = 0, at = 0; done < total;) {
        size_t filled = 0;
        while (filled < SL__INLINE_MAX && done + filled < total) {
            size_t more = pieces[piece].iov_len - at;
            if (more > SL__INLINE_MAX - filled)
                more = SL__INLINE_MAX - filled;
            memcpy(part + filled, (char *)pieces[piece].iov_base + at, more);
            filled += more;
            at += more;
            if (at == pieces[piece].iov_len)
                piece++, at = 0;
        }
        done += filled;
        bool last = done == total;
        frame.size = (uint32_t)filled;
        frame.flags = last ? 0 : SL__MORE;
        frame.files = last ? (uint8_t)head->file_count : 0;
        struct iovec whole = {part, filled};
        position = sl__ring_put(wire, &frame, &whole, 1, head->files, last ? head->file_count : 0);
    }
    free(part);
    return position;
}

static uint64_t put_segment(sl__wire *wire, sl__frame frame, sl__segment *segment, const sl__packet *head)
{
    int files[SL__MESSAGE_FILES];
    unsigned count = 0;
    frame.flags = SL__IN_SEGMENT;
    frame.segment = segment->number;
    int unsent = segment->unsent;
    if (unsent >= 0) {
        frame.flags |= SL__NEW_SEGMENT;
        files[count++] = unsent;
        segment->unsent = -1;
    }
    memcpy(files + count, head->files, head->file_count * sizeof(int));
    segment->references = 0;
    atomic_store_explicit(&wire->out->lent[segment->number], 1, memory_order_relaxed);
    uint64_t position = sl__ring_put(wire, &frame, NULL, 0, files, count + head->file_count);
    if (unsent >= 0)
        close(unsent);
    return position;
}

uint64_t sl__wire_put(sl__wire *wire, const sl__packet *head, const struct iovec *pieces, unsigned count)
{
    sl__frame frame = {.call = head->call,
                       .word = head->word,
                       .kind = head->kind,
                       .codec = head->codec,
                       .files = (uint8_t)head->file_count};
    wire->stats.put++;
    if (wire->closed || wire->broken) { /* nobody will read it */
        if (head->segment)
            head->segment->references = 0;
        return UINT64_MAX;
    }
    if (head->segment) {
        frame.size = head->size;
        return put_segment(wire, frame, head->segment, head);
    }
    size_t total = 0;
    for (unsigned i = 0; i < count; i++)
        total += pieces[i].iov_len;
    frame.size = (uint32_t)total;
    if (total <= SL__INLINE_MAX)
        return sl__ring_put(wire, &frame, pieces, count, head->files, head->file_count);
    sl__segment *segment = sl__segment_get(wire, total);
    if (!segment)
        return put_in_frames(wire, frame, pieces, count, head, total);
    size_t at = 0;
    for (unsigned i = 0; i < count; at += pieces[i++].iov_len)
        memcpy(segment->data + at, pieces[i].iov_base, pieces[i].iov_len);
    return put_segment(wire, frame, segment, head);
}

bool sl__wire_taken(const sl__wire *wire, uint64_t position)
{
    return atomic_load_explicit(&wire->out->tail, memory_order_acquire) >= position;
}

size_t sl__wire_backlog(const sl__wire *wire)
{
    return wire->backlog.size - wire->backlog_at;
}

static void ring(sl__wire *wire)
{
    wire->stats.bells++;
    sl__socket_send(wire, NULL, 0); /* if the socket is full the other side will wake up anyway */
}

void sl__wire_flush(sl__wire *wire)
{
    if (wire->backlog.size)
        sl__ring_pump(wire);
    if (wire->out_bytes > wire->pooled)
        sl__segments_trim(wire);
    if (!wire->unrung)
        return;
    wire->unrung = false;
    atomic_thread_fence(memory_order_seq_cst); /* what was published, before whether the other sleeps */
    if (atomic_load_explicit(&wire->out->sleeping, memory_order_relaxed) &&
        atomic_exchange_explicit(&wire->out->sleeping, 0, memory_order_relaxed))
        ring(wire);
}

/* ---- Out ---- */

void sl__ring_room(sl__wire *wire, bool fenced)
{
    if (!fenced)
        atomic_thread_fence(memory_order_seq_cst); /* that it was taken, before whether the other waits */
    if (atomic_load_explicit(&wire->in->wants_room, memory_order_relaxed) &&
        atomic_exchange_explicit(&wire->in->wants_room, 0, memory_order_relaxed))
        ring(wire);
}

bool sl__ring_has(sl__wire *wire)
{
    if (wire->tail == wire->head_seen)
        wire->head_seen = atomic_load_explicit(&wire->in->head, memory_order_acquire);
    return wire->tail != wire->head_seen;
}

static bool is_possible(const sl__frame *frame)
{
    bool in_segment = frame->flags & SL__IN_SEGMENT;
    if (frame->zero || frame->flags & ~SL__FLAGS || frame->files > SL__PACKET_FILES)
        return false;
    if (frame->kind == SL__FORGET)
        return !frame->flags && !frame->files && !frame->size;
    if (frame->kind == 0 || frame->kind > SL__LAST_KIND)
        return false;
    if (in_segment)
        return frame->size <= SL__WIRE_VALUE_MAX && !(frame->flags & SL__MORE);
    if (frame->flags & SL__NEW_SEGMENT || (frame->flags & SL__MORE && frame->files))
        return false;
    return frame->size <= SL__INLINE_MAX;
}

/* Takes a frame and its payload out of the ring. 1, 0 or a code. */
static int take_frame(sl__wire *wire, sl__frame *frame)
{
    if (!sl__ring_has(wire)) {
        sl__ring_room(wire, /* fenced= */ false);
        /* Descriptors come just before their packet, so of one packet at most there are some and it is not.
         */
        return wire->files.count > SL__MESSAGE_FILES ? SL_EPROTO : 0;
    }
    uint64_t there = wire->head_seen - wire->tail;
    if (there > wire->ring || there % 8 || there < sizeof *frame)
        return SL_EPROTO;
    copy_out(wire, wire->tail, frame, sizeof *frame);
    if (!is_possible(frame) || frame_size(frame) > there)
        return SL_EPROTO;
    if (!(frame->flags & SL__IN_SEGMENT)) {
        copy_out(wire, wire->tail + sizeof *frame, wire->payload, frame->size);
        wire->payload[frame->size] = '\0';
    }
    wire->tail += frame_size(frame);
    atomic_store_explicit(&wire->in->tail, wire->tail, memory_order_release);
    if (there <= wire->ring / 2)
        sl__ring_room(wire, /* fenced= */ true); /* if not now, then when the ring is empty */
    return 1;
}

static int assemble(sl__wire *wire, const sl__frame *frame, sl__packet *ret_packet)
{
    if (wire->assembled.size + frame->size > SL__WIRE_VALUE_MAX)
        return SL_EPROTO;
    sl_buffer_put(&wire->assembled, wire->payload, frame->size);
    wire->is_assembled = !(frame->flags & SL__MORE);
    ret_packet->data = wire->assembled.data;
    ret_packet->size = (uint32_t)wire->assembled.size;
    return 0;
}

static int take_files(sl__wire *wire, unsigned count, sl__packet *ret_packet)
{
    while (wire->files.count < count) {
        int code = sl__socket_receive(wire, MSG_DONTWAIT);
        if (code <= 0)
            return code < 0 ? code : SL_EPROTO; /* they must have come before it */
    }
    for (unsigned i = 0; i < count; i++)
        ret_packet->files[i] = sl__numbers_get(&wire->files);
    ret_packet->file_count = count;
    return 0;
}

/* Makes a packet of a frame. 1; 0: it was none, or not the whole; or a code. */
static int make_packet(sl__wire *wire, const sl__frame *frame, sl__packet *ret_packet)
{
    if (frame->kind == SL__FORGET)
        return sl__segment_forgotten(wire, frame);
    ret_packet->kind = frame->kind;
    ret_packet->codec = frame->codec;
    ret_packet->word = frame->word;
    ret_packet->call = frame->call;
    ret_packet->size = frame->size;
    ret_packet->data = wire->payload;
    ret_packet->segment = NULL;
    ret_packet->file_count = 0;
    int code = 0;
    if (frame->flags & SL__IN_SEGMENT) {
        code = sl__segment_arrived(wire, frame, &wire->current);
        if (code == 0) {
            ret_packet->segment = wire->current;
            ret_packet->data = wire->current->data;
        }
    } else if (frame->flags & SL__MORE || wire->assembled.size) {
        code = assemble(wire, frame, ret_packet);
    }
    if (code == 0 && frame->files)
        code = take_files(wire, frame->files, ret_packet);
    if (code < 0)
        return code;
    return !(frame->flags & SL__MORE);
}

int sl__wire_next(sl__wire *wire, sl__packet *ret_packet)
{
    if (wire->current) {
        sl__segment_release(wire->current);
        wire->current = NULL;
    }
    if (wire->is_assembled) {
        sl_buffer_done(&wire->assembled);
        wire->is_assembled = false;
    }
    while (!wire->broken) {
        sl__frame frame;
        int code = take_frame(wire, &frame);
        if (code == 0)
            return wire->closed ? SL_ECLOSED : 0;
        if (code > 0)
            code = make_packet(wire, &frame, ret_packet);
        if (code < 0)
            return sl__wire_break(wire, code);
        if (code > 0) {
            wire->stats.taken++;
            return 1;
        }
    }
    return wire->broken;
}
