/* compress.c: encoders, against the libraries' own decoders. */
#include "content_test.h"

static char *text(size_t size)
{
    char *data = sl_alloc(size + 1);
    static const char words[] = "the quick brown fox jumps over the lazy dog, and then it does so again; ";
    for (size_t i = 0; i < size; i++)
        data[i] = i % 977 == 0 ? (char)('0' + i / 977 % 10) : words[i % (sizeof(words) - 1)];
    data[size] = 0;
    return data;
}

static char *noise(size_t size)
{
    char *data = sl_alloc(size + 1);
    uint64_t random = 88172645463325252u;
    for (size_t i = 0; i < size; i++) {
        random ^= random << 13, random ^= random >> 7, random ^= random << 17;
        data[i] = (char)random;
    }
    return data;
}

static void check(sl__coding coding, const char *data, size_t size)
{
    for (int effort = 0; effort < 2; effort++) {
        sl_buffer out = {0};
        sl__encode_whole(coding, (sl__effort)effort, data, size, &out);
        assert_int_equal(out.data[out.size], 0);
        sl_view back = decoded((sl_view){out.data, out.size}, sl__coding_names[coding], size);
        assert_int_equal(back.size, size);
        assert_memory_equal(back.data, data, size);
        sl_buffer_done(&out);
    }
}

IN_TASK(whole_contents_come_back)
{
    char *words = text(300000), *random = noise(200000);
    for (int coding = 1; coding < SL__CODING_COUNT; coding++) {
        check((sl__coding)coding, "", 0);
        check((sl__coding)coding, "x", 1);
        check((sl__coding)coding, words, 300000);
        check((sl__coding)coding, random, 200000);
    }
}

IN_TASK(text_shrinks)
{
    char *words = text(10000);
    for (int coding = 1; coding < SL__CODING_COUNT; coding++) {
        sl_buffer out = {0};
        sl__encode_whole((sl__coding)coding, SL__EFFORT_LIVE, words, 10000, &out);
        assert_true(out.size < 2000);
        sl_buffer_done(&out);
    }
}

IN_TASK(pieces_of_a_stream_make_one_whole)
{
    char *words = text(100000);
    for (int coding = 1; coding < SL__CODING_COUNT; coding++) {
        sl__encoder *encoder = sl__encoder_open((sl__coding)coding, SL__EFFORT_LIVE, 0);
        sl_buffer out = {0};
        for (size_t done = 0, part = 1; done < 100000; done += part, part = part * 3 % 7001) {
            part = part > 100000 - done ? 100000 - done : part;
            sl__encode(encoder, words + done, part, done % 5 ? SL__ENCODE_MORE : SL__ENCODE_FLUSH, &out);
        }
        sl__encode(encoder, NULL, 0, SL__ENCODE_END, &out);
        sl_view back = decoded((sl_view){out.data, out.size}, sl__coding_names[coding], 100000);
        assert_int_equal(back.size, 100000);
        assert_memory_equal(back.data, words, 100000);
        sl_buffer_done(&out);
        sl__encoder_free(encoder);
    }
}

/* After a flush a client can show all that was written so far. */
IN_TASK(a_flush_brings_out_everything)
{
    char *random = noise(50000);
    sl_buffer out = {0};
    sl__encoder *gzip = sl__encoder_open(SL__CODING_GZIP, SL__EFFORT_LIVE, 0);
    sl__encode(gzip, random, 50000, SL__ENCODE_FLUSH, &out);
    char *back = sl_alloc(60000);
    z_stream z = {.next_in = (unsigned char *)out.data,
                  .avail_in = (unsigned)out.size,
                  .next_out = (unsigned char *)back,
                  .avail_out = 60000};
    assert_int_equal(inflateInit2(&z, 15 + 16), Z_OK);
    assert_int_equal(inflate(&z, Z_SYNC_FLUSH), Z_OK);
    assert_int_equal(z.total_out, 50000);
    inflateEnd(&z);
    sl_buffer_done(&out);
    sl__encoder_free(gzip);

    sl__encoder *brotli = sl__encoder_open(SL__CODING_BROTLI, SL__EFFORT_LIVE, 0);
    sl__encode(brotli, random, 50000, SL__ENCODE_FLUSH, &out);
    BrotliDecoderState *decoder = BrotliDecoderCreateInstance(NULL, NULL, NULL);
    size_t in_left = out.size, out_left = 60000;
    const uint8_t *next_in = (const uint8_t *)out.data;
    uint8_t *next_out = (uint8_t *)back;
    assert_int_equal(BrotliDecoderDecompressStream(decoder, &in_left, &next_in, &out_left, &next_out, NULL),
                     BROTLI_DECODER_RESULT_NEEDS_MORE_INPUT);
    assert_int_equal(out_left, 10000);
    BrotliDecoderDestroyInstance(decoder);
    sl_buffer_done(&out);
    sl__encoder_free(brotli);

    sl__encoder *zstd = sl__encoder_open(SL__CODING_ZSTD, SL__EFFORT_LIVE, 0);
    sl__encode(zstd, random, 50000, SL__ENCODE_FLUSH, &out);
    ZSTD_DStream *stream = ZSTD_createDStream();
    ZSTD_inBuffer from = {out.data, out.size, 0};
    ZSTD_outBuffer to = {back, 60000, 0};
    while (from.pos < from.size)
        assert_false(ZSTD_isError(ZSTD_decompressStream(stream, &to, &from)));
    assert_int_equal(to.pos, 50000);
    assert_memory_equal(back, random, 50000);
    ZSTD_freeDStream(stream);
    sl_buffer_done(&out);
    sl__encoder_free(zstd);
}

IN_TASK(a_response_that_is_not_encoded_has_no_encoder)
{
    sl_response plain = {0}, encoded = {.coding = SL__CODING_BROTLI};
    assert_null(sl__encoder_new(&plain));
    sl__encoder *encoder = sl__encoder_new(&encoded);
    assert_non_null(encoder);
    assert_null(sl__encoder_free(encoder)); /* before its end */
    assert_null(sl__encoder_free(NULL));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whole_contents_come_back),
        cmocka_unit_test(text_shrinks),
        cmocka_unit_test(pieces_of_a_stream_make_one_whole),
        cmocka_unit_test(a_flush_brings_out_everything),
        cmocka_unit_test(a_response_that_is_not_encoded_has_no_encoder),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
