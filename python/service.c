/* service.c: a service in Python. Its methods are the public functions of its module:
 *
 *     version = 1            # of the interface
 *     concurrency = 4        # calls at once: in so many threads, or in one loop if functions are `async def`
 *
 *     def query(words, limit=20):
 *         return {"total": 1, "hits": [...]}
 *
 * Arguments come as JSON, an object by name or an array by position, or pickled from other Python code; what
 * a method gives goes back in the same way, and what it raises is the caller's error. */
#include "upcall.h"
#include "web.h"

#include <stdlib.h>
#include <unistd.h>

struct service {
    struct web web; /* first: its threads run the calls */
    const char *name;
    PyObject *names, *functions; /* lists */
    bool asynchronous;
    PyObject *begin, *end; /* silver._service.decode and encode */
};

/* ---- One call, in a thread --------------------------------------------------------------------------- */

static void put_failed(struct web_thread *thread)
{
    thread->out.size = 0;
    trouble_put(&thread->out);
    port_put(thread->web->port, &(sl__packet){.kind = SL__FAILED, .call = thread->work->id},
             &(struct iovec){thread->out.data, thread->out.size}, 1);
}

/* The result, encoded; NULL with an exception. */
static PyObject *carry_out(struct service *service, const struct work *work)
{
    if (work->word >= PyList_GET_SIZE(service->functions)) {
        PyErr_Format(PyExc_LookupError, "there is no method with number %d", work->word);
        return NULL;
    }
    PyObject *both =
        PyObject_CallFunction(service->begin, "iy#", work->codec, work->data.data ? work->data.data : "",
                              (Py_ssize_t)work->data.size);
    PyObject *result = NULL, *encoded = NULL;
    if (both)
        result = PyObject_Call(PyList_GET_ITEM(service->functions, work->word), PyTuple_GET_ITEM(both, 0),
                               PyTuple_GET_ITEM(both, 1));
    if (result)
        encoded = PyObject_CallFunction(service->end, "iO", work->codec, result);
    Py_XDECREF(result);
    Py_XDECREF(both);
    return encoded;
}

static void run(struct web_thread *thread)
{
    struct service *service = (struct service *)thread->web;
    struct work *work = thread->work;
    PyObject *encoded = carry_out(service, work);
    if (encoded)
        port_put(service->web.port, &(sl__packet){.kind = SL__RESULT, .codec = work->codec, .call = work->id},
                 &(struct iovec){PyBytes_AS_STRING(encoded), (size_t)PyBytes_GET_SIZE(encoded)}, 1);
    else
        put_failed(thread);
    port_flush(service->web.port);
    Py_XDECREF(encoded);
}

static PyObject *context(const struct web_thread *thread)
{
    const struct service *service = (const struct service *)thread->web;
    PyObject *entry = PyList_GetItem(service->names, thread->work->word);
    return entry ? Py_BuildValue("{s:s,s:O}", "service", service->name, "method", PyTuple_GET_ITEM(entry, 0))
                 : NULL;
}

static const char *describe(const struct work *work, sl_arena *arena)
{
    return sl_arena_printf(arena, "a call of method %u", work->word);
}

/* ---- Calls in a loop --------------------------------------------------------------------------------- */

/* What silver._service asks of the loop's packets: they are kept here until the lock is given back. */
struct come {
    struct come *next;
    uint64_t call;
    uint16_t word;
    uint8_t kind, codec;
    size_t size;
    char data[];
};

static struct come *come, **come_last = &come;
static struct port *loop_port;

static void on_packet(void *data, const sl__packet *packet)
{
    for (unsigned i = 0; i < packet->file_count; i++)
        close(packet->files[i]);
    if (packet->kind != SL__CALL && packet->kind != SL__CANCEL)
        return;
    struct come *new = sl_malloc(sizeof(*new) + packet->size);
    *new = (struct come){.call = packet->call,
                         .word = packet->word,
                         .kind = packet->kind,
                         .codec = packet->codec,
                         .size = packet->size};
    if (packet->size)
        memcpy(new->data, packet->data, packet->size);
    *come_last = new;
    come_last = &new->next;
}

/* A list of (call, method, codec, bytes); method -1 is a cancellation. None: no more come. */
static PyObject *loop_pump(PyObject *self, PyObject *nothing)
{
    do {
        if (port_pump(loop_port) < 0)
            break;
    } while (!port_rest(loop_port));
    PyObject *list = upcall_after_batch() < 0 ? NULL : PyList_New(0);
    while (come) {
        struct come *first = come;
        come = first->next;
        PyObject *item = list ? Py_BuildValue("(Kiiy#)", (unsigned long long)first->call,
                                              first->kind == SL__CALL ? first->word : -1, first->codec,
                                              first->data, (Py_ssize_t)first->size)
                              : NULL;
        if (!item || PyList_Append(list, item) < 0)
            Py_CLEAR(list);
        Py_XDECREF(item);
        free(first);
    }
    come_last = &come;
    return list;
}

static PyObject *loop_answer(PyObject *self, PyObject *arguments)
{
    unsigned long long call;
    int codec;
    const char *data;
    Py_ssize_t size;
    if (!PyArg_ParseTuple(arguments, "Kiy#", &call, &codec, &data, &size))
        return NULL;
    port_put(loop_port, &(sl__packet){.kind = SL__RESULT, .codec = (uint8_t)codec, .call = call},
             &(struct iovec){(char *)data, (size_t)size}, 1);
    port_flush(loop_port);
    Py_RETURN_NONE;
}

static PyObject *loop_failed(PyObject *self, PyObject *arguments)
{
    unsigned long long call;
    PyObject *exception;
    if (!PyArg_ParseTuple(arguments, "KO", &call, &exception))
        return NULL;
    PyErr_SetObject((PyObject *)Py_TYPE(exception), exception);
    SL_CLEANUP(sl_buffer_done) sl_buffer out = {0};
    trouble_put(&out);
    port_put(loop_port, &(sl__packet){.kind = SL__FAILED, .call = call}, &(struct iovec){out.data, out.size},
             1);
    port_flush(loop_port);
    Py_RETURN_NONE;
}

static PyObject *loop_ready(PyObject *self, PyObject *nothing)
{
    port_put(loop_port, &(sl__packet){.kind = SL__READY}, NULL, 0);
    port_flush(loop_port);
    return PyLong_FromLong(port_descriptor(loop_port));
}

static PyObject *loop_stopping(PyObject *self, PyObject *nothing)
{
    return PyBool_FromLong(port_stopping(loop_port));
}

static PyMethodDef loop_methods[] = {
    {"pump", loop_pump, METH_NOARGS, NULL},         {"answer", loop_answer, METH_VARARGS, NULL},
    {"failed", loop_failed, METH_VARARGS, NULL},    {"ready", loop_ready, METH_NOARGS, NULL},
    {"stopping", loop_stopping, METH_NOARGS, NULL}, {0},
};
static struct PyModuleDef loop_definition = {PyModuleDef_HEAD_INIT, .m_name = "_silver_loop", .m_size = -1,
                                             .m_methods = loop_methods};

static int serve_in_loop(struct service *service)
{
    loop_port = service->web.port;
    port_give_to_loop(loop_port, on_packet, NULL);
    watch_start_loop(loop_port);
    upcall_in_loop(true);
    PyObject *loop = PyModule_Create(&loop_definition);
    PyObject *done =
        loop ? embed_call("_service", "serve", "OsO", loop, service->name, service->functions) : NULL;
    Py_XDECREF(loop);
    upcall_in_loop(false);
    if (!done)
        trouble_log(loop_port, "the service does not go on");
    Py_XDECREF(done);
    return done ? 0 : 1;
}

/* ---- The module -------------------------------------------------------------------------------------- */

static int say_hello(const struct service *service, const char *name, int64_t version)
{
    Py_ssize_t count = PyList_GET_SIZE(service->names);
    struct sl__hello_method *methods = sl_calloc((size_t)count + 1, sizeof(*methods));
    for (Py_ssize_t i = 0; i < count; i++) {
        methods[i].name = PyUnicode_AsUTF8(PyTuple_GET_ITEM(PyList_GET_ITEM(service->names, i), 0));
        methods[i].idempotent = PyTuple_GET_ITEM(PyList_GET_ITEM(service->names, i), 1) == Py_True;
    }
    struct sl__hello hello = {.protocol = SL__WIRE_PROTOCOL,
                              .service = name,
                              .version = version,
                              .concurrency = service->web.threads,
                              .codec = "pickle",
                              .methods = {.count = (size_t)count, .items = methods}};
    sl_error *error = NULL;
    int code = port_put_record(service->web.port, &(sl__packet){.kind = SL__HELLO}, sl__hello_record(),
                               &hello, &error);
    free(methods);
    if (code < 0) {
        PyErr_Format(PyExc_ValueError, "the service cannot be described: %s", error->message);
        sl_error_unref(error);
    }
    return code;
}

/* 0, or -1 with an exception. */
static int open_module(struct service *service, const char *name, const char *path)
{
    long long version;
    unsigned concurrency;
    int asynchronous;
    PyObject *all = embed_call("_service", "load", "s", path);
    if (!all || !PyArg_ParseTuple(all, "OOLIpOO", &service->names, &service->functions, &version,
                                  &concurrency, &asynchronous, &service->begin, &service->end))
        return -1;
    /* `all` is kept: it holds them. */
    service->asynchronous = asynchronous;
    service->web.threads = concurrency;
    return say_hello(service, name, version) < 0 ? -1 : 0;
}

int service_run(struct port *port, const char *name, const char *path)
{
    struct service service = {.web = {.port = port, .run = run, .describe = describe, .context = context},
                              .name = name};
    if (open_module(&service, name, path) < 0) {
        web_put_refused(port);
        return 1;
    }
    return service.asynchronous ? serve_in_loop(&service) : web_serve(&service.web);
}
