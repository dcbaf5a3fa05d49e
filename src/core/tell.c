/* tell.c: emitting and telling, and the bus.
 *
 * A telling goes through its plan and calls each listener in that one's context. It lies on the teller's
 * stack and is put in order however that is left: a listener may exit, as everything in a task may. The
 * channel is pinned meanwhile, for listeners may ask for any number of others. */
#include "core/channel.h"
#include "base/json.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- Calling listeners ---- */

void sl__telling_begin(sl__telling *telling, sl_channel *channel, const sl_told *told)
{
    sl_loop *loop = sl__loop_needed("sl_emit");
    telling->told = told;
    telling->channel = channel;
    telling->plan = sl__plan_get(channel, told->event->name);
    telling->loop = loop;
    telling->context = loop->context;
    telling->now = NULL;
    channel->pins++;
}

static inline void after_call(sl__telling *telling, sl_listener *listener)
{
    telling->now = NULL;
    telling->loop->context = telling->context;
    if (--listener->running == 0 && !listener->channel)
        sl__listener_release(listener);
}

/* An exit passes. */
static void after_exit(sl__telling *telling, sl_listener *listener)
{
    sl_error *error = telling->loop->task->exiting;
    if (error) {
        sl_error_hop(error, listener->site);
        sl_error_hop(error, telling->told->site);
    }
    after_call(telling, listener);
}

void sl__telling_end(sl__telling *telling)
{
    if (telling->now)
        after_exit(telling, telling->now);
    telling->channel->pins--;
    if (telling->plan)
        sl__plan_unref(telling->plan);
}

static inline __attribute__((always_inline)) sl_result call(sl__telling *telling, sl_listener *listener)
{
    telling->now = listener;
    listener->running++;
    if (listener->once)
        sl_listener_end(listener);
    telling->loop->context = listener->context;
    sl_result result = listener->function(telling->told, listener->data);
    after_call(telling, listener);
    return result;
}

sl_result sl__telling_call(sl__telling *telling, sl_listener *listener)
{
    return call(telling, listener);
}

/* Whether a failure can end the calling task: it cannot from inside a link, which the frames of the deferred
 * are around. */
static bool can_exit(const sl_loop *loop)
{
    return loop->task && loop->fire_depth == 0;
}

typedef struct attempt {
    sl__telling *telling;
    sl_listener *listener;
    sl_result result;
} attempt;

static void *try_call(void *data)
{
    attempt *a = data;
    a->result = call(a->telling, a->listener);
    return NULL;
}

sl_result sl__telling_try(sl__telling *telling, sl_listener *listener)
{
    if (!can_exit(telling->loop))
        return call(telling, listener);
    attempt a = {.telling = telling, .listener = listener};
    sl_error *error = sl__catch(try_call, &a, NULL);
    if (!error)
        return a.result;
    if (telling->now)
        after_call(telling, listener);
    return sl_failed(error);
}

/* ---- What listeners return ---- */

void sl__listener_failed(const sl_told *told, const sl_site *listening, sl_error *error)
{
    sl_error_hop(error, listening);
    char *text = sl_error_text(error);
    sl_log_to(
        sl_log_current(), SL_ERROR, listening,
        "a listener to %s on channel %s failed: %s\n  it listens since %s (%s:%d)\n  told at %s (%s:%d)",
        told->event->name, told->channel, text, listening->function, listening->file, listening->line,
        told->site->function, told->site->file, told->site->line);
    free(text);
    sl_error_unref(error);
}

/* What is needed to log a failure that comes later. */
typedef struct notice {
    sl_event event;
    sl_told told;
    const sl_site *listening;
    char names[];
} notice;

static sl_result log_later(sl_result result, void *data)
{
    const notice *n = data;
    sl__listener_failed(&n->told, n->listening, sl_error_ref(result.error));
    return result;
}

void sl__log_failure(const sl_told *told, const sl_site *listening, sl_deferred *deferred)
{
    size_t event = strlen(told->event->name) + 1, channel = strlen(told->channel) + 1;
    notice *n = sl_malloc(sizeof *n + event + channel);
    n->event = (sl_event){.name = memcpy(n->names, told->event->name, event)};
    n->told = (sl_told){
        .event = &n->event, .channel = memcpy(n->names + event, told->channel, channel), .site = told->site};
    n->listening = listening;
    sl__then(listening, deferred, NULL, log_later, n, free);
}

/* Drops what a listener returned; true if that is a failure, which is left in *result. */
static bool dropped_or_failed(const sl__telling *telling, const sl_listener *listener, sl_result *result)
{
    if (result->kind == SL_FAILURE)
        return true;
    if (result->kind == SL_DEFERRED) {
        sl__log_failure(telling->told, listener->site, result->deferred);
        sl_forget(result->deferred);
    } else if (result->value && result->free) {
        result->free(result->value);
    }
    return false;
}

/* Calls all who listen; NULL, or the error of the first that fails. */
static inline sl_error *tell_until_failure(sl__telling *telling)
{
    const sl__plan *plan = telling->plan;
    for (size_t i = 0; plan && i < plan->count; i++) {
        sl_listener *listener = plan->listeners[i];
        if (!listener->channel)
            continue;
        sl_result result = call(telling, listener);
        if (result.kind == SL_VALUE && !result.value)
            continue;
        if (dropped_or_failed(telling, listener, &result)) {
            sl_error_hop(result.error, listener->site);
            return result.error;
        }
    }
    return NULL;
}

static size_t tell_safely(const sl_told *told, sl_channel *channel)
{
    size_t failed = 0;
    SL_CLEANUP(sl__telling_end) sl__telling telling;
    sl__telling_begin(&telling, channel, told);
    for (size_t i = 0; telling.plan && i < telling.plan->count; i++) {
        sl_listener *listener = telling.plan->listeners[i];
        if (!listener->channel || (told->elsewhere && !listener->everywhere))
            continue;
        sl_result result = sl__telling_try(&telling, listener);
        if (dropped_or_failed(&telling, listener, &result)) {
            sl__listener_failed(told, listener->site, result.error);
            failed++;
        }
    }
    return failed;
}

static void fail_or_log(const sl_told *told, sl_error *error)
{
    if (can_exit(sl__loop))
        sl__fail_error(told->site, error);
    char *text = sl_error_text(error);
    sl_log_to(sl_log_current(), SL_ERROR, told->site,
              "%s on channel %s was not told to all: %s\n  told at %s (%s:%d)", told->event->name,
              told->channel, text, told->site->function, told->site->file, told->site->line);
    free(text);
    sl_error_unref(error);
}

/* The failure of who listens, with nothing of the telling left; or NULL. */
static sl_error *tell(const sl_told *told, sl_channel *channel)
{
    SL_CLEANUP(sl__telling_end) sl__telling telling;
    sl__telling_begin(&telling, channel, told);
    return telling.plan ? tell_until_failure(&telling) : NULL;
}

void sl__tell_late(sl_listener *listener, const sl_event *event, const sl__last *last)
{
    json_auto_t *payload = json_incref(last->payload);
    char *on = sl_strdup_heap(last->channel);
    const sl_told told = {.event = event,
                          .channel = on,
                          .payload = payload,
                          .site = last->site,
                          .late = true,
                          .elsewhere = last->elsewhere};
    sl_loop *loop = sl__loop;
    sl__telling telling = {
        .told = &told, .channel = listener->channel, .loop = loop, .context = loop->context};
    sl_result result = sl__telling_try(&telling, listener);
    if (dropped_or_failed(&telling, listener, &result))
        sl__listener_failed(&told, listener->site, result.error);
    free(on);
}

/* ---- Events ---- */

static void forward(const sl_root *root, const sl_told *told, const json_t *payload)
{
    const char *wrong;
    char *text = sl__json_text(payload, &wrong);
    if (text)
        root->forward(root->forward_data, told->channel, told->event->name, text, strlen(text));
    else
        sl_error_log("the payload of %s on channel %s %s; other instances do not get it", told->event->name,
                     told->channel, wrong);
    free(text);
}

/* After the listeners: those who come later, those who look when they like, and the other instances. */
static void spread(const sl_told *told, sl_channel *channel, json_t *payload)
{
    sl_root *root = channel->root;
    channel->pins++;
    if (told->event->sticky) {
        sl__sticky_seen(root, told->event);
        sl__sticky_keep(channel, told->event->name, payload, told->site, /* elsewhere= */ false);
    }
    sl__inboxes_put(channel, told->event->name, payload);
    if (root->forward)
        forward(root, told, payload);
    channel->pins--;
}

static void refuse_local(const sl_site *site, const sl_event *event)
{
    if (event->local)
        sl__die(site, "%s is a local event, whose payload is no JSON: tell it with sl_tell", event->name);
}

void sl__emit(const sl_site *site, sl_channel *channel, const sl_event *event, json_t *payload)
{
    refuse_local(site, event);
    json_auto_t *held = payload ? payload : json_null();
    const sl_told told = {.event = event, .channel = channel->name, .payload = held, .site = site};
    sl_error *error = tell(&told, channel);
    if (error)
        fail_or_log(&told, error);
    else
        spread(&told, channel, held);
}

size_t sl__emit_safely(const sl_site *site, sl_channel *channel, const sl_event *event, json_t *payload)
{
    refuse_local(site, event);
    json_auto_t *held = payload ? payload : json_null();
    const sl_told told = {.event = event, .channel = channel->name, .payload = held, .site = site};
    size_t failed = tell_safely(&told, channel);
    spread(&told, channel, held);
    return failed;
}

void sl__tell(const sl_site *site, sl_channel *channel, const sl_event *event, const void *payload)
{
    const sl_told told = {.event = event, .channel = channel->name, .payload = payload, .site = site};
    sl_error *error = tell(&told, channel);
    if (error)
        fail_or_log(&told, error);
}

size_t sl__tell_safely(const sl_site *site, sl_channel *channel, const sl_event *event, const void *payload)
{
    const sl_told told = {.event = event, .channel = channel->name, .payload = payload, .site = site};
    return tell_safely(&told, channel);
}

/* ---- The bus ---- */

void sl_bus_attach(sl_root *root, sl_bus_forward_fn *forward_to, void *data)
{
    root->forward = forward_to;
    root->hear = NULL;
    root->forward_data = data;
}

static void deliver(sl_channel *channel, const char *on, const char *name, json_t *payload, bool sticky)
{
    static const sl_site elsewhere = {__FILE__, __LINE__, "another instance"};
    const sl_event event = {.name = name, .sticky = sticky};
    const sl_told told = {
        .event = &event, .channel = on, .payload = payload, .site = &elsewhere, .elsewhere = true};
    tell_safely(&told, channel);
    if (sticky)
        sl__sticky_keep(channel, name, payload, told.site, /* elsewhere= */ true);
    sl__inboxes_put(channel, name, payload);
}

static bool somebody_listens(const sl_channel *channel)
{
    while (channel && !channel->first_inbox && !channel->first_listener)
        channel = channel->above;
    return channel;
}

void sl_bus_deliver(sl_root *root, const char *channel, const char *event, const char *json, size_t size)
{
    bool sticky = root->sticky && sl_table_get(root->sticky, event);
    sl_channel *known = sticky ? sl_channel_get(root, channel) : sl__channel_nearest(root, channel);
    if (!known || (!sticky && !somebody_listens(known)))
        return;
    json_error_t error;
    json_auto_t *payload = json_loadb(json, size, JSON_DECODE_ANY, &error);
    if (!payload) {
        sl_warning("an event on channel %s from another instance is dropped: %s", channel, error.text);
        return;
    }
    SL_IN_ROOT(root);
    deliver(known, channel, event, payload, sticky);
}
