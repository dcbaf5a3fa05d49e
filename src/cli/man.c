/* man.c: manual pages as source for man(7), from the table of commands. */
#include "cli/print.h"

#include <stdio.h>

/* Text as roff: backslashes, dashes that are typed, and a dot or an apostrophe that would begin a line are
 * taken from it as they stand; what is in backticks is bold. */
static void put_text(sl_buffer *out, const char *text)
{
    bool bold = false;
    for (const char *c = text; *c; c++) {
        if (*c == '`') {
            bold = !bold;
            sl_buffer_puts(out, bold ? "\\fB" : "\\fR");
        } else if (*c == '\\') {
            sl_buffer_puts(out, "\\e");
        } else if (*c == '-') {
            sl_buffer_puts(out, "\\-");
        } else if (c == text && (*c == '.' || *c == '\'')) {
            sl_buffer_printf(out, "\\&%c", *c);
        } else {
            sl_buffer_putc(out, *c);
        }
    }
}

static void put_line(sl_buffer *out, const char *text)
{
    put_text(out, text);
    sl_buffer_putc(out, '\n');
}

static void put_bold(sl_buffer *out, const char *text)
{
    sl_buffer_puts(out, "\\fB");
    put_text(out, text);
    sl_buffer_puts(out, "\\fR");
}

static void put_title(sl_buffer *out, const char *page)
{
    sl_buffer_printf(out, ".TH \"%s\" 1 \"\" \"silver " SL_RELEASE "\" \"Silver Lining\"\n", page);
    sl_buffer_puts(out, ".nh\n.ad l\n");
}

static void put_item(sl_buffer *out, const char *name, const char *help)
{
    sl_buffer_puts(out, ".TP\n");
    put_bold(out, name);
    sl_buffer_putc(out, '\n');
    put_line(out, help);
}

static void put_pairs(sl_buffer *out, const char *heading, const sl__cli_pair *pairs)
{
    if (!pairs || !pairs->name)
        return;
    sl_buffer_printf(out, ".SH %s\n", heading);
    for (const sl__cli_pair *pair = pairs; pair->name; pair++)
        put_item(out, pair->name, pair->help);
}

static void put_option(sl_buffer *out, const sl__cli_option *option)
{
    sl_buffer_puts(out, ".TP\n");
    if (option->letter)
        sl_buffer_printf(out, "\\fB\\-%c\\fR, ", option->letter);
    sl_buffer_puts(out, "\\fB\\-\\-");
    put_text(out, option->name);
    sl_buffer_puts(out, "\\fR");
    if (option->metavar)
        sl_buffer_printf(out, " \\fI%s\\fR", option->metavar);
    sl_buffer_putc(out, '\n');
    put_text(out, option->help);
    sl_buffer_puts(out, ".\n");
    if (option->fallback) {
        put_text(out, "Default: ");
        put_text(out, option->fallback);
        sl_buffer_puts(out, ".\n");
    }
    if (option->environment)
        sl_buffer_printf(out, "The variable \\fB%s\\fR gives it too.\n", option->environment);
}

static void put_synopsis(sl_buffer *out, const sl__cli_command *command)
{
    sl_buffer_printf(out, ".SH SYNOPSIS\n\\fBsilver %s\\fR", command->name);
    sl_buffer word = {0};
    for (size_t cursor = 0; sl__cli_usage_next(command, &cursor, &word); word.size = 0) {
        sl_buffer_putc(out, ' ');
        put_text(out, word.data);
    }
    sl_buffer_done(&word);
    sl_buffer_putc(out, '\n');
}

void sl__cli_print_man(sl_buffer *out, const sl__cli_command *command)
{
    char page[64];
    snprintf(page, sizeof(page), "silver-%s", command->name);
    put_title(out, page);
    sl_buffer_puts(out, ".SH NAME\n");
    put_text(out, page);
    sl_buffer_puts(out, " \\- ");
    put_line(out, command->summary);
    put_synopsis(out, command);
    sl_buffer_puts(out, ".SH DESCRIPTION\n");
    for (size_t i = 0; command->description[i]; i++) {
        sl_buffer_puts(out, i ? ".PP\n" : "");
        put_line(out, command->description[i]);
    }
    if (command->arguments && command->arguments->name) {
        sl_buffer_puts(out, ".SH ARGUMENTS\n");
        for (const sl__cli_argument *argument = command->arguments; argument->name; argument++)
            put_item(out, argument->name, argument->help);
    }
    sl_buffer_puts(out, ".SH OPTIONS\n");
    for (const sl__cli_option *option = command->options; option && option->name; option++) {
        if (!option->hidden)
            put_option(out, option);
    }
    put_option(out, &sl__cli_help_option);
    put_pairs(out, "ENVIRONMENT", command->environment);
    put_pairs(out, "EXAMPLES", command->examples);
    put_pairs(out, "\"EXIT STATUS\"", sl__cli_exits);
    for (const sl__cli_pair *exit = command->exits; exit && exit->name; exit++)
        put_item(out, exit->name, exit->help);
    sl_buffer_puts(out, ".SH \"SEE ALSO\"\n\\fBsilver\\fR(1)\n");
}

void sl__cli_print_man_overview(sl_buffer *out)
{
    put_title(out, "silver");
    sl_buffer_puts(out, ".SH NAME\nsilver \\- run web applications that are a directory of files\n"
                        ".SH SYNOPSIS\n\\fBsilver\\fR \\fICOMMAND\\fR ...\n"
                        ".SH DESCRIPTION\n"
                        "A web application is a directory with a manifest \\fBapp.ini\\fR, its code in "
                        "\\fBsrc\\fR, its templates "
                        "in \\fBtemplates\\fR and its files in \\fBstatic\\fR. \\fBsilver\\fR lays one out, "
                        "checks it, and serves "
                        "it.\n"
                        ".SH COMMANDS\n");
    for (size_t i = 0; sl__cli_commands[i]; i++) {
        sl_buffer_printf(out, ".TP\n\\fBsilver\\-%s\\fR(1)\n", sl__cli_commands[i]->name);
        put_text(out, sl__cli_commands[i]->summary);
        sl_buffer_puts(out, ".\n");
    }
    put_pairs(out, "\"EXIT STATUS\"", sl__cli_exits);
}
