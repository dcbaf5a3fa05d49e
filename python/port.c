/* port.c: see port.h. */
#include "port.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "gil.h"

#define SPARE_ROOM 8192 /* a call's memory of this size is kept for the next */
#define SPARE_MAX 64
/* An answer is rung for when nothing more is to be done at once; but when a call took this long, or the first
 * answer that was not rung for is this old, with the next answer, and else by the watch. */
#define RING_NS 100000
#define WATCH_TICK_NS 1000000
#define WATCH_QUIET 20 /* ticks without such answers: the watch sleeps longer */

struct port {
    sl__wire *wire;
    pthread_mutex_t lock;
    bool reading; /* somebody has the role: */
    const struct waiter *reader;
    int nudge; /* an eventfd, for those who have something for the reader that does not come by the wire */
    bool loop; /* for good: a loop of events */
    bool stopping, gone;
    bool parked; /* the watch waits for something to watch */
    bool rests;  /* it sleeps for longer than a tick */
    pthread_cond_t unpark;
    uint64_t unrung_ns;         /* when the first was put that was not rung for; 0: there is none */
    uint64_t unrung_count;      /* of all time */
    struct work *first, **last; /* that wait */
    struct work *running;
    struct work *spare;
    unsigned spare_count;
    struct waiter *waiters;
    struct listener *listeners;
    uint64_t next_call;
    port_packet_fn *packet;
    void *packet_data;
    uint64_t pumps;      /* how often the loop has looked, */
    uint64_t pumps_seen; /* what the watch saw of that, */
    uint64_t still_ns;   /* when that was, or when nothing waited; UINT64_MAX: told already */
};

static void init_condition(pthread_cond_t *condition)
{
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(condition, &attributes);
    pthread_condattr_destroy(&attributes);
}

struct waiter *waiter_new(void)
{
    struct waiter *waiter = sl_calloc(1, sizeof(*waiter));
    init_condition(&waiter->woken);
    return waiter;
}

void waiter_free(struct waiter *waiter)
{
    pthread_cond_destroy(&waiter->woken);
    free(waiter);
}

/* A child that the application forks has the same wire: whatever it did there, the parent could not tell from
 * what we do. Locks may be held by threads that it has not. So it does nothing here. */
static bool forked;

static void on_fork(void)
{
    forked = true;
}

bool port_is_forked(void)
{
    return forked;
}

struct port *port_new(sl__wire *wire)
{
    pthread_atfork(NULL, NULL, on_fork);
    struct port *port = sl_calloc(1, sizeof(*port));
    port->wire = wire;
    port->last = &port->first;
    port->next_call = 1;
    port->nudge = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    pthread_mutex_init(&port->lock, NULL);
    init_condition(&port->unpark);
    return port;
}

sl__wire *port_wire(struct port *port)
{
    return port->wire;
}

/* ---- Sending ----------------------------------------------------------------------------------------- */

void port_put(struct port *port, const sl__packet *head, const struct iovec *pieces, unsigned count)
{
    if (forked)
        return;
    pthread_mutex_lock(&port->lock);
    sl__wire_put(port->wire, head, pieces, count);
    pthread_mutex_unlock(&port->lock);
}

/* The lock is held. */
static void ring(struct port *port)
{
    port->unrung_ns = 0;
    sl__wire_flush(port->wire);
}

void port_flush(struct port *port)
{
    if (forked)
        return;
    pthread_mutex_lock(&port->lock);
    ring(port);
    pthread_mutex_unlock(&port->lock);
}

/* The lock is held. */
static void ring_soon(struct port *port, const struct work *work)
{
    uint64_t now = sl_monotonic_ns();
    if (now - work->begun_ns > RING_NS || (port->unrung_ns && now - port->unrung_ns > RING_NS)) {
        ring(port);
        return;
    }
    if (!port->unrung_ns)
        port->unrung_ns = now;
    port->unrung_count++;
    if (port->rests) {
        port->rests = false;
        pthread_cond_signal(&port->unpark);
    }
}

void port_flush_soon(struct port *port, const struct work *work)
{
    if (forked)
        return;
    pthread_mutex_lock(&port->lock);
    ring_soon(port, work);
    pthread_mutex_unlock(&port->lock);
}

int port_put_record(struct port *port, const sl__packet *head, const sl_record *record, const void *value,
                    sl_error **ret_error)
{
    SL_CLEANUP(sl_buffer_done) sl_buffer out = {0};
    sl_files files = {0};
    int code = sl_codec_flat.encode(record, value, &out, &files, ret_error);
    if (code < 0)
        return code;
    sl__packet packet = *head;
    packet.codec = SL__CODEC_FLAT;
    for (unsigned i = 0; i < files.count && i < SL__PACKET_FILES; i++)
        packet.files[packet.file_count++] = files.numbers[i];
    port_put(port, &packet, &(struct iovec){out.data, out.size}, 1);
    return 0;
}

/* Text that a record takes: without what is no UTF-8. */
static char *clean_text(const char *text)
{
    char *copy = sl_strdup_heap(text);
    if (!sl_utf8_valid(copy, strlen(copy)))
        for (char *at = copy; *at; at++)
            if ((unsigned char)*at >= 0x80)
                *at = '?';
    return copy;
}

void port_log(struct port *port, sl_level level, const char *logger, const char *message)
{
    if (forked) {
        fprintf(stderr, "%s\n", message);
        return;
    }
    char *clean = clean_text(message), *clean_logger = clean_text(logger ? logger : "");
    struct sl__logged logged = {.logger = clean_logger, .message = clean};
    sl_error *error = NULL;
    if (port_put_record(port, &(sl__packet){.kind = SL__LOG, .word = (uint16_t)level}, sl__logged_record(),
                        &logged, &error) < 0)
        sl_error_unref(error);
    port_flush(port);
    free(clean);
    free(clean_logger);
}

/* ---- What comes -------------------------------------------------------------------------------------- */

static void wake(struct waiter *waiter)
{
    if (waiter && waiter->waits)
        pthread_cond_signal(&waiter->woken);
}

/* If calls are in the queue that the reader does not take itself: to somebody who does. */
static void wake_idle(struct port *port, const struct waiter *reader)
{
    const struct work *work = port->first;
    if (work && reader->idle)
        work = work->next;
    for (struct waiter *waiter = port->waiters; work && waiter; waiter = waiter->next)
        if (waiter->idle) {
            pthread_cond_signal(&waiter->woken);
            return;
        }
}

static void wake_all(struct port *port)
{
    for (struct waiter *waiter = port->waiters; waiter; waiter = waiter->next)
        pthread_cond_signal(&waiter->woken);
}

static struct work *work_new(struct port *port, size_t size)
{
    struct work *work = port->spare;
    if (work && size <= work->room_size) {
        port->spare = work->next;
        port->spare_count--;
    } else {
        size_t room_size = size > SPARE_ROOM ? size : SPARE_ROOM;
        work = sl_malloc(sizeof(*work) + room_size);
        work->room_size = room_size;
    }
    size_t room_size = work->room_size;
    *work = (struct work){.room_size = room_size, .credit = SL__TALK_WINDOW};
    return work;
}

/* It is in no list any more. The lock is held. */
static void release(struct port *port, struct work *work)
{
    for (unsigned i = 0; i < work->files.count && !work->files_taken; i++)
        close(work->files.numbers[i]);
    if (work->segment)
        sl__segment_release(work->segment);
    if (work->room_size == SPARE_ROOM && port->spare_count < SPARE_MAX) {
        work->next = port->spare;
        port->spare = work;
        port->spare_count++;
    } else {
        free(work);
    }
}

static void add_call(struct port *port, const sl__packet *packet)
{
    struct work *work = work_new(port, packet->segment ? 0 : packet->size);
    work->id = packet->call;
    work->word = packet->word;
    work->codec = packet->codec;
    if (packet->segment) {
        sl__segment_hold(packet->segment);
        work->segment = packet->segment;
        work->data = (sl_view){packet->data, packet->size};
    } else {
        memcpy(work->room, packet->data, packet->size);
        work->data = (sl_view){work->room, packet->size};
    }
    for (unsigned i = 0; i < packet->file_count; i++)
        work->files.numbers[work->files.count++] = packet->files[i];
    *port->last = work;
    port->last = &work->next;
}

static struct work *find_work(struct port *port, uint64_t id)
{
    for (struct work *work = port->running; work; work = work->next)
        if (work->id == id)
            return work;
    for (struct work *work = port->first; work; work = work->next)
        if (work->id == id)
            return work;
    return NULL;
}

/* Whether it waited: nobody begins it then, and that is said at once. */
static bool drop_waiting(struct port *port, uint64_t id)
{
    struct work **link = &port->first;
    while (*link && (*link)->id != id)
        link = &(*link)->next;
    struct work *work = *link;
    if (!work)
        return false;
    *link = work->next;
    if (port->last == &work->next)
        port->last = link;
    sl__wire_put(port->wire, &(sl__packet){.kind = SL__RESULT, .call = id}, NULL, 0);
    if (!port->unrung_ns)
        port->unrung_ns = sl_monotonic_ns();
    release(port, work);
    return true;
}

static void close_files(const sl__packet *packet)
{
    for (unsigned i = 0; i < packet->file_count; i++)
        close(packet->files[i]);
}

/* Answers to calls of ours, and events. */
static void deliver(struct port *port, const sl__packet *packet)
{
    for (struct listener *at = port->listeners, *next; at; at = next) {
        next = at->next;
        if (at->call != packet->call)
            continue;
        at->arrived(at, packet);
        wake(at->waiter);
    }
    close_files(packet);
}

static void dispatch(struct port *port, const sl__packet *packet)
{
    bool ours = packet->call & 1;
    if (packet->kind == SL__STOP) {
        port->stopping = true;
        wake_all(port);
        close_files(packet);
    } else if (packet->kind == SL__TELL || ours) {
        deliver(port, packet);
    } else if (port->packet) {
        port->packet(port->packet_data, packet);
    } else if (packet->kind == SL__CALL) {
        add_call(port, packet);
    } else if (packet->kind == SL__CANCEL && drop_waiting(port, packet->call)) {
        close_files(packet);
    } else {
        struct work *work = find_work(port, packet->call);
        if (work && packet->kind == SL__CREDIT) {
            int64_t credit = work->credit + (int64_t)packet->word * 1024;
            work->credit = credit < SL__TALK_WINDOW ? credit : SL__TALK_WINDOW;
        } else if (work && packet->kind == SL__CANCEL && !work->cancelled) {
            work->cancelled = true;
            work->unhurried = packet->word == 1;
            work->cancelled_ns = sl_monotonic_ns();
        }
        if (work)
            wake(work->waiter);
        close_files(packet);
    }
}

/* Takes all that is there. The lock is held. */
static void take(struct port *port)
{
    sl__packet packet;
    int code;
    while ((code = sl__wire_next(port->wire, &packet)) > 0)
        dispatch(port, &packet);
    if (code < 0 && !port->gone) {
        port->gone = port->stopping = true;
        wake_all(port);
    }
}

/* ---- Waiting ----------------------------------------------------------------------------------------- */

static struct timespec timespec_of(uint64_t ns)
{
    return (struct timespec){.tv_sec = (time_t)(ns / 1000000000), .tv_nsec = (long)(ns % 1000000000)};
}

static int until_ms(uint64_t deadline_ns)
{
    if (!deadline_ns)
        return -1;
    uint64_t now = sl_monotonic_ns();
    if (now >= deadline_ns)
        return 0;
    uint64_t ms = (deadline_ns - now + 999999) / 1000000;
    return ms > 3600000 ? 3600000 : (int)ms;
}

/* Has the role. The lock is held, but let go of for the wait itself. */
static void read_wire(struct port *port, const struct waiter *me, uint64_t deadline_ns)
{
    port->reading = true;
    port->reader = me;
    wake_idle(port, me);
    ring(port);
    if (sl__wire_sleep(port->wire)) {
        int fd = sl__wire_descriptor(port->wire), ms = until_ms(deadline_ns);
        pthread_mutex_unlock(&port->lock);
        struct pollfd polled[] = {{.fd = fd, .events = POLLIN}, {.fd = port->nudge, .events = POLLIN}};
        poll(polled, 2, ms);
        pthread_mutex_lock(&port->lock);
        uint64_t nudges;
        if (polled[1].revents && read(port->nudge, &nudges, sizeof(nudges)) < 0)
            abort(); /* only the reader takes them out */
    }
    sl__wire_awake(port->wire);
    take(port);
    port->reading = false;
    port->reader = NULL;
    wake_idle(port, me);
}

/* One round of waiting: as the reader, or for the reader. Spurious returns are allowed. The lock is held. */
static void wait_round(struct port *port, struct waiter *me, uint64_t deadline_ns)
{
    if (!port->reading) {
        read_wire(port, me, deadline_ns);
        return;
    }
    if (port->unrung_ns)
        ring(port);
    me->next = port->waiters;
    port->waiters = me;
    me->waits = true;
    if (deadline_ns) {
        struct timespec at = timespec_of(deadline_ns);
        pthread_cond_timedwait(&me->woken, &port->lock, &at);
    } else {
        pthread_cond_wait(&me->woken, &port->lock);
    }
    me->waits = false;
    struct waiter **link = &port->waiters;
    while (*link != me)
        link = &(*link)->next;
    *link = me->next;
}

/* Who goes away from waiting passes the role on. */
static void leave(struct port *port)
{
    if (!port->reading && port->waiters)
        wake(port->waiters);
}

/* ---- Calls ------------------------------------------------------------------------------------------- */

static struct work *shift(struct port *port)
{
    struct work *work = port->first;
    if (!work)
        return NULL;
    port->first = work->next;
    if (!port->first)
        port->last = &port->first;
    work->next = port->running;
    port->running = work;
    work->begun_ns = sl_monotonic_ns();
    work->thread = pthread_self();
    if (port->parked) {
        port->parked = false;
        pthread_cond_signal(&port->unpark);
    }
    return work;
}

struct work *port_next(struct port *port, struct waiter *me)
{
    if (forked)
        return NULL;
    pthread_mutex_lock(&port->lock);
    if (!port->reading && !port->first)
        take(port);
    struct work *work = shift(port);
    if (!work && !port->stopping) {
        pthread_mutex_unlock(&port->lock);
        GIL_RELEASE();
        pthread_mutex_lock(&port->lock);
        me->idle = true;
        while (!(work = shift(port)) && !port->stopping)
            wait_round(port, me, 0);
        me->idle = false;
        leave(port);
        pthread_mutex_unlock(&port->lock);
        GIL_TAKE();
        return work;
    }
    leave(port);
    pthread_mutex_unlock(&port->lock);
    return work;
}

void port_done(struct port *port, struct work *work)
{
    if (forked)
        return;
    pthread_mutex_lock(&port->lock);
    struct work **link = &port->running;
    while (*link != work)
        link = &(*link)->next;
    *link = work->next;
    release(port, work);
    pthread_mutex_unlock(&port->lock);
}

/* 0: there is credit for `size` bytes. The lock is held. */
static int credit_code(const struct port *port, const struct work *work, size_t size)
{
    if (port->gone)
        return SL_ECLOSED;
    if (work->cancelled)
        return SL_ECANCELED;
    return work->credit >= (int64_t)size || work->credit > (int64_t)SL__TALK_WINDOW - 1024 ? 0 : 1;
}

int port_send(struct port *port, struct work *work, struct waiter *me, uint16_t word,
              const struct iovec *pieces, unsigned count, const int *files, unsigned file_count)
{
    if (forked)
        return SL_ECLOSED;
    sl__packet head = {.kind = SL__DATA, .word = word, .call = work->id, .file_count = file_count};
    for (unsigned i = 0; i < file_count; i++)
        head.files[i] = files[i];
    size_t size = 0;
    for (unsigned i = 0; i < count; i++)
        size += pieces[i].iov_len;
    pthread_mutex_lock(&port->lock);
    if (!port->reading)
        take(port);
    int code = credit_code(port, work, size);
    if (code > 0) {
        pthread_mutex_unlock(&port->lock);
        GIL_RELEASE();
        pthread_mutex_lock(&port->lock);
        work->waiter = me;
        while ((code = credit_code(port, work, size)) > 0)
            wait_round(port, me, 0);
        work->waiter = NULL;
        leave(port);
        pthread_mutex_unlock(&port->lock);
        GIL_TAKE();
        pthread_mutex_lock(&port->lock);
    } else {
        leave(port);
    }
    if (code == 0) {
        work->credit -= (int64_t)size;
        sl__wire_put(port->wire, &head, pieces, count);
        if (work->answered)
            ring_soon(port, work);
        else
            ring(port);
    }
    pthread_mutex_unlock(&port->lock);
    return code;
}

bool port_cancelled(struct port *port, struct work *work)
{
    if (forked)
        return true;
    pthread_mutex_lock(&port->lock);
    if (!port->reading) {
        take(port);
        leave(port);
    }
    bool cancelled = work->cancelled || port->gone;
    pthread_mutex_unlock(&port->lock);
    return cancelled;
}

/* ---- Upcalls and events ------------------------------------------------------------------------------ */

uint64_t port_call_number(struct port *port)
{
    pthread_mutex_lock(&port->lock);
    uint64_t number = port->next_call;
    port->next_call += 2;
    pthread_mutex_unlock(&port->lock);
    return number;
}

void port_listen(struct port *port, struct listener *listener)
{
    if (forked)
        return;
    pthread_mutex_lock(&port->lock);
    listener->next = port->listeners;
    port->listeners = listener;
    pthread_mutex_unlock(&port->lock);
}

void port_unlisten(struct port *port, struct listener *listener)
{
    if (forked)
        return;
    pthread_mutex_lock(&port->lock);
    struct listener **link = &port->listeners;
    while (*link && *link != listener)
        link = &(*link)->next;
    if (*link)
        *link = listener->next;
    pthread_mutex_unlock(&port->lock);
}

void port_each_listener(struct port *port, void (*function)(struct listener *listener, const void *data),
                        const void *data)
{
    if (forked)
        return;
    pthread_mutex_lock(&port->lock);
    for (struct listener *at = port->listeners; at; at = at->next) {
        function(at, data);
        port_wake(port, at->waiter);
    }
    pthread_mutex_unlock(&port->lock);
}

void port_lock(struct port *port)
{
    pthread_mutex_lock(&port->lock);
}

void port_unlock(struct port *port)
{
    pthread_mutex_unlock(&port->lock);
}

void port_wake(struct port *port, struct waiter *waiter)
{
    uint64_t one = 1;
    if (waiter && waiter == port->reader && write(port->nudge, &one, sizeof(one)) < 0)
        abort(); /* nobody nudges so often */
    wake(waiter);
}

int port_wait(struct port *port, struct listener *listener, struct waiter *me, const int *flag,
              struct work *work, uint64_t deadline_ns)
{
    if (forked)
        return SL_ECLOSED;
    int code = 0;
    GIL_RELEASE();
    pthread_mutex_lock(&port->lock);
    listener->waiter = me;
    if (work)
        work->waiter = me;
    for (;;) {
        if (*flag)
            code = 1;
        else if (port->gone)
            code = SL_ECLOSED;
        else if (work && work->cancelled)
            code = SL_ECANCELED;
        else if (!deadline_ns || sl_monotonic_ns() < deadline_ns) {
            wait_round(port, me, deadline_ns);
            continue;
        }
        break;
    }
    listener->waiter = NULL;
    if (work)
        work->waiter = NULL;
    leave(port);
    pthread_mutex_unlock(&port->lock);
    GIL_TAKE();
    return code;
}

/* ---- Loops of events --------------------------------------------------------------------------------- */

void port_give_to_loop(struct port *port, port_packet_fn *function, void *data)
{
    pthread_mutex_lock(&port->lock);
    port->loop = port->reading = true;
    port->packet = function;
    port->packet_data = data;
    pthread_mutex_unlock(&port->lock);
}

int port_descriptor(const struct port *port)
{
    return sl__wire_descriptor(port->wire);
}

int port_pump(struct port *port)
{
    pthread_mutex_lock(&port->lock);
    sl__wire_awake(port->wire);
    port->pumps++;
    take(port);
    int code = port->gone ? SL_ECLOSED : 0;
    pthread_mutex_unlock(&port->lock);
    return code;
}

bool port_rest(struct port *port)
{
    pthread_mutex_lock(&port->lock);
    sl__wire_flush(port->wire);
    bool sleeps = sl__wire_sleep(port->wire);
    pthread_mutex_unlock(&port->lock);
    return sleeps;
}

bool port_stopping(const struct port *port)
{
    return __atomic_load_n(&port->stopping, __ATOMIC_RELAXED);
}

/* ---- The watch --------------------------------------------------------------------------------------- */

void port_watch(struct port *port, uint64_t ns, void (*report)(const struct work *work, void *data),
                void *data)
{
    pthread_mutex_lock(&port->lock);
    if (!port->reading && port->running) {
        take(port);
        leave(port);
    }
    uint64_t now = sl_monotonic_ns();
    for (struct work *work = port->running; work; work = work->next)
        if (work->cancelled && !work->unhurried && !work->reported && now - work->cancelled_ns >= ns) {
            work->reported = true;
            report(work, data);
        }
    pthread_mutex_unlock(&port->lock);
}

bool port_watch_loop(struct port *port, uint64_t ns)
{
    pthread_mutex_lock(&port->lock);
    uint64_t now = sl_monotonic_ns();
    if (port->pumps != port->pumps_seen || (port->still_ns != UINT64_MAX && !sl__wire_has(port->wire))) {
        port->pumps_seen = port->pumps;
        port->still_ns = now;
    }
    bool stands = port->still_ns != UINT64_MAX && now - port->still_ns >= ns;
    if (stands)
        port->still_ns = UINT64_MAX;
    pthread_mutex_unlock(&port->lock);
    return stands;
}

void port_watch_rest(struct port *port, uint64_t ns)
{
    struct timespec tick = timespec_of(WATCH_TICK_NS);
    pthread_mutex_lock(&port->lock);
    uint64_t now = sl_monotonic_ns(), end = now + ns, seen = port->unrung_count;
    for (unsigned quiet = 0; now < end; now = sl_monotonic_ns()) {
        if (port->unrung_ns && now - port->unrung_ns >= WATCH_TICK_NS)
            ring(port);
        quiet = seen == port->unrung_count ? quiet + 1 : 0;
        seen = port->unrung_count;
        if (quiet > WATCH_QUIET) {
            struct timespec at = timespec_of(end);
            port->rests = true;
            pthread_cond_timedwait(&port->unpark, &port->lock, &at);
            port->rests = false;
            quiet = 0;
        } else {
            pthread_mutex_unlock(&port->lock);
            nanosleep(&tick, NULL);
            pthread_mutex_lock(&port->lock);
        }
    }
    pthread_mutex_unlock(&port->lock);
}

void port_watch_idle(struct port *port)
{
    pthread_mutex_lock(&port->lock);
    while (!port->running) {
        port->parked = true;
        pthread_cond_wait(&port->unpark, &port->lock);
    }
    port->parked = false;
    pthread_mutex_unlock(&port->lock);
}
