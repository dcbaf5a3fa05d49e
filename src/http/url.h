/* url.h: paths and queries, RFC 3986 and the form encoding of the URL standard.
 *
 * A decoded path is safe to route by and to look up as a file:
 *  - escapes are decoded once; a broken one is refused, and so are control characters (NUL first of all) and
 *    what is not UTF-8 in the end;
 *  - an encoded slash is never a separator: it stays "%2F" in the decoded path, so "a%2Fb" is one segment.
 * What would decode to the text "%2F" or "%2f" by another way (a double encoding, "%252F") is refused, so
 * that nothing has two meanings. sl__url_slashes turns a segment into what was meant once the path was split;
 *  - "." and ".." segments are resolved after decoding ("%2e%2e" is ".."), never above the root; and slashes
 * in a row are one. */
#pragma once

#include <silver/base.h>

/* Decodes a raw path, which starts with "/" (sl__parser.raw_path). `out` has room for raw.size + 1 bytes, and
 * may be raw.data itself; it is NUL-terminated. 0, or SL_HTTP(400) with the reason (static). */
int sl__url_path(sl_view raw, char *out, size_t *ret_size, const char **ret_reason);
/* In one segment of a decoded path: each "%2F" becomes "/". Returns the new size; NUL-terminated again. */
size_t sl__url_slashes(char *segment);

/* A name and its value, decoded, UTF-8, without NULs but NUL-terminated. */
typedef struct sl__pair {
    const char *name, *value;
    size_t name_size, value_size;
} sl__pair;

typedef struct sl__pairs {
    sl__pair *items;
    size_t count;
} sl__pairs;

/* Parses name=value&…, a query or a body of application/x-www-form-urlencoded, into the arena: "+" is a
 * space, a name without "=" has the value "", empty pieces between "&" are skipped. Names may repeat, the
 * order is kept. At most `max` pairs: beyond it SL_HTTP(413); a broken escape, a NUL or what is not UTF-8 is
 * SL_HTTP(400); each with the reason. */
int sl__url_pairs(sl_arena *arena, sl_view raw, size_t max, sl__pairs *ret_pairs, const char **ret_reason);
/* The i-th value of that name (compared exactly), or NULL. */
const sl__pair *sl__pairs_find(const sl__pairs *pairs, const char *name, size_t i);

/* Append encoded text. Everything but unreserved characters (and in a segment : @ ! $ & ' ( ) * + , ; =) is
 * escaped, the slash too. SL_EINVAL for what no path can hold as one segment: "", ".", "..", control
 * characters, what is not UTF-8, and the text "%2F" itself. */
int sl__url_put_segment(sl_buffer *out, const char *text, size_t size);
/* The same for several segments with slashes between them, as {name...} matches: the slashes stay. SL_EINVAL
 * likewise, but empty text and a slash at the end are fine. */
int sl__url_put_path(sl_buffer *out, const char *text, size_t size);
/* A name or a value in a query: only unreserved characters are left. */
void sl__url_put_query(sl_buffer *out, const char *text, size_t size);
