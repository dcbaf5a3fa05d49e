/* record_json.c: values as JSON objects, one member a field, and the JSON codec.
 *
 * Reading is strict: what has no field, or not the field's type, is refused and named. Open files have no
 * JSON; the codec writes the number among the files instead. */
#include "base/base64.h"
#include "base/json.h"
#include "base/record.h"

#include <jansson.h>
#include <math.h>

/* ---- To JSON ---- */

static json_t *struct_to_json(const sl_record *record, const char *value, sl_files *files, unsigned depth);

static json_t *bytes_to_json(const sl_view *view)
{
    if (!view->data)
        return json_null();
    sl_buffer text = {0};
    sl__base64_put(&text, view->data, view->size);
    json_t *json = json_stringn(text.data ? text.data : "", text.size);
    sl_buffer_done(&text);
    return json;
}

static json_t *file_to_json(int number, sl_files *files)
{
    if (number < 0 || !files || files->count == SL_FILES_MAX)
        return json_null();
    files->numbers[files->count] = number;
    return json_integer(files->count++);
}

static json_t *list_to_json(const sl_record *item, const sl__items *list, sl_files *files, unsigned depth)
{
    json_t *array = json_array();
    for (size_t i = 0; i < list->count; i++)
        json_array_append_new(array, struct_to_json(item, list->items + i * item->size, files, depth));
    return array;
}

static json_t *field_to_json(const sl_record_field *field, const char *member, sl_files *files,
                             unsigned depth)
{
    switch (field->kind) {
    case SL_INTEGER:
    case SL_TIME:
        return json_integer(*(const int64_t *)member);
    case SL_REAL:
        return isfinite(*(const double *)member) ? json_real(*(const double *)member) : json_null();
    case SL_BOOLEAN:
        return json_boolean(*(const bool *)member);
    case SL_TEXT_FIELD: {
        const char *text = *(const char *const *)member;
        json_t *json = text ? json_string(text) : NULL;
        return json ? json : json_null();
    }
    case SL_BYTES:
        return bytes_to_json((const sl_view *)member);
    case SL_JSON: {
        json_t *json = *(json_t *const *)member;
        return json ? json_incref(json) : json_null();
    }
    case SL_FILE:
        return file_to_json(*(const int *)member, files);
    case SL_NESTED:
        return struct_to_json(field->record(), member, files, depth + 1);
    case SL_LIST:
        return list_to_json(field->record(), (const sl__items *)member, files, depth + 1);
    }
    return json_null();
}

static json_t *struct_to_json(const sl_record *record, const char *value, sl_files *files, unsigned depth)
{
    json_t *object = json_object();
    for (size_t i = 0; i < record->field_count && depth <= SL_RECORD_DEPTH; i++) {
        const sl_record_field *field = &record->fields[i];
        json_object_set_new(object, field->name, field_to_json(field, value + field->offset, files, depth));
    }
    return object;
}

json_t *sl_record_to_json(const sl_record *record, const void *value)
{
    return struct_to_json(record, value, /* files= */ NULL, 0);
}

/* ---- From JSON ---- */

typedef struct reader {
    const sl_files *files;
    unsigned file_count;
    sl_arena *arena;
    sl_error **ret_error;
} reader;

static int struct_from_json(reader *r, const sl_record *record, json_t *json, char *value,
                            const sl__step *at);

static const char *type_name(const json_t *json)
{
    switch (json_typeof(json)) {
    case JSON_OBJECT:
        return "an object";
    case JSON_ARRAY:
        return "an array";
    case JSON_STRING:
        return "a string";
    case JSON_INTEGER:
    case JSON_REAL:
        return "a number";
    case JSON_TRUE:
    case JSON_FALSE:
        return "a boolean";
    case JSON_NULL:
        return "null";
    }
    return "something else";
}

static const char *text_from_json(reader *r, const sl_record_field *field, json_t *json, const char **member)
{
    if (json_is_null(json))
        return sl__field_check_missing(field);
    if (!json_is_string(json))
        return "must be a string";
    size_t size = json_string_length(json);
    *member = sl_arena_strndup(r->arena, json_string_value(json), size);
    return sl__field_check_text(field, *member, size);
}

static const char *bytes_from_json(reader *r, const sl_record_field *field, json_t *json, sl_view *member)
{
    if (json_is_null(json))
        return sl__field_check_missing(field);
    if (!json_is_string(json))
        return "must be a string in base64";
    const char *text = json_string_value(json);
    size_t length = json_string_length(json), size;
    if (sl__base64_size(text, length, &size) < 0)
        return "is not base64";
    char *data = sl_arena_alloc(r->arena, size + 1);
    if (sl__base64_get(text, length, data) < 0)
        return "is not base64";
    data[size] = '\0';
    *member = (sl_view){data, size};
    return sl__field_check_size(field, size);
}

static const char *file_from_json(reader *r, json_t *json, int *member)
{
    if (json_is_null(json))
        return NULL;
    if (!r->files)
        return "is an open file, which cannot come from JSON";
    if (!json_is_integer(json) || json_integer_value(json) != r->file_count ||
        r->file_count >= r->files->count)
        return "is a file that did not come";
    *member = r->files->numbers[r->file_count++];
    return NULL;
}

static const char *scalar_from_json(reader *r, const sl_record_field *field, json_t *json, char *member)
{
    switch (field->kind) {
    case SL_INTEGER:
    case SL_TIME:
        if (!json_is_integer(json))
            return "must be a whole number";
        *(int64_t *)member = json_integer_value(json);
        return NULL;
    case SL_REAL:
        if (!json_is_number(json))
            return "must be a number";
        *(double *)member = json_number_value(json);
        return NULL;
    case SL_BOOLEAN:
        if (!json_is_boolean(json))
            return "must be true or false";
        *(bool *)member = json_is_true(json);
        return NULL;
    case SL_TEXT_FIELD:
        return text_from_json(r, field, json, (const char **)member);
    case SL_BYTES:
        return bytes_from_json(r, field, json, (sl_view *)member);
    case SL_JSON:
        *(json_t **)member = json_is_null(json) ? NULL : json;
        return json_is_null(json) ? sl__field_check_missing(field) : NULL;
    case SL_FILE:
        return file_from_json(r, json, (int *)member);
    case SL_NESTED:
    case SL_LIST:
        break;
    }
    return NULL;
}

static int list_from_json(reader *r, const sl_record *record, const sl_record_field *field, json_t *json,
                          sl__items *member, const sl__step *at)
{
    const sl_record *item = field->record();
    size_t count = json_array_size(json);
    const char *wrong = !json_is_array(json) ? "must be an array"
                        : count              ? sl__field_check_size(field, count)
                                             : sl__field_check_missing(field);
    if (wrong)
        return sl__record_refuse(SL_EINVAL, record, at, field, r->ret_error, "%s%s%s", wrong,
                                 json_is_array(json) ? "" : ", not ",
                                 json_is_array(json) ? "" : type_name(json));
    if (!count)
        return 0;
    *member = (sl__items){count, sl_arena_zalloc(r->arena, count * sl__record_stride(item))};
    for (size_t i = 0; i < count; i++) {
        sl__step step = sl__step_into(at, field, i);
        int code = struct_from_json(r, item, json_array_get(json, i), member->items + i * item->size, &step);
        if (code < 0)
            return code;
    }
    return 0;
}

/* The member that this field has not got: as empty as it may be. */
static int field_missing(reader *r, const sl_record *record, const sl_record_field *field, char *member,
                         const sl__step *at)
{
    if (field->kind == SL_FILE)
        *(int *)member = -1;
    if (field->kind == SL_NESTED) {
        sl__step step = sl__step_into(at, field, SIZE_MAX);
        return struct_from_json(r, field->record(), NULL, member, &step);
    }
    const char *wrong = sl__field_check_missing(field);
    return wrong ? sl__record_refuse(SL_EINVAL, record, at, field, r->ret_error, "%s", wrong) : 0;
}

static int field_from_json(reader *r, const sl_record *record, const sl_record_field *field, json_t *json,
                           char *member, const sl__step *at)
{
    if (!json)
        return field_missing(r, record, field, member, at);
    if (field->kind == SL_NESTED) {
        sl__step step = sl__step_into(at, field, SIZE_MAX);
        return struct_from_json(r, field->record(), json, member, &step);
    }
    if (field->kind == SL_LIST)
        return list_from_json(r, record, field, json, (sl__items *)member, at);
    if (field->kind == SL_FILE)
        *(int *)member = -1;
    const char *wrong = scalar_from_json(r, field, json, member);
    if (!wrong)
        return 0;
    bool type = strncmp(wrong, "must be", 7) == 0;
    return sl__record_refuse(SL_EINVAL, record, at, field, r->ret_error, "%s%s%s", wrong,
                             type ? ", not " : "", type ? type_name(json) : "");
}

static bool has_field(const sl_record *record, const char *name)
{
    for (size_t i = 0; i < record->field_count; i++)
        if (strcmp(record->fields[i].name, name) == 0)
            return true;
    return false;
}

static int refuse_unknown(reader *r, const sl_record *record, json_t *json, const sl__step *at)
{
    const char *name;
    json_t *member;
    json_object_foreach(json, name, member)
    {
        if (has_field(record, name))
            continue;
        const char *near = NULL;
        size_t nearest = 3;
        for (size_t i = 0; i < record->field_count; i++) {
            size_t far = sl_word_distance(name, record->fields[i].name);
            if (far < nearest)
                nearest = far, near = record->fields[i].name;
        }
        int code =
            sl__record_refuse(SL_EINVAL, record, at, NULL, r->ret_error, "has no field \"%.100s\"", name);
        if (near)
            sl_error_hint(*r->ret_error, "did you mean \"%s\"?", near);
        return code;
    }
    return 0;
}

/* `json` may be NULL: nothing was said. */
static int struct_from_json(reader *r, const sl_record *record, json_t *json, char *value, const sl__step *at)
{
    if (at && at->depth > SL_RECORD_DEPTH)
        return sl__record_refuse(SL_EINVAL, record, at, NULL, r->ret_error, "is nested too deeply");
    if (json && !json_is_object(json))
        return sl__record_refuse(SL_EINVAL, record, at, NULL, r->ret_error, "must be an object, not %s",
                                 type_name(json));
    size_t found = 0;
    int code = 0;
    for (size_t i = 0; i < record->field_count && code == 0; i++) {
        const sl_record_field *field = &record->fields[i];
        json_t *member = json_object_get(json, field->name);
        found += !!member;
        code = field_from_json(r, record, field, member, value + field->offset, at);
        if (code < 0 && member)
            return code;
    }
    if (code == 0 && found == json_object_size(json))
        return 0;
    /* What is missing may be there under a wrong name. */
    sl_error *missing = code < 0 ? *r->ret_error : NULL;
    int unknown = refuse_unknown(r, record, json, at);
    if (unknown < 0)
        sl_error_unref(missing);
    return unknown < 0 ? unknown : code;
}

int sl_record_from_json(const sl_record *record, json_t *json, sl_arena *arena, void **ret_value,
                        sl_error **ret_error)
{
    reader r = {.arena = arena, .ret_error = ret_error};
    char *value = sl_arena_zalloc(arena, sl__record_stride(record));
    int code = struct_from_json(&r, record, json, value, NULL);
    if (code == 0)
        *ret_value = value;
    return code;
}

/* ---- The codec ---- */

typedef struct writer {
    const sl_files *files; /* or NULL */
    unsigned file_count;   /* with those that were found */
    sl_error **ret_error;
} writer;

/* Whether JSON has all that the value has. */
static int check_writable(writer *w, const sl_record *record, const char *value, const sl__step *at)
{
    int code = 0;
    for (size_t i = 0; i < record->field_count && code == 0; i++) {
        const sl_record_field *field = &record->fields[i];
        const char *member = value + field->offset, *wrong = NULL;
        if (field->kind == SL_REAL && !isfinite(*(const double *)member)) {
            wrong = "is not a number that JSON has";
        } else if (field->kind == SL_FILE && *(const int *)member >= 0) {
            wrong = !w->files                         ? "is an open file, which cannot go there"
                    : w->file_count++ == SL_FILES_MAX ? "is one open file too many"
                                                      : NULL;
        } else if (field->kind == SL_NESTED) {
            sl__step step = sl__step_into(at, field, SIZE_MAX);
            code = check_writable(w, field->record(), member, &step);
        } else if (field->kind == SL_LIST) {
            const sl__items *list = (const sl__items *)member;
            const sl_record *item = field->record();
            for (size_t k = 0; k < list->count && code == 0; k++) {
                sl__step step = sl__step_into(at, field, k);
                code = check_writable(w, item, list->items + k * item->size, &step);
            }
        }
        if (wrong)
            code = sl__record_refuse(SL_EINVAL, record, at, field, w->ret_error, "%s", wrong);
    }
    return code;
}

static int put_dumped(const char *data, size_t size, void *out)
{
    sl_buffer_put(out, data, size);
    return 0;
}

static int json_encode(const sl_record *record, const void *value, sl_buffer *out, sl_files *files,
                       sl_error **ret_error)
{
    int code = sl_record_check(record, value, ret_error);
    if (code < 0)
        return code;
    unsigned file_count = files ? files->count : 0;
    size_t before = out->size;
    writer w = {files, file_count, ret_error};
    code = check_writable(&w, record, value, NULL);
    if (code < 0)
        return code;
    json_t *json = struct_to_json(record, value, files, 0);
    bool deep = sl__json_too_deep(json);
    if (deep || json_dump_callback(json, put_dumped, out, JSON_COMPACT) < 0) {
        out->size = before;
        if (files)
            files->count = file_count;
        code = sl__record_refuse(SL_EINVAL, record, NULL, NULL, ret_error, "%s",
                                 deep ? SL__JSON_TOO_DEEP : "cannot be written as JSON");
    }
    json_decref(json);
    return code;
}

/* The references of JSON fields become the value's own. */
static void own_json(const sl_record *record, char *value)
{
    for (size_t i = 0; i < record->field_count; i++) {
        const sl_record_field *field = &record->fields[i];
        char *member = value + field->offset;
        if (field->kind == SL_JSON) {
            json_incref(*(json_t **)member);
        } else if (field->kind == SL_NESTED) {
            own_json(field->record(), member);
        } else if (field->kind == SL_LIST) {
            const sl__items *list = (const sl__items *)member;
            const sl_record *item = field->record();
            for (size_t k = 0; k < list->count; k++)
                own_json(item, list->items + k * item->size);
        }
    }
}

static int json_decode(const sl_record *record, sl_view data, bool borrow, const sl_files *files,
                       sl_arena *arena, void **ret_value, sl_error **ret_error)
{
    json_error_t error;
    json_t *json = json_loadb(data.data ? data.data : "", data.size,
                              JSON_REJECT_DUPLICATES | JSON_DECODE_ANY | JSON_ALLOW_NUL, &error);
    if (!json)
        return sl__record_refuse(SL_EPARSE, record, NULL, NULL, ret_error,
                                 "is not JSON: line %d, column %d: %s", error.line, error.column, error.text);
    reader r = {.files = files, .arena = arena, .ret_error = ret_error};
    char *value = sl_arena_zalloc(arena, sl__record_stride(record));
    int code = struct_from_json(&r, record, json, value, NULL);
    if (code == 0 && files && r.file_count < files->count)
        code = sl__record_refuse(SL_EPARSE, record, NULL, NULL, ret_error, "has %u files too many",
                                 files->count - r.file_count);
    if (code == 0) {
        own_json(record, value);
        *ret_value = value;
    } else {
        (*ret_error)->code = code = SL_EPARSE;
    }
    json_decref(json);
    return code;
}

const sl_codec sl_codec_json = {.name = "json", .encode = json_encode, .decode = json_decode};
