/* attach.c: GLib's main context, driven from our loop.
 *
 * A main context wants to be asked four things in turn: prepare (is something ready, and if not how long may
 * we sleep), query (on which descriptors), check (what became of them), dispatch. libuv's pass has a place
 * for each: before it polls we prepare and query, and turn the answer into poll handles and a timer; after it
 * polled we check and dispatch.
 *
 * The poll handles are started and stopped in every pass. GLib's sources may close a descriptor and open
 * another of the same number at any time without telling anybody, and epoll forgets a closed one; libuv would
 * believe that it still watches it.
 *
 * None of the handles keeps the loop running, but for `before` while a deferred waits for GIO. */
#include <silver/gio.h>
#include <uv.h>

#include "core/loop.h"
#include "gio/internal.h"

#include <stdio.h>
#include <stdlib.h>

typedef struct poller {
    uv_poll_t handle;
    struct poller *next;
    int descriptor;
    int wanted;  /* UV_READABLE | … */
    bool wished; /* by this pass's query */
} poller;

typedef struct driver {
    GMainContext *context;
    bool pushed; /* the context is of our making, and the thread's default */
    sl_loop *loop;
    uv_prepare_t before;
    uv_check_t after;
    uv_timer_t timer;
    uv_idle_t at_once; /* active when polling must not block */
    unsigned open_handles;
    GHashTable *calls; /* the cancellables of those that are under way */
    poller *pollers;
    GPollFD *fds;
    int fd_count, fd_capacity, priority;
    bool prepared, polled; /* polled: some descriptor is ready */
} driver;

static __thread driver *thread_driver;

void sl__gio_hold(GCancellable *call)
{
    if (!thread_driver && sl_gio_attach(sl_loop_current()) < 0) {
        fputs(
            "silver: GLib's main context belongs to another thread: give this one a thread-default context\n",
            stderr);
        abort();
    }
    driver *d = thread_driver;
    g_hash_table_add(d->calls, call);
    uv_ref((uv_handle_t *)&d->before);
}

void sl__gio_release(GCancellable *call)
{
    driver *d = thread_driver;
    if (!d)
        return; /* it outlived the loop */
    g_hash_table_remove(d->calls, call);
    if (g_hash_table_size(d->calls) == 0)
        uv_unref((uv_handle_t *)&d->before);
}

/* ---- Descriptors ------------------------------------------------------------------------------------- */

static void on_poller_closed(uv_handle_t *handle)
{
    free(handle);
}

static void on_ready(uv_poll_t *handle, int status, int events)
{
    thread_driver->polled = true;
}

static poller *poller_of(driver *d, int descriptor)
{
    for (poller *p = d->pollers; p; p = p->next)
        if (p->descriptor == descriptor)
            return p;
    return NULL;
}

/* NULL where the descriptor cannot be polled: a regular file, which is always ready. */
static poller *poller_new(driver *d, int descriptor)
{
    poller *p = sl_calloc(1, sizeof *p);
    if (uv_poll_init(sl_loop_uv(d->loop), &p->handle, descriptor) < 0) {
        free(p);
        return NULL;
    }
    uv_unref((uv_handle_t *)&p->handle);
    p->descriptor = descriptor;
    p->next = d->pollers;
    d->pollers = p;
    return p;
}

static void close_unwished(driver *d)
{
    for (poller **link = &d->pollers; *link;) {
        poller *p = *link;
        if (p->wished) {
            link = &p->next;
            continue;
        }
        *link = p->next;
        uv_close((uv_handle_t *)&p->handle, on_poller_closed);
    }
}

static int uv_events(gushort events)
{
    return (events & (G_IO_IN | G_IO_HUP | G_IO_ERR) ? UV_READABLE : 0) |
           (events & G_IO_OUT ? UV_WRITABLE : 0) | (events & G_IO_PRI ? UV_PRIORITIZED : 0);
}

/* Makes the query's answer poll handles. */
static void wish_pollers(driver *d)
{
    d->polled = false;
    for (poller *p = d->pollers; p; p = p->next) {
        p->wished = false;
        p->wanted = 0;
    }
    for (int i = 0; i < d->fd_count; i++) {
        poller *p = poller_of(d, d->fds[i].fd);
        if (!p)
            p = poller_new(d, d->fds[i].fd);
        if (!p) {
            d->polled = true;
            continue;
        }
        p->wished = true;
        p->wanted |= uv_events(d->fds[i].events);
    }
    close_unwished(d);
    for (poller *p = d->pollers; p; p = p->next)
        uv_poll_start(&p->handle, p->wanted, on_ready);
}

/* What poll(2) says, if something woke us: libuv does not tell a hang-up from data, GLib wants to know. */
static void collect(driver *d)
{
    for (int i = 0; i < d->fd_count; i++)
        d->fds[i].revents = 0;
    if (d->polled)
        g_poll(d->fds, (guint)d->fd_count, /* timeout= */ 0);
    for (poller *p = d->pollers; p; p = p->next)
        uv_poll_stop(&p->handle);
}

/* ---- The pass ---------------------------------------------------------------------------------------- */

static void on_timer(uv_timer_t *timer)
{
}

static void on_at_once(uv_idle_t *idle)
{
}

static void query(driver *d, int *ret_timeout)
{
    for (;;) {
        d->fd_count = g_main_context_query(d->context, d->priority, ret_timeout, d->fds, d->fd_capacity);
        if (d->fd_count <= d->fd_capacity)
            return;
        d->fd_capacity = d->fd_count;
        d->fds = sl_realloc(d->fds, (size_t)d->fd_capacity * sizeof *d->fds);
    }
}

static void on_before_poll(uv_prepare_t *prepare)
{
    driver *d = prepare->data;
    int timeout = 0;
    bool ready = g_main_context_prepare(d->context, &d->priority);
    query(d, &timeout);
    d->prepared = true;
    wish_pollers(d);
    if (ready || d->polled || timeout == 0)
        uv_idle_start(&d->at_once, on_at_once);
    else if (timeout > 0) {
        uv_update_time(sl_loop_uv(d->loop));
        uv_timer_start(&d->timer, on_timer, (uint64_t)timeout, 0);
    }
}

static void on_after_poll(uv_check_t *check)
{
    driver *d = check->data;
    if (!d->prepared)
        return;
    d->prepared = false;
    uv_idle_stop(&d->at_once);
    uv_timer_stop(&d->timer);
    collect(d);
    if (g_main_context_check(d->context, d->priority, d->fds, d->fd_count))
        g_main_context_dispatch(d->context);
}

/* ---- Attaching --------------------------------------------------------------------------------------- */

static void on_closed(uv_handle_t *handle)
{
    driver *d = handle->data;
    if (--d->open_handles > 0)
        return;
    free(d->fds);
    free(d);
}

static gboolean on_patience_over(gpointer over)
{
    *(bool *)over = true;
    return G_SOURCE_REMOVE;
}

/* Cancels the calls that are under way and lets them end, so that nothing is kept for ever. Those that a
 * blocked thread has get two seconds. */
static void end_calls(driver *d)
{
    GHashTableIter walk;
    gpointer call;
    bool over = false;
    if (g_hash_table_size(d->calls) == 0)
        return;
    g_hash_table_iter_init(&walk, d->calls);
    while (g_hash_table_iter_next(&walk, &call, NULL))
        g_cancellable_cancel(call);
    GSource *patience = g_timeout_source_new(2000);
    g_source_set_callback(patience, on_patience_over, &over, NULL);
    g_source_attach(patience, d->context);
    while (g_hash_table_size(d->calls) > 0 && !over)
        g_main_context_iteration(d->context, /* may_block= */ TRUE);
    g_source_destroy(patience);
    g_source_unref(patience);
}

static void detach(void *data)
{
    driver *d = data;
    end_calls(d);
    thread_driver = NULL;
    for (poller *p = d->pollers; p; p = p->next)
        p->wished = false;
    close_unwished(d);
    uv_close((uv_handle_t *)&d->before, on_closed);
    uv_close((uv_handle_t *)&d->after, on_closed);
    uv_close((uv_handle_t *)&d->timer, on_closed);
    uv_close((uv_handle_t *)&d->at_once, on_closed);
    g_main_context_release(d->context);
    if (d->pushed)
        g_main_context_pop_thread_default(d->context);
    g_main_context_unref(d->context);
    g_hash_table_unref(d->calls);
}

static int choose_context(driver *d)
{
    GMainContext *context = g_main_context_get_thread_default();
    if (context) {
        d->context = g_main_context_ref(context);
        if (g_main_context_acquire(context))
            return 0;
        g_main_context_unref(context);
        return SL_EBUSY;
    }
    d->context = g_main_context_ref(g_main_context_default());
    if (g_main_context_acquire(d->context))
        return 0;
    g_main_context_unref(d->context);
    d->context = g_main_context_new();
    d->pushed = true;
    g_main_context_push_thread_default(d->context);
    g_main_context_acquire(d->context);
    return 0;
}

int sl_gio_attach(sl_loop *loop)
{
    if (thread_driver)
        return thread_driver->loop == loop ? 0 : SL_EBUSY;
    driver *d = sl_calloc(1, sizeof *d);
    int code = choose_context(d);
    if (code < 0) {
        free(d);
        return code;
    }
    uv_loop_t *uv = sl_loop_uv(loop);
    d->loop = loop;
    d->open_handles = 4;
    d->calls = g_hash_table_new(NULL, NULL);
    uv_prepare_init(uv, &d->before);
    uv_check_init(uv, &d->after);
    uv_timer_init(uv, &d->timer);
    uv_idle_init(uv, &d->at_once);
    d->before.data = d->after.data = d->timer.data = d->at_once.data = d;
    uv_prepare_start(&d->before, on_before_poll);
    uv_check_start(&d->after, on_after_poll);
    /* libuv calls the one that was started last first. The run queue must come before us: a task that adds a
     * source in this thread after our query would not wake the poll. */
    uv_prepare_cb run_queue = loop->before_poll.prepare_cb;
    uv_prepare_stop(&loop->before_poll);
    uv_prepare_start(&loop->before_poll, run_queue);
    /* And if that queue is what runs now, we come only in the next pass: let it come. */
    uv_idle_start(&d->at_once, on_at_once);
    uv_unref((uv_handle_t *)&d->before);
    uv_unref((uv_handle_t *)&d->after);
    uv_unref((uv_handle_t *)&d->timer);
    uv_unref((uv_handle_t *)&d->at_once);
    thread_driver = d;
    sl__loop_at_exit(loop, detach, d);
    return 0;
}
