/* postgres_libpq.c: see postgres_libpq.h. */
#include "store/postgres_libpq.h"

#include <dlfcn.h>

int sl__libpq_load(sl__libpq *libpq, sl_error **ret_error)
{
    sl__libpq found;
    void *library = dlopen("libpq.so.5", RTLD_NOW | RTLD_LOCAL);
    if (!library) {
        *ret_error = sl_error_hint(sl_error_new(SL_ENOENT, "libpq cannot be loaded: %s", dlerror()),
                                   "install the package libpq5");
        return SL_ENOENT;
    }
#define FIND(function)                                                                                       \
    if (!(found.function = (__typeof__(found.function))dlsym(library, "PQ" #function))) {                    \
        *ret_error = sl_error_hint(sl_error_new(SL_ENOENT, "libpq is too old: it has no PQ%s", #function),   \
                                   "install libpq 14 or newer (the package libpq5)");                        \
        return SL_ENOENT;                                                                                    \
    }
    SL__LIBPQ_FUNCTIONS(FIND)
#undef FIND
    *libpq = found;
    return 0;
}
