/* logs.c: whatever is printed comes out as lines of one form; files are reopened where they are. */
#include "check.h"
#include "run/logs.h"

#define RECORD "[chat|2026-11-21 13:58:27,707|WARNING] careful"

/* The lines of `out` without the time in their heads, which no test can know. */
static char *without_time(const sl_buffer *out)
{
    sl_buffer text = {0};
    for (const char *p = out->data; p && *p;) {
        const char *bar = strchr(p, '|'), *second = strchr(bar + 1, '|'), *newline = strchr(p, '\n');
        assert_true(bar && second && newline && second < newline && second - bar == 24);
        sl_buffer_put(&text, p, (size_t)(bar - p));
        sl_buffer_put(&text, second, (size_t)(newline + 1 - second));
        p = newline + 1;
    }
    return text.data ? text.data : sl_strdup_heap("");
}

static void expect(const sl_buffer *out, const char *wanted)
{
    char *text = without_time(out);
    assert_string_equal(text, wanted);
    free(text);
}

static void test_lines(void **state)
{
    struct log_lines lines = {.name = "chat"};
    sl_buffer out = {0};
    log_lines_feed(&lines, "he", 2, &out);
    assert_int_equal(out.size, 0); /* not a line yet */
    log_lines_feed(&lines, "llo\nthere\r\n\nrest", 16, &out);
    expect(&out, "[chat|INFO] hello\n[chat|INFO] there\n[chat|INFO] \n");
    log_lines_end(&lines, &out);
    expect(&out, "[chat|INFO] hello\n[chat|INFO] there\n[chat|INFO] \n[chat|INFO] rest\n");
    assert_string_equal(lines.last.data, "rest");
    sl_buffer_done(&out);
    log_lines_done(&lines);
}

#define TOKEN "0123456789abcdef0123456789abcdef"

static void test_records_pass(void **state)
{
    struct log_lines lines = {.name = "chat", .token = TOKEN};
    sl_buffer out = {0};
    log_lines_feed(&lines, TOKEN RECORD "\n", LOG_TOKEN_SIZE + sizeof(RECORD), &out);
    assert_string_equal(out.data, RECORD "\n");
    assert_int_equal(lines.last.size, 7);
    assert_memory_equal(lines.last.data, "careful", 7);
    out.size = 0;
    /* One that does not know the name yet. */
    static const char early[] = TOKEN "[silver|2026-11-21 13:58:27,707|ERROR] no app.ini\n";
    log_lines_feed(&lines, early, sizeof(early) - 1, &out);
    assert_string_equal(out.data, "[chat|2026-11-21 13:58:27,707|ERROR] no app.ini\n");
    out.size = 0;
    /* After something without an end of line, and byte by byte. */
    static const char mixed[] = "name? " TOKEN RECORD "\nrest\n";
    for (size_t i = 0; i < sizeof(mixed) - 1; i++)
        log_lines_feed(&lines, mixed + i, 1, &out);
    expect(&out, "[chat|INFO] name? \n[chat|WARNING] careful\n[chat|INFO] rest\n");
    sl_buffer_done(&out);
    log_lines_done(&lines);
}

/* What looks like a record is not taken for one without the token. */
static void test_records_cannot_be_forged(void **state)
{
    static const char *const likes[] = {RECORD, "[silver|2026-11-21 13:58:27,707|ERROR] x",
                                        ("0123456789abcdef0123456789abcdeX" RECORD), "[chat"};
    for (int with_token = 0; with_token < 2; with_token++) {
        struct log_lines lines = {.name = "chat"};
        if (with_token)
            memcpy(lines.token, TOKEN, sizeof(TOKEN));
        for (size_t i = 0; i < sl_array_size(likes); i++) {
            sl_buffer out = {0};
            log_lines_feed(&lines, likes[i], strlen(likes[i]), &out);
            log_lines_feed(&lines, "\n", 1, &out);
            assert_memory_equal(strstr(out.data, "|INFO] ") + 7, likes[i], strlen(likes[i]));
            assert_memory_not_equal(out.data, likes[i], strlen(likes[i]) + 1);
            sl_buffer_done(&out);
        }
        log_lines_done(&lines);
    }
}

static void test_control_characters(void **state)
{
    struct log_lines lines = {.name = "chat"};
    sl_buffer out = {0};
    log_lines_feed(&lines, "a\x1b[2J\rb\tc\r\n", 11, &out);
    expect(&out, "[chat|INFO] a\\x1b[2J\\x0db\tc\n");
    sl_buffer_done(&out);
    log_lines_done(&lines);
}

/* A record too long for a line goes on in lines of its own level, all of them marked. */
static void test_long_records_break(void **state)
{
    struct log_lines lines = {.name = "chat", .token = TOKEN};
    sl_buffer text = {0}, written = {0}, out = {0};
    while (text.size < LOG_LINE_MAX)
        sl_buffer_puts(&text, "\x1b\xe2\x82\xac"); /* the worst, and one that must not be broken */
    text.size = LOG_LINE_MAX + 1;
    sl_buffer_puts(&text, RECORD);
    log_format_lines(&written, TOKEN, "chat", SL_ERROR, text.data, text.size);
    log_lines_feed(&lines, written.data, written.size, &out);
    assert_true(sl_utf8_valid(out.data, out.size));
    assert_null(strstr(out.data, TOKEN));
    size_t count = 0;
    for (const char *p = out.data; p && *p; p = strchr(p, '\n') + 1, count++)
        assert_memory_equal(p + 29, "|ERROR] ", 8);
    assert_int_equal(count, 2);
    sl_buffer_done(&text);
    sl_buffer_done(&written);
    sl_buffer_done(&out);
    log_lines_done(&lines);
}

/* A token is found wherever endless output before it is broken. */
static void test_a_record_after_much(void **state)
{
    char *text = sl_malloc(LOG_RECORD_MAX);
    memset(text, 'x', LOG_RECORD_MAX);
    for (size_t before = LOG_RECORD_MAX - LOG_TOKEN_SIZE - 2; before <= LOG_RECORD_MAX; before++) {
        struct log_lines lines = {.name = "chat", .token = TOKEN};
        sl_buffer out = {0};
        log_lines_feed(&lines, text, before, &out);
        log_lines_feed(&lines, TOKEN RECORD "\n", LOG_TOKEN_SIZE + sizeof(RECORD), &out);
        assert_non_null(strstr(out.data, "\n" RECORD "\n"));
        assert_null(strstr(out.data, "0123"));
        sl_buffer_done(&out);
        log_lines_done(&lines);
    }
    free(text);
}

static void test_tokens_differ(void **state)
{
    char one[LOG_TOKEN_SIZE + 1], other[LOG_TOKEN_SIZE + 1];
    assert_int_equal(log_token_make(one), 0);
    assert_int_equal(log_token_make(other), 0);
    assert_int_equal(strlen(one), LOG_TOKEN_SIZE);
    assert_string_not_equal(one, other);
}

static void test_long_lines_break(void **state)
{
    struct log_lines lines = {.name = "chat"};
    sl_buffer out = {0};
    char *text = sl_malloc(3 * LOG_LINE_MAX);
    memset(text, 'x', 3 * LOG_LINE_MAX);
    for (int i = 0; i < 100; i++)
        log_lines_feed(&lines, text, 3 * LOG_LINE_MAX, &out);
    size_t count = 0;
    for (const char *p = out.data; p && *p; p = strchr(p, '\n') + 1)
        count++;
    size_t rest = (lines.pending.size + LOG_LINE_MAX - 1) / LOG_LINE_MAX;
    assert_in_range(count + rest, 300, 400); /* what is kept at most is no multiple of a line */
    assert_true(lines.pending.capacity <= 2 * LOG_RECORD_MAX);
    free(text);
    sl_buffer_done(&out);
    log_lines_done(&lines);
}

static void test_record_of_lines(void **state)
{
    sl_buffer out = {0};
    log_format_lines(&out, "", "chat", SL_ERROR, "one\ntwo", 7);
    expect(&out, "[chat|ERROR] one\n[chat|ERROR] two\n");
    sl_buffer_done(&out);
}

static void test_file(void **state)
{
    char *directory = scratch_make();
    char *path = sl_printf_heap("%s/chat.log", directory), *old = sl_printf_heap("%s/chat.log.1", directory);
    struct log_file log;
    sl_error *error = NULL;
    assert_int_equal(log_file_open(&log, "chat", path, &error), 0);
    sl_log_to(&log.logger, SL_INFO, SL_HERE, "first");
    assert_int_equal(rename(path, old), 0);
    sl_log_to(&log.logger, SL_INFO, SL_HERE, "second"); /* to where the file is now */
    assert_int_equal(log_file_reopen(&log), 0);
    sl_log_to(&log.logger, SL_INFO, SL_HERE, "third");
    char *before = read_whole(old), *after = read_whole(path);
    assert_non_null(strstr(before, "|INFO] first\n"));
    assert_non_null(strstr(before, "|INFO] second\n"));
    assert_null(strstr(before, "third"));
    assert_non_null(strstr(after, "|INFO] third\n"));
    free(before);
    free(after);
    log_file_close(&log);
    /* It is appended to, never begun anew. */
    assert_int_equal(log_file_open(&log, "chat", path, &error), 0);
    sl_log_to(&log.logger, SL_INFO, SL_HERE, "fourth");
    after = read_whole(path);
    assert_non_null(strstr(after, "third"));
    assert_non_null(strstr(after, "fourth"));
    free(after);
    log_file_close(&log);
    free(path);
    free(old);
    scratch_remove(directory);
}

static void test_echo(void **state)
{
    char *directory = scratch_make(), *path = sl_printf_heap("%s/chat.log", directory);
    struct log_file log;
    sl_error *error = NULL;
    int pipe_fds[2];
    char heard[256] = "";
    assert_int_equal(pipe(pipe_fds), 0);
    assert_int_equal(log_file_open(&log, "chat", path, &error), 0);
    log.echo = pipe_fds[1];
    sl_log_to(&log.logger, SL_INFO, SL_HERE, "quiet");
    sl_log_to(&log.logger, SL_INFO, SL_HERE, "not |ERROR] at all");
    sl_log_to(&log.logger, SL_ERROR, SL_HERE, "loud\nand clear");
    assert_true(read(pipe_fds[0], heard, sizeof(heard) - 1) > 0);
    assert_string_equal(heard, "silver: loud\nand clear\n");
    close(pipe_fds[0]);
    log_file_close(&log);
    free(path);
    scratch_remove(directory);
}

static void test_cannot_open(void **state)
{
    struct log_file log;
    sl_error *error = NULL;
    assert_int_equal(log_file_open(&log, "chat", "/proc/nowhere/chat.log", &error), SL_ENOENT);
    assert_non_null(strstr(error->message, "/proc/nowhere/chat.log"));
    error = sl_error_unref(error);
    /* Where a directory's name is mistyped, none is made. */
    char *directory = scratch_make(), *path = sl_printf_heap("%s/nowhere/chat.log", directory);
    char *nowhere = sl_printf_heap("%s/nowhere", directory);
    assert_int_equal(log_file_open(&log, "chat", path, &error), SL_ENOENT);
    assert_int_equal(access(nowhere, F_OK), -1);
    sl_error_unref(error);
    free(nowhere);
    free(path);
    scratch_remove(directory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lines),
        cmocka_unit_test(test_records_pass),
        cmocka_unit_test(test_records_cannot_be_forged),
        cmocka_unit_test(test_control_characters),
        cmocka_unit_test(test_long_records_break),
        cmocka_unit_test(test_a_record_after_much),
        cmocka_unit_test(test_tokens_differ),
        cmocka_unit_test(test_long_lines_break),
        cmocka_unit_test(test_record_of_lines),
        cmocka_unit_test(test_file),
        cmocka_unit_test(test_echo),
        cmocka_unit_test(test_cannot_open),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
