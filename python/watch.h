/* watch.h: a thread that sees when a call goes on although it was given up, and writes to the log where in
 * Python it is. */
#pragma once

#include "port.h"

/* What a call is about, for the log: "GET /slow"; in the arena. */
typedef const char *watch_describe_fn(const struct work *work, sl_arena *arena);

/* (GIL) Starts it. A failure is logged: the worker does without. */
void watch_start(struct port *port, watch_describe_fn *describe);
/* (GIL) The same for a loop of events, in its thread: sees when it stands still and something waits. */
void watch_start_loop(struct port *port);
/* Without the GIL: the stacks of all threads go to the log, after `why`. `thread` is the one that it is
 * about: it writes them, so that its own stack holds still. */
void watch_dump(struct port *port, pthread_t thread, const char *why);
