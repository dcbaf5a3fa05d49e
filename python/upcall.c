/* upcall.c: calls of services by Python code. A thread waits for its answer; in the worker's loop of events
 * the answer is handed to a function, after the batch of packets that it came in. */
#include "upcall.h"

#include <stdlib.h>

#include "web.h"

struct answer {
    struct listener listener;
    struct answer *next; /* of those that have come and wait for their function */
    int come;
    uint8_t kind, codec;
    sl_buffer data;
    PyObject *function;
};

static struct port *the_port;
static __thread bool in_loop;
static struct answer *arrived, **arrived_last = &arrived; /* the loop's thread only */

/* ---- Who asks ---------------------------------------------------------------------------------------- */

static pthread_key_t waiter_key;
static pthread_once_t waiter_once = PTHREAD_ONCE_INIT;

static void free_waiter(void *waiter)
{
    waiter_free(waiter);
}

static void make_key(void)
{
    pthread_key_create(&waiter_key, free_waiter);
}

struct waiter *upcall_waiter(void)
{
    struct web_thread *thread = web_thread_here();
    if (thread)
        return thread->waiter;
    pthread_once(&waiter_once, make_key);
    struct waiter *waiter = pthread_getspecific(waiter_key);
    if (!waiter) {
        waiter = waiter_new();
        pthread_setspecific(waiter_key, waiter);
    }
    return waiter;
}

struct work *upcall_work(void)
{
    struct web_thread *thread = web_thread_here();
    return thread ? thread->work : NULL;
}

void upcall_in_loop(bool is)
{
    in_loop = is;
}

bool upcall_is_loop(void)
{
    return in_loop;
}

bool upcall_refuse_forked(void)
{
    if (port_is_forked())
        PyErr_SetString(PyExc_RuntimeError,
                        "a process that the application forked has no connection to the server");
    return port_is_forked();
}

/* ---- Answers ----------------------------------------------------------------------------------------- */

static void on_answer(struct listener *listener, const sl__packet *packet)
{
    struct answer *answer = (struct answer *)listener;
    if (answer->come || (packet->kind != SL__RESULT && packet->kind != SL__FAILED))
        return;
    answer->kind = packet->kind;
    answer->codec = packet->codec;
    sl_buffer_put(&answer->data, packet->data, packet->size);
    answer->come = 1;
    if (answer->function) {
        *arrived_last = answer;
        arrived_last = &answer->next;
    }
}

static void answer_free(struct answer *answer)
{
    port_unlisten(the_port, &answer->listener);
    sl_buffer_done(&answer->data);
    Py_XDECREF(answer->function);
    free(answer);
}

/* (code, message, hint, detail) */
static PyObject *read_trouble(const struct answer *answer)
{
    sl_error *error = sl__trouble_get((sl_view){answer->data.data, answer->data.size});
    PyObject *trouble = Py_BuildValue("(isss)", error->code, error->message, error->hint, error->detail);
    sl_error_unref(error);
    return trouble;
}

/* (whether it is a result, its codec, the bytes or the trouble) */
static PyObject *read_answer(const struct answer *answer)
{
    bool good = answer->kind == SL__RESULT;
    PyObject *value = good ? PyBytes_FromStringAndSize(answer->data.data, (Py_ssize_t)answer->data.size)
                           : read_trouble(answer);
    return value ? Py_BuildValue("(OiN)", good ? Py_True : Py_False, answer->codec, value) : NULL;
}

int upcall_after_batch(void)
{
    int failed = 0;
    while (arrived) {
        struct answer *answer = arrived;
        arrived = answer->next;
        if (!arrived)
            arrived_last = &arrived;
        PyObject *value = read_answer(answer);
        PyObject *done = value ? PyObject_CallOneArg(answer->function, value) : NULL;
        failed |= done == NULL;
        Py_XDECREF(value);
        Py_XDECREF(done);
        answer_free(answer);
    }
    return inbox_after_batch() < 0 || failed ? -1 : 0;
}

/* ---- Asking ------------------------------------------------------------------------------------------ */

/* Sends it; NULL with an exception. */
static struct answer *ask(PyObject *arguments, PyObject *function)
{
    if (upcall_refuse_forked())
        return NULL;
    struct sl__upcall upcall = {0};
    int codec;
    const char *data;
    Py_ssize_t size;
    long long timeout_ms;
    if (!PyArg_ParseTuple(arguments, "ssiy#Lz:call", &upcall.service, &upcall.method, &codec, &data, &size,
                          &timeout_ms, &upcall.key))
        return NULL;
    upcall.arguments = (sl_view){data, (size_t)size};
    upcall.timeout_ms = timeout_ms;
    SL_CLEANUP(sl_buffer_done) sl_buffer out = {0};
    SL_AUTO_ERROR sl_error *error = NULL;
    if (sl_codec_flat.encode(sl__upcall_record(), &upcall, &out, NULL, &error) < 0) {
        PyErr_Format(PyExc_ValueError, "the call cannot be sent: %s", error->message);
        return NULL;
    }
    struct answer *answer = sl_calloc(1, sizeof(*answer));
    answer->listener = (struct listener){.call = port_call_number(the_port), .arrived = on_answer};
    answer->function = Py_XNewRef(function);
    port_listen(the_port, &answer->listener);
    port_put(the_port,
             &(sl__packet){.kind = SL__CALL, .codec = (uint8_t)codec, .call = answer->listener.call},
             &(struct iovec){out.data, out.size}, 1);
    port_flush(the_port);
    return answer;
}

static void leave(const struct answer *answer)
{
    port_put(the_port, &(sl__packet){.kind = SL__CANCEL, .call = answer->listener.call}, NULL, 0);
    port_flush(the_port);
}

static PyObject *silver_call(PyObject *module, PyObject *arguments)
{
    struct answer *answer = ask(arguments, NULL);
    if (!answer)
        return NULL;
    int code = port_wait(the_port, &answer->listener, upcall_waiter(), &answer->come, upcall_work(), 0);
    PyObject *value = NULL;
    if (code > 0)
        value = read_answer(answer);
    else if (code == SL_ECANCELED)
        PyErr_SetString(PyExc_ConnectionError, "the request that made this call was given up");
    else
        PyErr_SetString(PyExc_ConnectionError, "the server is gone");
    if (code <= 0)
        leave(answer);
    answer_free(answer);
    return value;
}

static PyObject *silver_call_begin(PyObject *module, PyObject *arguments)
{
    Py_ssize_t count = PyTuple_GET_SIZE(arguments);
    PyObject *rest = count ? PyTuple_GetSlice(arguments, 1, count) : NULL;
    if (!rest) {
        PyErr_SetString(PyExc_TypeError, "call_begin(function, …)");
        return NULL;
    }
    struct answer *answer = ask(rest, PyTuple_GET_ITEM(arguments, 0));
    Py_DECREF(rest);
    return answer ? PyLong_FromVoidPtr(answer) : NULL;
}

/* Of a call that has no answer yet: its function is never called. */
static PyObject *silver_call_cancel(PyObject *module, PyObject *number)
{
    struct answer *answer = PyLong_AsVoidPtr(number);
    if (!answer)
        return NULL;
    if (answer->come) { /* its function is called, and does nothing */
        Py_RETURN_NONE;
    }
    leave(answer);
    answer_free(answer);
    Py_RETURN_NONE;
}

static PyObject *silver_emit(PyObject *module, PyObject *arguments)
{
    if (upcall_refuse_forked())
        return NULL;
    struct sl__event event;
    if (!PyArg_ParseTuple(arguments, "sss:emit", &event.channel, &event.event, &event.json))
        return NULL;
    SL_AUTO_ERROR sl_error *error = NULL;
    if (port_put_record(the_port, &(sl__packet){.kind = SL__TELL}, sl__event_record(), &event, &error) < 0) {
        PyErr_Format(PyExc_ValueError, "the event cannot be told: %s", error->message);
        return NULL;
    }
    port_flush(the_port);
    return inbox_tell(event.channel, event.event, event.json) < 0 ? NULL : Py_NewRef(Py_None);
}

static PyObject *silver_in_loop(PyObject *module, PyObject *nothing)
{
    return PyBool_FromLong(in_loop);
}

static PyMethodDef methods[] = {
    {"call", silver_call, METH_VARARGS,
     "call(service, method, codec, bytes, timeout_ms, key): (good, codec, value)"},
    {"call_begin", silver_call_begin, METH_VARARGS, "call_begin(function, …): a number for call_cancel"},
    {"call_cancel", silver_call_cancel, METH_O, "call_cancel(number)"},
    {"emit", silver_emit, METH_VARARGS, "emit(channel, event, json)"},
    {"in_loop", silver_in_loop, METH_NOARGS, "whether this thread runs the worker's loop of events"},
    {0},
};

int upcall_open(PyObject *module, struct port *port)
{
    the_port = port;
    return PyModule_AddFunctions(module, methods) < 0 ? -1 : inbox_open(module, port);
}
