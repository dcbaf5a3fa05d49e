/* runner_c.c: compiles a C application.
 *
 * An object's name in the cache is the digest of all that could change it: the file, every other file beside
 * it that is not compiled by itself (headers of any name), the compiler (its path, size and time of change:
 * asking it for its version would cost more than all the rest), the flags, and libsilver's headers. The
 * shared object's name is the digest of its objects' names and of what it is linked with. One lock a shared
 * object keeps several instances that start together from compiling the same thing; nothing depends on it but
 * speed. */
#include "run/runner.h"
#include "run/cache.h"
#include "run/digest.h"
#include "run/tool.h"

#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define SOURCES_MAX 1000
#define SOURCE_SIZE_MAX (16u << 20)
#define DEPTH_MAX 8
#define JOBS_MAX 8

static const char flags[] =
    "-std=gnu17 -O2 -g -fPIC -fexceptions -fasynchronous-unwind-tables -fno-omit-frame-pointer "
    "-fstack-clash-protection -Wall -Werror=implicit-function-declaration "
    "-fdiagnostics-color=never";

struct source {
    char *name; /* relative to the application */
    char object[DIGEST_TEXT_SIZE];
};

struct work {
    const struct manifest *manifest;
    struct complaints *complaints;
    struct build *build;
    char *folder;  /* of the sources, relative to the application: "src" */
    char *cache;   /* the cache's directory */
    char *include; /* libsilver's headers */
    char *library; /* libsilver itself, or NULL where it is part of this program */
    struct arguments compiler;
    struct arguments library_flags, library_links; /* of `libraries`; asked for only to compile */
    char common[DIGEST_TEXT_SIZE];                 /* of everything but the file itself */
    char linked[DIGEST_TEXT_SIZE];                 /* of the shared object */
    struct source *sources;                        /* sorted by name */
    size_t count;
    sl_buffer output;
};

/* ---- What there is ----------------------------------------------------------------------------------- */

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

static int wrong_source(struct work *work, const char *name, int code)
{
    complaints_add(work->complaints, RUN_LAYOUT_RUNNER, name, 0, "cannot be read: %s", sl_code_message(code));
    return code;
}

/* Lists the folder: *.c at its top are sources, everything else (below it too) is theirs to include. */
static int scan(struct work *work, const char *folder, int depth, struct arguments *others)
{
    char *path = sl_printf_heap("%s/%s", work->manifest->directory, folder);
    DIR *directory = opendir(path);
    int code = directory ? 0 : -errno;
    free(path);
    if (code < 0)
        return wrong_source(work, folder, code);
    for (struct dirent *entry; code == 0 && (entry = readdir(directory));) {
        struct stat status;
        const char *name = entry->d_name;
        if (name[0] == '.' || ends_in(name, "~") || fstatat(dirfd(directory), name, &status, 0) < 0)
            continue;
        char *full = sl_printf_heap("%s/%s", folder, name);
        if (work->count + others->count == SOURCES_MAX) {
            code = wrong_source(work, folder, SL_E2BIG);
        } else if (S_ISDIR(status.st_mode) && depth < DEPTH_MAX) {
            code = scan(work, full, depth + 1, others);
        } else if (S_ISREG(status.st_mode) && depth == 0 && ends_in(name, ".c")) {
            work->sources = sl_realloc(work->sources, (work->count + 1) * sizeof(*work->sources));
            work->sources[work->count++] = (struct source){.name = sl_strdup_heap(full)};
        } else if (S_ISREG(status.st_mode)) {
            arguments_put(others, full);
        }
        free(full);
    }
    closedir(directory);
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

static void digest_headers(struct digest *digest, const char *include)
{
    static const char *const names[] = {"silver", "base", "core", "io", "http", "web", "gio"};
    for (size_t i = 0; i < sl_array_size(names); i++) {
        char *path = sl_printf_heap("%s/silver/%s.h", include, names[i]);
        struct stat status;
        if (stat(path, &status) == 0) {
            digest_put(digest, &status.st_size, sizeof(status.st_size));
            digest_put(digest, &status.st_mtim, sizeof(status.st_mtim));
        }
        free(path);
    }
}

/* Names the shared object and all objects by what they are made of. */
static int digest_work(struct work *work, const struct arguments *others)
{
    struct digest common, linked;
    digest_init(&common);
    digest_puts(&common,
                SL_VERSION " 1"); /* the second word changes when this file makes other objects of the same */
    digest_puts(&common, flags);
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

static int look(struct work *work)
{
    const struct manifest *manifest = work->manifest;
    char *file = sl_printf_heap("%s/%s", manifest->directory, manifest->runner);
    bool there = access(file, R_OK) == 0;
    free(file);
    if (!there) {
        complaints_add(work->complaints, RUN_LAYOUT_RUNNER, manifest->path, manifest->runner_line,
                       "the runner %s cannot be read: %s", manifest->runner, strerror(errno))
            ->hint = sl_strdup_heap("write it, or name another file as `runner` in [production]");
        return SL_ENOENT;
    }
    const char *slash = strrchr(manifest->runner, '/');
    work->folder = slash ? sl_printf_heap("%.*s", (int)(slash - manifest->runner), manifest->runner)
                         : sl_strdup_heap(".");
    const char *compiler = getenv("CC");
    arguments_put_words(&work->compiler, compiler && compiler[strspn(compiler, " \t")] ? compiler : "cc");
    struct arguments others = {0};
    int code = find_silver(work);
    if (code == 0)
        code = scan(work, work->folder, 0, &others);
    if (code == 0 && work->count)
        qsort(work->sources, work->count, sizeof(*work->sources), by_name);
    if (code == 0 && others.count)
        qsort(others.items, others.count, sizeof(*others.items), by_text);
    if (code == 0)
        code = digest_work(work, &others);
    arguments_done(&others);
    return code;
}

/* ---- Tools ------------------------------------------------------------------------------------------- */

/* The compiler: because of the runner, which is a C file. */
static int no_compiler(struct work *work, const char *name)
{
    const char *chosen = getenv("CC");
    struct complaint *complaint =
        complaints_add(work->complaints, RUN_BUILD_TOOL, work->manifest->path, work->manifest->runner_line,
                       "there is no `%s`, which building %s needs", name, work->manifest->app_name);
    if (chosen && strstr(chosen, name))
        complaint->hint =
            sl_printf_heap("CC says `%s`: name a C compiler that is there, or unset CC", chosen);
    else
        complaint->hint = sl_strdup_heap("install it: `apt install gcc`");
    return SL_ENOENT;
}

static int no_pkg_config(struct work *work)
{
    complaints_add(work->complaints, RUN_BUILD_TOOL, work->manifest->path, work->manifest->libraries_line,
                   "there is no `pkg-config`, which finds the libraries of %s", work->manifest->app_name)
        ->hint = sl_strdup_heap("install it: `apt install pkg-config`");
    return SL_ENOENT;
}

/* What a tool's end means: 0, or a complaint. */
static int judge(struct work *work, int status, const char *name, const char *output)
{
    if (status == 0)
        return 0;
    if (status == SL_ENOENT)
        return no_compiler(work, name);
    if (status < 0 || status >= 1000) {
        if (status < 0)
            complaints_add(work->complaints, RUN_BUILD_TOOL, work->manifest->path, 0, "%s: %s", name,
                           sl_code_message(status));
        else
            complaints_add(work->complaints, RUN_BUILD_TOOL, work->manifest->path, 0,
                           "%s was ended by signal %d (%s)", name, status - 1000, strsignal(status - 1000));
        return status < 0 ? status : SL_EFAILED;
    }
    if (strstr(output, "No space left on device")) {
        complaints_add(work->complaints, RUN_BUILD_TOOL, work->cache, 0, "the disk is full")->hint =
            sl_strdup_heap("make room there, or set XDG_CACHE_HOME (and TMPDIR) to a place that has some");
        return SL_ENOSPC;
    }
    size_t before = work->complaints->count;
    diagnose(output, work->manifest->directory, work->complaints);
    if (work->complaints->count == before)
        complaints_add(work->complaints, RUN_BUILD_FAILED, work->manifest->path, 0,
                       "%s failed with status %d", name, status)
            ->detail = sl_strdup_heap(output);
    return SL_EBUILD;
}

static int ask_pkg_config(struct work *work, const char *option, const char *library, struct arguments *into)
{
    struct arguments arguments = {0};
    struct tool tool;
    sl_buffer output = {0};
    arguments_put(&arguments, "pkg-config");
    arguments_put(&arguments, option);
    arguments_put(&arguments, library);
    int code = tool_start(&arguments, work->manifest->directory, &tool);
    int status = code < 0 ? code : tool_wait(&tool, &output);
    arguments_done(&arguments);
    if (status == 0) {
        if (output.data)
            arguments_put_words(into, output.data);
        code = 0;
    } else if (status == SL_ENOENT) {
        code = no_pkg_config(work);
    } else {
        complaints_add(work->complaints, RUN_BUILD_TOOL, work->manifest->path, work->manifest->libraries_line,
                       "pkg-config does not know the library `%s`", library)
            ->hint = sl_printf_heap(
            "install its development package (on Debian its name ends in -dev: `apt-cache search %s`)",
            library);
        code = SL_ENOENT;
    }
    sl_buffer_done(&output);
    return code;
}

static int ask_libraries(struct work *work)
{
    const struct manifest_list *libraries = &work->manifest->libraries;
    int code = 0;
    for (size_t i = 0; i < libraries->count && code == 0; i++) {
        code = ask_pkg_config(work, "--cflags", libraries->items[i], &work->library_flags);
        if (code == 0)
            code = ask_pkg_config(work, "--libs", libraries->items[i], &work->library_links);
    }
    return code;
}

struct job {
    struct source *source; /* NULL: none */
    struct tool tool;
    char *temporary, *object;
};

static int start_job(struct work *work, struct source *source, struct job *job)
{
    struct arguments arguments = {0};
    arguments_put_all(&arguments, &work->compiler);
    arguments_put_words(&arguments, flags);
    arguments_put(&arguments, "-I");
    arguments_put(&arguments, work->include);
    arguments_put_all(&arguments, &work->library_flags);
    arguments_put(&arguments, "-c");
    arguments_put(&arguments, source->name);
    arguments_put(&arguments, "-o");
    arguments_put(&arguments, job->temporary);
    int code = tool_start(&arguments, work->manifest->directory, &job->tool);
    if (code == 0)
        job->source = source;
    arguments_done(&arguments);
    return code;
}

/* `result` is that of the jobs before. */
static int finish_job(struct work *work, struct job *job, int result)
{
    sl_buffer output = {0};
    int status = tool_wait(&job->tool, &output);
    int code = result < 0 && result != SL_EBUILD /* told already, and the same for all files */
                   ? result
                   : judge(work, status, work->compiler.items[0], output.data ? output.data : "");
    sl_buffer_put(&work->output, output.data ? output.data : "", output.size);
    sl_buffer_done(&output);
    if (code < 0) {
        unlink(job->temporary);
        return code;
    }
    work->build->compiled++;
    code = cache_keep(job->temporary, job->object);
    if (code < 0)
        complaints_add(work->complaints, RUN_BUILD_TOOL, job->object, 0, "cannot be written: %s",
                       sl_code_message(code))
            ->hint = code == SL_ENOSPC ? sl_strdup_heap("the disk is full: make room") : NULL;
    return code;
}

static void clear_job(struct job *job)
{
    free(job->temporary);
    free(job->object);
    *job = (struct job){0};
}

/* Compiles what is not in the cache, as many at once as there are processors. All are compiled although one
 * fails, so that all errors are told. */
static int compile(struct work *work)
{
    struct job jobs[JOBS_MAX] = {0};
    long processors = sysconf(_SC_NPROCESSORS_ONLN);
    size_t width = processors < 1 ? 1 : processors > JOBS_MAX ? JOBS_MAX : (size_t)processors;
    int result = 0;
    for (size_t i = 0; i < work->count + width; i++) {
        struct job *job = &jobs[i % width];
        if (job->source) {
            int code = finish_job(work, job, result);
            if (result == 0 || (result == SL_EBUILD && code < 0))
                result = code;
        }
        clear_job(job);
        bool stop = result < 0 && result != SL_EBUILD;
        if (i >= work->count || stop)
            continue;
        job->object = cache_path(work->cache, work->sources[i].object, ".o");
        if (cache_has(job->object))
            continue;
        job->temporary = cache_temporary(work->cache, ".o");
        int code = start_job(work, &work->sources[i], job);
        if (code < 0)
            result = judge(work, code, work->compiler.items[0], "");
    }
    return result;
}

static int link_objects(struct work *work, const char *path)
{
    struct arguments arguments = {0};
    struct tool tool;
    sl_buffer output = {0};
    char *temporary = cache_temporary(work->cache, ".so");
    arguments_put_all(&arguments, &work->compiler);
    arguments_put_words(&arguments, "-shared -g -fexceptions");
    arguments_put(&arguments, "-o");
    arguments_put(&arguments, temporary);
    for (size_t i = 0; i < work->count; i++) {
        char *object = cache_path(work->cache, work->sources[i].object, ".o");
        arguments_put(&arguments, object);
        free(object);
    }
    if (work->library) {
        arguments_put(&arguments, "-Wl,-z,defs"); /* a name that nobody defines is told now, with its line */
        arguments_put(&arguments, work->library);
    }
    arguments_put_all(&arguments, &work->library_links);
    arguments_put(&arguments, "-ljansson"); /* json_t is part of web.h */
    int code = tool_start(&arguments, work->manifest->directory, &tool);
    int status = code < 0 ? code : tool_wait(&tool, &output);
    code = judge(work, status, work->compiler.items[0], output.data ? output.data : "");
    sl_buffer_put(&work->output, output.data ? output.data : "", output.size);
    if (code == 0) {
        code = cache_keep(temporary, path);
        if (code < 0)
            complaints_add(work->complaints, RUN_BUILD_TOOL, path, 0, "cannot be written: %s",
                           sl_code_message(code));
    } else {
        unlink(temporary);
    }
    arguments_done(&arguments);
    sl_buffer_done(&output);
    free(temporary);
    return code;
}

/* ---- The whole --------------------------------------------------------------------------------------- */

/* Takes the lock of a shared object: its descriptor, or -1 where it cannot be had (then work may be done
 * twice). */
static int lock(const struct work *work)
{
    char *path = cache_path(work->cache, work->linked, ".lock");
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    free(path);
    if (fd >= 0)
        while (flock(fd, LOCK_EX) < 0 && errno == EINTR)
            continue;
    return fd;
}

static int build(struct work *work, bool anew)
{
    char *path = cache_path(work->cache, work->linked, ".so");
    int code = 0;
    if (anew || !cache_has(path)) {
        int fd = lock(work);
        if (anew || !cache_has(path)) { /* another may have made it meanwhile */
            code = ask_libraries(work);
            if (code == 0)
                code = compile(work);
            if (code == 0)
                code = link_objects(work, path);
            cache_sweep(work->cache);
        }
        if (fd >= 0)
            close(fd);
    }
    if (code < 0)
        free(path);
    else
        work->build->path = path;
    return code;
}

static void work_done(struct work *work)
{
    for (size_t i = 0; i < work->count; i++)
        free(work->sources[i].name);
    free(work->sources);
    free(work->folder);
    free(work->cache);
    free(work->include);
    free(work->library);
    arguments_done(&work->compiler);
    arguments_done(&work->library_flags);
    arguments_done(&work->library_links);
}

int runner_build(const struct manifest *manifest, bool anew, struct complaints *complaints,
                 struct build *ret_build)
{
    *ret_build = (struct build){0};
    struct work work = {.manifest = manifest, .complaints = complaints, .build = ret_build};
    int code = look(&work);
    if (code == 0) {
        sl_error *error = NULL;
        code = cache_directory(manifest->directory, &work.cache, &error);
        if (code < 0)
            complaints_add(complaints, RUN_BUILD_TOOL, NULL, 0, "%s", error->message)->hint =
                error->hint ? sl_strdup_heap(error->hint) : NULL;
        sl_error_unref(error);
    }
    if (code == 0)
        code = build(&work, anew);
    if (work.output.size)
        ret_build->output = work.output.data;
    else
        sl_buffer_done(&work.output);
    work_done(&work);
    return code;
}

int runner_digest(const struct manifest *manifest, char out[static DIGEST_TEXT_SIZE])
{
    struct complaints complaints = {0};
    struct build nothing = {0};
    struct work work = {.manifest = manifest, .complaints = &complaints, .build = &nothing};
    int code = look(&work);
    if (code == 0)
        memcpy(out, work.linked, DIGEST_TEXT_SIZE);
    work_done(&work);
    complaints_done(&complaints);
    return code;
}

void build_done(struct build *build_result)
{
    free(build_result->path);
    free(build_result->output);
    *build_result = (struct build){0};
}
