/* beneath.c: opening files that are inside a directory, and only those.
 *
 * The kernel resolves the path beneath the directory's descriptor (openat2 with RESOLVE_BENEATH): links that
 * leave the directory,
 * "..", and races between looking and opening cannot lead out. Where the kernel has no openat2 the path is
 * walked name by name and no link is followed at all.
 *
 * The one way out is a *mount*: a link that lies directly in the directory and leads to another directory,
 * such as static/admin-media -> ../lib/python/django/contrib/admin/static. Whoever made it there meant it.
 * What it leads to becomes a root of its own, beneath which the rest of the path is resolved as strictly. */
#include "http/beneath.h"

#include <silver/base.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define OPEN_FLAGS (O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK) /* a pipe must not hold us */
#define RACES_MAX 8

static int call_openat2(int root, const char *path, bool cached)
{
    struct open_how how = {.flags = OPEN_FLAGS,
                           .resolve =
                               RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS | (cached ? RESOLVE_CACHED : 0)};
    for (int races = 0;; races++) {
        int fd = (int)syscall(SYS_openat2, root, path, &how, sizeof(how));
        if (fd >= 0)
            return fd;
        if (cached && errno == EINVAL) /* a kernel before RESOLVE_CACHED */
            return -EAGAIN;
        /* Renames elsewhere make the kernel unsure whether ".." stayed inside. */
        if (errno == EINTR || (!cached && errno == EAGAIN && races < RACES_MAX))
            continue;
        return !cached && errno == EAGAIN ? -EIO : -errno;
    }
}

static int open_by_steps(int root, const char *path)
{
    char name[NAME_MAX + 1];
    for (int at = root;;) {
        size_t size = strcspn(path, "/");
        bool last = path[size] == 0;
        bool up = size == 2 && memcmp(path, "..", 2) == 0;
        int next = -1, code = up ? -EXDEV : -ENAMETOOLONG;
        if (!up && size <= NAME_MAX) {
            memcpy(name, path, size);
            name[size] = 0;
            next = openat(at, name, O_NOFOLLOW | (last ? OPEN_FLAGS : O_PATH | O_DIRECTORY | O_CLOEXEC));
            code = -errno;
        }
        if (at != root)
            close(at);
        if (next < 0)
            return code;
        if (last)
            return next;
        at = next;
        path += size + 1;
    }
}

/* The directory that a descriptor stands for, as a path without links. 0 or a code. */
static int path_of(int fd, char out[static PATH_MAX])
{
    char link[32];
    snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
    ssize_t size = readlink(link, out, PATH_MAX - 1);
    if (size < 0)
        return -errno;
    out[size] = 0;
    return 0;
}

/* Whether the directory `inner` is `outer` or lies somewhere in it. */
static bool lies_in(const char *inner, const char *outer)
{
    size_t size = strlen(outer);
    return strncmp(inner, outer, size) == 0 &&
           (inner[size] == '/' || inner[size] == 0 || outer[size - 1] == '/');
}

/* The directory that a link of this name in the root leads to, if it may be a mount: not one that the root
 * lies in, for then everything around the root would be served. A descriptor or a code. */
static int open_mount(int root, const char *name)
{
    char here[PATH_MAX], there[PATH_MAX];
    struct stat info;
    if (fstatat(root, name, &info, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISLNK(info.st_mode))
        return -EXDEV;
    int fd = openat(root, name, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return -EXDEV;
    if (path_of(root, here) == 0 && path_of(fd, there) == 0 && !lies_in(here, there))
        return fd;
    close(fd);
    return -EXDEV;
}

static int open_in(const sl__beneath *beneath, int root, const char *path, bool cached)
{
    if (!beneath->by_steps)
        return call_openat2(root, path, cached);
    return cached ? -EAGAIN : open_by_steps(root, path);
}

int sl__beneath_open(const sl__beneath *beneath, const char *path, bool cached)
{
    int fd = open_in(beneath, beneath->fd, path, cached);
    size_t size = strcspn(path, "/");
    bool left = fd == -EXDEV || (beneath->by_steps && (fd == -ELOOP || fd == -ENOTDIR));
    if (!left || path[size] == 0 || size > NAME_MAX)
        return fd;
    if (cached)
        return -EAGAIN;
    char name[NAME_MAX + 1];
    memcpy(name, path, size);
    name[size] = 0;
    int mount = open_mount(beneath->fd, name);
    if (mount < 0)
        return fd;
    fd = open_in(beneath, mount, path + size + 1, false);
    close(mount);
    return fd;
}

int sl__beneath_refresh(sl__beneath *beneath)
{
    struct stat info;
    if (stat(beneath->directory, &info) < 0)
        return -errno;
    if (beneath->fd >= 0 && info.st_dev == beneath->device && info.st_ino == beneath->inode)
        return 0;
    int fd = open(beneath->directory, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    if (fstat(fd, &info) < 0) {
        int code = -errno;
        close(fd);
        return code;
    }
    if (beneath->fd >= 0)
        close(beneath->fd);
    beneath->fd = fd;
    beneath->device = info.st_dev;
    beneath->inode = info.st_ino;
    return 0;
}

int sl__beneath_init(sl__beneath *beneath, const char *directory)
{
    *beneath = (sl__beneath){.directory = sl_strdup_heap(directory), .fd = -1};
    int code = sl__beneath_refresh(beneath);
    if (code < 0) {
        sl__beneath_done(beneath);
        return code;
    }
    struct open_how how = {.flags = O_PATH | O_CLOEXEC, .resolve = RESOLVE_BENEATH};
    int probe = (int)syscall(SYS_openat2, beneath->fd, ".", &how, sizeof(how));
    beneath->by_steps = probe < 0; /* an old kernel, or a sandbox that does not know the call */
    if (probe >= 0)
        close(probe);
    return 0;
}

void sl__beneath_done(sl__beneath *beneath)
{
    if (beneath->fd >= 0)
        close(beneath->fd);
    free(beneath->directory);
    *beneath = (sl__beneath){.fd = -1};
}
