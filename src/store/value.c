/* value.c: values become fields of objects, and fields values.
 *
 * A database gives what it has: SQLite keeps a date as text and a time as an integer, PostgreSQL a sum as a
 * numeric, which comes as text. What a field cannot be made of exactly is refused, with the column's name. */
#include "store/driver.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>

static const uint8_t sizes[] = {
    [SL_KIND_INTEGER] = sizeof(int64_t), [SL_KIND_REAL] = sizeof(double),
    [SL_KIND_TEXT] = sizeof(char *),     [SL_KIND_BYTES] = sizeof(sl_view),
    [SL_KIND_BOOLEAN] = sizeof(bool),    [SL_KIND_TIME] = sizeof(int64_t),
    [SL_KIND_DATE] = sizeof(sl_date),    [SL_KIND_DECIMAL] = sizeof(sl_decimal),
    [SL_KIND_UUID] = sizeof(sl_uuid),    [SL_KIND_ENUM] = sizeof(int),
    [SL_KIND_JSON] = sizeof(json_t *),
};

/* What a value of a kind is called, with how it is written where it is text. */
static const char *const wanted[] = {
    [SL_KIND_INTEGER] = "whole number of 64 bits",
    [SL_KIND_REAL] = "number",
    [SL_KIND_TEXT] = "text without NULs",
    [SL_KIND_BYTES] = "bytes",
    [SL_KIND_BOOLEAN] = "boolean",
    [SL_KIND_TIME] = "time (2026-11-29T12:00:00Z)",
    [SL_KIND_DATE] = "date (2026-11-29)",
    [SL_KIND_DECIMAL] = "decimal",
    [SL_KIND_UUID] = "UUID",
    [SL_KIND_ENUM] = "value of the enum",
    [SL_KIND_JSON] = "JSON",
};

static sl_error *refuse(const sl__field *field, const sl_value *value)
{
    char given[128];
    switch (value->kind) {
    case SL_KIND_INTEGER:
    case SL_KIND_TIME:
        snprintf(given, sizeof(given), "%lld", (long long)value->integer);
        break;
    case SL_KIND_REAL:
        snprintf(given, sizeof(given), "%.17g", value->real);
        break;
    case SL_KIND_TEXT:
        snprintf(given, sizeof(given), "\"%.100s\"%s", value->text.data ? value->text.data : "",
                 value->text.size > 100 ? "…" : "");
        break;
    case SL_KIND_BYTES:
        snprintf(given, sizeof(given), "a value of %zu bytes", value->text.size);
        break;
    default:
        snprintf(given, sizeof(given), "a %s", wanted[value->kind]);
        break;
    }
    sl_error *error =
        sl_error_new(SL_EPARSE, "column %s: %s is no %s", field->name, given, wanted[field->kind]);
    if (field->kind == SL_KIND_DECIMAL)
        sl_error_hint(error, "it has %u digits after the point, and 18 in all", field->scale);
    if (field->kind == SL_KIND_ENUM) {
        sl_buffer names = {0};
        for (size_t i = 0; i < field->names->count; i++)
            sl_buffer_printf(&names, "%s\"%s\"", i ? ", " : "", field->names->names[i]);
        sl_error_hint(error, "%s has %s", field->names->name, names.data ? names.data : "no values");
        sl_buffer_done(&names);
    }
    return error;
}

/* ---- Conversions: each says whether the value can be had exactly ---- */

/* A text that a NUL would cut is never taken for what stands before it. */
static const char *whole_text(const sl_value *value)
{
    bool whole =
        value->kind == SL_KIND_TEXT && value->text.data && !memchr(value->text.data, '\0', value->text.size);
    return whole ? value->text.data : NULL;
}

static bool integer_from_text(const char *text, int64_t *ret_integer)
{
    sl_decimal decimal;
    if (!text || sl_decimal_parse(text, &decimal) < 0 || sl_decimal_rescale(decimal, 0, &decimal) < 0)
        return false;
    *ret_integer = decimal.units;
    return true;
}

static bool to_integer(const sl_value *value, int64_t *field)
{
    switch (value->kind) {
    case SL_KIND_INTEGER:
    case SL_KIND_TIME:
        *field = value->integer;
        return true;
    case SL_KIND_BOOLEAN:
        *field = value->boolean;
        return true;
    case SL_KIND_REAL:
        /* 2^63 is a double, but no int64_t. */
        if (!(value->real >= -0x1p63 && value->real < 0x1p63) || value->real != floor(value->real))
            return false;
        *field = (int64_t)value->real;
        return true;
    default:
        return integer_from_text(whole_text(value), field);
    }
}

/* By jansson, whose numbers do not depend on the locale. */
static bool real_from_text(const char *text, double *ret_real)
{
    static const struct {
        const char *text;
        double real;
    } others[] = {{"NaN", NAN}, {"Infinity", INFINITY}, {"-Infinity", -INFINITY}};
    for (size_t i = 0; text && i < sl_array_size(others); i++)
        if (strcmp(text, others[i].text) == 0) {
            *ret_real = others[i].real;
            return true;
        }
    json_t *json = text ? json_loads(text, JSON_DECODE_ANY | JSON_DECODE_INT_AS_REAL, NULL) : NULL;
    bool is_real = json_is_real(json);
    if (is_real)
        *ret_real = json_real_value(json);
    json_decref(json);
    return is_real;
}

static bool to_real(const sl_value *value, double *field)
{
    if (value->kind == SL_KIND_REAL)
        *field = value->real;
    else if (value->kind == SL_KIND_INTEGER)
        *field = (double)value->integer;
    else
        return real_from_text(whole_text(value), field);
    return true;
}

static bool to_text(const sl_value *value, const char **field, sl_arena *arena)
{
    const char *text = whole_text(value);
    if (!text)
        return false;
    *field = arena ? sl_arena_strndup(arena, text, value->text.size) : text;
    return true;
}

/* Of no bytes the data is not NULL: that would be NULL. */
static bool to_bytes(const sl_value *value, sl_view *field, sl_arena *arena)
{
    if (value->kind != SL_KIND_BYTES)
        return false;
    sl_view bytes = value->text.data && value->text.size ? value->text : SL_VIEW("");
    *field = arena ? (sl_view){sl_arena_strndup(arena, bytes.data, bytes.size), bytes.size} : bytes;
    return true;
}

static bool to_boolean(const sl_value *value, bool *field)
{
    static const char *const words[] = {"f", "t", "false", "true", "0", "1"};
    if (value->kind == SL_KIND_BOOLEAN) {
        *field = value->boolean;
        return true;
    }
    if (value->kind == SL_KIND_INTEGER) {
        *field = value->integer == 1;
        return value->integer == 0 || value->integer == 1;
    }
    const char *text = whole_text(value);
    for (size_t i = 0; text && i < sl_array_size(words); i++)
        if (strcmp(text, words[i]) == 0) {
            *field = i % 2;
            return true;
        }
    return false;
}

static bool to_time(const sl_value *value, int64_t *field)
{
    if (value->kind == SL_KIND_TIME || value->kind == SL_KIND_INTEGER) {
        *field = value->integer;
        return true;
    }
    const char *text = whole_text(value);
    return text && sl_time_parse(text, field) == 0;
}

static bool to_date(const sl_value *value, sl_date *field)
{
    const char *text = whole_text(value);
    if (value->kind != SL_KIND_DATE)
        return text && sl_date_parse(text, field) == 0;
    *field = value->date;
    return true;
}

/* A bare integer is units of the column's scale; what has a scale of its own is brought to the column's. */
static bool to_decimal(const sl_value *value, uint8_t scale, sl_decimal *field)
{
    sl_decimal decimal = {.units = value->integer, .scale = scale};
    const char *text = whole_text(value);
    if (value->kind == SL_KIND_DECIMAL)
        decimal = value->decimal;
    else if (value->kind != SL_KIND_INTEGER && (!text || sl_decimal_parse(text, &decimal) < 0))
        return false;
    return sl_decimal_rescale(decimal, scale, field) == 0;
}

static bool to_uuid(const sl_value *value, sl_uuid *field)
{
    const char *text = whole_text(value);
    if (value->kind == SL_KIND_UUID) {
        *field = value->uuid;
        return true;
    }
    if (value->kind != SL_KIND_BYTES)
        return text && sl_uuid_parse(text, field) == 0;
    if (value->text.size != sizeof(*field))
        return false;
    memcpy(field, value->text.data, sizeof(*field));
    return true;
}

static bool to_enum(const sl_value *value, const sl_enum_names *names, int *field)
{
    if (value->kind == SL_KIND_ENUM) {
        *field = value->choice;
        return value->choice >= 0 && (size_t)value->choice < names->count;
    }
    const char *text = whole_text(value);
    for (size_t i = 0; text && i < names->count; i++)
        if (strcmp(text, names->names[i]) == 0) {
            *field = (int)i;
            return true;
        }
    return false;
}

static bool to_json(const sl_value *value, json_t **field)
{
    if (value->kind == SL_KIND_JSON) {
        *field = json_incref(value->json);
        return value->json != NULL;
    }
    const char *text = whole_text(value);
    json_t *json = text ? json_loadb(text, value->text.size, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL) : NULL;
    if (json)
        *field = json;
    return json;
}

static bool convert(const sl__field *field, const sl_value *value, void *member, sl_arena *arena)
{
    switch (field->kind) {
    case SL_KIND_INTEGER:
        return to_integer(value, member);
    case SL_KIND_REAL:
        return to_real(value, member);
    case SL_KIND_TEXT:
        return to_text(value, member, arena);
    case SL_KIND_BYTES:
        return to_bytes(value, member, arena);
    case SL_KIND_BOOLEAN:
        return to_boolean(value, member);
    case SL_KIND_TIME:
        return to_time(value, member);
    case SL_KIND_DATE:
        return to_date(value, member);
    case SL_KIND_DECIMAL:
        return to_decimal(value, field->scale, member);
    case SL_KIND_UUID:
        return to_uuid(value, member);
    case SL_KIND_ENUM:
        return to_enum(value, field->names, member);
    case SL_KIND_JSON:
        return to_json(value, member);
    case SL_KIND_ROW:
    case SL_KIND_LIST:
        break;
    }
    return false;
}

sl_error *sl__field_from_value(const sl__field *field, const sl_value *value, void *object, uint64_t *nulls,
                               sl_arena *arena)
{
    uint64_t bit = UINT64_C(1) << field->bit;
    void *member = (char *)object + field->offset;
    if (value->null) {
        memset(member, 0, sizes[field->kind]);
        *nulls |= bit;
        return NULL;
    }
    if (!convert(field, value, member, arena))
        return refuse(field, value);
    *nulls &= ~bit;
    return NULL;
}

/* ---- The reverse ---- */

/* At the column's scale, where that can be; else as it is. */
static sl_decimal column_decimal(const sl__field *field, sl_decimal decimal)
{
    sl_decimal rescaled;
    return sl_decimal_rescale(decimal, field->scale, &rescaled) == 0 ? rescaled : decimal;
}

void sl__value_from_field(const sl__field *field, const void *object, uint64_t nulls, sl_value *ret_value)
{
    const void *member = (const char *)object + field->offset;
    sl_value value = {.kind = field->kind, .null = nulls >> field->bit & 1};
    if (value.null) {
        *ret_value = value;
        return;
    }
    switch (field->kind) {
    case SL_KIND_INTEGER:
    case SL_KIND_TIME:
        value.integer = *(const int64_t *)member;
        break;
    case SL_KIND_REAL:
        value.real = *(const double *)member;
        break;
    case SL_KIND_TEXT:
        value.text = sl_view_of(*(const char *const *)member);
        value.null = !value.text.data;
        break;
    case SL_KIND_BYTES:
        value.text = *(const sl_view *)member;
        value.null = !value.text.data;
        break;
    case SL_KIND_BOOLEAN:
        value.boolean = *(const bool *)member;
        break;
    case SL_KIND_DATE:
        value.date = *(const sl_date *)member;
        break;
    case SL_KIND_DECIMAL:
        value.decimal = column_decimal(field, *(const sl_decimal *)member);
        break;
    case SL_KIND_UUID:
        value.uuid = *(const sl_uuid *)member;
        break;
    case SL_KIND_ENUM:
        value.choice = *(const int *)member;
        /* As the database has it: its text. A number that has none stays one, which drivers refuse. */
        if (value.choice >= 0 && (size_t)value.choice < field->names->count) {
            value.kind = SL_KIND_TEXT;
            value.text = sl_view_of(field->names->names[value.choice]);
        }
        break;
    case SL_KIND_JSON:
        value.json = *(json_t *const *)member;
        value.null = !value.json;
        break;
    case SL_KIND_ROW:
    case SL_KIND_LIST:
        value.null = true;
        break;
    }
    *ret_value = value;
}

/* ---- What can be kept ---- */

static const char *wrong_in_list(const sl_value *list)
{
    const char *wrong = NULL;
    for (size_t i = 0; !wrong && i < list->list.count; i++)
        wrong = sl__value_wrong(&list->list.items[i]);
    return wrong;
}

const char *sl__value_wrong(const sl_value *value)
{
    if (value->null)
        return NULL;
    switch (value->kind) {
    case SL_KIND_TEXT:
        if (!sl_utf8_valid(value->text.data, value->text.size))
            return "is not UTF-8";
        return value->text.size && memchr(value->text.data, '\0', value->text.size) ? "has a NUL in it"
                                                                                    : NULL;
    case SL_KIND_REAL: /* which SQLite would make NULL */
        return isnan(value->real) ? "is not a number" : NULL;
    case SL_KIND_JSON:
        return sl__json_wrong(value->json);
    case SL_KIND_LIST:
        return wrong_in_list(value);
    default:
        return NULL;
    }
}
