/* reading.c: the rows of a selection become objects. */
#include "store/answer.h"
#include "core/task.h"

/* ---- Which store --------------------------------------------------------------------------------------- */

typedef struct asked {
    const sl_site *site;
    const sl__table *table;
} asked;

static void check_store(sl_model *model, void *data)
{
    const asked *a = data;
    const sl_store *store = a->table->store;
    const sl_store *other = sl__table_of(a->site, store->stores, model)->store;
    if (store != other)
        sl__fail_error(
            a->site,
            sl_error_hint(sl__error_new(a->site, SL_EINVAL,
                                        "a query reads %s of the store %s and %s of the store %s",
                                        a->table->model->name, store->name, model->name, other->name),
                          "ask each store by itself, and give what one says to the other as "
                          "values: sl_in_array"));
}

void sl__nodes_in(const sl_site *site, const sl__table *table, const sl_node *const *nodes, size_t count)
{
    if (table->store->stores->first->next) /* there is another */
        for (size_t i = 0; i < count; i++)
            sl__node_models(nodes[i], check_store, &(asked){site, table});
}

sl__table *sl__selection_table(const sl_site *site, const sl_selection *selection)
{
    const sl_selection *first = selection;
    while (first->left)
        first = first->left;
    sl_stores *stores = sl__stores_here(false);
    if (!stores)
        sl__store_named(site, NULL); /* says what is missing */
    sl__table *table = sl__table_of(site, stores, first->from->model());
    if (stores->first->next)
        sl__selection_models(selection, check_store, &(asked){site, table});
    return table;
}

/* ---- The reader ---------------------------------------------------------------------------------------- */

static sl_row *lent_object(sl_model *model)
{
    sl_row *row = sl_zalloc(model->size);
    *row = (sl_row){.model = model, .state = SL__ROW_LENT};
    return row;
}

static void make_reader(const sl_site *site, sl_stores *stores, sl_model *model, bool lent,
                        sl__reader *reader)
{
    *reader = (sl__reader){.model = model, .info = sl__model_info_of(site, model)};
    if (lent)
        reader->lent = lent_object(model);
    if (!model->result) {
        reader->table = sl__table_of(site, stores, model);
        return;
    }
    reader->wholes = sl_zalloc(model->column_count * sizeof *reader->wholes);
    reader->lent_wholes = sl_zalloc(model->column_count * sizeof *reader->lent_wholes);
    for (unsigned i = 0; i < model->column_count; i++) {
        if (model->columns[i].kind != SL_KIND_ROW)
            continue;
        reader->wholes[i] = sl__table_of(site, stores, model->columns[i].refers());
        if (lent)
            reader->lent_wholes[i] = lent_object(reader->wholes[i]->model);
    }
}

/* A left join that found none gives NULL for all columns, also for the key's. */
static bool is_absent(sl__running *running, const sl__model_info *info, unsigned first)
{
    for (unsigned i = 0; i < info->read_count; i++)
        if (info->reads[i] == info->keys[0])
            return running->cursor->driver->is_null(running->cursor, first + i);
    return false;
}

static void read_whole(sl__reading *reading, unsigned column, unsigned first, sl_row *result)
{
    sl__reader *reader = &reading->reader;
    sl__table *table = reader->wholes[column];
    sl_row **member = (sl_row **)((char *)result + reader->model->columns[column].offset);
    uint64_t bit = UINT64_C(1) << column;
    if (is_absent(&reading->running, table->info, first)) {
        *member = NULL;
        *sl__nulls_of(result) |= bit;
        return;
    }
    *sl__nulls_of(result) &= ~bit;
    if (reader->lent) {
        *member = reader->lent_wholes[column];
        sl__row_lend(&reading->running, table->info, first, *member);
    } else {
        *member = sl__row_read(&reading->running, table, first);
    }
}

static void fail_reading(sl__reading *reading, sl_error *error)
{
    reading->begun = false;
    sl__run_fail(&reading->running, error);
}

static sl_row *read_result(sl__reading *reading)
{
    sl__reader *reader = &reading->reader;
    sl_row *row = reader->lent;
    if (!row) {
        row = sl_arena_zalloc(reading->session->arena, reader->model->size);
        *row = (sl_row){.model = reader->model, .state = SL__ROW_FREE};
    }
    sl__cursor *cursor = reading->running.cursor;
    unsigned first = 0;
    for (unsigned i = 0; i < reader->model->column_count; i++) {
        if (reader->wholes[i]) {
            read_whole(reading, i, first, row);
            first += reader->wholes[i]->info->read_count;
            continue;
        }
        sl_error *error =
            cursor->driver->read(cursor, first++, &reader->info->all[i], 1, row, sl__nulls_of(row),
                                 reader->lent ? NULL : reading->session->arena);
        if (error)
            fail_reading(reading, error);
    }
    if (!reader->lent && reader->info->json)
        sl__json_keep(reading->session, row, UINT64_MAX);
    return row;
}

/* ---- Reading ----------------------------------------------------------------------------------------- */

void sl__reading_begin(const sl_site *site, const sl_selection *selection, sl__what what, int64_t limit,
                       bool lent, sl__reading *reading)
{
    *reading = (sl__reading){0};
    sl_store *store = sl__selection_table(site, selection)->store;
    make_reader(site, store->stores, selection->model(), lent, &reading->reader);
    sl__compile(selection, store->dialect, what, NULL, 0, limit, &reading->statement);
    reading->statement.site = site;
    reading->statement.kept = !lent;
    reading->session = sl__session_of(site, store, /* writes= */ false);
    sl__session_settle(site, reading->session);
    reading->begun = true;
    sl_error *error = sl__run_begin(reading->session, &reading->statement, &reading->running);
    if (error)
        fail_reading(reading, error);
}

static void drop_lent(sl__reader *reader)
{
    if (!reader->lent)
        return;
    sl__json_drop(reader->lent);
    for (unsigned i = 0; reader->wholes && i < reader->model->column_count; i++)
        if (reader->lent_wholes[i])
            sl__json_drop(reader->lent_wholes[i]);
}

sl_row *sl__reading_next(sl__reading *reading)
{
    bool more = false;
    sl_error *error = sl__run_step(&reading->running, &more);
    if (__builtin_expect(error != NULL, 0))
        fail_reading(reading, error);
    if (!more)
        return NULL;
    sl__reader *reader = &reading->reader;
    drop_lent(reader);
    if (!reader->table)
        return read_result(reading);
    if (!reader->lent)
        return sl__row_read(&reading->running, reader->table, 0);
    sl__row_lend(&reading->running, reader->info, 0, reader->lent);
    return reader->lent;
}

void sl__reading_end(sl__reading *reading)
{
    if (!reading->begun)
        return;
    reading->begun = false;
    drop_lent(&reading->reader);
    sl__run_end(&reading->running);
    sl__session_leave(reading->session);
}
