/* range.c: parts of a response, RFC 9110 section 14.
 *
 * One range is answered with that part, several with multipart/byteranges: text between slices of the same
 * segments, so nothing is copied. A Range field that is malformed or of another unit is ignored, as the RFC
 * allows; so is one that asks for more than the whole, which only serves to make us work. */
#include "http/content.h"

#include <sys/random.h>

/* Digits, as many as there are; past what fits, the largest number. False without any. */
static bool read_number(const char **at, uint64_t *ret)
{
    if (**at < '0' || **at > '9')
        return false;
    uint64_t value = 0;
    for (; **at >= '0' && **at <= '9'; (*at)++) {
        unsigned digit = (unsigned)(**at - '0');
        value = value > (UINT64_MAX - digit) / 10 ? UINT64_MAX : value * 10 + digit;
    }
    *ret = value;
    return true;
}

enum one {
    MALFORMED,
    UNSATISFIABLE,
    SATISFIABLE,
};

/* "5-9", "5-" or "-5". */
static enum one read_range(const char **at, uint64_t size, sl__range *ret)
{
    if (**at == '-') {
        uint64_t suffix;
        (*at)++;
        if (!read_number(at, &suffix))
            return MALFORMED;
        if (suffix == 0 || size == 0)
            return UNSATISFIABLE;
        *ret = (sl__range){suffix < size ? size - suffix : 0, size - 1};
        return SATISFIABLE;
    }
    uint64_t first, last = UINT64_MAX;
    if (!read_number(at, &first) || **at != '-')
        return MALFORMED;
    (*at)++;
    if (read_number(at, &last) && last < first)
        return MALFORMED;
    if (first >= size)
        return UNSATISFIABLE;
    *ret = (sl__range){first, last < size ? last : size - 1};
    return SATISFIABLE;
}

int sl__ranges_parse(const char *value, uint64_t size, sl__range ranges[static SL__RANGES_MAX])
{
    if (!sl_view_equal_nocase((sl_view){value, strnlen(value, 6)}, SL_VIEW("bytes=")))
        return 0;
    const char *at = value + 6;
    unsigned seen = 0;
    int count = 0;
    uint64_t total = 0;
    for (;;) {
        while (*at == ' ' || *at == '\t' || *at == ',')
            at++;
        if (*at == 0)
            break;
        if (++seen > SL__RANGES_MAX)
            return 0;
        enum one one = read_range(&at, size, &ranges[count]);
        while (*at == ' ' || *at == '\t')
            at++;
        if (one == MALFORMED || (*at != ',' && *at != 0))
            return 0;
        if (one == SATISFIABLE) {
            total += ranges[count].last - ranges[count].first + 1;
            count++;
        }
        if (total > size)
            return 0;
    }
    return count ? count : seen ? -1 : 0;
}

/* Appends the part [first, last] of the segments. */
static void slice(const sl__piece *segments, size_t count, sl__range range, sl__piece *out, size_t *out_count)
{
    uint64_t start = 0;
    for (size_t i = 0; i < count && start <= range.last; start += segments[i++].size) {
        uint64_t end = start + segments[i].size;
        if (segments[i].size == 0 || end <= range.first)
            continue;
        uint64_t skip = range.first > start ? range.first - start : 0;
        uint64_t stop = range.last + 1 < end ? range.last + 1 : end;
        sl__piece part = segments[i];
        if (part.data)
            part.data += skip;
        else
            part.offset += skip;
        part.size = stop - start - skip;
        out[(*out_count)++] = part;
    }
}

static sl__piece text_segment(char *text)
{
    return (sl__piece){.data = text, .fd = -1, .size = strlen(text)};
}

static void make_multipart(sl_response *res, const sl__range *ranges, int count, uint64_t size)
{
    sl_arena *arena = res->request->arena;
    sl__piece *out = sl_arena_alloc(arena, ((size_t)count * (res->segment_count + 1) + 1) * sizeof(*out));
    size_t out_count = 0;
    uint64_t random[2];
    /* Chosen at random, so that nobody can write contents in which it occurs. */
    if (getrandom(random, sizeof(random), 0) != sizeof(random))
        random[0] = sl_monotonic_ns(), random[1] = res->request->id;
    char *boundary = sl_arena_printf(arena, "%016llx%016llx", (unsigned long long)random[0],
                                     (unsigned long long)random[1]);
    const sl__field *type_field = sl__fields_find(&res->fields, "Content-Type");
    const char *type = type_field ? type_field->value : res->type;
    for (int i = 0; i < count; i++) {
        out[out_count++] = text_segment(
            sl_arena_printf(arena, "%s--%s\r\n%s%s%sContent-Range: bytes %llu-%llu/%llu\r\n\r\n",
                            i ? "\r\n" : "", boundary, type ? "Content-Type: " : "", type ? type : "",
                            type ? "\r\n" : "", (unsigned long long)ranges[i].first,
                            (unsigned long long)ranges[i].last, (unsigned long long)size));
        slice(res->segments, res->segment_count, ranges[i], out, &out_count);
    }
    out[out_count++] = text_segment(sl_arena_printf(arena, "\r\n--%s--\r\n", boundary));
    res->segments = out;
    res->segment_count = out_count;
    sl__fields_remove(&res->fields, "Content-Type");
    res->type = sl_arena_printf(arena, "multipart/byteranges; boundary=%s", boundary);
}

static void make_single(sl_response *res, sl__range range, uint64_t size)
{
    sl_arena *arena = res->request->arena;
    sl__piece *out = sl_arena_alloc(arena, res->segment_count * sizeof(*out));
    size_t out_count = 0;
    slice(res->segments, res->segment_count, range, out, &out_count);
    res->segments = out;
    res->segment_count = out_count;
    sl__fields_put(arena, &res->fields, "Content-Range",
                   sl_arena_printf(arena, "bytes %llu-%llu/%llu", (unsigned long long)range.first,
                                   (unsigned long long)range.last, (unsigned long long)size));
}

void sl__ranges_apply(sl_response *res, const sl__range *ranges, int count, uint64_t size)
{
    sl__fields_remove(&res->fields, "Content-Length");
    if (count < 0) {
        res->status = 416;
        res->segment_count = 0;
        res->type = NULL;
        sl__fields_remove(&res->fields, "Content-Type");
        sl__fields_remove(&res->fields, "Content-Encoding");
        sl__fields_put(res->request->arena, &res->fields, "Content-Range",
                       sl_arena_printf(res->request->arena, "bytes */%llu", (unsigned long long)size));
        return;
    }
    res->status = 206;
    if (count == 1)
        make_single(res, ranges[0], size);
    else
        make_multipart(res, ranges, count, size);
}
