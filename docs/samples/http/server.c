/* server.c: a server of one's own, which asks itself. `silver serve` does all of this for an application. */
#include <silver/silver.h>

#include <stdio.h>
#include <stdlib.h>

static sl_response *answer(sl_request *req)
{
    if (strcmp(sl_path(req), "/hello") == 0)
        return sl_text(req, 200, "hello, %s\n", sl_query(req));
    sl_fail(SL_HTTP(404), "there is no %s here", sl_path(req)); /* becomes the response */
}

static void *ask(void *data)
{
    static const char *const paths[] = {"/hello?Ada", "/elsewhere"};
    for (int i = 0; i < 2; i++) {
        sl_fetched *page = sl_await(sl_fetch(sl_printf("http://%s%s", (char *)data, paths[i])));
        printf("%d: %s", page->status, page->body->data);
    }
    return NULL;
}

static void *program(void *unused)
{
    sl_http_options options = {.handler = answer};
    sl_http_limits_init(&options.limits);
    sl_http_server *server;
    sl_check(sl_http_server_new(&options, &server), "no server");

    int fd;
    sl_error *error = NULL;
    if (sl_listen("127.0.0.1:0", /* backlog= */ 128, &fd, &error) < 0)
        sl_fail_error(error);
    char *address = sl_listen_address(fd);
    sl_defer(free, address);
    sl_check(sl_http_server_listen(server, fd), "cannot listen");

    sl_await(sl_spawn(ask, address));
    sl_await(sl_http_server_drain(server)); /* what is under way is finished */
    sl_http_server_free(server);
    return NULL;
}

int main(void)
{
    return sl_run("server", program, NULL, NULL) < 0;
}
