/* parser.c: the request head.
 *
 * One pass, line by line: a line is scanned from its start until its grammar is done, and only then changed
 * (the NULs) and noted. When the bytes end within a line, the parser returns and remembers how far it has
 * looked for the line's end; it scans that line again only once the end is there. So a head that comes whole
 * is read once, and one that comes byte by byte twice.
 *
 * What the lines say together (which framing, which host) is decided when the empty line has come. */
#include "http/parser.h"
#include "http/accept.h"
#include "http/scan.h"

enum {
    BEFORE, /* an empty line may come */
    REQUEST_LINE,
    FIELDS,
};

enum {
    SEEN_HOST = 1,
    SEEN_LENGTH = 2,
    SEEN_CODING = 4,
    SEEN_CONTINUE = 8, /* Expect: 100-continue */
    SEEN_UNMET = 16,   /* Expect: anything else */
    SEEN_CLOSE = 32,   /* Connection: */
    SEEN_KEEP_ALIVE = 64,
    SEEN_UPGRADE = 128,
};

/* Bounds that keep every size of a head within 32 bits. */
#define LIMIT_MAX (1u << 30)

void sl__parser_init(sl__parser *parser, sl__field *items, size_t capacity, const sl__head_limits *limits)
{
    *parser = (sl__parser){.fields = {items, 0, capacity}, .limits = *limits};
    if (parser->limits.request_line > LIMIT_MAX)
        parser->limits.request_line = LIMIT_MAX;
    if (parser->limits.header_size > LIMIT_MAX)
        parser->limits.header_size = LIMIT_MAX;
    if (parser->limits.header_count > capacity)
        parser->limits.header_count = capacity;
}

bool sl__parser_begun(const sl__parser *parser)
{
    return parser->state == FIELDS || parser->searched > parser->line_at;
}

static __attribute__((cold, noinline)) int refuse(const char **ret_reason, int status, const char *reason)
{
    *ret_reason = reason;
    return SL_HTTP(status);
}

#define REFUSE(parser, status, text) refuse(&(parser)->reason, (status), (text))

/* Whether no line of at most `limit` bytes, its end included, begins here. */
static bool beyond(const char *line, const char *end, size_t limit)
{
    return (size_t)(end - line) >= limit && !memchr(line, '\n', limit);
}

/* ---- The request line ---------------------------------------------------------------------------------- */

static sl__method method_of(const char *name, size_t size)
{
    static const char *const names[] = {"GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"};
    for (size_t i = 0; i < sl_array_size(names); i++) {
        if (strlen(names[i]) == size && memcmp(names[i], name, size) == 0)
            return (sl__method)i;
    }
    return SL__METHOD_OTHER;
}

static int refuse_method(sl__parser *p, const char *line, const char *at)
{
    if (at == line && (*at == '\r' || *at == '\n'))
        return REFUSE(p, 400, "there are several empty lines, or a lone CR or LF, before the request line");
    if (at == line)
        return REFUSE(p, 400, "the request line does not begin with a method");
    return REFUSE(p, 400, "the method is not a token followed by one space");
}

static int refuse_target(sl__parser *p, const char *target, const char *at)
{
    if (*at == '\r' || *at == '\n')
        return REFUSE(p, 400, "the request line has no HTTP version");
    if (at == target)
        return REFUSE(p, 400, "the method is not followed by one space and a request target");
    if (*at == '#')
        return REFUSE(p, 400, "the request target has a fragment");
    return REFUSE(p, 400, "the request target has a character that must be percent-encoded");
}

static int refuse_version(sl__parser *p, const char *at, const char *end)
{
    if (end - at < 8 || memcmp(at, "HTTP/", 5) != 0 || at[5] < '0' || at[5] > '9' || at[6] != '.' ||
        at[7] < '0' || at[7] > '9')
        return REFUSE(p, 400, "the request line does not end with a space and an HTTP version");
    if (at[5] != '1')
        return REFUSE(p, 505, "only versions 1.0 and 1.1 of HTTP are spoken here");
    return 0;
}

/* 1 when the line is done, 0 when its end has not come, or refused. */
static int parse_request_line(sl__parser *p, char *line, const char *end)
{
    char *at = line;
    while (at < end && sl__is(*at, SL__CHAR_TOKEN))
        at++;
    if (at == end)
        return 0;
    if (at == line || *at != ' ')
        return refuse_method(p, line, at);
    char *method_end = at, *target = ++at;

    while (at < end && sl__is(*at, SL__CHAR_TARGET))
        at++;
    if (at == end)
        return 0;
    if (at == target || *at != ' ')
        return refuse_target(p, target, at);
    char *target_end = at++;

    if (end - at < 10 && !memchr(at, '\n', (size_t)(end - at)))
        return 0;
    if (end - at < 10 || memcmp(at, "HTTP/1.1\r\n", 10) != 0) {
        int failed = refuse_version(p, at, end);
        if (failed < 0)
            return failed;
        if (end - at < 10 || at[8] != '\r' || at[9] != '\n')
            return REFUSE(p, 400, "the HTTP version is not followed by CR LF");
    }
    p->minor = at[7] != '0';
    p->method = line;
    p->method_id = method_of(line, (size_t)(method_end - line));
    p->target = target;
    p->target_size = (uint32_t)(target_end - target);
    *method_end = *target_end = 0;
    p->line_at += (size_t)(at + 10 - line);
    p->fields_at = p->line_at;
    return 1;
}

/* ---- Field lines --------------------------------------------------------------------------------------- */

static __attribute__((cold, noinline)) int refuse_name(const char **ret_reason, const char *line,
                                                       const char *at)
{
    if (at == line && (*at == ' ' || *at == '\t'))
        return refuse(ret_reason, 400, "a field line begins with white space: folded lines are not accepted");
    if (at == line && *at == ':')
        return refuse(ret_reason, 400, "a field has no name");
    if (*at == ' ' || *at == '\t')
        return refuse(ret_reason, 400, "there is white space between a field's name and its colon");
    if (*at == '\r' || *at == '\n')
        return refuse(ret_reason, 400, "a field line has no colon");
    return refuse(ret_reason, 400, "a field's name has a character that is not allowed in it");
}

static __attribute__((cold, noinline)) int refuse_value(const char **ret_reason, const char *at)
{
    if (*at == '\r')
        return refuse(ret_reason, 400, "there is a CR without LF in a field line");
    if (*at == '\n')
        return refuse(ret_reason, 400, "a field line ends with LF without CR");
    return refuse(ret_reason, 400, "there is a control character in a field's value");
}

/* The same for heads and trailers: 1 when the line is done, with the next one's start, 0 when its end has not
 * come. */
static inline int field_line(char *line, const char *end, sl__field *ret_field, char **ret_next,
                             const char **ret_reason)
{
    char *at = line;
    while (at < end && sl__is(*at, SL__CHAR_TOKEN))
        at++;
    if (at == end)
        return 0;
    if (*at != ':' || at == line)
        return refuse_name(ret_reason, line, at);
    char *name_end = at++;
    while (at < end && (*at == ' ' || *at == '\t'))
        at++;
    char *value = at;
    at = sl__scan_value(at, end);
    if (at == end)
        return 0;
    if (*at != '\r')
        return refuse_value(ret_reason, at);
    if (at + 1 == end)
        return 0;
    if (at[1] != '\n')
        return refuse_value(ret_reason, at);
    *ret_next = at + 2;
    while (at > value && (at[-1] == ' ' || at[-1] == '\t'))
        at--;
    *name_end = *at = 0;
    *ret_field = (sl__field){line, value, (uint32_t)(name_end - line), (uint32_t)(at - value)};
    return 1;
}

int sl__parse_field_line(char *data, size_t size, sl__field *ret_field, const char **ret_reason)
{
    char *next;
    int got = field_line(data, data + size, ret_field, &next, ret_reason);
    if (got < 0)
        return got;
    if (got == 0 || next != data + size)
        return refuse(ret_reason, 400, "a field line does not end with CR LF");
    return 0;
}

/* `name` is a token and `expected` of the same size, in small letters. Setting the bit 0x20 makes no other
 * token character a small letter or "-". */
static bool same_name(const char *name, const char *expected, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        if ((name[i] | 0x20) != expected[i])
            return false;
    }
    return true;
}

static int see_length(sl__parser *p, const sl__field *field)
{
    if (p->seen & SEEN_LENGTH)
        return REFUSE(p, 400, "there are several Content-Length fields");
    p->seen |= SEEN_LENGTH;
    if (field->value_size == 0)
        return REFUSE(p, 400, "the Content-Length is empty");
    uint64_t length = 0;
    for (const char *at = field->value; *at; at++) {
        unsigned digit = (unsigned)*at - '0';
        if (*at == ',')
            return REFUSE(p, 400, "the Content-Length is a list");
        if (digit > 9)
            return REFUSE(p, 400, "the Content-Length is not a decimal number");
        if (length > ((uint64_t)INT64_MAX - digit) / 10)
            return REFUSE(p, 400, "the Content-Length is too large for any body");
        length = length * 10 + digit;
    }
    p->content_length = length;
    return 0;
}

static int see_coding(sl__parser *p, const sl__field *field)
{
    if (p->seen & SEEN_CODING)
        return REFUSE(p, 400, "there are several Transfer-Encoding fields");
    p->seen |= SEEN_CODING;
    if (field->value_size != 7 || !same_name(field->value, "chunked", 7))
        return REFUSE(p, 400,
                      "the Transfer-Encoding is not just \"chunked\": no other transfer coding is accepted");
    return 0;
}

static int see_host(sl__parser *p, const sl__field *field)
{
    if (p->seen & SEEN_HOST)
        return REFUSE(p, 400, "there are several Host fields");
    p->seen |= SEEN_HOST;
    p->host_field = field->value;
    p->host_size = field->value_size;
    if (!sl__host_valid((sl_view){field->value, field->value_size}))
        return REFUSE(p, 400, "the Host field is not a host with or without a port");
    return 0;
}

static int see_connection(sl__parser *p, const sl__field *field)
{
    const char *cursor = field->value;
    sl_view option;
    while (sl__list_next(&cursor, &option)) {
        if (option.size == 5 && same_name(option.data, "close", 5))
            p->seen |= SEEN_CLOSE;
        else if (option.size == 10 && same_name(option.data, "keep-alive", 10))
            p->seen |= SEEN_KEEP_ALIVE;
        else if (option.size == 7 && same_name(option.data, "upgrade", 7))
            p->seen |= SEEN_UPGRADE;
    }
    return 0;
}

/* Notes those fields that say how to go on. */
static int see(sl__parser *p, const sl__field *field)
{
    const char *name = field->name;
    switch (field->name_size) {
    case 4:
        return same_name(name, "host", 4) ? see_host(p, field) : 0;
    case 6:
        if (same_name(name, "expect", 6))
            p->seen |= field->value_size == 12 && same_name(field->value, "100-continue", 12) ? SEEN_CONTINUE
                                                                                              : SEEN_UNMET;
        return 0;
    case 7:
        if (same_name(name, "upgrade", 7))
            p->upgrade_field = field->value;
        return 0;
    case 10:
        return same_name(name, "connection", 10) ? see_connection(p, field) : 0;
    case 14:
        return same_name(name, "content-length", 14) ? see_length(p, field) : 0;
    case 17:
        return same_name(name, "transfer-encoding", 17) ? see_coding(p, field) : 0;
    default:
        return 0;
    }
}

/* ---- The whole ----------------------------------------------------------------------------------------- */

static bool port_valid(const char *at, const char *end)
{
    if (end - at > 5)
        return false;
    unsigned port = 0;
    for (; at < end; at++) {
        if (*at < '0' || *at > '9')
            return false;
        port = port * 10 + (unsigned)(*at - '0');
    }
    return port <= 65535;
}

/* An IP-literal in brackets: an IPv6 address (or a later version's) by its characters. */
static const char *skip_literal(const char *at, const char *end)
{
    const char *start = ++at;
    while (at < end && (sl__hex(*at) >= 0 || *at == ':' || *at == '.'))
        at++;
    return at < end && *at == ']' && at - start >= 2 ? at + 1 : NULL;
}

static const char *skip_name(const char *at, const char *end)
{
    const char *start = at;
    for (; at < end && *at != ':'; at++) {
        if (*at == '%' && end - at >= 3 && sl__hex(at[1]) >= 0 && sl__hex(at[2]) >= 0)
            at += 2;
        else if (!sl__is(*at, SL__CHAR_HOST))
            return NULL;
    }
    return at > start ? at : NULL;
}

bool sl__host_valid(sl_view host)
{
    if (host.size == 0)
        return false;
    const char *end = host.data + host.size;
    const char *at = *host.data == '[' ? skip_literal(host.data, end) : skip_name(host.data, end);
    if (!at)
        return false;
    return at == end || (*at == ':' && port_valid(at + 1, end));
}

static void split_query(sl__parser *p, const char *path, const char *end)
{
    const char *mark = memchr(path, '?', (size_t)(end - path));
    p->raw_path = (sl_view){path, (size_t)((mark ? mark : end) - path)};
    p->query = mark ? (sl_view){mark + 1, (size_t)(end - mark - 1)} : (sl_view){end, 0};
}

static int split_absolute(sl__parser *p, const char *end)
{
    static const char scheme[] = "http";
    const char *at = p->target;
    for (size_t i = 0; i < 4; i++, at++) {
        if ((*at | 0x20) != scheme[i])
            return REFUSE(p, 400, "the request target is neither a path nor an http URL");
    }
    if ((*at | 0x20) == 's')
        at++;
    if (end - at < 3 || memcmp(at, "://", 3) != 0)
        return REFUSE(p, 400, "the request target is neither a path nor an http URL");
    const char *host = at + 3, *path = host;
    while (path < end && *path != '/' && *path != '?')
        path++;
    p->form = SL__TARGET_ABSOLUTE;
    p->host = (sl_view){host, (size_t)(path - host)};
    if (!sl__host_valid(p->host))
        return REFUSE(p, 400, "the request target has no valid host");
    split_query(p, path, end);
    if (p->raw_path.size == 0)
        p->raw_path = SL_VIEW("/");
    return 0;
}

static int split_target(sl__parser *p)
{
    const char *target = p->target, *end = target + p->target_size;
    p->host = (sl_view){p->host_field ? p->host_field : "", p->host_size};
    p->raw_path = p->query = (sl_view){end, 0};
    if (p->method_id == SL__METHOD_OTHER && strcmp(p->method, "CONNECT") == 0) {
        p->form = SL__TARGET_AUTHORITY;
        p->host = (sl_view){target, p->target_size};
        const char *colon = memrchr(target, ':', p->target_size);
        if (!colon || colon + 1 == end || !sl__host_valid(p->host))
            return REFUSE(p, 400, "the request target of CONNECT is not a host and a port");
        return 0;
    }
    if (*target == '/') {
        p->form = SL__TARGET_ORIGIN;
        split_query(p, target, end);
        return 0;
    }
    if (*target == '*' && p->target_size == 1) {
        p->form = SL__TARGET_ASTERISK;
        p->raw_path = (sl_view){target, 1};
        return p->method_id == SL__OPTIONS ? 0
                                           : REFUSE(p, 400, "the request target \"*\" is only for OPTIONS");
    }
    return split_absolute(p, end);
}

static int decide_framing(sl__parser *p)
{
    if (p->seen & SEEN_CODING) {
        if (p->seen & SEEN_LENGTH)
            return REFUSE(p, 400, "there are both a Content-Length and a Transfer-Encoding");
        if (p->minor == 0)
            return REFUSE(p, 400, "there is a Transfer-Encoding in an HTTP/1.0 request");
        p->framing = SL__FRAMING_CHUNKED;
    } else {
        p->framing = p->seen & SEEN_LENGTH ? SL__FRAMING_LENGTH : SL__FRAMING_NONE;
    }
    return 0;
}

static int finish(sl__parser *p)
{
    if (p->minor > 0 && !(p->seen & SEEN_HOST))
        return REFUSE(p, 400, "there is no Host field");
    int failed = decide_framing(p);
    if (failed < 0 || (failed = split_target(p)) < 0)
        return failed;
    if (p->minor > 0) {
        if (p->seen & SEEN_UNMET)
            return REFUSE(p, 417, "nothing but \"100-continue\" can be expected");
        p->keep_alive = !(p->seen & SEEN_CLOSE);
        p->upgrade = p->seen & SEEN_UPGRADE ? p->upgrade_field : NULL;
        p->expect_continue =
            (p->seen & SEEN_CONTINUE) && (p->framing == SL__FRAMING_CHUNKED || p->content_length > 0);
    } else {
        p->keep_alive = (p->seen & SEEN_KEEP_ALIVE) && !(p->seen & SEEN_CLOSE);
    }
    p->head_size = p->line_at;
    return 1;
}

/* The buffer has moved: so have the strings. */
static void move(sl__parser *p, char *data)
{
#define MOVE(pointer) ((pointer) = data + ((uintptr_t)(pointer) - (uintptr_t)p->base))
    if (p->state == FIELDS) {
        MOVE(p->method);
        MOVE(p->target);
        for (size_t i = 0; i < p->fields.count; i++) {
            MOVE(p->fields.items[i].name);
            MOVE(p->fields.items[i].value);
        }
        if (p->host_field)
            MOVE(p->host_field);
        if (p->upgrade_field)
            MOVE(p->upgrade_field);
    }
#undef MOVE
}

static int parse_start(sl__parser *p, char *data, size_t size)
{
    if (size == 0 || (size == 1 && *data == '\r'))
        return 0;
    if (data[0] == '\r' && data[1] == '\n')
        p->line_at = p->searched = 2;
    p->state = REQUEST_LINE;
    return 1;
}

static int step_request_line(sl__parser *p, char *data, size_t size)
{
    char *line = data + p->line_at;
    int got = line < data + size ? parse_request_line(p, line, data + size) : 0;
    if (got > 0 ? p->line_at > (size_t)(line - data) + p->limits.request_line + 2
                : beyond(line, data + size, p->limits.request_line + 2))
        return REFUSE(p, 414, "the request line is longer than the server's limit, request_line");
    if (got > 0)
        p->state = FIELDS;
    return got;
}

/* All field lines that are there: 1 at the empty line after them. */
static int step_fields(sl__parser *p, char *data, size_t size)
{
    const char *end = data + size;
    for (;;) {
        char *line = data + p->line_at, *next;
        size_t left = p->limits.header_size - (p->line_at - p->fields_at);
        if (line == end)
            return 0;
        if (*line == '\r' && (end - line < 2 || line[1] == '\n')) {
            if (end - line < 2)
                return 0;
            p->line_at += 2;
            return finish(p);
        }
        sl__field field;
        int got = field_line(line, end, &field, &next, &p->reason);
        if (got > 0 ? (size_t)(next - line) > left : beyond(line, end, left + (got == 0)))
            return REFUSE(p, 431, "the fields are longer than the server's limit, header_size");
        if (got <= 0)
            return got;
        if (p->fields.count == p->limits.header_count)
            return REFUSE(p, 431, "there are more fields than the server's limit, header_count");
        p->fields.items[p->fields.count++] = field;
        p->line_at = (size_t)(next - data);
        if ((got = see(p, &field)) < 0)
            return got;
    }
}

int sl__parser_feed(sl__parser *p, char *data, size_t size)
{
    if (p->refused)
        return p->refused;
    if (p->base && p->base != data)
        move(p, data);
    p->base = data;

    int got = 1;
    if (p->state == BEFORE)
        got = parse_start(p, data, size);
    if (got <= 0)
        return got;
    /* A line that was looked at and had no end is looked at again only when it has one, or has become too
     * long. */
    if (p->searched > p->line_at && p->searched < size &&
        !memchr(data + p->searched, '\n', size - p->searched)) {
        size_t limit = p->state == FIELDS ? p->limits.header_size - (p->line_at - p->fields_at) + 1
                                          : p->limits.request_line + 2;
        if (size - p->line_at < limit) {
            p->searched = size;
            return 0;
        }
    }
    if (p->state == REQUEST_LINE)
        got = step_request_line(p, data, size);
    if (got > 0)
        got = step_fields(p, data, size);
    if (got == 0)
        p->searched = size;
    if (got < 0)
        p->refused = got;
    return got;
}

const sl__field *sl__fields_find(const sl__fields *fields, const char *name)
{
    size_t size = strlen(name);
    for (size_t i = 0; i < fields->count; i++) {
        const sl__field *field = &fields->items[i];
        if (field->name_size == size &&
            sl_view_equal_nocase((sl_view){field->name, size}, (sl_view){name, size}))
            return field;
    }
    return NULL;
}
