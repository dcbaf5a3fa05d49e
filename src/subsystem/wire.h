/* wire.h: two processes and the memory that they share.
 *
 * A wire has two ends, the parent's and the child's. Between them lie one shared mapping, with a ring of
 * bytes for each direction, and a Unix socket, the doorbell: whoever is about to wait says so in the mapping,
 * and gets a byte when something was put in. Who does not wait is not rung for, so under load the kernel is
 * hardly involved.
 *
 * What is larger than SL__INLINE_MAX travels in a segment: a shared mapping of its own, made by the sender,
 * passed once over the socket, sealed against changing its size, kept by both ends and used again when the
 * receiver has given it back. Open files travel over the socket too; packets and files are put together again
 * by their order.
 *
 * The two ends are the same code. The other end is never trusted: each length, offset and count that it wrote
 * is checked on a copy, and what does not hold breaks the wire (SL_EPROTO), which ends the child, not us. */
#pragma once

#include <silver/core.h>
#include <silver/record.h>
#include <sys/uio.h>

#define SL__WIRE_PROTOCOL 1
#define SL__WIRE_MEMORY_FD 3 /* where a child finds its end */
#define SL__WIRE_SOCKET_FD 4
#define SL__INLINE_MAX 16384
#define SL__WIRE_VALUE_MAX (1024u * 1024 * 1024)
#define SL__PACKET_FILES SL_FILES_MAX

typedef struct sl__wire sl__wire;
typedef struct sl__segment sl__segment;

/* What a packet is about. Calls of the parent have even numbers, those of the child odd ones. */
typedef enum sl__packet_kind {
    SL__HELLO = 1, /* child: who it is (hello.h) */
    SL__READY,     /* child: it takes calls */
    SL__STOP,      /* parent: take no new call, end those that run, go */
    SL__CALL,      /* begins a call: `word` is the method */
    SL__RESULT,    /* ends it with a value; `word`: what the call before this one took, in us, and 1 (0: not
                      said) */
    SL__FAILED,    /* ends it with an error (hello.h: sl__trouble) */
    SL__CANCEL,    /* from who called: leave it; `word` 1: without hurry */
    SL__DATA,      /* a part of a long call, either way: `word` is for those who talk */
    SL__END,       /* this side sends no more data in this call */
    SL__CREDIT,    /* so many more bytes of data may be sent in this call: `word`, in KiB */
    SL__TELL,      /* an event */
    SL__HEAR,      /* child: tell me the events of this channel and below */
    SL__UNHEAR,
    SL__LOG, /* child: a record of the log: `word` is the level */
    SL__LAST_KIND = SL__LOG,
} sl__packet_kind;

typedef struct sl__packet {
    uint8_t kind;
    uint8_t codec; /* of the payload, where there is a choice: an index that both ends know */
    uint16_t word;
    uint32_t size;
    uint64_t call; /* 0: none */
    const void *data;
    int files[SL__PACKET_FILES]; /* open descriptors, the receiver's own from now on */
    unsigned file_count;
    sl__segment *segment; /* where the data lies, or NULL: in the ring */
} sl__packet;

typedef struct sl__wire_options {
    size_t ring;      /* bytes each way; 0 is 256 KiB; a power of two */
    uint64_t spin_ns; /* at most so long is waited without sleeping, and only while packets come closer than
                         that and there is another processor; 0 is 20,000; UINT64_MAX: never */
    size_t pooled;    /* bytes of segments kept for reuse; 0 is 16 MiB */
} sl__wire_options;

/* The parent's end, and two descriptors for the child (its mapping and its socket), which the caller passes
 * on and closes. 0 or a code. */
SL_API int sl__wire_new(const sl__wire_options *options, sl__wire **ret_wire, int ret_child[2]);
/* The child's end; takes over both descriptors. SL_EPROTO when they are not a wire of this version. */
SL_API int sl__wire_join(int memory, int socket, sl__wire **ret_wire);
SL_API sl__wire *sl__wire_free(sl__wire *wire); /* takes NULL. Segments that are held live on */

/* Puts a packet in: `head` (its kind, codec, word, call and files), the payload from pieces (of
 * SL__WIRE_VALUE_MAX bytes at most together). Never blocks and never refuses: what finds no room in the ring
 * waits in our memory (sl__wire_backlog bytes), in order; what is put after the end of the other side is
 * lost, and never taken. The files are duplicated: the caller's stay its own. Gives the packet's position,
 * for sl__wire_taken. */
SL_API uint64_t sl__wire_put(sl__wire *wire, const sl__packet *head, const struct iovec *pieces,
                             unsigned count);
/* Room in a segment of at least `size` bytes, to be filled in and put as the packet's `segment` (with
 * `size`): no copy is made then. NULL if there is no memory for it. */
SL_API sl__segment *sl__segment_get(sl__wire *wire, size_t size);
SL_API void *sl__segment_data(const sl__segment *segment);
/* Whether the other side has taken the packet out of the ring. */
SL_API bool sl__wire_taken(const sl__wire *wire, uint64_t position);
SL_API size_t sl__wire_backlog(const sl__wire *wire);
/* Rings, if the other side sleeps and something was put in since it was last rung. */
SL_API void sl__wire_flush(sl__wire *wire);

/* The next packet: 1; 0: none is there; SL_EPROTO: the other end broke the rules; SL_ECLOSED: it is gone and
 * all was read; any other code: it cannot be used any more (-EMFILE: no descriptor was left for a file). Its
 * data lives until the next call, or, in a segment, until sl__segment_release if sl__segment_hold was called.
 */
SL_API int sl__wire_next(sl__wire *wire, sl__packet *ret_packet);
SL_API void sl__segment_hold(sl__segment *segment);
SL_API void sl__segment_release(
    sl__segment *segment); /* an sl_free_fn may be made of it; works after sl__wire_free too */

/* For those without a loop: waits until there is something for sl__wire_next (spinning first, where that
 * pays): 1; 0 after `timeout_ms` (-1: never) or when a signal came; SL_ECLOSED, or what else sl__wire_next
 * gives. Flushes first. */
SL_API int sl__wire_wait(sl__wire *wire, int timeout_ms);
/* For other loops (asyncio): wait until this descriptor is readable, then call sl__wire_awake, then
 * sl__wire_next until there is nothing, then sl__wire_sleep; while that says false there is something again.
 */
SL_API int sl__wire_descriptor(const sl__wire *wire);
SL_API void sl__wire_awake(sl__wire *wire);
SL_API bool sl__wire_has(sl__wire *wire); /* whether there is something; takes nothing */
SL_API bool sl__wire_sleep(sl__wire *wire);
/* For our loop: calls back when there is something to take, once for a batch; flushes before each poll by
 * itself. To be detached before the loop is freed; the callback may do so, and free the wire. */
SL_API int sl__wire_attach(sl__wire *wire, sl_loop *loop, sl_callback *callback, void *data);
SL_API void sl__wire_detach(sl__wire *wire);

/* What it holds, for tests and statistics. */
typedef struct sl__wire_stats {
    uint64_t put, taken, bells, spins, spins_paid;
    size_t segments, segment_bytes;
} sl__wire_stats;
SL_API void sl__wire_get_stats(const sl__wire *wire, sl__wire_stats *ret_stats);
