/* subsystem.c: what work in another process costs: a ping-pong over a plain socket, over the wire, and calls
 * of a service. For each line that it reads it does one round of everything, and prints a JSON object: what →
 * µs for one. bench/run puts the rounds side by side with those of Python's pools. */
#include "echo/echo.h"
#include "subsystem/wire.h"

#include <silver/silver.h>

#include <inttypes.h>
#include <jansson.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { SMALL = 64, LARGE = 1024 * 1024, OUTSTANDING = 256 };

static SL_NORETURN void give_up(const char *what, int code)
{
    fprintf(stderr, "bench-subsystem: %s: %s\n", what, sl_code_message(code));
    exit(1);
}

/* ---- The other ends ---- */

static int socket_end;

static void socket_echo(int end)
{
    char data[SMALL];
    for (ssize_t size; (size = read(end, data, sizeof data)) > 0;)
        if (write(end, data, (size_t)size) != size)
            break;
    _exit(0);
}

static void wire_echo(int fds[2])
{
    sl__wire *wire;
    sl__packet packet;
    if (sl__wire_join(fds[0], fds[1], &wire) < 0)
        _exit(1);
    while (sl__wire_wait(wire, -1) >= 0)
        while (sl__wire_next(wire, &packet) > 0) {
            sl__packet head = {.kind = SL__RESULT, .call = packet.call};
            struct iovec piece = {(void *)packet.data, packet.size};
            sl__wire_put(wire, &head, &piece, 1);
        }
    _exit(0);
}

static void start_socket(void)
{
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, ends) < 0)
        give_up("socketpair", SL_EIO);
    if (fork() == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        close(ends[0]);
        socket_echo(ends[1]);
    }
    close(ends[1]);
    socket_end = ends[0];
}

static sl__wire *start_wire(void)
{
    int fds[2];
    sl__wire *wire;
    int code = sl__wire_new(NULL, &wire, fds);
    if (code < 0)
        give_up("a wire", code);
    if (fork() == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        close(sl__wire_descriptor(wire));
        wire_echo(fds);
    }
    close(fds[0]);
    close(fds[1]);
    return wire;
}

/* ---- Measured ---- */

static char large[LARGE];

static void over_socket(size_t n)
{
    char data[SMALL] = {0};
    for (size_t i = 0; i < n; i++)
        if (write(socket_end, data, SMALL) != SMALL || read(socket_end, data, SMALL) != SMALL)
            give_up("the socket", SL_EIO);
}

static sl__wire *blocking;

static void wire_send(sl__wire *wire, const void *data, size_t size)
{
    struct iovec piece = {(void *)data, size};
    sl__wire_put(wire, &(sl__packet){.kind = SL__CALL}, &piece, 1);
}

static void wire_receive(size_t size)
{
    sl__packet packet;
    int code;
    while ((code = sl__wire_next(blocking, &packet)) == 0)
        if ((code = sl__wire_wait(blocking, -1)) < 0)
            break;
    if (code < 0)
        give_up("the wire", code);
    if (packet.size != size)
        give_up("the wire's packet", SL_EPROTO);
}

static void over_wire(size_t n)
{
    char data[SMALL] = {0};
    for (size_t i = 0; i < n; i++) {
        wire_send(blocking, data, SMALL);
        wire_receive(SMALL);
    }
}

static void over_wire_large(size_t n)
{
    for (size_t i = 0; i < n; i++) {
        wire_send(blocking, large, LARGE);
        wire_receive(LARGE);
    }
}

static void wire_streaming(size_t n)
{
    char data[SMALL] = {0};
    for (size_t sent = 0, got = 0; got < n; got++) {
        while (sent < n && sent < got + OUTSTANDING)
            wire_send(blocking, data, SMALL), sent++;
        wire_receive(SMALL);
    }
}

/* On the loop, from a task. */
static sl__wire *attached;
static sl_deferred *arrived;

static void on_packets(void *data)
{
    sl__packet packet;
    int code;
    while ((code = sl__wire_next(attached, &packet)) > 0) {
        sl_deferred *d = arrived;
        arrived = NULL;
        sl_fire(d, NULL, NULL);
    }
    if (code < 0)
        give_up("the wire", code);
}

static void over_wire_on_loop(size_t n)
{
    char data[SMALL] = {0};
    for (size_t i = 0; i < n; i++) {
        arrived = sl_deferred_new(NULL, NULL);
        wire_send(attached, data, SMALL);
        sl_await(arrived);
    }
}

/* ---- Calls of a service ---- */

static sl_manager *manager;
static const char *module;
static const sl_offer options = {.service = echo_service};

static void offer_echo(void)
{
    sl_error *error;
    if (sl_manager_offer(manager, "echo", &options, module, &error) < 0)
        give_up(error->message, error->code);
}

static void calls(size_t n)
{
    for (size_t i = 0; i < n; i++) {
        SL_SCRATCH()
        {
            const struct echo_small *got = sl_await(sl_call(echo, small, (int64_t)i, "a text of some words"));
            if (got->number != (int64_t)i)
                give_up("a call", SL_EPROTO);
        }
    }
}

static void calls_streaming(size_t n)
{
    sl_deferred *pending[OUTSTANDING];
    for (size_t sent = 0, got = 0; got < n;) {
        SL_SCRATCH()
        {
            for (; sent < n && sent < got + OUTSTANDING; sent++)
                pending[sent % OUTSTANDING] = sl_call(echo, small, (int64_t)sent, "a text of some words");
            for (size_t end = got + OUTSTANDING / 2; got < end && got < n; got++) {
                const struct echo_small *result = sl_await(pending[got % OUTSTANDING]);
                if (result->number != (int64_t)got)
                    give_up("a call", SL_EPROTO);
            }
        }
    }
}

static void calls_large(size_t n)
{
    for (size_t i = 0; i < n; i++) {
        SL_SCRATCH()
        {
            const struct echo_large *got = sl_await(sl_call(echo, large, {large, LARGE}));
            if (got->data.size != LARGE || got->data.data[LARGE - 1] != 'x')
                give_up("a large call", SL_EPROTO);
        }
    }
}

/* From the call that finds no child to its result. What ends the last child is not measured. */
static uint64_t starting_ns;

static void cold_starts(size_t n)
{
    starting_ns = 0;
    for (size_t i = 0; i < n; i++) {
        sl_manager_withdraw(manager, "echo");
        sl_await(sl_sleep(20));
        offer_echo();
        uint64_t begun = sl_monotonic_ns();
        calls(1);
        starting_ns += sl_monotonic_ns() - begun;
    }
}

/* What the system alone takes for a process: one that does nothing, from its start to its end. */
static void processes(size_t n)
{
    static char *const nothing[] = {"/bin/true", NULL};
    for (size_t i = 0; i < n; i++) {
        pid_t pid;
        int status;
        if (posix_spawn(&pid, nothing[0], NULL, NULL, nothing, environ) != 0 || waitpid(pid, &status, 0) < 0)
            give_up(nothing[0], SL_EIO);
    }
}

/* ---- Rounds ---- */

static const struct measured {
    const char *name;
    void (*run)(size_t n);
    size_t n;
} all[] = {
    {"socket", over_socket, 5000},
    {"wire", over_wire, 5000},
    {"wire, loop", over_wire_on_loop, 5000},
    {"call", calls, 5000},
    {"wire, streaming", wire_streaming, 200000},
    {"call, streaming", calls_streaming, 200000},
    {"wire, 1 MiB", over_wire_large, 100},
    {"call, 1 MiB", calls_large, 100},
    {"process", processes, 5},
    {"call, cold", cold_starts, 5},
};

/* Of a process that runs, in ns; the clock of the system has not the resolution. */
static uint64_t processor_of(int pid)
{
    char path[64];
    uint64_t ns = 0;
    snprintf(path, sizeof path, "/proc/%d/schedstat", pid);
    FILE *file = fopen(path, "re");
    if (file && fscanf(file, "%" SCNu64, &ns) != 1)
        ns = 0;
    if (file)
        fclose(file);
    return ns;
}

/* Of ours and of all children that run. */
static uint64_t processor_ns(void)
{
    char path[64];
    uint64_t ns = processor_of(getpid());
    snprintf(path, sizeof path, "/proc/self/task/%d/children", getpid());
    FILE *file = fopen(path, "re");
    for (int pid; file && fscanf(file, "%d", &pid) == 1;)
        ns += processor_of(pid);
    if (file)
        fclose(file);
    return ns;
}

static json_t *measure(const struct measured *measured)
{
    measured->run(measured->n / 20 + 1); /* a warm-up: who was last here may have left it cold */
    uint64_t used = processor_ns(), begun = sl_monotonic_ns();
    measured->run(measured->n);
    uint64_t took = measured->run == cold_starts ? starting_ns : sl_monotonic_ns() - begun;
    used = processor_ns() - used;
    double n = 1000 * (double)measured->n;
    return json_pack("[f, f]", (double)took / n, (double)used / n);
}

static const char *wanted = "";

static void *rounds(void *data)
{
    char line[16];
    int code = sl__wire_attach(attached, sl_loop_current(), on_packets, NULL);
    if (code < 0)
        give_up("the loop", code);
    code = sl_manager_new(sl_root_current(), &(sl_manager_options){.programs = data}, &manager);
    if (code < 0)
        give_up("the manager", code);
    offer_echo();
    while (fgets(line, sizeof line, stdin)) {
        json_t *figures = json_object();
        for (unsigned i = 0; i < sl_array_size(all); i++) {
            if (strstr(all[i].name, wanted))
                json_object_set_new(figures, all[i].name, measure(&all[i]));
        }
        json_dumpf(figures, stdout, JSON_COMPACT);
        putchar('\n');
        fflush(stdout);
        json_decref(figures);
    }
    sl_manager_free(manager);
    sl__wire_detach(attached);
    return NULL;
}

/* bench-subsystem PROGRAMS MODULE [NAME]: the directory of silver-worker, the service, and which to measure.
 */
int main(int argc, char *argv[])
{
    if (argc < 3)
        return 2;
    module = argv[2];
    if (argc > 3)
        wanted = argv[3];
    memset(large, 'x', sizeof large);
    start_socket();
    blocking = start_wire();
    attached = start_wire();
    int code = sl_run("bench", rounds, argv[1], NULL);
    sl__wire_free(blocking);
    sl__wire_free(attached);
    return code < 0;
}
