/* json.c: objects as JSON, for templates and for answers to programs. */
#include "store/store.h"
#include "base/base64.h"
#include "base/json.h"

#include <jansson.h>
#include <math.h>

/* How many bytes at the beginning are one well-formed character; 0: none. */
static size_t character_size(const char *text, size_t size)
{
    for (size_t count = 1; count <= 4 && count <= size; count++)
        if (sl_utf8_valid(text, count))
            return count;
    return 0;
}

/* SQLite keeps whatever it is given as text. Bytes that are no UTF-8 are shown as U+FFFD rather than hiding
 * all of the text. */
static json_t *repaired(sl_view text)
{
    sl_buffer out = {0};
    for (size_t i = 0; i < text.size;) {
        size_t size = character_size(text.data + i, text.size - i);
        if (size)
            sl_buffer_put(&out, text.data + i, size);
        else
            sl_buffer_puts(&out, "\uFFFD");
        i += size ? size : 1;
    }
    json_t *json = json_stringn(out.data, out.size);
    sl_buffer_done(&out);
    return json;
}

static json_t *text_to_json(sl_view text)
{
    json_t *json = json_stringn(text.data, text.size);
    return json ? json : repaired(text);
}

static json_t *bytes_to_json(sl_view bytes)
{
    sl_buffer text = {0};
    sl__base64_put(&text, bytes.data, bytes.size);
    json_t *json = json_stringn(text.data ? text.data : "", text.size);
    sl_buffer_done(&text);
    return json;
}

static json_t *value_to_json(const sl_value *value)
{
    char text[SL_UUID_SIZE]; /* the longest */
    if (value->null)
        return json_null();
    switch (value->kind) {
    case SL_KIND_INTEGER:
    case SL_KIND_TIME:
        return json_integer(value->integer);
    case SL_KIND_REAL:
        return isfinite(value->real) ? json_real(value->real) : json_null();
    case SL_KIND_TEXT:
        return text_to_json(value->text);
    case SL_KIND_BYTES:
        return bytes_to_json(value->text);
    case SL_KIND_BOOLEAN:
        return json_boolean(value->boolean);
    case SL_KIND_DATE:
        return json_string(sl_date_text(value->date, text));
    case SL_KIND_DECIMAL:
        return json_string(sl_decimal_text(value->decimal, text));
    case SL_KIND_UUID:
        return json_string(sl_uuid_text(value->uuid, text));
    case SL_KIND_ENUM: /* one that has no text */
        return json_integer(value->choice);
    case SL_KIND_JSON:
        return json_incref(value->json);
    case SL_KIND_ROW:
    case SL_KIND_LIST:
        break;
    }
    return json_null();
}

static json_t *column_to_json(const sl_model *model, unsigned i, const void *object, uint64_t nulls)
{
    const sl_column *column = &model->columns[i];
    if (column->kind == SL_KIND_ROW) {
        const void *row = *(const void *const *)((const char *)object + column->offset);
        return row ? sl__fields_to_json(column->refers(), row) : json_null();
    }
    sl__field field = sl__column_field(model, i);
    sl_value value;
    sl__value_from_field(&field, object, nulls, &value);
    return value_to_json(&value);
}

/* ---- What can be kept ---------------------------------------------------------------------------------- */

static const char *wrong_text(const char *text, size_t size)
{
    if (!sl_utf8_valid(text, size))
        return "has a text in it that is not UTF-8";
    return memchr(text, '\0', size) ? "has the character U+0000 in it" : NULL;
}

static const char *wrong_json(json_t *json, unsigned depth)
{
    const char *key, *wrong = NULL;
    json_t *value;
    size_t i;
    if (depth == SL__JSON_DEPTH_MAX && (json_is_array(json) || json_is_object(json)))
        return SL__JSON_TOO_DEEP;
    if (json_is_string(json))
        return wrong_text(json_string_value(json), json_string_length(json));
    json_array_foreach(json, i, value) if ((wrong = wrong_json(value, depth + 1))) return wrong;
    json_object_foreach(json, key, value) if ((wrong = wrong_text(key, strlen(key))) ||
                                              (wrong = wrong_json(value, depth + 1))) return wrong;
    return NULL;
}

const char *sl__json_wrong(json_t *json)
{
    return wrong_json(json, 0);
}

/* ---- Objects ------------------------------------------------------------------------------------------- */

json_t *sl__fields_to_json(const sl_model *model, const void *object)
{
    const sl_row *row = object;
    uint64_t nulls = *(const uint64_t *)((const char *)object + model->null_offset);
    json_t *json = json_object();
    for (unsigned i = 0; i < model->column_count; i++) {
        const sl_column *column = &model->columns[i];
        if (!column->lazy || row->loaded >> i & 1)
            json_object_set_new(json, column->name, column_to_json(model, i, object, nulls));
    }
    return json;
}
