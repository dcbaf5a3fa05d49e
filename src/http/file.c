/* file.c: an open file as it is sent.
 *
 * Small files are read into memory when they are opened, larger ones keep their descriptor and are sent from
 * it by the kernel. Either way what is sent is the file that was opened, whatever happens to its name
 * meanwhile. */
#include "http/content.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

/* Times of files have the grain of the kernel's clock tick, so a change right after we looked may not show.
 */
#define SETTLED_MS 1000

static sl__file_id id_of(const struct stat *info)
{
    return (sl__file_id){
        .device = info->st_dev,
        .inode = info->st_ino,
        .size = (uint64_t)info->st_size,
        .mtime_s = info->st_mtim.tv_sec,
        .mtime_ns = info->st_mtim.tv_nsec,
        .ctime_s = info->st_ctim.tv_sec,
        .ctime_ns = info->st_ctim.tv_nsec,
        .settled =
            sl_wall_ms() - (info->st_ctim.tv_sec * 1000 + info->st_ctim.tv_nsec / 1000000) > SETTLED_MS,
    };
}

bool sl__file_same(const sl__file_id *id, int fd)
{
    struct stat info;
    if (!id->settled || fstat(fd, &info) < 0)
        return false;
    sl__file_id now = id_of(&info);
    return now.device == id->device && now.inode == id->inode && now.size == id->size &&
           now.mtime_s == id->mtime_s && now.mtime_ns == id->mtime_ns && now.ctime_s == id->ctime_s &&
           now.ctime_ns == id->ctime_ns;
}

/* Reads up to `size` bytes from the start: how many, or a negative code. */
static ssize_t read_up_to(int fd, char *data, size_t size, bool cached)
{
    size_t done = 0;
    while (done < size) {
        struct iovec part = {data + done, size - done};
        ssize_t got = preadv2(fd, &part, 1, (off_t)done, cached ? RWF_NOWAIT : 0);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return cached && errno == EOPNOTSUPP ? -EAGAIN : -errno;
        if (got == 0)
            break;
        done += (size_t)got;
    }
    return (ssize_t)done;
}

static int load(sl__file *file, bool cached)
{
    file->data = sl_malloc(file->id.size + 1);
    ssize_t got = read_up_to(file->fd, file->data, file->id.size, cached);
    if (got < 0)
        return (int)got;
    if ((uint64_t)got <
        file->id.size) { /* it was cut while we read: what we have is what there is, but not for long */
        file->id.size = (uint64_t)got;
        file->id.settled = false;
    }
    file->data[got] = 0;
    close(file->fd);
    file->fd = -1;
    return 0;
}

static void name_version(sl__file *file)
{
    uint64_t changed = (uint64_t)file->id.mtime_s * 1000000000 + (uint64_t)file->id.mtime_ns;
    char text[sizeof(file->etag)], *at = text + sizeof(text);
    const uint64_t parts[] = {file->id.inode, file->id.size, changed};
    *--at = 0;
    *--at = '"';
    for (size_t i = 0; i < sl_array_size(parts); i++) {
        uint64_t part = parts[i];
        do
            *--at = "0123456789abcdef"[part & 15];
        while (part >>= 4);
        *--at = i + 1 < sl_array_size(parts) ? '-' : '"';
    }
    memcpy(file->etag, at, (size_t)(text + sizeof(text) - at));
    sl__http_date(file->id.mtime_s, file->last_modified);
}

int sl__file_from(int fd, const char *name, bool cached, sl__file **ret_file)
{
    struct stat info;
    int code = fstat(fd, &info) < 0    ? -errno
               : S_ISDIR(info.st_mode) ? -EISDIR
               : S_ISREG(info.st_mode) ? 0
                                       : -ENOENT;
    if (code < 0) {
        close(fd);
        return code;
    }
    sl__file *file = sl_calloc(1, sizeof(*file));
    *file = (sl__file){.references = 1, .fd = fd, .id = id_of(&info), .type = sl__media_type(name)};
    code = file->id.size <= SL__FILE_IN_MEMORY ? load(file, cached) : 0;
    if (code < 0) {
        sl__file_unref(file);
        return code;
    }
    name_version(file);
    *ret_file = file;
    return 0;
}

sl__file *sl__file_ref(sl__file *file)
{
    file->references++;
    return file;
}

sl__file *sl__file_unref(sl__file *file)
{
    if (!file || --file->references > 0)
        return NULL;
    if (file->fd >= 0)
        close(file->fd);
    free(file->data);
    for (unsigned i = 0; i < SL__CODING_COUNT; i++)
        sl_buffer_done(&file->encoded[i]);
    free(file);
    return NULL;
}

size_t sl__file_bytes(const sl__file *file)
{
    size_t bytes = sizeof(*file) + (file->data ? file->id.size + 1 : 0);
    for (unsigned i = 0; i < SL__CODING_COUNT; i++)
        bytes += file->encoded[i].capacity;
    return bytes;
}

static void release(void *data)
{
    sl__file_unref(data);
}

sl_response *sl__file_respond(sl_request *req, sl__file *file, const char *type)
{
    enum {
        FIELDS = 8,
    };
    struct block {
        sl_response response;
        sl__piece segment;
        sl__field fields[FIELDS];
    } *block = sl_arena_alloc(req->arena, sizeof(*block));
    sl__request_defer(req, release, sl__file_ref(file));
    block->segment = (sl__piece){.data = file->data, .fd = file->fd, .size = file->id.size};
    block->fields[0] = (sl__field){"ETag", file->etag, 4, (uint32_t)strlen(file->etag)};
    block->fields[1] = (sl__field){"Last-Modified", file->last_modified, 13, 29};
    block->fields[2] = (sl__field){"Accept-Ranges", "bytes", 13, 5};
    block->response = (sl_response){
        .request = req,
        .status = 200,
        .fields = {.items = block->fields, .count = 3, .capacity = FIELDS},
        .type = type ? type : file->type,
        .body = SL__BODY_SEGMENTS,
        .segments = &block->segment,
        .segment_count = file->id.size ? 1 : 0,
    };
    return &block->response;
}

bool sl__file_absent(int code)
{
    switch (-code) {
    case ENOENT:
    case ENOTDIR:
    case EISDIR:
    case ELOOP:
    case EXDEV: /* a link that leaves the directory */
    case EACCES:
    case EPERM:
    case ENAMETOOLONG:
    case ENXIO: /* a socket, or a device without a driver */
    case ENODEV:
        return true;
    }
    return false;
}
