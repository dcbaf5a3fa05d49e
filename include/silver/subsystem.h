/* subsystem.h: work that blocks, done in child processes that are kept warm, its result a deferred.
 *
 * A service is an interface: a name, a version and typed methods.
 *
 *     #define SEARCH_QUERY(F) F(words, text, SL_REQUIRED, .max = 1000) F(limit, integer)
 *     SL_RECORD(search_query, SEARCH_QUERY);
 *     …
 *     #define SEARCH(M)                                                \
 *         M(query, search_query, search_found, SL_IDEMPOTENT)          \
 *         M(flush, sl_nothing, sl_nothing)
 *     SL_SERVICE(search, 1, SEARCH);
 *
 * Whoever wants it calls it, with arguments by position or by name, checked by the compiler:
 *
 *     const struct search_found *found = sl_await(sl_call(search, query, "fish", .limit = 20));
 *
 * and does not know who does the work. Usually it is a child process of the manager, which an application's
 * instance has, and which loads the module (a plug-in) that offers the service:
 *
 *     static void query(const struct search_query *q, struct search_found *found) { … }
 *     static const struct search_methods methods = {.query = query, .flush = flush};
 *     SL_PLUGIN(search, SL_OFFERS(search, &methods, .maximum = 2));
 *
 * Methods run in a task of the child: they fail with sl_fail, allocate with sl_alloc, and may block, unless
 * the service asks for more than one call at once (`.concurrency`), for then the child runs a loop and they
 * await. */
#pragma once

#include <silver/core.h>
#include <silver/record.h>

typedef struct sl_service sl_service;
typedef struct sl_service_method sl_service_method;
typedef struct sl_manager sl_manager;

/* ---- Services ---------------------------------------------------------------------------------------- */

struct sl_service_method {
    const char *name;
    sl_record_fn *arguments, *result;
    bool idempotent; /* may be called again after a child died that had not begun it */
};
struct sl_service {
    const char *name;
    unsigned version;
    size_t method_count;
    const sl_service_method *methods;
};
#define SL_IDEMPOTENT .idempotent = true

/* clang-format off */
#define SL__METHOD_FUNCTION(method, takes, gives, ...) void (*method)(const struct takes *arguments, struct gives *result);
#define SL__METHOD_ARGUMENTS(method, takes, gives, ...) struct takes method;
#define SL__METHOD_ENTRY(method, takes, gives, ...) {.name = #method, .arguments = takes##_record, .result = gives##_record, __VA_ARGS__},
/* SL_SERVICE(search, 1, SEARCH); M(method, record of the arguments, record of the result, options…). Makes search_service, the
 * description, and `struct search_methods`, which has a function for each method. The result comes cleared (files
 * are -1); what it points to must live until the method's task has ended, but its files and its references to
 * JSON are given away with it. Files and JSON of the arguments are the call's: who keeps one takes a copy. */
#define SL_SERVICE(identifier, its_version, METHODS)                                                         \
    struct identifier##_methods { METHODS(SL__METHOD_FUNCTION) };                                            \
    struct identifier##__arguments { METHODS(SL__METHOD_ARGUMENTS) };                                        \
    static const sl_service_method identifier##__methods[] = {METHODS(SL__METHOD_ENTRY)};                            \
    static const sl_service identifier##_service[1] __attribute__((unused)) = {                              \
        {.name = #identifier, .version = its_version,                                                        \
         .method_count = sl_array_size(identifier##__methods), .methods = identifier##__methods}}
/* clang-format on */
/* A hash of the names, records and options of all methods: what both ends must agree on. */
SL_API uint64_t sl_service_digest(const sl_service *service);

/* ---- Calls ------------------------------------------------------------------------------------------- */

typedef enum sl_priority {
    SL_NORMAL,
    SL_URGENT, /* before all others of the service */
    SL_IDLE,   /* when nothing else waits */
} sl_priority;

typedef struct sl_call_options {
    const char *key; /* affinity: calls of one key go to one child as long as that is there and not behind */
    sl_priority priority;
    uint64_t timeout_ms; /* from the call to its end, waiting included; 0: the service's */
} sl_call_options;

/* Calls a method: a deferred of the result's struct, which lives as long as the awaiting task. It ends
 * exactly once:
 *  - with the result;
 *  - with the error that the method failed with, its code, message, hint and places;
 *  - SL_ETIMEDOUT, SL_ECANCELED: the child was told, and ended if it went on;
 *  - SL_ECRASHED: the child died, with how, and the last lines that it printed;
 *  - SL_EBUSY at once: too many calls wait (see sl_room);
 *  - SL_ENOSERVICE at once: nobody offers it; SL_EPROTO: whoever does speaks another version of it;
 *  - SL_EINVAL at once: the arguments do not keep what their record demands.
 * Arguments are copied. Never suspends. */
#define sl_call(service, method, ...) sl_call_with(SL_CALL(), service, method, __VA_ARGS__)
/* The same with options: sl_call_with(SL_CALL(.key = room, .timeout_ms = 500), search, query, "fish"). */
#define sl_call_with(options, service, method, ...)                                                          \
    sl__call(SL_HERE, service##_service, sl__method_index(service, method),                                  \
             &(__typeof__(((struct service##__arguments *)0)->method)){__VA_ARGS__}, (options))
#define SL_CALL(...) (&(const sl_call_options){__VA_ARGS__})
#define sl__method_index(service, method)                                                                    \
    (offsetof(struct service##_methods, method) / sizeof(void (*)(void)))
SL_API sl_deferred *sl__call(const sl_site *site, const sl_service *service, size_t method,
                             const void *arguments, const sl_call_options *options);
/* Succeeds with NULL when a call of the service would be accepted again. */
#define sl_room(service) sl__room(SL_HERE, service##_service)
SL_API sl_deferred *sl__room(const sl_site *site, const sl_service *service);
/* The same by names, for other languages: a deferred of a json_t, the result. `arguments` is an object that
 * gives them by name, or an array that gives them by position. */
SL_API sl_deferred *sl_call_json(const char *service, const char *method, struct json_t *arguments,
                                 const sl_call_options *options); /* takes over `arguments` */

/* Who carries out calls: a facet of the root (sl_provided(sl_caller)). An application's instance has a
 * manager; in a service's child it is one that passes them on to the parent; tests provide what they like. */
struct sl_caller {
    sl_deferred *(*call)(struct sl_caller *self, const sl_site *site, const sl_service *service,
                         size_t method, const void *arguments, const sl_call_options *options);
    sl_deferred *(*room)(struct sl_caller *self, const sl_site *site, const sl_service *service);
    sl_deferred *(*call_json)(struct sl_caller *self, const char *service, const char *method,
                              struct json_t *arguments, const sl_call_options *options);
};
SL_INTERFACE(sl_caller);

/* ---- Offers ------------------------------------------------------------------------------------------ */

/* How a service's children are kept. X(name, default, unit, meaning) */
#define SL_OFFER_OPTIONS(X)                                                                                  \
    X(minimum, 0, "children", "kept although nothing is to do")                                              \
    X(maximum, 1, "children", "at most")                                                                     \
    X(concurrency, 1, "calls", "at once in a child; with 1 a method may block")                              \
    X(timeout_ms, 30000, "ms", "for a call, unless it says otherwise")                                       \
    X(grace_ms, 1000, "ms", "between telling a child to leave a call, SIGTERM, and SIGKILL")                 \
    X(drain_ms, 60000, "ms", "for the long calls (requests, WebSockets) of a child that was replaced")       \
    X(start_ms, 10000, "ms", "for a child to be ready")                                                      \
    X(idle_ms, 60000, "ms", "without a call: a child beyond the minimum is stopped")                         \
    X(recycle_calls, 0, "calls", "a child is replaced after so many (0: never), give or take a tenth")       \
    X(recycle_ms, 0, "ms", "a child is replaced at this age (0: never), give or take a tenth")               \
    X(memory, 0, "bytes", "a child that holds more is replaced (0: no limit)")                               \
    X(queue_calls, 1000, "calls", "that wait: more are refused with SL_EBUSY")                               \
    X(queue_bytes, 16777216, "bytes", "of the arguments of those that wait: likewise")                       \
    X(crashes, 5, "crashes", "in crash_ms without a call that succeeded: calls fail at once for as long")    \
    X(crash_ms, 30000, "ms", "see crashes")

typedef struct sl_offer {
    const sl_service *service;
    const void *methods;   /* the struct SERVICE_methods; NULL if only `module` has it */
    void (*open)(void);    /* in a task of a new child, before the first call */
    void (*close)(void);   /* likewise before it goes */
    const sl_codec *codec; /* NULL: flat */
#define SL__OFFER_OPTION(name, value, unit, meaning) uint64_t name; /* 0: the default */
    SL_OFFER_OPTIONS(SL__OFFER_OPTION)
#undef SL__OFFER_OPTION
} sl_offer;

SL_API extern const sl_interest_kind sl_offers_kind;
/* In a plug-in's descriptor: SL_OFFERS(search, &methods, .maximum = 2). */
#define SL_OFFERS(offered, its_methods, ...)                                                                 \
    SL__INTEREST(sl_offers_kind, #offered,                                                                   \
                 &(const sl_offer){.service = offered##_service,                                             \
                                   .methods = (1 ? (its_methods) : (const struct offered##_methods *)0),     \
                                   __VA_ARGS__})

/* ---- The manager ------------------------------------------------------------------------------------- */

typedef struct sl_manager_options {
    const char *programs;     /* the directory of silver-worker and silver-python; NULL: beside libsilver, or
                                 where they were installed */
    char *const *environment; /* of children; NULL: ours */
    const char *directory;    /* they work in; NULL: ours */
} sl_manager_options;

/* Makes a manager of the current loop and provides it as the root's sl_caller. 0 or a code. */
SL_API int sl_manager_new(sl_root *root, const sl_manager_options *options, sl_manager **ret_manager);
/* Ends all children at once and waits for them (at most a second); what is called fails with SL_ECLOSED.
 * Takes NULL. */
SL_API sl_manager *sl_manager_free(sl_manager *manager);
/* Accepts no call any more; succeeds when the last has ended and all children have gone. */
SL_API sl_deferred *sl_manager_drain(sl_manager *manager);
/* The root's, or NULL. */
SL_API sl_manager *sl_manager_of(sl_root *root);

/* Offers a service, carried out by `module`: a shared object with a plug-in descriptor that offers it, or a
 * Python file (silver-python loads it; offer->service may then be NULL, and `name` says what it is called).
 * 0; SL_EEXIST where the service is offered already. Strings are copied, the offer too. */
SL_API int sl_manager_offer(sl_manager *manager, const char *name, const sl_offer *offer, const char *module,
                            sl_error **ret_error);
/* Nobody can call it any more; its calls fail with SL_ECLOSED, its children go. */
SL_API void sl_manager_withdraw(sl_manager *manager, const char *name);

/* Of each service: name, version, children (pid, state, calls, age, memory), running, waiting, waiting_bytes,
 * and counts of calls by how they ended, of starts, crashes, recyclings; times in microseconds. A new
 * reference. */
SL_API struct json_t *sl_manager_stats(sl_manager *manager);
/* The same in Prometheus' text format. */
SL_API void sl_manager_metrics(sl_manager *manager, sl_buffer *out);

/* A caller that runs methods in tasks of this process, for tests: the offers must have their methods. Freed
 * by sl_inline_free. */
SL_API struct sl_caller *sl_inline_new(const sl_offer *const *offers, size_t count);
SL_API struct sl_caller *sl_inline_free(struct sl_caller *caller);
