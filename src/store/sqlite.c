/* sqlite.c: the driver for SQLite: opening, closing and lending. sqlite.h has the plan of the whole. */
#include "store/sqlite.h"

#include <stdlib.h>

/* ---- Opening ------------------------------------------------------------------------------------------- */

/* SQLite counts all that it allocates, under a lock that the threads of a process share, for functions that
 * nobody here asks. Where others have begun with SQLite already it stays as they have it. */
static void count_no_memory(void)
{
    sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
}

static sl_error *look_at_library(const sl_store *store)
{
    if (sqlite3_libversion_number() < SL__SQLITE_OLDEST)
        return sl_error_hint(
            sl_error_new(SL_EDATABASE, "store %s: SQLite %s is too old", store->name, sqlite3_libversion()),
            "it needs SQLite 3.38 or newer: install that");
    if (!sqlite3_threadsafe())
        return sl_error_hint(
            sl_error_new(SL_EDATABASE, "store %s: this SQLite was built without threads", store->name),
            "install one that was built with SQLITE_THREADSAFE=1 or 2");
    return NULL;
}

/* What begins with "file:" would be taken for a URI. */
static char *path_of(const char *url)
{
    const char *path = url + strlen("sqlite:");
    return strncmp(path, "file:", 5) == 0 ? sl_printf_heap("./%s", path) : sl_strdup_heap(path);
}

static sl__sqlite *sqlite_new(sl_store *store)
{
    sl__sqlite *sqlite = sl_calloc(1, sizeof *sqlite);
    sqlite->name = sl_strdup_heap(store->name);
    sqlite->path = path_of(store->url);
    sqlite->options = store->options;
    sqlite->memory = strcmp(sqlite->path, ":memory:") == 0;
    sqlite->references = 1;
    sqlite->threads = sl__sqlite_threads();
    pthread_mutex_init(&sqlite->mutex, NULL);
    pthread_cond_init(&sqlite->changed, NULL);
    return sqlite;
}

void sl__sqlite_free(sl__sqlite *sqlite)
{
    sl__pool_done(&sqlite->transactions);
    sl__pool_done(&sqlite->cursors);
    pthread_mutex_destroy(&sqlite->mutex);
    pthread_cond_destroy(&sqlite->changed);
    free(sqlite->name);
    free(sqlite->path);
    free(sqlite);
}

static sl_error *sqlite_open(sl_store *store)
{
    count_no_memory();
    sl_error *error = look_at_library(store);
    if (error)
        return error;
    if (!store->url[strlen("sqlite:")])
        return sl_error_hint(sl_error_new(SL_EDATABASE, "store %s: the URL names no file", store->name),
                             "write sqlite:PATH, or sqlite::memory: for one that is gone with the process");
    sl__sqlite *sqlite = sqlite_new(store);
    error = sl__sqlite_link_open(sqlite, &(sl__begin){.site = SL_HERE}, &sqlite->writer);
    if (error)
        sl__sqlite_unref(sqlite);
    else
        store->data = sqlite;
    return error;
}

/* ---- Closing ------------------------------------------------------------------------------------------- */

/* Who waits for the group hears how it ended; whoever was still at work in it did not get to the end. */
static void end_group(sl__sqlite *sqlite)
{
    sl__sqlite_group *group = &sqlite->group;
    if (!group->members.first)
        return;
    sl__sqlite_transaction *holder = sqlite->holder;
    if (holder && holder->part == SL__SQLITE_GUEST) {
        sl__sqlite_cursors_end(holder);
        sl__sqlite_do(group->link, SL__SQLITE_GROUP_UNDO);
        sl__sqlite_do(group->link, SL__SQLITE_GROUP_RELEASE);
        holder->part = SL__SQLITE_NOTHING;
    }
    sl__sqlite_group_commit_now(sqlite);
}

static void tell_waiting(sl__sqlite *sqlite, sl__sqlite_queue *queue)
{
    sl__sqlite_transaction *t;
    while ((t = sl__sqlite_queue_take(queue)))
        sl__sqlite_tell(t, sl__sqlite_is_closed(sqlite, t->site));
}

/* What is left of the transactions is given back by those who have them. */
static void lose_all(sl__sqlite *sqlite)
{
    sqlite->holder = NULL;
    sqlite->group = (sl__sqlite_group){0};
    for (sl__sqlite_transaction *t = sqlite->open; t; t = t->next_open) {
        sl__sqlite_cursors_end(t);
        if (!t->lost)
            t->lost = sl_strdup_heap("the store was closed");
        t->ready = t->slot = false;
        t->part = SL__SQLITE_NOTHING;
        t->link = NULL;
    }
}

static void sqlite_close(sl_store *store)
{
    sl__sqlite *sqlite = store->data;
    store->data = NULL;
    sl__sqlite_jobs_finish(sqlite);
    sqlite->closed = true;
    end_group(sqlite);
    tell_waiting(sqlite, &sqlite->to_read);
    tell_waiting(sqlite, &sqlite->to_write);
    lose_all(sqlite);
    for (sl__sqlite_link *link = sqlite->links, *next; link; link = next) {
        next = link->next;
        sl__sqlite_link_close(link);
    }
    sqlite->links = sqlite->idle = sqlite->writer = NULL;
    sl__sqlite_unref(sqlite);
}

/* ---- Lending ------------------------------------------------------------------------------------------- */

static sl_error *lend_error(sl__sqlite_transaction *t, int code)
{
    return sl__sqlite_error(t->sqlite, t->site, t->link->db, code, /* sql= */ NULL);
}

static sl_error *ended_by_other(sl__sqlite_transaction *t)
{
    sl_error *error = sl_error_hint(
        sl__error_new(t->site, SL_EDISCONNECTED,
                      "store %s: the transaction was ended by the code that its connection was lent to",
                      t->sqlite->name),
        "such code must not run BEGIN, COMMIT, ROLLBACK, nor release savepoints that are not its own");
    sl__sqlite_lost(t, SQLITE_ABORT_ROLLBACK, "it was ended by the code that its connection was lent to");
    return error;
}

/* The savepoint tells afterwards whether all is as deep as it was. */
static sl_error *lend_within(sl__sqlite_transaction *t, sl_lend_fn *fn, void *data)
{
    sl__sqlite_link *link = t->link;
    int code = sl__sqlite_do(link, SL__SQLITE_LEND);
    if (code)
        return lend_error(t, code);
    fn(link->db, data);
    sl__sqlite_link_watch(link);
    if (sqlite3_get_autocommit(link->db))
        return ended_by_other(t);
    code = sl__sqlite_do(link, SL__SQLITE_LEND_RELEASE);
    if (!code)
        return NULL;
    sl__sqlite_do(link, SL__SQLITE_ROLLBACK);
    return ended_by_other(t);
}

static void read_and_write(void *data)
{
    sl__sqlite_link **link = data;
    if (*link)
        sl__sqlite_do(*link, SL__SQLITE_ALSO_WRITE);
}
#define AUTO_ONLY_READ SL_CLEANUP(read_and_write) sl__sqlite_link

static sl_error *sqlite_lend(sl__connection *connection, sl_lend_fn *fn, void *data)
{
    sl__sqlite_transaction *t = (sl__sqlite_transaction *)connection;
    bool writes = connection->writer;
    sl_error *error = sl__sqlite_make_ready(t, &(sl__statement){.writes = writes, .site = t->site});
    if (error)
        return error;
    t->wrote = t->wrote || writes;
    if (writes)
        return lend_within(t, fn, data);
    AUTO_ONLY_READ *reads = t->link;
    int code = sl__sqlite_do(reads, SL__SQLITE_ONLY_READ);
    return code ? lend_error(t, code) : lend_within(t, fn, data);
}

const sl__driver sl__sqlite_driver = {
    .name = "sqlite",
    .open = sqlite_open,
    .close = sqlite_close,
    .begin = sl__sqlite_begin,
    .become_writer = sl__sqlite_become_writer,
    .commit = sl__sqlite_commit,
    .rollback = sl__sqlite_rollback,
    .run = sl__sqlite_run,
    .step = sl__sqlite_step,
    .read = sl__sqlite_read,
    .is_null = sl__sqlite_is_null,
    .close_cursor = sl__sqlite_close_cursor,
    .lend = sqlite_lend,
};
