/* base64.c: four characters for each three bytes. */
#include "base/base64.h"

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void sl__base64_put(sl_buffer *out, const char *data, size_t size)
{
    const unsigned char *bytes = (const unsigned char *)data;
    sl_buffer_reserve(out, (size + 2) / 3 * 4);
    for (size_t i = 0; i < size; i += 3) {
        size_t left = size - i;
        uint32_t bits = (uint32_t)bytes[i] << 16;
        if (left > 1)
            bits |= (uint32_t)bytes[i + 1] << 8;
        if (left > 2)
            bits |= bytes[i + 2];
        char four[4] = {alphabet[bits >> 18], alphabet[bits >> 12 & 63],
                        left > 1 ? alphabet[bits >> 6 & 63] : '=', left > 2 ? alphabet[bits & 63] : '='};
        sl_buffer_put(out, four, sizeof four);
    }
}

static unsigned padding(const char *text, size_t size)
{
    if (size == 0 || text[size - 1] != '=')
        return 0;
    return text[size - 2] == '=' ? 2 : 1;
}

int sl__base64_size(const char *text, size_t size, size_t *ret_size)
{
    if (size % 4)
        return SL_EPARSE;
    *ret_size = size / 4 * 3 - padding(text, size);
    return 0;
}

static int value_of(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

int sl__base64_get(const char *text, size_t size, char *out)
{
    unsigned padded = padding(text, size);
    for (size_t i = 0; i < size; i += 4) {
        unsigned given = i + 4 == size ? 4 - padded : 4;
        uint32_t bits = 0;
        for (unsigned k = 0; k < 4; k++) {
            int value = k < given ? value_of(text[i + k]) : 0;
            if (value < 0)
                return SL_EPARSE;
            bits = bits << 6 | (uint32_t)value;
        }
        for (unsigned k = 0; k + 1 < given; k++)
            *out++ = (char)(bits >> (16 - 8 * k));
        if (bits & (0xFFFFFFu >> 8 * (given - 1))) /* 6 bits a character, 8 a byte: what is left over */
            return SL_EPARSE;
    }
    return 0;
}
