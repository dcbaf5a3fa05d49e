/* insert_rows.c: many new objects are written by few statements, and all is as if they had gone one by one.
 */
#include "world.h"

#define NUMBER(F) F(id, integer, SL_PRIMARY_KEY)
SL_MODEL(number, NUMBER);

enum { MANY = 200 };

static void *add_pages(void *data)
{
    struct page *pages[MANY];
    const sl_captured *captured = sl_capture();
    for (int i = 0; i < MANY; i++)
        pages[i] = sl_add(sl_new(page, .title = sl_printf("page %d", i)));
    sl_save();
    if (*(const bool *)data)
        assert_true(captured->count <= 10);
    for (int i = 0; i < MANY; i++) {
        assert_int_equal(pages[i]->id, pages[0]->id + i);
        assert_false(pages[i]->null.id);
        assert_ptr_equal(sl_load(page, pages[i]->id), pages[i]);
    }
    return (void *)(uintptr_t)pages[0]->id;
}

static void assert_pages(int64_t first)
{
    int64_t count = 0;
    SL_EACH(p, sl_find(page, sl_ascending(page_.id)))
    {
        assert_int_equal(p->id, first + count);
        assert_string_equal(p->title, sl_printf("page %d", (int)count));
        assert_int_equal(p->version, 1);
        count++;
    }
    assert_int_equal(count, MANY);
}

static bool in_sqlite(void)
{
    return strcmp(sl_store_name(sl_store_open(NULL)), "sqlite") == 0;
}

TEST(many_go_by_few_statements)
{
    bool few = in_sqlite();
    int64_t first = (int64_t)(uintptr_t)sl_transact(add_pages, &few);
    assert_pages(first);
}

static void *remove_pages(void *data)
{
    (void)data;
    sl_delete(sl_find(page));
    return NULL;
}

TEST(no_key_is_given_twice)
{
    bool few = in_sqlite();
    int64_t first = (int64_t)(uintptr_t)sl_transact(add_pages, &few);
    sl_transact(remove_pages, NULL);
    int64_t next = (int64_t)(uintptr_t)sl_transact(add_pages, &few);
    assert_int_equal(next, first + MANY);
    assert_pages(next);
}

/* ---- What is in the way -------------------------------------------------------------------------------- */

static void *add_places(void *data)
{
    const int *twice = data;
    for (int i = 0; i < MANY; i++)
        sl_add(sl_new(place, .code = sl_printf("place %d", i), .rank = i == *twice ? 3 : i));
    sl_save();
    return NULL;
}

static void *transact_places(void *data)
{
    return sl_transact(add_places, data);
}

TEST(the_one_that_cannot_be_stored_is_named)
{
    int twice = 150;
    assert_error(error_of(add_places, &twice), SL_EINVAL, "no transaction");
    assert_error(error_of(transact_places, &twice), SL_EEXIST, "place place 150 (made at ");
    assert_int_equal(sl_count(sl_find(place)), 0);
    twice = 3;
    sl_transact(add_places, &twice);
    assert_int_equal(sl_count(sl_find(place)), MANY);
}

static void *add_shadowed(void *data)
{
    struct page *pages[20];
    (void)data;
    sl_execute(NULL, "CREATE TRIGGER shadow AFTER INSERT ON page WHEN new.title <> 'shadow' "
                     "BEGIN INSERT INTO page (title, version) VALUES ('shadow', 1); END");
    for (int i = 0; i < 20; i++)
        pages[i] = sl_add(sl_new(page, .title = sl_printf("page %d", i)));
    sl_save();
    int64_t *keys = sl_alloc(20 * sizeof *keys);
    for (int i = 0; i < 20; i++)
        keys[i] = pages[i]->id;
    return keys;
}

/* A trigger takes the numbers that would follow. */
static void *shadowed(void *data)
{
    (void)data;
    int64_t *keys = sl_transact(add_shadowed, NULL);
    for (int i = 0; i < 20; i++)
        assert_string_equal(sl_load(page, keys[i])->title, sl_printf("page %d", i));
    assert_int_equal(sl_count(sl_find(page)), 40);
    return NULL;
}

static void keys_are_right_where_a_trigger_takes_some(void **state)
{
    (void)state;
    assert_int_equal(world_run("sqlite", shadowed), 0);
}

static void *add_mixed(void *data)
{
    (void)data;
    struct page *pages[40];
    for (int i = 0; i < 40; i++) {
        pages[i] = sl_new(page, .title = sl_printf("page %d", i));
        if (i % 10 >= 7)
            pages[i]->id = 1000 + i;
        sl_add(pages[i]);
    }
    sl_save();
    for (int i = 0; i < 40; i++) {
        assert_int_equal(i % 10 >= 7 ? 1000 + i : pages[i]->id, pages[i]->id);
        assert_ptr_equal(sl_load(page, pages[i]->id), pages[i]);
    }
    return NULL;
}

TEST(some_bring_their_keys)
{
    sl_transact(add_mixed, NULL);
    assert_int_equal(sl_count(sl_find(page)), 40);
    SL_EACH(p, sl_find(page, sl_gt(page_.id, 1000), sl_eq(page_.title, "page 27")))
    {
        assert_int_equal(p->id, 1027);
    }
}

/* ---- sl_add_many --------------------------------------------------------------------------------------- */

static void *add_numbers(void *data)
{
    (void)data;
    struct number *numbers[77];
    for (int i = 0; i < 77; i++)
        numbers[i] = sl_new(number);
    sl_add_many(number, numbers, 77);
    return NULL;
}

static void *keyless(void *data)
{
    (void)data;
    sl_models(number_model);
    sl_execute(NULL, "CREATE TABLE number (id INTEGER PRIMARY KEY)");
    return add_numbers(NULL);
}

static void *numbers(void *data)
{
    (void)data;
    sl_transact(keyless, NULL);
    assert_int_equal(sl_count(sl_find(number)), 77);
    return NULL;
}

static void a_table_of_keys_alone(void **state)
{
    (void)state;
    assert_int_equal(world_run("sqlite", numbers), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_BOTH(many_go_by_few_statements),
        IN_BOTH(no_key_is_given_twice),
        IN_BOTH(the_one_that_cannot_be_stored_is_named),
        cmocka_unit_test(keys_are_right_where_a_trigger_takes_some),
        IN_BOTH(some_bring_their_keys),
        cmocka_unit_test(a_table_of_keys_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
