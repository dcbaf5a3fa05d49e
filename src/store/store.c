/* store.c: the stores of a root, and what they know of models.
 *
 * Stores are declared by name and opened when something is first asked of them: whoever comes meanwhile waits
 * for the same opening. A failure is told to all who waited, and the next who comes tries again. */
#include "store/store.h"
#include "store/two_phase.h"
#include "core/task.h"

#include <stdlib.h>

static const sl_store_options standard = {
#define STANDARD(name, value, unit, meaning) .name = value,
    SL_STORE_OPTIONS(STANDARD)
#undef STANDARD
};

/* ---- Of a root ----------------------------------------------------------------------------------------- */

static void free_table(sl__table *table)
{
    if (!table)
        return;
    const sl__statement *const statements[] = {&table->get, &table->locked, &table->insert,
                                               &table->insert_keyed, &table->remove};
    for (size_t i = 0; i < sl_array_size(statements); i++)
        free((char *)statements[i]->sql);
    for (unsigned i = 0; i < table->update_count; i++) {
        free((char *)table->updates[i].statement->sql);
        free(table->updates[i].statement);
    }
    for (unsigned i = 0; i < 2 * SL__ROWS_SIZES; i++) {
        sl__statement *insert = table->insert_rows[i / SL__ROWS_SIZES][i % SL__ROWS_SIZES];
        free(insert ? (char *)insert->sql : NULL);
        free(insert);
    }
    free(table->updates);
    free(table);
}

static void free_stores(void *data)
{
    sl_stores *stores = data;
    for (sl_store *store = stores->first, *next; store; store = next) {
        next = store->next;
        if (store->opened)
            store->driver->close(store);
        free(store->name);
        free(store->url);
        free(store);
    }
    for (unsigned i = 0; i < stores->table_count; i++)
        free_table(stores->tables[i]);
    sl__tracers_free(stores);
    sl__patches_free(stores);
    free(stores->tables);
    free(stores->models);
    free(stores);
}

static sl_stores *stores_of(sl_root *root, bool make)
{
    SL_IN_ROOT(root);
    sl_stores *stores = sl_provided(sl_stores);
    if (stores || !make)
        return stores;
    stores = sl_calloc(1, sizeof *stores);
    stores->root = root;
    stores->options = standard;
    sl_object_add(sl_root_object(root), sl_stores, stores, free_stores);
    if (sl_log_current()->level == SL_DEBUG)
        sl__trace_to_log(root);
    return stores;
}

sl_stores *sl__stores_here(bool make)
{
    return make ? stores_of(sl_root_current(), true) : sl_provided(sl_stores);
}

void sl_store_configure(sl_root *root, const sl_store_options *options)
{
    sl_stores *stores = stores_of(root, true);
#define TAKE(name, value, unit, meaning)                                                                     \
    if (options->name)                                                                                       \
        stores->options.name = options->name;
    SL_STORE_OPTIONS(TAKE)
#undef TAKE
    for (sl_store *store = stores->first; store; store = store->next)
        if (store->opened && store->driver->configured)
            store->driver->configured(store);
}

static const sl__driver *driver_of(const char *url)
{
    if (strncmp(url, "sqlite:", 7) == 0)
        return &sl__sqlite_driver;
    if (strncmp(url, "postgres:", 9) == 0 || strncmp(url, "postgresql:", 11) == 0 || strchr(url, '='))
        return &sl__postgres_driver;
    return NULL;
}

int sl_store_declare(sl_root *root, const char *name, const char *url, sl_error **ret_error)
{
    sl_stores *stores = stores_of(root, true);
    sl_store **end = &stores->first;
    for (; *end; end = &(*end)->next)
        if (strcmp((*end)->name, name) == 0) {
            *ret_error = sl_error_new(SL_EEXIST, "there is a store called %s already", name);
            return SL_EEXIST;
        }
    const sl__driver *driver = driver_of(url);
    if (!driver) {
        *ret_error =
            sl_error_hint(sl_error_new(SL_EINVAL, "the URL of the store %s is of no known kind", name),
                          "write sqlite:PATH, postgres://USER@HOST/DATABASE or host=… dbname=…");
        return SL_EINVAL;
    }
    sl_store *store = sl_calloc(1, sizeof *store);
    *store = (sl_store){.name = sl_strdup_heap(name),
                        .url = sl_strdup_heap(url),
                        .stores = stores,
                        .driver = driver,
                        .dialect = driver == &sl__sqlite_driver ? SL__SQLITE : SL__POSTGRES,
                        .options = &stores->options};
    *end = store;
    return 0;
}

const char *sl_store_name(const sl_store *store)
{
    return store->name;
}

/* ---- Opening ------------------------------------------------------------------------------------------- */

static void opening_over(sl_store *store, sl_error *error)
{
    sl_deferred *opening = store->opening;
    store->opening = NULL;
    if (error)
        sl_fire_error(opening, sl_error_ref(error));
    else
        sl_fire(opening, NULL, NULL);
    sl_forget(opening); /* who waits has references of its own */
}

static void *open_it(void *data)
{
    sl_store *store = data;
    sl_error *error = store->driver->open(store);
    if (error)
        sl_fail_error(error);
    store->opened = true;
    return NULL;
}

/* It is made in a task of its own: whoever asked first may be cancelled, and the others still want it. */
static void *open_for_all(void *data)
{
    sl_store *store = data;
    sl_error *error = sl__catch(open_it, store, NULL);
    if (!error)
        sl__two_phase_recover(store);
    opening_over(store, error);
    sl_error_unref(error);
    return NULL;
}

static void open_store(const sl_site *site, sl_store *store)
{
    if (!store->opening) {
        store->opening = sl_deferred_new(NULL, NULL);
        sl_background(open_for_all, store);
    }
    sl__await(site, sl_deferred_ref(store->opening), NULL);
}

static SL_NORETURN void no_store(const sl_site *site, const sl_stores *stores, const char *name)
{
    if (!stores || !stores->first)
        sl__fail_error(site,
                       sl_error_hint(sl__error_new(site, SL_ECONFIG, "there is no database here"),
                                     "write `service.sqlite =` under [production] in app.ini; in a program "
                                     "of your own call sl_store_declare"));
    if (name)
        sl__fail_error(
            site, sl_error_hint(sl__error_new(site, SL_ECONFIG, "there is no store called %s", name),
                                "there is %s%s%s", stores->first->name, stores->first->next ? " and " : "",
                                stores->first->next ? stores->first->next->name : ""));
    sl__fail_error(
        site, sl_error_hint(sl__error_new(site, SL_ECONFIG, "there are several stores, and none is named"),
                            "say which: SL_MODEL(…, .store = \"%s\"), or its name in the call",
                            stores->first->name));
}

sl_store *sl__store_named(const sl_site *site, const char *name)
{
    sl_stores *stores = sl__stores_here(false);
    sl_store *store = stores ? stores->first : NULL;
    while (store && name && strcmp(store->name, name) != 0)
        store = store->next;
    if (!store || (!name && store->next))
        no_store(site, stores, name);
    if (!store->opened)
        open_store(site, store);
    return store;
}

sl_store *sl__store_open(const sl_site *site, const char *name)
{
    return sl__store_named(site, name);
}

/* ---- Tables -------------------------------------------------------------------------------------------- */

/* Two descriptions of one name must say the same: they may stand in different source files. */
static void check_same(const sl_site *site, const sl_model *a, const sl_model *b)
{
    bool same = a->size == b->size && a->column_count == b->column_count;
    for (size_t i = 0; same && i < a->column_count; i++)
        same =
            strcmp(a->columns[i].name, b->columns[i].name) == 0 && a->columns[i].kind == b->columns[i].kind;
    if (!same)
        sl__fail_error(
            site, sl_error_hint(sl__error_new(site, SL_EINVAL, "there are two models called %s", a->name),
                                "put SL_MODEL into a header, and give other models other names"));
}

sl__table *sl__table_make(const sl_site *site, sl_stores *stores, sl_model *model)
{
    if (model->result)
        sl__fail(site, SL_EINVAL, "%s is a result and has no table", model->name);
    sl__model_info *info = sl__model_info_of(site, model);
    unsigned number = sl__model_number(model);
    sl_store *store = sl__store_named(site, model->store);
    if (number >= stores->table_count) {
        unsigned count = number + 16;
        stores->tables = sl_realloc(stores->tables, count * sizeof(sl__table *));
        memset(stores->tables + stores->table_count, 0, (count - stores->table_count) * sizeof(sl__table *));
        stores->table_count = count;
    }
    if (stores->tables[number]) {
        check_same(site, stores->tables[number]->model, model);
        return stores->tables[number];
    }
    sl__table *table = sl_calloc(1, sizeof *table);
    *table = (sl__table){.model = model, .info = info, .store = store};
    sl__table_statements(table);
    return stores->tables[number] = table;
}

void sl__models(sl_model_fn *const *models)
{
    sl_stores *stores = sl__stores_here(false);
    if (!stores || !stores->first)
        no_store(SL_HERE, stores, NULL);
    for (; *models; models++) {
        sl_model *model = (*models)();
        sl__model_info_of(SL_HERE, model);
        stores->models = sl_realloc(stores->models, (stores->model_count + 1) * sizeof(sl_model *));
        stores->models[stores->model_count++] = model;
    }
}
