/* sqlite_link.c: connections to the database.
 *
 * Each has the write-ahead log, so that readers and the writer do not wait for each other, and a commit is on
 * the disk when it returns. SQLite is told never to wait for locks itself, for that would stop the loop:
 * those who meet one sleep as tasks. While a link works on the loop, its progress handler looks every
 * thousand steps of SQLite's machine whether it takes too long; in a thread it looks whether the statement is
 * still wanted. */
#include "store/sqlite.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define STEPS_BETWEEN_CLOCKS 1000
#define BUDGET_NS 2000000 /* of one step on the loop */

#define OTHER_ENCODING (SQLITE_NOTADB | 1 << 8) /* a code of our own: SQLite has none above SQLITE_NOTADB */

static const char *const fixed_sql[] = {
#define SQL(name, sql) [SL__SQLITE_##name] = sql,
    SL__SQLITE_FIXED(SQL)
#undef SQL
};

/* ---- What it does takes long --------------------------------------------------------------------------- */

/* Where a statement was given rows of and others were changed since, the rows might come in another order
 * when it is run again in a thread: it goes on here then. */
static bool may_run_again(const sl__sqlite_link *link)
{
    const sl__sqlite_cursor *cursor = link->stepping;
    return !cursor->given || sqlite3_total_changes64(link->db) == cursor->changes;
}

static int on_progress(void *data)
{
    sl__sqlite_link *link = data;
    if (link->job) /* this is the thread: the loop does not touch the link now */
        return atomic_load_explicit(&link->job->stop, memory_order_relaxed);
    if (!link->stepping)
        return 0;
    uint64_t now = sl_monotonic_ns();
    link->look = true;
    if (!link->since_ns)
        link->since_ns = now;
    link->over_budget = now - link->since_ns >= BUDGET_NS && may_run_again(link);
    return link->over_budget;
}

void sl__sqlite_link_watch(sl__sqlite_link *link)
{
    sqlite3_progress_handler(link->db, STEPS_BETWEEN_CLOCKS, on_progress, link);
    sqlite3_busy_timeout(link->db, 0);
    sqlite3_extended_result_codes(link->db, 1);
}

unsigned sl__sqlite_version(const sl__sqlite_link *link)
{
    unsigned version = 0;
    sqlite3_file_control(link->db, "main", SQLITE_FCNTL_DATA_VERSION, &version);
    return version;
}

int sl__sqlite_do(sl__sqlite_link *link, sl__sqlite_fixed what)
{
    sqlite3_stmt **statement = &link->fixed[what];
    if (!*statement) {
        int code =
            sqlite3_prepare_v3(link->db, fixed_sql[what], -1, SQLITE_PREPARE_PERSISTENT, statement, NULL);
        if (code)
            return code;
    }
    int code;
    do
        code = sqlite3_step(*statement);
    while (code == SQLITE_ROW);
    sqlite3_reset(*statement);
    return code == SQLITE_DONE ? SQLITE_OK : code;
}

/* ---- Opening ------------------------------------------------------------------------------------------- */

static int run_sql(sqlite3 *db, const char *sql)
{
    return sqlite3_exec(db, sql, /* callback= */ NULL, NULL, /* error= */ NULL);
}

/* The one text that a PRAGMA answers; "" where it is none. */
static int ask(const sl__sqlite_link *link, const char *sql, char answer[static 16])
{
    sqlite3_stmt *statement = NULL;
    int code = sqlite3_prepare_v2(link->db, sql, -1, &statement, NULL);
    if (code)
        return code;
    code = sqlite3_step(statement);
    const char *text = code == SQLITE_ROW ? (const char *)sqlite3_column_text(statement, 0) : NULL;
    snprintf(answer, 16, "%s", text ? text : "");
    sqlite3_finalize(statement);
    return code == SQLITE_ROW ? SQLITE_OK : code;
}

/* SQLite answers with the mode that holds, which is another one where a write-ahead log cannot be had. */
static int use_log(const sl__sqlite_link *link)
{
    char mode[16];
    int code = ask(link, "PRAGMA main.journal_mode = WAL", mode);
    return code || link->sqlite->memory || strcmp(mode, "wal") == 0 ? code : SQLITE_CANTOPEN;
}

/* In UTF-16 texts sort by other bytes ("Ā" before "a" where the low byte comes first), and are other bytes
 * where they are cast to such: queries would answer other things than in all other databases. */
static int look_at_encoding(const sl__sqlite_link *link)
{
    char encoding[16];
    int code = ask(link, "PRAGMA encoding", encoding);
    return code || strcmp(encoding, "UTF-8") == 0 ? code : OTHER_ENCODING;
}

/* One that is larger already may not grow. */
static int limit_size(const sl__sqlite_link *link)
{
    char answer[16];
    uint64_t bytes = link->sqlite->options->sqlite_mb << 20;
    int code = bytes ? ask(link, "PRAGMA main.page_size", answer) : SQLITE_OK;
    if (code || !bytes)
        return code;
    uint64_t page = strtoull(answer, NULL, 10), pages = bytes / (page ? page : 1);
    SL_AUTO_FREE char *sql =
        sl_printf_heap("PRAGMA main.max_page_count = %llu",
                       (unsigned long long)(pages < UINT32_MAX ? pages : UINT32_MAX - 1));
    return run_sql(link->db, sql);
}

static int set_up(sl__sqlite_link *link)
{
    sl__sqlite_link_watch(link);
    /* Else a misspelt "column" would be taken for a text. */
    sqlite3_db_config(link->db, SQLITE_DBCONFIG_DQS_DML, 0, NULL);
    sqlite3_db_config(link->db, SQLITE_DBCONFIG_DQS_DDL, 0, NULL);
    int code = run_sql(link->db, "SELECT 1 FROM sqlite_schema LIMIT 1"); /* whether it is a database at all */
    if (!code)
        code = look_at_encoding(link);
    if (!code && !link->sqlite->memory && sqlite3_db_readonly(link->db, "main") == 1)
        code = SQLITE_READONLY;
    if (!code)
        code = use_log(link);
    if (!code)
        code = run_sql(link->db, "PRAGMA foreign_keys = ON; PRAGMA synchronous = FULL;"
                                 "PRAGMA journal_size_limit = 67108864");
    return code ? code : limit_size(link);
}

static int try_open(sl__sqlite_link *link)
{
    const sl__sqlite *sqlite = link->sqlite;
    int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE;
    if (!sqlite->links) /* were it removed later, a new one in its place would be empty */
        flags |= SQLITE_OPEN_CREATE;
    int code = sqlite3_open_v2(sqlite->path, &link->db, flags, NULL);
    return code ? code : set_up(link);
}

/* SQLite says only that it could not. */
static sl_error *cannot_open(const sl__sqlite *sqlite, const sl_site *site, sqlite3 *db, int code)
{
    char reason[512] = "";
    struct stat info;
    const char *slash = strrchr(sqlite->path, '/');
    size_t size = slash ? (size_t)(slash - sqlite->path) : 0;
    SL_AUTO_FREE char *directory = size ? strndup(sqlite->path, size) : sl_strdup_heap(slash ? "/" : ".");
    if (stat(directory, &info) < 0)
        snprintf(reason, sizeof reason, "its directory %s: %s", directory, sl_code_message(-errno));
    else if (stat(sqlite->path, &info) == 0 && S_ISDIR(info.st_mode))
        snprintf(reason, sizeof reason, "it is a directory");
    else if (sqlite->links && stat(sqlite->path, &info) < 0)
        snprintf(reason, sizeof reason, "the file is gone");
    else if (code == OTHER_ENCODING)
        snprintf(reason, sizeof reason, "its texts are in UTF-16, not in UTF-8");
    else
        snprintf(reason, sizeof reason, "%s", db ? sqlite3_errmsg(db) : sqlite3_errstr(code));
    SL_AUTO_FREE char *said = sl_printf_heap("cannot open %s: %s", sqlite->path, reason);
    sl_error *error = sl__sqlite_error_said(sqlite, site, code, said, NULL);
    return code != OTHER_ENCODING
               ? error
               : sl_error_hint(error, "make one of UTF-8 of it: `sqlite3 %s .dump | sqlite3 new.db`",
                               sqlite->path);
}

sl_error *sl__sqlite_link_open(sl__sqlite *sqlite, const sl__begin *how, sl__sqlite_link **ret_link)
{
    if (sqlite->closed)
        return sl__sqlite_is_closed(sqlite, how->site);
    sl__sqlite_link *link = sl_calloc(1, sizeof *link);
    link->sqlite = sqlite;
    sl_error *error = NULL;
    sl__sqlite_patience patience = {0};
    for (int code; (code = try_open(link));) {
        sl_error *reason = cannot_open(sqlite, how->site, link->db, code);
        sqlite3_close(link->db);
        link->db = NULL;
        if (!sl__sqlite_is_busy(code) ||
            !sl__sqlite_be_patient(sqlite, &patience, how, "opened the database", &error)) {
            free(link);
            return error ? (sl_error_unref(reason), error) : reason;
        }
        sl_error_unref(reason);
    }
    link->next = sqlite->links;
    sqlite->links = link;
    *ret_link = link;
    return NULL;
}

void sl__sqlite_link_close(sl__sqlite_link *link)
{
    for (unsigned i = 0; i < SL__SQLITE_FIXED_COUNT; i++)
        sqlite3_finalize(link->fixed[i]);
    sl__sqlite_cache_done(&link->cache);
    sqlite3_close_v2(link->db);
    free(link);
}
