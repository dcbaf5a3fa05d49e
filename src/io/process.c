/* process.c: running a program to its end.
 *
 * The child gets a file in memory as its standard input (so there is nothing to write to it, and nothing that
 * could break), and two pipes for its output and errors; the parent reads those. It stands in a session of
 * its own, so that it can be ended together with what it started.
 *
 * It is over when the exit callback comes: what is left in the pipes is read then, without waiting for their
 * end, as a background child may hold them open for ever. Only from then on may the process handle be closed:
 * before, libuv would forget the child and leave a zombie.
 *
 * Who cancels gives up the deferred; the process itself stays here until it is gone. A loop that is freed
 * kills what runs on it at once. */
#include "io/work.h"
#include "core/loop.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define DEFAULT_MAX_OUTPUT ((size_t)1 << 20)
#define GRACE_MS 2000

typedef struct process process;

/* One end of a pipe from the child. */
typedef struct collector {
    uv_pipe_t pipe;
    process *owner;
    sl_buffer data;
} collector;

struct process {
    uv_process_t handle;
    uv_timer_t timer; /* first the time-out, then the grace between SIGTERM and SIGKILL */
    collector output, error;
    sl_deferred *deferred;          /* NULL once cancelled */
    sl_error *failure;              /* why it is being ended, or NULL */
    process *next, **previous_next; /* among those that run */
    char *program;
    size_t max_output;
    uint64_t timeout_ms;
    unsigned open_handles;
    bool ending, running;
    char chunk[16384];
};

/* What runs on this thread's loop. */
static __thread process *running;
static __thread sl_loop *running_on;

/* ---- The end ----------------------------------------------------------------------------------------- */

static void on_closed(uv_handle_t *handle)
{
    process *p = handle->data;
    if (--p->open_handles > 0)
        return;
    sl_buffer_done(&p->output.data);
    sl_buffer_done(&p->error.data);
    sl_error_unref(p->failure);
    free(p->program);
    free(p);
}

static void close_handles(process *p)
{
    if (p->running) {
        p->running = false;
        *p->previous_next = p->next;
        if (p->next)
            p->next->previous_next = p->previous_next;
    }
    uv_close((uv_handle_t *)&p->handle, on_closed);
    uv_close((uv_handle_t *)&p->timer, on_closed);
    uv_close((uv_handle_t *)&p->output.pipe, on_closed);
    uv_close((uv_handle_t *)&p->error.pipe, on_closed);
}

static void on_grace_over(uv_timer_t *timer)
{
    process *p = timer->data;
    kill(-p->handle.pid, SIGKILL);
}

static void end_process(process *p)
{
    if (p->ending)
        return;
    p->ending = true;
    kill(-p->handle.pid, SIGTERM);
    uv_update_time(p->handle.loop);
    uv_timer_start(&p->timer, on_grace_over, GRACE_MS, 0);
}

static void on_timeout(uv_timer_t *timer)
{
    process *p = timer->data;
    if (!p->failure)
        p->failure = sl_error_new(SL_ETIMEDOUT, "%s was ended: it ran for more than %llu ms", p->program,
                                  (unsigned long long)p->timeout_ms);
    end_process(p);
}

static sl_cancelled cancel_process(sl_deferred *deferred, void *data)
{
    process *p = data;
    p->deferred = NULL;
    end_process(p);
    return SL_CANCEL_DONE;
}

/* ---- Output ------------------------------------------------------------------------------------------ */

static void collect(collector *c, const char *data, size_t size)
{
    process *p = c->owner;
    if (p->failure || !p->deferred)
        return; /* nobody will see it */
    if (size <= p->max_output - c->data.size) {
        sl_buffer_put(&c->data, data, size);
        return;
    }
    p->failure =
        sl_error_new(SL_E2BIG, "%s was ended: it printed more than %zu bytes", p->program, p->max_output);
    sl_error_hint(p->failure, "let it print less, or raise max_output");
    end_process(p);
}

static void on_chunk_wanted(uv_handle_t *handle, size_t suggested, uv_buf_t *ret_buffer)
{
    process *p = ((collector *)handle)->owner;
    *ret_buffer = uv_buf_init(p->chunk, sizeof p->chunk);
}

static void on_output(uv_stream_t *stream, ssize_t count, const uv_buf_t *buffer)
{
    if (count > 0)
        collect((collector *)stream, buffer->base, (size_t)count);
    else if (count < 0)
        uv_read_stop(stream);
}

/* What was printed before the exit is in the pipe now; what comes later is a background child's. */
static void drain(collector *c)
{
    int descriptor;
    process *p = c->owner;
    uv_read_stop((uv_stream_t *)&c->pipe);
    if (uv_fileno((uv_handle_t *)&c->pipe, &descriptor) < 0)
        return;
    while (!p->failure && p->deferred) {
        ssize_t count = read(descriptor, p->chunk, sizeof p->chunk);
        if (count < 0 && errno == EINTR)
            continue;
        if (count <= 0)
            return;
        collect(c, p->chunk, (size_t)count);
    }
}

static sl_bytes *bytes_of(const sl_buffer *buffer)
{
    sl_bytes *bytes = sl__bytes_new(buffer->size);
    if (buffer->size)
        memcpy(bytes->data, buffer->data, buffer->size);
    bytes->size = buffer->size;
    bytes->data[bytes->size] = '\0';
    return bytes;
}

static void result_free(void *memory)
{
    sl_process_result *result = memory;
    free(result->output);
    free(result->error);
    free(result);
}

static void on_exit_of(uv_process_t *handle, int64_t status, int signal)
{
    process *p = handle->data;
    if (p->ending)
        kill(-handle->pid, SIGKILL); /* what it started goes with it */
    p->ending = true;                /* it is gone: from here on its number may be somebody else's */
    drain(&p->output);
    drain(&p->error);
    sl_deferred *deferred = p->deferred;
    sl_error *failure = p->failure;
    p->deferred = NULL;
    p->failure = NULL;
    sl_process_result *result = NULL;
    if (deferred && !failure) {
        result = sl_malloc(sizeof *result);
        *result = (sl_process_result){.status = signal ? -1 : (int)status,
                                      .signal = signal,
                                      .output = bytes_of(&p->output.data),
                                      .error = bytes_of(&p->error.data)};
    }
    close_handles(p);
    if (result)
        sl_fire(deferred, result, result_free);
    else if (deferred)
        sl_fire_error(deferred, failure);
    else
        sl_error_unref(failure);
}

/* The loop goes: nothing may outlive it, and no exit callback will come. */
static void kill_all(void *data)
{
    while (running) {
        process *p = running;
        kill(-p->handle.pid, SIGKILL);
        while (waitpid(p->handle.pid, NULL, 0) < 0 && errno == EINTR)
            continue;
        sl_deferred *deferred = p->deferred;
        p->deferred = NULL;
        close_handles(p);
        if (deferred)
            sl_abandon(deferred);
    }
    running_on = NULL;
}

/* ---- The start --------------------------------------------------------------------------------------- */

static void closep(int *descriptor)
{
    if (*descriptor >= 0)
        close(*descriptor);
}

/* A file in memory with the input, read from its start; -1 and 0 where there is none. */
static int open_input(const sl_process_options *options, int *ret_descriptor)
{
    if (!options->input)
        return 0;
    int descriptor = memfd_create("input", MFD_CLOEXEC);
    if (descriptor < 0)
        return -errno;
    for (size_t written = 0; written < options->input_size;) {
        ssize_t count = pwrite(descriptor, (const char *)options->input + written,
                               options->input_size - written, (off_t)written);
        if (count < 0 && errno == EINTR)
            continue;
        if (count < 0) {
            int code = -errno;
            close(descriptor);
            return code;
        }
        written += (size_t)count;
    }
    *ret_descriptor = descriptor;
    return 0;
}

/* Pipes, not libuv's socket pairs: programs may open /dev/stderr, which fails on a socket. */
static int open_collector(collector *c, int *ret_child_end)
{
    int ends[2];
    int code = uv_pipe(ends, UV_NONBLOCK_PIPE, 0);
    if (code < 0)
        return code;
    *ret_child_end = ends[1];
    code = uv_pipe_open(&c->pipe, ends[0]);
    if (code < 0)
        close(ends[0]);
    return code;
}

static int spawn(process *p, char *const argv[], const sl_process_options *options)
{
    SL_CLEANUP(closep) int input = -1;
    SL_CLEANUP(closep) int output = -1;
    SL_CLEANUP(closep) int error = -1;
    int code = open_input(options, &input);
    if (code == 0)
        code = open_collector(&p->output, &output);
    if (code == 0)
        code = open_collector(&p->error, &error);
    if (code < 0)
        return code;

    uv_stdio_container_t stdio[3] = {
        {.flags = input < 0 ? UV_IGNORE : UV_INHERIT_FD, .data.fd = input},
        {.flags = UV_INHERIT_FD, .data.fd = output},
        {.flags = UV_INHERIT_FD, .data.fd = error},
    };
    uv_process_options_t how = {
        .exit_cb = on_exit_of,
        .file = argv[0],
        .args = (char **)argv,
        .env = (char **)options->environment,
        .cwd = options->directory,
        .flags = UV_PROCESS_DETACHED, /* a session of its own */
        .stdio_count = 3,
        .stdio = stdio,
    };
    return uv_spawn(p->handle.loop, &p->handle, &how);
}

static process *process_new(uv_loop_t *loop, const char *program, const sl_process_options *options)
{
    process *p = sl_calloc(1, sizeof *p);
    p->program = sl_strdup_heap(program);
    p->timeout_ms = options->timeout_ms;
    p->max_output = options->max_output ? options->max_output : DEFAULT_MAX_OUTPUT;
    p->output.owner = p->error.owner = p;
    p->open_handles = 4;
    uv_timer_init(loop, &p->timer);
    uv_pipe_init(loop, &p->output.pipe, /* ipc= */ 0);
    uv_pipe_init(loop, &p->error.pipe, /* ipc= */ 0);
    p->timer.data = p->output.pipe.data = p->error.pipe.data = p;
    return p;
}

static sl_error *spawn_error(const char *program, int code, const sl_process_options *options)
{
    struct stat info;
    if (options->directory && (stat(options->directory, &info) < 0 || !S_ISDIR(info.st_mode)))
        return sl_error_new(code, "cannot start %s: there is no directory %s", program, options->directory);
    sl_error *error = sl__io_error(SL_HERE, code, "start", program);
    if (code == -ENOENT && !strchr(program, '/'))
        sl_error_hint(error, "install it, or add its directory to PATH");
    else if (code == -EACCES)
        sl_error_hint(error, "make it executable: chmod +x %s", program);
    return error;
}

static void remember(process *p)
{
    sl_loop *loop = sl_loop_current();
    if (running_on != loop) {
        running_on = loop;
        sl__loop_at_exit(loop, kill_all, NULL);
    }
    p->running = true;
    p->next = running;
    p->previous_next = &running;
    if (running)
        running->previous_next = &p->next;
    running = p;
}

sl_deferred *sl__process_run(char *const argv[], const sl_process_options *options)
{
    uv_loop_t *loop = sl__io_loop("sl_process_run");
    if (!argv[0])
        return sl_failing(sl_error_new(SL_EINVAL, "cannot start a process: no program was named"));
    process *p = process_new(loop, argv[0], options);
    /* libuv makes the handle ready only in uv_spawn, which may not be reached; closing must be possible
     * anyway. */
    p->handle.loop = loop;
    int code = spawn(p, argv, options);
    if (p->handle.type != UV_PROCESS)
        p->open_handles--;
    p->handle.data = p;
    if (code < 0) {
        sl_error *error = spawn_error(argv[0], code, options);
        if (p->handle.type == UV_PROCESS)
            uv_close((uv_handle_t *)&p->handle, on_closed);
        uv_close((uv_handle_t *)&p->timer, on_closed);
        uv_close((uv_handle_t *)&p->output.pipe, on_closed);
        uv_close((uv_handle_t *)&p->error.pipe, on_closed);
        return sl_failing(error);
    }
    remember(p);
    uv_read_start((uv_stream_t *)&p->output.pipe, on_chunk_wanted, on_output);
    uv_read_start((uv_stream_t *)&p->error.pipe, on_chunk_wanted, on_output);
    if (p->timeout_ms) {
        uv_update_time(loop);
        uv_timer_start(&p->timer, on_timeout, p->timeout_ms, 0);
    }
    p->deferred = sl_deferred_new(cancel_process, p);
    return p->deferred;
}
