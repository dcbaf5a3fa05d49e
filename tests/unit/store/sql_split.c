/* SQL as words, and scripts as statements. */
#include "../io/check.h"
#include "store/sql_split.h"

/* Splits, and compares with "LINE:STATEMENT|LINE:STATEMENT". */
static void check_split(sl__dialect dialect, const char *script, const char *wanted)
{
    sl__sql_parts parts;
    unsigned line;
    sl_arena *arena = sl_arena_new();
    sl_buffer got = {0};
    sl_error *error = sl__sql_split(dialect, sl_view_of(script), arena, &parts, &line);
    if (error)
        sl_buffer_printf(&got, "%u: %s", line, error->message);
    for (size_t i = 0; !error && i < parts.count; i++)
        sl_buffer_printf(&got, "%s%u:%s", i ? "|" : "", parts.items[i].line, parts.items[i].text);
    assert_string_equal(got.data ? got.data : "", wanted);
    sl_error_unref(error);
    sl_buffer_done(&got);
    sl_arena_free(arena);
}

static void check_both(const char *script, const char *wanted)
{
    check_split(SL__SQLITE, script, wanted);
    check_split(SL__POSTGRES, script, wanted);
}

static void statements_end_with_semicolons(void **state)
{
    check_both("", "");
    check_both(" \n\t ", "");
    check_both(";;\n;", "");
    check_both("-- nothing", "");
    check_both("/* nothing */ -- at all\n", "");
    check_both("SELECT 1", "1:SELECT 1");
    check_both("SELECT 1;", "1:SELECT 1");
    check_both("-- one\n\nSELECT 1;\n  SELECT\n2 ; ; SELECT 3\n\n", "3:SELECT 1|4:SELECT\n2|5:SELECT 3");
    check_both("SELECT 1; -- the last; one\n/* a;\nb */ SELECT 2 /* c; */ ;",
               "1:SELECT 1|3:SELECT 2 /* c; */");
    check_both("SELECT 1 -- ;\n, 2", "1:SELECT 1 -- ;\n, 2");
    check_both("SELECT 1--;", "1:SELECT 1--;");
    check_both("SELECT 5 - -1;SELECT 6/2", "1:SELECT 5 - -1|1:SELECT 6/2");
}

static void semicolons_in_texts_end_nothing(void **state)
{
    check_both("SELECT 'a;b', 'it''s; ''', \"na;\"\"me\"; SELECT ''",
               "1:SELECT 'a;b', 'it''s; ''', \"na;\"\"me\"|1:SELECT ''");
    check_both("SELECT 'a\nb;\n'; SELECT 2", "1:SELECT 'a\nb;\n'|3:SELECT 2");
    check_both("SELECT 'a -- b', 'c /* d'; SELECT 2", "1:SELECT 'a -- b', 'c /* d'|1:SELECT 2");
    check_both("SELECT (1; 2); SELECT 3", "1:SELECT (1; 2)|1:SELECT 3");
    check_split(SL__SQLITE, "SELECT [a;b], `c;``d`, '\\'; SELECT 2",
                "1:SELECT [a;b], `c;``d`, '\\'|1:SELECT 2");
    check_split(SL__POSTGRES, "SELECT a[1]; SELECT E'\\';', e'\\\\', 'E'; SELECT 3",
                "1:SELECT a[1]|1:SELECT E'\\';', e'\\\\', 'E'|1:SELECT 3");
    check_split(SL__POSTGRES, "SELECT $$a;b'$$, $tag$ $$; $other$ $tag$; SELECT $1; SELECT a$b$c;",
                "1:SELECT $$a;b'$$, $tag$ $$; $other$ $tag$|1:SELECT $1|1:SELECT a$b$c");
    check_split(SL__POSTGRES, "/* a /* b */ ; */ SELECT 1; SELECT 2", "1:SELECT 1|1:SELECT 2");
    check_split(SL__SQLITE, "/* a /* b */ SELECT 1; SELECT 2", "1:SELECT 1|1:SELECT 2");
}

static void triggers_of_sqlite(void **state)
{
    check_split(
        SL__SQLITE,
        "CREATE TRIGGER t AFTER INSERT ON a BEGIN\n  UPDATE b SET c = CASE WHEN 1 THEN 2 ELSE 3 END;\n"
        "  DELETE FROM d;\nEND;\nSELECT 2",
        "1:CREATE TRIGGER t AFTER INSERT ON a BEGIN\n  UPDATE b SET c = CASE WHEN 1 THEN 2 ELSE 3 END;\n"
        "  DELETE FROM d;\nEND|5:SELECT 2");
    check_split(SL__SQLITE, "create temp trigger t after insert on a begin delete from d; end; SELECT 2;",
                "1:create temp trigger t after insert on a begin delete from d; end|1:SELECT 2");
    check_split(SL__SQLITE, "CREATE TRIGGER t BEGIN SELECT 1; END", "1:CREATE TRIGGER t BEGIN SELECT 1; END");
    check_split(SL__SQLITE, "CREATE TRIGGER t BEGIN SELECT 1;", "1: a trigger that begins here does not end");
    check_split(SL__SQLITE, "CREATE TABLE trigger (a); SELECT 2", "1:CREATE TABLE trigger (a)|1:SELECT 2");
    check_split(SL__POSTGRES, "CREATE TRIGGER t BEFORE UPDATE ON a EXECUTE FUNCTION f(); SELECT 2",
                "1:CREATE TRIGGER t BEFORE UPDATE ON a EXECUTE FUNCTION f()|1:SELECT 2");
}

static void functions_of_postgres(void **state)
{
    check_split(SL__POSTGRES,
                "CREATE OR REPLACE FUNCTION f() RETURNS int LANGUAGE sql BEGIN ATOMIC\n SELECT CASE 1 WHEN 1 "
                "THEN 2 END;\n"
                " SELECT 3;\nEND;\nSELECT 2",
                "1:CREATE OR REPLACE FUNCTION f() RETURNS int LANGUAGE sql BEGIN ATOMIC\n SELECT CASE 1 WHEN "
                "1 THEN 2 END;\n"
                " SELECT 3;\nEND|5:SELECT 2");
    check_split(
        SL__POSTGRES,
        "CREATE FUNCTION f() RETURNS trigger AS $$ BEGIN RETURN NEW; END $$ LANGUAGE plpgsql; SELECT 2",
        "1:CREATE FUNCTION f() RETURNS trigger AS $$ BEGIN RETURN NEW; END $$ LANGUAGE plpgsql|1:SELECT 2");
    check_split(SL__POSTGRES, "SELECT 1;\nCREATE PROCEDURE p() BEGIN ATOMIC SELECT 1;",
                "2: a function that begins here does not end");
}

static void what_never_ends(void **state)
{
    check_both("SELECT 1;\nSELECT 'a;\n\n", "2: a text that begins here does not end");
    check_both("SELECT \"a", "1: a name in quotes that begins here does not end");
    check_both("SELECT 1\n/* a", "2: a comment that begins here does not end");
    check_both("\nSELECT (1;\nSELECT 2;", "2: a parenthesis of the statement that begins here is not closed");
    check_split(SL__SQLITE, "SELECT [a", "1: a name in quotes that begins here does not end");
    check_split(SL__POSTGRES, "SELECT 1;\n SELECT $x$ $y$", "2: a text that begins here does not end");
    check_split(SL__POSTGRES, "SELECT E'\\'", "1: a text that begins here does not end");
    check_split(SL__POSTGRES, "/* /* */", "1: a comment that begins here does not end");
}

static void what_would_end_the_transaction(void **state)
{
    static const char *const words[] = {"BEGIN", "START", "COMMIT", "END", "ABORT", "ROLLBACK"};
    for (size_t i = 0; i < sl_array_size(words); i++) {
        char script[64], wanted[64];
        snprintf(script, sizeof(script), "SELECT 1;\n%s WORK;", words[i]);
        snprintf(wanted, sizeof(wanted), "2: %s cannot stand here", words[i]);
        check_both(script, wanted);
    }
    check_both("commit", "1: COMMIT cannot stand here");
    check_both("SAVEPOINT a; ROLLBACK TO a; RELEASE a", "1:SAVEPOINT a|1:ROLLBACK TO a|1:RELEASE a");
    check_both("SELECT 1 AS commit; \"commit\"", "1:SELECT 1 AS commit|1:\"commit\"");
}

static void quotes_are_taken_off(void **state)
{
    static const struct {
        const char *sql, *wanted;
    } texts[] = {{"'it''s'", "it's"}, {"''", ""},       {"''''", "'"}, {"\"a\"\"b\"", "a\"b"},
                 {"[a b]", "a b"},    {"word", "word"}, {"`x`", "x"}};
    sl_arena *arena = sl_arena_new();
    for (size_t i = 0; i < sl_array_size(texts); i++) {
        sl__sql_reader reader = sl__sql_read(SL__SQLITE, sl_view_of(texts[i].sql));
        sl__sql_token token = sl__sql_next(&reader);
        assert_string_equal(sl__sql_unquoted(&token, arena), texts[i].wanted);
        token = sl__sql_next(&reader);
        assert_int_equal(token.kind, SL__SQL_END);
    }
    sl_arena_free(arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(statements_end_with_semicolons),
        cmocka_unit_test(semicolons_in_texts_end_nothing),
        cmocka_unit_test(triggers_of_sqlite),
        cmocka_unit_test(functions_of_postgres),
        cmocka_unit_test(what_never_ends),
        cmocka_unit_test(what_would_end_the_transaction),
        cmocka_unit_test(quotes_are_taken_off),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
