/* tests/text.c: what people type, by itself, without a server and a database. Ends with 0, or with a line
 * about what was wrong. */
#include "../src/text.h"

#include <stdio.h>
#include <stdlib.h>

#define CHECK(condition)                                                                                     \
    do {                                                                                                     \
        if (!(condition))                                                                                    \
            sl_fail(SL_EFAILED, "line %d: this does not hold: %s", __LINE__, #condition);                    \
    } while (0)

static bool same(const char *a, const char *b)
{
    return a && b ? strcmp(a, b) == 0 : a == b;
}

/* ---- Text -------------------------------------------------------------------------------------------- */

static void check_pieces(const char *body, const char *expected)
{
    json_t *pieces = pieces_of(body);
    char *text = json_dumps(pieces, JSON_COMPACT);
    sl_defer(free, text);
    json_decref(pieces);
    if (!same(text, expected))
        sl_fail(SL_EFAILED, "%s became %s instead of %s", body, text, expected);
}

static void check_text(void)
{
    CHECK(same(tidy_line(NULL), ""));
    CHECK(same(tidy_line("  a \t b\n "), "a b"));
    CHECK(same(tidy_line("\u00a0Zoë\u3000Ångström\u2009"), "Zoë Ångström"));
    CHECK(same(tidy_lines("\r\n  a\r\n\tb\x01\x7f\r\n \r\n"), "a\n\tb"));
    CHECK(same(tidy_lines(" \n\r\t"), ""));

    CHECK(!wrong_name("Zoë Ångström") && !wrong_name("🌤") && !wrong_name("x"));
    CHECK(wrong_name("") && wrong_name("a\u200bb") && wrong_name("\u202eb") && wrong_name("a\xc2\x85"));
    static const char *const unseen[] = {"Ada\u034f", "Ada\u115f", "Ada\u180b",    "Ada\u2800",
                                         "Ada\ufe0f", "Ada\uffa0", "Ada\U000e0100"};
    for (size_t i = 0; i < sl_array_size(unseen); i++)
        CHECK(wrong_name(unseen[i]));
    CHECK(!wrong_name("☀️ Ada ❤️") && !wrong_room("☀️") && wrong_room("Ada\ufe0f"));
    CHECK(same(tidy_line("Ada\u202f\u205f\u1680"), "Ada"));
    CHECK(!wrong_name("日本語日本語日本語日本語日本語日本語日本語日本語日本語日本語日本"));
    CHECK(wrong_name("日本語日本語日本語日本語日本語日本語日本語日本語日本語日本語日本語"));
    CHECK(!wrong_room("日本") && !wrong_room("a-b_c 1") && !wrong_room("Küche"));
    CHECK(wrong_room("") && wrong_room("a/b") && wrong_room("..") && wrong_room("- _") &&
          wrong_room("a\u2066"));

    char *body = sl_alloc(BODY_LIMIT + 2);
    memset(body, 'x', BODY_LIMIT + 1);
    body[BODY_LIMIT + 1] = 0;
    CHECK(wrong_body(body) && wrong_body(""));
    body[BODY_LIMIT] = 0;
    CHECK(!wrong_body(body));

    CHECK(colour_of("Ada") == colour_of("Ada") && colour_of("") >= 0 && colour_of("\xff") < COLOURS);
}

static void check_links(void)
{
    check_pieces("", "[]");
    check_pieces("http https:// http", "[{\"text\":\"http https:// http\",\"link\":false}]");
    check_pieces("xhttp://a", "[{\"text\":\"xhttp://a\",\"link\":false}]");
    check_pieces("javascript:alert(1)", "[{\"text\":\"javascript:alert(1)\",\"link\":false}]");
    check_pieces("https://a.org", "[{\"text\":\"https://a.org\",\"link\":true}]");
    check_pieces("(http://a/x).", "[{\"text\":\"(\",\"link\":false},{\"text\":\"http://a/x\",\"link\":true},"
                                  "{\"text\":\").\",\"link\":false}]");
    check_pieces("http://a/x(y)", "[{\"text\":\"http://a/x(y)\",\"link\":true}]");
    check_pieces("http://a))", "[{\"text\":\"http://a\",\"link\":true},{\"text\":\"))\",\"link\":false}]");
    check_pieces("http://a(b).",
                 "[{\"text\":\"http://a(b)\",\"link\":true},{\"text\":\".\",\"link\":false}]");
    check_pieces("http://a)(", "[{\"text\":\"http://a)(\",\"link\":true}]");
    check_pieces("http://a\"b",
                 "[{\"text\":\"http://a\",\"link\":true},{\"text\":\"\\\"b\",\"link\":false}]");
}

/* ---- Columns ----------------------------------------------------------------------------------------- */

static sl_value typed(const char *text)
{
    return (sl_value){.kind = SL_KIND_TEXT, .text = sl_view_of(text)};
}

/* What is stored is tidy, and tidying it again leaves it as it is. */
static void check_columns(void)
{
    sl_value name = typed("  Zoë   Ångström "), room = typed("\ta  b "), body = typed("\r\n one\r\ntwo \n");
    for (int twice = 0; twice < 2; twice++) {
        CHECK(!check_name(&name) && same(name.text.data, "Zoë Ångström"));
        CHECK(!check_room(&room) && same(room.text.data, "a b"));
        CHECK(!check_body(&body) && same(body.text.data, "one\ntwo"));
        CHECK(name.text.size == strlen(name.text.data));
    }
    name = typed(" "), room = typed("a/b"), body = typed(" \r\n");
    CHECK(check_name(&name) && check_room(&room) && check_body(&body));
}

static void *check_all(void *unused)
{
    (void)unused;
    check_text();
    check_links();
    check_columns();
    return NULL;
}

int main(void)
{
    return sl_run("text", check_all, NULL, NULL) < 0;
}
