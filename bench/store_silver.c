/* store_silver.c: the same by the store, as an application uses it. */
#include "store.h"

#include <stdlib.h>

#define ITEM(F)                                                                                              \
    F(id, integer, SL_PRIMARY_KEY)                                                                           \
    F(name, text)                                                                                            \
    F(mail, text)                                                                                            \
    F(number, integer)                                                                                       \
    F(weight, real)
SL_MODEL(item, ITEM, .store = "memory");
SL_MODEL(fresh, ITEM, .store = "memory");
SL_MODEL(edited, ITEM, .store = "memory");
SL_MODEL(kept, ITEM, .store = "disk", .table = "fresh");
SL_MODEL(pg_item, ITEM, .store = "postgres", .table = "item");
#define ENTRY(F) F(id, integer, SL_PRIMARY_KEY) F(item, refers(pg_item), SL_REQUIRED)
SL_MODEL(pg_entry, ENTRY, .store = "postgres", .table = "entry");

static void declare(const char *name, const char *url)
{
    sl_error *error;
    if (sl_store_declare(sl_root_current(), name, url, &error) < 0)
        give_up(url, error->message);
}

static void declare_sqlite(const char *name, const char *folder, const char *file)
{
    const char *path = database_path(folder, file);
    declare(name, sl_printf("sqlite:%s", path));
}

const char *store_open(void)
{
    declare_sqlite("memory", directory, "silver");
    declare_sqlite("disk", disk, "silver-disk");
    sl_models(item_model, fresh_model, edited_model, kept_model);
    if (postgres) {
        declare("postgres", postgres);
        sl_models(pg_item_model, pg_entry_model);
    }
    /* A transaction here is as large as a table. */
    sl_store_configure(sl_root_current(), &(sl_store_options){.connections = 1,
                                                              .statements = UINT32_MAX,
                                                              .database_ms = UINT32_MAX,
                                                              .slow_ms = UINT32_MAX});
    sl_migrate(NULL);
    return sl_schema_wanted("memory");
}

/* All columns of any of the models. */
#define SUM(object) row_sum((object)->id, (object)->name, (object)->mail, (object)->number, (object)->weight)

static uint64_t in_transaction(sl_task_fn *fn, size_t n)
{
    uint64_t sum = 0;
    SL_SCRATCH()
    {
        sum = (uint64_t)(uintptr_t)sl_transact(fn, (void *)n);
    }
    return sum;
}

/* ---- SQLite ---- */

/* The transaction begins before the clock does: a key that is not there takes the connection. */
static void begin_reading(void)
{
    if (sl_load(item, 0))
        give_up("the store", "there is a row with the key 0");
}

static void *get(void *data)
{
    uint64_t sum = 0;
    size_t n = (size_t)data;
    begin_reading();
    clock_start();
    for (size_t i = 0; i < n; i++) {
        const struct item *found = sl_load(item, key_at(i));
        sum += SUM(found);
    }
    clock_stop();
    return (void *)(uintptr_t)sum;
}

uint64_t store_get(size_t n)
{
    return in_transaction(get, n);
}

/* The objects are there: the same MAPPED ones again and again. */
static void *get_mapped(void *data)
{
    uint64_t sum = 0;
    size_t n = (size_t)data;
    for (size_t i = 0; i < MAPPED; i++)
        sl_load(item, key_at(i));
    clock_start();
    for (size_t done = 0; done < n; done += MAPPED) {
        for (size_t i = 0; i < MAPPED; i++)
            sum += (uint64_t)sl_load(item, key_at(i))->number;
    }
    clock_stop();
    return (void *)(uintptr_t)sum;
}

uint64_t store_mapped(size_t n)
{
    return in_transaction(get_mapped, n);
}

static void *scan(void *data)
{
    uint64_t sum = 0;
    size_t n = (size_t)data;
    begin_reading();
    clock_start();
    SL_EACH(found, sl_find(item))
    {
        sum += SUM(found);
        if (--n == 0)
            break;
    }
    clock_stop();
    return (void *)(uintptr_t)sum;
}

uint64_t store_scan(size_t n)
{
    return in_transaction(scan, n);
}

static void *empty_fresh(void *data)
{
    sl_delete(sl_find(fresh));
    return NULL;
}

static void *insert(void *data)
{
    size_t n = (size_t)data;
    sl_count(sl_find(fresh));
    clock_start();
    for (size_t i = 1; i <= n; i++)
        sl_add(sl_new(fresh, .name = rows[i].name, .mail = rows[i].mail, .number = rows[i].number,
                      .weight = rows[i].weight));
    sl_save();
    clock_stop();
    return NULL;
}

uint64_t store_insert(size_t n)
{
    const char *path = database_path(directory, "silver");
    in_transaction(empty_fresh, 0);
    in_transaction(insert, n);
    return raw_sum(path, "fresh");
}

static int64_t change; /* each time it is another number */

static void *update(void *data)
{
    size_t n = (size_t)data;
    const struct edited **objects = sl_alloc(n * sizeof *objects);
    for (size_t i = 0; i < n; i++)
        objects[i] = sl_load(edited, key_at(i));
    clock_start();
    for (size_t i = 0; i < n; i++) {
        struct edited *object = sl_edit(edited, objects[i]);
        object->number = rows[object->id].number + change;
    }
    sl_save();
    clock_stop();
    return NULL;
}

uint64_t store_update(size_t n)
{
    const char *path = database_path(directory, "silver");
    change++;
    in_transaction(update, n);
    return raw_sum(path, "edited") - n * (uint64_t)change;
}

/* ---- Many tasks ---- */

typedef struct share {
    size_t first, count;
    uint64_t sum;
} share;

/* n in equal shares, all at once. */
static uint64_t among_tasks(sl_task_fn *fn, size_t n)
{
    share *shares = sl_zalloc(TASKS * sizeof *shares);
    uint64_t sum = 0;
    SL_SCOPE(all)
    {
        for (size_t i = 0; i < TASKS; i++) {
            shares[i] = (share){.first = i * (n / TASKS), .count = n / TASKS};
            sl_go(fn, &shares[i]);
        }
    }
    for (size_t i = 0; i < TASKS; i++)
        sum += shares[i].sum;
    return sum;
}

static void *add_one(void *data)
{
    const content *added = data;
    return sl_add(sl_new(kept, .name = added->name, .mail = added->mail, .number = added->number,
                         .weight = added->weight));
}

static void *add_some(void *data)
{
    share *s = data;
    for (size_t i = 0; i < s->count; i++) {
        SL_SCRATCH()
        {
            sl_transact(add_one, &rows[1 + s->first + i], .durable = true);
        }
    }
    return NULL;
}

static void *empty_kept(void *data)
{
    sl_delete(sl_find(kept));
    return NULL;
}

/* Which key a row gets depends on whose turn it is: the sum of all is the same. */
uint64_t store_durable(size_t n)
{
    const char *path = database_path(disk, "silver-disk");
    in_transaction(empty_kept, 0);
    clock_start();
    SL_SCRATCH()
    {
        among_tasks(add_some, n);
    }
    clock_stop();
    return raw_sum(path, "fresh");
}

/* ---- PostgreSQL ---- */

static void *get_some(void *data)
{
    share *s = data;
    for (size_t i = 0; i < s->count; i++) {
        SL_SCRATCH()
        {
            const struct pg_item *found = sl_load(pg_item, key_at(s->first + i));
            s->sum += SUM(found);
        }
    }
    return NULL;
}

uint64_t store_postgres_get(size_t n)
{
    uint64_t sum = 0;
    clock_start();
    SL_SCRATCH()
    {
        sum = among_tasks(get_some, n);
    }
    clock_stop();
    return sum;
}

static void *preload(void *data)
{
    uint64_t sum = 0;
    size_t n = (size_t)data;
    if (sl_load(pg_entry, 0))
        give_up("the store", "there is an entry with the key 0");
    clock_start();
    for (size_t i = 0; i < n; i += GROUP) {
        struct pg_entry_list entries = sl_list(
            sl_find(pg_entry, sl_between(pg_entry_.id, i + 1, i + GROUP), sl_preload(pg_entry, item)));
        for (size_t k = 0; k < entries.count; k++) {
            const struct pg_item *found = sl_follow(pg_entry, entries.items[k], item);
            sum += SUM(found);
        }
    }
    clock_stop();
    return (void *)(uintptr_t)sum;
}

uint64_t store_preload(size_t n)
{
    return in_transaction(preload, n);
}
