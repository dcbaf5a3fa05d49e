/* patch_plan.c: which patches an application has, and which of them a database has seen.
 *
 * Numbers run from 1 without gaps over all stores, so that who merges two lines of work meets the question
 * which comes first. What a database says that it has seen must be what is here: a patch that was changed
 * since, or that is not here, means that this is not the application that made it what it is. */
#include "store/schema.h"

#include <stdio.h>
#include <stdlib.h>

/* ---- Declaring ---- */

void sl__patch(const sl_site *site, unsigned number, const char *summary, sl_patch_fn *fn,
               const sl_patch_options *options)
{
    sl_stores *stores = sl__stores_here(true);
    struct sl__patch_entry **end = &stores->patches;
    while (*end)
        end = &(*end)->next;
    struct sl__patch_entry *entry = sl_calloc(1, sizeof(*entry));
    *entry = (struct sl__patch_entry){.number = number,
                                      .summary = sl_strdup_heap(summary),
                                      .store = options->store ? sl_strdup_heap(options->store) : NULL,
                                      .fn = fn,
                                      .site = site};
    *end = entry;
}

void sl__patches_free(sl_stores *stores)
{
    for (struct sl__patch_entry *entry = stores->patches, *next; entry; entry = next) {
        next = entry->next;
        free(entry->summary);
        free(entry->store);
        free(entry);
    }
    stores->patches = NULL;
}

/* ---- Putting together ---- */

typedef struct maker {
    sl_stores *stores;
    sl__patch_files files;
    sl__plan plan;
    size_t room;
    sl_buffer wrongs;
} maker;

static void maker_done(maker *m)
{
    sl_buffer_done(&m->wrongs);
}

static sl__step *add_step(maker *m)
{
    if (m->plan.count == m->room) {
        m->room = m->room ? 2 * m->room : 32;
        sl__step *more = sl_zalloc(m->room * sizeof(*more));
        if (m->plan.count)
            memcpy(more, m->plan.items, m->plan.count * sizeof(*more));
        m->plan.items = more;
    }
    return &m->plan.items[m->plan.count++];
}

/* The store that a patch is for; or NULL, and what is wrong was told. */
static sl_store *store_for(maker *m, const char *named, const char *store, const char *how)
{
    sl_store *found = m->stores->first;
    while (found && store && strcmp(found->name, store) != 0)
        found = found->next;
    if (!found && store)
        sl_buffer_printf(&m->wrongs, "%s is for the store %s, which is not there\n", named, store);
    else if (!store && found && found->next)
        sl_buffer_printf(&m->wrongs, "%s does not say for which store it is: %s\n", named, how);
    else
        return found;
    return NULL;
}

static void add_entry(maker *m, const struct sl__patch_entry *entry)
{
    const char *named = sl_printf("patch %u (%s:%d)", entry->number, entry->site->file, entry->site->line);
    const char *said = sl_printf("%u %s", entry->number, entry->summary);
    char *checksum = sl_alloc(SL__PATCH_CHECKSUM_SIZE);
    sl__patch_checksum(said, strlen(said), checksum);
    *add_step(m) = (sl__step){.number = entry->number,
                              .summary = entry->summary,
                              .checksum = checksum,
                              .named = named,
                              .store = store_for(m, named, entry->store, "sl_patch(…, .store = \"…\")"),
                              .fn = entry->fn};
}

static const char *dialect_name(sl__dialect dialect)
{
    return dialect == SL__SQLITE ? "sqlite" : "postgres";
}

/* The files of one number are one patch where they differ in the database that they are for, and in nothing
 * else. */
static bool are_one(const sl__patch_file *files, size_t count)
{
    for (size_t i = 0; i < count && count > 1; i++) {
        bool same_store = !files[i].store == !files[0].store &&
                          (!files[i].store || strcmp(files[i].store, files[0].store) == 0);
        if (files[i].any_dialect || strcmp(files[i].summary, files[0].summary) != 0 || !same_store)
            return false;
        for (size_t k = 0; k < i; k++)
            if (files[k].dialect == files[i].dialect)
                return false;
    }
    return true;
}

/* The file for the store's database; or NULL, and what is wrong was told. */
static const sl__patch_file *choose_file(maker *m, const sl__patch_file *files, size_t count,
                                         const sl_store *store)
{
    for (size_t i = 0; i < count && store; i++)
        if (files[i].any_dialect || files[i].dialect == store->dialect)
            return &files[i];
    if (store)
        sl_buffer_printf(&m->wrongs, "%s has no file beside it for the store %s: %03u-%s.%s.sql\n",
                         files->path, store->name, files->number, files->summary,
                         dialect_name(store->dialect));
    return NULL;
}

static void add_files(maker *m, const sl__patch_file *files, size_t count)
{
    bool one = are_one(files, count);
    for (size_t i = 1; i < count && !one; i++)
        sl_buffer_printf(&m->wrongs, "%s and %s have one number\n", files[0].path, files[i].path);
    sl_store *store = store_for(m, files->path, files->store, "`-- store: NAME` in its first line");
    const sl__patch_file *file = one ? choose_file(m, files, count, store) : NULL;
    if (!file)
        file = files;
    *add_step(m) = (sl__step){.number = file->number,
                              .summary = file->summary,
                              .checksum = file->checksum,
                              .named = file->path,
                              .store = store,
                              .text = file->text};
}

static int by_number(const void *a, const void *b)
{
    const sl__step *x = a, *y = b;
    return x->number != y->number ? (x->number < y->number ? -1 : 1) : strcmp(x->named, y->named);
}

static void check_numbers(maker *m)
{
    unsigned next = 1;
    for (size_t i = 0; i < m->plan.count; i++) {
        const sl__step *step = &m->plan.items[i];
        if (step->number == 0)
            sl_buffer_printf(&m->wrongs, "%s has the number 0: the first patch is 1\n", step->named);
        else if (step->number < next)
            sl_buffer_printf(&m->wrongs, "%s and %s have one number\n", m->plan.items[i - 1].named,
                             step->named);
        else if (step->number > next)
            sl_buffer_printf(&m->wrongs, "there is no patch %u, but %s\n", next, step->named);
        next = step->number >= next ? step->number + 1 : next;
    }
}

sl__plan sl__plan_make(const sl_site *site, sl_stores *stores, const char *directory)
{
    maker m SL_CLEANUP(maker_done) = {.stores = stores, .files = sl__patch_files_read(site, directory)};
    for (size_t i = 0, count; i < m.files.count; i += count) {
        for (count = 1;
             i + count < m.files.count && m.files.items[i + count].number == m.files.items[i].number;)
            count++;
        add_files(&m, &m.files.items[i], count);
    }
    for (const struct sl__patch_entry *entry = stores->patches; entry; entry = entry->next)
        add_entry(&m, entry);
    if (m.plan.count)
        qsort(m.plan.items, m.plan.count, sizeof(*m.plan.items), by_number);
    check_numbers(&m);
    if (m.wrongs.size) {
        sl_error *error = sl__error_new(site, SL_ESCHEMA, "the application's patches do not fit together");
        sl_error_detail(error, m.wrongs.data, m.wrongs.size - 1);
        sl__fail_error(site,
                       sl_error_hint(error,
                                     "patches are numbered from 1 without gaps, each number once: where two "
                                     "came from two branches, give the later one the next number"));
    }
    return m.plan;
}

/* ---- What was applied ---- */

bool sl__plan_has(const sl__plan *plan, const sl_store *store)
{
    for (size_t i = 0; i < plan->count; i++)
        if (plan->items[i].store == store)
            return true;
    return false;
}

size_t sl__plan_missing(const sl__plan *plan, const sl_store *store)
{
    size_t missing = 0;
    for (size_t i = 0; i < plan->count; i++)
        missing += plan->items[i].store == store && !plan->items[i].applied;
    return missing;
}

typedef struct looking {
    const sl_site *site;
    sl_stores *stores;
    sl__plan *plan;
    sl_store *only, *store;
    sl_buffer wrongs;
} looking;

static void looking_done(looking *l)
{
    sl_buffer_done(&l->wrongs);
}

static void see_applied(const sl__asked *row, void *data)
{
    looking *l = data;
    sl__step *step = NULL;
    int64_t number = row->numbers[0];
    for (size_t i = 0; i < l->plan->count && !step; i++)
        if (l->plan->items[i].number == number && l->plan->items[i].store == l->store)
            step = &l->plan->items[i];
    if (step)
        step->applied = true;
    else if (number == SL__PATCH_MODELS)
        l->plan->from_models = true;
    else
        sl_buffer_printf(&l->wrongs, "patch %lld (%s) was applied to the store %s, and is not here\n",
                         (long long)number, row->texts[0], l->store->name);
    if (step && strcmp(step->checksum, row->texts[1]) != 0)
        sl_buffer_printf(&l->wrongs, "%s was changed after it was applied to the store %s\n", step->named,
                         l->store->name);
}

/* One that comes before another of its store that was applied can never be: it may rely on what was before
 * that. */
static void check_order(looking *l)
{
    const sl__step *last = NULL;
    for (size_t i = l->plan->count; i-- > 0;) {
        const sl__step *step = &l->plan->items[i];
        if (step->store != l->store)
            continue;
        if (step->applied && !last)
            last = step;
        else if (!step->applied && last)
            sl_buffer_printf(&l->wrongs,
                             "%s was not applied to the store %s, but %s was, which comes after it\n",
                             step->named, l->store->name, last->named);
    }
}

static void *look_at_all(void *data)
{
    looking *l = data;
    for (sl_store *store = l->stores->first; store; store = store->next) {
        bool counts = sl__plan_has(l->plan, store) || sl__store_has_models(l->stores, store);
        if (!counts || (l->only && l->only != store))
            continue;
        l->store = sl__store_named(l->site, store->name);
        if (sl__look_for(l->site, store, SL__PATCH_TABLE))
            sl__ask(l->site, store,
                    "SELECT summary, checksum, number FROM " SL__PATCH_TABLE " ORDER BY number", NULL, 2, 1,
                    see_applied, l);
        check_order(l);
    }
    return NULL;
}

sl_error *sl__plan_look(const sl_site *site, sl_stores *stores, sl__plan *plan, sl_store *only)
{
    looking l SL_CLEANUP(looking_done) = {.site = site, .stores = stores, .plan = plan, .only = only};
    for (size_t i = 0; i < plan->count; i++)
        plan->items[i].applied &= only && plan->items[i].store != only;
    sl__transact(site, "looking for patches", look_at_all, &l, &(sl_transact_options){.read_only = true});
    if (!l.wrongs.size)
        return NULL;
    sl_error *error =
        sl__error_new(site, SL_ESCHEMA, "the database and the application's patches do not belong together");
    sl_error_detail(error, l.wrongs.data, l.wrongs.size - 1);
    sl_error_hint(
        error,
        "run the version of the application that the database belongs to, or a newer one; a patch that was "
        "applied stays as it was: write the change as a new one");
    return sl__own_error(error);
}
