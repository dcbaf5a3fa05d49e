/* Cookies: what browsers send, and what we set. */

#include "fixture.h"

static sl_response *read_cookies(sl_request *req)
{
    static const char *const names[] = {"a", "b", "c", "quoted"};
    SL_CLEANUP(sl_buffer_done) sl_buffer out = {0};
    for (size_t i = 0; i < sl_array_size(names); i++)
        sl_buffer_printf(&out, "%s=%s ", names[i], sl_cookie(req, names[i]) ? sl_cookie(req, names[i]) : "-");
    return sl_text(req, 200, "%s", out.data);
}

static sl_response *set_cookies(sl_request *req)
{
    sl_response *res = sl_respond(req, 200);
    sl_set_cookie(res, "session", "other", .path = "/admin", .script = true, .same_site = "Strict");
    sl_set_cookie(res, "session", "first");
    sl_set_cookie(res, "session", "abc", .max_age_s = 3600);
    return sl_set_cookie(res, "old", "", .max_age_s = -1, .domain = "example.org", .insecure = true);
}

static sl_response *set_given(sl_request *req)
{
    const char *same_site = sl_param(req, "site");
    return sl_set_cookie(sl_respond(req, 200), sl_param(req, "name"), sl_param(req, "value"),
                         .path = sl_param(req, "path"), .domain = sl_param(req, "domain"),
                         .same_site = same_site);
}

static sl_response *set_latin(sl_request *req)
{
    return sl_set_cookie(sl_respond(req, 200), "name", "Zo\xeb");
}

static void setup(sl_app *app)
{
    sl_route(app, "latin", "GET /latin", set_latin);
    sl_route(app, "read", "GET /read", read_cookies);
    sl_route(app, "set", "GET /set", set_cookies);
    sl_route(app, "given", "GET /given", set_given);
}

static void drive_in(site *s)
{
    assert_string_equal(request(s, "GET /read")->body, "a=- b=- c=- quoted=- ");
    assert_string_equal(
        request(s, "GET /read", .headers = "Cookie: a=1; b=x=y; quoted=\"in quotes\"; a=2\n")->body,
        "a=1 b=x=y c=- quoted=in quotes ");
    /* Nonsense is passed over and does not spoil the rest; several lines count as one. */
    assert_string_equal(
        request(s, "GET /read", .headers = "Cookie: nonsense; =x;;  a = 1 ; b=\xff\ncookie: c=\n")->body,
        "a=1 b=- c= quoted=- ");
}

static void drive_out(site *s)
{
    const answer *a = request(s, "GET /set", .https = true);
    assert_string_equal(field_of(a, "Set-Cookie", 0), "session=other; Path=/admin; Secure; SameSite=Strict");
    assert_string_equal(field_of(a, "Set-Cookie", 1),
                        "session=abc; Path=/; Max-Age=3600; Secure; HttpOnly; SameSite=Lax");
    assert_string_equal(field_of(a, "Set-Cookie", 2),
                        "old=; Path=/; Domain=example.org; Max-Age=0; "
                        "Expires=Thu, 01 Jan 1970 00:00:00 GMT; HttpOnly; SameSite=Lax");
    assert_null(field_of(a, "Set-Cookie", 3));
    a = request(s, "GET /set");
    assert_string_equal(field_of(a, "Set-Cookie", 1),
                        "session=abc; Path=/; Max-Age=3600; HttpOnly; SameSite=Lax");
}

/* What is set comes back, and the line that is sent has nothing in it that a cookie cannot hold. */
static void drive_there_and_back(site *s)
{
    static const char *const values[][2] = {
        {"x%3B%20Domain%3Devil", "x; Domain=evil"},
        {"%20x%20y%20", " x y "},
        {"%22x%22", "\"x\""},
        {"x%0d%0aX:%20y%09", "x\r\nX: y\t"},
        {"Zo%C3%AB%20%F0%9F%90%B8", "Zo\xc3\xab \xf0\x9f\x90\xb8"},
        {"x,y%5Cz", "x,y\\z"},
        {"100%25", "100%"},
        {"%2520%25", "%20%"},
        {"", ""},
        {"a.b-c_d~e/f%2Bg%3D%3D", "a.b-c_d~e/f+g=="},
    };
    for (size_t i = 0; i < sl_array_size(values); i++) {
        const answer *a = request(s, sl_printf("GET /given?name=a&value=%s", values[i][0]));
        assert_int_equal(a->status, 200);
        const char *set = field_of(a, "Set-Cookie", 0);
        size_t size = strcspn(set, ";");
        for (size_t j = 0; j < size; j++)
            assert_true(set[j] > ' ' && set[j] < 0x7f && !strchr("\",\\", set[j]));
        assert_string_equal(set + size, "; Path=/; HttpOnly; SameSite=Lax");
        char *headers = sl_printf("Cookie: %.*s\n", (int)size, set);
        assert_string_equal(request(s, "GET /read", .headers = headers)->body,
                            sl_printf("a=%s b=- c=- quoted=- ", values[i][1]));
    }
    assert_string_equal(field_of(request(s, "GET /given?name=a&value=a.b/%2Bc%3D%3D"), "Set-Cookie", 0),
                        "a=a.b/+c==; Path=/; HttpOnly; SameSite=Lax"); /* what can stand is left alone */
}

/* What others have set: encoded as we do it, or anyhow. */
static void drive_foreign(site *s)
{
    assert_string_equal(request(s, "GET /read", .headers = "Cookie: a=%c3%a4%20b; b=50%; c=%zz%20\n")->body,
                        "a=\xc3\xa4 b b=50% c=%zz%20 quoted=- ");
    assert_string_equal(
        request(s, "GET /read", .headers = "Cookie: a=%00x; b=%e4; c=x%2; quoted=\"%22q%22\"\n")->body,
        "a=%00x b=%e4 c=x%2 quoted=\"q\" ");
}

static void drive_refused(site *s)
{
    static const char *const wrong[] = {
        "name=a%20b&value=x",
        "name=&value=x",
        "name=a%3Bb&value=x",
        "name=a&value=x&path=rooms",
        "name=a&value=x&path=/%3B%20Secure",
        "name=a&value=x&domain=a%0ab",
        "name=a&value=x&site=lax",
        "name=a&value=x&site=None",
        "name=__Host-a&value=x",
        "name=__Secure-a&value=x",
    };
    for (size_t i = 0; i < sl_array_size(wrong); i++) {
        const answer *a = request(s, sl_printf("GET /given?%s", wrong[i]));
        assert_int_equal(a->status, 500);
        assert_contains(a->body, "cannot be set");
    }
    assert_int_equal(request(s, "GET /given?name=__Host-a&value=x&site=None", .https = true)->status, 200);
    assert_int_equal(request(s, "GET /given?name=__Host-a&value=x&path=/a", .https = true)->status, 500);
    char *line = sl_printf("GET /given?name=a&value=%4096d", 1);
    for (char *c = line; *c; c++)
        if (*c == ' ' && c > line + 3)
            *c = 'x';
    assert_contains(request(s, line)->body, "larger than 4096");
    assert_contains(request(s, "GET /latin")->body, "its value is not UTF-8");
    /* What counts is how it is sent: 1365 times %3B. */
    SL_CLEANUP(sl_buffer_done) sl_buffer semicolons = {0};
    sl_buffer_puts(&semicolons, "GET /given?name=a&value=");
    for (int i = 0; i < 1365; i++)
        sl_buffer_puts(&semicolons, "%3B");
    assert_int_equal(request(s, semicolons.data)->status, 200);
    sl_buffer_puts(&semicolons, "%3B");
    assert_contains(request(s, semicolons.data)->body, "larger than 4096");
}

static void in_test(void **state)
{
    with_site(false, setup, drive_in);
}

static void out_test(void **state)
{
    with_site(false, setup, drive_out);
}

static void there_and_back_test(void **state)
{
    with_site(false, setup, drive_there_and_back);
}

static void foreign_test(void **state)
{
    with_site(false, setup, drive_foreign);
}

static void refused_test(void **state)
{
    with_site(true, setup, drive_refused);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(in_test), cmocka_unit_test(out_test),
                                       cmocka_unit_test(there_and_back_test), cmocka_unit_test(foreign_test),
                                       cmocka_unit_test(refused_test)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
