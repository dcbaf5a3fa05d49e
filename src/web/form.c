/* form.c: what was posted: fields, files, JSON. The body is read and parsed when the handler first asks for
 * something in it, so a handler that streams the body itself never pays for this. */

#include "web/state.h"

#include "http/accept.h"
#include "http/multipart.h"

#include <stdlib.h>

/* jansson descends into nested values on the stack, and a task's stack is small. */
#define JSON_DEPTH_MAX 64

static sl_view media_type(const char *content_type)
{
    return sl_view_trim((sl_view){content_type, strcspn(content_type, ";")}, " \t");
}

/* Text comes as UTF-8 or not at all. */
static void check_charset(const char *content_type)
{
    sl_view charset;
    bool quoted;
    if (sl__parameter(sl_view_of(content_type), "charset", &charset, &quoted) &&
        !sl_view_equal_nocase(charset, SL_VIEW("utf-8")))
        sl_fail(SL_HTTP(415), "the body must be UTF-8, not %.*s", (int)charset.size, charset.data);
}

static const char *read_body(sl_request *req, size_t *ret_size)
{
    const sl__route *route = sl__web_get(req)->route;
    return sl_body(req, route ? route->options.max_body : 0, ret_size);
}

/* ---- multipart/form-data ------------------------------------------------------------------------------- */

/* What grows while the parts come. A part's contents are gathered in `data`, which every part begins anew. */
typedef struct gather {
    sl_request *req;
    sl__multipart parser;
    sl__pair *fields;
    sl_upload *uploads;
    size_t field_count, field_capacity, upload_count, upload_capacity;
    sl_buffer data;
    const char *name, *filename, *type;
} gather;

static void gather_done(gather *g)
{
    sl__multipart_done(&g->parser);
    sl_buffer_done(&g->data);
}

/* Room for one more item, in the arena. */
static void *grow(sl_arena *arena, void *items, size_t count, size_t *capacity, size_t size)
{
    if (count < *capacity)
        return items;
    *capacity = *capacity ? *capacity * 2 : 8;
    void *grown = sl_arena_alloc(arena, *capacity * size);
    if (count)
        memcpy(grown, items, count * size);
    return grown;
}

static void begin_part(gather *g)
{
    sl_arena *arena = g->req->arena;
    const sl__part *part = &g->parser.part;
    g->name = sl_arena_strdup(arena, part->name);
    g->filename = part->filename ? sl_arena_strdup(arena, part->filename) : NULL;
    g->type = sl_arena_strdup(arena, part->type ? part->type : "application/octet-stream");
    g->data.size = 0;
}

static void finish_field(gather *g)
{
    if (!sl_utf8_valid(g->data.data, g->data.size) || (g->data.size && memchr(g->data.data, 0, g->data.size)))
        sl_fail(SL_HTTP(400), "the field \"%s\" of the form is not UTF-8 text", g->name);
    g->fields = grow(g->req->arena, g->fields, g->field_count, &g->field_capacity, sizeof(*g->fields));
    const char *value = sl_arena_strndup(g->req->arena, g->data.data, g->data.size);
    g->fields[g->field_count++] = (sl__pair){g->name, value, strlen(g->name), g->data.size};
}

static void finish_part(gather *g)
{
    if (!g->filename) {
        finish_field(g);
        return;
    }
    if (!g->filename[0] || strcmp(g->filename, ".") == 0 || strcmp(g->filename, "..") == 0) {
        if (g->data.size == 0)
            return; /* a file field in which no file was chosen */
        g->filename = "unnamed";
    }
    g->uploads = grow(g->req->arena, g->uploads, g->upload_count, &g->upload_capacity, sizeof(*g->uploads));
    const char *data = sl_arena_strndup(g->req->arena, g->data.data, g->data.size);
    g->uploads[g->upload_count++] = (sl_upload){g->name, g->filename, g->type, data, g->data.size};
}

static void read_multipart(sl_request *req, sl__web *web, const char *content_type)
{
    SL_CLEANUP(gather_done) gather g = {.req = req};
    sl__multipart_limits limits = {.parts = SL__PAIRS_MAX};
    int got = sl__multipart_init(&g.parser, content_type, &limits);
    if (got < 0)
        sl_fail(got, "the form is refused: %s", g.parser.reason);
    sl_view input;
    input.data = read_body(req, &input.size);
    while ((got = sl__multipart_next(&g.parser, &input)) > 0 && got != SL__PART_LAST) {
        if (got == SL__PART_BEGIN)
            begin_part(&g);
        else if (got == SL__PART_DATA)
            sl_buffer_put(&g.data, g.parser.data.data, g.parser.data.size);
        else
            finish_part(&g);
    }
    if (got < 0)
        sl_fail(got, "the form is refused: %s", g.parser.reason);
    if (got != SL__PART_LAST)
        sl_fail(SL_HTTP(400), "the form is refused: it ends before its last boundary");
    web->uploads = g.uploads;
    web->upload_count = g.upload_count;
    web->fields = sl_arena_zalloc(req->arena, sizeof(sl__pairs));
    *web->fields = (sl__pairs){g.fields, g.field_count};
}

/* ---- Forms ------------------------------------------------------------------------------------------- */

static sl__web *read_form(sl_request *req)
{
    sl__web *web = sl__web_get(req);
    if (web->fields)
        return web;
    const char *content_type = sl_header(req, "Content-Type");
    sl_view type = media_type(content_type ? content_type : "");
    if (sl_view_equal_nocase(type, SL_VIEW("multipart/form-data"))) {
        check_charset(content_type);
        read_multipart(req, web, content_type);
        return web;
    }
    sl_view body = {"", 0};
    if (sl_view_equal_nocase(type, SL_VIEW("application/x-www-form-urlencoded"))) {
        check_charset(content_type);
        body.data = read_body(req, &body.size);
    } else {
        size_t size = 0;
        if (!content_type)
            read_body(req, &size);
        if (content_type || size > 0)
            sl_fail(SL_HTTP(415),
                    "a form must be application/x-www-form-urlencoded or multipart/form-data, not %s",
                    content_type ? content_type : "of no type");
    }
    web->fields = sl__pairs_read(req, body, "the form");
    return web;
}

const char *sl_field_at(sl_request *req, const char *name, size_t i)
{
    return sl__pairs_value(read_form(req)->fields, name, i);
}

const char *sl_field(sl_request *req, const char *name)
{
    return sl_field_at(req, name, 0);
}

const sl_upload *sl_upload_at(sl_request *req, const char *name, size_t i)
{
    const sl__web *web = read_form(req);
    for (size_t j = 0; j < web->upload_count; j++)
        if (strcmp(web->uploads[j].name, name) == 0 && i-- == 0)
            return &web->uploads[j];
    return NULL;
}

const sl_upload *sl_upload_get(sl_request *req, const char *name)
{
    return sl_upload_at(req, name, 0);
}

/* ---- JSON -------------------------------------------------------------------------------------------- */

static bool is_json(sl_view type)
{
    if (sl_view_equal_nocase(type, SL_VIEW("application/json")))
        return true;
    return type.size > 5 && sl_view_equal_nocase((sl_view){type.data + type.size - 5, 5}, SL_VIEW("+json"));
}

/* Whether brackets nest deeper than the limit; strings are passed over. */
static bool too_deep(const char *text, size_t size)
{
    size_t depth = 0;
    bool string = false;
    for (size_t i = 0; i < size; i++) {
        char c = text[i];
        if (string) {
            if (c == '\\')
                i++;
            else if (c == '"')
                string = false;
        } else if (c == '"') {
            string = true;
        } else if (c == '[' || c == '{') {
            if (++depth > JSON_DEPTH_MAX)
                return true;
        } else if ((c == ']' || c == '}') && depth > 0) {
            depth--;
        }
    }
    return false;
}

static void release_json(void *json)
{
    json_decref(json);
}

json_t *sl_json_body(sl_request *req)
{
    sl__web *web = sl__web_get(req);
    if (web->json)
        return web->json;
    const char *content_type = sl_header(req, "Content-Type");
    if (!content_type || !is_json(media_type(content_type)))
        sl_fail(SL_HTTP(415), "the body must be application/json, not %s",
                content_type ? content_type : "of no type");
    check_charset(content_type);
    size_t size;
    const char *body = read_body(req, &size);
    if (too_deep(body, size))
        sl_fail(SL_HTTP(400), "the JSON of the body nests deeper than %d levels", JSON_DEPTH_MAX);
    json_error_t error;
    web->json = json_loadb(body, size, JSON_DECODE_ANY | JSON_REJECT_DUPLICATES, &error);
    if (!web->json)
        sl_fail(SL_HTTP(400), "the body is not JSON: line %d, column %d: %s", error.line, error.column,
                error.text);
    sl_defer(release_json, web->json);
    return web->json;
}
