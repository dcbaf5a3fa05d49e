/* floor_uv.c: the same floor on plain libuv, which our loop stands on. What silver needs on top of this is
 * its own; what this needs on top of floor is libuv's.
 *
 *     floor_uv ADDRESS PORT [BODY_SIZE]
 */
#include "floor.h"

#include <uv.h>

struct client {
    uv_tcp_t tcp;
    unsigned char end;
};

static char input[65536];
static struct reply reply;

static void closed(uv_handle_t *handle)
{
    free(handle);
}

static void give_buffer(uv_handle_t *handle, size_t suggested, uv_buf_t *ret_buffer)
{
    *ret_buffer = uv_buf_init(input, sizeof input);
}

static void got(uv_stream_t *stream, ssize_t size, const uv_buf_t *buffer)
{
    struct client *client = (struct client *)stream;
    if (size < 0) {
        uv_close((uv_handle_t *)stream, closed);
        return;
    }
    size_t requests = count_requests(&client->end, buffer->base, (size_t)size);
    while (requests > 0) {
        size_t batch = requests < reply.copies ? requests : reply.copies;
        uv_buf_t bytes = uv_buf_init(reply.data, (unsigned)(batch * reply.size));
        if (uv_try_write(stream, &bytes, 1) != (int)bytes.len) {
            uv_close((uv_handle_t *)stream, closed);
            return;
        }
        requests -= batch;
    }
}

static void connected(uv_stream_t *server, int status)
{
    struct client *client = calloc(1, sizeof *client);
    if (status < 0 || !client) {
        free(client);
        return;
    }
    uv_tcp_init(server->loop, &client->tcp);
    if (uv_accept(server, (uv_stream_t *)&client->tcp) < 0) {
        uv_close((uv_handle_t *)&client->tcp, closed);
        return;
    }
    uv_tcp_nodelay(&client->tcp, 1);
    uv_read_start((uv_stream_t *)&client->tcp, give_buffer, got);
}

int main(int argc, char **argv)
{
    reply = make_reply(argc, argv);
    struct sockaddr_in address = address_of(argv);
    uv_tcp_t server;
    uv_tcp_init(uv_default_loop(), &server);
    int r = uv_tcp_bind(&server, (struct sockaddr *)&address, 0);
    if (r == 0)
        r = uv_listen((uv_stream_t *)&server, 4096, connected);
    if (r < 0) {
        fprintf(stderr, "floor_uv: %s\n", uv_strerror(r));
        return 1;
    }
    return uv_run(uv_default_loop(), UV_RUN_DEFAULT);
}
