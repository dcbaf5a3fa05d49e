/* wire_ends.h: both ends of a wire in one process, and the eye on what they leave behind. */
#pragma once

#include "check.h"
#include "subsystem/wire_inside.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

static inline unsigned open_files(void)
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

static inline ends ends_with(sl__wire_options options)
{
    ends made = {.files_before = open_files()};
    int fds[2];
    assert_int_equal(sl__wire_new(&options, &made.parent, fds), 0);
    assert_int_equal(sl__wire_join(fds[0], fds[1], &made.child), 0);
    return made;
}

static inline ends ends_new(void)
{
    return ends_with((sl__wire_options){0});
}

static inline void ends_free(ends *e)
{
    sl__wire_free(e->parent);
    sl__wire_free(e->child);
    assert_int_equal(open_files(), e->files_before);
}

static inline uint64_t put(sl__wire *wire, uint64_t call, const void *data, size_t size)
{
    sl__packet head = {.kind = SL__CALL, .codec = 1, .word = 7, .call = call};
    struct iovec piece = {(void *)data, size};
    return sl__wire_put(wire, &head, &piece, 1);
}

static inline char *pattern(size_t size, unsigned seed)
{
    char *data = malloc(size + 1);
    for (size_t i = 0; i < size; i++)
        data[i] = (char)((i + seed) * 131 >> 3);
    return data;
}

static inline void put_pattern(sl__wire *wire, unsigned call, size_t size)
{
    char *data = pattern(size, call);
    put(wire, call, data, size);
    free(data);
}

static inline void is_pattern(const sl__packet *packet, unsigned call, size_t size)
{
    assert_int_equal(packet->kind, SL__CALL);
    assert_int_equal(packet->codec, 1);
    assert_int_equal(packet->word, 7);
    assert_int_equal(packet->call, call);
    assert_int_equal(packet->size, size);
    char *expected = pattern(size, call);
    assert_memory_equal(packet->data, expected, size);
    free(expected);
}

static inline void expect(sl__wire *wire, unsigned call, size_t size, sl__packet *ret_packet)
{
    assert_int_equal(sl__wire_next(wire, ret_packet), 1);
    is_pattern(ret_packet, call, size);
}

/* The same where it may still wait at the other end, which is rung for it. */
static inline void expect_soon(ends *e, unsigned call, size_t size, sl__packet *ret_packet)
{
    int code;
    while ((code = sl__wire_next(e->child, ret_packet)) == 0) {
        assert_in_range(sl__wire_wait(e->child, 0), 0, 1);
        sl__wire_awake(e->parent);
    }
    assert_int_equal(code, 1);
    is_pattern(ret_packet, call, size);
}
