/* Tables: order, collisions, gaps, removal while walking, and values that change the table as they go. */
#include "check.h"

static const char *key_of(int n)
{
    static char key[16];
    snprintf(key, sizeof key, "key %d", n);
    return key;
}

static void *value_of(int n)
{
    return (void *)(intptr_t)(n + 1);
}

static void test_many_keys_in_order(void **state)
{
    enum { MANY = 100000 };
    sl_table *table = sl_table_new(NULL);
    assert_null(sl_table_get(table, "nothing"));
    assert_false(sl_table_remove(table, "nothing"));
    for (int i = 0; i < MANY; i++)
        sl_table_set(table, key_of(i), value_of(i));
    for (int i = 0; i < MANY; i += 2)
        assert_true(sl_table_remove(table, key_of(i)));
    assert_int_equal(sl_table_size(table), MANY / 2);
    for (int i = 0; i < MANY; i++) {
        assert_ptr_equal(sl_table_get(table, key_of(i)), i % 2 ? value_of(i) : NULL);
        assert_int_equal(i % 2 == 0 && sl_table_remove(table, key_of(i)), false);
    }
    for (int i = 0; i < MANY; i += 2) /* what comes again comes last */
        sl_table_set(table, key_of(i), value_of(i));
    size_t cursor = 0;
    const char *key;
    void *value;
    for (int i = 1; i < 2 * MANY; i += 2) {
        int expected = i < MANY ? i : i - MANY - 1;
        assert_true(sl_table_next(table, &cursor, &key, &value));
        assert_string_equal(key, key_of(expected));
        assert_ptr_equal(value, value_of(expected));
    }
    assert_false(sl_table_next(table, &cursor, &key, &value));
    assert_null(sl_table_free(table));
    assert_null(sl_table_free(NULL));
}

static void test_coming_and_going_stays_small(void **state)
{
    sl_table *table = sl_table_new(NULL);
    for (int i = 0; i < 200000; i++) { /* gaps everywhere: each look-up must still end */
        sl_table_set(table, key_of(i), value_of(i));
        if (i >= 3)
            assert_true(sl_table_remove(table, key_of(i - 3)));
        assert_null(sl_table_get(table, "nothing"));
    }
    assert_int_equal(sl_table_size(table), 3);
    sl_table_free(table);
}

static void test_removal_while_walking(void **state)
{
    for (int keep = 1; keep < 4; keep++) {
        sl_table *table = sl_table_new(NULL);
        for (int i = 0; i < 1000; i++)
            sl_table_set(table, key_of(i), value_of(i));
        size_t cursor = 0, seen = 0;
        const char *key;
        void *value;
        while (sl_table_next(table, &cursor, &key, &value))
            if (seen++ % 3 != (size_t)keep % 3)
                assert_true(sl_table_remove(table, key)); /* by the table's own copy of the key */
        assert_int_equal(seen, 1000);
        cursor = seen = 0;
        while (sl_table_next(table, &cursor, &key, &value))
            seen++;
        assert_int_equal(seen, sl_table_size(table));
        assert_in_range(seen, 333, 334);
        sl_table_free(table);
    }
}

static int freed;

static void count_free(void *value)
{
    freed++;
    free(value);
}

static void test_values_are_freed_once(void **state)
{
    freed = 0;
    sl_table *table = sl_table_new(count_free);
    void *value = sl_malloc(1);
    sl_table_set(table, "a", value);
    sl_table_set(table, "a", value); /* the same again is kept */
    assert_int_equal(freed, 0);
    sl_table_set(table, "a", sl_malloc(1));
    assert_int_equal(freed, 1);
    sl_table_remove(table, "a");
    assert_int_equal(freed, 2);
    sl_table_set(table, "a", sl_malloc(1));
    sl_table_set(table, "", sl_malloc(1));
    assert_non_null(sl_table_get(table, ""));
    sl_table_free(table);
    assert_int_equal(freed, 4);
}

static sl_table *changing;

static void changes_table(void *value)
{
    freed++;
    if (freed > 1)
        return;
    assert_null(sl_table_get(changing, "a")); /* it is gone already */
    assert_false(sl_table_remove(changing, "a"));
    for (int i = 0; i < 100; i++)
        sl_table_set(changing, key_of(i), value_of(i));
}

static void test_a_value_that_changes_the_table(void **state)
{
    freed = 0;
    changing = sl_table_new(changes_table);
    sl_table_set(changing, "a", value_of(1));
    sl_table_set(changing, "b", value_of(2));
    assert_true(sl_table_remove(changing, "a"));
    assert_int_equal(sl_table_size(changing), 101);
    assert_ptr_equal(sl_table_get(changing, "b"), value_of(2));
    sl_table_free(changing);
    assert_int_equal(freed, 102);
}

static void test_keys_of_every_length(void **state)
{
    sl_table *table = sl_table_new(NULL);
    char key[300];
    memset(key, 'k', sizeof key);
    for (int size = 0; size < 299; size++) { /* each differs from the others by its length alone */
        key[size] = '\0';
        sl_table_set(table, key, value_of(size));
        key[size] = 'k';
    }
    for (int size = 0; size < 299; size++) {
        key[size] = '\0';
        assert_ptr_equal(sl_table_get(table, key), value_of(size));
        key[size] = 'k';
    }
    sl_table_free(table);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_many_keys_in_order),
        cmocka_unit_test(test_coming_and_going_stays_small),
        cmocka_unit_test(test_removal_while_walking),
        cmocka_unit_test(test_values_are_freed_once),
        cmocka_unit_test(test_a_value_that_changes_the_table),
        cmocka_unit_test(test_keys_of_every_length),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
