/* objects.c: objects are made, read, edited and removed, and there is one for each key. */
#include "world.h"

#include <jansson.h>

static int64_t ann_id;

static void *add_ann(void *data)
{
    (void)data;
    struct person *ann = sl_add(sl_new(person, .name = "Ann", .age = 41, .height = 1.7, .born = {1985, 2, 28},
                                       .pay = {1250, 2}, .shade = BLUE, .seen = 1234567890123456,
                                       .extra = json_pack("{s:i}", "a", 1), .photo = SL_VIEW("\0\1\2")));
    sl_defer((sl_free_fn *)json_decref, ann->extra);
    sl_save();
    ann_id = ann->id;
    assert_true(ann->id > 0);
    assert_ptr_equal(sl_load(person, ann->id), ann);
    return NULL;
}

static void *see_ann(void *data)
{
    (void)data;
    const struct person *ann = sl_load(person, ann_id);
    assert_non_null(ann);
    assert_string_equal(ann->name, "Ann");
    assert_int_equal(ann->age, 41);
    assert_true(ann->height == 1.7);
    assert_true(ann->awake);
    assert_int_equal(ann->seen, 1234567890123456);
    assert_int_equal(ann->born.year, 1985);
    assert_int_equal(ann->born.day, 28);
    assert_int_equal(ann->pay.units, 1250);
    assert_int_equal(ann->shade, BLUE);
    assert_true(ann->null.token);
    assert_true(ann->null.employer);
    assert_false(ann->null.age);
    assert_int_equal(json_integer_value(json_object_get(ann->extra, "a")), 1);
    assert_ptr_equal(sl_load(person, ann_id), ann);
    assert_null(ann->photo.data);
    sl_view photo = sl_lazy(person, ann, photo);
    assert_int_equal(photo.size, 3);
    assert_memory_equal(photo.data, "\0\1\2", 3);
    assert_null(sl_load(person, ann_id + 1));
    return NULL;
}

TEST(an_object_comes_back_as_it_was)
{
    sl_transact(add_ann, NULL);
    sl_transact(see_ann, NULL);
    /* Without a transaction it is read by itself, each time anew. */
    const struct person *one = sl_load(person, ann_id), *other = sl_load(person, ann_id);
    assert_non_null(one);
    assert_ptr_not_equal(one, other);
    assert_string_equal(other->name, "Ann");
}

static void *make_with_defaults(void *data)
{
    (void)data;
    struct person *p = sl_new(person, .name = "Bo", .age = 0);
    assert_false(p->null.age);
    assert_true(p->null.height);
    assert_true(p->awake);
    assert_int_equal(p->shade, GREEN);
    assert_true(p->null.born);
    p = sl_new(person, .name = "a, .age = 3", .badge = NULL);
    assert_true(p->null.age);
    assert_true(p->null.badge);
    assert_false(p->null.name);
    return NULL;
}

TEST(new_objects_have_defaults_and_nulls)
{
    make_with_defaults(NULL);
}

static void *edit_ann(void *data)
{
    const sl_captured *captured = sl_capture();
    const struct person *ann = sl_load(person, ann_id);
    struct person *w = sl_edit(person, ann);
    assert_ptr_equal(w, ann);
    w->age = 42;
    sl_set_null(w, height);
    sl_set(w, token, *(sl_uuid *)data);
    sl_save();
    assert_int_equal(captured->count, 2);
    assert_non_null(strstr(captured->items[1].sql, "UPDATE"));
    assert_null(strstr(captured->items[1].sql, "name"));
    w = sl_edit(person, ann); /* no change, no statement */
    w->name = "Ann";
    sl_save();
    assert_int_equal(captured->count, 2);
    return NULL;
}

static void *see_edited(void *data)
{
    const struct person *ann = sl_load(person, ann_id);
    assert_int_equal(ann->age, 42);
    assert_true(ann->null.height);
    assert_memory_equal(&ann->token, data, sizeof(sl_uuid));
    struct person *w = sl_edit(person, ann);
    sl_set(w, height, 0);
    sl_save();
    return NULL;
}

static void *see_zero(void *data)
{
    (void)data;
    const struct person *ann = sl_load(person, ann_id);
    assert_false(ann->null.height);
    sl_remove(ann);
    assert_null(sl_load(person, ann_id));
    return NULL;
}

TEST(changes_are_found_by_comparison)
{
    sl_uuid token = sl_uuid_new();
    sl_transact(add_ann, NULL);
    sl_transact(edit_ann, &token);
    sl_transact(see_edited, &token);
    sl_transact(see_zero, NULL);
    assert_null(sl_load(person, ann_id));
    assert_int_equal(sl_count(sl_find(person)), 0);
}

/* ---- What is wrong ------------------------------------------------------------------------------------- */

static void *add_wrong(void *data)
{
    (void)data;
    struct person *p = sl_new(person, .age = 3);
    p->badge = "\xff";
    sl_errors *errors = sl_validate(p);
    assert_int_equal(errors->count, 2);
    assert_string_equal(sl_error_of(errors, "name"), "is missing");
    assert_string_equal(sl_error_of(errors, "badge"), "is not UTF-8");
    assert_null(sl_error_of(errors, "age"));
    p->name = "123456789012345678901";
    sl_add(p);
    sl_save();
    return NULL;
}

static void *add_company(void *data)
{
    sl_add(sl_new(company, .name = data));
    return NULL;
}

static void *update_company(void *data)
{
    sl_update(sl_find(company), sl_to(company_.name, (const char *)data));
    return NULL;
}

static void *both_companies(void *data)
{
    add_company(data);
    add_company(data);
    return NULL;
}

static void *transact_wrong(void *data)
{
    sl_transact(add_wrong, data);
    return NULL;
}

static void *transact_company(void *data)
{
    sl_transact(add_company, data);
    return NULL;
}

static void *transact_update(void *data)
{
    sl_transact(update_company, data);
    return NULL;
}

static void *transact_both(void *data)
{
    sl_transact(both_companies, data);
    return NULL;
}

TEST(wrong_fields_are_told_by_name)
{
    const sl_error *error = error_of(transact_wrong, NULL);
    assert_error(error, SL_EINVALID, "name is too long: 20 characters at most");
    assert_non_null(strstr(error->detail, "badge is not UTF-8"));
    assert_error(error_of(transact_company, "!x"), SL_EINVALID, "may not begin with !");
    sl_transact(add_company, " trimmed");
    const struct company *c = sl_one(sl_find(company));
    assert_string_equal(c->name, "trimmed");
    assert_error(error_of(transact_update, "!y"), SL_EINVALID, "may not begin with !");
    sl_transact(update_company, " again");
    assert_string_equal(sl_one(sl_find(company))->name, "again");
    error = error_of(transact_both, "twice");
    assert_error(error, SL_EEXIST, "a new company");
    assert_non_null(strstr(error->message, "objects.c"));
    assert_non_null(strstr(error->hint, "sl_add_unless"));
    assert_int_equal(sl_count(sl_find(company)), 1);
}

static void *join_twice(void *data)
{
    (void)data;
    struct person *p = sl_add(sl_new(person, .name = "Ann"));
    struct club *c = sl_add(sl_new(club, .name = "chess"));
    sl_save();
    for (int i = 0; i < 2; i++) {
        struct membership *m = sl_add(sl_new(membership, .since = i));
        sl_link(membership, m, member, p);
        sl_link(membership, m, club, c);
        sl_save();
    }
    return NULL;
}

static void *expression_twice(void *data)
{
    (void)data;
    sl_execute(NULL, "CREATE UNIQUE INDEX lower_name ON person (lower(name))");
    for (int i = 0; i < 2; i++) {
        sl_add(sl_new(person, .name = i ? "ann" : "Ann"));
        sl_save();
    }
    return NULL;
}

static void *transact_this(void *data)
{
    return sl_transact((sl_task_fn *)data, NULL);
}

static void *refer_to_nothing(void *data)
{
    (void)data;
    sl_add(sl_new(person, .name = "Ann", .employer = 4711));
    return NULL;
}

/* Fields, which they gave, and nothing of tables, constraints and places. */
TEST(clients_are_told_which_field_there_is_already)
{
    const sl_error *error = error_of(transact_both, "twice");
    assert_int_equal(sl_error_status(error), 409);
    assert_string_equal(sl_error_told(error), "there is one with the same name already");
    error = error_of(transact_this, join_twice);
    assert_int_equal(sl_error_status(error), 409);
    assert_string_equal(sl_error_told(error), "there is one with the same member and club already");
    error = error_of(transact_this, expression_twice);
    assert_int_equal(sl_error_status(error), 409);
    assert_string_equal(sl_error_told(error), "there is one like it already");
    error = error_of(transact_this, refer_to_nothing);
    assert_int_equal(sl_error_status(error), 409);
    assert_string_equal(sl_error_told(error),
                        "what it refers to is not there, or something still refers to it");
    error = error_of(transact_wrong, NULL);
    assert_int_equal(sl_error_status(error), 422);
    assert_string_equal(sl_error_told(error), "name is too long: 20 characters at most; badge is not UTF-8");
}

static void *write_without(void *data)
{
    (void)data;
    sl_add(sl_new(company, .name = "x"));
    return NULL;
}

static void *edit_free(void *data)
{
    (void)data;
    const struct company *c = sl_one(sl_find(company));
    sl_edit(company, c);
    return NULL;
}

static void *edit_lent(void *data)
{
    (void)data;
    SL_EACH(c, sl_find(company))
    sl_edit(company, c);
    return NULL;
}

static void *transact_lent(void *data)
{
    return sl_transact(edit_lent, data);
}

TEST(nothing_is_written_without_a_transaction)
{
    sl_transact(add_company, "one");
    assert_error(error_of(write_without, NULL), SL_EINVAL, "no transaction here to write in");
    assert_error(error_of(edit_free, NULL), SL_EINVAL, "cannot be edited");
    assert_error(error_of(transact_lent, NULL), SL_EINVAL, "lent by SL_EACH");
}

/* ---- References -------------------------------------------------------------------------------------- */

static void *link_new(void *data)
{
    (void)data;
    /* The person is made first, and the company must be stored first. */
    struct person *p = sl_add(sl_new(person, .name = "Cy"));
    struct company *c = sl_new(company, .name = "Mill");
    sl_link(person, p, employer, c);
    assert_ptr_equal(sl_follow(person, p, employer), c);
    struct club *chess = sl_add(sl_new(club, .name = "Chess"));
    struct membership *m = sl_new(membership, .since = 1999);
    sl_link(membership, m, member, p);
    sl_link(membership, m, club, chess);
    sl_add(m);
    sl_save();
    assert_int_equal(p->employer, c->id);
    assert_int_equal(sl_count(sl_referring(person, employer, c)), 1);
    struct person_list members = sl_list(sl_linked(person, membership, member, club, chess));
    assert_int_equal(members.count, 1);
    assert_ptr_equal(members.items[0], p);
    assert_ptr_equal(sl_load(membership, p->id, chess->id), m);
    return NULL;
}

static void *unlink_and_remove(void *data)
{
    (void)data;
    const struct company *mill = sl_one(sl_find(company, sl_eq(company_.name, "Mill")));
    const struct person *cy = sl_one(sl_find(person, sl_eq(person_.name, "Cy")));
    assert_ptr_equal(sl_follow(person, cy, employer), mill);
    /* The company is removed first, and must go last. */
    sl_remove(mill);
    sl_link(person, sl_edit(person, cy), employer, NULL);
    sl_save();
    assert_null(sl_follow(person, cy, employer));
    return NULL;
}

static void *add_loop(void *data)
{
    (void)data;
    struct company *a = sl_add(sl_new(company, .name = "A")), *b = sl_add(sl_new(company, .name = "B"));
    sl_link(company, a, parent, b);
    sl_link(company, b, parent, a);
    sl_save();
    return NULL;
}

static void *transact_loop(void *data)
{
    return sl_transact(add_loop, data);
}

TEST(references_are_written_in_an_order_that_holds)
{
    sl_transact(link_new, NULL);
    sl_transact(unlink_and_remove, NULL);
    const sl_error *error = error_of(transact_loop, NULL);
    assert_error(error, SL_ELOOP, "refer to each other");
}

static void *add_places(void *data)
{
    (void)data;
    sl_add(sl_new(place, .code = "a", .rank = 1));
    sl_add(sl_new(place, .code = "b", .rank = 2));
    sl_add(sl_new(place, .code = "c", .rank = 3));
    return NULL;
}

static void *exchange(void *data)
{
    (void)data;
    const struct place *a = sl_load(place, "a"), *b = sl_load(place, "b"), *c = sl_load(place, "c");
    sl_edit(place, a)->rank = 2; /* each takes what the next has */
    sl_edit(place, b)->rank = 3;
    sl_edit(place, c)->rank = 1;
    sl_save();
    sl_add(sl_new(place, .code = "d", .rank = 2)); /* before the one who has it is removed */
    sl_remove(a);
    sl_save();
    return NULL;
}

TEST(unique_values_may_be_exchanged)
{
    sl_transact(add_places, NULL);
    sl_transact(exchange, NULL);
    assert_int_equal(sl_load(place, "b")->rank, 3);
    assert_int_equal(sl_load(place, "c")->rank, 1);
    assert_int_equal(sl_load(place, "d")->rank, 2);
    assert_null(sl_load(place, "a"));
}

static void *remove_employer(void *data)
{
    struct company *mill = sl_add(sl_new(company, .name = "Mill"));
    struct person *ann = sl_add(sl_new(person, .name = "Ann"));
    sl_link(person, ann, employer, mill);
    sl_save();
    sl_remove(mill);
    return data;
}

static void *transact_remove_employer(void *data)
{
    return sl_transact(remove_employer, data);
}

TEST(what_cannot_be_removed_tells_where_that_was_asked)
{
    assert_error(error_of(transact_remove_employer, NULL), SL_ECONSTRAINT, "(removed at ");
}

/* ---- Versions, expressions, upserts -------------------------------------------------------------------- */

static void *add_page(void *data)
{
    (void)data;
    struct page *p = sl_add(sl_new(page, .title = "one"));
    sl_save();
    return (void *)(intptr_t)p->id;
}

static void *steal(void *data)
{
    sl_update(sl_find(page, sl_eq(page_.id, (intptr_t)data)), sl_to(page_.title, "stolen"));
    return NULL;
}

static void *steal_elsewhere(void *data)
{
    return sl_transact(steal, data);
}

static void *edit_stale(void *data)
{
    const struct page *p = sl_load(page, (intptr_t)data);
    struct page *w = sl_edit(page, p);
    w->version--; /* as if somebody had changed it since it was read */
    ((struct page *)((sl_row *)w)->snapshot)->version--;
    w->title = "two";
    sl_save();
    return NULL;
}

static void *transact_stale(void *data)
{
    return sl_transact(edit_stale, data);
}

static void *edit_page(void *data)
{
    const struct page *p = sl_load(page, (intptr_t)data);
    sl_edit(page, p)->title = "two";
    sl_save();
    assert_int_equal(p->version, 3);
    sl_set_expression(page, p, title, sl_upper(page_.title));
    sl_save();
    assert_string_equal(p->title, "TWO");
    return NULL;
}

TEST(a_version_guards_against_lost_updates)
{
    void *id = sl_transact(add_page, NULL);
    assert_int_equal(sl_load(page, (intptr_t)id)->version, 1);
    steal_elsewhere(id);
    assert_int_equal(sl_load(page, (intptr_t)id)->version, 2);
    assert_error(error_of(transact_stale, id), SL_ECONFLICT, "somebody else has changed it");
    sl_transact(edit_page, id);
}

static void *upserts(void *data)
{
    (void)data;
    struct place *first = sl_add_unless(sl_new(place, .code = "x", .rank = 1), place_.code);
    assert_non_null(first);
    assert_int_equal(first->rank, 1);
    assert_null(sl_add_unless(sl_new(place, .code = "x", .rank = 9), place_.code));
    struct place *second = sl_put(sl_new(place, .code = "x", .rank = 7), place_.code);
    assert_ptr_equal(second, first);
    assert_int_equal(first->rank, 7);
    struct place *many[250];
    for (int i = 0; i < 250; i++)
        many[i] = sl_new(place, .code = sl_printf("m%d", i), .rank = 100 + i);
    sl_add_many(place, many, 250);
    assert_int_equal(sl_count(sl_find(place)), 251);
    return NULL;
}

static void *upsert_by_another(void *data)
{
    (void)data;
    sl_add_unless(sl_new(place, .code = "x", .rank = 1), page_.title);
    return NULL;
}

static void *transact_upsert_by_another(void *data)
{
    return sl_transact(upsert_by_another, data);
}

TEST(upserts_and_many_at_once)
{
    assert_error(error_of(transact_upsert_by_another, NULL), SL_EINVAL, "no column of it");
    sl_transact(upserts, NULL);
}

/* ---- Preloading -------------------------------------------------------------------------------------- */

static void *add_staff(void *data)
{
    (void)data;
    struct company *head = sl_add(sl_new(company, .name = "Head"));
    for (int c = 0; c < 5; c++) {
        struct company *firm = sl_add(sl_new(company, .name = sl_printf("Firm %d", c)));
        sl_link(company, firm, parent, head);
        for (int i = 0; i < 4; i++) {
            struct person *p = sl_add(sl_new(person, .name = sl_printf("P%d%d", c, i), .age = 20 + c));
            sl_link(person, p, employer, firm);
        }
    }
    return NULL;
}

static void *preload(void *data)
{
    (void)data;
    const sl_captured *captured = sl_capture();
    struct person_list all = sl_list(
        sl_find(person, sl_ascending(person_.id), sl_preload(person, employer), sl_preload(company, parent)));
    assert_int_equal(all.count, 20);
    size_t before = captured->count;
    assert_int_equal(before, 3);
    for (size_t i = 0; i < all.count; i++) {
        const struct company *firm = sl_follow(person, all.items[i], employer);
        assert_non_null(firm);
        assert_string_equal(sl_follow(company, firm, parent)->name, "Head");
    }
    assert_int_equal(captured->count, before);
    return NULL;
}

TEST(preloading_needs_one_query_for_each_level)
{
    sl_transact(add_staff, NULL);
    sl_transact(preload, NULL);
}

static void *store_large_numbers(void *data)
{
    json_t *large = json_pack("[f, f]", 1e20, 1.5);
    sl_defer((sl_free_fn *)json_decref, large);
    sl_add(sl_new(person, .name = "large", .extra = large));
    return data;
}

TEST(json_keeps_large_numbers)
{
    sl_transact(store_large_numbers, NULL);
    const struct person *p = sl_one(sl_find(person, sl_eq(person_.name, "large")));
    assert_true(json_number_value(json_array_get(p->extra, 0)) == 1e20);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        IN_BOTH(json_keeps_large_numbers),
        IN_BOTH(an_object_comes_back_as_it_was),
        IN_BOTH(new_objects_have_defaults_and_nulls),
        IN_BOTH(changes_are_found_by_comparison),
        IN_BOTH(wrong_fields_are_told_by_name),
        IN_BOTH(clients_are_told_which_field_there_is_already),
        IN_BOTH(nothing_is_written_without_a_transaction),
        IN_BOTH(references_are_written_in_an_order_that_holds),
        IN_BOTH(unique_values_may_be_exchanged),
        IN_BOTH(what_cannot_be_removed_tells_where_that_was_asked),
        IN_BOTH(a_version_guards_against_lost_updates),
        IN_BOTH(upserts_and_many_at_once),
        IN_BOTH(preloading_needs_one_query_for_each_level),
    };
    return world_main(argc, argv, tests, sl_array_size(tests));
}
