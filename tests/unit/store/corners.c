/* corners.c: what is met rarely: lent objects with JSON and lazy columns, expressions that meet versions,
 * links of what is stored at once, a flush that failed half way. */
#include "world.h"

#include <jansson.h>

/* A test whose body runs in a transaction. */
#define TRANSACTION(name)                                                                                    \
    static void *name##_inside(void *data);                                                                  \
    TEST(name)                                                                                               \
    {                                                                                                        \
        sl_transact(name##_inside, NULL);                                                                    \
    }                                                                                                        \
    static void *name##_inside(void *data)

#define NOTE(F) F(name, text) F(extra, json) F(who, row(person))
SL_RESULT(note, NOTE);

/* ---- Lent objects -------------------------------------------------------------------------------------- */

static void *add_with_extra(void *data)
{
    (void)data;
    for (int i = 0; i < 3; i++) {
        json_t *extra = json_pack("{s:i}", "a", i);
        sl_defer((sl_free_fn *)json_decref, extra);
        sl_add(
            sl_new(person, .name = sl_printf("p%d", i), .extra = extra, .photo = {"12345", (size_t)i + 1}));
    }
    return NULL;
}

/* That nothing leaks is seen by the sanitizer. */
TEST(json_of_lent_results_is_given_back)
{
    sl_transact(add_with_extra, NULL);
    int round = 0;
    SL_EACH(n, sl_select(note, person_,
                         SL_AS(.name = person_.name, .extra = person_.extra, .who = sl_whole(person_)),
                         sl_ascending(person_.name)))
    {
        assert_int_equal(json_integer_value(json_object_get(n->extra, "a")), round);
        assert_int_equal(json_integer_value(json_object_get(n->who->extra, "a")), round);
        round++;
    }
    assert_int_equal(round, 3);
}

TEST(lazy_columns_of_lent_objects_are_their_own)
{
    sl_transact(add_with_extra, NULL);
    size_t round = 0;
    SL_EACH(p, sl_find(person, sl_ascending(person_.name)))
    assert_int_equal(sl_lazy(person, p, photo).size, ++round);
    assert_int_equal(round, 3);
}

static void *rows_of_nonsense(void *data)
{
    (void)data;
    json_decref(sl_rows(sl_find(person, sl_sql("nonsense(1)"))));
    return NULL;
}

TEST(rows_that_fail_leak_nothing)
{
    assert_non_null(error_of(rows_of_nonsense, NULL));
}

/* ---- Expressions --------------------------------------------------------------------------------------- */

TRANSACTION(the_last_expression_counts)
{
    (void)data;
    struct person *p = sl_add(sl_new(person, .name = "Ann", .age = 1));
    sl_save();
    sl_set_expression(person, p, age, sl_plus(person_.age, 1));
    sl_set_expression(person, p, age, sl_plus(person_.age, 100));
    sl_save();
    assert_int_equal(p->age, 101);
    return NULL;
}

static void *append_and_save(void *page)
{
    struct page *p = page;
    sl_set_expression(page, p, title, sl_concatenated(page_.title, "!"));
    sl_save();
    return NULL;
}

TRANSACTION(expressions_raise_the_version)
{
    (void)data;
    struct page *p = sl_add(sl_new(page, .title = "a"));
    sl_save();
    append_and_save(p);
    assert_string_equal(p->title, "a!");
    assert_int_equal(p->version, 2);
    p = sl_edit(page, p);
    sl_set(p, title, "b");
    append_and_save(p);
    assert_string_equal(p->title, "b!");
    assert_int_equal(p->version, 4);
    return NULL;
}

static void *append_to_changed(void *data)
{
    (void)data;
    struct page *p = sl_add(sl_new(page, .title = "a"));
    sl_save();
    sl_execute(NULL, "UPDATE page SET version = 7");
    p->version = 1; /* as it was read before */
    p->sl__row.generation++;
    return append_and_save(p);
}

static void *conflict(void *data)
{
    return sl_transact(append_to_changed, data);
}

TEST(expressions_mind_the_version)
{
    assert_error(error_of(conflict, NULL), SL_ECONFLICT, "somebody else has changed it");
}

/* ---- What is stored at once ---------------------------------------------------------------------------- */

TRANSACTION(what_is_stored_at_once_keeps_its_links)
{
    (void)data;
    struct company *c = sl_new(company, .name = "Works");
    struct person *p = sl_new(person, .name = "Ann", .badge = "1"), *q = sl_new(person, .name = "Bob");
    sl_link(person, p, employer, c);
    const struct person *stored = sl_add_unless(p, person_.badge);
    assert_true(c->id > 0);
    assert_int_equal(stored->employer, c->id);
    struct company *other = sl_new(company, .name = "Mill");
    sl_link(person, q, employer, other);
    sl_add_many(person, &q, 1);
    assert_int_equal(sl_count(sl_referring(person, employer, other)), 1);
    return NULL;
}

TRANSACTION(others_are_not_read_anew_for_what_is_stored_at_once)
{
    (void)data;
    const struct person *p = sl_add(sl_new(person, .name = "Ann"));
    sl_put(sl_new(person, .name = "Bob", .badge = "1"), person_.badge);
    const struct person *bob = sl_put(sl_new(person, .name = "Bert", .badge = "1"), person_.badge);
    const sl_captured *seen = sl_capture();
    assert_ptr_equal(sl_load(person, p->id), p);
    assert_ptr_equal(sl_load(person, bob->id), bob);
    assert_int_equal(seen->count, 0);
    assert_string_equal(bob->name, "Bert");
    return NULL;
}

static void *try_again(void *data)
{
    struct person *ann = sl_new(person, .name = "Ann", .badge = "1", .photo = SL_VIEW("12"));
    assert_ptr_equal(sl_add_unless(ann, person_.badge), ann);
    assert_int_equal(sl_lazy(person, ann, photo).size, 2);
    ann->age = 7;
    struct person *bob = sl_new(person, .name = "Bob", .badge = "1");
    while (!sl_add_unless(bob, person_.badge))
        bob->badge = sl_printf("%s1", bob->badge);
    assert_ptr_equal(sl_load(person, bob->id), bob);
    sl_put(sl_new(person, .name = "Bert", .badge = "11"), person_.badge)->age = 8;
    assert_string_equal(bob->name, "Bert");
    assert_int_equal(bob->age, 8);
    return data;
}

TEST(what_is_stored_at_once_is_what_was_given)
{
    sl_transact(try_again, NULL);
    const struct person *ann = sl_one(sl_find(person, sl_eq(person_.badge, "1")));
    const struct person *bert = sl_one(sl_find(person, sl_eq(person_.badge, "11")));
    assert_int_equal(ann->age, 7);
    assert_string_equal(bert->name, "Bert");
    assert_int_equal(bert->age, 8);
}

static void *add_twice(void *data)
{
    sl_add(sl_new(person, .name = "Ann", .badge = "1"));
    struct person *again = sl_new(person, .name = "Ann", .badge = "1");
    assert_ptr_not_equal(sl_put(again, person_.badge), again);
    sl_add(again);
    return data;
}

static void *transact_add_twice(void *data)
{
    return sl_transact(add_twice, data);
}

TEST(what_was_put_into_another_is_nobodys)
{
    assert_error(error_of(transact_add_twice, NULL), SL_EINVAL, "cannot be added: ");
}

static void *put_and_fail(void *data)
{
    const struct person *ann = sl_put(sl_new(person, .name = "Bea", .badge = "1"), person_.badge);
    const struct person *cy = sl_add_unless(sl_new(person, .name = "Cy", .badge = "2"), person_.badge);
    assert_string_equal(ann->name, "Bea");
    assert_non_null(cy);
    sl_edit(person, ann)->age = 9;
    sl_save();
    sl_fail(SL_EFAILED, "no");
    return data;
}

TRANSACTION(what_was_put_is_undone)
{
    sl_error *error;
    sl_add_unless(sl_new(person, .name = "Ann", .badge = "1"), person_.badge);
    sl_savepoint(put_and_fail, data, &error);
    assert_non_null(error);
    const struct person *ann = sl_one(sl_find(person));
    assert_string_equal(ann->name, "Ann");
    assert_true(ann->null.age);
    return NULL;
}

static unsigned told;

static void count_told(void *object)
{
    (void)object;
    told++;
}

#define TOLD(F) F(id, integer, SL_PRIMARY_KEY) F(name, text, SL_REQUIRED, SL_UNIQUE)
SL_MODEL(told_of, TOLD, .table = "company", .flushed = count_told);

TRANSACTION(what_is_stored_at_once_is_told)
{
    (void)data;
    told = 0;
    sl_add_unless(sl_new(told_of, .name = "Works"), told_of_.name);
    assert_int_equal(told, 1);
    assert_null(sl_add_unless(sl_new(told_of, .name = "Works"), told_of_.name));
    assert_int_equal(told, 1);
    sl_put(sl_new(told_of, .name = "Works"), told_of_.name);
    assert_int_equal(told, 2);
    sl_add_many(told_of, (&(struct told_of *){sl_new(told_of, .name = "Mill")}), 1);
    sl_save();
    assert_int_equal(told, 2);
    return NULL;
}

/* ---- Preloading and bulk changes ----------------------------------------------------------------------- */

TRANSACTION(preload_begins_at_whole_objects_too)
{
    (void)data;
    for (int i = 0; i < 5; i++) {
        struct person *p = sl_add(sl_new(person, .name = "Ann"));
        sl_link(person, p, employer, sl_new(company, .name = sl_printf("c%d", i)));
    }
    sl_save();
    sl_execute(NULL, "UPDATE company SET parent = NULL"); /* what is there is read anew */
    const sl_captured *seen = sl_capture();
    struct note_list list = sl_list(sl_select(
        note, person_, SL_AS(.name = person_.name, .extra = person_.extra, .who = sl_whole(person_)),
        sl_preload(person, employer)));
    for (size_t i = 0; i < list.count; i++)
        assert_non_null(sl_follow(person, list.items[i]->who, employer));
    assert_true(list.count == 5 && seen->count <= 7);
    return NULL;
}

TRANSACTION(bulk_changes_ask_once_for_the_objects_that_are_there)
{
    (void)data;
    for (int i = 0; i < 50; i++)
        sl_add(sl_new(person, .name = "Ann", .age = i));
    struct person_list list = sl_list(sl_find(person, sl_ascending(person_.age)));
    const sl_captured *seen = sl_capture();
    sl_update(sl_find(person, sl_lt(person_.age, 25)), sl_to(person_.age, 7));
    for (size_t i = 0; i < list.count; i++)
        assert_int_equal(list.items[i]->age, i < 25 ? 7 : i);
    sl_delete(sl_find(person, sl_eq(person_.age, 7)));
    for (size_t i = 0; i < list.count; i++)
        assert_int_equal(sl_load(person, list.items[i]->id) != NULL, i >= 25);
    assert_int_equal(seen->count, 2 + 2 + 25); /* who is gone is asked for again */
    return NULL;
}

/* ---- Writing ------------------------------------------------------------------------------------------- */

static void *save(void *data)
{
    sl_save();
    return data;
}

static void *save_again(void *data)
{
    (void)data;
    sl_add(sl_new(person, .name = "Ann", .badge = "1"));
    sl_save();
    sl_add(sl_new(company, .name = "Works"));
    sl_add(sl_new(person, .name = "Bob", .badge = "1"));
    assert_error(error_of(save, NULL), SL_EEXIST, "badge");
    return save(NULL);
}

static void *fail_twice(void *data)
{
    return sl_transact(save_again, data);
}

TEST(a_flush_that_failed_half_way_is_not_begun_anew)
{
    assert_non_null(error_of(fail_twice, NULL));
}

/* Two tasks in one transaction: the second changes what the first is writing. */
static struct person *shared;

static void *edit_shared(void *data)
{
    (void)data;
    sl_yield();
    shared = sl_edit(person, shared);
    shared->age = 77;
    return NULL;
}

static void *remove_shared(void *data)
{
    (void)data;
    sl_yield();
    sl_remove(shared);
    return NULL;
}

static void save_beside(sl_task_fn *fn)
{
    shared = sl_add(sl_new(person, .name = "Ann", .age = 1));
    sl_save();
    shared = sl_edit(person, shared);
    shared->age = 5;
    sl_deferred *saved = sl_spawn(save, NULL), *changed = sl_spawn(fn, NULL);
    sl_await(changed);
    sl_await(saved);
}

TRANSACTION(what_changes_while_it_is_written_is_written_again)
{
    (void)data;
    save_beside(edit_shared);
    assert_int_equal(sl_count(sl_find(person, sl_eq(person_.age, 77))), 1);
    save_beside(remove_shared);
    assert_int_equal(sl_count(sl_find(person)), 1);
    return NULL;
}

static void *add_born(void *data)
{
    sl_add(sl_new(person, .name = "Ann", .born = *(sl_date *)data));
    return save(NULL);
}

static void *transact_born(void *data)
{
    return sl_transact(add_born, data);
}

TEST(what_is_no_day_is_not_stored)
{
    assert_error(error_of(transact_born, &(sl_date){2026, 2, 30}), SL_EINVALID, "is no date");
    assert_error(error_of(transact_born, &(sl_date){10000, 1, 1}), SL_EINVALID, "is no date");
    assert_null(error_of(transact_born, &(sl_date){2024, 2, 29}));
}

TRANSACTION(a_default_gives_way_to_null)
{
    (void)data;
    struct person *p = sl_add(sl_new(person, .name = "Ann", .null.awake = 1, .null.age = 1));
    sl_save();
    assert_true(p->null.awake && p->null.age);
    assert_int_equal(sl_count(sl_find(person, sl_is_null(person_.awake))), 1);
    return NULL;
}

/* ---- What the database does by itself ------------------------------------------------------------------ */

#define NAMED(F) F(name, text, SL_PRIMARY_KEY) F(rank, integer)
SL_MODEL(named, NAMED);

TRANSACTION(a_key_that_the_database_takes_for_the_same_is_one_object)
{
    sl_execute(NULL, "CREATE TABLE named (name TEXT PRIMARY KEY COLLATE NOCASE, rank INTEGER)");
    sl_execute(NULL, "INSERT INTO named VALUES ('Ann', 1)");
    const struct named *ann = sl_load(named, "Ann");
    assert_ptr_equal(sl_load(named, "ANN"), ann);
    sl_edit(named, ann)->rank = 2;
    assert_int_equal(sl_load(named, "ann")->rank, 2);
    return data;
}

static const struct membership *seen_in_hook;
static int64_t member_removed;
static sl_uuid chess_club;

static void look_for_the_member(void *object)
{
    (void)object;
    seen_in_hook = sl_load(membership, member_removed, chess_club);
}

#define LOOKER(F) F(id, integer, SL_PRIMARY_KEY) F(name, text)
SL_MODEL(looker, LOOKER, .table = "company", .flushed = look_for_the_member);

TRANSACTION(a_hook_sees_what_the_database_has_deleted)
{
    struct club *chess = sl_add(sl_new(club, .name = "Chess"));
    struct person *ann = sl_add(sl_new(person, .name = "Ann"));
    struct membership *m = sl_new(membership);
    sl_link(membership, m, member, ann);
    sl_link(membership, m, club, chess);
    sl_add(m);
    sl_save();
    chess_club = chess->id;
    member_removed = ann->id;
    sl_remove(ann); /* and with her the membership */
    sl_add(sl_new(looker, .name = "L"));
    seen_in_hook = m;
    sl_save();
    assert_null(seen_in_hook);
    return data;
}

/* ---- What is not there --------------------------------------------------------------------------------- */

static void *edit_nothing(__attribute__((unused)) void *data)
{
    return sl__edit(SL_HERE, NULL);
}

static void *remove_nothing(__attribute__((unused)) void *data)
{
    sl__remove(SL_HERE, NULL);
    return NULL;
}

TRANSACTION(null_is_no_object)
{
    (void)data;
    assert_error(error_of(edit_nothing, NULL), SL_EINVAL, "NULL cannot be edited");
    assert_error(error_of(remove_nothing, NULL), SL_EINVAL, "NULL cannot be removed");
    return NULL;
}

#define NOWHERE(F) F(id, integer, SL_PRIMARY_KEY) F(name, text)
SL_MODEL(nowhere, NOWHERE);

static void *find_nowhere(__attribute__((unused)) void *data)
{
    return (void *)(intptr_t)sl_count(sl_find(nowhere));
}

static void *put_by_no_index(__attribute__((unused)) void *data)
{
    return sl_put(sl_new(person, .name = "Ann"), person_.age);
}

static void *employ_nowhere(__attribute__((unused)) void *data)
{
    sl_add(sl_new(person, .name = "Ann", .employer = 99));
    sl_save();
    return NULL;
}

static void check_hint(sl_task_fn *fn, int code, const char *hint)
{
    const sl_error *error = error_of(fn, NULL);
    assert_non_null(error);
    assert_int_equal(error->code, code);
    assert_non_null(error->hint);
    assert_non_null(strstr(error->hint, hint));
}

static void *transact_nowhere(void *data)
{
    return sl_transact(find_nowhere, data);
}

static void *transact_put(void *data)
{
    return sl_transact(put_by_no_index, data);
}

static void *transact_employ(void *data)
{
    return sl_transact(employ_nowhere, data);
}

TEST(what_the_database_refuses_says_what_to_do)
{
    check_hint(transact_nowhere, SL_EDATABASE, "sl_models");
    check_hint(transact_put, SL_EDATABASE, "SL_TOGETHER");
    check_hint(transact_employ, SL_ECONSTRAINT, "look for what is referred to before");
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        IN_BOTH(json_of_lent_results_is_given_back),
        IN_BOTH(lazy_columns_of_lent_objects_are_their_own),
        IN_BOTH(rows_that_fail_leak_nothing),
        IN_BOTH(the_last_expression_counts),
        IN_BOTH(expressions_raise_the_version),
        IN_BOTH(expressions_mind_the_version),
        IN_BOTH(what_is_stored_at_once_keeps_its_links),
        IN_BOTH(what_is_stored_at_once_is_what_was_given),
        IN_BOTH(what_was_put_into_another_is_nobodys),
        IN_BOTH(what_was_put_is_undone),
        IN_BOTH(what_is_stored_at_once_is_told),
        IN_BOTH(others_are_not_read_anew_for_what_is_stored_at_once),
        IN_BOTH(preload_begins_at_whole_objects_too),
        IN_BOTH(bulk_changes_ask_once_for_the_objects_that_are_there),
        IN_BOTH(a_flush_that_failed_half_way_is_not_begun_anew),
        IN_BOTH(what_changes_while_it_is_written_is_written_again),
        IN_BOTH(what_is_no_day_is_not_stored),
        IN_BOTH(a_default_gives_way_to_null),
        IN_SQLITE(a_key_that_the_database_takes_for_the_same_is_one_object),
        IN_BOTH(a_hook_sees_what_the_database_has_deleted),
        IN_BOTH(null_is_no_object),
        IN_BOTH(what_the_database_refuses_says_what_to_do),
    };
    return world_main(argc, argv, tests, sl_array_size(tests));
}
