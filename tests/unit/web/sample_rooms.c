/* Drives docs/samples/web/rooms.c and its templates. */

#include "fixture.h"

#include <unistd.h>

void sl_application(sl_app *app);

static void drive(site *s)
{
    assert_int_equal(symlink(SAMPLES "/templates", sl_printf("%s/templates", s->directory)), 0);
    const answer *a = request(s, "GET /");
    assert_int_equal(a->status, 200);
    assert_contains(a->body, "<title>Rooms</title>");
    assert_contains(a->body, "<li><a href=\"/rooms/tea%20&amp;%20cake\">tea &amp; cake</a> (0)</li>");
    assert_contains(request(s, "GET /rooms/lobby")->body, "Nobody has said anything");
    const char *form = "Content-Type: application/x-www-form-urlencoded\n";
    a = request(s, "POST /rooms/lobby", .headers = form, .body = "author=Ada&body=%3Cb%3Ehello%3C/b%3E");
    assert_int_equal(a->status, 303);
    assert_string_equal(field_of(a, "Location", 0), "/rooms/lobby");
    request(s, "POST /rooms/lobby", .headers = form, .body = "body=again");
    a = request(s, "GET /rooms/lobby");
    assert_contains(a->body, "<title>lobby</title>");
    assert_contains(a->body, "<p><b>Ada</b>: &lt;b&gt;hello&lt;/b&gt;</p>");
    assert_contains(a->body, "<p id=\"newest\"><b>somebody</b>: again</p>");
    assert_contains(a->body, "const room = \"lobby\";");
    assert_string_equal(request(s, "GET /rooms/lobby/messages.json")->body,
                        "{\"messages\":[{\"author\":\"Ada\",\"body\":\"<b>hello</b>\"},"
                        "{\"author\":\"somebody\",\"body\":\"again\"}]}");
    assert_int_equal(request(s, "POST /rooms/lobby", .headers = form, .body = "author=Ada")->status, 400);
    a = request(s, "GET /rooms/nowhere");
    assert_int_equal(a->status, 404);
    assert_contains(a->body, "there is no room called nowhere");
    assert_contains(request(s, "GET /")->body, "lobby</a> (2)");
}

static void rooms_test(void **state)
{
    with_site(true, sl_application, drive);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(rooms_test)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
