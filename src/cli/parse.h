/* parse.h: from the words of a command line to the values of a command's options and arguments. */
#pragma once

#include "cli/commands.h"

#define SL__CLI_OK 0
#define SL__CLI_FAILED 1
#define SL__CLI_USAGE 2

struct sl__cli_parsed {
    const sl__cli_command *command;
    const char *values[SL__CLI_OPTIONS_MAX]; /* in the order of the command's options; "" for a flag; NULL:
                                                not given */
    const char *arguments[SL__CLI_ARGUMENTS_MAX];
    char *const *rest; /* the words of an argument that takes the rest, and how many */
    int rest_count;
    bool help; /* --help was asked for: the rest was not looked at */
};

/* Reads the words after the command's name: `--name value`, `--name=value`, `-n value`, `-nvalue`, flags
 * together as in
 * `-ab`, and `--`, after which all are arguments. The last of repeated options holds. 0, or SL_EINVAL with an
 * error whose message says what is wrong and, where one word is meant for another, which. The values point
 * into `words` and the environment. */
int sl__cli_parse(const sl__cli_command *command, int count, char *const words[], sl__cli_parsed *ret_parsed,
                  sl_error **ret_error);

/* The values by their option's name; asking for an option that the command lacks is our mistake and ends the
 * process. */
const char *sl__cli_value(const sl__cli_parsed *parsed, const char *name); /* NULL: not given */
bool sl__cli_flag(const sl__cli_parsed *parsed, const char *name);
int sl__cli_number(const sl__cli_parsed *parsed, const char *name, int otherwise);

/* The one of `names` (which ends with NULL) that `word` was probably meant to be, or NULL. */
const char *sl__cli_meant(const char *word, const char *const names[]);
/* The same among the commands. */
const char *sl__cli_meant_command(const char *word);
