/* manifest.c: what app.ini may say, and how it is told what it may not. */
#include "check.h"
#include "run/manifest.h"

#define GOOD "[production]\napp_name = chat\nrunner = src/chat.c\n"

static struct manifest *parse(const char *text, struct complaints *complaints)
{
    struct manifest *manifest = NULL;
    int code = manifest_parse(text, strlen(text), "/srv/chat", "app.ini", complaints, &manifest);
    assert_int_equal(code, complaints->count ? SL_ECONFIG : 0);
    assert_true((manifest != NULL) == (complaints->count == 0));
    return manifest;
}

/* The text is refused with one complaint of this number, in this line, with these words in message and hint.
 */
static void refuse(const char *text, const char *number, int line, const char *message, const char *hint)
{
    struct complaints complaints = {0};
    assert_null(parse(text, &complaints));
    if (complaints.count != 1)
        complaints_print(&complaints, stderr);
    assert_int_equal(complaints.count, 1);
    const struct complaint *complaint = &complaints.items[0];
    assert_string_equal(complaint_number(complaint->kind), number);
    assert_string_equal(complaint->file, "app.ini");
    assert_int_equal(complaint->line, line);
    if (!strstr(complaint->message, message))
        fail_msg("\"%s\" does not say \"%s\"", complaint->message, message);
    if (hint && (!complaint->hint || !strstr(complaint->hint, hint)))
        fail_msg("\"%s\" does not advise \"%s\"", complaint->hint, hint);
    complaints_done(&complaints);
}

static void test_everything(void **state)
{
    struct complaints complaints = {0};
    struct manifest *manifest = parse("\xEF\xBB\xBF; the chat\n"
                                      "[production]\n"
                                      "app_name = chat   ; its name\r\n"
                                      "  version = 1.2-3\n"
                                      "runner = src/chat.c\n"
                                      "libraries = sqlite3, libxml-2.0\n"
                                      "packages = libxml2  libfoo++-dev\n"
                                      "service.sqlite =\n"
                                      "service.files =\n"
                                      "service.postgres =\n"
                                      "service.secret =\n"
                                      "plugins = search, To_Do-2\n"
                                      "[slots]\n"
                                      "0 = 127.0.0.1:8080\n"
                                      "3 = [::1]:8081 logs/three\n"
                                      "4 = unix:/run/chat.sock /var/log/chat\n"
                                      "[limits]\n"
                                      "body_size = 2000000\n"
                                      "[log]\n"
                                      "access = json\n"
                                      "level = debug\n"
                                      "[metrics]\n"
                                      "listen = 127.0.0.1:9100\n",
                                      &complaints);
    complaints_print(&complaints, stderr);
    assert_non_null(manifest);
    assert_string_equal(manifest->app_name, "chat");
    assert_string_equal(manifest->version, "1.2-3");
    assert_string_equal(manifest->runner, "src/chat.c");
    assert_int_equal(manifest->libraries.count, 2);
    assert_string_equal(manifest->libraries.items[1], "libxml-2.0");
    assert_null(manifest->libraries.items[2]);
    assert_string_equal(manifest->packages.items[1], "libfoo++-dev");
    assert_true(manifest->sqlite && manifest->files && manifest->postgres && manifest->secret);
    assert_int_equal(manifest->plugins.count, 2);
    assert_string_equal(manifest->plugins.items[1], "To_Do-2");
    assert_int_equal(manifest->plugins_line, 12);
    assert_int_equal(manifest->slot_count, 3);
    assert_string_equal(manifest->slots[0].directory, "/srv/chat/log0");
    assert_int_equal(manifest->slots[1].number, 3);
    assert_string_equal(manifest->slots[1].address, "[::1]:8081");
    assert_string_equal(manifest->slots[1].directory, "/srv/chat/logs/three");
    assert_string_equal(manifest->slots[2].directory, "/var/log/chat");
    assert_int_equal(manifest->limits.body_size, 2000000);
    assert_int_equal(manifest->limits.header_size, 32768);
    assert_int_equal(manifest->access, MANIFEST_ACCESS_JSON);
    assert_int_equal(manifest->level, SL_DEBUG);
    assert_string_equal(manifest->metrics, "127.0.0.1:9100");
    manifest_free(manifest);
}

static void test_defaults(void **state)
{
    struct complaints complaints = {0};
    struct manifest *manifest = parse(GOOD, &complaints);
    assert_non_null(manifest);
    assert_int_equal(manifest->slot_count, 1);
    assert_int_equal(manifest->slots[0].number, 0);
    assert_string_equal(manifest->slots[0].address, "127.0.0.1:8080");
    assert_string_equal(manifest->slots[0].directory, "/srv/chat/log0");
    assert_string_equal(manifest->version, "1");
    assert_int_equal(manifest->level, SL_INFO);
    assert_int_equal(manifest->access, MANIFEST_ACCESS_UNSET);
    assert_false(manifest->sqlite || manifest->files);
    assert_null(manifest->metrics);
    manifest_free(manifest);
}

static void test_comment_after_a_section(void **state)
{
    struct complaints complaints = {0};
    struct manifest *manifest = parse(GOOD "[log] ; loud\nlevel = debug\n", &complaints);
    assert_non_null(manifest);
    assert_int_equal(manifest->level, SL_DEBUG);
    manifest_free(manifest);
    complaints_done(&complaints);
}

static void test_unknown(void **state)
{
    refuse(GOOD "runer = x\n", "SL0105", 4, "no key `runer`", "did you mean `runner`?");
    refuse(GOOD "colour = blue\n", "SL0105", 4, "`colour`", "[production] knows: app_name, version");
    refuse(GOOD "body_size = 1\n", "SL0105", 4, "`body_size`", "belongs into section [limits]");
    refuse(GOOD "[limit]\nbody_size = 1\nidle_ms = 2\n", "SL0104", 4, "[limit]", "did you mean [limits]?");
    refuse(GOOD "[log] level = info\n", "SL0102", 4, "stands `level = info`", "a line of its own");
    refuse(GOOD "[colours]\n", "SL0104", 4, "[colours]", "sections are [production]");
    refuse(GOOD "[slots]\nfirst = :80\n", "SL0105", 5, "`first` is not a number", "numbered");
    refuse(GOOD "[slots]\n64 = :80\n", "SL0105", 5, "`64`", "numbered");
    refuse("app_name = chat\n" GOOD, "SL0109", 1, "before the first section", "[production]");
}

static void test_twice(void **state)
{
    refuse(GOOD "app_name = talk\n", "SL0106", 4, "first in line 2", "keep one");
    refuse(GOOD "[log]\nlevel = info\n[log]\nlevel = debug\n", "SL0106", 7, "first in line 5", NULL);
    refuse(GOOD "[slots]\n0 = :80\n0 = :81\n", "SL0106", 6, "slot 0 is given twice", NULL);
    refuse(GOOD "[slots]\n0 = :80\n1 = :80\n", "SL0106", 6, "the address of slot 0", NULL);
}

static void test_missing(void **state)
{
    refuse("[log]\n[production]\nrunner = src/chat.c\n", "SL0107", 2, "has no app_name", "`app_name = chat`");
    refuse("[production]\napp_name = chat\n", "SL0107", 1, "has no runner", "`runner = src/chat.c`");
    struct complaints complaints = {0};
    assert_null(parse("", &complaints));
    assert_int_equal(complaints.count, 2);
    complaints_done(&complaints);
}

static void test_values(void **state)
{
    static const char *const names[] = {"Chat", "1chat", "chat room",
                                        "",     "c/d",   "abcdefghijklmnopqrstuvwxyzabcdefg"};
    for (size_t i = 0; i < sl_array_size(names); i++) {
        char *text = sl_printf_heap("[production]\nrunner = src/chat.c\napp_name = %s\n", names[i]);
        refuse(text, "SL0108", 3, "app_name is", "app_name = chat");
        free(text);
    }
    static const char *const runners[] = {
        "src/chat.rb",   "chat.c", "src/chat.c#it", "src/.py",       "/src/chat.c",
        "../src/chat.c", "src/.c", "src/a b.c",     "command: node", ""};
    for (size_t i = 0; i < sl_array_size(runners); i++) {
        char *text = sl_printf_heap("[production]\napp_name = chat\nrunner = %s\n", runners[i]);
        refuse(text, "SL0108", 3, "runner is", "src/chat.c");
        free(text);
    }
    refuse("[production]\napp_name = w\nrunner = src/wiki.py:app\n", "SL0108", 3, "runner is",
           "`runner = src/wiki.py#app`");
    refuse("[production]\napp_name = w\nrunner = wiki.py#app\n", "SL0108", 3, "runner is",
           "`runner = src/wiki.py#app`");
    static const char *const numbers[] = {"0", "-1", "1k", "", "99999999999999999999"};
    for (size_t i = 0; i < sl_array_size(numbers); i++) {
        char *text = sl_printf_heap(GOOD "[limits]\nidle_ms = %s\n", numbers[i]);
        refuse(text, "SL0108", 5, "whole number", "idle_ms = 75000");
        free(text);
    }
    static const char *const addresses[] = {
        "8080",   "localhost", "127.0.0.1:",     "127.0.0.1:65536", "::1:80",       "[::1:80", "unix:sock",
        "a b:80", "",          "example.org:80", "[]:80",           "[1.2.3.4]:80", "1.2.3:80"};
    for (size_t i = 0; i < sl_array_size(addresses); i++) {
        char *text = sl_printf_heap(GOOD "[slots]\n0 = %s\n", addresses[i]);
        refuse(text, "SL0108", 5, "address", "names are not looked up");
        free(text);
    }
    refuse(GOOD "[log]\naccess = yes\n", "SL0108", 5, "combined, json or off", NULL);
    refuse(GOOD "[log]\nlevel = INFO\n", "SL0108", 5, "debug, info, warning or error", NULL);
    refuse(GOOD "service.sqlite = here\n", "SL0108", 4, "`here`", "it takes none");
    refuse(GOOD "service.postgres = here\n", "SL0108", 4, "`here`", "it takes none");
    refuse(GOOD "plugins = a.c\n", "SL0108", 4, "`a.c`", "the name alone");
    refuse(GOOD "plugins = ../a\n", "SL0108", 4, "`../a`", NULL);
    refuse(GOOD "plugins = 2do\n", "SL0108", 4, "`2do`", NULL);
    refuse(GOOD "plugins = a b a\n", "SL0106", 4, "the plug-in a is named twice", "keep one");
    refuse(GOOD "libraries = sqlite3 --evil\n", "SL0108", 4, "`--evil`", "spaces between");
    refuse(GOOD "libraries = $(reboot)\n", "SL0108", 4, "`$(reboot)`", NULL);
}

static struct manifest *parse_good(const char *text)
{
    struct complaints complaints = {0};
    struct manifest *manifest = parse(text, &complaints);
    complaints_print(&complaints, stderr);
    assert_non_null(manifest);
    return manifest;
}

static void test_python(void **state)
{
    struct manifest *manifest = parse_good("[production]\napp_name = wiki\nrunner = src/runner.py\n");
    assert_true(manifest->python);
    assert_string_equal(manifest->runner, "src/runner.py");
    assert_string_equal(manifest->object, "application");
    assert_null(manifest->virtualenv);
    assert_int_equal(manifest->workers.processes, 1);
    assert_int_equal(manifest->workers.timeout_ms, 30000);
    assert_true(manifest->workers.memory > 0); /* recycled by default */
    manifest_free(manifest);
    manifest =
        parse_good("[production]\napp_name = wiki\nrunner = src/runner.py#wiki_app\nvirtualenv = ../env\n"
                   "[workers]\nprocesses = 4\nthreads = 2\ncalls = 0\nmemory = 100000000\n");
    assert_string_equal(manifest->runner, "src/runner.py");
    assert_string_equal(manifest->object, "wiki_app");
    assert_string_equal(manifest->virtualenv, "../env");
    assert_int_equal(manifest->workers.processes, 4);
    assert_int_equal(manifest->workers.threads, 2);
    assert_int_equal(manifest->workers.calls, 0);
    assert_int_equal(manifest->workers.memory, 100000000);
    manifest_free(manifest);
    manifest = parse_good(GOOD);
    assert_false(manifest->python);
    manifest_free(manifest);
    refuse("[production]\napp_name = w\nrunner = src/runner.py#2nd\n", "SL0108", 3, "`2nd`", "callable");
    refuse("[production]\napp_name = w\nrunner = src/runner.py#\n", "SL0108", 3, "not a name", "callable");
    refuse(GOOD "virtualenv =\n", "SL0108", 4, "virtualenv is", "virtualenv = venv");
    refuse(GOOD "[workers]\nprocesses = 0\n", "SL0108", 5, "a whole number from 1 to 64", "processes = 1");
    refuse(GOOD "[workers]\nmemory = 512M\n", "SL0108", 5, "a whole number from 1048576", NULL);
    refuse(GOOD "[workers]\nthread = 2\n", "SL0105", 5, "no key `thread`", "did you mean `threads`?");
    refuse(GOOD "[worker]\nthreads = 2\n", "SL0104", 4, "no section [worker]", "did you mean [workers]?");
}

static void test_store(void **state)
{
    struct manifest *manifest = parse_good(GOOD);
    assert_true(manifest->store.connections == 0 &&
                manifest->store.busy_ms == 0); /* the library's own hold */
    assert_int_equal(manifest->sqlites.count, 0);
    manifest_free(manifest);
    manifest = parse_good(
        GOOD "service.sqlite.archive =\nservice.sqlite.old-2 =\nservice.sqlite =\n[store]\nconnections = 3\n"
             "statements = 50\ndatabase_ms = 700\nslow_ms = 10\nbusy_ms = 90\n");
    assert_true(manifest->store.connections == 3 && manifest->store.statements == 50 &&
                manifest->store.database_ms == 700 && manifest->store.slow_ms == 10 &&
                manifest->store.busy_ms == 90);
    assert_int_equal(manifest->sqlites.count, 2);
    assert_string_equal(manifest->sqlites.items[0], "archive");
    assert_string_equal(manifest->sqlites.items[1], "old-2");
    manifest_free(manifest);
    refuse(GOOD "[store]\nconnections = 0\n", "SL0108", 5, "a whole number from 1", "connections = 8");
    refuse(GOOD "[store]\nconection = 1\n", "SL0105", 5, "no key `conection`", "did you mean `connections`?");
    refuse(GOOD "[stores]\nconnections = 1\n", "SL0104", 4, "no section [stores]", "did you mean [store]?");
    refuse(GOOD "service.sqlite.archive = x\n", "SL0108", 4, "has the value `x`",
           "`service.sqlite.archive =`");
    refuse(GOOD "service.sqlite.a =\nservice.sqlite.b =\nservice.sqlite.a =\n", "SL0106", 6,
           "first in line 4", "keep one");
    static const char *const wrong[] = {
        "", "A", "a_b", "2a", "-a", "a.b", "sqlite", "postgres", "a2345678901234567890123456789012x"};
    for (size_t i = 0; i < sl_array_size(wrong); i++) {
        char *text = sl_printf_heap(GOOD "service.sqlite.%s =\n", wrong[i]);
        refuse(text, "SL0105", 4, "cannot be the name of a database", "a letter first");
        free(text);
    }
    /* The file of the one without a name is called as the application is. */
    refuse("[production]\nservice.sqlite.chat =\nservice.sqlite =\napp_name = chat\nrunner = src/chat.c\n",
           "SL0106", 2, "would be the file of service.sqlite", "otherwise");
    manifest_free(parse_good(GOOD "service.sqlite.chat =\n"));
}

static void test_syntax(void **state)
{
    refuse(GOOD "just words\n", "SL0102", 4, "neither a section nor", "comments begin");
    refuse("[production\n[production]\napp_name = chat\nrunner = src/chat.c\n", "SL0102", 1, "not closed",
           NULL);
    refuse(GOOD "packages = \xff\n", "SL0102", 4, "not UTF-8", NULL);
    char *longest = sl_printf_heap(GOOD "packages = %0300d\n", 0);
    refuse(longest, "SL0103", 4, "bytes", NULL);
    free(longest);
}

static void test_all_at_once(void **state)
{
    struct complaints complaints = {0};
    assert_null(parse("[production]\napp_name = C\nwords\n[limits]\nbody = 1\n[what]\n", &complaints));
    assert_int_equal(complaints.count, 5); /* name, words, body, what, and no runner */
    char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);
    complaints_print(&complaints, out);
    fclose(out);
    assert_non_null(strstr(text, "app.ini:3: SL0102: this line is neither"));
    assert_non_null(strstr(text, "app.ini:1: SL0107: [production] has no runner\n    add a line like"));
    free(text);
    complaints_done(&complaints);
}

static void test_limits(void **state)
{
    sl_buffer text = {0};
    for (int i = 0; i < 1000; i++)
        sl_buffer_puts(&text, "nonsense\n");
    struct complaints complaints = {0};
    assert_null(parse(text.data, &complaints));
    assert_int_equal(complaints.count, RUN_COMPLAINTS_MAX);
    complaints_done(&complaints);
    while (text.size <= MANIFEST_SIZE_MAX)
        sl_buffer_puts(&text, "; long\n");
    assert_null(parse(text.data, &complaints));
    assert_int_equal(complaints.count, 1);
    assert_int_equal(complaints.items[0].kind, RUN_MANIFEST_TOO_LONG);
    complaints_done(&complaints);
    sl_buffer_done(&text);
}

static void test_load(void **state)
{
    char *directory = scratch_make();
    struct complaints complaints = {0};
    struct manifest *manifest = NULL;
    assert_int_equal(manifest_load("/nonexistent", &complaints, &manifest), SL_ECONFIG);
    assert_string_equal(complaint_number(complaints.items[0].kind), "SL0121");
    complaints_done(&complaints);
    assert_int_equal(manifest_load(directory, &complaints, &manifest), SL_ECONFIG);
    assert_string_equal(complaint_number(complaints.items[0].kind), "SL0101");
    assert_non_null(strstr(complaints.items[0].hint, "silver init"));
    complaints_done(&complaints);
    write_file(directory, "app.ini", GOOD);
    char *roundabout = sl_printf_heap("%s/./", directory);
    assert_int_equal(manifest_load(roundabout, &complaints, &manifest), 0);
    assert_string_equal(manifest->directory, directory); /* absolute and plain: it names the application */
    manifest_free(manifest);
    free(roundabout);
    scratch_remove(directory);
}

static void test_address_offset(void **state)
{
    char *address = address_offset("127.0.0.1:9100", 3);
    assert_string_equal(address, "127.0.0.1:9103");
    free(address);
    address = address_offset("[::1]:0", 3); /* any port is any port */
    assert_string_equal(address, "[::1]:0");
    free(address);
    address = address_offset("unix:/run/m", 1);
    assert_string_equal(address, "unix:/run/m.1");
    free(address);
    assert_null(address_offset("127.0.0.1:65535", 1));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_everything),
        cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_comment_after_a_section),
        cmocka_unit_test(test_unknown),
        cmocka_unit_test(test_twice),
        cmocka_unit_test(test_missing),
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_python),
        cmocka_unit_test(test_store),
        cmocka_unit_test(test_syntax),
        cmocka_unit_test(test_all_at_once),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_load),
        cmocka_unit_test(test_address_offset),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
