/* core.h: the loop, deferreds, tasks, context and channels.
 *
 * A loop belongs to one thread, and so does everything made on it; only the functions called …_from_thread
 * and sl_loop_post may be called from others. A deferred is a result that comes later. A task is a coroutine
 * with a stack, an arena and a context of its own, in which code that awaits deferreds reads like blocking
 * code.
 *
 * "May suspend" below means: the calling task may be parked and others run meanwhile. What is not marked so
 * never suspends. Functions that may suspend work in tasks only; called elsewhere they end the process with a
 * message. */
#pragma once

#include <silver/base.h>

typedef struct sl_loop sl_loop;
typedef struct sl_root sl_root;
typedef struct sl_context sl_context;
typedef struct sl_deferred sl_deferred;
typedef struct sl_task sl_task;
typedef struct sl_scope sl_scope;

struct uv_loop_s;
struct json_t;

/* ---- Loop -------------------------------------------------------------------------------------------- */

/* Makes a loop and makes it the calling thread's. 0, SL_EBUSY if the thread has one, or libuv's code. SIGPIPE
 * is ignored from then on if nothing else was decided about it: writing to what the other side has closed
 * fails with SL_EPIPE. */
SL_API int sl_loop_new(sl_loop **ret_loop);
/* Cancels the tasks that are left and waits two seconds for them, and again for those started meanwhile;
 * names in the log those that refused; cancels the sleeps and what still has a timeout; frees the loop. Takes
 * NULL. */
SL_API sl_loop *sl_loop_free(sl_loop *loop);
/* Runs until sl_loop_stop or until nothing is left that could happen. */
SL_API void sl_loop_run(sl_loop *loop);
SL_API void sl_loop_stop(sl_loop *loop);
SL_API sl_loop *sl_loop_current(void); /* the thread's loop, or NULL */
SL_API struct uv_loop_s *sl_loop_uv(sl_loop *loop);
SL_API uint64_t sl_loop_now(sl_loop *loop); /* ms, monotonic, as of this pass */

typedef void sl_callback(void *data);

/* Calls `callback` soon: after what runs now, in order of the calls, in the context of the call. I/O gets its
 * turn between slices of such work. */
SL_API void sl_soon(sl_callback *callback, void *data);
/* The same from any thread, in the loop's root context. 0, or SL_ECLOSED when the loop is being freed. */
SL_API int sl_loop_post(sl_loop *loop, sl_callback *callback, void *data);

/* Makes a loop and a root named `name`, runs `main` in a task, and returns when it and its children are done,
 * with 0 or the code of the error that ended it (which is logged). For programs, tools and tests. */
typedef void *sl_task_fn(void *data);
SL_API int sl_run(const char *name, sl_task_fn *main, void *data, void **ret_value);

/* ---- Context: what is true of the work being done now ------------------------------------------------ */

typedef enum sl_key_kind {
    SL_CAPTURED, /* follows the work: into tasks, links, timers and listeners (request, user, transaction) */
    SL_ROOTED,   /* read from the application's root, so setting it there sets it for all (log, configuration)
                  */
    SL_TASK_LOCAL, /* this task's alone, never inherited */
} sl_key_kind;

/* A key is a static object: `SL_KEY(user_key, SL_CAPTURED);`. With `ref` and `unref` the context holds a
 * reference to the value for as long as anything that captured it lives; without them the value must live
 * that long anyway. `show` prints a value for the debug page. */
typedef struct sl_key {
    const char *name;
    sl_key_kind kind;
    void *(*ref)(void *value);
    void (*unref)(void *value);
    void (*show)(void *value, sl_buffer *out);
    int index; /* given at the first use */
} sl_key;
#define SL_KEY(identifier, key_kind, ...)                                                                    \
    sl_key identifier = {.name = #identifier, .kind = key_kind, __VA_ARGS__}

/* The value that holds here, or NULL. */
SL_API void *sl_get(sl_key *key);

/* SL_WITH(&key, value); holds until the enclosing block is left, however it is left. For captured and
 * task-local keys; a rooted key is set on its root. */
typedef struct sl__with {
    sl_context *context;
    sl_key *key;
    void *value;
    struct sl_task *task;
} sl__with;
SL_API sl__with sl__with_enter(sl_key *key, void *value);
SL_API void sl__with_leave(sl__with *with);
#define SL__PASTE2(a, b) a##b
#define SL__PASTE(a, b) SL__PASTE2(a, b)
#define SL_WITH(key, value)                                                                                  \
    __attribute__((unused)) sl__with SL__PASTE(sl__with_, __COUNTER__) SL_CLEANUP(sl__with_leave) =          \
        sl__with_enter((key), (value))

/* A root is an application: what its rooted keys say, and where its log goes. Several may share a loop, and
 * do not see each other. The first root made on a loop is the one that holds until another is entered.
 * Counted references. */
SL_API sl_root *sl_root_new(sl_loop *loop, const char *name);
SL_API sl_root *sl_root_ref(sl_root *root);
SL_API sl_root *sl_root_unref(sl_root *root);
SL_API sl_root *sl_root_current(void);
SL_API const char *sl_root_name(const sl_root *root);
SL_API void sl_root_set(sl_root *root, sl_key *key, void *value);
SL_API void *sl_root_get(sl_root *root, sl_key *key);
SL_API void sl_root_set_logger(sl_root *root, sl_logger *logger); /* NULL: the standard error's */
/* SL_IN_ROOT(root); until the end of the block, work is that root's. */
SL_API sl__with sl__root_enter(sl_root *root);
#define SL_IN_ROOT(root)                                                                                     \
    __attribute__((unused)) sl__with SL__PASTE(sl__with_, __COUNTER__) SL_CLEANUP(sl__with_leave) =          \
        sl__root_enter(root)

/* For those who call back later: capture now, enter then. Captured contexts are counted references. */
SL_API sl_context *sl_context_capture(void);
SL_API sl_context *sl_context_release(sl_context *context); /* takes NULL, returns NULL */
SL_API sl__with sl__context_enter(sl_context *context);
#define SL_IN_CONTEXT(context)                                                                               \
    __attribute__((unused)) sl__with SL__PASTE(sl__with_, __COUNTER__) SL_CLEANUP(sl__with_leave) =          \
        sl__context_enter(context)
/* "name: value" lines of what holds here. */
SL_API void sl_context_dump(sl_buffer *out);

/* Captured: a logger for just this work (a request's, in development). Where it is not set the root's holds.
 */
SL_API extern sl_key sl_logger_key;
/* The log that holds here (sl_logger_stderr() outside any root). */
SL_API sl_logger *sl_log_current(void);
#define sl_log(level, ...) sl_log_to(sl_log_current(), (level), SL_HERE, __VA_ARGS__)
#define sl_debug(...) sl_log(SL_DEBUG, __VA_ARGS__)
#define sl_info(...) sl_log(SL_INFO, __VA_ARGS__)
#define sl_warning(...) sl_log(SL_WARNING, __VA_ARGS__)
#define sl_error_log(...) sl_log(SL_ERROR, __VA_ARGS__)

/* ---- Deferreds --------------------------------------------------------------------------------------- */
/* After Twisted's Deferred (twisted.internet.defer). A deferred has two sides:
 *
 *  - who made it fires it, once, with a value or an error;
 *  - who got it adds links, awaits it, cancels it, or releases it: one reference, given up by sl_await,
 * sl_try, by returning it from a link, by the combinators, or by sl_deferred_unref.
 *
 * Links run in the order in which they were added, each getting what the one before returned, on the success
 * or the error side, in the context in which it was added; at once, inside sl_fire or, if the result is there
 * already, inside sl_then. (Inside the links of more than 64 deferreds that fire one another, the next is put
 * off until the outermost is through.)
 *
 * Giving up the last reference of a pending deferred cancels it; of a failed one whose error nobody handled,
 * reports the error in the log, with where it was made, fired and failed. */

typedef enum sl_result_kind {
    SL_VALUE,
    SL_FAILURE,
    SL_DEFERRED,
} sl_result_kind;

typedef struct sl_result {
    uint64_t kind;    /* an sl_result_kind, in a whole word as the rest is: results are passed by value */
    sl_free_fn *free; /* of a value: how to drop it, or NULL */
    union {
        void *value;
        sl_error *error;
        sl_deferred *deferred;
    };
} sl_result;

static inline sl_result sl_ok(void *value)
{
    return (sl_result){.kind = SL_VALUE, .value = value};
}
static inline sl_result sl_owned(void *value, sl_free_fn *free_value)
{
    return (sl_result){.kind = SL_VALUE, .free = free_value, .value = value};
}
static inline sl_result sl_failed(sl_error *error) /* takes over the error */
{
    return (sl_result){.kind = SL_FAILURE, .error = error};
}
static inline sl_result sl_later(sl_deferred *deferred) /* takes over the reference: the chain waits for it */
{
    return (sl_result){.kind = SL_DEFERRED, .deferred = deferred};
}
SL_API void sl_result_done(sl_result *result); /* drops whatever it holds */

/* A link gets a result, which is its own now (SL_VALUE on the success side, SL_FAILURE on the error side),
 * and returns the one for the next link. It must not suspend. */
typedef sl_result sl_link_fn(sl_result result, void *data);

/* What sl_cancel calls on a pending deferred. It may fire it, with an error or a value. What it returns tells
 * the rest: */
typedef enum sl_cancelled {
    SL_CANCEL_DONE, /* nobody will fire it after this: the maker's side is given up */
    SL_CANCEL_LATE, /* whoever makes it will still fire it, once: that is swallowed and its value dropped */
} sl_cancelled;
typedef sl_cancelled sl_cancel_fn(sl_deferred *deferred, void *data);

/* Makes a pending deferred. `cancel` may be NULL (which is SL_CANCEL_LATE). Never NULL. */
#define sl_deferred_new(cancel, data) sl__deferred_new(SL_HERE, (cancel), (data))
SL_API sl_deferred *sl__deferred_new(const sl_site *site, sl_cancel_fn *cancel, void *data);
/* The data given to sl_deferred_new. */
SL_API void *sl_deferred_data(const sl_deferred *deferred);
/* Deferreds that have fired already. `error` is taken over. */
#define sl_succeeded(value, free_value) sl__fired(SL_HERE, sl_owned((value), (free_value)))
#define sl_failing(error) sl__fired(SL_HERE, sl_failed(error))
SL_API sl_deferred *sl__fired(const sl_site *site, sl_result result);

/* Fires: gives up the maker's side. 0, or SL_EFIRED: fired before, which is logged naming both sites, and the
 * value is dropped. The value may be NULL. (Memory of a deferred that both sides gave up is reused: the check
 * is sure only while somebody holds it.) */
#define sl_fire(deferred, value, free_value) sl__fire(SL_HERE, (deferred), sl_owned((value), (free_value)))
#define sl_fire_error(deferred, error) sl__fire(SL_HERE, (deferred), sl_failed(error))
SL_API int sl__fire(const sl_site *site, sl_deferred *deferred, sl_result result);
/* The same from any thread: the deferred fires on its loop. */
#define sl_fire_from_thread(deferred, value, free_value)                                                     \
    sl__fire_from_thread(SL_HERE, (deferred), sl_owned((value), (free_value)))
#define sl_fire_error_from_thread(deferred, error) sl__fire_from_thread(SL_HERE, (deferred), sl_failed(error))
SL_API int sl__fire_from_thread(const sl_site *site, sl_deferred *deferred, sl_result result);
/* The maker gives up without firing: the deferred fails with SL_EABANDONED. */
#define sl_abandon(deferred) sl__abandon(SL_HERE, (deferred))
SL_API void sl__abandon(const sl_site *site, sl_deferred *deferred);

/* Adds a link. `ok` or `failed` may be NULL: that side passes through. `data` is freed with `free_data` (may
 * be NULL) once, after the link ran, was passed by, or can never run. Returns the deferred, for chains of
 * calls. */
#define sl_then(deferred, ok, failed, data, free_data)                                                       \
    sl__then(SL_HERE, (deferred), (ok), (failed), (data), (free_data))
SL_API sl_deferred *sl__then(const sl_site *site, sl_deferred *deferred, sl_link_fn *ok, sl_link_fn *failed,
                             void *data, sl_free_fn *free_data);

/* A pending deferred: calls its canceller and, unless that fired it, fails it with SL_ECANCELED. One that
 * waits for a nested one: cancels that. One with its result: nothing. */
SL_API void sl_cancel(sl_deferred *deferred);
/* Cancels it after `ms` unless the links added before this call have had their result by then; that
 * cancellation (and no other) becomes SL_ETIMEDOUT. Returns the deferred. */
#define sl_timeout(deferred, ms) sl__timeout(SL_HERE, (deferred), (ms))
SL_API sl_deferred *sl__timeout(const sl_site *site, sl_deferred *deferred, uint64_t ms);
/* Counted: while paused no link runs. */
SL_API void sl_deferred_pause(sl_deferred *deferred);
SL_API void sl_deferred_resume(sl_deferred *deferred);

SL_API sl_deferred *sl_deferred_ref(sl_deferred *deferred);
SL_API sl_deferred *sl_deferred_unref(sl_deferred *deferred); /* takes NULL; returns NULL */
/* Gives up the reference without cancelling and without reporting: the result will be dropped. */
SL_API void sl_forget(sl_deferred *deferred);
SL_API bool sl_deferred_fired(const sl_deferred *deferred);

/* Combinators. Each takes over one reference of each input; cancelling the outcome cancels the inputs that
 * are pending. Inputs may be fired already, and `count` may be 0 (all and settled then succeed at once; any
 * fails). */
/* `void **` of the values in input order (each still freed by its own function, together with the array); or
 * the first error, and the rest are cancelled. */
#define sl_all(deferreds, count) sl__all(SL_HERE, (deferreds), (count))
SL_API sl_deferred *sl__all(const sl_site *site, sl_deferred *const *deferreds, size_t count);
/* The first value, and the rest are cancelled; or, when all failed, the last error. */
#define sl_any(deferreds, count) sl__any(SL_HERE, (deferreds), (count))
SL_API sl_deferred *sl__any(const sl_site *site, sl_deferred *const *deferreds, size_t count);
/* `sl_result *` in input order, values and failures; never fails. */
#define sl_settled(deferreds, count) sl__settled(SL_HERE, (deferreds), (count))
SL_API sl_deferred *sl__settled(const sl_site *site, sl_deferred *const *deferreds, size_t count);
/* The result of `deferred`, but cancelling the outcome leaves `deferred` running. */
#define sl_shielded(deferred) sl__shielded(SL_HERE, (deferred))
SL_API sl_deferred *sl__shielded(const sl_site *site, sl_deferred *deferred);

/* Succeeds with NULL after `ms`. */
#define sl_sleep(ms) sl__sleep(SL_HERE, (ms))
SL_API sl_deferred *sl__sleep(const sl_site *site, uint64_t ms);

/* ---- Tasks ------------------------------------------------------------------------------------------- */

/* What a task returns may lie in its arena, or be a value that it awaited: both then live as long as whoever
 * awaits its deferred.
 *
 * Starts a task, a child of the innermost open scope of the calling task (of the loop outside tasks), in the
 * context that holds here. It begins to run soon, not inside the call.
 *  - sl_spawn gives a deferred for what it returns; cancelling or releasing that cancels the task. Its
 * failure is for whoever awaits the deferred.
 *  - sl_go gives nothing: the scope waits for it, and its failure cancels the scope's other children and is
 * raised where the scope ends. */
#define sl_spawn(fn, data) sl__spawn(SL_HERE, #fn, (fn), (data))
SL_API sl_deferred *sl__spawn(const sl_site *site, const char *name, sl_task_fn *fn, void *data);
#define sl_go(fn, data) sl__go(SL_HERE, #fn, (fn), (data))
SL_API void sl__go(const sl_site *site, const char *name, sl_task_fn *fn, void *data);

/* Starts a task for work that outlives whoever starts it, such as a request: no scope waits for it or cancels
 * it, but the loop's end does. It has the root that holds here, and nothing else of the caller's context. Its
 * failure is logged. The caller's arena may be gone before it runs: `data` must not lie there. An instance
 * that stops waits for such tasks too, up to the limit drain_ms. */
#define sl_background(fn, data) sl__background(SL_HERE, #fn, (fn), (data))
SL_API void sl__background(const sl_site *site, const char *name, sl_task_fn *fn, void *data);

SL_API sl_task *sl_task_current(void); /* NULL outside tasks */

/* Waits for the deferred and gives its value; takes over the reference. The value lives until the task ends.
 * A failure ends the task, as sl_fail does. May suspend; does not if the result is there. In a cancelled
 * scope it cancels the deferred and fails with SL_ECANCELED (SL_ETIMEDOUT past a deadline); a result that is
 * there wins. */
#define sl_await(deferred) sl__await(SL_HERE, (deferred), NULL)
/* The same, but a failure gives NULL and sets *ret_error (NULL on success), which the task owns: do not free
 * it. */
#define sl_try(deferred, ret_error) sl__await(SL_HERE, (deferred), (ret_error))
SL_API void *sl__await(const sl_site *site, sl_deferred *deferred, sl_error **ret_error);
/* As sl_try, with the whole result, which becomes the caller's: for values that must not live as long as the
 * task. */
#define sl_take(deferred) sl__take(SL_HERE, (deferred))
SL_API sl_result sl__take(const sl_site *site, sl_deferred *deferred);

/* Ends the task with an error. Variables with a cleanup attribute are released as the stack is unwound (code
 * is compiled with -fexceptions), then what sl_defer registered, in reverse order, then the arena. Never
 * returns.
 *
 * A cleanup attribute's function may await while the stack is unwound. In code that clang compiled it must
 * not fail then, which aborts the process (clang closes such cleanups to exits): use sl_try in it, or
 * sl_defer instead.
 *
 * An exit cannot cross the frames of a library that does not know of libsilver (a qsort comparison, an SQLite
 * callback): that is found out before anything is released, and ends the process with a message naming it. In
 * such callbacks return an error the library's way, and fail after it has returned. */
#define sl_fail(code, ...) sl__fail(SL_HERE, (code), __VA_ARGS__)
SL_API SL_NORETURN void sl__fail(const sl_site *site, int code, const char *format, ...) SL_PRINTF(3, 4);
#define sl_fail_error(error) sl__fail_error(SL_HERE, (error)) /* takes over the error */
SL_API SL_NORETURN void sl__fail_error(const sl_site *site, sl_error *error);
/* The same with an error that sl_try gave, which the task owns. */
#define sl_fail_again(error) sl__fail_error(SL_HERE, sl_error_ref(error))
/* Ends the task if `code` is negative; else gives it back. For functions of the other idiom. */
#define sl_check(code, ...)                                                                                  \
    (__extension__({                                                                                         \
        int sl__code = (code);                                                                               \
        if (sl__code < 0)                                                                                    \
            sl_fail(sl__code, __VA_ARGS__);                                                                  \
        sl__code;                                                                                            \
    }))

/* Calls fn(data) when the task ends, however it ends; the last registered is called first. It may suspend
 * unless the task was cancelled (then its awaits fail, but inside SL_SHIELD). */
SL_API void sl_defer(sl_free_fn *fn, void *data);

/* Memory of the calling task's arena: given back when the task ends. */
SL_API sl_arena *sl_task_arena(void);
SL_API void *sl_alloc(size_t size);  /* not cleared */
SL_API void *sl_zalloc(size_t size); /* cleared */
SL_API char *sl_printf(const char *format, ...) SL_PRINTF(1, 2);
SL_API char *sl_strdup(const char *string);

/* A block that gives its memory back: what is allocated, awaited and registered with sl_defer inside lives
 * until the block is left. For tasks that run long, each round of a loop in one:
 *
 *     for (;;) SL_SCRATCH() { … }
 */
typedef struct sl__scratch {
    sl_task *task;
    sl_arena *arena;
    void *cleanups, *estate;
} sl__scratch;
SL_API void sl__scratch_enter(sl__scratch *scratch);
SL_API void sl__scratch_leave(sl__scratch *scratch);
#define SL_SCRATCH()                                                                                         \
    for (sl__scratch sl__scratch_here SL_CLEANUP(sl__scratch_leave) = {0};                                   \
         sl__scratch_here.task ? false : (sl__scratch_enter(&sl__scratch_here), true);)

/* Lets others run. May suspend. */
#define sl_yield() sl__yield(SL_HERE)
SL_API void sl__yield(const sl_site *site);

/* A block that waits at its end for the tasks started in it:
 *
 *     SL_SCOPE(scope, .deadline_ms = 500) {
 *         sl_go(fetch, "one");
 *         sl_go(fetch, "two");
 *     }
 *
 * The first failure of a child, or of the block, cancels the others; past the deadline all are cancelled, the
 * block too. Cancelling is level-triggered: from then on each await inside fails at once. Leaving the block
 * waits for the children and then raises the first error: a child's, or SL_ETIMEDOUT. Children cancelled by
 * sl_scope_cancel raise nothing, but an await in the block itself fails after it, so leave the block then.
 * With .shield cancelling from outside does not reach in. */
typedef struct sl_scope_options {
    uint64_t deadline_ms; /* from now; 0 is none */
    bool shield;
} sl_scope_options;

struct sl_scope {
    sl_scope *parent; /* the scope around it */
    sl_task *owner;   /* whose block it is */
    sl_task *first_child;
    sl_error *error;          /* the first failure */
    void *deadline;           /* its timer */
    sl_scope *next_cancelled; /* while cancelling goes through the tree */
    const sl_site *site;
    unsigned child_count;
    unsigned exits;          /* of the task, before this was entered */
    unsigned char cancelled; /* 0; else why */
    bool shield, joining, entered, caught;
};
SL_API void sl__scope_enter(sl_scope *scope, const sl_site *site, const sl_scope_options *options);
SL_API void sl__scope_leave(sl_scope *scope);
#define SL__SCOPE(name, storage, ...)                                                                        \
    for (sl_scope storage SL_CLEANUP(sl__scope_leave) = {0}, *const name __attribute__((unused)) = &storage; \
         (storage.entered ? false                                                                            \
                          : (sl__scope_enter(&storage, SL_HERE, &(sl_scope_options){__VA_ARGS__}), true));)
#define SL_SCOPE(name, ...) SL__SCOPE(name, SL__PASTE(sl__scope_, name), __VA_ARGS__)
/* For cleaning up that must be able to await although the task was cancelled; give it a deadline. */
#define SL_SHIELD(...) SL__SCOPE(sl__shield, sl__shield_scope, .shield = true, __VA_ARGS__)
/* Cancels the tasks in the scope and the block itself. */
SL_API void sl_scope_cancel(sl_scope *scope);

/* The tree of the loop's tasks: name, age, where each waits and for how long, the most stack that it used. */
SL_API void sl_task_dump(sl_loop *loop, sl_buffer *out);
SL_API size_t sl_task_count(sl_loop *loop);

/* Installs a handler of SIGSEGV, SIGBUS, SIGABRT, SIGFPE and SIGILL, on a stack of its own for the calling
 * thread, that names the task that ran, with its request, and whether its stack overflowed; then the signal
 * goes to the handler that was there. For programs, not for libraries. */
SL_API void sl_loop_name_crashes(void);

#include <silver/facet.h>
#include <silver/channel.h>
#include <silver/plugin.h>
