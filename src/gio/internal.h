/* internal.h: what the two files of this room share. */
#pragma once

#include <gio/gio.h>

/* A call that somebody waits for begins, or has ended: meanwhile the loop must not run dry, and when the loop
 * is freed the call is cancelled. Attaches the thread's loop if nobody did. */
void sl__gio_hold(GCancellable *call);
void sl__gio_release(GCancellable *call);
