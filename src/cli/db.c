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
    bool json = sl__cli_flag(parsed, "json"), difference = sl__cli_flag(parsed, "difference");
    if (json && difference)
        return refuse("--json has the difference in it: --difference is for SQL alone");
    if (first && strcmp(first, "schema") == 0)
        return run_db_schema(second, store, json, difference);
    if (second)
        return refuse("two directories are one too many");
    if (json || difference)
        return refuse(json ? "--json is for `silver db schema`" : "--difference is for `silver db schema`");
    return run_db(first, store);
}
