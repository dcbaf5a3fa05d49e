/* web.h: what an application is written with. Routes, parameters, forms, cookies, templates, JSON, redirects.
 *
 * Everything here works in the task of a request, allocates in its arena, and fails by ending the task. A
 * failure that is the application's own mistake (an unknown route, a template that lacks a value) names the
 * line of the call. */
#pragma once

#include <silver/http.h>
#include <jansson.h>

/* ---- Application and routes ---------------------------------------------------------------------------- */

typedef struct sl_app sl_app;

/* The application's entry: SL_APPLICATION(app) { sl_route(app, …); }. Runs in a task when an instance starts:
 * it may open databases and await; failing here keeps the instance from starting. */
#define SL_APPLICATION(app)                                                                                  \
    SL_API extern const unsigned sl_application_abi;                                                         \
    const unsigned sl_application_abi = SL_ABI;                                                              \
    SL_API void sl_application(sl_app *app);                                                                 \
    void sl_application(sl_app *app)
#define SL_ABI 1u
typedef void sl_application_fn(sl_app *app);

typedef struct sl_route_options {
    size_t max_body;  /* of forms and JSON bodies read by this route; 0: the server's body limit */
    bool other_sites; /* pages of other sites may send here too: see below */
    sl_websocket_options websocket;
} sl_route_options;

/* sl_route(app, "room", "GET /rooms/{room}", room): requests for this method and path go to the handler,
 * which is a sl_handler or a sl_websocket_fn. `{name}` matches one segment, not empty; `{name...}` at the end
 * matches the rest, slashes included, empty too. Literal segments win over `{name}`, those over `{name...}`;
 * otherwise the order of the calls does not matter. GET answers HEAD too. A path known under other methods
 * answers 405 with Allow, OPTIONS is answered likewise. What a browser sends for a page of another site (told
 * by Sec-Fetch-Site and Origin) is refused with 403, but for GET and HEAD: the user's cookies come with it,
 * and the user may know nothing of it. `.other_sites` allows it, for addresses that do not rely on cookies.
 * The strings and options are copied. A wrong or duplicate pattern or name fails, naming both places. */
/* clang-format off */
#define sl_route(app, name, pattern, function, ...)                                                          \
    _Generic((function), sl_handler *: sl__route_handler, sl_websocket_fn *: sl__route_websocket)(           \
        SL_HERE, (app), (name), (pattern), (function), &(sl_route_options){__VA_ARGS__})
/* clang-format on */
SL_API void sl__route_handler(const sl_site *site, sl_app *app, const char *name, const char *pattern,
                              sl_handler *handler, const sl_route_options *options);
SL_API void sl__route_websocket(const sl_site *site, sl_app *app, const char *name, const char *pattern,
                                sl_websocket_fn *handler, const sl_route_options *options);

/* SL_ROUTE("search", "GET /search", search_page, options…), in a plug-in's descriptor (silver/plugin.h): a
 * route that the application has as long as the plug-in is loaded. A root without an application (a
 * service's child, which loads the same plug-in) takes no notice of it. */
typedef struct sl_plugin_route {
    const char *pattern;
    sl_handler *handler; /* one of these two */
    sl_websocket_fn *websocket;
    sl_route_options options;
} sl_plugin_route;
SL_API extern const sl_interest_kind sl_route_kind;
/* clang-format off */
#define SL_ROUTE(route_name, route_pattern, function, ...)                                                   \
    SL__INTEREST(sl_route_kind, route_name,                                                                  \
                 &(const sl_plugin_route){                                                                   \
                     .pattern = (route_pattern),                                                             \
                     .handler = _Generic((function), sl_handler *: (function), default: NULL),               \
                     .websocket = _Generic((function), sl_websocket_fn *: (function), default: NULL),        \
                     .options = {__VA_ARGS__}})
/* clang-format on */

/* sl_command(app, "import", import, "reads old messages"), in SL_APPLICATION: `silver run DIR import
 * ARGUMENTS` calls `import`, a sl_command_fn (silver/plugin.h), in a task, after the application was started
 * as in an instance. The strings are copied. A name that is there already fails, naming both places. */
#define sl_command(app, name, function, summary) sl__command(SL_HERE, (app), (name), (function), (summary))
SL_API void sl__command(const sl_site *site, sl_app *app, const char *name, sl_command_fn *function,
                        const char *summary);

/* A part of the path by its name in the pattern, decoded (an encoded slash is part of its segment). An
 * unknown name fails. */
#define sl_urlvar(req, name) sl__urlvar(SL_HERE, (req), (name))
SL_API const char *sl__urlvar(const sl_site *site, sl_request *req, const char *name);
/* The path of a route: sl_url(req, "room", "room", name) with pairs of variable and value; encoded; pairs
 * that the pattern does not have go into the query. Fails for an unknown route, and for a value that no path
 * can hold in one segment: "", "." and "..". */
#define sl_url(req, ...) sl__url(SL_HERE, (req), __VA_ARGS__, (const char *)NULL)
SL_API const char *sl__url(const sl_site *site, sl_request *req, const char *route, ...)
    __attribute__((sentinel));
SL_API const char *sl_route_name(sl_request *req); /* "" if none matched */

/* The application of this request; values that its handlers share; its directory. */
SL_API sl_app *sl_request_app(sl_request *req);
SL_API void sl_app_set(sl_app *app, void *value,
                       sl_free_fn *free_value); /* one; freed when the instance ends */
SL_API void *sl_app_get(sl_app *app);
SL_API const char *sl_app_directory(sl_app *app);
SL_API bool sl_app_development(sl_app *app);
/* A configuration value, which services arrive as: sl_config(app, "SQLITE_PATH") is CONFIG_SQLITE_PATH of the
 * environment in which the instance started; NULL if there is none. */
SL_API const char *sl_config(sl_app *app, const char *name);

/* ---- Parameters, forms, cookies ---------------------------------------------------------------------- */
/* Names and values are decoded and are well-formed UTF-8 without NULs: anything else is refused with
 * SL_HTTP(400). */

/* A value of the query string, or NULL; sl_param_at gives the i-th of that name. */
SL_API const char *sl_param(sl_request *req, const char *name);
SL_API const char *sl_param_at(sl_request *req, const char *name, size_t i);
/* The same as a whole number up to `max`; `otherwise` without it; anything else fails with SL_HTTP(400). */
SL_API uint64_t sl_param_number(sl_request *req, const char *name, uint64_t max, uint64_t otherwise);
/* Whether the client's Accept likes this media type ("application/json") better than text/html: for handlers
 * that answer both scripts and pages. */
SL_API bool sl_prefers(sl_request *req, const char *type);
/* A field of a posted form (application/x-www-form-urlencoded or multipart/form-data), or NULL. Other types
 * fail with SL_HTTP(415), more than 1000 fields and files with SL_HTTP(413). May suspend (reads the body). */
SL_API const char *sl_field(sl_request *req, const char *name);
SL_API const char *sl_field_at(sl_request *req, const char *name, size_t i);
typedef struct sl_upload {
    const char *name, *filename, *type; /* filename without any directory, never "", "." or ".." */
    const char *data;                   /* data[size] is NUL */
    size_t size;
} sl_upload;
/* A posted file, or NULL (also where the form had the field but no file was chosen). May suspend. */
SL_API const sl_upload *sl_upload_get(sl_request *req, const char *name);
SL_API const sl_upload *sl_upload_at(sl_request *req, const char *name, size_t i);
/* The posted body as JSON; fails with SL_HTTP(400) or SL_HTTP(415). Lives as long as the request. May
 * suspend. */
SL_API json_t *sl_json_body(sl_request *req);

/* A cookie's value as sl_set_cookie was given it, or NULL. One that was set by others is decoded where it is
 * encoded likewise (%XX), else given as it is. */
SL_API const char *sl_cookie(sl_request *req, const char *name);
typedef struct sl_cookie_options {
    const char *path; /* NULL is "/" */
    const char *domain;
    int64_t max_age_s;     /* 0: until the browser closes; negative: delete it */
    const char *same_site; /* "Strict", "Lax" or "None"; NULL is "Lax" */
    bool script;           /* readable by scripts (no HttpOnly) */
    bool insecure;         /* also over plain HTTP where the site is https (no Secure) */
} sl_cookie_options;
/* Sets a cookie, instead of one of the same name, path and domain set before on this response. The name must
 * be a token. The value is any UTF-8: what no cookie can hold (spaces, '"', ',', ';', '\', '%', controls and
 * what is not ASCII) is sent as %XX. What is not UTF-8, or larger than 4096 bytes then, fails. Returns the
 * response. */
#define sl_set_cookie(res, name, value, ...)                                                                 \
    sl__set_cookie(SL_HERE, (res), (name), (value), &(sl_cookie_options){__VA_ARGS__})
SL_API sl_response *sl__set_cookie(const sl_site *site, sl_response *res, const char *name, const char *value,
                                   const sl_cookie_options *options);

/* ---- Responses --------------------------------------------------------------------------------------- */

SL_API sl_response *sl_html(sl_request *req, int status, const char *html);   /* not copied */
#define sl_json(req, status, json) sl__json(SL_HERE, (req), (status), (json)) /* takes over the reference */
SL_API sl_response *sl__json(const sl_site *site, sl_request *req, int status, json_t *json);
#define sl_json_pack(req, status, ...) sl__json_pack(SL_HERE, (req), (status), __VA_ARGS__)
SL_API sl_response *sl__json_pack(const sl_site *site, sl_request *req, int status, const char *format, ...);
/* Status 301, 302, 303, 307 or 308. What may not stand in a URL is encoded. A URL that starts with two
 * slashes fails: it would leave the site without saying so. */
#define sl_redirect(req, status, url) sl__redirect(SL_HERE, (req), (status), (url))
#define sl_see_other(req, url) sl__redirect(SL_HERE, (req), 303, (url)) /* after a POST */
SL_API sl_response *sl__redirect(const sl_site *site, sl_request *req, int status, const char *url);

/* ---- Templates --------------------------------------------------------------------------------------- */
/* A template is a file of templates/ with
 *
 *     {{ name }}  {{ user.name }}  {{ message.body | raw }}     values; escaped for HTML unless `raw`
 *     {% if rooms %} … {% elif not done %} … {% else %} … {% end %}
 *     {% for room in rooms %} … {{ loop.index }} … {% else %} none {% end %}
 *     {{ url("room", room=name) }}                              the path of a route
 *     {% include "head.html" %}
 *     {% extends "base.html" %} with {% block title %} … {% end %}
 *     {# a comment #}
 *
 * It is compiled once; in development again when its file changes. An unknown name or a mistake fails with
 * SL_ETEMPLATE, naming file, line and column. docs/templates.md says all of it. */

/* Renders templates/NAME with the data that json_pack makes of the rest, as HTML with status 200. */
#define sl_render(req, name, ...) sl__render(SL_HERE, (req), (name), __VA_ARGS__)
SL_API sl_response *sl__render(const sl_site *site, sl_request *req, const char *name, const char *format,
                               ...);
#define sl_render_json(req, name, data)                                                                      \
    sl__render_json(SL_HERE, (req), (name), (data)) /* takes over the reference */
SL_API sl_response *sl__render_json(const sl_site *site, sl_request *req, const char *name, json_t *data);
/* The same into a string of the task's arena. */
#define sl_render_string(app, name, data) sl__render_string(SL_HERE, (app), (name), (data))
SL_API const char *sl__render_string(const sl_site *site, sl_app *app, const char *name, json_t *data);
