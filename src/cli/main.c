/* main.c: the `silver` command. Finds the subcommand, has its words parsed, and runs it; what there is to say
 * about subcommands stands in commands.c. */
#include "cli/parse.h"
#include "cli/print.h"
#include "run/run.h"

#include <signal.h>
#include <stdio.h>
#include <unistd.h>

static int overview(int fd)
{
    sl_buffer out = {0};
    sl__cli_print_overview(&out, sl__cli_look_of(fd));
    if (fd == STDOUT_FILENO)
        return sl__cli_write(&out);
    fwrite(out.data, 1, out.size, stderr);
    sl_buffer_done(&out);
    return SL__CLI_USAGE;
}

static int help_of(const sl__cli_command *command)
{
    sl_buffer out = {0};
    sl__cli_print_help(&out, command, sl__cli_look_of(STDOUT_FILENO));
    return sl__cli_write(&out);
}

static int unknown(const char *name)
{
    const char *meant = sl__cli_meant_command(name);
    fprintf(stderr, "silver: there is no %s \"%s\"", name[0] == '-' ? "option" : "command", name);
    if (meant)
        fprintf(stderr, "; did you mean `silver %s`?\n", meant);
    else
        fprintf(stderr, "\n`silver help` lists the commands.\n");
    return SL__CLI_USAGE;
}

int main(int argc, char *argv[])
{
    /* Writing to somebody who has gone is an error code where it happens, never the end of the process. */
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN); /* nor is a file that may not grow, such as a log */
    if (argc < 2)
        return overview(STDERR_FILENO);
    const char *name = argv[1];
    if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0)
        return overview(STDOUT_FILENO);
    if (strcmp(name, "--version") == 0)
        name = "version";
    if (strcmp(name, "instance") == 0)
        return run_instance(argc - 1, argv + 1); /* the supervisor's own, with words that nobody types */
    if (strcmp(name, "postgres") == 0)
        return run_postgres(argc - 1, argv + 1); /* likewise */
    const sl__cli_command *command = sl__cli_find(name);
    if (!command)
        return unknown(name);
    sl__cli_parsed parsed;
    SL_AUTO_ERROR sl_error *error = NULL;
    if (sl__cli_parse(command, argc - 2, argv + 2, &parsed, &error) < 0) {
        fprintf(stderr, "silver %s: %s\nTry `silver help %s`.\n", name, error->message, name);
        return SL__CLI_USAGE;
    }
    return parsed.help ? help_of(command) : command->run(&parsed);
}
