/* row_check.c: what of an object differs from what was read, and what is wrong with it. */
#include "store/answer.h"
#include "core/task.h"

#include <jansson.h>
#include <stdlib.h>

/* ---- Differences --------------------------------------------------------------------------------------- */

static bool same_text(const char *a, const char *b)
{
    return a == b || (a && b && strcmp(a, b) == 0);
}

bool sl__field_equal(const sl__field *field, const void *a, uint64_t a_nulls, const void *b, uint64_t b_nulls)
{
    bool a_null = a_nulls >> field->bit & 1, b_null = b_nulls >> field->bit & 1;
    if (a_null || b_null)
        return a_null == b_null;
    const void *x = (const char *)a + field->offset, *y = (const char *)b + field->offset;
    switch (field->kind) {
    case SL_KIND_INTEGER:
    case SL_KIND_TIME:
        return *(const int64_t *)x == *(const int64_t *)y;
    case SL_KIND_REAL:
        return memcmp(x, y, sizeof(double)) == 0;
    case SL_KIND_TEXT:
        return same_text(*(const char *const *)x, *(const char *const *)y);
    case SL_KIND_BYTES:
        return sl_view_equal(*(const sl_view *)x, *(const sl_view *)y);
    case SL_KIND_BOOLEAN:
        return *(const bool *)x == *(const bool *)y;
    case SL_KIND_DATE:
        return memcmp(x, y, sizeof(sl_date)) == 0;
    case SL_KIND_DECIMAL: {
        sl_decimal c = *(const sl_decimal *)x, d = *(const sl_decimal *)y;
        return c.scale == d.scale ? c.units == d.units
                                  : sl_decimal_rescale(c, d.scale, &c) == 0 && c.units == d.units;
    }
    case SL_KIND_UUID:
        return memcmp(x, y, sizeof(sl_uuid)) == 0;
    case SL_KIND_ENUM:
        return *(const int *)x == *(const int *)y;
    case SL_KIND_JSON:
        return json_equal(*(json_t *const *)x, *(json_t *const *)y) == 1;
    case SL_KIND_ROW:
    case SL_KIND_LIST:
        return true;
    }
    return true;
}

/* Nearly all columns are as they were, to the bit: then what they are need not be looked at. */
static inline bool same_bits(const sl_column *column, const void *a, const void *b)
{
    const char *x = (const char *)a + column->offset, *y = (const char *)b + column->offset;
    if (column->size != sizeof(uint64_t))
        return memcmp(x, y, column->size) == 0;
    uint64_t bits, others;
    memcpy(&bits, x, sizeof bits);
    memcpy(&others, y, sizeof others);
    return bits == others;
}

uint64_t sl__row_changes(const sl_row *row)
{
    const sl__model_info *info = row->model->info;
    uint64_t nulls = *sl__nulls_of(row), before = *sl__nulls_of(row->snapshot), changed = 0;
    for (unsigned i = 0; i < row->model->column_count; i++) {
        bool same = !((nulls ^ before) >> i & 1) && same_bits(&row->model->columns[i], row, row->snapshot);
        if (!same && !sl__field_equal(&info->all[i], row, nulls, row->snapshot, before))
            changed |= UINT64_C(1) << i;
    }
    /* A lazy column that was not read is NULL in both: that it was set to NULL is known otherwise. */
    changed |= info->lazy & row->loaded & ~((const sl_row *)row->snapshot)->loaded;
    if (info->version >= 0) /* it is ours to raise */
        changed &= ~(UINT64_C(1) << info->version);
    return changed;
}

static bool is_zero(const char *member, size_t size)
{
    for (size_t i = 0; i < size; i++)
        if (member[i])
            return false;
    return true;
}

void sl__row_normalise(sl_row *row)
{
    uint64_t *nulls = sl__nulls_of(row), pointers = row->model->info->pointers;
    for (uint64_t left = *nulls | pointers; left; left &= left - 1) {
        unsigned i = (unsigned)__builtin_ctzll(left);
        if (i >= row->model->column_count)
            break;
        const sl_column *column = &row->model->columns[i];
        const char *member = (const char *)row + column->offset;
        uint64_t bit = UINT64_C(1) << i;
        bool pointer = pointers & bit;
        if (pointer && !*(const void *const *)member)
            *nulls |= bit;
        else if (*nulls & bit && (pointer || !is_zero(member, column->size)))
            *nulls &= ~bit;
    }
}

/* ---- What is wrong ------------------------------------------------------------------------------------- */

static size_t characters(sl_view text)
{
    size_t count = 0;
    for (size_t i = 0; i < text.size; i++)
        count += ((unsigned char)text.data[i] & 0xc0) != 0x80;
    return count;
}

static const char *wrong_value(const sl_column *column, const sl_value *value)
{
    const char *wrong = sl__value_wrong(value);
    if (wrong)
        return wrong;
    switch (column->kind) {
    case SL_KIND_TEXT:
        if (column->max && value->text.size > column->max && characters(value->text) > column->max)
            return sl_printf("is too long: %zu characters at most", column->max);
        return NULL;
    case SL_KIND_BYTES:
        return column->max && value->text.size > column->max
                   ? sl_printf("is too long: %zu bytes at most", column->max)
                   : NULL;
    case SL_KIND_DECIMAL: {
        sl_decimal rescaled;
        return sl_decimal_rescale(value->decimal, column->scale, &rescaled) < 0
                   ? sl_printf("has more than %d digits after the point, or is too large", column->scale)
                   : NULL;
    }
    case SL_KIND_DATE: { /* what cannot be read back */
        char text[SL_DATE_SIZE];
        sl_date date;
        return sl_date_parse(sl_date_text(value->date, text), &date) < 0 ? "is no date" : NULL;
    }
    default:
        return NULL;
    }
}

const char *sl__value_check(const sl_column *column, sl_value *value)
{
    sl_kind kind = value->kind;
    const char *wrong = column->validate ? column->validate(value) : NULL;
    if (wrong)
        return wrong;
    if (value->kind != kind)
        return "was made a value of another kind by its validator";
    if (value->null)
        return column->required || column->primary_key ? "is missing" : NULL;
    return wrong_value(column, value);
}

/* An enum's number that has no name cannot be made a value. */
static bool has_name(const sl_column *column, const sl_row *row)
{
    int choice = *(const int *)((const char *)row + column->offset);
    return choice >= 0 && (size_t)choice < column->names->count;
}

/* What a validator has rewritten. It may have allocated for the task, and the object may live longer. */
static sl_error *put_rewritten(sl_row *row, unsigned i, const sl_value *before, const sl_value *value)
{
    const sl__model_info *info = row->model->info;
    if (value->kind == SL_KIND_JSON && !value->null) {
        *(json_t **)((char *)row + info->all[i].offset) = value->json;
        return NULL;
    }
    bool same_text = (value->kind == SL_KIND_TEXT || value->kind == SL_KIND_BYTES) && !value->null &&
                     value->text.data == before->text.data && value->text.size == before->text.size;
    if (same_text)
        return NULL;
    sl_transaction *t = sl_transaction_current();
    return sl__field_from_value(&info->all[i], value, row, sl__nulls_of(row), t ? t->arena : sl_task_arena());
}

static const char *wrong_column(sl_row *row, unsigned i)
{
    const sl_column *column = &row->model->columns[i];
    const sl__model_info *info = row->model->info;
    uint64_t *nulls = sl__nulls_of(row);
    bool given = (int)i == info->automatic;
    for (const sl__pending *pending = row->pending; pending; pending = pending->next)
        given |= pending->column == i;
    if (*nulls >> i & 1)
        return (info->required >> i & 1) && !given ? "is missing" : NULL;
    if (column->kind == SL_KIND_ENUM && !has_name(column, row))
        return "is no value of its kind";
    sl_value before, value;
    sl__value_from_field(&info->all[i], row, *nulls, &before);
    value = before;
    const char *wrong = sl__value_check(column, &value);
    if (!wrong && column->validate) {
        sl_error *error = put_rewritten(row, i, &before, &value);
        if (error) {
            wrong = sl_strdup(error->message);
            sl_error_unref(error);
        }
    }
    return wrong;
}

sl_errors *sl__row_check(sl_row *row, uint64_t columns)
{
    sl_errors *errors = NULL;
    columns &= row->model->info->checked | row->model->info->required;
    for (; columns; columns &= columns - 1) {
        unsigned i = (unsigned)__builtin_ctzll(columns);
        const char *wrong = wrong_column(row, i);
        if (!wrong)
            continue;
        if (!errors) {
            errors = sl_zalloc(sizeof *errors);
            errors->items = sl_alloc(row->model->column_count * sizeof *errors->items);
        }
        errors->items[errors->count++] = (sl_wrong){row->model->columns[i].name, wrong};
    }
    return errors;
}

void sl__errors_fail(const sl_site *site, const sl_row *row, const sl_errors *errors)
{
    SL_CLEANUP(sl_buffer_done) sl_buffer all = {0}, told = {0};
    for (size_t i = 0; i < errors->count; i++) {
        sl_buffer_printf(&all, "%s%s %s", i ? "\n" : "", errors->items[i].field, errors->items[i].message);
        sl_buffer_printf(&told, "%s%s %s", i ? "; " : "", errors->items[i].field, errors->items[i].message);
    }
    sl_error *error = sl__error_new(site, SL_EINVALID, "%s: %s %s", sl__row_named(row),
                                    errors->items[0].field, errors->items[0].message);
    if (errors->count > 1)
        sl_error_detail(error, all.data, all.size);
    sl_error_tell(error, "%s", told.data);
    sl__fail_error(
        site, sl_error_hint(error, "set it before the object is written; sl_validate tells it beforehand"));
}

sl_errors *sl__validate(sl_row *row)
{
    sl__model_info_of(SL_HERE, row->model);
    sl__row_normalise(row);
    return sl__row_check(row, row->snapshot ? sl__row_changes(row) : UINT64_MAX);
}

const char *sl_error_of(const sl_errors *errors, const char *field)
{
    for (size_t i = 0; errors && i < errors->count; i++)
        if (strcmp(errors->items[i].field, field) == 0)
            return errors->items[i].message;
    return NULL;
}
