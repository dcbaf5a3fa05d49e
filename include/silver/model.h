/* model.h: structures that are rows of a table.
 *
 * One list makes a struct, its columns as typed expressions, and the description that tables and SQL are made
 * of:
 *
 *     #define PERSON(F)                                             \
 *         F(id,       integer, SL_PRIMARY_KEY)                      \
 *         F(name,     text,    SL_REQUIRED, .max = 80)              \
 *         F(born,     date)                                         \
 *         F(shade,    enum(colour), SL_DEFAULT("red"))              \
 *         F(employer, refers(company))
 *     SL_MODEL(person, PERSON);
 *
 * gives `struct person`, which is read as any struct (p->name), `person_`, whose members are its columns
 * (person_.name), `struct person_found`, a query for such objects (silver/query.h), and person_model(), the
 * description. Objects are made by sl_new and read by the functions of store.h and query.h; they are never
 * declared as variables.
 *
 * What was read is const. sl_edit gives the same object to write to; what was changed is found by comparison
 * and written when the transaction needs it (store.h).
 *
 * NULL is a mask: p->null.born says whether born is NULL, whatever stands in p->born (which is then 0, "" is
 * never meant). Assigning to a field of an edited object makes it not NULL where the new value is not 0; to
 * be sure, also with 0, use sl_set and sl_set_null. */
#pragma once

#include <silver/record.h>
#include <silver/core.h>

/* What C forbids and compilers of old only warn of does not compile where models are used: a number for a
 * text, an object of another model, and writing to what was only read. */
#pragma GCC diagnostic error "-Wint-conversion"
#pragma GCC diagnostic error "-Wincompatible-pointer-types"
#if !defined(__clang__) /* there it is part of the one before */
#pragma GCC diagnostic error "-Wdiscarded-qualifiers"
#endif

typedef struct sl_model sl_model;
typedef struct sl_column sl_column;
typedef struct sl_row sl_row;
typedef struct sl_node sl_node;
typedef struct sl_source sl_source;
typedef struct sl_session sl_session;
typedef struct sl_selection sl_selection;
typedef sl_model *sl_model_fn(void);

/* ---- Types --------------------------------------------------------------------------------------------- */
/* The types of columns as they stand in a list, and what they are in the struct:
 *
 *     integer      int64_t
 *     real         double
 *     text         const char *: UTF-8 without NULs
 *     bytes        sl_view
 *     boolean      bool
 *     time         int64_t: microseconds since 1970, UTC
 *     date         sl_date
 *     decimal      sl_decimal, with `.scale` digits after the point
 *     uuid         sl_uuid
 *     enum(e)      enum e, of SL_ENUM(e, …)
 *     json         struct json_t *, lent as texts and bytes are (store.h)
 *     refers(m)    int64_t: the primary key of a model m that is an integer; refers_text(m), refers_uuid(m)
 *                  of one that is a text or a UUID */

typedef struct sl_date {
    int16_t year; /* 1 to 9999, Gregorian */
    uint8_t month, day;
} sl_date;

/* units / 10^scale. Two that are equal have equal units at equal scale. */
typedef struct sl_decimal {
    int64_t units;
    int32_t scale; /* 0 to 18 */
} sl_decimal;

/* The 16 bytes of RFC 9562, in network order. */
typedef struct sl_uuid {
    uint8_t bytes[16];
} sl_uuid;

/* From text ("2026-11-29", "12.50", "f81d4fae-7dec-11d0-a765-00a0c91e6bf6"): 0 or SL_EPARSE. */
SL_API int sl_date_parse(const char *text, sl_date *ret_date);
SL_API int sl_decimal_parse(const char *text, sl_decimal *ret_decimal);
SL_API int sl_uuid_parse(const char *text, sl_uuid *ret_uuid);
/* "2026-11-29T12:00:00Z", also with fractions of a second and with offsets: 0 or SL_EPARSE. */
SL_API int sl_time_parse(const char *text, int64_t *ret_us);
/* As text, with its NUL, into a buffer of the size that the name says. Return the buffer. */
#define SL_DATE_SIZE 11
#define SL_DECIMAL_SIZE 24
#define SL_UUID_SIZE 37
#define SL_TIME_SIZE 28
SL_API char *sl_date_text(sl_date date, char out[static SL_DATE_SIZE]);
SL_API char *sl_decimal_text(sl_decimal decimal, char out[static SL_DECIMAL_SIZE]);
SL_API char *sl_uuid_text(sl_uuid uuid, char out[static SL_UUID_SIZE]);
SL_API char *sl_time_text(int64_t us, char out[static SL_TIME_SIZE]); /* "2026-11-29T12:00:00.000000Z" */
/* The same number with another scale: 0; SL_EINVAL where digits would be lost, or it does not fit. */
SL_API int sl_decimal_rescale(sl_decimal decimal, int scale, sl_decimal *ret_decimal);
SL_API sl_uuid sl_uuid_new(void);   /* version 7: later ones are larger (RFC 9562, 5.7) */
SL_API int64_t sl_time_now(void);   /* microseconds since 1970 */
SL_API sl_date sl_date_today(void); /* in UTC */

typedef enum sl_kind {
    SL_KIND_INTEGER,
    SL_KIND_REAL,
    SL_KIND_TEXT,
    SL_KIND_BYTES,
    SL_KIND_BOOLEAN,
    SL_KIND_TIME,
    SL_KIND_DATE,
    SL_KIND_DECIMAL,
    SL_KIND_UUID,
    SL_KIND_ENUM,
    SL_KIND_JSON,
    SL_KIND_ROW,  /* of results only (query.h): a whole object */
    SL_KIND_LIST, /* of parameters only, as tracers see them: several values of one kind */
} sl_kind;

/* A value with its type: what validators and tracers get. Text and bytes are lent. */
typedef struct sl_value {
    sl_kind kind;
    bool null;
    union {
        int64_t integer; /* and time */
        double real;
        sl_view text; /* and bytes; of text, data[size] is NUL */
        bool boolean;
        sl_date date;
        sl_decimal decimal;
        sl_uuid uuid;
        int choice; /* of an enum */
        struct json_t *json;
        struct {
            const struct sl_value *items;
            size_t count;
        } list;
    };
} sl_value;

/* SL_ENUM(colour, COLOURS); with `#define COLOURS(V) V(RED, "red") V(GREEN, "green")` gives `enum colour
 * {RED, GREEN}`. The database has the texts. */
typedef struct sl_enum_names {
    const char *name;
    size_t count;
    const char *const *names;
} sl_enum_names;
/* clang-format off */
#define SL__ENUM_CONSTANT(constant, text) constant,
#define SL__ENUM_TEXT(constant, text) text,
#define SL_ENUM(identifier, VALUES)                                                                          \
    enum identifier { VALUES(SL__ENUM_CONSTANT) };                                                           \
    static const char *const identifier##__texts[] = {VALUES(SL__ENUM_TEXT)};                                \
    static const sl_enum_names identifier##_names[1] __attribute__((unused)) = {                             \
        {.name = #identifier, .count = sl_array_size(identifier##__texts), .names = identifier##__texts}}
/* clang-format on */

/* ---- Columns ------------------------------------------------------------------------------------------- */

/* Looks at a value that a user sets, which it may rewrite: NULL, or what is wrong with it as a sentence
 * ("is no address"). Runs when an object is written, for columns that were set, and for bulk updates; never
 * on what is read. NULL values do not come here. Texts and bytes that it gives must live as long as the task,
 * JSON as a field's (sl_json_owned). Of what it may ask the store the same holds as of the hook before_flush.
 */
typedef const char *sl_validator(sl_value *value);

typedef enum sl_on_delete {
    SL_RESTRICT, /* what is referred to cannot be deleted */
    SL_CASCADE,  /* what refers to it is deleted with it */
    SL_SET_NULL,
} sl_on_delete;

struct sl_column {
    const char *name;
    sl_kind kind;
    uint16_t offset, size; /* in the struct */
    uint8_t scale;         /* of decimals */
    bool primary_key;
    bool required; /* NOT NULL; a primary key is so anyway */
    bool unique;
    bool version;         /* an integer that each UPDATE checks and raises: optimistic locking. What is
                             assigned to it does not count */
    bool lazy;            /* not read with the object, but by sl_lazy */
    size_t max;           /* of text in characters, of bytes in bytes; 0: none */
    const char *standard; /* for new objects that do not set it, as text; of time and date also "now" */
    sl_validator *validate;
    sl_model_fn *refers;
    sl_on_delete on_delete;
    const sl_enum_names *names;
};

/* Options. SL_REQUIRED is record.h's. A single integer key that is 0 in a new object is given by the
 * database, a UUID key by sl_uuid_new. */
#define SL_PRIMARY_KEY .primary_key = true
#define SL_UNIQUE .unique = true
#define SL_VERSION .version = true, .required = true, .standard = "1"
#define SL_LAZY .lazy = true
#define SL_DEFAULT(text) .standard = "" text
#define SL_VALIDATED(function) .validate = (function)
#define SL_ON_DELETE(what) .on_delete = SL_##what

/* Of a table: SL_MODEL(message, MESSAGE, SL_TOGETHER("room, author, nonce"), SL_INDEXES(SL_INDEX("room,
 * id"))). Each of the two stands there once; more that are unique are SL_UNIQUE_INDEX in SL_INDEXES. */
typedef struct sl_index {
    const char *columns; /* names, with commas between */
    bool unique;
} sl_index;
#define SL_TOGETHER(names) .together = {.columns = "" names, .unique = true}
#define SL_INDEXES(...) .indexes = {__VA_ARGS__}
#define SL_INDEX(names)                                                                                      \
    {                                                                                                        \
        .columns = "" names                                                                                  \
    }
#define SL_UNIQUE_INDEX(names)                                                                               \
    {                                                                                                        \
        .columns = "" names, .unique = true                                                                  \
    }

#define SL_INDEXES_MAX 8
#define SL_COLUMNS_MAX 64
typedef void sl_row_hook(void *object);
struct sl_model {
    const char *name;  /* of the model */
    const char *table; /* NULL: its name */
    const char *store; /* NULL: the application's only one (store.h) */
    size_t size;       /* of the struct */
    size_t null_offset;
    size_t column_count;
    const sl_column *columns;
    bool result; /* made by SL_RESULT: no table */
    sl_index together, indexes[SL_INDEXES_MAX];
    /* Called in the task that works with the object; each may be NULL. What is asked in before_flush and
     * flushed, and by tasks that they start, sees what is written so far, and writes nothing. Other tasks of
     * the transaction wait meanwhile with what would write: so these hooks do not await such a task. Nor do
     * they call sl_savepoint, which fails in them with SL_EINVAL. */
    sl_row_hook *loaded;       /* after it was read */
    sl_row_hook *before_flush; /* before it is written: may change it */
    sl_row_hook *flushed;      /* after it was written, but by sl_add_many */
    sl_row_hook *invalidated;  /* its transaction was rolled back, wholly or to a savepoint: it says no longer
                                  what is stored */
    /* The library's own: both are made at the first use. */
    unsigned index; /* the same for all of one name */
    struct sl__model_info *info;
};

/* What each object begins with. The library's own. */
struct sl_row {
    sl_model *model;
    sl_session *session;         /* NULL: none yet */
    void *snapshot;              /* as it is stored, where it was given to be written to; else NULL */
    struct sl__pending *pending; /* what is filled in when it is written: links to new objects, expressions */
    const sl_site *site;         /* where it was last made, edited or removed */
    uint64_t loaded;             /* lazy columns that were read or set */
    uint32_t position;           /* in what the session is to write, + 1; 0: nothing */
    uint32_t generation;         /* of the session, when it was read */
    uint32_t hash;               /* of its key, in the identity map */
    uint8_t state;               /* an sl__row_state */
    bool open;                   /* it was written, and may be changed on */
};

/* ---- Expressions --------------------------------------------------------------------------------------- */
/* A typed expression is a column, a value or something computed of them: query.h. */

#define SL__EXPRESSION_TYPES(X)                                                                              \
    X(integer)                                                                                               \
    X(real)                                                                                                  \
    X(text)                                                                                                  \
    X(bytes)                                                                                                 \
    X(boolean)                                                                                               \
    X(time)                                                                                                  \
    X(date)                                                                                                  \
    X(decimal)                                                                                               \
    X(uuid)                                                                                                  \
    X(enum)                                                                                                  \
    X(json)
#define SL__EXPRESSION(type)                                                                                 \
    typedef struct sl_##type##_expr {                                                                        \
        const sl_node *node;                                                                                 \
    } sl_##type##_expr;
SL__EXPRESSION_TYPES(SL__EXPRESSION)
#undef SL__EXPRESSION

typedef enum sl__node_kind {
    SL__NODE_COLUMN,
    SL__NODE_PARAMETER,
    SL__NODE_OPERATOR, /* text between or before its operands */
    SL__NODE_FUNCTION,
    SL__NODE_COMPARISON, /* an operator that NULL operands change */
    SL__NODE_AND,
    SL__NODE_OR,
    SL__NODE_NOT,
    SL__NODE_IS_NULL,
    SL__NODE_IN,
    SL__NODE_BETWEEN,
    SL__NODE_LIKE,
    SL__NODE_SUBSELECT, /* `(SELECT one column)` */
    SL__NODE_EXISTS,
    SL__NODE_RAW,
    SL__NODE_ASSIGN,
    /* Clauses that are no conditions. */
    SL__NODE_ASCENDING,
    SL__NODE_DESCENDING,
    SL__NODE_LIMIT,
    SL__NODE_SKIP,
    SL__NODE_DISTINCT,
    SL__NODE_GROUP,
    SL__NODE_HAVING,
    SL__NODE_JOIN,
    SL__NODE_LEFT_JOIN,
    SL__NODE_PRELOAD,
    SL__NODE_PRELOAD_REFERRING,
} sl__node_kind;

struct sl_node {
    sl__node_kind kind;
    sl_kind type; /* of what it gives */
    uint32_t count;
    uint16_t variant;               /* which function it is, or which kind of LIKE */
    bool aggregate;                 /* it is computed of many rows, or has an operand that is */
    uint8_t depth;                  /* of what it is made of */
    const sl_source *source;        /* of a column, a join */
    const char *text;               /* of an operator, a function, raw SQL */
    const sl_node *const *operands; /* `count` of them */
    union {
        const sl_selection *selection; /* of a sub-select */
        const sl_value *values;        /* of a list: as many as `value` says */
    };
    sl_value value; /* of a parameter, a limit, a pattern */
    const sl_site *site;
};

/* A table as a query names it: the model's own, or an alias. A column's index is its place in `nodes`. */
struct sl_source {
    sl_model_fn *model;
    const char *alias; /* NULL: none */
    const sl_node *nodes;
};

/* ---- Making models ------------------------------------------------------------------------------------- */

struct sl__refers_to_nothing;

/* clang-format off */
#define SL__C_date sl_date
#define SL__C_decimal sl_decimal
#define SL__C_uuid sl_uuid
#define SL__C_enum(e) enum e
#define SL__C_refers(m) int64_t
#define SL__C_refers_text(m) const char *
#define SL__C_refers_uuid(m) sl_uuid
#define SL__C_row(m) const struct m *

#define SL__X_integer sl_integer_expr
#define SL__X_real sl_real_expr
#define SL__X_text sl_text_expr
#define SL__X_bytes sl_bytes_expr
#define SL__X_boolean sl_boolean_expr
#define SL__X_time sl_time_expr
#define SL__X_date sl_date_expr
#define SL__X_decimal sl_decimal_expr
#define SL__X_uuid sl_uuid_expr
#define SL__X_enum(e) sl_enum_expr
#define SL__X_json sl_json_expr
#define SL__X_refers(m) sl_integer_expr
#define SL__X_refers_text(m) sl_text_expr
#define SL__X_refers_uuid(m) sl_uuid_expr
#define SL__X_row(m) struct m##__whole

#define SL__T_integer struct sl__refers_to_nothing
#define SL__T_real struct sl__refers_to_nothing
#define SL__T_text struct sl__refers_to_nothing
#define SL__T_bytes struct sl__refers_to_nothing
#define SL__T_boolean struct sl__refers_to_nothing
#define SL__T_time struct sl__refers_to_nothing
#define SL__T_date struct sl__refers_to_nothing
#define SL__T_decimal struct sl__refers_to_nothing
#define SL__T_uuid struct sl__refers_to_nothing
#define SL__T_enum(e) struct sl__refers_to_nothing
#define SL__T_json struct sl__refers_to_nothing
#define SL__T_refers(m) struct m
#define SL__T_refers_text(m) struct m
#define SL__T_refers_uuid(m) struct m
#define SL__T_row(m) struct m

#define SL__Y_integer SL_KIND_INTEGER
#define SL__Y_real SL_KIND_REAL
#define SL__Y_text SL_KIND_TEXT
#define SL__Y_bytes SL_KIND_BYTES
#define SL__Y_boolean SL_KIND_BOOLEAN
#define SL__Y_time SL_KIND_TIME
#define SL__Y_date SL_KIND_DATE
#define SL__Y_decimal SL_KIND_DECIMAL
#define SL__Y_uuid SL_KIND_UUID
#define SL__Y_enum(e) SL_KIND_ENUM
#define SL__Y_json SL_KIND_JSON
#define SL__Y_refers(m) SL_KIND_INTEGER
#define SL__Y_refers_text(m) SL_KIND_TEXT
#define SL__Y_refers_uuid(m) SL_KIND_UUID
#define SL__Y_row(m) SL_KIND_ROW

#define SL__Z_integer
#define SL__Z_real
#define SL__Z_text
#define SL__Z_bytes
#define SL__Z_boolean
#define SL__Z_time
#define SL__Z_date
#define SL__Z_decimal
#define SL__Z_uuid
#define SL__Z_enum(e) .names = e##_names,
#define SL__Z_json
#define SL__Z_refers(m) .refers = m##_model,
#define SL__Z_refers_text(m) .refers = m##_model,
#define SL__Z_refers_uuid(m) .refers = m##_model,
#define SL__Z_row(m) .refers = m##_model,

#define SL__MODEL_MEMBER(column, type, ...) SL__C_##type column;
#define SL__MODEL_NULL(column, type, ...) uint64_t column : 1;
#define SL__MODEL_EXPRESSION(column, type, ...) SL__X_##type column;
#define SL__MODEL_TARGET(column, type, ...) struct { const SL__T_##type *seen; SL__T_##type *own; } column;
#define SL__MODEL_ENTRY(column, type, ...) {.name = #column, .offset = offsetof(sl__this, column), .size = sizeof(((sl__this *)0)->column), .kind = SL__Y_##type, SL__Z_##type __VA_ARGS__},
/* Binding the model's name to each entry of its list: the macro's name at the end takes the entry. */
#define SL__BIND_NODE(identifier) {.kind = SL__NODE_COLUMN, .source = &identifier##__source, SL__NODE_REST
#define SL__NODE_REST(column, its_type, ...) .type = SL__Y_##its_type},
#define SL__BIND_EXPRESSION(identifier) {&identifier##__nodes[(__builtin_offsetof(struct identifier##_columns, SL__EXPRESSION_REST
#define SL__EXPRESSION_REST(column, type, ...) column) - sizeof(void *)) / sizeof(void *)]},

/* SL_MODEL_DECLARE(company); lets a model refer to one that is made further down. */
#define SL_MODEL_DECLARE(identifier)                                                                         \
    struct identifier;                                                                                       \
    static inline sl_model *identifier##_model(void)

#define SL__MODEL(identifier, COLUMNS, ...)                                                                  \
    SL_MODEL_DECLARE(identifier);                                                                            \
    struct identifier {                                                                                      \
        sl_row sl__row;                                                                                      \
        COLUMNS(SL__MODEL_MEMBER)                                                                            \
        union { struct { COLUMNS(SL__MODEL_NULL) } null; uint64_t sl__null; };                               \
    };                                                                                                       \
    struct identifier##__targets { COLUMNS(SL__MODEL_TARGET) };                                              \
    struct identifier##__whole { const sl_source *source; };                                                 \
    struct identifier##_columns { struct identifier##__whole sl__whole; COLUMNS(SL__MODEL_EXPRESSION) };     \
    struct identifier##_list { size_t count; const struct identifier *const *items; };                       \
    struct identifier##_found { const struct identifier *sl__object[0]; struct identifier##_list sl__list[0]; }; \
    static inline sl_model *identifier##_model(void)                                                         \
    {                                                                                                        \
        typedef struct identifier sl__this;                                                                  \
        static const sl_column columns[] = {COLUMNS(SL__MODEL_ENTRY)};                                       \
        _Static_assert(sl_array_size(columns) <= SL_COLUMNS_MAX, "a model has 64 columns at most");          \
        static sl_model model = {.name = #identifier, .size = sizeof(sl__this),                              \
            .null_offset = offsetof(sl__this, sl__null), .column_count = sl_array_size(columns),             \
            .columns = columns, __VA_ARGS__};                                                                \
        return &model;                                                                                       \
    }                                                                                                        \
    struct sl__model_ends_##identifier
#define SL__COLUMNS(identifier, COLUMNS)                                                                     \
    static const sl_source identifier##__source;                                                             \
    static const sl_node identifier##__nodes[] = {COLUMNS(SL__BIND_NODE(identifier))};                       \
    static const sl_source identifier##__source = {.model = identifier##_model, .nodes = identifier##__nodes}; \
    static const struct identifier##_columns identifier##_ __attribute__((unused)) = {                       \
        {&identifier##__source}, COLUMNS(SL__BIND_EXPRESSION(identifier))}
/* clang-format on */

#define SL_MODEL(identifier, COLUMNS, ...)                                                                   \
    SL__MODEL(identifier, COLUMNS, __VA_ARGS__);                                                             \
    SL__COLUMNS(identifier, COLUMNS)
/* What a query gives that is no table: SL_RESULT(busy, BUSY) with BUSY(F) F(room, text) F(count, integer).
 * Beside the types of columns a result has row(m), a whole object of a model: `const struct m *`, NULL where
 * a left join found none. */
#define SL_RESULT(identifier, COLUMNS) SL__MODEL(identifier, COLUMNS, .result = true)
