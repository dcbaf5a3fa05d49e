/* trial.c: the module that the tests of the manager load in its children. */
#include "../trial.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static void do_echo(const struct trial_text *arguments, struct trial_text *result)
{
    result->text = arguments->text;
}

static void do_twice(const struct trial_number *arguments, struct trial_number *result)
{
    result->number = 2 * arguments->number;
}

static void do_reverse(const struct trial_bytes *arguments, struct trial_bytes *result)
{
    size_t size = arguments->data.size;
    char *data = sl_alloc(size + 1);
    for (size_t i = 0; i < size; i++)
        data[i] = arguments->data.data[size - 1 - i];
    result->data = (sl_view){data, size};
}

static void do_read(const struct trial_file *arguments, struct trial_text *result)
{
    char *text = sl_zalloc(100);
    if (read(arguments->file, text, 99) < 0)
        sl_fail(SL_EIO, "the file cannot be read");
    result->text = text;
}

static void do_pid(const struct sl_nothing *arguments, struct trial_number *result)
{
    result->number = getpid();
}

static void touch(const char *path)
{
    FILE *file = path ? fopen(path, "we") : NULL;
    if (file)
        fclose(file);
}

/* The blocking way. */
static void do_wait(const struct trial_wait *arguments, struct trial_number *result)
{
    touch(arguments->path);
    while (!arguments->until || access(arguments->until, F_OK) < 0)
        usleep(200);
    result->number = getpid();
}

/* The one that lets others run. */
static void do_await(const struct trial_wait *arguments, struct trial_number *result)
{
    touch(arguments->path);
    while (!arguments->until || access(arguments->until, F_OK) < 0)
        sl_await(sl_sleep(1));
    result->number = getpid();
}

static void do_fail(const struct trial_text *arguments, struct sl_nothing *result)
{
    sl_error *error = sl_error_new(SL_HTTP(404), "no %s here", arguments->text);
    sl_fail_error(sl_error_hint(error, "look elsewhere"));
}

static void do_die(const struct trial_number *arguments, struct sl_nothing *result)
{
    printf("about to die\nof %d\n", (int)arguments->number);
    fflush(stdout);
    if (arguments->number)
        kill(getpid(), (int)arguments->number);
    exit(3);
}

static void do_grow(const struct trial_number *arguments, struct trial_number *result)
{
    char *memory = malloc((size_t)arguments->number);
    memset(memory, 1, (size_t)arguments->number);
    __asm__ volatile("" : : "r"(memory) : "memory"); /* kept, as a leak would be */
    result->number = getpid();
}

static void do_count(const struct sl_nothing *arguments, struct trial_number *result)
{
    static int64_t count;
    result->number = ++count;
}

static void do_linger(const struct trial_number *arguments, struct trial_number *result)
{
    usleep((useconds_t)arguments->number);
    result->number = 2 * arguments->number;
}

static void do_linger_awaiting(const struct trial_number *arguments, struct trial_number *result)
{
    sl_await(sl_sleep((uint64_t)arguments->number / 1000));
    result->number = 2 * arguments->number;
}

static const struct trial_methods methods = {.echo = do_echo,
                                             .twice = do_twice,
                                             .reverse = do_reverse,
                                             .read = do_read,
                                             .pid = do_pid,
                                             .wait = do_wait,
                                             .fail = do_fail,
                                             .die = do_die,
                                             .grow = do_grow,
                                             .count = do_count,
                                             .linger = do_linger};
static const struct trials_methods many_methods = {.echo = do_echo,
                                                   .twice = do_twice,
                                                   .reverse = do_reverse,
                                                   .read = do_read,
                                                   .pid = do_pid,
                                                   .wait = do_await,
                                                   .fail = do_fail,
                                                   .die = do_die,
                                                   .grow = do_grow,
                                                   .count = do_count,
                                                   .linger = do_linger_awaiting};

SL_PLUGIN(trial, SL_OFFERS(trial, &methods), SL_OFFERS(trials, &many_methods, .concurrency = 8));
