/* schema_look.c: what a database has, as it says itself.
 *
 * Both databases are asked in SQL, with questions of one form: some texts and some numbers a row, about one
 * table. What they call things differs, and is told alike from here on. */
#include "store/schema.h"

/* ---- Questions ---- */

void sl__ask(const sl_site *site, sl_store *store, const char *sql, const char *parameter, unsigned texts,
             unsigned numbers, sl__asked_fn *fn, void *data)
{
    sl__field fields[7];
    for (unsigned i = 0; i < texts + numbers; i++)
        fields[i] = (sl__field){
            .kind = i < texts ? SL_KIND_TEXT : SL_KIND_INTEGER,
            .offset = (uint16_t)(i < texts ? offsetof(sl__asked, texts) + i * sizeof(char *)
                                           : offsetof(sl__asked, numbers) + (i - texts) * sizeof(int64_t)),
            .bit = (uint8_t)i,
            .name = i < texts ? "a text" : "a number"};
    sl_value value = {.kind = SL_KIND_TEXT, .text = sl_view_of(parameter)};
    size_t size = strlen(sql);
    sl__statement statement = {
        .sql = sql, .size = (uint32_t)size, .count = parameter ? 1 : 0, .values = &value, .site = site};
    sl_session *session = sl__session_of(site, store, /* writes= */ false);
    sl__running running SL_CLEANUP(sl__run_end) = {0};
    sl_error *error = sl__run_begin(session, &statement, &running);
    for (bool row = true; !error && (error = sl__run_step(&running, &row)) == NULL && row;) {
        sl__asked asked = {0};
        uint64_t nulls = 0;
        error =
            store->driver->read(running.cursor, 0, fields, texts + numbers, &asked, &nulls, sl_task_arena());
        if (!error)
            fn(&asked, data);
    }
    if (error)
        sl__session_fail(site, session, error);
    sl__run_end(&running);
    sl__session_leave(session);
}

/* The name of a table as PostgreSQL's own number, in whatever schema it is found; NULL where there is none.
 */
#define POSTGRES_TABLE "to_regclass(quote_ident($1::text))"

/* By dialect. */
static const char *const columns_sql[] = {
    [SL__SQLITE] = "SELECT name, type, \"notnull\", "
                   "CASE WHEN hidden > 1 THEN 2 ELSE dflt_value IS NOT NULL END, pk "
                   "FROM pragma_table_xinfo(?1) WHERE hidden <> 1 ORDER BY cid",
    [SL__POSTGRES] =
        "SELECT a.attname::text, format_type(a.atttypid, a.atttypmod)::text, a.attnotnull::int::bigint, "
        "CASE WHEN a.attgenerated <> '' THEN 2 WHEN a.attidentity = 'a' THEN 3 "
        "WHEN a.atthasdef OR a.attidentity <> '' THEN 1 ELSE 0 END::bigint, "
        "coalesce((SELECT k.place FROM pg_index i, unnest(i.indkey::int2[]) WITH ORDINALITY k(number, place) "
        "WHERE i.indrelid = a.attrelid AND i.indisprimary AND k.number = a.attnum), 0)::bigint "
        "FROM pg_attribute a WHERE a.attrelid = " POSTGRES_TABLE
        " AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum",
};
static const char *const kind_sql[] = {
    [SL__SQLITE] =
        "SELECT type, sql FROM sqlite_schema WHERE type IN ('table', 'view') AND name = ?1 COLLATE NOCASE",
    [SL__POSTGRES] =
        "SELECT CASE WHEN relkind IN ('v', 'm') THEN 'view' WHEN relkind IN ('r', 'p', 'f') THEN 'table' "
        "ELSE 'other' END, NULL::text FROM pg_class "
        "WHERE oid = " POSTGRES_TABLE,
};
static const char *const indexes_sql[] = {
    [SL__SQLITE] = "SELECT l.name, i.name, l.\"unique\", l.partial, i.seqno "
                   "FROM pragma_index_list(?1) l, pragma_index_info(l.name) i ORDER BY l.seq, i.seqno",
    [SL__POSTGRES] =
        "SELECT c.relname::text, a.attname::text, i.indisunique::int::bigint, "
        "(i.indpred IS NOT NULL OR NOT i.indimmediate)::int::bigint, k.place::bigint FROM pg_index i "
        "JOIN pg_class c ON c.oid = i.indexrelid "
        "CROSS JOIN LATERAL unnest(i.indkey::int2[]) WITH ORDINALITY k(number, place) "
        "LEFT JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.number "
        "WHERE i.indrelid = " POSTGRES_TABLE
        " AND i.indisvalid AND k.place <= i.indnkeyatts ORDER BY c.relname, k.place",
};
/* The numbers are sl__seen_delete. */
static const char *const references_sql[] = {
    [SL__SQLITE] =
        "SELECT CAST(id AS TEXT), \"from\", \"table\", \"to\", CASE on_delete WHEN 'CASCADE' THEN 1 "
        "WHEN 'SET NULL' THEN 2 WHEN 'SET DEFAULT' THEN 3 ELSE 0 END, seq "
        "FROM pragma_foreign_key_list(?1) ORDER BY id, seq",
    [SL__POSTGRES] = "SELECT c.conname::text, a.attname::text, t.relname::text, r.attname::text, "
                     "CASE c.confdeltype WHEN 'c' THEN 1 WHEN 'n' THEN 2 WHEN 'd' THEN 3 ELSE 0 END::bigint, "
                     "k.place::bigint FROM pg_constraint c JOIN pg_class t ON t.oid = c.confrelid "
                     "CROSS JOIN LATERAL unnest(c.conkey, c.confkey) WITH ORDINALITY k(number, other, place) "
                     "JOIN pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = k.number "
                     "JOIN pg_attribute r ON r.attrelid = c.confrelid AND r.attnum = k.other "
                     "WHERE c.contype = 'f' AND c.conrelid = " POSTGRES_TABLE " ORDER BY c.conname, k.place",
};
static const char checks_sql[] = "SELECT conname::text, pg_get_constraintdef(oid) FROM pg_constraint "
                                 "WHERE contype = 'c' AND conrelid = " POSTGRES_TABLE " ORDER BY conname";
static const char *const tables_sql[] = {
    [SL__SQLITE] =
        "SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' "
        "AND name NOT LIKE 'sl\\_%' ESCAPE '\\'",
    [SL__POSTGRES] =
        "SELECT count(*)::bigint FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace "
        "WHERE n.nspname = current_schema() AND c.relkind IN ('r', 'p') AND c.relname NOT LIKE 'sl\\_%'",
};

/* ---- Lists ---- */

/* Room for one more at the end of a list in the task's arena; what it had is copied when its size is a power
 * of two. */
static void *one_more(void *items, size_t *count, size_t size)
{
    size_t n = (*count)++;
    if (n && (n & (n - 1)))
        return items;
    char *more = sl_zalloc((n ? 2 * n : 1) * size);
    if (n)
        memcpy(more, items, n * size);
    return more;
}
#define ADD(list, count) (*((list) = one_more((list), &(count), sizeof(*(list))), &(list)[(count)-1]))

static void see_column(const sl__asked *row, void *data)
{
    sl__seen *seen = data;
    ADD(seen->columns, seen->column_count) = (sl__seen_column){.name = row->texts[0],
                                                               .type = row->texts[1] ? row->texts[1] : "",
                                                               .required = row->numbers[0],
                                                               .given = row->numbers[1] != 0,
                                                               .computed = row->numbers[1] == 2,
                                                               .numbered = row->numbers[1] == 3,
                                                               .key = (unsigned)row->numbers[2]};
}

static void see_index(const sl__asked *row, void *data)
{
    sl__seen *seen = data;
    sl__seen_index *last = seen->index_count ? &seen->indexes[seen->index_count - 1] : NULL;
    if (!last || strcmp(last->name, row->texts[0]) != 0) {
        ADD(seen->indexes, seen->index_count) =
            (sl__seen_index){.name = row->texts[0], .unique = row->numbers[0], .partial = row->numbers[1]};
        last = &seen->indexes[seen->index_count - 1];
    }
    if (!row->texts[1] || last->count == SL_COLUMNS_MAX)
        last->partial = true; /* an expression */
    else
        last->columns[last->count++] = row->texts[1];
}

static void see_reference(const sl__asked *row, void *data)
{
    sl__seen *seen = data;
    sl__seen_reference *last = seen->reference_count ? &seen->references[seen->reference_count - 1] : NULL;
    if (last && strcmp(last->name, row->texts[0]) == 0) {
        last->count++;
        return;
    }
    ADD(seen->references, seen->reference_count) =
        (sl__seen_reference){.name = row->texts[0],
                             .column = row->texts[1],
                             .table = row->texts[2],
                             .on_delete = (sl__seen_delete)row->numbers[0],
                             .to = row->texts[3],
                             .count = 1};
}

static void see_check(const sl__asked *row, void *data)
{
    sl__seen *seen = data;
    ADD(seen->checks, seen->check_count) = (sl__seen_check){.name = row->texts[0], .sql = row->texts[1]};
}

/* ---- SQLite's checks, which it keeps as text only ---- */

/* The reader is behind CHECK: what stands in its parentheses, or NULL. */
static const char *take_check(sl__sql_reader *reader)
{
    sl__sql_token token = sl__sql_next(reader);
    if (token.kind != SL__SQL_SIGN || *token.text.data != '(')
        return NULL;
    const char *begin = token.text.data + 1;
    for (unsigned depth = 1; depth;) {
        token = sl__sql_next(reader);
        if (token.kind == SL__SQL_END || token.kind == SL__SQL_BROKEN)
            return NULL;
        if (token.kind == SL__SQL_SIGN)
            depth += (*token.text.data == '(') - (*token.text.data == ')');
    }
    return sl_arena_strndup(sl_task_arena(), begin, (size_t)(token.text.data - begin));
}

static void see_checks_of(const char *sql, sl__seen *seen)
{
    sl__sql_reader reader = sl__sql_read(SL__SQLITE, sl_view_of(sql));
    for (;;) {
        sl__sql_token token = sl__sql_next(&reader);
        if (token.kind == SL__SQL_END || token.kind == SL__SQL_BROKEN)
            return;
        const char *check = sl__sql_is(&token, "CHECK") ? take_check(&reader) : NULL;
        if (check)
            ADD(seen->checks, seen->check_count) = (sl__seen_check){.sql = check};
    }
}

static void see_kind(const sl__asked *row, void *data)
{
    sl__seen *seen = data;
    seen->taken = strcmp(row->texts[0], "other") == 0;
    seen->there = !seen->taken;
    seen->view = strcmp(row->texts[0], "view") == 0;
    if (row->texts[1] && !seen->view)
        see_checks_of(row->texts[1], seen);
}

/* ---- The whole ---- */

bool sl__look_for(const sl_site *site, sl_store *store, const char *table)
{
    sl__seen seen = {0};
    sl__ask(site, store, kind_sql[store->dialect], table, 2, 0, see_kind, &seen);
    return seen.there;
}

void sl__look(const sl_site *site, sl_store *store, const char *table, sl__seen *ret_seen)
{
    sl__dialect dialect = store->dialect;
    sl__seen seen = {0};
    sl__ask(site, store, kind_sql[dialect], table, 2, 0, see_kind, &seen);
    if (seen.there) {
        sl__ask(site, store, columns_sql[dialect], table, 2, 3, see_column, &seen);
        sl__ask(site, store, indexes_sql[dialect], table, 2, 3, see_index, &seen);
        sl__ask(site, store, references_sql[dialect], table, 4, 2, see_reference, &seen);
        if (dialect == SL__POSTGRES)
            sl__ask(site, store, checks_sql, table, 2, 0, see_check, &seen);
    }
    *ret_seen = seen;
}

static void see_count(const sl__asked *row, void *data)
{
    *(bool *)data = row->numbers[0] == 0;
}

bool sl__look_empty(const sl_site *site, sl_store *store)
{
    bool empty = true;
    sl__ask(site, store, tables_sql[store->dialect], NULL, 0, 1, see_count, &empty);
    return empty;
}
