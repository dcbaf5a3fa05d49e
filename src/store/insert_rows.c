/* insert_rows.c: new rows of one table that are written by one statement, in SQLite.
 *
 * To begin a statement and to end it costs SQLite several times what a row does, so new rows that stand
 * beside each other in what is to be written go together. The database gives the first one its key, as it
 * always does; those after it are given the numbers that follow, which nobody else can take, since there is
 * one writer. Where a constraint is in the way nothing is left of the statement, and they go one by one, so
 * that the error names the row that it is about. */
#include "store/store.h"

static int64_t *key_of(const sl_row *row)
{
    const sl__model_info *info = row->model->info;
    return (int64_t *)((char *)row + info->all[info->automatic].offset);
}

bool sl__row_lacks_key(const sl_row *row)
{
    return row->model->info->whole_key && !*key_of(row);
}

const sl__statement *sl__insert_of(const sl__table *table, const sl_row *row, unsigned *ret_left_out)
{
    bool lacks_key = sl__row_lacks_key(row);
    *ret_left_out = lacks_key ? (unsigned)table->info->automatic : SL_COLUMNS_MAX;
    return lacks_key ? &table->insert : &table->insert_keyed;
}

void sl__row_stored(sl_session *session, const sl__table *table, sl_row *row)
{
    sl__map_add(session, table, row);
    sl__touch(session, row, /* inserted= */ true);
    row->state = SL__ROW_STORED;
    row->generation = session->generation;
    row->loaded = table->info->lazy;
    sl__row_written(session, row);
}

/* ---- Which can go together ----------------------------------------------------------------------------- */

static bool is_alike(const sl__write *write, const sl_row *first)
{
    const sl_row *row = write->row;
    return row->state == SL__ROW_ADDED && !write->parked && !row->pending &&
           row->model->index == first->model->index && sl__row_lacks_key(row) == sl__row_lacks_key(first);
}

size_t sl__rows_together(const sl_session *session, const sl__write *writes, size_t count,
                         const sl_row *before)
{
    const sl_row *first = writes->row;
    if (session->store->dialect != SL__SQLITE || count < 2 || !is_alike(writes, first))
        return 0;
    if (sl__row_lacks_key(first) && (!before || before->model->index != first->model->index ||
                                     *key_of(before) <= 0 || *key_of(before) > INT64_MAX - SL__ROWS_MAX))
        return 0;
    size_t some = 1;
    while (some < count && some < SL__ROWS_MAX && is_alike(&writes[some], first))
        some++;
    while (some & (some - 1)) /* a power of 2, so that there are few statements */
        some &= some - 1;
    return some > 1 ? some : 0;
}

/* ---- Writing them -------------------------------------------------------------------------------------- */

static void give_keys(const sl__write *writes, size_t count, int64_t before)
{
    const sl__model_info *info = writes->row->model->info;
    for (size_t i = 0; i < count; i++) {
        *key_of(writes[i].row) = before + 1 + (int64_t)i;
        *sl__nulls_of(writes[i].row) &= ~(UINT64_C(1) << info->automatic);
    }
}

static void take_keys_back(const sl__write *writes, size_t count)
{
    for (size_t i = 0; i < count; i++)
        *key_of(writes[i].row) = 0;
}

static sl_error *run(sl_session *session, const sl__statement *statement)
{
    sl__running running SL_CLEANUP(sl__run_end);
    bool more = true;
    sl_error *error = sl__run_begin(session, statement, &running);
    while (!error && more)
        error = sl__run_step(&running, &more);
    return error;
}

sl_error *sl__rows_insert(sl_session *session, const sl__write *writes, size_t count, const sl_row *before,
                          sl_value *values, bool *ret_written)
{
    sl_row *first = writes->row;
    sl__table *table = sl__table_of(first->site, session->store->stores, first->model);
    bool lacks_key = sl__row_lacks_key(first);
    if (lacks_key)
        give_keys(writes, count, *key_of(before));
    unsigned used = 0;
    for (size_t i = 0; i < count; i++)
        used += sl__row_values(writes[i].row, UINT64_MAX, SL_COLUMNS_MAX, values + used);
    sl__statement statement = *sl__insert_rows_statement(table, /* keyed= */ true, (unsigned)count);
    statement.values = values;
    statement.site = first->site;
    sl_error *error = run(session, &statement);
    *ret_written = !error;
    if (!error) {
        for (size_t i = 0; i < count; i++)
            sl__row_stored(session, table, writes[i].row);
        return NULL;
    }
    if (lacks_key)
        take_keys_back(writes, count);
    if (error->code != SL_EEXIST && error->code != SL_ECONSTRAINT)
        return error;
    sl_error_unref(error);
    return NULL;
}
