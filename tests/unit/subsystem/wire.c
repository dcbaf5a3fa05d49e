/* The wire: packets of every size arrive whole and in order, with their files; nobody sleeps through one. */
#include "check.h"
#include "subsystem/wire.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

static unsigned open_files(void)
{
    unsigned count = 0;
    DIR *directory = opendir("/proc/self/fd");
    while (readdir(directory))
        count++;
    closedir(directory);
    return count;
}

typedef struct ends {
    sl__wire *parent, *child;
    unsigned files_before;
} ends;

static ends ends_with(sl__wire_options options)
{
    ends made = {.files_before = open_files()};
    int fds[2];
    assert_int_equal(sl__wire_new(&options, &made.parent, fds), 0);
    assert_int_equal(sl__wire_join(fds[0], fds[1], &made.child), 0);
    return made;
}

static ends ends_new(void)
{
    return ends_with((sl__wire_options){0});
}

static void ends_free(ends *e)
{
    sl__wire_free(e->parent);
    sl__wire_free(e->child);
    assert_int_equal(open_files(), e->files_before);
}

static uint64_t put(sl__wire *wire, uint64_t call, const void *data, size_t size)
{
    sl__packet head = {.kind = SL__CALL, .codec = 1, .word = 7, .call = call};
    struct iovec piece = {(void *)data, size};
    return sl__wire_put(wire, &head, &piece, 1);
}

static char *pattern(size_t size, unsigned seed)
{
    char *data = malloc(size + 1);
    for (size_t i = 0; i < size; i++)
        data[i] = (char)((i + seed) * 131 >> 3);
    return data;
}

static void expect(sl__wire *wire, uint64_t call, size_t size)
{
    sl__packet packet;
    assert_int_equal(sl__wire_next(wire, &packet), 1);
    assert_int_equal(packet.kind, SL__CALL);
    assert_int_equal(packet.codec, 1);
    assert_int_equal(packet.word, 7);
    assert_int_equal(packet.call, call);
    assert_int_equal(packet.size, size);
    char *expected = pattern(size, (unsigned)call);
    assert_memory_equal(packet.data, expected, size);
    free(expected);
}

static void test_packets_of_every_size(void **state)
{
    static const size_t sizes[] = {0, 1, 7, 8, 9, 1000, 16383, 16384, 16385, 65536, 100000, 1048576, 5000000};
    ends e = ends_new();
    sl__packet packet;
    for (unsigned round = 0; round < 50; round++) {
        for (unsigned i = 0; i < sl_array_size(sizes); i++) {
            char *data = pattern(sizes[i], i);
            put(e.parent, i, data, sizes[i]);
            put(e.child, i, data, sizes[i]);
            free(data);
        }
        for (unsigned i = 0; i < sl_array_size(sizes); i++) {
            expect(e.parent, i, sizes[i]);
            expect(e.child, i, sizes[i]);
        }
        assert_int_equal(sl__wire_next(e.parent, &packet), 0);
        assert_int_equal(sl__wire_next(e.child, &packet), 0);
    }
    sl__wire_stats stats;
    sl__wire_get_stats(e.parent, &stats);
    assert_int_equal(stats.put, 50 * sl_array_size(sizes));
    assert_int_equal(stats.taken, stats.put);
    assert_true(stats.segments <= 10); /* five each way are used again and again */
    ends_free(&e);
}

static void test_more_than_fits(void **state)
{
    ends e = ends_with((sl__wire_options){.ring = 65536});
    uint64_t last = 0;
    char *data = pattern(3000, 0);
    for (unsigned i = 0; i < 1000; i++) {
        char *own = pattern(3000, i);
        last = put(e.parent, i, own, 3000);
        free(own);
    }
    free(data);
    assert_true(sl__wire_backlog(e.parent) > 2 * 1000 * 1000);
    for (unsigned i = 0; i < 1000; i++) {
        if (!sl__wire_wait(e.child, 0))
            sl__wire_awake(e.parent); /* it was rung for */
        assert_int_equal(sl__wire_taken(e.parent, last), false);
        expect(e.child, i, 3000);
    }
    assert_int_equal(sl__wire_taken(e.parent, last), true);
    assert_int_equal(sl__wire_backlog(e.parent), 0);
    ends_free(&e);
}

static int child_echoes(int fds[2])
{
    sl__wire *wire;
    sl__packet packet;
    if (sl__wire_join(fds[0], fds[1], &wire) < 0)
        return 1;
    int code;
    while ((code = sl__wire_wait(wire, -1)) >= 0)
        while ((code = sl__wire_next(wire, &packet)) > 0) {
            struct iovec piece = {(void *)packet.data, packet.size};
            sl__packet head = {.kind = SL__RESULT, .call = packet.call};
            memcpy(head.files, packet.files, sizeof head.files);
            head.file_count = packet.file_count;
            sl__wire_put(wire, &head, &piece, 1);
            for (unsigned i = 0; i < packet.file_count; i++)
                close(packet.files[i]);
        }
    sl__wire_free(wire);
    return code == SL_ECLOSED ? 0 : 2;
}

static pid_t echo_new(sl__wire **ret_wire)
{
    int fds[2];
    assert_int_equal(sl__wire_new(NULL, ret_wire, fds), 0);
    pid_t pid = fork();
    if (pid == 0) {
        close(sl__wire_descriptor(*ret_wire));
        _exit(child_echoes(fds));
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

static void test_ping_pong_between_processes(void **state)
{
    sl__wire *wire;
    sl__packet packet;
    pid_t pid = echo_new(&wire);
    for (uint64_t i = 0; i < 20000; i++) {
        put(wire, i, &i, sizeof i);
        int code = 0;
        while ((code = sl__wire_wait(wire, -1)) == 1 && (code = sl__wire_next(wire, &packet)) == 0)
            continue;
        assert_int_equal(code, 1);
        assert_int_equal(packet.call, i);
        assert_memory_equal(packet.data, &i, sizeof i);
    }
    echo_free(wire, pid);
}

typedef struct pumping {
    sl__wire *wire;
    uint64_t got, wanted;
    sl_deferred *done;
} pumping;

static void on_packets(void *data)
{
    pumping *p = data;
    sl__packet packet;
    int code;
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
    for (uint64_t i = 0; i < p->wanted; i++)
        put(p->wire, i, "0123456789", 10);
    sl_await(p->done);
    sl__wire_detach(p->wire);
    return NULL;
}

static void test_streaming_on_the_loop(void **state)
{
    pumping p = {.wanted = 200000};
    pid_t pid = echo_new(&p.wire);
    assert_int_equal(sl_run("test", pumps, &p, NULL), 0);
    echo_free(p.wire, pid);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_packets_of_every_size),
        cmocka_unit_test(test_more_than_fits),
        cmocka_unit_test(test_ping_pong_between_processes),
        cmocka_unit_test(test_streaming_on_the_loop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
