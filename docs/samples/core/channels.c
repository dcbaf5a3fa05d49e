/* channels.c: what one task emits, others who subscribed are told. */
#include <silver/silver.h>

#include <jansson.h>
#include <stdio.h>

SL_EVENT(said);
SL_EVENT(closing);

static void *hear(void *ready)
{
    sl_inbox *inbox = sl_subscribe(sl_channel("room/%s", "lobby"), said); /* until this task ends */
    sl_fire((sl_deferred *)ready, NULL, NULL);
    for (int i = 0; i < 2; i++) {
        json_t *payload = sl_next(inbox); /* lives until the next call */
        printf("heard: %s\n", json_string_value(payload));
    }
    return NULL;
}

static void *program(void *unused)
{
    sl_deferred *ready = sl_deferred_new(NULL, NULL);
    SL_SCOPE(scope)
    {
        sl_go(hear, ready);
        sl_await(ready);
        sl_channel *lobby = sl_channel("room/lobby");
        sl_emit(lobby, said, json_string("good morning"));
        sl_emit(lobby, closing, NULL); /* nobody listens to this one */
        sl_emit(lobby, said, json_string("good night"));
    }
    return NULL;
}

int main(void)
{
    return sl_run("channels", program, NULL, NULL) < 0;
}
