/* remote_bus.c: a child's bus and log, which are its parent.
 *
 * What is emitted here goes up as it was told; the parent's root hears it, and all that the parent's bus
 * reaches. What does not keep up loses: while too much waits for the parent, events and records are dropped,
 * and how many is said when there is room again. */
#include "subsystem/remote_inside.h"
#include "subsystem/value.h"
#include "core/channel.h"

#include <stdio.h>

/* ---- The log ------------------------------------------------------------------------------------------- */

static void put_record(sl__remote *remote, sl_level level, const char *message)
{
    struct sl__logged logged = {.logger = remote->logger.name, .message = message};
    sl_error *error = NULL;
    if (sl__value_put(remote->wire, &(sl__packet){.kind = SL__LOG, .word = (uint16_t)level}, &sl_codec_flat,
                      sl__logged_record(), &logged, &remote->record, &error) < 0) {
        fprintf(stderr, "%s\n", message); /* no UTF-8: what is printed reaches the log too */
        sl_error_unref(error);
    }
}

static void write_record(sl_logger *logger, sl_level level, const sl_site *site, const char *message,
                         size_t size)
{
    sl__remote *remote = (sl__remote *)((char *)logger - offsetof(sl__remote, logger));
    if (sl__wire_backlog(remote->wire) > SL__REMOTE_BACKLOG_MAX) {
        remote->dropped_records++;
        return;
    }
    if (remote->dropped_records) {
        char *said = sl_printf_heap("%zu records of the log were dropped: the parent did not keep up",
                                    remote->dropped_records);
        remote->dropped_records = 0;
        put_record(remote, SL_WARNING, said);
        free(said);
    }
    put_record(remote, level, message);
}

/* ---- Events -------------------------------------------------------------------------------------------- */

static void forward(void *data, const char *channel, const char *event, const char *json, size_t size)
{
    sl__remote *remote = data;
    if (sl__wire_backlog(remote->wire) > SL__REMOTE_BACKLOG_MAX) {
        remote->dropped_events++;
        return;
    }
    if (remote->dropped_events)
        sl_warning("%zu events were dropped: the parent did not keep up", remote->dropped_events);
    remote->dropped_events = 0;
    struct sl__event told = {.channel = channel, .event = event, .json = json};
    bool sticky = remote->root->sticky && sl_table_get(remote->root->sticky, event);
    sl_error *error = NULL;
    if (sl__value_put(remote->wire, &(sl__packet){.kind = SL__TELL, .word = sticky}, &sl_codec_flat,
                      sl__event_record(), &told, &remote->scratch, &error) < 0) {
        sl_warning("the event %s on channel %s stays in this process: %s", event, channel, error->message);
        sl_error_unref(error);
    }
}

/* Somebody here begins, or ends, to listen to what is told elsewhere. */
static void hear(void *data, const char *channel, bool begins)
{
    sl__remote *remote = data;
    sl__packet head = {.kind = begins ? SL__HEAR : SL__UNHEAR};
    sl__wire_put(remote->wire, &head, &(struct iovec){(char *)channel, strlen(channel)}, 1);
}

static void deliver(sl__remote *remote, const sl__packet *packet)
{
    sl__value value;
    sl_error *error = NULL;
    sl_arena *arena = sl__arena_get(remote->root->loop);
    if (sl__value_get(packet, &sl_codec_flat, sl__event_record(), arena, &value, &error) == 0) {
        const struct sl__event *told = value.value;
        const char *json = told->json ? told->json : "null";
        if (packet->word)
            sl__sticky_seen(remote->root, &(sl_event){.name = told->event, .sticky = true});
        sl_bus_deliver(remote->root, told->channel, told->event, json, strlen(json));
        sl__value_done(&value);
    } else {
        sl_warning("an event from the parent cannot be read: %s", error->message);
        sl_error_unref(error);
    }
    sl__arena_put(remote->root->loop, arena);
}

/* ---- The whole ----------------------------------------------------------------------------------------- */

bool sl__remote_packet(sl__remote *remote, const sl__packet *packet)
{
    if (packet->kind == SL__TELL)
        deliver(remote, packet);
    else if (packet->kind == SL__LOG) /* from which level on the parent wants records */
        remote->logger.level = (sl_level)(packet->word <= SL_ERROR ? packet->word : SL_ERROR);
    else
        return sl__remote_answer(remote, packet);
    return true;
}

sl__remote *sl__remote_new(sl_root *root, sl__wire *wire)
{
    sl__remote *remote = sl_calloc(1, sizeof *remote);
    remote->root = root;
    remote->wire = wire;
    remote->logger = (sl_logger){.name = sl_root_name(root), .level = SL_INFO, .write = write_record};
    sl_root_set_logger(root, &remote->logger);
    sl_bus_attach(root, forward, remote);
    sl__bus_hear(root, hear);
    sl__remote_calls_begin(remote);
    return remote;
}

sl__remote *sl__remote_free(sl__remote *remote)
{
    if (!remote)
        return NULL;
    sl__remote_calls_end(remote);
    sl_bus_attach(remote->root, NULL, NULL);
    sl_root_set_logger(remote->root, NULL);
    sl_buffer_done(&remote->record);
    free(remote);
    return NULL;
}
