/* digest.h: names made of contents (SHA-256, half of it), for the runtime directory and the build cache. */
#pragma once

#include <stddef.h>

#define DIGEST_TEXT_SIZE 33 /* 128 bits in hexadecimal, and a NUL */

struct digest {
    struct evp_md_ctx_st *context;
};

void digest_init(struct digest *digest);
/* Adds bytes together with their number, so that "ab" + "c" and "a" + "bc" differ. */
void digest_put(struct digest *digest, const void *data, size_t size);
void digest_puts(struct digest *digest, const char *string);
/* The digest is used up by it; with `out` NULL it is only dropped. */
void digest_text(struct digest *digest, char *out);
