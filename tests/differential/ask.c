/* ask.c: operations that ask. */
#include "ours.h"
#include "store/query.h"

/* ---- One object ---- */

static json_t *get(sequence *s, const json_t *op)
{
    const table *m = model_named(word(op, "model"));
    sl_key_part key[8];
    size_t count = key_parts(m->model(), part(op, "key"), key);
    bool locked = json_is_true(json_object_get(op, "locked"));
    const sl_row *row =
        locked ? sl__load_locked(SL_HERE, m->model(), key, count) : sl__load(SL_HERE, m->model(), key, count);
    json_t *result = seen(s, row);
    put_slot(s, json_object_get(op, "as"), row);
    return result;
}

static sl_row *slot_of(sequence *s, const json_t *op, const char **ret_word)
{
    return slot_row(s, (int)json_integer_value(part(op, "slot")), ret_word);
}

static json_t *show(sequence *s, const json_t *op)
{
    const char *why;
    if (!slot_of(s, op, &why))
        return json_string(why);
    sl_save();
    const sl_row *row = slot_of(s, op, &why); /* it may be gone now: read anew in any case */
    return row ? row_to_json(row, /* lazy= */ true) : json_string(why);
}

/* As it lies there: it was just set. */
static json_t *peek(sequence *s, const json_t *op)
{
    const sl_row *row = s->slots[json_integer_value(part(op, "slot"))];
    const char *why;
    size_t i;
    json_t *name;
    if (!is_alive(row))
        return slot_of(s, op, &why) ? json_string("there") : json_string(why);
    json_t *values = json_object();
    json_array_foreach(part(op, "columns"), i, name)
    {
        unsigned column = column_named(row->model, json_string_value(name));
        json_object_set_new(values, json_string_value(name), field_to_json(row, column));
    }
    return values;
}

static json_t *reload(sequence *s, const json_t *op)
{
    const char *why;
    const sl_row *row = slot_of(s, op, &why);
    if (!row)
        return json_string(why);
    row = sl__reload(SL_HERE, row);
    return row ? row_to_json(row, /* lazy= */ false) : json_string("gone");
}

static json_t *follow(sequence *s, const json_t *op)
{
    const char *why;
    const sl_row *row = slot_of(s, op, &why);
    if (!row)
        return json_string(why);
    const table *m = model_named(row->model->name);
    const sl_row *other =
        sl__follow(SL_HERE, row, node_of(m->columns, column_named(row->model, word(op, "column"))));
    AUTO_JSON *all = seen(s, other);
    json_t *result = json_null();
    if (other) {
        result = json_object();
        json_object_set(result, "same", json_object_get(all, "same"));
    }
    put_slot(s, json_object_get(op, "as"), other);
    return result;
}

/* ---- Many objects ---- */

typedef struct found {
    size_t count;
    const sl_row *const *items;
} found;

static json_t *answer_list(sequence *s, const json_t *op, const sl_selection *selection)
{
    const found *list = sl__list(SL_HERE, selection);
    json_t *rows = json_array(), *slot;
    size_t i;
    for (i = 0; i < list->count; i++)
        json_array_append_new(rows, seen(s, list->items[i]));
    json_array_foreach(json_object_get(op, "slots"), i, slot)
    {
        size_t number = (size_t)json_integer_value(json_array_get(slot, 1));
        if (number < list->count)
            put_slot(s, json_array_get(slot, 0), list->items[number]);
    }
    return rows;
}

static json_t *answer_each(const sl_selection *selection, bool as_json)
{
    AUTO_JSON *rows = json_array();
    sl__each each SL_CLEANUP(sl__each_leave) = {.selection = selection};
    for (const sl_row *row; (row = sl__each_next(SL_HERE, &each));) {
        AUTO_JSON *foreign = as_json ? sl__row_to_json(row) : NULL;
        json_array_append_new(rows, as_json ? foreign_row(row->model, foreign)
                                            : row_to_json(row, /* lazy= */ false));
    }
    return json_incref(rows);
}

static json_t *answer_rows(const sl_selection *selection, const sl_model *m)
{
    AUTO_JSON *given = sl__rows(SL_HERE, selection);
    json_t *rows = json_array(), *row;
    size_t i;
    json_array_foreach(given, i, row) json_array_append_new(rows, foreign_row(m, row));
    return rows;
}

/* Of what is surely empty nothing is asked, so that nothing is written before either; Storm does both. */
static void settle(const sl_selection *selection)
{
    if (selection->none)
        sl_save();
}

static json_t *answer(sequence *s, const json_t *op, const sl_selection *selection, const sl_model *m)
{
    const char *how = word(op, "how");
    settle(selection);
    if (strcmp(how, "list") == 0)
        return answer_list(s, op, selection);
    if (strcmp(how, "each") == 0)
        return answer_each(selection, s->at % 2);
    if (strcmp(how, "rows") == 0)
        return answer_rows(selection, m);
    const sl_row *row = strcmp(how, "first") == 0  ? sl__first(SL_HERE, selection)
                        : strcmp(how, "last") == 0 ? sl__last(SL_HERE, selection)
                                                   : sl__one(SL_HERE, selection);
    json_t *rows = json_array();
    if (row)
        json_array_append_new(rows, seen(s, row));
    return rows;
}

static json_t *find(sequence *s, const json_t *op)
{
    const scope *inner;
    const json_t *first = part(op, "find");
    const sl_selection *selection = selection_of(first, NULL, &inner);
    while (json_object_get(first, "combine"))
        first = part(first, "left");
    return answer(s, op, selection, model_named(word(first, "model"))->model());
}

static json_t *referring(sequence *s, const json_t *op)
{
    const char *why;
    const sl_row *row = slot_of(s, op, &why);
    if (!row)
        return json_string(why);
    const table *m = model_named(word(op, "model"));
    const sl_node *column = node_of(m->columns, column_named(m->model(), word(op, "column")));
    sl_selection *selection = sl__referring(SL_HERE, source_of(m->columns), column, row);
    return answer(s, op, narrowed(selection, part(op, "find"), all_models), m->model());
}

/* Persons and clubs, by memberships. */
static json_t *linked(sequence *s, const json_t *op)
{
    const char *why;
    const sl_row *row = slot_of(s, op, &why);
    if (!row)
        return json_string(why);
    const table *m = model_named(word(op, "model"));
    bool persons = strcmp(m->name, "person") == 0;
    const sl_node *near = persons ? membership_.member.node : membership_.club.node;
    const sl_node *far = persons ? membership_.club.node : membership_.member.node;
    sl_selection *selection = sl__linked(SL_HERE, source_of(m->columns), near, far, row);
    return answer(s, op, narrowed(selection, part(op, "find"), all_models), m->model());
}

/* ---- Computed rows ---- */

static json_t *cells_of(sequence *s, const sl_row *result, bool lent)
{
    json_t *cells = json_array();
    for (unsigned i = 0; i < result->model->column_count; i++) {
        const sl_column *c = &result->model->columns[i];
        if (c->kind != SL_KIND_ROW) {
            json_array_append_new(cells, field_to_json(result, i));
            continue;
        }
        const sl_row *row = *(const sl_row *const *)((const char *)result + c->offset);
        if (!row != field_is_null(result, i))
            die("a whole object that is both there and NULL");
        json_array_append_new(cells, !row ? json_null() : lent ? row_to_json(row, false) : seen(s, row));
    }
    return cells;
}

static json_t *cells_in_rows(const sl_selection *selection, const sl_model *m)
{
    AUTO_JSON *rows = answer_rows(selection, m);
    json_t *all = json_array(), *row;
    size_t i;
    json_array_foreach(rows, i, row)
    {
        json_t *cells = json_array();
        for (unsigned column = 0; column < m->column_count; column++)
            json_array_append(cells, json_object_get(row, m->columns[column].name));
        json_array_append_new(all, cells);
    }
    return all;
}

static json_t *select_rows(sequence *s, const json_t *op)
{
    sl_model_fn *model_of_rows;
    const sl_selection *selection = results_of(part(op, "find"), part(op, "columns"), &model_of_rows);
    const char *how = word(op, "how");
    settle(selection);
    AUTO_JSON *rows = json_array();
    if (strcmp(how, "list") == 0) {
        const found *list = sl__list(SL_HERE, selection);
        for (size_t i = 0; i < list->count; i++)
            json_array_append_new(rows, cells_of(s, list->items[i], /* lent= */ false));
    } else if (strcmp(how, "each") == 0) {
        sl__each each SL_CLEANUP(sl__each_leave) = {.selection = selection};
        for (const sl_row *row; (row = sl__each_next(SL_HERE, &each));)
            json_array_append_new(rows, cells_of(s, row, /* lent= */ true));
    } else {
        return cells_in_rows(selection, model_of_rows());
    }
    return json_incref(rows);
}

/* ---- Values ---- */

static const sl_selection *asked(const json_t *op)
{
    const scope *inner;
    sl_model_fn *rows;
    const json_t *columns = json_object_get(op, "columns");
    const sl_selection *selection =
        columns ? results_of(part(op, "find"), columns, &rows) : selection_of(part(op, "find"), NULL, &inner);
    settle(selection);
    return selection;
}

static json_t *count(sequence *s, const json_t *op)
{
    return json_integer(sl__count(SL_HERE, asked(op)));
}

static json_t *empty(sequence *s, const json_t *op)
{
    return json_boolean(sl__is_empty(SL_HERE, asked(op)));
}

static json_t *value(sequence *s, const json_t *op)
{
    const scope *inner;
    const sl_selection *selection = selection_of(part(op, "find"), NULL, &inner);
    const sl_node *x = expression_of(part(op, "expr"), inner);
    settle(selection);
    sl_value given = sl__one_value(SL_HERE, selection, x, sl__null_operand(NULL));
    return value_to_json(&given);
}

static json_t *dump(sequence *s, const json_t *op)
{
    static const char *const names[] = {"company", "person", "club", "membership"};
    AUTO_JSON *all = json_object();
    for (size_t i = 0; i < sl_array_size(names); i++) {
        const table *m = model_named(names[i]);
        sl_clause orders[2];
        size_t orders_count = 0;
        for (unsigned column = 0; column < m->model()->column_count; column++)
            if (m->model()->columns[column].primary_key) {
                const sl_node *node = node_of(m->columns, column);
                orders[orders_count++] = sl__clause(SL_HERE, SL__NODE_ASCENDING, &node, 1);
            }
        const found *list = sl__list(SL_HERE, sl__find(SL_HERE, source_of(m->columns), orders, orders_count));
        json_t *rows = json_array();
        for (size_t row = 0; row < list->count; row++)
            json_array_append_new(rows, row_to_json(list->items[row], /* lazy= */ true));
        json_object_set_new(all, m->name, rows);
    }
    return json_incref(all);
}

const operation asking[] = {{"get", get},       {"show", show},
                            {"peek", peek},     {"reload", reload},
                            {"follow", follow}, {"find", find},
                            {"linked", linked}, {"referring", referring},
                            {"count", count},   {"select", select_rows},
                            {"empty", empty},   {"value", value},
                            {"dump", dump},     {NULL}};
