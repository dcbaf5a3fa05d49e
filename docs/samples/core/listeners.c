/* listeners.c: functions that are called when something is told, and may object. */
#include <silver/silver.h>

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

SL_EVENT(posted);
SL_EVENT(weather, .sticky = true);

static sl_result note(const sl_told *told, void *who)
{
    printf("%s: %s on %s\n", (char *)who, json_string_value(told->payload), told->channel);
    return sl_ok(NULL);
}

static sl_result censor(const sl_told *told, void *unused)
{
    if (strcmp(json_string_value(told->payload), "spam") == 0)
        return sl_failed(sl_error_new(SL_EINVAL, "spam is not told"));
    return sl_ok(NULL);
}

static sl_result count_letters(const sl_told *told, void *unused)
{
    size_t *count = sl_malloc(sizeof *count);
    *count = strlen(json_string_value(told->payload));
    return sl_owned(count, free); /* for those who collect */
}

static void *post(void *text)
{
    sl_emit(sl_channel("house/hall"), posted, json_string(text)); /* a listener's failure is this task's */
    return NULL;
}

static void *program(void *unused)
{
    sl_channel *hall = sl_channel("house/hall"), *house = sl_channel("house");
    sl_listen_to(hall, posted, note, "the hall");
    sl_listen_to(house, posted, note, "the house"); /* all that is told in it */
    sl_listen_to(house, posted, censor, NULL, .priority = 1);
    sl_await(sl_spawn(post, "good morning"));
    sl_error *error;
    sl_try(sl_spawn(post, "spam"), &error);
    puts(error->message);

    sl_emit(sl_channel("house/roof"), weather, json_string("rain"));
    sl_listen_to(house, weather, note, "late"); /* is told the last one at once */

    sl_listen_to(hall, posted, count_letters, NULL);
    json_t *text = json_string("good night");
    const sl_values *values = sl_await(sl_collect(hall, posted, text));
    for (size_t i = 0; i < values->count; i++)
        if (values->items[i])
            printf("%zu letters\n", *(size_t *)values->items[i]);
    json_decref(text);
    return NULL;
}

int main(void)
{
    return sl_run("listeners", program, NULL, NULL) < 0;
}
