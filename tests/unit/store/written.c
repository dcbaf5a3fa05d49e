/* written.c: objects go on being written to after a query or sl_save has written them. */
#include "world.h"

#include <jansson.h>

static int64_t age_stored(void)
{
    const struct person *p = sl_one(sl_find(person, sl_eq(person_.name, "Ann")));
    return p ? p->age : -1;
}

static void *add_ann(void *data)
{
    (void)data;
    return sl_add(sl_new(person, .name = "Ann", .age = 1));
}

static const struct person *ann(void)
{
    return sl_one(sl_find(person, sl_eq(person_.name, "Ann")));
}

/* ---- What is edited ------------------------------------------------------------------------------------ */

static void *edit_around_a_query(void *data)
{
    (void)data;
    struct person *p = sl_edit(person, ann());
    p->age = 2;
    assert_int_equal(sl_count(sl_find(person, sl_eq(person_.age, 2))), 1);
    p->age = 3;
    assert_int_equal(sl_count(sl_find(person, sl_eq(person_.age, 3))), 1);
    assert_int_equal(sl_count(sl_find(person, sl_eq(person_.age, 2))), 0);
    p->age = 4;
    return NULL;
}

TEST(a_change_after_a_query_is_stored)
{
    sl_transact(add_ann, NULL);
    sl_transact(edit_around_a_query, NULL);
    assert_int_equal(age_stored(), 4);
}

static void *edit_nothing_at_first(void *data)
{
    (void)data;
    struct person *p = sl_edit(person, ann());
    sl_save(); /* there is nothing to write */
    p->age = 5;
    sl_set_null(p, height);
    sl_save();
    p->height = 1.5; /* what is not 0 is not NULL */
    return NULL;
}

TEST(a_change_after_nothing_was_written_is_stored)
{
    sl_transact(add_ann, NULL);
    sl_transact(edit_nothing_at_first, NULL);
    assert_int_equal(age_stored(), 5);
    assert_true(ann()->height == 1.5 && !ann()->null.height);
}

static void *edit_twice(void *data)
{
    (void)data;
    struct person *p = sl_edit(person, ann());
    p->age = 2;
    sl_save();
    p->age = 3;
    struct person *again = sl_edit(person, p);
    assert_ptr_equal(again, p);
    assert_int_equal(again->age, 3);
    sl_save();
    sl_update(sl_find(person), sl_to(person_.height, 2.0)); /* what is as it is stored is read anew */
    assert_true(p->height == 2.0);
    p->age = 6;
    return NULL;
}

TEST(edits_of_one_object_follow_each_other)
{
    sl_transact(add_ann, NULL);
    sl_transact(edit_twice, NULL);
    assert_int_equal(age_stored(), 6);
    assert_true(ann()->height == 2.0);
}

static void *reload_a_change(void *data)
{
    (void)data;
    struct person *p = sl_edit(person, ann());
    p->age = 2;
    sl_save();
    p->age = 3;
    sl_reload(person, p);
    assert_int_equal(p->age, 2);
    return NULL;
}

TEST(a_change_may_be_taken_back_by_reading_anew)
{
    sl_transact(add_ann, NULL);
    sl_transact(reload_a_change, NULL);
    assert_int_equal(age_stored(), 2);
}

/* ---- What is added ------------------------------------------------------------------------------------- */

static void *change_what_was_added(void *data)
{
    (void)data;
    struct person *p = sl_add(sl_new(person, .name = "Ann"));
    p->extra = json_pack("{s:i}", "a", 1);
    sl_defer((sl_free_fn *)json_decref, p->extra);
    sl_save();
    p->age = 7;
    json_object_set_new(p->extra, "a", json_integer(2)); /* in place */
    return NULL;
}

TEST(what_was_added_may_be_changed_on)
{
    sl_transact(change_what_was_added, NULL);
    assert_int_equal(age_stored(), 7);
    assert_int_equal(json_integer_value(json_object_get(ann()->extra, "a")), 2);
}

enum { MANY = 1500 };

static void *change_many(void *data)
{
    (void)data;
    struct person **all = sl_alloc(MANY * sizeof *all);
    for (int i = 0; i < MANY; i++)
        all[i] = sl_add(sl_new(person, .name = "many", .age = i));
    sl_save();
    for (int i = 0; i < MANY; i++)
        all[i]->age = -1;
    return NULL;
}

TEST(however_many_there_are)
{
    sl_transact(change_many, NULL);
    assert_int_equal(sl_count(sl_find(person, sl_eq(person_.age, -1))), MANY);
}

/* ---- What is undone, and what is gone ------------------------------------------------------------------ */

static void *change_and_fail(void *data)
{
    struct person *p = data;
    p->age = 9;
    sl_fail(SL_EINVAL, "no");
}

static void *change_in_a_savepoint(void *data)
{
    (void)data;
    struct person *p = sl_edit(person, ann());
    p->age = 2;
    sl_save();
    sl_error *error = NULL;
    sl_savepoint(change_and_fail, p, &error);
    assert_error(error, SL_EINVAL, "no");
    assert_int_equal(p->age, 2);
    return NULL;
}

TEST(a_late_change_belongs_to_its_savepoint)
{
    sl_transact(add_ann, NULL);
    sl_transact(change_in_a_savepoint, NULL);
    assert_int_equal(age_stored(), 2);
}

static void *change_what_is_removed(void *data)
{
    (void)data;
    struct person *p = sl_edit(person, ann());
    p->age = 2;
    sl_save();
    p->age = 3;
    sl_remove(p);
    sl_save();
    p->age = 4; /* nobody's any more */
    return NULL;
}

TEST(what_is_removed_is_not_written)
{
    sl_transact(add_ann, NULL);
    sl_transact(change_what_is_removed, NULL);
    assert_int_equal(sl_count(sl_find(person)), 0);
}

/* ---- Hooks and validators that meddle ------------------------------------------------------------------ */

static const char *add_company(sl_value *name);
static void fail_at_once(void *object)
{
    (void)object;
    sl_fail(SL_EFAILED, "not told");
}

#define MEDDLER(F) F(id, integer, SL_PRIMARY_KEY) F(name, text, SL_REQUIRED, SL_VALIDATED(add_company))
SL_MODEL(meddler, MEDDLER, .table = "person");
SL_MODEL(teller, COMPANY, .table = "company", .flushed = fail_at_once);

static const char *add_company(sl_value *name)
{
    sl_add(sl_new(company, .name = sl_printf("of %.*s", (int)name->text.size, name->text.data)));
    return NULL;
}

static void *add_meddlers(void *data)
{
    (void)data;
    for (int i = 0; i < 50; i++)
        sl_add(sl_new(meddler, .name = sl_printf("%d", i)));
    return NULL;
}

TEST(validators_may_add_objects)
{
    sl_transact(add_meddlers, NULL);
    assert_int_equal(sl_count(sl_find(person)), 50);
    assert_int_equal(sl_count(sl_find(company)), 50);
}

static void *save_now(void *data)
{
    (void)data;
    sl_save();
    return NULL;
}

static void *swallow(void *data)
{
    (void)data;
    sl_add(sl_new(teller, .name = "Mill"));
    sl_error *error = NULL;
    sl_try(sl_spawn(save_now, NULL), &error);
    assert_error(error, SL_EFAILED, "not told");
    assert_true(sl_doomed());
    return NULL;
}

static void *transact_swallow(void *data)
{
    return sl_transact(swallow, data);
}

TEST(a_hook_that_fails_after_the_writing_dooms)
{
    assert_error(error_of(transact_swallow, NULL), SL_EFAILED, "not told");
    assert_int_equal(sl_count(sl_find(company)), 0);
}

/* ---- A key that is given again ------------------------------------------------------------------------- */

static void *insert_and_fail(void *data)
{
    sl_execute(NULL, "INSERT INTO place (code, rank) VALUES ('K', 1)");
    assert_non_null(*(const struct place **)data = sl_load(place, "K"));
    sl_fail(SL_EINVAL, "no");
}

/* It is the transaction's only one with that key, and what is changed in it is stored. */
static void add_again(int64_t rank)
{
    struct place *p = sl_add(sl_new(place, .code = "K", .rank = rank));
    sl_save();
    assert_ptr_equal(sl_load(place, "K"), p);
    assert_ptr_equal(sl_one(sl_find(place, sl_ge(place_.rank, 0))), p);
    p->rank += 100;
}

static void *add_after_a_savepoint(void *data)
{
    (void)data;
    const struct place *undone = NULL;
    sl_error *error = NULL;
    sl_savepoint(insert_and_fail, &undone, &error);
    assert_error(error, SL_EINVAL, "no");
    add_again(2);
    return NULL;
}

static void *add_what_sql_deleted(void *data)
{
    (void)data;
    assert_non_null(sl_load(place, "K"));
    assert_int_equal(sl_execute(NULL, "DELETE FROM place"), 1);
    add_again(3);
    return NULL;
}

static void *add_and_fail(void *data)
{
    add_what_sql_deleted(data);
    sl_save();
    sl_fail(SL_EINVAL, "no");
}

static void *undo_one_that_was_added_again(void *data)
{
    (void)data;
    const struct place *p = sl_load(place, "K");
    sl_error *error = NULL;
    sl_savepoint(add_and_fail, NULL, &error);
    assert_error(error, SL_EINVAL, "no");
    assert_ptr_equal(sl_load(place, "K"), p);
    assert_int_equal(p->rank, 102);
    return NULL;
}

static int64_t rank_stored(void)
{
    return sl_one(sl_find(place))->rank;
}

TEST(one_with_a_key_that_is_given_again_takes_the_place_of_the_other)
{
    sl_transact(add_after_a_savepoint, NULL);
    assert_int_equal(rank_stored(), 102);
    sl_transact(undo_one_that_was_added_again, NULL);
    assert_int_equal(rank_stored(), 102);
    sl_transact(add_what_sql_deleted, NULL);
    assert_int_equal(rank_stored(), 103);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        IN_BOTH(a_change_after_a_query_is_stored),
        IN_BOTH(a_change_after_nothing_was_written_is_stored),
        IN_BOTH(edits_of_one_object_follow_each_other),
        IN_BOTH(a_change_may_be_taken_back_by_reading_anew),
        IN_BOTH(what_was_added_may_be_changed_on),
        IN_BOTH(however_many_there_are),
        IN_BOTH(a_late_change_belongs_to_its_savepoint),
        IN_BOTH(what_is_removed_is_not_written),
        IN_BOTH(validators_may_add_objects),
        IN_BOTH(a_hook_that_fails_after_the_writing_dooms),
        IN_BOTH(one_with_a_key_that_is_given_again_takes_the_place_of_the_other),
    };
    return world_main(argc, argv, tests, sl_array_size(tests));
}
