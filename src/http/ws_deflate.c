/* ws_deflate.c: permessage-deflate, RFC 7692.
 *
 * A message is one run of a raw deflate stream, flushed to a byte, without the four bytes 00 00 FF FF that
 * such a flush ends with; the receiver puts them back. Without context takeover the stream begins anew with
 * each message, so that it need not be kept: it is taken from the server's pool for the time of one message.
 */
#include "http/accept.h"
#include "http/ws_frame.h"

#include <assert.h>
#include <stdlib.h>
#include <zlib.h>

#define TAIL "\x00\x00\xff\xff"
#define TAIL_SIZE 4
/* Below it compression costs more than it saves: without a window from earlier messages there is little to
 * refer to. */
#define WORTH_ALONE 256
#define WORTH_IN_CONTEXT 32

/* ---- Streams ------------------------------------------------------------------------------------------- */

static void *allocate(void *opaque, unsigned count, unsigned size)
{
    return sl_malloc((size_t)count * size);
}

static void release(void *opaque, void *memory)
{
    free(memory);
}

static z_stream *stream_new(void)
{
    z_stream *stream = sl_calloc(1, sizeof *stream);
    stream->zalloc = allocate;
    stream->zfree = release;
    return stream;
}

static z_stream *inflater_free(z_stream *stream)
{
    if (stream)
        inflateEnd(stream);
    free(stream);
    return NULL;
}

static z_stream *deflater_free(z_stream *stream)
{
    if (stream)
        deflateEnd(stream);
    free(stream);
    return NULL;
}

void sl__ws_pool_done(sl__ws_pool *pool)
{
    pool->inflater = inflater_free(pool->inflater);
    pool->deflater = deflater_free(pool->deflater);
}

/* The largest window can read what any smaller one has written. */
static z_stream *take_inflater(sl__ws_deflate *d)
{
    if (!d->inflater && d->pool && d->pool->inflater) {
        d->inflater = d->pool->inflater;
        d->pool->inflater = NULL;
    } else if (!d->inflater) {
        d->inflater = stream_new();
        int failed = inflateInit2(d->inflater, -15);
        assert(failed == Z_OK);
        (void)failed;
    }
    return d->inflater;
}

static void give_inflater(sl__ws_deflate *d)
{
    if (d->inflater && d->pool && !d->pool->inflater && inflateReset(d->inflater) == Z_OK)
        d->pool->inflater = d->inflater;
    else
        inflater_free(d->inflater);
    d->inflater = NULL;
}

static int our_bits(const sl__ws_deflate *d)
{
    return d->client ? d->client_bits : d->server_bits;
}

static z_stream *take_deflater(sl__ws_deflate *d)
{
    if (!d->deflater && d->pool && d->pool->deflater && our_bits(d) == 15) {
        d->deflater = d->pool->deflater;
        d->pool->deflater = NULL;
    } else if (!d->deflater) {
        d->deflater = stream_new();
        int failed =
            deflateInit2(d->deflater, Z_DEFAULT_COMPRESSION, Z_DEFLATED, -our_bits(d), 8, Z_DEFAULT_STRATEGY);
        assert(failed == Z_OK);
        (void)failed;
    }
    return d->deflater;
}

static void give_deflater(sl__ws_deflate *d)
{
    if (d->deflater && d->pool && !d->pool->deflater && our_bits(d) == 15 &&
        deflateReset(d->deflater) == Z_OK)
        d->pool->deflater = d->deflater;
    else
        deflater_free(d->deflater);
    d->deflater = NULL;
}

void sl__ws_deflate_done(sl__ws_deflate *d)
{
    give_inflater(d);
    give_deflater(d);
}

/* ---- Messages ------------------------------------------------------------------------------------------ */

/* All of the piece; out->size may pass `max` by one byte, which shows that there is more. */
static int inflate_piece(z_stream *stream, const void *data, size_t size, sl_buffer *out, size_t max)
{
    stream->next_in = (Bytef *)data;
    stream->avail_in = (uInt)size;
    for (;;) {
        size_t room = max + 1 - out->size, step = (size_t)stream->avail_in * 4 + 256;
        step = step > 65536 ? 65536 : step;
        step = step > room ? room : step;
        sl_buffer_reserve(out, step);
        stream->next_out = (Bytef *)out->data + out->size;
        stream->avail_out = (uInt)step;
        int got = inflate(stream, Z_SYNC_FLUSH);
        out->size += step - stream->avail_out;
        out->data[out->size] = 0;
        if (out->size > max)
            return SL_E2BIG;
        if (got == Z_STREAM_END)
            inflateReset(stream); /* a final block may stand within a message */
        else if (got != Z_OK && got != Z_BUF_ERROR)
            return SL_EPARSE;
        if (stream->avail_in == 0 && stream->avail_out > 0)
            return 0;
    }
}

int sl__ws_inflate(sl__ws_deflate *d, const void *data, size_t size, bool last, sl_buffer *out, size_t max)
{
    z_stream *stream = take_inflater(d);
    int failed = 0;
    for (size_t done = 0; done < size && !failed;) {
        size_t piece = size - done < INT32_MAX ? size - done : INT32_MAX;
        failed = inflate_piece(stream, (const char *)data + done, piece, out, max);
        done += piece;
    }
    if (!failed && last) {
        failed = inflate_piece(stream, TAIL, TAIL_SIZE, out, max);
        /* zlib says in the bit 128 that it stands between two blocks. */
        if (!failed && !(stream->data_type & 128))
            failed = SL_EPARSE;
    }
    if (failed || (last && (d->client ? d->server_no_context_takeover : d->client_no_context_takeover)))
        give_inflater(d);
    return failed;
}

static void deflate_all(z_stream *stream, const void *data, size_t size, sl_buffer *out)
{
    size_t done = 0;
    do {
        size_t piece = size - done < INT32_MAX ? size - done : INT32_MAX;
        stream->next_in = (Bytef *)data + done;
        stream->avail_in = (uInt)piece;
        done += piece;
        do {
            size_t room = (size_t)stream->avail_in / 2 + 512;
            room = room > INT32_MAX ? INT32_MAX : room;
            sl_buffer_reserve(out, room);
            stream->next_out = (Bytef *)out->data + out->size;
            stream->avail_out = (uInt)room;
            deflate(stream, done == size ? Z_SYNC_FLUSH : Z_NO_FLUSH);
            out->size += room - stream->avail_out;
        } while (stream->avail_out == 0);
    } while (done < size);
}

bool sl__ws_compress(sl__ws_deflate *d, const void *data, size_t size, sl_buffer *out)
{
    bool alone = d->client ? d->client_no_context_takeover : d->server_no_context_takeover;
    if (size < (alone ? WORTH_ALONE : WORTH_IN_CONTEXT))
        return false;
    size_t before = out->size;
    deflate_all(take_deflater(d), data, size, out);
    assert(out->size - before >= TAIL_SIZE);
    out->size -= TAIL_SIZE;
    if (alone) {
        give_deflater(d);
        if (out->size - before >= size)
            out->size = before;
    }
    out->data[out->size] = 0;
    return out->size > before;
}

/* ---- Negotiation --------------------------------------------------------------------------------------- */

typedef struct offer {
    bool server_no_context, client_no_context, client_bits_named;
    unsigned server_bits, client_bits; /* 0: not said */
} offer;

/* 8 … 15, with or without quotes; 0 for anything else. */
static unsigned window_bits(sl_view value)
{
    uint64_t bits;
    if (value.size > 2 && value.data[0] == '"' && value.data[value.size - 1] == '"')
        value = (sl_view){value.data + 1, value.size - 2};
    if (value.size == 0 || value.data[0] == '0' || sl_view_number(value, 15, &bits) < 0 || bits < 8)
        return 0;
    return (unsigned)bits;
}

/* One parameter of an offer; false declines the offer. */
static bool read_parameter(offer *o, sl_view text)
{
    const char *equals = memchr(text.data, '=', text.size);
    sl_view name = {text.data, equals ? (size_t)(equals - text.data) : text.size};
    sl_view value = equals ? (sl_view){equals + 1, text.size - name.size - 1} : (sl_view){0};
    bool *flag = NULL;
    if (sl_view_equal_nocase(name, SL_VIEW("server_no_context_takeover")))
        flag = &o->server_no_context;
    else if (sl_view_equal_nocase(name, SL_VIEW("client_no_context_takeover")))
        flag = &o->client_no_context;
    if (flag) {
        bool again = *flag;
        *flag = true;
        return !again && !equals;
    }
    if (sl_view_equal_nocase(name, SL_VIEW("server_max_window_bits")))
        return !o->server_bits && (o->server_bits = window_bits(value)) > 0;
    if (!sl_view_equal_nocase(name, SL_VIEW("client_max_window_bits")) || o->client_bits_named)
        return false;
    o->client_bits_named = true;
    return !equals || (o->client_bits = window_bits(value)) > 0;
}

static bool read_offer(sl_view element, offer *ret_offer)
{
    const char *at = element.data, *end = at + element.size;
    *ret_offer = (offer){.server_bits = 0};
    for (bool first = true; at <= end; first = false) {
        const char *next = memchr(at, ';', (size_t)(end - at));
        next = next ? next : end;
        sl_view piece = sl_view_trim((sl_view){at, (size_t)(next - at)}, " \t");
        if (first ? !sl_view_equal_nocase(piece, SL_VIEW("permessage-deflate"))
                  : !read_parameter(ret_offer, piece))
            return false;
        if (next == end)
            break;
        at = next + 1;
    }
    return ret_offer->server_bits != 8; /* zlib does not write raw streams with so small a window */
}

bool sl__ws_deflate_negotiate(const char *offers, bool keep_context, sl__ws_pool *pool,
                              sl__ws_deflate *ret_deflate, sl_buffer *response)
{
    sl_view element;
    offer chosen;
    while (sl__list_next(&offers, &element)) {
        if (!read_offer(element, &chosen))
            continue;
        *ret_deflate = (sl__ws_deflate){
            .server_no_context_takeover = !keep_context || chosen.server_no_context,
            .client_no_context_takeover = !keep_context || chosen.client_no_context,
            .server_bits = (uint8_t)(chosen.server_bits ? chosen.server_bits : 15),
            .client_bits = 15,
            .pool = pool,
        };
        sl_buffer_puts(response, "permessage-deflate");
        if (ret_deflate->server_no_context_takeover)
            sl_buffer_puts(response, "; server_no_context_takeover");
        if (ret_deflate->client_no_context_takeover)
            sl_buffer_puts(response, "; client_no_context_takeover");
        if (chosen.server_bits)
            sl_buffer_printf(response, "; server_max_window_bits=%u", chosen.server_bits);
        return true;
    }
    return false;
}
