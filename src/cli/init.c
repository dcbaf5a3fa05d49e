/* init.c: `silver init`. Writes the template's files into a new or empty directory, and takes back what it
 * made when it cannot write all of it. An application in Python gets a virtualenv too; where that cannot be
 * made, the application works without. */
#include "cli/parse.h"
#include "cli/print.h"
#include "cli/template.h"
#include "run/tool.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define NAME_MAX_SIZE 32
#define MADE_MAX 64

typedef struct kind {
    const char *runner;
    const sl__cli_template_file *files;
    const char *what, *source; /* for who reads what is next */
    bool python;
} kind;

static const kind kinds[] = {
    {"c", sl__cli_template, "a small guest book", "src/NAME.c", false},
    {"wsgi", sl__cli_template_wsgi, "a small guest book", "src/runner.py", true},
    {"asgi", sl__cli_template_asgi, "a place to talk", "src/runner.py", true},
};

/* What was made so far, in order, to be removed in reverse. */
typedef struct layout {
    const kind *kind;
    char name[NAME_MAX_SIZE + 1];
    const char *directory;
    char *made[MADE_MAX];
    size_t made_count;
} layout;

static void remember(layout *all, const char *path)
{
    if (all->made_count < MADE_MAX)
        all->made[all->made_count++] = sl_strdup_heap(path);
}

static void take_back(layout *all)
{
    while (all->made_count > 0) {
        char *path = all->made[--all->made_count];
        if (unlink(path) < 0)
            rmdir(path);
        free(path);
    }
}

static void layout_done(layout *all)
{
    while (all->made_count > 0)
        free(all->made[--all->made_count]);
}

static int complain(const char *what, const char *path, int number)
{
    fprintf(stderr, "silver init: cannot %s %s: %s\n", what, path, strerror(number));
    return -number;
}

/* Makes the directories of `path` up to its last slash, or all of it. */
static int make_directories(layout *all, const char *path, bool whole)
{
    char *copy = sl_strdup_heap(path);
    int result = 0;
    for (char *c = copy + 1; result == 0; c++) {
        bool end = *c == 0;
        if (*c != '/' && !(end && whole)) {
            if (end)
                break;
            continue;
        }
        *c = 0;
        if (mkdir(copy, 0777) == 0)
            remember(all, copy);
        else if (errno != EEXIST)
            result = complain("make the directory", copy, errno);
        if (end)
            break;
        *c = '/';
    }
    free(copy);
    return result;
}

/* `text` with each `mark` in it replaced by the name. */
static void put_named(sl_buffer *out, const char *text, const char *mark, const char *name)
{
    for (const char *found; (found = strstr(text, mark)); text = found + strlen(mark)) {
        sl_buffer_put(out, text, (size_t)(found - text));
        sl_buffer_puts(out, name);
    }
    sl_buffer_puts(out, text);
}

static int write_new_file(layout *all, const char *path, const sl_buffer *text)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (fd < 0)
        return complain("write", path, errno);
    remember(all, path);
    int number = 0;
    for (size_t done = 0; done < text->size && !number;) {
        ssize_t written = write(fd, text->data + done, text->size - done);
        if (written >= 0)
            done += (size_t)written;
        else if (errno != EINTR)
            number = errno;
    }
    if (close(fd) < 0 && !number)
        number = errno;
    return number ? complain("write", path, number) : 0;
}

static int write_template_file(layout *all, const sl__cli_template_file *file)
{
    sl_buffer path = {0}, text = {0};
    sl_buffer_printf(&path, "%s/", all->directory);
    put_named(&path, file->path, "NAME", all->name);
    put_named(&text, file->text, "@NAME@", all->name);
    int result = make_directories(all, path.data, /* whole= */ false);
    if (result == 0)
        result = write_new_file(all, path.data, &text);
    sl_buffer_done(&path);
    sl_buffer_done(&text);
    return result;
}

/* Refuses a directory with anything in it: 1 if it is there and empty, 0 if it is not there. */
static int look_at_directory(const char *path)
{
    DIR *directory = opendir(path);
    if (!directory)
        return errno == ENOENT ? 0 : complain("use", path, errno);
    int result = 1;
    for (struct dirent *entry; result == 1 && (entry = readdir(directory));) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        fprintf(stderr,
                "silver init: %s is not empty: there is %s in it. Name a directory that is new or empty.\n",
                path, entry->d_name);
        result = SL_EEXIST;
    }
    closedir(directory);
    return result;
}

/* The application's name: the directory's. */
static int find_name(layout *all)
{
    char whole[PATH_MAX];
    const char *path = all->directory;
    if (realpath(path, whole))
        path = whole;
    size_t end = strlen(path);
    while (end > 0 && path[end - 1] == '/')
        end--;
    size_t start = end;
    while (start > 0 && path[start - 1] != '/')
        start--;
    sl_view name = {path + start, end - start};
    bool good = name.size > 0 && name.size <= NAME_MAX_SIZE && name.data[0] >= 'a' && name.data[0] <= 'z';
    for (size_t i = 0; good && i < name.size; i++)
        good = strchr("abcdefghijklmnopqrstuvwxyz0123456789-_", name.data[i]) != NULL;
    if (!good) {
        fprintf(stderr,
                "silver init: \"%.*s\" cannot be an application's name. Use at most %d small letters, "
                "digits, - and _, a "
                "letter first.\n",
                (int)name.size, name.data, NAME_MAX_SIZE);
        return SL_EINVAL;
    }
    memcpy(all->name, name.data, name.size);
    return 0;
}

static int lay_out(layout *all)
{
    int result = look_at_directory(all->directory);
    if (result == 0)
        result = make_directories(all, all->directory, /* whole= */ true);
    if (result >= 0)
        result = find_name(all);
    for (size_t i = 0; result >= 0 && all->kind->files[i].path; i++)
        result = write_template_file(all, &all->kind->files[i]);
    return result;
}

/* ---- The virtualenv ---------------------------------------------------------------------------------- */

/* Runs a program in the application's directory. Its status, or a code. */
static int run(const layout *all, sl_buffer *output, const char *const *words)
{
    struct arguments arguments = {0};
    struct tool tool;
    for (; *words; words++)
        arguments_put(&arguments, *words);
    int code = tool_start(&arguments, all->directory, &tool);
    int status = code < 0 ? code : tool_wait(&tool, output);
    arguments_done(&arguments);
    return status;
}

#define PYTHON "/usr/bin/python" SL_PYTHON

/* What half a virtualenv there may be is removed: it would be taken for a whole one. */
static void make_virtualenv(const layout *all)
{
    sl_buffer output = {0};
    int status = run(all, &output, (const char *const[]){PYTHON, "-m", "venv", "venv", NULL});
    if (status != 0) {
        bool package = status == SL_ENOENT || (output.data && strstr(output.data, "ensurepip"));
        run(all, &(sl_buffer){0}, (const char *const[]){"rm", "-r", "-f", "venv", NULL});
        fprintf(stderr, "silver init: no virtualenv was made, and %s does without one.\n", all->name);
        if (package)
            fprintf(stderr,
                    "To install packages, `apt install python3-venv`, then `cd %s && " PYTHON
                    " -m venv venv`.\n",
                    all->directory);
        else
            fprintf(stderr, "`cd %s && " PYTHON " -m venv venv` failed: %s\n", all->directory,
                    output.data ? output.data : sl_code_message(status));
    }
    sl_buffer_done(&output);
}

/* ---- The command ------------------------------------------------------------------------------------- */

static void say_what_is_next(const layout *all, sl_buffer *out)
{
    bool here = strcmp(all->directory, ".") == 0;
    sl_buffer_printf(out, "Laid out %s, %s. Next:\n\n", all->name, all->kind->what);
    /* The command as it was called: it may not be in PATH. */
    sl_buffer_printf(out, "    %s serve%s%s\n", program_invocation_name, here ? "" : " ",
                     here ? "" : all->directory);
    sl_buffer_printf(out, "\nand open the address that it prints. Then change %s%s",
                     here ? "" : all->directory, here ? "" : "/");
    put_named(out, all->kind->source, "NAME", all->name);
    sl_buffer_puts(out, " and reload the page.\n");
}

static const kind *find_kind(const char *runner)
{
    for (size_t i = 0; i < sl_array_size(kinds); i++)
        if (strcmp(kinds[i].runner, runner ? runner : "c") == 0)
            return &kinds[i];
    fprintf(stderr, "silver init: --runner is c, wsgi or asgi, and not `%s`\n", runner);
    return NULL;
}

int sl__cli_init(const sl__cli_parsed *parsed)
{
    const kind *wanted = find_kind(sl__cli_value(parsed, "runner"));
    if (!wanted)
        return SL__CLI_USAGE;
    sl_buffer path = {0}, out = {0};
    sl_buffer_puts(&path, parsed->arguments[0]);
    while (path.size > 1 && path.data[path.size - 1] == '/')
        path.data[--path.size] = 0;
    layout all = {.kind = wanted, .directory = path.data};
    int result = lay_out(&all);
    if (result < 0)
        take_back(&all);
    else if (wanted->python)
        make_virtualenv(&all);
    if (result >= 0)
        say_what_is_next(&all, &out);
    layout_done(&all);
    sl_buffer_done(&path);
    return result < 0 ? SL__CLI_FAILED : sl__cli_write(&out);
}
