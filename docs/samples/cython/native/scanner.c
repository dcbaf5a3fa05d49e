/* scanner.c: see scanner.h. */
#include "scanner.h"

#include <ctype.h>
#include <stdbool.h>

static bool in_word(char c)
{
    return isalpha((unsigned char)c) || c == '_' || (unsigned char)c >= 0x80;
}

static double number_of(const char *text, size_t size)
{
    double number = 0;
    for (size_t i = 0; i < size; i++)
        number = number * 10 + (text[i] - '0');
    return number;
}

/* How many characters from here on belong together. */
static size_t extent(const char *text, size_t size)
{
    size_t length = 1;
    if (in_word(text[0]))
        while (length < size && in_word(text[length]))
            length++;
    else if (isdigit((unsigned char)text[0]))
        while (length < size && isdigit((unsigned char)text[length]))
            length++;
    return length;
}

int scan(const char *text, size_t size, const struct scanner_callbacks *callbacks, void *data)
{
    unsigned line = 1;
    for (size_t at = 0, length; at < size; at += length) {
        const char *here = text + at;
        int result = 0;
        length = extent(here, size - at);
        if (in_word(*here) && callbacks->on_word)
            result = callbacks->on_word(data, here, length, line);
        else if (isdigit((unsigned char)*here) && callbacks->on_number)
            result = callbacks->on_number(data, number_of(here, length), line);
        else if (*here == '\n' && callbacks->on_line)
            result = callbacks->on_line(data, line);
        line += *here == '\n';
        if (result != 0)
            return result;
    }
    return 0;
}
