/* wsgi.c: one request of a WSGI application, from the call to its end.
 *
 * A response whose body is known when its first piece comes (a list with one item; a Content-Length that the
 * piece fulfils) is one packet, followed by the result. Otherwise each piece is sent as it comes and before
 * the next is asked for. Then the worker may be ahead of the client by a window of bytes; beyond it waits. */
#include "wsgi.h"

#include "transaction.h"

#include <stdlib.h>
#include <unistd.h>

#define HEADERS_INLINE 64
#define BODY_INLINE (SL__INLINE_MAX - 4096) /* of a body that goes in the packet of its head */

/* ---- The head ---------------------------------------------------------------------------------------- */

static bool has_length(const struct exchange *exchange)
{
    return exchange->length >= 0;
}

/* Headers as the record has them; `extra` is room for a Content-Length of ours. In the request's arena. */
static void fill_headers(struct exchange *exchange, struct web_response *response, int64_t length)
{
    size_t count = (size_t)PyTuple_GET_SIZE(exchange->headers);
    struct web_header *items = sl_arena_alloc(exchange->thread->arena, (count + 1) * sizeof(*items));
    for (size_t i = 0; i < count; i++) {
        PyObject *header = PyTuple_GET_ITEM(exchange->headers, (Py_ssize_t)i);
        PyObject *name = PyTuple_GET_ITEM(header, 0), *value = PyTuple_GET_ITEM(header, 1);
        items[i] = (struct web_header){
            .name = (const char *)PyUnicode_1BYTE_DATA(name),
            .value = {(const char *)PyUnicode_1BYTE_DATA(value), (size_t)PyUnicode_GET_LENGTH(value)}};
    }
    if (length >= 0 && !has_length(exchange)) {
        char *text = sl_arena_printf(exchange->thread->arena, "%lld", (long long)length);
        items[count++] = (struct web_header){.name = "Content-Length", .value = sl_view_of(text)};
    }
    response->headers.items = items;
    response->headers.count = count;
}

static int refuse_code(struct exchange *exchange, int code)
{
    exchange->left = true;
    PyErr_SetString(PyExc_ConnectionError, code == SL_ECANCELED
                                               ? "the client is gone, or the time for the request is up"
                                               : "the server is gone");
    return -1;
}

static int put_data(struct exchange *exchange, uint16_t word, const void *data, size_t size, int fd)
{
    struct web_thread *thread = exchange->thread;
    int code = port_send(thread->web->port, thread->work, thread->waiter, word,
                         &(struct iovec){(void *)data, size}, 1, &fd, fd >= 0);
    return code < 0 ? refuse_code(exchange, code) : 0;
}

static int put_head(struct exchange *exchange, struct web_response *response, int64_t length)
{
    struct web_thread *thread = exchange->thread;
    sl_error *error = NULL;
    sl_files files = {0};
    fill_headers(exchange, response, length);
    response->status = exchange->code;
    thread->out.size = 0;
    if (sl_codec_flat.encode(web_response_record(), response, &thread->out, &files, &error) < 0) {
        PyErr_Format(PyExc_ValueError, "the response cannot be sent: %s", error->message);
        sl_error_unref(error);
        return -1;
    }
    exchange->head_sent = thread->started = true;
    exchange->complete = response->last || response->file >= 0;
    thread->work->answered = exchange->complete;
    return put_data(exchange, WEB_HEAD, thread->out.data, thread->out.size,
                    files.count ? files.numbers[0] : -1);
}

/* ---- The body ---------------------------------------------------------------------------------------- */

static int check_started(struct exchange *exchange)
{
    if (exchange->status)
        return 0;
    PyErr_SetString(PyExc_AssertionError,
                    "the application gave its response before it called start_response");
    return -1;
}

static void complain(struct exchange *exchange, const char *what)
{
    if (exchange->complained)
        return;
    exchange->complained = true;
    const struct web_request *request = exchange->thread->request;
    char *text = sl_printf_heap("%s %s: the application %s", request->method, request->target, what);
    port_log(exchange->thread->web->port, SL_ERROR, "", text);
    free(text);
}

/* What of `size` bytes may be sent. */
static size_t within_length(struct exchange *exchange, size_t size)
{
    if (exchange->code == 204 || exchange->code == 304) {
        if (size)
            complain(exchange, "gave a body with a status that has none; it is left out");
        return 0;
    }
    if (!has_length(exchange) || exchange->head_only || exchange->sent + (int64_t)size <= exchange->length)
        return size;
    char what[160];
    snprintf(what, sizeof(what), "gave more bytes than its Content-Length of %lld says; the rest is left out",
             (long long)exchange->length);
    complain(exchange, what);
    return (size_t)(exchange->length - exchange->sent);
}

static int check_short(struct exchange *exchange, int64_t size)
{
    if (!has_length(exchange) || exchange_bodyless(exchange) || exchange->sent + size >= exchange->length)
        return 0;
    PyErr_Format(PyExc_ValueError, "the application's Content-Length says %lld bytes, and it gave %lld",
                 (long long)exchange->length, (long long)(exchange->sent + size));
    return -1;
}

static int put_pieces(struct exchange *exchange, const char *data, size_t size)
{
    while (size) {
        size_t piece = size < PORT_PIECE ? size : PORT_PIECE;
        if (put_data(exchange, WEB_BODY, data, piece, -1) < 0)
            return -1;
        data += piece;
        size -= piece;
    }
    return 0;
}

static void put_end(struct exchange *exchange)
{
    struct web_thread *thread = exchange->thread;
    exchange->complete = true;
    port_put(thread->web->port, &(sl__packet){.kind = SL__END, .call = thread->work->id}, NULL, 0);
    port_flush(thread->web->port);
}

/* What the request did in databases is committed before the client hears of success. Who was told that its
 * time is up was told of a failure. */
static int settle(struct exchange *exchange)
{
    struct web_thread *thread = exchange->thread;
    if (port_cancelled(thread->web->port, thread->work) && !thread->work->unhurried)
        return refuse_code(exchange, SL_ECANCELED);
    return transaction_settle(thread->transaction, exchange->code);
}

int exchange_send(struct exchange *exchange, const char *data, size_t size, bool whole)
{
    if (check_started(exchange) < 0)
        return -1;
    if (!size && !whole)
        return 0;
    if (exchange->complete) {
        within_length(exchange, size);
        return 0;
    }
    size_t all = size;
    size = within_length(exchange, size);
    if (whole && check_short(exchange, (int64_t)size) < 0)
        return -1;
    bool bodyless = exchange_bodyless(exchange);
    bool tell = whole && exchange->code != 204 && exchange->code != 304 && (all || !exchange->head_only);
    int64_t length = tell ? (int64_t)all : -1;
    whole = whole || bodyless || (has_length(exchange) && exchange->sent + (int64_t)size == exchange->length);
    if (exchange->thread->transaction && (whole || !exchange->head_sent) && settle(exchange) < 0)
        return -1;
    exchange->sent += (int64_t)size;
    if (bodyless)
        size = 0;
    if (!exchange->head_sent) {
        bool together = size <= BODY_INLINE;
        struct web_response response = {.file = -1, .file_size = -1, .last = whole && together};
        if (together)
            response.body = (sl_view){data ? data : "", size};
        if (put_head(exchange, &response, length) < 0)
            return -1;
        if (together)
            return 0;
    }
    if (put_pieces(exchange, data, size) < 0)
        return -1;
    if (whole)
        put_end(exchange);
    return 0;
}

int exchange_send_file(struct exchange *exchange, int fd, int64_t offset, int64_t size)
{
    if (check_started(exchange) < 0)
        return -1;
    if (exchange->code == 204 || exchange->code == 304)
        return exchange_send(exchange, NULL, 0, true);
    if (has_length(exchange) && exchange->length < size)
        size = exchange->length;
    if (check_short(exchange, size) < 0)
        return -1;
    if (exchange->thread->transaction && settle(exchange) < 0)
        return -1;
    exchange->sent = size;
    struct web_response response = {.file = exchange->head_only ? -1 : fd,
                                    .file_offset = offset,
                                    .file_size = size,
                                    .last = exchange->head_only};
    return put_head(exchange, &response, size);
}

/* ---- What the application gives ---------------------------------------------------------------------- */

static int send_item(struct exchange *exchange, PyObject *item, bool whole)
{
    if (PyBytes_Check(item))
        return exchange_send(exchange, PyBytes_AS_STRING(item), (size_t)PyBytes_GET_SIZE(item), whole);
    PyErr_Format(PyExc_TypeError, "the body must be of bytes; the application gave %R",
                 (PyObject *)Py_TYPE(item));
    return -1;
}

static int send_iterable(struct exchange *exchange, PyObject *result)
{
    PyObject *iterator = PyObject_GetIter(result), *item;
    if (!iterator)
        return -1;
    struct web_thread *thread = exchange->thread;
    int failed = 0;
    while (!failed && !exchange->complete && (item = PyIter_Next(iterator))) {
        failed = send_item(exchange, item, false);
        Py_DECREF(item);
        if (!failed && !exchange->complete && port_cancelled(thread->web->port, thread->work))
            failed = refuse_code(exchange, SL_ECANCELED);
    }
    Py_DECREF(iterator);
    if (failed || PyErr_Occurred())
        return -1;
    return exchange->complete ? 0 : exchange_send(exchange, NULL, 0, true);
}

/* A list or tuple: its length is known, and it has no close(). */
static int send_items(struct exchange *exchange, PyObject *result)
{
    PyObject *items = PySequence_Fast(result, "");
    Py_ssize_t count = PySequence_Fast_GET_SIZE(items);
    int failed;
    if (count == 0)
        failed = exchange_send(exchange, NULL, 0, true);
    else if (count == 1 && !exchange->head_sent)
        failed = send_item(exchange, PySequence_Fast_GET_ITEM(items, 0), true);
    else
        failed = send_iterable(exchange, items);
    Py_DECREF(items);
    return failed;
}

static int send_result(struct exchange *exchange, PyObject *result)
{
    if (PyList_CheckExact(result) || PyTuple_CheckExact(result))
        return send_items(exchange, result);
    if (Py_TYPE(result) == &filewrap_type && !exchange->head_sent) {
        int fd;
        int64_t offset, size;
        int plain = filewrap_file(result, &fd, &offset, &size);
        if (plain)
            return plain < 0 ? -1 : exchange_send_file(exchange, fd, offset, size);
    }
    if (result == Py_None || PyBytes_Check(result) || PyUnicode_Check(result)) {
        PyErr_Format(PyExc_TypeError,
                     "the body must be an iterable of bytes, such as [body]; the application gave %R%s",
                     (PyObject *)Py_TYPE(result), result == Py_None ? ": has it no `return`?" : "");
        return -1;
    }
    return send_iterable(exchange, result);
}

/* Calls close() of what the application gave, whatever happened before; what was raised stays. */
static void close_result(struct exchange *exchange, PyObject *result)
{
    if (PyList_CheckExact(result) || PyTuple_CheckExact(result) || PyBytes_CheckExact(result))
        return;
    PyObject *type, *value, *traceback;
    PyErr_Fetch(&type, &value, &traceback);
    PyObject *method = PyObject_GetAttrString(result, "close");
    if (!method)
        PyErr_Clear();
    PyObject *closed = method ? PyObject_CallNoArgs(method) : NULL;
    if (method && !closed)
        trouble_log(exchange->thread->web->port, "close() of what the application gave failed");
    Py_XDECREF(closed);
    Py_XDECREF(method);
    PyErr_Restore(type, value, traceback);
}

/* ---- A request --------------------------------------------------------------------------------------- */

/* Ends the call: the last packet about it. With an exception set it failed. */
/* How long a request took, as a result says it. */
static uint16_t time_taken(const struct work *work)
{
    uint64_t us = (sl_monotonic_ns() - work->begun_ns) / 1000;
    return us < UINT16_MAX ? (uint16_t)(us + 1) : UINT16_MAX;
}

static void finish(struct exchange *exchange)
{
    struct web_thread *thread = exchange->thread;
    struct port *port = thread->web->port;
    sl__packet head = {.kind = SL__RESULT, .word = time_taken(thread->work), .call = thread->work->id};
    if (!PyErr_Occurred()) {
        port_put(port, &head, NULL, 0);
    } else if (exchange->left) {
        PyErr_Clear();
        port_put(port, &head, NULL, 0);
    } else if (exchange->complete) {
        trouble_log(port, "the application failed after its response");
        port_put(port, &head, NULL, 0);
    } else {
        head.kind = SL__FAILED;
        head.word = 0;
        thread->out.size = 0;
        trouble_put(&thread->out);
        port_put(port, &head, &(struct iovec){thread->out.data, thread->out.size}, 1);
    }
    port_flush_soon(port, thread->work);
}

static void run(struct web_thread *thread, struct exchange *exchange, PyObject *input)
{
    PyObject *variables = environ_new(thread, thread->request, input);
    PyObject *arguments[] = {NULL, variables, (PyObject *)exchange};
    PyObject *result = variables ? PyObject_Vectorcall(thread->web->application, arguments + 1,
                                                       2 | PY_VECTORCALL_ARGUMENTS_OFFSET, NULL)
                                 : NULL;
    if (result) {
        send_result(exchange, result);
        close_result(exchange, result);
        Py_DECREF(result);
    }
    if (thread->transaction)
        transaction_end(&thread->transaction);
    Py_XDECREF(variables);
    finish(exchange);
}

static void put_failed(struct web_thread *thread)
{
    port_put(thread->web->port, &(sl__packet){.kind = SL__FAILED, .call = thread->work->id},
             &(struct iovec){thread->out.data, thread->out.size}, 1);
    port_flush(thread->web->port);
}

static void refuse_exception(struct web_thread *thread)
{
    thread->out.size = 0;
    trouble_put(&thread->out);
    put_failed(thread);
}

static void refuse(struct web_thread *thread, sl_error *error)
{
    thread->out.size = 0;
    trouble_put_error(error, &thread->out);
    sl_error_unref(error);
    put_failed(thread);
}

static struct web_request *decode(struct web_thread *thread)
{
    struct work *work = thread->work;
    sl_error *error = NULL;
    void *value = NULL;
    int code = sl_codec_flat.decode(web_request_record(), work->data, /* borrow= */ true, &work->files,
                                    thread->arena, &value, &error);
    struct web_request *request = value;
    work->files_taken = code == 0;
    if (code == 0 && request->body_size < 0)
        error = sl_error_new(SL_EPROTO, "a request to a WSGI application came without its body");
    if (error) {
        refuse(thread, error);
        return NULL;
    }
    return request;
}

void wsgi_serve(struct web_thread *thread)
{
    struct web_request *request = decode(thread);
    if (request) {
        thread->request = request;
        thread->started = false;
        int fd = request->body_file;
        struct exchange *exchange = exchange_new(thread, request);
        PyObject *input = exchange ? input_new(thread, request->body, fd, request->body_size) : NULL;
        if (input)
            run(thread, exchange, input);
        else
            refuse_exception(thread);
        if (input)
            input_end(input);
        else if (fd >= 0)
            close(fd);
        if (exchange)
            exchange_end(exchange);
        thread->input = input;
        thread->exchange = (PyObject *)exchange;
    }
    sl_arena_reset(thread->arena);
    if (thread->out.capacity > 4 * SL__INLINE_MAX)
        sl_buffer_done(&thread->out);
}

int wsgi_open(struct web *web)
{
    if (PyType_Ready(&exchange_type) < 0 || PyType_Ready(&input_type) < 0 || PyType_Ready(&filewrap_type) < 0)
        return -1;
    return environ_open(web);
}
