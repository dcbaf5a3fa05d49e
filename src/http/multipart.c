/* multipart.c: parts between delimiters.
 *
 * The delimiter is CR LF "--" boundary, and CR stands only at its beginning. So where a comparison fails, the
 * bytes that had matched are content for certain, and the search begins anew with the byte that failed; and
 * bytes that matched at the end of one piece of input need not be kept, because they are those of the
 * delimiter itself. */
#include "http/multipart.h"
#include "http/accept.h"
#include "http/parser.h"
#include "http/scan.h"

#include <strings.h>

enum {
    PREAMBLE, /* before the first delimiter */
    AFTER,    /* what follows a delimiter: "--", padding or CR */
    AFTER_DASH,
    AFTER_PADDING,
    AFTER_LF,
    HEADER, /* the first byte of a header line or of the empty line */
    HEADER_LINE,
    HEADER_LF,
    HEADER_LAST_LF,
    CONTENT,
    EPILOGUE,
    REFUSED,
};

#define PADDING_MAX 64

static int refuse(sl__multipart *p, int status, const char *reason)
{
    p->state = REFUSED;
    p->reason = reason;
    return p->refused = SL_HTTP(status);
}

/* ---- Beginning ----------------------------------------------------------------------------------------- */

static bool boundary_valid(sl_view boundary)
{
    if (boundary.size == 0 || boundary.size > SL__MULTIPART_BOUNDARY_MAX)
        return false;
    for (size_t i = 0; i < boundary.size; i++) {
        if (!sl__is(boundary.data[i], SL__CHAR_BOUNDARY))
            return false;
    }
    return boundary.data[boundary.size - 1] != ' ';
}

int sl__multipart_init(sl__multipart *p, const char *content_type, const sl__multipart_limits *limits)
{
    *p = (sl__multipart){.limits = limits ? *limits : (sl__multipart_limits){0}};
    p->limits.parts = p->limits.parts ? p->limits.parts : 100;
    p->limits.header_size = p->limits.header_size ? p->limits.header_size : 4096;
    p->limits.header_count = p->limits.header_count ? p->limits.header_count : 16;

    sl_view value = sl_view_of(content_type), boundary;
    sl_view type = {value.data, strcspn(value.data, "; \t")};
    if (!sl_view_equal_nocase(type, SL_VIEW("multipart/form-data")))
        return refuse(p, 415, "the body is not multipart/form-data");
    bool quoted;
    /* No character of a boundary needs a backslash, and a backslash itself is none. */
    if (sl__parameter(value, "boundary", &boundary, &quoted) <= 0 || !boundary_valid(boundary))
        return refuse(p, 400, "multipart/form-data has no proper boundary of 1 to 70 characters");
    memcpy(p->delimiter, "\r\n--", 4);
    memcpy(p->delimiter + 4, boundary.data, boundary.size);
    p->delimiter_size = (uint8_t)(4 + boundary.size);
    p->matched = 2; /* the first delimiter may stand at the very beginning */
    return 0;
}

void sl__multipart_done(sl__multipart *p)
{
    sl_buffer_done(&p->lines);
    sl_buffer_done(&p->text);
    *p =
        (sl__multipart){.state = REFUSED, .refused = SL_HTTP(400), .reason = "the form is not read any more"};
}

/* ---- Delimiters ---------------------------------------------------------------------------------------- */

enum {
    USED_UP,
    FOUND,
    SOME, /* content, in p->data */
};

static void skip(sl_view *input, size_t size)
{
    input->data += size;
    input->size -= size;
}

/* Where the delimiter stands, or may begin at the input's end; else `end`. */
static const char *candidate(const sl__multipart *p, const char *at, const char *end)
{
    for (; at < end && (at = memchr(at, '\r', (size_t)(end - at))); at++) {
        size_t left = (size_t)(end - at);
        if (memcmp(at, p->delimiter, left < p->delimiter_size ? left : p->delimiter_size) == 0)
            return at;
    }
    return end;
}

static int find_delimiter(sl__multipart *p, sl_view *input)
{
    while (p->matched > 0 && p->matched < p->delimiter_size && input->size > 0) {
        if (*input->data != p->delimiter[p->matched]) {
            p->data = (sl_view){p->delimiter, p->matched};
            p->matched = 0;
            return SOME;
        }
        p->matched++;
        skip(input, 1);
    }
    if (p->matched < p->delimiter_size && input->size == 0)
        return USED_UP;
    if (p->matched == 0) {
        const char *end = input->data + input->size, *at = candidate(p, input->data, end);
        size_t before = (size_t)(at - input->data);
        if (before > 0) {
            p->data = (sl_view){input->data, before};
            skip(input, before);
            return SOME;
        }
        p->matched = (uint8_t)(input->size < p->delimiter_size ? input->size : p->delimiter_size);
        skip(input, p->matched);
    }
    if (p->matched < p->delimiter_size)
        return USED_UP;
    p->matched = 0;
    return FOUND;
}

static int preamble(sl__multipart *p, sl_view *input)
{
    int got = find_delimiter(p, input);
    if (got == SOME && (p->preamble += p->data.size) > SL__MULTIPART_PREAMBLE_MAX)
        return refuse(p, 400, "the form does not begin with its boundary");
    if (got == FOUND)
        p->state = AFTER;
    return 0;
}

static int content(sl__multipart *p, sl_view *input)
{
    int got = find_delimiter(p, input);
    if (got == FOUND) {
        p->state = AFTER;
        return SL__PART_FINISH;
    }
    return got == SOME ? SL__PART_DATA : 0;
}

/* One byte of what follows a delimiter. */
static int after(sl__multipart *p, char byte)
{
    if (p->state == AFTER_DASH) {
        if (byte != '-')
            return refuse(p, 400, "a boundary is followed by a single dash");
        p->state = EPILOGUE;
        return SL__PART_LAST;
    }
    if (p->state == AFTER_LF) {
        if (byte != '\n')
            return refuse(p, 400, "there is a CR without LF after a boundary");
        p->padding = 0;
        if (++p->count > p->limits.parts)
            return refuse(p, 413, "the form has more parts than the limit");
        p->lines.size = 0;
        p->state = HEADER;
        return 0;
    }
    if (byte == '\r') {
        p->state = AFTER_LF;
    } else if (byte == '-' && p->state == AFTER) {
        p->state = AFTER_DASH;
    } else if ((byte == ' ' || byte == '\t') && p->padding < PADDING_MAX) {
        p->state = AFTER_PADDING;
        p->padding++;
    } else {
        return refuse(p, 400, "a boundary is followed by something else on its line");
    }
    return 0;
}

/* ---- The header of a part ------------------------------------------------------------------------------ */

/* Takes what there is of a line, up to its CR. */
static int take_line(sl__multipart *p, sl_view *input)
{
    const char *cr = memchr(input->data, '\r', input->size);
    size_t size = cr ? (size_t)(cr - input->data) + 1 : input->size;
    if (memchr(input->data, '\n', size))
        return refuse(p, 400, "a line of a part's header ends with LF without CR");
    /* One byte is left for the LF. */
    if (size >= p->limits.header_size - p->lines.size)
        return refuse(p, 413, "the header of a part is longer than the limit");
    sl_buffer_put(&p->lines, input->data, size);
    skip(input, size);
    p->state = cr ? HEADER_LF : HEADER_LINE;
    return 0;
}

/* Appends the value of a quoted string (or token). Browsers send backslashes as they are, so only those that
 * were needed are taken off. */
static const char *unquote(sl_buffer *text, sl_view value, bool quoted)
{
    size_t start = text->size;
    for (size_t i = 0; i < value.size; i++) {
        if (quoted && value.data[i] == '\\' && i + 1 < value.size &&
            (value.data[i + 1] == '"' || value.data[i + 1] == '\\'))
            i++;
        sl_buffer_putc(text, value.data[i]);
    }
    sl_buffer_put(text, "", 1);
    return text->data + start;
}

/* Appends an extended value (RFC 8187), UTF-8''na%C3%AFve. NULL if it is malformed or of another charset. */
static const char *unquote_extended(sl_buffer *text, sl_view value)
{
    size_t start = text->size;
    const char *at = value.data, *end = at + value.size;
    if (value.size < 7 || strncasecmp(at, "UTF-8'", 6) != 0)
        return NULL;
    at = memchr(at + 6, '\'', value.size - 6);
    if (!at)
        return NULL;
    for (at++; at < end; at++) {
        char byte = *at;
        if (byte == '%') {
            if (end - at < 3 || sl__hex(at[1]) < 0 || sl__hex(at[2]) < 0)
                return NULL;
            byte = (char)(sl__hex(at[1]) << 4 | sl__hex(at[2]));
            at += 2;
        }
        if (byte == 0)
            return NULL;
        sl_buffer_putc(text, byte);
    }
    sl_buffer_put(text, "", 1);
    return text->data + start;
}

static bool text_valid(const char *text)
{
    for (const char *at = text; *at; at++) {
        if (sl__is_control(*at))
            return false;
    }
    return sl_utf8_valid(text, strlen(text));
}

/* The last part of a path of whichever system; "" for what names a directory. */
static const char *base_name(const char *path)
{
    const char *base = path;
    for (const char *at = path; *at; at++) {
        if (*at == '/' || *at == '\\')
            base = at + 1;
    }
    return strcmp(base, ".") == 0 || strcmp(base, "..") == 0 ? "" : base;
}

static int parse_filename(sl__multipart *p, sl_view value)
{
    sl_view raw, extended;
    bool quoted, ignored;
    int got = sl__parameter(value, "filename", &raw, &quoted);
    int got_extended = sl__parameter(value, "filename*", &extended, &ignored);
    if (got < 0 || got_extended < 0)
        return refuse(p, 400, "a part's Content-Disposition has several filenames");
    const char *name = NULL;
    if (got_extended > 0 && !(name = unquote_extended(&p->text, extended)))
        return refuse(p, 400, "a part's filename* is not UTF-8 in percent-encoding");
    if (!name && got > 0)
        name = unquote(&p->text, raw, quoted);
    if (name && !text_valid(name))
        return refuse(p, 400, "a part's filename is not UTF-8 or has control characters");
    p->part.filename = name ? base_name(name) : NULL;
    return 0;
}

static int parse_disposition(sl__multipart *p, const sl__field *field)
{
    sl_view value = {field->value, field->value_size}, raw;
    bool quoted;
    if (p->part.name)
        return refuse(p, 400, "a part has several Content-Disposition fields");
    sl_view kind = {value.data, strcspn(value.data, "; \t")};
    if (!sl_view_equal_nocase(kind, SL_VIEW("form-data")))
        return refuse(p, 400, "a part's Content-Disposition is not form-data");
    if (sl__parameter(value, "name", &raw, &quoted) <= 0)
        return refuse(p, 400, "a part's Content-Disposition has no name, several, or is malformed");
    /* Room for all strings at once: they must not move. */
    p->text.size = 0;
    sl_buffer_reserve(&p->text, value.size + 4);
    p->part.name = unquote(&p->text, raw, quoted);
    if (!text_valid(p->part.name))
        return refuse(p, 400, "a part's name is not UTF-8 or has control characters");
    return parse_filename(p, value);
}

static int parse_field(sl__multipart *p, const sl__field *field)
{
    if (strcasecmp(field->name, "Content-Disposition") == 0)
        return parse_disposition(p, field);
    if (strcasecmp(field->name, "Content-Type") == 0) {
        if (p->part.type)
            return refuse(p, 400, "a part has several Content-Type fields");
        p->part.type = field->value;
    } else if (strcasecmp(field->name, "Content-Transfer-Encoding") == 0) {
        if (strcasecmp(field->value, "binary") != 0 && strcasecmp(field->value, "8bit") != 0 &&
            strcasecmp(field->value, "7bit") != 0)
            return refuse(p, 400, "a part has a Content-Transfer-Encoding, which forms do not use");
    }
    return 0;
}

/* The lines do not move any more: they become what the caller wants to know. */
static int parse_header(sl__multipart *p)
{
    p->part = (sl__part){0};
    char *line = p->lines.data, *end = line ? line + p->lines.size : NULL;
    for (size_t count = 0; line < end; count++) {
        if (count == p->limits.header_count)
            return refuse(p, 413, "the header of a part has more lines than the limit");
        char *next = (char *)memchr(line, '\n', (size_t)(end - line)) + 1;
        sl__field field;
        const char *reason;
        if (sl__parse_field_line(line, (size_t)(next - line), &field, &reason) < 0)
            return refuse(p, 400, reason);
        int failed = parse_field(p, &field);
        if (failed < 0)
            return failed;
        line = next;
    }
    if (!p->part.name)
        return refuse(p, 400, "a part has no Content-Disposition");
    p->state = CONTENT;
    return SL__PART_BEGIN;
}

static int header(sl__multipart *p, sl_view *input)
{
    char byte = *input->data;
    if (p->state == HEADER_LINE || (p->state == HEADER && byte != '\r'))
        return take_line(p, input);
    skip(input, 1);
    if (p->state == HEADER) {
        p->state = HEADER_LAST_LF;
        return 0;
    }
    if (byte != '\n')
        return refuse(p, 400, "there is a CR without LF in a part's header");
    if (p->state == HEADER_LAST_LF)
        return parse_header(p);
    sl_buffer_putc(&p->lines, byte);
    p->state = HEADER;
    return 0;
}

/* ---- The whole ----------------------------------------------------------------------------------------- */

int sl__multipart_next(sl__multipart *p, sl_view *input)
{
    if (p->state == REFUSED)
        return p->refused;
    int got = 0;
    while (got == 0 && input->size > 0) {
        switch (p->state) {
        case PREAMBLE:
            got = preamble(p, input);
            break;
        case CONTENT:
            got = content(p, input);
            break;
        case EPILOGUE:
            skip(input, input->size);
            break;
        case AFTER:
        case AFTER_DASH:
        case AFTER_PADDING:
        case AFTER_LF: {
            char byte = *input->data;
            skip(input, 1);
            got = after(p, byte);
            break;
        }
        default:
            got = header(p, input);
        }
    }
    return got;
}
