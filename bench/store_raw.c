/* store_raw.c: SQLite as a C program uses it that keeps its statements prepared: what the store is measured
 * by. */
#include "store.h"

#include <sqlite3.h>
#include <stdlib.h>

static sqlite3 *db, *durable;
static sqlite3_stmt *get, *insert, *scan, *update, *insert_durable;

static void must(sqlite3 *on, int code)
{
    if (code != SQLITE_OK && code != SQLITE_DONE && code != SQLITE_ROW)
        give_up("SQLite", sqlite3_errmsg(on));
}

static void execute(sqlite3 *on, const char *sql)
{
    must(on, sqlite3_exec(on, sql, /* callback= */ NULL, NULL, /* error= */ NULL));
}

/* As the store opens its own, so that both do the same work. */
static sqlite3 *opened(const char *path)
{
    sqlite3 *made = NULL;
    int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX;
    int code = sqlite3_open_v2(path, &made, flags, NULL);
    must(made, code);
    sqlite3_busy_timeout(made, 10000);
    execute(made, "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON");
    return made;
}

static sqlite3_stmt *prepared(sqlite3 *on, const char *sql)
{
    sqlite3_stmt *made;
    must(on, sqlite3_prepare_v3(on, sql, -1, SQLITE_PREPARE_PERSISTENT, &made, NULL));
    return made;
}

void raw_fill(const char *path)
{
    sqlite3 *filled = opened(path);
    execute(filled, "BEGIN; "
                    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000)"
                    "INSERT INTO item SELECT i, " ROW_IN_SQLITE " FROM n; "
                    "INSERT INTO edited SELECT * FROM item; COMMIT; PRAGMA wal_checkpoint(TRUNCATE)");
    sqlite3_close(filled);
}

void raw_open(const char *schema)
{
    const char *path = database_path(directory, "raw"), *on_disk = database_path(disk, "raw-disk");
    db = opened(path);
    execute(db, schema);
    raw_fill(path);
    get = prepared(db, "SELECT id, name, mail, number, weight FROM item WHERE id = ?");
    insert = prepared(db, "INSERT INTO fresh (name, mail, number, weight) VALUES (?, ?, ?, ?)");
    scan = prepared(db, "SELECT id, name, mail, number, weight FROM item");
    update = prepared(db, "UPDATE edited SET number = ? WHERE id = ?");
    durable = opened(on_disk);
    execute(durable, schema);
    insert_durable = prepared(durable, "INSERT INTO fresh (name, mail, number, weight) VALUES (?, ?, ?, ?)");
}

void raw_close(void)
{
    sqlite3_stmt *all[] = {get, insert, scan, update, insert_durable};
    for (unsigned i = 0; i < sl_array_size(all); i++)
        sqlite3_finalize(all[i]);
    sqlite3_close(db);
    sqlite3_close(durable);
}

/* ---- Rows ---- */

static uint64_t read_row(sqlite3_stmt *statement)
{
    int64_t id = sqlite3_column_int64(statement, 0);
    const char *name = (const char *)sqlite3_column_text(statement, 1);
    int name_size = sqlite3_column_bytes(statement, 1);
    const char *mail = (const char *)sqlite3_column_text(statement, 2);
    int mail_size = sqlite3_column_bytes(statement, 2);
    int64_t number = sqlite3_column_int64(statement, 3);
    double weight = sqlite3_column_double(statement, 4);
    if (name_size != TEXT_SIZE || mail_size != TEXT_SIZE)
        give_up("SQLite", "a text has not the length that was stored");
    return row_sum(id, name, mail, number, weight);
}

static void bind_row(sqlite3_stmt *statement, const content *row)
{
    sqlite3_bind_text(statement, 1, row->name, TEXT_SIZE, SQLITE_STATIC);
    sqlite3_bind_text(statement, 2, row->mail, TEXT_SIZE, SQLITE_STATIC);
    sqlite3_bind_int64(statement, 3, row->number);
    sqlite3_bind_double(statement, 4, row->weight);
}

static void run(sqlite3 *on, sqlite3_stmt *statement)
{
    must(on, sqlite3_step(statement));
    must(on, sqlite3_reset(statement));
}

/* Keys are counted from the first: no number is given twice. */
uint64_t raw_sum(const char *path, const char *table)
{
    sqlite3 *read = opened(path);
    const char *sql = sl_printf(
        "SELECT id - (SELECT min(id) FROM %s) + 1, name, mail, number, weight FROM %s", table, table);
    sqlite3_stmt *statement = prepared(read, sql);
    uint64_t sum = 0;
    while (sqlite3_step(statement) == SQLITE_ROW)
        sum += read_row(statement);
    sqlite3_finalize(statement);
    sqlite3_close(read);
    return sum;
}

/* ---- What is measured ---- */

uint64_t raw_get(size_t n)
{
    uint64_t sum = 0;
    execute(db, "BEGIN; SELECT 1 FROM item LIMIT 1");
    clock_start();
    for (size_t i = 0; i < n; i++) {
        sqlite3_bind_int64(get, 1, key_at(i));
        if (sqlite3_step(get) != SQLITE_ROW)
            give_up("SQLite", "a row is missing");
        sum += read_row(get);
        sqlite3_reset(get);
    }
    clock_stop();
    execute(db, "COMMIT");
    return sum;
}

uint64_t raw_scan(size_t n)
{
    uint64_t sum = 0;
    execute(db, "BEGIN; SELECT 1 FROM item LIMIT 1");
    clock_start();
    while (n-- && sqlite3_step(scan) == SQLITE_ROW)
        sum += read_row(scan);
    sqlite3_reset(scan);
    clock_stop();
    execute(db, "COMMIT");
    return sum;
}

uint64_t raw_insert(size_t n)
{
    const char *path = database_path(directory, "raw");
    execute(db, "DELETE FROM fresh; BEGIN IMMEDIATE");
    clock_start();
    for (size_t i = 1; i <= n; i++) {
        bind_row(insert, &rows[i]);
        run(db, insert);
    }
    clock_stop();
    execute(db, "COMMIT");
    return raw_sum(path, "fresh");
}

uint64_t raw_update(size_t n)
{
    static int64_t change; /* each time it is another number */
    const char *path = database_path(directory, "raw");
    change++;
    execute(db, "BEGIN IMMEDIATE");
    clock_start();
    for (size_t i = 0; i < n; i++) {
        int64_t key = key_at(i);
        sqlite3_bind_int64(update, 1, rows[key].number + change);
        sqlite3_bind_int64(update, 2, key);
        run(db, update);
    }
    clock_stop();
    execute(db, "COMMIT");
    return raw_sum(path, "edited") - n * (uint64_t)change;
}

uint64_t raw_durable(size_t n)
{
    const char *path = database_path(disk, "raw-disk");
    execute(durable, "DELETE FROM fresh");
    clock_start();
    for (size_t i = 1; i <= n; i++) {
        bind_row(insert_durable, &rows[i]);
        run(durable, insert_durable);
    }
    clock_stop();
    return raw_sum(path, "fresh");
}
