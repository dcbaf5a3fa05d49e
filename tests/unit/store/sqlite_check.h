/* sqlite_check.h: what the tests of the SQLite driver share: a store made by hand, and statements in one
 * line. */
#pragma once

#include "../io/check.h"
#include "store/sqlite.h"

#define DRIVER (&sl__sqlite_driver)

/* NULL, or the process ends with what went wrong. */
#define OK(made)                                                                                             \
    do {                                                                                                     \
        sl_error *ok_error = (made);                                                                         \
        if (ok_error) {                                                                                      \
            fprintf(stderr, "%s:%d: %s: %s\n", __FILE__, __LINE__, #made, sl_error_text(ok_error));          \
            abort();                                                                                         \
        }                                                                                                    \
    } while (0)

/* An error of this code whose text (message, detail and hint) contains that. */
#define FAILS(made, wanted, contained) check_error((made), (wanted), (contained), __FILE__, __LINE__)
static inline void check_error(sl_error *error, int code, const char *contained, const char *file, int line)
{
    char *text = error ? sl_error_text(error) : sl_strdup_heap("a success");
    if (!error || error->code != code || !strstr(text, contained)) {
        fprintf(stderr, "%s:%d: wanted %s \"%s\", got %s\n", file, line, sl_code_name(code), contained, text);
        abort();
    }
    free(text);
    sl_error_unref(error);
}

static inline uint64_t shape_of(const char *sql)
{
    uint64_t hash = 14695981039346656037u;
    for (; *sql; sql++)
        hash = (hash ^ (unsigned char)*sql) * 1099511628211u;
    return hash | 1;
}

/* A statement as the rest of the room makes it. */
#define INTEGER(number) ((sl_value){.kind = SL_KIND_INTEGER, .integer = (number)})
#define TEXT(string) ((sl_value){.kind = SL_KIND_TEXT, .text = sl_view_of(string)})
#define STATEMENT(string, ...)                                                                               \
    ((sl__statement){                                                                                        \
        .sql = (string),                                                                                     \
        .size = (uint32_t)strlen(string),                                                                    \
        .shape = shape_of(string),                                                                           \
        .site = SL_HERE,                                                                                     \
        .values = (const sl_value[]){__VA_ARGS__ __VA_OPT__(, )(sl_value){0}},                               \
        .count = sizeof((const sl_value[]){__VA_ARGS__ __VA_OPT__(, )(sl_value){0}}) / sizeof(sl_value) - 1, \
    })

/* Runs it to its end. What it changed, or how many rows it gave, is in *ret_changed. */
static inline sl_error *run_counted(sl__connection *connection, const sl__statement *statement,
                                    int64_t *ret_changed)
{
    sl__cursor *cursor = NULL;
    sl_error *error = DRIVER->run(connection, statement, &cursor);
    bool row = true;
    while (!error && row)
        error = DRIVER->step(cursor, &row);
    if (!error)
        *ret_changed = cursor->changed;
    DRIVER->close_cursor(cursor);
    return error;
}

static inline sl_error *run(sl__connection *connection, sl__statement statement)
{
    int64_t changed;
    return run_counted(connection, &statement, &changed);
}

/* Such as touch few rows. */
#define QUICK(connection, string, ...) run_quick((connection), STATEMENT(string, __VA_ARGS__))
static inline sl_error *run_quick(sl__connection *connection, sl__statement statement)
{
    statement.quick = statement.writes = true;
    return run(connection, statement);
}

/* The integer in the first column of the first row. */
#define NUMBER(connection, string, ...) number_of((connection), STATEMENT(string, __VA_ARGS__))
static inline int64_t number_of(sl__connection *connection, sl__statement statement)
{
    struct {
        int64_t number;
        uint64_t nulls;
    } row = {-1, 0};
    const sl__field field = {.kind = SL_KIND_INTEGER, .name = "number"};
    sl__cursor *cursor = NULL;
    bool found = false;
    OK(DRIVER->run(connection, &statement, &cursor));
    OK(DRIVER->step(cursor, &found));
    CHECK(found);
    OK(DRIVER->read(cursor, 0, &field, 1, &row, &row.nulls, NULL));
    DRIVER->close_cursor(cursor);
    return row.number;
}

/* ---- A store ------------------------------------------------------------------------------------------- */

static sl_store_options options;
static sl_store store;
static char store_path[128];

static inline sl__sqlite *inside(void)
{
    return store.data;
}

static inline sl__connection *begin_how(sl__begin how)
{
    sl__connection *connection = NULL;
    how.site = SL_HERE;
    OK(DRIVER->begin(&store, &how, &connection));
    return connection;
}
#define BEGIN(...) begin_how((sl__begin){__VA_ARGS__})
#define WRITE() BEGIN(.writes = true)
#define READ() BEGIN(.read_only = true)

/* Opens the scratch directory's database, or another. */
static inline void open_store(const char *url)
{
    snprintf(store_path, sizeof store_path, "%s/test.db", scratch);
    options = (sl_store_options){.connections = 4, .busy_ms = 60000};
    store = (sl_store){.name = (char *)"main", .driver = DRIVER, .options = &options};
    store.url = url ? (char *)url : sl_printf("sqlite:%s", store_path);
    OK(DRIVER->open(&store));
}

static inline void close_store(void)
{
    DRIVER->close(&store);
}

/* In a transaction of its own. */
static inline void write_alone(const char *sql)
{
    sl__connection *connection = WRITE();
    OK(run(connection,
           (sl__statement){
               .sql = sql, .size = (uint32_t)strlen(sql), .site = SL_HERE, .writes = true, .quick = true}));
    OK(DRIVER->commit(connection));
}

#define READ_ALONE(string, ...) read_alone(STATEMENT(string, __VA_ARGS__))
static inline int64_t read_alone(sl__statement statement)
{
    sl__connection *connection = BEGIN(.single = true, .read_only = true);
    int64_t number = number_of(connection, statement);
    DRIVER->rollback(connection);
    return number;
}

/* A connection as another process has it. */
static inline sqlite3 *other_process(void)
{
    sqlite3 *db;
    CHECK(sqlite3_open(store_path, &db) == SQLITE_OK);
    CHECK(sqlite3_exec(db, "PRAGMA foreign_keys = ON", NULL, NULL, NULL) == SQLITE_OK);
    return db;
}
#define OTHER(db, sql) CHECK(sqlite3_exec((db), (sql), NULL, NULL, NULL) == SQLITE_OK)

#define TEST(name) cmocka_unit_test_setup_teardown(name, scratch_new, scratch_remove)
