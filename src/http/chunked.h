/* chunked.h: a body in chunks, RFC 9112 section 7.1.
 *
 * The decoder copies nothing: each call gives the next piece of content as a view of the input, and moves the
 * input past it. Only trailer lines, which are few and limited, are kept.
 *
 *     while ((got = sl__chunked_next(&chunked, &input, &piece)) == SL__CHUNK_DATA)
 *         use(piece);
 *
 * SL__CHUNK_MORE: the input is used up. SL__CHUNK_END: the body is complete, and the input is what follows
 * it. Negative: SL_HTTP(400 or 431) with chunked.reason; the connection cannot be used any more.
 *
 * Extensions are skipped, and limited: per chunk, and for the whole body against many small chunks with long
 * extensions. */
#pragma once

#include "http/message.h"

#define SL__CHUNK_EXTENSION_MAX 1024   /* bytes of one chunk's line after its size */
#define SL__CHUNK_EXTENSIONS_MAX 16384 /* bytes of all of them in one body */

enum {
    SL__CHUNK_MORE = 0,
    SL__CHUNK_DATA = 1,
    SL__CHUNK_END = 2,
};

typedef struct sl__chunked {
    sl__fields trailers; /* after SL__CHUNK_END: without those that may not stand in a trailer; until
                            sl__chunked_done */
    const char *reason;  /* why it was refused; static */

    /* The decoder's own. */
    size_t trailer_size, trailer_count; /* limits */
    uint8_t state, digits;
    bool spaces;
    int refused;
    uint64_t left;
    size_t extension, extensions;
    sl_buffer lines;
} sl__chunked;

/* Limits of the trailers: bytes of their lines, and how many. */
void sl__chunked_init(sl__chunked *chunked, size_t trailer_size, size_t trailer_count);
int sl__chunked_next(sl__chunked *chunked, sl_view *input, sl_view *ret_piece);
void sl__chunked_done(sl__chunked *chunked);

/* Whether a field of this name may stand in a trailer: not those of framing, routing, authentication,
 * conditions and the content's format (RFC 9110, section 6.5.1). */
bool sl__trailer_allowed(const char *name);
