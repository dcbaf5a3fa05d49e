/* caller.c: calls with records, and with JSON, by a manager. What is called is looked up, the arguments are
 * encoded, and an errand is made of them; what comes back is decoded into an arena of its own, which passes
 * to whoever awaits the result. */
#include "base/json.h"
#include "core/deferred.h"
#include "subsystem/manager.h"
#include "subsystem/method.h"
#include "subsystem/value.h"

#include <jansson.h>
#include <unistd.h>

static const sl_call_options no_options;

/* ---- Calling ------------------------------------------------------------------------------------------- */

static sl_cancelled cancel_call(sl_deferred *deferred, void *data)
{
    sl__errand *errand = data;
    sl_manager *manager = errand->served->manager;
    sl__manager_enter(manager);
    errand->deferred = NULL; /* it fails by itself */
    sl__errand_leave(errand, SL__OUTCOME_cancelled, NULL);
    sl__manager_leave(manager);
    return SL_CANCEL_DONE;
}

/* The deferred of an order: of its errand, or failed already. */
static sl_deferred *place(sl__served *served, const sl__order *order)
{
    sl_manager *manager = served->manager;
    sl__errand *errand;
    sl_error *error;
    sl__manager_enter(manager);
    bool accepted = sl__errand_accept(served, order, &errand, &error) == 0;
    sl_deferred *deferred = accepted ? sl__deferred_new(order->site, cancel_call, errand)
                                     : sl__fired(order->site, sl_failed(error));
    if (accepted)
        errand->deferred = deferred;
    sl__manager_leave(manager);
    return deferred;
}

static sl_deferred *encode_and_place(sl__served *served, sl__order *order, const sl_service_method *method,
                                     const void *arguments)
{
    sl_manager *manager = served->manager;
    sl_files files = {0};
    sl_error *error = NULL;
    manager->scratch.size = 0;
    int code = served->codec->encode(method->arguments(), arguments, &manager->scratch, &files, &error);
    if (code < 0)
        return sl__fired(order->site, sl_failed(sl__method_blame(order->site, served->name, method->name,
                                                                 "arguments", error)));
    order->method_name = method->name;
    order->codec = served->codec_number;
    order->idempotent = method->idempotent;
    order->data = &manager->scratch;
    order->files = files.numbers;
    order->file_count = files.count;
    return place(served, order);
}

static sl_deferred *manager_call(struct sl_caller *caller, const sl_site *site, const sl_service *service,
                                 size_t method, const void *arguments, const sl_call_options *options)
{
    sl_manager *manager = (sl_manager *)caller;
    sl__served *served;
    sl_error *error = NULL;
    if (sl__manager_served(manager, service, &served, &error) < 0)
        return sl__fired(site, sl_failed(error));
    const sl_service_method *called = &service->methods[method];
    sl__order order = {.site = site,
                       .kind = SL__GIVES_RECORD,
                       .method = (unsigned)method,
                       .result = called->result(),
                       .options = options ? options : &no_options};
    return encode_and_place(served, &order, called, arguments);
}

/* ---- By names ------------------------------------------------------------------------------------------ */

static sl_deferred *call_json_by_name(sl__served *served, sl__order *order, const char *method,
                                      json_t *arguments)
{
    sl_buffer *scratch = &served->manager->scratch;
    if (sl__json_too_deep(arguments))
        return sl__fired(order->site, sl_failed(sl__error_new(order->site, SL_EINVAL, "the JSON for %s.%s %s",
                                                              served->name, method, SL__JSON_TOO_DEEP)));
    size_t size = json_dumpb(arguments, NULL, 0, JSON_COMPACT | JSON_ENCODE_ANY);
    scratch->size = 0;
    sl_buffer_reserve(scratch, size);
    json_dumpb(arguments, scratch->data, size, JSON_COMPACT | JSON_ENCODE_ANY);
    scratch->size = size;
    order->method_name = method;
    order->codec = SL__CODEC_JSON;
    order->data = scratch;
    return place(served, order);
}

static sl_deferred *call_described(sl__served *served, sl__order *order, const char *name, json_t *arguments)
{
    const sl_service *service = served->offer.service;
    int number = sl__method_find(service, name);
    if (number < 0)
        return sl__fired(order->site, sl_failed(sl__no_method(order->site, service, name)));
    const sl_service_method *method = &service->methods[number];
    sl_arena *arena = sl_arena_new();
    void *value;
    sl_error *error = NULL;
    sl_deferred *deferred;
    order->method = (unsigned)number;
    order->result = method->result();
    if (sl__method_arguments(order->site, service, method, arguments, arena, &value, &error) < 0)
        deferred = sl__fired(order->site, sl_failed(error));
    else
        deferred = encode_and_place(served, order, method, value);
    sl_arena_free(arena);
    return deferred;
}

static sl_deferred *manager_call_json(struct sl_caller *caller, const char *service, const char *method,
                                      json_t *arguments, const sl_call_options *options)
{
    sl_manager *manager = (sl_manager *)caller;
    sl__served *served = sl__manager_find(manager, service);
    if (!arguments)
        arguments = json_object();
    sl__order order = {.site = SL_HERE, .kind = SL__GIVES_JSON, .options = options ? options : &no_options};
    sl_deferred *deferred;
    if (!served)
        deferred = sl_failing(sl__no_service(order.site, manager, service));
    else if (served->by_name)
        deferred = call_json_by_name(served, &order, method, arguments);
    else
        deferred = call_described(served, &order, method, arguments);
    json_decref(arguments);
    return deferred;
}

sl_deferred *sl__call_raw(sl_manager *manager, const sl_site *site, const char *service, const char *method,
                          const sl__packet *arguments, const sl_call_options *options)
{
    sl__served *served = sl__manager_find(manager, service);
    if (!served)
        return sl__fired(site, sl_failed(sl__no_service(site, manager, service)));
    if (!served->by_name && arguments->codec != served->codec_number)
        return sl__fired(
            site, sl_failed(sl__error_new(site, SL_EPROTO,
                                          "%s is not called in this encoding: it has another", service)));
    sl__order order = {.site = site,
                       .kind = SL__GIVES_RAW,
                       .codec = arguments->codec,
                       .files = arguments->files,
                       .file_count = arguments->file_count,
                       .method_name = method,
                       .options = options ? options : &no_options};
    if (!served->by_name) {
        int number = sl__method_find(served->offer.service, method);
        if (number < 0)
            return sl__fired(site, sl_failed(sl__no_method(site, served->offer.service, method)));
        order.method = (unsigned)number;
        order.idempotent = served->offer.service->methods[number].idempotent;
    }
    manager->scratch.size = 0;
    sl_buffer_put(&manager->scratch, arguments->data, arguments->size);
    order.data = &manager->scratch;
    return place(served, &order);
}

/* ---- Results ------------------------------------------------------------------------------------------- */

static sl_error *blame_result(const sl__errand *errand, sl_error *error)
{
    sl_error *whole =
        sl__error_new(errand->site, SL_EPROTO, "the result of %s.%s cannot be read%s%s", errand->served->name,
                      sl__errand_method(errand), error ? ": " : "", error ? error->message : "");
    sl_error_unref(error);
    return whole;
}

/* An arena that is not larger than it must be: results may be many, and live long. */
static sl_arena *arena_for(const sl_record *record, const sl__packet *packet)
{
    size_t text = packet->segment ? 0 : packet->size + packet->size / 2;
    return sl_arena_new_sized(record->size + text + 256);
}

/* Decodes; 0, or a code with the error. */
static int decode(const sl__errand *errand, const sl_record *record, const sl__packet *packet,
                  sl_arena *arena, sl__value *ret_value, sl_error **ret_error)
{
    const sl_codec *codec = sl__codec_of(packet->codec, errand->served->offer.codec);
    sl_error *error = NULL;
    int code = codec ? sl__value_get(packet, codec, record, arena, ret_value, &error) : SL_EPROTO;
    if (!codec)
        sl__packet_close(packet);
    if (code < 0)
        *ret_error = blame_result(errand, error);
    return code;
}

static void give_record(sl__errand *errand, const sl__packet *packet)
{
    sl_arena *arena = arena_for(errand->result, packet);
    sl__value value;
    sl_error *error;
    if (decode(errand, errand->result, packet, arena, &value, &error) < 0) {
        sl_arena_free(arena);
        sl__errand_end(errand, SL__OUTCOME_failed, error);
        return;
    }
    sl__value_fire(sl__errand_finish(errand, SL__OUTCOME_succeeded), &value, arena);
}

static void give_json(sl__errand *errand, const sl__packet *packet)
{
    json_t *json = NULL;
    sl_error *error = NULL;
    if (packet->codec == SL__CODEC_JSON) {
        sl__packet_close(packet);
        json = json_loadb(packet->data, packet->size, JSON_DECODE_ANY | JSON_REJECT_DUPLICATES, NULL);
    } else if (errand->result) {
        sl_arena *arena = arena_for(errand->result, packet);
        sl__value value;
        if (decode(errand, errand->result, packet, arena, &value, &error) == 0) {
            json = sl_record_to_json(errand->result, value.value);
            sl__value_done(&value);
        }
        sl_arena_free(arena);
    }
    if (json)
        sl_fire(sl__errand_finish(errand, SL__OUTCOME_succeeded), json, sl__json_unref);
    else
        sl__errand_end(errand, SL__OUTCOME_failed, error ? error : blame_result(errand, NULL));
}

static void raw_free(void *data)
{
    sl__raw *raw = data;
    for (unsigned i = 0; i < raw->file_count; i++)
        close(raw->files[i]);
    free(raw);
}

static void give_raw(sl__errand *errand, const sl__packet *packet)
{
    sl__raw *raw = sl_malloc(sizeof *raw + packet->size);
    raw->codec = packet->codec;
    raw->file_count = packet->file_count;
    memcpy(raw->files, packet->files, sizeof raw->files);
    raw->size = packet->size;
    if (packet->size)
        memcpy(raw->data, packet->data, packet->size);
    sl_fire(sl__errand_finish(errand, SL__OUTCOME_succeeded), raw, raw_free);
}

void sl__errand_result(sl__errand *errand, const sl__packet *packet)
{
    if (errand->kind == SL__TALKS) {
        struct sl__talk *talk = errand->talk;
        sl__errand_finish(errand, SL__OUTCOME_succeeded);
        sl__talk_result(talk, packet);
    } else if (errand->kind == SL__GIVES_JSON) {
        give_json(errand, packet);
    } else if (errand->kind == SL__GIVES_RAW) {
        give_raw(errand, packet);
    } else {
        give_record(errand, packet);
    }
}

/* ---- Room ---------------------------------------------------------------------------------------------- */

void sl__waiter_free(sl__waiter *waiter)
{
    sl__served *served = waiter->served;
    *(waiter->previous ? &waiter->previous->next : &served->waiters) = waiter->next;
    *(waiter->next ? &waiter->next->previous : &served->last_waiter) = waiter->previous;
    free(waiter);
}

static sl_cancelled cancel_waiter(sl_deferred *deferred, void *data)
{
    sl__waiter_free(data);
    return SL_CANCEL_DONE;
}

static sl_deferred *manager_room(struct sl_caller *caller, const sl_site *site, const sl_service *service)
{
    sl_manager *manager = (sl_manager *)caller;
    sl__served *served;
    sl_error *error = NULL;
    if (sl__manager_served(manager, service, &served, &error) < 0)
        return sl__fired(site, sl_failed(error));
    if (!sl__served_busy(served, 1))
        return sl__fired(site, sl_ok(NULL));
    sl__waiter *waiter = sl_malloc(sizeof *waiter);
    *waiter = (sl__waiter){.previous = served->last_waiter, .served = served};
    *(served->last_waiter ? &served->last_waiter->next : &served->waiters) = waiter;
    served->last_waiter = waiter;
    return waiter->deferred = sl__deferred_new(site, cancel_waiter, waiter);
}

/* ---- The facet --------------------------------------------------------------------------------------- */

void sl__caller_init(struct sl_caller *caller)
{
    *caller = (struct sl_caller){.call = manager_call, .room = manager_room, .call_json = manager_call_json};
}

sl_manager *sl__caller_manager(struct sl_caller *caller)
{
    return caller && caller->call == manager_call ? (sl_manager *)caller : NULL;
}
