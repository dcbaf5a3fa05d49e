/* entry.h: what the shared objects of an application export. */
#pragma once

#include "run/runner.h"

/* 1 if the shared object exports the name, 0 if not; or a code if it cannot be read. */
int exports_name(const char *path, const char *name);
void check_entry(const struct manifest *manifest, const struct build *build, struct complaints *complaints);
int load_entry(const struct manifest *manifest, const struct build *build, struct loaded *ret_loaded,
               sl_error **ret_error);
