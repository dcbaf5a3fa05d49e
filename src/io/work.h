/* work.h: what the files of this room share: blocking work in a thread as a deferred, and the wording of
 * errors. */
#pragma once

#include <silver/io.h>
#include <stdlib.h>
#include <uv.h>

/* Embed it as the first member of a zeroed, malloc'ed struct, set `run` and perhaps `done`, and start it. */
typedef struct sl__work {
    uv_work_t request;
    const sl_site *site;
    sl_deferred *deferred;                   /* NULL once it was cancelled before it began */
    sl_result (*run)(struct sl__work *work); /* in a thread: no loop, no context, no task */
    void (*done)(struct sl__work *work);     /* on the loop: frees what the work holds, not the work itself */
    sl_result result;
} sl__work;

sl_deferred *sl__work_start(const sl_site *site, sl__work *work);

/* The calling thread's loop; without one the process ends with a message that names the call. */
uv_loop_t *sl__io_loop(const char *call);

/* "cannot VERB WHAT: REASON", with a hint for those reasons that have a known cure. May be called in threads.
 */
sl_error *sl__io_error(const sl_site *site, int code, const char *verb, const char *what);

/* Empty, with room for `capacity` bytes and the NUL behind them; for free(). */
sl_bytes *sl__bytes_new(size_t capacity);

static inline void sl__freep(void *pointer)
{
    free(*(void **)pointer);
}
#define SL_AUTO_FREE SL_CLEANUP(sl__freep)
