/* Tasks: await, try, fail, owning, fairness, cancelling. */
#include "check.h"

#include "core/task.h"

static void *return_seven(void *data)
{
    return (void *)7;
}

static void *sleep_and_return(void *data)
{
    sl_await(sl_sleep(1));
    return data;
}

static void *awaits(void *data)
{
    assert_ptr_equal(sl_await(sl_succeeded("x", NULL)), "x");
    assert_ptr_equal(sl_await(sl_spawn(return_seven, NULL)), (void *)7);
    assert_ptr_equal(sl_await(sl_spawn(sleep_and_return, (void *)9)), (void *)9);
    return (void *)1;
}

static void test_await(void **state)
{
    void *value = NULL;
    assert_int_equal(sl_run("test", awaits, NULL, &value), 0);
    assert_ptr_equal(value, (void *)1);
}

/* ---- Failing ---- */

static char order[64];

static void note(void *data)
{
    strcat(order, data);
}

static void note_cleanup(const char **name)
{
    strcat(order, *name);
}

static void deeper(int depth)
{
    __attribute__((unused)) SL_CLEANUP(note_cleanup) const char *mine = depth == 2   ? "v"
                                                                        : depth == 1 ? "w"
                                                                                     : "x";
    if (depth > 0)
        deeper(depth - 1);
    else if (depth == 0)
        sl_fail(SL_EINVAL, "no %s", "good");
}

static void *fails(void *data)
{
    sl_defer(note, "1");
    sl_defer(note, "2");
    deeper(2);
    return NULL;
}

static void *tries(void *data)
{
    sl_error *error;
    order[0] = '\0';
    assert_null(sl_try(sl_spawn(fails, NULL), &error));
    assert_non_null(error);
    assert_int_equal(error->code, SL_EINVAL);
    assert_string_equal(error->message, "no good");
    assert_string_equal(error->origin->function, "deeper");
    assert_string_equal(order, "xwv21");
    assert_true(error->hop_count >= 1);
    assert_null(sl_try(sl_succeeded(NULL, NULL), &error));
    assert_null(error);
    return NULL;
}

static void test_failure_unwinds_in_reverse_order(void **state)
{
    assert_int_equal(sl_run("test", tries, NULL, NULL), 0);
}

static void *fails_through_await(void *data)
{
    sl_await(sl_spawn(fails, NULL));
    return NULL;
}

static void test_failure_ends_the_program_with_its_code(void **state)
{
    order[0] = '\0';
    assert_int_equal(sl_run("test", fails_through_await, NULL, NULL), SL_EINVAL);
}

/* ---- What a task returns may lie in its arena ---- */

static void *makes_text(void *data)
{
    sl_await(sl_sleep(0));
    return sl_printf("made by %s", "a child");
}

static int freed;

static void count_free(void *data)
{
    freed++;
    free(data);
}

static void *returns_awaited(void *data)
{
    return sl_await(sl_succeeded(sl_strdup_heap("heap"), count_free));
}

static void *uses_results(void *data)
{
    char *text = sl_await(sl_spawn(makes_text, NULL));
    char *other = sl_await(sl_spawn(returns_awaited, NULL));
    for (int i = 0; i < 100; i++)
        sl_await(sl_spawn(makes_text, NULL));
    assert_string_equal(text, "made by a child");
    assert_string_equal(other, "heap");
    assert_int_equal(freed, 0);
    return NULL;
}

static void test_results_outlive_their_task(void **state)
{
    freed = 0;
    assert_int_equal(sl_run("test", uses_results, NULL, NULL), 0);
    assert_int_equal(freed, 1);
}

/* ---- Scratch ---- */

static void *scratches(void *data)
{
    char *kept = sl_printf("kept");
    order[0] = '\0';
    for (int i = 0; i < 3; i++)
        SL_SCRATCH()
        {
            sl_defer(note, "d");
            strcat(order, sl_printf("%d", i));
            assert_string_equal(sl_await(sl_succeeded(sl_strdup_heap("value"), count_free)), "value");
            assert_string_equal(sl_await(sl_spawn(makes_text, NULL)), "made by a child");
        }
    assert_string_equal(order, "0d1d2d");
    assert_int_equal(freed, 3);
    assert_string_equal(kept, "kept");
    SL_SCRATCH()
    {
        sl_defer(note, "!");
        sl_fail(SL_EINVAL, "out of the block");
    }
    return NULL;
}

static void test_scratch_blocks_give_back(void **state)
{
    freed = 0;
    assert_int_equal(sl_run("test", scratches, NULL, NULL), SL_EINVAL);
    assert_string_equal(order, "0d1d2d!");
}

/* ---- Many ---- */

static int sum;

static void *adds(void *data)
{
    sl_yield();
    sum += (int)(intptr_t)data;
    return NULL;
}

static void *starts_many(void *data)
{
    SL_SCOPE(all)
    {
        for (int i = 0; i < 20000; i++)
            sl_go(adds, (void *)1);
    }
    assert_int_equal(sum, 20000);
    return NULL;
}

static void test_many(void **state)
{
    sum = 0;
    assert_int_equal(sl_run("test", starts_many, NULL, NULL), 0);
}

static char turns[64];

static void *takes_turns(void *data)
{
    for (int i = 0; i < 3; i++) {
        strcat(turns, data);
        sl_yield();
    }
    return NULL;
}

static void *in_order(void *data)
{
    turns[0] = '\0';
    SL_SCOPE(all)
    {
        sl_go(takes_turns, "a");
        sl_go(takes_turns, "b");
        sl_go(takes_turns, "c");
    }
    assert_string_equal(turns, "abcabcabc");
    return NULL;
}

static void test_tasks_resume_first_in_first_out(void **state)
{
    assert_int_equal(sl_run("test", in_order, NULL, NULL), 0);
}

/* A task that always finds its results ready must still let a timer through. */
static bool stop_spinning;

static void *spins(void *data)
{
    while (!stop_spinning)
        sl_await(sl_succeeded(NULL, NULL));
    return NULL;
}

static void *stops_spinner(void *data)
{
    stop_spinning = false;
    SL_SCOPE(all)
    {
        sl_go(spins, NULL);
        sl_await(sl_sleep(2));
        stop_spinning = true;
    }
    return NULL;
}

static void test_ready_awaits_share_the_loop(void **state)
{
    assert_int_equal(sl_run("test", stops_spinner, NULL, NULL), 0);
}

/* ---- Scopes ---- */

static void *sleeps_long(void *data)
{
    sl_defer(note, data);
    sl_await(sl_sleep(60000));
    return NULL;
}

static void *fails_soon(void *data)
{
    sl_yield();
    sl_fail(SL_EPROTO, "sibling");
}

static void *family(void *data)
{
    order[0] = '\0';
    SL_SCOPE(all)
    {
        sl_go(sleeps_long, "a");
        sl_go(sleeps_long, "b");
        sl_go(fails_soon, NULL);
    }
    fail();
    return NULL;
}

static void *has_family(void *data)
{
    sl_error *error;
    sl_try(sl_spawn(family, NULL), &error);
    assert_int_equal(error->code, SL_EPROTO);
    assert_int_equal(strlen(order), 2);
    assert_int_equal(sl_task_count(sl_loop_current()), 1);
    return NULL;
}

static void test_a_failure_cancels_the_siblings(void **state)
{
    assert_int_equal(sl_run("test", has_family, NULL, NULL), 0);
}

static void *awaits_in_block(void *data)
{
    SL_SCOPE(all)
    {
        sl_go(fails_soon, NULL);
        sl_await(sl_sleep(60000)); /* ends because the child failed */
        fail();
    }
    return NULL;
}

static void *block_fails(void *data)
{
    sl_error *error;
    sl_try(sl_spawn(awaits_in_block, NULL), &error);
    assert_int_equal(error->code, SL_EPROTO);
    return NULL;
}

static void test_a_failing_child_ends_the_block(void **state)
{
    assert_int_equal(sl_run("test", block_fails, NULL, NULL), 0);
}

static int level;

static void *ignores_cancel(void *data)
{
    sl_error *error;
    for (int i = 0; i < 3; i++) {
        sl_try(sl_sleep(60000), &error);
        if (error)
            level++;
    }
    SL_SHIELD(.deadline_ms = 1000)
    {
        sl_try(sl_sleep(1), &error);
        assert_null(error); /* in a shield awaits work */
    }
    sl_try(sl_sleep(60000), &error);
    assert_non_null(error);
    return NULL;
}

static void *cancels(void *data)
{
    level = 0;
    SL_SCOPE(all)
    {
        sl_go(ignores_cancel, NULL);
        sl_yield();
        sl_scope_cancel(all);
    }
    assert_int_equal(level, 3);
    return NULL;
}

static void test_cancelling_is_level_triggered(void **state)
{
    assert_int_equal(sl_run("test", cancels, NULL, NULL), 0);
}

static void *too_slow(void *data)
{
    SL_SCOPE(all, .deadline_ms = 2)
    {
        sl_await(sl_sleep(60000));
    }
    return NULL;
}

static void *children_too_slow(void *data)
{
    SL_SCOPE(all, .deadline_ms = 2)
    {
        sl_go(sleeps_long, "");
    }
    return NULL;
}

static void *deadlines(void *data)
{
    sl_error *error;
    sl_try(sl_spawn(too_slow, NULL), &error);
    assert_int_equal(error->code, SL_ETIMEDOUT);
    sl_try(sl_spawn(children_too_slow, NULL), &error);
    assert_int_equal(error->code, SL_ETIMEDOUT);
    SL_SCOPE(all, .deadline_ms = 60000)
    {
        sl_await(sl_sleep(1));
    }
    return NULL;
}

static void test_deadlines(void **state)
{
    assert_int_equal(sl_run("test", deadlines, NULL, NULL), 0);
}

static void *forgets_children(void *data)
{
    for (int i = 0; i < 10; i++)
        sl_go(adds, (void *)1);
    return NULL;
}

static void *returning_joins(void *data)
{
    sum = 0;
    sl_await(sl_spawn(forgets_children, NULL));
    assert_int_equal(sum, 10);
    return NULL;
}

static void test_returning_waits_for_children(void **state)
{
    assert_int_equal(sl_run("test", returning_joins, NULL, NULL), 0);
}

static void *dumps(void *data)
{
    sl_buffer out = {0};
    SL_SCOPE(all)
    {
        sl_go(sleeps_long, "");
        sl_yield();
        sl_yield();
        sl_task_dump(sl_loop_current(), &out);
        sl_scope_cancel(all);
    }
    assert_non_null(strstr(out.data, " tasks\n"));
    assert_non_null(strstr(out.data, "sleeps_long: waits at sleeps_long ("));
    assert_non_null(strstr(out.data, "test: running"));
    assert_non_null(strstr(out.data, "KiB"));
    sl_buffer_done(&out);
    return NULL;
}

static void test_dump(void **state)
{
    order[0] = '\0';
    assert_int_equal(sl_run("test", dumps, NULL, NULL), 0);
}

/* Cancelling a spawned task by its deferred. */
static void *cancels_deferred(void *data)
{
    sl_error *error;
    order[0] = '\0';
    sl_deferred *d = sl_spawn(sleeps_long, "c");
    sl_yield();
    sl_cancel(d);
    sl_try(d, &error);
    assert_int_equal(error->code, SL_ECANCELED);
    d = sl_spawn(sleeps_long, "d");
    sl_yield();
    sl_deferred_unref(d); /* releasing cancels too */
    while (sl_task_count(sl_loop_current()) > 1)
        sl_yield();
    assert_string_equal(order, "cd");
    return NULL;
}

static void test_cancelling_by_the_deferred(void **state)
{
    assert_int_equal(sl_run("test", cancels_deferred, NULL, NULL), 0);
}

/* A task that has never begun leaves without having run. */
static void *floats(void *data)
{
    volatile double x = 1.5;
    for (int i = 0; i < 100; i++) {
        x = x * 1.01;
        sl_yield();
    }
    char *text = sl_printf("%.3f", x);
    assert_string_equal(text, "4.057");
    return NULL;
}

static void *many_floats(void *data)
{
    SL_SCOPE(all)
    {
        for (int i = 0; i < 10; i++)
            sl_go(floats, NULL);
    }
    return NULL;
}

static void test_floating_point_survives_switching(void **state)
{
    assert_int_equal(sl_run("test", many_floats, NULL, NULL), 0);
}

/* ---- In the background ---- */

SL_KEY(wish, SL_CAPTURED);
static int worked;
static char said[4096];

static void *works(void *data)
{
    assert_null(sl_get(&wish)); /* the caller's context is not kept alive, */
    assert_string_equal(sl_root_name(sl_root_current()), "test"); /* and its root is */
    sl_await(sl_sleep(5));
    worked++;
    if (data)
        sl_fail(SL_EIO, "it %s", "broke");
    return NULL;
}

static void *starts_work(void *data)
{
    SL_WITH(&wish, "a");
    sl_background(works, NULL);
    sl_background(works, "x");
    sl_fail(SL_EINVAL, "the one that started it ends otherwise");
}

static void keep_said(sl_logger *logger, sl_level at, const sl_site *site, const char *message, size_t size)
{
    snprintf(said + strlen(said), sizeof said - strlen(said), "%s\n", message);
}

static void *goes_on(void *data)
{
    sl_logger logger = {.name = "test", .level = SL_DEBUG, .write = keep_said};
    sl_root_set_logger(sl_root_current(), &logger);
    sl_error *error;
    sl_try(sl_spawn(starts_work, NULL), &error);
    assert_int_equal(error->code, SL_EINVAL);
    assert_int_equal(worked, 0);
    sl_try(sl_timeout(sl__background_done(sl_loop_current()), 1), &error);
    assert_int_equal(error->code, SL_ETIMEDOUT);
    sl_await(sl__background_done(sl_loop_current()));
    assert_int_equal(worked, 2);
    sl_await(sl__background_done(sl_loop_current())); /* there is none */
    assert_non_null(strstr(said, "task works failed"));
    assert_non_null(strstr(said, "it broke"));
    sl_background(works, NULL); /* the loop's end cancels it, and does not tell of it */
    sl_yield();
    sl_root_set_logger(sl_root_current(), NULL);
    return NULL;
}

static void test_background(void **state)
{
    assert_int_equal(sl_run("test", goes_on, NULL, NULL), 0);
    assert_int_equal(worked, 2);
}

/* Tasks that are started while another ends, by a link of its result and by its cleanups, outlive it. */
static int outlived;

static void *outlives(void *unused)
{
    for (int i = 0; i < 3; i++)
        sl_yield();
    outlived++;
    return NULL;
}

static sl_result start_another(sl_result result, void *unused)
{
    sl_go(outlives, NULL);
    return result;
}

static void start_one(void *unused)
{
    sl_go(outlives, NULL);
}

static void *ends(void *unused)
{
    sl_defer(start_one, NULL);
    return NULL;
}

static void *starts_while_ending(void *unused)
{
    outlived = 0;
    SL_SCOPE(scope)
    {
        sl_await(sl_then(sl_spawn(ends, NULL), start_another, NULL, NULL, NULL));
    }
    assert_int_equal(outlived, 2); /* the scope waited for them as for the one that ended */
    return NULL;
}

static void test_what_a_task_starts_while_it_ends(void **state)
{
    assert_int_equal(sl_run("test", starts_while_ending, NULL, NULL), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_await),
        cmocka_unit_test(test_failure_unwinds_in_reverse_order),
        cmocka_unit_test(test_failure_ends_the_program_with_its_code),
        cmocka_unit_test(test_results_outlive_their_task),
        cmocka_unit_test(test_scratch_blocks_give_back),
        cmocka_unit_test(test_many),
        cmocka_unit_test(test_tasks_resume_first_in_first_out),
        cmocka_unit_test(test_ready_awaits_share_the_loop),
        cmocka_unit_test(test_a_failure_cancels_the_siblings),
        cmocka_unit_test(test_a_failing_child_ends_the_block),
        cmocka_unit_test(test_cancelling_is_level_triggered),
        cmocka_unit_test(test_deadlines),
        cmocka_unit_test(test_returning_waits_for_children),
        cmocka_unit_test(test_dump),
        cmocka_unit_test(test_background),
        cmocka_unit_test(test_what_a_task_starts_while_it_ends),
        cmocka_unit_test(test_cancelling_by_the_deferred),
        cmocka_unit_test(test_floating_point_survives_switching),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
