/* sqlite_batch.c: statements that are run in a thread.
 *
 * The thread steps through some rows, copies them into the cursor's arena, and comes back; the rows are then
 * given without it, and when they are at an end it fetches the next. Between batches the connection is the
 * loop's. Whoever waits for a batch may be cancelled at any time, so nothing that the thread touches is a
 * task's: SQLite has copies of the parameters.
 *
 * A query that was begun on the loop is run again from its start: it sees the same moment, so the rows come
 * in the same order, and those that were given already are skipped. */
#include "store/sqlite.h"

#include <stdlib.h>

#define ROWS 256
#define BYTES (1 << 20)
#define FIRST_BYTES 32768

/* A batch comes back after so long with the rows that it has. */
#define LONGEST_NS 20000000

/* What is through as soon as this needed no thread. */
#define FAST_NS 500000

/* ---- In the thread ------------------------------------------------------------------------------------- */

static sl_view copied(sl_arena *arena, const void *data, int size)
{
    return (sl_view){sl_arena_strndup(arena, data, (size_t)size), (size_t)size};
}

static void copy_value(sl__sqlite_batch *batch, sqlite3_stmt *statement, int column, sl_value *value)
{
    *value = (sl_value){0};
    switch (sqlite3_column_type(statement, column)) {
    case SQLITE_INTEGER:
        value->kind = SL_KIND_INTEGER;
        value->integer = sqlite3_column_int64(statement, column);
        break;
    case SQLITE_FLOAT:
        value->kind = SL_KIND_REAL;
        value->real = sqlite3_column_double(statement, column);
        break;
    case SQLITE_TEXT:
        value->kind = SL_KIND_TEXT;
        value->text = copied(batch->arena, sqlite3_column_text(statement, column),
                             sqlite3_column_bytes(statement, column));
        break;
    case SQLITE_BLOB:
        value->kind = SL_KIND_BYTES;
        value->text = copied(batch->arena, sqlite3_column_blob(statement, column),
                             sqlite3_column_bytes(statement, column));
        break;
    default:
        value->null = true;
    }
}

static void copy_row(sl__sqlite_batch *batch, sqlite3_stmt *statement)
{
    if (!batch->count) {
        batch->columns = (unsigned)sqlite3_column_count(statement);
        batch->rows = sl_arena_alloc(batch->arena, sizeof(sl_value) * batch->columns * ROWS);
    }
    sl_value *row = batch->rows + (size_t)batch->count * batch->columns;
    for (unsigned i = 0; i < batch->columns; i++)
        copy_value(batch, statement, (int)i, &row[i]);
    batch->count++;
}

static void end(sl__sqlite_job *job, int code)
{
    const sl__sqlite_cursor *cursor = job->cursor;
    sl__sqlite_batch *batch = cursor->batch;
    sqlite3 *db = job->link->db;
    batch->over = true;
    batch->busy = sl__sqlite_is_busy(code) && !batch->count;
    if (code == SQLITE_DONE) {
        batch->changed = cursor->prepared->counts ? sqlite3_changes64(db) : 0;
        batch->key = cursor->prepared->readonly ? 0 : sqlite3_last_insert_rowid(db);
    } else {
        job->code = code;
        job->said = sl_strdup_heap(code == SQLITE_INTERRUPT ? sqlite3_errstr(code) : sqlite3_errmsg(db));
        batch->error =
            sl__sqlite_error_said(job->sqlite, cursor->site, code, job->said, cursor->prepared->sql);
    }
    sqlite3_reset(cursor->statement);
}

static void fetch(sl__sqlite_job *job)
{
    sqlite3_stmt *statement = job->cursor->statement;
    sl__sqlite_batch *batch = job->cursor->batch;
    uint64_t began = sl_monotonic_ns();
    /* If it was told to end before it began, nothing needs to be undone. */
    bool unwanted = atomic_load_explicit(&job->stop, memory_order_relaxed);
    int code = unwanted ? SQLITE_INTERRUPT : SQLITE_ROW;
    for (; batch->skip && code == SQLITE_ROW; batch->skip--)
        code = sqlite3_step(statement);
    while (code == SQLITE_ROW && (code = sqlite3_step(statement)) == SQLITE_ROW) {
        copy_row(batch, statement);
        if (batch->count < ROWS && sl_arena_used(batch->arena) < BYTES &&
            sl_monotonic_ns() - began < LONGEST_NS)
            continue;
        batch->fast = false;
        return;
    }
    end(job, code);
    batch->fast = batch->fast && sl_monotonic_ns() - began < FAST_NS;
}

/* ---- On the loop --------------------------------------------------------------------------------------- */

static void fetched(sl__sqlite_job *job)
{
    sl__sqlite_cursor *cursor = job->cursor;
    const sl__sqlite_batch *batch = cursor->batch;
    sl__sqlite_transaction *t = cursor->transaction;
    cursor->in_thread = false;
    if (batch->over && batch->fast)
        cursor->prepared->slow = false;
    if (job->code && t->part != SL__SQLITE_NOTHING && sqlite3_get_autocommit(job->link->db))
        sl__sqlite_lost(t, job->code, job->said);
    if (cursor->closed)
        sl__sqlite_cursor_free(cursor);
}

static sl_error *take_error(sl__sqlite_cursor *cursor)
{
    sl_error *error = cursor->batch->error;
    cursor->batch->error = NULL;
    if (error && (cursor->state != SL__SQLITE_DEAD || error->code != SL_EBUDGET))
        return error;
    sl_error_unref(error); /* it was interrupted because the transaction was ended */
    return sl__sqlite_cursor_gone(cursor);
}

static sl_error *fetch_next(sl__sqlite_cursor *cursor)
{
    sl__sqlite_batch *batch = cursor->batch;
    sl_error *error = sl__sqlite_cursor_wait(cursor);
    if (error)
        return error;
    sl__sqlite_link *link = cursor->transaction->link;
    batch->count = batch->next = 0;
    sl_arena_reset(batch->arena);
    cursor->in_thread = true;
    sl__sqlite_job_start(link, fetch, fetched, cursor);
    error = sl__sqlite_job_wait(link, cursor->cursor.deadline, cursor->site);
    return !error && cursor->state == SL__SQLITE_DEAD ? take_error(cursor) : error;
}

static sl_error *finish(sl__sqlite_cursor *cursor)
{
    const sl__sqlite_batch *batch = cursor->batch;
    cursor->state = SL__SQLITE_OVER;
    if (batch->error)
        return take_error(cursor);
    cursor->cursor.changed = cursor->prepared->readonly ? cursor->given : batch->changed;
    cursor->cursor.key = batch->key;
    return NULL;
}

/* It begins from the start, so far as it came. */
static void begin_again(sl__sqlite_cursor *cursor)
{
    sl__sqlite_batch *batch = cursor->batch;
    sl_error_unref(batch->error);
    batch->error = NULL;
    batch->over = false;
    batch->skip = cursor->given;
}

/* To the row `next`, if there is one. */
static sl_error *find_row(sl__sqlite_cursor *cursor)
{
    sl_error *error = NULL;
    sl__sqlite_patience patience = {0};
    const sl__begin how = {.deadline = cursor->cursor.deadline, .site = cursor->site};
    const sl__sqlite_batch *batch = cursor->batch;
    while (!error && batch->next == batch->count) {
        if (batch->over && !(batch->busy && sl__sqlite_be_patient(cursor->sqlite, &patience, &how,
                                                                  SL__SQLITE_RUN_LATE, &error)))
            return error ? error : finish(cursor);
        if (batch->over)
            begin_again(cursor);
        error = fetch_next(cursor);
    }
    return error;
}

sl_error *sl__sqlite_batch_begin(sl__sqlite_cursor *cursor, const sl_value *values, uint32_t count)
{
    sl__sqlite_link *link = cursor->transaction->link;
    sqlite3_reset(cursor->statement);
    const sl__statement statement = {
        .sql = cursor->prepared->sql,
        .size = cursor->prepared->size,
        .values = values,
        .count = count,
        .site = cursor->site,
    };
    sl_error *error = sl__sqlite_bind(link, cursor->prepared, &statement, /* copied= */ true);
    if (error)
        return error;
    sl__sqlite_batch *batch = cursor->batch = sl_calloc(1, sizeof *batch);
    batch->arena = sl_arena_new_sized(FIRST_BYTES);
    batch->skip = cursor->given;
    batch->fast = true;
    return find_row(cursor);
}

sl_error *sl__sqlite_batch_step(sl__sqlite_cursor *cursor)
{
    cursor->batch->next++;
    return find_row(cursor);
}

const sl_value *sl__sqlite_batch_value(const sl__sqlite_batch *batch, unsigned column)
{
    static const sl_value null = {.null = true};
    return column < batch->columns ? &batch->rows[(size_t)batch->next * batch->columns + column] : &null;
}

void sl__sqlite_batch_free(sl__sqlite_batch *batch)
{
    sl_error_unref(batch->error);
    sl_arena_free(batch->arena);
    free(batch);
}
