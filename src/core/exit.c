/* exit.c: failure as an exit.
 *
 * An exit unwinds the stack as pthread_exit does (_Unwind_ForcedUnwind, Itanium C++ ABI: exception handling,
 * level I), which runs the cleanup of every variable that has one, up to the frame of the sl__catch around
 * it; there it jumps. A first walk over the frames looks whether all of them belong to objects that know of
 * libsilver: a foreign library's frame in between would be left without its locks released and its state
 * mended, so that ends the process with its name. */
#include "core/task.h"

#include <dlfcn.h>
#include <link.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <unwind.h>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#endif

struct sl__catch_frame {
    sl__catch_frame *outer;
    sl_task *task;
    uintptr_t inside; /* an address in the frame of run_caught: frames above it are the catcher's */
    jmp_buf landing;
    struct _Unwind_Exception exception; /* must outlive the frames that are unwound */
    sl_scope *scope;
    sl_context *context;
    sl_error *exiting; /* the exit whose cleaning up this is part of, or NULL */
    unsigned exits;
};

/* ---- Which objects know of libsilver ---- */

static struct link_map *object_of(const void *address)
{
#if __GLIBC_PREREQ(2, 35)
    struct dl_find_object found;
    return _dl_find_object((void *)address, &found) == 0 ? found.dlfo_link_map : NULL;
#else
    Dl_info info;
    void *map = NULL;
    return dladdr1(address, &info, &map, RTLD_DL_LINKMAP) ? map : NULL;
#endif
}

/* An object knows of libsilver if it is libsilver, or is linked against it. */
static bool is_aware(const struct link_map *map)
{
    if (map == object_of((const void *)is_aware))
        return true;
    const char *strings = NULL;
    for (const ElfW(Dyn) *d = map->l_ld; d && d->d_tag != DT_NULL; d++)
        if (d->d_tag == DT_STRTAB)
            strings = (const char *)d->d_un.d_ptr;
    for (const ElfW(Dyn) *d = map->l_ld; strings && d && d->d_tag != DT_NULL; d++)
        if (d->d_tag == DT_NEEDED && strncmp(strings + d->d_un.d_val, "libsilver", 9) == 0)
            return true;
    return false;
}

static bool known_object(sl_loop *loop, const struct link_map *map)
{
    for (unsigned i = 0; i < loop->known_count; i++)
        if (loop->known_objects[i] == map)
            return true;
    if (!map || !is_aware(map))
        return false;
    loop->known_objects[loop->known_count < sl_array_size(loop->known_objects) ? loop->known_count++ : 0] =
        map;
    return true;
}

typedef struct walk {
    sl__catch_frame *frame;
    const char *foreign;
    char unknown[32];
} walk;

static _Unwind_Reason_Code check_frame(struct _Unwind_Context *context, void *data)
{
    walk *w = data;
    uintptr_t ip = _Unwind_GetIP(context);
    if (ip == 0 || _Unwind_GetCFA(context) > w->frame->inside)
        return _URC_END_OF_STACK;
    const struct link_map *map = object_of((const void *)(ip - 1));
    if (known_object(w->frame->task->loop, map))
        return _URC_NO_REASON;
    snprintf(w->unknown, sizeof w->unknown, "code at %p", (void *)ip);
    w->foreign = map && map->l_name[0] ? map->l_name : w->unknown;
    return _URC_END_OF_STACK;
}

static void refuse_foreign_frames(sl_task *task, const sl_site *site, const sl_error *error)
{
    walk w = {.frame = task->catch_frame};
    _Unwind_Backtrace(check_frame, &w);
    if (w.foreign)
        sl__die(site,
                "an exit cannot cross the frames of a library that does not know of libsilver: %s called "
                "back into code that "
                "failed with \"%s\".\n  Return an error from the callback as that library wants it, and fail "
                "after "
                "the library's function has returned",
                w.foreign, error->message);
}

/* ---- Unwinding ---- */

static _Unwind_Reason_Code stop(int version, _Unwind_Action actions, _Unwind_Exception_Class class,
                                struct _Unwind_Exception *exception, struct _Unwind_Context *context,
                                void *data)
{
    sl__catch_frame *frame = data;
#if defined(__SANITIZE_ADDRESS__)
    /* The frames below the one that is unwound now are gone, but their red zones are not: cleanups would trip
     * over them. */
    char *bottom = frame->task->stack->bottom + 4096;
    __asan_unpoison_memory_region(bottom, (size_t)((char *)_Unwind_GetCFA(context) - bottom));
#endif
    if ((actions & _UA_END_OF_STACK) || _Unwind_GetCFA(context) > frame->inside)
        _longjmp(frame->landing, 1);
    return _URC_NO_REASON;
}

static void forget_exception(_Unwind_Reason_Code reason, struct _Unwind_Exception *exception)
{
}

SL_NORETURN void sl__exit(sl_task *task, const sl_site *site, sl_error *error)
{
    if (!task || !task->catch_frame)
        sl__die(site,
                "a failure outside a task: %s\n  Outside tasks return an SL_E… code, or fire a deferred with "
                "the error",
                error->message);
    refuse_foreign_frames(task, site, error);
    if (task->exiting && task->exiting != error) {
        /* Cleaning up after one failure failed too: the first is the one that counts. */
        sl_error_log("while cleaning up after \"%s\": %s", task->exiting->message, error->message);
        sl_error_unref(error);
    } else {
        task->exiting = error;
    }
    task->exits++;
    struct _Unwind_Exception *exception = &task->catch_frame->exception;
    *exception = (struct _Unwind_Exception){.exception_cleanup = forget_exception};
    memcpy(&exception->exception_class, "SILVER\0\0", sizeof exception->exception_class);
    _Unwind_Reason_Code reason = _Unwind_ForcedUnwind(exception, stop, task->catch_frame);
    sl__die(site, "the stack cannot be unwound (reason %d): was everything compiled with -fexceptions?",
            (int)reason);
}

static __attribute__((noinline)) void run_caught(sl__catch_frame *frame, sl_task_fn *fn, void *data,
                                                 void **ret_value)
{
    frame->inside = (uintptr_t)__builtin_frame_address(0);
    void *value = fn(data);
    if (ret_value)
        *ret_value = value;
    /* Keeps this frame: a tail call would leave nothing to stop at. */
    __asm__ volatile("" ::: "memory");
}

static sl_error *landed(sl__catch_frame *frame)
{
    sl_task *task = frame->task;
    sl_error *error = task->exiting;
    task->exiting = frame->exiting;
    task->exits = frame->exits;
    task->catch_frame = frame->outer;
    task->loop->context = frame->context;
    /* Scopes opened inside have left with the unwinding. */
    task->scope = frame->scope;
    return error;
}

sl_error *sl__catch_exit(sl_task_fn *fn, void *data, void **ret_value)
{
    sl_task *task = sl__loop->task;
    sl__catch_frame
        frame; /* not initialised as a whole: clearing the landing each time costs more than the rest */
    frame.outer = task->catch_frame;
    frame.task = task;
    frame.scope = task->scope;
    frame.context = task->loop->context;
    frame.exiting = task->exiting;
    frame.exits = task->exits;
    task->exiting = NULL;
    task->catch_frame = &frame;
    if (_setjmp(frame.landing) == 0) {
        run_caught(&frame, fn, data, ret_value);
        task->catch_frame = frame.outer;
        task->exiting = frame.exiting;
        return NULL;
    }
    return landed(&frame);
}

sl_error *sl__catch(sl_task_fn *fn, void *data, void **ret_value)
{
    sl_task *task = sl__loop->task;
    sl__cleanup *until = task->cleanups;
    sl_error *error = sl__catch_exit(fn, data, ret_value);
    if (error)
        sl__cleanups_run(task, until);
    return error;
}

/* ---- Cleanups ---- */

static void *run_cleanup(void *data)
{
    sl__cleanup *cleanup = data;
    cleanup->fn(cleanup->data);
    return NULL;
}

void sl__cleanups_run(sl_task *task, sl__cleanup *until)
{
    while (task->cleanups != until) {
        sl__cleanup *cleanup = task->cleanups;
        task->cleanups = cleanup->next;
        sl_error *error = sl__catch(run_cleanup, cleanup, NULL);
        if (error) {
            sl_error_log("a cleanup of task %s failed: %s", task->name, error->message);
            sl_error_unref(error);
        }
    }
}
