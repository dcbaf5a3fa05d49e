/* run_script.c: a script of the application's bin/, run with the environment that the application is given.
 *
 * A script in Python is run by the interpreter of the application's virtualenv and finds what the
 * application's workers find: lib/python with its .pth files, the runner's own modules, and `silver`. */
#include "run/python.h"
#include "run/run_command.h"
#include "subsystem/worker.h"

#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define PATH_LINES_MAX 1000

/* ---- Which there are --------------------------------------------------------------------------------- */

static bool is_script(const char *path)
{
    struct stat status;
    return stat(path, &status) == 0 && S_ISREG(status.st_mode);
}

char *script_find(const struct manifest *manifest, const char *name)
{
    static const char *const endings[] = {"", ".py"};
    if (strchr(name, '/') || name[0] == '.')
        return NULL;
    for (size_t i = 0; i < sl_array_size(endings); i++) {
        char *path = sl_printf_heap("%s/bin/%s%s", manifest->directory, name, endings[i]);
        if (is_script(path))
            return path;
        free(path);
    }
    return NULL;
}

static int shown(const struct dirent *entry)
{
    size_t size = strlen(entry->d_name);
    return entry->d_name[0] != '.' && entry->d_name[size - 1] != '~';
}

size_t script_names(const struct manifest *manifest, char ***ret_names)
{
    char *folder = sl_printf_heap("%s/bin", manifest->directory);
    struct dirent **entries = NULL;
    int found = scandir(folder, &entries, shown, alphasort);
    size_t count = 0;
    *ret_names = sl_calloc(found > 0 ? (size_t)found : 1, sizeof(**ret_names));
    for (int i = 0; i < found; i++) {
        char *path = sl_printf_heap("%s/%s", folder, entries[i]->d_name);
        if (is_script(path))
            (*ret_names)[count++] = sl_strdup_heap(entries[i]->d_name);
        free(path);
        free(entries[i]);
    }
    free(entries);
    free(folder);
    return count;
}

/* ---- Python ------------------------------------------------------------------------------------------ */

/* By its name, or by the #! that it begins with. */
static bool is_python(const char *path)
{
    size_t size = strlen(path);
    if (size > 3 && strcmp(path + size - 3, ".py") == 0)
        return true;
    char line[256] = "";
    FILE *file = fopen(path, "re");
    bool marked =
        file && fgets(line, sizeof(line), file) && line[0] == '#' && line[1] == '!' && strstr(line, "python");
    if (file)
        fclose(file);
    return marked;
}

static void put_path(sl_buffer *list, const char *path)
{
    sl_buffer_printf(list, "%s%s", list->size ? ":" : "", path);
}

/* The directories that a .pth file names, one a line. */
static void put_pth(sl_buffer *list, const char *folder, const char *name)
{
    char *path = sl_printf_heap("%s/%s", folder, name), line[4096];
    FILE *file = fopen(path, "re");
    free(path);
    for (int i = 0; file && i < PATH_LINES_MAX && fgets(line, sizeof(line), file); i++) {
        line[strcspn(line, "\r\n")] = '\0';
        if (!*line || *line == '#' || strncmp(line, "import ", 7) == 0 || strchr(line, ':'))
            continue;
        char *named = line[0] == '/' ? sl_strdup_heap(line) : sl_printf_heap("%s/%s", folder, line);
        if (access(named, F_OK) == 0)
            put_path(list, named);
        free(named);
    }
    if (file)
        fclose(file);
}

static int is_pth(const struct dirent *entry)
{
    size_t size = strlen(entry->d_name);
    return size > 4 && strcmp(entry->d_name + size - 4, ".pth") == 0;
}

static void put_library(sl_buffer *list, const struct manifest *manifest)
{
    char *folder = sl_printf_heap("%s/lib/python", manifest->directory);
    struct dirent **entries = NULL;
    if (access(folder, F_OK) == 0)
        put_path(list, folder);
    int count = scandir(folder, &entries, is_pth, alphasort);
    for (int i = 0; i < count; i++) {
        put_pth(list, folder, entries[i]->d_name);
        free(entries[i]);
    }
    free(entries);
    free(folder);
}

/* The directory from which the runner is imported: that of its outermost package. */
static void put_modules(sl_buffer *list, const struct manifest *manifest)
{
    char *folder = sl_printf_heap("%s/%s", manifest->directory, manifest->runner);
    for (char *slash;
         (slash = strrchr(folder, '/')) && (size_t)(slash - folder) > strlen(manifest->directory);) {
        *slash = '\0';
        char *package = sl_printf_heap("%s/__init__.py", folder);
        bool inside = access(package, F_OK) == 0;
        free(package);
        if (!inside)
            break;
    }
    put_path(list, folder);
    free(folder);
}

/* Where the module `silver` is. */
static void put_platform(sl_buffer *list)
{
    SL_AUTO_ERROR sl_error *error = NULL;
    char *program;
    if (sl__program_find(NULL, "silver-python", &program, &error) < 0)
        return; /* built without Python: there is none */
    char *folder = sl_printf_heap("%.*s/python", (int)(strrchr(program, '/') - program), program);
    put_path(list, folder);
    free(folder);
    free(program);
}

/* Sets what Python looks at; gives the interpreter. malloc'ed. */
static char *prepare_python(const struct manifest *manifest)
{
    char *virtualenv = python_virtualenv(manifest), *python = NULL;
    const char *before = getenv("PYTHONPATH"), *path = getenv("PATH");
    sl_buffer list = {0};
    put_library(&list, manifest);
    if (manifest->python)
        put_modules(&list, manifest);
    put_platform(&list);
    if (before && *before)
        put_path(&list, before);
    if (list.size)
        setenv("PYTHONPATH", list.data, 1);
    sl_buffer_done(&list);
    if (virtualenv) {
        char *programs = sl_printf_heap("%s/bin%s%s", virtualenv, path ? ":" : "", path ? path : "");
        setenv("VIRTUAL_ENV", virtualenv, 1);
        setenv("PATH", programs, 1);
        python = sl_printf_heap("%s/bin/python", virtualenv);
        free(programs);
    }
    if (!python || access(python, X_OK) < 0) {
        bool same = *SL_PYTHON && access("/usr/bin/python" SL_PYTHON, X_OK) == 0; /* that the workers embed */
        free(python);
        python = sl_strdup_heap(same ? "/usr/bin/python" SL_PYTHON : "python3");
    }
    free(virtualenv);
    return python;
}

/* ---- Running ----------------------------------------------------------------------------------------- */

static void say_not_run(const char *called, const char *program, int code)
{
    fprintf(stderr, "%s: %s cannot be run: %s\n", called, program, strerror(code));
    if (code == EACCES)
        fprintf(stderr, "let it be executed: `chmod +x %s`\n", program);
    else if (code == ENOENT && strncmp(program, "python", 6) == 0)
        fprintf(stderr, "install it: `apt install %s`\n", program);
    else if (code == ENOENT || code == ENOEXEC)
        fprintf(stderr, "its first line must name the program that runs it, as in `#!/bin/sh`\n");
}

static volatile sig_atomic_t script_pid;

static void pass_on(int number)
{
    if (script_pid > 0)
        kill((pid_t)script_pid, number);
}

/* In a process of its own, for somebody has to let go of the services afterwards. A terminal's Ctrl-C reaches
 * it without us. */
static int run_and_wait(const char *called, char *const arguments[])
{
    signal(SIGINT, SIG_IGN);
    signal(SIGQUIT, SIG_IGN);
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        signal(SIGINT, SIG_DFL);
        signal(SIGQUIT, SIG_DFL);
        signal(SIGPIPE, SIG_DFL);
        signal(SIGXFSZ, SIG_DFL);
        execvp(arguments[0], arguments);
        say_not_run(called, arguments[0], errno);
        _exit(127);
    }
    int status = 0;
    script_pid = pid;
    signal(SIGTERM, pass_on);
    signal(SIGHUP, pass_on);
    while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
        continue;
    return pid < 0 ? W_EXITCODE(1, 0) : status;
}

int program_run(const char *called, struct services *services, char *const arguments[])
{
    int status = run_and_wait(called, arguments);
    services_stop(services);
    if (WIFSIGNALED(status)) {
        signal(WTERMSIG(status), SIG_DFL);
        raise(WTERMSIG(status));
    }
    return WEXITSTATUS(status);
}

int script_run(const struct manifest *manifest, struct services *services, const char *path, int count,
               char *const words[])
{
    struct arguments arguments = {0};
    if (is_python(path)) {
        char *python = prepare_python(manifest);
        arguments_put(&arguments, python);
        free(python);
    }
    arguments_put(&arguments, path);
    for (int i = 0; i < count; i++)
        arguments_put(&arguments, words[i]);
    int status = program_run("silver run", services, arguments.items);
    arguments_done(&arguments);
    return status;
}
