/* url.c: percent-decoding that cannot be misunderstood.
 *
 * A path is decoded in two sweeps over the output: escapes first, then segments. Both only ever shrink what
 * they read, so they work in place. */
#include "http/url.h"
#include "http/scan.h"

static int refuse(const char **ret_reason, int status, const char *reason)
{
    *ret_reason = reason;
    return SL_HTTP(status);
}

/* The byte that "%XX" at `at` stands for, or -1. */
static int unescape(const char *at, const char *end)
{
    if (end - at < 3)
        return -1;
    int high = sl__hex(at[1]), low = sl__hex(at[2]);
    return high < 0 || low < 0 ? -1 : high << 4 | low;
}

/* ---- Paths --------------------------------------------------------------------------------------------- */

/* Whether the text that was just decoded ends with "%2F" in letters: the '%' or the rest of it came out of an
 * escape. */
static bool ends_with_slash_escape(const char *start, const char *at)
{
    return at - start >= 3 && at[-3] == '%' && at[-2] == '2' && (at[-1] | 0x20) == 'f';
}

static int decode_escapes(sl_view raw, char *out, size_t *ret_size, const char **ret_reason)
{
    const char *at = raw.data, *end = at + raw.size;
    char *to = out;
    while (at < end) {
        int byte = (uint8_t)*at;
        size_t used = 1;
        if (byte == '%') {
            byte = unescape(at, end);
            used = 3;
            if (byte < 0)
                return refuse(ret_reason, 400,
                              "the path has a \"%\" that is not followed by two hexadecimal digits");
        }
        if (sl__is_control((char)byte))
            return refuse(ret_reason, 400, "the path has a control character");
        at += used;
        if (byte == '/' && used == 3) {
            memcpy(to, "%2F", 3);
            to += 3;
            continue;
        }
        *to++ = (char)byte;
        if (ends_with_slash_escape(out, to))
            return refuse(ret_reason, 400, "the path has a doubly encoded slash");
    }
    *ret_size = (size_t)(to - out);
    return 0;
}

/* Takes the last segment off what ends with a slash. */
static char *parent(const char *start, char *to)
{
    to--;
    while (to > start && to[-1] != '/')
        to--;
    return to > start ? to : to + 1;
}

/* RFC 3986, section 5.2.4, and runs of slashes. `path` starts with a slash, and so does each segment that is
 * read here. */
static size_t resolve_segments(char *path, size_t size)
{
    char *at = path + 1, *end = path + size, *to = path + 1;
    while (at < end) {
        char *slash = memchr(at, '/', (size_t)(end - at));
        char *next = slash ? slash + 1 : end;
        size_t length = (size_t)((slash ? slash : end) - at);
        if (length == 2 && at[0] == '.' && at[1] == '.') {
            to = parent(path, to);
        } else if (length > 0 && !(length == 1 && *at == '.')) {
            memmove(to, at, (size_t)(next - at));
            to += next - at;
        }
        at = next;
    }
    return (size_t)(to - path);
}

int sl__url_path(sl_view raw, char *out, size_t *ret_size, const char **ret_reason)
{
    if (raw.size == 0 || raw.data[0] != '/')
        return refuse(ret_reason, 400, "the path does not begin with a slash");
    size_t size;
    int failed = decode_escapes(raw, out, &size, ret_reason);
    if (failed < 0)
        return failed;
    if (!sl_utf8_valid(out, size))
        return refuse(ret_reason, 400, "the path is not UTF-8");
    size = resolve_segments(out, size);
    out[size] = 0;
    *ret_size = size;
    return 0;
}

size_t sl__url_slashes(char *segment)
{
    char *to = segment;
    for (const char *at = segment; *at; to++) {
        bool slash = at[0] == '%' && at[1] == '2' && (at[2] | 0x20) == 'f';
        *to = slash ? '/' : *at;
        at += slash ? 3 : 1;
    }
    *to = 0;
    return (size_t)(to - segment);
}

/* ---- Pairs --------------------------------------------------------------------------------------------- */

/* Decodes a name or a value to `to`; returns its end, or NULL with the reason. */
static char *decode_text(const char *at, const char *end, char *to, const char **ret_reason)
{
    char *start = to;
    bool plain = true;
    while (at < end) {
        int byte = (uint8_t)*at;
        if (byte == '+') {
            byte = ' ';
        } else if (byte == '%') {
            byte = unescape(at, end);
        }
        if (byte <= 0) {
            *ret_reason = byte ? "there is a \"%\" that is not followed by two hexadecimal digits"
                               : "there is a NUL in the parameters";
            return NULL;
        }
        at += *at == '%' ? 3 : 1;
        plain = plain && byte < 0x80;
        *to++ = (char)byte;
    }
    if (!plain && !sl_utf8_valid(start, (size_t)(to - start))) {
        *ret_reason = "the parameters are not UTF-8";
        return NULL;
    }
    *to = 0;
    return to;
}

/* Decodes one "name=value" to *to, which is moved past it. */
static int decode_pair(const char *at, const char *end, char **to, sl__pair *ret_pair,
                       const char **ret_reason)
{
    const char *equals = memchr(at, '=', (size_t)(end - at));
    char *name = *to, *name_end = decode_text(at, equals ? equals : end, name, ret_reason);
    if (!name_end)
        return SL_HTTP(400);
    char *value = name_end, *value_end = name_end;
    if (equals) {
        value++;
        value_end = decode_text(equals + 1, end, value, ret_reason);
        if (!value_end)
            return SL_HTTP(400);
    }
    *to = value_end + 1;
    *ret_pair = (sl__pair){name, value, (size_t)(name_end - name), (size_t)(value_end - value)};
    return 0;
}

static size_t count_pieces(sl_view raw)
{
    size_t count = 0;
    const char *at = raw.data, *end = at + raw.size;
    while (at < end) {
        const char *next = memchr(at, '&', (size_t)(end - at));
        next = next ? next : end;
        count += next > at;
        at = next < end ? next + 1 : end;
    }
    return count;
}

int sl__url_pairs(sl_arena *arena, sl_view raw, size_t max, sl__pairs *ret_pairs, const char **ret_reason)
{
    size_t count = count_pieces(raw);
    if (count > max)
        return refuse(ret_reason, 413, "there are more parameters than the limit");
    sl__pairs pairs = {.count = 0};
    if (count > 0) {
        /* Each piece takes its bytes and one NUL: the one after a name stands where "=" was. */
        char *to = sl_arena_alloc(arena, raw.size + count);
        pairs.items = sl_arena_alloc(arena, count * sizeof *pairs.items);
        for (const char *at = raw.data, *end = at + raw.size; at < end;) {
            const char *next = memchr(at, '&', (size_t)(end - at));
            next = next ? next : end;
            if (next > at) {
                int failed = decode_pair(at, next, &to, &pairs.items[pairs.count], ret_reason);
                if (failed < 0)
                    return failed;
                pairs.count++;
            }
            at = next < end ? next + 1 : end;
        }
    }
    *ret_pairs = pairs;
    return 0;
}

const sl__pair *sl__pairs_find(const sl__pairs *pairs, const char *name, size_t i)
{
    sl_view wanted = sl_view_of(name);
    for (size_t at = 0; at < pairs->count; at++) {
        const sl__pair *pair = &pairs->items[at];
        if (sl_view_equal((sl_view){pair->name, pair->name_size}, wanted) && i-- == 0)
            return pair;
    }
    return NULL;
}

/* ---- Encoding ------------------------------------------------------------------------------------------ */

static void put_encoded(sl_buffer *out, const char *text, size_t size, unsigned kind)
{
    static const char digits[] = "0123456789ABCDEF";
    sl_buffer_reserve(out, size);
    for (const char *at = text, *end = text + size; at < end;) {
        const char *plain = at;
        while (at < end && sl__is(*at, kind))
            at++;
        sl_buffer_put(out, plain, (size_t)(at - plain));
        if (at < end) {
            const char escape[3] = {'%', digits[(uint8_t)*at >> 4], digits[*at & 15]};
            sl_buffer_put(out, escape, 3);
            at++;
        }
    }
}

/* Whether sl__url_path would give this segment back. */
static bool expressible(const char *text, size_t size)
{
    if (size == 0 || (text[0] == '.' && (size == 1 || (size == 2 && text[1] == '.'))))
        return false;
    for (size_t i = 0; i < size; i++) {
        if (sl__is_control(text[i]) || (i > 1 && ends_with_slash_escape(text, text + i + 1)))
            return false;
    }
    return sl_utf8_valid(text, size);
}

int sl__url_put_segment(sl_buffer *out, const char *text, size_t size)
{
    if (!expressible(text, size))
        return SL_EINVAL;
    put_encoded(out, text, size, SL__CHAR_SEGMENT);
    return 0;
}

int sl__url_put_path(sl_buffer *out, const char *text, size_t size)
{
    size_t before = out->size;
    for (const char *at = text, *end = text + size; at < end;) {
        const char *slash = memchr(at, '/', (size_t)(end - at));
        size_t length = (size_t)((slash ? slash : end) - at);
        if (sl__url_put_segment(out, at, length) < 0) {
            out->size = before;
            if (out->data)
                out->data[before] = 0;
            return SL_EINVAL;
        }
        if (slash)
            sl_buffer_putc(out, '/');
        at = slash ? slash + 1 : end;
    }
    return 0;
}

void sl__url_put_query(sl_buffer *out, const char *text, size_t size)
{
    put_encoded(out, text, size, SL__CHAR_UNRESERVED);
}
