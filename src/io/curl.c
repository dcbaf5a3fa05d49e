/* curl.c: see curl.h. */
#include "io/curl.h"

#include <dlfcn.h>

int sl__curl_load(sl__curl *curl, sl_error **ret_error)
{
    sl__curl found;
    void *library = dlopen("libcurl.so.4", RTLD_NOW | RTLD_LOCAL);
    if (!library) {
        *ret_error = sl_error_hint(sl_error_new(SL_ENOENT, "libcurl cannot be loaded: %s", dlerror()),
                                   "install the package libcurl4");
        return SL_ENOENT;
    }
#define FIND(function)                                                                                       \
    if (!(found.function = (__typeof__(found.function))dlsym(library, "curl_" #function))) {                 \
        *ret_error =                                                                                         \
            sl_error_hint(sl_error_new(SL_ENOENT, "libcurl is too old: it has no curl_%s", #function),       \
                          "install libcurl 7.85 or newer");                                                  \
        return SL_ENOENT;                                                                                    \
    }
    SL__CURL_FUNCTIONS(FIND)
#undef FIND
    *curl = found;
    return 0;
}
