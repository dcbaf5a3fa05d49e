/* template_filter.c: values as text, and the filters. */

#include "web/template.h"

#include "base/json.h"
#include "http/url.h"

#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <wctype.h>

/* The shortest decimal that reads back as the same number. */
static void put_real(sl_buffer *out, double real)
{
    char text[40];
    for (int digits = 15; digits <= 17; digits++) {
        snprintf(text, sizeof(text), "%.*g", digits, real);
        if (strtod(text, NULL) == real)
            break;
    }
    sl_buffer_puts(out, text);
}

bool sl__put_value(sl_buffer *out, const sl__value *value)
{
    switch (value->kind) {
    case SL__V_NULL:
        return true;
    case SL__V_FALSE:
        sl_buffer_puts(out, "false");
        return true;
    case SL__V_TRUE:
        sl_buffer_puts(out, "true");
        return true;
    case SL__V_INTEGER:
        sl_buffer_printf(out, "%lld", (long long)value->integer);
        return true;
    case SL__V_REAL:
        put_real(out, value->real);
        return true;
    case SL__V_STRING:
        sl_buffer_put(out, value->string.data, value->string.size);
        return true;
    default:
        return false;
    }
}

/* The buffer's contents as a text in the scratch arena; the buffer is emptied. */
static sl__value text_of(sl__rendering *state, sl_buffer *buffer)
{
    size_t size = buffer->size;
    const char *copy = sl_arena_strndup(state->scratch, buffer->data ? buffer->data : "", size);
    sl_buffer_done(buffer);
    return (sl__value){.kind = SL__V_STRING, .string = {copy, size}};
}

/* ---- Letters ----------------------------------------------------------------------------------------- */

/* One character of well-formed UTF-8. */
static size_t decode(const unsigned char *at, uint32_t *ret_character)
{
    size_t size = *at < 0x80 ? 1 : *at < 0xE0 ? 2 : *at < 0xF0 ? 3 : 4;
    uint32_t character = size == 1 ? *at : *at & (0x7Fu >> size);
    for (size_t i = 1; i < size; i++)
        character = character << 6 | (at[i] & 0x3F);
    *ret_character = character;
    return size;
}

static void encode(sl_buffer *out, uint32_t character)
{
    if (character < 0x80) {
        sl_buffer_putc(out, (char)character);
        return;
    }
    unsigned more = character < 0x800 ? 1 : character < 0x10000 ? 2 : 3;
    sl_buffer_putc(out, (char)((0xF0u << (3 - more)) | character >> (6 * more)));
    while (more-- > 0)
        sl_buffer_putc(out, (char)(0x80 | (character >> (6 * more) & 0x3F)));
}

static void change_case(sl_buffer *out, sl_view text, bool upper)
{
    locale_t locale = newlocale(LC_CTYPE_MASK, "C.UTF-8", (locale_t)0);
    for (size_t i = 0; i < text.size;) {
        uint32_t character;
        i += decode((const unsigned char *)text.data + i, &character);
        if (locale)
            character = (uint32_t)(upper ? towupper_l(character, locale) : towlower_l(character, locale));
        else if (character < 0x80)
            character = upper && character >= 'a' && character <= 'z'    ? character - 32
                        : !upper && character >= 'A' && character <= 'Z' ? character + 32
                                                                         : character;
        encode(out, character);
    }
    if (locale)
        freelocale(locale);
}

static size_t count_characters(sl_view text)
{
    size_t count = 0;
    for (size_t i = 0; i < text.size; i++)
        count += ((unsigned char)text.data[i] & 0xC0) != 0x80;
    return count;
}

/* ---- JSON -------------------------------------------------------------------------------------------- */

/* JSON that may stand inside <script>, and between single quotes in an attribute: no character in it means
 * anything to HTML, and U+2028 and U+2029 end no line of a script. */
static void put_safe_json(sl_buffer *out, const char *json)
{
    for (const char *c = json; *c; c++) {
        if (*c == '<' || *c == '>' || *c == '&' || *c == '\'')
            sl_buffer_printf(out, "\\u%04x", (unsigned)*c);
        else if ((unsigned char)*c == 0xE2 && (unsigned char)c[1] == 0x80 &&
                 ((unsigned char)c[2] & 0xFE) == 0xA8) {
            sl_buffer_printf(out, "\\u%04x", 0x2028 + ((unsigned char)c[2] & 1));
            c += 2;
        } else
            sl_buffer_putc(out, *c);
    }
}

static json_t *to_json(const sl__value *value)
{
    switch (value->kind) {
    case SL__V_FALSE:
        return json_false();
    case SL__V_TRUE:
        return json_true();
    case SL__V_INTEGER:
        return json_integer(value->integer);
    case SL__V_REAL:
        return json_real(value->real);
    case SL__V_STRING:
        return json_stringn(value->string.data, value->string.size);
    case SL__V_JSON:
        return json_incref(value->json);
    default:
        return json_null();
    }
}

static int filter_json(sl__rendering *state, const sl__expression *filter, sl__value *value)
{
    json_t *json = to_json(value);
    const char *wrong;
    char *dumped = sl__json_text(json, &wrong);
    json_decref(json);
    if (!dumped)
        return sl__render_wrong(state, filter->offset, NULL, "the value %s", wrong);
    sl_buffer out = {0};
    put_safe_json(&out, dumped);
    free(dumped);
    *value = text_of(state, &out);
    value->safe = true;
    return 0;
}

/* ---- Dates ------------------------------------------------------------------------------------------- */

static int filter_date(sl__rendering *state, const sl__expression *filter, const sl__value *argument,
                       sl__value *value)
{
    double seconds = value->kind == SL__V_INTEGER ? (double)value->integer : value->real;
    if (value->kind != SL__V_INTEGER && value->kind != SL__V_REAL)
        return sl__render_wrong(state, filter->offset, NULL,
                                "\"date\" takes a number, the seconds since 1970, not %s",
                                sl__value_kind_name(value));
    if (argument->kind != SL__V_STRING)
        return sl__render_wrong(state, filter->right->offset, "write date(\"%Y-%m-%d %H:%M\")",
                                "the format of a date is a text, as strftime has it");
    time_t time = (time_t)seconds;
    struct tm broken;
    if (!(fabs(seconds) < 1e11) || !localtime_r(&time, &broken))
        return sl__render_wrong(state, filter->offset, "\"date\" takes seconds, not milliseconds",
                                "%.0f is too far away for a date", seconds);
    char shown[256];
    char *format =
        sl_arena_printf(state->scratch, "%.*s ", (int)argument->string.size, argument->string.data);
    size_t size = strftime(shown, sizeof(shown), format, &broken);
    if (size == 0)
        return sl__render_wrong(state, filter->right->offset, NULL, "the date is longer than 255 bytes");
    /* The space at the end of the format tells an empty date from one that is too long. */
    *value = (sl__value){.kind = SL__V_STRING,
                         .string = {sl_arena_strndup(state->scratch, shown, size - 1), size - 1}};
    return 0;
}

/* ---- All of them ------------------------------------------------------------------------------------- */

static int filter_length(sl__rendering *state, const sl__expression *filter, sl__value *value)
{
    size_t length;
    if (value->kind == SL__V_STRING)
        length = count_characters(value->string);
    else if (value->kind == SL__V_JSON)
        length = json_is_array(value->json) ? json_array_size(value->json) : json_object_size(value->json);
    else
        return sl__render_wrong(state, filter->offset, "texts, lists and objects have a length",
                                "%s has no length", sl__value_kind_name(value));
    *value = (sl__value){.kind = SL__V_INTEGER, .integer = (json_int_t)length};
    return 0;
}

static int filter_text(sl__rendering *state, const sl__expression *filter, sl__value *value)
{
    SL_CLEANUP(sl_buffer_done) sl_buffer plain = {0};
    if (!sl__put_value(&plain, value))
        return sl__render_wrong(state, filter->offset, NULL, "this filter takes a text, not %s",
                                sl__value_kind_name(value));
    sl_buffer out = {0};
    if (filter->filter == SL__FILTER_urlencode)
        sl__url_put_query(&out, plain.data ? plain.data : "", plain.size);
    else
        change_case(&out, (sl_view){plain.data, plain.size}, filter->filter == SL__FILTER_upper);
    bool safe = value->safe && filter->filter != SL__FILTER_urlencode;
    *value = text_of(state, &out);
    value->safe = safe;
    return 0;
}

int sl__apply_filter(sl__rendering *state, const sl__expression *filter, sl__value *value)
{
    sl__value argument = {.kind = SL__V_NULL};
    switch ((sl__filter)filter->filter) {
    case SL__FILTER_raw:
        value->safe = true;
        return 0;
    case SL__FILTER_default:
        return value->kind == SL__V_MISSING || value->kind == SL__V_NULL
                   ? sl__evaluate(state, filter->right, value)
                   : 0;
    case SL__FILTER_length:
        return filter_length(state, filter, value);
    case SL__FILTER_json:
        return filter_json(state, filter, value);
    case SL__FILTER_date:
        if (sl__evaluate(state, filter->right, &argument) < 0)
            return SL_ETEMPLATE;
        return filter_date(state, filter, &argument, value);
    default:
        return filter_text(state, filter, value);
    }
}
