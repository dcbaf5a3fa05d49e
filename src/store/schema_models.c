/* schema_models.c: which models a store has, in what order their tables are made, and with which indexes. */
#include "store/schema.h"

#include <stdio.h>

/* ---- Which models ---- */

static SL_NORETURN void no_store(const sl_site *site, const sl_model *model, const char *first)
{
    sl__fail_error(
        site, sl_error_hint(sl__error_new(site, SL_ECONFIG,
                                          "there are several stores, and the model %s is in none of them",
                                          model->name),
                            "say which: SL_MODEL(%s, …, .store = \"%s\")", model->name, first));
}

static bool is_in(const sl_site *site, const sl_store *store, const sl_model *model)
{
    const sl_stores *stores = store->stores;
    if (model->store)
        return strcmp(model->store, store->name) == 0;
    if (stores->first->next)
        no_store(site, model, stores->first->name);
    return true;
}

bool sl__store_has_models(const sl_stores *stores, const sl_store *store)
{
    for (size_t i = 0; i < stores->model_count; i++)
        if (is_in(SL_HERE, store, stores->models[i]))
            return true;
    return false;
}

/* ---- Their order ---- */

/* A walk in depth: each model is put down after those that it refers to. One that is met again while it waits
 * for those is in a loop, and the reference to it is made later. */
typedef struct walk {
    const sl_site *site;
    const sl_store *store;
    sl__wanted_list list;
    size_t room;
    struct visited {
        unsigned model; /* its number */
        bool done;
    } * visited;
    size_t visited_count, visited_room;
} walk;

static struct visited *find_visited(walk *w, unsigned model)
{
    for (size_t i = 0; i < w->visited_count; i++)
        if (w->visited[i].model == model)
            return &w->visited[i];
    return NULL;
}

static void add_visited(walk *w, unsigned model)
{
    if (w->visited_count == w->visited_room) {
        w->visited_room = w->visited_room ? 2 * w->visited_room : 32;
        struct visited *more = sl_alloc(w->visited_room * sizeof(*more));
        if (w->visited_count)
            memcpy(more, w->visited, w->visited_count * sizeof(*more));
        w->visited = more;
    }
    w->visited[w->visited_count++] = (struct visited){.model = model};
}

static void add_wanted(walk *w, const sl__wanted *wanted)
{
    if (w->list.count == w->room) {
        w->room = w->room ? 2 * w->room : 32;
        sl__wanted *more = sl_alloc(w->room * sizeof(*more));
        if (w->list.count)
            memcpy(more, w->list.items, w->list.count * sizeof(*more));
        w->list.items = more;
    }
    w->list.items[w->list.count++] = *wanted;
}

static void visit(walk *w, sl_model *model)
{
    unsigned number = sl__model_number(model);
    if (find_visited(w, number))
        return;
    add_visited(w, number);
    sl__wanted wanted = {.model = model, .info = sl__model_info_of(w->site, model)};
    for (unsigned i = 0; i < model->column_count; i++) {
        if (!(wanted.info->refers >> i & 1))
            continue;
        sl_model *target = model->columns[i].refers();
        if (!is_in(w->site, w->store, target))
            continue;
        uint64_t bit = UINT64_C(1) << i;
        wanted.references |= bit;
        visit(w, target);
        const struct visited *met = find_visited(w, sl__model_number(target));
        if (!met->done && met->model != number)
            wanted.late |= bit;
    }
    find_visited(w, number)->done = true;
    add_wanted(w, &wanted);
}

sl__wanted_list sl__wanted_of(const sl_site *site, const sl_store *store)
{
    walk w = {.site = site, .store = store};
    const sl_stores *stores = store->stores;
    for (size_t i = 0; i < stores->model_count; i++)
        if (is_in(site, store, stores->models[i]))
            visit(&w, stores->models[i]);
    return w.list;
}

/* ---- Indexes ---- */

static unsigned column_named(const sl_site *site, const sl_model *model, sl_view name, const char *names)
{
    for (unsigned i = 0; i < model->column_count; i++)
        if (sl_view_equal(sl_view_of(model->columns[i].name), name))
            return i;
    sl__fail_error(site, sl_error_hint(sl__error_new(site, SL_EINVAL,
                                                     "model %s: an index is of \"%s\", and \"%.*s\" is no "
                                                     "column",
                                                     model->name, names, (int)name.size, name.data),
                                       "write the names of columns, with commas between"));
}

static void parse_columns(const sl_site *site, const sl_model *model, const char *names,
                          sl__wanted_index *index)
{
    for (const char *at = names;; at++) {
        size_t size = strcspn(at, ",");
        sl_view name = sl_view_trim((sl_view){at, size}, " \t\n");
        unsigned column = column_named(site, model, name, names);
        for (unsigned i = 0; i < index->count; i++)
            if (index->columns[i] == column)
                sl__fail(site, SL_EINVAL, "model %s: an index is of \"%s\", which names %s twice",
                         model->name, names, model->columns[column].name);
        index->columns[index->count++] = column;
        at += size;
        if (!*at)
            return;
    }
}

/* "person_employer_born_idx"; where that is longer than PostgreSQL's names, with a number in place of its
 * end. */
static const char *index_name(const sl_model *model, const sl__wanted_index *index)
{
    enum { NAME_MAX_BYTES = 63, KEPT = 50 };
    char *name = sl_printf("%s", sl__model_table(model));
    for (unsigned i = 0; i < index->count; i++)
        name = sl_printf("%s_%s", name, model->columns[index->columns[i]].name);
    if (strlen(name) + 4 <= NAME_MAX_BYTES)
        return sl_printf("%s_idx", name);
    uint32_t hash = 2166136261u; /* FNV-1a */
    for (const char *at = name; *at; at++)
        hash = (hash ^ (uint8_t)*at) * 16777619u;
    return sl_printf("%.*s_%08x_idx", KEPT, name, (unsigned)hash);
}

static bool same_columns(const sl__wanted_index *a, const sl__wanted_index *b)
{
    return a->count == b->count && memcmp(a->columns, b->columns, a->count * sizeof(a->columns[0])) == 0;
}

static void add_index(sl__wanted_indexes *list, const sl_model *model, const sl__wanted_index *index)
{
    for (unsigned i = 0; i < list->count; i++)
        if (same_columns(&list->items[i], index)) {
            list->items[i].unique |= index->unique;
            return;
        }
    list->items[list->count] = *index;
    list->items[list->count++].name = index_name(model, index);
}

/* Whether rows with a value of the column are found without another index. */
static bool leads(const sl__wanted *wanted, const sl__wanted_indexes *list, unsigned column)
{
    for (unsigned i = 0; i < list->count; i++)
        if (list->items[i].columns[0] == column)
            return true;
    return wanted->info->key_count && wanted->info->keys[0] == column;
}

const sl__wanted_indexes *sl__wanted_indexes_of(const sl_site *site, const sl__wanted *wanted)
{
    const sl_model *model = wanted->model;
    sl__wanted_indexes *list = sl_zalloc(sizeof(*list));
    for (unsigned i = 0; i < model->column_count; i++)
        if (model->columns[i].unique && !(wanted->info->key_count == 1 && model->columns[i].primary_key))
            add_index(list, model,
                      &(sl__wanted_index){.count = 1, .columns = {i}, .unique = true, .inside = true});
    for (size_t i = 0; i < SL__MODEL_INDEXES; i++) {
        const sl_index *said = sl__model_index(model, i);
        sl__wanted_index index = {.unique = said->unique};
        if (!said->columns)
            continue;
        parse_columns(site, model, said->columns, &index);
        add_index(list, model, &index);
    }
    for (unsigned i = 0; i < model->column_count; i++)
        if (wanted->references >> i & 1 && !leads(wanted, list, i))
            add_index(list, model, &(sl__wanted_index){.count = 1, .columns = {i}});
    return list;
}
