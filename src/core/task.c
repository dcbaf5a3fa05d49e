/* task.c: coroutines on stacks of their own.
 *
 * A task is made of a control block (pooled), a stack (taken when it first runs) and, once something is
 * allocated, an arena. It runs when its turn comes in the loop's queue, and gives control back by parking;
 * nothing ever switches from task to task directly, so the loop's stack is always the one below. Its end
 * switches away for good, and the loop then takes the stack back. */
#include "core/task.h"
#include "core/context.h"
#include "core/switch.h"

#include <stdio.h>
#include <stdlib.h>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif

#define AWAITS_BETWEEN_CLOCKS 64
#define INLINED __attribute__((always_inline)) static inline

/* ---- Switching ---- */

INLINED void enter_stack(sl_task *task)
{
    sl_loop *loop = task->loop;
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_start_switch_fiber(&loop->fake_stack, task->stack->bottom, SL__STACK_SIZE);
#endif
    sl__switch(&loop->loop_sp, task->sp);
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_finish_switch_fiber(loop->fake_stack, NULL, NULL);
#endif
}

INLINED void entered_stack(sl_task *task)
{
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_finish_switch_fiber(task->fake_stack, &task->loop->stack_bottom, &task->loop->stack_size);
#endif
}

INLINED void leave_stack(sl_task *task, bool for_good)
{
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_start_switch_fiber(for_good ? NULL : &task->fake_stack, task->loop->stack_bottom,
                                   task->loop->stack_size);
#endif
    sl__switch(&task->sp, task->loop->loop_sp);
}

/* Each switch of stacks leaves the processor's record of return addresses wrong, so each return after it is
 * predicted wrongly: what stands between a task's own code and the switch is inlined. */
INLINED void park(sl_task *task, const sl_site *site)
{
    sl_loop *loop = task->loop;
    task->waiting_at = site;
    task->since_ms = uv_now(&loop->uv);
    task->context = loop->context;
    leave_stack(task, /* for_good= */ false);
    entered_stack(task);
    task->waiting_at = NULL;
}

void sl__task_park(sl_task *task, const sl_site *site)
{
    park(task, site);
}

/* ---- The end ---- */

/* What the value may need goes to whoever awaits it; the rest is released here. */
static sl__estate *leave_estate(sl_task *task)
{
    sl__cleanup *values = NULL, **last = &values;
    while (task->cleanups) {
        sl__cleanup *cleanup = task->cleanups;
        if (cleanup->value) {
            task->cleanups = cleanup->next;
            cleanup->next = NULL;
            *last = cleanup;
            last = &cleanup->next;
        } else {
            sl__cleanups_run(task, cleanup->next);
        }
    }
    if (!task->arena)
        return task->estate;
    sl__estate *estate = sl_arena_alloc(task->arena, sizeof *estate);
    *estate = (sl__estate){.next = task->estate, .arena = task->arena, .values = values};
    task->arena = NULL;
    return estate;
}

static void tell_result(sl_task *task, void *value, sl_error *error)
{
    sl_deferred *result = task->result;
    task->result = NULL;
    if (!error && value && !result->swallow) {
        sl__deferred_set_estate(result, leave_estate(task));
        task->estate = NULL;
    }
    sl__cleanups_run(task, NULL);
    if (error)
        sl__fire(task->site, result, sl_failed(error));
    else
        sl__fire(task->site, result, sl_ok(value));
}

static void *run_body(void *data)
{
    sl_task *task = data;
    void *value = task->fn(task->data);
    sl__scope_leave(&task->body);
    return value;
}

/* Children started meanwhile, by a canceller, are cancelled too. */
static void cancel_children(sl_scope *scope)
{
    bool again = true;
    while (again) {
        again = false;
        for (sl_task *child = scope->first_child; child; child = child->next_sibling) {
            if (child->body.cancelled)
                continue;
            sl__task_cancel(child);
            again = true;
        }
    }
}

/* After a failure: the children end before anything that they may use is released. Only they are cancelled,
 * so that what releases it may await. */
static sl_error *end_children(sl_task *task, sl_error *error)
{
    cancel_children(&task->body);
    sl__scope_join(&task->body);
    return sl__scope_settle(&task->body, error);
}

static void task_main(void *data)
{
    sl_task *task = data;
    entered_stack(task);
    void *value = NULL;
    sl_error *error = sl__catch_exit(run_body, task, &value);
    if (error)
        error = end_children(task, error);
    task->over = true;
    if (task->result) {
        tell_result(task, value, error);
        error = NULL;
    }
    sl__cleanups_run(task, NULL);
    sl__scope_child_ended(task, error);
    task->context = task->loop->context; /* the one that it began with: every block in it was left */
    task->loop->ended = task;
    leave_stack(task, /* for_good= */ true);
    __builtin_unreachable();
}

static void background_ended(sl_loop *loop)
{
    sl_deferred *done = loop->background_done;
    if (--loop->background_count > 0 || !done)
        return;
    loop->background_done = NULL;
    sl_fire(done, NULL, NULL);
}

static void recycle(sl_loop *loop, sl_task *task)
{
    if (task->background)
        background_ended(loop);
    sl__switch_done(task->sp);
    if (task->stack)
        sl__stack_put(loop->stacks, task->stack);
    sl__arena_put(loop, task->arena);
    sl__estate_free(task->estate);
    sl__context_unref(task->context);
    free(task->locals);
    sl__pool_put(&loop->control_blocks, task);
    if (--loop->task_count == 0)
        uv_unref((uv_handle_t *)&loop->wake);
}

/* ---- Running ---- */

static bool prepare(sl_task *task)
{
    task->stack = sl__stack_get(&task->loop->stacks);
    if (!task->stack)
        return false;
#if defined(__SANITIZE_ADDRESS__)
    /* An exit that unwound the last task on this stack left its red zones behind. */
    __asan_unpoison_memory_region(task->stack->bottom + 4096, SL__STACK_SIZE - 4096);
#endif
    task->sp = sl__switch_prepare(task->stack->bottom + 4096, task->stack->top, task_main, task);
    task->started = true;
    return true;
}

/* Who started it is told: by its callback, by the deferred, or by the scope, which fails. */
static void fail_to_start(sl_task *task)
{
    SL_IN_CONTEXT(task->context);
    if (task->without_stack) {
        task->without_stack(task->data);
        sl__scope_child_ended(task, NULL);
        recycle(task->loop, task);
        return;
    }
    sl_error *error = sl__error_new(task->site, SL_ENOMEM, "no memory for the stack of task %s", task->name);
    if (task->result) {
        sl__fire(task->site, task->result, sl_failed(error));
        error = NULL;
    }
    sl__scope_child_ended(task, error);
    recycle(task->loop, task);
}

static void run_task(sl__job *job)
{
    sl_task *task = (sl_task *)job;
    sl_loop *loop = task->loop;
    task->ready = false;
    if (!task->started && !prepare(task)) {
        fail_to_start(task);
        return;
    }
    sl_context *saved = loop->context;
    loop->task = task;
    loop->context = task->context;
    enter_stack(task);
    loop->task = NULL;
    loop->context = saved;
    if (loop->ended) {
        loop->ended = NULL;
        recycle(loop, task);
    }
}

void sl__task_ready(sl_task *task)
{
    if (task->ready)
        return;
    task->ready = true;
    sl__enqueue(task->loop, &task->job);
}

/* The scope of what is started now. A task that is over waits for nobody any more: what its cleanups and the
 * links of its result start is for those to wait for who wait for it. */
static sl_scope *open_scope(sl_loop *loop)
{
    sl_task *task = loop->task;
    if (!task)
        return &loop->tasks;
    return task->over && task->scope == &task->body ? task->home : task->scope;
}

sl_task *sl__task_start(const sl_site *site, const char *name, sl_task_fn *fn, void *data, sl_scope *scope)
{
    sl_loop *loop = sl__loop_needed("sl_spawn");
    sl_task *task = sl__pool_get(&loop->control_blocks, sizeof *task);
    *task = (sl_task){
        .job.run = run_task,
        .loop = loop,
        .name = name,
        .site = site,
        .fn = fn,
        .data = data,
        .context = sl__context_ref(loop->context),
        .body = {.owner = task, .site = site, .entered = true},
        .scope = &task->body,
        .started_ms = uv_now(&loop->uv),
    };
    sl__scope_add(scope ? scope : open_scope(loop), task);
    if (loop->task_count++ == 0)
        uv_ref((uv_handle_t *)&loop->wake); /* the loop goes on while there are tasks */
    sl__task_ready(task);
    return task;
}

void sl__go(const sl_site *site, const char *name, sl_task_fn *fn, void *data)
{
    sl__task_start(site, name, fn, data, NULL);
}

void sl__background(const sl_site *site, const char *name, sl_task_fn *fn, void *data)
{
    sl_loop *loop = sl__loop_needed("sl_background");
    sl_root *root = sl_root_current();
    SL_IN_CONTEXT(root ? &root->base : NULL);
    sl__task_start(site, name, fn, data, &loop->tasks)->background = true;
    loop->background_count++;
}

static sl_cancelled background_forgotten(sl_deferred *deferred, void *data)
{
    ((sl_loop *)data)->background_done = NULL;
    return SL_CANCEL_DONE;
}

sl_deferred *sl__background_done(sl_loop *loop)
{
    if (loop->background_count == 0)
        return sl_succeeded(NULL, NULL);
    return loop->background_done = sl_deferred_new(background_forgotten, loop);
}

static sl_cancelled cancel_spawned(sl_deferred *deferred, void *data)
{
    sl__task_cancel(data);
    return SL_CANCEL_LATE;
}

sl_deferred *sl__spawn(const sl_site *site, const char *name, sl_task_fn *fn, void *data)
{
    sl_task *task = sl__task_start(site, name, fn, data, NULL);
    return task->result = sl__deferred_new(site, cancel_spawned, task);
}

void sl__task_cancel(sl_task *task)
{
    sl__scope_cancel_why(&task->body, SL__WHY_CANCELLED);
}

sl_task *sl_task_current(void)
{
    return sl__loop ? sl__loop->task : NULL;
}

static sl_task *task_needed(const sl_site *site, const char *function)
{
    sl_task *task = sl_task_current();
    if (!task)
        sl__die(site, "%s works in tasks only: start one with sl_spawn, or add a link with sl_then",
                function);
    return task;
}

/* ---- Awaiting ---- */

static void adopt(sl_task *task, sl__estate *estate)
{
    if (!estate)
        return;
    if (task->estate) { /* else nothing follows: estates handed up a long line of tasks are not walked each
                           time */
        sl__estate *last = estate;
        while (last->next)
            last = last->next;
        last->next = task->estate;
    }
    task->estate = estate;
}

void sl__task_resume_with(sl_task *task, sl_deferred *deferred)
{
    sl__estate *estate;
    task->got = sl__deferred_take(deferred, &estate);
    adopt(task, estate);
    task->waiting = NULL;
    sl__task_ready(task);
}

static sl_result cancelled_result(const sl_site *site)
{
    return sl_failed(sl__error_new(site, SL_ECANCELED, "cancelled"));
}

INLINED sl_result park_for(sl_task *task, const sl_site *site, sl_deferred *d)
{
    task->waiting_link = sl__deferred_add_task(d, task, site);
    task->waiting = d;
    task->refused = false;
    park(task, site);
    if (task->refused) {
        sl_forget(d);
        return cancelled_result(site);
    }
    sl_deferred_unref(d);
    sl_result got = task->got;
    task->got = sl_ok(NULL);
    return got;
}

static void share_slice(sl_task *task, const sl_site *site)
{
    sl_loop *loop = task->loop;
    if (++loop->ready_awaits % AWAITS_BETWEEN_CLOCKS == 0 && sl_monotonic_ns() > loop->slice_end_ns) {
        sl__task_ready(task);
        park(task, site);
    }
}

INLINED sl_result await_result(sl_task *task, const sl_site *site, sl_deferred *d)
{
    if (d == task->result) {
        sl_deferred_unref(d);
        return sl_failed(sl__error_new(site, SL_ECYCLE, "task %s awaits its own result", task->name));
    }
    if (sl__deferred_ready(d))
        share_slice(task, site); /* others may take the result meanwhile */
    if (!sl__deferred_ready(d) && task->scope->cancelled)
        sl_cancel(d);
    if (sl__deferred_ready(d)) {
        sl__estate *estate;
        sl_result result = sl__deferred_take(d, &estate);
        adopt(task, estate);
        sl_deferred_unref(d);
        return result;
    }
    if (!task->scope->cancelled)
        return park_for(task, site, d);
    sl_forget(d);
    return cancelled_result(site);
}

INLINED sl_result take(const sl_site *site, sl_deferred *deferred)
{
    sl_task *task = task_needed(site, "sl_await");
    sl_result result = await_result(task, site, deferred);
    if (result.kind == SL_FAILURE) {
        if (result.error->code == SL_ECANCELED && task->scope->cancelled == SL__WHY_DEADLINE) {
            sl_error *error = sl__error_new(site, SL_ETIMEDOUT, "the deadline of the scope has passed");
            result.error = sl_error_cause(error, result.error);
        }
        sl_error_hop(result.error, site);
    }
    return result;
}

sl_result sl__take(const sl_site *site, sl_deferred *deferred)
{
    return take(site, deferred);
}

static sl__cleanup *add_cleanup(sl_task *task, sl_free_fn *fn, void *data)
{
    sl__cleanup *cleanup = sl_arena_alloc(sl_task_arena(), sizeof *cleanup);
    *cleanup = (sl__cleanup){task->cleanups, fn, data, false};
    return task->cleanups = cleanup;
}

static void unref_error(void *error)
{
    sl_error_unref(error);
}

void *sl__await(const sl_site *site, sl_deferred *deferred, sl_error **ret_error)
{
    sl_result result = take(site, deferred);
    sl_task *task = sl__loop->task;
    if (result.kind == SL_VALUE) {
        if (ret_error)
            *ret_error = NULL;
        if (result.free && result.value)
            add_cleanup(task, result.free, result.value)->value = true;
        return result.value;
    }
    if (!ret_error)
        sl__exit(task, site, result.error);
    add_cleanup(task, unref_error, result.error);
    *ret_error = result.error;
    return NULL;
}

void sl__yield(const sl_site *site)
{
    sl_task *task = task_needed(site, "sl_yield");
    sl__task_ready(task);
    park(task, site);
}

/* ---- Failing, owning ---- */

void sl__fail_error(const sl_site *site, sl_error *error)
{
    if (site != error->origin || error->hop_count > 0)
        sl_error_hop(error, site);
    sl__exit(sl_task_current(), site, error);
}

void sl__fail(const sl_site *site, int code, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    sl_error *error = sl__error_newv(site, code, format, arguments);
    va_end(arguments);
    sl__exit(sl_task_current(), site, error);
}

sl_arena *sl_task_arena(void)
{
    sl_task *task = task_needed(NULL, "sl_alloc");
    if (!task->arena)
        task->arena = sl__arena_get(task->loop);
    return task->arena;
}

void sl_defer(sl_free_fn *fn, void *data)
{
    add_cleanup(task_needed(NULL, "sl_defer"), fn, data);
}

void *sl_alloc(size_t size)
{
    return sl_arena_alloc(sl_task_arena(), size);
}

void *sl_zalloc(size_t size)
{
    return sl_arena_zalloc(sl_task_arena(), size);
}

char *sl_printf(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    char *text = sl_arena_vprintf(sl_task_arena(), format, arguments);
    va_end(arguments);
    return text;
}

char *sl_strdup(const char *string)
{
    return sl_arena_strdup(sl_task_arena(), string);
}

size_t sl_task_count(sl_loop *loop)
{
    return loop->task_count;
}

sl_scope *sl__loop_scope(sl_loop *loop)
{
    return &loop->tasks;
}

/* ---- A program's main task ---- */

typedef struct program {
    sl_loop *loop;
    bool done;
    int code;
    void *value;
} program;

static sl_result program_succeeded(sl_result result, void *data)
{
    program *p = data;
    p->done = true;
    p->value = result.value;
    sl_loop_stop(p->loop);
    return sl_ok(NULL);
}

static sl_result program_failed(sl_result result, void *data)
{
    program *p = data;
    p->done = true;
    p->code = result.error->code;
    sl_loop_stop(p->loop);
    char *text = sl_error_text(result.error);
    sl_error_log("%s", text);
    free(text);
    sl_result_done(&result);
    return sl_ok(NULL);
}

int sl_run(const char *name, sl_task_fn *main, void *data, void **ret_value)
{
    program p = {0};
    int r = sl_loop_new(&p.loop);
    if (r < 0)
        return r;
    sl_root *root = sl_root_new(p.loop, name);
    sl_deferred *done = sl__spawn(SL_HERE, name, main, data);
    sl_then(done, program_succeeded, program_failed, &p, NULL);
    /* What it waits for may come from a thread, which nothing else on the loop knows of: sleep, do not spin.
     */
    uv_ref((uv_handle_t *)&p.loop->wake);
    while (!p.done)
        sl_loop_run(p.loop);
    uv_unref((uv_handle_t *)&p.loop->wake);
    sl_deferred_unref(done);
    sl_root_unref(root);
    sl_loop_free(p.loop);
    if (p.code == 0 && ret_value)
        *ret_value = p.value;
    return p.code;
}
