/* runner.c: which runner an application has. */
#include "run/runner.h"

#include <stdlib.h>

static const struct runner *runner_of(const struct manifest *manifest)
{
    return manifest->python ? &runner_python : &runner_c;
}

int runner_build(const struct manifest *manifest, bool anew, struct complaints *complaints,
                 struct build *ret_build)
{
    return runner_of(manifest)->build(manifest, anew, complaints, ret_build);
}

void build_done(struct build *build)
{
    free(build->path);
    free(build->output);
    *build = (struct build){0};
}

void runner_check(const struct manifest *manifest, const struct build *build, struct complaints *complaints)
{
    runner_of(manifest)->check(manifest, build, complaints);
}

int runner_load(const struct manifest *manifest, const struct build *build, struct loaded *ret_loaded,
                sl_error **ret_error)
{
    return runner_of(manifest)->load(manifest, build, ret_loaded, ret_error);
}

int runner_digest(const struct manifest *manifest, char out[static DIGEST_TEXT_SIZE])
{
    return runner_of(manifest)->digest(manifest, out);
}

void runner_watched(const struct manifest *manifest, struct arguments *trees, struct arguments *folders)
{
    runner_of(manifest)->watched(manifest, trees, folders);
}
