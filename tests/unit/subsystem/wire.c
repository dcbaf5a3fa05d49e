/* The wire: packets of every size arrive whole and in order, and nobody sleeps through one. */
#include "wire_ends.h"

#include <sched.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>

static void test_packets_of_every_size(void **state)
{
    static const size_t sizes[] = {0, 1, 7, 8, 9, 1000, 16383, 16384, 16385, 65536, 100000, 1048576, 5000000};
    ends e = ends_new();
    sl__packet packet;
    for (unsigned round = 0; round < 20; round++) {
        for (unsigned i = 0; i < sl_array_size(sizes); i++) {
            put_pattern(e.parent, i, sizes[i]);
            put_pattern(e.child, i, sizes[i]);
        }
        for (unsigned i = 0; i < sl_array_size(sizes); i++) {
            expect(e.parent, i, sizes[i], &packet);
            expect(e.child, i, sizes[i], &packet);
        }
        assert_int_equal(sl__wire_next(e.parent, &packet), 0);
        assert_int_equal(sl__wire_next(e.child, &packet), 0);
    }
    sl__wire_stats stats;
    sl__wire_get_stats(e.parent, &stats);
    assert_int_equal(stats.put, 20 * sl_array_size(sizes));
    assert_int_equal(stats.taken, stats.put);
    assert_int_equal(stats.segments, 10); /* five each way are used again and again */
    assert_int_equal(stats.bells, 0);     /* nobody slept */
    ends_free(&e);
}

static void test_pieces_are_put_together(void **state)
{
    ends e = ends_new();
    sl__packet packet, head = {.kind = SL__RESULT, .call = 12};
    char *large = pattern(100000, 3);
    struct iovec pieces[] = {{large, 50}, {large + 50, 0}, {large + 50, 99950}};
    sl__wire_put(e.child, &head, pieces, 2);
    sl__wire_put(e.child, &head, pieces, 3);
    sl__wire_put(e.child, &head, NULL, 0);
    assert_int_equal(sl__wire_next(e.parent, &packet), 1);
    assert_int_equal(packet.size, 50);
    assert_memory_equal(packet.data, large, 50);
    assert_int_equal(((const char *)packet.data)[50], '\0'); /* small ones have a NUL behind them */
    assert_int_equal(sl__wire_next(e.parent, &packet), 1);
    assert_int_equal(packet.size, 100000);
    assert_memory_equal(packet.data, large, 100000);
    assert_int_equal(sl__wire_next(e.parent, &packet), 1);
    assert_int_equal(packet.size, 0);
    free(large);
    ends_free(&e);
}

static void test_more_than_fits_waits_here(void **state)
{
    ends e = ends_with((sl__wire_options){.ring = 65536});
    sl__packet packet;
    for (unsigned i = 0; i < 1000; i++)
        put_pattern(e.parent, i, 3000);
    uint64_t last = put(e.parent, 1000, "last", 4);
    assert_true(sl__wire_backlog(e.parent) > 2 * 1000 * 1000);
    for (unsigned i = 0; i < 1000; i++) {
        assert_false(sl__wire_taken(e.parent, last));
        expect_soon(&e, i, 3000, &packet);
    }
    assert_false(sl__wire_taken(e.parent, last));
    assert_int_equal(sl__wire_next(e.child, &packet), 1);
    assert_true(sl__wire_taken(e.parent, last));
    assert_int_equal(sl__wire_backlog(e.parent), 0);
    sl__wire_stats stats;
    sl__wire_get_stats(e.child, &stats);
    assert_in_range(stats.bells, 10, 100); /* once for half a ring, not for each packet */
    ends_free(&e);
}

static void test_what_was_put_before_the_end_arrives(void **state)
{
    ends e = ends_new();
    sl__packet packet;
    put_pattern(e.child, 1, 100);
    put_pattern(e.child, 2, 100000);
    e.child = sl__wire_free(e.child);
    assert_int_equal(sl__wire_wait(e.parent, -1), 1);
    expect(e.parent, 1, 100, &packet);
    assert_int_equal(sl__wire_wait(e.parent, -1), 1);
    expect(e.parent, 2, 100000, &packet);
    assert_int_equal(sl__wire_wait(e.parent, -1), SL_ECLOSED);
    assert_int_equal(sl__wire_next(e.parent, &packet), SL_ECLOSED);
    for (unsigned i = 0; i < 10000; i++) /* lost, and not kept either */
        put_pattern(e.parent, i, 1000);
    put_pattern(e.parent, 1, 100000);
    assert_true(sl__wire_backlog(e.parent) < 300000);
    assert_false(sl__wire_taken(e.parent, put(e.parent, 1, "", 0)));
    ends_free(&e);
}

static void test_no_wire(void **state)
{
    unsigned before = open_files();
    sl__wire *wire;
    int pair[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair), 0);
    assert_int_equal(sl__wire_join(open("/dev/null", O_RDWR), pair[1], &wire), SL_EPROTO);
    close(pair[0]);
    /* Of the right size, but not sealed; then sealed, but something else. */
    for (int seals = 0; seals < 2; seals++) {
        assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair), 0);
        int memory = memfd_create("test", MFD_ALLOW_SEALING);
        assert_int_equal(ftruncate(memory, SL__WIRE_HEADER + 2 * SL__RING_MIN), 0);
        if (seals)
            fcntl(memory, F_ADD_SEALS, F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL);
        assert_int_equal(sl__wire_join(memory, pair[1], &wire), SL_EPROTO);
        close(pair[0]);
    }
    /* A wire's memory with something else as its socket. */
    int fds[2];
    assert_int_equal(sl__wire_new(NULL, &wire, fds), 0);
    close(fds[1]);
    sl__wire *child;
    assert_int_equal(sl__wire_join(fds[0], open("/dev/null", O_RDWR), &child), SL_EPROTO);
    sl__wire_free(wire);
    assert_int_equal(open_files(), before);
}

static void test_without_descriptors(void **state)
{
    ends e = ends_new();
    sl__packet packet;
    struct rlimit before, few;
    getrlimit(RLIMIT_NOFILE, &before);
    few = before;
    few.rlim_cur = 3;
    setrlimit(RLIMIT_NOFILE, &few);
    put_pattern(e.parent, 5, 150000); /* in frames: there can be no segment */
    setrlimit(RLIMIT_NOFILE, &before);
    put_pattern(e.parent, 6, 150000);
    expect(e.child, 5, 150000, &packet);
    assert_null(packet.segment);
    expect(e.child, 6, 150000, &packet);
    assert_non_null(packet.segment);

    sl__wire *wire;
    int fds[2];
    setrlimit(RLIMIT_NOFILE, &few);
    assert_int_equal(sl__wire_new(NULL, &wire, fds), -EMFILE);
    setrlimit(RLIMIT_NOFILE, &before);
    ends_free(&e);
}

/* ---- Between processes ---- */

static int echo(int fds[2])
{
    sl__wire *wire;
    sl__packet packet;
    if (sl__wire_join(fds[0], fds[1], &wire) < 0)
        return 1;
    int code;
    while ((code = sl__wire_wait(wire, -1)) >= 0)
        while ((code = sl__wire_next(wire, &packet)) > 0) {
            struct iovec piece = {(void *)packet.data, packet.size};
            sl__packet head = {
                .kind = SL__CALL, .call = packet.call, .codec = packet.codec, .word = packet.word};
            sl__wire_put(wire, &head, &piece, 1);
        }
    sl__wire_free(wire);
    return code == SL_ECLOSED ? 0 : 2;
}

static pid_t echo_new(const sl__wire_options *options, sl__wire **ret_wire)
{
    int fds[2];
    assert_int_equal(sl__wire_new(options, ret_wire, fds), 0);
    pid_t pid = fork();
    if (pid == 0) {
        close(sl__wire_descriptor(*ret_wire));
        _exit(echo(fds));
    }
    close(fds[0]);
    close(fds[1]);
    return pid;
}

static void echo_free(sl__wire *wire, pid_t pid)
{
    int status;
    sl__wire_free(wire);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

static void wait_for_next(sl__wire *wire, unsigned call, size_t size)
{
    sl__packet packet;
    assert_int_equal(sl__wire_wait(wire, -1), 1);
    expect(wire, call, size, &packet);
}

static void test_ping_pong_between_processes(void **state)
{
    sl__wire *wire;
    pid_t pid = echo_new(NULL, &wire);
    for (unsigned i = 0; i < 20000; i++) {
        put_pattern(wire, i, i % 100);
        wait_for_next(wire, i, i % 100);
    }
    for (unsigned i = 0; i < 50; i++) {
        put_pattern(wire, i, 1048576);
        wait_for_next(wire, i, 1048576);
    }
    echo_free(wire, pid);
}

/* Both rings full all the time, each side waiting for room as well as for packets. */
static void test_full_rings_between_processes(void **state)
{
    sl__wire *wire;
    pid_t pid = echo_new(&(sl__wire_options){.ring = 65536}, &wire);
    unsigned sent = 0, got = 0;
    while (got < 20000) {
        while (sent < 20000 && sl__wire_backlog(wire) < 200000)
            put_pattern(wire, sent, sent * 7 % 5000), sent++;
        wait_for_next(wire, got, got * 7 % 5000);
        got++;
    }
    echo_free(wire, pid);
}

static void on_signal(int number)
{
}

static void test_waiting_ends(void **state)
{
    ends e = ends_new();
    assert_int_equal(sl__wire_wait(e.parent, 0), 0);
    assert_int_equal(sl__wire_wait(e.parent, 20), 0);
    signal(SIGALRM, SIG_IGN);
    struct sigaction action = {.sa_handler = on_signal};
    sigaction(SIGALRM, &action, NULL);
    pid_t self = getpid(), pid = fork();
    if (pid == 0) {
        while (kill(self, SIGALRM) == 0) /* until it was seen */
            usleep(1000);
        _exit(0);
    }
    assert_int_equal(sl__wire_wait(e.parent, -1), 0);
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    ends_free(&e);
}

static void test_one_processor_never_spins(void **state)
{
    cpu_set_t before, one;
    sched_getaffinity(0, sizeof before, &before);
    CPU_ZERO(&one);
    for (int i = 0; i < CPU_SETSIZE && CPU_COUNT(&one) == 0; i++)
        if (CPU_ISSET(i, &before))
            CPU_SET(i, &one);
    sched_setaffinity(0, sizeof one, &one);
    sl__wire *wire;
    sl__wire_stats stats;
    pid_t pid = echo_new(NULL, &wire);
    for (unsigned i = 0; i < 2000; i++) {
        put_pattern(wire, i, 10);
        wait_for_next(wire, i, 10);
    }
    sl__wire_get_stats(wire, &stats);
    assert_int_equal(stats.spins, 0);
    echo_free(wire, pid);
    sched_setaffinity(0, sizeof before, &before);
}

static void test_spinning_in_vain_becomes_rare(void **state)
{
    ends e = ends_with((sl__wire_options){.spin_ns = 1000});
    sl__wire_stats stats;
    e.parent->close_together = true; /* as after a burst */
    e.parent->spin_ns = 1000;        /* also where there is one processor */
    for (unsigned i = 0; i < 10000; i++)
        assert_int_equal(sl__wire_wait(e.parent, 0), 0);
    sl__wire_get_stats(e.parent, &stats);
    assert_in_range(stats.spins, 10, 30);
    assert_int_equal(stats.spins_paid, 0);
    ends_free(&e);
}

/* ---- On the loop ---- */

typedef struct pumping {
    sl__wire *wire;
    unsigned got, wanted, calls;
    sl_deferred *done;
} pumping;

static void on_packets(void *data)
{
    pumping *p = data;
    sl__packet packet;
    int code;
    p->calls++;
    while ((code = sl__wire_next(p->wire, &packet)) > 0)
        assert_int_equal(packet.call, p->got++);
    assert_int_equal(code, 0);
    if (p->got == p->wanted && p->done) {
        sl_fire(p->done, NULL, NULL);
        p->done = NULL;
    }
}

static void *pumps(void *data)
{
    pumping *p = data;
    p->done = sl_deferred_new(NULL, NULL);
    assert_int_equal(sl__wire_attach(p->wire, sl_loop_current(), on_packets, p), 0);
    for (unsigned i = 0; i < p->wanted; i++)
        put_pattern(p->wire, i, 10);
    sl_await(p->done);
    sl__wire_detach(p->wire);
    return NULL;
}

static void test_streaming_on_the_loop(void **state)
{
    pumping p = {.wanted = 200000};
    pid_t pid = echo_new(NULL, &p.wire);
    assert_int_equal(sl_run("test", pumps, &p, NULL), 0);
    assert_true(p.calls < p.wanted / 2);
    echo_free(p.wire, pid);
}

static void *flushes_once(void *data)
{
    ends e = ends_new();
    sl__wire_stats stats;
    pumping p = {.wire = e.parent};
    assert_int_equal(sl__wire_attach(e.parent, sl_loop_current(), on_packets, &p), 0);
    assert_true(sl__wire_sleep(e.child));
    for (unsigned i = 0; i < 100; i++)
        put_pattern(e.parent, i, 10);
    sl__wire_get_stats(e.parent, &stats);
    assert_int_equal(stats.bells, 0);
    sl_yield();
    sl_await(sl_sleep(1));
    sl__wire_get_stats(e.parent, &stats);
    assert_int_equal(stats.bells, 1);
    sl__packet packet;
    for (unsigned i = 0; i < 100; i++)
        expect(e.child, i, 10, &packet);
    sl__wire_detach(e.parent);
    sl_await(sl_sleep(1)); /* the loop's handle closes */
    ends_free(&e);
    return NULL;
}

static void test_the_loop_rings_once_a_pass(void **state)
{
    assert_int_equal(sl_run("test", flushes_once, NULL, NULL), 0);
}

typedef struct freeing {
    sl__wire *wire;
    sl_deferred *done;
} freeing;

static void frees_it(void *data)
{
    freeing *f = data;
    f->wire = sl__wire_free(f->wire);
    sl_fire(f->done, NULL, NULL);
}

static void *is_freed_in_its_callback(void *data)
{
    for (int early = 0; early < 2; early++) {
        ends e = ends_new();
        freeing f = {e.parent, sl_deferred_new(NULL, NULL)};
        if (early)
            put(e.child, 1, "there already", 13);
        assert_int_equal(sl__wire_attach(f.wire, sl_loop_current(), frees_it, &f), 0);
        sl_await(sl_sleep(1));
        put(e.child, 2, "x", 1);
        sl__wire_flush(e.child);
        sl_await(f.done);
        sl__wire_free(e.child);
    }
    return NULL;
}

static void test_freed_in_its_callback(void **state)
{
    assert_int_equal(sl_run("test", is_freed_in_its_callback, NULL, NULL), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_packets_of_every_size),
        cmocka_unit_test(test_pieces_are_put_together),
        cmocka_unit_test(test_more_than_fits_waits_here),
        cmocka_unit_test(test_what_was_put_before_the_end_arrives),
        cmocka_unit_test(test_no_wire),
        cmocka_unit_test(test_without_descriptors),
        cmocka_unit_test(test_ping_pong_between_processes),
        cmocka_unit_test(test_full_rings_between_processes),
        cmocka_unit_test(test_waiting_ends),
        cmocka_unit_test(test_one_processor_never_spins),
        cmocka_unit_test(test_spinning_in_vain_becomes_rare),
        cmocka_unit_test(test_streaming_on_the_loop),
        cmocka_unit_test(test_the_loop_rings_once_a_pass),
        cmocka_unit_test(test_freed_in_its_callback),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
