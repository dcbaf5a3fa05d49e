/* port.h: a worker's end of the wire, shared by all its threads.
 *
 * A wire may be used by one thread at a time, so there is a lock around it. Reading is a role: one thread of
 * those that wait (for a call, for room to send, for an answer) waits on the wire, and the others wait for
 * that thread. Whatever comes is put where it belongs: calls into the queue, credit and cancellations to the
 * call that runs, answers to who asked. Who leaves the role gives it to another that waits. So with one
 * thread there is nobody else to be woken, and a call goes from the wire to the application without a switch.
 *
 * Functions marked (GIL) are called with CPython's lock held, and let go of it while they wait; the others
 * never touch Python. Nobody waits for that lock while holding the port's. */
#pragma once

#include <pthread.h>

#include "subsystem/hello.h"
#include "subsystem/talk.h"
#include "subsystem/wire.h"

struct port;

/* A thread that waits. */
struct waiter {
    struct waiter *next;
    pthread_cond_t woken;
    bool waits;
    bool idle; /* for a call to run */
};

/* A call of the parent: it waits in the queue, then it runs. */
struct work {
    struct work *next;
    uint64_t id;
    uint16_t word;
    uint8_t codec;
    sl_view data; /* the call's payload, until port_done */
    sl_files files;
    bool answered;    /* what is sent now is all: port_send need not ring at once */
    bool files_taken; /* they are somebody else's now: port_done leaves them open */
    /* The rest belongs to the port. */
    bool cancelled, reported;
    bool unhurried; /* whoever cancelled it lets it run to its end: that is no reason for a report */
    uint64_t begun_ns, cancelled_ns;
    int64_t credit; /* bytes of data that may be sent */
    pthread_t thread;
    struct waiter *waiter;
    sl__segment *segment;
    size_t room_size;
    char room[] __attribute__((aligned(16)));
};

/* Something else that a thread waits for, or a callback: an answer to an upcall, an event. `arrived` is
 * called with the port's lock held, without the GIL, and copies what it needs. */
struct listener {
    struct listener *next;
    uint64_t call; /* whose RESULT or FAILED it wants; 0: TELL */
    void (*arrived)(struct listener *listener, const sl__packet *packet);
    struct waiter *waiter;
};

/* Who wants the packets of calls (CALL, DATA, END, CREDIT, CANCEL) itself, as a loop of events does: called
 * in port_pump, in the pumping thread, with the lock held: it copies what it needs (the data goes with the
 * next packet; of a segment it may sl__segment_hold) and has the files. */
typedef void port_packet_fn(void *data, const sl__packet *packet);

struct port *port_new(sl__wire *wire);
sl__wire *port_wire(struct port *port);

/* Whether this is a child that the application forked: then nothing of this does anything. */
bool port_is_forked(void);

/* ---- Sending ---- */

/* Puts a packet in, from any thread. `files` may be NULL; they are duplicated. Not flushed. */
void port_put(struct port *port, const sl__packet *head, const struct iovec *pieces, unsigned count);
void port_flush(struct port *port);
/* The same when the call that was just answered is the last thing to do for now; if there are other calls and
 * calls are short, one bell does for several of them. */
void port_flush_soon(struct port *port, const struct work *work);
/* The same with a record, flat; 0 or a code with *ret_error (the value does not keep what its record demands,
 * which is a mistake of ours or of the application). */
int port_put_record(struct port *port, const sl__packet *head, const sl_record *record, const void *value,
                    sl_error **ret_error);
void port_log(struct port *port, sl_level level, const char *logger, const char *message);

/* ---- Calls, for threads ---- */

/* (GIL) The next call; NULL: no more come (the parent said stop, or is gone). */
struct work *port_next(struct port *port, struct waiter *me);
/* Ends it: it is forgotten and its memory and files are freed; the answer must have been put. */
void port_done(struct port *port, struct work *work);
/* (GIL) Puts a packet of data in a call, when there is credit for it, and flushes. 0; SL_ECANCELED: the
 * parent has left the call; SL_ECLOSED. Pieces are at most PORT_PIECE bytes together. */
#define PORT_PIECE (64u * 1024)
int port_send(struct port *port, struct work *work, struct waiter *me, uint16_t word,
              const struct iovec *pieces, unsigned count, const int *files, unsigned file_count);
/* Looks whether something has come, without waiting; whether the call was cancelled. */
bool port_cancelled(struct port *port, struct work *work);

/* ---- Upcalls and events ---- */

uint64_t port_call_number(struct port *port); /* odd: ours */
void port_listen(struct port *port, struct listener *listener);
void port_unlisten(struct port *port, struct listener *listener); /* also of one that is not there */
void port_each_listener(struct port *port, void (*function)(struct listener *listener, const void *data),
                        const void *data); /* with the lock held; their waiters are woken */
/* The lock, for what `arrived` writes. */
void port_lock(struct port *port);
void port_unlock(struct port *port);
void port_wake(struct port *port, struct waiter *waiter); /* the lock is held */
/* (GIL) Waits until *flag (written by `arrived`) is not 0, at most until `deadline_ns` of sl_monotonic_ns (0:
 * for ever): 1; 0: it is late; SL_ECANCELED: `work` (may be NULL) was cancelled; SL_ECLOSED. */
int port_wait(struct port *port, struct listener *listener, struct waiter *me, const int *flag,
              struct work *work, uint64_t deadline_ns);

/* ---- For loops of events ---- */

/* From now on whoever calls port_pump reads, nobody else; others only wait. */
void port_give_to_loop(struct port *port, port_packet_fn *function, void *data);
int port_descriptor(const struct port *port);
/* When the descriptor is readable: takes all that is there. 0; or SL_ECLOSED when the parent is gone (or
 * broke the rules). Afterwards port_rest goes back to waiting: false: there is something again, pump first.
 */
int port_pump(struct port *port);
bool port_rest(struct port *port);
bool port_stopping(const struct port *port); /* the parent said stop, or is gone */

/* ---- For the watch ---- */

/* If nobody reads because all threads are busy, takes what is there. Then calls back for each running call
 * that was cancelled in a hurry at least `ns` ago and was not reported yet, with the lock held. */
void port_watch(struct port *port, uint64_t ns, void (*report)(const struct work *work, void *data),
                void *data);
/* Returns when a call runs. */
void port_watch_idle(struct port *port);
/* Sleeps so long; meanwhile rings for answers that wait for it too long. */
void port_watch_rest(struct port *port, uint64_t ns);

/* For a loop: whether something has waited for it for `ns`, and it did not look. Told once each time. */
bool port_watch_loop(struct port *port, uint64_t ns);

struct waiter *waiter_new(void);
void waiter_free(struct waiter *waiter);
