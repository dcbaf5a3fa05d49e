/* printed.h: what a child prints, line by line. */
#pragma once

#include <silver/base.h>

#define SL__PRINTED_LINE_MAX 4096 /* longer lines are cut */
#define SL__PRINTED_LAST 20       /* lines that are kept for the error, */
#define SL__PRINTED_LAST_BYTES 8192

typedef void sl__printed_fn(void *data, const char *line, size_t size);

typedef struct sl__printed {
    sl__printed_fn *told; /* called with each line, without its end */
    void *data;
    char *last[SL__PRINTED_LAST]; /* a ring: line number i is last[i % SL__PRINTED_LAST] */
    uint64_t count;
    size_t last_bytes;
    sl_buffer partial; /* the line that is not ended yet */
} sl__printed;

/* Takes what was read. */
void sl__printed_put(sl__printed *printed, const char *data, size_t size);
/* No more comes: the rest is a line too. */
void sl__printed_end(sl__printed *printed);
/* The last lines as text; empty where nothing was printed. */
void sl__printed_text(const sl__printed *printed, sl_buffer *out);
void sl__printed_done(sl__printed *printed);
