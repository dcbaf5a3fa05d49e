/* check.c: `silver check`. */
#include "cli/parse.h"
#include "run/run.h"

int sl__cli_check(const sl__cli_parsed *parsed)
{
    return run_check(parsed->arguments[0], sl__cli_flag(parsed, "json"), stdout);
}
