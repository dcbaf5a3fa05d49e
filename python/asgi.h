/* asgi.h: ASGI applications in a worker: what the rest of the worker needs to know of them.
 *
 * The worker's one thread runs asyncio's loop (uvloop's, where the application's environment has it). The
 * wire is a descriptor of that loop. Each request is an asyncio task; its first step is taken at once, in the
 * batch that brought the request, so that an application which need not wait is done without another turn of
 * the loop. */
#pragma once

#include "web.h"

/* Serves the application in a loop until the parent says stop or is gone: the exit status. When it has
 * started up, `ready` is called; if its lifespan says that it cannot serve, the parent is told so instead. */
int asgi_run(struct web *web, void (*ready)(struct web *web));
unsigned asgi_concurrency(void); /* requests at once, at most: the instance sets a lower limit */

/* The loop, if this thread runs it (borrowed); else NULL, without an exception. */
PyObject *asgi_loop(void);
/* What silver.context has of the request whose task (or a task that it made) runs here: a new dict with
 * request_id, peer, method, path and scheme; empty where there is none. NULL with an exception. */
PyObject *asgi_context(void);
/* Where the request whose task (or a task or thread that it made) runs here keeps its transaction
 * (transaction.h), a new reference to the request, and whether its response has begun; NULL where there is
 * none, or a WebSocket. */
PyObject **asgi_transaction(PyObject **ret_request, bool *ret_started);
/* What is put into the port by somebody else in the loop's thread: rings for it before the loop waits. */
void asgi_flush_soon(void);
/* Called after each batch of packets in the loop's thread, with the GIL and without the port's lock: there
 * answers of upcalls become results of futures. An exception is reported and forgotten. May be NULL. */
extern int (*asgi_after_batch)(void);
