/* entry.h: what a C application's shared object exports. */
#pragma once

#include "run/runner.h"

void check_entry(const struct manifest *manifest, const struct build *build, struct complaints *complaints);
int load_entry(const struct manifest *manifest, const struct build *build, struct loaded *ret_loaded,
               sl_error **ret_error);
