/* Views, UTF-8, buffers and escaping. */
#include "check.h"

#include <errno.h>
#include <unistd.h>

static void test_views(void **state)
{
    assert_true(sl_view_equal(SL_VIEW("a\0b"), (sl_view){"a\0b", 3}));
    assert_false(sl_view_equal(SL_VIEW("a"), SL_VIEW("A")));
    assert_true(sl_view_equal((sl_view){0}, SL_VIEW("")));
    assert_true(sl_view_equal(sl_view_of(NULL), SL_VIEW("")));
    assert_true(sl_view_equal_nocase(SL_VIEW("Content-TYPE"), SL_VIEW("content-type")));
    /* Only letters have a case: characters that differ in the same bit do not match. */
    for (int a = 0; a < 256; a++)
        for (int b = 0; b < 256; b++) {
            char x = (char)a, y = (char)b;
            bool letters = (a | 32) >= 'a' && (a | 32) <= 'z' && a < 128;
            bool expected = a == b || (letters && (a | 32) == (b | 32));
            assert_int_equal(sl_view_equal_nocase((sl_view){&x, 1}, (sl_view){&y, 1}), expected);
        }
}

static void assert_trimmed(sl_view view, const char *characters, const char *expected)
{
    sl_view trimmed = sl_view_trim(view, characters);
    assert_true(sl_view_equal(trimmed, sl_view_of(expected)));
}

static void test_trim(void **state)
{
    assert_trimmed(SL_VIEW("  a b \t"), " \t", "a b");
    assert_trimmed(SL_VIEW(" \t "), " \t", "");
    assert_trimmed(SL_VIEW("ab"), "", "ab");
    assert_trimmed((sl_view){0}, " ", "");
    sl_view nul = sl_view_trim(SL_VIEW("\0 a \0"), " "); /* a NUL ends no view, and is nothing to trim */
    assert_int_equal(nul.size, 5);
}

static void test_word_distance(void **state)
{
    static const struct {
        const char *a, *b;
        size_t distance;
    } pairs[] = {
        {"", "", 0},
        {"", "abc", 3},
        {"room", "room", 0},
        {"romo", "room", 1},
        {"runer", "runner", 1},
        {"runner", "runer", 1},
        {"kitten", "sitting", 3},
        {"ab", "ba", 1},
        {"abcd", "badc", 2},
        {"listen", "silent", 4},
        {"ca", "abc", 3},
    };
    for (size_t i = 0; i < sl_array_size(pairs); i++) {
        assert_int_equal(sl_word_distance(pairs[i].a, pairs[i].b), pairs[i].distance);
        assert_int_equal(sl_word_distance(pairs[i].b, pairs[i].a), pairs[i].distance);
    }
    char longest[65] = {0};
    memset(longest, 'x', 63);
    assert_int_equal(sl_word_distance(longest, ""), 63);
    longest[63] = 'x';
    assert_true(sl_word_distance(longest, "x") == SIZE_MAX);
}

static void test_reading(void **state)
{
    int ends[2];
    sl_buffer buffer = {0};
    char text[5000];
    memset(text, 'x', sizeof text);
    sl_buffer_puts(&buffer, "before ");
    assert_int_equal(pipe(ends), 0);
    assert_int_equal(write(ends[1], text, sizeof text), sizeof text);
    close(ends[1]);
    assert_int_equal(sl_buffer_read(&buffer, ends[0], 5007), 0);
    assert_int_equal(buffer.size, 5007);
    assert_memory_equal(buffer.data, "before xx", 9);
    assert_int_equal(buffer.data[5007], 0);
    close(ends[0]);
    assert_int_equal(sl_buffer_read(&buffer, ends[0], 5007), -EBADF);
    assert_int_equal(pipe(ends), 0);
    assert_int_equal(write(ends[1], "y", 1), 1);
    assert_int_equal(sl_buffer_read(&buffer, ends[0], 5007), SL_E2BIG); /* although more could come */
    close(ends[0]);
    close(ends[1]);
    sl_buffer_done(&buffer);
}

static void test_numbers(void **state)
{
    static const struct {
        const char *text;
        uint64_t max, number;
        bool good;
    } cases[] = {
        {"0", 0, 0, true},
        {"00", 0, 0, true},
        {"1", 0, 0, false},
        {"9", 8, 0, false},
        {"255", 255, 255, true},
        {"256", 255, 0, false},
        {"18446744073709551615", UINT64_MAX, UINT64_MAX, true},
        {"18446744073709551616", UINT64_MAX, 0, false},
        {"99999999999999999999999", UINT64_MAX, 0, false},
        {"", 9, 0, false},
        {"-1", 9, 0, false},
        {"+1", 9, 0, false},
        {" 1", 9, 0, false},
        {"1 ", 9, 0, false},
        {"0x1", 99, 0, false},
        {"1e1", 99, 0, false},
        {"\xd9\xa1", 99, 0, false},
    };
    for (size_t i = 0; i < sl_array_size(cases); i++) {
        uint64_t number = 77;
        int r = sl_view_number(sl_view_of(cases[i].text), cases[i].max, &number);
        assert_int_equal(r, cases[i].good ? 0 : SL_EPARSE);
        assert_int_equal(number, cases[i].good ? cases[i].number : 77);
    }
}

/* ---- UTF-8 ---- */

/* RFC 3629, section 3: from the bits of the number, not from a table of bytes. */
static size_t encode(uint32_t c, char out[4])
{
    if (c < 0x80)
        return out[0] = (char)c, 1;
    if (c < 0x800)
        return out[0] = (char)(0xC0 | c >> 6), out[1] = (char)(0x80 | (c & 63)), 2;
    if (c < 0x10000)
        return out[0] = (char)(0xE0 | c >> 12), out[1] = (char)(0x80 | (c >> 6 & 63)),
               out[2] = (char)(0x80 | (c & 63)), 3;
    out[0] = (char)(0xF0 | c >> 18);
    out[1] = (char)(0x80 | (c >> 12 & 63));
    out[2] = (char)(0x80 | (c >> 6 & 63));
    out[3] = (char)(0x80 | (c & 63));
    return 4;
}

static void test_every_character(void **state)
{
    char text[4];
    for (uint32_t c = 0; c < 0x120000; c++) {
        size_t size = encode(c, text);
        bool surrogate = c >= 0xD800 && c <= 0xDFFF;
        assert_int_equal(sl_utf8_valid(text, size), !surrogate && c <= 0x10FFFF);
        if (size > 1)
            assert_false(sl_utf8_valid(text, size - 1));
    }
}

/* Whether the bytes are exactly one character, by decoding them and encoding that again. */
static bool one_character(const unsigned char *p, size_t size)
{
    uint32_t c = p[0] >= 0xF0 ? p[0] & 7u : p[0] >= 0xE0 ? p[0] & 15u : p[0] >= 0xC0 ? p[0] & 31u : p[0];
    for (size_t i = 1; i < size; i++)
        c = c << 6 | (p[i] & 63);
    char again[4];
    return c <= 0x10FFFF && (c < 0xD800 || c > 0xDFFF) && encode(c, again) == size &&
           memcmp(again, p, size) == 0;
}

static void test_every_pair_and_boundary(void **state)
{
    for (unsigned a = 0; a < 256; a++)
        for (unsigned b = 0; b < 256; b++) {
            unsigned char p[2] = {(unsigned char)a, (unsigned char)b};
            bool expected = (a < 128 && b < 128) || one_character(p, 2);
            assert_int_equal(sl_utf8_valid((char *)p, 2), expected);
        }
    static const unsigned char edges[] = {0x00, 0x7F, 0x80, 0x8F, 0x90, 0x9F, 0xA0, 0xBF, 0xC0, 0xC1, 0xFF};
    for (unsigned lead = 0xE0; lead < 0x100; lead++)
        for (unsigned n = 0; n < 11 * 11 * 11; n++) {
            unsigned char p[4] = {(unsigned char)lead, edges[n % 11], edges[n / 11 % 11], edges[n / 121]};
            assert_int_equal(sl_utf8_valid((char *)p, 4),
                             one_character(p, 4) || (one_character(p, 3) && p[3] < 128));
        }
}

static void test_utf8_at_every_offset(void **state)
{
    char text[40];
    for (size_t at = 0; at < 30; at++) { /* eight bytes are looked at together */
        memset(text, 'a', sizeof text);
        memcpy(text + at, "\xF0\x9F\x98\x80", 4);
        assert_true(sl_utf8_valid(text, sizeof text));
        assert_false(sl_utf8_valid(text, at + 3));
        text[at + 2] = 'a';
        assert_false(sl_utf8_valid(text, sizeof text));
    }
    assert_true(sl_utf8_valid(NULL, 0));
}

/* ---- Buffers ---- */

static void test_buffers(void **state)
{
    sl_buffer b = {0};
    sl_buffer_consume(&b, 5);
    sl_buffer_put(&b, NULL, 0);
    assert_string_equal(b.data, "");
    for (int i = 0; i < 10000; i++)
        sl_buffer_putc(&b, (char)('a' + i % 26));
    assert_int_equal(b.size, 10000);
    assert_int_equal(b.data[10000], '\0');
    sl_buffer_consume(&b, 26);
    assert_int_equal(b.size, 9974);
    assert_int_equal(b.data[0], 'a');
    assert_int_equal(b.data[b.size], '\0');
    sl_buffer_consume(&b, 1000000);
    assert_int_equal(b.size, 0);
    assert_string_equal(b.data, "");
    for (int width = 0; width < 300; width++) {
        sl_buffer text = {0};
        sl_buffer_puts(&text, "> ");
        sl_buffer_printf(&text, "%*s", width, "");
        assert_int_equal(text.size, 2 + width);
        assert_int_equal(strlen(text.data), text.size);
        sl_buffer_done(&text);
    }
    sl_buffer_printf(&b, "a%lsb", L"\xd800");
    assert_string_equal(b.data, "");
    sl_buffer_done(&b);
    assert_null(b.data);
    sl_buffer_done(&b);
}

static void test_html(void **state)
{
    sl_buffer b = {0};
    sl_buffer_put_html(&b, NULL, 0);
    sl_buffer_puts(&b, "");
    sl_buffer_put_html(&b, "<a href=\"x\" id='y'>&amp;</a>", 28);
    assert_string_equal(b.data, "&lt;a href=&quot;x&quot; id=&#39;y&#39;&gt;&amp;amp;&lt;/a&gt;");
    sl_buffer_done(&b);
    for (int c = 0; c < 256; c++) {
        char one = (char)c;
        sl_buffer_put_html(&b, &one, 1);
        bool special = c && strchr("&<>\"'", c);
        assert_int_equal(b.size > 1, special);
        if (!special)
            assert_int_equal(b.data[0], one);
        sl_buffer_done(&b);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_views),
        cmocka_unit_test(test_trim),
        cmocka_unit_test(test_numbers),
        cmocka_unit_test(test_word_distance),
        cmocka_unit_test(test_reading),
        cmocka_unit_test(test_every_character),
        cmocka_unit_test(test_every_pair_and_boundary),
        cmocka_unit_test(test_utf8_at_every_offset),
        cmocka_unit_test(test_buffers),
        cmocka_unit_test(test_html),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
