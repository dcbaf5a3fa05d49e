/* control.c: what an instance hears from its supervisor, and from the kernel when that has died. */
#include "run/control.h"
#include "run/instance.h"

#include <errno.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

/* How long beyond the drain's own limit a supervisor's orphan may live. */
#define ORPHAN_GRACE_S 2
#define ORPHAN_MAX_S 86400

static void dump_tasks(struct instance *instance)
{
    sl_buffer text = {0};
    sl_task_dump(instance->loop, &text);
    SAY(instance, SL_INFO, "tasks of instance %d:\n%s", instance->number, text.data ? text.data : "none");
    sl_buffer_done(&text);
}

int control_tell(struct instance *instance, const char *line)
{
    uv_buf_t text = uv_buf_init((char *)line, (unsigned)strlen(line));
    return uv_try_write((uv_stream_t *)&instance->control, &text, 1) == (int)text.len ? 0 : SL_ECLOSED;
}

static void obey(struct instance *instance, const char *line)
{
    if (strcmp(line, ASKS_BEAT) == 0)
        control_tell(instance,
                     SAYS_ALIVE "\n"); /* if that fails, the supervisor does not hear of us, and is right */
    else if (strcmp(line, ASKS_DRAIN) == 0)
        instance_drain(instance);
    else if (strcmp(line, ASKS_REPORT) == 0)
        report_send(instance);
    else if (strcmp(line, ASKS_DUMP) == 0)
        dump_tasks(instance);
    else if (strcmp(line, ASKS_REOPEN) == 0 && instance->server &&
             sl_http_server_reopen_log(instance->server) < 0)
        SAY(instance, SL_WARNING, "the access log cannot be opened again: it goes on in the old file");
}

static void allocate(uv_handle_t *handle, size_t suggested, uv_buf_t *buffer)
{
    struct instance *instance = handle->data;
    *buffer = uv_buf_init(instance->chunk, sizeof(instance->chunk));
}

static void heard(uv_stream_t *stream, ssize_t size, const uv_buf_t *buffer)
{
    struct instance *instance = stream->data;
    if (size < 0) { /* the supervisor is gone */
        uv_read_stop(stream);
        instance_drain(instance);
        return;
    }
    sl_buffer_put(&instance->heard, buffer->base, (size_t)size);
    for (char *newline;
         instance->heard.size && (newline = memchr(instance->heard.data, '\n', instance->heard.size));) {
        *newline = '\0';
        size_t line_size = (size_t)(newline - instance->heard.data) + 1;
        obey(instance, instance->heard.data);
        sl_buffer_consume(&instance->heard, line_size);
    }
}

static void told_to_stop(uv_signal_t *handle, int number)
{
    instance_drain(handle->data);
}

static void told_to_dump(uv_signal_t *handle, int number)
{
    dump_tasks(handle->data);
}

/* The supervisor has died. The loop will find the control socket's end and drain; but a handler that never
 * returns would keep the address taken for ever, so that is given up here and now, and an alarm ends what
 * cannot be drained. */
static volatile sig_atomic_t orphan_seconds, orphan_borrowed, orphan_building = 1;

static void orphaned(int number)
{
    int saved = errno;
    if (orphan_building && getpgrp() == getpid())
        kill(0, SIGKILL); /* with the compilers and their children; nobody is served yet */
    if (!orphan_borrowed)
        shutdown(LISTEN_FD, SHUT_RDWR);
    alarm((unsigned)orphan_seconds);
    errno = saved;
}

void control_built(void)
{
    orphan_building = 0;
}

int control_guard(struct instance *instance)
{
    pid_t parent = getppid();
    uint64_t seconds = instance->manifest->limits.drain_ms / 1000 + ORPHAN_GRACE_S;
    orphan_seconds = seconds < ORPHAN_MAX_S ? (sig_atomic_t)seconds : ORPHAN_MAX_S;
    orphan_borrowed = instance->borrowed;
    struct sigaction action = {.sa_handler = orphaned, .sa_flags = SA_RESTART};
    if (sigaction(SIGUSR1, &action, NULL) < 0 || prctl(PR_SET_PDEATHSIG, SIGUSR1) < 0)
        return -errno;
    return getppid() == parent ? 0 : SL_ECLOSED;
}

int control_open(struct instance *instance)
{
    uv_loop_t *uv = sl_loop_uv(instance->loop);
    uv_pipe_init(uv, &instance->control, 0);
    uv_signal_init(uv, &instance->terminate);
    uv_signal_init(uv, &instance->dump);
    instance->control.data = instance->terminate.data = instance->dump.data = instance;
    int code = uv_pipe_open(&instance->control, CONTROL_FD);
    if (code == 0)
        code = uv_read_start((uv_stream_t *)&instance->control, allocate, heard);
    if (code == 0)
        code = uv_signal_start(&instance->terminate, told_to_stop, SIGTERM);
    if (code == 0)
        code = uv_signal_start(&instance->dump, told_to_dump, SIGUSR2);
    return code;
}

void control_close(struct instance *instance)
{
    uv_close((uv_handle_t *)&instance->control, NULL);
    uv_close((uv_handle_t *)&instance->terminate, NULL);
    uv_close((uv_handle_t *)&instance->dump, NULL);
}
