/* drain.c: a stop answers whoever was accepted, also one whose request was not read yet, and closes those who
 * only wait. */
#include <silver/silver.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

static sl_response *answer(sl_request *req)
{
    return sl_text(req, 200, "served");
}

static int dial(int port)
{
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    return fd;
}

static void ask(int fd)
{
    static const char request[] = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    assert_int_equal(write(fd, request, sizeof(request) - 1), (ssize_t)(sizeof(request) - 1));
}

/* What the server says until it closes, or with `whole` until one answer is whole; waits on the loop
 * meanwhile. */
static size_t hear(int fd, char *text, size_t room, bool whole)
{
    size_t size = 0;
    for (;;) {
        ssize_t got = recv(fd, text + size, room - 1 - size, MSG_DONTWAIT);
        if (got == 0)
            break;
        size += got > 0 ? (size_t)got : 0;
        text[size] = '\0';
        if (whole && strstr(text, "served"))
            break;
        if (got < 0)
            sl_await(sl_sleep(1));
    }
    text[size] = '\0';
    return size;
}

static void *serve(void *data)
{
    char text[1024];
    int listener;
    sl_error *error = NULL;
    sl_http_server *server;
    sl_http_options options = {.handler = answer};
    sl_http_limits_init(&options.limits);
    options.limits.header_ms = 400; /* sweeps often */
    assert_int_equal(sl_listen("127.0.0.1:0", 16, &listener, &error), 0);
    char *address = sl_listen_address(listener);
    int port = atoi(strrchr(address, ':') + 1);
    free(address);
    assert_int_equal(sl_http_server_new(&options, &server), 0);
    assert_int_equal(sl_http_server_listen(server, listener), 0);

    int waits = dial(port), asks_late = dial(port), silent = dial(port), asks_again = dial(port);
    ask(waits);
    assert_true(hear(waits, text, sizeof(text), /* whole= */ true) > 0);
    ask(asks_again);
    assert_true(hear(asks_again, text, sizeof(text), /* whole= */ true) > 0);
    ask(asks_again); /* lies in the kernel: the loop does not run before the stop */
    sl_deferred *drained = sl_http_server_drain(server);
    ask(asks_late);
    assert_int_equal(hear(waits, text, sizeof(text), false), 0);
    assert_true(hear(asks_again, text, sizeof(text), false) > 0);
    assert_non_null(strstr(text, "served"));
    assert_true(hear(asks_late, text, sizeof(text), false) > 0);
    assert_non_null(strstr(text, "Connection: close"));
    assert_int_equal(hear(silent, text, sizeof(text), false),
                     0); /* its moment is over long before drain_ms */
    sl_await(drained);
    sl_http_server_free(server);
    close(waits);
    close(asks_late);
    close(silent);
    close(asks_again);
    return NULL;
}

static void test_drain(void **state)
{
    assert_int_equal(sl_run("test", serve, NULL, NULL), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_drain)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
