/* facet.c: objects made of parts.
 *
 * An object has its parts in a list, in order of addition: its own facets, and those that adapters made of
 * them. What a look-up found stands in an array by the index of the interface, so that the next one is two
 * loads. An object's own facet holds for everybody; what adapters and base interfaces had a say in holds for
 * the root's *epoch*, a number that changes with the root's adapters. */
#include "core/facet.h"
#include "core/task.h"

#include <stdlib.h>

/* ---- Parts ---- */

void sl__part_add(sl_object *object, const sl__part *part)
{
    sl__part *added = sl_malloc(sizeof *added);
    *added = *part;
    added->object = object;
    added->older = object->newest;
    *(object->newest ? &object->newest->newer : &object->oldest) = added;
    object->newest = added;
    if (added->adapter) {
        added->next_of = added->adapter->made;
        added->to_of = &added->adapter->made;
        if (added->next_of)
            added->next_of->to_of = &added->next_of;
        added->adapter->made = added;
    }
}

static void forget_look_ups(sl_object *object)
{
    if (object->known_count)
        memset(object->known, 0, object->known_count * sizeof *object->known);
}

static void unlink_part(sl__part *part)
{
    sl_object *object = part->object;
    *(part->older ? &part->older->newer : &object->oldest) = part->newer;
    *(part->newer ? &part->newer->older : &object->newest) = part->older;
    if (part->adapter) {
        *part->to_of = part->next_of;
        if (part->next_of)
            part->next_of->to_of = part->to_of;
    }
    forget_look_ups(object);
}

static sl__part *newest_made_of(const sl__part *source)
{
    sl__part *part = source->object->newest;
    while (part && part->source != source)
        part = part->older;
    return part;
}

void sl__part_free(sl__part *part)
{
    for (sl__part *made; (made = newest_made_of(part));)
        sl__part_free(made);
    unlink_part(part);
    if (part->free && part->facet)
        part->free(part->facet);
    free(part);
}

sl__part *sl__own_part(sl_object *object, const sl__kind *kind, bool extending)
{
    for (sl__part *part = object->oldest; part; part = part->newer)
        if (!part->adapter && (extending ? sl__kind_is(part->kind, kind) : part->kind == kind))
            return part;
    return NULL;
}

/* ---- Objects ---- */

sl_object *sl_object_new(const char *name)
{
    size_t size = strlen(name) + 1;
    sl_object *object = sl_calloc(1, sizeof *object + size);
    object->references = 1;
    memcpy(object->name, name, size);
    return object;
}

sl_object *sl_object_ref(sl_object *object)
{
    object->references++;
    return object;
}

sl_object *sl_object_unref(sl_object *object)
{
    if (!object)
        return NULL;
    if (object->references > 1) {
        object->references--;
        return NULL;
    }
    /* What is freed may look at the object once more: it keeps its last reference until all have gone. */
    while (object->owned) {
        sl__owned *owned = object->owned;
        sl__owned_leave(owned);
        owned->end(owned);
    }
    while (object->newest)
        sl__part_free(object->newest);
    free(object->known);
    free(object);
    return NULL;
}

void sl__object_own(sl_object *object, sl__owned *owned)
{
    owned->next = object->owned;
    owned->link = &object->owned;
    if (owned->next)
        owned->next->link = &owned->next;
    object->owned = owned;
}

void sl__owned_leave(sl__owned *owned)
{
    if (!owned->link)
        return;
    *owned->link = owned->next;
    if (owned->next)
        owned->next->link = owned->link;
    owned->link = NULL;
}

int sl__object_add_or(const sl_site *site, sl_object *object, sl_interface *interface, void *facet,
                      sl_free_fn *free_facet, sl_error **ret_error)
{
    const sl__kind *kind = sl__kind_of(interface);
    const sl__part *present = sl__own_part(object, kind, /* extending= */ false);
    if (present) {
        sl_error *error = sl__error_new(site, SL_EEXIST, "%s has a facet for %s already, added at %s:%d",
                                        object->name, kind->name, present->site->file, present->site->line);
        *ret_error = sl_error_hint(error, "remove that one first, or add this to another object");
        if (free_facet && facet)
            free_facet(facet);
        return SL_EEXIST;
    }
    sl__part_add(object, &(sl__part){.kind = kind, .facet = facet, .free = free_facet, .site = site});
    forget_look_ups(object);
    return 0;
}

int sl__object_add(const sl_site *site, sl_object *object, sl_interface *interface, void *facet,
                   sl_free_fn *free_facet)
{
    SL_AUTO_ERROR sl_error *error = NULL;
    int code = sl__object_add_or(site, object, interface, facet, free_facet, &error);
    if (code < 0)
        sl_log_to(sl_log_current(), SL_ERROR, site, "%s; the second is added at %s:%d", error->message,
                  site->file, site->line);
    return code;
}

bool sl__object_remove(sl_object *object, sl_interface *interface)
{
    sl__part *part = sl__own_part(object, sl__kind_of(interface), /* extending= */ false);
    if (part)
        sl__part_free(part);
    return part;
}

/* ---- Look-up ---- */

static void remember(sl_object *object, unsigned index, void *facet, uint64_t epoch)
{
    if (index >= object->known_count) {
        unsigned count = index + 1;
        object->known = sl_realloc(object->known, count * sizeof *object->known);
        memset(object->known + object->known_count, 0, (count - object->known_count) * sizeof *object->known);
        object->known_count = count;
    }
    object->known[index].facet = facet;
    object->known[index].epoch = epoch;
}

static __attribute__((noinline)) void *look(sl_object *object, sl_interface *interface)
{
    const sl__kind *kind = sl__kind_of(interface);
    sl__part *own = sl__own_part(object, kind, /* extending= */ false);
    if (own) {
        remember(object, kind->index, own->facet, 0);
        return own->facet;
    }
    sl_root *root = sl_root_current();
    void *facet = root ? sl__adapted(object, root, kind, /* extending= */ false) : NULL;
    if (!facet) {
        own = sl__own_part(object, kind, /* extending= */ true);
        facet = own ? own->facet : root ? sl__adapted(object, root, kind, /* extending= */ true) : NULL;
    }
    if (facet && root)
        remember(object, kind->index, facet, root->epoch);
    return facet;
}

void *sl__facet(sl_object *object, sl_interface *interface)
{
    unsigned index = __atomic_load_n(&interface->index, __ATOMIC_RELAXED);
    if (__builtin_expect(index < object->known_count, 1)) {
        const struct sl__known *known = &object->known[index];
        if (known->facet) {
            if (known->epoch == 0)
                return known->facet;
            const sl_root *root = sl_root_current();
            if (root && known->epoch == root->epoch)
                return known->facet;
        }
    }
    return look(object, interface);
}

static SL_NORETURN void none(const sl_site *site, const sl_object *object, const sl_interface *interface)
{
    sl_buffer there = {0};
    for (const sl__part *part = object->oldest; part; part = part->newer)
        sl_buffer_printf(&there, "%s%s%s", there.size ? ", " : "", part->kind->name,
                         part->adapter ? " (adapted)" : "");
    const char *are = there.size ? there.data : "nothing";
    if (!sl_task_current())
        sl__die(site, "%s has no facet for %s, but for %s", object->name, interface->name, are);
    sl_error *error = sl__error_new(site, SL_ENOENT, "%s has no facet for %s, but for %s", object->name,
                                    interface->name, are);
    sl_buffer_done(&there);
    sl_error_hint(error, "add one with sl_object_add, or an adapter to %s with sl_adapter_add",
                  interface->name);
    sl__fail_error(site, error);
}

void *sl__facet_needed(const sl_site *site, sl_object *object, sl_interface *interface)
{
    void *facet = sl__facet(object, interface);
    if (!facet)
        none(site, object, interface);
    return facet;
}

/* ---- Roots ---- */

sl_object *sl_root_object(sl_root *root)
{
    if (!root->object)
        root->object = sl_object_new(root->name);
    return root->object;
}

void *sl__provided(sl_interface *interface)
{
    sl_root *root = sl_root_current();
    return root && root->object ? sl__facet(root->object, interface) : NULL;
}
