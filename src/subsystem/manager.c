/* manager.c: the manager of a root: made, freed, drained; and the services that are offered in it. */
#include "subsystem/manager.h"
#include "subsystem/worker.h"

#include <limits.h>
#include <stdlib.h>
#include <unistd.h>

/* ---- In and out ---------------------------------------------------------------------------------------- */

static bool is_empty(const sl__served *served)
{
    return sl__slots_in(served, SL__SLOT_empty) == served->slot_count;
}

/* Those that were withdrawn and have no child any more. */
static void bury(sl_manager *manager)
{
    for (sl__served **at = &manager->going; *at;) {
        sl__served *served = *at;
        if (!is_empty(served) || served->is_dirty) {
            at = &served->next;
            continue;
        }
        *at = served->next;
        sl__served_free(served);
    }
}

static void stop_children(sl__served *served)
{
    for (unsigned i = 0; i < served->slot_count; i++)
        sl__slot_leave(served->slots[i]);
}

/* When the last call has ended the children go, and when they have gone that is told. */
static void go_on_draining(sl_manager *manager)
{
    bool empty = true;
    for (const sl__served *served = manager->going; served; served = served->next)
        empty = empty && is_empty(served);
    size_t cursor = 0;
    const char *name;
    void *value;
    while (sl_table_next(manager->services, &cursor, &name, &value)) {
        sl__served *served = value;
        if (!served->waiting && !served->running)
            stop_children(served);
        empty = empty && is_empty(served) && !served->waiting;
    }
    if (!empty || !manager->drained)
        return;
    sl_deferred *drained = manager->drained;
    manager->drained = NULL;
    sl_fire(drained, NULL, NULL);
}

static void free_memory(sl_manager *manager)
{
    sl_table_free(manager->services);
    free(manager->programs);
    free(manager->directory);
    for (char **at = manager->environment; at && *at; at++)
        free(*at);
    free(manager->environment);
    free(manager->worker);
    free(manager->python);
    free(manager->errands);
    free(manager->generations);
    free(manager->free_indices);
    sl__pool_done(&manager->pool);
    sl__due_done(manager);
    sl_buffer_done(&manager->scratch);
    sl_root_unref(manager->root);
    free(manager);
}

void sl__manager_enter(sl_manager *manager)
{
    if (manager->inside++ == 0)
        manager->now_ns = sl_monotonic_ns();
}

static void settle(sl_manager *manager)
{
    do {
        while (manager->dirty) {
            sl__served *served = manager->dirty;
            manager->dirty = served->next_dirty;
            served->is_dirty = false;
            if (!manager->closed && !served->withdrawn)
                sl__served_dispatch(served);
        }
        if (manager->draining)
            go_on_draining(manager);
    } while (manager->dirty);
    bury(manager);
}

void sl__manager_leave(sl_manager *manager)
{
    if (manager->inside == 1 && (manager->dirty || manager->going || manager->draining))
        settle(manager);
    if (--manager->inside == 0 && manager->freed)
        free_memory(manager);
}

/* ---- Services ------------------------------------------------------------------------------------------ */

static void fill_in(sl_offer *offer)
{
#define DEFAULT(name, value, unit, meaning)                                                                  \
    if (!offer->name)                                                                                        \
        offer->name = value;                                                                                 \
    else if (strcmp(unit, "ms") == 0 && offer->name > SL__LONGEST_MS)                                        \
        offer->name = SL__LONGEST_MS;
    SL_OFFER_OPTIONS(DEFAULT)
#undef DEFAULT
    if (offer->maximum > SL__CHILDREN_MAX)
        offer->maximum = SL__CHILDREN_MAX;
    if (offer->minimum > offer->maximum)
        offer->maximum = offer->minimum =
            offer->minimum < SL__CHILDREN_MAX ? offer->minimum : SL__CHILDREN_MAX;
}

static bool is_python(const char *module)
{
    size_t size = strcspn(module, "#"); /* a name in the file may follow */
    return size > 3 && memcmp(module + size - 3, ".py", 3) == 0;
}

static char *absolute(const char *path)
{
    char directory[PATH_MAX];
    if (*path == '/' || !getcwd(directory, sizeof directory))
        return sl_strdup_heap(path);
    return sl_printf_heap("%s/%s", directory, path);
}

sl__served *sl__served_new(sl_manager *manager, const char *name, const sl_offer *offer, const char *module)
{
    sl__served *served = sl_calloc(1, sizeof *served);
    served->manager = manager;
    served->name = sl_strdup_heap(name);
    served->module = absolute(module);
    served->by_name = is_python(module) || !offer->service;
    served->program = is_python(module) ? manager->python : manager->worker;
    served->offer = *offer;
    fill_in(&served->offer);
    if (served->by_name)
        served->offer.concurrency = offer->concurrency; /* 0: as many as the child says */
    served->codec = served->by_name ? &sl_codec_json : offer->codec ? offer->codec : &sl_codec_flat;
    served->codec_number = served->codec == &sl_codec_json ? SL__CODEC_JSON : SL__CODEC_FLAT;
    served->digest = offer->service ? sl_service_digest(offer->service) : 0;
    served->call_ns = UINT64_MAX;
    return served;
}

void sl__served_free(sl__served *served)
{
    for (unsigned i = 0; i < served->slot_count; i++)
        free(served->slots[i]);
    free(served->slots);
    if (served->look)
        sl__timer_stop(served->manager->loop, served->look);
    sl_error_unref(served->last_crash);
    free(served->name);
    free(served->module);
    free(served);
}

/* The first errand of a line, if it was accepted before `until_ns`: those who are told may call again. */
static sl__errand *first_before(const sl__queue *queue, uint64_t until_ns)
{
    for (unsigned i = 0; i < SL__PRIORITIES; i++) {
        sl__errand *errand = queue->lines[i].first;
        if (errand && errand->accepted_ns < until_ns)
            return errand;
    }
    return NULL;
}

static sl__errand *next_to_fail(const sl__served *served, uint64_t until_ns, bool waiting_only)
{
    sl__errand *errand = first_before(&served->queue, until_ns);
    for (unsigned i = 0; !errand && i < served->slot_count; i++) {
        errand = first_before(&served->slots[i]->queue, until_ns);
        for (sl__errand *at = waiting_only ? NULL : served->slots[i]->first; at && !errand; at = at->next)
            if (at->state != SL__ERRAND_LEFT)
                errand = at;
    }
    return errand;
}

void sl__served_fail_all(sl__served *served, sl__outcome outcome, sl_error *error, bool waiting_only)
{
    uint64_t until_ns = sl_monotonic_ns();
    for (sl__errand *errand; (errand = next_to_fail(served, until_ns, waiting_only));) {
        sl_error *copy = sl__error_copy(error);
        sl_error_hop(copy, errand->site);
        sl__errand_leave(errand, outcome, copy);
    }
    sl_error_unref(error);
}

sl__served *sl__manager_find(sl_manager *manager, const char *name)
{
    return sl_table_get(manager->services, name);
}

/* An application's own, whose names are "silver.…", are not for calling. */
sl_error *sl__no_service(const sl_site *site, const sl_manager *manager, const char *name)
{
    sl_buffer offered = {0};
    size_t cursor = 0;
    const char *each;
    void *value;
    while (manager && sl_table_next(manager->services, &cursor, &each, &value))
        if (strncmp(each, "silver.", strlen("silver.")) != 0)
            sl_buffer_printf(&offered, "%s%s", offered.size ? ", " : "; offered are: ", each);
    sl_error *error = sl__error_new(site, SL_ENOSERVICE, "nobody offers the service %s", name);
    sl_error_hint(error, "load the plug-in that does (plugins = in app.ini), or see sl_manager_offer%s",
                  offered.size ? offered.data : "");
    sl_buffer_done(&offered);
    return error;
}

int sl__served_same(const sl__served *served, unsigned version, uint64_t digest, sl_error **ret_error)
{
    const sl_service *offered = served->offer.service;
    if (!offered || (offered->version == version && served->digest == digest))
        return 0;
    if (offered->version != version)
        *ret_error = sl_error_new(SL_EPROTO, "version %u of %s was called, and %s offers version %u", version,
                                  served->name, served->module, offered->version);
    else
        *ret_error = sl_error_new(SL_EPROTO, "the caller and %s were built with different descriptions of %s",
                                  served->module, served->name);
    sl_error_hint(*ret_error, "rebuild both against the same header");
    return SL_EPROTO;
}

int sl__manager_served(sl_manager *manager, const sl_service *service, sl__served **ret_served,
                       sl_error **ret_error)
{
    struct sl__cached *cached = &manager->cache[((uintptr_t)service >> 4) % SL__CACHE_SIZE];
    if (cached->service == service && strcmp(cached->served->name, service->name) == 0) {
        *ret_served = cached->served;
        return 0;
    }
    sl__served *served = sl__manager_find(manager, service->name);
    if (!served) {
        *ret_error = sl__no_service(SL_HERE, manager, service->name);
        return SL_ENOSERVICE;
    }
    int code = sl__served_same(served, service->version, sl_service_digest(service), ret_error);
    if (code < 0)
        return code;
    *cached = (struct sl__cached){service, served};
    *ret_served = served;
    return 0;
}

/* Names stand in labels of metrics, in messages and on command lines. */
static bool is_name(const char *name)
{
    size_t size = strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-");
    return size > 0 && !name[size];
}

static int check_offer(sl_manager *manager, const char *name, const sl_offer *offer, const char *module,
                       sl_error **ret_error)
{
    int code = 0;
    if (!module)
        *ret_error = sl_error_new(code = SL_EINVAL, "%s cannot be offered: no module was named", name);
    else if (manager->closed || manager->draining)
        *ret_error = sl_error_new(code = SL_ECLOSED, "%s cannot be offered: the manager ends", name);
    else if (sl_table_get(manager->services, name))
        *ret_error = sl_error_hint(sl_error_new(code = SL_EEXIST, "%s is offered already, by %s", name,
                                                sl__manager_find(manager, name)->module),
                                   "withdraw that first, or give one of them another name");
    else if (!is_name(name))
        *ret_error = sl_error_hint(sl_error_new(code = SL_EINVAL, "\"%s\" is no name for a service", name),
                                   "take letters, digits, _, . and -");
    else if (offer->service && strcmp(offer->service->name, name) != 0)
        *ret_error = sl_error_new(code = SL_EINVAL, "the service %s cannot be offered as %s",
                                  offer->service->name, name);
    return code;
}

int sl_manager_offer(sl_manager *manager, const char *name, const sl_offer *offer, const char *module,
                     sl_error **ret_error)
{
    int code = check_offer(manager, name, offer, module, ret_error);
    bool python = code == 0 && is_python(module);
    char **program = python ? &manager->python : &manager->worker;
    if (code == 0 && !*program)
        code = sl__program_find(manager->programs, python ? "silver-python" : "silver-worker", program,
                                ret_error);
    if (code < 0)
        return code;
    sl__served *served = sl__served_new(manager, name, offer, module);
    sl_table_set(manager->services, name, served);
    sl__manager_enter(manager);
    sl__served_touch(served); /* the minimum is started */
    sl__manager_leave(manager);
    return 0;
}

static void fail_waiters(sl__served *served, const sl_error *error)
{
    while (served->waiters) {
        sl_deferred *deferred = served->waiters->deferred;
        sl__waiter_free(served->waiters);
        sl_fire_error(deferred, sl__error_copy(error));
    }
}

void sl_manager_withdraw(sl_manager *manager, const char *name)
{
    sl__served *served = sl__manager_find(manager, name);
    if (!served)
        return;
    sl__manager_enter(manager);
    memset(manager->cache, 0, sizeof manager->cache);
    sl_table_remove(manager->services, name);
    served->withdrawn = true;
    served->next = manager->going;
    manager->going = served;
    if (served->look)
        sl__timer_stop(manager->loop, served->look);
    served->look = NULL;
    sl_error *error = sl_error_new(SL_ECLOSED, "the service %s was withdrawn", served->name);
    fail_waiters(served, error);
    sl__served_fail_all(served, SL__OUTCOME_closed, error, /* waiting_only= */ false);
    for (unsigned i = 0; i < served->slot_count; i++) {
        sl__slot *slot = served->slots[i];
        if (slot->running || slot->state == SL__SLOT_starting)
            sl__slot_end(slot, "its service was withdrawn");
        else
            sl__slot_leave(slot);
    }
    sl__manager_leave(manager);
}

/* ---- The manager ------------------------------------------------------------------------------------- */

static char **copy_strings(char *const *strings)
{
    size_t count = 0;
    while (strings && strings[count])
        count++;
    if (!strings)
        return NULL;
    char **copy = sl_calloc(count + 1, sizeof *copy);
    for (size_t i = 0; i < count; i++)
        copy[i] = sl_strdup_heap(strings[i]);
    return copy;
}

static void on_loop_ends(void *data)
{
    struct at_exit_guard *guard = data;
    sl_manager_free(guard->manager);
    free(guard);
}

int sl_manager_new(sl_root *root, const sl_manager_options *options, sl_manager **ret_manager)
{
    sl_loop *loop = sl_loop_current();
    if (!loop)
        return SL_ENOTASK;
    sl_manager *manager = sl_calloc(1, sizeof *manager);
    sl__caller_init(&manager->caller);
    int code = sl_object_add(sl_root_object(root), sl_caller, &manager->caller, NULL);
    if (code < 0) {
        free(manager);
        return code;
    }
    manager->loop = loop;
    manager->root = sl_root_ref(root);
    manager->services = sl_table_new(NULL);
    if (options) {
        manager->programs = options->programs ? absolute(options->programs) : NULL;
        manager->directory = options->directory ? sl_strdup_heap(options->directory) : NULL;
        manager->environment = copy_strings(options->environment);
    }
    manager->guard = sl_malloc(sizeof *manager->guard);
    manager->guard->manager = manager;
    sl__loop_at_exit(loop, on_loop_ends, manager->guard);
    *ret_manager = manager;
    return 0;
}

sl_manager *sl_manager_of(sl_root *root)
{
    SL_IN_ROOT(root);
    struct sl_caller *caller = sl_provided(sl_caller);
    return sl__caller_manager(caller);
}

static void end_slot(sl__slot *slot)
{
    if (!slot->child)
        return;
    sl__child *child = slot->child;
    slot->upcalls = sl__upcalls_end(slot->upcalls);
    slot->child = NULL;
    slot->state = SL__SLOT_empty;
    sl__child_free(child);
    while (slot->first) /* only those that were left */
        sl__errand_end(slot->first, SL__OUTCOME_closed, NULL);
    for (unsigned i = 0; i < slot->method_count; i++)
        free(slot->methods[i]);
    free(slot->methods);
    slot->methods = NULL;
    slot->method_count = 0;
}

static void kill_slot(sl__slot *slot)
{
    if (slot->child)
        sl__child_kill(slot->child, "its manager was freed");
}

static void for_each_slot(sl_manager *manager, void (*function)(sl__slot *slot))
{
    for (sl__served *served = manager->going; served; served = served->next)
        for (unsigned i = 0; i < served->slot_count; i++)
            function(served->slots[i]);
}

static void withdraw_all(sl_manager *manager)
{
    for (;;) {
        size_t cursor = 0;
        const char *name;
        void *value;
        if (!sl_table_next(manager->services, &cursor, &name, &value))
            break;
        sl_manager_withdraw(manager, ((sl__served *)value)->name);
    }
}

sl_manager *sl_manager_free(sl_manager *manager)
{
    if (!manager || manager->closed)
        return NULL;
    sl__manager_enter(manager);
    manager->closed = true;
    manager->guard->manager = NULL;
    sl_object_remove(sl_root_object(manager->root), sl_caller);
    withdraw_all(manager);
    for_each_slot(manager, kill_slot); /* all at once, so that they are waited for together */
    for_each_slot(manager, end_slot);
    if (manager->drained)
        sl_abandon(manager->drained);
    manager->drained = NULL;
    manager->freed = true;
    sl__manager_leave(manager);
    return NULL;
}

static sl_cancelled drain_forgotten(sl_deferred *deferred, void *data)
{
    ((sl_manager *)data)->drained = NULL;
    return SL_CANCEL_DONE;
}

sl_deferred *sl_manager_drain(sl_manager *manager)
{
    if (manager->drained)
        return sl_failing(sl_error_new(SL_EBUSY, "the manager is being drained already"));
    manager->draining = true;
    sl_deferred *drained = manager->drained = sl_deferred_new(drain_forgotten, manager);
    sl__manager_enter(manager);
    sl__manager_leave(manager);
    return drained;
}
