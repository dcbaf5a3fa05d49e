/* history.h: what was said, in an SQLite database.
 *
 * The instances of the application share one file. Reading is short, so it happens where it is called;
 * writing waits for the disk, so it happens in a thread, in batches, and gives a deferred. What a deferred
 * here has succeeded with is on the disk: kill -9 does not lose it. Failures name the file and say what to
 * do.
 *
 * Messages get ascending numbers in the order in which they are stored, whichever instance stores them:
 * nobody who saw number n will later find a new message with a lower one. Everything that readers do leans on
 * that. */
#pragma once

#include <silver/silver.h>

typedef struct history history;

struct message {
    int64_t id;
    int64_t sent_ms; /* since 1970 */
    const char *room, *author, *body;
    const char *nonce; /* the sender's mark: the same one again is the same message again */
};

struct messages {
    size_t count;
    struct message *items; /* oldest first */
};

struct room {
    const char *name;
    int64_t active_ms;         /* when somebody last spoke there, or when it was made */
    const char *author, *body; /* of the last message; NULL if there is none */
};

struct rooms {
    size_t count;
    struct room *items; /* the liveliest first */
};

/* Opens the database, making it if there is none. In a task; failing ends it. */
history *history_open(const char *path);
/* Waits for what is being written. A sl_free_fn; takes NULL. */
void history_close(void *history);

/* These read, in a task; what they give lives as long as the task. */
struct rooms history_rooms(history *h, size_t limit);
const char *history_room(history *h, const char *name); /* as it is spelt, or NULL if there is none */
struct messages history_before(history *h, const char *room, int64_t before,
                               size_t limit); /* the newest of them */
struct messages history_after(history *h, const char *room, int64_t after,
                              size_t limit); /* the oldest of them */
int64_t history_newest(history *h);          /* the highest number given so far; 0 at first */

/* Makes a room, or finds the one whose name differs only in the case of its letters. Succeeds with NULL;
 * fails with SL_EBUSY when there are too many rooms already. */
sl_deferred *history_make_room(history *h, const char *room);
/* Stores a message. Succeeds with a `struct message`: this one, or the one that was stored when it came
 * before. */
sl_deferred *history_add(history *h, const char *room, const char *author, const char *nonce,
                         const char *body);
