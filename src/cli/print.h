/* print.h: the table of commands as text for people and shells. Each function appends to a buffer. */
#pragma once

#include "cli/commands.h"

/* What the help looks like: as wide as the terminal, and in colour only where that is wanted and shown. */
typedef struct sl__cli_look {
    unsigned width;
    bool colour;
} sl__cli_look;
/* The look that suits a file descriptor: a terminal's width (at most 100 columns) and colours unless NO_COLOR
 * is set or TERM is dumb; 80 columns without colours for anything else. */
sl__cli_look sl__cli_look_of(int fd);

void sl__cli_print_overview(sl_buffer *out, sl__cli_look look);
void sl__cli_print_help(sl_buffer *out, const sl__cli_command *command, sl__cli_look look);

/* Manual pages as source for man(7): silver.1, and silver-COMMAND.1. */
void sl__cli_print_man_overview(sl_buffer *out);
void sl__cli_print_man(sl_buffer *out, const sl__cli_command *command);

void sl__cli_print_bash(sl_buffer *out);
void sl__cli_print_zsh(sl_buffer *out);

/* `silver serve [DIR] [--listen ADDRESS:PORT] ...`, without its name at the start: a list of words that are
 * not to be broken. Gives them one by one: true while there are more. */
bool sl__cli_usage_next(const sl__cli_command *command, size_t *cursor, sl_buffer *ret_word);

/* Writes the buffer to the standard output, empties it, and gives the exit status: SL__CLI_FAILED with a line
 * on the standard error where it cannot be written (a full disk). A reader that has gone away is no failure.
 */
int sl__cli_write(sl_buffer *out);
