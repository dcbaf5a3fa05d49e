/* store.h: the inside of the store room.
 *
 *   root ── stores ── sl_store ── driver: connections, statements
 *                        │
 *   task ── context ── sl_transaction ── sl_session for each store: connection, identity map, what is to be written
 *
 * Three floors. Drivers (sqlite*.c, postgres*.c) run SQL. Sessions (session.c, load.c, flush.c, reference.c, answer.c) keep
 * objects. Transactions (transaction.c, hook.c, resource.c, two_phase.c) decide over sessions. Beside them expressions and
 * selections (expression.c, clause.c, selection.c, compile.c), which know only models. */
#pragma once

#include "store/query.h"

/* ---- Stores: store.c ----------------------------------------------------------------------------------- */

/* What a store knows of a model: made at the first use, kept as long as the store. */
typedef struct sl__table {
    sl_model *model;
    unsigned key_count, field_count;
    unsigned keys[SL_COLUMNS_MAX];    /* columns of the primary key */
    unsigned columns[SL_COLUMNS_MAX]; /* of the fields: those that are not lazy */
    sl__field *fields;                /* as they are read with an object */
    sl__field *all;                   /* of every column, by its number */
    int automatic;                    /* the single key column that is given, or -1 */
    int version;                      /* the column of optimistic locking, or -1 */
    uint64_t lazy;                    /* bits of the lazy columns */
    sl__statement get, locked, insert, remove;
    sl_table *updates; /* shapes of UPDATE by the mask of columns */
} sl__table;

struct sl_store {
    char *name, *url;
    sl_root *root;
    const sl__driver *driver;
    sl__dialect dialect;
    const sl_store_options *options;
    void *data; /* the driver's */
    bool opened;
    sl_deferred *opening; /* for who waits meanwhile */
    sl__table **tables;   /* by model index */
    unsigned table_count;
    sl_store *next;
};

/* What a root keeps: a facet of its object. */
struct sl_stores {
    sl_root *root;
    sl_store *first;
    sl_store_options options;
    struct sl__tracer_link *tracers;
    sl_model **models; /* of sl_models, in order */
    size_t model_count;
    struct sl__patch_entry *patches;
};
typedef struct sl_stores sl_stores;
SL_INTERFACE(sl_stores);

sl_stores *sl__stores(bool make); /* of the current root; NULL if there are none and make is false */
/* Opens the store by name (NULL: the only one), or the model's. By exit. May suspend. */
sl_store *sl__store_of(const sl_site *site, const char *name);
sl__table *sl__table_of(sl_store *store, sl_model *model);
unsigned sl__model_index(sl_model *model);
