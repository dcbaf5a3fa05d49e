/* remote.c: the parent, as a child's root sees it: who carries out its calls.
 *
 * Calls go up as a struct sl__upcall, with odd numbers, and the parent's manager carries them out. The
 * arguments go flat, as long as the parent does not say that it cannot pass them on so (the service is in
 * Python, say): then they go again, as JSON, and so do all later ones to that service. */
#include "subsystem/remote_inside.h"
#include "base/json.h"
#include "subsystem/value.h"
#include "core/task.h"

#include <inttypes.h>
#include <jansson.h>

/* A call that has no answer yet. */
typedef struct sl__asked {
    sl__asked *next;
    sl__remote *remote;
    uint64_t number;
    sl_deferred *deferred;
    sl_record_fn *result; /* NULL: of a call by names */
    sl_arena *arena;      /* in which this stands, and what follows where it may have to go again */
    struct sl__upcall *again;
    sl_record_fn *arguments;
} asked;

/* ---- What was asked ----------------------------------------------------------------------------------- */

static asked **find(sl__remote *remote, uint64_t number)
{
    asked **at = &remote->asked[number / 2 % SL__ASKED_BUCKETS];
    while (*at && (*at)->number != number)
        at = &(*at)->next;
    return at;
}

static void forget(asked *a)
{
    *find(a->remote, a->number) = a->next;
    a->remote->asked_count--;
    sl__arena_put(a->remote->root->loop, a->arena);
}

static sl_cancelled cancel_asked(sl_deferred *deferred, void *data)
{
    asked *a = data;
    sl__wire_put(a->remote->wire, &(sl__packet){.kind = SL__CANCEL, .call = a->number}, NULL, 0);
    forget(a);
    return SL_CANCEL_DONE;
}

static asked *asked_new(sl__remote *remote, const sl_site *site)
{
    sl_arena *arena = sl__arena_get(remote->root->loop);
    asked *a = sl_arena_zalloc(arena, sizeof *a);
    *a = (asked){.remote = remote, .arena = arena, .number = remote->last_number += 2};
    a->deferred = sl__deferred_new(site, cancel_asked, a);
    *find(remote, a->number) = a;
    remote->asked_count++;
    return a;
}

static void put_upcall(sl__remote *remote, uint64_t number, unsigned codec, const struct sl__upcall *upcall,
                       const sl_files *files)
{
    sl__packet head = {.kind = SL__CALL, .codec = (uint8_t)codec, .call = number, .file_count = files->count};
    memcpy(head.files, files->numbers, files->count * sizeof head.files[0]);
    sl_error *error = NULL;
    if (sl__value_put(remote->wire, &head, &sl_codec_flat, sl__upcall_record(), upcall, &remote->scratch,
                      &error) < 0)
        sl__die(NULL, "a call cannot be sent to the parent: %s", error->message);
}

static struct sl__upcall upcall_of(const char *service, const char *method, const sl_call_options *options)
{
    return (struct sl__upcall){.service = service,
                               .method = method,
                               .key = options ? options->key : NULL,
                               .timeout_ms = options ? (int64_t)options->timeout_ms : 0,
                               .priority = options ? options->priority : SL_NORMAL};
}

/* ---- A call by the compiler's names -------------------------------------------------------------------- */

static uint64_t digest_of(sl__remote *remote, const sl_service *service)
{
    sl__digested *known = &remote->digests[(uintptr_t)service / 16 % sl_array_size(remote->digests)];
    if (known->service != service)
        *known = (sl__digested){service, sl_service_digest(service)};
    return known->digest;
}

static const char *keep(sl_arena *arena, const char *text)
{
    return text ? sl_arena_strdup(arena, text) : NULL;
}

/* The service is not known yet: its arguments may have to go again. */
static void keep_upcall(asked *a, const struct sl__upcall *upcall, sl_record_fn *arguments)
{
    a->arguments = arguments;
    a->again = sl_arena_alloc(a->arena, sizeof *a->again);
    *a->again = *upcall;
    a->again->service = keep(a->arena, upcall->service);
    a->again->method = keep(a->arena, upcall->method);
    a->again->key = keep(a->arena, upcall->key);
    a->again->arguments.data = sl_arena_strndup(a->arena, upcall->arguments.data, upcall->arguments.size);
}

static int encode(sl__remote *remote, unsigned codec, const sl_record *record, const void *value,
                  sl_files *files, sl_error **ret_error)
{
    remote->arguments.size = 0;
    int code = sl__codec_of(codec, NULL)->encode(record, value, &remote->arguments, files, ret_error);
    if (code == 0 && files->count > SL__PACKET_FILES) {
        *ret_error = sl_error_new(SL_E2BIG, "%s has %u open files: a call takes %d at most", record->name,
                                  files->count, SL__PACKET_FILES);
        return SL_E2BIG;
    }
    return code;
}

static sl_deferred *call(struct sl_caller *caller, const sl_site *site, const sl_service *service,
                         size_t method, const void *arguments, const sl_call_options *options)
{
    sl__remote *remote = (sl__remote *)caller;
    const sl_service_method *called = &service->methods[method];
    uintptr_t known = (uintptr_t)sl_table_get(remote->codecs, service->name);
    unsigned codec = known ? (unsigned)known - 1 : SL__CODEC_FLAT;
    sl_files files = {0};
    sl_error *error = NULL;
    if (encode(remote, codec, called->arguments(), arguments, &files, &error) < 0)
        return sl_failing(sl__method_blame(site, service->name, called->name, "arguments", error));
    if (remote->asked_count >= SL__ASKED_MAX)
        return sl_failing(
            sl__error_new(site, SL_EBUSY, "%u calls of this child have no answer yet", SL__ASKED_MAX));
    struct sl__upcall upcall = upcall_of(service->name, called->name, options);
    upcall.digest = (int64_t)digest_of(remote, service);
    upcall.version = service->version;
    upcall.arguments = (sl_view){remote->arguments.data, remote->arguments.size};
    asked *a = asked_new(remote, site);
    a->result = called->result;
    if (!known && !files.count)
        keep_upcall(a, &upcall, called->arguments);
    put_upcall(remote, a->number, codec, &upcall, &files);
    return a->deferred;
}

/* From now on the service's arguments go so at once. */
static void learn(asked *a, unsigned codec)
{
    if (a->again)
        sl_table_set(a->remote->codecs, a->again->service, (void *)(uintptr_t)(codec + 1));
    a->again = NULL;
}

/* The arguments that were kept, as JSON in remote->arguments. */
static int encode_again(asked *a, sl_error **ret_error)
{
    void *value;
    sl_files files = {0};
    int code = sl_codec_flat.decode(a->arguments(), a->again->arguments, /* borrow= */ true, NULL, a->arena,
                                    &value, ret_error);
    if (code < 0)
        return code;
    code = encode(a->remote, SL__CODEC_JSON, a->arguments(), value, &files, ret_error);
    sl_record_done(a->arguments(), value);
    return code;
}

/* The parent cannot pass them on as they are: they go as JSON. Whether that is possible. */
static bool ask_again(asked *a)
{
    sl__remote *remote = a->remote;
    sl_error *error = NULL;
    if (!a->again) { /* it could once: the service is another now */
        sl_table_free(remote->codecs);
        remote->codecs = sl_table_new(NULL);
        return false;
    }
    if (encode_again(a, &error) < 0) {
        sl_error_unref(error);
        return false;
    }
    struct sl__upcall upcall = *a->again;
    upcall.arguments = (sl_view){remote->arguments.data, remote->arguments.size};
    learn(a, SL__CODEC_JSON);
    put_upcall(remote, a->number, SL__CODEC_JSON, &upcall, &(sl_files){0});
    return true;
}

/* ---- Others -------------------------------------------------------------------------------------------- */

static sl_deferred *room(struct sl_caller *caller, const sl_site *site, const sl_service *service)
{
    sl__remote *remote = (sl__remote *)caller;
    struct sl__upcall upcall = upcall_of(service->name, "", NULL);
    asked *a = asked_new(remote, site);
    a->result = sl_nothing_record;
    put_upcall(remote, a->number, SL__CODEC_FLAT, &upcall, &(sl_files){0});
    return a->deferred;
}

static sl_deferred *call_json(struct sl_caller *caller, const char *service, const char *method,
                              json_t *arguments, const sl_call_options *options)
{
    sl__remote *remote = (sl__remote *)caller;
    const char *wrong;
    char *text = arguments ? sl__json_text(arguments, &wrong) : sl_strdup_heap("{}");
    json_decref(arguments);
    if (!text)
        return sl_failing(sl_error_new(SL_EINVAL, "the JSON for %s.%s %s", service, method, wrong));
    struct sl__upcall upcall = upcall_of(service, method, options);
    upcall.arguments = sl_view_of(text);
    asked *a = asked_new(remote, SL_HERE);
    put_upcall(remote, a->number, SL__CODEC_JSON, &upcall, &(sl_files){0});
    free(text);
    return a->deferred;
}

/* ---- Answers ------------------------------------------------------------------------------------------- */

static void fire_json(asked *a, const sl__packet *packet)
{
    sl_deferred *deferred = a->deferred;
    json_error_t wrong;
    json_t *json = packet->codec == SL__CODEC_JSON
                       ? json_loadb(packet->data, packet->size, JSON_DECODE_ANY, &wrong)
                       : NULL;
    sl__packet_close(packet);
    forget(a);
    if (json)
        sl_fire(deferred, json, sl__json_unref);
    else
        sl_fire_error(deferred, sl_error_new(SL_EPROTO, "the parent's answer is no JSON"));
}

static void fire_result(asked *a, const sl__packet *packet)
{
    sl_deferred *deferred = a->deferred;
    const sl_codec *codec = sl__codec_of(packet->codec, NULL);
    sl_error *error = NULL;
    sl__value value;
    if (!a->result) {
        fire_json(a, packet);
        return;
    }
    learn(a, SL__CODEC_FLAT);
    sl_arena *arena = sl__arena_get(a->remote->root->loop);
    int code = codec ? sl__value_get(packet, codec, a->result(), arena, &value, &error) : SL_EPROTO;
    forget(a);
    if (code == 0) {
        sl__value_fire(deferred, &value, arena);
        return;
    }
    sl__arena_put(sl_loop_current(), arena);
    sl_error *told = sl_error_new(SL_EPROTO, "the parent's answer cannot be read");
    sl_fire_error(deferred, error ? sl_error_cause(told, error) : told);
}

static void fire_failed(asked *a, const sl__packet *packet)
{
    sl__packet_close(packet);
    if (packet->codec == SL__CODEC_JSON && ask_again(a))
        return;
    sl_deferred *deferred = a->deferred;
    sl_error *error = sl__trouble_get((sl_view){packet->data, packet->size});
    forget(a);
    sl_fire_error(deferred, error);
}

bool sl__remote_answer(sl__remote *remote, const sl__packet *packet)
{
    if ((packet->kind != SL__RESULT && packet->kind != SL__FAILED) || packet->call % 2 == 0)
        return false;
    asked *a = *find(remote, packet->call);
    if (!a)
        sl__packet_close(packet); /* it was cancelled meanwhile */
    else if (packet->kind == SL__RESULT)
        fire_result(a, packet);
    else
        fire_failed(a, packet);
    return true;
}

void sl__remote_calls_begin(sl__remote *remote)
{
    remote->caller = (struct sl_caller){.call = call, .room = room, .call_json = call_json};
    remote->codecs = sl_table_new(NULL);
    remote->last_number = (uint64_t)-1; /* the first is 1 */
    sl_object_add(sl_root_object(remote->root), sl_caller, &remote->caller, NULL);
}

void sl__remote_calls_end(sl__remote *remote)
{
    sl_object_remove(sl_root_object(remote->root), sl_caller);
    for (unsigned i = 0; i < SL__ASKED_BUCKETS; i++)
        while (remote->asked[i]) {
            asked *a = remote->asked[i];
            sl_deferred *deferred = a->deferred;
            forget(a);
            sl_fire_error(deferred, sl_error_new(SL_ECLOSED, "this child ends, and its calls with it"));
        }
    remote->codecs = sl_table_free(remote->codecs);
    sl_buffer_done(&remote->arguments);
    sl_buffer_done(&remote->scratch);
}
