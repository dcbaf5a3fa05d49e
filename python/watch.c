/* watch.c: what hangs, and where.
 *
 * A call that was given up (its client is gone, its time is up) and goes on is in a loop, or in a call of C
 * that does not return. Its thread may hold CPython's lock, so nothing here touches Python: the thread itself
 * is made to write the stacks, by a signal whose handler is faulthandler's, which is C and allocates nothing.
 * It writes into a pipe that is read here. faulthandler then calls the handler that was there before, ours,
 * which says that this was all.
 *
 * A loop of events takes what comes by itself. When it does not for a while, something in it blocks, and
 * everybody waits: that is told, too, also when nothing was given up. */
#include "watch.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "embed.h"

#define TICK_MS 100
#define HUNG_MS 300    /* goes on for so long after it was given up; less than a service's grace */
#define BLOCKED_MS 300 /* a loop does not look what has come; likewise */
#define DUMP_MS 2000   /* a thread that does not write for so long cannot */
#define DUMP_MAX 60000
#define HANGING_MAX 8 /* told at once */
#define SIGNAL_DUMP (SIGRTMAX - 2)

static int dump_pipe[2] = {-1, -1};
static const char end_mark = 0;

static void on_end(int number)
{
    int before = errno;
    ssize_t put = write(dump_pipe[1], &end_mark, 1);
    (void)put;
    errno = before;
}

/* ---- The stacks -------------------------------------------------------------------------------------- */

static void read_dump(sl_buffer *text)
{
    char chunk[4096];
    for (;;) {
        if (poll(&(struct pollfd){.fd = dump_pipe[0], .events = POLLIN}, 1, DUMP_MS) <= 0)
            break;
        ssize_t got = read(dump_pipe[0], chunk, sizeof(chunk));
        if (got <= 0)
            break;
        bool whole = chunk[got - 1] == end_mark;
        size_t size = (size_t)got - whole;
        if (text->size + size <= DUMP_MAX)
            sl_buffer_put(text, chunk, size);
        if (whole)
            return;
    }
    sl_buffer_puts(text, "the thread does not answer: it is inside the system");
}

void watch_dump(struct port *port, pthread_t thread, const char *why)
{
    sl_buffer text = {0};
    sl_buffer_printf(&text, "%s\n", why);
    if (pthread_kill(thread, SIGNAL_DUMP) == 0)
        read_dump(&text);
    while (text.data[text.size - 1] == '\n')
        text.data[--text.size] = 0;
    port_log(port, SL_WARNING, "", text.data);
    sl_buffer_done(&text);
}

/* ---- The thread -------------------------------------------------------------------------------------- */

struct watch {
    struct port *port;
    watch_describe_fn *describe;
    pthread_t loop; /* its thread, if it is a loop that is watched */
    sl_arena *arena;
    unsigned count;
    struct {
        pthread_t thread;
        char *why;
    } hanging[HANGING_MAX];
};

static void note(const struct work *work, void *data)
{
    struct watch *watch = data;
    if (watch->count == HANGING_MAX)
        return;
    double seconds = (double)(sl_monotonic_ns() - work->begun_ns) / 1e9;
    watch->hanging[watch->count].thread = work->thread;
    watch->hanging[watch->count].why =
        sl_arena_printf(watch->arena, "%s was given up, and goes on after %.1f s; the stacks of Python:",
                        watch->describe(work, watch->arena), seconds);
    watch->count++;
}

static void *run(void *data)
{
    struct watch *watch = data;
    for (;;) {
        port_watch_idle(watch->port);
        port_watch_rest(watch->port, TICK_MS * 1000000ull);
        watch->count = 0;
        port_watch(watch->port, HUNG_MS * 1000000ull, note, watch);
        for (unsigned i = 0; i < watch->count; i++)
            watch_dump(watch->port, watch->hanging[i].thread, watch->hanging[i].why);
        sl_arena_reset(watch->arena);
    }
    return NULL;
}

static void *run_loop(void *data)
{
    struct watch *watch = data;
    for (;;) {
        nanosleep(&(struct timespec){.tv_nsec = TICK_MS * 1000000}, NULL);
        if (port_watch_loop(watch->port, BLOCKED_MS * 1000000ull))
            watch_dump(
                watch->port, watch->loop,
                "the loop of events stands still, and what has come waits: something in it blocks; the "
                "stacks of Python:");
    }
    return NULL;
}

/* Our handler first, faulthandler's before it. */
static int arm(void)
{
    if (pipe2(dump_pipe, O_CLOEXEC) < 0)
        return -1;
    struct sigaction action = {.sa_handler = on_end, .sa_flags = SA_RESTART | SA_ONSTACK};
    sigaction(SIGNAL_DUMP, &action, NULL);
    PyObject *done = embed_call("_start", "watch", "ii", SIGNAL_DUMP, dump_pipe[1]);
    if (!done)
        return -1;
    Py_DECREF(done);
    return 0;
}

static void start(struct watch *watch, void *(*main)(void *))
{
    watch->arena = sl_arena_new();
    pthread_t thread;
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    if (arm() == 0 && pthread_create(&thread, NULL, main, watch) == 0) {
        pthread_detach(thread);
    } else {
        PyErr_Clear();
        port_log(watch->port, SL_WARNING, "",
                 "hung requests cannot be watched: their stacks will not be logged");
        sl_arena_free(watch->arena);
        free(watch);
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

void watch_start(struct port *port, watch_describe_fn *describe)
{
    struct watch *watch = sl_calloc(1, sizeof(*watch));
    watch->port = port;
    watch->describe = describe;
    start(watch, run);
}

void watch_start_loop(struct port *port)
{
    struct watch *watch = sl_calloc(1, sizeof(*watch));
    watch->port = port;
    watch->loop = pthread_self();
    start(watch, run_loop);
}
