/* postgres_inside.h: the inside of the PostgreSQL driver.
 *
 *   sl_store ── sl__postgres ──┬── lines: connections to the server
 *                              │
 *   sl__pg_transaction ── line ┘
 *        └── cursors, one for each statement
 *
 * Each line has a queue of commands that were sent and are not answered yet. It is idle, taken by a
 * transaction, shared, or being cleaned.
 *
 * All lines are in libpq's pipeline mode. A command is put into libpq's buffer when it is run, and nothing is
 * written to the socket before the loop has worked off what is ready: then each line that has something
 * unsaid gets one Sync, which sends everything at once. Results are read as they come, in the order of the
 * commands, and given to cursors; tasks wait for their cursor. Files:
 *
 *   postgres.c            begin, run, commit, rollback, two-phase commit
 *   postgres_cursor.c     rows
 *   postgres_shared.c     single reads of many tasks on one line
 *   postgres_pool.c       who gets a line, and what happens to it afterwards
 *   postgres_line.c       a line: socket, commands, end
 *   postgres_result.c     results
 *   postgres_connect.c    making a line
 *   postgres_cancel.c     stopping what the server does for a line
 *   postgres_prepared.c   prepared statements of a line
 *   postgres_lend.c       lending a line to others, and COPY
 *   postgres_encode.c     values to parameters
 *   postgres_decode.c     results to fields
 *   postgres_text.c       values for COPY
 *   postgres_error.c      what the server says as our errors
 *   postgres_wait.c       waiting tasks, with deadlines */
#pragma once

#include "core/loop.h"
#include "store/postgres.h"
#include "store/postgres_libpq.h"
#include "store/store.h"

typedef struct sl__postgres sl__postgres;
typedef struct sl__pg_line sl__pg_line;
typedef struct sl__pg_transaction sl__pg_transaction;
typedef struct sl__pg_cursor sl__pg_cursor;

/* ---- Waiting: postgres_wait.c ------------------------------------------------------------------------ */

/* Calls `ring` once when the time has come. Many statements have deadlines that are far away and few ever
 * pass, so all of a store share one timer. */
typedef struct sl__pg_alarm {
    uint64_t at; /* of sl_loop_now; 0: it is not set */
    void (*ring)(struct sl__pg_alarm *alarm);
    struct sl__pg_alarm *next, **link;
} sl__pg_alarm;
void sl__pg_alarm_set(sl__postgres *pool, sl__pg_alarm *alarm, uint64_t at,
                      void (*ring)(sl__pg_alarm *alarm));
void sl__pg_alarm_stop(sl__pg_alarm *alarm); /* also one that is not set */

/* A place where one task waits. */
typedef struct sl__pg_wait {
    sl__pg_alarm alarm;
    sl_deferred *deferred; /* NULL: nobody waits */
} sl__pg_wait;
/* Parks the task until sl__pg_wake: NULL. Or the error of its cancellation, or SL_EBUDGET past the deadline
 * (0: none), whose message is the caller's business. May suspend. */
sl_error *sl__pg_wait_for(sl__postgres *pool, sl__pg_wait *wait, uint64_t deadline, const sl_site *site);
void sl__pg_wake(sl__pg_wait *wait);

/* ---- Prepared statements: postgres_prepared.c -------------------------------------------------------- */

#define SL__PG_PREPARED_MAX 256
#define SL__PG_BUCKETS 256 /* a power of two */

/* A statement prepared on a line. Its name is made from its text and types, because behind a pooler another
 * client may have prepared something under the same name on the same connection: so it can only be the same
 * statement. */
typedef struct sl__pg_prepared {
    struct sl__pg_prepared *next;          /* in its bucket */
    struct sl__pg_prepared *newer, *older; /* by the last use */
    uint64_t key;
    unsigned uses;     /* commands that were not answered yet */
    bool cached;       /* can be used: not evicted, nor failed */
    bool failed;       /* the server did not take it, */
    PGresult *failure; /* and said this; or NULL: something before it had failed */
    unsigned size, count;
    char name[40];
    Oid *types; /* both in the same memory */
    char *sql;
} sl__pg_prepared;

typedef struct sl__pg_cache {
    sl__pg_prepared *buckets[SL__PG_BUCKETS];
    sl__pg_prepared *newest, *oldest;
    unsigned count;
    unsigned epoch; /* part of the names: raised when statements went stale */
} sl__pg_cache;

/* ---- Lines: postgres_line.c ---------------------------------------------------------------------------- */

typedef enum sl__pg_state {
    SL__PG_CONNECTING,
    SL__PG_IDLE,
    SL__PG_TAKEN,    /* by a transaction */
    SL__PG_SHARED,   /* by single reads */
    SL__PG_CLEANING, /* given back, and not ready for the next yet */
    SL__PG_LOST,
} sl__pg_state;

typedef enum sl__pg_kind {
    SL__PG_SYNC,
    SL__PG_PREPARE,
    SL__PG_RUN,
} sl__pg_kind;

typedef struct sl__pg_command {
    struct sl__pg_command *next;
    sl__pg_kind kind;
    bool statement;            /* somebody's, not of our own making: BEGIN, DEALLOCATE … */
    bool silent;               /* nothing depends on it */
    bool stream;               /* its rows come one by one */
    bool begun, answered;      /* it is its turn; something came, */
    bool succeeded;            /* and at last a success */
    sl__pg_cursor *cursor;     /* NULL: nobody's, or closed meanwhile */
    sl__pg_prepared *prepared; /* that it prepares or uses */
} sl__pg_command;

/* A cancellation that a thread carries out. */
typedef struct sl__pg_cancel sl__pg_cancel;

struct sl__pg_line {
    sl__postgres *pool;
    sl__pg_line *next, **link; /* in the pool */
    sl__pg_line *next_idle;
    sl__pg_line *next_unsaid;
    const sl__libpq *pq;
    PGconn *conn; /* NULL once it is lost */
    uv_poll_t *poll;
    int events; /* that it waits for */
    sl__pg_state state;
    sl__pg_transaction *user; /* of one that is taken */
    sl__pg_command *first, **last;
    unsigned unsynced; /* commands since the last Sync */
    bool unsaid;       /* in the pool's list */
    bool blocked;      /* the socket takes no more */
    bool sealed;       /* by TLS or GSSAPI */
    bool lent;         /* strangers may have changed the session, */
    bool was_lent;     /* or dropped prepared statements */
    bool cancelled;    /* shared: somebody's statement was cancelled, and another may have been hit */
    bool pumping;      /* its results are being read: it is not freed, */
    bool orphan;       /* though it is lost and nobody has it */
    bool odd;          /* libpq said that there is nothing where something should be */
    bool outside;      /* not in pipeline mode: lent, or copying */
    bool rollback;     /* cleaning: it must be rolled back */
    bool full;         /* connecting: the server takes no more */
    bool tidying;      /* cleaning: what strangers left in the session is undone */
    unsigned peer;     /* process number of the server's, for messages and tests */
    uint64_t cleaning_since;
    unsigned answered;    /* commands; wraps */
    unsigned still;       /* shared: `answered`, when that was last looked at, */
    uint64_t still_since; /* and since when it is the same */
    sl__pg_alarm patience;
    sl__pg_wait ready;   /* for the socket: connecting, copying */
    sl__pg_wait drained; /* until all commands are answered */
    sl__pg_cancel *cancel;
    sl__pg_cache cache;
    char *lost_why; /* the server's last words */
};

/* Watches another socket, or none (-1). 0, or libuv's code. */
int sl__pg_watch(sl__pg_line *line, int socket);
void sl__pg_watch_for(sl__pg_line *line, int events); /* UV_READABLE and UV_WRITABLE */
void sl__pg_watch_on(sl__pg_line *line);              /* … as it needs */
/* Waits for the socket outside pipeline mode. May suspend. */
sl_error *sl__pg_wait_ready(sl__pg_line *line, int events, uint64_t deadline, const sl_site *site);

/* Puts a command at the end of the queue, when libpq has it. */
sl__pg_command *sl__pg_push(sl__pg_line *line, sl__pg_kind kind, sl__pg_cursor *cursor,
                            sl__pg_prepared *prepared);
/* Puts a command of our own into the buffer, with nobody waiting for it. False: the line is lost. */
bool sl__pg_say(sl__pg_line *line, const char *sql, bool silent);
/* The same with somebody's statement, or with a text of ours that a cursor waits for (statement->values
 * NULL). The error of a value that cannot be sent leaves all as it was. */
sl_error *sl__pg_send(sl__pg_line *line, sl__pg_cursor *cursor);
/* Commands before it and after it are separate: a failure of one leaves the others alone. False: the line is
 * lost. */
bool sl__pg_sync(sl__pg_line *line);
/* Writes what is in the buffer now, with a Sync. False: the line is lost. */
bool sl__pg_flush(sl__pg_line *line);
void sl__pg_pop(sl__pg_line *line); /* the first command is over */
/* Takes in what the socket has. False: the connection is lost. */
bool sl__pg_take_in(sl__pg_line *line);
/* Reads results as far as they came and somebody takes them. May lose the line. */
void sl__pg_pump(sl__pg_line *line);
/* Rows of what comes before this cursor (NULL: of all) are kept in memory from now on. */
void sl__pg_keep(sl__pg_line *line, const sl__pg_cursor *until);
/* All commands are to be answered: rows that nobody steps through are kept in memory meanwhile. Only one task
 * at a time. May suspend. */
sl_error *sl__pg_drain(sl__pg_line *line, uint64_t deadline, const sl_site *site);
/* It is of no use any more: all that wait for it fail. Freed, unless a transaction has it. `why`: NULL for
 * what libpq says. */
void sl__pg_lose(sl__pg_line *line, const char *why);
void sl__pg_line_free(sl__pg_line *line);
sl__pg_line *sl__pg_line_new(sl__postgres *pool);

sl__pg_prepared *sl__pg_prepared_find(sl__pg_cache *cache, uint64_t key, const sl__statement *statement,
                                      const Oid *types);
sl__pg_prepared *sl__pg_prepared_add(sl__pg_cache *cache, uint64_t key, const sl__statement *statement,
                                     const Oid *types);
/* Not to be used any more. */
void sl__pg_prepared_drop(sl__pg_line *line, sl__pg_prepared *prepared);
void sl__pg_prepared_release(sl__pg_line *line,
                             sl__pg_prepared *prepared); /* a command is done with it; takes NULL */
void sl__pg_cache_clear(sl__pg_line *line);
/* Tells the server to forget those that are too many. Outside transactions. */
void sl__pg_cache_trim(sl__pg_line *line);

/* ---- Transactions: postgres.c -------------------------------------------------------------------------- */

struct sl__pg_transaction {
    sl__connection base;
    sl__postgres *pool;
    sl__pg_line *line; /* NULL: a single read before it runs, or on the shared line */
    sl__begin how;
    bool begun;       /* BEGIN was sent */
    bool restart;     /* prepared statements failed: all is sent again when the line is at rest */
    bool restarted;   /* … which is done once */
    unsigned done;    /* statements carried out */
    unsigned closed;  /* cursors closed before their statement was carried out */
    sl_error *first;  /* why the transaction is aborted */
    sl_error *doomed; /* why it can only be rolled back */
    unsigned held;    /* by tasks that are at work on its line outside the pipeline, or will be */
    bool lending;     /* strangers have the line */
    bool over;        /* it has ended, and is freed when nobody holds it */
    sl__pg_cursor *cursors, **last_cursor; /* open ones, in order */
    sl__pg_transaction *next;              /* of the pool's free ones */
};
/* Keeps the transaction and its line in memory, though it may end meanwhile: its line is lost then, unless it
 * is lent. */
sl__pg_transaction *sl__pg_hold(sl__pg_transaction *transaction);
void sl__pg_let_go(sl__pg_transaction *transaction);
/* Sends BEGIN if that was not done. */
void sl__pg_begin(sl__pg_transaction *transaction);
/* Its statements are sent again, without names, from the start. */
void sl__pg_restart(sl__pg_transaction *transaction);
/* A new reference to the error with which it refuses all work; or NULL. */
sl_error *sl__pg_refusal(const sl__pg_transaction *transaction, const sl_site *site);
/* The error of a statement that was not carried out because of an earlier one. */
sl_error *sl__pg_not_carried_out(const sl__pg_transaction *transaction, const sl__pg_cursor *cursor);
/* A wait failed: what the server does is cancelled, and the transaction doomed. Gives the error for the
 * caller. */
sl_error *sl__pg_give_up(sl__pg_transaction *transaction, sl_error *error, sl__pg_cursor *cursor);

/* ---- Cursors: postgres_cursor.c ------------------------------------------------------------------------ */

typedef struct sl__pg_cell {
    const char *data; /* data[size] is NUL */
    int32_t size;     /* -1: NULL */
    Oid type;
} sl__pg_cell;

struct sl__pg_cursor {
    sl__cursor base;
    sl__postgres *pool;
    sl__pg_transaction *transaction;              /* NULL: that has ended */
    sl__pg_line *line;                            /* that has its command; NULL: none */
    sl__pg_command *command;                      /* that is not answered yet, or NULL */
    sl__pg_cursor *next;                          /* of the transaction, or of the pool's free ones */
    sl__pg_cursor *next_single, *previous_single; /* to be sent on the shared line */
    const sl__statement *statement;
    sl__statement own; /* of a text of ours */
    bool single;       /* on the shared line, */
    bool queued;       /* where it waits to be sent, */
    bool alone;        /* between two Syncs */
    unsigned char tries;
    bool done, finished; /* all is there; the last step said so */
    bool keep;           /* rows are taken in although nobody steps */
    bool rolled_back;    /* the tag was ROLLBACK */
    uint64_t slice_ns;   /* since when rows were given without letting others run */
    char state[6];       /* SQLSTATE of a failure */
    sl_error *error;
    PGresult *result;  /* that has the current row */
    PGresult *pending; /* a row of its own that was not stepped to */
    int row, rows;     /* of `result` */
    sl_buffer kept;    /* rows after `pending` */
    size_t kept_at;
    sl_buffer copied; /* the current row, when it was kept */
    sl__pg_cell *cells;
    unsigned columns, capacity;
    sl__pg_wait wait;
};
sl__pg_cursor *sl__pg_cursor_new(sl__pg_transaction *transaction, const sl__statement *statement);
/* For SQL of ours; lives as long as the text. */
sl__pg_cursor *sl__pg_cursor_of(sl__pg_transaction *transaction, const char *sql);
/* What came for it; takes over the result. */
void sl__pg_cursor_result(sl__pg_cursor *cursor, PGresult *result);
/* It is over, with an error (taken over) or without. */
void sl__pg_cursor_done(sl__pg_cursor *cursor, sl_error *error);
/* Whether it takes no more rows now. */
static inline bool sl__pg_cursor_full(const sl__pg_cursor *cursor)
{
    return cursor->pending && !cursor->keep;
}
/* Waits until it is over, and gives its error. May suspend. */
sl_error *sl__pg_cursor_finish(sl__pg_cursor *cursor, uint64_t deadline);
void sl__pg_cursor_abandon(sl__pg_cursor *cursor); /* nobody waits for it any more */
void sl__pg_cursor_detach(sl__pg_cursor *cursor);  /* its transaction ends */
/* Whether the first command's rows are wanted by nobody yet. */
static inline bool sl__pg_is_full(const sl__pg_line *line)
{
    return line->first && line->first->cursor && sl__pg_cursor_full(line->first->cursor);
}
sl_error *sl__pg_step(sl__cursor *cursor, bool *ret_row);
sl_error *sl__pg_read(sl__cursor *cursor, unsigned first, const sl__field *fields, unsigned count,
                      void *object, uint64_t *nulls, sl_arena *arena);
bool sl__pg_is_null(sl__cursor *cursor, unsigned column);
void sl__pg_close_cursor(sl__cursor *cursor);

/* ---- The pool: postgres_pool.c ------------------------------------------------------------------------- */

/* Arrays as libpq wants them, for the statement that is being sent. */
typedef struct sl__pg_parameters {
    unsigned capacity;
    Oid *types;
    const char **values;
    int *lengths, *formats;
    char (*scratch)[32];
    char **texts; /* malloc'ed, or NULL */
} sl__pg_parameters;

/* Tasks that wait for a line, in order. */
typedef struct sl__pg_waiter {
    sl__pg_wait wait;
    struct sl__pg_waiter *next;
    bool queued;
    sl__pg_line *line; /* what it was given; NULL: it may make one */
    sl_error *error;   /* why there is none */
} sl__pg_waiter;
typedef struct sl__pg_queue {
    sl__pg_waiter *first;
} sl__pg_queue;
void sl__pg_queue_add(sl__pg_queue *queue, sl__pg_waiter *waiter, bool first);
void sl__pg_queue_remove(sl__pg_queue *queue, sl__pg_waiter *waiter); /* also one that is not in it */
sl__pg_waiter *sl__pg_queue_head(sl__pg_queue *queue);                /* that still waits; or NULL */
sl__pg_waiter *sl__pg_queue_pop(sl__pg_queue *queue);                 /* or NULL */

struct sl__postgres {
    sl__before_poll before_poll;
    sl_store *store; /* NULL once it is closed */
    char *name;
    sl_root *root;
    sl_loop *loop;
    sl__libpq pq;
    uv_timer_t *clock;
    uint64_t next_ring;
    sl__pg_alarm *alarms;
    unsigned limit;      /* the option connections, */
    unsigned most;       /* or fewer, where the server has no more */
    unsigned count;      /* lines, and permits to make one */
    unsigned making;     /* of these, those that are connecting */
    unsigned told;       /* most, when that was last logged; 0: never */
    sl__pg_alarm room;   /* when another is tried */
    uint64_t none_since; /* sl_loop_now of when the server first had none for us at all; 0: it has */
    uint64_t connect_ms; /* that connecting may take */
    unsigned users;      /* the store, and transactions, which may outlive its closing */
    sl__pg_line *lines, *idle, *unsaid;
    sl__pg_queue waiters;
    sl__pg_cancel *cancels; /* under way */
    unsigned cancel_count;
    bool hooked;
    bool nameless;  /* prepared statements do not survive between transactions */
    unsigned stale; /* how often they were lost otherwise */
    /* postgres_shared.c */
    sl__pg_line *shared;
    bool sharing;         /* somebody fetches the line */
    sl__pg_queue sharers; /* and these wait for it */
    sl__pg_cursor *first_single, *last_single;
    /* For reuse. */
    sl__pg_command *free_commands;
    sl__pg_cursor *free_cursors;
    sl__pg_transaction *free_transactions;
    sl__pg_parameters parameters;
    /* What happened, for tests. */
    struct {
        uint64_t connects, syncs, runs, prepares, forgets, cancels, resent, kept;
    } counts;
};

sl_error *sl__pg_open(sl_store *store);
void sl__pg_close(sl_store *store);
void sl__pg_release_pool(sl__postgres *pool); /* one of its users is gone */
/* A line for the caller alone. May suspend. */
sl_error *sl__pg_acquire(sl__postgres *pool, uint64_t deadline, const sl_site *site, sl__pg_line **ret_line);
/* Gives back what is at rest, outside a transaction. */
void sl__pg_release(sl__pg_line *line);
/* Gives back a line in any state: what still runs is cancelled, and rolled back. */
void sl__pg_clean(sl__pg_line *line, bool rollback);
/* The line that is being cleaned has answered all. */
void sl__pg_clean_on(sl__pg_line *line);
/* A line is gone: another may be made. */
void sl__pg_vacancy(sl__postgres *pool);
void sl__pg_configured(sl_store *store);
/* postgres_cancel.c: cancels what the server does for this line; soon. It may fail. */
void sl__pg_cancel_start(sl__pg_line *line);
void sl__pg_cancel_forget(sl__pg_cancel *cancel); /* the line is gone; takes NULL */
void sl__pg_cancels_close(sl__postgres *pool);    /* nobody hears of them any more */
/* It is to be flushed before the loop polls; the pool has singles to be sent then. */
void sl__pg_unsaid(sl__pg_line *line);
void sl__pg_hook(sl__postgres *pool);

/* What each session is told first, so that dates and times are UTC to it as they are to us. */
#define SL__PG_SETTING "SET TimeZone TO 'UTC'"
/* postgres_connect.c: a line that is connected and in pipeline mode. *ret_full: there is none, because so
 * many are open already as the server takes. May suspend. */
sl_error *sl__pg_connect(sl__postgres *pool, uint64_t deadline, const sl_site *site, sl__pg_line **ret_line,
                         bool *ret_full);

/* What the server says beside results is for the log; again after strangers had the line. */
void sl__pg_hear_notices(sl__pg_line *line);

/* postgres_lend.c */
sl_error *sl__pg_lend(sl__connection *connection, sl_lend_fn *fn, void *data);

/* ---- Single reads: postgres_shared.c ------------------------------------------------------------------- */

/* Sends it, soon. May suspend. */
sl_error *sl__pg_single(sl__pg_cursor *cursor, uint64_t deadline);
/* Sends what is queued. */
void sl__pg_singles_send(sl__postgres *pool);
/* It must be sent anew, by itself; or fails with the error (taken over) when that was tried often enough. */
void sl__pg_single_again(sl__pg_cursor *cursor, sl_error *error);
void sl__pg_single_forget(sl__pg_cursor *cursor); /* is not to be sent any more */
/* Gives the shared line to who waits for one, if nothing is under way on it. */
void sl__pg_offer_shared(sl__postgres *pool);
/* The shared line is lost (NULL: why is not known). */
void sl__pg_singles_lost(sl__postgres *pool, const char *why);

/* ---- Values: postgres_encode.c, postgres_decode.c, postgres_text.c ------------------------------------- */

enum sl__pg_types {
    SL__PG_BOOL = 16,
    SL__PG_BYTEA = 17,
    SL__PG_CHAR = 18,
    SL__PG_NAME = 19,
    SL__PG_INT8 = 20,
    SL__PG_INT2 = 21,
    SL__PG_INT4 = 23,
    SL__PG_TEXT = 25,
    SL__PG_OID = 26,
    SL__PG_JSON = 114,
    SL__PG_FLOAT4 = 700,
    SL__PG_FLOAT8 = 701,
    SL__PG_UNKNOWN = 705,
    SL__PG_TEXT_ARRAY = 1009,
    SL__PG_INT8_ARRAY = 1016,
    SL__PG_BPCHAR = 1042,
    SL__PG_VARCHAR = 1043,
    SL__PG_DATE = 1082,
    SL__PG_TIMESTAMP = 1114,
    SL__PG_TIMESTAMPTZ = 1184,
    SL__PG_NUMERIC = 1700,
    SL__PG_UUID = 2950,
    SL__PG_UUID_ARRAY = 2951,
    SL__PG_JSONB = 3802,
    SL__PG_OURS = 16384, /* from here on types are made by users */
};
#define SL__PG_EPOCH INT64_C(946684800000000) /* microseconds from 1970 to 2000 */
#define SL__PG_EPOCH_DAYS 10957

/* Fills the pool's arrays. An error names the parameter. */
sl_error *sl__pg_encode(sl__postgres *pool, const sl__statement *statement);
void sl__pg_encoded_done(sl__postgres *pool, const sl__statement *statement);
/* Days since 1970 and the calendar (proleptic Gregorian). */
int64_t sl__pg_days_of(int64_t year, unsigned month, unsigned day);
void sl__pg_civil_of(int64_t days, int64_t *ret_year, unsigned *ret_month, unsigned *ret_day);
bool sl__pg_date_valid(sl_date date);
/* A cell into a field. */
sl_error *sl__pg_decode(sl__postgres *pool, const sl__pg_cell *cell, const sl__field *field, void *object,
                        sl_arena *arena);
/* A value as a field of COPY's text format, escaped. NULL, or why it cannot be. */
const char *sl__pg_put_text(sl_buffer *out, const sl_value *value);

/* ---- Errors: postgres_error.c -------------------------------------------------------------------------- */

/* "store NAME: …" */
sl_error *sl__pg_error(const sl__postgres *pool, const sl_site *site, int code, const char *format, ...)
    SL_PRINTF(4, 5);
/* What the server said about a statement (may be NULL). `cancelled`: we asked it to stop. */
sl_error *sl__pg_server_error(const sl__postgres *pool, const PGresult *result,
                              const sl__statement *statement, bool cancelled);
sl_error *sl__pg_lost_error(const sl__postgres *pool, const sl__statement *statement, const sl_site *site,
                            const char *why);
sl_error *sl__pg_with_sql(sl_error *error, const sl__statement *statement);
const char *sl__pg_sqlstate(const sl__postgres *pool, const PGresult *result); /* never NULL */
/* The first line of what libpq says. In `out`. */
const char *sl__pg_first_line(const char *text, char *out, size_t size);
