/* adapter.c: what makes facets of other facets.
 *
 * A root's adapters stand in a list, in order of registration, which is the order in which they are asked.
 * What one makes becomes a part of the object, and is kept while the object, the facet that it was made of
 * and the adapter are there. An adapter may look at the object, for the same interface too: it is not asked
 * again inside its own call. */
#include "core/facet.h"

#include <stdatomic.h>
#include <stdlib.h>

uint64_t sl__next_epoch(void)
{
    static _Atomic uint64_t last_epoch; /* of the process: an object may be seen from several roots */
    return atomic_fetch_add_explicit(&last_epoch, 1, memory_order_relaxed) + 1;
}

static sl__adapter **find(sl_root *root, const sl__kind *from, const sl__kind *to)
{
    sl__adapter **at = &root->adapters;
    while (*at && ((*at)->from != from || (*at)->to != to))
        at = &(*at)->next;
    return at;
}

int sl__adapter_add_or(const sl_site *site, sl_root *root, sl_interface *from, sl_interface *to,
                       sl_adapt_fn *adapt, sl_free_fn *free_facet, sl_error **ret_error)
{
    const sl__kind *source = sl__kind_of(from), *target = sl__kind_of(to);
    sl__adapter **at = find(root, source, target);
    if (*at) {
        sl_error *error =
            sl__error_new(site, SL_EEXIST, "%s has an adapter from %s to %s already, added at %s:%d",
                          root->name, source->name, target->name, (*at)->site->file, (*at)->site->line);
        *ret_error = sl_error_hint(error, "remove that one first");
        return SL_EEXIST;
    }
    sl__adapter *adapter = sl_malloc(sizeof *adapter);
    *adapter = (sl__adapter){.root = root,
                             .from = source,
                             .to = target,
                             .adapt = adapt,
                             .free = free_facet,
                             .site = site,
                             .references = 1};
    *at = adapter;
    root->epoch = sl__next_epoch();
    return 0;
}

int sl__adapter_add(const sl_site *site, sl_root *root, sl_interface *from, sl_interface *to,
                    sl_adapt_fn *adapt, sl_free_fn *free_facet)
{
    SL_AUTO_ERROR sl_error *error = NULL;
    int code = sl__adapter_add_or(site, root, from, to, adapt, free_facet, &error);
    if (code < 0)
        sl_log_to(sl_log_current(), SL_ERROR, site, "%s; the second is added at %s:%d", error->message,
                  site->file, site->line);
    return code;
}

static void adapter_unref(sl__adapter *adapter)
{
    if (--adapter->references == 0)
        free(adapter);
}

static void take_away(sl__adapter **at)
{
    sl__adapter *adapter = *at;
    *at = adapter->next;
    adapter->root->epoch = sl__next_epoch();
    adapter->root = NULL;
    while (adapter->made)
        sl__part_free(adapter->made);
    adapter_unref(adapter);
}

bool sl__adapter_remove(sl_root *root, sl_interface *from, sl_interface *to)
{
    sl__adapter **at = find(root, sl__kind_of(from), sl__kind_of(to));
    if (!*at)
        return false;
    take_away(at);
    return true;
}

void sl__adapters_free(sl_root *root)
{
    while (root->adapters)
        take_away(&root->adapters);
}

static sl__part *made_for(sl__adapter *adapter, const sl_object *object)
{
    sl__part *part = object->newest;
    while (part && part->adapter != adapter)
        part = part->older;
    return part;
}

static void call_begin(sl__adapting *call)
{
    call->outer = call->adapter->calls;
    call->adapter->calls = call;
    call->adapter->references++; /* it may be removed meanwhile */
}

static void call_end(sl__adapting *call)
{
    call->adapter->calls = call->outer;
    adapter_unref(call->adapter);
}

static bool being_called(const sl__adapter *adapter, const sl_object *object)
{
    const sl__adapting *call = adapter->calls;
    while (call && call->object != object)
        call = call->outer;
    return call;
}

/* Lets the adapter make its facet. */
static void *make(sl__adapter *adapter, sl_object *object)
{
    sl__part *source = sl__own_part(object, adapter->from, /* extending= */ false);
    if (!source)
        source = sl__own_part(object, adapter->from, /* extending= */ true);
    if (!source || being_called(adapter, object))
        return NULL;
    SL_CLEANUP(call_end) sl__adapting call = {.adapter = adapter, .object = object};
    call_begin(&call);
    const sl__kind *kind = source->kind;
    void *facet = adapter->adapt(source->facet, object);
    bool stays = adapter->root && sl__own_part(object, kind, /* extending= */ false) == source;
    if (facet && stays) {
        sl__part_add(object, &(sl__part){.kind = adapter->to,
                                         .facet = facet,
                                         .free = adapter->free,
                                         .site = adapter->site,
                                         .adapter = adapter,
                                         .source = source});
    } else if (facet && adapter->free) {
        adapter->free(facet);
    }
    return stays ? facet : NULL;
}

void *sl__adapted(sl_object *object, sl_root *root, const sl__kind *kind, bool extending)
{
    for (sl__adapter *adapter = root->adapters; adapter; adapter = adapter->next) {
        if (extending ? !sl__kind_is(adapter->to, kind) : adapter->to != kind)
            continue;
        const sl__part *made = made_for(adapter, object);
        uint64_t epoch = root->epoch;
        void *facet = made ? made->facet : make(adapter, object);
        if (facet)
            return facet;
        if (root->epoch != epoch) /* it changed the list that this walks */
            return NULL;
    }
    return NULL;
}
