/* sqlite_begin.c: how transactions begin.
 *
 * One that reads takes a connection, and SQLite's BEGIN when it runs its first statement: all it reads is of
 * one moment. One that writes takes the writer's place, and either begins the group's transaction or becomes
 * a savepoint in it. When a reader turns writer, and has not yet run anything, it does as if it had been one
 * from the start; else its own transaction is raised to a writing one, which SQLite refuses where others have
 * written since it first read. */
#include "store/sqlite.h"

#include <stdlib.h>

/* For so long after another process wrote we leave it a gap between our groups. */
#define SHARED_NS 1000000000
#define GAP_NS 1000000
#define GAP_MS 1

/* ---- Taking the lock ----------------------------------------------------------------------------------- */

static sl_error *pause_for(sl__sqlite *sqlite, uint64_t ms, const sl__begin *how)
{
    return sl__sqlite_await(sqlite, sl_sleep(ms), how->deadline, how->site,
                            "could write: another process holds the database");
}

/* Runs a statement that takes the lock of writers, which another process may have. SQLite's code is OK, or an
 * error other than that it was busy; the error is that of the wait. */
static sl_error *take_lock(sl__sqlite_transaction *t, sl__sqlite_fixed what, const sl__begin *how,
                           int *ret_code)
{
    sl__sqlite *sqlite = t->sqlite;
    sl__sqlite_link *link = t->link;
    uint64_t began = 0;
    for (uint64_t pause = 1;; pause = sl__sqlite_longer(pause)) {
        int code = sl__sqlite_do(link, what);
        *ret_code = code;
        if ((code & 0xff) != SQLITE_BUSY || code == SQLITE_BUSY_SNAPSHOT)
            return NULL;
        sqlite->others_ns = sl_monotonic_ns();
        if (!began)
            began = sqlite->others_ns;
        if ((sqlite->others_ns - began) / 1000000 >= sqlite->options->busy_ms)
            return NULL;
        sl_error *error = pause_for(sqlite, pause, how);
        if (error)
            return error;
    }
}

/* Others poll for the lock, as we do. If we took it again at once each time, they would hardly ever find it
 * free. */
static sl_error *let_others(sl__sqlite_transaction *t, const sl__begin *how)
{
    sl__sqlite *sqlite = t->sqlite;
    if (!sqlite->others_ns)
        return NULL;
    uint64_t now = sl_monotonic_ns();
    if (now - sqlite->others_ns > SHARED_NS) {
        sqlite->others_ns = 0;
        return NULL;
    }
    if (now - sqlite->committed_ns > GAP_NS)
        return NULL;
    return pause_for(sqlite, GAP_MS, how);
}

/* Whether the file was changed by others since the last transaction on this link. */
static void look_for_others(sl__sqlite *sqlite, const sl__sqlite_link *link)
{
    if (link->version && sl__sqlite_version(link) != link->version)
        sqlite->others_ns = sl_monotonic_ns();
}

static void begin_group(sl__sqlite_transaction *t)
{
    t->sqlite->group = (sl__sqlite_group){.link = t->link, .slot = t->slot, .began_ns = sl_monotonic_ns()};
    t->slot = false; /* the group gives it back */
}

static sl_error *begin_whole(sl__sqlite_transaction *t, const sl__begin *how)
{
    sl__sqlite *sqlite = t->sqlite;
    int code = SQLITE_OK;
    t->link = sqlite->writer;
    sl_error *error = let_others(t, how);
    if (!error)
        error = take_lock(t, SL__SQLITE_BEGIN_WRITING, how, &code);
    if (!error && code)
        error = sl__sqlite_error(sqlite, how->site, t->link->db, code, NULL);
    if (error) {
        t->link = NULL;
        return error;
    }
    look_for_others(sqlite, t->link);
    begin_group(t);
    t->part = SL__SQLITE_WHOLE;
    t->ready = !t->schema; /* which its first statement sees to */
    return NULL;
}

static sl_error *begin_guest(sl__sqlite_transaction *t, const sl__begin *how)
{
    sl__sqlite *sqlite = t->sqlite;
    sl__sqlite_link *link = sqlite->group.link;
    int code = sl__sqlite_do(link, SL__SQLITE_GROUP);
    if (code)
        return sl__sqlite_error(sqlite, how->site, link->db, code, NULL);
    t->link = link;
    t->part = SL__SQLITE_GUEST;
    return NULL;
}

/* It has the writer's place; if this fails that is given back. */
static sl_error *begin_writing(sl__sqlite_transaction *t, const sl__begin *how)
{
    sl_error *error = t->sqlite->group.link ? begin_guest(t, how) : begin_whole(t, how);
    if (error) {
        sl__sqlite_leave_place(t->sqlite);
        return error;
    }
    t->connection.writer = true;
    t->changes = sqlite3_total_changes64(t->link->db);
    return NULL;
}

/* ---- Beginning ----------------------------------------------------------------------------------------- */

static sl__sqlite_transaction *transaction_new(sl_store *store, const sl__begin *how)
{
    sl__sqlite *sqlite = store->data;
    sl__sqlite_transaction *t = sl__pool_get(&sqlite->transactions, sizeof *t);
    *t = (sl__sqlite_transaction){
        .connection = {.driver = &sl__sqlite_driver, .store = store},
        .sqlite = sqlite,
        .single = how->single,
        .schema = how->schema,
        .site = how->site,
        .next_open = sqlite->open,
        .in_open = &sqlite->open,
    };
    if (t->next_open)
        t->next_open->in_open = &t->next_open;
    sqlite->open = t;
    sqlite->references++;
    return t;
}

void sl__sqlite_transaction_free(sl__sqlite_transaction *t)
{
    sl__sqlite *sqlite = t->sqlite;
    *t->in_open = t->next_open;
    if (t->next_open)
        t->next_open->in_open = t->in_open;
    free(t->lost);
    sl__pool_put(&sqlite->transactions, t);
    sl__sqlite_unref(sqlite);
}

static sl_error *begin_in_memory(sl__sqlite_transaction *t, const sl__begin *how)
{
    sl_error *error = sl__sqlite_take_place(t, how);
    if (error)
        return error;
    t->link = t->sqlite->writer;
    t->connection.writer = how->writes;
    t->changes = sqlite3_total_changes64(t->link->db);
    return NULL;
}

static sl_error *begin(sl__sqlite_transaction *t, const sl__begin *how)
{
    if (t->sqlite->memory)
        return begin_in_memory(t, how);
    if (!how->writes)
        return sl__sqlite_take_slot(t, how);
    sl_error *error = sl__sqlite_take_place(t, how);
    return error ? error : begin_writing(t, how);
}

sl_error *sl__sqlite_begin(sl_store *store, const sl__begin *how, sl__connection **ret_connection)
{
    sl__sqlite_transaction *t = transaction_new(store, how);
    sl_error *error = begin(t, how);
    if (error)
        sl__sqlite_transaction_free(t);
    else
        *ret_connection = &t->connection;
    return error;
}

/* ---- Readers that turn writers ----------------------------------------------------------------------- */

/* The transaction that it has reads; from here on it may write. */
static sl_error *turn_writer(sl__sqlite_transaction *t, const sl__begin *how)
{
    sl__sqlite *sqlite = t->sqlite;
    int code = SQLITE_OK;
    sl_error *error = sl__sqlite_link_wait(t->link, how->deadline, how->site);
    if (!error && t->lost)
        error = sl__sqlite_gone(t, how->site);
    if (!error)
        error = take_lock(t, SL__SQLITE_START_WRITING, how, &code);
    if (!error && code)
        error = sl__sqlite_error(sqlite, how->site, t->link->db, code, NULL);
    if (error) {
        sl__sqlite_leave_place(sqlite);
        return error;
    }
    begin_group(t);
    t->connection.writer = true;
    t->changes = sqlite3_total_changes64(t->link->db);
    return NULL;
}

sl_error *sl__sqlite_become_writer(sl__connection *connection, const sl__begin *how)
{
    sl__sqlite_transaction *t = (sl__sqlite_transaction *)connection;
    if (t->lost)
        return sl__sqlite_gone(t, how->site);
    if (t->sqlite->memory)
        t->connection.writer = true;
    if (t->connection.writer)
        return NULL;
    if (!t->used)
        sl__sqlite_leave_slot(t);
    sl_error *error = sl__sqlite_take_place(t, how);
    if (error)
        return error;
    return t->link ? turn_writer(t, how) : begin_writing(t, how);
}

/* ---- The first statement ------------------------------------------------------------------------------- */

/* A guest that is to do much is a danger to the group: were it cancelled, SQLite would roll back all. So the
 * others are committed first, and it begins anew by itself. */
static sl_error *leave_group(sl__sqlite_transaction *t, const sl__begin *how)
{
    int code = sl__sqlite_do(t->link, SL__SQLITE_GROUP_RELEASE);
    if (code)
        return sl__sqlite_error(t->sqlite, how->site, t->link->db, code, NULL);
    t->part = SL__SQLITE_NOTHING;
    t->link = NULL;
    sl__sqlite_group_commit(t->sqlite);
    return NULL;
}

/* It has the writer's place, and nothing else. */
static sl_error *begin_again(sl__sqlite_transaction *t, const sl__begin *how)
{
    sl_error *error = NULL;
    while (!error && t->sqlite->group.link)
        error = sl__sqlite_link_wait(t->sqlite->group.link, how->deadline, how->site);
    return error ? error : begin_whole(t, how);
}

static sl_error *make_ready(sl__sqlite_transaction *t, const sl__statement *statement, const sl__begin *how)
{
    sl_error *error = NULL;
    bool leaves = t->part == SL__SQLITE_GUEST && !t->used && statement->writes && !statement->quick;
    if (leaves && (error = leave_group(t, how)))
        return error;
    if (!t->link)
        error = t->connection.writer ? begin_again(t, how) : sl__sqlite_take_slot(t, how);
    if (!error)
        error = sl__sqlite_link_wait(t->link, how->deadline, how->site);
    if (!error && t->lost) /* meanwhile */
        error = sl__sqlite_gone(t, how->site);
    if (error || t->part != SL__SQLITE_NOTHING || (t->single && statement->quick))
        return error;
    int code = sl__sqlite_do(t->link, SL__SQLITE_BEGIN);
    if (code)
        return sl__sqlite_error(t->sqlite, how->site, t->link->db, code, statement->sql);
    t->part = SL__SQLITE_WHOLE;
    return NULL;
}

/* A table is changed by making it anew, dropping the old one and renaming (sqlite.org/lang_altertable.html,
 * 7); dropping it would delete what refers to it, or be refused. PRAGMA foreign_keys does nothing in a
 * transaction; this does. */
static void set_keys(sl__sqlite_transaction *t, bool on)
{
    sqlite3_db_config(t->link->db, SQLITE_DBCONFIG_ENABLE_FKEY, (int)on, (int *)NULL);
    t->loose = !on;
}

void sl__sqlite_keys_on(sl__sqlite_transaction *t)
{
    if (t->loose && t->link)
        set_keys(t, true);
}

sl_error *sl__sqlite_make_ready(sl__sqlite_transaction *t, const sl__statement *statement)
{
    if (t->lost)
        return sl__sqlite_gone(t, statement->site);
    sl_error *error =
        make_ready(t, statement, &(sl__begin){.deadline = statement->deadline, .site = statement->site});
    if (error)
        return error;
    if (t->schema && !t->used)
        set_keys(t, false);
    t->used = true;
    t->ready = t->part != SL__SQLITE_NOTHING;
    return NULL;
}

sl_error *sl__sqlite_gone(const sl__sqlite_transaction *t, const sl_site *site)
{
    return sl_error_hint(sl__error_new(site, SL_EDISCONNECTED, "store %s: the transaction is gone: %s",
                                       t->sqlite->name, t->lost),
                         "nothing of it was stored: run it again as a whole");
}
