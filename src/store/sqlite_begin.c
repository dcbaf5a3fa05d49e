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

#define LATE "could write: another process holds the database"

/* Since when the transaction is kept from writing by another process: of those who waited for their turn
 * behind one that was, all give up together. */
static uint64_t kept_since(const sl__sqlite_transaction *t)
{
    sl__sqlite *sqlite = t->sqlite;
    sqlite->others_ns = sl_monotonic_ns();
    if (!sqlite->held_ns)
        sqlite->held_ns = sqlite->others_ns;
    if (!t->asked_ns)
        return sqlite->others_ns;
    return t->asked_ns > sqlite->held_ns ? t->asked_ns : sqlite->held_ns;
}

/* Runs a statement that takes the lock of writers, which another process may have. The error is that of the
 * wait, *ret_code SQLite's. */
static sl_error *take_lock(sl__sqlite_transaction *t, sl__sqlite_fixed what, const sl__begin *how,
                           int *ret_code)
{
    sl__sqlite *sqlite = t->sqlite;
    sl_error *error = NULL;
    sl__sqlite_patience patience = {0};
    while (sl__sqlite_is_busy(*ret_code = sl__sqlite_do(t->link, what))) {
        uint64_t since = kept_since(t);
        patience.since_ns = patience.since_ns ? patience.since_ns : since;
        if (!sl__sqlite_be_patient(sqlite, &patience, how, LATE, &error))
            return error;
        if (t->lost) /* meanwhile */
            return sl__sqlite_gone(t, how->site);
    }
    sqlite->held_ns = 0;
    return NULL;
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
    return sl__sqlite_await(sqlite, sl_sleep(GAP_MS), how->deadline, how->site, LATE);
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
    if (!error && t->lost)
        error = sl__sqlite_gone(t, how->site);
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

/* What waited may have been ended by another task meanwhile: then the place is the next one's. */
static void give_place_back(const sl__sqlite_transaction *t)
{
    if (t->sqlite->holder == t)
        sl__sqlite_leave_place(t->sqlite);
}

/* It has the writer's place; if this fails that is given back. */
static sl_error *begin_writing(sl__sqlite_transaction *t, const sl__begin *how)
{
    sl_error *error = t->sqlite->group.link ? begin_guest(t, how) : begin_whole(t, how);
    if (error) {
        give_place_back(t);
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

void sl__sqlite_shut(sl__sqlite_transaction *t)
{
    if (!t->inside || t->lost)
        return;
    t->shut = true;
    t->lost = sl_strdup_heap("another task has ended it");
}

void sl__sqlite_transaction_free(sl__sqlite_transaction *t)
{
    sl__sqlite *sqlite = t->sqlite;
    if (t->inside) {
        t->ended = true;
        sl__sqlite_shut(t);
        return;
    }
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

/* ---- One task at a time -------------------------------------------------------------------------------- */

/* Several tasks may be at work in a transaction, and while one waits in here another may end it. The first
 * does for all what has to be waited for. */
static sl_error *come_in(sl__sqlite_transaction *t, const sl__begin *how)
{
    sl_error *error = NULL;
    t->inside++;
    while (!error && t->taken)
        error = sl__sqlite_wait(t->sqlite, &t->waiters, how);
    if (!error && t->lost)
        error = sl__sqlite_gone(t, how->site);
    if (!error)
        t->taken = true;
    return error;
}

static void give_back(sl__sqlite_transaction *t)
{
    sl__sqlite_leave_slot(t);
    give_place_back(t);
}

static sl_error *go_out(sl__sqlite_transaction *t, const sl__begin *how, bool came_in, sl_error *error)
{
    if (came_in) {
        t->taken = false;
        sl__sqlite_wake(&t->waiters);
    }
    if (!error && t->lost)
        error = sl__sqlite_gone(t, how->site);
    if (came_in && t->ended)
        give_back(t);
    if (--t->inside == 0 && t->ended)
        sl__sqlite_transaction_free(t);
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
        give_place_back(t);
        return error;
    }
    begin_group(t);
    t->connection.writer = true;
    t->changes = sqlite3_total_changes64(t->link->db);
    return NULL;
}

static sl_error *become_writer(sl__sqlite_transaction *t, const sl__begin *how)
{
    if (t->sqlite->memory)
        t->connection.writer = true;
    if (t->connection.writer)
        return NULL;
    if (!t->used)
        sl__sqlite_leave_slot(t);
    sl_error *error = sl__sqlite_take_place(t, how);
    if (error || t->lost) /* meanwhile */
        return error;
    return t->link ? turn_writer(t, how) : begin_writing(t, how);
}

sl_error *sl__sqlite_become_writer(sl__connection *connection, const sl__begin *how)
{
    sl__sqlite_transaction *t = (sl__sqlite_transaction *)connection;
    sl_error *error = come_in(t, how);
    bool came_in = !error;
    if (came_in)
        error = become_writer(t, how);
    return go_out(t, how, came_in, error);
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
    while (!error && !t->lost && t->sqlite->group.link)
        error = sl__sqlite_link_wait(t->sqlite->group.link, how->deadline, how->site);
    return error || t->lost ? error : begin_whole(t, how);
}

static sl_error *make_ready(sl__sqlite_transaction *t, const sl__statement *statement, const sl__begin *how)
{
    sl_error *error = NULL;
    bool leaves = t->part == SL__SQLITE_GUEST && !t->used && statement->writes && !statement->quick;
    if (leaves && (error = leave_group(t, how)))
        return error;
    if (!t->link)
        error = t->connection.writer ? begin_again(t, how) : sl__sqlite_take_slot(t, how);
    if (!error && !t->lost)
        error = sl__sqlite_link_wait(t->link, how->deadline, how->site);
    if (error || t->lost /* meanwhile */ || t->part != SL__SQLITE_NOTHING || (t->single && statement->quick))
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
    const sl__begin how = {.deadline = statement->deadline, .site = statement->site};
    sl_error *error = come_in(t, &how);
    bool came_in = !error;
    if (came_in && (!t->ready || t->link->job))
        error = make_ready(t, statement, &how);
    error = go_out(t, &how, came_in, error);
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
                         t->shut ? "await what is at work in a transaction before that ends"
                                 : "nothing of it was stored: run it again as a whole");
}
