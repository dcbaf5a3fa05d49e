/* WebSockets on real sockets. The client makes its frames with the encoder of the library, which has tests of
 * its own. */
#include "serving.h"
#include "http/ws_frame.h"

#include <stdatomic.h>

static reply r;
static const uint8_t mask[4] = {1, 2, 3, 4};
static atomic_bool handler_ended;
static atomic_int seen_code;

static void note_end(void *data)
{
    atomic_store(&handler_ended, true);
}

static void note_code(void *data)
{
    atomic_store(&seen_code, sl_websocket_close_code(data));
    atomic_store(&handler_ended, true);
}

static void echo(sl_websocket *ws)
{
    sl_defer(note_code, ws);
    for (sl_message *m; (m = sl_receive(ws));) {
        if (m->kind == SL_TEXT)
            sl_send_text(ws, m->data);
        else
            sl_send_binary(ws, m->data, m->size);
    }
}

static void fail_soon(sl_websocket *ws)
{
    sl_receive(ws);
    sl_fail(SL_EIO, "the disk went");
}

static void *send_deep(void *ws)
{
    json_t *deep = json_array();
    for (unsigned i = 0; i < 1500; i++)
        deep = json_pack("[o]", deep);
    sl_send_json(ws, "o", deep);
    return NULL;
}

static void one_message(sl_websocket *ws)
{
    sl_error *error;
    sl_try(sl_spawn(send_deep, ws), &error);
    CHECK(error && error->code == SL_EINVAL && strstr(error->message, "is nested too deep"));
    sl_send_json(ws, "{s:s, s:i}", "a", "\xc3\xa9", "b", 1);
}

static void close_itself(sl_websocket *ws)
{
    sl_websocket_close(ws, 4001, "enough");
    sl_send_text(ws, "too late");
}

static void listen_only(sl_websocket *ws)
{
    sl_defer(note_end, NULL);
    sl_await(sl_sleep(1000000));
}

static void flood(sl_websocket *ws)
{
    static char block[50000];
    sl_defer(note_end, NULL);
    for (;;)
        sl_send_binary(ws, block, sizeof(block));
}

static sl_response *handle(sl_request *req)
{
    static const char *const protocols[] = {"chat.v2", "chat.v1", NULL};
    static const char *const origins[] = {"https://friend.example", NULL};
    static const sl_websocket_options options = {.protocols = protocols, .origins = origins};
    static const struct {
        const char *path;
        sl_websocket_fn *handler;
    } handlers[] = {{"/fail", fail_soon},
                    {"/one", one_message},
                    {"/close", close_itself},
                    {"/listen", listen_only},
                    {"/flood", flood}};
    for (size_t i = 0; i < sl_array_size(handlers); i++) {
        if (strcmp(sl_path(req), handlers[i].path) == 0)
            return sl_websocket_accept(req, handlers[i].handler, NULL);
    }
    return sl_websocket_accept(req, echo, strcmp(sl_path(req), "/options") == 0 ? &options : NULL);
}

/* ---- The client ---- */

#define HANDSHAKE                                                                                            \
    "Host: a.example\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: "    \
    "13\r\n"                                                                                                 \
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"

static int open_ws(int port, const char *path, const char *more)
{
    char text[1024];
    int fd = dial(port);
    atomic_store(&handler_ended, false);
    snprintf(text, sizeof(text), "GET %s HTTP/1.1\r\n" HANDSHAKE "%s\r\n", path, more);
    put(fd, text);
    get_head(fd, &r);
    return fd;
}

static void put_frame(int fd, sl__ws_opcode opcode, bool final, const void *data, size_t size)
{
    uint8_t head[14];
    char *masked = malloc(size + 1);
    size_t head_size = sl__ws_frame_head(head, opcode, final, false, size, mask);
    sl__ws_mask(masked, data, size, mask, 0);
    put_bytes(fd, head, head_size);
    put_bytes(fd, masked, size);
    free(masked);
}

static void put_text(int fd, const char *text)
{
    put_frame(fd, SL__WS_TEXT, true, text, strlen(text));
}

/* The next frame's opcode; its payload is in r.body, r.size. */
static int get_frame(int fd)
{
    uint8_t head[2], length[8];
    get_bytes(fd, head, 2);
    CHECK(!(head[1] & 0x80)); /* a server does not mask */
    r.size = head[1];
    if (r.size >= 126) {
        size_t digits = r.size == 126 ? 2 : 8;
        get_bytes(fd, length, digits);
        r.size = 0;
        for (size_t i = 0; i < digits; i++)
            r.size = r.size << 8 | length[i];
    }
    CHECK(r.size < sizeof(r.body));
    get_bytes(fd, r.body, r.size);
    r.body[r.size] = '\0';
    return head[0];
}

static void expect_text(int fd, const char *text)
{
    CHECK(get_frame(fd) == 0x81);
    CHECK(strcmp(r.body, text) == 0);
}

static void expect_close(int fd, int code)
{
    CHECK(get_frame(fd) == 0x88);
    CHECK(r.size >= 2 && ((uint8_t)r.body[0] << 8 | (uint8_t)r.body[1]) == code);
}

static void wait_for_end(void)
{
    while (!atomic_load(&handler_ended))
        usleep(1000);
}

/* ---- Tests ---- */

static void conversation(int port)
{
    int fd = open_ws(port, "/", "");
    CHECK(r.status == 101 &&
          strcmp(field_of(&r, "Sec-WebSocket-Accept"), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=") == 0);
    CHECK(strcmp(field_of(&r, "Connection"), "Upgrade") == 0 && !field_of(&r, "Content-Length"));
    put_text(fd, "hello");
    expect_text(fd, "hello");
    put_frame(fd, SL__WS_TEXT, false, "a", 1);
    put_frame(fd, SL__WS_PING, true, "are you there?", 14);
    put_frame(fd, SL__WS_CONTINUATION, false, "", 0);
    put_frame(fd, SL__WS_CONTINUATION, true, "b", 1);
    CHECK(get_frame(fd) == 0x8a && strcmp(r.body, "are you there?") == 0);
    expect_text(fd, "ab");
    static char large[200000];
    memset(large, 'z', sizeof(large));
    put_frame(fd, SL__WS_BINARY, true, large, sizeof(large));
    CHECK(get_frame(fd) == 0x82 && r.size == sizeof(large) && memcmp(r.body, large, sizeof(large)) == 0);
    put_text(fd, "");
    expect_text(fd, "");
    put_text(fd, "last"); /* may be answered before the close, or not */
    put_frame(fd, SL__WS_CLOSE, true, "\x03\xe9", 2);
    int opcode = get_frame(fd);
    if (opcode == 0x81)
        opcode = get_frame(fd);
    CHECK(opcode == 0x88 && at_end(fd));
    wait_for_end();
    CHECK(atomic_load(&seen_code) == 1001);
    close(fd);
}

static void one_way_ends(int port)
{
    int fd = open_ws(port, "/", "");
    close(fd);
    wait_for_end();
    CHECK(atomic_load(&seen_code) == 1006);
    fd = open_ws(port, "/one", "");
    expect_text(fd, "{\"a\":\"\xc3\xa9\",\"b\":1}");
    expect_close(fd, 1000);
    put_frame(fd, SL__WS_CLOSE, true, "\x03\xe8", 2);
    CHECK(at_end(fd));
    close(fd);
    fd = open_ws(port, "/fail", "");
    put_text(fd, "x");
    expect_close(fd, 1011);
    close(fd);
    fd = open_ws(port, "/close", "");
    expect_close(fd, 4001);
    CHECK(strcmp(r.body + 2, "enough") == 0);
    close(fd);
    /* Handlers that do not receive are cancelled: by a close, and by one who just goes. */
    fd = open_ws(port, "/listen", "");
    put_text(fd, "nobody reads this");
    put_frame(fd, SL__WS_CLOSE, true, "", 0);
    CHECK(get_frame(fd) == 0x88);
    wait_for_end();
    close(fd);
    fd = open_ws(port, "/listen", "");
    close(fd);
    wait_for_end();
    fd = open_ws(port, "/flood", "");
    CHECK(get_frame(fd) == 0x82 && r.size == 50000);
    close(fd);
    wait_for_end();
}

static void broken_rules(int port)
{
    int fd = open_ws(port, "/", "");
    put(fd, "\x81\x01x"); /* not masked */
    expect_close(fd, 1002);
    CHECK(at_end(fd));
    close(fd);
    fd = open_ws(port, "/", "");
    put_text(fd, "\xc3\x28");
    expect_close(fd, 1007);
    close(fd);
    fd = open_ws(port, "/", "");
    put_frame(fd, SL__WS_CONTINUATION, true, "x", 1);
    expect_close(fd, 1002);
    close(fd);
}

static void test_conversations(void **state)
{
    serve(serving_with(handle), conversation);
    serve(serving_with(handle), one_way_ends);
    serve(serving_with(handle), broken_rules);
}

static void too_large(int port)
{
    static char large[2000];
    memset(large, 'z', sizeof(large));
    int fd = open_ws(port, "/", "");
    put_frame(fd, SL__WS_TEXT, true, large, 1000);
    CHECK(get_frame(fd) == 0x81);
    put_frame(fd, SL__WS_TEXT, false, large, 900);
    put_frame(fd, SL__WS_CONTINUATION, true, large, 101);
    expect_close(fd, 1009);
    CHECK(at_end(fd));
    close(fd);
}

static void test_too_large(void **state)
{
    serving s = serving_with(handle);
    s.options.limits.websocket_message = 1000;
    serve(s, too_large);
}

static void handshakes(int port)
{
    static const struct {
        int status;
        const char *request;
    } refused[] = {
        {426, "GET / HTTP/1.1\r\nHost: a\r\n\r\n"},
        {426, "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: "
              "websocket\r\nSec-WebSocket-Version: 8\r\n"
              "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"},
        {400, "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: "
              "websocket\r\nSec-WebSocket-Version: 13\r\n"
              "Sec-WebSocket-Key: short\r\n\r\n"},
        {400, "POST / HTTP/1.1\r\n" HANDSHAKE "\r\n"},
        {400, "GET / HTTP/1.1\r\nContent-Length: 0\r\n" HANDSHAKE "\r\n"},
        {403, "GET / HTTP/1.1\r\nOrigin: https://evil.example\r\n" HANDSHAKE "\r\n"},
        {403, "GET / HTTP/1.1\r\nOrigin: null\r\n" HANDSHAKE "\r\n"},
        {403, "GET / HTTP/1.1\r\nOrigin: http://a.example.evil.example\r\n" HANDSHAKE "\r\n"},
        {403, "GET / HTTP/1.1\r\nOrigin: http://a.example:8080\r\n" HANDSHAKE "\r\n"},
        {403, "GET /options HTTP/1.1\r\nOrigin: http://friend.example\r\n" HANDSHAKE "\r\n"},
    };
    for (size_t i = 0; i < sl_array_size(refused); i++) {
        ask(port, refused[i].request, &r);
        CHECK(r.status == refused[i].status);
        CHECK(r.status != 426 || strcmp(field_of(&r, "Sec-WebSocket-Version"), "13") == 0);
        CHECK(r.status != 426 || strcmp(field_of(&r, "Connection"), "Upgrade") == 0);
    }
    close(open_ws(port, "/", "Origin: http://a.example\r\n"));
    CHECK(r.status == 101);
    close(open_ws(port, "/", "Origin: https://A.example:443\r\n"));
    CHECK(r.status == 101);
    close(open_ws(port, "/options",
                  "Origin: https://friend.example\r\nSec-WebSocket-Protocol: chat.v1, chat.v2\r\n"));
    CHECK(r.status == 101 && strcmp(field_of(&r, "Sec-WebSocket-Protocol"), "chat.v2") == 0);
    close(open_ws(port, "/", "Sec-WebSocket-Protocol: chat.v1\r\n"));
    CHECK(r.status == 101 && !field_of(&r, "Sec-WebSocket-Protocol"));
}

static void test_handshakes(void **state)
{
    serve(serving_with(handle), handshakes);
}

static void deflate(int port)
{
    int fd = open_ws(port, "/", "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n");
    CHECK(r.status == 101 && strstr(field_of(&r, "Sec-WebSocket-Extensions"), "permessage-deflate"));
    sl__ws_deflate ours = {0};
    sl_buffer ignored = {0}, out = {0};
    CHECK(
        sl__ws_deflate_negotiate("permessage-deflate; server_no_context_takeover; client_no_context_takeover",
                                 false, NULL, &ours, &ignored));
    static char text[10000];
    memset(text, 'k', sizeof(text) - 1);
    sl__ws_put_message(&out, SL__WS_TEXT, text, sizeof(text) - 1, &ours, mask);
    CHECK(out.size < 1000);
    put_bytes(fd, out.data, out.size);
    CHECK(get_frame(fd) == 0xc1 && r.size < 1000); /* compressed as well */
    sl__ws_deflate_done(&ours);
    sl_buffer_done(&ignored);
    sl_buffer_done(&out);
    close(fd);
}

static void test_deflate(void **state)
{
    serve(serving_with(handle), deflate);
}

static void pings(int port)
{
    int fd = open_ws(port, "/listen", "");
    CHECK(get_frame(fd) == 0x89 && r.size == 0);
    put_frame(fd, SL__WS_PONG, true, "", 0);
    while (!at_end(fd)) /* no more pongs: it is given up */
        continue;
    wait_for_end();
    close(fd);
}

static void test_pings(void **state)
{
    serving s = serving_with(handle);
    s.options.websocket.ping_ms = 40;
    serve(s, pings);
}

/* The client sends without reading: the echo waits for it, and so do we in the end, but nothing grows. */
static void back_pressure(int port)
{
    int fd = open_ws(port, "/", "");
    static char large[100000];
    memset(large, 'q', sizeof(large));
    struct timeval impatience = {.tv_usec = 200000};
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &impatience, sizeof(impatience));
    size_t sent = 0;
    uint8_t head[14];
    size_t head_size = sl__ws_frame_head(head, SL__WS_BINARY, true, false, sizeof(large), mask);
    static char masked[sizeof(large)];
    sl__ws_mask(masked, large, sizeof(large), mask, 0);
    size_t part = 0; /* of the frame that was cut short */
    for (bool full = false; !full && sent < 1000;) {
        put_bytes(fd, head, head_size);
        for (part = 0; part < sizeof(masked);) {
            ssize_t got = send(fd, masked + part, sizeof(masked) - part, MSG_NOSIGNAL);
            if (got < 0) {
                full = true;
                break;
            }
            part += (size_t)got;
        }
        sent++;
    }
    CHECK(sent < 1000); /* 100 MB do not fit anywhere on the way */
    for (size_t i = 0; i + 1 < sent; i++) {
        CHECK(get_frame(fd) == 0x82 && r.size == sizeof(large));
        CHECK(memcmp(r.body, large, sizeof(large)) == 0);
    }
    put_bytes(fd, masked + part, sizeof(masked) - part);
    CHECK(get_frame(fd) == 0x82);
    close(fd);
}

static void test_back_pressure(void **state)
{
    serve(serving_with(handle), back_pressure);
}

static void drained(int port);

static void *drain_from_task(void *data)
{
    sl_await(sl_http_server_drain(the_server));
    return NULL;
}

static void start_drain(void *data)
{
    sl_go(drain_from_task, NULL);
}

static sl_loop *server_loop;

static sl_response *handle_and_note(sl_request *req)
{
    server_loop = sl_loop_current();
    return handle(req);
}

static void drained(int port)
{
    int fd = open_ws(port, "/", "");
    CHECK(r.status == 101);
    CHECK(sl_loop_post(server_loop, start_drain, NULL) == 0);
    expect_close(fd, 1001);
    put_frame(fd, SL__WS_CLOSE, true, "\x03\xe9", 2);
    CHECK(at_end(fd));
    wait_for_end();
    close(fd);
}

static void test_drain(void **state)
{
    serving s = serving_with(handle_and_note);
    s.no_drain = true;
    serve(s, drained);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_conversations), cmocka_unit_test(test_too_large),
        cmocka_unit_test(test_handshakes),    cmocka_unit_test(test_deflate),
        cmocka_unit_test(test_pings),         cmocka_unit_test(test_back_pressure),
        cmocka_unit_test(test_drain),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
