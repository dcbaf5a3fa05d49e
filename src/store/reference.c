/* reference.c: objects that refer to others. */
#include "store/answer.h"
#include "core/task.h"

static sl__table *target_table(const sl_site *site, const sl_row *row, unsigned column)
{
    return sl__table_of(site, sl__stores_here(true), row->model->columns[column].refers());
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
    if (null &&
        (text || sl__row_part(row, column).integer == 0)) /* else it was set, and the mask will follow */
        return NULL;
    sl_key_part key = sl__row_part(row, column);
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

sl_selection *sl__found_among(const sl_site *site, const sl_node *column, const sl_key_part *keys,
                              size_t count)
{
    const sl_node **values = sl_zalloc((count + 1) * sizeof *values);
    for (size_t i = 0; i < count; i++)
        values[i] = sl__key_operand(&keys[i]);
    sl_clause among = sl__in(site, column, values);
    return sl__find(site, column->source, &among, 1);
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
    const sl_node *key = operand_for(site, column, target);
    sl_clause condition = sl__comparison(site, "=", column, key);
    sl_selection *found = sl__find(site, source, &condition, 1);
    found->of = column;
    found->key = key;
    return found;
}

sl_selection *sl__linked(const sl_site *site, const sl_source *source, const sl_node *near,
                         const sl_node *far, const void *target)
{
    const sl_node *key = operand_for(site, far, target);
    sl_clause of_target = sl__comparison(site, "=", far, key);
    const sl_selection *links = sl__find(site, far->source, &of_target, 1);
    const sl__model_info *info = sl__model_info_of(site, source->model());
    sl_clause condition = sl__in_found(site, &source->nodes[info->keys[0]], links, near);
    sl_selection *found = sl__find(site, source, &condition, 1);
    found->of = far;
    found->by = near;
    found->key = key;
    return found;
}
