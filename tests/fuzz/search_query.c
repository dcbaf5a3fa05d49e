/* What the chat's search makes of what people type: always an expression that FTS5 understands, or a
 * sentence. The input is a query; the expressions are run on a small index. */
#include "../../apps/chat/plugins/search/query.h"
#include "../../apps/chat/plugins/search/service.h"

#include <sqlite3.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void hold(bool promise)
{
    if (!promise)
        abort();
}

static sqlite3 *text_index(void)
{
    static sqlite3 *db;
    if (db)
        return db;
    hold(sqlite3_open(":memory:", &db) == SQLITE_OK);
    hold(
        sqlite3_exec(db,
                     "CREATE VIRTUAL TABLE text USING fts5 (body, tokenize = 'unicode61 remove_diacritics 2',"
                     " prefix = '2 3');"
                     "INSERT INTO text VALUES ('fish soup today'), ('C++ and D'), ('日本語 café')",
                     NULL, NULL, NULL) == SQLITE_OK);
    return db;
}

static void run(const char *match)
{
    sqlite3_stmt *statement;
    hold(sqlite3_prepare_v2(text_index(),
                            "SELECT snippet(text, 0, '[', ']', '…', 10) FROM text WHERE text MATCH ?", -1,
                            &statement, NULL) == SQLITE_OK);
    sqlite3_bind_text(statement, 1, match, -1, SQLITE_STATIC);
    int code;
    while ((code = sqlite3_step(statement)) == SQLITE_ROW)
        hold(sqlite3_column_text(statement, 0) != NULL);
    hold(code == SQLITE_DONE);
    sqlite3_finalize(statement);
}

static void check_names(const struct search_names *names)
{
    hold(names->count <= SEARCH_TERMS);
    for (size_t i = 0; i < names->count; i++)
        hold(*names->keys[i] && sl_utf8_valid(names->keys[i], strlen(names->keys[i])));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *query = sl_malloc(size + 1);
    memcpy(query, data, size);
    query[size] = '\0';
    sl_arena *arena = sl_arena_new();
    struct search_wanted wanted;
    search_parse(arena, query, &wanted);
    if (wanted.wrong) {
        hold(*wanted.wrong && sl_utf8_valid(wanted.wrong, strlen(wanted.wrong)));
    } else {
        if (wanted.match)
            run(wanted.match);
        if (wanted.without)
            run(wanted.without);
        check_names(&wanted.authors);
        check_names(&wanted.not_authors);
        check_names(&wanted.rooms);
        check_names(&wanted.not_rooms);
    }
    sl_arena_free(arena);
    free(query);
    return 0;
}
