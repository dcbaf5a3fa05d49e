/* condition.c: conditions, as nodes that give a boolean. */
#include "store/compile.h"

static sl_clause condition(const sl_site *site, sl__node_kind kind, const sl_node *const *operands,
                           size_t count)
{
    return (sl_clause){sl__node_new(site, kind, SL_KIND_BOOLEAN, operands, count)};
}

/* Never true, always true. */
static sl_clause constant(const sl_site *site, bool truth)
{
    return condition(site, truth ? SL__NODE_AND : SL__NODE_OR, NULL, 0);
}

static bool is_null_value(const sl_node *node)
{
    return sl__is_parameter(node) && node->value.null;
}

static void need_order(const sl_site *site, const sl_node *x, const char *operator)
{
    if (x->type == SL_KIND_JSON)
        sl__senseless(site, "compare a part of it: sl_sql_integer(\"…\")",
                      "%s is JSON, which has no order for %s", sl__node_name(x), operator);
}

sl_clause sl__comparison(const sl_site *site, const char *operator, const sl_node * a, sl__operand b)
{
    bool equal = operator[0] == '=', unequal = operator[0] == '<' && operator[1] == '>';
    sl__fit_both(site, &a, &b);
    if (equal || unequal) {
        bool null = is_null_value(b);
        if (null || is_null_value(a)) {
            sl_clause is_null = sl__is_null(site, null ? a : b);
            return equal ? is_null : sl__not(site, is_null);
        }
    } else {
        need_order(site, a, operator);
    }
    sl_node *node =
        sl__node_new(site, SL__NODE_COMPARISON, SL_KIND_BOOLEAN, (const sl_node *const[]){a, b}, 2);
    node->text = operator;
    return (sl_clause){node};
}

sl_clause sl__between(const sl_site *site, const sl_node *x, sl__operand low, sl__operand high)
{
    need_order(site, x, "sl_between");
    const sl_node *const operands[] = {x, sl__fit(site, x, low), sl__fit(site, x, high)};
    return condition(site, SL__NODE_BETWEEN, operands, 3);
}

/* ---- Lists --------------------------------------------------------------------------------------------- */

static SL_NORETURN void null_in_list(const sl_site *site, const sl_node *x)
{
    sl__senseless(site, "write sl_or(sl_in(x, …), sl_is_null(x))",
                  "NULL is among what %s may be: it is equal to nothing", sl__node_name(x));
}

static sl_clause in_values(const sl_site *site, const sl_node *x, const sl_value *values, size_t count)
{
    if (count > SL__PARAMETERS_MAX)
        sl__senseless(site, "ask in several queries, or keep the values in a table and use sl_in_found",
                      "a list of %zu values, and a query can have %d", count, SL__PARAMETERS_MAX);
    sl_node *node = sl__node_new(site, SL__NODE_IN, SL_KIND_BOOLEAN, &x, 1);
    node->variant = SL__LIST_VALUES;
    node->values = values;
    node->value.integer = (int64_t)count;
    return (sl_clause){node};
}

sl_clause sl__in(const sl_site *site, const sl_node *x, const sl_node *const *values)
{
    size_t count = 0;
    bool plain = true;
    while (values[count])
        plain &= sl__is_parameter(values[count++]);
    if (count == 0)
        return constant(site, false);
    const sl_node **operands = sl_alloc((count + 1) * sizeof *operands);
    operands[0] = x;
    for (size_t i = 0; i < count; i++) {
        operands[i + 1] = sl__fit(site, x, values[i]);
        if (is_null_value(operands[i + 1]))
            null_in_list(site, x);
    }
    if (!plain) {
        sl_node *node = sl__node_new(site, SL__NODE_IN, SL_KIND_BOOLEAN, operands, count + 1);
        node->variant = SL__LIST_NODES;
        return (sl_clause){node};
    }
    sl_value *list = sl_alloc(count * sizeof *list);
    for (size_t i = 0; i < count; i++)
        list[i] = operands[i + 1]->value;
    return in_values(site, x, list, count);
}

sl_clause sl__in_integers(const sl_site *site, const sl_node *x, const int64_t *values, size_t count)
{
    if (count == 0)
        return constant(site, false);
    sl_value *list = sl_alloc(count * sizeof *list);
    for (size_t i = 0; i < count; i++)
        list[i] = (sl_value){.kind = x->type, .integer = values[i]};
    return in_values(site, x, list, count);
}

sl_clause sl__in_texts(const sl_site *site, const sl_node *x, const char *const *values, size_t count)
{
    if (count == 0)
        return constant(site, false);
    sl_value *list = sl_alloc(count * sizeof *list);
    for (size_t i = 0; i < count; i++) {
        if (!values[i])
            null_in_list(site, x);
        list[i] = (sl_value){.kind = SL_KIND_TEXT, .text = sl_view_of(values[i])};
    }
    return in_values(site, x, list, count);
}

sl_clause sl__in_uuids(const sl_site *site, const sl_node *x, const sl_uuid *values, size_t count)
{
    if (count == 0)
        return constant(site, false);
    sl_value *list = sl_alloc(count * sizeof *list);
    for (size_t i = 0; i < count; i++)
        list[i] = (sl_value){.kind = SL_KIND_UUID, .uuid = values[i]};
    return in_values(site, x, list, count);
}

sl_clause sl__in_found(const sl_site *site, const sl_node *x, const sl_selection *found,
                       const sl_node *column)
{
    x = sl__is_parameter(x) ? sl__fit(site, column, x) : x;
    const sl_node *const operands[] = {x, sl__fit(site, x, column)};
    sl_node *node = sl__node_new(site, SL__NODE_IN, SL_KIND_BOOLEAN, operands, 2);
    node->variant = SL__LIST_FOUND;
    sl__node_hold(node, found);
    node->aggregate = x->aggregate; /* an aggregate inside is the sub-select's own */
    return (sl_clause){node};
}

sl_clause sl__exists(const sl_site *site, const sl_selection *found)
{
    sl_node *node = sl__node_new(site, SL__NODE_EXISTS, SL_KIND_BOOLEAN, NULL, 0);
    sl__node_hold(node, found);
    return (sl_clause){node};
}

/* ---- Texts --------------------------------------------------------------------------------------------- */

sl_clause sl__like(const sl_site *site, sl_text_expr x, const char *pattern, sl__like_kind kind)
{
    bool wild = kind == SL__LIKE_PATTERN || kind == SL__LIKE_NOCASE;
    if (pattern && wild && sl__like_is_broken(pattern))
        sl__senseless(site, "write \\\\ twice for a backslash that stands for itself",
                      "the pattern \"%s\" ends with a \\ that takes nothing", pattern);
    sl_node *node = sl__node_new(site, SL__NODE_LIKE, SL_KIND_BOOLEAN, &x.node, 1);
    node->variant = (uint16_t)kind;
    node->value = (sl_value){.kind = SL_KIND_TEXT, .null = !pattern, .text = sl_view_of(pattern)};
    return (sl_clause){node};
}

/* ---- Of conditions ------------------------------------------------------------------------------------- */

sl_clause sl__is_null(const sl_site *site, const sl_node *x)
{
    return condition(site, SL__NODE_IS_NULL, &x, 1);
}

sl_clause sl__truth(const sl_site *site, sl_boolean_expr x)
{
    return (sl_clause){x.node};
}

static const sl_node *need_condition(const sl_site *site, const char *where, size_t number, sl_clause clause)
{
    if (!clause.node)
        sl__senseless(site, "sl_and() of nothing is always true", "clause %zu of %s is empty", number, where);
    if (!sl__is_condition(clause.node))
        sl__senseless(
            site, "orders, limits, joins and the like belong to the selection: give them to sl_find",
            "clause %zu of %s is %s, which is no condition", number, where, sl__node_name(clause.node));
    return clause.node;
}

/* Conditions that are put together in a loop, any = sl_or(any, next), are one long list: what is nested would
 * be as deep as the loop is long. A long list has room at its end, which the next one made of it takes. */
typedef struct nodes {
    uint32_t used, room;
    const sl_node *items[];
} nodes;

enum { SHORT = 16 /* up to so many are copied, in their order */ };

static nodes *list_of(const sl_node *node)
{
    return node->variant ? (nodes *)((char *)(uintptr_t)node->operands - offsetof(nodes, items)) : NULL;
}

/* The list of `base`, or a copy, with room for more behind what the node has of it. */
static nodes *list_with_room(const sl_node *base, uint32_t total)
{
    nodes *own = list_of(base);
    if (own && own->used == base->count && own->room >= total)
        return own;
    nodes *copy = sl_alloc(sizeof *copy + 2 * (size_t)total * sizeof(sl_node *));
    copy->used = base->count;
    copy->room = 2 * total;
    memcpy(copy->items, base->operands, base->count * sizeof(sl_node *));
    return copy;
}

static void add_to_list(sl_node *made, nodes *list, const sl_node *node)
{
    bool same = node->kind == made->kind;
    const sl_node *const *some = same ? node->operands : &node;
    for (uint32_t i = 0; i < (same ? node->count : 1); i++)
        list->items[list->used++] = some[i];
    made->aggregate |= node->aggregate;
    sl__node_deepen(made, same ? node->depth : node->depth + 1u);
}

static sl_clause long_list(const sl_site *site, const sl_node *base, const sl_node *const *some, size_t count,
                           uint32_t total)
{
    sl_node *made = sl__node_new(site, base->kind, SL_KIND_BOOLEAN, NULL, 0);
    nodes *list = list_with_room(base, total);
    made->aggregate = base->aggregate;
    made->depth = base->depth;
    bool left_out = false;
    for (size_t i = 0; i < count; i++) {
        if (some[i] == base && !left_out)
            left_out = true;
        else
            add_to_list(made, list, some[i]);
    }
    made->operands = list->items;
    made->count = list->used;
    made->variant = 1;
    return (sl_clause){made};
}

static sl_clause short_list(const sl_site *site, sl__node_kind kind, const sl_node *const *some, size_t count)
{
    const sl_node *flat[SHORT];
    size_t used = 0;
    for (size_t i = 0; i < count; i++) {
        bool same = some[i]->kind == kind;
        for (uint32_t k = 0; k < (same ? some[i]->count : 1); k++)
            flat[used++] = same ? some[i]->operands[k] : some[i];
    }
    return used == 1 ? (sl_clause){flat[0]} : condition(site, kind, flat, used);
}

sl_clause sl__all_of(const sl_site *site, sl__node_kind kind, const sl_clause *conditions, size_t count)
{
    const char *name = kind == SL__NODE_AND ? "sl_and" : "sl_or";
    const sl_node *base = NULL; /* the longest list */
    size_t total = 0;
    /* A clause is a struct with a node in it, and nothing else. */
    _Static_assert(sizeof(sl_clause) == sizeof(sl_node *), "clauses as nodes");
    const sl_node *const *some = (const sl_node *const *)conditions;
    for (size_t i = 0; i < count; i++) {
        bool same = need_condition(site, name, i + 1, conditions[i])->kind == kind;
        total += same ? some[i]->count : 1;
        if (same && (!base || some[i]->count > base->count))
            base = some[i];
    }
    if (count == 1)
        return conditions[0];
    if (!base)
        return condition(site, kind, some, count);
    if (total <= SHORT)
        return short_list(site, kind, some, count);
    if (total > SL__CONDITIONS_MAX)
        sl__senseless(site, "ask in several queries", "%s of more than %d conditions", name,
                      SL__CONDITIONS_MAX);
    return long_list(site, base, some, count, (uint32_t)total);
}

sl_clause sl__not(const sl_site *site, sl_clause clause)
{
    const sl_node *node = need_condition(site, "sl_not", 1, clause);
    return condition(site, SL__NODE_NOT, &node, 1);
}
