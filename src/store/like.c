/* like.c: patterns, as the databases take them.
 *
 * SQLite's LIKE takes no notice of case; its GLOB does, and is used instead: * for %, ? for _, and a wild
 * card that stands for itself in brackets. PostgreSQL's LIKE is case-sensitive in any collation that we meet,
 * and can use what indexes there are for it (text_pattern_ops, trigrams), so that it is asked with LIKE in
 * all cases, the text escaped.
 *
 * SQLite cannot use an index for a GLOB whose pattern is a parameter, short of compiling the statement anew
 * for each pattern. The text with which all that match begin, and the smallest one after all of those, are
 * the bounds of a range, for which it can. The order is that of code points, which in UTF-8 is that of bytes.
 */
#include "store/compile.h"

static bool is_wild(sl__like_kind kind)
{
    return kind == SL__LIKE_PATTERN || kind == SL__LIKE_NOCASE;
}

/* The next character of a pattern: *ret_wild says whether it is a wild card. NUL at the end. */
static char next(const char **at, sl__like_kind kind, bool *ret_wild)
{
    char c = **at;
    *ret_wild = false;
    if (c == '\0')
        return c;
    (*at)++;
    if (!is_wild(kind))
        return c;
    *ret_wild = c == '%' || c == '_';
    if (c == '\\' && **at)
        return *(*at)++;
    return c;
}

bool sl__like_is_broken(const char *pattern)
{
    const char *at = pattern;
    for (; *at; at++)
        if (*at == '\\' && *++at == '\0')
            return true;
    return false;
}

size_t sl__like_to_glob(const char *pattern, sl__like_kind kind, char *out)
{
    char *end = out;
    bool wild;
    if (kind == SL__LIKE_SUFFIX || kind == SL__LIKE_CONTAINS)
        *end++ = '*';
    for (char c; (c = next(&pattern, kind, &wild));) {
        if (wild) {
            *end++ = c == '%' ? '*' : '?';
        } else if (c == '*' || c == '?' || c == '[') {
            *end++ = '[';
            *end++ = c;
            *end++ = ']';
        } else {
            *end++ = c;
        }
    }
    if (kind == SL__LIKE_PREFIX || kind == SL__LIKE_CONTAINS)
        *end++ = '*';
    *end = '\0';
    return (size_t)(end - out);
}

size_t sl__like_to_like(const char *pattern, sl__like_kind kind, char *out)
{
    char *end = out;
    bool wild;
    if (kind == SL__LIKE_SUFFIX || kind == SL__LIKE_CONTAINS)
        *end++ = '%';
    for (char c; (c = next(&pattern, kind, &wild));) {
        if (!wild && (c == '%' || c == '_' || c == '\\'))
            *end++ = '\\';
        *end++ = c;
    }
    if (kind == SL__LIKE_PREFIX || kind == SL__LIKE_CONTAINS)
        *end++ = '%';
    *end = '\0';
    return (size_t)(end - out);
}

size_t sl__like_start(const char *pattern, sl__like_kind kind, char *out)
{
    char *end = out;
    bool wild = false;
    if (kind != SL__LIKE_SUFFIX && kind != SL__LIKE_CONTAINS)
        for (char c; (c = next(&pattern, kind, &wild)) && !wild;)
            *end++ = c;
    *end = '\0';
    return (size_t)(end - out);
}

/* ---- What comes after ---------------------------------------------------------------------------------- */

static uint32_t code_point(const unsigned char *at, size_t size)
{
    static const unsigned char masks[] = {0, 0x7f, 0x1f, 0x0f, 0x07};
    uint32_t code = at[0] & masks[size];
    for (size_t i = 1; i < size; i++)
        code = code << 6 | (at[i] & 0x3f);
    return code;
}

static size_t put_code_point(unsigned char *at, uint32_t code)
{
    if (code < 0x80) {
        at[0] = (unsigned char)code;
        return 1;
    }
    size_t size = code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    static const unsigned char heads[] = {0, 0, 0xc0, 0xe0, 0xf0};
    for (size_t i = size - 1; i > 0; i--, code >>= 6)
        at[i] = (unsigned char)(0x80 | (code & 0x3f));
    at[0] = (unsigned char)(heads[size] | code);
    return size;
}

size_t sl__like_after(char *text, size_t size)
{
    if (!sl_utf8_valid(text, size))
        return 0;
    while (size > 0) {
        size_t last = size - 1;
        while (((unsigned char)text[last] & 0xc0) == 0x80)
            last--;
        uint32_t code = code_point((unsigned char *)text + last, size - last);
        if (code < 0x10ffff) {
            code = code == 0xd7ff ? 0xe000 : code + 1; /* surrogates are no characters */
            size = last + put_code_point((unsigned char *)text + last, code);
            text[size] = '\0';
            return size;
        }
        size = last; /* nothing comes after the last character that there is */
    }
    return 0;
}
