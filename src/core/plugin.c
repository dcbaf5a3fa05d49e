/* plugin.c: loading what says what it wants.
 *
 * A loaded plug-in keeps a handle for each interest of its descriptor. Loading adds them in order, and takes
 * back what it added when one cannot be; unloading removes them, the last first. What a kind of interest does
 * is its own matter: those of the core stand in interest.c. */
#include "core/plugin.h"

#include <stdio.h>
#include <stdlib.h>

/* ---- What there is ---- */

const char *sl_plugin_name(const sl_loaded *plugin)
{
    return plugin->descriptor->name;
}

const char *sl_plugin_path(const sl_loaded *plugin)
{
    return plugin->path;
}

sl_root *sl_plugin_root(const sl_loaded *plugin)
{
    return plugin->root;
}

sl_loaded *sl_plugin_at(sl_root *root, size_t i)
{
    sl_loaded *plugin = root->plugins;
    while (plugin && i--)
        plugin = plugin->next;
    return plugin;
}

sl_loaded *sl_plugin_get(sl_root *root, const char *name)
{
    sl_loaded *plugin = root->plugins;
    while (plugin && strcmp(plugin->descriptor->name, name) != 0)
        plugin = plugin->next;
    return plugin;
}

const sl_interest *sl__interest_next(const sl_loaded **plugin, size_t *at, const sl_interest_kind *kind)
{
    for (; *plugin; *plugin = (*plugin)->next, *at = 0)
        while (*at < (*plugin)->added) {
            const sl_interest *interest = &(*plugin)->descriptor->interests[(*at)++];
            if (interest->kind == kind)
                return interest;
        }
    return NULL;
}

/* ---- Loading ---- */

static void link_last(sl_root *root, sl_loaded *plugin)
{
    plugin->earlier = root->last_plugin;
    *(root->last_plugin ? &root->last_plugin->next : &root->plugins) = plugin;
    root->last_plugin = plugin;
}

static void unlink_plugin(sl_loaded *plugin)
{
    sl_root *root = plugin->root;
    *(plugin->earlier ? &plugin->earlier->next : &root->plugins) = plugin->next;
    *(plugin->next ? &plugin->next->earlier : &root->last_plugin) = plugin->earlier;
}

/* Removes what was registered, the last first, and the plug-in itself. */
static void remove_all(sl_loaded *plugin)
{
    {
        SL_IN_CONTEXT(&plugin->root->base);
        while (plugin->added) {
            size_t last = --plugin->added;
            const sl_interest *interest = &plugin->descriptor->interests[last];
            if (interest->kind->remove)
                interest->kind->remove(plugin, interest, plugin->handles[last]);
        }
    }
    unlink_plugin(plugin);
    free(plugin->path);
    free(plugin);
}

static sl_error *refused(const sl_plugin *descriptor, const char *path, sl_error *error)
{
    sl_error *whole = sl_error_new(error->code, "plug-in %s%s%s%s cannot be loaded: %s", descriptor->name,
                                   path ? " (" : "", path ? path : "", path ? ")" : "", error->message);
    if (error->hint)
        sl_error_hint(whole, "%s", error->hint);
    return sl_error_cause(whole, error);
}

static sl_error *refused_interest(const sl_loaded *plugin, const sl_interest *interest, int code,
                                  sl_error *error)
{
    if (!error)
        error = sl__error_new(interest->site, code, "%s", sl_code_message(code));
    sl_error *whole = sl_error_new(
        code, "plug-in %s%s%s%s cannot be loaded: %s %s (%s:%d): %s", plugin->descriptor->name,
        plugin->path ? " (" : "", plugin->path ? plugin->path : "", plugin->path ? ")" : "",
        interest->kind->name, interest->name, interest->site->file, interest->site->line, error->message);
    if (error->hint)
        sl_error_hint(whole, "%s", error->hint);
    return sl_error_cause(whole, error);
}

static int add_all(sl_loaded *plugin, sl_error **ret_error)
{
    SL_IN_CONTEXT(&plugin->root->base);
    while (plugin->added < plugin->descriptor->interest_count) {
        const sl_interest *interest = &plugin->descriptor->interests[plugin->added];
        sl_error *error = NULL;
        int code = interest->kind->add
                       ? interest->kind->add(plugin, interest, &plugin->handles[plugin->added], &error)
                       : 0;
        if (code < 0) {
            *ret_error = refused_interest(plugin, interest, code, error);
            return code;
        }
        plugin->added++;
    }
    return 0;
}

static sl_error *check(sl_root *root, const sl_plugin *descriptor)
{
    if (descriptor->abi != SL_PLUGIN_ABI) {
        sl_error *error = sl_error_new(SL_EPROTO,
                                       "it was made for version %u of the plug-ins' interface, and "
                                       "this libsilver has version %u",
                                       descriptor->abi, SL_PLUGIN_ABI);
        return sl_error_hint(error, "compile it again");
    }
    const sl_loaded *present = sl_plugin_get(root, descriptor->name);
    if (!present)
        return NULL;
    sl_error *error = sl_error_new(SL_EEXIST, "%s has a plug-in of this name already%s%s", root->name,
                                   present->path ? ", from " : "", present->path ? present->path : "");
    return sl_error_hint(error, "name it once, or rename one of the two");
}

int sl_plugin_load(sl_root *root, const sl_plugin *descriptor, const char *path, sl_loaded **ret_plugin,
                   sl_error **ret_error)
{
    sl_error *error = check(root, descriptor);
    if (error) {
        int code = error->code;
        *ret_error = refused(descriptor, path, error);
        return code;
    }
    sl_loaded *plugin = sl_calloc(1, sizeof *plugin + descriptor->interest_count * sizeof(void *));
    plugin->root = root;
    plugin->descriptor = descriptor;
    plugin->path = path ? sl_strdup_heap(path) : NULL;
    link_last(root, plugin);
    int code = add_all(plugin, ret_error);
    if (code < 0) {
        remove_all(plugin);
        return code;
    }
    *ret_plugin = plugin;
    return 0;
}

/* ---- Starting and stopping ---- */

static bool has(const sl_loaded *plugin, const sl_interest_kind *kind)
{
    for (size_t i = 0; i < plugin->added; i++)
        if (plugin->descriptor->interests[i].kind == kind)
            return true;
    return false;
}

static void call_all(sl_loaded *plugin, const sl_interest_kind *kind)
{
    for (size_t i = 0; i < plugin->added; i++) {
        const sl_interest *interest = &plugin->descriptor->interests[i];
        if (interest->kind == kind)
            ((const sl_calls *)interest->what)->function(plugin);
    }
}

static void *start(void *data)
{
    sl_loaded *plugin = data;
    SL_IN_ROOT(plugin->root);
    call_all(plugin, &sl_starts_kind);
    return NULL;
}

static sl_loaded *first_not_started(sl_root *root)
{
    sl_loaded *plugin = root->plugins;
    while (plugin && (plugin->started || plugin->unloading))
        plugin = plugin->next;
    return plugin;
}

void sl_plugins_start(sl_root *root)
{
    if (!sl_task_current())
        sl__die(NULL, "sl_plugins_start works in tasks only");
    for (sl_loaded *plugin; (plugin = first_not_started(root));) {
        plugin->started = true;
        sl_error *error = sl__catch(start, plugin, NULL);
        plugin->failed = error;
        if (!error)
            continue;
        sl_error *whole = sl_error_new(error->code, "plug-in %s did not start: %s", plugin->descriptor->name,
                                       error->message);
        sl_fail_error(sl_error_cause(whole, error));
    }
}

static void *stop(void *data)
{
    sl_loaded *plugin = data;
    SL_IN_ROOT(plugin->root);
    call_all(plugin, &sl_stops_kind);
    return NULL;
}

static void stop_and_remove(sl_loaded *plugin)
{
    sl_error *error = sl__catch(stop, plugin, NULL);
    if (error) {
        char *text = sl_error_text(error);
        sl_error_log("plug-in %s failed to stop: %s", plugin->descriptor->name, text);
        free(text);
        sl_error_unref(error);
    }
    remove_all(plugin);
}

static void *unload_later(void *data)
{
    stop_and_remove(data);
    return NULL;
}

/* What did not start has nothing to stop. */
static bool must_stop(const sl_loaded *plugin)
{
    return has(plugin, &sl_stops_kind) && (plugin->started ? !plugin->failed : !has(plugin, &sl_starts_kind));
}

void sl_plugin_unload(sl_loaded *plugin)
{
    if (plugin->unloading)
        return;
    plugin->unloading = true;
    const sl_loop *loop = sl__loop;
    if (!must_stop(plugin)) {
        remove_all(plugin);
    } else if (loop->task && loop->fire_depth == 0) {
        stop_and_remove(plugin);
    } else {
        SL_IN_ROOT(plugin->root);
        sl_background(unload_later, plugin);
    }
}

static sl_loaded *last_to_unload(sl_root *root)
{
    sl_loaded *plugin = root->last_plugin;
    while (plugin && plugin->unloading)
        plugin = plugin->earlier;
    return plugin;
}

void sl__plugins_unload(sl_root *root)
{
    for (sl_loaded *plugin; (plugin = last_to_unload(root));)
        sl_plugin_unload(plugin);
}
