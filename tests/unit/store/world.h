/* world.h: a small world of models for the tests of the store, and how each test runs in both databases. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include <silver/silver.h>
#include "store/store.h"

#define COLOURS(V) V(RED, "red") V(GREEN, "green") V(BLUE, "blue")
SL_ENUM(colour, COLOURS);

static const char *tidy_name(sl_value *value);

#define COMPANY(F)                                                                                           \
    F(id, integer, SL_PRIMARY_KEY)                                                                           \
    F(name, text, SL_REQUIRED, SL_UNIQUE, .max = 20, SL_VALIDATED(tidy_name))                                \
    F(parent, refers(company))
SL_MODEL(company, COMPANY);

#define PERSON(F)                                                                                            \
    F(id, integer, SL_PRIMARY_KEY)                                                                           \
    F(name, text, SL_REQUIRED, .max = 20)                                                                    \
    F(age, integer)                                                                                          \
    F(height, real)                                                                                          \
    F(awake, boolean, SL_DEFAULT("true"))                                                                    \
    F(seen, time)                                                                                            \
    F(born, date)                                                                                            \
    F(pay, decimal, .scale = 2)                                                                              \
    F(token, uuid)                                                                                           \
    F(shade, enum(colour), SL_DEFAULT("green"))                                                              \
    F(extra, json)                                                                                           \
    F(badge, text, SL_UNIQUE)                                                                                \
    F(photo, bytes, SL_LAZY)                                                                                 \
    F(employer, refers(company))
SL_MODEL(person, PERSON, SL_INDEXES(SL_INDEX("age")));

#define CLUB(F) F(id, uuid, SL_PRIMARY_KEY) F(name, text, SL_REQUIRED)
SL_MODEL(club, CLUB);

#define MEMBERSHIP(F)                                                                                        \
    F(member, refers(person), SL_PRIMARY_KEY, SL_ON_DELETE(CASCADE))                                         \
    F(club, refers_uuid(club), SL_PRIMARY_KEY)                                                               \
    F(since, integer, SL_DEFAULT("2000"))
SL_MODEL(membership, MEMBERSHIP);

#define PAGE(F)                                                                                              \
    F(id, integer, SL_PRIMARY_KEY)                                                                           \
    F(title, text, SL_REQUIRED)                                                                              \
    F(version, integer, SL_VERSION)
SL_MODEL(page, PAGE);

#define PLACE(F) F(code, text, SL_PRIMARY_KEY) F(rank, integer, SL_REQUIRED, SL_UNIQUE)
SL_MODEL(place, PLACE);

static __attribute__((unused)) const char *tidy_name(sl_value *value)
{
    if (value->text.size && value->text.data[0] == '!')
        return "may not begin with !";
    if (value->text.size && value->text.data[0] == ' ')
        value->text = (sl_view){value->text.data + 1, value->text.size - 1};
    return NULL;
}

/* ---- Running ------------------------------------------------------------------------------------------- */

/* The test's task, in a root whose only store is a database with the world's tables, empty. */
int world_run(const char *kind, sl_task_fn *fn);
/* The URL of a new, empty database of the kind; good until the next call. */
const char *world_url(const char *kind);

/* Everything in both databases: a test is TEST(name) { … }, and stands in the list as IN_BOTH(name). */
#define TEST(name)                                                                                           \
    static void name##_body(void);                                                                           \
    static void *name##_task(void *data)                                                                     \
    {                                                                                                        \
        (void)data;                                                                                          \
        name##_body();                                                                                       \
        return NULL;                                                                                         \
    }                                                                                                        \
    __attribute__((unused)) static void name##_in_sqlite(void **state)                                       \
    {                                                                                                        \
        (void)state;                                                                                         \
        assert_int_equal(world_run("sqlite", name##_task), 0);                                               \
    }                                                                                                        \
    __attribute__((unused)) static void name##_in_postgres(void **state)                                     \
    {                                                                                                        \
        (void)state;                                                                                         \
        assert_int_equal(world_run("postgres", name##_task), 0);                                             \
    }                                                                                                        \
    static void name##_body(void)
/* The tests, or those whose names fit the program's argument (with * and ?). */
int world_main(int argc, char **argv, const struct CMUnitTest *tests, size_t count);
#define IN_BOTH(name) cmocka_unit_test(name##_in_sqlite), cmocka_unit_test(name##_in_postgres)
#define IN_SQLITE(name) cmocka_unit_test(name##_in_sqlite)
#define IN_POSTGRES(name) cmocka_unit_test(name##_in_postgres)

/* Runs a block's function in a transaction. */
static __attribute__((unused)) void *in_transaction(sl_task_fn *fn, void *data)
{
    return sl_transact(fn, data);
}

/* The error that fn(data) ends with; NULL: none. The task's. */
static __attribute__((unused)) const sl_error *error_of(sl_task_fn *fn, void *data)
{
    sl_error *error = NULL;
    sl_try(sl_spawn(fn, data), &error);
    return error;
}

static __attribute__((unused)) void assert_error(const sl_error *error, int code, const char *part)
{
    if (!error)
        fail_msg("nothing failed; expected %s", part);
    if (error->code != code || !strstr(error->message, part))
        fail_msg("failed with %s: %s\nexpected %s: %s", sl_code_name(error->code), error->message,
                 sl_code_name(code), part);
}
