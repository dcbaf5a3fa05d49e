/* store.h: objects in SQLite and PostgreSQL, and one transaction for all that takes part.
 *
 *     static sl_response *hire(sl_request *req)
 *     {
 *         const struct company *c = sl_need(company, sl_param_number(req, "company", INT64_MAX, 0));
 *         sl_add(sl_new(person, .name = sl_field(req, "name"), .employer = c->id));
 *         return sl_see_other(req, sl_url(req, "company", …));
 *     }
 *
 * A request has a transaction: it begins when the store is first used, is committed when the handler has
 * returned and before the client hears of it, and is rolled back when the handler fails. Elsewhere
 * sl_transact makes one. Within a transaction there is one object for each key; what is added, edited and
 * removed is written when a query could see it, at sl_save, and at the commit. Without a transaction what is
 * read is read by itself, and nothing can be written.
 *
 * What the fields of an object point to is lent. Texts and bytes must live, as they are, until the
 * transaction has ended; JSON until the object is written, or the transaction has ended: what was written has
 * a reference to it. What the store gives lives as long as its object.
 *
 * All functions here work in tasks, may suspend unless they say otherwise, and fail by ending the task.
 * Objects live as long as the task that began the transaction, or, without one, the task (SL_SCRATCH) that
 * read them; they may be looked at after the transaction's end. */
#pragma once

#include <silver/query.h>

typedef struct sl_store sl_store;
typedef struct sl_transaction sl_transaction;

/* ---- Stores -------------------------------------------------------------------------------------------- */
/* A store is a database by its name in a root. In an application it comes from the manifest: service.sqlite
 * makes "sqlite", service.postgres "postgres". A model that names no store is in the application's only one;
 * where there are several the model says which (`.store = "postgres"`). */

/* Declares a store of a root; it is opened at the first use. `url` is "sqlite:PATH" or what libpq takes
 * ("postgres://user@host/db", "host=/run/pg dbname=app"); copied. 0; SL_EEXIST where there is one of this
 * name; SL_EINVAL for another kind of URL. Never suspends. */
SL_API int sl_store_declare(sl_root *root, const char *name, const char *url, sl_error **ret_error);
/* How a root's stores are used from now on, also those that are open: but no connection is closed for it, and
 * sqlite_mb is looked at when one is made. What is 0 stays as it is. Never suspends. */
#define SL_STORE_OPTIONS(X)                                                                                  \
    X(connections, 8, "connections", "of an instance to PostgreSQL at once, and readers of SQLite")          \
    X(statements, 1000, "statements", "of a request; past it the request fails, SL_EBUDGET")                 \
    X(database_ms, 10000, "ms",                                                                              \
      "that a request waits for the database, likewise; the statement is cancelled")                         \
    X(slow_ms, 200, "ms", "a statement that takes longer is logged, with its place")                         \
    X(busy_ms, 5000, "ms", "that a writer of SQLite waits for other processes")                              \
    X(sqlite_mb, 0, "MiB", "that a database of SQLite may have, past them SL_ENOSPC; 0: what the disk has")
typedef struct sl_store_options {
#define SL__STORE_OPTION(name, value, unit, meaning) uint64_t name;
    SL_STORE_OPTIONS(SL__STORE_OPTION)
#undef SL__STORE_OPTION
} sl_store_options;
SL_API void sl_store_configure(sl_root *root, const sl_store_options *options);
/* Opens the store if need be (may suspend; fails with SL_EDATABASE, naming the database and what to do).
 * NULL: the only one. */
#define sl_store_open(name) sl__store_open(SL_HERE, (name))
SL_API sl_store *sl__store_open(const sl_site *site, const char *name);
SL_API const char *sl_store_name(const sl_store *store); /* never suspends */

/* ---- Objects ------------------------------------------------------------------------------------------- */

/* sl_load(person, 5): the object with this primary key, or NULL; sl_load(membership, 3, 5) with one of
 * several columns, in their order. In a transaction that has it already no SQL runs. sl_need fails with
 * SL_HTTP(404) where there is none. Keys have the types of the key's columns: whole numbers, texts, UUIDs. */
#define sl_load(model, ...) ((const struct model *)sl__load(SL_HERE, model##_model(), SL__KEYS(__VA_ARGS__)))
#define sl_need(model, ...) ((const struct model *)sl__need(SL_HERE, model##_model(), SL__KEYS(__VA_ARGS__)))
/* The same, read from the database in any case: what others committed since is seen where the isolation
 * allows, and edits that were not written yet are dropped. NULL where it is gone. */
#define sl_reload(model, object) ((const struct model *)sl__reload(SL_HERE, &SL__A(model, object)->sl__row))
/* The same, and holds the row until the transaction's end, so that nobody else changes it (FOR UPDATE; in
 * SQLite the transaction becomes the writer). */
#define sl_load_locked(model, ...)                                                                           \
    ((const struct model *)sl__load_locked(SL_HERE, model##_model(), SL__KEYS(__VA_ARGS__)))
#define SL__KEYS(...) (const sl_key_part[]){SL__MAP(SL__KEY_PART, , __VA_ARGS__)}, SL__COUNT(__VA_ARGS__)
#define SL__COUNT(...) (sizeof((char[]){SL__MAP(SL__ONE, , __VA_ARGS__)}))
#define SL__ONE(x, argument) 0,
/* clang-format off */
#define SL__KEY_PART(x, value)                                                                               \
    _Generic((value), SL__WHOLE_NUMBERS(sl__key_integer), char *: sl__key_text, const char *: sl__key_text, \
        sl_uuid: sl__key_uuid)(value),
/* clang-format on */
typedef struct sl_key_part {
    sl_kind kind;
    union {
        int64_t integer;
        const char *text;
        sl_uuid uuid;
    };
} sl_key_part;
static inline sl_key_part sl__key_integer(int64_t value)
{
    return (sl_key_part){.kind = SL_KIND_INTEGER, .integer = value};
}
static inline sl_key_part sl__key_text(const char *value)
{
    return (sl_key_part){.kind = SL_KIND_TEXT, .text = value};
}
static inline sl_key_part sl__key_uuid(sl_uuid value)
{
    return (sl_key_part){.kind = SL_KIND_UUID, .uuid = value};
}
SL_API void *sl__load(const sl_site *site, sl_model *model, const sl_key_part *key, size_t count);
SL_API void *sl__need(const sl_site *site, sl_model *model, const sl_key_part *key, size_t count);
SL_API void *sl__load_locked(const sl_site *site, sl_model *model, const sl_key_part *key, size_t count);
SL_API void *sl__reload(const sl_site *site, const sl_row *row);

/* Makes an object, `struct person *`, that is not stored yet: sl_new(person, .name = "Ann", .age = 0). Fields
 * are named; those that are not have their default, or are NULL. What fields point to is lent, not copied.
 * Never suspends. */
#define sl_new(model, ...)                                                                                   \
    ((struct model *)sl__new(SL_HERE, model##_model(), &(const struct model){__VA_ARGS__},                   \
                             SL__NAMED("" #__VA_ARGS__)))
/* JSON that was just made has an owner by this: the transaction, or where there is none the task (or
 * SL_SCRATCH). Takes over the reference, and gives the value: sl_new(person, .extra =
 * sl_json_owned(json_pack("{s:i}", "a", 1))). NULL stays NULL. Never suspends. */
SL_API struct json_t *sl_json_owned(struct json_t *json);
/* Which fields an initialiser names: found in its text when it is first used. */
typedef struct sl__named {
    const char *text;
    bool known;
    uint64_t columns;
} sl__named;
#define SL__NAMED(its_text)                                                                                  \
    (__extension__({                                                                                         \
        static sl__named sl__named_here = {.text = its_text};                                                \
        &sl__named_here;                                                                                     \
    }))
/* Stores it when the transaction writes, which fails with SL_EEXIST (a 409) where it is there already. Gives
 * the object; its key is there after that where the database gives it. Suspends only where it is the first to
 * use its store, which is opened, or another task writes the object just now. */
#define sl_add(object) ((__typeof__(object))sl__add(SL_HERE, &(object)->sl__row))
/* Stores what sl_new gave at once, unless there is one with the same values in these columns (of a unique
 * index): then NULL, and it stays new, to be changed and tried again. sl_put changes that one instead, in all
 * columns but these and the key. Both give the object that is stored, which may be written to as after
 * sl_add; where the transaction had it already, it is another one than was given, and that is nobody's.
 * sl_add_unless(m, message_.room, message_.nonce). */
#define sl_add_unless(object, ...)                                                                           \
    ((__typeof__(object))sl__add_unless(SL_HERE, &(object)->sl__row, false, SL__NODES(__VA_ARGS__)))
#define sl_put(object, ...)                                                                                  \
    ((__typeof__(object))sl__add_unless(SL_HERE, &(object)->sl__row, true, SL__NODES(__VA_ARGS__)))
/* Stores an array of new objects (struct person **) at once (in PostgreSQL by COPY). Their keys are not read
 * back: so they are not the transaction's objects, and their hook `flushed`, which may want the key, is not
 * called. */
#define sl_add_many(model, objects, count)                                                                   \
    sl__add_many(SL_HERE, model##_model(),                                                                   \
                 (sl_row *const *)_Generic((objects), struct model **: (objects), struct model *const *: (objects)), (count))
/* The object, to be written to: struct person *. What it was is kept beside, and changes are found by
 * comparison. That holds until the transaction ends, also for what was added: when a query or sl_save has
 * written it meanwhile, what is assigned afterwards is written by the next one (where more than 1,000 objects
 * were written, by the next sl_save or the commit). Fails for what was read without a transaction or in
 * another. Suspends only where it must be read anew (after sl_execute, sl_lend, sl_delete), or another task
 * writes it. */
#define sl_edit(model, object) ((struct model *)sl__edit(SL_HERE, &SL__A(model, object)->sl__row))
/* Sets a field of an object that is edited or new, also to 0; sl_set_null makes it NULL. */
#define sl_set(object, column, value)                                                                        \
    (SL__SURELY(object, column), (object)->null.column = 0,                                                  \
     (object)->column = SL__FIELD_VALUE((object)->column, value, SL__NAME))
/* The value, if a field of this type takes it: a number is no text, and a fraction no integer. */
/* clang-format off */
#define SL__FIELD_VALUE(field, value, name) SL__LET(name, value, SL__FIELD_CALL(field, name))
#define SL__FIELD_CALL(field, value)                                                                         \
    _Generic((field),                                                                                        \
        int64_t: _Generic((value), SL__WHOLE_NUMBERS(sl__as_integer), bool: sl__as_integer, default: sl__needs_integer), \
        double: _Generic((value), SL__WHOLE_NUMBERS(sl__as_real), float: sl__as_real, double: sl__as_real, default: sl__needs_real), \
        const char *: _Generic((value), char *: sl__as_text, const char *: sl__as_text, default: sl__needs_text), \
        bool: _Generic((value), bool: sl__as_boolean, int: sl__as_boolean, default: sl__needs_boolean),      \
        int: _Generic((value), int: sl__as_choice, unsigned: sl__as_choice, default: sl__needs_enum),        \
        unsigned: _Generic((value), int: sl__as_choice, unsigned: sl__as_choice, default: sl__needs_enum),   \
        struct json_t *: _Generic((value), struct json_t *: sl__as_json, default: sl__needs_json),           \
        sl_view: sl__as_bytes, sl_date: sl__as_date, sl_decimal: sl__as_decimal, sl_uuid: sl__as_uuid)(value)
static inline int64_t sl__as_integer(int64_t value) { return value; }
static inline double sl__as_real(double value) { return value; }
static inline const char *sl__as_text(const char *value) { return value; }
static inline bool sl__as_boolean(bool value) { return value; }
static inline int sl__as_choice(int value) { return value; }
static inline struct json_t *sl__as_json(struct json_t *value) { return value; }
static inline sl_view sl__as_bytes(sl_view value) { return value; }
static inline sl_date sl__as_date(sl_date value) { return value; }
static inline sl_decimal sl__as_decimal(sl_decimal value) { return value; }
static inline sl_uuid sl__as_uuid(sl_uuid value) { return value; }
/* clang-format on */
#define sl_set_null(object, column)                                                                          \
    (SL__SURELY(object, column),                                                                             \
     (void)(memset(&(object)->column, 0, sizeof(object)->column), (object)->null.column = 1))
/* What is set is known, also where it is lazy and was not read. */
#define SL__SURELY(object, which)                                                                            \
    ((void)((object)->sl__row.loaded |= (union {                                                             \
                                            __typeof__((object)->null) columns;                              \
                                            uint64_t bits;                                                   \
                                        }){.columns.which = 1}                                               \
                                            .bits))
/* Sets a field to what the database computes, when the object is written: it is read back then. Until then
 * the field is as it was, and what is assigned to it does not count. Of two for one column the last counts.
 * The expression must live until it is written: where the task (or SL_SCRATCH) that made it ends before, call
 * sl_save in it; else the writing fails. sl_set_expression(person, p, visits, sl_plus(person_.visits, 1)). */
#define sl_set_expression(model, object, column, expression)                                                 \
    sl__set_expression(SL_HERE, &SL__A(model, object)->sl__row, model##_.column.node,                        \
                       SL__OPERAND(model##_.column, expression))
/* Deletes it when the transaction writes. Suspends only where another task writes the object just now. */
#define sl_remove(object) sl__remove(SL_HERE, &(object)->sl__row)
/* The value of a lazy column, read at its first use: sl_lazy(person, p, photo). */
#define sl_lazy(model, object, column)                                                                       \
    (*(const __typeof__(((struct model *)0)->column) *)sl__lazy(SL_HERE, &SL__A(model, object)->sl__row,     \
                                                                model##_.column.node))
SL_API void *sl__new(const sl_site *site, sl_model *model, const void *values, sl__named *named);
SL_API void *sl__add(const sl_site *site, sl_row *row);
SL_API void *sl__add_unless(const sl_site *site, sl_row *row, bool update, const sl_node *const *columns);
SL_API void sl__add_many(const sl_site *site, sl_model *model, sl_row *const *rows, size_t count);
SL_API void *sl__edit(const sl_site *site, const sl_row *row);
SL_API void sl__set_expression(const sl_site *site, const sl_row *row, const sl_node *column,
                               const sl_node *expression);
SL_API void sl__remove(const sl_site *site, const sl_row *row);
SL_API const void *sl__lazy(const sl_site *site, const sl_row *row, const sl_node *column);

/* What is wrong with an object's fields, by their names: as validators, SL_REQUIRED and .max see it. */
typedef struct sl_wrong {
    const char *field, *message; /* "name", "is too long: 80 characters at most" */
} sl_wrong;
typedef struct sl_errors {
    size_t count;
    sl_wrong *items; /* in the order of the columns, one for each field */
} sl_errors;
/* Checks a new or edited object, and lets validators rewrite: NULL if all is well. A flush does the same and
 * fails with SL_EINVALID, whose message and detail name each field. Suspends only where a validator does. */
#define sl_validate(object) sl__validate(&(object)->sl__row)
SL_API sl_errors *sl__validate(sl_row *row);
/* What is wrong with one field, or NULL; takes NULL. Never suspends. */
SL_API const char *sl_error_of(const sl_errors *errors, const char *field);

/* Fills fields of an object that is new or edited from a posted form: those that are named, each from the
 * form's field of the same name, and no others. Gives NULL; or what is wrong with them, as sl_validate tells
 * it, and what is no value of the column's type ("is no date such as 2026-11-29"): then the object is as it
 * was.
 *
 *     struct book *b = sl_edit(book, sl_need(book, id));
 *     sl_errors *wrong = sl_fill(book, b, req, title, year, state);
 *     if (wrong)
 *         return form_again(req, wrong);
 *
 * What is empty is NULL; what the form has not stays as it is, but for a boolean, which is false then, as a
 * box is that was not ticked. A version (SL_VERSION) is not set but compared: the page has it in a hidden
 * field, and where it is not the object's any more, that is wrong ("is an older one: somebody else has
 * changed it meanwhile"). A column of bytes or JSON does not compile. May suspend (reads the body). */
/* clang-format off */
#define sl_fill(model, object, req, ...)                                                                     \
    sl__fill(SL_HERE, &_Generic((object), struct model *: (object))->sl__row,                                \
             (const sl__filled[]){SL__MAP(SL__FILLED, (model, req), __VA_ARGS__)}, SL__COUNT(__VA_ARGS__))
#define SL__FILLED(what, column) SL__FILLED_CALL(SL__FILLED_FROM, SL__FILLED_BARE what, column)
#define SL__FILLED_CALL(macro, ...) macro(__VA_ARGS__)
#define SL__FILLED_BARE(...) __VA_ARGS__
#define SL__FILLED_FROM(model, req, column) {SL__FILLABLE(model##_.column), sl_field((req), #column)},
#define SL__FILLABLE(x)                                                                                      \
    _Generic((x), sl_integer_expr: (x), sl_real_expr: (x), sl_text_expr: (x), sl_boolean_expr: (x), sl_time_expr: (x), \
        sl_date_expr: (x), sl_decimal_expr: (x), sl_uuid_expr: (x), sl_enum_expr: (x)).node
/* clang-format on */
typedef struct sl__filled {
    const sl_node *column;
    const char *text; /* NULL: the form has none */
} sl__filled;
SL_API sl_errors *sl__fill(const sl_site *site, sl_row *row, const sl__filled *fields, size_t count);
/* {"title": "is missing"}, for templates and for answers to programs: a new reference. NULL gives {}. Never
 * suspends. */
SL_API struct json_t *sl_errors_json(const sl_errors *errors);

/* Writes what was added, edited and removed in this transaction, in all stores. Errors name the object and
 * the line that changed it. Without a transaction it does nothing. */
#define sl_save() sl__save(SL_HERE)
SL_API void sl__save(const sl_site *site);

/* ---- References ---------------------------------------------------------------------------------------- */

/* sl_follow(person, p, employer): what a column refers to, `const struct company *`; NULL where it is NULL.
 */
#define sl_follow(model, object, column)                                                                     \
    ((SL__SEEN(model, column))(SL__REFERS(model, column),                                                    \
                               sl__follow(SL_HERE, &SL__A(model, object)->sl__row, model##_.column.node)))
/* Makes it refer to an object, which may be new: the key is filled in when both are written. NULL: to none.
 * Suspends only where sl_add does. */
/* clang-format off */
#define sl_link(model, object, column, target)                                                               \
    (SL__REFERS(model, column),                                                                              \
     sl__row_link(SL_HERE, &_Generic((object), struct model *: (object))->sl__row, model##_.column.node,     \
                  SL__TARGET_OR_NULL(model, column, target)))
/* clang-format on */
/* The objects that refer to this one: sl_referring(person, employer, c) are the persons whose employer is c:
 * a selection, which sl_narrow, sl_list, sl_one and the rest take. Of one that is new it is written first. */
#define sl_referring(model, column, target)                                                                  \
    ((struct model##_found *)sl__referring(SL_HERE, &model##__source, model##_.column.node,                  \
                                           SL__TARGET(model, column, target)))
/* Many to many: the objects of `model` that `links`, a model with two columns that refer, ties to `target`:
 * sl_linked(person, membership, member, club, c): the persons that are members of the club c. */
#define sl_linked(model, links, near, far, target)                                                           \
    ((struct model##_found *)(_Generic((SL__SEEN(links, near))NULL, const struct model *: (void)0),          \
                              sl__linked(SL_HERE, &model##__source, links##_.near.node, links##_.far.node,   \
                                         SL__TARGET(links, far, target))))
/* Only columns that refer have a whole type on their other side. */
#define SL__REFERS(model, column) ((void)sizeof(*((struct model##__targets *)0)->column.seen))
#define SL__SEEN(model, column) __typeof__(((struct model##__targets *)0)->column.seen)
#define SL__OWN(model, column) __typeof__(((struct model##__targets *)0)->column.own)
#define SL__TARGET(model, column, target)                                                                    \
    ((const void *)_Generic((target), SL__SEEN(model, column) : (target), SL__OWN(model, column) : (target)))
/* Beside a pointer NULL becomes one of its type; a `void *` that is no NULL does not, nor does another's. */
#define SL__TARGET_OR_NULL(model, column, target)                                                            \
    _Generic(1 ? (target) : (SL__SEEN(model, column))0, SL__SEEN(model, column) : (target))
SL_API void *sl__follow(const sl_site *site, const sl_row *row, const sl_node *column);
SL_API void sl__row_link(const sl_site *site, sl_row *row, const sl_node *column, const void *target);
SL_API sl_selection *sl__referring(const sl_site *site, const sl_source *source, const sl_node *column,
                                   const void *target);
SL_API sl_selection *sl__linked(const sl_site *site, const sl_source *source, const sl_node *near,
                                const sl_node *far, const void *target);

/* ---- Transactions -------------------------------------------------------------------------------------- */

typedef struct sl_transact_options {
    unsigned retries;     /* runs the function again, whole, so often when it met another transaction
                             (SL_ECONFLICT: serialization failures, dead-locks, a stale read that writes), with
                             growing pauses */
    uint64_t deadline_ms; /* of all tries together; 0: none */
    bool durable;         /* must be the outermost: what it wrote is committed when it returns. Inside another
                             it fails with SL_EINVAL */
    bool read_only;       /* writes fail; SQLite then never waits for writers */
    bool serializable;    /* PostgreSQL: SERIALIZABLE instead of its default; SQLite always is */
} sl_transact_options;

/* Runs fn(data) in a transaction and commits it; gives what fn returned. What fails in it rolls back and
 * fails the caller. Inside another transaction it joins that: success does nothing, failure dooms the whole.
 */
#define sl_transact(fn, data, ...)                                                                           \
    sl__transact(SL_HERE, #fn, (fn), (data), &(sl_transact_options){__VA_ARGS__})
SL_API void *sl__transact(const sl_site *site, const char *name, sl_task_fn *fn, void *data,
                          const sl_transact_options *options);
/* Runs fn(data) so that it may fail alone: then what it did is undone, up to here, *ret_error (NULL: the
 * failure is raised again) says why, and the transaction goes on. *ret_error is NULL on success and belongs
 * to the task. In a transaction only.
 *
 * Where several tasks share the transaction their savepoints come one after the other: a task waits until
 * another's has ended, unless it was started inside it. So do not await, in a savepoint, a task that was
 * started before it and wants one too. What other tasks write in the transaction meanwhile is undone with it,
 * and the whole transaction then fails. */
#define sl_savepoint(fn, data, ret_error) sl__savepoint(SL_HERE, (fn), (data), (ret_error))
SL_API void *sl__savepoint(const sl_site *site, sl_task_fn *fn, void *data, sl_error **ret_error);

/* The transaction that holds here, or NULL. Neither it nor what follows up to sl_move_on_commit ever
 * suspends, but for the `begin` of an sl_resource. */
SL_API sl_transaction *sl_transaction_current(void);
/* Dooms it: it can only be rolled back now, whatever happens, refuses further work with SL_EDOOMED, and its
 * outermost fails with this. The first cause is kept. */
#define sl_doom(...) sl__doom(SL_HERE, __VA_ARGS__)
SL_API void sl__doom(const sl_site *site, const char *format, ...) SL_PRINTF(2, 3);
SL_API bool sl_doomed(void);

/* Calls fn(data) at points of the transaction's life, in order of registration. Before the commit it may work
 * in the transaction, and fail it; before the abort nothing can be written. After the commit or abort
 * failures are logged, and the store is used anew (each by itself). Those registered inside sl_savepoint are
 * dropped when that fails (its abort ones are called). Those after the end and before the abort, and `finish`
 * and `abort` of an sl_resource, may await for 10 s each also where the task was cancelled. `data` must live
 * as long as the transaction's task. */
typedef void sl_transaction_fn(void *data);
#define sl_before_commit(fn, data) sl__transaction_hook(SL_HERE, SL__BEFORE_COMMIT, (fn), (data))
#define sl_after_commit(fn, data) sl__transaction_hook(SL_HERE, SL__AFTER_COMMIT, (fn), (data))
#define sl_before_abort(fn, data) sl__transaction_hook(SL_HERE, SL__BEFORE_ABORT, (fn), (data))
#define sl_after_abort(fn, data) sl__transaction_hook(SL_HERE, SL__AFTER_ABORT, (fn), (data))
typedef enum sl__hook_kind {
    SL__BEFORE_COMMIT,
    SL__AFTER_COMMIT,
    SL__BEFORE_ABORT,
    SL__AFTER_ABORT,
} sl__hook_kind;
SL_API void sl__transaction_hook(const sl_site *site, sl__hook_kind kind, sl_transaction_fn *fn, void *data);
/* sl_emit_safely once the transaction is committed; at once where there is none. Takes over the reference. */
#define sl_emit_on_commit(channel, event, payload)                                                           \
    sl__emit_on_commit(SL_HERE, sl_channel_name(channel), (event), (payload))
SL_API void sl__emit_on_commit(const sl_site *site, const char *channel, const sl_event *event,
                               struct json_t *payload);

/* Whatever else takes part in a transaction: a file that is moved, a mail, another library. Called in the
 * transaction's task, in order of `order` and then of joining; each function may be NULL. A failure of begin,
 * flush, prepare or vote aborts all. */
typedef struct sl_resource {
    const char *name;               /* for messages */
    int order;                      /* stores have 0 */
    void (*begin)(void *data);      /* when it joins */
    void (*flush)(void *data);      /* before the commit, while all can still work */
    void (*prepare)(void *data);    /* the commit has begun: make it so that finish cannot fail */
    void (*vote)(void *data);       /* the last chance to fail */
    void (*finish)(void *data);     /* the stores are committed; a failure is logged, and undoes nothing */
    void (*abort)(void *data);      /* undo, whatever was reached; failures are logged */
    void *(*savepoint)(void *data); /* remember; NULL: takes part in no sl_savepoint, which then fails */
    void (*roll_back)(void *data, void *saved); /* to what savepoint gave */
} sl_resource;
/* Joins the current transaction; the same pair a second time does nothing. Both live as long as it does. */
#define sl_join_transaction(resource, data) sl__join_transaction(SL_HERE, (resource), (data))
SL_API void sl__join_transaction(const sl_site *site, const sl_resource *resource, void *data);
/* A file beside its place until the commit, which brings it to the disk and moves it there. Both on one file
 * system. Where the transaction fails the file is removed. */
#define sl_move_on_commit(from, to) sl__move_on_commit(SL_HERE, (from), (to))
SL_API void sl__move_on_commit(const sl_site *site, const char *from, const char *to);

/* ---- SQL of one's own, and other libraries ------------------------------------------------------------- */

/* Runs a statement, a literal, in the transaction, with parameters as in sl_sql. Gives the number of rows
 * changed. */
#define sl_execute(store, text, ...)                                                                         \
    sl__execute(SL_HERE, (store), "" text "", (const sl_node *const[]){__VA_ARGS__ __VA_OPT__(, ) NULL})
SL_API int64_t sl__execute(const sl_site *site, const char *store, const char *text,
                           const sl_node *const *values);
/* Lends the connection of the current transaction to another library: everything is written first, then
 * fn(connection, data) is called, where it is an sqlite3 * or a PGconn * (blocking, outside pipeline mode),
 * with the transaction open, and what it changes is committed or rolled back with the rest. It must not end
 * the transaction (that dooms it). Runs on the loop: what takes long blocks it. The transaction's objects are
 * read anew after it. */
#define sl_lend(store, fn, data) sl__lend(SL_HERE, (store), (fn), (data))
typedef void sl_lend_fn(void *connection, void *data);
SL_API void sl__lend(const sl_site *site, const char *store, sl_lend_fn *fn, void *data);

/* ---- Tracers and budgets ------------------------------------------------------------------------------- */

/* A statement, as tracers see it. */
typedef struct sl_traced {
    const char *store, *sql;
    const sl_value *parameters;
    size_t parameter_count;
    const sl_site *site;   /* where in the program it was issued */
    uint64_t began_ns;     /* sl_monotonic_ns; 0: before there was a tracer */
    uint64_t duration_us;  /* after: in the database, so that what SL_EACH does between rows is none of it */
    int64_t rows;          /* after: given or changed */
    const sl_error *error; /* after; or NULL */
} sl_traced;
typedef struct sl_tracer {
    void (*before)(struct sl_tracer *tracer, const sl_traced *statement); /* may be NULL */
    void (*after)(struct sl_tracer *tracer, const sl_traced *statement);
} sl_tracer;
/* Sees the statements of all stores of the root, until it is removed. It must not suspend, as
 * these two do not. Owned by the caller. */
SL_API void sl_tracer_add(sl_root *root, sl_tracer *tracer);
SL_API void sl_tracer_remove(sl_root *root, sl_tracer *tracer);
/* Keeps the statements run until the task ends: for tests, and to look at N + 1. Never suspends. */
typedef struct sl_captured {
    size_t count;
    struct sl_captured_statement {
        const char *sql, *parameters; /* parameters as text: "(5, 'x', NULL)" */
        const sl_site *site;
        uint64_t duration_us;
        int64_t rows;
    } * items;
} sl_captured;
SL_API const sl_captured *sl_capture(void); /* grows as statements run */
/* A budget for what follows in this request or transaction; 0 leaves that one as it is (SL_STORE_OPTIONS).
 * The milliseconds are those in the database, to one tick of the system's clock (some ms) for what SL_EACH
 * reads. Never suspends. */
#define sl_budget(...) sl__budget(&(sl_budget_options){__VA_ARGS__})
typedef struct sl_budget_options {
    uint64_t statements, ms;
} sl_budget_options;
SL_API void sl__budget(const sl_budget_options *options);

/* ---- Tables and patches -------------------------------------------------------------------------------- */

/* Says that the root's application keeps these models: they are checked against the database when it starts,
 * and `silver db schema` prints them. sl_models(person_model, company_model); in SL_APPLICATION. Never
 * suspends. */
#define sl_models(...) sl__models((sl_model_fn *const[]){__VA_ARGS__, NULL})
SL_API void sl__models(sl_model_fn *const *models);
/* A step from one state of the database to the next, numbered from 1 without gaps, carried out once, in a
 * transaction of its own. As files: schema/001-what-it-does.sql of the application. In C: sl_patch(2, "splits
 * names", split_names); in SL_APPLICATION. Where there are several stores one is named: `.store =
 * "postgres"`; a file does it in its first line, `-- store: postgres`. Never suspends. */
#define sl_patch(number, summary, fn, ...)                                                                   \
    sl__patch(SL_HERE, (number), (summary), (fn), &(sl_patch_options){__VA_ARGS__})
typedef void sl_patch_fn(void);
typedef struct sl_patch_options {
    const char *store; /* NULL: the only one */
} sl_patch_options;
SL_API void sl__patch(const sl_site *site, unsigned number, const char *summary, sl_patch_fn *fn,
                      const sl_patch_options *options);

/* Applies the patches that are missing, in order: each in its transaction, with its number, summary and
 * checksum written to the table sl_patch. An unknown or altered patch fails with SL_ESCHEMA before anything.
 * Where there are no patches at all and the database has none of the models' tables, the tables are made from
 * the models. Gives how many were applied. Several processes at once wait for each other. `directory`: the
 * application's. */
#define sl_migrate(directory) sl__migrate(SL_HERE, (directory))
SL_API size_t sl__migrate(const sl_site *site, const char *directory);
/* Writes a patch down as applied without applying it: where the database had by other ways what it makes.
 * Fails where there is no such patch, it is applied, or one before it is not. */
#define sl_migrate_record(directory, number) sl__migrate_record(SL_HERE, (directory), (number))
SL_API void sl__migrate_record(const sl_site *site, const char *directory, unsigned number);
/* Compares patches and models with the database: NULL if all is as it should be, or SL_ESCHEMA, each
 * difference a line of the detail, and in the hint what to do. The error is the task's. */
#define sl_schema_check(directory) sl__schema_check(SL_HERE, (directory))
SL_API sl_error *sl__schema_check(const sl_site *site, const char *directory);
/* SQL that makes the models' tables in a store, and SQL that brings the database there (what cannot be told,
 * such as a renamed column, is a comment). In the task's arena. */
SL_API const char *sl_schema_wanted(const char *store);
SL_API const char *sl_schema_difference(const char *store);
