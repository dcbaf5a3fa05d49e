/* directory.c: making and listing directories, each as one job for a thread. */
#include "io/work.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>

#define MAX_ENTRIES 1000000

typedef struct job {
    sl__work work;
    bool parents;
    char *path;
} job;

static void job_done(sl__work *work)
{
    free(((job *)work)->path);
}

static sl_deferred *start(const sl_site *site, sl_result (*run)(sl__work *work), const char *path,
                          bool parents)
{
    job *j = sl_calloc(1, sizeof *j);
    *j = (job){.work = {.run = run, .done = job_done}, .parents = parents, .path = sl_strdup_heap(path)};
    return sl__work_start(site, &j->work);
}

/* ---- Making ------------------------------------------------------------------------------------------ */

static bool is_directory(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0 && S_ISDIR(info.st_mode);
}

static int make(const char *path, bool may_exist)
{
    if (mkdir(path, 0777) == 0)
        return 0;
    int code = -errno;
    return may_exist && is_directory(path) ? 0 : code;
}

static sl_result run_make(sl__work *work)
{
    job *j = (job *)work;
    if (j->parents) {
        for (char *slash = j->path; (slash = strchr(slash + 1, '/'));) {
            *slash = '\0';
            int code = make(j->path, /* may_exist= */ true);
            if (code < 0)
                return sl_failed(sl__io_error(SL_HERE, code, "make the directory", j->path));
            *slash = '/';
        }
    }
    int code = make(j->path, j->parents);
    return code < 0 ? sl_failed(sl__io_error(SL_HERE, code, "make the directory", j->path)) : sl_ok(NULL);
}

sl_deferred *sl_directory_make(const char *path, bool parents)
{
    return start(SL_HERE, run_make, path, parents);
}

/* ---- Listing ----------------------------------------------------------------------------------------- */

/* Names are collected in one buffer and entries, which hold offsets into it at first, in another: both grow.
 * At the end they become one block, so that the value is freed with one call. */
typedef struct listing {
    sl_buffer names, entries;
    size_t count;
} listing;

static void listing_done(listing *l)
{
    sl_buffer_done(&l->names);
    sl_buffer_done(&l->entries);
}

static void add(listing *l, DIR *directory, const struct dirent *found)
{
    sl_directory_entry entry = {.name = (const char *)l->names.size,
                                .directory = found->d_type == DT_DIR,
                                .link = found->d_type == DT_LNK};
    struct stat info;
    if (found->d_type == DT_UNKNOWN &&
        fstatat(dirfd(directory), found->d_name, &info, AT_SYMLINK_NOFOLLOW) == 0) {
        entry.directory = S_ISDIR(info.st_mode);
        entry.link = S_ISLNK(info.st_mode);
    }
    sl_buffer_put(&l->names, found->d_name, strlen(found->d_name) + 1);
    sl_buffer_put(&l->entries, &entry, sizeof entry);
    l->count++;
}

static int read_entries(const char *path, listing *l)
{
    DIR *directory = opendir(path);
    if (!directory)
        return -errno;
    int code = 0;
    while (code == 0) {
        errno = 0;
        struct dirent *found = readdir(directory);
        if (!found) {
            code = -errno;
            break;
        }
        if (strcmp(found->d_name, ".") == 0 || strcmp(found->d_name, "..") == 0)
            continue;
        if (l->count == MAX_ENTRIES)
            code = SL_E2BIG;
        else
            add(l, directory, found);
    }
    closedir(directory);
    return code;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const sl_directory_entry *)a)->name, ((const sl_directory_entry *)b)->name);
}

static sl_directory *directory_of(const listing *l)
{
    sl_directory *list = sl_malloc(sizeof *list + l->entries.size + l->names.size);
    list->count = l->count;
    list->entries = (sl_directory_entry *)(list + 1);
    char *names = (char *)(list->entries + l->count);
    if (l->count == 0)
        return list;
    memcpy(list->entries, l->entries.data, l->entries.size);
    memcpy(names, l->names.data, l->names.size);
    for (size_t i = 0; i < list->count; i++)
        list->entries[i].name = names + (uintptr_t)list->entries[i].name;
    qsort(list->entries, list->count, sizeof list->entries[0], by_name);
    return list;
}

static sl_result run_list(sl__work *work)
{
    job *j = (job *)work;
    SL_CLEANUP(listing_done) listing l = {0};
    int code = read_entries(j->path, &l);
    if (code < 0)
        return sl_failed(sl__io_error(SL_HERE, code, "list the directory", j->path));
    return sl_owned(directory_of(&l), free);
}

sl_deferred *sl_directory_list(const char *path)
{
    return start(SL_HERE, run_list, path, /* parents= */ false);
}
