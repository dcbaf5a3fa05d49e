/* inbox.c: events that Python code hears: an inbox keeps those of a channel and of the channels below it
 * until they are taken. What lies in it is guarded by the port's lock, as events come in whichever thread
 * reads. */
#include "upcall.h"

#include <stdlib.h>

#define INBOX_MAX 1024 /* events: of more the oldest are dropped */

struct note {
    struct note *next;
    char *channel, *event, *json;
};

struct inbox {
    PyObject_HEAD struct listener listener;
    char *channel, *event; /* event NULL: all */
    struct note *first, **last;
    size_t count, missed;
    int ready; /* something is in it, or it is closed */
    bool closed;
    PyObject *function; /* to be called once when something comes; in the loop only */
};

#define INBOX_OF(a_listener) ((struct inbox *)((char *)(a_listener)-offsetof(struct inbox, listener)))

static struct port *the_port;
static sl_table *heard;        /* channel → how many inboxes; under the GIL */
static struct inbox **waiting; /* for functions to be called; the loop's thread only */
static size_t waiting_count, waiting_room;
static PyObject *call_soon, *after_batch; /* the loop's call_soon_threadsafe, and what is to be called so */

/* ---- What comes -------------------------------------------------------------------------------------- */

static void note_free(struct note *note)
{
    free(note->channel);
    free(note->event);
    free(note->json);
    free(note);
}

static struct note *shift(struct inbox *inbox)
{
    struct note *note = inbox->first;
    inbox->first = note->next;
    if (!inbox->first)
        inbox->last = &inbox->first;
    inbox->count--;
    inbox->ready = inbox->count || inbox->closed;
    return note;
}

static bool hears(const struct inbox *inbox, const char *channel, const char *event)
{
    size_t size = strlen(inbox->channel);
    return strncmp(channel, inbox->channel, size) == 0 && (channel[size] == 0 || channel[size] == '/') &&
           (!inbox->event || strcmp(event, inbox->event) == 0);
}

/* The lock is held. */
static void put(struct inbox *inbox, const struct sl__event *told)
{
    if (inbox->closed || !hears(inbox, told->channel, told->event))
        return;
    if (inbox->count == INBOX_MAX) {
        note_free(shift(inbox));
        inbox->missed++;
    }
    struct note *note = sl_malloc(sizeof(*note));
    *note = (struct note){.channel = sl_strdup_heap(told->channel),
                          .event = sl_strdup_heap(told->event),
                          .json = sl_strdup_heap(told->json ? told->json : "null")};
    *inbox->last = note;
    inbox->last = &note->next;
    inbox->count++;
    inbox->ready = 1;
}

static void on_event(struct listener *listener, const sl__packet *packet)
{
    if (packet->kind != SL__TELL)
        return;
    sl_arena *arena = sl_arena_new();
    void *told = NULL;
    sl_error *error = NULL;
    if (sl_codec_flat.decode(sl__event_record(), (sl_view){packet->data, packet->size}, false, NULL, arena,
                             &told, &error) == 0)
        put(INBOX_OF(listener), told);
    sl_error_unref(error);
    sl_arena_free(arena);
}

static void tell_listener(struct listener *listener, const void *told)
{
    if (listener->arrived == on_event)
        put(INBOX_OF(listener), told);
}

int inbox_after_batch(void)
{
    int failed = 0;
    for (size_t i = 0; i < waiting_count;) {
        struct inbox *inbox = waiting[i];
        if (!inbox->ready) {
            i++;
            continue;
        }
        waiting[i] = waiting[--waiting_count];
        PyObject *function = inbox->function;
        inbox->function = NULL;
        PyObject *done = function ? PyObject_CallNoArgs(function) : Py_NewRef(Py_None);
        failed |= done == NULL;
        Py_XDECREF(done);
        Py_XDECREF(function);
        Py_DECREF(inbox);
    }
    return failed ? -1 : 0;
}

/* Those who wait in the loop are told by it: soon, if this is its thread. */
static int tell_loop(void)
{
    if (!waiting_count)
        return 0;
    if (upcall_is_loop())
        return inbox_after_batch();
    PyObject *done = PyObject_CallOneArg(call_soon, after_batch);
    Py_XDECREF(done);
    return done ? 0 : -1;
}

int inbox_tell(const char *channel, const char *event, const char *json)
{
    struct sl__event told = {.channel = channel, .event = event, .json = json};
    port_each_listener(the_port, tell_listener, &told);
    return tell_loop();
}

/* ---- Hearing ----------------------------------------------------------------------------------------- */

static void tell_parent(sl__packet_kind kind, const char *channel)
{
    port_put(the_port, &(sl__packet){.kind = (uint8_t)kind},
             &(struct iovec){(char *)channel, strlen(channel)}, 1);
    port_flush(the_port);
}

static void hear(const char *channel, bool begins)
{
    uintptr_t count = (uintptr_t)sl_table_get(heard, channel);
    if (begins ? count == 0 : count == 1)
        tell_parent(begins ? SL__HEAR : SL__UNHEAR, channel);
    count = begins ? count + 1 : count - 1;
    if (count)
        sl_table_set(heard, channel, (void *)count);
    else
        sl_table_remove(heard, channel);
}

static void end(struct inbox *inbox)
{
    if (inbox->closed || port_is_forked())
        return;
    port_lock(the_port);
    inbox->closed = true;
    inbox->ready = 1;
    port_wake(the_port, inbox->listener.waiter);
    port_unlock(the_port);
    port_unlisten(the_port, &inbox->listener);
    hear(inbox->channel, false);
}

/* ---- The object -------------------------------------------------------------------------------------- */

static PyObject *inbox_take(PyObject *self, PyObject *argument)
{
    if (upcall_refuse_forked())
        return NULL;
    struct inbox *inbox = (struct inbox *)self;
    double seconds = PyFloat_AsDouble(argument);
    if (seconds == -1.0 && PyErr_Occurred())
        return NULL;
    uint64_t deadline =
        seconds < 0 ? 0 : sl_monotonic_ns() + (uint64_t)(seconds > 1e9 ? 1e18 : seconds * 1e9);
    bool waits = !inbox->ready && seconds != 0 && !upcall_is_loop();
    if (waits &&
        port_wait(the_port, &inbox->listener, upcall_waiter(), &inbox->ready, upcall_work(), deadline) < 0)
        Py_RETURN_NONE; /* the request is left: nobody hears any more */
    port_lock(the_port);
    struct note *note = inbox->count ? shift(inbox) : NULL;
    port_unlock(the_port);
    if (!note)
        Py_RETURN_NONE;
    PyObject *told = Py_BuildValue("(sss)", note->channel, note->event, note->json);
    note_free(note);
    return told;
}

static PyObject *inbox_close(PyObject *self, PyObject *nothing)
{
    struct inbox *inbox = (struct inbox *)self;
    end(inbox);
    return inbox->function && tell_loop() < 0 ? NULL : Py_NewRef(Py_None);
}

/* Who waited does not any more: then nothing here keeps the inbox. */
static void forget(struct inbox *inbox)
{
    for (size_t i = 0; i < waiting_count; i++)
        if (waiting[i] == inbox) {
            waiting[i] = waiting[--waiting_count];
            Py_CLEAR(inbox->function);
            Py_DECREF(inbox);
            return;
        }
}

static PyObject *inbox_notify(PyObject *self, PyObject *arguments)
{
    struct inbox *inbox = (struct inbox *)self;
    PyObject *function, *soon;
    if (!PyArg_ParseTuple(arguments, "OO:notify", &function, &soon))
        return NULL;
    if (function == Py_None) {
        forget(inbox);
        Py_RETURN_NONE;
    }
    Py_XSETREF(call_soon, Py_NewRef(soon));
    if (!inbox->function) {
        if (waiting_count == waiting_room) {
            waiting_room = waiting_room ? 2 * waiting_room : 16;
            waiting = sl_realloc(waiting, waiting_room * sizeof(*waiting));
        }
        waiting[waiting_count++] = (struct inbox *)Py_NewRef(self);
    }
    Py_XSETREF(inbox->function, Py_NewRef(function));
    Py_RETURN_NONE;
}

static void inbox_dealloc(PyObject *self)
{
    struct inbox *inbox = (struct inbox *)self;
    end(inbox);
    while (inbox->first)
        note_free(shift(inbox));
    free(inbox->channel);
    free(inbox->event);
    Py_XDECREF(inbox->function);
    PyObject_Free(self);
}

static PyObject *inbox_missed(PyObject *self, void *closure)
{
    return PyLong_FromSize_t(((struct inbox *)self)->missed);
}

static PyObject *inbox_closed(PyObject *self, void *closure)
{
    return PyBool_FromLong(((struct inbox *)self)->closed);
}

static PyMethodDef inbox_methods[] = {
    {"take", inbox_take, METH_O,
     "take(seconds): (channel, event, json); None: there is none. -1 waits for ever"},
    {"close", inbox_close, METH_NOARGS, "hears no more"},
    {"notify", inbox_notify, METH_VARARGS,
     "notify(function, call_soon_threadsafe): in the loop; it is called once, when there is something; None: "
     "it need not be"},
    {0},
};
static PyGetSetDef inbox_values[] = {
    {"missed", inbox_missed, NULL, "how many events were dropped", NULL},
    {"closed", inbox_closed, NULL, "whether it hears no more", NULL},
    {0},
};
static PyTypeObject inbox_type = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "_silver.Inbox",
    .tp_basicsize = sizeof(struct inbox),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .tp_dealloc = inbox_dealloc,
    .tp_methods = inbox_methods,
    .tp_getset = inbox_values,
};

static PyObject *silver_inbox(PyObject *module, PyObject *arguments)
{
    if (upcall_refuse_forked())
        return NULL;
    const char *channel, *event;
    if (!PyArg_ParseTuple(arguments, "sz:inbox", &channel, &event))
        return NULL;
    struct inbox *inbox = PyObject_New(struct inbox, &inbox_type);
    if (!inbox)
        return NULL;
    inbox->listener = (struct listener){.arrived = on_event};
    inbox->channel = sl_strdup_heap(channel);
    inbox->event = event ? sl_strdup_heap(event) : NULL;
    inbox->first = NULL;
    inbox->last = &inbox->first;
    inbox->count = inbox->missed = 0;
    inbox->ready = 0;
    inbox->closed = false;
    inbox->function = NULL;
    port_listen(the_port, &inbox->listener);
    hear(channel, true);
    return (PyObject *)inbox;
}

static PyObject *silver_after_batch(PyObject *module, PyObject *nothing)
{
    return inbox_after_batch() < 0 ? NULL : Py_NewRef(Py_None);
}

static PyMethodDef methods[] = {
    {"after_batch", silver_after_batch, METH_NOARGS, "tells those in the loop who wait for events"},
    {"inbox", silver_inbox, METH_VARARGS, "inbox(channel, event or None)"},
    {0},
};

int inbox_open(PyObject *module, struct port *port)
{
    the_port = port;
    heard = sl_table_new(NULL);
    if (PyType_Ready(&inbox_type) < 0 || PyModule_AddFunctions(module, methods) < 0)
        return -1;
    after_batch = PyObject_GetAttrString(module, "after_batch");
    return after_batch ? 0 : -1;
}
