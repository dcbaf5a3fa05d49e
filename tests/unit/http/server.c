/* Requests and responses on real sockets: persistence, order, refusals and limits. */
#include "serving.h"

#include <dlfcn.h>
#include <stdatomic.h>
#include <uv.h>

static reply r;
static atomic_bool told;

static sl_response *show(sl_request *req)
{
    const char *path = sl_path(req);
    if (strcmp(path, "/fail") == 0)
        sl_fail(SL_HTTP(404), "no room called %s", "attic");
    if (strcmp(path, "/broken") == 0)
        sl_fail(SL_EIO, "the secret disk is broken");
    if (strcmp(path, "/nothing") == 0)
        return NULL;
    if (strcmp(path, "/empty") == 0)
        return sl_respond(req, 204);
    if (strcmp(path, "/close") == 0)
        return sl_set_header(sl_text(req, 200, "bye"), "Connection", "close");
    if (strcmp(path, "/split") == 0)
        return sl_set_header(sl_text(req, 200, "x"), "X-A", "b\r\nSet-Cookie: c");
    if (strcmp(path, "/fields") == 0) {
        sl_response *res = sl_text(req, 200, "x");
        sl_set_header(res, "X-One", "1");
        sl_set_header(res, "x-one", "2");
        sl_add_header(res, "X-One", "3");
        sl_set_header(res, "Content-Length", "999");
        return sl_set_header(res, "Transfer-Encoding", "gzip");
    }
    if (strcmp(path, "/slow") == 0)
        sl_yield();
    while (strcmp(path, "/told") == 0 && !atomic_load(&told))
        sl_await(sl_sleep(1));
    return sl_text(req, 200, "%s %s ?%s host=%s peer=%s minor=%d id=%zu", sl_method(req), path, sl_query(req),
                   sl_host(req), sl_peer(req), sl_http_minor(req), strlen(sl_request_id(req)));
}

static void keep_alive(int port)
{
    int fd = dial(port);
    for (int i = 0; i < 50; i++) {
        put(fd, "GET /a%20b?x=1 HTTP/1.1\r\nHost: example.org:80\r\n\r\n");
        get(fd, &r);
        CHECK(r.status == 200);
        CHECK(strcmp(r.body, "GET /a b ?x=1 host=example.org:80 peer=127.0.0.1 minor=1 id=16") == 0);
        CHECK(!field_of(&r, "Connection"));
        CHECK(strlen(field_of(&r, "Date")) == 29);
        CHECK(strcmp(field_of(&r, "Content-Type"), "text/plain; charset=utf-8") == 0);
    }
    close(fd);
}

static void test_keep_alive(void **state)
{
    serve(serving_with(show), keep_alive);
}

static void byte_by_byte(int port)
{
    int fd = dial(port);
    const char *text =
        "GET /one HTTP/1.1\r\nHost: a\r\nX-Long: abc\r\n\r\nGET /two HTTP/1.1\r\nHost: b\r\n\r\n";
    for (const char *at = text; *at; at++)
        put_bytes(fd, at, 1);
    get(fd, &r);
    CHECK(strstr(r.body, "GET /one ? host=a"));
    get(fd, &r);
    CHECK(strstr(r.body, "GET /two ? host=b"));
    close(fd);
}

static void test_byte_by_byte(void **state)
{
    serve(serving_with(show), byte_by_byte);
}

static void pipelining(int port)
{
    static char text[65536];
    size_t size = 0;
    for (int i = 0; i < 500; i++)
        size += (size_t)sprintf(text + size, "GET /%s?%d HTTP/1.1\r\nHost: a\r\n\r\n",
                                i % 3 ? "fast" : "slow", i);
    int fd = dial(port);
    put_bytes(fd, text, size);
    shutdown(fd, SHUT_WR); /* those that wait are answered all the same */
    for (int i = 0; i < 500; i++) {
        char expected[32];
        sprintf(expected, " ?%d ", i);
        get(fd, &r);
        CHECK(r.status == 200 && strstr(r.body, expected));
    }
    CHECK(at_end(fd));
    close(fd);
}

static void test_pipelining(void **state)
{
    serve(serving_with(show), pipelining);
}

static atomic_uint writes;

/* Stands before libuv's. */
int uv_try_write(uv_stream_t *stream, const uv_buf_t buffers[], unsigned count)
{
    static int (*theirs)(uv_stream_t *, const uv_buf_t[], unsigned);
    if (!theirs)
        theirs = (int (*)(uv_stream_t *, const uv_buf_t[], unsigned))dlsym(RTLD_NEXT, "uv_try_write");
    atomic_fetch_add(&writes, 1);
    return theirs(stream, buffers, count);
}

/* Responses that are ready together are written together; one that is ready does not wait for one that is
 * not. */
static void writing_together(int port)
{
    static const char *const kinds[] = {"GET /a", "HEAD /b", "GET /empty", "GET /fail"};
    static const int statuses[] = {200, 200, 204, 404};
    char text[4096];
    size_t size = 0;
    for (int i = 0; i < 40; i++)
        size += (size_t)sprintf(text + size, "%s HTTP/1.1\r\nHost: a\r\n\r\n", kinds[i % 4]);
    int fd = dial(port);
    atomic_store(&writes, 0);
    put_bytes(fd, text, size);
    for (int i = 0; i < 40; i++) {
        if (i % 4 == 1)
            get_head(fd, &r);
        else
            get(fd, &r);
        CHECK(r.status == statuses[i % 4]);
    }
    CHECK(atomic_load(&writes) == 1);
    put(fd, "GET /ready HTTP/1.1\r\nHost: a\r\n\r\nGET /told HTTP/1.1\r\nHost: a\r\n\r\n"
            "GET /ready HTTP/1.1\r\nHost: a\r\n\r\nGET /incomplete");
    get(fd, &r);
    CHECK(strstr(r.body, "/ready"));
    atomic_store(&told, true);
    get(fd, &r);
    CHECK(strstr(r.body, "/told"));
    get(fd, &r);
    CHECK(strstr(r.body, "/ready"));
    put(fd, " HTTP/1.1\r\nHost: a\r\n\r\nNO REQUEST");
    get(fd, &r);
    CHECK(strstr(r.body, "/incomplete"));
    put(fd, "\r\n\r\n");
    get(fd, &r);
    CHECK(r.status == 400 && at_end(fd));
    close(fd);
}

static void test_writing_together(void **state)
{
    serve(serving_with(show), writing_together);
}

static void methods(int port)
{
    int fd = dial(port);
    put(fd, "HEAD /x HTTP/1.1\r\nHost: a\r\n\r\n");
    get_head(fd, &r);
    CHECK(r.status == 200 && atoi(field_of(&r, "Content-Length")) > 20);
    put(fd, "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n");
    get(fd, &r);
    CHECK(r.status == 204 && strstr(field_of(&r, "Allow"), "GET") && !field_of(&r, "Content-Length"));
    put(fd, "BREW /pot HTTP/1.1\r\nHost: a\r\n\r\n");
    get(fd, &r);
    CHECK(strncmp(r.body, "BREW /pot", 9) == 0);
    put(fd, "GET http://other.example/p?q HTTP/1.1\r\nHost: a\r\n\r\n");
    get(fd, &r);
    CHECK(strstr(r.body, "/p ?q host=other.example "));
    put(fd, "GET /empty HTTP/1.1\r\nHost: a\r\n\r\n");
    get(fd, &r);
    CHECK(r.status == 204 && !field_of(&r, "Content-Length"));
    put(fd, "CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n");
    get(fd, &r);
    CHECK(r.status == 501 && at_end(fd));
    close(fd);
}

static void test_methods(void **state)
{
    serve(serving_with(show), methods);
}

static void old_version(int port)
{
    int fd = dial(port);
    put(fd, "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    get(fd, &r);
    CHECK(r.status == 200 && strcmp(field_of(&r, "Connection"), "keep-alive") == 0);
    CHECK(strstr(r.body, "minor=0"));
    put(fd, "GET / HTTP/1.0\r\n\r\n");
    get(fd, &r);
    CHECK(strcmp(field_of(&r, "Connection"), "close") == 0 && at_end(fd));
    close(fd);
}

static void test_old_version(void **state)
{
    serve(serving_with(show), old_version);
}

static void closing(int port)
{
    int fd = dial(port);
    put(fd, "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\nGET /not-answered HTTP/1.1\r\nHost: "
            "a\r\n\r\n");
    get(fd, &r);
    CHECK(strcmp(field_of(&r, "Connection"), "close") == 0 && at_end(fd));
    close(fd);
    fd = dial(port);
    put(fd, "GET /close HTTP/1.1\r\nHost: a\r\n\r\n");
    get(fd, &r);
    CHECK(strcmp(field_of(&r, "Connection"), "close") == 0 && at_end(fd));
    close(fd);
}

static void test_closing(void **state)
{
    serve(serving_with(show), closing);
}

static void failures(int port)
{
    int fd = dial(port);
    put(fd, "GET /fail HTTP/1.1\r\nHost: a\r\n\r\n");
    get(fd, &r);
    CHECK(r.status == 404 && strcmp(r.body, "404 Not Found: no room called attic\n") == 0);
    put(fd, "GET /broken HTTP/1.1\r\nHost: a\r\n\r\n");
    get(fd, &r);
    CHECK(r.status == 500 && !strstr(r.body, "secret"));
    put(fd, "GET /nothing HTTP/1.1\r\nHost: a\r\n\r\n");
    get(fd, &r);
    CHECK(r.status == 500);
    put(fd, "GET /split HTTP/1.1\r\nHost: a\r\n\r\n");
    get(fd, &r);
    CHECK(r.status == 500 && !strcasestr(r.head, "Set-Cookie"));
    put(fd, "GET /fields HTTP/1.1\r\nHost: a\r\n\r\n");
    get(fd, &r);
    CHECK(r.status == 200 && strcmp(field_of(&r, "Content-Length"), "1") == 0);
    CHECK(!field_of(&r, "Transfer-Encoding") && strstr(r.head, "x-one: 2\r\nX-One: 3\r\n") &&
          !strstr(r.head, "X-One: 1"));
    close(fd);
}

static void test_failures(void **state)
{
    serve(serving_with(show), failures);
}

static void debug_failures(int port)
{
    ask(port, "GET /broken HTTP/1.1\r\nHost: a\r\n\r\n", &r);
    CHECK(r.status == 500 && strstr(r.body, "the secret disk is broken") && strstr(r.body, "show"));
}

static sl_response *own_failure(sl_request *req, const sl_error *error)
{
    if (strcmp(sl_path(req), "/broken") == 0)
        sl_fail(SL_EFAILED, "this fails as well");
    return sl_text(req, sl_code_status(error->code), "sorry: %s", error->message);
}

static void own_failures(int port)
{
    ask(port, "GET /fail HTTP/1.1\r\nHost: a\r\n\r\n", &r);
    CHECK(r.status == 404 && strcmp(r.body, "sorry: no room called attic") == 0);
    ask(port, "GET /broken HTTP/1.1\r\nHost: a\r\n\r\n", &r);
    CHECK(r.status == 500 && strcmp(r.body, "500 Internal Server Error\n") == 0);
}

static void test_failure_pages(void **state)
{
    serving s = serving_with(show);
    s.options.debug = true;
    serve(s, debug_failures);
    s = serving_with(show);
    s.options.failure = own_failure;
    serve(s, own_failures);
}

static void refusals(int port)
{
    static const struct {
        int status;
        const char *request;
    } refused[] = {
        {400, "GET / HTTP/1.1\r\n\r\n"},
        {400, "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n"},
        {400, "GET / HTTP/1.1\r\nHost : a\r\n\r\n"},
        {400, "GET /%zz HTTP/1.1\r\nHost: a\r\n\r\n"},
        {400, "GET /%00 HTTP/1.1\r\nHost: a\r\n\r\n"},
        {400, "GET / HTTP/1.1\nHost: a\n\n"},
        {505, "GET / HTTP/2.0\r\nHost: a\r\n\r\n"},
        {417, "GET / HTTP/1.1\r\nHost: a\r\nExpect: a miracle\r\n\r\n"},
        {400, "\x16\x03\x01\x02\x00\x01\r\n"},
    };
    for (size_t i = 0; i < sl_array_size(refused); i++) {
        int fd = dial(port);
        put(fd, refused[i].request);
        put(fd, "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n");
        get(fd, &r);
        CHECK(r.status == refused[i].status);
        CHECK(strcmp(field_of(&r, "Connection"), "close") == 0 && at_end(fd));
        close(fd);
    }
    int fd = dial(port);
    put(fd, "HEAD /%zz HTTP/1.1\r\nHost: a\r\n\r\n");
    get_head(fd, &r);
    CHECK(r.status == 400 && at_end(fd));
    close(fd);
}

static void test_refusals(void **state)
{
    serve(serving_with(show), refusals);
}

static void head_limits(int port)
{
    ask(port,
        "GET /0123456789012345678901234567890123456789012345678901234567890123456789 HTTP/1.1\r\nHost: "
        "a\r\n\r\n",
        &r);
    CHECK(r.status == 414);
    ask(port, "GET / HTTP/1.1\r\nHost: a\r\nA: 1\r\nB: 1\r\nC: 1\r\nD: 1\r\n\r\n", &r);
    CHECK(r.status == 431 && strstr(r.body, "header_count"));
    ask(port,
        "GET / HTTP/1.1\r\nHost: a\r\nA: "
        "0123456789012345678901234567890123456789012345678901234567890123456789\r\n\r\n",
        &r);
    CHECK(r.status == 431 && strstr(r.body, "header_size"));
    int fd = dial(port);
    for (int i = 0; i < 3; i++) {
        put(fd, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        get(fd, &r);
        CHECK(r.status == 200 && (field_of(&r, "Connection") != NULL) == (i == 2));
    }
    CHECK(at_end(fd));
    close(fd);
}

static void times(int port)
{
    int fd = dial(port);
    put(fd, "GET / HTTP/1.1\r\nHo"); /* and no more */
    get(fd, &r);
    CHECK(r.status == 408 && at_end(fd));
    close(fd);
    fd = dial(port);
    CHECK(at_end(fd)); /* idle_ms */
    close(fd);
}

static void test_head_limits(void **state)
{
    serving s = serving_with(show);
    s.options.limits.request_line = 64;
    s.options.limits.header_size = 64;
    s.options.limits.header_count = 4;
    s.options.limits.requests = 3;
    serve(s, head_limits);
}

static void test_times(void **state)
{
    serving s = serving_with(show);
    s.options.limits.header_ms = 40;
    s.options.limits.idle_ms = 40;
    serve(s, times);
}

static atomic_int entered, left;

static sl_result stay(void *data)
{
    atomic_fetch_add(&entered, 1);
    while (!atomic_load(&left))
        usleep(1000);
    return sl_ok(NULL);
}

/* POST: reads the body. GET: stays until it may leave. */
static sl_response *read_or_stay(sl_request *req)
{
    if (strcmp(sl_method(req), "POST") == 0)
        return sl_text(req, 200, "%s", sl_body(req, 0, NULL));
    sl_await(sl_in_thread(stay, NULL, NULL));
    return sl_text(req, 200, "done");
}

static void in_flight(int port)
{
    int slow[3], first = dial(port), second = dial(port);
    for (int i = 0; i < 3; i++) { /* who waits for a client holds no place */
        slow[i] = dial(port);
        put(slow[i], "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n");
        get_head(slow[i], &r);
        CHECK(r.status == 100); /* so it is in its handler */
    }
    put(first, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    while (atomic_load(&entered) == 0)
        usleep(1000);
    put(second, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    get(second, &r);
    CHECK(r.status == 503 && field_of(&r, "Retry-After") && strstr(r.body, "in_flight") && at_end(second));
    close(slow[2]); /* its handler fails */
    for (int i = 0; i < 2; i++) {
        put(slow[i], "x");
        put(slow[i], "y");
        get(slow[i], &r);
        CHECK(r.status == 200 && strcmp(r.body, "xy") == 0);
        close(slow[i]);
    }
    atomic_store(&left, 1);
    get(first, &r);
    CHECK(r.status == 200);
    ask(port, "GET / HTTP/1.1\r\nHost: a\r\n\r\n", &r);
    CHECK(r.status == 200);
    close(first);
    close(second);
}

static void test_in_flight(void **state)
{
    serving s = serving_with(read_or_stay);
    s.options.limits.in_flight = 1;
    serve(s, in_flight);
}

/* A child that nobody waits for fails: the answer can still be made, and sent. */
static void *fails_alone(void *data)
{
    sl_fail(SL_HTTP(409), "%s", "the child broke");
}

static sl_response *starts_child(sl_request *req)
{
    sl_go(fails_alone, NULL);
    sl_await(sl_sleep(1000000));
    return sl_text(req, 200, "done");
}

static sl_response *awaits_and_tells(sl_request *req, const sl_error *error)
{
    sl_await(sl_sleep(1));
    return sl_text(req, sl_code_status(error->code), "%s", error->message);
}

static void child_failure(int port)
{
    int fd = dial(port);
    for (int i = 0; i < 2; i++) { /* and the connection is kept */
        put(fd, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        get(fd, &r);
        CHECK(r.status == 409 && strcmp(r.body, "the child broke") == 0);
    }
    close(fd);
}

static void test_child_failure(void **state)
{
    serving s = serving_with(starts_child);
    s.options.failure = awaits_and_tells;
    serve(s, child_failure);
}

static void connections(int port)
{
    int first = dial(port);
    put(first, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    get(first, &r);
    CHECK(r.status == 200);
    int second = dial(port);
    get(second, &r);
    CHECK(r.status == 503 && strstr(r.body, "(connections)"));
    close(second);
    put(first, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    get(first, &r);
    CHECK(r.status == 200);
    close(first);
}

static void test_connections(void **state)
{
    serving s = serving_with(show);
    s.options.limits.connections = 1;
    serve(s, connections);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_keep_alive),    cmocka_unit_test(test_byte_by_byte),
        cmocka_unit_test(test_pipelining),    cmocka_unit_test(test_writing_together),
        cmocka_unit_test(test_methods),       cmocka_unit_test(test_old_version),
        cmocka_unit_test(test_closing),       cmocka_unit_test(test_failures),
        cmocka_unit_test(test_failure_pages), cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_head_limits),   cmocka_unit_test(test_times),
        cmocka_unit_test(test_in_flight),     cmocka_unit_test(test_connections),
        cmocka_unit_test(test_child_failure),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
