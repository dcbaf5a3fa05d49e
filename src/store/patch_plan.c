/* patch_plan.c: which patches an application has, and which of them a database has seen.
 *
 * Numbers run from 1 without gaps over all stores, so that who merges two lines of work meets the question
 * which comes first. What a database says that it has seen must be what is here: a patch that was changed
 * since, or that is not here, means that this is not the application that made it what it is. */
#include "store/schema.h"

#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

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
    bool numbers, names; /* what is wrong: numbers, or names of stores */
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

/* All stores, each between these words: "`-- store: a`, `-- store: b` or `-- store: c`". */
static void put_stores(maker *m, const char *before, const char *after, const char *last)
{
    for (const sl_store *store = m->stores->first; store; store = store->next)
        sl_buffer_printf(&m->wrongs, "%s%s%s%s",
                         store == m->stores->first ? ""
                         : store->next             ? ", "
                                                   : last,
                         before, store->name, after);
}

/* The store that a patch is for; or NULL, and what is wrong was told. `how`, and each store's name between
 * two words, are what to do where it is not said. */
static sl_store *store_for(maker *m, const char *named, const char *store, const char *how,
                           const char *before, const char *after)
{
    sl_store *found = m->stores->first;
    while (found && store && strcmp(found->name, store) != 0)
        found = found->next;
    if (found && (store || !found->next))
        return found;
    if (store) {
        sl_buffer_printf(&m->wrongs, "%s is for the store %s, which is not there: there %s ", named, store,
                         m->stores->first->next ? "are" : "is only");
        put_stores(m, "", "", " and ");
    } else {
        sl_buffer_printf(&m->wrongs, "%s does not say for which store it is: %s", named, how);
        put_stores(m, before, after, " or ");
    }
    sl_buffer_putc(&m->wrongs, '\n');
    m->names = true;
    return NULL;
}

static void add_entry(maker *m, const struct sl__patch_entry *entry)
{
    const char *named = sl_printf("patch %u (%s:%d)", entry->number, entry->site->file, entry->site->line);
    const char *said = sl_printf("%u %s", entry->number, entry->summary);
    char *checksum = sl_alloc(SL__PATCH_CHECKSUM_SIZE);
    sl__patch_checksum(said, strlen(said), checksum);
    *add_step(m) =
        (sl__step){.number = entry->number,
                   .summary = entry->summary,
                   .checksum = checksum,
                   .named = named,
                   .store = store_for(m, named, entry->store, "", "sl_patch(…, .store = \"", "\")"),
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
        sl_buffer_printf(
            &m->wrongs, "%s has no file beside it for the store %s: write schema/%03u-%s.%s.sql\n",
            files->path, store->name, files->number, files->summary, dialect_name(store->dialect));
    return NULL;
}

static void add_files(maker *m, const sl__patch_file *files, size_t count)
{
    bool one = are_one(files, count);
    for (size_t i = 1; i < count && !one; i++)
        sl_buffer_printf(&m->wrongs, "%s and %s have one number\n", files[0].path, files[i].path);
    m->numbers |= !one;
    sl_store *store = store_for(m, files->path, files->store, "begin it with ", "`-- store: ", "`");
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

static void check_numbers(maker *m, bool gaps)
{
    unsigned next = 1;
    for (size_t i = 0; i < m->plan.count; i++) {
        const sl__step *step = &m->plan.items[i];
        m->numbers |= step->number < next || (step->number > next && !gaps);
        if (step->number == 0)
            sl_buffer_printf(&m->wrongs, "%s has the number 0: the first patch is 1\n", step->named);
        else if (step->number < next)
            sl_buffer_printf(&m->wrongs, "%s and %s have one number\n", m->plan.items[i - 1].named,
                             step->named);
        else if (step->number > next && !gaps)
            sl_buffer_printf(&m->wrongs, "there is no patch %u, but %s\n", next, step->named);
        next = step->number >= next ? step->number + 1 : next;
    }
}

static SL_NORETURN void fail_together(const sl_site *site, const maker *m, sl_error *error)
{
    if (m->numbers || m->names)
        sl_error_hint(error, "%s%s%s",
                      m->numbers
                          ? "patches are numbered from 1 without gaps, each number once: where two came "
                            "from two branches, give the later one the next number"
                          : "",
                      m->numbers && m->names ? ". " : "",
                      m->names ? "`service.sqlite` in app.ini is the store sqlite, `service.sqlite.NAME` the "
                                 "store NAME, `service.postgres` the store postgres"
                               : "");
    sl__fail_error(site, error);
}

sl__plan sl__plan_make_of(const sl_site *site, sl_stores *stores, const char *directory, bool functions)
{
    maker m SL_CLEANUP(maker_done) = {
        .stores = stores, .files = sl__patch_files_read(site, directory), .plan.directory = directory};
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
    check_numbers(&m, /* gaps= */ functions);
    if (m.wrongs.size) {
        sl_error *error = sl__error_new(site, SL_ESCHEMA, "the application's patches do not fit together");
        sl_error_detail(error, m.wrongs.data, m.wrongs.size - 1);
        fail_together(site, &m, error);
    }
    return m.plan;
}

sl__plan sl__plan_make(const sl_site *site, sl_stores *stores, const char *directory)
{
    return sl__plan_make_of(site, stores, directory, /* functions= */ false);
}

const char *sl__plan_directory(const sl__plan *plan)
{
    return plan->directory ? plan->directory : ".";
}

const char *sl__plan_next(const sl__plan *plan)
{
    unsigned last = plan->count ? plan->items[plan->count - 1].number : 0;
    return sl_printf("schema/%03u-what-it-does.sql", last + 1);
}

const char *sl__store_option(const sl_store *store)
{
    return store->stores->first->next ? sl_printf("--store %s ", store->name) : "";
}

/* ---- What was applied ---- */

bool sl__plan_has(const sl__plan *plan, const sl_store *store)
{
    for (size_t i = 0; i < plan->count; i++)
        if (plan->items[i].store == store)
            return true;
    return false;
}

/* Whether a statement makes the table or view, or gives it its name. */
static bool statement_makes(sl__dialect dialect, const char *sql, const char *table)
{
    sl__sql_reader reader = sl__sql_read(dialect, sl_view_of(sql));
    bool creates = false, makes = false, names = false;
    for (unsigned i = 0;; i++) {
        sl__sql_token token = sl__sql_next(&reader);
        if (token.kind == SL__SQL_END || token.kind == SL__SQL_BROKEN)
            return makes && names;
        if (i == 0 && sl__sql_is(&token, "DO"))
            return true; /* whatever its text does */
        creates |= i == 0 && sl__sql_is(&token, "CREATE");
        makes |= creates && i < 5 && (sl__sql_is(&token, "TABLE") || sl__sql_is(&token, "VIEW"));
        makes |= sl__sql_is(&token, "RENAME");
        if (token.kind == SL__SQL_WORD || token.kind == SL__SQL_NAME)
            names |= strcasecmp(sl__sql_unquoted(&token, sl_task_arena()), table) == 0;
    }
}

bool sl__plan_makes(const sl__plan *plan, const sl_store *store, const char *table)
{
    for (size_t i = 0; i < plan->count; i++) {
        const sl__step *step = &plan->items[i];
        sl__sql_parts parts;
        unsigned line;
        if (step->store != store)
            continue;
        if (step->fn)
            return true;
        sl_error *error = sl__sql_split(store->dialect, step->text, sl_task_arena(), &parts, &line);
        sl_error_unref(error); /* that is told when it is applied */
        for (size_t k = 0; !error && k < parts.count; k++)
            if (statement_makes(store->dialect, parts.items[k].text, table))
                return true;
    }
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
    bool changed, unknown, late; /* what is wrong */
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
    if (!step && number != SL__PATCH_MODELS) {
        l->unknown = true;
        sl_buffer_printf(&l->wrongs, "patch %lld (%s) was applied to the store %s, and is not here\n",
                         (long long)number, row->texts[0], l->store->name);
    }
    if (step && strcmp(step->checksum, row->texts[1]) != 0) {
        l->changed = true;
        sl_buffer_printf(&l->wrongs, "%s was changed after it was applied to the store %s\n", step->named,
                         l->store->name);
    }
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
        if (step->applied || !last)
            continue;
        l->late = true;
        sl_buffer_printf(&l->wrongs, "%s was not applied to the store %s, but %s was, which comes after it\n",
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

static const char *what_to_do(const looking *l)
{
    const char *next = sl__plan_next(l->plan);
    if (!l->changed && !l->unknown)
        return sl_printf("a patch that comes late gets the next number: call it %s", next);
    return sl_printf(
        "run the version of the application that the database belongs to, or a newer one%s%s%s",
        l->changed ? "; a patch that was applied stays as it was: write the change as a new one, " : "",
        l->changed ? next : "", l->late ? "; one that comes late gets the next number" : "");
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
    return sl__own_error(sl_error_hint(error, "%s", what_to_do(&l)));
}
