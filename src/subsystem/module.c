/* module.c: the shared objects that do a service's work. */
#include "subsystem/module.h"
#include "subsystem/method.h"

#include <dlfcn.h>

/* The kind's name: each copy of the library has a kind of its own. */
#define OFFERS "offers"

const sl_offer *sl__plugin_offer(const sl_plugin *plugin, const char *service)
{
    for (size_t i = 0; i < plugin->interest_count; i++) {
        const sl_interest *interest = &plugin->interests[i];
        if (strcmp(interest->kind->name, OFFERS) == 0 && strcmp(interest->name, service) == 0)
            return interest->what;
    }
    return NULL;
}

static int refuse(sl_error **ret_error, sl_error *error)
{
    *ret_error = error;
    return error->code;
}

static int find_descriptor(const char *path, const sl_plugin **ret_plugin, sl_error **ret_error)
{
    void *module = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!module) {
        sl_error *error = sl_error_new(SL_EFAILED, "the module %s cannot be loaded: %s", path, dlerror());
        return refuse(ret_error, sl_error_hint(error,
                                               "it must be a shared object for this machine, with all that "
                                               "it needs: see ldd %s",
                                               path));
    }
    const sl_plugin *plugin = dlsym(module, "sl_plugin_descriptor");
    if (!plugin) {
        sl_error *error =
            sl_error_new(SL_EFAILED, "the module %s is no plug-in: it has no sl_plugin_descriptor", path);
        return refuse(ret_error,
                      sl_error_hint(error, "declare one with SL_PLUGIN(name, SL_OFFERS(service, &methods))"));
    }
    if (plugin->abi != SL_PLUGIN_ABI) {
        sl_error *error = sl_error_new(
            SL_EPROTO,
            "the module %s was built for another libsilver: its plug-in ABI is %u, and %u is needed", path,
            plugin->abi, SL_PLUGIN_ABI);
        return refuse(ret_error, sl_error_hint(error, "build it anew with the headers that are installed"));
    }
    *ret_plugin = plugin;
    return 0;
}

static int refuse_service(const char *path, const sl_plugin *plugin, const char *service,
                          sl_error **ret_error)
{
    sl_buffer offered = {0};
    for (size_t i = 0; i < plugin->interest_count; i++)
        if (strcmp(plugin->interests[i].kind->name, OFFERS) == 0)
            sl_buffer_printf(&offered, "%s%s", offered.size ? ", " : "", plugin->interests[i].name);
    sl_error *error =
        sl_error_new(SL_ENOSERVICE, "the module %s (plug-in %s) does not offer the service %s; it offers %s",
                     path, plugin->name, service, offered.size ? offered.data : "none");
    sl_buffer_done(&offered);
    return refuse(ret_error, sl_error_hint(error, "add SL_OFFERS(%s, &methods) to its SL_PLUGIN", service));
}

static int check_methods(const char *path, const sl_offer *offer, sl_error **ret_error)
{
    const sl_service *service = offer->service;
    for (unsigned i = 0; i < service->method_count; i++) {
        if (offer->methods && sl__method_function(offer, i))
            continue;
        sl_error *error = sl_error_new(SL_ENOSERVICE, "the module %s has no function for the method %s of %s",
                                       path, service->methods[i].name, service->name);
        return refuse(
            ret_error,
            sl_error_hint(error, "give SL_OFFERS a `const struct %s_methods` that names one for each method",
                          service->name));
    }
    return 0;
}

int sl__module_load(const char *path, const char *service, const sl_offer **ret_offer, sl_error **ret_error)
{
    const sl_plugin *plugin = NULL;
    int code = find_descriptor(path, &plugin, ret_error);
    if (code < 0)
        return code;
    const sl_offer *offer = sl__plugin_offer(plugin, service);
    if (!offer)
        return refuse_service(path, plugin, service, ret_error);
    code = check_methods(path, offer, ret_error);
    if (code == 0)
        *ret_offer = offer;
    return code;
}
