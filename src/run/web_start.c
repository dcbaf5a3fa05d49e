#include "run/python.h"
int web_load(const struct manifest *manifest, const struct build *build, struct loaded *ret_loaded,
             sl_error **ret_error)
{
    *ret_error = sl_error_new(SL_EFAILED, "silver cannot serve applications in Python yet");
    return SL_EFAILED;
}
