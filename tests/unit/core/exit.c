/* Exits: what is released when, and what cleaning up may itself do. */
#include "check.h"

static char order[256];

static void note(void *data)
{
    strcat(order, data);
}

static void note_attribute(const char **name)
{
    strcat(order, *name);
}
#define NOTED __attribute__((unused)) SL_CLEANUP(note_attribute) const char *

/* Runs `main`, and fails the test unless it ends as expected. */
static void assert_run(sl_task_fn *main, int code)
{
    order[0] = '\0';
    assert_int_equal(sl_run("test", main, NULL, NULL), code);
}

/* Gives the error with which a child task ends: its code is looked at. */
static void expect_failure(sl_task_fn *fn, int code, const char *message)
{
    sl_error *error;
    assert_null(sl_try(sl_spawn(fn, NULL), &error));
    assert_non_null(error);
    assert_int_equal(error->code, code);
    if (message)
        assert_string_equal(error->message, message);
}

/* ---- Cleanups that fail ---- */

static void fail_cleanup(void *data)
{
    strcat(order, data);
    sl_fail(SL_EIO, "the cleanup %s failed", (char *)data);
}

static void fail_attribute(const char **name)
{
    strcat(order, *name);
    sl_fail(SL_EIO, "the attribute %s failed", *name);
}

static void *cleanups_fail(void *data)
{
    sl_defer(note, "1");
    sl_defer(fail_cleanup, "2");
    sl_defer(fail_cleanup, "3");
    NOTED a = "c";
    __attribute__((unused)) SL_CLEANUP(fail_attribute) const char *b = "b";
    __attribute__((unused)) SL_CLEANUP(fail_attribute) const char *c = "a";
    sl_fail(SL_EINVAL, "first");
}

static void *looks_at_failing_cleanups(void *data)
{
    expect_failure(cleanups_fail, SL_EINVAL, "first");
    assert_string_equal(order, "abc321");
    return NULL;
}

__attribute__((unused)) static void test_failing_cleanups_stop_nothing(void **state)
{
    assert_run(looks_at_failing_cleanups, 0);
}

static void *attribute_fails_at_the_end(void *data)
{
    NOTED outer = "o";
    {
        __attribute__((unused)) SL_CLEANUP(fail_attribute) const char *inner = "i";
    }
    strcat(order, "never");
    return NULL;
}

static void *looks_at_the_end(void *data)
{
    expect_failure(attribute_fails_at_the_end, SL_EIO, "the attribute i failed");
    assert_string_equal(order, "io");
    return NULL;
}

static void test_a_cleanup_that_fails_where_nothing_had_is_the_failure(void **state)
{
    assert_run(looks_at_the_end, 0);
}

static void *cleanup_fails_after_success(void *data)
{
    sl_defer(note, "1");
    sl_defer(fail_cleanup, "2");
    return (void *)5;
}

static void *looks_at_success(void *data)
{
    assert_ptr_equal(sl_await(sl_spawn(cleanup_fails_after_success, NULL)), (void *)5);
    assert_string_equal(order, "21");
    return NULL;
}

static void test_a_failing_cleanup_keeps_the_result(void **state)
{
    assert_run(looks_at_success, 0);
}

/* ---- Awaiting while cleaning up ---- */

static void await_cleanup(void *data)
{
    sl_await(sl_sleep(1));
    strcat(order, data);
}

static void await_attribute(const char **name)
{
    sl_await(sl_sleep(1));
    strcat(order, *name);
}

static void *awaits_in_cleanups(void *data)
{
    sl_defer(note, "1");
    sl_defer(await_cleanup, "2");
    NOTED a = "b";
    __attribute__((unused)) SL_CLEANUP(await_attribute) const char *b = "a";
    sl_fail(SL_EINVAL, "first");
}

static void *runs_meanwhile(void *data)
{
    for (int i = 0; i < 20; i++)
        sl_yield();
    return data;
}

static void *looks_at_awaits(void *data)
{
    SL_SCOPE(scope)
    {
        for (int i = 0; i < 10; i++)
            sl_go(runs_meanwhile, NULL);
        expect_failure(awaits_in_cleanups, SL_EINVAL, "first");
    }
    assert_string_equal(order, "ab21");
    return NULL;
}

static void test_cleanups_may_await(void **state)
{
    assert_run(looks_at_awaits, 0);
}

static void shielded_attribute(const char **name)
{
    SL_SHIELD(.deadline_ms = 10000)
    {
        sl_await(sl_sleep(1));
        strcat(order, *name);
    }
}

static void *saves(void *data)
{
    sl_await(sl_sleep(2));
    strcat(order, data);
    return NULL;
}

static void shielded_children(const char **name)
{
    SL_SHIELD(.deadline_ms = 10000)
    {
        sl_go(saves, (void *)*name);
    }
    strcat(order, "!");
}

static void *is_cancelled(void *data)
{
    sl_defer(await_cleanup, "never"); /* its await fails: that is logged */
    __attribute__((unused)) SL_CLEANUP(shielded_children) const char *a = "c";
    __attribute__((unused)) SL_CLEANUP(shielded_attribute) const char *b = "b";
    __attribute__((unused)) SL_CLEANUP(await_attribute) const char *c = "never";
    strcat(order, "a");
    sl_await(sl_sleep(100000));
    return NULL;
}

static void *cancels(void *data)
{
    sl_deferred *d = sl_deferred_ref(sl_spawn(is_cancelled, NULL));
    sl_await(sl_sleep(1));
    sl_cancel(d);
    sl_error *error;
    sl_try(d, &error);
    assert_int_equal(error->code, SL_ECANCELED);
    /* The deferred tells of it at once; the task is still cleaning up behind its shields. */
    while (sl_task_count(sl_loop_current()) > 1)
        sl_await(sl_sleep(1));
    assert_string_equal(order, "abc!");
    sl_deferred_unref(d);
    return NULL;
}

__attribute__((unused)) static void test_a_shield_lets_a_cancelled_task_clean_up(void **state)
{
    assert_run(cancels, 0);
}

/* ---- Scopes inside an exit ---- */

static void scope_in_attribute(const char **name)
{
    SL_SCOPE(scope)
    {
        sl_go(saves, (void *)*name);
        sl_await(sl_sleep(1));
    }
    strcat(order, "+");
}

static void scope_fails_in_attribute(const char **name)
{
    SL_SCOPE(scope)
    {
        sl_go(saves, "never");
        strcat(order, *name);
        sl_fail(SL_EIO, "in the scope of %s", *name);
    }
}

static void *scopes_while_exiting(void *data)
{
    NOTED last = "z";
    SL_SCOPE(outer)
    {
        __attribute__((unused)) SL_CLEANUP(scope_in_attribute) const char *b = "b";
        __attribute__((unused)) SL_CLEANUP(scope_fails_in_attribute) const char *a = "a";
        sl_fail(SL_EINVAL, "first");
    }
    return NULL;
}

static void *looks_at_scopes(void *data)
{
    expect_failure(scopes_while_exiting, SL_EINVAL, "first");
    assert_string_equal(order, "ab+z");
    return NULL;
}

__attribute__((unused)) static void test_a_scope_opened_while_exiting_waits_for_its_children(void **state)
{
    assert_run(looks_at_scopes, 0);
}

/* ---- Children and what their parent owns ---- */

typedef struct connection {
    bool open;
    bool used_after;
} connection;

static void close_connection(void *data)
{
    ((connection *)data)->open = false;
    strcat(order, "close");
}

static void *uses_connection(void *data)
{
    connection *c = data;
    sl_error *error;
    sl_try(sl_sleep(100000), &error);
    assert_int_equal(error->code, SL_ECANCELED);
    c->used_after = c->used_after || !c->open;
    strcat(order, "child ");
    return NULL;
}

static connection shared;

static void *fails_with_children(void *data)
{
    shared = (connection){.open = true};
    sl_defer(close_connection, &shared);
    sl_defer(await_cleanup, "await ");
    sl_go(uses_connection, &shared);
    sl_go(uses_connection, &shared);
    sl_await(sl_sleep(1));
    sl_fail(SL_EINVAL, "first");
}

static void *looks_at_children(void *data)
{
    expect_failure(fails_with_children, SL_EINVAL, "first");
    assert_false(shared.used_after);
    assert_string_equal(order, "child child await close");
    return NULL;
}

static void test_children_end_before_what_their_parent_owns(void **state)
{
    assert_run(looks_at_children, 0);
}

static void *child_fails(void *data)
{
    sl_await(sl_sleep(1));
    sl_fail(SL_EPROTO, "the child failed");
}

static void *body_has_failing_child(void *data)
{
    sl_go(child_fails, NULL);
    sl_await(sl_sleep(100000));
    return NULL;
}

static void *looks_at_body(void *data)
{
    expect_failure(body_has_failing_child, SL_EPROTO, "the child failed");
    return NULL;
}

static void test_the_failure_of_a_child_is_told_not_its_consequence(void **state)
{
    assert_run(looks_at_body, 0);
}

/* ---- Depth ---- */

static int released;

static void count_release(int *unused)
{
    released++;
}

static int __attribute__((noinline)) dig(int depth)
{
    __attribute__((unused)) SL_CLEANUP(count_release) int mine = depth;
    if (depth > 0)
        return dig(depth - 1) + mine;
    return sl_check(SL_ELOOP, "the bottom");
}

static void *digs(void *data)
{
    return (void *)(intptr_t)dig(500);
}

static void *digs_often(void *data)
{
    for (int i = 0; i < 50; i++)
        expect_failure(digs, SL_ELOOP, "the bottom");
    return NULL;
}

static void test_deep_exits(void **state)
{
    released = 0;
    assert_run(digs_often, 0);
    assert_int_equal(released, 50 * 501);
}

/* ---- Errors and their owners ---- */

static sl_error *kept;

static void *fails_with_given(void *data)
{
    sl_fail_error(sl_error_ref(data));
}

static void *awaits_given(void *data)
{
    return sl_await(sl_spawn(fails_with_given, data));
}

static void *keeps_error(void *data)
{
    kept = sl_error_new(SL_EPROTO, "kept");
    sl_error *error;
    sl_try(sl_spawn(awaits_given, kept), &error);
    assert_ptr_equal(error, kept);
    /* Failing, awaiting, and trying are each a hop. */
    assert_int_equal(kept->hop_count, 3);
    assert_string_equal(kept->hops[0]->function, "fails_with_given");
    assert_string_equal(kept->hops[1]->function, "awaits_given");
    assert_string_equal(kept->hops[2]->function, "keeps_error");
    return NULL;
}

static void test_an_error_passes_as_it_is(void **state)
{
    assert_run(keeps_error, 0);
    assert_int_equal(kept->references, 1);
    kept = sl_error_unref(kept);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#if !defined(__clang__) /* whose cleanups end the process when they fail while the stack is unwound */
        cmocka_unit_test(test_failing_cleanups_stop_nothing),
        cmocka_unit_test(test_a_shield_lets_a_cancelled_task_clean_up),
        cmocka_unit_test(test_a_scope_opened_while_exiting_waits_for_its_children),
#endif
        cmocka_unit_test(test_a_cleanup_that_fails_where_nothing_had_is_the_failure),
        cmocka_unit_test(test_a_failing_cleanup_keeps_the_result),
        cmocka_unit_test(test_cleanups_may_await),
        cmocka_unit_test(test_children_end_before_what_their_parent_owns),
        cmocka_unit_test(test_the_failure_of_a_child_is_told_not_its_consequence),
        cmocka_unit_test(test_deep_exits),
        cmocka_unit_test(test_an_error_passes_as_it_is),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
