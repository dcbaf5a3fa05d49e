/* member.c: one instance as the supervisor sees it. */
#include "run/member.h"
#include "run/control.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define OUTPUT_PIPE_BYTES (1 << 20) /* an instance that logs must not wait for our disk */
#define SAID_MAX 200
#define SAID_LATELY_MS 2000 /* what was said before has nothing to do with the end */
#define BEATS 3             /* unanswered ones in a row are silence */
#define ABORT_MS 1000       /* for saying which task it was, and a core dump's beginning */

static void log_output(struct member *member, const char *data, size_t size)
{
    sl_buffer lines = {0};
    log_lines_feed(&member->lines, data, size, &lines);
    if (lines.size)
        member->said_at = sl_monotonic_ns();
    if (lines.size)
        log_file_write(member->log, lines.data, lines.size);
    sl_buffer_done(&lines);
}

static void log_rest(struct member *member)
{
    sl_buffer lines = {0};
    log_lines_end(&member->lines, &lines);
    if (lines.size)
        log_file_write(member->log, lines.data, lines.size);
    sl_buffer_done(&lines);
}

/* ---- Whether it lives -------------------------------------------------------------------------------- */

static void kill_now(uv_timer_t *timer)
{
    member_kill(timer->data);
}

/* An instance whose loop is held by something that never returns says nothing any more. It is aborted, which
 * makes it say what that was. */
static void beat(uv_timer_t *timer)
{
    struct member *member = timer->data;
    if (member->state == MEMBER_DRAINING) { /* that has an end of its own */
        uv_timer_stop(timer);
    } else if (member->unanswered < BEATS) {
        member->unanswered++;
        member_ask(member, ASKS_BEAT);
    } else {
        sl_log_to(&member->log->logger, SL_ERROR, SL_HERE,
                  "instance %u (process %d) has not answered for %llu ms: something in it computes or blocks "
                  "and does not let others run; it is ended",
                  member->place, (int)member->process.pid, (unsigned long long)member->silence_ms);
        uv_process_kill(&member->process, SIGABRT);
        uv_timer_start(timer, kill_now, ABORT_MS, 0);
    }
}

bool member_answers(const struct member *member)
{
    return member->state == MEMBER_READY && member->unanswered <= 1;
}

/* ---- What it says ------------------------------------------------------------------------------------ */

static void allocate(uv_handle_t *handle, size_t suggested, uv_buf_t *buffer)
{
    struct member *member = handle->data;
    *buffer = uv_buf_init(member->chunk, sizeof(member->chunk));
}

static void output_heard(uv_stream_t *stream, ssize_t size, const uv_buf_t *buffer)
{
    if (size < 0)
        uv_read_stop(stream);
    else
        log_output(stream->data, buffer->base, (size_t)size);
}

static void take_report(struct member *member, const char *text)
{
    if (!member->asked || member->report)
        return;
    member->report = json_loads(text, 0, NULL);
    if (json_is_object(member->report))
        member->events->reported(member);
}

static void control_heard(uv_stream_t *stream, ssize_t size, const uv_buf_t *buffer)
{
    struct member *member = stream->data;
    if (size < 0 || member->heard.size + (size_t)size > CONTROL_LINE_MAX) {
        uv_read_stop(stream);
        return;
    }
    sl_buffer_put(&member->heard, buffer->base, (size_t)size);
    for (char *newline;
         member->heard.size && (newline = memchr(member->heard.data, '\n', member->heard.size));) {
        *newline = '\0';
        size_t line_size = (size_t)(newline - member->heard.data) + 1;
        bool ready = strcmp(member->heard.data, SAYS_READY) == 0 && member->state == MEMBER_STARTING;
        if (strcmp(member->heard.data, SAYS_BROKEN) == 0)
            member->broken = true;
        else if (strcmp(member->heard.data, SAYS_ALIVE) == 0)
            member->unanswered = 0;
        else if (strncmp(member->heard.data, SAYS_REPORT " ", sizeof(SAYS_REPORT)) == 0)
            take_report(member, member->heard.data + sizeof(SAYS_REPORT));
        sl_buffer_consume(&member->heard, line_size);
        if (ready) {
            member->state = MEMBER_READY;
            uint64_t every = member->silence_ms / BEATS;
            uv_timer_start(&member->beat, beat, every, every);
            member->events->ready(member);
        }
    }
}

/* ---- Its end ----------------------------------------------------------------------------------------- */

static void handle_closed(uv_handle_t *handle)
{
    struct member *member = handle->data;
    if (--member->handles > 0)
        return;
    log_lines_done(&member->lines);
    sl_buffer_done(&member->heard);
    json_decref(member->report);
    free(member);
}

/* What is still in the pipe; not until its end, which a grandchild could keep open for ever. */
static void read_rest(struct member *member)
{
    int fd;
    if (uv_fileno((uv_handle_t *)&member->output, &fd) < 0)
        return;
    for (ssize_t size; (size = read(fd, member->chunk, sizeof(member->chunk))) > 0;)
        log_output(member, member->chunk, (size_t)size);
    log_rest(member);
}

static char *describe_end(const struct member *member)
{
    static const char *const names[] = {[SIGKILL] = "SIGKILL", [SIGTERM] = "SIGTERM", [SIGSEGV] = "SIGSEGV",
                                        [SIGABRT] = "SIGABRT", [SIGBUS] = "SIGBUS",   [SIGFPE] = "SIGFPE",
                                        [SIGILL] = "SIGILL",   [SIGINT] = "SIGINT",   [SIGALRM] = "SIGALRM"};
    bool lately = sl_monotonic_ns() - member->said_at < SAID_LATELY_MS * UINT64_C(1000000);
    size_t size = lately ? member->lines.last.size : 0;
    const char *said = member->lines.last.data;
    const char *name =
        member->signal > 0 && (size_t)member->signal < sl_array_size(names) ? names[member->signal] : NULL;
    sl_buffer text = {0};
    if (member->signal && name)
        sl_buffer_printf(&text, "was ended by %s (%s)", name, strsignal(member->signal));
    else if (member->signal)
        sl_buffer_printf(&text, "was ended by signal %d", member->signal);
    else
        sl_buffer_printf(&text, "ended with status %d", member->status);
    if (size)
        sl_buffer_printf(&text, "; the last that it said: %.*s", (int)(size < SAID_MAX ? size : SAID_MAX),
                         said);
    return text.data;
}

/* An instance leads a group of processes. What is in there before it serves are compilers and their children.
 */
static void end_group(const struct member *member)
{
    kill(-member->process.pid, SIGKILL);
}

static void exited(uv_process_t *process, int64_t status, int signal_number)
{
    struct member *member = process->data;
    member->status = (int)status;
    member->signal = signal_number;
    if (member->state == MEMBER_STARTING)
        end_group(member);
    read_rest(member);
    char *reason = describe_end(member);
    member->events->ended(member, reason);
    free(reason);
    uv_close((uv_handle_t *)&member->control, handle_closed);
    uv_close((uv_handle_t *)&member->output, handle_closed);
    uv_close((uv_handle_t *)&member->patience, handle_closed);
    uv_close((uv_handle_t *)&member->beat, handle_closed);
    uv_close((uv_handle_t *)&member->process, handle_closed);
}

/* ---- Its start --------------------------------------------------------------------------------------- */

/* The program that runs now; or, where it was replaced on disk, the new one with its new library. */
static void own_path(char *out, size_t size)
{
    ssize_t length = readlink("/proc/self/exe", out, size - 1);
    out[length > 0 ? length : 0] = '\0';
    char *deleted = strstr(out, " (deleted)");
    if (deleted)
        *deleted = '\0';
    if (access(out, X_OK) < 0)
        snprintf(out, size, "/proc/self/exe");
}

static int spawn(sl_loop *loop, struct member *member, const struct member_options *options, int output,
                 int control)
{
    char path[PATH_MAX], number[16];
    own_path(path, sizeof(path));
    snprintf(number, sizeof(number), "%u", options->place);
    char *arguments[] = {"silver",
                         "instance",
                         (char *)options->directory,
                         number,
                         (char *)options->logs,
                         (char *)options->words,
                         (char *)options->app_name,
                         (char *)options->why,
                         NULL};
    uv_stdio_container_t stdio[] = {
        {.flags = UV_IGNORE},
        {.flags = UV_INHERIT_FD, .data.fd = output},
        {.flags = UV_INHERIT_FD, .data.fd = output},
        [CONTROL_FD] = {.flags = UV_INHERIT_FD, .data.fd = control},
        [LISTEN_FD] = {.flags = UV_INHERIT_FD, .data.fd = options->listener},
        [METRICS_FD] = {.flags = options->metrics < 0 ? UV_IGNORE : UV_INHERIT_FD,
                        .data.fd = options->metrics},
    };
    uv_process_options_t process = {
        .exit_cb = exited,
        .file = path,
        .args = arguments,
        .stdio = stdio,
        .stdio_count = sl_array_size(stdio),
        .flags = UV_PROCESS_DETACHED, /* the terminal's Ctrl-C is for the supervisor, which drains them */
    };
    return uv_spawn(sl_loop_uv(loop), &member->process, &process);
}

/* Our ends of the pipes become handles; from then on closing the handles closes them. */
static int listen_to(sl_loop *loop, struct member *member, int output, int control)
{
    uv_pipe_init(sl_loop_uv(loop), &member->control, 0);
    uv_pipe_init(sl_loop_uv(loop), &member->output, 0);
    uv_timer_init(sl_loop_uv(loop), &member->patience);
    uv_timer_init(sl_loop_uv(loop), &member->beat);
    member->control.data = member->output.data = member->process.data = member;
    member->patience.data = member->beat.data = member;
    int code = uv_pipe_open(&member->control, control);
    if (code < 0)
        close(control);
    int other = uv_pipe_open(&member->output, output);
    if (other < 0)
        close(output);
    return code < 0 ? code : other;
}

int member_start(sl_loop *loop, const struct member_options *options, void *owner,
                 const struct member_events *events, struct log_file *log, struct member **ret_member)
{
    int output[2], control[2];
    if (pipe2(output, O_CLOEXEC) < 0)
        return -errno;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, control) < 0) {
        int code = -errno;
        close(output[0]);
        close(output[1]);
        return code;
    }
    fcntl(output[1], F_SETPIPE_SZ, OUTPUT_PIPE_BYTES); /* refused past the user's quota: then it is smaller */
    struct member *member = sl_calloc(1, sizeof(*member));
    *member = (struct member){.owner = owner,
                              .events = events,
                              .log = log,
                              .place = options->place,
                              .started_at = sl_loop_now(loop),
                              .explains = options->why != NULL,
                              .silence_ms = options->silence_ms,
                              .handles = 5};
    member->lines.name = log->logger.name;
    int code = log_token_make(member->lines.token);
    if (code == 0 && write(control[0], member->lines.token, LOG_TOKEN_SIZE) != LOG_TOKEN_SIZE)
        code = SL_EIO; /* into an empty buffer */
    int opened = listen_to(loop, member, output[0], control[0]);
    if (code == 0)
        code = opened;
    if (code == 0)
        code = spawn(loop, member, options, output[1], control[1]);
    close(output[1]);
    close(control[1]);
    if (code < 0) {
        /* uv_spawn makes the process handle even when it fails; if it was not reached there is one less. */
        uv_close((uv_handle_t *)&member->control, handle_closed);
        uv_close((uv_handle_t *)&member->output, handle_closed);
        uv_close((uv_handle_t *)&member->patience, handle_closed);
        uv_close((uv_handle_t *)&member->beat, handle_closed);
        if (member->process.type == UV_PROCESS)
            uv_close((uv_handle_t *)&member->process, handle_closed);
        else
            member->handles--;
        return code;
    }
    uv_read_start((uv_stream_t *)&member->output, allocate, output_heard);
    uv_read_start((uv_stream_t *)&member->control, allocate, control_heard);
    *ret_member = member;
    return 0;
}

/* ---- Talking to it ----------------------------------------------------------------------------------- */

void member_ask(struct member *member, const char *line)
{
    char text[32];
    int size = snprintf(text, sizeof(text), "%s\n", line);
    uv_buf_t buffer = uv_buf_init(text, (unsigned)size);
    uv_try_write((uv_stream_t *)&member->control, &buffer, 1); /* one that is gone is noticed by its end */
}

void member_ask_report(struct member *member)
{
    json_decref(member->report);
    member->report = NULL;
    member->asked = true;
    member_ask(member, ASKS_REPORT);
}

static void patience_is_over(uv_timer_t *timer)
{
    struct member *member = timer->data;
    sl_log_to(&member->log->logger, SL_WARNING, SL_HERE,
              "instance %u (process %d) has not finished by now and is ended", member->place,
              (int)member->process.pid);
    member_kill(member);
}

void member_drain(struct member *member, uint64_t patience_ms)
{
    enum member_state before = member->state;
    member->state = MEMBER_DRAINING;
    if (before == MEMBER_STARTING) {
        end_group(member);
    } else if (before == MEMBER_READY) {
        member_ask(member, ASKS_DRAIN);
        uv_timer_start(&member->patience, patience_is_over, patience_ms, 0);
    }
}

void member_kill(struct member *member)
{
    uv_process_kill(&member->process, SIGKILL);
}
