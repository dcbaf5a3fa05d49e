/* compile_node.c: expressions and conditions as SQL.
 *
 * Each expression is written so that it stands for itself (a name, a call, something in parentheses), so that
 * no precedence needs to be known. SQLite has decimals as whole units: where two meet, both are brought to
 * the larger scale. PostgreSQL must know the type of each parameter: it takes it from what the parameter
 * stands beside, and is told where that is not known either. */
#include "store/compile.h"

static bool is_sqlite(const sl__writer *w)
{
    return w->dialect == SL__SQLITE;
}

/* ---- Columns ------------------------------------------------------------------------------------------- */

static bool has_source(const sl__tables *t, const sl_source *source)
{
    return t->alone ? sl__same_source(t->selection->from, source) : sl__has_source(t->selection, source);
}

static SL_NORETURN void no_such_table(const sl__writer *w, const sl_node *node)
{
    const sl__tables *t = w->tables;
    const char *name = sl__node_name(node);
    if (!t)
        sl__senseless(w->site, "write the column's name into the SQL", "%s: no table is known here", name);
    bool hidden = t->alone && t->selection->join_count;
    const char *named = sl__source_name(t->selection->from);
    for (uint32_t i = 0; !hidden && i < t->selection->join_count; i++)
        named = sl_printf("%s and %s", named, sl__source_name(t->selection->joins[i]->source));
    if (hidden)
        sl__senseless(w->site, "what is joined can be used in the selection's conditions and orders only",
                      "%s is used outside the selection, which gives %s only", name, named);
    sl__senseless(w->site, sl_printf("join it: sl_join(%s_, …)", sl__source_name(node->source)),
                  "%s is used, and the selection is over %s", name, named);
}

static void put_column(sl__writer *w, const sl_node *node)
{
    const sl_column *column = sl__node_column(node);
    const sl__tables *t = w->tables;
    while (t && !has_source(t, node->source))
        t = t->outer;
    if (!t)
        no_such_table(w, node);
    if (t->eager && column->lazy)
        sl__senseless(w->site, "leave SL_LAZY out, or choose and sort before selections are combined or cut",
                      "%s is lazy: it is not among what the inner selection gives", sl__node_name(node));
    if (t != w->tables || !t->alone) {
        sl__put_identifier(w, sl__source_name(node->source));
        SL__PUT(w, ".");
    }
    sl__put_identifier(w, column->name);
}

/* ---- Scales -------------------------------------------------------------------------------------------- */

static void put_power_of_ten(sl__writer *w, int exponent)
{
    SL__PUT(w, "1");
    while (exponent--)
        SL__PUT(w, "0");
}

/* `cast`: a parameter among other parameters. */
static void put_at_scale(sl__writer *w, const sl_node *node, int scale, bool cast)
{
    bool scaled = is_sqlite(w) && node->type == SL_KIND_DECIMAL;
    int has = scaled ? sl__scale_of(node) : scale;
    if (sl__is_parameter(node)) {
        sl_value value = node->value;
        if (has != scale && !value.null && sl_decimal_rescale(value.decimal, scale, &value.decimal) < 0)
            sl__senseless(w->site, "write it with fewer digits",
                          "a decimal with %d digits after the point is too large", scale);
        sl__put_parameter(w, &value, node, cast);
    } else if (has < scale) {
        SL__PUT(w, "(");
        sl__put_node(w, node);
        SL__PUT(w, " * ");
        put_power_of_ten(w, scale - has);
        SL__PUT(w, ")");
    } else {
        sl__put_node(w, node);
    }
}

void sl__put_scaled(sl__writer *w, const sl_node *node, int scale)
{
    put_at_scale(w, node, scale, /* cast= */ true);
}

static int common_scale(const sl_node *const *nodes, size_t count)
{
    int scale = 0;
    for (size_t i = 0; i < count; i++) {
        int one = sl__scale_of(nodes[i]);
        scale = one > scale ? one : scale;
    }
    return scale;
}

static bool all_parameters(const sl_node *const *nodes, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (!sl__is_parameter(nodes[i]))
            return false;
    return true;
}

/* Operands of one type, with something between them. */
static void put_operands(sl__writer *w, const sl_node *node, const char *between)
{
    int scale = common_scale(node->operands, node->count);
    bool cast = all_parameters(node->operands, node->count);
    for (uint32_t i = 0; i < node->count; i++) {
        if (i)
            sl__puts(w, between);
        put_at_scale(w, node->operands[i], scale, cast);
    }
}

static void put_infix(sl__writer *w, const sl_node *node)
{
    int scale = common_scale(node->operands, 2);
    bool cast = all_parameters(node->operands, 2);
    put_at_scale(w, node->operands[0], scale, cast);
    SL__PUT(w, " ");
    sl__puts(w, node->text);
    SL__PUT(w, " ");
    put_at_scale(w, node->operands[1], scale, cast);
}

/* ---- Functions ----------------------------------------------------------------------------------------- */

static void put_call(sl__writer *w, const char *name, const sl_node *node)
{
    sl__puts(w, name);
    SL__PUT(w, "(");
    /* What a function is given alone, PostgreSQL must be told. */
    if (node->count == 1)
        sl__put_node(w, node->operands[0]);
    else
        put_operands(w, node, ", ");
    SL__PUT(w, ")");
}

/* SQLite's average is of units; PostgreSQL's a numeric. */
static void put_average(sl__writer *w, const sl_node *node)
{
    const sl_node *of = node->operands[0];
    int scale = sl__scale_of(of);
    if (is_sqlite(w) && scale) {
        SL__PUT(w, "(");
        put_call(w, "avg", node);
        SL__PUT(w, " / ");
        put_power_of_ten(w, scale);
        SL__PUT(w, ".0)");
        return;
    }
    put_call(w, "avg", node);
    if (!is_sqlite(w) && of->type != SL_KIND_REAL)
        SL__PUT(w, "::double precision");
}

/* PostgreSQL has no smallest boolean, UUID or bytes, but what comes to the same. */
static void put_extreme(sl__writer *w, const sl_node *node)
{
    bool min = node->variant == SL__MIN;
    const char *name = min ? "min" : "max";
    if (is_sqlite(w)) {
        put_call(w, name, node);
    } else if (node->type == SL_KIND_BOOLEAN) {
        put_call(w, min ? "bool_and" : "bool_or", node);
    } else if (node->type == SL_KIND_UUID) {
        sl__puts(w, name);
        SL__PUT(w, "(");
        sl__put_node(w, node->operands[0]);
        SL__PUT(w, "::text COLLATE \"C\")::uuid");
    } else if (node->type == SL_KIND_BYTES) {
        SL__PUT(w, "decode(");
        sl__puts(w, name);
        SL__PUT(w, "(encode(");
        sl__put_node(w, node->operands[0]);
        SL__PUT(w, ", 'hex') COLLATE \"C\"), 'hex')");
    } else {
        put_call(w, name, node);
    }
}

static void put_function(sl__writer *w, const sl_node *node)
{
    switch ((sl__function_kind)node->variant) {
    case SL__COUNT_ALL:
        SL__PUT(w, "count(*)");
        break;
    case SL__COUNT_DISTINCT:
        SL__PUT(w, "count(DISTINCT ");
        sl__put_node(w, node->operands[0]);
        SL__PUT(w, ")");
        break;
    case SL__SUM:
        put_call(w, "sum", node);
        if (!is_sqlite(w) && node->type == SL_KIND_INTEGER) /* it would be a numeric */
            SL__PUT(w, "::bigint");
        break;
    case SL__AVERAGE:
        put_average(w, node);
        break;
    case SL__MIN:
    case SL__MAX:
        put_extreme(w, node);
        break;
    default:
        put_call(w, node->text, node);
    }
}

/* ---- Lists --------------------------------------------------------------------------------------------- */

/* Lists are filled up with their last value to 1, 2, 4, 8, … of them, so that there are few shapes. */
#define LIST_FILLED_MAX 16384

static void put_values(sl__writer *w, const sl_node *node, int scale)
{
    size_t count = (size_t)node->value.integer, filled = 1;
    while (filled < count)
        filled *= 2;
    if (filled > LIST_FILLED_MAX)
        filled = count;
    bool cast = sl__is_parameter(node->operands[0]);
    for (size_t i = 0; i < filled; i++) {
        sl_value value = node->values[i < count ? i : count - 1];
        if (value.kind == SL_KIND_DECIMAL && is_sqlite(w) &&
            sl_decimal_rescale(value.decimal, scale, &value.decimal) < 0)
            sl__senseless(node->site, "write it with fewer digits",
                          "a decimal with %d digits after the point is too large", scale);
        if (i)
            SL__PUT(w, ", ");
        sl__put_parameter(w, &value, NULL, cast);
    }
}

/* PostgreSQL takes a list as one parameter: then there is one shape, and nothing to fill up. The kinds that
 * keys have are sent so (postgres_encode.c). */
static bool is_array(const sl__writer *w, const sl_node *node)
{
    sl_kind kind = node->values[0].kind;
    bool same = true;
    for (int64_t i = 1; i < node->value.integer; i++)
        same &= node->values[i].kind == kind;
    return !is_sqlite(w) && same && (kind == SL_KIND_INTEGER || kind == SL_KIND_TEXT || kind == SL_KIND_UUID);
}

static void put_in_array(sl__writer *w, const sl_node *node)
{
    sl_value list = {.kind = SL_KIND_LIST,
                     .list = {.items = node->values, .count = (size_t)node->value.integer}};
    SL__PUT(w, " = ANY(");
    sl__put_parameter(w, &list, NULL, /* cast= */ false);
    SL__PUT(w, ")");
}

static void put_in(sl__writer *w, const sl_node *node)
{
    bool values = node->variant == SL__LIST_VALUES;
    int scale = common_scale(node->operands, node->count);
    if (values && node->operands[0]->type == SL_KIND_DECIMAL)
        for (int64_t i = 0; i < node->value.integer; i++)
            scale = node->values[i].decimal.scale > scale ? node->values[i].decimal.scale : scale;
    put_at_scale(w, node->operands[0], scale, /* cast= */ true);
    if (values && is_array(w, node)) {
        put_in_array(w, node);
        return;
    }
    SL__PUT(w, " IN (");
    if (values)
        put_values(w, node, scale);
    else if (node->variant == SL__LIST_FOUND)
        sl__put_select_node(w, node->selection, node->operands[1], scale, /* ordered= */ false);
    for (uint32_t i = 1; node->variant == SL__LIST_NODES && i < node->count; i++) {
        if (i > 1)
            SL__PUT(w, ", ");
        put_at_scale(w, node->operands[i], scale, sl__is_parameter(node->operands[0]));
    }
    SL__PUT(w, ")");
}

/* ---- Conditions of conditions -------------------------------------------------------------------------- */

/* SQLite makes a AND b AND c a tree that leans to the left, which may be 1000 levels deep: a long list is
 * halved until its parts are short. */
#define PART_MAX 64

static void put_joined(sl__writer *w, const sl_node *const *nodes, size_t count, const char *between)
{
    size_t half = count / 2;
    if (!is_sqlite(w) || count <= PART_MAX) {
        for (size_t i = 0; i < count; i++) {
            if (i)
                sl__puts(w, between);
            sl__put_node(w, nodes[i]);
        }
        return;
    }
    SL__PUT(w, "(");
    put_joined(w, nodes, half, between);
    SL__PUT(w, ")");
    sl__puts(w, between);
    SL__PUT(w, "(");
    put_joined(w, nodes + half, count - half, between);
    SL__PUT(w, ")");
}

static void put_all_of(sl__writer *w, const sl_node *node, bool in_parentheses)
{
    bool is_and = node->kind == SL__NODE_AND;
    if (node->count == 0) {
        sl__puts(w, is_and ? "TRUE" : "FALSE");
        return;
    }
    if (in_parentheses)
        SL__PUT(w, "(");
    put_joined(w, node->operands, node->count, is_and ? " AND " : " OR ");
    if (in_parentheses)
        SL__PUT(w, ")");
}

void sl__put_conditions(sl__writer *w, const sl_node *const *conditions, size_t count)
{
    if (is_sqlite(w) && count > PART_MAX) {
        put_joined(w, conditions, count, " AND ");
        return;
    }
    for (size_t i = 0; i < count; i++) {
        if (i)
            SL__PUT(w, " AND ");
        if (conditions[i]->kind == SL__NODE_AND)
            put_all_of(w, conditions[i], /* in_parentheses= */ false);
        else
            sl__put_node(w, conditions[i]);
    }
}

static void put_not(sl__writer *w, const sl_node *node)
{
    const sl_node *of = node->operands[0];
    if (of->kind == SL__NODE_IS_NULL) {
        sl__put_node(w, of->operands[0]);
        SL__PUT(w, " IS NOT NULL");
        return;
    }
    SL__PUT(w, "NOT (");
    sl__put_conditions(w, &of, 1);
    SL__PUT(w, ")");
}

static void put_between(sl__writer *w, const sl_node *node)
{
    int scale = common_scale(node->operands, 3);
    bool cast = all_parameters(node->operands, 3);
    put_at_scale(w, node->operands[0], scale, cast);
    SL__PUT(w, " BETWEEN ");
    put_at_scale(w, node->operands[1], scale, cast);
    SL__PUT(w, " AND ");
    put_at_scale(w, node->operands[2], scale, cast);
}

/* ---- Raw SQL ------------------------------------------------------------------------------------------- */

static int foreign_size(const char *text)
{
    int size = text[1] == '?' ? 2 : 1;
    while (sl__raw_in_name(text[size]))
        size++;
    return size;
}

static bool in_word(char c)
{
    return sl__raw_in_name(c) || c == '$';
}

/* A value in raw SQL. It must not become part of a word beside it: "LIMIT?". */
static void put_raw_value(sl__writer *w, const sl_node *node, char next)
{
    if (w->size && in_word(w->text[w->size - 1]))
        SL__PUT(w, " ");
    if (sl__is_parameter(node)) /* texts take the type of what they stand beside */
        sl__put_parameter(w, &node->value, node, node->type != SL_KIND_TEXT);
    else
        sl__put_node(w, node);
    if (in_word(next))
        SL__PUT(w, " ");
}

void sl__put_raw(sl__writer *w, const sl_site *site, const char *text, const sl_node *const *values,
                 size_t count)
{
    size_t used = 0;
    bool in_comment = false;
    for (const char *at = text, *from = at;; from = at) {
        sl__raw_kind kind = sl__raw_next(&at, w->dialect);
        if (kind == SL__RAW_END)
            break;
        in_comment = kind == SL__RAW_COMMENT;
        if (kind == SL__RAW_FOREIGN || (kind == SL__RAW_MARK && w->dialect == SL__SQLITE))
            sl__senseless(site, "a parameter is a ? and its value a sl_p(…)", "sl_sql: \"%.*s\" in the text",
                          foreign_size(from), from);
        if (kind == SL__RAW_MARK)
            SL__PUT(w, "?");
        else if (kind == SL__RAW_PARAMETER && used < count)
            put_raw_value(w, values[used++], *at);
        else if (kind == SL__RAW_PARAMETER)
            sl__senseless(site, "each ? needs a sl_p(…); a ? that is none is written ??",
                          "sl_sql: the text has more ? than the %zu values that are given", count);
        else
            sl__put(w, from, (size_t)(at - from));
    }
    if (used < count)
        sl__senseless(site, "each sl_p(…) needs a ? outside of quotes and comments",
                      "sl_sql: the text has %zu ?, and %zu values are given", used, count);
    if (in_comment)
        SL__PUT(w, "\n");
}

/* ---- All of them --------------------------------------------------------------------------------------- */

void sl__put_assignment(sl__writer *w, const sl_node *assignment)
{
    const sl_node *column = assignment->operands[0];
    sl__put_identifier(w, sl__node_column(column)->name);
    SL__PUT(w, " = ");
    put_at_scale(w, assignment->operands[1], sl__node_column(column)->scale, /* cast= */ false);
}

void sl__put_node(sl__writer *w, const sl_node *node)
{
    switch (node->kind) {
    case SL__NODE_COLUMN:
        put_column(w, node);
        break;
    case SL__NODE_PARAMETER:
        sl__put_parameter(w, &node->value, node, /* cast= */ true);
        break;
    case SL__NODE_OPERATOR:
        SL__PUT(w, "(");
        put_infix(w, node);
        SL__PUT(w, ")");
        break;
    case SL__NODE_FUNCTION:
        put_function(w, node);
        break;
    case SL__NODE_COMPARISON:
        put_infix(w, node);
        break;
    case SL__NODE_AND:
    case SL__NODE_OR:
        put_all_of(w, node, /* in_parentheses= */ true);
        break;
    case SL__NODE_NOT:
        put_not(w, node);
        break;
    case SL__NODE_IS_NULL:
        sl__put_node(w, node->operands[0]);
        SL__PUT(w, " IS NULL");
        break;
    case SL__NODE_IN:
        put_in(w, node);
        break;
    case SL__NODE_BETWEEN:
        put_between(w, node);
        break;
    case SL__NODE_LIKE:
        sl__put_like(w, node);
        break;
    case SL__NODE_SUBSELECT:
        SL__PUT(w, "(");
        sl__put_select_node(w, node->selection, node->operands[0], sl__scale_of(node), /* ordered= */ true);
        SL__PUT(w, ")");
        break;
    case SL__NODE_EXISTS:
        SL__PUT(w, "EXISTS (");
        sl__put_exists(w, node->selection);
        SL__PUT(w, ")");
        break;
    case SL__NODE_RAW:
        SL__PUT(w, "(");
        sl__put_raw(w, node->site, node->text, node->operands, node->count);
        SL__PUT(w, ")");
        break;
    default:
        sl__senseless(w->site, "give it to sl_find or sl_narrow", "%s inside an expression",
                      sl__node_name(node));
    }
}
