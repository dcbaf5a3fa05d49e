/* runner.c: what is compiled, when, and how mistakes are told. These run the system's compiler. */
#include "check.h"
#include "run/runner.h"

#include <dirent.h>
#include <dlfcn.h>
#include <signal.h>
#include <sys/wait.h>

#define MANIFEST "[production]\napp_name = demo\nrunner = src/demo.c\n"
#define GREETING "#include \"greeting.h\"\nconst char *greeting(void) { return GREETING; }\n"
#define ENTRY                                                                                                \
    "#include <silver/silver.h>\n#include \"greeting.h\"\n"                                                  \
    "const char *greeting(void);\n"                                                                          \
    "const char *whole(void);\n"                                                                             \
    "const char *whole(void) { return sl_code_name(SL_EINVAL) ? greeting() : 0; }\n"

static char *scratch, *directory;
static struct complaints complaints;

static int set_up(void **state)
{
    scratch = scratch_make();
    directory = sl_printf_heap("%s/demo", scratch);
    char *cache = sl_printf_heap("%s/cache", scratch), *sources = sl_printf_heap("%s/src", directory);
    setenv("XDG_CACHE_HOME", cache, 1);
    unsetenv("CC");
    assert_int_equal(mkdir(directory, 0700), 0);
    assert_int_equal(mkdir(sources, 0700), 0);
    write_file(directory, "app.ini", MANIFEST);
    write_file(directory, "src/demo.c", ENTRY);
    write_file(directory, "src/greeting.c", GREETING);
    write_file(directory, "src/greeting.h", "#define GREETING \"hello\"\n");
    free(cache);
    free(sources);
    return 0;
}

static int tear_down(void **state)
{
    complaints_done(&complaints);
    free(directory);
    scratch_remove(scratch);
    return 0;
}

/* Builds; the path is the caller's, NULL on failure. */
static char *build(int wanted, unsigned compiled)
{
    struct manifest *manifest = NULL;
    struct build result;
    complaints_done(&complaints);
    assert_int_equal(manifest_load(directory, &complaints, &manifest), 0);
    int code = runner_build(manifest, false, &complaints, &result);
    if (code != wanted)
        complaints_print(&complaints, stderr);
    assert_int_equal(code, wanted);
    assert_int_equal(result.compiled, compiled);
    char *path = result.path ? sl_strdup_heap(result.path) : NULL;
    assert_true((path != NULL) == (code == 0));
    build_done(&result);
    manifest_free(manifest);
    return path;
}

static void expect_greeting(const char *path, const char *text)
{
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!library)
        fail_msg("%s", dlerror());
    const char *(*whole)(void);
    *(void **)&whole = dlsym(library, "whole");
    assert_non_null(whole);
    assert_string_equal(whole(), text);
    dlclose(library);
}

static void test_build_and_cache(void **state)
{
    char *first = build(0, 2), *second = build(0, 0);
    assert_string_equal(first, second);
    expect_greeting(first, "hello");
    /* A file that changed is the only one compiled; changed back, nothing is. */
    write_file(directory, "src/greeting.c", GREETING "int more;\n");
    char *third = build(0, 1);
    assert_string_not_equal(first, third);
    write_file(directory, "src/greeting.c", GREETING);
    char *fourth = build(0, 0);
    assert_string_equal(first, fourth);
    /* A header concerns all. */
    write_file(directory, "src/greeting.h", "#define GREETING \"good day\"\n");
    char *fifth = build(0, 2);
    expect_greeting(fifth, "good day");
    free(first);
    free(second);
    free(third);
    free(fourth);
    free(fifth);
}

static void test_digest_follows_sources(void **state)
{
    struct manifest *manifest = NULL;
    char first[DIGEST_TEXT_SIZE], second[DIGEST_TEXT_SIZE];
    assert_int_equal(manifest_load(directory, &complaints, &manifest), 0);
    assert_int_equal(runner_digest(manifest, first), 0);
    write_file(directory, "src/.greeting.c.swp", "an editor's");
    write_file(directory, "src/greeting.c~", "an editor's");
    assert_int_equal(runner_digest(manifest, second), 0);
    assert_string_equal(first, second);
    write_file(directory, "src/table.def", "X(1)");
    assert_int_equal(runner_digest(manifest, second), 0);
    assert_string_not_equal(first, second);
    manifest_free(manifest);
}

static void test_compile_errors(void **state)
{
    write_file(directory, "src/greeting.c",
               GREETING "int f(void)\n{\n    return x;\n}\nint g(void) { return y; }\n");
    assert_null(build(SL_EBUILD, 1)); /* the other file is all right, and kept */
    assert_int_equal(complaints.count, 2);
    assert_string_equal(complaint_number(complaints.items[0].kind), "SL0130");
    assert_string_equal(complaints.items[0].file, "src/greeting.c");
    assert_int_equal(complaints.items[0].line, 5);
    assert_int_equal(complaints.items[0].column, 12);
    assert_non_null(strstr(complaints.items[0].message, "undeclared"));
    assert_non_null(strstr(complaints.items[0].detail, "return x;"));
    assert_int_equal(complaints.items[1].line, 7);
    write_file(directory, "src/greeting.c", GREETING);
    free(build(0, 1));
}

static void test_link_errors(void **state)
{
    write_file(directory, "src/greeting.c",
               "extern int nobody;\nconst char *greeting(void);\n"
               "const char *greeting(void) { return nobody ? \"\" : 0; }\n");
    assert_null(build(SL_EBUILD, 2));
    assert_int_equal(complaints.count, 1);
    assert_string_equal(complaints.items[0].file, "src/greeting.c");
    assert_int_equal(complaints.items[0].line, 3);
    assert_non_null(strstr(complaints.items[0].message, "nobody"));
    write_file(directory, "src/greeting.c", "void greeting(void);\nvoid greeting(void) { sl_rout(0); }\n");
    assert_null(build(SL_EBUILD, 0));
    assert_int_equal(complaints.items[0].line, 2); /* an unknown function is an error of its file */
}

static void test_no_runner(void **state)
{
    char *path = sl_printf_heap("%s/src/demo.c", directory);
    unlink(path);
    free(path);
    assert_null(build(SL_ENOENT, 0));
    assert_string_equal(complaint_number(complaints.items[0].kind), "SL0120");
}

static void test_no_compiler(void **state)
{
    setenv("CC", "no-such-compiler", 1);
    assert_null(build(SL_ENOENT, 0));
    assert_string_equal(complaint_number(complaints.items[0].kind), "SL0131");
    assert_non_null(strstr(complaints.items[0].message, "`no-such-compiler`"));
    assert_non_null(strstr(complaints.items[0].hint, "unset CC"));
    assert_int_equal(complaints.count, 1); /* one clear line, however many files there are */
    unsetenv("CC");
}

static void test_unknown_library(void **state)
{
    write_file(directory, "app.ini", MANIFEST "libraries = no-such-library\n");
    assert_null(build(SL_ENOENT, 0));
    assert_non_null(strstr(complaints.items[0].message, "no-such-library"));
}

static void test_library(void **state)
{
    write_file(directory, "app.ini", MANIFEST "libraries = libuv\n");
    write_file(directory, "src/greeting.c",
               GREETING "#include <uv.h>\nunsigned v(void);\n"
                        "unsigned v(void) { return uv_version(); }\n");
    char *path = build(0, 2);
    expect_greeting(path, "hello");
    free(path);
}

static void test_no_home(void **state)
{
    setenv("XDG_CACHE_HOME", "/proc/nowhere", 1);
    setenv("HOME", "/proc/nowhere", 1);
    char *path = build(0, 2);
    char *inside = sl_printf_heap("%s/.silver/", directory);
    assert_memory_equal(path, inside, strlen(inside));
    free(inside);
    free(path);
}

/* A compiler that is killed while it writes, again and again, leaves nothing behind that is taken for a
 * result. */
static void test_killed_compiler(void **state)
{
    char *wrapper = sl_printf_heap("%s/cc", scratch);
    write_file(scratch, "cc", "#!/bin/sh\nfor last; do :; done\necho half > \"$last\"\nkill -9 $$\n");
    assert_int_equal(chmod(wrapper, 0700), 0);
    setenv("CC", wrapper, 1);
    assert_null(build(SL_EFAILED, 0));
    assert_non_null(strstr(complaints.items[0].message, "ended by signal 9"));
    assert_null(build(SL_EFAILED, 0));
    unsetenv("CC");
    free(wrapper);
    char *path = build(0, 2);
    expect_greeting(path, "hello");
    free(path);
}

/* A full disk is one clear line, and no fault of the source. */
static void test_full_disk(void **state)
{
    char *wrapper = sl_printf_heap("%s/cc", scratch);
    write_file(scratch, "cc",
               "#!/bin/sh\necho \"fatal error: can't write: No space left on device\"\nexit 1\n");
    assert_int_equal(chmod(wrapper, 0700), 0);
    setenv("CC", wrapper, 1);
    assert_null(build(SL_ENOSPC, 0));
    assert_int_equal(complaints.count, 1);
    assert_string_equal(complaint_number(complaints.items[0].kind), "SL0131");
    assert_string_equal(complaints.items[0].message, "the disk is full");
    unsetenv("CC");
    free(wrapper);
}

static void test_two_at_once(void **state)
{
    pid_t children[4];
    for (size_t i = 0; i < sl_array_size(children); i++) {
        children[i] = fork();
        if (children[i] == 0) {
            struct manifest *manifest = NULL;
            struct build result;
            int code = manifest_load(directory, &complaints, &manifest);
            if (code == 0)
                code = runner_build(manifest, false, &complaints, &result);
            _exit(code == 0 ? (int)result.compiled : 100);
        }
    }
    int compiled = 0;
    for (size_t i = 0; i < sl_array_size(children); i++) {
        int status;
        waitpid(children[i], &status, 0);
        assert_true(WIFEXITED(status) && WEXITSTATUS(status) < 100);
        compiled += WEXITSTATUS(status);
    }
    assert_int_equal(compiled, 2); /* one did the work, and the others waited for it */
    char *path = build(0, 0);
    expect_greeting(path, "hello");
    free(path);
}

static void test_diagnose(void **state)
{
    diagnose("src/a.c: In function 'f':\n"
             "src/a.c:3:5: warning: unused\n    3 | x\n"
             "src/a.c:4:9: error: bad\n    4 | y\n      | ^\n"
             "src/b.h:7:1: fatal error: no.h: No such file\n"
             "/srv/app/src/c.c:12: undefined reference to `foo'\n"
             "collect2: error: ld returned 1 exit status\n",
             "/srv/app", &complaints);
    assert_int_equal(complaints.count, 3);
    assert_string_equal(complaints.items[0].message, "bad");
    assert_string_equal(complaints.items[0].detail, "    4 | y\n      | ^");
    assert_string_equal(complaints.items[1].file, "src/b.h");
    assert_string_equal(complaints.items[2].file, "src/c.c");
    assert_int_equal(complaints.items[2].line, 12);
    assert_int_equal(complaints.items[2].column, 0);
    complaints_done(&complaints);
    diagnose("", "/", &complaints);
    diagnose(":::\n99:\nx:\n", "/", &complaints);
    assert_int_equal(complaints.count, 0);
}

/* As gcc tells of sl_eq(product_.stock, "x"): at the macro, and once for each mention of the argument. */
static void test_diagnose_macros(void **state)
{
#define WRONG                                                                                                \
    "/usr/include/query.h:66:28: error: incompatible type for argument 1 of 'needs_integer'\n"               \
    "   66 | #define NAME x\n"                                                                               \
    "/usr/include/query.h:326:39: note: in definition of macro 'list'\n"                                     \
    "  326 | #define list(found) x\n"                                                                        \
    "src/a.c:9:5: note: in expansion of macro 'eq'\n"                                                        \
    "    9 | here\n"                                                                                         \
    "/usr/include/query.h:110:21: note: in expansion of macro 'COMPARISON'\n"                                \
    "  110 | #define eq x\n"                                                                                 \
    "/usr/include/query.h:46:1: note: expected 'integer' but argument is of type 'char *'\n"                 \
    "   46 | NEEDED\n"
    diagnose(WRONG WRONG "src/a.c:10:5: error: other\n   10 | there\n", "/srv/app", &complaints);
    assert_int_equal(complaints.count, 2);
    assert_string_equal(complaints.items[0].file, "src/a.c");
    assert_int_equal(complaints.items[0].line, 9);
    assert_int_equal(complaints.items[0].column, 5);
    assert_string_equal(complaints.items[0].message, "incompatible type for argument 1 of 'needs_integer'");
    assert_string_equal(
        complaints.items[0].detail,
        "    9 | here\n"
        "/usr/include/query.h:46:1: note: expected 'integer' but argument is of type 'char *'\n"
        "   46 | NEEDED");
    assert_string_equal(complaints.items[1].detail, "   10 | there");

    /* It follows, where something comes before it. */
    size_t before = complaints.count;
    diagnose("src/a.c:6:5: error: 'sl__name_3' undeclared\n", "/srv/app", &complaints);
    assert_int_equal(complaints.count, before + 1);
    diagnose("src/a.c:6:40: error: no member named 'x'\nsrc/a.c:6:5: error: 'sl__name_3' undeclared\n",
             "/srv/app", &complaints);
    assert_int_equal(complaints.count, before + 2);
    assert_string_equal(complaints.items[before + 1].message, "no member named 'x'");
#undef WRONG
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_build_and_cache), TEST(test_digest_follows_sources),
        TEST(test_compile_errors),  TEST(test_link_errors),
        TEST(test_no_runner),       TEST(test_no_compiler),
        TEST(test_unknown_library), TEST(test_library),
        TEST(test_no_home),         TEST(test_killed_compiler),
        TEST(test_full_disk),       TEST(test_two_at_once),
        TEST(test_diagnose),        TEST(test_diagnose_macros),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
