/* selection.c: selections of a sequence, of objects and of computed rows.
 *
 * What computed rows consist of is known at run time only, so their models are made then: one for each list
 * of kinds, kept as long as the program runs. A model is known by a function, which takes nothing: there are
 * as many functions as there may be such models. */
#include "ours.h"

#include <stdlib.h>

/* ---- Models of results ---- */

/* clang-format off */
#define SHAPES(X)                                                                                            \
    SHAPES_16(X, 0) SHAPES_16(X, 1) SHAPES_16(X, 2) SHAPES_16(X, 3)                                          \
    SHAPES_16(X, 4) SHAPES_16(X, 5) SHAPES_16(X, 6) SHAPES_16(X, 7)                                          \
    SHAPES_16(X, 8) SHAPES_16(X, 9) SHAPES_16(X, a) SHAPES_16(X, b)                                          \
    SHAPES_16(X, c) SHAPES_16(X, d) SHAPES_16(X, e) SHAPES_16(X, f)
#define SHAPES_16(X, high)                                                                                   \
    X(0x##high##0) X(0x##high##1) X(0x##high##2) X(0x##high##3)                                              \
    X(0x##high##4) X(0x##high##5) X(0x##high##6) X(0x##high##7)                                              \
    X(0x##high##8) X(0x##high##9) X(0x##high##a) X(0x##high##b)                                              \
    X(0x##high##c) X(0x##high##d) X(0x##high##e) X(0x##high##f)
/* clang-format on */

static sl_model *shapes[256];
#define SHAPE_FUNCTION(number)                                                                               \
    static sl_model *shape_##number(void)                                                                    \
    {                                                                                                        \
        return shapes[number];                                                                               \
    }
#define SHAPE_NAME(number) shape_##number,
SHAPES(SHAPE_FUNCTION)
static sl_model_fn *const shape_functions[] = {SHAPES(SHAPE_NAME)};

static const char *const cell_names[] = {"a", "b", "c", "d", "e", "f", "g", "h"};
enum { CELL = 16, CELLS = sl_array_size(cell_names) };

/* "integer text whole:person": what the rows consist of. */
static char *signature_of(const json_t *columns, const scope *s)
{
    sl_buffer out = {0};
    size_t i;
    json_t *column;
    json_array_foreach(columns, i, column)
    {
        const json_t *whole = json_object_get(column, "whole");
        if (whole)
            sl_buffer_printf(&out, "whole:%s ",
                             source_of(table_named(s, json_string_value(whole)))->model()->name);
        else
            sl_buffer_printf(&out, "%s ", word(column, "kind"));
    }
    return out.data;
}

static size_t size_of(sl_kind kind)
{
    switch (kind) {
    case SL_KIND_BYTES:
        return sizeof(sl_view);
    case SL_KIND_BOOLEAN:
        return sizeof(bool);
    case SL_KIND_DATE:
        return sizeof(sl_date);
    case SL_KIND_ENUM:
        return sizeof(enum colour);
    default:
        return sizeof(int64_t);
    }
}

static sl_model *shape_new(char *signature, const json_t *columns, const scope *s)
{
    size_t count = json_array_size(columns), first = (sizeof(sl_row) + CELL - 1) / CELL * CELL;
    sl_column *made = sl_calloc(CELLS, sizeof *made);
    sl_model *m = sl_calloc(1, sizeof *m);
    if (count > CELLS)
        die("rows of %zu columns", count);
    for (size_t i = 0; i < count; i++) {
        const json_t *column = json_array_get(columns, i), *whole = json_object_get(column, "whole");
        sl_kind kind = whole ? SL_KIND_ROW : kind_named(word(column, "kind"));
        made[i] = (sl_column){.name = cell_names[i],
                              .kind = kind,
                              .offset = (uint16_t)(first + i * CELL),
                              .size = (uint16_t)size_of(kind)};
        if (whole)
            made[i].refers = source_of(table_named(s, json_string_value(whole)))->model;
        if (kind == SL_KIND_ENUM)
            made[i].names = colour_names;
    }
    *m = (sl_model){.name = signature,
                    .size = first + count * CELL + sizeof(uint64_t),
                    .null_offset = first + count * CELL,
                    .column_count = count,
                    .columns = made,
                    .result = true};
    return m;
}

static sl_model_fn *shape_of(const json_t *columns, const scope *s)
{
    char *signature = signature_of(columns, s);
    size_t i = 0;
    while (i < sl_array_size(shapes) && shapes[i] && strcmp(shapes[i]->name, signature) != 0)
        i++;
    if (i == sl_array_size(shapes))
        die("more than %zu kinds of rows", i);
    if (shapes[i])
        free(signature);
    else
        shapes[i] = shape_new(signature, columns, s);
    return shape_functions[i];
}

/* ---- Clauses ---- */

typedef struct clauses {
    sl_clause *items;
    size_t count;
} clauses;

enum { CLAUSES_MAX = 64 };

static void add(clauses *c, sl_clause clause)
{
    if (c->count == CLAUSES_MAX)
        die("more than %d clauses", CLAUSES_MAX);
    c->items[c->count++] = clause;
}

static void add_tables(clauses *c, const json_t *find, const scope **s)
{
    size_t i;
    json_t *join;
    json_array_foreach(json_object_get(find, "joins"), i, join)
    {
        const table *m = model_named(word(join, "model"));
        const char *alias = json_string_value(json_object_get(join, "as"));
        scope *inner = sl_alloc(sizeof *inner);
        *inner =
            (scope){alias ? alias : m->name, alias ? sl__alias(SL_HERE, m->model, alias) : m->columns, *s};
        *s = inner;
        bool left = strcmp(word(join, "kind"), "left") == 0;
        add(c, sl__join(SL_HERE, left ? SL__NODE_LEFT_JOIN : SL__NODE_JOIN, source_of(inner->columns),
                        condition_of(part(join, "on"), *s)));
    }
}

static void add_rest(clauses *c, const json_t *find, const scope *s)
{
    size_t i;
    json_t *item;
    json_array_foreach(json_object_get(find, "where"), i, item) add(c, condition_of(item, s));
    json_array_foreach(json_object_get(find, "order"), i, item)
    {
        bool down = strcmp(json_string_value(json_array_get(item, 1)), "desc") == 0;
        const sl_node *node = expression_of(json_array_get(item, 0), s);
        add(c, sl__clause(SL_HERE, down ? SL__NODE_DESCENDING : SL__NODE_ASCENDING, &node, 1));
    }
    const json_t *group = json_object_get(find, "group"), *having = json_object_get(find, "having");
    if (json_array_size(group)) {
        const sl_node **nodes = sl_zalloc((json_array_size(group) + 1) * sizeof *nodes);
        json_array_foreach(group, i, item) nodes[i] = expression_of(item, s);
        add(c, sl__clause(SL_HERE, SL__NODE_GROUP, nodes, SIZE_MAX));
    }
    if (having) {
        sl_clause condition = condition_of(having, s);
        add(c, sl__clause(SL_HERE, SL__NODE_HAVING, &condition.node, 1));
    }
    if (json_object_get(find, "limit"))
        add(c, sl__number(SL_HERE, SL__NODE_LIMIT, json_integer_value(part(find, "limit"))));
    if (json_object_get(find, "skip"))
        add(c, sl__number(SL_HERE, SL__NODE_SKIP, json_integer_value(part(find, "skip"))));
    if (json_is_true(json_object_get(find, "distinct")))
        add(c, sl__clause(SL_HERE, SL__NODE_DISTINCT, NULL, 0));
}

static void add_preloads(clauses *c, const json_t *find, const table *m)
{
    size_t i;
    json_t *name;
    json_array_foreach(json_object_get(find, "preload"), i, name)
    {
        const sl_node *node = node_of(m->columns, column_named(m->model(), json_string_value(name)));
        add(c, sl__clause(SL_HERE, SL__NODE_PRELOAD, &node, 1));
    }
}

/* ---- Selections ---- */

static clauses clauses_new(void)
{
    return (clauses){.items = sl_alloc(CLAUSES_MAX * sizeof(sl_clause))};
}

static const scope *first_table(const json_t *find, const scope *outer)
{
    const table *m = model_named(word(find, "model"));
    const char *alias = json_string_value(json_object_get(find, "as"));
    scope *own = sl_alloc(sizeof *own);
    *own = (scope){alias ? alias : m->name, alias ? sl__alias(SL_HERE, m->model, alias) : m->columns, outer};
    return own;
}

static sl_selection *combined(const json_t *find)
{
    const scope *s;
    sl_selection *left = selection_of(part(find, "left"), NULL, &s);
    sl_selection *right = selection_of(part(find, "right"), NULL, &s);
    const char *kind = word(find, "combine");
    const char *operator= * kind == 'u' ? "UNION" : * kind == 'e' ? "EXCEPT" : "INTERSECT";
    return narrowed(sl__combined(SL_HERE, operator, left, right), find, s);
}

sl_selection *selection_of(const json_t *find, const scope *outer, const scope **ret_scope)
{
    if (json_object_get(find, "combine")) {
        const json_t *left = find;
        while (json_object_get(left, "combine"))
            left = part(left, "left");
        *ret_scope = first_table(left, outer);
        return combined(find);
    }
    const scope *s = first_table(find, outer);
    const sl_source *source = source_of(s->columns);
    clauses c = clauses_new();
    add_tables(&c, find, &s);
    add_rest(&c, find, s);
    add_preloads(&c, find, model_named(word(find, "model")));
    *ret_scope = s;
    return sl__find(SL_HERE, source, c.items, c.count);
}

sl_selection *results_of(const json_t *find, const json_t *columns, sl_model_fn **ret_model)
{
    const scope *s = first_table(find, NULL);
    const sl_source *source = source_of(s->columns);
    clauses c = clauses_new();
    add_tables(&c, find, &s);
    add_rest(&c, find, s);
    const void **given = sl_zalloc((json_array_size(columns) + 1) * sizeof *given);
    size_t i;
    json_t *column;
    json_array_foreach(columns, i, column)
    {
        const json_t *whole = json_object_get(column, "whole");
        given[i + 1] = whole ? (const void *)source_of(table_named(s, json_string_value(whole)))
                             : expression_of(part(column, "expr"), s);
    }
    *ret_model = shape_of(columns, s);
    return sl__select(SL_HERE, *ret_model, source, given, c.items, c.count);
}

sl_selection *narrowed(sl_selection *selection, const json_t *find, const scope *s)
{
    clauses c = clauses_new();
    add_rest(&c, find, s);
    return sl__narrow(SL_HERE, selection, c.items, c.count);
}
