/* query.h: the inside of selections, and their SQL. */
#pragma once

#include "store/driver.h"

/* A selection is immutable: each refinement copies. All of it lies in the task's arena. */
struct sl_selection {
    sl_model_fn *model;    /* of what it gives: a table's, or a result's */
    const sl_source *from; /* the first table */
    const void *columns; /* of a result: its struct of expressions, one pointer each, in order of the columns
                            after the first, which is sl__whole; NULL: whole objects of `from` */
    uint32_t join_count, condition_count, order_count, group_count, preload_count;
    const sl_node *const
        *joins; /* SL__NODE_JOIN and SL__NODE_LEFT_JOIN: source, operands[0] is the condition */
    const sl_node *const *conditions;
    const sl_node *const *orders; /* SL__NODE_ASCENDING, SL__NODE_DESCENDING */
    const sl_node *const *groups;
    const sl_node *const *preloads; /* SL__NODE_PRELOAD and SL__NODE_PRELOAD_REFERRING: operands[0] refers */
    const sl_node *having;
    int64_t limit, skip; /* -1: none */
    bool distinct;
    uint8_t depth;        /* of the deepest node in it */
    const char *operator; /* "UNION", …: of `left` and `right`; NULL: a plain one */
    const sl_selection *left, *right;
    bool none; /* there are surely no rows: no SQL is needed to know it (but an aggregate may still have a
                  value) */
    /* All whose column `of` refers to `key`, or what these refer to in their column `by`, and no more: it may
     * have been preloaded (preload.c). NULL: another. */
    const sl_node *of, *by, *key;
    const sl_site *site;
};

typedef enum sl__dialect {
    SL__SQLITE,
    SL__POSTGRES,
} sl__dialect;

typedef enum sl__what {
    SL__ROWS,   /* what the selection gives */
    SL__COUNT,  /* SELECT count(*) */
    SL__EXISTS, /* SELECT EXISTS (…) */
    SL__VALUE,  /* one expression over all rows: `nodes` has it. One that is no aggregate gives a row each */
    SL__UPDATE, /* `nodes` are SL__NODE_ASSIGN: operands are the column and the value */
    SL__DELETE,
    SL__UPDATE_RETURNING, /* the same, and gives the objects as they are now, */
    SL__DELETE_RETURNING, /* and all columns of those that go */
    SL__BACKWARDS,        /* rows in the reverse order */
} sl__what;

/* Makes the statement of a selection; SQL and values lie in the task's arena. Fails (by exit, SL_EINVAL, with
 * the site) where it makes no sense: said before anything is sent. Columns of an object are those of its
 * model that are not lazy, in order; a result's are its expressions, a row(m) among them all columns of m
 * that are not lazy. `limit` >= 0 is put in place of the selection's own, if that is not smaller. Of the
 * statement sql, size, count, shape, values, writes, quick and site are set, the rest is 0. */
void sl__compile(const sl_selection *selection, sl__dialect dialect, sl__what what,
                 const sl_node *const *nodes, size_t node_count, int64_t limit, sl__statement *ret_statement);
/* Which models' tables a selection, or an expression, reads (also in sub-selects): calls fn for each, perhaps
 * more than once. Of an expression only those of its sub-selects: its columns' are the selection's. */
typedef void sl__model_visitor(sl_model *model, void *data);
void sl__selection_models(const sl_selection *selection, sl__model_visitor *fn, void *data);
void sl__node_models(const sl_node *node, sl__model_visitor *fn, void *data);
/* A name as an SQL identifier: "quoted", with quotes doubled. */
void sl__put_name(sl_buffer *out, const char *name);
/* "INTEGER", "text" …: what a column's type is called; also for casts. */
const char *sl__sql_type(sl__dialect dialect, const sl_column *column);

/* Makes raw SQL with its parameters (up to NULL) a statement: each ? becomes ?1 or $1, but not inside quotes
 * and comments, and ?? becomes ?. Fails (by exit, SL_EINVAL) where there are more or fewer values than ?. It
 * is taken to write unless it begins with SELECT or VALUES. */
void sl__compile_raw(const sl_site *site, const char *text, const sl_node *const *values, sl__dialect dialect,
                     sl__statement *ret_statement);

/* An operand as it must be beside `like`: a constant of an enum becomes its text, a decimal gets the scale,
 * NULL the type. Fails (by exit, SL_EINVAL) where that cannot be. Gives `node` itself where nothing is to be
 * done. */
const sl_node *sl__fit(const sl_site *site, const sl_node *like, const sl_node *node);
/* How many digits an expression's decimals have after the point: as SQLite gives their units. 0 for other
 * types. */
int sl__scale_of(const sl_node *node);
/* The enum that an expression gives, or NULL. */
const sl_enum_names *sl__names_of(const sl_node *node);
