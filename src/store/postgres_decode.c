/* postgres_decode.c: what the server sends, in binary form, into the fields of an object.
 *
 * The type that the server gave a column and the kind of the field must fit; what would lose something (a
 * fraction, an infinite time, a number that is too large) is an error that names both. The forms are those of
 * the types' send functions in PostgreSQL's src/backend/utils/adt. */
#include "store/postgres_inside.h"

#include <endian.h>
#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

typedef enum outcome {
    FITS,
    OTHER_TYPE, /* the column's type cannot become the field's kind */
    LOST,       /* it could, but not this value */
    MALFORMED,
    UNKNOWN_CHOICE,
} outcome;

static uint64_t get64(const char *data)
{
    uint64_t value;
    memcpy(&value, data, sizeof value);
    return be64toh(value);
}

static uint32_t get32(const char *data)
{
    uint32_t value;
    memcpy(&value, data, sizeof value);
    return be32toh(value);
}

static uint16_t get16(const char *data)
{
    uint16_t value;
    memcpy(&value, data, sizeof value);
    return be16toh(value);
}

/* ---- numeric ----------------------------------------------------------------------------------------- */

typedef struct numeric {
    int count, weight, sign;
    const char *digits; /* to the base of 10,000, two bytes each */
} numeric;

#define NEGATIVE 0x4000

static outcome numeric_of(const sl__pg_cell *cell, numeric *n)
{
    if (cell->size < 8)
        return MALFORMED;
    *n = (numeric){get16(cell->data), (int16_t)get16(cell->data + 2), get16(cell->data + 4), cell->data + 8};
    return cell->size == 8 + 2 * n->count ? FITS : MALFORMED;
}

/* In units of 10^-scale. */
static outcome numeric_units(const sl__pg_cell *cell, int scale, int64_t *ret_units)
{
    static const int powers[] = {1, 10, 100, 1000};
    numeric n;
    outcome o = numeric_of(cell, &n);
    if (o != FITS)
        return o;
    if (n.sign != 0 && n.sign != NEGATIVE)
        return LOST; /* NaN, infinity */
    __int128 sum = 0;
    for (int i = 0; i < n.count; i++) {
        int digit = get16(n.digits + 2 * i), exponent = 4 * (n.weight - i) + scale;
        if (digit == 0)
            continue;
        if (exponent > 19 || (exponent < 0 && (exponent <= -4 || digit % powers[-exponent])))
            return LOST;
        __int128 part = exponent < 0 ? digit / powers[-exponent] : digit;
        for (int e = 0; e < exponent; e++)
            part *= 10;
        sum += part;
    }
    if (n.sign == NEGATIVE)
        sum = -sum;
    if (sum > INT64_MAX || sum < INT64_MIN)
        return LOST;
    *ret_units = (int64_t)sum;
    return FITS;
}

/* By way of text without a decimal point, which no locale changes, so that it is rounded right. */
static outcome numeric_real(const sl__pg_cell *cell, double *ret_real)
{
    numeric n;
    outcome o = numeric_of(cell, &n);
    if (o != FITS)
        return o;
    if (n.sign == 0xC000)
        *ret_real = NAN;
    else if (n.sign == 0xD000 || n.sign == 0xF000)
        *ret_real = n.sign == 0xD000 ? INFINITY : -INFINITY;
    if (n.sign & 0x8000)
        return FITS;
    sl_buffer text = {0};
    sl_buffer_puts(&text, n.sign ? "-0" : "0");
    for (int i = 0; i < n.count; i++)
        sl_buffer_printf(&text, "%04d", get16(n.digits + 2 * i));
    sl_buffer_printf(&text, "e%d", 4 * (n.weight - n.count + 1));
    *ret_real = strtod(text.data, NULL);
    sl_buffer_done(&text);
    return isinf(*ret_real) ? LOST : FITS;
}

/* ---- Kinds ------------------------------------------------------------------------------------------- */

static int size_of_integer(Oid type)
{
    return type == SL__PG_INT8                         ? 8
           : type == SL__PG_INT4 || type == SL__PG_OID ? 4
           : type == SL__PG_INT2                       ? 2
                                                       : 0;
}

static outcome decode_integer(const sl__pg_cell *cell, int64_t *ret_integer)
{
    if (cell->type == SL__PG_NUMERIC)
        return numeric_units(cell, 0, ret_integer);
    int size = size_of_integer(cell->type);
    if (size == 0)
        return OTHER_TYPE;
    if (cell->size != size)
        return MALFORMED;
    if (size == 8)
        *ret_integer = (int64_t)get64(cell->data);
    else if (size == 2)
        *ret_integer = (int16_t)get16(cell->data);
    else if (cell->type == SL__PG_OID)
        *ret_integer = get32(cell->data);
    else
        *ret_integer = (int32_t)get32(cell->data);
    return FITS;
}

static outcome decode_real(const sl__pg_cell *cell, double *ret_real)
{
    int64_t integer = 0;
    outcome o = OTHER_TYPE;
    if (cell->type == SL__PG_FLOAT8) {
        uint64_t bits = cell->size == 8 ? get64(cell->data) : 0;
        memcpy(ret_real, &bits, sizeof *ret_real);
        return cell->size == 8 ? FITS : MALFORMED;
    }
    if (cell->type == SL__PG_FLOAT4) {
        uint32_t bits = cell->size == 4 ? get32(cell->data) : 0;
        float real;
        memcpy(&real, &bits, sizeof real);
        *ret_real = real;
        return cell->size == 4 ? FITS : MALFORMED;
    }
    if (cell->type == SL__PG_NUMERIC)
        return numeric_real(cell, ret_real);
    if ((o = decode_integer(cell, &integer)) == FITS)
        *ret_real = (double)integer;
    return o;
}

/* Types that users make (enumerations, citext) are text where they look so: binary forms of others have NULs.
 */
static bool is_text(const sl__pg_cell *cell)
{
    switch (cell->type) {
    case SL__PG_TEXT:
    case SL__PG_VARCHAR:
    case SL__PG_BPCHAR:
    case SL__PG_NAME:
    case SL__PG_CHAR:
    case SL__PG_UNKNOWN:
    case SL__PG_JSON:
        return true;
    default:
        return cell->type >= SL__PG_OURS && !memchr(cell->data, 0, (size_t)cell->size) &&
               sl_utf8_valid(cell->data, (size_t)cell->size);
    }
}

/* The text of a cell: as it is, or after the number of its version. */
static outcome decode_text(const sl__pg_cell *cell, sl_view *ret_text)
{
    if (cell->type == SL__PG_JSONB) {
        if (cell->size < 1 || cell->data[0] != 1)
            return MALFORMED;
        *ret_text = (sl_view){cell->data + 1, (size_t)cell->size - 1};
        return FITS;
    }
    if (!is_text(cell))
        return OTHER_TYPE;
    *ret_text = (sl_view){cell->data, (size_t)cell->size};
    return FITS;
}

static outcome decode_time(const sl__pg_cell *cell, int64_t *ret_us)
{
    if (cell->type != SL__PG_TIMESTAMPTZ && cell->type != SL__PG_TIMESTAMP)
        return OTHER_TYPE;
    if (cell->size != 8)
        return MALFORMED;
    int64_t since = (int64_t)get64(cell->data);
    if (since == INT64_MIN || since == INT64_MAX)
        return LOST; /* infinity */
    return __builtin_add_overflow(since, SL__PG_EPOCH, ret_us) ? LOST : FITS;
}

static outcome decode_date(const sl__pg_cell *cell, sl_date *ret_date)
{
    int64_t year;
    unsigned month, day;
    if (cell->type != SL__PG_DATE)
        return OTHER_TYPE;
    if (cell->size != 4)
        return MALFORMED;
    int32_t since = (int32_t)get32(cell->data);
    sl__pg_civil_of((int64_t)since + SL__PG_EPOCH_DAYS, &year, &month, &day);
    if (since == INT32_MIN || since == INT32_MAX || year < 1 || year > 9999)
        return LOST;
    *ret_date = (sl_date){(int16_t)year, (uint8_t)month, (uint8_t)day};
    return FITS;
}

static outcome decode_decimal(const sl__pg_cell *cell, uint8_t scale, sl_decimal *ret_decimal)
{
    int64_t units = 0;
    outcome o;
    if (cell->type == SL__PG_NUMERIC) {
        o = numeric_units(cell, scale, &units);
    } else {
        o = decode_integer(cell, &units);
        for (int i = 0; o == FITS && i < scale; i++)
            o = __builtin_mul_overflow(units, INT64_C(10), &units) ? LOST : FITS;
    }
    *ret_decimal = (sl_decimal){units, scale};
    return o;
}

static outcome decode_choice(const sl__pg_cell *cell, const sl_enum_names *names, int *ret_choice)
{
    sl_view text = {0};
    outcome o = decode_text(cell, &text);
    for (size_t i = 0; o == FITS && i < names->count; i++)
        if (sl_view_equal(text, sl_view_of(names->names[i]))) {
            *ret_choice = (int)i;
            return FITS;
        }
    return o == FITS ? UNKNOWN_CHOICE : o;
}

/* Whether a whole number is beyond 64 bits. */
static bool is_long(const char *number, size_t size)
{
    if (size < 19 || strcspn(number, ".eE") < size)
        return false;
    errno = 0;
    (void)strtoll(number, NULL, 10);
    return errno == ERANGE;
}

/* jsonb gives 1e20 back as a whole number, which is beyond 64 bits. It becomes a real again, and the others
 * stay what they are. */
static json_t *load_long_numbers(sl_view text, size_t flags)
{
    sl_buffer out = {0};
    bool quoted = false;
    for (size_t i = 0, size; i < text.size; i += size) {
        const char *at = text.data + i;
        size = quoted && *at == '\\' ? 2 : 1;
        if (*at == '"')
            quoted = !quoted;
        else if (!quoted && (*at == '-' || (*at >= '0' && *at <= '9')))
            size = strspn(at, "+-.0123456789eE");
        sl_buffer_put(&out, at, size);
        if (!quoted && is_long(at, size))
            sl_buffer_puts(&out, ".0");
    }
    json_t *json = json_loadb(out.data, out.size, flags, NULL);
    sl_buffer_done(&out);
    return json;
}

static outcome decode_json(const sl__pg_cell *cell, json_t **ret_json)
{
    sl_view text = {0};
    if (cell->type != SL__PG_JSON && cell->type != SL__PG_JSONB)
        return OTHER_TYPE;
    outcome o = decode_text(cell, &text);
    if (o != FITS)
        return o;
    size_t flags = JSON_DECODE_ANY | JSON_ALLOW_NUL;
    *ret_json = json_loadb(text.data, text.size, flags, NULL);
    if (!*ret_json)
        *ret_json = load_long_numbers(text, flags);
    return *ret_json ? FITS : LOST; /* a number beyond what ours can hold */
}

/* ---- Errors ------------------------------------------------------------------------------------------ */

static const char *type_name(Oid type, char out[static 40])
{
    static const struct {
        Oid type;
        const char *name;
    } names[] = {
        {SL__PG_BOOL, "boolean"},
        {SL__PG_BYTEA, "bytea"},
        {SL__PG_CHAR, "\"char\""},
        {SL__PG_NAME, "name"},
        {SL__PG_INT8, "bigint"},
        {SL__PG_INT2, "smallint"},
        {SL__PG_INT4, "integer"},
        {SL__PG_TEXT, "text"},
        {SL__PG_OID, "oid"},
        {SL__PG_JSON, "json"},
        {SL__PG_FLOAT4, "real"},
        {SL__PG_FLOAT8, "double precision"},
        {SL__PG_UNKNOWN, "unknown"},
        {SL__PG_BPCHAR, "character"},
        {SL__PG_VARCHAR, "character varying"},
        {SL__PG_DATE, "date"},
        {SL__PG_TIMESTAMP, "timestamp"},
        {SL__PG_TIMESTAMPTZ, "timestamptz"},
        {SL__PG_NUMERIC, "numeric"},
        {SL__PG_UUID, "uuid"},
        {SL__PG_JSONB, "jsonb"},
        {1186, "interval"},
        {1083, "time"},
        {869, "inet"},
        {142, "xml"},
        {1009, "text[]"},
        {1016, "bigint[]"},
        {1007, "integer[]"},
        {790, "money"},
        {2278, "void"},
    };
    for (size_t i = 0; i < sl_array_size(names); i++)
        if (names[i].type == type)
            return names[i].name;
    snprintf(out, 40, "number %u in pg_type", type);
    return out;
}

static const char *kind_name(sl_kind kind)
{
    static const char *const names[] = {"integer", "real",    "text", "bytes", "boolean", "time",
                                        "date",    "decimal", "uuid", "enum",  "json",    "row"};
    return kind < sl_array_size(names) ? names[kind] : "?";
}

static sl_error *error_of(const sl__postgres *pool, const sl__pg_cell *cell, const sl__field *field,
                          outcome o)
{
    char number[40];
    const char *type = type_name(cell->type, number), *name = field->name ? field->name : "?";
    const char *kind = kind_name(field->kind);
    if (o == OTHER_TYPE)
        return sl_error_hint(
            sl__pg_error(pool, NULL, SL_EDATABASE,
                         "the column %s is of type %s in the database, which cannot be read as %s", name,
                         type, kind),
            "cast it in the SQL (%s::…), or change the model or the table: silver db schema", name);
    if (o == UNKNOWN_CHOICE)
        return sl_error_hint(sl__pg_error(pool, NULL, SL_EDATABASE,
                                          "the column %s has the value \"%.*s\", which the enum %s has not",
                                          name, cell->size > 80 ? 80 : (int)cell->size, cell->data,
                                          field->names->name),
                             "add it to the enum, or change the rows that have it");
    if (o == MALFORMED)
        return sl__pg_error(pool, NULL, SL_EDATABASE,
                            "the column %s came as a %s of %d bytes, which is malformed", name, type,
                            cell->size);
    if (field->kind == SL_KIND_DECIMAL)
        return sl__pg_error(
            pool, NULL, SL_EDATABASE,
            "the column %s has a %s that does not fit into a decimal with %d digits after the point", name,
            type, field->scale);
    return sl__pg_error(pool, NULL, SL_EDATABASE, "the column %s has a %s that does not fit into the kind %s",
                        name, type, kind);
}

/* ---- Fields -------------------------------------------------------------------------------------------- */

typedef union any {
    int64_t integer;
    double real;
    const char *text;
    sl_view bytes;
    bool boolean;
    sl_date date;
    sl_decimal decimal;
    sl_uuid uuid;
    int choice;
    json_t *json;
} any;

static size_t size_of(sl_kind kind)
{
    static const size_t sizes[] = {
        [SL_KIND_INTEGER] = sizeof(int64_t), [SL_KIND_REAL] = sizeof(double),
        [SL_KIND_TEXT] = sizeof(char *),     [SL_KIND_BYTES] = sizeof(sl_view),
        [SL_KIND_BOOLEAN] = sizeof(bool),    [SL_KIND_TIME] = sizeof(int64_t),
        [SL_KIND_DATE] = sizeof(sl_date),    [SL_KIND_DECIMAL] = sizeof(sl_decimal),
        [SL_KIND_UUID] = sizeof(sl_uuid),    [SL_KIND_ENUM] = sizeof(int),
        [SL_KIND_JSON] = sizeof(json_t *),
    };
    return kind < sl_array_size(sizes) ? sizes[kind] : 0;
}

static outcome decode_bytes(const sl__pg_cell *cell, sl_view *ret_bytes)
{
    if (cell->type != SL__PG_BYTEA)
        return decode_text(cell, ret_bytes);
    *ret_bytes = (sl_view){cell->data, (size_t)cell->size};
    return FITS;
}

static outcome decode(const sl__pg_cell *cell, const sl__field *field, any *value, sl_arena *arena)
{
    sl_view text = {0};
    outcome o;
    switch (field->kind) {
    case SL_KIND_INTEGER:
        return decode_integer(cell, &value->integer);
    case SL_KIND_REAL:
        return decode_real(cell, &value->real);
    case SL_KIND_TEXT:
        if ((o = decode_text(cell, &text)) == FITS)
            value->text = arena ? sl_arena_strndup(arena, text.data, text.size) : text.data;
        return o;
    case SL_KIND_BYTES:
        if ((o = decode_bytes(cell, &text)) == FITS)
            value->bytes = arena ? (sl_view){sl_arena_strndup(arena, text.data, text.size), text.size} : text;
        return o;
    case SL_KIND_BOOLEAN:
        value->boolean = cell->size == 1 && cell->data[0];
        return cell->type != SL__PG_BOOL ? OTHER_TYPE : cell->size == 1 ? FITS : MALFORMED;
    case SL_KIND_TIME:
        return decode_time(cell, &value->integer);
    case SL_KIND_DATE:
        return decode_date(cell, &value->date);
    case SL_KIND_DECIMAL:
        return decode_decimal(cell, field->scale, &value->decimal);
    case SL_KIND_UUID:
        if (cell->type == SL__PG_UUID && cell->size == 16)
            memcpy(value->uuid.bytes, cell->data, 16);
        return cell->type != SL__PG_UUID ? OTHER_TYPE : cell->size == 16 ? FITS : MALFORMED;
    case SL_KIND_ENUM:
        return decode_choice(cell, field->names, &value->choice);
    case SL_KIND_JSON:
        return decode_json(cell, &value->json);
    case SL_KIND_ROW:
    case SL_KIND_LIST:
        break;
    }
    return OTHER_TYPE;
}

sl_error *sl__pg_decode(sl__postgres *pool, const sl__pg_cell *cell, const sl__field *field, void *object,
                        sl_arena *arena)
{
    any value;
    memset(&value, 0, sizeof value);
    outcome o = cell->size < 0 ? FITS : decode(cell, field, &value, arena);
    if (o != FITS)
        return error_of(pool, cell, field, o);
    memcpy((char *)object + field->offset, &value, size_of(field->kind));
    return NULL;
}
