/* visits.c: the query, cookies, uploads, JSON bodies and configuration. */
#include <silver/silver.h>

#include <stdlib.h>

static sl_response *search(sl_request *req)
{
    const char *q = sl_param(req, "q");
    if (!q)
        sl_fail(SL_HTTP(400), "say what you look for: /search?q=…");
    return sl_text(req, 200, "nothing about %s", q);
}

static sl_response *count(sl_request *req)
{
    const char *before = sl_cookie(req, "visits");
    int visits = before ? atoi(before) + 1 : 1;
    sl_response *res = sl_text(req, 200, "visit number %d", visits);
    return sl_set_cookie(res, "visits", sl_printf("%d", visits), .max_age_s = 30 * 24 * 3600);
}

static sl_response *receive(sl_request *req)
{
    const sl_upload *file = sl_upload_get(req, "photo");
    if (!file)
        sl_fail(SL_HTTP(400), "choose a file first");
    const char *directory = sl_config(sl_request_app(req), "FILES");
    char *path = sl_printf("%s/%s", directory ? directory : "/tmp", sl_request_id(req));
    sl_await(sl_file_write(path, file->data, file->size));
    return sl_text(req, 201, "%s: %zu bytes", file->filename, file->size);
}

static sl_response *add(sl_request *req)
{
    int a, b;
    json_error_t error;
    if (json_unpack_ex(sl_json_body(req), &error, 0, "{s:i, s:i}", "a", &a, "b", &b) < 0)
        sl_fail(SL_HTTP(400), "send two numbers, a and b: %s", error.text);
    return sl_json_pack(req, 200, "{s:I}", "sum", (json_int_t)a + b);
}

SL_APPLICATION(app)
{
    sl_route(app, "search", "GET /search", search);
    sl_route(app, "count", "GET /count", count);
    sl_route(app, "receive", "POST /photos", receive, .max_body = 10 << 20);
    sl_route(app, "add", "POST /add", add);
}
