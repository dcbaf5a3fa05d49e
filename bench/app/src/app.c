/* app.c: the least that an application can be: a constant, and a greeting with a variable of the path. */
#include <silver/silver.h>

static sl_response *ok(sl_request *req)
{
    return sl_text(req, 200, "ok");
}

static sl_response *hello(sl_request *req)
{
    return sl_text(req, 200, "Hello, %s!", sl_urlvar(req, "name"));
}

SL_APPLICATION(app)
{
    sl_route(app, "ok", "GET /", ok);
    sl_route(app, "hello", "GET /hello/{name}", hello);
}
