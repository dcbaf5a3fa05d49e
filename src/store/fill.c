/* fill.c: fields of an object that are filled from a form. */
#include "store/answer.h"
#include "core/task.h"

#include <jansson.h>
#include <math.h>

static const char *none_of(const sl_enum_names *names)
{
    SL_CLEANUP(sl_buffer_done) sl_buffer text = {0};
    sl_buffer_puts(&text, "is none of ");
    for (size_t i = 0; i < names->count; i++)
        sl_buffer_printf(&text, "%s%s", i ? ", " : "", names->names[i]);
    return sl_strdup(text.data);
}

static const char *no_value_of(const sl_column *column)
{
    switch (column->kind) {
    case SL_KIND_INTEGER:
        return "is no whole number";
    case SL_KIND_REAL:
        return "is no number";
    case SL_KIND_TIME:
        return "is no time such as 2026-11-29T12:00:00Z";
    case SL_KIND_DATE:
        return "is no date such as 2026-11-29";
    case SL_KIND_DECIMAL:
        return sl_printf("is no number with %d digits after the point at most", column->scale);
    case SL_KIND_UUID:
        return "is no UUID";
    case SL_KIND_ENUM:
        return none_of(column->names);
    case SL_KIND_BOOLEAN:
        return "is neither true nor false";
    default:
        return "is not text";
    }
}

/* A version is the library's to raise: the form says which one its page was made of. */
static const char *compare_version(const sl_row *row, unsigned i, const char *text)
{
    sl_value now;
    uint64_t number;
    sl__value_from_field(&row->model->info->all[i], row, *sl__nulls_of(row), &now);
    if (sl_view_number(sl_view_of(text), INT64_MAX, &number) < 0)
        return no_value_of(&row->model->columns[i]);
    return row->state == SL__ROW_NEW || (int64_t)number == now.integer
               ? NULL
               : "is an older one: somebody else has changed it meanwhile";
}

/* Without the spaces around it, but for text; and ".5", as browsers may send it, is 0.5. */
static const char *tidy(sl_kind kind, const char *text)
{
    static const char spaces[] = " \t\r\n";
    if (kind == SL_KIND_TEXT)
        return text;
    text += strspn(text, spaces);
    size_t size = strlen(text);
    while (size && strchr(spaces, text[size - 1]))
        size--;
    return sl_printf("%s%.*s", kind == SL_KIND_REAL && *text == '.' ? "0" : "", (int)size, text);
}

/* "Infinity" is a number to SQL, and none that anybody means. */
static bool is_endless(const sl_row *row, const sl_column *column)
{
    return column->kind == SL_KIND_REAL && !isfinite(*(const double *)((const char *)row + column->offset));
}

/* What is wrong with the text, or NULL: the field is set. */
static const char *set_field(sl_row *row, unsigned i, const char *text)
{
    const sl_column *column = &row->model->columns[i];
    if (column->version)
        return text ? compare_version(row, i, text) : NULL;
    bool boolean = column->kind == SL_KIND_BOOLEAN;
    if (!text && !boolean)
        return NULL;
    if (boolean)
        text = !text ? "false" : strcmp(text, "on") == 0 ? "true" : text;
    text = tidy(column->kind, text);
    sl_value value = {.kind = SL_KIND_TEXT, .null = !*text, .text = sl_view_of(text)};
    sl_error *error =
        sl__field_from_value(&row->model->info->all[i], &value, row, sl__nulls_of(row), /* arena= */ NULL);
    row->loaded |= UINT64_C(1) << i;
    if (!error && !is_endless(row, column))
        return NULL;
    sl_error_unref(error);
    return no_value_of(column);
}

static void put_back(sl_row *row, const sl_row *before, uint64_t columns)
{
    uint64_t *nulls = sl__nulls_of(row);
    *nulls = (*nulls & ~columns) | (*sl__nulls_of(before) & columns);
    row->loaded = before->loaded;
    for (; columns; columns &= columns - 1) {
        const sl_column *column = &row->model->columns[__builtin_ctzll(columns)];
        memcpy((char *)row + column->offset, (const char *)before + column->offset, column->size);
    }
}

/* Those of texts that are no values, and those of the checks, in the order of the columns. */
static sl_errors *all_errors(const sl_model *model, const char *const *wrong, const sl_errors *checked)
{
    sl_errors *all = sl_zalloc(sizeof *all);
    all->items = sl_alloc(model->column_count * sizeof *all->items);
    for (unsigned i = 0; i < model->column_count; i++) {
        const char *name = model->columns[i].name,
                   *message = wrong[i] ? wrong[i] : sl_error_of(checked, name);
        if (message)
            all->items[all->count++] = (sl_wrong){name, message};
    }
    return all->count ? all : NULL;
}

sl_errors *sl__fill(const sl_site *site, sl_row *row, const sl__filled *fields, size_t count)
{
    const sl_model *model = row->model;
    const char *wrong[SL_COLUMNS_MAX] = {NULL};
    uint64_t named = 0, good = 0;
    const sl__model_info *info = sl__model_info_of(site, row->model);
    sl__row_normalise(row);
    sl_row *before = sl_alloc(model->size);
    memcpy(before, row, model->size);
    for (size_t i = 0; i < count; i++) {
        unsigned column = sl__column_of(fields[i].column);
        wrong[column] = set_field(row, column, fields[i].text);
        named |= UINT64_C(1) << column;
        good |= wrong[column] ? 0 : UINT64_C(1) << column;
    }
    if (row->state == SL__ROW_STORED) /* what was neither read nor set stays as it is stored */
        good &= ~(info->lazy & ~row->loaded);
    sl_errors *errors = all_errors(model, wrong, sl__row_check(row, good));
    if (errors)
        put_back(row, before, named);
    return errors;
}

json_t *sl_errors_json(const sl_errors *errors)
{
    json_t *json = json_object();
    for (size_t i = 0; errors && i < errors->count; i++)
        json_object_set_new(json, errors->items[i].field, json_string(errors->items[i].message));
    return json;
}
