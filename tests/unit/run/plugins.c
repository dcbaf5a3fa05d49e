/* plugins.c: where plug-ins lie, what they are compiled of, and when that has changed. */
#include "check.h"
#include "run/plugins.h"

#include <dlfcn.h>

#define MANIFEST "[production]\napp_name = demo\nrunner = src/demo.c\nplugins = one two three\n"
#define DESCRIPTOR(name) "#include <silver/silver.h>\nSL_PLUGIN(" name ");\n"

static char *scratch, *directory;
static struct complaints complaints;
static struct manifest *manifest;
static struct plugins plugins;

static void make_folder(const char *name)
{
    char *path = sl_printf_heap("%s/%s", directory, name);
    assert_int_equal(mkdir(path, 0700), 0);
    free(path);
}

static int set_up(void **state)
{
    scratch = scratch_make();
    directory = sl_printf_heap("%s/demo", scratch);
    char *cache = sl_printf_heap("%s/cache", scratch);
    setenv("XDG_CACHE_HOME", cache, 1);
    free(cache);
    assert_int_equal(mkdir(directory, 0700), 0);
    make_folder("src");
    make_folder("plugins");
    make_folder("plugins/one");
    write_file(directory, "app.ini", MANIFEST);
    write_file(directory, "src/demo.c", "#include \"../plugins/one/one.h\"\nint demo = ONE;\n");
    write_file(directory, "src/demo.h", "#define DEMO 1\n");
    write_file(directory, "plugins/one/one.h", "#define ONE 1\n");
    write_file(directory, "plugins/one/a.c", DESCRIPTOR("one"));
    write_file(directory, "plugins/one/b.c", "int b;\n");
    write_file(directory, "plugins/two.c", DESCRIPTOR("two") "#include \"../src/demo.h\"\nint two = DEMO;\n");
    write_file(directory, "plugins/three.py", "def three():\n    pass\n");
    assert_int_equal(manifest_load(directory, &complaints, &manifest), 0);
    return 0;
}

static int tear_down(void **state)
{
    plugins_done(&plugins);
    complaints_done(&complaints);
    manifest_free(manifest);
    free(directory);
    scratch_remove(scratch);
    return 0;
}

static void test_finding(void **state)
{
    assert_int_equal(plugins_find(manifest, &complaints, &plugins), 0);
    assert_int_equal(plugins.count, 3);
    assert_string_equal(plugins.items[0].place, "plugins/one");
    assert_string_equal(plugins.items[1].place, "plugins/two.c");
    assert_int_equal(plugins.items[1].kind, PLUGIN_C);
    assert_string_equal(plugins.items[2].place, "plugins/three.py");
    assert_int_equal(plugins.items[2].kind, PLUGIN_PYTHON);
}

static void test_missing_and_twice(void **state)
{
    write_file(directory, "plugins/three.c", "");
    char *gone = sl_printf_heap("%s/plugins/two.c", directory);
    unlink(gone);
    free(gone);
    assert_true(plugins_find(manifest, &complaints, &plugins) < 0);
    assert_int_equal(complaints.count, 2); /* all at once */
    assert_non_null(strstr(complaints.items[0].message, "there is no plug-in two"));
    assert_int_equal(complaints.items[0].line, 4);
    assert_non_null(strstr(complaints.items[1].message, "plugins/three.c and plugins/three.py"));
}

/* Builds a plug-in, of which so many files are to be compiled; gives the path, which is the caller's. */
static char *build(size_t i, unsigned compiled)
{
    struct build result;
    plugins_done(&plugins);
    assert_int_equal(plugins_find(manifest, &complaints, &plugins), 0);
    struct target target = plugin_target(manifest, &plugins.items[i]);
    if (runner_make(manifest, &target, false, &complaints, &result) < 0) {
        complaints_print(&complaints, stderr);
        fail();
    }
    assert_int_equal(result.compiled, compiled);
    char *path = sl_strdup_heap(result.path);
    build_done(&result);
    return path;
}

static void test_building(void **state)
{
    char *one = build(0, 2), *two = build(1, 1), *again = build(1, 0);
    assert_string_not_equal(one, two);
    assert_string_equal(two, again);
    sl_error *error = NULL;
    struct plugin *plugin = &plugins.items[1];
    assert_int_equal(plugin_open(plugin, two, &error), 0);
    assert_string_equal(plugin->descriptor->name, "two");
    assert_string_equal(plugin->library, two);
    assert_int_equal(plugin_open(plugin, "/nowhere.so", &error), SL_EBUILD);
    assert_non_null(strstr(error->message, "the plug-in two cannot be loaded"));
    sl_error_unref(error);
    free(one);
    free(two);
    free(again);
}

/* A header of one part may be included by the others. */
static void test_headers_concern_all_parts(void **state)
{
    struct build result;
    free(build(0, 2));
    free(build(1, 1));
    write_file(directory, "src/demo.h", "#define DEMO 2\n");
    free(build(1, 1));
    free(build(0, 2));
    assert_int_equal(runner_build(manifest, false, &complaints, &result), 0);
    assert_int_equal(result.compiled, 1);
    build_done(&result);
    write_file(directory, "plugins/one/one.h", "#define ONE 2\n");
    assert_int_equal(runner_build(manifest, false, &complaints, &result), 0);
    assert_int_equal(result.compiled, 1);
    build_done(&result);
    /* What is compiled of one is nothing to the others. */
    write_file(directory, "plugins/one/b.c", "int b = 2;\n");
    assert_int_equal(runner_build(manifest, false, &complaints, &result), 0);
    assert_int_equal(result.compiled, 0);
    build_done(&result);
    free(build(1, 1)); /* of the header before */
    free(build(1, 0));
}

static void digest(char out[static DIGEST_TEXT_SIZE])
{
    struct digest all;
    digest_init(&all);
    plugins_digest(manifest, &all);
    digest_text(&all, out);
}

static void test_changes(void **state)
{
    char first[DIGEST_TEXT_SIZE], second[DIGEST_TEXT_SIZE];
    digest(first);
    write_file(directory, "plugins/.two.c.swp", "an editor's");
    write_file(directory, "plugins/one/a.c~", "an editor's");
    digest(second);
    assert_string_equal(first, second);
    write_file(directory, "plugins/three.py", "def three():\n    return 3\n");
    digest(second);
    assert_string_not_equal(first, second);
    digest(first);
    write_file(directory, "plugins/one/c.c", "");
    digest(second);
    assert_string_not_equal(first, second);
}

static void test_check(void **state)
{
    struct build whole = {0};
    write_file(directory, "plugins/two.c", "int two;\n");
    write_file(directory, "plugins/one/b.c", "int b = x;\n");
    plugins_check(manifest, &complaints, &whole);
    assert_int_equal(complaints.count, 2);
    assert_string_equal(complaints.items[0].file, "plugins/one/b.c");
    assert_int_equal(complaints.items[0].line, 1);
    assert_string_equal(complaints.items[1].file, "plugins/two.c");
    assert_non_null(strstr(complaints.items[1].hint, "SL_PLUGIN(two"));
    build_done(&whole);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_finding, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_missing_and_twice, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_building, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_headers_concern_all_parts, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_changes, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_check, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
