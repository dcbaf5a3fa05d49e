/* run.c: `silver run`. */
#include "cli/parse.h"
#include "run/run.h"

int sl__cli_run(const sl__cli_parsed *parsed)
{
    return run_command(parsed->arguments[0], sl__cli_flag(parsed, "production"), parsed->rest_count,
                       parsed->rest);
}
