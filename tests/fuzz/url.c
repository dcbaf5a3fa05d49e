/* What a decoded path promises, and that each segment of one can be encoded and comes back. The same input as
 * a query and as field values. */
#include "http/accept.h"
#include "http/url.h"

#include <stdlib.h>
#include <strings.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void hold(bool promise)
{
    if (!promise)
        abort();
}

static void check_segment(const char *segment, size_t size)
{
    char *meant = sl_malloc(size + 1);
    memcpy(meant, segment, size);
    meant[size] = 0;
    hold(strcmp(meant, ".") != 0 && strcmp(meant, "..") != 0);
    size_t meant_size = sl__url_slashes(meant);
    sl_buffer encoded = {0};
    sl_buffer_putc(&encoded, '/');
    /* Taking away the escapes may have made up what cannot be encoded: "%%2F2F" means "%/2F". */
    if (sl__url_put_segment(&encoded, meant, meant_size) == 0) {
        char *back = sl_malloc(encoded.size + 1);
        size_t back_size;
        const char *reason;
        hold(sl__url_path((sl_view){encoded.data, encoded.size}, back, &back_size, &reason) == 0);
        hold(back_size == size + 1 && memcmp(back + 1, segment, size) == 0);
        free(back);
    }
    sl_buffer_done(&encoded);
    free(meant);
}

static void check_path(const uint8_t *data, size_t size)
{
    char *out = sl_malloc(size + 1);
    size_t got;
    const char *reason = NULL;
    if (sl__url_path((sl_view){(const char *)data, size}, out, &got, &reason) == 0) {
        hold(got <= size && out[0] == '/' && strlen(out) == got && sl_utf8_valid(out, got));
        hold(!strstr(out, "//") && !strstr(out, "/../") && !strstr(out, "/./"));
        for (char *at = out + 1; *at;) {
            size_t length = strcspn(at, "/");
            check_segment(at, length);
            at += length + (at[length] == '/');
        }
    } else {
        hold(reason != NULL);
    }
    free(out);
}

static void check_query(const uint8_t *data, size_t size)
{
    sl_arena *arena = sl_arena_new();
    sl__pairs pairs;
    const char *reason = NULL;
    if (sl__url_pairs(arena, (sl_view){(const char *)data, size}, 50, &pairs, &reason) == 0) {
        for (size_t i = 0; i < pairs.count; i++) {
            hold(strlen(pairs.items[i].name) == pairs.items[i].name_size);
            hold(sl_utf8_valid(pairs.items[i].value, pairs.items[i].value_size));
            hold(sl__pairs_find(&pairs, pairs.items[i].name, 0) != NULL);
        }
    } else {
        hold(reason != NULL);
    }
    sl_arena_free(arena);
}

static void check_lists(const uint8_t *data, size_t size)
{
    char *text = sl_malloc(size + 1);
    memcpy(text, data, size);
    text[size] = 0;
    int quality = sl__accept_quality(text, "gzip");
    int media = sl__accept_media_quality(text, "text/html");
    hold(quality >= 0 && quality <= 1000 && media >= 0 && media <= 1000);
    const char *cursor = text;
    sl_view element, value;
    bool quoted;
    while (sl__list_next(&cursor, &element)) {
        hold(element.size > 0);
        sl__parameter(element, "q", &value, &quoted);
    }
    free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    check_path(data, size);
    check_query(data, size);
    check_lists(data, size);
    return 0;
}
