/* Lists, weights and parameters. */
#include "wire.h"
#include "http/accept.h"

static void codings(void **state)
{
    static const struct {
        const char *value, *coding;
        int quality;
    } cases[] = {
        {"gzip", "gzip", 1000},
        {"GZip", "gzip", 1000},
        {"gzip, br;q=0.5", "br", 500},
        {"gzip;q=0.001", "gzip", 1},
        {"gzip ; q=0.25 , br", "gzip", 250},
        {"gzip;Q=1.000", "gzip", 1000},
        {"gzip;q=0", "gzip", 0},
        {"gzip;q=0.", "gzip", 0},
        {"gzip", "br", 0},
        {"*", "br", 1000},
        {"*;q=0.3, br;q=0.1", "br", 100},
        {"br;q=0, *", "br", 0},
        {"gzip", "identity", 1},
        {"", "identity", 1},
        {"", "gzip", 0},
        {"identity;q=0", "identity", 0},
        {"*;q=0", "identity", 0},
        {"*;q=0, identity;q=0.5", "identity", 500},
        {"*;q=0.7", "identity", 700},
        {"gzip;q=2", "gzip", 0},
        {"gzip;q=1.001", "gzip", 0},
        {"gzip;q=0.1234", "gzip", 0},
        {"gzip;q=-1", "gzip", 0},
        {"gzip;q=", "gzip", 0},
        {"gzip;q", "gzip", 0},
        {"gzip;q=\"1\"", "gzip", 0},
        {"gzip;q=1;q=1", "gzip", 0},
        {"gzip;level=9", "gzip", 0},
        {"gzip q=1", "gzip", 0},
        {", ,gzip,", "gzip", 1000},
        {"gzipx, xgzip", "gzip", 0},
    };
    for (size_t i = 0; i < sl_array_size(cases); i++) {
        int got = sl__accept_quality(cases[i].value, cases[i].coding);
        if (got != cases[i].quality)
            fail_msg("%s for %s: %d, not %d", cases[i].value, cases[i].coding, got, cases[i].quality);
    }
}

static void media(void **state)
{
    static const struct {
        const char *value, *type;
        int quality;
    } cases[] = {
        {"text/html", "text/html", 1000},
        {"text/html;q=0.8, */*;q=0.1", "text/html", 800},
        {"text/html;q=0.8, */*;q=0.1", "text/plain", 100},
        {"text/*;q=0.5, text/html;q=0.2, */*", "text/html", 200},
        {"text/*;q=0.5, */*", "TEXT/plain", 500},
        {"text/*", "textual/html", 0},
        {"text/html;level=1, text/*;q=0.3", "text/html", 300},
        {"application/json", "text/html", 0},
        {"*", "text/html", 0},
    };
    for (size_t i = 0; i < sl_array_size(cases); i++) {
        int got = sl__accept_media_quality(cases[i].value, cases[i].type);
        if (got != cases[i].quality)
            fail_msg("%s for %s: %d, not %d", cases[i].value, cases[i].type, got, cases[i].quality);
    }
}

static void lists(void **state)
{
    assert_true(sl__list_has("keep-alive, Upgrade", "upgrade"));
    assert_true(sl__list_has("\t upgrade \t", "upgrade"));
    assert_false(sl__list_has("upgraded", "upgrade"));
    assert_false(sl__list_has("\"a, upgrade\"", "upgrade"));
    assert_false(sl__list_has("", "upgrade"));
    const char *cursor = " a;x=\"1,\\\"2\" ,, b";
    sl_view element;
    assert_true(sl__list_next(&cursor, &element));
    assert_true(sl_view_equal(element, SL_VIEW("a;x=\"1,\\\"2\"")));
    assert_true(sl__list_next(&cursor, &element));
    assert_true(sl_view_equal(element, SL_VIEW("b")));
    assert_false(sl__list_next(&cursor, &element));
    assert_false(sl__list_next(&cursor, &element));
}

static void parameters(void **state)
{
    sl_view value;
    bool quoted;
    sl_view element = SL_VIEW("a/b; Charset=utf-8 ; n=\"x;y=\\\"\"; e=\"\"");
    assert_int_equal(sl__parameter(element, "charset", &value, &quoted), 1);
    assert_true(sl_view_equal(value, SL_VIEW("utf-8")) && !quoted);
    assert_int_equal(sl__parameter(element, "n", &value, &quoted), 1);
    assert_true(sl_view_equal(value, SL_VIEW("x;y=\\\"")) && quoted);
    assert_int_equal(sl__parameter(element, "e", &value, &quoted), 1);
    assert_true(value.size == 0 && quoted);
    assert_int_equal(sl__parameter(element, "y", &value, &quoted), 0);
    assert_int_equal(sl__parameter(SL_VIEW("a"), "b", &value, &quoted), 0);
    assert_int_equal(sl__parameter(SL_VIEW("a; b=1;"), "b", &value, &quoted), 1);
    const char *const malformed[] = {"a; b=1; b=2", "a; b=\"1", "a; b=",   "a; b",
                                     "a; b=1 c",    "a; =1",    "a; b =1", "a; b=\"1\"2"};
    for (size_t i = 0; i < sl_array_size(malformed); i++)
        assert_int_equal(sl__parameter(sl_view_of(malformed[i]), "b", &value, &quoted), SL_EPARSE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(codings),
        cmocka_unit_test(media),
        cmocka_unit_test(lists),
        cmocka_unit_test(parameters),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
