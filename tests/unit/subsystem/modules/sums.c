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

static int64_t sum_of(sl_deferred *call)
{
    const struct number *sum = sl_await(call);
    return sum->value;
}

/* What a caller has that was built with another header. */
static sl_deferred *call_the_wrong_more(void)
{
    sl_service *wrong = sl_alloc(sizeof *wrong);
    *wrong = *more_service;
    wrong->method_count = 1;
    return sl__call(SL_HERE, wrong, 0, &(struct pair){20, 22}, NULL);
}

static sl_deferred *call_nobody(void)
{
    sl_service *nobody = sl_alloc(sizeof *nobody);
    *nobody = *more_service;
    nobody->name = "nobody";
    return sl__call(SL_HERE, nobody, 0, &(struct pair){20, 22}, NULL);
}

static void ask(const struct words *how, struct number *sum)
{
    begun++;
    if (strcmp(how->text, "more") == 0) {
        sum->value = sum_of(sl_call(more, add, 20, 22));
    } else if (strcmp(how->text, "json") == 0) {
        json_t *got = sl_await(sl_call_json("more", "add", json_pack("{s:i,s:i}", "a", 20, "b", 22), NULL));
        sum->value = json_integer_value(json_object_get(got, "value"));
    } else if (strcmp(how->text, "itself") == 0) {
        sum->value = sum_of(sl_call_with(SL_CALL(.timeout_ms = 200), sums, add, 20, 22));
    } else if (strcmp(how->text, "nap") == 0) {
        sl_deferred *nap = sl_call(more, nap, 60000);
        sl_emit(sl_channel("ready"), noted, json_string("nap"));
        sum->value = sum_of(nap);
    } else if (strcmp(how->text, "die") == 0) {
        sl_forget(sl_call(more, nap, 60000));
        sum_of(sl_call(more, add, 20, 22)); /* so the nap has begun, if two may run there at once */
        _exit(9);
    } else if (strcmp(how->text, "room") == 0) {
        sl_await(sl_room(more));
        sum->value = 1;
    } else if (strcmp(how->text, "file") == 0) {
        const struct files *opened = sl_await(sl_call(more, open, "/proc/self/comm"));
        char name[32] = "";
        sum->value = read(opened->one, name, sizeof name - 1);
    } else if (strcmp(how->text, "wrong") == 0) {
        sum->value = sum_of(call_the_wrong_more());
    } else if (strcmp(how->text, "nobody") == 0) {
        sum->value = sum_of(call_nobody());
    } else if (strcmp(how->text, "spoiled") == 0) {
        sl_await(sl_call(more, greet, NULL));
    } else if (strcmp(how->text, "greet") == 0) {
        sl_await(sl_call(more, greet, "nobody"));
    }
}

static void tell(const struct words *words, struct sl_nothing *nothing)
{
    begun++;
    sl_emit(sl_channel("notes/child"), *words->text == '!' ? posted : noted, json_string(words->text));
}

static void hear(const struct words *which, struct words *heard)
{
    begun++;
    char *channel = sl_strdup(which->text), *number = strrchr(channel, ' ');
    *number++ = '\0';
    sl_inbox *inbox =
        sl_subscribe(sl_channel("%s", channel + (*channel == '!')), *channel == '!' ? posted : noted);
    sl_emit(sl_channel("ready"), noted, json_string(channel));
    heard->text = "";
    for (int left = atoi(number); left > 0; left--)
        heard->text = sl_printf("%s%s,", heard->text, json_string_value(sl_next(inbox)));
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

#if defined(METHOD_MISSING)
#define METHOD_COUNT
#else
#define METHOD_COUNT .count = count
#endif
#define METHODS                                                                                              \
    .add = add, .greet = greet, .reverse = reverse, .nap = nap, .read = read_line, .open = open_file,        \
    .misbehave = misbehave, .ask = ask, .tell = tell, .hear = hear, METHOD_COUNT
static const struct sums_methods methods = {METHODS};
static const struct more_methods more_of_them __attribute__((unused)) = {METHODS};

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
SL_PLUGIN(sums,
          SL_OFFERS(sums, &methods, .concurrency = CONCURRENCY, .open = open_service, .close = close_service),
          SL_OFFERS(more, &more_of_them, .concurrency = CONCURRENCY));
#endif
