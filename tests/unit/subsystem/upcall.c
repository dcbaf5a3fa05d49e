/* What children ask of their parent: calls of other services, events both ways, the log. */
#include "check.h"
#include "core/channel.h"
#include "modules/sums.h"
#include "subsystem/child.h"

#include <jansson.h>
#include <unistd.h>

typedef struct records {
    sl_logger logger;
    sl_buffer text;
} records;

static sl_manager *manager;
static records logged;

static void write_record(sl_logger *logger, sl_level level, const sl_site *site, const char *message,
                         size_t size)
{
    sl_buffer_printf(&logged.text, "%s %.*s\n", sl_level_name(level), (int)size, message);
}

static void offer(const sl_service *service, const char *module, const sl_offer *options)
{
    sl_error *error = NULL;
    sl_offer offered = *options;
    offered.service = service;
    char *path = sl_printf("%s/%s.so", getenv("SUMS_MODULES"), module);
    CHECK(sl_manager_offer(manager, service->name, &offered, path, &error) == 0);
}
#define OFFER(service, module, ...) offer(service##_service, module, &(sl_offer){__VA_ARGS__})

static void *run_trial(void *data)
{
    sl_manager_options options = {.programs = getenv("SILVER_PROGRAMS")};
    sl_root_set_logger(sl_root_current(), &logged.logger);
    CHECK(sl_manager_new(sl_root_current(), &options, &manager) == 0);
    (*(sl_task_fn **)data)(NULL);
    sl_manager_free(manager);
    sl_root_set_logger(sl_root_current(), NULL);
    return NULL;
}

static void in_task(sl_task_fn *test)
{
    logged = (records){.logger = {.name = "test", .level = SL_INFO, .write = write_record}};
    assert_int_equal(sl_run("test", run_trial, &test, NULL), 0);
    sl_buffer_done(&logged.text);
}
#define TEST(name)                                                                                           \
    static void *name##_task(void *data);                                                                    \
    static void name(void **state)                                                                           \
    {                                                                                                        \
        in_task(name##_task);                                                                                \
    }                                                                                                        \
    static void *name##_task(void *data)

static int64_t ask(const char *how)
{
    const struct number *sum = sl_await(sl_call_with(SL_CALL(.timeout_ms = 20000), sums, ask, how));
    return sum->value;
}

/* ---- Calls ---- */

TEST(a_child_calls_another_service)
{
    OFFER(sums, "sums");
    OFFER(more, "sums");
    for (int i = 0; i < 3; i++)
        CHECK(ask("more") == 42);
    CHECK(ask("json") == 42);
    CHECK(ask("room") == 1);
    return NULL;
}

TEST(a_service_that_reads_json_only_gets_json)
{
    OFFER(sums, "sums");
    OFFER(more, "sums", .codec = &sl_codec_json);
    for (int i = 0; i < 3; i++)
        CHECK(ask("more") == 42);
    return NULL;
}

TEST(failures_come_down_as_they_are)
{
    OFFER(sums, "sums");
    OFFER(more, "sums");
    const sl_error *error = CHECK_FAILS(sl_call(sums, ask, "greet"), SL_EINVAL, "there is nobody to greet");
    CHECK(strcmp(error->hint, "name somebody") == 0);
    CHECK_FAILS(sl_call(sums, ask, "spoiled"), SL_EINVAL, "the arguments of more.greet");
    CHECK_FAILS(sl_call(sums, ask, "wrong"), SL_EPROTO, "different descriptions of more");
    CHECK_FAILS(sl_call(sums, ask, "nobody"), SL_ENOSERVICE, "nobody offers the service nobody");
    return NULL;
}

TEST(a_child_that_waits_for_itself_is_told_so)
{
    OFFER(sums, "sums");
    const sl_error *error =
        CHECK_FAILS(sl_call_with(SL_CALL(.timeout_ms = 20000), sums, ask, "itself"), SL_ETIMEDOUT, "");
    CHECK(error->hint && strstr(error->hint, "raise `maximum` or `concurrency`"));
    return NULL;
}

TEST(with_another_child_it_may_call_itself)
{
    OFFER(sums, "sums-many", .maximum = 1, .concurrency = 4);
    CHECK(ask("itself") == 42);
    return NULL;
}

TEST(files_are_passed_on)
{
    OFFER(sums, "sums");
    OFFER(more, "sums");
    CHECK(ask("file") == (int64_t)strlen("silver-worker\n"));
    return NULL;
}

static const char *next_text(sl_inbox *inbox)
{
    bool silent;
    const char *text = json_string_value(sl_next_within(inbox, 20000, &silent));
    CHECK(text);
    return text;
}

/* `more` has one child that does one call at a time: where the nap goes on, the next call would wait for a
 * minute. */
TEST(who_is_cancelled_cancels_what_it_called)
{
    OFFER(sums, "sums", .grace_ms = 60000);
    OFFER(more, "sums", .grace_ms = 60000);
    sl_inbox *ready = sl_subscribe(sl_channel("ready"), noted);
    sl_deferred *nap = sl_call(sums, ask, "nap");
    next_text(ready);
    sl_cancel(nap);
    sl_forget(nap);
    CHECK(ask("more") == 42);
    return NULL;
}

TEST(who_dies_cancels_what_it_called)
{
    OFFER(sums, "sums");
    OFFER(more, "sums-many", .concurrency = 2, .grace_ms = 60000);
    CHECK_FAILS(sl_call(sums, ask, "die"), SL_ECRASHED, "exit status 9");
    CHECK_FAILS(sl_call(sums, ask, "die"), SL_ECRASHED, "exit status 9"); /* it needs the other place */
    CHECK(ask("more") == 42);
    return NULL;
}

/* ---- Events ---- */

TEST(what_a_child_emits_is_told_here_and_to_other_children)
{
    OFFER(sums, "sums");
    OFFER(more, "sums");
    sl_inbox *ready = sl_subscribe(sl_channel("ready"), noted);
    sl_inbox *notes = sl_subscribe(sl_channel("notes"), noted);
    sl_deferred *heard = sl_call(more, hear, "notes 1");
    CHECK(strcmp(next_text(ready), "notes") == 0);
    sl_await(sl_call(sums, tell, "hello"));
    CHECK(strcmp(next_text(notes), "hello") == 0);
    const struct words *words = sl_await(heard);
    CHECK(strcmp(words->text, "hello,") == 0);
    return NULL;
}

TEST(a_child_hears_what_is_emitted_here_once)
{
    OFFER(sums, "sums-many", .concurrency = 4);
    sl_inbox *ready = sl_subscribe(sl_channel("ready"), noted);
    sl_deferred *above = sl_call(sums, hear, "notes 2");
    next_text(ready);
    sl_deferred *below = sl_call(sums, hear, "notes/child 2");
    next_text(ready);
    sl_emit(sl_channel("notes/child"), noted, json_string("one"));
    sl_emit(sl_channel("notes/child"), noted, json_string("two"));
    const struct words *words = sl_await(above);
    CHECK(strcmp(words->text, "one,two,") == 0);
    words = sl_await(below);
    CHECK(strcmp(words->text, "one,two,") == 0);
    return NULL;
}

TEST(what_is_no_longer_heard_is_no_longer_sent)
{
    OFFER(sums, "sums");
    sl_inbox *ready = sl_subscribe(sl_channel("ready"), noted);
    sl_deferred *heard = sl_call(sums, hear, "notes 1");
    next_text(ready);
    CHECK(sl_channel_get(sl_root_current(), "notes")->first_listener);
    sl_emit(sl_channel("notes"), noted, json_string("one"));
    sl_await(heard);
    sl_await(sl_call(sums, add, 1, 1)); /* the end of hearing came before this */
    CHECK(!sl_channel_get(sl_root_current(), "notes")->first_listener);
    return NULL;
}

/* The child hears "notes" and emits there: it has that already. */
TEST(nothing_comes_back_to_who_emitted_it)
{
    OFFER(sums, "sums-many", .concurrency = 4);
    sl_inbox *ready = sl_subscribe(sl_channel("ready"), noted);
    sl_deferred *heard = sl_call(sums, hear, "notes 2");
    next_text(ready);
    sl_await(sl_call(sums, tell, "its own"));
    sl_emit(sl_channel("notes"), noted, json_string("ours"));
    const struct words *words = sl_await(heard);
    CHECK(strcmp(words->text, "its own,ours,") == 0);
    return NULL;
}

static sl_result answer(const sl_told *told, void *data)
{
    sl_emit(sl_channel("notes/answer"), noted, json_string("answer"));
    return sl_ok(NULL);
}

/* What a listener here emits because of it is another event. */
TEST(what_follows_from_an_event_of_a_child_reaches_it)
{
    OFFER(sums, "sums-many", .concurrency = 4);
    sl_inbox *ready = sl_subscribe(sl_channel("ready"), noted);
    sl_listen_to(sl_channel("notes/child"), noted, answer, NULL);
    sl_deferred *heard = sl_call(sums, hear, "notes 2");
    next_text(ready);
    sl_await(sl_call(sums, tell, "question"));
    const struct words *words = sl_await(heard);
    CHECK(strcmp(words->text, "question,answer,") == 0);
    return NULL;
}

TEST(who_comes_late_hears_the_last_of_a_sticky_event)
{
    OFFER(sums, "sums");
    OFFER(more, "sums");
    sl_await(sl_call(sums, tell, "!one"));
    sl_await(sl_call(sums, tell, "!two"));
    const struct words *words = sl_await(sl_call(more, hear, "!notes 1"));
    CHECK(strcmp(words->text, "!two,") == 0);
    sl_inbox *inbox = sl_subscribe(sl_channel("notes"), posted);
    CHECK(strcmp(next_text(inbox), "!two") == 0);
    return NULL;
}

/* ---- The log ---- */

TEST(what_a_child_logs_is_logged_here)
{
    OFFER(sums, "sums");
    sl_await(sl_call(sums, misbehave, "log"));
    CHECK(strstr(logged.text.data, "WARNING sums["));
    CHECK(strstr(logged.text.data, "]: something\nis odd\n"));
    CHECK(!strstr(logged.text.data, "too quiet")); /* our level holds there too */
    return NULL;
}

TEST(with_a_lower_level_it_says_more)
{
    logged.logger.level = SL_DEBUG;
    OFFER(sums, "sums");
    sl_await(sl_call(sums, misbehave, "log"));
    CHECK(strstr(logged.text.data, "]: too quiet\n"));
    return NULL;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_child_calls_another_service),
        cmocka_unit_test(a_service_that_reads_json_only_gets_json),
        cmocka_unit_test(failures_come_down_as_they_are),
        cmocka_unit_test(a_child_that_waits_for_itself_is_told_so),
        cmocka_unit_test(with_another_child_it_may_call_itself),
        cmocka_unit_test(files_are_passed_on),
        cmocka_unit_test(who_is_cancelled_cancels_what_it_called),
        cmocka_unit_test(who_dies_cancels_what_it_called),
        cmocka_unit_test(what_a_child_emits_is_told_here_and_to_other_children),
        cmocka_unit_test(a_child_hears_what_is_emitted_here_once),
        cmocka_unit_test(what_is_no_longer_heard_is_no_longer_sent),
        cmocka_unit_test(nothing_comes_back_to_who_emitted_it),
        cmocka_unit_test(what_follows_from_an_event_of_a_child_reaches_it),
        cmocka_unit_test(who_comes_late_hears_the_last_of_a_sticky_event),
        cmocka_unit_test(what_a_child_logs_is_logged_here),
        cmocka_unit_test(with_a_lower_level_it_says_more),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
