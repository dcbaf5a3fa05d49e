/* Random programs: tasks that start, await, cancel, nest scopes and chain deferreds in every mixture, from
 * seeds. Whatever they do, each cleanup runs once, each value is freed once, no task is left, and (under the
 * sanitizers and valgrind) nothing leaks. */
#include "check.h"

#define SEEDS 12
#define STEPS 4000 /* of all tasks of a program together */
#define DEEPEST 6

typedef struct counts {
    long cleanups_made, cleanups_run;
    long values_made, values_freed;
    long links_made, links_freed;
    long begun, ended;
} counts;

static counts count;
static uint64_t seed;
static int steps_left;

static unsigned pick(unsigned below)
{
    /* xorshift64* (Vigna 2016) */
    seed ^= seed >> 12;
    seed ^= seed << 25;
    seed ^= seed >> 27;
    return (unsigned)((seed * 2685821657736338717u) >> 40) % below;
}

/* ---- What is counted ---- */

typedef struct mark {
    int times;
} mark;

static void run_cleanup(void *data)
{
    assert_int_equal(++((mark *)data)->times, 1);
    count.cleanups_run++;
    if (pick(8) == 0)
        sl_await(sl_sleep(0)); /* may fail, if the task was cancelled */
    if (pick(16) == 0)
        sl_fail(SL_EIO, "a cleanup failed");
    SL_SHIELD(.deadline_ms = 100000)
    {
        if (pick(8) == 0)
            sl_await(sl_sleep(0));
    }
}

static void run_attribute(mark *m)
{
    assert_int_equal(++m->times, 1);
    count.cleanups_run++;
    if (pick(16))
        return;
#if defined(__clang__) /* its cleanups must not fail while the stack is unwound */
    sl_error *error;
    sl_try(sl_sleep(0), &error);
#else
    sl_await(sl_sleep(0));
#endif
}

static void free_value(void *value)
{
    count.values_freed++;
    free(value);
}

static void *new_value(void)
{
    count.values_made++;
    return sl_malloc(8);
}

static void free_link_data(void *data)
{
    count.links_freed++;
    free(data);
}

/* ---- Deferreds of all kinds ---- */

static sl_deferred *some_deferred(int depth);
static void *program(void *data);

static sl_result some_link(sl_result result, void *data)
{
    switch (pick(6)) {
    case 0:
        sl_result_done(&result);
        return sl_failed(sl_error_new(SL_EPROTO, "a link failed"));
    case 1:
        sl_result_done(&result);
        return sl_owned(new_value(), free_value);
    case 2:
        sl_result_done(&result);
        return sl_later(sl_sleep(pick(3)));
    default:
        return result;
    }
}

static sl_cancelled some_canceller(sl_deferred *deferred, void *data)
{
    if (pick(2))
        sl_fire(deferred, new_value(), free_value);
    return SL_CANCEL_DONE;
}

static void fire_later(void *data)
{
    sl_deferred *deferred = data;
    if (pick(4))
        sl_fire(deferred, new_value(), free_value);
    else if (pick(2))
        sl_fire_error(deferred, sl_error_new(SL_EPROTO, "fired with an error"));
    else
        sl_abandon(deferred);
}

static sl_deferred *combine(int depth)
{
    sl_deferred *inputs[3];
    size_t n = pick(4);
    for (size_t i = 0; i < n; i++)
        inputs[i] = some_deferred(depth + 1);
    switch (pick(3)) {
    case 0:
        return sl_all(inputs, n);
    case 1:
        return sl_any(inputs, n);
    default:
        return sl_settled(inputs, n);
    }
}

static sl_deferred *plain_deferred(int depth)
{
    switch (pick(depth < DEEPEST ? 9 : 6)) {
    case 0:
        return sl_succeeded(new_value(), free_value);
    case 1:
        return sl_failing(sl_error_new(SL_EPROTO, "failed from the start"));
    case 2:
        return sl_sleep(pick(3));
    case 3: {
        sl_deferred *d = sl_deferred_new(NULL, NULL); /* its canceller is LATE: it is always fired */
        sl_soon(fire_later, d);
        return d;
    }
    case 4:
        return sl_deferred_new(some_canceller, NULL); /* only ever ends by being cancelled */
    case 5:
        return sl_timeout(sl_sleep(100000), pick(3));
    case 6:
        return combine(depth);
    case 7:
        return sl_shielded(some_deferred(depth + 1));
    default:
        return sl_spawn(program, (void *)(intptr_t)(depth + 1));
    }
}

static sl_deferred *some_deferred(int depth)
{
    sl_deferred *d = plain_deferred(depth);
    for (unsigned n = pick(3); n; n--) {
        count.links_made++;
        sl_then(d, pick(2) ? some_link : NULL, pick(2) ? some_link : NULL, sl_malloc(1), free_link_data);
    }
    /* Nothing waits for ever. */
    return sl_timeout(d, 1 + pick(5));
}

/* ---- Tasks ---- */

static void take_or_leave(sl_deferred *d)
{
    sl_error *error;
    switch (pick(6)) {
    case 0:
        sl_await(d);
        break;
    case 1: {
        sl_result result = sl_take(d);
        sl_result_done(&result);
        break;
    }
    case 2:
        sl_cancel(d);
        sl_try(d, &error);
        break;
    case 3:
        sl_forget(d);
        break;
    default:
        sl_try(d, &error);
        break;
    }
}

static void step(int depth);

static void steps(int depth)
{
    for (unsigned n = pick(6); n && steps_left > 0; n--)
        step(depth);
}

static void open_scope(int depth)
{
    uint64_t deadline = pick(4) ? 0 : 1 + pick(3);
    SL_SCOPE(scope, .deadline_ms = deadline, .shield = pick(8) == 0)
    {
        steps(depth + 1);
        if (pick(6) == 0)
            sl_scope_cancel(scope);
        steps(depth + 1);
    }
}

static void own_something(void)
{
    mark *m = sl_zalloc(sizeof *m);
    count.cleanups_made++;
    sl_defer(run_cleanup, m);
}

static void step(int depth)
{
    steps_left--;
    count.cleanups_made++;
    __attribute__((unused)) SL_CLEANUP(run_attribute) mark mine = {0};
    switch (pick(depth < DEEPEST ? 9 : 6)) {
    case 0:
    case 1:
        take_or_leave(some_deferred(depth));
        break;
    case 2:
        own_something();
        break;
    case 3:
        sl_yield();
        break;
    case 4:
        memset(sl_alloc(1 + pick(20000)), 1, 1);
        break;
    case 5:
        if (pick(10) == 0)
            sl_fail(SL_EINVAL, "a task failed");
        break;
    case 6:
        sl_go(program, (void *)(intptr_t)(depth + 1));
        break;
    default:
        open_scope(depth);
        break;
    }
}

static void count_end(void *data)
{
    count.ended++;
}

static void *program(void *data)
{
    count.begun++;
    sl_defer(count_end, NULL);
    int depth = (int)(intptr_t)data;
    unsigned most = depth ? 8 : 1000;
    for (unsigned n = 1 + pick(most); n && steps_left > 0; n--)
        step(depth);
    if (pick(3) == 0)
        return NULL;
    if (pick(2))
        return sl_await(sl_succeeded(new_value(), free_value));
    return sl_printf("%d", depth);
}

static void drop_record(sl_logger *logger, sl_level level, const sl_site *site, const char *message,
                        size_t size)
{
    /* Failures are what this is about: only mistakes of the core are of interest. */
    if (strstr(message, "fired twice") || strstr(message, "do not:"))
        fail_msg("seed %s: %.*s", logger->name, (int)size, message);
}

static void *many_programs(void *data)
{
    sl_root_set_logger(sl_root_current(), data);
    while (steps_left > 0) {
        sl_error *error;
        sl_try(sl_spawn(program, NULL), &error);
    }
    /* What was let go of ends on its own. */
    while (sl_task_count(sl_loop_current()) > 1)
        sl_await(sl_sleep(1));
    return NULL;
}

static void run_seed(uint64_t number)
{
    char name[32];
    snprintf(name, sizeof name, "%llu", (unsigned long long)number);
    sl_logger quiet = {.name = name, .level = SL_WARNING, .write = drop_record};
    seed = number * 0x9e3779b97f4a7c15u + 1;
    steps_left = STEPS;
    count = (counts){0};
    int r = sl_run("stress", many_programs, &quiet, NULL);
    if (r != 0 || count.begun != count.ended || count.cleanups_made != count.cleanups_run ||
        count.values_made != count.values_freed || count.links_made != count.links_freed)
        fail_msg("seed %s: ended with %d; tasks %ld, %ld; cleanups %ld, %ld; values %ld, %ld; links %ld, %ld",
                 name, r, count.begun, count.ended, count.cleanups_made, count.cleanups_run,
                 count.values_made, count.values_freed, count.links_made, count.links_freed);
}

static void test_random_programs(void **state)
{
    const char *one = getenv("SEED");
    if (one) {
        run_seed(strtoull(one, NULL, 10));
        return;
    }
    for (uint64_t number = 1; number <= SEEDS; number++)
        run_seed(number);
}

/* The same programs, cut off by the end of their loop. */
static void stop_soon(void *data)
{
    if (pick(50) && steps_left > 0)
        sl_soon(stop_soon, data);
    else
        sl_loop_stop(data);
}

static void test_random_programs_cut_off(void **state)
{
    for (uint64_t number = 1; number <= SEEDS; number++) {
        sl_logger quiet = {.name = "cut off", .level = SL_WARNING, .write = drop_record};
        seed = number * 0x9e3779b97f4a7c15u + 7;
        steps_left = STEPS / 4;
        count = (counts){0};
        sl_loop *loop;
        assert_int_equal(sl_loop_new(&loop), 0);
        sl_root *root = sl_root_new(loop, "stress");
        sl_root_set_logger(root, &quiet);
        for (int i = 0; i < 20; i++)
            sl_go(program, NULL);
        sl_soon(stop_soon, loop);
        sl_loop_run(loop);
        sl_root_unref(root);
        sl_loop_free(loop);
        assert_int_equal(count.begun, count.ended);
        assert_int_equal(count.cleanups_made, count.cleanups_run);
        assert_int_equal(count.links_made, count.links_freed);
        assert_int_equal(count.values_made, count.values_freed);
    }
}

/* ---- What such programs have found ---- */

static void *any_of_all(void *data)
{
    count = (counts){0};
    sl_deferred *value = sl_succeeded(new_value(), free_value);
    sl_deferred *all = sl_all(&value, 1);
    sl_deferred *any = sl_any(&all, 1);
    sl_result result = sl_take(any);
    assert_int_equal(result.kind, SL_VALUE);
    assert_int_equal(count.values_freed, 0);
    sl_result_done(&result);
    assert_int_equal(count.values_freed, 1);
    return NULL;
}

static void test_an_array_passes_through_any(void **state)
{
    assert_int_equal(sl_run("test", any_of_all, NULL, NULL), 0);
}

static sl_deferred *outcome;

static sl_cancelled cancel_outcome_too(sl_deferred *deferred, void *data)
{
    sl_cancel(outcome);
    return SL_CANCEL_DONE;
}

static void *cancels_the_outcome_meanwhile(void *data)
{
    count = (counts){0};
    sl_deferred *first = sl_deferred_new(NULL, NULL);
    sl_deferred *inputs[] = {first, sl_deferred_new(cancel_outcome_too, NULL)};
    outcome = sl_any(inputs, 2);
    sl_fire(first, new_value(), free_value);
    sl_error *error;
    sl_try(outcome, &error);
    assert_int_equal(error->code, SL_ECANCELED);
    assert_int_equal(count.values_freed, 1);
    return NULL;
}

static void test_an_outcome_cancelled_by_an_input(void **state)
{
    assert_int_equal(sl_run("test", cancels_the_outcome_meanwhile, NULL, NULL), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random_programs),
        cmocka_unit_test(test_random_programs_cut_off),
        cmocka_unit_test(test_an_array_passes_through_any),
        cmocka_unit_test(test_an_outcome_cancelled_by_an_input),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
