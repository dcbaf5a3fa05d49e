/* What a failure shows: to whom, in development and in production. */

#include "fixture.h"

#include <openssl/evp.h>
#include <stdlib.h>

#define BROWSER "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\n"
#define PROGRAM "Accept: application/json\n"

static void *inner(void *data)
{
    sl_info("looking for <%s>", (const char *)data);
    sl_error *error = sl_error_new(SL_EDATABASE, "the table <rooms> is gone");
    sl_error_hint(error, "restore the <backup>");
    sl_error_detail(error, "line 1\nline 2", 13);
    sl_error_cause(error, sl_error_new(SL_EIO, "disk says <no>"));
    sl_fail_error(error);
    return NULL;
}

static sl_response *broken(sl_request *req)
{
    sl_debug("a detail for the page only");
    sl_await(sl_spawn(inner, "rooms")); /* MARK: the hop */
    return sl_respond(req, 204);
}

static sl_response *missing(sl_request *req)
{
    sl_fail(SL_HTTP(404), "no room called <%s>", sl_urlvar(req, "room"));
}

static sl_response *busy(sl_request *req)
{
    sl_fail(SL_HTTP(503), "the secret reason");
}

static sl_response *bad_template(sl_request *req)
{
    return sl_render(req, "bad.html", "{}"); /* MARK: the call */
}

static sl_response *twice(sl_request *req)
{
    sl_error *cause = sl_error_tell(sl_error_new(SL_EEXIST, "UNIQUE constraint failed: room.name"),
                                    "there is one with the same <name> already");
    sl_error *error = sl_error_new(SL_EEXIST, "a new room (made at src/secret.c:12) cannot be stored");
    sl_fail_error(sl_error_cause(sl_error_hint(error, "use sl_put"), cause));
}

static sl_response *file_there(sl_request *req)
{
    sl_fail(SL_EEXIST, "/srv/secret is there already");
}

static sl_response *conflict(sl_request *req)
{
    sl_fail(SL_ECONFLICT, "room 7 (changed at src/secret.c:12) cannot be stored");
}

static sl_response *full(sl_request *req)
{
    sl_fail_error(sl_error_tell(sl_error_new(SL_ENOSPC, "secret.sqlite is full"), "there is no room"));
}

static sl_response *odd(sl_request *req)
{
    sl_fail(SL_HTTP(302), "not a failure");
}

static void setup(sl_app *app)
{
    sl_route(app, "bad-template", "GET /bad-template", bad_template);
    sl_route(app, "odd", "GET /odd", odd);
    sl_route(app, "twice", "GET /twice", twice);
    sl_route(app, "file-there", "GET /file-there", file_there);
    sl_route(app, "conflict", "GET /conflict", conflict);
    sl_route(app, "full", "GET /full", full);
    sl_route(app, "broken", "GET /broken/{what}", broken);
    sl_route(app, "missing", "GET /missing/{room}", missing);
    sl_route(app, "busy", "GET /busy", busy);
}

static void drive_development(site *s)
{
    const answer *a =
        request(s, "GET /broken/x%3Cy?q=%3Cb%3E", .headers = BROWSER "Cookie: a=b\nX-Evil: <script>\n");
    assert_int_equal(a->status, 500);
    assert_string_equal(a->type, "text/html; charset=utf-8");
    assert_string_equal(field_of(a, "Cache-Control", 0), "no-store");
    assert_contains(a->body, "the table &lt;rooms&gt; is gone");
    assert_contains(a->body, "restore the &lt;backup&gt;");
    assert_contains(a->body, "line 1\nline 2");
    assert_contains(a->body, "SL_EDATABASE");
    assert_contains(a->body, "disk says &lt;no&gt;");
    /* The hop's line of this very file, marked. */
    assert_contains(
        a->body,
        "<li class=\"here\"><code>    sl_await(sl_spawn(inner, &quot;rooms&quot;)); /* MARK: the hop */");
    assert_contains(a->body, "failures.c:");
    assert_contains(a->body, "GET /broken/x%3Cy?q=%3Cb%3E HTTP/1.1");
    assert_contains(a->body, "<th scope=\"row\">{what}</th><td>x&lt;y</td>");
    assert_contains(a->body, "<th scope=\"row\">Cookie</th><td>a=b</td>");
    assert_contains(a->body, "X-Evil</th><td>&lt;script&gt;");
    assert_contains(a->body, "looking for &lt;rooms&gt;");
    assert_contains(a->body, "a detail for the page only");
    assert_contains(a->body, "<pre>1 task\ntest: running"); /* the task tree */
    assert_lacks(a->body, "<rooms>");
    assert_lacks(a->body, "<script>");
    /* What the page shows of the log went to the log as well, as far as its level goes; and only once. */
    assert_contains(s->log.data, "looking for <rooms>");
    assert_lacks(s->log.data, "a detail for the page only");
    /* Another request's page has its own lines. */
    a = request(s, "GET /busy", .headers = BROWSER);
    assert_int_equal(a->status, 503);
    assert_lacks(a->body, "looking for");
}

static void drive_forms(site *s)
{
    const answer *a = request(s, "GET /broken/x", .headers = "Accept: */*\n");
    assert_string_equal(a->type, "text/plain; charset=utf-8");
    assert_contains(a->body, "500 Internal Server Error\n");
    assert_contains(a->body, "the table <rooms> is gone");
    assert_contains(a->body, "disk says <no>");
    a = request(s, "GET /broken/x", .headers = PROGRAM);
    assert_string_equal(a->type, "application/json");
    json_t *json = json_loads(a->body, 0, NULL), *error = json_object_get(json, "error");
    assert_string_equal(json_string_value(json_object_get(error, "message")), "the table <rooms> is gone");
    assert_string_equal(json_string_value(json_object_get(error, "hint")), "restore the <backup>");
    assert_int_equal(json_integer_value(json_object_get(error, "status")), 500);
    json_decref(json);
    assert_string_equal(
        request(s, "GET /missing/a", .headers = "Accept: text/html;q=0.1, application/json\n")->type,
        "application/json");
    assert_string_equal(
        request(s, "GET /missing/a", .headers = "Accept: text/html, application/json\n")->type,
        "text/html; charset=utf-8");
    assert_string_equal(request(s, "GET /missing/a")->type, "text/plain; charset=utf-8");
}

static void drive_template_mistake(site *s)
{
    write_file(s, "templates/bad.html", "<p>one\n<p>{{ romo }}\n<p>three\n");
    const answer *a = request(s, "GET /bad-template", .headers = BROWSER);
    assert_int_equal(a->status, 500);
    assert_contains(a->body, "templates/bad.html:2:7: unknown name &quot;romo&quot;");
    assert_contains(a->body, "<li class=\"here\"><code>&lt;p&gt;{{ romo }}</code></li>");
    /* The call is where it began and where it failed: one place, shown once. */
    const char *call = strstr(a->body, "MARK: the call");
    assert_non_null(call);
    assert_null(strstr(call + 1, "MARK: the call"));
    assert_int_equal(request(s, "GET /odd")->status, 500);
}

static void drive_not_found(site *s)
{
    const answer *a = request(s, "GET /missing/a", .headers = BROWSER);
    assert_int_equal(a->status, 404);
    assert_contains(a->body, "no room called &lt;a&gt;");
    assert_contains(a->body, "failures.c:");
    a = request(s, "GET /nowhere%3Cb%3E", .headers = BROWSER);
    assert_int_equal(a->status, 404);
    assert_contains(a->body, "/nowhere&lt;b&gt;");
    assert_contains(a->body, "GET /broken/{what}"); /* what there is instead */
    assert_int_equal(s->log.size, 0);
}

static void drive_production(site *s)
{
    const answer *a = request(s, "GET /broken/x", .headers = BROWSER);
    assert_int_equal(a->status, 500);
    assert_lacks(a->body, "rooms");
    assert_lacks(a->body, "disk says");
    assert_lacks(a->body, "failures.c");
    const char *number = strstr(s->log.data, "incident ");
    assert_non_null(number);
    number = sl_printf("%.16s", number + strlen("incident "));
    assert_contains(a->body, number);
    assert_contains(s->log.data, "GET /broken/x");
    assert_contains(s->log.data, "the table <rooms> is gone");
    assert_contains(s->log.data, "disk says <no>");
    assert_contains(s->log.data, "failures.c:");

    a = request(s, "GET /missing/a", .headers = BROWSER);
    assert_int_equal(a->status, 404);
    assert_contains(a->body, "no room called &lt;a&gt;");
    assert_lacks(a->body, "failures.c");
    assert_lacks(request(s, "GET /nowhere", .headers = BROWSER)->body, "/broken/{what}");
    a = request(s, "GET /busy", .headers = PROGRAM);
    assert_int_equal(a->status, 503);
    assert_lacks(a->body, "secret");
    assert_contains(a->body, "\"incident\":\"");
    assert_lacks(request(s, "GET /busy")->body, "secret");
}

/* A failure that is the client's but was not written for it: the words that it has for clients, and no more.
 */
static void drive_told(site *s)
{
    static const char *const forms[] = {BROWSER, PROGRAM, ""};
    for (size_t i = 0; i < sl_array_size(forms); i++) {
        const answer *a = request(s, "GET /twice", .headers = forms[i]);
        assert_int_equal(a->status, 409);
        assert_contains(a->body, i == 0 ? "there is one with the same &lt;name&gt; already"
                                        : "there is one with the same <name> already");
        assert_lacks(a->body, "room");
        assert_lacks(a->body, "secret.c");
        assert_lacks(a->body, "sl_put");
        a = request(s, "GET /conflict", .headers = forms[i]);
        assert_int_equal(a->status, 409);
        assert_contains(a->body, "another transaction was in the way");
        assert_lacks(a->body, "secret.c");
        a = request(s, "GET /file-there", .headers = forms[i]);
        assert_int_equal(a->status, 500);
        assert_lacks(a->body, "secret");
        a = request(s, "GET /full", .headers = forms[i]);
        assert_int_equal(a->status, 507);
        assert_contains(a->body, "there is no room");
        assert_lacks(a->body, "secret");
    }
    assert_contains(s->log.data, "GET /twice gives 409: a new room (made at src/secret.c:12)");
    assert_contains(s->log.data, "UNIQUE constraint failed: room.name");
    assert_contains(s->log.data, "secret.sqlite is full");
}

/* Development shows all of it. */
static void drive_told_whole(site *s)
{
    const answer *a = request(s, "GET /twice", .headers = BROWSER);
    assert_int_equal(a->status, 409);
    assert_contains(a->body, "made at src/secret.c:12");
    assert_contains(a->body, "UNIQUE constraint failed: room.name");
    assert_contains(a->body, "use sl_put");
    assert_contains(request(s, "GET /twice", .headers = PROGRAM)->body, "\"hint\":\"use sl_put\"");
    assert_contains(request(s, "GET /twice")->body, "UNIQUE constraint failed");
}

static sl_error *compile_error(site *s)
{
    write_file(s, "src/chat.c", "int a;\nint b\nint <c>;\n");
    static const char output[] = "src/chat.c: In function 'f':\nsrc/chat.c:1:5: warning: unused <a>\n"
                                 "src/chat.c:3:1: error: expected ';' before <int>\n";
    sl_error *error = sl_error_new(SL_EBUILD, "src/chat.c does not compile");
    return sl_error_detail(error, output, sizeof(output) - 1);
}

/* The page asks whether the mistake is mended; its policy allows that script and no other. */
static void check_reload(const answer *a)
{
    const char *start = strstr(a->body, "<script>"), *end = strstr(a->body, "</script>");
    assert_non_null(start);
    assert_non_null(end);
    start += strlen("<script>");
    assert_non_null(memmem(start, (size_t)(end - start), "location.reload()", 17));
    uint8_t digest[EVP_MAX_MD_SIZE];
    char text[128], source[160];
    unsigned size;
    assert_int_equal(EVP_Digest(start, (size_t)(end - start), digest, &size, EVP_sha256(), NULL), 1);
    EVP_EncodeBlock((uint8_t *)text, digest, (int)size);
    snprintf(source, sizeof(source), "script-src 'sha256-%s'", text);
    assert_contains(field_of(a, "Content-Security-Policy", 0), source);
}

static void drive_broken_in_development(site *s)
{
    sl__app_broken(s->app, compile_error(s));
    const answer *a = request(s, "GET /missing/a", .headers = BROWSER);
    assert_int_equal(a->status, 500);
    assert_contains(a->body, "src/chat.c does not compile");
    assert_contains(a->body, "error: expected &#39;;&#39; before &lt;int&gt;");
    assert_contains(a->body, "<li class=\"here\"><code>int &lt;c&gt;;</code></li>");
    assert_contains(a->body, "What the compiler said");
    /* Errors stand before warnings. */
    assert_true(strstr(a->body, "error: expected") < strstr(a->body, "warning: unused"));
    check_reload(a);
    assert_lacks(request(s, "POST /busy", .headers = BROWSER)->body,
                 "<script>"); /* it would not be sent again */
    assert_int_equal(s->log.size, 0);
    sl__app_broken(s->app, NULL);
    assert_int_equal(request(s, "GET /missing/a")->status, 404);
}

static void drive_broken_in_production(site *s)
{
    sl__app_broken(s->app, compile_error(s));
    const answer *a = request(s, "GET /", .headers = BROWSER);
    assert_int_equal(a->status, 500);
    assert_lacks(a->body, "chat.c");
    assert_contains(s->log.data, "expected ';'");
}

/* Frames of Python stand innermost first, each with its source; those of others can be opened. */
static void drive_traceback(site *s)
{
    static const char text[] =
        "Traceback (most recent call last):\n  File \"/nowhere/old.py\", line 1, in before\nKeyError: 'a'\n\n"
        "During handling of the above exception, another exception occurred:\n\n"
        "Traceback (most recent call last):\n"
        "  File \"/usr/lib/python3/dist-packages/bottle.py\", line 2, in <call>\n    return f()\n"
        "  File \"src/runner.py\", line 3, in index\n    return 1 / 0\n           ~~^~~\n"
        "ZeroDivisionError: division by zero\n";
    write_file(s, "src/runner.py", "def index():\n    # <wrong>\n    return 1 / 0\n");
    sl_error *error = sl_error_new(SL_EFAILED, "ZeroDivisionError: division by zero");
    sl__app_broken(s->app, sl_error_detail(error, text, sizeof(text) - 1));
    const answer *a = request(s, "GET /", .headers = BROWSER);
    assert_int_equal(a->status, 500);
    const char *inner = strstr(a->body, "raised in <code>index</code>");
    const char *outer = strstr(a->body, "called by <code>&lt;call&gt;</code>");
    assert_non_null(inner);
    assert_true(outer && inner < outer);
    assert_contains(a->body, "<li class=\"here\"><code>    return 1 / 0</code></li>");
    assert_contains(a->body, "<li><code>    # &lt;wrong&gt;</code></li>");
    assert_contains(a->body, "<details><summary class=\"place\">called by"); /* not of the application */
    assert_lacks(a->body, "<code>before</code>");                            /* only in the text: */
    assert_contains(a->body, "The traceback");
    assert_contains(a->body, "KeyError: &#39;a&#39;");
    check_reload(a);

    error = sl_error_new(SL_EFAILED, "SyntaxError: invalid syntax");
    static const char syntax[] =
        "  File \"src/runner.py\", line 2\n    # <wrong>\nSyntaxError: invalid syntax";
    sl__app_broken(s->app, sl_error_detail(error, syntax, sizeof(syntax) - 1));
    a = request(s, "GET /", .headers = BROWSER);
    assert_contains(a->body, "raised in <code>the source</code>");
    assert_contains(a->body, "<li class=\"here\"><code>    # &lt;wrong&gt;</code></li>");
}

/* A recursion without end shows its innermost frames, and what is no frame shows none. */
static void drive_long_traceback(site *s)
{
    sl_buffer text = {0};
    for (int i = 1; i <= 1000; i++)
        sl_buffer_printf(&text, "  File \"src/runner.py\", line %d, in level_%d\n", i, i);
    sl_buffer_puts(&text, "  File \"x\", line 0, in zero\n  File \"y\", line many\n  File \"\n");
    sl_error *error = sl_error_new(SL_EFAILED, "RecursionError");
    sl__app_broken(s->app, sl_error_detail(error, text.data, text.size));
    sl_buffer_done(&text);
    const answer *a = request(s, "GET /", .headers = BROWSER);
    assert_contains(a->body, "raised in <code>level_1000</code>");
    assert_contains(a->body, "called by <code>level_941</code>");
    assert_lacks(a->body, "<code>level_940</code>");
    assert_lacks(a->body, "<code>zero</code>");
}

/* Many requests, each with its own lines, also when those that keep them are used again. */
static void drive_many(site *s)
{
    for (int i = 0; i < 300; i++) {
        const answer *a = request(s, "GET /broken/x", .headers = BROWSER);
        const char *line = strstr(a->body, "INFO] looking for");
        assert_non_null(line);
        assert_null(strstr(line + 1, "INFO] looking for"));
    }
}

#define SITE_TEST(name, development)                                                                         \
    static void name##_test(void **state)                                                                    \
    {                                                                                                        \
        with_site(development, setup, name);                                                                 \
    }

SITE_TEST(drive_development, true)
SITE_TEST(drive_forms, true)
SITE_TEST(drive_template_mistake, true)
SITE_TEST(drive_not_found, true)
SITE_TEST(drive_production, false)
SITE_TEST(drive_broken_in_development, true)
SITE_TEST(drive_broken_in_production, false)
SITE_TEST(drive_traceback, true)
SITE_TEST(drive_long_traceback, true)
SITE_TEST(drive_many, true)
SITE_TEST(drive_told, false)
SITE_TEST(drive_told_whole, true)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(drive_development_test),
        cmocka_unit_test(drive_forms_test),
        cmocka_unit_test(drive_template_mistake_test),
        cmocka_unit_test(drive_not_found_test),
        cmocka_unit_test(drive_production_test),
        cmocka_unit_test(drive_broken_in_development_test),
        cmocka_unit_test(drive_broken_in_production_test),
        cmocka_unit_test(drive_many_test),
        cmocka_unit_test(drive_told_test),
        cmocka_unit_test(drive_told_whole_test),
        cmocka_unit_test(drive_traceback_test),
        cmocka_unit_test(drive_long_traceback_test),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
