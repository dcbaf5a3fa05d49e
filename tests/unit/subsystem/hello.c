/* Errors that cross a wire: what arrives says the same, whatever was in it. */
#include "check.h"
#include "subsystem/hello.h"

static sl_error *cross(sl_error *error)
{
    sl_buffer out = {0};
    sl__trouble_put(error, &out);
    sl_error_unref(error);
    char *copy = malloc(out.size);
    memcpy(copy, out.data, out.size);
    sl_error *arrived = sl__trouble_get((sl_view){copy, out.size});
    free(copy);
    sl_buffer_done(&out);
    return arrived;
}

static void *crosses(void *data)
{
    static const sl_site hop = {"hop.c", 7, "hops"};
    sl_error *error = sl_error_new(SL_HTTP(404), "no room called %s", "fish");
    const sl_site *origin = error->origin;
    sl_error_hint(error, "make one");
    sl_error_detail(error, "a\nb", 3);
    sl_error_cause(error, sl_error_new(SL_EIO, "the disk"));
    for (int i = 0; i < 20; i++)
        sl_error_hop(error, &hop);
    sl_error *got = cross(error);
    assert_int_equal(got->code, SL_HTTP(404));
    assert_string_equal(got->message, "no room called fish");
    assert_string_equal(got->hint, "make one");
    assert_ptr_equal(strstr(got->detail, "a\nb\ncaused by: the disk"), got->detail);
    assert_string_equal(got->origin->file, origin->file);
    assert_string_equal(got->origin->function, "crosses");
    assert_int_equal(got->origin->line, origin->line);
    assert_int_equal(got->hop_count, SL_ERROR_HOPS);
    assert_int_equal(got->hops[3]->line, 7);
    assert_ptr_equal(got->hops[3], got->hops[4]); /* kept once */
    sl_error_unref(got);
    return NULL;
}

static void test_errors_cross(void **state)
{
    assert_int_equal(sl_run("test", crosses, NULL, NULL), 0);
}

static void test_without_a_loop_places_are_left_out(void **state)
{
    sl_error *got = cross(sl_error_new(SL_EBUSY, "busy"));
    assert_int_equal(got->code, SL_EBUSY);
    assert_null(got->origin);
    assert_null(got->detail);
    assert_null(got->hint);
    sl_error_unref(got);
}

/* Also those of what led to it. */
static void test_words_for_clients_cross(void **state)
{
    sl_error *cause = sl_error_tell(sl_error_new(SL_EEXIST, "person.name"), "there is one like it already");
    sl_error *got = cross(sl_error_cause(sl_error_new(SL_EEXIST, "it failed"), cause));
    assert_string_equal(sl_error_told(got), "there is one like it already");
    assert_int_equal(sl_error_status(got), 409);
    sl_error_unref(got);
    got = cross(sl_error_new(SL_HTTP(404), "no room"));
    assert_ptr_equal(sl_error_told(got), got->message);
    sl_error_unref(got);
}

static void test_what_is_no_text_can_be_sent(void **state)
{
    sl_error *got = cross(sl_error_new(SL_EIO, "cannot open \xff\xfe/\xc3\xa4\xe2\x82/end\xf0\x9f"));
    assert_string_equal(got->message, "cannot open ?"
                                      "?/\xc3\xa4?"
                                      "?/end?"
                                      "?");
    sl_error_unref(got);
    char *long_one = malloc(200001);
    memset(long_one, 'x', 200000);
    got = cross(sl_error_detail(sl_error_new(SL_EIO, "long"), long_one, 200000));
    assert_int_equal(strlen(got->detail), 65536);
    sl_error_unref(got);
    free(long_one);
}

static sl_error *of_code(int64_t code)
{
    struct sl__trouble trouble = {.code = code};
    sl_buffer out = {0};
    sl_error *error = NULL;
    assert_int_equal(sl_codec_flat.encode(sl__trouble_record(), &trouble, &out, NULL, &error), 0);
    error = sl__trouble_get((sl_view){out.data, out.size});
    sl_buffer_done(&out);
    return error;
}

static void test_what_makes_no_sense_is_an_error_too(void **state)
{
    static const int64_t codes[] = {0, 1, INT64_MIN, INT64_MAX};
    for (unsigned i = 0; i < sl_array_size(codes); i++) {
        sl_error *error = of_code(codes[i]);
        assert_int_equal(error->code, SL_EFAILED);
        assert_string_equal(error->message, "");
        sl_error_unref(error);
    }
    sl_error *error = sl__trouble_get(SL_VIEW("nonsense"));
    assert_int_equal(error->code, SL_EPROTO);
    assert_string_equal(error->cause->message, "sl__trouble is cut short");
    sl_error_unref(error);
}

static void *makes_up_places(void *data)
{
    for (int i = 0; i < 6000; i++) {
        struct sl__place place = {"made-up.c", i, "nobody"};
        struct sl__trouble trouble = {.code = SL_EIO, .message = "m", .places = {1, (void *)&place}};
        sl_buffer out = {0};
        sl_error *error = NULL;
        assert_int_equal(sl_codec_flat.encode(sl__trouble_record(), &trouble, &out, NULL, &error), 0);
        error = sl__trouble_get((sl_view){out.data, out.size});
        if (i < 4096)
            assert_int_equal(error->origin->line, i);
        else
            assert_null(error->origin);
        sl_error_unref(error);
        sl_buffer_done(&out);
    }
    return NULL;
}

static void test_a_loop_keeps_only_so_many_places(void **state)
{
    assert_int_equal(sl_run("test", makes_up_places, NULL, NULL), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_errors_cross),
        cmocka_unit_test(test_without_a_loop_places_are_left_out),
        cmocka_unit_test(test_words_for_clients_cross),
        cmocka_unit_test(test_what_is_no_text_can_be_sent),
        cmocka_unit_test(test_what_makes_no_sense_is_an_error_too),
        cmocka_unit_test(test_a_loop_keeps_only_so_many_places),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
