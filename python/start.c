/* start.c: start_response, and write() which it gives. What an application says wrongly is refused where it
 * says it, with what is wrong. */
#include "wsgi.h"

PyTypeObject exchange_type;

/* ---- What is demanded -------------------------------------------------------------------------------- */

/* "200 OK": three digits, a space, a reason. */
static int check_status(PyObject *status)
{
    if (!PyUnicode_Check(status)) {
        PyErr_Format(PyExc_TypeError, "the status must be a str such as \"200 OK\", not %R",
                     (PyObject *)Py_TYPE(status));
        return -1;
    }
    Py_ssize_t size = PyUnicode_GET_LENGTH(status);
    const Py_UCS1 *text =
        PyUnicode_KIND(status) == PyUnicode_1BYTE_KIND ? PyUnicode_1BYTE_DATA(status) : NULL;
    bool good = text && size >= 4 && text[3] == ' ' && text[0] >= '2' && text[0] <= '9';
    for (int i = 1; good && i < 3; i++)
        good = text[i] >= '0' && text[i] <= '9';
    for (Py_ssize_t i = 4; good && i < size; i++)
        good = text[i] >= 0x20 && text[i] != 0x7f;
    if (!good) {
        PyErr_Format(PyExc_ValueError,
                     "the status must be three digits from 200 on, a space and a reason, not %R", status);
        return -1;
    }
    return (text[0] - '0') * 100 + (text[1] - '0') * 10 + (text[2] - '0');
}

/* Characters of a token (RFC 9110, 5.6.2). */
static const bool token[256] = {['!'] = 1,         ['#'] = 1,         ['$'] = 1,        ['%'] = 1, ['&'] = 1,
                                ['\''] = 1,        ['*'] = 1,         ['+'] = 1,        ['-'] = 1, ['.'] = 1,
                                ['^'] = 1,         ['_'] = 1,         ['`'] = 1,        ['|'] = 1, ['~'] = 1,
                                ['0' ... '9'] = 1, ['A' ... 'Z'] = 1, ['a' ... 'z'] = 1};

static bool is_name(PyObject *name, const char *lower)
{
    sl_view view = {(const char *)PyUnicode_1BYTE_DATA(name), (size_t)PyUnicode_GET_LENGTH(name)};
    return sl_view_equal_nocase(view, sl_view_of(lower));
}

/* These are about the connection, which is not the application's. */
static bool is_hop_by_hop(PyObject *name)
{
    static const char *const names[] = {"connection",          "keep-alive", "proxy-authenticate",
                                        "proxy-authorization", "te",         "trailers",
                                        "transfer-encoding",   "upgrade"};
    switch (PyUnicode_1BYTE_DATA(name)[0] | 0x20) {
    case 'c':
    case 'k':
    case 'p':
    case 't':
    case 'u':
        for (size_t i = 0; i < sl_array_size(names); i++)
            if (is_name(name, names[i]))
                return true;
    }
    return false;
}

static int check_name(PyObject *name)
{
    const Py_UCS1 *text = PyUnicode_IS_ASCII(name) ? PyUnicode_1BYTE_DATA(name) : NULL;
    Py_ssize_t size = PyUnicode_GET_LENGTH(name);
    bool good = text && size;
    for (Py_ssize_t i = 0; good && i < size; i++)
        good = token[text[i]];
    if (!good) {
        PyErr_Format(PyExc_ValueError, "%R is no name of a header", name);
        return -1;
    }
    if (is_hop_by_hop(name)) {
        PyErr_Format(PyExc_ValueError,
                     "the header %R is about the connection: the server sets it, not the application", name);
        return -1;
    }
    return 0;
}

static int check_value(PyObject *name, PyObject *value)
{
    const Py_UCS1 *text = PyUnicode_KIND(value) == PyUnicode_1BYTE_KIND ? PyUnicode_1BYTE_DATA(value) : NULL;
    Py_ssize_t size = PyUnicode_GET_LENGTH(value);
    bool good = text;
    for (Py_ssize_t i = 0; good && i < size; i++)
        good = (text[i] >= 0x20 && text[i] != 0x7f) || text[i] == '\t';
    if (good)
        return 0;
    PyErr_Format(PyExc_ValueError, "the value of the header %R has a character that may not be there: %R",
                 name, value);
    return -1;
}

/* The number; or -1 with an exception. */
static int64_t read_length(PyObject *value)
{
    sl_view text = {(const char *)PyUnicode_1BYTE_DATA(value), (size_t)PyUnicode_GET_LENGTH(value)};
    uint64_t number;
    if (sl_view_number(text, INT64_MAX, &number) == 0)
        return (int64_t)number;
    PyErr_Format(PyExc_ValueError, "Content-Length must be a number, not %R", value);
    return -1;
}

static int check_header(PyObject *header, int64_t *length)
{
    if (!PyTuple_Check(header) || PyTuple_GET_SIZE(header) != 2 ||
        !PyUnicode_Check(PyTuple_GET_ITEM(header, 0)) || !PyUnicode_Check(PyTuple_GET_ITEM(header, 1))) {
        PyErr_Format(PyExc_TypeError, "a header must be a tuple of two str, not %R", header);
        return -1;
    }
    PyObject *name = PyTuple_GET_ITEM(header, 0), *value = PyTuple_GET_ITEM(header, 1);
    if (check_name(name) < 0 || check_value(name, value) < 0)
        return -1;
    if (PyUnicode_GET_LENGTH(name) != 14 || !is_name(name, "content-length"))
        return 0;
    if (*length >= 0) {
        PyErr_SetString(PyExc_ValueError, "there are two headers Content-Length");
        return -1;
    }
    *length = read_length(value);
    return *length < 0 ? -1 : 0;
}

/* A tuple of them; or NULL with an exception. */
static PyObject *check_headers(PyObject *list, int64_t *ret_length)
{
    *ret_length = -1;
    if (!PyList_Check(list)) {
        PyErr_Format(PyExc_TypeError, "the headers must be a list of tuples, not %R",
                     (PyObject *)Py_TYPE(list));
        return NULL;
    }
    PyObject *headers = PyList_AsTuple(list);
    for (Py_ssize_t i = 0; headers && i < PyTuple_GET_SIZE(headers); i++)
        if (check_header(PyTuple_GET_ITEM(headers, i), ret_length) < 0)
            Py_CLEAR(headers);
    return headers;
}

/* ---- start_response ---------------------------------------------------------------------------------- */

/* Raises what exc_info holds. */
static void raise_again(PyObject *info)
{
    PyObject *value = PyTuple_GET_ITEM(info, 1), *traceback = PyTuple_GET_ITEM(info, 2);
    if (PyTraceBack_Check(traceback))
        PyException_SetTraceback(value, traceback);
    PyErr_SetObject((PyObject *)Py_TYPE(value), value);
}

/* Whether it may be called now, again. */
static int check_order(struct exchange *exchange, PyObject *info)
{
    if (!exchange->thread) {
        PyErr_SetString(PyExc_RuntimeError, "start_response was called after its request had ended");
        return -1;
    }
    if (info && info != Py_None) {
        if (!PyTuple_Check(info) || PyTuple_GET_SIZE(info) != 3 ||
            !PyExceptionInstance_Check(PyTuple_GET_ITEM(info, 1))) {
            PyErr_SetString(PyExc_TypeError,
                            "exc_info must be what sys.exc_info() gives while an exception is handled");
            return -1;
        }
        if (exchange->head_sent) {
            raise_again(info);
            return -1;
        }
        return 0;
    }
    if (exchange->status) {
        PyErr_SetString(PyExc_AssertionError,
                        "start_response was called twice, the second time without exc_info");
        return -1;
    }
    return 0;
}

static PyObject *write_method(PyObject *self, PyObject *data);
static PyMethodDef write_definition = {"write", write_method, METH_O,
                                       "write(bytes): sends a piece of the body now"};

static PyObject *start(struct exchange *exchange, PyObject *status, PyObject *headers, PyObject *info)
{
    if (check_order(exchange, info) < 0)
        return NULL;
    int64_t length;
    int code = check_status(status);
    PyObject *checked = code < 0 ? NULL : check_headers(headers, &length);
    if (!checked)
        return NULL;
    Py_XSETREF(exchange->status, Py_NewRef(status));
    Py_XSETREF(exchange->headers, checked);
    exchange->code = code;
    exchange->length = length;
    return PyCFunction_New(&write_definition, (PyObject *)exchange);
}

static PyObject *call(PyObject *self, PyObject *const *arguments, size_t flags, PyObject *names)
{
    Py_ssize_t count = PyVectorcall_NARGS(flags), named = names ? PyTuple_GET_SIZE(names) : 0;
    if (count == 2 && named == 0)
        return start((struct exchange *)self, arguments[0], arguments[1], NULL);
    if (count == 3 && named == 0)
        return start((struct exchange *)self, arguments[0], arguments[1], arguments[2]);
    if (count == 2 && named == 1 &&
        PyUnicode_CompareWithASCIIString(PyTuple_GET_ITEM(names, 0), "exc_info") == 0)
        return start((struct exchange *)self, arguments[0], arguments[1], arguments[2]);
    PyErr_SetString(PyExc_TypeError, "it is called as start_response(status, headers, exc_info=None)");
    return NULL;
}

static PyObject *write_method(PyObject *self, PyObject *data)
{
    struct exchange *exchange = (struct exchange *)self;
    if (!PyBytes_Check(data)) {
        PyErr_Format(PyExc_TypeError, "write() takes bytes, not %R", (PyObject *)Py_TYPE(data));
        return NULL;
    }
    if (!exchange->thread) {
        PyErr_SetString(PyExc_RuntimeError, "write() was called after its request had ended");
        return NULL;
    }
    if (exchange_send(exchange, PyBytes_AS_STRING(data), (size_t)PyBytes_GET_SIZE(data), false) < 0)
        return NULL;
    Py_RETURN_NONE;
}

/* ---- The object -------------------------------------------------------------------------------------- */

struct exchange *exchange_new(struct web_thread *thread, const struct web_request *request)
{
    PyObject *self = thread->exchange;
    thread->exchange = NULL;
    if (self && Py_REFCNT(self) > 1) /* somebody keeps it: it stays as it ended */
        Py_CLEAR(self);
    struct exchange *exchange = (struct exchange *)self;
    if (!exchange && !(exchange = PyObject_New(struct exchange, &exchange_type)))
        return NULL;
    exchange->call = call;
    exchange->thread = thread;
    exchange->status = exchange->headers = NULL;
    exchange->code = 0;
    exchange->length = -1;
    exchange->sent = 0;
    exchange->head_only = strcmp(request->method, "HEAD") == 0;
    exchange->head_sent = exchange->complete = exchange->left = exchange->complained = false;
    return exchange;
}

void exchange_end(struct exchange *exchange)
{
    exchange->thread = NULL;
    Py_CLEAR(exchange->status);
    Py_CLEAR(exchange->headers);
}

bool exchange_bodyless(const struct exchange *exchange)
{
    return exchange->head_only || exchange->code == 204 || exchange->code == 304;
}

static void exchange_dealloc(PyObject *self)
{
    exchange_end((struct exchange *)self);
    PyObject_Free(self);
}

PyTypeObject exchange_type = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "silver.start_response",
    .tp_basicsize = sizeof(struct exchange),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_VECTORCALL | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .tp_doc = "start_response(status, headers, exc_info=None)",
    .tp_dealloc = exchange_dealloc,
    .tp_vectorcall_offset = offsetof(struct exchange, call),
    .tp_call = PyVectorcall_Call,
};
