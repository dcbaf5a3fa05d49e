/* Plug-ins: what a descriptor says is registered as a whole, or not at all, and goes as a whole. */
#include "check.h"
#include "logged.h"

#include <jansson.h>

SL_EVENT(said);

struct finder {
    int (*find)(const char *what);
};
SL_INTERFACE(finder);
struct page {
    const char *text;
};
SL_INTERFACE(page);

static char notes[256];

static sl_result keep(const sl_told *told, void *data)
{
    strcat(notes, sl_plugin_name(data));
    return sl_ok(NULL);
}

static int find_nothing(const char *what)
{
    return 0;
}

static const struct finder finding = {find_nothing};

static void *page_of_finder(void *facet, sl_object *object)
{
    static struct page page = {"a page"};
    return &page;
}

static void start(sl_loaded *plugin)
{
    sl_await(sl_sleep(1));
    strcat(notes, "+");
    assert_ptr_equal(sl_root_current(), sl_plugin_root(plugin));
}

static void stop(sl_loaded *plugin)
{
    sl_await(sl_sleep(1));
    strcat(notes, "-");
    assert_non_null(sl_provided(finder)); /* what it registered is still there */
}

static int run_it(int argc, char **argv)
{
    return argc;
}

/* A kind of interest from elsewhere, as other rooms of the library have. */
static int noted_add(sl_loaded *plugin, const sl_interest *interest, void **ret_handle, sl_error **ret_error)
{
    if (strcmp(interest->name, "refused") == 0) {
        *ret_error = sl_error_hint(sl_error_new(SL_EINVAL, "it is not wanted"), "leave it out");
        return SL_EINVAL;
    }
    if (strcmp(interest->name, "silent") == 0)
        return SL_EBUSY;
    strcat(notes, interest->name);
    *ret_handle = (void *)interest->what;
    return 0;
}

static void noted_remove(sl_loaded *plugin, const sl_interest *interest, void *handle)
{
    strcat(notes, handle);
}

static const sl_interest_kind noted_kind = {"notes", noted_add, noted_remove};
#define NOTES(name, undone) SL__INTEREST(noted_kind, name, undone)

static const sl_interest whole_interests[] = {
    SL_LISTENS("room", said, keep, .priority = 1),
    SL_PROVIDES(finder, &finding),
    SL_ADAPTS(finder, page, page_of_finder),
    SL_STARTS(start),
    SL_STOPS(stop),
    SL_COMMAND("count", run_it, "counts"),
    NOTES("a", "A"),
    NOTES("b", "B"),
};
static const sl_plugin whole = {SL_PLUGIN_ABI, "whole", sl_array_size(whole_interests), whole_interests};

static sl_loaded *load(const sl_plugin *descriptor, const char *path)
{
    sl_loaded *plugin = NULL;
    sl_error *error = NULL;
    if (sl_plugin_load(sl_root_current(), descriptor, path, &plugin, &error) < 0)
        fail_msg("%s", error->message);
    return plugin;
}

static void expect_nothing_registered(void)
{
    sl_root *root = sl_root_current();
    notes[0] = '\0';
    sl_emit(sl_channel("room/1"), said, NULL);
    assert_string_equal(notes, "");
    assert_null(sl_provided(finder));
    assert_null(sl_provided(page));
    assert_null(sl_command_get(root, "count"));
    assert_null(sl_command_at(root, 0));
    assert_null(sl_plugin_at(root, 0));
    assert_null(sl_plugin_get(root, "whole"));
}

static void *loads_and_unloads(void *data)
{
    sl_root *root = sl_root_current();
    for (int round = 0; round < 2; round++) {
        notes[0] = '\0';
        sl_loaded *plugin = load(&whole, "/there/whole.so");
        assert_string_equal(notes, "ab");
        assert_string_equal(sl_plugin_name(plugin), "whole");
        assert_string_equal(sl_plugin_path(plugin), "/there/whole.so");
        assert_ptr_equal(sl_plugin_root(plugin), root);
        assert_ptr_equal(sl_plugin_get(root, "whole"), plugin);
        assert_ptr_equal(sl_plugin_at(root, 0), plugin);
        assert_null(sl_plugin_at(root, 1));
        sl_plugins_start(root);
        assert_string_equal(notes, "ab+");
        sl_plugins_start(root); /* those that were loaded meanwhile: none */
        sl_emit(sl_channel("room/1"), said, NULL);
        assert_string_equal(notes, "ab+whole");
        assert_ptr_equal(sl_provided(finder), &finding);
        assert_string_equal(sl_provided(page)->text, "a page");
        assert_int_equal(sl_command_get(root, "count")->function(3, NULL), 3);
        assert_string_equal(sl_command_at(root, 0)->summary, "counts");
        assert_null(sl_command_at(root, 1));
        assert_null(sl_command_get(root, "other"));
        sl_plugin_unload(plugin);
        assert_string_equal(notes, "ab+whole-BA");
        expect_nothing_registered();
    }
    return NULL;
}

static void test_loading_registers_all_and_unloading_removes_all(void **state)
{
    assert_int_equal(run_logged(loads_and_unloads, NULL), 0);
}

/* A listener of a plug-in that a task loads stays when the task ends. */
static void *just_loads(void *data)
{
    return load(&whole, NULL);
}

static void *loads_in_a_task(void *data)
{
    notes[0] = '\0';
    sl_loaded *plugin = sl_await(sl_spawn(just_loads, NULL));
    assert_null(sl_plugin_path(plugin));
    sl_emit(sl_channel("room"), said, NULL);
    assert_string_equal(notes, "abwhole");
    sl_plugin_unload(plugin);
    assert_string_equal(notes, "abwholeBA"); /* what was not started is not stopped */
    return NULL;
}

static void test_a_plugin_does_not_end_with_the_task_that_loads_it(void **state)
{
    assert_int_equal(run_logged(loads_in_a_task, NULL), 0);
}

/* ---- What cannot be loaded ---- */

static const sl_interest refused_interests[] = {
    SL_LISTENS("room", said, keep),
    NOTES("a", "A"),
    NOTES("refused", "R"),
    NOTES("b", "B"),
};
static const sl_plugin refused = {SL_PLUGIN_ABI, "refused", sl_array_size(refused_interests),
                                  refused_interests};
static const sl_interest silent_interests[] = {NOTES("silent", "S")};
static const sl_plugin silently_refused = {SL_PLUGIN_ABI, "silently", 1, silent_interests};
static const sl_plugin of_tomorrow = {SL_PLUGIN_ABI + 1, "tomorrow", 0, NULL};
static const sl_interest providing[] = {SL_PROVIDES(finder, &finding)};
static const sl_plugin second_provider = {SL_PLUGIN_ABI, "provider", 1, providing};
static const sl_interest adapting[] = {SL_ADAPTS(finder, page, page_of_finder)};
static const sl_plugin second_adapter = {SL_PLUGIN_ABI, "adapter", 1, adapting};
static const sl_interest commanding[] = {SL_COMMAND("count", run_it, "counts, too")};
static const sl_plugin second_command = {SL_PLUGIN_ABI, "command", 1, commanding};

static const char *why_not(const sl_plugin *descriptor, int code, const char *path)
{
    sl_loaded *plugin = (void *)&plugin;
    sl_error *error = NULL;
    assert_int_equal(sl_plugin_load(sl_root_current(), descriptor, path, &plugin, &error), code);
    assert_ptr_equal(plugin, &plugin);
    const char *text = sl_printf("%s [%s]", error->message, error->hint ? error->hint : "");
    sl_error_unref(error);
    return text;
}

static void *is_refused(void *data)
{
    const char *file = __FILE__;
    notes[0] = '\0';
    assert_string_equal(
        why_not(&refused, SL_EINVAL, "/r.so"),
        sl_printf("plug-in refused (/r.so) cannot be loaded: notes refused (%s:%d): it is not wanted "
                  "[leave it out]",
                  file, refused_interests[2].site->line));
    assert_string_equal(notes, "aA");
    assert_non_null(strstr(why_not(&silently_refused, SL_EBUSY, NULL), "): busy"));
    assert_string_equal(
        why_not(&of_tomorrow, SL_EPROTO, NULL),
        "plug-in tomorrow cannot be loaded: it was made for version 2 of the plug-ins' interface, and "
        "this libsilver has version 1 [compile it again]");
    expect_nothing_registered();
    sl_loaded *plugin = load(&whole, "/w.so");
    assert_string_equal(
        why_not(&whole, SL_EEXIST, "/x.so"),
        "plug-in whole (/x.so) cannot be loaded: test has a plug-in of this name already, from /w.so "
        "[name it once, or rename one of the two]");
    assert_non_null(
        strstr(why_not(&second_provider, SL_EEXIST, NULL),
               sl_printf("provides finder (%s:%d): test has a facet for finder already, added at %s:%d", file,
                         providing[0].site->line, file, whole_interests[1].site->line)));
    assert_non_null(
        strstr(why_not(&second_adapter, SL_EEXIST, NULL),
               sl_printf("(%s:%d): test has an adapter from finder to page already, added at %s:%d", file,
                         adapting[0].site->line, file, whole_interests[2].site->line)));
    assert_non_null(strstr(why_not(&second_command, SL_EEXIST, NULL),
                           sl_printf("(%s:%d): test has a command of this name already, added at %s:%d", file,
                                     commanding[0].site->line, file, whole_interests[5].site->line)));
    assert_ptr_equal(sl_provided(finder), &finding);
    sl_plugin_unload(plugin);
    expect_nothing_registered();
    return NULL;
}

static void test_what_cannot_be_loaded_leaves_nothing_and_says_where(void **state)
{
    assert_int_equal(run_logged(is_refused, NULL), 0);
}

/* ---- Starting and stopping ---- */

static void fail_to_start(sl_loaded *plugin)
{
    sl_fail(SL_EIO, "there is no index");
}

static void fail_to_stop(sl_loaded *plugin)
{
    sl_fail(SL_EIO, "it hangs");
}

static const sl_interest cannot_start_interests[] = {SL_STARTS(fail_to_start), SL_STOPS(fail_to_stop)};
static const sl_plugin cannot_start = {SL_PLUGIN_ABI, "broken", 2, cannot_start_interests};
static const sl_interest cannot_stop_interests[] = {SL_STOPS(fail_to_stop), NOTES("c", "C")};
static const sl_plugin cannot_stop = {SL_PLUGIN_ABI, "stubborn", 2, cannot_stop_interests};

static void *starts(void *data)
{
    sl_plugins_start(sl_root_current());
    return NULL;
}

static void *fails_to_start(void *data)
{
    sl_root *root = sl_root_current();
    notes[0] = '\0';
    sl_loaded *first = load(&whole, NULL), *broken = load(&cannot_start, NULL);
    sl_error *error;
    sl_try(sl_spawn(starts, NULL), &error);
    assert_int_equal(error->code, SL_EIO);
    assert_string_equal(error->message, "plug-in broken did not start: there is no index");
    assert_string_equal(notes, "ab+");
    sl_plugin_unload(broken); /* its SL_STOPS is not called */
    assert_null(sl_plugin_get(root, "broken"));
    sl_plugin_unload(first);
    sl_plugin_unload(load(&cannot_stop, NULL));
    assert_string_equal(notes, "ab+-BAcC");
    assert_logged("plug-in stubborn failed to stop: it hangs");
    return NULL;
}

static void test_failing_to_start_and_to_stop(void **state)
{
    assert_int_equal(run_logged(fails_to_start, NULL), 0);
}

static void *leaves_it_loaded(void *data)
{
    notes[0] = '\0';
    load(&whole, "/w.so");
    load(&cannot_stop, NULL);
    sl_plugins_start(sl_root_current());
    return NULL;
}

static void test_what_is_left_is_unloaded_with_its_root(void **state)
{
    sl_buffer_done(&logged);
    assert_int_equal(sl_run("test", leaves_it_loaded, NULL, NULL), 0);
    assert_string_equal(notes, "abc+C-BA");
}

static void *root_goes(void *data)
{
    sl_root *root = sl_root_new(sl_loop_current(), "short-lived");
    notes[0] = '\0';
    {
        SL_IN_ROOT(root);
        load(&whole, NULL);
        sl_plugins_start(root);
        sl_emit(sl_channel("room"), said, NULL);
    }
    sl_root_unref(root); /* a task of its own stops the plug-in, and keeps the root until then */
    SL_SCRATCH()
    {
        while (!strchr(notes, 'A'))
            sl_await(sl_sleep(1));
    }
    assert_string_equal(notes, "ab+whole-BA");
    return NULL;
}

static void test_a_root_unloads_its_plugins_when_it_goes(void **state)
{
    assert_int_equal(run_logged(root_goes, NULL), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_loading_registers_all_and_unloading_removes_all),
        cmocka_unit_test(test_a_plugin_does_not_end_with_the_task_that_loads_it),
        cmocka_unit_test(test_what_cannot_be_loaded_leaves_nothing_and_says_where),
        cmocka_unit_test(test_failing_to_start_and_to_stop),
        cmocka_unit_test(test_what_is_left_is_unloaded_with_its_root),
        cmocka_unit_test(test_a_root_unloads_its_plugins_when_it_goes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
