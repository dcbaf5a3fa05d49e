/* template_value.c: what expressions are worth.
 *
 * A value is small and owns nothing: texts point into the data or into the scratch arena, so that rendering
 * counts no references. An unknown name is a value too (missing), which only the filter `default` may take;
 * everywhere else it is the error that it most often is, with the names that are known. */

#include "web/template.h"

#include <math.h>

int sl__render_wrong(sl__rendering *state, size_t offset, const char *hint, const char *format, ...)
{
    if (state->error)
        return SL_ETEMPLATE;
    SL_CLEANUP(sl_buffer_done) sl_buffer message = {0};
    va_list arguments;
    va_start(arguments, format);
    sl_buffer_vprintf(&message, format, arguments);
    va_end(arguments);
    state->error = sl__template_error(state->site, state->templ, offset, "%s", message.data);
    if (hint)
        sl_error_hint(state->error, "%s", hint);
    return SL_ETEMPLATE;
}

static sl__value simple(sl__value_kind kind)
{
    return (sl__value){.kind = kind};
}

static sl__value boolean(bool truth)
{
    return simple(truth ? SL__V_TRUE : SL__V_FALSE);
}

static sl__value integer(json_int_t number)
{
    return (sl__value){.kind = SL__V_INTEGER, .integer = number};
}

static sl__value text(const char *data, size_t size)
{
    return (sl__value){.kind = SL__V_STRING, .string = {data, size}};
}

sl__value sl__value_of(json_t *json)
{
    switch (json ? json_typeof(json) : JSON_NULL) {
    case JSON_NULL:
        return simple(SL__V_NULL);
    case JSON_TRUE:
        return simple(SL__V_TRUE);
    case JSON_FALSE:
        return simple(SL__V_FALSE);
    case JSON_INTEGER:
        return integer(json_integer_value(json));
    case JSON_REAL:
        return (sl__value){.kind = SL__V_REAL, .real = json_real_value(json)};
    case JSON_STRING:
        return text(json_string_value(json), json_string_length(json));
    default:
        return (sl__value){.kind = SL__V_JSON, .json = json};
    }
}

const char *sl__value_kind_name(const sl__value *value)
{
    static const char *const names[] = {
        [SL__V_MISSING] = "missing", [SL__V_NULL] = "null",        [SL__V_FALSE] = "false",
        [SL__V_TRUE] = "true",       [SL__V_INTEGER] = "a number", [SL__V_REAL] = "a number",
        [SL__V_STRING] = "a text",   [SL__V_JSON] = "a list",      [SL__V_LOOP] = "the loop",
    };
    if (value->kind == SL__V_JSON && json_is_object(value->json))
        return "an object";
    return names[value->kind];
}

static bool is_true(const sl__value *value)
{
    switch (value->kind) {
    case SL__V_MISSING:
    case SL__V_NULL:
    case SL__V_FALSE:
        return false;
    case SL__V_INTEGER:
        return value->integer != 0;
    case SL__V_REAL:
        return value->real != 0;
    case SL__V_STRING:
        return value->string.size > 0;
    case SL__V_JSON:
        return json_is_array(value->json) ? json_array_size(value->json) > 0
                                          : json_object_size(value->json) > 0;
    default:
        return true;
    }
}

/* ---- Names ------------------------------------------------------------------------------------------- */

typedef struct known_names {
    sl_buffer list;
    const char *wanted, *closest;
    size_t distance;
    unsigned count;
} known_names;

static void add_known(known_names *known, const char *name)
{
    size_t how_far = sl_word_distance(known->wanted, name);
    if (how_far < known->distance) {
        known->distance = how_far;
        known->closest = name;
    }
    if (known->count++ < 20)
        sl_buffer_printf(&known->list, "%s%s", known->list.size ? ", " : "", name);
}

static int unknown(sl__rendering *state, const sl__expression *name, json_t *object,
                   const sl__variable *variables, const char *message)
{
    known_names known = {.wanted = name->text, .distance = strlen(name->text) > 2 ? 3 : 2};
    for (const sl__variable *variable = variables; variable; variable = variable->outer)
        add_known(&known, variable->name);
    const char *key;
    json_t *value;
    json_object_foreach(object, key, value) add_known(&known, key);
    SL_CLEANUP(sl_buffer_done) sl_buffer list = known.list;
    SL_CLEANUP(sl_buffer_done) sl_buffer hint = {0};
    if (known.closest)
        sl_buffer_printf(&hint, "did you mean \"%s\"? ", known.closest);
    sl_buffer_printf(&hint, "Known here: %s%s. What may be missing is written %s | default(\"\")",
                     list.size ? list.data : "nothing", known.count > 20 ? ", …" : "", name->text);
    return sl__render_wrong(state, name->offset, hint.data, "%s \"%s\"", message, name->text);
}

static sl__value look_up(const sl__rendering *state, const char *name)
{
    for (const sl__variable *variable = state->variables; variable; variable = variable->outer)
        if (strcmp(variable->name, name) == 0)
            return variable->value;
    json_t *json = json_object_get(state->data, name);
    return json ? sl__value_of(json) : simple(SL__V_MISSING);
}

static sl__value loop_member(const sl__loop *loop, const char *name)
{
    if (strcmp(name, "index") == 0)
        return integer((json_int_t)loop->index + 1);
    if (strcmp(name, "first") == 0)
        return boolean(loop->index == 0);
    if (strcmp(name, "last") == 0)
        return boolean(loop->index + 1 == loop->length);
    if (strcmp(name, "length") == 0)
        return integer((json_int_t)loop->length);
    return simple(SL__V_MISSING);
}

/* Evaluates, leaving it to the caller that a name was missing. */
static int evaluate(sl__rendering *state, const sl__expression *expression, sl__value *ret_value);

static int evaluate_member(sl__rendering *state, const sl__expression *expression, sl__value *ret_value)
{
    sl__value left;
    int got = evaluate(state, expression->left, &left);
    if (got < 0)
        return got;
    *ret_value = simple(SL__V_MISSING);
    if (left.kind == SL__V_MISSING)
        return 0;
    if (left.kind == SL__V_LOOP) {
        *ret_value = loop_member(left.loop, expression->text);
        return 0;
    }
    if (left.kind == SL__V_NULL)
        return 0;
    if (left.kind != SL__V_JSON || !json_is_object(left.json))
        return sl__render_wrong(state, expression->offset, NULL,
                                "there is no member \"%s\": what stands before it is %s", expression->text,
                                sl__value_kind_name(&left));
    json_t *json = json_object_get(left.json, expression->text);
    if (json)
        *ret_value = sl__value_of(json);
    return 0;
}

static int evaluate_index(sl__rendering *state, const sl__expression *expression, sl__value *ret_value)
{
    sl__value left, index;
    int got = evaluate(state, expression->left, &left);
    if (got == 0 && left.kind != SL__V_MISSING)
        got = sl__evaluate(state, expression->right, &index);
    if (got < 0)
        return got;
    *ret_value = simple(SL__V_MISSING);
    if (left.kind == SL__V_MISSING || left.kind == SL__V_NULL)
        return 0;
    json_t *json = NULL;
    if (left.kind == SL__V_JSON && json_is_array(left.json) && index.kind == SL__V_INTEGER)
        json = index.integer >= 0 ? json_array_get(left.json, (size_t)index.integer) : NULL;
    else if (left.kind == SL__V_JSON && json_is_object(left.json) && index.kind == SL__V_STRING)
        json = json_object_getn(left.json, index.string.data, index.string.size);
    else
        return sl__render_wrong(
            state, expression->offset, "lists are indexed with numbers from 0 on, objects with texts",
            "%s cannot be indexed with %s", sl__value_kind_name(&left), sl__value_kind_name(&index));
    if (json)
        *ret_value = sl__value_of(json);
    return 0;
}

/* ---- Comparison -------------------------------------------------------------------------------------- */

static bool is_number(const sl__value *value)
{
    return value->kind == SL__V_INTEGER || value->kind == SL__V_REAL;
}

static int compare_numbers(const sl__value *a, const sl__value *b)
{
    if (a->kind == SL__V_INTEGER && b->kind == SL__V_INTEGER)
        return (a->integer > b->integer) - (a->integer < b->integer);
    double x = a->kind == SL__V_INTEGER ? (double)a->integer : a->real;
    double y = b->kind == SL__V_INTEGER ? (double)b->integer : b->real;
    return (x > y) - (x < y);
}

static int compare_texts(sl_view a, sl_view b)
{
    size_t common = a.size < b.size ? a.size : b.size;
    int order = common ? memcmp(a.data, b.data, common) : 0;
    return order ? order : (a.size > b.size) - (a.size < b.size);
}

static bool equal(const sl__value *a, const sl__value *b)
{
    if (is_number(a) && is_number(b))
        return compare_numbers(a, b) == 0;
    if (a->kind != b->kind)
        return false;
    if (a->kind == SL__V_STRING)
        return sl_view_equal(a->string, b->string);
    if (a->kind == SL__V_JSON)
        return json_equal(a->json, b->json);
    return true;
}

static int evaluate_comparison(sl__rendering *state, const sl__expression *expression, sl__value *ret_value)
{
    sl__value left, right;
    if (sl__evaluate(state, expression->left, &left) < 0 ||
        sl__evaluate(state, expression->right, &right) < 0)
        return SL_ETEMPLATE;
    if (expression->kind == SL__E_EQUAL || expression->kind == SL__E_UNEQUAL) {
        *ret_value = boolean(equal(&left, &right) == (expression->kind == SL__E_EQUAL));
        return 0;
    }
    int order;
    if (is_number(&left) && is_number(&right))
        order = compare_numbers(&left, &right);
    else if (left.kind == SL__V_STRING && right.kind == SL__V_STRING)
        order = compare_texts(left.string, right.string);
    else
        return sl__render_wrong(
            state, expression->offset, "numbers are ordered among numbers, and texts among texts",
            "%s and %s have no order", sl__value_kind_name(&left), sl__value_kind_name(&right));
    bool truth = expression->kind == SL__E_LESS         ? order < 0
                 : expression->kind == SL__E_LESS_EQUAL ? order <= 0
                 : expression->kind == SL__E_GREATER    ? order > 0
                                                        : order >= 0;
    *ret_value = boolean(truth);
    return 0;
}

/* `and` and `or` give the operand that decides, so that {{ nick or name }} works. */
static int evaluate_logic(sl__rendering *state, const sl__expression *expression, sl__value *ret_value)
{
    int got = sl__evaluate(state, expression->left, ret_value);
    if (got < 0 || is_true(ret_value) == (expression->kind == SL__E_OR))
        return got;
    return sl__evaluate(state, expression->right, ret_value);
}

/* ---- url() ------------------------------------------------------------------------------------------- */

/* A value as the text that stands in a URL. */
static int url_text(sl__rendering *state, const sl__expression *expression, const char **ret_text)
{
    sl__value value;
    if (sl__evaluate(state, expression, &value) < 0)
        return SL_ETEMPLATE;
    SL_CLEANUP(sl_buffer_done) sl_buffer shown = {0};
    if (!sl__put_value(&shown, &value) || (shown.size && memchr(shown.data, 0, shown.size)))
        return sl__render_wrong(state, expression->offset, NULL, "%s cannot stand in a URL",
                                sl__value_kind_name(&value));
    *ret_text = sl_arena_strndup(state->scratch, shown.data ? shown.data : "", shown.size);
    return 0;
}

static int evaluate_url(sl__rendering *state, const sl__expression *expression, sl__value *ret_value)
{
    sl__url_pair pairs[SL__ROUTE_VARIABLES * 2];
    size_t count = 0;
    const char *route;
    if (url_text(state, expression->left, &route) < 0)
        return SL_ETEMPLATE;
    for (const sl__url_argument *argument = expression->arguments; argument;
         argument = argument->next, count++) {
        if (count == sl_array_size(pairs))
            return sl__render_wrong(state, expression->offset, NULL, "url() takes at most %zu variables",
                                    count);
        pairs[count].name = argument->name;
        if (url_text(state, argument->value, &pairs[count].value) < 0)
            return SL_ETEMPLATE;
    }
    SL_CLEANUP(sl_buffer_done) sl_buffer url = {0};
    sl_error *error;
    if (sl__router_url(sl__templates_router(state->templates), state->site, route, pairs, count, &url,
                       &error) < 0) {
        sl__render_wrong(state, expression->offset, error->hint, "%s", error->message);
        sl_error_unref(error);
        return SL_ETEMPLATE;
    }
    *ret_value = text(sl_arena_strndup(state->scratch, url.data, url.size), url.size);
    return 0;
}

/* ---- All of it --------------------------------------------------------------------------------------- */

static int evaluate_not(sl__rendering *state, const sl__expression *expression, sl__value *ret_value)
{
    int got = sl__evaluate(state, expression->left, ret_value);
    if (got == 0)
        *ret_value = boolean(!is_true(ret_value));
    return got;
}

static int evaluate_filter(sl__rendering *state, const sl__expression *expression, sl__value *ret_value)
{
    int got = expression->filter == SL__FILTER_default ? evaluate(state, expression->left, ret_value)
                                                       : sl__evaluate(state, expression->left, ret_value);
    return got < 0 ? got : sl__apply_filter(state, expression, ret_value);
}

static int evaluate(sl__rendering *state, const sl__expression *expression, sl__value *ret_value)
{
    switch ((sl__expression_kind)expression->kind) {
    case SL__E_NULL:
    case SL__E_FALSE:
    case SL__E_TRUE:
        *ret_value = simple(expression->kind == SL__E_NULL   ? SL__V_NULL
                            : expression->kind == SL__E_TRUE ? SL__V_TRUE
                                                             : SL__V_FALSE);
        return 0;
    case SL__E_INTEGER:
        *ret_value = integer(expression->integer);
        return 0;
    case SL__E_REAL:
        *ret_value = (sl__value){.kind = SL__V_REAL, .real = expression->real};
        return 0;
    case SL__E_STRING:
        *ret_value = text(expression->text, expression->size);
        return 0;
    case SL__E_NAME:
        *ret_value = look_up(state, expression->text);
        return 0;
    case SL__E_MEMBER:
        return evaluate_member(state, expression, ret_value);
    case SL__E_INDEX:
        return evaluate_index(state, expression, ret_value);
    case SL__E_NOT:
        return evaluate_not(state, expression, ret_value);
    case SL__E_AND:
    case SL__E_OR:
        return evaluate_logic(state, expression, ret_value);
    case SL__E_FILTER:
        return evaluate_filter(state, expression, ret_value);
    case SL__E_URL:
        return evaluate_url(state, expression, ret_value);
    default:
        return evaluate_comparison(state, expression, ret_value);
    }
}

/* Says what was missing: a name, a member, or something further to the left. */
static int missing(sl__rendering *state, const sl__expression *expression)
{
    if (expression->kind == SL__E_NAME)
        return unknown(state, expression, state->data, state->variables, "unknown name");
    sl__value left = {.kind = SL__V_MISSING};
    if (evaluate(state, expression->left, &left) < 0)
        return SL_ETEMPLATE;
    if (left.kind == SL__V_MISSING)
        return missing(state, expression->left);
    if (left.kind == SL__V_NULL)
        return sl__render_wrong(state, expression->offset, "ask first: {% if value %}",
                                "this has no members: it is null");
    if (expression->kind == SL__E_INDEX)
        return sl__render_wrong(state, expression->offset,
                                "what may be missing is written value | default(\"\")",
                                "nothing is at this index");
    if (left.kind == SL__V_LOOP)
        return sl__render_wrong(state, expression->offset, "loop has index, first, last and length",
                                "loop has no member \"%s\"", expression->text);
    return unknown(state, expression, left.json, NULL, "there is no member");
}

int sl__evaluate(sl__rendering *state, const sl__expression *expression, sl__value *ret_value)
{
    int got = evaluate(state, expression, ret_value);
    if (got == 0 && ret_value->kind == SL__V_MISSING)
        return missing(state, expression);
    return got;
}

int sl__evaluate_condition(sl__rendering *state, const sl__expression *expression, bool *ret_true)
{
    sl__value value;
    int got = sl__evaluate(state, expression, &value);
    if (got == 0)
        *ret_true = is_true(&value);
    return got;
}
