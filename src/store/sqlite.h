/* sqlite.h: the inside of the SQLite driver.
 *
 *   sl_store ── sl__sqlite ── links: an sqlite3 each, with the statements that were prepared on it
 *                   │           │
 *                   │           └── job: what a thread does with it now; nobody else touches the link then
 *                   ├── transactions: what `begin` gives; each works on one link
 *                   │      └── cursors: statements that are being run
 *                   ├── the writer's place: who has it, and who waits for it
 *                   └── the group: transactions that are through, and that one COMMIT makes durable together
 *
 * The files: sqlite.c (opening and closing), sqlite_link.c (connections), sqlite_prepare.c (statements),
 * sqlite_run.c (stepping on the loop), sqlite_read.c (columns), sqlite_batch.c (stepping in a thread),
 * sqlite_job.c (threads), sqlite_place.c (who may write, who may read), sqlite_begin.c and sqlite_commit.c
 * (transactions), sqlite_error.c. */
#pragma once

#include "store/store.h"
#include "core/task.h"
#include "io/work.h"

#include <pthread.h>
#include <sqlite3.h>
#include <stdatomic.h>

#define SL__SQLITE_OLDEST 3038000 /* of the library */

typedef struct sl__sqlite sl__sqlite;
typedef struct sl__sqlite_link sl__sqlite_link;
typedef struct sl__sqlite_transaction sl__sqlite_transaction;
typedef struct sl__sqlite_cursor sl__sqlite_cursor;
typedef struct sl__sqlite_batch sl__sqlite_batch;
typedef struct sl__sqlite_job sl__sqlite_job;

/* ---- Errors: sqlite_error.c ---------------------------------------------------------------------------- */

/* Of an (extended) code of SQLite's, with its own words, which are read from the connection (NULL: the
 * code's). The detail is the SQL (may be NULL). May be called in threads. */
sl_error *sl__sqlite_error(const sl__sqlite *sqlite, const sl_site *site, sqlite3 *db, int code,
                           const char *sql);
/* The same with given words. */
sl_error *sl__sqlite_error_said(const sl__sqlite *sqlite, const sl_site *site, int code, const char *said,
                                const char *sql);
/* SL_EBUDGET: "the deadline passed before it …". */
sl_error *sl__sqlite_too_late(const sl__sqlite *sqlite, const sl_site *site, const char *what);
/* SL_ECLOSED: the store was closed. */
sl_error *sl__sqlite_is_closed(const sl__sqlite *sqlite, const sl_site *site);

/* ---- Statements: sqlite_prepare.c ---------------------------------------------------------------------- */

typedef struct sl__sqlite_prepared {
    uint64_t shape; /* 0: it is not in the cache, and is given up after use */
    sqlite3_stmt *statement;
    const char *sql; /* SQLite's copy */
    uint32_t size;
    uint32_t parameters;
    uint64_t used; /* when it was last used, counted in uses */
    bool busy;     /* a cursor has it */
    bool readonly;
    bool counts; /* it is one that changes rows: others leave the number of changed rows as it was */
    bool slow;   /* goes into a thread at once */
} sl__sqlite_prepared;

#define SL__SQLITE_STATEMENTS 256 /* kept by a link */

typedef struct sl__sqlite_cache {
    sl__sqlite_prepared *slots[2 * SL__SQLITE_STATEMENTS]; /* open addressing by shape */
    unsigned count;
    uint64_t uses;
} sl__sqlite_cache;

/* Gives the statement, busy. NULL: *ret_error says why. */
sl__sqlite_prepared *sl__sqlite_prepare(sl__sqlite_link *link, const sl__statement *statement,
                                        sl_error **ret_error);
/* The cursor does not need it any more; it is reset already. */
void sl__sqlite_unprepare(sl__sqlite_prepared *prepared);
void sl__sqlite_cache_done(sl__sqlite_cache *cache);
/* Binds the values. Text and bytes are lent to the statement unless `copied`. An error for what no parameter
 * can be. */
sl_error *sl__sqlite_bind(sl__sqlite_link *link, const sl__sqlite_prepared *prepared,
                          const sl__statement *statement, bool copied);

/* ---- Links: sqlite_link.c ------------------------------------------------------------------------------ */

/* Statements without parameters that the driver itself runs. */
#define SL__SQLITE_FIXED(X)                                                                                  \
    X(BEGIN, "BEGIN")                                                                                        \
    X(BEGIN_WRITING, "BEGIN IMMEDIATE")                                                                      \
    X(COMMIT, "COMMIT")                                                                                      \
    X(ROLLBACK, "ROLLBACK")                                                                                  \
    X(GROUP, "SAVEPOINT sl_group")                                                                           \
    X(GROUP_RELEASE, "RELEASE sl_group")                                                                     \
    X(GROUP_UNDO, "ROLLBACK TO sl_group")                                                                    \
    X(LEND, "SAVEPOINT sl_lend")                                                                             \
    X(LEND_RELEASE, "RELEASE sl_lend")                                                                       \
    X(ONLY_READ, "PRAGMA query_only = ON")                                                                   \
    X(ALSO_WRITE, "PRAGMA query_only = OFF")                                                                 \
    /* There is no statement to take the write lock within a transaction. This one does, and then frees a    \
     * page at most, in those few files that are made so that pages can be freed. */                         \
    X(START_WRITING, "PRAGMA main.incremental_vacuum(1)")
typedef enum sl__sqlite_fixed {
#define SL__SQLITE_FIXED_NAME(name, sql) SL__SQLITE_##name,
    SL__SQLITE_FIXED(SL__SQLITE_FIXED_NAME)
#undef SL__SQLITE_FIXED_NAME
        SL__SQLITE_FIXED_COUNT,
} sl__sqlite_fixed;

/* Who waits until no job has the link, or until another task is through with a transaction. */
typedef struct sl__sqlite_waiter {
    struct sl__sqlite_waiter *next, **link;
    sl_deferred *deferred;
} sl__sqlite_waiter;

struct sl__sqlite_link {
    sl__sqlite *sqlite;
    sqlite3 *db;
    sl__sqlite_link *next;      /* of all */
    sl__sqlite_link *next_idle; /* of those that nobody uses */
    sl__sqlite_job *job;        /* a thread has it */
    sl__sqlite_waiter *waiters;
    /* Watched by the progress handler, on the loop: */
    sl__sqlite_cursor *stepping;  /* that may be interrupted when it takes long */
    uint64_t since_ns;            /* when the handler first saw this step; 0: not yet */
    bool look;                    /* some work was done: it is time to look at the clock */
    bool over_budget;             /* it was interrupted for that */
    unsigned version;             /* of the file, when this process last wrote by this link; 0: by another */
    sl__sqlite_transaction *left; /* to be rolled back when the job is finished */
    sqlite3_stmt *fixed[SL__SQLITE_FIXED_COUNT];
    sl__sqlite_cache cache;
};

/* Opens a connection to the database, waiting for other processes that lock it. May suspend. */
sl_error *sl__sqlite_link_open(sl__sqlite *sqlite, const sl__begin *how, sl__sqlite_link **ret_link);
void sl__sqlite_link_close(sl__sqlite_link *link);
/* Runs one of the fixed statements: SQLite's code. */
int sl__sqlite_do(sl__sqlite_link *link, sl__sqlite_fixed what);
/* A number that is another one when somebody has written since. */
unsigned sl__sqlite_version(const sl__sqlite_link *link);
/* (Again) after others had the sqlite3. */
void sl__sqlite_link_watch(sl__sqlite_link *link);

/* ---- Threads: sqlite_job.c ----------------------------------------------------------------------------- */

struct sl__sqlite_job {
    sl__work work;
    sl__sqlite *sqlite;
    sl__sqlite_link *link;
    void (*run)(sl__sqlite_job *job);    /* in the thread */
    void (*finish)(sl__sqlite_job *job); /* on the loop, once, when the link is free again */
    sl__sqlite_job *next, **in_list;
    sl__sqlite_cursor *cursor; /* of a statement */
    sl_deferred *waiter;       /* fired after `finish`; NULL: nobody waits (any more) */
    atomic_bool stop;          /* the statement shall end */
    bool ran;                  /* under the database's mutex */
    bool finished;
    bool queued; /* it waits for a thread: */
    sl__sqlite_job *next_queued, **in_queue;
    int code; /* SQLite's */
    char *said;
};

/* How many threads statements may have at once. */
unsigned sl__sqlite_threads(void);
/* Starts it: the link is the thread's until `finish`. */
void sl__sqlite_job_start(sl__sqlite_link *link, void (*run)(sl__sqlite_job *),
                          void (*finish)(sl__sqlite_job *), sl__sqlite_cursor *cursor);
/* Waits until the list is woken. An error: that of the wait. May suspend. */
sl_error *sl__sqlite_wait(sl__sqlite *sqlite, sl__sqlite_waiter **list, const sl__begin *how);
void sl__sqlite_wake(sl__sqlite_waiter **list);
/* Waits for the link's job to be finished. An error: that of the wait. May suspend. */
sl_error *sl__sqlite_link_wait(sl__sqlite_link *link, uint64_t deadline, const sl_site *site);
/* Waits for the job that was started now; if the wait ends before it, the job is told to end. May suspend. */
sl_error *sl__sqlite_job_wait(sl__sqlite_link *link, uint64_t deadline, const sl_site *site);
/* Tells a statement to end soon. Commits and rollbacks go on. */
void sl__sqlite_job_stop(sl__sqlite_job *job);
/* Waits for all threads, without the loop, and finishes their jobs. */
void sl__sqlite_jobs_finish(sl__sqlite *sqlite);
/* An await: NULL, or the error of cancellation, or that it is too late (0: never) before it did `what`, or
 * that the store is closed. Takes over the reference. May suspend. */
sl_error *sl__sqlite_await(sl__sqlite *sqlite, sl_deferred *deferred, uint64_t deadline, const sl_site *site,
                           const char *what);
/* Whether another process has what is needed; that is waited for. */
static inline bool sl__sqlite_is_busy(int code)
{
    return ((code & 0xff) == SQLITE_BUSY && code != SQLITE_BUSY_SNAPSHOT) || code == SQLITE_PROTOCOL;
}
/* How long it was waited for already; zeroed at first. */
typedef struct sl__sqlite_patience {
    uint64_t since_ns, pause;
} sl__sqlite_patience;
#define SL__SQLITE_RUN_LATE "could be run: another process holds the database"
/* Sleeps a little, before it "could be run" (or what else) is tried again. False: it was waited for busy_ms,
 * or *ret_error says why the wait ended. May suspend. */
bool sl__sqlite_be_patient(sl__sqlite *sqlite, sl__sqlite_patience *patience, const sl__begin *how,
                           const char *what, sl_error **ret_error);
/* The error with which an await would fail here, if the task was cancelled; or NULL. */
sl_error *sl__sqlite_cancelled(const sl_site *site);

/* ---- Cursors: sqlite_run.c, sqlite_read.c, sqlite_batch.c ---------------------------------------------- */

typedef enum sl__sqlite_state {
    SL__SQLITE_AHEAD, /* its row was stepped to, and `step` did not give it yet */
    SL__SQLITE_ON_ROW,
    SL__SQLITE_OVER, /* there are no more rows, and the statement is reset */
    SL__SQLITE_DEAD, /* its transaction is gone */
} sl__sqlite_state;

struct sl__sqlite_cursor {
    sl__cursor cursor;
    uint8_t state;  /* an sl__sqlite_state */
    bool limited;   /* may be interrupted, and lets others run */
    bool in_thread; /* a thread has it */
    bool closed;    /* meanwhile */
    sl__sqlite *sqlite;
    sl__sqlite_transaction *transaction;
    sl__sqlite_prepared *prepared;
    sqlite3_stmt *statement;
    sl__sqlite_cursor *next; /* of the transaction */
    sl__sqlite_batch *batch; /* NULL: it is stepped on the loop */
    int64_t given;           /* rows */
    const sl_site *site;
    /* Where it is limited: */
    const sl_value *values;
    uint32_t count;
    uint32_t steps;    /* since the clock was looked at */
    uint64_t slice_ns; /* when it last let others run */
    int64_t changes;   /* of the connection when it began */
};

/* Rows that a thread fetched. */
struct sl__sqlite_batch {
    sl_arena *arena;
    sl_value *rows; /* `columns` values each */
    unsigned columns, count, next;
    int64_t skip; /* rows that were given before the thread took over */
    bool over;    /* these are the last rows, */
    bool fast;    /* and no thread would have been needed for them; */
    bool busy;    /* or another process had to be waited for */
    int64_t changed, key;
    sl_error *error; /* after the rows */
};

sl_error *sl__sqlite_run(sl__connection *connection, const sl__statement *statement, sl__cursor **ret_cursor);
sl_error *sl__sqlite_step(sl__cursor *cursor, bool *ret_row);
sl_error *sl__sqlite_read(sl__cursor *cursor, unsigned first, const sl__field *fields, unsigned count,
                          void *object, uint64_t *nulls, sl_arena *arena);
bool sl__sqlite_is_null(sl__cursor *cursor, unsigned column);
void sl__sqlite_close_cursor(sl__cursor *cursor);
/* Takes its statement from a cursor whose transaction ends: it can only be closed from then on. */
void sl__sqlite_cursor_end(sl__sqlite_cursor *cursor);
void sl__sqlite_cursor_free(sl__sqlite_cursor *cursor);
sl_error *sl__sqlite_cursor_gone(const sl__sqlite_cursor *cursor); /* what can only be closed was stepped */
/* Before it is stepped: another statement of the transaction may be in a thread, or have been the end of
 * that. May suspend. */
sl_error *sl__sqlite_cursor_wait(sl__sqlite_cursor *cursor);

/* Begins, or goes on, to step it in a thread, to the next row. May suspend. */
sl_error *sl__sqlite_batch_begin(sl__sqlite_cursor *cursor, const sl_value *values, uint32_t count);
sl_error *sl__sqlite_batch_step(sl__sqlite_cursor *cursor);
const sl_value *sl__sqlite_batch_value(const sl__sqlite_batch *batch, unsigned column);
void sl__sqlite_batch_free(sl__sqlite_batch *batch);

/* ---- Transactions: sqlite_place.c, sqlite_begin.c, sqlite_commit.c ------------------------------------- */

/* What of it stands on its link. */
typedef enum sl__sqlite_part {
    SL__SQLITE_NOTHING,
    SL__SQLITE_WHOLE, /* SQLite's transaction is its own */
    SL__SQLITE_GUEST, /* a savepoint in the group's */
} sl__sqlite_part;

struct sl__sqlite_transaction {
    sl__connection connection;
    bool ready; /* statements can be run without further ado, unless a job has the link */
    bool single;
    bool schema; /* foreign keys are not looked after once it has begun, */
    bool loose;  /* and so it is now on its link */
    bool slot;   /* it counts among the readers */
    bool used;   /* a statement was run */
    bool wrote;  /* likewise, that writes */
    bool taken;  /* a task makes it ready, or a writer; others wait: */
    bool ended;  /* committed or rolled back by one task while others are inside: the last of them frees it */
    unsigned inside;
    bool shut; /* it ends, or has ended, and they shall go: `lost` says so */
    sl__sqlite_waiter *waiters;
    sl__sqlite_part part;
    sl__sqlite *sqlite;
    sl__sqlite_link *link; /* NULL: none yet, or it is gone */
    sl__sqlite_cursor *cursors;
    sl__sqlite_transaction *next, **in_queue;     /* of those who wait for a place, or of the group */
    sl__sqlite_transaction *next_open, **in_open; /* of all */
    sl_deferred *waits;                           /* fired when it is its turn, or when it is committed */
    const sl_site *site;
    uint64_t asked_ns; /* for the writer's place, if it had to wait for that */
    uint64_t since;    /* it has the writer's place: sl_loop_now */
    int64_t changes;   /* of the connection when it began to write */
    char *lost;        /* why it is gone, or NULL */
};

typedef struct sl__sqlite_queue {
    sl__sqlite_transaction *first, **last;
} sl__sqlite_queue;

typedef struct sl__sqlite_group {
    sl__sqlite_link *link; /* its transaction is open there; NULL: there is no group */
    sl__sqlite_queue members;
    unsigned count;
    uint64_t began_ns;
    bool committing; /* a thread is at it */
    bool slot;       /* the link is a reader's that turned writer */
} sl__sqlite_group;

struct sl__sqlite {
    char *name, *path;
    const sl_store_options *options;
    bool memory, closed;
    unsigned references; /* the store's, transactions', cursors' */
    sl__sqlite_link *links, *idle, *writer;
    uint64_t readers; /* transactions that read */
    sl__sqlite_queue to_read, to_write;
    sl__sqlite_transaction *open;   /* all */
    sl__sqlite_transaction *holder; /* of the writer's place */
    sl__sqlite_group group;
    uint64_t commits;      /* of groups */
    uint64_t committed_ns; /* the last one */
    uint64_t others_ns;    /* when another process was last seen to write */
    uint64_t held_ns; /* since when another process was seen to have the lock of writers, without a gap */
    sl__pool transactions, cursors;
    sl__sqlite_job *jobs;
    sl__sqlite_job *queued, **last_queued; /* statements that wait for a thread */
    unsigned threads, in_threads;          /* that statements may have at once, and have */
    pthread_mutex_t mutex;
    pthread_cond_t changed; /* a job ran */
};

void sl__sqlite_free(sl__sqlite *sqlite);
static inline void sl__sqlite_unref(sl__sqlite *sqlite)
{
    if (--sqlite->references == 0)
        sl__sqlite_free(sqlite);
}

void sl__sqlite_queue_add(sl__sqlite_queue *queue, sl__sqlite_transaction *t);
sl__sqlite_transaction *sl__sqlite_queue_take(sl__sqlite_queue *queue); /* the first, or NULL */
/* Fires what it waits for. Takes over the error (NULL: success). */
void sl__sqlite_tell(sl__sqlite_transaction *t, sl_error *error);

/* A reader's connection: waits for one that is free, or opens one. May suspend. */
sl_error *sl__sqlite_take_slot(sl__sqlite_transaction *t, const sl__begin *how);
void sl__sqlite_leave_slot(sl__sqlite_transaction *t);
/* The writer's place. May suspend. */
sl_error *sl__sqlite_take_place(sl__sqlite_transaction *t, const sl__begin *how);
void sl__sqlite_leave_place(sl__sqlite *sqlite);

bool sl__sqlite_group_may_grow(const sl__sqlite_group *group);
/* Commits it, in a thread. */
void sl__sqlite_group_commit(sl__sqlite *sqlite);
/* The same on the loop, when the store is closed. */
void sl__sqlite_group_commit_now(sl__sqlite *sqlite);
/* SQLite's transaction is over: the next may begin one. */
void sl__sqlite_group_ended(sl__sqlite *sqlite);

sl_error *sl__sqlite_begin(sl_store *store, const sl__begin *how, sl__connection **ret_connection);
sl_error *sl__sqlite_become_writer(sl__connection *connection, const sl__begin *how);
sl_error *sl__sqlite_commit(sl__connection *connection);
void sl__sqlite_rollback(sl__connection *connection);
void sl__sqlite_transaction_free(sl__sqlite_transaction *t);
void sl__sqlite_shut(sl__sqlite_transaction *t); /* tasks that wait inside find it gone */

/* Before the first statement, or while a thread has the link. May suspend. */
sl_error *sl__sqlite_make_ready(sl__sqlite_transaction *t, const sl__statement *statement);
/* Has the transaction's link look after foreign keys again, where it does not. */
void sl__sqlite_keys_on(sl__sqlite_transaction *t);
void sl__sqlite_cursors_end(sl__sqlite_transaction *t);
/* SQLite has rolled it back, and the group with it: `code` and `said` are why. */
void sl__sqlite_lost(sl__sqlite_transaction *t, int code, const char *said);
sl_error *sl__sqlite_gone(const sl__sqlite_transaction *t, const sl_site *site); /* a lost one is used */
/* No job has its link. */
void sl__sqlite_roll_back(sl__sqlite_transaction *t);
