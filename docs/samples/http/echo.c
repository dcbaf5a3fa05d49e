/* echo.c: a WebSocket that says everything back, and tells the time meanwhile. */
#include <silver/silver.h>

static void *tell_time(void *data)
{
    for (;;) {
        sl_await(sl_sleep(10000));
        sl_send_json(data, "{s:s, s:I}", "kind", "time", "ms", (long long)sl_wall_ms());
    }
    return NULL;
}

static void echo(sl_websocket *ws)
{
    SL_SCOPE(scope)
    {
        sl_go(tell_time, ws);
        for (sl_message *m; (m = sl_receive(ws));)
            if (m->kind == SL_TEXT)
                sl_send_json(ws, "{s:s, s:s}", "kind", "echo", "text", m->data);
        sl_scope_cancel(scope); /* the client has gone: so does the clock */
    }
}

static sl_response *open_echo(sl_request *req)
{
    return sl_websocket_accept(req, echo, &(sl_websocket_options){.max_message = 65536});
}

SL_APPLICATION(app)
{
    sl_route(app, "echo", "GET /echo", open_echo);
}
