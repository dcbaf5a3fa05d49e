/* value.c: values and objects as JSON, and back. */
#include "ours.h"

#include <math.h>
#include <stdlib.h>

/* ---- Fields ---- */

static uint64_t *nulls_of(const sl_row *row)
{
    return (uint64_t *)((char *)row + row->model->null_offset);
}

static void *member_of(const sl_row *row, unsigned column)
{
    return (char *)row + row->model->columns[column].offset;
}

bool field_is_null(const sl_row *row, unsigned column)
{
    return *nulls_of(row) >> column & 1;
}

static int digit(char c)
{
    return c <= '9' ? c - '0' : c - 'a' + 10;
}

static sl_view bytes_of(const char *hex)
{
    size_t size = strlen(hex) / 2;
    char *bytes = sl_alloc(size + 1);
    for (size_t i = 0; i < size; i++)
        bytes[i] = (char)(digit(hex[2 * i]) << 4 | digit(hex[2 * i + 1]));
    return (sl_view){bytes, size};
}

static int choice_of(const char *name)
{
    for (int i = 0; i < (int)colour_names->count; i++)
        if (strcmp(colour_names->names[i], name) == 0)
            return i;
    die("there is no colour %s", name);
}

static sl_date date_of(const char *text)
{
    sl_date date;
    if (sl_date_parse(text, &date) < 0)
        die("%s is no date", text);
    return date;
}

void set_field(sl_row *row, unsigned column, const json_t *value)
{
    void *member = member_of(row, column);
    uint64_t bit = UINT64_C(1) << column;
    row->loaded |= bit; /* as sl_set and sl_set_null do */
    if (json_is_null(value)) {
        memset(member, 0, row->model->columns[column].size);
        *nulls_of(row) |= bit;
        return;
    }
    *nulls_of(row) &= ~bit;
    switch (row->model->columns[column].kind) {
    case SL_KIND_INTEGER:
        *(int64_t *)member = json_integer_value(value);
        break;
    case SL_KIND_REAL:
        *(double *)member = json_number_value(value);
        break;
    case SL_KIND_TEXT:
        *(const char **)member = text_of(value);
        break;
    case SL_KIND_BYTES:
        *(sl_view *)member = bytes_of(json_string_value(value));
        break;
    case SL_KIND_BOOLEAN:
        *(bool *)member = json_is_true(value);
        break;
    case SL_KIND_DATE:
        *(sl_date *)member = date_of(json_string_value(value));
        break;
    case SL_KIND_ENUM:
        *(enum colour *)member = (enum colour)choice_of(json_string_value(value));
        break;
    default:
        die("a column of this kind cannot be set");
    }
}

/* ---- Operands ---- */

sl_kind kind_named(const char *name)
{
    static const struct {
        const char *name;
        sl_kind kind;
    } kinds[] = {{"integer", SL_KIND_INTEGER}, {"real", SL_KIND_REAL},       {"text", SL_KIND_TEXT},
                 {"bytes", SL_KIND_BYTES},     {"boolean", SL_KIND_BOOLEAN}, {"date", SL_KIND_DATE},
                 {"enum", SL_KIND_ENUM}};
    for (size_t i = 0; i < sl_array_size(kinds); i++)
        if (strcmp(kinds[i].name, name) == 0)
            return kinds[i].kind;
    die("there is no kind %s", name);
}

sl__operand operand_of(const char *kind, const json_t *value)
{
    if (json_is_null(value))
        return sl__null_operand(NULL);
    switch (kind_named(kind)) {
    case SL_KIND_INTEGER:
        return sl__integer_operand(json_integer_value(value));
    case SL_KIND_REAL:
        return sl__real_operand(json_number_value(value));
    case SL_KIND_TEXT:
        return sl__text_operand(text_of(value));
    case SL_KIND_BYTES:
        return sl__bytes_operand(bytes_of(json_string_value(value)));
    case SL_KIND_BOOLEAN:
        return sl__boolean_operand(json_is_true(value));
    case SL_KIND_DATE:
        return sl__date_operand(date_of(json_string_value(value)));
    default:
        return sl__enum_operand(choice_of(json_string_value(value)));
    }
}

/* ---- To JSON ---- */

/* JSON has no infinite numbers. */
static json_t *real_to_json(double real)
{
    if (isnan(real))
        return json_string("nan");
    if (isinf(real))
        return json_string(real < 0 ? "-inf" : "inf");
    return json_real(real);
}

static json_t *bytes_to_json(sl_view bytes)
{
    static const char digits[] = "0123456789abcdef";
    char *hex = sl_malloc(2 * bytes.size + 1);
    for (size_t i = 0; i < bytes.size; i++) {
        hex[2 * i] = digits[(unsigned char)bytes.data[i] >> 4];
        hex[2 * i + 1] = digits[bytes.data[i] & 15];
    }
    json_t *json = json_stringn(hex, 2 * bytes.size);
    free(hex);
    return json;
}

json_t *value_to_json(const sl_value *value)
{
    char text[SL_DATE_SIZE];
    if (value->null)
        return json_null();
    switch (value->kind) {
    case SL_KIND_INTEGER:
        return json_integer(value->integer);
    case SL_KIND_REAL:
        return real_to_json(value->real);
    case SL_KIND_TEXT:
    case SL_KIND_ENUM: /* from the database: its text */
        return json_stringn(value->text.data, value->text.size);
    case SL_KIND_BYTES:
        return bytes_to_json(value->text);
    case SL_KIND_BOOLEAN:
        return json_boolean(value->boolean);
    case SL_KIND_DATE:
        return json_string(sl_date_text(value->date, text));
    default:
        die("a value of kind %d", value->kind);
    }
}

json_t *field_to_json(const sl_row *row, unsigned column)
{
    const sl_column *c = &row->model->columns[column];
    const void *member = member_of(row, column);
    char text[SL_DATE_SIZE];
    if (field_is_null(row, column))
        return json_null();
    switch (c->kind) {
    case SL_KIND_INTEGER:
        return json_integer(*(const int64_t *)member);
    case SL_KIND_REAL:
        return real_to_json(*(const double *)member);
    case SL_KIND_TEXT:
        return json_string(*(const char *const *)member);
    case SL_KIND_BYTES:
        return bytes_to_json(*(const sl_view *)member);
    case SL_KIND_BOOLEAN:
        return json_boolean(*(const bool *)member);
    case SL_KIND_DATE:
        return json_string(sl_date_text(*(const sl_date *)member, text));
    case SL_KIND_ENUM:
        return json_string(colour_names->names[*(const enum colour *)member]);
    default:
        die("%s has a column of kind %d", row->model->name, c->kind);
    }
}

json_t *row_to_json(const sl_row *row, bool lazy)
{
    json_t *json = json_object();
    const void *columns = model_named(row->model->name)->columns;
    for (unsigned i = 0; i < row->model->column_count; i++) {
        const sl_column *c = &row->model->columns[i];
        if (c->lazy && !lazy)
            continue;
        if (c->lazy)
            sl__lazy(SL_HERE, row, node_of(columns, i));
        json_object_set_new(json, c->name, field_to_json(row, i));
    }
    return json;
}

/* ---- What the library made JSON of ---- */

static int sextet(char c)
{
    static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    return (int)(strchr(alphabet, c) - alphabet);
}

static json_t *bytes_of_base64(const char *text)
{
    char *bytes = sl_malloc(strlen(text) + 1);
    unsigned collected = 0, bits = 0;
    size_t size = 0;
    for (; *text && *text != '='; text++) {
        collected = collected << 6 | (unsigned)sextet(*text);
        bits += 6;
        if (bits >= 8)
            bytes[size++] = (char)(collected >> (bits -= 8));
    }
    json_t *json = bytes_to_json((sl_view){bytes, size});
    free(bytes);
    return json;
}

json_t *foreign_row(const sl_model *m, json_t *row)
{
    json_t *own = json_object();
    for (unsigned i = 0; i < m->column_count; i++) {
        const sl_column *c = &m->columns[i];
        json_t *value = json_object_get(row, c->name);
        if (!value)
            continue; /* lazy */
        if (c->kind == SL_KIND_BYTES && json_is_string(value))
            json_object_set_new(own, c->name, bytes_of_base64(json_string_value(value)));
        else if (c->kind == SL_KIND_ROW && json_is_object(value))
            json_object_set_new(own, c->name, foreign_row(c->refers(), value));
        else
            json_object_set(own, c->name, value);
    }
    return own;
}

/* ---- Keys ---- */

size_t key_parts(const sl_model *m, const json_t *values, sl_key_part *ret_parts)
{
    size_t count = 0;
    for (unsigned i = 0; i < m->column_count; i++) {
        if (!m->columns[i].primary_key)
            continue;
        const json_t *value = json_array_get(values, count);
        ret_parts[count++] =
            json_is_string(value) ? sl__key_text(text_of(value)) : sl__key_integer(json_integer_value(value));
    }
    return count;
}

size_t own_key(const sl_row *row, sl_key_part *ret_parts)
{
    size_t count = 0;
    for (unsigned i = 0; i < row->model->column_count; i++)
        if (row->model->columns[i].primary_key) {
            const void *member = member_of(row, i);
            ret_parts[count++] = row->model->columns[i].kind == SL_KIND_TEXT
                                     ? sl__key_text(*(const char *const *)member)
                                     : sl__key_integer(*(const int64_t *)member);
        }
    return count;
}
