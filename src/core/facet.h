/* facet.h: the inside of objects and adapters. */
#pragma once

#include "core/context.h"

/* What ends with an object without being one of its facets: embedded in whatever that is. */
typedef struct sl__owned {
    struct sl__owned *next, **link; /* link is NULL once it has left the object */
    void (*end)(struct sl__owned *owned);
} sl__owned;

void sl__object_own(sl_object *object, sl__owned *owned);
void sl__owned_leave(sl__owned *owned);

/* sl_object_add and sl_adapter_add, which give the error instead of logging it. */
int sl__object_add_or(const sl_site *site, sl_object *object, sl_interface *interface, void *facet,
                      sl_free_fn *free_facet, sl_error **ret_error);
int sl__adapter_add_or(const sl_site *site, sl_root *root, sl_interface *from, sl_interface *to,
                       sl_adapt_fn *adapt, sl_free_fn *free_facet, sl_error **ret_error);

/* ---- Between facet.c and adapter.c ---- */

/* An interface of this process: one for each name, for good, whichever shared objects describe it. */
typedef struct sl__kind {
    const char *name;
    unsigned index;
    const struct sl__kind *base;
} sl__kind;

const sl__kind *sl__kind_of(sl_interface *interface);
/* Whether whoever has `kind` has `other` too. */
static inline bool sl__kind_is(const sl__kind *kind, const sl__kind *other)
{
    while (kind && kind != other)
        kind = kind->base;
    return kind;
}

/* A facet that an object has: its own, or one that an adapter made. */
typedef struct sl__part {
    struct sl__part *older, *newer; /* of the object's */
    sl_object *object;
    const sl__kind *kind;
    void *facet;
    sl_free_fn *free;
    const sl_site *site;               /* where it was added */
    struct sl__adapter *adapter;       /* that made it; NULL: it is the object's own */
    struct sl__part *source;           /* of what */
    struct sl__part *next_of, **to_of; /* among those that the adapter made */
} sl__part;

struct sl_object {
    unsigned references;
    unsigned known_count;
    struct sl__known {
        void *facet;
        uint64_t epoch; /* 0: the object's own; else of the root where this look-up holds */
    } * known;          /* by the index of the interface: what look-ups gave */
    sl__part *oldest, *newest;
    sl__owned *owned;
    char name[];
};

/* A call of an adapter, on the stack. */
typedef struct sl__adapting {
    struct sl__adapting *outer;
    struct sl__adapter *adapter;
    const sl_object *object;
} sl__adapting;

typedef struct sl__adapter {
    struct sl__adapter *next;
    sl_root *root; /* NULL once it was removed */
    const sl__kind *from, *to;
    sl_adapt_fn *adapt;
    sl_free_fn *free;
    const sl_site *site;
    sl__part *made;
    sl__adapting *calls;
    unsigned references; /* the root's, and one for each call of it */
} sl__adapter;

/* What the root's adapters make of the object for `kind`, kept or new; or, if `extending`, for an interface
 * that extends it. */
void *sl__adapted(sl_object *object, sl_root *root, const sl__kind *kind, bool extending);
/* The object's own facet for the interface, or for one that extends it: the one that came first. */
sl__part *sl__own_part(sl_object *object, const sl__kind *kind, bool extending);
void sl__part_add(sl_object *object, const sl__part *part);
void sl__part_free(sl__part *part);
/* A number that no root has had, for the validity of look-ups. */
uint64_t sl__next_epoch(void);
/* The adapters of a root that goes. */
void sl__adapters_free(sl_root *root);
