/* returning.c: changes of many objects that give them. */
#include "world.h"

#include <jansson.h>

static void *fill(void *data)
{
    (void)data;
    struct company *mill = sl_add(sl_new(company, .name = "Mill"));
    sl_save();
    sl_add(sl_new(person, .name = "Ann", .age = 41, .photo = sl_view_of("face"), .employer = mill->id));
    sl_add(sl_new(person, .name = "Bob", .age = 20, .employer = mill->id));
    sl_add(sl_new(person, .name = "Cyd", .age = 50, .badge = "c"));
    return NULL;
}

static const struct person *named(const struct person_list *list, const char *name)
{
    for (size_t i = 0; i < list->count; i++)
        if (strcmp(list->items[i]->name, name) == 0)
            return list->items[i];
    return NULL;
}

static struct person_list older(int64_t than)
{
    return sl_update_returning(sl_find(person, sl_gt(person_.age, than)),
                               sl_to(person_.age, sl_plus(person_.age, 1)));
}

static void *update(void *data)
{
    (void)data;
    const struct person *ann = sl_one(sl_find(person, sl_eq(person_.name, "Ann")));
    const struct person *bob = sl_one(sl_find(person, sl_eq(person_.name, "Bob")));
    struct person *cyd = sl_edit(person, sl_one(sl_find(person, sl_eq(person_.name, "Cyd"))));
    cyd->age = 60; /* written before the statement could see it */
    const sl_captured *captured = sl_capture();
    struct person_list list = older(40);
    assert_int_equal(captured->count, 2); /* that, and nothing is read anew */
    assert_int_equal(list.count, 2);
    assert_ptr_equal(named(&list, "Ann"), ann);
    assert_ptr_equal(named(&list, "Cyd"), cyd);
    assert_int_equal(ann->age, 42);
    assert_int_equal(cyd->age, 61);
    assert_int_equal(bob->age, 20);
    cyd->age = 7; /* it is still given to be written to */
    assert_ptr_equal(sl_load(person, ann->id), ann);
    assert_ptr_equal(sl_load(person, bob->id), bob);
    assert_int_equal(captured->count, 2);
    assert_int_equal(older(99).count, 0);
    assert_int_equal(sl_update_returning(sl_find(person, sl_or()), sl_to(person_.age, 1)).count, 0);
    return NULL;
}

TEST(changed_objects_are_given)
{
    sl_transact(fill, NULL);
    sl_transact(update, NULL);
    assert_int_equal(sl_one(sl_find(person, sl_eq(person_.name, "Cyd")))->age, 7);
    assert_int_equal(sl_one(sl_find(person, sl_eq(person_.name, "Ann")))->age, 42);
}

static void *update_through_others(void *data)
{
    (void)data;
    struct person_columns p = sl_alias(person, "staff");
    struct person_list list =
        sl_update_returning(sl_find_as(person, p, sl_join(company_, sl_eq(company_.id, p.employer)),
                                       sl_eq(company_.name, "Mill"), sl_preload(person, employer)),
                            sl_to(p.badge, p.name));
    assert_int_equal(list.count, 2);
    assert_string_equal(named(&list, "Bob")->badge, "Bob");
    const sl_captured *captured = sl_capture();
    assert_string_equal(sl_follow(person, list.items[0], employer)->name, "Mill");
    assert_int_equal(captured->count, 0);
    assert_int_equal(sl_lazy(person, named(&list, "Ann"), photo).size, 4);
    return NULL;
}

TEST(changed_by_joins_and_aliases)
{
    sl_transact(fill, NULL);
    sl_transact(update_through_others, NULL);
}

static void *delete_some(void *data)
{
    (void)data;
    const struct person *ann = sl_one(sl_find(person, sl_eq(person_.name, "Ann")));
    sl_edit(person, ann)->age = 45;
    struct person_list list = sl_delete_returning(sl_find(person, sl_lt(person_.age, 50)));
    assert_int_equal(list.count, 2);
    const struct person *last = named(&list, "Ann");
    assert_int_equal(last->age, 45);
    assert_int_equal(sl_lazy(person, last, photo).size, 4); /* which could not be read any more */
    assert_true(last->null.badge);
    assert_string_equal(named(&list, "Bob")->name, "Bob");
    assert_null(sl_load(person, ann->id));
    assert_string_equal(sl_follow(person, last, employer)->name, "Mill");
    assert_int_equal(sl_delete_returning(sl_find(person, sl_or())).count, 0);
    sl_edit(person, data ? ann : last);
    return NULL;
}

static void *in_transaction_delete(void *data)
{
    return sl_transact(delete_some, data);
}

TEST(deleted_objects_are_given)
{
    sl_transact(fill, NULL);
    assert_error(error_of(in_transaction_delete, ""), SL_EINVAL, "deleted");
    assert_error(error_of(in_transaction_delete, NULL), SL_EINVAL, "cannot be edited");
    assert_int_equal(sl_count(sl_find(person)), 3);
}

static void *fail_after_update(void *data)
{
    assert_int_equal(older(0).count, 3);
    sl_fail(SL_EEXIST, "no");
    return data;
}

static void *undone(void *data)
{
    (void)data;
    const struct person *ann = sl_one(sl_find(person, sl_eq(person_.name, "Ann")));
    sl_error *error = NULL;
    sl_savepoint(fail_after_update, NULL, &error);
    assert_int_equal(error->code, SL_EEXIST);
    assert_int_equal(sl_load(person, ann->id)->age, 41);
    assert_int_equal(sl_one(sl_find(person, sl_eq(person_.name, "Cyd")))->age, 50);
    return NULL;
}

TEST(a_savepoint_undoes_what_was_given)
{
    sl_transact(fill, NULL);
    sl_transact(undone, NULL);
}

static void *with_json_and_version(void *data)
{
    (void)data;
    struct page *page = sl_add(sl_new(page, .title = "a"));
    sl_save();
    int64_t before = page->version;
    struct page_list pages = sl_update_returning(sl_find(page), sl_to(page_.title, "b"));
    assert_ptr_equal(pages.items[0], page);
    assert_int_equal(page->version, before + 1);
    page->title = "c"; /* in the version that was given */
    sl_save();
    json_t *extra = json_pack("{s:i}", "a", 1);
    sl_update(sl_find(person, sl_eq(person_.name, "Bob")), sl_to(person_.extra, extra));
    json_decref(extra);
    struct person_list list = older(0);
    assert_int_equal(json_integer_value(json_object_get(named(&list, "Bob")->extra, "a")), 1);
    list = sl_delete_returning(sl_find(person));
    assert_int_equal(json_integer_value(json_object_get(named(&list, "Bob")->extra, "a")), 1);
    return NULL;
}

TEST(json_and_versions)
{
    sl_transact(fill, NULL);
    sl_transact(with_json_and_version, NULL);
    assert_string_equal(sl_some(sl_find(page))->title, "c");
}

/* Each gets the key of the next: an object is what has its key. */
static void *new_keys(void *data)
{
    const struct place *one = sl_need(place, "a");
    sl_update(sl_find(place), sl_to(place_.code, sl_concatenated(place_.code, "a")));
    assert_null(sl_load(place, "a")); /* what it was is gone */
    assert_int_equal(sl_need(place, "aa")->rank, 1);
    struct place_list list =
        sl_update_returning(sl_find(place), sl_to(place_.code, sl_concatenated(place_.code, "a")));
    assert_string_equal(list.items[0]->code, "aaa");
    assert_null(sl_load(place, "aa"));
    sl_edit(place, one)->rank = 100;
    return data;
}

static void *add_place(void *data)
{
    sl_add(sl_new(place, .code = "a", .rank = 1));
    return data;
}

static void *in_new_keys(void *data)
{
    return sl_transact(new_keys, data);
}

TEST(keys_that_change)
{
    sl_transact(add_place, NULL);
    assert_error(error_of(in_new_keys, NULL), SL_EINVAL, "deleted");
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        IN_BOTH(changed_objects_are_given), IN_BOTH(changed_by_joins_and_aliases),
        IN_BOTH(deleted_objects_are_given), IN_BOTH(a_savepoint_undoes_what_was_given),
        IN_BOTH(json_and_versions),         IN_BOTH(keys_that_change),
    };
    return world_main(argc, argv, tests, sl_array_size(tests));
}
