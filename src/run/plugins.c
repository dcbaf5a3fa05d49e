/* plugins.c: the plug-ins that a manifest names: where they lie, and how they come into an application. */
#include "run/plugins.h"
#include "run/complaint.h"
#include "run/entry.h"
#include "run/web.h"

#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>

#define DEPTH_MAX 8

/* ---- Where they lie ---------------------------------------------------------------------------------- */

static bool ends_in(const char *name, const char *suffix)
{
    size_t size = strlen(name), suffix_size = strlen(suffix);
    return size > suffix_size && strcmp(name + size - suffix_size, suffix) == 0;
}

static char *place_of(const char *name, const char *suffix)
{
    return sl_printf_heap("%s/%s%s", PLUGINS_FOLDER, name, suffix);
}

static bool is_there(const struct manifest *manifest, const char *place, mode_t kind)
{
    struct stat status;
    char *path = sl_printf_heap("%s/%s", manifest->directory, place);
    bool there = stat(path, &status) == 0 && (status.st_mode & S_IFMT) == kind;
    free(path);
    return there;
}

/* What could have been meant: the names that there are in plugins/, and the nearest. malloc'ed; or NULL. */
static char *missing_hint(const struct manifest *manifest, const char *name)
{
    char *path = sl_printf_heap("%s/%s", manifest->directory, PLUGINS_FOLDER), *nearest = NULL;
    DIR *folder = opendir(path);
    size_t distance = 3;
    for (struct dirent *entry; folder && (entry = readdir(folder));) {
        char *candidate = sl_strdup_heap(entry->d_name);
        if (ends_in(candidate, ".c") || ends_in(candidate, ".py"))
            *strrchr(candidate, '.') = '\0';
        size_t far = candidate[0] == '.' ? SIZE_MAX : sl_word_distance(name, candidate);
        if (far < distance) {
            distance = far;
            free(nearest);
            nearest = sl_strdup_heap(candidate);
        }
        free(candidate);
    }
    if (folder)
        closedir(folder);
    free(path);
    char *hint =
        nearest ? sl_printf_heap("did you mean `%s`?", nearest)
                : sl_printf_heap("write %s/%s.c, with SL_PLUGIN(%s, …); or take the name out of `plugins`",
                                 PLUGINS_FOLDER, name, name);
    free(nearest);
    return hint;
}

/* Fills in kind and place. */
static int find(const struct manifest *manifest, struct complaints *complaints, struct plugin *plugin)
{
    static const struct {
        const char *suffix;
        mode_t mode;
        enum plugin_kind kind;
    } forms[] = {{"", S_IFDIR, PLUGIN_C}, {".c", S_IFREG, PLUGIN_C}, {".py", S_IFREG, PLUGIN_PYTHON}};
    for (size_t i = 0; i < sl_array_size(forms); i++) {
        char *place = place_of(plugin->name, forms[i].suffix);
        if (is_there(manifest, place, forms[i].mode) && plugin->place) {
            complaints_add(complaints, RUN_LAYOUT_PLUGIN, manifest->path, manifest->plugins_line,
                           "the plug-in %s is there twice: %s and %s", plugin->name, plugin->place, place)
                ->hint = sl_strdup_heap("rename one of them");
            free(place);
            return SL_EEXIST;
        }
        if (is_there(manifest, place, forms[i].mode)) {
            plugin->place = place;
            plugin->kind = forms[i].kind;
        } else {
            free(place);
        }
    }
    if (plugin->place)
        return 0;
    complaints_add(complaints, RUN_LAYOUT_PLUGIN, manifest->path, manifest->plugins_line,
                   "there is no plug-in %s: neither %s/%s/ nor %s.c nor %s.py", plugin->name, PLUGINS_FOLDER,
                   plugin->name, plugin->name, plugin->name)
        ->hint = missing_hint(manifest, plugin->name);
    return SL_ENOENT;
}

int plugins_find(const struct manifest *manifest, struct complaints *complaints, struct plugins *ret_plugins)
{
    int result = 0;
    *ret_plugins = (struct plugins){.count = manifest->plugins.count};
    for (size_t i = 0; i < manifest->plugins.count; i++) {
        ret_plugins->items[i] = (struct plugin){.name = manifest->plugins.items[i]};
        int code = find(manifest, complaints, &ret_plugins->items[i]);
        result = result < 0 ? result : code;
    }
    return result;
}

void plugins_done(struct plugins *plugins)
{
    for (size_t i = 0; i < plugins->count; i++) {
        free(plugins->items[i].place);
        free(plugins->items[i].library);
    }
    *plugins = (struct plugins){0};
}

struct target plugin_target(const struct manifest *manifest, const struct plugin *plugin)
{
    bool file = ends_in(plugin->place, ".c");
    return (struct target){.name = plugin->name,
                           .folder = file ? PLUGINS_FOLDER : plugin->place,
                           .file = file ? plugin->place : NULL,
                           .line = manifest->plugins_line};
}

/* ---- What they are now ------------------------------------------------------------------------------- */

static int no_leftover(const struct dirent *entry)
{
    return entry->d_name[0] != '.' && !ends_in(entry->d_name, "~") &&
           strcmp(entry->d_name, "__pycache__") != 0;
}

static void digest_contents(const char *path, struct digest *digest)
{
    char chunk[8192];
    FILE *file = fopen(path, "re");
    for (size_t size; file && (size = fread(chunk, 1, sizeof(chunk), file)) > 0;)
        digest_put(digest, chunk, size);
    if (file)
        fclose(file);
}

static void digest_tree(const char *path, int depth, struct digest *digest)
{
    struct dirent **entries;
    int count = scandir(path, &entries, no_leftover, alphasort);
    for (int i = 0; i < count; i++) {
        struct stat status;
        char *below = sl_printf_heap("%s/%s", path, entries[i]->d_name);
        digest_puts(digest, entries[i]->d_name);
        if (stat(below, &status) < 0)
            status.st_mode = 0;
        if (S_ISREG(status.st_mode))
            digest_contents(below, digest);
        else if (S_ISDIR(status.st_mode) && depth < DEPTH_MAX)
            digest_tree(below, depth + 1, digest);
        free(below);
        free(entries[i]);
    }
    if (count >= 0)
        free(entries);
}

void plugins_digest(const struct manifest *manifest, struct digest *digest)
{
    char *path = sl_printf_heap("%s/" PLUGINS_FOLDER, manifest->directory);
    digest_tree(path, 0, digest);
    free(path);
}

/* ---- What is wrong with them ------------------------------------------------------------------------- */

#define MISSING_HINT "one of its sources must say SL_PLUGIN(%s, …); with what it wants and offers"

static void add_output(struct build *whole, const struct build *build)
{
    if (!build->output)
        return;
    char *both = sl_printf_heap("%s%s%s", whole->output ? whole->output : "", whole->output ? "\n" : "",
                                build->output);
    free(whole->output);
    whole->output = both;
}

static void check(const struct manifest *manifest, const struct plugin *plugin, struct complaints *complaints,
                  struct build *whole)
{
    struct target target = plugin_target(manifest, plugin);
    struct build build;
    if (runner_make(manifest, &target, false, complaints, &build) == 0) {
        add_output(whole, &build);
        if (exports_name(build.path, "sl_plugin_descriptor") == 0)
            complaints_add(complaints, RUN_BUILD_FAILED, plugin->place, 0, "the plug-in has no descriptor")
                ->hint = sl_printf_heap(MISSING_HINT, plugin->name);
    }
    build_done(&build);
}

void plugins_check(const struct manifest *manifest, struct complaints *complaints, struct build *whole)
{
    struct plugins plugins;
    bool python = false;
    plugins_find(manifest, complaints, &plugins);
    for (size_t i = 0; i < plugins.count; i++) {
        const struct plugin *plugin = &plugins.items[i];
        if (plugin->place && plugin->kind == PLUGIN_C)
            check(manifest, plugin, complaints, whole);
        python = python || (plugin->place && plugin->kind == PLUGIN_PYTHON);
    }
    if (python && !manifest->python) /* one in Python has them checked with itself */
        python_find_wrong(manifest, complaints);
    plugins_done(&plugins);
}

/* ---- Into the application ---------------------------------------------------------------------------- */

int plugin_open(struct plugin *plugin, const char *path, sl_error **ret_error)
{
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!library) {
        *ret_error = sl_error_new(SL_EBUILD, "the plug-in %s cannot be loaded: %s", plugin->name, dlerror());
        return SL_EBUILD;
    }
    plugin->descriptor = dlsym(library, "sl_plugin_descriptor");
    if (!plugin->descriptor) {
        *ret_error = sl_error_hint(sl_error_new(SL_EBUILD, "%s has no descriptor", plugin->place),
                                   MISSING_HINT, plugin->name);
        dlclose(library); /* or the next one of this path would be this one again */
        return SL_EBUILD;
    }
    free(plugin->library);
    plugin->library = sl_strdup_heap(path);
    return 0;
}

static int load(struct plugin *plugin, const struct manifest *manifest, sl_root *root, sl_manager *manager,
                sl_error **ret_error)
{
    if (plugin->kind == PLUGIN_C)
        return sl_plugin_load(root, plugin->descriptor, plugin->library, &plugin->loaded, ret_error);
    char *module = sl_printf_heap("%s/%s", manifest->directory, plugin->place);
    web_set_environment(manifest); /* the children find the virtualenv and lib/python by it */
    int code = sl_manager_offer(manager, plugin->name, &(sl_offer){0}, module, ret_error);
    free(module);
    plugin->offered = code == 0;
    return code;
}

int plugins_load(struct plugins *plugins, const struct manifest *manifest, sl_root *root, sl_manager *manager,
                 sl_error **ret_error)
{
    int code = 0;
    for (size_t i = 0; i < plugins->count && code == 0; i++)
        code = load(&plugins->items[i], manifest, root, manager, ret_error);
    return code;
}

void plugins_unload(struct plugins *plugins, sl_manager *manager)
{
    for (size_t i = plugins->count; i-- > 0;) {
        struct plugin *plugin = &plugins->items[i];
        if (plugin->loaded)
            sl_plugin_unload(plugin->loaded);
        plugin->loaded = NULL;
        if (plugin->offered)
            sl_manager_withdraw(manager, plugin->name);
        plugin->offered = false;
    }
}
