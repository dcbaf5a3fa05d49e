/* index.c: what goes into the index: documents, and what is new in the history.
 *
 * The history's messages have ascending numbers, so the number of the last that was read says how far the
 * index is; it is written in the transaction that adds what was read. If the history has another message of
 * that number, or none, it is another history, and the index begins anew. */
#include "inside.h"

#include <stdlib.h>

/* ---- Transactions ------------------------------------------------------------------------------------ */

void index_roll_back(sqlite3 **db)
{
    if (!sqlite3_get_autocommit(*db))
        sqlite3_exec(*db, "ROLLBACK", NULL, NULL, NULL);
}

void index_commit(search_index *index)
{
    index_run(index, "COMMIT", "write to the");
}

/* Control characters mark what was found, so that none may come from a message. */
static const char *without_controls(sl_arena *arena, const char *text)
{
    char *copy = sl_arena_strdup(arena, text);
    for (char *c = copy; *c; c++)
        if ((unsigned char)*c < ' ' && *c != '\n' && *c != '\t')
            *c = ' ';
    return copy;
}

static void add(search_index *index, sl_arena *arena, const struct search_document *d)
{
    SQL_AUTO_RESET sqlite3_stmt *s = index->statements[ADD];
    sqlite3_bind_int64(s, 1, d->id);
    sql_bind(s, 2, d->room);
    sql_bind(s, 3, search_fold(arena, index->letters, d->room));
    sql_bind(s, 4, d->author);
    sql_bind(s, 5, search_fold(arena, index->letters, d->author));
    sqlite3_bind_int64(s, 6, d->sent);
    sql_bind(s, 7, without_controls(arena, d->body));
    if (sqlite3_step(s) != SQLITE_DONE)
        index_fail(index, index->db, "write to the");
}

void search_index_add(search_index *index, const struct search_document *documents, size_t count)
{
    ROLLED_BACK(index);
    index_run(index, "BEGIN IMMEDIATE", "write to the");
    for (size_t i = 0; i < count; i++)
        add(index, sl_task_arena(), &documents[i]);
    index_commit(index);
}

void search_index_flush(search_index *index)
{
    if (sqlite3_wal_checkpoint_v2(index->db, NULL, SQLITE_CHECKPOINT_FULL, NULL, NULL))
        index_fail(index, index->db, "write the");
}

/* ---- Reading the history ----------------------------------------------------------------------------- */

static struct index_progress read_progress(search_index *index)
{
    SQL_AUTO_RESET sqlite3_stmt *s = index->statements[PROGRESS];
    if (!index_step(index, s))
        return (struct index_progress){0, ""};
    return (struct index_progress){sqlite3_column_int64(s, 0), sl_strdup(sql_text(s, 1))};
}

void index_set_progress(search_index *index, struct index_progress progress)
{
    SQL_AUTO_RESET sqlite3_stmt *s = index->statements[SET_PROGRESS];
    sqlite3_bind_int64(s, 1, progress.last);
    sql_bind(s, 2, progress.mark);
    if (sqlite3_step(s) != SQLITE_DONE)
        index_fail(index, index->db, "write to the");
}

static bool is_of_this_history(search_index *index, struct index_progress progress)
{
    if (!progress.last)
        return true;
    SQL_AUTO_RESET sqlite3_stmt *s = index->statements[MARK];
    sqlite3_bind_int64(s, 1, progress.last);
    return index_step(index, s) && strcmp(sql_text(s, 0), progress.mark) == 0;
}

static int64_t newest(search_index *index)
{
    SQL_AUTO_RESET sqlite3_stmt *s = index->statements[NEWEST];
    return index_step(index, s) ? sqlite3_column_int64(s, 0) : 0;
}

int index_read_some(search_index *index, struct index_progress *progress, int most)
{
    int count = 0;
    SQL_AUTO_RESET sqlite3_stmt *s = index->statements[READ];
    sqlite3_bind_int64(s, 1, progress->last);
    sqlite3_bind_int(s, 2, most);
    for (; index_step(index, s); count++) {
        struct search_document d = {.id = sqlite3_column_int64(s, 0),
                                    .room = sql_text(s, 1),
                                    .author = sql_text(s, 2),
                                    .body = sql_text(s, 3),
                                    .sent = sqlite3_column_int64(s, 4)};
        add(index, sl_task_arena(), &d);
        *progress = (struct index_progress){d.id, sl_strdup(sql_text(s, 5))};
    }
    return count;
}

/* Reads some in one transaction; false when there is nothing left. Another process may be at the same work:
 * whoever has the lock goes on where the other was. */
static bool advance(search_index *index)
{
    ROLLED_BACK(index);
    index_run(index, "BEGIN IMMEDIATE", "write to the");
    struct index_progress progress = read_progress(index);
    if (!is_of_this_history(index, progress)) {
        sl_info("%s is another history: the index begins anew", index->history_path);
        index_run(index, INDEX_CLEAR, "clear the");
        index_run(index, INDEX_SCHEMA, "clear the");
        progress = (struct index_progress){0, ""};
    }
    int count = index_read_some(index, &progress, INDEX_BATCH);
    index_set_progress(index, progress);
    index_commit(index);
    return count == INDEX_BATCH;
}

void search_index_catch_up(search_index *index)
{
    if (!index_open_history(index))
        return;
    struct index_progress progress = read_progress(index);
    bool more = newest(index) > progress.last || !is_of_this_history(index, progress);
    while (more)
        SL_SCRATCH()
        {
            more = advance(index);
        }
}
