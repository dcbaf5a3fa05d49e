/* context.h: the inside of contexts and roots.
 *
 * A context is an immutable frame: one key's value on top of the parent's, with the values of all captured
 * keys flattened into an array, so that a look-up is one load and capturing is one increment. A root's first
 * frame is embedded in the root, and references to that frame are what keeps the root. */
#pragma once

#include "core/loop.h"

struct sl_context {
    unsigned references;
    unsigned count;
    sl_context *parent;
    sl_root *root;
    sl_key *key;  /* what this frame set, */
    void *value;  /* holding a reference if the key has one to take */
    void **slots; /* by key index; the first `count` */
};

struct sl_root {
    sl_context base;
    sl_loop *loop;
    sl_root *next; /* of the loop's */
    char *name;
    void **slots; /* of the rooted keys */
    unsigned count;
    sl_key **keys;
    sl_logger *logger;
    sl_object *object;            /* what it provides; NULL until somebody asks */
    struct sl__adapter *adapters; /* in order of registration */
    uint64_t epoch;               /* changes with them */
    sl_loaded *plugins, *last_plugin;
    sl_table *channels;
    sl_channel *idle, *last_idle; /* channels that nobody listens to, the one idle for longest first */
    size_t idle_count;
    sl_table *sticky; /* the names of the sticky events that were seen */
    sl_bus_forward_fn *forward;
    void (*hear)(void *data, const char *channel, bool begins); /* or NULL: see sl__bus_hear */
    void *forward_data;
};

static inline sl_context *sl__context_ref(sl_context *context)
{
    if (context)
        context->references++;
    return context;
}
void sl__context_free(sl_context *context);
static inline void sl__context_unref(sl_context *context)
{
    if (context && --context->references == 0)
        sl__context_free(context);
}

/* Gives back the loop's own references when it ends. */
void sl__context_done(sl_loop *loop);
/* Unloads the plug-ins of all roots, while their tasks can still run. */
void sl__roots_unload(sl_loop *loop);
/* plugin.c: unloads the root's plug-ins. */
void sl__plugins_unload(sl_root *root);
/* channel.c: the channels of a root that goes. */
void sl__channels_free(sl_root *root);
