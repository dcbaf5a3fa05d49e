/* daemon.c: the background, the pid file and systemd's protocols, as those on the other side see them. */
#include "check.h"
#include "run/daemon.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>

/* ---- Background -------------------------------------------------------------------------------------- */

/* Runs daemon_start in a child, and `then` in its daemon. The child's exit status, and what it printed in
 * `out`. */
static int start(void (*then)(int report), char out[static 256])
{
    int fds[2], status;
    assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        int report, exit_status;
        dup2(fds[1], STDOUT_FILENO);
        if (daemon_start(&report, &exit_status) == 1)
            exit(exit_status);
        int null = open("/dev/null", O_WRONLY); /* else the reader below would wait for this process too */
        dup2(null, STDOUT_FILENO);
        close(fds[1]);
        then(report);
        _exit(0);
    }
    close(fds[1]);
    size_t size = 0;
    for (ssize_t got; (got = read(fds[0], out + size, 255 - size)) > 0;)
        size += (size_t)got;
    out[size] = '\0';
    close(fds[0]);
    assert_int_equal(waitpid(child, &status, 0), child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static char *marks; /* a directory where the daemon leaves what it found */

static void ready_then_mark(int report)
{
    char byte;
    daemon_ready(report, "chat: http://127.0.0.1:8080/\n");
    bool empty = read(STDIN_FILENO, &byte, 1) == 0; /* /dev/null */
    write_file(marks, "found", empty && getsid(0) == getpid() ? "as it should be" : "wrong");
    char *made = sl_printf_heap("%s/found", marks), *done = sl_printf_heap("%s/done", marks);
    _exit(rename(made, done) == 0 ? 0 : 1);
}

static void fail_with_75(int report)
{
    _exit(75);
}

static void crash(int report)
{
    raise(SIGKILL);
}

static void test_ready(void **state)
{
    char out[256];
    marks = scratch_make();
    assert_int_equal(start(ready_then_mark, out), 0);
    assert_string_equal(out, "chat: http://127.0.0.1:8080/\n");
    char *done = sl_printf_heap("%s/done", marks);
    alarm(30); /* it goes on in the background: nobody can wait for it but by looking */
    while (access(done, F_OK) < 0)
        poll(NULL, 0, 1);
    alarm(0);
    char *text = read_whole(done);
    assert_string_equal(text, "as it should be");
    free(text);
    free(done);
    scratch_remove(marks);
}

static void test_not_ready(void **state)
{
    char out[256];
    assert_int_equal(start(fail_with_75, out), 75);
    assert_string_equal(out, "");
    assert_int_equal(start(crash, out), 1);
}

/* ---- Pid file ---------------------------------------------------------------------------------------- */

static void test_pidfile(void **state)
{
    char *directory = scratch_make(), *path = sl_printf_heap("%s/pid", directory);
    char *own = sl_printf_heap("%d\n", (int)getpid());
    sl_error *error = NULL;
    int fd, other;
    write_file(directory, "pid", "1000001\n"); /* of one that was killed, with a longer number */
    assert_int_equal(pidfile_take(path, &fd, &error), 0);
    char *text = read_whole(path);
    assert_string_equal(text, own);
    free(text);
    assert_int_equal(pidfile_take(path, &other, &error), SL_EBUSY);
    char *said = sl_printf_heap("%s is held by process %d", path, (int)getpid());
    assert_non_null(strstr(error->message, said));
    assert_non_null(error->hint);
    error = sl_error_unref(error);
    text = read_whole(path);
    assert_string_equal(text, own); /* it is as it was */
    free(text);
    pidfile_release(path, fd);
    assert_int_equal(access(path, F_OK), -1);
    free(said);
    free(own);
    free(path);
    scratch_remove(directory);
}

static void test_pidfile_of_others(void **state)
{
    char *directory = scratch_make(), *path = sl_printf_heap("%s/pid", directory);
    char *aside = sl_printf_heap("%s/aside", directory);
    sl_error *error = NULL;
    int fd;
    assert_int_equal(pidfile_take(path, &fd, &error), 0);
    assert_int_equal(rename(path, aside), 0);
    write_file(directory, "pid", "1\n"); /* another's is left alone */
    pidfile_release(path, fd);
    assert_int_equal(access(path, F_OK), 0);
    static const char *const others[] = {"precious\n", "12 monkeys\n", "-1\n"};
    for (size_t i = 0; i < sl_array_size(others); i++) {
        write_file(directory, "pid", others[i]);
        assert_int_equal(pidfile_take(path, &fd, &error), SL_EEXIST);
        assert_non_null(strstr(error->message, path));
        error = sl_error_unref(error);
        char *text = read_whole(path);
        assert_string_equal(text, others[i]);
        free(text);
    }
    assert_int_equal(pidfile_take("/proc/nowhere/pid", &fd, &error), SL_ENOENT);
    assert_non_null(strstr(error->message, "/proc/nowhere/pid"));
    sl_error_unref(error);
    free(aside);
    free(path);
    scratch_remove(directory);
}

/* ---- systemd ----------------------------------------------------------------------------------------- */

static void hear(const char *name, socklen_t name_size, const char *environment)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    memcpy(address.sun_path, name, name_size);
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    socklen_t size = (socklen_t)offsetof(struct sockaddr_un, sun_path) + name_size;
    assert_int_equal(bind(fd, (struct sockaddr *)&address, size), 0);
    setenv("NOTIFY_SOCKET", environment, 1);
    setenv("WATCHDOG_USEC", "3000000", 1);
    struct notify notify;
    notify_init(&notify);
    assert_null(getenv("NOTIFY_SOCKET")); /* not for children */
    assert_int_equal(notify.watchdog_ms, 3000);
    notify_send(&notify, "READY=1");
    char heard[64] = "";
    assert_int_equal(recv(fd, heard, sizeof(heard), MSG_DONTWAIT), 7);
    assert_string_equal(heard, "READY=1");
    notify_done(&notify);
    close(fd);
}

static void test_notify(void **state)
{
    char *directory = scratch_make(), *path = sl_printf_heap("%s/notify", directory);
    hear(path, (socklen_t)strlen(path) + 1, path);
    char *abstract = sl_printf_heap("@silver-test-%d", (int)getpid());
    char *name = sl_strdup_heap(abstract);
    name[0] = '\0';
    hear(name, (socklen_t)strlen(abstract), abstract);
    struct notify notify;
    notify_init(&notify);
    assert_null(notify.path);
    notify_send(&notify, "READY=1"); /* to nobody */
    free(name);
    free(abstract);
    free(path);
    scratch_remove(directory);
}

static void test_watchdog_of_another(void **state)
{
    struct notify notify;
    setenv("NOTIFY_SOCKET", "/run/systemd/notify", 1);
    setenv("WATCHDOG_USEC", "3000000", 1);
    setenv("WATCHDOG_PID", "1", 1);
    notify_init(&notify);
    assert_int_equal(notify.watchdog_ms, 0);
    notify_done(&notify);
}

/* In a process of its own, since the protocol's descriptor is always number 3. */
static int activated(int kind, const char *pid_text, bool listening)
{
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        char own[16];
        int fd = socket(AF_INET, kind, 0);
        if (listening)
            listen(fd, 1);
        dup2(fd, 3);
        snprintf(own, sizeof(own), "%d", (int)getpid());
        setenv("LISTEN_PID", pid_text ? pid_text : own, 1);
        setenv("LISTEN_FDS", "1", 1);
        int got = activation_socket();
        bool closed_for_children = got < 0 || fcntl(got, F_GETFD) == FD_CLOEXEC;
        _exit(getenv("LISTEN_FDS") || !closed_for_children ? 100 : got < 0 ? 99 : got);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    return WEXITSTATUS(status);
}

static void test_activation(void **state)
{
    assert_int_equal(activated(SOCK_STREAM, NULL, true), 3);
    assert_int_equal(activated(SOCK_STREAM, "1", true), 99); /* meant for another process */
    assert_int_equal(activated(SOCK_STREAM, NULL, false), 99);
    assert_int_equal(activated(SOCK_DGRAM, NULL, false), 99);
    assert_int_equal(activation_socket(), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ready),      cmocka_unit_test(test_not_ready),
        cmocka_unit_test(test_pidfile),    cmocka_unit_test(test_pidfile_of_others),
        cmocka_unit_test(test_notify),     cmocka_unit_test(test_watchdog_of_another),
        cmocka_unit_test(test_activation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
