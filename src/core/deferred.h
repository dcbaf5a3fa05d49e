/* deferred.h: the inside of deferreds. */
#pragma once

#include "core/context.h"

typedef struct sl__link {
    struct sl__link *next;
    sl_link_fn *ok, *failed;
    void *data;
    sl_free_fn *free_data;
    sl_context *context;
    const sl_site *site;
    enum {
        SL__LINK_CALL,  /* ok or failed */
        SL__LINK_OUTER, /* hands the result to the deferred `data`, which waits for this one */
        SL__LINK_TASK,  /* hands the result to the task `data` (NULL: drops it) */
    } kind;
} sl__link;

typedef struct sl__cleanup {
    struct sl__cleanup *next;
    sl_free_fn *fn;
    void *data;
    bool value; /* frees an awaited value, which may outlive the task */
} sl__cleanup;

/* What a task leaves to whoever awaits it: its arena, and the values that it awaited. */
typedef struct sl__estate {
    struct sl__estate *next;
    sl_arena *arena; /* in which this stands too */
    sl__cleanup *values;
} sl__estate;

typedef enum sl__state {
    SL__PENDING,
    SL__FIRED,
    SL__FREED,
} sl__state;

struct sl_deferred {
    void *pool_link;     /* the pool's while it is free */
    unsigned references; /* of those who got it */
    unsigned pauses;
    union {
        uint32_t state_and_flags;
        struct {
            unsigned char state;
            bool promised : 1;   /* who made it will still fire it, or give it up */
            bool swallow : 1;    /* … and that will be dropped: it was cancelled */
            bool running : 1;    /* its links are being run */
            bool cancelling : 1; /* its canceller is being called */
            bool released : 1;   /* cancelled because nobody wanted it any more */
            bool quiet : 1;      /* an unhandled failure is not reported */
            bool queued : 1;     /* put off, or on its way to be run */
            bool many_outers : 1;
            bool first_taken : 1;
        };
    };
    sl_loop *loop;
    sl_result result;
    sl_cancel_fn *cancel;
    void *data;
    const sl_site *made, *fired, *failed_at;
    sl_deferred *inner; /* the one it waits for: holds a reference */
    sl_deferred *outer; /* the one that waits for it */
    sl_deferred *next;  /* to be run */
    sl__link *links, **last_link;
    sl__estate *estate;
    sl__link first; /* the first link stands here, others in the pool */
};

/* Whether the result is there for whoever takes it now. */
static inline bool sl__deferred_ready(const sl_deferred *d)
{
    return d->state == SL__FIRED && !d->inner && !d->links && !d->running && !d->pauses;
}
/* Takes the result of a ready deferred, and the estate with it; counts as handling a failure. */
static inline sl_result sl__deferred_take(sl_deferred *deferred, sl__estate **ret_estate)
{
    sl_result result = deferred->result;
    *ret_estate = deferred->estate;
    deferred->result = sl_ok(NULL);
    deferred->estate = NULL;
    return result;
}
/* Adds the link that hands the result to a task; the link stays valid until it has run. */
sl__link *sl__deferred_add_task(sl_deferred *deferred, sl_task *task, const sl_site *site);
/* Fires with a value in an ended task's arena. */
void sl__deferred_set_estate(sl_deferred *deferred, sl__estate *estate);
void sl__estate_free(sl__estate *estate);
