/* asgi_websocket.c: the messages of a websocket scope. */
#include "asgi_internal.h"

#include <strings.h>

#define CLOSE_NORMAL 1000
#define CLOSE_ABNORMAL 1006

/* ---- What comes -------------------------------------------------------------------------------------- */

static PyObject *message_of(PyObject *type)
{
    PyObject *message = PyDict_New();
    if (message && PyDict_SetItem(message, asgi_names.type, type) < 0)
        Py_CLEAR(message);
    return message;
}

static PyObject *disconnect_message(const request *r)
{
    PyObject *message = message_of(asgi_names.websocket_disconnect);
    PyObject *code = PyLong_FromLong(r->close_code ? r->close_code : CLOSE_ABNORMAL);
    if (!message || !code || PyDict_SetItem(message, asgi_names.code, code) < 0 ||
        PyDict_SetItem(message, asgi_names.reason, r->close_reason ? r->close_reason : asgi_names.empty) < 0)
        Py_CLEAR(message);
    Py_XDECREF(code);
    return message;
}

PyObject *asgi_websocket_take(request *r)
{
    if (!r->connect_told) {
        r->connect_told = true;
        return message_of(asgi_names.websocket_connect);
    }
    struct piece *piece = asgi_piece_first(&r->incoming);
    if (piece && r->said != SAID_ALL) {
        bool text = piece->word == WEB_TEXT;
        size_t size = piece->size;
        PyObject *message = message_of(asgi_names.websocket_receive);
        if (message && PyDict_SetItem(message, text ? asgi_names.text : asgi_names.bytes, piece->holder) < 0)
            Py_CLEAR(message);
        asgi_piece_drop(&r->incoming);
        asgi_took(r, size);
        return message;
    }
    return r->gone || r->incoming_ended || r->said == SAID_ALL ? disconnect_message(r) : NULL;
}

/* ---- What goes --------------------------------------------------------------------------------------- */

/* The agreement on a protocol is the server's to say, as all of the handshake is. */
static bool says_handshake(const request *r)
{
    static const char words[] = "sec-websocket-";
    for (size_t i = 0; i < r->header_count; i++)
        if (strncasecmp(r->text.data + r->headers[i].name, words, sizeof(words) - 1) == 0) {
            PyErr_Format(
                PyExc_ValueError,
                "the header %s belongs to the handshake, which is the server's: the key \"subprotocol\" "
                "of websocket.accept chooses a protocol",
                r->text.data + r->headers[i].name);
            return true;
        }
    return false;
}

static PyObject *put_accept(request *r, PyObject *message)
{
    PyObject *protocol = PyDict_GetItemWithError(message, asgi_names.subprotocol);
    struct web_accept accept = {0};
    if (protocol && protocol != Py_None)
        accept.protocol = PyUnicode_Check(protocol)
                              ? PyUnicode_AsUTF8(protocol)
                              : (PyErr_SetString(PyExc_TypeError, "\"subprotocol\" must be a string"), NULL);
    if (PyErr_Occurred() || !asgi_headers(r, message) || says_handshake(r))
        return NULL;
    accept.headers.count = r->header_count;
    accept.headers.items = asgi_web_headers(r, asgi.response_arena);
    bool good = asgi_put_record(r, WEB_ACCEPT, web_accept_record(), &accept);
    sl_arena_reset(asgi.response_arena);
    if (!good)
        return NULL;
    r->said = SAID_ACCEPT;
    return asgi_sent(r);
}

static PyObject *put_message(request *r, PyObject *message)
{
    PyObject *text = PyDict_GetItemWithError(message, asgi_names.text), *holder = NULL;
    int there = PyErr_Occurred() ? -1 : asgi_bytes(message, asgi_names.bytes, &holder);
    if (there < 0)
        return NULL;
    if (there) {
        asgi_piece_add(&r->outgoing, WEB_BINARY, holder, PyBytes_AS_STRING(holder),
                       (size_t)PyBytes_GET_SIZE(holder));
        Py_DECREF(holder);
        return asgi_sent(r);
    }
    if (!text || !PyUnicode_Check(text)) {
        PyErr_SetString(PyExc_ValueError,
                        "websocket.send must have \"bytes\" or \"text\", which are bytes or a string");
        return NULL;
    }
    Py_ssize_t size;
    const char *data = PyUnicode_AsUTF8AndSize(text, &size);
    if (!data)
        return NULL;
    asgi_piece_add(&r->outgoing, WEB_TEXT, text, data, (size_t)size);
    return asgi_sent(r);
}

/* The code and reason of websocket.close: into the record; false with an exception. */
static bool read_close(PyObject *message, struct web_close *ret_close)
{
    PyObject *code = PyDict_GetItemWithError(message, asgi_names.code);
    PyObject *reason = PyErr_Occurred() ? NULL : PyDict_GetItemWithError(message, asgi_names.reason);
    *ret_close = (struct web_close){.code = CLOSE_NORMAL};
    if (code && code != Py_None)
        ret_close->code = PyLong_AsLong(code);
    if (!PyErr_Occurred() && reason && reason != Py_None)
        ret_close->reason = PyUnicode_AsUTF8(reason);
    if (PyErr_Occurred())
        return false;
    int64_t number = ret_close->code;
    bool good = number == 1000 ||
                (number >= 1001 && number <= 1014 && number != 1004 && number != 1005 && number != 1006) ||
                (number >= 3000 && number <= 4999);
    if (!good)
        PyErr_Format(PyExc_ValueError, "%lld is no code that a WebSocket can be closed with",
                     (long long)number);
    return good;
}

/* The record goes into the queue, behind the messages that wait. */
static PyObject *put_close(request *r, const struct web_close *closing)
{
    sl_error *error = NULL;
    asgi.out.size = 0;
    if (sl_codec_flat.encode(web_close_record(), closing, &asgi.out, NULL, &error) < 0) {
        PyErr_SetString(PyExc_ValueError,
                        error ? error->message : "the reason of websocket.close cannot be sent");
        sl_error_unref(error);
        return NULL;
    }
    PyObject *bytes = PyBytes_FromStringAndSize(asgi.out.data, (Py_ssize_t)asgi.out.size);
    if (!bytes)
        return NULL;
    asgi_piece_add(&r->outgoing, WEB_CLOSE, bytes, PyBytes_AS_STRING(bytes), (size_t)PyBytes_GET_SIZE(bytes));
    asgi_piece_add(&r->outgoing, 0, NULL, NULL, 0);
    Py_DECREF(bytes);
    r->said = SAID_GOODBYE;
    return asgi_sent(r);
}

/* Before it was accepted: refused with 403. */
static PyObject *refuse(request *r)
{
    struct web_response response = {
        .status = 403, .last = true, .file = -1, .file_size = -1, .body = SL_VIEW("")};
    if (!asgi_put_record(r, WEB_HEAD, web_response_record(), &response))
        return NULL;
    r->said = SAID_ALL;
    asgi_wake(&r->receivers);
    return asgi_sent(r);
}

static bool is(PyObject *type, PyObject *name)
{
    return type == name || PyUnicode_Compare(type, name) == 0;
}

PyObject *asgi_websocket_send(request *r, PyObject *type, PyObject *message)
{
    const struct asgi_names *n = &asgi_names;
    struct web_close closing;
    if (r->said == SAID_ACCEPT && is(type, n->websocket_send))
        return put_message(r, message);
    if (r->said == SAID_ACCEPT && is(type, n->websocket_close))
        return read_close(message, &closing) ? put_close(r, &closing) : NULL;
    if (r->said == SAID_NOTHING && is(type, n->websocket_accept))
        return put_accept(r, message);
    if (r->said == SAID_NOTHING && is(type, n->websocket_close))
        return refuse(r);
    if (r->said == SAID_NOTHING && is(type, n->websocket_response_start))
        return asgi_http_start(r, message) ? asgi_sent(r) : NULL;
    if ((r->said == SAID_START || r->said == SAID_HEAD) && is(type, n->websocket_response_body))
        return asgi_http_body(r, message);
    PyErr_Format(PyExc_RuntimeError, "the message %R has no place here: %s", type,
                 r->said == SAID_NOTHING  ? "the WebSocket is neither accepted nor closed"
                 : r->said == SAID_ACCEPT ? "the WebSocket is accepted already"
                 : r->said == SAID_START || r->said == SAID_HEAD
                     ? "websocket.http.response.body is to come now"
                     : "the WebSocket is closed already");
    return NULL;
}

/* Who returns with an open WebSocket closes it. */
bool asgi_websocket_whole(request *r)
{
    if (r->said == SAID_ALL || r->said == SAID_GOODBYE)
        return true;
    if (r->said == SAID_ACCEPT) {
        PyObject *sent = put_close(r, &(struct web_close){.code = CLOSE_NORMAL});
        Py_XDECREF(sent);
        return sent != NULL;
    }
    PyErr_SetString(PyExc_RuntimeError,
                    r->said == SAID_NOTHING
                        ? "the application returned without accepting or closing the WebSocket"
                        : "the application returned in the middle of its response");
    return false;
}
