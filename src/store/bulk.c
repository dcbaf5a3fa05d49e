/* bulk.c: changes to many rows by one statement, and SQL of one's own. */
#include "store/answer.h"
#include "core/task.h"

#include <stdlib.h>

/* ---- Update and delete --------------------------------------------------------------------------------- */

static const sl_node *checked(const sl_site *site, const sl_node *assignment)
{
    const sl_node *target = assignment->operands[0], *given = assignment->operands[1];
    const sl_model *model = target->source->model();
    const sl_column *column = &model->columns[sl__column_of(target)];
    if (given->kind != SL__NODE_PARAMETER)
        return assignment;
    sl_value value = given->value;
    const char *wrong = NULL;
    if (value.null)
        wrong = column->required || column->primary_key ? "is missing" : NULL;
    else
        wrong = sl__value_check(column, &value);
    if (wrong)
        sl__fail(site, SL_EINVALID, "%s.%s cannot be set: it %s", model->name, column->name, wrong);
    sl_node *parameter = sl_alloc(sizeof *parameter), *copy = sl_alloc(sizeof *copy);
    *parameter = *given;
    parameter->value = value;
    const sl_node **operands = sl_alloc(2 * sizeof *operands);
    operands[0] = target;
    operands[1] = parameter;
    *copy = *assignment;
    copy->operands = operands;
    return copy;
}

/* Optimistic locking counts these changes, too. */
static const sl_node *raise_version(const sl_site *site, const sl_source *source, const sl__model_info *info)
{
    sl_integer_expr version = {&source->nodes[info->version]};
    return sl__to(site, version.node, sl__operation(site, "+", version.node, sl__integer_operand(1))).node;
}

int64_t sl__update(const sl_site *site, const sl_selection *selection, const sl_clause *assignments,
                   size_t count)
{
    sl_store *store = sl__selection_store(site, selection);
    sl__table *table = sl__table_of(site, store->stores, selection->from->model());
    const sl_node **nodes = sl_alloc((count + 1) * sizeof *nodes);
    bool version = table->info->version >= 0;
    for (size_t i = 0; i < count; i++) {
        if (assignments[i].node->kind != SL__NODE_ASSIGN)
            sl__fail_error(
                site, sl_error_hint(sl__error_new(site, SL_EINVAL, "sl_update takes sl_to(column, value)"),
                                    "conditions stand in the sl_find"));
        nodes[i] = checked(site, assignments[i].node);
        version = version && sl__column_of(nodes[i]->operands[0]) != (unsigned)table->info->version;
    }
    if (!count)
        sl__fail(site, SL_EINVAL, "sl_update sets nothing");
    if (version)
        nodes[count++] = raise_version(site, selection->from, table->info);
    sl__statement statement;
    sl__compile(selection, store->dialect, SL__UPDATE, nodes, count, -1, &statement);
    statement.site = site;
    statement.writes = true;
    sl_session *session = sl__session_of(site, store, /* writes= */ true);
    if (selection->none)
        return 0;
    sl__session_settle(site, session);
    int64_t rows = sl__run_whole(session, &statement);
    if (rows)
        sl__session_refresh(site, session, table);
    return rows;
}

int64_t sl__delete(const sl_site *site, const sl_selection *selection)
{
    sl_store *store = sl__selection_store(site, selection);
    sl__statement statement;
    sl__compile(selection, store->dialect, SL__DELETE, NULL, 0, -1, &statement);
    statement.site = site;
    statement.writes = true;
    sl_session *session = sl__session_of(site, store, /* writes= */ true);
    if (selection->none)
        return 0;
    sl__session_settle(site, session);
    int64_t rows = sl__run_whole(session, &statement);
    if (rows) { /* what refers to them may have gone as well */
        session->generation++;
        sl__session_refresh(site, session, sl__table_of(site, store->stores, selection->from->model()));
    }
    return rows;
}

static sl__operand operand_of(const sl_key_part *part)
{
    if (part->kind == SL_KIND_INTEGER)
        return sl__integer_operand(part->integer);
    return part->kind == SL_KIND_TEXT ? sl__text_operand(part->text) : sl__uuid_operand(part->uuid);
}

void sl__row_assign(const sl_site *site, sl_session *session, const sl_row *row, const sl_node *column,
                    const sl_node *expression)
{
    const sl__model_info *info = row->model->info;
    sl_key_part key[SL__KEY_PARTS];
    sl_clause conditions[SL__KEY_PARTS];
    sl__key_of(info, row, key);
    for (unsigned i = 0; i < info->key_count; i++)
        conditions[i] = sl__comparison(site, "=", &column->source->nodes[info->keys[i]], operand_of(&key[i]));
    const sl_selection *one = sl__find(site, column->source, conditions, info->key_count);
    const sl_node *assignment = sl__to(site, column, expression).node;
    sl__statement statement;
    sl__compile(one, session->store->dialect, SL__UPDATE, &assignment, 1, -1, &statement);
    statement.site = site;
    statement.writes = statement.quick = true;
    sl__run_whole(session, &statement);
}

/* ---- Raw SQL
 * ----------------------------------------------------------------------------------------------------------------
 */

int64_t sl__execute(const sl_site *site, const char *name, const char *text, const sl_node *const *values)
{
    sl_store *store = sl__store_named(site, name);
    sl__statement statement;
    sl__compile_raw(site, text, values, store->dialect, &statement);
    statement.site = site;
    statement.writes = true;
    sl_session *session = sl__session_of(site, store, /* writes= */ true);
    sl__session_settle(site, session);
    int64_t rows = sl__run_whole(session, &statement);
    session->generation++;
    return rows;
}
