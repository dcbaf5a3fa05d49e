/* wire_inside.h: what the files of the wire share: what lies in the shared memory, and what each end keeps
 * for itself.
 *
 *     wire.c     the two ends, made and freed; what crosses the socket
 *     ring.c     packets into the ring and out of it
 *     segment.c  large values
 *     wait.c     waiting: without a loop, with another's, with ours */
#pragma once

#include "subsystem/wire.h"
#include "core/loop.h"

#include <stdalign.h>
#include <stdatomic.h>

#define SL__WIRE_MAGIC 0x53776972u
#define SL__WIRE_HEADER 4096      /* bytes of the mapping before the rings */
#define SL__RING_MIN (64u * 1024) /* larger than the largest frame */
#define SL__RING_MAX (64u * 1024 * 1024)
#define SL__SEGMENTS 256 /* each way */
#define SL__SEGMENT_MIN (64u * 1024)
#define SL__SEGMENT_BYTES_MAX (4ull * 1024 * 1024 * 1024) /* of all segments one way */
#define SL__MESSAGE_FILES (SL__PACKET_FILES + 1)          /* those of a packet, and its segment */
#define SL__FILES_AHEAD 64 /* descriptors that came before their packets: no more are read then */

/* One direction. Positions count bytes since the beginning and never wrap. What one side writes often lies in
 * a line of its own. */
typedef struct sl__direction {
    alignas(128) _Atomic uint64_t head;     /* the sender's: so much was put in */
    alignas(128) _Atomic uint64_t tail;     /* the receiver's: so much was taken out */
    alignas(128) _Atomic uint32_t sleeping; /* the receiver waits for the bell; whoever rings clears it */
    _Atomic uint32_t wants_room;            /* the sender does; likewise */
    _Atomic uint32_t lent[SL__SEGMENTS];    /* the receiver has it; cleared when it gives it back */
} sl__direction;

typedef struct sl__shared {
    uint32_t magic, protocol;
    uint64_t ring;
    sl__direction directions[2]; /* from the parent, from the child */
} sl__shared;
_Static_assert(sizeof(sl__shared) <= SL__WIRE_HEADER, "the header must fit before the rings");

/* What stands before each payload in a ring; frames begin at multiples of 8. */
typedef struct sl__frame {
    uint64_t call;
    uint32_t size;
    uint16_t word;
    uint8_t kind, codec;
    uint16_t segment;
    uint8_t files, flags;
    uint32_t zero;
} sl__frame;
_Static_assert(sizeof(sl__frame) == 24, "frames have no padding");

enum {
    SL__IN_SEGMENT = 1,  /* the payload lies in frame.segment */
    SL__NEW_SEGMENT = 2, /* whose descriptor comes before the packet's files */
    SL__MORE = 4,        /* the payload goes on in the next frame */
    SL__FLAGS = 7,
    SL__FORGET = 0x80, /* a kind: the sender has given frame.segment up */
};

struct sl__segment {
    sl__wire *wire; /* NULL once it is freed */
    char *data;
    size_t capacity;
    uint16_t number;
    bool outgoing;
    unsigned references; /* incoming: of the current packet and of who holds it; outgoing: of who fills it */
    int unsent;          /* outgoing: its descriptor, until it was passed on; then -1 */
};

typedef struct sl__numbers { /* descriptors in order */
    int *numbers;
    size_t start, count, capacity;
} sl__numbers;

typedef struct sl__attachment sl__attachment;

struct sl__wire {
    int socket;
    bool closed; /* the other end is gone */
    int broken;  /* 0, or the code that all ends with */

    sl__shared *shared;
    size_t mapped, ring;
    size_t pooled;

    /* Out. */
    sl__direction *out;
    char *out_ring;
    uint64_t head, tail_seen;
    bool unrung;       /* something was put in since the other side was last rung */
    sl_buffer backlog; /* frames that found no room, from backlog_at on */
    size_t backlog_at;
    sl__numbers backlog_files;
    sl__segment *out_segments[SL__SEGMENTS];
    size_t out_bytes;

    /* In. */
    sl__direction *in;
    char *in_ring;
    uint64_t tail, head_seen;
    char *payload;       /* of the current packet */
    sl_buffer assembled; /* of one that came in several frames */
    bool is_assembled;   /* the current packet is that */
    sl__numbers files;   /* that came, but their packets not yet */
    sl__segment *current;
    sl__segment *in_segments[SL__SEGMENTS];
    size_t in_bytes;

    /* Waiting. */
    uint64_t spin_ns, came_ns;
    unsigned spin_skip,
        spin_skips;      /* so many waits more are done without spinning; how many after the next vain one */
    bool close_together; /* the last two packets that were waited for */
    sl__attachment *attachment;

    sl__wire_stats stats;
};

/* ---- wire.c ---- */
int sl__wire_break(sl__wire *wire, int code); /* gives the code */
/* Sends descriptors (none: the bell alone). 1; 0: not now; the wire may be closed or broken afterwards, which
 * counts as sent. */
int sl__socket_send(sl__wire *wire, const int *files, unsigned count);
/* Reads one message. 1; 0: there is none; or a code. `flags` are recvmsg's. */
int sl__socket_receive(sl__wire *wire, int flags);
void sl__numbers_put(sl__numbers *numbers, int number);
int sl__numbers_get(sl__numbers *numbers);

/* ---- wait.c ---- */
void sl__wire_set_options(sl__wire *wire, const sl__wire_options *options);

/* ---- ring.c ---- */
uint64_t sl__ring_put(sl__wire *wire, const sl__frame *frame, const struct iovec *pieces, unsigned count,
                      const int *files, unsigned file_count);
void sl__ring_pump(sl__wire *wire);              /* the backlog into the ring, as far as there is room */
bool sl__ring_has(sl__wire *wire);               /* whether there is something to take */
void sl__ring_room(sl__wire *wire, bool fenced); /* rings, if the other side waits for room */

/* ---- segment.c ---- */
/* The segment of a frame that came. 0 or a code. */
int sl__segment_arrived(sl__wire *wire, const sl__frame *frame, sl__segment **ret_segment);
int sl__segment_forgotten(sl__wire *wire, const sl__frame *frame);
void sl__segments_trim(sl__wire *wire);
void sl__segments_done(sl__wire *wire);
