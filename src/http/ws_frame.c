/* ws_frame.c: frames to messages and back.
 *
 * The decoder gathers a frame's head (at most 14 bytes), checks all that the head says, and then passes the
 * payload on as it comes: a control frame's into its small array, a message's into the message, unmasked and,
 * if need be, inflated on the way. */
#include "http/ws_frame.h"
#include "base/base64.h"
#include "core/loop.h"

#include <assert.h>
#include <dlfcn.h>
#include <openssl/evp.h>

enum {
    HEAD,
    PAYLOAD,
    REFUSED,
    CLOSED,
};

/* A buffer that grew beyond this for one message is not kept for the next. */
#define KEEP_MAX 65536

/* ---- Handshake ----------------------------------------------------------------------------------------- */

bool sl__ws_key_valid(const char *key)
{
    return strlen(key) == 24 &&
           strspn(key, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/") == 22 &&
           strcmp(key + 22, "==") == 0;
}

/* libcrypto's tables are large, and being linked in it would make each process, also the smallest worker, a
 * millisecond slower to start. So it is loaded by the first handshake, and stays. */
static void sha1(const char *data, size_t size, uint8_t out[static 20])
{
    void *library = dlopen("libcrypto.so.3", RTLD_NOW | RTLD_LOCAL);
    __typeof__(EVP_Digest) *digest = library ? (__typeof__(EVP_Digest) *)dlsym(library, "EVP_Digest") : NULL;
    __typeof__(EVP_sha1) *kind = library ? (__typeof__(EVP_sha1) *)dlsym(library, "EVP_sha1") : NULL;
    if (!digest || !kind || !digest(data, size, out, NULL, kind(), NULL))
        sl__die(SL_HERE, "libcrypto of OpenSSL 3 cannot be loaded (package libssl3): %s", dlerror());
}

void sl__ws_accept_key(const char *key, char out[static 29])
{
    uint8_t digest[20];
    sl_buffer text = {0};
    sl_buffer_printf(&text, "%s258EAFA5-E914-47DA-95CA-C5AB0DC85B11", key);
    sha1(text.data, text.size, digest);
    text.size = 0;
    sl__base64_put(&text, (const char *)digest, sizeof digest);
    memcpy(out, text.data, 29);
    sl_buffer_done(&text);
}

/* ---- Decoder ------------------------------------------------------------------------------------------- */

void sl__ws_decoder_init(sl__ws_decoder *d, bool client, size_t max_message, sl__ws_deflate *deflate)
{
    assert(max_message < SIZE_MAX / 2);
    *d = (sl__ws_decoder){.client = client, .max_message = max_message, .deflate = deflate, .head_size = 2};
}

void sl__ws_decoder_done(sl__ws_decoder *d)
{
    sl_buffer_done(&d->message);
    d->state = CLOSED;
}

bool sl__ws_decoder_busy(const sl__ws_decoder *d)
{
    return d->state < REFUSED && (d->head_have > 0 || d->message_opcode != 0);
}

static int refuse(sl__ws_decoder *d, unsigned code, const char *reason)
{
    d->state = REFUSED;
    d->close_code = (uint16_t)code;
    d->reason = reason;
    return SL_EPROTO;
}

bool sl__ws_close_code_valid(unsigned code)
{
    return (code >= 1000 && code <= 1014 && code != 1004 && code != 1005 && code != 1006) ||
           (code >= 3000 && code <= 4999);
}

static bool is_control(sl__ws_opcode opcode)
{
    return opcode >= 8;
}

/* What the first two bytes say; then the head's size is known. */
static int read_start(sl__ws_decoder *d)
{
    uint8_t flags = d->head[0], length = d->head[1] & 0x7f;
    bool masked = d->head[1] & 0x80, first_bit = flags & 0x40;
    d->opcode = (sl__ws_opcode)(flags & 15);
    d->final = flags & 0x80;
    if (flags & 0x30 || (first_bit && !d->deflate))
        return refuse(d, 1002, "a frame has a reserved bit that no extension uses");
    if (first_bit && d->opcode != SL__WS_TEXT && d->opcode != SL__WS_BINARY)
        return refuse(d, 1002, "a frame that does not begin a message says that it is compressed");
    if (masked == d->client)
        return refuse(d, 1002,
                      d->client ? "a frame of the server is masked" : "a frame of the client is not masked");
    if (d->opcode > SL__WS_PONG || (d->opcode > SL__WS_BINARY && d->opcode < SL__WS_CLOSE))
        return refuse(d, 1002, "a frame has a reserved opcode");
    if (is_control(d->opcode) && (!d->final || length > 125))
        return refuse(d, 1002, "a control frame is fragmented or longer than 125 bytes");
    if (d->opcode == SL__WS_CONTINUATION && !d->message_opcode)
        return refuse(d, 1002, "a frame continues a message that was not begun");
    if ((d->opcode == SL__WS_TEXT || d->opcode == SL__WS_BINARY) && d->message_opcode)
        return refuse(d, 1002, "a message begins before the last one has ended");
    d->head_size = (uint8_t)(2 + (length == 126 ? 2 : length == 127 ? 8 : 0) + (masked ? 4 : 0));
    return 0;
}

static void begin_message(sl__ws_decoder *d)
{
    d->message_opcode = d->opcode;
    d->compressed = d->head[0] & 0x40;
    d->utf8 = SL__UTF8_COMPLETE;
    if (d->message.capacity > KEEP_MAX)
        sl_buffer_done(&d->message);
    d->message.size = 0;
}

/* The whole head is there. */
static int read_head(sl__ws_decoder *d)
{
    unsigned length = d->head[1] & 0x7f, bytes = length == 126 ? 2 : length == 127 ? 8 : 0;
    d->left = length;
    if (bytes) {
        d->left = 0;
        for (unsigned i = 0; i < bytes; i++)
            d->left = d->left << 8 | d->head[2 + i];
        if (d->left < (bytes == 2 ? 126 : 65536))
            return refuse(d, 1002, "a frame's length is not in its shortest form");
        if (d->left >> 63)
            return refuse(d, 1002, "a frame's length has its highest bit set");
    }
    if (d->head[1] & 0x80)
        memcpy(d->mask, d->head + 2 + bytes, 4);
    d->offset = 0;
    if (d->opcode == SL__WS_TEXT || d->opcode == SL__WS_BINARY)
        begin_message(d);
    if (!is_control(d->opcode) && !d->compressed && d->left > d->max_message - d->message.size)
        return refuse(d, 1009, "a message is larger than the limit");
    d->state = PAYLOAD;
    return 0;
}

static int take_head(sl__ws_decoder *d, sl_view *input)
{
    while (d->head_have < d->head_size && input->size > 0) {
        d->head[d->head_have++] = (uint8_t)*input->data++;
        input->size--;
        if (d->head_have == 2) {
            int failed = read_start(d);
            if (failed)
                return failed;
        }
    }
    return d->head_have == d->head_size ? read_head(d) : 0;
}

static void unmask(sl__ws_decoder *d, void *out, const void *data, size_t size)
{
    if (d->client)
        memcpy(out, data, size);
    else
        sl__ws_mask(out, data, size, d->mask, d->offset);
    d->offset += size;
}

/* What was added to the message from `start` on must go on as UTF-8. */
static int check_text(sl__ws_decoder *d, size_t start)
{
    if (d->message_opcode == SL__WS_TEXT &&
        !sl__utf8_check(&d->utf8, d->message.data + start, d->message.size - start))
        return refuse(d, 1007, "a text message is not UTF-8");
    return 0;
}

static int inflate_some(sl__ws_decoder *d, const void *data, size_t size, bool last)
{
    size_t start = d->message.size;
    switch (sl__ws_inflate(d->deflate, data, size, last, &d->message, d->max_message)) {
    case 0:
        return check_text(d, start);
    case SL_E2BIG:
        return refuse(d, 1009, "a message inflates to more than the limit");
    default:
        return refuse(d, 1007, "a compressed message is malformed");
    }
}

static int take_compressed(sl__ws_decoder *d, const char *data, size_t size)
{
    char plain[4096];
    for (size_t done = 0; done < size;) {
        size_t piece = size - done < sizeof plain ? size - done : sizeof plain;
        unmask(d, plain, data + done, piece);
        int failed = inflate_some(d, plain, piece, false);
        if (failed)
            return failed;
        done += piece;
    }
    return 0;
}

static int take_payload(sl__ws_decoder *d, sl_view *input)
{
    size_t size = d->left < input->size ? (size_t)d->left : input->size;
    const char *data = input->data;
    input->data += size;
    input->size -= size;
    d->left -= size;
    if (size == 0)
        return 0;
    if (is_control(d->opcode)) {
        unmask(d, d->control + d->offset, data, size);
        return 0;
    }
    if (d->compressed)
        return take_compressed(d, data, size);
    size_t start = d->message.size;
    sl_buffer_reserve(&d->message, size);
    unmask(d, d->message.data + start, data, size);
    d->message.size += size;
    return check_text(d, start);
}

static int finish_close(sl__ws_decoder *d)
{
    size_t size = (size_t)d->offset;
    d->close_code = 1005;
    if (size == 1)
        return refuse(d, 1002, "a close frame has half a code");
    if (size >= 2) {
        unsigned code = (unsigned)d->control[0] << 8 | d->control[1];
        if (!sl__ws_close_code_valid(code))
            return refuse(d, 1002, "a close frame has a code that may not be sent");
        d->close_code = (uint16_t)code;
        size -= 2;
        memmove(d->control, d->control + 2, size);
    }
    uint8_t utf8 = SL__UTF8_COMPLETE;
    if (!sl__utf8_check(&utf8, d->control, size) || utf8 != SL__UTF8_COMPLETE)
        return refuse(d, 1007, "the reason in a close frame is not UTF-8");
    d->control_size = (uint8_t)size;
    d->control[size] = 0;
    d->state = CLOSED;
    return SL__WS_CLOSE;
}

/* The frame is complete: an opcode if something is, or refused. */
static int finish_frame(sl__ws_decoder *d)
{
    d->state = HEAD;
    d->head_have = 0;
    d->head_size = 2;
    if (d->opcode == SL__WS_CLOSE)
        return finish_close(d);
    if (is_control(d->opcode)) {
        d->control_size = (uint8_t)d->offset;
        d->control[d->control_size] = 0;
        return (int)d->opcode;
    }
    if (!d->final)
        return 0;
    int failed = d->compressed ? inflate_some(d, NULL, 0, true) : 0;
    if (failed)
        return failed;
    if (d->message_opcode == SL__WS_TEXT && d->utf8 != SL__UTF8_COMPLETE)
        return refuse(d, 1007, "a text message ends within a character");
    sl_buffer_reserve(&d->message, 0);
    d->message.data[d->message.size] = 0;
    int opcode = (int)d->message_opcode;
    d->message_opcode = SL__WS_CONTINUATION;
    return opcode;
}

int sl__ws_decode(sl__ws_decoder *d, sl_view *input)
{
    while (input->size > 0 && d->state < REFUSED) {
        int got = d->state == HEAD ? take_head(d, input) : take_payload(d, input);
        if (got == 0 && d->state == PAYLOAD && d->left == 0)
            got = finish_frame(d);
        if (got != 0)
            return got;
    }
    return d->state == REFUSED ? SL_EPROTO : 0;
}

/* ---- Masking ------------------------------------------------------------------------------------------- */

void sl__ws_mask(void *out, const void *data, size_t size, const uint8_t mask[static 4], uint64_t offset)
{
    uint8_t *to = out, turned[8];
    const uint8_t *at = data;
    for (unsigned i = 0; i < 8; i++)
        turned[i] = mask[(offset + i) & 3];
    uint64_t wide;
    memcpy(&wide, turned, 8);
    size_t i = 0;
    for (; i + 8 <= size; i += 8) {
        uint64_t eight;
        memcpy(&eight, at + i, 8);
        eight ^= wide;
        memcpy(to + i, &eight, 8);
    }
    for (; i < size; i++)
        to[i] = at[i] ^ turned[i & 7];
}

/* ---- Encoder ------------------------------------------------------------------------------------------- */

size_t sl__ws_frame_head(uint8_t out[static 14], sl__ws_opcode opcode, bool final, bool compressed,
                         uint64_t size, const uint8_t *mask)
{
    out[0] = (uint8_t)((final ? 0x80 : 0) | (compressed ? 0x40 : 0) | opcode);
    unsigned bytes = size < 126 ? 0 : size < 65536 ? 2 : 8;
    out[1] = (uint8_t)((mask ? 0x80 : 0) | (bytes == 0 ? size : bytes == 2 ? 126 : 127));
    for (unsigned i = 0; i < bytes; i++)
        out[2 + i] = (uint8_t)(size >> (8 * (bytes - 1 - i)));
    if (mask)
        memcpy(out + 2 + bytes, mask, 4);
    return 2 + bytes + (mask ? 4 : 0);
}

static void put_whole(sl_buffer *out, sl__ws_opcode opcode, bool compressed, const void *data, size_t size,
                      const uint8_t *mask)
{
    uint8_t head[14];
    size_t head_size = sl__ws_frame_head(head, opcode, true, compressed, size, mask);
    sl_buffer_reserve(out, head_size + size);
    sl_buffer_put(out, head, head_size);
    if (size > 0)
        sl_buffer_put(out, data, size);
    if (mask)
        sl__ws_mask(out->data + out->size - size, out->data + out->size - size, size, mask, 0);
}

void sl__ws_put_frame(sl_buffer *out, sl__ws_opcode opcode, const void *data, size_t size,
                      const uint8_t *mask)
{
    assert(!is_control(opcode) || size <= 125);
    put_whole(out, opcode, false, data, size, mask);
}

void sl__ws_put_message(sl_buffer *out, sl__ws_opcode kind, const void *data, size_t size,
                        sl__ws_deflate *deflate, const uint8_t *mask)
{
    sl_buffer compressed = {0};
    bool smaller = deflate && sl__ws_compress(deflate, data, size, &compressed);
    if (smaller)
        put_whole(out, kind, true, compressed.data, compressed.size, mask);
    else
        put_whole(out, kind, false, data, size, mask);
    sl_buffer_done(&compressed);
}

void sl__ws_put_close(sl_buffer *out, unsigned code, const char *reason, const uint8_t *mask)
{
    char payload[125];
    if (code == 0 || code == 1005) {
        put_whole(out, SL__WS_CLOSE, false, NULL, 0, mask);
        return;
    }
    size_t size = reason ? strlen(reason) : 0;
    if (size > 123) {
        size = 123;
        while (size > 0 && ((uint8_t)reason[size] & 0xc0) == 0x80)
            size--;
    }
    payload[0] = (char)(code >> 8);
    payload[1] = (char)code;
    if (size > 0)
        memcpy(payload + 2, reason, size);
    put_whole(out, SL__WS_CLOSE, false, payload, 2 + size, mask);
}
