/* The router by itself: which route a method and a path find, and what is refused as a pattern. */

#include "fixture.h"

#include <stdio.h>
#include <stdlib.h>

#include "web/router.h"

static const sl_route_options none = {0};

static sl_response *handler(sl_request *req)
{
    return NULL;
}

static void socket_handler(sl_websocket *ws)
{
}

static sl__router *router_of(const char *const *patterns)
{
    sl__router *router = sl__router_new();
    sl_error *error;
    for (; *patterns; patterns++)
        assert_int_equal(sl__router_add(router, SL_HERE, *patterns, *patterns, handler, NULL, &none, &error),
                         0);
    return router;
}

#define router_with(...) router_of((const char *const[]){__VA_ARGS__, NULL})

static sl__match found;

/* The name of the route that was found, or NULL. */
static const char *find(const sl__router *router, sl__method id, const char *method, const char *path)
{
    sl__router_match(router, id, method, sl_view_of(path), &found);
    return found.route ? found.route->name : NULL;
}

#define get(router, path) find((router), SL__GET, "GET", (path))

static void assert_value(unsigned i, const char *text)
{
    assert_true(i < found.value_count);
    assert_true(sl_view_equal(found.values[i], sl_view_of(text)));
}

static void test_literals_and_variables(void **state)
{
    sl__router *r = router_with("GET /", "GET /rooms", "GET /rooms/", "GET /rooms/{room}",
                                "GET /rooms/{room}/live", "GET /files/{path...}");
    assert_string_equal(get(r, "/"), "GET /");
    assert_string_equal(get(r, "/rooms"), "GET /rooms");
    assert_string_equal(get(r, "/rooms/"), "GET /rooms/");
    assert_string_equal(get(r, "/rooms/a b"), "GET /rooms/{room}");
    assert_value(0, "a b");
    assert_string_equal(get(r, "/rooms/a/live"), "GET /rooms/{room}/live");
    assert_value(0, "a");
    assert_int_equal(found.value_count, 1);
    assert_null(get(r, "/rooms/a/"));
    assert_null(get(r, "/rooms/a/lives"));
    assert_null(get(r, "/room"));
    assert_null(get(r, "*"));
    assert_null(get(r, ""));
    assert_string_equal(get(r, "/files/a/b.txt"), "GET /files/{path...}");
    assert_value(0, "a/b.txt");
    assert_string_equal(get(r, "/files/"), "GET /files/{path...}");
    assert_value(0, "");
    assert_null(get(r, "/files"));
    sl__router_free(r);
}

static void test_literals_win_in_any_order(void **state)
{
    sl__router *r = router_with("GET /{all...}", "GET /{one}", "GET /a", "GET /{one}/c", "GET /a/{two}",
                                "GET /{x}/{y}/z");
    assert_string_equal(get(r, "/a"), "GET /a");
    assert_string_equal(get(r, "/b"), "GET /{one}");
    assert_string_equal(get(r, "/a/c"), "GET /a/{two}");
    assert_string_equal(get(r, "/b/c"), "GET /{one}/c");
    /* Down a branch that ends in nothing, and back up. */
    assert_string_equal(get(r, "/a/c/z"), "GET /{x}/{y}/z");
    assert_value(0, "a");
    assert_value(1, "c");
    assert_int_equal(found.value_count, 2);
    assert_string_equal(get(r, "/a/c/y"), "GET /{all...}");
    assert_value(0, "a/c/y");
    assert_int_equal(found.value_count, 1);
    sl__router_free(r);
}

static void test_methods(void **state)
{
    sl__router *r =
        router_with("GET /a", "POST /a", "DELETE /a", "PURGE /a", "POST /{x}", "GET /only", "PROPFIND /{x}");
    assert_string_equal(find(r, SL__POST, "POST", "/a"), "POST /a");
    assert_string_equal(find(r, SL__HEAD, "HEAD", "/a"), "GET /a");
    assert_string_equal(find(r, SL__METHOD_OTHER, "PURGE", "/a"), "PURGE /a");
    assert_null(find(r, SL__METHOD_OTHER, "LINK", "/a"));
    /* A literal path that lacks the method does not hide a variable one that has it. */
    assert_string_equal(find(r, SL__POST, "POST", "/only"), "POST /{x}");
    assert_null(find(r, SL__PUT, "PUT", "/a"));
    assert_true(found.path_known);
    sl_buffer allow = {0};
    sl__router_allow(&found, &allow);
    assert_string_equal(allow.data, "GET, HEAD, POST, DELETE, OPTIONS, PURGE, PROPFIND");
    sl_buffer_done(&allow);
    assert_null(find(r, SL__PUT, "PUT", "/a/b"));
    assert_false(found.path_known);
    sl__router_free(r);
}

static void test_many_literals(void **state)
{
    sl__router *r = sl__router_new();
    char pattern[64], name[64];
    sl_error *error;
    for (int i = 0; i < 1000; i++) {
        snprintf(pattern, sizeof(pattern), "GET /p%d/x", (i * 7919) % 1000);
        assert_int_equal(sl__router_add(r, SL_HERE, pattern, pattern, handler, NULL, &none, &error), 0);
    }
    for (int i = 0; i < 1000; i++) {
        snprintf(name, sizeof(name), "GET /p%d/x", i);
        assert_string_equal(get(r, name + 4), name);
    }
    assert_null(get(r, "/p1000/x"));
    sl__router_free(r);
}

static char *complaint(const char *pattern, sl_websocket_fn *websocket)
{
    sl__router *r = router_with("GET /taken/{room}");
    sl_error *error = NULL;
    int got =
        sl__router_add(r, SL_HERE, "name", pattern, websocket ? NULL : handler, websocket, &none, &error);
    assert_true(got == SL_EINVAL || got == SL_EEXIST);
    char *text = sl_error_text(error);
    sl_error_unref(error);
    sl__router_free(r);
    return text;
}

static void test_wrong_patterns(void **state)
{
    static const struct {
        const char *pattern, *says;
    } cases[] = {
        {"/rooms", "does not start with a method"},
        {"get /rooms", "does not start with a method"},
        {"GET  /rooms", "does not start with a method"},
        {"GET rooms", "does not start with a method"},
        {"", "does not start with a method"},
        {"GET /a//b", "an empty segment"},
        {"GET /a/../b", "\"..\""},
        {"GET /{a", "without its \"}\""},
        {"GET /{a}b", "without its \"}\""},
        {"GET /a{b}", "inside a segment"},
        {"GET /{}", "not made of letters"},
        {"GET /{a-b}", "not made of letters"},
        {"GET /{1}", "not made of letters"},
        {"GET /{a...}/b", "not at its end"},
        {"GET /{a}/{a}", "the same variable twice"},
        {"GET /a%20b", "compared after decoding"},
        {"GET /a?b", "inside a segment"},
        {"GET /\xff", "not UTF-8"},
        {"GET /a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a", "more than 32 segments"},
        {"GET /{a}/{b}/{c}/{d}/{e}/{f}/{g}/{h}/{i}/{j}/{k}/{l}/{m}/{n}/{o}/{p}/{q}",
         "more than 16 variables"},
    };
    for (size_t i = 0; i < sl_array_size(cases); i++) {
        char *text = complaint(cases[i].pattern, NULL);
        assert_contains(text, cases[i].says);
        free(text);
    }
    char *text = complaint("POST /live", socket_handler);
    assert_contains(text, "opened by GET");
    free(text);
}

static void test_duplicates_name_both_places(void **state)
{
    sl__router *r = sl__router_new();
    sl_error *error;
    assert_int_equal(
        sl__router_add(r, &(sl_site){"a.c", 11, "f"}, "one", "GET /x/{a}", handler, NULL, &none, &error), 0);
    assert_int_equal(
        sl__router_add(r, &(sl_site){"b.c", 22, "f"}, "two", "GET /x/{b}", handler, NULL, &none, &error),
        SL_EEXIST);
    assert_contains(error->message, "b.c:22");
    assert_contains(error->message, "a.c:11");
    assert_non_null(error->hint);
    sl_error_unref(error);
    assert_int_equal(
        sl__router_add(r, &(sl_site){"c.c", 33, "f"}, "one", "GET /y", handler, NULL, &none, &error),
        SL_EEXIST);
    assert_contains(error->message, "c.c:33");
    assert_contains(error->message, "a.c:11");
    sl_error_unref(error);
    assert_null(get(r, "/y"));
    sl__router_free(r);
}

static char *url_of(const sl__router *r, const char *name, const sl__url_pair *pairs, size_t count)
{
    sl_buffer out = {0};
    sl_error *error = NULL;
    if (sl__router_url(r, SL_HERE, name, pairs, count, &out, &error) < 0) {
        sl_buffer_done(&out);
        char *text = sl_error_text(error);
        sl_error_unref(error);
        return text;
    }
    return out.data;
}

static void assert_url(const sl__router *r, const char *name, const char *key, const char *value,
                       const char *expected)
{
    char *got = url_of(r, name, &(sl__url_pair){key, value}, key ? 1 : 0);
    assert_contains(got, expected);
    if (expected[0] == '/')
        assert_string_equal(got, expected);
    free(got);
}

static void test_urls(void **state)
{
    sl__router *r = router_with("GET /", "GET /rooms/{room}/live", "GET /files/{path...}", "GET /über uns/");
    assert_url(r, "GET /", NULL, NULL, "/");
    assert_url(r, "GET /", "q", "a b&c=ä", "/?q=a%20b%26c%3D%C3%A4");
    assert_url(r, "GET /rooms/{room}/live", "room", "a/b c?#%", "/rooms/a%2Fb%20c%3F%23%25/live");
    assert_url(r, "GET /files/{path...}", "path", "a/b c.txt", "/files/a/b%20c.txt");
    assert_url(r, "GET /files/{path...}", "path", "", "/files/");
    assert_url(r, "GET /über uns/", NULL, NULL, "/%C3%BCber%20uns/");
    assert_url(r, "GET /rooms/{room}/live", NULL, NULL, "needs a value for \"room\"");
    assert_url(r, "GET /rooms/{room}/live", "room", "", "no path can hold");
    assert_url(r, "GET /rooms/{room}/live", "room", "..", "no path can hold");
    assert_url(r, "nowhere", NULL, NULL, "there is no route named \"nowhere\"");
    assert_url(r, "nowhere", NULL, NULL, "\"GET /files/{path...}\"");
    sl__router_free(r);
}

static void test_removing(void **state)
{
    sl__router *r = router_with("GET /a", "GET /a/{x}", "POST /a", "LOCK /a", "PUT /b");
    sl__router_remove(r, "GET /a");
    assert_null(find(r, SL__GET, "GET", "/a"));
    assert_true(found.path_known);
    assert_string_equal(find(r, SL__POST, "POST", "/a"), "POST /a");
    assert_string_equal(find(r, SL__GET, "GET", "/a/1"), "GET /a/{x}");
    assert_null(sl__router_find(r, "GET /a"));
    sl__router_remove(r, "POST /a");
    sl__router_remove(r, "LOCK /a");
    assert_null(find(r, SL__METHOD_OTHER, "LOCK", "/a"));
    assert_false(found.path_known);
    sl__router_remove(r, "nowhere");
    sl__router_remove(r, "PUT /b"); /* the last one: what comes next still stands in order */
    sl_error *error;
    assert_int_equal(sl__router_add(r, SL_HERE, "again", "GET /a", handler, NULL, &none, &error), 0);
    assert_string_equal(find(r, SL__GET, "GET", "/a"), "again");
    assert_string_equal(sl__router_first(r)->name, "GET /a/{x}");
    assert_string_equal(sl__router_first(r)->after->name, "again");
    assert_null(sl__router_first(r)->after->after);
    sl__router_free(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_literals_and_variables),
        cmocka_unit_test(test_literals_win_in_any_order),
        cmocka_unit_test(test_methods),
        cmocka_unit_test(test_many_literals),
        cmocka_unit_test(test_wrong_patterns),
        cmocka_unit_test(test_duplicates_name_both_places),
        cmocka_unit_test(test_urls),
        cmocka_unit_test(test_removing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
