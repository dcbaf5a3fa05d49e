/* postgres_test.h: what the tests of the PostgreSQL driver share: a store made by hand, and short forms of
 * what the driver does. All of it works in tasks, so failures end the program (CHECK). */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "postgres_server.h"
#include "store/postgres_inside.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#define CHECK(condition)                                                                                     \
    do {                                                                                                     \
        if (!(condition)) {                                                                                  \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);                                  \
            abort();                                                                                         \
        }                                                                                                    \
    } while (0)
/* An expression that gives an error must give none. */
#define OK(expression)                                                                                       \
    do {                                                                                                     \
        sl_error *ok_error = (expression);                                                                   \
        if (ok_error) {                                                                                      \
            fprintf(stderr, "%s:%d: %s\n%s\n", __FILE__, __LINE__, #expression, sl_error_text(ok_error));    \
            abort();                                                                                         \
        }                                                                                                    \
    } while (0)
/* … must give one with this code, whose message or detail has the text. */
#define FAILS(expression, wanted, text)                                                                      \
    do {                                                                                                     \
        sl_error *failed = (expression);                                                                     \
        if (!failed || failed->code != (wanted) ||                                                           \
            !(strstr(failed->message, (text)) || (failed->detail && strstr(failed->detail, (text))))) {      \
            fprintf(stderr, "%s:%d: %s: wanted %s \"%s\", got %s\n", __FILE__, __LINE__, #expression,        \
                    sl_code_name(wanted), (text), failed ? sl_error_text(failed) : "a success");             \
            abort();                                                                                         \
        }                                                                                                    \
        sl_error_unref(failed);                                                                              \
    } while (0)

/* cmocka's test around a task that has an open store, `store`, at a URL, with so many connections. What
 * follows is done before it is opened. */
#define STORE_TEST_AT(name, at, connection_count, ...)                                                       \
    static void name##_body(sl_store *store);                                                                \
    static void *name##_task(void *data)                                                                     \
    {                                                                                                        \
        sl_store_options options = {.connections = (connection_count)};                                      \
        sl_store store = test_store(&options);                                                               \
        store.url = (at);                                                                                    \
        __VA_ARGS__;                                                                                         \
        OK(driver->open(&store));                                                                            \
        name##_body(&store);                                                                                 \
        driver->close(&store);                                                                               \
        CHECK(!store.data);                                                                                  \
        return NULL;                                                                                         \
    }                                                                                                        \
    static void name(void **state)                                                                           \
    {                                                                                                        \
        assert_int_equal(sl_run(#name, name##_task, NULL, NULL), 0);                                         \
    }                                                                                                        \
    static void name##_body(sl_store *store)
#define STORE_TEST(name, connection_count)                                                                   \
    STORE_TEST_AT(name, (char *)postgres_server_url(), connection_count)

static const sl__driver *const driver __attribute__((unused)) = &sl__postgres_driver;

static inline sl_store test_store(const sl_store_options *options)
{
    return (sl_store){
        .name = (char *)"pg",
        .url = (char *)postgres_server_url(),
        .driver = driver,
        .dialect = SL__POSTGRES,
        .options = options,
    };
}

static inline sl__postgres *pool_of(sl_store *store)
{
    return store->data;
}

/* FNV-1a: any hash does. */
static inline uint64_t shape_of(const char *sql)
{
    uint64_t hash = UINT64_C(0xcbf29ce484222325);
    for (; *sql; sql++)
        hash = (hash ^ (unsigned char)*sql) * UINT64_C(0x100000001b3);
    return hash | 1;
}

#define INTEGER(value) ((sl_value){.kind = SL_KIND_INTEGER, .integer = (value)})
#define TEXT(value) ((sl_value){.kind = SL_KIND_TEXT, .text = sl_view_of(value)})
#define VALUES(...) (const sl_value[]){__VA_ARGS__}, sizeof((sl_value[]){__VA_ARGS__}) / sizeof(sl_value)

static inline sl__statement statement_of(const char *sql, const sl_value *values, size_t count)
{
    return (sl__statement){
        .sql = sql,
        .size = (uint32_t)strlen(sql),
        .count = (uint32_t)count,
        .shape = shape_of(sql),
        .values = values,
        .site = SL_HERE,
        .quick = true,
    };
}

#define BEGIN(...) begin_it(store, &(sl__begin){.site = SL_HERE, __VA_ARGS__})
static inline sl__connection *begin_it(sl_store *store, const sl__begin *how)
{
    sl__connection *connection = NULL;
    OK(driver->begin(store, how, &connection));
    return connection;
}

/* Runs a statement to its end; its first column, an integer, of the last row (INT64_MIN: none, or NULL). */
static inline sl_error *query(sl__connection *c, const sl__statement *statement, int64_t *ret_value)
{
    static const sl__field field = {.kind = SL_KIND_INTEGER, .name = "value"};
    sl__cursor *cursor = NULL;
    bool row = true;
    int64_t value = INT64_MIN;
    sl_error *error = driver->run(c, statement, &cursor);
    while (!error && row) {
        error = driver->step(cursor, &row);
        uint64_t nulls = 0;
        if (!error && row && ret_value)
            error = driver->read(cursor, 0, &field, 1, &value, &nulls, NULL);
        if (nulls)
            value = INT64_MIN;
    }
    driver->close_cursor(cursor);
    if (ret_value)
        *ret_value = value;
    return error;
}

static inline sl_error *execute_with(sl__connection *c, const char *sql, const sl_value *values, size_t count)
{
    sl__statement s = statement_of(sql, values, count);
    return query(c, &s, NULL);
}

static inline sl_error *execute(sl__connection *c, const char *sql)
{
    return execute_with(c, sql, NULL, 0);
}

static inline int64_t number(sl__connection *c, const char *sql)
{
    int64_t value;
    sl__statement s = statement_of(sql, NULL, 0);
    OK(query(c, &s, &value));
    return value;
}

/* In a transaction of its own. */
static inline void change(sl_store *store, const char *sql)
{
    sl__connection *c = BEGIN();
    OK(execute(c, sql));
    OK(driver->commit(c));
}

/* A single read. */
static inline int64_t read_number(sl_store *store, const char *sql)
{
    sl__connection *c = BEGIN(.single = true);
    int64_t value = number(c, sql);
    OK(driver->commit(c));
    return value;
}

/* Lets the loop go round until it is so; fails after ten seconds. */
#define UNTIL(condition)                                                                                     \
    do {                                                                                                     \
        uint64_t until_begin = sl_monotonic_ns();                                                            \
        while (!(condition)) {                                                                               \
            CHECK(sl_monotonic_ns() - until_begin < UINT64_C(10000000000));                                  \
            sl_await(sl_sleep(1));                                                                           \
        }                                                                                                    \
    } while (0)
