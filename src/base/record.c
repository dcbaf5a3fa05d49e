/* record.c: what a description says, as a hash and as a check of values. */
#include "base/json.h"
#include "base/record.h"

#include <jansson.h>
#include <unistd.h>

int sl__record_refuse(int code, const sl_record *record, const sl__step *at, const sl_record_field *field,
                      sl_error **ret_error, const char *format, ...)
{
    const sl__step *steps[SL_RECORD_DEPTH + 2];
    unsigned count = 0;
    for (const sl__step *step = at; step && count < sl_array_size(steps); step = step->outer)
        steps[count++] = step;
    sl_buffer path = {0};
    while (count--) {
        sl_buffer_puts(&path, steps[count]->field->name);
        if (steps[count]->index != SIZE_MAX)
            sl_buffer_printf(&path, "[%zu]", steps[count]->index);
        if (count || field)
            sl_buffer_putc(&path, '.');
    }
    if (field)
        sl_buffer_puts(&path, field->name);
    if (!path.size)
        sl_buffer_puts(&path, record->name);
    va_list arguments;
    va_start(arguments, format);
    sl_buffer text = {0};
    sl_buffer_vprintf(&text, format, arguments);
    va_end(arguments);
    *ret_error = sl_error_new(code, "%s %s", path.data, text.data);
    sl_buffer_done(&path);
    sl_buffer_done(&text);
    return code;
}

/* ---- What fields demand ---- */

static size_t characters(const char *data, size_t size)
{
    size_t count = 0;
    for (size_t i = 0; i < size; i++)
        count += ((unsigned char)data[i] & 0xC0) != 0x80;
    return count;
}

const char *sl__field_check_text(const sl_record_field *field, const char *data, size_t size)
{
    if (memchr(data, '\0', size))
        return "has a NUL in it";
    if (!sl_utf8_valid(data, size))
        return "is not UTF-8";
    if (field->max && size > field->max && characters(data, size) > field->max)
        return "is too long";
    return NULL;
}

const char *sl__field_check_size(const sl_record_field *field, size_t size)
{
    return field->max && size > field->max ? "is too long" : NULL;
}

const char *sl__field_check_missing(const sl_record_field *field)
{
    return field->required ? "is missing" : NULL;
}

/* ---- Checking a value ---- */

static int check_struct(const sl_record *record, const char *value, const sl__step *at, sl_error **ret_error);

static int check_list(const sl_record *record, const sl_record_field *field, const sl__items *list,
                      const sl__step *at, sl_error **ret_error)
{
    const char *wrong =
        list->count ? sl__field_check_size(field, list->count) : sl__field_check_missing(field);
    if (!wrong && list->count && !list->items)
        wrong = "has a count but no items";
    if (wrong)
        return sl__record_refuse(SL_EINVAL, record, at, field, ret_error, "%s", wrong);
    const sl_record *item = field->record();
    for (size_t i = 0; i < list->count; i++) {
        sl__step step = sl__step_into(at, field, i);
        int code = check_struct(item, list->items + i * item->size, &step, ret_error);
        if (code < 0)
            return code;
    }
    return 0;
}

static const char *check_json(const sl_record_field *field, const json_t *json)
{
    if (!json)
        return sl__field_check_missing(field);
    return sl__json_too_deep(json) ? SL__JSON_TOO_DEEP : NULL;
}

static int check_field(const sl_record *record, const sl_record_field *field, const char *member,
                       const sl__step *at, sl_error **ret_error)
{
    const char *wrong = NULL;
    switch (field->kind) {
    case SL_TEXT_FIELD: {
        const char *text = *(const char *const *)member;
        wrong = text ? sl__field_check_text(field, text, strlen(text)) : sl__field_check_missing(field);
        break;
    }
    case SL_BYTES: {
        const sl_view *view = (const sl_view *)member;
        if (view->data)
            wrong = sl__field_check_size(field, view->size);
        else
            wrong = view->size ? "has a size but no data" : sl__field_check_missing(field);
        break;
    }
    case SL_JSON:
        wrong = check_json(field, *(json_t *const *)member);
        break;
    case SL_NESTED: {
        sl__step step = sl__step_into(at, field, SIZE_MAX);
        return check_struct(field->record(), member, &step, ret_error);
    }
    case SL_LIST:
        return check_list(record, field, (const sl__items *)member, at, ret_error);
    case SL_INTEGER:
    case SL_REAL:
    case SL_BOOLEAN:
    case SL_TIME:
    case SL_FILE:
        break;
    }
    return wrong ? sl__record_refuse(SL_EINVAL, record, at, field, ret_error, "%s", wrong) : 0;
}

static int check_struct(const sl_record *record, const char *value, const sl__step *at, sl_error **ret_error)
{
    if (at && at->depth > SL_RECORD_DEPTH)
        return sl__record_refuse(SL_EINVAL, record, at, NULL, ret_error, "is nested too deeply");
    for (size_t i = 0; i < record->field_count; i++) {
        const sl_record_field *field = &record->fields[i];
        int code = check_field(record, field, value + field->offset, at, ret_error);
        if (code < 0)
            return code;
    }
    return 0;
}

int sl_record_check(const sl_record *record, const void *value, sl_error **ret_error)
{
    return check_struct(record, value, NULL, ret_error);
}

/* ---- Giving back ---- */

void sl_record_done(const sl_record *record, void *value)
{
    for (size_t i = 0; i < record->field_count; i++) {
        const sl_record_field *field = &record->fields[i];
        char *member = (char *)value + field->offset;
        if (field->kind == SL_FILE) {
            if (*(int *)member >= 0)
                close(*(int *)member);
            *(int *)member = -1;
        } else if (field->kind == SL_JSON) {
            json_decref(*(json_t **)member);
            *(json_t **)member = NULL;
        } else if (field->kind == SL_NESTED) {
            sl_record_done(field->record(), member);
        } else if (field->kind == SL_LIST) {
            sl__items *list = (sl__items *)member;
            const sl_record *item = field->record();
            for (size_t k = 0; k < list->count && item->field_count; k++)
                sl_record_done(item, list->items + k * item->size);
        }
    }
}

/* ---- The digest: FNV-1a with a stronger end ---- */

typedef struct hashed {
    const struct hashed *outer;
    const sl_record *record;
} hashed;

static uint64_t mix(uint64_t hash, const void *data, size_t size)
{
    const unsigned char *bytes = data;
    for (size_t i = 0; i < size; i++)
        hash = (hash ^ bytes[i]) * 0x100000001b3u;
    return hash;
}

static uint64_t mix_number(uint64_t hash, uint64_t number)
{
    return mix(hash, &number, sizeof number);
}

static uint64_t mix_record(uint64_t hash, const sl_record *record, const hashed *outer)
{
    uint64_t distance = 1;
    for (const hashed *h = outer; h; h = h->outer, distance++)
        if (h->record == record) /* a tree: the record that many levels up */
            return mix_number(hash, distance);
    const hashed self = {outer, record};
    hash = mix_number(hash, 0);
    hash = mix(hash, record->name, strlen(record->name) + 1);
    hash = mix_number(hash, record->size);
    hash = mix_number(hash, record->field_count);
    for (size_t i = 0; i < record->field_count; i++) {
        const sl_record_field *field = &record->fields[i];
        hash = mix(hash, field->name, strlen(field->name) + 1);
        hash = mix_number(hash, field->kind);
        hash = mix_number(hash, field->offset);
        hash = mix_number(hash, field->required);
        hash = mix_number(hash, field->max);
        if (field->record)
            hash = mix_record(hash, field->record(), &self);
    }
    return hash;
}

uint64_t sl_record_digest(const sl_record *record)
{
    uint64_t hash = mix_record(0xcbf29ce484222325u, record, NULL);
    hash ^= hash >> 32;
    hash *= 0x9e3779b97f4a7c15u;
    hash ^= hash >> 29;
    return hash ? hash : 1;
}
