/* help.c: `silver help`, and the help of one command. Text is wrapped to the terminal's width. */
#include "cli/parse.h"
#include "cli/print.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define WIDTH_LEAST 40
#define WIDTH_MOST 100
#define COLUMN_MOST 30 /* a left column wider than this puts its text on the next line */

sl__cli_look sl__cli_look_of(int fd)
{
    sl__cli_look look = {.width = 80};
    if (!isatty(fd))
        return look;
    struct winsize size;
    if (ioctl(fd, TIOCGWINSZ, &size) == 0 && size.ws_col > 0)
        look.width = size.ws_col;
    if (look.width < WIDTH_LEAST)
        look.width = WIDTH_LEAST;
    if (look.width > WIDTH_MOST)
        look.width = WIDTH_MOST;
    const char *no_colour = getenv("NO_COLOR"), *terminal = getenv("TERM");
    look.colour = (!no_colour || !*no_colour) && terminal && strcmp(terminal, "dumb") != 0;
    return look;
}

/* Writes text into columns. Only what is seen counts towards the width, so colours are switched beside the
 * counting. */
typedef struct writer {
    sl_buffer *out;
    sl__cli_look look;
    unsigned indent, column;
    bool bold;
} writer;

static void set_bold(writer *to, bool bold)
{
    if (to->look.colour && to->bold != bold)
        sl_buffer_puts(to->out, bold ? "\033[1m" : "\033[0m");
    to->bold = bold;
}

static void end_line(writer *to)
{
    sl_buffer_putc(to->out, '\n');
    to->column = 0;
}

static void pad_to(writer *to, unsigned column)
{
    for (; to->column < column; to->column++)
        sl_buffer_putc(to->out, ' ');
}

/* The columns that a word takes; with colours its backticks are not shown. */
static unsigned word_width(const writer *to, sl_view word)
{
    unsigned width = 0;
    for (size_t i = 0; i < word.size; i++)
        width += word.data[i] != '`' || !to->look.colour;
    return width;
}

static void put_word(writer *to, sl_view word)
{
    unsigned width = word_width(to, word);
    if (to->column > to->indent && to->column + 1 + width > to->look.width)
        end_line(to);
    if (to->column > to->indent) {
        sl_buffer_putc(to->out, ' ');
        to->column++;
    } else {
        pad_to(to, to->indent);
    }
    for (size_t i = 0; i < word.size; i++) {
        if (word.data[i] == '`' && to->look.colour)
            set_bold(to, !to->bold);
        else
            sl_buffer_putc(to->out, word.data[i]);
    }
    to->column += width;
}

static void put_text(writer *to, const char *text)
{
    while (*text) {
        size_t size = strcspn(text, " ");
        if (size)
            put_word(to, (sl_view){text, size});
        text += size + (text[size] == ' ');
    }
}

static void put_heading(writer *to, const char *text)
{
    end_line(to);
    set_bold(to, true);
    sl_buffer_puts(to->out, text);
    set_bold(to, false);
    end_line(to);
}

/* One row of two columns, the second beginning at `column`. */
static void put_row(writer *to, const char *left, unsigned column, const char *right)
{
    pad_to(to, 2);
    set_bold(to, true);
    sl_buffer_puts(to->out, left);
    set_bold(to, false);
    to->column += (unsigned)strlen(left);
    if (to->column + 2 > column)
        end_line(to);
    pad_to(to, column);
    to->indent = column;
    put_text(to, right);
    to->indent = 0;
    end_line(to);
}

static unsigned column_after(unsigned column, const char *left)
{
    unsigned wanted = 2 + (unsigned)strlen(left) + 2;
    return wanted > column && wanted <= COLUMN_MOST ? wanted : column;
}

static void put_pairs(writer *to, const char *heading, const sl__cli_pair *pairs)
{
    if (!pairs || !pairs->name)
        return;
    unsigned column = 6;
    for (const sl__cli_pair *pair = pairs; pair->name; pair++)
        column = column_after(column, pair->name);
    put_heading(to, heading);
    for (const sl__cli_pair *pair = pairs; pair->name; pair++)
        put_row(to, pair->name, column, pair->help);
}

static void option_left(sl_buffer *out, const sl__cli_option *option)
{
    out->size = 0;
    if (option->letter)
        sl_buffer_printf(out, "-%c, ", option->letter);
    else
        sl_buffer_puts(out, "    ");
    sl_buffer_printf(out, "--%s", option->name);
    if (option->metavar)
        sl_buffer_printf(out, " %s", option->metavar);
}

static void put_option(writer *to, const sl__cli_option *option, unsigned column)
{
    sl_buffer left = {0}, right = {0};
    option_left(&left, option);
    sl_buffer_puts(&right, option->help);
    if (option->fallback)
        sl_buffer_printf(&right, " (default: %s)", option->fallback);
    if (option->environment)
        sl_buffer_printf(&right, " [$%s]", option->environment);
    put_row(to, left.data, column, right.data);
    sl_buffer_done(&left);
    sl_buffer_done(&right);
}

static void put_options(writer *to, const sl__cli_command *command)
{
    sl_buffer left = {0};
    unsigned column = 16;
    for (const sl__cli_option *option = command->options; option && option->name; option++) {
        option_left(&left, option);
        column = column_after(column, left.data);
    }
    sl_buffer_done(&left);
    put_heading(to, "Options");
    for (const sl__cli_option *option = command->options; option && option->name; option++) {
        if (!option->hidden)
            put_option(to, option, column);
    }
    put_option(to, &sl__cli_help_option, column);
}

bool sl__cli_usage_next(const sl__cli_command *command, size_t *cursor, sl_buffer *ret_word)
{
    size_t at = (*cursor)++;
    const sl__cli_argument *argument = command->arguments;
    for (; argument && argument->name; argument++) {
        if (at-- == 0) {
            sl_buffer_printf(ret_word,
                             argument->rest       ? "[%s...]"
                             : argument->optional ? "[%s]"
                                                  : "%s",
                             argument->name);
            return true;
        }
    }
    for (const sl__cli_option *option = command->options; option && option->name; option++) {
        if (option->hidden || at-- != 0)
            continue;
        sl_buffer_printf(ret_word, option->metavar ? "[--%s %s]" : "[--%s]", option->name, option->metavar);
        return true;
    }
    return false;
}

static void put_usage(writer *to, const sl__cli_command *command)
{
    sl_buffer start = {0};
    sl_buffer_printf(&start, "Usage: silver %s", command->name);
    put_text(to, start.data);
    to->indent = (unsigned)start.size + 1;
    sl_buffer_done(&start);
    sl_buffer word = {0};
    for (size_t cursor = 0; sl__cli_usage_next(command, &cursor, &word); word.size = 0) {
        /* The first word follows the name; put_word puts a space before all but the first of a line. */
        if (to->column < to->indent)
            pad_to(to, to->indent);
        put_word(to, (sl_view){word.data, word.size});
    }
    sl_buffer_done(&word);
    to->indent = 0;
    end_line(to);
}

void sl__cli_print_help(sl_buffer *out, const sl__cli_command *command, sl__cli_look look)
{
    writer to = {.out = out, .look = look};
    put_usage(&to, command);
    for (size_t i = 0; command->description[i]; i++) {
        end_line(&to);
        put_text(&to, command->description[i]);
        end_line(&to);
    }
    const sl__cli_argument *argument = command->arguments;
    if (argument && argument->name) {
        unsigned column = 6;
        for (; argument->name; argument++)
            column = column_after(column, argument->name);
        put_heading(&to, "Arguments");
        for (argument = command->arguments; argument->name; argument++)
            put_row(&to, argument->name, column, argument->help);
    }
    put_options(&to, command);
    put_pairs(&to, "Environment", command->environment);
    put_pairs(&to, "Examples", command->examples);
    put_pairs(&to, "Exit status", sl__cli_exits);
    for (const sl__cli_pair *exit = command->exits; exit && exit->name; exit++)
        put_row(&to, exit->name, 6, exit->help);
}

void sl__cli_print_overview(sl_buffer *out, sl__cli_look look)
{
    writer to = {.out = out, .look = look};
    put_text(&to, "Usage: silver COMMAND ...");
    end_line(&to);
    end_line(&to);
    put_text(&to, "A web application is a directory of files; silver runs it.");
    end_line(&to);
    unsigned column = 6;
    for (size_t i = 0; sl__cli_commands[i]; i++)
        column = column_after(column, sl__cli_commands[i]->name);
    put_heading(&to, "Commands");
    for (size_t i = 0; sl__cli_commands[i]; i++)
        put_row(&to, sl__cli_commands[i]->name, column, sl__cli_commands[i]->summary);
    end_line(&to);
    put_text(&to, "`silver help COMMAND` tells all about one of them. Begin with `silver init hello`.");
    end_line(&to);
}

int sl__cli_help(const sl__cli_parsed *parsed)
{
    const char *name = parsed->arguments[0];
    const sl__cli_command *command = name ? sl__cli_find(name) : NULL;
    if (name && !command) {
        const char *meant = sl__cli_meant_command(name);
        fprintf(stderr, "silver help: there is no command \"%s\"", name);
        fprintf(stderr, meant ? "; did you mean %s?\n" : "; `silver help` lists those that there are\n",
                meant);
        return SL__CLI_USAGE;
    }
    sl_buffer out = {0};
    sl__cli_look look = sl__cli_look_of(STDOUT_FILENO);
    if (sl__cli_flag(parsed, "man") && command)
        sl__cli_print_man(&out, command);
    else if (sl__cli_flag(parsed, "man"))
        sl__cli_print_man_overview(&out);
    else if (command)
        sl__cli_print_help(&out, command, look);
    else
        sl__cli_print_overview(&out, look);
    return sl__cli_write(&out);
}
