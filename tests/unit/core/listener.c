/* Listeners: who is called when something is told, in which order, and what becomes of what they return. */
#include "check.h"
#include "logged.h"

#include <jansson.h>

SL_EVENT(said);
SL_EVENT(left);
SL_EVENT(state_changed, .sticky = true);
SL_LOCAL_EVENT(added, int);

static char heard[256];

static sl_result hear(const sl_told *told, void *data)
{
    strcat(heard, data);
    return sl_ok(NULL);
}

static const char *told_on(const char *name, const sl_event *event)
{
    heard[0] = '\0';
    sl_emit(sl_channel("%s", name), event, NULL);
    return heard;
}

/* ---- Order ---- */

static void *listens_in_order(void *data)
{
    sl_channel *pool = sl_channel("site/pool"), *pools_added = sl_channel("site/pool/added");
    sl_listen_to(sl_channel("site"), said, hear, "s");
    sl_listen_to(pools_added, said, hear, "1");
    sl_listen_to(pool, NULL, hear, "p");
    sl_listen_to(pools_added, said, hear, "2");
    sl_listen_to(pools_added, left, hear, "x");
    sl_listen_to(sl_channel("sit"), NULL, hear, "y");
    sl_listen_to(sl_channel("site/pool/added/deep"), NULL, hear, "z");
    assert_string_equal(told_on("site/pool/added", said), "12ps");
    assert_string_equal(told_on("site/pool/added", left), "xp");
    assert_string_equal(told_on("site/pool", said), "ps");
    assert_string_equal(told_on("site/other/added", said), "s");
    assert_string_equal(told_on("site", said), "s");
    assert_string_equal(told_on("elsewhere", said), "");
    sl_listen_to(sl_channel("site"), said, hear, "!", .priority = 1);
    sl_listen_to(pools_added, said, hear, "-", .priority = -5);
    sl_listen_to(pools_added, said, hear, "3");
    sl_listen_to(sl_channel("site"), said, hear, "?", .priority = 1);
    assert_string_equal(told_on("site/pool/added", said), "!?123ps-");
    return NULL;
}

static void test_priority_then_nearness_then_age(void **state)
{
    assert_int_equal(run_logged(listens_in_order, NULL), 0);
}

static void *many_listen(void *data)
{
    static char names[300][2];
    heard[0] = '\0';
    for (int i = 0; i < 200; i++) {
        names[i][0] = (char)('a' + i % 20);
        sl_listen_to(sl_channel("many"), said, hear, names[i], .priority = 20 - i % 20);
    }
    told_on("many", said);
    assert_int_equal(strlen(heard), 200);
    for (int i = 0; i < 200; i++)
        assert_int_equal(heard[i], 'a' + i / 10);
    return NULL;
}

static void test_many_priorities(void **state)
{
    assert_int_equal(run_logged(many_listen, NULL), 0);
}

static sl_told seen;

static sl_result look(const sl_told *told, void *data)
{
    static char channel[64]; /* what it is told lives as long as the call */
    static sl_event event;
    snprintf(channel, sizeof channel, "%s", told->channel);
    event = *told->event;
    event.name = strcmp(event.name, "said") == 0 ? "said" : "another";
    seen = *told;
    seen.channel = channel;
    seen.event = &event;
    if (told->event->local)
        *(int *)data = *(const int *)told->payload;
    else
        *(int *)data = (int)json_integer_value((const json_t *)told->payload);
    return sl_ok(NULL);
}

static void *looks_at_what_is_told(void *data)
{
    int number = 0, payload = 7;
    sl_channel *below = sl_channel("a/b");
    sl_listen_to(sl_channel("a"), NULL, look, &number);
    sl_emit(below, said, json_integer(5));
    int line = __LINE__ - 1;
    assert_int_equal(number, 5);
    assert_string_equal(seen.event->name, "said");
    assert_string_equal(seen.channel, "a/b");
    assert_int_equal(seen.site->line, line);
    assert_false(seen.late || seen.elsewhere);
    sl_tell(below, added, &payload);
    assert_int_equal(number, 7);
    return NULL;
}

static void test_listeners_see_what_is_told_where(void **state)
{
    assert_int_equal(run_logged(looks_at_what_is_told, NULL), 0);
}

static void *names_deeply(void *data)
{
    sl_buffer name = {0};
    sl_buffer_puts(&name, "0");
    for (int i = 1; i < 2000; i++)
        sl_buffer_printf(&name, "/%d", i);
    heard[0] = '\0';
    sl_listen_to(sl_channel("0/1/2"), said, hear, "a");
    sl_listen_to(sl_channel("0/1/2/3/4/5/6/7/8/9/10/11/12/13/14/15"), said, hear, "b"); /* sixteen levels */
    sl_listen_to(sl_channel("0/1/2/3/4/5/6/7/8/9/10/11/12/13/14/15/16"), said, hear, "c");
    assert_string_equal(told_on(name.data, said), "ba");
    assert_string_equal(told_on("0/1/2/3/4/5/6/7/8/9/10/11/12/13/14/15/16", said), "cba");
    assert_string_equal(told_on("/", said), "");
    assert_string_equal(told_on("", said), "");
    sl_listen_to(sl_channel("//"), said, hear, "d");
    assert_string_equal(told_on("///", said), "d");
    sl_buffer_done(&name);
    return NULL;
}

static void test_levels_are_bounded(void **state)
{
    assert_int_equal(run_logged(names_deeply, NULL), 0);
}

/* ---- Beginning and ending meanwhile ---- */

static sl_listener *to_end;

static sl_result end_another(const sl_told *told, void *data)
{
    strcat(heard, data);
    sl_listener_end(to_end);
    to_end = NULL;
    return sl_ok(NULL);
}

static sl_result begin_another(const sl_told *told, void *data)
{
    strcat(heard, data);
    sl_listen_to(sl_channel("%s", told->channel), said, hear, "n");
    return sl_ok(NULL);
}

static sl_result emit_inside(const sl_told *told, void *data)
{
    strcat(heard, "(");
    if (strlen(heard) < 10)
        sl_emit(sl_channel("%s", told->channel), said, NULL);
    strcat(heard, ")");
    return sl_ok(NULL);
}

static void *changes_while_telling(void *data)
{
    sl_channel *removing = sl_channel("removing");
    sl_listen_to(removing, said, end_another, "1");
    to_end = sl_listen_to(removing, said, hear, "2");
    sl_listen_to(removing, said, hear, "3");
    assert_string_equal(told_on("removing", said), "13");
    assert_string_equal(told_on("removing", said), "13");

    sl_channel *own = sl_channel("own");
    to_end = sl_listen_to(own, said, end_another, "o");
    assert_string_equal(told_on("own", said), "o");
    assert_string_equal(told_on("own", said), "");

    sl_channel *adding = sl_channel("adding");
    sl_listener *adder = sl_listen_to(adding, said, begin_another, "a");
    assert_string_equal(told_on("adding", said), "a");
    assert_string_equal(told_on("adding", said), "an");
    sl_listener_end(adder);
    assert_string_equal(told_on("adding", said), "nn");

    sl_listener *nested = sl_listen_to(adding, said, emit_inside, NULL, .priority = 1);
    assert_string_equal(told_on("adding", said), "(((((((((("
                                                 ")nn)nn)nn)nn)nn)nn)nn)nn)nn)nn");
    sl_listener_end(nested);
    sl_listener_end(NULL);
    return NULL;
}

static void test_listeners_may_come_and_go_while_something_is_told(void **state)
{
    assert_int_equal(run_logged(changes_while_telling, NULL), 0);
}

/* The first to be called ends all others and asks for many channels, so that this one could be dropped. */
static sl_object *everybody;

static sl_result end_everybody(const sl_told *told, void *data)
{
    strcat(heard, data);
    everybody = sl_object_unref(everybody);
    for (int i = 0; i < 3000; i++)
        sl_channel("visitor/%d", i);
    return sl_ok(NULL);
}

static void *ends_all_while_telling(void *data)
{
    everybody = sl_object_new("everybody");
    for (int i = 0; i < 4; i++)
        sl_listen_to(sl_channel("crowd/%d", i % 2), said, end_everybody, "e", .owner = everybody);
    assert_string_equal(told_on("crowd/1/x", said), "e");
    assert_string_equal(told_on("crowd/1/x", said), "");
    return NULL;
}

static void test_all_listeners_may_go_while_something_is_told(void **state)
{
    assert_int_equal(run_logged(ends_all_while_telling, NULL), 0);
}

static int data_freed;

static void free_data(void *data)
{
    data_freed++;
}

static sl_result again_once(const sl_told *told, void *data)
{
    strcat(heard, "o");
    assert_int_equal(data_freed, 0); /* it is still in use */
    sl_emit(sl_channel("once"), said, NULL);
    return sl_ok(NULL);
}

static void *listens_once(void *data)
{
    data_freed = 0;
    sl_listener *once =
        sl_listen_to(sl_channel("once"), said, again_once, "data", .once = true, .free_data = free_data);
    sl_listen_to(sl_channel("once"), said, hear, "a");
    assert_string_equal(told_on("once", left), "");
    assert_string_equal(told_on("once", said), "oaa");
    assert_int_equal(data_freed, 1);
    assert_string_equal(told_on("once", said), "a");
    sl_listener_end(once); /* of this task: harmless */
    return NULL;
}

static void test_once(void **state)
{
    assert_int_equal(run_logged(listens_once, NULL), 0);
    assert_int_equal(data_freed, 1);
}

/* ---- Owners ---- */

static void *listens_and_ends(void *data)
{
    sl_listen_to(sl_channel("owned"), said, hear, "t", .free_data = free_data);
    return NULL;
}

static void listens_for_the_root(void *data)
{
    SL_WITH(&sl_logger_key, &keeping); /* a context on top of the root's */
    sl_listen_to(sl_channel("owned"), said, hear, "r", .free_data = free_data);
    sl_fire((sl_deferred *)data, NULL, NULL);
}

static void *owns(void *data)
{
    data_freed = 0;
    sl_object *owner = sl_object_new("owner");
    sl_await(sl_spawn(listens_and_ends, NULL));
    assert_int_equal(data_freed, 1);
    sl_listener *early =
        sl_listen_to(sl_channel("owned"), said, hear, "e", .owner = owner, .free_data = free_data);
    sl_listen_to(sl_channel("owned"), said, hear, "o", .owner = owner, .free_data = free_data);
    sl_deferred *listening = sl_deferred_new(NULL, NULL);
    sl_deferred_ref(listening);
    sl_loop_post(sl_loop_current(), listens_for_the_root, listening);
    sl_await(listening);
    sl_deferred_unref(listening);
    assert_string_equal(told_on("owned", said), "eor");
    sl_listener_end(early);
    assert_int_equal(data_freed, 2);
    assert_string_equal(told_on("owned", said), "or");
    sl_object_unref(owner);
    assert_int_equal(data_freed, 3);
    assert_string_equal(told_on("owned", said), "r");
    return NULL;
}

static void test_a_listener_ends_with_its_owner(void **state)
{
    assert_int_equal(run_logged(owns, NULL), 0);
    assert_int_equal(data_freed, 4); /* the root's, with the root */
}

static SL_KEY(user, SL_CAPTURED);

static sl_result hear_user(const sl_told *told, void *data)
{
    strcat(heard, sl_get(&user));
    return sl_ok(NULL);
}

static void *listens_in_context(void *data)
{
    {
        SL_WITH(&user, "Ada");
        sl_listen_to(sl_channel("context"), said, hear_user, NULL);
    }
    {
        SL_WITH(&user, "Bob");
        sl_listen_to(sl_channel("context"), said, hear_user, NULL);
        assert_string_equal(told_on("context", said), "AdaBob");
        assert_string_equal(sl_get(&user), "Bob");
    }
    return NULL;
}

static void test_each_is_called_in_the_context_in_which_it_began(void **state)
{
    assert_int_equal(run_logged(listens_in_context, NULL), 0);
}

/* ---- Sticky events ---- */

static void *listens_late(void *data)
{
    int number = 0;
    sl_emit(sl_channel("device/7"), state_changed, json_integer(1));
    sl_emit(sl_channel("device/7"), state_changed, json_integer(2));
    int line = __LINE__ - 1;
    sl_emit(sl_channel("device/7"), said, json_integer(9));
    sl_listen_to(sl_channel("device/7"), state_changed, look, &number);
    assert_int_equal(number, 2);
    assert_true(seen.late);
    assert_int_equal(seen.site->line, line);
    number = 0;
    sl_listen_to(sl_channel("device"), state_changed, look, &number); /* it would have heard that, too */
    assert_int_equal(number, 2);
    assert_string_equal(seen.channel, "device/7");
    number = 0;
    sl_listen_to(sl_channel("device"), NULL, look, &number);
    assert_int_equal(number, 2);
    number = 0;
    sl_listen_to(sl_channel("device"), said, look, &number);
    sl_listen_to(sl_channel("device/8"), state_changed, look, &number);
    assert_int_equal(number, 0);
    data_freed = 0;
    assert_null(sl_listen_to(sl_channel("device"), state_changed, look, &number, .once = true,
                             .free_data = free_data));
    assert_int_equal(number, 2);
    assert_int_equal(data_freed, 1);
    sl_inbox *inbox = sl_subscribe(sl_channel("device"), state_changed);
    assert_int_equal(json_integer_value(sl_next(inbox)), 2);
    sl_emit(sl_channel("device/7"), state_changed, json_integer(3));
    assert_int_equal(number, 3);
    assert_false(seen.late);
    assert_int_equal(json_integer_value(sl_next(inbox)), 3);
    return NULL;
}

static void test_late_listeners_get_the_last_of_a_sticky_event(void **state)
{
    assert_int_equal(run_logged(listens_late, NULL), 0);
}

/* ---- Failing ---- */

static sl_result fail_at_once(const sl_told *told, void *data)
{
    strcat(heard, "f");
    return sl_failed(sl_error_new(SL_EBUSY, "%s is busy", (char *)data));
}

static sl_result exit_at_once(const sl_told *told, void *data)
{
    strcat(heard, "x");
    sl_fail(SL_EBUSY, "%s is busy", (char *)data);
}

static sl_result fail_later(const sl_told *told, void *data)
{
    strcat(heard, "l");
    return sl_later(sl_failing(sl_error_new(SL_EIO, "%s broke", (char *)data)));
}

static void *emits(void *channel)
{
    sl_inbox *inbox = sl_subscribe(channel, said);
    sl_error *error;
    sl_emit((sl_channel *)channel, left, NULL); /* nobody fails at this one */
    SL_SCRATCH()
    {
        json_t *payload = json_string("payload");
        json_incref(payload);
        sl_defer((sl_free_fn *)json_decref, payload);
        sl_emit((sl_channel *)channel, said, payload);
    }
    sl_try(sl_sleep(0), &error);
    sl_inbox_close(inbox);
    return NULL;
}

static void expect_failure(const char *channel, sl_listener_fn *fails)
{
    sl_channel *told = sl_channel("%s", channel);
    sl_listen_to(told, NULL, hear, "1");
    int listening = __LINE__ + 1;
    sl_listener *failing = sl_listen_to(told, said, fails, (void *)channel);
    sl_listen_to(told, NULL, hear, "2");
    sl_inbox *inbox = sl_subscribe(sl_channel("%s", channel), said);
    heard[0] = '\0';
    sl_error *error;
    sl_try(sl_spawn(emits, sl_channel("%s", channel)), &error);
    assert_int_equal(error->code, SL_EBUSY);
    char *text = sl_error_text(error);
    assert_non_null(strstr(text, sl_printf("listener.c:%d", listening)));
    assert_non_null(strstr(text, "emits"));
    free(text);
    bool silent;
    assert_null(sl_next_within(inbox, 1, &silent)); /* inboxes got nothing */
    assert_true(silent);
    sl_inbox_close(inbox);
    sl_listener_end(failing);
    assert_string_equal(told_on(channel, said), "12"); /* all is in order */
}

static void *fails_a_task(void *data)
{
    expect_failure("failing", fail_at_once);
    expect_failure("exiting", exit_at_once);
    return NULL;
}

static void test_a_failure_stops_the_telling_and_fails_the_task(void **state)
{
    assert_int_equal(run_logged(fails_a_task, NULL), 0);
}

static void emits_outside_tasks(void *data)
{
    heard[0] = '\0';
    sl_emit(sl_channel("outside"), said, NULL);
    sl_fire((sl_deferred *)data, NULL, NULL);
}

static sl_result emits_in_a_link(sl_result result, void *data)
{
    heard[0] = '\0';
    sl_emit(sl_channel("outside"), said, NULL);
    return sl_ok("the link goes on");
}

static void *fails_outside(void *data)
{
    sl_listen_to(sl_channel("outside"), said, hear, "1");
    sl_listen_to(sl_channel("outside"), said, fail_at_once, "the listener");
    sl_listen_to(sl_channel("outside"), said, hear, "2");
    sl_deferred *done = sl_deferred_new(NULL, NULL);
    sl_soon(emits_outside_tasks, done);
    sl_await(done);
    assert_string_equal(heard, "1f");
    assert_logged("said on channel outside was not told to all: the listener is busy");
    sl_deferred *linked = sl_deferred_new(NULL, NULL);
    sl_then(linked, emits_in_a_link, NULL, NULL, NULL);
    sl_fire(linked, NULL, NULL); /* the link runs on this task's stack, but must not be left by an exit */
    assert_string_equal(sl_await(linked), "the link goes on");
    assert_logged("told at emits_in_a_link");
    return NULL;
}

static void test_outside_tasks_a_failure_is_logged(void **state)
{
    assert_int_equal(run_logged(fails_outside, NULL), 0);
}

static void *emits_safely(void *data)
{
    sl_channel *channel = sl_channel("safe");
    int listening = __LINE__ + 1;
    sl_listen_to(channel, NULL, fail_at_once, "the first");
    sl_listen_to(channel, NULL, hear, "1");
    sl_listen_to(channel, NULL, exit_at_once, "the second");
    sl_listen_to(channel, NULL, fail_later, "the third");
    sl_listen_to(channel, NULL, hear, "2");
    sl_inbox *inbox = sl_subscribe(channel, said);
    heard[0] = '\0';
    int telling = __LINE__ + 1;
    assert_int_equal(sl_emit_safely(channel, said, json_integer(3)), 2);
    assert_string_equal(heard, "f1xl2");
    assert_int_equal(json_integer_value(sl_next(inbox)), 3);
    assert_non_null(strstr(logged.data, sl_printf("%s:%d)\n  told at emits_safely (%s:%d)", __FILE__,
                                                  listening, __FILE__, telling)));
    assert_non_null(strstr(logged.data, "the second is busy"));
    assert_logged("a listener to said on channel safe failed: the third broke");
    heard[0] = '\0';
    int number = 1;
    assert_int_equal(sl_tell_safely(channel, added, &number), 2);
    assert_string_equal(heard, "f1xl2");
    assert_logged("a listener to added on channel safe failed: the first is busy");
    return NULL;
}

static void test_emit_safely_tells_all_and_logs_each_failure_with_both_places(void **state)
{
    assert_int_equal(run_logged(emits_safely, NULL), 0);
}

/* ---- Collecting ---- */

static sl_result give(const sl_told *told, void *data)
{
    return sl_ok(data);
}

static sl_result give_owned(const sl_told *told, void *data)
{
    return sl_owned(sl_strdup_heap(data), free);
}

static void *gives_later(void *data)
{
    sl_await(sl_sleep(1));
    return sl_printf("%s, later", (char *)data); /* in the arena of a task that has ended then */
}

static sl_result give_later(const sl_told *told, void *data)
{
    return sl_later(sl_spawn(gives_later, data));
}

static const char *joined(const sl_values *values)
{
    sl_buffer text = {0};
    for (size_t i = 0; i < values->count; i++)
        sl_buffer_printf(&text, "%s%s", i ? "; " : "",
                         values->items[i] ? (char *)values->items[i] : "nothing");
    const char *copy = sl_strdup(text.data ? text.data : "");
    sl_buffer_done(&text);
    return copy;
}

static void *collects(void *data)
{
    sl_channel *channel = sl_channel("asked");
    assert_int_equal(((sl_values *)sl_await(sl_collect(channel, said, NULL)))->count, 0);
    sl_inbox *inbox = sl_subscribe(channel, said);
    sl_listen_to(channel, said, give_later, "one");
    sl_listen_to(channel, said, give, "two");
    sl_listen_to(channel, said, give_owned, "three");
    sl_listen_to(channel, said, give, NULL);
    sl_listen_to(channel, said, give_later, "first", .priority = 1);
    assert_string_equal(joined(sl_await(sl_collect(channel, said, NULL))),
                        "first, later; one, later; two; three; nothing");
    sl_listener *bad = sl_listen_to(channel, said, fail_at_once, "the fourth");
    sl_error *error;
    assert_null(sl_try(sl_collect(channel, said, NULL), &error));
    assert_string_equal(error->message, "the fourth is busy");
    assert_string_equal(joined(sl_await(sl_collect_safely(channel, said, NULL))),
                        "first, later; one, later; two; three; nothing");
    assert_logged("a listener to said on channel asked failed: the fourth is busy");
    sl_listener_end(bad);
    bad = sl_listen_to(channel, said, fail_later, "the fifth", .priority = 5);
    assert_null(sl_try(sl_collect(channel, said, NULL), &error));
    assert_string_equal(error->message, "the fifth broke");
    assert_string_equal(joined(sl_await(sl_collect_safely(channel, said, NULL))),
                        "first, later; one, later; two; three; nothing");
    assert_logged("a listener to said on channel asked failed: the fifth broke");
    sl_listener_end(bad);
    sl_deferred_unref(sl_collect(channel, said, NULL)); /* nobody wants it: all is cancelled */
    bool silent;
    assert_null(sl_next_within(inbox, 1, &silent)); /* asking is no telling */
    assert_true(silent);
    return NULL;
}

static void test_collecting_gives_what_listeners_give_in_order(void **state)
{
    assert_int_equal(run_logged(collects, NULL), 0);
}

/* ---- From other instances ---- */

static void *hears_from_elsewhere(void *data)
{
    sl_root *root = sl_root_current();
    int here = 0, everywhere = 0;
    sl_listen_to(sl_channel("room"), NULL, look, &here);
    sl_listen_to(sl_channel("room"), NULL, look, &everywhere, .everywhere = true);
    sl_inbox *inbox = sl_subscribe(sl_channel("room"), said);
    sl_bus_deliver(root, "room/5/x", "said", "6", 1);
    assert_int_equal(here, 0);
    assert_int_equal(everywhere, 6);
    assert_true(seen.elsewhere);
    assert_string_equal(seen.channel, "room/5/x");
    assert_string_equal(seen.event->name, "said");
    assert_int_equal(json_integer_value(sl_next(inbox)), 6);
    sl_listen_to(sl_channel("room"), said, fail_at_once, "the hall", .everywhere = true, .priority = 1);
    sl_bus_deliver(root, "room/5", "said", "7", 1);
    assert_int_equal(everywhere, 7); /* one that fails does not keep it from others */
    assert_int_equal(json_integer_value(sl_next(inbox)), 7);
    assert_logged("a listener to said on channel room/5 failed: the hall is busy");
    sl_bus_deliver(root, "roo", "said", "8", 1);
    sl_bus_deliver(root, "elsewhere/5", "said", "{broken", 7); /* nobody listens: it is not looked at */
    assert_int_equal(everywhere, 7);
    return NULL;
}

static void test_events_of_other_instances_reach_who_listens_everywhere(void **state)
{
    assert_int_equal(run_logged(hears_from_elsewhere, NULL), 0);
}

static void *hears_sticky_from_elsewhere(void *data)
{
    sl_root *root = sl_root_current();
    int here = 0, everywhere = 0;
    sl_listen_to(sl_channel("other"), state_changed, look, &here); /* so that its name is known */
    sl_bus_deliver(root, "lamp/1", "state_changed", "4", 1);
    sl_listen_to(sl_channel("lamp"), state_changed, look, &here);
    sl_listen_to(sl_channel("lamp"), state_changed, look, &everywhere, .everywhere = true);
    assert_int_equal(here, 0);
    assert_int_equal(everywhere, 4);
    assert_true(seen.late && seen.elsewhere);
    return NULL;
}

static void test_sticky_events_of_other_instances_are_kept(void **state)
{
    assert_int_equal(run_logged(hears_sticky_from_elsewhere, NULL), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_priority_then_nearness_then_age),
        cmocka_unit_test(test_many_priorities),
        cmocka_unit_test(test_listeners_see_what_is_told_where),
        cmocka_unit_test(test_levels_are_bounded),
        cmocka_unit_test(test_listeners_may_come_and_go_while_something_is_told),
        cmocka_unit_test(test_all_listeners_may_go_while_something_is_told),
        cmocka_unit_test(test_once),
        cmocka_unit_test(test_a_listener_ends_with_its_owner),
        cmocka_unit_test(test_each_is_called_in_the_context_in_which_it_began),
        cmocka_unit_test(test_late_listeners_get_the_last_of_a_sticky_event),
        cmocka_unit_test(test_a_failure_stops_the_telling_and_fails_the_task),
        cmocka_unit_test(test_outside_tasks_a_failure_is_logged),
        cmocka_unit_test(test_emit_safely_tells_all_and_logs_each_failure_with_both_places),
        cmocka_unit_test(test_collecting_gives_what_listeners_give_in_order),
        cmocka_unit_test(test_events_of_other_instances_reach_who_listens_everywhere),
        cmocka_unit_test(test_sticky_events_of_other_instances_are_kept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
