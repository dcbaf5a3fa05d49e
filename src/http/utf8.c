/* utf8.c: UTF-8 that comes in pieces. The state says what the next byte has to be; runs of ASCII are skipped
 * eight bytes at a time. */
#include "http/ws_frame.h"

enum {
    COMPLETE = SL__UTF8_COMPLETE,
    ONE, /* more continuation bytes, 80 … BF, to come */
    TWO,
    THREE,
    AFTER_E0, /* A0 … BF and one more: nothing overlong */
    AFTER_ED, /* 80 … 9F and one more: no surrogates */
    AFTER_F0, /* 90 … BF and two more: nothing overlong */
    AFTER_F4, /* 80 … 8F and two more: nothing above U+10FFFF */
    WRONG,
};

static uint8_t first_byte(uint8_t byte)
{
    if (byte < 0x80)
        return COMPLETE;
    if (byte < 0xc2)
        return WRONG;
    if (byte < 0xe0)
        return ONE;
    if (byte < 0xf0)
        return byte == 0xe0 ? AFTER_E0 : byte == 0xed ? AFTER_ED : TWO;
    if (byte < 0xf5)
        return byte == 0xf0 ? AFTER_F0 : byte == 0xf4 ? AFTER_F4 : THREE;
    return WRONG;
}

static uint8_t next_byte(uint8_t state, uint8_t byte)
{
    static const struct {
        uint8_t low, high, next;
    } rules[] = {
        [ONE] = {0x80, 0xbf, COMPLETE}, [TWO] = {0x80, 0xbf, ONE},      [THREE] = {0x80, 0xbf, TWO},
        [AFTER_E0] = {0xa0, 0xbf, ONE}, [AFTER_ED] = {0x80, 0x9f, ONE}, [AFTER_F0] = {0x90, 0xbf, TWO},
        [AFTER_F4] = {0x80, 0x8f, TWO},
    };
    if (state == COMPLETE)
        return first_byte(byte);
    return byte >= rules[state].low && byte <= rules[state].high ? rules[state].next : WRONG;
}

bool sl__utf8_check(uint8_t *state, const void *data, size_t size)
{
    const uint8_t *at = data, *end = at + size;
    uint8_t now = *state;
    while (at < end) {
        uint64_t eight;
        if (now == COMPLETE && end - at >= 8) {
            memcpy(&eight, at, 8);
            if ((eight & 0x8080808080808080u) == 0) {
                at += 8;
                continue;
            }
        }
        now = next_byte(now, *at++);
        if (now == WRONG)
            return false;
    }
    *state = now;
    return true;
}
