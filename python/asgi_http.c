/* asgi_http.c: the messages of an http scope. */
#include "asgi_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#define WITH_HEAD_MAX 12288 /* a body of this size goes in one packet with its head */

/* ---- What comes -------------------------------------------------------------------------------------- */

static PyObject *body_message(PyObject *body, bool more)
{
    PyObject *message = PyDict_New();
    if (message && (PyDict_SetItem(message, asgi_names.type, asgi_names.http_request) < 0 ||
                    PyDict_SetItem(message, asgi_names.body, body) < 0 ||
                    PyDict_SetItem(message, asgi_names.more_body, more ? Py_True : Py_False) < 0))
        Py_CLEAR(message);
    return message;
}

static PyObject *disconnect_message(void)
{
    PyObject *message = PyDict_New();
    if (message && PyDict_SetItem(message, asgi_names.type, asgi_names.http_disconnect) < 0)
        Py_CLEAR(message);
    return message;
}

/* A piece of the file that holds the body. */
static PyObject *read_file(request *r)
{
    Py_ssize_t size = r->body_left < (int64_t)ASGI_PIECE ? (Py_ssize_t)r->body_left : (Py_ssize_t)ASGI_PIECE;
    PyObject *body = PyBytes_FromStringAndSize(NULL, size);
    ssize_t got = body ? read(r->body_file, PyBytes_AS_STRING(body), (size_t)size) : -1;
    if (got < size) {
        if (body)
            PyErr_SetString(PyExc_OSError, "the request's body cannot be read");
        Py_CLEAR(body);
        return NULL;
    }
    r->body_left -= got;
    r->body_told = r->body_left == 0;
    return body;
}

/* A piece of a body that still comes; NULL without an exception: none has come yet. */
static PyObject *next_piece(request *r)
{
    struct piece *piece = asgi_piece_first(&r->incoming);
    if (!piece && !r->incoming_ended)
        return NULL;
    PyObject *body = piece ? Py_NewRef(piece->holder) : PyBytes_FromStringAndSize(NULL, 0);
    if (piece) {
        asgi_piece_drop(&r->incoming);
        asgi_took(r, (size_t)PyBytes_GET_SIZE(body));
    }
    r->body_told = r->incoming_ended && !r->incoming.count;
    return body;
}

PyObject *asgi_http_take(request *r)
{
    if (r->gone || r->said == SAID_ALL)
        return disconnect_message();
    PyObject *body;
    if (r->body_told) {
        return NULL;
    } else if (r->body) {
        body = r->body;
        r->body = NULL;
        r->body_told = true;
    } else if (r->body_file >= 0) {
        body = read_file(r);
    } else {
        body = next_piece(r);
    }
    if (!body)
        return NULL;
    PyObject *message = body_message(body, !r->body_told);
    Py_DECREF(body);
    return message;
}

/* ---- What goes --------------------------------------------------------------------------------------- */

static PyObject *out_of_place(const request *r, PyObject *type)
{
    static const char *const wanted[] = {
        [SAID_NOTHING] = "http.response.start is to come first",
        [SAID_START] = "http.response.body is to come now",
        [SAID_HEAD] = "http.response.body is to come now",
        [SAID_ALL] = "the response is complete already",
    };
    PyErr_Format(PyExc_RuntimeError, "the message %R has no place here: %s", type,
                 r->said < sl_array_size(wanted) ? wanted[r->said] : "the WebSocket is open");
    return NULL;
}

bool asgi_http_start(request *r, PyObject *message)
{
    PyObject *status = PyDict_GetItemWithError(message, asgi_names.status);
    if (!status || !PyLong_Check(status)) {
        if (!PyErr_Occurred())
            PyErr_SetString(PyExc_ValueError, "a response must have a \"status\", which is a number");
        return false;
    }
    long number = PyLong_AsLong(status);
    if (number < 200 || number > 599) {
        if (!PyErr_Occurred())
            PyErr_Format(PyExc_ValueError, "%R is no status of a response: they are from 200 to 599", status);
        return false;
    }
    if (!asgi_headers(r, message))
        return false;
    r->status = (int)number;
    r->said = SAID_START;
    return true;
}

static void is_whole(request *r)
{
    r->said = SAID_ALL;
    asgi_wake(&r->receivers);
}

static bool put_head(request *r, sl_view body, bool last, int file)
{
    struct web_response response = {
        .status = r->status, .body = body, .last = last, .file = file, .file_size = -1};
    response.headers.count = r->header_count;
    response.headers.items = asgi_web_headers(r, asgi.response_arena);
    bool good = asgi_put_record(r, WEB_HEAD, web_response_record(), &response);
    sl_arena_reset(asgi.response_arena);
    if (good)
        r->said = SAID_HEAD;
    return good;
}

static int more_follows(PyObject *message)
{
    PyObject *more = PyDict_GetItemWithError(message, asgi_names.more_body);
    return more ? PyObject_IsTrue(more) : PyErr_Occurred() ? -1 : 0;
}

PyObject *asgi_http_body(request *r, PyObject *message)
{
    PyObject *holder = NULL;
    int more = more_follows(message);
    if (more < 0 || asgi_bytes(message, asgi_names.body, &holder) < 0)
        return NULL;
    sl_view body =
        holder ? (sl_view){PyBytes_AS_STRING(holder), (size_t)PyBytes_GET_SIZE(holder)} : SL_VIEW("");
    bool with_head = r->said == SAID_START && body.size <= WITH_HEAD_MAX;
    PyObject *result = NULL;
    if (r->said == SAID_START && !put_head(r, with_head ? body : SL_VIEW(""), with_head && !more, -1))
        goto out;
    if (body.size && !with_head)
        asgi_piece_add(&r->outgoing, WEB_BODY, holder, body.data, body.size);
    if (!more && !with_head)
        asgi_piece_add(&r->outgoing, 0, NULL, NULL, 0);
    if (!more)
        is_whole(r);
    result = asgi_sent(r);
out:
    Py_XDECREF(holder);
    return result;
}

static PyObject *send_path(request *r, PyObject *message)
{
    PyObject *path = PyDict_GetItemWithError(message, asgi_names.path), *encoded;
    if (!path) {
        if (!PyErr_Occurred())
            PyErr_SetString(PyExc_ValueError, "http.response.pathsend must have a \"path\"");
        return NULL;
    }
    if (!PyUnicode_FSConverter(path, &encoded))
        return NULL;
    int file = open(PyBytes_AS_STRING(encoded), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    Py_DECREF(encoded);
    struct stat status;
    if (file >= 0 && (fstat(file, &status) < 0 || !S_ISREG(status.st_mode))) {
        close(file);
        file = -1;
        errno = EINVAL;
    }
    if (file < 0)
        return PyErr_SetFromErrnoWithFilenameObject(PyExc_OSError, path);
    bool good = put_head(r, SL_VIEW(""), true, file);
    close(file);
    if (!good)
        return NULL;
    is_whole(r);
    return asgi_sent(r);
}

static bool is(PyObject *type, PyObject *name)
{
    return type == name || PyUnicode_Compare(type, name) == 0;
}

PyObject *asgi_http_send(request *r, PyObject *type, PyObject *message)
{
    const struct asgi_names *n = &asgi_names;
    if (is(type, n->response_body) && (r->said == SAID_START || r->said == SAID_HEAD))
        return asgi_http_body(r, message);
    if (is(type, n->response_start) && r->said == SAID_NOTHING)
        return asgi_http_start(r, message) ? asgi_sent(r) : NULL;
    if (is(type, n->response_pathsend) && r->said == SAID_START)
        return send_path(r, message);
    return out_of_place(r, type);
}

bool asgi_http_whole(request *r)
{
    if (r->said == SAID_ALL)
        return true;
    PyErr_SetString(PyExc_RuntimeError,
                    r->said == SAID_NOTHING ? "the application returned without a response"
                    : r->said == SAID_START ? "the application returned without the body of its response"
                                            : "the application returned in the middle of its response");
    return false;
}
