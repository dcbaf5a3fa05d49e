/* respond.c: responses that handlers make most: HTML, JSON, redirects and rendered templates. */

#include "web/state.h"

#include "base/json.h"

#include <stdlib.h>

#define HTML_TYPE "text/html; charset=utf-8"

sl_response *sl_html(sl_request *req, int status, const char *html)
{
    return sl_bytes_response(req, status, HTML_TYPE, html, strlen(html));
}

static void release_json(json_t **json)
{
    json_decref(*json);
}

sl_response *sl__json(const sl_site *site, sl_request *req, int status, json_t *json)
{
    SL_CLEANUP(release_json) json_t *held = json;
    if (!json)
        sl__fail(site, SL_EINVAL, "there is no JSON to send: the value is NULL");
    const char *wrong;
    char *text = sl__json_text(held, &wrong);
    if (!text)
        sl__fail(site, SL_EINVAL, "the value %s", wrong);
    sl_defer(free, text);
    return sl_bytes_response(req, status, "application/json", text, strlen(text));
}

/* json_pack, failing with what was wrong and where. */
static json_t *pack(const sl_site *site, const char *function, const char *format, va_list arguments)
{
    json_error_t error;
    json_t *json = json_vpack_ex(&error, 0, format, arguments);
    if (json)
        return json;
    sl_error *failure = sl__error_new(site, SL_EINVAL, "%s: the format \"%s\" fails at its character %d: %s",
                                      function, format, error.position, error.text);
    sl_error_hint(
        failure,
        "formats are those of json_pack: s text, i int, I json_int_t, f double, b bool, o a json_t that is "
        "given away, O one that is kept; a text that may be NULL is \"s?\", and all text is UTF-8");
    sl__fail_error(site, failure);
}

sl_response *sl__json_pack(const sl_site *site, sl_request *req, int status, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    json_t *json = pack(site, "sl_json_pack", format, arguments);
    va_end(arguments);
    return sl__json(site, req, status, json);
}

/* ---- Redirects --------------------------------------------------------------------------------------- */

/* What may not stand in a URL is encoded: spaces and control characters, quotes, backslashes (which browsers
 * take for slashes), bytes above ASCII. */
static char *clean_url(sl_arena *arena, const char *url)
{
    static const char digits[] = "0123456789ABCDEF";
    char *clean = sl_arena_alloc(arena, strlen(url) * 3 + 1), *out = clean;
    for (const unsigned char *c = (const unsigned char *)url; *c; c++) {
        if (*c <= ' ' || *c >= 0x7f || strchr("\"<>\\^`{|}", *c)) {
            *out++ = '%';
            *out++ = digits[*c >> 4];
            *out++ = digits[*c & 15];
        } else {
            *out++ = (char)*c;
        }
    }
    *out = 0;
    return clean;
}

sl_response *sl__redirect(const sl_site *site, sl_request *req, int status, const char *url)
{
    if (status != 301 && status != 302 && status != 303 && status != 307 && status != 308)
        sl__fail(site, SL_EINVAL, "a redirect has the status 301, 302, 303, 307 or 308, not %d", status);
    if (!url || !url[0])
        sl__fail(site, SL_EINVAL, "a redirect needs a URL");
    if (url[0] == '/' && url[1] == '/') {
        sl_error *error = sl__error_new(site, SL_EINVAL, "a redirect to \"%s\" would leave the site", url);
        sl__fail_error(
            site,
            sl_error_hint(error, "begin with one slash for a path here, with https:// to go elsewhere"));
    }
    return sl_set_header(sl_respond(req, status), "Location", clean_url(req->arena, url));
}

/* ---- Templates --------------------------------------------------------------------------------------- */

/* Renders into memory that lives as long as the task. */
static const char *render(const sl_site *site, sl_app *app, const char *name, json_t *data, size_t *ret_size)
{
    SL_CLEANUP(release_json) json_t *held = data;
    SL_CLEANUP(sl_buffer_done) sl_buffer out = {0};
    if (!held)
        sl__fail(site, SL_EINVAL, "the template %s has no data: the value is NULL", name);
    sl_error *error;
    if (sl__templates_render(app->templates, site, name, held, sl_task_arena(), &out, &error) < 0)
        sl__fail_error(site, error);
    *ret_size = out.size;
    if (!out.data)
        return "";
    char *text = out.data;
    out = (sl_buffer){0};
    sl_defer(free, text);
    return text;
}

const char *sl__render_string(const sl_site *site, sl_app *app, const char *name, json_t *data)
{
    size_t size;
    return render(site, app, name, data, &size);
}

sl_response *sl__render_json(const sl_site *site, sl_request *req, const char *name, json_t *data)
{
    size_t size;
    const char *text = render(site, sl_request_app(req), name, data, &size);
    return sl_bytes_response(req, 200, HTML_TYPE, text, size);
}

sl_response *sl__render(const sl_site *site, sl_request *req, const char *name, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    json_t *data = pack(site, "sl_render", format, arguments);
    va_end(arguments);
    return sl__render_json(site, req, name, data);
}
