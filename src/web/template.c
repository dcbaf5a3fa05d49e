/* template.c: where templates come from, and how long they stay.
 *
 * A compiled template is kept by its name for as long as the application. In development its file is looked
 * at once in each rendering that uses it, whether by name, by include or by extends, and compiled again when
 * it is another than before; nothing suspends while a page is rendered, so a tree cannot vanish under its
 * reader. */

#include "web/template.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

struct sl__templates {
    char *directory; /* templates/ of the application */
    bool development;
    const sl__router *router;
    sl_table *compiled;
    uint64_t renderings;
};

static void free_template(void *templ)
{
    sl__template_free(templ);
}

sl__templates *sl__templates_new(const char *directory, bool development, const sl__router *router)
{
    sl__templates *templates = sl_calloc(1, sizeof(*templates));
    templates->directory = sl_printf_heap("%s/templates", directory);
    templates->development = development;
    templates->router = router;
    templates->compiled = sl_table_new(free_template);
    return templates;
}

sl__templates *sl__templates_free(sl__templates *templates)
{
    if (!templates)
        return NULL;
    sl_table_free(templates->compiled);
    free(templates->directory);
    free(templates);
    return NULL;
}

const sl__router *sl__templates_router(const sl__templates *templates)
{
    return templates->router;
}

/* ---- Files ------------------------------------------------------------------------------------------- */

/* A name is a relative path that stays below templates/. */
static bool is_proper(const char *name)
{
    if (!name[0] || strlen(name) > 255)
        return false;
    for (const char *at = name;; at++) {
        size_t size = strcspn(at, "/");
        if (size == 0 || (size == 1 && at[0] == '.') || (size == 2 && at[0] == '.' && at[1] == '.'))
            return false;
        at += size;
        if (!*at)
            return true;
    }
}

static sl_error *no_file(const sl__templates *templates, const sl_site *site, const char *name, int code)
{
    sl_error *error =
        sl__error_new(site, code, "the template \"%s\" cannot be read: %s", name, sl_code_message(code));
    return sl_error_hint(error, "templates are files below %s", templates->directory);
}

static void close_file(int *fd)
{
    if (*fd >= 0)
        close(*fd);
}

/* The clock that stamps files is coarse: two changes within one of its ticks look like one. */
#define YOUNG_MS 100

static int64_t age_ms(const struct timespec *changed)
{
    return sl_wall_ms() - ((int64_t)changed->tv_sec * 1000 + changed->tv_nsec / 1000000);
}

static int compile(sl__templates *templates, const sl_site *site, const char *name,
                   sl__template **ret_template, sl_error **ret_error)
{
    char *path = sl_printf_heap("%s/%s", templates->directory, name);
    SL_CLEANUP(close_file) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    int code = fd < 0 ? -errno : 0;
    free(path);
    struct stat status;
    if (fd >= 0 && fstat(fd, &status) < 0)
        code = -errno;
    else if (fd >= 0 && !S_ISREG(status.st_mode))
        code = -EISDIR;
    SL_CLEANUP(sl_buffer_done) sl_buffer source = {0};
    if (code == 0)
        code = sl_buffer_read(&source, fd, SL__TEMPLATE_SIZE);
    if (code < 0) {
        *ret_error = no_file(templates, site, name, code);
        return code;
    }
    sl__template *templ;
    int got = sl__template_parse(site, name, source.data, source.size, &templ, ret_error);
    if (got < 0)
        return got;
    templ->changed = status.st_mtim;
    templ->inode = status.st_ino;
    templ->young = age_ms(&status.st_mtim) < YOUNG_MS;
    *ret_template = templ;
    return 0;
}

static bool is_fresh(const sl__templates *templates, sl__template *templ)
{
    if (!templates->development || templ->checked == templates->renderings)
        return true;
    if (templ->young)
        return false;
    char *path = sl_printf_heap("%s/%s", templates->directory, templ->name);
    struct stat status;
    int got = stat(path, &status);
    free(path);
    templ->checked = templates->renderings;
    return got == 0 && status.st_mtim.tv_sec == templ->changed.tv_sec &&
           status.st_mtim.tv_nsec == templ->changed.tv_nsec && status.st_ino == templ->inode &&
           (size_t)status.st_size == templ->size;
}

int sl__templates_get(sl__templates *templates, const sl_site *site, const char *name,
                      sl__template **ret_template, sl_error **ret_error)
{
    sl__template *templ = sl_table_get(templates->compiled, name);
    if (templ && is_fresh(templates, templ)) {
        *ret_template = templ;
        return 0;
    }
    if (!is_proper(name)) {
        *ret_error = sl__error_new(site, SL_ETEMPLATE, "\"%s\" is not the name of a template", name);
        sl_error_hint(*ret_error, "a name is a path below %s, without \"..\"", templates->directory);
        return SL_ETEMPLATE;
    }
    int got = compile(templates, site, name, &templ, ret_error);
    if (got < 0) {
        sl_table_remove(templates->compiled, name);
        return got;
    }
    templ->checked = templates->renderings;
    sl_table_set(templates->compiled, name, templ);
    *ret_template = templ;
    return 0;
}

int sl__templates_render(sl__templates *templates, const sl_site *site, const char *name, json_t *data,
                         sl_arena *scratch, sl_buffer *out, sl_error **ret_error)
{
    if (!json_is_object(data)) {
        *ret_error = sl__error_new(site, SL_EINVAL, "the data of the template \"%s\" is not an object", name);
        sl_error_hint(*ret_error, "give names to the values: \"{s:s}\", \"title\", title");
        return SL_EINVAL;
    }
    templates->renderings++;
    sl__template *templ;
    int got = sl__templates_get(templates, site, name, &templ, ret_error);
    if (got < 0)
        return got;
    sl__rendering state = {
        .templates = templates, .site = site, .data = data, .scratch = scratch, .out = out, .files = 1};
    got = sl__template_render(&state, templ);
    if (got < 0)
        *ret_error = state.error;
    return got;
}
