/* find.c: looking for messages.
 *
 * First the numbers of the hits are listed, the best first, and then the few that are shown are described: a
 * snippet of each of ten thousand would take longer than finding them. A query that takes too long is given
 * up between two steps of SQLite. */
#include "inside.h"

static void put_names(sl_buffer *sql, const char *column, const char *how, const struct search_names *names)
{
    if (!names->count)
        return;
    sl_buffer_printf(sql, " AND %s %s (", column, how);
    for (size_t i = 0; i < names->count; i++)
        sl_buffer_puts(sql, i ? ", ?" : "?");
    sl_buffer_putc(sql, ')');
}

/* What follows FROM; bind_wanted binds its values, in this order. */
static void put_wanted(sl_buffer *sql, const struct search_wanted *w)
{
    if (w->match)
        sl_buffer_puts(sql, "text CROSS JOIN document d ON d.id = text.rowid WHERE text MATCH ?");
    else
        sl_buffer_puts(sql, "document d WHERE 1");
    if (w->without)
        sl_buffer_puts(sql, " AND d.id NOT IN (SELECT rowid FROM text WHERE text MATCH ?)");
    put_names(sql, "author_key", "IN", &w->authors);
    put_names(sql, "author_key", "NOT IN", &w->not_authors);
    put_names(sql, "room_key", "IN", &w->rooms);
    put_names(sql, "room_key", "NOT IN", &w->not_rooms);
    if (w->from_ms != INT64_MIN)
        sl_buffer_puts(sql, " AND sent >= ?");
    if (w->until_ms != INT64_MAX)
        sl_buffer_puts(sql, " AND sent < ?");
}

static int bind_names(sqlite3_stmt *s, int at, const struct search_names *names)
{
    for (size_t i = 0; i < names->count; i++)
        sql_bind(s, at++, names->keys[i]);
    return at;
}

/* Gives the index of the next parameter. */
static int bind_wanted(sqlite3_stmt *s, const struct search_wanted *w)
{
    int at = 1;
    if (w->match)
        sql_bind(s, at++, w->match);
    if (w->without)
        sql_bind(s, at++, w->without);
    at = bind_names(s, at, &w->authors);
    at = bind_names(s, at, &w->not_authors);
    at = bind_names(s, at, &w->rooms);
    at = bind_names(s, at, &w->not_rooms);
    if (w->from_ms != INT64_MIN)
        sqlite3_bind_int64(s, at++, w->from_ms * 1000);
    if (w->until_ms != INT64_MAX)
        sqlite3_bind_int64(s, at++, w->until_ms * 1000);
    return at;
}

static sqlite3_stmt *prepare(search_index *index, sl_buffer *sql)
{
    sqlite3_stmt *s = NULL;
    int code = sqlite3_prepare_v2(index->db, sql->data, -1, &s, NULL);
    sl_buffer_done(sql);
    if (code)
        index_fail(index, index->db, "search the");
    return s;
}

/* As step, but a query that takes too long has no further row. */
static bool step_in_time(search_index *index, sqlite3_stmt *s)
{
    int code = index->late ? SQLITE_INTERRUPT : sqlite3_step(s);
    if (code == SQLITE_INTERRUPT && index->late)
        return false;
    if (code != SQLITE_ROW && code != SQLITE_DONE)
        index_fail(index, index->db, "search the");
    return code == SQLITE_ROW;
}

static void count_hits(search_index *index, const struct search_wanted *wanted, struct search_found *found)
{
    sl_buffer sql = {0};
    sl_buffer_puts(&sql, "SELECT count(*) FROM (SELECT 1 FROM ");
    put_wanted(&sql, wanted);
    sl_buffer_puts(&sql, " LIMIT ?)");
    SQL_AUTO_FINALIZE sqlite3_stmt *s = prepare(index, &sql);
    sqlite3_bind_int(s, bind_wanted(s, wanted), SEARCH_COUNTED + 1);
    if (step_in_time(index, s))
        found->total = sqlite3_column_int64(s, 0);
    found->more_than_total = found->total > SEARCH_COUNTED;
    if (found->more_than_total)
        found->total = SEARCH_COUNTED;
}

static void list_hits(search_index *index, const struct search_wanted *wanted, int64_t offset, int64_t limit,
                      struct search_found *found)
{
    sl_buffer sql = {0};
    sl_buffer_puts(&sql, "SELECT d.id FROM ");
    put_wanted(&sql, wanted);
    sl_buffer_printf(&sql, " ORDER BY %sd.id DESC LIMIT ? OFFSET ?", wanted->match ? "bm25(text), " : "");
    SQL_AUTO_FINALIZE sqlite3_stmt *s = prepare(index, &sql);
    int at = bind_wanted(s, wanted);
    sqlite3_bind_int64(s, at, limit);
    sqlite3_bind_int64(s, at + 1, offset);
    found->hits.items = sl_zalloc((size_t)limit * sizeof *found->hits.items);
    while (found->hits.count < (size_t)limit && step_in_time(index, s))
        found->hits.items[found->hits.count++].id = sqlite3_column_int64(s, 0);
}

/* Cuts a snippet at the characters that stand around what was found. */
static void cut(struct search_hit *hit, const char *text)
{
    size_t most = 1;
    for (const char *c = text; *c; c++)
        most += *c == 2 || *c == 3;
    hit->pieces.items = sl_zalloc(most * sizeof *hit->pieces.items);
    bool marked = false;
    for (size_t size; *text; text += size) {
        size = strcspn(text, "\2\3");
        if (size)
            hit->pieces.items[hit->pieces.count++] = (struct search_piece){
                .text = sl_arena_strndup(sl_task_arena(), text, size), .marked = marked};
        else
            size = 1;
        marked = text[size - 1] == 2 || (text[size - 1] != 3 && marked);
    }
}

/* The beginning of a message, for one that was found without words. */
static const char *beginning(const char *body)
{
    enum { CHARACTERS = 300 };
    size_t size = 0;
    for (int i = 0; body[size] && i < CHARACTERS; i++)
        do
            size++;
        while (((unsigned char)body[size] & 0xc0) == 0x80);
    return sl_printf("%.*s%s", (int)size, body, body[size] ? "…" : "");
}

static void describe(search_index *index, const char *match, struct search_hit *hit)
{
    SQL_AUTO_RESET sqlite3_stmt *s = index->statements[BODY];
    sqlite3_bind_int64(s, 1, hit->id);
    if (!index_step(index, s))
        return;
    hit->room = sl_strdup(sql_text(s, 0));
    hit->author = sl_strdup(sql_text(s, 1));
    hit->sent = sqlite3_column_int64(s, 2);
    if (!match) {
        cut(hit, beginning(sql_text(s, 3)));
        return;
    }
    SQL_AUTO_RESET sqlite3_stmt *snippet = index->statements[SNIPPET];
    sqlite3_bind_int64(snippet, 1, hit->id);
    sql_bind(snippet, 2, match);
    if (index_step(index, snippet))
        cut(hit, sql_text(snippet, 0));
}

void search_index_find(search_index *index, const struct search_wanted *wanted, int64_t offset, int64_t limit,
                       struct search_found *found)
{
    ROLLED_BACK(index);
    index_run(index, "BEGIN", "search the"); /* all of it sees the same */
    index->late = false;
    index->deadline_ns = sl_monotonic_ns() + (uint64_t)INDEX_PATIENCE_MS * 1000000;
    count_hits(index, wanted, found);
    list_hits(index, wanted, offset, limit, found);
    index->deadline_ns = 0;
    if (index->late) {
        *found =
            (struct search_found){.wrong = "This takes too long. Please say more exactly what to look for."};
        return;
    }
    for (size_t i = 0; i < found->hits.count; i++)
        describe(index, wanted->match, &found->hits.items[i]);
    index_commit(index);
}
