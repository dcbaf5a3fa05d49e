/* compile.h: what the makers of expressions, selections and SQL share.
 *
 *   operand.c            values, made to fit what they stand beside
 *   condition.c          comparisons and what is made of conditions
 *   expression.c         what is computed, sub-selects, raw SQL, aliases
 *   clause.c             clauses that are no conditions
 *   selection.c          selections, and what makes no sense in them
 *   visit.c              going through the nodes of a selection
 *   like.c, raw.c        patterns and raw SQL as each database takes them: no tasks, no nodes
 *   compile.c            statements: which SELECT, UPDATE or DELETE answers a question
 *   compile_select.c     one SELECT
 *   compile_node.c       one expression
 *   compile_like.c       a pattern
 *   write_sql.c          the text and the parameters, names, shapes */
#pragma once

#include "store/query.h"

/* ---- Nodes --------------------------------------------------------------------------------------------- */

/* A node in the task's arena with a copy of the list of operands. */
sl_node *sl__node_new(const sl_site *site, sl__node_kind kind, sl_kind type, const sl_node *const *operands,
                      size_t count);
/* How deep expressions can be, and how many levels a selection counts for. */
#define SL__DEPTH_MAX 200
#define SL__SELECTION_LEVELS 4u
#define SL__CONDITIONS_MAX 1000000 /* of one sl_and or sl_or */
/* Notes that it is at least so deep; fails with SL_EINVAL where that is too deep. */
void sl__node_deepen(sl_node *node, unsigned depth);
/* What is in parentheses in it. */
void sl__node_hold(sl_node *node, const sl_selection *selection);
/* Fails with SL_EINVAL: a query that makes no sense. */
SL_NORETURN void sl__senseless(const sl_site *site, const char *hint, const char *format, ...)
    SL_PRINTF(3, 4);
/* An expression as a column of a result needs it. */
const sl_node *sl__fit_column(const sl_site *site, const sl_model *model, const sl_column *column,
                              const sl_node *node);
/* Both operands as they must be beside each other. */
void sl__fit_both(const sl_site *site, const sl_node **a, const sl_node **b);
/* "person.age", or what else an expression is called in a message. In the task's arena. */
const char *sl__node_name(const sl_node *node);

/* The variants of functions, lists and patterns (these are sl__like_kind). */
typedef enum sl__function_kind {
    SL__LOWER,
    SL__UPPER,
    SL__LENGTH,
    SL__ABSOLUTE,
    SL__COALESCE,
    SL__COUNT_ALL, /* from here on aggregates */
    SL__COUNT_OF,
    SL__COUNT_DISTINCT,
    SL__SUM,
    SL__AVERAGE,
    SL__MIN,
    SL__MAX,
} sl__function_kind;
typedef enum sl__list_kind {
    SL__LIST_NODES,  /* operands after the first */
    SL__LIST_VALUES, /* `values`, value.integer of them */
    SL__LIST_FOUND,  /* the column operands[1] of `selection` */
} sl__list_kind;

static inline const sl_column *sl__node_column(const sl_node *node)
{
    return &node->source->model()->columns[node - node->source->nodes];
}
static inline bool sl__is_parameter(const sl_node *node)
{
    return node->kind == SL__NODE_PARAMETER;
}
static inline bool sl__is_condition(const sl_node *node)
{
    return node->kind < SL__NODE_ASSIGN && node->type == SL_KIND_BOOLEAN;
}
static inline bool sl__has_selection(const sl_node *node)
{
    return node->kind == SL__NODE_SUBSELECT || node->kind == SL__NODE_EXISTS ||
           (node->kind == SL__NODE_IN && node->variant == SL__LIST_FOUND);
}
/* Each source file has its own copy of a model: what makes them the same is the name. */
bool sl__same_model(const sl_model *a, const sl_model *b);
bool sl__same_source(const sl_source *a, const sl_source *b);
/* Whether a selection names this table itself. */
bool sl__has_source(const sl_selection *selection, const sl_source *source);
bool sl__same_node(const sl_node *a, const sl_node *b);
static inline const char *sl__source_name(const sl_source *source)
{
    return source->alias ? source->alias : source->model()->name;
}

/* ---- Selections ---------------------------------------------------------------------------------------- */

/* Of a result: its column number i (0 is the model's first): an expression, or a whole row. */
static inline const sl_node *sl__result_node(const sl_selection *selection, size_t i)
{
    return ((const sl_node *const *)selection->columns)[i + 1];
}
static inline const sl_source *sl__result_source(const sl_selection *selection, size_t i)
{
    return ((const sl_source *const *)selection->columns)[i + 1];
}
static inline bool sl__is_sliced(const sl_selection *selection)
{
    return selection->limit >= 0 || selection->skip > 0;
}
/* Whether it gives one row, computed of all. */
bool sl__is_summary(const sl_selection *selection);
/* Fails unless an expression has one value in each group; `what` is computed of groups: "the results". */
void sl__check_grouped(const sl_selection *selection, const sl_node *node, const char *what);
bool sl__groups_have_key(const sl_selection *selection, const sl_source *source);

/* visit.c: calls fn for a node and all below it, also in sub-selects; for all nodes of a selection. */
typedef void sl__node_visitor(const sl_node *node, void *data);
void sl__node_visit(const sl_node *node, sl__node_visitor *fn, void *data);
void sl__selection_visit(const sl_selection *selection, sl__node_visitor *fn, void *data);

/* ---- Patterns: like.c ---------------------------------------------------------------------------------- */

/* What a text can become: at most so many bytes, with the NUL. */
#define SL__LIKE_ROOM(size) (3 * (size) + 3)
/* Of a kind of pattern, as GLOB takes it; as LIKE takes it with \\ as its escape. Both give the size. */
size_t sl__like_to_glob(const char *pattern, sl__like_kind kind, char *out);
size_t sl__like_to_like(const char *pattern, sl__like_kind kind, char *out);
/* The text with which all that match a pattern begin. */
size_t sl__like_start(const char *pattern, sl__like_kind kind, char *out);
/* The smallest text that is greater than all that begin with this one, in the order of code points: in place,
 * which may make it one byte longer. Gives its size; 0: there is none. */
size_t sl__like_after(char *text, size_t size);
/* Whether a pattern ends in a \\ that takes nothing. */
bool sl__like_is_broken(const char *pattern);

/* ---- Raw SQL: raw.c ------------------------------------------------------------------------------------ */

typedef enum sl__raw_kind {
    SL__RAW_TEXT,      /* taken as it is */
    SL__RAW_PARAMETER, /* ? */
    SL__RAW_MARK,      /* ??, which stands for ? */
    SL__RAW_FOREIGN,   /* a parameter of the database's own kind: ?1, $1, :name */
    SL__RAW_COMMENT,   /* to the end of the line, or of the text */
    SL__RAW_END,
} sl__raw_kind;
/* Of a name: letters, digits, _, and all that is not ASCII. */
bool sl__raw_in_name(char c);
/* What comes next in raw SQL, from *at on, which goes past it. */
sl__raw_kind sl__raw_next(const char **at, sl__dialect dialect);

/* ---- Writing SQL: write_sql.c -------------------------------------------------------------------------- */

/* The tables that a SELECT names; columns of those around it can be named too. */
typedef struct sl__tables {
    const struct sl__tables *outer;
    const sl_selection *selection;
    bool alone; /* only the selection's first table can be named: its columns need not say whose they are */
    bool eager; /* and it stands for a SELECT that does not give the lazy ones */
} sl__tables;

#define SL__PARAMETERS_MAX 30000
typedef struct sl__writer {
    sl__dialect dialect;
    const sl_site *site;
    const sl__tables *tables;
    bool share; /* a parameter that occurs twice is one: GROUP BY must see that expressions are the same */
    size_t size, capacity;
    char *text;
    uint32_t count, room;
    sl_value *values;
    const sl_node **shared; /* the node of each value */
    char first_text[1024];
    sl_value first_values[16];
} sl__writer;

void sl__writer_init(sl__writer *w, sl__dialect dialect, const sl_site *site);
/* What was written, as a statement. */
void sl__writer_finish(sl__writer *w, sl__statement *ret_statement);
void sl__writer_grow(sl__writer *w, size_t more);
static inline void sl__put(sl__writer *w, const char *text, size_t size)
{
    if (__builtin_expect(size > w->capacity - w->size, 0))
        sl__writer_grow(w, size);
    memcpy(w->text + w->size, text, size);
    w->size += size;
}
#define SL__PUT(w, literal) sl__put((w), "" literal, sizeof(literal) - 1)
static inline void sl__puts(sl__writer *w, const char *text)
{
    sl__put(w, text, strlen(text));
}
void sl__put_number(sl__writer *w, uint64_t number);
void sl__put_identifier(sl__writer *w, const char *name);
/* A placeholder for a value; `node` is whose it is, or NULL. With a cast where PostgreSQL could not know its
 * type. */
void sl__put_parameter(sl__writer *w, const sl_value *value, const sl_node *node, bool cast);

/* ---- Compiling ----------------------------------------------------------------------------------------- */

/* compile_node.c */
void sl__put_node(sl__writer *w, const sl_node *node);
/* Conditions with AND between them. */
void sl__put_conditions(sl__writer *w, const sl_node *const *conditions, size_t count);
/* An expression whose decimals are to have so many digits after the point. */
void sl__put_scaled(sl__writer *w, const sl_node *node, int scale);
/* `column` = value, of an assignment. */
void sl__put_assignment(sl__writer *w, const sl_node *assignment);
void sl__put_like(sl__writer *w, const sl_node *node);
void sl__put_raw(sl__writer *w, const sl_site *site, const char *text, const sl_node *const *values,
                 size_t count);

/* compile_select.c: what a SELECT gives. */
typedef enum sl__picked_kind {
    SL__PICK_ROWS,    /* what the selection gives */
    SL__PICK_ONE,     /* 1 */
    SL__PICK_COUNT,   /* count(*) */
    SL__PICK_NODE,    /* `node`, at `scale` */
    SL__PICK_COLUMNS, /* those of the first table whose bits are set in `columns` */
    SL__PICK_SORTED,  /* what the selection gives, as c1, c2, …, and what it is sorted by, as o1, o2, … */
} sl__picked_kind;
typedef struct sl__picked {
    sl__picked_kind kind;
    const sl_node *node;
    int scale;
    uint64_t columns;
} sl__picked;
/* Its order, and its slice. */
typedef struct sl__cut {
    bool ordered, reversed;
    int64_t limit, skip; /* -1: none */
} sl__cut;
void sl__put_select(sl__writer *w, const sl_selection *selection, const sl__picked *picked,
                    const sl__cut *cut);
/* An expression over the rows of a selection; `ordered`: in its order, if it has one. */
void sl__put_select_node(sl__writer *w, const sl_selection *selection, const sl_node *node, int scale,
                         bool ordered);
/* A SELECT that gives a row if the selection does. */
void sl__put_exists(sl__writer *w, const sl_selection *selection);
/* Of what SL__PICK_SORTED gave: the columns that the selection gives, in the reverse order. */
void sl__put_resorted(sl__writer *w, const sl_selection *selection, const sl__cut *inner);
void sl__put_table(sl__writer *w, const sl_source *source);
/* Those of the selection's first table whose bits are set. */
void sl__put_own_columns(sl__writer *w, const sl_selection *selection, uint64_t columns);
void sl__put_tables(sl__writer *w, const sl_selection *selection);
void sl__put_where(sl__writer *w, const sl_selection *selection);
void sl__put_slice(sl__writer *w, int64_t limit, int64_t skip);
static inline sl__cut sl__own_cut(const sl_selection *selection, bool ordered)
{
    return (sl__cut){.ordered = ordered, .limit = selection->limit, .skip = selection->skip};
}
