/* printed.c: what a child prints, cut into lines, the last of which are kept.
 *
 * The lines that are kept stand in a ring, which is bounded by their number and by their size: the oldest go.
 */
#include "subsystem/printed.h"

#include <stdlib.h>

static void forget_oldest(sl__printed *printed, uint64_t number)
{
    char **place = &printed->last[number % SL__PRINTED_LAST];
    if (!*place)
        return;
    printed->last_bytes -= strlen(*place) + 1;
    free(*place);
    *place = NULL;
}

static void keep(sl__printed *printed, const char *line, size_t size)
{
    size_t kept = 0;
    char *copy = sl_malloc(size + 1);
    for (size_t i = 0; i < size; i++)
        if (line[i]) /* a NUL says nothing to a reader, and would end the text */
            copy[kept++] = line[i];
    copy[kept] = '\0';
    forget_oldest(printed, printed->count);
    printed->last[printed->count++ % SL__PRINTED_LAST] = copy;
    printed->last_bytes += kept + 1;
    uint64_t oldest = printed->count > SL__PRINTED_LAST ? printed->count - SL__PRINTED_LAST : 0;
    for (; printed->last_bytes > SL__PRINTED_LAST_BYTES && oldest + 1 < printed->count; oldest++)
        forget_oldest(printed, oldest);
}

static void take_line(sl__printed *printed, const char *line, size_t size)
{
    if (size > 0 && line[size - 1] == '\r')
        size--;
    keep(printed, line, size);
    printed->told(printed->data, line, size);
}

static void end_partial(sl__printed *printed)
{
    take_line(printed, printed->partial.data, printed->partial.size);
    printed->partial.size = 0;
}

void sl__printed_put(sl__printed *printed, const char *data, size_t size)
{
    while (size > 0) {
        const char *end = memchr(data, '\n', size);
        size_t length = end ? (size_t)(end - data) : size;
        size_t room = SL__PRINTED_LINE_MAX - printed->partial.size;
        bool cut = length > room;
        if (cut)
            length = room;
        if (end && !cut && printed->partial.size == 0) {
            take_line(printed, data, length);
        } else {
            sl_buffer_put(&printed->partial, data, length);
            if (end || cut)
                end_partial(printed);
        }
        length += end && !cut;
        data += length;
        size -= length;
    }
}

void sl__printed_end(sl__printed *printed)
{
    if (printed->partial.size)
        end_partial(printed);
}

void sl__printed_text(const sl__printed *printed, sl_buffer *out)
{
    uint64_t first = printed->count > SL__PRINTED_LAST ? printed->count - SL__PRINTED_LAST : 0;
    for (uint64_t i = first; i < printed->count; i++) {
        const char *line = printed->last[i % SL__PRINTED_LAST];
        if (line)
            sl_buffer_printf(out, "%s%s", out->size ? "\n" : "", line);
    }
}

void sl__printed_done(sl__printed *printed)
{
    for (unsigned i = 0; i < SL__PRINTED_LAST; i++)
        free(printed->last[i]);
    sl_buffer_done(&printed->partial);
    *printed = (sl__printed){0};
}
