/* talk.h: long calls. A call whose two sides send each other data before the result, with back-pressure both
 * ways.
 *
 * This is how an instance serves requests by workers in Python: the head of the request are the call's
 * arguments, and bodies, WebSocket messages and events are data. Each side may send SL__TALK_WINDOW bytes of
 * data beyond what the other has taken: after that it waits for credit. A packet that is larger than the
 * window is sent whole when nothing of the window is used. Credit comes in KiB, so that less than one KiB may
 * stay without: the window counts as unused then. */
#pragma once

#include "subsystem/wire.h"
#include <silver/subsystem.h>

#define SL__TALK_WINDOW (256u * 1024)

typedef struct sl__talk sl__talk;

/* In a task: begins a long call of a service that the root's manager offers, by its name; the options count
 * as for other calls (a talk takes one of the child's `concurrency` until it ends). May suspend (waits for
 * its turn in the queue); fails as sl_call does. The talk ends with the task at the latest (cancelled, if it
 * has not ended). */
SL_API sl__talk *sl__talk_begin(const char *service, unsigned method, const sl__packet *head,
                                const struct iovec *pieces, unsigned count, const sl_call_options *options);
/* The next packet: SL__DATA, or SL__END (no more data comes), true; false once the call has ended with its
 * result, which is in the packet then. Fails with what the call fails with (ECRASHED, ETIMEDOUT, the error of
 * the other side). The packet's data lives until the next call. `*ret` has its own files. May suspend. Taking
 * data gives credit. */
SL_API bool sl__talk_next(sl__talk *talk, sl__packet *ret_packet);
/* The same within `ms`; then *ret_silent is true. */
SL_API bool sl__talk_next_within(sl__talk *talk, uint64_t ms, sl__packet *ret_packet, bool *ret_silent);
/* Sends SL__DATA with this word. Waits for credit: may suspend. Fails as sl__talk_next does. */
SL_API void sl__talk_send(sl__talk *talk, uint16_t word, const void *data, size_t size);
SL_API void sl__talk_end(sl__talk *talk); /* no more data from here; likewise */
/* Leaves it: the child is told (SL__CANCEL), and ended if it goes on beyond the service's grace. */
SL_API void sl__talk_cancel(sl__talk *talk);
/* The same without hurry: the child may take so long to end it (SL__CANCEL with the word 1). */
SL_API void sl__talk_leave(sl__talk *talk, uint64_t patience_ms);
SL_API int sl__talk_pid(const sl__talk *talk); /* of the child that has it */
