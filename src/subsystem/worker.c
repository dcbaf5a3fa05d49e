/* worker.c: the life of a child process that does a service's work.
 *
 * It joins its wire, loads its module, says HELLO, opens the service in a task, says READY, and serves until
 * the parent says STOP or is gone. Whatever goes wrong before READY is told in words, by FAILED.
 *
 * There is always a loop, since methods may await. But as long as nothing is on it besides the calls that
 * come over the wire, it is not asked: packets are taken, the tasks that they make ready run at once, and the
 * wait between them is the wire's own, which costs no system call while packets come close together. Once
 * something else could happen (a task waits, a timer runs), the wire stands on the loop like everything else.
 */
#include "subsystem/worker.h"
#include "subsystem/method.h"
#include "subsystem/module.h"
#include "subsystem/remote.h"
#include "subsystem/serving.h"
#include "subsystem/value.h"
#include "core/task.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <unistd.h>

typedef struct worker {
    sl__wire *wire;
    sl_loop *loop;
    sl_root *root;
    const sl_offer *offer;
    sl__serving *serving;
    sl__remote *remote;
    int code;       /* of the wire: negative once it has ended */
    bool attached;  /* to the loop */
    bool stopping;  /* the parent said so */
    bool step_over; /* of what is waited for: opening, closing */
    sl_error *failed;
} worker;

/* ---- Joining ------------------------------------------------------------------------------------------ */

int sl__worker_join(sl__wire **ret_wire)
{
    /* Whoever asks for this after the parent has died gets no signal; but then the socket has been closed. */
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || fcntl(SL__WIRE_MEMORY_FD, F_SETFD, FD_CLOEXEC) < 0 ||
        fcntl(SL__WIRE_SOCKET_FD, F_SETFD, FD_CLOEXEC) < 0)
        return SL_ECLOSED;
    struct pollfd socket = {.fd = SL__WIRE_SOCKET_FD, .events = POLLIN};
    if (poll(&socket, 1, 0) < 0 || socket.revents & (POLLHUP | POLLNVAL | POLLERR))
        return SL_ECLOSED;
    return sl__wire_join(SL__WIRE_MEMORY_FD, SL__WIRE_SOCKET_FD, ret_wire);
}

/* ---- Waiting and taking ------------------------------------------------------------------------------- */

static void take_packet(worker *w, const sl__packet *packet)
{
    if (packet->kind == SL__STOP)
        w->stopping = true;
    else if (!(w->serving && sl__serving_packet(w->serving, packet)) && !sl__remote_packet(w->remote, packet))
        sl__packet_close(packet); /* of a call that has ended meanwhile */
}

/* Takes what is there; each call runs, as far as it can without waiting, before the next is looked at. */
static void take_packets(void *data)
{
    worker *w = data;
    sl__packet packet;
    if (w->serving)
        sl__serving_batch(w->serving);
    while (!(w->serving && sl__serving_batch_over(w->serving)) &&
           (w->code = sl__wire_next(w->wire, &packet)) > 0) {
        take_packet(w, &packet);
        sl__loop_work(w->loop, w->serving ? sl__serving_clock(w->serving) : 0);
    }
}

/* Whether anything may happen on the loop besides packets. */
static bool loop_is_used(const worker *w)
{
    const uv_loop_t *uv = &w->loop->uv;
    return w->loop->first || uv->active_handles > (w->attached ? 1 : 0) || uv->active_reqs.count;
}

static void wait_for_more(worker *w)
{
    if (!loop_is_used(w)) {
        if (sl__wire_wait(w->wire, -1) >= 0)
            take_packets(w);
        else
            w->code = SL_ECLOSED;
        return;
    }
    if (!w->attached) {
        int code = sl__wire_attach(w->wire, w->loop, take_packets, w);
        if (code < 0) {
            w->code = code;
            return;
        }
        w->attached = true;
    }
    uv_run(&w->loop->uv, UV_RUN_ONCE);
}

/* ---- Opening and closing ------------------------------------------------------------------------------ */

static void *open_service(void *data)
{
    worker *w = data;
    if (w->offer->open)
        w->offer->open();
    return NULL;
}

/* What the calls left in the background ends first: it may need what is closed now. */
static void *close_service(void *data)
{
    worker *w = data;
    sl_await(sl__background_done(w->loop));
    if (w->offer->close)
        w->offer->close();
    return NULL;
}

static sl_result step_done(sl_result result, void *data)
{
    worker *w = data;
    w->step_over = true;
    return result;
}

static sl_result step_failed(sl_result result, void *data)
{
    worker *w = data;
    w->step_over = true;
    w->failed = result.error;
    return sl_ok(NULL);
}

/* Runs a step in a task and everything meanwhile. 0; or a code, with w->failed where it was the step's own.
 */
static int run_step(worker *w, const char *name, sl_task_fn *step)
{
    w->step_over = false;
    sl_deferred *done = sl__spawn(SL_HERE, name, step, w);
    sl_then(done, step_done, step_failed, w, NULL);
    sl__loop_work(w->loop, 0);
    while (!w->step_over && w->code >= 0)
        wait_for_more(w);
    sl_forget(done);
    return w->failed ? w->failed->code : w->code < 0 ? w->code : 0;
}

/* ---- The conversation --------------------------------------------------------------------------------- */

/* What waits in our memory must be with the parent before we go, unless it has gone. */
static void drain(worker *w)
{
    sl__packet packet;
    sl__wire_flush(w->wire);
    while (sl__wire_backlog(w->wire) && sl__wire_wait(w->wire, -1) >= 0)
        while (sl__wire_next(w->wire, &packet) > 0)
            sl__packet_close(&packet);
}

static int say_failed(worker *w, sl_error *error)
{
    sl_buffer trouble = {0};
    sl__trouble_put(error, &trouble);
    sl_error_unref(error);
    sl__wire_put(w->wire, &(sl__packet){.kind = SL__FAILED}, &(struct iovec){trouble.data, trouble.size}, 1);
    sl_buffer_done(&trouble);
    drain(w);
    return 1;
}

static void say_hello(worker *w)
{
    const sl_service *service = w->offer->service;
    struct sl__hello hello = {.protocol = SL__WIRE_PROTOCOL,
                              .service = service->name,
                              .version = service->version,
                              .digest = (int64_t)sl_service_digest(service),
                              .concurrency = (int64_t)(w->offer->concurrency ? w->offer->concurrency : 1),
                              .codec = w->offer->codec ? w->offer->codec->name : sl_codec_flat.name};
    struct sl__hello_method *methods = sl_calloc(service->method_count + 1, sizeof *methods);
    for (size_t i = 0; i < service->method_count; i++)
        methods[i] = (struct sl__hello_method){service->methods[i].name, service->methods[i].idempotent};
    hello.methods.count = service->method_count;
    hello.methods.items = methods;
    sl_buffer scratch = {0};
    sl_error *error = NULL;
    if (sl__value_put(w->wire, &(sl__packet){.kind = SL__HELLO}, &sl_codec_flat, sl__hello_record(), &hello,
                      &scratch, &error) < 0)
        sl__die(NULL, "a child cannot say who it is: %s", error->message);
    sl_buffer_done(&scratch);
    free(methods);
}

static int serve(worker *w)
{
    say_hello(w);
    if (run_step(w, "open", open_service) < 0)
        return w->failed ? say_failed(w, w->failed) : 0;
    w->serving = sl__serving_new(w->loop, w->wire, w->offer);
    sl__wire_put(w->wire, &(sl__packet){.kind = SL__READY}, NULL, 0);
    while (w->code >= 0 && !(w->stopping && sl__serving_idle(w->serving)))
        wait_for_more(w);
    if (w->code >= 0 && run_step(w, "close", close_service) < 0 && w->failed) {
        char *text = sl_error_text(w->failed);
        sl_error_log("%s did not close: %s", w->offer->service->name, text);
        free(text);
        sl_error_unref(w->failed);
    }
    drain(w);
    return 0;
}

static int serve_on_loop(worker *w, const char *name, const char *module)
{
    sl_error *error = NULL;
    int code = sl_loop_new(&w->loop);
    if (code < 0)
        return say_failed(w, sl_error_new(code, "%s has no loop: %s", name, sl_code_message(code)));
    w->root = sl_root_new(w->loop, name);
    sl_loop_name_crashes();
    w->remote = sl__remote_new(w->root, w->wire);
    code = sl__module_load(module, name, &w->offer, &error);
    int status = code < 0 ? say_failed(w, error) : serve(w);
    if (w->code < 0)
        _exit(1); /* the parent is gone: nobody is left to be told anything */
    sl__wire_detach(w->wire);
    w->remote = sl__remote_free(w->remote);
    w->root = sl_root_unref(w->root);
    w->loop = sl_loop_free(w->loop);
    w->serving = sl__serving_free(w->serving);
    return status;
}

int sl__worker_run(const char *name, const char *module)
{
    worker w = {0};
    int code = sl__worker_join(&w.wire);
    if (code < 0) {
        fprintf(stderr, "silver-worker: there is no parent to work for (%s): a manager starts this program\n",
                sl_code_name(code));
        return 1;
    }
    int status = serve_on_loop(&w, name, module);
    sl__wire_free(w.wire);
    return status;
}
