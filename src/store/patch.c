/* patch.c: applies patches.
 *
 * Each runs in a transaction of its own that begins by keeping all others out: in SQLite because it takes the
 * writer's place, in PostgreSQL with an advisory lock. What was looked at before may be old by then, so the
 * table of patches is read again first; whoever comes second finds nothing to do. The patch's row is written
 * in the same transaction, so a process that is killed leaves whole patches behind. */
#include "store/schema.h"
#include "core/task.h"

#include <stdio.h>
#include <stdlib.h>

/* A patch takes as long as it takes: the limits of requests are not for it. */
#define STATEMENTS_MAX 1000000000
#define PATCH_MS (UINT64_C(7) * 24 * 3600 * 1000)
/* How often to come back to an SQLite that another process writes to, each time after `busy_ms`. */
#define BUSY_TRIES 120

typedef struct applying {
    const sl_site *site;
    sl_stores *stores;
    sl_store *store;
    const sl__plan *plan;
    const sl__step *step; /* or NULL: tables of the models */
    sl__told_fn *told;
    void *told_data;
    bool begun;   /* tables of the models were there before the store's first patch */
    size_t done;  /* patches, or tables */
    bool applies; /* and does not wait, or write down, only */
    bool placed;  /* it failed, and says where */
} applying;

static void drop_error(void *error)
{
    sl_error_unref(error);
}

sl_error *sl__own_error(sl_error *error)
{
    sl_defer(drop_error, error);
    return error;
}

/* ---- Statements ---- */

static sl_error *run(const applying *a, const char *sql, const sl_value *values, uint32_t count)
{
    sl__statement statement = {.sql = sql,
                               .size = (uint32_t)strlen(sql),
                               .values = values,
                               .count = count,
                               .site = a->site,
                               .writes = true};
    sl_session *session = sl__session_of(a->site, a->store, /* writes= */ true);
    sl__running running SL_CLEANUP(sl__run_end) = {0};
    sl_error *error = sl__run_begin(session, &statement, &running);
    for (bool row = true; !error && row;)
        error = sl__run_step(&running, &row);
    return error;
}

static void must_run(const applying *a, const char *sql, const sl_value *values, uint32_t count)
{
    sl_error *error = run(a, sql, values, count);
    if (error)
        sl__fail_error(a->site, error);
}

/* ---- Keeping others out ---- */

static const char *const table_sql[] = {
    [SL__SQLITE] = "CREATE TABLE " SL__PATCH_TABLE " (number INTEGER PRIMARY KEY, summary TEXT NOT NULL, "
                   "checksum TEXT NOT NULL, applied INTEGER NOT NULL) STRICT",
    [SL__POSTGRES] = "CREATE TABLE " SL__PATCH_TABLE " (number bigint PRIMARY KEY, summary text NOT NULL, "
                     "checksum text NOT NULL, applied timestamptz NOT NULL)",
};
static const char *const insert_sql[] = {
    [SL__SQLITE] =
        "INSERT INTO " SL__PATCH_TABLE " (number, summary, checksum, applied) VALUES (?1, ?2, ?3, ?4)",
    [SL__POSTGRES] =
        "INSERT INTO " SL__PATCH_TABLE " (number, summary, checksum, applied) VALUES ($1, $2, $3, $4)",
};

/* Begins the transaction as the only one that applies patches; the number is "sl_patch". SQLite takes the
 * writer's place with the first statement. */
static void begin_alone(const applying *a)
{
    static const char *const sql[] = {
        [SL__SQLITE] = "SELECT 1", [SL__POSTGRES] = "SELECT pg_advisory_xact_lock(8317693774764925800)"};
    sl__transaction_here()->schema = true;
    sl__budget(&(sl_budget_options){.statements = STATEMENTS_MAX, .ms = PATCH_MS});
    must_run(a, sql[a->store->dialect], NULL, 0);
}

static void see_to_table(const applying *a)
{
    if (!sl__look_for(a->site, a->store, SL__PATCH_TABLE))
        must_run(a, table_sql[a->store->dialect], NULL, 0);
}

static void write_down(const applying *a, unsigned number, const char *summary, const char *checksum)
{
    const sl_value values[] = {{.kind = SL_KIND_INTEGER, .integer = number},
                               {.kind = SL_KIND_TEXT, .text = sl_view_of(summary)},
                               {.kind = SL_KIND_TEXT, .text = sl_view_of(checksum)},
                               {.kind = SL_KIND_TIME, .integer = sl_time_now()}};
    must_run(a, insert_sql[a->store->dialect], values, sl_array_size(values));
}

static void tell(const applying *a, const char *line)
{
    if (a->told)
        a->told(a->stores->first->next ? sl_printf("store %s: %s", a->store->name, line) : line,
                a->told_data);
    else
        sl_log_to(sl_log_current(), SL_INFO, a->site, "store %s: %s", a->store->name, line);
}

/* ---- One patch ---- */

/* Whether no patch was ever applied to the store. */
static bool is_first(const applying *a)
{
    const sl__step *step = a->plan->items;
    while (step->store != a->step->store)
        step++;
    return step == a->step;
}

/* The first patch meets the tables of the models, or makes too few for a database that has nothing. */
static const char *what_to_do(const applying *a, const sl_error *cause)
{
    const char *directory = sl__plan_directory(a->plan);
    if (cause->code != SL_EDATABASE || !is_first(a))
        return sl_printf("nothing of it was applied%s%s%s", is_first(a) ? "" : "; what comes before it is",
                         cause->hint ? ". " : "", cause->hint ? cause->hint : "");
    if (!a->begun)
        return sl_printf(
            "nothing of it was applied. Where there are patches, they alone make the tables of a new "
            "database: let the first make all that it relies on, as `silver db schema %s%s` prints "
            "them",
            sl__store_option(a->store), directory);
    return sl_printf(
        "nothing of it was applied. The database had tables of the models before there were patches. "
        "If this one only makes what is there, `silver run %s migrate --record %u` writes it down as "
        "applied; else begin with an empty database",
        directory, a->step->number);
}

/* What went wrong, at its place. */
static SL_NORETURN void fail_with(const applying *a, const char *place, sl_error *cause, const char *hint)
{
    sl_error *error = sl__error_new(a->site, cause->code, "%s: %s", place, cause->message);
    if (cause->detail)
        sl_error_detail(error, cause->detail, strlen(cause->detail));
    sl_error_hint(error, "%s", hint);
    sl__fail_error(a->site, sl_error_cause(error, cause));
}

static SL_NORETURN void fail_at(applying *a, const char *place, sl_error *cause)
{
    a->placed = true;
    fail_with(a, place, cause, what_to_do(a, cause));
}

static void run_file(applying *a)
{
    sl__sql_parts parts;
    unsigned line;
    sl_error *error = sl__sql_split(a->store->dialect, a->step->text, sl_task_arena(), &parts, &line);
    if (error)
        fail_at(a, sl_printf("%s:%u", a->step->named, line), error);
    if (!parts.count)
        fail_at(a, a->step->named, sl__patch_is_empty(a->site));
    for (size_t i = 0; i < parts.count; i++)
        if ((error = run(a, parts.items[i].text, NULL, 0)))
            fail_at(a, sl_printf("%s:%u", a->step->named, parts.items[i].line), error);
}

static void *call_function(void *data)
{
    ((const applying *)data)->step->fn();
    sl_save();
    return NULL;
}

static void run_function(applying *a)
{
    sl_error *error = sl__catch(call_function, a, NULL);
    if (error)
        fail_at(a, a->step->named, error);
}

static void see_number(const sl__asked *row, void *data)
{
    *(bool *)data |= row->numbers[0] == 1;
}

/* Foreign keys are not looked after while a patch runs in SQLite, so that it can make tables anew; so they
 * are now. */
static void see_broken(const sl__asked *row, void *data)
{
    sl_buffer_printf(data, "%s%lld of %s to %s", ((sl_buffer *)data)->size ? ", " : "",
                     (long long)row->numbers[0], row->texts[0], row->texts[1]);
}

static void check_keys(applying *a)
{
    sl_buffer broken SL_CLEANUP(sl_buffer_done) = {0};
    if (a->store->dialect != SL__SQLITE)
        return;
    sl__ask(a->site, a->store,
            "SELECT \"table\", parent, count(*) FROM pragma_foreign_key_check GROUP BY 1, 2 ORDER BY 1, 2",
            NULL, 2, 1, see_broken, &broken);
    if (broken.size)
        fail_at(a, a->step->named,
                sl__error_new(a->site, SL_ECONSTRAINT, "rows refer to others that are not there: %s",
                              broken.data));
}

/* Tables of the models that were made by hand, or from the models, and that a new database would lack. */
static void check_begun(const applying *a)
{
    sl__wanted_list list = sl__wanted_of(a->site, a->store);
    sl_buffer lacking SL_CLEANUP(sl_buffer_done) = {0};
    unsigned count = 0;
    for (size_t i = 0; i < list.count; i++) {
        const char *table = sl__model_table(list.items[i].model);
        if (!sl__look_for(a->site, a->store, table) || sl__plan_makes(a->plan, a->store, table))
            continue;
        sl_buffer_printf(&lacking, "%s%s", count++ ? ", " : "", table);
    }
    if (!count)
        return;
    sl_error *error =
        sl__error_new(a->site, SL_ESCHEMA,
                      "%s is the first patch, but the database has the table%s %s, which no patch makes",
                      a->step->named, count == 1 ? "" : "s", lacking.data);
    sl__fail_error(
        a->site,
        sl_error_hint(
            error,
            "where there are patches they alone make the tables of a new database. Put what makes "
            "these, as they are in this one, into a patch that comes first (`silver db schema %s%s` prints "
            "them as the models want them), write that one down by `silver run %s migrate --record %u`, "
            "and give this one the next number",
            sl__store_option(a->store), sl__plan_directory(a->plan), sl__plan_directory(a->plan),
            a->step->number));
}

/* Another process may have been faster. */
static bool is_applied(const applying *a)
{
    bool there = false;
    sl__ask(a->site, a->store,
            sl_printf("SELECT 1 FROM " SL__PATCH_TABLE " WHERE number = %u", a->step->number), NULL, 0, 1,
            see_number, &there);
    return there;
}

static void *apply_step(void *data)
{
    applying *a = data;
    a->done = 0;
    begin_alone(a);
    see_to_table(a);
    if (is_applied(a))
        return NULL;
    a->begun = is_first(a) && sl__wanted_begun(a->site, a->store);
    if (a->begun)
        check_begun(a);
    if (a->step->fn)
        run_function(a);
    else
        run_file(a);
    check_keys(a);
    write_down(a, a->step->number, a->step->summary, a->step->checksum);
    a->done = 1;
    return NULL;
}

/* ---- Tables of models ---- */

/* With patches two may share one: then a model may be of some of a table's columns. */
static void check_tables(const applying *a, const sl__wanted_list *list)
{
    for (size_t i = 0; i < list->count; i++)
        for (size_t k = 0; k < i; k++) {
            const sl_model *one = list->items[k].model, *other = list->items[i].model;
            if (strcmp(sl__model_table(one), sl__model_table(other)) != 0)
                continue;
            sl__fail_error(
                a->site, sl_error_hint(sl__error_new(a->site, SL_EINVAL, "%s and %s are both of the table %s",
                                                     one->name, other->name, sl__model_table(one)),
                                       "give one of them another `.table`, or leave it out of sl_models"));
        }
}

static void *make_tables(void *data)
{
    applying *a = data;
    sl__sql_parts parts;
    unsigned line;
    a->done = 0;
    begin_alone(a);
    if (sl__wanted_begun(a->site, a->store))
        return NULL;
    sl__wanted_list list = sl__wanted_of(a->site, a->store);
    check_tables(a, &list);
    see_to_table(a);
    sl_view sql = sl_view_of(sl__wanted_sql(a->site, a->store));
    sl_error *error = sl__sql_split(a->store->dialect, sql, sl_task_arena(), &parts, &line);
    if (error)
        sl__fail_error(a->site, error);
    for (size_t i = 0; i < parts.count; i++)
        must_run(a, parts.items[i].text, NULL, 0);
    char checksum[SL__PATCH_CHECKSUM_SIZE];
    sl__patch_checksum(sql.data, sql.size, checksum);
    write_down(a, SL__PATCH_MODELS, "made from the models", checksum);
    a->done = list.count;
    return NULL;
}

/* ---- All of them ---- */

typedef struct attempt {
    const char *name;
    sl_task_fn *fn;
    applying *applying;
} attempt;

static void *try_once(void *data)
{
    attempt *it = data;
    return sl__transact(it->applying->site, it->name, it->fn, it->applying,
                        &(sl_transact_options){.durable = true, .retries = 3});
}

/* What is none of its statements: mostly the commit, of which one may not know what became. */
static SL_NORETURN void fail_around(const applying *a, const char *name, sl_error *cause)
{
    bool refused = cause->code == SL_EINVAL || cause->code == SL_ESCHEMA;
    const char *hint = sl_printf("%s%s%s",
                                 refused ? "nothing of it was applied"
                                         : "it was applied as a whole or not at all: migrate again, which "
                                           "goes on from there",
                                 cause->hint ? ". " : "", cause->hint ? cause->hint : "");
    if (a->placed || !a->applies)
        sl__fail_error(a->site, cause);
    fail_with(a, name, cause, hint);
}

/* In a transaction that waits for other processes as long as they may need. */
static void transact(applying *a, const char *name, sl_task_fn *fn)
{
    a->placed = false;
    attempt it = {.name = name, .fn = fn, .applying = a};
    for (unsigned tries = 0;; tries++) {
        sl_error *error = sl__catch(try_once, &it, NULL);
        if (!error)
            return;
        if (error->code != SL_EBUSY || tries == BUSY_TRIES)
            fail_around(a, name, error);
        sl_log_to(sl_log_current(), SL_INFO, a->site, "store %s: %s waits for another process, which writes",
                  a->store->name, name);
        sl_error_unref(error);
        sl_await(sl_sleep(100)); /* where busy_ms is small */
    }
}

static size_t apply_missing(applying *a, const sl__plan *plan, const sl_store *only)
{
    size_t done = 0;
    for (size_t i = 0; i < plan->count; i++) {
        const sl__step *step = &plan->items[i];
        if (step->applied || (only && step->store != only))
            continue;
        a->step = step;
        a->store = sl__store_named(a->site, step->store->name);
        uint64_t began = sl_monotonic_ns();
        transact(a, step->named, apply_step);
        if (a->done)
            tell(a, sl_printf("%s: applied in %llu ms", step->named,
                              (unsigned long long)((sl_monotonic_ns() - began) / 1000000)));
        done += a->done;
    }
    return done;
}

static size_t make_missing(applying *a, const sl__plan *plan, const sl_store *only)
{
    size_t done = 0;
    for (sl_store *store = a->stores->first; store; store = store->next) {
        if ((only && store != only) || sl__plan_has(plan, store) || !sl__store_has_models(a->stores, store))
            continue;
        a->store = sl__store_named(a->site, store->name);
        if (sl__wanted_begun(a->site, store))
            continue;
        transact(a, "tables of the models", make_tables);
        if (a->done)
            tell(a, sl_printf("%zu table%s made from the models", a->done, a->done == 1 ? "" : "s"));
        done += a->done;
    }
    return done;
}

static void *do_nothing(void *data)
{
    begin_alone(data);
    return NULL;
}

void sl__plan_wait(const sl_site *site, sl_stores *stores, const sl__plan *plan, sl_store *store)
{
    applying a = {.site = site, .stores = stores, .plan = plan, .store = sl__store_named(site, store->name)};
    transact(&a, "waiting for patches", do_nothing);
}

size_t sl__plan_apply(const sl_site *site, sl_stores *stores, const sl__plan *plan, const sl_store *only,
                      sl__told_fn *told, void *data)
{
    applying a = {
        .site = site, .stores = stores, .plan = plan, .told = told, .told_data = data, .applies = true};
    return make_missing(&a, plan, only) + apply_missing(&a, plan, only);
}

/* ---- Writing down what was done by hand ---- */

static SL_NORETURN void fail_applied(const sl_site *site, const sl__step *step)
{
    sl__fail(site, SL_EINVAL, "%s is applied already", step->named);
}

static void *record_step(void *data)
{
    applying *a = data;
    begin_alone(a);
    see_to_table(a);
    if (is_applied(a))
        fail_applied(a->site, a->step);
    write_down(a, a->step->number, a->step->summary, a->step->checksum);
    return NULL;
}

/* The one with the number, before which all of its store are applied. */
static const sl__step *step_to_record(const sl_site *site, const sl__plan *plan, unsigned number)
{
    const sl__step *step = NULL;
    for (size_t i = 0; i < plan->count && !step; i++)
        if (plan->items[i].number == number)
            step = &plan->items[i];
    if (!step)
        sl__fail_error(site, sl_error_hint(sl__error_new(site, SL_ENOENT, "there is no patch %u", number),
                                           "patches are the files of schema/, numbered from 1: there are %zu",
                                           plan->count));
    if (step->applied)
        fail_applied(site, step);
    for (const sl__step *before = plan->items; before < step; before++)
        if (before->store == step->store && !before->applied)
            sl__fail(site, SL_EINVAL, "%s comes first, and is not applied either", before->named);
    return step;
}

void sl__plan_record(const sl_site *site, sl_stores *stores, const sl__plan *plan, unsigned number,
                     sl__told_fn *told, void *data)
{
    applying a = {.site = site, .stores = stores, .plan = plan, .told = told, .told_data = data};
    a.step = step_to_record(site, plan, number);
    a.store = sl__store_named(site, a.step->store->name);
    transact(&a, a.step->named, record_step);
    tell(&a, sl_printf("%s: written down as applied", a.step->named));
}

/* ---- From outside ---- */

static sl__plan looked_plan(const sl_site *site, const char *directory, sl_stores **ret_stores)
{
    sl_stores *stores = *ret_stores = sl__stores_here(false);
    if (!stores || !stores->first)
        sl__store_named(site, NULL); /* says what is missing */
    sl__plan plan = sl__plan_make(site, stores, directory);
    sl_error *error = sl__plan_look(site, stores, &plan, /* only= */ NULL);
    if (error)
        sl_fail_again(error);
    return plan;
}

void sl__record_telling(const sl_site *site, const char *directory, unsigned number, sl__told_fn *told,
                        void *data)
{
    sl_stores *stores;
    sl__plan plan = looked_plan(site, directory, &stores);
    sl__plan_record(site, stores, &plan, number, told, data);
}

void sl__migrate_record(const sl_site *site, const char *directory, unsigned number)
{
    sl__record_telling(site, directory, number, NULL, NULL);
}

size_t sl__migrate_telling(const sl_site *site, const char *directory, sl__told_fn *told, void *data)
{
    sl_stores *stores;
    sl__plan plan = looked_plan(site, directory, &stores);
    return sl__plan_apply(site, stores, &plan, /* only= */ NULL, told, data);
}

size_t sl__migrate(const sl_site *site, const char *directory)
{
    return sl__migrate_telling(site, directory, NULL, NULL);
}
