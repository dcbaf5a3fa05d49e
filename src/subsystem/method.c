/* method.c: services and their methods. */
#include "subsystem/method.h"

#include <jansson.h>

uint64_t sl_service_digest(const sl_service *service)
{
    uint64_t hash = 14695981039346656037u; /* FNV-1a */
#define MIX(data, size)                                                                                      \
    for (size_t byte = 0; byte < (size); byte++)                                                             \
    hash = (hash ^ ((const unsigned char *)(data))[byte]) * 1099511628211u
    for (size_t i = 0; i < service->method_count; i++) {
        const sl_service_method *method = &service->methods[i];
        uint64_t records[2] = {sl_record_digest(method->arguments()), sl_record_digest(method->result())};
        MIX(method->name, strlen(method->name) + 1);
        MIX(records, sizeof records);
        MIX(&method->idempotent, 1);
    }
    MIX(service->name, strlen(service->name));
#undef MIX
    return hash ? hash : 1;
}

int sl__method_find(const sl_service *service, const char *name)
{
    for (size_t i = 0; i < service->method_count; i++)
        if (strcmp(service->methods[i].name, name) == 0)
            return (int)i;
    return -1;
}

sl__method_fn *sl__method_function(const sl_offer *offer, unsigned method)
{
    /* All functions of the table take and give pointers: what these point to is the method's business. */
    sl__method_fn *function;
    memcpy(&function, (const char *)offer->methods + method * sizeof function, sizeof function);
    return function;
}

/* A result comes cleared, and a descriptor that nobody set is none. */
static void clear_files(const sl_record *record, char *value)
{
    for (size_t i = 0; i < record->field_count; i++) {
        const sl_record_field *field = &record->fields[i];
        if (field->kind == SL_FILE)
            *(int *)(value + field->offset) = -1;
        else if (field->kind == SL_NESTED)
            clear_files(field->record(), value + field->offset);
    }
}

typedef struct given {
    const sl_record *record;
    void *value;
} given;

static void give_back(void *data)
{
    given *result = data;
    sl_record_done(result->record, result->value);
}

void *sl__method_call(const sl_offer *offer, unsigned method, const void *arguments)
{
    sl__method_fn *function = sl__method_function(offer, method);
    given *result = sl_alloc(sizeof *result);
    result->record = offer->service->methods[method].result();
    result->value = sl_zalloc(result->record->size);
    clear_files(result->record, result->value);
    sl_defer(give_back, result);
    SL_SCOPE(scope)
    {
        function(arguments, result->value);
    }
    return result->value;
}

sl_error *sl__method_blame(const sl_site *site, const char *service, const char *method, const char *part,
                           sl_error *error)
{
    sl_error *blamed = sl__error_new(site ? site : error->origin, error->code, "the %s of %s.%s: %s", part,
                                     service, method, error->message);
    if (error->hint)
        sl_error_hint(blamed, "%s", error->hint);
    sl_error_unref(error);
    return blamed;
}

static sl_error *too_many(const sl_site *site, const sl_record *record, size_t count)
{
    sl_buffer names = {0};
    for (size_t i = 0; i < record->field_count; i++)
        sl_buffer_printf(&names, "%s%s", i ? ", " : "", record->fields[i].name);
    sl_error *error = sl__error_new(site, SL_EINVAL, "there are %zu, and at most %zu are taken", count,
                                    record->field_count);
    sl_error_hint(error, "it takes: %s", names.size ? names.data : "none");
    sl_buffer_done(&names);
    return error;
}

/* The same by name; a new reference. */
static json_t *named(const sl_record *record, json_t *array)
{
    json_t *object = json_object();
    for (size_t i = 0; i < json_array_size(array); i++)
        json_object_set(object, record->fields[i].name, json_array_get(array, i));
    return object;
}

int sl__method_arguments(const sl_site *site, const sl_service *service, const sl_service_method *method,
                         json_t *json, sl_arena *arena, void **ret_value, sl_error **ret_error)
{
    const sl_record *record = method->arguments();
    int code = SL_EINVAL;
    if (!json_is_array(json)) {
        code = sl_record_from_json(record, json, arena, ret_value, ret_error);
    } else if (json_array_size(json) > record->field_count) {
        *ret_error = too_many(site, record, json_array_size(json));
    } else {
        json_t *object = named(record, json);
        code = sl_record_from_json(record, object, arena, ret_value, ret_error);
        json_decref(object); /* what the value refers to is the array's still */
    }
    if (code < 0)
        *ret_error = sl__method_blame(site, service->name, method->name, "arguments", *ret_error);
    return code;
}

sl_error *sl__no_method(const sl_site *site, const sl_service *service, const char *method)
{
    sl_buffer names = {0};
    for (size_t i = 0; i < service->method_count; i++)
        sl_buffer_printf(&names, "%s%s", i ? ", " : "", service->methods[i].name);
    sl_error *error = sl__error_new(site, SL_EINVAL, "%s has no method %s", service->name, method);
    sl_error_hint(error, "it has: %s", names.size ? names.data : "none");
    sl_buffer_done(&names);
    return error;
}
