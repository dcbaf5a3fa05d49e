/* daemon.c: what a process owes to those who started it. */
#include "run/daemon.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
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

/* Who says in the file that it is theirs; 0 if nobody does, -1 if the file holds something else. */
static int pid_in(int fd)
{
    char text[32];
    uint64_t pid;
    ssize_t size = pread(fd, text, sizeof(text), 0);
    if (size < 0 || (size_t)size == sizeof(text))
        return -1;
    sl_view number = sl_view_trim((sl_view){text, (size_t)size}, " \n");
    if (!number.size)
        return 0;
    return sl_view_number(number, INT32_MAX, &pid) < 0 ? -1 : (int)pid;
}

static sl_error *pidfile_refused(const char *path, int code, int holder)
{
    if (code == SL_EBUSY)
        return sl_error_hint(sl_error_new(SL_EBUSY, "the pid file %s is held by process %d", path, holder),
                             "stop that one with `kill %d`, or give another file with --pidfile", holder);
    if (code == SL_EEXIST)
        return sl_error_hint(sl_error_new(SL_EEXIST, "%s holds something else than a process's number", path),
                             "remove it if nobody needs it, or give another file with --pidfile");
    return sl_error_hint(sl_error_new(code, "cannot write the pid file %s: %s", path, sl_code_message(code)),
                         "give another file with --pidfile");
}

/* Opens the file and locks it: a descriptor, or a code and who holds it. */
static int lock_pidfile(const char *path, int *ret_holder)
{
    for (;;) {
        struct stat held, named;
        int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0644);
        if (fd < 0)
            return -errno;
        if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
            int code = errno == EWOULDBLOCK ? SL_EBUSY : -errno;
            *ret_holder = pid_in(fd);
            close(fd);
            return code;
        }
        /* Its last holder may have removed it between the two calls: then this one has no name. */
        if (fstat(fd, &held) == 0 && stat(path, &named) == 0 && held.st_ino == named.st_ino &&
            held.st_dev == named.st_dev)
            return fd;
        close(fd);
    }
}

int pidfile_take(const char *path, int *ret_fd, sl_error **ret_error)
{
    char text[16];
    int holder = 0, size = snprintf(text, sizeof(text), "%d\n", (int)getpid());
    int fd = lock_pidfile(path, &holder);
    int code = fd < 0 ? fd : 0;
    if (code == 0 && pid_in(fd) < 0)
        code = SL_EEXIST;
    else if (code == 0 && (pwrite(fd, text, (size_t)size, 0) != size || ftruncate(fd, size) < 0))
        code = errno ? -errno : SL_EIO;
    if (code < 0) {
        *ret_error = pidfile_refused(path, code, holder);
        if (fd >= 0)
            close(fd);
        return code;
    }
    *ret_fd = fd;
    return 0;
}

void pidfile_release(const char *path, int fd)
{
    struct stat held, named;
    if (fd < 0)
        return;
    if (fstat(fd, &held) == 0 && stat(path, &named) == 0 && held.st_ino == named.st_ino &&
        held.st_dev == named.st_dev)
        unlink(path);
    close(fd);
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
