/* serving.h: a server on a loopback port, and a client that talks to it from a thread with blocking sockets,
 * so that each test reads as the conversation that it is. The client's checks end the process: cmocka's
 * cannot leave a thread. */
#pragma once

#include <silver/silver.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#define CHECK(condition)                                                                                     \
    do {                                                                                                     \
        if (!(condition)) {                                                                                  \
            fprintf(stderr, "%s:%d: the client expected %s\n", __FILE__, __LINE__, #condition);              \
            abort();                                                                                         \
        }                                                                                                    \
    } while (0)

typedef void client_fn(int port);

typedef struct serving {
    sl_http_options options;
    client_fn *client;
    int port;
    bool no_drain; /* the client has drained it */
} serving;

static sl_http_server *the_server __attribute__((unused)); /* of the test that runs: for handlers */

static inline serving serving_with(sl_handler *handler)
{
    serving s = {0};
    sl_http_limits_init(&s.options.limits);
    s.options.handler = handler;
    return s;
}

static sl_result serving_run_client(void *data)
{
    serving *s = data;
    s->client(s->port);
    return sl_ok(NULL);
}

static void *serving_main(void *data)
{
    serving *s = data;
    int fd;
    sl_error *error = NULL;
    if (sl_listen("127.0.0.1:0", 0, &fd, &error) < 0)
        sl_fail_error(error);
    char *address = sl_listen_address(fd);
    s->port = atoi(strrchr(address, ':') + 1);
    free(address);
    sl_check(sl_http_server_new(&s->options, &the_server), "the server");
    sl_check(sl_http_server_listen(the_server, fd), "listening");
    sl_await(sl_in_thread(serving_run_client, s, NULL));
    if (!s->no_drain)
        sl_await(sl_http_server_drain(the_server));
    the_server = sl_http_server_free(the_server);
    return NULL;
}

/* Runs the client against the server, and stops both. */
static inline void serve(serving s, client_fn *client)
{
    s.client = client;
    assert_int_equal(sl_run("test", serving_main, &s, NULL), 0);
}

/* ---- The client ---- */

typedef struct reply {
    int status;
    size_t size; /* of the body */
    char head[8192];
    char body[262144];
} reply;

static inline int dial(int port)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    struct timeval patience = {.tv_sec = 20};
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
    int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    CHECK(fd >= 0);
    CHECK(connect(fd, (struct sockaddr *)&to, sizeof(to)) == 0);
    return fd;
}

static inline void put_bytes(int fd, const void *data, size_t size)
{
    CHECK(send(fd, data, size, MSG_NOSIGNAL) == (ssize_t)size);
}

static inline void put(int fd, const char *text)
{
    put_bytes(fd, text, strlen(text));
}

static inline void get_bytes(int fd, void *data, size_t size)
{
    for (size_t have = 0; have < size;) {
        ssize_t got = recv(fd, (char *)data + have, size - have, 0);
        CHECK(got > 0);
        have += (size_t)got;
    }
}

/* A line without its end. */
static inline void get_line(int fd, char *line, size_t room)
{
    size_t size = 0;
    do {
        CHECK(size + 1 < room);
        get_bytes(fd, line + size, 1);
    } while (line[size++] != '\n');
    CHECK(size >= 2 && line[size - 2] == '\r');
    line[size - 2] = '\0';
}

static inline void get_head(int fd, reply *r)
{
    size_t size = 0;
    r->size = 0;
    for (;;) {
        char line[4096];
        get_line(fd, line, sizeof(line));
        size += (size_t)snprintf(r->head + size, sizeof(r->head) - size, "%s\r\n", line);
        if (!*line)
            break;
    }
    CHECK(strncmp(r->head, "HTTP/1.1 ", 9) == 0);
    r->status = atoi(r->head + 9);
}

/* A field's value, up to its line's end, in a static buffer; or NULL. */
static inline const char *field_of(const reply *r, const char *name)
{
    static char value[1024];
    char start[128];
    snprintf(start, sizeof(start), "\r\n%s: ", name);
    const char *at = strcasestr(r->head, start);
    if (!at)
        return NULL;
    at += strlen(start);
    snprintf(value, sizeof(value), "%.*s", (int)strcspn(at, "\r"), at);
    return value;
}

static inline void get_chunks(int fd, reply *r)
{
    for (;;) {
        char line[128];
        get_line(fd, line, sizeof(line));
        size_t size = strtoul(line, NULL, 16);
        CHECK(r->size + size < sizeof(r->body));
        get_bytes(fd, r->body + r->size, size);
        r->size += size;
        get_line(fd, line, sizeof(line));
        CHECK(!*line);
        if (size == 0)
            break;
    }
    r->body[r->size] = '\0';
}

/* A whole response, to a request that was not HEAD. */
static inline void get(int fd, reply *r)
{
    get_head(fd, r);
    r->body[0] = '\0';
    if (field_of(r, "Transfer-Encoding")) {
        get_chunks(fd, r);
    } else if (field_of(r, "Content-Length")) {
        r->size = strtoul(field_of(r, "Content-Length"), NULL, 10);
        CHECK(r->size < sizeof(r->body));
        get_bytes(fd, r->body, r->size);
        r->body[r->size] = '\0';
    }
}

/* Whether the server has closed: nothing more comes. A reset counts. */
static inline bool at_end(int fd)
{
    char c;
    return recv(fd, &c, 1, 0) <= 0;
}

/* One request on a connection of its own. */
static inline void ask(int port, const char *text, reply *r)
{
    int fd = dial(port);
    put(fd, text);
    get(fd, r);
    close(fd);
}
