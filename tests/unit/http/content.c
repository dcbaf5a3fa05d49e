/* content.c, condition.c, range.c: what becomes of a response before it is sent. */
#include "content_test.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#define LETTERS "abcdefghijklmnopqrstuvwxyz"
#define MODIFIED "Sun, 06 Nov 1994 08:49:37 GMT"
#define BEFORE "Sun, 06 Nov 1994 08:49:36 GMT"
#define AFTER "Sun, 06 Nov 1994 08:49:38 GMT"

/* The letters with the tag "v1" and a date, prepared for a request of these fields. */
static sl_response *letters(sl_request *req)
{
    sl_response *res = bytes(req, "text/plain; charset=utf-8", LETTERS, 26);
    sl__fields_put(req->arena, &res->fields, "ETag", "\"v1\"");
    sl__fields_put(req->arena, &res->fields, "Last-Modified", MODIFIED);
    sl__fields_put(req->arena, &res->fields, "Set-Cookie", "a=b");
    sl__content_prepare(req, res);
    return res;
}
#define GET(...) letters(request("GET", "/", ##__VA_ARGS__, NULL))

/* ---- Conditions -------------------------------------------------------------------------------------- */

static void expect(int line, int status, const char *a, const char *a_value, const char *b,
                   const char *b_value)
{
    static const char *const methods[] = {"GET", "HEAD"};
    for (int i = 0; i < 2; i++) {
        sl_response *res = letters(b ? request(methods[i], "/", a, a_value, b, b_value, NULL)
                                     : request(methods[i], "/", a, a_value, NULL));
        if (res->status != status)
            fail_msg("line %d, %s with %s: %s, %s: %s is answered with %d, not %d", line, methods[i], a,
                     a_value, b ? b : "", b ? b_value : "", res->status, status);
        if (status != 200)
            assert_int_equal(res->segment_count, 0);
    }
}
#define ONE(status, a, a_value) expect(__LINE__, status, a, a_value, NULL, NULL)
#define TWO(status, a, a_value, b, b_value) expect(__LINE__, status, a, a_value, b, b_value)

IN_TASK(if_none_match_compares_weakly)
{
    ONE(304, "If-None-Match", "\"v1\"");
    ONE(304, "if-none-match", "W/\"v1\"");
    ONE(304, "If-None-Match", "*");
    ONE(304, "If-None-Match", "\"a,b\", \"v0\" ,\"v1\"");
    ONE(304, "If-None-Match", ", ,\"v1\",");
    TWO(304, "If-None-Match", "\"v0\"", "If-None-Match", "\"v1\"");
    ONE(200, "If-None-Match", "\"v0\"");
    ONE(200, "If-None-Match", "");
    ONE(200, "If-None-Match", "v1");
    ONE(200, "If-None-Match", "\"v1");
    ONE(200, "If-None-Match", "w/\"v1\"");
    ONE(200, "If-None-Match", "\"x\"y, \"v1\"");
    ONE(200, "If-None-Match", "\"V1\"");
}

IN_TASK(if_match_compares_strongly)
{
    ONE(200, "If-Match", "\"v1\"");
    ONE(200, "If-Match", "*");
    ONE(200, "If-Match", "\"v0\", \"v1\"");
    ONE(412, "If-Match", "W/\"v1\"");
    ONE(412, "If-Match", "\"v0\"");
    ONE(412, "If-Match", "");
}

IN_TASK(dates_are_compared)
{
    ONE(304, "If-Modified-Since", MODIFIED);
    ONE(304, "If-Modified-Since", AFTER);
    ONE(304, "If-Modified-Since", "Sunday, 06-Nov-94 08:49:37 GMT");
    ONE(304, "If-Modified-Since", "Sun Nov  6 08:49:37 1994");
    ONE(200, "If-Modified-Since", BEFORE);
    ONE(200, "If-Modified-Since", "yesterday");
    TWO(200, "If-Modified-Since", MODIFIED, "If-Modified-Since", MODIFIED);
    ONE(200, "If-Unmodified-Since", MODIFIED);
    ONE(200, "If-Unmodified-Since", AFTER);
    ONE(412, "If-Unmodified-Since", BEFORE);
    ONE(200, "If-Unmodified-Since", "yesterday");
}

IN_TASK(tags_go_before_dates)
{
    TWO(200, "If-None-Match", "\"v0\"", "If-Modified-Since", MODIFIED);
    TWO(304, "If-None-Match", "\"v1\"", "If-Modified-Since", BEFORE);
    TWO(200, "If-Match", "\"v1\"", "If-Unmodified-Since", BEFORE);
    TWO(412, "If-Match", "\"v0\"", "If-Unmodified-Since", AFTER);
    TWO(412, "If-Match", "\"v0\"", "If-None-Match", "\"v1\"");
    TWO(304, "If-Match", "\"v1\"", "If-None-Match", "\"v1\"");
}

IN_TASK(not_modified_keeps_what_caches_need)
{
    sl_response *res = GET("If-None-Match", "\"v1\"");
    assert_int_equal(res->body, SL__BODY_NONE);
    assert_string_equal(field(res, "ETag"), "\"v1\"");
    assert_string_equal(field(res, "Set-Cookie"), "a=b");
    assert_null(field(res, "Last-Modified"));
    assert_null(res->type);

    sl_request *req = request("GET", "/", "If-Modified-Since", MODIFIED, NULL);
    res = bytes(req, "text/plain", LETTERS, 26);
    sl__fields_put(req->arena, &res->fields, "Last-Modified", MODIFIED);
    sl__content_prepare(req, res);
    assert_int_equal(res->status, 304);
    assert_string_equal(field(res, "Last-Modified"), MODIFIED); /* there is no tag that could say it */
}

IN_TASK(only_a_successful_get_is_conditional)
{
    assert_int_equal(letters(request("POST", "/", "If-None-Match", "\"v1\"", NULL))->status, 200);
    assert_int_equal(letters(request("POST", "/", "Range", "bytes=0-1", NULL))->status, 200);
    sl_request *req = request("GET", "/", "If-None-Match", "*", "Range", "bytes=0-1", NULL);
    sl_response *res = bytes(req, "text/plain", LETTERS, 26);
    res->status = 404;
    sl__fields_put(req->arena, &res->fields, "ETag", "\"v1\"");
    sl__content_prepare(req, res);
    assert_int_equal(res->status, 404);
    res = bytes(req, "text/plain", LETTERS, 26); /* which has no validator */
    sl__content_prepare(req, res);
    assert_int_equal(res->status, 200);
    assert_body(res, LETTERS);
}

/* ---- Ranges ------------------------------------------------------------------------------------------ */

static void range(int line, const char *value, int status, const char *content_range, const char *contents)
{
    sl_response *res = GET("Range", value);
    sl_view all = body(res);
    const char *got = field(res, "Content-Range");
    if (res->status != status || (content_range ? !got || strcmp(got, content_range) : got != NULL) ||
        !sl_view_equal(all, sl_view_of(contents)))
        fail_msg("line %d: %s gives %d, %s, %s", line, value, res->status, got ? got : "none", all.data);
}
#define RANGE(...) range(__LINE__, __VA_ARGS__)

IN_TASK(one_range)
{
    RANGE("bytes=0-0", 206, "bytes 0-0/26", "a");
    RANGE("bytes=2-5", 206, "bytes 2-5/26", "cdef");
    RANGE("bytes=23-", 206, "bytes 23-25/26", "xyz");
    RANGE("bytes=23-99999999999999999999999", 206, "bytes 23-25/26", "xyz");
    RANGE("bytes=-3", 206, "bytes 23-25/26", "xyz");
    RANGE("bytes=-99", 206, "bytes 0-25/26", LETTERS);
    RANGE("BYTES= 0-1 ,", 206, "bytes 0-1/26", "ab");
    RANGE("bytes=0-1,26-30", 206, "bytes 0-1/26", "ab"); /* the only one of the two that there is */
}

IN_TASK(no_range_that_there_is)
{
    RANGE("bytes=26-", 416, "bytes */26", "");
    RANGE("bytes=-0", 416, "bytes */26", "");
    RANGE("bytes=99999999999999999999999-", 416, "bytes */26", "");
    RANGE("bytes=30-40,50-60", 416, "bytes */26", "");
}

IN_TASK(malformed_ranges_are_ignored)
{
    static const char *const cases[] = {
        "",           "bytes",      "bytes=",      "bytes=,",   "bytes=-",   "bytes=a-b",   "bytes=5-2",
        "bytes=1",    "bytes=1-2x", "bytes=0x1-2", "lines=0-1", "bytes:0-1", "bytes=1 - 2", "bytes=--1",
        "bytes=+1-2", "bytes=0-1;", "bytes=0-1,x"};
    for (size_t i = 0; i < sl_array_size(cases); i++)
        RANGE(cases[i], 200, NULL, LETTERS);
    sl_response *res = GET("Range", "bytes=0-1", "Range", "bytes=2-3");
    assert_int_equal(res->status, 200);
    assert_int_equal(letters(request("HEAD", "/", "Range", "bytes=0-1", NULL))->status, 200);
}

IN_TASK(greedy_ranges_get_the_whole)
{
    RANGE("bytes=0-25,0-25", 200, NULL, LETTERS);
    RANGE("bytes=0-,1-,2-", 200, NULL, LETTERS);
    RANGE("bytes=0-0,1-1,2-2,3-3,4-4,5-5,6-6,7-7,8-8,9-9,10-10,11-11,12-12,13-13,14-14,15-15,16-16", 200,
          NULL, LETTERS);
}

IN_TASK(several_ranges)
{
    sl_response *res = GET("Range", "bytes=0-1, 10-12, -1");
    assert_int_equal(res->status, 206);
    assert_null(field(res, "Content-Range"));
    static const char prefix[] = "multipart/byteranges; boundary=";
    assert_memory_equal(res->type, prefix, sizeof(prefix) - 1);
    const char *boundary = res->type + sizeof(prefix) - 1;
    char *wanted =
        sl_printf("--%s\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Range: bytes 0-1/26\r\n\r\nab"
                  "\r\n--%s\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Range: bytes 10-12/26\r\n"
                  "\r\nklm"
                  "\r\n--%s\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Range: bytes 25-25/26\r\n"
                  "\r\nz\r\n--%s--\r\n",
                  boundary, boundary, boundary, boundary);
    assert_body(res, wanted);
    sl_response *other = GET("Range", "bytes=0-1, 10-12, -1");
    assert_string_not_equal(other->type, res->type); /* nobody can know the boundary before */
}

IN_TASK(ranges_cross_segments)
{
    sl_request *req = request("GET", "/", "Range", "bytes=1-6", NULL);
    sl_response *res = bytes(req, "text/plain", "", 0);
    sl__piece segments[] = {{.data = "abc", .size = 3},
                            {.data = "", .size = 0},
                            {.data = "d", .size = 1},
                            {.data = "efgh", .size = 4}};
    res->segments = segments;
    res->segment_count = 4;
    sl__fields_put(req->arena, &res->fields, "ETag", "\"v1\"");
    sl__content_prepare(req, res);
    assert_string_equal(field(res, "Content-Range"), "bytes 1-6/8");
    assert_body(res, "bcdefg");
}

IN_TASK(nothing_has_no_ranges)
{
    static const struct {
        const char *range;
        int status;
    } cases[] = {{"bytes=0-", 416}, {"bytes=0-0", 416}, {"bytes=-0", 416}};
    for (size_t i = 0; i < sl_array_size(cases); i++) {
        sl_request *req = request("GET", "/", "Range", cases[i].range, NULL);
        sl_response *res = bytes(req, "text/plain", "", 0);
        sl__fields_put(req->arena, &res->fields, "ETag", "\"v1\"");
        sl__content_prepare(req, res);
        assert_int_equal(res->status, cases[i].status);
        assert_string_equal(field(res, "Content-Range"), "bytes */0");
    }
}

IN_TASK(if_range_guards_a_range)
{
    static const struct {
        const char *value;
        int status;
    } cases[] = {
        {"\"v1\"", 206}, {"\"v0\"", 200}, {"W/\"v1\"", 200}, {MODIFIED, 206}, {BEFORE, 200},
        {AFTER, 200},    {"v1", 200},     {"*", 200},        {"", 200},       {"\"v0\", \"v1\"", 200},
    };
    for (size_t i = 0; i < sl_array_size(cases); i++) {
        sl_response *res = GET("Range", "bytes=0-1", "If-Range", cases[i].value);
        if (res->status != cases[i].status)
            fail_msg("If-Range: %s gives %d", cases[i].value, res->status);
    }
    assert_int_equal(GET("If-Range", "\"v0\"")->status, 200);
    /* The preconditions come first. */
    assert_int_equal(GET("Range", "bytes=0-1", "If-None-Match", "\"v1\"")->status, 304);
    assert_int_equal(GET("Range", "bytes=99-", "If-Match", "\"v0\"")->status, 412);
}

/* What changed within this second may change again within it, and its date would be the same. */
IN_TASK(a_young_date_guards_no_range)
{
    char now[30];
    sl__http_date(sl_wall_ms() / 1000, now);
    sl_request *req = request("GET", "/", "Range", "bytes=0-1", "If-Range", now, NULL);
    sl_response *res = bytes(req, "text/plain", LETTERS, 26);
    sl__fields_put(req->arena, &res->fields, "Last-Modified", now);
    sl__content_prepare(req, res);
    assert_int_equal(res->status, 200);
}

/* ---- Compression ------------------------------------------------------------------------------------- */

static const char *page(size_t size)
{
    char *data = sl_alloc(size + 1);
    for (size_t i = 0; i < size; i++)
        data[i] = i % 61 == 0 ? (char)('a' + i / 61 % 26) : LETTERS[i % 26];
    data[size] = 0;
    return data;
}

static sl_response *prepared(sl_request *req, const char *type, const char *data, size_t size)
{
    sl_response *res = bytes(req, type, data, size);
    sl__fields_put(req->arena, &res->fields, "ETag", "\"v1\"");
    sl__content_prepare(req, res);
    return res;
}

static void coding(int line, const char *accept, const char *wanted)
{
    const char *data = page(5000);
    sl_request *req =
        accept ? request("GET", "/", "Accept-Encoding", accept, NULL) : request("GET", "/", NULL);
    sl_response *res = prepared(req, "text/html; charset=utf-8", data, 5000);
    const char *got = field(res, "Content-Encoding");
    if (wanted ? !got || strcmp(got, wanted) != 0 : got != NULL)
        fail_msg("line %d: Accept-Encoding: %s gives %s", line, accept ? accept : "none", got ? got : "none");
    assert_string_equal(field(res, "Vary"), "Accept-Encoding");
    assert_string_equal(field(res, "ETag"), wanted ? "W/\"v1\"" : "\"v1\"");
    sl_view plain = wanted ? decoded(body(res), wanted, 5000) : body(res);
    assert_int_equal(plain.size, 5000);
    assert_memory_equal(plain.data, data, 5000);
}
#define CODING(...) coding(__LINE__, __VA_ARGS__)

IN_TASK(the_client_chooses_the_coding)
{
    CODING(NULL, NULL);
    CODING("", NULL);
    CODING("identity", NULL);
    CODING("gzip", "gzip");
    CODING("GZIP", "gzip");
    CODING("br", "br");
    CODING("zstd", "zstd");
    CODING("gzip, deflate, br, zstd", "zstd");
    CODING("gzip, deflate, br", "br");
    CODING("gzip;q=1, br;q=0.5", "gzip");
    CODING("br;q=0, gzip;q=0.001", "gzip");
    CODING("gzip;q=0", NULL);
    CODING("*", "zstd");
    CODING("*, zstd;q=0, br;q=0", "gzip");
    CODING("*;q=0", NULL);
    CODING("compress, deflate", NULL);
    sl_request *req = request("GET", "/", "Accept-Encoding", "deflate", "Accept-Encoding", "gzip", NULL);
    assert_string_equal(field(prepared(req, "text/html", page(5000), 5000), "Content-Encoding"), "gzip");
}

static void type_is(const char *type, bool shrinks)
{
    if (sl__compressible(type) != shrinks)
        fail_msg("%s", type ? type : "no type");
}

IN_TASK(only_text_is_compressed)
{
    type_is("text/html", true);
    type_is("TEXT/Plain ; charset=utf-8", true);
    type_is("application/json", true);
    type_is("application/problem+json; charset=utf-8", true);
    type_is("image/svg+xml", true);
    type_is("application/wasm", true);
    type_is("text/event-stream", false);
    type_is("image/png", false);
    type_is("application/octet-stream", false);
    type_is("video/mp4", false);
    type_is("application/zip", false);
    type_is("text/", false);
    type_is("", false);
    type_is(NULL, false);
}

#define GZIP request("GET", "/", "Accept-Encoding", "gzip", NULL)

IN_TASK(some_responses_stay_as_they_are)
{
    sl_response *res = prepared(GZIP, "text/plain", page(SL__COMPRESS_MIN - 1), SL__COMPRESS_MIN - 1);
    assert_null(field(res, "Content-Encoding"));
    assert_null(field(res, "Vary"));
    res = prepared(GZIP, "image/png", page(5000), 5000);
    assert_null(field(res, "Content-Encoding"));
    assert_null(field(res, "Vary"));
    static const struct {
        const char *name, *value;
    } fields[] = {{"Cache-Control", "max-age=1, No-Transform"},
                  {"Content-Encoding", "compress"},
                  {"Content-Type", "image/png"},
                  {"Content-Range", "bytes 0-4999/9999"},
                  {"Content-Digest", "sha-256=:AAAA:"}};
    for (size_t i = 0; i < sl_array_size(fields); i++) {
        sl_request *req = GZIP;
        res = bytes(req, "text/plain", page(5000), 5000);
        sl__fields_put(req->arena, &res->fields, fields[i].name, fields[i].value);
        sl__content_prepare(req, res);
        assert_int_equal(body(res).size, 5000);
        assert_string_equal(field(res, fields[i].name), fields[i].value);
    }
}

IN_TASK(vary_grows)
{
    static const struct {
        const char *before, *after;
    } cases[] = {{"Cookie", "Cookie, Accept-Encoding"},
                 {"*", "*"},
                 {"Cookie, accept-encoding", "Cookie, accept-encoding"}};
    for (size_t i = 0; i < sl_array_size(cases); i++) {
        sl_request *req = GZIP;
        sl_response *res = bytes(req, "text/plain", page(5000), 5000);
        sl__fields_put(req->arena, &res->fields, "Vary", cases[i].before);
        sl__content_prepare(req, res);
        assert_string_equal(field(res, "Vary"), cases[i].after);
        assert_string_equal(field(res, "Content-Encoding"), "gzip");
    }
}

IN_TASK(errors_are_compressed_too)
{
    sl_request *req = GZIP;
    sl_response *res = bytes(req, "text/html", page(5000), 5000);
    res->status = 500;
    sl__content_prepare(req, res);
    assert_string_equal(field(res, "Content-Encoding"), "gzip");
    assert_int_equal(res->status, 500);
}

/* The client that has the compressed form asks with its tag, and gets the answer for that form. */
IN_TASK(tags_of_compressed_forms_match)
{
    sl_request *req = request("GET", "/", "Accept-Encoding", "gzip", "If-None-Match", "W/\"v1\"", NULL);
    sl_response *res = prepared(req, "text/plain", page(5000), 5000);
    assert_int_equal(res->status, 304);
    assert_string_equal(field(res, "ETag"), "W/\"v1\"");
    assert_string_equal(field(res, "Vary"), "Accept-Encoding");
    assert_null(field(res, "Content-Encoding"));
}

IN_TASK(a_part_is_never_compressed)
{
    sl_request *req = request("GET", "/", "Accept-Encoding", "gzip", "Range", "bytes=0-2999", NULL);
    sl_response *res = prepared(req, "text/plain", page(5000), 5000);
    assert_int_equal(res->status, 206);
    assert_null(field(res, "Content-Encoding"));
    assert_string_equal(field(res, "ETag"), "\"v1\"");
    assert_string_equal(field(res, "Vary"), "Accept-Encoding");
    assert_int_equal(body(res).size, 3000);
    req = request("GET", "/", "Accept-Encoding", "gzip", "If-Match", "\"v1\"", NULL);
    res = prepared(req, "text/plain", page(5000), 5000);
    assert_int_equal(res->status, 200);
    assert_null(field(res, "Content-Encoding"));
}

IN_TASK(a_second_preparation_changes_nothing)
{
    sl_request *req = GZIP;
    sl_response *res = prepared(req, "text/plain", page(5000), 5000);
    size_t size = body(res).size;
    sl__content_prepare(req, res);
    assert_int_equal(body(res).size, size);
}

IN_TASK(large_contents_are_compressed_in_a_thread)
{
    const char *data = page(1000000);
    sl_response *res =
        prepared(request("GET", "/", "Accept-Encoding", "br", NULL), "text/plain", data, 1000000);
    assert_int_equal(res->body, SL__BODY_SEGMENTS);
    sl_view plain = decoded(body(res), "br", 1000000);
    assert_int_equal(plain.size, 1000000);
    assert_memory_equal(plain.data, data, 1000000);
}

static void remove_file(void *path)
{
    unlink(path);
}

/* A file of `size` bytes, which is there as long as the task. */
static int file_of(const char *data, size_t size)
{
    char *path = sl_strdup("/tmp/silver-content-XXXXXX");
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    sl_defer(remove_file, path);
    assert_int_equal(write(fd, data, size), size);
    return fd;
}

IN_TASK(files_are_compressed_and_cut)
{
    const char *data = page(300000);
    int fd = file_of(data, 300000);
    sl__piece segment = {.fd = fd, .offset = 1000, .size = 200000};
    sl_response *res = bytes(request("GET", "/", "Accept-Encoding", "zstd", NULL), "text/plain", "", 0);
    res->segments = &segment;
    res->segment_count = 1;
    sl__content_prepare(res->request, res);
    sl_view plain = decoded(body(res), "zstd", 200000);
    assert_int_equal(plain.size, 200000);
    assert_memory_equal(plain.data, data + 1000, 200000);

    res = bytes(request("GET", "/", "Range", "bytes=10-19", NULL), "text/plain", "", 0);
    res->segments = &segment;
    res->segment_count = 1;
    sl__fields_put(res->request->arena, &res->fields, "ETag", "\"v1\"");
    sl__content_prepare(res->request, res);
    assert_int_equal(res->segments[0].offset, 1010);
    assert_int_equal(res->segments[0].size, 10);
    close(fd);
}

/* A file that lost its end since it was opened cannot be answered with as if it were whole. */
static void *compress_a_cut_file(void *data)
{
    int fd = *(int *)data;
    sl__piece segment = {.fd = fd, .size = 200000};
    sl_response *res = bytes(GZIP, "text/plain", "", 0);
    res->segments = &segment;
    res->segment_count = 1;
    sl__content_prepare(res->request, res);
    return NULL;
}

IN_TASK(a_file_that_was_cut_fails)
{
    int fd = file_of(page(1000), 1000);
    sl_error *error = NULL;
    sl_try(sl_spawn(compress_a_cut_file, &fd), &error);
    assert_non_null(error);
    assert_int_equal(error->code, SL_EIO);
    close(fd);
}

IN_TASK(huge_contents_become_a_stream)
{
    size_t size = 5 * 1024 * 1024;
    sl_response *res = prepared(GZIP, "text/plain", page(size), size);
    assert_int_equal(res->body, SL__BODY_STREAM);
    assert_int_equal(res->coding, SL__CODING_GZIP);
    assert_non_null(res->write);
    assert_string_equal(field(res, "Content-Encoding"), "gzip");
    sl__encoder *encoder = sl__encoder_new(res);
    assert_non_null(encoder);
    sl__encoder_free(encoder);
}

static void write_nothing(sl_stream *out, void *data)
{
}

IN_TASK(streams_are_compressed)
{
    sl_request *req = request("GET", "/", "Accept-Encoding", "br", NULL);
    sl_response *res = sl_zalloc(sizeof(*res));
    *res = (sl_response){
        .request = req, .status = 200, .type = "text/html", .body = SL__BODY_STREAM, .write = write_nothing};
    sl__content_prepare(req, res);
    assert_int_equal(res->coding, SL__CODING_BROTLI);
    assert_string_equal(field(res, "Content-Encoding"), "br");
    assert_string_equal(field(res, "Vary"), "Accept-Encoding");

    *res = (sl_response){.request = req, .status = 200, .type = "text/html", .body = SL__BODY_STREAM};
    sl__fields_put(req->arena, &res->fields, "Content-Encoding",
                   "gzip"); /* by the handler, which did it itself */
    sl__content_prepare(req, res);
    assert_int_equal(res->coding, SL__CODING_IDENTITY);
    assert_null(sl__encoder_new(res));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(if_none_match_compares_weakly),
        cmocka_unit_test(if_match_compares_strongly),
        cmocka_unit_test(dates_are_compared),
        cmocka_unit_test(tags_go_before_dates),
        cmocka_unit_test(not_modified_keeps_what_caches_need),
        cmocka_unit_test(only_a_successful_get_is_conditional),
        cmocka_unit_test(one_range),
        cmocka_unit_test(no_range_that_there_is),
        cmocka_unit_test(malformed_ranges_are_ignored),
        cmocka_unit_test(greedy_ranges_get_the_whole),
        cmocka_unit_test(several_ranges),
        cmocka_unit_test(ranges_cross_segments),
        cmocka_unit_test(nothing_has_no_ranges),
        cmocka_unit_test(if_range_guards_a_range),
        cmocka_unit_test(a_young_date_guards_no_range),
        cmocka_unit_test(the_client_chooses_the_coding),
        cmocka_unit_test(only_text_is_compressed),
        cmocka_unit_test(some_responses_stay_as_they_are),
        cmocka_unit_test(vary_grows),
        cmocka_unit_test(errors_are_compressed_too),
        cmocka_unit_test(tags_of_compressed_forms_match),
        cmocka_unit_test(a_part_is_never_compressed),
        cmocka_unit_test(a_second_preparation_changes_nothing),
        cmocka_unit_test(large_contents_are_compressed_in_a_thread),
        cmocka_unit_test(files_are_compressed_and_cut),
        cmocka_unit_test(a_file_that_was_cut_fails),
        cmocka_unit_test(huge_contents_become_a_stream),
        cmocka_unit_test(streams_are_compressed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
