/* sqlite_job.c: what is done in threads.
 *
 * A job has a link to itself: while there is one, nobody on the loop touches the link, its statements or
 * anything that the job works with. All that is the driver's own memory, never a task's. So whoever waits for
 * a job can be cancelled at any time: the job goes on to its end, and `finish` then clears up. The end of a
 * job is told to the loop, and, for the store that is closed without the loop, by a condition variable. */
#include "store/sqlite.h"

#include <stdlib.h>

static sl_result run_in_thread(sl__work *work)
{
    sl__sqlite_job *job = (sl__sqlite_job *)work;
    job->run(job);
    pthread_mutex_lock(&job->sqlite->mutex);
    job->ran = true;
    pthread_cond_signal(&job->sqlite->changed);
    pthread_mutex_unlock(&job->sqlite->mutex);
    return sl_ok(NULL);
}

void sl__sqlite_wake(sl__sqlite_waiter **list)
{
    sl__sqlite_waiter *waiter;
    while ((waiter = *list)) {
        *list = waiter->next;
        if (waiter->next)
            waiter->next->link = list;
        waiter->link = NULL;
        sl_fire(waiter->deferred, NULL, NULL);
    }
}

static void start_queued(sl__sqlite_job *job);

static void finish(sl__sqlite_job *job)
{
    if (job->finished)
        return;
    job->finished = true;
    sl__sqlite *sqlite = job->sqlite;
    sqlite->in_threads -= job->cursor != NULL;
    *job->in_list = job->next;
    if (job->next)
        job->next->in_list = job->in_list;
    job->link->job = NULL;
    sl_deferred *waiter = job->waiter;
    job->waiter = NULL;
    sl__sqlite_link *link = job->link;
    job->finish(job);
    free(job->said);
    sl__sqlite_transaction *left = link->left;
    link->left = NULL;
    if (left)
        sl__sqlite_roll_back(left);
    if (waiter)
        sl_fire(waiter, NULL, NULL);
    sl__sqlite_wake(&link->waiters);
    if (sqlite->queued && sqlite->in_threads < sqlite->threads)
        start_queued(sqlite->queued);
}

static void on_loop(sl__work *work)
{
    finish((sl__sqlite_job *)work);
}

/* ---- Starting it --------------------------------------------------------------------------------------- */

/* libuv's pool is also that of files, names and commits: statements never take its last thread. */
unsigned sl__sqlite_threads(void)
{
    const char *set = getenv("UV_THREADPOOL_SIZE");
    int threads = set ? atoi(set) : 4; /* libuv's own default */
    return threads > 1 ? (unsigned)threads - 1 : 1;
}

static void start(sl__sqlite_job *job)
{
    job->sqlite->in_threads += job->cursor != NULL;
    job->queued = false;
    sl_forget(sl__work_start(SL_HERE, &job->work));
}

static void start_queued(sl__sqlite_job *job)
{
    *job->in_queue = job->next_queued;
    if (job->next_queued)
        job->next_queued->in_queue = job->in_queue;
    else
        job->sqlite->last_queued = job->in_queue;
    start(job);
}

static void put_into_queue(sl__sqlite_job *job)
{
    sl__sqlite *sqlite = job->sqlite;
    job->queued = true;
    job->in_queue = sqlite->queued ? sqlite->last_queued : &sqlite->queued;
    *job->in_queue = job;
    sqlite->last_queued = &job->next_queued;
}

void sl__sqlite_job_start(sl__sqlite_link *link, void (*run)(sl__sqlite_job *),
                          void (*finish_it)(sl__sqlite_job *), sl__sqlite_cursor *cursor)
{
    sl__sqlite *sqlite = link->sqlite;
    sl__sqlite_job *job = sl_calloc(1, sizeof *job);
    *job = (sl__sqlite_job){
        .work = {.run = run_in_thread, .done = on_loop},
        .sqlite = sqlite,
        .link = link,
        .run = run,
        .finish = finish_it,
        .next = sqlite->jobs,
        .in_list = &sqlite->jobs,
        .cursor = cursor,
    };
    if (job->next)
        job->next->in_list = &job->next;
    sqlite->jobs = link->job = job;
    if (cursor && sqlite->in_threads >= sqlite->threads)
        put_into_queue(job);
    else
        start(job);
}

/* ---- Ending it ----------------------------------------------------------------------------------------- */

/* The flag ends the statement at the next look of the progress handler. There are long steps without such
 * looks, which only sqlite3_interrupt ends; that hits whatever else is being stepped on the link too, so it
 * is used where that is nothing. */
void sl__sqlite_job_stop(sl__sqlite_job *job)
{
    const sl__sqlite_cursor *cursor = job->cursor;
    if (!cursor)
        return; /* a commit or a rollback is carried out */
    atomic_store_explicit(&job->stop, true, memory_order_relaxed);
    if (job->queued)
        start_queued(job); /* it is through at once */
    else if (cursor->transaction && cursor->transaction->cursors == cursor && !cursor->next)
        sqlite3_interrupt(job->link->db);
}

static sl_cancelled nobody_waits(sl_deferred *deferred, void *data)
{
    sl__sqlite_job *job = data;
    job->waiter = NULL;
    sl__sqlite_job_stop(job);
    return SL_CANCEL_DONE;
}

void sl__sqlite_jobs_finish(sl__sqlite *sqlite)
{
    for (sl__sqlite_job *job = sqlite->jobs; job; job = job->next)
        sl__sqlite_job_stop(job);
    sl__sqlite_job *job;
    while ((job = sqlite->jobs)) {
        pthread_mutex_lock(&sqlite->mutex);
        while (!job->ran)
            pthread_cond_wait(&sqlite->changed, &sqlite->mutex);
        pthread_mutex_unlock(&sqlite->mutex);
        finish(job); /* `on_loop` comes later, and finds it done */
    }
}

/* ---- Waiting ------------------------------------------------------------------------------------------- */

sl_error *sl__sqlite_cancelled(const sl_site *site)
{
    if (__builtin_expect(!sl__loop->task->scope->cancelled, 1))
        return NULL;
    sl_result result = sl__take(site, sl_sleep(0)); /* fails at once, with the reason */
    return result.kind == SL_FAILURE ? result.error : NULL;
}

sl_error *sl__sqlite_too_late(const sl__sqlite *sqlite, const sl_site *site, const char *what)
{
    return sl__error_new(site, SL_EBUDGET, "store %s: the deadline passed before it %s", sqlite->name, what);
}

sl_error *sl__sqlite_await(sl__sqlite *sqlite, sl_deferred *deferred, uint64_t deadline, const sl_site *site,
                           const char *what)
{
    if (deadline) {
        uint64_t now = sl_loop_now(sl__loop);
        sl__timeout(site, deferred, deadline > now ? deadline - now : 0);
    }
    sl_result result = sl__take(site, deferred);
    if (result.kind == SL_VALUE) {
        sl_result_done(&result);
        return sqlite->closed ? sl__sqlite_is_closed(sqlite, site) : NULL;
    }
    if (deadline && result.error->code == SL_ETIMEDOUT && !sl__loop->task->scope->cancelled) {
        sl_error_unref(result.error);
        return sl__sqlite_too_late(sqlite, site, what);
    }
    return result.error;
}

static sl_cancelled stop_waiting(sl_deferred *deferred, void *data)
{
    sl__sqlite_waiter *waiter = data;
    *waiter->link = waiter->next;
    if (waiter->next)
        waiter->next->link = waiter->link;
    return SL_CANCEL_DONE;
}

sl_error *sl__sqlite_wait(sl__sqlite *sqlite, sl__sqlite_waiter **list, const sl__begin *how)
{
    sl__sqlite_waiter waiter = {.next = *list, .link = list};
    if (waiter.next)
        waiter.next->link = &waiter.next;
    *list = &waiter;
    waiter.deferred = sl_deferred_new(stop_waiting, &waiter);
    return sl__sqlite_await(sqlite, waiter.deferred, how->deadline, how->site, "could run the statement");
}

sl_error *sl__sqlite_link_wait(sl__sqlite_link *link, uint64_t deadline, const sl_site *site)
{
    sl_error *error = NULL;
    const sl__begin how = {.deadline = deadline, .site = site};
    while (!error && link->job)
        error = sl__sqlite_wait(link->sqlite, &link->waiters, &how);
    return error;
}

/* To ask again costs little more than a short statement, and gaps between the transactions of a busy process
 * are short: so it is asked often. */
bool sl__sqlite_be_patient(sl__sqlite *sqlite, sl__sqlite_patience *patience, const sl__begin *how,
                           const char *what, sl_error **ret_error)
{
    uint64_t now = sl_monotonic_ns();
    if (!patience->since_ns)
        patience->since_ns = now;
    if ((now - patience->since_ns) / 1000000 >= sqlite->options->busy_ms)
        return false;
    patience->pause = patience->pause < 3 ? 2 * patience->pause + !patience->pause : 5;
    *ret_error = sl__sqlite_await(sqlite, sl_sleep(patience->pause), how->deadline, how->site, what);
    return !*ret_error;
}

sl_error *sl__sqlite_job_wait(sl__sqlite_link *link, uint64_t deadline, const sl_site *site)
{
    sl__sqlite_job *job = link->job;
    job->waiter = sl__deferred_new(site, nobody_waits, job);
    return sl__sqlite_await(link->sqlite, job->waiter, deadline, site,
                            "was through: the statement was cancelled");
}
