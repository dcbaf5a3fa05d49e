/* run_command.h: what the files of `silver run` and `silver db` share. */
#pragma once

#include "run/instance.h"
#include "run/services.h"

/* Tells on stderr all that an error has: what was wrong, what to do, where, and what led to it. */
void say_failure(const char *called, const sl_error *error);
/* The script bin/NAME or bin/NAME.py: its path, malloc'ed; or NULL. */
char *script_find(const struct manifest *manifest, const char *name);
/* The names of all of them, malloc'ed, sorted; their number. */
size_t script_names(const struct manifest *manifest, char ***ret_names);
/* Runs a program with the services: its exit status; ended by a signal, it ends this process likewise.
 * `called` is this command's name, for messages. */
int program_run(const char *called, struct services *services, char *const arguments[]);
/* Runs a script so. */
int script_run(const struct manifest *manifest, struct services *services, const char *path, int count,
               char *const words[]);

/* Does something inside an application instead of a command: fn(instance, data) is called in a task, after it
 * was started as for serving, but for its database, which is as it is. Gives what fn gives, 1 where something
 * failed. */
typedef int inside_fn(struct instance *instance, void *data);
int run_inside(const char *called, const char *directory, inside_fn *fn, void *data);
/* `silver run DIR migrate`, where the application has none of its own: prints what it does. `words` are its
 * arguments. In a task. */
int run_migrate(struct instance *instance, int count, char *const words[]);
