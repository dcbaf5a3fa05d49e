/* The request head: what is understood, what is refused and why, cut at every place. */
#include "wire.h"
#include "http/parser.h"
#include "http/scan.h"

static const sl__head_limits generous = {8192, 32768, 100};

static void show(sl_buffer *out, const sl__parser *p)
{
    static const char *const framings[] = {"none", "length", "chunked"};
    static const char *const forms[] = {"origin", "absolute", "authority", "asterisk"};
    sl_buffer_printf(out, "%s %s %s 1.%d path=%.*s query=%.*s host=%.*s %s", p->method, p->target,
                     forms[p->form], p->minor, (int)p->raw_path.size, p->raw_path.data, (int)p->query.size,
                     p->query.data, (int)p->host.size, p->host.data, framings[p->framing]);
    if (p->framing == SL__FRAMING_LENGTH)
        sl_buffer_printf(out, "=%llu", (unsigned long long)p->content_length);
    sl_buffer_puts(out, p->keep_alive ? " keep" : " close");
    if (p->expect_continue)
        sl_buffer_puts(out, " continue");
    if (p->upgrade)
        sl_buffer_printf(out, " upgrade=%s", p->upgrade);
    for (size_t i = 0; i < p->fields.count; i++) {
        const sl__field *field = &p->fields.items[i];
        assert_int_equal(strlen(field->name), field->name_size);
        assert_int_equal(strlen(field->value), field->value_size);
        sl_buffer_printf(out, " [%s|%s]", field->name, field->value);
    }
}

/* The buffer moves with each piece, and the old one is gone. */
static char *run(const void *context, const char *data, size_t size, size_t first, size_t step)
{
    const sl__head_limits *limits = context;
    sl__field items[100];
    sl__parser p;
    sl__parser_init(&p, items, sl_array_size(items), limits);
    char *buffer = NULL;
    int got = 0;
    size_t have = 0;
    for (size_t next = first;; next = size - have < step ? size : have + step) {
        char *grown = sl_malloc(next ? next : 1);
        if (have)
            memcpy(grown, buffer, have);
        memcpy(grown + have, data + have, next - have);
        free(buffer);
        buffer = grown;
        have = next;
        got = sl__parser_feed(&p, buffer, have);
        if (got != 0 || have == size)
            break;
    }
    sl_buffer out = {0};
    if (got > 0) {
        show(&out, &p);
        sl_buffer_printf(&out, " rest=%zu", size - p.head_size);
    } else if (got < 0) {
        assert_int_equal(sl__parser_feed(&p, buffer, have), got);
        sl_buffer_printf(&out, "%d %s", -10000 - got, p.reason);
    } else {
        sl_buffer_puts(&out, "more");
    }
    free(buffer);
    return out.data;
}

#define CHECK(input, expected) wire_check(run, &generous, "" input, sizeof(input) - 1, expected)
#define GET "GET / HTTP/1.1\r\n"
#define HOST "Host: a\r\n"
#define OK "GET / origin 1.1 path=/ query= host=a "

static void understood(void **state)
{
    CHECK(GET HOST "\r\n", OK "none keep [Host|a] rest=0");
    CHECK("\r\n" GET HOST "\r\n", OK "none keep [Host|a] rest=0");
    CHECK(GET HOST "\r\nGET /next", OK "none keep [Host|a] rest=9");
    CHECK("GET /a%20b/c?x=1&y[]=?/ HTTP/1.1\r\nhost:\t a.example:80 \t\r\nX-Empty:\r\nX-Tab: a\tb  c\r\n\r\n",
          "GET /a%20b/c?x=1&y[]=?/ origin 1.1 path=/a%20b/c query=x=1&y[]=?/ host=a.example:80 none keep "
          "[host|a.example:80] [X-Empty|] [X-Tab|a\tb  c] rest=0");
    CHECK("POST /? HTTP/1.1\r\nHost: [::1]:8080\r\nContent-Length: 12\r\n\r\nhello",
          "POST /? origin 1.1 path=/ query= host=[::1]:8080 length=12 keep [Host|[::1]:8080] "
          "[Content-Length|12] rest=5");
    CHECK("PURGE /x HTTP/1.1\r\nHost: a\r\n\r\n",
          "PURGE /x origin 1.1 path=/x query= host=a none keep [Host|a] rest=0");
    CHECK(GET HOST "X: caf\xc3\xa9 \xff\r\n\r\n", OK "none keep [Host|a] [X|caf\xc3\xa9 \xff] rest=0");
    CHECK(GET HOST "X: 0123456789abcdef0123456789abcdef0123456789\r\n\r\n",
          OK "none keep [Host|a] [X|0123456789abcdef0123456789abcdef0123456789] rest=0");
    CHECK("GET / HTTP/1.7\r\n" HOST "\r\n", OK "none keep [Host|a] rest=0");
    CHECK(GET HOST, "more");
    CHECK("", "more");
    CHECK("\r\n", "more");
}

static void connections(void **state)
{
    CHECK(GET HOST "Connection: close\r\n\r\n", OK "none close [Host|a] [Connection|close] rest=0");
    CHECK(GET HOST "Connection: x , CLOSE\r\n\r\n", OK "none close [Host|a] [Connection|x , CLOSE] rest=0");
    CHECK(GET HOST "Connection: keep-alive\r\nConnection: close\r\n\r\n",
          OK "none close [Host|a] [Connection|keep-alive] [Connection|close] rest=0");
    CHECK(GET HOST "Connection: closed\r\n\r\n", OK "none keep [Host|a] [Connection|closed] rest=0");
    CHECK("GET / HTTP/1.0\r\n\r\n", "GET / origin 1.0 path=/ query= host= none close rest=0");
    CHECK("GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n",
          "GET / origin 1.0 path=/ query= host= none keep [Connection|Keep-Alive] rest=0");
    CHECK("GET / HTTP/1.0\r\nConnection: keep-alive, close\r\n\r\n",
          "GET / origin 1.0 path=/ query= host= none close [Connection|keep-alive, close] rest=0");
    CHECK(GET HOST "Upgrade: websocket\r\nConnection: keep-alive, Upgrade\r\n\r\n", OK
          "none keep upgrade=websocket [Host|a] [Upgrade|websocket] [Connection|keep-alive, Upgrade] rest=0");
    CHECK(GET HOST "Upgrade: websocket\r\n\r\n", OK "none keep [Host|a] [Upgrade|websocket] rest=0");
    CHECK("GET / HTTP/1.0\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n",
          "GET / origin 1.0 path=/ query= host= none close [Upgrade|websocket] [Connection|upgrade] rest=0");
}

static void expectations(void **state)
{
    CHECK(GET HOST "Content-Length: 1\r\nExpect: 100-Continue\r\n\r\n",
          OK "length=1 keep continue [Host|a] [Content-Length|1] [Expect|100-Continue] rest=0");
    CHECK(GET HOST "Transfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n",
          OK "chunked keep continue [Host|a] [Transfer-Encoding|chunked] [Expect|100-continue] rest=0");
    CHECK(GET HOST "Content-Length: 0\r\nExpect: 100-continue\r\n\r\n",
          OK "length=0 keep [Host|a] [Content-Length|0] [Expect|100-continue] rest=0");
    CHECK("POST / HTTP/1.0\r\nContent-Length: 1\r\nExpect: 100-continue\r\n\r\n",
          "POST / origin 1.0 path=/ query= host= length=1 close [Content-Length|1] [Expect|100-continue] "
          "rest=0");
    CHECK(GET HOST "Expect: more\r\n\r\n", "417 nothing but \"100-continue\" can be expected");
    CHECK(GET HOST "Expect: 100-continue\r\nExpect: more\r\n\r\n",
          "417 nothing but \"100-continue\" can be expected");
}

static void framing(void **state)
{
    CHECK(GET HOST "Content-Length: 9223372036854775807\r\n\r\n",
          OK "length=9223372036854775807 keep [Host|a] [Content-Length|9223372036854775807] rest=0");
    CHECK(GET HOST "Content-Length: 007\r\n\r\n", OK "length=7 keep [Host|a] [Content-Length|007] rest=0");
    CHECK(GET HOST "Transfer-Encoding: Chunked\r\n\r\n",
          OK "chunked keep [Host|a] [Transfer-Encoding|Chunked] rest=0");

    CHECK(GET HOST "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
          "400 there are both a Content-Length and a Transfer-Encoding");
    CHECK(GET HOST "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n",
          "400 there are both a Content-Length and a Transfer-Encoding");
    CHECK(GET HOST "Content-Length: 5\r\nContent-Length: 5\r\n\r\n",
          "400 there are several Content-Length fields");
    CHECK(GET HOST "Content-Length: 5\r\ncontent-length: 6\r\n\r\n",
          "400 there are several Content-Length fields");
    CHECK(GET HOST "Content-Length: 5, 5\r\n\r\n", "400 the Content-Length is a list");
    CHECK(GET HOST "Content-Length: \r\n\r\n", "400 the Content-Length is empty");
#define LENGTH(value)                                                                                        \
    CHECK(GET HOST "Content-Length: " value "\r\n\r\n", "400 the Content-Length is not a decimal number")
    LENGTH("+5");
    LENGTH("-5");
    LENGTH("0x5");
    LENGTH("5 5");
    LENGTH("5a");
    LENGTH("5.0");
    CHECK(GET HOST "Content-Length: 9223372036854775808\r\n\r\n",
          "400 the Content-Length is too large for any body");
    CHECK(GET HOST "Content-Length: 18446744073709551621\r\n\r\n",
          "400 the Content-Length is too large for any body");

#define CODING(value)                                                                                        \
    CHECK(GET HOST "Transfer-Encoding: " value "\r\n\r\n",                                                   \
          "400 the Transfer-Encoding is not just \"chunked\": no other transfer coding is accepted")
    CODING("gzip, chunked");
    CODING("chunked, gzip");
    CODING("chunked, chunked");
    CODING("chunked,");
    CODING("xchunked");
    CODING("identity");
    CODING("chunked;a=b");
    CODING("\"chunked\"");
    CODING("");
    CHECK(GET HOST "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
          "400 there are several Transfer-Encoding fields");
    CHECK("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n",
          "400 there is a Transfer-Encoding in an HTTP/1.0 request");
}

static void hosts(void **state)
{
    CHECK(GET "\r\n", "400 there is no Host field");
    CHECK("GET http://a/ HTTP/1.1\r\n\r\n", "400 there is no Host field");
    CHECK(GET HOST HOST "\r\n", "400 there are several Host fields");
    CHECK("GET / HTTP/1.0\r\n" HOST "HOST: b\r\n\r\n", "400 there are several Host fields");
#define BAD_HOST(value)                                                                                      \
    CHECK(GET "Host: " value "\r\n\r\n", "400 the Host field is not a host with or without a port")
    BAD_HOST("");
    BAD_HOST("a b");
    BAD_HOST("a, b");
    BAD_HOST("a/b");
    BAD_HOST("user@a");
    BAD_HOST("a:b");
    BAD_HOST("a:99999");
    BAD_HOST("a:123456");
    BAD_HOST(":80");
    BAD_HOST("[::1");
    BAD_HOST("[::1]x");
    BAD_HOST("[]");
    BAD_HOST("[g::1]");
    BAD_HOST("a%2");
    BAD_HOST("caf\xc3\xa9");
    const char *const good[] = {"a", "a.b:1", "127.0.0.1:65535", "[::ffff:1.2.3.4]", "a:", "x_y", "%41"};
    for (size_t i = 0; i < sl_array_size(good); i++)
        assert_true(sl__host_valid(sl_view_of(good[i])));
}

static void targets(void **state)
{
    CHECK("OPTIONS * HTTP/1.1\r\n" HOST "\r\n",
          "OPTIONS * asterisk 1.1 path=* query= host=a none keep [Host|a] rest=0");
    CHECK("GET * HTTP/1.1\r\n" HOST "\r\n", "400 the request target \"*\" is only for OPTIONS");
    CHECK("GET http://b:81/x?y HTTP/1.1\r\n" HOST "\r\n",
          "GET http://b:81/x?y absolute 1.1 path=/x query=y host=b:81 none keep [Host|a] rest=0");
    CHECK("GET HTTPS://b HTTP/1.1\r\n" HOST "\r\n",
          "GET HTTPS://b absolute 1.1 path=/ query= host=b none keep [Host|a] rest=0");
    CHECK("GET http://b?q HTTP/1.1\r\n" HOST "\r\n",
          "GET http://b?q absolute 1.1 path=/ query=q host=b none keep [Host|a] rest=0");
    CHECK("CONNECT b:443 HTTP/1.1\r\n" HOST "\r\n",
          "CONNECT b:443 authority 1.1 path= query= host=b:443 none keep [Host|a] rest=0");
#define CONNECT(target)                                                                                      \
    CHECK("CONNECT " target " HTTP/1.1\r\n" HOST "\r\n",                                                     \
          "400 the request target of CONNECT is not a host and a port")
    CONNECT("/");
    CONNECT("b");
    CONNECT("b:");
    CONNECT("http://b:80/");
    CHECK("GET http:///x HTTP/1.1\r\n" HOST "\r\n", "400 the request target has no valid host");
    CHECK("GET http://u@b/ HTTP/1.1\r\n" HOST "\r\n", "400 the request target has no valid host");
#define NO_PATH(target)                                                                                      \
    CHECK("GET " target " HTTP/1.1\r\n" HOST "\r\n",                                                         \
          "400 the request target is neither a path nor an http URL")
    NO_PATH("x");
    NO_PATH("h");
    NO_PATH("http");
    NO_PATH("http:");
    NO_PATH("https:/b");
    NO_PATH("ftp://b/");
    NO_PATH("**");
    CHECK("GET /a#b HTTP/1.1\r\n" HOST "\r\n", "400 the request target has a fragment");
#define BAD_TARGET(target)                                                                                   \
    CHECK("GET " target " HTTP/1.1\r\n" HOST "\r\n",                                                         \
          "400 the request target has a character that must be percent-encoded")
    BAD_TARGET("/\"");
    BAD_TARGET("/<");
    BAD_TARGET("/>");
    BAD_TARGET("/\xc3\xa9");
    BAD_TARGET("/\x7f");
    BAD_TARGET("/\t");
    BAD_TARGET("/\0x");
}

static void request_lines(void **state)
{
#define LINE(line, expected) CHECK(line "\r\n" HOST "\r\n", expected)
    LINE("GET  / HTTP/1.1", "400 the method is not followed by one space and a request target");
    LINE("GET\t/ HTTP/1.1", "400 the method is not a token followed by one space");
    LINE("G@T / HTTP/1.1", "400 the method is not a token followed by one space");
    LINE("GET", "400 the method is not a token followed by one space");
    LINE(" GET / HTTP/1.1", "400 the request line does not begin with a method");
    LINE("GET /", "400 the request line has no HTTP version");
    LINE("GET / ", "400 the request line does not end with a space and an HTTP version");
    LINE("GET /  HTTP/1.1", "400 the request line does not end with a space and an HTTP version");
    LINE("GET / http/1.1", "400 the request line does not end with a space and an HTTP version");
    LINE("GET / HTTP/1", "400 the request line does not end with a space and an HTTP version");
    LINE("GET / HTTP/11", "400 the request line does not end with a space and an HTTP version");
    LINE("GET / HTTP/x.1", "400 the request line does not end with a space and an HTTP version");
    LINE("GET / HTTP/1.x", "400 the request line does not end with a space and an HTTP version");
    LINE("GET / HTTP/1.10", "400 the HTTP version is not followed by CR LF");
    LINE("GET / HTTP/1.1 ", "400 the HTTP version is not followed by CR LF");
    LINE("GET / HTTP/1.1\r", "400 the HTTP version is not followed by CR LF");
    LINE("GET / HTTP/2.0", "505 only versions 1.0 and 1.1 of HTTP are spoken here");
    LINE("GET / HTTP/0.9", "505 only versions 1.0 and 1.1 of HTTP are spoken here");
    LINE("PRI * HTTP/2.0", "505 only versions 1.0 and 1.1 of HTTP are spoken here");
    CHECK("GET / HTTP/1.1\n" HOST "\r\n", "400 the HTTP version is not followed by CR LF");
    CHECK("\n" GET HOST "\r\n",
          "400 there are several empty lines, or a lone CR or LF, before the request line");
    CHECK("\r\n\r\n" GET HOST "\r\n",
          "400 there are several empty lines, or a lone CR or LF, before the request line");
    CHECK("\r" GET HOST "\r\n",
          "400 there are several empty lines, or a lone CR or LF, before the request line");
    CHECK("\x16\x03\x01\n", "400 the request line does not begin with a method");
}

static void field_lines(void **state)
{
#define FIELD(line, expected) CHECK(GET HOST line "\r\n\r\n", expected)
    FIELD("X: a\r\n b", "400 a field line begins with white space: folded lines are not accepted");
    FIELD("X: a\r\n\tb: c", "400 a field line begins with white space: folded lines are not accepted");
    CHECK(GET " X: a\r\n" HOST "\r\n",
          "400 a field line begins with white space: folded lines are not accepted");
    FIELD("X : a", "400 there is white space between a field's name and its colon");
    FIELD("X\t: a", "400 there is white space between a field's name and its colon");
    FIELD(": a", "400 a field has no name");
    FIELD("X", "400 a field line has no colon");
    FIELD("X\0Y: a", "400 a field's name has a character that is not allowed in it");
    FIELD("X(Y): a", "400 a field's name has a character that is not allowed in it");
    FIELD("caf\xc3\xa9: a", "400 a field's name has a character that is not allowed in it");
    FIELD("X: a\rb", "400 there is a CR without LF in a field line");
    FIELD("X: a\r\r", "400 there is a CR without LF in a field line");
    FIELD("X: a\nY: b", "400 a field line ends with LF without CR");
    FIELD("X: a\0b", "400 there is a control character in a field's value");
    FIELD("X: a\x01", "400 there is a control character in a field's value");
    FIELD("X: a\x7f", "400 there is a control character in a field's value");
    FIELD("X: 0123456789abcde\x1f", "400 there is a control character in a field's value");
    CHECK(GET HOST "\n", "400 a field line has no colon");
    CHECK(GET HOST "\rX: a\r\n\r\n", "400 a field line has no colon");
}

static char *line_of(const char *before, size_t fill, const char *after)
{
    char *filling = sl_malloc(fill + 1);
    memset(filling, 'x', fill);
    filling[fill] = 0;
    char *line = sl_printf_heap("%s%s%s", before, filling, after);
    free(filling);
    return line;
}

static void check_limited(const sl__head_limits *limits, char *input, const char *expected)
{
    char *got = run(limits, input, strlen(input), strlen(input), 1);
    assert_string_equal(got, expected);
    free(got);
    wire_check(run, limits, input, strlen(input), expected);
    free(input);
}

static void limits(void **state)
{
    static const char too_long[] = "414 the request line is longer than the server's limit, request_line";
    static const char too_large[] = "431 the fields are longer than the server's limit, header_size";
    sl__head_limits small = {40, 40, 3};
    char *path = line_of("/", 40 - 14, "");
    char *expected = sl_printf_heap("GET %s origin 1.0 path=%s query= host= none close rest=0", path, path);
    check_limited(&small, line_of("GET /", 40 - 14, " HTTP/1.0\r\n\r\n"), expected);
    free(path);
    free(expected);
    check_limited(&small, line_of("GET /", 40 - 13, " HTTP/1.0\r\n\r\n"), too_long);
    check_limited(&small, line_of("GET /", 42, ""), too_long);
    check_limited(&small, line_of("", 42, ""), too_long);

    char *value = line_of("", 40 - 5, "");
    expected = sl_printf_heap("GET / origin 1.0 path=/ query= host= none close [X|%s] rest=0", value);
    check_limited(&small, line_of("GET / HTTP/1.0\r\nX: ", 40 - 5, "\r\n\r\n"), expected);
    free(value);
    free(expected);
    check_limited(&small, line_of("GET / HTTP/1.0\r\nX: ", 40 - 4, "\r\n\r\n"), too_large);
    check_limited(&small, line_of("GET / HTTP/1.0\r\nX: ", 40, ""), too_large);
    check_limited(&small, line_of("GET / HTTP/1.0\r\nX: a\r\nX: ", 40 - 10, "\r\n\r\n"), too_large);
    check_limited(&small, line_of("GET / HTTP/1.0\r\n", 41, ""), too_large);
    check_limited(&small, sl_strdup_heap("GET / HTTP/1.0\r\nA: 1\r\nB: 2\r\nC: 3\r\n\r\n"),
                  "GET / origin 1.0 path=/ query= host= none close [A|1] [B|2] [C|3] rest=0");
    check_limited(&small, sl_strdup_heap("GET / HTTP/1.0\r\nA: 1\r\nB: 2\r\nC: 3\r\nD: 4\r\n\r\n"),
                  "431 there are more fields than the server's limit, header_count");
}

static void the_callers_array_is_never_overrun(void **state)
{
    sl__field one[1];
    sl__parser p;
    char data[] = "GET / HTTP/1.0\r\nA: 1\r\nB: 2\r\n\r\n";
    sl__parser_init(&p, one, 1, &generous);
    assert_int_equal(sl__parser_feed(&p, data, sizeof data - 1), SL_HTTP(431));
}

static void fields_are_found_without_case(void **state)
{
    sl__field items[4];
    sl__parser p;
    char data[] = "GET / HTTP/1.0\r\nAccept: 1\r\naccept: 2\r\nAcceptance: 3\r\n\r\n";
    sl__parser_init(&p, items, 4, &generous);
    assert_false(sl__parser_begun(&p));
    assert_int_equal(sl__parser_feed(&p, data, 1), 0);
    assert_true(sl__parser_begun(&p));
    assert_int_equal(sl__parser_feed(&p, data, sizeof data - 1), 1);
    assert_string_equal(sl__fields_find(&p.fields, "ACCEPT")->value, "1");
    assert_string_equal(sl__fields_find(&p.fields, "acceptance")->value, "3");
    assert_null(sl__fields_find(&p.fields, "accep"));
}

/* The fast scan and the plain one agree on every byte at every place. */
static void scans_agree(void **state)
{
    char data[40];
    for (unsigned byte = 0; byte < 256; byte++) {
        for (size_t at = 0; at < sizeof data; at++) {
            memset(data, 'x', sizeof data);
            data[at] = (char)byte;
            char *end = data + sizeof data;
            bool stops = (byte < 0x20 && byte != '\t') || byte == 0x7f;
            assert_ptr_equal(sl__scan_value(data, end), stops ? data + at : end);
            assert_ptr_equal(sl__scan_value_plain(data, end), stops ? data + at : end);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(understood),
        cmocka_unit_test(connections),
        cmocka_unit_test(expectations),
        cmocka_unit_test(framing),
        cmocka_unit_test(hosts),
        cmocka_unit_test(targets),
        cmocka_unit_test(request_lines),
        cmocka_unit_test(field_lines),
        cmocka_unit_test(limits),
        cmocka_unit_test(the_callers_array_is_never_overrun),
        cmocka_unit_test(fields_are_found_without_case),
        cmocka_unit_test(scans_agree),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
