/* child.c: one child process as its parent sees it.
 *
 * Three things tell of it: the wire, the pipe into which it prints, and its pidfd, which becomes readable
 * when it has ended. The end is dealt with in an order that loses nothing and leaves nothing: the group is
 * killed while the dead leader still holds its number (so that it can hit nobody else), the leader is reaped,
 * what it had sent and printed is taken, and only then is its owner told.
 *
 * One timer serves all: while it starts, the time for that; while it stops, the patience with it; after
 * SIGTERM, the grace until SIGKILL. */
#include "subsystem/child.h"
#include "subsystem/printed.h"
#include "subsystem/spawn.h"
#include "subsystem/value.h"
#include "core/context.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <unistd.h>
#include <uv.h>

#define READ_AT_ONCE 16 /* chunks of what it prints, before others get their turn */
#define DRAIN_AT_MOST (1024 * 1024)

struct sl__child {
    sl_loop *loop;
    sl_context *context; /* in which it was started: the root's log is its log */
    const sl__child_events *events;
    void *owner;
    sl__wire *wire;
    sl__printed printed;
    uv_poll_t exit, output;
    uv_timer_t timer;
    int pidfd, output_fd;
    pid_t pid;
    char *name;
    char *why;      /* we ended it, or NULL */
    sl_error *told; /* what it said itself, or why we refused it, or NULL */
    uint64_t start_ms, grace_ms;
    sl__child_state state;
    bool terminated, killed, attached;
    bool reaped; /* its number may be somebody else's now */
    unsigned open_handles;
};

/* ---- The end of the object --------------------------------------------------------------------------- */

static void on_closed(uv_handle_t *handle)
{
    sl__child *child = handle->data;
    if (--child->open_handles > 0)
        return;
    close(child->pidfd);
    close(child->output_fd);
    sl__wire_free(child->wire);
    sl__printed_done(&child->printed);
    sl_error_unref(child->told);
    sl_context_release(child->context);
    free(child->why);
    free(child->name);
    free(child);
}

static void close_child(sl__child *child)
{
    child->state = SL__CHILD_GONE;
    if (child->attached)
        sl__wire_detach(child->wire);
    child->attached = false;
    uv_close((uv_handle_t *)&child->exit, on_closed);
    uv_close((uv_handle_t *)&child->output, on_closed);
    uv_close((uv_handle_t *)&child->timer, on_closed);
}

/* ---- Ending it --------------------------------------------------------------------------------------- */

/* The leader gets it too where it has left its own group. */
static void signal_group(sl__child *child, int signal)
{
    if (child->reaped)
        return;
    if (kill(-child->pid, signal) < 0 || signal == SIGKILL)
        pidfd_send_signal(child->pidfd, signal, NULL, 0);
}

static void give_time(sl__child *child, uint64_t ms, uv_timer_cb callback)
{
    uv_update_time(child->timer.loop);
    uv_timer_start(&child->timer, callback, ms, 0);
}

static void say_why(sl__child *child, const char *why)
{
    if (!child->why && !child->told)
        child->why = sl_strdup_heap(why);
}

static void on_grace_over(uv_timer_t *timer)
{
    sl__child_kill(timer->data, "it did not end itself");
}

void sl__child_kill(sl__child *child, const char *why)
{
    if (child->state == SL__CHILD_GONE)
        return;
    say_why(child, why);
    child->state = SL__CHILD_STOPPING;
    child->killed = true;
    signal_group(child, SIGKILL);
    uv_timer_stop(&child->timer);
}

void sl__child_end(sl__child *child, const char *why)
{
    if (child->state == SL__CHILD_GONE || child->terminated || child->killed)
        return;
    say_why(child, why);
    child->state = SL__CHILD_STOPPING;
    child->terminated = true;
    signal_group(child, SIGTERM);
    give_time(child, child->grace_ms, on_grace_over);
}

static void on_patience_over(uv_timer_t *timer)
{
    sl__child_end(timer->data, "it did not go when it was asked to");
}

void sl__child_stop(sl__child *child, uint64_t patience_ms)
{
    if (child->state >= SL__CHILD_STOPPING)
        return;
    child->state = SL__CHILD_STOPPING;
    sl__wire_put(child->wire, &(sl__packet){.kind = SL__STOP}, NULL, 0);
    give_time(child, patience_ms, on_patience_over);
}

static void on_start_time_over(uv_timer_t *timer)
{
    sl__child *child = timer->data;
    char why[64];
    snprintf(why, sizeof why, "it was not ready within %" PRIu64 " ms", child->start_ms);
    sl__child_end(child, why);
}

/* ---- What it sends ------------------------------------------------------------------------------------ */

static void refuse(sl__child *child, sl_error *error)
{
    if (child->told)
        sl_error_unref(error);
    else
        child->told = error;
    sl__child_end(child, "");
}

static void take_hello(sl__child *child, const sl__packet *packet)
{
    void *hello;
    sl_error *error = NULL;
    sl_arena *arena = sl_arena_new();
    int code = sl_codec_flat.decode(sl__hello_record(), (sl_view){packet->data, packet->size},
                                    /* borrow= */ true, NULL, arena, &hello, &error);
    if (code == 0)
        code = child->events->hello(child, hello, &error);
    sl_arena_free(arena);
    if (code < 0)
        refuse(child, error ? error
                            : sl_error_new(code, "what %s says of itself is refused: %s", child->name,
                                           sl_code_message(code)));
}

/* What only a child that starts may send. Whether the packet was such. */
static bool take_start(sl__child *child, const sl__packet *packet)
{
    if (packet->kind != SL__HELLO && packet->kind != SL__READY &&
        (packet->kind != SL__FAILED || packet->call))
        return false;
    sl__packet_close(packet);
    if (child->state != SL__CHILD_STARTING)
        return true; /* it is being ended: what it says of itself comes too late */
    if (packet->kind == SL__HELLO) {
        take_hello(child, packet);
    } else if (packet->kind == SL__FAILED) {
        refuse(child, sl__trouble_get((sl_view){packet->data, packet->size}));
    } else {
        child->state = SL__CHILD_READY;
        uv_timer_stop(&child->timer);
        child->events->ready(child);
    }
    return true;
}

/* 0 when all was taken that is there; or why no more will come. */
static int take_packets(sl__child *child)
{
    sl__packet packet;
    int r = 0;
    child->events->begin(child);
    while (child->state != SL__CHILD_GONE && (r = sl__wire_next(child->wire, &packet)) > 0) {
        if (!take_start(child, &packet))
            child->events->packet(child, &packet);
    }
    child->events->end(child);
    return child->state == SL__CHILD_GONE ? 0 : r;
}

/* The wire cannot be used any more. */
static void kill_for(sl__child *child, int code)
{
    char why[160] = "it broke the rules of the wire";
    if (code != SL_EPROTO)
        snprintf(why, sizeof why, "its wire cannot be used any more (%s)%s", sl_code_message(code),
                 code == -EMFILE || code == -ENFILE ? ": allow more open files (ulimit -n)" : "");
    sl__child_kill(child, why);
}

static void on_wire(void *data)
{
    sl__child *child = data;
    SL_IN_CONTEXT(child->context);
    int r = take_packets(child);
    if (r == 0)
        return;
    child->attached = false;
    sl__wire_detach(child->wire);
    if (r != SL_ECLOSED)
        kill_for(child, r);
    else if (child->state != SL__CHILD_STOPPING) /* nearly always its exit, which is told in a moment */
        give_time(child, child->grace_ms, on_grace_over);
}

/* ---- What it prints ----------------------------------------------------------------------------------- */

static void log_line(void *data, const char *line, size_t size)
{
    sl__child *child = data;
    sl_info("%s[%d]: %.*s", child->name, (int)child->pid, (int)size, line);
}

/* Whether more may come. */
static bool read_chunk(sl__child *child)
{
    char chunk[8192];
    ssize_t count = read(child->output_fd, chunk, sizeof chunk);
    if (count < 0)
        return errno == EINTR;
    if (count == 0)
        uv_poll_stop(&child->output);
    sl__printed_put(&child->printed, chunk, (size_t)count);
    return count > 0;
}

static void on_output(uv_poll_t *poll, int status, int events)
{
    sl__child *child = poll->data;
    SL_IN_CONTEXT(child->context);
    for (int i = 0; i < READ_AT_ONCE && read_chunk(child); i++)
        continue;
}

/* ---- How it ended ------------------------------------------------------------------------------------- */

static const char *describe_end(const siginfo_t *info, char out[static 80])
{
    if (!info->si_pid)
        snprintf(out, 80, "nobody knows how, as something else waited for it");
    else if (info->si_code == CLD_EXITED)
        snprintf(out, 80, "exit status %d", info->si_status);
    else
        snprintf(out, 80, "signal %d (%s)", info->si_status, sigdescr_np(info->si_status));
    return out;
}

static sl_error *end_error(const sl__child *child, const siginfo_t *info)
{
    char end[80];
    describe_end(info, end);
    sl_error *error;
    if (child->told)
        error = sl_error_new(child->told->code, "%s does not start: %s", child->name, child->told->message);
    else if (child->why)
        error = sl_error_new(SL_ECRASHED, "the child %d of %s was ended, because %s: %s", (int)child->pid,
                             child->name, child->why, end);
    else
        error = sl_error_new(SL_ECRASHED, "the child %d of %s ended: %s", (int)child->pid, child->name, end);
    sl_buffer last = {0};
    sl__printed_text(&child->printed, &last);
    if (last.size)
        sl_error_detail(error, last.data, last.size);
    else if (child->told && child->told->detail)
        sl_error_detail(error, child->told->detail, strlen(child->told->detail));
    sl_buffer_done(&last);
    if (child->told && child->told->hint)
        sl_error_hint(error, "%s", child->told->hint);
    else if (!info->si_pid)
        sl_error_hint(error,
                      "let this process neither ignore SIGCHLD nor wait for children that are not its");
    else if (!child->why && info->si_code == CLD_KILLED && info->si_status == SIGKILL)
        sl_error_hint(error, "somebody killed it: if nobody did, the system may have, for want of memory "
                             "(see dmesg)");
    if (child->told)
        sl_error_cause(error, sl_error_ref(child->told));
    return error;
}

static void drain_output(sl__child *child)
{
    for (size_t read = 0; read < DRAIN_AT_MOST && read_chunk(child); read += 8192)
        continue; /* a bound: what it started may go on printing while it is killed */
    sl__printed_end(&child->printed);
}

/* Reaps it, if it can be reaped already, with what is left of its group. Where SIGCHLD is ignored the system
 * has done so, or somebody else who waits for any child: then nothing is known of how it ended, and its
 * number may be a stranger's. */
static bool reap(sl__child *child, siginfo_t *ret_info)
{
    *ret_info = (siginfo_t){0};
    if (waitid(P_PIDFD, (id_t)child->pidfd, ret_info, WEXITED | WNOHANG | WNOWAIT) < 0)
        return errno == ECHILD;
    if (ret_info->si_pid == 0)
        return false;
    signal_group(child, SIGKILL);
    while (waitid(P_PIDFD, (id_t)child->pidfd, ret_info, WEXITED) < 0 && errno == EINTR)
        continue;
    return true;
}

static void on_exit_told(uv_poll_t *poll, int status, int events)
{
    sl__child *child = poll->data;
    siginfo_t info;
    if (child->state == SL__CHILD_GONE || !reap(child, &info))
        return;
    child->reaped = true;
    SL_IN_CONTEXT(child->context);
    take_packets(child);
    if (child->state == SL__CHILD_GONE)
        return; /* freed by what followed from a packet */
    drain_output(child);
    sl_error *error = end_error(child, &info);
    close_child(child);
    child->events->gone(child, error);
    sl_error_unref(error);
}

/* Whether it could be reaped in time. The descriptor may tell of the end a moment before it can be waited
 * for. */
static bool reap_within(const sl__child *child, uint64_t ms)
{
    uint64_t end_ns = sl_monotonic_ns() + ms * 1000000, now_ns;
    while ((now_ns = sl_monotonic_ns()) < end_ns) {
        siginfo_t info = {0};
        struct pollfd ended = {.fd = child->pidfd, .events = POLLIN};
        poll(&ended, 1, (int)((end_ns - now_ns) / 1000000) + 1);
        if (waitid(P_PIDFD, (id_t)child->pidfd, &info, WEXITED | WNOHANG) < 0 ? errno == ECHILD
                                                                              : info.si_pid != 0)
            return true;
    }
    return false;
}

void sl__child_free(sl__child *child)
{
    if (child->state == SL__CHILD_GONE)
        return;
    if (!child->reaped) {
        signal_group(child, SIGKILL);
        if (!reap_within(child, SL__CHILD_FREE_MS))
            sl_error_log("the child %d of %s does not end, although it was killed", (int)child->pid,
                         child->name);
        child->reaped = true;
    }
    close_child(child);
}

/* ---- The start ---------------------------------------------------------------------------------------- */

static int open_pipe(int ret_ends[2])
{
    if (pipe2(ret_ends, O_CLOEXEC) < 0)
        return -errno;
    if (fcntl(ret_ends[0], F_SETFL, O_NONBLOCK) == 0)
        return 0;
    int code = -errno;
    close(ret_ends[0]);
    close(ret_ends[1]);
    return code;
}

/* The process with its pipe and wire; on failure nothing is left. */
static int start_process(sl__child *child, const sl__child_options *options)
{
    int pipe_ends[2], wire_ends[2];
    int code = open_pipe(pipe_ends);
    if (code < 0)
        return code;
    code = sl__wire_new(&options->wire, &child->wire, wire_ends);
    if (code == 0) {
        code = sl__spawn_child(options, pipe_ends[1], wire_ends, &child->pid, &child->pidfd);
        close(wire_ends[0]);
        close(wire_ends[1]);
        if (code < 0)
            child->wire = sl__wire_free(child->wire);
    }
    close(pipe_ends[1]);
    if (code < 0)
        close(pipe_ends[0]);
    child->output_fd = pipe_ends[0];
    return code;
}

static sl_error *start_error(int code, const sl__child_options *options)
{
    const char *program = options->argv[0];
    if (options->directory && access(options->directory, X_OK) < 0)
        return sl_error_new(code, "%s does not start: the directory %s cannot be entered: %s", options->name,
                            options->directory, strerrordesc_np(errno));
    sl_error *error = sl_error_new(code, "%s does not start: cannot run %s: %s", options->name, program,
                                   sl_code_message(code));
    if (code == -ENOENT)
        sl_error_hint(error, "install it, or say where it is (the manager's option `programs`)");
    else if (code == -EACCES)
        sl_error_hint(error, "make it executable: chmod +x %s", program);
    else if (code == -EMFILE || code == -ENFILE)
        sl_error_hint(error, "allow more open files (ulimit -n)");
    else if (code == -EAGAIN)
        sl_error_hint(error, "allow more processes (ulimit -u, or pids.max of the control group)");
    else if (code == -ENOMEM)
        sl_error_hint(error, "give it more memory, or have fewer children (maximum)");
    return error;
}

static void start_handles(sl__child *child)
{
    uv_loop_t *loop = sl_loop_uv(child->loop);
    uv_timer_init(loop, &child->timer);
    /* Neither fails for descriptors that can be polled. */
    uv_poll_init(loop, &child->exit, child->pidfd);
    uv_poll_init(loop, &child->output, child->output_fd);
    child->timer.data = child->exit.data = child->output.data = child;
    child->open_handles = 3;
    uv_poll_start(&child->exit, UV_READABLE, on_exit_told);
    uv_poll_start(&child->output, UV_READABLE, on_output);
    give_time(child, child->start_ms, on_start_time_over);
}

int sl__child_start(sl_loop *loop, const sl__child_options *options, const sl__child_events *events,
                    void *owner, sl__child **ret_child, sl_error **ret_error)
{
    sl__child *child = sl_calloc(1, sizeof *child);
    int code = start_process(child, options);
    if (code < 0) {
        free(child);
        *ret_error = start_error(code, options);
        return code;
    }
    child->loop = loop;
    child->context = sl_context_capture();
    child->events = events;
    child->owner = owner;
    child->name = sl_strdup_heap(options->name);
    child->start_ms = options->start_ms;
    child->grace_ms = options->grace_ms;
    child->printed.told = log_line;
    child->printed.data = child;
    start_handles(child);
    code = sl__wire_attach(child->wire, loop, on_wire, child);
    if (code < 0) {
        *ret_error = sl_error_new(code, "%s does not start: its wire cannot be watched: %s", options->name,
                                  sl_code_message(code));
        sl__child_free(child);
        return code;
    }
    child->attached = true;
    *ret_child = child;
    return 0;
}

/* ---- What is known of it ------------------------------------------------------------------------------ */

void *sl__child_owner(const sl__child *child)
{
    return child->owner;
}

sl__wire *sl__child_wire(const sl__child *child)
{
    return child->wire;
}

sl__child_state sl__child_get_state(const sl__child *child)
{
    return child->state;
}

int sl__child_pid(const sl__child *child)
{
    return child->pid;
}

bool sl__child_told(const sl__child *child)
{
    return child->told;
}

size_t sl__child_memory(const sl__child *child)
{
    char path[32], text[128];
    snprintf(path, sizeof path, "/proc/%d/statm", (int)child->pid);
    int descriptor = open(path, O_RDONLY | O_CLOEXEC);
    if (descriptor < 0)
        return 0;
    ssize_t size = read(descriptor, text, sizeof text - 1);
    close(descriptor);
    text[size < 0 ? 0 : size] = '\0';
    size_t resident, shared;
    if (sscanf(text, "%*u %zu %zu", &resident, &shared) != 2 || shared > resident)
        return 0;
    return (resident - shared) * (size_t)sysconf(_SC_PAGESIZE);
}
