/* query_check.h: models for queries, and what their tests ask of a query: the SQL for both databases, the
 * parameters, and that SQLite takes it. */
#pragma once

#include "store/query.h"
#include "postgres_server.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <glob.h>
#include <jansson.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>

#define COLOURS(V) V(RED, "red") V(GREEN, "green") V(BLUE, "blue")
SL_ENUM(colour, COLOURS);
#define SIZES(V) V(SMALL, "small") V(LARGE, "large")
SL_ENUM(size, SIZES);

#define COMPANY(F)                                                                                           \
    F(id, integer, SL_PRIMARY_KEY)                                                                           \
    F(name, text, SL_REQUIRED)                                                                               \
    F(city, text)
SL_MODEL(company, COMPANY);

SL_MODEL_DECLARE(person);
#define PERSON(F)                                                                                            \
    F(id, integer, SL_PRIMARY_KEY)                                                                           \
    F(name, text, SL_REQUIRED)                                                                               \
    F(age, integer)                                                                                          \
    F(score, real)                                                                                           \
    F(pay, decimal, .scale = 2)                                                                              \
    F(born, date)                                                                                            \
    F(shade, enum(colour))                                                                                   \
    F(photo, bytes, SL_LAZY)                                                                                 \
    F(employer, refers(company))
SL_MODEL(person, PERSON);

/* The rest of the types, names that SQL has taken, and a table that is not called as its model. */
#define THING(F)                                                                                             \
    F(id, uuid, SL_PRIMARY_KEY)                                                                              \
    F(order, integer)                                                                                        \
    F(seen, time)                                                                                            \
    F(active, boolean)                                                                                       \
    F(data, json)                                                                                            \
    F(raw, bytes)                                                                                            \
    F(size, enum(size))                                                                                      \
    F(rate, decimal, .scale = 4)                                                                             \
    F(code, text, SL_UNIQUE)                                                                                 \
    F(owner, refers(person))                                                                                 \
    F(version, integer, SL_VERSION)
SL_MODEL(thing, THING, .table = "all \"things\"");

#define MEMBERSHIP(F)                                                                                        \
    F(member, refers(person), SL_PRIMARY_KEY)                                                                \
    F(club, refers(company), SL_PRIMARY_KEY)                                                                 \
    F(since, date)
SL_MODEL(membership, MEMBERSHIP);

#define BUSY(F) F(employer, integer) F(count, integer)
SL_RESULT(busy, BUSY);
#define PAIR(F) F(person, row(person)) F(label, text) F(company, row(company))
SL_RESULT(pair, PAIR);
#define TOTAL(F) F(pay, decimal, .scale = 4) F(oldest, integer)
SL_RESULT(total, TOTAL);
#define PAID(F) F(pay, decimal, .scale = 2)
SL_RESULT(paid, PAID);
#define STAFF(F) F(name, text) F(shade, enum(colour))
SL_RESULT(staff, STAFF);

/* What SL__ROWS of a whole person and company begins with. */
#define PERSON_COLUMNS "\"id\", \"name\", \"age\", \"score\", \"pay\", \"born\", \"shade\", \"employer\""
#define PERSON_OF(name)                                                                                      \
    "\"" name "\".\"id\", \"" name "\".\"name\", \"" name "\".\"age\", \"" name "\".\"score\", \"" name      \
    "\".\"pay\", \"" name "\".\"born\", \"" name "\".\"shade\", \"" name "\".\"employer\""
#define FROM_PERSON "SELECT " PERSON_COLUMNS " FROM \"person\""
#define FROM_COMPANY "SELECT \"id\", \"name\", \"city\" FROM \"company\""

/* cmocka's assertions jump, which must not happen across a task's switch: in tasks use this. */
#define CHECK(condition)                                                                                     \
    do {                                                                                                     \
        if (!(condition)) {                                                                                  \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);                                  \
            abort();                                                                                         \
        }                                                                                                    \
    } while (0)

#define TASK_TEST(name)                                                                                      \
    static void *name##_task(void *data);                                                                    \
    static void name(void **state)                                                                           \
    {                                                                                                        \
        failures = 0;                                                                                        \
        assert_int_equal(sl_run(#name, name##_task, *state, NULL), 0);                                       \
        assert_int_equal(failures, 0);                                                                       \
    }                                                                                                        \
    static void *name##_task(__attribute__((unused)) void *data)

/* All that differs is printed before a test fails. */
static int failures;
static sl_buffer postgres_statements; /* a script that prepares each */
static sqlite3 *database;

static inline int database_open(void **state)
{
    static const char schema[] =
        "CREATE TABLE company (id INTEGER PRIMARY KEY, name TEXT NOT NULL, city TEXT);"
        "CREATE TABLE person (id INTEGER PRIMARY KEY, name TEXT NOT NULL, age INTEGER, score REAL, pay "
        "INTEGER, born TEXT,"
        " shade TEXT, photo BLOB, employer INTEGER);"
        "CREATE INDEX person_name ON person (name);"
        "CREATE TABLE \"all \"\"things\"\"\" (id BLOB PRIMARY KEY, \"order\" INTEGER, seen INTEGER, active "
        "INTEGER, data TEXT,"
        " raw BLOB, size TEXT, rate INTEGER, code TEXT UNIQUE, owner INTEGER, version INTEGER);"
        "CREATE TABLE membership (member INTEGER, club INTEGER, since TEXT, PRIMARY KEY (member, club));"
        "INSERT INTO company VALUES (1, 'Acme', 'Bonn'), (2, 'Bolt', NULL);"
        "INSERT INTO person (id, name, age, score, pay, shade, employer) VALUES (1, 'Ann', 30, 1.5, 100025, "
        "'red', 1),"
        " (2, 'Bob', 40, NULL, 50, 'green', 1), (3, 'ann', 50, 2.5, NULL, NULL, 2), (4, 'Ärger*', NULL, 0, "
        "101, 'blue', NULL),"
        " (5, 'A_n%', 30, -1, -1, 'red', 2);"
        "INSERT INTO \"all \"\"things\"\"\" (id, \"order\", active, rate, code, owner, version) VALUES"
        " (x'01', 7, 1, 15000, 'a', 1, 1), (x'02', 8, 0, 20000, 'b', 1, 1), (x'03', NULL, NULL, NULL, 'c', "
        "2, 1);"
        "INSERT INTO membership VALUES (1, 1, '2026-01-01'), (1, 2, '2026-01-02'), (2, 2, NULL);";
    return sqlite3_open(":memory:", &database) || sqlite3_exec(database, schema, NULL, NULL, NULL);
}

static inline int database_close(void **state)
{
    return sqlite3_close(database);
}

/* The last test of a program: PostgreSQL takes all statements that were checked for it before. */
static inline void postgres_takes_all(void **state)
{
    static const char schema[] =
        "CREATE TABLE company (id bigint PRIMARY KEY, name text NOT NULL, city text);"
        "CREATE TABLE person (id bigint PRIMARY KEY, name text NOT NULL, age bigint, score double precision,"
        " pay numeric(18, 2), born date, shade text, photo bytea, employer bigint);"
        "CREATE TABLE \"all \"\"things\"\"\" (id uuid PRIMARY KEY, \"order\" bigint, seen timestamptz, "
        "active boolean,"
        " data jsonb, raw bytea, size text, rate numeric(18, 4), code text UNIQUE, owner bigint, version "
        "bigint);"
        "CREATE TABLE membership (member bigint, club bigint, since date, PRIMARY KEY (member, club));\n";
    glob_t found;
    bool there = glob("/usr/lib/postgresql/*/bin/postgres", 0, NULL, &found) == 0;
    globfree(&found);
    if (!there)
        skip();
    assert_true(postgres_statements.size > 0);
    postgres_server_need(.fsync = false);
    postgres_server_psql(schema);
    postgres_server_psql(postgres_statements.data);
    sl_buffer_done(&postgres_statements);
}

/* ---- SQL ----------------------------------------------------------------------------------------------- */

static inline void put_value(sl_buffer *out, const sl_value *value)
{
    char text[64];
    if (value->null) {
        sl_buffer_puts(out, "NULL");
        return;
    }
    switch (value->kind) {
    case SL_KIND_INTEGER:
    case SL_KIND_TIME:
        sl_buffer_printf(out, "%lld", (long long)value->integer);
        break;
    case SL_KIND_REAL:
        sl_buffer_printf(out, "%g", value->real);
        break;
    case SL_KIND_TEXT:
        sl_buffer_printf(out, "'%.*s'", (int)value->text.size, value->text.data);
        break;
    case SL_KIND_BYTES:
        sl_buffer_printf(out, "%zu bytes", value->text.size);
        break;
    case SL_KIND_BOOLEAN:
        sl_buffer_puts(out, value->boolean ? "true" : "false");
        break;
    case SL_KIND_DATE:
        sl_buffer_puts(out, sl_date_text(value->date, text));
        break;
    case SL_KIND_DECIMAL:
        sl_buffer_puts(out, sl_decimal_text(value->decimal, text));
        break;
    case SL_KIND_UUID:
        sl_buffer_printf(out, "uuid %d", value->uuid.bytes[15]);
        break;
    case SL_KIND_JSON:
        sl_buffer_puts(out, "json");
        break;
    case SL_KIND_LIST:
        for (size_t i = 0; i < value->list.count; i++) {
            sl_buffer_puts(out, i ? ", " : "{");
            put_value(out, &value->list.items[i]);
        }
        sl_buffer_putc(out, '}');
        break;
    default:
        sl_buffer_puts(out, "?");
    }
}

static inline const char *values_of(const sl__statement *statement)
{
    sl_buffer out = {0};
    sl_buffer_putc(&out, '(');
    for (uint32_t i = 0; i < statement->count; i++) {
        sl_buffer_puts(&out, i ? ", " : "");
        put_value(&out, &statement->values[i]);
    }
    sl_buffer_putc(&out, ')');
    const char *text = sl_strdup(out.data);
    sl_buffer_done(&out);
    return text;
}

/* $1 for ?1. */
static inline const char *with_dollars(const char *sql)
{
    char *text = sl_strdup(sql);
    for (char *at = text; *at; at++)
        if (*at == '?')
            *at = '$';
    return text;
}

static inline void differs(int line, const char *what, const char *wanted, const char *got)
{
    fprintf(stderr, "line %d: %s\n  wanted %s\n  got    %s\n", line, what, wanted, got);
    failures++;
}

static inline void check_statement(int line, const char *what, const char *wanted, const char *values,
                                   const sl__statement *statement)
{
    if (strcmp(statement->sql, wanted) != 0)
        differs(line, what, wanted, statement->sql);
    if (strcmp(values_of(statement), values) != 0)
        differs(line, what, values, values_of(statement));
    if (statement->size != strlen(statement->sql) ||
        statement->shape != sl__shape_of(statement->sql, statement->size) || !statement->site)
        differs(line, what, "size, shape and site", "others");
}

static inline void check_prepares(int line, const sl__statement *statement)
{
    sqlite3_stmt *prepared = NULL;
    const char *rest = "";
    if (sqlite3_prepare_v2(database, statement->sql, -1, &prepared, &rest) != SQLITE_OK)
        differs(line, "SQLite", statement->sql, sqlite3_errmsg(database));
    else if (*rest || sqlite3_bind_parameter_count(prepared) != (int)statement->count)
        differs(line, "SQLite", "one statement with as many parameters", statement->sql);
    sqlite3_finalize(prepared);
}

/* `postgres`: NULL where it is the same but for its dollars. `values` of PostgreSQL: NULL likewise. */
static inline void check_both(int line, const sl_selection *selection, sl__what what,
                              const sl_node *const *nodes, size_t count, int64_t limit, const char *sqlite,
                              const char *values, const char *postgres, const char *postgres_values)
{
    sl__statement statement;
    sl__compile(selection, SL__SQLITE, what, nodes, count, limit, &statement);
    check_statement(line, "SQLite", sqlite, values, &statement);
    check_prepares(line, &statement);
    sl__compile(selection, SL__POSTGRES, what, nodes, count, limit, &statement);
    check_statement(line, "PostgreSQL", postgres ? postgres : with_dollars(sqlite),
                    postgres_values ? postgres_values : values, &statement);
    sl_buffer_printf(&postgres_statements, "PREPARE line_%d AS %s;\nDEALLOCATE ALL;\n", line, statement.sql);
}

#define NOTHING NULL, 0, -1
/* The rows of a selection: the SQL and the values, and PostgreSQL's where they differ by more than dollars.
 */
#define ROWS(found, sqlite, values)                                                                          \
    check_both(__LINE__, SL__SELECTION(found), SL__ROWS, NOTHING, sqlite, values, NULL, NULL)
#define ROWS_BOTH(found, sqlite, values, postgres, postgres_values)                                          \
    check_both(__LINE__, SL__SELECTION(found), SL__ROWS, NOTHING, sqlite, values, postgres, postgres_values)
/* What stands behind WHERE for a condition on persons. */
#define WHERE(condition, sqlite, values)                                                                     \
    ROWS(sl_find(person, condition), FROM_PERSON " WHERE " sqlite, values)
#define WHERE_BOTH(condition, sqlite, values, postgres, postgres_values)                                     \
    ROWS_BOTH(sl_find(person, condition), FROM_PERSON " WHERE " sqlite, values,                              \
              FROM_PERSON " WHERE " postgres, postgres_values)
/* One value of persons. */
#define VALUE(x, sqlite, values)                                                                             \
    check_both(__LINE__, SL__SELECTION(sl_find(person)), SL__VALUE, (const sl_node *const[]){(x).node}, 1,   \
               -1, "SELECT " sqlite " FROM \"person\"", values, NULL, NULL)
#define VALUE_BOTH(x, sqlite, values, postgres)                                                              \
    check_both(__LINE__, SL__SELECTION(sl_find(person)), SL__VALUE, (const sl_node *const[]){(x).node}, 1,   \
               -1, "SELECT " sqlite " FROM \"person\"", values, "SELECT " postgres " FROM \"person\"", NULL)

/* ---- Answers ------------------------------------------------------------------------------------------- */

static inline void bind(sqlite3_stmt *prepared, int number, const sl_value *value)
{
    switch (value->null ? -1 : (int)value->kind) {
    case SL_KIND_INTEGER:
        sqlite3_bind_int64(prepared, number, value->integer);
        break;
    case SL_KIND_REAL:
        sqlite3_bind_double(prepared, number, value->real);
        break;
    case SL_KIND_TEXT:
        sqlite3_bind_text(prepared, number, value->text.data, (int)value->text.size, SQLITE_TRANSIENT);
        break;
    case SL_KIND_DECIMAL:
        sqlite3_bind_int64(prepared, number, value->decimal.units);
        break;
    case -1:
        break; /* NULL, as it is */
    default:
        CHECK(!"a value of another kind");
    }
}

/* All values of all rows, with commas between. */
static inline const char *answer(const sl_selection *selection, sl__what what, const sl_node *node)
{
    sl__statement statement;
    sl__compile(selection, SL__SQLITE, what, &node, node != NULL, -1, &statement);
    sqlite3_stmt *prepared = NULL;
    sl_buffer out = {0};
    sl_buffer_puts(&out, "");
    if (sqlite3_prepare_v2(database, statement.sql, -1, &prepared, NULL) != SQLITE_OK)
        differs(0, "SQLite", statement.sql, sqlite3_errmsg(database));
    for (uint32_t i = 0; i < statement.count; i++)
        bind(prepared, (int)i + 1, &statement.values[i]);
    while (sqlite3_step(prepared) == SQLITE_ROW) {
        const char *text = (const char *)sqlite3_column_text(prepared, 0);
        sl_buffer_printf(&out, "%s%s", out.size ? "," : "", text ? text : "NULL");
    }
    sqlite3_finalize(prepared);
    const char *text = sl_strdup(out.data ? out.data : "");
    sl_buffer_done(&out);
    return text;
}

#define GIVES(found, what, x, wanted)                                                                        \
    do {                                                                                                     \
        const char *got = answer(SL__SELECTION(found), what, x);                                             \
        if (strcmp(got, wanted) != 0)                                                                        \
            differs(__LINE__, "an answer", wanted, got);                                                     \
    } while (0)

/* ---- Refusals ------------------------------------------------------------------------------------------ */

/* A function of REFUSED lines does one of them at a time, each in a task of its own. */
typedef struct attempt {
    int wanted, reached, line;
    const char *message, *hint;
} attempt;
/* What follows fails with this message, at this line, and a hint that has the text. */
#define REFUSED(its_message, its_hint, ...)                                                                  \
    if (a->wanted == a->reached++) {                                                                         \
        a->line = __LINE__;                                                                                  \
        a->message = its_message;                                                                            \
        a->hint = its_hint;                                                                                  \
        (void)(__VA_ARGS__);                                                                                 \
        return NULL;                                                                                         \
    }
#define COMPILED(found, what)                                                                                \
    sl__compile(SL__SELECTION(found), SL__SQLITE, what, NULL, 0, -1, &(sl__statement){0})

static inline void check_refusals(sl_task_fn *fn)
{
    for (attempt a = {0};; a = (attempt){.wanted = a.wanted + 1}) {
        sl_error *error = NULL;
        sl_try(sl__spawn(SL_HERE, "refused", fn, &a), &error);
        if (!a.message)
            return;
        if (!error)
            differs(a.line, "a refusal", a.message, "a success");
        else if (error->code != SL_EINVAL || strcmp(error->message, a.message) != 0)
            differs(a.line, "a refusal", a.message, error->message);
        else if (!error->hint || !strstr(error->hint, a.hint))
            differs(a.line, "its hint", a.hint, error->hint ? error->hint : "none");
        else if (!error->origin || error->origin->line < a.line || error->origin->line > a.line + 4)
            differs(a.line, "its place", "this line",
                    sl_printf("%s:%d", error->origin ? error->origin->file : "?",
                              error->origin ? error->origin->line : 0));
    }
}
