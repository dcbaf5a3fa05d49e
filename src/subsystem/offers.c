/* offers.c: the interest of a plug-in that offers a service: the root's manager gets it, with the plug-in's
 * shared object for the children to load. */
#include <silver/subsystem.h>

static int add(sl_loaded *plugin, const sl_interest *interest, void **ret_handle, sl_error **ret_error)
{
    sl_manager *manager = sl_manager_of(sl_plugin_root(plugin));
    const char *path = sl_plugin_path(plugin);
    sl_error *error = NULL;
    if (!manager)
        error =
            sl_error_hint(sl_error_new(SL_ENOSERVICE, "the service %s cannot be offered: %s has no manager",
                                       interest->name, sl_root_name(sl_plugin_root(plugin))),
                          "make one with sl_manager_new before the plug-in is loaded");
    else if (!path)
        error =
            sl_error_hint(sl_error_new(SL_EINVAL, "the service %s cannot be offered: %s is no shared object",
                                       interest->name, sl_plugin_name(plugin)),
                          "give sl_plugin_load the path of one, which children load");
    if (error) {
        *ret_error = error;
        return error->code;
    }
    return sl_manager_offer(manager, interest->name, interest->what, path, ret_error);
}

static void withdraw(sl_loaded *plugin, const sl_interest *interest, void *handle)
{
    sl_manager *manager = sl_manager_of(sl_plugin_root(plugin));
    if (manager)
        sl_manager_withdraw(manager, interest->name);
}

const sl_interest_kind sl_offers_kind = {.name = "offers", .add = add, .remove = withdraw};
