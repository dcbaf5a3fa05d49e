/* driver.h: what a database must be able to do.
 *
 * A driver runs statements on connections. It knows nothing of models, objects and transactions' nesting;
 * those who call it know nothing of SQLite and PostgreSQL. All functions are called on the loop, in a task;
 * those that may suspend say so. None exits: each gives an error (the caller's), or NULL for success, so that
 * whoever keeps the transaction decides what becomes of it. A wait ends with the error of the task's
 * cancellation, if that comes.
 *
 * Errors have these codes: SL_EEXIST (a unique constraint, which the message names), SL_ECONSTRAINT (foreign
 * key, NOT NULL, check), SL_ECONFLICT (try again: serialization failure, dead-lock, a stale read that would
 * write), SL_EBUSY (the wait for another process' lock was too long), SL_ENOSPC, SL_EDISCONNECTED (the
 * transaction is gone), SL_EBUDGET (the deadline passed: the statement was cancelled), SL_EDATABASE (all
 * else). They name the store, say what the database said, and have the SQL in the detail. */
#pragma once

#include <silver/store.h>

#include <limits.h>

typedef struct sl__driver sl__driver;
typedef struct sl__connection sl__connection;
typedef struct sl__cursor sl__cursor;

/* SQL with its parameters, which must live until the cursor is closed. */
typedef struct sl__statement {
    const char *sql; /* parameters are ?1, ?2 … for SQLite, $1, $2 … for PostgreSQL */
    uint32_t size;   /* of the SQL, without its NUL */
    uint32_t count;  /* of values */
    uint64_t shape;  /* sl__shape_of(sql, size): the key of the statement cache; 0: not worth keeping (DDL) */
    const sl_value *values;
    uint64_t deadline; /* sl_loop_now of when it is cancelled; 0: never */
    const sl_site *site;
    bool writes; /* INSERT, UPDATE, DELETE or DDL */
    bool quick; /* touches a few rows by a key: run where it is called; others go into a thread when they take
                   long */
    bool kept;  /* who asks keeps all rows: they may come at once */
    unsigned table; /* the number of the only model whose rows it adds, removes, or lets refer to others; 0:
                       of any, SL__NO_TABLE: of none */
} sl__statement;
#define SL__NO_TABLE UINT_MAX
uint64_t sl__shape_of(const char *sql, size_t size); /* never 0 */

/* One column of a row, and the field that it becomes. */
typedef struct sl__field {
    sl_kind kind; /* never SL_KIND_ROW */
    uint16_t offset;
    uint8_t scale;
    uint8_t bit; /* in the mask of NULLs */
    const sl_enum_names *names;
    const char *name; /* for messages */
} sl__field;
static inline sl__field sl__column_field(const sl_model *model, unsigned i)
{
    const sl_column *column = &model->columns[i];
    return (sl__field){.kind = column->kind,
                       .offset = column->offset,
                       .scale = column->scale,
                       .bit = (uint8_t)i,
                       .names = column->names,
                       .name = column->name};
}

/* How a transaction begins. */
typedef struct sl__begin {
    bool writes;       /* surely: SQLite takes the writer's place at once (BEGIN IMMEDIATE) */
    bool read_only;    /* surely */
    bool serializable; /* PostgreSQL: the level */
    bool schema;       /* it changes tables: SQLite does not look after foreign keys in it */
    bool single; /* one statement that reads, by itself: PostgreSQL may share a connection and pipeline it */
    uint64_t deadline; /* sl_loop_now; 0: none */
    const sl_site *site;
} sl__begin;

/* What each connection begins with. */
struct sl__connection {
    const sl__driver *driver;
    sl_store *store;
    bool writer;       /* it holds the writer's place (always true for PostgreSQL unless read_only) */
    uint64_t deadline; /* sl_loop_now; 0: none: of what is no statement (commit, prepare, lend, COPY). Whoever
                          keeps the transaction sets it before each */
};
struct sl__cursor {
    const sl__driver *driver;
    uint64_t deadline; /* its statement's; between steps it may be put off */
    int64_t changed;   /* rows changed (or given), when `step` said that there are no more */
    int64_t key;       /* of SQLite, after an INSERT: the number that the row was given */
};

struct sl__driver {
    const char *name; /* "sqlite", "postgres" */
    /* The first connection, to see that it works: the URL is store->url. May suspend. */
    sl_error *(*open)(sl_store *store);
    /* Closes all connections, waiting for threads that still use one; outside tasks too, never suspends. */
    void (*close)(sl_store *store);
    /* store->options are others now, and it is open. Never suspends. NULL: they are read when they are
     * needed. */
    void (*configured)(sl_store *store);

    /* Gives a connection with a transaction on it, waiting for one if need be. May suspend. */
    sl_error *(*begin)(sl_store *store, const sl__begin *how, sl__connection **ret_connection);
    /* The transaction has only read, and is to write: SQLite waits for the writer's place; SL_ECONFLICT where
     * what it read is not the newest any more. May suspend. */
    sl_error *(*become_writer)(sl__connection *connection, const sl__begin *how);
    /* Ends it, and takes the connection back whatever happens. On success what was written is safe on the
     * disk (a transaction that wrote nothing does not wait). SL_EDISCONNECTED that says so where it is
     * unknown whether it was committed. May suspend. */
    sl_error *(*commit)(sl__connection *connection);
    /* Never suspends, works in cancelled tasks, takes the connection back. */
    void (*rollback)(sl__connection *connection);

    /* Begins to run a statement. Several may be run before the first is stepped through, and are carried out
     * in order. May suspend. */
    sl_error *(*run)(sl__connection *connection, const sl__statement *statement, sl__cursor **ret_cursor);
    /* To the next row; *ret_row is false when there are no more. May suspend. */
    sl_error *(*step)(sl__cursor *cursor, bool *ret_row);
    /* Of the current row: `count` columns from number `first` on, into the fields of `object`. Its mask of
     * NULLs (`nulls`) gets bits set or cleared; a field that is NULL becomes 0. Text and bytes are copied
     * into the arena; without one (NULL) they are lent until the next step. JSON becomes a new reference.
     * Text ends with a NUL. */
    sl_error *(*read)(sl__cursor *cursor, unsigned first, const sl__field *fields, unsigned count,
                      void *object, uint64_t *nulls, sl_arena *arena);
    bool (*is_null)(sl__cursor *cursor, unsigned column);
    /* Leaves the statement, finished or not; takes NULL. Never suspends. */
    void (*close_cursor)(sl__cursor *cursor);

    /* Calls fn with the sqlite3 * or the PGconn * (blocking, not in pipeline mode, all results read). The
     * error is there when fn ended the transaction. May suspend. */
    sl_error *(*lend)(sl__connection *connection, sl_lend_fn *fn, void *data);

    /* Two-phase commit; NULL where there is none. prepare ends the transaction on this connection, which is
     * taken back: it waits in the database under its name until it is decided. May suspend. */
    sl_error *(*prepare)(sl__connection *connection, const char *gid);
    sl_error *(*decide)(sl_store *store, const char *gid,
                        bool commit); /* success also where there is no such */
};
SL_API extern const sl__driver sl__sqlite_driver, sl__postgres_driver;

/* value.c: a value as a field of an object: what drivers that have values at hand use in `read`. `kind` of
 * the value may be what the database gave (integer, real, text, bytes): it is converted as the field needs it
 * (text to date, time, decimal, UUID, enum, JSON, boolean; integer to boolean, time, decimal of the field's
 * scale; bytes to UUID). */
sl_error *sl__field_from_value(const sl__field *field, const sl_value *value, void *object, uint64_t *nulls,
                               sl_arena *arena);
/* The reverse: a field of an object as a value. Text and bytes are lent. */
/* What of a value one of the databases could not keep, such as a text that is not UTF-8: "is not UTF-8";
 * NULL: nothing. */
const char *sl__value_wrong(const sl_value *value);
const char *sl__json_wrong(struct json_t *json); /* json.c: the same, of JSON */
void sl__value_from_field(const sl__field *field, const void *object, uint64_t nulls, sl_value *ret_value);
