/* clause.c: clauses that are no conditions: orders, slices, groups, joins, preloads and assignments. */
#include "store/compile.h"

static sl_clause made(const sl_site *site, sl__node_kind kind, const sl_node *const *operands, size_t count)
{
    return (sl_clause){sl__node_new(site, kind, SL_KIND_BOOLEAN, operands, count)};
}

sl_clause sl__clause(const sl_site *site, sl__node_kind kind, const sl_node *const *operands, size_t count)
{
    if (kind == SL__NODE_GROUP) {
        for (count = 0; operands[count]; count++)
            if (operands[count]->aggregate)
                sl__senseless(site, "group by what the aggregate is computed for",
                              "sl_group_by: %s is an aggregate", sl__node_name(operands[count]));
        if (count == 0)
            sl__senseless(site, "name the expressions that the rows of a group have in common",
                          "sl_group_by() of nothing");
    }
    bool sorts = kind == SL__NODE_ASCENDING || kind == SL__NODE_DESCENDING;
    if (sorts && operands[0]->type == SL_KIND_JSON)
        sl__senseless(site, "sort by a part of it: sl_sql_text(\"…\")", "%s is JSON, which has no order",
                      sl__node_name(operands[0]));
    if (kind == SL__NODE_HAVING && !sl__is_condition(operands[0]))
        sl__senseless(site, "orders, limits and joins belong to the selection: give them to sl_find",
                      "sl_having of %s, which is no condition", sl__node_name(operands[0]));
    return made(site, kind, operands, count);
}

sl_clause sl__number(const sl_site *site, sl__node_kind kind, int64_t number)
{
    if (number < 0)
        sl__senseless(site, "it is 0 or more; leave the clause out where there is none", "%s(%lld)",
                      kind == SL__NODE_LIMIT ? "sl_limit" : "sl_skip", (long long)number);
    sl_node *node = sl__node_new(site, kind, SL_KIND_INTEGER, NULL, 0);
    node->value = (sl_value){.kind = SL_KIND_INTEGER, .integer = number};
    return (sl_clause){node};
}

sl_clause sl__join(const sl_site *site, sl__node_kind kind, const sl_source *source, sl_clause on)
{
    const char *name = kind == SL__NODE_JOIN ? "sl_join" : "sl_left_join";
    if (!on.node || !sl__is_condition(on.node))
        sl__senseless(
            site, "say which rows belong together: sl_join(company_, sl_eq(person_.employer, company_.id))",
            "%s(%s_, …): %s", name, sl__source_name(source),
            on.node ? "its second argument is no condition" : "its condition is empty");
    if (on.node->aggregate)
        sl__senseless(site, "an aggregate is computed of what was joined",
                      "%s(%s_, …) has an aggregate in its condition", name, sl__source_name(source));
    sl_node *node = sl__node_new(site, kind, SL_KIND_BOOLEAN, &on.node, 1);
    node->source = source;
    return (sl_clause){node};
}

sl_clause sl__to(const sl_site *site, const sl_node *column, sl__operand value)
{
    if (column->kind != SL__NODE_COLUMN)
        sl__senseless(site, "name a column: sl_to(person_.age, 41)", "sl_to sets %s, which is no column",
                      sl__node_name(column));
    value = sl__fit(site, column, value);
    if (value->aggregate)
        sl__senseless(site, "compute it in a sub-select: sl_subselect", "%s cannot be set to an aggregate",
                      sl__node_name(column));
    if (sl__scale_of(value) > sl__node_column(column)->scale && column->type == SL_KIND_DECIMAL)
        sl__senseless(site, "digits would be lost: give the column a larger .scale",
                      "%s has %d digits after the point, and what it is set to has %d", sl__node_name(column),
                      sl__node_column(column)->scale, sl__scale_of(value));
    return made(site, SL__NODE_ASSIGN, (const sl_node *const[]){column, value}, 2);
}
