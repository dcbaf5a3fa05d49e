/* Frames in pieces must come out as they do whole, and whatever came out must come back when it is encoded
 * again. The first byte says the pieces' size, whether compression was agreed on, whether it keeps its
 * context, and whose frames they are. */
#include "http/ws_frame.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MAX_MESSAGE 5000

typedef struct setting {
    size_t step;
    bool compressed, context, client;
} setting;

static int decode(const setting *s, const uint8_t *data, size_t size, sl_buffer *out, sl_buffer *again)
{
    sl__ws_pool pool = {0};
    sl__ws_deflate deflate, own;
    sl_buffer response = {0};
    sl__ws_deflate_negotiate("permessage-deflate", s->context, &pool, &deflate, &response);
    sl_buffer_done(&response);
    own = deflate;
    deflate.client = s->client;
    own.client = !s->client;
    sl__ws_decoder decoder;
    sl__ws_decoder_init(&decoder, s->client, MAX_MESSAGE, s->compressed ? &deflate : NULL);
    int got = 0;
    for (size_t at = 0; at < size && got == 0;) {
        size_t piece = size - at < s->step ? size - at : s->step;
        char *copy = sl_malloc(piece);
        memcpy(copy, data + at, piece);
        sl_view input = {copy, piece};
        while ((got = sl__ws_decode(&decoder, &input)) > 0) {
            const uint8_t *mask = s->client ? NULL : (const uint8_t *)"mask";
            bool control = got >= SL__WS_CLOSE;
            const void *payload = control ? (const void *)decoder.control : decoder.message.data;
            size_t payload_size = control ? decoder.control_size : decoder.message.size;
            if (payload_size > MAX_MESSAGE)
                abort();
            sl_buffer_printf(out, "|%d ", got);
            sl_buffer_put(out, payload, payload_size);
            if (again && got == SL__WS_CLOSE)
                sl__ws_put_close(again, decoder.close_code, (const char *)decoder.control, mask);
            else if (again && control)
                sl__ws_put_frame(again, (sl__ws_opcode)got, payload, payload_size, mask);
            else if (again)
                sl__ws_put_message(again, (sl__ws_opcode)got, payload, payload_size,
                                   s->compressed ? &own : NULL, mask);
        }
        at += piece;
        free(copy);
    }
    sl__ws_decoder_done(&decoder);
    sl__ws_deflate_done(&deflate);
    sl__ws_deflate_done(&own);
    sl__ws_pool_done(&pool);
    return got;
}

static void same(const sl_buffer *a, const sl_buffer *b)
{
    if (a->size != b->size || (a->size && memcmp(a->data, b->data, a->size) != 0))
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    setting whole = {size, data[0] & 1, data[0] & 2, data[0] & 4}, cut = whole;
    cut.step = (size_t)data[0] / 8 + 1;
    sl_buffer first = {0}, second = {0}, third = {0}, again = {0};
    decode(&whole, data + 1, size - 1, &first, &again);
    decode(&cut, data + 1, size - 1, &second, NULL);
    same(&first, &second);
    whole.step = again.size + 1;
    if (decode(&whole, (const uint8_t *)again.data, again.size, &third, NULL) < 0)
        abort();
    /* A NUL in a close frame's reason ends it for the encoder. */
    if (!memchr(first.data ? first.data : "", 0, first.size))
        same(&first, &third);
    sl_buffer_done(&first);
    sl_buffer_done(&second);
    sl_buffer_done(&third);
    sl_buffer_done(&again);
    return 0;
}
