/* request.c: what a handler can ask of a request. (Its body is in body.c.) */
#include "http/server.h"

const char *sl_method(const sl_request *req)
{
    return req->method;
}

const char *sl_target(const sl_request *req)
{
    return req->target;
}

const char *sl_path(const sl_request *req)
{
    return req->path;
}

const char *sl_query(const sl_request *req)
{
    return req->query;
}

const char *sl_host(const sl_request *req)
{
    return req->host;
}

const char *sl_scheme(const sl_request *req)
{
    return "http";
}

const char *sl_peer(const sl_request *req)
{
    sl__exchange *exchange = sl__exchange_of(req);
    if (!exchange->peer) {
        char text[48] = "";
        if (exchange->connection)
            sl__connection_peer(exchange->connection, text);
        exchange->peer = sl_arena_strdup(req->arena, text);
    }
    return exchange->peer;
}

const char *sl_request_id(const sl_request *req)
{
    sl__exchange *exchange = sl__exchange_of(req);
    if (!exchange->id_text)
        exchange->id_text = sl_arena_printf(req->arena, "%016llx", (unsigned long long)req->id);
    return exchange->id_text;
}

int sl_http_minor(const sl_request *req)
{
    return req->minor;
}

const char *sl_header(const sl_request *req, const char *name)
{
    const sl__field *field = sl__fields_find(&req->fields, name);
    return field ? field->value : NULL;
}

size_t sl_header_count(const sl_request *req)
{
    return req->fields.count;
}

const char *sl_header_at(const sl_request *req, size_t i, const char **ret_name)
{
    if (i >= req->fields.count)
        return NULL;
    if (ret_name)
        *ret_name = req->fields.items[i].name;
    return req->fields.items[i].value;
}

const char *sl_trailer(const sl_request *req, const char *name)
{
    const sl__field *field = sl__fields_find(&req->trailers, name);
    return field ? field->value : NULL;
}

void sl__request_defer(sl_request *req, sl_free_fn *fn, void *data)
{
    sl__release *release = sl_arena_alloc(req->arena, sizeof(*release));
    *release = (sl__release){.next = req->releases, .fn = fn, .data = data};
    req->releases = release;
}

void sl__request_release(sl_request *req)
{
    for (sl__release *release; (release = req->releases);) {
        req->releases = release->next;
        release->fn(release->data);
    }
}
