/* store.h: the inside of the store room.
 *
 *   root ── sl_stores ── sl_store ── driver: connections, statements
 *                            │
 *   task ── context ── sl_transaction ── sl_session for each store: connection, identity map, what is to be
 * written
 *
 * Three floors. Drivers (sqlite*.c, postgres*.c) run SQL. Sessions (session.c, row.c, load.c, flush.c,
 * order.c, reference.c, answer.c) keep objects. Transactions (transaction.c, hook.c, resource.c, two_phase.c)
 * decide over sessions. Beside them expressions and selections (expression.c, clause.c, selection.c,
 * compile.c) know models only, and schema*.c and patch*.c compare models with databases. */
#pragma once

#include "store/query.h"

/* ---- Models: model.c ----------------------------------------------------------------------------------- */

/* What is computed of a model's description once. */
typedef struct sl__model_info {
    unsigned key_count;
    unsigned keys[SL_COLUMNS_MAX]; /* columns of the primary key, in order */
    unsigned read_count;           /* columns that are read with an object: those that are not lazy */
    unsigned reads[SL_COLUMNS_MAX];
    sl__field *fields; /* as they are read, */
    sl__field *all;    /* and of every column by its number */
    int automatic;     /* the single key column whose value is given where it is 0, or -1 */
    bool whole_key;    /* it is an integer that the database gives */
    int version;       /* the column of optimistic locking, or -1 */
    uint64_t lazy;     /* bits of columns */
    uint64_t required;
    uint64_t checked; /* columns with something to look at: required, max, validator, text at all */
    uint64_t refers;
    uint64_t json;
    uint64_t pointers;  /* text, bytes and JSON: NULL where they point nowhere */
    uint64_t standards; /* columns with a default */
    void *blank;        /* an object as sl_new makes it of nothing: defaults, all else NULL */
    uint64_t nows;      /* columns whose default is "now" */
    bool unique;        /* something beside the primary key is */
    bool called;        /* the program's own functions are called when it is written: hooks, validators */
} sl__model_info;

/* By exit (SL_EINVAL) where the description makes no sense. */
sl__model_info *sl__model_info_make(const sl_site *site, sl_model *model);
static inline sl__model_info *sl__model_info_of(const sl_site *site, sl_model *model)
{
    sl__model_info *info = __atomic_load_n(&model->info, __ATOMIC_ACQUIRE);
    return __builtin_expect(info != NULL, 1) ? info : sl__model_info_make(site, model);
}
/* The same for all descriptions of one name; from 1. */
unsigned sl__model_number(sl_model *model);
const char *sl__model_table(const sl_model *model); /* the table's name */
/* Those that are declared of the model, but not of a column: `i` below SL__MODEL_INDEXES; without columns
 * there is none. */
#define SL__MODEL_INDEXES (SL_INDEXES_MAX + 1)
static inline const sl_index *sl__model_index(const sl_model *model, size_t i)
{
    return i ? &model->indexes[i - 1] : &model->together;
}
/* The number of the column of a node, which is a column of a model's. */
static inline unsigned sl__column_of(const sl_node *node)
{
    return (unsigned)(node - node->source->nodes);
}

/* ---- Stores: store.c ----------------------------------------------------------------------------------- */

/* How many new rows go by one statement at most, and how many such sizes there are. */
enum { SL__ROWS_MAX = 64, SL__ROWS_SIZES = 6 };

/* What a store knows of a model: made at the first use, kept as long as the root's stores. */
typedef struct sl__table {
    sl_model *model;
    sl__model_info *info;
    sl_store *store;
    sl__statement get, locked, remove;
    sl__statement insert, insert_keyed; /* without and with the key that the database can give */
    struct sl__update {
        uint64_t columns; /* that it sets */
        sl__statement *statement;
    } * updates; /* the one used last is the first */
    unsigned update_count;
    sl__statement *insert_rows[2][SL__ROWS_SIZES]; /* of 2, 4, 8 … rows, without and with that key, or NULL */
} sl__table;

struct sl_store {
    char *name, *url;
    struct sl_stores *stores;
    const sl__driver *driver;
    sl__dialect dialect;
    const sl_store_options *options;
    void *data; /* the driver's */
    bool opened;
    sl_deferred *opening; /* for who waits meanwhile */
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
    struct sl__patch_entry *patches; /* of sl_patch */
    sl__table **tables;              /* by the models' numbers */
    unsigned table_count;
};
typedef struct sl_stores sl_stores;
SL_INTERFACE(sl_stores);

/* Of the current root; NULL if it has none and `make` is false. */
sl_stores *sl__stores_here(bool make);
/* The open store of a name, or the only one (NULL). By exit. May suspend. */
sl_store *sl__store_named(const sl_site *site, const char *name);
/* The table of a model in its store, which is opened if need be. By exit. May suspend. */
sl__table *sl__table_make(const sl_site *site, sl_stores *stores, sl_model *model);
static inline sl__table *sl__table_of(const sl_site *site, sl_stores *stores, sl_model *model)
{
    unsigned number = __atomic_load_n(&model->index, __ATOMIC_ACQUIRE);
    if (__builtin_expect(number && number < stores->table_count && stores->tables[number], 1))
        return stores->tables[number];
    return sl__table_make(site, stores, model);
}

/* ---- Transactions: transaction.c ----------------------------------------------------------------------- */

typedef enum sl__transaction_state {
    SL__ACTIVE,
    SL__COMMITTING,
    SL__DECIDING, /* the stores are being committed: nothing more can be done in it */
    SL__COMMITTED,
    SL__ABORTED,
} sl__transaction_state;

typedef struct sl__hook {
    struct sl__hook *next;
    sl__hook_kind kind;
    sl_transaction_fn *fn;
    void *data;
    const sl_site *site;
} sl__hook;

typedef struct sl__participant {
    struct sl__participant *next; /* in order */
    const sl_resource *resource;
    void *data;
    void *saved; /* of the savepoint at hand */
} sl__participant;

/* Where sl_savepoint began. In the transaction's memory: tasks that were started inside may outlive it. */
typedef struct sl__point {
    sl_transaction *transaction;
    struct sl__point *outer;
    const sl_site *site;
    unsigned number; /* how many are around it, and it */
    bool over;
    sl_error *cause;         /* why it can only be undone, or NULL */
    const sl_site *stranger; /* where a task wrote that does not work in it, or NULL */
    sl__hook **last_hook;
} sl__point;

struct sl_transaction {
    unsigned references;
    sl__transaction_state state;
    sl_stores *stores;
    sl_arena *arena; /* of objects and of all that follows */
    const sl_site *site;
    const char *name;
    sl_transact_options options;
    bool request;      /* a request's: it began by itself */
    bool writes;       /* it is expected to write */
    bool schema;       /* it changes tables (set before its first statement) */
    bool in_hooks;     /* of before_abort: nothing can be written */
    sl_error *cause;   /* why it is doomed, or NULL */
    sl_session *first; /* in order of first use */
    sl__participant *participants;
    sl__point *savepoint;  /* the innermost, whose task ends it before others begin one */
    sl_task *switcher;     /* who begins or ends one just now, or NULL */
    sl_deferred *switched; /* for who waits to begin or end one; or NULL */
    sl__hook *hooks, **last_hook;
    uint64_t deadline;               /* sl_loop_now; 0: none */
    uint64_t statements, waited_ns;  /* of the budget */
    uint64_t statements_max, ms_max; /* 0: none */
    sl_task *flusher;                /* who writes just now, or NULL */
    sl_deferred *flushed;            /* for who waits for that */
    struct sl__kept *kept;           /* references to JSON */
};

extern sl_key sl__transaction_key;
/* The one that holds here, or NULL; also one that has ended. */
static inline sl_transaction *sl__transaction_here(void)
{
    return sl_get(&sl__transaction_key);
}
/* Whether it is too late for work in it. */
static inline bool sl__transaction_is_over(const sl_transaction *transaction)
{
    return transaction->state >= SL__DECIDING;
}
sl_error *sl__transaction_over(const sl_site *site, const sl_transaction *transaction); /* the error then */
/* Fails (by exit) unless work can be done in it. */
void sl__transaction_check(const sl_site *site, sl_transaction *transaction);
/* What a failure in it makes of it: the savepoint that the task works in, or itself, can only be undone. */
void sl__transaction_failed(sl_transaction *transaction, const sl_error *error);
/* savepoint.c: the innermost savepoint that the work here was begun in, and that is open; or NULL */
sl__point *sl__point_here(const sl_transaction *transaction);
/* The task writes: noted in the savepoints that are open and in which it does not work. */
void sl__savepoint_stranger(const sl_site *site, const sl_transaction *transaction);

/* ---- Sessions: session.c ------------------------------------------------------------------------------- */

typedef enum sl__row_state {
    SL__ROW_NEW,     /* made, and not added */
    SL__ROW_ADDED,   /* to be inserted */
    SL__ROW_STORED,  /* lives in its session; has a snapshot where it was given to be written to */
    SL__ROW_REMOVED, /* to be deleted */
    SL__ROW_GONE,    /* deleted */
    SL__ROW_FREE,    /* read by itself, without a transaction; or its transaction has ended */
    SL__ROW_LENT,    /* by SL_EACH, for one round */
} sl__row_state;

/* Filled in when the object is written. */
typedef struct sl__pending {
    struct sl__pending *next;
    unsigned column;
    sl_row *target;            /* a link; or NULL, and */
    const sl_node *node;       /* the column, */
    const sl_node *expression; /* and what the database computes for it */
    bool lost;                 /* the task, or SL_SCRATCH, that made the expression has ended */
} sl__pending;

/* What was done to an object since a savepoint: so that it can be undone. */
typedef struct sl__touched {
    sl_row *row;
    bool inserted;
    void *before; /* as it was stored, where it was edited: it may have had another key */
} sl__touched;

struct sl_session {
    sl_transaction *transaction; /* NULL: one question by itself */
    sl_store *store;
    sl_session *next;
    sl__connection *connection;
    sl_arena *arena;
    sl_row **map; /* identity: map_size slots, and their hashes behind them */
    uint32_t *map_hashes;
    uint32_t map_size, map_count;
    uint32_t map_added; /* so many came into it so far */
    sl_row **todo;
    uint32_t todo_count, todo_size;
    sl__touched *touched; /* kept while there is a savepoint */
    uint32_t touched_count, touched_size;
    sl_row **open; /* that were written, and may be changed on */
    uint32_t open_count, open_size;
    uint32_t generation; /* raised when objects may not say what is stored any more */
    bool wrote;
    bool prepared;          /* its part of a two-phase commit waits in the database */
    unsigned party;         /* its number in that; 0: none */
    sl_task *connecting;    /* takes the connection or the writer's place just now; or NULL */
    sl_deferred *connected; /* for others of the transaction, who wait for that; or NULL */
    unsigned points;        /* savepoints on the connection, */
    bool unready;           /* which makes them, and is not the others' yet */
    sl_row *spare;          /* memory for one more object of its model */
    struct sl__sets *sets;  /* preload.c: what refers to what, as it was read */
    uint32_t changes;       /* how often something was written */
};

/* The session of the transaction here, or one for a single question, in which nothing can be written
 * (`writes`: then it fails). By exit. May suspend. */
sl_session *sl__session_of(const sl_site *site, sl_store *store, bool writes);
/* Ends a single question's; does nothing to a transaction's. */
void sl__session_leave(sl_session *session);
/* The session of the transaction that holds here for a model, and its table; both by exit. */
sl_session *sl__session_for(const sl_site *site, sl_model *model, bool writes, sl__table **ret_table);

/* preload.c: rows of a table were added or removed, or refer to others (its model's number, as of a
 * statement): what was preloaded of it may not hold. */
void sl__session_changed(sl_session *session, unsigned table);
/* Only what was preloaded of it may not hold: objects that were read anew refer to others. */
void sl__sets_drop(sl_session *session, unsigned table);

/* Waits for another task that takes the connection just now, or has it for itself. May suspend. */
sl_error *sl__session_wait(sl_session *session, const sl_site *site);
/* Makes the savepoints that are open and not on the connection yet. May suspend. */
sl_error *sl__session_points(sl_session *session, const sl_site *site);
/* What is no statement may take as long as is left of the transaction's deadline and budget. */
void sl__session_bound(sl_session *session);
/* Takes the connection, and the writer's place, without a statement; bounded. By exit. */
void sl__session_connect(const sl_site *site, sl_session *session);

/* While one task has the connection for itself, after sl__session_connect, others wait for it. Gives `error`,
 * or what became of the transaction meanwhile. */
void sl__session_claim(sl_session *session);
sl_error *sl__session_unclaim(const sl_site *site, sl_session *session, sl_error *error);

/* A statement that is running in a session. */
typedef struct sl__running {
    sl_session *session;
    sl__cursor *cursor;
    sl__statement statement;
    uint64_t started_ns; /* 0: it is not timed */
    uint64_t left_ns;    /* when its reader was left alone with a row, by the coarse clock; 0: it is not */
    uint64_t away_ns;    /* that readers took so far, which is no time of the database's */
    int64_t rows;
    bool over;
} sl__running;
/* Begins a statement: the session's connection and transaction if need be, the budget, the tracers. By exit,
 * unless ret_error is given. All may suspend but sl__run_end, which takes what was not begun too. */
sl_error *sl__run_begin(sl_session *session, const sl__statement *statement, sl__running *running);
sl_error *sl__run_step(sl__running *running, bool *ret_row);
void sl__run_end(sl__running *running);
/* The program does something else until the next step. */
void sl__run_leave(sl__running *running);
uint64_t sl__run_took_ns(const sl__running *running); /* so far; 0 where it is not timed */
/* Ends it, and fails with an error of it. */
SL_NORETURN void sl__run_fail(sl__running *running, sl_error *error);
/* To its end, without rows: gives how many were changed. By exit. */
int64_t sl__run_whole(sl_session *session, const sl__statement *statement);
/* SQL that has no parameters, for the room's own use ("SAVEPOINT s1"). */
sl_error *sl__run_plain(sl_session *session, const char *sql);
/* Fails with an error of the session: what it makes of the transaction, and then by exit. */
SL_NORETURN void sl__session_fail(const sl_site *site, sl_session *session, sl_error *error);

/* tracer.c */
bool sl__tracers_any(const sl_stores *stores);
/* "(5, 'x', NULL)" */
void sl__put_parameters(sl_buffer *out, const sl_value *values, size_t count);
/* Statements to the log, where it takes records of the level debug. */
SL_API void sl__trace_to_log(sl_root *root);
void sl__trace(sl_stores *stores, const sl__running *running, const sl_error *error, bool before);

/* ---- Objects: row.c, load.c ---------------------------------------------------------------------------- */

static inline uint64_t *sl__nulls_of(const sl_row *row)
{
    return (uint64_t *)((char *)row + row->model->null_offset);
}
/* A primary key: as many parts as the model's key has columns. */
enum { SL__KEY_PARTS = 8 };
void sl__key_of(const sl__model_info *info, const sl_row *row, sl_key_part *ret_parts);
/* What a column that is a key, or refers to one, holds in an object. */
sl_key_part sl__key_part_of(const sl__field *field, const void *object);
static inline sl_key_part sl__row_part(const sl_row *row, unsigned column)
{
    return sl__key_part_of(&row->model->info->all[column], row);
}
void sl__key_values(const sl_key_part *parts, unsigned count, sl_value *ret_values);
/* map.c: of a model's number and a key; never 0, which is an empty slot's. */
static inline uint64_t sl__mixed(uint64_t h, uint64_t value)
{
    h = (h ^ value) * UINT64_C(0x9E3779B97F4A7C15);
    return h ^ h >> 32;
}
uint64_t sl__key_mixed(unsigned model, const sl_key_part *key, unsigned count);
static inline uint32_t sl__key_hash(unsigned model, const sl_key_part *key, unsigned count)
{
    bool plain = count == 1 && key->kind == SL_KIND_INTEGER;
    uint64_t h = plain ? sl__mixed(model, (uint64_t)key->integer) : sl__key_mixed(model, key, count);
    return (uint32_t)h ? (uint32_t)h : 1;
}
static inline uint32_t sl__hash_of(const sl__table *of, const sl_key_part *key)
{
    return sl__key_hash(of->model->index, key, of->info->key_count);
}
/* NULL texts are not the same. Both are of one model. */
bool sl__key_same(const sl_key_part *a, const sl_key_part *b, unsigned count);
/* The identity map: objects by model and key. */
sl_row *sl__map_find_hashed(const sl_session *session, const sl__table *table, const sl_key_part *key,
                            uint32_t hash);
static inline sl_row *sl__map_find(const sl_session *session, const sl__table *of, const sl_key_part *key)
{
    return sl__map_find_hashed(session, of, key, sl__hash_of(of, key));
}
void sl__map_add(sl_session *session, const sl__table *table, sl_row *row);
void sl__map_put(sl_session *session, sl_row *row, uint32_t hash); /* the same, whose hash is known */
void sl__map_remove(sl_session *session, sl_row *row);
/* All objects, in no order, from *position 0 on; NULL after the last. None may come or go meanwhile. */
sl_row *sl__map_next(const sl_session *session, uint32_t *position);
/* An object that was read at a cursor's row, its columns from `first` on: the session's own where it has it.
 */
sl_row *sl__row_read(sl__running *running, const sl__table *table, unsigned first);
/* The same after the row was written: an object that is here is as it was, and is read over. */
sl_row *sl__row_read_over(sl__running *running, const sl__table *table);
/* The same, and where it is not here `row`, which was new, becomes the object; else that is nobody's. */
sl_row *sl__row_read_stored(sl__running *running, const sl__table *table, sl_row *row);
/* The same for one that was asked for by a key that the session has not; with that, and its hash. */
sl_row *sl__row_read_new(sl__running *running, const sl__table *table, const sl_key_part *key, uint32_t hash);
/* Into an object that is lent for one round. By exit, as all that reads. */
void sl__row_lend(sl__running *running, const sl__model_info *info, unsigned first, sl_row *row);
/* References to JSON that an object holds in these columns are released with the session's memory. */
void sl__json_keep(sl_session *session, const sl_row *row, uint64_t columns);
/* Takes a reference to JSON of an object that is not among those that are held for it, in order of its
 * columns: a user has set it. */
void sl__json_hold(sl_session *session, sl_row *row, struct json_t **held);
void sl__json_drop(sl_row *row); /* at once; the fields are NULL then */
void sl__kept_drop(sl_transaction *transaction);
/* Whether a link that is to be filled in still counts. */
bool sl__link_holds(const sl_row *row, const sl__pending *link);
/* What was to be filled into a column is not any more. */
void sl__pending_drop(sl_row *row, unsigned column);
/* Reads an object anew, in place, unless another task edits it meanwhile. False where it is gone. By exit. */
bool sl__row_refresh(const sl_site *site, sl_session *session, const sl__table *table, sl_row *row);
/* It is not stored any more. */
void sl__row_gone(sl_session *session, sl_row *row);
sl__table *sl__row_table(const sl_site *site, const sl_row *row); /* by exit */
/* "message 7", "membership (3, 5)", "a new message": for errors. In the task's arena. */
const char *sl__row_named(const sl_row *row);
void sl__put_key(sl_buffer *out, const sl_key_part *key, unsigned count); /* "5", "(3, Ann)" */
/* Room for one more in a list that lies in an arena: the list itself, or a longer copy of it. */
void *sl__list_grown(sl_arena *arena, void *items, uint32_t count, uint32_t *size, size_t item_size);
/* Puts a row down as one to write. */
void sl__row_todo(const sl_site *site, sl_session *session, sl_row *row);
void sl__touch(sl_session *session, sl_row *row, bool inserted);

/* ---- Writing: flush.c, order.c, statement.c ------------------------------------------------------------ */

void sl__session_flush(const sl_site *site, sl_session *session); /* by exit */
/* Waits until no other task writes: what is being written must not change meanwhile. */
void sl__flush_wait(const sl_site *site, sl_transaction *transaction);
/* Whether it is the calling task that writes, or one that a hook has started meanwhile. */
bool sl__flush_is_here(const sl_transaction *transaction);
/* Waits until nobody writes, and keeps others from it until sl__flush_leave. By exit. */
void sl__flush_hold(const sl_site *site, sl_transaction *transaction);
void sl__flush_leave(sl_transaction **transaction);
/* Fills in the links whose objects' keys are known; `last`: fails where one is not. */
void sl__row_fill_links(const sl_site *site, sl_row *row, bool last);
/* Calls its hook `flushed`, whose failure dooms. By exit. */
void sl__row_tell_flushed(sl_session *session, sl_row *row);
/* Gives a new object its UUID, if that is its key and it has none. */
void sl__row_new_key(sl_row *row);
/* Before a question that could see what was not written yet. */
static inline void sl__session_settle(const sl_site *site, sl_session *session)
{
    if (__builtin_expect(session->todo_count || session->open_count, 0))
        sl__session_flush(site, session);
}
/* And with all that was changed after it was written. By exit. */
void sl__session_save(const sl_site *site, sl_session *session);

/* written.c: takes the image of an object that is as it is stored. */
void sl__row_image(sl_session *session, sl_row *row);
/* What is lazy was read, not set: the image has it, too. */
void sl__row_image_lazy(sl_session *session, sl_row *row, unsigned column);
/* It is stored as it is now, and stays open to changes; likewise where there was nothing to write. */
void sl__row_written(sl_session *session, sl_row *row);
void sl__row_unchanged(sl_session *session, sl_row *row);
/* Whether it differs from what is stored, or somebody is about to write it. */
bool sl__row_edited(sl_row *row);
/* Puts down what was changed since it was written; `all`: also where that takes long. */
void sl__session_look_again(sl_session *session, bool all);

/* The values of columns, in their order, as the statements take them; but for one column (SL_COLUMNS_MAX:
 * none). Gives how many. */
unsigned sl__row_values(const sl_row *row, uint64_t columns, unsigned left_out, sl_value *values);
/* The INSERT for a row, and the column that it leaves to the database. */
const sl__statement *sl__insert_of(const sl__table *table, const sl_row *row, unsigned *ret_left_out);
/* order.c: what is to be written, in an order that keeps foreign and unique keys. By exit where there is
 * none. */
typedef struct sl__write {
    sl_row *row;
    uint64_t columns; /* that an update sets */
    uint64_t parked;  /* columns that are given a value of no meaning, so that others can take theirs: nothing
                         else is done  in this step */
} sl__write;
sl__write *sl__order(const sl_site *site, sl_session *session, const sl__write *writes, size_t count,
                     size_t *ret_count);
/* statement.c: the statements of a table. */
void sl__table_statements(sl__table *table);
const sl__statement *sl__update_statement(sl__table *table, uint64_t columns);
const sl__statement *sl__insert_rows_statement(sl__table *table, bool keyed,
                                               unsigned rows); /* a power of 2 */
/* The database gives it its key, which is 0 so far. */
bool sl__row_lacks_key(const sl_row *row);
/* An added row is stored now. */
void sl__row_stored(sl_session *session, const sl__table *table, sl_row *row);
/* insert_rows.c: how many of the first writes can go by one statement, the row before them being `before`
 * (NULL: another kind of write); 0: go one by one. */
size_t sl__rows_together(const sl_session *session, const sl__write *writes, size_t count,
                         const sl_row *before);
/* Writes so many, with room for their values. False where a constraint is in the way of one of them: nothing
 * was written. An error: another failure. */
sl_error *sl__rows_insert(sl_session *session, const sl__write *writes, size_t count, const sl_row *before,
                          sl_value *values, bool *ret_written);
/* row_check.c: what is wrong with the columns; in the task's arena, NULL: nothing. */
sl_errors *sl__row_check(sl_row *row, uint64_t columns);
SL_NORETURN void sl__errors_fail(const sl_site *site, const sl_row *row, const sl_errors *errors);
/* A text, bytes or JSON that is the NULL pointer is NULL; another field that is not 0 is not NULL. */
void sl__row_normalise(sl_row *row);
uint64_t sl__row_changes(const sl_row *row); /* columns that differ from the snapshot */
bool sl__field_equal(const sl__field *field, const void *a, uint64_t a_nulls, const void *b,
                     uint64_t b_nulls);
/* bulk.c: what the database computes for an object (its expressions), and its version raised. False where it
 * is not there, or not in its version. By exit. */
bool sl__row_assign(const sl_site *site, sl_session *session, const sl_row *row, const sl__pending *pending);
/* told.c: gives an error of a driver words for clients; `columns` are those of the unique key that is not
 * kept: "person.name, person.room", or "name, room", or what else a database may say. Returns it. */
sl_error *sl__tell_client(sl_error *error, sl_view columns);
sl_error *sl__tell_reference(sl_error *error); /* the same of a foreign key: neither database says it well */
/* json.c */
struct json_t *sl__fields_to_json(const sl_model *model, const void *object);
/* Given back with the root's stores: tracer.c, patch.c. */
void sl__tracers_free(sl_stores *stores);
void sl__patches_free(sl_stores *stores);
