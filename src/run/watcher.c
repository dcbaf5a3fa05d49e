/* watcher.c: notices when what an application is made of has changed.
 *
 * That files were written only makes it look: what counts is the digest of what would be built of them. */
#include "run/watcher.h"
#include "run/plugins.h"
#include "run/runner.h"

#include <silver/io.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <uv.h>

#define WATCHES_MAX 8
#define SCHEMA_FOLDER "schema"
#define SETTLE_MS 40 /* editors write in several steps */

struct watcher {
    const struct manifest *manifest;
    sl_logger *logger;
    void (*changed)(void *data);
    void *data;
    uv_timer_t settle;
    sl_watch *watches[WATCHES_MAX];
    size_t count;
    bool plugins, schema; /* their folder is watched */
    bool stopped;
    char sources[DIGEST_TEXT_SIZE], others[DIGEST_TEXT_SIZE];
};

/* ---- What there is ----------------------------------------------------------------------------------- */

static void digest_file(const char *path, struct digest *digest)
{
    char chunk[4096];
    FILE *file = fopen(path, "re");
    for (size_t size; file && (size = fread(chunk, 1, sizeof(chunk), file)) > 0;)
        digest_put(digest, chunk, size);
    if (file)
        fclose(file);
}

static void digest_manifest(const struct manifest *manifest, struct digest *digest)
{
    char *path = sl_printf_heap("%s/app.ini", manifest->directory);
    digest_file(path, digest);
    free(path);
}

static int is_patch(const struct dirent *entry)
{
    size_t size = strlen(entry->d_name);
    return entry->d_name[0] != '.' && size > 4 && strcmp(entry->d_name + size - 4, ".sql") == 0;
}

/* The patches of the database, which an instance applies when it starts. */
static void digest_schema(const struct manifest *manifest, struct digest *digest)
{
    char *folder = sl_printf_heap("%s/" SCHEMA_FOLDER, manifest->directory);
    struct dirent **entries = NULL;
    int count = scandir(folder, &entries, is_patch, alphasort);
    for (int i = 0; i < count; i++) {
        char *path = sl_printf_heap("%s/%s", folder, entries[i]->d_name);
        digest_puts(digest, entries[i]->d_name);
        digest_file(path, digest);
        free(path);
        free(entries[i]);
    }
    free(entries);
    free(folder);
}

/* Notes what is there now; true if that differs from what was noted before. */
static bool note(struct watcher *watcher)
{
    char sources[DIGEST_TEXT_SIZE] = "", others[DIGEST_TEXT_SIZE] = "";
    struct digest digest;
    digest_init(&digest);
    digest_manifest(watcher->manifest, &digest);
    digest_schema(watcher->manifest, &digest);
    plugins_digest(watcher->manifest, &digest);
    digest_text(&digest, others);
    if (runner_digest(watcher->manifest, sources) < 0)
        sources[0] = '\0';
    bool differs = strcmp(sources, watcher->sources) != 0 || strcmp(others, watcher->others) != 0;
    memcpy(watcher->sources, sources, sizeof(sources));
    memcpy(watcher->others, others, sizeof(others));
    return differs;
}

/* ---- Watching ---------------------------------------------------------------------------------------- */

struct one {
    struct watcher *watcher;
    sl_watch *watch;
};

static void wait_for(struct watcher *watcher, sl_watch *watch);
static void settled(uv_timer_t *timer);

static sl_result written(sl_result result, void *data)
{
    struct one *one = data;
    sl_result_done(&result);
    if (!one->watcher->stopped) {
        uv_timer_start(&one->watcher->settle, settled, SETTLE_MS, 0);
        wait_for(one->watcher, one->watch);
    }
    return sl_ok(NULL);
}

static sl_result failed(sl_result result, void *data)
{
    struct watcher *watcher = ((struct one *)data)->watcher;
    if (!watcher->stopped)
        sl_log_to(watcher->logger, SL_WARNING, SL_HERE, "changes are no longer noticed: %s",
                  result.error->message);
    sl_result_done(&result);
    return sl_ok(NULL);
}

static void wait_for(struct watcher *watcher, sl_watch *watch)
{
    struct one *one = sl_malloc(sizeof(*one));
    *one = (struct one){watcher, watch};
    sl_forget(sl_then(sl_watch_next(watch), written, failed, one, free));
}

static void watch(struct watcher *watcher, const char *path, bool recursive)
{
    if (watcher->count == WATCHES_MAX)
        return;
    sl_watch *made = NULL;
    int code = sl_watch_new(path, recursive, &made);
    if (code < 0) {
        sl_log_to(watcher->logger, SL_WARNING, SL_HERE, "%s cannot be watched for changes: %s", path,
                  sl_code_message(code));
        return;
    }
    watcher->watches[watcher->count++] = made;
    wait_for(watcher, made);
}

/* The folder may come later, with the first plug-in or patch. */
static void watch_folder(struct watcher *watcher, const char *name, bool *watched)
{
    char *path = sl_printf_heap("%s/%s", watcher->manifest->directory, name);
    struct stat status;
    if (!*watched && stat(path, &status) == 0 && S_ISDIR(status.st_mode)) {
        *watched = true;
        watch(watcher, path, /* recursive= */ true);
    }
    free(path);
}

static void watch_folders(struct watcher *watcher)
{
    watch_folder(watcher, PLUGINS_FOLDER, &watcher->plugins);
    if (!watcher->manifest->python)
        watch_folder(watcher, SCHEMA_FOLDER, &watcher->schema);
}

static void watch_all(struct watcher *watcher)
{
    struct arguments trees = {0}, folders = {0};
    char *manifest = sl_printf_heap("%s/app.ini", watcher->manifest->directory);
    watch(watcher, manifest, /* recursive= */ false);
    watch_folders(watcher);
    if (!watcher->manifest->python) /* a database that is refused may want the first patch */
        watch(watcher, watcher->manifest->directory, /* recursive= */ false);
    runner_watched(watcher->manifest, &trees, &folders);
    for (size_t i = 0; i < trees.count; i++)
        watch(watcher, trees.items[i], /* recursive= */ true);
    for (size_t i = 0; i < folders.count; i++)
        watch(watcher, folders.items[i], /* recursive= */ false);
    arguments_done(&trees);
    arguments_done(&folders);
    free(manifest);
}

static void settled(uv_timer_t *timer)
{
    struct watcher *watcher = timer->data;
    if (watcher->stopped)
        return;
    watch_folders(watcher);
    if (note(watcher))
        watcher->changed(watcher->data);
}

/* ---- The whole --------------------------------------------------------------------------------------- */

struct watcher *watcher_new(sl_loop *loop, const struct manifest *manifest, sl_logger *logger,
                            void (*changed)(void *data), void *data)
{
    struct watcher *watcher = sl_calloc(1, sizeof(*watcher));
    *watcher = (struct watcher){.manifest = manifest, .logger = logger, .changed = changed, .data = data};
    uv_timer_init(sl_loop_uv(loop), &watcher->settle);
    watcher->settle.data = watcher;
    note(watcher);
    watch_all(watcher);
    return watcher;
}

void watcher_stop(struct watcher *watcher)
{
    if (!watcher || watcher->stopped)
        return;
    watcher->stopped = true;
    for (size_t i = 0; i < watcher->count; i++)
        sl_watch_free(watcher->watches[i]);
    uv_close((uv_handle_t *)&watcher->settle, NULL);
}

struct watcher *watcher_free(struct watcher *watcher)
{
    free(watcher);
    return NULL;
}
