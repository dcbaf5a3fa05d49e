/* Raw SQL and patterns, as queries have them. The first byte chooses; the rest is
 *
 *     for raw SQL: the text. What is made of it has as many parameters as were found, none of them plain, and
 * where SQLite takes it, it finds the same ones; for a pattern: the pattern, NUL, a text. SQLite must say the
 * same of both by GLOB as by its LIKE, told to mind case; and the bounds of what begins alike must have the
 * texts between them that begin so. */
#include "store/compile.h"
#include "store/sql_split.h"

#include <sqlite3.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static sqlite3 *database;

static void hold(bool promise)
{
    if (!promise)
        abort();
}

/* ---- Raw SQL ---- */

/* How many parameters a text has, plain ones and others. */
static void count_parameters(const char *text, sl__dialect dialect, size_t *ret_plain, size_t *ret_foreign,
                             size_t *ret_marks)
{
    const char *at = text, *end = text + strlen(text);
    *ret_plain = *ret_foreign = *ret_marks = 0;
    for (;;) {
        const char *before = at;
        sl__raw_kind kind = sl__raw_next(&at, dialect);
        if (kind == SL__RAW_END)
            break;
        hold(at > before && at <= end);
        *ret_plain += kind == SL__RAW_PARAMETER;
        *ret_foreign += kind == SL__RAW_FOREIGN;
        *ret_marks += kind == SL__RAW_MARK;
    }
    hold(at == end);
}

static void ask_sqlite(const sl__statement *statement)
{
    sqlite3_stmt *prepared = NULL;
    if (sqlite3_prepare_v2(database, statement->sql, -1, &prepared, NULL) == SQLITE_OK && prepared)
        hold(sqlite3_bind_parameter_count(prepared) <= (int)statement->count);
    sqlite3_finalize(prepared);
}

static void check_raw(const char *text, sl__dialect dialect)
{
    size_t plain, foreign, marks, count;
    count_parameters(text, dialect, &count, &foreign, &marks);
    sl__sql_fault fault = sl__sql_look(dialect, sl_view_of(text));
    if (foreign || count > 100 || (marks && dialect == SL__SQLITE) || fault == SL__SQL_SEVERAL ||
        fault == SL__SQL_TRANSACTIONAL)
        return; /* which is refused */
    const sl_node *values[101] = {NULL};
    for (size_t i = 0; i < count; i++)
        values[i] = i % 2 ? sl__text_operand("x") : sl__integer_operand((int64_t)i);
    sl__statement statement;
    sl__compile_raw(SL_HERE, text, values, dialect, &statement);
    hold(statement.count == count && strlen(statement.sql) == statement.size);
    if (marks == 0) { /* else they are plain ones now */
        count_parameters(statement.sql, dialect, &plain, &foreign, &marks);
        hold(plain == 0 && foreign == count);
    }
    if (dialect == SL__SQLITE)
        ask_sqlite(&statement);
}

/* ---- Patterns ---- */

static bool says(const char *sql, const char *text, const char *pattern)
{
    sqlite3_stmt *prepared;
    hold(sqlite3_prepare_v2(database, sql, -1, &prepared, NULL) == SQLITE_OK);
    sqlite3_bind_text(prepared, 1, text, -1, SQLITE_STATIC);
    sqlite3_bind_text(prepared, 2, pattern, -1, SQLITE_STATIC);
    hold(sqlite3_step(prepared) == SQLITE_ROW);
    bool yes = sqlite3_column_int(prepared, 0);
    sqlite3_finalize(prepared);
    return yes;
}

static bool expected(const char *text, const char *pattern, sl__like_kind kind)
{
    size_t size = strlen(text), wanted = strlen(pattern);
    switch (kind) {
    case SL__LIKE_PREFIX:
        return strncmp(text, pattern, wanted) == 0;
    case SL__LIKE_SUFFIX:
        return size >= wanted && strcmp(text + size - wanted, pattern) == 0;
    case SL__LIKE_CONTAINS:
        return strstr(text, pattern) != NULL;
    default:
        return says("SELECT ?1 LIKE ?2 ESCAPE '\\'", text, pattern);
    }
}

/* All that match lie between the bounds, and between them is only what begins so. */
static void check_bounds(const char *text, const char *pattern, sl__like_kind kind, bool matches)
{
    size_t size = strlen(pattern);
    char *start = sl_alloc(SL__LIKE_ROOM(size)), *after = sl_alloc(SL__LIKE_ROOM(size) + 1);
    size = sl__like_start(pattern, kind, start);
    hold(strlen(start) == size);
    memcpy(after, start, size + 1);
    size_t after_size = sl__like_after(after, size);
    if (after_size == 0)
        return;
    hold(strlen(after) == after_size && sl_utf8_valid(after, after_size) && strcmp(start, after) < 0);
    bool between = strcmp(text, start) >= 0 && strcmp(text, after) < 0;
    hold(between == (strncmp(text, start, size) == 0));
    hold(between || !matches);
}

static void check_pattern(const char *text, const char *pattern, sl__like_kind kind)
{
    bool wild = kind == SL__LIKE_PATTERN || kind == SL__LIKE_NOCASE;
    if ((wild && sl__like_is_broken(pattern)) || !sl_utf8_valid(text, strlen(text)) ||
        !sl_utf8_valid(pattern, strlen(pattern)))
        return;
    size_t room = SL__LIKE_ROOM(strlen(pattern));
    char *glob = sl_malloc(room), *like = sl_malloc(room); /* so that the sanitizer sees their ends */
    hold(sl__like_to_glob(pattern, kind, glob) == strlen(glob) && strlen(glob) < room);
    hold(sl__like_to_like(pattern, kind, like) == strlen(like) && strlen(like) < room);
    bool matches = expected(text, pattern, kind);
    hold(says("SELECT ?1 GLOB ?2", text, glob) == matches);
    hold(says("SELECT ?1 LIKE ?2 ESCAPE '\\'", text, like) == matches);
    check_bounds(text, pattern, kind, matches);
    free(glob);
    free(like);
}

typedef struct input {
    const uint8_t *data;
    size_t size;
} input;

static void *check(void *data)
{
    const input *in = data;
    const char *text = sl_arena_strndup(sl_task_arena(), (const char *)in->data + 1, in->size - 1);
    if (in->data[0] % 2 == 0) {
        check_raw(text, in->data[0] / 2 % 2 ? SL__POSTGRES : SL__SQLITE);
        return NULL;
    }
    size_t size = strlen(text);
    check_pattern(size + 1 < in->size - 1 ? text + size + 1 : "", text, in->data[0] / 2 % 5);
    return NULL;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0 || size > 4096)
        return 0;
    if (!database)
        hold(sqlite3_open(":memory:", &database) == SQLITE_OK &&
             sqlite3_exec(database, "PRAGMA case_sensitive_like = ON", NULL, NULL, NULL) == SQLITE_OK);
    hold(sl_run("fuzz", check, &(input){data, size}, NULL) == 0);
    return 0;
}
