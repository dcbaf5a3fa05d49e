/* program.c: calls a service, without an application around it. */
#include "words.h"

#include <stdio.h>

static void ask(void)
{
    const struct words_counted *counted = sl_await(sl_call(words, count, "a fish in the sea", .shortest = 3));
    printf("%d words, the longest is %s\n", (int)counted->words, counted->longest);

    sl_error *error;
    sl_try(sl_call(words, count, "     "), &error);
    printf("%s\n", error->message);

    sl_deferred *calls[] = {sl_call(words, count, "one"), sl_call(words, count, "and two")};
    const struct words_counted *const *both = sl_await(sl_all(calls, 2));
    printf("%d and %d\n", (int)both[0]->words, (int)both[1]->words);

    sl_call_options urgent = {.priority = SL_URGENT, .key = "sea", .timeout_ms = 1000};
    counted = sl_await(sl_call_with(&urgent, words, count, "the last"));
    printf("%s\n", counted->longest);
}

static void *program(void *module)
{
    sl_manager *manager;
    sl_error *error;
    sl_check(sl_manager_new(sl_root_current(), NULL, &manager), "no manager");
    if (sl_manager_offer(manager, "words", &(sl_offer){.service = words_service}, module, &error) < 0)
        sl_fail_error(error);
    ask();
    sl_await(sl_manager_drain(manager)); /* calls end, and then the children */
    sl_manager_free(manager);
    return NULL;
}

int main(int argc, char **argv)
{
    return argc == 2 ? sl_run("program", program, argv[1], NULL) != 0 : 2;
}
