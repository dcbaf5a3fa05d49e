/* The language of templates: each case is a template, data as JSON, and the page or the complaint that comes
 * of it. */

#include "fixture.h"

#include <stdlib.h>

typedef struct template_case {
    const char *source, *data, *page;
} template_case;

static const char *source_now, *data_now;

static void *render(void *data)
{
    site *s = data;
    write_file(s, "templates/t.html", source_now);
    json_t *json = json_loads(data_now, JSON_DECODE_ANY, NULL);
    assert_non_null(json);
    return sl_strdup_heap(sl_render_string(s->app, "t.html", json));
}

/* The page, or NULL with the error as text. */
static char *try_render(site *s, const char *source, const char *data, char **ret_error)
{
    source_now = source;
    data_now = data ? data : "{}";
    sl_error *error;
    char *page = sl_try(sl_spawn(render, s), &error);
    *ret_error = error ? sl_error_text(error) : NULL;
    if (error) {
        sl_defer(free, *ret_error);
        assert_int_equal(error->code, SL_ETEMPLATE);
    } else {
        sl_defer(free, page);
    }
    return page;
}

static void check_pages(site *s, const template_case *cases, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        char *error, *page = try_render(s, cases[i].source, cases[i].data, &error);
        if (!page || strcmp(page, cases[i].page) != 0) {
            print_error("%s\nwith %s\nis  %s\nnot %s\n", cases[i].source, cases[i].data, page ? page : error,
                        cases[i].page);
            fail();
        }
    }
}

static void check_complaints(site *s, const template_case *cases, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        char *error, *page = try_render(s, cases[i].source, cases[i].data, &error);
        if (page || !strstr(error, cases[i].page)) {
            print_error("%s\nwith %s\nsays %s\nnot  %s\n", cases[i].source, cases[i].data,
                        page ? page : error, cases[i].page);
            fail();
        }
    }
}

static void drive_values(site *s)
{
    static const template_case cases[] = {
        {"", "{}", ""},
        {"plain { text } {", "{}", "plain { text } {"},
        {"{{ x }}", "{\"x\": \"a<b>&\\\"'\"}", "a&lt;b&gt;&amp;&quot;&#39;"},
        {"<a title=\"{{ x }}\">", "{\"x\": \"\\\" onload=\\\"\"}", "<a title=\"&quot; onload=&quot;\">"},
        {"{{ x | raw }}", "{\"x\": \"<b>\"}", "<b>"},
        {"{{x}} {{ y }} {{ z }} {{ n }}|", "{\"x\": 3, \"y\": -0.1, \"z\": true, \"n\": null}",
         "3 -0.1 true |"},
        {"{{ x }} {{ y }}", "{\"x\": 1e21, \"y\": 9223372036854775807}", "1e+21 9223372036854775807"},
        {"{{ user.name }} {{ users.0.name }} {{ users[i].name }} {{ user[\"name\"] }}",
         "{\"user\": {\"name\": \"A\"}, \"users\": [{\"name\": \"B\"}], \"i\": 0}", "A B B A"},
        {"{{ \"a\\\"b\\n\" }}{{ 'c' }}{{ 1.50 }}{{ -2 }}", "{}", "a&quot;b\nc1.5-2"},
        {"{{ \"{{\" | raw }}", "{}", "{{"},
        {"a{# a {{ comment }} #}b", "{}", "ab"},
        {"{{ x or y }} {{ y and x }} {{ not x }} {{ not not y }}", "{\"x\": \"\", \"y\": \"Y\"}",
         "Y  true true"},
    };
    check_pages(s, cases, sl_array_size(cases));
}

static void drive_filters(site *s)
{
    static const template_case cases[] = {
        {"{{ x | upper }} {{ x | lower }}", "{\"x\": \"Straße Ärger <b>\"}",
         "STRAßE ÄRGER &lt;B&gt; straße ärger &lt;b&gt;"},
        {"{{ x | length }} {{ y | length }} {{ z | length }}",
         "{\"x\": \"äöü\", \"y\": [1, 2], \"z\": {\"a\": 1}}", "3 2 1"},
        {"{{ x | default(\"<none>\") }} {{ y | default(2) }} {{ z | default(1) }} {{ u.v | default(\"-\") }}",
         "{\"y\": null, \"z\": \"\", \"u\": {}}", "&lt;none&gt; 2  -"},
        {"{{ a.b.c | default(\"none\") }} {{ l.7 | default(0) }}", "{\"l\": []}", "none 0"},
        {"{% if error | default(false) %}x{% else %}y{% end %}", "{}", "y"},
        {"<script>let x = {{ x | json }}</script>", "{\"x\": {\"t\": \"</script><!--&'\\u2028\"}}",
         "<script>let x = {\"t\":\"\\u003c/script\\u003e\\u003c!--\\u0026\\u0027\\u2028\"}</script>"},
        {"{{ s | json }} {{ 1.5 | json }} {{ null | json }} {{ true | json }}", "{\"s\": \"a\\\"b\"}",
         "\"a\\\"b\" 1.5 null true"},
        {"<a href=\"/?q={{ q | urlencode }}\">", "{\"q\": \"a b&c/ä\"}",
         "<a href=\"/?q=a%20b%26c%2F%C3%A4\">"},
        {"{{ t | date(\"%Y-%m-%d %H:%M\") }}{{ t | date(\"\") }}", "{\"t\": 86461}", "1970-01-02 00:01"},
        {"{{ x | lower | length }}", "{\"x\": \"ABC\"}", "3"},
        {"{{ x | raw | upper }}", "{\"x\": \"<b>\"}", "<B>"},
    };
    check_pages(s, cases, sl_array_size(cases));
}

static void drive_conditions(site *s)
{
    static const template_case cases[] = {
        {"{% if a %}1{% elif b %}2{% else %}3{% end %}", "{\"a\": false, \"b\": [0]}", "2"},
        {"{% if a %}1{% elif b %}2{% else %}3{% end %}", "{\"a\": 0, \"b\": {}}", "3"},
        {"{% if a %}1{% end %}", "{\"a\": \"0\"}", "1"},
        {"{% if a == 1 and b != \"x\" %}yes{% end %}", "{\"a\": 1.0, \"b\": \"y\"}", "yes"},
        {"{% if a == \"1\" %}yes{% else %}no{% end %}", "{\"a\": 1}", "no"},
        {"{% if a == null %}null{% end %}", "{\"a\": null}", "null"},
        {"{% if a == b %}same{% end %}", "{\"a\": [1, {\"x\": 2}], \"b\": [1, {\"x\": 2}]}", "same"},
        {"{% if 1 < 2 and 2 <= 2 and 3 > 2 and 2 >= 2 and not 2 < 2 %}yes{% end %}", "{}", "yes"},
        {"{% if \"a\" < \"b\" and \"a\" < \"aa\" %}yes{% end %}", "{}", "yes"},
        {"{% if (a or b) and not (a and b) %}xor{% end %}", "{\"a\": true, \"b\": false}", "xor"},
        {"{% if names | length > 1 %}many{% end %}", "{\"names\": [1, 2]}", "many"},
        {"{% if a or b and c %}yes{% else %}no{% end %}", "{\"a\": true, \"b\": true, \"c\": false}", "yes"},
    };
    check_pages(s, cases, sl_array_size(cases));
}

static void drive_loops(site *s)
{
    static const template_case cases[] = {
        {"{% for x in l %}{{ loop.index }}/{{ loop.length }}:{{ x }}{% if not loop.last %}, {% end %}{% end "
         "%}",
         "{\"l\": [\"a\", \"b\"]}", "1/2:a, 2/2:b"},
        {"{% for x in l %}{{ x }}{% else %}none{% end %}", "{\"l\": []}", "none"},
        {"{% for x in l %}{{ x }}{% else %}none{% end %}", "{\"l\": null}", "none"},
        {"{% for k, v in o %}{{ k }}={{ v }};{% end %}{% for k in o %}{{ k }}{% end %}",
         "{\"o\": {\"b\": 1, \"a\": 2}}", "b=1;a=2;ba"},
        {"{% for i, x in l %}{{ i }}{{ x }}{% end %}", "{\"l\": [\"a\", \"b\"]}", "0a1b"},
        {"{% for x in l %}{% for y in x %}{{ y }}{% if loop.first %}!{% end %}{% end %}{{ loop.index }} {% "
         "end %}{{ x }}",
         "{\"l\": [[1, 2], [3]], \"x\": \"outer\"}", "1!21 3!2 outer"},
        {"<ul>\n  {%- for x in l -%}\n  <li>{{- x -}} </li>\n  {%- end -%}\n</ul>", "{\"l\": [1, 2]}",
         "<ul><li>1</li><li>2</li></ul>"},
        {"a {#- c -#} b", "{}", "ab"},
    };
    check_pages(s, cases, sl_array_size(cases));
}

static sl_response *nothing(sl_request *req)
{
    return sl_respond(req, 204);
}

static void setup(sl_app *app)
{
    sl_route(app, "room", "GET /rooms/{room}", nothing);
}

static void drive_urls(site *s)
{
    static const template_case good[] = {
        {"<a href=\"{{ url(\"room\", room=r, q=\"a&b\", n=2) }}\">", "{\"r\": \"a/b\"}",
         "<a href=\"/rooms/a%2Fb?q=a%26b&amp;n=2\">"},
        {"{{ url }}", "{\"url\": 1}", "1"},
    };
    check_pages(s, good, sl_array_size(good));
    static const template_case bad[] = {
        {"{{ url(\"rooms\") }}", "{}", "1:4: there is no route named \"rooms\""},
        {"{{ url(\"room\") }}", "{}", "needs a value for \"room\""},
        {"{{ url(\"room\", room=l) }}", "{\"l\": []}", "a list cannot stand in a URL"},
        {"{{ url(\"room\", r) }}", "{\"r\": 1}", "variable of the route"},
    };
    check_complaints(s, bad, sl_array_size(bad));
}

static void drive_mistakes_in_the_text(site *s)
{
    static const template_case cases[] = {
        {"ä{{ x", "{}", "templates/t.html:1:2: this tag is not closed with \"}}\""},
        {"\n\n  {% if x", "{}", "templates/t.html:3:3: this tag is not closed with \"%}\""},
        {"{% if x %}\n{{ x }}", "{\"x\": 1}", "1:1: this \"if\" has no {% end %}"},
        {"{% for x in y %}{% if x %}{% end %}", "{}", "1:1: this \"for\" has no"},
        {"{% end %}", "{}", "\"end\" without something that it belongs to"},
        {"{% else %}", "{}", "\"else\" without"},
        {"{% if x %}{% else %}{% else %}{% end %}", "{\"x\": 1}", "only \"end\" can follow"},
        {"{% for x in y %}{% elif x %}{% end %}", "{\"y\": []}", "at most one \"else\""},
        {"{% if x %}{% endif %}", "{}", "write {% end %}"},
        {"{% elseif x %}", "{}", "it is written \"elif\""},
        {"{% while x %}", "{}", "there is no tag \"while\""},
        {"{% if %}", "{}", "here a value is missing"},
        {"{{ }}", "{}", "here a value is missing"},
        {"{{ x y }}", "{}", "1:6: here \"}}\" was expected"},
        {"{% if x = 1 %}", "{}", "compared with =="},
        {"{{ x | uper }}", "{}", "there is no filter \"uper\""},
        {"{{ x | upper(1) }}", "{}", "takes no argument"},
        {"{{ x | default }}", "{}", "needs an argument"},
        {"{{ f(x) }}", "{}", "there is no function \"f\""},
        {"{{ \"abc }}", "{}", "this text is not closed"},
        {"{{ \"a\\q\" }}", "{}", "unknown escape \\q"},
        {"{{ 1x }}", "{}", "this is not a number"},
        {"{{ 99999999999999999999 }}", "{}", "this is not a number"},
        {"{{ (x }}", "{}", "is not closed with \")\""},
        {"{{ x. }}", "{}", "the name of a member"},
        {"{{ and }}", "{}", "not the word \"and\""},
        {"{# open", "{}", "this comment is not closed"},
        {"{% for in x %}", "{}", "name of a variable"},
        {"{% for loop in x %}", "{}", "name of a variable"},
        {"{% for x of y %}", "{}", "the word \"in\" is missing"},
        {"{% include x %}", "{}", "name of a file must stand in quotes"},
        {"{% block %}{% end %}", "{}", "the name of the block is missing"},
        {"{% block a %}{% end %}{% block a %}{% end %}", "{}", "a block \"a\" in this file already"},
        {"x{% extends \"b.html\" %}", "{}", "before everything else"},
        {"{% extends \"b.html\" %}text", "{}", "1:23: this stands outside of any block"},
        {"{% extends \"b.html\" %}\n {{ x }}", "{}", "2:2: this stands outside of any block"},
        {"\xff", "{}", "is not UTF-8"},
    };
    check_complaints(s, cases, sl_array_size(cases));
}

static void drive_mistakes_in_the_data(site *s)
{
    static const template_case cases[] = {
        {"a\n  {{ romo }}", "{\"room\": 1}", "templates/t.html:2:6: unknown name \"romo\""},
        {"a\n  {{ romo }}", "{\"room\": 1}", "      2 |   {{ romo }}\n        |      ^"},
        {"{{ romo }}", "{\"room\": 1}", "did you mean \"room\"?"},
        {"{% for m in l %}{{ n }}{% end %}", "{\"l\": [1]}", "unknown name \"n\""},
        {"{{ u.nam }}", "{\"u\": {\"name\": 1}}", "1:6: there is no member \"nam\""},
        {"{{ u.nam }}", "{\"u\": {\"name\": 1}}", "did you mean \"name\"?"},
        {"{{ u.x.y }}", "{\"u\": {}}", "there is no member \"x\""},
        {"{{ u.x }}", "{\"u\": null}", "it is null"},
        {"{{ u.x }}", "{\"u\": \"text\"}", "what stands before it is a text"},
        {"{{ l.3 }}", "{\"l\": [1]}", "nothing is at this index"},
        {"{{ l[\"a\"] }}", "{\"l\": [1]}", "a list cannot be indexed with a text"},
        {"{% if x %}{% end %}", "{}", "unknown name \"x\""},
        {"{% for x in y %}{% end %}", "{\"y\": 3}", "walks a list or an object, not a number"},
        {"{% for x in l %}{{ loop.idx }}{% end %}", "{\"l\": [1]}", "loop has no member \"idx\""},
        {"{{ x }}", "{\"x\": []}", "a list cannot be shown as text"},
        {"{{ x }}", "{\"x\": {}}", "an object cannot be shown as text"},
        {"{% if 1 < \"2\" %}{% end %}", "{}", "a number and a text have no order"},
        {"{{ 3 | length }}", "{}", "a number has no length"},
        {"{{ x | upper }}", "{\"x\": []}", "takes a text, not a list"},
        {"{{ \"x\" | date(\"%Y\") }}", "{}", "takes a number"},
        {"{{ 1700000000000 | date(\"%Y\") }}", "{}", "seconds, not milliseconds"},
    };
    check_complaints(s, cases, sl_array_size(cases));
}

static void drive_limits(site *s)
{
    SL_CLEANUP(sl_buffer_done) sl_buffer deep = {0};
    for (int i = 0; i < 40; i++)
        sl_buffer_puts(&deep, "{% if true %}");
    template_case blocks = {deep.data, "{}", "more than 32 blocks in one another"};
    check_complaints(s, &blocks, 1);
    deep.size = 0;
    sl_buffer_puts(&deep, "{{ ");
    for (int i = 0; i < 100000; i++)
        sl_buffer_puts(&deep, "(");
    template_case parentheses = {deep.data, "{}", "more than 32 parentheses"};
    check_complaints(s, &parentheses, 1);
    deep.size = 0;
    sl_buffer_puts(&deep, "{{ x");
    for (int i = 0; i < 100000; i++)
        sl_buffer_puts(&deep, ".x");
    template_case members = {deep.data, "{}", "more than 64 steps in one another"};
    check_complaints(s, &members, 1);
    deep.size = 0;
    sl_buffer_puts(&deep, "{{ x");
    for (int i = 0; i < 100000; i++)
        sl_buffer_puts(&deep, " or x");
    template_case operators = {deep.data, "{}", "more than 64 steps in one another"};
    check_complaints(s, &operators, 1);
    deep.size = 0;
    sl_buffer_puts(&deep, "{{ x");
    for (int i = 0; i < 100000; i++)
        sl_buffer_puts(&deep, " | upper");
    template_case filters = {deep.data, "{}", "more than 64 steps in one another"};
    check_complaints(s, &filters, 1);
    /* Deep in both ways at once: it must be refused, or fit on the stack of a task. */
    deep.size = 0;
    sl_buffer_puts(&deep, "{{ ");
    for (int i = 0; i < 30; i++)
        sl_buffer_puts(&deep, "(");
    sl_buffer_puts(&deep, "x");
    for (int i = 0; i < 30; i++)
        sl_buffer_puts(&deep, " or x or x | lower | lower)");
    sl_buffer_puts(&deep, " }}");
    template_case both = {deep.data, "{\"x\": 1}", "1"};
    check_pages(s, &both, 1);
    deep.size = 0;
    sl_buffer_puts(&deep, "{{ ");
    for (int i = 0; i < 100001; i++)
        sl_buffer_puts(&deep, "not ");
    sl_buffer_puts(&deep, "x }}");
    template_case negations = {deep.data, "{\"x\": true}", "false"};
    check_pages(s, &negations, 1);
}

#define SITE_TEST(name)                                                                                      \
    static void name##_test(void **state)                                                                    \
    {                                                                                                        \
        with_site(true, setup, name);                                                                        \
    }

SITE_TEST(drive_values)
SITE_TEST(drive_filters)
SITE_TEST(drive_conditions)
SITE_TEST(drive_loops)
SITE_TEST(drive_urls)
SITE_TEST(drive_mistakes_in_the_text)
SITE_TEST(drive_mistakes_in_the_data)
SITE_TEST(drive_limits)

int main(void)
{
    setenv("TZ", "UTC", 1);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(drive_values_test),
        cmocka_unit_test(drive_filters_test),
        cmocka_unit_test(drive_conditions_test),
        cmocka_unit_test(drive_loops_test),
        cmocka_unit_test(drive_urls_test),
        cmocka_unit_test(drive_mistakes_in_the_text_test),
        cmocka_unit_test(drive_mistakes_in_the_data_test),
        cmocka_unit_test(drive_limits_test),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
