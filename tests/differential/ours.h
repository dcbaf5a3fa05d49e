/* ours.h: libsilver's side of the differential test: models, and what its files have in common.
 *
 * An operation is JSON that is known at run time only, so most of what it means is asked of the functions
 * beneath the store's macros, which take nodes instead of typed expressions; the macros themselves are for
 * unit tests. */
#pragma once

#include <silver/silver.h>

#include <jansson.h>
#include <stdio.h>

/* ---- Models: the same as in world.py ---- */

#define COLOURS(V) V(RED, "red") V(GREEN, "green") V(BLUE, "blue")
SL_ENUM(colour, COLOURS);

#define COMPANY(F)                                                                                           \
    F(id, integer, SL_PRIMARY_KEY)                                                                           \
    F(name, text, SL_REQUIRED, SL_UNIQUE)                                                                    \
    F(rank, integer)                                                                                         \
    F(parent, refers(company))
SL_MODEL(company, COMPANY);

#define PERSON(F)                                                                                            \
    F(id, integer, SL_PRIMARY_KEY)                                                                           \
    F(name, text, SL_REQUIRED)                                                                               \
    F(age, integer, SL_DEFAULT("30"))                                                                        \
    F(number, integer)                                                                                       \
    F(height, real)                                                                                          \
    F(awake, boolean, SL_DEFAULT("true"))                                                                    \
    F(born, date)                                                                                            \
    F(shade, enum(colour), SL_DEFAULT("green"))                                                              \
    F(badge, text, SL_UNIQUE)                                                                                \
    F(photo, bytes, SL_LAZY)                                                                                 \
    F(employer, refers(company))                                                                             \
    F(boss, refers(person), SL_ON_DELETE(SET_NULL))
SL_MODEL(person, PERSON);

#define CLUB(F)                                                                                              \
    F(code, text, SL_PRIMARY_KEY)                                                                            \
    F(title, text, SL_REQUIRED)                                                                              \
    F(size, integer, SL_REQUIRED, SL_UNIQUE)                                                                 \
    F(open, boolean)
SL_MODEL(club, CLUB, SL_TOGETHER("title, open"));

#define MEMBERSHIP(F)                                                                                        \
    F(member, refers(person), SL_PRIMARY_KEY, SL_ON_DELETE(CASCADE))                                         \
    F(club, refers_text(club), SL_PRIMARY_KEY)                                                               \
    F(since, integer, SL_DEFAULT("2000"))                                                                    \
    F(note, text)
SL_MODEL(membership, MEMBERSHIP);

typedef struct table {
    const char *name;
    sl_model_fn *model;
    const void *columns; /* `person_`: the source, then a node for each column */
} table;
const table *model_named(const char *name); /* ends the program where there is none */
const sl_source *source_of(const void *columns);
const sl_node *node_of(const void *columns, unsigned column);
unsigned column_named(const sl_model *m, const char *name);

/* ---- JSON ---- */

/* Ends the program, for a sequence that makes no sense, or a result that should be impossible. */
SL_NORETURN void die(const char *format, ...) SL_PRINTF(1, 2);
/* A member that must be there. */
json_t *part(const json_t *op, const char *name);
const char *word(const json_t *op, const char *name);
/* A text of an operation, which lives as long. */
const char *text_of(const json_t *json);
static inline void json_drop(json_t **json)
{
    json_decref(*json);
}
#define AUTO_JSON SL_CLEANUP(json_drop) json_t

/* ---- Values: value.c ---- */

/* Bytes are hexadecimal in JSON, dates and enums their texts. */
sl_kind kind_named(const char *name);
sl__operand operand_of(const char *kind, const json_t *value); /* null: NULL */
/* A field that is set, also to NULL. */
void set_field(sl_row *row, unsigned column, const json_t *value);
bool field_is_null(const sl_row *row, unsigned column);
json_t *field_to_json(const sl_row *row, unsigned column);
json_t *value_to_json(const sl_value *value);
/* All columns, or all that are not lazy. */
json_t *row_to_json(const sl_row *row, bool lazy);
/* What sl_rows and sl_to_json made, with bytes and infinite numbers as they are written here. */
json_t *foreign_row(const sl_model *m, json_t *row);
/* The values of a JSON array as the parts of a key. */
size_t key_parts(const sl_model *m, const json_t *values, sl_key_part *ret_parts);
size_t own_key(const sl_row *row, sl_key_part *ret_parts);

/* ---- Expressions: expression.c ---- */

/* Tables by their names, the innermost first. */
typedef struct scope {
    const char *name;
    const void *columns;
    const struct scope *outer;
} scope;
extern const scope *const all_models; /* each by its own name */
const void *table_named(const scope *s, const char *name);
const sl_node *expression_of(const json_t *e, const scope *s);
sl_clause condition_of(const json_t *c, const scope *s);

/* ---- Selections: selection.c ---- */

sl_selection *selection_of(const json_t *find, const scope *outer, const scope **ret_scope);
/* Of computed rows: `columns` are {"kind", "expr"} or {"whole"}. */
sl_selection *results_of(const json_t *find, const json_t *columns, sl_model_fn **ret_model);
/* A selection with the operation's conditions, order and slice. */
sl_selection *narrowed(sl_selection *selection, const json_t *find, const scope *s);

/* ---- Running: ours.c ---- */

enum { SLOTS = 512 };
typedef struct sequence {
    json_t *operations;
    size_t count, at;
    size_t *ends; /* of each operation that begins a group, where that ends */
    const char *url;
    bool undoing, trace;
    sl_row *slots[SLOTS];
} sequence;

bool is_alive(const sl_row *row); /* takes NULL */
/* The object of a slot, read anew if it may be old: NULL and a word in *ret_word where there is none. */
sl_row *slot_row(sequence *s, int slot, const char **ret_word);
void put_slot(sequence *s, const json_t *slot, const sl_row *row);
/* {"same": the first slot that has this object, …its values}, or null. */
json_t *seen(sequence *s, const sl_row *row);

/* What an operation gives: a new reference. Fails by exit. */
typedef json_t *operation_fn(sequence *s, const json_t *op);
typedef struct operation {
    const char *name;
    operation_fn *run;
} operation;
extern const operation writing[], asking[]; /* write.c, ask.c; up to one without a name */
