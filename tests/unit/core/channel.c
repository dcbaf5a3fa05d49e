/* Channels: what is emitted reaches who subscribed, here and by the bus. */
#include "check.h"

#include <jansson.h>

SL_EVENT(said);
SL_EVENT(left);

static void emit(const char *channel, const sl_event *event, int number)
{
    sl_emit(sl_channel("%s", channel), event, json_integer(number));
}

static void *listens(void *data)
{
    sl_inbox *inbox = sl_subscribe(sl_channel("room/%s", "a"), said);
    intptr_t sum = 0;
    for (json_t *n; (n = sl_next(inbox));) {
        sum = sum * 10 + (intptr_t)json_integer_value(n);
        if (json_integer_value(n) == 3)
            sl_inbox_close(inbox);
    }
    return (void *)sum;
}

static void *talks(void *data)
{
    sl_deferred *one = sl_spawn(listens, NULL), *two = sl_spawn(listens, NULL);
    sl_yield();
    emit("room/a", said, 1);
    emit("room/a", left, 7); /* another event */
    emit("room/b", said, 8); /* another channel */
    emit("room/a", said, 2);
    sl_yield();
    emit("room/a", said, 3);
    assert_int_equal((intptr_t)sl_await(one), 123);
    assert_int_equal((intptr_t)sl_await(two), 123);
    emit("room/a", said, 9); /* nobody is left */
    return NULL;
}

static void test_subscribers_get_events_in_order(void **state)
{
    assert_int_equal(sl_run("test", talks, NULL, NULL), 0);
}

static void *lags(void *data)
{
    sl_inbox *inbox = sl_subscribe(sl_channel("busy"), NULL);
    for (int i = 0; i < 1500; i++)
        emit("busy", said, i);
    assert_int_equal(sl_inbox_missed(inbox), 1500 - 1024);
    assert_int_equal(sl_inbox_missed(inbox), 0);
    assert_int_equal(json_integer_value(sl_next(inbox)), 1500 - 1024);
    return NULL;
}

static void test_a_lagging_inbox_says_what_it_missed(void **state)
{
    assert_int_equal(sl_run("test", lags, NULL, NULL), 0);
}

static void *waits_a_while(void *data)
{
    bool silent;
    sl_inbox *inbox = sl_subscribe(sl_channel("quiet"), said);
    assert_null(sl_next_within(inbox, 1, &silent));
    assert_true(silent);
    emit("quiet", said, 4);
    assert_int_equal(json_integer_value(sl_next_within(inbox, 60000, &silent)), 4);
    assert_false(silent);
    sl_inbox_close(inbox);
    assert_null(sl_next_within(inbox, 60000, &silent));
    assert_false(silent); /* closed, not silent */
    return NULL;
}

static void test_waiting_for_a_while(void **state)
{
    assert_int_equal(sl_run("test", waits_a_while, NULL, NULL), 0);
}

static void *asks_for_many(void *data)
{
    sl_inbox *inbox = sl_subscribe(sl_channel("kept"), said);
    for (int i = 0; i < 100000; i++) /* names that a peer may choose */
        sl_emit(sl_channel("visitor/%d", i), said, NULL);
    emit("kept", said, 5);
    assert_int_equal(json_integer_value(sl_next(inbox)), 5);
    sl_channel *kept = sl_channel("kept");
    sl_inbox_close(inbox);
    assert_ptr_equal(kept, sl_channel("kept")); /* the idle one is found again while few others came */
    return NULL;
}

static void test_channels_nobody_listens_to_are_few(void **state)
{
    assert_int_equal(sl_run("test", asks_for_many, NULL, NULL), 0);
}

static char forwarded[256];

static void forward(void *data, const char *channel, const char *event, const char *json, size_t size)
{
    snprintf(forwarded, sizeof forwarded, "%s %s %.*s", channel, event, (int)size, json);
}

static void *bus(void *data)
{
    sl_root *root = sl_root_current();
    sl_bus_attach(root, forward, NULL);
    sl_inbox *inbox = sl_subscribe(sl_channel("r"), said);
    sl_emit(sl_channel("r"), said, json_pack("{s:i}", "n", 5));
    assert_string_equal(forwarded, "r said {\"n\":5}");
    assert_int_equal(json_integer_value(json_object_get(sl_next(inbox), "n")), 5);
    sl_bus_deliver(root, "r", "said", "{\"n\":6}", 7);
    sl_bus_deliver(root, "r", "said", "{broken", 7);
    sl_bus_deliver(root, "nobody", "said", "1", 1);
    assert_int_equal(json_integer_value(json_object_get(sl_next(inbox), "n")), 6);
    sl_emit(sl_channel("r"), said, NULL);
    json_t *last = sl_next(inbox);
    assert_true(json_is_null(last));
    /* What is too deep to be written stays here. */
    json_t *deep = json_array();
    for (unsigned i = 0; i < 1500; i++)
        deep = json_pack("[o]", deep);
    forwarded[0] = '\0';
    sl_emit(sl_channel("r"), said, deep);
    assert_string_equal(forwarded, "");
    last = sl_next(inbox);
    assert_true(json_is_array(last));
    return NULL;
}

static void test_bus(void **state)
{
    assert_int_equal(sl_run("test", bus, NULL, NULL), 0);
}

static void *subscribes_above(void *data)
{
    sl_inbox *site = sl_subscribe(sl_channel("site"), said),
             *pool = sl_subscribe(sl_channel("site/pool"), NULL);
    emit("site/pool/added", said, 1);
    emit("site/pool", left, 2);
    emit("site/other", said, 3);
    sl_bus_deliver(sl_root_current(), "site/pool/there", "said", "4",
                   1); /* nobody asked for that channel here */
    emit("sites", said, 5);
    assert_int_equal(json_integer_value(sl_next(site)), 1);
    assert_int_equal(json_integer_value(sl_next(site)), 3);
    assert_int_equal(json_integer_value(sl_next(site)), 4);
    assert_int_equal(json_integer_value(sl_next(pool)), 1);
    assert_int_equal(json_integer_value(sl_next(pool)), 2);
    assert_int_equal(json_integer_value(sl_next(pool)), 4);
    bool silent;
    assert_null(sl_next_within(site, 1, &silent));
    assert_null(sl_next_within(pool, 1, &silent));
    return NULL;
}

static void test_what_is_told_below_reaches_those_above(void **state)
{
    assert_int_equal(sl_run("test", subscribes_above, NULL, NULL), 0);
}

static void *ends_subscribed(void *data)
{
    sl_subscribe(sl_channel("x"), said);
    return NULL;
}

static void *waits_forever(void *data)
{
    sl_next(sl_subscribe(sl_channel("x"), said));
    return NULL;
}

static void *subscriptions_end(void *data)
{
    sl_await(sl_spawn(ends_subscribed, NULL));
    emit("x", said, 1);
    sl_deferred *waiting = sl_spawn(waits_forever, NULL);
    sl_yield();
    sl_cancel(waiting);
    sl_error *error;
    sl_try(waiting, &error);
    emit("x", said, 2);
    return NULL;
}

static void test_a_subscription_ends_with_its_task(void **state)
{
    assert_int_equal(sl_run("test", subscriptions_end, NULL, NULL), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_subscribers_get_events_in_order),
        cmocka_unit_test(test_a_lagging_inbox_says_what_it_missed),
        cmocka_unit_test(test_waiting_for_a_while),
        cmocka_unit_test(test_channels_nobody_listens_to_are_few),
        cmocka_unit_test(test_bus),
        cmocka_unit_test(test_what_is_told_below_reaches_those_above),
        cmocka_unit_test(test_a_subscription_ends_with_its_task),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
