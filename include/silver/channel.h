/* channel.h: named places where events are told, to those here who listen and, by the bus, to the other
 * instances of the application.
 *
 * Channels are hierarchical: what is told on "site/pool/added" reaches those who listen to "site/pool" and to
 * "site" as well. (Names have 16 levels at most: what has more is directly below its first 16.) There are two
 * ways to hear:
 *  - a *listener* is a function that is called inside the telling; what it returns matters to the teller;
 *  - an *inbox* keeps events for a task, which takes them when it likes. */
#pragma once

#include <silver/core.h>

typedef struct sl_channel sl_channel;
typedef struct sl_inbox sl_inbox;
typedef struct sl_listener sl_listener;

/* SL_EVENT(message_said); at file level declares an event, whose payload is JSON, and which the bus carries.
 * With .sticky = true who listens later is told the last one at once, as long as the channel has lived since.
 * SL_LOCAL_EVENT(row_added, struct row) declares one whose payload is a pointer, and which stays in the
 * process and out of inboxes. Events are the same when their names are. */
typedef struct sl_event {
    const char *name;
    bool sticky, local;
} sl_event;
#define SL_EVENT(identifier, ...)                                                                            \
    static const sl_event identifier[1] __attribute__((unused)) = {{.name = #identifier, __VA_ARGS__}}
#define SL_LOCAL_EVENT(identifier, type)                                                                     \
    typedef type identifier##__payload;                                                                      \
    static const sl_event identifier[1] __attribute__((unused)) = {{.name = #identifier, .local = true}}

/* The root's channel of this name. It lives while anybody listens, and after that until 1024 others that
 * nobody listens to were asked for: keep its name, not the channel. */
SL_API sl_channel *sl_channel_get(sl_root *root, const char *name);
#define sl_channel(...) sl__channel_printf(__VA_ARGS__)
SL_API sl_channel *sl__channel_printf(const char *format, ...) SL_PRINTF(1, 2);
SL_API const char *sl_channel_name(const sl_channel *channel);

/* ---- Telling ----------------------------------------------------------------------------------------- */
/* Listeners are called first, those of higher priority before those of lower, then those of the channel
 * itself before those of the ones above it, then in the order in which they came; each in the context in
 * which it began to listen. One that is added meanwhile is not called for this event; one that is removed
 * meanwhile is not called any more. Then inboxes and the bus get the event, which never blocks and keeps the
 * order between one teller and one hearer. */

/* Tells; stops at the first listener that fails, which then fails the telling task, naming both places;
 * outside tasks that failure is logged. Inboxes and the bus then get nothing. Takes over the reference of
 * `payload` (may be NULL). A value that a listener returns is dropped; if it is a deferred, the failure of
 * that is logged. Listeners are called where sl_emit is and must not suspend. */
#define sl_emit(channel, event, payload) sl__emit(SL_HERE, (channel), (event), (payload))
SL_API void sl__emit(const sl_site *site, sl_channel *channel, const sl_event *event, struct json_t *payload);
/* The same to all, whoever fails: each failure is logged with both sites. Gives how many failed. */
#define sl_emit_safely(channel, event, payload) sl__emit_safely(SL_HERE, (channel), (event), (payload))
SL_API size_t sl__emit_safely(const sl_site *site, sl_channel *channel, const sl_event *event,
                              struct json_t *payload);
/* The same two for a local event, whose payload lives as long as the call needs it. */
#define sl_tell(channel, event, payload)                                                                     \
    sl__tell(SL_HERE, (channel), (event), (1 ? (payload) : (event##__payload *)0))
#define sl_tell_safely(channel, event, payload)                                                              \
    sl__tell_safely(SL_HERE, (channel), (event), (1 ? (payload) : (event##__payload *)0))
SL_API void sl__tell(const sl_site *site, sl_channel *channel, const sl_event *event, const void *payload);
SL_API size_t sl__tell_safely(const sl_site *site, sl_channel *channel, const sl_event *event,
                              const void *payload);

/* Asks the listeners here and gives what they return, in the order of the calls: a deferred of sl_values.
 * What is a deferred is waited for. sl_collect fails with the first failure; sl_collect_safely leaves out
 * those that fail, which are logged. Neither inboxes nor the bus get the event. `payload`: of an SL_EVENT a
 * json_t whose reference the caller keeps, of a local event a pointer; it must live until the deferred has
 * fired. */
typedef struct sl_values {
    size_t count;
    void **items; /* they live as long as the awaiting task */
} sl_values;
#define sl_collect(channel, event, payload) sl__collect(SL_HERE, (channel), (event), (payload), false)
#define sl_collect_safely(channel, event, payload) sl__collect(SL_HERE, (channel), (event), (payload), true)
SL_API sl_deferred *sl__collect(const sl_site *site, sl_channel *channel, const sl_event *event,
                                const void *payload, bool safely);

/* ---- Listeners --------------------------------------------------------------------------------------- */

/* What is told, as a listener gets it; it lives as long as the call. */
typedef struct sl_told {
    const sl_event *event;
    const char *channel; /* the one it was told on, perhaps below the one listened to */
    const void *payload; /* of a local event; else the json_t */
    const sl_site *site; /* of the telling */
    bool late;           /* a sticky one from before */
    bool elsewhere;      /* told in another instance */
} sl_told;
/* Returns as a link does: sl_ok(NULL), a value for those who collect, a failure, or a deferred. As a link it
 * must not suspend, and should return its failure rather than exit. */
typedef sl_result sl_listener_fn(const sl_told *told, void *data);

typedef struct sl_listen_options {
    int priority;     /* higher ones are called first; 0 unless said */
    bool once;        /* the first event ends it */
    bool everywhere;  /* also events that other instances tell */
    sl_object *owner; /* the listener ends with this object; without it with the calling task, or with the
                         root outside tasks */
    sl_free_fn *free_data;
} sl_listen_options;
/* Begins to listen; `event` NULL is all of them. The listener frees itself with its owner; sl_listener_end
 * ends it earlier, also from inside an emit. What this gives holds until then; it is NULL if a sticky event
 * has ended a `once` listener already. */
#define sl_listen_to(channel, event, function, data, ...)                                                    \
    sl__listen_to(SL_HERE, (channel), (event), (function), (data), &(sl_listen_options){__VA_ARGS__})
SL_API sl_listener *sl__listen_to(const sl_site *site, sl_channel *channel, const sl_event *event,
                                  sl_listener_fn *function, void *data, const sl_listen_options *options);
SL_API void sl_listener_end(sl_listener *listener); /* takes NULL */

/* ---- Inboxes ------------------------------------------------------------------------------------------ */

/* Subscribes the calling task until it ends: events wait in the inbox, 1024 at most, those that other
 * instances tell too. `event` NULL is all of them. */
SL_API sl_inbox *sl_subscribe(sl_channel *channel, const sl_event *event);
/* The next event's payload, which lives until the next call; NULL once the inbox is closed. May suspend.
 * Where the inbox overflowed, the oldest were dropped: *sl_inbox_missed* says how many since it was last
 * asked. */
#define sl_next(inbox) sl__next(SL_HERE, (inbox))
SL_API struct json_t *sl__next(const sl_site *site, sl_inbox *inbox);
/* The same, but gives up after `ms`: then NULL, and *ret_silent is true (else false). May suspend. */
#define sl_next_within(inbox, ms, ret_silent) sl__next_within(SL_HERE, (inbox), (ms), (ret_silent))
SL_API struct json_t *sl__next_within(const sl_site *site, sl_inbox *inbox, uint64_t ms, bool *ret_silent);
SL_API size_t sl_inbox_missed(sl_inbox *inbox);
SL_API void sl_inbox_close(sl_inbox *inbox);

/* ---- The bus ----------------------------------------------------------------------------------------- */

/* The bus's side: `forward` is told of all that is emitted here (text is the payload as compact JSON, or
 * "null"), and sl_bus_deliver hands in what others emitted, as sl_emit_safely would tell it, to inboxes and
 * to who listens everywhere. One bus a root. */
typedef void sl_bus_forward_fn(void *data, const char *channel, const char *event, const char *json,
                               size_t size);
SL_API void sl_bus_attach(sl_root *root, sl_bus_forward_fn *forward, void *data);
SL_API void sl_bus_deliver(sl_root *root, const char *channel, const char *event, const char *json,
                           size_t size);
