/* file_response.c: a handler's answer that is a file. */
#include "http/content.h"

#include <silver/io.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>

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
