/* services.c: what an application's manifest asks for, as it is given in development. */
#include "run/instance.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>

static int make_folder(const struct manifest *manifest, sl_logger *logger, const char *name)
{
    char *path = sl_printf_heap("%s/%s", manifest->directory, name);
    int code = mkdir(path, 0750) < 0 && errno != EEXIST ? -errno : 0;
    if (code < 0)
        sl_log_to(logger, SL_ERROR, SL_HERE, "cannot make %s: %s", path, sl_code_message(code));
    free(path);
    return code;
}

int services_offer(const struct manifest *manifest, sl_logger *logger)
{
    bool sqlite = manifest->sqlite && !getenv("CONFIG_SQLITE_PATH");
    bool files = manifest->files && !getenv("CONFIG_FILES");
    int code = sqlite || files ? make_folder(manifest, logger, "data") : 0;
    if (sqlite && code == 0) {
        char *path = sl_printf_heap("%s/data/%s.sqlite", manifest->directory, manifest->app_name);
        setenv("CONFIG_SQLITE_PATH", path, 1);
        free(path);
    }
    if (files && code == 0 && (code = make_folder(manifest, logger, "data/files")) == 0) {
        char *path = sl_printf_heap("%s/data/files", manifest->directory);
        setenv("CONFIG_FILES", path, 1);
        free(path);
    }
    return code;
}
