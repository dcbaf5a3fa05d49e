/* What differs between the databases (docs/store.md), and what makes it the same. */
#include "world.h"

#include <jansson.h>

#define AE "\xc3\x84" /* Ä */
#define ae "\xc3\xa4" /* ä */

static bool is_postgres(void)
{
    return sl__store_named(SL_HERE, NULL)->dialect == SL__POSTGRES;
}

/* ---- Texts --------------------------------------------------------------------------------------------- */

static void *add_places(void *data)
{
    static const char *const codes[] = {ae, "a", "B", "Z", AE};
    for (int i = 0; i < 5; i++)
        sl_add(sl_new(place, .code = codes[i], .rank = i + 1));
    return data;
}

static void assert_codes(struct place_found *found, const char *wanted)
{
    sl_buffer got = {0};
    struct place_list all = sl_list(found);
    sl_buffer_puts(&got, "");
    for (size_t i = 0; i < all.count; i++)
        sl_buffer_puts(&got, all.items[i]->code);
    assert_string_equal(got.data, wanted);
    sl_buffer_done(&got);
}

static void *use_language(void *data)
{
    sl_execute("postgres", "ALTER TABLE place ALTER code TYPE text COLLATE \"en-x-icu\"");
    return data;
}

static void *use_bytes(void *data)
{
    sl_execute("postgres", "ALTER TABLE place ALTER code TYPE text COLLATE \"C\"");
    return data;
}

static void assert_bytes(void)
{
    assert_codes(sl_find(place, sl_ascending(place_.code)), "BZa" AE ae);
    assert_codes(sl_find(place, sl_descending(place_.code), sl_limit(2)), ae AE);
    assert_codes(sl_find(place, sl_between(place_.code, "a", "c")), "a");
    assert_string_equal(sl_value(sl_find(place), sl_min(place_.code)), "B");
}

TEST(texts_are_in_the_order_of_the_collation)
{
    sl_transact(add_places, NULL);
    assert_bytes(); /* C.UTF-8, as var/postgres has */
    assert_codes(sl_find(place, sl_eq(place_.code, ae)), ae);
    if (!is_postgres())
        return;
    sl_transact(use_language, NULL);
    assert_codes(sl_find(place, sl_ascending(place_.code)), "a" ae AE "BZ");
    assert_codes(sl_find(place, sl_between(place_.code, "a", "c"), sl_ascending(place_.code)), "a" ae AE "B");
    assert_codes(sl_find(place, sl_eq(place_.code, ae)), ae);
    sl_transact(use_bytes, NULL);
    assert_bytes();
}

static void assert_ascii(void)
{
    assert_codes(sl_find(place, sl_ilike(place_.code, AE)), AE);
    assert_codes(sl_find(place, sl_eq(sl_lower(place_.code), ae)), ae);
    assert_codes(sl_find(place, sl_ilike(place_.code, "b")), "B");
}

TEST(letters_beyond_ascii_have_case_in_postgres)
{
    sl_transact(add_places, NULL);
    if (is_postgres()) {
        assert_codes(sl_find(place, sl_ilike(place_.code, AE), sl_ascending(place_.code)), AE ae);
        assert_codes(sl_find(place, sl_eq(sl_upper(place_.code), AE), sl_ascending(place_.code)), AE ae);
        sl_transact(use_bytes, NULL);
    }
    assert_ascii();
}

/* ---- The rest ------------------------------------------------------------------------------------------ */

static void *add_people(void *data)
{
    static const char *const extras[] = {"{\"a\": 1, \"b\": 2}", "{\"b\": 2, \"a\": 1}",
                                         "{\"a\": 1.0, \"b\": 2}"};
    for (int i = 0; i < 3; i++) {
        struct person *p = sl_add(sl_new(person, .name = "x", .age = i, .height = 1e308));
        p->extra = sl_json_owned(json_loads(extras[i], 0, NULL));
        if (i == 1)
            sl_set_null(p, age);
    }
    return data;
}

static void assert_ages(struct person_found *found, int first, int second, int third)
{
    struct person_list all = sl_list(found);
    assert_int_equal(all.count, 3);
    const int wanted[] = {first, second, third};
    for (int i = 0; i < 3; i++)
        assert_int_equal(all.items[i]->null.age ? -1 : all.items[i]->age, wanted[i]);
}

static void *divide(void *data)
{
    return (void *)(intptr_t)sl_value_or(sl_find(person), sl_max(sl_divided(person_.age, 0)), -1);
}

static void *sum_up(void *data)
{
    assert_true(sl_value(sl_find(person), sl_sum(person_.height)) > 1.7e308);
    return data;
}

TEST(numbers_and_json_differ)
{
    bool postgres = is_postgres();
    sl_transact(add_people, NULL);
    if (postgres)
        assert_ages(sl_find(person, sl_ascending(person_.age)), 0, 2, -1);
    else
        assert_ages(sl_find(person, sl_ascending(person_.age)), -1, 0, 2);
    assert_ages(sl_find(person, sl_ascending(sl_sql_integer("CASE WHEN age IS NULL THEN 1 ELSE 0 END")),
                        sl_ascending(person_.age)),
                0, 2, -1);
    json_t *extra = json_loads("{\"a\": 1, \"b\": 2}", 0, NULL);
    assert_int_equal(sl_count(sl_find(person, sl_eq(person_.extra, extra))), postgres ? 3 : 1);
    json_decref(extra);
    const sl_error *error = error_of(divide, NULL);
    assert_int_equal(postgres, error != NULL);
    error = error_of(sum_up, NULL);
    assert_int_equal(postgres, error != NULL);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        IN_BOTH(texts_are_in_the_order_of_the_collation),
        IN_BOTH(letters_beyond_ascii_have_case_in_postgres),
        IN_BOTH(numbers_and_json_differ),
    };
    return world_main(argc, argv, tests, sizeof tests / sizeof *tests);
}
