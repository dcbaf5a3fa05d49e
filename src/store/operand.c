/* operand.c: values as nodes, made to fit what they stand beside.
 *
 * A value in a query becomes a parameter. Most are sent as they are; two kinds mean something only beside a
 * column: the constant of an enum, which the database has as text, and a decimal, which has the column's
 * scale. */
#include "store/compile.h"
#include "core/loop.h"

#include <jansson.h>

sl_node *sl__node_new(const sl_site *site, sl__node_kind kind, sl_kind type, const sl_node *const *operands,
                      size_t count)
{
    if (__builtin_expect(!sl_task_current(), 0))
        sl__die(site, "queries are made in tasks only: start one with sl_spawn");
    sl_node *node = sl_arena_alloc(sl_task_arena(), sizeof *node + count * sizeof *operands);
    const sl_node **copy = (const sl_node **)(node + 1);
    *node = (sl_node){.kind = kind, .type = type, .count = (uint32_t)count, .operands = copy, .site = site};
    for (size_t i = 0; i < count; i++) {
        copy[i] = operands[i];
        node->aggregate |= operands[i]->aggregate;
        sl__node_deepen(node, operands[i]->depth + 1u);
    }
    return node;
}

/* What goes through an expression calls itself for each level, and tasks have small stacks. */
void sl__node_deepen(sl_node *node, unsigned depth)
{
    if (depth > SL__DEPTH_MAX)
        sl__senseless(node->site,
                      "make it of parts that stand beside each other: sl_in, sl_in_array, sl_or(…)",
                      "an expression of more than %d levels", SL__DEPTH_MAX);
    if (depth > node->depth)
        node->depth = (uint8_t)depth;
}

void sl__node_hold(sl_node *node, const sl_selection *selection)
{
    node->selection = selection;
    sl__node_deepen(node, selection->depth + SL__SELECTION_LEVELS);
}

void sl__senseless(const sl_site *site, const char *hint, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    sl_error *error = sl__error_newv(site, SL_EINVAL, format, arguments);
    va_end(arguments);
    sl__fail_error(site, sl_error_hint(error, "%s", hint));
}

/* ---- Values -------------------------------------------------------------------------------------------- */

static sl_node *parameter(sl_kind kind)
{
    sl_node *node = sl__node_new(NULL, SL__NODE_PARAMETER, kind, NULL, 0);
    node->value.kind = kind;
    return node;
}

sl__operand sl__integer_operand(int64_t value)
{
    sl_node *node = parameter(SL_KIND_INTEGER);
    node->value.integer = value;
    return node;
}

sl__operand sl__real_operand(double value)
{
    sl_node *node = parameter(SL_KIND_REAL);
    node->value.real = value;
    return node;
}

sl__operand sl__text_operand(const char *value)
{
    sl_node *node = parameter(SL_KIND_TEXT);
    node->value.text = sl_view_of(value);
    node->value.null = !value;
    return node;
}

sl__operand sl__bytes_operand(sl_view value)
{
    sl_node *node = parameter(SL_KIND_BYTES);
    node->value.text = value;
    node->value.null = !value.data;
    return node;
}

sl__operand sl__boolean_operand(bool value)
{
    sl_node *node = parameter(SL_KIND_BOOLEAN);
    node->value.boolean = value;
    return node;
}

sl__operand sl__time_operand(int64_t value)
{
    sl_node *node = parameter(SL_KIND_TIME);
    node->value.integer = value;
    return node;
}

sl__operand sl__date_operand(sl_date value)
{
    sl_node *node = parameter(SL_KIND_DATE);
    node->value.date = value;
    return node;
}

sl__operand sl__decimal_operand(sl_decimal value)
{
    sl_node *node = parameter(SL_KIND_DECIMAL);
    node->value.decimal = value;
    return node;
}

sl__operand sl__uuid_operand(sl_uuid value)
{
    sl_node *node = parameter(SL_KIND_UUID);
    node->value.uuid = value;
    return node;
}

sl__operand sl__enum_operand(int value)
{
    sl_node *node = parameter(SL_KIND_ENUM);
    node->value.choice = value;
    return node;
}

static void release_json(void *json)
{
    json_decref(json);
}

sl__operand sl__json_operand(struct json_t *value)
{
    sl_node *node = parameter(SL_KIND_JSON);
    node->value.json = value;
    node->value.null = !value;
    if (value)
        sl_defer(release_json, json_incref(value));
    return node;
}

/* Its type is that of what it stands beside: see sl__fit. */
sl__operand sl__null_operand(const void *null)
{
    return sl__text_operand(NULL);
}

/* ---- Fitting ------------------------------------------------------------------------------------------- */

int sl__scale_of(const sl_node *node)
{
    if (node->type != SL_KIND_DECIMAL)
        return 0;
    if (node->kind == SL__NODE_COLUMN)
        return sl__node_column(node)->scale;
    if (node->kind == SL__NODE_PARAMETER)
        return node->value.null ? 0 : node->value.decimal.scale;
    int scale = 0;
    for (uint32_t i = 0; i < node->count; i++) {
        int one = sl__scale_of(node->operands[i]);
        scale = one > scale ? one : scale;
    }
    return scale;
}

const sl_enum_names *sl__names_of(const sl_node *node)
{
    if (node->type != SL_KIND_ENUM)
        return NULL;
    if (node->kind == SL__NODE_COLUMN)
        return sl__node_column(node)->names;
    const sl_enum_names *names = NULL;
    for (uint32_t i = 0; !names && i < node->count; i++)
        names = sl__names_of(node->operands[i]);
    return names;
}

static sl_node *changed(const sl_node *node, sl_kind type)
{
    sl_node *copy = sl__node_new(node->site, node->kind, type, NULL, 0);
    copy->value = node->value;
    copy->value.kind = type == SL_KIND_ENUM ? SL_KIND_TEXT : type;
    return copy;
}

/* What a node is to fit: an expression, or a column of a result. */
typedef struct wanted {
    sl_kind kind;
    int scale; /* -1: any */
    const sl_enum_names *names;
    const sl_node *like; /* for messages; NULL: the column */
    const char *model, *column;
} wanted;

static const char *wanted_name(const wanted *w)
{
    return w->like ? sl__node_name(w->like) : sl_printf("%s.%s", w->model, w->column);
}

/* The constant of an enum, as text. */
static const sl_node *fit_choice(const sl_site *site, const wanted *w, const sl_node *node)
{
    if (!w->names || node->value.kind != SL_KIND_ENUM)
        return node; /* it has its text already */
    int choice = node->value.choice;
    if (choice < 0 || (size_t)choice >= w->names->count)
        sl__senseless(site, sl_printf("its constants are 0 to %zu", w->names->count - 1),
                      "%d is no value of the enum %s", choice, w->names->name);
    sl_node *copy = changed(node, SL_KIND_ENUM);
    copy->value.text = sl_view_of(w->names->names[choice]);
    return copy;
}

static const sl_node *fit_decimal(const sl_site *site, const wanted *w, const sl_node *node)
{
    sl_decimal decimal;
    if (w->scale < 0 || node->value.decimal.scale == w->scale)
        return node;
    if (sl_decimal_rescale(node->value.decimal, w->scale, &decimal) < 0) {
        char text[SL_DECIMAL_SIZE];
        sl__senseless(site, "round it before",
                      "%s does not fit beside %s, which has %d digits after the point and 18 in all",
                      sl_decimal_text(node->value.decimal, text), wanted_name(w), w->scale);
    }
    sl_node *copy = changed(node, SL_KIND_DECIMAL);
    copy->value.decimal = decimal;
    return copy;
}

static void check_enums(const sl_site *site, const wanted *w, const sl_node *node)
{
    const sl_enum_names *names = sl__names_of(node);
    if (w->names && names && w->names != names && strcmp(w->names->name, names->name) != 0)
        sl__senseless(site, "their texts have nothing to do with each other",
                      "%s is of the enum %s, and %s of %s", wanted_name(w), w->names->name,
                      sl__node_name(node), names->name);
}

static const sl_node *fit(const sl_site *site, const wanted *w, const sl_node *node)
{
    if (!sl__is_parameter(node)) {
        if (w->kind == SL_KIND_ENUM)
            check_enums(site, w, node);
        return node;
    }
    if (node->value.null)
        return node->type == w->kind ? node : changed(node, w->kind);
    if (w->kind == SL_KIND_ENUM)
        return fit_choice(site, w, node);
    return w->kind == SL_KIND_DECIMAL ? fit_decimal(site, w, node) : node;
}

const sl_node *sl__fit(const sl_site *site, const sl_node *like, const sl_node *node)
{
    wanted w = {.kind = like->type, .like = like};
    if (like->type == SL_KIND_ENUM)
        w.names = sl__names_of(like);
    else if (like->type == SL_KIND_DECIMAL) /* a value beside it asks for nothing */
        w.scale = sl__is_parameter(like) ? -1 : sl__scale_of(like);
    return fit(site, &w, node);
}

const sl_node *sl__fit_column(const sl_site *site, const sl_model *model, const sl_column *column,
                              const sl_node *node)
{
    wanted w = {.kind = column->kind,
                .scale = column->scale,
                .names = column->names,
                .model = model->name,
                .column = column->name};
    return fit(site, &w, node);
}

void sl__fit_both(const sl_site *site, const sl_node **a, const sl_node **b)
{
    if (sl__is_parameter(*a))
        *a = sl__fit(site, *b, *a);
    *b = sl__fit(site, *a, *b);
}

const sl_node *sl__the(const sl_site *site, const sl_node *like, sl__operand value)
{
    return sl__fit(site, like, value);
}

const char *sl__node_name(const sl_node *node)
{
    static const char *const kinds[] = {
        [SL__NODE_PARAMETER] = "a value",
        [SL__NODE_OPERATOR] = "a computed value",
        [SL__NODE_FUNCTION] = "a function",
        [SL__NODE_SUBSELECT] = "sl_subselect",
        [SL__NODE_RAW] = "sl_sql",
        [SL__NODE_ASSIGN] = "sl_to",
        [SL__NODE_ASCENDING] = "sl_ascending",
        [SL__NODE_DESCENDING] = "sl_descending",
        [SL__NODE_LIMIT] = "sl_limit",
        [SL__NODE_SKIP] = "sl_skip",
        [SL__NODE_DISTINCT] = "sl_distinct",
        [SL__NODE_GROUP] = "sl_group_by",
        [SL__NODE_HAVING] = "sl_having",
        [SL__NODE_JOIN] = "sl_join",
        [SL__NODE_LEFT_JOIN] = "sl_left_join",
        [SL__NODE_PRELOAD] = "sl_preload",
        [SL__NODE_PRELOAD_REFERRING] = "sl_preload_referring",
    };
    if (node->kind == SL__NODE_COLUMN)
        return sl_printf("%s.%s", sl__source_name(node->source), sl__node_column(node)->name);
    if (node->kind == SL__NODE_FUNCTION)
        return node->text;
    return node->kind < sl_array_size(kinds) && kinds[node->kind] ? kinds[node->kind] : "a condition";
}
