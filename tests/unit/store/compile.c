/* Clauses, selections and what is asked of them, as SQL for both databases; what it answers; and what makes
 * no sense. */
#include "query_check.h"

#define WHAT(found, what, limit, sqlite, values)                                                             \
    check_both(__LINE__, SL__SELECTION(found), what, NULL, 0, limit, sqlite, values, NULL, NULL)
#define WHAT_BOTH(found, what, limit, sqlite, values, postgres)                                              \
    check_both(__LINE__, SL__SELECTION(found), what, NULL, 0, limit, sqlite, values, postgres, NULL)
#define VALUE_OF(found, x, sqlite, values)                                                                   \
    check_both(__LINE__, SL__SELECTION(found), SL__VALUE, (const sl_node *const[]){(x).node}, 1, -1, sqlite, \
               values, NULL, NULL)
#define VALUE_OF_BOTH(found, x, sqlite, values, postgres)                                                    \
    check_both(__LINE__, SL__SELECTION(found), SL__VALUE, (const sl_node *const[]){(x).node}, 1, -1, sqlite, \
               values, postgres, NULL)
#define UPDATE(found, sqlite, values, ...)                                                                   \
    update(__LINE__, SL__SELECTION(found), (const sl_clause[]){__VA_ARGS__},                                 \
           sizeof((sl_clause[]){__VA_ARGS__}) / sizeof(sl_clause), sqlite, values)
#define COMPANIES "\"id\", \"name\", \"city\""
#define COMPANY_OF(name) "\"" name "\".\"id\", \"" name "\".\"name\", \"" name "\".\"city\""

static void update(int line, const sl_selection *selection, const sl_clause *assignments, size_t count,
                   const char *sqlite, const char *values)
{
    check_both(line, selection, SL__UPDATE, (const sl_node *const *)assignments, count, -1, sqlite, values,
               NULL, NULL);
}

TASK_TEST(orders_and_slices)
{
    ROWS(sl_find(person), FROM_PERSON, "()");
    ROWS(sl_find(person, sl_ascending(person_.name)), FROM_PERSON " ORDER BY \"name\"", "()");
    ROWS(sl_find(person, sl_descending(person_.name), sl_oldest(person_.born)),
         FROM_PERSON " ORDER BY \"name\" DESC, \"born\"", "()");
    ROWS(sl_find(person, sl_newest(sl_lower(person_.name))), FROM_PERSON " ORDER BY lower(\"name\") DESC",
         "()");
    ROWS(sl_find(person, sl_limit(5)), FROM_PERSON " LIMIT ?1", "(5)");
    ROWS(sl_find(person, sl_limit(5), sl_skip(10)), FROM_PERSON " LIMIT ?1 OFFSET ?2", "(5, 10)");
    ROWS(sl_find(person, sl_skip(0)), FROM_PERSON, "()");
    ROWS_BOTH(sl_find(person, sl_skip(10)), FROM_PERSON " LIMIT -1 OFFSET ?1", "(10)",
              FROM_PERSON " OFFSET $1", NULL);
    ROWS(sl_find(person, sl_limit(5), sl_limit(6)), FROM_PERSON " LIMIT ?1", "(6)");
    ROWS(sl_find(person, sl_eq(person_.age, 1), sl_limit(2), sl_eq(person_.id, 3)),
         FROM_PERSON " WHERE \"age\" = ?1 AND \"id\" = ?2 LIMIT ?3", "(1, 3, 2)");
    /* A limit from outside, where it is the smaller. */
    WHAT(sl_find(person), SL__ROWS, 1, FROM_PERSON " LIMIT ?1", "(1)");
    WHAT(sl_find(person, sl_limit(5)), SL__ROWS, 1, FROM_PERSON " LIMIT ?1", "(1)");
    WHAT(sl_find(person, sl_limit(5)), SL__ROWS, 9, FROM_PERSON " LIMIT ?1", "(5)");
    return NULL;
}

TASK_TEST(selections_are_values)
{
    struct person_found *all = sl_find(person), *old = sl_narrow(all, sl_gt(person_.age, 60));
    struct person_found *two = sl_narrow(old, sl_ascending(person_.name), sl_limit(2));
    struct person_found *nine = sl_narrow(two, sl_limit(9), sl_eq(person_.id, 1));
    ROWS(all, FROM_PERSON, "()");
    ROWS(old, FROM_PERSON " WHERE \"age\" > ?1", "(60)");
    ROWS(two, FROM_PERSON " WHERE \"age\" > ?1 ORDER BY \"name\" LIMIT ?2", "(60, 2)");
    ROWS(nine, FROM_PERSON " WHERE \"age\" > ?1 AND \"id\" = ?2 ORDER BY \"name\" LIMIT ?3", "(60, 1, 9)");
    ROWS(sl_narrow(nine, sl_descending(person_.id), sl_distinct()),
         "SELECT DISTINCT " PERSON_COLUMNS
         " FROM \"person\" WHERE \"age\" > ?1 AND \"id\" = ?2 ORDER BY \"name\", \"id\" DESC LIMIT ?3",
         "(60, 1, 9)");
    ROWS(two, FROM_PERSON " WHERE \"age\" > ?1 ORDER BY \"name\" LIMIT ?2", "(60, 2)");
    return NULL;
}

TASK_TEST(joins)
{
#define FROM_JOINED "SELECT " PERSON_OF("person") " FROM \"person\""
    ROWS(sl_find(person, sl_join(company_, sl_eq(person_.employer, company_.id)),
                 sl_eq(company_.city, "Bonn"), sl_ascending(person_.name)),
         FROM_JOINED
         " JOIN \"company\" ON \"person\".\"employer\" = \"company\".\"id\" WHERE \"company\".\"city\" = ?1"
         " ORDER BY \"person\".\"name\"",
         "('Bonn')");
    ROWS(sl_find(person, sl_left_join(company_, sl_and(sl_eq(person_.employer, company_.id),
                                                       sl_eq(company_.city, "x")))),
         FROM_JOINED " LEFT JOIN \"company\" ON \"person\".\"employer\" = \"company\".\"id\" AND "
                     "\"company\".\"city\" = ?1",
         "('x')");
    ROWS(sl_find(person, sl_join(company_, sl_and())), FROM_JOINED " JOIN \"company\" ON TRUE", "()");
    ROWS(sl_find(person, sl_join(thing_, sl_eq(thing_.owner, person_.id)),
                 sl_left_join(company_, sl_eq(company_.id, person_.employer)), sl_is_null(company_.id)),
         FROM_JOINED " JOIN \"all \"\"things\"\"\" AS \"thing\" ON \"thing\".\"owner\" = \"person\".\"id\""
                     " LEFT JOIN \"company\" ON \"company\".\"id\" = \"person\".\"employer\" WHERE "
                     "\"company\".\"id\" IS NULL",
         "()");
    /* A table beside itself. */
    struct person_columns boss = sl_alias(person, "the \"boss\"");
    ROWS(sl_find(person, sl_join(boss, sl_eq(boss.employer, person_.employer)), sl_gt(boss.age, person_.age)),
         FROM_JOINED " JOIN \"person\" AS \"the \"\"boss\"\"\" ON \"the \"\"boss\"\"\".\"employer\" = "
                     "\"person\".\"employer\""
                     " WHERE \"the \"\"boss\"\"\".\"age\" > \"person\".\"age\"",
         "()");
    ROWS(sl_find_as(person, boss, sl_eq(boss.age, 3)),
         "SELECT " PERSON_COLUMNS " FROM \"person\" AS \"the \"\"boss\"\"\" WHERE \"age\" = ?1", "(3)");
    /* An alias that is made twice is one. */
    ROWS(sl_find_as(person, sl_alias(person, "b"), sl_eq(sl_alias(person, "b").age, 3)),
         "SELECT " PERSON_COLUMNS " FROM \"person\" AS \"b\" WHERE \"age\" = ?1", "(3)");
    /* Preloads are read afterwards. */
    ROWS(sl_find(person, sl_preload(person, employer)), FROM_PERSON, "()");
    ROWS(sl_find(thing, sl_preload(thing, owner), sl_preload(person, employer), sl_limit(1)),
         "SELECT \"id\", \"order\", \"seen\", \"active\", \"data\", \"raw\", \"size\", \"rate\", \"code\", "
         "\"owner\", \"version\""
         " FROM \"all \"\"things\"\"\" AS \"thing\" LIMIT ?1",
         "(1)");
    return NULL;
}

TASK_TEST(results)
{
    ROWS(sl_select(busy, person_, SL_AS(.employer = person_.employer, .count = sl_count_all()),
                   sl_group_by(person_.employer), sl_having(sl_gt(sl_count_all(), 1)),
                   sl_having(sl_lt(person_.employer, 9)), sl_descending(sl_count_all()), sl_limit(3)),
         "SELECT \"employer\", count(*) FROM \"person\" GROUP BY \"employer\" HAVING count(*) > ?1 AND "
         "\"employer\" < ?2"
         " ORDER BY count(*) DESC LIMIT ?3",
         "(1, 9, 3)");
    ROWS(sl_select(pair, person_,
                   SL_AS(.person = sl_whole(person_), .company = sl_whole(company_), .label = company_.name),
                   sl_left_join(company_, sl_eq(person_.employer, company_.id))),
         "SELECT " PERSON_OF("person") ", \"company\".\"name\", " COMPANY_OF(
             "company") " FROM \"person\" LEFT JOIN \"company\""
                        " ON \"person\".\"employer\" = \"company\".\"id\"",
         "()");
    ROWS_BOTH(sl_select(total, person_, SL_AS(.pay = sl_sum(person_.pay), .oldest = sl_max(person_.age))),
              "SELECT (sum(\"pay\") * 100), max(\"age\") FROM \"person\"", "()",
              "SELECT sum(\"pay\"), max(\"age\") FROM \"person\"", NULL);
    ROWS_BOTH(sl_select(staff, person_,
                        SL_AS(.name = sl_the(person_.name, "x"), .shade = sl_the(person_.shade, RED))),
              "SELECT ?1, ?2 FROM \"person\"", "('x', 'red')", "SELECT $1::text, $2::text FROM \"person\"",
              NULL);
    ROWS_BOTH(sl_select(staff, person_,
                        SL_AS(.name = sl_the(person_.name, NULL), .shade = sl_coalesce(person_.shade, RED))),
              "SELECT ?1, coalesce(\"shade\", ?2) FROM \"person\"", "(NULL, 'red')",
              "SELECT $1::text, coalesce(\"shade\", $2) FROM \"person\"", NULL);
    ROWS(sl_select(staff, person_, SL_AS(.name = person_.name, .shade = person_.shade), sl_distinct(),
                   sl_ascending(person_.name)),
         "SELECT DISTINCT \"name\", \"shade\" FROM \"person\" ORDER BY \"name\"", "()");
    /* One parameter that occurs twice stays one where rows are grouped by it. */
    sl_text_expr shown = sl_coalesce(company_.city, "?");
    sl_integer_expr one = sl_count_all();
    ROWS(sl_select(pair, person_,
                   SL_AS(.person = sl_whole(person_), .company = sl_whole(company_), .label = shown),
                   sl_join(company_, sl_eq(person_.employer, company_.id)),
                   sl_group_by(person_.id, company_.id, shown), sl_ascending(shown)),
         "SELECT " PERSON_OF("person") ", coalesce(\"company\".\"city\", ?1), " COMPANY_OF(
             "company") " FROM \"person\" JOIN \"company\""
                        " ON \"person\".\"employer\" = \"company\".\"id\" GROUP BY \"person\".\"id\", "
                        "\"company\".\"id\", coalesce(\"company\".\"city\", ?1)"
                        " ORDER BY coalesce(\"company\".\"city\", ?1)",
         "('?')");
    /* What the groups' key decides may be used. */
    ROWS(sl_select(busy, person_, SL_AS(.employer = person_.age, .count = one), sl_group_by(person_.id)),
         "SELECT \"age\", count(*) FROM \"person\" GROUP BY \"id\"", "()");
    ROWS(sl_find(person, sl_group_by(person_.id)), FROM_PERSON " GROUP BY \"id\"", "()");
    return NULL;
}

#define TWO "SELECT " COMPANIES " FROM \"company\" WHERE \"city\" = ?1"
#define TWO_P "SELECT " COMPANIES " FROM \"company\" WHERE \"city\" = $1"
#define ALL "SELECT " COMPANIES " FROM \"company\""

TASK_TEST(combined_selections)
{
    struct company_found *a = sl_find(company, sl_eq(company_.city, "a")), *all = sl_find(company);
    ROWS_BOTH(sl_union(a, all), TWO " UNION " ALL, "('a')", "(" TWO_P ") UNION (" ALL ")", NULL);
    ROWS_BOTH(sl_except(all, a), ALL " EXCEPT " TWO, "('a')", "(" ALL ") EXCEPT (" TWO_P ")", NULL);
    ROWS_BOTH(sl_intersect(all, a), ALL " INTERSECT " TWO, "('a')", "(" ALL ") INTERSECT (" TWO_P ")", NULL);
    ROWS_BOTH(sl_narrow(sl_union(a, all), sl_limit(3), sl_skip(1)), TWO " UNION " ALL " LIMIT ?2 OFFSET ?3",
              "('a', 3, 1)", "(" TWO_P ") UNION (" ALL ") LIMIT $2 OFFSET $3", NULL);
    ROWS_BOTH(sl_narrow(sl_union(a, all), sl_ascending(company_.name), sl_descending(sl_lower(company_.city)),
                        sl_limit(3)),
              "SELECT " COMPANIES " FROM (" TWO " UNION " ALL
              ") AS \"company\" ORDER BY \"name\", lower(\"city\") DESC LIMIT ?2",
              "('a', 3)",
              "SELECT " COMPANIES " FROM ((" TWO_P ") UNION (" ALL
              ")) AS \"company\" ORDER BY \"name\", lower(\"city\") DESC LIMIT $2",
              NULL);
    /* What is cut or combined itself; an order without a slice means nothing in there. */
    ROWS_BOTH(sl_union(sl_narrow(a, sl_ascending(company_.name), sl_limit(2)),
                       sl_narrow(all, sl_ascending(company_.id))),
              "SELECT * FROM (" TWO " ORDER BY \"name\" LIMIT ?2) UNION " ALL, "('a', 2)",
              "(" TWO_P " ORDER BY \"name\" LIMIT $2) UNION (" ALL ")", NULL);
    ROWS_BOTH(sl_except(sl_union(a, all), sl_intersect(all, all)),
              "SELECT * FROM (" TWO " UNION " ALL ") EXCEPT SELECT * FROM (" ALL " INTERSECT " ALL ")",
              "('a')", "((" TWO_P ") UNION (" ALL ")) EXCEPT ((" ALL ") INTERSECT (" ALL "))", NULL);
    /* Results are sorted by what they were given. */
    struct staff_found *red =
        sl_select(staff, person_, SL_AS(.name = person_.name, .shade = person_.shade), sl_eq(person_.age, 1));
    struct staff_found *none = sl_select(
        staff, company_, SL_AS(.name = sl_lower(company_.name), .shade = sl_the(person_.shade, NULL)));
#define STAFF_ROWS "SELECT \"name\", \"shade\" FROM \"person\" WHERE \"age\" = "
    ROWS_BOTH(
        sl_narrow(sl_union(red, none), sl_descending(person_.shade), sl_ascending(person_.name)),
        STAFF_ROWS "?1 UNION SELECT lower(\"name\"), ?2 FROM \"company\" ORDER BY 2 DESC, 1", "(1, NULL)",
        "(" STAFF_ROWS "$1) UNION (SELECT lower(\"name\"), $2::text FROM \"company\") ORDER BY 2 DESC, 1",
        NULL);
    return NULL;
}

TASK_TEST(counts)
{
    struct company_found *a = sl_find(company, sl_eq(company_.city, "a")), *all = sl_find(company);
    WHAT(sl_narrow(a, sl_ascending(company_.name)), SL__COUNT, -1,
         "SELECT count(*) FROM \"company\" WHERE \"city\" = ?1", "('a')");
    WHAT(sl_narrow(a, sl_limit(3), sl_skip(1), sl_ascending(company_.name)), SL__COUNT, -1,
         "SELECT count(*) FROM (SELECT 1 FROM \"company\" WHERE \"city\" = ?1 LIMIT ?2 OFFSET ?3) AS "
         "\"counted\"",
         "('a', 3, 1)");
    WHAT(sl_narrow(all, sl_distinct()), SL__COUNT, -1,
         "SELECT count(*) FROM (SELECT DISTINCT " COMPANIES " FROM \"company\") AS \"counted\"", "()");
    WHAT(sl_narrow(all, sl_group_by(company_.city), sl_having(sl_gt(sl_count_all(), 1))), SL__COUNT, -1,
         "SELECT count(*) FROM (SELECT 1 FROM \"company\" GROUP BY \"city\" HAVING count(*) > ?1) AS "
         "\"counted\"",
         "(1)");
    WHAT_BOTH(sl_union(a, all), SL__COUNT, -1, "SELECT count(*) FROM (" TWO " UNION " ALL ") AS \"counted\"",
              "('a')", "SELECT count(*) FROM ((" TWO_P ") UNION (" ALL ")) AS \"counted\"");
    WHAT(sl_select(busy, person_, SL_AS(.employer = person_.employer, .count = sl_count_all()),
                   sl_group_by(person_.employer)),
         SL__COUNT, -1,
         "SELECT count(*) FROM (SELECT 1 FROM \"person\" GROUP BY \"employer\") AS \"counted\"", "()");
    WHAT_BOTH(sl_select(busy, person_, SL_AS(.employer = sl_sum(person_.age), .count = sl_count_all())),
              SL__COUNT, -1,
              "SELECT count(*) FROM (SELECT sum(\"age\"), count(*) FROM \"person\") AS \"counted\"", "()",
              "SELECT count(*) FROM (SELECT sum(\"age\")::bigint, count(*) FROM \"person\") AS \"counted\"");
    WHAT(sl_find(person, sl_join(company_, sl_eq(company_.id, person_.employer))), SL__COUNT, -1,
         "SELECT count(*) FROM \"person\" JOIN \"company\" ON \"company\".\"id\" = \"person\".\"employer\"",
         "()");

    WHAT(a, SL__EXISTS, -1, "SELECT EXISTS (SELECT 1 FROM \"company\" WHERE \"city\" = ?1)", "('a')");
    WHAT(sl_narrow(a, sl_skip(2), sl_limit(1), sl_ascending(company_.id)), SL__EXISTS, -1,
         "SELECT EXISTS (SELECT 1 FROM \"company\" WHERE \"city\" = ?1 LIMIT ?2 OFFSET ?3)", "('a', 1, 2)");
    WHAT(sl_narrow(all, sl_distinct()), SL__EXISTS, -1, "SELECT EXISTS (SELECT 1 FROM \"company\")", "()");
    WHAT(sl_narrow(all, sl_distinct(), sl_limit(2)), SL__EXISTS, -1,
         "SELECT EXISTS (SELECT DISTINCT " COMPANIES " FROM \"company\" LIMIT ?1)", "(2)");
    WHAT(sl_narrow(all, sl_distinct(), sl_skip(1), sl_limit(2)), SL__EXISTS, -1,
         "SELECT EXISTS (SELECT 1 FROM (SELECT DISTINCT " COMPANIES
         " FROM \"company\" LIMIT ?1 OFFSET ?2) AS \"slice\")",
         "(2, 1)");
    WHAT_BOTH(sl_intersect(a, all), SL__EXISTS, -1, "SELECT EXISTS (" TWO " INTERSECT " ALL ")", "('a')",
              "SELECT EXISTS ((" TWO_P ") INTERSECT (" ALL "))");
    return NULL;
}

TASK_TEST(values)
{
    struct person_found *all = sl_find(person),
                        *three = sl_narrow(all, sl_ascending(person_.name), sl_limit(3));
    VALUE_OF(sl_narrow(all, sl_ascending(person_.name)), sl_max(person_.age),
             "SELECT max(\"age\") FROM \"person\"", "()");
    VALUE_OF(sl_narrow(three, sl_skip(1)), sl_plus(sl_max(person_.age), sl_min(person_.id)),
             "SELECT (max(\"age\") + min(\"id\")) FROM (SELECT \"id\", \"age\" FROM \"person\" ORDER BY "
             "\"name\" LIMIT ?1 OFFSET ?2) AS \"person\"",
             "(3, 1)");
    VALUE_OF(three, sl_count_all(),
             "SELECT count(*) FROM (SELECT 1 FROM \"person\" ORDER BY \"name\" LIMIT ?1) AS \"person\"",
             "(3)");
    VALUE_OF(
        three, sl_max(sl_length(sl_sql_text("'x'"))),
        "SELECT max(length(('x'))) FROM (SELECT 1 FROM \"person\" ORDER BY \"name\" LIMIT ?1) AS \"person\"",
        "(3)");
    VALUE_OF(three, person_.age, "SELECT \"age\" FROM \"person\" ORDER BY \"name\" LIMIT ?1", "(3)");
    VALUE_OF(sl_narrow(three, sl_join(company_, sl_eq(company_.id, person_.employer))),
             sl_count_of(person_.photo),
             "SELECT count(\"photo\") FROM (SELECT \"person\".\"photo\" FROM \"person\" JOIN \"company\" ON "
             "\"company\".\"id\" = \"person\".\"employer\""
             " ORDER BY \"person\".\"name\" LIMIT ?1) AS \"person\"",
             "(3)");
    VALUE_OF(sl_find(person, sl_join(company_, sl_eq(company_.id, person_.employer))), sl_max(company_.name),
             "SELECT max(\"company\".\"name\") FROM \"person\" JOIN \"company\" ON \"company\".\"id\" = "
             "\"person\".\"employer\"",
             "()");
    VALUE_OF(sl_narrow(all, sl_distinct()), sl_count_of(person_.shade),
             "SELECT count(\"shade\") FROM (SELECT DISTINCT " PERSON_COLUMNS
             " FROM \"person\") AS \"person\"",
             "()");
    VALUE_OF(sl_narrow(all, sl_distinct()), person_.shade, "SELECT DISTINCT \"shade\" FROM \"person\"", "()");
    VALUE_OF(sl_narrow(three, sl_distinct()), person_.shade,
             "SELECT \"shade\" FROM (SELECT DISTINCT " PERSON_COLUMNS
             " FROM \"person\" ORDER BY \"name\" LIMIT ?1) AS \"person\" ORDER BY \"name\"",
             "(3)");
    struct company_found *a = sl_find(company, sl_eq(company_.city, "a")), *every = sl_find(company);
    VALUE_OF_BOTH(sl_union(a, every), sl_max(company_.name),
                  "SELECT max(\"name\") FROM (" TWO " UNION " ALL ") AS \"company\"", "('a')",
                  "SELECT max(\"name\") FROM ((" TWO_P ") UNION (" ALL ")) AS \"company\"");
    VALUE_OF_BOTH(sl_narrow(sl_union(a, every), sl_ascending(company_.city), sl_limit(2)),
                  sl_max(company_.name),
                  "SELECT max(\"name\") FROM (SELECT " COMPANIES " FROM (" TWO " UNION " ALL
                  ") AS \"company\" ORDER BY \"city\" LIMIT ?2) AS \"company\"",
                  "('a', 2)",
                  "SELECT max(\"name\") FROM (SELECT " COMPANIES " FROM ((" TWO_P ") UNION (" ALL
                  ")) AS \"company\" ORDER BY \"city\" LIMIT $2) AS \"company\"");
    return NULL;
}

TASK_TEST(backwards)
{
    struct person_found *sorted = sl_find(person, sl_ascending(person_.name), sl_descending(person_.id));
    WHAT(sorted, SL__BACKWARDS, -1, FROM_PERSON " ORDER BY \"name\" DESC, \"id\"", "()");
    WHAT(sorted, SL__BACKWARDS, 1, FROM_PERSON " ORDER BY \"name\" DESC, \"id\" LIMIT ?1", "(1)");
#define C8 "\"c1\", \"c2\", \"c3\", \"c4\", \"c5\", \"c6\", \"c7\", \"c8\""
#define AS8                                                                                                  \
    "\"id\" AS \"c1\", \"name\" AS \"c2\", \"age\" AS \"c3\", \"score\" AS \"c4\", \"pay\" AS \"c5\", "      \
    "\"born\" AS \"c6\", \"shade\" AS \"c7\", \"employer\" AS \"c8\""
    WHAT(sl_narrow(sorted, sl_limit(5)), SL__BACKWARDS, 1,
         "SELECT " C8 " FROM (SELECT " AS8 " FROM \"person\" ORDER BY \"name\", \"id\" DESC LIMIT ?1) AS "
         "\"slice\" ORDER BY \"c2\" DESC, \"c1\" LIMIT ?2",
         "(5, 1)");
    WHAT(sl_find(person, sl_ascending(person_.photo), sl_descending(sl_lower(person_.name)), sl_limit(5)),
         SL__BACKWARDS, -1,
         "SELECT " C8 " FROM (SELECT " AS8 ", \"photo\" AS \"o1\", lower(\"name\") AS \"o2\" FROM \"person\" "
         "ORDER BY \"photo\", lower(\"name\") DESC LIMIT ?1)"
         " AS \"slice\" ORDER BY \"o1\" DESC, \"o2\"",
         "(5)");
    struct company_found *a = sl_find(company, sl_eq(company_.city, "a")), *all = sl_find(company);
    struct company_found *united = sl_narrow(sl_union(a, all), sl_ascending(company_.name));
    WHAT_BOTH(united, SL__BACKWARDS, 1,
              "SELECT " COMPANIES " FROM (" TWO " UNION " ALL
              ") AS \"company\" ORDER BY \"name\" DESC LIMIT ?2",
              "('a', 1)",
              "SELECT " COMPANIES " FROM ((" TWO_P ") UNION (" ALL
              ")) AS \"company\" ORDER BY \"name\" DESC LIMIT $2");
    WHAT_BOTH(sl_narrow(united, sl_limit(2)), SL__BACKWARDS, 1,
              "SELECT \"c1\", \"c2\", \"c3\" FROM (SELECT \"id\" AS \"c1\", \"name\" AS \"c2\", \"city\" AS "
              "\"c3\" FROM (" TWO " UNION " ALL
              ") AS \"company\" ORDER BY \"name\" LIMIT ?2) AS \"slice\" ORDER BY \"c2\" DESC LIMIT ?3",
              "('a', 2, 1)",
              "SELECT \"c1\", \"c2\", \"c3\" FROM (SELECT \"id\" AS \"c1\", \"name\" AS \"c2\", \"city\" AS "
              "\"c3\" FROM ((" TWO_P ") UNION (" ALL
              ")) AS \"company\" ORDER BY \"name\" LIMIT $2) AS \"slice\" ORDER BY \"c2\" DESC LIMIT $3");
    /* Results, with a whole object among them; combined results. */
    struct staff_found *staff = sl_select(staff, person_, SL_AS(.name = person_.name, .shade = person_.shade),
                                          sl_ascending(person_.name));
    WHAT(sl_narrow(staff, sl_limit(2)), SL__BACKWARDS, 1,
         "SELECT \"c1\", \"c2\" FROM (SELECT \"name\" AS \"c1\", \"shade\" AS \"c2\" FROM \"person\" ORDER "
         "BY \"name\" LIMIT ?1) AS \"slice\" ORDER BY \"c1\" DESC LIMIT ?2",
         "(2, 1)");
    WHAT(sl_select(pair, company_,
                   SL_AS(.person = sl_whole(person_), .label = company_.name, .company = sl_whole(company_)),
                   sl_join(person_, sl_eq(person_.employer, company_.id)), sl_ascending(company_.city),
                   sl_limit(2)),
         SL__BACKWARDS, -1,
         "SELECT " C8 ", \"c9\", \"c10\", \"c11\", \"c12\" FROM (SELECT \"person\".\"id\" AS \"c1\", "
         "\"person\".\"name\" AS \"c2\", \"person\".\"age\" AS \"c3\","
         " \"person\".\"score\" AS \"c4\", \"person\".\"pay\" AS \"c5\", \"person\".\"born\" AS \"c6\", "
         "\"person\".\"shade\" AS \"c7\", \"person\".\"employer\" AS \"c8\","
         " \"company\".\"name\" AS \"c9\", \"company\".\"id\" AS \"c10\", \"company\".\"name\" AS \"c11\", "
         "\"company\".\"city\" AS \"c12\" FROM \"company\" JOIN \"person\""
         " ON \"person\".\"employer\" = \"company\".\"id\" ORDER BY \"company\".\"city\" LIMIT ?1) AS "
         "\"slice\" ORDER BY \"c12\" DESC",
         "(2)");
    WHAT_BOTH(sl_narrow(sl_union(staff, staff), sl_ascending(person_.name), sl_limit(2)), SL__BACKWARDS, 1,
              "SELECT * FROM (SELECT \"name\", \"shade\" FROM \"person\" UNION SELECT \"name\", \"shade\" "
              "FROM \"person\" ORDER BY 1 LIMIT ?1)"
              " AS \"slice\" ORDER BY 1 DESC LIMIT ?2",
              "(2, 1)",
              "SELECT * FROM ((SELECT \"name\", \"shade\" FROM \"person\") UNION (SELECT \"name\", \"shade\" "
              "FROM \"person\") ORDER BY 1 LIMIT $1)"
              " AS \"slice\" ORDER BY 1 DESC LIMIT $2");
    return NULL;
}

TASK_TEST(changes)
{
    struct person_found *old = sl_find(person, sl_gt(person_.age, 60), sl_ascending(person_.name));
    UPDATE(old, "UPDATE \"person\" SET \"age\" = ?1 WHERE \"age\" > ?2", "(5, 60)", sl_to(person_.age, 5));
    UPDATE(sl_find(person),
           "UPDATE \"person\" SET \"age\" = (\"age\" + ?1), \"shade\" = ?2, \"born\" = ?3, \"pay\" = ?4",
           "(1, 'blue', NULL, 5.00)", sl_to(person_.age, sl_plus(person_.age, 1)), sl_to(person_.shade, BLUE),
           sl_to(person_.born, NULL), sl_to(person_.pay, ((sl_decimal){5, 0})));
    UPDATE(
        sl_find(person, sl_join(company_, sl_eq(company_.id, person_.employer)), sl_eq(company_.city, "x")),
        "UPDATE \"person\" SET \"age\" = ?1 WHERE (\"id\") IN (SELECT \"person\".\"id\" FROM \"person\" JOIN "
        "\"company\" ON \"company\".\"id\" ="
        " \"person\".\"employer\" WHERE \"company\".\"city\" = ?2)",
        "(5, 'x')", sl_to(person_.age, 5));
    UPDATE(sl_find(person),
           "UPDATE \"person\" SET \"name\" = (SELECT max(\"name\") FROM \"company\" WHERE \"id\" = "
           "\"person\".\"employer\")",
           "()",
           sl_to(person_.name, sl_subselect(sl_find(company, sl_eq(company_.id, person_.employer)),
                                            sl_max(company_.name))));
    UPDATE(
        sl_find(thing, sl_eq(thing_.order, 1)),
        "UPDATE \"all \"\"things\"\"\" AS \"thing\" SET \"order\" = ?1, \"size\" = ?2 WHERE \"order\" = ?3",
        "(2, 'small', 1)", sl_to(thing_.order, 2), sl_to(thing_.size, SMALL));
    check_both(__LINE__, SL__SELECTION(sl_find(thing)), SL__UPDATE,
               (const sl_node *const[]){sl_to(thing_.rate, sl_the(person_.pay, ((sl_decimal){5, 0}))).node},
               1, -1, "UPDATE \"all \"\"things\"\"\" AS \"thing\" SET \"rate\" = ?1", "(5.0000)", NULL, NULL);

    WHAT(old, SL__DELETE, -1, "DELETE FROM \"person\" WHERE \"age\" > ?1", "(60)");
    WHAT(sl_find(thing), SL__DELETE, -1, "DELETE FROM \"all \"\"things\"\"\" AS \"thing\"", "()");
    WHAT(sl_find(membership, sl_left_join(person_, sl_eq(person_.id, membership_.member)),
                 sl_is_null(person_.id)),
         SL__DELETE, -1,
         "DELETE FROM \"membership\" WHERE (\"member\", \"club\") IN (SELECT \"membership\".\"member\", "
         "\"membership\".\"club\" FROM \"membership\""
         " LEFT JOIN \"person\" ON \"person\".\"id\" = \"membership\".\"member\" WHERE \"person\".\"id\" IS "
         "NULL)",
         "()");
    WHAT(sl_find(company, sl_not(sl_exists(sl_find(person, sl_eq(person_.employer, company_.id))))),
         SL__DELETE, -1,
         "DELETE FROM \"company\" WHERE NOT (EXISTS (SELECT 1 FROM \"person\" WHERE \"employer\" = "
         "\"company\".\"id\"))",
         "()");
    struct person_columns boss = sl_alias(person, "boss");
    WHAT(sl_find_as(person, boss, sl_eq(boss.age, 1)), SL__DELETE, -1,
         "DELETE FROM \"person\" AS \"boss\" WHERE \"age\" = ?1", "(1)");
    return NULL;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(orders_and_slices),
        cmocka_unit_test(selections_are_values),
        cmocka_unit_test(joins),
        cmocka_unit_test(results),
        cmocka_unit_test(combined_selections),
        cmocka_unit_test(counts),
        cmocka_unit_test(values),
        cmocka_unit_test(backwards),
        cmocka_unit_test(changes),
        cmocka_unit_test(postgres_takes_all),
    };
    return cmocka_run_group_tests(tests, database_open, database_close);
}
