/* check_schema.c: what `silver check` finds wrong with an application's patches and models. */
#include "run/runner.h"
#include "store/schema.h"
#include "web/app.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

struct look {
    const struct manifest *manifest;
    struct complaints *complaints;
    bool patches, models; /* the program calls sl_patch, sl_models */
};

/* ---- The program ------------------------------------------------------------------------------------- */

/* Whether the names of a shared object have this one: it stands there between NULs. */
static bool names(sl_view object, const char *name)
{
    char *sought = sl_printf_heap("-%s", name);
    size_t size = strlen(sought) + 1;
    sought[0] = '\0';
    bool found = memmem(object.data, object.size, sought, size);
    free(sought);
    return found;
}

static void look_at_program(struct look *look, const char *path)
{
    int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    struct stat status;
    if (fd < 0)
        return;
    if (fstat(fd, &status) == 0 && status.st_size > 0) {
        size_t size = (size_t)status.st_size;
        void *data = mmap(NULL, size, PROT_READ, MAP_PRIVATE, fd, 0);
        if (data != MAP_FAILED) {
            look->patches = names((sl_view){data, size}, "sl__patch");
            look->models = names((sl_view){data, size}, "sl__models");
            munmap(data, size);
        }
    }
    close(fd);
}

/* ---- Stores ------------------------------------------------------------------------------------------ */

static void declare(const char *name, const char *url)
{
    sl_error *error = NULL;
    if (sl_store_declare(sl_root_current(), name, url, &error) < 0)
        sl_error_unref(error); /* the environment gives it, too */
}

/* Those of the manifest; none is opened. */
static void declare_stores(const struct manifest *manifest)
{
    if (manifest->sqlite)
        declare("sqlite", "sqlite:none");
    for (size_t i = 0; i < manifest->sqlites.count; i++)
        declare(manifest->sqlites.items[i], "sqlite:none");
    if (manifest->postgres)
        declare("postgres", "postgres://none");
}

static void wrong(const char *file, unsigned line, const char *message, const char *hint, void *data)
{
    const struct look *look = data;
    struct complaint *complaint =
        complaints_add(look->complaints, RUN_SCHEMA_PATCH, file, (int)line, "%s", message);
    complaint->hint = hint ? sl_strdup_heap(hint) : NULL;
}

static void no_store(const struct look *look)
{
    complaints_add(look->complaints, RUN_SCHEMA_STORE, look->manifest->runner, 0,
                   "the application keeps %s, and has no database", look->models ? "models" : "patches")
        ->hint =
        sl_strdup_heap("write `service.sqlite =` or `service.postgres =` under [production] in app.ini");
}

static void *look_at_schema(void *data)
{
    struct look *look = data;
    /* The environment may give databases that the manifest does not ask for. */
    sl_app *app = sl__app_new(sl_root_current(), look->manifest->directory, /* development= */ false);
    declare_stores(look->manifest);
    if (!sl__stores_any() && (look->models || look->patches))
        no_store(look);
    else
        sl__patches_check(look->manifest->directory, look->patches, wrong, look);
    sl__app_free(app);
    return NULL;
}

void schema_check(const struct manifest *manifest, const struct build *build, struct complaints *complaints)
{
    struct look look = {.manifest = manifest, .complaints = complaints};
    look_at_program(&look, build->path);
    sl_run("silver check", look_at_schema, &look, NULL);
}
