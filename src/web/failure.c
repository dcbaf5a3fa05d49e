/* failure.c: the response to a failure.
 *
 * Failures that a handler means for the client, SL_HTTP(400) to SL_HTTP(499), show their message. Any other
 * is for us: development and the log show all of it; a client in production is told what is meant for it
 * (sl_error_told), and of what is our fault the number that stands in the log. Browsers get HTML, programs
 * JSON if they ask for it and plain text otherwise. Nothing here fails. */

#include "web/state.h"

#include "http/accept.h"

#include <stdlib.h>
#include <strings.h>

typedef enum form {
    FORM_TEXT,
    FORM_HTML,
    FORM_JSON,
} form;

/* What the client likes best; text where it does not care. */
static form choose_form(const sl_request *req)
{
    const char *accept = sl_header(req, "Accept");
    if (!accept)
        return FORM_TEXT;
    int text = sl__accept_media_quality(accept, "text/plain");
    int html = sl__accept_media_quality(accept, "text/html");
    int json = sl__accept_media_quality(accept, "application/json");
    if (html > text && html >= json)
        return FORM_HTML;
    return json > text ? FORM_JSON : FORM_TEXT;
}

/* ---- HTML -------------------------------------------------------------------------------------------- */

/* In development a page that is not there shows which are. */
static void put_routes(sl_buffer *out, const sl_app *app)
{
    sl_buffer_puts(out, "<h2>The routes</h2><table>");
    for (const sl__route *route = sl__router_first(app->router); route; route = route->after) {
        sl_buffer_puts(out, "<tr><td><code>");
        sl__put_html(out, route->pattern);
        sl_buffer_puts(out, "</code></td><td>");
        sl__put_html(out, route->name);
        sl_buffer_puts(out, "</td></tr>");
    }
    sl_buffer_puts(out, "</table>");
}

static void put_calm_page(sl_buffer *out, const sl_app *app, sl_request *req, const sl_error *error,
                          int status)
{
    static const char style[] =
        ":root{color-scheme:light dark}body{margin:0;min-height:100vh;display:grid;place-items:center;"
        "font:17px/1.55 "
        "system-ui,sans-serif;background:#f7f6f3;color:#22262d}main{max-width:36rem;padding:2rem}"
        "h1{font-size:1.6rem;margin:0 0 .5rem}h2{font-size:1rem;margin:2rem 0 .5rem}p{margin:.4rem "
        "0;overflow-wrap:anywhere}"
        ".message::first-letter{text-transform:uppercase}code{font:.92em "
        "ui-monospace,monospace}.soft,td+td{color:#666e7a}td{padding:.15rem 1.2rem .15rem 0}"
        "@media(prefers-color-scheme:dark){body{background:#15171b;color:#e6e8ec}.soft,td+td{color:#98a1ae}}";
    const char *reason = sl_status_reason(status);
    sl_buffer_printf(
        out,
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">"
        "<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\"><title>%d %s</title>"
        "<style>%s</style></head><body><main><h1>%s</h1>",
        status, reason, style, status >= 500 ? "Something went wrong here" : reason);
    const char *told = sl_error_told(error);
    if (told) {
        sl_buffer_puts(out, "<p class=\"message\">");
        sl__put_html(out, told);
        sl_buffer_puts(out, "</p>");
    }
    if (status >= 500) {
        sl_buffer_puts(
            out, "<p>It is not your fault, and it has been written down. If you tell us about it, give this "
                 "number:</p>");
        sl_buffer_printf(out, "<p><code>%s</code></p>", sl_request_id(req));
    } else {
        if (error->hint && app->development) {
            sl_buffer_puts(out, "<p class=\"soft\">");
            sl__put_html(out, error->hint);
            sl_buffer_puts(out, "</p>");
        }
    }
    const sl__web *web = req->web;
    if (app->development && status == 404 && (!web || !web->route))
        put_routes(out, app);
    else if (app->development && error->origin && web && web->route) {
        sl_buffer_puts(out, "<p class=\"soft\">From <code>");
        sl__put_html(out, error->origin->file);
        sl_buffer_printf(out, ":%d</code>, says development.</p>", error->origin->line);
    }
    sl_buffer_puts(out, "</main></body></html>\n");
}

/* ---- JSON and text ----------------------------------------------------------------------------------- */

static void set_text(json_t *object, const char *key, const char *text)
{
    if (text)
        json_object_set_new(object, key, json_string(text));
}

static void put_json(sl_buffer *out, sl_request *req, const sl_error *error, int status, bool whole)
{
    json_t *about = json_object();
    json_object_set_new(about, "status", json_integer(status));
    const char *told = sl_error_told(error);
    set_text(about, "message", whole ? error->message : told ? told : sl_status_reason(status));
    if (status >= 500)
        set_text(about, "incident", sl_request_id(req));
    if (whole) {
        set_text(about, "code", sl_code_name(error->code));
        set_text(about, "hint", error->hint);
        set_text(about, "detail", error->detail);
        char *text = sl_error_text(error);
        set_text(about, "error", text);
        free(text);
    }
    json_t *object = json_object();
    json_object_set_new(object, "error", about);
    char *text = json_dumps(object, JSON_COMPACT);
    json_decref(object);
    sl_buffer_puts(out, text ? text : "{}");
    sl_buffer_putc(out, '\n');
    free(text);
}

static void put_text(sl_buffer *out, sl_request *req, const sl_error *error, int status, bool whole)
{
    const char *told = sl_error_told(error);
    sl_buffer_printf(out, "%d %s\n", status, sl_status_reason(status));
    if (whole) {
        char *text = sl_error_text(error);
        sl_buffer_printf(out, "\n%s\n", text);
        free(text);
    } else if (told) {
        sl_buffer_printf(out, "%s\n", told);
    }
    if (status >= 500)
        sl_buffer_printf(out, "Incident %s\n", sl_request_id(req));
}

/* ---- All of it --------------------------------------------------------------------------------------- */

static void log_failure(sl_request *req, const sl_error *error, int status)
{
    char *text = sl_error_text(error);
    if (status >= 500)
        sl_error_log("incident %s: %s %s: %s", sl_request_id(req), req->method, req->target, text);
    else
        sl_info("%s %s gives %d: %s", req->method, req->target, status, text);
    free(text);
}

sl_response *sl__app_failure(sl_request *req, const sl_error *error)
{
    static const char *const types[] = {
        [FORM_TEXT] = "text/plain; charset=utf-8",
        [FORM_HTML] = "text/html; charset=utf-8",
        [FORM_JSON] = "application/json",
    };
    sl_app *app = sl__app_current();
    if (!app)
        return sl_respond(req, 500);
    int status = sl_error_status(error);
    if (status < 400 || error == app->broken)
        status = 500; /* a failure is none of those, and no request's fault that nothing runs */
    bool more = sl_error_told(error) != error->message, whole = more && app->development;
    /* Whoever found out that the application does not compile has said so; development shows it. */
    if (more && !(app->development && error == app->broken))
        log_failure(req, error, status);

    SL_CLEANUP(sl_buffer_done) sl_buffer out = {0};
    form chosen = choose_form(req);
    if (chosen == FORM_JSON)
        put_json(&out, req, error, status, whole);
    else if (chosen == FORM_TEXT)
        put_text(&out, req, error, status, whole);
    else if (whole)
        sl__debug_page(app, req, error, status, &out);
    else
        put_calm_page(&out, app, req, error, status);
    const char *body = sl_arena_strndup(req->arena, out.data, out.size);
    sl_response *res = sl_bytes_response(req, status, types[chosen], body, out.size);
    sl_set_header(res, "Cache-Control", "no-store");
    sl_set_header(res, "X-Content-Type-Options", "nosniff");
    if (chosen == FORM_HTML)
        sl_set_header(res, "Content-Security-Policy", sl__debug_page_policy(app, error));
    return sl_add_header(res, "Vary", "Accept");
}
