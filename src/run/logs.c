/* logs.c: lines of one form in one place. */
#include "run/logs.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

void log_format_lines(sl_buffer *out, const char *name, sl_level level, const char *message, size_t size)
{
    for (const char *end = message + size;;) {
        const char *newline = memchr(message, '\n', (size_t)(end - message));
        sl_log_format(out, name, level, message, (size_t)((newline ? newline : end) - message));
        if (!newline)
            return;
        message = newline + 1;
    }
}

/* The length of the head `[name|YYYY-MM-DD HH:MM:SS,mmm|LEVEL] ` that a line begins with; 0 if it has none.
 */
static size_t head_size(const char *name, const char *line, size_t size)
{
    static const char shape[] = "dddd-dd-dd dd:dd:dd,ddd|";
    size_t name_size = strlen(name), at = 1 + name_size + 1;
    if (size < at + sizeof(shape) || line[0] != '[' || memcmp(line + 1, name, name_size) != 0 ||
        line[1 + name_size] != '|')
        return 0;
    for (size_t i = 0; shape[i]; i++, at++)
        if (shape[i] == 'd' ? line[at] < '0' || line[at] > '9' : line[at] != shape[i])
            return 0;
    for (sl_level level = SL_DEBUG; level <= SL_ERROR; level++) {
        const char *word = sl_level_name(level);
        size_t word_size = strlen(word);
        if (size >= at + word_size + 2 && memcmp(line + at, word, word_size) == 0 &&
            memcmp(line + at + word_size, "] ", 2) == 0)
            return at + word_size + 2;
    }
    return 0;
}

static void put_line(struct log_lines *lines, const char *line, size_t size, sl_buffer *out)
{
    if (size && line[size - 1] == '\r')
        size--;
    size_t head = head_size(lines->name, line, size);
    if (head) {
        sl_buffer_put(out, line, size);
        sl_buffer_putc(out, '\n');
    } else {
        sl_log_format(out, lines->name, SL_INFO, line, size);
    }
    if (size > head) {
        lines->last.size = 0;
        sl_buffer_put(&lines->last, line + head, size - head);
    }
}

void log_lines_feed(struct log_lines *lines, const char *data, size_t size, sl_buffer *out)
{
    while (size) {
        const char *newline = memchr(data, '\n', size);
        size_t taken = newline ? (size_t)(newline - data) : size;
        bool whole = newline != NULL;
        if (lines->pending.size + taken > LOG_LINE_MAX) {
            taken = LOG_LINE_MAX - lines->pending.size;
            whole = true;
            newline = NULL;
        }
        if (whole && lines->pending.size == 0) {
            put_line(lines, data, taken, out);
        } else {
            sl_buffer_put(&lines->pending, data, taken);
            if (whole) {
                put_line(lines, lines->pending.data, lines->pending.size, out);
                lines->pending.size = 0;
            }
        }
        taken += newline != NULL;
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
    log_format_lines(&lines, logger->name, level, message, size);
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
    char *directory = sl_strdup_heap(path);
    char *slash = strrchr(directory, '/');
    if (slash && slash > directory) {
        *slash = '\0';
        mkdir(directory, 0750); /* if that fails, opening the file does, and says why */
    }
    free(directory);
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
    for (const char *end = lines + size; lines < end;) {
        const char *newline = memchr(lines, '\n', (size_t)(end - lines));
        const char *next = newline ? newline + 1 : end;
        const char *mark = memmem(lines, (size_t)(next - lines), "|ERROR] ", 8);
        if (mark)
            log_write(fd, mark + 8, (size_t)(next - mark) - 8);
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
