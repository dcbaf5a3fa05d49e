/* fill.c: objects that are filled from forms. */
#include "world.h"

#include <jansson.h>

/* What was posted: names and values by turns, up to NULL. */
static const char *posted(const char *const *form, const char *name)
{
    for (; *form; form += 2)
        if (strcmp(*form, name) == 0)
            return form[1];
    return NULL;
}
#define sl_field posted
#define FORM(...) ((const char *const[]){__VA_ARGS__ __VA_OPT__(, ) NULL})
#define FILL(p, form)                                                                                        \
    sl_fill(person, p, form, name, age, height, awake, seen, born, pay, token, shade, badge, employer)

#define TOKEN "f81d4fae-7dec-11d0-a765-00a0c91e6bf6"

TEST(fields_become_what_their_columns_are)
{
    struct person *p = sl_new(person);
    assert_null(FILL(p, FORM("name", "Ann", "age", "41", "height", "1.7", "awake", "on", "seen",
                             "2026-11-29T12:00:00Z", "born", "1985-02-28", "pay", "12.5", "token", TOKEN,
                             "shade", "blue", "badge", "0", "employer", "5", "photo", "x")));
    char uuid[SL_UUID_SIZE], time[SL_TIME_SIZE];
    assert_string_equal(p->name, "Ann");
    assert_int_equal(p->age, 41);
    assert_true(p->height == 1.7);
    assert_true(p->awake);
    assert_string_equal(sl_time_text(p->seen, time), "2026-11-29T12:00:00.000000Z");
    assert_int_equal(p->born.year, 1985);
    assert_int_equal(p->pay.units, 1250);
    assert_string_equal(sl_uuid_text(p->token, uuid), TOKEN);
    assert_int_equal(p->shade, BLUE);
    assert_string_equal(p->badge, "0");
    assert_int_equal(p->employer, 5);
    assert_false(p->null.age || p->null.employer);
    assert_true(p->null.photo); /* it was not named */
}

TEST(what_is_empty_is_null_and_what_is_not_there_stays)
{
    struct person *p = sl_new(person, .name = "Ann", .age = 41, .born = {1985, 2, 28}, .shade = RED);
    assert_null(FILL(p, FORM("age", "", "badge", "", "height", "0")));
    assert_string_equal(p->name, "Ann");
    assert_true(p->null.age);
    assert_int_equal(p->age, 0);
    assert_null(p->badge);
    assert_true(p->null.badge);
    assert_false(p->null.height);
    assert_int_equal(p->born.year, 1985);
    assert_int_equal(p->shade, RED);
    assert_false(p->awake); /* a box that was not ticked */
}

TEST(spaces_around_numbers_do_not_count)
{
    struct person *p = sl_new(person);
    assert_null(FILL(p, FORM("name", " Ann ", "age", " 41\n", "height", " .5 ", "born", "\t1985-02-28 ",
                             "pay", " ", "shade", "blue ")));
    assert_string_equal(p->name, " Ann "); /* of text they are a part */
    assert_int_equal(p->age, 41);
    assert_true(p->height == 0.5);
    assert_int_equal(p->born.day, 28);
    assert_true(p->null.pay);
    assert_int_equal(p->shade, BLUE);
}

static void says(const sl_errors *errors, size_t i, const char *field, const char *message)
{
    assert_true(errors && i < errors->count);
    assert_string_equal(errors->items[i].field, field);
    assert_string_equal(errors->items[i].message, message);
}

TEST(what_is_wrong_is_told_by_field)
{
    struct person *p = sl_new(person, .name = "Ann", .age = 41);
    const sl_errors *errors =
        FILL(p, FORM("name", "", "age", "4l", "height", "tall", "awake", "perhaps", "seen", "noon", "born",
                     "1985-02-30", "pay", "1.234", "token", "x", "shade", "pink", "badge", "\xff"));
    static const char *const wanted[][2] = {
        {"name", "is missing"},
        {"age", "is no whole number"},
        {"height", "is no number"},
        {"awake", "is neither true nor false"},
        {"seen", "is no time such as 2026-11-29T12:00:00Z"},
        {"born", "is no date such as 2026-11-29"},
        {"pay", "is no number with 2 digits after the point at most"},
        {"token", "is no UUID"},
        {"shade", "is none of red, green, blue"},
        {"badge", "is not UTF-8"},
    };
    for (size_t i = 0; i < sl_array_size(wanted); i++)
        says(errors, i, wanted[i][0], wanted[i][1]);
    assert_int_equal(errors->count, sl_array_size(wanted));
    assert_string_equal(p->name, "Ann");
    assert_int_equal(p->age, 41);
    assert_true(p->awake);
    assert_int_equal(p->shade, GREEN);
    assert_true(p->null.height && p->null.badge && p->null.employer);

    says(FILL(p, FORM("height", "Infinity", "awake", "on")), 0, "height", "is no number");
    json_t *json = sl_errors_json(errors), *none = sl_errors_json(NULL);
    assert_int_equal(json_object_size(json), sl_array_size(wanted));
    assert_string_equal(json_string_value(json_object_get(json, "age")), "is no whole number");
    assert_int_equal(json_object_size(none), 0);
    json_decref(json);
    json_decref(none);
}

TEST(validators_see_what_was_filled_in)
{
    struct company *c = sl_new(company);
    assert_null(sl_fill(company, c, FORM("name", " Works"), name));
    assert_string_equal(c->name, "Works"); /* as it was rewritten */
    says(sl_fill(company, c, FORM("name", "!Works"), name), 0, "name", "may not begin with !");
    says(sl_fill(company, c, FORM("name", "a name of more than twenty characters"), name), 0, "name",
         "is too long: 20 characters at most");
    assert_string_equal(c->name, "Works");
}

TEST(what_was_assigned_is_there)
{
    struct person *p = sl_new(person);
    p->name = "Ann";
    p->age = 41;
    assert_null(FILL(p, FORM("badge", "x")));
    assert_string_equal(p->name, "Ann");
    assert_int_equal(p->age, 41);
    assert_false(p->null.name || p->null.age);
}

#define ESSAY(F)                                                                                             \
    F(id, integer, SL_PRIMARY_KEY) F(title, text, SL_REQUIRED) F(body, text, SL_REQUIRED, SL_LAZY)
SL_MODEL(essay, ESSAY);

static void *add_essay(void *data)
{
    sl_execute(NULL, "CREATE TABLE essay (id bigint PRIMARY KEY, title text NOT NULL, body text NOT NULL)");
    says(sl_fill(essay, sl_new(essay, .id = 1), FORM("title", "On forms"), title, body), 0, "body",
         "is missing");
    sl_add(sl_new(essay, .id = 1, .title = "On forms", .body = "Fields."));
    return data;
}

static void *edit_essay(void *data)
{
    struct essay *e = sl_edit(essay, sl_need(essay, 1));
    assert_null(sl_fill(essay, e, FORM("title", "On fields"), title, body)); /* it has one */
    says(sl_fill(essay, e, FORM("body", ""), title, body), 0, "body", "is missing");
    assert_string_equal(sl_lazy(essay, e, body), "Fields.");
    return data;
}

TEST(what_was_not_read_is_not_missing)
{
    sl_transact(add_essay, NULL);
    sl_transact(edit_essay, NULL);
    assert_string_equal(sl_one(sl_find(essay))->title, "On fields");
}

static void *edit_by_form(void *form)
{
    struct person *ann = sl_edit(person, sl_one(sl_find(person)));
    const sl_errors *errors = sl_fill(person, ann, (const char *const *)form, name, age);
    return errors ? (void *)sl_error_of(errors, "age") : NULL;
}

static void *add_by_form(void *form)
{
    struct person *ann = sl_new(person);
    assert_null(sl_fill(person, ann, (const char *const *)form, name, age));
    sl_add(ann);
    return NULL;
}

/* What is refused is not written with the transaction, which goes on. */
TEST(a_form_that_is_refused_changes_nothing)
{
    sl_transact(add_by_form, (void *)FORM("name", "Ann", "age", "1"));
    const char *wrong = sl_transact(edit_by_form, (void *)FORM("name", "Bea", "age", "x"));
    assert_string_equal(wrong, "is no whole number");
    assert_string_equal(sl_one(sl_find(person))->name, "Ann");
    assert_null(sl_transact(edit_by_form, (void *)FORM("name", "Bea", "age", "0")));
    const struct person *bea = sl_one(sl_find(person));
    assert_string_equal(bea->name, "Bea");
    assert_int_equal(bea->age, 0);
    assert_false(bea->null.age);
}

static struct page *page_of_version_2(void)
{
    struct page *p = sl_add(sl_new(page, .title = "a"));
    sl_save();
    p->title = "b";
    sl_save();
    return p;
}

static void *compare_versions(__attribute__((unused)) void *data)
{
    assert_null(sl_fill(page, sl_new(page), FORM("title", "a", "version", "7"), title, version));
    struct page *p = page_of_version_2();
    sl_errors *wrong = sl_fill(page, p, FORM("title", "c", "version", "1"), title, version);
    assert_int_equal(wrong->count, 1);
    says(wrong, 0, "version", "is an older one: somebody else has changed it meanwhile");
    says(sl_fill(page, p, FORM("version", "x"), version), 0, "version", "is no whole number");
    assert_string_equal(p->title, "b");
    assert_null(sl_fill(page, p, FORM("title", "c", "version", "2"), title, version));
    assert_null(sl_fill(page, p, FORM("title", "c"), title, version));
    sl_save();
    assert_string_equal(p->title, "c");
    assert_int_equal(p->version, 3);
    return NULL;
}

TEST(a_version_is_compared)
{
    sl_transact(compare_versions, NULL);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        IN_BOTH(fields_become_what_their_columns_are),
        IN_BOTH(what_is_empty_is_null_and_what_is_not_there_stays),
        IN_BOTH(spaces_around_numbers_do_not_count),
        IN_BOTH(what_is_wrong_is_told_by_field),
        IN_BOTH(validators_see_what_was_filled_in),
        IN_BOTH(what_was_assigned_is_there),
        IN_BOTH(what_was_not_read_is_not_missing),
        IN_BOTH(a_form_that_is_refused_changes_nothing),
        IN_BOTH(a_version_is_compared),
    };
    return world_main(argc, argv, tests, sl_array_size(tests));
}
