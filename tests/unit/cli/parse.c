/* What the words of a command line become, and what is said about wrong ones. */
#include "cli/parse.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <cmocka.h>

#define PARSE(command, ...)                                                                                  \
    char *words[] = {__VA_ARGS__};                                                                           \
    SL_AUTO_ERROR sl_error *error = NULL;                                                                    \
    sl__cli_parsed parsed;                                                                                   \
    int result = sl__cli_parse(sl__cli_find(command), (int)sl_array_size(words), words, &parsed, &error)

static void reads_all_forms_of_options(void **state)
{
    PARSE("serve", "--listen", ":1", "-s", "7", "-n2", "--logfile=a=b", "-dP", "apps/chat");
    assert_int_equal(result, 0);
    assert_string_equal(sl__cli_value(&parsed, "listen"), ":1");
    assert_int_equal(sl__cli_number(&parsed, "slot", -1), 7);
    assert_int_equal(sl__cli_number(&parsed, "instances", 1), 2);
    assert_string_equal(sl__cli_value(&parsed, "logfile"), "a=b");
    assert_true(sl__cli_flag(&parsed, "daemon"));
    assert_true(sl__cli_flag(&parsed, "production"));
    assert_null(sl__cli_value(&parsed, "pidfile"));
    assert_string_equal(parsed.arguments[0], "apps/chat");
}

static void what_is_not_given_is_absent(void **state)
{
    unsetenv("SILVER_LISTEN");
    char *words[] = {NULL};
    sl__cli_parsed parsed;
    sl_error *error = NULL;
    assert_int_equal(sl__cli_parse(sl__cli_find("serve"), 0, words, &parsed, &error), 0);
    assert_null(sl__cli_value(&parsed, "listen"));
    assert_int_equal(sl__cli_number(&parsed, "slot", -1), -1);
    assert_false(sl__cli_flag(&parsed, "daemon"));
    assert_null(parsed.arguments[0]);
    assert_false(parsed.help);
}

static void the_last_of_repeated_options_holds(void **state)
{
    PARSE("serve", "--slot", "1", "--slot=2");
    assert_int_equal(result, 0);
    assert_int_equal(sl__cli_number(&parsed, "slot", -1), 2);
}

static void after_two_dashes_all_are_arguments(void **state)
{
    PARSE("serve", "-d", "--", "--daemon");
    assert_int_equal(result, 0);
    assert_string_equal(parsed.arguments[0], "--daemon");
}

static void a_single_dash_is_an_argument(void **state)
{
    PARSE("serve", "-");
    assert_int_equal(result, 0);
    assert_string_equal(parsed.arguments[0], "-");
}

static void a_variable_gives_what_the_option_does_not(void **state)
{
    setenv("SILVER_LISTEN", ":2", 1);
    {
        PARSE("serve", "-d");
        assert_int_equal(result, 0);
        assert_string_equal(sl__cli_value(&parsed, "listen"), ":2");
    }
    {
        PARSE("serve", "--listen", ":1");
        assert_int_equal(result, 0);
        assert_string_equal(sl__cli_value(&parsed, "listen"), ":1");
    }
    unsetenv("SILVER_LISTEN");
}

static void help_wins_over_what_comes_after(void **state)
{
    {
        PARSE("serve", "--help", "--nonsense");
        assert_int_equal(result, 0);
        assert_true(parsed.help);
    }
    {
        PARSE("init", "-h"); /* and over an argument that is missing */
        assert_int_equal(result, 0);
        assert_true(parsed.help);
    }
}

static void wrong(const char *command, const char *message, int count, char *words[])
{
    SL_AUTO_ERROR sl_error *error = NULL;
    sl__cli_parsed parsed;
    assert_int_equal(sl__cli_parse(sl__cli_find(command), count, words, &parsed, &error), SL_EINVAL);
    assert_string_equal(error->message, message);
}
#define WRONG(command, message, ...)                                                                         \
    wrong(command, message, (int)(sizeof((char *[]){__VA_ARGS__}) / sizeof(char *)), (char *[]){__VA_ARGS__})

static void says_what_is_wrong(void **state)
{
    WRONG("serve", "there is no option --litsen; did you mean --listen?", "--litsen", "x");
    WRONG("serve", "there is no option --prod; did you mean --production?", "--prod");
    WRONG("serve", "there is no option --hepl; did you mean --help?", "--hepl");
    WRONG("serve", "there is no option --colour", "--colour=never");
    WRONG("serve", "there is no option -x", "-dx");
    WRONG("serve", "--daemon takes no value", "--daemon=yes");
    WRONG("serve", "--listen wants a value: --listen ADDRESS:PORT", "--listen");
    WRONG("serve", "-l wants a value: -l ADDRESS:PORT", "-dl");
    WRONG("serve", "--listen wants ADDRESS:PORT, and got nothing", "--listen=");
    WRONG("serve", "one word too many: \"b\"", "a", "b");
    WRONG("serve", "DIR is empty", "");
    WRONG("version", "one word too many: \"a\"", "a");
    WRONG("init", "DIR is missing", "--");
    WRONG("help", "there is no option --mna", "--mna"); /* hidden ones are not offered */
}

static void numbers_are_checked(void **state)
{
    WRONG("serve", "--instances wants a whole number from 1 to 64, not \"0\"", "--instances", "0");
    WRONG("serve", "-n wants a whole number from 1 to 64, not \"65\"", "-n65");
    WRONG("serve", "--slot wants a whole number from 0 to 63, not \"-1\"", "--slot=-1");
    WRONG("serve", "--slot wants a whole number from 0 to 63, not \"1x\"", "--slot", "1x");
    WRONG("serve", "--slot wants a whole number from 0 to 63, not \"99999999999999999999\"", "--slot",
          "99999999999999999999");
}

static void guesses_commands(void **state)
{
    assert_string_equal(sl__cli_meant_command("srve"), "serve");
    assert_string_equal(sl__cli_meant_command("esrve"), "serve");
    assert_string_equal(sl__cli_meant_command("inti"), "init");
    assert_string_equal(sl__cli_meant_command("comp"), "completion");
    assert_null(sl__cli_meant_command("deploy"));
    assert_null(sl__cli_meant_command("x"));
    assert_null(sl__cli_meant_command(""));
    assert_null(sl__cli_meant_command("a word that is much longer than any command could ever be"));
}

/* What the parser's fixed arrays and the printed texts rely on. */
static void the_table_keeps_its_rules(void **state)
{
    for (size_t i = 0; sl__cli_commands[i]; i++) {
        const sl__cli_command *command = sl__cli_commands[i];
        size_t options = 0, arguments = 0;
        assert_non_null(command->description[0]);
        assert_non_null(command->run);
        for (const sl__cli_option *option = command->options; option && option->name; option++, options++) {
            assert_string_not_equal(option->name, sl__cli_help_option.name);
            assert_int_not_equal(option->letter, sl__cli_help_option.letter);
            for (const sl__cli_option *other = option + 1; other->name; other++) {
                assert_string_not_equal(option->name, other->name);
                assert_false(option->letter && option->letter == other->letter);
            }
            assert_true(!option->number || option->max > option->min);
        }
        for (const sl__cli_argument *argument = command->arguments; argument && argument->name; argument++)
            arguments++;
        assert_true(options <= SL__CLI_OPTIONS_MAX && arguments <= SL__CLI_ARGUMENTS_MAX);
    }
}

static void an_argument_takes_the_rest(void **state)
{
    char *words[] = {"-P", "apps/chat", "reindex", "--all", "-h", "--", ""};
    sl__cli_parsed parsed;
    sl_error *error = NULL;
    const sl__cli_command *command = sl__cli_find("run");
    assert_int_equal(sl__cli_parse(command, 7, words, &parsed, &error), 0);
    assert_true(sl__cli_flag(&parsed, "production"));
    assert_string_equal(parsed.arguments[0], "apps/chat");
    assert_int_equal(parsed.rest_count, 5);
    assert_string_equal(parsed.rest[0], "reindex");
    assert_string_equal(parsed.rest[4], "");
    assert_false(parsed.help);
    assert_int_equal(sl__cli_parse(command, 2, words, &parsed, &error), 0);
    assert_int_equal(parsed.rest_count, 0);
    assert_int_equal(sl__cli_parse(command, 0, words, &parsed, &error), 0);
    assert_null(parsed.arguments[0]);
    char *help[] = {"--help"};
    assert_int_equal(sl__cli_parse(command, 1, help, &parsed, &error), 0);
    assert_true(parsed.help);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_all_forms_of_options),
        cmocka_unit_test(what_is_not_given_is_absent),
        cmocka_unit_test(the_last_of_repeated_options_holds),
        cmocka_unit_test(after_two_dashes_all_are_arguments),
        cmocka_unit_test(a_single_dash_is_an_argument),
        cmocka_unit_test(a_variable_gives_what_the_option_does_not),
        cmocka_unit_test(help_wins_over_what_comes_after),
        cmocka_unit_test(says_what_is_wrong),
        cmocka_unit_test(an_argument_takes_the_rest),
        cmocka_unit_test(numbers_are_checked),
        cmocka_unit_test(guesses_commands),
        cmocka_unit_test(the_table_keeps_its_rules),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
