/* Selections: what is known of them before anything runs, what makes no sense, and what they answer. */
#include "query_check.h"

static void expect(int line, const sl_selection *selection, bool quick, bool none)
{
    sl__statement statement;
    sl__compile(selection, SL__SQLITE, SL__ROWS, NULL, 0, -1, &statement);
    if (statement.quick != quick || statement.writes || selection->none != none)
        differs(line, "what is known of it", quick ? "quick" : "not quick", none ? "not none" : "none");
}
#define QUICK(found, quick) expect(__LINE__, SL__SELECTION(found), quick, false)
#define NONE(found, none) expect(__LINE__, SL__SELECTION(found), false, none)

TASK_TEST(what_is_known_of_a_query)
{
    QUICK(sl_find(person, sl_eq(person_.id, 1)), true);
    QUICK(sl_find(person, sl_eq(person_.name, "x"), sl_eq(person_.id, 1)), true);
    QUICK(sl_find(person, sl_eq(person_.name, "x")), false);
    QUICK(sl_find(person, sl_gt(person_.id, 1)), false);
    QUICK(sl_find(person, sl_eq(person_.id, person_.age)), false);
    QUICK(sl_find(person), false);
    QUICK(sl_find(thing, sl_eq(thing_.code, "x")), true);
    QUICK(sl_find(person, sl_eq(person_.id, 1), sl_gt(person_.age, 5), sl_ascending(person_.age)), true);
    QUICK(sl_find(person, sl_eq(person_.id, 1), sl_exists(sl_find(thing))), false);
    QUICK(sl_find(person, sl_eq(person_.id, 1), sl_or(sl_in_found(person_.id, sl_find(thing), thing_.owner))),
          false);
    QUICK(sl_find(person, sl_eq(person_.id, 1), sl_sql("slow(name)")), false);
    QUICK(sl_find(person, sl_eq(person_.id, 1),
                  sl_ascending(sl_subselect(sl_find(thing), sl_max(thing_.order)))),
          false);
    QUICK(sl_find(membership, sl_eq(membership_.club, 1)), false);
    QUICK(sl_find(membership, sl_eq(membership_.club, 1), sl_eq(membership_.member, 1)), true);

    sl_clause never = sl_in(person_.age), maybe = sl_eq(person_.age, 1);
    struct person_found *some = sl_find(person, maybe), *none = sl_find(person, never);
    NONE(none, true);
    NONE(some, false);
    NONE(sl_find(person, maybe, sl_and(maybe, never)), true);
    NONE(sl_find(person, sl_or(maybe, never)), false);
    NONE(sl_find(person, sl_or(never, never)), true);
    NONE(sl_find(person, sl_not(never)), false);
    NONE(sl_find(person, sl_limit(0)), true);
    NONE(sl_narrow(some, never), true);
    NONE(sl_union(some, none), false);
    NONE(sl_union(none, none), true);
    NONE(sl_except(some, none), false);
    NONE(sl_except(none, some), true);
    NONE(sl_intersect(some, none), true);
    /* One row, of nothing. */
    NONE(sl_select(total, person_, SL_AS(.pay = sl_sum(person_.pay), .oldest = sl_max(person_.age)), never),
         false);
    NONE(sl_select(busy, person_, SL_AS(.employer = person_.employer, .count = sl_count_all()),
                   sl_group_by(person_.employer), never),
         true);
    return NULL;
}

static void add_name(sl_model *model, void *data)
{
    sl_buffer_puts(data, model->name);
    sl_buffer_putc(data, ' ');
}

static const char *models_of(const sl_selection *selection, const sl_node *node)
{
    sl_buffer out = {0};
    sl_buffer_puts(&out, "");
    if (node)
        sl__node_models(node, add_name, &out);
    else
        sl__selection_models(selection, add_name, &out);
    const char *text = sl_strdup(out.data ? out.data : "");
    sl_buffer_done(&out);
    return text;
}
#define MODELS(found, wanted) CHECK(strcmp(models_of(SL__SELECTION(found), NULL), wanted) == 0)

TASK_TEST(models_of_a_query)
{
    struct person_found *p =
        sl_find(person, sl_exists(sl_find(company, sl_in_found(company_.id, sl_find(thing), thing_.owner))));
    MODELS(sl_find(person), "person ");
    MODELS(p, "person company thing ");
    MODELS(sl_find(person, sl_join(company_, sl_eq(company_.id, person_.employer))), "person company ");
    MODELS(sl_union(p, sl_find(person)), "person person company thing ");
    MODELS(sl_find(person, sl_descending(sl_subselect(sl_find(company), sl_max(company_.name)))),
           "person company ");
    MODELS(sl_select(staff, person_,
                     SL_AS(.name = sl_subselect(sl_find(company), company_.name), .shade = person_.shade)),
           "person company ");
    CHECK(
        strcmp(models_of(NULL, sl_plus(person_.age, sl_subselect(sl_find(thing), sl_max(thing_.order))).node),
               "thing ") == 0);
    CHECK(strcmp(models_of(NULL, person_.age.node), "") == 0);
    return NULL;
}

/* The shape is the text's, and texts that are alike have different ones. */
TASK_TEST(shapes)
{
    static char text[600];
    static uint64_t seen[600 * 2];
    size_t count = 0;
    for (size_t size = 0; size < sizeof text; size++) {
        seen[count++] = sl__shape_of(text, size);
        memset(text, 'a', size);
        seen[count++] = sl__shape_of(text, size + 1);
        memset(text, 0, size);
    }
    CHECK(sl__shape_of("abc", 3) == sl__shape_of("abcd", 3));
    for (size_t i = 0; i < count; i++)
        for (size_t j = 0; j < i; j++)
            CHECK(seen[i] != 0 && (seen[i] != seen[j] || (i == 1 && j == 0) || (i == 2 && j <= 1)));
    return NULL;
}

static void *refusals(void *data)
{
    attempt *a = data;
    sl_clause empty = {NULL}, sum_is = sl_gt(sl_sum(person_.age), 5), old = sl_gt(person_.age, 60);
    struct person_found *all = sl_find(person), *united = sl_union(all, all);
    REFUSED("sl_limit(-3)", "0 or more", sl_limit(-3));
    REFUSED("sl_skip(-1)", "0 or more", sl_skip(-1));
    REFUSED("sl_having without sl_group_by", "sl_group_by", sl_find(person, sl_having(sum_is)));
    REFUSED("sl_having without sl_group_by", "sl_group_by", sl_narrow(all, sl_having(sum_is)));
    REFUSED("sl_group_by() of nothing", "in common", sl_group_by());
    REFUSED("sl_group_by: sum is an aggregate", "computed for", sl_group_by(sl_sum(person_.age)));
    REFUSED("an aggregate in a condition: rows are chosen before anything is computed of them", "sl_having",
            sl_find(person, sum_is));
    REFUSED("clause 2 of the selection is empty", "always true", sl_find(person, old, empty));
    REFUSED("sl_to is no clause of a selection", "sl_update", sl_find(person, sl_to(person_.age, 5)));
    REFUSED("sl_having of sl_limit, which is no condition", "sl_find", sl_having(sl_limit(1)));
    REFUSED("sl_union with more than order, limit and skip", "before they are combined",
            sl_narrow(united, old));
    REFUSED("sl_except with more than order, limit and skip", "before they are combined",
            sl_narrow(sl_except(all, all), sl_distinct()));
    REFUSED("sl_intersect with more than order, limit and skip", "before they are combined",
            sl_narrow(sl_intersect(all, all), sl_group_by(person_.age)));
    REFUSED("sl_union with more than order, limit and skip", "before they are combined",
            sl_narrow(united, sl_join(company_, sl_eq(company_.id, person_.employer))));
    REFUSED("a combined selection is sorted by an aggregate", "before",
            sl_narrow(united, sl_ascending(sl_max(person_.age))));
    REFUSED("an order by an aggregate, and the rows are in no groups", "sl_group_by",
            sl_find(person, sl_ascending(sl_max(person_.age))));
    REFUSED("sl_join(company_, …): its condition is empty", "belong together", sl_join(company_, empty));
    REFUSED("sl_left_join(company_, …): its second argument is no condition", "belong together",
            sl_left_join(company_, sl_limit(1)));
    REFUSED("sl_join(company_, …) has an aggregate in its condition", "joined", sl_join(company_, sum_is));
    REFUSED("two tables of the selection are called person", "sl_alias",
            sl_find(person, sl_join(person_, old)));
    REFUSED("two tables of the selection are called person", "sl_alias",
            sl_find(person, sl_join(sl_alias(company, "person"), old)));
    REFUSED("two tables of the selection are called company", "sl_alias",
            sl_narrow(sl_find(person, sl_join(company_, old)), sl_join(company_, old)));
    REFUSED("sl_preload of person.employer, and what is found is no person but a company", "leads there",
            sl_find(company, sl_preload(person, employer)));
    REFUSED("sl_preload_referring of person.employer, and what is found is no company but a person",
            "leads there", sl_find(person, sl_preload_referring(person, employer)));
    REFUSED("sl_preload of person.employer, and what is found is no person but a thing", "leads there",
            sl_find(thing, sl_preload(person, employer), sl_preload(thing, owner)));
    REFUSED("company.city is used, and the selection is over person", "sl_join(company_, …)",
            COMPILED(sl_find(person, sl_eq(company_.city, "x")), SL__ROWS));
    REFUSED("thing.order is used, and the selection is over person and company", "sl_join(thing_, …)",
            COMPILED(sl_find(person, sl_join(company_, old), sl_ascending(thing_.order)), SL__ROWS));
    REFUSED("boss.age is used, and the selection is over person", "sl_join(boss_, …)",
            COMPILED(sl_find(person, sl_eq(sl_alias(person, "boss").age, 1)), SL__ROWS));
    REFUSED(
        "company.id is used, and the selection is over person", "sl_join",
        COMPILED(sl_select(busy, person_, SL_AS(.employer = company_.id, .count = person_.id)), SL__ROWS));
    REFUSED("sl_select(busy, …): count is left out", "SL_AS(.count = …, …)",
            sl_select(busy, person_, SL_AS(.employer = person_.id)));
    REFUSED("sl_select(pair, …): company is left out", "SL_AS(.company = …, …)",
            sl_select(pair, person_, SL_AS(.person = sl_whole(person_), .label = person_.name)));
    REFUSED("staff.shade is of the enum colour, and thing.size of size", "nothing to do",
            sl_select(staff, thing_, SL_AS(.name = thing_.code, .shade = thing_.size)));
    REFUSED("person.name has a value in each row, and the results are of whole groups", "sl_group_by",
            sl_select(staff, person_, SL_AS(.name = person_.name, .shade = person_.shade),
                      sl_group_by(person_.shade)));
    REFUSED("person.employer has a value in each row, and the results are of whole groups", "sl_min",
            sl_select(busy, person_, SL_AS(.employer = person_.employer, .count = sl_count_all())));
    REFUSED("person.age has a value in each row, and the orders are of whole groups", "sl_group_by",
            sl_find(person, sl_group_by(person_.shade), sl_ascending(person_.age)));
    REFUSED("person.age has a value in each row, and the conditions of sl_having are of whole groups",
            "sl_group_by", sl_find(person, sl_group_by(person_.shade), sl_having(old)));
    REFUSED(
        "person is a whole object of each row, and the results are of whole groups", "primary key",
        sl_select(pair, person_,
                  SL_AS(.person = sl_whole(person_), .label = person_.name, .company = sl_whole(company_)),
                  sl_join(company_, old), sl_group_by(person_.name)));
    REFUSED("whole objects of person, and the rows are in groups", "sl_select",
            COMPILED(sl_find(person, sl_group_by(person_.age)), SL__ROWS));
    REFUSED("sl_distinct, and an order by person.photo, which is not among what is given",
            "leave sl_distinct out",
            COMPILED(sl_find(person, sl_distinct(), sl_ascending(person_.photo)), SL__ROWS));
    REFUSED("person.photo is lazy: it is not among what the inner selection gives", "SL_LAZY",
            COMPILED(sl_narrow(united, sl_ascending(person_.photo)), SL__ROWS));
    REFUSED("the last of a selection without an order", "sl_ascending",
            COMPILED(sl_find(person), SL__BACKWARDS));
    REFUSED("sl_delete of a slice (sl_limit, sl_skip)", "sl_in_found",
            COMPILED(sl_find(person, sl_limit(1)), SL__DELETE));
    REFUSED("sl_delete of a slice (sl_limit, sl_skip)", "sl_in_found",
            COMPILED(sl_find(person, sl_skip(1)), SL__DELETE));
    REFUSED("sl_delete of groups (sl_group_by)", "sl_in_found",
            COMPILED(sl_find(person, sl_group_by(person_.id)), SL__DELETE));
    REFUSED("sl_delete of distinct objects (sl_distinct)", "sl_in_found",
            COMPILED(sl_find(person, sl_distinct()), SL__DELETE));
    REFUSED("sl_delete of a combined selection", "sl_in_found", COMPILED(sl_union(all, all), SL__DELETE));
    REFUSED(
        "sl_delete of results (sl_select)", "sl_in_found",
        COMPILED(sl_select(staff, person_, SL_AS(.name = person_.name, .shade = person_.shade)), SL__DELETE));
    REFUSED("sl_update of a slice (sl_limit, sl_skip)", "sl_in_found",
            COMPILED(sl_find(person, sl_limit(1)), SL__UPDATE));
    REFUSED("sl_update of nothing", "sl_to(column, value)", COMPILED(sl_find(person), SL__UPDATE));
    REFUSED("sl_to sets lower, which is no column", "person_.age", sl_to(sl_lower(person_.name), "x"));
    REFUSED("person.age cannot be set to an aggregate", "sl_subselect",
            sl_to(person_.age, sl_max(person_.age)));
    REFUSED("person.pay has 2 digits after the point, and what it is set to has 4", "lost",
            sl_to(person_.pay, thing_.rate));
    return NULL;
}

#define ASSIGN(found, ...)                                                                                   \
    sl__compile(SL__SELECTION(found), SL__SQLITE, SL__UPDATE, (const sl_node *const[]){__VA_ARGS__},         \
                sizeof((const sl_node *[]){__VA_ARGS__}) / sizeof(sl_node *), -1, &(sl__statement){0})
#define ONE_VALUE(found, x)                                                                                  \
    sl__compile(SL__SELECTION(found), SL__SQLITE, SL__VALUE, (const sl_node *const[]){(x).node}, 1, -1,      \
                &(sl__statement){0})

static void *more_refusals(void *data)
{
    attempt *a = data;
    struct person_found *all = sl_find(person);
    struct person_found *joined =
        sl_find(person, sl_join(company_, sl_eq(company_.id, person_.employer)), sl_ascending(person_.id));
    struct staff_found *staff =
        sl_select(staff, person_, SL_AS(.name = person_.name, .shade = person_.shade));
    sl_clause to = sl_to(person_.age, 1);
    REFUSED("sl_update takes sl_to(column, value) only, and this is a condition", "before",
            ASSIGN(all, sl_eq(person_.age, 1).node));
    REFUSED("sl_to of company.city, and the selection is of person", "one table",
            ASSIGN(all, sl_to(company_.city, "x").node));
    REFUSED("sl_update sets person.age twice", "leave one out",
            ASSIGN(all, to.node, sl_to(person_.age, 2).node));
    REFUSED("company.id is used, and the selection is over person", "join it",
            ASSIGN(sl_find(person), sl_to(person_.age, company_.id).node));
    REFUSED("company.id is used outside the selection, which gives person only", "conditions and orders",
            ASSIGN(sl_narrow(joined, sl_eq(company_.id, 1)), sl_to(person_.age, company_.id).node));
    REFUSED("one value, and the rows are in groups", "sl_select",
            ONE_VALUE(sl_find(person, sl_group_by(person_.age)), sl_count_all()));
    REFUSED("company.name is used outside the selection, which gives person only", "conditions and orders",
            ONE_VALUE(sl_narrow(joined, sl_limit(2)), sl_max(company_.name)));
    REFUSED("a value of distinct results", "themselves",
            ONE_VALUE(sl_narrow(staff, sl_distinct()), sl_max(person_.name)));
    REFUSED("a value of combined results", "themselves",
            ONE_VALUE(sl_union(staff, staff), sl_max(person_.name)));
    REFUSED("combined results are sorted by person.age, which is none of their columns", "was given",
            COMPILED(sl_narrow(sl_union(staff, staff), sl_ascending(person_.age)), SL__ROWS));
    return NULL;
}

static void *refusals_of_values(void *data)
{
    attempt *a = data;
    const sl_decimal large = {INT64_MAX / 10, 2};
    REFUSED("person.id has a value in each row, and the values are of whole groups", "sl_min",
            ONE_VALUE(sl_find(person), sl_plus(sl_max(person_.age), person_.id)));
    REFUSED("person.id has a value in each row, and the values are of whole groups", "sl_group_by",
            COMPILED(sl_find(company,
                             sl_in_found(company_.id, sl_find(person, sl_group_by(person_.age)), person_.id)),
                     SL__ROWS));
    REFUSED("sl_select(paid, …): pay has 2 digits after the point, and what it is given has 4", "lost",
            sl_select(paid, thing_, SL_AS(.pay = thing_.rate)));
    REFUSED("5.0010 does not fit beside paid.pay, which has 2 digits after the point and 18 in all", "round",
            sl_select(paid, thing_, SL_AS(.pay = sl_the(sl_sum(thing_.rate), ((sl_decimal){5001, 3})))));
    REFUSED(
        "a decimal with 4 digits after the point is too large", "fewer digits",
        COMPILED(sl_find(person, sl_join(thing_, sl_between(person_.pay, large, thing_.rate))), SL__ROWS));
    REFUSED("a decimal with 4 digits after the point is too large", "fewer digits",
            COMPILED(sl_find(thing, sl_in(sl_the(person_.pay, large), thing_.rate)), SL__ROWS));
    return NULL;
}

TASK_TEST(what_makes_no_sense)
{
    check_refusals(refusals);
    check_refusals(more_refusals);
    check_refusals(refusals_of_values);
    return NULL;
}

/* The first columns of what the database has, in order. */
#define ANSWERS(found, what, wanted) GIVES(found, what, NULL, wanted)

TASK_TEST(answers)
{
    struct person_found *sorted = sl_find(person, sl_ascending(person_.id)),
                        *three = sl_narrow(sorted, sl_limit(3), sl_skip(1));
    ANSWERS(sorted, SL__ROWS, "1,2,3,4,5");
    ANSWERS(sorted, SL__BACKWARDS, "5,4,3,2,1");
    ANSWERS(three, SL__ROWS, "2,3,4");
    ANSWERS(three, SL__BACKWARDS, "4,3,2");
    ANSWERS(sl_find(person, sl_descending(sl_length(person_.name)), sl_ascending(person_.id), sl_limit(3)),
            SL__ROWS, "4,5,1");
    ANSWERS(sl_find(person, sl_descending(sl_length(person_.name)), sl_ascending(person_.id), sl_limit(3)),
            SL__BACKWARDS, "1,5,4");
    ANSWERS(three, SL__COUNT, "3");
    ANSWERS(sl_narrow(three, sl_skip(3)), SL__COUNT, "2");
    ANSWERS(sorted, SL__COUNT, "5");
    ANSWERS(sl_narrow(three, sl_skip(9)), SL__EXISTS, "0");
    ANSWERS(three, SL__EXISTS, "1");
    struct person_found *red = sl_find(person, sl_eq(person_.shade, RED)),
                        *young = sl_find(person, sl_le(person_.age, 40));
    ANSWERS(sl_narrow(sl_union(red, young), sl_descending(person_.id)), SL__ROWS, "5,2,1");
    ANSWERS(sl_narrow(sl_except(young, red), sl_descending(person_.id)), SL__ROWS, "2");
    ANSWERS(sl_narrow(sl_intersect(young, red), sl_descending(person_.id)), SL__ROWS, "5,1");
    ANSWERS(sl_narrow(sl_union(sl_narrow(sorted, sl_limit(1)), sl_narrow(sorted, sl_skip(4))),
                      sl_ascending(person_.id)),
            SL__ROWS, "1,5");
    ANSWERS(sl_narrow(sl_union(red, young), sl_descending(person_.id), sl_limit(2)), SL__BACKWARDS, "2,5");
    ANSWERS(sl_union(red, young), SL__COUNT, "3");
    ANSWERS(sl_find(person, sl_join(company_, sl_eq(company_.id, person_.employer)),
                    sl_eq(company_.city, NULL), sl_ascending(person_.id)),
            SL__ROWS, "3,5");
    ANSWERS(sl_find(person, sl_left_join(company_, sl_eq(company_.id, person_.employer)),
                    sl_is_null(company_.id)),
            SL__ROWS, "4");
    struct busy_found *busy = sl_select(
        busy, person_, SL_AS(.employer = person_.employer, .count = sl_count_all()),
        sl_group_by(person_.employer), sl_having(sl_gt(sl_count_all(), 1)), sl_descending(person_.employer));
    ANSWERS(busy, SL__ROWS, "2,1");
    ANSWERS(busy, SL__COUNT, "2");
    ANSWERS(sl_select(total, person_, SL_AS(.pay = sl_sum(person_.pay), .oldest = sl_max(person_.age))),
            SL__ROWS, "10017500");
    ANSWERS(sl_select(total, person_, SL_AS(.pay = sl_sum(person_.pay), .oldest = sl_max(person_.age))),
            SL__COUNT, "1");
    ANSWERS(sl_select(staff, person_,
                      SL_AS(.name = sl_lower(person_.name), .shade = sl_the(person_.shade, NULL)),
                      sl_distinct(), sl_ascending(sl_lower(person_.name)), sl_limit(2)),
            SL__ROWS, "a_n%,ann");
    return NULL;
}

TASK_TEST(answers_of_changes)
{
    CHECK(sqlite3_exec(database, "SAVEPOINT before", NULL, NULL, NULL) == SQLITE_OK);
    struct person_found *at_bolt = sl_find(person, sl_join(company_, sl_eq(company_.id, person_.employer)),
                                           sl_eq(company_.name, "Bolt"));
    GIVES(at_bolt, SL__UPDATE, sl_to(person_.age, sl_plus(sl_coalesce(person_.age, 0), 1)).node, "");
    GIVES(sl_find(person, sl_ascending(person_.id)), SL__VALUE, person_.age.node, "30,40,51,NULL,31");
    ANSWERS(at_bolt, SL__DELETE, "");
    ANSWERS(sl_find(person, sl_ascending(person_.id)), SL__ROWS, "1,2,4");
    ANSWERS(sl_find(membership, sl_left_join(person_, sl_eq(person_.id, membership_.member)),
                    sl_eq(membership_.since, NULL)),
            SL__DELETE, "");
    ANSWERS(sl_find(membership), SL__COUNT, "2");
    CHECK(sqlite3_exec(database, "ROLLBACK TO before; RELEASE before", NULL, NULL, NULL) == SQLITE_OK);
    return NULL;
}

/* A query's making costs about a microsecond: here only that it does not grow with what was made before. */
TASK_TEST(many_queries)
{
    for (int i = 0; i < 20000; i++)
        SL_SCRATCH()
        {
            sl__statement statement;
            struct person_found *found =
                sl_find(person, sl_eq(person_.age, i), sl_ascending(person_.name), sl_limit(10));
            sl__compile(SL__SELECTION(found), SL__SQLITE, SL__ROWS, NULL, 0, -1, &statement);
            CHECK(statement.count == 2 && statement.values[0].integer == i);
            CHECK(sl_arena_used(sl_task_arena()) < 4096);
        }
    return NULL;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_known_of_a_query),
        cmocka_unit_test(models_of_a_query),
        cmocka_unit_test(shapes),
        cmocka_unit_test(what_makes_no_sense),
        cmocka_unit_test(answers),
        cmocka_unit_test(answers_of_changes),
        cmocka_unit_test(many_queries),
    };
    return cmocka_run_group_tests(tests, database_open, database_close);
}
