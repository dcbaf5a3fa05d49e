/* web.c: a worker that serves a web application: loads it, sees what it is, and takes requests.
 *
 * A WSGI application is served by `threads` threads, of which the main thread is one; each takes the next
 * call from the port, and serves it from its first byte to its last. An ASGI application has one thread and
 * its loop (asgi.c). */
#include "web.h"

#include <stdlib.h>

#include "asgi.h"
#include "upcall.h"

#define THREADS_MAX 1024

static __thread struct web_thread *here;

struct web_thread *web_thread_here(void)
{
    return here;
}

/* ---- Who we are -------------------------------------------------------------------------------------- */

static void put_or_complain(struct port *port, const sl__packet *head, const sl_record *record,
                            const void *value)
{
    sl_error *error = NULL;
    if (port_put_record(port, head, record, value, &error) == 0)
        return;
    port_log(port, SL_ERROR, "", error->message);
    sl_error_unref(error);
}

static void say_hello(struct web *web)
{
    struct sl__hello_method methods[] = {{.name = "serve"}, {.name = "about"}};
    struct sl__hello hello = {.protocol = SL__WIRE_PROTOCOL,
                              .service = WEB_SERVICE,
                              .version = 1,
                              .concurrency = web->threads,
                              .codec = "flat",
                              .methods = {.count = sl_array_size(methods), .items = methods}};
    put_or_complain(web->port, &(sl__packet){.kind = SL__HELLO}, sl__hello_record(), &hello);
}

void web_put_ready(struct web *web)
{
    port_put(web->port, &(sl__packet){.kind = SL__READY}, NULL, 0);
    port_flush(web->port);
}

void web_put_about(struct web *web, uint64_t call, const char *interface)
{
    char version[32];
    snprintf(version, sizeof(version), "%.*s", (int)strcspn(Py_GetVersion(), " "), Py_GetVersion());
    struct web_about about = {.interface = interface, .python = version};
    put_or_complain(web->port, &(sl__packet){.kind = SL__RESULT, .call = call}, web_about_record(), &about);
    port_flush(web->port);
}

/* ---- Threads ----------------------------------------------------------------------------------------- */

static void refuse_method(struct web *web, const struct work *work)
{
    sl_error *error = sl_error_new(SL_EPROTO, "%s has no method %u", WEB_SERVICE, work->word);
    SL_CLEANUP(sl_buffer_done) sl_buffer out = {0};
    trouble_put_error(error, &out);
    sl_error_unref(error);
    port_put(web->port, &(sl__packet){.kind = SL__FAILED, .call = work->id},
             &(struct iovec){out.data, out.size}, 1);
    port_flush(web->port);
}

static void run_wsgi(struct web_thread *thread)
{
    struct work *work = thread->work;
    if (work->word == WEB_SERVE)
        wsgi_serve(thread);
    else if (work->word == WEB_ABOUT)
        web_put_about(thread->web, work->id, "wsgi");
    else
        refuse_method(thread->web, work);
}

static void serve(struct web *web)
{
    struct web_thread thread = {.web = web, .waiter = waiter_new(), .arena = sl_arena_new()};
    here = &thread;
    for (struct work *work; (work = port_next(web->port, thread.waiter));) {
        thread.work = work;
        web->run(&thread);
        thread.work = NULL;
        thread.request = NULL;
        port_done(web->port, work);
    }
    here = NULL;
    Py_CLEAR(thread.exchange);
    Py_CLEAR(thread.input);
    sl_buffer_done(&thread.out);
    sl_arena_free(thread.arena);
    waiter_free(thread.waiter);
}

static PyObject *serve_in_thread(PyObject *capsule, PyObject *nothing)
{
    serve(PyCapsule_GetPointer(capsule, "silver.web"));
    Py_RETURN_NONE;
}

static PyMethodDef serve_method = {"serve", serve_in_thread, METH_NOARGS, NULL};

/* The other threads are made by Python's `threading`, so that applications see ordinary ones. The list of
 * them. */
static PyObject *start_threads(struct web *web)
{
    PyObject *capsule = PyCapsule_New(web, "silver.web", NULL);
    PyObject *function = capsule ? PyCFunction_New(&serve_method, capsule) : NULL;
    PyObject *threads = function ? embed_call("_start", "threads", "OI", function, web->threads - 1) : NULL;
    Py_XDECREF(function);
    Py_XDECREF(capsule);
    return threads;
}

static const char *describe(const struct work *work, sl_arena *arena)
{
    void *value = NULL;
    sl_error *error = NULL;
    if (work->word == WEB_SERVE && sl_codec_flat.decode(web_request_record(), work->data, /* borrow= */ false,
                                                        &work->files, arena, &value, &error) == 0) {
        const struct web_request *request = value;
        return sl_arena_printf(arena, "%s %s", request->method, request->target);
    }
    sl_error_unref(error);
    return "a request";
}

int web_serve(struct web *web)
{
    PyObject *threads = start_threads(web);
    if (!threads) {
        trouble_log(web->port, "the worker does not start");
        return 1;
    }
    watch_start(web->port, web->describe);
    web_put_ready(web);
    serve(web);
    PyObject *joined = embed_call("_start", "join", "O", threads);
    if (!joined)
        trouble_log(web->port, "the worker does not stop");
    Py_XDECREF(joined);
    Py_DECREF(threads);
    return 0;
}

/* ---- The application --------------------------------------------------------------------------------- */

/* "wsgi" or "asgi", and web->application; or NULL with an exception. */
static PyObject *load(struct web *web, const char *path, const char *object)
{
    PyObject *both = embed_call("_start", "application", "ss", path, object);
    if (!both)
        return NULL;
    PyObject *interface = NULL;
    if (!PyArg_ParseTuple(both, "OU", &web->application, &interface)) {
        Py_DECREF(both);
        return NULL;
    }
    Py_INCREF(web->application);
    Py_INCREF(interface);
    Py_DECREF(both);
    return interface;
}

static unsigned threads_wanted(void)
{
    const char *text = getenv(WEB_ENV_THREADS);
    uint64_t number = 1;
    if (text && (sl_view_number(sl_view_of(text), THREADS_MAX, &number) < 0 || number == 0))
        number = 1;
    return (unsigned)number;
}

void web_put_refused(struct port *port)
{
    SL_CLEANUP(sl_buffer_done) sl_buffer out = {0};
    trouble_put(&out);
    port_put(port, &(sl__packet){.kind = SL__FAILED}, &(struct iovec){out.data, out.size}, 1);
    port_flush(port);
}

static int run_asgi(struct web *web)
{
    asgi_after_batch = upcall_after_batch;
    upcall_in_loop(true);
    int status = asgi_run(web, web_put_ready);
    upcall_in_loop(false);
    return status;
}

static int refuse(struct web *web)
{
    say_hello(web);
    web_put_refused(web->port);
    return 1;
}

int web_run(struct port *port, const char *path, const char *object)
{
    struct web web = {.port = port, .run = run_wsgi, .describe = describe, .threads = threads_wanted()};
    PyObject *interface = load(&web, path, object);
    if (!interface)
        return refuse(&web);
    bool asgi = PyUnicode_CompareWithASCIIString(interface, "asgi") == 0;
    Py_DECREF(interface);
    if (!asgi && wsgi_open(&web) < 0)
        return refuse(&web);
    if (asgi)
        web.threads = asgi_concurrency();
    say_hello(&web);
    int status = asgi ? run_asgi(&web) : web_serve(&web);
    Py_CLEAR(web.application);
    Py_CLEAR(web.variables);
    return status;
}
