/* history.c: what was said, in an SQLite database.
 *
 * Two connections: `reader` is used on the loop, `writer` in one thread at a time. Writes that come while the
 * thread is busy wait in a list and are then stored together, in one transaction with one sync of the disk.
 * So the busier the rooms are, the less a message costs, and none is acknowledged before it is safe. */
#include "history.h"

#include <inttypes.h>
#include <pthread.h>
#include <sqlite3.h>
#include <stdlib.h>

#define ROOMS_LIMIT "1000"
#define PAGES_LIMIT "1048576" /* of 4 KiB: the file stops growing at 4 GiB */

static const char SCHEMA[] =
    "BEGIN IMMEDIATE;"
    "CREATE TABLE IF NOT EXISTS room (name TEXT PRIMARY KEY COLLATE NOCASE, made INTEGER NOT NULL) STRICT;"
    "CREATE TABLE IF NOT EXISTS message ("
    "  id INTEGER PRIMARY KEY AUTOINCREMENT,"
    "  room TEXT NOT NULL, author TEXT NOT NULL, nonce TEXT NOT NULL, body TEXT NOT NULL, sent INTEGER NOT "
    "NULL,"
    "  UNIQUE (room, author, nonce)) STRICT;"
    "CREATE INDEX IF NOT EXISTS message_of_room ON message (room, id);"
    "INSERT OR IGNORE INTO room VALUES ('lobby', 0);"
    "PRAGMA user_version = 1;"
    "COMMIT;";

enum statement {
    ROOMS,
    ROOM,
    BEFORE,
    AFTER,
    NEWEST,
    READS, /* those above are the reader's, those below the writer's */
    MAKE_ROOM = READS,
    FIND_ROOM,
    ADD,
    FIND,
    ADD_ANYWAY,
    STATEMENTS,
};

#define MESSAGE_COLUMNS "id, sent, room, author, body, nonce"

static const char *const SQL[STATEMENTS] = {
    [ROOMS] = "SELECT room.name, coalesce(m.sent, room.made) AS active, m.author, m.body FROM room LEFT JOIN "
              "message m"
              " ON m.id = (SELECT max(id) FROM message WHERE room = room.name) ORDER BY active DESC, "
              "room.name LIMIT ?",
    [ROOM] = "SELECT name FROM room WHERE name = ?",
    [BEFORE] = "SELECT * FROM (SELECT " MESSAGE_COLUMNS " FROM message WHERE room = ? AND id < ?"
               " ORDER BY id DESC LIMIT ?) ORDER BY id",
    [AFTER] = "SELECT " MESSAGE_COLUMNS " FROM message WHERE room = ? AND id > ? ORDER BY id LIMIT ?",
    [NEWEST] = "SELECT seq FROM sqlite_sequence WHERE name = 'message'",
    [MAKE_ROOM] = "INSERT OR IGNORE INTO room SELECT ?, ? WHERE (SELECT count(*) FROM room) < " ROOMS_LIMIT,
    [FIND_ROOM] = "SELECT name FROM room WHERE name = ?",
    [ADD] = "INSERT INTO message (room, author, nonce, body, sent) VALUES (?, ?, ?, ?, ?)"
            " ON CONFLICT DO NOTHING RETURNING " MESSAGE_COLUMNS,
    [FIND] =
        "SELECT " MESSAGE_COLUMNS " FROM message WHERE room = ? AND author = ? AND nonce = ? AND body = ?",
    [ADD_ANYWAY] =
        "INSERT INTO message (room, author, nonce, body, sent) VALUES (?, ?, ? || hex(randomblob(8)), ?, ?)"
        " RETURNING " MESSAGE_COLUMNS,
};

/* Something that waits to be written. */
struct write {
    struct write *next;
    sl_deferred *done;
    int (*run)(history *h, struct write *write); /* in the thread: an SQLite code */
    struct message *message;                     /* to be stored; then as it was stored */
    sl_error *error;
};

struct history {
    char *path;
    sqlite3 *reader, *writer;
    sqlite3_stmt *statements[STATEMENTS];
    struct write *waiting, **waiting_end;

    sl_deferred *writing; /* the thread's work, while there is some */
    struct write *batch;  /* what it is at */
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    bool written; /* the thread is done with the batch */
};

/* ---- Errors ------------------------------------------------------------------------------------------ */

static const char *advice_for(int code)
{
    switch (code & 0xff) {
    case SQLITE_READONLY:
    case SQLITE_PERM:
        return "let the user that runs the application write to this file and to its directory";
    case SQLITE_CANTOPEN:
        return "check that its directory exists, and that the user that runs the application may read and "
               "write there";
    case SQLITE_NOTADB:
    case SQLITE_CORRUPT:
        return "move the file away and put a backup in its place; `sqlite3 FILE .recover` prints what can "
               "still be read";
    case SQLITE_FULL:
        return "make room on its disk; at 4 GiB the file is as large as the chat lets it become";
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return "another program has held the file for more than 5 seconds: `fuser -v FILE` names it";
    case SQLITE_IOERR:
        return "its disk fails, or is full: the system's log (`dmesg`) says more";
    default:
        return NULL;
    }
}

static sl_error *error_of(history *h, sqlite3 *db, const char *what)
{
    int code = db ? sqlite3_extended_errcode(db) : SQLITE_NOMEM;
    sl_error *error = sl_error_new(SL_EDATABASE, "cannot %s the chat's history in %s: %s", what, h->path,
                                   db ? sqlite3_errmsg(db) : "out of memory");
    return advice_for(code) ? sl_error_hint(error, "%s", advice_for(code)) : error;
}

/* ---- Opening and closing ----------------------------------------------------------------------------- */

static int run_sql(sqlite3 *db, const char *sql)
{
    return sqlite3_exec(db, sql, /* callback= */ NULL, NULL, /* error= */ NULL);
}

static int number_of(sqlite3 *db, const char *sql, int *ret_number)
{
    sqlite3_stmt *statement = NULL;
    int code = sqlite3_prepare_v2(db, sql, -1, &statement, NULL);
    if (code == SQLITE_OK && (code = sqlite3_step(statement)) == SQLITE_ROW) {
        *ret_number = sqlite3_column_int(statement, 0);
        code = SQLITE_OK;
    }
    sqlite3_finalize(statement);
    return code;
}

static int connect_to(history *h, sqlite3 **db)
{
    int code =
        sqlite3_open_v2(h->path, db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, NULL);
    if (code)
        return code;
    sqlite3_extended_result_codes(*db, 1);
    sqlite3_busy_timeout(*db, 5000);
    /* With the write-ahead log readers and the writer do not wait for each other; FULL syncs it at each
     * commit. */
    return run_sql(
        *db, "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA max_page_count = " PAGES_LIMIT);
}

static int prepare(history *h, sqlite3 *db, int from, int to)
{
    int code = SQLITE_OK;
    for (int i = from; i < to && !code; i++)
        code = sqlite3_prepare_v3(db, SQL[i], -1, SQLITE_PREPARE_PERSISTENT, &h->statements[i], NULL);
    return code;
}

history *history_open(const char *path)
{
    history *h = sl_calloc(1, sizeof *h);
    h->path = sl_strdup_heap(path);
    h->waiting_end = &h->waiting;
    pthread_mutex_init(&h->mutex, NULL);
    pthread_cond_init(&h->changed, NULL);

    int version = 0;
    sl_error *error = NULL;
    if (connect_to(h, &h->writer) || number_of(h->writer, "PRAGMA user_version", &version))
        error = error_of(h, h->writer, "open");
    else if (version > 1)
        error =
            sl_error_hint(sl_error_new(SL_EDATABASE, "%s was written by a newer version of the chat", path),
                          "run that version, or set another file aside for this one");
    else if (run_sql(h->writer, SCHEMA) || prepare(h, h->writer, READS, STATEMENTS))
        error = error_of(h, h->writer, "open");
    else if (connect_to(h, &h->reader) || prepare(h, h->reader, 0, READS))
        error = error_of(h, h->reader, "open");
    if (error) {
        history_close(h);
        sl_fail_error(error);
    }
    return h;
}

void history_close(void *data)
{
    history *h = data;
    if (!h)
        return;
    while (h->writing) {
        pthread_mutex_lock(&h->mutex);
        while (!h->written)
            pthread_cond_wait(&h->changed, &h->mutex);
        pthread_mutex_unlock(&h->mutex);
        sl_cancel(h->writing); /* so that `batch_done` runs now, and not when we are gone */
    }
    for (int i = 0; i < STATEMENTS; i++)
        sqlite3_finalize(h->statements[i]);
    sqlite3_close(h->reader);
    sqlite3_close(h->writer);
    pthread_mutex_destroy(&h->mutex);
    pthread_cond_destroy(&h->changed);
    free(h->path);
    free(h);
}

/* ---- Reading ----------------------------------------------------------------------------------------- */

static void reset(sqlite3_stmt **statement)
{
    sqlite3_reset(*statement);
    sqlite3_clear_bindings(*statement);
}
/* A prepared statement that is put back when the block is left. */
#define AUTO_STATEMENT SL_CLEANUP(reset) sqlite3_stmt

static void bind_text(sqlite3_stmt *statement, int index, const char *text)
{
    sqlite3_bind_text(statement, index, text, -1, SQLITE_STATIC);
}

static const char *column(sqlite3_stmt *statement, int index)
{
    return (const char *)sqlite3_column_text(statement, index);
}

static const char *copied(const char *text)
{
    return text ? sl_strdup(text) : NULL;
}

/* Whether there is another row. */
static bool step(history *h, sqlite3_stmt *statement)
{
    int code = sqlite3_step(statement);
    if (code != SQLITE_ROW && code != SQLITE_DONE)
        sl_fail_error(error_of(h, h->reader, "read"));
    return code == SQLITE_ROW;
}

struct rooms history_rooms(history *h, size_t limit)
{
    AUTO_STATEMENT *s = h->statements[ROOMS];
    struct rooms rooms = {.items = sl_alloc(limit * sizeof *rooms.items)};
    sqlite3_bind_int64(s, 1, (int64_t)limit);
    while (step(h, s))
        rooms.items[rooms.count++] = (struct room){
            .name = copied(column(s, 0)),
            .active_ms = sqlite3_column_int64(s, 1),
            .author = copied(column(s, 2)),
            .body = copied(column(s, 3)),
        };
    return rooms;
}

const char *history_room(history *h, const char *name)
{
    AUTO_STATEMENT *s = h->statements[ROOM];
    bind_text(s, 1, name);
    return step(h, s) ? copied(column(s, 0)) : NULL;
}

static struct messages read_messages(history *h, enum statement which, const char *room, int64_t id,
                                     size_t limit)
{
    AUTO_STATEMENT *s = h->statements[which];
    struct messages messages = {.items = sl_alloc(limit * sizeof *messages.items)};
    bind_text(s, 1, room);
    sqlite3_bind_int64(s, 2, id);
    sqlite3_bind_int64(s, 3, (int64_t)limit);
    while (step(h, s))
        messages.items[messages.count++] = (struct message){
            .id = sqlite3_column_int64(s, 0),
            .sent_ms = sqlite3_column_int64(s, 1),
            .room = copied(column(s, 2)),
            .author = copied(column(s, 3)),
            .body = copied(column(s, 4)),
            .nonce = copied(column(s, 5)),
        };
    return messages;
}

struct messages history_before(history *h, const char *room, int64_t before, size_t limit)
{
    return read_messages(h, BEFORE, room, before, limit);
}

struct messages history_after(history *h, const char *room, int64_t after, size_t limit)
{
    return read_messages(h, AFTER, room, after, limit);
}

int64_t history_newest(history *h)
{
    AUTO_STATEMENT *s = h->statements[NEWEST];
    return step(h, s) ? sqlite3_column_int64(s, 0) : 0;
}

/* ---- Writing: in the thread -------------------------------------------------------------------------- */

/* A message and its strings in one piece of memory. */
static struct message *new_message(const char *room, const char *author, const char *nonce, const char *body)
{
    const char *from[] = {room, author, nonce, body};
    size_t sizes[4], total = sizeof(struct message);
    for (int i = 0; i < 4; i++)
        total += sizes[i] = strlen(from[i]) + 1;
    struct message *m = sl_malloc(total);
    char *to[4], *end = (char *)(m + 1);
    for (int i = 0; i < 4; end += sizes[i++])
        to[i] = memcpy(end, from[i], sizes[i]);
    *m = (struct message){.room = to[0], .author = to[1], .nonce = to[2], .body = to[3]};
    return m;
}

/* Runs one of the statements that give a message back, and takes that in the place of the one to be stored.
 */
static int message_from(history *h, enum statement which, struct write *write)
{
    AUTO_STATEMENT *s = h->statements[which];
    bind_text(s, 1, write->message->room);
    bind_text(s, 2, write->message->author);
    bind_text(s, 3, write->message->nonce);
    bind_text(s, 4, write->message->body);
    if (which != FIND)
        sqlite3_bind_int64(s, 5, sl_wall_ms());
    int code = sqlite3_step(s);
    if (code != SQLITE_ROW)
        return code;
    struct message *stored = new_message(column(s, 2), column(s, 3), column(s, 5), column(s, 4));
    stored->id = sqlite3_column_int64(s, 0);
    stored->sent_ms = sqlite3_column_int64(s, 1);
    code = which == FIND ? SQLITE_DONE : sqlite3_step(s); /* an INSERT takes hold when it is through */
    free(write->message);
    write->message = stored;
    return code == SQLITE_DONE ? SQLITE_ROW : code;
}

/* The same mark with the same words is a message that came before. With other words it is a page that the
 * browser kept and that was used again, so it is something new. */
static int add_message(history *h, struct write *write)
{
    int code = message_from(h, ADD, write);
    if (code == SQLITE_DONE)
        code = message_from(h, FIND, write);
    if (code == SQLITE_DONE)
        code = message_from(h, ADD_ANYWAY, write);
    return code == SQLITE_ROW ? SQLITE_OK : code;
}

static int make_room(history *h, struct write *write)
{
    AUTO_STATEMENT *make = h->statements[MAKE_ROOM], *find = h->statements[FIND_ROOM];
    bind_text(make, 1, write->message->room);
    sqlite3_bind_int64(make, 2, sl_wall_ms());
    int code = sqlite3_step(make);
    if (code != SQLITE_DONE)
        return code;
    bind_text(find, 1, write->message->room);
    code = sqlite3_step(find);
    if (code == SQLITE_DONE)
        write->error =
            sl_error_new(SL_EBUSY, "There are " ROOMS_LIMIT " rooms already, and no room for one more.");
    return code == SQLITE_ROW || code == SQLITE_DONE ? SQLITE_OK : code;
}

/* A statement that fails fails its own write only; a disk that is full or breaks ends the transaction, and so
 * all of them. */
static int store_batch(history *h)
{
    int code = run_sql(h->writer, "BEGIN IMMEDIATE");
    if (code)
        return code;
    for (struct write *w = h->batch; w && !sqlite3_get_autocommit(h->writer); w = w->next)
        if (w->run(h, w) != SQLITE_OK)
            w->error = error_of(h, h->writer, "write to");
    return sqlite3_get_autocommit(h->writer) ? SQLITE_ABORT : run_sql(h->writer, "COMMIT");
}

static sl_result write_batch(void *data)
{
    history *h = data;
    if (store_batch(h) != SQLITE_OK) {
        for (struct write *w = h->batch; w; w = w->next)
            if (!w->error)
                w->error = error_of(h, h->writer, "write to");
        if (!sqlite3_get_autocommit(h->writer))
            run_sql(h->writer, "ROLLBACK");
    }
    pthread_mutex_lock(&h->mutex);
    h->written = true;
    pthread_cond_signal(&h->changed);
    pthread_mutex_unlock(&h->mutex);
    return sl_ok(NULL);
}

/* ---- Writing: on the loop ---------------------------------------------------------------------------- */

static void start_writing(history *h);

static sl_result batch_done(sl_result result, void *data)
{
    history *h = data;
    sl_result_done(&result); /* each write knows its own */
    h->writing = sl_deferred_unref(h->writing);
    struct write *next;
    for (struct write *w = h->batch; w; w = next) {
        next = w->next;
        if (w->error) {
            sl_fire_error(w->done, w->error);
            free(w->message);
        } else {
            sl_fire(w->done, w->message, free);
        }
        free(w);
    }
    h->batch = NULL;
    if (h->waiting)
        start_writing(h);
    return sl_ok(NULL);
}

static void start_writing(history *h)
{
    h->batch = h->waiting;
    h->waiting = NULL;
    h->waiting_end = &h->waiting;
    h->written = false;
    h->writing = sl_in_thread(write_batch, h, NULL);
    sl_then(h->writing, batch_done, batch_done, h, /* free_data= */ NULL);
}

static sl_deferred *write_later(history *h, int (*run)(history *, struct write *), struct message *message)
{
    sl_deferred *done = sl_deferred_new(/* cancel= */ NULL, NULL);
    struct write *w = sl_malloc(sizeof *w);
    *w = (struct write){.done = done, .run = run, .message = message};
    *h->waiting_end = w;
    h->waiting_end = &w->next;
    if (!h->writing)
        start_writing(h);
    return done;
}

sl_deferred *history_make_room(history *h, const char *room)
{
    return write_later(h, make_room, new_message(room, "", "", ""));
}

sl_deferred *history_add(history *h, const char *room, const char *author, const char *nonce,
                         const char *body)
{
    return write_later(h, add_message, new_message(room, author, nonce, body));
}
