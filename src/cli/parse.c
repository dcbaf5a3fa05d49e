/* parse.c: the parser of command lines, driven by the table in commands.c. */
#include "cli/parse.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

const char *sl__cli_meant(const char *word, const char *const names[])
{
    size_t size = strlen(word);
    const char *meant = NULL;
    size_t nearest = size < 4 ? 2 : 3; /* a third of a word, more or less: beyond that it is a guess */
    for (size_t i = 0; names[i]; i++) {
        bool starts = size >= 2 && strncmp(word, names[i], size) == 0;
        size_t far = starts ? 1 : sl_word_distance(word, names[i]);
        if (far < nearest) {
            nearest = far;
            meant = names[i];
        }
    }
    return meant;
}

const char *sl__cli_meant_command(const char *word)
{
    const char *names[32];
    size_t count = 0;
    for (size_t i = 0; sl__cli_commands[i]; i++) {
        if (count + 1 < sl_array_size(names))
            names[count++] = sl__cli_commands[i]->name;
    }
    names[count] = NULL;
    return sl__cli_meant(word, names);
}

static int option_by_name(const sl__cli_command *command, sl_view name)
{
    for (int i = 0; command->options && command->options[i].name; i++) {
        if (sl_view_equal(name, sl_view_of(command->options[i].name)))
            return i;
    }
    return -1;
}

static int option_by_letter(const sl__cli_command *command, char letter)
{
    for (int i = 0; command->options && command->options[i].name; i++) {
        if (command->options[i].letter == letter)
            return i;
    }
    return -1;
}

static sl_error *unknown_option(const sl__cli_command *command, sl_view name)
{
    const char *names[SL__CLI_OPTIONS_MAX + 2];
    size_t count = 0;
    for (const sl__cli_option *option = command->options; option && option->name; option++) {
        if (!option->hidden)
            names[count++] = option->name;
    }
    names[count++] = sl__cli_help_option.name;
    names[count] = NULL;
    char *word = sl_printf_heap("%.*s", (int)name.size, name.data);
    const char *meant = sl__cli_meant(word, names);
    sl_error *error =
        meant ? sl_error_new(SL_EINVAL, "there is no option --%s; did you mean --%s?", word, meant)
              : sl_error_new(SL_EINVAL, "there is no option --%s", word);
    free(word);
    return error;
}

static sl_error *check_value(const sl__cli_option *option, const char *value, const char *given_by)
{
    uint64_t number;
    if (option->number &&
        (sl_view_number(sl_view_of(value), option->max, &number) < 0 || number < option->min))
        return sl_error_new(SL_EINVAL, "%s wants a whole number from %u to %u, not \"%s\"", given_by,
                            option->min, option->max, value);
    if (option->metavar && !*value)
        return sl_error_new(SL_EINVAL, "%s wants %s, and got nothing", given_by, option->metavar);
    return NULL;
}

/* One pass over the words. */
typedef struct reader {
    const sl__cli_command *command;
    char *const *words;
    int count, next;
    int arguments;
    sl__cli_parsed *parsed;
} reader;

static sl_error *set_option(reader *in, int index, const char *given_by, const char *value)
{
    const sl__cli_option *option = &in->command->options[index];
    if (!option->metavar) {
        if (value)
            return sl_error_new(SL_EINVAL, "%s takes no value", given_by);
        in->parsed->values[index] = "";
        return NULL;
    }
    if (!value) {
        if (in->next == in->count)
            return sl_error_new(SL_EINVAL, "%s wants a value: %s %s", given_by, given_by, option->metavar);
        value = in->words[in->next++];
    }
    in->parsed->values[index] = value;
    return check_value(option, value, given_by);
}

static sl_error *read_long(reader *in, const char *word)
{
    const char *equals = strchr(word, '=');
    sl_view name = {word + 2, equals ? (size_t)(equals - word - 2) : strlen(word + 2)};
    if (!equals && sl_view_equal(name, sl_view_of(sl__cli_help_option.name))) {
        in->parsed->help = true;
        return NULL;
    }
    int index = option_by_name(in->command, name);
    if (index < 0)
        return unknown_option(in->command, name);
    char given_by[64];
    snprintf(given_by, sizeof(given_by), "--%s", in->command->options[index].name);
    return set_option(in, index, given_by, equals ? equals + 1 : NULL);
}

static sl_error *read_short(reader *in, const char *word)
{
    for (const char *letter = word + 1; *letter && !in->parsed->help; letter++) {
        if (*letter == sl__cli_help_option.letter) {
            in->parsed->help = true;
            return NULL;
        }
        int index = option_by_letter(in->command, *letter);
        if (index < 0)
            return sl_error_new(SL_EINVAL, "there is no option -%c", *letter);
        char given_by[3] = {'-', *letter, 0};
        bool takes_rest = in->command->options[index].metavar && letter[1];
        sl_error *error = set_option(in, index, given_by, takes_rest ? letter + 1 : NULL);
        if (error || takes_rest)
            return error;
    }
    return NULL;
}

static sl_error *read_argument(reader *in, const char *word)
{
    const sl__cli_argument *argument = in->command->arguments;
    for (int i = 0; argument && argument->name && i < in->arguments; i++)
        argument++;
    if (!argument || !argument->name)
        return sl_error_new(SL_EINVAL, "one word too many: \"%s\"", word);
    if (!*word)
        return sl_error_new(SL_EINVAL, "%s is empty", argument->name);
    in->parsed->arguments[in->arguments++] = word;
    return NULL;
}

/* The words of a command's command are not ours to read. */
static bool takes_rest(const reader *in)
{
    const sl__cli_argument *argument = in->command->arguments;
    for (int i = 0; argument && argument->name && i < in->arguments; i++)
        argument++;
    return argument && argument->name && argument->rest && in->arguments > 0;
}

static sl_error *read_words(reader *in)
{
    bool options_end = false;
    while (in->next < in->count && !in->parsed->help) {
        if (takes_rest(in)) {
            in->parsed->rest = in->words + in->next;
            in->parsed->rest_count = in->count - in->next;
            return NULL;
        }
        const char *word = in->words[in->next++];
        sl_error *error = NULL;
        if (!options_end && strcmp(word, "--") == 0)
            options_end = true;
        else if (!options_end && word[0] == '-' && word[1] == '-')
            error = read_long(in, word);
        else if (!options_end && word[0] == '-' && word[1])
            error = read_short(in, word);
        else
            error = read_argument(in, word);
        if (error)
            return error;
    }
    return NULL;
}

static sl_error *fill_in(reader *in)
{
    for (int i = 0; in->command->options && in->command->options[i].name; i++) {
        const sl__cli_option *option = &in->command->options[i];
        const char *value = option->environment ? getenv(option->environment) : NULL;
        if (in->parsed->values[i] || !value || !*value)
            continue;
        in->parsed->values[i] = value;
        sl_error *error = check_value(option, value, option->environment);
        if (error)
            return error;
    }
    for (int i = 0; in->command->arguments && in->command->arguments[i].name; i++) {
        if (!in->command->arguments[i].optional && i >= in->arguments)
            return sl_error_new(SL_EINVAL, "%s is missing", in->command->arguments[i].name);
    }
    return NULL;
}

int sl__cli_parse(const sl__cli_command *command, int count, char *const words[], sl__cli_parsed *ret_parsed,
                  sl_error **ret_error)
{
    sl__cli_parsed parsed = {.command = command};
    reader in = {.command = command, .words = words, .count = count, .parsed = &parsed};
    sl_error *error = read_words(&in);
    if (!error && !parsed.help)
        error = fill_in(&in);
    if (error) {
        *ret_error = error;
        return SL_EINVAL;
    }
    *ret_parsed = parsed;
    return 0;
}

const char *sl__cli_value(const sl__cli_parsed *parsed, const char *name)
{
    int index = option_by_name(parsed->command, sl_view_of(name));
    assert(index >= 0);
    return parsed->values[index];
}

bool sl__cli_flag(const sl__cli_parsed *parsed, const char *name)
{
    return sl__cli_value(parsed, name) != NULL;
}

int sl__cli_number(const sl__cli_parsed *parsed, const char *name, int otherwise)
{
    const char *value = sl__cli_value(parsed, name);
    uint64_t number;
    if (!value || sl_view_number(sl_view_of(value), INT32_MAX, &number) < 0)
        return otherwise;
    return (int)number;
}
