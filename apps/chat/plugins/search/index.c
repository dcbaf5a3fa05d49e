/* index.c: the full-text index of what was said.
 *
 * `document` has the messages, and `text` is FTS5's index of their bodies, kept in step by triggers.
 * `progress` says which message of the history was read last, with a mark by which to know it again: if the
 * history has another message of that number, or none, it is another history, and the index begins anew. */
#include "index.h"
#include "sql.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/file.h>
#include <unistd.h>

#define VERSION "1"
#define BATCH 1000 /* messages read in one transaction: others write between two of them */
#define PATIENCE_MS 5000

static const char SCHEMA[] =
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

static const char CLEAR[] =
    "DROP TABLE IF EXISTS text; DROP TABLE IF EXISTS document; DROP TABLE IF EXISTS progress;";

enum statement {
    ADD,
    PROGRESS,
    SET_PROGRESS,
    BODY,
    SNIPPET,
    OWN, /* those above are the index's, those below the history's */
    NEWEST = OWN,
    MARK,
    READ,
    STATEMENTS,
};

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

struct search_index {
    char *path, *history_path;
    sqlite3 *db, *history; /* history: NULL as long as there is no file */
    sqlite3_stmt *statements[STATEMENTS];
    locale_t letters;
    bool damaged;
    bool late; /* the query has taken too long */
    uint64_t deadline_ns;
};

/* ---- Errors ------------------------------------------------------------------------------------------ */

static SL_NORETURN void fail(search_index *index, sqlite3 *db, const char *what)
{
    int code = db ? sqlite3_errcode(db) : SQLITE_NOMEM;
    index->deadline_ns = 0;
    if (db == index->db && (code == SQLITE_CORRUPT || code == SQLITE_NOTADB))
        index->damaged = true;
    sl_fail_error(sql_error(db, what, db == index->db ? "index of the chat" : "history of the chat",
                            db == index->db ? index->path : index->history_path));
}

static void run(search_index *index, const char *sql, const char *what)
{
    if (sqlite3_exec(index->db, sql, NULL, NULL, NULL))
        fail(index, index->db, what);
}

/* Whether there is another row. */
static bool step(search_index *index, sqlite3_stmt *statement)
{
    int code = sqlite3_step(statement);
    if (code != SQLITE_ROW && code != SQLITE_DONE)
        fail(index, sqlite3_db_handle(statement), "read the");
    return code == SQLITE_ROW;
}

/* ---- Opening and closing ----------------------------------------------------------------------------- */

bool search_index_damaged(const search_index *index)
{
    return index->damaged;
}

/* The history is never made here: that is the chat's business. */
static bool open_history(search_index *index)
{
    if (index->history)
        return true;
    if (access(index->history_path, F_OK) < 0)
        return false;
    int tables = 0;
    int code = sqlite3_open_v2(index->history_path, &index->history,
                               SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL);
    sqlite3_busy_timeout(index->history, PATIENCE_MS);
    if (!code)
        code =
            sql_number(index->history, "SELECT count(*) FROM sqlite_schema WHERE name = 'message'", &tables);
    if (!code && !tables) { /* the chat is about to make it */
        sqlite3_close(index->history);
        index->history = NULL;
        return false;
    }
    for (int i = OWN; i < STATEMENTS && !code; i++)
        code = sqlite3_prepare_v3(index->history, SQL[i], -1, SQLITE_PREPARE_PERSISTENT,
                                  &index->statements[i], NULL);
    if (code)
        fail(index, index->history, "read the");
    return true;
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
    sqlite3_busy_timeout(index->db, PATIENCE_MS);
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
        code = sqlite3_exec(index->db, CLEAR, NULL, NULL, NULL);
    if (!code && version != atoi(VERSION))
        code = sqlite3_exec(index->db, SCHEMA, NULL, NULL, NULL);
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
    for (int i = OWN; i < STATEMENTS; i++)
        sqlite3_finalize(index->statements[i]);
    sqlite3_close(index->history);
    freelocale(index->letters);
    free(index->path);
    free(index->history_path);
    free(index);
}

static void remove_database(const char *path)
{
    static const char *const ends[] = {"-wal", "-shm", "-journal", ""};
    for (size_t i = 0; i < sl_array_size(ends); i++) {
        char *file = sl_printf_heap("%s%s", path, ends[i]);
        unlink(file);
        free(file);
    }
}

static void unlock(int *fd)
{
    if (*fd >= 0)
        close(*fd);
}

/* Only one process at a time makes an index or puts another in its place. The lock goes with the process. */
static int lock(const char *path, int how)
{
    char *file = sl_printf_heap("%s.lock", path);
    int fd = open(file, O_CREAT | O_RDWR | O_CLOEXEC, 0666);
    int code = fd < 0 || flock(fd, how) < 0 ? -errno : 0;
    free(file);
    if (code < 0) {
        unlock(&fd);
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

/* For whoever has the lock. */
static search_index *open_locked(const char *path, const char *history)
{
    search_index *index = new_index(path, history);
    int code = connect_to(index);
    if (!code)
        code = make_tables(index);
    if (code == SQLITE_CORRUPT || code == SQLITE_NOTADB) {
        sl_warning("%s is damaged: the index is made anew from the history", path);
        disconnect(index);
        remove_database(path);
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
    SL_CLEANUP(unlock) __attribute__((unused)) int locked = lock(path, LOCK_EX);
    return open_locked(path, history);
}

/* ---- Transactions ------------------------------------------------------------------------------------ */

static void roll_back(sqlite3 **db)
{
    if (!sqlite3_get_autocommit(*db))
        sqlite3_exec(*db, "ROLLBACK", NULL, NULL, NULL);
}
/* What is not committed when the block is left is rolled back. */
#define ROLLED_BACK(index) SL_CLEANUP(roll_back) __attribute__((unused)) sqlite3 *rolled_back = (index)->db

static void commit(search_index *index)
{
    run(index, "COMMIT", "write to the");
}

/* Control characters mark what was found, so that none may come from a message. */
static const char *without_controls(sl_arena *arena, const char *text)
{
    char *copy = sl_arena_strdup(arena, text);
    for (char *c = copy; *c; c++)
        if ((unsigned char)*c < ' ' && *c != '\n' && *c != '\t')
            *c = ' ';
    return copy;
}

static void add(search_index *index, sl_arena *arena, const struct search_document *d)
{
    SQL_AUTO_RESET sqlite3_stmt *s = index->statements[ADD];
    sqlite3_bind_int64(s, 1, d->id);
    sql_bind(s, 2, d->room);
    sql_bind(s, 3, search_fold(arena, index->letters, d->room));
    sql_bind(s, 4, d->author);
    sql_bind(s, 5, search_fold(arena, index->letters, d->author));
    sqlite3_bind_int64(s, 6, d->sent);
    sql_bind(s, 7, without_controls(arena, d->body));
    if (sqlite3_step(s) != SQLITE_DONE)
        fail(index, index->db, "write to the");
}

void search_index_add(search_index *index, const struct search_document *documents, size_t count)
{
    ROLLED_BACK(index);
    run(index, "BEGIN IMMEDIATE", "write to the");
    for (size_t i = 0; i < count; i++)
        add(index, sl_task_arena(), &documents[i]);
    commit(index);
}

void search_index_flush(search_index *index)
{
    if (sqlite3_wal_checkpoint_v2(index->db, NULL, SQLITE_CHECKPOINT_FULL, NULL, NULL))
        fail(index, index->db, "write the");
}

/* ---- Reading the history ----------------------------------------------------------------------------- */

struct progress {
    int64_t last;
    const char *mark;
};

static struct progress read_progress(search_index *index)
{
    SQL_AUTO_RESET sqlite3_stmt *s = index->statements[PROGRESS];
    if (!step(index, s))
        return (struct progress){0, ""};
    return (struct progress){sqlite3_column_int64(s, 0), sl_strdup(sql_text(s, 1))};
}

static void set_progress(search_index *index, struct progress progress)
{
    SQL_AUTO_RESET sqlite3_stmt *s = index->statements[SET_PROGRESS];
    sqlite3_bind_int64(s, 1, progress.last);
    sql_bind(s, 2, progress.mark);
    if (sqlite3_step(s) != SQLITE_DONE)
        fail(index, index->db, "write to the");
}

static bool is_of_this_history(search_index *index, struct progress progress)
{
    if (!progress.last)
        return true;
    SQL_AUTO_RESET sqlite3_stmt *s = index->statements[MARK];
    sqlite3_bind_int64(s, 1, progress.last);
    return step(index, s) && strcmp(sql_text(s, 0), progress.mark) == 0;
}

static int64_t newest(search_index *index)
{
    SQL_AUTO_RESET sqlite3_stmt *s = index->statements[NEWEST];
    return step(index, s) ? sqlite3_column_int64(s, 0) : 0;
}

/* The next messages; gives how many there were. */
static int read_some(search_index *index, struct progress *progress, int most)
{
    int count = 0;
    SQL_AUTO_RESET sqlite3_stmt *s = index->statements[READ];
    sqlite3_bind_int64(s, 1, progress->last);
    sqlite3_bind_int(s, 2, most);
    for (; step(index, s); count++) {
        struct search_document d = {.id = sqlite3_column_int64(s, 0),
                                    .room = sql_text(s, 1),
                                    .author = sql_text(s, 2),
                                    .body = sql_text(s, 3),
                                    .sent = sqlite3_column_int64(s, 4) * 1000};
        add(index, sl_task_arena(), &d);
        *progress = (struct progress){d.id, sl_strdup(sql_text(s, 5))};
    }
    return count;
}

/* Reads some in one transaction; false when there is nothing left. Another process may be at the same work:
 * whoever has the lock goes on where the other was. */
static bool advance(search_index *index)
{
    ROLLED_BACK(index);
    run(index, "BEGIN IMMEDIATE", "write to the");
    struct progress progress = read_progress(index);
    if (!is_of_this_history(index, progress)) {
        sl_info("%s is another history: the index begins anew", index->history_path);
        run(index, CLEAR, "clear the");
        run(index, SCHEMA, "clear the");
        progress = (struct progress){0, ""};
    }
    int count = read_some(index, &progress, BATCH);
    set_progress(index, progress);
    commit(index);
    return count == BATCH;
}

void search_index_catch_up(search_index *index)
{
    if (!open_history(index))
        return;
    struct progress progress = read_progress(index);
    bool more = newest(index) > progress.last || !is_of_this_history(index, progress);
    while (more)
        SL_SCRATCH()
    more = advance(index);
}

/* ---- Looking for messages ---------------------------------------------------------------------------- */

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
        fail(index, index->db, "search the");
    return s;
}

/* As step, but a query that takes too long has no further row. */
static bool step_in_time(search_index *index, sqlite3_stmt *s)
{
    int code = index->late ? SQLITE_INTERRUPT : sqlite3_step(s);
    if (code == SQLITE_INTERRUPT && index->late)
        return false;
    if (code != SQLITE_ROW && code != SQLITE_DONE)
        fail(index, index->db, "search the");
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
    if (!step(index, s))
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
    if (step(index, snippet))
        cut(hit, sql_text(snippet, 0));
}

void search_index_find(search_index *index, const struct search_wanted *wanted, int64_t offset, int64_t limit,
                       struct search_found *found)
{
    ROLLED_BACK(index);
    run(index, "BEGIN", "search the"); /* all of it sees the same */
    index->late = false;
    index->deadline_ns = sl_monotonic_ns() + (uint64_t)PATIENCE_MS * 1000000;
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
    commit(index);
}

/* ---- Making it anew ---------------------------------------------------------------------------------- */

static void close_index(search_index **index)
{
    search_index_close(*index);
}

static int64_t read_all(search_index *fresh)
{
    ROLLED_BACK(fresh);
    struct progress progress = {0, ""};
    int64_t total = 0;
    run(fresh, "BEGIN", "write the");
    for (int count = BATCH; count == BATCH;) {
        SL_SCRATCH()
        {
            struct progress now = progress;
            count = read_some(fresh, &now, BATCH);
            if (count)
                set_progress(fresh, now);
            progress.last = now.last;
        }
        total += count;
    }
    commit(fresh);
    run(fresh, "INSERT INTO text (text) VALUES ('optimize')", "write the");
    return total;
}

/* Copies one database over another in one transaction: whoever has that open sees the old or the new. */
static int copy_over(sqlite3 *from, sqlite3 *to)
{
    sqlite3_backup *backup = sqlite3_backup_init(to, "main", from, "main");
    if (!backup)
        return sqlite3_errcode(to);
    int code;
    uint64_t deadline_ns = sl_monotonic_ns() + (uint64_t)6 * PATIENCE_MS * 1000000;
    do
        code = sqlite3_backup_step(backup, /* pages= */ -1);
    while ((code == SQLITE_BUSY || code == SQLITE_LOCKED) && sl_monotonic_ns() < deadline_ns &&
           usleep(1000) == 0);
    int finished = sqlite3_backup_finish(backup);
    return code == SQLITE_DONE ? finished : code;
}

int64_t search_index_rebuild(const char *path, const char *history)
{
    const char *beside = sl_printf("%s.new", path);
    SL_CLEANUP(unlock) __attribute__((unused)) int locked = lock(beside, LOCK_EX | LOCK_NB);
    remove_database(beside);
    SL_CLEANUP(close_index) search_index *fresh = open_locked(beside, history);
    if (!open_history(fresh))
        sl_fail_error(sl_error_hint(sl_error_new(SL_ENOENT, "there is no history in %s", history),
                                    "the chat makes it when it is first served"));
    int64_t total = read_all(fresh);
    SL_CLEANUP(close_index) search_index *old = search_index_open(path, history);
    if (copy_over(fresh->db, old->db))
        fail(old, old->db, "replace the");
    remove_database(beside);
    return total;
}
