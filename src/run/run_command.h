/* run_command.h: what the two files of `silver run` share. */
#pragma once

#include "run/manifest.h"
#include "run/services.h"

/* The script bin/NAME or bin/NAME.py: its path, malloc'ed; or NULL. */
char *script_find(const struct manifest *manifest, const char *name);
/* The names of all of them, malloc'ed, sorted; their number. */
size_t script_names(const struct manifest *manifest, char ***ret_names);
/* Runs it with the services: its exit status; ended by a signal, it ends this process likewise. */
int script_run(const struct manifest *manifest, struct services *services, const char *path, int count,
               char *const words[]);
