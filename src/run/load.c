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

int load_application(struct instance *instance)
{
    int code = 0;
    sl_error *error = NULL;
    for (int round = 0; round < 2; round++) {
        struct complaints complaints = {0};
        struct build build;
        code = runner_build(instance->manifest, round > 0, &complaints, &build);
        if (code < 0) {
            say_complaints(instance, &complaints);
            error = sl_error_unref(error);
            if (complaints.count)
                error = build_error(instance, &complaints, &build);
        } else {
            if (build.output)
                SAY(instance, SL_WARNING, "%s", build.output);
            /* What cannot be loaded may have been linked against a library that has changed since: once more,
             * anew. */
            error = sl_error_unref(error);
            code = runner_load(instance->manifest, &build, &instance->loaded, &error);
            if (code < 0 && (round > 0 || !build.path))
                SAY(instance, SL_ERROR, "%s%s%s", error->message, error->hint ? "\n" : "",
                    error->hint ? error->hint : "");
        }
        bool again = code < 0 && build.path;
        complaints_done(&complaints);
        build_done(&build);
        if (!again)
            break;
    }
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
