/* thread.c: blocking work in libuv's threads.
 *
 * Whatever has no asynchronous form in the system (files, above all) runs whole in a thread: open, read and
 * close are one trip there and back, not three, and a thousand reads that are started together keep only as
 * many files open as there are threads. The work fires its deferred when it is back on the loop. */
#include "io/work.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

uv_loop_t *sl__io_loop(const char *call)
{
    sl_loop *loop = sl_loop_current();
    if (!loop) {
        fprintf(stderr,
                "silver: %s was called on a thread without a loop; call sl_loop_new or sl_run first\n", call);
        abort();
    }
    return sl_loop_uv(loop);
}

sl_error *sl__io_error(const sl_site *site, int code, const char *verb, const char *what)
{
    sl_error *error = sl__error_new(site, code, "cannot %s %s: %s", verb, what, sl_code_message(code));
    switch (-code) {
    case EACCES:
    case EPERM:
        return sl_error_hint(error, "check its owner and mode, and the directories above it");
    case ENOSPC:
    case EDQUOT:
        return sl_error_hint(error, "free some space on that disk and try again");
    case EMFILE:
    case ENFILE:
        return sl_error_hint(error,
                             "raise the limit of open files (ulimit -n, or LimitNOFILE in the systemd unit)");
    default:
        return error;
    }
}

sl_bytes *sl__bytes_new(size_t capacity)
{
    sl_bytes *bytes = sl_malloc(sizeof *bytes + capacity + 1);
    bytes->size = 0;
    bytes->data[0] = '\0';
    return bytes;
}

static void in_thread(uv_work_t *request)
{
    sl__work *work = request->data;
    work->result = work->run(work);
    assert(work->result.kind != SL_DEFERRED);
}

static void back_on_loop(uv_work_t *request, int status)
{
    sl__work *work = request->data;
    sl_deferred *deferred = work->deferred;
    sl_result result = work->result;
    const sl_site *site = work->site;

    /* What the work held is given back first: who is told of the result may look for it. */
    if (work->done)
        work->done(work);
    free(work);
    if (!deferred)
        return;
    if (status < 0)
        sl__abandon(site, deferred);
    else
        sl__fire(site, deferred, result);
}

static sl_cancelled cancel_work(sl_deferred *deferred, void *data)
{
    sl__work *work = data;
    if (uv_cancel((uv_req_t *)&work->request) < 0)
        return SL_CANCEL_LATE; /* a thread has it */
    work->deferred = NULL;
    return SL_CANCEL_DONE;
}

sl_deferred *sl__work_start(const sl_site *site, sl__work *work)
{
    uv_loop_t *loop = sl__io_loop(site->function);
    work->request.data = work;
    work->site = site;
    work->deferred = sl__deferred_new(site, cancel_work, work);
    sl_deferred *deferred = work->deferred;
    int code = uv_queue_work(loop, &work->request, in_thread, back_on_loop);
    assert(code == 0);
    (void)code;
    return deferred;
}

/* ---- For everybody ----------------------------------------------------------------------------------- */

typedef struct user_work {
    sl__work work;
    sl_thread_fn *fn;
    void *data;
    sl_free_fn *free_data;
} user_work;

static sl_result run_user_work(sl__work *work)
{
    user_work *user = (user_work *)work;
    return user->fn(user->data);
}

static void user_work_done(sl__work *work)
{
    user_work *user = (user_work *)work;
    if (user->free_data)
        user->free_data(user->data);
}

sl_deferred *sl__in_thread(const sl_site *site, sl_thread_fn *fn, void *data, sl_free_fn *free_data)
{
    user_work *user = sl_calloc(1, sizeof *user);
    *user = (user_work){.work = {.run = run_user_work, .done = user_work_done},
                        .fn = fn,
                        .data = data,
                        .free_data = free_data};
    return sl__work_start(site, &user->work);
}
