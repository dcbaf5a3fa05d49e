/* hostile.c: what a careless program, or whoever sends it something, may give the store: it is refused with
 * words, the same in both databases, and nothing is left half done. */
#include "world.h"
#include "core/task.h"

#include <jansson.h>
#include <math.h>

static void *transact(void *fn)
{
    return sl_transact((sl_task_fn *)fn, NULL);
}

/* What a function that runs in a transaction fails with. */
static const sl_error *error_in_transaction(sl_task_fn *fn)
{
    return error_of(transact, (void *)fn);
}

/* ---- SQL that ends the transaction --------------------------------------------------------------------- */

static const char *run;

/* sl_execute takes literals only. */
static void *execute(void *data)
{
    (void)data;
    sl__execute(SL_HERE, NULL, run, (const sl_node *const[]){NULL});
    return NULL;
}

static void *add_and_execute(void *data)
{
    (void)data;
    sl_add(sl_new(company, .name = "Works"));
    sl_save();
    const sl_error *error = error_of(execute, NULL);
    assert_non_null(error);
    sl_fail(error->code, "%s", error->message);
}

static void refuses(const char *sql, const char *part)
{
    run = sql;
    assert_error(error_in_transaction(add_and_execute), SL_EINVAL, part);
    assert_int_equal(sl_count(sl_find(company)), 0);
}

TEST(sql_may_not_end_the_transaction)
{
    static const char *const texts[] = {
        "COMMIT",
        "commit",
        " \n; /* a */ COMMIT WORK",
        "-- a\nEND",
        "ROLLBACK",
        "ABORT",
        "BEGIN",
        "START TRANSACTION",
        "SAVEPOINT a",
        "RELEASE a",
        "ROLLBACK TO SAVEPOINT a",
        "PREPARE TRANSACTION 'a'",
        "DELETE FROM company; COMMIT",
    };
    for (size_t i = 0; i < sl_array_size(texts); i++)
        refuses(texts[i], "SQL may not begin or end transactions or savepoints");
    refuses("DELETE FROM company; DELETE FROM person", "more than one statement");
}

static void *execute_in_savepoint(void *data)
{
    sl_add(sl_new(company, .name = "Works"));
    sl_save();
    sl_error *error;
    sl_savepoint(execute, data, &error);
    assert_int_equal(error->code, SL_EINVAL);
    sl_execute(NULL, "DELETE FROM company WHERE name = 'a; COMMIT';");
    sl_execute(NULL, "UPDATE company SET name = '; COMMIT' ; -- all; of them\n");
    return NULL;
}

TEST(what_refused_sql_stood_in_goes_on)
{
    run = "RELEASE SAVEPOINT a";
    assert_null(error_in_transaction(execute_in_savepoint));
    assert_int_equal(sl_count(sl_find(company, sl_eq(company_.name, "; COMMIT"))), 1);
}

/* ---- Depth --------------------------------------------------------------------------------------------- */

static void *add_people(void *data)
{
    (void)data;
    for (int i = 0; i < 10; i++)
        sl_add(sl_new(person, .name = "Ann", .age = i * 1000));
    return NULL;
}

TEST(conditions_are_put_together_in_loops)
{
    sl_transact(add_people, NULL);
    sl_clause any = sl_or(), before = sl_or(), all = sl_and();
    for (int i = 0; i < 9000; i++) {
        any = sl_or(any, sl_eq(person_.age, i));
        before = sl_or(sl_eq(person_.age, i), before);
        all = sl_and(all, sl_ne(person_.age, i));
    }
    assert_int_equal(sl_count(sl_find(person, any)), 9);
    assert_int_equal(sl_count(sl_find(person, before)), 9);
    assert_int_equal(sl_count(sl_find(person, all)), 1);
}

TEST(selections_are_narrowed_in_loops)
{
    sl_transact(add_people, NULL);
    struct person_found *found = sl_find(person);
    for (int i = 0; i < 2000; i++)
        found = sl_narrow(found, sl_ne(person_.age, i));
    assert_int_equal(sl_count(found), 8);
}

/* What is made of a longer list takes nothing from others that are made of the same. */
TEST(lists_that_grow_are_each_their_own)
{
    sl_transact(add_people, NULL);
    sl_clause many = sl_or(), one, other, both;
    for (int i = 0; i < 100; i++)
        many = sl_or(many, sl_eq(person_.age, -i));
    one = sl_or(many, sl_eq(person_.age, 1000));
    other = sl_or(many, sl_eq(person_.age, 2000), sl_eq(person_.age, 3000));
    both = sl_or(one, other, sl_and(sl_eq(person_.age, 4000), sl_eq(person_.name, "Ann")));
    assert_int_equal(sl_count(sl_find(person, many)), 1);
    assert_int_equal(sl_count(sl_find(person, one)), 2);
    assert_int_equal(sl_count(sl_find(person, other)), 3);
    assert_int_equal(sl_count(sl_find(person, both)), 5);
}

static void *sum_of(void *data)
{
    sl_integer_expr sum = person_.age;
    for (int i = 0; i < *(int *)data; i++)
        sum = sl_plus(sum, 1);
    assert_int_equal(sl_count(sl_find(person, sl_gt(sum, 9000))), 1);
    return NULL;
}

static void *negation(void *data)
{
    sl_clause condition = sl_gt(person_.age, 8000);
    for (int i = 0; i < *(int *)data; i++)
        condition = sl_and(sl_not(sl_or(sl_not(condition), sl_lt(person_.age, 0))), sl_gt(person_.age, -1));
    assert_int_equal(sl_count(sl_find(person, condition)), 1);
    return NULL;
}

static void *inner_selections(void *data)
{
    struct person_found *found = sl_find(person, sl_gt(person_.age, 8000));
    for (int i = 0; i < *(int *)data; i++)
        found = sl_find(person, sl_in_found(person_.id, found, person_.id));
    assert_int_equal(sl_count(found), 1);
    return NULL;
}

static void *combinations(void *data)
{
    struct person_found *found = sl_find(person, sl_gt(person_.age, 8000));
    for (int i = 0; i < *(int *)data; i++)
        found = sl_union(found, sl_find(person, sl_eq(person_.age, i + 1)));
    assert_int_equal(sl_count(found), 1);
    return NULL;
}

/* SQLite's parser bears less, and says so. */
static void is_bounded(sl_task_fn *fn, int most, const char *part)
{
    const sl_error *error = error_of(fn, &most);
    if (error && !strstr(error->message, "parser stack overflow"))
        fail_msg("%s", error->message);
    assert_null(error_of(fn, &(int){6}));
    assert_error(error_of(fn, &(int){10 * most}), SL_EINVAL, part);
    assert_error(error_of(fn, &(int){100000}), SL_EINVAL, part);
}

TEST(what_is_too_deep_is_refused)
{
    sl_transact(add_people, NULL);
    is_bounded(sum_of, 190, "more than 200 levels");
    is_bounded(negation, 45, "more than 200 levels");
    is_bounded(inner_selections, 35, "more than 200 levels");
    is_bounded(combinations, 49, "combined more than 50 times");
}

/* ---- JSON ---------------------------------------------------------------------------------------------- */

static json_t *extra; /* of who is added, or asked for */

static json_t *nested_around(json_t *json, size_t depth, bool objects)
{
    for (size_t i = 0; i < depth; i++)
        json = objects ? json_pack("{s:o}", "a", json) : json_pack("[o]", json);
    sl_defer((sl_free_fn *)json_decref, json);
    return json;
}

static json_t *nested(size_t depth, bool objects)
{
    return nested_around(json_integer(1), depth, objects);
}

static json_t *of_text(const char *text, size_t size)
{
    json_t *json = json_pack("{s:[o]}", "a", json_stringn_nocheck(text, size));
    sl_defer((sl_free_fn *)json_decref, json);
    return json;
}

static void *add_extra(void *data)
{
    (void)data;
    sl_add(sl_new(person, .name = "Ann", .extra = extra));
    return NULL;
}

static void *edit_extra(void *data)
{
    (void)data;
    struct person *p = sl_edit(person, sl_one(sl_find(person)));
    p->extra = extra;
    return NULL;
}

static void *ask_for_extra(void *data)
{
    return sl_list(sl_find(person, sl_eq(person_.extra, extra))).count ? data : NULL;
}

static void *set_extra(void *data)
{
    sl_update(sl_find(person), sl_to(person_.extra, extra));
    return data;
}

static void check_extra(json_t *json, const char *part)
{
    extra = json;
    assert_error(error_in_transaction(add_extra), SL_EINVALID, part);
    assert_error(error_in_transaction(edit_extra), SL_EINVALID, part);
    assert_error(error_in_transaction(set_extra), SL_EINVALID, part);
    assert_error(error_of(ask_for_extra, NULL), SL_EINVALID, "a value of the query ");
    assert_int_equal(sl_count(sl_find(person)), 1);
}

TEST(json_that_cannot_be_kept_is_refused)
{
    extra = nested(512, false);
    assert_null(error_in_transaction(add_extra));
    assert_null(error_in_transaction(edit_extra));
    for (int objects = 0; objects <= 1; objects++)
        for (size_t depth = 513; depth <= 2500; depth += 331)
            check_extra(nested(depth, objects), "extra");
    check_extra(nested_around(json_array(), 512, false), "extra");
    check_extra(of_text("a\0b", 3), "extra");
    assert_error(error_in_transaction(add_extra), SL_EINVALID, "extra has the character U+0000 in it");
    check_extra(of_text("\xff", 1), "extra");
}

/* ---- A resource that does not begin -------------------------------------------------------------------- */

static int finished, aborted;

static void begin_badly(void *data)
{
    (void)data;
    sl_fail(SL_EIO, "no begin");
}

static void note_finish(void *data)
{
    (void)data;
    finished++;
}

static void note_abort(void *data)
{
    (void)data;
    aborted++;
}

static void *remember_nothing(void *data)
{
    return data;
}

static const sl_resource broken = {.name = "broken",
                                   .begin = begin_badly,
                                   .finish = note_finish,
                                   .abort = note_abort,
                                   .savepoint = remember_nothing};

static void *join_broken(void *data)
{
    sl_join_transaction(&broken, data);
    return NULL;
}

static void *swallow(void *data)
{
    sl_add(sl_new(company, .name = "Works"));
    sl_error *error = sl__catch(join_broken, data, NULL);
    assert_error(error, SL_EIO, "no begin");
    sl_error_unref(error);
    return NULL;
}

static void *swallow_in_savepoint(void *data)
{
    sl_error *error;
    sl_add(sl_new(company, .name = "Mill"));
    sl_savepoint(swallow, data, &error);
    assert_non_null(strstr(error->message, "no begin"));
    return NULL;
}

TEST(what_did_not_begin_is_not_committed)
{
    assert_error(error_in_transaction(swallow), SL_EIO, "no begin");
    assert_int_equal(sl_count(sl_find(company)), 0);
    assert_true(finished == 0 && aborted == 1);
    assert_null(error_in_transaction(swallow_in_savepoint));
    assert_int_equal(sl_count(sl_find(company)), 1);
    assert_true(finished == 0 && aborted == 2);
}

/* ---- Objects ------------------------------------------------------------------------------------------- */

static const char *make_a_number(sl_value *value)
{
    *value = (sl_value){.kind = SL_KIND_INTEGER, .integer = 1};
    return NULL;
}

static const char *make_null(sl_value *value)
{
    value->null = true;
    return NULL;
}

#define FICKLE(F)                                                                                            \
    F(id, integer, SL_PRIMARY_KEY)                                                                           \
    F(name, text, SL_VALIDATED(make_a_number)) F(title, text, SL_REQUIRED, SL_VALIDATED(make_null))
SL_MODEL(fickle, FICKLE);

TEST(a_validator_keeps_to_the_kind)
{
    const sl_errors *errors = sl_validate(sl_new(fickle, .name = "a", .title = "b"));
    assert_string_equal(sl_error_of(errors, "name"), "was made a value of another kind by its validator");
    assert_string_equal(sl_error_of(errors, "title"), "is missing");
}

static void *add_null(void *data)
{
    struct company *all[] = {sl_new(company, .name = "Works"), NULL};
    sl_add_many(company, all, 2);
    return data;
}

TEST(a_null_among_many_is_told)
{
    assert_error(error_in_transaction(add_null), SL_EINVAL, "number 2 of the 2 objects is NULL");
    assert_int_equal(sl_count(sl_find(company)), 0);
}

/* ---- Texts and numbers --------------------------------------------------------------------------------- */

static void *add_no_number(void *data)
{
    sl_add(sl_new(person, .name = "Ann", .height = NAN));
    return data;
}

static void *set_no_number(void *data)
{
    sl_update(sl_find(person), sl_to(person_.height, NAN));
    return data;
}

static void *put_bad_badge(void *data)
{
    sl_put(sl_new(person, .name = "Ann", .badge = "\xff"), person_.badge);
    return data;
}

TEST(what_only_one_database_takes_is_refused)
{
    assert_error(error_in_transaction(add_no_number), SL_EINVALID, "height is not a number");
    assert_error(error_in_transaction(set_no_number), SL_EINVALID,
                 "height cannot be set: it is not a number");
    assert_error(error_in_transaction(put_bad_badge), SL_EINVALID, "badge is not UTF-8");
}

static void *ask(void *condition)
{
    (void)sl_list(sl_find(person, *(sl_clause *)condition));
    return NULL;
}

static void refuses_to_ask(sl_clause condition, const char *part)
{
    assert_error(error_of(ask, &condition), SL_EINVALID, part);
}

TEST(queries_with_what_is_no_text_are_refused)
{
    const char *names[] = {"a", "\xc3(", "b"};
    refuses_to_ask(sl_eq(person_.name, "\xff"), "a value of the query is not UTF-8");
    refuses_to_ask(sl_in(person_.name, "a", "\xed\xa0\x80"), "is not UTF-8");
    refuses_to_ask(sl_in_array(person_.name, names, 3), "is not UTF-8");
    refuses_to_ask(sl_like(person_.name, "a\xff%"), "is not UTF-8");
    refuses_to_ask(sl_ilike(person_.name, "a\xff%"), "is not UTF-8");
    refuses_to_ask(sl_prefix(person_.name, "a\xff"), "is not UTF-8");
    refuses_to_ask(sl_suffix(person_.name, "\xff"), "is not UTF-8");
    refuses_to_ask(sl_contains(person_.name, "\xff"), "is not UTF-8");
    refuses_to_ask(sl_sql("name = ?", sl_p("\xff")), "is not UTF-8");
    refuses_to_ask(sl_gt(person_.height, NAN), "is not a number");
    assert_int_equal(sl_count(sl_find(person, sl_prefix(person_.name, "\U0000d7ff"))), 0);
    assert_int_equal(sl_count(sl_find(person, sl_prefix(person_.name, "\U0010ffff"))), 0);
}

static void *load_by(void *code)
{
    (void)sl_load(place, (const char *)code);
    return NULL;
}

static void *need_by(void *code)
{
    (void)sl_need(place, (const char *)code);
    return NULL;
}

static void *hold_by(void *code)
{
    (void)sl_load_locked(place, (const char *)code);
    return NULL;
}

static void *hold_in_transaction(void *code)
{
    return sl_transact(hold_by, code);
}

TEST(a_key_is_text)
{
    sl_task_fn *const loads[] = {load_by, need_by, hold_in_transaction};
    for (size_t i = 0; i < sl_array_size(loads); i++)
        assert_error(error_of(loads[i], "a\xff"), SL_EINVALID,
                     "the value given for the key column code of place is not UTF-8");
    assert_error(error_of(need_by, "\U0010ffff"), SL_HTTP(404), "there is no place");
    assert_null(sl_load(place, (const char *)NULL));
}

TEST(a_long_text_can_be_looked_for)
{
    enum { SIZE = 10 << 20 };
    char *text = sl_alloc(SIZE + 1);
    memset(text, 'a', SIZE);
    text[SIZE] = '\0';
    assert_int_equal(sl_count(sl_find(person, sl_contains(person_.name, text))), 0);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        IN_BOTH(sql_may_not_end_the_transaction),         IN_BOTH(what_refused_sql_stood_in_goes_on),
        IN_BOTH(conditions_are_put_together_in_loops),    IN_BOTH(selections_are_narrowed_in_loops),
        IN_BOTH(lists_that_grow_are_each_their_own),      IN_BOTH(what_is_too_deep_is_refused),
        IN_BOTH(json_that_cannot_be_kept_is_refused),     IN_BOTH(what_did_not_begin_is_not_committed),
        IN_BOTH(a_validator_keeps_to_the_kind),           IN_BOTH(a_null_among_many_is_told),
        IN_BOTH(what_only_one_database_takes_is_refused), IN_BOTH(queries_with_what_is_no_text_are_refused),
        IN_BOTH(a_long_text_can_be_looked_for),           IN_BOTH(a_key_is_text),
    };
    return world_main(argc, argv, tests, sl_array_size(tests));
}
