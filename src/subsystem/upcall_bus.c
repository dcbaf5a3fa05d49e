/* upcall_bus.c: what a child emits, hears and logs.
 *
 * What it emits is told here as if it had been emitted here. What it wants to hear is listened to by one
 * listener for each channel, called after all others; where it hears a channel and one below, that below is
 * left to the one above, so that nothing goes down twice. Nothing goes back to who emitted it. */
#include "subsystem/upcall_inside.h"
#include "base/json.h"
#include "core/channel.h"

#include <jansson.h>
#include <limits.h>

static const sl_site from_child = {__FILE__, __LINE__, "a child process"};

/* A channel that the child hears. */
typedef struct heard {
    sl__upcalls *upcalls;
    sl_listener *listener;
    char *channel;
} heard;

/* ---- Down ---------------------------------------------------------------------------------------------- */

/* Whether the child hears a channel above this one too. */
static bool heard_above(sl__upcalls *upcalls, const char *channel)
{
    char *above = sl_strdup_heap(channel);
    bool found = false;
    for (char *slash; !found && (slash = strrchr(above, '/'));) {
        *slash = '\0';
        found = sl_table_get(upcalls->heard, above);
    }
    free(above);
    return found;
}

static bool has_room(sl__upcalls *upcalls)
{
    if (sl__wire_backlog(upcalls->wire) > SL__HEARD_BACKLOG_MAX) {
        if (upcalls->dropped++ == 0)
            sl_warning("the child %d does not keep up with its events: some are dropped",
                       sl__child_pid(upcalls->child));
        return false;
    }
    if (upcalls->dropped)
        sl_warning("%zu events for the child %d were dropped", upcalls->dropped,
                   sl__child_pid(upcalls->child));
    upcalls->dropped = 0;
    return true;
}

static void put_event(sl__upcalls *upcalls, const sl_told *told)
{
    const char *wrong;
    char *text = told->payload ? sl__json_text(told->payload, &wrong) : NULL;
    if (told->payload && !text) {
        sl_warning("the payload of %s on channel %s does not reach a child: it %s", told->event->name,
                   told->channel, wrong);
        return;
    }
    struct sl__event event = {.channel = told->channel, .event = told->event->name, .json = text};
    sl_error *error = NULL;
    if (sl__value_put(upcalls->wire, &(sl__packet){.kind = SL__TELL, .word = told->event->sticky},
                      &sl_codec_flat, sl__event_record(), &event, &upcalls->scratch, &error) < 0) {
        sl_warning("the event %s on channel %s does not reach a child: %s", told->event->name, told->channel,
                   error->message);
        sl_error_unref(error);
    }
    free(text);
}

static sl_result hears(const sl_told *told, void *data)
{
    const heard *h = data;
    bool echo = h->upcalls->telling && told->site == &from_child;
    if (!told->event->local && !echo && !heard_above(h->upcalls, h->channel) && has_room(h->upcalls))
        put_event(h->upcalls, told);
    return sl_ok(NULL);
}

static void heard_free(void *data)
{
    heard *h = data;
    sl_listener_end(h->listener);
    free(h->channel);
    free(h);
}

static void hear(sl__upcalls *upcalls, const char *channel)
{
    if (sl_table_get(upcalls->heard, channel))
        return;
    if (sl_table_size(upcalls->heard) >= SL__HEARD_MAX) {
        if (!upcalls->deaf)
            sl_warning("the child %d hears %u channels, and no more: what is told on %s does not reach it",
                       sl__child_pid(upcalls->child), SL__HEARD_MAX, channel);
        upcalls->deaf = true;
        return;
    }
    heard *h = sl_malloc(sizeof *h);
    *h = (heard){.upcalls = upcalls, .channel = sl_strdup_heap(channel)};
    sl_table_set(upcalls->heard, channel, h);
    h->listener =
        sl__listener_new(SL_HERE, sl_channel_get(upcalls->root, channel), NULL, hears, h,
                         &(sl_listen_options){.priority = INT_MIN, .everywhere = true}, SL__OWNER_ROOT);
}

/* ---- Up ------------------------------------------------------------------------------------------------ */

static void tell(sl__upcalls *upcalls, bool sticky, const struct sl__event *told)
{
    const char *text = told->json ? told->json : "null";
    json_error_t wrong;
    json_t *payload = json_loadb(text, strlen(text), JSON_DECODE_ANY, &wrong);
    if (!payload) {
        sl_warning("the event %s of the child %d is dropped: %s", told->event, sl__child_pid(upcalls->child),
                   wrong.text);
        return;
    }
    sl_event event = {.name = told->event, .sticky = sticky};
    upcalls->telling = true;
    sl__emit(&from_child, sl_channel_get(upcalls->root, told->channel), &event, payload);
    upcalls->telling = false;
    if (upcalls->ended) /* by one who listens */
        sl__upcalls_free(upcalls);
}

static void put_log(sl__upcalls *upcalls, unsigned level, const struct sl__logged *logged)
{
    if (level <= SL_ERROR)
        sl_log_to(sl_log_current(), (sl_level)level, NULL, "%s[%d]: %s", logged->logger ? logged->logger : "",
                  sl__child_pid(upcalls->child), logged->message ? logged->message : "");
}

/* NULL: the child broke the rules, and is ended. */
static char *channel_in(const sl__upcalls *upcalls, const sl__packet *packet)
{
    if (packet->size > SL__CHANNEL_MAX) {
        sl__child_kill(upcalls->child, "the name of a channel that it asked for is too long");
        return NULL;
    }
    char *channel = sl_malloc(packet->size + 1);
    memcpy(channel, packet->data, packet->size);
    channel[packet->size] = '\0';
    return channel;
}

bool sl__upcalls_bus_packet(sl__upcalls *upcalls, const sl__packet *packet)
{
    const void *read = NULL;
    char *channel = NULL;
    if (packet->kind == SL__TELL) {
        if ((read = sl__upcalls_read(upcalls, packet, sl__event_record())))
            tell(upcalls, packet->word, read);
    } else if (packet->kind == SL__LOG) {
        if ((read = sl__upcalls_read(upcalls, packet, sl__logged_record())))
            put_log(upcalls, packet->word, read);
    } else if (packet->kind == SL__HEAR) {
        if ((channel = channel_in(upcalls, packet)))
            hear(upcalls, channel);
    } else if (packet->kind == SL__UNHEAR) {
        if ((channel = channel_in(upcalls, packet)))
            sl_table_remove(upcalls->heard, channel);
    } else {
        return false;
    }
    free(channel);
    return true;
}

void sl__upcalls_bus_begin(sl__upcalls *upcalls)
{
    upcalls->heard = sl_table_new(heard_free);
    SL_IN_ROOT(upcalls->root);
    sl__wire_put(upcalls->wire, &(sl__packet){.kind = SL__LOG, .word = (uint16_t)sl_log_current()->level},
                 NULL, 0);
}

void sl__upcalls_bus_end(sl__upcalls *upcalls)
{
    upcalls->heard = sl_table_free(upcalls->heard);
}
