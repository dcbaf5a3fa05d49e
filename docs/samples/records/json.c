/* A record becomes JSON, and JSON becomes a record, or a message that says what is wrong with it. */
#include "letter.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

static void show(const struct letter *letter)
{
    json_t *json = sl_record_to_json(letter_record(), letter);
    char *text = json_dumps(json, JSON_COMPACT);
    puts(text);
    free(text);
    json_decref(json);
}

static void read_one(const char *text)
{
    sl_arena *arena = sl_arena_new(); /* in a task: sl_task_arena(), and nothing to free */
    SL_AUTO_ERROR sl_error *error = NULL;
    void *value;
    json_t *json = json_loads(text, 0, NULL);
    if (sl_record_from_json(letter_record(), json, arena, &value, &error) < 0) {
        printf("%s%s%s\n", error->message, error->hint ? "; " : "", error->hint ? error->hint : "");
    } else {
        const struct letter *letter = value;
        printf("%s wrote to %zu\n", letter->from.name, letter->to.count);
    }
    json_decref(json);
    sl_arena_free(arena);
}

int main(void)
{
    struct person friends[] = {{"Bea", 31}, {"Cid", 7}};
    struct letter letter = {
        .from = {"Ada", 36}, .to = {2, friends}, .subject = "Tea & cake", .sent = 1795000000000000};
    show(&letter);
    read_one("{\"from\": {\"name\": \"Dee\"}, \"to\": [{\"name\": \"Eve\"}]}");
    read_one("{\"from\": {\"name\": \"Dee\"}, \"to\": []}");
    read_one("{\"from\": {\"name\": \"Dee\"}, \"to\": [{\"name\": \"Eve\"}, {\"name\": 5}]}");
    read_one("{\"from\": {\"name\": \"Dee\"}, \"too\": []}");
    return 0;
}
