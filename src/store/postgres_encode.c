/* postgres_encode.c: values to the parameters of a statement.
 *
 * Each has its type (an Oid), so that the server never guesses, and goes in binary form, which is shorter to
 * make and to read, and cannot be cut by a NUL; but for JSON, which is text to the server too. */
#include "store/postgres_inside.h"

#include <endian.h>
#include <jansson.h>
#include <stdlib.h>

static void reserve(sl__pg_parameters *p, unsigned count)
{
    if (count <= p->capacity)
        return;
    unsigned more = count < 16 ? 16 : count * 2;
    p->types = sl_realloc(p->types, more * sizeof *p->types);
    p->values = sl_realloc(p->values, more * sizeof *p->values);
    p->lengths = sl_realloc(p->lengths, more * sizeof *p->lengths);
    p->formats = sl_realloc(p->formats, more * sizeof *p->formats);
    p->scratch = sl_realloc(p->scratch, more * sizeof *p->scratch);
    p->texts = sl_realloc(p->texts, more * sizeof *p->texts);
    p->capacity = more;
}

/* ---- Dates ------------------------------------------------------------------------------------------- */
/* Howard Hinnant, "chrono-compatible low-level date algorithms": days_from_civil and civil_from_days. */

int64_t sl__pg_days_of(int64_t year, unsigned month, unsigned day)
{
    year -= month <= 2;
    int64_t era = (year >= 0 ? year : year - 399) / 400;
    unsigned of_era = (unsigned)(year - era * 400);
    unsigned of_year = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1;
    unsigned days = of_era * 365 + of_era / 4 - of_era / 100 + of_year;
    return era * 146097 + days - 719468;
}

void sl__pg_civil_of(int64_t days, int64_t *ret_year, unsigned *ret_month, unsigned *ret_day)
{
    days += 719468;
    int64_t era = (days >= 0 ? days : days - 146096) / 146097;
    unsigned of_era = (unsigned)(days - era * 146097);
    unsigned year = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
    unsigned of_year = of_era - (365 * year + year / 4 - year / 100);
    unsigned month = (5 * of_year + 2) / 153;
    *ret_day = of_year - (153 * month + 2) / 5 + 1;
    *ret_month = month < 10 ? month + 3 : month - 9;
    *ret_year = year + era * 400 + (*ret_month <= 2);
}

bool sl__pg_date_valid(sl_date date)
{
    int64_t year;
    unsigned month, day;
    if (date.year < 1 || date.year > 9999 || date.month < 1 || date.month > 12 || date.day < 1 ||
        date.day > 31)
        return false;
    sl__pg_civil_of(sl__pg_days_of(date.year, date.month, date.day), &year, &month, &day);
    return day == date.day;
}

/* ---- Numbers ----------------------------------------------------------------------------------------- */

static void put16(char *out, int16_t value)
{
    uint16_t big = htobe16((uint16_t)value);
    memcpy(out, &big, sizeof big);
}

/* As numeric_recv reads it: how many digits to the base of 10,000, the weight of the first, the sign, the
 * number of decimal places, the digits. Groups stand at the point, so the fraction is filled up to whole
 * ones. */
static int put_numeric(char *out, sl_decimal decimal)
{
    static const unsigned fill[] = {1, 1000, 100, 10};
    unsigned __int128 left =
        decimal.units < 0 ? -(unsigned __int128)decimal.units : (unsigned __int128)decimal.units;
    left *= fill[decimal.scale % 4];
    int16_t groups[8];
    int count = 0, fractional = (decimal.scale + 3) / 4;
    for (; left; left /= 10000)
        groups[count++] = (int16_t)(left % 10000);
    put16(out, (int16_t)count);
    put16(out + 2, (int16_t)(count - fractional - 1));
    put16(out + 4, decimal.units < 0 ? 0x4000 : 0);
    put16(out + 6, (int16_t)decimal.scale);
    for (int i = 0; i < count; i++)
        put16(out + 8 + 2 * i, groups[count - 1 - i]);
    return 8 + 2 * count;
}

static int put64(char *out, uint64_t value)
{
    value = htobe64(value);
    memcpy(out, &value, sizeof value);
    return sizeof value;
}

static int put32(char *out, uint32_t value)
{
    value = htobe32(value);
    memcpy(out, &value, sizeof value);
    return sizeof value;
}

/* ---- Parameters ---------------------------------------------------------------------------------------- */

static Oid type_of(sl_kind kind)
{
    static const Oid types[] = {
        [SL_KIND_INTEGER] = SL__PG_INT8, [SL_KIND_REAL] = SL__PG_FLOAT8,
        [SL_KIND_TEXT] = SL__PG_TEXT,    [SL_KIND_BYTES] = SL__PG_BYTEA,
        [SL_KIND_BOOLEAN] = SL__PG_BOOL, [SL_KIND_TIME] = SL__PG_TIMESTAMPTZ,
        [SL_KIND_DATE] = SL__PG_DATE,    [SL_KIND_DECIMAL] = SL__PG_NUMERIC,
        [SL_KIND_UUID] = SL__PG_UUID,    [SL_KIND_ENUM] = SL__PG_TEXT,
        [SL_KIND_JSON] = SL__PG_JSONB,
    };
    return kind < sl_array_size(types) ? types[kind] : 0;
}

static Oid array_of(sl_kind kind)
{
    return kind == SL_KIND_TEXT   ? SL__PG_TEXT_ARRAY
           : kind == SL_KIND_UUID ? SL__PG_UUID_ARRAY
                                  : SL__PG_INT8_ARRAY;
}

/* One element of a list: the kinds that compile_node.c sends so. */
static size_t element_size(const sl_value *item)
{
    return item->kind == SL_KIND_TEXT   ? item->text.size
           : item->kind == SL_KIND_UUID ? sizeof item->uuid.bytes
                                        : sizeof item->integer;
}

static char *put_element(char *out, const sl_value *item, size_t size)
{
    out += put32(out, (uint32_t)size);
    if (item->kind == SL_KIND_INTEGER)
        put64(out, (uint64_t)item->integer);
    else if (size)
        memcpy(out, item->kind == SL_KIND_TEXT ? item->text.data : (const char *)item->uuid.bytes, size);
    return out + size;
}

/* As array_recv reads it: how many dimensions, whether there are NULLs, the type of the elements; how many
 * there are and the number of the first; each with its size before it. */
static const char *put_list(sl__pg_parameters *p, unsigned i, const sl_value *value)
{
    const sl_value *items = value->list.items;
    size_t size = 5 * sizeof(uint32_t);
    for (size_t k = 0; k < value->list.count; k++)
        size += sizeof(uint32_t) + element_size(&items[k]);
    if (size > INT32_MAX)
        return "is a list larger than 2 GiB";
    char *out = p->texts[i] = sl_malloc(size);
    p->values[i] = out;
    p->lengths[i] = (int)size;
    out += put32(out, 1);
    out += put32(out, 0);
    out += put32(out, type_of(items[0].kind));
    out += put32(out, (uint32_t)value->list.count);
    out += put32(out, 1);
    for (size_t k = 0; k < value->list.count; k++)
        out = put_element(out, &items[k], element_size(&items[k]));
    return NULL;
}

/* Puts a value that is not NULL. NULL, or what is wrong with it. */
static const char *put(sl__pg_parameters *p, unsigned i, const sl_value *value)
{
    char *out = p->scratch[i];
    uint64_t bits;
    int64_t since;
    p->values[i] = out;
    p->formats[i] = 1;
    switch (value->kind) {
    case SL_KIND_INTEGER:
        p->lengths[i] = put64(out, (uint64_t)value->integer);
        return NULL;
    case SL_KIND_REAL:
        memcpy(&bits, &value->real, sizeof bits);
        p->lengths[i] = put64(out, bits);
        return NULL;
    case SL_KIND_TEXT:
    case SL_KIND_BYTES:
        if (value->text.size > INT32_MAX)
            return "is larger than 2 GiB";
        p->values[i] = value->text.size ? value->text.data : "";
        p->lengths[i] = (int)value->text.size;
        return NULL;
    case SL_KIND_BOOLEAN:
        out[0] = value->boolean;
        p->lengths[i] = 1;
        return NULL;
    case SL_KIND_TIME:
        if (__builtin_sub_overflow(value->integer, SL__PG_EPOCH, &since) || since == INT64_MIN)
            return "is a time that PostgreSQL cannot have";
        p->lengths[i] = put64(out, (uint64_t)since);
        return NULL;
    case SL_KIND_DATE:
        if (!sl__pg_date_valid(value->date))
            return "is no date";
        since = sl__pg_days_of(value->date.year, value->date.month, value->date.day) - SL__PG_EPOCH_DAYS;
        p->lengths[i] = put32(out, (uint32_t)since);
        return NULL;
    case SL_KIND_DECIMAL:
        if (value->decimal.scale < 0 || value->decimal.scale > 18)
            return "is a decimal with a scale outside 0 to 18";
        p->lengths[i] = put_numeric(out, value->decimal);
        return NULL;
    case SL_KIND_UUID:
        memcpy(out, value->uuid.bytes, sizeof value->uuid.bytes);
        p->lengths[i] = sizeof value->uuid.bytes;
        return NULL;
    case SL_KIND_JSON:
        p->texts[i] = json_dumps(value->json, JSON_COMPACT | JSON_ENCODE_ANY);
        p->values[i] = p->texts[i];
        p->formats[i] = 0;
        return p->texts[i] ? NULL : "is JSON that cannot be written";
    case SL_KIND_LIST:
        return put_list(p, i, value);
    case SL_KIND_ENUM:
    case SL_KIND_ROW:
        break;
    }
    return "is of a kind that cannot be sent";
}

void sl__pg_encoded_done(sl__postgres *pool, const sl__statement *statement)
{
    for (unsigned i = 0; i < statement->count; i++) {
        free(pool->parameters.texts[i]);
        pool->parameters.texts[i] = NULL;
    }
}

sl_error *sl__pg_encode(sl__postgres *pool, const sl__statement *statement)
{
    sl__pg_parameters *p = &pool->parameters;
    if (statement->count > UINT16_MAX)
        return sl__pg_with_sql(sl__pg_error(pool, statement->site, SL_E2BIG,
                                            "a statement has %u parameters; PostgreSQL takes %d at most",
                                            statement->count, UINT16_MAX),
                               statement);
    reserve(p, statement->count);
    for (unsigned i = 0; i < statement->count; i++)
        p->texts[i] = NULL;
    for (unsigned i = 0; i < statement->count; i++) {
        const sl_value *value = &statement->values[i];
        p->types[i] =
            value->kind == SL_KIND_LIST ? array_of(value->list.items[0].kind) : type_of(value->kind);
        p->values[i] = NULL;
        p->lengths[i] = p->formats[i] = 0;
        const char *wrong = value->null ? NULL : put(p, i, value);
        if (wrong) {
            sl__pg_encoded_done(pool, statement);
            return sl__pg_with_sql(
                sl__pg_error(pool, statement->site, SL_EINVAL, "parameter %u %s", i + 1, wrong), statement);
        }
    }
    return NULL;
}
