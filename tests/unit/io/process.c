/* Processes: results, limits, and that none stays behind, whatever it does to avoid its end. */
#include "check.h"

#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>

#define RUN(...) sl_process_run(((char *[]){__VA_ARGS__, NULL}))
#define SHELL(script, ...) sl_process_run(((char *[]){"sh", "-c", script, NULL}), __VA_ARGS__)

static bool no_children(void)
{
    return waitpid(-1, NULL, WNOHANG) < 0 && errno == ECHILD;
}

TASK_TEST(gives_output_and_status)
{
    sl_process_result *result = sl_await(SHELL("echo out; echo err >&2; exit 7", 0));
    CHECK(result->status == 7 && result->signal == 0);
    CHECK(strcmp(result->output->data, "out\n") == 0 && strcmp(result->error->data, "err\n") == 0);
    result = sl_await(RUN("true"));
    CHECK(result->status == 0 && result->output->size == 0 && result->error->size == 0);
    return NULL;
}

TASK_TEST(tells_the_signal)
{
    sl_process_result *result = sl_await(SHELL("kill -9 $$", 0));
    CHECK(result->status == -1 && result->signal == SIGKILL);
    return NULL;
}

TASK_TEST(gives_input)
{
    size_t size = 3 << 20;
    char *large = sl_alloc(size);
    memset(large, 'x', size);
    sl_process_result *result = sl_await(RUN("cat"));
    CHECK(result->output->size == 0); /* /dev/null */
    result = sl_await(SHELL("cat", .input = large, .input_size = size, .max_output = size));
    CHECK(result->output->size == size && memcmp(result->output->data, large, size) == 0);
    result = sl_await(SHELL("exit 0", .input = large, .input_size = size)); /* nobody reads it */
    CHECK(result->status == 0);
    result = sl_await(SHELL("cat /dev/stdin; echo b > /dev/stderr", .input = "a", .input_size = 1));
    CHECK(strcmp(result->output->data, "a") == 0 && strcmp(result->error->data, "b\n") == 0);
    return NULL;
}

TASK_TEST(takes_directory_and_environment)
{
    char *environment[] = {"NAME=value", "PATH=/usr/bin:/bin", NULL};
    sl_process_result *result = sl_await(
        SHELL("pwd; echo $NAME; echo ${HOME-none}", .directory = "/usr", .environment = environment));
    CHECK(strcmp(result->output->data, "/usr\nvalue\nnone\n") == 0);
    return NULL;
}

TASK_TEST(failed_starts_say_why)
{
    int before = open_descriptors();
    sl_error *error;
    sl_try(RUN("no-such-program-at-all"), &error);
    CHECK(error && error->code == SL_ENOENT && strstr(error->message, "no-such-program-at-all") &&
          error->hint);
    sl_try(RUN("/etc/passwd"), &error);
    CHECK(error && error->code == SL_EACCES && strstr(error->hint, "chmod"));
    CHECK_FAILS(SHELL("true", .directory = "/no/such/place"), SL_ENOENT,
                "there is no directory /no/such/place");
    CHECK_FAILS(sl_process_run(((char *[]){NULL})), SL_EINVAL, "no program");
    sl_yield();
    sl_await(RUN("true")); /* the failed ones have closed what they had by then */
    CHECK(no_children());
    CHECK(open_descriptors() <= before + 2); /* libuv's own pipe for signals came with the first */
    return NULL;
}

/* Whichever of its descriptors is the one too many, the call fails and gives back the others. */
TASK_TEST(running_out_of_descriptors_is_told)
{
    struct rlimit before, small;
    CHECK(getrlimit(RLIMIT_NOFILE, &before) == 0);
    sl_await(RUN("true"));
    sl_yield();
    int next = dup(0), failures = 0;
    CHECK(next >= 0 && close(next) == 0);
    for (int more = 0; more < 8; more++) {
        sl_error *error;
        small = (struct rlimit){(rlim_t)(next + more), before.rlim_max};
        CHECK(setrlimit(RLIMIT_NOFILE, &small) == 0);
        sl_try(SHELL("exit 0", .input = "x", .input_size = 1), &error);
        CHECK(setrlimit(RLIMIT_NOFILE, &before) == 0);
        CHECK(!error || (error->code == -EMFILE && strstr(error->message, "cannot start sh") && error->hint));
        failures += error != NULL;
        for (int now = -1; now != next; close(now)) { /* until all are given back */
            sl_yield();
            now = dup(0);
        }
    }
    CHECK(failures >= 3 && failures < 8);
    CHECK(no_children());
    return NULL;
}

TASK_TEST(nothing_leaks)
{
    sl_await(RUN("true"));
    sl_yield();
    int before = open_descriptors();
    for (int i = 0; i < 50; i++)
        sl_await(SHELL("echo x", .input = "y", .input_size = 1));
    while (open_descriptors() != before)
        sl_yield();
    CHECK(no_children());
    return NULL;
}

/* The child sees its three streams and what the harness of this test let through, nothing of ours. */
TASK_TEST(child_inherits_nothing)
{
    sl_file *ours = sl_await(sl_file_open("/dev/null", O_RDONLY, 0));
    sl_process_result *result = sl_await(
        SHELL("i=3; while [ $i -lt 200 ]; do [ -e /proc/$$/fd/$i ] && echo $i; i=$((i+1)); done", 0));
    CHECK(fcntl(sl_file_descriptor(ours), F_GETFD) >= 0);
    for (char *line = strtok(result->output->data, "\n"); line; line = strtok(NULL, "\n")) {
        int flags = fcntl(atoi(line), F_GETFD);
        CHECK(flags >= 0 && !(flags & FD_CLOEXEC));
    }
    return NULL;
}

TASK_TEST(floods_are_cut)
{
    sl_error *error;
    sl_try(sl_process_run(((char *[]){"yes", NULL}), .max_output = 100000), &error);
    CHECK(error && error->code == SL_E2BIG && strstr(error->message, "yes was ended") && error->hint);
    CHECK_FAILS(SHELL("yes >&2", .max_output = 1000), SL_E2BIG, "1000 bytes");
    sl_process_result *result = sl_await(SHELL("printf 12345", .max_output = 5));
    CHECK(result->output->size == 5);
    CHECK_FAILS(SHELL("printf 123456", .max_output = 5), SL_E2BIG, "5 bytes");
    CHECK(no_children());
    return NULL;
}

TASK_TEST(timeouts_end_it)
{
    CHECK_FAILS(sl_process_run(((char *[]){"sleep", "3600", NULL}), .timeout_ms = 1), SL_ETIMEDOUT,
                "sleep was ended");
    CHECK(no_children());
    return NULL;
}

static bool is_dead(const char *pid)
{
    sl_error *error;
    sl_bytes *stat = sl_try(sl_file_read(sl_printf("/proc/%d/stat", atoi(pid)), 0), &error);
    return !stat || strstr(stat->data, ") Z"); /* who adopted it may not have looked yet */
}

static char *await_file(const char *path)
{
    sl_error *error;
    sl_bytes *text;
    while (!(text = sl_try(sl_file_read(path, 0), &error)))
        sl_yield();
    return text->data;
}

TASK_TEST(cancelling_ends_the_group)
{
    char *path = in_scratch("pid");
    sl_deferred *run =
        SHELL(sl_printf("sleep 3600 & echo $! > %s.new; mv %s.new %s; wait", path, path, path), 0);
    char *grandchild = await_file(path);
    sl_cancel(run);
    CHECK_FAILS(run, SL_ECANCELED, "");
    while (!no_children() || !is_dead(grandchild))
        sl_await(sl_sleep(1));
    return NULL;
}

/* SIGTERM is ignored by the shell and by its child. */
TASK_TEST(ignoring_sigterm_does_not_help)
{
    char *path = in_scratch("pid");
    char *script =
        sl_printf("trap '' TERM; sleep 3600 & echo $! > %s.new; mv %s.new %s; while :; do wait; done", path,
                  path, path);
    sl_deferred *run = SHELL(script, 0);
    char *grandchild = await_file(path);
    sl_cancel(run);
    CHECK_FAILS(run, SL_ECANCELED, "");
    while (!no_children() || !is_dead(grandchild))
        sl_await(sl_sleep(1));
    CHECK_FAILS(SHELL("trap '' TERM; while :; do :; done", .timeout_ms = 50), SL_ETIMEDOUT, "sh was ended");
    CHECK(no_children());
    return NULL;
}

TASK_TEST(background_children_are_not_waited_for)
{
    sl_process_result *result = sl_await(SHELL("sleep 3600 & echo $!", .timeout_ms = 600000));
    CHECK(result->status == 0 && result->output->size > 0);
    pid_t left = atoi(result->output->data);
    CHECK(kill(left, SIGKILL) == 0);
    return NULL;
}

TASK_TEST(many_at_once)
{
    enum { COUNT = 40 };
    sl_deferred *runs[COUNT];
    for (int i = 0; i < COUNT; i++)
        runs[i] = SHELL(sl_printf("echo %d", i), 0);
    void **results = sl_await(sl_all(runs, COUNT));
    for (int i = 0; i < COUNT; i++)
        CHECK(atoi(((sl_process_result *)results[i])->output->data) == i);
    CHECK(no_children());
    return NULL;
}

static void processes_end_with_the_loop(void **state)
{
    sl_loop *loop;
    assert_int_equal(sl_loop_new(&loop), 0);
    sl_deferred *run = SHELL("trap '' TERM; while :; do sleep 1; done", 0);
    sl_forget(run);
    sl_loop_free(loop);
    assert_true(no_children());
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, scratch_new, scratch_remove)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(gives_output_and_status),
        TEST(tells_the_signal),
        TEST(gives_input),
        TEST(takes_directory_and_environment),
        TEST(failed_starts_say_why),
        TEST(running_out_of_descriptors_is_told),
        TEST(nothing_leaks),
        TEST(child_inherits_nothing),
        TEST(floods_are_cut),
        TEST(timeouts_end_it),
        TEST(ignoring_sigterm_does_not_help),
        TEST(cancelling_ends_the_group),
        TEST(background_children_are_not_waited_for),
        TEST(many_at_once),
        TEST(processes_end_with_the_loop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
