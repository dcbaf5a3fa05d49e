/* rebuild.c: making the index anew, beside the old one.
 *
 * The new index does not take the old one's place by being renamed: other processes have that open, with a
 * log beside it. It is copied over it, page by page, in one transaction, so that they see the one or the
 * other. */
#include "inside.h"

#include <stdlib.h>
#include <sys/file.h>
#include <unistd.h>

static void close_index(search_index **index)
{
    search_index_close(*index);
}

static int64_t read_all(search_index *fresh)
{
    ROLLED_BACK(fresh);
    struct index_progress progress = {0, ""};
    int64_t total = 0;
    index_run(fresh, "BEGIN", "write the");
    for (int count = INDEX_BATCH; count == INDEX_BATCH;) {
        SL_SCRATCH()
        {
            struct index_progress now = progress;
            count = index_read_some(fresh, &now, INDEX_BATCH);
            if (count)
                index_set_progress(fresh, now);
            progress.last = now.last;
        }
        total += count;
    }
    index_commit(fresh);
    index_run(fresh, "INSERT INTO text (text) VALUES ('optimize')", "write the");
    return total;
}

/* Copies one database over another in one transaction: whoever has that open sees the old or the new. */
static int copy_over(sqlite3 *from, sqlite3 *to)
{
    sqlite3_backup *backup = sqlite3_backup_init(to, "main", from, "main");
    if (!backup)
        return sqlite3_errcode(to);
    int code;
    uint64_t deadline_ns = sl_monotonic_ns() + (uint64_t)6 * INDEX_PATIENCE_MS * 1000000;
    do
        code = sqlite3_backup_step(backup, /* pages= */ -1);
    while ((code == SQLITE_BUSY || code == SQLITE_LOCKED) && sl_monotonic_ns() < deadline_ns &&
           usleep(1000) == 0);
    int finished = sqlite3_backup_finish(backup);
    return code == SQLITE_DONE ? finished : code;
}

int64_t search_index_rebuild(const char *path, const char *history)
{
    const char *beside = sl_printf("%s.new", path);
    SL_CLEANUP(index_unlock) __attribute__((unused)) int locked = index_lock(beside, LOCK_EX | LOCK_NB);
    index_remove_files(beside);
    SL_CLEANUP(close_index) search_index *fresh = index_open_locked(beside, history);
    if (!index_open_history(fresh))
        sl_fail_error(sl_error_hint(sl_error_new(SL_ENOENT, "there is no history in %s", history),
                                    "the chat makes it when it is first served"));
    int64_t total = read_all(fresh);
    SL_CLEANUP(close_index) search_index *old = search_index_open(path, history);
    if (copy_over(fresh->db, old->db))
        index_fail(old, old->db, "replace the");
    index_remove_files(beside);
    return total;
}
