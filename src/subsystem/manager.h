/* manager.h: the inside of the manager.
 *
 * A *service* that is offered has *slots*, places for children; a call that was accepted is an *errand*. An
 * errand waits in a queue, or a slot's child has it. Files: manager.c (making, offering, ending), slot.c
 * (children: starting, replacing, stopping), queue.c (waiting), errand.c (accepting, sending, ending),
 * dispatch.c (which child gets which errand), due.c (times), caller.c (calls with records and JSON), talk.c
 * (long calls), stats.c.
 *
 * Whatever tells an errand's end may run anything, also what frees the manager. So each way in from the loop
 * is enclosed in sl__manager_enter and sl__manager_leave; only the outermost leave frees, and it is also
 * there that what has room gets what waits, once for a batch of events. */
#pragma once

#include "core/context.h"
#include "subsystem/child.h"
#include "subsystem/wire.h"
#include <silver/subsystem.h>

typedef struct sl__errand sl__errand;
typedef struct sl__served sl__served;
typedef struct sl__slot sl__slot;
struct sl__talk;

/* ---- Queues ------------------------------------------------------------------------------------------ */

#define SL__PRIORITIES 3

typedef struct sl__queue {
    struct sl__line {
        sl__errand *first, *last;
    } lines[SL__PRIORITIES]; /* urgent, normal, idle */
    unsigned count;
} sl__queue;

void sl__queue_append(sl__queue *queue, sl__errand *errand);
void sl__queue_prepend(sl__queue *queue, sl__errand *errand); /* before all of its priority */
void sl__queue_remove(sl__errand *errand);
/* The one whose turn it is, or NULL. */
sl__errand *sl__queue_first(const sl__queue *queue);

/* ---- Errands ------------------------------------------------------------------------------------------ */

#define SL__ERRAND_HERE 160  /* bytes of arguments that stand in the errand itself */
#define SL__ATTEMPTS 3       /* a call is given to so many children that die before they begin it */
#define SL__AFFINITY_MS 50   /* a call with a key waits so long for the child of its key, */
#define SL__AFFINITY_WAITS 4 /* if no more than so many wait for that already */
#define SL__AHEAD_MAX 512    /* calls that are sent ahead to a child that does one at a time, */
#define SL__AHEAD_NS 500000  /* and no more than it does in this time */

typedef enum sl__errand_state {
    SL__ERRAND_WAITING, /* in a queue */
    SL__ERRAND_SENT,    /* a child has it */
    SL__ERRAND_LEFT,    /* a child has it, but who called was told its end already */
} sl__errand_state;

typedef enum sl__errand_kind {
    SL__GIVES_RECORD,
    SL__GIVES_JSON,
    SL__GIVES_RAW,
    SL__TALKS,
} sl__errand_kind;

/* How calls end, for the statistics. X(name) */
#define SL__OUTCOMES(X) X(succeeded) X(failed) X(timed_out) X(cancelled) X(crashed) X(closed)
typedef enum sl__outcome {
#define SL__OUTCOME(name) SL__OUTCOME_##name,
    SL__OUTCOMES(SL__OUTCOME)
#undef SL__OUTCOME
        SL__OUTCOME_COUNT
} sl__outcome;

struct sl__errand {
    sl__errand *next, *previous; /* in its queue, or among those of its slot; `next` in the pool */
    sl__queue *queue;            /* in which it waits */
    sl__served *served;
    sl__slot *slot; /* whose child has it, or for whose child it waits */
    const sl_site *site;
    sl_deferred *deferred; /* NULL once told, and of talks */
    struct sl__talk *talk;
    const sl_record *result;
    char *method_name; /* where the child numbers its methods itself */
    uint64_t number, position;
    uint64_t accepted_ns;
    uint64_t deadline_ms; /* UINT64_MAX: none */
    uint64_t patience_ms; /* of who leaves it, instead of the first grace; 0: none */
    uint32_t due_index;   /* in the manager's heap, or UINT32_MAX */
    uint32_t key;         /* a hash; 0: none */
    uint16_t method;
    uint8_t state, kind, priority, codec, attempts;
    uint8_t file_count;
    uint8_t overdue; /* of one that was left: see errand.c */
    bool idempotent;
    int files[SL__PACKET_FILES];
    size_t size;
    char *data; /* the arguments: `here`, or allocated */
    char here[SL__ERRAND_HERE];
};

/* What an accepted call is made of. `data` is copied unless `take` (then freed with `free`). */
typedef struct sl__order {
    const sl_site *site;
    sl__errand_kind kind;
    unsigned method;
    const char *method_name;
    const sl_record *result;
    const sl_call_options *options;
    uint8_t codec;
    bool idempotent;
    sl_buffer *data; /* the manager's scratch, or the caller's: emptied if it was taken over */
    const int *files;
    unsigned file_count;
} sl__order;

/* Accepts a call: 0, and the errand waits or was sent; or a code with *ret_error. The errand has no deferred
 * yet: nothing has run that could end it. */
int sl__errand_accept(sl__served *served, const sl__order *order, sl__errand **ret_errand,
                      sl_error **ret_error);
/* Makes it wait, at the end of the queue. */
void sl__errand_wait(sl__errand *errand, sl__queue *queue);
/* It waits no more: to be sent, to wait elsewhere, or to end. */
void sl__errand_stop_waiting(sl__errand *errand);
/* Gives it, which does not wait, to the slot's child. 0; or a code with an error, and nothing was done. */
int sl__errand_send(sl__errand *errand, sl__slot *slot, sl_error **ret_error);
const char *sl__errand_method(const sl__errand *errand);
/* Frees it, which has ended, and gives what is to be fired: the caller's last act. */
sl_deferred *sl__errand_finish(sl__errand *errand, sl__outcome outcome);
/* Ends it: tells who called (unless that was told before) and frees it. The error is taken over. */
void sl__errand_end(sl__errand *errand, sl__outcome outcome, sl_error *error);
/* Who called is told, or tells; a child that has it is told to leave it, and ended if it goes on. Without a
 * child the errand is freed. The error (taken over) may be NULL: nobody wants it. */
void sl__errand_leave(sl__errand *errand, sl__outcome outcome, sl_error *error);
/* Its time has come: see errand.c. */
void sl__errand_due(sl__errand *errand, uint64_t now_ms);
/* A packet of a call of ours. */
void sl__errand_packet(sl__slot *slot, const sl__packet *packet);
/* The child has gone: of those that it had, those that it had not begun wait again, the others end. */
void sl__errands_of_gone(sl__slot *slot, sl__wire *wire, const sl_error *error);
/* A copy, for each of those whom one error meets. */
sl_error *sl__error_copy(const sl_error *error);

/* caller.c: a manager as an sl_caller, and back: NULL if it is none. */
void sl__caller_init(struct sl_caller *caller);
sl_manager *sl__caller_manager(struct sl_caller *caller);
/* Ends it with the result that is in the packet. */
void sl__errand_result(sl__errand *errand, const sl__packet *packet);
/* A result as it came, for those who pass it on. */
typedef struct sl__raw {
    uint8_t codec;
    unsigned file_count;
    int files[SL__PACKET_FILES];
    size_t size;
    char data[];
} sl__raw;
/* A call by names whose arguments are encoded already: `arguments` says how, and has the data and files,
 * which stay the caller's; a deferred of an sl__raw. */
sl_deferred *sl__call_raw(sl_manager *manager, const sl_site *site, const char *service, const char *method,
                          const sl__packet *arguments, const sl_call_options *options);

/* talk.c */
void sl__talk_placed(struct sl__talk *talk); /* a child has it now */
void sl__talk_packet(struct sl__talk *talk, const sl__packet *packet);
void sl__talk_result(struct sl__talk *talk, const sl__packet *packet);
bool sl__talk_has_sent(const struct sl__talk *talk);        /* more than its head */
void sl__talk_over(struct sl__talk *talk, sl_error *error); /* takes over the error */

/* ---- Slots -------------------------------------------------------------------------------------------- */

/* X(name) */
#define SL__SLOT_STATES(X)                                                                                   \
    X(empty)                                                                                                 \
    X(starting)                                                                                              \
    X(ready)                                                                                                 \
    X(leaving)  /* takes no more calls; goes when those that it has have ended */                            \
    X(stopping) /* was asked to go */                                                                        \
    X(ending)   /* is being ended by signals */
typedef enum sl__slot_state {
#define SL__STATE(name) SL__SLOT_##name,
    SL__SLOT_STATES(SL__STATE)
#undef SL__STATE
        SL__SLOT_STATE_COUNT
} sl__slot_state;

struct sl__slot {
    sl__served *served;
    sl__child *child;
    sl__upcalls *upcalls;
    sl__slot_state state;
    unsigned generation; /* raised with each end of a child */
    uint32_t seed;       /* for the choice by key: of the place, so that who comes after has the same keys */
    unsigned capacity;   /* calls at once */
    unsigned running, left, talks;
    sl__errand *first, *last; /* those that it has, in the order in which they were sent */
    sl__queue queue;          /* those that wait for it because of their key */
    sl__slot *replaces;       /* while it starts */
    bool worn;                /* is to be replaced */
    uint64_t calls, retire_calls;
    uint64_t started_ms, retire_ms, idle_ms,
        memory_ms;     /* when: started, too old, idle since, looked at last */
    uint64_t leave_ms; /* when its long calls are left, if it is leaving */
    uint64_t used;     /* a stamp: the greatest was used last */
    uint64_t busy_ns;  /* when it was last heard of, or got something to do */
    char **methods;    /* what its child calls them, where that numbers them itself */
    unsigned method_count;
};

/* What is wanted is started, what is not is stopped, as far as may be now. */
void sl__slots_mind(sl__served *served);
/* It takes no more calls: those that waited for it wait for any. Asked to go when it has none. */
void sl__slot_leave(sl__slot *slot);
/* It has one call less. */
void sl__slot_freed(sl__slot *slot);
/* Ends its child by signals. */
void sl__slot_end(sl__slot *slot, const char *why);
/* Children that are there or start, without those that leave. */
unsigned sl__slots_kept(const sl__served *served);
unsigned sl__slots_in(const sl__served *served, sl__slot_state state);
/* Plans to look after the slots at that time at the latest. */
void sl__slots_look_at(sl__served *served, uint64_t ms);

/* ---- Services ------------------------------------------------------------------------------------------ */

#define SL__CHILDREN_MAX 1024              /* of a service */
#define SL__LONGEST_MS (UINT64_C(1) << 40) /* of any time: who asks for more means for ever */
#define SL__TIME_BUCKETS 14

typedef struct sl__served_counts {
    uint64_t calls, refused, retried, ended[SL__OUTCOME_COUNT];
    uint64_t starts, crashes, recycled, idled, overdue;
    uint64_t times[SL__TIME_BUCKETS + 1], time_ns;
} sl__served_counts;

typedef struct sl__waiter {
    struct sl__waiter *next, *previous;
    sl__served *served;
    sl_deferred *deferred;
} sl__waiter;

struct sl__served {
    sl__served *next; /* in the manager's list of those that go */
    sl_manager *manager;
    char *name, *module;
    const char *program;
    sl_offer offer; /* options are filled in */
    const sl_codec *codec;
    uint8_t codec_number;
    bool by_name; /* methods are found by their names, in what the child says of itself */
    uint64_t digest;
    sl__slot **slots;
    unsigned slot_count;
    sl__queue queue;
    unsigned waiting; /* in this queue and in those of the slots */
    size_t waiting_bytes;
    unsigned running;
    uint64_t call_ns; /* the longest of late that a child took for a call; UINT64_MAX: unknown */
    int64_t mean_ns;  /* what they take on an average; 0: unknown */
    sl__waiter *waiters, *last_waiter;
    sl__timer *look;
    uint64_t look_ms;
    uint64_t stamp;
    bool withdrawn, is_dirty;
    sl__served *next_dirty;
    /* Failures in a row. */
    unsigned crashes;
    uint64_t first_crash_ms, retry_ms, failing_until_ms;
    sl_error *last_crash;
    sl__served_counts counts;
};

/* A child has died, or could not be started. `told`: it said why, and would again. */
void sl__served_crashed(sl__served *served, const sl_error *error, bool told);

sl__served *sl__served_new(sl_manager *manager, const char *name, const sl_offer *offer, const char *module);
void sl__served_free(sl__served *served);
/* What waits is given to those that have room; children are started; those who wait for room are told. */
void sl__served_dispatch(sl__served *served);
/* For an errand that has just come: the slot that takes it now, or NULL; then *ret_queue is where it waits.
 */
sl__slot *sl__served_choose(sl__served *served, sl__errand *errand, sl__queue **ret_queue);
/* All its errands end with this error (taken over). */
void sl__served_fail_all(sl__served *served, sl__outcome outcome, sl_error *error, bool waiting_only);
/* Whether a call would be refused as busy, if it has so many bytes. */
bool sl__served_busy(const sl__served *served, size_t size);
void sl__waiter_free(sl__waiter *waiter);

/* ---- The manager --------------------------------------------------------------------------------------- */

#define SL__CACHE_SIZE 64

typedef struct sl__due {
    uint64_t ms;
    sl__errand *errand;
} sl__due;

struct sl_manager {
    struct sl_caller caller;
    sl_loop *loop;
    sl_root *root;
    char *programs, *directory;
    char **environment;
    char *worker, *python; /* the programs */
    sl_table *services;    /* sl__served by name */
    sl__served *going;     /* withdrawn, but with children */
    unsigned inside;       /* how often entered */
    bool closed, draining, freed;
    sl_deferred *drained;
    uint64_t now_ns;   /* of the call or batch that is dealt with */
    sl__served *dirty; /* those that may have something to dispatch */
    struct at_exit_guard {
        sl_manager *manager;
    } * guard;

    /* Errands by number: their index, with a generation above it, twice (the child's calls are odd). */
    sl__errand **errands;
    uint32_t *generations, *free_indices;
    uint32_t errand_capacity, errand_count, free_count;
    sl__pool pool;

    sl__due *heap;
    uint32_t heap_count, heap_capacity;
    sl__timer *timer;
    uint64_t timer_ms;

    sl_buffer scratch;
    struct sl__cached {
        const sl_service *service;
        sl__served *served;
    } cache[SL__CACHE_SIZE];
};

void sl__manager_enter(sl_manager *manager);
void sl__manager_leave(sl_manager *manager);
/* sl__served_dispatch is called for it at the outermost leave. */
static inline void sl__served_touch(sl__served *served)
{
    if (served->is_dirty)
        return;
    served->is_dirty = true;
    served->next_dirty = served->manager->dirty;
    served->manager->dirty = served;
}
sl__served *sl__manager_find(sl_manager *manager, const char *name);
/* The service, which must be the same at both ends. 0 or a code with an error. */
int sl__manager_served(sl_manager *manager, const sl_service *service, sl__served **ret_served,
                       sl_error **ret_error);
/* Whether a caller's description of the service is that of who does it. 0; or SL_EPROTO with an error. */
int sl__served_same(const sl__served *served, unsigned version, uint64_t digest, sl_error **ret_error);
sl_error *sl__no_service(const sl_site *site, const sl_manager *manager, const char *name);

/* The errand's number on the wire. */
void sl__errand_register(sl__errand *errand);
void sl__errand_unregister(sl__errand *errand);
sl__errand *sl__errand_find(sl_manager *manager, uint64_t number);

/* due.c: a heap of times. Setting again moves; UINT64_MAX is never. */
void sl__due_set(sl_manager *manager, sl__errand *errand, uint64_t ms);
void sl__due_done(sl_manager *manager);
static inline uint64_t sl__now_ms(void)
{
    return sl_monotonic_ns() / 1000000;
}

/* stats.c */
void sl__count_end(sl__served *served, sl__outcome outcome, uint64_t ns);
