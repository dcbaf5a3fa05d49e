/* Values as text and from it; values as fields and back. */
#include "store/driver.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <jansson.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- Dates ---- */

/* Every day of 9999 years, counted up by a calendar of the test's own. */
static void each_date_comes_back(void **state)
{
    static const unsigned lengths[12] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    int64_t midnight = -62135596800 * INT64_C(1000000);
    for (int year = 1; year <= 9999; year++)
        for (unsigned month = 1; month <= 12; month++) {
            bool leap = year % 400 == 0 || (year % 4 == 0 && year % 100 != 0);
            unsigned length = lengths[month - 1] + (month == 2 && leap);
            for (unsigned day = 1; day <= length; day++, midnight += INT64_C(86400000000)) {
                char text[SL_DATE_SIZE], time[SL_TIME_SIZE];
                sl_date date = {(int16_t)year, (uint8_t)month, (uint8_t)day}, back;
                if (sl_date_parse(sl_date_text(date, text), &back) < 0 || back.year != year ||
                    back.month != month || back.day != day)
                    fail_msg("%s does not come back", text);
                if (memcmp(sl_time_text(midnight, time), text, 10) != 0)
                    fail_msg("the day after %s is told as %s", text, time);
            }
            char none[32];
            sl_date date = {9, 9, 9};
            snprintf(none, sizeof(none), "%04d-%02u-%02u", year, month, length + 1);
            if (sl_date_parse(none, &date) != SL_EPARSE || date.year != 9)
                fail_msg("%s is taken for a date", none);
        }
    assert_true(midnight == INT64_C(253402300800) * 1000000);
}

static void what_is_no_date(void **state)
{
    static const char *const texts[] = {
        "",
        "2026",
        "2026-11",
        "2026-11-2",
        "2026-11-291",
        "2026-11-29 ",
        " 2026-11-29",
        "2026-00-01",
        "2026-13-01",
        "2026-01-00",
        "2026-04-31",
        "2026-02-29",
        "1900-02-29",
        "0000-01-01",
        "026-01-011",
        "+026-01-01",
        "-001-01-01",
        "2026/11/29",
        "2026-1-129",
        "2026-+1-01",
        "２０２６-11-29",
        "20261129",
        "infinity",
        "2026-11-29T",
        "10000-01-01",
        "2026-11- 9",
        "2026--1-29",
    };
    for (size_t i = 0; i < sl_array_size(texts); i++) {
        sl_date date = {1, 2, 3};
        if (sl_date_parse(texts[i], &date) != SL_EPARSE || date.year != 1 || date.day != 3)
            fail_msg("\"%s\" is taken for a date", texts[i]);
    }
    char text[SL_DATE_SIZE];
    assert_string_equal(sl_date_text((sl_date){0}, text), "0000-00-00");
    assert_string_equal(sl_date_text((sl_date){-1, 1, 1}, text), "0000-00-00");
    assert_string_equal(sl_date_text((sl_date){32767, 255, 255}, text), "0000-00-00");
    assert_string_equal(sl_date_text((sl_date){2025, 2, 29}, text), "0000-00-00");
    assert_string_equal(sl_date_text((sl_date){2024, 2, 29}, text), "2024-02-29");
}

/* ---- Times ---- */

static void what_is_a_time(void **state)
{
    static const struct {
        const char *text;
        int64_t us;
        const char *written;
    } times[] = {
        {"1970-01-01T00:00:00Z", 0, "1970-01-01T00:00:00.000000Z"},
        {"1970-01-01 00:00:00+00", 0, "1970-01-01T00:00:00.000000Z"},
        {"2026-11-29T12:00:00Z", 1795953600000000, "2026-11-29T12:00:00.000000Z"},
        {"2026-11-29T12:00:00.5Z", 1795953600500000, "2026-11-29T12:00:00.500000Z"},
        {"2026-11-29T12:00:00.123456789Z", 1795953600123456, "2026-11-29T12:00:00.123456Z"},
        {"2026-11-29T12:00:00+02:00", 1795946400000000, "2026-11-29T10:00:00.000000Z"},
        {"2026-11-29T12:00:00-05:30", 1795973400000000, "2026-11-29T17:30:00.000000Z"},
        {"2026-12-31T23:59:59-00:01", 1798761659000000, "2027-01-01T00:00:59.000000Z"},
        {"1969-12-31T23:59:59.999999Z", -1, "1969-12-31T23:59:59.999999Z"},
        {"0001-01-01T00:00:00Z", -62135596800000000, "0001-01-01T00:00:00.000000Z"},
        {"9999-12-31T23:59:59.999999Z", 253402300799999999, "9999-12-31T23:59:59.999999Z"},
        {"2024-02-29T23:59:59Z", 1709251199000000, "2024-02-29T23:59:59.000000Z"},
    };
    for (size_t i = 0; i < sl_array_size(times); i++) {
        int64_t us;
        char text[SL_TIME_SIZE];
        if (sl_time_parse(times[i].text, &us) < 0 || us != times[i].us)
            fail_msg("\"%s\" is read as %lld", times[i].text, (long long)us);
        assert_string_equal(sl_time_text(us, text), times[i].written);
    }
}

static void what_is_no_time(void **state)
{
    static const char *const texts[] = {
        "",
        "2026-11-29",
        "2026-11-29T12:00:00", /* where? */
        "2026-11-29T12:00Z",
        "2026-11-29T24:00:00Z",
        "2026-11-29T23:60:00Z",
        "2016-12-31T23:59:60Z", /* a leap second has no number */
        "2026-02-29T12:00:00Z",
        "2026-11-29T12:00:00.Z",
        "2026-11-29T12:00:00,5Z",
        "2026-11-29T12:00:00z",
        "2026-11-29t12:00:00Z",
        "2026-11-29T12:00:00ZZ",
        "2026-11-29T12:00:00 Z",
        "2026-11-29T12:00:00+24:00",
        "2026-11-29T12:00:00+02:60",
        "2026-11-29T12:00:00+2:00",
        "2026-11-29T12:00:00+02:0",
        "2026-11-29T12:00:00+02:",
        "2026-11-29T12:00:00+",
        "2026-11-29T12:00:00+-2:00",
        "2026-11-29  12:00:00Z",
        "0001-01-01T00:00:00+00:01",
        "9999-12-31T23:59:59-00:01",
        "2026-11-29T1:00:000Z",
        "2026-11-29T-1:00:00Z",
        "infinity",
        "-infinity",
    };
    for (size_t i = 0; i < sl_array_size(texts); i++) {
        int64_t us = 7;
        if (sl_time_parse(texts[i], &us) != SL_EPARSE || us != 7)
            fail_msg("\"%s\" is taken for a time", texts[i]);
    }
    static const int64_t outside[] = {INT64_MIN, -62135596800000001, 253402300800000000, INT64_MAX};
    for (size_t i = 0; i < sl_array_size(outside); i++) {
        char text[SL_TIME_SIZE];
        assert_string_equal(sl_time_text(outside[i], text), "0000-00-00T00:00:00.000000Z");
    }
}

static uint64_t random_state = 42;
static uint64_t random_number(void)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return random_state;
}

static void times_come_back(void **state)
{
    const int64_t first = -62135596800000000, span = 315537897600000000;
    for (int i = 0; i < 300000; i++) {
        int64_t us = first + (int64_t)(random_number() % (uint64_t)span), back;
        char text[SL_TIME_SIZE];
        if (sl_time_parse(sl_time_text(us, text), &back) < 0 || back != us ||
            strlen(text) != SL_TIME_SIZE - 1)
            fail_msg("%lld comes back from \"%s\" as %lld", (long long)us, text, (long long)back);
    }
}

/* ---- Decimals ---- */

static void what_is_a_decimal(void **state)
{
    static const struct {
        const char *text;
        int64_t units;
        int32_t scale;
        const char *written; /* NULL: the same */
    } decimals[] = {
        {"0", 0, 0, NULL},
        {"12.50", 1250, 2, NULL},
        {"-12.50", -1250, 2, NULL},
        {"0.05", 5, 2, NULL},
        {"-0.05", -5, 2, NULL},
        {"-0", 0, 0, "0"},
        {"007.0", 70, 1, "7.0"},
        {"9223372036854775807", INT64_MAX, 0, NULL},
        {"-9223372036854775808", INT64_MIN, 0, NULL},
        {"-9.223372036854775808", INT64_MIN, 18, NULL},
        {"0.000000000000000001", 1, 18, NULL},
        {"-0.000000000000000001", -1, 18, NULL},
        {"00000000000000000000000000000000000000001.5", 15, 1, "1.5"},
    };
    for (size_t i = 0; i < sl_array_size(decimals); i++) {
        sl_decimal decimal;
        char text[SL_DECIMAL_SIZE];
        if (sl_decimal_parse(decimals[i].text, &decimal) < 0)
            fail_msg("\"%s\" is not taken", decimals[i].text);
        assert_true(decimal.units == decimals[i].units && decimal.scale == decimals[i].scale);
        assert_string_equal(sl_decimal_text(decimal, text),
                            decimals[i].written ? decimals[i].written : decimals[i].text);
    }
}

static void what_is_no_decimal(void **state)
{
    static const char *const texts[] = {
        "",
        "-",
        "+1",
        ".5",
        "5.",
        "-.5",
        "1.2.3",
        "1..2",
        "1e5",
        " 1",
        "1 ",
        "0x1",
        "1,5",
        "--1",
        "NaN",
        "1.-5",
        "１",
        "Infinity",
        "9223372036854775808",
        "-9223372036854775809",
        "18446744073709551616",
        "99999999999999999999999999999999",
        "0.0000000000000000001",
        "92233720368547758.080000000000000000000",
    };
    for (size_t i = 0; i < sl_array_size(texts); i++) {
        sl_decimal decimal = {7, 7};
        if (sl_decimal_parse(texts[i], &decimal) != SL_EPARSE || decimal.units != 7)
            fail_msg("\"%s\" is taken for a decimal", texts[i]);
    }
    /* What is no decimal is written within the buffer all the same. */
    char text[SL_DECIMAL_SIZE];
    assert_string_equal(sl_decimal_text((sl_decimal){5, -3}, text), "5");
    assert_string_equal(sl_decimal_text((sl_decimal){INT64_MIN, 1000}, text), "-9.223372036854775808");
}

static void decimals_come_back(void **state)
{
    for (int i = 0; i < 300000; i++) {
        sl_decimal decimal = {(int64_t)(random_number() >> random_number() % 64),
                              (int32_t)(random_number() % 19)};
        if (random_number() & 1)
            decimal.units = -decimal.units;
        char text[SL_DECIMAL_SIZE];
        sl_decimal back;
        if (sl_decimal_parse(sl_decimal_text(decimal, text), &back) < 0 || back.units != decimal.units ||
            back.scale != decimal.scale)
            fail_msg("%s does not come back", text);
    }
}

static void decimals_change_their_scale(void **state)
{
    sl_decimal decimal = {1250, 2};
    assert_int_equal(sl_decimal_rescale(decimal, 1, &decimal), 0);
    assert_true(decimal.units == 125 && decimal.scale == 1);
    assert_int_equal(sl_decimal_rescale(decimal, 0, &decimal), SL_EINVAL);
    assert_true(decimal.units == 125 && decimal.scale == 1);
    assert_int_equal(sl_decimal_rescale(decimal, 17, &decimal), 0);
    assert_true(decimal.units == 1250000000000000000);
    assert_int_equal(sl_decimal_rescale(decimal, 18, &decimal), SL_EINVAL);
    assert_int_equal(sl_decimal_rescale(decimal, -1, &decimal), SL_EINVAL);
    assert_int_equal(sl_decimal_rescale(decimal, 19, &decimal), SL_EINVAL);
    assert_int_equal(sl_decimal_rescale((sl_decimal){1, INT32_MAX}, 0, &decimal), SL_EINVAL);
    assert_int_equal(sl_decimal_rescale((sl_decimal){1, INT32_MIN}, 0, &decimal), SL_EINVAL);
    assert_int_equal(sl_decimal_rescale((sl_decimal){0, 0}, 18, &decimal), 0);
    assert_true(decimal.units == 0 && decimal.scale == 18);
    assert_int_equal(sl_decimal_rescale((sl_decimal){INT64_MIN, 1}, 0, &decimal), SL_EINVAL);
    assert_int_equal(sl_decimal_rescale((sl_decimal){-20, 1}, 0, &decimal), 0);
    assert_true(decimal.units == -2);
}

/* ---- UUIDs ---- */

static void uuids_are_read_and_written(void **state)
{
    sl_uuid uuid;
    char text[SL_UUID_SIZE];
    assert_int_equal(sl_uuid_parse("F81D4FAE-7dec-11d0-a765-00a0c91e6bf6", &uuid), 0);
    assert_string_equal(sl_uuid_text(uuid, text), "f81d4fae-7dec-11d0-a765-00a0c91e6bf6");
    static const char *const texts[] = {
        "",
        "f81d4fae",
        "f81d4fae7dec11d0a76500a0c91e6bf6",
        "f81d4fae-7dec-11d0-a765-00a0c91e6bf",
        "f81d4fae-7dec-11d0-a765-00a0c91e6bf66",
        "f81d4fae-7dec-11d0-a765-00a0c91e6bfg",
        "{f81d4fae-7dec-11d0-a765-00a0c91e6bf6}",
        "f81d4fae-7dec-11d0-a76500a0-c91e6bf6",
        "f81d4fae-7dec-11d0-a765-00a0c91e6bf6 ",
        "-81d4fae-7dec-11d0-a765-00a0c91e6bf6",
        "f81d4fae-7dec-11d0-a765-00a0c91e6b:6",
        "f81d4fae-7dec-11d0-a765-00a0c91e6b\x06"
        "6",
    };
    for (size_t i = 0; i < sl_array_size(texts); i++)
        if (sl_uuid_parse(texts[i], &uuid) != SL_EPARSE)
            fail_msg("\"%s\" is taken for a UUID", texts[i]);
    assert_string_equal(sl_uuid_text(uuid, text), "f81d4fae-7dec-11d0-a765-00a0c91e6bf6");
    for (int i = 0; i < 10000; i++) {
        uint64_t halves[2] = {random_number(), random_number()};
        sl_uuid back;
        memcpy(&uuid, halves, sizeof(uuid));
        assert_int_equal(sl_uuid_parse(sl_uuid_text(uuid, text), &back), 0);
        assert_memory_equal(&uuid, &back, sizeof(uuid));
    }
}

#define NEW_ONES 20000
static void *make_uuids(void *data)
{
    sl_uuid *uuids = data;
    for (int i = 0; i < NEW_ONES; i++)
        uuids[i] = sl_uuid_new();
    return NULL;
}

static int compare_uuids(const void *a, const void *b)
{
    return memcmp(a, b, sizeof(sl_uuid));
}

static void new_uuids_grow(void **state)
{
    int64_t before = sl_time_now() / 1000;
    sl_uuid *uuids = sl_calloc(3 * NEW_ONES, sizeof(sl_uuid));
    pthread_t threads[2];
    for (int i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, make_uuids, uuids + (i + 1) * NEW_ONES), 0);
    make_uuids(uuids);
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    int64_t after = sl_time_now() / 1000;
    for (int i = 0; i < 3 * NEW_ONES; i++) {
        const uint8_t *bytes = uuids[i].bytes;
        assert_int_equal(bytes[6] >> 4, 7);
        assert_int_equal(bytes[8] >> 6, 2);
        int64_t ms = 0;
        for (int k = 0; k < 6; k++)
            ms = ms << 8 | bytes[k];
        /* Readings that were given out already are overtaken by the clock. */
        assert_in_range(ms, before, after + 1000);
        if (i % NEW_ONES)
            assert_true(memcmp(&uuids[i - 1], &uuids[i], sizeof(sl_uuid)) < 0);
    }
    qsort(uuids, 3 * NEW_ONES, sizeof(sl_uuid), compare_uuids);
    for (int i = 1; i < 3 * NEW_ONES; i++)
        assert_true(compare_uuids(&uuids[i - 1], &uuids[i]) < 0);
    free(uuids);
}

static void now_and_today(void **state)
{
    int64_t before = sl_time_now();
    sl_date today = sl_date_today();
    int64_t after = sl_time_now();
    char text[SL_DATE_SIZE], first[SL_TIME_SIZE], last[SL_TIME_SIZE];
    sl_date_text(today, text);
    assert_true(after >= before && before > INT64_C(1600000000000000));
    assert_true(memcmp(text, sl_time_text(before, first), 10) == 0 ||
                memcmp(text, sl_time_text(after, last), 10) == 0);
}

/* ---- Fields ---- */

#define COLOURS(V) V(RED, "red") V(GREEN, "green")
SL_ENUM(colour, COLOURS);

struct object {
    int64_t integer;
    double real;
    const char *text;
    sl_view bytes;
    bool boolean;
    int64_t time;
    sl_date date;
    sl_decimal decimal;
    sl_uuid uuid;
    enum colour choice;
    json_t *json;
};
#define FIELD(member, its_kind, number, ...)                                                                 \
    [its_kind] = {.kind = its_kind,                                                                          \
                  .offset = offsetof(struct object, member),                                                 \
                  .bit = number,                                                                             \
                  .name = #member,                                                                           \
                  __VA_ARGS__}
static const sl__field fields[] = {
    FIELD(integer, SL_KIND_INTEGER, 0), FIELD(real, SL_KIND_REAL, 1),
    FIELD(text, SL_KIND_TEXT, 2),       FIELD(bytes, SL_KIND_BYTES, 3),
    FIELD(boolean, SL_KIND_BOOLEAN, 4), FIELD(time, SL_KIND_TIME, 5),
    FIELD(date, SL_KIND_DATE, 6),       FIELD(decimal, SL_KIND_DECIMAL, 7, .scale = 2),
    FIELD(uuid, SL_KIND_UUID, 8),       FIELD(choice, SL_KIND_ENUM, 9, .names = colour_names),
    FIELD(json, SL_KIND_JSON, 63),
};

static sl_value text_value(const char *text)
{
    return (sl_value){.kind = SL_KIND_TEXT, .text = sl_view_of(text)};
}
static sl_value integer_value(int64_t integer)
{
    return (sl_value){.kind = SL_KIND_INTEGER, .integer = integer};
}
static sl_value real_value(double real)
{
    return (sl_value){.kind = SL_KIND_REAL, .real = real};
}
static sl_value bytes_value(const char *data, size_t size)
{
    return (sl_value){.kind = SL_KIND_BYTES, .text = {data, size}};
}

/* Sets a field, which must work, and clear its bit of the mask only. */
static void set(struct object *object, sl_kind kind, sl_value value, sl_arena *arena)
{
    uint64_t nulls = UINT64_MAX;
    sl_error *error = sl__field_from_value(&fields[kind], &value, object, &nulls, arena);
    if (error)
        fail_msg("%s", error->message);
    assert_true(nulls == ~(UINT64_C(1) << fields[kind].bit));
}

static void refused(sl_kind kind, sl_value value, const char *message)
{
    uint64_t nulls = 0x55;
    struct object object, before;
    memset(&object, 0x5a, sizeof(object));
    before = object;
    sl_error *error = sl__field_from_value(&fields[kind], &value, &object, &nulls, NULL);
    if (!error)
        fail_msg("is taken; wanted: %s", message);
    assert_int_equal(error->code, SL_EPARSE);
    assert_string_equal(error->message, message);
    assert_true(nulls == 0x55);
    if (kind != SL_KIND_BOOLEAN && kind != SL_KIND_ENUM)
        assert_memory_equal(&object, &before, sizeof(object));
    sl_error_unref(error);
}

static void fields_of_numbers(void **state)
{
    struct object object;
    set(&object, SL_KIND_INTEGER, integer_value(INT64_MIN), NULL);
    assert_true(object.integer == INT64_MIN);
    set(&object, SL_KIND_INTEGER, text_value("-9223372036854775808"), NULL);
    assert_true(object.integer == INT64_MIN);
    set(&object, SL_KIND_INTEGER, text_value("12.00"), NULL); /* a sum that PostgreSQL made a numeric */
    assert_true(object.integer == 12);
    set(&object, SL_KIND_INTEGER, real_value(-0x1p63), NULL);
    assert_true(object.integer == INT64_MIN);
    refused(SL_KIND_INTEGER, real_value(0x1p63),
            "column integer: 9.2233720368547758e+18 is no whole number of 64 bits");
    refused(SL_KIND_INTEGER, real_value(0.5), "column integer: 0.5 is no whole number of 64 bits");
    refused(SL_KIND_INTEGER, real_value(NAN), "column integer: nan is no whole number of 64 bits");
    refused(SL_KIND_INTEGER, text_value("9223372036854775808"),
            "column integer: \"9223372036854775808\" is no whole number of 64 bits");
    refused(SL_KIND_INTEGER, text_value("12abc"), "column integer: \"12abc\" is no whole number of 64 bits");
    refused(SL_KIND_INTEGER, bytes_value("1", 1),
            "column integer: a value of 1 bytes is no whole number of 64 bits");

    set(&object, SL_KIND_REAL, real_value(-0.0), NULL);
    assert_true(object.real == 0 && signbit(object.real));
    set(&object, SL_KIND_REAL, integer_value(3), NULL);
    assert_true(object.real == 3);
    set(&object, SL_KIND_REAL, text_value("1.5e+20"), NULL);
    assert_true(object.real == 1.5e20);
    set(&object, SL_KIND_REAL, text_value("123456789012345678901234567890"), NULL);
    assert_true(object.real == 123456789012345678901234567890.0);
    set(&object, SL_KIND_REAL, text_value("NaN"), NULL);
    assert_true(isnan(object.real));
    set(&object, SL_KIND_REAL, text_value("-Infinity"), NULL);
    assert_true(isinf(object.real) && object.real < 0);
    refused(SL_KIND_REAL, text_value("0x10"), "column real: \"0x10\" is no number");
    refused(SL_KIND_REAL, text_value("[1]"), "column real: \"[1]\" is no number");
    refused(SL_KIND_REAL, text_value(""), "column real: \"\" is no number");

    set(&object, SL_KIND_BOOLEAN, integer_value(1), NULL);
    assert_true(object.boolean);
    set(&object, SL_KIND_BOOLEAN, integer_value(0), NULL);
    assert_false(object.boolean);
    set(&object, SL_KIND_BOOLEAN, text_value("t"), NULL);
    assert_true(object.boolean);
    set(&object, SL_KIND_BOOLEAN, text_value("false"), NULL);
    assert_false(object.boolean);
    refused(SL_KIND_BOOLEAN, integer_value(2), "column boolean: 2 is no boolean");
    refused(SL_KIND_BOOLEAN, text_value("yes"), "column boolean: \"yes\" is no boolean");

    set(&object, SL_KIND_DECIMAL, integer_value(1250), NULL);
    assert_true(object.decimal.units == 1250 && object.decimal.scale == 2);
    set(&object, SL_KIND_DECIMAL, text_value("12.5000"), NULL);
    assert_true(object.decimal.units == 1250 && object.decimal.scale == 2);
    set(&object, SL_KIND_DECIMAL, (sl_value){.kind = SL_KIND_DECIMAL, .decimal = {-3, 0}}, NULL);
    assert_true(object.decimal.units == -300 && object.decimal.scale == 2);
    refused(SL_KIND_DECIMAL, text_value("0.005"), "column decimal: \"0.005\" is no decimal");
    refused(SL_KIND_DECIMAL, text_value("92233720368547758.08"),
            "column decimal: \"92233720368547758.08\" is no decimal");
    refused(SL_KIND_DECIMAL, real_value(1.25), "column decimal: 1.25 is no decimal");
}

static void fields_of_texts(void **state)
{
    struct object object;
    sl_arena *arena = sl_arena_new();
    char text[] = "Jürgen";
    set(&object, SL_KIND_TEXT, text_value(text), NULL);
    assert_ptr_equal(object.text, text);
    set(&object, SL_KIND_TEXT, text_value(text), arena);
    assert_ptr_not_equal(object.text, text);
    assert_string_equal(object.text, text);
    set(&object, SL_KIND_TEXT, text_value(""), arena);
    assert_string_equal(object.text, "");
    refused(SL_KIND_TEXT, (sl_value){.kind = SL_KIND_TEXT, .text = {"a\0b", 3}},
            "column text: \"a\" is no text without NULs");
    refused(SL_KIND_TEXT, integer_value(5), "column text: 5 is no text without NULs");
    refused(SL_KIND_TEXT, bytes_value("ab", 2), "column text: a value of 2 bytes is no text without NULs");

    set(&object, SL_KIND_BYTES, bytes_value(text, 3), NULL);
    assert_true(object.bytes.data == text && object.bytes.size == 3);
    set(&object, SL_KIND_BYTES, bytes_value("\0\xff", 2), arena);
    assert_memory_equal(object.bytes.data, "\0\xff", 2);
    set(&object, SL_KIND_BYTES, bytes_value(NULL, 0), NULL); /* as SQLite gives an empty BLOB */
    assert_true(object.bytes.data && object.bytes.size == 0);
    set(&object, SL_KIND_BYTES, bytes_value(NULL, 0), arena);
    assert_true(object.bytes.data && object.bytes.size == 0);
    refused(SL_KIND_BYTES, text_value("ab"), "column bytes: \"ab\" is no bytes");

    set(&object, SL_KIND_ENUM, text_value("green"), NULL);
    assert_int_equal(object.choice, GREEN);
    set(&object, SL_KIND_ENUM, (sl_value){.kind = SL_KIND_ENUM, .choice = RED}, NULL);
    assert_int_equal(object.choice, RED);
    refused(SL_KIND_ENUM, text_value("Green"), "column choice: \"Green\" is no value of the enum");
    refused(SL_KIND_ENUM, text_value(""), "column choice: \"\" is no value of the enum");
    refused(SL_KIND_ENUM, (sl_value){.kind = SL_KIND_TEXT, .text = {"red\0x", 5}},
            "column choice: \"red\" is no value of the enum");
    refused(SL_KIND_ENUM, (sl_value){.kind = SL_KIND_ENUM, .choice = 2},
            "column choice: a value of the enum is no value of the enum");

    sl_value purple = text_value("purple");
    uint64_t nulls = 0;
    sl_error *error = sl__field_from_value(&fields[SL_KIND_ENUM], &purple, &object, &nulls, NULL);
    assert_string_equal(error->hint, "colour has \"red\", \"green\"");
    sl_error_unref(error);
    sl_arena_free(arena);
}

static void fields_of_the_rest(void **state)
{
    struct object object;
    set(&object, SL_KIND_TIME, integer_value(-1), NULL);
    assert_true(object.time == -1);
    set(&object, SL_KIND_TIME, text_value("1970-01-01 00:00:01.5+00"), NULL);
    assert_true(object.time == 1500000);
    refused(SL_KIND_TIME, text_value("infinity"),
            "column time: \"infinity\" is no time (2026-11-29T12:00:00Z)");
    refused(SL_KIND_TIME, real_value(1.5), "column time: 1.5 is no time (2026-11-29T12:00:00Z)");

    set(&object, SL_KIND_DATE, text_value("2026-11-29"), NULL);
    assert_true(object.date.year == 2026 && object.date.month == 11 && object.date.day == 29);
    set(&object, SL_KIND_DATE, (sl_value){.kind = SL_KIND_DATE, .date = {1, 2, 3}}, NULL);
    assert_true(object.date.year == 1 && object.date.month == 2 && object.date.day == 3);
    refused(SL_KIND_DATE, text_value("2026-02-30"), "column date: \"2026-02-30\" is no date (2026-11-29)");
    refused(SL_KIND_DATE, integer_value(20261129), "column date: 20261129 is no date (2026-11-29)");
    refused(SL_KIND_DATE, (sl_value){.kind = SL_KIND_TEXT, .text = {"2026-11-29\0!", 12}},
            "column date: \"2026-11-29\" is no date (2026-11-29)");

    set(&object, SL_KIND_UUID, bytes_value("0123456789abcdef", 16), NULL);
    assert_memory_equal(&object.uuid, "0123456789abcdef", 16);
    set(&object, SL_KIND_UUID, text_value("00000000-0000-0000-0000-0000000000ff"), NULL);
    assert_int_equal(object.uuid.bytes[15], 255);
    refused(SL_KIND_UUID, bytes_value("0123456789abcde", 15), "column uuid: a value of 15 bytes is no UUID");
    refused(SL_KIND_UUID, text_value("?"), "column uuid: \"?\" is no UUID");

    set(&object, SL_KIND_JSON, text_value("{\"a\": [1, \"\\u0000\"]}"), NULL);
    assert_int_equal(json_array_size(json_object_get(object.json, "a")), 2);
    sl_value again = {.kind = SL_KIND_JSON, .json = object.json};
    json_t *first = object.json;
    set(&object, SL_KIND_JSON, again, NULL);
    assert_ptr_equal(object.json, first);
    json_decref(first);
    json_decref(object.json);
    set(&object, SL_KIND_JSON, text_value("null"), NULL); /* JSON's null is a value */
    assert_true(json_is_null(object.json));
    refused(SL_KIND_JSON, text_value("{\"a\": }"), "column json: \"{\"a\": }\" is no JSON");
    refused(SL_KIND_JSON, text_value("{} {}"), "column json: \"{} {}\" is no JSON");
    refused(SL_KIND_JSON, text_value("99999999999999999999"),
            "column json: \"99999999999999999999\" is no JSON");
    char *deep = sl_malloc(100001);
    memset(deep, '[', 100000);
    deep[100000] = '\0';
    sl_value hostile = text_value(deep);
    uint64_t nulls = 0;
    sl_error *error = sl__field_from_value(&fields[SL_KIND_JSON], &hostile, &object, &nulls, NULL);
    assert_non_null(error);
    assert_true(strlen(error->message) < 200);
    sl_error_unref(error);
    free(deep);
}

static void null_is_a_bit_and_a_zero(void **state)
{
#define SIZE(member) sizeof(((struct object *)0)->member)
    static const size_t sizes[] = {SIZE(integer), SIZE(real),   SIZE(text), SIZE(bytes),
                                   SIZE(boolean), SIZE(time),   SIZE(date), SIZE(decimal),
                                   SIZE(uuid),    SIZE(choice), SIZE(json)};
    for (sl_kind kind = SL_KIND_INTEGER; kind <= SL_KIND_JSON; kind++) {
        const sl__field *field = &fields[kind];
        struct object object, wanted;
        uint64_t nulls = 0;
        sl_value null = {.kind = kind, .null = true}, back;
        memset(&object, 0x5a, sizeof(object));
        wanted = object;
        memset((char *)&wanted + field->offset, 0, sizes[kind]);
        assert_null(sl__field_from_value(field, &null, &object, &nulls, NULL));
        assert_true(nulls == UINT64_C(1) << field->bit);
        assert_memory_equal(&object, &wanted, sizeof(object));
        sl__value_from_field(field, &object, nulls, &back);
        assert_true(back.null && back.kind == kind);
    }
}

static void fields_become_values(void **state)
{
    json_t *json = json_object();
    struct object object = {
        .integer = 5,
        .real = 0.5,
        .text = "Ann",
        .bytes = {"\0", 1},
        .boolean = true,
        .time = 7,
        .date = {2026, 11, 29},
        .decimal = {12, 0},
        .choice = GREEN,
        .json = json,
    };
    object.uuid.bytes[3] = 9;
    for (sl_kind kind = SL_KIND_INTEGER; kind <= SL_KIND_JSON; kind++) {
        struct object copy = {0};
        uint64_t nulls = UINT64_MAX;
        sl_value value;
        sl__value_from_field(&fields[kind], &object, 0, &value);
        assert_false(value.null);
        assert_null(sl__field_from_value(&fields[kind], &value, &copy, &nulls, NULL));
        sl_value again;
        sl__value_from_field(&fields[kind], &copy, 0, &again);
        assert_int_equal(again.kind, value.kind);
        assert_false(again.null);
        if (kind == SL_KIND_JSON)
            json_decref(copy.json);
    }
    sl_value value;
    sl__value_from_field(&fields[SL_KIND_DECIMAL], &object, 0, &value);
    assert_true(value.decimal.units == 1200 && value.decimal.scale == 2); /* the column's */
    object.decimal = (sl_decimal){1, 3};
    sl__value_from_field(&fields[SL_KIND_DECIMAL], &object, 0, &value);
    assert_true(value.decimal.units == 1 &&
                value.decimal.scale == 3); /* what does not fit is left to the check */
    sl__value_from_field(&fields[SL_KIND_ENUM], &object, 0, &value);
    assert_int_equal(value.kind, SL_KIND_TEXT);
    assert_string_equal(value.text.data, "green");
    object.choice = (enum colour)2;
    sl__value_from_field(&fields[SL_KIND_ENUM], &object, 0, &value);
    assert_true(value.kind == SL_KIND_ENUM && value.choice == 2);

    /* NULL by what it points to, whatever the mask says. */
    object = (struct object){0};
    static const sl_kind pointers[] = {SL_KIND_TEXT, SL_KIND_BYTES, SL_KIND_JSON};
    for (size_t i = 0; i < sl_array_size(pointers); i++) {
        sl__value_from_field(&fields[pointers[i]], &object, 0, &value);
        assert_true(value.null);
    }
    sl__value_from_field(&fields[SL_KIND_INTEGER], &object, 0, &value);
    assert_false(value.null);
    json_decref(json);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_date_comes_back),
        cmocka_unit_test(what_is_no_date),
        cmocka_unit_test(what_is_a_time),
        cmocka_unit_test(what_is_no_time),
        cmocka_unit_test(times_come_back),
        cmocka_unit_test(what_is_a_decimal),
        cmocka_unit_test(what_is_no_decimal),
        cmocka_unit_test(decimals_come_back),
        cmocka_unit_test(decimals_change_their_scale),
        cmocka_unit_test(uuids_are_read_and_written),
        cmocka_unit_test(new_uuids_grow),
        cmocka_unit_test(now_and_today),
        cmocka_unit_test(fields_of_numbers),
        cmocka_unit_test(fields_of_texts),
        cmocka_unit_test(fields_of_the_rest),
        cmocka_unit_test(null_is_a_bit_and_a_zero),
        cmocka_unit_test(fields_become_values),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
