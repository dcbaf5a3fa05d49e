/* scan.c: the table of characters: for each byte the sum of the kinds that it belongs to. */
#include "http/scan.h"

#define T SL__CHAR_TOKEN
#define G SL__CHAR_TARGET
#define U SL__CHAR_UNRESERVED
#define H SL__CHAR_HOST
#define S SL__CHAR_SEGMENT
#define B SL__CHAR_BOUNDARY

const uint8_t sl__chars[256] = {
    ['0' ... '9'] = T | G | U | H | S | B,
    ['A' ... 'Z'] = T | G | U | H | S | B,
    ['a' ... 'z'] = T | G | U | H | S | B,
    [' '] = B,
    ['!'] = T | G | H | S,
    ['#'] = T,
    ['$'] = T | G | H | S,
    ['%'] = T | G,
    ['&'] = T | G | H | S,
    ['\''] = T | G | H | S | B,
    ['('] = G | H | S | B,
    [')'] = G | H | S | B,
    ['*'] = T | G | H | S,
    ['+'] = T | G | H | S | B,
    [','] = G | H | S | B,
    ['-'] = T | G | U | H | S | B,
    ['.'] = T | G | U | H | S | B,
    ['/'] = G | B,
    [':'] = G | S | B,
    [';'] = G | H | S,
    ['='] = G | H | S | B,
    ['?'] = G | B,
    ['@'] = G | S,
    ['['] = G,
    ['\\'] = G,
    [']'] = G,
    ['^'] = T | G,
    ['_'] = T | G | U | H | S | B,
    ['`'] = T | G,
    ['{'] = G,
    ['|'] = T | G,
    ['}'] = G,
    ['~'] = T | G | U | H | S,
};
