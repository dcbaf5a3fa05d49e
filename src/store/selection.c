/* selection.c: selections, and what makes no sense in them.
 *
 * A selection is a value: each refinement is a copy, which shares the lists that it adds nothing to. */
#include "store/compile.h"

/* ---- Clauses ------------------------------------------------------------------------------------------- */

typedef struct counts {
    uint32_t joins, conditions, orders, groups, preloads;
} counts;

static SL_NORETURN void no_clause(const sl_site *site, const sl_node *node)
{
    if (node->kind == SL__NODE_ASSIGN)
        sl__senseless(site, "write sl_update(found, sl_to(…))", "sl_to is no clause of a selection");
    sl__senseless(site, "compare it with something, or write sl_true(x) where it is a boolean",
                  "%s is no clause of a selection", sl__node_name(node));
}

static counts count_clauses(const sl_site *site, const sl_clause *clauses, size_t count)
{
    counts c = {0};
    for (size_t i = 0; i < count; i++) {
        const sl_node *node = clauses[i].node;
        if (!node)
            sl__senseless(site, "sl_and() of nothing is always true", "clause %zu of the selection is empty",
                          i + 1);
        switch (node->kind) {
        case SL__NODE_JOIN:
        case SL__NODE_LEFT_JOIN:
            c.joins++;
            break;
        case SL__NODE_ASCENDING:
        case SL__NODE_DESCENDING:
            c.orders++;
            break;
        case SL__NODE_GROUP:
            c.groups += node->count;
            break;
        case SL__NODE_PRELOAD:
        case SL__NODE_PRELOAD_REFERRING:
            c.preloads++;
            break;
        case SL__NODE_LIMIT:
        case SL__NODE_SKIP:
        case SL__NODE_DISTINCT:
        case SL__NODE_HAVING:
            break;
        default:
            if (!sl__is_condition(node))
                no_clause(site, node);
            if (node->aggregate)
                sl__senseless(
                    site, "conditions on groups belong into sl_having(…)",
                    "an aggregate in a condition: rows are chosen before anything is computed of them");
            c.conditions++;
        }
    }
    return c;
}

/* Makes room for more nodes at the end of a list. Where there are none to come the old list will do. */
static const sl_node **longer(const sl_node *const *old, uint32_t count, uint32_t more)
{
    if (more == 0)
        return (const sl_node **)old;
    const sl_node **list = sl_alloc((count + more) * sizeof *list);
    if (count)
        memcpy(list, old, count * sizeof *list);
    return list;
}

static void add_having(const sl_site *site, sl_selection *selection, const sl_node *condition)
{
    if (!selection->having) {
        selection->having = condition;
        return;
    }
    const sl_clause both[] = {{selection->having}, {condition}};
    selection->having = sl__all_of(site, SL__NODE_AND, both, 2).node;
}

static void deepen(sl_selection *s, const sl_node *node)
{
    if (node->depth > s->depth)
        s->depth = node->depth;
}

/* The lists of a selection, with room for what is added. */
typedef struct lists {
    const sl_node **joins, **conditions, **orders, **groups, **preloads;
} lists;

static void add_clause(const sl_site *site, sl_selection *s, const lists *l, const sl_node *node)
{
    switch (node->kind) {
    case SL__NODE_JOIN:
    case SL__NODE_LEFT_JOIN:
        l->joins[s->join_count++] = node;
        return;
    case SL__NODE_ASCENDING:
    case SL__NODE_DESCENDING:
        l->orders[s->order_count++] = node;
        return;
    case SL__NODE_GROUP:
        memcpy(&l->groups[s->group_count], node->operands, node->count * sizeof *l->groups);
        s->group_count += node->count;
        return;
    case SL__NODE_PRELOAD:
    case SL__NODE_PRELOAD_REFERRING:
        l->preloads[s->preload_count++] = node;
        return;
    case SL__NODE_LIMIT:
        s->limit = node->value.integer;
        return;
    case SL__NODE_SKIP:
        s->skip = node->value.integer;
        return;
    case SL__NODE_DISTINCT:
        s->distinct = true;
        return;
    case SL__NODE_HAVING:
        add_having(site, s, node->operands[0]);
        return;
    default:
        l->conditions[s->condition_count++] = node;
    }
}

static void add_clauses(const sl_site *site, sl_selection *s, const sl_clause *clauses, size_t count)
{
    counts c = count_clauses(site, clauses, count);
    lists l = {.joins = longer(s->joins, s->join_count, c.joins),
               .conditions = longer(s->conditions, s->condition_count, c.conditions),
               .orders = longer(s->orders, s->order_count, c.orders),
               .groups = longer(s->groups, s->group_count, c.groups),
               .preloads = longer(s->preloads, s->preload_count, c.preloads)};
    for (size_t i = 0; i < count; i++) {
        deepen(s, clauses[i].node);
        add_clause(site, s, &l, clauses[i].node);
    }
    s->joins = l.joins;
    s->conditions = l.conditions;
    s->orders = l.orders;
    s->groups = l.groups;
    s->preloads = l.preloads;
}

/* ---- What is surely empty ------------------------------------------------------------------------------ */

static bool never(const sl_node *node)
{
    if (node->kind != SL__NODE_AND && node->kind != SL__NODE_OR)
        return false;
    uint32_t count = 0;
    for (uint32_t i = 0; i < node->count; i++)
        count += never(node->operands[i]);
    return node->kind == SL__NODE_AND ? count > 0 : count == node->count;
}

static bool surely_none(const sl_selection *s)
{
    if (s->limit == 0)
        return true;
    if (s->operator) {
        if (s->operator[0] == 'U')
            return s->left->none && s->right->none;
        return s->left->none || (s->operator[0] == 'I' && s->right->none);
    }
    if (sl__is_summary(s))
        return false; /* also of no rows there is one */
    for (uint32_t i = 0; i < s->condition_count; i++)
        if (never(s->conditions[i]))
            return true;
    return false;
}

/* ---- Groups -------------------------------------------------------------------------------------------- */

bool sl__is_summary(const sl_selection *s)
{
    if (s->group_count || !s->columns || s->operator)
        return false;
    const sl_model *model = s->model();
    for (size_t i = 0; i < model->column_count; i++)
        if (model->columns[i].kind != SL_KIND_ROW && sl__result_node(s, i)->aggregate)
            return true;
    return false;
}

bool sl__has_source(const sl_selection *s, const sl_source *source)
{
    if (sl__same_source(s->from, source))
        return true;
    for (uint32_t i = 0; i < s->join_count; i++)
        if (sl__same_source(s->joins[i]->source, source))
            return true;
    return false;
}

static bool is_group(const sl_selection *s, const sl_node *node)
{
    for (uint32_t i = 0; i < s->group_count; i++)
        if (sl__same_node(s->groups[i], node))
            return true;
    return false;
}

bool sl__groups_have_key(const sl_selection *s, const sl_source *source)
{
    const sl_model *model = source->model();
    for (size_t i = 0; i < model->column_count; i++)
        if (model->columns[i].primary_key && !is_group(s, &source->nodes[i]))
            return false;
    return true;
}

/* The first part of an expression that has a value in each row, not in each group; or NULL. */
static const sl_node *ungrouped(const sl_selection *s, const sl_node *node)
{
    if ((node->kind == SL__NODE_FUNCTION && node->variant >= SL__COUNT_ALL) || is_group(s, node))
        return NULL;
    if (node->kind == SL__NODE_COLUMN) {
        /* Those of a selection around this one are the same for all its rows. */
        bool decided = s->group_count && sl__groups_have_key(s, node->source);
        return decided || !sl__has_source(s, node->source) ? NULL : node;
    }
    if (sl__has_selection(node) && node->kind != SL__NODE_IN)
        return NULL;
    const sl_node *culprit = NULL;
    uint32_t count = sl__has_selection(node) ? 1 : node->count;
    for (uint32_t i = 0; !culprit && i < count; i++)
        culprit = ungrouped(s, node->operands[i]);
    return culprit;
}

void sl__check_grouped(const sl_selection *s, const sl_node *node, const char *what)
{
    const sl_node *culprit = ungrouped(s, node);
    if (culprit)
        sl__senseless(s->site,
                      "add it to sl_group_by, or compute one value of many: sl_min, sl_max, sl_sum, …",
                      "%s has a value in each row, and %s are of whole groups", sl__node_name(culprit), what);
}

static void check_groups(const sl_selection *s)
{
    if (s->having && !s->group_count)
        sl__senseless(s->site, "say what the groups are, with sl_group_by(…)",
                      "sl_having without sl_group_by");
    bool summary = sl__is_summary(s);
    if (!s->group_count && !summary) {
        for (uint32_t i = 0; i < s->order_count; i++)
            if (s->orders[i]->aggregate)
                sl__senseless(s->site, "say what the groups are, with sl_group_by(…)",
                              "an order by an aggregate, and the rows are in no groups");
        return;
    }
    const sl_model *model = s->model();
    for (size_t i = 0; s->columns && i < model->column_count; i++) {
        if (model->columns[i].kind != SL_KIND_ROW)
            sl__check_grouped(s, sl__result_node(s, i), "the results");
        else if (!sl__groups_have_key(s, sl__result_source(s, i)))
            sl__senseless(s->site, "group by the primary key of it",
                          "%s is a whole object of each row, and the results are of whole groups",
                          model->columns[i].name);
    }
    for (uint32_t i = 0; i < s->order_count; i++)
        sl__check_grouped(s, s->orders[i]->operands[0], "the orders");
    if (s->having)
        sl__check_grouped(s, s->having, "the conditions of sl_having");
}

/* ---- What makes no sense ------------------------------------------------------------------------------- */

static void check_compound(const sl_selection *s)
{
    if (s->join_count || s->condition_count || s->group_count || s->having || s->distinct)
        sl__senseless(s->site, "narrow the selections before they are combined",
                      "%s with more than order, limit and skip",
                      s->operator[0] == 'U'   ? "sl_union"
                      : s->operator[0] == 'E' ? "sl_except"
                                              : "sl_intersect");
    for (uint32_t i = 0; i < s->order_count; i++)
        if (s->orders[i]->aggregate)
            sl__senseless(s->site, "compute it in the selections before they are combined",
                          "a combined selection is sorted by an aggregate");
}

static const sl_source *source_of(const sl_selection *s, uint32_t i)
{
    return i ? s->joins[i - 1]->source : s->from;
}

static void check_names(const sl_selection *s)
{
    for (uint32_t i = 1; i <= s->join_count; i++)
        for (uint32_t j = 0; j < i; j++) {
            const char *name = sl__source_name(source_of(s, i));
            if (strcmp(name, sl__source_name(source_of(s, j))) == 0)
                sl__senseless(s->site, "give one of them a name of its own: sl_alias(model, \"name\")",
                              "two tables of the selection are called %s", name);
        }
}

static const sl_model *preload_from(const sl_node *preload)
{
    const sl_node *column = preload->operands[0];
    return preload->kind == SL__NODE_PRELOAD ? column->source->model() : sl__node_column(column)->refers();
}

static const sl_model *preload_to(const sl_node *preload)
{
    const sl_node *column = preload->operands[0];
    return preload->kind == SL__NODE_PRELOAD ? sl__node_column(column)->refers() : column->source->model();
}

/* A preload begins at what is found, or at what a preload before it reads. */
static bool preload_begins(const sl_selection *s, uint32_t number)
{
    const sl_model *wanted = preload_from(s->preloads[number]);
    const sl_model *model = s->model();
    if (sl__same_model(model, wanted))
        return true;
    for (size_t i = 0; model->result && i < model->column_count; i++)
        if (model->columns[i].kind == SL_KIND_ROW && sl__same_model(model->columns[i].refers(), wanted))
            return true;
    for (uint32_t i = 0; i < number; i++)
        if (sl__same_model(preload_to(s->preloads[i]), wanted))
            return true;
    return false;
}

static void check_preloads(const sl_selection *s)
{
    for (uint32_t i = 0; i < s->preload_count; i++)
        if (!preload_begins(s, i))
            sl__senseless(s->site, "preload what leads there before it",
                          "%s of %s, and what is found is no %s but a %s", sl__node_name(s->preloads[i]),
                          sl__node_name(s->preloads[i]->operands[0]), preload_from(s->preloads[i])->name,
                          s->model()->name);
}

static sl_selection *with_clauses(sl_selection *s, const sl_clause *clauses, size_t count)
{
    add_clauses(s->site, s, clauses, count);
    if (s->operator)
        check_compound(s);
    else
        check_groups(s);
    if (s->join_count)
        check_names(s);
    if (s->preload_count)
        check_preloads(s);
    s->none = surely_none(s);
    return s;
}

/* ---- Selections ---------------------------------------------------------------------------------------- */

static sl_selection *selection_new(sl_selection like)
{
    if (!sl_task_current())
        sl__node_new(like.site, SL__NODE_AND, SL_KIND_BOOLEAN, NULL, 0); /* says so, and does not return */
    sl_selection *made = sl_alloc(sizeof *made);
    *made = like;
    return made;
}

sl_selection *sl__find(const sl_site *site, const sl_source *source, const sl_clause *clauses, size_t count)
{
    sl_selection plain = {.model = source->model, .from = source, .limit = -1, .skip = -1, .site = site};
    return with_clauses(selection_new(plain), clauses, count);
}

/* A result's expression, as the column needs it. */
static const void *fit_result(const sl_site *site, const sl_model *model, const sl_column *column,
                              const void *given)
{
    if (!given)
        sl__senseless(site, sl_printf("write SL_AS(.%s = …, …)", column->name),
                      "sl_select(%s, …): %s is left out", model->name, column->name);
    if (column->kind == SL_KIND_ROW)
        return given;
    const sl_node *node = sl__fit_column(site, model, column, given);
    if (node->type != column->kind)
        sl__senseless(site, "give it an expression of its own type",
                      "sl_select(%s, …): %s is of another type", model->name, column->name);
    if (sl__scale_of(node) > column->scale)
        sl__senseless(site, "digits would be lost: give the column a larger .scale",
                      "sl_select(%s, …): %s has %u digits after the point, and what it is given has %d",
                      model->name, column->name, column->scale, sl__scale_of(node));
    return node;
}

sl_selection *sl__select(const sl_site *site, sl_model_fn *result, const sl_source *from, const void *columns,
                         const sl_clause *clauses, size_t count)
{
    sl_selection plain = {.model = result, .from = from, .limit = -1, .skip = -1, .site = site};
    sl_selection *selection = selection_new(plain);
    const sl_model *model = result();
    const void *const *given = columns;
    const void **fitted = sl_alloc((model->column_count + 1) * sizeof *fitted);
    fitted[0] = NULL;
    for (size_t i = 0; i < model->column_count; i++) {
        fitted[i + 1] = fit_result(site, model, &model->columns[i], given[i + 1]);
        if (model->columns[i].kind != SL_KIND_ROW) /* that is a table */
            deepen(selection, fitted[i + 1]);
    }
    selection->columns = fitted;
    return with_clauses(selection, clauses, count);
}

sl_selection *sl__narrow(const sl_site *site, const sl_selection *selection, const sl_clause *clauses,
                         size_t count)
{
    sl_selection *copy = selection_new(*selection);
    copy->site = site;
    copy->of = NULL; /* it is not all of them any more */
    return with_clauses(copy, clauses, count);
}

sl_selection *sl__combined(const sl_site *site, const char *operator, const sl_selection * a,
                           const sl_selection *b)
{
    unsigned depth = (a->depth > b->depth ? a->depth : b->depth) + SL__SELECTION_LEVELS;
    if (depth > SL__DEPTH_MAX)
        sl__senseless(site, "choose by a condition: sl_or(…), sl_and(…), sl_not(…)",
                      "selections that are combined more than %u times",
                      (unsigned)(SL__DEPTH_MAX / SL__SELECTION_LEVELS));
    sl_selection combined = {.model = a->model,
                             .from = a->from,
                             .columns = a->columns,
                             .limit = -1,
                             .skip = -1,
                             .operator= operator,
                             .left = a,
                             .right = b,
                             .depth = (uint8_t)depth,
                             .site = site};
    const sl_node **preloads = longer(a->preloads, a->preload_count, b->preload_count);
    if (b->preload_count)
        memcpy(&preloads[a->preload_count], b->preloads, b->preload_count * sizeof *preloads);
    combined.preloads = preloads;
    combined.preload_count = a->preload_count + b->preload_count;
    sl_selection *made = selection_new(combined);
    made->none = surely_none(made);
    return made;
}
