/* scanner.h: reads a text once and tells what is in it, by callbacks. Any C library with a table of callbacks
 * looks much like this. */
#pragma once

#include <stddef.h>

struct scanner_callbacks {
    /* Each gets the `data` that scan() was given. A result other than 0 ends the scan. NULL: not wanted. */
    int (*on_word)(void *data, const char *word, size_t size, unsigned line);
    int (*on_number)(void *data, double number, unsigned line);
    int (*on_line)(void *data, unsigned line);
};

/* 0; or what a callback gave to end it. */
int scan(const char *text, size_t size, const struct scanner_callbacks *callbacks, void *data);
