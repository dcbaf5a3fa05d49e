/* call.c: a call goes to whoever carries out calls here. */
#include <silver/subsystem.h>

#include <jansson.h>

static sl_deferred *nobody(const sl_site *site, const char *service)
{
    sl_root *root = sl_root_current();
    sl_error *error =
        sl__error_new(site, SL_ENOSERVICE, "nobody offers the service %s: %s carries out no calls", service,
                      root ? sl_root_name(root) : "what runs outside any root");
    return sl_failing(sl_error_hint(error, "an application's instance has a manager; elsewhere make one with "
                                           "sl_manager_new, or provide another sl_caller"));
}

sl_deferred *sl__call(const sl_site *site, const sl_service *service, size_t method, const void *arguments,
                      const sl_call_options *options)
{
    struct sl_caller *caller = sl_provided(sl_caller);
    return caller ? caller->call(caller, site, service, method, arguments, options)
                  : nobody(site, service->name);
}

sl_deferred *sl__room(const sl_site *site, const sl_service *service)
{
    struct sl_caller *caller = sl_provided(sl_caller);
    return caller ? caller->room(caller, site, service) : nobody(site, service->name);
}

sl_deferred *sl_call_json(const char *service, const char *method, json_t *arguments,
                          const sl_call_options *options)
{
    struct sl_caller *caller = sl_provided(sl_caller);
    if (caller)
        return caller->call_json(caller, service, method, arguments, options);
    json_decref(arguments);
    return nobody(SL_HERE, service);
}
