/* template.h: a template from its text to a page.
 *
 *   template_parse.c       text → a tree of nodes, and of expressions inside them
 *   template_expression.c  the expressions' grammar
 *   template_value.c       what an expression is worth: look-up, comparison, filters
 *   template_render.c      walks the tree with the data and writes the page
 *   template.c             finds files, keeps what was compiled, notices changes
 *
 * None of it suspends, and all of it returns codes. A tree lies in one arena together with the text that it
 * was made from, into which its pieces point; offsets into that text become line and column when there is
 * something to complain about. */
#pragma once

#include "web/router.h"
#include <silver/web.h>
#include <sys/types.h>
#include <time.h>

typedef struct sl__templates sl__templates;

enum {
    SL__TEMPLATE_NESTING = 32,    /* blocks in blocks, parentheses in parentheses, within one file */
    SL__TEMPLATE_EXPRESSION = 64, /* steps from an expression to the deepest of its parts */
    SL__TEMPLATE_DEPTH = 100,     /* of everything that is open at once while rendering, over all files */
    SL__TEMPLATE_FILES = 16,      /* includes in includes, and files that extend one another */
    SL__TEMPLATE_SIZE = 4 << 20,  /* bytes of a file */
    SL__TEMPLATE_OUTPUT = 64 << 20,
};

/* Filters: name, fewest and most arguments, what they take. */
#define SL__FILTERS(X)                                                                                       \
    X(raw, 0, 0)                                                                                             \
    X(default, 1, 1)                                                                                         \
    X(length, 0, 0)                                                                                          \
    X(upper, 0, 0)                                                                                           \
    X(lower, 0, 0)                                                                                           \
    X(json, 0, 0)                                                                                            \
    X(urlencode, 0, 0)                                                                                       \
    X(date, 1, 1)

typedef enum sl__filter {
#define SL__FILTER_ID(name, fewest, most) SL__FILTER_##name,
    SL__FILTERS(SL__FILTER_ID)
#undef SL__FILTER_ID
        SL__FILTER_COUNT,
} sl__filter;

typedef enum sl__expression_kind {
    SL__E_NULL,
    SL__E_FALSE,
    SL__E_TRUE,
    SL__E_INTEGER,
    SL__E_REAL,
    SL__E_STRING,
    SL__E_NAME,   /* text */
    SL__E_MEMBER, /* left, text */
    SL__E_INDEX,  /* left, right */
    SL__E_NOT,    /* left */
    SL__E_AND,
    SL__E_OR,
    SL__E_EQUAL,
    SL__E_UNEQUAL,
    SL__E_LESS,
    SL__E_LESS_EQUAL,
    SL__E_GREATER,
    SL__E_GREATER_EQUAL,
    SL__E_FILTER, /* left, filter, right: the argument */
    SL__E_URL,    /* left: the route's name; arguments */
} sl__expression_kind;

typedef struct sl__expression sl__expression;

typedef struct sl__url_argument {
    const char *name;
    sl__expression *value;
    struct sl__url_argument *next;
} sl__url_argument;

struct sl__expression {
    uint8_t kind;   /* sl__expression_kind */
    uint8_t filter; /* sl__filter */
    uint8_t depth;  /* of its deepest part */
    uint32_t offset;
    sl__expression *left, *right;
    union {
        struct {
            const char *text;
            size_t size;
        };
        json_int_t integer;
        double real;
        sl__url_argument *arguments;
    };
};

typedef enum sl__template_node_kind {
    SL__NODE_TEXT,
    SL__NODE_PRINT,
    SL__NODE_IF,
    SL__NODE_FOR,
    SL__NODE_INCLUDE,
    SL__NODE_BLOCK,
} sl__template_node_kind;

typedef struct sl__node sl__node;

typedef struct sl__branch {
    sl__expression *condition; /* NULL: else */
    sl__node *body;
    struct sl__branch *next;
} sl__branch;

struct sl__node {
    uint8_t kind; /* sl__template_node_kind */
    uint32_t offset;
    sl__node *next;
    union {
        struct {
            const char *data;
            size_t size;
        } text;
        sl__expression *print;
        sl__branch *branches;
        struct {
            const char *key, *item; /* key may be NULL */
            sl__expression *sequence;
            sl__node *body, *otherwise;
        } loop;
        const char *include;
        struct sl__block *block;
    };
};

typedef struct sl__block {
    const char *name;
    sl__node *body;
    uint32_t offset;
    struct sl__block *next; /* in the same template */
} sl__block;

typedef struct sl__template {
    sl_arena *arena;
    const char *name;
    char *source;
    size_t size;
    sl__node *nodes;
    sl__block *blocks;
    const char *extends; /* or NULL */
    uint32_t extends_offset;
    uint64_t checked; /* template.c's: the rendering in which the file was last looked at */
    struct timespec changed;
    ino_t inode;
    bool young; /* the file had changed just before it was read, and may again without showing it */
} sl__template;

/* Compiles a text, which is copied. 0, or SL_ETEMPLATE with an error. */
int sl__template_parse(const sl_site *site, const char *name, const char *source, size_t size,
                       sl__template **ret_template, sl_error **ret_error);
sl__template *sl__template_free(sl__template *templ);

/* An error at a place in a template: the message begins with templates/NAME:LINE:COLUMN, the detail shows the
 * line. */
sl_error *sl__template_error(const sl_site *site, const sl__template *templ, size_t offset,
                             const char *format, ...) SL_PRINTF(4, 5);

/* template_expression.c: what the parser shares with it. */
typedef struct sl__parser_state {
    const sl_site *site;
    sl__template *templ;
    const char *at, *end; /* end of the whole text */
    unsigned nesting;
    sl_error *error;
} sl__parser_state;
/* Reads an expression; NULL with state->error. */
sl__expression *sl__parse_expression(sl__parser_state *state);
void sl__skip_space(sl__parser_state *state);
/* Reads a word of letters, digits and underscores that starts with no digit: "" if there is none. */
sl_view sl__read_word(sl__parser_state *state);
/* Reads a literal string: a NUL-terminated copy, or NULL with or without an error (none: there was no quote).
 */
const char *sl__read_string(sl__parser_state *state, size_t *ret_size);
/* Notes the error at a place, unless there is one. Returns false. */
bool sl__parse_wrong(sl__parser_state *state, const char *at, const char *hint, const char *format, ...)
    SL_PRINTF(4, 5);

/* template_value.c */
typedef enum sl__value_kind {
    SL__V_MISSING, /* an unknown name: an error unless `default` takes it */
    SL__V_NULL,
    SL__V_FALSE,
    SL__V_TRUE,
    SL__V_INTEGER,
    SL__V_REAL,
    SL__V_STRING,
    SL__V_JSON, /* an array or an object */
    SL__V_LOOP,
} sl__value_kind;

typedef struct sl__loop {
    size_t index, length; /* from 0 */
} sl__loop;

typedef struct sl__value {
    sl__value_kind kind;
    bool safe; /* is HTML already */
    union {
        json_int_t integer;
        double real;
        sl_view string;
        json_t *json;
        const sl__loop *loop;
    };
} sl__value;

/* A name that `for` has set, and those around it. */
typedef struct sl__variable {
    const char *name;
    sl__value value;
    const struct sl__variable *outer;
} sl__variable;

/* A file being rendered with the files that it extends, the most derived last. */
typedef struct sl__layer {
    const sl__template *templ;
    const struct sl__layer *derived;
} sl__layer;

typedef struct sl__rendering {
    sl__templates *templates;
    const sl_site *site;
    json_t *data;
    const sl__variable *variables;
    const sl__template *templ; /* the file of the node at work */
    const sl__layer *layer;    /* the base of its chain */
    sl_arena *scratch;
    sl_buffer *out;
    unsigned depth, files;
    sl_error *error;
} sl__rendering;

/* 0, or SL_ETEMPLATE with state->error. */
int sl__evaluate(sl__rendering *state, const sl__expression *expression, sl__value *ret_value);
int sl__evaluate_condition(sl__rendering *state, const sl__expression *expression, bool *ret_true);
sl__value sl__value_of(json_t *json);
const char *sl__value_kind_name(const sl__value *value); /* "a text", "a list" */
/* Notes an error at the place in the file at work. Returns SL_ETEMPLATE. */
int sl__render_wrong(sl__rendering *state, size_t offset, const char *hint, const char *format, ...)
    SL_PRINTF(4, 5);

/* template_filter.c */
/* Applies the filter of the expression to the value, which may be missing. */
int sl__apply_filter(sl__rendering *state, const sl__expression *filter, sl__value *value);
/* Writes a text or number as it is, without escaping; false where the value has no text (a list). */
bool sl__put_value(sl_buffer *out, const sl__value *value);

/* template_render.c: one chain of files. */
int sl__template_render(sl__rendering *state, const sl__template *templ);

/* template.c */
sl__templates *sl__templates_new(const char *directory, bool development, const sl__router *router);
sl__templates *sl__templates_free(sl__templates *templates);
const sl__router *sl__templates_router(const sl__templates *templates);
/* The compiled template of this name. */
int sl__templates_get(sl__templates *templates, const sl_site *site, const char *name,
                      sl__template **ret_template, sl_error **ret_error);
/* Renders templates/NAME. `scratch` takes what must live until the end. */
int sl__templates_render(sl__templates *templates, const sl_site *site, const char *name, json_t *data,
                         sl_arena *scratch, sl_buffer *out, sl_error **ret_error);
