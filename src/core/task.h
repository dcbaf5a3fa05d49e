/* task.h: the inside of tasks. */
#pragma once

#include "core/deferred.h"
#include "core/stack.h"

/* Where an exit stops: a frame of sl__catch. */
typedef struct sl__catch_frame sl__catch_frame;

typedef enum sl__why {
    SL__WHY_NOT,
    SL__WHY_CANCELLED,
    SL__WHY_DEADLINE,
    SL__WHY_SIBLING,
} sl__why;

struct sl_task {
    sl__job job; /* in the run queue when it is ready */
    sl_loop *loop;
    void *sp;
    sl__stack *stack;
    const char *name;
    const sl_site *site;       /* where it was started */
    const char *verb, *object; /* of what it works on, for crashes ("GET", "/a"); or NULL */
    sl_task_fn *fn;
    void *data;
    sl_callback
        *without_stack;  /* called with `data` if there is no memory for a stack, and fn never is; or NULL */
    sl_context *context; /* while it does not run */
    sl_arena *arena;
    sl__estate *estate; /* values of other tasks that it awaited */
    sl__cleanup *cleanups;
    void **locals;
    unsigned local_count;
    bool started, ready, background;
    bool over;         /* its body was joined: links of its result and cleanups are what still runs */
    sl_error *exiting; /* being unwound with this error */
    unsigned exits;    /* how many unwindings have begun */
    sl__catch_frame *catch_frame;
    sl_deferred *result; /* NULL: its failure is its scope's */
    sl_scope *scope;     /* the innermost open one */
    sl_scope body;       /* the outermost: joined when it returns */
    sl_scope *home;      /* whose child it is */
    sl_task *next_sibling, **link_of_sibling;
    sl_deferred *waiting;
    sl__link *waiting_link;
    bool refused; /* what it awaited would not be cancelled */
    sl_result got;
    const sl_site *waiting_at;
    uint64_t since_ms, started_ms;
    void *fake_stack;
};

/* Starts a task in a scope (NULL: the loop's), without a deferred. */
SL_API sl_task *sl__task_start(const sl_site *site, const char *name, sl_task_fn *fn, void *data,
                               sl_scope *scope);
SL_API void sl__task_cancel(sl_task *task);
/* Succeeds when no task that sl_background started is left. One at a time. */
SL_API sl_deferred *sl__background_done(sl_loop *loop);
/* The loop's outermost scope. */
SL_API sl_scope *sl__loop_scope(sl_loop *loop);
/* Takes the result of the deferred that the task awaits, and makes it ready. */
void sl__task_resume_with(sl_task *task, sl_deferred *deferred);
/* Appends the task to the run queue. */
void sl__task_ready(sl_task *task);
/* Parks the running task until sl__task_ready. */
void sl__task_park(sl_task *task, const sl_site *site);
/* scope.c */
void sl__scope_cancel_why(sl_scope *scope, sl__why why);
void sl__scope_add(sl_scope *scope, sl_task *task);
/* Parks the owner until the scope has no children. */
void sl__scope_join(sl_scope *scope);
/* Of the failure with which a joined scope's block ended and the scope's own, gives the one that counts; the
 * other is dropped, or logged if nothing else tells it. Takes over the failure. */
sl_error *sl__scope_settle(sl_scope *scope, sl_error *failure);
/* A child has ended, with an error (taken over) if nobody else is told of it. */
void sl__scope_child_ended(sl_task *task, sl_error *error);

/* exit.c: runs fn(data) and gives NULL, or the error (the caller's) with which it ended; then *ret_value is
 * untouched. What sl_defer registered inside is released only if it failed, else when the task ends. In a
 * task. */
SL_API sl_error *sl__catch(sl_task_fn *fn, void *data, void **ret_value);
/* The same, but what sl_defer registered is the caller's business either way. */
sl_error *sl__catch_exit(sl_task_fn *fn, void *data, void **ret_value);
/* Runs the cleanups registered since `until`. */
void sl__cleanups_run(sl_task *task, sl__cleanup *until);
SL_NORETURN void sl__exit(sl_task *task, const sl_site *site, sl_error *error);
