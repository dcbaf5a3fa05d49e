/* The log: what a line looks like, what is dropped, and the clocks. */
#include "check.h"

#include <regex.h>
#include <time.h>

static void test_format(void **state)
{
    sl_buffer out = {0};
    sl_buffer_puts(&out, "before\n");
    sl_log_format(&out, "chat", SL_WARNING, "two\nlines and more", 9);
    regex_t shape;
    assert_int_equal(
        regcomp(&shape,
                "^before\n\\[chat\\|[0-9]{4}-[01][0-9]-[0-3][0-9] [0-2][0-9]:[0-5][0-9]:[0-6][0-9],[0-9]{3}"
                "\\|WARNING\\] two\n    lines\n$",
                REG_EXTENDED | REG_NOSUB),
        0);
    assert_int_equal(regexec(&shape, out.data, 0, NULL, 0), 0);
    regfree(&shape);
    sl_buffer_done(&out);
}

static void test_control_characters(void **state)
{
    sl_buffer out = {0};
    sl_log_format(&out, "chat", SL_INFO, "a\x1b[2J\r\0\x7f\tb \xc3\xa4", 13);
    assert_non_null(strstr(out.data, "|INFO] a\\x1b[2J\\x0d\\x00\\x7f\tb \xc3\xa4\n"));
    out.size = 0;
    sl_log_format(&out, "chat", SL_INFO, "\xc2\x9b\x32J \xc2\xa0 \xc2", 9);
    assert_non_null(strstr(out.data, "|INFO] \\xc2\\x9b2J \xc2\xa0 \xc2\n"));
    sl_buffer_done(&out);
}

static void test_local_time(void **state)
{
    setenv("TZ", "XXX-14", 1); /* far from UTC, so that the two cannot be mixed up */
    tzset();
    time_t before = time(NULL);
    sl_buffer out = {0};
    sl_log_format(&out, "x", SL_INFO, "", 0);
    time_t after = time(NULL) + 1; /* time() may be a tick behind the finer clock */
    bool found = false;
    for (time_t at = before; at <= after; at++) {
        char stamp[32];
        struct tm local;
        localtime_r(&at, &local);
        strftime(stamp, sizeof stamp, "%Y-%m-%d %H:%M:%S,", &local);
        found = found || strstr(out.data, stamp);
    }
    assert_true(found);
    sl_buffer_done(&out);
}

typedef struct keeper {
    sl_logger logger;
    int count;
    sl_level level;
    char text[600];
    size_t size;
    const sl_site *site;
} keeper;

static void keep(sl_logger *logger, sl_level level, const sl_site *site, const char *message, size_t size)
{
    keeper *k = (keeper *)logger;
    k->count++;
    k->level = level;
    k->size = size;
    k->site = site;
    snprintf(k->text, sizeof k->text, "%s", message);
}

static void test_records(void **state)
{
    keeper k = {.logger = {.name = "x", .level = SL_WARNING, .write = keep}};
    const sl_site *here = SL_HERE;
    sl_log_to(&k.logger, SL_INFO, here, "dropped");
    assert_int_equal(k.count, 0);
    sl_log_to(&k.logger, SL_ERROR, here, "%d of %s\n\n", 3, "them");
    assert_int_equal(k.count, 1);
    assert_int_equal(k.level, SL_ERROR);
    assert_string_equal(k.text, "3 of them");
    assert_int_equal(k.size, 9);
    assert_ptr_equal(k.site, here);
    sl_log_to(&k.logger, SL_WARNING, here, "%500s", "");
    assert_int_equal(k.size, 500);
    sl_log_to(&k.logger, SL_WARNING, here, "%s", "");
    assert_int_equal(k.size, 0);
    assert_string_equal(k.text, "");
}

static void test_levels(void **state)
{
    assert_string_equal(sl_level_name(SL_DEBUG), "DEBUG");
    assert_string_equal(sl_level_name(SL_INFO), "INFO");
    assert_string_equal(sl_level_name(SL_WARNING), "WARNING");
    assert_string_equal(sl_level_name(SL_ERROR), "ERROR");
    assert_int_equal(sl_logger_stderr()->level, SL_INFO);
}

static void test_clocks(void **state)
{
    uint64_t one = sl_monotonic_ns();
    assert_true(sl_monotonic_ns() >= one);
    int64_t seconds = time(NULL), ms = sl_wall_ms();
    assert_in_range(ms / 1000 - seconds + 10, 9, 12);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_format),     cmocka_unit_test(test_control_characters),
        cmocka_unit_test(test_local_time), cmocka_unit_test(test_records),
        cmocka_unit_test(test_levels),     cmocka_unit_test(test_clocks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
