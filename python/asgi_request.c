/* asgi_request.c: a request's receive and send, and the queues behind them.
 *
 * Both give something that can be awaited. Where there is nothing to wait for, awaiting it costs no turn of
 * the loop: what send gives then is one object for all. Else it waits on a future as a coroutine would; it
 * also has a coroutine's methods, so that tasks can be made of it. */
#include "asgi_internal.h"

#include "transaction.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- Pieces ------------------------------------------------------------------------------------------ */

bool asgi_piece_add(struct pieces *pieces, uint16_t word, PyObject *holder, const char *data, size_t size)
{
    if (pieces->first && !pieces->count)
        pieces->first = 0;
    if (pieces->first + pieces->count == pieces->room) {
        if (pieces->first) {
            memmove(pieces->items, pieces->items + pieces->first, pieces->count * sizeof(*pieces->items));
            pieces->first = 0;
        } else {
            pieces->room = pieces->room ? pieces->room * 2 : 4;
            pieces->items = sl_realloc(pieces->items, pieces->room * sizeof(*pieces->items));
        }
    }
    pieces->items[pieces->first + pieces->count++] =
        (struct piece){.word = word, .holder = Py_XNewRef(holder), .data = data, .size = size};
    return true;
}

struct piece *asgi_piece_first(struct pieces *pieces)
{
    return pieces->count ? &pieces->items[pieces->first] : NULL;
}

void asgi_piece_drop(struct pieces *pieces)
{
    PyObject *holder = pieces->items[pieces->first].holder;
    pieces->first++;
    pieces->count--;
    pieces->gone++;
    Py_XDECREF(holder);
}

static void pieces_clear(struct pieces *pieces)
{
    while (pieces->count)
        asgi_piece_drop(pieces);
}

static void pieces_done(struct pieces *pieces)
{
    pieces_clear(pieces);
    free(pieces->items);
    pieces->items = NULL;
    pieces->first = pieces->room = 0;
}

/* ---- Waiting ----------------------------------------------------------------------------------------- */

/* Everybody in the list looks again. */
void asgi_wake(PyObject **waiting)
{
    PyObject *list = *waiting;
    *waiting = NULL;
    for (Py_ssize_t i = 0; list && i < PyList_GET_SIZE(list); i++) {
        PyObject *future = PyList_GET_ITEM(list, i);
        PyObject *done = PyObject_CallMethodNoArgs(future, asgi_names.done);
        if (done == Py_False)
            Py_XDECREF(PyObject_CallMethodOneArg(future, asgi_names.set_result, Py_None));
        Py_XDECREF(done);
        if (PyErr_Occurred())
            PyErr_WriteUnraisable(future);
    }
    Py_XDECREF(list);
}

static PyObject *wait_on(PyObject **waiting)
{
    PyObject *future = PyObject_CallNoArgs(asgi.create_future);
    if (future && !*waiting)
        *waiting = PyList_New(0);
    if (future && (!*waiting || PyList_Append(*waiting, future) < 0))
        Py_CLEAR(future);
    return future;
}

typedef struct awaited {
    PyObject_HEAD request *request;
    bool sends, over;
    uint64_t until;     /* of what goes: so many pieces must have gone */
    PyObject *iterator; /* of the future that it waits on */
} awaited;

/* What there is now: 1 and the value; 0: one must wait; -1. */
static int look(awaited *a, PyObject **ret_value)
{
    request *r = a->request;
    if (!a->sends) {
        *ret_value = r->websocket ? asgi_websocket_take(r) : asgi_http_take(r);
        return *ret_value ? 1 : PyErr_Occurred() ? -1 : 0;
    }
    if (r->outgoing.gone < a->until)
        return 0;
    if (r->gone) {
        PyErr_SetString(asgi.disconnected, "the client has gone");
        return -1;
    }
    *ret_value = Py_NewRef(Py_None);
    return 1;
}

static PySendResult awaited_over(awaited *a, PySendResult result)
{
    a->over = true;
    return result;
}

static PySendResult awaited_send(PyObject *self, PyObject *argument, PyObject **ret_value)
{
    awaited *a = (awaited *)self;
    *ret_value = NULL;
    if (a->over) {
        PyErr_SetString(PyExc_RuntimeError, "this was awaited already");
        return PYGEN_ERROR;
    }
    for (;;) {
        if (a->iterator) {
            PySendResult result = PyIter_Send(a->iterator, argument, ret_value);
            if (result == PYGEN_NEXT)
                return result;
            Py_CLEAR(a->iterator);
            if (result == PYGEN_ERROR)
                return awaited_over(a, result);
            Py_CLEAR(*ret_value);
        }
        int there = look(a, ret_value);
        if (there)
            return awaited_over(a, there > 0 ? PYGEN_RETURN : PYGEN_ERROR);
        PyObject *future = wait_on(a->sends ? &a->request->senders : &a->request->receivers);
        a->iterator = future ? PyObject_GetIter(future) : NULL;
        Py_XDECREF(future);
        if (!a->iterator)
            return awaited_over(a, PYGEN_ERROR);
    }
}

static PyObject *stop_with(PySendResult result, PyObject *value)
{
    if (result == PYGEN_RETURN) {
        if (value == Py_None)
            PyErr_SetNone(PyExc_StopIteration);
        else
            PyErr_SetObject(PyExc_StopIteration, value);
        Py_CLEAR(value);
    }
    return value;
}

static PyObject *awaited_send_method(PyObject *self, PyObject *argument)
{
    PyObject *value;
    PySendResult result = awaited_send(self, argument, &value);
    return stop_with(result, value);
}

static PyObject *awaited_next(PyObject *self)
{
    return awaited_send_method(self, Py_None);
}

static void raise(PyObject *const *arguments, Py_ssize_t count)
{
    PyObject *type = arguments[0], *value = count > 1 ? arguments[1] : NULL;
    if (PyExceptionInstance_Check(type))
        PyErr_SetObject((PyObject *)Py_TYPE(type), type);
    else
        PyErr_SetObject(type, value);
}

static PyObject *awaited_throw(PyObject *self, PyObject *const *arguments, Py_ssize_t count)
{
    awaited *a = (awaited *)self;
    if (count < 1 || count > 3) {
        PyErr_SetString(PyExc_TypeError, "throw takes 1 to 3 arguments");
        return NULL;
    }
    if (!a->iterator) {
        a->over = true;
        raise(arguments, count);
        return NULL;
    }
    PyObject *throw = PyObject_GetAttrString(a->iterator, "throw");
    PyObject *value = throw ? PyObject_Vectorcall(throw, arguments, (size_t)count, NULL) : NULL;
    Py_XDECREF(throw);
    if (value)
        return value;
    Py_CLEAR(a->iterator);
    if (!PyErr_ExceptionMatches(PyExc_StopIteration)) {
        a->over = true;
        return NULL;
    }
    PyErr_Clear();
    return awaited_next(self);
}

static PyObject *awaited_close(PyObject *self, PyObject *nothing)
{
    awaited *a = (awaited *)self;
    a->over = true;
    Py_CLEAR(a->iterator);
    Py_RETURN_NONE;
}

static int awaited_traverse(PyObject *self, visitproc visit, void *arg)
{
    Py_VISIT(((awaited *)self)->request);
    Py_VISIT(((awaited *)self)->iterator);
    return 0;
}

static int awaited_clear(PyObject *self)
{
    Py_CLEAR(((awaited *)self)->request);
    Py_CLEAR(((awaited *)self)->iterator);
    return 0;
}

static void awaited_free(PyObject *self)
{
    PyObject_GC_UnTrack(self);
    awaited_clear(self);
    PyObject_GC_Del(self);
}

static PyMethodDef awaited_methods[] = {
    {"send", awaited_send_method, METH_O, NULL},
    {"throw", (PyCFunction)(void (*)(void))awaited_throw, METH_FASTCALL, NULL},
    {"close", awaited_close, METH_NOARGS, NULL},
    {0},
};
static PyAsyncMethods awaited_async = {.am_await = Py_NewRef, .am_send = awaited_send};
static PyTypeObject awaited_type = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "silver.Awaited",
    .tp_basicsize = sizeof(awaited),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
    .tp_dealloc = awaited_free,
    .tp_traverse = awaited_traverse,
    .tp_clear = awaited_clear,
    .tp_as_async = &awaited_async,
    .tp_iter = PyObject_SelfIter,
    .tp_iternext = awaited_next,
    .tp_methods = awaited_methods,
};

/* Nothing to wait for: as often as one likes. */
static PySendResult nothing_send(PyObject *self, PyObject *argument, PyObject **ret_value)
{
    *ret_value = Py_NewRef(Py_None);
    return PYGEN_RETURN;
}

static PyObject *nothing_next(PyObject *self)
{
    return NULL; /* which is to stop, with None */
}

static PyObject *nothing_send_method(PyObject *self, PyObject *argument)
{
    PyErr_SetNone(PyExc_StopIteration);
    return NULL;
}

static PyObject *nothing_throw(PyObject *self, PyObject *const *arguments, Py_ssize_t count)
{
    if (count < 1 || count > 3)
        PyErr_SetString(PyExc_TypeError, "throw takes 1 to 3 arguments");
    else
        raise(arguments, count);
    return NULL;
}

static PyObject *nothing_close(PyObject *self, PyObject *unused)
{
    Py_RETURN_NONE;
}

static PyMethodDef nothing_methods[] = {
    {"send", nothing_send_method, METH_O, NULL},
    {"throw", (PyCFunction)(void (*)(void))nothing_throw, METH_FASTCALL, NULL},
    {"close", nothing_close, METH_NOARGS, NULL},
    {0},
};
static PyAsyncMethods nothing_async = {.am_await = Py_NewRef, .am_send = nothing_send};
static PyTypeObject nothing_type = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "silver.Sent",
    .tp_basicsize = sizeof(PyObject),
    .tp_flags = Py_TPFLAGS_DEFAULT,
    .tp_as_async = &nothing_async,
    .tp_iter = PyObject_SelfIter,
    .tp_iternext = nothing_next,
    .tp_methods = nothing_methods,
};
static PyObject *nothing;

static PyObject *awaited_new(request *r, bool sends)
{
    awaited *a = PyObject_GC_New(awaited, &awaited_type);
    if (!a)
        return NULL;
    a->request = (request *)Py_NewRef((PyObject *)r);
    a->sends = sends;
    a->over = false;
    a->until = sends ? r->outgoing.gone + r->outgoing.count : 0;
    a->iterator = NULL;
    PyObject_GC_Track((PyObject *)a);
    return (PyObject *)a;
}

PyObject *asgi_sent(request *r)
{
    asgi_pump(r);
    return r->outgoing.count ? awaited_new(r, true) : Py_NewRef(nothing);
}

/* ---- Receive and send -------------------------------------------------------------------------------- */

static PyObject *receive(PyObject *self, PyObject *unused)
{
    return awaited_new((request *)self, false);
}

static PyObject *send_on(PyObject *self, PyObject *message)
{
    request *r = (request *)self;
    if (!PyDict_Check(message)) {
        PyErr_Format(PyExc_TypeError, "send takes a message, which is a dict, not %s",
                     Py_TYPE(message)->tp_name);
        return NULL;
    }
    PyObject *type = PyDict_GetItemWithError(message, asgi_names.type);
    if (!type || !PyUnicode_Check(type)) {
        if (!PyErr_Occurred())
            PyErr_SetString(PyExc_ValueError, "a message must have a \"type\", which is a string");
        return NULL;
    }
    if (r->gone) {
        PyErr_SetString(asgi.disconnected, "the client has gone");
        return NULL;
    }
    return r->websocket ? asgi_websocket_send(r, type, message) : asgi_http_send(r, type, message);
}

static PyMethodDef send_on_method = {"send", send_on, METH_O, NULL};

/* That the client has gone is no reason to undo anything, but that its time was up is: it was told so. */
static PyObject *send(PyObject *self, PyObject *message)
{
    request *r = (request *)self;
    if (!r->transaction || r->late || !PyDict_Check(message))
        return send_on(self, message);
    PyObject *plain = PyCFunction_New(&send_on_method, self);
    PyObject *sent = plain ? transaction_send(r->transaction, message, plain) : NULL;
    Py_XDECREF(plain);
    return sent;
}

static PyMethodDef receive_method = {"receive", receive, METH_NOARGS, "Waits for the next message."};
static PyMethodDef send_method = {"send", send, METH_O, "Sends a message."};

PyObject *asgi_request_receive(request *r)
{
    return PyCFunction_New(&receive_method, (PyObject *)r);
}

PyObject *asgi_request_send(request *r)
{
    return PyCFunction_New(&send_method, (PyObject *)r);
}

void asgi_took(request *r, size_t size)
{
    r->taken += size;
    if (r->taken < 1024 || (r->taken < SL__TALK_WINDOW / 4 && r->incoming.count) || !r->listed)
        return;
    asgi_put(r, SL__CREDIT, (uint16_t)(r->taken / 1024), NULL, 0);
    r->taken %= 1024;
}

/* ---- Sending ----------------------------------------------------------------------------------------- */

/* How much of the piece may go now. A message goes whole, and one that is larger than the window when nothing
 * of that is used (but for less than a KiB, in which credit is counted). */
static size_t allowed(const request *r, const struct piece *piece)
{
    size_t left = piece->size - piece->offset;
    if (piece->word != WEB_BODY)
        return (int64_t)left <= r->window || r->window > (int64_t)SL__TALK_WINDOW - 1024 ? left : 0;
    size_t most = r->window > 0 ? (size_t)r->window : 0;
    if (left > ASGI_PIECE)
        left = ASGI_PIECE;
    return left <= most ? left : 0;
}

void asgi_pump(request *r)
{
    for (struct piece *piece; r->listed && !r->gone && (piece = asgi_piece_first(&r->outgoing));) {
        if (!piece->word) {
            asgi_put(r, SL__END, 0, NULL, 0);
        } else {
            size_t size = allowed(r, piece);
            if (!size && piece->size > piece->offset)
                return;
            asgi_put(r, SL__DATA, piece->word, piece->data + piece->offset, size);
            r->window -= (int64_t)size;
            piece->offset += size;
            if (piece->offset < piece->size)
                continue;
        }
        asgi_piece_drop(&r->outgoing);
    }
    if (r->senders && !r->outgoing.count)
        asgi_wake(&r->senders);
    if (r->finished)
        asgi_settle(r);
}

void asgi_settle(request *r)
{
    if (!r->listed || !r->finished || (r->outgoing.count && !r->gone))
        return;
    asgi_put(r, SL__RESULT, 0, NULL, 0);
    asgi_unlist(r);
}

void asgi_leave(request *r)
{
    r->gone = true;
    pieces_clear(&r->outgoing);
    asgi_wake(&r->senders);
    asgi_wake(&r->receivers);
}

/* ---- What messages are made of ----------------------------------------------------------------------- */

int asgi_bytes(PyObject *message, PyObject *key, PyObject **ret_holder)
{
    PyObject *value = PyDict_GetItemWithError(message, key);
    if (!value || value == Py_None)
        return PyErr_Occurred() ? -1 : 0;
    if (PyBytes_Check(value)) {
        *ret_holder = Py_NewRef(value);
        return 1;
    }
    if (!PyObject_CheckBuffer(value)) {
        PyErr_Format(PyExc_TypeError, "\"%U\" of a message must be bytes, not %s", key,
                     Py_TYPE(value)->tp_name);
        return -1;
    }
    *ret_holder = PyBytes_FromObject(value);
    return *ret_holder ? 1 : -1;
}

static bool add_header(request *r, PyObject *pair)
{
    PyObject *name = PySequence_Fast_GET_ITEM(pair, 0), *value = PySequence_Fast_GET_ITEM(pair, 1);
    if (!PyBytes_Check(name) || !PyBytes_Check(value)) {
        PyErr_Format(PyExc_TypeError, "name and value of a header must be bytes, not %s and %s",
                     Py_TYPE(name)->tp_name, Py_TYPE(value)->tp_name);
        return false;
    }
    size_t name_size = (size_t)PyBytes_GET_SIZE(name), size = (size_t)PyBytes_GET_SIZE(value);
    const char *name_text = PyBytes_AS_STRING(name), *text = PyBytes_AS_STRING(value);
    static const char token[] =
        "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
    if (!name_size || strspn(name_text, token) != name_size) {
        PyErr_Format(PyExc_ValueError, "%R is no name of a header", name);
        return false;
    }
    if (strcspn(text, "\r\n") != size) {
        PyErr_Format(PyExc_ValueError, "the value of the header %R has characters that a header cannot have",
                     name);
        return false;
    }
    if (r->header_count == r->header_room) {
        r->header_room = r->header_room ? r->header_room * 2 : 8;
        r->headers = sl_realloc(r->headers, r->header_room * sizeof(*r->headers));
    }
    struct response_header *header = &r->headers[r->header_count++];
    header->name = (uint32_t)r->text.size;
    sl_buffer_put(&r->text, name_text, name_size + 1);
    header->value = (uint32_t)r->text.size;
    header->size = (uint32_t)size;
    sl_buffer_put(&r->text, text, size + 1);
    return true;
}

bool asgi_headers(request *r, PyObject *message)
{
    r->header_count = 0;
    r->text.size = 0;
    PyObject *given = PyDict_GetItemWithError(message, asgi_names.headers);
    if (!given || given == Py_None)
        return !PyErr_Occurred();
    PyObject *list = PySequence_Fast(given, "\"headers\" of a message must be a list of pairs");
    bool good = list != NULL;
    for (Py_ssize_t i = 0; good && i < PySequence_Fast_GET_SIZE(list); i++) {
        PyObject *pair = PySequence_Fast(PySequence_Fast_GET_ITEM(list, i), "a header must be a pair");
        good = pair != NULL;
        if (good && PySequence_Fast_GET_SIZE(pair) != 2) {
            PyErr_SetString(PyExc_ValueError, "a header must be a pair of a name and a value");
            good = false;
        }
        good = good && add_header(r, pair);
        Py_XDECREF(pair);
    }
    Py_XDECREF(list);
    return good;
}

struct web_header *asgi_web_headers(request *r, sl_arena *arena)
{
    struct web_header *headers = sl_arena_alloc(arena, (r->header_count + 1) * sizeof(*headers));
    for (size_t i = 0; i < r->header_count; i++)
        headers[i] = (struct web_header){.name = r->text.data + r->headers[i].name,
                                         .value = {r->text.data + r->headers[i].value, r->headers[i].size}};
    return headers;
}

/* ---- Its life ---------------------------------------------------------------------------------------- */

static int request_traverse(PyObject *self, visitproc visit, void *arg)
{
    request *r = (request *)self;
    Py_VISIT(r->task);
    Py_VISIT(r->timer);
    Py_VISIT(r->scope);
    Py_VISIT(r->transaction);
    Py_VISIT(r->receivers);
    Py_VISIT(r->senders);
    return 0;
}

static int request_clear(PyObject *self)
{
    request *r = (request *)self;
    Py_CLEAR(r->task);
    Py_CLEAR(r->timer);
    Py_CLEAR(r->scope);
    Py_CLEAR(r->transaction);
    Py_CLEAR(r->receivers);
    Py_CLEAR(r->senders);
    return 0;
}

static void request_free(PyObject *self)
{
    request *r = (request *)self;
    PyObject_GC_UnTrack(self);
    request_clear(self);
    Py_CLEAR(r->body);
    Py_CLEAR(r->close_reason);
    pieces_done(&r->incoming);
    pieces_done(&r->outgoing);
    if (r->body_file >= 0)
        close(r->body_file);
    free(r->headers);
    sl_buffer_done(&r->text);
    PyObject_GC_Del(self);
}

request *asgi_request_new(uint64_t id, const struct web_request *web)
{
    request *r = PyObject_GC_New(request, &asgi_request_type);
    if (!r)
        return NULL;
    memset((char *)r + sizeof(PyObject), 0, sizeof(*r) - sizeof(PyObject));
    r->id = id;
    r->websocket = web->websocket;
    r->window = SL__TALK_WINDOW;
    r->body_file = web->body_file;
    r->body_left = web->body_file >= 0 ? web->body_size : 0;
    r->body_streams = web->body_file < 0 && web->body_size < 0;
    snprintf(r->name, sizeof(r->name), "%s", web->id ? web->id : "");
    snprintf(r->peer, sizeof(r->peer), "%s", web->peer ? web->peer : "");
    r->begun_ns = sl_monotonic_ns();
    if (web->deadline_ms > 0)
        r->deadline_ns = r->begun_ns + (uint64_t)web->deadline_ms * 1000000;
    if (!r->body_streams && r->body_file < 0)
        r->body = PyBytes_FromStringAndSize(web->body.data, (Py_ssize_t)web->body.size);
    PyObject_GC_Track((PyObject *)r);
    if (PyErr_Occurred())
        Py_CLEAR(r);
    return r;
}

/* A request is its task's callback. */
static PyObject *request_call(PyObject *self, PyObject *arguments, PyObject *keywords)
{
    asgi_ended((request *)self);
    Py_RETURN_NONE;
}

PyTypeObject asgi_request_type = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "silver.Request",
    .tp_basicsize = sizeof(request),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
    .tp_dealloc = request_free,
    .tp_traverse = request_traverse,
    .tp_clear = request_clear,
    .tp_call = request_call,
};

bool asgi_request_open(void)
{
    if (PyType_Ready(&asgi_request_type) < 0 || PyType_Ready(&awaited_type) < 0 ||
        PyType_Ready(&nothing_type) < 0)
        return false;
    nothing = _PyObject_New(&nothing_type);
    return nothing != NULL;
}
