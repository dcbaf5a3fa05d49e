/* check.c: `silver check`: everything that can be found wrong with an application without running it. */
#include "run/plugins.h"
#include "run/run.h"
#include "run/runner.h"
#include "web/app.h"

#include <jansson.h>
#include <stdlib.h>
#include <sys/stat.h>

/* What the manifest cannot know: whether the parts of an application are where they belong. */
static void check_layout(const struct manifest *manifest, struct complaints *complaints)
{
    static const char *const folders[] = {"templates", "static", "lib", "bin", "tests"};
    for (size_t i = 0; i < sl_array_size(folders); i++) {
        char *path = sl_printf_heap("%s/%s", manifest->directory, folders[i]);
        struct stat status;
        if (stat(path, &status) == 0 && !S_ISDIR(status.st_mode))
            complaints_add(complaints, RUN_LAYOUT_DIRECTORY, folders[i], 0, "is not a directory")->hint =
                sl_printf_heap("%s/ is a directory of an application, or not there at all", folders[i]);
        free(path);
    }
}

static void template_wrong(void *data, const sl__template_wrong *found)
{
    struct complaint *complaint =
        complaints_add(data, RUN_TEMPLATE_WRONG, found->file, found->line, "%s", found->message);
    complaint->column = found->column;
    complaint->hint = found->hint ? sl_strdup_heap(found->hint) : NULL;
    complaint->detail = found->detail ? sl_strdup_heap(found->detail) : NULL;
}

static void print_well(const struct manifest *manifest, const struct build *build, FILE *out)
{
    size_t warnings = build->output ? count_warnings(build->output) : 0;
    if (!build->output)
        fprintf(out, "%s: all is well\n", manifest->app_name);
    else if (warnings == 0)
        fprintf(out, "%s: well, and the compiler says:\n%s\n", manifest->app_name, build->output);
    else
        fprintf(out, "%s: well, with %zu warning%s\n%s\n", manifest->app_name, warnings,
                warnings == 1 ? "" : "s", build->output);
}

static json_t *json_of(const struct complaint *complaint)
{
    return json_pack("{s:s, s:s?, s:i, s:i, s:s, s:s?, s:s?}", "number", complaint_number(complaint->kind),
                     "file", complaint->file, "line", complaint->line, "column", complaint->column, "message",
                     complaint->message, "hint", complaint->hint, "detail", complaint->detail);
}

static void print_json(const struct manifest *manifest, const struct complaints *complaints, FILE *out)
{
    json_t *list = json_array();
    for (size_t i = 0; i < complaints->count; i++) {
        json_t *item = json_of(&complaints->items[i]);
        if (item) /* text that is not UTF-8 cannot be said in JSON */
            json_array_append_new(list, item);
    }
    json_t *all = json_pack("{s:b, s:s?, s:o}", "ok", complaints->count == 0, "application",
                            manifest ? manifest->app_name : NULL, "complaints", list);
    json_dumpf(all, out, JSON_COMPACT);
    fputc('\n', out);
    json_decref(all);
}

int run_check(const char *directory, bool json, FILE *out)
{
    struct complaints complaints = {0};
    struct manifest *manifest = NULL;
    struct build build = {0};
    if (manifest_load(directory ? directory : ".", &complaints, &manifest) == 0) {
        check_layout(manifest, &complaints);
        if (!manifest->python) /* whose templates are its own affair */
            sl__app_check_templates(manifest->directory, template_wrong, &complaints);
        if (runner_build(manifest, false, &complaints, &build) == 0)
            runner_check(manifest, &build, &complaints);
        plugins_check(manifest, &complaints, &build);
        if (!manifest->python) /* whose database is its own affair */
            schema_check(manifest, &build, &complaints);
    }
    bool ok = complaints.count == 0;
    if (json)
        print_json(manifest, &complaints, out);
    else if (ok)
        print_well(manifest, &build, out);
    else
        complaints_print(&complaints, out);
    build_done(&build);
    manifest_free(manifest);
    complaints_done(&complaints);
    return ok ? 0 : 1;
}
