/* debug_page.c: the page that a failure shows in development: what was wrong and what to do, where (with the
 * source lines), what led to it, the request, what it logged, what held, and the tasks. One file of HTML that
 * loads nothing. */

#include "web/state.h"

#include <ctype.h>
#include <stdlib.h>

#define AROUND 3 /* lines of source before and after */
#define CAUSES_MAX 8
#define DIAGNOSTICS_MAX 20
#define PRE_MAX 65536

static const char style[] =
    ":root{color-scheme:light dark;--ground:#fbfaf8;--paper:#fff;--ink:#1d2129;--soft:#5c6470;--line:#e2ded6;"
    "--accent:#b3261e;--mark:#fde9e7;--hint:#eef4ea;--hint-ink:#2c5a1d}"
    "@media(prefers-color-scheme:dark){:root{--ground:#14161a;--paper:#1b1e24;--ink:#e6e8ec;--soft:#9aa3b0;"
    "--line:#2c313a;--accent:#ff8a80;--mark:#46211f;--hint:#1d2b1a;--hint-ink:#a9d69a}}"
    "*{box-sizing:border-box}body{margin:0;background:var(--ground);color:var(--ink);"
    "font:16px/1.5 system-ui,sans-serif}main{max-width:62rem;margin:0 auto;padding:2rem 1.25rem 4rem}"
    "header{border-top:4px solid var(--accent);background:var(--paper);border-radius:0 0 10px 10px;"
    "padding:1.25rem 1.5rem;box-shadow:0 1px 3px #0002}"
    "h1{font-size:1.45rem;line-height:1.3;margin:.2rem 0;overflow-wrap:anywhere}"
    "h2{font-size:1rem;margin:2.2rem 0 .6rem;color:var(--soft)}p{margin:.4rem 0}"
    ".kind{color:var(--accent);font-weight:600;font-size:.9rem}.soft{color:var(--soft)}"
    ".hint{background:var(--hint);color:var(--hint-ink);border-radius:8px;padding:.6rem .9rem;margin:.9rem 0 "
    "0}"
    "pre,.source{background:var(--paper);border:1px solid var(--line);border-radius:8px;overflow-x:auto;"
    "font:13px/1.55 ui-monospace,monospace;margin:.5rem 0}pre{padding:.7rem .9rem}"
    ".source{padding:.5rem 0 .5rem 4rem}.source li{padding:0 .6rem;white-space:pre;color:var(--soft)}"
    ".source li.here{background:var(--mark);color:var(--ink);font-weight:600}"
    ".source code{font:inherit}.place{margin:.9rem 0 0;overflow-wrap:anywhere}.place code{font-weight:600}"
    "table{border-collapse:collapse;width:100%;background:var(--paper);border:1px solid "
    "var(--line);border-radius:8px}"
    "th,td{text-align:left;vertical-align:top;padding:.3rem .8rem;border-top:1px solid "
    "var(--line);font-size:.9rem;"
    "overflow-wrap:anywhere}th{width:14rem;font-weight:500;color:var(--soft)}"
    "summary{cursor:pointer;color:var(--soft)}"
    "@media(max-width:40rem){th,td{display:block;width:auto}th{padding-bottom:0}"
    "td{border-top:0;padding-top:0}}";

/* Reloads the page of an application that does not start once there is another answer. */
static const char reload[] = "<script>"
                             "setInterval(()=>fetch(location.href,{method:'HEAD',cache:'no-store'})"
                             ".then(answer=>answer.status===500||location.reload(),()=>{}),1000)"
                             "</script>";
static const char policy[] =
    "default-src 'none'; style-src 'unsafe-inline'; connect-src 'self'; "
    "script-src 'sha256-vdsTNduwEbf9zbSUrP8eY+ywzVJdzHF4vyBCufwgwRM='"; /* of what stands inside `reload` */

static void put_pre(sl_buffer *out, const char *title, const sl_buffer *text)
{
    if (!text->size)
        return;
    sl_buffer_printf(out, "<h2>%s</h2><pre>", title);
    sl_buffer_put_html(out, text->data, text->size < PRE_MAX ? text->size : PRE_MAX);
    sl_buffer_puts(out, text->size < PRE_MAX ? "</pre>" : "\n…</pre>");
}

/* ---- Where ------------------------------------------------------------------------------------------- */

static void put_place(sl_buffer *out, const sl_app *app, const char *word, const sl_site *site)
{
    sl_buffer_printf(out, "<p class=\"place\">%s <code>", word);
    sl__put_html(out, site->function ? site->function : "?");
    sl_buffer_puts(out, "</code> <span class=\"soft\">");
    sl__put_html(out, site->file);
    sl_buffer_printf(out, ":%d</span></p>", site->line);
    sl__source_excerpt(app->directory, site->file, site->line, AROUND, out);
}

static void put_places(sl_buffer *out, const sl_app *app, const sl_error *error)
{
    const sl_site *last = error->origin;
    if (last)
        put_place(out, app, "began in", last);
    unsigned first = error->hop_count > SL_ERROR_HOPS ? error->hop_count - SL_ERROR_HOPS : 0;
    if (first > 0)
        sl_buffer_printf(out, "<p class=\"place soft\">%u places in between are not kept</p>", first);
    for (unsigned i = first; i < error->hop_count; i++) {
        const sl_site *site = error->hops[i % SL_ERROR_HOPS];
        if (site && site != last)
            put_place(out, app, "passed", site);
        last = site;
    }
}

/* The place in a template, which the message begins with: "templates/room.html:12:8: …". */
static void put_template_place(sl_buffer *out, const sl_app *app, const sl_error *error)
{
    size_t size = strcspn(error->message, ":");
    int line = (int)strtol(error->message + size + (error->message[size] == ':'), NULL, 10);
    if (line < 1)
        return;
    char *file = sl_printf_heap("%.*s", (int)size, error->message);
    sl_buffer_puts(out, "<p class=\"place\">wrong in <code>");
    sl__put_html(out, file);
    sl_buffer_printf(out, "</code> <span class=\"soft\">line %d</span></p>", line);
    sl__source_excerpt(app->directory, file, line, AROUND, out);
    free(file);
}

static void put_causes(sl_buffer *out, const sl_app *app, const sl_error *error)
{
    const sl_error *cause = error->cause;
    for (unsigned i = 0; cause && i < CAUSES_MAX; cause = cause->cause, i++) {
        sl_buffer_puts(out, "<h2>Because of</h2><p><strong>");
        sl__put_html(out, cause->message);
        sl_buffer_printf(out, "</strong> <span class=\"soft\">%s</span></p>", sl_code_name(cause->code));
        if (cause->detail) {
            sl_buffer_puts(out, "<pre>");
            sl__put_html(out, cause->detail);
            sl_buffer_puts(out, "</pre>");
        }
        put_places(out, app, cause);
    }
}

/* ---- A compiler's output ----------------------------------------------------------------------------- */

typedef struct diagnostic {
    sl_view file, text;
    int line;
    bool error;
} diagnostic;

/* Reads "src/chat.c:12:5: error: expected ';'", also without the column. */
static bool read_diagnostic(const char *text, size_t size, diagnostic *ret)
{
    static const struct {
        const char *word;
        bool error;
    } kinds[] = {{": error: ", true}, {": fatal error: ", true}, {": warning: ", false}};
    for (size_t i = 0; i < sl_array_size(kinds); i++) {
        size_t word_size = strlen(kinds[i].word);
        const char *at = memmem(text, size, kinds[i].word, word_size);
        if (!at)
            continue;
        const char *colon = memchr(text, ':', (size_t)(at - text));
        if (!colon || colon == text || !isdigit((unsigned char)colon[1]))
            return false;
        ret->file = (sl_view){text, (size_t)(colon - text)};
        ret->line = (int)strtol(colon + 1, NULL, 10);
        ret->text = (sl_view){at + 2, (size_t)(text + size - at - 2)};
        ret->error = kinds[i].error;
        return true;
    }
    return false;
}

static void put_diagnostic(sl_buffer *out, const sl_app *app, const diagnostic *found)
{
    sl_buffer_puts(out, "<p class=\"place\"><strong>");
    sl_buffer_put_html(out, found->text.data, found->text.size);
    sl_buffer_puts(out, "</strong> <span class=\"soft\">");
    sl_buffer_put_html(out, found->file.data, found->file.size);
    sl_buffer_printf(out, ":%d</span></p>", found->line);
    char *file = sl_printf_heap("%.*s", (int)found->file.size, found->file.data);
    sl__source_excerpt(app->directory, file, found->line, AROUND, out);
    free(file);
}

/* The complaints of a compiler, errors first, each with its source. */
static void put_diagnostics(sl_buffer *out, const sl_app *app, const char *output)
{
    unsigned count = 0;
    for (int pass = 0; pass < 2; pass++)
        for (const char *line = output; *line && count < DIAGNOSTICS_MAX;) {
            size_t size = strcspn(line, "\n");
            diagnostic found;
            if (read_diagnostic(line, size, &found) && found.error == (pass == 0)) {
                if (count++ == 0)
                    sl_buffer_puts(out, "<h2>Where</h2>");
                put_diagnostic(out, app, &found);
            }
            line += size + (line[size] == '\n');
        }
}

/* ---- The request ------------------------------------------------------------------------------------- */

static void put_row(sl_buffer *out, const char *name, const char *value)
{
    sl_buffer_puts(out, "<tr><th scope=\"row\">");
    sl__put_html(out, name);
    sl_buffer_puts(out, "</th><td>");
    sl__put_html(out, value);
    sl_buffer_puts(out, "</td></tr>");
}

static void put_pairs(sl_buffer *out, const char *title, const sl__pairs *pairs)
{
    if (!pairs || pairs->count == 0)
        return;
    sl_buffer_printf(out, "<h2>%s</h2><table>", title);
    for (size_t i = 0; i < pairs->count && i < 100; i++)
        put_row(out, pairs->items[i].name, pairs->items[i].value);
    sl_buffer_puts(out, "</table>");
}

static void put_request(sl_buffer *out, sl_request *req)
{
    const sl__web *web = req->web;
    sl_buffer_puts(out, "<h2>The request</h2><table>");
    SL_CLEANUP(sl_buffer_done) sl_buffer line = {0};
    sl_buffer_printf(&line, "%s %s HTTP/1.%d", req->method, req->target, req->minor);
    put_row(out, "Line", line.data);
    put_row(out, "Request number", sl_request_id(req));
    put_row(out, "Client", sl_peer(req));
    if (web && web->route) {
        line.size = 0;
        sl_buffer_printf(&line, "%s: %s", web->route->name, web->route->pattern);
        put_row(out, "Route", line.data);
        for (unsigned i = 0; web->variables && i < web->route->variable_count; i++) {
            line.size = 0;
            sl_buffer_printf(&line, "{%s}", web->route->variables[i]);
            put_row(out, line.data, web->variables[i]);
        }
    }
    for (size_t i = 0; i < req->fields.count; i++)
        put_row(out, req->fields.items[i].name, req->fields.items[i].value);
    sl_buffer_puts(out, "</table>");
    if (web) {
        put_pairs(out, "The query", web->params);
        put_pairs(out, "The form", web->fields);
    }
}

/* What was asked of the database: a request that asks the same again and again is seen at once. */
static void put_timeline(sl_buffer *out, const sl__timeline *timeline)
{
    size_t dropped, count = timeline ? sl__timeline_count(timeline, &dropped) : 0;
    if (!count)
        return;
    sl_buffer_printf(out, "<h2>The database: %zu statements</h2><table>", count + dropped);
    for (size_t i = 0; i < count; i++) {
        const sl__timeline_entry *entry = sl__timeline_at(timeline, i);
        SL_CLEANUP(sl_buffer_done) sl_buffer when = {0}, what = {0};
        sl_buffer_printf(&when, "%.1f ms, took %.2f ms", (double)entry->began_us / 1000,
                         (double)entry->duration_us / 1000);
        sl_buffer_printf(&what, "%s %s — %lld rows, %s:%d%s%s", entry->sql, entry->parameters,
                         (long long)entry->rows, entry->site->file, entry->site->line,
                         entry->error ? ", " : "", entry->error ? entry->error : "");
        put_row(out, when.data, what.data);
    }
    sl_buffer_puts(out, "</table>");
}

static void put_surroundings(sl_buffer *out, sl_request *req)
{
    const sl__web *web = req->web;
    SL_CLEANUP(sl_buffer_done) sl_buffer text = {0};
    if (web)
        sl__tee_lines(web->tee, req, &text);
    put_pre(out, "What the request logged", &text);
    if (web)
        put_timeline(out, sl__tee_timeline(web->tee, req));
    text.size = 0;
    sl_context_dump(&text);
    put_pre(out, "The context", &text);
    sl__put_services(out);
    text.size = 0;
    sl_task_dump(sl_loop_current(), &text);
    put_pre(out, "The tasks", &text);
}

/* ---- The page ---------------------------------------------------------------------------------------- */

static void put_header(sl_buffer *out, const sl_error *error, int status)
{
    sl_buffer_puts(out, "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">"
                        "<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\"><title>");
    sl__put_html(out, error->message);
    sl_buffer_printf(out, "</title><style>%s</style></head><body><main><header><p class=\"kind\">%d %s",
                     style, status, sl_status_reason(status));
    sl_buffer_printf(out, " · %s</p><h1>", sl_code_name(error->code));
    sl__put_html(out, error->message);
    sl_buffer_puts(out, "</h1>");
    if (error->hint) {
        sl_buffer_puts(out, "<p class=\"hint\">");
        sl__put_html(out, error->hint);
        sl_buffer_puts(out, "</p>");
    }
    sl_buffer_puts(out, "</header>");
}

const char *sl__debug_page_policy(const sl_app *app, const sl_error *error)
{
    return error == app->broken ? policy : "default-src 'none'; style-src 'unsafe-inline'";
}

void sl__debug_page(sl_app *app, sl_request *req, const sl_error *error, int status, sl_buffer *out)
{
    put_header(out, error, status);
    bool traced = sl__put_traceback(app, error->detail, out);
    if (error->code == SL_EBUILD && error->detail)
        put_diagnostics(out, app, error->detail);
    if (error->detail) {
        SL_CLEANUP(sl_buffer_done) sl_buffer detail = {0};
        sl_buffer_puts(&detail, error->detail);
        put_pre(out,
                error->code == SL_EBUILD ? "What the compiler said"
                : traced                 ? "The traceback"
                                         : "In detail",
                &detail);
    }
    if (error->code != SL_EBUILD && error->origin && !traced) {
        sl_buffer_puts(out, "<h2>Where</h2>");
        if (error->code == SL_ETEMPLATE)
            put_template_place(out, app, error);
        put_places(out, app, error);
    }
    put_causes(out, app, error);
    put_request(out, req);
    put_surroundings(out, req);
    if (error == app->broken && req->method_id == SL__GET) /* and not what was sent with a POST */
        sl_buffer_puts(out, reload);
    sl_buffer_puts(out,
                   "<p class=\"soft\">This page is shown in development only.</p></main></body></html>\n");
}
