/* tool.c: runs the programs that a build needs. */
#include "run/tool.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define STATUS_NOT_FOUND 127

void arguments_put(struct arguments *list, const char *argument)
{
    list->items = sl_realloc(list->items, (list->count + 2) * sizeof(*list->items));
    list->items[list->count++] = sl_strdup_heap(argument);
    list->items[list->count] = NULL;
}

void arguments_put_words(struct arguments *list, const char *line)
{
    for (const char *p = line; *(p += strspn(p, " \t\r\n"));) {
        size_t size = strcspn(p, " \t\r\n");
        char *word = sl_printf_heap("%.*s", (int)size, p);
        arguments_put(list, word);
        free(word);
        p += size;
    }
}

void arguments_put_all(struct arguments *list, const struct arguments *more)
{
    for (size_t i = 0; i < more->count; i++)
        arguments_put(list, more->items[i]);
}

void arguments_done(struct arguments *list)
{
    for (size_t i = 0; i < list->count; i++)
        free(list->items[i]);
    free(list->items);
    *list = (struct arguments){0};
}

SL_NORETURN static void become(const struct arguments *arguments, const char *directory, int output,
                               pid_t parent)
{
    int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) /* it died before we could ask to die with it */
        _exit(STATUS_NOT_FOUND - 1);
    if (null < 0 || dup2(null, STDIN_FILENO) < 0 || dup2(output, STDOUT_FILENO) < 0 ||
        dup2(output, STDERR_FILENO) < 0 || chdir(directory) < 0)
        _exit(STATUS_NOT_FOUND - 1);
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    signal(SIGPIPE, SIG_DFL);
    signal(SIGXFSZ, SIG_DFL);
    setenv("LC_ALL", "C", 1); /* what it says is read by us */
    execvp(arguments->items[0], arguments->items);
    _exit(STATUS_NOT_FOUND);
}

int tool_start(const struct arguments *arguments, const char *directory, struct tool *ret_tool)
{
    int output = memfd_create("tool", MFD_CLOEXEC);
    if (output < 0)
        return -errno;
    pid_t parent = getpid(), pid = fork();
    if (pid < 0) {
        int code = -errno;
        close(output);
        return code;
    }
    if (pid == 0)
        become(arguments, directory, output, parent);
    *ret_tool = (struct tool){.pid = pid, .output = output};
    return 0;
}

int tool_wait(struct tool *tool, sl_buffer *output)
{
    int status;
    while (waitpid(tool->pid, &status, 0) < 0) {
        if (errno != EINTR) {
            int code = -errno;
            close(tool->output);
            return code;
        }
    }
    char chunk[4096];
    off_t offset = 0;
    for (ssize_t size;
         offset < TOOL_OUTPUT_MAX && (size = pread(tool->output, chunk, sizeof(chunk), offset)) > 0;
         offset += size)
        sl_buffer_put(output, chunk, (size_t)size);
    close(tool->output);
    if (WIFSIGNALED(status))
        return 1000 + WTERMSIG(status);
    return WEXITSTATUS(status) == STATUS_NOT_FOUND ? SL_ENOENT : WEXITSTATUS(status);
}
