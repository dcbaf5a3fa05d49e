/* Conditions and what is computed, as SQL for both databases, with the parameters; and what makes no sense.
 */
#include "query_check.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

static const sl_uuid uuids[3] = {{{[15] = 1}}, {{[15] = 2}}, {{[15] = 3}}};

TASK_TEST(comparisons)
{
    WHERE(sl_eq(person_.age, 5), "\"age\" = ?1", "(5)");
    WHERE(sl_ne(person_.age, 5), "\"age\" <> ?1", "(5)");
    WHERE(sl_lt(person_.age, 5), "\"age\" < ?1", "(5)");
    WHERE(sl_le(person_.age, 5u), "\"age\" <= ?1", "(5)");
    WHERE(sl_gt(person_.age, (char)5), "\"age\" > ?1", "(5)");
    WHERE(sl_ge(person_.age, -5L), "\"age\" >= ?1", "(-5)");
    WHERE(sl_eq(person_.age, person_.id), "\"age\" = \"id\"", "()");
    WHERE(sl_eq(person_.name, "x"), "\"name\" = ?1", "('x')");
    WHERE(sl_lt(person_.score, 1), "\"score\" < ?1", "(1)");
    WHERE(sl_lt(person_.score, 1.25), "\"score\" < ?1", "(1.25)");
    WHERE(sl_eq(person_.born, ((sl_date){2026, 11, 29})), "\"born\" = ?1", "(2026-11-29)");
    WHERE(sl_eq(person_.photo, SL_VIEW("abc")), "\"photo\" = ?1", "(3 bytes)");
    WHERE(sl_eq(person_.shade, GREEN), "\"shade\" = ?1", "('green')");
    WHERE(sl_eq(person_.shade, (enum colour)BLUE), "\"shade\" = ?1", "('blue')");
    WHERE(sl_between(person_.age, 18, 65), "\"age\" BETWEEN ?1 AND ?2", "(18, 65)");
    WHERE(sl_between(person_.age, person_.id, 65), "\"age\" BETWEEN \"id\" AND ?1", "(65)");
    WHERE(sl_between(person_.shade, RED, GREEN), "\"shade\" BETWEEN ?1 AND ?2", "('red', 'green')");
#define THINGS                                                                                               \
    "SELECT \"id\", \"order\", \"seen\", \"active\", \"data\", \"raw\", \"size\", \"rate\", \"code\", "      \
    "\"owner\", \"version\""                                                                                 \
    " FROM \"all \"\"things\"\"\" AS \"thing\" WHERE "
    json_t *json = json_pack("{s: i}", "a", 1);
    ROWS(sl_find(thing, sl_eq(thing_.id, uuids[1])), THINGS "\"id\" = ?1", "(uuid 2)");
    ROWS(sl_find(thing, sl_gt(thing_.seen, INT64_C(1700000000000000))), THINGS "\"seen\" > ?1",
         "(1700000000000000)");
    ROWS(sl_find(thing, sl_eq(thing_.active, true)), THINGS "\"active\" = ?1", "(true)");
    ROWS(sl_find(thing, sl_true(thing_.active)), THINGS "\"active\"", "()");
    ROWS(sl_find(thing, sl_eq(thing_.data, json)), THINGS "\"data\" = ?1", "(json)");
    ROWS(sl_find(thing, sl_eq(thing_.order, 1), sl_eq(thing_.size, LARGE)),
         THINGS "\"order\" = ?1 AND \"size\" = ?2", "(1, 'large')");
    json_decref(json);
    return NULL;
}

TASK_TEST(null_is_asked_for)
{
    const char *nobody = NULL;
    const sl_view nothing = {0};
    WHERE(sl_eq(person_.age, NULL), "\"age\" IS NULL", "()");
    WHERE(sl_ne(person_.age, NULL), "\"age\" IS NOT NULL", "()");
    WHERE(sl_eq(person_.name, nobody), "\"name\" IS NULL", "()");
    WHERE(sl_ne(person_.name, nobody), "\"name\" IS NOT NULL", "()");
    WHERE(sl_eq(person_.photo, nothing), "\"photo\" IS NULL", "()");
    WHERE(sl_eq(person_.shade, NULL), "\"shade\" IS NULL", "()");
    WHERE(sl_is_null(person_.born), "\"born\" IS NULL", "()");
    WHERE(sl_is_not_null(person_.born), "\"born\" IS NOT NULL", "()");
    WHERE(sl_not(sl_eq(person_.age, NULL)), "\"age\" IS NOT NULL", "()");
    WHERE(sl_not(sl_ne(person_.age, NULL)), "NOT (\"age\" IS NOT NULL)", "()");
    /* All others are never true. */
    WHERE(sl_lt(person_.age, NULL), "\"age\" < ?1", "(NULL)");
    WHERE(sl_ge(person_.pay, NULL), "\"pay\" >= ?1", "(NULL)");
    WHERE(sl_between(person_.age, NULL, 5), "\"age\" BETWEEN ?1 AND ?2", "(NULL, 5)");
    WHERE_BOTH(sl_eq(sl_the(person_.age, NULL), 5), "?1 IS NULL", "(5)", "$1::bigint IS NULL", NULL);
    WHERE(sl_eq(sl_the(person_.age, NULL), person_.age), "\"age\" IS NULL", "()");
    WHERE(sl_eq(person_.age, sl_plus(person_.age, NULL)), "\"age\" = (\"age\" + ?1)", "(NULL)");
    WHERE_BOTH(sl_like(person_.name, nobody), "\"name\" LIKE ?1 || '' ESCAPE '\\'", "(NULL)",
               "\"name\" LIKE $1", NULL);
    WHERE_BOTH(sl_contains(person_.name, nobody), "instr(\"name\", ?1) > 0", "(NULL)", "\"name\" LIKE $1",
               NULL);
    WHERE_BOTH(sl_prefix(person_.name, nobody), "\"name\" LIKE ?1 || '' ESCAPE '\\'", "(NULL)",
               "\"name\" LIKE $1", NULL);
    return NULL;
}

TASK_TEST(conditions_of_conditions)
{
    sl_clause a = sl_eq(person_.age, 1), b = sl_eq(person_.age, 2), c = sl_eq(person_.age, 3);
    WHERE(sl_and(a, b), "\"age\" = ?1 AND \"age\" = ?2", "(1, 2)");
    WHERE(sl_or(a, b), "(\"age\" = ?1 OR \"age\" = ?2)", "(1, 2)");
    WHERE(sl_or(a), "\"age\" = ?1", "(1)");
    WHERE(sl_and(sl_or(a, b), c), "(\"age\" = ?1 OR \"age\" = ?2) AND \"age\" = ?3", "(1, 2, 3)");
    WHERE(sl_or(sl_and(a, b), c), "((\"age\" = ?1 AND \"age\" = ?2) OR \"age\" = ?3)", "(1, 2, 3)");
    WHERE(sl_not(a), "NOT (\"age\" = ?1)", "(1)");
    WHERE(sl_not(sl_and(a, b)), "NOT (\"age\" = ?1 AND \"age\" = ?2)", "(1, 2)");
    WHERE(sl_not(sl_or(a, b)), "NOT ((\"age\" = ?1 OR \"age\" = ?2))", "(1, 2)");
    WHERE(sl_not(sl_not(a)), "NOT (NOT (\"age\" = ?1))", "(1)");
    WHERE(sl_and(), "TRUE", "()");
    WHERE(sl_or(), "FALSE", "()");
    WHERE(sl_or(sl_and(), a), "(TRUE OR \"age\" = ?1)", "(1)");
    ROWS(sl_find(person, a, sl_or(b, c), sl_and(a, b)),
         FROM_PERSON
         " WHERE \"age\" = ?1 AND (\"age\" = ?2 OR \"age\" = ?3) AND \"age\" = ?4 AND \"age\" = ?5",
         "(1, 2, 3, 1, 2)");
    return NULL;
}

TASK_TEST(lists)
{
    const int64_t numbers[] = {7, 8, 9};
    const char *const texts[] = {"a", "b"};
    WHERE_BOTH(sl_in(person_.age, 1), "\"age\" IN (?1)", "(1)", "\"age\" = ANY($1)", "({1})");
    WHERE_BOTH(sl_in(person_.age, 1, 2), "\"age\" IN (?1, ?2)", "(1, 2)", "\"age\" = ANY($1)", "({1, 2})");
    WHERE_BOTH(sl_in(person_.age, 1, 2, 3), "\"age\" IN (?1, ?2, ?3, ?4)", "(1, 2, 3, 3)",
               "\"age\" = ANY($1)", "({1, 2, 3})");
    WHERE_BOTH(sl_in(person_.name, "a", "b"), "\"name\" IN (?1, ?2)", "('a', 'b')", "\"name\" = ANY($1)",
               "({'a', 'b'})");
    WHERE_BOTH(sl_in(person_.shade, RED, BLUE), "\"shade\" IN (?1, ?2)", "('red', 'blue')",
               "\"shade\" = ANY($1)", "({'red', 'blue'})");
    WHERE(sl_in(person_.age, person_.id, 2), "\"age\" IN (\"id\", ?1)", "(2)");
    WHERE_BOTH(sl_in_array(person_.age, numbers, 3), "\"age\" IN (?1, ?2, ?3, ?4)", "(7, 8, 9, 9)",
               "\"age\" = ANY($1)", "({7, 8, 9})");
    WHERE_BOTH(sl_in_array(person_.name, texts, 2), "\"name\" IN (?1, ?2)", "('a', 'b')",
               "\"name\" = ANY($1)", "({'a', 'b'})");
    ROWS_BOTH(sl_find(thing, sl_in_array(thing_.id, uuids, 3)), THINGS "\"id\" IN (?1, ?2, ?3, ?4)",
              "(uuid 1, uuid 2, uuid 3, uuid 3)", THINGS "\"id\" = ANY($1)", "({uuid 1, uuid 2, uuid 3})");
    ROWS(sl_find(thing, sl_in_array(thing_.seen, numbers, 1)), THINGS "\"seen\" IN (?1)", "(7)");
    WHERE(sl_in(person_.age), "FALSE", "()");
    WHERE(sl_in_array(person_.age, numbers, 0), "FALSE", "()");
    WHERE(sl_in_array(person_.name, texts, 0), "FALSE", "()");
    WHERE(sl_not(sl_in(person_.age)), "NOT (FALSE)", "()");
    WHERE_BOTH(sl_in(sl_the(person_.age, 1), 2, 3), "?1 IN (?2, ?3)", "(1, 2, 3)", "$1::bigint = ANY($2)",
               "(1, {2, 3})");
    /* Arrays are copied. */
    int64_t one[] = {1};
    sl_clause in_one = sl_in_array(person_.age, one, 1);
    one[0] = 2;
    WHERE_BOTH(in_one, "\"age\" IN (?1)", "(1)", "\"age\" = ANY($1)", "({1})");
    return NULL;
}

TASK_TEST(lists_have_few_shapes)
{
    static int64_t numbers[30001];
    static const size_t counts[][2] = {{5, 8},         {8, 8},         {9, 16},       {100, 128},
                                       {16384, 16384}, {16385, 16385}, {29999, 29999}};
    for (size_t i = 0; i < sl_array_size(counts); i++) {
        struct person_found *found =
            sl_find(person, sl_in_array(person_.age, numbers, counts[i][0]), sl_limit(1));
        sl__statement statement;
        sl__compile(SL__SELECTION(found), SL__SQLITE, SL__ROWS, NOTHING, &statement);
        CHECK(statement.count == counts[i][1] + 1);
        check_prepares(__LINE__, &statement);
    }
    return NULL;
}

TASK_TEST(patterns)
{
    WHERE_BOTH(sl_like(person_.name, "a%b_c"),
               "(\"name\" >= ?1 AND \"name\" < ?2 AND \"name\" GLOB ?3 || '')", "('a', 'b', 'a*b?c')",
               "\"name\" LIKE $1", "('a%b_c')");
    WHERE_BOTH(sl_like(person_.name, "%a"), "(\"name\" GLOB ?1 || '')", "('*a')", "\"name\" LIKE $1",
               "('%a')");
    WHERE_BOTH(sl_like(person_.name, "\\%[x]*?\\_"),
               "(\"name\" >= ?1 AND \"name\" < ?2 AND \"name\" GLOB ?3 || '')",
               "('%[x]*?_', '%[x]*?`', '%[[]x][*][?]_')", "\"name\" LIKE $1", "('\\%[x]*?\\_')");
    WHERE_BOTH(sl_like(sl_lower(person_.name), "a%"), "(lower(\"name\") GLOB ?1 || '')", "('a*')",
               "lower(\"name\") LIKE $1", "('a%')");
    WHERE_BOTH(sl_ilike(person_.name, "A\\%\\a%"), "\"name\" LIKE ?1 || '' ESCAPE '\\'", "('A\\%a%')",
               "\"name\" ILIKE $1", NULL);
    WHERE_BOTH(sl_prefix(person_.name, "Ann"), "(\"name\" >= ?1 AND \"name\" < ?2)", "('Ann', 'Ano')",
               "\"name\" LIKE $1", "('Ann%')");
    WHERE_BOTH(sl_prefix(person_.name, "5%_\\"), "(\"name\" >= ?1 AND \"name\" < ?2)", "('5%_\\', '5%_]')",
               "\"name\" LIKE $1", "('5\\%\\_\\\\%')");
    WHERE_BOTH(sl_prefix(person_.name, ""), "(\"name\" GLOB ?1 || '')", "('*')", "\"name\" LIKE $1", "('%')");
    WHERE_BOTH(sl_prefix(person_.name, "é"), "(\"name\" >= ?1 AND \"name\" < ?2)", "('é', 'ê')",
               "\"name\" LIKE $1", "('é%')");
    WHERE_BOTH(sl_prefix(person_.name, "a\xf4\x8f\xbf\xbf"), "(\"name\" >= ?1 AND \"name\" < ?2)",
               "('a\xf4\x8f\xbf\xbf', 'b')", "\"name\" LIKE $1", "('a\xf4\x8f\xbf\xbf%')");
    WHERE_BOTH(sl_prefix(person_.name, "\xf4\x8f\xbf\xbf"), "(\"name\" GLOB ?1 || '')",
               "('\xf4\x8f\xbf\xbf*')", "\"name\" LIKE $1", "('\xf4\x8f\xbf\xbf%')");
    WHERE_BOTH(sl_prefix(person_.name, "\xed\x9f\xbf"), "(\"name\" >= ?1 AND \"name\" < ?2)",
               "('\xed\x9f\xbf', '\xee\x80\x80')", "\"name\" LIKE $1", "('\xed\x9f\xbf%')");
    WHERE_BOTH(sl_suffix(person_.name, "*%"), "(\"name\" GLOB ?1 || '')", "('*[*]%')", "\"name\" LIKE $1",
               "('%*\\%')");
    WHERE_BOTH(sl_contains(person_.name, "a_*"), "instr(\"name\", ?1) > 0", "('a_*')", "\"name\" LIKE $1",
               "('%a\\_*%')");
    WHERE_BOTH(sl_not(sl_prefix(person_.name, "A")), "NOT ((\"name\" >= ?1 AND \"name\" < ?2))", "('A', 'B')",
               "NOT (\"name\" LIKE $1)", "('A%')");
    return NULL;
}

TASK_TEST(arithmetic)
{
    WHERE(sl_eq(person_.age, sl_plus(person_.id, 1)), "\"age\" = (\"id\" + ?1)", "(1)");
    WHERE(sl_eq(sl_minus(person_.age, person_.id), 1), "(\"age\" - \"id\") = ?1", "(1)");
    WHERE(sl_eq(sl_times(sl_plus(person_.age, 1), 2), 3), "((\"age\" + ?1) * ?2) = ?3", "(1, 2, 3)");
    WHERE(sl_eq(sl_divided(person_.age, 2), 3), "(\"age\" / ?1) = ?2", "(2, 3)");
    WHERE(sl_eq(sl_modulo(person_.age, 2), 0), "(\"age\" % ?1) = ?2", "(2, 0)");
    WHERE(sl_lt(sl_divided(person_.score, 2), 3), "(\"score\" / ?1) < ?2", "(2, 3)");
    VALUE(sl_concatenated(person_.name, "!"), "(\"name\" || ?1)", "('!')");
    VALUE(sl_concatenated(sl_concatenated(person_.name, ", "), person_.name),
          "((\"name\" || ?1) || \"name\")", "(', ')");
    /* What stands beside no column has to say its type. */
    VALUE_BOTH(sl_the(person_.age, 5), "?1", "(5)", "$1::bigint");
    VALUE_BOTH(sl_plus(sl_the(person_.age, 5), 6), "(?1 + ?2)", "(5, 6)", "($1::bigint + $2::bigint)");
    VALUE_BOTH(sl_the(person_.score, 5), "?1", "(5)", "$1::double precision");
    VALUE_BOTH(sl_the(person_.born, NULL), "?1", "(NULL)", "$1::date");
    VALUE_BOTH(sl_the(person_.pay, ((sl_decimal){5, 0})), "?1", "(5.00)", "$1::numeric");
    VALUE_BOTH(sl_the(person_.shade, RED), "?1", "('red')", "$1::text");
    VALUE_BOTH(sl_the(thing_.id, uuids[0]), "?1", "(uuid 1)", "$1::uuid");
    VALUE_BOTH(sl_the(thing_.active, false), "?1", "(false)", "$1::boolean");
    VALUE_BOTH(sl_the(thing_.seen, 5), "?1", "(5)", "$1::timestamptz");
    VALUE_BOTH(sl_the(thing_.raw, SL_VIEW("x")), "?1", "(1 bytes)", "$1::bytea");
    return NULL;
}

TASK_TEST(functions)
{
    VALUE(sl_lower(person_.name), "lower(\"name\")", "()");
    VALUE(sl_upper(person_.name), "upper(\"name\")", "()");
    VALUE(sl_length(person_.name), "length(\"name\")", "()");
    VALUE_BOTH(sl_length(sl_the(person_.name, "abc")), "length(?1)", "('abc')", "length($1::text)");
    VALUE(sl_absolute(person_.age), "abs(\"age\")", "()");
    VALUE(sl_coalesce(person_.age, 5), "coalesce(\"age\", ?1)", "(5)");
    VALUE(sl_coalesce(person_.shade, BLUE), "coalesce(\"shade\", ?1)", "('blue')");
    VALUE(sl_coalesce(person_.age, person_.id), "coalesce(\"age\", \"id\")", "()");
    VALUE_BOTH(sl_coalesce(sl_the(person_.age, NULL), 5), "coalesce(?1, ?2)", "(NULL, 5)",
               "coalesce($1::bigint, $2::bigint)");
    VALUE(sl_count_all(), "count(*)", "()");
    VALUE(sl_count_of(person_.shade), "count(\"shade\")", "()");
    VALUE(sl_count_distinct(person_.shade), "count(DISTINCT \"shade\")", "()");
    VALUE_BOTH(sl_sum(person_.age), "sum(\"age\")", "()", "sum(\"age\")::bigint");
    VALUE(sl_sum(person_.score), "sum(\"score\")", "()");
    VALUE(sl_sum(person_.pay), "sum(\"pay\")", "()");
    VALUE_BOTH(sl_average(person_.age), "avg(\"age\")", "()", "avg(\"age\")::double precision");
    VALUE(sl_average(person_.score), "avg(\"score\")", "()");
    VALUE_BOTH(sl_average(person_.pay), "(avg(\"pay\") / 100.0)", "()", "avg(\"pay\")::double precision");
    VALUE(sl_min(person_.name), "min(\"name\")", "()");
    VALUE(sl_max(person_.born), "max(\"born\")", "()");
    VALUE_BOTH(sl_plus(sl_sum(person_.age), sl_count_all()), "(sum(\"age\") + count(*))", "()",
               "(sum(\"age\")::bigint + count(*))");
#define THING_VALUE(x, sqlite, postgres)                                                                     \
    check_both(__LINE__, SL__SELECTION(sl_find(thing)), SL__VALUE, (const sl_node *const[]){(x).node}, 1,    \
               -1, "SELECT " sqlite " FROM \"all \"\"things\"\"\" AS \"thing\"", "()",                       \
               "SELECT " postgres " FROM \"all \"\"things\"\"\" AS \"thing\"", NULL)
    THING_VALUE(sl_min(thing_.active), "min(\"active\")", "bool_and(\"active\")");
    THING_VALUE(sl_max(thing_.active), "max(\"active\")", "bool_or(\"active\")");
    THING_VALUE(sl_max(thing_.id), "max(\"id\")", "max(\"id\"::text COLLATE \"C\")::uuid");
    THING_VALUE(sl_min(thing_.raw), "min(\"raw\")",
                "decode(min(encode(\"raw\", 'hex') COLLATE \"C\"), 'hex')");
    return NULL;
}

TASK_TEST(decimals_meet_at_one_scale)
{
    const sl_decimal fifty = {505, 1}, exact = {12345, 4};
    WHERE(sl_eq(person_.pay, fifty), "\"pay\" = ?1", "(50.50)");
    WHERE(sl_in(person_.pay, fifty, ((sl_decimal){7, 0})), "\"pay\" IN (?1, ?2)", "(50.50, 7.00)");
    WHERE(sl_between(person_.pay, ((sl_decimal){1, 0}), fifty), "\"pay\" BETWEEN ?1 AND ?2", "(1.00, 50.50)");
    WHERE(sl_eq(sl_plus(person_.pay, ((sl_decimal){1, 0})), fifty), "(\"pay\" + ?1) = ?2", "(1.00, 50.50)");
    WHERE(sl_eq(sl_coalesce(person_.pay, ((sl_decimal){0, 0})), fifty), "coalesce(\"pay\", ?1) = ?2",
          "(0.00, 50.50)");
    /* Two columns with different scales. */
#define JOINED FROM_JOINED " JOIN \"all \"\"things\"\"\" AS \"thing\" ON "
#define FROM_JOINED "SELECT " PERSON_OF("person") " FROM \"person\""
    ROWS_BOTH(sl_find(person, sl_join(thing_, sl_eq(thing_.rate, person_.pay))),
              JOINED "\"thing\".\"rate\" = (\"person\".\"pay\" * 100)", "()",
              JOINED "\"thing\".\"rate\" = \"person\".\"pay\"", NULL);
    ROWS_BOTH(sl_find(person, sl_join(thing_, sl_lt(sl_plus(person_.pay, thing_.rate), exact))),
              JOINED "((\"person\".\"pay\" * 100) + \"thing\".\"rate\") < ?1", "(1.2345)",
              JOINED "(\"person\".\"pay\" + \"thing\".\"rate\") < $1", NULL);
    ROWS_BOTH(sl_find(person, sl_join(thing_, sl_in(person_.pay, thing_.rate, fifty))),
              JOINED "(\"person\".\"pay\" * 100) IN (\"thing\".\"rate\", ?1)", "(50.5000)",
              JOINED "\"person\".\"pay\" IN (\"thing\".\"rate\", $1)", "(50.50)");
    ROWS_BOTH(sl_find(person, sl_join(thing_, sl_between(person_.pay, fifty, thing_.rate))),
              JOINED "(\"person\".\"pay\" * 100) BETWEEN ?1 AND \"thing\".\"rate\"", "(50.5000)",
              JOINED "\"person\".\"pay\" BETWEEN $1 AND \"thing\".\"rate\"", "(50.50)");
    CHECK(sl__scale_of(sl_plus(person_.pay, thing_.rate).node) == 4);
    CHECK(sl__scale_of(sl_sum(person_.pay).node) == 2 && sl__scale_of(person_.age.node) == 0);
    CHECK(sl__names_of(sl_coalesce(person_.shade, RED).node) == colour_names &&
          !sl__names_of(person_.age.node));
    return NULL;
}

TASK_TEST(fields_of_objects)
{
    const struct person ann = {
        .id = 1, .name = "Ann", .age = 0, .pay = {5, 0}, .shade = BLUE, .null = {.born = 1, .score = 1}};
    const struct person *p = &ann;
    WHERE(sl_eq(person_.name, sl_field_of(person, p, name)), "\"name\" = ?1", "('Ann')");
    WHERE(sl_eq(person_.age, sl_field_of(person, p, age)), "\"age\" = ?1", "(0)");
    WHERE(sl_eq(person_.pay, sl_field_of(person, p, pay)), "\"pay\" = ?1", "(5.00)");
    WHERE(sl_eq(person_.shade, sl_field_of(person, p, shade)), "\"shade\" = ?1", "('blue')");
    WHERE(sl_eq(person_.born, sl_field_of(person, p, born)), "\"born\" IS NULL", "()");
    WHERE(sl_ne(person_.score, sl_field_of(person, p, score)), "\"score\" IS NOT NULL", "()");
    json_t *json = json_pack("[i]", 1);
    const struct thing a_thing = {.data = json};
    const struct thing *thing_object = &a_thing;
    ROWS(sl_find(thing, sl_eq(thing_.data, sl_field_of(thing, thing_object, data))), THINGS "\"data\" = ?1",
         "(json)");
    json_decref(json);
    return NULL;
}

TASK_TEST(sub_selects)
{
    ROWS(sl_find(company, sl_exists(sl_find(person, sl_eq(person_.employer, company_.id)))),
         FROM_COMPANY " WHERE EXISTS (SELECT 1 FROM \"person\" WHERE \"employer\" = \"company\".\"id\")",
         "()");
    WHERE(sl_not(sl_exists(sl_find(company))), "NOT (EXISTS (SELECT 1 FROM \"company\"))", "()");
    WHERE(sl_in_found(person_.employer, sl_find(company, sl_eq(company_.city, "Bonn")), company_.id),
          "\"employer\" IN (SELECT \"id\" FROM \"company\" WHERE \"city\" = ?1)", "('Bonn')");
    WHERE(sl_in_found(person_.employer, sl_find(company, sl_ascending(company_.name), sl_limit(3)),
                      company_.id),
          "\"employer\" IN (SELECT \"id\" FROM \"company\" ORDER BY \"name\" LIMIT ?1)", "(3)");
    WHERE(
        sl_eq(person_.age, sl_subselect(sl_find(company, sl_eq(company_.id, person_.employer)), company_.id)),
        "\"age\" = (SELECT \"id\" FROM \"company\" WHERE \"id\" = \"person\".\"employer\")", "()");
    WHERE(sl_eq(person_.age, sl_subselect(sl_find(thing), sl_max(thing_.order))),
          "\"age\" = (SELECT max(\"order\") FROM \"all \"\"things\"\"\" AS \"thing\")", "()");
    /* The same table within itself. */
    struct person_columns boss = sl_alias(person, "boss");
    WHERE(sl_lt(person_.age, sl_subselect(sl_find_as(person, boss, sl_eq(boss.employer, person_.employer)),
                                          sl_max(boss.age))),
          "\"age\" < (SELECT max(\"age\") FROM \"person\" AS \"boss\" WHERE \"employer\" = "
          "\"person\".\"employer\")",
          "()");
    /* What stands around is one value for all rows within. */
    WHERE(sl_eq(person_.age, sl_subselect(sl_find(company), sl_plus(sl_max(company_.id), person_.id))),
          "\"age\" = (SELECT (max(\"id\") + \"person\".\"id\") FROM \"company\")", "()");
    /* Of groups, slices of aggregates, and combined selections. */
    WHERE(sl_in_found(person_.id,
                      sl_find(thing, sl_group_by(thing_.owner), sl_having(sl_gt(sl_count_all(), 2))),
                      thing_.owner),
          "\"id\" IN (SELECT \"owner\" FROM \"all \"\"things\"\"\" AS \"thing\" GROUP BY \"owner\" HAVING "
          "count(*) > ?1)",
          "(2)");
    WHERE(sl_eq(person_.age,
                sl_subselect(sl_find(thing, sl_ascending(thing_.seen), sl_limit(3)), sl_max(thing_.order))),
          "\"age\" = (SELECT max(\"order\") FROM (SELECT \"order\" FROM \"all \"\"things\"\"\" AS \"thing\" "
          "ORDER BY \"seen\" LIMIT ?1)"
          " AS \"thing\")",
          "(3)");
#define UNITED                                                                                               \
    "SELECT \"id\", \"name\", \"city\" FROM \"company\" WHERE \"city\" = ?1 UNION SELECT \"id\", \"name\", " \
    "\"city\" FROM \"company\""
#define UNITED_P                                                                                             \
    "(SELECT \"id\", \"name\", \"city\" FROM \"company\" WHERE \"city\" = $1) UNION (SELECT \"id\", "        \
    "\"name\", \"city\" FROM \"company\")"
    struct company_found *united = sl_union(sl_find(company, sl_eq(company_.city, "x")), sl_find(company));
    WHERE_BOTH(sl_in_found(person_.employer, united, company_.id),
               "\"employer\" IN (SELECT \"id\" FROM (" UNITED ") AS \"company\")", "('x')",
               "\"employer\" IN (SELECT \"id\" FROM (" UNITED_P ") AS \"company\")", NULL);
    WHERE_BOTH(
        sl_exists(united),
        "EXISTS (SELECT \"id\", \"name\", \"city\" FROM \"company\" WHERE \"city\" = ?1 UNION SELECT \"id\","
        " \"name\", \"city\" FROM \"company\")",
        "('x')", "EXISTS (" UNITED_P ")", NULL);
    /* Decimals of both sides. */
    WHERE_BOTH(sl_in_found(person_.pay, sl_find(thing), thing_.rate),
               "(\"pay\" * 100) IN (SELECT \"rate\" FROM \"all \"\"things\"\"\" AS \"thing\")", "()",
               "\"pay\" IN (SELECT \"rate\" FROM \"all \"\"things\"\"\" AS \"thing\")", NULL);
    ROWS_BOTH(sl_find(thing, sl_in_found(thing_.rate, sl_find(person), person_.pay)),
              THINGS "\"rate\" IN (SELECT (\"pay\" * 100) FROM \"person\")", "()",
              THINGS "\"rate\" IN (SELECT \"pay\" FROM \"person\")", NULL);
    return NULL;
}

TASK_TEST(raw_sql)
{
    WHERE(sl_sql("person.age > 5"), "(person.age > 5)", "()");
    WHERE_BOTH(sl_sql("age > ? AND name = ?", sl_p(5), sl_p("x")), "(age > ?1 AND name = ?2)", "(5, 'x')",
               "(age > $1::bigint AND name = $2)", NULL);
    WHERE_BOTH(sl_sql("age > ? AND score < ?", sl_p(person_.id), sl_p(1.5)), "(age > \"id\" AND score < ?1)",
               "(1.5)", "(age > \"id\" AND score < $1::double precision)", NULL);
    WHERE_BOTH(sl_sql("name = '?' AND \"name\" <> '''?' /* ? */ AND age = ? -- ?", sl_p(1)),
               "(name = '?' AND \"name\" <> '''?' /* ? */ AND age = ?1 -- ?\n)", "(1)",
               "(name = '?' AND \"name\" <> '''?' /* ? */ AND age = $1::bigint -- ?\n)", NULL);
    VALUE(sl_sql_integer("count(*) + 1"), "(count(*) + 1)", "()");
    VALUE(sl_sql_real("1.5"), "(1.5)", "()");
    VALUE(sl_sql_text("upper(name)"), "(upper(name))", "()");
    WHERE(sl_eq(person_.age, sl_sql_integer("1 + 1")), "\"age\" = (1 + 1)", "()");
    WHERE(sl_sql("name = ?", sl_p(NULL)), "(name = ?1)", "(NULL)");
    return NULL;
}

/* What a scanner takes for text, as the database's own scanner does. */
TASK_TEST(question_marks_that_are_none)
{
    static const struct {
        const char *text, *sqlite, *postgres;
    } cases[] = {
        {"?", "?1", "$1::bigint"},
        {"(?)", "(?1)", "($1::bigint)"},
        {"'?''?' ?", "'?''?' ?1", "'?''?' $1::bigint"},
        {"\"?\"\"\" ?", "\"?\"\"\" ?1", "\"?\"\"\" $1::bigint"},
        {"/* ? */?", "/* ? */?1", "/* ? */$1::bigint"},
        {"-- ?\n?", "-- ?\n?1", "-- ?\n$1::bigint"},
        {"a?b", "a ?1 b", "a $1::bigint b"},
        {"?? ?", NULL, "? $1::bigint"},
        {"a ???", NULL, "a ?$1::bigint"},
        {"'\\' ?", "'\\' ?1", "'\\' $1::bigint"},
        {"`?` ?", "`?` ?1", NULL},
        {"[?] ?", "[?] ?1", NULL},
        {"/* /* */ ?", "/* /* */ ?1", NULL},
        {"E'\\'?' ?", NULL, "E'\\'?' $1::bigint"},
        {"e'\\\\' ?", NULL, "e'\\\\' $1::bigint"},
        {"xe'\\' ?", NULL, "xe'\\' $1::bigint"},
        {"/* /* */ ? */ ?", NULL, "/* /* */ ? */ $1::bigint"},
        {"$$ ? $$ ?", NULL, "$$ ? $$ $1::bigint"},
        {"$t$ ? $$ ? $u$ $t$ ?", NULL, "$t$ ? $$ ? $u$ $t$ $1::bigint"},
        {"a$b$?", NULL, "a$b$ $1::bigint"},
        {"a[?]", NULL, "a[$1::bigint]"},
        {"x::text = ?", NULL, "x::text = $1::bigint"},
        {"a[1:?]", NULL, "a[1:$1::bigint]"},
    };
    for (size_t i = 0; i < sl_array_size(cases); i++) {
        const sl_node *const values[] = {sl_p(7), NULL};
        sl__statement statement;
        for (sl__dialect dialect = SL__SQLITE; dialect <= SL__POSTGRES; dialect++) {
            const char *wanted = dialect == SL__SQLITE ? cases[i].sqlite : cases[i].postgres;
            if (!wanted)
                continue;
            sl__compile_raw(SL_HERE, cases[i].text, values, dialect, &statement);
            check_statement(__LINE__, cases[i].text, wanted, "(7)", &statement);
        }
    }
    return NULL;
}

TASK_TEST(raw_statements)
{
    static const struct {
        const char *text;
        bool writes;
    } cases[] = {
        {"SELECT 1", false},
        {"  select(1)", false},
        {"(VALUES (1))", false},
        {"\nSELECT\n1", false},
        {"SELECTED", true},
        {"INSERT INTO company VALUES (9, 'x', NULL)", true},
        {"DELETE FROM company", true},
        {"WITH x AS (SELECT 1) DELETE FROM company", true},
    };
    for (size_t i = 0; i < sl_array_size(cases); i++) {
        sl__statement statement;
        sl__compile_raw(SL_HERE, cases[i].text, (const sl_node *const[]){NULL}, SL__SQLITE, &statement);
        CHECK(statement.writes == cases[i].writes && strcmp(statement.sql, cases[i].text) == 0);
        CHECK(statement.count == 0 && !statement.values && statement.shape);
    }
    return NULL;
}

static void *refusals(void *data)
{
    attempt *a = data;
    sl_clause empty = {NULL};
    const sl_decimal fine = {12345, 3};
    static int64_t many[30001];
    const char *const with_null[] = {"a", NULL};
    REFUSED("7 is no value of the enum colour", "0 to 2", sl_eq(person_.shade, 7));
    REFUSED("-1 is no value of the enum colour", "0 to 2", sl_in(person_.shade, RED, -1));
    REFUSED("person.shade is of the enum colour, and thing.size of size", "nothing to do",
            sl_eq(person_.shade, thing_.size));
    REFUSED("12.345 does not fit beside person.pay, which has 2 digits after the point and 18 in all",
            "round", sl_eq(person_.pay, fine));
    REFUSED("12.345 does not fit beside person.pay, which has 2 digits after the point and 18 in all",
            "round", sl_the(person_.pay, fine));
    REFUSED("NULL is among what person.age may be: it is equal to nothing", "sl_is_null",
            sl_in(person_.age, 1, NULL));
    REFUSED("NULL is among what person.name may be: it is equal to nothing", "sl_is_null",
            sl_in_array(person_.name, with_null, 2));
    REFUSED("a list of 30001 values, and a query can have 30000", "several queries",
            sl_in_array(person_.age, many, 30001));
    REFUSED(
        "a query with more than 30000 parameters", "several queries",
        COMPILED(sl_find(person, sl_eq(person_.age, 1), sl_in_array(person_.age, many, 30000)), SL__ROWS));
    REFUSED("the pattern \"a\\\" ends with a \\ that takes nothing", "twice", sl_like(person_.name, "a\\"));
    REFUSED("the pattern \"\\\\\\\" ends with a \\ that takes nothing", "twice",
            sl_ilike(person_.name, "\\\\\\"));
    REFUSED("a pattern of 20000 bytes: 16666 is the most", "a part of it",
            COMPILED(sl_find(person, sl_like(person_.name, sl_printf("%020000d", 1))), SL__ROWS));
    REFUSED("thing.data is JSON, which has no order for <", "a part of it",
            sl_lt(thing_.data, (json_t *)NULL));
    REFUSED("thing.data is JSON, which has no order", "a part of it", sl_ascending(thing_.data));
    REFUSED("clause 2 of sl_and is sl_limit, which is no condition", "sl_find",
            sl_and(sl_eq(person_.age, 1), sl_limit(1)));
    REFUSED("clause 1 of sl_or is sl_descending, which is no condition", "sl_find",
            sl_or(sl_descending(person_.age)));
    REFUSED("clause 1 of sl_not is sl_to, which is no condition", "sl_find", sl_not(sl_to(person_.age, 1)));
    REFUSED("clause 1 of sl_and is empty", "always true", sl_and(empty, empty));
    REFUSED("sum of count: an aggregate of an aggregate", "sub-select", sl_sum(sl_count_of(person_.age)));
    REFUSED("sl_alias(person, \"\"): a name has 1 to 63 bytes", "short", sl_alias(person, ""));
    REFUSED("sl_sql: the text has more ? than the 1 values that are given", "??",
            COMPILED(sl_find(person, sl_sql("? = ?", sl_p(1))), SL__ROWS));
    REFUSED("sl_sql: the text has 1 ?, and 2 values are given", "outside of quotes",
            COMPILED(sl_find(person, sl_sql("'?' = ?", sl_p(1), sl_p(2))), SL__ROWS));
    REFUSED("sl_sql: \"?1\" in the text", "sl_p(…)", COMPILED(sl_find(person, sl_sql("age = ?1")), SL__ROWS));
    REFUSED("sl_sql: \":name\" in the text", "sl_p(…)",
            COMPILED(sl_find(person, sl_sql("age = :name")), SL__ROWS));
    REFUSED("sl_sql: \"$1\" in the text", "sl_p(…)",
            sl__compile_raw(SL_HERE, "SELECT $1", (const sl_node *const[]){NULL}, SL__POSTGRES,
                            &(sl__statement){0}));
    REFUSED("sl_sql: \"??\" in the text", "sl_p(…)",
            COMPILED(sl_find(person, sl_sql("name ?? 'x'")), SL__ROWS));
    REFUSED("person.age: no table is known here", "into the SQL",
            sl__compile_raw(SL_HERE, "SELECT ?", (const sl_node *const[]){sl_p(person_.age), NULL},
                            SL__SQLITE, &(sl__statement){0}));
    return NULL;
}

TASK_TEST(what_makes_no_sense)
{
    check_refusals(refusals);
    return NULL;
}

/* ---- What comes of it ---------------------------------------------------------------------------------- */

/* Who of the persons in the database is meant, by their keys. */
#define MEANS(condition, wanted)                                                                             \
    do {                                                                                                     \
        struct person_found *found_here = sl_find(person, condition, sl_ascending(person_.id));              \
        const char *got = answer(SL__SELECTION(found_here), SL__ROWS, NULL);                                 \
        if (strcmp(got, wanted) != 0)                                                                        \
            differs(__LINE__, "an answer", wanted, got);                                                     \
    } while (0)
TASK_TEST(answers_of_conditions)
{
    MEANS(sl_eq(person_.score, NULL), "2");
    MEANS(sl_ne(person_.score, NULL), "1,3,4,5");
    MEANS(sl_ne(person_.age, 30), "2,3");
    MEANS(sl_lt(person_.age, NULL), "");
    MEANS(sl_in(person_.age, 30, 50), "1,3,5");
    MEANS(sl_not(sl_in(person_.age)), "1,2,3,4,5");
    MEANS(sl_like(person_.name, "A%"), "1,5");
    MEANS(sl_like(person_.name, "a%"), "3");
    MEANS(sl_like(person_.name, "A_n"), "1");
    MEANS(sl_like(person_.name, "A\\_n\\%"), "5");
    MEANS(sl_like(person_.name, "_rger*"), "4");
    MEANS(sl_ilike(person_.name, "a_N"), "1,3");
    MEANS(sl_ilike(person_.name, "a\\_N%"), "5");
    MEANS(sl_prefix(person_.name, "A"), "1,5");
    MEANS(sl_prefix(person_.name, "Ä"), "4");
    MEANS(sl_prefix(person_.name, "A_"), "5");
    MEANS(sl_prefix(sl_upper(person_.name), "ANN"), "1,3");
    MEANS(sl_suffix(person_.name, "nn"), "1,3");
    MEANS(sl_suffix(person_.name, "*"), "4");
    MEANS(sl_suffix(person_.name, "%"), "5");
    MEANS(sl_contains(person_.name, "_"), "5");
    MEANS(sl_contains(person_.name, ""), "1,2,3,4,5");
    MEANS(sl_eq(sl_length(person_.name), 6), "4");
    MEANS(sl_eq(sl_divided(person_.age, 7), 5), "2");
    MEANS(sl_eq(sl_divided(sl_minus(person_.age, 37), 2), -3), "1,5");
    MEANS(sl_eq(person_.pay, ((sl_decimal){100025, 2})), "1");
    MEANS(sl_exists(sl_find(thing, sl_eq(thing_.owner, person_.id))), "1,2");
    MEANS(sl_in_found(person_.id, sl_find(thing, sl_eq(thing_.code, "c")), thing_.owner), "2");
    MEANS(sl_in_found(sl_plus(person_.pay, ((sl_decimal){100, 2})), sl_find(thing), thing_.rate), "2");
    MEANS(sl_sql("person.age / ? > 1 AND '?' = '?'", sl_p(20)), "2,3");
    return NULL;
}

TASK_TEST(answers_of_values)
{
    struct person_found *all = sl_find(person),
                        *first = sl_find(person, sl_ascending(person_.id), sl_limit(2));
    GIVES(all, SL__VALUE, sl_sum(person_.age).node, "150");
    GIVES(all, SL__VALUE, sl_sum(person_.pay).node, "100175");
    GIVES(all, SL__VALUE, sl_average(person_.pay).node, "250.4375");
    GIVES(all, SL__VALUE, sl_average(person_.age).node, "37.5");
    GIVES(all, SL__VALUE, sl_count_of(person_.age).node, "4");
    GIVES(all, SL__VALUE, sl_count_distinct(person_.age).node, "3");
    GIVES(first, SL__VALUE, sl_sum(person_.age).node, "70");
    GIVES(first, SL__VALUE, sl_count_all().node, "2");
    GIVES(first, SL__VALUE, person_.name.node, "Ann,Bob");
    GIVES(sl_find(person, sl_or()), SL__VALUE, sl_sum(person_.age).node, "NULL");
    return NULL;
}

static void make_condition(void)
{
    sl_eq(person_.age, 1);
}

static void make_selection(void)
{
    (void)sl_find(person);
}

/* Queries live in a task's memory: without one the process ends, and says why. */
static void queries_are_made_in_tasks(void **state)
{
    void (*const makers[])(void) = {make_condition, make_selection};
    for (size_t i = 0; i < sl_array_size(makers); i++) {
        int pipes[2], status;
        char said[256] = "";
        assert_int_equal(pipe(pipes), 0);
        pid_t pid = fork();
        if (pid == 0) {
            dup2(pipes[1], STDERR_FILENO);
            signal(SIGABRT, SIG_DFL);
            makers[i]();
            _exit(0);
        }
        close(pipes[1]);
        assert_true(read(pipes[0], said, sizeof said - 1) > 0);
        close(pipes[0]);
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
        assert_non_null(strstr(said, "queries are made in tasks only"));
    }
}

/* A node is a small thing: queries are made and thrown away all the time. */
TASK_TEST(sizes)
{
    CHECK(sizeof(sl_node) <= 88 && sizeof(sl_value) <= 24);
    return NULL;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(comparisons),
        cmocka_unit_test(null_is_asked_for),
        cmocka_unit_test(conditions_of_conditions),
        cmocka_unit_test(lists),
        cmocka_unit_test(lists_have_few_shapes),
        cmocka_unit_test(patterns),
        cmocka_unit_test(arithmetic),
        cmocka_unit_test(functions),
        cmocka_unit_test(decimals_meet_at_one_scale),
        cmocka_unit_test(fields_of_objects),
        cmocka_unit_test(sub_selects),
        cmocka_unit_test(raw_sql),
        cmocka_unit_test(question_marks_that_are_none),
        cmocka_unit_test(raw_statements),
        cmocka_unit_test(what_makes_no_sense),
        cmocka_unit_test(answers_of_conditions),
        cmocka_unit_test(answers_of_values),
        cmocka_unit_test(queries_are_made_in_tasks),
        cmocka_unit_test(sizes),
        cmocka_unit_test(postgres_takes_all),
    };
    return cmocka_run_group_tests(tests, database_open, database_close);
}
