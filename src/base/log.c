/* log.c: time, and the log: records go through a logger, which decides where they end. */
#include <silver/base.h>

#include <stdio.h>
#include <time.h>
#include <unistd.h>

uint64_t sl_monotonic_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

int64_t sl_wall_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

const char *sl_level_name(sl_level level)
{
    static const char *const names[] = {"DEBUG", "INFO", "WARNING", "ERROR"};
    return names[level];
}

/* A control character: one byte, or one of U+0080 to U+009F, which some terminals obey as well, in two. */
static bool is_control(const char *text, size_t size)
{
    unsigned char c = (unsigned char)text[0], next = size > 1 ? (unsigned char)text[1] : 0;
    return (c < ' ' && c != '\t') || c == 0x7f || (c == 0xc2 && next >= 0x80 && next < 0xa0);
}

/* What a peer sent must not move a terminal's cursor, nor look like a record of its own: control characters
 * are shown as \x1b, and further lines are indented. */
static void put_shown(sl_buffer *out, const char *message, size_t size)
{
    size_t plain = 0;
    for (size_t i = 0; i < size; i++) {
        unsigned char c = (unsigned char)message[i];
        if (!is_control(message + i, size - i))
            continue;
        sl_buffer_put(out, message + plain, i - plain);
        if (c == '\n')
            sl_buffer_puts(out, "\n    ");
        else
            sl_buffer_printf(out, "\\x%02x", c);
        if (c == 0xc2)
            sl_buffer_printf(out, "\\x%02x", (unsigned char)message[++i]);
        plain = i + 1;
    }
    sl_buffer_put(out, message + plain, size - plain);
}

void sl_log_format(sl_buffer *out, const char *name, sl_level level, const char *message, size_t size)
{
    int64_t now = sl_wall_ms();
    time_t seconds = now / 1000;
    struct tm local;
    char stamp[32];
    localtime_r(&seconds, &local);
    strftime(stamp, sizeof stamp, "%F %T", &local);
    sl_buffer_printf(out, "[%s|%s,%03d|%s] ", name, stamp, (int)(now % 1000), sl_level_name(level));
    put_shown(out, message, size);
    sl_buffer_putc(out, '\n');
}

static void write_stderr(sl_logger *logger, sl_level level, const sl_site *site, const char *message,
                         size_t size)
{
    sl_buffer line = {0};
    sl_log_format(&line, logger->name, level, message, size);
    /* One write a record, so that records of several processes do not mix. A log that cannot be written is
     * lost. */
    if (write(STDERR_FILENO, line.data, line.size) < 0) {
        /* and nothing can be said about it */
    }
    sl_buffer_done(&line);
}

sl_logger *sl_logger_stderr(void)
{
    static sl_logger logger = {.name = "silver", .level = SL_INFO, .write = write_stderr};
    return &logger;
}

void sl_log_tov(sl_logger *logger, sl_level level, const sl_site *site, const char *format, va_list arguments)
{
    if (level < logger->level)
        return;
    sl_buffer text = {0};
    sl_buffer_vprintf(&text, format, arguments);
    while (text.size && text.data[text.size - 1] == '\n')
        text.data[--text.size] = '\0';
    logger->write(logger, level, site, text.data, text.size);
    sl_buffer_done(&text);
}

void sl_log_to(sl_logger *logger, sl_level level, const sl_site *site, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    sl_log_tov(logger, level, site, format, arguments);
    va_end(arguments);
}
