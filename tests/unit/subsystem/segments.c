/* What does not go through the ring: large values in segments, values of records, open files; and an other
 * end that does not keep to the rules. */
#include "wire_ends.h"

#include "subsystem/value.h"

#include <sys/uio.h>

/* ---- Segments ---- */

static void test_segments_are_used_again(void **state)
{
    ends e = ends_new();
    sl__packet packet;
    sl__wire_stats stats;
    for (unsigned i = 0; i < 100; i++) {
        put_pattern(e.parent, i, 100000);
        expect(e.child, i, 100000, &packet);
        assert_int_equal(sl__wire_next(e.child, &packet), 0); /* gives it back */
    }
    sl__wire_get_stats(e.parent, &stats);
    assert_int_equal(stats.segments, 1);
    assert_int_equal(stats.segment_bytes, 131072);
    ends_free(&e);
}

static void test_what_is_held_stays(void **state)
{
    ends e = ends_new();
    sl__packet packets[10], packet;
    sl__wire_stats stats;
    for (unsigned i = 0; i < 10; i++) {
        put_pattern(e.parent, i, 100000);
        expect(e.child, i, 100000, &packets[i]);
        sl__segment_hold(packets[i].segment);
        sl__segment_hold(packets[i].segment);
        sl__segment_release(packets[i].segment);
    }
    sl__wire_get_stats(e.parent, &stats);
    assert_int_equal(stats.segments, 10);
    for (unsigned i = 0; i < 9; i++) {
        char *expected = pattern(100000, i);
        assert_memory_equal(packets[i].data, expected, 100000);
        free(expected);
        sl__segment_release(packets[i].segment);
    }
    put_pattern(e.parent, 10, 100000);
    expect(e.child, 10, 100000, &packet);
    sl__wire_get_stats(e.parent, &stats);
    assert_int_equal(stats.segments, 10);

    /* The last one outlives both ends; so does one that was never put. */
    sl__segment *own = sl__segment_get(e.parent, 200000);
    ends_free(&e);
    memset(sl__segment_data(own), 1, 200000);
    sl__segment_release(own);
    char *expected = pattern(100000, 9);
    assert_memory_equal(packets[9].data, expected, 100000);
    free(expected);
    sl__segment_release(packets[9].segment);
}

static void test_segments_filled_in_place(void **state)
{
    ends e = ends_new();
    sl__packet packet;
    assert_null(sl__segment_get(e.parent, (size_t)SL__WIRE_VALUE_MAX + 1));
    sl__segment *unused = sl__segment_get(e.parent, 70000), *segment = sl__segment_get(e.parent, 70000);
    assert_ptr_not_equal(unused, segment);
    sl__segment_release(unused);
    char *data = pattern(70000, 4);
    memcpy(sl__segment_data(segment), data, 70000);
    free(data);
    sl__packet head = {.kind = SL__CALL, .codec = 1, .word = 7, .call = 4, .size = 70000, .segment = segment};
    sl__wire_put(e.parent, &head, NULL, 0);
    expect(e.child, 4, 70000, &packet);
    ends_free(&e);
}

static void test_the_pool_has_a_limit(void **state)
{
    ends e = ends_with((sl__wire_options){.pooled = 1024 * 1024});
    sl__packet packets[16], packet;
    sl__wire_stats stats;
    for (unsigned i = 0; i < 16; i++) {
        put_pattern(e.parent, i, 500000);
        expect(e.child, i, 500000, &packets[i]);
        sl__segment_hold(packets[i].segment);
    }
    sl__wire_flush(e.parent);
    sl__wire_get_stats(e.parent, &stats);
    assert_int_equal(stats.segment_bytes, 16 * 524288); /* all are in use */
    assert_int_equal(sl__wire_next(e.child, &packet), 0);
    for (unsigned i = 0; i < 16; i++)
        sl__segment_release(packets[i].segment);
    sl__wire_flush(e.parent);
    sl__wire_get_stats(e.parent, &stats);
    assert_int_equal(stats.segment_bytes, 1024 * 1024);
    assert_int_equal(sl__wire_next(e.child, &packet), 0);
    sl__wire_get_stats(e.child, &stats);
    assert_int_equal(stats.segment_bytes, 1024 * 1024); /* there too */
    for (unsigned i = 0; i < 16; i++) {                 /* numbers are used again */
        put_pattern(e.parent, i, 500000);
        expect(e.child, i, 500000, &packet);
    }
    ends_free(&e);
}

static void test_more_than_there_are_segments(void **state)
{
    ends e = ends_with((sl__wire_options){.ring = 65536});
    sl__packet packet;
    for (unsigned i = 0; i < SL__SEGMENTS + 20; i++)
        put_pattern(e.parent, i, 20000);
    for (unsigned i = 0; i < SL__SEGMENTS + 20; i++) {
        expect_soon(&e, i, 20000, &packet);
    }
    ends_free(&e);
}

/* ---- Values ---- */

#define LARGE(F) F(name, text, SL_REQUIRED) F(data, bytes) F(file, file) F(any, json)
SL_RECORD(large, LARGE);

static void test_values_of_records(void **state)
{
    ends e = ends_new();
    sl_arena *arena = sl_arena_new();
    sl_buffer scratch = {0};
    for (size_t size = 10; size < 3000000; size *= 300) {
        char *data = pattern(size, 1);
        struct large value = {"some", {data, size}, .file = open("/dev/null", O_RDONLY | O_CLOEXEC)}, *got;
        sl__packet head = {.kind = SL__CALL, .call = 6}, packet;
        sl_error *error = NULL;
        assert_int_equal(
            sl__value_put(e.parent, &head, &sl_codec_flat, large_record(), &value, &scratch, &error), 0);
        assert_int_equal(sl__wire_next(e.child, &packet), 1);
        assert_int_equal(!!packet.segment, size > SL__INLINE_MAX);
        sl__value taken;
        assert_int_equal(sl__value_get(&packet, &sl_codec_flat, large_record(), arena, &taken, &error), 0);
        got = taken.value;
        assert_string_equal(got->name, "some");
        assert_int_equal(got->data.size, size);
        assert_memory_equal(got->data.data, data, size);
        bool in_place = got->data.data > (const char *)packet.data &&
                        got->data.data < (const char *)packet.data + packet.size;
        assert_int_equal(in_place, size > SL__INLINE_MAX); /* large ones are not copied */
        assert_int_equal(fcntl(got->file, F_GETFD), FD_CLOEXEC);
        close(value.file);
        sl__value_done(&taken);
        free(data);
    }
    sl_buffer_done(&scratch);
    sl_arena_free(arena);
    ends_free(&e);
}

static void test_values_that_are_refused(void **state)
{
    ends e = ends_new();
    sl_buffer scratch = {0};
    char *data = pattern(100000, 1);
    struct large wrong = {.data = {data, 100000}, .file = -1};
    sl__packet head = {.kind = SL__CALL}, packet;
    sl_error *error = NULL;
    assert_int_equal(sl__value_put(e.parent, &head, &sl_codec_flat, large_record(), &wrong, &scratch, &error),
                     SL_EINVAL);
    assert_string_equal(error->message, "name is missing");
    error = sl_error_unref(error);
    assert_int_equal(sl__wire_next(e.child, &packet), 0);
    wrong.name = "given now";
    assert_int_equal(sl__value_put(e.parent, &head, &sl_codec_flat, large_record(), &wrong, &scratch, &error),
                     0);
    sl__wire_stats stats;
    sl__wire_get_stats(e.parent, &stats);
    assert_int_equal(stats.segments, 1); /* that of the refused one */
    assert_int_equal(sl__wire_next(e.child, &packet), 1);
    /* JSON does not say its size before. */
    assert_int_equal(sl__value_put(e.parent, &head, &sl_codec_json, large_record(), &wrong, &scratch, &error),
                     0);
    assert_int_equal(sl__wire_next(e.child, &packet), 1);
    assert_true(packet.size > 100000);
    free(data);
    sl_buffer_done(&scratch);
    ends_free(&e);
}

/* ---- Files ---- */

static int numbered_file(unsigned number)
{
    int file = memfd_create("test", MFD_CLOEXEC);
    assert_int_equal(write(file, &number, sizeof number), sizeof number);
    return file;
}

static void put_files(sl__wire *wire, unsigned first, unsigned count, size_t size)
{
    char *data = pattern(size, first);
    sl__packet head = {.kind = SL__CALL, .codec = 1, .word = 7, .call = first, .file_count = count};
    for (unsigned i = 0; i < count; i++)
        head.files[i] = numbered_file(first + i);
    struct iovec piece = {data, size};
    sl__wire_put(wire, &head, &piece, 1);
    for (unsigned i = 0; i < count; i++)
        close(head.files[i]); /* they stay the caller's own */
    free(data);
}

static void expect_files(ends *e, unsigned first, unsigned count, size_t size)
{
    sl__packet packet;
    expect_soon(e, first, size, &packet);
    assert_int_equal(packet.file_count, count);
    for (unsigned i = 0; i < count; i++) {
        unsigned number;
        assert_int_equal(pread(packet.files[i], &number, sizeof number, 0), sizeof number);
        assert_int_equal(number, first + i);
        assert_int_equal(fcntl(packet.files[i], F_GETFD), FD_CLOEXEC);
        close(packet.files[i]);
    }
}

static void test_files_come_with_their_packets(void **state)
{
    ends e = ends_with((sl__wire_options){.ring = 65536});
    for (unsigned round = 0; round < 3; round++) {
        unsigned call = 0;
        for (unsigned i = 0; i < 60; i++, call += 20)
            put_files(e.parent, call, i % (SL__PACKET_FILES + 1), i % 3 ? 5000 : 30000); /* much waits */
        call = 0;
        for (unsigned i = 0; i < 60; i++, call += 20) {
            expect_files(&e, call, i % (SL__PACKET_FILES + 1), i % 3 ? 5000 : 30000);
        }
    }
    ends_free(&e);
}

static void test_files_in_flight_are_closed(void **state)
{
    unsigned before = open_files();
    ends e = ends_with((sl__wire_options){.ring = 65536});
    for (unsigned i = 0; i < 40; i++)
        put_files(e.parent, i * 10, 3, 5000);
    put_files(e.child, 1, 2, 100000);
    assert_true(sl__wire_backlog(e.parent) > 0);
    sl__wire_awake(e.child); /* some come before their packets */
    sl__wire_awake(e.child);
    expect_files(&e, 0, 3, 5000);
    ends_free(&e);
    assert_int_equal(open_files(), before);
}

/* ---- An other end that does not keep to the rules ---- */

typedef struct hostile {
    sl__wire *wire;
    sl__shared *shared;
    int socket;
    uint64_t head;
    unsigned files_before;
} hostile;

static hostile hostile_new(void)
{
    hostile h = {.files_before = open_files()};
    int fds[2];
    assert_int_equal(sl__wire_new(&(sl__wire_options){.ring = 65536}, &h.wire, fds), 0);
    h.shared = mmap(NULL, SL__WIRE_HEADER + 2 * 65536, PROT_READ | PROT_WRITE, MAP_SHARED, fds[0], 0);
    assert_ptr_not_equal(h.shared, MAP_FAILED);
    close(fds[0]);
    h.socket = fds[1];
    return h;
}

static void hostile_put(hostile *h, const sl__frame *frame, size_t payload)
{
    char *ring = (char *)h->shared + SL__WIRE_HEADER + 65536;
    memcpy(ring + h->head, frame, sizeof *frame);
    h->head += sizeof *frame + payload;
    atomic_store(&h->shared->directions[1].head, h->head);
}

static void hostile_send(hostile *h, char byte, const int *files, unsigned count)
{
    struct iovec data = {&byte, 1};
    char space[CMSG_SPACE(sizeof(int) * 32)];
    struct msghdr message = {.msg_iov = &data, .msg_iovlen = 1};
    if (count) {
        message.msg_control = space;
        message.msg_controllen = CMSG_SPACE(sizeof(int) * count);
        memset(space, 0, sizeof space);
        struct cmsghdr *header = CMSG_FIRSTHDR(&message);
        *header = (struct cmsghdr){CMSG_LEN(sizeof(int) * count), SOL_SOCKET, SCM_RIGHTS};
        memcpy(CMSG_DATA(header), files, sizeof(int) * count);
    }
    assert_int_equal(sendmsg(h->socket, &message, 0), 1);
}

static void hostile_free(hostile *h)
{
    munmap(h->shared, SL__WIRE_HEADER + 2 * 65536);
    close(h->socket);
    sl__wire_free(h->wire);
    assert_int_equal(open_files(), h->files_before);
}

static void breaks(hostile *h)
{
    sl__packet packet;
    assert_int_equal(sl__wire_next(h->wire, &packet), SL_EPROTO);
    assert_int_equal(sl__wire_next(h->wire, &packet), SL_EPROTO); /* for good */
    assert_int_equal(sl__wire_wait(h->wire, -1) == 1,
                     atomic_load(&h->shared->directions[1].head) != h->wire->tail);
    put_pattern(h->wire, 1, 100000); /* harmless */
    hostile_free(h);
}

static void test_impossible_frames(void **state)
{
    static const struct {
        sl__frame frame;
        size_t payload;
    } cases[] = {
        {{.kind = 0}, 0},
        {{.kind = SL__LAST_KIND + 1}, 0},
        {{.kind = 0xFF}, 0},
        {{.kind = SL__CALL, .size = 8}, 0}, /* goes beyond what was put in */
        {{.kind = SL__CALL, .size = SL__INLINE_MAX + 1}, SL__INLINE_MAX + 8},
        {{.kind = SL__CALL, .size = UINT32_MAX}, 0},
        {{.kind = SL__CALL, .zero = 1}, 0},
        {{.kind = SL__CALL, .flags = 8}, 0},
        {{.kind = SL__CALL, .flags = SL__NEW_SEGMENT}, 0},
        {{.kind = SL__CALL, .flags = SL__MORE, .files = 1}, 0},
        {{.kind = SL__CALL, .files = 1}, 0}, /* which did not come */
        {{.kind = SL__CALL, .files = SL__PACKET_FILES + 1}, 0},
        {{.kind = SL__CALL, .flags = SL__IN_SEGMENT, .size = 1}, 0},
        {{.kind = SL__CALL, .flags = SL__IN_SEGMENT, .segment = SL__SEGMENTS}, 0},
        {{.kind = SL__CALL, .flags = SL__IN_SEGMENT, .segment = UINT16_MAX}, 0},
        {{.kind = SL__CALL, .flags = SL__IN_SEGMENT | SL__NEW_SEGMENT, .segment = 1}, 0},
        {{.kind = SL__CALL, .flags = SL__IN_SEGMENT | SL__MORE}, 0},
        {{.kind = SL__FORGET, .segment = 0}, 0},
        {{.kind = SL__FORGET, .segment = SL__SEGMENTS}, 0},
        {{.kind = SL__FORGET, .size = 8}, 8},
        {{.kind = SL__CALL}, 4}, /* not a multiple of 8 */
        {{.kind = SL__CALL}, 65536},
    };
    for (unsigned i = 0; i < sl_array_size(cases); i++) {
        hostile h = hostile_new();
        hostile_put(&h, &cases[i].frame, cases[i].payload);
        breaks(&h);
    }
}

static void test_impossible_positions(void **state)
{
    static const uint64_t heads[] = {8, 16, 65536 + 8, 1ull << 40, UINT64_MAX, (uint64_t)-8};
    for (unsigned i = 0; i < sl_array_size(heads); i++) {
        hostile h = hostile_new();
        atomic_store(&h.shared->directions[1].head, heads[i]);
        breaks(&h);
    }
    static const uint64_t tails[] = {1 << 20, 1ull << 40, UINT64_MAX};
    for (unsigned i = 0; i < sl_array_size(tails); i++) {
        hostile h = hostile_new();
        sl__packet packet;
        for (unsigned k = 0; k < 3; k++)
            put_pattern(h.wire, k, 16000);
        atomic_store(&h.shared->directions[0].tail, tails[i]);
        for (unsigned k = 0; k < 3; k++)
            put_pattern(h.wire, k, 16000);
        assert_int_equal(sl__wire_next(h.wire, &packet), SL_EPROTO);
        hostile_free(&h);
    }
}

static const sl__frame in_new_segment = {
    .kind = SL__CALL, .flags = SL__IN_SEGMENT | SL__NEW_SEGMENT, .size = 65536};

static void test_segments_that_are_none(void **state)
{
    enum { SEALS = F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL };
    static const struct {
        off_t size;
        int seals;
    } cases[] = {
        {65536, 0},                         /* could shrink under us */
        {65536, F_SEAL_GROW | F_SEAL_SEAL}, /* this one too */
        {65536, F_SEAL_SHRINK | F_SEAL_SEAL},
        {65535, SEALS}, /* smaller than what lies in it */
        {0, SEALS},
        {(off_t)SL__SEGMENT_BYTES_MAX + 4096, SEALS},
    };
    for (unsigned i = 0; i < sl_array_size(cases); i++) {
        hostile h = hostile_new();
        int memory = memfd_create("test", MFD_ALLOW_SEALING);
        assert_int_equal(ftruncate(memory, cases[i].size), 0);
        if (cases[i].seals)
            assert_int_equal(fcntl(memory, F_ADD_SEALS, cases[i].seals), 0);
        hostile_send(&h, 'f', &memory, 1);
        close(memory);
        hostile_put(&h, &in_new_segment, 0);
        breaks(&h);
    }
    hostile h = hostile_new();
    int null = open("/dev/zero", O_RDWR);
    hostile_send(&h, 'f', &null, 1);
    close(null);
    hostile_put(&h, &in_new_segment, 0);
    breaks(&h);
}

static int sealed(size_t size)
{
    int memory = memfd_create("test", MFD_ALLOW_SEALING);
    assert_int_equal(ftruncate(memory, (off_t)size), 0);
    assert_int_equal(fcntl(memory, F_ADD_SEALS, F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL), 0);
    return memory;
}

static void test_segments_are_not_sent_twice(void **state)
{
    for (unsigned how = 0; how < 3; how++) {
        hostile h = hostile_new();
        sl__packet packet;
        int memory = sealed(65536);
        hostile_send(&h, 'f', &memory, 1);
        hostile_put(&h, &in_new_segment, 0);
        assert_int_equal(sl__wire_next(h.wire, &packet), 1);
        assert_int_equal(packet.size, 65536);
        sl__segment *segment = packet.segment;
        sl__segment_hold(segment);
        sl__frame again = in_new_segment;
        if (how == 0) { /* while it is held */
            again.flags = SL__IN_SEGMENT;
        } else if (how == 1) { /* under a number that is taken */
            hostile_send(&h, 'f', &memory, 1);
        } else {
            again = (sl__frame){.kind = SL__FORGET};
        }
        close(memory);
        hostile_put(&h, &again, 0);
        assert_int_equal(sl__wire_next(h.wire, &packet), SL_EPROTO);
        assert_int_equal(((const char *)sl__segment_data(segment))[65535], 0);
        hostile_free(&h);
        sl__segment_release(segment);
    }
}

static void test_more_files_than_packets(void **state)
{
    hostile h = hostile_new();
    sl__packet packet;
    int files[32];
    for (unsigned i = 0; i < sl_array_size(files); i++)
        files[i] = STDERR_FILENO;
    for (unsigned i = 0; i < 3; i++) {
        hostile_send(&h, 'f', files, 8);
        sl__wire_awake(h.wire);
    }
    assert_int_equal(sl__wire_next(h.wire, &packet), SL_EPROTO);
    hostile_free(&h);

    h = hostile_new();
    hostile_send(&h, 'f', files, 32); /* more than a packet may have */
    sl__wire_awake(h.wire);
    assert_int_equal(sl__wire_next(h.wire, &packet), SL_EPROTO);
    hostile_free(&h);

    static const struct {
        char byte;
        unsigned files;
    } messages[] = {{'f', 0}, {'b', 1}, {'x', 0}, {'x', 2}};
    for (unsigned i = 0; i < sl_array_size(messages); i++) {
        h = hostile_new();
        hostile_send(&h, messages[i].byte, files, messages[i].files);
        sl__wire_awake(h.wire);
        assert_int_equal(sl__wire_next(h.wire, &packet), SL_EPROTO);
        hostile_free(&h);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_segments_are_used_again),
        cmocka_unit_test(test_what_is_held_stays),
        cmocka_unit_test(test_segments_filled_in_place),
        cmocka_unit_test(test_the_pool_has_a_limit),
        cmocka_unit_test(test_more_than_there_are_segments),
        cmocka_unit_test(test_values_of_records),
        cmocka_unit_test(test_values_that_are_refused),
        cmocka_unit_test(test_files_come_with_their_packets),
        cmocka_unit_test(test_files_in_flight_are_closed),
        cmocka_unit_test(test_impossible_frames),
        cmocka_unit_test(test_impossible_positions),
        cmocka_unit_test(test_segments_that_are_none),
        cmocka_unit_test(test_segments_are_not_sent_twice),
        cmocka_unit_test(test_more_files_than_packets),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
