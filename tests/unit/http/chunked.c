/* Chunked bodies: content and trailers, what is refused, cut at every place. */
#include "wire.h"
#include "http/chunked.h"

static char *run(const void *context, const char *data, size_t size, size_t first, size_t step)
{
    sl__chunked c;
    sl__chunked_init(&c, 64, 3);
    sl_buffer out = {0};
    sl_buffer_puts(&out, "");
    int got = SL__CHUNK_MORE;
    size_t rest = 0;
    for (size_t at = 0, next = first; got == SL__CHUNK_MORE; next = size - next < step ? size : next + step) {
        char *piece = wire_copy(data + at, next - at);
        sl_view input = {piece, next - at}, content;
        while ((got = sl__chunked_next(&c, &input, &content)) == SL__CHUNK_DATA)
            sl_buffer_put(&out, content.data, content.size);
        rest = input.size + size - next;
        at = next;
        free(piece);
        if (next == size)
            break;
    }
    if (got == SL__CHUNK_END) {
        sl_view none = {"", 0}, content;
        assert_int_equal(sl__chunked_next(&c, &none, &content), SL__CHUNK_END);
        for (size_t i = 0; i < c.trailers.count; i++)
            sl_buffer_printf(&out, " [%s|%s]", c.trailers.items[i].name, c.trailers.items[i].value);
        sl_buffer_printf(&out, " rest=%zu", rest);
    } else if (got == SL__CHUNK_MORE) {
        sl_buffer_puts(&out, " more");
    } else {
        out.size = 0;
        sl_buffer_printf(&out, "%d %s", -10000 - got, c.reason);
    }
    sl__chunked_done(&c);
    sl__chunked_done(&c);
    return out.data;
}

#define CHECK(input, expected) wire_check(run, NULL, "" input, sizeof(input) - 1, expected)

static void understood(void **state)
{
    CHECK("0\r\n\r\n", " rest=0");
    CHECK("5\r\nhello\r\n0\r\n\r\n", "hello rest=0");
    CHECK("5\r\nhello\r\n6\r\n world\r\n0\r\n\r\nGET /", "hello world rest=5");
    CHECK("A\r\n0123456789\r\n00a\r\nabcdefghij\r\n000\r\n\r\n", "0123456789abcdefghij rest=0");
    CHECK("2\r\n\r\n\r\n0\r\n\r\n", "\r\n rest=0");
    CHECK("5\r\nhel", "hel more");
    CHECK("", " more");
    CHECK("5;name=value;x=\"a;b\"\r\nhello\r\n0;last\r\n\r\n", "hello rest=0");
    CHECK("5 \t;name\r\nhello\r\n0\r\n\r\n", "hello rest=0");
}

static void trailers(void **state)
{
    CHECK("0\r\nX-Sum: 1 \r\nY:\r\n\r\n", " [X-Sum|1] [Y|] rest=0");
    CHECK("0\r\nContent-Length: 1\r\nX: 2\r\nHost: b\r\n\r\n", " [X|2] rest=0");
    CHECK("0\r\nA: 1\r\nB: 2\r\nC: 3\r\nD: 4\r\n\r\n", "431 there are more trailer fields than the limit");
    CHECK("0\r\nA: 0123456789012345678901234567890123456789012345678901234567890\r\n\r\n",
          "431 the trailer fields are longer than the limit");
    CHECK("0\r\nA: 012345678901234567890123456789012345678901234567890123456\r\n\r\nx",
          " [A|012345678901234567890123456789012345678901234567890123456] rest=1");
    CHECK("0\r\nA: 01234567890123456789012345678901234567890123456789012345678\r\n\r\nx",
          " [A|01234567890123456789012345678901234567890123456789012345678] rest=1");
    CHECK("0\r\nA: 1\r\n B: 2\r\n\r\n",
          "400 a field line begins with white space: folded lines are not accepted");
    CHECK("0\r\nA : 1\r\n\r\n", "400 there is white space between a field's name and its colon");
    CHECK("0\r\nA\r\n\r\n", "400 a field line has no colon");
    CHECK("0\r\nA: 1\n\r\n", "400 a trailer line ends with LF without CR");
    CHECK("0\r\nA: 1\rB: 2\r\n\r\n", "400 there is a CR without LF in a trailer line");
    CHECK("0\r\n\rA: 1\r\n", "400 there is a CR without LF after the last chunk");
    CHECK("0\r\nA: \x01\r\n\r\n", "400 there is a control character in a field's value");
    const char *const forbidden[] = {"transfer-encoding", "Content-Type",   "HOST",
                                     "Authorization",     "If-Match",       "Cookie",
                                     "Set-Cookie",        "Trailer",        "TE",
                                     "Connection",        "Proxy-Whatever", "Range",
                                     "Upgrade",           "Expect",         "Content-Encoding",
                                     "X-Forwarded-For",   "Forwarded",      "Location",
                                     "Cache-Control",     "Sec-Fetch-Site"};
    for (size_t i = 0; i < sl_array_size(forbidden); i++)
        assert_false(sl__trailer_allowed(forbidden[i]));
    assert_true(sl__trailer_allowed("Digest"));
    assert_true(sl__trailer_allowed("Server-Timing"));
}

static void refused(void **state)
{
#define NO_SIZE(input) CHECK(input, "400 a chunk does not begin with its size in hexadecimal digits")
    NO_SIZE("\r\n");
    NO_SIZE(" 5\r\nhello\r\n");
    NO_SIZE("+5\r\nhello\r\n");
    NO_SIZE("-1\r\n");
    NO_SIZE("g\r\n");
    NO_SIZE(";x\r\n");
    NO_SIZE("5\r\nhello\r\n\r\n");
    CHECK("0x5\r\nhello\r\n", "400 a chunk's size is followed by something that is no extension");
    CHECK("5g\r\n", "400 a chunk's size is followed by something that is no extension");
    CHECK("5 5\r\n", "400 a chunk's size is followed by something that is no extension");
    CHECK("5\nhello\n0\n\n", "400 a chunk's size is followed by something that is no extension");
    CHECK("5 \r\nhello\r\n", "400 a chunk's size is followed by white space");
    CHECK("5;x\nhello\r\n", "400 there is a control character, or LF without CR, in a chunk's extension");
    CHECK("5;x\0\r\nhello\r\n", "400 there is a control character, or LF without CR, in a chunk's extension");
    CHECK("5\rhello\r\n", "400 there is a CR without LF after a chunk's size");
    CHECK("5;x\r\rhello\r\n", "400 there is a CR without LF after a chunk's size");
    CHECK("5\r\nhello!\r\n", "400 a chunk is not followed by CR LF: it is longer than its size");
    CHECK("5\r\nhello\n0\r\n\r\n", "400 a chunk is not followed by CR LF: it is longer than its size");
    CHECK("5\r\nhello\r0\r\n\r\n", "400 a chunk is not followed by CR LF");
    CHECK("8000000000000000\r\n", "400 a chunk's size is too large");
    CHECK("10000000000000000\r\n", "400 a chunk's size is too large");
    CHECK("00000000000000001\r\nx", "400 a chunk's size is too large");
    CHECK("7fffffffffffffff\r\nx", "x more");
}

static void extensions_are_limited(void **state)
{
    sl_buffer long_one = {0}, many = {0};
    sl_buffer_puts(&long_one, "1;");
    for (int i = 0; i < SL__CHUNK_EXTENSION_MAX + 1; i++)
        sl_buffer_putc(&long_one, 'x');
    char *got = run(NULL, long_one.data, long_one.size, long_one.size, 1);
    assert_string_equal(got, "400 the extensions of the body's chunks are too long");
    free(got);
    for (int i = 0; i < SL__CHUNK_EXTENSIONS_MAX / 8; i++)
        sl_buffer_puts(&many, "1;extension=\r\nx\r\n");
    got = run(NULL, many.data, many.size, 100, 7);
    assert_string_equal(got, "400 the extensions of the body's chunks are too long");
    free(got);
    sl_buffer_done(&long_one);
    sl_buffer_done(&many);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(understood),
        cmocka_unit_test(trailers),
        cmocka_unit_test(refused),
        cmocka_unit_test(extensions_are_limited),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
