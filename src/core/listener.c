/* listener.c: who is called when something is told.
 *
 * A channel keeps, for each kind of event, a *plan*: the listeners of that event, here and above, in the
 * order in which they are called. A telling goes through the plan without looking at anything else. A plan is
 * valid as long as the generations of the channel and of those above add up to what they were when it was
 * made; whoever begins or ends to listen changes one. A telling holds the plan that it began with, so those
 * who come meanwhile are not in it; those who go are marked, and passed by. */
#include "core/channel.h"

#include <jansson.h>
#include <stdlib.h>

/* ---- Plans ---- */

void sl__plan_unref(sl__plan *plan)
{
    if (--plan->uses)
        return;
    for (size_t i = 0; i < plan->count; i++)
        sl__listener_unref(plan->listeners[i]);
    free(plan->event);
    free(plan);
}

static bool hears(const sl_listener *listener, const char *event)
{
    return !listener->event || strcmp(listener->event->name, event) == 0;
}

typedef struct entry {
    sl_listener *listener;
    size_t number;
} entry;

static int by_priority(const void *a, const void *b)
{
    const entry *one = a, *other = b;
    if (one->listener->priority != other->listener->priority)
        return one->listener->priority > other->listener->priority ? -1 : 1;
    return one->number < other->number ? -1 : 1;
}

/* The listeners of the event, nearest channel first, and in the order in which they came. */
static entry *gather(const sl_channel *channel, const char *event, size_t *ret_count)
{
    size_t count = 0, capacity = 8;
    bool alike = true;
    entry *entries = sl_malloc(capacity * sizeof *entries);
    for (; channel; channel = channel->above)
        for (sl_listener *listener = channel->first_listener; listener; listener = listener->next) {
            if (!hears(listener, event))
                continue;
            if (count == capacity)
                entries = sl_realloc(entries, (capacity *= 2) * sizeof *entries);
            entries[count] = (entry){listener, count};
            alike = alike && listener->priority == entries[0].listener->priority;
            count++;
        }
    if (!alike)
        qsort(entries, count, sizeof *entries, by_priority);
    *ret_count = count;
    return entries;
}

static sl__plan *plan_new(const sl_channel *channel, const char *event, uint64_t stamp)
{
    size_t count;
    entry *entries = gather(channel, event, &count);
    sl__plan *plan = sl_malloc(sizeof *plan + count * sizeof(sl_listener *));
    *plan = (sl__plan){.event = sl_strdup_heap(event), .stamp = stamp, .uses = 1, .count = count};
    for (size_t i = 0; i < count; i++) {
        plan->listeners[i] = entries[i].listener;
        plan->listeners[i]->references++;
    }
    free(entries);
    return plan;
}

static void forget_the_last_plan(sl_channel *channel)
{
    sl__plan **at = &channel->plans;
    size_t count = 0;
    for (; *at && count < SL__MOST_PLANS; at = &(*at)->next)
        count++;
    if (*at) {
        sl__plan *last = *at;
        *at = last->next;
        sl__plan_unref(last);
    }
}

/* The plan becomes the first. */
static void to_front(sl_channel *channel, sl__plan **at)
{
    sl__plan *plan = *at;
    if (plan == channel->plans)
        return;
    *at = plan->next;
    plan->next = channel->plans;
    channel->plans = plan;
}

static sl__plan *find_plan(sl_channel *channel, const char *event, uint64_t stamp)
{
    sl__plan **at = &channel->plans;
    while (*at && strcmp((*at)->event, event) != 0)
        at = &(*at)->next;
    sl__plan *plan = *at;
    if (plan && plan->stamp == stamp) {
        to_front(channel, at);
        return plan;
    }
    if (plan) {
        *at = plan->next;
        sl__plan_unref(plan);
    }
    plan = plan_new(channel, event, stamp);
    plan->next = channel->plans;
    channel->plans = plan;
    forget_the_last_plan(channel);
    return plan;
}

sl__plan *sl__plan_get(sl_channel *channel, const char *event)
{
    uint64_t stamp = 0;
    bool any = false;
    for (const sl_channel *each = channel; each; each = each->above) {
        stamp += each->generation;
        any = any || each->first_listener;
    }
    if (!any)
        return NULL;
    sl__plan *plan = find_plan(channel, event, stamp);
    plan->uses++;
    return plan;
}

/* ---- Listeners ---- */

void sl__listener_unref(sl_listener *listener)
{
    if (--listener->references == 0)
        free(listener);
}

void sl__listener_release(sl_listener *listener)
{
    if (listener->counted)
        sl__context_unref(listener->context);
    listener->counted = false;
    listener->context = NULL;
    sl_free_fn *free_data = listener->free_data;
    listener->free_data = NULL;
    if (free_data && listener->data)
        free_data(listener->data);
}

void sl_listener_end(sl_listener *listener)
{
    sl_channel *channel = listener ? listener->channel : NULL;
    if (!channel)
        return;
    listener->channel = NULL;
    *(listener->earlier ? &listener->earlier->next : &channel->first_listener) = listener->next;
    *(listener->next ? &listener->next->earlier : &channel->last_listener) = listener->earlier;
    channel->generation++;
    if (listener->everywhere)
        sl__channel_unhear(channel);
    sl__channel_disuse(channel);
    sl__owned_leave(&listener->owned);
    if (!listener->running)
        sl__listener_release(listener);
    sl__listener_unref(listener);
}

static void end_with_task(void *data)
{
    sl_listener_end(data);
    sl__listener_unref(data);
}

static void end_with_object(sl__owned *owned)
{
    sl_listener_end((sl_listener *)((char *)owned - offsetof(sl_listener, owned)));
}

static void join(sl_channel *channel, sl_listener *listener)
{
    sl__channel_use(channel);
    listener->earlier = channel->last_listener;
    *(channel->last_listener ? &channel->last_listener->next : &channel->first_listener) = listener;
    channel->last_listener = listener;
    channel->generation++;
    if (listener->everywhere)
        sl__channel_hear(channel);
}

/* A listener ends with its root at the latest, and must not keep it: the root's own context is not counted.
 */
static void take_context(sl_listener *listener, const sl_loop *loop, sl__owner owner)
{
    sl_context *roots_own = &listener->channel->root->base;
    listener->context = owner == SL__OWNER_ROOT ? roots_own : loop->context;
    listener->counted = listener->context != roots_own;
    if (listener->counted)
        sl__context_ref(listener->context);
}

static void tell_what_was(sl_listener *listener)
{
    sl_channel *channel = listener->channel;
    const char *wanted = listener->event ? listener->event->name : NULL;
    for (sl__last *last = NULL; listener->channel && (last = sl__sticky_next(channel, wanted, last));) {
        const sl_event event = {.name = last->event, .sticky = true};
        if (!last->elsewhere || listener->everywhere)
            sl__tell_late(listener, listener->event ? listener->event : &event, last);
    }
}

sl_listener *sl__listener_new(const sl_site *site, sl_channel *channel, const sl_event *event,
                              sl_listener_fn *function, void *data, const sl_listen_options *options,
                              sl__owner owner)
{
    sl_loop *loop = sl__loop_needed("sl_listen_to");
    sl_task *task = owner == SL__OWNER_TASK && !options->owner ? loop->task : NULL;
    sl_listener *listener = sl_malloc(sizeof *listener);
    *listener = (sl_listener){.channel = channel,
                              .event = event,
                              .function = function,
                              .data = data,
                              .free_data = options->free_data,
                              .once = options->once,
                              .everywhere = options->everywhere,
                              .priority = options->priority,
                              .references = 2, /* its own, and this function's */
                              .site = site};
    take_context(listener, loop, owner);
    if (options->owner) {
        listener->owned.end = end_with_object;
        sl__object_own(options->owner, &listener->owned);
    } else if (task) {
        listener->references++;
        sl_defer(end_with_task, listener);
    }
    join(channel, listener);
    if (event && event->sticky)
        sl__sticky_seen(channel->root, event);
    channel->pins++;
    tell_what_was(listener);
    channel->pins--;
    bool ended = !listener->channel;
    sl__listener_unref(listener);
    return ended ? NULL : listener;
}

sl_listener *sl__listen_to(const sl_site *site, sl_channel *channel, const sl_event *event,
                           sl_listener_fn *function, void *data, const sl_listen_options *options)
{
    return sl__listener_new(site, channel, event, function, data, options, SL__OWNER_TASK);
}
