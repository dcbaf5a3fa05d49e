/* compile.c: the statement that answers a question about a selection. */
#include "store/compile.h"
#include "store/sql_split.h"

#include <strings.h>

static void put_counted(sl__writer *w, const sl_selection *s)
{
    bool rows = s->operator|| s->distinct || sl__is_summary(s);
    if (!rows && !s->group_count && !sl__is_sliced(s)) {
        sl__put_select(w, s, &(sl__picked){.kind = SL__PICK_COUNT}, &(sl__cut){.limit = -1, .skip = -1});
        return;
    }
    const sl__cut cut = sl__own_cut(s, /* ordered= */ false);
    SL__PUT(w, "SELECT count(*) FROM (");
    sl__put_select(w, s, &(sl__picked){.kind = rows ? SL__PICK_ROWS : SL__PICK_ONE}, &cut);
    SL__PUT(w, ") AS \"counted\"");
}

static void put_backwards(sl__writer *w, const sl_selection *s, int64_t limit)
{
    if (s->order_count == 0)
        sl__senseless(s->site, "sort it: sl_ascending(…) or sl_descending(…)",
                      "the last of a selection without an order");
    sl__cut cut = sl__own_cut(s, /* ordered= */ true);
    if (sl__is_sliced(s)) {
        sl__put_resorted(w, s, &cut);
        sl__put_slice(w, limit, -1);
        return;
    }
    cut.reversed = true;
    cut.limit = limit;
    sl__put_select(w, s, &(sl__picked){.kind = SL__PICK_ROWS}, &cut);
}

static void put_value(sl__writer *w, const sl_selection *s, const sl_node *node)
{
    if (s->group_count)
        sl__senseless(s->site, "make results of them with sl_select, or leave sl_group_by out",
                      "one value, and the rows are in groups");
    sl__put_select_node(w, s, node, sl__scale_of(node), /* ordered= */ true);
}

/* ---- Changes ------------------------------------------------------------------------------------------- */

static void check_change(const sl_selection *s, const char *name)
{
    const char *wrong = sl__is_sliced(s) ? "a slice (sl_limit, sl_skip)"
                        : s->group_count ? "groups (sl_group_by)"
                        : s->distinct    ? "distinct objects (sl_distinct)"
                        : s->operator    ? "a combined selection"
                        : s->columns     ? "results (sl_select)"
                                         : NULL;
    if (wrong)
        sl__senseless(
            s->site,
            "choose the objects by a condition: sl_in_found(model_.id, …, model_.id) of that selection",
            "%s of %s", name, wrong);
}

static void put_key(sl__writer *w, const sl_selection *s)
{
    const sl_model *model = s->from->model();
    unsigned count = 0;
    for (size_t i = 0; i < model->column_count; i++)
        if (model->columns[i].primary_key) {
            if (count++)
                SL__PUT(w, ", ");
            sl__put_node(w, &s->from->nodes[i]);
        }
}

/* Which rows an UPDATE or DELETE is for. With joins: those whose keys the joined tables give. */
static void put_changed_rows(sl__writer *w, const sl_selection *s)
{
    if (!s->join_count) {
        sl__put_where(w, s);
        return;
    }
    SL__PUT(w, " WHERE (");
    put_key(w, s);
    SL__PUT(w, ") IN (SELECT ");
    const sl__tables tables = {.outer = w->tables, .selection = s};
    w->tables = &tables;
    put_key(w, s);
    sl__put_tables(w, s);
    sl__put_where(w, s);
    w->tables = tables.outer;
    SL__PUT(w, ")");
}

static uint64_t check_assignment(const sl_selection *s, const sl_node *node, uint64_t before)
{
    if (!node || node->kind != SL__NODE_ASSIGN)
        sl__senseless(node && node->site ? node->site : s->site,
                      "conditions belong to the selection, before it",
                      "sl_update takes sl_to(column, value) only, and this is %s",
                      node ? sl__node_name(node) : "an empty clause");
    const sl_node *column = node->operands[0];
    if (!sl__same_source(column->source, s->from))
        sl__senseless(node->site, "one sl_update changes one table",
                      "sl_to of %s, and the selection is of %s", sl__node_name(column),
                      sl__source_name(s->from));
    uint64_t bit = UINT64_C(1) << (column - column->source->nodes);
    if (before & bit)
        sl__senseless(node->site, "leave one out", "sl_update sets %s twice", sl__node_name(column));
    return before | bit;
}

static void put_returning(sl__writer *w, const sl_selection *s, bool lazy)
{
    const sl_model *model = s->from->model();
    uint64_t columns = 0;
    for (size_t i = 0; i < model->column_count; i++)
        columns |= (uint64_t)(lazy || !model->columns[i].lazy) << i;
    SL__PUT(w, " RETURNING ");
    sl__put_own_columns(w, s, columns);
}

static void put_update(sl__writer *w, const sl_selection *s, const sl_node *const *nodes, size_t count,
                       bool returning)
{
    check_change(s, "sl_update");
    if (count == 0)
        sl__senseless(s->site, "say what is to change: sl_to(column, value)", "sl_update of nothing");
    const sl__tables tables = {.selection = s, .alone = true};
    w->tables = &tables;
    SL__PUT(w, "UPDATE ");
    sl__put_table(w, s->from);
    SL__PUT(w, " SET ");
    uint64_t set = 0;
    for (size_t i = 0; i < count; i++) {
        set = check_assignment(s, nodes[i], set);
        if (i)
            SL__PUT(w, ", ");
        sl__put_assignment(w, nodes[i]);
    }
    put_changed_rows(w, s);
    if (returning)
        put_returning(w, s, /* lazy= */ false);
    w->tables = NULL;
}

static void put_delete(sl__writer *w, const sl_selection *s, bool returning)
{
    check_change(s, "sl_delete");
    const sl__tables tables = {.selection = s, .alone = true};
    w->tables = &tables;
    SL__PUT(w, "DELETE FROM ");
    sl__put_table(w, s->from);
    put_changed_rows(w, s);
    if (returning) /* what is lazy cannot be read any more */
        put_returning(w, s, /* lazy= */ true);
    w->tables = NULL;
}

/* ---- Statements ---------------------------------------------------------------------------------------- */

static void note_slow(const sl_node *node, void *data)
{
    *(bool *)data |= sl__has_selection(node) || node->kind == SL__NODE_RAW;
}

/* Whether all that is looked at is in the rows themselves. */
static bool is_plain(const sl_selection *s, const sl_node *const *nodes, size_t count)
{
    bool slow = false;
    for (size_t i = 0; i < count; i++)
        sl__node_visit(nodes[i], note_slow, &slow);
    sl__selection_visit(s, note_slow, &slow);
    return !slow;
}

/* Whether the rows are found by their key. */
static bool is_by_key(const sl_selection *s)
{
    if (s->operator|| s->join_count || s->group_count)
        return false;
    const sl_model *model = s->from->model();
    uint64_t equal = 0;
    for (uint32_t i = 0; i < s->condition_count; i++) {
        const sl_node *node = s->conditions[i];
        if (node->kind != SL__NODE_COMPARISON || node->text[0] != '=' ||
            node->operands[0]->kind != SL__NODE_COLUMN || !sl__is_parameter(node->operands[1]) ||
            !sl__same_source(node->operands[0]->source, s->from))
            continue;
        const sl_column *column = sl__node_column(node->operands[0]);
        if (column->unique)
            return true;
        equal |= UINT64_C(1) << (column - model->columns);
    }
    uint64_t key = 0;
    for (size_t i = 0; equal && i < model->column_count; i++)
        key |= (uint64_t)model->columns[i].primary_key << i;
    return equal && (equal & key) == key;
}

static void put_statement(sl__writer *w, const sl_selection *s, sl__what what, const sl_node *const *nodes,
                          size_t count, int64_t limit)
{
    sl__cut cut;
    switch (what) {
    case SL__ROWS:
        cut = sl__own_cut(s, /* ordered= */ true);
        sl__put_select(w, s, &(sl__picked){.kind = SL__PICK_ROWS}, &cut);
        break;
    case SL__COUNT:
        put_counted(w, s);
        break;
    case SL__EXISTS:
        SL__PUT(w, "SELECT EXISTS (");
        sl__put_exists(w, s);
        SL__PUT(w, ")");
        break;
    case SL__VALUE:
        put_value(w, s, nodes[0]);
        break;
    case SL__UPDATE:
    case SL__UPDATE_RETURNING:
        put_update(w, s, nodes, count, what == SL__UPDATE_RETURNING);
        break;
    case SL__DELETE:
    case SL__DELETE_RETURNING:
        put_delete(w, s, what == SL__DELETE_RETURNING);
        break;
    case SL__BACKWARDS:
        put_backwards(w, s, limit);
        break;
    }
}

void sl__compile(const sl_selection *selection, sl__dialect dialect, sl__what what,
                 const sl_node *const *nodes, size_t node_count, int64_t limit, sl__statement *ret_statement)
{
    sl__writer w;
    sl_selection cut;
    sl__writer_init(&w, dialect, selection->site);
    bool limits = what == SL__ROWS || what == SL__COUNT || what == SL__EXISTS;
    if (limits && limit >= 0 && (selection->limit < 0 || limit < selection->limit)) {
        cut = *selection;
        cut.limit = limit;
        selection = &cut;
    }
    put_statement(&w, selection, what, nodes, node_count, limit);
    sl__writer_finish(&w, ret_statement);
    ret_statement->writes = what >= SL__UPDATE && what <= SL__DELETE_RETURNING;
    ret_statement->quick = is_by_key(selection) && is_plain(selection, nodes, node_count);
}

static bool begins_with(const char *text, const char *word)
{
    size_t size = strlen(word);
    return strncasecmp(text, word, size) == 0 &&
           (text[size] == ' ' || text[size] == '\n' || text[size] == '(');
}

/* The transaction is the library's: what a COMMIT had written would stay when it fails, and what a ROLLBACK
 * TO had undone would be there still for the objects. */
static void check_raw(const sl_site *site, const char *text, sl__dialect dialect)
{
    sl__sql_fault fault = sl__sql_look(dialect, sl_view_of(text));
    if (fault == SL__SQL_TRANSACTIONAL)
        sl__senseless(site, "use sl_transact and sl_savepoint",
                      "SQL may not begin or end transactions or savepoints");
    if (fault == SL__SQL_SEVERAL)
        sl__senseless(site, "run them one by one", "there is more than one statement in the SQL");
}

void sl__compile_raw(const sl_site *site, const char *text, const sl_node *const *values, sl__dialect dialect,
                     sl__statement *ret_statement)
{
    size_t count = 0;
    while (values[count])
        count++;
    check_raw(site, text, dialect);
    sl__writer w;
    sl__writer_init(&w, dialect, site);
    sl__put_raw(&w, site, text, values, count);
    sl__writer_finish(&w, ret_statement);
    const char *first = text + strspn(text, " \t\n(");
    ret_statement->writes = !begins_with(first, "SELECT") && !begins_with(first, "VALUES");
}
