/* sticky.c: the last of each sticky event, for those who listen later.
 *
 * The event is kept on the channel that it was told on and on each above, for a listener there would have
 * heard it too. It is kept as long as the channel is. What comes from another instance names its event only,
 * so a root remembers the names of the sticky ones that were used in it. */
#include "core/channel.h"

#include <jansson.h>
#include <stdlib.h>

void sl__sticky_seen(sl_root *root, const sl_event *event)
{
    if (!root->sticky)
        root->sticky = sl_table_new(NULL);
    if (!sl_table_get(root->sticky, event->name))
        sl_table_set(root->sticky, event->name, root);
}

static sl__last *find(const sl_channel *channel, const char *event)
{
    sl__last *last = channel->lasts;
    while (last && strcmp(last->event, event) != 0)
        last = last->next;
    return last;
}

static void keep(sl_channel *channel, const sl__last *told)
{
    sl__last *last = find(channel, told->event);
    if (last) {
        free(last->channel);
        json_decref(last->payload);
    } else {
        last = sl_calloc(1, sizeof *last);
        last->event = sl_strdup_heap(told->event);
        last->next = channel->lasts;
        channel->lasts = last;
    }
    last->channel = sl_strdup_heap(told->channel);
    last->payload = json_incref(told->payload);
    last->site = told->site;
    last->elsewhere = told->elsewhere;
}

void sl__sticky_keep(sl_channel *channel, const char *event, struct json_t *payload, const sl_site *site,
                     bool elsewhere)
{
    const sl__last told = {.event = (char *)event,
                           .channel = channel->name,
                           .payload = payload,
                           .site = site,
                           .elsewhere = elsewhere};
    for (sl_channel *each = channel; each; each = each->above)
        keep(each, &told);
}

sl__last *sl__sticky_next(const sl_channel *channel, const char *event, const sl__last *after)
{
    if (event)
        return after ? NULL : find(channel, event);
    return after ? after->next : channel->lasts;
}

void sl__sticky_free(sl_channel *channel)
{
    while (channel->lasts) {
        sl__last *last = channel->lasts;
        channel->lasts = last->next;
        free(last->event);
        free(last->channel);
        json_decref(last->payload);
        free(last);
    }
}
