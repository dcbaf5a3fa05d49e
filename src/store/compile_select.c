/* compile_select.c: one SELECT.
 *
 * What is asked of a selection that is cut, combined or distinct is asked of a SELECT around it, in which the
 * inner one has the name of its first table, so that expressions mean the same there. SQLite takes no
 * parentheses around what it combines, and the order of combined rows can name their columns only: so these
 * stand in a SELECT of their own, too. */
#include "store/compile.h"

/* ---- What is given ------------------------------------------------------------------------------------- */

static unsigned put_whole(sl__writer *w, const sl_source *source, unsigned number, bool numbered)
{
    const sl_model *model = source->model();
    bool alone = w->tables->alone && w->tables->selection->from == source;
    for (size_t i = 0; i < model->column_count; i++) {
        if (model->columns[i].lazy)
            continue;
        if (number++)
            SL__PUT(w, ", ");
        if (alone) /* as sl__put_node would in the end */
            sl__put_identifier(w, model->columns[i].name);
        else
            sl__put_node(w, &source->nodes[i]);
        if (numbered) {
            SL__PUT(w, " AS \"c");
            sl__put_number(w, number);
            SL__PUT(w, "\"");
        }
    }
    return number;
}

static unsigned put_rows(sl__writer *w, const sl_selection *s, bool numbered)
{
    if (!s->columns)
        return put_whole(w, s->from, 0, numbered);
    const sl_model *model = s->model();
    unsigned number = 0;
    for (size_t i = 0; i < model->column_count; i++) {
        if (model->columns[i].kind == SL_KIND_ROW) {
            number = put_whole(w, sl__result_source(s, i), number, numbered);
            continue;
        }
        if (number++)
            SL__PUT(w, ", ");
        sl__put_scaled(w, sl__result_node(s, i), model->columns[i].scale);
        if (numbered) {
            SL__PUT(w, " AS \"c");
            sl__put_number(w, number);
            SL__PUT(w, "\"");
        }
    }
    return number;
}

/* Which column of a whole object an expression is, counted from `number` on; 0: none. */
static unsigned number_in_whole(const sl_source *source, const sl_node *node, unsigned *number)
{
    const sl_model *model = source->model();
    for (size_t i = 0; i < model->column_count; i++) {
        if (model->columns[i].lazy)
            continue;
        ++*number;
        if (sl__same_node(&source->nodes[i], node))
            return *number;
    }
    return 0;
}

/* Which of the columns that a selection gives an expression is, from 1; 0: none. */
static unsigned number_of(const sl_selection *s, const sl_node *node)
{
    unsigned number = 0, found = 0;
    if (!s->columns)
        return number_in_whole(s->from, node, &number);
    const sl_model *model = s->model();
    for (size_t i = 0; !found && i < model->column_count; i++) {
        if (model->columns[i].kind == SL_KIND_ROW)
            found = number_in_whole(sl__result_source(s, i), node, &number);
        else if (number++, sl__same_node(sl__result_node(s, i), node))
            found = number;
    }
    return found;
}

static void put_sorted(sl__writer *w, const sl_selection *s)
{
    put_rows(w, s, /* numbered= */ true);
    for (uint32_t i = 0; i < s->order_count; i++) {
        const sl_node *node = s->orders[i]->operands[0];
        if (number_of(s, node))
            continue;
        SL__PUT(w, ", ");
        sl__put_node(w, node);
        SL__PUT(w, " AS \"o");
        sl__put_number(w, i + 1);
        SL__PUT(w, "\"");
    }
}

void sl__put_own_columns(sl__writer *w, const sl_selection *s, uint64_t columns)
{
    if (!columns)
        SL__PUT(w, "1");
    for (unsigned i = 0, count = 0; columns; i++, columns >>= 1)
        if (columns & 1) {
            if (count++)
                SL__PUT(w, ", ");
            sl__put_node(w, &s->from->nodes[i]);
        }
}

static void put_picked(sl__writer *w, const sl_selection *s, const sl__picked *picked)
{
    switch (picked->kind) {
    case SL__PICK_ROWS:
        if (s->group_count && !s->columns && !sl__groups_have_key(s, s->from))
            sl__senseless(s->site, "group by the primary key, or make results with sl_select",
                          "whole objects of %s, and the rows are in groups", sl__source_name(s->from));
        put_rows(w, s, /* numbered= */ false);
        break;
    case SL__PICK_ONE:
        SL__PUT(w, "1");
        break;
    case SL__PICK_COUNT:
        SL__PUT(w, "count(*)");
        break;
    case SL__PICK_NODE:
        sl__put_scaled(w, picked->node, picked->scale);
        break;
    case SL__PICK_COLUMNS:
        sl__put_own_columns(w, s, picked->columns);
        break;
    case SL__PICK_SORTED:
        put_sorted(w, s);
        break;
    }
}

/* ---- Order and slice ----------------------------------------------------------------------------------- */

static void put_direction(sl__writer *w, const sl_node *order, bool reversed)
{
    if ((order->kind == SL__NODE_DESCENDING) != reversed)
        SL__PUT(w, " DESC");
}

static void check_distinct_order(const sl_selection *s, const sl_node *order)
{
    if (!number_of(s, order->operands[0]))
        sl__senseless(s->site, "sort by what is given, or leave sl_distinct out",
                      "sl_distinct, and an order by %s, which is not among what is given",
                      sl__node_name(order->operands[0]));
}

static void put_order(sl__writer *w, const sl_selection *s, const sl__cut *cut)
{
    if (!cut->ordered)
        return;
    for (uint32_t i = 0; i < s->order_count; i++) {
        if (s->distinct)
            check_distinct_order(s, s->orders[i]);
        if (i)
            SL__PUT(w, ", ");
        else
            SL__PUT(w, " ORDER BY ");
        sl__put_node(w, s->orders[i]->operands[0]);
        put_direction(w, s->orders[i], cut->reversed);
    }
}

/* Combined results have no table whose columns could be named. */
static void put_order_by_number(sl__writer *w, const sl_selection *s, const sl__cut *cut)
{
    for (uint32_t i = 0; cut->ordered && i < s->order_count; i++) {
        unsigned number = number_of(s, s->orders[i]->operands[0]);
        if (!number)
            sl__senseless(s->site, "sort by an expression that the first of them was given",
                          "combined results are sorted by %s, which is none of their columns",
                          sl__node_name(s->orders[i]->operands[0]));
        if (i)
            SL__PUT(w, ", ");
        else
            SL__PUT(w, " ORDER BY ");
        sl__put_number(w, number);
        put_direction(w, s->orders[i], cut->reversed);
    }
}

static void put_count_value(sl__writer *w, int64_t number)
{
    sl_value value = {.kind = SL_KIND_INTEGER, .integer = number};
    sl__put_parameter(w, &value, NULL, /* cast= */ false);
}

void sl__put_slice(sl__writer *w, int64_t limit, int64_t skip)
{
    if (limit >= 0) {
        SL__PUT(w, " LIMIT ");
        put_count_value(w, limit);
    } else if (skip > 0 && w->dialect == SL__SQLITE) {
        SL__PUT(w, " LIMIT -1");
    }
    if (skip > 0) {
        SL__PUT(w, " OFFSET ");
        put_count_value(w, skip);
    }
}

/* ---- Tables -------------------------------------------------------------------------------------------- */

void sl__put_table(sl__writer *w, const sl_source *source)
{
    const sl_model *model = source->model();
    const char *table = model->table ? model->table : model->name, *name = sl__source_name(source);
    sl__put_identifier(w, table);
    if (table != name && strcmp(table, name) != 0) {
        SL__PUT(w, " AS ");
        sl__put_identifier(w, name);
    }
}

void sl__put_tables(sl__writer *w, const sl_selection *s)
{
    SL__PUT(w, " FROM ");
    sl__put_table(w, s->from);
    for (uint32_t i = 0; i < s->join_count; i++) {
        const sl_node *join = s->joins[i];
        if (join->kind == SL__NODE_LEFT_JOIN)
            SL__PUT(w, " LEFT JOIN ");
        else
            SL__PUT(w, " JOIN ");
        sl__put_table(w, join->source);
        SL__PUT(w, " ON ");
        sl__put_conditions(w, join->operands, 1);
    }
}

void sl__put_where(sl__writer *w, const sl_selection *s)
{
    if (s->condition_count)
        SL__PUT(w, " WHERE ");
    sl__put_conditions(w, s->conditions, s->condition_count);
}

static void put_groups(sl__writer *w, const sl_selection *s)
{
    for (uint32_t i = 0; i < s->group_count; i++) {
        if (i)
            SL__PUT(w, ", ");
        else
            SL__PUT(w, " GROUP BY ");
        sl__put_node(w, s->groups[i]);
    }
    if (s->having) {
        SL__PUT(w, " HAVING ");
        sl__put_conditions(w, &s->having, 1);
    }
}

/* ---- Combined selections ------------------------------------------------------------------------------- */

static void put_member(sl__writer *w, const sl_selection *s)
{
    const sl__picked rows = {.kind = SL__PICK_ROWS};
    const sl__cut cut = sl__own_cut(s, /* ordered= */ sl__is_sliced(s));
    bool plain = !s->operator&& !sl__is_sliced(s), postgres = w->dialect == SL__POSTGRES;
    if (postgres)
        SL__PUT(w, "(");
    else if (!plain)
        SL__PUT(w, "SELECT * FROM (");
    sl__put_select(w, s, &rows, &cut);
    if (postgres || !plain)
        SL__PUT(w, ")");
}

static void put_members(sl__writer *w, const sl_selection *s)
{
    put_member(w, s->left);
    SL__PUT(w, " ");
    sl__puts(w, s->operator);
    SL__PUT(w, " ");
    put_member(w, s->right);
}

/* The end of a SELECT around another one, which gets the name of its first table. */
static void put_name_of_inner(sl__writer *w, const sl_selection *s)
{
    SL__PUT(w, ") AS ");
    sl__put_identifier(w, sl__source_name(s->from));
}

static void put_compound(sl__writer *w, const sl_selection *s, const sl__picked *picked, const sl__cut *cut)
{
    if (picked->kind == SL__PICK_ROWS && (!cut->ordered || !s->order_count || s->columns)) {
        put_members(w, s);
        put_order_by_number(w, s, cut);
        sl__put_slice(w, cut->limit, cut->skip);
        return;
    }
    const sl__tables tables = {.outer = w->tables, .selection = s, .alone = true, .eager = true};
    w->tables = &tables;
    SL__PUT(w, "SELECT ");
    put_picked(w, s, picked);
    SL__PUT(w, " FROM (");
    w->tables = tables.outer;
    put_members(w, s);
    w->tables = &tables;
    put_name_of_inner(w, s);
    put_order(w, s, cut);
    sl__put_slice(w, cut->limit, cut->skip);
    w->tables = tables.outer;
}

/* ---- The whole ----------------------------------------------------------------------------------------- */

void sl__put_select(sl__writer *w, const sl_selection *s, const sl__picked *picked, const sl__cut *cut)
{
    if (s->operator) {
        put_compound(w, s, picked, cut);
        return;
    }
    const sl__tables tables = {.outer = w->tables, .selection = s, .alone = s->join_count == 0};
    w->tables = &tables;
    w->share |= s->group_count > 0 || s->distinct;
    SL__PUT(w, "SELECT ");
    if (s->distinct && picked->kind != SL__PICK_ONE && picked->kind != SL__PICK_COUNT)
        SL__PUT(w, "DISTINCT ");
    put_picked(w, s, picked);
    sl__put_tables(w, s);
    sl__put_where(w, s);
    put_groups(w, s);
    put_order(w, s, cut);
    sl__put_slice(w, cut->limit, cut->skip);
    w->tables = tables.outer;
}

typedef struct used {
    const sl_source *source;
    uint64_t columns;
} used;

static void note_column(const sl_node *node, void *data)
{
    used *u = data;
    if (node->kind == SL__NODE_COLUMN && sl__same_source(u->source, node->source))
        u->columns |= UINT64_C(1) << (node - node->source->nodes);
}

/* What must be asked of a SELECT around the selection's. */
static void put_around(sl__writer *w, const sl_selection *s, const sl__picked *picked, bool ordered)
{
    bool whole = s->operator|| s->distinct;
    if (whole && s->columns)
        sl__senseless(s->site, "ask it of the selections themselves", "a value of %s results",
                      s->operator? "combined" : "distinct");
    used u = {.source = s->from};
    sl__node_visit(picked->node, note_column, &u);
    const sl__tables tables = {.outer = w->tables, .selection = s, .alone = true, .eager = whole};
    w->tables = &tables;
    SL__PUT(w, "SELECT ");
    put_picked(w, s, picked);
    SL__PUT(w, " FROM (");
    w->tables = tables.outer;
    const sl__picked inner = {.kind = whole ? SL__PICK_ROWS : SL__PICK_COLUMNS, .columns = u.columns};
    const sl__cut cut = sl__own_cut(s, /* ordered= */ sl__is_sliced(s));
    sl__put_select(w, s, &inner, &cut);
    w->tables = &tables;
    put_name_of_inner(w, s);
    put_order(w, s, &(sl__cut){.ordered = ordered});
    w->tables = tables.outer;
}

void sl__put_select_node(sl__writer *w, const sl_selection *s, const sl_node *node, int scale, bool ordered)
{
    const sl__picked picked = {.kind = SL__PICK_NODE, .node = node, .scale = scale};
    bool sliced = sl__is_sliced(s);
    if (s->group_count || node->aggregate)
        sl__check_grouped(s, node, "the values");
    ordered = (ordered || sliced) && !node->aggregate && s->order_count;
    if (s->operator||(node->aggregate && sliced) || (s->distinct && (sliced || ordered || node->aggregate))) {
        put_around(w, s, &picked, ordered);
        return;
    }
    const sl__cut cut = sl__own_cut(s, ordered);
    sl__put_select(w, s, &picked, &cut);
}

void sl__put_exists(sl__writer *w, const sl_selection *s)
{
    /* SQLite leaves DISTINCT out in EXISTS, also where an OFFSET counts what is distinct: so that stands
     * inside. */
    bool inside = s->distinct && s->skip > 0;
    bool rows = s->operator|| sl__is_summary(s) || (s->distinct && sl__is_sliced(s));
    const sl__picked picked = {.kind = rows ? SL__PICK_ROWS : SL__PICK_ONE};
    const sl__cut cut = sl__own_cut(s, /* ordered= */ false);
    if (inside)
        SL__PUT(w, "SELECT 1 FROM (");
    sl__put_select(w, s, &picked, &cut);
    if (inside)
        SL__PUT(w, ") AS \"slice\"");
}

/* ---- A slice in the reverse order ---------------------------------------------------------------------- */

static unsigned count_given(const sl_selection *s)
{
    unsigned count = 0;
    const sl_model *model = s->columns ? s->model() : s->from->model();
    for (size_t i = 0; i < model->column_count; i++) {
        const sl_column *column = &model->columns[i];
        if (s->columns && column->kind == SL_KIND_ROW) {
            const sl_model *whole = sl__result_source(s, i)->model();
            for (size_t j = 0; j < whole->column_count; j++)
                count += !whole->columns[j].lazy;
        } else {
            count += !column->lazy;
        }
    }
    return count;
}

static void put_sorted_order(sl__writer *w, const sl_selection *s)
{
    for (uint32_t i = 0; i < s->order_count; i++) {
        unsigned number = number_of(s, s->orders[i]->operands[0]);
        if (i)
            SL__PUT(w, ", ");
        else
            SL__PUT(w, " ORDER BY ");
        if (number)
            SL__PUT(w, "\"c");
        else
            SL__PUT(w, "\"o");
        sl__put_number(w, number ? number : i + 1);
        SL__PUT(w, "\"");
        put_direction(w, s->orders[i], /* reversed= */ true);
    }
}

void sl__put_resorted(sl__writer *w, const sl_selection *s, const sl__cut *inner)
{
    bool by_number = s->operator&& s->columns;
    SL__PUT(w, "SELECT ");
    if (by_number)
        SL__PUT(w, "*");
    unsigned count = by_number ? 0 : count_given(s);
    for (unsigned i = 1; i <= count; i++) {
        if (i > 1)
            SL__PUT(w, ", ");
        SL__PUT(w, "\"c");
        sl__put_number(w, i);
        SL__PUT(w, "\"");
    }
    SL__PUT(w, " FROM (");
    sl__put_select(w, s, &(sl__picked){.kind = by_number ? SL__PICK_ROWS : SL__PICK_SORTED}, inner);
    SL__PUT(w, ") AS \"slice\"");
    if (by_number)
        put_order_by_number(w, s, &(sl__cut){.ordered = true, .reversed = true});
    else
        put_sorted_order(w, s);
}
