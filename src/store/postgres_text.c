/* postgres_text.c: values in the text format of COPY (PostgreSQL's manual, COPY, "Text Format").
 *
 * Text and not binary, because the server turns text into whatever type the column has. Numbers are written
 * without regard to the locale. */
#include "store/postgres_inside.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static void put_escaped(sl_buffer *out, const char *data, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        char c = data[i];
        const char *escape = c == '\\'   ? "\\\\"
                             : c == '\n' ? "\\n"
                             : c == '\r' ? "\\r"
                             : c == '\t' ? "\\t"
                                         : NULL;
        if (escape)
            sl_buffer_put(out, escape, 2);
        else
            sl_buffer_putc(out, c);
    }
}

static void put_real(sl_buffer *out, double real)
{
    char text[40];
    if (!isfinite(real)) {
        sl_buffer_puts(out, isnan(real) ? "NaN" : real > 0 ? "Infinity" : "-Infinity");
        return;
    }
    snprintf(text, sizeof text, "%.17g", real);
    for (char *c = text; *c; c++)
        if (!strchr("0123456789+-einf", *c))
            *c = '.'; /* whatever the locale has */
    sl_buffer_puts(out, text);
}

static void put_bytes(sl_buffer *out, sl_view bytes)
{
    static const char digits[] = "0123456789abcdef";
    sl_buffer_puts(out, "\\\\x");
    for (size_t i = 0; i < bytes.size; i++) {
        unsigned char byte = (unsigned char)bytes.data[i];
        sl_buffer_putc(out, digits[byte >> 4]);
        sl_buffer_putc(out, digits[byte & 15]);
    }
}

static void put_time(sl_buffer *out, int64_t us)
{
    int64_t days = us / INT64_C(86400000000) - (us % INT64_C(86400000000) < 0);
    int64_t rest = us - days * INT64_C(86400000000), seconds = rest / 1000000, year;
    unsigned month, day;
    sl__pg_civil_of(days, &year, &month, &day);
    sl_buffer_printf(out, "%04lld-%02u-%02u %02d:%02d:%02d.%06d+00%s",
                     (long long)(year > 0 ? year : 1 - year), month, day, (int)(seconds / 3600),
                     (int)(seconds / 60 % 60), (int)(seconds % 60), (int)(rest % 1000000),
                     year > 0 ? "" : " BC");
}

static void put_decimal(sl_buffer *out, sl_decimal decimal)
{
    uint64_t units = decimal.units < 0 ? -(uint64_t)decimal.units : (uint64_t)decimal.units;
    sl_buffer_printf(out, "%s%llue-%d", decimal.units < 0 ? "-" : "", (unsigned long long)units,
                     decimal.scale);
}

static const char *put_json(sl_buffer *out, json_t *json)
{
    char *text = json_dumps(json, JSON_COMPACT | JSON_ENCODE_ANY);
    if (!text)
        return "is JSON that cannot be written";
    put_escaped(out, text, strlen(text));
    free(text);
    return NULL;
}

static void put_uuid(sl_buffer *out, const sl_uuid *uuid)
{
    for (size_t i = 0; i < sizeof uuid->bytes; i++)
        sl_buffer_printf(out, "%02x", uuid->bytes[i]); /* the server does not need the hyphens */
}

const char *sl__pg_put_text(sl_buffer *out, const sl_value *value)
{
    if (value->null) {
        sl_buffer_puts(out, "\\N");
        return NULL;
    }
    switch (value->kind) {
    case SL_KIND_INTEGER:
        sl_buffer_printf(out, "%lld", (long long)value->integer);
        return NULL;
    case SL_KIND_REAL:
        put_real(out, value->real);
        return NULL;
    case SL_KIND_TEXT:
        put_escaped(out, value->text.data, value->text.size);
        return NULL;
    case SL_KIND_BYTES:
        put_bytes(out, value->text);
        return NULL;
    case SL_KIND_BOOLEAN:
        sl_buffer_putc(out, value->boolean ? 't' : 'f');
        return NULL;
    case SL_KIND_TIME:
        put_time(out, value->integer);
        return NULL;
    case SL_KIND_DATE:
        if (!sl__pg_date_valid(value->date))
            return "is no date";
        sl_buffer_printf(out, "%04d-%02u-%02u", value->date.year, value->date.month, value->date.day);
        return NULL;
    case SL_KIND_DECIMAL:
        if (value->decimal.scale < 0 || value->decimal.scale > 18)
            return "is a decimal with a scale outside 0 to 18";
        put_decimal(out, value->decimal);
        return NULL;
    case SL_KIND_UUID:
        put_uuid(out, &value->uuid);
        return NULL;
    case SL_KIND_JSON:
        return put_json(out, value->json);
    case SL_KIND_ENUM:
    case SL_KIND_ROW:
    case SL_KIND_LIST:
        break;
    }
    return "is of a kind that cannot be sent";
}
