/* plugin_route.c: the routes that a plug-in declares, which its application has as long as it is loaded. */
#include "web/app.h"
#include "web/router.h"
#include "web/state.h"

static int add(sl_loaded *plugin, const sl_interest *interest, void **ret_handle, sl_error **ret_error)
{
    const sl_plugin_route *route = interest->what;
    sl_app *app = sl__app_of(sl_plugin_root(plugin));
    if (!app)
        return 0;
    int code = sl__router_add(app->router, interest->site, interest->name, route->pattern, route->handler,
                              route->websocket, &route->options, ret_error);
    if (code == 0)
        *ret_handle = app;
    return code;
}

static void take_away(sl_loaded *plugin, const sl_interest *interest, void *handle)
{
    sl_app *app = handle;
    if (app)
        sl__router_remove(app->router, interest->name);
}

SL_API const sl_interest_kind sl_route_kind = {.name = "route", .add = add, .remove = take_away};
