/* schema_diff.c: how a table of the database differs from what its model wants.
 *
 * What counts is whether the model works with it: a type of another name that keeps the same values is no
 * difference, nor is an index more, a column more that may be left out, or a default. Each difference is a
 * line for people, and SQL that mends it; where that could lose something, or the database cannot, a comment
 * says what to do. */
#include "store/schema.h"

#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

typedef struct differ {
    const sl_site *site;
    sl__dialect dialect;
    const sl__wanted *wanted;
    const char *table;
    const sl__seen *seen;
    sl__differences *list;
    sl_buffer sql; /* of the difference at hand */
    bool rebuild;  /* SQLite: something cannot be changed in place */
} differ;

/* ---- Differences ---- */

static void add_line(sl__differences *list, const char *line, const char *sql)
{
    if (list->count == list->room) {
        list->room = list->room ? 2 * list->room : 16;
        sl__difference *more = sl_alloc(list->room * sizeof(*more));
        if (list->count)
            memcpy(more, list->items, list->count * sizeof(*more));
        list->items = more;
    }
    list->items[list->count++] = (sl__difference){.line = line, .sql = sql};
}

/* With the SQL that was put together for it. */
static SL_PRINTF(2, 3) void add(differ *d, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    char *line = sl_arena_vprintf(sl_task_arena(), format, arguments);
    va_end(arguments);
    add_line(d->list, sl_printf("table %s: %s", d->table, line),
             sl_arena_strndup(sl_task_arena(), d->sql.data ? d->sql.data : "", d->sql.size));
    d->sql.size = 0;
}

static void put_alter(differ *d)
{
    sl_buffer_puts(&d->sql, "ALTER TABLE ");
    sl__put_name(&d->sql, d->table);
}

/* ALTER TABLE "person" ALTER COLUMN "name" */
static void put_alter_column(differ *d, const char *column)
{
    put_alter(d);
    sl_buffer_puts(&d->sql, " ALTER COLUMN ");
    sl__put_name(&d->sql, column);
}

/* ---- Finding ---- */

static bool same_name(const differ *d, const char *a, const char *b)
{
    return d->dialect == SL__SQLITE ? strcasecmp(a, b) == 0 : strcmp(a, b) == 0;
}

static const sl__seen_column *find_column(const differ *d, const char *name)
{
    for (size_t i = 0; i < d->seen->column_count; i++)
        if (same_name(d, d->seen->columns[i].name, name))
            return &d->seen->columns[i];
    return NULL;
}

static bool has_column(const differ *d, const char *name)
{
    const sl_model *model = d->wanted->model;
    for (unsigned i = 0; i < model->column_count; i++)
        if (same_name(d, model->columns[i].name, name))
            return true;
    return false;
}

/* ---- Columns ---- */

static void differ_type(differ *d, const sl_column *column, const sl__seen_column *seen)
{
    const char *type = sl__sql_type(d->dialect, column);
    if (sl__type_fits(d->dialect, seen->type, column))
        return;
    if (d->dialect == SL__SQLITE) {
        d->rebuild = true;
    } else {
        bool widens = sl__type_widens(seen->type, column);
        if (!widens)
            sl_buffer_puts(&d->sql, "-- see first that each value there is can be converted:\n-- ");
        if (!widens && seen->given && !seen->key && !seen->computed) { /* it may not convert */
            put_alter_column(d, seen->name);
            sl_buffer_puts(&d->sql, " DROP DEFAULT;\n-- ");
        }
        put_alter_column(d, seen->name);
        sl_buffer_printf(&d->sql, " TYPE %s USING ", type);
        sl__put_name(&d->sql, seen->name);
        sl_buffer_printf(&d->sql, "::%s;\n", type);
    }
    add(d, "column %s is %s and should be %s", seen->name, *seen->type ? seen->type : "of no type", type);
}

/* What ALTER TABLE ADD COLUMN can do: the rows that are there must get a value. */
static bool can_be_added(const differ *d, unsigned i)
{
    const sl__model_info *info = d->wanted->info;
    bool required = info->required >> i & 1, standard = info->standards >> i & 1;
    if (d->wanted->model->columns[i].primary_key)
        return false;
    return !required || (standard && !sl__default_is_late(d->dialect, d->wanted, i));
}

/* Whether a column is missing and people must say what the rows that are there get: what is to stand on it
 * waits for that. */
static bool is_awaited(const differ *d, unsigned i)
{
    return d->seen->there && !find_column(d, d->wanted->model->columns[i].name) && !can_be_added(d, i);
}

static void put_added(differ *d, unsigned i)
{
    put_alter(d);
    sl_buffer_puts(&d->sql, " ADD COLUMN ");
    sl__put_added_column(&d->sql, d->dialect, d->wanted, i);
    sl_buffer_puts(&d->sql, ";\n");
}

/* "person" SET "name" = … */
static void put_update(differ *d, const char *column)
{
    sl__put_name(&d->sql, d->table);
    sl_buffer_puts(&d->sql, " SET ");
    sl__put_name(&d->sql, column);
    sl_buffer_puts(&d->sql, " = …");
}

static void differ_missing(differ *d, unsigned i)
{
    const sl_column *column = &d->wanted->model->columns[i];
    if (can_be_added(d, i)) {
        put_added(d, i);
    } else if (d->dialect == SL__SQLITE) {
        d->rebuild = true;
    } else {
        sl_buffer_puts(&d->sql, "-- the rows that are there need a value, in place of …:\n-- ");
        put_alter(d);
        sl_buffer_puts(&d->sql, " ADD COLUMN ");
        sl__put_name(&d->sql, column->name);
        sl_buffer_printf(&d->sql, " %s;\n-- UPDATE ", sl__sql_type(d->dialect, column));
        put_update(d, column->name);
        sl_buffer_puts(&d->sql, ";\n-- ");
        put_alter_column(d, column->name);
        sl_buffer_puts(&d->sql, " SET NOT NULL;\n");
    }
    add(d, "column %s is missing", column->name);
}

static void differ_required(differ *d, unsigned i, const sl__seen_column *seen)
{
    bool required = d->wanted->info->required >> i & 1;
    if (seen->key || seen->required == required)
        return;
    if (d->dialect == SL__SQLITE) {
        d->rebuild = true;
    } else {
        if (required) {
            sl_buffer_puts(&d->sql, "-- where rows have none: UPDATE ");
            put_update(d, seen->name);
            sl_buffer_puts(&d->sql, " WHERE ");
            sl__put_name(&d->sql, seen->name);
            sl_buffer_puts(&d->sql, " IS NULL;\n");
        }
        put_alter_column(d, seen->name);
        sl_buffer_puts(&d->sql, required ? " SET NOT NULL;\n" : " DROP NOT NULL;\n");
    }
    add(d, required ? "column %s may be NULL and should not" : "column %s may not be NULL and should",
        seen->name);
}

/* From behind the numbers that are there. */
static void put_numbering(differ *d, const sl__seen_column *seen)
{
    sl_buffer table SL_CLEANUP(sl_buffer_done) = {0};
    sl__put_name(&table, d->table);
    if (!seen->required) {
        put_alter_column(d, seen->name);
        sl_buffer_puts(&d->sql, " SET NOT NULL;\n");
    }
    put_alter_column(d, seen->name);
    sl_buffer_puts(&d->sql, " ADD GENERATED BY DEFAULT AS IDENTITY;\nSELECT setval(pg_get_serial_sequence(");
    sl__put_string(&d->sql, table.data);
    sl_buffer_puts(&d->sql, ", ");
    sl__put_string(&d->sql, seen->name);
    sl_buffer_puts(&d->sql, "), coalesce(max(");
    sl__put_name(&d->sql, seen->name);
    sl_buffer_printf(&d->sql, "), 0) + 1, false) FROM %s;\n", table.data);
}

/* The key that the database is to number. */
static void differ_automatic(differ *d, const sl__seen_column *seen)
{
    if (d->dialect == SL__POSTGRES && !seen->given) {
        put_numbering(d, seen);
        add(d, "column %s is not numbered by the database", seen->name);
    } else if (d->dialect == SL__SQLITE && strcasecmp(seen->type, "INTEGER") != 0 &&
               sl__type_fits(d->dialect, seen->type, &d->wanted->model->columns[d->wanted->info->keys[0]])) {
        d->rebuild = true;
        add(d, "column %s is %s PRIMARY KEY, which SQLite does not number: it should be INTEGER", seen->name,
            seen->type);
    }
}

/* What the model does not know, and an INSERT would have to name. */
static void differ_unknown(differ *d, const sl__seen_column *seen)
{
    if (has_column(d, seen->name) || !seen->required || seen->given)
        return;
    if (d->dialect == SL__POSTGRES) {
        put_alter_column(d, seen->name);
        sl_buffer_puts(&d->sql, " DROP NOT NULL;\n-- or give the model the column");
    } else {
        sl_buffer_puts(&d->sql, "-- give the model the column");
    }
    sl_buffer_puts(&d->sql, ", or lose what is in it:\n-- ");
    put_alter(d);
    sl_buffer_puts(&d->sql, " DROP COLUMN ");
    sl__put_name(&d->sql, seen->name);
    sl_buffer_puts(&d->sql, ";\n");
    add(d, "column %s is none of the model's, may not be NULL and has no default, so no row can be added",
        seen->name);
}

/* What the database writes itself cannot be written. */
static void differ_computed(differ *d, const sl__seen_column *seen)
{
    if (!seen->computed && !seen->numbered)
        return;
    if (d->dialect == SL__SQLITE) {
        d->rebuild = true;
    } else {
        put_alter_column(d, seen->name);
        sl_buffer_puts(&d->sql, seen->numbered ? " SET GENERATED BY DEFAULT;\n" : " DROP EXPRESSION;\n");
    }
    add(d, "column %s is always %s by the database, and cannot be written", seen->name,
        seen->numbered ? "numbered" : "computed");
}

static void differ_columns(differ *d)
{
    const sl_model *model = d->wanted->model;
    for (unsigned i = 0; i < model->column_count; i++) {
        const sl__seen_column *seen = find_column(d, model->columns[i].name);
        if (!seen) {
            differ_missing(d, i);
            continue;
        }
        if (d->seen->view)
            continue;
        differ_type(d, &model->columns[i], seen);
        differ_required(d, i, seen);
        differ_computed(d, seen);
        if (d->wanted->info->whole_key && model->columns[i].primary_key)
            differ_automatic(d, seen);
    }
    for (size_t i = 0; i < d->seen->column_count && !d->seen->view; i++)
        differ_unknown(d, &d->seen->columns[i]);
}

/* ---- Keys and indexes ---- */

static void differ_key(differ *d)
{
    const sl__model_info *info = d->wanted->info;
    const sl_model *model = d->wanted->model;
    unsigned count = 0;
    for (size_t i = 0; i < d->seen->column_count; i++)
        count += d->seen->columns[i].key > 0;
    bool same = count == info->key_count;
    for (unsigned i = 0; i < info->key_count; i++) {
        const sl__seen_column *seen = find_column(d, model->columns[info->keys[i]].name);
        if (!seen)
            return; /* that is told already */
        same &= seen->key > 0;
    }
    if (same)
        return;
    if (d->dialect == SL__SQLITE) {
        d->rebuild = true;
    } else {
        if (count)
            sl_buffer_puts(
                &d->sql,
                "-- the primary key that is there is to be dropped first, with what refers to it\n-- ");
        put_alter(d);
        sl_buffer_puts(&d->sql, " ADD PRIMARY KEY (");
        sl__put_columns(&d->sql, model, info->keys, info->key_count);
        sl_buffer_puts(&d->sql, ");\n");
    }
    sl_buffer names SL_CLEANUP(sl_buffer_done) = {0};
    sl__put_columns(&names, model, info->keys, info->key_count);
    add(d, "the primary key should be (%s)", names.data);
}

static bool names_column(const differ *d, const sl__seen_index *seen, unsigned column)
{
    for (unsigned i = 0; i < seen->count; i++)
        if (same_name(d, seen->columns[i], d->wanted->model->columns[column].name))
            return true;
    return false;
}

/* An index serves where its first columns are those wanted; a unique one must have them all, in whatever
 * order. */
static bool serves(const differ *d, const sl__seen_index *seen, const sl__wanted_index *index)
{
    if (seen->partial || seen->count < index->count ||
        (index->unique && (!seen->unique || seen->count != index->count)))
        return false;
    for (unsigned i = 0; i < index->count; i++) {
        const char *name = d->wanted->model->columns[index->columns[i]].name;
        bool there =
            index->unique ? names_column(d, seen, index->columns[i]) : same_name(d, seen->columns[i], name);
        if (!there)
            return false;
    }
    return true;
}

/* The primary key is an index too, which SQLite does not list where it is the row's number. */
static bool key_serves(const differ *d, const sl__wanted_index *index)
{
    sl__seen_index key = {.unique = true};
    for (unsigned place = 1; place <= d->seen->column_count; place++)
        for (size_t i = 0; i < d->seen->column_count && key.count < SL_COLUMNS_MAX; i++)
            if (d->seen->columns[i].key == place)
                key.columns[key.count++] = d->seen->columns[i].name;
    return serves(d, &key, index);
}

static bool is_served(const differ *d, const sl__wanted_index *index)
{
    for (size_t i = 0; i < d->seen->index_count; i++)
        if (serves(d, &d->seen->indexes[i], index))
            return true;
    return key_serves(d, index);
}

/* Whether the table has another index of the name. */
static bool is_named(const differ *d, const sl__wanted_index *index)
{
    for (size_t i = 0; i < d->seen->index_count; i++)
        if (same_name(d, d->seen->indexes[i].name, index->name))
            return true;
    return false;
}

static void put_index(differ *d, const sl__wanted_index *index)
{
    bool waits = false;
    for (unsigned i = 0; i < index->count; i++)
        waits |= is_awaited(d, index->columns[i]);
    if (waits && d->dialect == SL__SQLITE)
        return; /* it is made with the table, anew */
    const char *then = waits ? "-- then: " : "";
    if (is_named(d, index)) { /* it holds nothing but what the table has */
        sl_buffer_printf(&d->sql, "%sDROP INDEX ", then);
        sl__put_name(&d->sql, index->name);
        sl_buffer_puts(&d->sql, ";\n");
    }
    sl_buffer_puts(&d->sql, then);
    sl__put_create_index(&d->sql, d->wanted, index);
}

static void differ_indexes(differ *d)
{
    const sl__wanted_indexes *indexes = sl__wanted_indexes_of(d->site, d->wanted);
    for (unsigned i = 0; i < indexes->count; i++) {
        const sl__wanted_index *index = &indexes->items[i];
        if (is_served(d, index))
            continue;
        put_index(d, index);
        sl_buffer names SL_CLEANUP(sl_buffer_done) = {0};
        for (unsigned k = 0; k < index->count; k++)
            sl_buffer_printf(&names, "%s%s", k ? ", " : "",
                             d->wanted->model->columns[index->columns[k]].name);
        add(d, "there is no %s over %s", index->unique ? "unique index" : "index", names.data);
    }
}

/* ---- References ---- */

static sl__seen_delete wanted_delete(const sl_column *column)
{
    return column->on_delete == SL_CASCADE    ? SL__DELETE_CASCADE
           : column->on_delete == SL_SET_NULL ? SL__DELETE_SET_NULL
                                              : SL__DELETE_RESTRICT;
}

static const sl__seen_reference *find_reference(const differ *d, const sl_column *column)
{
    sl_model *target = column->refers();
    const char *table = sl__model_table(target);
    const char *key = target->columns[sl__model_info_of(d->site, target)->keys[0]].name;
    for (size_t i = 0; i < d->seen->reference_count; i++) {
        const sl__seen_reference *seen = &d->seen->references[i];
        if (seen->count == 1 && same_name(d, seen->column, column->name) &&
            same_name(d, seen->table, table) && (!seen->to || same_name(d, seen->to, key)))
            return seen;
    }
    return NULL;
}

/* What a column refers to otherwise, whose name the wanted reference may have. */
static void drop_references(differ *d, const char *column)
{
    for (size_t i = 0; i < d->seen->reference_count; i++) {
        const sl__seen_reference *seen = &d->seen->references[i];
        if (seen->count != 1 || !same_name(d, seen->column, column))
            continue;
        put_alter(d);
        sl_buffer_puts(&d->sql, " DROP CONSTRAINT ");
        sl__put_name(&d->sql, seen->name);
        sl_buffer_puts(&d->sql, ";\n");
    }
}

static void differ_reference(differ *d, unsigned i)
{
    static const char *const words[] = {"is refused", "deletes what refers to it too", "sets it to NULL",
                                        "sets it to its default"};
    const sl_column *column = &d->wanted->model->columns[i];
    const sl__seen_reference *seen = find_reference(d, column);
    if (!find_column(d, column->name) || (seen && seen->on_delete == wanted_delete(column)))
        return;
    if (d->dialect == SL__SQLITE) {
        d->rebuild = true;
    } else {
        drop_references(d, column->name);
        sl__put_late(&d->sql, d->wanted, i);
    }
    if (seen)
        add(d, "column %s: deleting what it refers to %s, and should be so that it %s", column->name,
            words[seen->on_delete], words[wanted_delete(column)]);
    else
        add(d, "column %s does not refer to %s", column->name, sl__model_table(column->refers()));
}

/* ---- Checks ---- */

static void add_check(differ *d, unsigned i, const sl__seen_check *seen, const char *what)
{
    const sl_column *column = &d->wanted->model->columns[i];
    if (d->dialect == SL__SQLITE) {
        d->rebuild = true;
    } else {
        put_alter(d);
        sl_buffer_puts(&d->sql, " DROP CONSTRAINT ");
        sl__put_name(&d->sql, seen->name);
        sl_buffer_puts(&d->sql, ";\n");
        put_alter(d);
        sl_buffer_puts(&d->sql, " ADD ");
        sl__put_check(&d->sql, d->dialect, d->wanted, i);
        sl_buffer_puts(&d->sql, ";\n");
    }
    add(d, "column %s: its CHECK refuses %s", column->name, what);
}

/* Only what is stricter than the model counts: the model checks what it writes itself. */
static void differ_check(differ *d, unsigned i, const sl__seen_check *seen)
{
    const sl_column *column = &d->wanted->model->columns[i];
    long most = column->max ? sl__check_most(d->dialect, seen->sql) : -1;
    if (most >= 0 && (size_t)most < column->max)
        add_check(d, i, seen, sl_printf("more than %ld", most));
    for (size_t k = 0; column->kind == SL_KIND_ENUM && k < column->names->count; k++) {
        bool any = false;
        if (!sl__check_allows(d->dialect, seen->sql, column->names->names[k], &any) && any) {
            add_check(d, i, seen, sl_printf("\"%s\"", column->names->names[k]));
            return;
        }
    }
}

static void differ_checks(differ *d)
{
    const sl_model *model = d->wanted->model;
    for (unsigned i = 0; i < model->column_count; i++)
        for (size_t k = 0; k < d->seen->check_count && sl__has_check(d->dialect, &model->columns[i]); k++)
            if (sl__check_is_about(d->dialect, d->seen->checks[k].sql, model->columns[i].name))
                differ_check(d, i, &d->seen->checks[k]);
}

/* ---- The whole ---- */

/* Behind the CREATE TABLE that the text begins with: there its indexes follow. */
static const char *end_of_table(const char *sql)
{
    sl__sql_reader reader = sl__sql_read(SL__SQLITE, sl_view_of(sql));
    sl__sql_token token;
    do
        token = sl__sql_next(&reader);
    while (token.kind != SL__SQL_END && *token.text.data != ';');
    return token.kind == SL__SQL_END ? sql + strlen(sql) : token.text.data + strspn(token.text.data, ";\n");
}

static void put_commented(sl_buffer *out, const char *sql)
{
    for (size_t size; *sql; sql += size + (sql[size] == '\n')) {
        size = strcspn(sql, "\n");
        sl_buffer_printf(out, "--   %.*s\n", (int)size, sql);
    }
}

/* How SQLite changes what ALTER TABLE cannot: once for a table, whatever is to be changed. */
static void say_rebuild(differ *d)
{
    sl_buffer sql SL_CLEANUP(sl_buffer_done) = {0}, into SL_CLEANUP(sl_buffer_done) = {0},
                  from SL_CLEANUP(sl_buffer_done) = {0};
    const sl_model *model = d->wanted->model;
    bool lacking = false; /* values that the rows that are there have not, and must have */
    for (unsigned i = 0; i < model->column_count; i++) {
        bool there = find_column(d, model->columns[i].name);
        if (!there && can_be_added(d, i))
            continue;
        lacking |= !there;
        sl_buffer_puts(&into, into.size ? ", " : "");
        sl_buffer_puts(&from, from.size ? ", " : "");
        sl__put_name(&into, model->columns[i].name);
        if (there)
            sl__put_name(&from, model->columns[i].name);
        else
            sl_buffer_puts(&from, "…");
    }
    sl_buffer_puts(
        &sql,
        "-- SQLite cannot change that in place. Make the table anew in a patch, in this order, with its "
        "triggers and what else is not\n-- the model's:\n");
    sl_buffer create SL_CLEANUP(sl_buffer_done) = {0};
    sl__put_create_table(&create, d->dialect, d->site, d->wanted);
    const char *indexes = end_of_table(create.data);
    put_commented(&sql, sl_printf("CREATE TABLE \"%s_new\" %.*s", d->table,
                                  (int)(indexes - strchr(create.data, '(')), strchr(create.data, '(')));
    sl_buffer_printf(&sql,
                     "--   INSERT INTO \"%s_new\" (%s) SELECT %s FROM \"%s\";%s\n"
                     "--   DROP TABLE \"%s\";\n"
                     "--   ALTER TABLE \"%s_new\" RENAME TO \"%s\";\n",
                     d->table, into.data ? into.data : "", from.data ? from.data : "", d->table,
                     lacking ? " with a value for the rows that are there in place of …" : "", d->table,
                     d->table, d->table);
    put_commented(&sql, indexes);
    sl__difference *last = &d->list->items[d->list->count - 1];
    last->sql = sl_printf("%s%s", last->sql, sql.data);
}

static void differ_table(differ *d)
{
    if (d->seen->taken)
        sl_buffer_puts(&d->sql,
                       "-- give the sequence, index or type another name first: ALTER … RENAME TO …;\n");
    sl__put_create_table(&d->sql, d->dialect, d->site, d->wanted);
    add_line(d->list,
             sl_printf("table %s is missing%s", d->table,
                       d->seen->taken ? ", and something else has its name" : ""),
             sl_arena_strndup(sl_task_arena(), d->sql.data, d->sql.size));
    d->sql.size = 0;
}

static void differ_done(differ *d)
{
    sl_buffer_done(&d->sql);
}

void sl__differ(const sl_site *site, sl__dialect dialect, const sl__wanted *wanted, const sl__seen *seen,
                sl__differences *differences)
{
    differ d SL_CLEANUP(differ_done) = {.site = site,
                                        .dialect = dialect,
                                        .wanted = wanted,
                                        .table = sl__model_table(wanted->model),
                                        .seen = seen,
                                        .list = differences};
    if (!seen->there) {
        differ_table(&d);
        return;
    }
    differ_columns(&d);
    if (seen->view)
        return;
    differ_key(&d);
    differ_indexes(&d);
    differ_checks(&d);
    for (unsigned i = 0; dialect == SL__SQLITE && i < wanted->model->column_count; i++)
        if (wanted->references >> i & 1)
            differ_reference(&d, i);
    if (d.rebuild)
        say_rebuild(&d);
}

void sl__differ_late(const sl_site *site, const sl__wanted *wanted, const sl__seen *seen,
                     sl__differences *differences)
{
    differ d SL_CLEANUP(differ_done) = {.site = site,
                                        .dialect = SL__POSTGRES,
                                        .wanted = wanted,
                                        .table = sl__model_table(wanted->model),
                                        .seen = seen,
                                        .list = differences};
    for (unsigned i = 0; i < wanted->model->column_count && !seen->view; i++) {
        const sl_column *column = &wanted->model->columns[i];
        bool made = !seen->there || !find_column(&d, column->name); /* by what was told before, without it */
        if (made && wanted->late >> i & 1) {
            sl_buffer_puts(&d.sql, is_awaited(&d, i) ? "-- then: " : "");
            sl__put_late(&d.sql, wanted, i);
            add(&d, "column %s does not refer to %s", column->name, sl__model_table(column->refers()));
        } else if (!made && wanted->references >> i & 1) {
            differ_reference(&d, i);
        }
    }
}
