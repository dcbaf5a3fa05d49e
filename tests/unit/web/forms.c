/* What is posted: fields, files, JSON; and what is refused. */

#include "fixture.h"

#define URLENCODED "Content-Type: application/x-www-form-urlencoded\n"
#define MULTIPART "Content-Type: multipart/form-data; boundary=xyz\n"

static sl_response *say(sl_request *req)
{
    const char *body = sl_field(req, "body");
    return sl_text(req, 200, "%s|%s|%s", body ? body : "(none)",
                   sl_field_at(req, "tag", 0) ? sl_field_at(req, "tag", 0) : "",
                   sl_field_at(req, "tag", 1) ? sl_field_at(req, "tag", 1) : "");
}

static sl_response *upload(sl_request *req)
{
    const sl_upload *file = sl_upload_get(req, "file"), *second = sl_upload_at(req, "file", 1);
    if (!file)
        return sl_text(req, 200, "no file, title %s", sl_field(req, "title"));
    return sl_text(req, 200, "%s %s %zu <%s> %s, title %s", file->filename, file->type, file->size,
                   file->data, second ? second->filename : "alone", sl_field(req, "title"));
}

static sl_response *json(sl_request *req)
{
    json_t *value = sl_json_body(req);
    return sl_json(req, 200, json_incref(sl_json_body(req) == value ? value : NULL));
}

static void setup(sl_app *app)
{
    sl_route(app, "say", "POST /say", say);
    sl_route(app, "small", "POST /small", say, .max_body = 10);
    sl_route(app, "upload", "POST /upload", upload);
    sl_route(app, "json", "POST /json", json);
}

static void drive_fields(site *s)
{
    assert_string_equal(
        request(s, "POST /say", .headers = URLENCODED, .body = "body=a+b%21&tag=1&tag=%C3%A4")->body,
        "a b!|1|ä");
    assert_string_equal(request(s, "POST /say",
                                .headers = "Content-Type: Application/X-WWW-Form-Urlencoded; charset=UTF-8\n",
                                .body = "body=x")
                            ->body,
                        "x||");
    assert_string_equal(request(s, "POST /say")->body, "(none)||");
    assert_string_equal(request(s, "POST /say", .headers = URLENCODED)->body, "(none)||");
    assert_int_equal(request(s, "POST /small", .headers = URLENCODED, .body = "body=12345")->status, 200);
    assert_int_equal(request(s, "POST /small", .headers = URLENCODED, .body = "body=123456")->status, 413);
}

static void drive_refused_fields(site *s)
{
    const answer *a = request(s, "POST /say", .headers = "Content-Type: text/plain\n", .body = "body=x");
    assert_int_equal(a->status, 415);
    assert_contains(a->body, "text/plain");
    assert_int_equal(request(s, "POST /say", .body = "body=x")->status, 415);
    assert_int_equal(request(s, "POST /say",
                             .headers = "Content-Type: application/x-www-form-urlencoded; charset=latin1\n",
                             .body = "body=x")
                         ->status,
                     415);
    assert_int_equal(request(s, "POST /say", .headers = URLENCODED, .body = "body=%f")->status, 400);
    assert_int_equal(request(s, "POST /say", .headers = URLENCODED, .body = "body=%FF")->status, 400);
    assert_int_equal(request(s, "POST /say", .headers = URLENCODED, .body = "body=%00")->status, 400);
}

#define PART(disposition, content)                                                                           \
    "--xyz\r\nContent-Disposition: form-data; " disposition "\r\n\r\n" content "\r\n"

static void drive_multipart(site *s)
{
    const char *two =
        PART("name=\"title\"", "Holiday") PART("name=file; filename=\"C:\\x\\..\\beach.txt\"", "sand\r\n--xy")
            PART("name=\"file\"; filename=\"second\"", "") "--xyz--\r\n";
    assert_string_equal(request(s, "POST /upload", .headers = MULTIPART, .body = two)->body,
                        "beach.txt application/octet-stream 10 <sand\r\n--xy> second, title Holiday");
    const char *empty = PART("name=\"title\"", "t") PART("name=\"file\"; filename=\"\"", "") "--xyz--\r\n";
    assert_string_equal(request(s, "POST /upload", .headers = MULTIPART, .body = empty)->body,
                        "no file, title t");
    const char *dots = PART("name=\"title\"", "t") PART("name=\"file\"; filename=\"..\"", "x") "--xyz--\r\n";
    assert_contains(request(s, "POST /upload", .headers = MULTIPART, .body = dots)->body, "unnamed");
    /* Bytes are kept as they are in files, and must be text in fields. */
    static const char binary[] =
        PART("name=\"title\"", "t") PART("name=\"file\"; filename=\"b\"", "a\0\xff") "--xyz--\r\n";
    assert_contains(
        request(s, "POST /upload", .headers = MULTIPART, .body = binary, .body_size = sizeof(binary) - 1)
            ->body,
        " 3 <a>");
    assert_int_equal(
        request(s, "POST /say", .headers = MULTIPART, .body = PART("name=\"body\"", "\xff") "--xyz--\r\n")
            ->status,
        400);
}

static void drive_refused_multipart(site *s)
{
    const answer *a =
        request(s, "POST /upload", .headers = MULTIPART, .body = PART("name=\"title\"", "cut off") "--xy");
    assert_int_equal(a->status, 400);
    assert_contains(a->body, "ends before its last boundary");
    assert_int_equal(
        request(s, "POST /upload", .headers = "Content-Type: multipart/form-data\n", .body = "x")->status,
        400);
    SL_CLEANUP(sl_buffer_done) sl_buffer body = {0};
    for (int i = 0; i < 1001; i++)
        sl_buffer_puts(&body, PART("name=\"a\"", "b"));
    sl_buffer_puts(&body, "--xyz--\r\n");
    assert_int_equal(request(s, "POST /upload", .headers = MULTIPART, .body = body.data)->status, 413);
}

static void drive_json(site *s)
{
    const char *type = "Content-Type: application/json\n";
    const answer *a = request(s, "POST /json", .headers = type, .body = " {\"a\": [1, \"ä\"]}");
    assert_int_equal(a->status, 200);
    assert_string_equal(a->type, "application/json");
    assert_string_equal(a->body, "{\"a\":[1,\"ä\"]}");
    assert_string_equal(request(s, "POST /json", .headers = type, .body = "\"[[\\\"[\"")->body,
                        "\"[[\\\"[\"");
    assert_int_equal(
        request(s, "POST /json", .headers = "Content-Type: application/ld+json\n", .body = "1")->status, 200);
    assert_int_equal(request(s, "POST /json", .headers = "Content-Type: text/json\n", .body = "1")->status,
                     415);
    assert_int_equal(request(s, "POST /json", .body = "1")->status, 415);
    a = request(s, "POST /json", .headers = type, .body = "{\"a\":\n 1,}");
    assert_int_equal(a->status, 400);
    assert_contains(a->body, "line 2");
    assert_int_equal(request(s, "POST /json", .headers = type, .body = "")->status, 400);
    assert_int_equal(request(s, "POST /json", .headers = type, .body = "{\"a\":1,\"a\":2}")->status, 400);
    assert_int_equal(request(s, "POST /json", .headers = type, .body = "\"\xff\"")->status, 400);
    /* Deep nesting must not reach a parser that descends on a small stack. */
    char *deep = sl_alloc(100001);
    memset(deep, '[', 100000);
    deep[100000] = 0;
    a = request(s, "POST /json", .headers = type, .body = deep);
    assert_int_equal(a->status, 400);
    assert_contains(a->body, "nests deeper than 64");
}

#define SITE_TEST(name)                                                                                      \
    static void name##_test(void **state)                                                                    \
    {                                                                                                        \
        with_site(false, setup, name);                                                                       \
    }

SITE_TEST(drive_fields)
SITE_TEST(drive_refused_fields)
SITE_TEST(drive_multipart)
SITE_TEST(drive_refused_multipart)
SITE_TEST(drive_json)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(drive_fields_test),    cmocka_unit_test(drive_refused_fields_test),
        cmocka_unit_test(drive_multipart_test), cmocka_unit_test(drive_refused_multipart_test),
        cmocka_unit_test(drive_json_test),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
