/* program.c: where the programs are that children run.
 *
 * They stand beside libsilver where it was built, and in libexecdir where it was installed: whoever copies a
 * build or an installation elsewhere takes them along. */
#include "subsystem/worker.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

static char *beside_library(void)
{
    static const char mark;
    Dl_info info;
    if (!dladdr(&mark, &info) || !info.dli_fname)
        return NULL;
    char *path = realpath(info.dli_fname, NULL);
    char *slash = path ? strrchr(path, '/') : NULL;
    if (slash)
        *slash = '\0';
    return path;
}

static char *runnable(const char *directory, const char *program)
{
    if (!directory)
        return NULL;
    char *path = sl_printf_heap("%s/%s", directory, program);
    if (access(path, X_OK) == 0)
        return path;
    free(path);
    return NULL;
}

int sl__program_find(const char *directory, const char *program, char **ret_path, sl_error **ret_error)
{
    char *beside = directory ? NULL : beside_library();
    char *path = runnable(directory ? directory : beside, program);
    if (!path && !directory)
        path = runnable(SL_LIBEXECDIR, program);
    if (!path) {
        sl_error *error =
            directory ? sl_error_new(SL_ENOENT, "there is no program %s in %s", program, directory)
                      : sl_error_new(SL_ENOENT, "there is no program %s, neither in %s nor in %s", program,
                                     beside ? beside : "libsilver's directory", SL_LIBEXECDIR);
        *ret_error = sl_error_hint(error, "it is built and installed together with libsilver: do that again");
    }
    free(beside);
    if (!path)
        return SL_ENOENT;
    *ret_path = path;
    return 0;
}
