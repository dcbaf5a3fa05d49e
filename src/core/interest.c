/* interest.c: what plug-ins may be interested in, of what the core has. */
#include "core/plugin.h"

/* ---- Events ---- */

static int listen_add(sl_loaded *plugin, const sl_interest *interest, void **ret_handle, sl_error **ret_error)
{
    const sl_listens *what = interest->what;
    sl_listen_options options = what->options;
    options.owner = *ret_handle =
        sl_object_new(interest->name); /* the listener is there for as long as this */
    sl__listener_new(interest->site, sl_channel_get(plugin->root, interest->name), what->event,
                     what->function, plugin, &options, SL__OWNER_ROOT);
    return 0;
}

static void listen_remove(sl_loaded *plugin, const sl_interest *interest, void *handle)
{
    sl_object_unref(handle);
}

SL_API const sl_interest_kind sl_listens_kind = {"listens to", listen_add, listen_remove};

/* ---- Facets and adapters ---- */

static int provide_add(sl_loaded *plugin, const sl_interest *interest, void **ret_handle,
                       sl_error **ret_error)
{
    const sl_provides *what = interest->what;
    return sl__object_add_or(interest->site, sl_root_object(plugin->root), what->interface,
                             (void *)what->facet,
                             /* free_facet= */ NULL, ret_error);
}

static void provide_remove(sl_loaded *plugin, const sl_interest *interest, void *handle)
{
    const sl_provides *what = interest->what;
    sl__object_remove(sl_root_object(plugin->root), what->interface);
}

SL_API const sl_interest_kind sl_provides_kind = {"provides", provide_add, provide_remove};

static int adapt_add(sl_loaded *plugin, const sl_interest *interest, void **ret_handle, sl_error **ret_error)
{
    const sl_adapts *what = interest->what;
    return sl__adapter_add_or(interest->site, plugin->root, what->from, what->to, what->adapt,
                              what->free_facet, ret_error);
}

static void adapt_remove(sl_loaded *plugin, const sl_interest *interest, void *handle)
{
    const sl_adapts *what = interest->what;
    sl__adapter_remove(plugin->root, what->from, what->to);
}

SL_API const sl_interest_kind sl_adapts_kind = {"adapts", adapt_add, adapt_remove};

/* ---- What is called ---- */

SL_API const sl_interest_kind sl_starts_kind = {"starts with", NULL, NULL};
SL_API const sl_interest_kind sl_stops_kind = {"stops with", NULL, NULL};

static const sl_interest *find_command(sl_root *root, const char *name)
{
    const sl_loaded *plugin = root->plugins;
    const sl_interest *interest;
    for (size_t at = 0; (interest = sl__interest_next(&plugin, &at, &sl_command_kind));)
        if (strcmp(((const sl_command *)interest->what)->name, name) == 0)
            return interest;
    return NULL;
}

static int command_add(sl_loaded *plugin, const sl_interest *interest, void **ret_handle,
                       sl_error **ret_error)
{
    const sl_interest *present = find_command(plugin->root, interest->name);
    if (!present)
        return 0;
    sl_error *error =
        sl__error_new(interest->site, SL_EEXIST, "%s has a command of this name already, added at %s:%d",
                      plugin->root->name, present->site->file, present->site->line);
    *ret_error = sl_error_hint(error, "rename one of the two");
    return SL_EEXIST;
}

SL_API const sl_interest_kind sl_command_kind = {"has command", command_add, NULL};

const sl_command *sl_command_get(sl_root *root, const char *name)
{
    const sl_interest *interest = find_command(root, name);
    return interest ? interest->what : NULL;
}

const sl_command *sl_command_at(sl_root *root, size_t i)
{
    const sl_loaded *plugin = root->plugins;
    const sl_interest *interest = NULL;
    size_t at = 0;
    do
        interest = sl__interest_next(&plugin, &at, &sl_command_kind);
    while (interest && i--);
    return interest ? interest->what : NULL;
}
