/* compress.c: one stream through zlib, brotli or zstd.
 *
 * The three libraries agree on the shape: bytes in, bytes out, and three ways to call (buffer freely, flush,
 * end). This file makes them look the same. Contents made for one response are compressed for speed; those
 * that are kept and sent often (static files) for size. Windows are small on purpose: a stream may stay open
 * for long, and its encoder with it. */
#include "http/content.h"

#include <brotli/encode.h>
#include <stdio.h>
#include <stdlib.h>
#include <zlib.h>
#include <zstd.h>

#define WINDOW_LOG 18 /* 256 KiB, for brotli and zstd; gzip's is 32 KiB at most */
#define OUT_ROOM 4096 /* at least so much room for a call's output */

const char *const sl__coding_names[SL__CODING_COUNT] = {"identity", "zstd", "br", "gzip"};

static const int efforts[SL__CODING_COUNT][2] = {
    [SL__CODING_ZSTD] = {[SL__EFFORT_LIVE] = 3, [SL__EFFORT_KEEP] = 12},
    [SL__CODING_BROTLI] = {[SL__EFFORT_LIVE] = 4, [SL__EFFORT_KEEP] = 9},
    [SL__CODING_GZIP] = {[SL__EFFORT_LIVE] = 5, [SL__EFFORT_KEEP] = 9},
};

struct sl__encoder {
    sl__coding coding;
    union {
        z_stream gzip;
        BrotliEncoderState *brotli;
        ZSTD_CCtx *zstd;
    };
};

/* With memory and with arguments that are right these libraries cannot fail. */
static void must(bool good, const char *library)
{
    if (good)
        return;
    fprintf(stderr, "silver: %s cannot compress: out of memory\n", library);
    abort();
}

static void *gzip_alloc(void *opaque, unsigned count, unsigned size)
{
    (void)opaque;
    return sl_calloc(count, size);
}

static void gzip_free(void *opaque, void *memory)
{
    (void)opaque;
    free(memory);
}

static void *brotli_alloc(void *opaque, size_t size)
{
    (void)opaque;
    return sl_malloc(size);
}

static void brotli_free(void *opaque, void *memory)
{
    (void)opaque;
    free(memory);
}

static void gzip_open(sl__encoder *encoder, int effort)
{
    encoder->gzip = (z_stream){.zalloc = gzip_alloc, .zfree = gzip_free};
    must(deflateInit2(&encoder->gzip, effort, Z_DEFLATED, 15 + /* a gzip wrapper */ 16, 8,
                      Z_DEFAULT_STRATEGY) == Z_OK,
         "zlib");
}

static void brotli_open(sl__encoder *encoder, int effort, size_t size)
{
    encoder->brotli = BrotliEncoderCreateInstance(brotli_alloc, brotli_free, NULL);
    must(encoder->brotli, "brotli");
    BrotliEncoderSetParameter(encoder->brotli, BROTLI_PARAM_QUALITY, (uint32_t)effort);
    BrotliEncoderSetParameter(encoder->brotli, BROTLI_PARAM_LGWIN, WINDOW_LOG);
    BrotliEncoderSetParameter(encoder->brotli, BROTLI_PARAM_MODE, BROTLI_MODE_TEXT);
    BrotliEncoderSetParameter(encoder->brotli, BROTLI_PARAM_SIZE_HINT,
                              size > 1u << 30 ? 1u << 30 : (uint32_t)size);
}

static void zstd_open(sl__encoder *encoder, int effort, size_t size)
{
    encoder->zstd = ZSTD_createCCtx();
    must(encoder->zstd, "zstd");
    ZSTD_CCtx_setParameter(encoder->zstd, ZSTD_c_compressionLevel, effort);
    ZSTD_CCtx_setParameter(encoder->zstd, ZSTD_c_windowLog, WINDOW_LOG);
    if (size)
        ZSTD_CCtx_setPledgedSrcSize(encoder->zstd, size);
}

sl__encoder *sl__encoder_open(sl__coding coding, sl__effort effort, size_t size)
{
    sl__encoder *encoder = sl_calloc(1, sizeof(*encoder));
    encoder->coding = coding;
    int level = efforts[coding][effort];
    if (coding == SL__CODING_GZIP)
        gzip_open(encoder, level);
    else if (coding == SL__CODING_BROTLI)
        brotli_open(encoder, level, size);
    else if (coding == SL__CODING_ZSTD)
        zstd_open(encoder, level, size);
    return encoder;
}

sl__encoder *sl__encoder_new(const sl_response *res)
{
    if (res->coding == SL__CODING_IDENTITY)
        return NULL;
    return sl__encoder_open((sl__coding)res->coding, SL__EFFORT_LIVE, 0);
}

sl__encoder *sl__encoder_free(sl__encoder *encoder)
{
    if (!encoder)
        return NULL;
    if (encoder->coding == SL__CODING_GZIP)
        deflateEnd(&encoder->gzip);
    else if (encoder->coding == SL__CODING_BROTLI)
        BrotliEncoderDestroyInstance(encoder->brotli);
    else if (encoder->coding == SL__CODING_ZSTD)
        ZSTD_freeCCtx(encoder->zstd);
    free(encoder);
    return NULL;
}

/* Each encodes what it can into the room that `out` has, and says whether it must be called again. */

static bool gzip_step(sl__encoder *encoder, sl_view *in, sl__encode_step step, sl_buffer *out)
{
    static const int flushes[] = {Z_NO_FLUSH, Z_SYNC_FLUSH, Z_FINISH};
    size_t room = out->capacity - out->size - 1;
    unsigned part = in->size > 1u << 30 ? 1u << 30 : (unsigned)in->size;
    encoder->gzip.next_in = (unsigned char *)in->data; /* zlib reads it only */
    encoder->gzip.avail_in = part;
    encoder->gzip.next_out = (unsigned char *)out->data + out->size;
    encoder->gzip.avail_out = room > 1u << 30 ? 1u << 30 : (unsigned)room;
    unsigned offered = encoder->gzip.avail_out;
    int code = deflate(&encoder->gzip, part < in->size ? Z_NO_FLUSH : flushes[step]);
    must(code == Z_OK || code == Z_STREAM_END || code == Z_BUF_ERROR, "zlib");
    in->data += part - encoder->gzip.avail_in;
    in->size -= part - encoder->gzip.avail_in;
    out->size += offered - encoder->gzip.avail_out;
    if (step == SL__ENCODE_END)
        return code != Z_STREAM_END;
    return in->size > 0 || encoder->gzip.avail_out == 0;
}

static bool brotli_step(sl__encoder *encoder, sl_view *in, sl__encode_step step, sl_buffer *out)
{
    static const BrotliEncoderOperation operations[] = {BROTLI_OPERATION_PROCESS, BROTLI_OPERATION_FLUSH,
                                                        BROTLI_OPERATION_FINISH};
    size_t room = out->capacity - out->size - 1, left = room;
    const uint8_t *next_in = (const uint8_t *)in->data;
    uint8_t *next_out = (uint8_t *)out->data + out->size;
    must(BrotliEncoderCompressStream(encoder->brotli, operations[step], &in->size, &next_in, &left, &next_out,
                                     NULL),
         "brotli");
    in->data = (const char *)next_in;
    out->size += room - left;
    if (step == SL__ENCODE_END)
        return !BrotliEncoderIsFinished(encoder->brotli);
    return in->size > 0 || BrotliEncoderHasMoreOutput(encoder->brotli);
}

static bool zstd_step(sl__encoder *encoder, sl_view *in, sl__encode_step step, sl_buffer *out)
{
    static const ZSTD_EndDirective directives[] = {ZSTD_e_continue, ZSTD_e_flush, ZSTD_e_end};
    ZSTD_inBuffer from = {in->data, in->size, 0};
    ZSTD_outBuffer to = {out->data + out->size, out->capacity - out->size - 1, 0};
    size_t left = ZSTD_compressStream2(encoder->zstd, &to, &from, directives[step]);
    must(!ZSTD_isError(left), "zstd");
    in->data += from.pos;
    in->size -= from.pos;
    out->size += to.pos;
    return step == SL__ENCODE_MORE ? in->size > 0 : left > 0;
}

void sl__encode(sl__encoder *encoder, const void *data, size_t size, sl__encode_step step, sl_buffer *out)
{
    static bool (*const steps[SL__CODING_COUNT])(sl__encoder *, sl_view *, sl__encode_step, sl_buffer *) = {
        [SL__CODING_GZIP] = gzip_step, [SL__CODING_BROTLI] = brotli_step, [SL__CODING_ZSTD] = zstd_step};
    sl_view in = {data, size};
    bool again = size > 0 || step != SL__ENCODE_MORE;
    while (again) {
        sl_buffer_reserve(out, OUT_ROOM);
        again = steps[encoder->coding](encoder, &in, step, out);
    }
    if (out->data)
        out->data[out->size] = 0;
}

void sl__encode_whole(sl__coding coding, sl__effort effort, const void *data, size_t size, sl_buffer *out)
{
    sl__encoder *encoder = sl__encoder_open(coding, effort, size);
    sl_buffer_reserve(out, size / 3 + OUT_ROOM);
    sl__encode(encoder, data, size, SL__ENCODE_END, out);
    sl__encoder_free(encoder);
}
