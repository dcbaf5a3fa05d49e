/* Children that break the rules: they are ended, or held to a limit, and we go on. */
#include "check.h"
#include "core/channel.h"
#include "modules/sums.h"

#include <jansson.h>
#include <unistd.h>

static sl_manager *manager;

static void *run_trial(void *data)
{
    sl_manager_options options = {.programs = getenv("ROGUE_PROGRAMS")};
    CHECK(sl_manager_new(sl_root_current(), &options, &manager) == 0);
    (*(sl_task_fn **)data)(NULL);
    sl_manager_free(manager);
    return NULL;
}
#define TEST(name)                                                                                           \
    static void *name##_task(void *data);                                                                    \
    static void name(void **state)                                                                           \
    {                                                                                                        \
        sl_task_fn *task = name##_task;                                                                      \
        assert_int_equal(sl_run("test", run_trial, &task, NULL), 0);                                         \
    }                                                                                                        \
    static void *name##_task(void *data)

static void offer_with(const char *how, const sl_offer *options)
{
    sl_error *error = NULL;
    CHECK(sl_manager_offer(manager, "sums", options, how, &error) == 0);
}

static void offer(const char *how)
{
    offer_with(how, &(sl_offer){.service = sums_service, .queue_calls = 10000});
}

/* What the statistics say of the only service. */
static int64_t counted(const char *what)
{
    json_auto_t *stats = sl_manager_stats(manager);
    const json_t *service = json_array_get(stats, 0), *calls = json_object_get(service, "calls");
    const json_t *count = json_object_get(calls, what);
    return json_integer_value(count ? count : json_object_get(service, what));
}

static size_t children(void)
{
    json_auto_t *stats = sl_manager_stats(manager);
    return json_array_size(json_object_get(json_array_get(stats, 0), "children"));
}

TEST(what_cannot_be_read_ends_the_child)
{
    static const char *const ways[] = {"upcall-garbage", "event-garbage", "log-garbage"};
    for (size_t i = 0; i < sl_array_size(ways); i++) {
        offer(ways[i]);
        CHECK_FAILS(sl_call(sums, add, 1, 1), SL_ECRASHED, "what it asked for cannot be read");
        const struct number *got = sl_await(sl_call(sums, count)); /* another child */
        CHECK(got->value == 42);
        sl_manager_withdraw(manager, "sums");
    }
    return NULL;
}

TEST(a_number_is_used_once)
{
    offer("number-twice");
    CHECK_FAILS(sl_call(sums, add, 1, 1), SL_ECRASHED, "gave two calls the same number");
    return NULL;
}

TEST(names_of_channels_have_a_limit)
{
    offer("long-channel");
    CHECK_FAILS(sl_call(sums, add, 1, 1), SL_ECRASHED, "the name of a channel");
    return NULL;
}

/* Signals go to the group, which may be without it. */
TEST(who_leaves_its_group_is_ended_too)
{
    offer_with("other-group", &(sl_offer){.service = sums_service, .grace_ms = 20});
    CHECK_FAILS(sl_call_with(SL_CALL(.timeout_ms = 100), sums, add, 1, 1), SL_ETIMEDOUT, "");
    while (children())
        sl_await(sl_sleep(1));
    return NULL;
}

static sl_result free_manager(const sl_told *told, void *data)
{
    manager = sl_manager_free(manager);
    return sl_ok(NULL);
}

TEST(an_event_of_a_child_may_end_all)
{
    offer("event");
    sl_listen_to(sl_channel("x"), noted, free_manager, NULL);
    CHECK_FAILS(sl_call(sums, add, 1, 1), SL_ECLOSED, "");
    return NULL;
}

/* Its own calls wait behind it, as it does one at a time. */
TEST(a_child_has_so_many_calls_at_once)
{
    offer("many-calls");
    const struct number *got = sl_await(sl_call(sums, add, 1, 1));
    CHECK(got->value == 42);
    CHECK(counted("accepted") == 1 + 4096);
    return NULL;
}

TEST(a_child_hears_so_many_channels)
{
    sl_root *root = sl_root_current();
    offer("many-channels");
    sl_await(sl_call(sums, add, 1, 1));
    CHECK(sl_channel_get(root, "channel/0")->first_listener);
    CHECK(sl_channel_get(root, "channel/4095")->first_listener);
    CHECK(!sl_channel_get(root, "channel/4096")->first_listener);
    sl_manager_withdraw(manager, "sums"); /* ends the child, and what it heard */
    while (sl_channel_get(root, "channel/0")->first_listener)
        sl_await(sl_sleep(1));
    CHECK(!sl_channel_get(root, "channel/4095")->first_listener);
    return NULL;
}

TEST(what_makes_no_sense_does_no_harm)
{
    offer("odd-channels");
    const struct number *got = sl_await(sl_call(sums, add, 1, 1));
    CHECK(got->value == 42);
    sl_emit(sl_channel("a"), noted, NULL);
    got = sl_await(sl_call(sums, count)); /* by the same child */
    CHECK(got->value == 42);
    CHECK(counted("starts") == 1);
    return NULL;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_cannot_be_read_ends_the_child),
        cmocka_unit_test(a_number_is_used_once),
        cmocka_unit_test(names_of_channels_have_a_limit),
        cmocka_unit_test(who_leaves_its_group_is_ended_too),
        cmocka_unit_test(an_event_of_a_child_may_end_all),
        cmocka_unit_test(a_child_has_so_many_calls_at_once),
        cmocka_unit_test(a_child_hears_so_many_channels),
        cmocka_unit_test(what_makes_no_sense_does_no_harm),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
