/* The same value by each codec, there and back. */
#include "letter.h"

#include <stdio.h>

static void through(const sl_codec *codec, const struct letter *letter)
{
    sl_buffer bytes = {0};
    sl_arena *arena = sl_arena_new();
    SL_AUTO_ERROR sl_error *error = NULL;
    void *value;
    if (codec->encode(letter_record(), letter, &bytes, NULL, &error) < 0 ||
        codec->decode(letter_record(), (sl_view){bytes.data, bytes.size}, /* borrow= */ false, NULL, arena,
                      &value, &error) < 0) {
        printf("%s: %s\n", codec->name, error->message);
    } else {
        const struct letter *copy = value;
        printf("%s: %zu bytes, to %s\n", codec->name, bytes.size, copy->to.items[0].name);
        sl_record_done(letter_record(), value);
    }
    sl_arena_free(arena);
    sl_buffer_done(&bytes);
}

int main(void)
{
    struct person friends[] = {{"Bea", 31}};
    struct letter letter = {.from = {"Ada", 36}, .to = {1, friends}, .stamp = {"\x01\x02", 2}};
    through(&sl_codec_flat, &letter);
    through(&sl_codec_json, &letter);
    letter.to.items[0].name = NULL;
    through(&sl_codec_flat, &letter);
    return 0;
}
