/* `silver init`: what it makes, what it refuses, and that it takes back what it cannot finish. */
#include "cli/parse.h"

#include <dirent.h>
#include <ftw.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

static int remove_one(const char *path, const struct stat *status, int kind, struct FTW *where)
{
    return remove(path);
}

static int enter(void **state)
{
    char *directory = sl_strdup_heap("/tmp/silver-init-XXXXXX");
    *state = directory;
    return mkdtemp(directory) && chdir(directory) == 0 ? 0 : -1;
}

static int leave(void **state)
{
    int result = chdir("/") == 0 && nftw(*state, remove_one, 8, FTW_DEPTH | FTW_PHYS) == 0 ? 0 : -1;
    free(*state);
    return result;
}

static int init(char *directory)
{
    SL_AUTO_ERROR sl_error *error = NULL;
    sl__cli_parsed parsed;
    assert_int_equal(sl__cli_parse(sl__cli_find("init"), 1, &directory, &parsed, &error), 0);
    return parsed.command->run(&parsed);
}

static size_t entries(const char *path)
{
    DIR *directory = opendir(path);
    assert_non_null(directory);
    size_t count = 0;
    while (readdir(directory))
        count++;
    closedir(directory);
    return count - 2;
}

static void assert_holds(const char *path, const char *part, bool yes)
{
    char text[8192];
    FILE *file = fopen(path, "r");
    if (!file)
        fail_msg("there is no %s", path);
    text[fread(text, 1, sizeof(text) - 1, file)] = 0;
    fclose(file);
    if (!strstr(text, part) == yes)
        fail_msg("\"%s\" is %s %s", part, yes ? "not in" : "in", path);
}

static void makes_an_application(void **state)
{
    assert_int_equal(init("hello"), 0);
    assert_holds("hello/app.ini", "app_name = hello", true);
    assert_holds("hello/app.ini", "src/hello.c", true);
    assert_holds("hello/src/hello.c", "SL_APPLICATION(app)", true);
    assert_holds("hello/templates/base.html", "<title>", true);
    assert_holds("hello/static/style.css", "body", true);
    assert_holds("hello/tests/test_application.py", "unittest", true);
    assert_holds("hello/README.md", "# hello", true);
    assert_holds("hello/README.md", "@NAME@", false);
}

static void takes_an_empty_directory(void **state)
{
    assert_int_equal(mkdir("empty", 0777), 0);
    assert_int_equal(chdir("empty"), 0);
    assert_int_equal(init("."), 0);
    assert_holds("app.ini", "app_name = empty", true);
}

static void makes_the_directories_above(void **state)
{
    assert_int_equal(init("a/b/hello/"), 0);
    assert_holds("a/b/hello/app.ini", "app_name = hello", true);
}

static void refuses_a_directory_with_something_in_it(void **state)
{
    assert_int_equal(mkdir("full", 0777), 0);
    fclose(fopen("full/.hidden", "w"));
    assert_int_equal(init("full"), 1);
    assert_int_equal(entries("full"), 1);
}

static void refuses_what_is_no_directory(void **state)
{
    fclose(fopen("file", "w"));
    assert_int_equal(init("file"), 1);
    assert_int_equal(init("file/below"), 1);
    assert_int_equal(entries("."), 1);
}

static void refuses_names_that_cannot_be_an_applications(void **state)
{
    assert_int_equal(init("Hello"), 1);
    assert_int_equal(init("9lives"), 1);
    assert_int_equal(init("with space"), 1);
    assert_int_equal(init("a-name-that-is-longer-than-thirty-two"), 1);
    assert_int_equal(init("new/dir/Hello"), 1);
    assert_int_equal(init("/"), 1);
    assert_int_equal(entries("."), 0); /* nothing is left of the attempts */
}

/* As on a full disk: a file can be made but not be written whole. */
static void takes_back_what_it_cannot_finish(void **state)
{
    struct rlimit old, small;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
    small = (struct rlimit){.rlim_cur = 1000, .rlim_max = old.rlim_max};
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    int status = init("parent/hello");
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
    signal(SIGXFSZ, SIG_DFL);
    assert_int_equal(status, 1);
    assert_int_equal(entries("."), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(makes_an_application, enter, leave),
        cmocka_unit_test_setup_teardown(takes_an_empty_directory, enter, leave),
        cmocka_unit_test_setup_teardown(makes_the_directories_above, enter, leave),
        cmocka_unit_test_setup_teardown(refuses_a_directory_with_something_in_it, enter, leave),
        cmocka_unit_test_setup_teardown(refuses_what_is_no_directory, enter, leave),
        cmocka_unit_test_setup_teardown(refuses_names_that_cannot_be_an_applications, enter, leave),
        cmocka_unit_test_setup_teardown(takes_back_what_it_cannot_finish, enter, leave),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
