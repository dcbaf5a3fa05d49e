/* upcall.c: what a child calls is carried out here, by the root's manager.
 *
 * Arguments and results are passed on as they are wherever both ends read the same: two children that were
 * built with one description of a service, two in Python. What cannot be passed on so is asked for as JSON
 * (a FAILED whose codec says so), which the child sends instead, and which the manager converts. */
#include "subsystem/upcall_inside.h"
#include "base/json.h"
#include "subsystem/manager.h"

#include <jansson.h>

/* A call that has not ended. */
struct sl__upcall_made {
    sl__upcall_made *next, **link;
    sl__upcalls *upcalls;
    uint64_t number;
    sl_deferred *deferred;
    bool left; /* nobody waits for its end */
};

/* ---- Answers ------------------------------------------------------------------------------------------- */

static void put_failed(sl__upcalls *upcalls, uint64_t number, unsigned codec, const sl_error *error)
{
    upcalls->scratch.size = 0;
    sl__trouble_put(error, &upcalls->scratch);
    sl__wire_put(upcalls->wire, &(sl__packet){.kind = SL__FAILED, .codec = (uint8_t)codec, .call = number},
                 &(struct iovec){upcalls->scratch.data, upcalls->scratch.size}, 1);
}

static void put_result(const sl__upcall_made *made, const sl__packet *head, const void *data, size_t size)
{
    sl__packet packet = *head;
    packet.kind = SL__RESULT;
    packet.call = made->number;
    if (!made->left)
        sl__wire_put(made->upcalls->wire, &packet, &(struct iovec){(void *)data, size}, 1);
}

static void over(sl__upcall_made *made)
{
    *made->link = made->next;
    if (made->next)
        made->next->link = made->link;
    made->upcalls->call_count--;
    sl_deferred_unref(made->deferred);
    free(made);
}

static sl_result gave_raw(sl_result result, void *data)
{
    sl__upcall_made *made = data;
    const sl__raw *raw = result.value;
    sl__packet head = {.codec = raw->codec, .file_count = raw->file_count};
    memcpy(head.files, raw->files, sizeof head.files);
    put_result(made, &head, raw->data, raw->size);
    sl_result_done(&result);
    over(made);
    return sl_ok(NULL);
}

static sl_result gave_json(sl_result result, void *data)
{
    sl__upcall_made *made = data;
    const char *wrong;
    char *text = sl__json_text(result.value, &wrong);
    sl_error *error = text ? NULL : sl_error_new(SL_EPROTO, "the result %s", wrong);
    if (text)
        put_result(made, &(sl__packet){.codec = SL__CODEC_JSON}, text, strlen(text));
    else if (!made->left)
        put_failed(made->upcalls, made->number, SL__CODEC_FLAT, error);
    sl_error_unref(error);
    free(text);
    sl_result_done(&result);
    over(made);
    return sl_ok(NULL);
}

static sl_result gave_room(sl_result result, void *data)
{
    sl__upcall_made *made = data;
    put_result(made, &(sl__packet){.codec = SL__CODEC_JSON}, "{}", 2);
    sl_result_done(&result);
    over(made);
    return sl_ok(NULL);
}

static sl_result failed(sl_result result, void *data)
{
    sl__upcall_made *made = data;
    if (!made->left)
        put_failed(made->upcalls, made->number, SL__CODEC_FLAT, result.error);
    sl_result_done(&result);
    over(made);
    return sl_ok(NULL);
}

/* ---- Calls ------------------------------------------------------------------------------------------- */

static void make(sl__upcalls *upcalls, uint64_t number, sl_deferred *deferred, sl_link_fn *gave)
{
    sl__upcall_made *made = sl_malloc(sizeof *made);
    *made = (sl__upcall_made){.next = upcalls->calls,
                              .link = &upcalls->calls,
                              .upcalls = upcalls,
                              .number = number,
                              .deferred = deferred};
    if (made->next)
        made->next->link = &made->next;
    upcalls->calls = made;
    upcalls->call_count++;
    sl_then(deferred, gave, failed, made, NULL); /* perhaps at once */
}

static void refuse(sl__upcalls *upcalls, uint64_t number, unsigned codec, sl_error *error)
{
    put_failed(upcalls, number, codec, error);
    sl_error_unref(error);
}

static void wait_for_room(sl__upcalls *upcalls, sl_manager *manager, sl__served *served, uint64_t number)
{
    const sl_service named = {.name = served->name};
    const sl_service *service = served->offer.service ? served->offer.service : &named;
    make(upcalls, number, manager->caller.room(&manager->caller, SL_HERE, service), gave_room);
}

static void make_json(sl__upcalls *upcalls, sl_manager *manager, uint64_t number,
                      const struct sl__upcall *upcall, const sl_call_options *options)
{
    json_t *arguments = json_loadb(upcall->arguments.data, upcall->arguments.size, JSON_DECODE_ANY, NULL);
    if (!arguments)
        refuse(upcalls, number, SL__CODEC_FLAT,
               sl_error_new(SL_EINVAL, "the arguments of %s.%s are no JSON text", upcall->service,
                            upcall->method));
    else
        make(upcalls, number,
             manager->caller.call_json(&manager->caller, upcall->service, upcall->method, arguments, options),
             gave_json);
}

static void pass_on(sl__upcalls *upcalls, sl_manager *manager, sl__served *served, const sl__packet *packet,
                    const struct sl__upcall *upcall, const sl_call_options *options)
{
    sl_error *error = NULL;
    bool described = !served->by_name;
    if (packet->codec == SL__CODEC_JSON && described) {
        make_json(upcalls, manager, packet->call, upcall, options);
        return;
    }
    if (packet->codec == SL__CODEC_FLAT && described &&
        sl__served_same(served, (unsigned)upcall->version, (uint64_t)upcall->digest, &error) < 0) {
        refuse(upcalls, packet->call, SL__CODEC_FLAT, error);
        return;
    }
    bool understood = described ? packet->codec == served->codec_number : packet->codec != SL__CODEC_FLAT;
    if (!understood) {
        refuse(upcalls, packet->call, SL__CODEC_JSON,
               sl_error_new(SL_EPROTO, "%s reads JSON, and no arguments like these", served->name));
        return;
    }
    sl__packet arguments = *packet;
    arguments.data = upcall->arguments.data;
    arguments.size = (uint32_t)upcall->arguments.size;
    make(upcalls, packet->call,
         sl__call_raw(manager, SL_HERE, upcall->service, upcall->method, &arguments, options), gave_raw);
}

static sl__upcall_made *find(const sl__upcalls *upcalls, uint64_t number)
{
    sl__upcall_made *made = upcalls->calls;
    while (made && made->number != number)
        made = made->next;
    return made;
}

static void call(sl__upcalls *upcalls, const sl__packet *packet)
{
    const struct sl__upcall *upcall = sl__upcalls_read(upcalls, packet, sl__upcall_record());
    if (!upcall)
        return;
    if (find(upcalls, packet->call)) {
        sl__child_kill(upcalls->child, "it gave two calls the same number");
        return;
    }
    if (upcalls->call_count >= SL__UPCALLS_MAX) {
        refuse(upcalls, packet->call, SL__CODEC_FLAT,
               sl_error_new(SL_EBUSY, "%u calls of this child have not ended", SL__UPCALLS_MAX));
        return;
    }
    sl_manager *manager = sl_manager_of(upcalls->root);
    sl__served *served = manager ? sl__manager_find(manager, upcall->service) : NULL;
    if (!served) {
        refuse(upcalls, packet->call, SL__CODEC_FLAT, sl__no_service(SL_HERE, manager, upcall->service));
        return;
    }
    sl_call_options options = {.key = upcall->key,
                               .priority = upcall->priority == SL_URGENT || upcall->priority == SL_IDLE
                                               ? (sl_priority)upcall->priority
                                               : SL_NORMAL,
                               .timeout_ms = upcall->timeout_ms > 0 ? (uint64_t)upcall->timeout_ms : 0};
    if (*upcall->method)
        pass_on(upcalls, manager, served, packet, upcall, &options);
    else
        wait_for_room(upcalls, manager, served, packet->call);
}

static void leave(sl__upcall_made *made)
{
    made->left = true;
    sl_cancel(made->deferred); /* which ends it */
}

static void cancel(sl__upcalls *upcalls, uint64_t number)
{
    sl__upcall_made *made = find(upcalls, number);
    if (made)
        leave(made);
}

/* ---- The whole --------------------------------------------------------------------------------------- */

const void *sl__upcalls_read(sl__upcalls *upcalls, const sl__packet *packet, const sl_record *record)
{
    void *value;
    sl_error *error = NULL;
    sl_arena_reset(upcalls->arena);
    if (sl_codec_flat.decode(record, (sl_view){packet->data, packet->size}, /* borrow= */ true, NULL,
                             upcalls->arena, &value, &error) == 0)
        return value;
    char *why = sl_printf_heap("what it asked for cannot be read: %s", error->message);
    sl__child_kill(upcalls->child, why);
    free(why);
    sl_error_unref(error);
    return NULL;
}

sl__upcalls *sl__upcalls_new(sl_root *root, sl__child *child)
{
    sl__upcalls *upcalls = sl_calloc(1, sizeof *upcalls);
    upcalls->root = root;
    upcalls->child = child;
    upcalls->wire = sl__child_wire(child);
    upcalls->arena = sl_arena_new();
    sl__upcalls_bus_begin(upcalls);
    return upcalls;
}

bool sl__upcalls_packet(sl__upcalls *upcalls, const sl__packet *packet)
{
    bool ours = true;
    SL_IN_ROOT(upcalls->root);
    if (packet->kind == SL__CALL && packet->call % 2)
        call(upcalls, packet);
    else if (packet->kind == SL__CANCEL && packet->call % 2)
        cancel(upcalls, packet->call);
    else
        ours = sl__upcalls_bus_packet(upcalls, packet);
    sl__packet_close(packet);
    return ours;
}

void sl__upcalls_free(sl__upcalls *upcalls)
{
    sl_arena_free(upcalls->arena);
    sl_buffer_done(&upcalls->scratch);
    free(upcalls);
}

sl__upcalls *sl__upcalls_end(sl__upcalls *upcalls)
{
    if (!upcalls)
        return NULL;
    sl__upcalls_bus_end(upcalls);
    while (upcalls->calls) {
        sl__upcall_made *made = upcalls->calls;
        leave(made);
    }
    upcalls->ended = true;
    if (!upcalls->telling)
        sl__upcalls_free(upcalls);
    return NULL;
}
