/* runner.h: makes of an application's directory what an instance can run.
 *
 * What differs between the languages that an application may be written in is one table of functions for
 * each. A C application is all *.c files in its runner's directory, compiled with the system's compiler into
 * one shared object, and each plug-in is another. Each file becomes an object of its own, kept by content, so
 * that a change compiles only what it touches, and a start where nothing changed runs no compiler at all. A
 * Python application is not built: it runs in workers, child processes to which the instance hands its
 * requests. */
#pragma once

#include <silver/web.h>
#include "run/digest.h"
#include "run/manifest.h"
#include "run/tool.h"

/* What is compiled into one shared object. */
struct target {
    const char *name;   /* as messages call it */
    const char *folder; /* of the sources, relative to the application: "src" */
    const char *file;   /* the only source, relative likewise; NULL: all *.c of the folder */
    int line;           /* of app.ini, where it is asked for */
};

struct build {
    char *path;        /* of the shared object; NULL where nothing is built */
    unsigned compiled; /* files that were compiled now; 0: all was there */
    char *output;      /* what the tools said (warnings, errors), or NULL */
};

/* What an instance starts, and whom it asks. */
struct loaded {
    void (*start)(sl_app *app, void *data); /* in a task, before the first request; what fails it is why the
                                               application does not start */
    void *data;
    sl_handler *handler;                                             /* NULL: the routes that `start` makes */
    sl_response *(*failure)(sl_request *req, const sl_error *error); /* NULL: the application's pages */
};

struct runner {
    int (*build)(const struct manifest *manifest, bool anew, struct complaints *complaints,
                 struct build *ret_build);
    int (*digest)(const struct manifest *manifest, char out[static DIGEST_TEXT_SIZE]);
    void (*check)(const struct manifest *manifest, const struct build *build, struct complaints *complaints);
    int (*load)(const struct manifest *manifest, const struct build *build, struct loaded *ret_loaded,
                sl_error **ret_error);
    void (*watched)(const struct manifest *manifest, struct arguments *trees, struct arguments *folders);
};
extern const struct runner runner_c, runner_python;

/* Makes the target; with `anew`, links again although the result is there (it could not be loaded).
 * Blocks. 0; SL_EBUILD: the sources are wrong, and `complaints` says where; another code: something that the
 * build needs is missing, likewise told. `ret_build` is filled (its output) in any case and to be given to
 * build_done. */
int runner_make(const struct manifest *manifest, const struct target *target, bool anew,
                struct complaints *complaints, struct build *ret_build);
/* The name of what runner_make would make of the sources as they are now: another name, another program. 0
 * or a code. */
int runner_name(const struct manifest *manifest, const struct target *target,
                char out[static DIGEST_TEXT_SIZE]);

/* Builds the application; with `anew`, again although the result is there. As runner_make. */
int runner_build(const struct manifest *manifest, bool anew, struct complaints *complaints,
                 struct build *ret_build);
void build_done(struct build *build);
/* What can be found wrong with what was built without running it. Blocks. */
void runner_check(const struct manifest *manifest, const struct build *build, struct complaints *complaints);
/* check_schema.c: the same of its patches and models. */
void schema_check(const struct manifest *manifest, const struct build *build, struct complaints *complaints);
/* Loads what was built. 0, or a code with *ret_error. */
int runner_load(const struct manifest *manifest, const struct build *build, struct loaded *ret_loaded,
                sl_error **ret_error);
/* The name of what the sources are now: another name, another program. 0 or a code. */
int runner_digest(const struct manifest *manifest, char out[static DIGEST_TEXT_SIZE]);
/* Appends the absolute paths of the directories whose change may change the program: of those in `trees` also
 * what lies deeper. */
void runner_watched(const struct manifest *manifest, struct arguments *trees, struct arguments *folders);

/* diagnose.c: reads a compiler's or linker's output: adds a complaint for each error in it, in order, with
 * the lines that belong to it as its detail. `directory` is taken off the beginning of file names. */
void diagnose(const char *output, const char *directory, struct complaints *complaints);
/* How many warnings with a place are in such output. */
size_t count_warnings(const char *output);
