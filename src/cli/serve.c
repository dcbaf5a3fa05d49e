/* serve.c: `silver serve`. */
#include "cli/parse.h"
#include "run/run.h"

int sl__cli_serve(const sl__cli_parsed *parsed)
{
    return run_serve(&(struct run_serve_options){
        .directory = parsed->arguments[0],
        .listen = sl__cli_value(parsed, "listen"),
        .slot = sl__cli_number(parsed, "slot", RUN_ANY_SLOT),
        .instances = (unsigned)sl__cli_number(parsed, "instances", 1),
        .logfile = sl__cli_value(parsed, "logfile"),
        .pidfile = sl__cli_value(parsed, "pidfile"),
        .daemon = sl__cli_flag(parsed, "daemon"),
        .production = sl__cli_flag(parsed, "production"),
    });
}
