/* loop.c: libuv's loop with a run queue of our own.
 *
 * What is ready to run (tasks, callbacks) stands in one queue, first in first out. It is worked off before
 * and after each poll, for at most a slice of time, so that ready work cannot starve I/O; while something is
 * left an idle handle keeps the poll from blocking. (A timer of 0 ms would not do: libuv 1.44 runs one that
 * is started from its own callback within the same pass, for ever.) */
#include "core/loop.h"
#include "core/context.h"
#include "core/stack.h"
#include "core/switch.h"
#include "core/task.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define SLICE_NS 500000
#define JOBS_BETWEEN_CLOCKS 32

/* How long a loop that ends waits for its tasks, in each of two rounds. */
#define PATIENCE_MS 2000

/* Stacks that nobody uses give their pages back, but for these, some time after they came to be twice as
 * many. */
#define IDLE_STACKS 256
#define TRIM_AFTER_MS 10000
#define TRIMMED_AT_ONCE 1024

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
        void *next = *(void **)pool->free;
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
    if (uv_is_closing((uv_handle_t *)&loop->busy))
        return; /* the last of the work is done by sl_loop_free itself */
    loop->awake = true;
    uv_idle_start(&loop->busy, on_busy);
}

static void run_slice(sl_loop *loop, uint64_t now_ns)
{
    if (!loop->first)
        return;
    loop->slice_end_ns = (now_ns ? now_ns : sl_monotonic_ns()) + SLICE_NS;
    for (unsigned n = 1; loop->first; n++) {
        sl__job *job = loop->first;
        loop->first = job->next;
        if (!loop->first)
            loop->last = &loop->first;
        job->run(job);
        if (n % JOBS_BETWEEN_CLOCKS == 0 && sl_monotonic_ns() > loop->slice_end_ns)
            break;
    }
    if (!loop->first && loop->awake) {
        loop->awake = false;
        uv_idle_stop(&loop->busy);
    }
}

void sl__loop_work(sl_loop *loop, uint64_t now_ns)
{
    run_slice(loop, now_ns);
}

/* ---- Before the poll ---- */

void sl__loop_before_poll(sl_loop *loop, sl__before_poll *hook)
{
    hook->next = loop->hooks;
    hook->link = &loop->hooks;
    if (hook->next)
        hook->next->link = &hook->next;
    loop->hooks = hook;
}

void sl__loop_not_before_poll(sl_loop *loop, sl__before_poll *hook)
{
    if (loop->next_hook == hook)
        loop->next_hook = hook->next;
    *hook->link = hook->next;
    if (hook->next)
        hook->next->link = hook->link;
}

static void run_hooks(sl_loop *loop)
{
    for (sl__before_poll *hook = loop->hooks; hook; hook = loop->next_hook) {
        loop->next_hook = hook->next;
        hook->run(hook);
    }
}

static void trim_stacks(uv_timer_t *timer)
{
    sl_loop *loop = timer->data;
    sl__stacks_trim(loop->stacks, IDLE_STACKS, TRIMMED_AT_ONCE);
    if (sl__stacks_idle(loop->stacks) > IDLE_STACKS)
        uv_timer_start(timer, trim_stacks, 10, 0);
}

static void on_before_poll(uv_prepare_t *prepare)
{
    sl_loop *loop = prepare->data;
    run_slice(loop, 0);
    run_hooks(loop);
    if (sl__stacks_idle(loop->stacks) > 2 * IDLE_STACKS && !uv_is_active((uv_handle_t *)&loop->trim))
        uv_timer_start(&loop->trim, trim_stacks, TRIM_AFTER_MS, 0);
}

static void on_after_poll(uv_check_t *check)
{
    run_slice(check->data, 0);
}

typedef struct call {
    sl__job job;
    sl_callback *callback;
    void *data;
    sl_context *context;
} call;

static void run_call(sl__job *job)
{
    call made = *(call *)job;
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
    call made = *(call *)job;
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
    sl__timer *timer = (sl__timer *)handle;
    sl_loop *loop = handle->data;
    sl_callback *callback = timer->callback;
    void *data = timer->data;
    sl__timer_stop(loop, timer);
    callback(data);
}

sl__timer *sl__timer_start(sl_loop *loop, uint64_t ms, sl_callback *callback, void *data)
{
    sl__timer *timer = loop->free_timers;
    if (timer) {
        loop->free_timers = timer->next;
    } else {
        timer = sl_malloc(sizeof *timer);
        uv_timer_init(&loop->uv, &timer->handle);
        timer->handle.data = loop;
    }
    timer->callback = callback;
    timer->data = data;
    timer->deferred = NULL;
    timer->next = loop->timers;
    timer->link = &loop->timers;
    if (timer->next)
        timer->next->link = &timer->next;
    loop->timers = timer;
    uv_update_time(&loop->uv); /* the pass may have lasted: times count from now */
    uv_timer_start(&timer->handle, on_timer, ms, 0);
    return timer;
}

void sl__timer_stop(sl_loop *loop, sl__timer *timer)
{
    uv_timer_stop(&timer->handle);
    *timer->link = timer->next;
    if (timer->next)
        timer->next->link = timer->link;
    timer->next = loop->free_timers;
    loop->free_timers = timer;
}

/* The loop ends: those who wait for a time are told that it will not come. */
static void cancel_timers(sl_loop *loop)
{
    for (sl__timer *timer = loop->timers; timer;) {
        sl_deferred *deferred = timer->deferred;
        timer->deferred = NULL;
        if (deferred)
            sl_cancel(deferred); /* may start and stop any of them */
        timer = deferred ? loop->timers : timer->next;
    }
}

static void free_timers(sl__timer *timer)
{
    while (timer) {
        sl__timer *next = timer->next;
        free(timer);
        timer = next;
    }
}

/* ---- The loop ---- */

static void ignore_sigpipe(void)
{
    struct sigaction now;
    if (sigaction(SIGPIPE, NULL, &now) == 0 && !(now.sa_flags & SA_SIGINFO) && now.sa_handler == SIG_DFL)
        signal(SIGPIPE, SIG_IGN);
}

static void start_handles(sl_loop *loop)
{
    loop->wake.data = loop->before_poll.data = loop->after_poll.data = loop->trim.data = loop;
    uv_unref((uv_handle_t *)&loop->wake);
    uv_prepare_init(&loop->uv, &loop->before_poll);
    uv_prepare_start(&loop->before_poll, on_before_poll);
    uv_unref((uv_handle_t *)&loop->before_poll);
    uv_check_init(&loop->uv, &loop->after_poll);
    uv_check_start(&loop->after_poll, on_after_poll);
    uv_unref((uv_handle_t *)&loop->after_poll);
    uv_idle_init(&loop->uv, &loop->busy);
    uv_timer_init(&loop->uv, &loop->trim);
    uv_unref((uv_handle_t *)&loop->trim);
}

/* Where there is no descriptor left libuv aborts instead of telling it: for the poll and a pipe in its once.
 */
static int descriptors_left(void)
{
    int first[2], second[2];
    if (pipe2(first, O_CLOEXEC) < 0)
        return -errno;
    int code = pipe2(second, O_CLOEXEC) < 0 ? -errno : 0;
    close(first[0]);
    close(first[1]);
    if (code == 0) {
        close(second[0]);
        close(second[1]);
    }
    return code;
}

int sl_loop_new(sl_loop **ret_loop)
{
    if (sl__loop)
        return SL_EBUSY;
    int code = descriptors_left();
    if (code < 0)
        return code;
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
    start_handles(loop);
    ignore_sigpipe();
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

static void on_patience_over(uv_timer_t *timer)
{
    *(bool *)timer->data = true;
}

static void free_handle(uv_handle_t *handle)
{
    free(handle);
}

static void wait_for_tasks(sl_loop *loop)
{
    bool over = false;
    uv_timer_t *patience = sl_malloc(sizeof *patience);
    uv_timer_init(&loop->uv, patience);
    patience->data = &over;
    uv_timer_start(patience, on_patience_over, PATIENCE_MS, 0);
    while (loop->task_count && !over)
        uv_run(&loop->uv, UV_RUN_ONCE);
    uv_close((uv_handle_t *)patience, free_handle);
}

static void cancel_tasks(sl_loop *loop)
{
    /* Cleaning up may start more work, so it gets two rounds. */
    for (int round = 0; round < 2 && loop->task_count; round++) {
        sl_scope_cancel(&loop->tasks);
        wait_for_tasks(loop);
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

/* What ends now may still have something to say: it gets some passes. */
static void run_out(sl_loop *loop)
{
    for (int pass = 0; pass < 100 && (uv_run(&loop->uv, UV_RUN_NOWAIT) || loop->first); pass++)
        continue;
}

/* Closes all handles. Requests that are still in threads end first, and what follows from them is done. */
static void close_handles(sl_loop *loop)
{
    for (int round = 0; round < 100; round++) {
        uv_walk(&loop->uv, close_leftover, NULL);
        uv_run(&loop->uv, UV_RUN_DEFAULT);
        run_slice(loop, 0);
        if (!loop->first && uv_loop_close(&loop->uv) == 0)
            return;
    }
    sl_error_log("the loop ends, but its last work makes ever more");
}

sl_loop *sl_loop_free(sl_loop *loop)
{
    if (!loop)
        return NULL;
    cancel_tasks(loop);
    sl__roots_unload(loop);
    wait_for_tasks(loop);
    cancel_tasks(loop);
    run_exit_callbacks(loop);
    run_out(loop);
    cancel_timers(loop);
    run_out(loop);
    uv_mutex_lock(&loop->posted_lock);
    loop->closing = true;
    uv_mutex_unlock(&loop->posted_lock);
    on_wake(&loop->wake);
    run_out(loop);
    sl__context_done(loop);
    close_handles(loop);
    free_timers(loop->timers);
    free_timers(loop->free_timers);
    while (loop->arena_count)
        sl_arena_free(loop->arenas[--loop->arena_count]);
    sl_table_free(loop->sites);
    sl__pool_done(&loop->deferreds);
    sl__pool_done(&loop->links);
    sl__pool_done(&loop->control_blocks);
    sl__stacks_free(loop->stacks);
    sl__switch_done(loop->loop_sp);
    uv_mutex_destroy(&loop->posted_lock);
    if (sl__loop == loop)
        sl__loop = NULL;
    free(loop);
    return NULL;
}
