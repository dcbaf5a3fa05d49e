/* postgres_cursor.c: the rows of a statement.
 *
 * The result comes whole where it is small, or is kept by who asks. Else each row comes by itself: libpq
 * parses the next one when it is asked for, and while a row waits to be stepped to nothing is read from the
 * socket, so that a large result is never in memory. Only when somebody waits for what comes later on the
 * same line are the rows before it taken in. */
#include "store/postgres_inside.h"

#include <stdlib.h>

#define SLICE_NS 1000000
#define ROWS_BETWEEN_CLOCKS 256

static sl__pg_cursor *cursor_new(sl__pg_transaction *transaction)
{
    sl__postgres *pool = transaction->pool;
    sl__pg_cursor *cursor = pool->free_cursors;
    if (cursor)
        pool->free_cursors = cursor->next;
    else
        cursor = sl_calloc(1, sizeof *cursor);
    *cursor = (sl__pg_cursor){
        .base = {.driver = &sl__postgres_driver},
        .pool = pool,
        .transaction = transaction,
        .cells = cursor->cells,
        .capacity = cursor->capacity,
    };
    *transaction->last_cursor = cursor;
    transaction->last_cursor = &cursor->next;
    return cursor;
}

sl__pg_cursor *sl__pg_cursor_new(sl__pg_transaction *transaction, const sl__statement *statement)
{
    sl__pg_cursor *cursor = cursor_new(transaction);
    cursor->statement = statement;
    cursor->base.deadline = statement->deadline;
    return cursor;
}

sl__pg_cursor *sl__pg_cursor_of(sl__pg_transaction *transaction, const char *sql)
{
    sl__pg_cursor *cursor = cursor_new(transaction);
    cursor->own = (sl__statement){.sql = sql, .size = (uint32_t)strlen(sql), .site = transaction->how.site};
    cursor->statement = &cursor->own;
    return cursor;
}

/* ---- What comes ---------------------------------------------------------------------------------------- */

static void learn_columns(sl__pg_cursor *cursor, const PGresult *result)
{
    const sl__libpq *pq = &cursor->pool->pq;
    unsigned count = (unsigned)pq->nfields(result);
    if (cursor->columns || !count)
        return;
    if (count > cursor->capacity) {
        cursor->cells = sl_realloc(cursor->cells, count * sizeof *cursor->cells);
        cursor->capacity = count;
    }
    for (unsigned i = 0; i < count; i++)
        cursor->cells[i] = (sl__pg_cell){.size = -1, .type = pq->ftype(result, (int)i)};
    cursor->columns = count;
}

/* A row as it is kept: for each column its size, its bytes and a NUL. */
static void keep_row(sl__pg_cursor *cursor, const PGresult *result)
{
    const sl__libpq *pq = &cursor->pool->pq;
    for (int i = 0; i < (int)cursor->columns; i++) {
        int32_t size = pq->getisnull(result, 0, i) ? -1 : pq->getlength(result, 0, i);
        sl_buffer_put(&cursor->kept, &size, sizeof size);
        if (size >= 0)
            sl_buffer_put(&cursor->kept, pq->getvalue(result, 0, i), (size_t)size + 1);
    }
    cursor->pool->counts.kept++;
}

static void learn_tag(sl__pg_cursor *cursor, PGresult *result)
{
    const sl__libpq *pq = &cursor->pool->pq;
    cursor->base.changed = strtoll(pq->cmdTuples(result), NULL, 10);
    const char *tag = pq->cmdStatus(result);
    cursor->rolled_back = strcmp(tag, "ROLLBACK") == 0;
    if (strcmp(tag, "SET") == 0 && cursor->line && cursor->line->user)
        cursor->line->lent = true; /* the next transaction is not to meet it */
}

void sl__pg_cursor_result(sl__pg_cursor *cursor, PGresult *result)
{
    const sl__libpq *pq = &cursor->pool->pq;
    learn_columns(cursor, result);
    if (pq->resultStatus(result) != PGRES_SINGLE_TUPLE) {
        learn_tag(cursor, result);
        if (pq->ntuples(result) == 0) {
            pq->clear(result);
            return;
        }
        cursor->result = result;
        cursor->row = -1;
        cursor->rows = pq->ntuples(result);
    } else if (cursor->pending || cursor->kept.size > cursor->kept_at) {
        keep_row(cursor, result);
        pq->clear(result);
    } else {
        cursor->pending = result;
        sl__pg_wake(&cursor->wait);
    }
}

void sl__pg_cursor_done(sl__pg_cursor *cursor, sl_error *error)
{
    if (cursor->done) {
        sl_error_unref(error);
        return;
    }
    cursor->done = true;
    cursor->error = error;
    sl__pg_wake(&cursor->wait);
}

/* ---- Steps --------------------------------------------------------------------------------------------- */

static void fill_from_result(sl__pg_cursor *cursor)
{
    const sl__libpq *pq = &cursor->pool->pq;
    for (int i = 0; i < (int)cursor->columns; i++) {
        sl__pg_cell *cell = &cursor->cells[i];
        cell->data = pq->getvalue(cursor->result, cursor->row, i);
        cell->size = pq->getlength(cursor->result, cursor->row, i);
        if (cell->size == 0 && pq->getisnull(cursor->result, cursor->row, i))
            cell->size = -1;
    }
}

/* Takes the next of the kept rows, by copy: the buffer may move while more come. */
static void fill_from_kept(sl__pg_cursor *cursor)
{
    const char *begin = cursor->kept.data + cursor->kept_at, *at = begin;
    for (unsigned i = 0; i < cursor->columns; i++) {
        memcpy(&cursor->cells[i].size, at, sizeof(int32_t));
        at += sizeof(int32_t) + (size_t)(cursor->cells[i].size + 1);
    }
    cursor->copied.size = 0;
    sl_buffer_put(&cursor->copied, begin, (size_t)(at - begin));
    at = cursor->copied.data;
    for (unsigned i = 0; i < cursor->columns; i++) {
        cursor->cells[i].data = at + sizeof(int32_t);
        at += sizeof(int32_t) + (size_t)(cursor->cells[i].size + 1);
    }
    cursor->kept_at += cursor->copied.size;
    if (cursor->kept_at < cursor->kept.size)
        return;
    cursor->kept.size = cursor->kept_at = 0;
    cursor->keep = false;
}

static bool next_row(sl__pg_cursor *cursor)
{
    if (cursor->result && cursor->row + 1 < cursor->rows) {
        cursor->row++;
        fill_from_result(cursor);
        return true;
    }
    cursor->pool->pq.clear(cursor->result);
    cursor->result = cursor->pending;
    cursor->pending = NULL;
    cursor->row = 0;
    cursor->rows = 1;
    if (cursor->result)
        fill_from_result(cursor);
    else if (cursor->kept.size > cursor->kept_at)
        fill_from_kept(cursor);
    else
        return false;
    return true;
}

static bool has_news(const sl__pg_cursor *cursor)
{
    return cursor->done || cursor->pending || cursor->kept.size > cursor->kept_at;
}

/* Waits until there is another row, or the end. */
static sl_error *wait_for_news(sl__pg_cursor *cursor, uint64_t deadline)
{
    if (cursor->line) {
        sl__pg_keep(cursor->line, cursor);
        sl__pg_pump(cursor->line);
    }
    if (has_news(cursor))
        return NULL;
    sl_error *error = sl__pg_wait_for(cursor->pool, &cursor->wait, deadline, cursor->statement->site);
    return error && cursor->transaction ? sl__pg_give_up(cursor->transaction, error, cursor) : error;
}

/* Within a long result that came at once others are let run, and the loop looks for what came. */
static sl_error *breathe(sl__pg_cursor *cursor)
{
    uint64_t now = sl_monotonic_ns();
    if (cursor->row == 0)
        cursor->slice_ns = now;
    if (now - cursor->slice_ns < SLICE_NS)
        return NULL;
    const sl_site *site = cursor->statement->site;
    sl_result rested = sl__take(site, sl__sleep(site, 0));
    cursor->slice_ns = sl_monotonic_ns();
    return rested.kind == SL_FAILURE ? rested.error : NULL;
}

sl_error *sl__pg_step(sl__cursor *base, bool *ret_row)
{
    sl__pg_cursor *cursor = (sl__pg_cursor *)base;
    for (;;) {
        if (next_row(cursor)) {
            *ret_row = true;
            return cursor->row % ROWS_BETWEEN_CLOCKS || cursor->rows <= ROWS_BETWEEN_CLOCKS ? NULL
                                                                                            : breathe(cursor);
        }
        if (cursor->done) {
            sl_error *error = cursor->error;
            cursor->error = NULL;
            *ret_row = false;
            return error;
        }
        sl_error *error = wait_for_news(cursor, base->deadline);
        if (error)
            return error;
    }
}

sl_error *sl__pg_cursor_finish(sl__pg_cursor *cursor, uint64_t deadline)
{
    sl_error *error = NULL;
    while (!cursor->done && !error)
        error = wait_for_news(cursor, deadline);
    if (!error) {
        error = cursor->error;
        cursor->error = NULL;
    }
    return error;
}

sl_error *sl__pg_read(sl__cursor *base, unsigned first, const sl__field *fields, unsigned count, void *object,
                      uint64_t *nulls, sl_arena *arena)
{
    sl__pg_cursor *cursor = (sl__pg_cursor *)base;
    if (first + count > cursor->columns)
        return sl__pg_with_sql(sl__pg_error(cursor->pool, cursor->statement->site, SL_EDATABASE,
                                            "the result has %u columns, and not the %u that are to be read",
                                            cursor->columns, first + count),
                               cursor->statement);
    uint64_t mask = *nulls;
    for (unsigned i = 0; i < count; i++) {
        const sl__pg_cell *cell = &cursor->cells[first + i];
        sl_error *error = sl__pg_decode(cursor->pool, cell, &fields[i], object, arena);
        if (error)
            return sl__pg_with_sql(error, cursor->statement);
        uint64_t bit = UINT64_C(1) << fields[i].bit;
        mask = cell->size < 0 ? mask | bit : mask & ~bit;
    }
    *nulls = mask;
    return NULL;
}

bool sl__pg_is_null(sl__cursor *base, unsigned column)
{
    const sl__pg_cursor *cursor = (sl__pg_cursor *)base;
    return column >= cursor->columns || cursor->cells[column].size < 0;
}

/* ---- Leaving ------------------------------------------------------------------------------------------- */

/* Nobody waits for its rows any more; they are dropped as they come. */
static void let_go(sl__pg_cursor *cursor)
{
    sl__pg_line *line = cursor->line;
    if (cursor->single)
        sl__pg_single_forget(cursor);
    if (cursor->command)
        cursor->command->cursor = NULL;
    cursor->command = NULL;
    cursor->line = NULL;
    if (line && line->conn)
        sl__pg_pump(line);
}

void sl__pg_cursor_abandon(sl__pg_cursor *cursor)
{
    let_go(cursor);
    sl__pg_cursor_done(cursor, NULL);
}

void sl__pg_cursor_detach(sl__pg_cursor *cursor)
{
    let_go(cursor);
    cursor->transaction = NULL;
    cursor->pool->users++; /* it may outlive the store now */
    if (!cursor->done)
        sl__pg_cursor_done(cursor, sl__pg_error(cursor->pool, cursor->statement->site, SL_EDATABASE,
                                                "the transaction ended before the statement did"));
}

static void leave_transaction(sl__pg_cursor *cursor)
{
    sl__pg_transaction *t = cursor->transaction;
    if (!t)
        return;
    if (!cursor->done)
        t->closed++;
    sl__pg_cursor **at = &t->cursors;
    while (*at != cursor)
        at = &(*at)->next;
    *at = cursor->next;
    if (!*at)
        t->last_cursor = at;
}

void sl__pg_close_cursor(sl__cursor *base)
{
    sl__pg_cursor *cursor = (sl__pg_cursor *)base;
    if (!cursor)
        return;
    sl__postgres *pool = cursor->pool;
    bool detached = !cursor->transaction;
    leave_transaction(cursor);
    let_go(cursor);
    pool->pq.clear(cursor->result);
    pool->pq.clear(cursor->pending);
    sl_error_unref(cursor->error);
    sl_buffer_done(&cursor->kept);
    sl_buffer_done(&cursor->copied);
    cursor->next = pool->free_cursors;
    pool->free_cursors = cursor;
    if (detached)
        sl__pg_release_pool(pool);
}
