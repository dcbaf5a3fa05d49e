/* differences.c: what the differential test found (tests/differential), each by itself. */
#include "world.h"

static SL_NORETURN void undo(void)
{
    sl_fail(SL_EFAILED, "undone");
}

static void undone(sl_task_fn *fn, const void *data)
{
    sl_error *error;
    sl_savepoint(fn, (void *)data, &error);
    assert_error(error, SL_EFAILED, "undone");
}

/* ---- Savepoints ---------------------------------------------------------------------------------------- */

static void *edit_and_undo(void *data)
{
    sl_edit(company, (const struct company *)data)->name = "inside";
    undo();
}

static void *edit_after_undoing(void *data)
{
    (void)data;
    const struct company *c = sl_add(sl_new(company, .name = "first"));
    undone(edit_and_undo, c);
    assert_string_equal(c->name, "first");
    sl_edit(company, c)->name = "later";
    return NULL;
}

TEST(an_object_can_be_edited_after_an_edit_was_undone)
{
    sl_transact(edit_after_undoing, NULL);
    assert_string_equal(sl_one(sl_find(company))->name, "later");
}

static void *change_key_and_undo(void *data)
{
    sl_edit(place, (const struct place *)data)->code = "b";
    sl_save();
    undo();
}

static void *change_twice_and_undo(void *data)
{
    sl_edit(place, (const struct place *)data)->rank = 9;
    sl_save();
    sl_edit(place, (const struct place *)data)->code = "c";
    undo();
}

static void *delete_and_undo(void *data)
{
    const struct place *p = data;
    assert_int_equal(sl_delete(sl_find(place, sl_eq(place_.code, p->code))), 1);
    undo();
}

static void *update_and_undo(void *data)
{
    (void)data;
    sl_update(sl_find(place), sl_to(place_.rank, 7));
    undo();
}

static void *look_for_it_after_undoing(void *fn)
{
    const struct place *p = sl_add(sl_new(place, .code = "a", .rank = 1));
    sl_save();
    undone(*(sl_task_fn **)fn, p);
    assert_string_equal(p->code, "a");
    assert_int_equal(p->rank, 1);
    assert_ptr_equal(sl_load(place, "a"), p);
    assert_null(sl_load(place, "b"));
    assert_null(sl_load(place, "c"));
    sl_remove(p);
    return NULL;
}

TEST(there_is_one_object_for_a_key_after_undoing)
{
    sl_task_fn *ways[] = {change_key_and_undo, change_twice_and_undo, delete_and_undo, update_and_undo};
    for (size_t i = 0; i < sl_array_size(ways); i++)
        sl_transact(look_for_it_after_undoing, &ways[i]);
}

/* ---- Fields -------------------------------------------------------------------------------------------- */

static void *set_unread_to_null(void *data)
{
    struct person *p = sl_edit(person, sl_need(person, *(int64_t *)data));
    sl_set_null(p, photo);
    return NULL;
}

static void *read_lazy_again(void *data)
{
    const struct person *p = sl_need(person, *(int64_t *)data);
    assert_int_equal(sl_lazy(person, p, photo).size, 3);
    sl_update(sl_find(person), sl_to(person_.photo, SL_VIEW("other")));
    assert_int_equal(sl_lazy(person, p, photo).size, 5);
    assert_ptr_equal(sl_reload(person, p), p);
    assert_int_equal(sl_lazy(person, p, photo).size, 5);
    return NULL;
}

static void *add_with_photo(void *data)
{
    struct person *p = sl_add(sl_new(person, .name = "Ann", .photo = SL_VIEW("abc")));
    sl_save();
    *(int64_t *)data = p->id;
    return NULL;
}

TEST(lazy_columns_are_written_unread_and_read_anew)
{
    int64_t id;
    sl_transact(add_with_photo, &id);
    sl_transact(read_lazy_again, &id);
    sl_transact(set_unread_to_null, &id);
    assert_int_equal(sl_count(sl_find(person, sl_is_null(person_.photo))), 1);
}

static void *overrule_links(void *data)
{
    (void)data;
    struct company *there = sl_add(sl_new(company, .name = "there"));
    sl_save();
    struct company *new = sl_add(sl_new(company, .name = "new"));
    const char *names[] = {"none", "there", "new"};
    struct person *persons[3];
    for (size_t i = 0; i < 3; i++) {
        persons[i] = sl_add(sl_new(person, .name = names[i]));
        sl_link(person, persons[i], employer, new);
    }
    sl_set_null(persons[0], employer);
    persons[1]->employer = there->id;
    assert_null(sl_follow(person, persons[0], employer));
    assert_ptr_equal(sl_follow(person, persons[1], employer), there);
    assert_ptr_equal(sl_follow(person, persons[2], employer), new);
    sl_save();
    assert_true(persons[0]->null.employer);
    assert_int_equal(persons[1]->employer, there->id);
    assert_int_equal(persons[2]->employer, new->id);
    return NULL;
}

TEST(what_is_set_after_a_link_counts)
{
    sl_transact(overrule_links, NULL);
}

TEST(of_nothing_the_count_is_0)
{
    assert_int_equal(sl_value(sl_find(person, sl_or()), sl_count_all()), 0);
    assert_int_equal(sl_value(sl_find(person, sl_limit(0)), sl_count_distinct(person_.age)), 0);
}

#define AGES(F) F(age, integer)
SL_RESULT(ages, AGES);

static void *add_two_of_an_age(void *data)
{
    (void)data;
    sl_add(sl_new(person, .name = "Ann", .age = 20));
    sl_add(sl_new(person, .name = "Bo", .age = 20));
    return NULL;
}

TEST(what_is_distinct_is_cut_afterwards)
{
    sl_transact(add_two_of_an_age, NULL);
    struct ages_found *found =
        sl_select(ages, person_, SL_AS(.age = person_.age), sl_distinct(), sl_ascending(person_.age));
    assert_false(sl_is_empty(found));
    assert_true(sl_is_empty(sl_narrow(found, sl_skip(1))));
    assert_int_equal(sl_count(sl_find(person, sl_exists(sl_narrow(found, sl_skip(1))))), 0);
}

/* ---- The order of writing ------------------------------------------------------------------------------ */

static void *refer_by_number(void *data)
{
    (void)data;
    sl_add(sl_new(person, .name = "Ann", .employer = 50));
    sl_add(sl_new(company, .id = 50, .name = "Mill"));
    return NULL;
}

TEST(a_new_row_is_there_before_what_has_its_key)
{
    sl_transact(refer_by_number, NULL);
    assert_int_equal(sl_count(sl_find(person, sl_eq(person_.employer, 50))), 1);
}

/* The new one cannot have the name before the old one is gone, which cannot go before the person has the new
 * one. */
static void *replace(void *data)
{
    const struct company *old = sl_one(sl_find(company));
    const struct person *p = sl_one(sl_find(person));
    struct company *new = sl_add(sl_new(company, .name = old->name));
    (void)data;
    sl_link(person, sl_edit(person, p), employer, new);
    sl_remove(old);
    return NULL;
}

TEST(a_row_is_replaced_by_one_with_its_name)
{
    sl_transact(refer_by_number, NULL);
    sl_transact(replace, NULL);
    const struct company *c = sl_one(sl_find(company));
    assert_string_equal(c->name, "Mill");
    assert_int_not_equal(c->id, 50);
    assert_int_equal(sl_one(sl_find(person))->employer, c->id);
}

static void *add_member(void *data)
{
    struct club *c = sl_add(sl_new(club, .name = "Chess"));
    struct person *p = sl_add(sl_new(person, .id = 7, .name = "Ann"));
    sl_save();
    sl_add(sl_new(membership, .member = p->id, .club = c->id));
    *(sl_uuid *)data = c->id;
    return NULL;
}

static void *edit_and_remove(void *data)
{
    const sl_uuid *id = data;
    const struct membership *m = sl_need(membership, 7, *id);
    const struct person *p = sl_need(person, 7);
    sl_remove(p);
    sl_edit(membership, m)->since = 1999; /* it is there when that is written */
    sl_save();
    assert_null(sl_load(membership, 7, *id));
    return NULL;
}

TEST(what_goes_with_another_is_gone)
{
    sl_uuid id;
    sl_transact(add_member, &id);
    sl_transact(edit_and_remove, &id);
    assert_true(sl_is_empty(sl_find(membership)));
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        IN_BOTH(an_object_can_be_edited_after_an_edit_was_undone),
        IN_BOTH(there_is_one_object_for_a_key_after_undoing),
        IN_BOTH(lazy_columns_are_written_unread_and_read_anew),
        IN_BOTH(what_is_set_after_a_link_counts),
        IN_BOTH(of_nothing_the_count_is_0),
        IN_BOTH(what_is_distinct_is_cut_afterwards),
        IN_BOTH(a_new_row_is_there_before_what_has_its_key),
        IN_BOTH(a_row_is_replaced_by_one_with_its_name),
        IN_BOTH(what_goes_with_another_is_gone),
    };
    return world_main(argc, argv, tests, sl_array_size(tests));
}
