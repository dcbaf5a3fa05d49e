/* index.h: the full-text index of what was said, in an SQLite database of its own.
 *
 * All that is in it can be made again from the chat's history: nothing is lost with it. It keeps how far it
 * has read the history, in the same transaction as what it read; so whatever was stored is found after the
 * next look into the history, however the last one ended. Any number of processes may have the index open.
 *
 * Everything here works in a task, may block, and fails by ending the task. */
#pragma once

#include "query.h"
#include "service.h"

typedef struct search_index search_index;

/* Opens the index, making it if there is none, or none that can be used. The history need not be there yet.
 */
search_index *search_index_open(const char *path, const char *history);
void search_index_close(void *index); /* takes NULL */
/* Whether the file has turned out to be damaged: then open it again. */
bool search_index_damaged(const search_index *index);

/* Reads what is new in the history. */
void search_index_catch_up(search_index *index);
/* Adds documents, or replaces those of the same number. */
void search_index_add(search_index *index, const struct search_document *documents, size_t count);
/* Returns when all is on the disk. */
void search_index_flush(search_index *index);
/* Looks for messages: the best first; without words the newest first. */
void search_index_find(search_index *index, const struct search_wanted *wanted, int64_t offset, int64_t limit,
                       struct search_found *ret_found);

/* Makes the index anew from the history, beside the old one, which serves until the new one takes its place
 * at once. Gives how many messages there are in it. */
int64_t search_index_rebuild(const char *path, const char *history);
