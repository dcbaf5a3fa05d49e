/* loop.h: the inside of the loop. One struct holds all that belongs to a thread: nothing here is global. */
#pragma once

#include <silver/core.h>
#include <stdlib.h>
#include <uv.h>

#if defined(__has_feature)
#if __has_feature(address_sanitizer) && !defined(__SANITIZE_ADDRESS__)
#define __SANITIZE_ADDRESS__ 1
#endif
#endif

/* What can stand in the run queue; whatever wants to run embeds one. */
typedef struct sl__job {
    struct sl__job *next;
    void (*run)(struct sl__job *job);
} sl__job;

/* Run once in each pass, after the queue and before the loop looks for events: for those who gather what they
 * send. May enqueue jobs: then the loop does not wait. */
typedef struct sl__before_poll {
    struct sl__before_poll *next, **link;
    void (*run)(struct sl__before_poll *hook);
} sl__before_poll;

typedef struct sl__timer {
    uv_timer_t handle;
    struct sl__timer *next, **link; /* among those that run, or in the pool */
    sl_callback *callback;
    void *data;
    sl_deferred *deferred; /* cancelled if the loop ends before the time has come; may be NULL */
} sl__timer;

/* A pool of objects of one size: freed ones are kept for the next. */
typedef struct sl__pool {
    void *free; /* linked through their first word */
    size_t kept;
} sl__pool;

struct sl_loop {
    uv_loop_t uv;
    uv_prepare_t before_poll;
    uv_check_t after_poll;
    uv_idle_t busy; /* active while the queue has work: then polling must not block */
    uv_async_t wake;

    /* The run queue, first in first out. */
    sl__job *first, **last;
    bool awake;                         /* `busy` is active */
    sl__before_poll *hooks, *next_hook; /* the one that is run after the running one */
    uint64_t slice_end_ns;

    /* Posted from other threads. */
    uv_mutex_t posted_lock;
    sl__job *posted, **posted_last;
    bool closing;

    sl_context *context; /* what holds now */
    sl_root *root;       /* the first root made */
    sl_root *roots;      /* all of them */

    /* Deferreds. */
    unsigned fire_depth;
    sl_deferred *put_off, **put_off_last;
    sl__pool deferreds, links;
    sl__timer *timers, *free_timers;
    sl_table *sites; /* of errors that came from other processes */

    /* Tasks. */
    sl_task *task;  /* running now, or NULL */
    sl_scope tasks; /* the scope of those that no task started */
    size_t task_count, background_count;
    sl_deferred *background_done;  /* of who waits until there is no more of these, or NULL */
    bool cancelling;               /* sl__scope_cancel_why is at work, */
    sl_scope *to_cancel, *to_wake; /* on these */
    unsigned ready_awaits;
    void *loop_sp;  /* the loop's own stack while a task runs */
    sl_task *ended; /* switched away for good: its stack can be reused now */
    sl__pool control_blocks;
    struct sl__stacks *stacks;
    uv_timer_t trim;      /* active while stacks that nobody uses keep memory */
    sl_arena *arenas[64]; /* reset ones, for reuse */
    unsigned arena_count;
    void *fake_stack; /* of the address sanitizer, while a task runs */
    const void *stack_bottom;
    size_t stack_size;
    const void *known_objects[8]; /* shared objects whose frames an exit may cross */
    unsigned known_count;

    struct at_exit {
        struct at_exit *next;
        sl_callback *callback;
        void *data;
    } * at_exit;
};

extern __thread sl_loop *sl__loop __attribute__((tls_model("initial-exec"), visibility("hidden")));

void sl__loop_awake(sl_loop *loop);
/* Runs what is ready, for a slice at most, without looking for anything else: for those who wait by other
 * means than the loop's. Outside tasks. The slice begins at `now_ns`, where the caller knows the time (0:
 * does not). */
void sl__loop_work(sl_loop *loop, uint64_t now_ns);

/* Appends to the run queue. */
static inline void sl__enqueue(sl_loop *loop, sl__job *job)
{
    if (!loop->awake)
        sl__loop_awake(loop);
    job->next = NULL;
    *loop->last = job;
    loop->last = &job->next;
}

/* Puts a hook in; takes it out again, also while it runs. */
void sl__loop_before_poll(sl_loop *loop, sl__before_poll *hook);
void sl__loop_not_before_poll(sl_loop *loop, sl__before_poll *hook);

#define SL__POOL_KEEPS 100000

static inline void *sl__pool_get(sl__pool *pool, size_t size)
{
    void *object = pool->free;
    if (!object)
        return sl_malloc(size);
    pool->free = *(void **)object;
    pool->kept--;
    return object;
}
static inline void sl__pool_put(sl__pool *pool, void *object)
{
#if defined(__SANITIZE_ADDRESS__)
    free(object); /* so that use after free is found */
#else
    if (pool->kept >= SL__POOL_KEEPS) {
        free(object);
        return;
    }
    *(void **)object = pool->free;
    pool->free = object;
    pool->kept++;
#endif
}
void sl__pool_done(sl__pool *pool);

/* Calls back once after `ms`; the timer goes back to the pool before the callback, or when it is stopped. */
sl__timer *sl__timer_start(sl_loop *loop, uint64_t ms, sl_callback *callback, void *data);
void sl__timer_stop(sl_loop *loop, sl__timer *timer);

/* Called when the loop is freed, while it can still run; the last registered first. */
SL_API void sl__loop_at_exit(sl_loop *loop, sl_callback *callback, void *data);

sl_arena *sl__arena_get(sl_loop *loop);
void sl__arena_put(sl_loop *loop, sl_arena *arena);
/* Ends the process with a message: for mistakes of the program that nothing can mend. */
SL_NORETURN void sl__die(const sl_site *site, const char *format, ...) SL_PRINTF(2, 3);
SL_NORETURN void sl__loop_missing(const char *function);
/* The loop of this thread, or the end of the process with the name of what was called without one. */
static inline sl_loop *sl__loop_needed(const char *function)
{
    if (__builtin_expect(!sl__loop, 0))
        sl__loop_missing(function);
    return sl__loop;
}
