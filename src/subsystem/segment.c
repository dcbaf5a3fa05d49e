/* segment.c: large values in shared mappings that are kept and used again.
 *
 * A segment belongs to its sender, who numbers it. It is passed over the socket with the first packet that
 * lies in it. While the receiver has it, `lent` of its number is set in the wire's memory; the receiver
 * clears that to give it back. A sender that gives a segment up says so by a frame, since the receiver keeps
 * it mapped. */
#include "subsystem/wire_inside.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define SEALS (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)

static void segment_free(sl__segment *segment)
{
    munmap(segment->data, segment->capacity);
    if (segment->unsent >= 0)
        close(segment->unsent);
    free(segment);
}

/* ---- Ours ---- */

static bool is_free(sl__wire *wire, const sl__segment *segment)
{
    return segment->references == 0 &&
           atomic_load_explicit(&wire->out->lent[segment->number], memory_order_acquire) == 0;
}

static sl__segment *find_free(sl__wire *wire, size_t size)
{
    sl__segment *best = NULL;
    for (unsigned i = 0; i < SL__SEGMENTS; i++) {
        sl__segment *segment = wire->out_segments[i];
        if (segment && segment->capacity >= size && (!best || segment->capacity < best->capacity) &&
            is_free(wire, segment))
            best = segment;
    }
    return best;
}

static sl__segment *segment_new(size_t capacity)
{
    int memory = memfd_create("silver-segment", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (memory < 0)
        return NULL;
    void *data = MAP_FAILED;
    if (ftruncate(memory, (off_t)capacity) == 0 && fcntl(memory, F_ADD_SEALS, SEALS) == 0)
        data = mmap(NULL, capacity, PROT_READ | PROT_WRITE, MAP_SHARED, memory, 0);
    if (data == MAP_FAILED) {
        close(memory);
        return NULL;
    }
    sl__segment *segment = sl_calloc(1, sizeof *segment);
    *segment = (sl__segment){.data = data, .capacity = capacity, .outgoing = true, .unsent = memory};
    return segment;
}

sl__segment *sl__segment_get(sl__wire *wire, size_t size)
{
    if (size > SL__WIRE_VALUE_MAX)
        return NULL;
    sl__segment *segment = find_free(wire, size);
    if (!segment) {
        size_t capacity = SL__SEGMENT_MIN;
        while (capacity < size)
            capacity *= 2;
        unsigned number = 0;
        while (number < SL__SEGMENTS && wire->out_segments[number])
            number++;
        if (number == SL__SEGMENTS || wire->out_bytes + capacity > SL__SEGMENT_BYTES_MAX ||
            !(segment = segment_new(capacity)))
            return NULL;
        segment->wire = wire;
        segment->number = (uint16_t)number;
        wire->out_segments[number] = segment;
        wire->out_bytes += capacity;
        atomic_store_explicit(&wire->out->lent[number], 0, memory_order_relaxed);
    }
    segment->references = 1;
    return segment;
}

void *sl__segment_data(const sl__segment *segment)
{
    return segment->data;
}

/* Gives up what is free, until no more than `pooled` bytes are left. */
void sl__segments_trim(sl__wire *wire)
{
    for (unsigned i = 0; i < SL__SEGMENTS && wire->out_bytes > wire->pooled; i++) {
        sl__segment *segment = wire->out_segments[i];
        if (!segment || !is_free(wire, segment))
            continue;
        if (segment->unsent < 0) {
            sl__frame frame = {.kind = SL__FORGET, .segment = segment->number};
            sl__ring_put(wire, &frame, NULL, 0, NULL, 0);
        }
        wire->out_segments[i] = NULL;
        wire->out_bytes -= segment->capacity;
        segment_free(segment);
    }
}

/* ---- Theirs ---- */

static int map_new(sl__wire *wire, unsigned number)
{
    while (!wire->files.count) {
        int code = sl__socket_receive(wire, MSG_DONTWAIT);
        if (code <= 0)
            return code < 0 ? code : SL_EPROTO;
    }
    int memory = sl__numbers_get(&wire->files), code = 0;
    int seals = fcntl(memory, F_GET_SEALS);
    struct stat status;
    void *data = NULL;
    size_t capacity = 0;
    if (wire->in_segments[number] || seals < 0 || (seals & SEALS) != SEALS || fstat(memory, &status) < 0 ||
        status.st_size <= 0 || (uint64_t)status.st_size > SL__SEGMENT_BYTES_MAX - wire->in_bytes)
        code = SL_EPROTO;
    else
        data = mmap(NULL, capacity = (size_t)status.st_size, PROT_READ, MAP_SHARED, memory, 0);
    if (data == MAP_FAILED)
        code = -errno;
    close(memory);
    if (code < 0)
        return code;
    sl__segment *segment = sl_calloc(1, sizeof *segment);
    *segment = (sl__segment){
        .wire = wire, .data = data, .capacity = capacity, .number = (uint16_t)number, .unsent = -1};
    wire->in_segments[number] = segment;
    wire->in_bytes += capacity;
    return 0;
}

int sl__segment_arrived(sl__wire *wire, const sl__frame *frame, sl__segment **ret_segment)
{
    if (frame->segment >= SL__SEGMENTS)
        return SL_EPROTO;
    if (frame->flags & SL__NEW_SEGMENT) {
        int code = map_new(wire, frame->segment);
        if (code < 0)
            return code;
    }
    sl__segment *segment = wire->in_segments[frame->segment];
    if (!segment || segment->references || frame->size > segment->capacity)
        return SL_EPROTO;
    segment->references = 1;
    *ret_segment = segment;
    return 0;
}

int sl__segment_forgotten(sl__wire *wire, const sl__frame *frame)
{
    sl__segment *segment = frame->segment < SL__SEGMENTS ? wire->in_segments[frame->segment] : NULL;
    if (!segment || segment->references)
        return SL_EPROTO;
    wire->in_segments[frame->segment] = NULL;
    wire->in_bytes -= segment->capacity;
    segment_free(segment);
    return 0;
}

/* ---- Holding and giving back ---- */

void sl__segment_hold(sl__segment *segment)
{
    segment->references++;
}

void sl__segment_release(sl__segment *segment)
{
    if (--segment->references)
        return;
    sl__wire *wire = segment->wire;
    if (!wire) {
        segment_free(segment);
    } else if (!segment->outgoing) {
        atomic_store_explicit(&wire->in->lent[segment->number], 0, memory_order_release);
        sl__ring_room(wire, /* fenced= */ false);
    }
}

static void leave(sl__segment **segments)
{
    for (unsigned i = 0; i < SL__SEGMENTS; i++) {
        if (!segments[i])
            continue;
        segments[i]->wire = NULL;
        if (segments[i]->unsent >= 0)
            close(segments[i]->unsent); /* nobody will get it any more */
        segments[i]->unsent = -1;
        if (segments[i]->references == 0)
            segment_free(segments[i]);
        segments[i] = NULL;
    }
}

void sl__segments_done(sl__wire *wire)
{
    if (wire->current)
        sl__segment_release(wire->current);
    wire->current = NULL;
    leave(wire->out_segments);
    leave(wire->in_segments);
}
