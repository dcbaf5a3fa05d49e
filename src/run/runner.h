/* runner.h: makes of an application's sources what an instance loads.
 *
 * A C application is all *.c files in its runner's directory, compiled with the system's compiler into one
 * shared object, and each of its plug-ins is another. Each file becomes an object of its own, kept by
 * content, so that a change compiles only what it touches, and a start where nothing changed runs no compiler
 * at all. */
#pragma once

#include "run/digest.h"
#include "run/manifest.h"

/* What is compiled into one shared object. */
struct target {
    const char *name;   /* as messages call it */
    const char *folder; /* of the sources, relative to the application: "src" */
    const char *file;   /* the only source, relative likewise; NULL: all *.c of the folder */
    int line;           /* of app.ini, where it is asked for */
};

struct build {
    char *path;        /* of the shared object */
    unsigned compiled; /* files that were compiled now; 0: all was there */
    char *output;      /* what the tools printed (warnings, errors), or NULL */
};

/* Makes the target; with `anew`, links again although the result is there (it could not be loaded).
 * Blocks. 0; SL_EBUILD: the sources are wrong, and `complaints` says where; another code: something that the
 * build needs is missing, likewise told. `ret_build` is filled (its output) in any case and to be given to
 * build_done. */
int runner_make(const struct manifest *manifest, const struct target *target, bool anew,
                struct complaints *complaints, struct build *ret_build);
void build_done(struct build *build);
/* The name of what runner_make would make of the sources as they are now: another name, another program. 0
 * or a code. */
int runner_name(const struct manifest *manifest, const struct target *target,
                char out[static DIGEST_TEXT_SIZE]);

/* The same for the application itself. */
int runner_build(const struct manifest *manifest, bool anew, struct complaints *complaints,
                 struct build *ret_build);
int runner_digest(const struct manifest *manifest, char out[static DIGEST_TEXT_SIZE]);

/* diagnose.c: reads a compiler's or linker's output: adds a complaint for each error in it, in order, with
 * the lines that belong to it as its detail. `directory` is taken off the beginning of file names. */
void diagnose(const char *output, const char *directory, struct complaints *complaints);
/* How many warnings with a place are in such output. */
size_t count_warnings(const char *output);

/* entry.c: 1 if the shared object exports the name, 0 if not; or a code if it cannot be read. */
int exports_name(const char *path, const char *name);
