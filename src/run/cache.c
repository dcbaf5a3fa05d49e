/* cache.c: what was built, kept by its content. */
#include "run/cache.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define KEEP_S 3600

static int make_directories(char *path)
{
    for (char *slash = strchr(path + 1, '/');; slash = strchr(slash + 1, '/')) {
        if (slash)
            *slash = '\0';
        int code = mkdir(path, 0700) < 0 && errno != EEXIST ? -errno : 0;
        if (!slash)
            return code;
        *slash = '/';
        if (code < 0)
            return code;
    }
}

/* Code is loaded from here: nobody else may be able to write to it. */
static int usable(const char *path)
{
    struct stat status;
    if (stat(path, &status) < 0)
        return -errno;
    if (!S_ISDIR(status.st_mode) || status.st_uid != geteuid() || (status.st_mode & 022))
        return SL_EACCES;
    return access(path, R_OK | W_OK | X_OK) < 0 ? -errno : 0;
}

int cache_directory(const char *application, char **ret_path, sl_error **ret_error)
{
    const char *xdg = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    char *candidates[] = {
        xdg && *xdg == '/' ? sl_printf_heap("%s/silver", xdg) : NULL,
        home && *home == '/' ? sl_printf_heap("%s/.cache/silver", home) : NULL,
        sl_printf_heap("%s/.silver", application),
    };
    int code = SL_ENOENT;
    char *chosen = NULL;
    for (size_t i = 0; i < sl_array_size(candidates); i++) {
        if (!candidates[i] || chosen)
            continue;
        code = make_directories(candidates[i]);
        if (code == 0)
            code = usable(candidates[i]);
        if (code == 0)
            chosen = candidates[i];
    }
    if (chosen)
        *ret_path = sl_strdup_heap(chosen);
    else
        *ret_error = sl_error_hint(sl_error_new(code, "there is no place to keep what is built: %s: %s",
                                                candidates[2], sl_code_message(code)),
                                   "set XDG_CACHE_HOME to a directory that you can write to");
    for (size_t i = 0; i < sl_array_size(candidates); i++)
        free(candidates[i]);
    return chosen ? 0 : code;
}

char *cache_path(const char *cache, const char *name, const char *suffix)
{
    return sl_printf_heap("%s/%s%s", cache, name, suffix);
}

char *cache_temporary(const char *cache, const char *suffix)
{
    return sl_printf_heap("%s/tmp-%d-%llx%s", cache, (int)getpid(), (unsigned long long)sl_monotonic_ns(),
                          suffix);
}

bool cache_has(const char *path)
{
    struct stat status;
    if (stat(path, &status) < 0 || !S_ISREG(status.st_mode) || status.st_size == 0)
        return false;
    utimensat(AT_FDCWD, path, NULL, 0);
    return true;
}

int cache_keep(const char *temporary, const char *path)
{
    int fd = open(temporary, O_RDONLY | O_CLOEXEC);
    int code = fd < 0 || fsync(fd) < 0 || rename(temporary, path) < 0 ? -errno : 0;
    if (fd >= 0)
        close(fd);
    if (code < 0)
        unlink(temporary);
    return code;
}

struct entry {
    char *path;
    off_t size;
    time_t used;
};

static int by_age(const void *a, const void *b)
{
    const struct entry *x = a, *y = b;
    return x->used < y->used ? -1 : x->used > y->used;
}

/* All regular files of the cache, oldest first. */
static size_t list_entries(const char *cache, struct entry **ret_entries)
{
    DIR *directory = opendir(cache);
    struct entry *entries = NULL;
    size_t count = 0;
    for (struct dirent *item; directory && (item = readdir(directory));) {
        struct stat status;
        if (fstatat(dirfd(directory), item->d_name, &status, AT_SYMLINK_NOFOLLOW) < 0 ||
            !S_ISREG(status.st_mode))
            continue;
        entries = sl_realloc(entries, (count + 1) * sizeof(*entries));
        entries[count++] =
            (struct entry){sl_printf_heap("%s/%s", cache, item->d_name), status.st_size, status.st_mtime};
    }
    if (directory)
        closedir(directory);
    if (count)
        qsort(entries, count, sizeof(*entries), by_age);
    *ret_entries = entries;
    return count;
}

void cache_sweep(const char *cache)
{
    struct entry *entries;
    size_t count = list_entries(cache, &entries), left = count;
    uint64_t bytes = 0;
    time_t now = time(NULL);
    for (size_t i = 0; i < count; i++)
        bytes += (uint64_t)entries[i].size;
    for (size_t i = 0; i < count; i++) {
        const char *name = strrchr(entries[i].path, '/') + 1;
        bool leftover = strncmp(name, "tmp-", 4) == 0;
        bool beyond = bytes > CACHE_BYTES_MAX || left > CACHE_ENTRIES_MAX;
        if ((leftover || beyond) && entries[i].used + KEEP_S < now && unlink(entries[i].path) == 0) {
            bytes -= (uint64_t)entries[i].size;
            left--;
        }
        free(entries[i].path);
    }
    free(entries);
}
