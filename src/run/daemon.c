/* daemon.c: what a process owes to those who started it. */
#include "run/daemon.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define FIRST_PASSED_FD 3
#define PASSED_MAX 64

/* ---- Background -------------------------------------------------------------------------------------- */

/* The parent's part: prints what the child reports, until it closes its end. */
static int wait_for_child(int report, pid_t child)
{
    char text[1024];
    bool ready = false;
    for (ssize_t size; (size = read(report, text, sizeof(text))) != 0;) {
        if (size < 0 && errno == EINTR)
            continue;
        if (size < 0)
            break;
        ready = true;
        fwrite(text, 1, (size_t)size, stdout);
    }
    fflush(stdout);
    close(report);
    if (ready)
        return 0;
    int status;
    while (waitpid(child, &status, 0) < 0)
        if (errno != EINTR)
            return 1;
    if (WIFSIGNALED(status))
        fprintf(stderr, "silver: the server was ended by signal %d (%s) before it was ready\n",
                WTERMSIG(status), strsignal(WTERMSIG(status)));
    return WIFEXITED(status) && WEXITSTATUS(status) ? WEXITSTATUS(status) : 1;
}

int daemon_start(int *ret_report, int *ret_status)
{
    int pipe_fds[2];
    if (pipe2(pipe_fds, O_CLOEXEC) < 0)
        return -errno;
    fflush(NULL);
    pid_t child = fork();
    if (child < 0) {
        int code = -errno;
        close(pipe_fds[0]);
        close(pipe_fds[1]);
        return code;
    }
    if (child > 0) {
        close(pipe_fds[1]);
        *ret_status = wait_for_child(pipe_fds[0], child);
        return 1;
    }
    close(pipe_fds[0]);
    setsid();
    int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (null >= 0) {
        dup2(null, STDIN_FILENO);
        close(null);
    }
    *ret_report = pipe_fds[1];
    return 0;
}

void daemon_ready(int report, const char *text)
{
    if (write(report, text, strlen(text)) < 0) {
        /* the one who started us is gone: we go on all the same */
    }
    close(report);
}

/* ---- Pid file ---------------------------------------------------------------------------------------- */

int pidfile_write(const char *path, sl_error **ret_error)
{
    char *beside = sl_printf_heap("%s.%d", path, (int)getpid());
    FILE *file = fopen(beside, "we");
    int code = file ? 0 : -errno;
    if (file && (fprintf(file, "%d\n", (int)getpid()) < 0 || fflush(file) < 0))
        code = -errno;
    if (file && fclose(file) < 0 && code == 0)
        code = -errno;
    if (code == 0 && rename(beside, path) < 0)
        code = -errno;
    if (code < 0) {
        unlink(beside);
        *ret_error =
            sl_error_hint(sl_error_new(code, "cannot write the pid file %s: %s", path, sl_code_message(code)),
                          "give another path with --pidfile");
    }
    free(beside);
    return code;
}

void pidfile_remove(const char *path)
{
    FILE *file = fopen(path, "re");
    int pid = 0;
    if (!file)
        return;
    if (fscanf(file, "%d", &pid) == 1 && pid == (int)getpid())
        unlink(path);
    fclose(file);
}

/* ---- systemd ----------------------------------------------------------------------------------------- */

static uint64_t environment_number(const char *name)
{
    const char *value = getenv(name);
    uint64_t number = 0;
    if (!value || sl_view_number(sl_view_of(value), INT64_MAX, &number) < 0)
        return 0;
    return number;
}

void notify_init(struct notify *notify)
{
    *notify = (struct notify){0};
    const char *path = getenv("NOTIFY_SOCKET");
    if (path && (*path == '/' || *path == '@') && strlen(path) < sizeof(((struct sockaddr_un *)0)->sun_path))
        notify->path = sl_strdup_heap(path);
    uint64_t watched = environment_number("WATCHDOG_PID");
    if (notify->path && (watched == 0 || watched == (uint64_t)getpid()))
        notify->watchdog_ms = environment_number("WATCHDOG_USEC") / 1000;
    unsetenv("NOTIFY_SOCKET");
    unsetenv("WATCHDOG_PID");
    unsetenv("WATCHDOG_USEC");
}

void notify_send(const struct notify *notify, const char *state)
{
    if (!notify->path)
        return;
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return;
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    size_t size = strlen(notify->path);
    memcpy(address.sun_path, notify->path, size);
    if (address.sun_path[0] == '@') /* the abstract namespace */
        address.sun_path[0] = '\0';
    ssize_t sent = sendto(fd, state, strlen(state), MSG_NOSIGNAL, (const struct sockaddr *)&address,
                          (socklen_t)(offsetof(struct sockaddr_un, sun_path) + size));
    (void)sent; /* a manager that does not listen is its own affair */
    close(fd);
}

void notify_done(struct notify *notify)
{
    free(notify->path);
    *notify = (struct notify){0};
}

int activation_socket(void)
{
    uint64_t given =
        environment_number("LISTEN_PID") == (uint64_t)getpid() ? environment_number("LISTEN_FDS") : 0;
    unsetenv("LISTEN_PID");
    unsetenv("LISTEN_FDS");
    unsetenv("LISTEN_FDNAMES");
    int listening = 0;
    socklen_t size = sizeof(listening);
    for (uint64_t i = 0; i < given && i < PASSED_MAX; i++) /* none of them is for our children */
        fcntl(FIRST_PASSED_FD + (int)i, F_SETFD, FD_CLOEXEC);
    if (!given || getsockopt(FIRST_PASSED_FD, SOL_SOCKET, SO_ACCEPTCONN, &listening, &size) < 0 || !listening)
        return -1;
    return FIRST_PASSED_FD;
}
