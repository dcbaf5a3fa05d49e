/* statement.c: the statements that a table's objects are read and written with. They are made once, and each
 * connection prepares each once: writing an object makes no SQL. */
#include "store/store.h"

#include <stdlib.h>

typedef struct maker {
    const sl__table *table;
    sl_buffer sql;
    unsigned parameters;
} maker;

static maker begin(const sl__table *table, const char *text)
{
    maker m = {.table = table};
    sl_buffer_puts(&m.sql, text);
    return m;
}

static void put_table(maker *m)
{
    sl__put_name(&m->sql, sl__model_table(m->table->model));
}

static void put_column(maker *m, unsigned column)
{
    sl__put_name(&m->sql, m->table->model->columns[column].name);
}

static void put_parameter(maker *m)
{
    sl_buffer_printf(&m->sql, "%c%u", m->table->store->dialect == SL__SQLITE ? '?' : '$', ++m->parameters);
}

static void put_key(maker *m)
{
    const sl__model_info *info = m->table->info;
    for (unsigned i = 0; i < info->key_count; i++) {
        sl_buffer_puts(&m->sql, i ? " AND " : " WHERE ");
        put_column(m, info->keys[i]);
        sl_buffer_puts(&m->sql, " = ");
        put_parameter(m);
    }
}

static sl__statement finish(maker *m, bool writes)
{
    return (sl__statement){.sql = m->sql.data,
                           .size = (uint32_t)m->sql.size,
                           .count = m->parameters,
                           .shape = sl__shape_of(m->sql.data, m->sql.size),
                           .writes = writes,
                           .quick = true};
}

static sl__statement make_get(const sl__table *table, bool locked)
{
    maker m = begin(table, "SELECT ");
    for (unsigned i = 0; i < table->info->read_count; i++) {
        sl_buffer_puts(&m.sql, i ? ", " : "");
        put_column(&m, table->info->reads[i]);
    }
    sl_buffer_puts(&m.sql, " FROM ");
    put_table(&m);
    put_key(&m);
    if (locked && table->store->dialect == SL__POSTGRES)
        sl_buffer_puts(&m.sql, " FOR UPDATE");
    return finish(&m, locked);
}

static void put_row(maker *m, unsigned left_out)
{
    const char *before = "(";
    for (unsigned i = 0; i < m->table->model->column_count; i++)
        if (i != left_out) {
            sl_buffer_puts(&m->sql, before);
            put_parameter(m);
            before = ", ";
        }
    sl_buffer_putc(&m->sql, ')');
}

/* Of rows that nothing goes with. */
static sl__statement finish_write(maker *m)
{
    sl__statement statement = finish(m, /* writes= */ true);
    statement.table = m->table->model->index;
    return statement;
}

static sl__statement make_insert(const sl__table *table, bool keyed, unsigned rows)
{
    const sl__model_info *info = table->info;
    unsigned left_out = keyed || !info->whole_key ? SL_COLUMNS_MAX : (unsigned)info->automatic;
    maker m = begin(table, "INSERT INTO ");
    put_table(&m);
    bool any = false;
    for (unsigned i = 0; i < table->model->column_count; i++)
        if (i != left_out) {
            sl_buffer_puts(&m.sql, any ? ", " : " (");
            put_column(&m, i);
            any = true;
        }
    if (!any)
        sl_buffer_puts(&m.sql, " DEFAULT VALUES");
    for (unsigned i = 0; any && i < rows; i++) {
        sl_buffer_puts(&m.sql, i ? ", " : ") VALUES ");
        put_row(&m, left_out);
    }
    if (left_out != SL_COLUMNS_MAX && table->store->dialect == SL__POSTGRES) {
        sl_buffer_puts(&m.sql, " RETURNING ");
        put_column(&m, left_out);
    }
    return finish_write(&m);
}

const sl__statement *sl__insert_rows_statement(sl__table *table, bool keyed, unsigned rows)
{
    sl__statement **made = &table->insert_rows[keyed][__builtin_ctz(rows) - 1];
    if (!*made) {
        *made = sl_malloc(sizeof **made);
        **made = make_insert(table, keyed, rows);
    }
    return *made;
}

static sl__statement make_remove(const sl__table *table)
{
    maker m = begin(table, "DELETE FROM ");
    put_table(&m);
    put_key(&m);
    if (table->info->version >= 0) {
        sl_buffer_puts(&m.sql, " AND ");
        put_column(&m, (unsigned)table->info->version);
        sl_buffer_puts(&m.sql, " = ");
        put_parameter(&m);
    }
    return finish(&m, /* writes= */ true);
}

void sl__table_statements(sl__table *table)
{
    table->get = make_get(table, /* locked= */ false);
    table->locked = make_get(table, /* locked= */ true);
    table->insert = make_insert(table, /* keyed= */ false, /* rows= */ 1);
    table->insert_keyed = make_insert(table, /* keyed= */ true, /* rows= */ 1);
    table->remove = make_remove(table);
}

/* To another key, or to what refers to another. */
static bool moves_rows(const sl__model_info *info, uint64_t columns)
{
    bool moves = columns & info->refers;
    for (unsigned i = 0; i < info->key_count; i++)
        moves |= columns >> info->keys[i] & 1;
    return moves;
}

/* The columns in order, then the key, then the version that it must have. */
static sl__statement make_update(const sl__table *table, uint64_t columns)
{
    int version = table->info->version;
    maker m = begin(table, "UPDATE ");
    put_table(&m);
    const char *before = " SET ";
    for (unsigned i = 0; i < table->model->column_count; i++) {
        if (!(columns >> i & 1))
            continue;
        sl_buffer_puts(&m.sql, before);
        put_column(&m, i);
        sl_buffer_puts(&m.sql, " = ");
        put_parameter(&m);
        before = ", ";
    }
    if (version >= 0) {
        sl_buffer_puts(&m.sql, before);
        put_column(&m, (unsigned)version);
        sl_buffer_puts(&m.sql, " = ");
        put_column(&m, (unsigned)version);
        sl_buffer_puts(&m.sql, " + 1");
    }
    put_key(&m);
    if (version >= 0) {
        sl_buffer_puts(&m.sql, " AND ");
        put_column(&m, (unsigned)version);
        sl_buffer_puts(&m.sql, " = ");
        put_parameter(&m);
    }
    sl__statement statement = finish_write(&m);
    if (!moves_rows(table->info, columns))
        statement.table = SL__NO_TABLE;
    return statement;
}

const sl__statement *sl__update_statement(sl__table *table, uint64_t columns)
{
    unsigned i = 0;
    while (i < table->update_count && table->updates[i].columns != columns)
        i++;
    if (i == table->update_count) {
        table->updates = sl_realloc(table->updates, ++table->update_count * sizeof *table->updates);
        table->updates[i].columns = columns;
        table->updates[i].statement = sl_malloc(sizeof(sl__statement));
        *table->updates[i].statement = make_update(table, columns);
    }
    struct sl__update found = table->updates[i];
    if (i) {
        table->updates[i] = table->updates[0];
        table->updates[0] = found;
    }
    return found.statement;
}
