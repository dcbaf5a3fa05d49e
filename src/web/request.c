/* request.c: from a request to its handler.
 *
 * The server calls sl__app_handle in the request's task. In development a tee is put before the log, so that
 * the page of a failure can show the lines that this request wrote. */

#include "web/state.h"
#include "store/request.h"

sl__web *sl__web_get(sl_request *req)
{
    if (!req->web)
        req->web = sl_arena_zalloc(req->arena, sizeof(sl__web));
    return req->web;
}

/* A response that says what is wrong, as if the handler had failed with it; cheaper than unwinding. */
static sl_response *refuse(sl_request *req, sl_error *error)
{
    sl_response *res = sl__app_failure(req, error);
    sl_error_unref(error);
    return res;
}

static sl_response *answer_allow(sl_request *req, const sl__match *match)
{
    SL_CLEANUP(sl_buffer_done) sl_buffer allow = {0};
    sl__router_allow(match, &allow);
    if (req->method_id == SL__OPTIONS)
        return sl_set_header(sl_respond(req, 204), "Allow", allow.data);
    sl_error *error = sl_error_new(SL_HTTP(405), "%s is not possible here, only %s", req->method, allow.data);
    return sl_set_header(refuse(req, error), "Allow", allow.data);
}

static sl_response *answer_unmatched(sl_request *req, const sl__match *match)
{
    if (match->path_known)
        return answer_allow(req, match);
    if (req->method_id == SL__OPTIONS && strcmp(req->path, "*") == 0)
        return sl_set_header(sl_respond(req, 204), "Allow", "GET, HEAD, POST, PUT, DELETE, PATCH, OPTIONS");
    return refuse(req, sl_error_new(SL_HTTP(404), "there is no page %s", req->path));
}

static void keep_variables(sl_request *req, sl__web *web, const sl__match *match)
{
    web->variables = sl_arena_alloc(req->arena, match->value_count * sizeof(char *));
    for (unsigned i = 0; i < match->value_count; i++) {
        web->variables[i] = sl_arena_strndup(req->arena, match->values[i].data, match->values[i].size);
        sl__url_slashes(web->variables[i]);
    }
}

typedef struct handling {
    const sl__route *route;
    sl_request *req;
} handling;

static void *call_handler(void *data)
{
    handling *h = data;
    sl_response *res = h->route->handler(h->req);
    if (!res)
        sl__fail(h->route->site, SL_EINVAL, "the handler of the route \"%s\" (%s) returned no response",
                 h->route->name, h->route->pattern);
    return res;
}

static sl_response *route_request(sl_app *app, sl_request *req, sl__web *web)
{
    sl__match match;
    sl__router_match(app->router, req->method_id, req->method, sl_view_of(req->path), &match);
    const sl__route *route = match.route;
    if (!route)
        return answer_unmatched(req, &match);
    web->route = route;
    if (match.value_count > 0)
        keep_variables(req, web, &match);
    bool safe = req->method_id == SL__GET || req->method_id == SL__HEAD;
    if (!safe && !route->options.other_sites && sl__from_other_site(req))
        return refuse(req, sl_error_new(SL_HTTP(403), "this was sent from a page of another site"));
    if (route->websocket)
        return sl_websocket_accept(req, route->websocket, &route->options.websocket);
    handling h = {route, req};
    return sl__transact_request(route->site, call_handler, &h, safe);
}

bool sl__app_routes(sl_request *req)
{
    sl__match match;
    const sl_app *app = sl__app_current();
    if (!app || !sl__router_first(app->router))
        return false;
    sl__router_match(app->router, req->method_id, req->method, sl_view_of(req->path), &match);
    return match.route != NULL;
}

sl_response *sl__app_handle(sl_request *req)
{
    sl_app *app = sl_request_app(req);
    if (app->broken)
        return sl__app_failure(req, app->broken);
    sl__web *web = sl__web_get(req);
    if (!app->development)
        return route_request(app, req, web);
    web->tee = sl__tee_begin(app, req);
    SL_WITH(&sl_logger_key, sl__tee_logger(web->tee));
    SL_WITH(&sl__timeline_key, sl__tee_timeline(web->tee, req));
    return route_request(app, req, web);
}

/* ---- What the path says ------------------------------------------------------------------------------ */

const char *sl__urlvar(const sl_site *site, sl_request *req, const char *name)
{
    const sl__web *web = req->web;
    const sl__route *route = web ? web->route : NULL;
    for (unsigned i = 0; route && i < route->variable_count; i++)
        if (strcmp(route->variables[i], name) == 0)
            return web->variables[i];
    sl_error *error =
        route ? sl__error_new(site, SL_EINVAL, "the route \"%s\" (%s) has no variable \"%s\"", route->name,
                              route->pattern, name)
              : sl__error_new(site, SL_EINVAL, "no route matched, so there is no variable \"%s\"", name);
    sl__fail_error(site, error);
}

const char *sl_route_name(sl_request *req)
{
    const sl__web *web = req->web;
    return web && web->route ? web->route->name : "";
}

const char *sl__url(const sl_site *site, sl_request *req, const char *route, ...)
{
    sl__url_pair pairs[64];
    size_t count = 0;
    va_list arguments;
    va_start(arguments, route);
    for (const char *name; (name = va_arg(arguments, const char *)); count++) {
        const char *value = va_arg(arguments, const char *);
        if (!value || count == sl_array_size(pairs)) {
            va_end(arguments);
            if (!value)
                sl__fail(site, SL_EINVAL, "the URL of the route \"%s\" needs a value for \"%s\": it is NULL",
                         route, name);
            sl__fail(site, SL_EINVAL, "the URL of the route \"%s\" has more than %zu pairs", route,
                     sl_array_size(pairs));
        }
        pairs[count] = (sl__url_pair){name, value};
    }
    va_end(arguments);

    SL_CLEANUP(sl_buffer_done) sl_buffer url = {0};
    sl_error *error;
    if (sl__router_url(sl_request_app(req)->router, site, route, pairs, count, &url, &error) < 0)
        sl__fail_error(site, error);
    return sl_arena_strndup(req->arena, url.data, url.size);
}
