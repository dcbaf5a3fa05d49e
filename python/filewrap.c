/* filewrap.c: wsgi.file_wrapper. An application that gives one back says: the body is what is left of this
 * file. If it is a plain file, its descriptor goes to the instance, which sends it without anybody copying;
 * of anything else that can be read, the pieces are read here. */
#include "wsgi.h"

#include <sys/stat.h>
#include <unistd.h>

#define BLOCK 65536
#define WRAPPINGS_MAX 4 /* of files within files */

struct filewrap {
    PyObject_HEAD PyObject *file, *size;
};

/* Files that do nothing to what is in them, by exact type: a GzipFile has a descriptor, too, and a text file.
 */
static PyObject *raw_type, *reader_type, *random_type;

static int find_types(void)
{
    if (raw_type)
        return 0;
    PyObject *io = PyImport_ImportModule("io");
    if (!io)
        return -1;
    reader_type = PyObject_GetAttrString(io, "BufferedReader");
    random_type = reader_type ? PyObject_GetAttrString(io, "BufferedRandom") : NULL;
    raw_type = random_type ? PyObject_GetAttrString(io, "FileIO") : NULL;
    Py_DECREF(io);
    return raw_type ? 0 : -1;
}

/* The attribute; NULL without an exception if there is none. */
static PyObject *attribute(PyObject *object, const char *name)
{
    PyObject *value = PyObject_GetAttrString(object, name);
    if (!value)
        PyErr_Clear();
    return value;
}

static bool is_plain(PyObject *file)
{
    PyObject *type = (PyObject *)Py_TYPE(file);
    if (type == raw_type)
        return true;
    if (type != reader_type && type != random_type)
        return false;
    PyObject *raw = attribute(file, "raw");
    bool plain = raw && (PyObject *)Py_TYPE(raw) == raw_type;
    Py_XDECREF(raw);
    return plain;
}

/* The plain file in it, such as that of a temporary file's object or of Django's File; a new reference, or
 * NULL. */
static PyObject *find_plain(PyObject *file)
{
    Py_INCREF(file);
    for (int i = 0; file && i < WRAPPINGS_MAX && !is_plain(file); i++)
        Py_SETREF(file, attribute(file, "file"));
    if (file && !is_plain(file))
        Py_CLEAR(file);
    return file;
}

static int64_t number_from(PyObject *file, const char *method)
{
    PyObject *value = PyObject_CallMethod(file, method, NULL);
    long long number = value ? PyLong_AsLongLong(value) : -1;
    Py_XDECREF(value);
    PyErr_Clear();
    return number;
}

int filewrap_file(PyObject *wrapper, int *ret_fd, int64_t *ret_offset, int64_t *ret_size)
{
    if (find_types() < 0)
        return -1;
    PyObject *file = find_plain(((struct filewrap *)wrapper)->file);
    if (!file)
        return 0;
    int fd = (int)number_from(file, "fileno");
    int64_t offset = number_from(file, "tell");
    Py_DECREF(file);
    struct stat status;
    if (fd < 0 || offset < 0 || fstat(fd, &status) < 0 || !S_ISREG(status.st_mode))
        return 0;
    if (status.st_size == 0) /* those of /proc say so, and have contents */
        return 0;
    *ret_fd = fd;
    *ret_offset = offset;
    *ret_size = status.st_size > offset ? status.st_size - offset : 0;
    return 1;
}

/* ---- The object -------------------------------------------------------------------------------------- */

static PyObject *filewrap_new(PyTypeObject *type, PyObject *arguments, PyObject *keywords)
{
    static char *names[] = {"filelike", "blksize", NULL};
    PyObject *file, *size = NULL;
    if (!PyArg_ParseTupleAndKeywords(arguments, keywords, "O|O:file_wrapper", names, &file, &size))
        return NULL;
    struct filewrap *self = (struct filewrap *)type->tp_alloc(type, 0);
    if (!self)
        return NULL;
    self->file = Py_NewRef(file);
    self->size = size ? Py_NewRef(size) : PyLong_FromLong(BLOCK);
    return (PyObject *)self;
}

static PyObject *filewrap_next(PyObject *self)
{
    struct filewrap *wrap = (struct filewrap *)self;
    PyObject *method = PyObject_GetAttrString(wrap->file, "read");
    PyObject *piece = method ? PyObject_CallOneArg(method, wrap->size) : NULL;
    Py_XDECREF(method);
    int more = piece ? PyObject_IsTrue(piece) : 0;
    if (piece && more <= 0)
        Py_CLEAR(piece);
    return piece;
}

static PyObject *filewrap_close(PyObject *self, PyObject *nothing)
{
    PyObject *method = PyObject_GetAttrString(((struct filewrap *)self)->file, "close");
    if (!method) {
        if (!PyErr_ExceptionMatches(PyExc_AttributeError))
            return NULL;
        PyErr_Clear();
        Py_RETURN_NONE;
    }
    PyObject *result = PyObject_CallNoArgs(method);
    Py_DECREF(method);
    return result;
}

static int filewrap_traverse(PyObject *self, visitproc visit, void *arg)
{
    Py_VISIT(((struct filewrap *)self)->file);
    Py_VISIT(((struct filewrap *)self)->size);
    return 0;
}

static int filewrap_clear(PyObject *self)
{
    Py_CLEAR(((struct filewrap *)self)->file);
    Py_CLEAR(((struct filewrap *)self)->size);
    return 0;
}

static void filewrap_dealloc(PyObject *self)
{
    PyObject_GC_UnTrack(self);
    filewrap_clear(self);
    Py_TYPE(self)->tp_free(self);
}

static PyMethodDef filewrap_methods[] = {
    {"close", filewrap_close, METH_NOARGS, "closes the file, if it can be closed"},
    {0},
};

PyTypeObject filewrap_type = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "silver.FileWrapper",
    .tp_basicsize = sizeof(struct filewrap),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
    .tp_doc = "file_wrapper(filelike, blksize=65536): gives the file's pieces; a plain file is sent as it is",
    .tp_new = filewrap_new,
    .tp_dealloc = filewrap_dealloc,
    .tp_traverse = filewrap_traverse,
    .tp_clear = filewrap_clear,
    .tp_iter = PyObject_SelfIter,
    .tp_iternext = filewrap_next,
    .tp_methods = filewrap_methods,
};
