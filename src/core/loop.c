/* loop.c: libuv's loop with a run queue of our own.
 *
 * What is ready to run (tasks, callbacks) stands in one queue, first in first out. It is worked off before and after each
 * poll, for at most a slice of time, so that ready work cannot starve I/O; while something is left an idle handle keeps the
 * poll from blocking. (A timer of 0 ms would not do: libuv 1.44 runs one that is started from its own callback
 * within the same pass, for ever.) */
#include "core/loop.h"
#include "core/context.h"
#include "core/stack.h"
#include "core/task.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define SLICE_NS 500000
#define JOBS_BETWEEN_CLOCKS 16

__thread sl_loop *sl__loop;

SL_NORETURN void sl__die(const sl_site *site, const char *format, ...)
{
    sl_buffer text = {0};
    sl_buffer_puts(&text, "silver: ");
    va_list arguments;
    va_start(arguments, format);
    sl_buffer_vprintf(&text, format, arguments);
    va_end(arguments);
    if (site)
        sl_buffer_printf(&text, "\n  at %s (%s:%d)", site->function, site->file, site->line);
    sl_buffer_putc(&text, '\n');
    if (write(STDERR_FILENO, text.data, text.size) < 0) {
        /* nothing is left to do */
    }
    abort();
}

SL_NORETURN void sl__loop_missing(const char *function)
{
    sl__die(NULL, "%s was called in a thread without a loop: call sl_run or sl_loop_new first", function);
}

/* ---- Pools ---- */

void sl__pool_done(sl__pool *pool)
{
    while (pool->free) {
        void *next = *(void **) pool->free;
        free(pool->free);
        pool->free = next;
    }
    pool->kept = 0;
}

sl_arena *sl__arena_get(sl_loop *loop)
{
    return loop->arena_count ? loop->arenas[--loop->arena_count] : sl_arena_new();
}

void sl__arena_put(sl_loop *loop, sl_arena *arena)
{
    if (!arena)
        return;
    if (loop->arena_count == sl_array_size(loop->arenas)) {
        sl_arena_free(arena);
        return;
    }
    sl_arena_reset(arena);
    loop->arenas[loop->arena_count++] = arena;
}

/* ---- The run queue ---- */

static void on_busy(uv_idle_t *idle)
{
}

void sl__loop_awake(sl_loop *loop)
{
    loop->awake = true;
    uv_idle_start(&loop->busy, on_busy);
}

static void run_slice(sl_loop *loop)
{
    if (!loop->first)
        return;
    loop->slice_end_ns = sl_monotonic_ns() + SLICE_NS;
    for (unsigned n = 1; loop->first; n++) {
        sl__job *job = loop->first;
        loop->first = job->next;
        if (!loop->first)
            loop->last = &loop->first;
        job->run(job);
        if (n % JOBS_BETWEEN_CLOCKS == 0 && sl_monotonic_ns() > loop->slice_end_ns)
            break;
    }
    if (!loop->first) {
        loop->awake = false;
        uv_idle_stop(&loop->busy);
    }
}

static void on_before_poll(uv_prepare_t *prepare)
{
    run_slice(prepare->data);
}

static void on_after_poll(uv_check_t *check)
{
    run_slice(check->data);
}

typedef struct call {
    sl__job job;
    sl_callback *callback;
    void *data;
    sl_context *context;
} call;

static void run_call(sl__job *job)
{
    call made = *(call *) job;
    free(job);
    {
        SL_IN_CONTEXT(made.context);
        made.callback(made.data);
    }
    sl_context_release(made.context);
}

void sl_soon(sl_callback *callback, void *data)
{
    sl_loop *loop = sl__loop_needed("sl_soon");
    call *made = sl_malloc(sizeof *made);
    *made = (call){{.run = run_call}, callback, data, sl_context_capture()};
    sl__enqueue(loop, &made->job);
}

static void run_posted(sl__job *job)
{
    call made = *(call *) job;
    free(job);
    made.callback(made.data);
}

int sl_loop_post(sl_loop *loop, sl_callback *callback, void *data)
{
    call *made = sl_malloc(sizeof *made);
    *made = (call){{.run = run_posted}, callback, data, NULL};
    uv_mutex_lock(&loop->posted_lock);
    bool closing = loop->closing;
    if (!closing) {
        *loop->posted_last = &made->job;
        loop->posted_last = &made->job.next;
        uv_async_send(&loop->wake); /* under the lock: the handle cannot be closed meanwhile */
    }
    uv_mutex_unlock(&loop->posted_lock);
    if (closing)
        free(made);
    return closing ? SL_ECLOSED : 0;
}

static void on_wake(uv_async_t *wake)
{
    sl_loop *loop = wake->data;
    uv_mutex_lock(&loop->posted_lock);
    sl__job *job = loop->posted;
    loop->posted = NULL;
    loop->posted_last = &loop->posted;
    uv_mutex_unlock(&loop->posted_lock);
    while (job) {
        sl__job *next = job->next;
        sl__enqueue(loop, job);
        job = next;
    }
}

/* ---- Timers ---- */

static void on_timer(uv_timer_t *handle)
{
    sl__timer *timer = (sl__timer *) handle;
    sl_loop *loop = handle->data;
    sl_callback *callback = timer->callback;
    void *data = timer->data;
    sl__timer_stop(loop, timer);
    callback(data);
}

sl__timer *sl__timer_start(sl_loop *loop, uint64_t ms, sl_callback *callback, void *data)
{
    sl__timer *timer = loop->timers;
    if (timer) {
        loop->timers = timer->next;
    } else {
        timer = sl_malloc(sizeof *timer);
        uv_timer_init(&loop->uv, &timer->handle);
        timer->handle.data = loop;
    }
    timer->callback = callback;
    timer->data = data;
    uv_update_time(&loop->uv); /* the pass may have lasted: times count from now */
    uv_timer_start(&timer->handle, on_timer, ms, 0);
    return timer;
}

void sl__timer_stop(sl_loop *loop, sl__timer *timer)
{
    uv_timer_stop(&timer->handle);
    timer->next = loop->timers;
    loop->timers = timer;
}

/* ---- The loop ---- */

int sl_loop_new(sl_loop **ret_loop)
{
    if (sl__loop)
        return SL_EBUSY;
    sl_loop *loop = sl_calloc(1, sizeof *loop);
    int r = uv_loop_init(&loop->uv);
    if (r < 0) {
        free(loop);
        return r;
    }
    r = uv_async_init(&loop->uv, &loop->wake, on_wake);
    if (r < 0) {
        uv_loop_close(&loop->uv);
        free(loop);
        return r;
    }
    uv_mutex_init(&loop->posted_lock);
    loop->last = &loop->first;
    loop->posted_last = &loop->posted;
    loop->put_off_last = &loop->put_off;
    loop->uv.data = loop;
    loop->wake.data = loop->before_poll.data = loop->after_poll.data = loop;
    uv_unref((uv_handle_t *) &loop->wake);
    uv_prepare_init(&loop->uv, &loop->before_poll);
    uv_prepare_start(&loop->before_poll, on_before_poll);
    uv_unref((uv_handle_t *) &loop->before_poll);
    uv_check_init(&loop->uv, &loop->after_poll);
    uv_check_start(&loop->after_poll, on_after_poll);
    uv_unref((uv_handle_t *) &loop->after_poll);
    uv_idle_init(&loop->uv, &loop->busy);
    sl__loop = *ret_loop = loop;
    return 0;
}

void sl_loop_run(sl_loop *loop)
{
    uv_run(&loop->uv, UV_RUN_DEFAULT);
}

void sl_loop_stop(sl_loop *loop)
{
    uv_stop(&loop->uv);
}

sl_loop *sl_loop_current(void)
{
    return sl__loop;
}

struct uv_loop_s *sl_loop_uv(sl_loop *loop)
{
    return &loop->uv;
}

uint64_t sl_loop_now(sl_loop *loop)
{
    return uv_now(&loop->uv);
}

void sl__loop_at_exit(sl_loop *loop, sl_callback *callback, void *data)
{
    struct at_exit *entry = sl_malloc(sizeof *entry);
    *entry = (struct at_exit){loop->at_exit, callback, data};
    loop->at_exit = entry;
}

static void close_leftover(uv_handle_t *handle, void *data)
{
    if (!uv_is_closing(handle))
        uv_close(handle, NULL);
}

static void cancel_tasks(sl_loop *loop)
{
    /* Cleaning up may start more work, so it gets two rounds; who is left then refuses to end. */
    for (int round = 0; round < 2 && loop->task_count; round++) {
        sl__scope_cancel_all(&loop->tasks);
        for (int pass = 0; pass < 1000 && loop->task_count; pass++)
            uv_run(&loop->uv, pass < 900 ? UV_RUN_NOWAIT : UV_RUN_ONCE);
        loop->tasks.cancelled = 0;
    }
    if (loop->task_count) {
        sl_buffer dump = {0};
        sl_task_dump(loop, &dump);
        sl_error_log("the loop ends, but %zu tasks do not:\n%s", loop->task_count, dump.data);
        sl_buffer_done(&dump);
    }
}

static void run_exit_callbacks(sl_loop *loop)
{
    while (loop->at_exit) {
        struct at_exit entry = *loop->at_exit;
        free(loop->at_exit);
        loop->at_exit = entry.next;
        entry.callback(entry.data);
    }
}

sl_loop *sl_loop_free(sl_loop *loop)
{
    if (!loop)
        return NULL;
    cancel_tasks(loop);
    run_exit_callbacks(loop);
    /* What ends now may still have something to say: give it a few passes. */
    for (int pass = 0; pass < 100 && uv_run(&loop->uv, UV_RUN_NOWAIT); pass++)
        continue;
    uv_mutex_lock(&loop->posted_lock);
    loop->closing = true;
    uv_mutex_unlock(&loop->posted_lock);
    on_wake(&loop->wake);
    run_slice(loop);
    sl__context_done(loop);

    for (sl__timer *timer = loop->timers; timer; timer = timer->next)
        uv_close((uv_handle_t *) &timer->handle, NULL);
    uv_walk(&loop->uv, close_leftover, NULL);
    uv_run(&loop->uv, UV_RUN_DEFAULT);
    uv_loop_close(&loop->uv);
    while (loop->timers) {
        sl__timer *next = loop->timers->next;
        free(loop->timers);
        loop->timers = next;
    }
    while (loop->arena_count)
        sl_arena_free(loop->arenas[--loop->arena_count]);
    sl__pool_done(&loop->deferreds);
    sl__pool_done(&loop->links);
    sl__pool_done(&loop->control_blocks);
    sl__stacks_free(loop->stacks);
    uv_mutex_destroy(&loop->posted_lock);
    if (sl__loop == loop)
        sl__loop = NULL;
    free(loop);
    return NULL;
}
