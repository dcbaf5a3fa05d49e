/* What an operator sees: addresses, stopping, the access log, metrics. */
#include "serving.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/un.h>

static reply r;
static sl_loop *server_loop;
static atomic_bool drained;

static void *drain_now(void *data)
{
    sl_await(sl_http_server_drain(the_server));
    atomic_store(&drained, true);
    return NULL;
}

static void start_drain(void *data)
{
    sl_go(drain_now, NULL);
}

static sl_response *handle(sl_request *req)
{
    server_loop = sl_loop_current();
    if (strcmp(sl_path(req), "/wait") == 0)
        sl_await(sl_sleep(1000000));
    if (sl_header(req, "Content-Length"))
        sl_body(req, 0, NULL);
    return sl_text(req, 200, "from %s", sl_peer(req));
}

/* ---- Addresses ---- */

static void refused(const char *address, int code, const char *why)
{
    int fd = -5;
    sl_error *error = NULL;
    assert_int_equal(sl_listen(address, 0, &fd, &error), code);
    assert_int_equal(fd, -5);
    assert_int_equal(error->code, code);
    assert_non_null(strstr(error->message, address));
    assert_non_null(strstr(error->message, why));
    assert_non_null(error->hint);
    sl_error_unref(error);
}

static void test_addresses(void **state)
{
    refused("8080", SL_EINVAL, "no port");
    refused("127.0.0.1:http", SL_EINVAL, "not a number");
    refused("127.0.0.1:65536", SL_EINVAL, "65535");
    refused("localhost.example:1", SL_EINVAL, "not an IP address");
    refused("::1:80", SL_EINVAL, "brackets");
    refused("unix:", SL_EINVAL, "empty");
    refused("unix:/no/such/directory/s", -ENOENT, "No such file");
    refused("192.0.2.1:0", -EADDRNOTAVAIL, "no such address");
    static const char *const good[] = {"127.0.0.1:0", "localhost:0", "[::1]:0", ":0"};
    static const char *const shown[] = {"127.0.0.1:", "127.0.0.1:", "[::1]:", "[::]:"};
    for (size_t i = 0; i < sl_array_size(good); i++) {
        int fd;
        sl_error *error = NULL;
        int code = sl_listen(good[i], 0, &fd, &error);
        if (code < 0 && good[i][0] == '[') { /* a machine without IPv6 */
            sl_error_unref(error);
            continue;
        }
        assert_int_equal(code, 0);
        char *address = sl_listen_address(fd);
        assert_memory_equal(address, shown[i], strlen(shown[i]));
        assert_int_not_equal(atoi(strrchr(address, ':') + 1), 0);
        if (i == 0)
            refused(address, -EADDRINUSE, "taken");
        free(address);
        close(fd);
    }
}

static char unix_path[] = "/tmp/silver-http-XXXXXX";

static sl_result unix_client(void *data)
{
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    snprintf(to.sun_path, sizeof(to.sun_path), "%s/socket", unix_path);
    CHECK(connect(fd, (struct sockaddr *)&to, sizeof(to)) == 0);
    put(fd, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    get(fd, &r);
    CHECK(strcmp(r.body, "from unix") == 0);
    close(fd);
    return sl_ok(NULL);
}

static void *unix_main(void *data)
{
    char address[64];
    serving s = serving_with(handle);
    snprintf(address, sizeof(address), "unix:%s/socket", unix_path);
    for (int round = 0; round < 2; round++) { /* the second time a dead socket is there */
        int fd, again;
        sl_error *error = NULL;
        assert_int_equal(sl_listen(address, 0, &fd, &error), 0);
        assert_int_equal(sl_listen(address, 0, &again, &error), -EADDRINUSE);
        sl_error_unref(error);
        char *shown = sl_listen_address(fd);
        assert_string_equal(shown, address);
        free(shown);
        assert_int_equal(sl_http_server_new(&s.options, &the_server), 0);
        assert_int_equal(sl_http_server_listen(the_server, fd), 0);
        sl_await(sl_in_thread(unix_client, NULL, NULL));
        sl_await(sl_http_server_drain(the_server));
        sl_http_server_free(the_server);
    }
    return NULL;
}

static void test_unix(void **state)
{
    assert_non_null(mkdtemp(unix_path));
    assert_int_equal(sl_run("test", unix_main, NULL, NULL), 0);
    char path[64];
    snprintf(path, sizeof(path), "%s/socket", unix_path);
    unlink(path);
    rmdir(unix_path);
}

/* ---- Stopping ---- */

static void draining(int port)
{
    int idle = dial(port), busy = dial(port);
    put(idle, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    get(idle, &r);
    put(busy, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nExpect: 100-continue\r\n\r\n");
    get_head(busy, &r);
    CHECK(r.status == 100);
    atomic_store(&drained, false);
    CHECK(sl_loop_post(server_loop, start_drain, NULL) == 0);
    CHECK(at_end(idle)); /* at once */
    CHECK(!atomic_load(&drained));
    put(busy, "x"); /* what had begun is finished */
    get(busy, &r);
    CHECK(r.status == 200 && strcmp(field_of(&r, "Connection"), "close") == 0 && at_end(busy));
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int late = socket(AF_INET, SOCK_STREAM, 0);
    CHECK(connect(late, (struct sockaddr *)&to, sizeof(to)) < 0);
    close(late);
    close(idle);
    close(busy);
    while (!atomic_load(&drained))
        usleep(1000);
}

static void draining_the_stubborn(int port)
{
    int fd = dial(port);
    put(fd, "GET / HTTP/1.1\r\nHost: a\r\n\r\nGET /wait HTTP/1.1\r\nHost: a\r\n\r\n");
    get(fd, &r);
    atomic_store(&drained, false);
    CHECK(sl_loop_post(server_loop, start_drain, NULL) == 0);
    CHECK(at_end(fd)); /* drain_ms */
    while (!atomic_load(&drained))
        usleep(1000);
    close(fd);
}

static void test_drain(void **state)
{
    serving s = serving_with(handle);
    s.no_drain = true;
    serve(s, draining);
    s.options.limits.drain_ms = 40;
    serve(s, draining_the_stubborn);
}

static void leaves_open(int port)
{
    static const char *const left[] = {"", "GET / HT", "GET /wait HTTP/1.1\r\nHost: a\r\n\r\n",
                                       "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n"};
    for (size_t i = 0; i < sl_array_size(left); i++)
        put(dial(port), left[i]);
    ask(port, "GET / HTTP/1.1\r\nHost: a\r\n\r\n", &r);
}

/* Freed without having been drained, in the middle of everything. */
static void test_freeing(void **state)
{
    serving s = serving_with(handle);
    s.no_drain = true;
    serve(s, leaves_open);
}

/* ---- The log ---- */

static char log_path[64];

static char *read_log(const char *path)
{
    static char text[8192];
    int fd = open(path, O_RDONLY);
    assert_true(fd >= 0);
    ssize_t size = read(fd, text, sizeof(text) - 1);
    assert_true(size >= 0);
    text[size] = '\0';
    close(fd);
    return text;
}

static void logged(int port)
{
    ask(port, "GET /a\"b?x=1 HTTP/1.1\r\nHost: a\r\nUser-Agent: te\\st \xff\"\r\nReferer: http://x/\r\n\r\n",
        &r);
    ask(port, "GET /plain HTTP/1.1\r\nHost: a\r\nUser-Agent: te\\st \xff\"\r\nReferer: http://x/\r\n\r\n",
        &r);
    int fd = dial(port);
    put(fd, "HEAD / HTTP/1.0\r\n\r\n");
    get_head(fd, &r);
    CHECK(at_end(fd));
    close(fd);
    ask(port, "GET / HTTP/1.1\r\nHost: a\r\nUser-Agent: Moz\xc3\xaflla \xc2\x9b\r\n\r\n", &r);
    ask(port, "BAD\r\n\r\n", &r);
}

static void test_access_log(void **state)
{
    snprintf(log_path, sizeof(log_path), "/tmp/silver-http-%d.log", (int)getpid());
    unlink(log_path);
    serving s = serving_with(handle);
    s.options.access_log = log_path;
    s.options.access_format = SL_ACCESS_COMBINED;
    serve(s, logged);
    const char *text = read_log(log_path);
    assert_non_null(strstr(text, "127.0.0.1 - - ["));
    assert_non_null(strstr(text, "] \"GET /plain HTTP/1.1\" 200 14 \"http://x/\" \"te\\\\st \\xff\\\"\"\n"));
    assert_non_null(strstr(text, "] \"HEAD / HTTP/1.0\" 200 0 \"-\" \"-\"\n"));
    assert_non_null(strstr(text, "] \"-\" 400 "));
    unlink(log_path);
    s.options.access_format = SL_ACCESS_JSON;
    serve(s, logged);
    text = read_log(log_path);
    assert_non_null(strstr(
        text, "\"peer\":\"127.0.0.1\",\"method\":\"GET\",\"target\":\"/plain\",\"protocol\":\"HTTP/1.1\","
              "\"status\":200,\"bytes\":14,\"ms\":"));
    assert_non_null(strstr(text, "\"agent\":\"te\\\\st \\u00ff\\\"\"}\n"));
    assert_non_null(strstr(text, "\"agent\":\"Moz\xc3\xaflla \\u00c2\\u009b\"}\n"));
    unlink(log_path);
}

static sl_response *handle_reopen(sl_request *req)
{
    if (strcmp(sl_path(req), "/reopen") == 0) {
        char moved[80];
        snprintf(moved, sizeof(moved), "%s.1", log_path);
        rename(log_path, moved);
        if (sl_http_server_reopen_log(the_server) < 0)
            sl_fail(SL_EIO, "reopening failed");
    }
    return sl_text(req, 200, "ok");
}

static void reopened(int port)
{
    ask(port, "GET /reopen HTTP/1.1\r\nHost: a\r\n\r\n", &r);
    CHECK(r.status == 200);
    ask(port, "GET /after HTTP/1.1\r\nHost: a\r\n\r\n", &r);
}

static void test_log_files(void **state)
{
    char moved[80];
    snprintf(moved, sizeof(moved), "%s.1", log_path);
    serving s = serving_with(handle_reopen);
    s.options.access_log = log_path;
    s.options.access_format = SL_ACCESS_COMBINED;
    serve(s, reopened);
    assert_non_null(strstr(read_log(log_path), "GET /after"));
    unlink(log_path);
    unlink(moved);
}

typedef struct kept_log {
    sl_logger logger;
    char text[8192];
} kept_log;

static void keep_line(sl_logger *logger, sl_level level, const sl_site *site, const char *message,
                      size_t size)
{
    kept_log *kept = (kept_log *)logger;
    size_t have = strlen(kept->text);
    snprintf(kept->text + have, sizeof(kept->text) - have, "%s\n", message);
}

static kept_log kept = {.logger = {.name = "test", .level = SL_DEBUG, .write = keep_line}};

/* The log is a link: first to a full disk, then to a file. */
static sl_response *handle_full(sl_request *req)
{
    sl_root_set_logger(sl_root_current(), &kept.logger);
    if (strcmp(sl_path(req), "/full") == 0) {
        while (!strcasestr(kept.text, "no space left on device"))
            sl_await(sl_sleep(5));
    } else if (strcmp(sl_path(req), "/room") == 0) {
        unlink(log_path);
        if (sl_http_server_reopen_log(the_server) < 0)
            sl_fail(SL_EIO, "reopening failed");
    } else if (strcmp(sl_path(req), "/told") == 0) {
        while (!strstr(kept.text, "lines were lost"))
            sl_await(sl_sleep(5));
    }
    return sl_text(req, 200, "ok");
}

static void fills_the_disk(int port)
{
    for (int i = 0; i < 3; i++)
        ask(port, "GET /lost HTTP/1.1\r\nHost: a\r\n\r\n", &r);
    ask(port, "GET /full HTTP/1.1\r\nHost: a\r\n\r\n", &r);
    ask(port, "GET /room HTTP/1.1\r\nHost: a\r\n\r\n", &r);
    ask(port, "GET /told HTTP/1.1\r\nHost: a\r\n\r\n", &r);
    CHECK(r.status == 200);
}

/* Nobody waits for the disk, and each line is written or counted. */
static void test_full_disk(void **state)
{
    unlink(log_path);
    assert_int_equal(symlink("/dev/full", log_path), 0);
    serving s = serving_with(handle_full);
    s.options.access_log = log_path;
    s.options.access_format = SL_ACCESS_COMBINED;
    serve(s, fills_the_disk);
    const char *said = strstr(kept.text, "is written again: ");
    assert_non_null(said);
    int lost = atoi(said + strlen("is written again: ")), written = 0;
    for (const char *at = read_log(log_path); (at = strchr(at, '\n')); at++)
        written++;
    assert_true(lost >= 1);
    assert_int_equal(lost + written, 6);
    said = strstr(kept.text, "lines are dropped until");
    assert_non_null(said);
    assert_null(strstr(said + 1, "lines are dropped until")); /* once */
    unlink(log_path);
}

/* Takes all descriptors, until the log says so and for a while after. */
static sl_response *take_descriptors(sl_request *req)
{
    int taken[256], count = 0;
    struct rlimit before, few;
    sl_root_set_logger(sl_root_current(), &kept.logger);
    getrlimit(RLIMIT_NOFILE, &before);
    few = (struct rlimit){sl_array_size(taken), before.rlim_max};
    setrlimit(RLIMIT_NOFILE, &few);
    while ((taken[count] = dup(0)) >= 0)
        count++;
    while (!strstr(kept.text, "no descriptor is left, of 256"))
        sl_await(sl_sleep(5));
    sl_await(sl_sleep(50));
    while (count > 0)
        close(taken[--count]);
    setrlimit(RLIMIT_NOFILE, &before);
    return sl_text(req, 200, "ok");
}

static void ask_once(int port)
{
    ask(port, "GET / HTTP/1.1\r\nHost: a\r\n\r\n", &r);
    CHECK(r.status == 200);
}

static void test_no_descriptors(void **state)
{
    kept.text[0] = '\0';
    serving s = serving_with(take_descriptors);
    s.options.limits.header_ms = 40; /* the sweep comes often */
    serve(s, ask_once);
    const char *said = strstr(kept.text, "no descriptor is left");
    assert_non_null(said);
    assert_non_null(strstr(said, "ulimit -n"));
    assert_null(strstr(said + 1, "no descriptor is left")); /* once */
}

/* ---- Metrics ---- */

static sl_response *show_metrics(sl_request *req)
{
    if (strcmp(sl_path(req), "/metrics") != 0)
        return handle(req);
    sl_buffer out = {0};
    sl_http_server_metrics(the_server, &out);
    sl_response *res = sl_text(req, 200, "%s", out.data);
    sl_buffer_done(&out);
    return res;
}

static void metrics(int port)
{
    ask(port, "GET / HTTP/1.1\r\nHost: a\r\n\r\n", &r);
    ask(port, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n", &r);
    ask(port, "GET / HTTP/1.1\r\n\r\n", &r);
    ask(port, "GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n", &r);
    CHECK(strstr(r.body, "# TYPE silver_http_requests_total counter\n"));
    CHECK(strstr(r.body, "silver_http_requests_total{status=\"2xx\",method=\"GET\"} 1\n"));
    CHECK(strstr(r.body, "silver_http_requests_total{status=\"2xx\",method=\"POST\"} 1\n"));
    CHECK(strstr(r.body, "silver_http_requests_total{status=\"4xx\",method=\"other\"} 1\n"));
    CHECK(strstr(r.body, "silver_http_refused_total{reason=\"head\"} 1\n"));
    CHECK(strstr(r.body, "silver_http_request_duration_seconds_bucket{le=\"+Inf\"} 3\n"));
    CHECK(strstr(r.body, "silver_http_connections_total 4\n"));
    CHECK(strstr(r.body, "silver_http_in_flight 1\n"));
}

static void test_metrics(void **state)
{
    serve(serving_with(show_metrics), metrics);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_addresses),  cmocka_unit_test(test_unix),
        cmocka_unit_test(test_drain),      cmocka_unit_test(test_freeing),
        cmocka_unit_test(test_access_log), cmocka_unit_test(test_log_files),
        cmocka_unit_test(test_full_disk),  cmocka_unit_test(test_no_descriptors),
        cmocka_unit_test(test_metrics),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
