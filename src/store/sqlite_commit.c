/* sqlite_commit.c: how transactions end, and the group that shares one COMMIT.
 *
 * What makes a commit slow is that the disk is waited for. So SQLite's transaction stays open when one of
 * ours is through and another waits for the writer's place: that one is a savepoint in it, and so on, until
 * nobody waits, or the group is large or old enough. Then a thread commits, and all who are through are told
 * together. Whoever is alone is committed at once.
 *
 * The price: who is through waits for the one that came in after it, so what takes long (other than the
 * database) does not belong into a transaction that writes; it would hold up those behind it in any case.
 *
 * A savepoint that is rolled back leaves the others as they are. Only where SQLite itself rolls back
 * everything (the disk is full, a statement that writes was cancelled) are the others lost with it, and told
 * so: none was acknowledged. What COMMIT would refuse, a foreign key that was put off and is not kept, is
 * looked for when each one ends. */
#include "store/sqlite.h"

#include <stdlib.h>

#define LARGEST_GROUP 256
#define OLDEST_GROUP_NS 20000000

/* To undo more changed rows than this is left to a thread. */
#define UNDONE_ON_LOOP 10000

/* ---- The group ----------------------------------------------------------------------------------------- */

bool sl__sqlite_group_may_grow(const sl__sqlite_group *group)
{
    return group->count < LARGEST_GROUP && sl_monotonic_ns() - group->began_ns < OLDEST_GROUP_NS;
}

/* Gives SQLite's code; *ret_said is then its words, for free(). */
static int commit_link(sl__sqlite_link *link, char **ret_said)
{
    int moved = 0; /* what were written then, nobody would find */
    sqlite3_file_control(link->db, "main", SQLITE_FCNTL_HAS_MOVED, &moved);
    int code = moved ? SQLITE_READONLY_DBMOVED : sl__sqlite_do(link, SL__SQLITE_COMMIT);
    if (!code)
        return SQLITE_OK;
    *ret_said = sl_strdup_heap(moved ? "its file was removed or replaced" : sqlite3_errmsg(link->db));
    if (!sqlite3_get_autocommit(link->db))
        sl__sqlite_do(link, SL__SQLITE_ROLLBACK);
    return code;
}

static void commit_in_thread(sl__sqlite_job *job)
{
    job->code = commit_link(job->link, &job->said);
}

/* Those in the group are through, well or with SQLite's code. */
static void tell_group(sl__sqlite *sqlite, int code, const char *said)
{
    sl__sqlite_transaction *t;
    while ((t = sl__sqlite_queue_take(&sqlite->group.members))) {
        sl__sqlite_tell(t, code ? sl__sqlite_error_said(sqlite, t->site, code, said, /* sql= */ NULL) : NULL);
        sl__sqlite_transaction_free(t);
    }
}

static void group_committed(sl__sqlite_job *job)
{
    sl__sqlite *sqlite = job->sqlite;
    sqlite->committed_ns = sl_monotonic_ns();
    sqlite->commits += !job->code;
    tell_group(sqlite, job->code, job->said);
    sl__sqlite_group_ended(sqlite);
}

void sl__sqlite_group_commit(sl__sqlite *sqlite)
{
    sqlite->group.committing = true;
    sl__sqlite_job_start(sqlite->group.link, commit_in_thread, group_committed, /* cursor= */ NULL);
}

void sl__sqlite_group_commit_now(sl__sqlite *sqlite)
{
    SL_AUTO_FREE char *said = NULL;
    int code = commit_link(sqlite->group.link, &said);
    tell_group(sqlite, code, said);
}

/* SQLite has rolled back everything. That a statement of one was cancelled is no fault of the others: they
 * may try again. */
static void lose_group(sl__sqlite *sqlite, int code, const char *said)
{
    if ((code & 0xff) == SQLITE_INTERRUPT) {
        sl__sqlite_transaction *t;
        while ((t = sl__sqlite_queue_take(&sqlite->group.members))) {
            sl__sqlite_tell(
                t,
                sl__error_new(t->site, SL_ECONFLICT,
                              "store %s: a statement of another transaction, with which this one was to be "
                              "committed, was cancelled",
                              sqlite->name));
            sl__sqlite_transaction_free(t);
        }
    }
    tell_group(sqlite, code ? code : SQLITE_ABORT_ROLLBACK, said);
    sl__sqlite_group_ended(sqlite);
}

/* ---- Leaving ------------------------------------------------------------------------------------------- */

void sl__sqlite_cursors_end(sl__sqlite_transaction *t)
{
    while (t->cursors)
        sl__sqlite_cursor_end(t->cursors);
}

void sl__sqlite_lost(sl__sqlite_transaction *t, int code, const char *said)
{
    t->lost = sl_strdup_heap(said);
    sl__sqlite_keys_on(t);
    t->ready = false;
    t->part = SL__SQLITE_NOTHING;
    sl__sqlite_cursors_end(t);
    if (t->sqlite->group.link && t->sqlite->group.link == t->link) {
        t->link = NULL;
        lose_group(t->sqlite, code, t->lost);
    }
}

/* Nothing of it stands on its link any more. */
static void leave(sl__sqlite_transaction *t)
{
    sl__sqlite *sqlite = t->sqlite;
    bool held = sqlite->holder == t;
    sl__sqlite_leave_slot(t);
    sl__sqlite_transaction_free(t);
    if (held)
        sl__sqlite_leave_place(sqlite);
}

/* The group's transaction was its own, and ends with it. */
static void leave_whole(sl__sqlite_transaction *t)
{
    sl__sqlite *sqlite = t->sqlite;
    if (sqlite->group.link && sqlite->group.link == t->link) {
        t->link = NULL;
        sl__sqlite_group_ended(sqlite);
    }
    leave(t);
}

/* ---- Rolling back -------------------------------------------------------------------------------------- */

static void roll_back_in_thread(sl__sqlite_job *job)
{
    sl__sqlite_do(job->link, SL__SQLITE_ROLLBACK);
}

/* The link's `left` does the rest. */
static void rolled_back(sl__sqlite_job *job)
{
    job->link->left->part = SL__SQLITE_NOTHING;
}

static void undo_whole(sl__sqlite_transaction *t)
{
    sl__sqlite_link *link = t->link;
    if (t->wrote && !t->sqlite->closed && sqlite3_total_changes64(link->db) - t->changes > UNDONE_ON_LOOP) {
        link->left = t;
        sl__sqlite_job_start(link, roll_back_in_thread, rolled_back, /* cursor= */ NULL);
        return;
    }
    sl__sqlite_do(link, SL__SQLITE_ROLLBACK);
    leave_whole(t);
}

static void undo_guest(sl__sqlite_transaction *t)
{
    sl__sqlite *sqlite = t->sqlite;
    sl__sqlite_link *link = t->link;
    int code = sl__sqlite_do(link, SL__SQLITE_GROUP_UNDO);
    if (!code)
        code = sl__sqlite_do(link, SL__SQLITE_GROUP_RELEASE);
    if (code) { /* its savepoint is gone: what is its own and what is the others' cannot be told apart */
        SL_AUTO_FREE char *said = sl_strdup_heap(sqlite3_errmsg(link->db));
        sl__sqlite_do(link, SL__SQLITE_ROLLBACK);
        lose_group(sqlite, code, said);
    }
    t->link = NULL;
    leave(t);
}

void sl__sqlite_roll_back(sl__sqlite_transaction *t)
{
    sl__sqlite_cursors_end(t);
    sl__sqlite_keys_on(t);
    if (t->part == SL__SQLITE_GUEST)
        undo_guest(t);
    else if (t->part == SL__SQLITE_WHOLE)
        undo_whole(t);
    else
        leave_whole(t);
}

void sl__sqlite_rollback(sl__connection *connection)
{
    sl__sqlite_transaction *t = (sl__sqlite_transaction *)connection;
    if (!t->link || !t->link->job) {
        sl__sqlite_roll_back(t);
        return;
    }
    t->link->left = t;
    sl__sqlite_job_stop(t->link->job);
}

/* ---- Committing ---------------------------------------------------------------------------------------- */

static sl_error *refused(sl__sqlite_transaction *t, int code)
{
    sl_error *error = sl__sqlite_error(t->sqlite, t->site, t->link->db, code, /* sql= */ NULL);
    sl__sqlite_roll_back(t);
    return error;
}

static sl_error *commit_whole(sl__sqlite_transaction *t)
{
    int code = t->part == SL__SQLITE_WHOLE ? sl__sqlite_do(t->link, SL__SQLITE_COMMIT) : SQLITE_OK;
    if (code)
        return refused(t, code);
    leave_whole(t);
    return NULL;
}

static sl_error *broken_key(sl__sqlite_transaction *t)
{
    int broken = 0, highest = 0;
    sqlite3_db_status(t->link->db, SQLITE_DBSTATUS_DEFERRED_FKS, &broken, &highest, /* reset= */ 0);
    if (!broken)
        return NULL;
    sl_error *error =
        sl__error_new(t->site, SL_ECONSTRAINT, "store %s: FOREIGN KEY constraint failed", t->sqlite->name);
    sl_error_hint(sl__tell_reference(error),
                  "a row refers to one that is not there at the end of the transaction; `PRAGMA "
                  "foreign_key_check` names such rows");
    sl__sqlite_roll_back(t);
    return error;
}

/* It is told when the group is on the disk. */
static sl_cancelled go_on(sl_deferred *deferred, void *data)
{
    return SL_CANCEL_LATE;
}

static sl_error *commit_in_group(sl__sqlite_transaction *t)
{
    sl__sqlite *sqlite = t->sqlite;
    sl__sqlite_group *group = &sqlite->group;
    int code = t->part == SL__SQLITE_GUEST ? sl__sqlite_do(t->link, SL__SQLITE_GROUP_RELEASE) : SQLITE_OK;
    if (code)
        return refused(t, code);
    const sl_site *site = t->site;
    sl__sqlite_shut(t);
    t->part = SL__SQLITE_NOTHING;
    t->link = NULL;
    sl_deferred *committed = t->waits = sl__deferred_new(site, go_on, NULL);
    sl__sqlite_queue_add(&group->members, t);
    group->count++;
    sl__sqlite_leave_place(sqlite);
    sl_result result = sl__take(site, committed); /* `t` may be gone */
    if (result.kind == SL_VALUE)
        return NULL;
    if (result.error->code == SL_ECANCELED || result.error->code == SL_ETIMEDOUT)
        sl_error_hint(result.error,
                      "the commit was under way and goes on: look whether what was written is there");
    return result.error;
}

static sl_error *may_commit(sl__sqlite_transaction *t)
{
    sl_error *error = t->link ? sl__sqlite_link_wait(t->link, /* deadline= */ 0, t->site) : NULL;
    if (!error)
        error = sl__sqlite_cancelled(t->site);
    if (!error && t->lost)
        error = sl__sqlite_gone(t, t->site);
    if (!error)
        sl__sqlite_cursors_end(t);
    return error;
}

sl_error *sl__sqlite_commit(sl__connection *connection)
{
    sl__sqlite_transaction *t = (sl__sqlite_transaction *)connection;
    sl_error *error = may_commit(t);
    if (error) {
        sl__sqlite_rollback(connection);
        return error;
    }
    sl__sqlite_keys_on(t);
    if (t->wrote && (error = broken_key(t)))
        return error;
    bool alone = t->part != SL__SQLITE_GUEST && !t->wrote;
    return alone || t->sqlite->memory ? commit_whole(t) : commit_in_group(t);
}
