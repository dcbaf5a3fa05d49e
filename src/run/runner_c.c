/* runner_c.c: compiles C into a shared object: an application, or a plug-in of one.
 *
 * What was made is kept by content (sources.c says how it is called). One lock a shared object keeps several
 * instances that start together from compiling the same thing; nothing depends on it but speed. */
#include "run/work.h"
#include "run/cache.h"
#include "run/entry.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define JOBS_MAX 8

/* ---- Tools ------------------------------------------------------------------------------------------- */

/* The compiler: because of the runner, which is a C file. */
static int no_compiler(struct work *work, const char *name)
{
    const char *chosen = getenv("CC");
    struct complaint *complaint =
        complaints_add(work->complaints, RUN_BUILD_TOOL, work->manifest->path, work->target->line,
                       "there is no `%s`, which building %s needs", name, work->target->name);
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
    arguments_put_words(&arguments, WORK_FLAGS);
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

int runner_make(const struct manifest *manifest, const struct target *target, bool anew,
                struct complaints *complaints, struct build *ret_build)
{
    *ret_build = (struct build){0};
    struct work work = {.manifest = manifest, .target = target, .complaints = complaints, .build = ret_build};
    int code = work_look(&work);
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

int runner_name(const struct manifest *manifest, const struct target *target,
                char out[static DIGEST_TEXT_SIZE])
{
    struct complaints complaints = {0};
    struct build nothing = {0};
    struct work work = {.manifest = manifest, .target = target, .complaints = &complaints, .build = &nothing};
    int code = work_look(&work);
    if (code == 0)
        memcpy(out, work.linked, DIGEST_TEXT_SIZE);
    work_done(&work);
    complaints_done(&complaints);
    return code;
}

/* ---- The application itself -------------------------------------------------------------------------- */

/* The folder is malloc'ed. */
static struct target whole_application(const struct manifest *manifest)
{
    const char *slash = strrchr(manifest->runner, '/');
    return (struct target){
        .name = manifest->app_name,
        .folder = slash ? sl_printf_heap("%.*s", (int)(slash - manifest->runner), manifest->runner)
                        : sl_strdup_heap("."),
        .line = manifest->runner_line};
}

static int build_c(const struct manifest *manifest, bool anew, struct complaints *complaints,
                   struct build *ret_build)
{
    *ret_build = (struct build){0};
    char *file = sl_printf_heap("%s/%s", manifest->directory, manifest->runner);
    bool there = access(file, R_OK) == 0;
    free(file);
    if (!there) {
        complaints_add(complaints, RUN_LAYOUT_RUNNER, manifest->path, manifest->runner_line,
                       "the runner %s cannot be read: %s", manifest->runner, strerror(errno))
            ->hint = sl_strdup_heap("write it, or name another file as `runner` in [production]");
        return SL_ENOENT;
    }
    struct target target = whole_application(manifest);
    int code = runner_make(manifest, &target, anew, complaints, ret_build);
    free((char *)target.folder);
    return code;
}

static int digest_c(const struct manifest *manifest, char out[static DIGEST_TEXT_SIZE])
{
    struct target target = whole_application(manifest);
    int code = runner_name(manifest, &target, out);
    free((char *)target.folder);
    return code;
}

static void watched_c(const struct manifest *manifest, struct arguments *trees, struct arguments *folders)
{
    const char *slash = strrchr(manifest->runner, '/');
    char *path =
        sl_printf_heap("%s/%.*s", manifest->directory, (int)(slash - manifest->runner), manifest->runner);
    arguments_put(trees, path);
    free(path);
}

const struct runner runner_c = {
    .build = build_c, .digest = digest_c, .check = check_entry, .load = load_entry, .watched = watched_c};
