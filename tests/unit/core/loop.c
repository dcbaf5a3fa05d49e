/* The loop: soon, post, fairness with I/O, and its end; and the ends that only a process of its own survives
 * to tell. */
#include "check.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>
#include <uv.h>

/* ---- Soon ---- */

static char order[32];

static void note(void *data)
{
    strcat(order, data);
    if (strcmp(data, "a") == 0)
        sl_soon(note, "c");
}

static void *soon(void *data)
{
    order[0] = '\0';
    sl_soon(note, "a");
    sl_soon(note, "b");
    assert_string_equal(order, ""); /* never inside the call */
    sl_yield();
    sl_yield();
    assert_string_equal(order, "abc");
    return NULL;
}

static void test_soon_is_in_order(void **state)
{
    assert_int_equal(sl_run("test", soon, NULL, NULL), 0);
}

/* Work that re-arms itself for ever must not keep a pipe from being read. */
static bool stopped;

static void again(void *data)
{
    if (!stopped)
        sl_soon(again, NULL);
}

static void readable(uv_poll_t *poll, int status, int events)
{
    stopped = true;
    uv_poll_stop(poll);
    sl_fire((sl_deferred *)poll->data, NULL, NULL);
}

static void *starves(void *data)
{
    int ends[2];
    uv_poll_t poll;
    stopped = false;
    assert_int_equal(pipe(ends), 0);
    uv_poll_init(sl_loop_uv(sl_loop_current()), &poll, ends[0]);
    poll.data = sl_deferred_new(NULL, NULL);
    uv_poll_start(&poll, UV_READABLE, readable);
    sl_soon(again, NULL);
    assert_int_equal(write(ends[1], "x", 1), 1);
    sl_await(poll.data);
    uv_close((uv_handle_t *)&poll, NULL);
    sl_await(sl_sleep(1)); /* lets the handle close before its memory goes */
    close(ends[0]);
    close(ends[1]);
    return NULL;
}

static void test_ready_work_does_not_starve_io(void **state)
{
    assert_int_equal(sl_run("test", starves, NULL, NULL), 0);
}

/* ---- Post ---- */

static int posted;

static void count_post(void *data)
{
    if (++posted == 4000)
        sl_fire((sl_deferred *)data, NULL, NULL);
}

static struct poster {
    sl_loop *loop;
    sl_deferred *done;
} poster;

static void *posts(void *data)
{
    for (int i = 0; i < 1000; i++)
        if (sl_loop_post(poster.loop, count_post, poster.done) < 0)
            abort();
    return NULL;
}

static void *receives_posts(void *data)
{
    pthread_t threads[4];
    posted = 0;
    poster = (struct poster){sl_loop_current(), sl_deferred_new(NULL, NULL)};
    for (int i = 0; i < 4; i++)
        pthread_create(&threads[i], NULL, posts, NULL);
    sl_await(poster.done);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    return NULL;
}

static void test_post_from_threads(void **state)
{
    assert_int_equal(sl_run("test", receives_posts, NULL, NULL), 0);
}

/* ---- One loop a thread ---- */

static void *nothing(void *data)
{
    return NULL;
}

static void *nests(void *data)
{
    assert_int_equal(sl_run("nested", nothing, NULL, NULL), SL_EBUSY);
    return NULL;
}

static void test_a_thread_has_one_loop(void **state)
{
    assert_int_equal(sl_run("test", nests, NULL, NULL), 0);
    assert_null(sl_loop_current());
}

static void *runs_own_loop(void *data)
{
    return (void *)(intptr_t)sl_run("thread", nests, NULL, NULL);
}

static void test_threads_have_loops_of_their_own(void **state)
{
    pthread_t threads[2];
    for (int i = 0; i < 2; i++)
        pthread_create(&threads[i], NULL, runs_own_loop, NULL);
    for (int i = 0; i < 2; i++) {
        void *code;
        pthread_join(threads[i], &code);
        assert_int_equal((intptr_t)code, 0);
    }
}

/* ---- Mistakes that end the process, with a message ---- */

static int compare_and_fail(const void *a, const void *b)
{
    sl_fail(SL_EINVAL, "cannot compare");
}

static void *fails_in_qsort(void *data)
{
    int numbers[3] = {3, 1, 2};
    qsort(numbers, 3, sizeof *numbers, compare_and_fail);
    return NULL;
}

static void fail_in_a_foreign_frame(void)
{
    sl_run("test", fails_in_qsort, NULL, NULL);
}

static void fail_outside_a_task(void)
{
    sl_fail(SL_EINVAL, "lost");
}

static void await_outside_a_task(void)
{
    sl_loop *loop;
    sl_loop_new(&loop);
    sl_await(sl_sleep(1));
}

static int dig(int depth)
{
    volatile char room[1024];
    room[0] = (char)depth;
    return depth == 0 ? 0 : dig(depth - 1) + room[0];
}

static void *overflows(void *data)
{
    return (void *)(intptr_t)dig(100000);
}

static void overflow_a_stack(void)
{
    sl_loop_name_crashes();
    sl_run("test", overflows, NULL, NULL);
}

static void *aborts(void *data)
{
    abort();
}

static void abort_in_a_task(void)
{
    sl_loop_name_crashes();
    sl_run("test", aborts, NULL, NULL);
}

/* Runs it in a process of its own; its standard error, once it has ended by a signal. */
static void assert_dies_with(void (*fn)(void), const char *text)
{
    int ends[2];
    char said[4096] = "";
    assert_int_equal(pipe(ends), 0);
    pid_t pid = fork();
    if (pid == 0) {
        dup2(ends[1], STDERR_FILENO);
        close(ends[0]);
        signal(SIGABRT, SIG_DFL);
        signal(SIGSEGV, SIG_DFL);
        fn();
        _exit(0);
    }
    close(ends[1]);
    size_t size = 0;
    for (ssize_t n; (n = read(ends[0], said + size, sizeof said - 1 - size)) > 0;)
        size += (size_t)n;
    close(ends[0]);
    int status;
    waitpid(pid, &status, 0);
    if (!WIFSIGNALED(status) || !strstr(said, text))
        fail_msg("wanted an end by a signal with \"%s\", got status %x and: %s", text, (unsigned)status,
                 said);
}

static void test_an_exit_across_a_foreign_frame_is_refused(void **state)
{
    assert_dies_with(fail_in_a_foreign_frame, "an exit cannot cross the frames of a library");
}

static void test_a_failure_outside_a_task_is_told(void **state)
{
    assert_dies_with(fail_outside_a_task, "a failure outside a task: lost");
}

static void test_an_await_outside_a_task_is_told(void **state)
{
    assert_dies_with(await_outside_a_task, "sl_await works in tasks only");
}

static void test_no_descriptors_for_a_loop(void **state)
{
    sl_loop *loop;
    struct rlimit before, none;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    none = before;
    for (none.rlim_cur = 3; none.rlim_cur < 7; none.rlim_cur++) {
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
        int code = sl_loop_new(&loop);
        setrlimit(RLIMIT_NOFILE, &before);
        assert_int_equal(code, -EMFILE);
    }
}

static void test_a_stack_overflow_names_the_task(void **state)
{
#if defined(__SANITIZE_ADDRESS__)
    skip(); /* the sanitizer tells of it in its own way */
#endif
    assert_dies_with(overflow_a_stack, "task test has used up its stack");
}

static void test_a_crash_names_the_task(void **state)
{
    assert_dies_with(abort_in_a_task, "silver: SIGABRT in task test, started in ");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_no_descriptors_for_a_loop), /* first: libuv does some things once */
        cmocka_unit_test(test_soon_is_in_order),
        cmocka_unit_test(test_ready_work_does_not_starve_io),
        cmocka_unit_test(test_post_from_threads),
        cmocka_unit_test(test_a_thread_has_one_loop),
        cmocka_unit_test(test_threads_have_loops_of_their_own),
        cmocka_unit_test(test_an_exit_across_a_foreign_frame_is_refused),
        cmocka_unit_test(test_a_failure_outside_a_task_is_told),
        cmocka_unit_test(test_an_await_outside_a_task_is_told),
        cmocka_unit_test(test_a_stack_overflow_names_the_task),
        cmocka_unit_test(test_a_crash_names_the_task),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
