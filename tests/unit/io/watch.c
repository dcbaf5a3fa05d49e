/* Watches: files that are replaced, trees that grow, and the end. */
#include "check.h"

static sl_watch *watch_on(const char *path, bool recursive)
{
    sl_watch *watch = NULL;
    CHECK(sl_watch_new(path, recursive, &watch) == 0);
    return watch;
}

/* Awaits changes until this path is among them; the others must lie below `scratch`. */
static void await_change(sl_watch *watch, const char *path)
{
    for (;;) {
        char *changed = sl_await(sl_watch_next(watch));
        if (strcmp(changed, path) == 0)
            return;
        CHECK(strncmp(changed, scratch, strlen(scratch)) == 0);
    }
}

TASK_TEST(tells_what_changes_in_a_directory)
{
    sl_watch *watch = watch_on(scratch, false);
    put_file(in_scratch("new"), "x");
    await_change(watch, in_scratch("new"));
    CHECK(unlink(in_scratch("new")) == 0);
    await_change(watch, in_scratch("new"));
    CHECK(sl_watch_free(watch) == NULL);
    return NULL;
}

TASK_TEST(follows_a_file_by_its_name)
{
    char *path = in_scratch("file");
    put_file(path, "1");
    sl_watch *watch = watch_on(path, false);
    for (int i = 0; i < 3; i++) {
        put_file(in_scratch("other"), "2"); /* of no interest */
        CHECK(rename(in_scratch("other"), path) == 0);
        CHECK(strcmp(sl_await(sl_watch_next(watch)), path) == 0);
    }
    CHECK(unlink(path) == 0);
    CHECK(strcmp(sl_await(sl_watch_next(watch)), path) == 0);
    put_file(path, "3");
    CHECK(strcmp(sl_await(sl_watch_next(watch)), path) == 0);
    sl_watch_free(watch);
    return NULL;
}

TASK_TEST(new_directories_join)
{
    sl_watch *watch =
        watch_on(in_scratch(""), true); /* the slash at the end does not appear in what is told */
    sl_await(sl_directory_make(in_scratch("a/b/c"), true));
    put_file(in_scratch("a/b/c/early"), "x"); /* perhaps before the watch is there: told all the same */
    await_change(watch, in_scratch("a/b/c/early"));
    put_file(in_scratch("a/b/c/late"), "x");
    await_change(watch, in_scratch("a/b/c/late"));

    CHECK(rename(in_scratch("a"), in_scratch("z")) == 0);
    await_change(watch, in_scratch("z"));
    put_file(in_scratch("z/b/c/moved"), "x");
    await_change(watch, in_scratch("z/b/c/moved"));

    sl_watch_free(watch);
    return NULL;
}

TASK_TEST(directories_that_go_are_forgotten)
{
    sl_await(sl_directory_make(in_scratch("d/e"), true));
    sl_watch *watch = watch_on(scratch, true);
    for (int i = 0; i < 3; i++) {
        CHECK(rmdir(in_scratch("d/e")) == 0 && rmdir(in_scratch("d")) == 0);
        await_change(watch, in_scratch("d"));
        sl_await(sl_directory_make(in_scratch("d/e"), true));
        put_file(in_scratch("d/e/f"), "x");
        await_change(watch, in_scratch("d/e/f"));
        CHECK(unlink(in_scratch("d/e/f")) == 0);
        await_change(watch, in_scratch("d/e/f"));
    }
    sl_watch_free(watch);
    return NULL;
}

TASK_TEST(a_burst_is_told_once)
{
    char *path = in_scratch("file");
    put_file(path, "1");
    sl_watch *watch = watch_on(path, false);
    sl_deferred *next = sl_watch_next(watch);
    for (int i = 0; i < 100; i++) /* one pass of the loop sees them all */
        put_file(path, "2");
    CHECK(strcmp(sl_await(next), path) == 0);
    next = sl_watch_next(watch);
    CHECK(!sl_deferred_fired(next));
    CHECK_FAILS(sl_watch_next(watch), SL_EBUSY, path); /* one call at a time */
    sl_cancel(next);
    CHECK_FAILS(next, SL_ECANCELED, "");
    put_file(path, "3"); /* and a cancelled call does not spoil the next */
    CHECK(strcmp(sl_await(sl_watch_next(watch)), path) == 0);
    sl_watch_free(watch);
    return NULL;
}

TASK_TEST(too_many_changes_become_one)
{
    sl_watch *watch = watch_on(scratch, false);
    sl_deferred *next = sl_watch_next(watch);
    for (int i = 0; i < 4500; i++)
        put_file(in_scratch(sl_printf("%d", i)), "");
    if (strcmp(sl_await(next), scratch) != 0)
        await_change(watch, scratch);
    sl_watch_free(watch);
    return NULL;
}

TASK_TEST(closing_fails_who_waits)
{
    sl_watch *watch = watch_on(scratch, true);
    sl_deferred *next = sl_watch_next(watch);
    sl_watch_free(watch);
    CHECK_FAILS(next, SL_ECLOSED, scratch);
    CHECK(sl_watch_free(NULL) == NULL);
    return NULL;
}

TASK_TEST(what_is_not_there_is_not_watched)
{
    sl_watch *watch = NULL;
    CHECK(sl_watch_new(in_scratch("nowhere"), true, &watch) == SL_ENOENT && !watch);
    return NULL;
}

/* docs/samples/io/watch.c, built and run as it stands in the document; it ends after two changes. */
TASK_TEST(the_sample_watches)
{
    char *argv[] = {getenv("SAMPLE_WATCH"), scratch, "2", NULL};
    CHECK(argv[0]);
    sl_deferred *run = sl_process_run(argv, 0);
    for (int i = 0; !sl_deferred_fired(run); i = (i + 1) % 100) {
        put_file(in_scratch(sl_printf("%d", i)), "x");
        sl_await(sl_sleep(1));
    }
    sl_process_result *result = sl_await(run);
    CHECK(result->status == 0 && strncmp(result->output->data, "watching\n/tmp/silver-io-", 24) == 0);
    return NULL;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, scratch_new, scratch_remove)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(tells_what_changes_in_a_directory),
        TEST(follows_a_file_by_its_name),
        TEST(new_directories_join),
        TEST(directories_that_go_are_forgotten),
        TEST(a_burst_is_told_once),
        TEST(too_many_changes_become_one),
        TEST(closing_fails_who_waits),
        TEST(what_is_not_there_is_not_watched),
        TEST(the_sample_watches),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
