/* sqlite_place.c: who may write, and who may read.
 *
 * SQLite has one writer at a time, in all processes. Within this process the writer's place goes from
 * transaction to transaction in the order in which they asked for it, and is handed over, so that nobody can
 * overtake. Those who wait are parked tasks and cost nothing. As long as the group may grow, the next one
 * joins the transaction of SQLite's that is open (sqlite_commit.c says when it may); else that is committed
 * first.
 *
 * A database in memory is one connection: there everybody, also who only reads, takes the writer's place. */
#include "store/sqlite.h"

/* ---- Queues -------------------------------------------------------------------------------------------- */

void sl__sqlite_queue_add(sl__sqlite_queue *queue, sl__sqlite_transaction *t)
{
    if (!queue->first)
        queue->last = &queue->first;
    t->next = NULL;
    t->in_queue = queue->last;
    *queue->last = t;
    queue->last = &t->next;
}

static void queue_remove(sl__sqlite_queue *queue, sl__sqlite_transaction *t)
{
    *t->in_queue = t->next;
    if (t->next)
        t->next->in_queue = t->in_queue;
    else
        queue->last = t->in_queue;
    t->in_queue = NULL;
}

sl__sqlite_transaction *sl__sqlite_queue_take(sl__sqlite_queue *queue)
{
    sl__sqlite_transaction *t = queue->first;
    if (t)
        queue_remove(queue, t);
    return t;
}

void sl__sqlite_tell(sl__sqlite_transaction *t, sl_error *error)
{
    sl_deferred *waits = t->waits;
    t->waits = NULL;
    if (error)
        sl_fire_error(waits, error);
    else
        sl_fire(waits, NULL, NULL);
}

static sl_cancelled stop_reading(sl_deferred *deferred, void *data)
{
    sl__sqlite_transaction *t = data;
    queue_remove(&t->sqlite->to_read, t);
    t->waits = NULL;
    return SL_CANCEL_DONE;
}

static sl_cancelled stop_writing(sl_deferred *deferred, void *data)
{
    sl__sqlite_transaction *t = data;
    queue_remove(&t->sqlite->to_write, t);
    t->waits = NULL;
    return SL_CANCEL_DONE;
}

/* ---- Readers ------------------------------------------------------------------------------------------- */

sl_error *sl__sqlite_take_slot(sl__sqlite_transaction *t, const sl__begin *how)
{
    sl__sqlite *sqlite = t->sqlite;
    if (sqlite->readers < sqlite->options->connections && !sqlite->to_read.first) {
        sqlite->readers++;
    } else {
        t->waits = sl__deferred_new(how->site, stop_reading, t);
        sl__sqlite_queue_add(&sqlite->to_read, t);
        sl_error *error = sl__sqlite_await(sqlite, t->waits, how->deadline, how->site,
                                           "could read: all connections were in use");
        if (error)
            return error;
    }
    t->slot = true;
    if (sqlite->idle) {
        t->link = sqlite->idle;
        sqlite->idle = t->link->next_idle;
        return NULL;
    }
    sl_error *error = sl__sqlite_link_open(sqlite, how, &t->link);
    if (error)
        sl__sqlite_leave_slot(t);
    return error;
}

static void put_back(sl__sqlite *sqlite, sl__sqlite_link *link)
{
    link->next_idle = sqlite->idle;
    sqlite->idle = link;
}

static void hand_on_slot(sl__sqlite *sqlite)
{
    sl__sqlite_transaction *next = sqlite->closed ? NULL : sl__sqlite_queue_take(&sqlite->to_read);
    if (next)
        sl__sqlite_tell(next, NULL);
    else
        sqlite->readers--;
}

void sl__sqlite_leave_slot(sl__sqlite_transaction *t)
{
    if (!t->slot)
        return;
    t->slot = false;
    if (t->link)
        put_back(t->sqlite, t->link);
    t->link = NULL;
    hand_on_slot(t->sqlite);
}

/* ---- The writer ---------------------------------------------------------------------------------------- */

static sl_error *name_holder(sl_error *error, const sl__sqlite *sqlite)
{
    const sl__sqlite_transaction *holder = sqlite->holder;
    if (error->code != SL_EBUDGET || !holder || !holder->site)
        return error;
    return sl_error_hint(
        error,
        "the transaction begun in %s (%s:%d) has had the writer's place for %llu ms: keep what takes long "
        "out of transactions that write",
        holder->site->function, holder->site->file, holder->site->line,
        (unsigned long long)(sl_loop_now(sl__loop) - holder->since));
}

sl_error *sl__sqlite_take_place(sl__sqlite_transaction *t, const sl__begin *how)
{
    sl__sqlite *sqlite = t->sqlite;
    if (!sqlite->holder && !sqlite->group.link && !sqlite->to_write.first) {
        sqlite->holder = t;
    } else {
        t->asked_ns = sl_monotonic_ns();
        t->waits = sl__deferred_new(how->site, stop_writing, t);
        sl__sqlite_queue_add(&sqlite->to_write, t);
        sl_error *error =
            sl__sqlite_await(sqlite, t->waits, how->deadline, how->site, "could write: others were at it");
        if (error)
            return name_holder(error, sqlite);
    }
    t->since = sl_loop_now(sl__loop);
    return NULL;
}

/* One that brings a transaction of its own cannot join the group's. */
static bool may_join(const sl__sqlite *sqlite, const sl__sqlite_transaction *next)
{
    return next && !next->link && sl__sqlite_group_may_grow(&sqlite->group);
}

static void hand_on_place(sl__sqlite *sqlite)
{
    if (sqlite->holder || sqlite->group.committing || sqlite->closed)
        return;
    if (sqlite->group.link && !may_join(sqlite, sqlite->to_write.first)) {
        sl__sqlite_group_commit(sqlite);
        return;
    }
    sqlite->holder = sl__sqlite_queue_take(&sqlite->to_write);
    if (sqlite->holder)
        sl__sqlite_tell(sqlite->holder, NULL);
}

void sl__sqlite_leave_place(sl__sqlite *sqlite)
{
    sqlite->holder = NULL;
    hand_on_place(sqlite);
}

void sl__sqlite_group_ended(sl__sqlite *sqlite)
{
    sl__sqlite_group *group = &sqlite->group;
    sl__sqlite_link *link = group->link;
    bool slot = group->slot;
    sqlite->writer->version = link == sqlite->writer ? sl__sqlite_version(link) : 0;
    *group = (sl__sqlite_group){0};
    if (slot) {
        put_back(sqlite, link);
        hand_on_slot(sqlite);
    }
    hand_on_place(sqlite);
}
