/* access_log.c: one line a request, written off the request's path.
 *
 * Lines are gathered in memory and written by one of libuv's threads, one write at a time, when there is a
 * batch or a moment has passed. When the disk is full, or slower than the requests, lines beyond BUFFER_MAX
 * are dropped and counted; that is said once when it begins and once when it is over. */
#include "http/server.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define BATCH 32768
#define BUFFER_MAX (1024 * 1024)
#define MOMENT_MS 200

struct sl__access_log {
    sl_context *context;
    uv_loop_t *loop;
    char *path;
    sl_access_format format;
    int fd;
    sl_buffer gathered, writing;
    size_t written;
    uv_fs_t write;
    uv_timer_t timer;
    bool busy, failing, ending, closed;
    uint64_t dropped;
    int64_t second; /* of `time` */
    char time[40];
};

static void write_more(sl__access_log *log);

static int open_file(const char *path)
{
    int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY, 0640);
    return fd < 0 ? -errno : fd;
}

/* ---- Writing ---- */

static void log_free(sl__access_log *log)
{
    close(log->fd);
    sl_buffer_done(&log->gathered);
    sl_buffer_done(&log->writing);
    free(log->path);
    free(log);
}

static void on_closed(uv_handle_t *handle)
{
    sl__access_log *log = handle->data;
    log->closed = true;
    if (!log->busy)
        log_free(log);
}

/* At the end, when there may be no more passes of the loop to wait for. */
static void write_at_once(sl__access_log *log, const char *data, size_t size)
{
    while (size > 0) {
        ssize_t got = write(log->fd, data, size);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0) {
            sl_error_log("cannot write the end of the access log %s: %s", log->path, strerror(errno));
            return;
        }
        data += got;
        size -= (size_t)got;
    }
}

static void write_rest(sl__access_log *log)
{
    if (log->writing.size)
        write_at_once(log, log->writing.data + log->written, log->writing.size - log->written);
    write_at_once(log, log->gathered.data, log->gathered.size);
    log->writing.size = log->gathered.size = 0;
}

static void report_dropped(sl__access_log *log)
{
    if (log->dropped)
        sl_warning("the access log %s is written again: %" PRIu64 " lines were lost", log->path,
                   log->dropped);
    log->dropped = 0;
    log->failing = false;
}

static uint64_t count_lines(const char *data, size_t size)
{
    uint64_t lines = 0;
    for (size_t i = 0; i < size; i++)
        lines += data[i] == '\n';
    return lines;
}

static void write_failed(sl__access_log *log, int code)
{
    if (!log->failing)
        sl_error_log("cannot write the access log %s: %s; lines are dropped until it works again", log->path,
                     uv_strerror(code));
    log->failing = true;
    log->dropped += count_lines(log->writing.data + log->written, log->writing.size - log->written);
    log->writing.size = 0;
}

static void wrote(sl__access_log *log, ssize_t result)
{
    SL_IN_CONTEXT(log->context);
    if (result < 0) {
        write_failed(log, (int)result);
    } else {
        log->written += (size_t)result;
        if (log->written == log->writing.size) {
            log->writing.size = 0;
            if (log->failing)
                report_dropped(log);
        }
    }
    if (log->writing.size || log->gathered.size >= BATCH)
        write_more(log);
}

static void on_write(uv_fs_t *fs)
{
    sl__access_log *log = fs->data;
    ssize_t result = fs->result;
    uv_fs_req_cleanup(fs);
    log->busy = false;
    if (!log->ending) {
        wrote(log, result);
        return;
    }
    log->written += result > 0 ? (size_t)result : 0;
    write_rest(log);
    if (log->closed)
        log_free(log);
}

static void write_more(sl__access_log *log)
{
    if (log->busy)
        return;
    if (log->writing.size == 0) {
        sl_buffer swap = log->writing;
        log->writing = log->gathered;
        log->gathered = swap;
        log->written = 0;
    }
    if (log->writing.size == 0)
        return;
    uv_buf_t buffer =
        uv_buf_init(log->writing.data + log->written, (unsigned)(log->writing.size - log->written));
    log->busy = uv_fs_write(log->loop, &log->write, log->fd, &buffer, 1, /* offset= */ -1, on_write) == 0;
}

static void on_moment(uv_timer_t *timer)
{
    write_more(timer->data);
}

/* ---- Formatting ---- */

/* Whether a byte of well-formed UTF-8 may stand as it is: any but those of control characters (U+0080 to
 * U+009F are some too). */
static bool harmless(const char *at, const char *text)
{
    unsigned char c = (unsigned char)at[0];
    if (c == 0xC2)
        return (unsigned char)at[1] >= 0xA0;
    return c > 0x7f && !(at > text && (unsigned char)at[-1] == 0xC2 && c < 0xA0);
}

/* What a client sent, so that no line can be forged and no terminal be moved: quotes, backslashes and control
 * characters are escaped, and so is what is not ASCII, but for well-formed UTF-8 in JSON. */
static void put_text(sl_buffer *out, const char *text, bool json)
{
    bool utf8 = json && sl_utf8_valid(text, strlen(text));
    for (const char *at = text; *at; at++) {
        unsigned char c = (unsigned char)*at;
        if (c == '"' || c == '\\') {
            sl_buffer_putc(out, '\\');
            sl_buffer_putc(out, *at);
        } else if ((c < 0x20 || c >= 0x7f) && !(utf8 && harmless(at, text))) {
            sl_buffer_printf(out, json ? "\\u%04x" : "\\x%02x", c);
        } else {
            sl_buffer_putc(out, *at);
        }
    }
}

static const char *time_text(sl__access_log *log)
{
    int64_t now = sl_wall_ms() / 1000;
    if (now != log->second) {
        time_t seconds = (time_t)now;
        struct tm broken;
        localtime_r(&seconds, &broken);
        strftime(log->time, sizeof(log->time),
                 log->format == SL_ACCESS_JSON ? "%Y-%m-%dT%H:%M:%S%z" : "%d/%b/%Y:%H:%M:%S %z", &broken);
        log->second = now;
    }
    return log->time;
}

static void put_quoted(sl_buffer *out, const char *text)
{
    sl_buffer_puts(out, " \"");
    put_text(out, text ? text : "-", /* json= */ false);
    sl_buffer_putc(out, '"');
}

static void put_combined(sl_buffer *out, const sl__access *access, const char *time)
{
    sl_buffer_printf(out, "%s - - [%s] \"", access->peer, time);
    if (access->method) {
        put_text(out, access->method, /* json= */ false);
        sl_buffer_putc(out, ' ');
        put_text(out, access->target, /* json= */ false);
        sl_buffer_printf(out, " HTTP/1.%u", access->minor);
    } else {
        sl_buffer_putc(out, '-');
    }
    sl_buffer_printf(out, "\" %d %" PRIu64, access->status, access->size);
    put_quoted(out, access->referer);
    put_quoted(out, access->agent);
    sl_buffer_putc(out, '\n');
}

static void put_member(sl_buffer *out, const char *name, const char *text)
{
    if (!text)
        return;
    sl_buffer_printf(out, ",\"%s\":\"", name);
    put_text(out, text, /* json= */ true);
    sl_buffer_putc(out, '"');
}

static void put_json(sl_buffer *out, const sl__access *access, const char *time)
{
    sl_buffer_printf(out, "{\"time\":\"%s\",\"peer\":\"%s\"", time, access->peer);
    put_member(out, "method", access->method);
    put_member(out, "target", access->target);
    sl_buffer_printf(out,
                     ",\"protocol\":\"HTTP/1.%u\",\"status\":%d,\"bytes\":%" PRIu64
                     ",\"ms\":%.3f,\"request\":\"%016" PRIx64 "\"",
                     access->minor, access->status, access->size, (double)access->duration_ns / 1e6,
                     access->id);
    put_member(out, "referer", access->referer);
    put_member(out, "agent", access->agent);
    sl_buffer_puts(out, "}\n");
}

void sl__access_log_put(sl__access_log *log, const sl__access *access)
{
    if (log->gathered.size >= BUFFER_MAX) {
        if (log->dropped++ == 0 && !log->failing)
            sl_warning("the access log %s is written too slowly: lines are dropped", log->path);
        log->failing = true;
        return;
    }
    if (log->format == SL_ACCESS_JSON)
        put_json(&log->gathered, access, time_text(log));
    else
        put_combined(&log->gathered, access, time_text(log));
    if (log->gathered.size >= BATCH)
        write_more(log);
    else if (!uv_is_active((uv_handle_t *)&log->timer))
        uv_timer_start(&log->timer, on_moment, MOMENT_MS, 0);
}

/* ---- The log ---- */

int sl__access_log_new(sl_http_server *server, sl__access_log **ret_log)
{
    int fd = open_file(server->options.access_log);
    if (fd < 0)
        return fd;
    sl__access_log *log = sl_calloc(1, sizeof(*log));
    log->context = sl_context_capture();
    log->loop = sl_loop_uv(server->loop);
    log->path = sl_strdup_heap(server->options.access_log);
    log->format = server->options.access_format;
    log->fd = fd;
    uv_timer_init(log->loop, &log->timer);
    uv_unref((uv_handle_t *)&log->timer);
    log->timer.data = log->write.data = log;
    *ret_log = log;
    return 0;
}

/* A write that is under way keeps its descriptor open by having been given it: so the new file takes over the
 * number. */
int sl__access_log_reopen(sl__access_log *log)
{
    int fd = open_file(log->path);
    if (fd < 0)
        return fd;
    int r = dup3(fd, log->fd, O_CLOEXEC) < 0 ? -errno : 0;
    close(fd);
    return r;
}

void sl__access_log_free(sl__access_log *log)
{
    if (!log)
        return;
    log->ending = true;
    log->context = sl_context_release(log->context);
    if (!log->busy)
        write_rest(log);
    uv_close((uv_handle_t *)&log->timer, on_closed);
}
