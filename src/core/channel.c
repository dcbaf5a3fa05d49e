/* channel.c: the tree of an application's channels.
 *
 * A channel is there from the first time that somebody asks for it, and the channels above it are as well:
 * each keeps the one above. Those that nobody listens to, and that are above of none, stand in a list, the
 * one not asked for for longest first; beyond MOST_IDLE that goes, for peers may choose the names. */
#include "core/channel.h"

#include <stdio.h>
#include <stdlib.h>

#define MOST_IDLE 1024

/* ---- Channels that nobody listens to ---- */

static void leave_idle(sl_channel *channel)
{
    sl_root *root = channel->root;
    *(channel->earlier ? &channel->earlier->later : &root->idle) = channel->later;
    *(channel->later ? &channel->later->earlier : &root->last_idle) = channel->earlier;
    channel->earlier = channel->later = NULL;
    root->idle_count--;
}

static void append_idle(sl_channel *channel)
{
    sl_root *root = channel->root;
    channel->earlier = root->last_idle;
    *(root->last_idle ? &root->last_idle->later : &root->idle) = channel;
    root->last_idle = channel;
    root->idle_count++;
}

static void drop(sl_channel *channel)
{
    sl_channel *above = channel->above;
    leave_idle(channel);
    sl_table_remove(channel->root->channels, channel->name);
    if (above && --above->below == 0 && !sl__channel_used(above))
        append_idle(above);
}

static void drop_the_oldest(sl_root *root)
{
    while (root->idle_count > MOST_IDLE) {
        sl_channel *oldest = root->idle;
        while (oldest && oldest->pins)
            oldest = oldest->later;
        if (!oldest || oldest == root->last_idle)
            return; /* that one was just asked for */
        drop(oldest);
    }
}

void sl__channel_use(sl_channel *channel)
{
    if (!sl__channel_used(channel))
        leave_idle(channel);
}

void sl__channel_disuse(sl_channel *channel)
{
    if (sl__channel_used(channel))
        return;
    append_idle(channel);
    drop_the_oldest(channel->root);
}

/* ---- Hearing what is told elsewhere ---- */

void sl__channel_hear(sl_channel *channel)
{
    if (channel->far++ == 0 && channel->root->hear)
        channel->root->hear(channel->root->forward_data, channel->name, /* begins= */ true);
}

void sl__channel_unhear(sl_channel *channel)
{
    if (--channel->far == 0 && channel->root->hear)
        channel->root->hear(channel->root->forward_data, channel->name, /* begins= */ false);
}

void sl__bus_hear(sl_root *root, void (*hear)(void *data, const char *channel, bool begins))
{
    const char *name;
    void *channel;
    root->hear = hear;
    for (size_t at = 0; hear && root->channels && sl_table_next(root->channels, &at, &name, &channel);)
        if (((sl_channel *)channel)->far)
            hear(root->forward_data, name, /* begins= */ true);
}

/* ---- The tree ---- */

static void channel_free(void *data)
{
    sl_channel *channel = data;
    while (channel->plans) {
        sl__plan *plan = channel->plans;
        channel->plans = plan->next;
        sl__plan_unref(plan);
    }
    sl__sticky_free(channel);
    free(channel->name);
    free(channel);
}

static void end_all(sl_channel *channel)
{
    channel->pins++; /* it is idle after the last, and must not go */
    while (channel->first_listener)
        sl_listener_end(channel->first_listener);
    while (channel->first_inbox)
        sl_inbox_close(channel->first_inbox);
    channel->pins--;
}

void sl__channels_free(sl_root *root)
{
    const char *name;
    void *channel;
    for (size_t at = 0; root->channels && sl_table_next(root->channels, &at, &name, &channel);)
        end_all(channel);
    root->channels = sl_table_free(root->channels);
    root->sticky = sl_table_free(root->sticky);
}

/* The size of the name of the channel above; 0: there is none. */
static size_t size_above(const char *name)
{
    size_t size = 0;
    unsigned levels = 0;
    for (const char *slash = strchr(name, '/'); slash && levels < SL__MOST_LEVELS;
         slash = strchr(slash + 1, '/')) {
        size = (size_t)(slash - name);
        levels++;
    }
    return size;
}

static sl_channel *channel_new(sl_root *root, const char *name)
{
    sl_channel *channel = sl_calloc(1, sizeof *channel);
    channel->name = sl_strdup_heap(name);
    channel->root = root;
    size_t size = size_above(name);
    if (size) {
        char *above = sl_printf_heap("%.*s", (int)size, name);
        channel->above = sl_channel_get(root, above);
        free(above);
        sl__channel_use(channel->above);
        channel->above->below++;
    }
    sl_table_set(root->channels, name, channel);
    append_idle(channel);
    drop_the_oldest(root);
    return channel;
}

sl_channel *sl_channel_get(sl_root *root, const char *name)
{
    if (!root->channels)
        root->channels = sl_table_new(channel_free);
    sl_channel *channel = sl_table_get(root->channels, name);
    if (!channel)
        return channel_new(root, name);
    if (root->last_idle != channel && !sl__channel_used(channel)) {
        leave_idle(channel);
        append_idle(channel);
    }
    return channel;
}

sl_channel *sl__channel_nearest(sl_root *root, const char *name)
{
    if (!root->channels)
        return NULL;
    sl_channel *channel = sl_table_get(root->channels, name);
    char *above = channel ? NULL : sl_strdup_heap(name);
    for (size_t size; !channel && (size = size_above(above));) {
        above[size] = '\0';
        channel = sl_table_get(root->channels, above);
    }
    free(above);
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
    sl_channel *channel = sl_channel_get(root, name.data ? name.data : "");
    sl_buffer_done(&name);
    return channel;
}

const char *sl_channel_name(const sl_channel *channel)
{
    return channel->name;
}
