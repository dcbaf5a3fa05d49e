/* Errors: codes and their names, what an error carries, and how it reads. */
#include "check.h"

#include <errno.h>

static void test_codes(void **state)
{
#define CHECK(name, number, message)                                                                         \
    assert_string_equal(sl_code_name(name), #name);                                                          \
    assert_string_equal(sl_code_message(name), message);                                                     \
    assert_true(name < 0);
    SL_ERROR_CODES(CHECK)
#undef CHECK
    assert_int_equal(SL_ENOENT, -ENOENT); /* the system's pass unchanged */
    assert_int_equal(SL_ETIMEDOUT, -ETIMEDOUT);
    assert_string_equal(sl_code_name(-ECONNREFUSED), "ECONNREFUSED");
    assert_string_equal(sl_code_message(-ECONNREFUSED), "Connection refused");
    static const int unknown[] = {0,      1,      22,     -4000,    -4096,     -5000,
                                  -10099, -10600, -20999, -1000000, INT32_MIN, INT32_MAX};
    for (size_t i = 0; i < sl_array_size(unknown); i++) {
        assert_string_equal(sl_code_name(unknown[i]), "unknown error");
        assert_string_equal(sl_code_message(unknown[i]), "unknown error");
    }
}

static void test_statuses(void **state)
{
    for (int status = 100; status <= 599; status++) {
        assert_int_equal(sl_code_status(SL_HTTP(status)), status);
        assert_string_equal(sl_code_name(SL_HTTP(status)), "SL_HTTP");
    }
    assert_int_equal(sl_code_status(SL_HTTP(99)), 500);
    assert_int_equal(sl_code_status(SL_HTTP(600)), 500);
    assert_int_equal(sl_code_status(SL_EINVAL), 500);
    assert_int_equal(sl_code_status(SL_ECONFLICT), 409);
    assert_int_equal(sl_code_status(SL_EEXIST), 500);
    assert_int_equal(sl_code_status(SL_ENOSPC), 507);
    assert_int_equal(sl_code_status(0), 500);
}

/* What a client may be told, and which status it gets. */
static void test_told(void **state)
{
    SL_AUTO_ERROR sl_error *file = sl_error_new(SL_EEXIST, "/srv/a is there already");
    assert_null(sl_error_told(file));
    assert_int_equal(sl_error_status(file), 500);
    sl_error *cause =
        sl_error_tell(sl_error_new(SL_EEXIST, "UNIQUE failed: t.name"), "the %s is taken", "name");
    SL_AUTO_ERROR sl_error *unique = sl_error_cause(sl_error_new(SL_EEXIST, "row 7 (a.c:12)"), cause);
    assert_string_equal(sl_error_told(unique), "the name is taken");
    assert_int_equal(sl_error_status(unique), 409);
    /* A cause of another kind says nothing about what came of it. */
    SL_AUTO_ERROR sl_error *other =
        sl_error_cause(sl_error_new(SL_EDATABASE, "a table is gone"), sl_error_ref(unique));
    assert_null(sl_error_told(other));
    assert_int_equal(sl_error_status(other), 500);
    SL_AUTO_ERROR sl_error *meant = sl_error_new(SL_HTTP(404), "no such room");
    assert_string_equal(sl_error_told(meant), "no such room");
    SL_AUTO_ERROR sl_error *secret = sl_error_new(SL_HTTP(503), "the secret reason");
    assert_null(sl_error_told(secret));
    SL_AUTO_ERROR sl_error *conflict = sl_error_new(SL_ECONFLICT, "row 7 (a.c:12) has changed");
    assert_string_equal(sl_error_told(conflict), "another transaction was in the way");
    sl_error_tell(sl_error_tell(conflict, "one"), "two");
    assert_string_equal(sl_error_told(conflict), "two");
}

static void test_messages_of_any_length(void **state)
{
    for (size_t size = 0; size < 1200; size += size < 500 || size > 520 ? 37 : 1) {
        char *text = sl_malloc(size + 1);
        memset(text, 'x', size);
        text[size] = '\0';
        SL_AUTO_ERROR sl_error *error = sl_error_new(SL_EINVAL, "%s\n\n", text);
        assert_string_equal(error->message, text); /* newlines at the end are none of it */
        free(text);
    }
    SL_AUTO_ERROR sl_error *unsayable = sl_error_new(SL_EINVAL, "before %ls", L"\xd800 after");
    assert_string_equal(unsayable->message, "");
}

static const sl_site sites[40] = {
    [0] = {"a.c", 0, "f0"},    [3] = {"a.c", 3, "f3"},    [4] = {"a.c", 4, "f4"},
    [18] = {"a.c", 18, "f18"}, [19] = {"a.c", 19, "f19"},
};

static void test_the_ring_of_hops(void **state)
{
    SL_AUTO_ERROR sl_error *error = sl_error_new(SL_EINVAL, "far");
    for (unsigned i = 0; i < 20; i++)
        sl_error_hop(error, sites[i].file ? &sites[i] : &sites[0]);
    assert_int_equal(error->hop_count, 20);
    assert_ptr_equal(error->hops[19 % SL_ERROR_HOPS], &sites[19]);
    assert_ptr_equal(error->hops[4], &sites[4]);
    char *text = sl_error_text(error);
    assert_non_null(strstr(text, "4 earlier hops"));
    assert_null(strstr(text, "f3 ")); /* pushed out by the 20th */
    assert_non_null(strstr(text, "through f4 (a.c:4)"));
    assert_true(strstr(text, "f18 ") < strstr(text, "f19 "));
    const char *twice = strstr(text, "through f0");
    assert_true(!twice || !strstr(twice, "through f0 (a.c:0)\n  through f0"));
    free(text);
}

static void test_text(void **state)
{
    SL_AUTO_ERROR sl_error *error = sl_error_new(SL_ECONFIG, "no %s", "listen");
    int line = __LINE__ - 1;
    sl_error_detail(error, "one\ntwo\n", 8);
    sl_error_hint(error, "add %s", "it");
    sl_error_cause(error, sl_error_new(SL_ENOENT, "app.ini is missing"));
    char *expected =
        sl_printf_heap("no listen\n  one\n  two\n  hint: add it\n  from test_text (%s:%d), SL_ECONFIG\n"
                       "caused by: app.ini is missing\n  from test_text (%s:%d), SL_ENOENT",
                       __FILE__, line, __FILE__, line + 4);
    char *text = sl_error_text(error);
    assert_string_equal(text, expected);
    free(text);
    free(expected);
    sl_error_hint(error, "%s, %s", error->hint, "again"); /* replaced by what was made of it */
    assert_string_equal(error->hint, "add it, again");
    sl_error_detail(error, "", 0);
    assert_string_equal(error->detail, "");
}

static void test_long_chains_of_causes(void **state)
{
    sl_error *error = NULL;
    for (int i = 0; i < 200000; i++) {
        sl_error *next = sl_error_new(SL_EFAILED, "%d", i);
        error = error ? sl_error_cause(next, error) : next;
    }
    sl_error *inside = sl_error_ref(error->cause);
    sl_error_unref(error); /* must not recurse, and stops at what somebody holds */
    assert_string_equal(inside->message, "199998");
    assert_non_null(inside->cause);
    assert_null(sl_error_unref(inside));
    assert_null(sl_error_unref(NULL));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_codes),
        cmocka_unit_test(test_statuses),
        cmocka_unit_test(test_told),
        cmocka_unit_test(test_messages_of_any_length),
        cmocka_unit_test(test_the_ring_of_hops),
        cmocka_unit_test(test_text),
        cmocka_unit_test(test_long_chains_of_causes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
