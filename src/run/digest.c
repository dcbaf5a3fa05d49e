/* digest.c: names made of contents. */
#include "run/digest.h"

#include <openssl/evp.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* OpenSSL fails here only without memory, or in an installation that lacks SHA-256: nothing could go on. */
static void must(int ok)
{
    if (!ok)
        abort();
}

void digest_init(struct digest *digest)
{
    digest->context = EVP_MD_CTX_new();
    must(digest->context && EVP_DigestInit_ex(digest->context, EVP_sha256(), NULL));
}

void digest_put(struct digest *digest, const void *data, size_t size)
{
    uint64_t length = size;
    must(EVP_DigestUpdate(digest->context, &length, sizeof(length)));
    must(EVP_DigestUpdate(digest->context, data, size));
}

void digest_puts(struct digest *digest, const char *string)
{
    digest_put(digest, string, strlen(string));
}

void digest_text(struct digest *digest, char *out)
{
    static const char digits[] = "0123456789abcdef";
    unsigned char bytes[EVP_MAX_MD_SIZE];
    must(EVP_DigestFinal_ex(digest->context, bytes, NULL));
    EVP_MD_CTX_free(digest->context);
    digest->context = NULL;
    for (size_t i = 0; out && i < DIGEST_TEXT_SIZE / 2; i++) {
        out[2 * i] = digits[bytes[i] >> 4];
        out[2 * i + 1] = digits[bytes[i] & 15];
    }
    if (out)
        out[DIGEST_TEXT_SIZE - 1] = '\0';
}
