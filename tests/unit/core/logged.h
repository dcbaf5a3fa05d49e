/* logged.h: what the root under test logs, kept for the test to look at. */
#pragma once

#include "check.h"

static sl_buffer logged;

static void keep_logged(sl_logger *logger, sl_level level, const sl_site *site, const char *message,
                        size_t size)
{
    sl_buffer_put(&logged, message, size);
    sl_buffer_putc(&logged, '\n');
}

static sl_logger keeping = {.name = "test", .level = SL_DEBUG, .write = keep_logged};

/* Checks that the text was logged, and forgets what was. */
static __attribute__((unused)) void assert_logged(const char *format, ...)
{
    char text[1000];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    if (!logged.data || !strstr(logged.data, text))
        fail_msg("this was not logged: %s\nbut this:\n%s", text, logged.data ? logged.data : "nothing");
    sl_buffer_done(&logged);
}

static __attribute__((unused)) void assert_nothing_logged(void)
{
    if (logged.size)
        fail_msg("this was logged: %s", logged.data);
}

typedef struct logged_run {
    sl_task_fn *fn;
    void *data;
} logged_run;

static void *run_keeping(void *data)
{
    const logged_run *run = data;
    sl_root_set_logger(sl_root_current(), &keeping);
    return run->fn(run->data);
}

/* sl_run with the log kept; what is logged and not looked at fails the test. */
static __attribute__((unused)) int run_logged(sl_task_fn *fn, void *data)
{
    logged_run run = {fn, data};
    sl_buffer_done(&logged);
    int code = sl_run("test", run_keeping, &run, NULL);
    assert_nothing_logged();
    return code;
}
