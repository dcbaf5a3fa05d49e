/* inside.h: what the files of the index share. */
#pragma once

#include "index.h"
#include "sql.h"

#define INDEX_BATCH 5000 /* messages read in one transaction: others write between two of them */
#define INDEX_PATIENCE_MS 5000

enum index_statement {
    ADD,
    PROGRESS,
    SET_PROGRESS,
    BODY,
    SNIPPET,
    OWN, /* those above are the index's, those below the history's */
    NEWEST = OWN,
    MARK,
    READ,
    STATEMENTS,
};

struct search_index {
    char *path, *history_path;
    sqlite3 *db, *history; /* history: NULL as long as there is no file */
    sqlite3_stmt *statements[STATEMENTS];
    locale_t letters;
    bool damaged;
    bool late; /* the query has taken too long */
    uint64_t deadline_ns;
};

struct index_progress {
    int64_t last;
    const char *mark;
};

/* open.c */
extern const char INDEX_SCHEMA[], INDEX_CLEAR[];
/* Fails with what SQLite says of either database. */
SL_NORETURN void index_fail(search_index *index, sqlite3 *db, const char *what);
void index_run(search_index *index, const char *sql, const char *what);
/* Whether there is another row. */
bool index_step(search_index *index, sqlite3_stmt *statement);
/* Whether there is a history; opens it. It is never made here: that is the chat's business. */
bool index_open_history(search_index *index);
/* Only one process at a time makes an index or puts another in its place. The lock goes with the process. */
int index_lock(const char *path, int how);
void index_unlock(int *fd);
/* search_index_open for whoever has the lock. */
search_index *index_open_locked(const char *path, const char *history);
void index_remove_files(const char *path);

/* index.c */
void index_roll_back(sqlite3 **db);
/* What is not committed when the block is left is rolled back. */
#define ROLLED_BACK(index)                                                                                   \
    SL_CLEANUP(index_roll_back) __attribute__((unused)) sqlite3 *rolled_back = (index)->db
void index_commit(search_index *index);
void index_set_progress(search_index *index, struct index_progress progress);
/* The next messages of the history; gives how many there were. */
int index_read_some(search_index *index, struct index_progress *progress, int most);
