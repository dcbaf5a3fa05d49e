/* sources.c: what a shared object is made of, and how that is called.
 *
 * An object's name in the cache is the digest of all that could change it: the file, every other file beside
 * it that is not compiled by itself (headers of any name), the headers (*.h) of the application's other
 * parts, the compiler (its path, size and time of change: asking it for its version would cost more than all
 * the rest), the flags, and libsilver's headers. The shared object's name is the digest of its objects' names
 * and of what it is linked with. */
#include "run/work.h"

#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define SOURCES_MAX 1000
#define SOURCE_SIZE_MAX (16u << 20)
#define DEPTH_MAX 8

static bool ends_in(const char *name, const char *suffix)
{
    size_t size = strlen(name), suffix_size = strlen(suffix);
    return size > suffix_size && strcmp(name + size - suffix_size, suffix) == 0;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct source *)a)->name, ((const struct source *)b)->name);
}

static int digest_file(struct digest *digest, const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return -errno;
    struct stat status;
    int code = 0;
    char chunk[8192];
    ssize_t size = 0;
    if (fstat(fd, &status) < 0 || !S_ISREG(status.st_mode))
        code = SL_EINVAL;
    else if (status.st_size > SOURCE_SIZE_MAX)
        code = SL_E2BIG;
    while (code == 0 && (size = read(fd, chunk, sizeof(chunk))) > 0)
        digest_put(digest, chunk, (size_t)size);
    if (code == 0 && size < 0)
        code = -errno;
    close(fd);
    return code;
}

static void work_add(struct work *work, const char *name)
{
    work->sources = sl_realloc(work->sources, (work->count + 1) * sizeof(*work->sources));
    work->sources[work->count++] = (struct source){.name = sl_strdup_heap(name)};
}

static int wrong_source(struct work *work, const char *name, int code)
{
    complaints_add(work->complaints, RUN_LAYOUT_RUNNER, name, 0, "cannot be read: %s", sl_code_message(code));
    return code;
}

/* What a scan takes of a folder. */
enum taking {
    TAKE_ALL,     /* *.c at its top are sources, everything else (below it too) is theirs to include */
    TAKE_HEADERS, /* *.h, below it too: of the application's other parts */
};

static int scan(struct work *work, const char *folder, int depth, enum taking taking,
                struct arguments *others);

static int take(struct work *work, const char *path, mode_t mode, int depth, enum taking taking,
                struct arguments *others)
{
    if (work->count + others->count == SOURCES_MAX)
        return wrong_source(work, path, SL_E2BIG);
    if (S_ISDIR(mode) && depth < DEPTH_MAX)
        return scan(work, path, depth + 1, taking, others);
    if (!S_ISREG(mode))
        return 0;
    if (taking == TAKE_ALL && depth == 0 && ends_in(path, ".c"))
        work_add(work, path);
    else if (taking == TAKE_ALL || ends_in(path, ".h"))
        arguments_put(others, path);
    return 0;
}

static int scan(struct work *work, const char *folder, int depth, enum taking taking,
                struct arguments *others)
{
    char *path = sl_printf_heap("%s/%s", work->manifest->directory, folder);
    DIR *directory = opendir(path);
    int code = directory ? 0 : -errno;
    free(path);
    if (code == SL_ENOENT && taking == TAKE_HEADERS)
        return 0;
    if (code < 0)
        return wrong_source(work, folder, code);
    for (struct dirent *entry; code == 0 && (entry = readdir(directory));) {
        struct stat status;
        const char *name = entry->d_name;
        if (name[0] == '.' || ends_in(name, "~") || fstatat(dirfd(directory), name, &status, 0) < 0)
            continue;
        char *full = sl_printf_heap("%s/%s", folder, name);
        code = take(work, full, status.st_mode, depth, taking, others);
        free(full);
    }
    closedir(directory);
    return code;
}

/* The target's own files, and the headers of the application's other parts where it has such: a plug-in and
 * those who call it share the description of its service. */
static int scan_target(struct work *work, struct arguments *others)
{
    const struct manifest *manifest = work->manifest;
    const char *slash = strrchr(manifest->runner, '/');
    int code = 0;
    if (work->target->file)
        work_add(work, work->target->file);
    else
        code = scan(work, work->target->folder, 0, TAKE_ALL, others);
    if (code == 0 && manifest->plugins.count)
        code = scan(work, PLUGINS_FOLDER, 0, TAKE_HEADERS, others);
    if (code == 0 && manifest->plugins.count && slash) {
        char *sources = sl_printf_heap("%.*s", (int)(slash - manifest->runner), manifest->runner);
        if (strcmp(sources, work->target->folder) != 0)
            code = scan(work, sources, 0, TAKE_HEADERS, others);
        free(sources);
    }
    return code;
}

static bool has_header(const char *include)
{
    char *path = sl_printf_heap("%s/silver/silver.h", include);
    bool there = access(path, R_OK) == 0;
    free(path);
    return there;
}

/* Whether a folder beside (or above) a file has the headers: then it becomes work->include. */
static bool try_include(struct work *work, const char *file, const char *relative)
{
    const char *slash = strrchr(file, '/');
    if (!slash)
        return false;
    char *path = sl_printf_heap("%.*s/%s", (int)(slash - file), file, relative);
    char real[PATH_MAX];
    bool found = realpath(path, real) && has_header(real);
    free(path);
    if (found)
        work->include = sl_strdup_heap(real);
    return found;
}

/* Headers and library lie where this program came from, be it a build directory or an installed one. */
static int find_silver(struct work *work)
{
    char exe[PATH_MAX];
    ssize_t size = readlink("/proc/self/exe", exe, sizeof(exe) - 1);
    exe[size > 0 ? size : 0] = '\0';
    Dl_info info;
    char library[PATH_MAX] = "";
    if (dladdr((void *)(uintptr_t)sl_code_name, &info) && realpath(info.dli_fname, library) &&
        strstr(library, ".so"))
        work->library = sl_strdup_heap(library);
    if (try_include(work, exe, "../include") || try_include(work, library, "../include") ||
        try_include(work, library, "../../include"))
        return 0;
    complaints_add(work->complaints, RUN_BUILD_TOOL, NULL, 0, "the headers of libsilver are not beside %s",
                   exe)
        ->hint = sl_strdup_heap("install Silver Lining as a whole: `make install`");
    return SL_ENOENT;
}

/* The compiler's path, size and time of change stand for its version. */
static void digest_program(struct digest *digest, const char *name)
{
    const char *path = getenv("PATH");
    struct stat status;
    digest_puts(digest, name);
    if (strchr(name, '/') || !path)
        path = "";
    for (;;) {
        size_t size = strcspn(path, ":");
        char *candidate = size ? sl_printf_heap("%.*s/%s", (int)size, path, name) : sl_strdup_heap(name);
        bool found = stat(candidate, &status) == 0 && S_ISREG(status.st_mode) && access(candidate, X_OK) == 0;
        if (found) {
            digest_puts(digest, candidate);
            digest_put(digest, &status.st_size, sizeof(status.st_size));
            digest_put(digest, &status.st_mtim, sizeof(status.st_mtim));
        }
        free(candidate);
        if (found || !path[size])
            return;
        path += size + 1;
    }
}

static int is_header(const struct dirent *entry)
{
    size_t size = strlen(entry->d_name);
    return size > 2 && strcmp(entry->d_name + size - 2, ".h") == 0;
}

static void digest_headers(struct digest *digest, const char *include)
{
    struct dirent **entries = NULL;
    char *folder = sl_printf_heap("%s/silver", include);
    int count = scandir(folder, &entries, is_header, alphasort);
    for (int i = 0; i < count; i++) {
        char *path = sl_printf_heap("%s/%s", folder, entries[i]->d_name);
        struct stat status;
        if (stat(path, &status) == 0) {
            digest_puts(digest, entries[i]->d_name);
            digest_put(digest, &status.st_size, sizeof(status.st_size));
            digest_put(digest, &status.st_mtim, sizeof(status.st_mtim));
        }
        free(path);
        free(entries[i]);
    }
    free(entries);
    free(folder);
}

/* Names the shared object and all objects by what they are made of. */
static int digest_work(struct work *work, const struct arguments *others)
{
    struct digest common, linked;
    digest_init(&common);
    digest_puts(&common,
                SL_RELEASE " 1"); /* the second word changes when this file makes other objects of the same */
    digest_puts(&common, WORK_FLAGS);
    digest_puts(&common, work->include);
    digest_headers(&common, work->include);
    digest_puts(&common, work->manifest->directory); /* stands in the debugging information */
    for (size_t i = 0; i < work->compiler.count; i++)
        digest_puts(&common, work->compiler.items[i]);
    digest_program(&common, work->compiler.items[0]);
    for (size_t i = 0; i < work->manifest->libraries.count; i++)
        digest_puts(&common, work->manifest->libraries.items[i]);
    for (size_t i = 0; i < others->count; i++) {
        char *path = sl_printf_heap("%s/%s", work->manifest->directory, others->items[i]);
        int code = digest_file(&common, path);
        digest_puts(&common, others->items[i]);
        free(path);
        if (code < 0) {
            digest_text(&common, NULL);
            return wrong_source(work, others->items[i], code);
        }
    }
    digest_text(&common, work->common);
    digest_init(&linked);
    digest_puts(&linked, work->library ? work->library : "");
    for (size_t i = 0; i < work->count; i++) {
        struct source *source = &work->sources[i];
        struct digest digest;
        digest_init(&digest);
        digest_puts(&digest, work->common);
        digest_puts(&digest, source->name);
        char *path = sl_printf_heap("%s/%s", work->manifest->directory, source->name);
        int code = digest_file(&digest, path);
        free(path);
        digest_text(&digest, source->object);
        if (code < 0) {
            digest_text(&linked, NULL);
            return wrong_source(work, source->name, code);
        }
        digest_puts(&linked, source->object);
    }
    digest_text(&linked, work->linked);
    return 0;
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

int work_look(struct work *work)
{
    const char *compiler = getenv("CC");
    arguments_put_words(&work->compiler, compiler && compiler[strspn(compiler, " \t")] ? compiler : "cc");
    struct arguments others = {0};
    int code = find_silver(work);
    if (code == 0)
        code = scan_target(work, &others);
    if (code == 0 && work->count)
        qsort(work->sources, work->count, sizeof(*work->sources), by_name);
    if (code == 0 && others.count)
        qsort(others.items, others.count, sizeof(*others.items), by_text);
    if (code == 0)
        code = digest_work(work, &others);
    arguments_done(&others);
    return code;
}

void work_done(struct work *work)
{
    for (size_t i = 0; i < work->count; i++)
        free(work->sources[i].name);
    free(work->sources);
    free(work->cache);
    free(work->include);
    free(work->library);
    arguments_done(&work->compiler);
    arguments_done(&work->library_flags);
    arguments_done(&work->library_links);
}
