/* A form in pieces of the size that the first byte says must come out as it does whole. */
#include "http/multipart.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int parse(const uint8_t *data, size_t size, size_t step, sl_buffer *out)
{
    static const sl__multipart_limits limits = {5, 300, 5};
    sl__multipart parser;
    int got = sl__multipart_init(&parser, "multipart/form-data; boundary=b-", &limits);
    for (size_t at = 0; at < size && got == 0;) {
        size_t piece = size - at < step ? size - at : step;
        char *copy = sl_malloc(piece);
        memcpy(copy, data + at, piece);
        sl_view input = {copy, piece};
        while ((got = sl__multipart_next(&parser, &input)) > 0) {
            if (got == SL__PART_DATA)
                sl_buffer_put(out, parser.data.data, parser.data.size);
            else
                sl_buffer_printf(out, "<%d>", got);
            if (got == SL__PART_BEGIN)
                sl_buffer_printf(out, "%s|%s|%s:", parser.part.name,
                                 parser.part.filename ? parser.part.filename : "-",
                                 parser.part.type ? parser.part.type : "-");
            if (got == SL__PART_BEGIN && parser.part.filename && strpbrk(parser.part.filename, "/\\"))
                abort();
        }
        if (got == 0 && input.size > 0)
            abort();
        at += piece;
        free(copy);
    }
    sl__multipart_done(&parser);
    return got;
}

/* The first line is a Content-Type for the other entrance. */
static void begin(const uint8_t *data, size_t size)
{
    char *type = sl_malloc(size + 30);
    memcpy(type, "multipart/form-data;", 20);
    memcpy(type + 20, data, size);
    type[20 + size] = 0;
    sl__multipart parser;
    sl__multipart_init(&parser, type, NULL);
    sl__multipart_done(&parser);
    free(type);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    begin(data + 1, size - 1);
    sl_buffer whole = {0}, pieces = {0};
    int got = parse(data + 1, size - 1, size, &whole);
    parse(data + 1, size - 1, (size_t)data[0] % 16 + 1, &pieces);
    if (got >= 0 &&
        (whole.size != pieces.size || (whole.size && memcmp(whole.data, pieces.data, whole.size) != 0)))
        abort();
    sl_buffer_done(&whole);
    sl_buffer_done(&pieces);
    return 0;
}
