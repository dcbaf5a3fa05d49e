/* source.c: a few lines of a source file, with one of them marked, as HTML. */

#include "web/state.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define SOURCE_SIZE_MAX (4 << 20)

/* Opens a file that a compiler named: as it stands, or below the application's directory. */
static int open_source(const char *directory, const char *file)
{
    if (file[0] != '/') {
        char *path = sl_printf_heap("%s/%s", directory, file);
        int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
        free(path);
        if (fd >= 0)
            return fd;
    }
    return open(file, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
}

static bool read_source(const char *directory, const char *file, sl_buffer *out)
{
    int fd = open_source(directory, file);
    if (fd < 0)
        return false;
    struct stat status;
    bool good = fstat(fd, &status) == 0 && S_ISREG(status.st_mode) && status.st_size <= SOURCE_SIZE_MAX &&
                sl_buffer_read(out, fd, SOURCE_SIZE_MAX) == 0;
    close(fd);
    return good;
}

bool sl__source_excerpt(const char *directory, const char *file, int line, int around, sl_buffer *out)
{
    SL_CLEANUP(sl_buffer_done) sl_buffer source = {0};
    if (line < 1 || !read_source(directory, file, &source) || source.size == 0)
        return false;
    int first = line > around ? line - around : 1, number = 1;
    const char *at = source.data, *end = source.data + source.size;
    while (number < first && (at = memchr(at, '\n', (size_t)(end - at))) && ++at < end)
        number++;
    if (!at || at >= end || number < first)
        return false;
    size_t before = out->size;
    bool marked = false;
    sl_buffer_printf(out, "<ol class=\"source\" start=\"%d\">", first);
    for (; number <= line + around && at < end; number++) {
        const char *newline = memchr(at, '\n', (size_t)(end - at));
        size_t size = (size_t)((newline ? newline : end) - at);
        sl_buffer_puts(out, number == line ? "<li class=\"here\"><code>" : "<li><code>");
        sl_buffer_put_html(out, at, size);
        sl_buffer_puts(out, "</code></li>");
        marked = marked || number == line;
        at += size + 1;
    }
    sl_buffer_puts(out, "</ol>");
    if (!marked)
        out->size = before;
    return marked;
}
