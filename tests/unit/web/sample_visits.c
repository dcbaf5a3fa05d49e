/* Drives docs/samples/web/visits.c. */

#include "fixture.h"

#include <stdlib.h>

void sl_application(sl_app *app);

static void drive(site *s)
{
    assert_string_equal(request(s, "GET /search?q=tea+time")->body, "nothing about tea time");
    assert_int_equal(request(s, "GET /search")->status, 400);
    const answer *a = request(s, "GET /count");
    assert_string_equal(a->body, "visit number 1");
    assert_contains(field_of(a, "Set-Cookie", 0), "visits=1; Path=/; Max-Age=2592000;");
    assert_string_equal(request(s, "GET /count", .headers = "Cookie: visits=41\n")->body, "visit number 42");
    a = request(s, "POST /photos", .headers = "Content-Type: multipart/form-data; boundary=xyz\n",
                .body = "--xyz\r\nContent-Disposition: form-data; name=\"photo\"; "
                        "filename=\"a.jpg\"\r\n\r\npixels\r\n--xyz--\r\n");
    assert_int_equal(a->status, 201);
    assert_string_equal(a->body, "a.jpg: 6 bytes");
    assert_int_equal(request(s, "POST /photos")->status, 400);
    const char *json = "Content-Type: application/json\n";
    assert_string_equal(request(s, "POST /add", .headers = json, .body = "{\"a\": 1, \"b\": 2}")->body,
                        "{\"sum\":3}");
    a = request(s, "POST /add", .headers = json, .body = "{\"a\": 1}");
    assert_int_equal(a->status, 400);
    assert_contains(a->body, "send two numbers, a and b: ");
}

static void visits_test(void **state)
{
    char directory[] = "/tmp/silver-files-XXXXXX";
    assert_non_null(mkdtemp(directory));
    setenv("CONFIG_FILES", directory, 1);
    with_site(true, sl_application, drive);
    char command[128];
    snprintf(command, sizeof(command), "test $(cat %s/* | head -c 100) = pixels && rm -r %s", directory,
             directory);
    assert_int_equal(system(command), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(visits_test)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
