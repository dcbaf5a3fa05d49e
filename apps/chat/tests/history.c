/* tests/history.c: the history and the text by themselves, without a server. Takes the path of a database
 * that is not there yet; ends with 0, or with a line about what was wrong. */
#include "../src/history.h"
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
    check_pieces("http://a\"b",
                 "[{\"text\":\"http://a\",\"link\":true},{\"text\":\"\\\"b\",\"link\":false}]");
}

/* ---- History ----------------------------------------------------------------------------------------- */

static void check_rooms(history *h)
{
    sl_await(history_make_room(h, "Küche"));
    sl_await(history_make_room(h, "kücHE")); /* the same */
    CHECK(same(history_room(h, "KüCHE"), "Küche"));
    CHECK(!history_room(h, "kitchen"));
    struct rooms rooms = history_rooms(h, 10);
    CHECK(rooms.count == 2);
    CHECK(same(rooms.items[0].name, "Küche") && same(rooms.items[1].name, "lobby"));
    CHECK(!rooms.items[0].author);
}

static void check_nonces(history *h)
{
    struct message *first = sl_await(history_add(h, "lobby", "Ada", "n", "hello"));
    struct message *again = sl_await(history_add(h, "lobby", "Ada", "n", "hello"));
    struct message *other_words = sl_await(history_add(h, "lobby", "Ada", "n", "goodbye"));
    struct message *other_author = sl_await(history_add(h, "lobby", "Bob", "n", "hello"));
    struct message *other_room = sl_await(history_add(h, "Küche", "Ada", "n", "hello"));
    CHECK(again->id == first->id && again->sent_ms == first->sent_ms);
    CHECK(other_words->id > first->id && same(other_words->body, "goodbye"));
    CHECK(other_author->id > other_words->id && other_room->id > other_author->id);
    CHECK(history_newest(h) == other_room->id);

    struct messages lobby = history_after(h, "lobby", 0, 10);
    CHECK(lobby.count == 3 && lobby.items[0].id == first->id && same(lobby.items[2].author, "Bob"));
    lobby = history_after(h, "lobby", first->id, 1);
    CHECK(lobby.count == 1 && lobby.items[0].id == other_words->id);
    lobby = history_before(h, "lobby", other_author->id, 1);
    CHECK(lobby.count == 1 && lobby.items[0].id == other_words->id);
}

struct speaker {
    history *history;
    int number;
};

static void *speak(void *data)
{
    struct speaker *speaker = data;
    const char *body = sl_printf("%d", speaker->number);
    struct message *m = sl_await(history_add(speaker->history, "Küche", "all", body, body));
    CHECK(same(m->body, body));
    return NULL;
}

static void check_many_at_once(history *h, history *other_instance)
{
    struct speaker speakers[500];
    SL_SCOPE(all)
    {
        for (int i = 0; i < 500; i++) {
            speakers[i] = (struct speaker){i % 2 ? h : other_instance, i};
            sl_go(speak, &speakers[i]);
        }
    }
    struct messages said = history_after(h, "Küche", 0, 1000);
    CHECK(said.count == 501);
    for (size_t i = 1; i < said.count; i++)
        CHECK(said.items[i].id > said.items[i - 1].id);
}

static void check_too_many_rooms(history *h)
{
    sl_error *error = NULL;
    int made = 2;
    for (; made < 1100 && !error; made++)
        sl_try(history_make_room(h, sl_printf("room %d", made)), &error);
    CHECK(error && error->code == SL_EBUSY && made == 1001);
    sl_await(history_make_room(h, "lobby")); /* is there, so it can always be "made" */
}

static void *check_all(void *path)
{
    check_text();
    check_links();
    history *h = history_open(path), *other_instance = history_open(path);
    check_rooms(h);
    check_nonces(h);
    check_many_at_once(h, other_instance);
    check_too_many_rooms(h);

    /* What was asked for before it was closed is stored, and whoever waits for it is told. */
    sl_deferred *one = history_add(h, "lobby", "late", "1", "one"),
                *two = history_add(h, "lobby", "late", "2", "two");
    history_close(h);
    struct message *last = (sl_await(one), sl_await(two));
    CHECK(history_newest(other_instance) == last->id);
    history_close(other_instance);
    return NULL;
}

int main(int count, char **arguments)
{
    if (count != 2)
        return fprintf(stderr, "usage: history DATABASE\n"), 2;
    return sl_run("history", check_all, arguments[1], NULL) < 0;
}
