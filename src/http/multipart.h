/* multipart.h: forms with files, multipart/form-data (RFC 7578, RFC 2046).
 *
 * The body is given piece by piece as it comes, cut anywhere, and comes out as parts. Contents are views of
 * the input (or of the parser, never longer than a boundary): nothing is gathered but a part's header lines.
 *
 *     while ((got = sl__multipart_next(&parser, &input)) > 0)
 *         switch (got) …
 *
 * SL__PART_BEGIN: parser.part is known. SL__PART_DATA: parser.data is the next piece of its content.
 * SL__PART_FINISH: it is whole. SL__PART_LAST: so is the form. 0: the input is used up. Negative: SL_HTTP(400
 * or 413) with parser.reason.
 *
 * A body that ends before SL__PART_LAST was cut off: refuse it. */
#pragma once

#include "http/message.h"

#define SL__MULTIPART_BOUNDARY_MAX 70 /* RFC 2046, section 5.1.1 */
#define SL__MULTIPART_PREAMBLE_MAX 1024

enum {
    SL__PART_BEGIN = 1,
    SL__PART_DATA,
    SL__PART_FINISH,
    SL__PART_LAST,
};

typedef struct sl__multipart_limits {
    size_t parts;        /* beyond it 413; 0 is 100 */
    size_t header_size;  /* bytes of one part's header lines, beyond it 413; 0 is 4096 */
    size_t header_count; /* of one part, beyond it 413; 0 is 16 */
} sl__multipart_limits;

/* What a part's header says. Strings live until the call after SL__PART_FINISH. */
typedef struct sl__part {
    const char *name;     /* UTF-8 */
    const char *filename; /* UTF-8, without directories and control characters; "" where a browser sends an
                             empty file field; NULL for a plain field */
    const char *type;     /* the Content-Type, or NULL */
} sl__part;

typedef struct sl__multipart {
    sl__part part;
    sl_view data;
    const char *reason; /* static */

    /* The parser's own. */
    sl__multipart_limits limits;
    char delimiter[4 + SL__MULTIPART_BOUNDARY_MAX]; /* CR LF - - boundary */
    uint8_t delimiter_size, matched, state, padding;
    int refused;
    size_t count, preamble;
    sl_buffer lines;
    sl_buffer text; /* decoded parameters */
} sl__multipart;

/* `content_type` is the request's field value, with its boundary parameter. 0, SL_HTTP(415) if it is another
 * type, or SL_HTTP(400) without a proper boundary, with the reason. `limits` may be NULL. */
int sl__multipart_init(sl__multipart *parser, const char *content_type, const sl__multipart_limits *limits);
int sl__multipart_next(sl__multipart *parser, sl_view *input);
void sl__multipart_done(sl__multipart *parser);
