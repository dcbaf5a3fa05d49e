/* sqlite_run.c: statements that are run on the loop.
 *
 * A statement that touches a few rows is through in a microsecond, and no thread could be told of it in that
 * time. So such are run where they are called, and queries are begun so too: between rows they let others
 * run, and one whose next row does not come in time is interrupted and goes on in a thread (sqlite_batch.c),
 * from then on at once. Statements that write and may take long go there from the start, since SQLite rolls
 * back everything when one of them is interrupted.
 *
 * The first step is taken by `run`, so that statements are carried out in order. */
#include "store/sqlite.h"

/* A query lets others run after so long, and goes into a thread the next time if its first row took longer
 * than this. */
#define SLICE_NS 1000000
#define SLOW_NS 2000000
#define STEPS_BETWEEN_CLOCKS 64

/* ---- Cursors ------------------------------------------------------------------------------------------- */

static sl__sqlite_cursor *cursor_new(sl__sqlite_transaction *t, const sl__statement *statement,
                                     sl__sqlite_prepared *prepared)
{
    sl__sqlite *sqlite = t->sqlite;
    sl__sqlite_cursor *cursor = sl__pool_get(&sqlite->cursors, sizeof *cursor);
    /* Field by field: what a statement that is quick does not use is written where it is used. */
    cursor->cursor.driver = &sl__sqlite_driver;
    cursor->cursor.changed = cursor->cursor.key = 0;
    cursor->state = SL__SQLITE_AHEAD;
    cursor->limited = cursor->closed = cursor->in_thread = false;
    cursor->sqlite = sqlite;
    cursor->transaction = t;
    cursor->prepared = prepared;
    cursor->statement = prepared->statement;
    cursor->batch = NULL;
    cursor->given = 0;
    cursor->site = statement->site;
    cursor->cursor.deadline = statement->deadline;
    cursor->next = t->cursors;
    t->cursors = cursor;
    sqlite->references++;
    return cursor;
}

/* Out of its transaction, and its statement back to the link. */
static void let_go(sl__sqlite_cursor *cursor)
{
    sl__sqlite_cursor **at = &cursor->transaction->cursors;
    while (*at != cursor)
        at = &(*at)->next;
    *at = cursor->next;
    sl__sqlite_unprepare(cursor->prepared);
}

void sl__sqlite_cursor_end(sl__sqlite_cursor *cursor)
{
    if (cursor->state != SL__SQLITE_OVER)
        sqlite3_reset(cursor->statement);
    let_go(cursor);
    cursor->state = SL__SQLITE_DEAD;
}

void sl__sqlite_cursor_free(sl__sqlite_cursor *cursor)
{
    sl__sqlite *sqlite = cursor->sqlite;
    if (cursor->state < SL__SQLITE_OVER)
        sqlite3_reset(cursor->statement);
    if (cursor->state != SL__SQLITE_DEAD)
        let_go(cursor);
    if (cursor->batch)
        sl__sqlite_batch_free(cursor->batch);
    sl__pool_put(&sqlite->cursors, cursor);
    sl__sqlite_unref(sqlite);
}

void sl__sqlite_close_cursor(sl__cursor *closed)
{
    sl__sqlite_cursor *cursor = (sl__sqlite_cursor *)closed;
    if (!cursor)
        return;
    if (!cursor->in_thread) {
        sl__sqlite_cursor_free(cursor);
        return;
    }
    cursor->closed = true;
    sl__sqlite_job_stop(cursor->transaction->link->job);
}

/* ---- What a step gave ---------------------------------------------------------------------------------- */

static void be_over(sl__sqlite_cursor *cursor)
{
    if (cursor->prepared->readonly) {
        cursor->cursor.changed = cursor->given;
    } else {
        sqlite3 *db = cursor->transaction->link->db;
        cursor->cursor.changed = cursor->prepared->counts ? sqlite3_changes64(db) : 0;
        cursor->cursor.key = sqlite3_last_insert_rowid(db);
    }
    sqlite3_reset(cursor->statement);
    cursor->state = SL__SQLITE_OVER;
}

static sl_error *fail(sl__sqlite_cursor *cursor, int code)
{
    sl__sqlite_transaction *t = cursor->transaction;
    sqlite3 *db = t->link->db;
    sl_error *error = sl__sqlite_error(cursor->sqlite, cursor->site, db, code, cursor->prepared->sql);
    SL_AUTO_FREE char *said = sl_strdup_heap(sqlite3_errmsg(db));
    sqlite3_reset(cursor->statement);
    cursor->state = SL__SQLITE_OVER;
    if (t->part != SL__SQLITE_NOTHING && sqlite3_get_autocommit(db))
        sl__sqlite_lost(t, code, said);
    return error;
}

sl_error *sl__sqlite_cursor_gone(const sl__sqlite_cursor *cursor)
{
    return sl_error_hint(sl__error_new(cursor->site, SL_EDISCONNECTED,
                                       "store %s: the transaction of these rows is gone",
                                       cursor->sqlite->name),
                         "end reading before the transaction ends");
}

/* ---- Queries: steps that may take long --------------------------------------------------------------- */

static int step_limited(sl__sqlite_cursor *cursor)
{
    sl__sqlite_link *link = cursor->transaction->link;
    link->since_ns = 0;
    link->over_budget = false;
    link->stepping = cursor;
    int code = sqlite3_step(cursor->statement);
    link->stepping = NULL;
    return code;
}

sl_error *sl__sqlite_cursor_wait(sl__sqlite_cursor *cursor)
{
    sl_error *error = NULL;
    if (cursor->state != SL__SQLITE_DEAD)
        error = sl__sqlite_link_wait(cursor->transaction->link, cursor->cursor.deadline, cursor->site);
    return !error && cursor->state == SL__SQLITE_DEAD ? sl__sqlite_cursor_gone(cursor) : error;
}

static int step(sl__sqlite_cursor *cursor)
{
    return cursor->limited ? step_limited(cursor) : sqlite3_step(cursor->statement);
}

/* Another process does something for which even readers wait, which is seldom, and soon over. */
static sl_error *wait_for_others(sl__sqlite_cursor *cursor, int *code)
{
    sl_error *error = NULL;
    sl__sqlite_patience patience = {0};
    const sl__begin how = {.deadline = cursor->cursor.deadline, .site = cursor->site};
    while (sl__sqlite_is_busy(*code)) {
        if (!sl__sqlite_be_patient(cursor->sqlite, &patience, &how, SL__SQLITE_RUN_LATE, &error) ||
            (error = sl__sqlite_cursor_wait(cursor)))
            return error;
        sqlite3_reset(cursor->statement);
        cursor->slice_ns = sl_monotonic_ns();
        *code = step(cursor);
    }
    return NULL;
}

static sl_error *take(sl__sqlite_cursor *cursor, int code)
{
    if (code == SQLITE_ROW)
        return NULL;
    if (code == SQLITE_DONE) {
        be_over(cursor);
        return NULL;
    }
    sl__sqlite_link *link = cursor->transaction->link;
    if (code == SQLITE_INTERRUPT && link->over_budget) {
        link->over_budget = false;
        cursor->prepared->slow = true;
        return sl__sqlite_batch_begin(cursor, cursor->values, cursor->count);
    }
    return fail(cursor, code);
}

static sl_error *first_step(sl__sqlite_cursor *cursor)
{
    int code = step(cursor);
    sl_error *error = __builtin_expect(sl__sqlite_is_busy(code), 0) ? wait_for_others(cursor, &code) : NULL;
    if (error)
        return error;
    if (cursor->limited && sl_monotonic_ns() - cursor->slice_ns > SLOW_NS)
        cursor->prepared->slow = true;
    return take(cursor, code);
}

static sl_error *first_limited(sl__sqlite_cursor *cursor, const sl__statement *statement)
{
    sl__sqlite_transaction *t = cursor->transaction;
    cursor->limited = true;
    cursor->steps = 0;
    cursor->values = statement->values;
    cursor->count = statement->count;
    cursor->changes = sqlite3_total_changes64(t->link->db);
    if (statement->deadline && statement->deadline <= sl_loop_now(sl__loop))
        return sl__sqlite_too_late(cursor->sqlite, cursor->site, "was begun");
    cursor->slice_ns = sl_monotonic_ns();
    return first_step(cursor);
}

/* Looks at the clock, and lets others run if it is time for that: not only tasks that are ready (sl_yield),
 * but what the loop looks for, too. */
static sl_error *breathe(sl__sqlite_cursor *cursor)
{
    cursor->steps = 0;
    cursor->transaction->link->look = false;
    if (sl_monotonic_ns() - cursor->slice_ns < SLICE_NS)
        return NULL;
    sl_error *error = sl__sqlite_await(cursor->sqlite, sl__sleep(cursor->site, 0), /* deadline= */ 0,
                                       cursor->site, "was through");
    cursor->slice_ns = sl_monotonic_ns();
    if (!error && cursor->cursor.deadline && cursor->cursor.deadline <= sl_loop_now(sl__loop))
        error = sl__sqlite_too_late(cursor->sqlite, cursor->site, "was through");
    if (!error && cursor->state == SL__SQLITE_DEAD)
        error = sl__sqlite_cursor_gone(cursor);
    return error;
}

static sl_error *next_row(sl__sqlite_cursor *cursor)
{
    const sl__sqlite_link *link = cursor->transaction->link;
    sl_error *error = NULL;
    if (cursor->limited && (++cursor->steps == STEPS_BETWEEN_CLOCKS || link->look))
        error = breathe(cursor);
    if (!error && __builtin_expect(link->job != NULL, 0))
        error = sl__sqlite_cursor_wait(cursor);
    if (error)
        return error;
    return take(cursor, step(cursor));
}

/* ---- The driver's functions -------------------------------------------------------------------------- */

static sl_error *begin_to_run(sl__sqlite_cursor *cursor, const sl__statement *statement)
{
    sl__sqlite_transaction *t = cursor->transaction;
    const sl__sqlite_prepared *prepared = cursor->prepared;
    if (!prepared->readonly) {
        if (__builtin_expect(!t->connection.writer, 0))
            return sl_error_hint(
                sl__error_new(statement->site, SL_EINVAL,
                              "store %s: the statement writes, and the transaction only reads",
                              t->sqlite->name),
                "say .writes of the statement, or leave .read_only out of the transaction");
        t->wrote = true;
    }
    if (!statement->quick && (!prepared->readonly || prepared->slow))
        return sl__sqlite_batch_begin(cursor, statement->values, statement->count);
    sl_error *error = sl__sqlite_bind(t->link, prepared, statement, /* copied= */ false);
    if (error)
        return error;
    return statement->quick ? first_step(cursor) : first_limited(cursor, statement);
}

sl_error *sl__sqlite_run(sl__connection *connection, const sl__statement *statement, sl__cursor **ret_cursor)
{
    sl__sqlite_transaction *t = (sl__sqlite_transaction *)connection;
    sl_error *error = NULL;
    if (__builtin_expect(!t->ready || t->link->job, 0) && (error = sl__sqlite_make_ready(t, statement)))
        return error;
    sl__sqlite_prepared *prepared = sl__sqlite_prepare(t->link, statement, &error);
    if (__builtin_expect(!prepared, 0))
        return error;
    sl__sqlite_cursor *cursor = cursor_new(t, statement, prepared);
    error = begin_to_run(cursor, statement);
    if (__builtin_expect(error != NULL, 0))
        sl__sqlite_close_cursor(&cursor->cursor);
    else
        *ret_cursor = &cursor->cursor;
    return error;
}

sl_error *sl__sqlite_step(sl__cursor *stepped, bool *ret_row)
{
    sl__sqlite_cursor *cursor = (sl__sqlite_cursor *)stepped;
    sl_error *error = NULL;
    if (cursor->state == SL__SQLITE_ON_ROW)
        error = cursor->batch ? sl__sqlite_batch_step(cursor) : next_row(cursor);
    else if (cursor->state == SL__SQLITE_DEAD)
        error = sl__sqlite_cursor_gone(cursor);
    if (error)
        return error;
    if (cursor->state == SL__SQLITE_AHEAD)
        cursor->state = SL__SQLITE_ON_ROW;
    *ret_row = cursor->state == SL__SQLITE_ON_ROW;
    cursor->given += *ret_row;
    return NULL;
}
