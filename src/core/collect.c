/* collect.c: asking those who listen, and waiting for all that they give. */
#include "core/channel.h"

#include <stdlib.h>

/* What is collected, with what keeps the items alive. */
typedef struct collected {
    sl_values values;
    void *array;
    sl_free_fn *free_array;
    void *items[];
} collected;

static void collected_free(void *data)
{
    collected *c = (collected *)data;
    c->free_array(c->array);
    free(c);
}

static collected *collected_new(size_t most, sl_result result)
{
    collected *c = sl_malloc(sizeof *c + most * sizeof(void *));
    c->array = result.value;
    c->free_array = result.free;
    c->values = (sl_values){.count = 0, .items = c->items};
    return c;
}

static sl_result all_values(sl_result result, void *data)
{
    size_t count = (size_t)data;
    collected *c = collected_new(count, result);
    for (void **value = result.value; c->values.count < count; value++)
        c->items[c->values.count++] = *value;
    return sl_owned(c, collected_free);
}

static sl_result good_values(sl_result result, void *data)
{
    size_t count = (size_t)data;
    collected *c = collected_new(count, result);
    const sl_result *results = result.value;
    for (size_t i = 0; i < count; i++)
        if (results[i].kind == SL_VALUE)
            c->items[c->values.count++] = results[i].value;
    return sl_owned(c, collected_free);
}

/* What has been asked so far. */
typedef struct asked {
    sl_deferred **answers;
    size_t count;
} asked;

static void asked_done(asked *a)
{
    for (size_t i = 0; i < a->count; i++)
        sl_deferred_unref(a->answers[i]);
    free(a->answers);
}

static sl_error *ask(sl__telling *telling, asked *a, bool safely)
{
    const sl__plan *plan = telling->plan;
    for (size_t i = 0; plan && i < plan->count; i++) {
        sl_listener *listener = plan->listeners[i];
        if (!listener->channel)
            continue;
        const sl_site *site = listener->site;
        sl_result result = sl__telling_try(telling, listener);
        if (result.kind == SL_FAILURE && safely) {
            sl__listener_failed(telling->told, site, result.error);
            continue;
        }
        if (result.kind == SL_FAILURE) {
            sl_error_hop(result.error, site);
            return result.error;
        }
        sl_deferred *answer = result.kind == SL_DEFERRED ? result.deferred : sl__fired(site, result);
        if (safely)
            sl__log_failure(telling->told, site, answer);
        else
            sl__then(site, answer, NULL, NULL, NULL, NULL); /* a failure that passes keeps the place */
        a->answers[a->count++] = answer;
    }
    return NULL;
}

sl_deferred *sl__collect(const sl_site *site, sl_channel *channel, const sl_event *event, const void *payload,
                         bool safely)
{
    const sl_told told = {.event = event, .channel = channel->name, .payload = payload, .site = site};
    SL_CLEANUP(asked_done) asked a = {0};
    sl_error *error;
    {
        SL_CLEANUP(sl__telling_end) sl__telling telling;
        sl__telling_begin(&telling, channel, &told);
        a.answers = sl_calloc(telling.plan ? telling.plan->count + 1 : 1, sizeof(sl_deferred *));
        error = ask(&telling, &a, safely);
    }
    if (error)
        return sl__fired(site, sl_failed(error));
    void *count = (void *)a.count;
    sl_deferred *outcome = safely ? sl__settled(site, a.answers, a.count) : sl__all(site, a.answers, a.count);
    a.count = 0; /* they are the outcome's now */
    return sl__then(site, outcome, safely ? good_values : all_values, NULL, count, NULL);
}
