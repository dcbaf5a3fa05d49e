/* input.c: wsgi.input: the request's body, which lies in memory or in a file, whole. Reading never goes
 * beyond it, and gives nothing more once the request is over. */
#include "wsgi.h"

#include <errno.h>
#include <unistd.h>

#define WINDOW 65536

struct input {
    PyObject_HEAD sl_view body; /* in memory */
    int fd;                     /* or here; -1 */
    int64_t size, at;
    char *window; /* of the file: what was read ahead */
    int64_t window_at;
    size_t window_size;
};

static int64_t left(const struct input *input)
{
    return input->size - input->at;
}

/* ---- The file ---------------------------------------------------------------------------------------- */

static ssize_t read_file(const struct input *input, char *to, size_t size, int64_t at)
{
    ssize_t got;
    Py_BEGIN_ALLOW_THREADS do got = pread(input->fd, to, size, (off_t)at);
    while (got < 0 && errno == EINTR)
        ;
    Py_END_ALLOW_THREADS if (got < 0) PyErr_SetFromErrno(PyExc_OSError);
    else if (got == 0) PyErr_SetString(PyExc_OSError, "the request's body is shorter than it was");
    return got;
}

static int read_all(struct input *input, char *to, size_t size)
{
    while (size) {
        ssize_t got = read_file(input, to, size, input->at);
        if (got <= 0)
            return -1;
        input->at += got;
        to += got;
        size -= (size_t)got;
    }
    return 0;
}

/* What is there from `at` on without reading more than a window of the file; empty with an exception. */
static sl_view ahead(struct input *input, int64_t at)
{
    if (input->fd < 0)
        return (sl_view){input->body.data + at, (size_t)(input->size - at)};
    if (at < input->window_at || at >= input->window_at + (int64_t)input->window_size) {
        if (!input->window)
            input->window = sl_malloc(WINDOW);
        int64_t more = input->size - at;
        ssize_t got = read_file(input, input->window, more < WINDOW ? (size_t)more : WINDOW, at);
        if (got <= 0)
            return (sl_view){0};
        input->window_at = at;
        input->window_size = (size_t)got;
    }
    size_t skip = (size_t)(at - input->window_at);
    return (sl_view){input->window + skip, input->window_size - skip};
}

/* ---- Reading ----------------------------------------------------------------------------------------- */

static PyObject *take(struct input *input, int64_t size)
{
    PyObject *bytes = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)size);
    if (!bytes)
        return NULL;
    if (input->fd < 0) {
        if (size)
            memcpy(PyBytes_AS_STRING(bytes), input->body.data + input->at, (size_t)size);
        input->at += size;
    } else if (read_all(input, PyBytes_AS_STRING(bytes), (size_t)size) < 0) {
        Py_CLEAR(bytes);
    }
    return bytes;
}

/* The argument `size`: nothing, None and negative are all of it. 0 or -1. */
static int limit(struct input *input, const char *name, PyObject *const *arguments, Py_ssize_t count,
                 int64_t *ret_limit)
{
    int64_t most = left(input), wanted = -1;
    if (count > 1) {
        PyErr_Format(PyExc_TypeError, "%s() takes at most 1 argument (%zd given)", name, count);
        return -1;
    }
    if (count == 1 && arguments[0] != Py_None) {
        wanted = PyNumber_AsSsize_t(arguments[0], PyExc_OverflowError);
        if (wanted == -1 && PyErr_Occurred())
            return -1;
    }
    *ret_limit = wanted >= 0 && wanted < most ? wanted : most;
    return 0;
}

static PyObject *input_read(PyObject *self, PyObject *const *arguments, Py_ssize_t count)
{
    struct input *input = (struct input *)self;
    int64_t size;
    return limit(input, "read", arguments, count, &size) < 0 ? NULL : take(input, size);
}

/* The length of the next line, newline included, at most `most`; or -1. */
static int64_t line_size(struct input *input, int64_t most)
{
    int64_t size = 0;
    while (size < most) {
        sl_view there = ahead(input, input->at + size);
        if (!there.size)
            return -1;
        if ((int64_t)there.size > most - size)
            there.size = (size_t)(most - size);
        const char *newline = memchr(there.data, '\n', there.size);
        if (newline)
            return size + (newline - there.data) + 1;
        size += (int64_t)there.size;
    }
    return size;
}

static PyObject *line(struct input *input, int64_t most)
{
    int64_t size = line_size(input, most);
    if (size < 0)
        return NULL;
    bool window = input->fd >= 0 && input->at >= input->window_at &&
                  input->at + size <= input->window_at + (int64_t)input->window_size;
    if (!window)
        return take(input, size);
    const char *from = input->window + (input->at - input->window_at);
    input->at += size;
    return PyBytes_FromStringAndSize(from, (Py_ssize_t)size);
}

static PyObject *input_readline(PyObject *self, PyObject *const *arguments, Py_ssize_t count)
{
    struct input *input = (struct input *)self;
    int64_t most;
    return limit(input, "readline", arguments, count, &most) < 0 ? NULL : line(input, most);
}

static PyObject *input_readlines(PyObject *self, PyObject *const *arguments, Py_ssize_t count)
{
    struct input *input = (struct input *)self;
    int64_t hint, start = input->at;
    if (limit(input, "readlines", arguments, count, &hint) < 0)
        return NULL;
    if (hint == 0) /* as files have it: 0 is no hint */
        hint = left(input);
    PyObject *lines = PyList_New(0);
    while (lines && left(input) > 0 && input->at - start < hint) {
        PyObject *next = line(input, left(input));
        if (!next || PyList_Append(lines, next) < 0)
            Py_CLEAR(lines);
        Py_XDECREF(next);
    }
    return lines;
}

static PyObject *input_next(PyObject *self)
{
    struct input *input = (struct input *)self;
    return left(input) > 0 ? line(input, left(input)) : NULL;
}

static PyObject *input_close(PyObject *self, PyObject *nothing)
{
    input_end(self);
    Py_RETURN_NONE;
}

static PyObject *input_readable(PyObject *self, PyObject *nothing)
{
    Py_RETURN_TRUE;
}

/* ---- The object -------------------------------------------------------------------------------------- */

PyObject *input_new(struct web_thread *thread, sl_view body, int fd, int64_t size)
{
    PyObject *self = thread->input;
    thread->input = NULL;
    if (self && Py_REFCNT(self) > 1)
        Py_CLEAR(self);
    struct input *input = (struct input *)self;
    if (!input && !(input = PyObject_New(struct input, &input_type)))
        return NULL;
    input->body = body;
    input->fd = fd;
    input->size = size;
    input->at = 0;
    input->window = NULL;
    input->window_at = 0;
    input->window_size = 0;
    return (PyObject *)input;
}

void input_end(PyObject *self)
{
    struct input *input = (struct input *)self;
    if (input->fd >= 0)
        close(input->fd);
    free(input->window);
    input->window = NULL;
    input->window_size = 0;
    input->body = (sl_view){0};
    input->fd = -1;
    input->size = input->at = 0;
}

static void input_dealloc(PyObject *self)
{
    input_end(self);
    PyObject_Free(self);
}

static PyMethodDef input_methods[] = {
    {"read", (PyCFunction)(void (*)(void))input_read, METH_FASTCALL,
     "read(size=-1): so many bytes of the request's body, or all that is left"},
    {"readline", (PyCFunction)(void (*)(void))input_readline, METH_FASTCALL, "readline(size=-1): a line"},
    {"readlines", (PyCFunction)(void (*)(void))input_readlines, METH_FASTCALL, "readlines(hint=-1): lines"},
    {"readable", input_readable, METH_NOARGS, "True"},
    {"close", input_close, METH_NOARGS, "forgets the body"},
    {0},
};

PyTypeObject input_type = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "silver.Input",
    .tp_basicsize = sizeof(struct input),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .tp_doc = "wsgi.input: the body of the request",
    .tp_dealloc = input_dealloc,
    .tp_iter = PyObject_SelfIter,
    .tp_iternext = input_next,
    .tp_methods = input_methods,
};
