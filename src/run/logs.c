/* logs.c: lines of one form in one place. */
#include "run/logs.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <unistd.h>

int log_token_make(char token[static LOG_TOKEN_SIZE + 1])
{
    unsigned char random[LOG_TOKEN_SIZE / 2];
    if (getrandom(random, sizeof(random), 0) != sizeof(random))
        return -errno;
    for (size_t i = 0; i < sizeof(random); i++)
        snprintf(token + 2 * i, 3, "%02x", random[i]);
    return 0;
}

/* How much of a text is one line of the log: not more than there may be, and no character in two. */
static size_t piece_size(const char *text, size_t size)
{
    if (size <= LOG_LINE_MAX)
        return size;
    size_t end = LOG_LINE_MAX;
    while (end > LOG_LINE_MAX - 3 && ((unsigned char)text[end] & 0xc0) == 0x80)
        end--;
    return end;
}

/* One line, or several where it is too long for one. */
static void put_pieces(sl_buffer *out, const char *token, const char *name, sl_level level, const char *line,
                       size_t size)
{
    for (;;) {
        size_t piece = piece_size(line, size);
        sl_buffer_puts(out, token);
        sl_log_format(out, name, level, line, piece);
        line += piece;
        size -= piece;
        if (!size)
            return;
    }
}

void log_format_lines(sl_buffer *out, const char *token, const char *name, sl_level level,
                      const char *message, size_t size)
{
    for (const char *end = message + size;;) {
        const char *newline = memchr(message, '\n', (size_t)(end - message));
        put_pieces(out, token, name, level, message, (size_t)((newline ? newline : end) - message));
        if (!newline)
            return;
        message = newline + 1;
    }
}

/* ---- What instances print ---------------------------------------------------------------------------- */

static const char *find_token(const struct log_lines *lines, const char *text, size_t size)
{
    return text && lines->token[0] ? memmem(text, size, lines->token, LOG_TOKEN_SIZE) : NULL;
}

static void note_last(struct log_lines *lines, const char *text, size_t size)
{
    if (!size)
        return;
    lines->last.size = 0;
    sl_buffer_put(&lines->last, text, size);
}

static void put_stray(struct log_lines *lines, const char *line, size_t size, sl_buffer *out)
{
    if (size && line[size - 1] == '\r')
        size--;
    put_pieces(out, "", lines->name, SL_INFO, line, size);
    note_last(lines, line, size);
}

/* A logger's line has its head already; but before it has read the manifest, it does not know the name. */
static void put_record(struct log_lines *lines, const char *line, size_t size, sl_buffer *out)
{
    const char *bar = memchr(line, '|', size), *close = memmem(line, size, "] ", 2);
    size_t name = bar ? (size_t)(bar - line) : 0, head = close ? (size_t)(close + 2 - line) : 0;
    sl_buffer_printf(out, "[%s", lines->name);
    sl_buffer_put(out, line + name, size - name);
    sl_buffer_putc(out, '\n');
    note_last(lines, line + head, size - head);
}

/* What stands before a token was printed without an end of line before a record came. */
static void put_line(struct log_lines *lines, const char *line, size_t size, sl_buffer *out)
{
    const char *end = line + size, *mark = find_token(lines, line, size);
    if (!mark || mark > line)
        put_stray(lines, line, (size_t)((mark ? mark : end) - line), out);
    while (mark) {
        const char *record = mark + LOG_TOKEN_SIZE;
        mark = find_token(lines, record, (size_t)(end - record));
        put_record(lines, record, (size_t)((mark ? mark : end) - record), out);
    }
}

/* No line has come to its end within the limit: all goes out but what may belong to a record. */
static void spill(struct log_lines *lines, sl_buffer *out)
{
    const char *text = lines->pending.data;
    size_t size = lines->pending.size, kept = LOG_TOKEN_SIZE - 1;
    const char *mark = find_token(lines, text, size);
    if (mark)
        kept = mark == text ? 0 : size - (size_t)(mark - text);
    else
        while (kept && (!lines->token[0] || memcmp(text + size - kept, lines->token, kept) != 0))
            kept--;
    put_line(lines, text, size - kept, out);
    sl_buffer_consume(&lines->pending, size - kept);
}

void log_lines_feed(struct log_lines *lines, const char *data, size_t size, sl_buffer *out)
{
    while (size) {
        const char *newline = memchr(data, '\n', size);
        size_t taken = newline ? (size_t)(newline - data) : size, room = LOG_RECORD_MAX - lines->pending.size;
        if (taken > room) {
            taken = room;
            newline = NULL;
        }
        sl_buffer_put(&lines->pending, data, taken);
        if (newline) {
            put_line(lines, lines->pending.size ? lines->pending.data : "", lines->pending.size, out);
            lines->pending.size = 0;
            taken++;
        } else if (lines->pending.size == LOG_RECORD_MAX) {
            spill(lines, out);
        }
        data += taken;
        size -= taken;
    }
}

void log_lines_end(struct log_lines *lines, sl_buffer *out)
{
    if (lines->pending.size)
        put_line(lines, lines->pending.data, lines->pending.size, out);
    lines->pending.size = 0;
}

void log_lines_done(struct log_lines *lines)
{
    sl_buffer_done(&lines->pending);
    sl_buffer_done(&lines->last);
}

/* ---- The file ---------------------------------------------------------------------------------------- */

void log_write(int fd, const char *data, size_t size)
{
    while (size) {
        ssize_t written = write(fd, data, size);
        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0)
            return;
        data += written;
        size -= (size_t)written;
    }
}

static void write_record(sl_logger *logger, sl_level level, const sl_site *site, const char *message,
                         size_t size)
{
    struct log_file *log = (struct log_file *)logger; /* its first member */
    sl_buffer lines = {0};
    log_format_lines(&lines, "", logger->name, level, message, size);
    log_file_write(log, lines.data, lines.size);
    sl_buffer_done(&lines);
}

static int open_path(const char *path)
{
    int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY, 0640);
    return fd < 0 ? -errno : fd;
}

int log_file_open(struct log_file *log, const char *name, const char *path, sl_error **ret_error)
{
    *log = (struct log_file){.logger = {.name = name, .level = SL_INFO, .write = write_record}, .echo = -1};
    if (!path) {
        log->fd = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);
        if (log->fd < 0)
            log->fd = open_path("/dev/null");
        return 0;
    }
    log->fd = open_path(path);
    if (log->fd < 0) {
        *ret_error =
            sl_error_hint(sl_error_new(log->fd, "cannot open the log %s: %s", path, sl_code_message(log->fd)),
                          "make its directory writable, or give another with --logfile");
        return log->fd;
    }
    log->path = sl_strdup_heap(path);
    return 0;
}

void log_file_redirect(struct log_file *log)
{
    dup2(log->fd, STDOUT_FILENO);
    dup2(log->fd, STDERR_FILENO);
}

int log_file_reopen(struct log_file *log)
{
    if (!log->path)
        return 0;
    int fd = open_path(log->path);
    if (fd < 0)
        return fd;
    dup3(fd, log->fd, O_CLOEXEC); /* in place: nobody sees the log closed */
    close(fd);
    return 0;
}

/* Errors among the lines, for the terminal from which a daemon is being started. */
static void echo_errors(int fd, const char *lines, size_t size)
{
    static const char level[] = "|ERROR] ";
    const char *prefix = "silver: ";
    for (const char *end = lines + size; lines < end;) {
        const char *newline = memchr(lines, '\n', (size_t)(end - lines));
        const char *next = newline ? newline + 1 : end;
        const char *close = memmem(lines, (size_t)(next - lines), "] ", 2); /* the head's end */
        const char *text = close ? close + 2 : next;
        if ((size_t)(text - lines) > sizeof(level) - 1 &&
            memcmp(text - (sizeof(level) - 1), level, sizeof(level) - 1) == 0) {
            log_write(fd, prefix, strlen(prefix));
            log_write(fd, text, (size_t)(next - text));
            prefix = "";
        }
        lines = next;
    }
}

void log_file_write(struct log_file *log, const char *lines, size_t size)
{
    log_write(log->fd, lines, size);
    if (log->echo >= 0)
        echo_errors(log->echo, lines, size);
}

void log_file_close(struct log_file *log)
{
    if (log->fd >= 0)
        close(log->fd);
    if (log->echo >= 0)
        close(log->echo);
    free(log->path);
    *log = (struct log_file){.fd = -1, .echo = -1};
}
