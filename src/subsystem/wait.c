/* wait.c: waiting for packets.
 *
 * Who is about to sleep says so in the shared memory and looks once more; who put something in looks whether
 * the other sleeps. Between the two steps of each lies a full fence, so that one of them sees the other.
 *
 * Before it sleeps, who has no loop may look at the ring for some microseconds, since being woken costs more
 * than a short wait. But that takes the processor from others, the other end among them. So it is done only
 * where there are two processors and packets come close together, and as long as it helps: each time in vain
 * doubles the number of waits that go by before the next attempt. */
#include "subsystem/wire_inside.h"

#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/socket.h>

#define SPIN_NS 20000
#define SPIN_SKIPS_MAX 1024
#define POOLED (16u * 1024 * 1024)

void sl__wire_set_options(sl__wire *wire, const sl__wire_options *options)
{
    cpu_set_t processors;
    wire->pooled = options->pooled ? options->pooled : POOLED;
    wire->spin_ns = options->spin_ns == UINT64_MAX ? 0 : options->spin_ns ? options->spin_ns : SPIN_NS;
    if (sched_getaffinity(0, sizeof processors, &processors) < 0 || CPU_COUNT(&processors) < 2)
        wire->spin_ns = 0;
}

/* ---- Sleeping and waking ---- */

bool sl__wire_has(sl__wire *wire)
{
    return sl__ring_has(wire);
}

bool sl__wire_sleep(sl__wire *wire)
{
    atomic_store_explicit(&wire->in->sleeping, 1, memory_order_relaxed);
    atomic_thread_fence(memory_order_seq_cst);
    if (!sl__ring_has(wire) && !wire->closed && !wire->broken) {
        sl__ring_room(wire, /* fenced= */ true);
        return true;
    }
    atomic_store_explicit(&wire->in->sleeping, 0, memory_order_relaxed);
    return false;
}

static void woken(sl__wire *wire)
{
    atomic_store_explicit(&wire->in->sleeping, 0, memory_order_relaxed);
    if (wire->backlog.size)
        sl__ring_pump(wire);
}

void sl__wire_awake(sl__wire *wire)
{
    if (wire->files.count < SL__FILES_AHEAD)
        sl__socket_receive(wire, MSG_DONTWAIT);
    woken(wire);
}

int sl__wire_descriptor(const sl__wire *wire)
{
    return wire->socket;
}

/* ---- Without a loop ---- */

static inline void relax(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

static bool spin(sl__wire *wire)
{
    if (wire->spin_skip) {
        wire->spin_skip--;
        return false;
    }
    wire->stats.spins++;
    uint64_t end = sl_monotonic_ns() + wire->spin_ns;
    do {
        for (int i = 0; i < 16; i++) {
            if (sl__ring_has(wire)) {
                wire->stats.spins_paid++;
                wire->spin_skips = 0;
                return true;
            }
            relax();
        }
    } while (sl_monotonic_ns() < end);
    wire->spin_skips = wire->spin_skips ? 2 * wire->spin_skips : 1;
    if (wire->spin_skips > SPIN_SKIPS_MAX)
        wire->spin_skips = SPIN_SKIPS_MAX;
    wire->spin_skip = wire->spin_skips;
    return false;
}

/* A packet came: was it soon after the one before? */
static void came(sl__wire *wire)
{
    if (!wire->spin_ns)
        return;
    uint64_t now = sl_monotonic_ns();
    wire->close_together = now - wire->came_ns < wire->spin_ns;
    wire->came_ns = now;
}

static int sleep_for(sl__wire *wire, int timeout_ms)
{
    if (timeout_ms < 0) {
        int got = sl__socket_receive(wire, 0);
        if (got || wire->closed)
            return got;
        /* A signal came; or the descriptor was made one that never blocks. */
        if (errno == EINTR)
            return 0;
    }
    struct pollfd socket = {.fd = wire->socket, .events = POLLIN};
    if (poll(&socket, 1, timeout_ms) <= 0)
        return 0;
    return sl__socket_receive(wire, MSG_DONTWAIT);
}

int sl__wire_wait(sl__wire *wire, int timeout_ms)
{
    sl__wire_flush(wire);
    if (sl__ring_has(wire))
        return 1;
    if (wire->spin_ns && wire->close_together && spin(wire)) {
        came(wire);
        return 1;
    }
    uint64_t end = timeout_ms > 0 ? sl_monotonic_ns() + (uint64_t)timeout_ms * 1000000 : 0;
    while (sl__wire_sleep(wire)) {
        int got = sleep_for(wire, timeout_ms);
        woken(wire);
        sl__wire_flush(wire);
        if (got == 0 && !sl__ring_has(wire) && !wire->closed)
            return 0;
        if (timeout_ms > 0) {
            uint64_t now = sl_monotonic_ns();
            timeout_ms = now < end ? (int)((end - now + 999999) / 1000000) : 0;
        }
    }
    if (sl__ring_has(wire)) {
        came(wire);
        return 1;
    }
    return wire->broken ? wire->broken : SL_ECLOSED;
}

/* ---- On our loop ---- */

struct sl__attachment {
    uv_poll_t poll;
    sl__before_poll before_poll;
    sl__job job;
    sl_loop *loop;
    sl__wire *wire; /* NULL once it is detached */
    sl_callback *callback;
    void *data;
    bool queued, closed;
};

static void attachment_unref(sl__attachment *attachment)
{
    if (!attachment->queued && attachment->closed)
        free(attachment);
}

static void on_closed(uv_handle_t *handle)
{
    sl__attachment *attachment = handle->data;
    attachment->closed = true;
    attachment_unref(attachment);
}

static void on_job(sl__job *job)
{
    sl__attachment *attachment = (sl__attachment *)((char *)job - offsetof(sl__attachment, job));
    attachment->queued = false;
    if (attachment->wire)
        attachment->callback(attachment->data);
    else
        attachment_unref(attachment);
}

static void on_readable(uv_poll_t *poll, int status, int events)
{
    sl__attachment *attachment = poll->data;
    sl__wire_awake(attachment->wire);
    attachment->callback(attachment->data);
}

static void on_before_poll(sl__before_poll *hook)
{
    sl__attachment *attachment = (sl__attachment *)((char *)hook - offsetof(sl__attachment, before_poll));
    sl__wire_flush(attachment->wire);
    if (attachment->queued || sl__wire_sleep(attachment->wire))
        return;
    attachment->queued = true;
    sl__enqueue(attachment->loop, &attachment->job);
}

int sl__wire_attach(sl__wire *wire, sl_loop *loop, sl_callback *callback, void *data)
{
    sl__attachment *attachment = sl_calloc(1, sizeof *attachment);
    *attachment = (sl__attachment){.loop = loop, .wire = wire, .callback = callback, .data = data};
    int code = uv_poll_init(&loop->uv, &attachment->poll, wire->socket);
    if (code < 0) {
        free(attachment);
        return code;
    }
    attachment->poll.data = attachment;
    attachment->job.run = on_job;
    attachment->before_poll.run = on_before_poll;
    uv_poll_start(&attachment->poll, UV_READABLE, on_readable);
    sl__loop_before_poll(loop, &attachment->before_poll);
    wire->attachment = attachment;
    return 0;
}

void sl__wire_detach(sl__wire *wire)
{
    sl__attachment *attachment = wire->attachment;
    if (!attachment)
        return;
    wire->attachment = NULL;
    attachment->wire = NULL;
    sl__loop_not_before_poll(attachment->loop, &attachment->before_poll);
    uv_close((uv_handle_t *)&attachment->poll, on_closed);
}
