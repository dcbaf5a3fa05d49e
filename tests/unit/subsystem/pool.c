/* Children: how many there are, when they come and go, and which gets what. */
#include "trial_check.h"
#include "subsystem/manager.h"

#include <sys/resource.h>

#define WAIT_CALL(service, begun, until) sl_call(service, wait, in_scratch(begun), in_scratch(until))

TRIAL_TEST(the_minimum_is_kept)
{
    OFFER(manager, trial, .minimum = 2, .maximum = 2);
    AWAIT(children_in(manager, "ready") == 2);
    CHECK_FAILS(sl_call(trial, die, SIGKILL), SL_ECRASHED, "");
    AWAIT(children_in(manager, "ready") == 2);
    CHECK(stat_of(manager, "trial", NULL, "starts") == 3);
}

TRIAL_TEST(more_are_started_on_demand)
{
    OFFER(manager, trial, .maximum = 3);
    sl_deferred *calls[5];
    for (int i = 0; i < 5; i++)
        calls[i] = WAIT_CALL(trial, sl_printf("begun%d", i), "until");
    for (int i = 0; i < 3; i++)
        AWAIT(exists(sl_printf("begun%d", i)));
    CHECK(stat_of(manager, "trial", NULL, "starts") == 3 && stat_of(manager, "trial", NULL, "waiting") == 2);
    CHECK(!exists("begun3"));
    touch("until");
    for (int i = 0; i < 5; i++)
        CHECK(number_of(calls[i]) > 0);
    CHECK(stat_of(manager, "trial", NULL, "starts") == 3);
}

TRIAL_TEST(idle_children_go)
{
    OFFER(manager, trial, .maximum = 3, .idle_ms = 30);
    sl_deferred *calls[3];
    for (int i = 0; i < 3; i++)
        calls[i] = WAIT_CALL(trial, sl_printf("begun%d", i), "until");
    for (int i = 0; i < 3; i++)
        AWAIT(exists(sl_printf("begun%d", i)));
    touch("until");
    for (int i = 0; i < 3; i++)
        number_of(calls[i]);
    AWAIT(children_in(manager, NULL) == 0);
    CHECK(stat_of(manager, "trial", NULL, "idled") == 3 && stat_of(manager, "trial", NULL, "crashes") == 0);
    CHECK(number_of(sl_call(trial, twice, 1)) == 2);
}

TRIAL_TEST(times_may_be_for_ever)
{
    OFFER(manager, trial, .idle_ms = UINT64_MAX, .recycle_ms = UINT64_MAX, .timeout_ms = UINT64_MAX,
          .drain_ms = UINT64_MAX, .grace_ms = UINT64_MAX, .crash_ms = UINT64_MAX, .start_ms = UINT64_MAX);
    int64_t pid = number_of(sl_call_with(SL_CALL(.timeout_ms = UINT64_MAX - 1), trial, pid));
    for (int i = 0; i < 20; i++) {
        sl_await(sl_sleep(1));
        CHECK(number_of(sl_call(trial, pid)) == pid);
    }
    CHECK(stat_of(manager, "trial", NULL, "starts") == 1);
}

/* A replacement is ready before the old one goes, so that no call waits for a start. */
TRIAL_TEST(worn_children_are_replaced)
{
    OFFER(manager, trial, .recycle_calls = 10);
    int64_t pids = 0, last = 0, count = 0;
    while (pids < 5) {
        int64_t pid = number_of(sl_call(trial, pid));
        pids += pid != last;
        last = pid;
        CHECK(++count < 100000);
    }
    CHECK(stat_of(manager, "trial", NULL, "recycled") >= 4);
    CHECK(stat_of(manager, "trial", NULL, "crashes") == 0 &&
          stat_of(manager, "trial", "calls", "crashed") == 0);
}

TRIAL_TEST(a_busy_worn_child_ends_its_call_first)
{
    OFFER(manager, trial, .recycle_calls = 1);
    sl_deferred *busy = WAIT_CALL(trial, "begun", "until");
    AWAIT(exists("begun"));
    sl_deferred *other = sl_call(trial, pid);
    touch("until");
    int64_t pid = number_of(busy);
    CHECK(pid > 0 && number_of(other) > 0);
    AWAIT(stat_of(manager, "trial", NULL, "recycled") > 0);
    CHECK(number_of(sl_call(trial, pid)) != pid);
}

TRIAL_TEST(limits_vary)
{
    OFFER(manager, trial, .minimum = 8, .maximum = 8, .recycle_calls = 50);
    const sl__served *served = sl__manager_find(manager, "trial");
    unsigned others = 0;
    for (unsigned i = 0; i < served->slot_count; i++) {
        uint64_t calls = served->slots[i]->retire_calls;
        CHECK(calls >= 45 && calls <= 55);
        others += calls != served->slots[0]->retire_calls;
    }
    CHECK(served->slot_count == 8 && others > 0);
}

TRIAL_TEST(old_children_are_replaced)
{
    OFFER(manager, trial, .recycle_ms = 30);
    int64_t pid = number_of(sl_call(trial, pid));
    AWAIT(number_of(sl_call(trial, pid)) != pid);
    CHECK(stat_of(manager, "trial", "calls", "crashed") == 0);
}

TRIAL_TEST(large_children_are_replaced)
{
    OFFER(manager, trial, .memory = 64 << 20);
    int64_t pid = number_of(sl_call(trial, pid));
    CHECK(number_of(sl_call(trial, grow, 80 << 20)) == pid);
    AWAIT(number_of(sl_call(trial, pid)) != pid);
    CHECK(stat_of(manager, "trial", NULL, "recycled") == 1);
}

TRIAL_TEST(a_full_queue_is_busy)
{
    OFFER(manager, trial, .queue_calls = 2, .queue_bytes = 100000);
    sl_deferred *running = WAIT_CALL(trial, "begun", "until");
    AWAIT(exists("begun"));
    sl_await(sl_room(trial));
    sl_deferred *waiting[] = {sl_call(trial, twice, 0), sl_call(trial, twice, 1)};
    sl_error *error = CHECK_FAILS(sl_call(trial, twice, 2), SL_EBUSY, "2 calls wait");
    CHECK(strstr(error->hint, "sl_room"));
    sl_deferred *room = sl_room(trial), *unwanted = sl_room(trial);
    CHECK(!sl_deferred_fired(room));
    sl_deferred_unref(unwanted);
    touch("until");
    sl_await(room);
    CHECK(number_of(running) > 0 && number_of(waiting[0]) == 0 && number_of(waiting[1]) == 2);
    CHECK(number_of(sl_call(trial, twice, 2)) == 4);
    CHECK(stat_of(manager, "trial", "calls", "refused") == 1);
}

TRIAL_TEST(a_queue_is_bounded_by_bytes)
{
    OFFER(manager, trial, .queue_bytes = 100000);
    sl_deferred *running = WAIT_CALL(trial, "begun", "until");
    AWAIT(exists("begun"));
    char *data = sl_zalloc(200000);
    sl_deferred *large = sl_call(trial, reverse, {data, 200000}); /* the only one may be larger than all */
    CHECK_FAILS(sl_call(trial, twice, 2), SL_EBUSY, "200");
    sl_deferred_unref(large);
    sl_deferred *small[] = {sl_call(trial, reverse, {data, 60000}), sl_call(trial, twice, 4)};
    CHECK_FAILS(sl_call(trial, reverse, {data, 60000}), SL_EBUSY, "60");
    touch("until");
    CHECK(number_of(running) > 0);
    sl_await(small[0]);
    CHECK(number_of(small[1]) == 8);
}

typedef struct sequence {
    int count, numbers[8];
} sequence;

typedef struct noted {
    sequence *to;
    int number;
} noted;

static sl_result take_note(sl_result result, void *data)
{
    noted *n = data;
    n->to->numbers[n->to->count++] = n->number;
    return result;
}

static sl_deferred *noting(sl_deferred *call, sequence *to, int number)
{
    noted *n = sl_alloc(sizeof *n);
    *n = (noted){to, number};
    return sl_then(call, take_note, NULL, n, NULL);
}

TRIAL_TEST(urgent_calls_go_first)
{
    OFFER(manager, trial);
    sequence order = {0};
    sl_deferred *calls[7] = {WAIT_CALL(trial, "begun", "until")};
    AWAIT(exists("begun"));
    calls[1] = noting(sl_call_with(SL_CALL(.priority = SL_IDLE), trial, twice, 5), &order, 5);
    calls[2] = noting(sl_call(trial, twice, 3), &order, 3);
    calls[3] = noting(sl_call(trial, twice, 4), &order, 4);
    calls[4] = noting(sl_call_with(SL_CALL(.priority = SL_URGENT), trial, twice, 1), &order, 1);
    calls[5] = noting(sl_call_with(SL_CALL(.priority = SL_URGENT), trial, twice, 2), &order, 2);
    calls[6] = noting(sl_call_with(SL_CALL(.priority = SL_IDLE), trial, twice, 6), &order, 6);
    touch("until");
    sl_await(sl_all(calls, 7));
    for (int i = 0; i < 6; i++)
        CHECK(order.numbers[i] == i + 1);
}

typedef struct next_call {
    sl_deferred *made;
    noted note;
} next_call;

static sl_result call_next(sl_result result, void *data)
{
    next_call *next = data;
    next->made = sl_then(sl_call(trial, twice, 2), take_note, NULL, &next->note, NULL);
    return result;
}

/* Neither when the child is free again may who comes then overtake who waits for that child. */
TRIAL_TEST(who_waits_for_a_child_is_not_overtaken)
{
    OFFER(manager, trial);
    sequence order = {0};
    next_call next = {.note = {&order, 2}};
    sl_deferred *running = WAIT_CALL(trial, "begun", "until");
    AWAIT(exists("begun"));
    sl_call_options options = {.key = "k", .priority = SL_URGENT};
    sl_deferred *urgent = noting(sl_call_with(&options, trial, twice, 1), &order, 1);
    sl_then(running, call_next, NULL, &next, NULL);
    touch("until");
    sl_await(running);
    sl_await(urgent);
    sl_await(next.made);
    CHECK(order.numbers[0] == 1 && order.numbers[1] == 2);
}

TRIAL_TEST(a_key_has_its_child)
{
    OFFER(manager, trial, .minimum = 4, .maximum = 4);
    AWAIT(children_in(manager, "ready") == 4);
    int64_t pids[40];
    unsigned different = 0;
    for (int i = 0; i < 40; i++) {
        char *key = sl_printf("key %d", i);
        pids[i] = number_of(sl_call_with(SL_CALL(.key = key), trial, pid));
        bool seen = false;
        for (int j = 0; j < i; j++)
            seen = seen || pids[j] == pids[i];
        different += !seen;
    }
    CHECK(different == 4);
    for (int i = 0; i < 40; i++)
        CHECK(number_of(sl_call_with(SL_CALL(.key = sl_printf("key %d", i)), trial, pid)) == pids[i]);
    /* Others keep theirs when one dies. */
    CHECK_FAILS(sl_call_with(SL_CALL(.key = "key 0"), trial, die, SIGKILL), SL_ECRASHED, "");
    for (int i = 0; i < 40; i++)
        if (pids[i] != pids[0])
            CHECK(number_of(sl_call_with(SL_CALL(.key = sl_printf("key %d", i)), trial, pid)) == pids[i]);
}

TRIAL_TEST(a_key_does_not_wait_for_ever)
{
    OFFER(manager, trial, .minimum = 2, .maximum = 2);
    AWAIT(children_in(manager, "ready") == 2);
    int64_t pid = number_of(sl_call_with(SL_CALL(.key = "k"), trial, pid));
    sl_deferred *busy =
        sl_call_with(SL_CALL(.key = "k"), trial, wait, in_scratch("begun"), in_scratch("until"));
    AWAIT(exists("begun"));
    CHECK(number_of(sl_call_with(SL_CALL(.key = "k"), trial, pid)) != pid); /* after some patience */
    sl_deferred *many[20];
    for (int i = 0; i < 20; i++)
        many[i] = sl_call_with(SL_CALL(.key = "k"), trial, pid);
    for (int i = 0; i < 20; i++)
        CHECK(number_of(many[i]) != pid);
    touch("until");
    CHECK(number_of(busy) == pid);
}

TRIAL_TEST(a_crash_loop_ends)
{
    OFFER(manager, trial, .crashes = 3, .crash_ms = 600000);
    for (int i = 0; i < 3; i++)
        CHECK_FAILS(sl_call(trial, die, SIGABRT), SL_ECRASHED, "signal 6");
    sl_error *error = CHECK_FAILS(sl_call(trial, twice, 1), SL_ECRASHED, "failed 3 times");
    CHECK(strstr(error->message, "signal 6") && strstr(error->detail, "about to die"));
    CHECK(stat_of(manager, "trial", NULL, "starts") == 3);
}

/* Where it is ignored the system itself waits for children, and how they ended is not known. */
TRIAL_TEST(children_end_although_sigchld_is_ignored)
{
    OFFER(manager, trial, .maximum = 2);
    signal(SIGCHLD, SIG_IGN);
    sl_error *error = CHECK_FAILS(sl_call(trial, die, SIGKILL), SL_ECRASHED, "nobody knows how");
    CHECK(strstr(error->hint, "SIGCHLD"));
    CHECK(number_of(sl_call(trial, twice, 2)) == 4);
    sl_await(sl_manager_drain(manager));
    signal(SIGCHLD, SIG_DFL);
}

/* What a child gives needs descriptors of ours: it is not its fault that there are none. */
TRIAL_TEST(without_descriptors_calls_fail_with_a_hint)
{
    OFFER(manager, trial);
    CHECK(number_of(sl_call(trial, twice, 2)) == 4);
    struct rlimit before, none;
    int next = dup(STDERR_FILENO);
    CHECK(close(next) == 0 && getrlimit(RLIMIT_NOFILE, &before) == 0);
    none = (struct rlimit){(rlim_t)next, before.rlim_max};
    CHECK(setrlimit(RLIMIT_NOFILE, &none) == 0);
    sl_error *error = CHECK_FAILS(sl_call(trial, reverse, {sl_zalloc(1 << 20), 1 << 20}), SL_ECRASHED, "");
    CHECK(setrlimit(RLIMIT_NOFILE, &before) == 0);
    CHECK(strstr(error->message, "ulimit -n"));
    CHECK(number_of(sl_call(trial, twice, 2)) == 4);
}

TRIAL_TEST(after_a_while_it_is_tried_again)
{
    OFFER(manager, trial, .crashes = 1, .crash_ms = 100);
    CHECK_FAILS(sl_call(trial, die, SIGABRT), SL_ECRASHED, "signal 6");
    sl_error *error;
    do {
        sl_try(sl_call(trial, twice, 1), &error);
        CHECK(!error || strstr(error->message, "signal 6"));
    } while (error);
}

TRIAL_TEST(successes_forgive_crashes)
{
    OFFER(manager, trial, .crashes = 2, .crash_ms = 60000);
    for (int i = 0; i < 6; i++) {
        CHECK_FAILS(sl_call(trial, die, SIGKILL), SL_ECRASHED, "signal 9");
        CHECK(number_of(sl_call(trial, twice, i)) == 2 * i);
    }
}

TRIAL_TEST(withdrawing_ends_calls)
{
    OFFER(manager, trial, .grace_ms = 100, .queue_calls = 1);
    sl_deferred *running = WAIT_CALL(trial, "begun", "never");
    AWAIT(exists("begun"));
    sl_deferred *waiting = sl_call(trial, twice, 1), *room = sl_room(trial);
    sl_manager_withdraw(manager, "trial");
    CHECK_FAILS(running, SL_ECLOSED, "withdrawn");
    CHECK_FAILS(waiting, SL_ECLOSED, "withdrawn");
    CHECK_FAILS(room, SL_ECLOSED, "withdrawn");
    CHECK_FAILS(sl_call(trial, twice, 1), SL_ENOSERVICE, "trial");
    OFFER(manager, trial); /* again, while the old child is still there */
    CHECK(number_of(sl_call(trial, twice, 1)) == 2);
}

TRIAL_TEST(offers_are_checked)
{
    sl_error *error = NULL;
    sl_offer trial_offer = {.service = trial_service};
    OFFER(manager, trial);
    CHECK(sl_manager_offer(manager, "trial", &trial_offer, getenv("TRIAL_MODULE"), &error) == SL_EEXIST);
    CHECK(strstr(error->message, "trial.so"));
    sl_error_unref(error);
    CHECK(sl_manager_offer(manager, "tri\"al", &trial_offer, "x.so", &error) == SL_EINVAL);
    sl_error_unref(error);
    CHECK(sl_manager_offer(manager, "other", &trial_offer, "x.so", &error) == SL_EINVAL);
    sl_error_unref(error);
}

TRIAL_TEST(modules_that_do_not_match_are_refused)
{
    sl_service_method methods[sl_array_size(trial__methods)];
    memcpy(methods, trial__methods, sizeof methods);
    methods[1].idempotent = true;
    const sl_service changed_service[1] = {{"trial", 1, sl_array_size(methods), methods}};
    offer(manager, "trial", &(sl_offer){.service = changed_service});
    sl_deferred *call = sl__call(SL_HERE, changed_service, 1, &(struct trial_number){1}, SL_CALL());
    sl_error *error = CHECK_FAILS(call, SL_EPROTO, "another description of trial");
    CHECK(strstr(error->hint, "rebuild") && strstr(error->hint, "trial.so"));
    sl_manager_withdraw(manager, "trial");
    CHECK(sl_manager_offer(manager, "trial", &(sl_offer){.service = trial_service}, "/nowhere/trial.so",
                           &error) == 0);
    CHECK_FAILS(sl_call(trial, twice, 1), SL_EFAILED, "/nowhere/trial.so");
}

TRIAL_TEST(draining_ends_what_was_begun)
{
    OFFER(manager, trial, .minimum = 1);
    sl_deferred *running = WAIT_CALL(trial, "begun", "until");
    AWAIT(exists("begun"));
    sl_deferred *waiting = sl_call(trial, twice, 4), *drained = sl_manager_drain(manager);
    CHECK_FAILS(sl_call(trial, twice, 1), SL_ECLOSED, "no more calls");
    CHECK(!sl_deferred_fired(drained));
    touch("until");
    CHECK(number_of(running) > 0 && number_of(waiting) == 8);
    sl_await(drained);
    CHECK(no_children());
}

TRIAL_TEST(metrics_are_told)
{
    OFFER(manager, trial);
    CHECK(number_of(sl_call(trial, twice, 1)) == 2);
    sl_buffer out = {0};
    sl_manager_metrics(manager, &out);
    CHECK(strstr(out.data, "\nsilver_service_calls_total{service=\"trial\",outcome=\"succeeded\"} 1\n"));
    CHECK(strstr(out.data, "\nsilver_service_children{service=\"trial\",state=\"ready\"} 1\n"));
    CHECK(strstr(out.data, "\nsilver_service_call_duration_seconds_count{service=\"trial\"} 1\n"));
    sl_buffer_done(&out);
    json_t *stats = sl_manager_stats(manager);
    json_t *child = json_array_get(json_object_get(json_array_get(stats, 0), "children"), 0);
    CHECK(json_integer_value(json_object_get(child, "memory")) > 100000);
    CHECK(json_integer_value(json_object_get(child, "calls")) == 1);
    json_decref(stats);
}

static void children_end_with_the_loop(void **state)
{
    sl_loop *loop;
    sl_manager *manager;
    assert_int_equal(sl_loop_new(&loop), 0);
    sl_root *root = sl_root_new(loop, "test");
    sl_manager_new(root, &(sl_manager_options){.programs = getenv("TRIAL_PROGRAMS")}, &manager);
    OFFER(manager, trial, .minimum = 3);
    sl_forget(sl_call(trial, twice, 1));
    sl_root_unref(root);
    sl_loop_free(loop);
    assert_true(no_children());
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, scratch_new, scratch_remove)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_minimum_is_kept),
        TEST(more_are_started_on_demand),
        TEST(idle_children_go),
        TEST(times_may_be_for_ever),
        TEST(worn_children_are_replaced),
        TEST(a_busy_worn_child_ends_its_call_first),
        TEST(limits_vary),
        TEST(old_children_are_replaced),
        TEST(large_children_are_replaced),
        TEST(a_full_queue_is_busy),
        TEST(a_queue_is_bounded_by_bytes),
        TEST(urgent_calls_go_first),
        TEST(who_waits_for_a_child_is_not_overtaken),
        TEST(a_key_has_its_child),
        TEST(a_key_does_not_wait_for_ever),
        TEST(a_crash_loop_ends),
        TEST(children_end_although_sigchld_is_ignored),
        TEST(without_descriptors_calls_fail_with_a_hint),
        TEST(after_a_while_it_is_tried_again),
        TEST(successes_forgive_crashes),
        TEST(withdrawing_ends_calls),
        TEST(offers_are_checked),
        TEST(modules_that_do_not_match_are_refused),
        TEST(draining_ends_what_was_begun),
        TEST(metrics_are_told),
        TEST(children_end_with_the_loop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
