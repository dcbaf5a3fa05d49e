/* services.c, developer.c: what a manifest asks for arrives as variables, and what is given already holds. */
#include "check.h"
#include "run/services.h"

static char *scratch;
static struct manifest *manifest;
static sl_error *error;

static void ask(const char *services)
{
    struct complaints complaints = {0};
    char *text = sl_printf_heap("[production]\napp_name = demo\nrunner = src/demo.c\n%s", services);
    assert_int_equal(manifest_parse(text, strlen(text), scratch, "app.ini", &complaints, &manifest), 0);
    free(text);
}

static int set_up(void **state)
{
    static const char *const names[] = {"SQLITE_PATH", "FILES",   "SECRET",  "PG_DBNAME",
                                        "PG_USER",     "PG_HOST", "PG_PORT", "PG_PASSWORD"};
    for (size_t i = 0; i < sl_array_size(names); i++) {
        char *name = sl_printf_heap("CONFIG_%s", names[i]);
        unsetenv(name);
        free(name);
    }
    scratch = scratch_make();
    setenv("XDG_CONFIG_HOME", scratch, 1);
    return 0;
}

static int tear_down(void **state)
{
    manifest = manifest_free(manifest);
    error = sl_error_unref(error);
    scratch_remove(scratch);
    return 0;
}

static void assert_variable(const char *name, const char *wanted)
{
    const char *value = getenv(name);
    if (!wanted)
        assert_null(value);
    else if (!value || strcmp(value, wanted) != 0)
        fail_msg("%s is %s, not %s", name, value ? value : "not there", wanted);
}

static void test_nothing_is_asked_for(void **state)
{
    ask("");
    assert_int_equal(services_offer(manifest, &error), 0);
    assert_variable("CONFIG_SQLITE_PATH", NULL);
    assert_variable("CONFIG_SECRET", NULL);
    assert_int_equal(rmdir(scratch), 0); /* nothing was made */
    assert_int_equal(mkdir(scratch, 0700), 0);
}

static void test_files(void **state)
{
    ask("service.sqlite =\nservice.files =\n");
    setenv("CONFIG_FILES", "/given", 1);
    assert_int_equal(services_offer(manifest, &error), 0);
    char *path = sl_printf_heap("%s/data/demo.sqlite", scratch);
    assert_variable("CONFIG_SQLITE_PATH", path);
    assert_variable("CONFIG_FILES", "/given");
    free(path);
    unsetenv("CONFIG_FILES");
    assert_int_equal(services_offer(manifest, &error), 0);
    assert_int_equal(access(getenv("CONFIG_FILES"), W_OK), 0);
}

static void test_named_databases(void **state)
{
    unsetenv("CONFIG_SQLITE_ARCHIVE_PATH");
    unsetenv("CONFIG_SQLITE_OLD_2_PATH");
    ask("service.sqlite.archive =\nservice.sqlite.old-2 =\n");
    setenv("CONFIG_SQLITE_ARCHIVE_PATH", "/given", 1);
    assert_int_equal(services_offer(manifest, &error), 0);
    char *path = sl_printf_heap("%s/data/old-2.sqlite", scratch);
    assert_variable("CONFIG_SQLITE_OLD_2_PATH", path);
    assert_variable("CONFIG_SQLITE_ARCHIVE_PATH", "/given");
    assert_variable("CONFIG_SQLITE_PATH", NULL);
    free(path);
    unsetenv("CONFIG_SQLITE_ARCHIVE_PATH");
    unsetenv("CONFIG_SQLITE_OLD_2_PATH");
}

static void test_what_cannot_be_made(void **state)
{
    ask("service.files =\nservice.secret =\n");
    write_file(scratch, "data", "a file");
    assert_true(services_offer(manifest, &error) < 0);
    assert_non_null(strstr(error->message, "/data"));
    assert_variable("CONFIG_FILES", NULL);
}

static void test_secret(void **state)
{
    ask("service.secret =\n");
    assert_int_equal(services_offer(manifest, &error), 0);
    char *first = sl_strdup_heap(getenv("CONFIG_SECRET"));
    assert_int_equal(strlen(first), 64);
    unsetenv("CONFIG_SECRET");
    assert_int_equal(services_offer(manifest, &error), 0);
    assert_variable("CONFIG_SECRET", first);
    free(first);
}

static void test_secret_that_others_read(void **state)
{
    ask("service.secret =\n");
    assert_int_equal(services_offer(manifest, &error), 0);
    char *path = sl_printf_heap("%s/var/secret", scratch);
    assert_int_equal(chmod(path, 0640), 0);
    unsetenv("CONFIG_SECRET");
    assert_int_equal(services_offer(manifest, &error), SL_EACCES);
    assert_non_null(strstr(error->hint, "chmod 600"));
    assert_variable("CONFIG_SECRET", NULL);
    error = sl_error_unref(error);
    /* A link is none either: what it leads to may be somebody else's. */
    assert_int_equal(unlink(path), 0);
    assert_int_equal(symlink("/etc/hostname", path), 0);
    assert_true(services_offer(manifest, &error) < 0);
    free(path);
}

static void developer(const char *text, mode_t mode)
{
    char *folder = sl_printf_heap("%s/silver", scratch), *path = sl_printf_heap("%s/services.ini", folder);
    mkdir(folder, 0700);
    write_file(scratch, "silver/services.ini", text);
    assert_int_equal(chmod(path, mode), 0);
    free(folder);
    free(path);
}

static void test_developer(void **state)
{
    assert_int_equal(developer_postgres("demo", &error), 0);
    assert_variable("CONFIG_PG_DBNAME", NULL);
    developer("[postgres other]\nuser = you\n", 0644);
    assert_int_equal(developer_postgres("demo", &error), 0);
    developer("[postgres]\nuser = me\nport = 5433\n[postgres other]\nuser = you\n", 0644);
    assert_int_equal(developer_postgres("demo", &error), 1);
    assert_variable("CONFIG_PG_DBNAME", "demo");
    assert_variable("CONFIG_PG_USER", "me");
    assert_variable("CONFIG_PG_PORT", "5433");
    assert_variable("CONFIG_PG_HOST", "");
    assert_int_equal(developer_postgres("other", &error), 1);
    assert_variable("CONFIG_PG_USER", "you");
    assert_variable("CONFIG_PG_DBNAME", "other");
    assert_variable("CONFIG_PG_PORT", "");
}

static void test_developer_is_wrong(void **state)
{
    static const struct {
        const char *text, *said;
    } cases[] = {
        {"[postgres]\npasword = x\n", "services.ini:2: there is no key `pasword`"},
        {"user = x\n", "services.ini:1: there is no section []"},
        {"[postgres\n", "services.ini:1: this is neither"},
    };
    for (size_t i = 0; i < sl_array_size(cases); i++) {
        developer(cases[i].text, 0600);
        assert_int_equal(developer_postgres("demo", &error), SL_ECONFIG);
        if (!strstr(error->message, cases[i].said))
            fail_msg("%s", error->message);
        error = sl_error_unref(error);
    }
    developer("[postgres]\npassword = x\n", 0604);
    assert_int_equal(developer_postgres("demo", &error), SL_ECONFIG);
    assert_non_null(strstr(error->message, "others can read it"));
    assert_variable("CONFIG_PG_PASSWORD", NULL);
}

static void test_postgres_is_given(void **state)
{
    struct services services = {.postgres = {.users = -1}};
    ask("service.postgres =\n");
    setenv("CONFIG_PG_DBNAME", "given", 1);
    setenv("CONFIG_PG_HOST", "example.org", 1);
    assert_int_equal(services_start(manifest, &services, &error), 0);
    assert_variable("CONFIG_PG_HOST", "example.org");
    assert_variable("CONFIG_PG_PASSWORD", "");
    assert_null(services.postgres.application);
    assert_false(services_repair(&services));
    services_stop(&services);
    unsetenv("CONFIG_PG_DBNAME");
    assert_int_equal(services_start(manifest, &services, &error), SL_ECONFIG);
}

static void test_programs(void **state)
{
    char *path = NULL;
    setenv("SILVER_POSTGRESQL", scratch, 1);
    assert_int_equal(postgres_programs(scratch, &path, &error), SL_ENOENT);
    assert_non_null(strstr(error->hint, "apt install postgresql"));
    error = sl_error_unref(error);
    static const char *const folders[] = {"9", "9/bin", "13", "13/bin", "other", "other/bin", "14"};
    for (size_t i = 0; i < sl_array_size(folders); i++) {
        char *folder = sl_printf_heap("%s/%s", scratch, folders[i]);
        assert_int_equal(mkdir(folder, 0700), 0);
        free(folder);
    }
    static const char *const programs[] = {"9/bin/postgres", "13/bin/postgres", "other/bin/postgres"};
    for (size_t i = 0; i < sl_array_size(programs); i++) {
        char *program = sl_printf_heap("%s/%s", scratch, programs[i]);
        write_file(scratch, programs[i], "");
        assert_int_equal(chmod(program, 0700), 0);
        free(program);
    }
    assert_int_equal(postgres_programs(scratch, &path, &error), 0);
    assert_non_null(strstr(path, "/13/bin"));
    free(path);
    write_file(scratch, "PG_VERSION", "9\n"); /* by what the data says */
    assert_int_equal(postgres_programs(scratch, &path, &error), 0);
    assert_non_null(strstr(path, "/9/bin"));
    free(path);
    write_file(scratch, "PG_VERSION", "14\n");
    assert_int_equal(postgres_programs(scratch, &path, &error), SL_ENOENT);
    assert_non_null(strstr(error->message, "made by PostgreSQL 14"));
    unsetenv("SILVER_POSTGRESQL");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_nothing_is_asked_for, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_files, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_named_databases, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_what_cannot_be_made, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_secret, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_secret_that_others_read, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_developer, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_developer_is_wrong, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_postgres_is_given, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_programs, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
