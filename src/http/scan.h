/* scan.h: what kind of character a byte is, and how far a field value reaches. */
#pragma once

#include <silver/base.h>
#if defined(__SSE2__)
#include <emmintrin.h>
#endif

enum {
    SL__CHAR_TOKEN = 1,      /* RFC 9110, section 5.6.2 */
    SL__CHAR_TARGET = 2,     /* in a request target: visible ASCII but " # < > */
    SL__CHAR_UNRESERVED = 4, /* RFC 3986: letters, digits, - . _ ~ */
    SL__CHAR_HOST = 8,       /* unreserved and sub-delims */
    SL__CHAR_SEGMENT = 16,   /* unreserved, sub-delims, : and @ */
    SL__CHAR_BOUNDARY = 32,  /* RFC 2046, section 5.1.1 */
};
extern const uint8_t sl__chars[256];

static inline bool sl__is(char c, unsigned kinds)
{
    return (sl__chars[(uint8_t)c] & kinds) != 0;
}

/* The value of a hexadecimal digit, or -1. */
static inline int sl__hex(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static inline bool sl__is_control(char c)
{
    return (uint8_t)c < 0x20 || c == 0x7f;
}

/* The first control character but HTAB from `at`, or `end`. */
static inline char *sl__scan_value_plain(char *at, const char *end)
{
    while (at < end && (!sl__is_control(*at) || *at == '\t'))
        at++;
    return at;
}

static inline char *sl__scan_value(char *at, const char *end)
{
#if defined(__SSE2__)
    const __m128i last_control = _mm_set1_epi8(0x1f), tab = _mm_set1_epi8('\t'), del = _mm_set1_epi8(0x7f);
    for (; end - at >= 16; at += 16) {
        __m128i bytes = _mm_loadu_si128((const __m128i *)(const void *)at);
        __m128i control = _mm_cmpeq_epi8(_mm_max_epu8(bytes, last_control), last_control);
        control =
            _mm_or_si128(_mm_andnot_si128(_mm_cmpeq_epi8(bytes, tab), control), _mm_cmpeq_epi8(bytes, del));
        int found = _mm_movemask_epi8(control);
        if (found)
            return at + __builtin_ctz((unsigned)found);
    }
#endif
    return sl__scan_value_plain(at, end);
}
