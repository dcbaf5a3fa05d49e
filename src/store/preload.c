/* preload.c: reading what many objects refer to, and what refers to them, by one query for each level.
 *
 * For each column named, one query (for each AT_ONCE keys) reads what is referred to and is not there yet: it
 * goes into the identity map, where sl_follow finds it. Of what refers to the objects the session keeps which
 * it was, until rows of that table are changed. Columns of a model that an earlier one brought are looked at
 * in what that brought. */
#include "store/answer.h"
#include "core/task.h"

#include <stdlib.h>

enum { AT_ONCE = 16384 };

typedef struct batch {
    const sl_site *site;
    sl_session *session;
    sl__row_list rows; /* that were found so far, of all models */
} batch;

/* What refers to each of some keys, in one column. */
typedef struct sl__sets {
    struct sl__sets *next;
    unsigned model, column;
    uint32_t generation;
    size_t count;
    const sl_key_part *keys; /* in order, */
    sl__row_list *lists;     /* and for each what refers to it */
} sl__sets;

/* ---- Keys ---------------------------------------------------------------------------------------------- */

static int compare_parts(const void *a, const void *b)
{
    const sl_key_part *x = a, *y = b;
    if (x->kind == SL_KIND_INTEGER)
        return (x->integer > y->integer) - (x->integer < y->integer);
    return x->kind == SL_KIND_TEXT ? strcmp(x->text, y->text) : memcmp(&x->uuid, &y->uuid, sizeof x->uuid);
}

/* In order, each once. Gives how many are left. */
static size_t sort_keys(sl_key_part *keys, size_t count)
{
    size_t distinct = 0;
    qsort(keys, count, sizeof *keys, compare_parts);
    for (size_t i = 0; i < count; i++)
        if (!distinct || compare_parts(&keys[distinct - 1], &keys[i]) != 0)
            keys[distinct++] = keys[i];
    return distinct;
}

/* ---- Reading ------------------------------------------------------------------------------------------- */

static void add_row(batch *b, sl_row *row)
{
    if (row)
        sl__row_list_add(sl_task_arena(), &b->rows, row);
}

/* The rows of a table where a column, which may be the key, is one of these. */
static void read_among(batch *b, const sl_node *column, const sl_key_part *keys, size_t count)
{
    sl__reading reading SL_CLEANUP(sl__reading_end) = {0};
    sl__reading_begin(b->site, sl__found_among(b->site, column, keys, count), SL__ROWS, -1, /* lent= */ false,
                      &reading);
    for (sl_row *row; (row = sl__reading_next(&reading));)
        add_row(b, row);
}

/* As a query would name it: the key of the model's own table. */
static const sl_node *key_node(const sl_site *site, sl_model_fn *fn)
{
    sl_model *model = fn();
    sl_node *nodes = sl_zalloc(model->column_count * sizeof *nodes);
    sl_source *source = sl_alloc(sizeof *source);
    for (unsigned i = 0; i < model->column_count; i++)
        nodes[i] = (sl_node){.kind = SL__NODE_COLUMN, .type = model->columns[i].kind, .source = source};
    *source = (sl_source){.model = fn, .nodes = nodes};
    return &nodes[sl__model_info_of(site, model)->keys[0]];
}

static void preload_targets(batch *b, const sl_node *node)
{
    unsigned column = sl__column_of(node);
    sl_model *model = node->source->model();
    unsigned number = sl__model_number(model);
    sl_model_fn *target = model->columns[column].refers;
    sl__table *table = sl__table_of(b->site, b->session->store->stores, target());
    sl_key_part *keys = sl_alloc((b->rows.count + 1) * sizeof *keys);
    size_t count = 0, before = b->rows.count;
    for (size_t i = 0; i < before; i++) {
        const sl_row *row = b->rows.items[i];
        if (row->model->index != number || *sl__nulls_of(row) >> column & 1)
            continue;
        keys[count] = sl__row_part(row, column);
        sl_row *there = sl__map_find(b->session, table, &keys[count]);
        if (there && (there->generation == b->session->generation || sl__row_edited(there)))
            add_row(b, there); /* for the next level */
        else
            count++;
    }
    count = sort_keys(keys, count);
    for (size_t from = 0; from < count; from += AT_ONCE)
        read_among(b, key_node(b->site, target), keys + from,
                   count - from < AT_ONCE ? count - from : AT_ONCE);
}

/* ---- What refers to them ------------------------------------------------------------------------------- */

static sl__row_list *list_of(const sl__sets *sets, const sl_key_part *key)
{
    const sl_key_part *found = bsearch(key, sets->keys, sets->count, sizeof *key, compare_parts);
    return found ? &sets->lists[found - sets->keys] : NULL;
}

/* False where another task has changed one of them meanwhile. */
static bool fill_sets(sl_session *session, sl__sets *sets, sl_row *const *rows, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        sl_key_part key = sl__row_part(rows[i], sets->column);
        sl__row_list *list = *sl__nulls_of(rows[i]) >> sets->column & 1 ? NULL : list_of(sets, &key);
        if (!list)
            return false;
        sl__row_list_add(session->arena, list, rows[i]);
    }
    return true;
}

static void read_sets(batch *b, const sl_node *node, const sl_key_part *keys, size_t count)
{
    sl_session *session = b->session;
    size_t before = b->rows.count;
    uint32_t changes = session->changes, generation = session->generation;
    read_among(b, node, keys, count);
    sl__sets *sets = sl_arena_alloc(session->arena, sizeof *sets);
    *sets = (sl__sets){.next = session->sets,
                       .model = node->source->model()->index,
                       .column = sl__column_of(node),
                       .generation = generation,
                       .count = count,
                       .keys = keys,
                       .lists = sl_arena_zalloc(session->arena, count * sizeof *sets->lists)};
    if (changes == session->changes &&
        fill_sets(session, sets, b->rows.items + before, b->rows.count - before))
        session->sets = sets;
}

static void preload_referring(batch *b, const sl_node *node)
{
    const sl_column *column = &node->source->model()->columns[sl__column_of(node)];
    sl__table *table = sl__table_of(b->site, b->session->store->stores, column->refers());
    sl__table_of(b->site, b->session->store->stores, node->source->model());
    size_t count = 0, room = b->rows.count;
    sl_key_part *keys = sl_arena_alloc(b->session->arena, (room + 1) * sizeof *keys);
    for (size_t i = 0; i < room; i++)
        if (b->rows.items[i]->model->index == table->model->index)
            keys[count++] = sl__row_part(b->rows.items[i], table->info->keys[0]);
    count = sort_keys(keys, count);
    for (size_t from = 0; from < count; from += AT_ONCE)
        read_sets(b, node, keys + from, count - from < AT_ONCE ? count - from : AT_ONCE);
}

void sl__preload_all(const sl_site *site, sl_session *session, const sl_selection *selection,
                     sl_row *const *rows, size_t count)
{
    if (!session->transaction)
        sl__fail_error(site,
                       sl_error_hint(sl__error_new(site, SL_EINVAL,
                                                   "sl_preload needs a transaction to keep its objects in"),
                                     "ask in a request's handler or inside sl_transact"));
    batch b = {.site = site, .session = session};
    for (size_t i = 0; i < count; i++) {
        const sl_model *model = rows[i]->model;
        if (!model->result)
            add_row(&b, rows[i]);
        for (unsigned j = 0; model->result && j < model->column_count; j++)
            if (model->columns[j].kind == SL_KIND_ROW)
                add_row(&b, *(sl_row *const *)((const char *)rows[i] + model->columns[j].offset));
    }
    for (uint32_t i = 0; i < selection->preload_count; i++) {
        const sl_node *preload = selection->preloads[i];
        if (preload->kind == SL__NODE_PRELOAD)
            preload_targets(&b, preload->operands[0]);
        else
            preload_referring(&b, preload->operands[0]);
    }
}

/* ---- What was kept ------------------------------------------------------------------------------------- */

void sl__session_changed(sl_session *session, unsigned table)
{
    session->wrote = true;
    sl__sets_drop(session, table);
}

void sl__sets_drop(sl_session *session, unsigned table)
{
    session->changes++;
    for (sl__sets **link = &session->sets; *link;)
        if (!table || (*link)->model == table)
            *link = (*link)->next;
        else
            link = &(*link)->next;
}

static const sl__row_list *find_set(const sl_session *session, const sl_node *column, const sl_key_part *key)
{
    unsigned model = column->source->model()->index, number = sl__column_of(column);
    for (const sl__sets *sets = session->sets; sets; sets = sets->next) {
        if (sets->model != model || sets->column != number || sets->generation != session->generation)
            continue;
        const sl__row_list *list = list_of(sets, key);
        if (list)
            return list;
    }
    return NULL;
}

static bool is_whole_key(const sl__model_info *info, unsigned a, unsigned b)
{
    const unsigned *keys = info->keys;
    return info->key_count == 2 && ((keys[0] == a && keys[1] == b) || (keys[0] == b && keys[1] == a));
}

/* What the links refer to on their other side; NULL where not all of that is here, or it could come twice:
 * unless both sides are what a link is known by. */
static const sl__row_list *targets_of(sl_session *session, const sl__table *links, const sl__row_list *list,
                                      unsigned of, unsigned by)
{
    sl__table *table = sl__table_of(SL_HERE, session->store->stores, links->model->columns[by].refers());
    if (!is_whole_key(links->info, of, by))
        return NULL;
    sl__row_list *targets = sl_arena_zalloc(session->arena, sizeof *targets);
    for (size_t i = 0; i < list->count; i++) {
        sl_key_part key = sl__row_part(list->items[i], by);
        sl_row *target = sl__map_find(session, table, &key);
        if (!target || target->state != SL__ROW_STORED || target->generation != session->generation)
            return NULL;
        sl__row_list_add(session->arena, targets, target);
    }
    return targets;
}

const sl__row_list *sl__preloaded(const sl_site *site, const sl_selection *selection)
{
    if (!selection->of || selection->none || !sl_transaction_current())
        return NULL;
    sl__table *table;
    sl_session *session = sl__session_for(site, selection->of->source->model(), /* writes= */ false, &table);
    if (!session->sets)
        return NULL;
    sl__session_settle(site, session);
    const sl_value *value = &selection->key->value;
    sl_key_part key = {.kind = value->kind};
    if (value->kind == SL_KIND_INTEGER)
        key.integer = value->integer;
    else if (value->kind == SL_KIND_TEXT)
        key.text = value->text.data;
    else
        key.uuid = value->uuid;
    const sl__row_list *list = find_set(session, selection->of, &key);
    if (!list || !selection->by)
        return list;
    return targets_of(session, table, list, sl__column_of(selection->of), sl__column_of(selection->by));
}
