/* spawn.c: a program started as a child.
 *
 * glibc's posix_spawn shares our memory with the child until that has become the program, so that starting
 * costs the same however large we are, and it gives the error if the program cannot be run. */
#include "subsystem/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <unistd.h>

#define FIRST_FREE_FD (SL__WIRE_SOCKET_FD + 1)

static void closep(int *descriptor)
{
    if (*descriptor >= 0)
        close(*descriptor);
}

/* Above the numbers that the child wants, so that putting one in its place cannot hit another. */
static int moved_up(int descriptor, int *ret_descriptor)
{
    int moved = fcntl(descriptor, F_DUPFD_CLOEXEC, FIRST_FREE_FD);
    if (moved < 0)
        return -errno;
    *ret_descriptor = moved;
    return 0;
}

static int add_actions(posix_spawn_file_actions_t *actions, const char *directory, const int descriptors[3])
{
    int r = directory ? posix_spawn_file_actions_addchdir_np(actions, directory) : 0;
    if (r == 0)
        r = posix_spawn_file_actions_addopen(actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    if (r == 0)
        r = posix_spawn_file_actions_adddup2(actions, descriptors[0], STDOUT_FILENO);
    if (r == 0)
        r = posix_spawn_file_actions_adddup2(actions, descriptors[0], STDERR_FILENO);
    if (r == 0)
        r = posix_spawn_file_actions_adddup2(actions, descriptors[1], SL__WIRE_MEMORY_FD);
    if (r == 0)
        r = posix_spawn_file_actions_adddup2(actions, descriptors[2], SL__WIRE_SOCKET_FD);
    if (r == 0)
        r = posix_spawn_file_actions_addclosefrom_np(actions, FIRST_FREE_FD);
    return -r;
}

static int spawn(const sl__child_options *options, const int descriptors[3], pid_t *ret_pid)
{
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    sigset_t all, none;
    sigfillset(&all);
    sigemptyset(&none);
    posix_spawnattr_init(&attributes); /* these three cannot fail on glibc */
    posix_spawnattr_setsigdefault(&attributes, &all);
    posix_spawnattr_setsigmask(&attributes, &none);
    /* A group of its own, which can be ended as a whole and gets no Ctrl-C, but not a session: the system's
     * scheduler sees each session as a party of its own, and would let others run between us and our child.
     */
    posix_spawnattr_setflags(&attributes,
                             POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK);
    posix_spawn_file_actions_init(&actions);
    int code = add_actions(&actions, options->directory, descriptors);
    if (code == 0)
        code = -posix_spawn(ret_pid, options->argv[0], &actions, &attributes, (char **)options->argv,
                            options->environment ? (char **)options->environment : environ);
    posix_spawn_file_actions_destroy(&actions);
    posix_spawnattr_destroy(&attributes);
    return code;
}

int sl__spawn_child(const sl__child_options *options, int printed, const int wire[2], pid_t *ret_pid,
                    int *ret_pidfd)
{
    SL_CLEANUP(closep) int output = -1;
    SL_CLEANUP(closep) int memory = -1;
    SL_CLEANUP(closep) int socket = -1;
    int code = moved_up(printed, &output);
    if (code == 0)
        code = moved_up(wire[0], &memory);
    if (code == 0)
        code = moved_up(wire[1], &socket);
    pid_t pid;
    if (code == 0)
        code = spawn(options, (int[3]){output, memory, socket}, &pid);
    if (code < 0)
        return code;
    int pidfd = pidfd_open(pid, 0);
    if (pidfd < 0) {
        code = -errno;
        kill(-pid, SIGKILL);
        while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
            continue;
        return code;
    }
    *ret_pid = pid;
    *ret_pidfd = pidfd;
    return 0;
}
