/* asgi.c: the loop and the wire: batches of packets, beginning and ending requests. See asgi.h and
 * asgi_internal.h.
 *
 * A task of asyncio asks its loop to call its first step soon. When we make one, the loop's call_soon is for
 * that moment a function of ours that keeps the step, and we call it ourselves: the task is an ordinary one
 * in all else, and one that does not wait costs no turn of the loop. */
#include "asgi_internal.h"

#include "transaction.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ROUNDS_MAX 4   /* of batches, before the loop has a turn */
#define RING_NS 100000 /* what is put in waits at most so long for its bell while a batch is worked off */
#define CONCURRENCY 100000u

struct asgi asgi;
struct asgi_names asgi_names;
int (*asgi_after_batch)(void);

/* What came, until it is worked off: the port must not be locked then. */
struct arrived {
    sl__packet packet;
    size_t offset; /* of its data in `bytes`, if it has no segment */
};
static struct {
    struct arrived *items;
    size_t count, room;
    sl_buffer bytes;
} batch;

unsigned asgi_concurrency(void)
{
    return CONCURRENCY;
}

/* ---- Putting ----------------------------------------------------------------------------------------- */

static void ring_if_late(void)
{
    uint64_t now = sl_monotonic_ns();
    if (!asgi.unflushed_ns) {
        asgi.unflushed_ns = now;
    } else if (now - asgi.unflushed_ns > RING_NS) {
        port_flush(asgi.port);
        asgi.unflushed_ns = 0;
    }
}

void asgi_touched(void)
{
    if (asgi.in_batch || asgi.flush_planned)
        return;
    PyObject *handle = PyObject_CallMethodOneArg(asgi.loop, asgi_names.call_soon, asgi.flush);
    asgi.flush_planned = handle != NULL;
    if (!handle) {
        PyErr_Clear();
        port_flush(asgi.port);
    }
    Py_XDECREF(handle);
}

void asgi_flush_soon(void)
{
    asgi_touched();
}

static PyObject *flush(PyObject *self, PyObject *unused)
{
    asgi.flush_planned = false;
    asgi.unflushed_ns = 0;
    port_flush(asgi.port);
    Py_RETURN_NONE;
}

void asgi_put(const request *r, sl__packet_kind kind, uint16_t word, const void *data, size_t size)
{
    sl__packet head = {.kind = (uint8_t)kind, .word = word, .call = r->id};
    port_put(asgi.port, &head, &(struct iovec){(void *)data, size}, size ? 1 : 0);
    asgi_touched();
}

bool asgi_put_record(request *r, uint16_t word, const sl_record *record, const void *value)
{
    sl_error *error = NULL;
    sl_files files = {0};
    asgi.out.size = 0;
    if (sl_codec_flat.encode(record, value, &asgi.out, &files, &error) < 0) {
        PyErr_SetString(PyExc_ValueError, error->message);
        sl_error_unref(error);
        return false;
    }
    sl__packet head = {.kind = SL__DATA, .word = word, .call = r->id, .codec = SL__CODEC_FLAT};
    for (unsigned i = 0; i < files.count && i < SL__PACKET_FILES; i++)
        head.files[head.file_count++] = files.numbers[i];
    r->window -= (int64_t)asgi.out.size;
    port_put(asgi.port, &head, &(struct iovec){asgi.out.data, asgi.out.size}, 1);
    asgi_touched();
    return true;
}

static void put_failed(uint64_t call)
{
    asgi.out.size = 0;
    trouble_put(&asgi.out);
    port_put(asgi.port, &(sl__packet){.kind = SL__FAILED, .call = call},
             &(struct iovec){asgi.out.data, asgi.out.size}, 1);
    asgi_touched();
}

/* ---- The requests that the parent waits for ---------------------------------------------------------- */

static request **bucket_of(uint64_t id)
{
    return &asgi.buckets[(id >> 1) % ASGI_BUCKETS];
}

static void list(request *r)
{
    request **bucket = bucket_of(r->id);
    r->next = *bucket;
    *bucket = (request *)Py_NewRef((PyObject *)r);
    r->listed = true;
    asgi.listed++;
}

static request *find(uint64_t id)
{
    request *r = *bucket_of(id);
    while (r && r->id != id)
        r = r->next;
    return r;
}

static void cancel_timer(request *r)
{
    if (!r->timer)
        return;
    PyObject *done = PyObject_CallMethod(r->timer, "cancel", NULL);
    if (!done)
        PyErr_WriteUnraisable(r->timer);
    Py_XDECREF(done);
    Py_CLEAR(r->timer);
}

static void stop_if_done(void)
{
    if (!port_stopping(asgi.port) || asgi.tasks || asgi.listed || asgi.stopped)
        return;
    asgi.stopped = true;
    PyObject *done = PyObject_CallMethod(asgi.loop, "stop", NULL);
    if (!done)
        PyErr_WriteUnraisable(asgi.loop);
    Py_XDECREF(done);
}

void asgi_unlist(request *r)
{
    request **link = bucket_of(r->id);
    while (*link != r)
        link = &(*link)->next;
    *link = r->next;
    r->listed = false;
    asgi.listed--;
    Py_DECREF(r);
    if (!asgi.in_batch)
        stop_if_done();
}

/* ---- Ending ------------------------------------------------------------------------------------------ */

/* With the exception that the task ended with, if it did; false then. */
static bool task_succeeded(request *r)
{
    PyObject *error = PyObject_CallMethod(r->task, "exception", NULL);
    if (error && error != Py_None)
        PyErr_SetObject((PyObject *)Py_TYPE(error), error);
    bool good = error == Py_None;
    Py_XDECREF(error);
    return good;
}

/* What went wrong is of no interest to a client that has gone; but a mistake is one even so. */
static void end_badly(request *r)
{
    bool left = r->gone && (PyErr_ExceptionMatches(asgi.disconnected) ||
                            PyErr_ExceptionMatches(PyExc_GeneratorExit) || r->cancelled);
    if (left)
        PyErr_Clear();
    if (r->listed && left) {
        asgi_put(r, SL__RESULT, 0, NULL, 0);
        asgi_unlist(r);
    } else if (r->listed) {
        put_failed(r->id);
        asgi_unlist(r);
    } else if (!left) {
        trouble_log(asgi.port, "the application failed after its client had gone");
    }
}

void asgi_ended(request *r)
{
    if (r->finished)
        return;
    Py_INCREF(r);
    r->finished = true;
    asgi.tasks--;
    cancel_timer(r);
    bool good =
        task_succeeded(r) && (r->gone || (r->websocket ? asgi_websocket_whole(r) : asgi_http_whole(r)));
    if (r->transaction && transaction_end(&r->transaction) < 0)
        good = false;
    if (!good)
        end_badly(r);
    else
        asgi_settle(r);
    Py_CLEAR(r->task);
    asgi_wake(&r->receivers);
    Py_DECREF(r);
    if (!asgi.in_batch)
        stop_if_done();
}

/* ---- Beginning --------------------------------------------------------------------------------------- */

static PyObject *capture(PyObject *self, PyObject *const *arguments, Py_ssize_t count, PyObject *names)
{
    PyObject *context = names && PyTuple_GET_SIZE(names) == 1 ? arguments[count] : NULL;
    if (count != 1 || !context || asgi.step) {
        PyErr_SetString(PyExc_SystemError, "this version of asyncio begins its tasks in another way");
        return NULL;
    }
    asgi.step = Py_NewRef(arguments[0]);
    asgi.step_context = Py_NewRef(context);
    Py_RETURN_NONE;
}

/* The task of a coroutine, its first step taken; NULL with an exception. */
static PyObject *task_begin(request *r, PyObject *coroutine)
{
    PyObject *arguments[] = {coroutine, asgi.loop, asgi.task_name};
    if (PyDict_SetItem(asgi.loop_dict, asgi_names.call_soon, asgi.capture) < 0)
        return NULL;
    PyObject *task = PyObject_Vectorcall(asgi.task_type, arguments, 1, asgi.task_keywords);
    PyObject *step = asgi.step, *context = asgi.step_context;
    asgi.step = asgi.step_context = NULL;
    if (PyDict_DelItem(asgi.loop_dict, asgi_names.call_soon) < 0)
        Py_CLEAR(task);
    if (task && step && PyContext_Enter(context) == 0) {
        PyObject *token = PyContextVar_Set(asgi.here, (PyObject *)r);
        PyObject *done = token ? PyObject_CallNoArgs(step) : NULL;
        /* What ends the loop elsewhere (SystemExit) is in the task, too, and ends the request. */
        if (!done)
            PyErr_Clear();
        Py_XDECREF(done);
        Py_XDECREF(token);
        PyContext_Exit(context);
    }
    Py_XDECREF(step);
    Py_XDECREF(context);
    return task;
}

static bool follow(request *r)
{
    PyObject *done = PyObject_CallMethodNoArgs(r->task, asgi_names.done);
    bool over = done == Py_True, good = done != NULL;
    Py_XDECREF(done);
    if (over) {
        asgi_ended(r);
    } else if (good) {
        PyObject *added = PyObject_CallMethodOneArg(r->task, asgi_names.add_done_callback, (PyObject *)r);
        good = added != NULL;
        Py_XDECREF(added);
    }
    return good;
}

static PyObject *call_application(request *r, const struct web_request *web)
{
    r->scope = asgi_scope(web);
    PyObject *arguments[] = {NULL, Py_XNewRef(r->scope), asgi_request_receive(r), asgi_request_send(r)},
             *coroutine = NULL;
    if (arguments[1] && arguments[2] && arguments[3])
        coroutine =
            PyObject_Vectorcall(asgi.application, arguments + 1, 3 | PY_VECTORCALL_ARGUMENTS_OFFSET, NULL);
    for (size_t i = 1; i < sl_array_size(arguments); i++)
        Py_XDECREF(arguments[i]);
    return coroutine;
}

/* Anything that can be awaited may be what the application gives; a task wants a coroutine. */
static PyObject *as_coroutine(PyObject *given)
{
    if (!given || PyCoro_CheckExact(given))
        return given;
    PyObject *coroutine = embed_call("_asgi", "as_coroutine", "O", given);
    Py_DECREF(given);
    return coroutine;
}

static void begin(uint64_t call, struct web_request *web)
{
    request *r = asgi_request_new(call, web);
    if (!r) {
        put_failed(call);
        return;
    }
    web->body_file = -1; /* the request's now */
    list(r);
    PyObject *coroutine = as_coroutine(call_application(r, web));
    r->task = coroutine ? task_begin(r, coroutine) : NULL;
    Py_XDECREF(coroutine);
    if (r->task) {
        asgi.tasks++;
        if (!follow(r))
            PyErr_WriteUnraisable(r->task);
    } else {
        put_failed(r->id);
        asgi_unlist(r);
    }
    Py_DECREF(r);
}

static void begin_packet(const sl__packet *packet)
{
    sl_files files = {0};
    for (unsigned i = 0; i < packet->file_count; i++)
        files.numbers[files.count++] = packet->files[i];
    void *value = NULL;
    sl_error *error = NULL;
    int code = sl_codec_flat.decode(web_request_record(), (sl_view){packet->data, packet->size}, true, &files,
                                    asgi.arena, &value, &error);
    if (code < 0) {
        PyErr_SetString(PyExc_RuntimeError, error->message);
        sl_error_unref(error);
        for (unsigned i = 0; i < files.count; i++)
            close(files.numbers[i]);
        put_failed(packet->call);
    } else {
        /* Not the arena that responses use: this value is needed until the first step is over. */
        begin(packet->call, value);
        sl_record_done(web_request_record(), value);
    }
    sl_arena_reset(asgi.arena);
}

/* ---- Leaving ----------------------------------------------------------------------------------------- */

static void plan(request *r, unsigned ms, PyObject *function)
{
    Py_CLEAR(r->timer);
    r->timer = PyObject_CallFunction(asgi.call_later, "dOO", ms / 1000.0, function, (PyObject *)r);
    if (!r->timer)
        PyErr_WriteUnraisable((PyObject *)r);
}

static PyObject *cancel_task(PyObject *self, PyObject *given)
{
    request *r = (request *)given;
    Py_CLEAR(r->timer);
    r->cancelled = true;
    return r->finished ? Py_NewRef(Py_None) : PyObject_CallMethod(r->task, "cancel", NULL);
}

static PyMethodDef cancel_method = {"cancel", cancel_task, METH_O, NULL};

/* It went on after the parent had left. The parent is told that the call is over; the task may go on a while,
 * unless it was given up because it takes too long. */
static PyObject *outstay(PyObject *self, PyObject *given)
{
    request *r = (request *)given;
    Py_CLEAR(r->timer);
    if (r->finished)
        Py_RETURN_NONE;
    if (r->listed) {
        asgi_put(r, SL__RESULT, 0, NULL, 0);
        asgi_unlist(r);
    }
    if (r->late) {
        PyObject *told = embed_call("_asgi", "show_stack", "O", r->task);
        if (!told)
            PyErr_WriteUnraisable(r->task);
        Py_XDECREF(told);
        return cancel_task(NULL, given);
    }
    PyObject *function = PyCFunction_New(&cancel_method, NULL);
    if (function)
        plan(r, ASGI_CANCEL_MS - ASGI_LEAVE_MS, function);
    Py_XDECREF(function);
    Py_RETURN_NONE;
}

static PyMethodDef outstay_method = {"outstay", outstay, METH_O, NULL};

static void leave(request *r, bool hurry)
{
    /* The instance's clock began to run a little earlier. */
    uint64_t taken = sl_monotonic_ns() - r->begun_ns, given = r->deadline_ns - r->begun_ns;
    r->late = hurry && r->deadline_ns && taken >= given - given / 10;
    asgi_leave(r);
    if (r->finished) {
        asgi_settle(r);
        return;
    }
    PyObject *function = PyCFunction_New(&outstay_method, NULL);
    if (function)
        plan(r, ASGI_LEAVE_MS, function);
    Py_XDECREF(function);
}

/* ---- What comes -------------------------------------------------------------------------------------- */

static void take_close(request *r, const sl__packet *packet)
{
    void *value = NULL;
    sl_error *error = NULL;
    if (sl_codec_flat.decode(web_close_record(), (sl_view){packet->data, packet->size}, false, NULL,
                             asgi.arena, &value, &error) < 0) {
        sl_error_unref(error);
        return;
    }
    const struct web_close *closing = value;
    r->close_code = (int)closing->code;
    Py_XSETREF(r->close_reason, closing->reason ? PyUnicode_FromString(closing->reason) : NULL);
    sl_arena_reset(asgi.arena);
    r->incoming_ended = true;
}

static void take_data(request *r, const sl__packet *packet)
{
    if (packet->word == WEB_CLOSE) {
        take_close(r, packet);
    } else {
        PyObject *holder = packet->word == WEB_TEXT
                               ? PyUnicode_DecodeUTF8(packet->data, (Py_ssize_t)packet->size, "replace")
                               : PyBytes_FromStringAndSize(packet->data, (Py_ssize_t)packet->size);
        if (!holder)
            return;
        asgi_piece_add(&r->incoming, packet->word, holder, NULL, packet->size);
        Py_DECREF(holder);
    }
    asgi_wake(&r->receivers);
}

static void take_call(const sl__packet *packet)
{
    if (packet->word == WEB_SERVE) {
        begin_packet(packet);
        return;
    }
    for (unsigned i = 0; i < packet->file_count; i++)
        close(packet->files[i]);
    if (packet->word == WEB_ABOUT) {
        web_put_about(asgi.web, packet->call, "asgi");
        return;
    }
    PyErr_Format(PyExc_RuntimeError, "%s has no method %u", WEB_SERVICE, packet->word);
    put_failed(packet->call);
}

static void take(const sl__packet *packet)
{
    if (packet->kind == SL__CALL) {
        take_call(packet);
        return;
    }
    for (unsigned i = 0; i < packet->file_count; i++)
        close(packet->files[i]);
    request *r = find(packet->call);
    if (!r)
        return;
    Py_INCREF(r);
    if (packet->kind == SL__DATA) {
        take_data(r, packet);
    } else if (packet->kind == SL__END) {
        r->incoming_ended = true;
        asgi_wake(&r->receivers);
    } else if (packet->kind == SL__CREDIT) {
        r->window += (int64_t)packet->word * 1024;
        asgi_pump(r);
    } else if (packet->kind == SL__CANCEL && !r->gone) {
        leave(r, packet->word != 1);
    }
    Py_DECREF(r);
}

/* The port is locked: only keeps the packet. */
static void keep(void *unused, const sl__packet *packet)
{
    if (batch.count == batch.room) {
        batch.room = batch.room ? batch.room * 2 : 64;
        batch.items = sl_realloc(batch.items, batch.room * sizeof(*batch.items));
    }
    struct arrived *arrived = &batch.items[batch.count++];
    arrived->packet = *packet;
    if (packet->segment) {
        sl__segment_hold(packet->segment);
        return;
    }
    /* Values lie at multiples of 8, as the codec wants it. */
    while (batch.bytes.size % 8)
        sl_buffer_putc(&batch.bytes, 0);
    arrived->offset = batch.bytes.size;
    sl_buffer_put(&batch.bytes, packet->data, packet->size);
}

static void work_off(void)
{
    for (size_t i = 0; i < batch.count; i++) {
        sl__packet packet = batch.items[i].packet;
        if (!packet.segment)
            packet.data = batch.bytes.data + batch.items[i].offset;
        take(&packet);
        if (packet.segment)
            sl__segment_release(packet.segment);
        if (PyErr_Occurred())
            PyErr_WriteUnraisable(asgi.loop);
        ring_if_late();
    }
    batch.count = batch.bytes.size = 0;
    if (asgi_after_batch && asgi_after_batch() < 0)
        PyErr_WriteUnraisable(asgi.loop);
}

static void leave_all(void)
{
    for (size_t i = 0; i < ASGI_BUCKETS; i++)
        for (request *r = asgi.buckets[i], *next; r; r = next) {
            next = r->next;
            Py_INCREF(r);
            if (!r->gone)
                leave(r, false);
            Py_DECREF(r);
        }
}

/* A child that the application forked has come back into the loop. That loop's epoll is the parent's too, so
 * whatever is added or removed here would be there: the parent would never be woken again. */
SL_NORETURN static void end_forked(void)
{
    fprintf(stderr,
            "the application forked process %d, which came back into the server's loop and is ended; "
            "call os._exit() where its work is done\n",
            (int)getpid());
    _exit(EXIT_FAILURE);
}

static PyObject *readable(PyObject *self, PyObject *unused)
{
    if (port_is_forked())
        end_forked();
    asgi.in_batch = true;
    asgi.unflushed_ns = 0;
    bool rests = false, gone = false;
    for (unsigned round = 0; round < ROUNDS_MAX && !rests && !gone; round++) {
        gone = port_pump(asgi.port) < 0;
        work_off();
        if (port_is_forked()) /* in a task's first step: what came next is the parent's to take */
            end_forked();
        port_flush(asgi.port);
        asgi.unflushed_ns = 0;
        rests = gone || port_rest(asgi.port);
    }
    asgi.in_batch = false;
    if (gone && !asgi.gone) {
        asgi.gone = true;
        PyObject *removed = PyObject_CallMethod(asgi.loop, "remove_reader", "i", port_descriptor(asgi.port));
        Py_XDECREF(removed);
        if (!removed)
            return NULL;
        leave_all();
    }
    stop_if_done();
    if (rests || asgi.stopped)
        Py_RETURN_NONE;
    return PyObject_CallMethodOneArg(asgi.loop, asgi_names.call_soon, asgi.readable);
}

/* ---- The loop ---------------------------------------------------------------------------------------- */

PyObject *asgi_loop(void)
{
    return asgi.loop && pthread_equal(asgi.thread, pthread_self()) ? asgi.loop : NULL;
}

PyObject *asgi_context(void)
{
    PyObject *here = NULL;
    if (!asgi.here || PyContextVar_Get(asgi.here, NULL, &here) < 0 || !here)
        return PyErr_Occurred() ? NULL : PyDict_New();
    request *r = (request *)here;
    PyObject *dict = Py_BuildValue("{s:s,s:s}", "request_id", r->name, "peer", r->peer);
    PyObject *names[] = {asgi_names.method, asgi_names.path, asgi_names.scheme};
    for (size_t i = 0; dict && i < sl_array_size(names); i++) {
        PyObject *value = r->scope ? PyDict_GetItemWithError(r->scope, names[i]) : NULL;
        if (PyErr_Occurred() || (value && PyDict_SetItem(dict, names[i], value) < 0))
            Py_CLEAR(dict);
    }
    Py_DECREF(here);
    return dict;
}

PyObject **asgi_transaction(PyObject **ret_request, bool *ret_started)
{
    PyObject *here = NULL;
    if (!asgi.here || PyContextVar_Get(asgi.here, NULL, &here) < 0 || !here) {
        PyErr_Clear();
        return NULL;
    }
    request *r = (request *)here;
    if (r->websocket || r->finished) {
        Py_DECREF(here);
        return NULL;
    }
    *ret_request = here;
    *ret_started = r->said != SAID_NOTHING;
    return &r->transaction;
}

static bool open_names(void)
{
#define ASGI_NAME(identifier, text)                                                                          \
    if (!(asgi_names.identifier = PyUnicode_InternFromString(text)))                                         \
        return false;
    ASGI_NAMES(ASGI_NAME)
#undef ASGI_NAME
    return true;
}

static PyMethodDef capture_method = {"capture", (PyCFunction)(void (*)(void))capture,
                                     METH_FASTCALL | METH_KEYWORDS, NULL};
static PyMethodDef flush_method = {"flush", flush, METH_NOARGS, NULL};
static PyMethodDef readable_method = {"readable", readable, METH_NOARGS, NULL};

static bool open_loop(PyObject *loop)
{
    asgi.loop = Py_NewRef(loop);
    asgi.loop_dict = PyObject_GetAttrString(loop, "__dict__");
    asgi.create_future = PyObject_GetAttrString(loop, "create_future");
    asgi.call_later = PyObject_GetAttrString(loop, "call_later");
    asgi.task_keywords = Py_BuildValue("(ss)", "loop", "name");
    asgi.task_name = PyUnicode_InternFromString("request");
    asgi.capture = PyCFunction_New(&capture_method, NULL);
    asgi.flush = PyCFunction_New(&flush_method, NULL);
    asgi.readable = PyCFunction_New(&readable_method, NULL);
    PyObject *asyncio = PyImport_ImportModule("asyncio");
    asgi.task_type = asyncio ? PyObject_GetAttrString(asyncio, "Task") : NULL;
    Py_XDECREF(asyncio);
    return asgi.loop_dict && PyDict_Check(asgi.loop_dict) && asgi.create_future && asgi.call_later &&
           asgi.task_keywords && asgi.task_name && asgi.capture && asgi.flush && asgi.readable &&
           asgi.task_type;
}

/* Called by silver._asgi when the application has started: (loop, application, state). */
static PyObject *begin_serving(PyObject *self, PyObject *arguments)
{
    PyObject *loop, *application, *state;
    if (!PyArg_ParseTuple(arguments, "OOO!", &loop, &application, &PyDict_Type, &state))
        return NULL;
    asgi.application = Py_NewRef(application);
    asgi.state = Py_NewRef(state);
    asgi.thread = pthread_self();
    asgi.arena = sl_arena_new();
    asgi.response_arena = sl_arena_new();
    asgi.disconnected = PyErr_NewExceptionWithDoc(
        "silver.Disconnected", "The client has gone: nothing more can be sent.", PyExc_OSError, NULL);
    asgi.here = PyContextVar_New("silver.request", NULL);
    if (!asgi.here || !asgi.disconnected || !open_names() || !open_loop(loop) || !asgi_request_open() ||
        !asgi_scope_open())
        return NULL;
    port_give_to_loop(asgi.port, keep, NULL);
    watch_start_loop(asgi.port);
    PyObject *added =
        PyObject_CallMethod(loop, "add_reader", "iO", port_descriptor(asgi.port), asgi.readable);
    if (!added)
        return NULL;
    Py_DECREF(added);
    asgi.ready(asgi.web);
    /* What came meanwhile has rung already. */
    return PyObject_CallMethodOneArg(loop, asgi_names.call_soon, asgi.readable);
}

static PyMethodDef begin_method = {"begin", begin_serving, METH_VARARGS, NULL};

static void say_failed(struct web *web)
{
    SL_CLEANUP(sl_buffer_done) sl_buffer out = {0};
    trouble_put(&out);
    port_put(web->port, &(sl__packet){.kind = SL__FAILED}, &(struct iovec){out.data, out.size}, 1);
    port_flush(web->port);
}

int asgi_run(struct web *web, void (*ready)(struct web *web))
{
    asgi.web = web;
    asgi.port = web->port;
    asgi.ready = ready;
    PyObject *function = PyCFunction_New(&begin_method, NULL);
    PyObject *done = function ? embed_call("_asgi", "serve", "OO", web->application, function) : NULL;
    Py_XDECREF(function);
    int status = done ? 0 : 1;
    if (!done && !asgi.loop)
        say_failed(web);
    else if (!done)
        trouble_log(web->port, "the loop has ended");
    Py_XDECREF(done);
    asgi.loop = NULL;
    return status;
}
