/* query.h: expressions over columns, and what is found by them.
 *
 *     struct person_found *young = sl_find(person, sl_ge(person_.born, limit), sl_descending(person_.born));
 *     SL_EACH(p, young)
 *         printf("%s\n", p->name);
 *
 * An expression has the type of what it gives, so that a number is never compared with a text: that does not
 * compile. A clause is a condition or says how rows are ordered, joined or cut. Nothing runs until an answer
 * is asked for: sl_first, sl_list, SL_EACH, sl_count and the like, which may suspend and fail, and are
 * carried out in the transaction that holds here, or each by itself where there is none (store.h).
 *
 * All values are parameters: there is no way to get text into SQL but the literals of sl_sql.
 *
 * All tables of a query, also those of its sub-selects, are in one store.
 *
 * Selections and expressions live as long as the task (or SL_SCRATCH) that made them. A selection is a value:
 * sl_narrow gives another and leaves the first as it was. */
#pragma once

#include <silver/model.h>

/* ---- Values as operands -------------------------------------------------------------------------------- */

typedef const sl_node *sl__operand;

typedef struct sl_clause {
    const sl_node *node;
} sl_clause;

SL_API sl__operand sl__integer_operand(int64_t value);
SL_API sl__operand sl__real_operand(double value);
SL_API sl__operand sl__text_operand(const char *value); /* NULL: NULL */
SL_API sl__operand sl__bytes_operand(sl_view value);    /* data NULL: NULL */
SL_API sl__operand sl__boolean_operand(bool value);
SL_API sl__operand sl__time_operand(int64_t value);
SL_API sl__operand sl__date_operand(sl_date value);
SL_API sl__operand sl__decimal_operand(sl_decimal value);
SL_API sl__operand sl__uuid_operand(sl_uuid value);
SL_API sl__operand sl__enum_operand(int value);
SL_API sl__operand sl__json_operand(struct json_t *value); /* NULL: NULL; referred to until the task ends */
SL_API sl__operand sl__null_operand(const void *null);     /* NULL of any type */
/* Named for what the compiler says where the operand is of another type. */
#define SL__NEEDED(type)                                                                                     \
    static inline sl__operand sl__needs_##type(sl_##type##_expr expression)                                  \
    {                                                                                                        \
        return expression.node;                                                                              \
    }
SL__EXPRESSION_TYPES(SL__NEEDED)
#undef SL__NEEDED
typedef struct sl__any_expr {
    const sl_node *node;
} sl__any_expr;
static inline const sl_node *sl__needs_expression(sl__any_expr expression)
{
    return expression.node;
}
static inline const sl_node *sl__needs_condition(sl_clause condition)
{
    return condition.node;
}

/* clang-format off */
#define SL__WHOLE_NUMBERS(function) char: function, signed char: function, unsigned char: function, short: function, unsigned short: function, \
    int: function, unsigned: function, long: function, unsigned long: function, long long: function, unsigned long long: function
#define SL__NULLS void *: sl__null_operand, const void *: sl__null_operand
/* What a macro needs more than once stands in a variable with a name of its own: expressions nest, and each mention
 * would double what the compiler reads. */
#define SL__NAME SL__PASTE(sl__name_, __COUNTER__)
#define SL__LET(name, value, ...) (__extension__({ __auto_type name = (value); __VA_ARGS__; }))
/* The operand `value` beside something of the type of `like`. */
#define SL__OPERAND(like, value) SL__OPERAND_NAMED(like, value, SL__NAME)
#define SL__OPERAND_NAMED(like, value, name) SL__LET(name, value, SL__OPERAND_CALL(like, name))
#define SL__OPERAND_CALL(like, value)                                                                        \
    _Generic((like),                                                                                         \
        sl_integer_expr: _Generic((value), SL__WHOLE_NUMBERS(sl__integer_operand), bool: sl__integer_operand, SL__NULLS, default: sl__needs_integer), \
        sl_real_expr: _Generic((value), SL__WHOLE_NUMBERS(sl__real_operand), float: sl__real_operand, double: sl__real_operand, SL__NULLS, default: sl__needs_real), \
        sl_text_expr: _Generic((value), char *: sl__text_operand, const char *: sl__text_operand, SL__NULLS, default: sl__needs_text), \
        sl_bytes_expr: _Generic((value), sl_view: sl__bytes_operand, SL__NULLS, default: sl__needs_bytes),   \
        sl_boolean_expr: _Generic((value), bool: sl__boolean_operand, int: sl__boolean_operand, SL__NULLS, default: sl__needs_boolean), \
        sl_time_expr: _Generic((value), SL__WHOLE_NUMBERS(sl__time_operand), SL__NULLS, default: sl__needs_time), \
        sl_date_expr: _Generic((value), sl_date: sl__date_operand, SL__NULLS, default: sl__needs_date),      \
        sl_decimal_expr: _Generic((value), sl_decimal: sl__decimal_operand, SL__NULLS, default: sl__needs_decimal), \
        sl_uuid_expr: _Generic((value), sl_uuid: sl__uuid_operand, SL__NULLS, default: sl__needs_uuid),      \
        sl_enum_expr: _Generic((value), int: sl__enum_operand, unsigned: sl__enum_operand, SL__NULLS, default: sl__needs_enum), \
        sl_json_expr: _Generic((value), struct json_t *: sl__json_operand, SL__NULLS, default: sl__needs_json))(value)

/* The node of an expression that has the type of `like`; of one of any type. */
#define SL__EXPRESSION_NODE(type) sl_##type##_expr: sl__needs_##type,
#define SL__SAME(like, x) _Generic((like), SL__EXPRESSION_TYPES(SL__EXPRESSION_NODE) default: sl__needs_expression)(x)
#define SL__ANY(x) SL__ANY_NAMED(x, SL__NAME)
#define SL__ANY_NAMED(x, name) SL__LET(name, x, SL__SAME(name, name))

/* SL__MAP(m, x, a, b, c) is m(x, a) m(x, b) m(x, c). */
#define SL__PARENS ()
#define SL__EXPAND(...) SL__EXPAND4(SL__EXPAND4(SL__EXPAND4(SL__EXPAND4(__VA_ARGS__))))
#define SL__EXPAND4(...) SL__EXPAND3(SL__EXPAND3(SL__EXPAND3(SL__EXPAND3(__VA_ARGS__))))
#define SL__EXPAND3(...) SL__EXPAND2(SL__EXPAND2(SL__EXPAND2(SL__EXPAND2(__VA_ARGS__))))
#define SL__EXPAND2(...) __VA_ARGS__
#define SL__MAP(m, x, ...) __VA_OPT__(SL__EXPAND(SL__MAP_EACH(m, x, __VA_ARGS__)))
#define SL__MAP_EACH(m, x, a, ...) m(x, a) __VA_OPT__(SL__MAP_AGAIN SL__PARENS (m, x, __VA_ARGS__))
#define SL__MAP_AGAIN() SL__MAP_EACH
#define SL__NODE_OF(x, expression) SL__ANY(expression),
#define SL__NODES(...) ((const sl_node *const[]){SL__MAP(SL__NODE_OF, , __VA_ARGS__) NULL})
#define SL__OPERAND_OF(like, value) SL__OPERAND(like, value),
#define SL__OPERANDS(like, ...) ((const sl_node *const[]){SL__MAP(SL__OPERAND_OF, like, __VA_ARGS__) NULL})
#define SL__CLAUSES(...) (const sl_clause[]){__VA_ARGS__}, sizeof((sl_clause[]){__VA_ARGS__}) / sizeof(sl_clause)

/* ---- Conditions ---------------------------------------------------------------------------------------- */

/* A comparison with a NULL operand, be it the C value NULL or a text that is NULL: sl_eq is then IS NULL and
 * sl_ne IS NOT NULL; the others are never true. */
#define sl_eq(a, b) SL__COMPARISON(SL__NAME, "=", a, b)
#define sl_ne(a, b) SL__COMPARISON(SL__NAME, "<>", a, b)
#define sl_lt(a, b) SL__COMPARISON(SL__NAME, "<", a, b)
#define sl_le(a, b) SL__COMPARISON(SL__NAME, "<=", a, b)
#define sl_gt(a, b) SL__COMPARISON(SL__NAME, ">", a, b)
#define sl_ge(a, b) SL__COMPARISON(SL__NAME, ">=", a, b)
#define SL__COMPARISON(name, operator, a, b)                                                                 \
    SL__LET(name, a, sl__comparison(SL_HERE, operator, name.node, SL__OPERAND(name, b)))
#define sl_between(x, low, high) SL__BETWEEN(SL__NAME, x, low, high) /* both included */
#define SL__BETWEEN(name, x, low, high)                                                                      \
    SL__LET(name, x, sl__between(SL_HERE, name.node, SL__OPERAND(name, low), SL__OPERAND(name, high)))
/* One of the values, 80 at most; with none it is never true. */
#define sl_in(x, ...) SL__IN(SL__NAME, x, __VA_ARGS__)
#define SL__IN(name, x, ...) SL__LET(name, x, sl__in(SL_HERE, name.node, SL__OPERANDS(name, __VA_ARGS__)))
/* One of an array's: of int64_t (integers and times), const char * (texts) or sl_uuid. */
#define sl_in_array(x, array, count)                                                                         \
    _Generic((x), sl_integer_expr: sl__in_integers, sl_time_expr: sl__in_integers, sl_text_expr: sl__in_texts, \
        sl_uuid_expr: sl__in_uuids)(SL_HERE, (x).node, (array), (count))
/* One of what a selection gives in `column`, which has the type of x. */
#define sl_in_found(x, found, column)                                                                        \
    SL__IN_FOUND(SL__NAME, x, found, column)
#define SL__IN_FOUND(name, x, found, column)                                                                 \
    SL__LET(name, x, sl__in_found(SL_HERE, name.node, SL__SELECTION(found), SL__SAME(name, column)))
#define sl_exists(found) sl__exists(SL_HERE, SL__SELECTION(found))
/* Pattern with % and _; upper and lower case differ. `\` before them takes them as they are. */
#define sl_like(x, pattern) sl__like(SL_HERE, (x), (pattern), SL__LIKE_PATTERN)
#define sl_ilike(x, pattern) sl__like(SL_HERE, (x), (pattern), SL__LIKE_NOCASE) /* ASCII letters without case; others as the database does */
#define sl_prefix(x, text) sl__like(SL_HERE, (x), (text), SL__LIKE_PREFIX)      /* begins with */
#define sl_suffix(x, text) sl__like(SL_HERE, (x), (text), SL__LIKE_SUFFIX)      /* ends with */
#define sl_contains(x, text) sl__like(SL_HERE, (x), (text), SL__LIKE_CONTAINS)
#define sl_is_null(x) sl__is_null(SL_HERE, SL__ANY(x))
#define sl_is_not_null(x) sl_not(sl_is_null(x))
#define sl_true(x) sl__truth(SL_HERE, (x)) /* of a boolean */
#define sl_and(...) sl__all_of(SL_HERE, SL__NODE_AND, SL__CLAUSES(__VA_ARGS__)) /* of none: true */
#define sl_or(...) sl__all_of(SL_HERE, SL__NODE_OR, SL__CLAUSES(__VA_ARGS__))   /* of none: false */
#define sl_not(condition) sl__not(SL_HERE, (condition))

typedef enum sl__like_kind {
    SL__LIKE_PATTERN,
    SL__LIKE_NOCASE,
    SL__LIKE_PREFIX,
    SL__LIKE_SUFFIX,
    SL__LIKE_CONTAINS,
} sl__like_kind;
SL_API sl_clause sl__comparison(const sl_site *site, const char *operator, const sl_node *a, sl__operand b);
SL_API sl_clause sl__between(const sl_site *site, const sl_node *x, sl__operand low, sl__operand high);
SL_API sl_clause sl__in(const sl_site *site, const sl_node *x, const sl_node *const *values); /* up to NULL */
SL_API sl_clause sl__in_integers(const sl_site *site, const sl_node *x, const int64_t *values, size_t count);
SL_API sl_clause sl__in_texts(const sl_site *site, const sl_node *x, const char *const *values, size_t count);
SL_API sl_clause sl__in_uuids(const sl_site *site, const sl_node *x, const sl_uuid *values, size_t count);
SL_API sl_clause sl__in_found(const sl_site *site, const sl_node *x, const sl_selection *found, const sl_node *column);
SL_API sl_clause sl__exists(const sl_site *site, const sl_selection *found);
SL_API sl_clause sl__like(const sl_site *site, sl_text_expr x, const char *pattern, sl__like_kind kind);
SL_API sl_clause sl__is_null(const sl_site *site, const sl_node *x);
SL_API sl_clause sl__truth(const sl_site *site, sl_boolean_expr x);
SL_API sl_clause sl__all_of(const sl_site *site, sl__node_kind kind, const sl_clause *conditions, size_t count);
SL_API sl_clause sl__not(const sl_site *site, sl_clause condition);

/* ---- What is computed ---------------------------------------------------------------------------------- */

/* Arithmetic with operands of one type, which the result has too: of integers and reals; sums and differences also
 * of decimals. The quotient of integers is rounded towards 0; a division by zero fails in PostgreSQL and gives NULL
 * in SQLite. */
#define sl_plus(a, b) SL__ARITHMETIC(SL__NAME, "+", SL__NUMERIC, a, b)
#define sl_minus(a, b) SL__ARITHMETIC(SL__NAME, "-", SL__NUMERIC, a, b)
#define sl_times(a, b) SL__ARITHMETIC(SL__NAME, "*", SL__BINARY, a, b)
#define sl_divided(a, b) SL__ARITHMETIC(SL__NAME, "/", SL__BINARY, a, b)
#define sl_modulo(a, b) ((sl_integer_expr){sl__operation(SL_HERE, "%", sl__needs_integer(a), SL__OPERAND(a, b))})
#define SL__NUMERIC(a) _Generic((a), sl_integer_expr: (a), sl_real_expr: (a), sl_decimal_expr: (a))
#define SL__BINARY(a) _Generic((a), sl_integer_expr: (a), sl_real_expr: (a))
#define SL__ARITHMETIC(name, operator, OF_TYPE, a, b)                                                        \
    SL__LET(name, a, (__typeof__(OF_TYPE(name))){sl__operation(SL_HERE, operator, name.node, SL__OPERAND(name, b))})
#define sl_concatenated(a, b) ((sl_text_expr){sl__operation(SL_HERE, "||", sl__needs_text(a), SL__OPERAND(a, b))})
/* Functions. sl_coalesce: a, or where that is NULL, b. */
#define sl_lower(x) ((sl_text_expr){sl__function(SL_HERE, "lower", SL_KIND_TEXT, SL__NODES_1(sl__needs_text(x)))})
#define sl_upper(x) ((sl_text_expr){sl__function(SL_HERE, "upper", SL_KIND_TEXT, SL__NODES_1(sl__needs_text(x)))})
#define sl_length(x) ((sl_integer_expr){sl__function(SL_HERE, "length", SL_KIND_INTEGER, SL__NODES_1(sl__needs_text(x)))}) /* characters */
#define sl_absolute(x) SL__TYPED(SL__NAME, "abs", SL__NUMERIC, x)
#define sl_coalesce(a, b) SL__COALESCE(SL__NAME, a, b)
#define SL__COALESCE(name, a, b)                                                                             \
    SL__LET(name, a, (__typeof__(name)){sl__function(SL_HERE, "coalesce", name.node->type, SL__NODES_2(name.node, SL__OPERAND(name, b)))})
/* A function that gives what it is given. */
#define SL__TYPED(name, function, OF_TYPE, x)                                                                \
    SL__LET(name, x, (__typeof__(OF_TYPE(name))){sl__function(SL_HERE, function, name.node->type, SL__NODES_1(name.node))})
/* Aggregates: of each group (sl_group_by), or of all rows. sl_sum and sl_average of none are NULL. */
#define sl_count_all() ((sl_integer_expr){sl__function(SL_HERE, "count(*)", SL_KIND_INTEGER, NULL, 0)})
#define sl_count_of(x) ((sl_integer_expr){sl__function(SL_HERE, "count", SL_KIND_INTEGER, SL__NODES_1(SL__ANY(x)))}) /* that are not NULL */
#define sl_count_distinct(x) ((sl_integer_expr){sl__function(SL_HERE, "count distinct", SL_KIND_INTEGER, SL__NODES_1(SL__ANY(x)))})
#define sl_sum(x) SL__TYPED(SL__NAME, "sum", SL__NUMERIC, x)
#define sl_average(x) SL__AVERAGE(SL__NAME, x)
#define SL__AVERAGE(name, x)                                                                                 \
    SL__LET(name, x, (sl_real_expr){sl__function(SL_HERE, "avg", SL_KIND_REAL, SL__NODES_1(SL__NUMERIC(name).node))})
#define sl_min(x) SL__TYPED(SL__NAME, "min", SL__ORDERED, x)
#define sl_max(x) SL__TYPED(SL__NAME, "max", SL__ORDERED, x)
#define SL__ORDERED(x)                                                                                       \
    _Generic((x), sl_integer_expr: (x), sl_real_expr: (x), sl_text_expr: (x), sl_bytes_expr: (x), sl_boolean_expr: (x), \
        sl_time_expr: (x), sl_date_expr: (x), sl_decimal_expr: (x), sl_uuid_expr: (x), sl_enum_expr: (x))
#define SL__NODES_1(a) ((const sl_node *const[]){a}), 1
#define SL__NODES_2(a, b) ((const sl_node *const[]){a, b}), 2
/* A value as an expression of the type of `like`; sl_field_of(person, p, born) likewise an object's field, which
 * is NULL where the mask says so. */
#define sl_the(like, value) SL__THE(SL__NAME, like, value)
#define SL__THE(name, like, value)                                                                           \
    SL__LET(name, like, (__typeof__(name)){sl__the(SL_HERE, name.node, SL__OPERAND(name, value))})
#define sl_field_of(model, object, column)                                                                   \
    ((__typeof__(model##_.column)){sl__field_of(SL_HERE, model##_.column.node, &SL__A(model, object)->sl__row)})
/* The value of one column of the one row that a selection gives, as an expression. */
#define sl_subselect(found, column) SL__SUBSELECT(SL__NAME, found, column)
#define SL__SUBSELECT(name, found, column)                                                                   \
    SL__LET(name, column, (__typeof__(name)){sl__subselect(SL_HERE, SL__SELECTION(found), SL__SAME(name, name))})

SL_API const sl_node *sl__operation(const sl_site *site, const char *operator, const sl_node *a, sl__operand b);
SL_API const sl_node *sl__function(const sl_site *site, const char *name, sl_kind type,
                                   const sl_node *const *arguments, size_t count);
SL_API const sl_node *sl__the(const sl_site *site, const sl_node *like, sl__operand value);
SL_API const sl_node *sl__field_of(const sl_site *site, const sl_node *column, const sl_row *row);
SL_API const sl_node *sl__subselect(const sl_site *site, const sl_selection *found, const sl_node *column);
/* An object of the model, checked by the compiler. */
#define SL__A(model, object) _Generic((object), struct model *: (object), const struct model *: (object))
#define SL__SELECTION(found) SL__SELECTION_NAMED(SL__NAME, found)
#define SL__SELECTION_NAMED(name, found) SL__LET(name, found, (void)sizeof(name->sl__object), (sl_selection *)name)

/* Raw SQL, for what is not offered here: a literal, in which each ? is a parameter, given by sl_p, which takes
 * integers, reals, texts and expressions. Columns are written as model.column, or alias.column. A ? in quotes or a
 * comment is none; that of an operator of PostgreSQL is written twice. */
#define sl_sql(text, ...) ((sl_clause){sl__raw(SL_HERE, SL_KIND_BOOLEAN, "" text "", (const sl_node *const[]){__VA_ARGS__ __VA_OPT__(,) NULL})})
#define sl_sql_integer(text, ...) ((sl_integer_expr){sl__raw(SL_HERE, SL_KIND_INTEGER, "" text "", (const sl_node *const[]){__VA_ARGS__ __VA_OPT__(,) NULL})})
#define sl_sql_real(text, ...) ((sl_real_expr){sl__raw(SL_HERE, SL_KIND_REAL, "" text "", (const sl_node *const[]){__VA_ARGS__ __VA_OPT__(,) NULL})})
#define sl_sql_text(text, ...) ((sl_text_expr){sl__raw(SL_HERE, SL_KIND_TEXT, "" text "", (const sl_node *const[]){__VA_ARGS__ __VA_OPT__(,) NULL})})
#define sl_p(value) SL__P_NAMED(value, SL__NAME)
#define SL__P_NAMED(value, name) SL__LET(name, value, SL__P(name))
#define SL__P(value)                                                                                         \
    _Generic((value), SL__WHOLE_NUMBERS(sl__integer_operand), bool: sl__boolean_operand, float: sl__real_operand, \
        double: sl__real_operand, char *: sl__text_operand, const char *: sl__text_operand, sl_view: sl__bytes_operand, \
        sl_date: sl__date_operand, sl_decimal: sl__decimal_operand, sl_uuid: sl__uuid_operand,               \
        SL__EXPRESSION_TYPES(SL__EXPRESSION_NODE) SL__NULLS)(value)
SL_API const sl_node *sl__raw(const sl_site *site, sl_kind type, const char *text, const sl_node *const *values);

/* ---- Clauses that are no conditions -------------------------------------------------------------------- */

/* NULL comes first in SQLite and last in PostgreSQL; the reverse where it is descending. */
#define sl_ascending(x) sl__clause(SL_HERE, SL__NODE_ASCENDING, SL__NODES_1(SL__ANY(x)))
#define sl_descending(x) sl__clause(SL_HERE, SL__NODE_DESCENDING, SL__NODES_1(SL__ANY(x)))
#define sl_oldest(x) sl_ascending(x)
#define sl_newest(x) sl_descending(x)
#define sl_limit(count) sl__number(SL_HERE, SL__NODE_LIMIT, (count))
#define sl_skip(count) sl__number(SL_HERE, SL__NODE_SKIP, (count))
#define sl_distinct() sl__clause(SL_HERE, SL__NODE_DISTINCT, NULL, 0)
#define sl_group_by(...) sl__clause(SL_HERE, SL__NODE_GROUP, SL__NODES(__VA_ARGS__), SIZE_MAX)
#define sl_having(condition) sl__clause(SL_HERE, SL__NODE_HAVING, SL__NODES_1(sl__needs_condition(condition)))
/* Another table beside those that are there: sl_join(company_, sl_eq(person_.employer, company_.id)). Rows of the
 * tables before that find no partner are left out; with sl_left_join they stay, and the columns of the other are
 * NULL. */
#define sl_join(columns, on) sl__join(SL_HERE, SL__NODE_JOIN, (columns).sl__whole.source, (on))
#define sl_left_join(columns, on) sl__join(SL_HERE, SL__NODE_LEFT_JOIN, (columns).sl__whole.source, (on))
/* sl_alias(person, "boss"): the model's columns once more under another name: struct person_columns. */
#define sl_alias(model, name) (*(const struct model##_columns *)sl__alias(SL_HERE, model##_model, "" name ""))
/* Reads what the objects found refer to as well, in one query for all: sl_follow then needs none (store.h). Two
 * levels: sl_preload(person, employer), sl_preload(company, city). */
#define sl_preload(model, column)                                                                            \
    ((void)sizeof(*((struct model##__targets *)0)->column.seen), sl__clause(SL_HERE, SL__NODE_PRELOAD, SL__NODES_1(model##_.column.node)))

/* And the reverse: sl_preload_referring(person, employer), where companies are found, reads the persons who refer to
 * them, all in one query. What is asked of sl_referring(person, employer, c) by itself is then answered without one:
 * as it was read, until the transaction adds such rows, removes some or lets one refer to another; bulk changes and
 * SQL of one's own count as all of these. Through a table of links it is two levels:
 * sl_preload_referring(membership, club), sl_preload(membership, member); sl_linked then needs no query either. */
#define sl_preload_referring(model, column)                                                                  \
    ((void)sizeof(*((struct model##__targets *)0)->column.seen), sl__clause(SL_HERE, SL__NODE_PRELOAD_REFERRING, SL__NODES_1(model##_.column.node)))

SL_API sl_clause sl__clause(const sl_site *site, sl__node_kind kind, const sl_node *const *operands, size_t count);
SL_API sl_clause sl__number(const sl_site *site, sl__node_kind kind, int64_t number);
SL_API sl_clause sl__join(const sl_site *site, sl__node_kind kind, const sl_source *source, sl_clause on);
SL_API const void *sl__alias(const sl_site *site, sl_model_fn *model, const char *name);

/* ---- Selections ---------------------------------------------------------------------------------------- */

/* The objects of a model for which all conditions hold: `struct person_found *`. What makes no sense together
 * (a slice that is deleted, having without group by, …) fails with SL_EINVAL before any SQL. */
#define sl_find(model, ...) ((struct model##_found *)sl__find(SL_HERE, &model##__source, SL__CLAUSES(__VA_ARGS__)))
/* The same over an alias of the model. */
#define sl_find_as(model, columns, ...)                                                                      \
    ((struct model##_found *)sl__find(                                                                       \
        SL_HERE, _Generic((columns).sl__whole, struct model##__whole: (columns).sl__whole.source), SL__CLAUSES(__VA_ARGS__)))
/* Rows of a result (SL_RESULT), computed from `from`, the columns of a model, and what is joined:
 *
 *     sl_select(busy, message_, SL_AS(.room = message_.room, .count = sl_count_all()), sl_group_by(message_.room))
 *
 * A whole object is .sender = sl_whole(person_). */
#define sl_select(result, from, columns, ...)                                                                \
    ((struct result##_found *)sl__select(SL_HERE, result##_model, (from).sl__whole.source,                   \
        &(const struct result##_columns)columns, SL__CLAUSES(__VA_ARGS__)))
#define SL_AS(...) {__VA_ARGS__}
#define sl_whole(columns) ((columns).sl__whole)
/* A selection with more clauses. Of sl_limit and sl_skip the last holds. */
#define sl_narrow(found, ...) SL__NARROW(SL__NAME, found, __VA_ARGS__)
#define SL__NARROW(name, found, ...)                                                                         \
    SL__LET(name, found, (__typeof__(name))sl__narrow(SL_HERE, SL__SELECTION(name), SL__CLAUSES(__VA_ARGS__)))
/* Both selections are of one model. What is in either, in the first only, in both; without duplicates. Only order,
 * limit and skip may be added to the outcome. */
#define sl_union(a, b) SL__COMBINED(SL__NAME, SL__NAME, "UNION", a, b)
#define sl_except(a, b) SL__COMBINED(SL__NAME, SL__NAME, "EXCEPT", a, b)
#define sl_intersect(a, b) SL__COMBINED(SL__NAME, SL__NAME, "INTERSECT", a, b)
#define SL__COMBINED(first, second, operator, a, b)                                                          \
    SL__LET(first, a, SL__LET(second, b,                                                                     \
        (__typeof__(_Generic(second, __typeof__(first): first)))sl__combined(SL_HERE, operator, SL__SELECTION(first), SL__SELECTION(second))))

SL_API sl_selection *sl__find(const sl_site *site, const sl_source *source, const sl_clause *clauses, size_t count);
SL_API sl_selection *sl__select(const sl_site *site, sl_model_fn *result, const sl_source *from, const void *columns,
                                const sl_clause *clauses, size_t count);
SL_API sl_selection *sl__narrow(const sl_site *site, const sl_selection *selection, const sl_clause *clauses, size_t count);
SL_API sl_selection *sl__combined(const sl_site *site, const char *operator, const sl_selection *a, const sl_selection *b);

/* ---- Answers: all may suspend and fail ----------------------------------------------------------------- */

/* One object, or NULL where there is none: the first and the last in the order, without which they fail; some one
 * of them; the only one (SL_EMANY where there are two). */
#define sl_first(found) SL__OBJECT(found, sl__first(SL_HERE, SL__SELECTION(found)))
#define sl_last(found) SL__OBJECT(found, sl__last(SL_HERE, SL__SELECTION(found)))
#define sl_some(found) SL__OBJECT(found, sl__some(SL_HERE, SL__SELECTION(found)))
#define sl_one(found) SL__OBJECT(found, sl__one(SL_HERE, SL__SELECTION(found)))
#define SL__OBJECT(found, object) ((__typeof__((found)->sl__object[0]))(object))
/* All of them: struct person_list {size_t count; const struct person *const *items;}. They live as long as the
 * transaction's task. */
#define sl_list(found) (*(__typeof__((found)->sl__list[0]) *)sl__list(SL_HERE, SL__SELECTION(found)))
/* One after the other, in constant memory, each lent for one round of the loop: it is not the transaction's
 * object, cannot be edited, and what must outlive the round is copied. The block may be left at any time.
 *
 *     SL_EACH(p, sl_find(person)) { … } */
#define SL_EACH(name, found) SL__EACH(name, found, SL__PASTE(sl__each_, __COUNTER__))
#define SL__EACH(name, found, each)                                                                          \
    for (sl__each each SL_CLEANUP(sl__each_leave) = {0}; !each.left; each.left = true)                       \
        for (__typeof__((found)->sl__object[0]) name = (each.selection = SL__SELECTION(found), NULL);        \
             (name = sl__each_next(SL_HERE, &each));)
typedef struct sl__each {
    const sl_selection *selection;
    struct sl__stream *stream;
    bool left;
} sl__each;
SL_API const void *sl__each_next(const sl_site *site, sl__each *each);
SL_API void sl__each_leave(sl__each *each);
/* How many there are (of a slice: in it); whether there is none. */
#define sl_count(found) sl__count(SL_HERE, SL__SELECTION(found))
#define sl_is_empty(found) sl__is_empty(SL_HERE, SL__SELECTION(found))
/* One value computed of all rows: sl_value(sl_find(person), sl_max(person_.age)). Fails with SL_ENOROW where it
 * is NULL; sl_value_or then gives `otherwise`. Text lives as long as the task. */
#define sl_value(found, x) SL__VALUE(x, sl__one_value(SL_HERE, SL__SELECTION(found), (x).node, NULL))
#define sl_value_or(found, x, otherwise) SL__VALUE(x, sl__one_value(SL_HERE, SL__SELECTION(found), (x).node, SL__OPERAND(x, otherwise)))
#define SL__VALUE(x, given)                                                                                  \
    _Generic((x), sl_integer_expr: sl__integer_of, sl_real_expr: sl__real_of, sl_text_expr: sl__text_of,      \
        sl_bytes_expr: sl__bytes_of, sl_boolean_expr: sl__boolean_of, sl_time_expr: sl__integer_of,          \
        sl_date_expr: sl__date_of, sl_decimal_expr: sl__decimal_of, sl_uuid_expr: sl__uuid_of)(given)
static inline int64_t sl__integer_of(sl_value v) { return v.integer; }
static inline double sl__real_of(sl_value v) { return v.real; }
static inline const char *sl__text_of(sl_value v) { return v.null ? NULL : v.text.data; }
static inline sl_view sl__bytes_of(sl_value v) { return v.text; }
static inline bool sl__boolean_of(sl_value v) { return v.boolean; }
static inline sl_date sl__date_of(sl_value v) { return v.date; }
static inline sl_decimal sl__decimal_of(sl_value v) { return v.decimal; }
static inline sl_uuid sl__uuid_of(sl_value v) { return v.uuid; }
/* All rows as a JSON array of objects, for templates: a new reference. Times are in microseconds, bytes base64,
 * dates, decimals, UUIDs and enums text. One object: sl_to_json(person, p). */
#define sl_rows(found) sl__rows(SL_HERE, SL__SELECTION(found))
#define sl_to_json(model, object) sl__row_to_json(&SL__A(model, object)->sl__row)

SL_API void *sl__first(const sl_site *site, const sl_selection *selection);
SL_API void *sl__last(const sl_site *site, const sl_selection *selection);
SL_API void *sl__some(const sl_site *site, const sl_selection *selection);
SL_API void *sl__one(const sl_site *site, const sl_selection *selection);
SL_API void *sl__list(const sl_site *site, const sl_selection *selection);
SL_API int64_t sl__count(const sl_site *site, const sl_selection *selection);
SL_API bool sl__is_empty(const sl_site *site, const sl_selection *selection);
SL_API sl_value sl__one_value(const sl_site *site, const sl_selection *selection, const sl_node *x, const sl_node *otherwise);
SL_API struct json_t *sl__rows(const sl_site *site, const sl_selection *selection);
SL_API struct json_t *sl__row_to_json(const sl_row *row);

/* ---- Changes to many: may suspend ---------------------------------------------------------------------- */

/* sl_to(person_.age, 41), also with an expression: a column and what it is set to. */
#define sl_to(column, value) sl__to(SL_HERE, (column).node, SL__OPERAND(column, value))
/* Changes or deletes all rows of the selection with one statement, and gives how many; objects of the transaction
 * that are among them are read anew when they are next looked for by sl_load or a query, and their fields are
 * brought up to date at once. One whose primary key is set is gone like one that is deleted: an object is what has
 * its key. Validators run on what is set. Not for slices, groups and combined selections. */
#define sl_update(found, ...) sl__update(SL_HERE, SL__SELECTION(found), SL__CLAUSES(__VA_ARGS__))
#define sl_delete(found) sl__delete(SL_HERE, SL__SELECTION(found))
/* The same, and gives the objects as sl_list does, in no order: those that were changed as they are now, those that
 * were deleted as they were last, with their lazy columns, and no more the transaction's.
 *
 *     struct person_list older = sl_update_returning(found, sl_to(person_.age, sl_plus(person_.age, 1))); */
#define sl_update_returning(found, ...)                                                                      \
    (*(__typeof__((found)->sl__list[0]) *)sl__update_returning(SL_HERE, SL__SELECTION(found), SL__CLAUSES(__VA_ARGS__)))
#define sl_delete_returning(found)                                                                           \
    (*(__typeof__((found)->sl__list[0]) *)sl__delete_returning(SL_HERE, SL__SELECTION(found)))
SL_API sl_clause sl__to(const sl_site *site, const sl_node *column, sl__operand value);
SL_API int64_t sl__update(const sl_site *site, const sl_selection *selection, const sl_clause *assignments, size_t count);
SL_API int64_t sl__delete(const sl_site *site, const sl_selection *selection);
SL_API void *sl__update_returning(const sl_site *site, const sl_selection *selection, const sl_clause *assignments, size_t count);
SL_API void *sl__delete_returning(const sl_site *site, const sl_selection *selection);
/* clang-format on */
