/* response.c: what a handler says in a response. (Files are in file_response.c.) */
#include "http/server.h"

static sl_response *response_new(sl_request *req, int status)
{
    sl_response *res = sl_arena_alloc(req->arena, sizeof(*res));
    *res = (sl_response){.request = req, .status = status, .body = SL__BODY_SEGMENTS};
    return res;
}

static bool without_content(int status)
{
    return status < 200 || status == 204 || status == 304;
}

sl_response *sl_set_status(sl_response *res, int status)
{
    if (status < 200 || status > 599)
        sl_fail(SL_EINVAL, "a response cannot have the status %d: it must be 200 … 599", status);
    res->status = status;
    return res;
}

sl_response *sl_respond(sl_request *req, int status)
{
    sl_response *res = sl_set_status(response_new(req, status), status);
    if (without_content(status))
        res->body = SL__BODY_NONE;
    return res;
}

static sl_response *with_bytes(sl_request *req, int status, const char *type, const void *data, size_t size)
{
    sl_response *res = sl_set_status(response_new(req, status), status);
    res->type = type;
    res->segments = sl_arena_alloc(req->arena, sizeof(*res->segments));
    *res->segments = (sl__piece){.data = data ? data : "", .fd = -1, .size = size};
    res->segment_count = size > 0;
    return res;
}

static const char *checked(const char *what, const char *value, sl_arena *arena);

sl_response *sl_bytes_response(sl_request *req, int status, const char *type, const void *data, size_t size)
{
    return with_bytes(req, status, type ? checked("Content-Type", type, req->arena) : NULL, data, size);
}

sl_response *sl_text(sl_request *req, int status, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    char *text = sl_arena_vprintf(req->arena, format, arguments);
    va_end(arguments);
    return with_bytes(req, status, "text/plain; charset=utf-8", text, strlen(text));
}

sl_response *sl_stream_response(sl_request *req, int status, const char *type, sl_stream_fn *write,
                                void *data)
{
    sl_response *res = sl_set_status(response_new(req, status), status);
    res->type = type ? checked("Content-Type", type, req->arena) : NULL;
    res->body = SL__BODY_STREAM;
    res->write = write;
    res->write_data = data;
    return res;
}

/* ---- Fields ---- */

static bool is_token(const char *name)
{
    if (!*name)
        return false;
    for (; *name; name++) {
        bool letter = (*name | 0x20) >= 'a' && (*name | 0x20) <= 'z';
        if (!letter && !(*name >= '0' && *name <= '9') && !strchr("!#$%&'*+-.^_`|~", *name))
            return false;
    }
    return true;
}

/* A copy of the value without the spaces around it. Anything else that could end the line, or that a cache or
 * a log could take for its end, is refused: that is how responses are split. */
static const char *checked(const char *name, const char *value, sl_arena *arena)
{
    for (const char *at = value; *at; at++) {
        unsigned char c = (unsigned char)*at;
        if ((c < 0x20 && c != '\t') || c == 0x7f)
            sl_fail(SL_EINVAL, "the value of the field %s has a control character (0x%02x) at byte %zu", name,
                    c, (size_t)(at - value));
    }
    sl_view trimmed = sl_view_trim(sl_view_of(value), " \t");
    return sl_arena_strndup(arena, trimmed.data, trimmed.size);
}

static sl__field make_field(sl_response *res, const char *name, const char *value)
{
    if (!is_token(name))
        sl_fail(SL_EINVAL, "\"%s\" cannot be the name of a field: letters, digits and - are usual", name);
    sl_arena *arena = res->request->arena;
    const char *kept = checked(name, value, arena);
    size_t size = strlen(name);
    return (sl__field){sl_arena_strndup(arena, name, size), kept, (uint32_t)size, (uint32_t)strlen(kept)};
}

static void append(sl_response *res, sl__field field)
{
    sl__fields *fields = &res->fields;
    if (fields->count == fields->capacity) {
        size_t capacity = fields->capacity ? fields->capacity * 2 : 8;
        sl__field *items = sl_arena_alloc(res->request->arena, capacity * sizeof(*items));
        if (fields->count)
            memcpy(items, fields->items, fields->count * sizeof(*items));
        fields->items = items;
        fields->capacity = capacity;
    }
    fields->items[fields->count++] = field;
}

static bool same_name(const sl__field *a, const sl__field *b)
{
    return sl_view_equal_nocase((sl_view){a->name, a->name_size}, (sl_view){b->name, b->name_size});
}

sl_response *sl_set_header(sl_response *res, const char *name, const char *value)
{
    sl__field field = make_field(res, name, value);
    sl__fields *fields = &res->fields;
    size_t kept = 0;
    for (size_t i = 0; i < fields->count; i++) {
        if (!same_name(&fields->items[i], &field))
            fields->items[kept++] = fields->items[i];
    }
    fields->count = kept;
    append(res, field);
    return res;
}

sl_response *sl_add_header(sl_response *res, const char *name, const char *value)
{
    append(res, make_field(res, name, value));
    return res;
}

const char *sl_response_header(const sl_response *res, const char *name)
{
    const sl__field *field = sl__fields_find(&res->fields, name);
    if (field)
        return field->value;
    return res->type && sl_view_equal_nocase(sl_view_of(name), SL_VIEW("Content-Type")) ? res->type : NULL;
}

int sl_status(const sl_response *res)
{
    return res->status;
}
