/* runner_python.c: an application in Python: what it is made of, and what can be found wrong without running
 * it.
 *
 * Nothing is built. The workers embed one version of CPython, and find packages by path: in lib/python/ of
 * the application and in the site-packages of its virtualenv for that version, wherever that was copied to.
 * What is installed there is looked at by a program in Python (python_check.py, which this command carries),
 * run by the interpreter of the same version. */
#include "run/python.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define DEPTH_MAX 16
#define FILES_MAX 20000

extern const char python_check[]; /* python_check.py, embedded at build time */

static bool is_directory(const char *path)
{
    struct stat status;
    return stat(path, &status) == 0 && S_ISDIR(status.st_mode);
}

static char *inside(const struct manifest *manifest, const char *name)
{
    return name[0] == '/' ? sl_strdup_heap(name) : sl_printf_heap("%s/%s", manifest->directory, name);
}

/* Whether the application has a file or directory of this name. */
static bool has(const struct manifest *manifest, const char *name)
{
    char *path = inside(manifest, name);
    bool there = access(path, F_OK) == 0;
    free(path);
    return there;
}

/* The runner's directory, relative to the application. malloc'ed. */
static char *folder_of(const struct manifest *manifest)
{
    return sl_printf_heap("%.*s", (int)(strrchr(manifest->runner, '/') - manifest->runner), manifest->runner);
}

/* ---- The virtualenv ---------------------------------------------------------------------------------- */

char *python_virtualenv(const struct manifest *manifest)
{
    static const char *const usual[] = {"venv", ".venv"};
    if (manifest->virtualenv)
        return inside(manifest, manifest->virtualenv);
    for (size_t i = 0; i < sl_array_size(usual); i++) {
        char *path = sl_printf_heap("%s/%s", manifest->directory, usual[i]);
        char *lib = sl_printf_heap("%s/lib", path);
        bool there = is_directory(lib);
        free(lib);
        if (there)
            return path;
        free(path);
    }
    const char *active = getenv("VIRTUAL_ENV");
    return active && *active ? sl_strdup_heap(active) : NULL;
}

/* The version for which a virtualenv was made, by its lib/pythonX.Y; "" where there is none. malloc'ed. */
static char *made_for(const char *virtualenv)
{
    char *path = sl_printf_heap("%s/lib", virtualenv), *version = sl_strdup_heap("");
    DIR *directory = opendir(path);
    free(path);
    for (struct dirent *entry; directory && (entry = readdir(directory));) {
        if (strncmp(entry->d_name, "python", 6) != 0)
            continue;
        bool ours = strcmp(entry->d_name + 6, SL_PYTHON) == 0;
        if (ours || !*version) {
            free(version);
            version = sl_strdup_heap(entry->d_name + 6);
        }
        if (ours)
            break;
    }
    if (directory)
        closedir(directory);
    return version;
}

static void complain_virtualenv(const struct manifest *manifest, const char *virtualenv,
                                struct complaints *complaints)
{
    size_t size = strlen(manifest->directory);
    const char *shown = strncmp(virtualenv, manifest->directory, size) == 0 && virtualenv[size] == '/'
                            ? virtualenv + size + 1
                            : virtualenv;
    char *version = made_for(virtualenv);
    if (!is_directory(virtualenv))
        complaints_add(complaints, RUN_PYTHON_VIRTUALENV, manifest->path, 0, "there is no virtualenv %s",
                       shown)
            ->hint = sl_printf_heap("make it: `cd %s && /usr/bin/python" SL_PYTHON " -m venv %s`",
                                    manifest->directory, shown);
    else if (!*version)
        complaints_add(complaints, RUN_PYTHON_VIRTUALENV, shown, 0,
                       "is no virtualenv: there is no lib/python" SL_PYTHON " in it")
            ->hint = sl_strdup_heap("name another as `virtualenv` in [production]");
    else if (strcmp(version, SL_PYTHON) != 0)
        complaints_add(complaints, RUN_PYTHON_VIRTUALENV, shown, 0,
                       "this virtualenv was made for Python %s, and silver runs Python " SL_PYTHON, version)
            ->hint = sl_printf_heap("make it anew: `cd %s && rm -r %s && /usr/bin/python" SL_PYTHON
                                    " -m venv %s`, then install what it had",
                                    manifest->directory, shown, shown);
    free(version);
}

/* ---- Packages and sources ---------------------------------------------------------------------------- */

bool python_asks_packages(const struct manifest *manifest)
{
    return has(manifest, "requirements.txt") || has(manifest, "pyproject.toml");
}

bool python_check_command(const struct manifest *manifest, bool sources, struct arguments *command)
{
    static const char *const pythons[] = {"/usr/bin/python" SL_PYTHON, "/usr/local/bin/python" SL_PYTHON};
    for (size_t i = 0; i < sl_array_size(pythons) && !command->count; i++)
        if (access(pythons[i], X_OK) == 0)
            arguments_put(command, pythons[i]);
    if (!command->count)
        return false;
    static const char *const options[] = {"-I", "-S", "-c"};
    for (size_t i = 0; i < sl_array_size(options); i++)
        arguments_put(command, options[i]);
    char *virtualenv = python_virtualenv(manifest), *folder = folder_of(manifest);
    arguments_put(command, python_check);
    arguments_put(command, manifest->directory);
    arguments_put(command, virtualenv ? virtualenv : "");
    arguments_put(command, manifest->runner);
    if (sources)
        arguments_put(command, folder);
    if (sources && manifest->plugins.count)
        arguments_put(command, PLUGINS_FOLDER);
    free(folder);
    free(virtualenv);
    return true;
}

static void add(const json_t *item, struct complaints *complaints)
{
    const char *kind = json_string_value(json_object_get(item, "kind"));
    const char *message = json_string_value(json_object_get(item, "message"));
    const char *hint = json_string_value(json_object_get(item, "hint"));
    const char *detail = json_string_value(json_object_get(item, "detail"));
    struct complaint *complaint = complaints_add(
        complaints, kind && strcmp(kind, "source") == 0 ? RUN_BUILD_FAILED : RUN_PYTHON_PACKAGE,
        json_string_value(json_object_get(item, "file")),
        (int)json_integer_value(json_object_get(item, "line")), "%s", message ? message : "");
    complaint->hint = hint ? sl_strdup_heap(hint) : NULL;
    complaint->detail = detail ? sl_strdup_heap(detail) : NULL;
}

int python_complaints(const char *output, size_t size, struct complaints *complaints)
{
    json_t *list = json_loadb(output, size, 0, NULL);
    for (size_t i = 0; i < json_array_size(list); i++)
        add(json_array_get(list, i), complaints);
    int code = json_is_array(list) ? 0 : SL_EPARSE;
    json_decref(list);
    return code;
}

void python_find_wrong(const struct manifest *manifest, struct complaints *complaints)
{
    struct arguments command = {0};
    struct tool tool;
    sl_buffer output = {0};
    if (!python_check_command(manifest, /* sources= */ true, &command)) {
        complaints_add(complaints, RUN_BUILD_TOOL, manifest->path, manifest->runner_line,
                       "there is no python" SL_PYTHON ", which looks for mistakes and missing packages")
            ->hint = sl_strdup_heap("install it: `apt install python" SL_PYTHON "`");
        return;
    }
    int code = tool_start(&command, manifest->directory, &tool);
    int status = code < 0 ? code : tool_wait(&tool, &output);
    if (status != 0 || python_complaints(output.data ? output.data : "", output.size, complaints) < 0)
        complaints_add(complaints, RUN_BUILD_TOOL, manifest->path, manifest->runner_line,
                       "python" SL_PYTHON " could not look for mistakes: it ended with status %d", status)
            ->detail = output.size ? sl_strdup_heap(output.data) : NULL;
    arguments_done(&command);
    sl_buffer_done(&output);
}

static void check(const struct manifest *manifest, const struct build *build, struct complaints *complaints)
{
    python_find_wrong(manifest, complaints);
}

static int build(const struct manifest *manifest, bool anew, struct complaints *complaints,
                 struct build *ret_build)
{
    *ret_build = (struct build){0};
    size_t before = complaints->count;
    if (!has(manifest, manifest->runner))
        complaints_add(complaints, RUN_LAYOUT_RUNNER, manifest->path, manifest->runner_line,
                       "the runner %s cannot be read: %s", manifest->runner, strerror(errno))
            ->hint = sl_strdup_heap("write it, or name another file as `runner` in [production]");
    if (!*SL_PYTHON)
        complaints_add(complaints, RUN_BUILD_TOOL, manifest->path, manifest->runner_line,
                       "this silver was built without Python")
            ->hint = sl_strdup_heap("install libpython3-dev, and build and install silver again");
    char *virtualenv = python_virtualenv(manifest);
    if (virtualenv && *SL_PYTHON)
        complain_virtualenv(manifest, virtualenv, complaints);
    free(virtualenv);
    return complaints->count > before ? SL_EBUILD : 0;
}

/* ---- Changes ----------------------------------------------------------------------------------------- */

/* What tells one version of a file from the next. */
static void digest_status(struct digest *digest, const struct stat *status)
{
    digest_put(digest, &status->st_ino, sizeof(status->st_ino));
    digest_put(digest, &status->st_size, sizeof(status->st_size));
    digest_put(digest, &status->st_mtim, sizeof(status->st_mtim));
}

static void digest_path(struct digest *digest, const struct manifest *manifest, const char *name)
{
    struct stat status;
    char *path = inside(manifest, name);
    digest_puts(digest, name);
    if (stat(path, &status) == 0)
        digest_status(digest, &status);
    free(path);
}

struct found {
    struct arguments files;
    size_t seen;
};

/* Python files below a folder, and modules in C. */
static void find_files(const char *folder, int depth, struct found *found)
{
    DIR *directory = opendir(folder);
    for (struct dirent *entry; directory && (entry = readdir(directory));) {
        const char *name = entry->d_name, *dot = strrchr(name, '.');
        struct stat status;
        if (name[0] == '.' || strcmp(name, "__pycache__") == 0 || ++found->seen > FILES_MAX ||
            fstatat(dirfd(directory), name, &status, 0) < 0)
            continue;
        char *path = sl_printf_heap("%s/%s", folder, name);
        if (S_ISDIR(status.st_mode) && depth < DEPTH_MAX)
            find_files(path, depth + 1, found);
        else if (S_ISREG(status.st_mode) && dot && (strcmp(dot, ".py") == 0 || strcmp(dot, ".so") == 0))
            arguments_put(&found->files, path);
        free(path);
    }
    if (directory)
        closedir(directory);
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static void digest_tree(struct digest *digest, const struct manifest *manifest, const char *folder)
{
    struct found found = {0};
    char *path = inside(manifest, folder);
    find_files(path, 0, &found);
    free(path);
    if (found.files.count)
        qsort(found.files.items, found.files.count, sizeof(*found.files.items), by_text);
    for (size_t i = 0; i < found.files.count; i++)
        digest_path(digest, manifest, found.files.items[i]);
    arguments_done(&found.files);
}

/* malloc'ed; NULL without a virtualenv. */
static char *site_packages(const struct manifest *manifest)
{
    char *virtualenv = python_virtualenv(manifest);
    char *path = virtualenv ? sl_printf_heap("%s/lib/python" SL_PYTHON "/site-packages", virtualenv) : NULL;
    free(virtualenv);
    return path;
}

static int digest(const struct manifest *manifest, char out[static DIGEST_TEXT_SIZE])
{
    struct digest digest;
    char *folder = folder_of(manifest), *packages = site_packages(manifest);
    digest_init(&digest);
    digest_tree(&digest, manifest, folder);
    digest_tree(&digest, manifest, "lib/python");
    digest_path(&digest, manifest, "requirements.txt");
    digest_path(&digest, manifest, "pyproject.toml");
    if (packages)
        digest_path(&digest, manifest, packages);
    digest_text(&digest, out);
    free(packages);
    free(folder);
    return 0;
}

static void watched(const struct manifest *manifest, struct arguments *trees, struct arguments *folders)
{
    char *folder = folder_of(manifest), *sources = inside(manifest, folder);
    char *library = inside(manifest, "lib/python"), *packages = site_packages(manifest);
    arguments_put(trees, sources);
    if (is_directory(library))
        arguments_put(trees, library);
    if (packages && is_directory(packages))
        arguments_put(folders, packages);
    free(packages);
    free(library);
    free(sources);
    free(folder);
}

const struct runner runner_python = {
    .build = build, .digest = digest, .check = check, .load = web_load, .watched = watched};
