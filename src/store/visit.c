/* visit.c: going through the nodes of a selection, and through the models that it reads. */
#include "store/compile.h"

static void visit_all(const sl_node *const *nodes, size_t count, sl__node_visitor *fn, void *data)
{
    for (size_t i = 0; i < count; i++)
        sl__node_visit(nodes[i], fn, data);
}

void sl__node_visit(const sl_node *node, sl__node_visitor *fn, void *data)
{
    fn(node, data);
    visit_all(node->operands, node->count, fn, data);
    if (sl__has_selection(node))
        sl__selection_visit(node->selection, fn, data);
}

static void visit_columns(const sl_selection *selection, sl__node_visitor *fn, void *data)
{
    const sl_model *model = selection->model();
    for (size_t i = 0; i < model->column_count; i++)
        if (model->columns[i].kind != SL_KIND_ROW)
            sl__node_visit(sl__result_node(selection, i), fn, data);
}

void sl__selection_visit(const sl_selection *selection, sl__node_visitor *fn, void *data)
{
    if (selection->operator) {
        sl__selection_visit(selection->left, fn, data);
        sl__selection_visit(selection->right, fn, data);
    } else if (selection->columns) {
        visit_columns(selection, fn, data);
    }
    visit_all(selection->joins, selection->join_count, fn, data);
    visit_all(selection->conditions, selection->condition_count, fn, data);
    visit_all(selection->groups, selection->group_count, fn, data);
    if (selection->having)
        sl__node_visit(selection->having, fn, data);
    visit_all(selection->orders, selection->order_count, fn, data);
}

/* ---- Models -------------------------------------------------------------------------------------------- */

/* The tables of a selection itself; those of its sub-selects are met among its nodes. */
static void own_models(const sl_selection *selection, sl__model_visitor *fn, void *data)
{
    if (selection->operator) {
        own_models(selection->left, fn, data);
        own_models(selection->right, fn, data);
        return;
    }
    fn(selection->from->model(), data);
    for (uint32_t i = 0; i < selection->join_count; i++)
        fn(selection->joins[i]->source->model(), data);
}

typedef struct models {
    sl__model_visitor *fn;
    void *data;
} models;

static void models_of_node(const sl_node *node, void *data)
{
    const models *m = data;
    if (sl__has_selection(node))
        own_models(node->selection, m->fn, m->data);
}

void sl__node_models(const sl_node *node, sl__model_visitor *fn, void *data)
{
    sl__node_visit(node, models_of_node, &(models){fn, data});
}

void sl__selection_models(const sl_selection *selection, sl__model_visitor *fn, void *data)
{
    own_models(selection, fn, data);
    sl__selection_visit(selection, models_of_node, &(models){fn, data});
}
