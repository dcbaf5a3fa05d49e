/* answer.h: reading what a selection gives. */
#pragma once

#include "store/store.h"

/* How rows become objects. */
typedef struct sl__reader {
    sl_model *model;
    sl__model_info *info;
    sl__table *table;   /* of a model's objects; NULL: a result */
    sl__table **wholes; /* of a result's whole objects, by column */
    sl_row *lent;       /* the object of SL_EACH; NULL: objects are kept */
    sl_row **lent_wholes;
} sl__reader;

/* A selection that is being read. It cleans up after itself with sl__reading_end, which takes what was not
 * begun. */
typedef struct sl__reading {
    sl_session *session;
    sl__reader reader;
    sl__running running;
    sl__statement statement;
    bool begun;
} sl__reading;

/* By exit, as the next. `limit` as for sl__compile. */
void sl__reading_begin(const sl_site *site, const sl_selection *selection, sl__what what, int64_t limit,
                       bool lent, sl__reading *reading);
/* The next object, or NULL. */
sl_row *sl__reading_next(sl__reading *reading);
void sl__reading_end(sl__reading *reading);

/* What sl_list gives, of any model: its first two members. */
typedef struct sl__row_list {
    size_t count;
    sl_row **items;
    uint32_t size;
} sl__row_list;
static inline void sl__row_list_add(sl_arena *arena, sl__row_list *list, sl_row *row)
{
    list->items = sl__list_grown(arena, list->items, (uint32_t)list->count, &list->size, sizeof *list->items);
    list->items[list->count++] = row;
}

/* The first table of a selection, in whose store all others must be, also those of sub-selects. By exit. */
sl__table *sl__selection_table(const sl_site *site, const sl_selection *selection);
/* The same of expressions that are asked of a table, or that it is set to. By exit. */
void sl__nodes_in(const sl_site *site, const sl__table *table, const sl_node *const *nodes, size_t count);
/* reference.c: a key as a query takes it; the rows of a table where a column is one of these. */
sl__operand sl__key_operand(const sl_key_part *part);
sl_selection *sl__found_among(const sl_site *site, const sl_node *column, const sl_key_part *keys,
                              size_t count);
/* preload.c: what the objects of a list refer to, and what refers to them, in the columns that the selection
 * names. By exit. */
void sl__preload_all(const sl_site *site, sl_session *session, const sl_selection *selection,
                     sl_row *const *rows, size_t count);
/* What a selection gives, where that was preloaded; else NULL. By exit. */
const sl__row_list *sl__preloaded(const sl_site *site, const sl_selection *selection);
/* What is wrong with a value for a column, which a validator may rewrite; NULL: nothing. */
const char *sl__value_check(const sl_column *column, sl_value *value);
