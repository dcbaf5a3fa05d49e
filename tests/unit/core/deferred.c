/* Deferreds: each sentence of the contract in core.h. */
#include "check.h"

#include <pthread.h>

/* A logger that keeps what was said. */
static sl_buffer said;

static void keep(sl_logger *logger, sl_level level, const sl_site *site, const char *message, size_t size)
{
    sl_buffer_put(&said, message, size);
    sl_buffer_putc(&said, '\n');
}

static sl_logger keeper = {.name = "test", .level = SL_DEBUG, .write = keep};
static sl_loop *loop;
static sl_root *root;

static int set_up(void **state)
{
    if (sl_loop_new(&loop) < 0)
        return -1;
    root = sl_root_new(loop, "test");
    sl_root_set_logger(root, &keeper);
    sl_buffer_done(&said);
    sl_buffer_puts(&said, "");
    return 0;
}

static sl_result seen; /* what `see` saw last; it owns it */

static int tear_down(void **state)
{
    sl_result_done(&seen); /* what belongs to a loop must not outlive it */
    seen = sl_ok(NULL);
    sl_root_unref(root);
    sl_loop_free(loop);
    sl_buffer_done(&said);
    return 0;
}

static bool was_said(const char *text)
{
    return strstr(said.data, text) != NULL;
}

/* ---- Links that tell what came by ---- */

static char trail[256];

static sl_result note(sl_result result, void *data)
{
    strcat(trail, data);
    return result;
}

static sl_result note_and_fail(sl_result result, void *data)
{
    strcat(trail, data);
    sl_result_done(&result);
    return sl_failed(sl_error_new(SL_EINVAL, "%s failed", (char *)data));
}

static sl_result note_and_recover(sl_result result, void *data)
{
    strcat(trail, data);
    sl_result_done(&result);
    return sl_ok("recovered");
}

static sl_result see(sl_result result, void *data)
{
    sl_result_done(&seen);
    seen = result;
    return sl_ok(NULL);
}

static sl_deferred *watch(sl_deferred *d)
{
    sl_result_done(&seen);
    seen.kind = SL_DEFERRED; /* nothing came yet */
    seen.deferred = NULL;
    return sl_then(d, see, see, NULL, NULL);
}

#define assert_pending(d)                                                                                    \
    do {                                                                                                     \
        assert_int_equal(seen.kind, SL_DEFERRED);                                                            \
    } while (0)
#define assert_value(expected)                                                                               \
    do {                                                                                                     \
        assert_int_equal(seen.kind, SL_VALUE);                                                               \
        assert_ptr_equal(seen.value, expected);                                                              \
    } while (0)
#define assert_failure(expected)                                                                             \
    do {                                                                                                     \
        assert_int_equal(seen.kind, SL_FAILURE);                                                             \
        assert_int_equal(seen.error->code, expected);                                                        \
    } while (0)

static void forget_seen(void)
{
    sl_result_done(&seen);
}

/* ---- Firing and links ---- */

static void test_links_before_and_after(void **state)
{
    trail[0] = '\0';
    sl_deferred *d = sl_deferred_new(NULL, NULL);
    sl_then(d, note, NULL, "a", NULL);
    sl_then(d, note, NULL, "b", NULL);
    assert_string_equal(trail, "");
    assert_int_equal(sl_fire(d, "x", NULL), 0);
    assert_string_equal(trail, "ab");
    sl_then(d, note, NULL, "c", NULL);
    assert_string_equal(trail, "abc");
    watch(d);
    assert_value("x");
    sl_deferred_unref(d);
}

static sl_deferred *self;

static sl_result add_from_inside(sl_result result, void *data)
{
    strcat(trail, "(");
    sl_then(self, note, NULL, "inner", NULL);
    strcat(trail, ")");
    return result;
}

static void test_link_added_from_inside_a_link(void **state)
{
    trail[0] = '\0';
    self = sl_deferred_new(NULL, NULL);
    sl_then(self, add_from_inside, NULL, NULL, NULL);
    sl_then(self, note, NULL, "after,", NULL);
    sl_fire(self, NULL, NULL);
    assert_string_equal(trail, "()after,inner"); /* appended, never nested */
    sl_deferred_unref(self);
}

static void test_switching_sides(void **state)
{
    trail[0] = '\0';
    sl_deferred *d = sl_deferred_new(NULL, NULL);
    sl_then(d, note_and_fail, NULL, "1", NULL);
    sl_then(d, note, NULL, "skipped", NULL);
    sl_then(d, NULL, note_and_recover, "2", NULL);
    sl_then(d, NULL, note, "skipped", NULL);
    sl_then(d, note, note, "3", NULL);
    watch(d);
    sl_fire(d, NULL, NULL);
    assert_string_equal(trail, "123");
    assert_value("recovered");
    sl_deferred_unref(d);
}

/* ---- Nested ---- */

static sl_result give(sl_result result, void *data)
{
    sl_result_done(&result);
    return sl_later(data);
}

static sl_deferred *outer_with(sl_deferred *inner)
{
    sl_deferred *outer = sl_deferred_new(NULL, NULL);
    sl_then(outer, give, NULL, inner, NULL);
    watch(outer);
    sl_fire(outer, NULL, NULL);
    return outer;
}

static void test_link_gives_a_pending_one(void **state)
{
    sl_deferred *inner = sl_deferred_new(NULL, NULL);
    sl_deferred *outer = outer_with(inner);
    assert_pending(outer);
    sl_fire(inner, "late", NULL);
    assert_value("late");
    sl_deferred_unref(outer);
}

static void test_link_gives_a_fired_one(void **state)
{
    sl_deferred *outer = outer_with(sl_succeeded("there", NULL));
    assert_value("there");
    sl_deferred_unref(outer);
}

static void test_link_gives_a_failed_one(void **state)
{
    sl_deferred *outer = outer_with(sl_failing(sl_error_new(SL_EIO, "disk")));
    assert_failure(SL_EIO);
    sl_deferred_unref(outer);
    assert_false(was_said("nobody handled"));
}

static void test_link_gives_a_paused_one(void **state)
{
    sl_deferred *inner = sl_succeeded("paused", NULL);
    sl_deferred_pause(inner);
    sl_deferred *outer = outer_with(inner);
    assert_pending(outer);
    sl_deferred_resume(inner);
    assert_value("paused");
    sl_deferred_unref(outer);
}

static void test_link_gives_a_cancelled_one(void **state)
{
    sl_deferred *inner = sl_deferred_new(NULL, NULL);
    sl_cancel(inner);
    sl_deferred *outer = outer_with(inner);
    assert_failure(SL_ECANCELED);
    sl_fire(inner, NULL, NULL); /* the maker's late answer is swallowed */
    sl_deferred_unref(outer);
    assert_false(was_said("twice"));
}

#define MANY 100000

static sl_result count(sl_result result, void *data)
{
    ++*(int *)data;
    return result;
}

static void test_many_links_on_one(void **state)
{
    int counted = 0;
    sl_deferred *d = sl_deferred_new(NULL, NULL);
    for (int i = 0; i < MANY; i++)
        sl_then(d, count, NULL, &counted, NULL);
    sl_fire(d, NULL, NULL);
    assert_int_equal(counted, MANY);
    sl_deferred_unref(d);
}

/* Each waits for the next; built from the inside and from the outside. */
static void test_deep_nest(void **state)
{
    sl_deferred *innermost = sl_deferred_new(NULL, NULL), *d = innermost;
    for (int i = 0; i < MANY; i++) {
        sl_deferred *outer = sl_deferred_new(NULL, NULL);
        sl_then(outer, give, NULL, d, NULL);
        sl_fire(outer, NULL, NULL);
        d = outer;
    }
    watch(d);
    sl_fire(innermost, "deep", NULL);
    assert_value("deep");
    sl_deferred_unref(d);
}

static void test_deep_nest_from_outside(void **state)
{
    static sl_deferred *all[MANY];
    for (int i = 0; i < MANY; i++)
        all[i] = sl_deferred_new(NULL, NULL);
    for (int i = 0; i + 1 < MANY; i++)
        sl_then(all[i], give, NULL, all[i + 1], NULL);
    watch(all[0]);
    sl_deferred *last = all[MANY - 1];
    for (int i = 0; i + 1 < MANY; i++)
        sl_fire(all[i], NULL, NULL);
    assert_pending(all[0]);
    sl_fire(last, "end", NULL);
    assert_value("end");
    sl_deferred_unref(all[0]);
}

static sl_result fire_next(sl_result result, void *data)
{
    sl_fire((sl_deferred *)data, NULL, NULL);
    return result;
}

static void test_chain_of_explicit_fires(void **state)
{
    static sl_deferred *all[MANY];
    int counted = 0;
    for (int i = 0; i < MANY; i++)
        all[i] = sl_deferred_new(NULL, NULL);
    for (int i = 0; i < MANY; i++) {
        sl_then(all[i], count, NULL, &counted, NULL);
        if (i + 1 < MANY)
            sl_then(all[i], fire_next, NULL, all[i + 1], NULL);
    }
    sl_fire(all[0], NULL, NULL);
    assert_int_equal(counted, MANY);
    for (int i = 0; i < MANY; i++)
        sl_deferred_unref(all[i]);
}

static void test_cycle_of_one(void **state)
{
    sl_deferred *d = sl_deferred_new(NULL, NULL);
    sl_deferred_ref(d);
    sl_then(d, give, NULL, d, NULL);
    watch(d);
    sl_fire(d, NULL, NULL);
    assert_failure(SL_ECYCLE);
    sl_deferred_unref(d);
}

static void test_cycle_of_three(void **state)
{
    sl_deferred *d[3];
    for (int i = 0; i < 3; i++)
        d[i] = sl_deferred_new(NULL, NULL);
    for (int i = 0; i < 3; i++)
        sl_then(d[i], give, NULL, sl_deferred_ref(d[(i + 1) % 3]), NULL);
    watch(d[0]);
    sl_fire(d[0], NULL, NULL);
    sl_fire(d[1], NULL, NULL);
    assert_pending(d[0]);
    sl_fire(d[2], NULL, NULL); /* would close the circle */
    assert_failure(SL_ECYCLE);
    for (int i = 0; i < 3; i++)
        sl_deferred_unref(d[i]);
}

/* ---- Twice ---- */

static void test_firing_twice_names_both_sites(void **state)
{
    sl_deferred *d = sl_deferred_new(NULL, NULL);
    sl_fire(d, "1", NULL);
    char first[256], second[256];
    snprintf(first, sizeof first, "first at %s (%s:%d)", __func__, __FILE__, __LINE__ - 2);
    char *value = sl_strdup_heap("2");
    assert_int_equal(sl_fire(d, value, free), SL_EFIRED);
    snprintf(second, sizeof second, "deferred.c:%d)", __LINE__ - 1);
    assert_true(was_said("fired twice"));
    assert_true(was_said(strrchr(first, '/') + 1));
    assert_true(was_said(second));
    watch(d);
    assert_value("1");
    sl_deferred_unref(d);
}

/* ---- Cancelling ---- */

static int cancellers;

static sl_cancelled count_cancel(sl_deferred *deferred, void *data)
{
    cancellers++;
    return SL_CANCEL_DONE;
}

static void test_cancel_before_firing(void **state)
{
    cancellers = 0;
    sl_deferred *d = sl_deferred_new(count_cancel, NULL);
    watch(d);
    sl_cancel(d);
    assert_int_equal(cancellers, 1);
    assert_failure(SL_ECANCELED);
    sl_cancel(d);
    assert_int_equal(cancellers, 1);
    sl_deferred_unref(d);
}

static void test_cancel_after_firing_does_nothing(void **state)
{
    cancellers = 0;
    sl_deferred *d = sl_deferred_new(count_cancel, NULL);
    sl_fire(d, "done", NULL);
    sl_cancel(d);
    assert_int_equal(cancellers, 0);
    watch(d);
    assert_value("done");
    sl_deferred_unref(d);
}

static sl_result cancel_self(sl_result result, void *data)
{
    sl_cancel(self);
    return result;
}

static void test_cancel_during_firing(void **state)
{
    cancellers = 0;
    self = sl_deferred_new(count_cancel, NULL);
    sl_then(self, cancel_self, NULL, NULL, NULL);
    watch(self);
    sl_fire(self, "kept", NULL);
    assert_int_equal(cancellers, 0);
    assert_value("kept"); /* the result was there already: it wins */
    sl_deferred_unref(self);
}

static void test_cancel_while_nested(void **state)
{
    cancellers = 0;
    sl_deferred *inner = sl_deferred_new(count_cancel, NULL);
    sl_deferred *outer = outer_with(inner);
    sl_cancel(outer);
    assert_int_equal(cancellers, 1);
    assert_failure(SL_ECANCELED);
    sl_deferred_unref(outer);
}

static sl_cancelled cancel_again(sl_deferred *deferred, void *data)
{
    cancellers++;
    sl_cancel(deferred);
    return SL_CANCEL_DONE;
}

static void test_cancel_from_its_own_canceller(void **state)
{
    cancellers = 0;
    sl_deferred *d = sl_deferred_new(cancel_again, NULL);
    watch(d);
    sl_cancel(d);
    assert_int_equal(cancellers, 1);
    assert_failure(SL_ECANCELED);
    sl_deferred_unref(d);
}

static sl_cancelled fire_value(sl_deferred *deferred, void *data)
{
    sl_fire(deferred, data, NULL);
    return SL_CANCEL_DONE;
}

static void test_canceller_that_fires_a_value(void **state)
{
    sl_deferred *d = sl_deferred_new(fire_value, "instead");
    watch(d);
    sl_cancel(d);
    assert_value("instead");
    sl_deferred_unref(d);
}

static int frees;

static void count_free(void *data)
{
    frees++;
}

static void test_late_value_after_cancel_is_swallowed_once(void **state)
{
    frees = 0;
    sl_deferred *d = sl_deferred_new(NULL, NULL);
    watch(d);
    sl_cancel(d);
    assert_failure(SL_ECANCELED);
    assert_int_equal(sl_fire(d, "late", count_free), 0);
    assert_int_equal(frees, 1);
    assert_int_equal(sl_fire(d, "again", count_free), SL_EFIRED);
    assert_int_equal(frees, 2);
    sl_deferred_unref(d);
}

static void test_late_value_after_release(void **state)
{
    frees = 0;
    sl_deferred *d = sl_deferred_new(NULL, NULL);
    sl_deferred_unref(d);
    assert_int_equal(sl_fire(d, "late", count_free), 0); /* the maker's side still stood */
    assert_int_equal(frees, 1);
    assert_false(was_said("nobody"));
}

static void test_last_release_cancels(void **state)
{
    cancellers = 0;
    sl_deferred *d = sl_deferred_new(count_cancel, NULL);
    sl_deferred_ref(d);
    sl_deferred_unref(d);
    assert_int_equal(cancellers, 0);
    sl_deferred_unref(d);
    assert_int_equal(cancellers, 1);
    assert_false(was_said("nobody handled"));
}

static sl_result release_self(sl_result result, void *data)
{
    sl_deferred_unref(self);
    return result;
}

static void test_release_from_its_own_link(void **state)
{
    frees = 0;
    self = sl_deferred_new(NULL, NULL);
    sl_then(self, release_self, NULL, NULL, NULL);
    sl_fire(self, "value", count_free);
    assert_int_equal(frees, 1);
}

/* ---- Unhandled failures ---- */

static void test_unhandled_failure_is_reported_at_once(void **state)
{
    sl_deferred *d = sl_deferred_new(NULL, NULL);
    int made = __LINE__ - 1;
    sl_then(d, note_and_fail, NULL, "link", NULL);
    int failed = __LINE__ - 1;
    sl_fire(d, NULL, NULL);
    int fired = __LINE__ - 1;
    assert_false(was_said("nobody handled"));
    sl_deferred_unref(d);
    char text[64];
    assert_true(was_said("nobody handled"));
    assert_true(was_said("link failed"));
    snprintf(text, sizeof text, "deferred.c:%d)\n  fired at", made);
    assert_true(was_said(text));
    snprintf(text, sizeof text, "deferred.c:%d)\n  failed at", fired);
    assert_true(was_said(text));
    snprintf(text, sizeof text, "deferred.c:%d)\n", failed);
    assert_true(was_said(text));
}

static void test_forgetting_silences(void **state)
{
    sl_forget(sl_failing(sl_error_new(SL_EIO, "unimportant")));
    assert_string_equal(said.data, "");
}

static void test_abandoned(void **state)
{
    sl_deferred *d = sl_deferred_new(NULL, NULL);
    watch(d);
    sl_abandon(d);
    assert_failure(SL_EABANDONED);
    sl_deferred_unref(d);
}

/* ---- User data ---- */

static void test_user_data_is_freed_once(void **state)
{
    frees = 0;
    sl_deferred *d = sl_deferred_new(NULL, NULL);
    sl_then(d, note, NULL, "", count_free);          /* runs */
    sl_then(d, NULL, note, "", count_free);          /* is passed by */
    sl_then(d, note_and_fail, NULL, "", count_free); /* fails */
    sl_then(d, note, NULL, "", count_free);          /* is passed by */
    assert_int_equal(frees, 0);
    sl_fire(d, NULL, NULL);
    assert_int_equal(frees, 4);
    sl_forget(d);

    frees = 0;
    d = sl_deferred_new(count_cancel, NULL);
    sl_then(d, note, NULL, "", count_free);
    sl_deferred_unref(d); /* never fires */
    assert_int_equal(frees, 1);

    frees = 0;
    d = sl_succeeded(NULL, NULL);
    sl_deferred_pause(d);
    sl_then(d, note, NULL, "", count_free); /* can never run */
    sl_deferred_unref(d);
    assert_int_equal(frees, 1);
}

static void test_values_are_freed_once(void **state)
{
    frees = 0;
    sl_deferred_unref(sl_succeeded("v", count_free));
    assert_int_equal(frees, 1);
}

static void test_pausing_is_counted(void **state)
{
    trail[0] = '\0';
    sl_deferred *d = sl_deferred_new(NULL, NULL);
    sl_then(d, note, NULL, "x", NULL);
    sl_deferred_pause(d);
    sl_deferred_pause(d);
    sl_fire(d, NULL, NULL);
    sl_deferred_resume(d);
    assert_string_equal(trail, "");
    sl_deferred_resume(d);
    assert_string_equal(trail, "x");
    sl_deferred_unref(d);
}

/* ---- Timeouts ---- */

static void run_until_seen(void)
{
    while (seen.kind == SL_DEFERRED)
        sl_loop_run(loop);
}

static sl_result stop_loop(sl_result result, void *data)
{
    sl_loop_stop(loop);
    return result;
}

static void test_timeout(void **state)
{
    sl_deferred *d = sl_deferred_new(NULL, NULL);
    sl_timeout(d, 1);
    sl_then(d, stop_loop, stop_loop, NULL, NULL);
    watch(d);
    run_until_seen();
    assert_failure(SL_ETIMEDOUT);
    assert_int_equal(seen.error->cause->code, SL_ECANCELED);
    sl_fire(d, NULL, NULL);
    sl_deferred_unref(d);
}

static void test_timeout_covers_only_links_before_it(void **state)
{
    sl_deferred *slow = sl_sleep(30), *d = sl_deferred_new(NULL, NULL);
    sl_timeout(d, 1); /* is through as soon as d fires, below */
    sl_then(d, give, NULL, slow, NULL);
    sl_then(d, stop_loop, stop_loop, NULL, NULL);
    watch(d);
    sl_fire(d, NULL, NULL);
    run_until_seen();
    assert_value(NULL);
    sl_deferred_unref(d);
}

static void test_timeout_leaves_other_cancels_alone(void **state)
{
    sl_deferred *d = sl_deferred_new(NULL, NULL);
    sl_timeout(d, 60000);
    watch(d);
    sl_cancel(d);
    assert_failure(SL_ECANCELED);
    sl_abandon(d);
    sl_deferred_unref(d);
}

static void test_timeout_of_a_fired_one(void **state)
{
    sl_deferred *d = sl_timeout(sl_succeeded("v", NULL), 1);
    watch(d);
    assert_value("v");
    sl_deferred_unref(d);
}

/* ---- Combinators ---- */

static void test_all_in_input_order(void **state)
{
    sl_deferred *in[3] = {sl_deferred_new(NULL, NULL), sl_succeeded("b", NULL), sl_deferred_new(NULL, NULL)};
    sl_deferred *all = sl_all(in, 3);
    watch(all);
    sl_fire(in[2], "c", NULL);
    assert_pending(all);
    sl_fire(in[0], "a", NULL);
    assert_int_equal(seen.kind, SL_VALUE);
    void **values = seen.value;
    assert_string_equal(values[0], "a");
    assert_string_equal(values[1], "b");
    assert_string_equal(values[2], "c");
    sl_deferred_unref(all);
}

static void test_all_frees_each_value_once(void **state)
{
    frees = 0;
    sl_deferred *in[2] = {sl_succeeded("a", count_free), sl_succeeded("b", count_free)};
    sl_deferred *all = sl_all(in, 2);
    watch(all);
    assert_int_equal(frees, 0);
    forget_seen();
    sl_deferred_unref(all);
    assert_int_equal(frees, 2);
}

static void test_all_fails_with_the_first_and_cancels_the_rest(void **state)
{
    cancellers = 0;
    sl_deferred *in[3] = {sl_deferred_new(count_cancel, NULL), sl_deferred_new(NULL, NULL),
                          sl_deferred_new(count_cancel, NULL)};
    sl_deferred *all = sl_all(in, 3);
    watch(all);
    sl_fire_error(in[1], sl_error_new(SL_EIO, "one"));
    assert_failure(SL_EIO);
    assert_int_equal(cancellers, 2);
    sl_deferred_unref(all);
    assert_false(was_said("nobody handled"));
}

static void test_any(void **state)
{
    cancellers = 0;
    sl_deferred *in[3] = {sl_deferred_new(count_cancel, NULL), sl_deferred_new(NULL, NULL),
                          sl_deferred_new(NULL, NULL)};
    sl_deferred *any = sl_any(in, 3);
    watch(any);
    sl_fire_error(in[1], sl_error_new(SL_EIO, "one"));
    assert_pending(any);
    sl_fire(in[2], "won", NULL);
    assert_value("won");
    assert_int_equal(cancellers, 1);
    sl_deferred_unref(any);

    sl_deferred *bad[2] = {sl_failing(sl_error_new(SL_EIO, "first")),
                           sl_failing(sl_error_new(SL_EPROTO, "last"))};
    any = sl_any(bad, 2);
    watch(any);
    assert_failure(SL_EPROTO);
    sl_deferred_unref(any);
}

static void test_settled(void **state)
{
    sl_deferred *in[2] = {sl_failing(sl_error_new(SL_EIO, "one")), sl_deferred_new(NULL, NULL)};
    sl_deferred *settled = sl_settled(in, 2);
    watch(settled);
    sl_fire(in[1], "two", NULL);
    assert_int_equal(seen.kind, SL_VALUE);
    sl_result *results = seen.value;
    assert_int_equal(results[0].kind, SL_FAILURE);
    assert_int_equal(results[0].error->code, SL_EIO);
    assert_string_equal(results[1].value, "two");
    sl_deferred_unref(settled);
}

static void test_none(void **state)
{
    sl_deferred *d = sl_all(NULL, 0);
    watch(d);
    assert_int_equal(seen.kind, SL_VALUE);
    sl_deferred_unref(d);
    d = sl_settled(NULL, 0);
    watch(d);
    assert_int_equal(seen.kind, SL_VALUE);
    sl_deferred_unref(d);
    d = sl_any(NULL, 0);
    watch(d);
    assert_failure(SL_EINVAL);
    sl_deferred_unref(d);
}

static void test_cancelling_the_outcome_cancels_the_inputs(void **state)
{
    cancellers = 0;
    sl_deferred *in[2] = {sl_deferred_new(count_cancel, NULL), sl_deferred_new(count_cancel, NULL)};
    sl_deferred *all = sl_all(in, 2);
    watch(all);
    sl_cancel(all);
    assert_int_equal(cancellers, 2);
    assert_failure(SL_ECANCELED);
    sl_deferred_unref(all);
}

static void test_shielded(void **state)
{
    cancellers = 0;
    sl_deferred *d = sl_deferred_new(count_cancel, NULL);
    int counted = 0;
    sl_then(d, count, NULL, &counted, NULL);
    sl_deferred *shielded = sl_shielded(d);
    watch(shielded);
    sl_cancel(shielded);
    assert_failure(SL_ECANCELED);
    assert_int_equal(cancellers, 0);
    sl_fire(d, "unseen", NULL);
    assert_int_equal(counted, 1);
    sl_deferred_unref(shielded);

    d = sl_deferred_new(NULL, NULL);
    shielded = sl_shielded(d);
    watch(shielded);
    sl_fire(d, "through", NULL);
    assert_value("through");
    sl_deferred_unref(shielded);
}

/* ---- Threads ---- */

static void *fires(void *data)
{
    assert_int_equal(sl_fire_from_thread((sl_deferred *)data, "thread", NULL), 0);
    return NULL;
}

static void *awaits_thread(void *data)
{
    pthread_t thread;
    for (int i = 0; i < 100; i++) {
        sl_deferred *d = sl_deferred_new(NULL, NULL);
        assert_int_equal(pthread_create(&thread, NULL, fires, d), 0);
        assert_string_equal(sl_await(d), "thread");
        pthread_join(thread, NULL);
    }
    return NULL;
}

static void test_firing_from_a_thread(void **state)
{
    sl_deferred *d = sl_spawn(awaits_thread, NULL);
    sl_then(d, stop_loop, stop_loop, NULL, NULL);
    watch(d);
    run_until_seen();
    assert_value(NULL);
    sl_deferred_unref(d);
}

/* ---- Context ---- */

static SL_KEY(colour, SL_CAPTURED);

static sl_result see_colour(sl_result result, void *data)
{
    return sl_ok(sl_get(&colour));
}

static void test_links_run_in_their_context(void **state)
{
    sl_deferred *d = sl_deferred_new(NULL, NULL);
    {
        SL_WITH(&colour, "red");
        sl_then(d, see_colour, NULL, NULL, NULL);
    }
    watch(d);
    SL_WITH(&colour, "blue");
    sl_fire(d, NULL, NULL);
    assert_value("red");
    assert_string_equal(sl_get(&colour), "blue");
    sl_deferred_unref(d);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_links_before_and_after),
        CASE(test_link_added_from_inside_a_link),
        CASE(test_switching_sides),
        CASE(test_link_gives_a_pending_one),
        CASE(test_link_gives_a_fired_one),
        CASE(test_link_gives_a_failed_one),
        CASE(test_link_gives_a_paused_one),
        CASE(test_link_gives_a_cancelled_one),
        CASE(test_many_links_on_one),
        CASE(test_deep_nest),
        CASE(test_deep_nest_from_outside),
        CASE(test_chain_of_explicit_fires),
        CASE(test_cycle_of_one),
        CASE(test_cycle_of_three),
        CASE(test_firing_twice_names_both_sites),
        CASE(test_cancel_before_firing),
        CASE(test_cancel_after_firing_does_nothing),
        CASE(test_cancel_during_firing),
        CASE(test_cancel_while_nested),
        CASE(test_cancel_from_its_own_canceller),
        CASE(test_canceller_that_fires_a_value),
        CASE(test_late_value_after_cancel_is_swallowed_once),
        CASE(test_late_value_after_release),
        CASE(test_last_release_cancels),
        CASE(test_release_from_its_own_link),
        CASE(test_unhandled_failure_is_reported_at_once),
        CASE(test_forgetting_silences),
        CASE(test_abandoned),
        CASE(test_user_data_is_freed_once),
        CASE(test_values_are_freed_once),
        CASE(test_pausing_is_counted),
        CASE(test_timeout),
        CASE(test_timeout_covers_only_links_before_it),
        CASE(test_timeout_leaves_other_cancels_alone),
        CASE(test_timeout_of_a_fired_one),
        CASE(test_all_in_input_order),
        CASE(test_all_frees_each_value_once),
        CASE(test_all_fails_with_the_first_and_cancels_the_rest),
        CASE(test_any),
        CASE(test_settled),
        CASE(test_none),
        CASE(test_cancelling_the_outcome_cancels_the_inputs),
        CASE(test_shielded),
        CASE(test_firing_from_a_thread),
        CASE(test_links_run_in_their_context),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    forget_seen();
    return failed;
}
