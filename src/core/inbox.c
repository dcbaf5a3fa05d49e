/* inbox.c: events that wait until a task looks. */
#include "core/channel.h"

#include <jansson.h>
#include <stdlib.h>

#define MOST_WAITING 1024

/* ---- What waits ---- */

static json_t *take(sl_inbox *inbox)
{
    json_t *payload = inbox->waiting[inbox->start];
    inbox->start = (inbox->start + 1) % inbox->capacity;
    inbox->count--;
    return payload;
}

static void grow(sl_inbox *inbox)
{
    size_t capacity = inbox->capacity ? inbox->capacity * 2 : 8;
    json_t **waiting = sl_calloc(capacity, sizeof *waiting);
    for (size_t i = 0; i < inbox->count; i++)
        waiting[i] = inbox->waiting[(inbox->start + i) % inbox->capacity];
    free(inbox->waiting);
    inbox->waiting = waiting;
    inbox->capacity = capacity;
    inbox->start = 0;
}

static void put(sl_inbox *inbox, json_t *payload)
{
    if (inbox->count == MOST_WAITING) { /* a listener that lags loses the oldest, and is told so */
        json_decref(take(inbox));
        inbox->missed++;
    }
    if (inbox->count == inbox->capacity)
        grow(inbox);
    inbox->waiting[(inbox->start + inbox->count++) % inbox->capacity] = json_incref(payload);
    if (inbox->next_one) {
        sl_deferred *d = inbox->next_one;
        inbox->next_one = NULL;
        sl_fire(d, NULL, NULL);
    }
}

void sl__inboxes_put(sl_channel *channel, const char *event, json_t *payload)
{
    for (; channel; channel = channel->above) {
        sl_inbox *next;
        for (sl_inbox *inbox = channel->first_inbox; inbox; inbox = next) {
            next = inbox->next;
            if (!inbox->event || strcmp(inbox->event, event) == 0)
                put(inbox, payload);
        }
    }
}

/* ---- Listening ---- */

static void inbox_free(void *data)
{
    sl_inbox *inbox = data;
    sl_inbox_close(inbox);
    while (inbox->count)
        json_decref(take(inbox));
    json_decref(inbox->current);
    free(inbox->waiting);
    free(inbox);
}

sl_inbox *sl_subscribe(sl_channel *channel, const sl_event *event)
{
    sl_inbox *inbox = sl_calloc(1, sizeof *inbox);
    inbox->channel = channel;
    inbox->event = event ? event->name : NULL;
    sl__channel_use(channel);
    inbox->next = channel->first_inbox;
    inbox->link = &channel->first_inbox;
    if (inbox->next)
        inbox->next->link = &inbox->next;
    channel->first_inbox = inbox;
    sl__channel_hear(channel);
    sl_defer(inbox_free, inbox);
    if (event && event->sticky)
        sl__sticky_seen(channel->root, event);
    for (sl__last *last = NULL; (last = sl__sticky_next(channel, inbox->event, last));)
        put(inbox, last->payload);
    return inbox;
}

static sl_cancelled stop_waiting(sl_deferred *deferred, void *data)
{
    sl_inbox *inbox = data;
    inbox->next_one = NULL;
    return SL_CANCEL_DONE;
}

/* Waits until something has come or the inbox is closed: true, or false after `ms` (0: never). */
static bool wait_for_one(const sl_site *site, sl_inbox *inbox, uint64_t ms)
{
    if (inbox->next_one)
        sl__fail(site, SL_EBUSY, "two tasks wait for the next event of one inbox: subscribe once for each");
    inbox->next_one = sl__deferred_new(site, stop_waiting, inbox);
    sl_result result = sl__take(site, ms ? sl__timeout(site, inbox->next_one, ms) : inbox->next_one);
    if (result.kind == SL_VALUE)
        return true;
    if (!ms || result.error->code != SL_ETIMEDOUT || sl_task_current()->scope->cancelled)
        sl__fail_error(site, result.error);
    sl_error_unref(result.error);
    return false;
}

json_t *sl__next_within(const sl_site *site, sl_inbox *inbox, uint64_t ms, bool *ret_silent)
{
    json_decref(inbox->current);
    inbox->current = NULL;
    *ret_silent = false;
    while (inbox->count == 0 && inbox->channel)
        if (!wait_for_one(site, inbox, ms)) {
            *ret_silent = true;
            return NULL;
        }
    return inbox->count ? inbox->current = take(inbox) : NULL;
}

json_t *sl__next(const sl_site *site, sl_inbox *inbox)
{
    bool silent;
    return sl__next_within(site, inbox, 0, &silent);
}

size_t sl_inbox_missed(sl_inbox *inbox)
{
    size_t missed = inbox->missed;
    inbox->missed = 0;
    return missed;
}

void sl_inbox_close(sl_inbox *inbox)
{
    if (!inbox->channel)
        return;
    sl_channel *channel = inbox->channel;
    inbox->channel = NULL;
    *inbox->link = inbox->next;
    if (inbox->next)
        inbox->next->link = inbox->link;
    sl__channel_unhear(channel);
    sl__channel_disuse(channel);
    if (inbox->next_one) {
        sl_deferred *d = inbox->next_one;
        inbox->next_one = NULL;
        sl_fire(d, NULL, NULL);
    }
}
