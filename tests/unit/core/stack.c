/* Stacks: many at once, their memory given back, and lines of tasks and deferreds that must not use up one.
 */
#include "check.h"

#include "core/stack.h"

#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#if defined(SL_HAVE_VALGRIND)
#include <valgrind/valgrind.h>
#else
#define RUNNING_ON_VALGRIND 0
#endif

/* Valgrind looks for a stack along the list of all of them: there they are as many as make it no different.
 */
#define MANY (RUNNING_ON_VALGRIND ? 3000 : 30000)

static void test_slots_are_reused_last_in_first_out(void **state)
{
    sl__stacks *stacks = NULL;
    sl__stack *one = sl__stack_get(&stacks), *two = sl__stack_get(&stacks);
    assert_ptr_not_equal(one, two);
    assert_int_equal((uintptr_t)one->top % 16, 0);
    assert_true(one->top - one->bottom > SL__STACK_SIZE / 2);
    sl__stack_put(stacks, one);
    sl__stack_put(stacks, two);
    assert_ptr_equal(sl__stack_get(&stacks), two);
    assert_ptr_equal(sl__stack_get(&stacks), one);
    sl__stack_put(stacks, one);
    sl__stacks_free(stacks);
}

static void test_guards(void **state)
{
    sl__stacks *stacks = NULL;
    sl__stack *slots[200];
    for (int i = 0; i < 200; i++)
        slots[i] = sl__stack_get(&stacks);
    for (int i = 0; i < 200; i++) {
        assert_true(sl__stacks_guards(stacks, slots[i]->bottom));
        assert_false(sl__stacks_guards(stacks, slots[i]->top - 1));
    }
    assert_false(sl__stacks_guards(stacks, slots));
    assert_false(sl__stacks_guards(NULL, slots));
    sl__stacks_free(stacks);
}

static void test_a_guard_ends_the_process(void **state)
{
    pid_t pid = fork();
    if (pid == 0) {
        struct rlimit none = {0};
        setrlimit(RLIMIT_CORE, &none);
        signal(SIGSEGV, SIG_DFL); /* the test library's, and the sanitizers', would say more */
        signal(SIGBUS, SIG_DFL);
        sl__stacks *stacks = NULL;
        *(volatile char *)sl__stack_get(&stacks)->bottom = 1;
        _exit(0);
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status));
}

/* The pages of the slot that something stands in. */
static size_t used_pages(const sl__stack *stack)
{
    return sl__stack_peak(stack) / (size_t)sysconf(_SC_PAGESIZE);
}

static void test_trimming_gives_pages_back(void **state)
{
    sl__stacks *stacks = NULL;
    sl__stack *slots[100];
    for (int i = 0; i < 100; i++) {
        slots[i] = sl__stack_get(&stacks);
        memset(slots[i]->top - 20000, 1, 20000);
        assert_true(used_pages(slots[i]) >= 5);
    }
    assert_int_equal(sl__stacks_idle(stacks), 0);
    for (int i = 0; i < 50; i++)
        sl__stack_put(stacks, slots[i]);
    assert_int_equal(sl__stacks_idle(stacks), 50);
    sl__stacks_trim(stacks, 10, 30);
    assert_int_equal(sl__stacks_idle(stacks), 20);
    sl__stacks_trim(stacks, 10, 30);
    assert_int_equal(sl__stacks_idle(stacks), 10);
    sl__stacks_trim(stacks, 10, 30);
    assert_int_equal(sl__stacks_idle(stacks), 10);
    size_t empty = 0;
    for (int i = 0; i < 50; i++)
        empty += used_pages(slots[i]) == 0;
    assert_int_equal(empty, 40);
    for (int i = 50; i < 100; i++) { /* those in use keep theirs */
        assert_true(used_pages(slots[i]) >= 5);
        assert_int_equal(slots[i]->top[-1], 1);
    }
    for (int i = 0; i < 50; i++) { /* and all can be used again */
        sl__stack *slot = sl__stack_get(&stacks);
        memset(slot->top - 20000, 2, 20000);
    }
    assert_int_equal(sl__stacks_idle(stacks), 0);
    sl__stacks_free(stacks);
}

/* ---- Many parked at once ---- */

static sl_cancelled give_up(sl_deferred *deferred, void *data)
{
    return SL_CANCEL_DONE;
}

static unsigned parked, woken;
static sl_deferred *gate;

static void *parks(void *data)
{
    parked++;
    sl_await((sl_deferred *)data);
    woken++;
    return NULL;
}

static void *parks_many(void *data)
{
    sl_deferred **gates = calloc(MANY, sizeof *gates);
    SL_SCOPE(scope)
    {
        for (int i = 0; i < MANY; i++) {
            gates[i] = sl_deferred_new(NULL, NULL);
            sl_go(parks, gates[i]);
        }
        while (parked < MANY)
            sl_yield();
        assert_int_equal(sl_task_count(sl_loop_current()), MANY + 1);
        for (int i = 0; i < MANY; i++)
            sl_fire(gates[i], NULL, NULL);
    }
    free(gates);
    return NULL;
}

static void test_many_parked_tasks(void **state)
{
    for (int round = 0; round < 2; round++) {
        parked = woken = 0;
        assert_int_equal(sl_run("test", parks_many, NULL, NULL), 0);
        assert_int_equal(woken, MANY);
    }
}

static void *cancels_many(void *data)
{
    gate = sl_deferred_new(give_up, NULL);
    SL_SCOPE(scope)
    {
        for (int i = 0; i < MANY; i++)
            sl_go(parks, sl_shielded(sl_deferred_ref(gate)));
        while (parked < MANY)
            sl_yield();
        sl_scope_cancel(scope);
    }
    sl_fire(gate, NULL, NULL);
    sl_deferred_unref(gate);
    return NULL;
}

static void test_many_cancelled_tasks(void **state)
{
    parked = woken = 0;
    assert_int_equal(sl_run("test", cancels_many, NULL, NULL), 0);
    assert_int_equal(woken, 0);
}

/* ---- Lines ---- */

#define LONG (RUNNING_ON_VALGRIND ? 5000 : 50000)

static void *awaits_given(void *data)
{
    parked++;
    return sl_await((sl_deferred *)data);
}

/* Each awaits the one started before it, none of them a child of another. */
static sl_deferred *start_line(void)
{
    parked = 0;
    sl_deferred *last = gate = sl_deferred_new(give_up, NULL);
    for (int i = 0; i < LONG / 2; i++)
        last = sl_spawn(awaits_given, last);
    while (parked < LONG / 2)
        sl_yield();
    return last;
}

static void *cancels_lines(void *data)
{
    sl_deferred *last = start_line();
    sl_cancel(last);
    sl_error *error;
    sl_try(last, &error);
    assert_int_equal(error->code, SL_ECANCELED);
    last = start_line();
    sl_deferred_unref(last);
    last = start_line();
    sl_fire(gate, "through", NULL);
    assert_string_equal(sl_await(last), "through");
    return NULL;
}

static void test_long_lines_of_tasks(void **state)
{
    assert_int_equal(sl_run("test", cancels_lines, NULL, NULL), 0);
}

static sl_result wait_for(sl_result result, void *data)
{
    return sl_later(data);
}

static sl_deferred *nest(void)
{
    sl_deferred *inner = gate = sl_deferred_new(give_up, NULL);
    for (int i = 0; i < LONG; i++)
        inner = sl_then(sl_succeeded(NULL, NULL), wait_for, NULL, inner, NULL);
    return inner;
}

static void *cancels_nests(void *data)
{
    sl_error *error;
    sl_deferred *outer = nest();
    sl_cancel(outer);
    sl_try(outer, &error);
    assert_int_equal(error->code, SL_ECANCELED);
    sl_deferred_unref(nest());
    outer = nest();
    sl_cancel(gate);
    sl_try(outer, &error);
    assert_int_equal(error->code, SL_ECANCELED);
    return NULL;
}

/* On the stack of a task, which is small. */
static void test_deep_nests_are_cancelled(void **state)
{
    assert_int_equal(sl_run("test", cancels_nests, NULL, NULL), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_slots_are_reused_last_in_first_out),
        cmocka_unit_test(test_guards),
        cmocka_unit_test(test_a_guard_ends_the_process),
        cmocka_unit_test(test_trimming_gives_pages_back),
        cmocka_unit_test(test_many_parked_tasks),
        cmocka_unit_test(test_many_cancelled_tasks),
        cmocka_unit_test(test_long_lines_of_tasks),
        cmocka_unit_test(test_deep_nests_are_cancelled),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
