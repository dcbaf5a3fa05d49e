/* WebSocket frames: messages, control frames, what is refused with which code, compression; cut at every
 * place. */
#include "wire.h"
#include "http/ws_frame.h"

#define MAX_MESSAGE 70000
#define LARGE 66000

static const uint8_t mask[4] = {0x37, 0xfa, 0x21, 0x3d};

typedef struct setting {
    bool client, compressed, context;
} setting;

static void show(sl_buffer *out, const sl__ws_decoder *d, int got)
{
    switch (got) {
    case SL__WS_TEXT:
    case SL__WS_BINARY:
        assert_int_equal(d->message.data[d->message.size], 0);
        sl_buffer_puts(out, got == SL__WS_TEXT ? "text:" : "binary:");
        sl_buffer_put(out, d->message.data, d->message.size);
        break;
    case SL__WS_CLOSE:
        sl_buffer_printf(out, "close:%d:%s", d->close_code, (const char *)d->control);
        break;
    default:
        sl_buffer_printf(out, "%s:%.*s", got == SL__WS_PING ? "ping" : "pong", d->control_size,
                         (const char *)d->control);
    }
    sl_buffer_putc(out, ' ');
}

static char *run(const void *context, const char *data, size_t size, size_t first, size_t step)
{
    const setting *s = context;
    sl__ws_pool pool = {0};
    sl__ws_deflate deflate = {0};
    sl_buffer out = {0}, response = {0};
    sl_buffer_puts(&out, "");
    assert_true(sl__ws_deflate_negotiate("permessage-deflate", s->context, &pool, &deflate, &response));
    deflate.client = s->client;
    sl__ws_decoder d;
    sl__ws_decoder_init(&d, s->client, MAX_MESSAGE, s->compressed ? &deflate : NULL);
    int got = 0;
    for (size_t at = 0, next = first; got >= 0; next = size - next < step ? size : next + step) {
        char *piece = wire_copy(data + at, next - at);
        sl_view input = {piece, next - at};
        while ((got = sl__ws_decode(&d, &input)) > 0)
            show(&out, &d, got);
        at = next;
        free(piece);
        if (next == size)
            break;
    }
    if (got < 0)
        sl_buffer_printf(&out, "refused:%d %s", d.close_code, d.reason);
    else
        sl_buffer_puts(&out, sl__ws_decoder_busy(&d) ? "busy" : "idle");
    sl__ws_decoder_done(&d);
    sl__ws_deflate_done(&deflate);
    sl__ws_pool_done(&pool);
    sl_buffer_done(&response);
    return out.data;
}

/* ---- Frames as a client writes them ---- */

static sl_buffer frames;

static void put(uint8_t flags, const char *text, size_t size)
{
    size_t start = frames.size;
    sl__ws_put_frame(&frames, SL__WS_BINARY, text, size, mask);
    frames.data[start] = (char)flags;
}
#define PUT(flags, text) put((flags), "" text, sizeof(text) - 1)

static const setting server = {false, false, false}, compressing = {false, true, false},
                     keeping = {false, true, true}, client = {true, false, false};

static void expect(const setting *s, const char *expected)
{
    wire_check(run, s, frames.data, frames.size, expected);
    sl_buffer_done(&frames);
}
#define CHECK(flags, text, expected) (PUT(flags, text), expect(&server, expected))

static void messages(void **state)
{
    CHECK(0x81, "Hello", "text:Hello idle");
    CHECK(0x82, "\xff\x01", "binary:\xff\x01 idle");
    CHECK(0x81, "", "text: idle");
    PUT(0x01, "Hel");
    PUT(0x80, "lo");
    expect(&server, "text:Hello idle");
    PUT(0x02, "a");
    PUT(0x89, "ping");
    PUT(0x00, "");
    PUT(0x8a, "");
    PUT(0x80, "b");
    PUT(0x81, "next");
    expect(&server, "ping:ping pong: binary:ab text:next idle");
    PUT(0x01, "a");
    expect(&server, "busy");
    /* The examples of RFC 6455, section 5.7. */
    wire_check(run, &server, "\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58", 11, "text:Hello idle");
    wire_check(run, &client, "\x81\x05\x48\x65\x6c\x6c\x6f", 7, "text:Hello idle");
    wire_check(run, &client, "\x01\x03\x48\x65\x6c\x80\x02\x6c\x6f", 9, "text:Hello idle");
}

static void closing(void **state)
{
    CHECK(0x88, "", "close:1005: idle");
    CHECK(0x88, "\x03\xe8", "close:1000: idle");
    CHECK(0x88, "\x0f\xa0gone caf\xc3\xa9", "close:4000:gone caf\xc3\xa9 idle");
    PUT(0x88, "\x03\xe9");
    PUT(0xff, "ignored");
    expect(&server, "close:1001: idle");
    CHECK(0x88, "\x03", "refused:1002 a close frame has half a code");
    CHECK(0x88, "\x03\xe8\xc3", "refused:1007 the reason in a close frame is not UTF-8");
    CHECK(0x88, "\x03\xe8\xff", "refused:1007 the reason in a close frame is not UTF-8");
    CHECK(0x88, "\x03\xed", "refused:1002 a close frame has a code that may not be sent");
    const unsigned good[] = {1000, 1003, 1007, 1014, 3000, 4999},
                   bad[] = {0, 999, 1004, 1005, 1006, 1015, 2999, 5000};
    for (size_t i = 0; i < sl_array_size(good); i++)
        assert_true(sl__ws_close_code_valid(good[i]));
    for (size_t i = 0; i < sl_array_size(bad); i++)
        assert_false(sl__ws_close_code_valid(bad[i]));
}

static void refused(void **state)
{
    static const char bit[] = "refused:1002 a frame has a reserved bit that no extension uses";
    CHECK(0xc1, "x", bit);
    CHECK(0xa1, "x", bit);
    CHECK(0x91, "x", bit);
    for (unsigned opcode = 3; opcode < 16; opcode++) {
        if (opcode < 8 || opcode > 10) {
            put((uint8_t)(0x80 | opcode), "x", 1);
            expect(&server, "refused:1002 a frame has a reserved opcode");
        }
    }
    wire_check(run, &server, "\x81\x01x", 3, "refused:1002 a frame of the client is not masked");
    wire_check(run, &client, "\x81\x81mask?", 7, "refused:1002 a frame of the server is masked");
    static const char control[] = "refused:1002 a control frame is fragmented or longer than 125 bytes";
    CHECK(0x09, "x", control);
    CHECK(0x08, "", control);
    char long_one[126];
    memset(long_one, 'x', sizeof long_one);
    put(0x89, long_one, 126);
    expect(&server, control);
    CHECK(0x80, "x", "refused:1002 a frame continues a message that was not begun");
    PUT(0x01, "x");
    CHECK(0x81, "x", "refused:1002 a message begins before the last one has ended");
    PUT(0x81, "x");
    CHECK(0x80, "x", "text:x refused:1002 a frame continues a message that was not begun");
    static const char shortest[] = "refused:1002 a frame's length is not in its shortest form";
    wire_check(run, &server, "\x81\xfe\x00\x7dmask", 8, shortest);
    wire_check(run, &server, "\x81\xff\x00\x00\x00\x00\x00\x00\xff\xffmask", 14, shortest);
    wire_check(run, &server, "\x81\xff\x80\x00\x00\x00\x00\x00\x00\x00mask", 14,
               "refused:1002 a frame's length has its highest bit set");
}

static void text_must_be_utf8(void **state)
{
    static const char wrong[] = "refused:1007 a text message is not UTF-8";
    PUT(0x01, "\xe2\x82");
    CHECK(0x80, "\xac", "text:\xe2\x82\xac idle");
    CHECK(0x81, "\xf0\x9f\x98\x80 \xed\x9f\xbf \xee\x80\x80 \xf4\x8f\xbf\xbf",
          "text:\xf0\x9f\x98\x80 \xed\x9f\xbf \xee\x80\x80 \xf4\x8f\xbf\xbf idle");
    CHECK(0x81, "0123456789\xff", wrong);
    CHECK(0x81, "\xc0\xaf", wrong);
    CHECK(0x81, "\xe0\x9f\xbf", wrong);
    CHECK(0x81, "\xed\xa0\x80", wrong);
    CHECK(0x81, "\xf0\x8f\xbf\xbf", wrong);
    CHECK(0x81, "\xf4\x90\x80\x80", wrong);
    CHECK(0x81, "\xf5\x80\x80\x80", wrong);
    CHECK(0x81, "\x80", wrong);
    CHECK(0x81, "\xe2\x82 ", wrong);
    CHECK(0x81, "\xe2\x82", "refused:1007 a text message ends within a character");
    PUT(0x01, "\xc3");
    CHECK(0x80, "x", wrong);
    CHECK(0x82, "\xff", "binary:\xff idle");
}

static char *expected_large(size_t size)
{
    sl_buffer out = {0};
    sl_buffer_puts(&out, "binary:");
    for (size_t i = 0; i < size; i++)
        sl_buffer_putc(&out, 'a' + (char)(i % 7));
    sl_buffer_puts(&out, " idle");
    return out.data;
}

static void lengths(void **state)
{
    const size_t sizes[] = {125, 126, 127, 65535, 65536, LARGE};
    for (size_t i = 0; i < sl_array_size(sizes); i++) {
        char *expected = expected_large(sizes[i]);
        sl__ws_put_message(&frames, SL__WS_BINARY, expected + 7, sizes[i], NULL, mask);
        wire_same(expected, run(&server, frames.data, frames.size, frames.size, 1), "large", 0, 0);
        wire_same(expected, run(&server, frames.data, frames.size, 0, 1), "large", 0, 1);
        wire_same(expected, run(&server, frames.data, frames.size, 3, 4093), "large", 3, 4093);
        sl_buffer_done(&frames);
        free(expected);
    }
    static const char large[] = "refused:1009 a message is larger than the limit";
    char *data = sl_calloc(1, MAX_MESSAGE + 1);
    put(0x82, data, MAX_MESSAGE + 1);
    wire_same(large, run(&server, frames.data, frames.size, frames.size, 1), "large", 0, 0);
    frames.size = 0;
    put(0x02, data, MAX_MESSAGE);
    put(0x80, data, 1);
    wire_same(large, run(&server, frames.data, frames.size, frames.size, 1), "large", 0, 0);
    sl_buffer_done(&frames);
    free(data);
}

static void masking(void **state)
{
    uint8_t data[64], masked[64];
    for (size_t i = 0; i < sizeof data; i++)
        data[i] = (uint8_t)(i * 7);
    for (size_t offset = 0; offset < 9; offset++) {
        for (size_t size = 0; size + offset <= sizeof data; size++) {
            sl__ws_mask(masked, data + offset, size, mask, offset);
            for (size_t i = 0; i < size; i++)
                assert_int_equal(masked[i], data[offset + i] ^ mask[(offset + i) % 4]);
        }
    }
}

/* ---- Compression ---- */

/* The examples of RFC 7692, section 7.2.3. */
static void examples(void **state)
{
    PUT(0xc1, "\xf2\x48\xcd\xc9\xc9\x07\x00");
    expect(&compressing, "text:Hello idle");
    PUT(0x41, "\xf2\x48\xcd");
    PUT(0x89, "p");
    PUT(0x80, "\xc9\xc9\x07\x00");
    expect(&compressing, "ping:p text:Hello idle");
    PUT(0xc1, "\xf2\x48\xcd\xc9\xc9\x07\x00");
    PUT(0xc1, "\xf2\x00\x11\x00\x00");
    expect(&keeping, "text:Hello text:Hello idle");
    PUT(0xc1, "\x00\x05\x00\xfa\xff\x48\x65\x6c\x6c\x6f\x00");
    expect(&compressing, "text:Hello idle");
    PUT(0xc1, "\xf3\x48\xcd\xc9\xc9\x07\x00\x00");
    expect(&compressing, "text:Hello idle");
    PUT(0xc1, "\xf2\x48\x05\x00\x00\x00\xff\xff\xca\xc9\xc9\x07\x00");
    expect(&compressing, "text:Hello idle");
    PUT(0xc1, "\x00");
    PUT(0x81, "plain");
    expect(&compressing, "text: text:plain idle");
}

static void refused_compression(void **state)
{
    static const char malformed[] = "refused:1007 a compressed message is malformed";
    static const char flag[] =
        "refused:1002 a frame that does not begin a message says that it is compressed";
    PUT(0xc1, "\xff\xff\xff");
    expect(&compressing, malformed);
    PUT(0xc1, "\xf2\x48\xcd\xc9");
    expect(&compressing, malformed);
    PUT(0xc1, "\xf2\x48\xcd\xc9\xc9\x07\x00");
    PUT(0xc1, "\xf2\x00\x11\x00\x00");
    expect(&compressing, "text:Hello refused:1007 a compressed message is malformed");
    PUT(0x41, "\xf2\x48\xcd");
    PUT(0xc0, "\xc9\xc9\x07\x00");
    expect(&compressing, flag);
    PUT(0xc9, "");
    expect(&compressing, flag);
    PUT(0xc1, "\x00\x01\x00\xfe\xff\xff\x00");
    expect(&compressing, "refused:1007 a text message is not UTF-8");
}

static void a_bomb_stops_at_the_limit(void **state)
{
    char *zeros = sl_calloc(1, 64 << 20);
    sl__ws_deflate deflate = {.client = true, .client_no_context_takeover = true, .client_bits = 15};
    sl__ws_put_message(&frames, SL__WS_BINARY, zeros, 64 << 20, &deflate, mask);
    assert_true(frames.size < 80000);
    wire_same("refused:1009 a message inflates to more than the limit",
              run(&compressing, frames.data, frames.size, frames.size, 1), "bomb", 0, 0);
    frames.size = 0;
    sl__ws_put_message(&frames, SL__WS_TEXT, zeros, MAX_MESSAGE, &deflate, mask);
    char *got = run(&compressing, frames.data, frames.size, frames.size, 1);
    assert_string_equal(got, "text:");
    free(got);
    free(zeros);
    sl__ws_deflate_done(&deflate);
    sl_buffer_done(&frames);
}

static void round_trips(void **state)
{
    for (int context = 0; context < 2; context++) {
        for (uint8_t bits = 9; bits <= 15; bits++) {
            sl__ws_deflate deflate = {
                .client = true, .client_no_context_takeover = !context, .client_bits = bits};
            sl_buffer expected = {0};
            for (int i = 0; i < 20; i++) {
                sl_buffer text = {0};
                for (int j = 0; j < i * 40; j++)
                    sl_buffer_printf(&text, "line %d of %d, ", j, i);
                sl_buffer_puts(&text, ".");
                sl__ws_put_message(&frames, SL__WS_TEXT, text.data, text.size, &deflate, mask);
                sl_buffer_printf(&expected, "text:%s ", text.data);
                sl_buffer_done(&text);
            }
            sl_buffer_puts(&expected, "idle");
            assert_true(frames.size < expected.size / 2);
            const setting *s = context ? &keeping : &compressing;
            wire_same(expected.data, run(s, frames.data, frames.size, frames.size, 1), "round trip", 0, 0);
            wire_same(expected.data, run(s, frames.data, frames.size, 1, 17), "round trip", 1, 17);
            sl_buffer_done(&expected);
            sl_buffer_done(&frames);
            sl__ws_deflate_done(&deflate);
        }
    }
}

static void what_does_not_compress_is_sent_plain(void **state)
{
    uint8_t noise[1000];
    uint32_t seed = 1;
    for (size_t i = 0; i < sizeof noise; i++)
        noise[i] = (uint8_t)((seed = seed * 1664525 + 1013904223) >> 24);
    sl__ws_pool pool = {0};
    sl__ws_deflate deflate;
    sl_buffer response = {0};
    assert_true(sl__ws_deflate_negotiate("permessage-deflate", false, &pool, &deflate, &response));
    sl__ws_put_message(&frames, SL__WS_BINARY, noise, sizeof noise, &deflate, NULL);
    assert_int_equal((uint8_t)frames.data[0], 0x82);
    assert_int_equal(frames.size, sizeof noise + 4);
    assert_null(deflate.deflater);
    assert_non_null(pool.deflater);
    sl__ws_deflate_done(&deflate);
    sl__ws_pool_done(&pool);
    sl_buffer_done(&response);
    sl_buffer_done(&frames);
}

static void negotiation(void **state)
{
    static const struct {
        const char *offers;
        bool keep;
        const char *response; /* NULL: declined */
        int server_bits;
    } cases[] = {
        {"permessage-deflate", true, "permessage-deflate", 15},
        {"permessage-deflate", false,
         "permessage-deflate; server_no_context_takeover; client_no_context_takeover", 15},
        {"permessage-deflate; client_max_window_bits", true, "permessage-deflate", 15},
        {"permessage-deflate; client_max_window_bits=8", true, "permessage-deflate", 15},
        {"Permessage-Deflate;server_max_window_bits=\"10\"", true,
         "permessage-deflate; server_max_window_bits=10", 10},
        {"permessage-deflate; server_no_context_takeover", true,
         "permessage-deflate; server_no_context_takeover", 15},
        {"permessage-deflate; client_no_context_takeover", true,
         "permessage-deflate; client_no_context_takeover", 15},
        {"x-other; a=b, permessage-deflate", true, "permessage-deflate", 15},
        {"permessage-deflate; server_max_window_bits=8, permessage-deflate; server_max_window_bits=9", true,
         "permessage-deflate; server_max_window_bits=9", 9},
        {"permessage-deflate; server_max_window_bits=8", true, NULL, 0},
        {"permessage-deflate; server_max_window_bits", true, NULL, 0},
        {"permessage-deflate; server_max_window_bits=16", true, NULL, 0},
        {"permessage-deflate; server_max_window_bits=7", true, NULL, 0},
        {"permessage-deflate; server_max_window_bits=010", true, NULL, 0},
        {"permessage-deflate; server_max_window_bits=", true, NULL, 0},
        {"permessage-deflate; server_max_window_bits=9; server_max_window_bits=9", true, NULL, 0},
        {"permessage-deflate; client_max_window_bits=16", true, NULL, 0},
        {"permessage-deflate; client_max_window_bits; client_max_window_bits", true, NULL, 0},
        {"permessage-deflate; server_no_context_takeover=1", true, NULL, 0},
        {"permessage-deflate; server_no_context_takeover; server_no_context_takeover", true, NULL, 0},
        {"permessage-deflate; unknown", true, NULL, 0},
        {"permessage-deflate;", true, NULL, 0},
        {"permessage-deflatex", true, NULL, 0},
        {"", true, NULL, 0},
    };
    for (size_t i = 0; i < sl_array_size(cases); i++) {
        sl__ws_deflate deflate;
        sl_buffer response = {0};
        bool got = sl__ws_deflate_negotiate(cases[i].offers, cases[i].keep, NULL, &deflate, &response);
        if (got != (cases[i].response != NULL))
            fail_msg("%s: %d", cases[i].offers, got);
        if (got) {
            assert_string_equal(response.data, cases[i].response);
            assert_int_equal(deflate.server_bits, cases[i].server_bits);
        }
        sl_buffer_done(&response);
    }
}

/* ---- Handshake and encoder ---- */

static void handshake(void **state)
{
    char accept[29];
    sl__ws_accept_key("dGhlIHNhbXBsZSBub25jZQ==", accept);
    assert_string_equal(accept, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    assert_true(sl__ws_key_valid("dGhlIHNhbXBsZSBub25jZQ=="));
    assert_false(sl__ws_key_valid(""));
    assert_false(sl__ws_key_valid("dGhlIHNhbXBsZSBub25jZQ="));
    assert_false(sl__ws_key_valid("dGhlIHNhbXBsZSBub25jZQ==="));
    assert_false(sl__ws_key_valid("dGhlIHNhbXBsZSBub25jZQAA"));
    assert_false(sl__ws_key_valid("dGhlIHNhbXBs ZSBub25jZQ="));
    assert_false(sl__ws_key_valid("dGhlIHNhbXBs*SBub25jZQ=="));
}

static void close_frames(void **state)
{
    sl__ws_put_close(&frames, 1001, "bye", NULL);
    assert_int_equal(frames.size, 7);
    assert_memory_equal(frames.data,
                        "\x88\x05\x03\xe9"
                        "bye",
                        7);
    sl_buffer_done(&frames);
    sl__ws_put_close(&frames, 1005, "not sent", NULL);
    assert_memory_equal(frames.data, "\x88\x00", 2);
    assert_int_equal(frames.size, 2);
    sl_buffer_done(&frames);
    char reason[200];
    memset(reason, 'x', sizeof reason);
    memcpy(reason + 121, "\xe2\x82\xac", 4);
    sl__ws_put_close(&frames, 1000, reason, mask);
    reason[121] = 0;
    char *expected = sl_printf_heap("close:1000:%s idle", reason);
    expect(&server, expected);
    free(expected);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(messages),
        cmocka_unit_test(closing),
        cmocka_unit_test(refused),
        cmocka_unit_test(text_must_be_utf8),
        cmocka_unit_test(lengths),
        cmocka_unit_test(masking),
        cmocka_unit_test(examples),
        cmocka_unit_test(refused_compression),
        cmocka_unit_test(a_bomb_stops_at_the_limit),
        cmocka_unit_test(round_trips),
        cmocka_unit_test(what_does_not_compress_is_sent_plain),
        cmocka_unit_test(negotiation),
        cmocka_unit_test(handshake),
        cmocka_unit_test(close_frames),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
