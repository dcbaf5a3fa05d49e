/* database.h: a new, empty database for each test of schema and patches, and what those tests share. */
#pragma once

#include "../io/check.h"
#include "postgres_server.h"
#include "store/schema.h"

/* The test that runs now: which kind of database it has, and its task. */
static const char *kind;
static char database_url[256];

static __attribute__((unused)) bool on_sqlite(void)
{
    return strcmp(kind, "sqlite") == 0;
}

static inline int database_task(const char *its_kind, const char *name, sl_task_fn *fn)
{
    static unsigned count;
    kind = its_kind;
    count++;
    if (on_sqlite())
        snprintf(database_url, sizeof(database_url), "sqlite:%s/%u.sqlite", scratch, count);
    else {
        char its_name[32];
        snprintf(its_name, sizeof(its_name), "test%u", count);
        snprintf(database_url, sizeof(database_url), "%s", postgres_server_database(its_name));
    }
    return sl_run(name, fn, NULL, NULL);
}

static inline sl_store *declare(const char *name)
{
    sl_error *error = NULL;
    if (sl_store_declare(sl_root_current(), name, database_url, &error) < 0) {
        fprintf(stderr, "%s\n", error->message);
        abort();
    }
    return sl__store_named(SL_HERE, name);
}

/* A test that runs in both databases, each time with one that is empty and declared as the store "main". */
#define DATABASE_TEST(name)                                                                                  \
    static void name##_body(sl_store *store);                                                                \
    static void *name##_task(__attribute__((unused)) void *data)                                             \
    {                                                                                                        \
        name##_body(declare("main"));                                                                        \
        return NULL;                                                                                         \
    }                                                                                                        \
    static void name##_on_sqlite(void **state)                                                               \
    {                                                                                                        \
        assert_int_equal(database_task("sqlite", #name, name##_task), 0);                                    \
    }                                                                                                        \
    static void name##_on_postgres(void **state)                                                             \
    {                                                                                                        \
        assert_int_equal(database_task("postgres", #name, name##_task), 0);                                  \
    }                                                                                                        \
    static void name##_body(__attribute__((unused)) sl_store *store)
#define ON_BOTH(name) cmocka_unit_test(name##_on_sqlite), cmocka_unit_test(name##_on_postgres)

static void *run_sql(void *sql)
{
    sl__sql_parts parts;
    unsigned line;
    sl_store *store = sl__store_named(SL_HERE, "main");
    sl_error *error = sl__sql_split(store->dialect, sl_view_of(sql), sl_task_arena(), &parts, &line);
    for (size_t i = 0; !error && i < parts.count; i++) {
        sl__statement statement = {.sql = parts.items[i].text,
                                   .size = (uint32_t)strlen(parts.items[i].text),
                                   .site = SL_HERE,
                                   .writes = true};
        sl__run_whole(sl__session_of(SL_HERE, store, true), &statement);
    }
    if (error)
        sl_fail_error(error);
    return NULL;
}

/* SQL of several statements, in a transaction. */
static inline void execute(const char *sql)
{
    sl_transact(run_sql, (void *)sql);
}

static inline void check_text(const char *file, int line, const char *got, const char *wanted)
{
    if (got && strcmp(got, wanted) == 0)
        return;
    fprintf(stderr, "%s:%d: got\n%s\nand wanted\n%s\n", file, line, got ? got : "nothing", wanted);
    abort();
}
#define CHECK_TEXT(got, wanted) check_text(__FILE__, __LINE__, (got), (wanted))
