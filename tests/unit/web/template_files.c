/* Templates as files: include, extends, and when they are read again. */

#include "fixture.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static sl_response *page(sl_request *req)
{
    return sl_render(req, sl_urlvar(req, "name"), "{s:s, s:[s, s]}", "title", "T&T", "rooms", "a", "b");
}

static sl_response *no_object(sl_request *req)
{
    return sl_render_json(req, "page.html", json_array());
}

static sl_response *bad_format(sl_request *req)
{
    return sl_render(req, "page.html", "{s:q}", "x", 1);
}

static void setup(sl_app *app)
{
    sl_route(app, "page", "GET /page/{name...}", page);
    sl_route(app, "no-object", "GET /no-object", no_object);
    sl_route(app, "bad-format", "GET /bad-format", bad_format);
}

static void write_base(site *s)
{
    write_file(s, "templates/base.html",
               "<title>{% block title %}Site{% end %}</title>{% block body %}<p>{% block inner %}empty{% end "
               "%}</p>{% end %}");
    write_file(s, "templates/row.html", "[{{ room }}{{ loop.index }}]");
}

static void drive_files(site *s)
{
    write_base(s);
    write_file(s, "templates/page.html",
               "{# the page #}\n{% extends \"base.html\" %}\n"
               "{% block title %}{{ title }}{% end %}\n"
               "{% block inner %}{% for room in rooms %}{% include \"row.html\" %}{% end %}{% end %}\n");
    write_file(s, "templates/sub/special.html",
               "{% extends \"page.html\" %}{% block title %}Special{% end %}");
    const answer *a = request(s, "GET /page/page.html");
    assert_int_equal(a->status, 200);
    assert_string_equal(a->type, "text/html; charset=utf-8");
    assert_string_equal(a->body, "<title>T&amp;T</title><p>[a1][b2]</p>");
    assert_string_equal(request(s, "GET /page/base.html")->body, "<title>Site</title><p>empty</p>");
    assert_string_equal(request(s, "GET /page/sub/special.html")->body,
                        "<title>Special</title><p>[a1][b2]</p>");
    /* A block inside of a block that replaces another is one of its own. */
    write_file(s, "templates/outer.html",
               "{% extends \"base.html\" %}{% block body %}<b>{% block new %}x{% end %}</b>{% end %}");
    write_file(s, "templates/more.html", "{% extends \"outer.html\" %}{% block new %}y{% end %}");
    assert_string_equal(request(s, "GET /page/outer.html")->body, "<title>Site</title><b>x</b>");
    assert_string_equal(request(s, "GET /page/more.html")->body, "<title>Site</title><b>y</b>");
    /* An included file has a chain of its own. */
    write_file(s, "templates/both.html", "{% include \"page.html\" %}|{% block title %}mine{% end %}");
    assert_string_equal(request(s, "GET /page/both.html")->body,
                        "<title>T&amp;T</title><p>[a1][b2]</p>|mine");
}

static void assert_page_says(site *s, const char *name, const char *says)
{
    const answer *a = request(s, sl_printf("GET /page/%s", name));
    assert_int_equal(a->status, 500);
    assert_contains(a->body, says);
}

static void drive_wrong_files(site *s)
{
    write_base(s);
    assert_page_says(s, "missing.html", "the template \"missing.html\" cannot be read: no such file");
    assert_page_says(s, "missing.html", "template_files.c"); /* where sl_render stands */
    write_file(s, "secret.html", "secret");
    assert_page_says(s, "..%2fsecret.html", "is not the name of a template");
    assert_page_says(s, "", "is not the name of a template");
    mkdir(sl_printf("%s/templates/folder", s->directory), 0700);
    assert_page_says(s, "folder", "Is a directory");
    write_file(s, "templates/include.html", "\n{% include \"nowhere.html\" %}");
    assert_page_says(s, "include.html",
                     "templates/include.html:2:1: the template \"nowhere.html\" cannot be read");
    write_file(s, "templates/broken.html", "{% if %}");
    write_file(s, "templates/include.html", "\n{% include \"broken.html\" %}");
    assert_page_says(s, "include.html", "templates/broken.html:1:7: here a value is missing");
    write_file(s, "templates/self.html", "{% include \"self.html\" %}");
    assert_page_says(s, "self.html", "includes go more than 16 files deep");
    write_file(s, "templates/ring.html", "{% extends \"ring.html\" %}");
    assert_page_says(s, "ring.html", "more than 16 files extend one another");
    write_file(s, "templates/child.html", "{% extends \"base.html\" %}\n{% block tilte %}x{% end %}");
    assert_page_says(s, "child.html", "templates/child.html:2:1: templates/base.html has no block \"tilte\"");
    /* A mistake in a file is told with that file's place, wherever it is used. */
    write_file(s, "templates/row.html", "\n\n{{ nobody }}");
    write_file(s, "templates/page.html",
               "{% extends \"base.html\" %}{% block body %}{% include \"row.html\" %}{% end %}");
    assert_page_says(s, "page.html", "templates/row.html:3:4: unknown name \"nobody\"");
    write_file(s, "templates/page.html",
               "{% extends \"base.html\" %}\n{% block body %}{{ nobody }}{% end %}");
    assert_page_says(s, "page.html", "templates/page.html:2:20: unknown name");
    assert_contains(request(s, "GET /no-object")->body, "is not an object");
    assert_contains(request(s, "GET /bad-format")->body, "sl_render: the format \"{s:q}\" fails");
}

/* Gives a file another time, so that the test need not wait for the clock. */
static void touch(site *s, const char *path, time_t when)
{
    struct timespec times[2] = {{when, 0}, {when, 0}};
    assert_int_equal(utimensat(AT_FDCWD, sl_printf("%s/%s", s->directory, path), times, 0), 0);
}

static void drive_changes(site *s)
{
    write_base(s);
    write_file(s, "templates/page.html",
               "{% extends \"base.html\" %}{% block body %}{% include \"inc.html\" %}{% end %}");
    write_file(s, "templates/inc.html", "1");
    assert_string_equal(request(s, "GET /page/page.html")->body, "<title>Site</title>1");
    write_file(s, "templates/inc.html", "2");
    touch(s, "templates/inc.html", 1000);
    assert_string_equal(request(s, "GET /page/page.html")->body, "<title>Site</title>2");
    /* Another text of the same size, at once: within one tick of the clock that stamps files. */
    write_file(s, "templates/inc.html", "3");
    assert_string_equal(request(s, "GET /page/page.html")->body, "<title>Site</title>3");
    write_file(s, "templates/inc.html", "2");
    assert_string_equal(request(s, "GET /page/page.html")->body, "<title>Site</title>2");
    write_file(s, "templates/base.html", "{% block body %}{% end %}!");
    assert_string_equal(request(s, "GET /page/page.html")->body, "2!");
    write_file(s, "templates/page.html", "{{ broken");
    assert_int_equal(request(s, "GET /page/page.html")->status, 500);
    write_file(s, "templates/page.html", "mended");
    assert_string_equal(request(s, "GET /page/page.html")->body, "mended");
    unlink(sl_printf("%s/templates/page.html", s->directory));
    assert_int_equal(request(s, "GET /page/page.html")->status, 500);
}

static void drive_production(site *s)
{
    write_file(s, "templates/page.html", "first");
    assert_string_equal(request(s, "GET /page/page.html")->body, "first");
    write_file(s, "templates/page.html", "second");
    touch(s, "templates/page.html", 1000);
    assert_string_equal(request(s, "GET /page/page.html")->body, "first");
}

#define SITE_TEST(name, development)                                                                         \
    static void name##_test(void **state)                                                                    \
    {                                                                                                        \
        with_site(development, setup, name);                                                                 \
    }

SITE_TEST(drive_files, true)
SITE_TEST(drive_wrong_files, true)
SITE_TEST(drive_changes, true)
SITE_TEST(drive_production, false)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(drive_files_test),
        cmocka_unit_test(drive_wrong_files_test),
        cmocka_unit_test(drive_changes_test),
        cmocka_unit_test(drive_production_test),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
