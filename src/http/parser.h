/* parser.h: the head of an HTTP/1.1 request, RFC 9112 and RFC 9110 to the letter.
 *
 * The parser works in place on the connection's buffer: it ends the method, the target, and each name and
 * value with a NUL over the delimiter that followed, and the fields point into the buffer. The same bytes may
 * be given again at another address, with more behind them (the buffer grew and moved): what was parsed is
 * not read again.
 *
 *     sl__parser_init(&parser, items, capacity, &limits);
 *     int got = sl__parser_feed(&parser, data, size);
 *
 * `data` are all bytes since the request's first. 1: the head is complete, parser.head_size bytes, and the
 * body follows. 0: more bytes are needed. Negative: refuse with sl_code_status(got) and parser.reason, and
 * close.
 *
 * Nothing ambiguous is repaired. The one latitude of the standard that is taken is one empty line before the
 * request line. The one latitude of our own is in the target: [ ] { } | \ ^ and ` are let through, because
 * browsers leave them unescaped. */
#pragma once

#include "http/message.h"

typedef enum sl__framing {
    SL__FRAMING_NONE,    /* no body */
    SL__FRAMING_LENGTH,  /* content_length bytes (may be 0) */
    SL__FRAMING_CHUNKED, /* see chunked.h */
} sl__framing;

typedef enum sl__target_form {
    SL__TARGET_ORIGIN,    /* /path?query */
    SL__TARGET_ABSOLUTE,  /* http://host/path?query */
    SL__TARGET_AUTHORITY, /* host:port, of CONNECT only: the caller refuses it */
    SL__TARGET_ASTERISK,  /* *, of OPTIONS only; raw_path is "*" */
} sl__target_form;

typedef struct sl__head_limits {
    size_t request_line; /* bytes without the line's end: beyond it 414 */
    size_t header_size;  /* bytes of all field lines with their ends: beyond it 431 */
    size_t header_count; /* field lines: beyond it, or beyond the capacity of `fields`, 431 */
} sl__head_limits;

typedef struct sl__parser {
    /* Valid once sl__parser_feed has returned 1, and as long as the buffer stays where it is. */
    const char *method, *target; /* NUL-terminated */
    sl__method method_id;
    sl__target_form form;
    uint8_t minor;    /* 0 or 1; a higher minor version counts as 1 */
    sl_view raw_path; /* of the target: not decoded (see url.h), starts with "/", not NUL-terminated */
    sl_view query; /* what follows the first "?", to the target's end, thus NUL-terminated; "" without one */
    /* With its port: of an absolute target if it is one, else of the Host field; empty if there is none
     * (HTTP/1.0). NUL-terminated only if it is of the Host field: copy it from an absolute target. */
    sl_view host;
    sl__fields fields;
    sl__framing framing;
    uint64_t content_length;
    bool keep_alive;      /* as the client wishes */
    bool expect_continue; /* 100 (Continue) is waited for: there is a body and the client speaks HTTP/1.1 */
    const char *upgrade;  /* the Upgrade field's value if Connection names it (HTTP/1.1), else NULL */
    size_t head_size;     /* bytes up to the body, a leading empty line included */
    const char *reason;   /* why it was refused; static */

    /* The parser's own. */
    sl__head_limits limits;
    char *base;       /* where the request began at the last call */
    size_t line_at;   /* where the first unparsed line begins */
    size_t searched;  /* no line ends between line_at and here */
    size_t fields_at; /* where the field lines begin */
    uint8_t state;
    uint8_t seen; /* which fields and which of their options were there */
    int refused;  /* what the last call returned, if it was negative */
    uint32_t target_size;
    const char *host_field, *upgrade_field;
    uint32_t host_size;
} sl__parser;

/* Prepares for the next request. `items` are `capacity` fields of the caller's: they hold the result. */
void sl__parser_init(sl__parser *parser, sl__field *items, size_t capacity, const sl__head_limits *limits);
/* 1: the head is complete. 0: more is needed. Negative: SL_HTTP(400, 414, 417, 431 or 505), with `reason`. */
int sl__parser_feed(sl__parser *parser, char *data, size_t size);
/* Whether the request has begun: something other than the leading empty line has come. */
bool sl__parser_begun(const sl__parser *parser);

/* The first field of this name (compared without case), or NULL. */
const sl__field *sl__fields_find(const sl__fields *fields, const char *name);

/* Parses one field line, [data, data + size) with its CRLF at the end and no other, in place. 0, or
 * SL_HTTP(400) with the reason. Also for trailers and the parts of a multipart body. */
int sl__parse_field_line(char *data, size_t size, sl__field *ret_field, const char **ret_reason);
/* Whether it is host or host:port as RFC 3986 has it, not empty. */
bool sl__host_valid(sl_view host);
