/* chunked.c: the decoder is a small state machine that reads lines byte by byte and content in whole pieces.
 * The state says what the next byte has to be, so that the input may be cut anywhere. */
#include "http/chunked.h"
#include "http/parser.h"
#include "http/scan.h"

#include <stdlib.h>
#include <strings.h>

enum {
    SIZE,      /* the first digit of a chunk's size */
    DIGITS,    /* more of them */
    EXTENSION, /* what follows the size */
    SIZE_LF,   /* the LF of the size's line */
    CONTENT,
    CONTENT_CR,
    CONTENT_LF,
    TRAILER, /* the first byte of a trailer line or of the last, empty line */
    TRAILER_LINE,
    TRAILER_LF,
    LAST_LF,
    END,
    REFUSED,
};

void sl__chunked_init(sl__chunked *chunked, size_t trailer_size, size_t trailer_count)
{
    *chunked = (sl__chunked){.trailer_size = trailer_size, .trailer_count = trailer_count};
}

void sl__chunked_done(sl__chunked *chunked)
{
    sl_buffer_done(&chunked->lines);
    free(chunked->trailers.items);
    *chunked =
        (sl__chunked){.state = REFUSED, .refused = SL_HTTP(400), .reason = "the body is not read any more"};
}

static int refuse(sl__chunked *c, int status, const char *reason)
{
    c->state = REFUSED;
    c->reason = reason;
    return c->refused = SL_HTTP(status);
}

/* ---- Trailers ------------------------------------------------------------------------------------------ */

bool sl__trailer_allowed(const char *name)
{
    static const char *const forbidden[] = {
        "age",
        "authorization",
        "cache-control",
        "connection",
        "cookie",
        "date",
        "early-data",
        "expect",
        "expires",
        "forwarded",
        "from",
        "host",
        "keep-alive",
        "location",
        "max-forwards",
        "origin",
        "pragma",
        "range",
        "referer",
        "retry-after",
        "set-cookie",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "vary",
        "via",
        "warning",
        "www-authenticate",
    };
    static const char *const prefixes[] = {"accept", "content-", "if-", "proxy-", "sec-", "x-forwarded-"};
    for (size_t i = 0; i < sl_array_size(forbidden); i++) {
        if (strcasecmp(name, forbidden[i]) == 0)
            return false;
    }
    for (size_t i = 0; i < sl_array_size(prefixes); i++) {
        if (strncasecmp(name, prefixes[i], strlen(prefixes[i])) == 0)
            return false;
    }
    return true;
}

static void keep_trailer(sl__chunked *c, const sl__field *field)
{
    sl__fields *trailers = &c->trailers;
    if (trailers->count == trailers->capacity) {
        trailers->capacity = trailers->capacity ? trailers->capacity * 2 : 4;
        trailers->items = sl_realloc(trailers->items, trailers->capacity * sizeof *trailers->items);
    }
    trailers->items[trailers->count++] = *field;
}

/* The lines do not move any more: they become fields. */
static int parse_trailers(sl__chunked *c)
{
    char *line = c->lines.data, *end = line ? line + c->lines.size : NULL;
    for (size_t count = 0; line < end; count++) {
        if (count == c->trailer_count)
            return refuse(c, 431, "there are more trailer fields than the limit");
        char *next = (char *)memchr(line, '\n', (size_t)(end - line)) + 1;
        sl__field field;
        const char *reason;
        if (sl__parse_field_line(line, (size_t)(next - line), &field, &reason) < 0)
            return refuse(c, 400, reason);
        if (sl__trailer_allowed(field.name))
            keep_trailer(c, &field);
        line = next;
    }
    c->state = END;
    return SL__CHUNK_END;
}

/* Takes what there is of a line, up to its CR. */
static int take_trailer(sl__chunked *c, sl_view *input)
{
    const char *cr = memchr(input->data, '\r', input->size);
    size_t size = cr ? (size_t)(cr - input->data) + 1 : input->size;
    if (memchr(input->data, '\n', size))
        return refuse(c, 400, "a trailer line ends with LF without CR");
    if (size > c->trailer_size - c->lines.size)
        return refuse(c, 431, "the trailer fields are longer than the limit");
    sl_buffer_put(&c->lines, input->data, size);
    input->data += size;
    input->size -= size;
    c->state = cr ? TRAILER_LF : TRAILER_LINE;
    return 0;
}

static int end_trailer(sl__chunked *c, char byte)
{
    if (byte != '\n')
        return refuse(c, 400, "there is a CR without LF in a trailer line");
    if (c->lines.size == c->trailer_size)
        return refuse(c, 431, "the trailer fields are longer than the limit");
    sl_buffer_putc(&c->lines, byte);
    c->state = TRAILER;
    return 0;
}

/* ---- Chunks -------------------------------------------------------------------------------------------- */

static int size_digit(sl__chunked *c, char byte)
{
    int digit = sl__hex(byte);
    if (digit < 0 && c->state == SIZE)
        return refuse(c, 400, "a chunk does not begin with its size in hexadecimal digits");
    if (digit < 0) {
        if (byte != '\r' && byte != ';' && byte != ' ' && byte != '\t')
            return refuse(c, 400, "a chunk's size is followed by something that is no extension");
        c->state = byte == '\r' ? SIZE_LF : EXTENSION;
        c->extension = c->spaces = byte == ' ' || byte == '\t';
        return 0;
    }
    if (c->state == SIZE) {
        c->left = 0;
        c->digits = 0;
    }
    if (++c->digits > 16 || c->left > (uint64_t)INT64_MAX >> 4)
        return refuse(c, 400, "a chunk's size is too large");
    c->left = c->left << 4 | (unsigned)digit;
    c->state = DIGITS;
    return 0;
}

/* White space may stand before the first semicolon, but not instead of it. */
static int skip_extension(sl__chunked *c, char byte)
{
    if (byte == '\r') {
        if (c->spaces)
            return refuse(c, 400, "a chunk's size is followed by white space");
        c->state = SIZE_LF;
        return 0;
    }
    if (sl__is_control(byte) && byte != '\t')
        return refuse(c, 400, "there is a control character, or LF without CR, in a chunk's extension");
    if (c->spaces && byte != ' ' && byte != '\t') {
        if (byte != ';')
            return refuse(c, 400, "a chunk's size is followed by something that is no extension");
        c->spaces = false;
    }
    if (++c->extension > SL__CHUNK_EXTENSION_MAX || ++c->extensions > SL__CHUNK_EXTENSIONS_MAX)
        return refuse(c, 400, "the extensions of the body's chunks are too long");
    return 0;
}

static int step(sl__chunked *c, char byte)
{
    switch (c->state) {
    case SIZE:
    case DIGITS:
        return size_digit(c, byte);
    case EXTENSION:
        return skip_extension(c, byte);
    case SIZE_LF:
        if (byte != '\n')
            return refuse(c, 400, "there is a CR without LF after a chunk's size");
        c->state = c->left ? CONTENT : TRAILER;
        return 0;
    case CONTENT_CR:
        if (byte != '\r')
            return refuse(c, 400, "a chunk is not followed by CR LF: it is longer than its size");
        c->state = CONTENT_LF;
        return 0;
    case CONTENT_LF:
        if (byte != '\n')
            return refuse(c, 400, "a chunk is not followed by CR LF");
        c->state = SIZE;
        return 0;
    case TRAILER_LF:
        return end_trailer(c, byte);
    case LAST_LF:
        return byte == '\n' ? parse_trailers(c)
                            : refuse(c, 400, "there is a CR without LF after the last chunk");
    default:
        return refuse(c, 400, "the body is not read any more");
    }
}

int sl__chunked_next(sl__chunked *c, sl_view *input, sl_view *ret_piece)
{
    if (c->state == REFUSED)
        return c->refused;
    while (c->state != END && input->size > 0) {
        int got = 0;
        if (c->state == CONTENT) {
            size_t size = c->left < input->size ? (size_t)c->left : input->size;
            *ret_piece = (sl_view){input->data, size};
            input->data += size;
            input->size -= size;
            c->left -= size;
            c->state = c->left ? CONTENT : CONTENT_CR;
            return SL__CHUNK_DATA;
        }
        if (c->state == TRAILER && *input->data != '\r') {
            got = take_trailer(c, input);
        } else if (c->state == TRAILER_LINE) {
            got = take_trailer(c, input);
        } else {
            char byte = *input->data++;
            input->size--;
            if (c->state == TRAILER)
                c->state = LAST_LF;
            else
                got = step(c, byte);
        }
        if (got != 0)
            return got;
    }
    return c->state == END ? SL__CHUNK_END : SL__CHUNK_MORE;
}
