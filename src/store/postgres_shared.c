/* postgres_shared.c: single reads of many tasks on one line.
 *
 * A read by key takes the server some microseconds, and a round trip ten times that; so such reads of all
 * tasks go over one line, whatever came together in a pass of the loop at once, with one Sync behind them.
 * Each is a statement of its own with a snapshot of its own (READ COMMITTED). They could each have a Sync;
 * but a Sync makes libpq (before version 17) and the server write to the socket at once, which costs more
 * than the rest of the work: measured, that is no faster than asking one after the other. The price: when one
 * fails the server skips those behind it up to the Sync. They were not carried out, so they are sent again,
 * now each with a Sync of its own.
 *
 * Only what is `quick` comes here: a statement that takes long would hold up the others. */
#include "store/postgres_inside.h"

#define TRIES_MAX 4
#define PATIENCE_MS 20      /* with a statement that nobody waits for any more */
#define SILENCE_MAX_MS 5000 /* of the server, after that was to be cancelled */

static void queue(sl__pg_cursor *cursor)
{
    sl__postgres *pool = cursor->pool;
    cursor->queued = true;
    cursor->next_single = NULL;
    cursor->previous_single = pool->last_single;
    *(pool->last_single ? &pool->last_single->next_single : &pool->first_single) = cursor;
    pool->last_single = cursor;
    sl__pg_hook(pool);
}

static void unqueue(sl__pg_cursor *cursor)
{
    sl__postgres *pool = cursor->pool;
    if (!cursor->queued)
        return;
    cursor->queued = false;
    *(cursor->previous_single ? &cursor->previous_single->next_single : &pool->first_single) =
        cursor->next_single;
    *(cursor->next_single ? &cursor->next_single->previous_single : &pool->last_single) =
        cursor->previous_single;
}

/* Those who wait for a line get the shared one when nothing is to be done on it. Called wherever that may
 * come to be. */
void sl__pg_offer_shared(sl__postgres *pool)
{
    sl__pg_line *line = pool->shared;
    if (!line || line->first || line->cancel || pool->first_single || !sl__pg_queue_head(&pool->waiters))
        return;
    pool->shared = NULL;
    sl__pg_clean(line, /* rollback= */ false);
}

/* ---- The line ------------------------------------------------------------------------------------------ */

/* With only one connection singles must not keep transactions from ever having it: those that come now stand
 * behind them; those that have waited for their turn do not. */
static bool is_usable(sl__postgres *pool, bool waited)
{
    return pool->shared && (waited || pool->most > 1 || !sl__pg_queue_head(&pool->waiters));
}

static sl_error *wait_for_sharing(sl__postgres *pool, uint64_t deadline, const sl_site *site)
{
    sl__pg_waiter waiter = {0};
    sl__pg_queue_add(&pool->sharers, &waiter, /* first= */ false);
    sl_error *error = sl__pg_wait_for(pool, &waiter.wait, deadline, site);
    sl__pg_queue_remove(&pool->sharers, &waiter);
    if (error && error->code == SL_EBUDGET) {
        sl_error *late = sl__pg_error(pool, site, SL_EBUDGET, "no connection could be had in time");
        return sl_error_cause(late, error);
    }
    return error ? error : waiter.error;
}

/* One task gets the line; those who come meanwhile wait for it, and hear of a failure that would be theirs
 * too. */
static sl_error *fetch_line(sl__postgres *pool, uint64_t deadline, const sl_site *site)
{
    sl__pg_line *line = NULL;
    if (pool->sharing)
        return wait_for_sharing(pool, deadline, site);
    pool->sharing = true;
    sl_error *error = sl__pg_acquire(pool, deadline, site, &line);
    pool->sharing = false;
    if (!error) {
        line->state = SL__PG_SHARED;
        pool->shared = line;
    }
    bool everybodys =
        error && error->code != SL_EBUDGET && error->code != SL_ECANCELED && error->code != SL_ETIMEDOUT;
    for (sl__pg_waiter *waiter; (waiter = sl__pg_queue_pop(&pool->sharers));) {
        waiter->error = everybodys ? sl_error_ref(error) : NULL;
        sl__pg_wake(&waiter->wait);
    }
    return error;
}

/* ---- Reads --------------------------------------------------------------------------------------------- */

sl_error *sl__pg_single(sl__pg_cursor *cursor, uint64_t deadline)
{
    sl__postgres *pool = cursor->pool;
    for (bool waited = false; !is_usable(pool, waited); waited = true) {
        if (!pool->store)
            return sl__pg_error(pool, cursor->statement->site, SL_ECLOSED, "it was closed");
        sl_error *error = fetch_line(pool, deadline, cursor->statement->site);
        if (error)
            return error;
    }
    cursor->single = true;
    queue(cursor);
    return NULL;
}

static void send_one(sl__postgres *pool, sl__pg_cursor *cursor)
{
    sl__pg_line *line = pool->shared;
    sl_error *error = NULL;
    if (cursor->alone && !sl__pg_sync(line))
        error = sl__pg_lost_error(pool, cursor->statement, NULL, NULL);
    else
        error = sl__pg_send(line, cursor);
    if (error)
        sl__pg_cursor_done(cursor, error);
    else if (cursor->alone)
        sl__pg_sync(line);
}

void sl__pg_singles_send(sl__postgres *pool)
{
    if (!pool->first_single || !pool->shared)
        return;
    sl__pg_cache_trim(pool->shared);
    /* The line may be lost at any step; then no single is left. */
    while (pool->shared && pool->first_single) {
        sl__pg_cursor *cursor = pool->first_single;
        unqueue(cursor);
        send_one(pool, cursor);
    }
    sl__pg_offer_shared(pool); /* should nothing have been sent */
}

void sl__pg_single_again(sl__pg_cursor *cursor, sl_error *error)
{
    if (cursor->command)
        cursor->command->cursor = NULL;
    cursor->command = NULL;
    cursor->line = NULL;
    if (++cursor->tries >= TRIES_MAX) {
        sl_error *failed = sl__pg_error(cursor->pool, cursor->statement->site, SL_ECONFLICT,
                                        "a statement could not be carried out in %d tries", TRIES_MAX);
        sl__pg_cursor_done(cursor, sl_error_cause(sl__pg_with_sql(failed, cursor->statement), error));
        return;
    }
    sl_error_unref(error);
    cursor->alone = true;
    cursor->pool->counts.resent++;
    queue(cursor);
}

static bool is_silent(sl__pg_line *line, uint64_t now)
{
    if (line->answered == line->still)
        return now - line->still_since > SILENCE_MAX_MS;
    line->still = line->answered;
    line->still_since = now;
    return false;
}

/* What nobody waits for any more still holds up those behind it. The server keeps its answers to itself up to
 * a Sync, so what it works on is one of those before the first: if one of them was abandoned, that is
 * cancelled. Others that are hit by it are sent again. Where even that is not answered the server is frozen,
 * or out of reach, and others shall not wait for it too. */
static void on_impatience(sl__pg_alarm *alarm)
{
    sl__pg_line *line = (sl__pg_line *)((char *)alarm - offsetof(sl__pg_line, patience));
    bool first_group = true, some = false;
    uint64_t now = sl_loop_now(line->pool->loop);
    if (is_silent(line, now)) {
        sl__pg_lose(line, "the server does not answer");
        return;
    }
    for (const sl__pg_command *command = line->first; command; command = command->next) {
        bool abandoned = command->statement && !command->cursor;
        if (abandoned && first_group)
            sl__pg_cancel_start(line);
        some = some || abandoned;
        first_group = first_group && command->kind != SL__PG_SYNC;
    }
    if (some)
        sl__pg_alarm_set(line->pool, alarm, now + PATIENCE_MS, on_impatience);
}

void sl__pg_single_forget(sl__pg_cursor *cursor)
{
    sl__pg_line *line = cursor->command ? cursor->line : NULL;
    uint64_t now = sl_loop_now(cursor->pool->loop);
    unqueue(cursor);
    sl__pg_offer_shared(cursor->pool);
    if (!line || line->patience.at)
        return;
    line->still = line->answered;
    line->still_since = now;
    sl__pg_alarm_set(cursor->pool, &line->patience, now + PATIENCE_MS, on_impatience);
}

void sl__pg_singles_lost(sl__postgres *pool, const char *why)
{
    while (pool->first_single) {
        sl__pg_cursor *cursor = pool->first_single;
        unqueue(cursor);
        sl__pg_cursor_done(cursor, sl__pg_lost_error(pool, cursor->statement, NULL, why));
    }
}
