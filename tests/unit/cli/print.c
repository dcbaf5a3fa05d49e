/* Help, manual pages and completions: all of the table is in each of them, and the help keeps to its width.
 */
#include "cli/print.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>

static void assert_holds(const sl_buffer *text, const char *part)
{
    if (!strstr(text->data, part))
        fail_msg("\"%s\" is not in:\n%s", part, text->data);
}

static void assert_lacks(const sl_buffer *text, const char *part)
{
    if (strstr(text->data, part))
        fail_msg("\"%s\" is in:\n%s", part, text->data);
}

/* The longest line, in characters that are seen. */
static unsigned widest(const sl_buffer *text)
{
    unsigned most = 0, column = 0;
    for (size_t i = 0; i < text->size; i++) {
        if (text->data[i] == '\033') {
            i += strcspn(text->data + i, "m");
            continue;
        }
        column = text->data[i] == '\n' ? 0 : column + 1;
        if (column > most)
            most = column;
    }
    return most;
}

static void the_overview_lists_all_commands(void **state)
{
    sl_buffer out = {0};
    sl__cli_print_overview(&out, (sl__cli_look){.width = 80});
    for (size_t i = 0; sl__cli_commands[i]; i++) {
        assert_holds(&out, sl__cli_commands[i]->name);
        assert_holds(&out, sl__cli_commands[i]->summary);
    }
    sl_buffer_done(&out);
}

static void help_tells_all_options(void **state)
{
    for (size_t i = 0; sl__cli_commands[i]; i++) {
        sl_buffer out = {0};
        sl__cli_print_help(&out, sl__cli_commands[i], (sl__cli_look){.width = 100});
        for (const sl__cli_option *option = sl__cli_commands[i]->options; option && option->name; option++) {
            char name[64];
            snprintf(name, sizeof(name), "--%s", option->name);
            if (option->hidden)
                assert_lacks(&out, name);
            else
                assert_holds(&out, name);
        }
        assert_holds(&out, "-h, --help");
        sl_buffer_done(&out);
    }
}

static void help_keeps_to_the_width(void **state)
{
    for (size_t i = 0; sl__cli_commands[i]; i++) {
        for (unsigned width = 60; width <= 100; width += 20) {
            for (int colour = 0; colour <= 1; colour++) {
                sl_buffer out = {0};
                sl__cli_print_help(&out, sl__cli_commands[i],
                                   (sl__cli_look){.width = width, .colour = colour});
                if (widest(&out) > width)
                    fail_msg("%u columns are not within %u:\n%s", widest(&out), width, out.data);
                sl_buffer_done(&out);
            }
        }
    }
}

static void colours_are_only_where_they_are_wanted(void **state)
{
    sl_buffer out = {0};
    sl__cli_print_help(&out, sl__cli_find("serve"), (sl__cli_look){.width = 80});
    assert_lacks(&out, "\033");
    out.size = 0;
    sl__cli_print_help(&out, sl__cli_find("serve"), (sl__cli_look){.width = 80, .colour = true});
    assert_holds(&out, "\033[1m");
    assert_lacks(&out, "`");
    sl_buffer_done(&out);
}

static void a_file_is_no_terminal(void **state)
{
    FILE *file = tmpfile();
    sl__cli_look look = sl__cli_look_of(fileno(file));
    assert_int_equal(look.width, 80);
    assert_false(look.colour);
    fclose(file);
}

static void usage_comes_word_by_word(void **state)
{
    sl_buffer all = {0}, word = {0};
    for (size_t cursor = 0; sl__cli_usage_next(sl__cli_find("check"), &cursor, &word); word.size = 0)
        sl_buffer_printf(&all, "<%s>", word.data);
    assert_string_equal(all.data, "<[DIR]><[--json]>");
    sl_buffer_done(&all);
    sl_buffer_done(&word);
}

static void manual_pages_are_complete(void **state)
{
    sl_buffer out = {0};
    sl__cli_print_man_overview(&out);
    assert_holds(&out, ".TH \"silver\" 1");
    assert_holds(&out, "\\fBsilver\\-serve\\fR(1)");
    out.size = 0;
    sl__cli_print_man(&out, sl__cli_find("serve"));
    assert_holds(&out, ".TH \"silver-serve\" 1");
    assert_holds(&out, "\\fB\\-n\\fR, \\fB\\-\\-instances\\fR \\fIN\\fR");
    assert_holds(&out, "\\fB75\\fR");
    assert_holds(&out, "SILVER_LISTEN");
    assert_lacks(&out, "`");
    /* Only requests begin with a dot. */
    for (const char *line = out.data; line; line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL)
        assert_true(line[0] != '\'' && (line[0] != '.' || (line[1] >= 'a' && line[1] <= 'z') ||
                                        (line[1] >= 'A' && line[1] <= 'Z')));
    out.size = 0;
    sl__cli_print_man(&out, sl__cli_find("help"));
    assert_lacks(&out, "\\-\\-man");
    sl_buffer_done(&out);
}

static void completions_know_all_words(void **state)
{
    sl_buffer bash = {0}, zsh = {0};
    sl__cli_print_bash(&bash);
    sl__cli_print_zsh(&zsh);
    for (size_t i = 0; sl__cli_commands[i]; i++) {
        assert_holds(&bash, sl__cli_commands[i]->name);
        assert_holds(&zsh, sl__cli_commands[i]->name);
        for (const sl__cli_option *option = sl__cli_commands[i]->options; option && option->name; option++) {
            char name[64];
            snprintf(name, sizeof(name), "--%s", option->name);
            (option->hidden ? assert_lacks : assert_holds)(&bash, name);
            (option->hidden ? assert_lacks : assert_holds)(&zsh, name);
        }
    }
    sl_buffer_done(&bash);
    sl_buffer_done(&zsh);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_overview_lists_all_commands),
        cmocka_unit_test(help_tells_all_options),
        cmocka_unit_test(help_keeps_to_the_width),
        cmocka_unit_test(colours_are_only_where_they_are_wanted),
        cmocka_unit_test(a_file_is_no_terminal),
        cmocka_unit_test(usage_comes_word_by_word),
        cmocka_unit_test(manual_pages_are_complete),
        cmocka_unit_test(completions_know_all_words),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
