/* wire.h: gives an input to a decoder whole, byte by byte, and cut in two at every place, and expects the
 * same each time. A decoder is shown as text: what it made of the input. */
#pragma once

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <silver/base.h>
#include <stdlib.h>

/* Gives data[0, first) to a new decoder, then pieces of `step` bytes, and returns what came out. */
typedef char *wire_run(const void *context, const char *data, size_t size, size_t first, size_t step);

/* A copy without a NUL behind it, so that the sanitizer sees a read too far. */
static inline char *wire_copy(const char *data, size_t size)
{
    char *copy = sl_malloc(size ? size : 1);
    memcpy(copy, data, size);
    return copy;
}

static inline void wire_same(const char *expected, char *got, const char *input, size_t first, size_t step)
{
    if (strcmp(expected, got) != 0)
        fail_msg("input %s\nat %zu, step %zu\nexpected %s\ngot      %s", input, first, step, expected, got);
    free(got);
}

static inline void wire_check(wire_run *run, const void *context, const char *data, size_t size,
                              const char *expected)
{
    wire_same(expected, run(context, data, size, size, 1), data, size, 0);
    wire_same(expected, run(context, data, size, 0, 1), data, 0, 1);
    for (size_t first = 1; first < size; first++)
        wire_same(expected, run(context, data, size, first, size), data, first, size);
}
