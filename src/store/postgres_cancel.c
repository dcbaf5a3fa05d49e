/* postgres_cancel.c: the server is asked to stop what it does for a line.
 *
 * libpq's way opens another connection, and waits without a bound until the server closes that: one that is
 * frozen never does. So each has a thread of its own, and not one of libuv's few, on which files, names and
 * commits depend and which the end of the process waits for.
 *
 * The server ignores a request that comes before it has read the statement. Where the line is kept it is
 * asked again until it has answered; where the line is gone nobody would see an answer, so it is asked a few
 * times. */
#include "store/postgres_inside.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#define CANCELS_MAX 16 /* at once: they wait only for a server that is frozen */
#define ASKED_MAX 4
#define PAUSE_MS 250 /* then four times that, … */
#define STACK ((size_t)256 << 10)

/* It belongs to its thread, then to what that posts; lists only know it. */
struct sl__pg_cancel {
    sl__pg_line *line;   /* NULL: it is gone */
    sl__postgres *pool;  /* NULL: it is closed */
    sl__pg_cancel *next; /* of the pool's */
    unsigned asked;
    bool over;     /* its loop has ended before its thread: who closes the pool frees it. Under the lock */
    sl_loop *loop; /* NULL: nobody wants to hear of it. Under the lock; all else is one thread's at a time */
    PGcancel *handle;
    __typeof__(PQcancel) *cancel;
    __typeof__(PQfreeCancel) *free_handle;
};

/* One for all: what is posted may be freed before its thread has let go of the lock. */
static pthread_mutex_t cancel_lock = PTHREAD_MUTEX_INITIALIZER;

static void cancel_free(sl__pg_cancel *c)
{
    c->free_handle(c->handle);
    free(c);
}

static void on_asked(void *data);

static void *ask(void *data)
{
    sl__pg_cancel *c = data;
    char said[256];
    if (c->asked)
        usleep(1000 * PAUSE_MS << 2 * (c->asked - 1));
    c->cancel(c->handle, said, sizeof said);
    pthread_mutex_lock(&cancel_lock);
    bool alone = !c->loop;
    bool over = !alone && sl_loop_post(c->loop, on_asked, c) < 0;
    if (over)
        c->over = true;
    pthread_mutex_unlock(&cancel_lock);
    if (alone)
        cancel_free(c);
    return NULL;
}

static bool start_thread(sl__pg_cancel *c)
{
    pthread_t thread;
    pthread_attr_t attributes;
    sigset_t all, before;
    sigfillset(&all);
    pthread_attr_init(&attributes);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    pthread_attr_setstacksize(&attributes, STACK);
    pthread_sigmask(SIG_SETMASK, &all, &before); /* signals are for the thread of the loop */
    bool started = pthread_create(&thread, &attributes, ask, c) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
    return started;
}

static void leave_pool(sl__pg_cancel *c)
{
    sl__pg_cancel **at = &c->pool->cancels;
    while (*at != c)
        at = &(*at)->next;
    *at = c->next;
    c->pool->cancel_count--;
}

static void on_asked(void *data)
{
    sl__pg_cancel *c = data;
    sl__pg_line *line = c->line;
    if (c->pool && !line && ++c->asked < ASKED_MAX && start_thread(c))
        return;
    if (c->pool)
        leave_pool(c);
    cancel_free(c);
    if (!line)
        return;
    line->cancel = NULL;
    if (line->state == SL__PG_CLEANING) {
        sl__pg_clean_on(line);
    } else if (line->state == SL__PG_SHARED && !line->first) {
        line->cancelled = false;
        sl__pg_offer_shared(line->pool);
    }
}

void sl__pg_cancel_start(sl__pg_line *line)
{
    sl__postgres *pool = line->pool;
    if (line->cancel || !line->conn || pool->cancel_count == CANCELS_MAX)
        return;
    PGcancel *handle = line->pq->getCancel(line->conn);
    if (!handle)
        return;
    sl__pg_cancel *c = sl_calloc(1, sizeof *c);
    *c = (sl__pg_cancel){.line = line,
                         .pool = pool,
                         .next = pool->cancels,
                         .loop = pool->loop,
                         .handle = handle,
                         .cancel = line->pq->cancel,
                         .free_handle = line->pq->freeCancel};
    pool->cancels = c;
    pool->cancel_count++;
    if (!start_thread(c)) {
        leave_pool(c);
        cancel_free(c);
        return;
    }
    line->cancel = c;
    line->cancelled = true;
    pool->counts.cancels++;
}

void sl__pg_cancel_forget(sl__pg_cancel *cancel)
{
    if (cancel)
        cancel->line = NULL;
}

void sl__pg_cancels_close(sl__postgres *pool)
{
    while (pool->cancels) {
        sl__pg_cancel *c = pool->cancels;
        leave_pool(c);
        c->pool = NULL;
        pthread_mutex_lock(&cancel_lock);
        c->loop = NULL;
        bool over = c->over;
        pthread_mutex_unlock(&cancel_lock); /* from here on its thread may free it, unless it has posted it */
        if (over)
            cancel_free(c);
    }
}
