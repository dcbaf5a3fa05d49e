/* A chunked body in pieces of the size that the first byte says must come out as it does whole. */
#include "http/chunked.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int decode(const uint8_t *data, size_t size, size_t step, sl_buffer *out)
{
    sl__chunked chunked;
    sl__chunked_init(&chunked, 200, 5);
    int got = SL__CHUNK_MORE;
    size_t at = 0;
    while (at < size && got == SL__CHUNK_MORE) {
        size_t piece = size - at < step ? size - at : step;
        char *copy = sl_malloc(piece);
        memcpy(copy, data + at, piece);
        sl_view input = {copy, piece}, content;
        while ((got = sl__chunked_next(&chunked, &input, &content)) == SL__CHUNK_DATA)
            sl_buffer_put(out, content.data, content.size);
        at += piece - input.size;
        free(copy);
    }
    sl_buffer_printf(out, "|%d", got);
    if (got == SL__CHUNK_END)
        sl_buffer_printf(out, " at %zu", at);
    for (size_t i = 0; i < chunked.trailers.count; i++)
        sl_buffer_printf(out, "|%s: %s", chunked.trailers.items[i].name, chunked.trailers.items[i].value);
    sl__chunked_done(&chunked);
    return got;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    sl_buffer whole = {0}, pieces = {0};
    int got = decode(data + 1, size - 1, size, &whole);
    decode(data + 1, size - 1, (size_t)data[0] % 16 + 1, &pieces);
    /* Of two complaints the one that comes first may depend on the cut; what came before one as well. */
    if (got >= 0 && (whole.size != pieces.size || memcmp(whole.data, pieces.data, whole.size) != 0))
        abort();
    sl_buffer_done(&whole);
    sl_buffer_done(&pieces);
    return 0;
}
