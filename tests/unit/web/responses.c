/* Responses that handlers make: HTML, JSON, redirects. */

#include "fixture.h"

#include <stdlib.h>

static sl_response *html(sl_request *req)
{
    return sl_html(req, 201, "<p>hello</p>");
}

static sl_response *pack(sl_request *req)
{
    return sl_json_pack(req, 202, "{s:s, s:i, s:[b, n]}", "name", "ä", "count", 3, "list", 1);
}

static sl_response *bad_pack(sl_request *req)
{
    return sl_json_pack(req, 200, "{s:s, s:s}", "name", "x", "missing", (char *)NULL);
}

static sl_response *no_json(sl_request *req)
{
    return sl_json(req, 200, NULL);
}

/* As deep as a program can read it: writing it would overrun the task's stack. */
static json_t *deep(sl_request *req)
{
    size_t levels = strtoul(sl_param(req, "levels"), NULL, 10);
    char *text = sl_alloc(2 * levels);
    memset(text, '[', levels);
    memset(text + levels, ']', levels);
    return json_loadb(text, 2 * levels, 0, NULL);
}

static sl_response *deep_json(sl_request *req)
{
    return sl_json(req, 200, deep(req));
}

static sl_response *deep_page(sl_request *req)
{
    return sl_render(req, "deep.html", "{s:o}", "x", deep(req));
}

static sl_response *redirect(sl_request *req)
{
    return sl_redirect(req, atoi(sl_param(req, "status")), sl_param(req, "to"));
}

static sl_response *see_other(sl_request *req)
{
    return sl_see_other(req, sl_url(req, "html"));
}

static void setup(sl_app *app)
{
    sl_route(app, "html", "GET /html", html);
    sl_route(app, "pack", "GET /pack", pack);
    sl_route(app, "bad-pack", "GET /bad-pack", bad_pack);
    sl_route(app, "no-json", "GET /no-json", no_json);
    sl_route(app, "deep-json", "GET /deep-json", deep_json);
    sl_route(app, "deep-page", "GET /deep-page", deep_page);
    sl_route(app, "redirect", "GET /redirect", redirect);
    sl_route(app, "see-other", "POST /see-other", see_other);
}

static void drive_bodies(site *s)
{
    const answer *a = request(s, "GET /html");
    assert_int_equal(a->status, 201);
    assert_string_equal(a->type, "text/html; charset=utf-8");
    assert_string_equal(a->body, "<p>hello</p>");
    a = request(s, "GET /pack");
    assert_int_equal(a->status, 202);
    assert_string_equal(a->type, "application/json");
    assert_string_equal(a->body, "{\"name\":\"ä\",\"count\":3,\"list\":[true,null]}");
    a = request(s, "GET /bad-pack");
    assert_int_equal(a->status, 500);
    assert_contains(a->body, "sl_json_pack: the format \"{s:s, s:s}\" fails at its character");
    assert_contains(a->body, "responses.c");
    assert_contains(request(s, "GET /no-json")->body, "there is no JSON to send");
}

static void drive_depth(site *s)
{
    write_file(s, "templates/deep.html", "{{ x | json }}");
    assert_int_equal(request(s, "GET /deep-json?levels=512")->size, 1024);
    assert_int_equal(request(s, "GET /deep-page?levels=512")->size, 1024);
    static const char *const levels[] = {"513", "2000"};
    for (size_t i = 0; i < sl_array_size(levels); i++) {
        const answer *a = request(s, sl_printf("GET /deep-json?levels=%s", levels[i]));
        assert_int_equal(a->status, 500);
        assert_contains(a->body, "the value is nested too deep: 512 levels at most");
        a = request(s, sl_printf("GET /deep-page?levels=%s", levels[i]));
        assert_int_equal(a->status, 500);
        assert_contains(a->body, "the value is nested too deep: 512 levels at most");
    }
}

static const char *location(site *s, const char *to)
{
    const answer *a = request(s, sl_printf("GET /redirect?status=302&to=%s", to));
    return a->status == 302 ? field_of(a, "Location", 0) : NULL;
}

static void drive_redirects(site *s)
{
    const answer *a = request(s, "POST /see-other");
    assert_int_equal(a->status, 303);
    assert_string_equal(field_of(a, "Location", 0), "/html");
    assert_string_equal(location(s, "/a%3Fx%3D1%26y%3D%252F%23z"), "/a?x=1&y=%2F#z");
    assert_string_equal(location(s, "https%3A//example.org/"), "https://example.org/");
    assert_string_equal(location(s, "/a%20b%0D%0ASet-Cookie%3A%20x%22%C3%A4"),
                        "/a%20b%0D%0ASet-Cookie:%20x%22%C3%A4");
    /* Browsers take a backslash for a slash. */
    assert_string_equal(location(s, "/%5Cevil.example"), "/%5Cevil.example");
    assert_null(location(s, "//evil.example"));
    assert_null(location(s, ""));
    assert_contains(request(s, "GET /redirect?status=302&to=//evil.example")->body, "would leave the site");
    assert_contains(request(s, "GET /redirect?status=200&to=/")->body, "not 200");
    assert_contains(request(s, "GET /redirect?status=304&to=/")->body, "not 304");
}

static void bodies_test(void **state)
{
    with_site(true, setup, drive_bodies);
}

static void depth_test(void **state)
{
    with_site(true, setup, drive_depth);
}

static void redirects_test(void **state)
{
    with_site(true, setup, drive_redirects);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(bodies_test), cmocka_unit_test(depth_test),
                                       cmocka_unit_test(redirects_test)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
