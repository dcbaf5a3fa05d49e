/* schema_want.c: the tables that models want, as SQL.
 *
 * Names of constraints and indexes follow from those of table and columns, as PostgreSQL would choose them,
 * so that they are found again. SQLite's tables are STRICT: a value of another type is refused and not kept
 * as it is. */
#include "store/schema.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

void sl__put_string(sl_buffer *out, const char *text)
{
    sl_buffer_putc(out, '\'');
    for (; *text; text++) {
        if (*text == '\'')
            sl_buffer_putc(out, '\'');
        sl_buffer_putc(out, *text);
    }
    sl_buffer_putc(out, '\'');
}

void sl__put_columns(sl_buffer *out, const sl_model *model, const unsigned *columns, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        sl_buffer_puts(out, i ? ", " : "");
        sl__put_name(out, model->columns[columns[i]].name);
    }
}

/* ---- Defaults ---- */

static void put_bytes(sl_buffer *out, sl__dialect dialect, const void *data, size_t size)
{
    sl_buffer_puts(out, dialect == SL__SQLITE ? "x'" : "'\\x");
    for (size_t i = 0; i < size; i++)
        sl_buffer_printf(out, "%02x", ((const uint8_t *)data)[i]);
    sl_buffer_putc(out, '\'');
}

/* By jansson, which writes numbers without the locale. */
static void put_json(sl_buffer *out, json_t *json, bool quoted)
{
    char *text = json_dumps(json, JSON_ENCODE_ANY | JSON_COMPACT | JSON_REAL_PRECISION(17));
    if (quoted)
        sl__put_string(out, text ? text : "null");
    else
        sl_buffer_puts(out, text ? text : "NULL");
    free(text);
}

static void put_real(sl_buffer *out, double real)
{
    json_t *json = json_real(real);
    put_json(out, json, /* quoted= */ false);
    json_decref(json);
}

static void put_literal(sl_buffer *out, sl__dialect dialect, const sl_value *value, sl_kind kind)
{
    char text[SL_UUID_SIZE]; /* the longest */
    bool sqlite = dialect == SL__SQLITE;
    switch (kind) {
    case SL_KIND_INTEGER:
        sl_buffer_printf(out, "%lld", (long long)value->integer);
        break;
    case SL_KIND_REAL:
        put_real(out, value->real);
        break;
    case SL_KIND_TEXT:
    case SL_KIND_ENUM: /* whose value is its text */
        sl__put_string(out, value->text.data);
        break;
    case SL_KIND_BYTES:
        put_bytes(out, dialect, value->text.data, value->text.size);
        break;
    case SL_KIND_BOOLEAN:
        sl_buffer_puts(out, sqlite ? (value->boolean ? "1" : "0") : (value->boolean ? "true" : "false"));
        break;
    case SL_KIND_TIME:
        if (sqlite)
            sl_buffer_printf(out, "%lld", (long long)value->integer);
        else
            sl__put_string(out, sl_time_text(value->integer, text));
        break;
    case SL_KIND_DATE:
        sl__put_string(out, sl_date_text(value->date, text));
        break;
    case SL_KIND_DECIMAL:
        if (sqlite)
            sl_buffer_printf(out, "%lld", (long long)value->decimal.units);
        else
            sl_buffer_puts(out, sl_decimal_text(value->decimal, text));
        break;
    case SL_KIND_UUID:
        if (sqlite)
            put_bytes(out, dialect, value->uuid.bytes, sizeof(value->uuid.bytes));
        else
            sl__put_string(out, sl_uuid_text(value->uuid, text));
        break;
    case SL_KIND_JSON:
        put_json(out, value->json, /* quoted= */ true);
        break;
    case SL_KIND_ROW:
    case SL_KIND_LIST:
        break;
    }
}

/* In UTC. SQLite's clock has milliseconds: %f is SS.SSS. */
static const char *now_of(sl__dialect dialect, sl_kind kind)
{
    if (dialect == SL__POSTGRES)
        return kind == SL_KIND_DATE ? "((now() AT TIME ZONE 'UTC')::date)" : "now()";
    return kind == SL_KIND_DATE ? "(date('now'))"
                                : "(CAST(strftime('%s', 'now') AS INTEGER) * 1000000 + "
                                  "CAST(substr(strftime('%f', 'now'), 4) AS INTEGER) * 1000)";
}

static void put_default(sl_buffer *out, sl__dialect dialect, const sl__wanted *wanted, unsigned column)
{
    const sl__model_info *info = wanted->info;
    sl_kind kind = wanted->model->columns[column].kind;
    if (!(info->standards >> column & 1))
        return;
    sl_buffer_puts(out, " DEFAULT ");
    if (info->nows >> column & 1) {
        sl_buffer_puts(out, now_of(dialect, kind));
        return;
    }
    sl_value value;
    sl__value_from_field(&info->all[column], info->blank, /* nulls= */ 0, &value);
    put_literal(out, dialect, &value, kind);
}

/* ---- Columns ---- */

bool sl__has_check(sl__dialect dialect, const sl_column *column)
{
    bool sized = column->max && (column->kind == SL_KIND_TEXT || column->kind == SL_KIND_BYTES);
    return sized || column->kind == SL_KIND_ENUM ||
           (column->kind == SL_KIND_BOOLEAN && dialect == SL__SQLITE);
}

const char *sl__check_name(const sl__wanted *wanted, unsigned column)
{
    return sl_printf("%s_%s_check", sl__model_table(wanted->model), wanted->model->columns[column].name);
}

/* CONSTRAINT "person_name_check" CHECK (…) */
void sl__put_check(sl_buffer *out, sl__dialect dialect, const sl__wanted *wanted, unsigned column)
{
    const sl_column *it = &wanted->model->columns[column];
    sl_buffer_puts(out, "CONSTRAINT ");
    sl__put_name(out, sl__check_name(wanted, column));
    sl_buffer_puts(out, " CHECK (");
    if (it->kind == SL_KIND_TEXT || it->kind == SL_KIND_BYTES) {
        sl_buffer_puts(out,
                       it->kind == SL_KIND_BYTES && dialect == SL__POSTGRES ? "octet_length(" : "length(");
        sl__put_name(out, it->name);
        sl_buffer_printf(out, ") <= %zu)", it->max);
        return;
    }
    sl__put_name(out, it->name);
    sl_buffer_puts(out, " IN (");
    for (size_t i = 0; it->names && i < it->names->count; i++) {
        sl_buffer_puts(out, i ? ", " : "");
        sl__put_string(out, it->names->names[i]);
    }
    sl_buffer_puts(out, it->names ? "))" : "0, 1))");
}

void sl__put_reference(sl_buffer *out, const sl__wanted *wanted, unsigned column)
{
    const sl_column *it = &wanted->model->columns[column];
    sl_model *target = it->refers();
    const sl__model_info *info = sl__model_info_of(SL_HERE, target);
    sl_buffer_puts(out, "REFERENCES ");
    sl__put_name(out, sl__model_table(target));
    sl_buffer_puts(out, " (");
    sl__put_columns(out, target, info->keys, info->key_count);
    sl_buffer_puts(out, ")");
    if (it->on_delete == SL_CASCADE)
        sl_buffer_puts(out, " ON DELETE CASCADE");
    else if (it->on_delete == SL_SET_NULL)
        sl_buffer_puts(out, " ON DELETE SET NULL");
}

static bool is_own_key(const sl__wanted *wanted, unsigned column)
{
    return wanted->info->key_count == 1 && wanted->info->keys[0] == column;
}

static const char *key_words(sl__dialect dialect, const sl__wanted *wanted)
{
    if (!wanted->info->whole_key)
        return " PRIMARY KEY";
    /* A number is never given twice: who holds an old one must not meet another row. */
    return dialect == SL__SQLITE ? " PRIMARY KEY AUTOINCREMENT"
                                 : " GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY";
}

bool sl__default_is_late(sl__dialect dialect, const sl__wanted *wanted, unsigned column)
{
    bool standard = wanted->info->standards >> column & 1, now = wanted->info->nows >> column & 1;
    return dialect == SL__SQLITE && (now || (standard && wanted->references >> column & 1));
}

static void put_column(sl_buffer *out, sl__dialect dialect, const sl__wanted *wanted, unsigned column,
                       bool key, bool standard)
{
    const sl_column *it = &wanted->model->columns[column];
    bool own_key = key && is_own_key(wanted, column);
    sl__put_name(out, it->name);
    sl_buffer_printf(out, " %s", sl__sql_type(dialect, it));
    if (wanted->info->required >> column & 1 && !(own_key && wanted->info->whole_key))
        sl_buffer_puts(out, " NOT NULL");
    if (own_key)
        sl_buffer_puts(out, key_words(dialect, wanted));
    if (standard)
        put_default(out, dialect, wanted, column);
    if (it->unique && key && !own_key)
        sl_buffer_puts(out, " UNIQUE");
    if (sl__has_check(dialect, it)) {
        sl_buffer_putc(out, ' ');
        sl__put_check(out, dialect, wanted, column);
    }
    /* SQLite looks for the other table when a row is written, and not before. */
    uint64_t references = dialect == SL__SQLITE ? wanted->references : wanted->references & ~wanted->late;
    if (references >> column & 1) {
        sl_buffer_putc(out, ' ');
        sl__put_reference(out, wanted, column);
    }
}

void sl__put_column(sl_buffer *out, sl__dialect dialect, const sl__wanted *wanted, unsigned column, bool key)
{
    put_column(out, dialect, wanted, column, key, /* standard= */ true);
}

void sl__put_added_column(sl_buffer *out, sl__dialect dialect, const sl__wanted *wanted, unsigned column)
{
    put_column(out, dialect, wanted, column, /* key= */ false, !sl__default_is_late(dialect, wanted, column));
}

/* ---- Tables ---- */

void sl__put_create_index(sl_buffer *out, const sl__wanted *wanted, const sl__wanted_index *index)
{
    sl_buffer_puts(out, index->unique ? "CREATE UNIQUE INDEX " : "CREATE INDEX ");
    sl__put_name(out, index->name);
    sl_buffer_puts(out, " ON ");
    sl__put_name(out, sl__model_table(wanted->model));
    sl_buffer_puts(out, " (");
    sl__put_columns(out, wanted->model, index->columns, index->count);
    sl_buffer_puts(out, ");\n");
}

void sl__put_late(sl_buffer *out, const sl__wanted *wanted, unsigned column)
{
    const char *name = wanted->model->columns[column].name;
    sl_buffer_puts(out, "ALTER TABLE ");
    sl__put_name(out, sl__model_table(wanted->model));
    sl_buffer_puts(out, " ADD CONSTRAINT ");
    sl__put_name(out, sl_printf("%s_%s_fkey", sl__model_table(wanted->model), name));
    sl_buffer_puts(out, " FOREIGN KEY (");
    sl__put_name(out, name);
    sl_buffer_puts(out, ") ");
    sl__put_reference(out, wanted, column);
    sl_buffer_puts(out, ";\n");
}

void sl__put_create_table(sl_buffer *out, sl__dialect dialect, const sl_site *site, const sl__wanted *wanted)
{
    const sl_model *model = wanted->model;
    const sl__wanted_indexes *indexes = sl__wanted_indexes_of(site, wanted);
    sl_buffer_puts(out, "CREATE TABLE ");
    sl__put_name(out, sl__model_table(model));
    sl_buffer_puts(out, " (\n");
    for (unsigned i = 0; i < model->column_count; i++) {
        sl_buffer_puts(out, i ? ",\n    " : "    ");
        sl__put_column(out, dialect, wanted, i, /* key= */ true);
    }
    if (wanted->info->key_count > 1) {
        sl_buffer_puts(out, ",\n    PRIMARY KEY (");
        sl__put_columns(out, model, wanted->info->keys, wanted->info->key_count);
        sl_buffer_puts(out, ")");
    }
    sl_buffer_puts(out, dialect == SL__SQLITE ? "\n) STRICT;\n" : "\n);\n");
    for (unsigned i = 0; i < indexes->count; i++)
        if (!indexes->items[i].inside)
            sl__put_create_index(out, wanted, &indexes->items[i]);
}

const char *sl__wanted_sql(const sl_site *site, const sl_store *store)
{
    sl__wanted_list list = sl__wanted_of(site, store);
    sl_buffer out SL_CLEANUP(sl_buffer_done) = {0};
    for (size_t i = 0; i < list.count; i++) {
        sl_buffer_puts(&out, i ? "\n" : "");
        sl__put_create_table(&out, store->dialect, site, &list.items[i]);
    }
    for (size_t i = 0; i < list.count && store->dialect == SL__POSTGRES; i++)
        for (unsigned column = 0; column < list.items[i].model->column_count; column++)
            if (list.items[i].late >> column & 1)
                sl__put_late(&out, &list.items[i], column);
    return sl_arena_strndup(sl_task_arena(), out.data ? out.data : "", out.size);
}
