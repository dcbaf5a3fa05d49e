/* Requests reach their handlers: variables, methods, URLs, the application and its configuration. */

#include "fixture.h"

#include <stdlib.h>

static sl_response *index_page(sl_request *req)
{
    return sl_text(req, 200, "index of %s", (const char *)sl_app_get(sl_request_app(req)));
}

static sl_response *room(sl_request *req)
{
    return sl_text(req, 200, "%s: %s, q=%s, at %s", sl_route_name(req), sl_urlvar(req, "room"),
                   sl_param(req, "q") ? sl_param(req, "q") : "none",
                   sl_url(req, "live", "room", sl_urlvar(req, "room"), "since", "1 2"));
}

static sl_response *wrong_variable(sl_request *req)
{
    return sl_text(req, 200, "%s", sl_urlvar(req, "romo"));
}

static sl_response *wrong_url(sl_request *req)
{
    return sl_text(req, 200, "%s", sl_url(req, "live"));
}

static sl_response *null_url(sl_request *req)
{
    const char *nothing = NULL;
    return sl_text(req, 200, "%s", sl_url(req, "live", "room", nothing));
}

static sl_response *forgetful(sl_request *req)
{
    return NULL;
}

static sl_response *many(sl_request *req)
{
    SL_CLEANUP(sl_buffer_done) sl_buffer out = {0};
    for (size_t i = 0; sl_param_at(req, "x", i); i++)
        sl_buffer_printf(&out, "[%s]", sl_param_at(req, "x", i));
    return sl_text(req, 200, "%s", out.data ? out.data : "");
}

static sl_response *config(sl_request *req)
{
    sl_app *app = sl_request_app(req);
    return sl_text(req, 200, "%s %s %s %d", sl_config(app, "SQLITE_PATH"), sl_config(app, "MISSING"),
                   sl_app_directory(app), sl_app_development(app));
}

static void live(sl_websocket *ws)
{
}

static sl_response *number(sl_request *req)
{
    return sl_text(req, 200, "%d %s", (int)sl_param_number(req, "n", 99, 7),
                   sl_prefers(req, "application/json") ? "json" : "html");
}

static sl_response *posted(sl_request *req)
{
    return sl_text(req, 200, "posted");
}

static void setup(sl_app *app)
{
    sl_app_set(app, sl_strdup_heap("the chat"), free);
    sl_route(app, "index", "GET /", index_page);
    sl_route(app, "room", "GET /rooms/{room}", room);
    sl_route(app, "live", "GET /rooms/{room}/live", live, .websocket = {.max_message = 10});
    sl_route(app, "wrong", "GET /wrong/{room}", wrong_variable);
    sl_route(app, "wrong-url", "GET /wrong-url", wrong_url);
    sl_route(app, "null-url", "GET /null-url", null_url);
    sl_route(app, "forgetful", "GET /forgetful", forgetful);
    sl_route(app, "many", "GET /many", many);
    sl_route(app, "config", "GET /config", config);
    sl_route(app, "save", "POST /many", forgetful);
    sl_route(app, "number", "GET /number", number);
    sl_route(app, "post", "POST /post", posted);
    sl_route(app, "hook", "POST /hook", posted, .other_sites = true);
}

static void drive_handlers(site *s)
{
    assert_string_equal(request(s, "GET /")->body, "index of the chat");
    assert_string_equal(request(s, "GET /rooms/a%20b?q=x+y%21")->body,
                        "room: a b, q=x y!, at /rooms/a%20b/live?since=1%202");
    /* A name with a slash goes into a URL and comes back out. */
    assert_string_equal(request(s, "GET /rooms/a%2Fb%C3%A4")->body,
                        "room: a/bä, q=none, at /rooms/a%2Fb%C3%A4/live?since=1%202");
    assert_int_equal(request(s, "GET /rooms/x/live")->max_message, 10);
    assert_string_equal(request(s, "GET /many?x=1&y=2&x=&x=%C3%A4")->body, "[1][][ä]");
    assert_string_equal(request(s, "GET /config")->body,
                        sl_printf("/data/chat.db (null) %s 0", s->directory));
}

static void drive_methods(site *s)
{
    const answer *a = request(s, "DELETE /many");
    assert_int_equal(a->status, 405);
    assert_string_equal(field_of(a, "Allow", 0), "GET, HEAD, POST, OPTIONS");
    assert_contains(a->body, "DELETE is not possible here");
    a = request(s, "OPTIONS /many");
    assert_int_equal(a->status, 204);
    assert_string_equal(field_of(a, "Allow", 0), "GET, HEAD, POST, OPTIONS");
    assert_int_equal(request(s, "OPTIONS *")->status, 204);
    assert_int_equal(request(s, "OPTIONS /nothing")->status, 404);
    assert_int_equal(request(s, "HEAD /")->status, 200);
    a = request(s, "GET /nothing/here");
    assert_int_equal(a->status, 404);
    assert_contains(a->body, "/nothing/here");
    assert_int_equal(request(s, "GET /rooms//")->status, 404);
}

static void drive_mistakes(site *s)
{
    const answer *a = request(s, "GET /wrong/x");
    assert_int_equal(a->status, 500);
    assert_contains(a->body, "the route \"wrong\" (GET /wrong/{room}) has no variable \"romo\"");
    assert_contains(a->body, "routes.c"); /* the handler's line, not ours */
    assert_contains(request(s, "GET /wrong-url")->body, "needs a value for \"room\"");
    assert_contains(request(s, "GET /null-url")->body, "it is NULL");
    assert_contains(request(s, "GET /forgetful")->body,
                    "the handler of the route \"forgetful\" (GET /forgetful) returned no");
}

static void drive_bad_queries(site *s)
{
    assert_int_equal(request(s, "GET /many?x=%zz")->status, 400);
    assert_int_equal(request(s, "GET /many?x=%ff")->status, 400);
    assert_int_equal(request(s, "GET /many?x=a%00b")->status, 400);
    assert_contains(request(s, "GET /many?x=%zz")->body, "the query is refused");
    SL_CLEANUP(sl_buffer_done) sl_buffer line = {0};
    sl_buffer_puts(&line, "GET /many?x");
    for (int i = 0; i < 1001; i++)
        sl_buffer_puts(&line, "&x");
    assert_int_equal(request(s, line.data)->status, 413);
}

static void *try_setup(void *data)
{
    sl_app *app = data;
    sl_route(app, "again", "GET /rooms/{name}", room);
    return NULL;
}

static void drive_duplicate(site *s)
{
    sl_error *error;
    sl_try(sl_spawn(try_setup, s->app), &error);
    assert_non_null(error);
    assert_int_equal(error->code, SL_EEXIST);
    assert_contains(error->message, "routes.c:");
    assert_contains(error->message, "\"room\" (GET /rooms/{room})");
}

static void drive_numbers(site *s)
{
    assert_string_equal(request(s, "GET /number?n=42")->body, "42 html");
    assert_string_equal(request(s, "GET /number", .headers = "Accept: application/json\n")->body, "7 json");
    assert_string_equal(request(s, "GET /number", .headers = "Accept: */*\n")->body, "7 html");
    assert_int_equal(request(s, "GET /number?n=100")->status, 400);
    assert_int_equal(request(s, "GET /number?n=-1")->status, 400);
}

static void drive_other_sites(site *s)
{
    static const struct {
        const char *headers;
        int status;
    } cases[] = {
        {NULL, 200}, /* no browser */
        {"Origin: http://example.org\n", 200},
        {"Origin: http://example.org:80\n", 200},
        {"Origin: http://evil.example\n", 403},
        {"Origin: null\n", 403},
        {"Sec-Fetch-Site: same-origin\nOrigin: http://behind.a.proxy\n", 200},
        {"Sec-Fetch-Site: none\n", 200},
        {"Sec-Fetch-Site: cross-site\n", 403},
        {"Sec-Fetch-Site: cross-site\nOrigin: http://evil.example\n", 403},
        {"Sec-Fetch-Site: same-site\nOrigin: http://other.example.org\n", 403},
    };
    for (size_t i = 0; i < sl_array_size(cases); i++) {
        assert_int_equal(request(s, "POST /post", .headers = cases[i].headers)->status, cases[i].status);
        assert_int_equal(request(s, "POST /hook", .headers = cases[i].headers)->status, 200);
        assert_int_equal(request(s, "GET /number", .headers = cases[i].headers)->status, 200);
    }
}

#define SITE_TEST(name, development)                                                                         \
    static void name##_test(void **state)                                                                    \
    {                                                                                                        \
        with_site(development, setup, name);                                                                 \
    }

SITE_TEST(drive_handlers, false)
SITE_TEST(drive_methods, false)
SITE_TEST(drive_mistakes, true)
SITE_TEST(drive_bad_queries, false)
SITE_TEST(drive_duplicate, false)
SITE_TEST(drive_numbers, false)
SITE_TEST(drive_other_sites, false)

int main(void)
{
    setenv("CONFIG_SQLITE_PATH", "/data/chat.db", 1);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(drive_handlers_test),    cmocka_unit_test(drive_methods_test),
        cmocka_unit_test(drive_mistakes_test),    cmocka_unit_test(drive_bad_queries_test),
        cmocka_unit_test(drive_duplicate_test),   cmocka_unit_test(drive_numbers_test),
        cmocka_unit_test(drive_other_sites_test),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
