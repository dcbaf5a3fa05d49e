/* channel.c: named places where events are told, and the inboxes of those who listen. */
#include "core/task.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#define MOST_WAITING 1024
#define MOST_IDLE 1024 /* channels that nobody listens to: peers may choose their names */

struct sl_channel {
    char *name;
    sl_root *root;
    sl_inbox *first;
    sl_channel *earlier, *later; /* among those that nobody listens to */
};

struct sl_inbox {
    sl_inbox *next, **link;
    sl_channel *channel; /* NULL once closed */
    const char *event;   /* NULL: all */
    json_t **waiting;    /* a ring that grows */
    size_t capacity, start, count, missed;
    json_t *current;
    sl_deferred *next_one; /* who waits for something to come */
};

/* ---- Channels that nobody listens to ---- */

static void leave_idle(sl_channel *channel)
{
    sl_root *root = channel->root;
    *(channel->earlier ? &channel->earlier->later : &root->idle) = channel->later;
    *(channel->later ? &channel->later->earlier : &root->last_idle) = channel->earlier;
    channel->earlier = channel->later = NULL;
    root->idle_count--;
}

static void join_idle(sl_channel *channel)
{
    sl_root *root = channel->root;
    channel->earlier = root->last_idle;
    *(root->last_idle ? &root->last_idle->later : &root->idle) = channel;
    root->last_idle = channel;
    if (++root->idle_count <= MOST_IDLE)
        return;
    sl_channel *oldest = root->idle;
    leave_idle(oldest);
    sl_table_remove(root->channels, oldest->name);
}

static void channel_free(void *data)
{
    sl_channel *channel = data;
    free(channel->name);
    free(channel);
}

void sl__channels_free(sl_root *root)
{
    const char *name;
    void *channel;
    for (size_t at = 0; root->channels && sl_table_next(root->channels, &at, &name, &channel);)
        while (((sl_channel *)channel)->first) {
            bool last = !((sl_channel *)channel)->first->next;
            sl_inbox_close(((sl_channel *)channel)->first);
            if (last)
                break; /* it is idle now, and may have gone */
        }
    root->channels = sl_table_free(root->channels);
}

sl_channel *sl_channel_get(sl_root *root, const char *name)
{
    if (!root->channels)
        root->channels = sl_table_new(channel_free);
    sl_channel *channel = sl_table_get(root->channels, name);
    if (!channel) {
        channel = sl_calloc(1, sizeof *channel);
        channel->name = sl_strdup_heap(name);
        channel->root = root;
        sl_table_set(root->channels, name, channel);
        join_idle(channel);
    }
    return channel;
}

sl_channel *sl__channel_printf(const char *format, ...)
{
    sl_buffer name = {0};
    va_list arguments;
    va_start(arguments, format);
    sl_buffer_vprintf(&name, format, arguments);
    va_end(arguments);
    sl_root *root = sl_root_current();
    if (!root)
        sl__die(NULL, "sl_channel(\"%s\") was called outside any root", name.data);
    sl_channel *channel = sl_channel_get(root, name.data);
    sl_buffer_done(&name);
    return channel;
}

const char *sl_channel_name(const sl_channel *channel)
{
    return channel->name;
}

/* ---- Telling ---- */

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

static void tell(sl_channel *channel, const char *event, json_t *payload)
{
    sl_inbox *next;
    for (sl_inbox *inbox = channel->first; inbox; inbox = next) {
        next = inbox->next;
        if (!inbox->event || strcmp(inbox->event, event) == 0)
            put(inbox, payload);
    }
}

void sl__emit(const sl_site *site, sl_channel *channel, const sl_event *event, json_t *payload)
{
    if (!payload)
        payload = json_null();
    tell(channel, event->name, payload);
    sl_root *root = channel->root;
    if (root->forward) {
        char *text = json_dumps(payload, JSON_COMPACT | JSON_ENCODE_ANY);
        if (text)
            root->forward(root->forward_data, channel->name, event->name, text, strlen(text));
        else
            sl_error_log("the payload of %s on channel %s is no JSON text: other instances do not get it",
                         event->name, channel->name);
        free(text);
    }
    json_decref(payload);
}

void sl_bus_attach(sl_root *root, sl_bus_forward_fn *forward, void *data)
{
    root->forward = forward;
    root->forward_data = data;
}

void sl_bus_deliver(sl_root *root, const char *channel, const char *event, const char *json, size_t size)
{
    sl_channel *known = root->channels ? sl_table_get(root->channels, channel) : NULL;
    if (!known || !known->first)
        return;
    json_error_t error;
    json_t *payload = json_loadb(json, size, JSON_DECODE_ANY, &error);
    if (!payload) {
        sl_warning("an event on channel %s from another instance is dropped: %s", channel, error.text);
        return;
    }
    tell(known, event, payload);
    json_decref(payload);
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
    if (!channel->first)
        leave_idle(channel);
    inbox->next = channel->first;
    inbox->link = &channel->first;
    if (inbox->next)
        inbox->next->link = &inbox->next;
    channel->first = inbox;
    sl_defer(inbox_free, inbox);
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
    if (!channel->first)
        join_idle(channel);
    if (inbox->next_one) {
        sl_deferred *d = inbox->next_one;
        inbox->next_one = NULL;
        sl_fire(d, NULL, NULL);
    }
}
