/* write.c: operations that write. */
#include "ours.h"
#include "store/query.h"

/* ---- Objects ---- */

static void set_fields(sl_row *row, const json_t *values)
{
    const char *name;
    json_t *value;
    json_object_foreach((json_t *)values, name, value) set_field(row, column_named(row->model, name), value);
}

static void set_links(sequence *s, sl_row *row, const json_t *links)
{
    const table *m = model_named(row->model->name);
    const char *name, *why;
    json_t *slot;
    json_object_foreach((json_t *)links, name, slot)
    {
        const sl_row *target = slot_row(s, (int)json_integer_value(slot), &why);
        if (target)
            sl__row_link(SL_HERE, row, node_of(m->columns, column_named(row->model, name)), target);
    }
}

static sl_row *make(const sl_model *described, const json_t *values)
{
    sl_model *m = (sl_model *)described;
    sl__named named = {.text = "", .known = true};
    sl_row *row = sl__new(SL_HERE, m, sl_zalloc(m->size), &named);
    set_fields(row, values);
    return row;
}

static json_t *add(sequence *s, const json_t *op)
{
    const json_t *links = json_object_get(op, "links");
    bool late = json_is_true(json_object_get(op, "late"));
    sl_row *row = make(model_named(word(op, "model"))->model(), part(op, "values"));
    if (late)
        set_links(s, row, links);
    sl__add(SL_HERE, row);
    if (!late)
        set_links(s, row, links);
    put_slot(s, json_object_get(op, "as"), row);
    return json_null();
}

static sl_row *slot_of(sequence *s, const json_t *op, const char **ret_word)
{
    return slot_row(s, (int)json_integer_value(part(op, "slot")), ret_word);
}

static json_t *edit(sequence *s, const json_t *op)
{
    const char *why;
    sl_row *row = slot_of(s, op, &why);
    if (!row)
        return json_string(why);
    set_fields(sl__edit(SL_HERE, row), part(op, "values"));
    return json_null();
}

static json_t *link_to(sequence *s, const json_t *op)
{
    const char *why;
    const json_t *to = part(op, "to");
    sl_row *row = slot_of(s, op, &why), *target = NULL;
    if (row && !json_is_null(to) && !(target = slot_row(s, (int)json_integer_value(to), &why)))
        row = NULL;
    if (!row)
        return json_string(why);
    const table *m = model_named(row->model->name);
    sl__row_link(SL_HERE, sl__edit(SL_HERE, row),
                 node_of(m->columns, column_named(row->model, word(op, "column"))), target);
    return json_null();
}

static json_t *compute(sequence *s, const json_t *op)
{
    const char *why;
    sl_row *row = slot_of(s, op, &why);
    if (!row)
        return json_string(why);
    const table *m = model_named(row->model->name);
    sl__set_expression(SL_HERE, row, node_of(m->columns, column_named(row->model, word(op, "column"))),
                       expression_of(part(op, "expr"), all_models));
    return json_null();
}

static json_t *remove_one(sequence *s, const json_t *op)
{
    const char *why;
    sl_row *row = slot_of(s, op, &why);
    if (!row)
        return json_string(why);
    sl__remove(SL_HERE, row);
    return json_null();
}

static json_t *flush(sequence *s, const json_t *op)
{
    (void)s;
    (void)op;
    sl_save();
    return json_null();
}

/* ---- Many rows ---- */

static json_t *add_many(sequence *s, const json_t *op)
{
    const table *m = model_named(word(op, "model"));
    const json_t *rows = part(op, "rows");
    size_t count = json_array_size(rows);
    sl_row **objects = sl_alloc((count + 1) * sizeof *objects);
    (void)s;
    for (size_t i = 0; i < count; i++)
        objects[i] = make(m->model(), json_array_get(rows, i));
    sl__add_many(SL_HERE, m->model(), objects, count);
    return json_null();
}

static json_t *put_unless(sequence *s, const json_t *op, bool update)
{
    const table *m = model_named(word(op, "model"));
    const json_t *unique = part(op, "unique");
    const sl_node *columns[4] = {NULL};
    for (size_t i = 0; i < json_array_size(unique); i++)
        columns[i] =
            node_of(m->columns, column_named(m->model(), json_string_value(json_array_get(unique, i))));
    const sl_row *row = sl__add_unless(SL_HERE, make(m->model(), part(op, "values")), update, columns);
    json_t *result = seen(s, row);
    put_slot(s, json_object_get(op, "as"), row);
    return result;
}

static json_t *put(sequence *s, const json_t *op)
{
    return put_unless(s, op, /* update= */ true);
}

static json_t *unless(sequence *s, const json_t *op)
{
    return put_unless(s, op, /* update= */ false);
}

/* Of what is surely empty nothing is asked: ask.c. */
static sl_selection *changed_by(const json_t *op, const scope **ret_scope)
{
    sl_selection *selection = selection_of(part(op, "find"), NULL, ret_scope);
    if (selection->none)
        sl_save();
    return selection;
}

static json_t *update(sequence *s, const json_t *op)
{
    const scope *inner;
    const sl_selection *selection = changed_by(op, &inner);
    const table *m = model_named(word(part(op, "find"), "model"));
    sl_clause assignments[16];
    size_t count = 0;
    const char *name;
    json_t *e;
    (void)s;
    json_object_foreach(part(op, "set"), name, e) assignments[count++] =
        sl__to(SL_HERE, node_of(m->columns, column_named(m->model(), name)), expression_of(e, inner));
    return json_integer(sl__update(SL_HERE, selection, assignments, count));
}

static json_t *delete_all(sequence *s, const json_t *op)
{
    const scope *inner;
    (void)s;
    return json_integer(sl__delete(SL_HERE, changed_by(op, &inner)));
}

/* ---- SQL ---- */

/* The same as in storm_side.py. */
static json_t *execute(sequence *s, const json_t *op)
{
    const json_t *values = part(op, "values");
    int64_t a = json_integer_value(json_array_get(values, 0)),
            b = json_integer_value(json_array_get(values, 1));
    (void)s;
    switch (json_integer_value(part(op, "statement"))) {
    case 0:
        return json_integer(sl_execute(
            NULL, "UPDATE \"company\" SET \"rank\" = \"rank\" + ? WHERE \"id\" = ?", sl_p(a), sl_p(b)));
    case 1:
        return json_integer(
            sl_execute(NULL, "UPDATE \"person\" SET \"age\" = ? WHERE \"employer\" = ?", sl_p(a), sl_p(b)));
    default:
        return json_integer(sl_execute(NULL, "DELETE FROM \"membership\" WHERE \"member\" = ?", sl_p(a)));
    }
}

/* world.py says why. */
static json_t *given_keys(sequence *s, const json_t *op)
{
    (void)s;
    (void)op;
    sl_execute(NULL, "SELECT setval('company_id_seq', greatest((SELECT max(id) FROM company), 1000))");
    sl_execute(NULL, "SELECT setval('person_id_seq', greatest((SELECT max(id) FROM person), 1000))");
    return json_null();
}

const operation writing[] = {{"add", add},
                             {"edit", edit},
                             {"link", link_to},
                             {"compute", compute},
                             {"remove", remove_one},
                             {"flush", flush},
                             {"many", add_many},
                             {"put", put},
                             {"unless", unless},
                             {"update", update},
                             {"delete", delete_all},
                             {"execute", execute},
                             {"given-keys", given_keys},
                             {NULL}};
