/* Bodies in both directions: lengths, chunks, trailers, Expect, limits, and who waits for whom. */
#include "serving.h"

#include "http/server.h"

#include <poll.h>
#include <stdatomic.h>
#include <zlib.h>

static reply r;

/* ---- In ---- */

static sl_response *echo(sl_request *req)
{
    const char *path = sl_path(req);
    if (strcmp(path, "/ignore") == 0)
        return sl_text(req, 200, "ignored");
    if (strcmp(path, "/pieces") == 0) {
        size_t size, total = 0, most = 0;
        uLong sum = crc32(0, NULL, 0);
        for (const char *piece; (piece = sl_body_read(req, &size)); total += size) {
            most = size > most ? size : most;
            sum = crc32(sum, (const Bytef *)piece, (uInt)size);
        }
        const char *trailer = sl_trailer(req, "x-sum");
        return sl_text(req, 200, "%zu %08lx %s %s", total, sum, most > 65536 ? "large" : "small",
                       trailer ? trailer : "-");
    }
    size_t size;
    const char *body = sl_body(req, 0, &size);
    const char *again = sl_body(req, 0, NULL);
    if (again != body)
        return sl_text(req, 500, "the second is another");
    return sl_bytes_response(req, 200, "application/octet-stream", body, size);
}

static void lengths(int port)
{
    int fd = dial(port);
    put(fd, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello"
            "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n"
            "POST /pieces HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nab");
    get(fd, &r);
    CHECK(r.status == 200 && strcmp(r.body, "hello") == 0);
    get(fd, &r);
    CHECK(r.status == 200 && r.size == 0);
    put(fd, "cGET /echo HTTP/1.1\r\nHost: a\r\n\r\n");
    get(fd, &r);
    CHECK(strcmp(r.body, "3 352441c2 small -") == 0);
    get(fd, &r);
    CHECK(r.status == 200 && r.size == 0);
    close(fd);
}

static void test_lengths(void **state)
{
    serve(serving_with(echo), lengths);
}

static void chunks(int port)
{
    int fd = dial(port);
    const char *body = "2\r\nab\r\n1;ext=1\r\nc\r\n0\r\nX-Sum: abc\r\nContent-Length: 7\r\n\r\n";
    put(fd, "POST /pieces HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
    for (const char *at = body; *at; at++)
        put_bytes(fd, at, 1);
    get(fd, &r);
    CHECK(strcmp(r.body, "3 352441c2 small abc") == 0);
    put(fd, "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
            "GET /echo HTTP/1.1\r\nHost: a\r\n\r\n");
    get(fd, &r);
    CHECK(strcmp(r.body, "abc") == 0);
    get(fd, &r);
    CHECK(r.status == 200 && r.size == 0);
    put(fd, "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n");
    get(fd, &r);
    CHECK(r.status == 400 && at_end(fd));
    close(fd);
}

static void test_chunks(void **state)
{
    serve(serving_with(echo), chunks);
}

#define LARGE (32 * 1024 * 1024)

/* More than all buffers between us hold: the handler reads it through. */
static void large(int port)
{
    static char block[65536];
    uLong sum = crc32(0, NULL, 0);
    for (size_t i = 0; i < sizeof(block); i++)
        block[i] = (char)(i * 31);
    int fd = dial(port);
    char text[128], expected[64];
    snprintf(text, sizeof(text), "POST /pieces HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n", LARGE);
    put(fd, text);
    for (size_t sent = 0; sent < LARGE; sent += sizeof(block)) {
        put_bytes(fd, block, sizeof(block));
        sum = crc32(sum, (const Bytef *)block, sizeof(block));
    }
    snprintf(expected, sizeof(expected), "%d %08lx small -", LARGE, sum);
    get(fd, &r);
    CHECK(strcmp(r.body, expected) == 0);
    close(fd);
}

static void test_large(void **state)
{
    serve(serving_with(echo), large);
}

static void expect(int port)
{
    int fd = dial(port);
    put(fd, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n");
    get_head(fd, &r);
    CHECK(r.status == 100);
    put(fd, "hi");
    get(fd, &r);
    CHECK(r.status == 200 && strcmp(r.body, "hi") == 0);
    /* Nobody asks for it: no 100, and what may follow cannot be told apart. */
    put(fd, "POST /ignore HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n");
    get(fd, &r);
    CHECK(r.status == 200 && strcmp(field_of(&r, "Connection"), "close") == 0 && at_end(fd));
    close(fd);
    /* Too large is said before it is sent. */
    fd = dial(port);
    put(fd, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 200000\r\nExpect: 100-continue\r\n\r\n");
    get(fd, &r);
    CHECK(r.status == 413 && at_end(fd));
    close(fd);
}

static void ignored(int port)
{
    int fd = dial(port);
    put(fd, "POST /ignore HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n");
    get(fd, &r);
    CHECK(r.status == 200 && !field_of(&r, "Connection"));
    put(fd, "helloGET /echo HTTP/1.1\r\nHost: a\r\n\r\n"); /* the rest of it is skipped */
    get(fd, &r);
    CHECK(r.status == 200);
    put(fd, "POST /ignore HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999\r\n\r\n");
    get(fd, &r);
    CHECK(r.status == 200 && strcmp(field_of(&r, "Connection"), "close") == 0 && at_end(fd));
    close(fd);
}

static void too_large(int port)
{
    static char block[120000];
    int fd = dial(port);
    memset(block, 'x', sizeof(block));
    put(fd, "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1d4c0\r\n");
    put_bytes(fd, block, sizeof(block));
    put(fd, "\r\n0\r\n\r\n");
    get(fd, &r);
    CHECK(r.status == 413 && strstr(r.body, "100000 bytes"));
    close(fd);
    ask(port, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 100001\r\n\r\n", &r);
    CHECK(r.status == 413);
}

static void test_limits(void **state)
{
    serving s = serving_with(echo);
    s.options.limits.body_size = 100000;
    serve(s, expect);
    serve(s, ignored);
    serve(s, too_large);
}

static void half_sent(int port)
{
    int fd = dial(port);
    put(fd, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhe");
    get(fd, &r);
    CHECK(r.status == 408 && strstr(r.body, "body_ms") && at_end(fd));
    close(fd);
    fd = dial(port);
    put(fd, "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhe");
    shutdown(fd, SHUT_WR);
    get(fd, &r);
    CHECK(r.status == 400 && at_end(fd));
    close(fd);
}

/* A byte now and then of a body that the handler did not want. */
static void drips(int port)
{
    int fd = dial(port), bytes = 5000, over = 0;
    put(fd, "POST /ignore HTTP/1.1\r\nHost: a\r\nContent-Length: 5000\r\n\r\n");
    get(fd, &r);
    while (bytes-- > 0 && !over) {
        char c;
        over = send(fd, "x", 1, MSG_NOSIGNAL) < 0 || recv(fd, &c, 1, MSG_DONTWAIT) == 0;
        usleep(2000);
    }
    CHECK(over);
    close(fd);
}

/* A byte now and then keeps a body from standing still, and not for ever. */
static void trickled(int port)
{
    int fd = dial(port);
    put(fd, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n");
    struct pollfd answer = {.fd = fd, .events = POLLIN};
    for (int i = 0; poll(&answer, 1, 10) == 0; i++) {
        CHECK(i < 2000);
        put(fd, "x");
    }
    get(fd, &r);
    CHECK(r.status == 408 && strstr(r.body, "body_rate") && at_end(fd));
    close(fd);
}

static void test_trickled(void **state)
{
    serving s = serving_with(echo);
    s.options.limits.body_ms = 1000;
    serve(s, trickled);
}

static void test_half_sent(void **state)
{
    serving s = serving_with(echo);
    s.options.limits.body_ms = 40;
    serve(s, half_sent);
    serve(s, drips);
}

/* ---- Out ---- */

#define SHARED ((size_t)32 * 1024 * 1024)
static size_t given, given_before, most_at_once;
static bool all_sent;

/* Notes how much was sent between its turns. */
static void *take_turns(void *data)
{
    while (!all_sent) {
        if (given - given_before > most_at_once)
            most_at_once = given - given_before;
        given_before = given;
        sl_yield();
    }
    return NULL;
}

static void write_at_length(sl_stream *out, void *data)
{
    static char block[65536];
    sl_go(take_turns, NULL);
    for (given = 0; given < SHARED; given += sizeof(block))
        sl_write(out, block, sizeof(block));
    all_sent = true;
}

static sl_response *stream_at_length(sl_request *req)
{
    return sl_stream_response(req, 200, "application/octet-stream", write_at_length, NULL);
}

static void read_fast(int port)
{
    static char room[1024 * 1024];
    int fd = dial(port);
    put(fd, "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    size_t size = 0;
    for (ssize_t got; (got = recv(fd, room, sizeof(room), 0)) > 0;)
        size += (size_t)got;
    CHECK(size > SHARED);
    close(fd);
}

/* A socket that takes all that it is given does not keep the others from their turns. */
static void test_sharing(void **state)
{
    serving s = serving_with(stream_at_length);
    s.options.limits.write_buffer = 64 * 1024 * 1024;
    serve(s, read_fast);
    assert_in_range(most_at_once, 1, 262144 + 65536);
}

#define TOTAL ((size_t)100 * 1024 * 1024)
static atomic_size_t written, client_read, most_between;
static atomic_bool stream_ended;

static void note_end(void *data)
{
    atomic_store(&stream_ended, true);
}

static void write_much(sl_stream *out, void *data)
{
    static char block[50000];
    sl_defer(note_end, NULL);
    memset(block, 'x', sizeof(block));
    for (size_t sent = 0; sent < TOTAL;) {
        size_t part = TOTAL - sent < sizeof(block) ? TOTAL - sent : sizeof(block);
        sl_write(out, block, part);
        sent += part;
        size_t between = sent - atomic_load(&client_read);
        if (between < TOTAL && between > atomic_load(&most_between))
            atomic_store(&most_between, between);
        atomic_store(&written, sent);
    }
}

static void write_little(sl_stream *out, void *data)
{
    sl_write_printf(out, "%s %d", "one", 1);
    sl_flush(out);
    sl_write(out, "", 0);
    sl_yield();
    sl_write(out, ", two", 5);
}

static void write_nothing(sl_stream *out, void *data)
{
}

static void fail_early(sl_stream *out, void *data)
{
    sl_write(out, "never seen", 10);
    sl_fail(SL_HTTP(404), "not there after all");
}

static void fail_late(sl_stream *out, void *data)
{
    sl_write(out, "some", 4);
    sl_flush(out);
    sl_fail(SL_EIO, "the disk went");
}

static void write_after_the_end(sl_stream *out, void *data)
{
    sl_write(out, "before", 6);
    sl_flush(out);
    while (!sl__exchange_of(data)->connection->eof)
        sl_await(sl_sleep(1));
    sl_write(out, " and after", 10);
}

static void write_what_comes(sl_stream *out, void *data)
{
    sl_write(out, "<", 1);
    sl_flush(out);
    size_t size;
    for (const char *piece; (piece = sl_body_read(data, &size));)
        sl_write(out, piece, size);
    sl_write_printf(out, "%1000s", ">");
}

static void wait_for_ever(sl_stream *out, void *data)
{
    sl_defer(note_end, NULL);
    sl_write(out, "x", 1);
    sl_flush(out);
    sl_await(sl_sleep(1000000));
}

static sl_response *stream(sl_request *req)
{
    static const struct {
        const char *path;
        sl_stream_fn *write;
    } streams[] = {{"/much", write_much},           {"/little", write_little},  {"/nothing", write_nothing},
                   {"/early", fail_early},          {"/late", fail_late},       {"/ever", wait_for_ever},
                   {"/after", write_after_the_end}, {"/echo", write_what_comes}};
    for (size_t i = 0; i < sl_array_size(streams); i++) {
        if (strcmp(sl_path(req), streams[i].path) == 0) {
            sl_response *res = sl_stream_response(req, 200, "text/x-test", streams[i].write, req);
            if (*sl_query(req))
                sl_set_header(res, "Content-Length", sl_query(req));
            return res;
        }
    }
    if (strcmp(sl_path(req), "/block") == 0) {
        size_t size = 20 * 1024 * 1024;
        char *block = sl_alloc(size);
        memset(block, 'y', size);
        return sl_bytes_response(req, 200, "image/x-test", block, size);
    }
    return sl_text(req, 200, "other");
}

static void streams(int port)
{
    int fd = dial(port);
    put(fd, "GET /little HTTP/1.1\r\nHost: a\r\n\r\nGET /nothing HTTP/1.1\r\nHost: a\r\n\r\n"
            "HEAD /little HTTP/1.1\r\nHost: a\r\n\r\nGET /early HTTP/1.1\r\nHost: a\r\n\r\n"
            "GET /little?10 HTTP/1.1\r\nHost: a\r\n\r\n");
    get(fd, &r);
    CHECK(strcmp(field_of(&r, "Transfer-Encoding"), "chunked") == 0 && !field_of(&r, "Content-Length"));
    CHECK(strcmp(r.body, "one 1, two") == 0);
    get(fd, &r);
    CHECK(r.status == 200 && r.size == 0);
    get_head(fd, &r);
    CHECK(field_of(&r, "Transfer-Encoding"));
    get(fd, &r);
    CHECK(r.status == 404 && strcmp(r.body, "404 Not Found: not there after all\n") == 0);
    get(fd, &r);
    CHECK(!field_of(&r, "Transfer-Encoding") && strcmp(r.body, "one 1, two") == 0);
    close(fd);
    /* Once a response has begun, "100 Continue" would stand in the middle of it. */
    fd = dial(port);
    put(fd, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n");
    get_head(fd, &r);
    CHECK(r.status == 200);
    put(fd, "four");
    get_chunks(fd, &r);
    CHECK(r.size == 1005 && memcmp(r.body, "<four   ", 8) == 0 && r.body[1004] == '>');
    CHECK(at_end(fd));
    close(fd);
    fd = dial(port);
    put(fd, "GET /little HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    get_head(fd, &r);
    CHECK(!field_of(&r, "Transfer-Encoding") && strcmp(field_of(&r, "Connection"), "close") == 0);
    get_bytes(fd, r.body, 10);
    CHECK(memcmp(r.body, "one 1, two", 10) == 0 && at_end(fd));
    close(fd);
}

static void failing_streams(int port)
{
    /* Neither looks complete: no last chunk, and fewer bytes than were promised. */
    static const char *const requests[] = {"GET /late HTTP/1.1\r\nHost: a\r\n\r\n",
                                           "GET /late?9 HTTP/1.1\r\nHost: a\r\n\r\n",
                                           "GET /little?11 HTTP/1.1\r\nHost: a\r\n\r\n"};
    for (size_t i = 0; i < sl_array_size(requests); i++) {
        int fd = dial(port);
        char all[4096];
        size_t size = 0;
        put(fd, requests[i]);
        for (ssize_t got; (got = recv(fd, all + size, sizeof(all) - 1 - size, 0)) > 0;)
            size += (size_t)got;
        all[size] = '\0';
        CHECK(!strstr(all, "\r\n0\r\n"));
        close(fd);
    }
}

static void test_streams(void **state)
{
    serve(serving_with(stream), streams);
    serve(serving_with(stream), failing_streams);
}

static void count_chunked(int fd, size_t expected)
{
    static char block[65536];
    size_t total = 0;
    for (;;) {
        char line[64];
        get_line(fd, line, sizeof(line));
        size_t size = strtoul(line, NULL, 16);
        for (size_t left = size; left > 0;) {
            size_t part = left < sizeof(block) ? left : sizeof(block);
            get_bytes(fd, block, part);
            left -= part;
            total += part;
            atomic_store(&client_read, total);
        }
        get_line(fd, line, sizeof(line));
        if (size == 0)
            break;
    }
    CHECK(total == expected);
}

static void back_pressure(int port)
{
    int slow = dial(port);
    put(slow, "GET /much HTTP/1.1\r\nHost: a\r\n\r\n");
    for (int i = 0; i < 20; i++) {
        ask(port, "GET /other HTTP/1.1\r\nHost: a\r\n\r\n", &r); /* nobody else waits */
        CHECK(strcmp(r.body, "other") == 0);
    }
    CHECK(atomic_load(&written) < TOTAL);
    get_head(slow, &r);
    count_chunked(slow, TOTAL);
    /* The system's buffers on both sides may hold some megabytes; without back-pressure it were all of it. */
    CHECK(atomic_load(&most_between) < 24 * 1024 * 1024);
    put(slow, "GET /block HTTP/1.1\r\nHost: a\r\n\r\n");
    get_head(slow, &r);
    for (size_t left = 20 * 1024 * 1024; left > 0; left -= 65536) {
        get_bytes(slow, r.body, 65536);
        CHECK(r.body[0] == 'y' && r.body[65535] == 'y');
    }
    close(slow);
}

static void test_back_pressure(void **state)
{
    serving s = serving_with(stream);
    s.options.limits.write_buffer = 65536;
    serve(s, back_pressure);
}

/* A client that only does not send any more gets the whole. */
static void half_closed(int port)
{
    int fd = dial(port);
    put(fd, "GET /after HTTP/1.1\r\nHost: a\r\n\r\nGET /little HTTP/1.1\r\nHost: a\r\n\r\n");
    shutdown(fd, SHUT_WR);
    get(fd, &r);
    CHECK(strcmp(r.body, "before and after") == 0);
    get(fd, &r);
    CHECK(strcmp(r.body, "one 1, two") == 0 && at_end(fd));
    close(fd);
    /* Now it goes altogether. */
    atomic_store(&stream_ended, false);
    fd = dial(port);
    put(fd, "GET /ever HTTP/1.1\r\nHost: a\r\n\r\n");
    shutdown(fd, SHUT_WR);
    get_head(fd, &r);
    usleep(20000); /* so that the end is likely to be seen before the reset: it works either way */
    struct linger reset = {.l_onoff = 1};
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
    close(fd);
    while (!atomic_load(&stream_ended))
        usleep(1000);
}

static void test_half_closed(void **state)
{
    serving s = serving_with(stream);
    s.options.websocket.ping_ms = 40; /* looks that often */
    s.options.limits.drain_ms = 100000;
    serve(s, half_closed);
}

/* In each case the task ends: otherwise draining would last, and the end not be noted. */
static void client_goes(int port)
{
    int fd = dial(port);
    put(fd, "GET /ever HTTP/1.1\r\nHost: a\r\n\r\n");
    get_head(fd, &r);
    close(fd);
    while (!atomic_load(&stream_ended))
        usleep(1000);
    atomic_store(&stream_ended, false);
    fd = dial(port);
    put(fd, "GET /much HTTP/1.1\r\nHost: a\r\n\r\n");
    get_head(fd, &r);
    close(fd);
    while (!atomic_load(&stream_ended))
        usleep(1000);
}

static void never_reads(int port)
{
    atomic_store(&stream_ended, false);
    int fd = dial(port);
    put(fd, "GET /much HTTP/1.1\r\nHost: a\r\n\r\n");
    while (!atomic_load(&stream_ended)) /* write_ms */
        usleep(1000);
    close(fd);
}

static void test_client_goes(void **state)
{
    serving s = serving_with(stream);
    s.options.limits.drain_ms = 100000;
    serve(s, client_goes);
    s.options.limits.write_ms = 50;
    serve(s, never_reads);
}

/* ---- Files ---- */

#define FILE_SIZE (3 * 1024 * 1024 + 17)
static char file_path[] = "/tmp/silver-http-XXXXXX";

static sl_response *send_file(sl_request *req)
{
    return sl_file_response(req, file_path, NULL);
}

static void files(int port)
{
    int fd = dial(port);
    put(fd,
        "GET / HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\nRange: bytes=1000000-1999999\r\n\r\n"
        "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n");
    get_head(fd, &r);
    CHECK(atol(field_of(&r, "Content-Length")) == FILE_SIZE);
    for (size_t i = 0; i < FILE_SIZE; i++) {
        if (i % 65536 == 0)
            get_bytes(fd, r.body, FILE_SIZE - i < 65536 ? FILE_SIZE - i : 65536);
        CHECK(r.body[i % 65536] == (char)(i % 251));
    }
    get_head(fd, &r);
    CHECK(r.status == 206);
    for (size_t i = 0; i < 1000000; i++) {
        if (i % 50000 == 0)
            get_bytes(fd, r.body, 50000);
        CHECK(r.body[i % 50000] == (char)((i + 1000000) % 251));
    }
    get_head(fd, &r);
    CHECK(atol(field_of(&r, "Content-Length")) == FILE_SIZE);
    close(fd);
    /* One who goes in the middle. */
    fd = dial(port);
    put(fd, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    get_head(fd, &r);
    close(fd);
}

static void test_files(void **state)
{
    int fd = mkstemp(file_path);
    char *data = malloc(FILE_SIZE);
    for (size_t i = 0; i < FILE_SIZE; i++)
        data[i] = (char)(i % 251);
    assert_int_equal(write(fd, data, FILE_SIZE), FILE_SIZE);
    free(data);
    close(fd);
    serve(serving_with(send_file), files);
    unlink(file_path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lengths),       cmocka_unit_test(test_chunks),
        cmocka_unit_test(test_large),         cmocka_unit_test(test_limits),
        cmocka_unit_test(test_half_sent),     cmocka_unit_test(test_trickled),
        cmocka_unit_test(test_sharing),       cmocka_unit_test(test_streams),
        cmocka_unit_test(test_back_pressure), cmocka_unit_test(test_client_goes),
        cmocka_unit_test(test_half_closed),   cmocka_unit_test(test_files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
