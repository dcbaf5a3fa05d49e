/* file_response.c: a handler's answer that is a file. */
#include "http/content.h"

#include <silver/io.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct opening {
    const char *path;
    sl__file *file;
    int code;
};

/* Without O_NONBLOCK the open of a pipe would wait for a writer. */
static sl_result open_in_thread(void *data)
{
    struct opening *opening = data;
    int fd = open(opening->path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    opening->code = fd < 0 ? -errno : sl__file_from(fd, opening->path, /* cached= */ false, &opening->file);
    return sl_ok(NULL);
}

static void opening_done(void *data)
{
    sl__file_unref(((struct opening *)data)->file);
}

sl_response *sl_file_response(sl_request *req, const char *path, const char *type)
{
    struct opening *opening = sl_zalloc(sizeof(*opening));
    opening->path = path;
    sl_defer(opening_done, opening);
    /* The thread works on this task's memory, so the task waits for it even if it was cancelled. */
    SL_SHIELD()
    {
        sl_await(sl_in_thread(open_in_thread, opening, NULL));
    }
    if (opening->code < 0 && sl__file_absent(opening->code))
        sl_fail(SL_HTTP(404), "cannot send the file %s: %s", path, strerror(-opening->code));
    sl_check(opening->code, "cannot send the file %s: %s", path, strerror(-opening->code));
    return sl__file_respond(req, opening->file, type ? sl_arena_strdup(req->arena, type) : NULL);
}

static void close_descriptor(void *data)
{
    close((int)(intptr_t)data);
}

sl_response *sl_open_file_response(sl_request *req, int status, const char *type, int fd, uint64_t offset,
                                   uint64_t size)
{
    sl__request_defer(req, close_descriptor, (void *)(intptr_t)fd);
    struct stat info;
    if (fstat(fd, &info) < 0)
        sl_fail(-errno, "cannot look at the file to send: %s", strerror(errno));
    if (!S_ISREG(info.st_mode))
        sl_fail(SL_EINVAL, "what is to be sent is no regular file");
    uint64_t whole = (uint64_t)info.st_size;
    if (offset > whole || (size != UINT64_MAX && size > whole - offset))
        sl_fail(SL_EINVAL, "the file to send has %llu bytes, which ends before byte %llu + %llu",
                (unsigned long long)whole, (unsigned long long)offset, (unsigned long long)size);
    sl_response *res = sl_respond(req, status);
    sl__piece *piece = sl_arena_alloc(req->arena, sizeof(*piece));
    *piece = (sl__piece){.fd = fd, .offset = offset, .size = size == UINT64_MAX ? whole - offset : size};
    res->type = type ? sl_arena_strdup(req->arena, type) : NULL;
    res->body = SL__BODY_SEGMENTS;
    res->segments = piece;
    res->segment_count = piece->size ? 1 : 0;
    return res;
}
