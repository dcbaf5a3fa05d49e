/* expression.c: expressions and conditions of a sequence (expressions.py says how they look) as nodes. */
#include "ours.h"

#include <stdarg.h>
#include <stdlib.h>

/* ---- Tables ---- */

static const table models[] = {{"company", company_model, &company_},
                               {"person", person_model, &person_},
                               {"club", club_model, &club_},
                               {"membership", membership_model, &membership_}};
static const scope scopes[] = {{"company", &company_, NULL},
                               {"person", &person_, &scopes[0]},
                               {"club", &club_, &scopes[1]},
                               {"membership", &membership_, &scopes[2]}};
const scope *const all_models = &scopes[3];

void die(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    fprintf(stderr, "ours: ");
    vfprintf(stderr, format, arguments);
    fprintf(stderr, "\n");
    va_end(arguments);
    exit(2);
}

const table *model_named(const char *name)
{
    for (size_t i = 0; i < sl_array_size(models); i++)
        if (strcmp(models[i].name, name) == 0)
            return &models[i];
    die("there is no model %s", name);
}

const sl_source *source_of(const void *columns)
{
    return *(const sl_source *const *)columns;
}

const sl_node *node_of(const void *columns, unsigned column)
{
    return ((const sl_node *const *)columns)[column + 1];
}

unsigned column_named(const sl_model *m, const char *name)
{
    for (unsigned i = 0; i < m->column_count; i++)
        if (strcmp(m->columns[i].name, name) == 0)
            return i;
    die("%s has no column %s", m->name, name);
}

const void *table_named(const scope *s, const char *name)
{
    for (; s; s = s->outer)
        if (strcmp(s->name, name) == 0)
            return s->columns;
    die("there is no table %s", name);
}

json_t *part(const json_t *op, const char *name)
{
    json_t *found = json_object_get(op, name);
    if (!found)
        die("an operation without %s", name);
    return found;
}

const char *word(const json_t *op, const char *name)
{
    return json_string_value(part(op, name));
}

const char *text_of(const json_t *json)
{
    return json_string_value(json);
}

/* ---- Expressions ---- */

static const char *string_at(const json_t *list, size_t number)
{
    return json_string_value(json_array_get(list, number));
}

static const sl_node *expression_at(const json_t *list, size_t number, const scope *s)
{
    return expression_of(json_array_get(list, number), s);
}

static const sl_node *column_of(const json_t *e, const scope *s)
{
    const void *columns = table_named(s, string_at(e, 1));
    return node_of(columns, column_named(source_of(columns)->model(), string_at(e, 2)));
}

static sl_kind kind_of_function(const char *name, const sl_node *argument)
{
    if (strcmp(name, "length") == 0 || strncmp(name, "count", 5) == 0)
        return SL_KIND_INTEGER;
    return strcmp(name, "avg") == 0 ? SL_KIND_REAL : argument->type;
}

/* ["f", "coalesce", a, b], ["agg", "sum", a], ["agg", "count*"] */
static const sl_node *function_of(const json_t *e, const scope *s)
{
    const sl_node *arguments[3] = {NULL};
    const char *name = string_at(e, 1);
    size_t count = json_array_size(e) - 2;
    for (size_t i = 0; i < count; i++)
        arguments[i] = expression_at(e, i + 2, s);
    if (strcmp(name, "count*") == 0)
        name = "count(*)";
    return sl__function(SL_HERE, name, kind_of_function(name, arguments[0]), arguments, count);
}

const sl_node *expression_of(const json_t *e, const scope *s)
{
    const char *head = string_at(e, 0);
    if (strcmp(head, "c") == 0)
        return column_of(e, s);
    if (strcmp(head, "v") == 0)
        return operand_of(string_at(e, 1), json_array_get(e, 2));
    if (strcmp(head, "op") == 0)
        return sl__operation(SL_HERE, string_at(e, 1), expression_at(e, 2, s), expression_at(e, 3, s));
    if (strcmp(head, "f") == 0 || strcmp(head, "agg") == 0)
        return function_of(e, s);
    if (strcmp(head, "sub") == 0) {
        const scope *inner;
        const sl_selection *found = selection_of(json_array_get(e, 1), s, &inner);
        return sl__subselect(SL_HERE, found, expression_at(e, 2, inner));
    }
    die("there is no expression %s", head);
}

/* ---- Conditions ---- */

static sl_clause all_of(const json_t *c, const scope *s)
{
    size_t count = json_array_size(c) - 1;
    sl_clause *conditions = sl_alloc((count + 1) * sizeof *conditions);
    for (size_t i = 0; i < count; i++)
        conditions[i] = condition_of(json_array_get(c, i + 1), s);
    return sl__all_of(SL_HERE, *string_at(c, 0) == 'a' ? SL__NODE_AND : SL__NODE_OR, conditions, count);
}

static sl_clause in_values(const json_t *c, const scope *s)
{
    const json_t *values = json_array_get(c, 2);
    size_t count = json_array_size(values);
    const sl_node **nodes = sl_zalloc((count + 1) * sizeof *nodes);
    for (size_t i = 0; i < count; i++)
        nodes[i] = expression_at(values, i, s);
    return sl__in(SL_HERE, expression_at(c, 1, s), nodes);
}

static sl_clause in_array(const json_t *c, const scope *s)
{
    const json_t *values = json_array_get(c, 2);
    size_t count = json_array_size(values);
    const sl_node *x = expression_at(c, 1, s);
    int64_t *integers = sl_alloc((count + 1) * sizeof *integers);
    const char **texts = sl_alloc((count + 1) * sizeof *texts);
    for (size_t i = 0; i < count; i++) {
        const json_t *value = json_array_get(json_array_get(values, i), 2);
        integers[i] = json_integer_value(value);
        texts[i] = text_of(value);
    }
    return x->type == SL_KIND_TEXT ? sl__in_texts(SL_HERE, x, texts, count)
                                   : sl__in_integers(SL_HERE, x, integers, count);
}

static sl_clause like_of(const json_t *c, const scope *s)
{
    static const char *const kinds[] = {[SL__LIKE_PATTERN] = "like",
                                        [SL__LIKE_NOCASE] = "ilike",
                                        [SL__LIKE_PREFIX] = "prefix",
                                        [SL__LIKE_SUFFIX] = "suffix",
                                        [SL__LIKE_CONTAINS] = "contains"};
    for (size_t i = 0; i < sl_array_size(kinds); i++)
        if (strcmp(kinds[i], string_at(c, 1)) == 0)
            return sl__like(SL_HERE, (sl_text_expr){expression_at(c, 2, s)}, string_at(c, 3),
                            (sl__like_kind)i);
    die("there is no like %s", string_at(c, 1));
}

static sl_clause of_selection(const json_t *c, const scope *s)
{
    const scope *inner;
    if (strcmp(string_at(c, 0), "exists") == 0)
        return sl__exists(SL_HERE, selection_of(json_array_get(c, 1), s, &inner));
    const sl_selection *found = selection_of(json_array_get(c, 2), s, &inner);
    return sl__in_found(SL_HERE, expression_at(c, 1, s), found, expression_at(c, 3, inner));
}

sl_clause condition_of(const json_t *c, const scope *s)
{
    const char *head = string_at(c, 0);
    if (strcmp(head, "cmp") == 0)
        return sl__comparison(SL_HERE, string_at(c, 1), expression_at(c, 2, s), expression_at(c, 3, s));
    if (strcmp(head, "and") == 0 || strcmp(head, "or") == 0)
        return all_of(c, s);
    if (strcmp(head, "not") == 0)
        return sl__not(SL_HERE, condition_of(json_array_get(c, 1), s));
    if (strcmp(head, "in") == 0)
        return in_values(c, s);
    if (strcmp(head, "in_array") == 0)
        return in_array(c, s);
    if (strcmp(head, "between") == 0)
        return sl__between(SL_HERE, expression_at(c, 1, s), expression_at(c, 2, s), expression_at(c, 3, s));
    if (strcmp(head, "null") == 0)
        return sl__is_null(SL_HERE, expression_at(c, 1, s));
    if (strcmp(head, "true") == 0)
        return sl__truth(SL_HERE, (sl_boolean_expr){expression_at(c, 1, s)});
    if (strcmp(head, "like") == 0)
        return like_of(c, s);
    return of_selection(c, s);
}
