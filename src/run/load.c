/* load.c: from an application's directory to its entry.
 *
 * In development one that does not compile is served too: every request is answered with what the compiler
 * said. */
#include "run/instance.h"

#include <limits.h>
#include <stdio.h>

/* The error that the broken application's page shows: the first complaint, its place, and all that the tools
 * said. */
static sl_error *build_error(struct instance *instance, const struct complaints *complaints,
                             const struct build *build)
{
    const struct complaint *first = &complaints->items[0];
    const sl_site *site = SL_HERE;
    char place[PATH_MAX + 32] = "";
    if (first->file && first->line) {
        instance->broken_site = (sl_site){.file = sl_arena_strdup(instance->manifest->arena, first->file),
                                          .line = first->line,
                                          .function = "the build"};
        site = &instance->broken_site;
        snprintf(place, sizeof(place), "%s:%d:%d: ", first->file, first->line, first->column);
    }
    sl_error *error = sl__error_new(site, SL_EBUILD, "%s%s", place, first->message);
    if (build->output)
        sl_error_detail(error, build->output, strlen(build->output));
    return sl_error_hint(error, "%s", first->hint ? first->hint : "mend it: this page goes when it starts");
}

/* One of the shared objects that make an application: a plug-in, or with NULL the application itself. */
static int build_part(struct instance *instance, const struct plugin *plugin, bool anew,
                      struct complaints *complaints, struct build *ret_build)
{
    if (!plugin)
        return runner_build(instance->manifest, anew, complaints, ret_build);
    struct target target = plugin_target(instance->manifest, plugin);
    return runner_make(instance->manifest, &target, anew, complaints, ret_build);
}

static int load_part(struct instance *instance, struct plugin *plugin, sl_error **ret_error)
{
    int code = 0;
    for (int round = 0; round < 2; round++) {
        struct complaints complaints = {0};
        struct build build;
        *ret_error = sl_error_unref(*ret_error);
        code = build_part(instance, plugin, round > 0, &complaints, &build);
        if (code < 0) {
            say_complaints(instance, &complaints);
            if (complaints.count)
                *ret_error = build_error(instance, &complaints, &build);
        } else {
            if (build.output)
                SAY(instance, SL_WARNING, "%s", build.output);
            /* What cannot be loaded may have been linked against a library that has changed since: once more,
             * anew. */
            code = plugin ? plugin_open(plugin, build.path, ret_error)
                          : runner_load(instance->manifest, &build, &instance->loaded, ret_error);
            if (code < 0 && (round > 0 || !build.path))
                SAY(instance, SL_ERROR, "%s%s%s", (*ret_error)->message, (*ret_error)->hint ? "\n" : "",
                    (*ret_error)->hint ? (*ret_error)->hint : "");
        }
        bool again = code < 0 && build.path;
        complaints_done(&complaints);
        build_done(&build);
        if (!again)
            break;
    }
    return code;
}

static int find_plugins(struct instance *instance, sl_error **ret_error)
{
    struct complaints complaints = {0};
    struct build nothing = {0};
    int code = plugins_find(instance->manifest, &complaints, &instance->plugins);
    if (code < 0) {
        say_complaints(instance, &complaints);
        *ret_error = build_error(instance, &complaints, &nothing);
    }
    complaints_done(&complaints);
    return code;
}

int load_application(struct instance *instance)
{
    sl_error *error = NULL;
    int code = find_plugins(instance, &error);
    if (code == 0)
        code = load_part(instance, NULL, &error);
    for (size_t i = 0; i < instance->plugins.count && code == 0; i++)
        if (instance->plugins.items[i].kind == PLUGIN_C)
            code = load_part(instance, &instance->plugins.items[i], &error);
    if (code < 0 && error && instance->shows) {
        instance->broken = error;
        return 0;
    }
    sl_error_unref(error);
    return code;
}

int load_manifest(struct instance *instance, const char *directory, const char *app_name)
{
    struct complaints complaints = {0};
    int code = manifest_load(directory, &complaints, &instance->manifest);
    if (code < 0)
        say_complaints(instance, &complaints);
    if (code < 0 && instance->shows) {
        struct complaints none = {0};
        struct build nothing = {0};
        char *text = sl_printf_heap("[production]\napp_name = %s\nrunner = src/none.c\n", app_name);
        code = manifest_parse(text, strlen(text), directory, "app.ini", &none, &instance->manifest);
        if (code == 0 && !instance->broken)
            instance->broken = build_error(instance, &complaints, &nothing);
        complaints_done(&none);
        free(text);
    }
    complaints_done(&complaints);
    return code;
}
