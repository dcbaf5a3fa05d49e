/* queries.c: what selections give, in both databases. */
#include "world.h"

static void *fill(void *data)
{
    (void)data;
    struct company *mill = sl_add(sl_new(company, .name = "Mill")),
                   *bank = sl_add(sl_new(company, .name = "Bank"));
    sl_add(sl_new(company, .name = "Empty"));
    sl_save();
    sl_add(sl_new(person, .name = "Ann", .age = 41, .height = 1.75, .shade = RED, .pay = {1050, 2},
                  .born = {1985, 1, 2}, .employer = mill->id));
    sl_add(sl_new(person, .name = "Bo_b", .age = 20, .awake = false, .pay = {25, 1}, .employer = mill->id));
    sl_add(sl_new(person, .name = "Cy%", .employer = bank->id, .pay = {3, 0}));
    sl_add(sl_new(person, .name = "Dörte", .age = 30, .badge = "d"));
    sl_add(sl_new(person, .name = "ann", .age = -7, .height = 1.5));
    return NULL;
}

static const char *names(struct person_found *found)
{
    SL_CLEANUP(sl_buffer_done) sl_buffer text = {0};
    struct person_list list = sl_list(sl_narrow(found, sl_ascending(person_.id)));
    for (size_t i = 0; i < list.count; i++)
        sl_buffer_printf(&text, "%s%s", i ? " " : "", list.items[i]->name);
    return text.data ? sl_strdup(text.data) : "";
}
#define FINDS(expected, ...) assert_string_equal(names(sl_find(person, __VA_ARGS__)), expected)

TEST(conditions)
{
    sl_transact(fill, NULL);
    const char *nothing = NULL;
    FINDS("Ann", sl_eq(person_.name, "Ann"));
    FINDS("Bo_b Cy% Dörte ann", sl_ne(person_.name, "Ann"));
    FINDS("Bo_b ann", sl_lt(person_.age, 30));
    FINDS("Ann Dörte", sl_ge(person_.age, 30));
    FINDS("Bo_b Dörte", sl_between(person_.age, 20, 30));
    FINDS("Ann Bo_b", sl_in(person_.age, 41, 20, 99));
    FINDS("Ann ann", sl_in_array(person_.name, ((const char *[]){"Ann", "ann"}), 2));
    FINDS("", sl_in_array(person_.age, (int64_t *)NULL, 0));
    FINDS("Cy%", sl_eq(person_.age, NULL));
    FINDS("Dörte", sl_ne(person_.badge, nothing));
    FINDS("Ann Bo_b Cy% ann", sl_eq(person_.badge, nothing));
    FINDS("Cy%", sl_is_null(person_.age));
    FINDS("Bo_b", sl_not(sl_true(person_.awake)));
    FINDS("Bo_b", sl_eq(person_.awake, false));
    FINDS("Ann", sl_eq(person_.shade, RED));
    FINDS("Ann", sl_eq(person_.pay, ((sl_decimal){105, 1})));
    FINDS("Bo_b Cy%", sl_le(person_.pay, ((sl_decimal){3, 0})));
    FINDS("Ann", sl_eq(person_.born, ((sl_date){1985, 1, 2})));
    FINDS("Ann ann", sl_or(sl_eq(person_.name, "Ann"), sl_lt(person_.age, 0)));
    FINDS("Ann", sl_and(sl_eq(person_.name, "Ann"), sl_gt(person_.age, 0)));
    FINDS("", sl_or());
    FINDS("Ann Bo_b Cy% Dörte ann", sl_and());
    FINDS("Ann", sl_gt(sl_plus(person_.age, 1), 41));
    FINDS("Ann ann", sl_eq(sl_lower(person_.name), "ann"));
    FINDS("Dörte", sl_eq(sl_length(person_.name), 5));
    FINDS("Cy%", sl_eq(sl_coalesce(person_.age, 0), 0));
    FINDS("Ann", sl_sql("length(name) = ? AND age > ?", sl_p(3), sl_p(0)));
}

TEST(patterns)
{
    sl_transact(fill, NULL);
    FINDS("Ann", sl_like(person_.name, "An%"));
    FINDS("Ann ann", sl_ilike(person_.name, "an%"));
    FINDS("Ann", sl_prefix(person_.name, "A"));
    FINDS("Bo_b", sl_prefix(person_.name, "Bo_"));
    FINDS("Cy%", sl_suffix(person_.name, "%"));
    FINDS("Dörte", sl_contains(person_.name, "ört"));
    FINDS("Bo_b", sl_like(person_.name, "%\\_%"));
    FINDS("Ann ann", sl_like(person_.name, "_nn"));
    FINDS("Ann Bo_b Cy% Dörte ann", sl_prefix(person_.name, ""));
}

static void *ask_for_ones(void *data)
{
    struct person_found *grown = sl_find(person, sl_gt(person_.age, 0), sl_ascending(person_.age));
    assert_string_equal(sl_first(grown)->name, "Bo_b");
    assert_string_equal(sl_last(grown)->name, "Ann");
    assert_non_null(sl_some(grown));
    assert_int_equal(sl_count(grown), 3);
    assert_int_equal(sl_count(sl_narrow(grown, sl_limit(2))), 2);
    assert_string_equal(sl_last(sl_narrow(grown, sl_limit(2)))->name, "Dörte");
    assert_string_equal(sl_one(sl_narrow(grown, sl_skip(1), sl_limit(1)))->name, "Dörte");
    assert_false(sl_is_empty(grown));
    assert_true(sl_is_empty(sl_find(person, sl_eq(person_.age, 999))));
    assert_null(sl_one(sl_find(person, sl_eq(person_.age, 999))));
    if (data)
        sl_one(grown);
    return NULL;
}

static void *first_unordered(void *data)
{
    (void)data;
    return (void *)sl_first(sl_find(person));
}

TEST(one_object)
{
    sl_transact(fill, NULL);
    ask_for_ones(NULL);
    sl_transact(ask_for_ones, NULL);
    assert_error(error_of(ask_for_ones, "two"), SL_EMANY, "more than one such person");
    assert_error(error_of(first_unordered, NULL), SL_EINVAL, "no order");
}

static void *max_of_none(void *data)
{
    (void)data;
    sl_value(sl_find(person, sl_eq(person_.age, 999)), sl_max(person_.age));
    return NULL;
}

TEST(values)
{
    sl_transact(fill, NULL);
    struct person_found *all = sl_find(person);
    assert_int_equal(sl_value(all, sl_sum(person_.age)), 84);
    assert_int_equal(sl_value(all, sl_min(person_.age)), -7);
    assert_true(sl_value(all, sl_average(person_.age)) == 21.0);
    assert_true(sl_value(all, sl_max(person_.height)) == 1.75);
    assert_string_equal(sl_value(all, sl_max(person_.badge)), "d");
    sl_decimal pay = sl_value(all, sl_sum(person_.pay));
    assert_int_equal(pay.units, 1600);
    assert_int_equal(pay.scale, 2);
    assert_int_equal(sl_value(all, sl_count_of(person_.age)), 4);
    assert_int_equal(sl_value(all, sl_count_distinct(person_.employer)), 2);
    assert_int_equal(sl_value_or(sl_find(person, sl_eq(person_.age, 999)), sl_max(person_.age), 5), 5);
    assert_error(error_of(max_of_none, NULL), SL_ENOROW, "NULL");
}

/* ---- Results, joins, groups ---------------------------------------------------------------------------- */

#define STAFF(F) F(firm, text) F(heads, integer) F(oldest, integer)
SL_RESULT(staff, STAFF);
#define PAIR(F) F(firm, row(company)) F(person, row(person)) F(label, text)
SL_RESULT(pair, PAIR);

TEST(groups)
{
    sl_transact(fill, NULL);
    struct staff_list staff = sl_list(sl_select(
        staff, company_,
        SL_AS(.firm = company_.name, .heads = sl_count_of(person_.id), .oldest = sl_max(person_.age)),
        sl_left_join(person_, sl_eq(person_.employer, company_.id)), sl_group_by(company_.name),
        sl_ascending(company_.name)));
    assert_int_equal(staff.count, 3);
    assert_string_equal(staff.items[0]->firm, "Bank");
    assert_int_equal(staff.items[0]->heads, 1);
    assert_true(staff.items[0]->null.oldest);
    assert_int_equal(staff.items[1]->heads, 0);
    assert_int_equal(staff.items[2]->oldest, 41);
    staff = sl_list(sl_select(
        staff, company_, SL_AS(.firm = company_.name, .heads = sl_count_all(), .oldest = sl_max(person_.age)),
        sl_join(person_, sl_eq(person_.employer, company_.id)), sl_group_by(company_.name),
        sl_having(sl_gt(sl_count_all(), 1))));
    assert_int_equal(staff.count, 1);
    assert_string_equal(staff.items[0]->firm, "Mill");
}

static void *look_at_pairs(void *data)
{
    (void)data;
    struct pair_found *pairs = sl_select(
        pair, company_,
        SL_AS(.firm = sl_whole(company_), .person = sl_whole(person_), .label = sl_upper(company_.name)),
        sl_left_join(person_, sl_eq(person_.employer, company_.id)), sl_ascending(company_.name),
        sl_ascending(person_.id));
    struct pair_list list = sl_list(pairs);
    assert_int_equal(list.count, 4);
    assert_string_equal(list.items[0]->firm->name, "Bank");
    assert_string_equal(list.items[0]->person->name, "Cy%");
    assert_string_equal(list.items[0]->label, "BANK");
    assert_null(list.items[1]->person); /* nobody works there */
    assert_true(list.items[1]->null.person);
    assert_ptr_equal(list.items[2]->firm, list.items[3]->firm);
    assert_ptr_equal(sl_load(person, list.items[2]->person->id), list.items[2]->person);
    size_t rows = 0;
    SL_EACH(p, pairs)
    {
        assert_true(rows == 1 ? p->person == NULL : p->person->employer == p->firm->id);
        rows++;
    }
    assert_int_equal(rows, 4);
    return NULL;
}

TEST(tuples_of_objects)
{
    sl_transact(fill, NULL);
    sl_transact(look_at_pairs, NULL);
}

TEST(aliases_and_sub_selects)
{
    sl_transact(fill, NULL);
    struct person_columns other = sl_alias(person, "other");
    struct person_found *colleagues =
        sl_find(person, sl_exists(sl_find_as(person, other, sl_eq(other.employer, person_.employer),
                                             sl_ne(other.id, person_.id))));
    assert_string_equal(names(colleagues), "Ann Bo_b");
    FINDS("Ann Bo_b",
          sl_in_found(person_.employer, sl_find(company, sl_eq(company_.name, "Mill")), company_.id));
    FINDS("Ann", sl_eq(person_.age, sl_subselect(sl_find_as(person, other), sl_max(other.age))));
}

TEST(sets)
{
    sl_transact(fill, NULL);
    struct person_found *old = sl_find(person, sl_ge(person_.age, 30)),
                        *tall = sl_find(person, sl_gt(person_.height, 1.6));
    assert_int_equal(sl_count(sl_union(old, tall)), 2);
    assert_int_equal(sl_count(sl_intersect(old, tall)), 1);
    struct person_list rest = sl_list(sl_except(old, tall));
    assert_int_equal(rest.count, 1);
    assert_string_equal(rest.items[0]->name, "Dörte");
    rest = sl_list(sl_narrow(sl_union(old, tall), sl_descending(person_.age), sl_limit(1)));
    assert_string_equal(rest.items[0]->name, "Ann");
}

/* ---- Changes to many ----------------------------------------------------------------------------------- */

static void *change_many(void *data)
{
    (void)data;
    const struct person *ann = sl_one(sl_find(person, sl_eq(person_.name, "Ann")));
    struct person *bob = sl_edit(person, sl_one(sl_find(person, sl_eq(person_.name, "Bo_b"))));
    bob->age = 50; /* written before the statement could see it */
    assert_int_equal(sl_update(sl_find(person, sl_gt(person_.age, 35)),
                               sl_to(person_.age, sl_plus(person_.age, 1)), sl_to(person_.badge, NULL)),
                     2);
    assert_int_equal(ann->age, 42); /* it is brought up to date */
    assert_int_equal(bob->age, 51);
    assert_int_equal(sl_delete(sl_find(person, sl_eq(person_.name, "Ann"))), 1);
    assert_null(sl_load(person, ann->id));
    return NULL;
}

static void *delete_slice(void *data)
{
    (void)data;
    sl_delete(sl_find(person, sl_limit(1)));
    return NULL;
}

TEST(many_are_changed_at_once)
{
    sl_transact(fill, NULL);
    sl_transact(change_many, NULL);
    assert_string_equal(names(sl_find(person)), "Bo_b Cy% Dörte ann");
    const sl_captured *captured = sl_capture();
    assert_error(error_of(delete_slice, NULL), SL_EINVAL, "");
    assert_int_equal(captured->count, 0);
}

/* ---- Streams ----------------------------------------------------------------------------------------- */

static void *fill_many(void *data)
{
    (void)data;
    struct person **many = sl_alloc(5000 * sizeof *many);
    for (int i = 0; i < 5000; i++)
        many[i] = sl_new(person, .name = sl_printf("p%d", i), .age = i);
    sl_add_many(person, many, 5000);
    return NULL;
}

static void *read_stream(void *data)
{
    (void)data;
    int64_t sum = 0;
    size_t rounds = 0;
    SL_EACH(p, sl_find(person, sl_ascending(person_.age)))
    {
        assert_int_equal(p->age, rounds++);
        sum += p->age;
    }
    assert_int_equal(rounds, 5000);
    assert_int_equal(sum, 5000 * 4999 / 2);
    SL_EACH(p, sl_find(person, sl_ascending(person_.age)))
    if (p->age == 10)
        break;
    SL_EACH(p, sl_find(person, sl_ascending(person_.age), sl_limit(3))) /* others may be asked meanwhile */
    assert_int_equal(sl_count(sl_find(person, sl_le(person_.age, p->age))), p->age + 1);
    return NULL;
}

TEST(large_results_are_streamed)
{
    sl_transact(fill_many, NULL);
    read_stream(NULL);
    sl_transact(read_stream, NULL);
}

TEST(rows_as_json)
{
    sl_transact(fill, NULL);
    json_t *rows = sl_rows(sl_find(person, sl_eq(person_.name, "Ann")));
    assert_int_equal(json_array_size(rows), 1);
    const json_t *ann = json_array_get(rows, 0);
    assert_string_equal(json_string_value(json_object_get(ann, "name")), "Ann");
    assert_string_equal(json_string_value(json_object_get(ann, "born")), "1985-01-02");
    assert_string_equal(json_string_value(json_object_get(ann, "pay")), "10.50");
    assert_string_equal(json_string_value(json_object_get(ann, "shade")), "red");
    assert_true(json_is_null(json_object_get(ann, "badge")));
    assert_null(json_object_get(ann, "photo"));
    json_decref(rows);
}

/* PostgreSQL gets a list as one array, in binary. */
static void *fill_clubs(void *data)
{
    const sl_uuid *ids = data;
    sl_add(sl_new(club, .id = ids[0], .name = ""));
    sl_add(sl_new(club, .id = ids[1], .name = "{a,\"b\"}\\"));
    sl_add(sl_new(club, .id = ids[2], .name = "NULL"));
    return NULL;
}

TEST(lists_of_values)
{
    const sl_uuid ids[] = {sl_uuid_new(), sl_uuid_new(), sl_uuid_new(), sl_uuid_new()};
    const char *const names[] = {"", "{a,\"b\"}\\", "null"};
    static int64_t numbers[30000];
    sl_transact(fill_clubs, (void *)ids);
    assert_int_equal(sl_count(sl_find(club, sl_in_array(club_.id, ids, 4))), 3);
    assert_int_equal(sl_count(sl_find(club, sl_in_array(club_.id, &ids[2], 2))), 1);
    assert_int_equal(sl_count(sl_find(club, sl_not(sl_in_array(club_.id, &ids[2], 2)))), 2);
    assert_int_equal(sl_count(sl_find(club, sl_in_array(club_.name, names, 3))), 2);
    sl_transact(fill, NULL);
    for (size_t i = 0; i < sl_array_size(numbers); i++)
        numbers[i] = (int64_t)i - 7;
    assert_int_equal(sl_count(sl_find(person, sl_in_array(person_.age, numbers, 30000))), 4);
    assert_int_equal(sl_count(sl_find(person, sl_in(person_.shade, RED, BLUE))), 1);
    assert_int_equal(sl_count(sl_find(person, sl_in(person_.height, 1.5, 2))), 1);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        IN_BOTH(conditions),
        IN_BOTH(lists_of_values),
        IN_BOTH(patterns),
        IN_BOTH(one_object),
        IN_BOTH(values),
        IN_BOTH(groups),
        IN_BOTH(tuples_of_objects),
        IN_BOTH(sets),
        IN_BOTH(rows_as_json),
        IN_BOTH(aliases_and_sub_selects),
        IN_BOTH(many_are_changed_at_once),
        IN_BOTH(large_results_are_streamed),
    };
    return world_main(argc, argv, tests, sl_array_size(tests));
}
