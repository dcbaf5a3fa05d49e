/* open.c: the index's file: making it, opening it, and what its tables are.
 *
 * `document` has the messages, and `text` is FTS5's index of their bodies, kept in step by triggers.
 * `progress` says which message of the history was read last, with a mark by which to know it again. An index
 * that is damaged, or of another version of the chat, is no loss: it is made anew. */
#include "inside.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/file.h>
#include <unistd.h>

#define VERSION "1"

const char INDEX_SCHEMA[] =
    "CREATE TABLE document (id INTEGER PRIMARY KEY, room TEXT NOT NULL, room_key TEXT NOT NULL,"
    "  author TEXT NOT NULL, author_key TEXT NOT NULL, sent INTEGER NOT NULL, body TEXT NOT NULL) STRICT;"
    "CREATE INDEX document_of_author ON document (author_key, id);"
    "CREATE INDEX document_of_room ON document (room_key, id);"
    "CREATE VIRTUAL TABLE text USING fts5 (body, content = 'document', content_rowid = 'id',"
    "  tokenize = 'unicode61 remove_diacritics 2', prefix = '2 3');"
    "CREATE TRIGGER document_added AFTER INSERT ON document BEGIN"
    "  INSERT INTO text (rowid, body) VALUES (new.id, new.body); END;"
    "CREATE TRIGGER document_replaced AFTER UPDATE ON document BEGIN"
    "  INSERT INTO text (text, rowid, body) VALUES ('delete', old.id, old.body);"
    "  INSERT INTO text (rowid, body) VALUES (new.id, new.body); END;"
    "CREATE TABLE progress (only INTEGER PRIMARY KEY CHECK (only = 1), last INTEGER NOT NULL, mark TEXT NOT "
    "NULL)"
    " STRICT;"
    "INSERT INTO progress VALUES (1, 0, '');"
    "PRAGMA user_version = " VERSION ";";

const char INDEX_CLEAR[] =
    "DROP TABLE IF EXISTS text; DROP TABLE IF EXISTS document; DROP TABLE IF EXISTS progress;";

/* A message is known again by who sent it, with which mark, and when. */
#define MARK_OF "author || ' ' || nonce || ' ' || sent"

static const char *const SQL[STATEMENTS] = {
    [ADD] =
        "INSERT INTO document VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT (id) DO UPDATE SET room = ?2,"
        " room_key = ?3, author = ?4, author_key = ?5, sent = ?6, body = ?7",
    [PROGRESS] = "SELECT last, mark FROM progress",
    [SET_PROGRESS] = "UPDATE progress SET last = ?, mark = ?",
    [BODY] = "SELECT room, author, sent, body FROM document WHERE id = ?",
    [SNIPPET] =
        "SELECT snippet(text, 0, char(2), char(3), '…', 40) FROM text WHERE rowid = ? AND text MATCH ?",
    [NEWEST] = "SELECT coalesce(max(id), 0) FROM message",
    [MARK] = "SELECT " MARK_OF " FROM message WHERE id = ?",
    [READ] = "SELECT id, room, author, body, sent, " MARK_OF " FROM message WHERE id > ? ORDER BY id LIMIT ?",
};

/* ---- Errors ------------------------------------------------------------------------------------------ */

SL_NORETURN void index_fail(search_index *index, sqlite3 *db, const char *what)
{
    int code = db ? sqlite3_errcode(db) : SQLITE_NOMEM;
    index->deadline_ns = 0;
    if (db == index->db && (code == SQLITE_CORRUPT || code == SQLITE_NOTADB))
        index->damaged = true;
    sl_fail_error(sql_error(db, what, db == index->db ? "index of the chat" : "history of the chat",
                            db == index->db ? index->path : index->history_path));
}

void index_run(search_index *index, const char *sql, const char *what)
{
    if (sqlite3_exec(index->db, sql, NULL, NULL, NULL))
        index_fail(index, index->db, what);
}

bool index_step(search_index *index, sqlite3_stmt *statement)
{
    int code = sqlite3_step(statement);
    if (code != SQLITE_ROW && code != SQLITE_DONE)
        index_fail(index, sqlite3_db_handle(statement), "read the");
    return code == SQLITE_ROW;
}

/* ---- Opening and closing ----------------------------------------------------------------------------- */

bool search_index_damaged(const search_index *index)
{
    return index->damaged;
}

static void close_history(search_index *index)
{
    for (int i = OWN; i < STATEMENTS; i++) {
        sqlite3_finalize(index->statements[i]);
        index->statements[i] = NULL;
    }
    sqlite3_close(index->history);
    index->history = NULL;
}

bool index_open_history(search_index *index)
{
    if (index->history)
        return true;
    if (access(index->history_path, F_OK) < 0)
        return false;
    int tables = 0;
    int code = sqlite3_open_v2(index->history_path, &index->history,
                               SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL);
    sqlite3_busy_timeout(index->history, INDEX_PATIENCE_MS);
    if (!code)
        code =
            sql_number(index->history, "SELECT count(*) FROM sqlite_schema WHERE name = 'message'", &tables);
    for (int i = OWN; i < STATEMENTS && tables && !code; i++)
        code = sqlite3_prepare_v3(index->history, SQL[i], -1, SQLITE_PREPARE_PERSISTENT,
                                  &index->statements[i], NULL);
    if (!code && tables)
        return true;
    sl_error *error = code ? sql_error(index->history, "read the", "history of the chat", index->history_path)
                           : NULL; /* the chat is about to make its tables */
    close_history(index);
    if (error)
        sl_fail_error(error);
    return false;
}

static int is_late(void *data)
{
    search_index *index = data;
    index->late = index->deadline_ns && sl_monotonic_ns() > index->deadline_ns;
    return index->late;
}

static int connect_to(search_index *index)
{
    int code = sqlite3_open_v2(index->path, &index->db,
                               SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, NULL);
    if (code)
        return code;
    sqlite3_busy_timeout(index->db, INDEX_PATIENCE_MS);
    sqlite3_progress_handler(index->db, 10000, is_late, index);
    /* What the last seconds before the power goes brought is read from the history again. */
    return sqlite3_exec(index->db, "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL", NULL, NULL,
                        NULL);
}

/* Makes the tables unless they are there, as this version wants them. */
static int make_tables(search_index *index)
{
    int version = 0;
    int code = sqlite3_exec(index->db, "BEGIN IMMEDIATE", NULL, NULL, NULL);
    if (!code)
        code = sql_number(index->db, "PRAGMA user_version", &version);
    if (!code && version != atoi(VERSION))
        code = sqlite3_exec(index->db, INDEX_CLEAR, NULL, NULL, NULL);
    if (!code && version != atoi(VERSION))
        code = sqlite3_exec(index->db, INDEX_SCHEMA, NULL, NULL, NULL);
    if (!code)
        code = sqlite3_exec(index->db, "COMMIT", NULL, NULL, NULL);
    for (int i = 0; i < OWN && !code; i++)
        code =
            sqlite3_prepare_v3(index->db, SQL[i], -1, SQLITE_PREPARE_PERSISTENT, &index->statements[i], NULL);
    return code;
}

static void disconnect(search_index *index)
{
    for (int i = 0; i < OWN; i++) {
        sqlite3_finalize(index->statements[i]);
        index->statements[i] = NULL;
    }
    sqlite3_close(index->db);
    index->db = NULL;
}

void search_index_close(void *data)
{
    search_index *index = data;
    if (!index)
        return;
    disconnect(index);
    close_history(index);
    freelocale(index->letters);
    free(index->path);
    free(index->history_path);
    free(index);
}

void index_remove_files(const char *path)
{
    static const char *const ends[] = {"-wal", "-shm", "-journal", ""};
    for (size_t i = 0; i < sl_array_size(ends); i++) {
        char *file = sl_printf_heap("%s%s", path, ends[i]);
        unlink(file);
        free(file);
    }
}

void index_unlock(int *fd)
{
    if (*fd >= 0)
        close(*fd);
}

int index_lock(const char *path, int how)
{
    char *file = sl_printf_heap("%s.lock", path);
    int fd = open(file, O_CREAT | O_RDWR | O_CLOEXEC, 0666);
    int code = fd < 0 || flock(fd, how) < 0 ? -errno : 0;
    free(file);
    if (code < 0) {
        index_unlock(&fd);
        if (code == -EWOULDBLOCK)
            sl_fail(SL_EBUSY, "somebody else is at work on the index in %s", path);
        sl_fail_error(
            sl_error_hint(sl_error_new(code, "cannot lock the index in %s: %s", path, sl_code_message(code)),
                          "let the user that runs the application write to its directory"));
    }
    return fd;
}

static search_index *new_index(const char *path, const char *history)
{
    search_index *index = sl_calloc(1, sizeof *index);
    index->path = sl_strdup_heap(path);
    index->history_path = sl_strdup_heap(history);
    index->letters = search_letters();
    return index;
}

search_index *index_open_locked(const char *path, const char *history)
{
    search_index *index = new_index(path, history);
    int code = connect_to(index);
    if (!code)
        code = make_tables(index);
    if (code == SQLITE_CORRUPT || code == SQLITE_NOTADB) {
        sl_warning("%s is damaged: the index is made anew from the history", path);
        disconnect(index);
        index_remove_files(path);
        code = connect_to(index);
        if (!code)
            code = make_tables(index);
    }
    if (code) {
        sl_error *error = sql_error(index->db, "open the", "index of the chat", path);
        search_index_close(index);
        sl_fail_error(error);
    }
    return index;
}

search_index *search_index_open(const char *path, const char *history)
{
    SL_CLEANUP(index_unlock) __attribute__((unused)) int locked = index_lock(path, LOCK_EX);
    return index_open_locked(path, history);
}
