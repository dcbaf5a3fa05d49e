/* sums.c: a module that offers the service of the tests. */
#include "sums.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#ifndef CONCURRENCY
#define CONCURRENCY 1
#endif

static int64_t begun;

static void add(const struct pair *pair, struct number *sum)
{
    begun++;
    sum->value = pair->a + pair->b;
}

static void greet(const struct words *name, struct words *greeting)
{
    begun++;
    if (strcmp(name->text, "nobody") == 0) {
        sl_error *error = sl_error_new(SL_EINVAL, "there is nobody to greet");
        sl_error_hint(error, "name somebody");
        sl_error_detail(error, "looked\neverywhere", 17);
        sl_fail_error(error);
    }
    greeting->text = strcmp(name->text, "spoil") == 0 ? "far more than twenty characters"
                                                      : sl_printf("hello %s", name->text);
}

static void reverse(const struct payload *given, struct payload *reversed)
{
    begun++;
    char *data = sl_alloc(given->data.size);
    for (size_t i = 0; i < given->data.size; i++)
        data[i] = given->data.data[given->data.size - 1 - i];
    reversed->data = (sl_view){data, given->data.size};
}

static void nap(const struct number *ms, struct number *slept)
{
    begun++;
    sl_await(sl_sleep((uint64_t)ms->value));
    slept->value = ms->value;
}

static void read_line(const struct files *from, struct words *line)
{
    begun++;
    char *text = sl_zalloc(21);
    ssize_t size = read(from->one, text, 20);
    if (size < 0)
        sl_fail(-errno, "nothing can be read");
    text[strcspn(text, "\n")] = '\0';
    line->text = text;
}

static void open_file(const struct words *name, struct files *opened)
{
    begun++;
    opened->one = open(name->text, O_RDONLY | O_CLOEXEC);
    if (opened->one < 0)
        sl_fail(-errno, "%s cannot be opened", name->text);
    opened->note = json_pack("{s:s}", "name", name->text);
}

static void misbehave(const struct words *how, struct sl_nothing *nothing)
{
    begun++;
    if (strcmp(how->text, "crash") == 0)
        raise(SIGSEGV);
    if (strcmp(how->text, "abort") == 0)
        abort();
    if (strcmp(how->text, "exit") == 0)
        _exit(7);
    if (strcmp(how->text, "print") == 0)
        puts("noise on the standard output");
    if (strcmp(how->text, "log") == 0) {
        sl_debug("too quiet");
        sl_warning("something\nis odd");
    }
}

static void ask(const struct words *service, struct number *sum)
{
    begun++;
    if (strcmp(service->text, "sums") == 0) {
        const struct number *got = sl_await(sl_call(sums, add, 20, 22));
        sum->value = got->value;
        return;
    }
    sl_service other = *sums_service;
    other.name = service->text;
    const struct number *got =
        sl_await(sl__call(SL_HERE, &other, 0, &(struct pair){20, 22}, SL_CALL(.timeout_ms = 5000)));
    sum->value = got->value;
}

static void ask_json(const struct words *service, struct number *sum)
{
    begun++;
    json_t *got =
        sl_await(sl_call_json(service->text, "add", json_pack("{s:i,s:i}", "a", 20, "b", 22), NULL));
    sum->value = json_integer_value(json_object_get(got, "value"));
}

static void tell(const struct words *words, struct sl_nothing *nothing)
{
    begun++;
    sl_emit(sl_channel("notes/child"), noted, json_string(words->text));
}

static void hear(const struct words *channel, struct words *heard)
{
    begun++;
    sl_inbox *inbox = sl_subscribe(sl_channel("%s", channel->text), noted);
    heard->text = sl_strdup(json_string_value(sl_next(inbox)));
}

static void count(const struct sl_nothing *nothing, struct number *calls)
{
    calls->value = ++begun;
}

static void open_service(void)
{
#if defined(OPEN_CRASHES)
    abort();
#elif defined(OPEN_FAILS)
    sl_fail(SL_ECONFIG, "there is no index");
#elif defined(OPEN_EXITS)
    puts("the last words");
    exit(3);
#elif defined(OPEN_HANGS)
    for (;;)
        pause();
#endif
}

static void close_service(void)
{
    sl_info("the service is closed");
}

static const struct sums_methods methods = {
    .add = add,
    .greet = greet,
    .reverse = reverse,
    .nap = nap,
    .read = read_line,
    .open = open_file,
    .misbehave = misbehave,
    .ask = ask,
    .ask_json = ask_json,
    .tell = tell,
    .hear = hear,
#if !defined(METHOD_MISSING)
    .count = count,
#endif
};

#if defined(OTHER_ABI)
SL_API extern const sl_plugin sl_plugin_descriptor;
const sl_plugin sl_plugin_descriptor = {.abi = SL_PLUGIN_ABI + 1, .name = "sums"};
static const struct sums_methods *const unused __attribute__((unused)) = &methods;
#elif defined(NO_DESCRIPTOR)
SL_API const struct sums_methods *sums_of_nobody(void);
const struct sums_methods *sums_of_nobody(void)
{
    return &methods;
}
#elif defined(NO_METHODS)
static const struct sums_methods *const unused __attribute__((unused)) = &methods;
SL_PLUGIN(sums, SL_OFFERS(sums, NULL));
#else
SL_PLUGIN(sums, SL_OFFERS(sums, &methods, .concurrency = CONCURRENCY, .open = open_service,
                          .close = close_service));
#endif
