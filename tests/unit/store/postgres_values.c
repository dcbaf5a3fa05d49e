/* The PostgreSQL driver: values there and back again. */
#include "postgres_test.h"

#include <jansson.h>
#include <math.h>

enum shade { DARK, LIGHT };
static const char *const shades[] = {"dark", "light"};
static const sl_enum_names shade_names = {.name = "shade", .count = 2, .names = shades};

typedef struct everything {
    int64_t integer;
    double real;
    const char *text;
    sl_view bytes;
    bool boolean;
    int64_t time;
    sl_date date;
    sl_decimal decimal;
    sl_uuid uuid;
    enum shade shade;
    json_t *json;
} everything;

#define FIELD(member, field_kind, number, ...)                                                               \
    {                                                                                                        \
        .kind = (field_kind), .offset = offsetof(everything, member), .bit = (number), .name = #member,      \
        __VA_ARGS__                                                                                          \
    }
static const sl__field fields[] = {
    FIELD(integer, SL_KIND_INTEGER, 0), FIELD(real, SL_KIND_REAL, 1),
    FIELD(text, SL_KIND_TEXT, 2),       FIELD(bytes, SL_KIND_BYTES, 3),
    FIELD(boolean, SL_KIND_BOOLEAN, 4), FIELD(time, SL_KIND_TIME, 5),
    FIELD(date, SL_KIND_DATE, 6),       FIELD(decimal, SL_KIND_DECIMAL, 7, .scale = 4),
    FIELD(uuid, SL_KIND_UUID, 8),       FIELD(shade, SL_KIND_ENUM, 9, .names = &shade_names),
    FIELD(json, SL_KIND_JSON, 10),
};
enum { FIELDS = sl_array_size(fields) };

/* The first row of a statement into `e`. */
static sl_error *fetch(sl__connection *c, const sl__statement *s, const sl__field *of, unsigned count,
                       void *object, uint64_t *nulls, sl_arena *arena)
{
    sl__cursor *cursor = NULL;
    bool row = false;
    sl_error *error = driver->run(c, s, &cursor);
    if (!error)
        error = driver->step(cursor, &row);
    CHECK(error || row);
    if (!error)
        error = driver->read(cursor, 0, of, count, object, nulls, arena);
    driver->close_cursor(cursor);
    return error;
}

static const char insert_all[] =
    "INSERT INTO everything VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)";
static const char make_all[] =
    "CREATE TABLE everything (integer bigint, real double precision, text text, bytes bytea, boolean "
    "boolean, "
    "time timestamptz, date date, \"decimal\" numeric(18, 4), uuid uuid, shade text, json jsonb)";
#define ALL "integer, real, text, bytes, boolean, time, date, \"decimal\", uuid, shade, json"

static void put(sl__connection *c, const everything *e, uint64_t nulls)
{
    const sl_value values[] = {
        {.kind = SL_KIND_INTEGER, .integer = e->integer},
        {.kind = SL_KIND_REAL, .real = e->real},
        {.kind = SL_KIND_TEXT, .text = sl_view_of(e->text)},
        {.kind = SL_KIND_BYTES, .text = e->bytes},
        {.kind = SL_KIND_BOOLEAN, .boolean = e->boolean},
        {.kind = SL_KIND_TIME, .integer = e->time},
        {.kind = SL_KIND_DATE, .date = e->date},
        {.kind = SL_KIND_DECIMAL, .decimal = e->decimal},
        {.kind = SL_KIND_UUID, .uuid = e->uuid},
        {.kind = SL_KIND_TEXT, .text = sl_view_of(shades[e->shade])},
        {.kind = SL_KIND_JSON, .json = e->json},
    };
    sl_value with_nulls[FIELDS];
    for (unsigned i = 0; i < FIELDS; i++) {
        with_nulls[i] = values[i];
        with_nulls[i].null = nulls >> i & 1;
    }
    OK(execute_with(c, "DELETE FROM everything", NULL, 0));
    OK(execute_with(c, insert_all, with_nulls, FIELDS));
}

static void same(const everything *a, const everything *b)
{
    CHECK(a->integer == b->integer);
    CHECK(memcmp(&a->real, &b->real, sizeof a->real) == 0);
    CHECK(strcmp(a->text, b->text) == 0);
    CHECK(sl_view_equal(a->bytes, b->bytes));
    CHECK(a->boolean == b->boolean);
    CHECK(a->time == b->time);
    CHECK(a->date.year == b->date.year && a->date.month == b->date.month && a->date.day == b->date.day);
    CHECK(a->decimal.units == b->decimal.units && a->decimal.scale == b->decimal.scale);
    CHECK(memcmp(&a->uuid, &b->uuid, sizeof a->uuid) == 0);
    CHECK(a->shade == b->shade);
    CHECK(json_equal(a->json, b->json));
}

static const everything ordinary = {
    .integer = 42,
    .real = 0.1,
    .text = "Grüße, \xF0\x9F\x8C\x8D",
    .bytes = {"\0\1\377\\x", 5},
    .boolean = true,
    .time = INT64_C(1795953600123456), /* 2026-11-29 12:00:00.123456 */
    .date = {2026, 11, 29},
    .decimal = {-125001, 4},
    .uuid = {{0xf8, 0x1d, 0x4f, 0xae, 0x7d, 0xec, 0x11, 0xd0, 0xa7, 0x65, 0, 0xa0, 0xc9, 0x1e, 0x6b, 0xf6}},
    .shade = LIGHT,
};

/* ---- There and back ------------------------------------------------------------------------------------ */

static void round_trip(sl__connection *c, const everything *e)
{
    everything got = {0};
    uint64_t nulls = ~UINT64_C(0);
    const sl__statement s = statement_of("SELECT " ALL " FROM everything", NULL, 0);
    put(c, e, 0);
    OK(fetch(c, &s, fields, FIELDS, &got, &nulls, sl_task_arena()));
    CHECK((nulls & ((UINT64_C(1) << FIELDS) - 1)) == 0);
    CHECK(nulls >> FIELDS); /* others' bits are left alone */
    same(e, &got);
    json_decref(got.json);
}

STORE_TEST(each_kind_comes_back, 2)
{
    change(store, make_all);
    sl__connection *c = BEGIN();
    everything e = ordinary;
    e.json = json_pack("{s:[i,b,n,s], s:f}", "list", 1, 1, "ü", "pi", 3.25);
    round_trip(c, &e);
    json_decref(e.json);
    /* The server sees the same. */
    CHECK(
        number(c,
               "SELECT (time = '2026-11-29 12:00:00.123456Z' AND date = '2026-11-29' AND \"decimal\" = "
               "-12.5001 AND "
               "uuid = 'f81d4fae-7dec-11d0-a765-00a0c91e6bf6' AND bytes = '\\x0001ff5c78' AND real = 0.1 AND "
               "json->'list'->>3 = 'ü')::int FROM everything") == 1);
    e = (everything){
        .integer = INT64_MIN,
        .real = -0.0,
        .text = "",
        .bytes = {"", 0},
        .time = INT64_C(-210866803200000000), /* -4713-11-24: the first that PostgreSQL has */
        .date = {1, 1, 1},
        .decimal = {-INT64_C(999999999999999999), 4},
        .json = json_null(),
    };
    round_trip(c, &e);
    e = (everything){
        .integer = INT64_MAX,
        .real = 1.7976931348623157e308,
        .text = "\t\n\r\\N",
        .bytes = {"\0", 1},
        .boolean = true,
        .time = INT64_C(253402300799999999), /* 9999-12-31 23:59:59.999999 */
        .date = {9999, 12, 31},
        .decimal = {INT64_C(999999999999999999), 4},
        .uuid = {{255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255}},
        .shade = LIGHT,
        .json = json_integer(INT64_MIN),
    };
    round_trip(c, &e);
    json_decref(e.json);
    /* What jsonb writes as a whole number, though it is none of ours, changes nothing else. */
    e.json = json_pack("[f, I, I, I, s, f, {s:I, s:i}]", 1e20, INT64_C(9007199254740993), INT64_MAX,
                       INT64_MIN, "12345678901234567890 \\\" -98765432109876543210", -1e300,
                       "98765432109876543210 \\", INT64_C(9007199254740995), "\"", 7);
    round_trip(c, &e);
    json_decref(e.json);
    e.json = json_string("only a text");
    e.real = INFINITY;
    e.time = -1;
    e.date = (sl_date){2000, 2, 29};
    e.decimal = (sl_decimal){1, 4};
    round_trip(c, &e);
    e.real = NAN;
    e.decimal = (sl_decimal){0, 4};
    e.date = (sl_date){1969, 12, 31};
    round_trip(c, &e);
    json_decref(e.json);
    driver->rollback(c);
}

STORE_TEST(each_kind_can_be_null, 2)
{
    sl__connection *c = BEGIN();
    OK(execute(c, "DROP TABLE IF EXISTS everything"));
    OK(execute(c, make_all));
    const sl__statement s = statement_of("SELECT " ALL " FROM everything", NULL, 0);
    for (unsigned i = 0; i < FIELDS; i++) {
        everything e = ordinary, got;
        uint64_t nulls = 0;
        static const everything zero;
        e.json = json_true();
        memset(&got, 0xff, sizeof got);
        put(c, &e, UINT64_C(1) << i);
        OK(fetch(c, &s, fields, FIELDS, &got, &nulls, sl_task_arena()));
        CHECK(nulls == UINT64_C(1) << i);
        size_t begin = fields[i].offset, end = i + 1 < FIELDS ? fields[i + 1].offset : sizeof got;
        size_t size = i == 4   ? sizeof(bool)
                      : i == 6 ? sizeof(sl_date)
                      : i == 9 ? sizeof(enum shade)
                               : end - begin;
        CHECK(memcmp((char *)&got + begin, (const char *)&zero + begin, size) == 0);
        if (got.json)
            json_decref(got.json);
    }
    driver->rollback(c);
}

STORE_TEST(text_is_lent_without_an_arena, 2)
{
    const sl__statement s = statement_of("SELECT 'one' UNION ALL SELECT 'two'", NULL, 0);
    static const sl__field field = {.kind = SL_KIND_TEXT, .name = "word"};
    sl__connection *c = BEGIN();
    sl__cursor *cursor;
    const char *word = NULL;
    uint64_t nulls = 1;
    bool row;
    OK(driver->run(c, &s, &cursor));
    OK(driver->step(cursor, &row));
    OK(driver->read(cursor, 0, &field, 1, &word, &nulls, NULL));
    CHECK(strcmp(word, "one") == 0 && nulls == 0);
    CHECK(!driver->is_null(cursor, 0) && driver->is_null(cursor, 1));
    FAILS(driver->read(cursor, 1, &field, 1, &word, &nulls, NULL), SL_EDATABASE,
          "has 1 columns, and not the 2");
    OK(driver->step(cursor, &row));
    OK(driver->step(cursor, &row));
    CHECK(!row && cursor->changed == 2);
    driver->close_cursor(cursor);
    driver->rollback(c);
}

/* ---- Other types of the database ----------------------------------------------------------------------- */

typedef union one {
    int64_t integer;
    double real;
    const char *text;
    sl_view bytes;
    sl_date date;
    sl_decimal decimal;
    bool boolean;
    int choice;
    sl_uuid uuid;
    json_t *json;
} one;

static sl_error *read_one(sl_store *store, const char *sql, sl_kind kind, uint8_t scale, one *value)
{
    const sl__field field = {.kind = kind, .scale = scale, .names = &shade_names, .name = "it"};
    const sl__statement s = statement_of(sql, NULL, 0);
    uint64_t nulls = 0;
    sl__connection *c = BEGIN(.single = true);
    memset(value, 0, sizeof *value);
    sl_error *error = fetch(c, &s, &field, 1, value, &nulls, sl_task_arena());
    if (error)
        driver->rollback(c);
    else
        OK(driver->commit(c));
    return error;
}

STORE_TEST(related_types_are_converted, 2)
{
    one v;
    static const struct {
        const char *sql;
        int64_t integer;
    } integers[] = {
        {"SELECT (-32768)::smallint", -32768},
        {"SELECT (-2147483648)::int", INT32_MIN},
        {"SELECT 4294967295::oid", UINT32_MAX},
        {"SELECT count(*) FROM (VALUES (1), (2)) v", 2},
        {"SELECT sum(g)::numeric FROM generate_series(1, 4) g", 10},
        {"SELECT 9223372036854775807::numeric", INT64_MAX},
        {"SELECT (-9223372036854775808)::numeric", INT64_MIN},
        {"SELECT 100000000::numeric(20, 3)", 100000000},
        {"SELECT sum(g::bigint) FROM generate_series(1, 1000) g", 500500},
    };
    for (size_t i = 0; i < sl_array_size(integers); i++) {
        OK(read_one(store, integers[i].sql, SL_KIND_INTEGER, 0, &v));
        CHECK(v.integer == integers[i].integer);
    }
    static const struct {
        const char *sql;
        double real;
    } reals[] = {
        {"SELECT 0.5::real", 0.5},
        {"SELECT avg(g) FROM generate_series(1, 4) g", 2.5},
        {"SELECT 1e300::numeric", 1e300},
        {"SELECT -0.000012345::numeric", -0.000012345},
        {"SELECT 123456789012345678901234567890::numeric", 123456789012345678901234567890.0},
        {"SELECT 7::smallint", 7},
        {"SELECT '-Infinity'::numeric", -INFINITY},
        {"SELECT 10000::numeric", 10000},
        {"SELECT 0::numeric", 0},
    };
    for (size_t i = 0; i < sl_array_size(reals); i++) {
        OK(read_one(store, reals[i].sql, SL_KIND_REAL, 0, &v));
        CHECK(v.real == reals[i].real);
    }
    OK(read_one(store, "SELECT 'NaN'::numeric", SL_KIND_REAL, 0, &v));
    CHECK(isnan(v.real));
    static const struct {
        const char *sql;
        int64_t units;
        uint8_t scale;
    } decimals[] = {
        {"SELECT 12.5::numeric", 1250, 2},
        {"SELECT -0.0001::numeric", -1, 4},
        {"SELECT 5::int", 500, 2},
        {"SELECT 100000000::numeric", INT64_C(10000000000), 2},
        {"SELECT 0.5000::numeric", 5, 1},
        {"SELECT 0.123456789012345678::numeric", INT64_C(123456789012345678), 18},
        {"SELECT 9.223372036854775807::numeric", INT64_MAX, 18},
    };
    for (size_t i = 0; i < sl_array_size(decimals); i++) {
        OK(read_one(store, decimals[i].sql, SL_KIND_DECIMAL, decimals[i].scale, &v));
        CHECK(v.decimal.units == decimals[i].units && v.decimal.scale == decimals[i].scale);
    }
    static const char *const texts[] = {
        "SELECT 'word'::varchar(9)", "SELECT 'word'::name",  "SELECT 'word'::char(4)", "SELECT 'word'",
        "SELECT 'word'::mood",       "SELECT 'word'::label", "SELECT 'word'::bytea",
    };
    change(store, "CREATE TYPE mood AS ENUM ('word', 'dark')");
    change(store, "CREATE DOMAIN label AS text");
    for (size_t i = 0; i + 1 < sl_array_size(texts); i++) {
        OK(read_one(store, texts[i], SL_KIND_TEXT, 0, &v));
        CHECK(strcmp(v.text, "word") == 0);
    }
    for (size_t i = 0; i < sl_array_size(texts); i++) {
        OK(read_one(store, texts[i], SL_KIND_BYTES, 0, &v));
        CHECK(sl_view_equal(v.bytes, SL_VIEW("word")));
    }
    OK(read_one(store, "SELECT 'dark'::mood", SL_KIND_ENUM, 0, &v));
    CHECK(v.choice == DARK);
    OK(read_one(store, "SELECT '2000-01-01 00:00:01'::timestamp", SL_KIND_TIME, 0, &v));
    CHECK(v.integer == SL__PG_EPOCH + 1000000);
    OK(read_one(store, "SELECT '{\"a\": 1}'::json", SL_KIND_TEXT, 0, &v));
    CHECK(strcmp(v.text, "{\"a\": 1}") == 0);
    OK(read_one(store, "SELECT '{\"a\": 1}'::jsonb", SL_KIND_TEXT, 0, &v));
    CHECK(strcmp(v.text, "{\"a\": 1}") == 0);
    OK(read_one(store, "SELECT '[1]'::json", SL_KIND_JSON, 0, &v));
    CHECK(json_array_size(v.json) == 1);
    json_decref(v.json);
}

STORE_TEST(what_does_not_fit_is_named, 2)
{
    one v;
    static const struct {
        const char *sql;
        sl_kind kind;
        const char *text;
    } cases[] = {
        {"SELECT 'x'", SL_KIND_INTEGER,
         "the column it is of type text in the database, which cannot be read as integer"},
        {"SELECT 1", SL_KIND_TEXT, "type integer"},
        {"SELECT 1", SL_KIND_BOOLEAN, "cannot be read as boolean"},
        {"SELECT 1.5::double precision", SL_KIND_INTEGER, "double precision"},
        {"SELECT '1 day'::interval", SL_KIND_TEXT, "interval"},
        {"SELECT '{a}'::text[]", SL_KIND_TEXT, "text[]"},
        {"SELECT ROW(1, 2)", SL_KIND_TEXT, "number 2249 in pg_type"},
        {"SELECT 'x'::text", SL_KIND_UUID, "cannot be read as uuid"},
        {"SELECT now()::date", SL_KIND_TIME, "type date"},
        {"SELECT now()", SL_KIND_DATE, "timestamptz"},
        {"SELECT '1'::text", SL_KIND_JSON, "cannot be read as json"},
        {"SELECT 1.5::numeric", SL_KIND_INTEGER, "a numeric that does not fit"},
        {"SELECT 9223372036854775808::numeric", SL_KIND_INTEGER, "does not fit"},
        {"SELECT 1e40::numeric", SL_KIND_INTEGER, "does not fit"},
        {"SELECT 'NaN'::numeric", SL_KIND_INTEGER, "does not fit"},
        {"SELECT 1.234::numeric", SL_KIND_DECIMAL, "decimal with 2 digits after the point"},
        {"SELECT 92233720368547758.08::numeric", SL_KIND_DECIMAL, "decimal with 2 digits"},
        {"SELECT 922337203685477581::bigint", SL_KIND_DECIMAL, "decimal with 2 digits"},
        {"SELECT 'infinity'::timestamptz", SL_KIND_TIME, "does not fit"},
        {"SELECT '-infinity'::timestamptz", SL_KIND_TIME, "does not fit"},
        {"SELECT '294276-12-31 23:59:59Z'::timestamptz", SL_KIND_TIME, "does not fit"},
        {"SELECT 'infinity'::date", SL_KIND_DATE, "does not fit"},
        {"SELECT '10000-01-01'::date", SL_KIND_DATE, "does not fit"},
        {"SELECT '0001-12-31 BC'::date", SL_KIND_DATE, "does not fit"},
        {"SELECT 'grey'", SL_KIND_ENUM, "the value \"grey\", which the enum shade has not"},
        {"SELECT '1e999'::jsonb", SL_KIND_JSON, "does not fit"},
    };
    for (size_t i = 0; i < sl_array_size(cases); i++) {
        sl_error *error = read_one(store, cases[i].sql, cases[i].kind, 2, &v);
        CHECK(error && strstr(error->detail, cases[i].sql));
        FAILS(error, SL_EDATABASE, cases[i].text);
    }
}

STORE_TEST(what_cannot_be_sent_is_refused, 2)
{
    static const struct {
        sl_value value;
        int code;
        const char *text;
    } cases[] = {
        {{.kind = SL_KIND_DATE, .date = {2023, 2, 29}}, SL_EINVAL, "parameter 1 is no date"},
        {{.kind = SL_KIND_DATE, .date = {0, 1, 1}}, SL_EINVAL, "no date"},
        {{.kind = SL_KIND_DATE, .date = {2023, 13, 1}}, SL_EINVAL, "no date"},
        {{.kind = SL_KIND_TIME, .integer = INT64_MIN}, SL_EINVAL, "a time that PostgreSQL cannot have"},
        {{.kind = SL_KIND_TIME, .integer = INT64_MIN + SL__PG_EPOCH}, SL_EINVAL, "cannot have"},
        {{.kind = SL_KIND_TIME, .integer = INT64_MIN + SL__PG_EPOCH + 1},
         SL_EDATABASE,
         "timestamp out of range"},
        {{.kind = SL_KIND_DECIMAL, .decimal = {1, 19}}, SL_EINVAL, "scale"},
        {{.kind = SL_KIND_ROW}, SL_EINVAL, "cannot be sent"},
        {{.kind = SL_KIND_TEXT, .text = {"a\0b", 3}}, SL_EDATABASE, "invalid byte sequence"},
        {{.kind = SL_KIND_TEXT, .text = {"\xff", 1}}, SL_EDATABASE, "invalid byte sequence"},
    };
    for (size_t i = 0; i < sl_array_size(cases); i++) {
        sl__connection *c = BEGIN();
        FAILS(execute_with(c, "SELECT $1", &cases[i].value, 1), cases[i].code, cases[i].text);
        driver->rollback(c);
    }
}

STORE_TEST(parameters_have_types, 2)
{
    sl__connection *c = BEGIN();
    const sl_value decimal = {.kind = SL_KIND_DECIMAL, .decimal = {1050, 2}};
    const sl_value tiny = {.kind = SL_KIND_DECIMAL, .decimal = {1, 18}};
    const sl_value least = {.kind = SL_KIND_DECIMAL, .decimal = {INT64_MIN, 0}};
    int64_t v;
    sl__statement s =
        statement_of("SELECT ($1 = 10.50 AND $1::text = '10.50' AND $2 = 0.000000000000000001 AND "
                     "$3 = -9223372036854775808 AND pg_typeof($1) = 'numeric'::regtype)::int",
                     (const sl_value[]){decimal, tiny, least}, 3);
    OK(query(c, &s, &v));
    CHECK(v == 1);
    /* The same SQL with other types is another statement. */
    static const char which[] = "SELECT (pg_typeof($1) = 'bigint'::regtype)::int";
    s = statement_of(which, VALUES(INTEGER(1)));
    OK(query(c, &s, &v));
    CHECK(v == 1);
    s = statement_of(which, VALUES(TEXT("x")));
    OK(query(c, &s, &v));
    CHECK(v == 0);
    s = statement_of(which, VALUES(INTEGER(2)));
    OK(query(c, &s, &v));
    CHECK(v == 1);
    CHECK(pool_of(store)->counts.prepares == 3);
    driver->rollback(c);
}

STORE_TEST(large_values_go_both_ways, 2)
{
    size_t size = (size_t)5 << 20;
    char *data = sl_malloc(size);
    for (size_t i = 0; i < size; i++)
        data[i] = (char)('a' + i % 26);
    const sl_value value = {.kind = SL_KIND_BYTES, .text = {data, size}};
    static const sl__field field = {.kind = SL_KIND_BYTES, .name = "it"};
    sl__connection *c = BEGIN();
    for (int quick = 0; quick < 2; quick++) {
        sl__statement s = statement_of("SELECT $1", &value, 1);
        sl_view got = {0};
        uint64_t nulls = 0;
        s.quick = quick;
        OK(fetch(c, &s, &field, 1, &got, &nulls, sl_task_arena()));
        CHECK(sl_view_equal(got, value.text));
    }
    driver->rollback(c);
    free(data);
}

int main(void)
{
    postgres_server_need(.fsync = false, .settings = {"timezone=Asia/Kolkata", "datestyle=German"});
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_kind_comes_back),          cmocka_unit_test(each_kind_can_be_null),
        cmocka_unit_test(text_is_lent_without_an_arena), cmocka_unit_test(related_types_are_converted),
        cmocka_unit_test(what_does_not_fit_is_named),    cmocka_unit_test(what_cannot_be_sent_is_refused),
        cmocka_unit_test(parameters_have_types),         cmocka_unit_test(large_values_go_both_ways),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
