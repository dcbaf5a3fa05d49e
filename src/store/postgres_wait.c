/* postgres_wait.c: tasks that wait, with deadlines.
 *
 * A statement's deadline is seconds away and its answer microseconds, so deadlines are kept in a list without
 * order. The one timer is set for the nearest that was seen since it last rang; when it rings the list is
 * looked through. */
#include "store/postgres_inside.h"

static void unlink_alarm(sl__pg_alarm *alarm)
{
    *alarm->link = alarm->next;
    if (alarm->next)
        alarm->next->link = alarm->link;
    alarm->at = 0;
}

static void link_alarm(sl__pg_alarm **list, sl__pg_alarm *alarm)
{
    alarm->next = *list;
    alarm->link = list;
    if (alarm->next)
        alarm->next->link = &alarm->next;
    *list = alarm;
}

static void on_clock(uv_timer_t *timer);

static void start_clock(sl__postgres *pool, uint64_t at)
{
    uint64_t now = uv_now(pool->clock->loop);
    pool->next_ring = at;
    uv_timer_start(pool->clock, on_clock, at > now ? at - now : 0, 0);
}

/* Those that are due ring, and may set and stop others. */
static void on_clock(uv_timer_t *timer)
{
    sl__postgres *pool = timer->data;
    uint64_t now = uv_now(timer->loop), nearest = UINT64_MAX;
    sl__pg_alarm *due = NULL;
    for (sl__pg_alarm *next, *alarm = pool->alarms; alarm; alarm = next) {
        next = alarm->next;
        if (alarm->at > now) {
            nearest = alarm->at < nearest ? alarm->at : nearest;
            continue;
        }
        uint64_t at = alarm->at;
        unlink_alarm(alarm);
        link_alarm(&due, alarm);
        alarm->at = at;
    }
    pool->next_ring = UINT64_MAX;
    if (nearest < UINT64_MAX)
        start_clock(pool, nearest);
    pool->users++; /* it must outlast what it rings for */
    while (due) {
        sl__pg_alarm *alarm = due;
        unlink_alarm(alarm);
        alarm->ring(alarm);
    }
    sl__pg_release_pool(pool);
}

void sl__pg_alarm_set(sl__postgres *pool, sl__pg_alarm *alarm, uint64_t at, void (*ring)(sl__pg_alarm *alarm))
{
    sl__pg_alarm_stop(alarm);
    if (!pool->clock)
        return; /* the store is closed */
    link_alarm(&pool->alarms, alarm);
    alarm->at = at ? at : 1;
    alarm->ring = ring;
    if (alarm->at < pool->next_ring)
        start_clock(pool, alarm->at);
}

void sl__pg_alarm_stop(sl__pg_alarm *alarm)
{
    if (alarm->at)
        unlink_alarm(alarm);
}

/* ---- Tasks ------------------------------------------------------------------------------------------- */

static sl_cancelled cancel_wait(sl_deferred *deferred, void *data)
{
    sl__pg_wait *wait = data;
    wait->deferred = NULL;
    sl__pg_alarm_stop(&wait->alarm);
    return SL_CANCEL_DONE;
}

static void expire(sl__pg_alarm *alarm)
{
    sl__pg_wait *wait = (sl__pg_wait *)alarm;
    sl_deferred *deferred = wait->deferred;
    wait->deferred = NULL;
    sl_fire_error(deferred, sl_error_new(SL_EBUDGET, "the deadline has passed"));
}

sl_error *sl__pg_wait_for(sl__postgres *pool, sl__pg_wait *wait, uint64_t deadline, const sl_site *site)
{
    if (wait->deferred)
        return sl__pg_error(pool, site, SL_EBUSY, "two tasks wait for the same place of a connection");
    site = site ? site : SL_HERE;
    sl_deferred *deferred = sl__deferred_new(site, cancel_wait, wait);
    wait->deferred = deferred;
    if (deadline)
        sl__pg_alarm_set(pool, &wait->alarm, deadline, expire);
    sl_result result = sl__take(site, deferred);
    return result.kind == SL_FAILURE ? result.error : NULL;
}

void sl__pg_wake(sl__pg_wait *wait)
{
    sl_deferred *deferred = wait->deferred;
    if (!deferred)
        return;
    wait->deferred = NULL;
    sl__pg_alarm_stop(&wait->alarm);
    sl_fire(deferred, NULL, NULL);
}
