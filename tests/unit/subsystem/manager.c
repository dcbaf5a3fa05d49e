/* The manager: calls, and each way in which they end. */
#include "trial_check.h"

#include <fcntl.h>

TRIAL_TEST(calls_give_results)
{
    OFFER(manager, trial);
    CHECK(children_in(manager, NULL) == 0); /* started on demand */
    const struct trial_text *echoed = sl_await(sl_call(trial, echo, "hello"));
    CHECK(strcmp(echoed->text, "hello") == 0);
    CHECK(number_of(sl_call(trial, twice, 21)) == 42);
    CHECK(number_of(sl_call(trial, twice, .number = -1)) == -2);
    CHECK(children_in(manager, "ready") == 1);
    CHECK(stat_of(manager, "trial", "calls", "succeeded") == 3);
    CHECK(stat_of(manager, "trial", NULL, "starts") == 1);
}

/* Results live as long as the task that awaits them, in combinations and links too. */
TRIAL_TEST(results_live)
{
    OFFER(manager, trial);
    sl_deferred *calls[20];
    for (int i = 0; i < 20; i++)
        calls[i] = sl_call(trial, echo, sl_printf("text %d", i));
    void **all = sl_await(sl_all(calls, 20));
    sl_await(sl_call(trial, echo, "another"));
    for (int i = 0; i < 20; i++)
        CHECK(strcmp(((struct trial_text *)all[i])->text, sl_printf("text %d", i)) == 0);
    for (int i = 0; i < 1000; i++) {
        SL_SCRATCH()
        {
            CHECK(number_of(sl_call(trial, twice, i)) == 2 * i);
        }
    }
}

TRIAL_TEST(large_values_come_and_go)
{
    OFFER(manager, trial);
    for (size_t size = 1; size <= 8 << 20; size = size * 8 + 1) {
        char *data = sl_alloc(size);
        for (size_t i = 0; i < size; i++)
            data[i] = (char)(i * 7);
        const struct trial_bytes *reversed = sl_await(sl_call(trial, reverse, {data, size}));
        CHECK(reversed->data.size == size);
        for (size_t i = 0; i < size; i++)
            CHECK(reversed->data.data[i] == data[size - 1 - i]);
    }
}

TRIAL_TEST(open_files_are_passed)
{
    OFFER(manager, trial);
    char *path = in_scratch("file");
    FILE *file = fopen(path, "we");
    CHECK(file && fputs("in the file", file) > 0 && fclose(file) == 0);
    for (int round = 0; round < 3; round++) {
        int descriptor = open(path, O_RDONLY | O_CLOEXEC);
        sl_deferred *call = sl_call(trial, read, descriptor);
        close(descriptor); /* arguments are copied */
        CHECK(strcmp(((struct trial_text *)sl_await(call))->text, "in the file") == 0);
    }
}

TRIAL_TEST(json_calls_have_names)
{
    OFFER(manager, trial);
    json_t *result = sl_await(sl_call_json("trial", "twice", json_pack("{s:i}", "number", 4), NULL));
    CHECK(json_integer_value(json_object_get(result, "number")) == 8);
    result = sl_await(sl_call_json("trial", "twice", json_pack("[i]", 5), NULL)); /* or places */
    CHECK(json_integer_value(json_object_get(result, "number")) == 10);
    sl_error *error = CHECK_FAILS(sl_call_json("trial", "thrice", NULL, NULL), SL_EINVAL, "no method thrice");
    CHECK(strstr(error->hint, "twice"));
    CHECK_FAILS(sl_call_json("trial", "twice", json_pack("{s:s}", "number", "x"), NULL), SL_EINVAL,
                "trial.twice: ");
    CHECK_FAILS(sl_call_json("trial", "twice", json_pack("[s]", "x"), NULL), SL_EINVAL,
                "the arguments of trial.twice: number must be");
    error = CHECK_FAILS(sl_call_json("trial", "twice", json_pack("[i,i]", 4, 5), NULL), SL_EINVAL,
                        "the arguments of trial.twice: there are 2, and at most 1 are taken");
    CHECK(strcmp(error->hint, "it takes: number") == 0);
    error = CHECK_FAILS(sl_call_json("other", "twice", NULL, NULL), SL_ENOSERVICE, "other");
    CHECK(strstr(error->hint, "offered are: trial"));
}

TRIAL_TEST(what_cannot_be_called_fails_at_once)
{
    CHECK_FAILS(sl_call(trial, twice, 1), SL_ENOSERVICE, "nobody offers the service trial");
    OFFER(manager, trial);
    char *text = sl_alloc(100002);
    memset(text, 'x', 100001);
    text[100001] = '\0';
    CHECK_FAILS(sl_call(trial, echo, text), SL_EINVAL, "the arguments of trial.echo: ");
    CHECK(children_in(manager, NULL) == 0);
    sl_service other = *trial_service;
    other.version = 2;
    const sl_service other_service[1] = {other};
    CHECK_FAILS(sl__call(SL_HERE, other_service, 1, &(struct trial_number){1}, SL_CALL()), SL_EPROTO,
                "version 2 of trial");
    sl_service_method methods[sl_array_size(trial__methods)];
    memcpy(methods, trial__methods, sizeof methods);
    methods[1].idempotent = true;
    const sl_service changed[1] = {{"trial", 1, sl_array_size(methods), methods}};
    CHECK_FAILS(sl__call(SL_HERE, changed, 1, &(struct trial_number){1}, SL_CALL()), SL_EPROTO,
                "different descriptions");
}

TRIAL_TEST(what_is_nested_too_deep_is_not_sent)
{
    json_t *deep = json_array();
    sl_error *error = NULL;
    for (unsigned i = 0; i < 1500; i++)
        deep = json_pack("[o]", deep);
    CHECK(sl_manager_offer(manager, "words", &(sl_offer){0}, "words.py", &error) == 0);
    CHECK_FAILS(sl_call_json("words", "count", deep, NULL), SL_EINVAL,
                "the JSON for words.count is nested too deep: 512 levels at most");
    CHECK(children_in(manager, NULL) == 0);
}

TRIAL_TEST(failures_of_methods_come_back_whole)
{
    OFFER(manager, trial);
    sl_error *error = CHECK_FAILS(sl_call(trial, fail, "soup"), SL_HTTP(404), "no soup here");
    CHECK(strcmp(error->hint, "look elsewhere") == 0);
    CHECK(strcmp(error->origin->function, "do_fail") == 0);
    CHECK(number_of(sl_call(trial, twice, 1)) == 2); /* the child goes on */
    CHECK(stat_of(manager, "trial", NULL, "starts") == 1 &&
          stat_of(manager, "trial", "calls", "failed") == 1);
}

TRIAL_TEST(death_tells_how_and_the_last_words)
{
    OFFER(manager, trial);
    sl_error *error =
        CHECK_FAILS(sl_call(trial, die, SIGUSR2), SL_ECRASHED, "signal 12 (User defined signal 2)");
    CHECK(strstr(error->detail, "about to die\nof 12"));
    error = CHECK_FAILS(sl_call(trial, die, 0), SL_ECRASHED, "exit status 3");
    CHECK(strstr(error->detail, "of 0"));
    CHECK(number_of(sl_call(trial, twice, 1)) == 2); /* another child */
    CHECK(stat_of(manager, "trial", "calls", "crashed") == 2 &&
          stat_of(manager, "trial", NULL, "crashes") == 2);
}

/* Those that wait behind the call that kills are no part of it. */
TRIAL_TEST(only_the_calls_of_the_dead_fail)
{
    OFFER(manager, trial);
    sl_await(sl_call(trial, twice, 1));
    sl_deferred *death = sl_call(trial, die, SIGKILL), *after[50];
    for (int i = 0; i < 50; i++)
        after[i] = sl_call(trial, twice, i);
    CHECK_FAILS(death, SL_ECRASHED, "signal 9");
    for (int i = 0; i < 50; i++)
        CHECK(number_of(after[i]) == 2 * i);
}

TRIAL_TEST(timeouts_end_the_call_and_the_child)
{
    OFFER(manager, trial, .grace_ms = 20);
    sl_deferred *stuck = sl_call_with(SL_CALL(.timeout_ms = 60), trial, wait, in_scratch("begun"));
    sl_deferred *behind = sl_call(trial, twice, 4);
    CHECK_FAILS(stuck, SL_ETIMEDOUT, "trial");
    CHECK(number_of(behind) == 8); /* in the next child */
    CHECK(stat_of(manager, "trial", "calls", "timed_out") == 1);
    CHECK(stat_of(manager, "trial", NULL, "crashes") == 0);
}

TRIAL_TEST(time_counts_from_the_call)
{
    OFFER(manager, trial, .grace_ms = 20, .timeout_ms = 100);
    sl_deferred *first = sl_call_with(SL_CALL(.timeout_ms = 60000), trial, wait, NULL, in_scratch("until"));
    CHECK_FAILS(sl_call(trial, twice, 4), SL_ETIMEDOUT, "no child had taken it");
    touch("until");
    CHECK(number_of(first) > 0);
    CHECK(stat_of(manager, "trial", NULL, "starts") == 1);
}

TRIAL_TEST(cancelling_leaves_the_call)
{
    OFFER(manager, trial, .grace_ms = 20);
    sl_deferred *stuck = sl_call(trial, wait, in_scratch("begun"));
    AWAIT(exists("begun"));
    sl_cancel(stuck);
    CHECK_FAILS(stuck, SL_ECANCELED, "");
    CHECK(number_of(sl_call(trial, twice, 4)) == 8);
    sl_deferred *waiting = sl_call(trial, wait, NULL, in_scratch("until"));
    sl_deferred *behind = sl_call(trial, twice, 4);
    sl_deferred_unref(behind); /* nobody wants it */
    touch("until");
    CHECK(number_of(waiting) > 0);
    CHECK(stat_of(manager, "trial", "calls", "cancelled") == 2);
}

/* A child that does several at once hears of it, and goes on with the others. */
TRIAL_TEST(children_with_a_loop_leave_calls)
{
    OFFER(manager, trials, .concurrency = 8, .grace_ms = 60000);
    sl_deferred *stuck = sl_call(trials, wait, in_scratch("begun"));
    int64_t pid = number_of(sl_call(trials, pid));
    AWAIT(exists("begun"));
    sl_cancel(stuck);
    CHECK_FAILS(stuck, SL_ECANCELED, "");
    AWAIT(stat_of(manager, "trials", NULL, "running") == 0); /* the child said that it left it */
    CHECK(number_of(sl_call(trials, pid)) == pid);
}

TRIAL_TEST(several_at_once)
{
    OFFER(manager, trials, .concurrency = 8);
    sl_deferred *calls[8];
    for (int i = 0; i < 8; i++)
        calls[i] = sl_call(trials, wait, in_scratch(sl_printf("begun%d", i)), in_scratch("until"));
    for (int i = 0; i < 8; i++)
        AWAIT(exists(sl_printf("begun%d", i)));
    touch("until");
    int64_t pid = number_of(calls[0]);
    for (int i = 1; i < 8; i++)
        CHECK(number_of(calls[i]) == pid);
}

TRIAL_TEST(stopped_children_are_ended)
{
    OFFER(manager, trial, .grace_ms = 20);
    int64_t pid = number_of(sl_call(trial, pid));
    CHECK(kill((pid_t)pid, SIGSTOP) == 0);
    CHECK_FAILS(sl_call_with(SL_CALL(.timeout_ms = 80), trial, twice, 1), SL_ETIMEDOUT, "");
    CHECK(number_of(sl_call(trial, pid)) != pid);
}

typedef struct recorder {
    sl_logger logger;
    sl_buffer text;
} recorder;

static void record(sl_logger *logger, sl_level level, const sl_site *site, const char *message, size_t size)
{
    recorder *to = (recorder *)logger;
    sl_buffer_put(&to->text, message, size);
    sl_buffer_putc(&to->text, '\n');
}

TRIAL_TEST(what_is_printed_is_logged)
{
    recorder to = {.logger = {.name = "trial", .level = SL_INFO, .write = record}};
    sl_root_set_logger(sl_root_current(), &to.logger);
    OFFER(manager, trial);
    CHECK_FAILS(sl_call(trial, die, 0), SL_ECRASHED, "exit status 3");
    sl_root_set_logger(sl_root_current(), NULL);
    CHECK(strstr(to.text.data, "]: about to die\n") && strstr(to.text.data, "trial["));
    sl_buffer_done(&to.text);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, scratch_new, scratch_remove)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(calls_give_results),
        TEST(results_live),
        TEST(large_values_come_and_go),
        TEST(open_files_are_passed),
        TEST(json_calls_have_names),
        TEST(what_cannot_be_called_fails_at_once),
        TEST(what_is_nested_too_deep_is_not_sent),
        TEST(failures_of_methods_come_back_whole),
        TEST(death_tells_how_and_the_last_words),
        TEST(only_the_calls_of_the_dead_fail),
        TEST(timeouts_end_the_call_and_the_child),
        TEST(time_counts_from_the_call),
        TEST(cancelling_leaves_the_call),
        TEST(children_with_a_loop_leave_calls),
        TEST(several_at_once),
        TEST(stopped_children_are_ended),
        TEST(what_is_printed_is_logged),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
