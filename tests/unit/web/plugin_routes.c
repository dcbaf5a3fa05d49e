/* Routes of plug-ins: the application has them as long as the plug-in is loaded. */
#include "fixture.h"

static sl_response *index_page(sl_request *req)
{
    return sl_text(req, 200, "%s", sl_url(req, "search", "q", "fish"));
}

static void setup(sl_app *app)
{
    sl_route(app, "index", "GET /", index_page);
}

static sl_response *search(sl_request *req)
{
    return sl_text(req, 200, "%s: %s", sl_route_name(req), sl_param(req, "q") ? sl_param(req, "q") : "");
}

static sl_response *keep(sl_request *req)
{
    return sl_text(req, 200, "kept");
}

static void live(sl_websocket *ws)
{
}

static const sl_interest interests[] = {
    SL_ROUTE("search", "GET /search", search),
    SL_ROUTE("keep", "POST /search", keep, .other_sites = true),
    SL_ROUTE("live", "GET /live", live, .websocket = {.max_message = 77}),
};
static const sl_plugin plugin = {
    .abi = SL_PLUGIN_ABI, .name = "search", .interest_count = 3, .interests = interests};

static sl_loaded *load(const sl_plugin *descriptor, int wanted, sl_error **ret_error)
{
    sl_loaded *loaded = NULL;
    assert_int_equal(sl_plugin_load(sl_root_current(), descriptor, NULL, &loaded, ret_error), wanted);
    return loaded;
}

static void while_loaded(site *s)
{
    sl_error *error = NULL;
    assert_int_equal(request(s, "GET /search?q=x")->status, 404);
    sl_loaded *loaded = load(&plugin, 0, &error);
    assert_string_equal(request(s, "GET /search?q=x")->body, "search: x");
    assert_string_equal(request(s, "GET /")->body, "/search?q=fish");
    assert_int_equal(request(s, "POST /search", .headers = "Sec-Fetch-Site: cross-site\n")->status, 200);
    assert_int_equal(request(s, "GET /live")->max_message, 77);
    sl_plugin_unload(loaded);
    assert_int_equal(request(s, "GET /search?q=x")->status, 404);
    assert_int_equal(request(s, "POST /search")->status, 404);
    assert_int_equal(request(s, "GET /")->status, 500);
    /* Again, as a reload would. */
    loaded = load(&plugin, 0, &error);
    assert_string_equal(request(s, "GET /search?q=y")->body, "search: y");
    sl_plugin_unload(loaded);
}

static void test_while_loaded(void **state)
{
    with_site(true, setup, while_loaded);
}

static const sl_interest taking[] = {SL_ROUTE("first", "GET /first", search),
                                     SL_ROUTE("other", "GET /", search)};
static const sl_plugin other = {
    .abi = SL_PLUGIN_ABI, .name = "other", .interest_count = 2, .interests = taking};

static void taken(site *s)
{
    sl_error *error = NULL;
    load(&other, SL_EEXIST, &error);
    assert_contains(error->message, "other");
    char place[64];
    snprintf(place, sizeof(place), "plugin_routes.c:%d", taking[1].site->line);
    assert_contains(error->message, place);
    assert_contains(error->message, "route \"index\"");
    assert_contains(error->message, "plugin_routes.c:11"); /* where the application has it */
    sl_error_unref(error);
    assert_int_equal(request(s, "GET /first")->status, 404); /* and nothing is left of the plug-in */
    assert_int_equal(request(s, "GET /")->status, 500);
}

static void test_taken(void **state)
{
    with_site(true, setup, taken);
}

/* A service's child loads the same plug-in into a root that has no application. */
static void *without_application(void *data)
{
    sl_error *error = NULL;
    sl_loaded *loaded = load(&plugin, 0, &error);
    sl_plugin_unload(loaded);
    return NULL;
}

static void test_without_application(void **state)
{
    assert_int_equal(sl_run("worker", without_application, NULL, NULL), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_while_loaded),
        cmocka_unit_test(test_taken),
        cmocka_unit_test(test_without_application),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
