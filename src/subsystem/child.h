/* child.h: one child process as its parent sees it.
 *
 * A child is started by posix_spawn (never a bare fork of our process), in a process group of its own, with
 * its end of a wire and a pipe for what it prints. Its end is seen by a pidfd. It goes through states, never
 * back:
 *
 *     starting → ready → stopping → gone
 *
 * and nothing of it is left when it is gone: the group is killed, the process reaped, pipe and wire drained
 * and closed. What happens in it is told by events, the last of which is `gone`, exactly once. */
#pragma once

#include "subsystem/hello.h"
#include "subsystem/wire.h"

typedef struct sl__child sl__child;

typedef enum sl__child_state {
    SL__CHILD_STARTING,
    SL__CHILD_READY,
    SL__CHILD_STOPPING,
    SL__CHILD_GONE,
} sl__child_state;

typedef struct sl__child_events {
    /* Around what is taken from the wire at once (packets, hello, ready): each begin has its end. */
    void (*begin)(sl__child *child);
    void (*end)(sl__child *child);
    /* It said who it is: 0 to go on, or a code with an error, and it is ended. */
    int (*hello)(sl__child *child, const struct sl__hello *hello, sl_error **ret_error);
    void (*ready)(sl__child *child);
    /* RESULT, FAILED, DATA, END, CREDIT of a call of ours. */
    void (*packet)(sl__child *child, const sl__packet *packet);
    /* It has ended, and all that it sent and printed was dealt with. `error` (its own reference) says how in
     * words: exit status or signal, whether we ended it and why, and the last lines that it printed as the
     * detail. The child is freed afterwards. */
    void (*gone)(sl__child *child, const sl_error *error);
} sl__child_events;

typedef struct sl__child_options {
    const char *const *argv; /* the program (a path) and its arguments */
    char *const *environment;
    const char *directory;
    const char *name; /* for the log: what it prints is logged with it in front */
    uint64_t start_ms, grace_ms;
    sl__wire_options wire;
} sl__child_options;

/* Starts one. 0; or a code with *ret_error that names the program. */
int sl__child_start(sl_loop *loop, const sl__child_options *options, const sl__child_events *events,
                    void *owner, sl__child **ret_child, sl_error **ret_error);
void *sl__child_owner(const sl__child *child);
sl__wire *sl__child_wire(const sl__child *child);
sl__child_state sl__child_get_state(const sl__child *child);
int sl__child_pid(const sl__child *child);
size_t sl__child_memory(const sl__child *child); /* bytes that it holds now, shared ones not counted */
/* Asks it to finish and go (SL__STOP); after `patience_ms` it is ended. */
void sl__child_stop(sl__child *child, uint64_t patience_ms);
/* SIGTERM to its group now, SIGKILL after grace_ms; `why` becomes part of how it ended. */
void sl__child_end(sl__child *child, const char *why);
void sl__child_kill(sl__child *child, const char *why); /* SIGKILL at once */
/* Whether it said itself why it does not start, or was refused at its hello: trying again would not help. */
bool sl__child_told(const sl__child *child);
/* Kills it and waits for its end, SL__CHILD_FREE_MS at most; no event comes any more, `gone` neither. For a
 * loop that ends. */
#define SL__CHILD_FREE_MS 1000
void sl__child_free(sl__child *child);

/* upcall.c: what a child asks of its parent: CALL (odd numbers), CANCEL of those, HEAR, UNHEAR, TELL, LOG.
 * Whether the packet was one of these. What it began (calls, listeners) is cancelled and ended by
 * sl__upcalls_end. */
typedef struct sl__upcalls sl__upcalls;
sl__upcalls *sl__upcalls_new(sl_root *root, sl__child *child);
bool sl__upcalls_packet(sl__upcalls *upcalls, const sl__packet *packet);
sl__upcalls *sl__upcalls_end(sl__upcalls *upcalls); /* takes NULL; returns NULL */
