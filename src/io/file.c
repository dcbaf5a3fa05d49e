/* file.c: whole files, paths, and open files.
 *
 * Every call here is one job for a thread (see thread.c): the job carries copies of its arguments, does plain
 * blocking system calls, and makes the value or the error. An open file is counted: its descriptor is closed
 * when whoever opened it has let go and no read or write is under way, so that a descriptor's number can
 * never be reused beneath one. */
#include "io/work.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <unistd.h>

#define DEFAULT_MAX_READ ((size_t)64 << 20)
#define MAX_READ_AT ((size_t)64 << 20) /* of what has no size: a device */

struct sl_file {
    unsigned references; /* counted on the loop's thread only */
    int descriptor;
    char path[];
};

typedef struct job {
    sl__work work;
    char *path, *other;
    sl_file *file;
    void *data;
    size_t size;
    uint64_t offset;
    int flags;
    mode_t mode;
} job;

static void file_unref(void *memory)
{
    sl_file *file = memory;
    if (file && --file->references == 0) {
        close(file->descriptor);
        free(file);
    }
}

static void job_done(sl__work *work)
{
    job *j = (job *)work;
    free(j->path);
    free(j->other);
    free(j->data);
    file_unref(j->file);
}

static job *job_new(sl_result (*run)(sl__work *work), const char *path)
{
    job *j = sl_calloc(1, sizeof *j);
    j->work.run = run;
    j->work.done = job_done;
    j->path = path ? sl_strdup_heap(path) : NULL;
    return j;
}

static void *copy_of(const void *data, size_t size)
{
    void *copy = sl_malloc(size + 1);
    if (size)
        memcpy(copy, data, size);
    return copy;
}

/* errno as a failure. */
static sl_result failed_to(const char *verb, const char *path)
{
    return sl_failed(sl__io_error(SL_HERE, -errno, verb, path));
}

static void closep(int *descriptor)
{
    if (*descriptor >= 0)
        close(*descriptor);
}

/* ---- Whole files ------------------------------------------------------------------------------------- */

static sl_result too_large(const char *path, size_t max)
{
    return sl_failed(sl_error_new(SL_E2BIG, "cannot read %s: it is larger than %zu bytes", path, max));
}

/* Reads to the end, with one byte more than `max` as the proof that there is too much. */
static sl_result read_to_end(int descriptor, const char *path, size_t expected, size_t max)
{
    size_t capacity = expected < max ? expected + 1 : max + 1;
    sl_bytes *bytes = sl__bytes_new(capacity);
    for (;;) {
        if (bytes->size == capacity) {
            capacity = capacity < max / 2 ? capacity * 2 : max + 1;
            bytes = sl_realloc(bytes, sizeof *bytes + capacity + 1);
        }
        ssize_t count = read(descriptor, bytes->data + bytes->size, capacity - bytes->size);
        if (count < 0 && errno == EINTR)
            continue;
        if (count < 0) {
            sl_result failure = failed_to("read", path);
            free(bytes);
            return failure;
        }
        bytes->size += (size_t)count;
        if (bytes->size > max) {
            free(bytes);
            return too_large(path, max);
        }
        if (count == 0) {
            bytes->data[bytes->size] = '\0';
            return sl_owned(bytes, free);
        }
    }
}

static sl_result run_read(sl__work *work)
{
    job *j = (job *)work;
    size_t max = j->size ? j->size : DEFAULT_MAX_READ;
    struct stat info;

    /* Without O_NONBLOCK opening a pipe would wait for a writer, and keep the thread. */
    SL_CLEANUP(closep) int descriptor = open(j->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (descriptor < 0 || fstat(descriptor, &info) < 0)
        return failed_to("read", j->path);
    if (S_ISFIFO(info.st_mode) || S_ISSOCK(info.st_mode))
        return sl_failed(
            sl_error_new(SL_EINVAL, "cannot read %s: it is a pipe or a socket, not a file", j->path));
    if (S_ISREG(info.st_mode) && (uint64_t)info.st_size > max)
        return too_large(j->path, max);
    size_t expected = S_ISREG(info.st_mode) ? (size_t)info.st_size : 4095;
    return read_to_end(descriptor, j->path, expected, max);
}

sl_deferred *sl_file_read(const char *path, size_t max)
{
    job *j = job_new(run_read, path);
    j->size = max < SIZE_MAX / 4 ? max : SIZE_MAX / 4;
    return sl__work_start(SL_HERE, &j->work);
}

static int write_all(int descriptor, const char *data, size_t size)
{
    while (size > 0) {
        ssize_t count = write(descriptor, data, size);
        if (count < 0 && errno == EINTR)
            continue;
        if (count < 0)
            return -errno;
        data += count;
        size -= (size_t)count;
    }
    return 0;
}

static size_t directory_size(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? (size_t)(slash - path) + 1 : 0;
}

/* The new file is only safe when its directory, which holds its name, is on the disk too. */
static int sync_directory_of(const char *path)
{
    size_t size = directory_size(path);
    char name[PATH_MAX];
    if (size >= sizeof name)
        return -ENAMETOOLONG;
    snprintf(name, sizeof name, "%.*s", size ? (int)size : 1, size ? path : ".");
    SL_CLEANUP(closep) int descriptor = open(name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (descriptor < 0)
        return -errno;
    return fsync(descriptor) < 0 && errno != EINVAL ? -errno : 0;
}

/* Fills the file beside the target. `old` is NULL where there is no file yet. */
static int fill(int descriptor, const job *j, const struct stat *old)
{
    int code = write_all(descriptor, j->data, j->size);
    if (code < 0)
        return code;
    if (old) {
        /* Only root may give a file away; for others it stays theirs, as with any editor. */
        if ((old->st_uid != geteuid() || old->st_gid != getegid()) &&
            fchown(descriptor, old->st_uid, old->st_gid) < 0 && errno != EPERM)
            return -errno;
        if (fchmod(descriptor, old->st_mode & 07777) < 0)
            return -errno;
    }
    return fsync(descriptor) < 0 ? -errno : 0;
}

static int replace(const char *target, const job *j, const struct stat *old)
{
    uint64_t random;
    if (getrandom(&random, sizeof random, 0) != sizeof random)
        return -EIO;
    char *beside = sl_printf_heap("%.*s.silver-%016llx", (int)directory_size(target), target,
                                  (unsigned long long)random);
    int descriptor = open(beside, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (descriptor < 0) {
        int code = -errno;
        free(beside);
        return code;
    }
    int code = fill(descriptor, j, old);
    if (close(descriptor) < 0 && code == 0)
        code = -errno;
    if (code == 0 && rename(beside, target) < 0)
        code = -errno;
    if (code < 0)
        unlink(beside);
    else
        code = sync_directory_of(target);
    free(beside);
    return code;
}

static sl_result run_write(sl__work *work)
{
    job *j = (job *)work;
    struct stat info;
    bool exists = lstat(j->path, &info) == 0;
    if (exists && S_ISLNK(info.st_mode)) {
        j->other = realpath(j->path, NULL);
        if (!j->other || stat(j->other, &info) < 0)
            return failed_to("write", j->path);
    }
    if (exists && !S_ISREG(info.st_mode))
        return sl_failed(sl_error_new(SL_EINVAL, "cannot write %s: it is not a regular file", j->path));
    int code = replace(j->other ? j->other : j->path, j, exists ? &info : NULL);
    return code < 0 ? sl_failed(sl__io_error(SL_HERE, code, "write", j->path)) : sl_ok(NULL);
}

sl_deferred *sl_file_write(const char *path, const void *data, size_t size)
{
    job *j = job_new(run_write, path);
    j->data = copy_of(data, size);
    j->size = size;
    return sl__work_start(SL_HERE, &j->work);
}

/* ---- Paths ------------------------------------------------------------------------------------------- */

static sl_result run_stat(sl__work *work)
{
    job *j = (job *)work;
    struct stat info;
    if (stat(j->path, &info) < 0)
        return failed_to("look at", j->path);
    return sl_owned(memcpy(sl_malloc(sizeof info), &info, sizeof info), free);
}

sl_deferred *sl_file_stat(const char *path)
{
    return sl__work_start(SL_HERE, &job_new(run_stat, path)->work);
}

static sl_result run_remove(sl__work *work)
{
    job *j = (job *)work;
    return remove(j->path) < 0 ? failed_to("remove", j->path) : sl_ok(NULL);
}

sl_deferred *sl_file_remove(const char *path)
{
    return sl__work_start(SL_HERE, &job_new(run_remove, path)->work);
}

static sl_result run_rename(sl__work *work)
{
    job *j = (job *)work;
    if (rename(j->path, j->other) == 0)
        return sl_ok(NULL);
    int code = -errno;
    sl_error *error =
        sl_error_new(code, "cannot rename %s to %s: %s", j->path, j->other, sl_code_message(code));
    if (code == -EXDEV)
        sl_error_hint(error, "they are on different disks: write a copy there and remove the first");
    return sl_failed(error);
}

sl_deferred *sl_file_rename(const char *from, const char *to)
{
    job *j = job_new(run_rename, from);
    j->other = sl_strdup_heap(to);
    return sl__work_start(SL_HERE, &j->work);
}

/* ---- Open files -------------------------------------------------------------------------------------- */

static sl_result run_open(sl__work *work)
{
    job *j = (job *)work;
    int descriptor = open(j->path, j->flags | O_CLOEXEC | O_NOCTTY, j->mode);
    if (descriptor < 0)
        return failed_to("open", j->path);
    size_t size = strlen(j->path) + 1;
    sl_file *file = sl_malloc(sizeof *file + size);
    *file = (sl_file){.references = 1, .descriptor = descriptor};
    memcpy(file->path, j->path, size);
    return sl_owned(file, file_unref);
}

sl_deferred *sl_file_open(const char *path, int flags, mode_t mode)
{
    job *j = job_new(run_open, path);
    j->flags = flags;
    j->mode = mode;
    return sl__work_start(SL_HERE, &j->work);
}

int sl_file_descriptor(const sl_file *file)
{
    return file->descriptor;
}

static job *job_on(sl_file *file, sl_result (*run)(sl__work *work))
{
    job *j = job_new(run, NULL);
    file->references++;
    j->file = file;
    return j;
}

static sl_result run_read_at(sl__work *work)
{
    job *j = (job *)work;
    struct stat info;
    if (fstat(j->file->descriptor, &info) < 0)
        return failed_to("read", j->file->path);
    size_t most = MAX_READ_AT;
    if (S_ISREG(info.st_mode))
        most = (uint64_t)info.st_size > j->offset ? (size_t)((uint64_t)info.st_size - j->offset) : 0;
    if (j->size < most)
        most = j->size;
    sl_bytes *bytes = sl__bytes_new(most);
    while (bytes->size < most) {
        ssize_t count = pread(j->file->descriptor, bytes->data + bytes->size, most - bytes->size,
                              (off_t)(j->offset + bytes->size));
        if (count < 0 && errno == EINTR)
            continue;
        if (count < 0) {
            sl_result failure = failed_to("read", j->file->path);
            free(bytes);
            return failure;
        }
        if (count == 0)
            break;
        bytes->size += (size_t)count;
    }
    bytes->data[bytes->size] = '\0';
    return sl_owned(bytes, free);
}

sl_deferred *sl_file_read_at(sl_file *file, uint64_t offset, size_t size)
{
    job *j = job_on(file, run_read_at);
    j->offset = offset;
    j->size = size;
    return sl__work_start(SL_HERE, &j->work);
}

static sl_result run_write_at(sl__work *work)
{
    job *j = (job *)work;
    for (size_t written = 0; written < j->size;) {
        ssize_t count = pwrite(j->file->descriptor, (char *)j->data + written, j->size - written,
                               (off_t)(j->offset + written));
        if (count < 0 && errno == EINTR)
            continue;
        if (count < 0)
            return failed_to("write", j->file->path);
        written += (size_t)count;
    }
    return sl_ok(NULL);
}

sl_deferred *sl_file_write_at(sl_file *file, uint64_t offset, const void *data, size_t size)
{
    job *j = job_on(file, run_write_at);
    j->data = copy_of(data, size);
    j->offset = offset;
    j->size = size;
    return sl__work_start(SL_HERE, &j->work);
}

static sl_result run_sync(sl__work *work)
{
    job *j = (job *)work;
    return fsync(j->file->descriptor) < 0 ? failed_to("sync", j->file->path) : sl_ok(NULL);
}

sl_deferred *sl_file_sync(sl_file *file)
{
    return sl__work_start(SL_HERE, &job_on(file, run_sync)->work);
}
