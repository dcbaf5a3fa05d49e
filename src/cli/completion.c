/* completion.c: scripts that complete silver's words in bash and zsh, from the table of commands. They hold
 * all the words, so that pressing the key starts no process. */
#include "cli/parse.h"
#include "cli/print.h"

#include <stdio.h>

/* ---- bash ---------------------------------------------------------------------------------------------- */

static void put_command_words(sl_buffer *out)
{
    for (size_t i = 0; sl__cli_commands[i]; i++)
        sl_buffer_printf(out, "%s ", sl__cli_commands[i]->name);
}

static void put_bash_offer(sl_buffer *out, sl__cli_offer offer)
{
    switch (offer) {
    case SL__OFFER_NOTHING:
        sl_buffer_puts(out, "COMPREPLY=()");
        break;
    case SL__OFFER_FILES:
        sl_buffer_puts(out, "compopt -o filenames; mapfile -t COMPREPLY < <(compgen -f -- \"$current\")");
        break;
    case SL__OFFER_DIRECTORIES:
        sl_buffer_puts(out, "compopt -o filenames; mapfile -t COMPREPLY < <(compgen -d -- \"$current\")");
        break;
    case SL__OFFER_COMMANDS:
        sl_buffer_puts(out, "mapfile -t COMPREPLY < <(compgen -W '");
        put_command_words(out);
        sl_buffer_puts(out, "' -- \"$current\")");
        break;
    case SL__OFFER_SHELLS:
        sl_buffer_puts(out, "mapfile -t COMPREPLY < <(compgen -W 'bash zsh' -- \"$current\")");
        break;
    }
}

static void put_bash_command(sl_buffer *out, const sl__cli_command *command)
{
    sl_buffer_printf(out, "    %s)\n", command->name);
    sl_buffer_puts(out, "        case $previous in\n");
    for (const sl__cli_option *option = command->options; option && option->name; option++) {
        if (!option->metavar || option->hidden)
            continue;
        sl_buffer_printf(out, "        --%s", option->name);
        if (option->letter)
            sl_buffer_printf(out, " | -%c", option->letter);
        sl_buffer_puts(out, ") ");
        put_bash_offer(out, option->offer);
        sl_buffer_puts(out, "; return ;;\n");
    }
    sl_buffer_puts(
        out, "        esac\n        case $current in\n        -*) mapfile -t COMPREPLY < <(compgen -W '");
    for (const sl__cli_option *option = command->options; option && option->name; option++) {
        if (!option->hidden)
            sl_buffer_printf(out, "--%s ", option->name);
    }
    sl_buffer_printf(out, "--%s' -- \"$current\") ;;\n        *) ", sl__cli_help_option.name);
    put_bash_offer(out, command->arguments ? command->arguments->offer : SL__OFFER_NOTHING);
    sl_buffer_puts(out, " ;;\n        esac\n        ;;\n");
}

void sl__cli_print_bash(sl_buffer *out)
{
    sl_buffer_puts(
        out, "# Completion of silver's words for bash; made by `silver completion bash`.\n"
             "_silver() {\n"
             "    local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]} command=\n"
             "    [ \"$COMP_CWORD\" -gt 1 ] && command=${COMP_WORDS[1]}\n"
             "    COMPREPLY=()\n"
             "    case $command in\n"
             "    '') mapfile -t COMPREPLY < <(compgen -W '");
    put_command_words(out);
    sl_buffer_puts(out, "--help --version' -- \"$current\") ;;\n");
    for (size_t i = 0; sl__cli_commands[i]; i++)
        put_bash_command(out, sl__cli_commands[i]);
    sl_buffer_puts(out, "    esac\n}\ncomplete -F _silver silver\n");
}

/* ---- zsh ----------------------------------------------------------------------------------------------- */

/* A sentence inside the single quotes of an _arguments specification. */
static void put_zsh_text(sl_buffer *out, const char *text)
{
    for (; *text; text++) {
        if (*text == '\'')
            sl_buffer_puts(out, "'\\''");
        else if (strchr(":[]\\", *text))
            sl_buffer_printf(out, "\\%c", *text);
        else if (*text != '`')
            sl_buffer_putc(out, *text);
    }
}

static void put_zsh_offer(sl_buffer *out, sl__cli_offer offer)
{
    switch (offer) {
    case SL__OFFER_NOTHING:
        sl_buffer_puts(out, " ");
        break;
    case SL__OFFER_FILES:
        sl_buffer_puts(out, "_files");
        break;
    case SL__OFFER_DIRECTORIES:
        sl_buffer_puts(out, "_files -/");
        break;
    case SL__OFFER_COMMANDS:
        sl_buffer_puts(out, "(");
        put_command_words(out);
        sl_buffer_puts(out, ")");
        break;
    case SL__OFFER_SHELLS:
        sl_buffer_puts(out, "(bash zsh)");
        break;
    }
}

static void put_zsh_option(sl_buffer *out, const sl__cli_option *option)
{
    sl_buffer_puts(out, " \\\n            ");
    if (option->letter)
        sl_buffer_printf(out, "'(-%c --%s)'{-%c,--%s}'", option->letter, option->name, option->letter,
                         option->name);
    else
        sl_buffer_printf(out, "'--%s", option->name);
    sl_buffer_puts(out, "[");
    put_zsh_text(out, option->help);
    sl_buffer_puts(out, "]");
    if (option->metavar) {
        sl_buffer_puts(out, ":");
        put_zsh_text(out, option->metavar);
        sl_buffer_puts(out, ":");
        put_zsh_offer(out, option->offer);
    }
    sl_buffer_puts(out, "'");
}

static void put_zsh_command(sl_buffer *out, const sl__cli_command *command)
{
    sl_buffer_printf(out, "    %s)\n        _arguments", command->name);
    for (const sl__cli_option *option = command->options; option && option->name; option++) {
        if (!option->hidden)
            put_zsh_option(out, option);
    }
    put_zsh_option(out, &sl__cli_help_option);
    for (const sl__cli_argument *argument = command->arguments; argument && argument->name; argument++) {
        sl_buffer_printf(out, " \\\n            '%s:", argument->rest ? "*:" : argument->optional ? ":" : "");
        put_zsh_text(out, argument->name);
        sl_buffer_puts(out, ":");
        put_zsh_offer(out, argument->offer);
        sl_buffer_puts(out, "'");
    }
    sl_buffer_puts(out, "\n        ;;\n");
}

void sl__cli_print_zsh(sl_buffer *out)
{
    sl_buffer_puts(out, "#compdef silver\n"
                        "# Completion of silver's words for zsh; made by `silver completion zsh`.\n"
                        "_silver() {\n"
                        "    if ((CURRENT == 2)); then\n"
                        "        local -a commands=(\n");
    for (size_t i = 0; sl__cli_commands[i]; i++) {
        sl_buffer_printf(out, "            '%s:", sl__cli_commands[i]->name);
        put_zsh_text(out, sl__cli_commands[i]->summary);
        sl_buffer_puts(out, "'\n");
    }
    sl_buffer_puts(out, "        )\n"
                        "        _describe command commands\n"
                        "        return\n"
                        "    fi\n"
                        "    local command=$words[2]\n"
                        "    shift words\n"
                        "    ((CURRENT--))\n"
                        "    case $command in\n");
    for (size_t i = 0; sl__cli_commands[i]; i++)
        put_zsh_command(out, sl__cli_commands[i]);
    sl_buffer_puts(
        out, "    esac\n}\n"
             "if [ \"$funcstack[1]\" = _silver ]; then _silver \"$@\"; else compdef _silver silver; fi\n");
}

int sl__cli_completion(const sl__cli_parsed *parsed)
{
    const char *shell = parsed->arguments[0];
    sl_buffer out = {0};
    if (strcmp(shell, "bash") == 0) {
        sl__cli_print_bash(&out);
    } else if (strcmp(shell, "zsh") == 0) {
        sl__cli_print_zsh(&out);
    } else {
        fprintf(stderr, "silver completion: there is no script for \"%s\", only for bash and zsh\n", shell);
        return SL__CLI_USAGE;
    }
    return sl__cli_write(&out);
}
