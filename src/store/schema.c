/* schema.c: what is asked about models, patches and databases together. */
#include "store/schema.h"
#include "core/task.h"

#include <jansson.h>
#include <stdlib.h>

/* More than passes between one patch and the next. */
#define GAP_MS 300

bool sl__stores_any(void)
{
    sl_stores *stores = sl__stores_here(false);
    return stores && stores->first;
}

static sl_stores *stores_or_fail(const sl_site *site)
{
    sl_stores *stores = sl__stores_here(false);
    if (!stores || !stores->first)
        sl__store_named(site, NULL); /* says what is missing */
    return stores;
}

/* "the database /srv/chat/data/chat.sqlite"; PostgreSQL's address may hold a password. */
static const char *database_of(const sl_store *store)
{
    return store->dialect == SL__SQLITE ? sl_printf("the database %s", store->url + strlen("sqlite:"))
                                        : sl_printf("the database of the store %s", store->name);
}

/* ---- Questions in a transaction ---- */

typedef struct question {
    const sl_site *site;
    sl_store *store;
    sl__differences differences;
    bool yes;
} question;

static void *ask_differences(void *data)
{
    question *q = data;
    sl__wanted_list list = sl__wanted_of(q->site, q->store);
    sl__seen *seen = sl_zalloc((list.count + 1) * sizeof(*seen));
    for (size_t i = 0; i < list.count; i++) {
        sl__look(q->site, q->store, sl__model_table(list.items[i].model), &seen[i]);
        sl__differ(q->site, q->store->dialect, &list.items[i], &seen[i], &q->differences);
    }
    for (size_t i = 0; i < list.count && q->store->dialect == SL__POSTGRES; i++)
        sl__differ_late(q->site, &list.items[i], &seen[i], &q->differences);
    return NULL;
}

static void *ask_begun(void *data)
{
    question *q = data;
    sl__wanted_list list = sl__wanted_of(q->site, q->store);
    for (size_t i = 0; i < list.count && !q->yes; i++)
        q->yes = sl__look_for(q->site, q->store, sl__model_table(list.items[i].model));
    return NULL;
}

static void *ask_empty(void *data)
{
    question *q = data;
    q->yes = sl__look_empty(q->site, q->store);
    return NULL;
}

/* The store is opened; inside a transaction the question is that one's. */
static void ask(question *q, const char *name, sl_task_fn *fn)
{
    q->store = sl__store_named(q->site, q->store->name);
    sl__transact(q->site, name, fn, q, &(sl_transact_options){.read_only = true});
}

sl__differences sl__differences_of(const sl_site *site, sl_store *store)
{
    question q = {.site = site, .store = store};
    ask(&q, "looking for differences", ask_differences);
    return q.differences;
}

bool sl__wanted_begun(const sl_site *site, sl_store *store)
{
    question q = {.site = site, .store = store};
    ask(&q, "looking for tables", ask_begun);
    return q.yes;
}

static bool is_empty(const sl_site *site, sl_store *store)
{
    question q = {.site = site, .store = store};
    ask(&q, "looking for tables", ask_empty);
    return q.yes;
}

/* ---- Wanted, and the difference ---- */

static sl_store *named_store(const sl_site *site, const char *name)
{
    stores_or_fail(site);
    return sl__store_named(site, name);
}

const char *sl_schema_wanted(const char *name)
{
    return sl__wanted_sql(SL_HERE, named_store(SL_HERE, name));
}

static const char *difference_sql(const sl__differences *differences)
{
    sl_buffer sql SL_CLEANUP(sl_buffer_done) = {0};
    for (size_t i = 0; i < differences->count; i++)
        sl_buffer_printf(&sql, "%s-- %s\n%s", i ? "\n" : "", differences->items[i].line,
                         differences->items[i].sql);
    return sl_arena_strndup(sl_task_arena(), sql.data ? sql.data : "", sql.size);
}

const char *sl_schema_difference(const char *name)
{
    sl__differences differences = sl__differences_of(SL_HERE, named_store(SL_HERE, name));
    return difference_sql(&differences);
}

/* ---- The check ---- */

static void put_missing(sl_buffer *out, const sl__plan *plan, const sl_store *store)
{
    for (size_t i = 0; i < plan->count; i++)
        if (plan->items[i].store == store && !plan->items[i].applied)
            sl_buffer_printf(out, "%s\n", plan->items[i].named);
}

/* "the database … needs 2 patches" */
static sl_error *missing_error(const sl_site *site, const sl__plan *plan, const sl_store *store)
{
    size_t missing = sl__plan_missing(plan, store);
    sl_buffer lines SL_CLEANUP(sl_buffer_done) = {0};
    put_missing(&lines, plan, store);
    sl_error *error = sl__error_new(site, SL_ESCHEMA, "%s needs %zu patch%s", database_of(store), missing,
                                    missing == 1 ? "" : "es");
    sl_error_detail(error, lines.data, lines.size - 1);
    return sl__own_error(sl_error_hint(error, "run `silver run %s migrate`", sl__plan_directory(plan)));
}

/* Before there are patches the database may be changed by hand: a first one that holds the change alone would
 * make too little of a new database. */
static const char *what_mends(const sl__plan *plan, const sl_store *store)
{
    const char *option = sl__store_option(store), *directory = sl__plan_directory(plan);
    if (sl__plan_has(plan, store))
        return sl_printf(
            "`silver db schema --difference %s%s` prints SQL that makes it so: put that into a patch, %s",
            option, directory, sl__plan_next(plan));
    return sl_printf(
        "while nothing is kept in it that matters, begin with an empty database; else make it so by "
        "`silver db schema --difference %s%s | silver db %s%s`, or begin to keep patches: the first makes "
        "all tables",
        option, directory, option, directory);
}

static sl_error *differences_error(const sl_site *site, const sl__plan *plan, const sl_store *store,
                                   const sl__differences *differences)
{
    sl_buffer lines SL_CLEANUP(sl_buffer_done) = {0};
    for (size_t i = 0; i < differences->count; i++)
        sl_buffer_printf(&lines, "%s%s", i ? "\n" : "", differences->items[i].line);
    sl_error *error = sl__error_new(site, SL_ESCHEMA, "%s is not as the models want it", database_of(store));
    sl_error_detail(error, lines.data, lines.size);
    return sl__own_error(sl_error_hint(error, "%s", what_mends(plan, store)));
}

static bool counts(const sl_stores *stores, const sl__plan *plan, const sl_store *store)
{
    return sl__plan_has(plan, store) || sl__store_has_models(stores, store);
}

static sl_error *check(const sl_site *site, sl_stores *stores, sl__plan *plan)
{
    sl_error *error = sl__plan_look(site, stores, plan, /* only= */ NULL);
    for (sl_store *store = stores->first; store && !error; store = store->next) {
        if (!counts(stores, plan, store))
            continue;
        if (sl__plan_missing(plan, store)) {
            error = missing_error(site, plan, store);
        } else if (sl__store_has_models(stores, store)) {
            sl__differences differences = sl__differences_of(site, store);
            if (differences.count)
                error = differences_error(site, plan, store, &differences);
        }
    }
    return error;
}

sl_error *sl__schema_check(const sl_site *site, const char *directory)
{
    sl_stores *stores = stores_or_fail(site);
    sl__plan plan = sl__plan_make(site, stores, directory);
    return check(site, stores, &plan);
}

/* ---- Starting ---- */

/* A database that lacks patches, and is not empty, may be one that another process is setting up: as long as
 * there are fewer each time, it is waited for. */
static void wait_for_others(const sl_site *site, sl_stores *stores, sl__plan *plan, sl_store *store)
{
    size_t before = SIZE_MAX;
    for (size_t missing; (missing = sl__plan_missing(plan, store)) && missing < before; before = missing) {
        sl_await(sl_sleep(GAP_MS));
        sl__plan_wait(site, stores, plan, store);
        sl__plan_look(site, stores, plan, store);
    }
}

/* With --production only an empty database is set up: what changes one that has data is decided by people. */
static void set_up(const sl_site *site, sl_stores *stores, sl__plan *plan, bool development)
{
    for (sl_store *store = stores->first; store; store = store->next) {
        if (!counts(stores, plan, store))
            continue;
        if (development || is_empty(site, store))
            sl__plan_apply(site, stores, plan, store, NULL, NULL);
        else
            wait_for_others(site, stores, plan, store);
    }
}

void sl__schema_start(const sl_site *site, const char *directory, bool development)
{
    sl_stores *stores = sl__stores_here(false);
    if (!stores || !stores->first)
        return;
    sl__plan plan = sl__plan_make(site, stores, directory);
    if (!plan.count && !stores->model_count)
        return;
    sl_error *error = sl__plan_look(site, stores, &plan, /* only= */ NULL);
    if (!error) {
        set_up(site, stores, &plan, development);
        error = check(site, stores, &plan);
    }
    if (error)
        sl_fail_again(error);
}

/* ---- Telling ---- */

static json_t *tell_patches(const sl__plan *plan, const sl_store *store)
{
    json_t *applied = json_array(), *missing = json_array();
    for (size_t i = 0; i < plan->count; i++) {
        const sl__step *step = &plan->items[i];
        if (step->store == store)
            json_array_append_new(step->applied ? applied : missing,
                                  json_pack("{s:i, s:s}", "number", (int)step->number, "name", step->named));
    }
    return json_pack("{s:o, s:o}", "applied", applied, "missing", missing);
}

static json_t *tell_store(const sl_site *site, sl_store *store, const sl__plan *plan)
{
    const char *wanted = sl__wanted_sql(site, store);
    sl__differences differences = sl__differences_of(site, store);
    json_t *lines = json_array();
    for (size_t i = 0; i < differences.count; i++)
        json_array_append_new(lines, json_string(differences.items[i].line));
    bool same = !differences.count && !sl__plan_missing(plan, store);
    const char *path = store->dialect == SL__SQLITE ? store->url + strlen("sqlite:") : NULL;
    return json_pack("{s:s, s:s?, s:s, s:b, s:s, s:s, s:o, s:o}", "name", store->name, "path", path,
                     "dialect", store->driver->name, "same", same, "wanted", wanted, "difference",
                     difference_sql(&differences), "lines", lines, "patches", tell_patches(plan, store));
}

json_t *sl__schema_tell(const sl_site *site, const char *directory, const char *name)
{
    sl_stores *stores = stores_or_fail(site);
    sl_store *only = name ? sl__store_named(site, name) : NULL;
    sl__plan plan = sl__plan_make(site, stores, directory);
    sl_error *error = sl__plan_look(site, stores, &plan, only);
    if (error)
        sl_fail_again(error);
    json_t *list = json_array();
    for (sl_store *store = stores->first; store; store = store->next)
        if (only ? store == only : counts(stores, &plan, store))
            json_array_append_new(list, tell_store(site, store, &plan));
    return json_pack("{s:o}", "stores", list);
}
