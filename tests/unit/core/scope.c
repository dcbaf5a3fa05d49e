/* Scopes: deadlines in each other, shields, cancelling what has not begun, trees of tasks, and loops that end
 * early. */
#include "check.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

static unsigned begun, ended, cancelled;

static void count_ended(void *data)
{
    ended++;
}

static void *waits_long(void *data)
{
    begun++;
    sl_defer(count_ended, NULL);
    sl_error *error;
    sl_try(sl_sleep(1000000), &error);
    cancelled += error && error->code == SL_ECANCELED;
    return data;
}

static void assert_run(sl_task_fn *main, int code)
{
    begun = ended = cancelled = 0;
    assert_int_equal(sl_run("test", main, NULL, NULL), code);
}

/* ---- Deadlines ---- */

static void *inner_deadline_first(void *data)
{
    SL_SCOPE(outer, .deadline_ms = 1000000)
    {
        SL_SCOPE(inner, .deadline_ms = 1)
        {
            sl_error *error;
            sl_try(sl_sleep(1000000), &error);
            assert_int_equal(error->code, SL_ETIMEDOUT);
        }
        sl_await(sl_sleep(1)); /* the outer one goes on */
    }
    return NULL;
}

static void *outer_deadline_first(void *data)
{
    SL_SCOPE(outer, .deadline_ms = 1)
    {
        SL_SCOPE(inner, .deadline_ms = 1000000)
        {
            sl_error *error;
            sl_try(sl_sleep(1000000), &error);
            assert_int_equal(error->code, SL_ETIMEDOUT);
            /* It stays so, in each scope inside. */
            SL_SCOPE(later)
            {
                sl_try(sl_sleep(1000000), &error);
                assert_int_equal(error->code, SL_ETIMEDOUT);
            }
        }
    }
    sl_await(sl_sleep(1));
    return NULL;
}

static void *deadline_in_shield(void *data)
{
    SL_SCOPE(outer, .deadline_ms = 1)
    {
        SL_SHIELD(.deadline_ms = 1000000)
        {
            sl_await(sl_sleep(5)); /* the outer deadline does not reach in */
        }
        SL_SHIELD(.deadline_ms = 1)
        {
            sl_error *error;
            sl_try(sl_sleep(1000000), &error);
            assert_int_equal(error->code, SL_ETIMEDOUT);
        }
        sl_error *error;
        sl_try(sl_sleep(1000000), &error);
        assert_int_equal(error->code, SL_ETIMEDOUT);
    }
    return NULL;
}

static void test_deadlines_nest(void **state)
{
    assert_run(inner_deadline_first, 0);
    assert_run(outer_deadline_first, 0);
    assert_run(deadline_in_shield, 0);
}

static void *lets_deadline_pass(void *data)
{
    SL_SCOPE(outer, .deadline_ms = 1)
    {
        sl_go(waits_long, NULL);
        SL_SCOPE(inner)
        {
            sl_go(waits_long, NULL);
            sl_await(sl_sleep(1000000));
        }
    }
    return NULL;
}

static void test_a_deadline_ends_all_inside(void **state)
{
    assert_run(lets_deadline_pass, SL_ETIMEDOUT);
    assert_int_equal(begun, 2);
    assert_int_equal(ended, 2);
}

/* ---- Failing in nested scopes ---- */

static void *fails_soon(void *data)
{
    sl_await(sl_sleep(1));
    sl_fail(SL_EPROTO, "soon");
}

static void *fails_at_once(void *data)
{
    sl_fail(SL_EIO, "at once");
}

static void *inner_child_fails(void *data)
{
    SL_SCOPE(one)
    {
        sl_go(waits_long, NULL);
        SL_SCOPE(two)
        {
            sl_go(waits_long, NULL);
            SL_SCOPE(three)
            {
                sl_go(waits_long, NULL);
                sl_go(fails_soon, NULL);
            }
        }
    }
    return NULL;
}

static void *outer_child_fails(void *data)
{
    SL_SCOPE(one)
    {
        sl_go(fails_soon, NULL);
        SL_SCOPE(two)
        {
            sl_go(waits_long, NULL);
            SL_SCOPE(three)
            {
                sl_go(waits_long, NULL);
            }
        }
    }
    return NULL;
}

static void *block_fails_inside(void *data)
{
    SL_SCOPE(one)
    {
        sl_go(waits_long, NULL);
        SL_SCOPE(two)
        {
            sl_go(waits_long, NULL);
            sl_yield();
            sl_fail(SL_EPROTO, "the block");
        }
    }
    return NULL;
}

static void *two_fail(void *data)
{
    SL_SCOPE(one)
    {
        sl_go(fails_at_once, NULL);
        sl_go(fails_soon, NULL);
    }
    return NULL;
}

static void test_a_failure_goes_through_all_scopes(void **state)
{
    assert_run(inner_child_fails, SL_EPROTO);
    assert_int_equal(begun, 3);
    assert_int_equal(ended, 3);
    assert_int_equal(cancelled, 3);
    assert_run(outer_child_fails, SL_EPROTO);
    assert_int_equal(ended, 2);
    assert_int_equal(cancelled, 2);
    assert_run(block_fails_inside, SL_EPROTO);
    assert_int_equal(begun, 2);
    assert_int_equal(ended, 2);
    assert_run(two_fail, SL_EIO);
}

/* ---- What has not begun ---- */

static void *cancels_before_it_begins(void *data)
{
    sl_deferred *d = sl_spawn(waits_long, NULL);
    sl_cancel(d);
    sl_error *error;
    sl_try(d, &error);
    assert_int_equal(error->code, SL_ECANCELED);
    while (sl_task_count(sl_loop_current()) > 1)
        sl_yield();
    assert_int_equal(begun, 1); /* it runs up to its first await, which fails */
    assert_int_equal(cancelled, 1);
    sl_deferred_unref(sl_spawn(waits_long, NULL));
    while (sl_task_count(sl_loop_current()) > 1)
        sl_yield();
    assert_int_equal(cancelled, 2);
    return NULL;
}

static void *starts_in_a_cancelled_scope(void *data)
{
    SL_SCOPE(scope)
    {
        sl_scope_cancel(scope);
        sl_go(waits_long, NULL);
        SL_SCOPE(inner)
        {
            sl_go(waits_long, NULL);
        }
    }
    assert_int_equal(begun, 2);
    assert_int_equal(cancelled, 2);
    sl_await(sl_sleep(1)); /* outside it nothing is cancelled */
    return NULL;
}

static void test_cancelling_what_has_not_begun(void **state)
{
    assert_run(cancels_before_it_begins, 0);
    assert_int_equal(ended, 2);
    assert_run(starts_in_a_cancelled_scope, 0);
    assert_int_equal(ended, 2);
}

/* ---- What would not be cancelled ---- */

static sl_deferred *stubborn;
static bool dropped;

static void drop(void *data)
{
    dropped = true;
}

static void *awaits_paused(void *data)
{
    sl_error *error;
    sl_try(sl_deferred_ref(stubborn), &error);
    assert_int_equal(error->code, SL_ECANCELED);
    return NULL;
}

static void *leaves_a_paused_one(void *data)
{
    stubborn = sl_deferred_new(NULL, NULL);
    sl_deferred_pause(stubborn);
    SL_SCOPE(scope)
    {
        sl_go(awaits_paused, NULL);
        sl_await(sl_sleep(1));
        sl_scope_cancel(scope);
    }
    /* What it awaited goes on without it; the late value is dropped. */
    sl_fire(stubborn, "late", drop);
    assert_true(dropped);
    sl_deferred_resume(stubborn);
    sl_forget(stubborn);
    return NULL;
}

static void test_a_task_leaves_what_refuses(void **state)
{
    dropped = false;
    assert_run(leaves_a_paused_one, 0);
}

/* A canceller that cancels the scope around, while that is being cancelled. */
static sl_scope *around;

static sl_cancelled cancel_again(sl_deferred *deferred, void *data)
{
    sl_scope_cancel(around);
    sl_fire(deferred, "partial", NULL);
    return SL_CANCEL_DONE;
}

static void *awaits_re_entrant(void *data)
{
    assert_string_equal(sl_await(sl_deferred_new(cancel_again, NULL)), "partial"); /* a result wins */
    ended++;
    return NULL;
}

static void *cancels_re_entrantly(void *data)
{
    SL_SCOPE(scope)
    {
        around = scope;
        for (int i = 0; i < 10; i++)
            sl_go(awaits_re_entrant, NULL);
        sl_await(sl_sleep(1));
        sl_scope_cancel(scope);
    }
    return NULL;
}

static void test_cancelling_while_cancelling(void **state)
{
    assert_run(cancels_re_entrantly, 0);
    assert_int_equal(ended, 10);
}

/* ---- Trees ---- */

static sl_cancelled give_up(sl_deferred *deferred, void *data)
{
    return SL_CANCEL_DONE;
}

#define DEEP 10000

static sl_deferred *middle;

static void *grows(void *data)
{
    intptr_t depth = (intptr_t)data;
    begun++;
    sl_defer(count_ended, NULL);
    if (depth == 0)
        return sl_await(sl_deferred_ref(middle)), data;
    if (depth == DEEP / 2) {
        sl_deferred *below = sl_spawn(grows, (void *)(depth - 1));
        sl_error *error;
        sl_try(sl_deferred_ref(below), &error);
        assert_int_equal(error->code, SL_ECANCELED);
        sl_deferred_unref(below);
        cancelled++;
        return data;
    }
    sl_alloc(1);
    return sl_await(sl_spawn(grows, (void *)(depth - 1)));
}

static void *cancels_the_leaf(void *data)
{
    middle = sl_deferred_new(give_up, NULL);
    sl_deferred *root = sl_spawn(grows, (void *)DEEP);
    while (begun <= DEEP)
        sl_yield();
    assert_true(sl_task_count(sl_loop_current()) > DEEP);
    sl_buffer dump = {0};
    sl_task_dump(sl_loop_current(), &dump);
    assert_non_null(strstr(dump.data, "…"));
    sl_buffer_done(&dump);
    sl_cancel(middle); /* half of the tree fails upwards */
    assert_ptr_equal(sl_await(root), (void *)(DEEP / 2));
    sl_deferred_unref(middle);
    return NULL;
}

static void *cancels_the_root(void *data)
{
    middle = sl_deferred_new(give_up, NULL);
    sl_deferred *root = sl_spawn(grows, (void *)DEEP);
    while (begun <= DEEP)
        sl_yield();
    sl_cancel(root);
    sl_error *error;
    sl_try(root, &error);
    assert_int_equal(error->code, SL_ECANCELED);
    while (sl_task_count(sl_loop_current()) > 1)
        sl_yield();
    sl_deferred_unref(middle);
    return NULL;
}

static void test_deep_trees(void **state)
{
    assert_run(cancels_the_leaf, 0);
    assert_int_equal(ended, DEEP + 1);
    assert_int_equal(cancelled, 1);
    assert_run(cancels_the_root, 0);
    assert_int_equal(ended, DEEP + 1);
}

static void *branches(void *data)
{
    intptr_t depth = (intptr_t)data;
    begun++;
    sl_defer(count_ended, NULL);
    if (depth == 0) {
        sl_await(sl_sleep(1000000));
        return NULL;
    }
    SL_SCOPE(scope)
    {
        for (int i = 0; i < 4; i++)
            sl_go(branches, (void *)(depth - 1));
    }
    return NULL;
}

static void *cancels_a_wide_tree(void *data)
{
    SL_SCOPE(scope)
    {
        sl_go(branches, (void *)5);
        while (begun < 1365) /* 1 + 4 + 16 + … + 1024 */
            sl_yield();
        sl_scope_cancel(scope);
    }
    assert_int_equal(ended, 1365);
    return NULL;
}

static void test_wide_trees(void **state)
{
    assert_run(cancels_a_wide_tree, 0);
}

/* ---- Loops that end early ---- */

static unsigned freed, links_ran;

static void count_freed(void *data)
{
    freed++;
}

static sl_result see_cancelled(sl_result result, void *data)
{
    links_ran += result.kind == SL_FAILURE && result.error->code == SL_ECANCELED;
    sl_result_done(&result);
    return sl_ok(NULL);
}

static void stop_loop(void *data)
{
    sl_loop_stop(data);
}

static void count_call(void *data)
{
    ++*(unsigned *)data;
}

static void test_a_loop_ends_with_tasks_and_sleeps(void **state)
{
    begun = ended = cancelled = freed = links_ran = 0;
    unsigned calls = 0;
    sl_loop *loop;
    assert_int_equal(sl_loop_new(&loop), 0);
    sl_root *root = sl_root_new(loop, "test");
    for (int i = 0; i < 10; i++)
        sl_deferred_unref(
            sl_then(sl_spawn(waits_long, NULL), see_cancelled, see_cancelled, NULL, count_freed));
    sl__go(SL_HERE, "waits", waits_long, NULL);
    sl_forget(sl_then(sl_sleep(1000000), see_cancelled, see_cancelled, NULL, count_freed));
    sl_forget(sl_sleep(1000000));
    sl_forget(sl_timeout(sl_then(sl_deferred_new(give_up, NULL), NULL, NULL, NULL, count_freed), 1000000));
    sl_soon(stop_loop, loop);
    sl_loop_run(loop);
    for (int i = 0; i < 100000; i++) /* more than one slice */
        sl_soon(count_call, &calls);
    sl_loop_post(loop, count_call, &calls);
    sl_root_unref(root);
    sl_loop_free(loop);
    assert_int_equal(begun, 11);
    assert_int_equal(ended, 11);
    assert_int_equal(freed, 12);
    assert_true(links_ran >= 1);
    assert_int_equal(calls, 100001);
    assert_null(sl_loop_current());
}

static void *refuses(void *data)
{
    SL_SHIELD()
    {
        sl_await(data);
    }
    return NULL;
}

static void *ends_behind_its_shield(void *data)
{
    SL_SHIELD()
    {
        sl_await(sl_sleep(20));
    }
    ended++;
    return NULL;
}

/* In a process of its own, as what refuses is left behind. */
static void test_a_loop_ends_although_a_task_refuses(void **state)
{
    pid_t pid = fork();
    if (pid == 0) {
        alarm(60);
        ended = 0;
        sl_loop *loop;
        sl_loop_new(&loop);
        sl_root *root = sl_root_new(loop, "test");
        sl_deferred *never = sl_deferred_new(NULL, NULL);
        sl_go(refuses, sl_deferred_ref(never));
        sl_go(ends_behind_its_shield, NULL);
        sl_soon(stop_loop, loop);
        sl_loop_run(loop);
        sl_root_unref(root);
        sl_loop_free(loop);
        if (ended == 1)
            kill(getpid(), SIGKILL); /* so that no leak checker looks at what was left */
        _exit(1);
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGKILL);
}

static void *writes_to_the_closed(void *data)
{
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    close(ends[0]);
    assert_int_equal(write(ends[1], "x", 1), -1);
    close(ends[1]);
    return NULL;
}

static void test_a_closed_pipe_does_not_kill(void **state)
{
    signal(SIGPIPE, SIG_DFL);
    assert_run(writes_to_the_closed, 0);
}

static void on_pipe(int number)
{
}

static void test_a_handler_of_sigpipe_is_kept(void **state)
{
    signal(SIGPIPE, on_pipe);
    assert_run(writes_to_the_closed, 0);
    assert_ptr_equal(signal(SIGPIPE, SIG_DFL), on_pipe);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_deadlines_nest),
        cmocka_unit_test(test_a_deadline_ends_all_inside),
        cmocka_unit_test(test_a_failure_goes_through_all_scopes),
        cmocka_unit_test(test_cancelling_what_has_not_begun),
        cmocka_unit_test(test_a_task_leaves_what_refuses),
        cmocka_unit_test(test_cancelling_while_cancelling),
        cmocka_unit_test(test_deep_trees),
        cmocka_unit_test(test_wide_trees),
        cmocka_unit_test(test_a_loop_ends_with_tasks_and_sleeps),
        cmocka_unit_test(test_a_loop_ends_although_a_task_refuses),
        cmocka_unit_test(test_a_closed_pipe_does_not_kill),
        cmocka_unit_test(test_a_handler_of_sigpipe_is_kept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
