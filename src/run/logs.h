/* logs.h: everything that the processes of a server say, as lines of one form in one place.
 *
 * `[chat|2026-11-21 13:58:27,707|INFO] text`: a logger's records come so already; what else is printed (a
 * stray printf, a message of the C library) is cut into lines and given the same head by the supervisor,
 * which reads the instances' standard output and error from pipes. It alone writes the log file, so reopening
 * it for rotation is its affair alone.
 *
 * What is printed may be what a stranger sent, and looks like a record if the stranger wants that. So an
 * instance's loggers put a token before each line, which the supervisor made up for this instance and takes
 * off again: what comes without it is no record, whatever it looks like. */
#pragma once

#include <silver/base.h>

#define LOG_LINE_MAX 8192
/* Of a record's line: token, head, and each byte of the text shown as four. */
#define LOG_RECORD_MAX (LOG_TOKEN_SIZE + 256 + 4 * LOG_LINE_MAX)
#define LOG_TOKEN_SIZE 32

/* Makes up a token: text, with its end. 0, or a code if there is no randomness. */
int log_token_make(char token[static LOG_TOKEN_SIZE + 1]);

/* Appends a record with the token (or "") and the head before each of its lines. A line beyond LOG_LINE_MAX
 * bytes is broken there. */
void log_format_lines(sl_buffer *out, const char *token, const char *name, sl_level level,
                      const char *message, size_t size);

/* Writes all of it to a descriptor; what cannot be written is lost. */
void log_write(int fd, const char *data, size_t size);

/* Cuts a stream of bytes into lines. Zero-initialised but for the name, and the token if there is one. */
struct log_lines {
    const char *name;
    char token[LOG_TOKEN_SIZE + 1];
    sl_buffer pending;
    sl_buffer
        last; /* the text of the last line that was seen, without a head: for telling how a process ended */
};
/* Appends to `out` each line that is whole now, with its head. A line beyond LOG_LINE_MAX bytes is broken
 * there. */
void log_lines_feed(struct log_lines *lines, const char *data, size_t size, sl_buffer *out);
/* The stream has ended: what is left is a line too. */
void log_lines_end(struct log_lines *lines, sl_buffer *out);
void log_lines_done(struct log_lines *lines);

/* The log of a server: a file, or the standard error. */
struct log_file {
    sl_logger logger; /* writes here */
    char *path;       /* NULL: the standard error */
    int fd;
    int echo; /* where errors are said as well (the terminal, until a daemon is ready), or -1 */
};
/* Opens the log `name`'s file, whose directory must be there. On failure *ret_error says why. */
int log_file_open(struct log_file *log, const char *name, const char *path, sl_error **ret_error);
/* Makes the standard output and error of this process the file as well. */
void log_file_redirect(struct log_file *log);
/* Opens the path again, after somebody renamed the file. The old file goes on if that fails. */
int log_file_reopen(struct log_file *log);
/* Writes formatted lines. What cannot be written is lost. */
void log_file_write(struct log_file *log, const char *lines, size_t size);
void log_file_close(struct log_file *log);
