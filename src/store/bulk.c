/* bulk.c: changes to many rows by one statement, and SQL of one's own. */
#include "store/answer.h"
#include "core/task.h"

#include <stdlib.h>

/* ---- Objects that are there --------------------------------------------------------------------------- */

/* So many rows are asked for at once. */
enum { AT_ONCE = 1024 };

/* Reads rows anew by their keys. Those that do not come are gone, unless another task has looked at them. */
static void read_anew(const sl_site *site, sl_session *session, const sl_source *source, sl_row *const *rows,
                      size_t count)
{
    const sl__model_info *info = rows[0]->model->info;
    sl_key_part *keys = sl_alloc(count * sizeof *keys);
    uint32_t old = session->generation - 1;
    for (size_t i = 0; i < count; i++) {
        sl__key_of(info, rows[i], &keys[i]);
        rows[i]->generation = old;
    }
    sl__reading reading SL_CLEANUP(sl__reading_end) = {0};
    sl__reading_begin(site, sl__found_among(site, &source->nodes[info->keys[0]], keys, count), SL__ROWS, -1,
                      /* lent= */ false, &reading);
    while (sl__reading_next(&reading))
        ;
    for (size_t i = 0; i < count; i++)
        if (rows[i]->state == SL__ROW_STORED && rows[i]->generation == old && !sl__row_edited(rows[i])) {
            sl__touch(session, rows[i], /* inserted= */ false);
            sl__row_gone(session, rows[i]);
        }
}

/* The objects of a table that were read before are brought up to date. */
static void refresh_all(const sl_site *site, sl_session *session, const sl__table *table,
                        const sl_source *source)
{
    /* Some are taken out of the map meanwhile: first note who is there. */
    sl_row **rows = sl_alloc((session->map_count + 1) * sizeof *rows);
    size_t count = 0;
    uint32_t position = 0;
    for (sl_row *row; (row = sl__map_next(session, &position));)
        if (row->state == SL__ROW_STORED && row->model->index == table->model->index && !sl__row_edited(row))
            rows[count++] = row;
    bool single = table->info->key_count == 1;
    for (size_t i = 0, some; i < count; i += some) {
        some = !single ? 1 : count - i < AT_ONCE ? count - i : AT_ONCE;
        if (single && some > 1)
            read_anew(site, session, source, rows + i, some);
        else if (rows[i]->state == SL__ROW_STORED && !sl__row_edited(rows[i]))
            sl__row_refresh(site, session, table, rows[i]);
    }
}

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

/* A change of what a selection gives, and where it is made. */
typedef struct change {
    const sl_site *site;
    const sl_selection *selection;
    sl_store *store;
    sl__table *table;
    sl_session *session;
    sl__statement statement;
} change;

static change change_of(const sl_site *site, const sl_selection *selection)
{
    sl__table *table = sl__selection_table(site, selection);
    return (change){.site = site, .selection = selection, .store = table->store, .table = table};
}

static void begin_change(change *c, sl__what what, const sl_node *const *nodes, size_t count)
{
    sl__nodes_in(c->site, c->table, nodes, count);
    sl__compile(c->selection, c->store->dialect, what, nodes, count, -1, &c->statement);
    c->statement.site = c->site;
    c->statement.writes = true;
    c->session = sl__session_of(c->site, c->store, /* writes= */ true);
    if (!c->selection->none)
        sl__session_settle(c->site, c->session);
}

/* What is set, as `keys` says also to the primary key. */
static void begin_update(change *c, sl__what what, const sl_clause *assignments, size_t count, bool *ret_keys)
{
    const sl__model_info *info = c->table->info;
    const sl_node **nodes = sl_alloc((count + 1) * sizeof *nodes);
    bool version = info->version >= 0;
    *ret_keys = false;
    for (size_t i = 0; i < count; i++) {
        if (assignments[i].node->kind != SL__NODE_ASSIGN)
            sl__fail_error(c->site, sl_error_hint(sl__error_new(c->site, SL_EINVAL,
                                                                "sl_update takes sl_to(column, value)"),
                                                  "conditions stand in the sl_find"));
        nodes[i] = checked(c->site, assignments[i].node);
        unsigned column = sl__column_of(nodes[i]->operands[0]);
        version = version && column != (unsigned)info->version;
        for (unsigned k = 0; k < info->key_count; k++)
            *ret_keys |= info->keys[k] == column;
    }
    if (!count)
        sl__fail(c->site, SL_EINVAL, "sl_update sets nothing");
    if (version)
        nodes[count++] = raise_version(c->site, c->selection->from, info);
    begin_change(c, what, nodes, count);
}

int64_t sl__update(const sl_site *site, const sl_selection *selection, const sl_clause *assignments,
                   size_t count)
{
    change c = change_of(site, selection);
    bool keys;
    begin_update(&c, SL__UPDATE, assignments, count, &keys);
    int64_t rows = selection->none ? 0 : sl__run_whole(c.session, &c.statement);
    if (rows)
        refresh_all(site, c.session, c.table, selection->from);
    return rows;
}

/* What refers to what was deleted may have gone as well. */
static void look_after_delete(change *c)
{
    c->session->generation++;
    refresh_all(c->site, c->session, c->table, c->selection->from);
}

int64_t sl__delete(const sl_site *site, const sl_selection *selection)
{
    change c = change_of(site, selection);
    begin_change(&c, SL__DELETE, NULL, 0);
    int64_t rows = selection->none ? 0 : sl__run_whole(c.session, &c.statement);
    if (rows)
        look_after_delete(&c);
    return rows;
}

/* ---- And what was changed ------------------------------------------------------------------------------ */

typedef sl_row *take_fn(sl__running *running, const sl__table *table);

/* An object of nobody's, with all of its columns: what is lazy is not there to be read later. */
static sl_row *take_deleted(sl__running *running, const sl__table *table)
{
    sl_session *session = running->session;
    sl_model *model = table->model;
    sl_row *row = sl_arena_zalloc(session->arena, model->size);
    *row = (sl_row){.model = model, .state = SL__ROW_FREE, .loaded = table->info->lazy};
    sl_error *error =
        running->cursor->driver->read(running->cursor, 0, table->info->all, (unsigned)model->column_count,
                                      row, sl__nulls_of(row), session->arena);
    if (error)
        sl__run_fail(running, error);
    if (table->info->json)
        sl__json_keep(session, row, UINT64_MAX);
    if (model->loaded)
        model->loaded(row);
    return row;
}

static sl__row_list *run_returning(change *c, take_fn *take)
{
    sl_arena *arena = c->session->arena;
    sl__row_list *list = sl_arena_zalloc(arena, sizeof *list);
    if (c->selection->none)
        return list;
    c->statement.kept = true;
    sl__running running SL_CLEANUP(sl__run_end) = {0};
    bool more = false;
    sl_error *error = sl__run_begin(c->session, &c->statement, &running);
    while (!error && !(error = sl__run_step(&running, &more)) && more) /* it takes hold when it is through */
        sl__row_list_add(arena, list, take(&running, c->table));
    if (error)
        sl__run_fail(&running, error);
    return list;
}

static void *with_preloads(const change *c, sl__row_list *list)
{
    if (c->selection->preload_count)
        sl__preload_all(c->site, c->session, c->selection, list->items, list->count);
    return list;
}

void *sl__update_returning(const sl_site *site, const sl_selection *selection, const sl_clause *assignments,
                           size_t count)
{
    change c = change_of(site, selection);
    bool keys;
    begin_update(&c, SL__UPDATE_RETURNING, assignments, count, &keys);
    sl__row_list *list = run_returning(&c, sl__row_read_over);
    if (list->count && keys) /* whose key was another is not there any more */
        refresh_all(site, c.session, c.table, selection->from);
    return with_preloads(&c, list);
}

void *sl__delete_returning(const sl_site *site, const sl_selection *selection)
{
    change c = change_of(site, selection);
    begin_change(&c, SL__DELETE_RETURNING, NULL, 0);
    sl__row_list *list = run_returning(&c, take_deleted);
    if (list->count)
        look_after_delete(&c);
    return with_preloads(&c, list);
}

/* ---- One object ---------------------------------------------------------------------------------------- */

/* The row as it is stored, in its version. */
static const sl_selection *found_by_key(const sl_site *site, const sl_source *source, const sl_row *row)
{
    const sl__model_info *info = row->model->info;
    sl_key_part key[SL__KEY_PARTS];
    sl_clause conditions[SL__KEY_PARTS + 1];
    unsigned count = info->key_count;
    sl__key_of(info, row, key);
    for (unsigned i = 0; i < count; i++)
        conditions[i] = sl__comparison(site, "=", &source->nodes[info->keys[i]], sl__key_operand(&key[i]));
    if (info->version >= 0) {
        int64_t version = *(const int64_t *)((const char *)row + info->all[info->version].offset);
        conditions[count++] =
            sl__comparison(site, "=", &source->nodes[info->version], sl__integer_operand(version));
    }
    return sl__find(site, source, conditions, count);
}

bool sl__row_assign(const sl_site *site, sl_session *session, const sl_row *row, const sl__pending *pending)
{
    const sl_node *assignments[SL_COLUMNS_MAX + 1];
    const sl_source *source = NULL;
    size_t count = 0;
    for (const sl__pending *p = pending; p; p = p->next)
        if (p->expression) {
            source = p->node->source;
            assignments[count++] = sl__to(site, p->node, p->expression).node;
        }
    if (row->model->info->version >= 0)
        assignments[count++] = raise_version(site, source, row->model->info);
    sl__statement statement;
    sl__compile(found_by_key(site, source, row), session->store->dialect, SL__UPDATE, assignments, count, -1,
                &statement);
    statement.site = site;
    statement.writes = statement.quick = true;
    return sl__run_whole(session, &statement) > 0;
}

/* ---- Raw SQL ----------------------------------------------------------------------------------------- */

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
