/* work.h: one shared object in the making, as the two files of the runner for C see it: sources.c finds out
 * what it is made of and how that is called, runner_c.c compiles it. */
#pragma once

#include "run/runner.h"

#define WORK_FLAGS                                                                                           \
    "-std=gnu17 -O2 -g -fPIC -fexceptions -fasynchronous-unwind-tables -fno-omit-frame-pointer "             \
    "-fstack-clash-protection -Wall -Werror=implicit-function-declaration -Werror=int-conversion "           \
    "-Werror=incompatible-pointer-types -fdiagnostics-color=never"

struct source {
    char *name; /* relative to the application */
    char object[DIGEST_TEXT_SIZE];
};

struct work {
    const struct manifest *manifest;
    const struct target *target;
    struct complaints *complaints;
    struct build *build;
    char *cache;   /* the cache's directory */
    char *include; /* libsilver's headers */
    char *library; /* libsilver itself, or NULL where it is part of this program */
    struct arguments compiler;
    struct arguments library_flags, library_links; /* of `libraries`; asked for only to compile */
    char common[DIGEST_TEXT_SIZE];                 /* of everything but the file itself */
    char linked[DIGEST_TEXT_SIZE];                 /* of the shared object */
    struct source *sources;                        /* sorted by name */
    size_t count;
    sl_buffer output;
};

/* Fills in all but what the tools give: the sources, their names and that of the whole. 0, or a code with a
 * complaint. */
int work_look(struct work *work);
void work_done(struct work *work);
