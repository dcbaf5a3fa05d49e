/* insert.c: new objects that are stored at once: unless they are there, in place of what is there, or by the
 * hundred. */
#include "store/answer.h"
#include "store/postgres.h"
#include "core/task.h"

#include <stdlib.h>

/* The values of a new object, in the order of its columns, but for a key that the database gives. */
static const sl_node *parameter_of(const sl_row *row, unsigned column)
{
    sl_node *node = sl_zalloc(sizeof *node);
    node->kind = SL__NODE_PARAMETER;
    node->type = row->model->columns[column].kind;
    sl__value_from_field(&row->model->info->all[column], row, *sl__nulls_of(row), &node->value);
    if (node->type == SL_KIND_DECIMAL && !node->value.null)
        sl_decimal_rescale(node->value.decimal, row->model->columns[column].scale, &node->value.decimal);
    return node;
}

static void prepare_new(const sl_site *site, sl_row *row)
{
    if (row->state != SL__ROW_NEW)
        sl__fail(site, SL_EINVAL, "%s is not new", sl__row_named(row));
    sl__model_info_of(site, row->model);
    if (row->model->before_flush)
        row->model->before_flush(row);
    sl__row_fill_links(site, row, /* last= */ true);
    sl__row_new_key(row);
    sl__row_normalise(row);
    sl_errors *errors = sl__row_check(row, UINT64_MAX);
    if (errors)
        sl__errors_fail(row->site, row, errors);
}

typedef struct upsert {
    sl_buffer sql;
    const sl_node **values;
    unsigned count;
} upsert;

static uint64_t all_columns(const sl_model *model)
{
    return model->column_count == SL_COLUMNS_MAX ? UINT64_MAX : (UINT64_C(1) << model->column_count) - 1;
}

static void put_names(upsert *u, const sl_model *model, uint64_t columns, const char *before)
{
    bool any = false;
    for (unsigned i = 0; i < model->column_count; i++)
        if (columns >> i & 1) {
            sl_buffer_puts(&u->sql, any ? ", " : before);
            sl__put_name(&u->sql, model->columns[i].name);
            any = true;
        }
}

static uint64_t read_columns(const sl__model_info *info)
{
    uint64_t columns = 0;
    for (unsigned i = 0; i < info->read_count; i++)
        columns |= UINT64_C(1) << info->reads[i];
    return columns;
}

static void put_insert(upsert *u, const sl_row *row, uint64_t columns)
{
    sl_buffer_puts(&u->sql, "INSERT INTO ");
    sl__put_name(&u->sql, sl__model_table(row->model));
    put_names(u, row->model, columns, " (");
    sl_buffer_puts(&u->sql, ") VALUES (");
    for (unsigned i = 0; i < row->model->column_count; i++)
        if (columns >> i & 1) {
            sl_buffer_puts(&u->sql, u->count ? ", ?" : "?");
            u->values[u->count++] = parameter_of(row, i);
        }
}

/* What is there gets the values of the new one, and its version is raised. */
static void put_assignments(upsert *u, const sl_model *model, uint64_t columns)
{
    const char *before = ") DO UPDATE SET ";
    for (unsigned i = 0; i < model->column_count; i++) {
        if (!(columns >> i & 1))
            continue;
        bool version = (int)i == model->info->version;
        sl_buffer_puts(&u->sql, before);
        sl__put_name(&u->sql, model->columns[i].name);
        sl_buffer_puts(&u->sql, " = ");
        sl__put_name(&u->sql, version ? sl__model_table(model) : "excluded");
        sl_buffer_putc(&u->sql, '.');
        sl__put_name(&u->sql, model->columns[i].name);
        sl_buffer_puts(&u->sql, version ? " + 1" : "");
        before = ", ";
    }
}

/* INSERT … ON CONFLICT (…) DO NOTHING or DO UPDATE SET … RETURNING what is read with an object. */
static void make_upsert(upsert *u, const sl_row *row, uint64_t unique, bool update)
{
    const sl__model_info *info = row->model->info;
    uint64_t all = all_columns(row->model), key = 0;
    for (unsigned i = 0; i < info->key_count; i++)
        key |= UINT64_C(1) << info->keys[i];
    put_insert(u, row, all & ~(sl__row_lacks_key(row) ? key : 0));
    put_names(u, row->model, unique, ") ON CONFLICT (");
    uint64_t set = all & ~unique & ~key;
    if (update) /* of nothing to set RETURNING would give nothing */
        put_assignments(u, row->model, set ? set : unique);
    else
        sl_buffer_puts(&u->sql, ") DO NOTHING");
    put_names(u, row->model, read_columns(info), " RETURNING ");
}

static void compile_upsert(const sl_site *site, const sl_session *session, const sl_row *row, uint64_t unique,
                           bool update, sl__statement *ret_statement)
{
    upsert u = {.values = sl_zalloc((row->model->column_count + 1) * sizeof(sl_node *))};
    make_upsert(&u, row, unique, update);
    const char *sql = sl_arena_strndup(sl_task_arena(), u.sql.data, u.sql.size);
    sl_buffer_done(&u.sql);
    sl__compile_raw(site, sql, u.values, session->store->dialect, ret_statement);
    ret_statement->site = site;
    ret_statement->writes = ret_statement->quick = true;
}

static uint64_t compared_by(const sl_site *site, const sl_model *model, const sl_node *const *columns)
{
    uint64_t unique = 0;
    for (; *columns; columns++) {
        const sl_node *column = *columns;
        if (column->kind != SL__NODE_COLUMN || sl__model_number(column->source->model()) != model->index)
            sl__fail_error(
                site, sl_error_hint(sl__error_new(site, SL_EINVAL,
                                                  "what a %s is compared by is no column of it", model->name),
                                    "name the columns of one of its unique indexes"));
        unique |= UINT64_C(1) << sl__column_of(column);
    }
    return unique;
}

/* The object that is stored, or NULL: there is one already. */
static sl_row *run_upsert(sl_session *session, const sl__table *table, const sl__statement *statement,
                          sl_row *row, bool update)
{
    sl__running running SL_CLEANUP(sl__run_end) = {0};
    bool more = false;
    sl_error *error = sl__run_begin(session, statement, &running);
    if (!error)
        error = sl__run_step(&running, &more);
    if (error)
        sl__run_fail(&running, error);
    if (!more)
        return NULL;
    sl_row *stored = sl__row_read_stored(&running, table, row);
    while (more && !error) /* an INSERT takes hold when it is through */
        error = sl__run_step(&running, &more);
    if (error)
        sl__run_fail(&running, error);
    sl__touch(session, stored, /* inserted= */ !update);
    return stored;
}

void *sl__add_unless(const sl_site *site, sl_row *row, bool update, const sl_node *const *columns)
{
    sl__table *table;
    sl__statement statement;
    sl_session *session = sl__session_for(site, row->model, /* writes= */ true, &table);
    uint64_t unique = compared_by(site, row->model, columns);
    sl__session_settle(site, session); /* what it is linked to is stored */
    prepare_new(site, row);
    compile_upsert(site, session, row, unique, update, &statement);
    sl_row *stored = run_upsert(session, table, &statement, row, update);
    if (!stored)
        return NULL;
    stored->site = site;
    if (!stored->position) /* it may be written to, as what sl_add gives */
        sl__row_written(session, stored);
    if (row->model->flushed)
        sl__row_tell_flushed(session, stored);
    return stored;
}

/* ---- By the thousand ----------------------------------------------------------------------------------- */

enum { ROWS_AT_ONCE = 1000 /* then others run */ };

/* Rows that leave the same to the database, many by a statement. */
static void insert_alike(const sl_site *site, sl_session *session, sl__table *table, sl_row *const *rows,
                         size_t count)
{
    unsigned left_out, size = SL__ROWS_MAX, used = 0;
    sl_value *values = sl_alloc(SL__ROWS_MAX * table->model->column_count * sizeof *values);
    const sl__statement *one = sl__insert_of(table, rows[0], &left_out);
    if (left_out < SL_COLUMNS_MAX && table->model->column_count == 1)
        size = 1; /* DEFAULT VALUES is for one row */
    for (size_t from = 0; from < count; from += size, used = 0) {
        while (size > count - from)
            size /= 2;
        sl__statement statement =
            size > 1 ? *sl__insert_rows_statement(table, left_out == SL_COLUMNS_MAX, size) : *one;
        for (size_t i = from; i < from + size; i++)
            used += sl__row_values(rows[i], UINT64_MAX, left_out, values + used);
        statement.values = values;
        statement.site = site;
        sl__run_whole(session, &statement);
    }
    sl_yield();
}

/* How many of the first leave the same to the database. */
static size_t alike(const sl__table *table, sl_row *const *rows, size_t count)
{
    unsigned first, other;
    size_t some = 1;
    sl__insert_of(table, rows[0], &first);
    while (some < count && some < ROWS_AT_ONCE && (sl__insert_of(table, rows[some], &other), other == first))
        some++;
    return some;
}

static void copy_some(const sl_site *site, sl_session *session, const sl__table *table, sl_row *const *rows,
                      size_t count)
{
    unsigned left_out, width = 0;
    const sl_model *model = table->model;
    sl__insert_of(table, rows[0], &left_out);
    uint64_t columns = all_columns(model) & ~(left_out < SL_COLUMNS_MAX ? UINT64_C(1) << left_out : 0);
    sl_value *values = sl_alloc(count * model->column_count * sizeof *values);
    for (size_t i = 0; i < count; i++)
        width = sl__row_values(rows[i], columns, left_out, values + i * width);
    upsert u = {0};
    sl_buffer_puts(&u.sql, "COPY ");
    sl__put_name(&u.sql, sl__model_table(model));
    put_names(&u, model, columns, " (");
    sl_buffer_puts(&u.sql, ") FROM STDIN");
    const char *sql = sl_arena_strndup(sl_task_arena(), u.sql.data, u.sql.size);
    size_t size = u.sql.size;
    sl_buffer_done(&u.sql);
    int64_t stored;
    sl__session_connect(site, session);
    sl__session_claim(session);
    sl_error *error = sl__postgres_copy(session->connection, sql, size, values, width, count, &stored);
    error = sl__session_unclaim(site, session, error);
    if (error)
        sl__session_fail(site, session, error);
}

void sl__add_many(const sl_site *site, sl_model *model, sl_row *const *rows, size_t count)
{
    sl__table *table;
    sl_session *session = sl__session_for(site, model, /* writes= */ true, &table);
    sl__session_settle(site, session);
    for (size_t i = 0; i < count; i++)
        if (!rows[i])
            sl__fail(site, SL_EINVAL, "sl_add_many: number %zu of the %zu objects is NULL", i + 1, count);
    for (size_t i = 0; i < count; i++)
        prepare_new(site, rows[i]);
    for (size_t from = 0, some; from < count; from += some)
        SL_SCRATCH()
        {
            some = alike(table, rows + from, count - from);
            if (session->store->dialect == SL__POSTGRES)
                copy_some(site, session, table, rows + from, some);
            else
                insert_alike(site, session, table, rows + from, some);
        }
    for (size_t i = 0; i < count; i++)
        rows[i]->state = SL__ROW_FREE;
}
