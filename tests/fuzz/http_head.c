/* A request head in two pieces, cut where the first byte says, must come out as it does whole. */
#include "http/parser.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int feed(sl__parser *parser, sl__field *items, const uint8_t *data, size_t size, size_t cut,
                char **ret_buffer)
{
    static const sl__head_limits limits = {200, 400, 10};
    sl__parser_init(parser, items, 10, &limits);
    char *part = sl_malloc(cut + 1), *whole = sl_malloc(size + 1);
    memcpy(part, data, cut);
    int got = sl__parser_feed(parser, part, cut);
    if (got == 0) {
        /* What the parser wrote over the first piece moves along. */
        memcpy(whole, part, cut);
        memcpy(whole + cut, data + cut, size - cut);
        whole = sl_realloc(whole, size ? size : 1);
        got = sl__parser_feed(parser, whole, size);
        free(part);
        part = NULL;
    }
    if (part) {
        free(whole);
        whole = part;
    }
    *ret_buffer = whole;
    return got;
}

static void same(bool value)
{
    if (!value)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    size_t cut = data[0];
    data++;
    size--;
    cut = cut < size ? cut : size;
    sl__field items[10], other_items[10];
    sl__parser one, other;
    char *buffer, *other_buffer;
    int got = feed(&one, items, data, size, size, &buffer);
    int other_got = feed(&other, other_items, data, size, cut, &other_buffer);
    if (got > 0) {
        same(other_got > 0 && one.head_size == other.head_size && one.fields.count == other.fields.count);
        same(strcmp(one.target, other.target) == 0 && one.framing == other.framing &&
             one.content_length == other.content_length);
        same(sl_view_equal(one.host, other.host) && sl_view_equal(one.raw_path, other.raw_path));
        same(sl_view_equal(one.query, other.query) && one.keep_alive == other.keep_alive);
        for (size_t i = 0; i < one.fields.count; i++) {
            same(strcmp(items[i].name, other_items[i].name) == 0 &&
                 strcmp(items[i].value, other_items[i].value) == 0);
            same(strlen(items[i].name) == items[i].name_size &&
                 strlen(items[i].value) == items[i].value_size);
        }
        sl__fields_find(&one.fields, "cookie");
    } else {
        /* A line that is wrong may be found out only once its end has come. */
        same(got < 0 ? other_got <= 0 && one.reason : other_got == 0);
    }
    free(buffer);
    free(other_buffer);
    return 0;
}
