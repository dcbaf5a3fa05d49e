/* A caller that runs methods in tasks of this process: what tests of applications put in a manager's place.
 */
#include "check.h"

#include <silver/subsystem.h>

#include <fcntl.h>
#include <jansson.h>
#include <unistd.h>

#define PAIR(F) F(a, integer) F(b, integer)
SL_RECORD(pair, PAIR);
#define NUMBER(F) F(value, integer)
SL_RECORD(number, NUMBER);
#define NAMED(F) F(name, text, SL_REQUIRED, .max = 10) F(content, file) F(note, json)
SL_RECORD(named, NAMED);

#define DESK(M)                                                                                              \
    M(add, pair, number)                                                                                     \
    M(greet, named, named)                                                                                   \
    M(copy, named, named) /* gives its file and its note back */                                             \
    M(wait, number, number)
SL_SERVICE(desk, 1, DESK);

static int opened, closed, at_once, most_at_once;
static sl_deferred *gate;

static void add(const struct pair *pair, struct number *sum)
{
    sum->value = pair->a + pair->b;
}

static void greet(const struct named *who, struct named *greeting)
{
    CHECK(greeting->content == -1);
    if (strcmp(who->name, "nobody") == 0)
        sl_fail(SL_EINVAL, "there is nobody to greet");
    greeting->name = sl_printf("hello %s", who->name);
}

static void copy(const struct named *from, struct named *to)
{
    to->name = from->name;
    to->content = from->content < 0 ? -1 : fcntl(from->content, F_DUPFD_CLOEXEC, 0);
    to->note = json_incref(from->note);
}

static void wait(const struct number *unused, struct number *result)
{
    if (++at_once > most_at_once)
        most_at_once = at_once;
    sl_await(sl_shielded(sl_deferred_ref(gate)));
    at_once--;
    result->value = at_once;
}

static void open_desk(void)
{
    opened++;
}

static void close_desk(void)
{
    closed++;
}

static const struct desk_methods methods = {.add = add, .greet = greet, .copy = copy, .wait = wait};
static const sl_offer offer = {
    .service = desk_service, .methods = &methods, .open = open_desk, .close = close_desk};
static const sl_offer wide = {.service = desk_service, .methods = &methods, .concurrency = 3};

static struct sl_caller *use(const sl_offer *offered)
{
    opened = closed = at_once = most_at_once = 0;
    struct sl_caller *caller = sl_inline_new(&offered, 1);
    CHECK(sl_object_add(sl_root_object(sl_root_current()), sl_caller, caller, NULL) == 0);
    return caller;
}

static void *run_trial(void *data)
{
    (*(sl_task_fn **)data)(NULL);
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

TEST(methods_run_here)
{
    struct sl_caller *caller = use(&offer);
    const struct number *sum = sl_await(sl_call(desk, add, 20, 22));
    CHECK(sum->value == 42);
    CHECK(opened == 1);
    const struct named *greeting = sl_await(sl_call(desk, greet, "you", .content = -1));
    CHECK(strcmp(greeting->name, "hello you") == 0);
    json_t *json = sl_await(sl_call_json("desk", "add", json_pack("{s:i,s:i}", "a", 1, "b", 2), NULL));
    CHECK(json_integer_value(json_object_get(json, "value")) == 3);
    json = sl_await(sl_call_json("desk", "add", json_pack("[i,i]", 4, 3), NULL));
    CHECK(json_integer_value(json_object_get(json, "value")) == 7);
    sl_await(sl_room(desk));
    CHECK(opened == 1 && closed == 0);
    sl_object_remove(sl_root_object(sl_root_current()), sl_caller);
    sl_inline_free(caller);
    sl_yield();
    sl_yield();
    CHECK(closed == 1);
    return NULL;
}

TEST(it_fails_as_a_child_does)
{
    struct sl_caller *caller = use(&offer);
    CHECK_FAILS(sl_call(desk, greet, "nobody", .content = -1), SL_EINVAL, "there is nobody to greet");
    CHECK_FAILS(sl_call(desk, greet, NULL, .content = -1), SL_EINVAL, "the arguments of desk.greet");
    CHECK_FAILS(sl_call(desk, greet, "everybody", .content = -1), SL_EINVAL, "the result of desk.greet");
    CHECK_FAILS(sl_call_json("desk", "subtract", NULL, NULL), SL_EINVAL, "desk has no method subtract");
    CHECK_FAILS(sl_call_json("desk", "add", json_pack("{s:s}", "a", "x"), NULL), SL_EINVAL,
                "the arguments of desk.add");
    CHECK_FAILS(sl_call_json("chair", "sit", NULL, NULL), SL_ENOSERVICE, "nobody offers the service chair");
    sl_service newer = *desk_service;
    newer.version = 2;
    CHECK_FAILS(sl__call(SL_HERE, &newer, 0, &(struct pair){1, 2}, NULL), SL_EPROTO, "version 2 of desk");
    sl_inline_free(caller);
    return NULL;
}

TEST(files_and_json_are_copied)
{
    struct sl_caller *caller = use(&offer);
    int ends[2];
    CHECK(pipe2(ends, O_CLOEXEC) == 0);
    json_auto_t *note = json_pack("{s:i}", "n", 5);
    const struct named *got = sl_await(sl_call(desk, copy, "a pipe", ends[0], note));
    close(ends[0]);
    CHECK(got->content >= 0);
    CHECK(write(ends[1], "!", 1) == 1);
    close(ends[1]);
    char byte;
    CHECK(read(got->content, &byte, 1) == 1 && byte == '!');
    CHECK(json_equal(got->note, note));
    sl_inline_free(caller);
    return NULL;
}

static sl_deferred *call_wait(void)
{
    return sl_call(desk, wait, 0);
}

static void wait_thrice(const sl_offer *offered, int expected)
{
    struct sl_caller *caller = use(offered);
    gate = sl_deferred_new(NULL, NULL);
    if (offered->concurrency)
        sl_await(sl_call(desk, add, 1, 1)); /* it is open: all may begin */
    sl_deferred *waiting[3] = {call_wait(), call_wait(), call_wait()};
    for (int i = 0; i < 10; i++)
        sl_yield();
    CHECK(at_once == expected);
    sl_fire(gate, NULL, NULL);
    sl_await(sl_all(waiting, 3));
    CHECK(most_at_once == expected);
    sl_deferred_unref(gate);
    sl_object_remove(sl_root_object(sl_root_current()), sl_caller);
    sl_inline_free(caller);
}

TEST(no_more_run_at_once_than_the_offer_says)
{
    wait_thrice(&offer, 1);
    wait_thrice(&wide, 3);
    return NULL;
}

TEST(calls_are_given_up)
{
    struct sl_caller *caller = use(&offer);
    gate = sl_deferred_new(NULL, NULL);
    sl_deferred *runs = call_wait(), *waits = call_wait(), *late = call_wait();
    sl_yield();
    sl_yield();
    CHECK(at_once == 1);
    sl_cancel(waits);
    CHECK_FAILS(waits, SL_ECANCELED, "");
    sl_cancel(runs);
    CHECK_FAILS(runs, SL_ECANCELED, "");
    CHECK_FAILS(sl_call_with(SL_CALL(.timeout_ms = 1), desk, wait, 0), SL_ETIMEDOUT, "");
    sl_deferred *left = call_wait();
    sl_inline_free(caller);
    CHECK_FAILS(late, SL_ECLOSED, "");
    CHECK_FAILS(left, SL_ECLOSED, "");
    sl_object_remove(sl_root_object(sl_root_current()), sl_caller);
    sl_fire(gate, NULL, NULL);
    sl_deferred_unref(gate);
    return NULL;
}

TEST(without_a_caller_that_is_said)
{
    const sl_error *error =
        CHECK_FAILS(sl_call(desk, add, 1, 2), SL_ENOSERVICE, "nobody offers the service desk");
    CHECK(strstr(error->hint, "sl_manager_new"));
    CHECK_FAILS(sl_call_json("desk", "add", json_object(), NULL), SL_ENOSERVICE, "desk");
    CHECK_FAILS(sl_room(desk), SL_ENOSERVICE, "desk");
    return NULL;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(methods_run_here),
        cmocka_unit_test(it_fails_as_a_child_does),
        cmocka_unit_test(files_and_json_are_copied),
        cmocka_unit_test(no_more_run_at_once_than_the_offer_says),
        cmocka_unit_test(calls_are_given_up),
        cmocka_unit_test(without_a_caller_that_is_said),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
