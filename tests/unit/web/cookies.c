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

static void setup(sl_app *app)
{
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

static void drive_refused(site *s)
{
    static const char *const wrong[] = {
        "name=a%20b&value=x",
        "name=&value=x",
        "name=a%3Bb&value=x",
        "name=a&value=x%3B%20Domain%3Devil",
        "name=a&value=x%20y",
        "name=a&value=%22x%22",
        "name=a&value=x%0d%0aX:%20y",
        "name=a&value=%C3%A4",
        "name=a&value=x,y",
        "name=a&value=x%5Cy",
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
}

static void in_test(void **state)
{
    with_site(false, setup, drive_in);
}

static void out_test(void **state)
{
    with_site(false, setup, drive_out);
}

static void refused_test(void **state)
{
    with_site(true, setup, drive_refused);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(in_test), cmocka_unit_test(out_test),
                                       cmocka_unit_test(refused_test)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
