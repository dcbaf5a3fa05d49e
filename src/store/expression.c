/* expression.c: what is computed of columns and values; sub-selects, raw SQL, and tables under other names.
 */
#include "store/compile.h"
#include "core/loop.h"

const sl_node *sl__operation(const sl_site *site, const char *operator, const sl_node * a, sl__operand b)
{
    sl__fit_both(site, &a, &b);
    sl_node *node = sl__node_new(site, SL__NODE_OPERATOR, a->type, (const sl_node *const[]){a, b}, 2);
    node->text = operator;
    return node;
}

static sl__function_kind function_named(const sl_site *site, const char *name)
{
    static const char *const names[] = {
        [SL__LOWER] = "lower",    [SL__UPPER] = "upper",       [SL__LENGTH] = "length",
        [SL__ABSOLUTE] = "abs",   [SL__COALESCE] = "coalesce", [SL__COUNT_ALL] = "count(*)",
        [SL__COUNT_OF] = "count", [SL__SUM] = "sum",           [SL__COUNT_DISTINCT] = "count distinct",
        [SL__AVERAGE] = "avg",    [SL__MIN] = "min",           [SL__MAX] = "max",
    };
    for (unsigned i = 0; i < sl_array_size(names); i++)
        if (strcmp(names[i], name) == 0)
            return i;
    sl__die(site, "there is no SQL function \"%s\" here", name);
}

const sl_node *sl__function(const sl_site *site, const char *name, sl_kind type,
                            const sl_node *const *arguments, size_t count)
{
    sl__function_kind kind = function_named(site, name);
    const sl_node *fitted[2];
    if (kind == SL__COALESCE) {
        fitted[0] = arguments[0];
        fitted[1] = arguments[1];
        sl__fit_both(site, &fitted[0], &fitted[1]);
        arguments = fitted;
        type = fitted[0]->type;
    }
    for (size_t i = 0; i < count; i++)
        if (kind >= SL__COUNT_ALL && arguments[i]->aggregate)
            sl__senseless(site, "compute the inner one in a sub-select: sl_subselect",
                          "%s of %s: an aggregate of an aggregate", name, sl__node_name(arguments[i]));
    sl_node *node = sl__node_new(site, SL__NODE_FUNCTION, type, arguments, count);
    node->text = name;
    node->variant = (uint16_t)kind;
    node->aggregate |= kind >= SL__COUNT_ALL;
    return node;
}

const sl_node *sl__field_of(const sl_site *site, const sl_node *column, const sl_row *row)
{
    const sl_model *model = column->source->model();
    sl__field field = sl__column_field(model, (unsigned)(sl__node_column(column) - model->columns));
    sl_value value;
    sl__value_from_field(&field, row, *(const uint64_t *)((const char *)row + model->null_offset), &value);
    if (value.kind == SL_KIND_JSON)
        return sl__json_operand(value.null ? NULL : value.json);
    sl_node *node = sl__node_new(site, SL__NODE_PARAMETER, field.kind, NULL, 0);
    node->value = value;
    return sl__fit(site, column, node);
}

const sl_node *sl__subselect(const sl_site *site, const sl_selection *found, const sl_node *column)
{
    sl_node *node = sl__node_new(site, SL__NODE_SUBSELECT, column->type, &column, 1);
    sl__node_hold(node, found);
    node->aggregate = false; /* what is inside is its own */
    return node;
}

const sl_node *sl__raw(const sl_site *site, sl_kind type, const char *text, const sl_node *const *values)
{
    size_t count = 0;
    while (values[count])
        count++;
    sl_node *node = sl__node_new(site, SL__NODE_RAW, type, values, count);
    node->text = text;
    return node;
}

/* ---- Aliases ------------------------------------------------------------------------------------------- */

#define ALIAS_MAX 63 /* PostgreSQL would cut the rest off */

const void *sl__alias(const sl_site *site, sl_model_fn *model_fn, const char *name)
{
    const sl_model *model = model_fn();
    size_t count = model->column_count;
    if (!*name || strlen(name) > ALIAS_MAX)
        sl__senseless(site, "give it a short name of its own",
                      "sl_alias(%s, \"%s\"): a name has 1 to %d bytes", model->name, name, ALIAS_MAX);
    sl_source *source = sl_alloc(sizeof *source);
    sl_node *nodes = sl_alloc(count * sizeof *nodes);
    const void **columns = sl_alloc((count + 1) * sizeof *columns);
    *source = (sl_source){.model = model_fn, .alias = name, .nodes = nodes};
    columns[0] = source;
    for (size_t i = 0; i < count; i++) {
        nodes[i] = (sl_node){.kind = SL__NODE_COLUMN, .source = source, .type = model->columns[i].kind};
        columns[i + 1] = &nodes[i];
    }
    return columns;
}

bool sl__same_model(const sl_model *a, const sl_model *b)
{
    return a == b || strcmp(a->name, b->name) == 0;
}

bool sl__same_source(const sl_source *a, const sl_source *b)
{
    if (a == b)
        return true;
    if ((a->alias != NULL) != (b->alias != NULL) || (a->alias && strcmp(a->alias, b->alias) != 0))
        return false;
    return a->model == b->model || sl__same_model(a->model(), b->model());
}

bool sl__same_node(const sl_node *a, const sl_node *b)
{
    if (a == b)
        return true;
    if (a->kind != b->kind)
        return false;
    if (a->kind == SL__NODE_COLUMN)
        return a - a->source->nodes == b - b->source->nodes && sl__same_source(a->source, b->source);
    /* Two parameters are two, also with the same value: the text would not be the same. */
    if ((a->kind != SL__NODE_FUNCTION && a->kind != SL__NODE_OPERATOR) || a->variant != b->variant ||
        a->count != b->count || strcmp(a->text, b->text) != 0)
        return false;
    for (uint32_t i = 0; i < a->count; i++)
        if (!sl__same_node(a->operands[i], b->operands[i]))
            return false;
    return true;
}
