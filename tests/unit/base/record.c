/* Records: the same value comes back from each codec, and nothing else comes out of anything else. */
#include "check.h"

#include <silver/record.h>
#include <jansson.h>
#include <math.h>
#include <fcntl.h>
#include <unistd.h>

#define POINT(F) F(x, integer) F(y, integer)
SL_RECORD(point, POINT);

#define TAG(F) F(name, text, SL_REQUIRED, .max = 4) F(weight, real)
SL_RECORD(tag, TAG);

/* A tree. */
#define NODE(F) F(label, text) F(below, list(node))
SL_RECORD(node, NODE);

#define ALL(F)                                                                                               \
    F(whole, integer)                                                                                        \
    F(broken, real)                                                                                          \
    F(yes, boolean)                                                                                          \
    F(when, time)                                                                                            \
    F(words, text)                                                                                           \
    F(raw, bytes, .max = 100000)                                                                             \
    F(any, json)                                                                                             \
    F(open, file)                                                                                            \
    F(one, record(tag))                                                                                      \
    F(tags, list(tag), .max = 10000)                                                                         \
    F(points, list(point))                                                                                   \
    F(tree, record(node))
SL_RECORD(all, ALL);

#define STRICT(F)                                                                                            \
    F(text, text, SL_REQUIRED)                                                                               \
    F(raw, bytes, SL_REQUIRED) F(any, json, SL_REQUIRED) F(tags, list(tag), SL_REQUIRED)
SL_RECORD(strict, STRICT);

static struct tag some_tags[] = {{"a", 1.5}, {"ärgs", -0.25}};
static struct point some_points[] = {{1, -1}, {INT64_MAX, INT64_MIN}};
static struct node leaves[] = {{"left", {0, NULL}}, {NULL, {0, NULL}}};
static struct node branch[] = {{"branch", {2, leaves}}};

static struct all full(json_t *any)
{
    return (struct all){.whole = -5,
                        .broken = 0.1,
                        .yes = true,
                        .when = 1795000000000000,
                        .words = "fish & chips … 🐟",
                        .raw = {"\0\xff\x80z", 4},
                        .any = any,
                        .open = -1,
                        .one = {"one", 2},
                        .tags = {2, some_tags},
                        .points = {2, some_points},
                        .tree = {"root", {1, branch}}};
}

static void same_text(const char *a, const char *b)
{
    if (!a || !b)
        assert_ptr_equal(a, b);
    else
        assert_string_equal(a, b);
}

static void same_tree(const struct node *a, const struct node *b)
{
    same_text(a->label, b->label);
    assert_int_equal(a->below.count, b->below.count);
    for (size_t i = 0; i < a->below.count; i++)
        same_tree(&a->below.items[i], &b->below.items[i]);
}

static void same(const struct all *a, const struct all *b)
{
    assert_int_equal(a->whole, b->whole);
    assert_true(a->broken == b->broken);
    assert_int_equal(a->yes, b->yes);
    assert_int_equal(a->when, b->when);
    same_text(a->words, b->words);
    assert_true(!a->raw.data == !b->raw.data && sl_view_equal(a->raw, b->raw));
    assert_true(a->any ? json_equal(a->any, b->any) : !b->any);
    same_text(a->one.name, b->one.name);
    assert_int_equal(a->tags.count, b->tags.count);
    for (size_t i = 0; i < a->tags.count; i++) {
        same_text(a->tags.items[i].name, b->tags.items[i].name);
        assert_true(a->tags.items[i].weight == b->tags.items[i].weight);
    }
    assert_int_equal(a->points.count, b->points.count);
    if (a->points.count)
        assert_memory_equal(a->points.items, b->points.items, a->points.count * sizeof(struct point));
    same_tree(&a->tree, &b->tree);
}

static void through(const sl_codec *codec, const struct all *value)
{
    sl_buffer out = {0};
    sl_files files = {.count = 0};
    sl_error *error = NULL;
    sl_arena *arena = sl_arena_new();
    sl_buffer_puts(&out, "in front"); /* encoding appends */
    assert_int_equal(codec->encode(all_record(), value, &out, &files, &error), 0);
    if (codec->size)
        assert_in_range(out.size - 8, 1, codec->size(all_record(), value));
    for (int borrow = 0; borrow < 2; borrow++) {
        /* In memory of just this size, so that the sanitizer sees a read beyond. */
        size_t size = out.size - 8;
        char *data = sl_malloc(size);
        memcpy(data, out.data + 8, size);
        void *decoded;
        assert_int_equal(
            codec->decode(all_record(), (sl_view){data, size}, borrow, &files, arena, &decoded, &error), 0);
        if (!borrow)
            memset(data, 'x', size);
        same(value, decoded);
        ((struct all *)decoded)->open = -1;
        sl_record_done(all_record(), decoded);
        free(data);
        sl_arena_reset(arena);
    }
    sl_buffer_done(&out);
    sl_arena_free(arena);
}

static void test_values_come_back(void **state)
{
    json_t *any = json_pack("{s:[i,f,n,b,s]}", "list", 1, 2.5, true, "ü");
    struct all value = full(any), empty = {.open = -1, .one = {"", 0}, .raw = {"", 0}};
    through(&sl_codec_flat, &value);
    through(&sl_codec_json, &value);
    through(&sl_codec_flat, &empty);
    through(&sl_codec_json, &empty);
    json_decref(any);
}

static void test_files_travel_by_number(void **state)
{
    const sl_codec *codecs[] = {&sl_codec_flat, &sl_codec_json};
    for (unsigned i = 0; i < 2; i++) {
        struct all value = {.open = open("/dev/null", O_RDONLY | O_CLOEXEC), .one = {"", 0}};
        sl_buffer out = {0};
        sl_files files = {.count = 0};
        sl_error *error = NULL;
        void *decoded;
        sl_arena *arena = sl_arena_new();
        assert_int_equal(codecs[i]->encode(all_record(), &value, &out, NULL, &error), SL_EINVAL);
        assert_string_equal(error->message, "open is an open file, which cannot go there");
        error = sl_error_unref(error);
        assert_int_equal(codecs[i]->encode(all_record(), &value, &out, &files, &error), 0);
        assert_int_equal(files.count, 1);
        assert_int_equal(files.numbers[0], value.open);

        sl_view data = {out.data, out.size};
        sl_files none = {.count = 0}, two = {{files.numbers[0], files.numbers[0]}, 2};
        assert_int_equal(codecs[i]->decode(all_record(), data, false, &none, arena, &decoded, &error),
                         SL_EPARSE);
        assert_string_equal(error->message, "open is a file that did not come");
        error = sl_error_unref(error);
        assert_int_equal(codecs[i]->decode(all_record(), data, false, NULL, arena, &decoded, &error),
                         SL_EPARSE);
        error = sl_error_unref(error);
        assert_int_equal(codecs[i]->decode(all_record(), data, false, &two, arena, &decoded, &error),
                         SL_EPARSE);
        assert_string_equal(error->message, "all has 1 files too many");
        error = sl_error_unref(error);
        assert_int_equal(codecs[i]->decode(all_record(), data, false, &files, arena, &decoded, &error), 0);
        assert_int_equal(((struct all *)decoded)->open, value.open);
        sl_record_done(all_record(), decoded);
        assert_int_equal(((struct all *)decoded)->open, -1);
        assert_int_equal(fcntl(value.open, F_GETFD), -1); /* closed */
        sl_buffer_done(&out);
        sl_arena_free(arena);
    }
}

/* Every prefix, and every value of every byte: decoded or refused, with nothing read beyond. */
static void test_damaged_input(void **state)
{
    json_t *any = json_pack("[i]", 1);
    struct all value = full(any);
    const sl_codec *codecs[] = {&sl_codec_flat, &sl_codec_json};
    for (unsigned c = 0; c < 2; c++) {
        sl_buffer out = {0};
        sl_error *error = NULL;
        sl_arena *arena = sl_arena_new();
        void *decoded;
        unsigned refused = 0;
        assert_int_equal(codecs[c]->encode(all_record(), &value, &out, NULL, &error), 0);
        for (size_t size = 0; size < out.size; size++) {
            char *data = sl_malloc(size);
            memcpy(data, out.data, size);
            assert_int_equal(
                codecs[c]->decode(all_record(), (sl_view){data, size}, true, NULL, arena, &decoded, &error),
                SL_EPARSE);
            error = sl_error_unref(error);
            free(data);
            sl_arena_reset(arena);
        }
        for (size_t at = 0; at < out.size * 8; at++) {
            char *data = sl_malloc(out.size);
            memcpy(data, out.data, out.size);
            data[at / 8] ^= (char)(1 << at % 8);
            if (codecs[c]->decode(all_record(), (sl_view){data, out.size}, true, NULL, arena, &decoded,
                                  &error) == 0) {
                assert_int_equal(sl_record_check(all_record(), decoded, &error), 0);
                sl_record_done(all_record(), decoded);
            } else {
                refused++;
                error = sl_error_unref(error);
            }
            assert_true(sl_arena_used(arena) < 20 * out.size + 4096);
            free(data);
            sl_arena_reset(arena);
        }
        assert_true(refused > out.size);
        sl_buffer_done(&out);
        sl_arena_free(arena);
    }
    json_decref(any);
}

static void refuses(const sl_record *record, const void *value, const char *message)
{
    const sl_codec *codecs[] = {&sl_codec_flat, &sl_codec_json};
    sl_error *error = NULL;
    assert_int_equal(sl_record_check(record, value, &error), SL_EINVAL);
    assert_string_equal(error->message, message);
    error = sl_error_unref(error);
    for (unsigned c = 0; c < 2; c++) {
        sl_buffer out = {0};
        sl_buffer_puts(&out, "kept");
        assert_int_equal(codecs[c]->encode(record, value, &out, NULL, &error), SL_EINVAL);
        assert_string_equal(error->message, message);
        assert_string_equal(out.data, "kept");
        error = sl_error_unref(error);
        sl_buffer_done(&out);
    }
}

static void test_what_fields_demand(void **state)
{
    json_t *any = json_true();
    struct strict good = {"", {"", 0}, any, {2, some_tags}}, value;
    sl_error *error = NULL;
    assert_int_equal(sl_record_check(strict_record(), &good, &error), 0);
    value = good, value.text = NULL;
    refuses(strict_record(), &value, "text is missing");
    value = good, value.raw = (sl_view){NULL, 0};
    refuses(strict_record(), &value, "raw is missing");
    value = good, value.raw = (sl_view){NULL, 1};
    refuses(strict_record(), &value, "raw has a size but no data");
    value = good, value.any = NULL;
    refuses(strict_record(), &value, "any is missing");
    value = good, value.tags.count = 0;
    refuses(strict_record(), &value, "tags is missing");
    value = good, value.tags.items = NULL;
    refuses(strict_record(), &value, "tags has a count but no items");
    value = good, value.text = "\xc3(";
    refuses(strict_record(), &value, "text is not UTF-8");
    struct tag wrong[] = {{"fine", 0}, {"äöüß", 0}, {"äöüß!", 0}};
    value = good, value.tags.count = 2, value.tags.items = (void *)wrong;
    assert_int_equal(sl_record_check(strict_record(), &value, &error), 0); /* four characters, eight bytes */
    value.tags.count = 3;
    refuses(strict_record(), &value, "tags[2].name is too long");
    struct all deep = {.open = -1, .one = {"long one", 0}};
    refuses(all_record(), &deep, "one.name is too long");
    for (unsigned i = 0; i < 600; i++)
        any = json_pack("[o]", any);
    value = good, value.any = any;
    refuses(strict_record(), &value, "any is nested too deep: 512 levels at most");
    json_decref(any);
}

static void test_trees_have_an_end(void **state)
{
    struct node levels[SL_RECORD_DEPTH + 2];
    sl_error *error = NULL;
    for (unsigned i = 0; i < sl_array_size(levels); i++)
        levels[i] = (struct node){"level", {i + 1 < sl_array_size(levels), &levels[i + 1]}};
    assert_int_equal(sl_record_check(node_record(), &levels[1], &error), 0);
    assert_int_equal(sl_record_check(node_record(), &levels[0], &error), SL_EINVAL);
    assert_non_null(strstr(error->message, "below[0].below[0]"));
    assert_non_null(strstr(error->message, "is nested too deeply"));
    error = sl_error_unref(error);
    sl_buffer out = {0};
    assert_int_equal(sl_codec_flat.encode(node_record(), &levels[0], &out, NULL, &error), SL_EINVAL);
    error = sl_error_unref(error);
    assert_int_equal(sl_codec_flat.encode(node_record(), &levels[1], &out, NULL, &error), 0);
    sl_buffer_done(&out);
}

static void test_json_says_what_it_means(void **state)
{
    json_t *any = json_pack("[i]", 1);
    struct all value = full(any);
    value.broken = NAN;
    value.open = 0;
    json_t *json = sl_record_to_json(all_record(), &value);
    char *text = json_dumps(json, JSON_COMPACT);
    assert_string_equal(
        text,
        "{\"whole\":-5,\"broken\":null,\"yes\":true,\"when\":1795000000000000,\"words\":\"fish & chips … 🐟\","
        "\"raw\":\"AP+Aeg==\",\"any\":[1],\"open\":null,\"one\":{\"name\":\"one\",\"weight\":2.0},"
        "\"tags\":[{\"name\":\"a\",\"weight\":1.5},{\"name\":\"ärgs\",\"weight\":-0.25}],"
        "\"points\":[{\"x\":1,\"y\":-1},{\"x\":9223372036854775807,\"y\":-9223372036854775808}],"
        "\"tree\":{\"label\":\"root\",\"below\":[{\"label\":\"branch\",\"below\":[{\"label\":\"left\","
        "\"below\":[]},"
        "{\"label\":null,\"below\":[]}]}]}}");
    free(text);
    json_decref(json);
    json_decref(any);
    sl_buffer out = {0};
    sl_error *error = NULL;
    value.open = -1;
    value.any = NULL;
    assert_int_equal(sl_codec_json.encode(all_record(), &value, &out, NULL, &error), SL_EINVAL);
    assert_string_equal(error->message, "broken is not a number that JSON has");
    sl_error_unref(error);
    sl_buffer_done(&out);
}

static void test_json_is_read_strictly(void **state)
{
    static const struct {
        const char *json, *message;
    } cases[] = {
        {"[]", "all must be an object, not an array"},
        {"{\"whole\": 1.0}", "whole must be a whole number, not a number"},
        {"{\"whole\": \"1\"}", "whole must be a whole number, not a string"},
        {"{\"broken\": null}", "broken must be a number, not null"},
        {"{\"yes\": 1}", "yes must be true or false, not a number"},
        {"{\"when\": true}", "when must be a whole number, not a boolean"},
        {"{\"words\": 5}", "words must be a string, not a number"},
        {"{\"words\": \"a\\u0000b\"}", "words has a NUL in it"},
        {"{\"raw\": \"AAA\"}", "raw is not base64"},
        {"{\"raw\": \"AB==\"}", "raw is not base64"}, /* bits that stand for nothing */
        {"{\"raw\": \"A===\"}", "raw is not base64"},
        {"{\"raw\": \"AA==AAAA\"}", "raw is not base64"},
        {"{\"raw\": \"A A=\"}", "raw is not base64"},
        {"{\"open\": 3}", "open is an open file, which cannot come from JSON"},
        {"{\"one\": 1}", "one must be an object, not a number"},
        {"{\"one\": {}}", "one.name is missing"},
        {"{}", "one.name is missing"},
        {"{\"one\": {\"name\": null}}", "one.name is missing"},
        {"{\"one\": {\"name\": \"fivey\"}}", "one.name is too long"},
        {"{\"one\": {\"name\": \"\"}, \"tags\": {}}", "tags must be an array, not an object"},
        {"{\"one\": {\"name\": \"\"}, \"tags\": [{\"name\": \"\"}, 1]}",
         "tags[1] must be an object, not a number"},
        {"{\"one\": {\"name\": \"\"}, \"tags\": [{\"name\": \"\", \"nam\": 1}]}",
         "tags[0] has no field \"nam\""},
        {"{\"one\": {\"nam\": \"\"}}", "one has no field \"nam\""}, /* rather than that name is missing */
        {"{\"one\": {\"name\": \"\"}, \"worms\": 1}", "all has no field \"worms\""},
    };
    for (unsigned i = 0; i < sl_array_size(cases); i++) {
        json_t *json = json_loads(cases[i].json, JSON_ALLOW_NUL, NULL);
        sl_arena *arena = sl_arena_new();
        sl_error *error = NULL;
        void *value;
        assert_non_null(json);
        assert_int_equal(sl_record_from_json(all_record(), json, arena, &value, &error), SL_EINVAL);
        assert_string_equal(error->message, cases[i].message);
        if (strstr(cases[i].message, "no field"))
            assert_string_equal(error->hint, i + 1 == sl_array_size(cases) ? "did you mean \"words\"?"
                                                                           : "did you mean \"name\"?");
        sl_error_unref(error);
        sl_arena_free(arena);
        json_decref(json);
    }
}

static void test_missing_members_are_empty(void **state)
{
    json_t *json = json_pack("{s:{s:s}}", "one", "name", "x");
    sl_arena *arena = sl_arena_new();
    sl_error *error = NULL;
    void *value;
    assert_int_equal(sl_record_from_json(all_record(), json, arena, &value, &error), 0);
    struct all expected = {.one = {"x", 0}};
    same(&expected, value);
    assert_int_equal(((struct all *)value)->open, -1);
    sl_arena_free(arena);
    json_decref(json);
}

/* The same list under another macro's name: what counts is what it says. */
#define OTHER(F) F(text, text, SL_REQUIRED) F(raw, bytes, SL_REQUIRED)
#define LONGER(F) F(text, text, SL_REQUIRED, .max = 5) F(raw, bytes, SL_REQUIRED)
#define LOOSER(F) F(text, text) F(raw, bytes, SL_REQUIRED)
#define RENAMED(F) F(test, text, SL_REQUIRED) F(raw, bytes, SL_REQUIRED)
#define RETYPED(F) F(text, text, SL_REQUIRED) F(raw, record(tag), SL_REQUIRED)
SL_RECORD(other, OTHER);
SL_RECORD(longer, LONGER);
SL_RECORD(looser, LOOSER);
SL_RECORD(renamed, RENAMED);
SL_RECORD(retyped, RETYPED);

static void test_the_digest_tells_descriptions_apart(void **state)
{
    const sl_record *records[] = {other_record(),   longer_record(), looser_record(), renamed_record(),
                                  retyped_record(), node_record(),   tag_record(),    all_record()};
    for (unsigned i = 0; i < sl_array_size(records); i++) {
        sl_record copy = *records[i];
        copy.name = "other";
        uint64_t digest = sl_record_digest(&copy);
        assert_true(digest != 0);
        for (unsigned k = 0; k < sl_array_size(records); k++) {
            sl_record another = *records[k];
            another.name = "other";
            assert_int_equal(sl_record_digest(&another) == digest, i == k);
        }
    }
    sl_record renamed = *other_record();
    renamed.name = "something";
    assert_true(sl_record_digest(&renamed) != sl_record_digest(other_record()));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values_come_back),
        cmocka_unit_test(test_files_travel_by_number),
        cmocka_unit_test(test_damaged_input),
        cmocka_unit_test(test_what_fields_demand),
        cmocka_unit_test(test_trees_have_an_end),
        cmocka_unit_test(test_json_says_what_it_means),
        cmocka_unit_test(test_json_is_read_strictly),
        cmocka_unit_test(test_missing_members_are_empty),
        cmocka_unit_test(test_the_digest_tells_descriptions_apart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
