/* The search's query language: what is understood, and what is answered with a sentence. */
#include "../core/check.h"

#include "../../../apps/chat/plugins/search/query.h"
#include "../../../apps/chat/plugins/search/service.h"

#include <time.h>

static sl_arena *arena;
static struct search_wanted wanted;

static const struct search_wanted *parsed(const char *query)
{
    search_parse(arena, query, &wanted);
    return &wanted;
}

static void expect(const char *query, const char *match, const char *without)
{
    parsed(query);
    if (wanted.wrong)
        fail_msg("%s: %s", query, wanted.wrong);
    if (match)
        assert_string_equal(wanted.match, match);
    else
        assert_null(wanted.match);
    if (without)
        assert_string_equal(wanted.without, without);
    else
        assert_null(wanted.without);
}

static void expect_wrong(const char *query, const char *part)
{
    parsed(query);
    if (!wanted.wrong || !strstr(wanted.wrong, part))
        fail_msg("%s: not “%s” but “%s”", query, part, wanted.wrong ? wanted.wrong : "nothing");
}

static int set_up(void **state)
{
    setenv("TZ", "Europe/Berlin", 1);
    tzset();
    arena = sl_arena_new();
    return 0;
}

static int tear_down(void **state)
{
    sl_arena_free(arena);
    return 0;
}

static void test_words_and_phrases(void **state)
{
    expect("fish", "\"fish\"", NULL);
    expect("  fish \t soup\n", "\"fish\" AND \"soup\"", NULL);
    expect("\"fish soup\" hot", "\"fish soup\" AND \"hot\"", NULL);
    expect("“fish soup„", "\"fish soup\"", NULL);
    expect("fis*", "\"fis\" *", NULL);
    expect("fis** \"fish so\"*", "\"fis\" * AND \"fish so\" *", NULL);
    expect("soup -cold -\"ice cream\" -fro*", "\"soup\"", "\"cold\" OR \"ice cream\" OR \"fro\" *");
    expect("--cold soup", "\"soup\"", "\"cold\"");
    expect("\"fish", "\"fish\"", NULL); /* the quote at the end was forgotten */
    expect("a\"b c\"d", "\"a\" AND \"b c\" AND \"d\"", NULL);
    expect("søk 検索 поиск", "\"søk\" AND \"検索\" AND \"поиск\"", NULL);
}

static void test_nothing_else_has_a_meaning(void **state)
{
    expect("AND OR NOT NEAR", "\"AND\" AND \"OR\" AND \"NOT\" AND \"NEAR\"", NULL);
    expect("NEAR(a b, 2)", "\"NEAR(a\" AND \"b,\" AND \"2)\"", NULL);
    expect("body:x ^y {z}", "\"body:x\" AND \"^y\" AND \"{z}\"", NULL);
    expect("https://example.org/?a=b", "\"https://example.org/?a=b\"", NULL);
    expect("'; DROP TABLE document; --", "\"DROP\" AND \"TABLE\" AND \"document;\"", NULL);
    expect("C++ & D", "\"C++\" AND \"D\"", NULL);
    expect("a - b", "\"a\" AND \"b\"", NULL);
    expect("authors:x", "\"authors:x\"", NULL);
}

static void test_names(void **state)
{
    parsed("author:Ada room:\"The Kitchen\" -author:\"Grace Hopper\" AUTHOR:Zoë -room:LOBBY soup");
    assert_null(wanted.wrong);
    assert_string_equal(wanted.match, "\"soup\"");
    assert_int_equal(wanted.authors.count, 2);
    assert_string_equal(wanted.authors.keys[0], "ada");
    assert_string_equal(wanted.authors.keys[1], "zoë");
    assert_string_equal(wanted.not_authors.keys[0], "grace hopper");
    assert_string_equal(wanted.rooms.keys[0], "the kitchen");
    assert_string_equal(wanted.not_rooms.keys[0], "lobby");
    parsed("author:🌤");
    assert_string_equal(wanted.authors.keys[0], "🌤"); /* a name need not have letters */
    expect_wrong("author: Ada", "After “author:” comes a name");
    expect_wrong("room:\"\"", "After “room:” comes a name");
}

static void test_letters_are_folded(void **state)
{
    locale_t letters = search_letters();
    assert_string_equal(search_fold(arena, letters, "ÅNGSTRÖM Ⱥ Ж 日本 🌤 \u00df"),
                        "ångström ⱥ ж 日本 🌤 \u00df");
    assert_string_equal(search_fold(arena, letters, ""), "");
    freelocale(letters);
}

/* Milliseconds of a moment in Berlin. */
static int64_t berlin(int year, int month, int day)
{
    struct tm local = {.tm_year = year - 1900, .tm_mon = month - 1, .tm_mday = day, .tm_isdst = -1};
    return (int64_t)mktime(&local) * 1000;
}

static void test_times(void **state)
{
    assert_int_equal(parsed("before:2026-11-21")->until_ms, berlin(2026, 11, 21));
    assert_int_equal(wanted.from_ms, INT64_MIN);
    assert_int_equal(parsed("after:2026-11-21")->from_ms, berlin(2026, 11, 22));
    assert_int_equal(wanted.until_ms, INT64_MAX);
    assert_int_equal(parsed("after:2026-02-28")->from_ms, berlin(2026, 3, 1));
    assert_int_equal(parsed("before:2026-03-30")->until_ms - parsed("after:2026-03-28")->from_ms,
                     23 * 3600000);
    assert_int_equal(parsed("after:2024-02")->from_ms, berlin(2024, 3, 1));
    assert_int_equal(parsed("before:2024-02")->until_ms, berlin(2024, 2, 1));
    assert_int_equal(parsed("after:2025")->from_ms, berlin(2026, 1, 1));
    parsed("after:2025 after:2024 before:\"2026-05-02\" Before:2026-06");
    assert_int_equal(wanted.from_ms, berlin(2026, 1, 1));
    assert_int_equal(wanted.until_ms, berlin(2026, 5, 2));
    assert_non_null(parsed("before:2024-02-29"));
    assert_null(wanted.wrong);
    static const char *const none[] = {
        "yesterday", "2026-02-29", "2026-13", "2026-00-10",       "2026-1-1", "26",
        "1969",      "2026-01-32", "2026-",   "2026-01-01T00:00", "",         "2026-01-01 -"};
    for (size_t i = 0; i < sl_array_size(none); i++)
        expect_wrong(sl_arena_printf(arena, "before:\"%s\"", none[i]), "is no date");
    expect_wrong("-before:2026", "write after: instead");
}

static void test_what_makes_no_sense_is_answered(void **state)
{
    expect_wrong("", "Say what to look for");
    expect_wrong("  \t\u00a0\u3000 ", "Say what to look for");
    expect_wrong("-cold", "Say also what to look for");
    expect_wrong("!!! ... \"\" *", "no letter and no digit");
    expect_wrong("-", "no letter and no digit");
    expect_wrong("\xff\xfe", "not text");
    char *many = sl_arena_alloc(arena, 4 * SEARCH_CHARACTERS);
    memset(many, 'x', SEARCH_CHARACTERS + 1);
    many[SEARCH_CHARACTERS + 1] = '\0';
    expect_wrong(many, "too long");
    many[SEARCH_CHARACTERS] = '\0';
    expect(many, sl_arena_printf(arena, "\"%s\"", many), NULL);
    for (int i = 0; i <= SEARCH_TERMS; i++)
        memcpy(many + 2 * i, "a ", 3);
    expect_wrong(many, "too much at once");
    many[2 * SEARCH_TERMS] = '\0';
    parsed(many);
    assert_null(wanted.wrong);
}

static void test_filters_are_enough(void **state)
{
    expect("author:Ada", NULL, NULL);
    expect("room:lobby -cold", NULL, "\"cold\"");
    expect("before:2026 !!!", NULL, NULL);
    expect("-room:lobby", NULL, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_words_and_phrases),
        cmocka_unit_test(test_nothing_else_has_a_meaning),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_letters_are_folded),
        cmocka_unit_test(test_times),
        cmocka_unit_test(test_what_makes_no_sense_is_answered),
        cmocka_unit_test(test_filters_are_enough),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
