/* db.c: `silver db`. */
#include "cli/parse.h"
#include "run/run.h"

#include <stdio.h>
#include <string.h>

static int refuse(const char *what)
{
    fprintf(stderr, "silver db: %s\nTry `silver help db`.\n", what);
    return SL__CLI_USAGE;
}

/* The first word may be `schema`: a directory of that name is ./schema. */
int sl__cli_db(const sl__cli_parsed *parsed)
{
    const char *first = parsed->arguments[0], *second = parsed->arguments[1];
    const char *store = sl__cli_value(parsed, "store");
    if (first && strcmp(first, "schema") == 0)
        return run_db_schema(second, store, sl__cli_flag(parsed, "json"));
    if (second)
        return refuse("two directories are one too many");
    if (sl__cli_flag(parsed, "json"))
        return refuse("--json is for `silver db schema`");
    return run_db(first, store);
}
