/* reference.c: objects that refer to others. */
#include "store/answer.h"
#include "core/task.h"

#include <stdlib.h>

static sl__table *target_table(const sl_site *site, const sl_row *row, unsigned column)
{
    return sl__table_of(site, sl__stores_here(true), row->model->columns[column].refers());
}

static sl_key_part part_of(const sl_row *row, unsigned column)
{
    return sl__key_part_of(&row->model->info->all[column], row);
}

/* Unless the column was set since. */
bool sl__link_holds(const sl_row *row, const sl__pending *link)
{
    const sl_column *column = &row->model->columns[link->column];
    const char *member = (const char *)row + column->offset;
    bool set = row->loaded >> link->column & 1;
    for (unsigned i = 0; i < column->size; i++)
        set |= member[i] != 0;
    return !set;
}

void sl__pending_drop(sl_row *row, unsigned column)
{
    sl__pending **link = &row->pending;
    while (*link && (*link)->column != column)
        link = &(*link)->next;
    if (*link)
        *link = (*link)->next;
}

void *sl__follow(const sl_site *site, const sl_row *row, const sl_node *node)
{
    unsigned column = sl__column_of(node);
    sl__model_info_of(site, row->model);
    for (const sl__pending *p = row->pending; p; p = p->next)
        if (p->column == column && p->target && sl__link_holds(row, p))
            return p->target;
    bool text = row->model->columns[column].kind == SL_KIND_TEXT;
    bool null = *sl__nulls_of(row) >> column & 1;
    if (null && (text || part_of(row, column).integer == 0)) /* else it was set, and the mask will follow */
        return NULL;
    sl_key_part key = part_of(row, column);
    if (text && !key.text)
        return NULL;
    sl__table *table = target_table(site, row, column);
    return sl__load(site, table->model, &key, 1);
}

/* A text that is lent, or another task's, does not live as long as what refers to it. */
static void keep_text(sl_row *row, const sl__field *field, const sl_row *target)
{
    sl_transaction *t = sl_transaction_current();
    const char **text = (const char **)((char *)row + field->offset);
    bool ours = target->state == SL__ROW_STORED && target->session->transaction == t;
    if (field->kind == SL_KIND_TEXT && *text && !ours)
        *text = sl_arena_strdup(t ? t->arena : sl_task_arena(), *text);
}

void sl__row_link(const sl_site *site, sl_row *row, const sl_node *node, const void *object)
{
    unsigned column = sl__column_of(node);
    sl__model_info *info = sl__model_info_of(site, row->model);
    sl_row *target = (sl_row *)object;
    sl__pending_drop(row, column);
    uint64_t bit = UINT64_C(1) << column;
    if (!target) {
        memset((char *)row + info->all[column].offset, 0, row->model->columns[column].size);
        *sl__nulls_of(row) |= bit;
        return;
    }
    sl__table *table = target_table(site, row, column);
    if (target->state == SL__ROW_NEW)
        sl__add(site, target); /* what is linked to is to be stored as well */
    const sl__field *key = &table->info->all[table->info->keys[0]];
    if (target->state == SL__ROW_ADDED) {
        sl_transaction *t = sl_transaction_current();
        sl__pending *pending = sl_arena_zalloc(t ? t->arena : sl_task_arena(), sizeof *pending);
        *pending = (sl__pending){.next = row->pending, .column = column, .target = target};
        row->pending = pending;
        memset((char *)row + info->all[column].offset, 0, row->model->columns[column].size);
        *sl__nulls_of(row) |= bit;
        row->loaded &= ~bit;
        return;
    }
    memcpy((char *)row + info->all[column].offset, (const char *)target + key->offset,
           row->model->columns[column].size);
    keep_text(row, &info->all[column], target);
    *sl__nulls_of(row) &= ~bit;
}

sl__operand sl__key_operand(const sl_key_part *part)
{
    if (part->kind == SL_KIND_INTEGER)
        return sl__integer_operand(part->integer);
    return part->kind == SL_KIND_TEXT ? sl__text_operand(part->text) : sl__uuid_operand(part->uuid);
}

sl_selection *sl__found_among(const sl_site *site, const sl_source *source, const sl_key_part *keys,
                              size_t count)
{
    const sl_node **values = sl_zalloc((count + 1) * sizeof *values);
    for (size_t i = 0; i < count; i++)
        values[i] = sl__key_operand(&keys[i]);
    unsigned key = sl__model_info_of(site, source->model())->keys[0];
    sl_clause among = sl__in(site, &source->nodes[key], values);
    return sl__find(site, source, &among, 1);
}

/* The key of what a column refers to. */
static sl__operand operand_for(const sl_site *site, const sl_node *column, const sl_row *target)
{
    sl__model_info_of(site, column->source->model()); /* says where it cannot refer to that model */
    const sl__model_info *info = sl__model_info_of(site, target->model);
    if (target->state == SL__ROW_ADDED)
        sl__save(site);
    if (target->state == SL__ROW_NEW)
        sl__fail_error(
            site, sl_error_hint(sl__error_new(site, SL_EINVAL, "nothing can refer to %s: it is not stored",
                                              sl__row_named(target)),
                                "sl_add it first"));
    sl_key_part key = sl__key_part_of(&info->all[info->keys[0]], target);
    return sl__key_operand(&key);
}

sl_selection *sl__referring(const sl_site *site, const sl_source *source, const sl_node *column,
                            const void *target)
{
    sl_clause condition = sl__comparison(site, "=", column, operand_for(site, column, target));
    return sl__find(site, source, &condition, 1);
}

sl_selection *sl__linked(const sl_site *site, const sl_source *source, const sl_node *near,
                         const sl_node *far, const void *target)
{
    sl_clause of_target = sl__comparison(site, "=", far, operand_for(site, far, target));
    const sl_selection *links = sl__find(site, far->source, &of_target, 1);
    const sl__model_info *info = sl__model_info_of(site, source->model());
    sl_clause condition = sl__in_found(site, &source->nodes[info->keys[0]], links, near);
    return sl__find(site, source, &condition, 1);
}

/* ---- Preloading -------------------------------------------------------------------------------------- */
/* For each column named, one query (for each AT_ONCE keys) reads what is referred to and is not there yet.
 * The objects go into the identity map, where sl_follow finds them. Columns of a model that an earlier one
 * brought are looked at in what that brought. */

enum { AT_ONCE = 16384 };

typedef struct batch {
    const sl_site *site;
    sl_session *session;
    sl__row_list rows; /* that were found so far, of all models */
} batch;

static void add_row(batch *b, sl_row *row)
{
    if (row)
        sl__row_list_add(sl_task_arena(), &b->rows, row);
}

static const sl_source *source_of(sl_model *model)
{
    /* As a query would name it: columns of the model's own table. */
    sl_node *nodes = sl_zalloc(model->column_count * sizeof *nodes);
    sl_source *source = sl_alloc(sizeof *source);
    for (unsigned i = 0; i < model->column_count; i++)
        nodes[i] = (sl_node){.kind = SL__NODE_COLUMN, .type = model->columns[i].kind, .source = source};
    *source = (sl_source){.nodes = nodes};
    return source;
}

static void read_keys(batch *b, const sl__table *table, sl_model_fn *model, const sl_key_part *keys,
                      size_t count)
{
    sl_source *source = (sl_source *)source_of(table->model);
    source->model = model;
    sl__reading reading SL_CLEANUP(sl__reading_end) = {0};
    sl__reading_begin(b->site, sl__found_among(b->site, source, keys, count), SL__ROWS, -1, /* lent= */ false,
                      &reading);
    for (sl_row *row; (row = sl__reading_next(&reading));)
        add_row(b, row);
}

static int compare_parts(const void *a, const void *b)
{
    const sl_key_part *x = a, *y = b;
    if (x->kind == SL_KIND_INTEGER)
        return (x->integer > y->integer) - (x->integer < y->integer);
    return x->kind == SL_KIND_TEXT ? strcmp(x->text, y->text) : memcmp(&x->uuid, &y->uuid, sizeof x->uuid);
}

static void preload_column(batch *b, const sl_node *node)
{
    unsigned column = sl__column_of(node);
    sl_model *model = node->source->model();
    sl_model_fn *target = model->columns[column].refers;
    sl__table *table = sl__table_of(b->site, b->session->store->stores, target());
    sl_key_part *keys = sl_alloc((b->rows.count + 1) * sizeof *keys);
    size_t count = 0, before = b->rows.count;
    for (size_t i = 0; i < before; i++) {
        const sl_row *row = b->rows.items[i];
        if (row->model->index != model->index || *sl__nulls_of(row) >> column & 1)
            continue;
        keys[count] = part_of(row, column);
        sl_row *there = sl__map_find(b->session, table, &keys[count], sl__hash_of(table, &keys[count]));
        if (there)
            add_row(b, there); /* for the next level */
        else
            count++;
    }
    qsort(keys, count, sizeof *keys, compare_parts);
    size_t distinct = 0;
    for (size_t i = 0; i < count; i++)
        if (!distinct || compare_parts(&keys[distinct - 1], &keys[i]) != 0)
            keys[distinct++] = keys[i];
    for (size_t from = 0; from < distinct; from += AT_ONCE)
        read_keys(b, table, target, keys + from, distinct - from < AT_ONCE ? distinct - from : AT_ONCE);
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
    for (uint32_t i = 0; i < selection->preload_count; i++)
        preload_column(&b, selection->preloads[i]);
}
