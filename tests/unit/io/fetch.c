/* The HTTP client, against a small server in this test: what arrives, what is refused, and what is kept and
 * dropped. */
#include "check.h"

#include <netinet/in.h>
#include <uv.h>

/* ---- A responder
 * ------------------------------------------------------------------------------------------- It reads a
 * request (head, and a body of the length told) and answers by path: /echo     the whole request as the body
 * /status/N  that status /big/N    N bytes                              /hang      nothing, ever /slow     a
 * head, and then nothing             /garbage   no HTTP /close    closes                               /part
 * less than it promised /to/N     redirects N times, then to /echo     /away      redirects to
 * file:///etc/passwd /headers  endless headers                      /close-after  an answer, then closes */

typedef struct responder {
    union {
        uv_stream_t stream;
        uv_tcp_t tcp;
        uv_pipe_t pipe;
    };
    int port;
    bool is_unix;
    int connections, requests, open, hanging;
    struct peer *peers;
} responder;

typedef struct peer {
    union {
        uv_stream_t stream;
        uv_tcp_t tcp;
        uv_pipe_t pipe;
    };
    responder *owner;
    struct peer *next;
    sl_buffer input;
} peer;

typedef struct writing {
    uv_write_t request;
    sl_buffer data;
} writing;

static void on_peer_closed(uv_handle_t *handle)
{
    peer *p = (peer *)handle, **link = &p->owner->peers;
    while (*link != p)
        link = &(*link)->next;
    *link = p->next;
    p->owner->open--;
    sl_buffer_done(&p->input);
    free(p);
}

static void on_written(uv_write_t *request, int status)
{
    writing *w = (writing *)request;
    sl_buffer_done(&w->data);
    free(w);
}

static void respond(peer *p, const char *method, const char *path, sl_view request)
{
    writing *w = sl_calloc(1, sizeof *w);
    sl_buffer *out = &w->data;
    bool close_it = false;
    int number = 0;
    if (strcmp(path, "/echo") == 0) {
        sl_buffer_printf(out,
                         "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nX-Twice: 1\r\nx-twice:  2 "
                         "\r\nContent-Length: %zu\r\n\r\n",
                         request.size);
        if (strcmp(method, "HEAD") != 0)
            sl_buffer_put(out, request.data, request.size);
    } else if (sscanf(path, "/status/%d", &number) == 1) {
        sl_buffer_printf(out, "HTTP/1.1 %d Some Reason\r\nContent-Length: 0\r\n\r\n", number);
    } else if (sscanf(path, "/big/%d", &number) == 1) {
        sl_buffer_puts(out, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
        for (int left = number; left > 0; left -= 1000)
            sl_buffer_printf(out, "3e8\r\n%01000d\r\n", left);
        sl_buffer_puts(out, "0\r\n\r\n");
    } else if (sscanf(path, "/to/%d", &number) == 1) {
        sl_buffer_puts(out, "HTTP/1.1 303 See Other\r\nX-Old: 1\r\nContent-Length: 0\r\nLocation: ");
        sl_buffer_printf(out, number > 1 ? "/to/%d\r\n\r\n" : "/echo\r\n\r\n", number - 1);
    } else if (strcmp(path, "/away") == 0) {
        sl_buffer_puts(out,
                       "HTTP/1.1 302 Found\r\nLocation: file:///etc/passwd\r\nContent-Length: 0\r\n\r\n");
    } else if (strcmp(path, "/slow") == 0) {
        sl_buffer_puts(out, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc");
        p->owner->hanging++;
    } else if (strcmp(path, "/part") == 0) {
        sl_buffer_puts(out, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc");
        close_it = true;
    } else if (strcmp(path, "/garbage") == 0) {
        sl_buffer_puts(out, "\1\2\3 this is not what you are looking for\r\n\r\n");
        close_it = true;
    } else if (strcmp(path, "/headers") == 0) {
        sl_buffer_puts(out, "HTTP/1.1 200 OK\r\n");
        for (int i = 0; i < 1000; i++)
            sl_buffer_printf(out, "X-%d: %01000d\r\n", i, i);
        sl_buffer_puts(out, "\r\n");
    } else if (strcmp(path, "/close") == 0) {
        close_it = true;
    } else if (strcmp(path, "/close-after") == 0) {
        sl_buffer_puts(out, "HTTP/1.1 200 OK\r\n\r\nuntil the end");
        close_it = true;
    } else {
        p->owner->hanging++;
    }
    uv_buf_t data = uv_buf_init(out->data ? out->data : "", (unsigned)out->size);
    uv_write(&w->request, &p->stream, &data, 1, on_written);
    if (close_it)
        uv_close((uv_handle_t *)p, on_peer_closed);
}

static void on_request_bytes(uv_stream_t *stream, ssize_t count, const uv_buf_t *buffer)
{
    peer *p = (peer *)stream;
    if (count > 0)
        sl_buffer_put(&p->input, buffer->base, (size_t)count);
    free(buffer->base);
    if (count < 0 && !uv_is_closing((uv_handle_t *)p))
        uv_close((uv_handle_t *)p, on_peer_closed);
    char *end = count > 0 ? strstr(p->input.data, "\r\n\r\n") : NULL;
    if (!end)
        return;
    size_t size = (size_t)(end + 4 - p->input.data), body = 0;
    char *length = strcasestr(p->input.data, "content-length:");
    if (length && length < end)
        body = strtoul(length + 15, NULL, 10);
    if (p->input.size < size + body)
        return;
    char method[16], path[64];
    assert_int_equal(sscanf(p->input.data, "%15s %63s", method, path), 2);
    p->owner->requests++;
    respond(p, method, path, (sl_view){p->input.data, size + body});
    if (!uv_is_closing((uv_handle_t *)p))
        sl_buffer_consume(&p->input, size + body);
}

static void on_room_wanted(uv_handle_t *handle, size_t suggested, uv_buf_t *ret_buffer)
{
    *ret_buffer = uv_buf_init(sl_malloc(suggested), (unsigned)suggested);
}

static void on_connection(uv_stream_t *server, int status)
{
    responder *r = (responder *)server;
    peer *p = sl_calloc(1, sizeof *p);
    p->owner = r;
    if (r->is_unix)
        uv_pipe_init(server->loop, &p->pipe, 0);
    else
        uv_tcp_init(server->loop, &p->tcp);
    assert_int_equal(uv_accept(server, &p->stream), 0);
    p->next = r->peers;
    r->peers = p;
    r->connections++;
    r->open++;
    uv_read_start(&p->stream, on_room_wanted, on_request_bytes);
}

static void responder_stop(void *data)
{
    responder *r = data;
    uv_close((uv_handle_t *)&r->stream, NULL);
    for (peer *p = r->peers; p; p = p->next)
        if (!uv_is_closing((uv_handle_t *)p))
            uv_close((uv_handle_t *)p, on_peer_closed);
}

static void responder_start(responder *r, const char *unix_path)
{
    uv_loop_t *loop = sl_loop_uv(sl_loop_current());
    *r = (responder){.is_unix = unix_path};
    if (unix_path) {
        uv_pipe_init(loop, &r->pipe, 0);
        CHECK(uv_pipe_bind(&r->pipe, unix_path) == 0);
    } else {
        struct sockaddr_in address;
        int size = sizeof address;
        uv_tcp_init(loop, &r->tcp);
        uv_ip4_addr("127.0.0.1", 0, &address);
        CHECK(uv_tcp_bind(&r->tcp, (struct sockaddr *)&address, 0) == 0);
        CHECK(uv_tcp_getsockname(&r->tcp, (struct sockaddr *)&address, &size) == 0);
        r->port = ntohs(address.sin_port);
    }
    CHECK(uv_listen(&r->stream, 128, on_connection) == 0);
    sl_defer(responder_stop, r);
}

/* One that serves the calling test's task, and outlives it: its handles are closed by the loop's last passes.
 */
static responder server;

static const char *at(const char *path)
{
    return sl_printf("http://127.0.0.1:%d%s", server.port, path);
}

/* ---- Answers ----------------------------------------------------------------------------------------- */

TASK_TEST(fetches)
{
    responder_start(&server, NULL);
    sl_fetched *answer = sl_await(sl_fetch(at("/echo")));
    CHECK(answer->status == 200 && strncmp(answer->body->data, "GET /echo HTTP/1.1\r\n", 20) == 0);
    CHECK(strstr(answer->body->data, "User-Agent: silver/"));
    CHECK(strcmp(sl_fetched_header(answer, "Content-TYPE"), "text/plain") == 0);
    CHECK(!sl_fetched_header(answer, "absent") && strcmp(answer->url, at("/echo")) == 0);
    int twice = 0;
    for (size_t i = 0; i < answer->header_count; i++)
        if (strcmp(answer->header_names[i], "x-twice") == 0)
            CHECK(atoi(answer->header_values[i]) == ++twice);
    CHECK(twice == 2);
    CHECK(((sl_fetched *)sl_await(sl_fetch(at("/status/404"))))->status == 404);
    answer = sl_await(sl_fetch(at("/close-after")));
    CHECK(strcmp(answer->body->data, "until the end") == 0);
    return NULL;
}

TASK_TEST(sends_methods_headers_and_bodies)
{
    responder_start(&server, NULL);
    const char *headers[] = {"X-Mine: yes", "X-Empty:", NULL};
    sl_fetched *answer = sl_await(sl_fetch(at("/echo"), .body = "a\0b", .body_size = 3, .headers = headers));
    CHECK(strncmp(answer->body->data, "POST ", 5) == 0 && strstr(answer->body->data, "X-Mine: yes\r\n"));
    CHECK(strstr(answer->body->data, "X-Empty:") && !strstr(answer->body->data, "Content-Type"));
    CHECK(memcmp(answer->body->data + answer->body->size - 3, "a\0b", 3) == 0);
    answer = sl_await(sl_fetch(at("/echo"), .method = "PUT", .body = "x", .body_size = 1));
    CHECK(strncmp(answer->body->data, "PUT ", 4) == 0);
    answer = sl_await(sl_fetch(at("/echo"), .method = "DELETE"));
    CHECK(strncmp(answer->body->data, "DELETE ", 7) == 0);
    answer = sl_await(sl_fetch(at("/echo"), .method = "HEAD"));
    CHECK(answer->status == 200 && answer->body->size == 0);
    answer = sl_await(sl_fetch(at("/echo"), .method = "POST"));
    CHECK(strncmp(answer->body->data, "POST ", 5) == 0 && strstr(answer->body->data, "Content-Length: 0"));
    return NULL;
}

TASK_TEST(refuses_what_would_be_another_request)
{
    const char *split[] = {"X: a\r\nY: b", NULL}, *nameless[] = {": b", NULL};
    CHECK_FAILS(sl_fetch("http://127.0.0.1/", .headers = split), SL_EINVAL, "header is malformed");
    CHECK_FAILS(sl_fetch("http://127.0.0.1/", .headers = nameless), SL_EINVAL, "header is malformed");
    CHECK_FAILS(sl_fetch("http://127.0.0.1/", .method = "GET / HTTP/1.1\r\nX:"), SL_EINVAL, "no HTTP method");
    CHECK_FAILS(sl_fetch("http://127.0.0.1/a b"), SL_EINVAL, "cannot fetch");
    CHECK_FAILS(sl_fetch("file:///etc/passwd"), SL_EINVAL, "file");
    CHECK_FAILS(sl_fetch("gopher://127.0.0.1/"), SL_EINVAL, "gopher");
    CHECK_FAILS(sl_fetch(""), SL_EINVAL, "cannot fetch");
    return NULL;
}

TASK_TEST(follows_so_many_redirects)
{
    responder_start(&server, NULL);
    sl_fetched *answer = sl_await(sl_fetch(at("/to/3")));
    CHECK(answer->status == 303 && strcmp(sl_fetched_header(answer, "location"), "/to/2") == 0);
    answer = sl_await(sl_fetch(at("/to/3"), .max_redirects = 3, .body = "x", .body_size = 1));
    CHECK(answer->status == 200 && strncmp(answer->body->data, "GET ", 4) == 0); /* 303 makes it a GET */
    CHECK(strcmp(answer->url, at("/echo")) == 0 && !sl_fetched_header(answer, "x-old"));
    CHECK_FAILS(sl_fetch(at("/to/3"), .max_redirects = 2), SL_ELOOP, "redirects");
    CHECK_FAILS(sl_fetch(at("/away"), .max_redirects = 2), SL_EINVAL, "file");
    answer = sl_await(sl_fetch(at("/to/3"), .max_redirects = 3, .method = "DELETE"));
    CHECK(answer->status == 303);
    return NULL;
}

TASK_TEST(limits_sizes)
{
    responder_start(&server, NULL);
    sl_fetched *answer = sl_await(sl_fetch(at("/big/1000000")));
    CHECK(answer->body->size == 1000000);
    CHECK(((sl_fetched *)sl_await(sl_fetch(at("/big/5000"), .max_size = 5000)))->body->size == 5000);
    CHECK_FAILS(sl_fetch(at("/big/1000000"), .max_size = 4999), SL_E2BIG, "larger than 4999 bytes");
    CHECK_FAILS(sl_fetch(at("/headers")), SL_E2BIG, "headers");
    return NULL;
}

/* ---- No answers -------------------------------------------------------------------------------------- */

TASK_TEST(failures_name_the_url)
{
    responder_start(&server, NULL);
    CHECK_FAILS(sl_fetch(at("/close")), SL_EPIPE, at("/close"));
    CHECK_FAILS(sl_fetch(at("/part")), SL_EPIPE, at("/part"));
    sl_error *error;
    CHECK_FAILS(sl_fetch(at("/garbage")), SL_EPROTO, at("/garbage"));
    /* A port that is taken, and where nobody listens. */
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    int deaf = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK(bind(deaf, (struct sockaddr *)&address, size) == 0);
    CHECK(getsockname(deaf, (struct sockaddr *)&address, &size) == 0);
    int port = ntohs(address.sin_port);
    char *secret = sl_printf("http://user:geheim@127.0.0.1:%d/x", port);
    sl_try(sl_fetch(secret), &error);
    CHECK(error && error->code == -ECONNREFUSED && strstr(error->message, sl_printf("127.0.0.1:%d/x", port)));
    close(deaf);
    CHECK(!strstr(error->message, "geheim"));
    return NULL;
}

TASK_TEST(time_limits_hold)
{
    responder_start(&server, NULL);
    CHECK_FAILS(sl_fetch(at("/hang"), .timeout_ms = 20), SL_ETIMEDOUT, at("/hang"));
    CHECK_FAILS(sl_fetch(at("/slow"), .timeout_ms = 20), SL_ETIMEDOUT, at("/slow"));
    return NULL;
}

/* ---- Connections ------------------------------------------------------------------------------------- */

TASK_TEST(connections_are_used_again)
{
    responder_start(&server, NULL);
    for (int i = 0; i < 20; i++)
        sl_await(sl_fetch(at("/echo")));
    CHECK(server.requests == 20 && server.connections == 1);
    return NULL;
}

TASK_TEST(many_at_once)
{
    enum { COUNT = 300 };
    responder_start(&server, NULL);
    sl_deferred *many[COUNT];
    for (int i = 0; i < COUNT; i++)
        many[i] = sl_fetch(at("/big/20000"));
    void **answers = sl_await(sl_all(many, COUNT));
    for (int i = 0; i < COUNT; i++)
        CHECK(((sl_fetched *)answers[i])->body->size == 20000);
    CHECK(server.requests == COUNT && server.connections <= 32);
    return NULL;
}

TASK_TEST(cancelled_ones_close_their_connection)
{
    responder_start(&server, NULL);
    sl_deferred *early = sl_fetch(at("/hang"));
    sl_cancel(early);
    CHECK_FAILS(early, SL_ECANCELED, "");
    sl_deferred *both[] = {sl_fetch(at("/hang")), sl_fetch(at("/slow"))};
    while (server.hanging < 2)
        sl_yield();
    sl_cancel(both[0]);
    sl_deferred_unref(both[1]); /* dropping it is cancelling it */
    CHECK_FAILS(both[0], SL_ECANCELED, "");
    while (server.open > 0)
        sl_yield();
    CHECK(((sl_fetched *)sl_await(sl_fetch(at("/echo"))))->status == 200);
    return NULL;
}

static sl_result cancel_other(sl_result result, void *other)
{
    sl_cancel(other);
    return result;
}

TASK_TEST(links_may_cancel_other_fetches)
{
    responder_start(&server, NULL);
    sl_deferred *other = sl_fetch(at("/hang"));
    sl_await(sl_then(sl_fetch(at("/echo")), cancel_other, NULL, other, NULL));
    CHECK_FAILS(other, SL_ECANCELED, "");
    return NULL;
}

TASK_TEST(speaks_over_unix_sockets)
{
    responder_start(&server, in_scratch("socket"));
    sl_fetched *answer = sl_await(sl_fetch("http://any.host/echo", .unix_socket = in_scratch("socket")));
    CHECK(answer->status == 200 && strstr(answer->body->data, "Host: any.host"));
    sl_error *error;
    sl_try(sl_fetch("http://any.host/", .unix_socket = in_scratch("nobody")), &error);
    CHECK(error && error->code < 0 && strstr(error->message, "any.host"));
    return NULL;
}

/* docs/samples/io/fetch.c, built and run as it stands in the document. */
TASK_TEST(the_sample_fetches)
{
    const char *sample = getenv("SAMPLE_FETCH");
    CHECK(sample);
    responder_start(&server, NULL);
    char *argv[] = {(char *)sample, (char *)at("/echo"), NULL};
    sl_process_result *result = sl_await(sl_process_run(argv, 0));
    CHECK(result->status == 0 && strncmp(result->output->data, "200 text/plain, ", 16) == 0);
    return NULL;
}

/* The loop goes while fetches are under way (the leak check sees what stays behind). */
TASK_TEST(fetches_end_with_the_loop)
{
    responder_start(&server, NULL);
    sl_await(sl_fetch(at("/echo")));
    for (int i = 0; i < 3; i++)
        sl_forget(sl_fetch(at("/hang")));
    while (server.hanging < 3)
        sl_yield();
    return NULL;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, scratch_new, scratch_remove)

int main(void)
{
    unsetenv("http_proxy");
    unsetenv("all_proxy");
    unsetenv("ALL_PROXY");
    const struct CMUnitTest tests[] = {
        TEST(fetches),
        TEST(sends_methods_headers_and_bodies),
        TEST(refuses_what_would_be_another_request),
        TEST(follows_so_many_redirects),
        TEST(limits_sizes),
        TEST(failures_name_the_url),
        TEST(time_limits_hold),
        TEST(connections_are_used_again),
        TEST(many_at_once),
        TEST(cancelled_ones_close_their_connection),
        TEST(links_may_cancel_other_fetches),
        TEST(speaks_over_unix_sockets),
        TEST(the_sample_fetches),
        TEST(fetches_end_with_the_loop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
