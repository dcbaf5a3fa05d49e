"""An application that does on request what a test wants to see, and the text that it serves."""

PAGE = "".join(f"<p>This is line {i} of a page that says nothing of interest.</p>\n" for i in range(200))
LONG = "".join(f"{i}: a longer text, to be sent from its file or in slices\n" for i in range(40000))
HUGE = "".join(f"{i * 7919}: a text too long to be compressed in one go\n" for i in range(100000))

SOURCE = """
#include <silver/silver.h>
#include <silver/io.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static sl_response *home(sl_request *req)
{
    return sl_text(req, 200, "home\\n");
}

static sl_response *process(sl_request *req)
{
    return sl_text(req, 200, "%d", (int)getpid());
}

/* What the server made of the request. */
static sl_response *show(sl_request *req)
{
    sl_response *res = sl_text(req, 200, "%s|%s|%s|%s|%s|%s", sl_method(req), sl_path(req), sl_query(req), sl_host(req),
                               sl_peer(req), sl_header(req, "X-Probe") ? sl_header(req, "X-Probe") : "-");
    return sl_set_header(res, "X-Shown", "yes");
}

static sl_response *echo(sl_request *req)
{
    size_t size;
    const char *body = sl_body(req, 0, &size);
    sl_response *res = sl_bytes_response(req, 200, "application/octet-stream", body, size);
    const char *trailer = sl_trailer(req, "X-Sum");
    return trailer ? sl_set_header(res, "X-Trailer", trailer) : res;
}

/* Takes any amount, piece by piece. */
static sl_response *count(sl_request *req)
{
    size_t total = 0, size;
    while (sl_body_read(req, &size))
        total += size;
    return sl_text(req, 200, "%zu", total);
}

static sl_response *ignore(sl_request *req)
{
    return sl_text(req, 200, "ignored");
}

static sl_response *page(sl_request *req)
{
    sl_response *res = sl_file_response(req, sl_printf("%s/page.html", sl_app_directory(sl_request_app(req))), NULL);
    return sl_set_header(res, "ETag", "\\"page-1\\"");
}

static void write_lines(sl_stream *out, void *data)
{
    long lines = (long)data;
    for (long i = 0; i < lines; i++)
        sl_write_printf(out, "line %ld of a stream\\n", i);
}

static sl_response *stream(sl_request *req)
{
    const char *lines = sl_param(req, "lines");
    return sl_stream_response(req, 200, "text/plain; charset=utf-8", write_lines, (void *)(lines ? atol(lines) : 3));
}

static void write_and_wait(sl_stream *out, void *data)
{
    sl_write(out, "first\\n", 6);
    sl_flush(out);
    for (;;)
        sl_await(sl_sleep(1000));
}

static sl_response *endless(sl_request *req)
{
    return sl_stream_response(req, 200, "text/plain", write_and_wait, NULL);
}

static void write_and_fail(sl_stream *out, void *data)
{
    sl_write(out, "half\\n", 5);
    sl_flush(out);
    sl_fail(SL_EFAILED, "the other half is missing");
}

static sl_response *broken(sl_request *req)
{
    return sl_stream_response(req, 200, "text/plain", write_and_fail, NULL);
}

/* Answers once the file named in the query is there. */
static sl_response *gate(sl_request *req)
{
    const char *path = sl_param(req, "path");
    if (!path)
        sl_fail(SL_HTTP(400), "say which path");
    sl_info("at the gate %s", path);
    for (sl_error *error = NULL;;) {
        sl_try(sl_file_stat(path), &error);
        if (!error)
            return sl_text(req, 200, "through");
        sl_await(sl_sleep(10));
    }
}

static sl_response *fail(sl_request *req)
{
    sl_fail(SL_EFAILED, "the <b>probe</b> failed on purpose");
}

static sl_response *teapot(sl_request *req)
{
    sl_fail(SL_HTTP(418), "no coffee here");
}

static sl_response *crash(sl_request *req)
{
    abort();
}

static sl_response *spin(sl_request *req)
{
    raise(SIGKILL);
    return NULL;
}

static sl_response *say(sl_request *req)
{
    printf("a stray printf\\n");
    fflush(stdout);
    fprintf(stderr, "a stray complaint\\n");
    sl_info("an ordinary record");
    sl_warning("a warning of\\ntwo lines");
    return sl_text(req, 200, "said");
}

static sl_response *where(sl_request *req)
{
    return sl_text(req, 200, "%s", sl_url(req, "room", "room", "a b/c"));
}

static sl_response *room(sl_request *req)
{
    return sl_text(req, 200, "room %s", sl_urlvar(req, "room"));
}

static void talk(sl_websocket *ws)
{
    for (sl_message *m; (m = sl_receive(ws));) {
        if (m->kind == SL_BINARY)
            sl_send_binary(ws, m->data, m->size);
        else if (strcmp(m->data, "close") == 0)
            sl_websocket_close(ws, 4001, "as you wish");
        else if (strcmp(m->data, "return") == 0)
            return;
        else if (strcmp(m->data, "fail") == 0)
            sl_fail(SL_EFAILED, "the socket failed on purpose");
        else
            sl_send_text(ws, m->data);
    }
    sl_info("the socket was closed with %d", sl_websocket_close_code(ws));
}

SL_EVENT(said);

/* Tells all that are on /wall, in all instances. */
static sl_response *shout(sl_request *req)
{
    size_t size;
    const char *body = sl_body(req, 0, &size);
    sl_emit(sl_channel("wall"), said, json_stringn(body, size));
    return sl_text(req, 200, "shouted");
}

static void wall(sl_websocket *ws)
{
    sl_inbox *in = sl_subscribe(sl_channel("wall"), said);
    sl_send_printf(ws, "%d", (int)getpid());
    for (const json_t *text; (text = sl_next(in));)
        sl_send_text(ws, json_string_value(text));
}

SL_APPLICATION(app)
{
    sl_route(app, "home", "GET /", home);
    sl_route(app, "process", "GET /process", process);
    sl_route(app, "show", "GET /show/{rest...}", show);
    sl_route(app, "echo", "POST /echo", echo);
    sl_route(app, "count", "POST /count", count);
    sl_route(app, "ignore", "POST /ignore", ignore);
    sl_route(app, "page", "GET /page", page);
    sl_route(app, "stream", "GET /stream", stream);
    sl_route(app, "endless", "GET /endless", endless);
    sl_route(app, "broken", "GET /broken", broken);
    sl_route(app, "gate", "GET /gate", gate);
    sl_route(app, "fail", "GET /fail", fail);
    sl_route(app, "teapot", "GET /teapot", teapot);
    sl_route(app, "crash", "GET /crash", crash);
    sl_route(app, "die", "GET /die", spin);
    sl_route(app, "say", "GET /say", say);
    sl_route(app, "where", "GET /where", where);
    sl_route(app, "room", "GET /rooms/{room}", room);
    sl_route(app, "post room", "POST /rooms/{room}", room);
    sl_route(app, "talk", "GET /talk", talk);
    sl_route(app, "shout", "POST /shout", shout);
    sl_route(app, "wall", "GET /wall", wall);
}
""".replace("#include <unistd.h>\n", "#include <signal.h>\n#include <unistd.h>\n")

FILES = {"page.html": PAGE, "static/hello.txt": "hello, static\n", "static/long.txt": LONG, "static/huge.txt": HUGE}
