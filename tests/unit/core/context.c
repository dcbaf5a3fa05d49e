/* Context: three kinds of key, blocks, capture, and two roots in one process. */
#include "check.h"

static SL_KEY(user, SL_CAPTURED);
static SL_KEY(role, SL_CAPTURED);
static SL_KEY(configuration, SL_ROOTED);
static SL_KEY(mine, SL_TASK_LOCAL);

static int references;

static void *ref_counted(void *value)
{
    references++;
    return value;
}

static void unref_counted(void *value)
{
    references--;
}

static void show_counted(void *value, sl_buffer *out)
{
    sl_buffer_printf(out, "<%s>", (const char *)value);
}

static SL_KEY(counted, SL_CAPTURED, .ref = ref_counted, .unref = unref_counted, .show = show_counted);

static void *returns_user(void *data)
{
    return sl_get(&user);
}

static void *returns_mine(void *data)
{
    return sl_get(&mine);
}

static void *fails_inside(void *data)
{
    SL_WITH(&user, "inner");
    SL_WITH(&mine, "inner");
    sl_fail(SL_EINVAL, "out of here");
}

static void *blocks(void *data)
{
    assert_null(sl_get(&user));
    {
        SL_WITH(&user, "ada");
        SL_WITH(&role, "author");
        assert_string_equal(sl_get(&user), "ada");
        {
            SL_WITH(&user, "bob");
            assert_string_equal(sl_get(&user), "bob");
            assert_string_equal(sl_get(&role), "author");
        }
        assert_string_equal(sl_get(&user), "ada");
        assert_string_equal(sl_await(sl_spawn(returns_user, NULL)), "ada");
    }
    assert_null(sl_get(&user));
    return NULL;
}

static void test_blocks_and_tasks(void **state)
{
    assert_int_equal(sl_run("test", blocks, NULL, NULL), 0);
}

static void *locals(void *data)
{
    SL_WITH(&mine, "parent");
    assert_string_equal(sl_get(&mine), "parent");
    assert_null(sl_await(sl_spawn(returns_mine, NULL)));
    return NULL;
}

static void test_task_local_is_not_inherited(void **state)
{
    assert_int_equal(sl_run("test", locals, NULL, NULL), 0);
}

static void *failing_restores(void *data)
{
    SL_WITH(&user, "outer");
    sl_error *error;
    sl_try(sl_spawn(fails_inside, NULL), &error);
    assert_non_null(error);
    assert_string_equal(sl_get(&user), "outer");
    return NULL;
}

static void test_an_exit_leaves_the_blocks(void **state)
{
    assert_int_equal(sl_run("test", failing_restores, NULL, NULL), 0);
}

static void expect_user(void *data)
{
    assert_string_equal(sl_get(&user), data);
    assert_non_null(sl_get(&counted));
}

static void *callbacks(void *data)
{
    {
        SL_WITH(&user, "ada");
        SL_WITH(&counted, "value");
        sl_soon(expect_user, "ada");
    }
    assert_int_equal(references, 1); /* what was captured keeps it */
    sl_await(sl_sleep(1));
    assert_int_equal(references, 0);
    return NULL;
}

static void test_capture_keeps_values(void **state)
{
    references = 0;
    assert_int_equal(sl_run("test", callbacks, NULL, NULL), 0);
}

static void *captures(void *data)
{
    sl_context *captured;
    {
        SL_WITH(&counted, "kept");
        captured = sl_context_capture();
    }
    assert_null(sl_get(&counted));
    {
        SL_IN_CONTEXT(captured);
        assert_string_equal(sl_get(&counted), "kept");
        sl_buffer out = {0};
        sl_context_dump(&out);
        assert_string_equal(out.data, "root: test\ncounted: <kept>\n");
        sl_buffer_done(&out);
    }
    sl_context_release(captured);
    assert_int_equal(references, 0);
    return NULL;
}

static void test_captured_by_hand(void **state)
{
    references = 0;
    assert_int_equal(sl_run("test", captures, NULL, NULL), 0);
}

/* ---- Roots ---- */

static void keep(sl_logger *logger, sl_level level, const sl_site *site, const char *message, size_t size)
{
    strcat((char *)logger->name, message);
}

static void *returns_configuration(void *data)
{
    sl_await(sl_sleep(1));
    sl_info("%s", (char *)data);
    return sl_get(&configuration);
}

static void *two_roots(void *data)
{
    char log_a[64] = "", log_b[64] = "";
    sl_logger logger_a = {.name = log_a, .write = keep}, logger_b = {.name = log_b, .write = keep};
    sl_root *a = sl_root_new(sl_loop_current(), "a"), *b = sl_root_new(sl_loop_current(), "b");
    sl_root_set(a, &configuration, "of a");
    sl_root_set(b, &configuration, "of b");
    sl_root_set_logger(a, &logger_a);
    sl_root_set_logger(b, &logger_b);
    sl_deferred *in_a, *in_b;
    {
        SL_IN_ROOT(a);
        in_a = sl_spawn(returns_configuration, "x");
        assert_ptr_equal(sl_root_current(), a);
        sl_channel("news");
    }
    {
        SL_IN_ROOT(b);
        in_b = sl_spawn(returns_configuration, "y");
        sl_root_set(b, &configuration, "changed"); /* for all of b, also what runs already */
    }
    assert_string_equal(sl_await(in_a), "of a");
    assert_string_equal(sl_await(in_b), "changed");
    assert_null(sl_get(&configuration));
    assert_string_equal(log_a, "x");
    assert_string_equal(log_b, "y");
    assert_ptr_not_equal(sl_channel_get(a, "news"), sl_channel_get(b, "news"));
    sl_root_unref(a);
    sl_root_unref(b);
    return NULL;
}

static void test_two_roots_do_not_see_each_other(void **state)
{
    assert_int_equal(sl_run("test", two_roots, NULL, NULL), 0);
}

static void *leaves_a_root(void *data)
{
    *(sl_root **)data = sl_root_new(sl_loop_current(), "left");
    return NULL;
}

static void test_a_root_outlives_its_loop(void **state)
{
    sl_root *left = NULL;
    assert_int_equal(sl_run("test", leaves_a_root, &left, NULL), 0);
    assert_string_equal(sl_root_name(left), "left");
    assert_null(sl_root_unref(left));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_blocks_and_tasks),
        cmocka_unit_test(test_task_local_is_not_inherited),
        cmocka_unit_test(test_an_exit_leaves_the_blocks),
        cmocka_unit_test(test_capture_keeps_values),
        cmocka_unit_test(test_captured_by_hand),
        cmocka_unit_test(test_two_roots_do_not_see_each_other),
        cmocka_unit_test(test_a_root_outlives_its_loop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
