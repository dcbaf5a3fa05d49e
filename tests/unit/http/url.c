/* Paths, queries and their encoding. */
#include "wire.h"
#include "http/url.h"

static char *decoded(const char *data, size_t size)
{
    char *out = sl_malloc(size + 1), *raw = wire_copy(data, size);
    size_t got = 0;
    const char *reason = NULL;
    int failed = sl__url_path((sl_view){raw, size}, out, &got, &reason);
    free(raw);
    if (failed < 0) {
        assert_int_equal(failed, SL_HTTP(400));
        free(out);
        return sl_printf_heap("400 %s", reason);
    }
    assert_int_equal(strlen(out), got);
    return out;
}

static void check_path(const char *data, size_t size, const char *expected)
{
    wire_same(expected, decoded(data, size), data, 0, 0);
}
#define PATH(raw, expected) check_path("" raw, sizeof(raw) - 1, expected)

static void paths(void **state)
{
    PATH("/", "/");
    PATH("/rooms/a%20b", "/rooms/a b");
    PATH("/caf%c3%A9", "/caf\xc3\xa9");
    PATH("/a+b", "/a+b");
    PATH("/100%25", "/100%");
    PATH("/%252e%252e/x", "/%2e%2e/x");
    PATH("/a/./b/../c", "/a/c");
    PATH("/a/b/..", "/a/");
    PATH("/a/b/.", "/a/b/");
    PATH("/..", "/");
    PATH("/../../etc/passwd", "/etc/passwd");
    PATH("/a/../../b", "/b");
    PATH("/%2e%2E/%2e/b", "/b");
    PATH("/.%2e/b", "/b");
    PATH("/...", "/...");
    PATH("/.hidden/..x", "/.hidden/..x");
    PATH("//etc//passwd", "/etc/passwd");
    PATH("/a///", "/a/");
    PATH("//", "/");
    PATH("/a//../b", "/b");
    PATH("/a\\..\\b", "/a\\..\\b");
}

static void encoded_slashes_never_part(void **state)
{
    PATH("/a%2Fb", "/a%2Fb");
    PATH("/a%2fb", "/a%2Fb");
    PATH("/..%2F..%2Fetc", "/..%2F..%2Fetc");
    PATH("/%25%2F", "/%%2F");
    PATH("/%252F", "400 the path has a doubly encoded slash");
    PATH("/%25%32f", "400 the path has a doubly encoded slash");
    PATH("/%25%32%66", "400 the path has a doubly encoded slash");
    char segment[] = "a%2Fb%2F", plain[] = "a%2";
    assert_int_equal(sl__url_slashes(segment), 4);
    assert_string_equal(segment, "a/b/");
    assert_int_equal(sl__url_slashes(plain), 3);
    assert_string_equal(plain, "a%2");
}

static void refused_paths(void **state)
{
    PATH("", "400 the path does not begin with a slash");
    PATH("a", "400 the path does not begin with a slash");
    PATH("/%", "400 the path has a \"%\" that is not followed by two hexadecimal digits");
    PATH("/%2", "400 the path has a \"%\" that is not followed by two hexadecimal digits");
    PATH("/%zz", "400 the path has a \"%\" that is not followed by two hexadecimal digits");
    PATH("/%u0041", "400 the path has a \"%\" that is not followed by two hexadecimal digits");
    PATH("/a%00.png", "400 the path has a control character");
    PATH("/a%0d%0a", "400 the path has a control character");
    PATH("/a%7f", "400 the path has a control character");
    PATH("/a\0b", "400 the path has a control character");
    PATH("/%ff", "400 the path is not UTF-8");
    PATH("/%c0%af", "400 the path is not UTF-8");
    PATH("/%ed%a0%80", "400 the path is not UTF-8");
}

static void a_path_is_decoded_in_place(void **state)
{
    char path[] = "/a%20b/../c?";
    size_t size;
    const char *reason;
    assert_int_equal(sl__url_path((sl_view){path, sizeof path - 2}, path, &size, &reason), 0);
    assert_string_equal(path, "/c");
}

static char *pairs_of(const char *data, size_t size, size_t max)
{
    sl_arena *arena = sl_arena_new();
    char *raw = wire_copy(data, size);
    sl__pairs pairs;
    const char *reason = NULL;
    sl_buffer out = {0};
    int failed = sl__url_pairs(arena, (sl_view){raw, size}, max, &pairs, &reason);
    free(raw);
    sl_buffer_puts(&out, "");
    for (size_t i = 0; !failed && i < pairs.count; i++) {
        assert_int_equal(strlen(pairs.items[i].name), pairs.items[i].name_size);
        assert_int_equal(strlen(pairs.items[i].value), pairs.items[i].value_size);
        sl_buffer_printf(&out, "[%s|%s]", pairs.items[i].name, pairs.items[i].value);
    }
    if (failed)
        sl_buffer_printf(&out, "%d %s", -10000 - failed, reason);
    sl_arena_free(arena);
    return out.data;
}
#define PAIRS(raw, expected) wire_same(expected, pairs_of("" raw, sizeof(raw) - 1, 5), raw, 0, 0)

static void queries(void **state)
{
    PAIRS("", "");
    PAIRS("a=1&b=2", "[a|1][b|2]");
    PAIRS("a=1&a=2", "[a|1][a|2]");
    PAIRS("a", "[a|]");
    PAIRS("a=&=b&=", "[a|][|b][|]");
    PAIRS("&&a=1&", "[a|1]");
    PAIRS("a=b=c", "[a|b=c]");
    PAIRS("a+b=c+d%2B", "[a b|c d+]");
    PAIRS("caf%C3%A9=%E2%82%AC", "[caf\xc3\xa9|\xe2\x82\xac]");
    PAIRS("a=1;b=2", "[a|1;b=2]");
    PAIRS("1&2&3&4&5", "[1|][2|][3|][4|][5|]");
    PAIRS("1&2&3&4&5&6", "413 there are more parameters than the limit");
    PAIRS("&&&&&&&&1", "[1|]");
    PAIRS("a=%", "400 there is a \"%\" that is not followed by two hexadecimal digits");
    PAIRS("a=%4", "400 there is a \"%\" that is not followed by two hexadecimal digits");
    PAIRS("%4&4=1", "400 there is a \"%\" that is not followed by two hexadecimal digits");
    PAIRS("a=%gg", "400 there is a \"%\" that is not followed by two hexadecimal digits");
    PAIRS("a=%00", "400 there is a NUL in the parameters");
    PAIRS("%00=a", "400 there is a NUL in the parameters");
    PAIRS("a=\0", "400 there is a NUL in the parameters");
    PAIRS("a=%ff", "400 the parameters are not UTF-8");
    PAIRS("%c3=%a9", "400 the parameters are not UTF-8");
}

static void pairs_are_found(void **state)
{
    sl_arena *arena = sl_arena_new();
    sl__pairs pairs;
    const char *reason;
    assert_int_equal(sl__url_pairs(arena, SL_VIEW("a=1&b=2&a=3"), 10, &pairs, &reason), 0);
    assert_string_equal(sl__pairs_find(&pairs, "a", 0)->value, "1");
    assert_string_equal(sl__pairs_find(&pairs, "a", 1)->value, "3");
    assert_null(sl__pairs_find(&pairs, "a", 2));
    assert_null(sl__pairs_find(&pairs, "A", 0));
    sl_arena_free(arena);
}

/* Whatever can be encoded comes back. */
static void check_segment(const char *text, const char *expected)
{
    sl_buffer out = {0};
    sl_buffer_putc(&out, '/');
    assert_int_equal(sl__url_put_segment(&out, text, strlen(text)), 0);
    assert_string_equal(out.data, expected);
    char *back = decoded(out.data, out.size);
    sl__url_slashes(back);
    assert_string_equal(back + 1, text);
    free(back);
    sl_buffer_done(&out);
}

static void encoding(void **state)
{
    check_segment("a b", "/a%20b");
    check_segment("a/b", "/a%2Fb");
    check_segment("caf\xc3\xa9?#%", "/caf%C3%A9%3F%23%25");
    check_segment("A-z_0.~:@!$&'()*+,;=", "/A-z_0.~:@!$&'()*+,;=");
    check_segment("...", "/...");
    check_segment("%2", "/%252");
    const char *const impossible[] = {"", ".", "..", "a\nb", "\xff", "a%2Fb", "%2f"};
    sl_buffer out = {0};
    for (size_t i = 0; i < sl_array_size(impossible); i++)
        assert_int_equal(sl__url_put_segment(&out, impossible[i], strlen(impossible[i])), SL_EINVAL);
    assert_int_equal(out.size, 0);
    assert_int_equal(sl__url_put_path(&out, "a b/c/", 6), 0);
    assert_string_equal(out.data, "a%20b/c/");
    assert_int_equal(sl__url_put_path(&out, "", 0), 0);
    assert_int_equal(sl__url_put_path(&out, "a/../b", 6), SL_EINVAL);
    assert_int_equal(sl__url_put_path(&out, "a//b", 4), SL_EINVAL);
    assert_string_equal(out.data, "a%20b/c/");
    sl_buffer_consume(&out, out.size);
    sl__url_put_query(&out, "a b&c=d/e\xff", 10);
    assert_string_equal(out.data, "a%20b%26c%3Dd%2Fe%FF");
    sl_buffer_done(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(paths),         cmocka_unit_test(encoded_slashes_never_part),
        cmocka_unit_test(refused_paths), cmocka_unit_test(a_path_is_decoded_in_place),
        cmocka_unit_test(queries),       cmocka_unit_test(pairs_are_found),
        cmocka_unit_test(encoding),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
