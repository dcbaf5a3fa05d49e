/* template_check.c: finds what is wrong with templates without rendering them, for `silver check`: every file
 * below templates/ is parsed, and each file that one of them includes or extends must be there. */

#include "web/app.h"
#include "web/template.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#define DEPTH_MAX 16

typedef struct checking {
    sl__templates *templates;
    const char *directory;
    sl__template_wrong_fn *wrong;
    void *data;
} checking;

/* Tells an error, and takes it over. Those of a place in a template begin with it. */
static void tell(const checking *c, const char *name, sl_error *error)
{
    char *file = sl_printf_heap("templates/%s", name);
    size_t size = strlen(file);
    const char *message = error->message;
    int line = 0, column = 0, place = 0;
    if (strncmp(message, file, size) == 0)
        sscanf(message + size, ":%d:%d: %n", &line, &column, &place);
    if (place)
        message += size + (size_t)place;
    c->wrong(c->data, &(sl__template_wrong){file, line, column, message, error->hint, error->detail});
    sl_error_unref(error);
    free(file);
}

/* A file that another names. What is wrong inside it is told when its own turn comes. */
static void check_named(const checking *c, const sl__template *from, const char *name, size_t offset)
{
    sl__template *templ;
    sl_error *error;
    if (sl__templates_get(c->templates, SL_HERE, name, &templ, &error) == 0)
        return;
    sl_error *told = sl__template_error(SL_HERE, from, offset, "%s", error->message);
    if (error->hint)
        sl_error_hint(told, "%s", error->hint);
    if (error->detail) /* it shows a place, so the file is there */
        sl_error_unref(told);
    else
        tell(c, from->name, told);
    sl_error_unref(error);
}

static void check_nodes(const checking *c, const sl__template *templ, const sl__node *node)
{
    for (; node; node = node->next) {
        switch ((sl__template_node_kind)node->kind) {
        case SL__NODE_IF:
            for (const sl__branch *branch = node->branches; branch; branch = branch->next)
                check_nodes(c, templ, branch->body);
            break;
        case SL__NODE_FOR:
            check_nodes(c, templ, node->loop.body);
            check_nodes(c, templ, node->loop.otherwise);
            break;
        case SL__NODE_BLOCK:
            check_nodes(c, templ, node->block->body);
            break;
        case SL__NODE_INCLUDE:
            check_named(c, templ, node->include, node->offset);
            break;
        case SL__NODE_TEXT:
        case SL__NODE_PRINT:
            break;
        }
    }
}

static void check_file(const checking *c, const char *name)
{
    sl__template *templ;
    sl_error *error;
    if (sl__templates_get(c->templates, SL_HERE, name, &templ, &error) < 0) {
        tell(c, name, error);
        return;
    }
    if (templ->extends)
        check_named(c, templ, templ->extends, templ->extends_offset);
    check_nodes(c, templ, templ->nodes);
}

/* Not what an editor leaves behind. */
static int is_shown(const struct dirent *entry)
{
    size_t size = strlen(entry->d_name);
    return entry->d_name[0] != '.' && entry->d_name[size - 1] != '~';
}

/* `below` is "" or the path of a directory in templates/, with a slash at its end. */
static void check_directory(const checking *c, const char *below, unsigned depth)
{
    struct dirent **entries;
    char *path = sl_printf_heap("%s/templates/%s", c->directory, below);
    int count = scandir(path, &entries, is_shown, alphasort);
    if (count < 0 && errno != ENOENT)
        tell(c, below, sl_error_new(-errno, "this directory cannot be read: %s", strerror(errno)));
    for (int i = 0; i < count; i++) {
        struct stat status;
        char *name = sl_printf_heap("%s%s", below, entries[i]->d_name);
        char *full = sl_printf_heap("%s%s", path, entries[i]->d_name);
        char *deeper = sl_printf_heap("%s/", name);
        if (stat(full, &status) < 0 || !S_ISDIR(status.st_mode))
            check_file(c, name);
        else if (depth < DEPTH_MAX)
            check_directory(c, deeper, depth + 1);
        free(deeper);
        free(full);
        free(name);
        free(entries[i]);
    }
    if (count >= 0)
        free(entries);
    free(path);
}

void sl__app_check_templates(const char *directory, sl__template_wrong_fn *wrong, void *data)
{
    sl__templates *templates = sl__templates_new(directory, /* development= */ false, /* router= */ NULL);
    check_directory(&(checking){templates, directory, wrong, data}, "", 0);
    sl__templates_free(templates);
}
