/* status.c: `silver status`. */
#include "cli/parse.h"
#include "run/run.h"

int sl__cli_status(const sl__cli_parsed *parsed)
{
    return run_status(parsed->arguments[0], sl__cli_flag(parsed, "json"), stdout);
}
