/* web.h: a worker that serves a web application: what its parts share. The contract with the instance is in
 * src/run/web_talk.h. */
#pragma once

#include "embed.h"
#include "port.h"
#include "run/web_talk.h"
#include "watch.h"

/* One thread that runs handlers, and what it uses again for each. */
struct web_thread {
    struct web *web;
    struct waiter *waiter;
    sl_arena *arena; /* of the request; emptied after it */
    sl_buffer out;
    struct work *work;                 /* the request that runs, or NULL */
    const struct web_request *request; /* likewise */
    PyObject *exchange, *input;        /* of the last request, used again if nobody else kept them */
    PyObject *transaction;             /* what the request does in databases (transaction.h), or NULL */
    bool started;                      /* the head of its response was sent */
};

struct web {
    struct port *port;
    void (*run)(struct web_thread *thread); /* one call, which is thread->work, to its last packet */
    watch_describe_fn *describe;
    PyObject *(*context)(const struct web_thread *thread); /* of its work, for silver.context; a new dict */
    unsigned threads;
    PyObject *application;
    PyObject *variables; /* what each request's begins with */
};

/* The thread's own; NULL in a thread that runs no handlers. */
struct web_thread *web_thread_here(void);

/* Runs calls by so many threads, of which this one is one, until the parent says stop or is gone. Says READY.
 * The exit status. */
int web_serve(struct web *web);
void web_put_ready(struct web *web);
/* The current exception instead of READY. */
void web_put_refused(struct port *port);

/* service.c: the same for a service whose methods are a module's functions. */
int service_run(struct port *port, const char *name, const char *path);

/* Loads the application of a file and serves it until the parent says stop or is gone. The exit status. */
int web_run(struct port *port, const char *path, const char *object);

/* wsgi.c: makes the template of environments; 0, or -1 with an exception. */
int wsgi_open(struct web *web);
/* One request. The thread has its work. */
void wsgi_serve(struct web_thread *thread);

/* What is answered to WEB_ABOUT. */
void web_put_about(struct web *web, uint64_t call, const char *interface);
