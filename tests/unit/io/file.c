/* Files, directories and threads: what they give, how they fail, and that cancelling leaves nothing behind.
 */
#include "check.h"

#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <uv.h>

/* ---- Whole files ------------------------------------------------------------------------------------- */

TASK_TEST(writes_and_reads_back)
{
    char *path = in_scratch("a");
    sl_await(sl_file_write(path, "one\0two", 7));
    sl_bytes *bytes = sl_await(sl_file_read(path, 0));
    CHECK(bytes->size == 7 && memcmp(bytes->data, "one\0two", 8) == 0);
    sl_await(sl_file_write(path, NULL, 0));
    bytes = sl_await(sl_file_read(path, 0));
    CHECK(bytes->size == 0 && bytes->data[0] == '\0');
    return NULL;
}

TASK_TEST(reads_files_without_a_size)
{
    sl_bytes *bytes = sl_await(sl_file_read("/proc/self/status", 0));
    CHECK(bytes->size > 100 && strstr(bytes->data, "Pid:"));
    CHECK_FAILS(sl_file_read("/dev/zero", 100000), SL_E2BIG, "/dev/zero");
    return NULL;
}

TASK_TEST(limits_are_exact)
{
    char *path = in_scratch("a");
    sl_await(sl_file_write(path, "12345", 5));
    CHECK(((sl_bytes *)sl_await(sl_file_read(path, 5)))->size == 5);
    CHECK_FAILS(sl_file_read(path, 4), SL_E2BIG, "larger than 4 bytes");
    return NULL;
}

TASK_TEST(failures_name_the_path)
{
    CHECK_FAILS(sl_file_read(in_scratch("nowhere"), 0), SL_ENOENT, "nowhere: no such file");
    CHECK_FAILS(sl_file_read(scratch, 0), -EISDIR, scratch);
    CHECK_FAILS(sl_file_write(in_scratch("no/where"), "x", 1), SL_ENOENT, "no/where");
    CHECK_FAILS(sl_file_write(scratch, "x", 1), SL_EINVAL, "not a regular file");
    CHECK_FAILS(sl_file_write("/dev/full", "x", 1), SL_EINVAL, "/dev/full");
    CHECK_FAILS(sl_file_stat(in_scratch("nowhere")), SL_ENOENT, "nowhere");
    CHECK_FAILS(sl_file_remove(in_scratch("nowhere")), SL_ENOENT, "nowhere");
    CHECK_FAILS(sl_file_rename(in_scratch("nowhere"), in_scratch("there")), SL_ENOENT, "there");
    CHECK_FAILS(sl_file_open(in_scratch("nowhere"), O_RDONLY, 0), SL_ENOENT, "nowhere");
    return NULL;
}

TASK_TEST(refuses_pipes_without_waiting)
{
    CHECK(mkfifo(in_scratch("pipe"), 0600) == 0);
    CHECK_FAILS(sl_file_read(in_scratch("pipe"), 0), SL_EINVAL, "is a pipe");
    return NULL;
}

static void *meet_refusals(void *unused)
{
    sl_error *error;
    sl_try(sl_file_read(in_scratch("secret"), 0), &error);
    CHECK(error && error->code == SL_EACCES && strstr(error->message, "secret") && error->hint);
    CHECK_FAILS(sl_file_write(in_scratch("mine"), "x", 1), SL_EACCES, "mine");
    CHECK_FAILS(sl_file_remove(in_scratch("secret")), SL_EACCES, "secret");
    CHECK_FAILS(sl_directory_make(in_scratch("d"), true), SL_EACCES, "/d");
    return NULL;
}

static void permissions_are_refused(void **state)
{
    char path[128];
    snprintf(path, sizeof path, "%s/secret", scratch);
    put_file(path, "x");
    assert_int_equal(chmod(path, 0), 0);
    assert_int_equal(chmod(scratch, 0555), 0);
    pid_t child = fork();
    if (child == 0) { /* root is refused nothing, so somebody else has to try */
        if (geteuid() == 0 && (setgid(65534) < 0 || setuid(65534) < 0))
            _exit(2);
        _exit(sl_run("permissions", meet_refusals, NULL, NULL) < 0);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_int_equal(chmod(scratch, 0755), 0);
}

TASK_TEST(writing_keeps_mode_and_links)
{
    struct stat *info, raw;
    put_file(in_scratch("target"), "old");
    CHECK(chmod(in_scratch("target"), 0640) == 0);
    CHECK(symlink("target", in_scratch("link")) == 0);
    sl_await(sl_file_write(in_scratch("link"), "new", 3));
    CHECK(lstat(in_scratch("link"), &raw) == 0 && S_ISLNK(raw.st_mode));
    info = sl_await(sl_file_stat(in_scratch("target")));
    CHECK((info->st_mode & 07777) == 0640 && info->st_size == 3);
    return NULL;
}

TASK_TEST(failed_write_keeps_the_old_file)
{
    /* A limit of the file size stands for the full disk: the write fails in the middle. */
    struct rlimit before, small;
    CHECK(getrlimit(RLIMIT_FSIZE, &before) == 0);
    signal(SIGXFSZ, SIG_IGN);
    sl_await(sl_file_write(in_scratch("a"), "old", 3));
    small = (struct rlimit){4096, before.rlim_max};
    CHECK(setrlimit(RLIMIT_FSIZE, &small) == 0);
    char *large = sl_zalloc(100000);
    CHECK_FAILS(sl_file_write(in_scratch("a"), large, 100000), -EFBIG, "cannot write");
    CHECK(setrlimit(RLIMIT_FSIZE, &before) == 0);
    CHECK(strcmp(((sl_bytes *)sl_await(sl_file_read(in_scratch("a"), 0)))->data, "old") == 0);
    sl_directory *list = sl_await(sl_directory_list(scratch));
    CHECK(list->count == 1); /* nothing is left beside it */
    return NULL;
}

TASK_TEST(paths_are_renamed_and_removed)
{
    put_file(in_scratch("a"), "x");
    sl_await(sl_file_rename(in_scratch("a"), in_scratch("b")));
    CHECK(access(in_scratch("a"), F_OK) < 0 && access(in_scratch("b"), F_OK) == 0);
    sl_await(sl_file_remove(in_scratch("b")));
    CHECK(access(in_scratch("b"), F_OK) < 0);
    return NULL;
}

/* ---- Open files -------------------------------------------------------------------------------------- */

static void *use_an_open_file(void *path)
{
    sl_file *file = sl_await(sl_file_open(path, O_RDWR | O_CREAT, 0600));
    int flags = fcntl(sl_file_descriptor(file), F_GETFD);
    CHECK(flags >= 0 && (flags & FD_CLOEXEC));
    sl_await(sl_file_write_at(file, 0, "0123456789", 10));
    sl_await(sl_file_write_at(file, 3, "abc", 3));
    sl_await(sl_file_sync(file));
    sl_bytes *bytes = sl_await(sl_file_read_at(file, 2, 5));
    CHECK(bytes->size == 5 && strcmp(bytes->data, "2abc6") == 0);
    CHECK(((sl_bytes *)sl_await(sl_file_read_at(file, 8, 100)))->size == 2);
    CHECK(((sl_bytes *)sl_await(sl_file_read_at(file, 10, SIZE_MAX)))->size == 0);
    CHECK(((sl_bytes *)sl_await(sl_file_read_at(file, 0, SIZE_MAX)))->size == 10);
    return NULL;
}

TASK_TEST(open_files_are_closed_with_their_task)
{
    int before = open_descriptors();
    sl_await(sl_spawn(use_an_open_file, in_scratch("a")));
    CHECK(open_descriptors() == before);
    return NULL;
}

TASK_TEST(a_full_disk_is_told)
{
    sl_file *file = sl_await(sl_file_open("/dev/full", O_WRONLY, 0));
    sl_error *error;
    sl_try(sl_file_write_at(file, 0, "x", 1), &error);
    CHECK(error && error->code == SL_ENOSPC && strstr(error->message, "/dev/full") && error->hint);
    return NULL;
}

static void *leave_a_read_under_way(void *path)
{
    sl_file *file = sl_await(sl_file_open(path, O_RDONLY, 0));
    sl_forget(sl_file_read_at(file, 0, 1 << 20));
    return NULL;
}

TASK_TEST(a_file_outlives_its_task_while_it_is_read)
{
    int before = open_descriptors();
    put_file(in_scratch("a"), "text");
    for (int i = 0; i < 100; i++)
        sl_await(sl_spawn(leave_a_read_under_way, in_scratch("a")));
    while (open_descriptors() != before)
        sl_await(sl_file_stat(scratch)); /* each trip lets those before it come back */
    return NULL;
}

/* ---- Many -------------------------------------------------------------------------------------------- */

TASK_TEST(thousands_of_reads_at_once)
{
    enum { COUNT = 5000 };
    sl_deferred **reads = sl_alloc(COUNT * sizeof *reads);
    struct rlimit before, small;
    for (int i = 0; i < 50; i++)
        put_file(in_scratch(sl_printf("%d", i)), sl_printf("file %d", i));
    CHECK(getrlimit(RLIMIT_NOFILE, &before) == 0);
    small = (struct rlimit){(rlim_t)open_descriptors() + 40, before.rlim_max};
    CHECK(setrlimit(RLIMIT_NOFILE, &small) == 0);
    for (int i = 0; i < COUNT; i++)
        reads[i] = sl_file_read(in_scratch(sl_printf("%d", i % 50)), 0);
    void **values = sl_await(sl_all(reads, COUNT));
    for (int i = 0; i < COUNT; i++)
        CHECK(strcmp(((sl_bytes *)values[i])->data, sl_printf("file %d", i % 50)) == 0);
    CHECK(setrlimit(RLIMIT_NOFILE, &before) == 0);
    return NULL;
}

TASK_TEST(thousands_of_reads_are_cancelled)
{
    enum { COUNT = 5000 };
    int before = open_descriptors();
    sl_deferred **reads = sl_alloc(COUNT * sizeof *reads);
    put_file(in_scratch("a"), "x");
    for (int i = 0; i < COUNT; i++)
        reads[i] = sl_file_read(in_scratch("a"), 0);
    for (int i = 0; i < COUNT; i++)
        sl_cancel(reads[i]);
    for (int i = 0; i < COUNT; i++) {
        sl_error *error = NULL;
        sl_try(reads[i], &error);
        CHECK(error && error->code == SL_ECANCELED);
    }
    sl_await(sl_file_stat(scratch));
    CHECK(open_descriptors() <= before + 4); /* at most those that the threads are busy with */
    return NULL;
}

/* ---- Directories ------------------------------------------------------------------------------------- */

TASK_TEST(directories_are_made_and_listed)
{
    sl_await(sl_directory_make(in_scratch("x/y/z"), true));
    sl_await(sl_directory_make(in_scratch("x/y/z"), true));
    sl_await(sl_directory_make(in_scratch("x/w/"), true));
    put_file(in_scratch("x/file"), "");
    CHECK(symlink("y", in_scratch("x/link")) == 0);
    sl_directory *list = sl_await(sl_directory_list(in_scratch("x")));
    CHECK(list->count == 4);
    CHECK(strcmp(list->entries[0].name, "file") == 0 && !list->entries[0].directory &&
          !list->entries[0].link);
    CHECK(strcmp(list->entries[1].name, "link") == 0 && !list->entries[1].directory && list->entries[1].link);
    CHECK(strcmp(list->entries[2].name, "w") == 0 && list->entries[2].directory);
    CHECK(strcmp(list->entries[3].name, "y") == 0 && list->entries[3].directory);
    CHECK(((sl_directory *)sl_await(sl_directory_list(in_scratch("x/y/z"))))->count == 0);
    return NULL;
}

TASK_TEST(directories_fail_by_name)
{
    put_file(in_scratch("file"), "");
    sl_await(sl_directory_make(in_scratch("d"), false));
    CHECK_FAILS(sl_directory_make(in_scratch("d"), false), SL_EEXIST, "/d");
    CHECK_FAILS(sl_directory_make(in_scratch("p/q"), false), SL_ENOENT, "p/q");
    CHECK_FAILS(sl_directory_make(in_scratch("file/q"), true), SL_EEXIST, "file");
    CHECK_FAILS(sl_directory_list(in_scratch("file")), -ENOTDIR, "file");
    CHECK_FAILS(sl_directory_list(in_scratch("nowhere")), SL_ENOENT, "nowhere");
    return NULL;
}

/* ---- Threads ----------------------------------------------------------------------------------------- */

static sl_result thread_id(void *data)
{
    pthread_t *self = sl_malloc(sizeof *self);
    *self = pthread_self();
    return sl_owned(self, free);
}

static sl_result thread_fails(void *data)
{
    return sl_failed(sl_error_new(SL_EBUSY, "thread says %s", (char *)data));
}

TASK_TEST(threads_are_other_threads)
{
    CHECK(!pthread_equal(*(pthread_t *)sl_await(sl_in_thread(thread_id, NULL, NULL)), pthread_self()));
    CHECK_FAILS(sl_in_thread(thread_fails, sl_strdup_heap("no"), free), SL_EBUSY, "thread says no");
    return NULL;
}

/* A gate that holds all threads of the pool; what waits behind them can be cancelled before it begins. */
typedef struct gate {
    uv_sem_t entered, open;
    int ran, freed;
} gate;

static sl_result wait_at_gate(void *data)
{
    gate *g = data;
    uv_sem_post(&g->entered);
    uv_sem_wait(&g->open);
    return sl_ok(NULL);
}

static sl_result count_run(void *data)
{
    ((gate *)data)->ran++;
    return sl_ok(NULL);
}

static void count_freed(void *data)
{
    ((gate *)data)->freed++;
}

TASK_TEST(cancelled_work_never_begins)
{
    static gate g; /* nobody awaits the busy thread: it may still be at the gate when the test is over */
    sl_deferred *held[4];
    uv_sem_init(&g.entered, 0);
    uv_sem_init(&g.open, 0);
    for (int i = 0; i < 4; i++)
        held[i] = sl_in_thread(wait_at_gate, &g, NULL);
    for (int i = 0; i < 4; i++)
        uv_sem_wait(&g.entered);
    sl_deferred *behind = sl_in_thread(count_run, &g, count_freed);
    sl_deferred *busy = held[0];
    sl_cancel(behind);
    sl_cancel(busy); /* its thread goes on */
    CHECK_FAILS(behind, SL_ECANCELED, "");
    CHECK_FAILS(busy, SL_ECANCELED, "");
    for (int i = 0; i < 4; i++)
        uv_sem_post(&g.open);
    for (int i = 1; i < 4; i++)
        sl_await(held[i]);
    while (g.freed == 0)
        sl_await(sl_file_stat("/"));
    CHECK(g.ran == 0 && g.freed == 1);
    return NULL;
}

/* A loop that is freed waits for its threads and gives everything back (the leak check sees what it does
 * not). */
static void work_ends_with_the_loop(void **state)
{
    sl_loop *loop;
    assert_int_equal(sl_loop_new(&loop), 0);
    for (int i = 0; i < 100; i++)
        sl_forget(sl_file_read("/proc/self/status", 0));
    sl_forget(sl_resolve("127.0.0.1", "80"));
    sl_loop_free(loop);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, scratch_new, scratch_remove)

int main(void)
{
    setenv("UV_THREADPOOL_SIZE", "4", 1);
    const struct CMUnitTest tests[] = {
        TEST(writes_and_reads_back),
        TEST(reads_files_without_a_size),
        TEST(limits_are_exact),
        TEST(failures_name_the_path),
        TEST(refuses_pipes_without_waiting),
        TEST(permissions_are_refused),
        TEST(writing_keeps_mode_and_links),
        TEST(failed_write_keeps_the_old_file),
        TEST(paths_are_renamed_and_removed),
        TEST(open_files_are_closed_with_their_task),
        TEST(a_full_disk_is_told),
        TEST(a_file_outlives_its_task_while_it_is_read),
        TEST(thousands_of_reads_at_once),
        TEST(thousands_of_reads_are_cancelled),
        TEST(directories_are_made_and_listed),
        TEST(directories_fail_by_name),
        TEST(threads_are_other_threads),
        TEST(cancelled_work_never_begins),
        TEST(work_ends_with_the_loop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
