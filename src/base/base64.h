/* base64.h: RFC 4648, section 4: the ordinary alphabet, padded. */
#pragma once

#include <silver/base.h>

void sl__base64_put(sl_buffer *out, const char *data, size_t size);
/* How many bytes the text stands for. 0, or SL_EPARSE when its length is not a multiple of 4. */
int sl__base64_size(const char *text, size_t size, size_t *ret_size);
/* Writes those bytes. 0, or SL_EPARSE: strictly, also what lies behind the last bit must be zero. */
int sl__base64_get(const char *text, size_t size, char *out);
