/* Objects as JSON. */
#include "store/store.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <jansson.h>
#include <math.h>
#include <stdlib.h>

#define COLOURS(V) V(RED, "red") V(GREEN, "green")
SL_ENUM(colour, COLOURS);

#define THING(F)                                                                                             \
    F(id, integer, SL_PRIMARY_KEY)                                                                           \
    F(height, real)                                                                                          \
    F(name, text)                                                                                            \
    F(picture, bytes)                                                                                        \
    F(good, boolean)                                                                                         \
    F(seen, time)                                                                                            \
    F(born, date)                                                                                            \
    F(price, decimal, .scale = 2)                                                                            \
    F(token, uuid)                                                                                           \
    F(shade, enum(colour))                                                                                   \
    F(more, json)                                                                                            \
    F(text, text, SL_LAZY)                                                                                   \
    F(parent, refers(thing))
SL_MODEL(thing, THING);

#define PAIR(F) F(count, integer) F(left, row(thing)) F(right, row(thing))
SL_RESULT(pair, PAIR);

static void check_json(const sl_model *model, const void *object, const char *wanted)
{
    json_t *json = sl__fields_to_json(model, object);
    char *text = json_dumps(json, JSON_COMPACT | JSON_REAL_PRECISION(6));
    assert_string_equal(text, wanted);
    free(text);
    json_decref(json);
}

static struct thing a_thing(json_t *more)
{
    struct thing thing = {.id = -5,
                          .height = 1.5,
                          .name = "J\xC3\xBCrgen \"x\"",
                          .picture = {"\0\xff", 2},
                          .good = true,
                          .seen = 7,
                          .born = {2026, 11, 29},
                          .price = {1250, 2},
                          .shade = GREEN,
                          .more = more,
                          .text = "long",
                          .parent = 3};
    memset(thing.token.bytes, 0xab, 16);
    return thing;
}

#define SHOWN                                                                                                \
    "{\"id\":-5,\"height\":1.5,\"name\":\"J\xC3\xBCrgen "                                                    \
    "\\\"x\\\"\",\"picture\":\"AP8=\",\"good\":true,\"seen\":7,"                                             \
    "\"born\":\"2026-11-29\",\"price\":\"12.50\",\"token\":\"abababab-abab-abab-abab-abababababab\","        \
    "\"shade\":\"green\","                                                                                   \
    "\"more\":{\"a\":[1,null]}"

static void each_kind_has_its_form(void **state)
{
    json_t *more = json_pack("{s:[i, n]}", "a", 1);
    struct thing thing = a_thing(more);
    check_json(thing_model(), &thing, SHOWN ",\"parent\":3}");
    assert_int_equal(more->refcount, 1); /* what was kept was given back */
    json_decref(more);
}

static void lazy_columns_are_there_once_they_were_read(void **state)
{
    json_t *more = json_pack("{s:[i, n]}", "a", 1);
    struct thing thing = a_thing(more);
    thing.sl__row.loaded = UINT64_C(1) << 11;
    check_json(thing_model(), &thing, SHOWN ",\"text\":\"long\",\"parent\":3}");
    json_decref(more);
}

static void null_is_null(void **state)
{
    json_t *more = json_null();
    struct thing thing = a_thing(more);
    thing.sl__null = UINT64_MAX;
    check_json(thing_model(), &thing,
               "{\"id\":null,\"height\":null,\"name\":null,\"picture\":null,\"good\":null,\"seen\":null,"
               "\"born\":null,\"price\":null,"
               "\"token\":null,\"shade\":null,\"more\":null,\"parent\":null}");
    struct thing empty = {.height = NAN, .picture = {"", 0}, .shade = (enum colour)7};
    check_json(thing_model(), &empty,
               "{\"id\":0,\"height\":null,\"name\":null,\"picture\":\"\",\"good\":false,\"seen\":0,\"born\":"
               "\"0000-00-00\",\"price\":\"0.00\","
               "\"token\":\"00000000-0000-0000-0000-000000000000\",\"shade\":7,\"more\":null,\"parent\":0}");
}

static void broken_text_is_shown_as_far_as_it_goes(void **state)
{
    struct thing thing = {.name = "a\xff\xC3\xBC\xC3(\xF0\x9F\x90\xA5\xed\xa0\x80"};
    json_t *json = sl__fields_to_json(thing_model(), &thing);
    assert_string_equal(
        json_string_value(json_object_get(json, "name")),
        "a\xEF\xBF\xBD\xC3\xBC\xEF\xBF\xBD(\xF0\x9F\x90\xA5\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD");
    json_decref(json);
}

static void whole_objects_are_nested(void **state)
{
    struct thing thing = {.id = 1, .sl__null = ~UINT64_C(1)};
    struct pair pair = {.count = 2, .left = &thing};
    json_t *json = sl__fields_to_json(pair_model(), &pair);
    assert_int_equal(json_integer_value(json_object_get(json, "count")), 2);
    assert_int_equal(json_integer_value(json_object_get(json_object_get(json, "left"), "id")), 1);
    assert_true(json_is_null(json_object_get(json_object_get(json, "left"), "name")));
    assert_true(json_is_null(json_object_get(json, "right")));
    json_decref(json);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_kind_has_its_form),
        cmocka_unit_test(lazy_columns_are_there_once_they_were_read),
        cmocka_unit_test(null_is_null),
        cmocka_unit_test(broken_text_is_shown_as_far_as_it_goes),
        cmocka_unit_test(whole_objects_are_nested),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
