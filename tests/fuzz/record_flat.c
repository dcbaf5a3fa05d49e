/* A record with every kind of field, decoded by the flat codec: what is accepted keeps what its description
 * demands, takes no more memory than a small multiple of the input, and is the same when it is encoded and
 * decoded again. The first byte says how many files come with it, and whether the input may be borrowed. */
#include <silver/record.h>

#include <jansson.h>
#include <stdlib.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define POINT(F) F(x, integer) F(y, real)
SL_RECORD(point, POINT);
#define NODE(F) F(label, text, .max = 8) F(on, boolean) F(below, list(node))
SL_RECORD(node, NODE);
#define ALL(F)                                                                                               \
    F(whole, integer)                                                                                        \
    F(broken, real)                                                                                          \
    F(yes, boolean)                                                                                          \
    F(when, time)                                                                                            \
    F(words, text, SL_REQUIRED)                                                                              \
    F(raw, bytes)                                                                                            \
    F(any, json)                                                                                             \
    F(open, file)                                                                                            \
    F(second, file)                                                                                          \
    F(one, record(point))                                                                                    \
    F(points, list(point), .max = 100)                                                                       \
    F(nothings, list(sl_nothing))                                                                            \
    F(tree, record(node))
SL_RECORD(all, ALL);

static struct all *decode(sl_view data, bool borrow, const sl_files *files, sl_arena *arena)
{
    void *value = NULL;
    sl_error *error = NULL;
    if (sl_codec_flat.decode(all_record(), data, borrow, files, arena, &value, &error) < 0) {
        if (value || !error || error->code != SL_EPARSE)
            abort();
        sl_error_unref(error);
        return NULL;
    }
    if (error || sl_record_check(all_record(), value, &error) < 0)
        abort();
    return value;
}

static void encode(const struct all *value, sl_buffer *out)
{
    sl_error *error = NULL;
    sl_files files = {.count = 0};
    if (sl_codec_flat.encode(all_record(), value, out, &files, &error) < 0 ||
        out->size > sl_codec_flat.size(all_record(), value))
        abort();
}

/* The files are not open: they must not be closed. */
static void done(struct all *value)
{
    value->open = value->second = -1;
    sl_record_done(all_record(), value);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    sl_files files = {{1000, 1001, 1002}, data[0] & 3};
    sl_arena *arena = sl_arena_new();
    sl_view input = {(const char *)data + 1, size - 1};
    struct all *value = decode(input, data[0] & 4, &files, arena);
    if (sl_arena_used(arena) > 8 * size + 4096)
        abort();
    if (value) {
        sl_buffer once = {0}, twice = {0};
        encode(value, &once);
        struct all *again = decode((sl_view){once.data, once.size}, true, &files, arena);
        encode(again, &twice);
        if (once.size != twice.size || memcmp(once.data, twice.data, once.size) != 0)
            abort();
        done(again);
        done(value);
        sl_buffer_done(&once);
        sl_buffer_done(&twice);
    }
    sl_arena_free(arena);
    return 0;
}
