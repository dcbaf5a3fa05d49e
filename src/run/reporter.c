/* reporter.c: answers `silver status`. All who come while the instances are being asked get the same answer.
 */
#include "run/reporter.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include <uv.h>

struct client {
    struct reporter *reporter;
    struct client *next;
    uv_pipe_t pipe;
    uv_write_t write;
    char *text;
};

struct reporter {
    const struct reporter_events *events;
    void *data;
    char *path;
    uv_pipe_t listener;
    uv_timer_t patience;
    struct client *waiting; /* for the answer that is being gathered */
    unsigned clients;       /* also those that it is being written to */
    unsigned handles;
    bool gathering, stopped;
};

char *reporter_path(const char *runtime, int slot)
{
    return sl_printf_heap("%s/slots/%d.socket", runtime, slot);
}

/* ---- Clients ----------------------------------------------------------------------------------------- */

static void release(struct reporter *reporter)
{
    if (--reporter->handles > 0)
        return;
    free(reporter->path);
    free(reporter);
}

static void client_closed(uv_handle_t *handle)
{
    struct client *client = handle->data;
    client->reporter->clients--;
    release(client->reporter);
    free(client->text);
    free(client);
}

static void written(uv_write_t *request, int code)
{
    struct client *client = request->data;
    uv_close((uv_handle_t *)&client->pipe, client_closed);
}

static void answer(struct client *client, const char *text)
{
    client->text = sl_strdup_heap(text);
    client->write.data = client;
    uv_buf_t buffer = uv_buf_init(client->text, (unsigned)strlen(client->text));
    if (uv_write(&client->write, (uv_stream_t *)&client->pipe, &buffer, 1, written) < 0)
        uv_close((uv_handle_t *)&client->pipe, client_closed);
}

static void answer_all(struct reporter *reporter)
{
    struct client *client = reporter->waiting;
    json_t *report = reporter->events->compose(reporter->data);
    char *text = json_dumps(report, JSON_COMPACT);
    reporter->waiting = NULL;
    reporter->gathering = false;
    uv_timer_stop(&reporter->patience);
    for (struct client *next; client; client = next) {
        next = client->next;
        answer(client, text ? text : "{}");
    }
    free(text);
    json_decref(report);
}

static void patience_is_over(uv_timer_t *timer)
{
    answer_all(timer->data);
}

void reporter_heard(struct reporter *reporter)
{
    if (reporter && reporter->gathering && reporter->events->complete(reporter->data))
        answer_all(reporter);
}

/* Those who run this user's processes anyway. */
static bool may_know(const uv_pipe_t *pipe)
{
    struct ucred peer;
    socklen_t size = sizeof(peer);
    int fd;
    return uv_fileno((const uv_handle_t *)pipe, &fd) == 0 &&
           getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0 &&
           (peer.uid == geteuid() || peer.uid == 0);
}

static void connected(uv_stream_t *listener, int code)
{
    struct reporter *reporter = listener->data;
    if (code < 0)
        return;
    struct client *client = sl_calloc(1, sizeof(*client));
    client->reporter = reporter;
    uv_pipe_init(listener->loop, &client->pipe, 0);
    client->pipe.data = client;
    reporter->handles++;
    reporter->clients++;
    if (uv_accept(listener, (uv_stream_t *)&client->pipe) < 0 || !may_know(&client->pipe) ||
        reporter->clients > REPORT_CLIENTS_MAX || reporter->stopped) {
        uv_close((uv_handle_t *)&client->pipe, client_closed);
        return;
    }
    client->next = reporter->waiting;
    reporter->waiting = client;
    if (reporter->gathering)
        return;
    reporter->gathering = true;
    uv_timer_start(&reporter->patience, patience_is_over, REPORT_MS, 0);
    reporter->events->ask(reporter->data);
    reporter_heard(reporter); /* where nobody could be asked */
}

/* ---- The whole --------------------------------------------------------------------------------------- */

static void handle_closed(uv_handle_t *handle)
{
    release(handle->data);
}

/* Only who holds the slot listens there: what lies there is of one that was killed. */
static int open_socket(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof(address.sun_path))
        return -ENAMETOOLONG;
    strcpy(address.sun_path, path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    unlink(path);
    if (fd >= 0 && bind(fd, (struct sockaddr *)&address, sizeof(address)) == 0)
        return fd;
    int code = -errno;
    if (fd >= 0)
        close(fd);
    return code;
}

int reporter_new(sl_loop *loop, const char *path, const struct reporter_events *events, void *data,
                 struct reporter **ret_reporter, sl_error **ret_error)
{
    int fd = open_socket(path);
    if (fd < 0) {
        *ret_error =
            sl_error_new(fd, "cannot listen for `silver status` at %s: %s", path, sl_code_message(fd));
        return fd;
    }
    struct reporter *reporter = sl_calloc(1, sizeof(*reporter));
    *reporter = (struct reporter){.events = events, .data = data, .path = sl_strdup_heap(path), .handles = 2};
    uv_pipe_init(sl_loop_uv(loop), &reporter->listener, 0);
    uv_timer_init(sl_loop_uv(loop), &reporter->patience);
    reporter->listener.data = reporter->patience.data = reporter;
    int code = uv_pipe_open(&reporter->listener, fd);
    if (code < 0)
        close(fd);
    if (code == 0)
        code = uv_listen((uv_stream_t *)&reporter->listener, REPORT_CLIENTS_MAX, connected);
    if (code < 0) {
        *ret_error =
            sl_error_new(code, "cannot listen for `silver status` at %s: %s", path, sl_code_message(code));
        reporter_stop(reporter);
        return code;
    }
    *ret_reporter = reporter;
    return 0;
}

void reporter_stop(struct reporter *reporter)
{
    if (!reporter || reporter->stopped)
        return;
    reporter->stopped = true;
    unlink(reporter->path);
    uv_close((uv_handle_t *)&reporter->listener, handle_closed);
    uv_close((uv_handle_t *)&reporter->patience, handle_closed);
    for (struct client *client = reporter->waiting, *next; client; client = next) {
        next = client->next;
        uv_close((uv_handle_t *)&client->pipe, client_closed);
    }
    reporter->waiting = NULL;
}
