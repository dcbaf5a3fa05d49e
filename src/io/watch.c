/* watch.c: telling what changes in a file, a directory or a tree.
 *
 * libuv's watches (inotify beneath) see one directory each, and one that watches a file follows the file, not
 * its name: when an editor replaces it, the watch goes with the old one. So only directories are watched
 * here: a file by its directory and its name, a tree by a watch on each directory in it. When an event names
 * something that has become a directory it gets a watch too, and what is in it already counts as changed,
 * since it may have come before the watch; when the name is no directory any more, the watches on it and
 * below are closed.
 *
 * Changes wait in a table, which tells each path once, and are given out after a short rest, so that a save
 * that writes, renames and sets the mode is one change. */
#include "io/work.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>

#define REST_MS 25
#define MAX_UNTOLD 4096
#define MAX_PATH_DEPTH 64

typedef struct spot {
    uv_fs_event_t handle;
    sl_watch *watch;
    struct spot *next;
    char path[];
} spot;

struct sl_watch {
    uv_timer_t rest;
    char *path;
    char *only; /* the name in `path`'s directory that counts, or NULL */
    bool recursive, rested, freed;
    spot *spots;
    unsigned open_handles;
    sl_table *untold; /* of paths, without values */
    bool too_many;
    sl_deferred *waiting;
};

static int watch_directory(sl_watch *watch, const char *path, unsigned depth, bool tell);

/* ---- Telling ----------------------------------------------------------------------------------------- */

static char *take_untold(sl_watch *watch)
{
    const char *path;
    void *value;
    size_t cursor = 0;
    if (watch->too_many) {
        watch->too_many = false;
        watch->untold = sl_table_free(watch->untold);
        watch->untold = sl_table_new(NULL);
        return sl_strdup_heap(watch->path);
    }
    if (!sl_table_next(watch->untold, &cursor, &path, &value))
        return NULL;
    char *taken = sl_strdup_heap(path);
    sl_table_remove(watch->untold, taken);
    return taken;
}

static void tell_if_asked(sl_watch *watch)
{
    if (!watch->waiting || !watch->rested)
        return;
    char *path = take_untold(watch);
    if (!path)
        return;
    sl_deferred *deferred = watch->waiting;
    watch->waiting = NULL;
    sl_fire(deferred, path, free);
}

static void on_rested(uv_timer_t *timer)
{
    sl_watch *watch = timer->data;
    watch->rested = true;
    tell_if_asked(watch);
}

static void changed(sl_watch *watch, const char *path)
{
    if (sl_table_size(watch->untold) < MAX_UNTOLD)
        sl_table_set(watch->untold, path, watch);
    else
        watch->too_many = true;
    if (!uv_is_active((uv_handle_t *)&watch->rest)) {
        watch->rested = false;
        uv_update_time(watch->rest.loop);
        uv_timer_start(&watch->rest, on_rested, REST_MS, 0);
    }
}

static sl_cancelled cancel_next(sl_deferred *deferred, void *data)
{
    ((sl_watch *)data)->waiting = NULL;
    return SL_CANCEL_DONE;
}

sl_deferred *sl_watch_next(sl_watch *watch)
{
    if (watch->waiting)
        return sl_failing(
            sl_error_new(SL_EBUSY, "somebody waits for the changes of %s already", watch->path));
    char *path = watch->rested ? take_untold(watch) : NULL;
    if (path)
        return sl_succeeded(path, free);
    watch->waiting = sl_deferred_new(cancel_next, watch);
    return watch->waiting;
}

/* ---- Spots: the directories that are watched --------------------------------------------------------- */

static void watch_unref(sl_watch *watch)
{
    if (--watch->open_handles > 0)
        return;
    sl_table_free(watch->untold);
    free(watch->path);
    free(watch->only);
    free(watch);
}

static void on_spot_closed(uv_handle_t *handle)
{
    spot *s = handle->data;
    watch_unref(s->watch);
    free(s);
}

static void on_rest_closed(uv_handle_t *handle)
{
    watch_unref(handle->data);
}

/* Closes the watch on this directory and on all below it. */
static void forget_directory(sl_watch *watch, const char *path)
{
    size_t size = strlen(path);
    for (spot **link = &watch->spots; *link;) {
        spot *s = *link;
        if (strncmp(s->path, path, size) != 0 || (s->path[size] != '/' && s->path[size] != '\0')) {
            link = &s->next;
            continue;
        }
        *link = s->next;
        uv_close((uv_handle_t *)&s->handle, on_spot_closed);
    }
}

static bool is_watched(const sl_watch *watch, const char *path)
{
    for (const spot *s = watch->spots; s; s = s->next)
        if (strcmp(s->path, path) == 0)
            return true;
    return false;
}

static bool is_directory(const char *path)
{
    struct stat info;
    return lstat(path, &info) == 0 && S_ISDIR(info.st_mode);
}

/* Events of the directory itself carry its own name, as if there were such a child. */
static bool is_about_itself(const spot *s, const char *name, const char *path)
{
    struct stat info;
    const char *slash = strrchr(s->path, '/');
    return strcmp(name, slash ? slash + 1 : s->path) == 0 && lstat(path, &info) < 0;
}

static void on_event(uv_fs_event_t *handle, const char *name, int events, int status)
{
    spot *s = handle->data;
    sl_watch *watch = s->watch;
    if (status < 0 || watch->freed)
        return;
    if (watch->only) {
        if (name && strcmp(name, watch->only) == 0)
            changed(watch, watch->path);
        return;
    }
    SL_AUTO_FREE char *path = sl_printf_heap("%s/%s", s->path, name ? name : "");
    if (!name || is_about_itself(s, name, path)) {
        changed(watch, s->path);
        return;
    }
    changed(watch, path);
    if (!watch->recursive || !(events & UV_RENAME))
        return;
    if (!is_directory(path))
        forget_directory(watch, path);
    else if (!is_watched(watch, path))
        watch_directory(watch, path, /* depth= */ 0, /* tell= */ true);
}

static int add_spot(sl_watch *watch, const char *path)
{
    size_t size = strlen(path) + 1;
    spot *s = sl_calloc(1, sizeof *s + size);
    memcpy(s->path, path, size);
    s->watch = watch;
    int code = uv_fs_event_init(watch->rest.loop, &s->handle);
    if (code < 0) {
        free(s);
        return code;
    }
    s->handle.data = s;
    watch->open_handles++;
    code = uv_fs_event_start(&s->handle, on_event, path, 0);
    if (code < 0) {
        uv_close((uv_handle_t *)&s->handle, on_spot_closed);
        return code;
    }
    s->next = watch->spots;
    watch->spots = s;
    return 0;
}

static void closedirp(DIR **directory)
{
    if (*directory)
        closedir(*directory);
}

/* Watches a directory and, if asked for, those below it. With `tell` all that it finds counts as changed. */
static int watch_directory(sl_watch *watch, const char *path, unsigned depth, bool tell)
{
    int code = add_spot(watch, path);
    if (code == -ENOSPC || code == -EMFILE)
        sl_warning("cannot watch %s for changes: the system's limit is reached; raise "
                   "fs.inotify.max_user_watches or "
                   "fs.inotify.max_user_instances with sysctl",
                   path);
    if (code < 0 || !watch->recursive || depth == MAX_PATH_DEPTH)
        return code;
    SL_CLEANUP(closedirp) DIR *directory = opendir(path);
    for (struct dirent *found; directory && (found = readdir(directory));) {
        if (strcmp(found->d_name, ".") == 0 || strcmp(found->d_name, "..") == 0)
            continue;
        SL_AUTO_FREE char *below = sl_printf_heap("%s/%s", path, found->d_name);
        if (tell)
            changed(watch, below);
        if (!is_directory(below))
            continue;
        code = watch_directory(watch, below, depth + 1, tell);
        if (code < 0 && code != -ENOENT) /* gone between the two calls */
            return code;
    }
    return 0;
}

/* ---- Making and freeing ------------------------------------------------------------------------------ */

static int begin(sl_watch *watch)
{
    struct stat info;
    if (stat(watch->path, &info) < 0)
        return -errno;
    if (S_ISDIR(info.st_mode))
        return watch_directory(watch, watch->path, /* depth= */ 0, /* tell= */ false);
    const char *slash = strrchr(watch->path, '/');
    watch->only = sl_strdup_heap(slash ? slash + 1 : watch->path);
    watch->recursive = false;
    if (!slash)
        return watch_directory(watch, ".", /* depth= */ 0, /* tell= */ false);
    SL_AUTO_FREE char *directory =
        sl_printf_heap("%.*s", slash == watch->path ? 1 : (int)(slash - watch->path), watch->path);
    return watch_directory(watch, directory, /* depth= */ 0, /* tell= */ false);
}

int sl_watch_new(const char *path, bool recursive, sl_watch **ret_watch)
{
    uv_loop_t *loop = sl__io_loop("sl_watch_new");
    sl_watch *watch = sl_calloc(1, sizeof *watch);
    *watch =
        (sl_watch){.recursive = recursive, .rested = true, .open_handles = 1, .untold = sl_table_new(NULL)};
    watch->path = sl_strdup_heap(path);
    for (size_t size = strlen(path); size > 1 && watch->path[size - 1] == '/';)
        watch->path[--size] = '\0';
    uv_timer_init(loop, &watch->rest);
    watch->rest.data = watch;
    int code = begin(watch);
    if (code < 0)
        sl_watch_free(watch);
    else
        *ret_watch = watch;
    return code;
}

sl_watch *sl_watch_free(sl_watch *watch)
{
    if (!watch)
        return NULL;
    watch->freed = true;
    sl_deferred *waiting = watch->waiting;
    watch->waiting = NULL;
    sl_error *error = waiting ? sl_error_new(SL_ECLOSED, "the watch on %s was closed", watch->path) : NULL;
    for (spot *s = watch->spots; s; s = s->next)
        uv_close((uv_handle_t *)&s->handle, on_spot_closed);
    watch->spots = NULL;
    uv_close((uv_handle_t *)&watch->rest, on_rest_closed);
    if (waiting)
        sl_fire_error(waiting, error);
    return NULL;
}
