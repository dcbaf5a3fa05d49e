/* upcall_inside.h: what the files about a child's wishes share.
 *
 *     upcall.c       calls
 *     upcall_bus.c   events, and the log */
#pragma once

#include "core/context.h"
#include "subsystem/child.h"
#include "subsystem/value.h"

#define SL__UPCALLS_MAX 4096u            /* calls of one child that have not ended */
#define SL__HEARD_MAX 4096u              /* channels that one child hears */
#define SL__HEARD_BACKLOG_MAX (8u << 20) /* bytes that wait for a child: beyond, events are dropped */

typedef struct sl__upcall_made sl__upcall_made;

struct sl__upcalls {
    sl_root *root;
    sl__child *child;
    sl__wire *wire;
    sl_arena *arena; /* for what is read of a packet */
    sl_buffer scratch;

    sl__upcall_made *calls;
    unsigned call_count;

    sl_table *heard; /* by channel */
    bool telling;    /* what this child emitted */
    bool ended;      /* meanwhile: freed when that is over */
    bool deaf;       /* it wanted to hear more than that */
    size_t dropped;
};

/* upcall_bus.c: the packet of an event or of the log: whether it was one. */
bool sl__upcalls_bus_packet(sl__upcalls *upcalls, const sl__packet *packet);
void sl__upcalls_free(sl__upcalls *upcalls);
void sl__upcalls_bus_begin(sl__upcalls *upcalls);
void sl__upcalls_bus_end(sl__upcalls *upcalls);
/* The record in a packet, which lives until the next is read; NULL: the child broke the rules, and is ended.
 */
const void *sl__upcalls_read(sl__upcalls *upcalls, const sl__packet *packet, const sl_record *record);
