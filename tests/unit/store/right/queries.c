/* Queries that must compile without a word. */
#include "../refused/models.h"

struct sums {
    int64_t count, oldest;
    double average;
};

static struct person_found *chosen(const struct person *p, const char *name, char buffer[16],
                                   enum colour shade)
{
    const int64_t ids[] = {1, 2};
    const char *const names[] = {"a", "b"};
    const sl_uuid tokens[] = {p->token};
    struct person_columns boss = sl_alias(person, "boss");
    return sl_find(
        person, sl_eq(person_.age, 41), sl_eq(person_.age, 41u), sl_ne(person_.age, (short)1),
        sl_lt(person_.age, INT64_C(1)), sl_le(person_.age, (size_t)1), sl_gt(person_.age, true),
        sl_eq(person_.name, name), sl_eq(person_.name, buffer), sl_eq(person_.name, "x"),
        sl_eq(person_.name, NULL), sl_eq(person_.score, 1), sl_eq(person_.score, 1.5f),
        sl_eq(person_.pay, p->pay), sl_eq(person_.born, p->born), sl_eq(person_.seen, p->seen),
        sl_eq(person_.seen, 0), sl_eq(person_.active, true), sl_eq(person_.shade, RED),
        sl_eq(person_.shade, shade), sl_eq(person_.shade, p->shade), sl_eq(person_.token, p->token),
        sl_eq(person_.photo, p->photo), sl_eq(person_.data, p->data), sl_eq(person_.data, NULL),
        sl_eq(person_.employer, p->id), sl_eq(person_.age, person_.id), sl_in(person_.age, 1, 2, person_.id),
        sl_in(person_.age), sl_in_array(person_.id, ids, 2), sl_in_array(person_.name, names, 2),
        sl_in_array(person_.token, tokens, 1), sl_in_array(person_.seen, ids, 2),
        sl_between(person_.born, p->born, NULL), sl_between(person_.age, 1, person_.id),
        sl_in_found(person_.employer, sl_find(company, sl_prefix(company_.name, "A")), company_.id),
        sl_exists(sl_find_as(person, boss, sl_eq(boss.employer, person_.employer),
                             sl_not(sl_eq(boss.id, person_.id)))),
        sl_or(sl_and(sl_true(person_.active), sl_not(sl_is_null(person_.born))), sl_is_not_null(person_.seen),
              sl_and()),
        sl_like(person_.name, "a%"), sl_ilike(sl_lower(person_.name), name), sl_suffix(person_.name, buffer),
        sl_contains(sl_concatenated(person_.name, "x"), "y"),
        sl_sql("person.age > ? AND ? < ?", sl_p(5), sl_p(person_.id), sl_p(NULL)),
        sl_eq(person_.age, sl_sql_integer("? + 1", sl_p(1))), sl_eq(person_.score, sl_sql_real("1.5")),
        sl_eq(person_.name, sl_sql_text("'x'")),
        sl_eq(sl_plus(sl_times(sl_minus(person_.age,
                                        sl_plus(person_.id, sl_times(person_.age, sl_modulo(person_.id, 7)))),
                               2),
                      1),
              3),
        sl_gt(sl_divided(person_.score, 2), sl_absolute(person_.score)), sl_eq(sl_length(person_.name), 5),
        sl_eq(sl_coalesce(person_.age, sl_the(person_.age, 5)), sl_field_of(person, p, age)),
        sl_eq(person_.employer, sl_subselect(sl_find(company), sl_max(company_.id))),
        sl_join(company_, sl_eq(company_.id, person_.employer)),
        sl_left_join(boss, sl_eq(boss.id, person_.id)), sl_ascending(person_.name),
        sl_descending(sl_upper(person_.name)), sl_oldest(person_.born), sl_newest(person_.seen), sl_limit(5),
        sl_skip(10), sl_distinct(), sl_preload(person, employer));
}

static struct busy_found *computed(void)
{
    return sl_select(
        busy, person_, SL_AS(.name = company_.name, .count = sl_count_all(), .boss = sl_whole(person_)),
        sl_join(company_, sl_eq(company_.id, person_.employer)), sl_group_by(person_.id, company_.name),
        sl_having(sl_and(sl_gt(sl_count_of(person_.born), 1), sl_lt(sl_sum(person_.age), 5))),
        sl_ascending(sl_count_distinct(person_.age)));
}

static struct sums summed(void)
{
    struct person_found *both =
        sl_narrow(sl_union(sl_find(person), sl_except(sl_find(person), sl_find(person))), sl_limit(5));
    return (struct sums){.count = sl_count(both),
                         .oldest = sl_value_or(both, sl_max(person_.age), 0),
                         .average = sl_value(sl_find(person), sl_average(person_.pay))};
}

void right(const struct person *p);
void right(const struct person *p)
{
    char buffer[16] = "x";
    struct person_found *found = chosen(p, "x", buffer, GREEN);
    struct sums sums = summed();
    struct person_list list = sl_list(found);
    for (size_t i = 0; i < list.count; i++)
        sums.count += list.items[i]->age;
    SL_EACH(busy, computed())
    sums.count += busy->count + (busy->boss ? busy->boss->age : 0);
    const char *name = sl_value(found, sl_min(person_.name));
    sl_date born = sl_value_or(found, sl_min(person_.born), ((sl_date){2026, 11, 29}));
    const struct person *first = sl_first(found), *last = sl_last(found), *one = sl_one(found),
                        *some = sl_some(found);
    if (name && born.year && first && last && one && some && !sl_is_empty(found))
        sl_update(found, sl_to(person_.age, sl_plus(person_.age, 1)), sl_to(person_.name, "x"),
                  sl_to(person_.born, NULL));
    list = sl_update_returning(found, sl_to(person_.age, 5));
    list = sl_delete_returning(sl_narrow(found, sl_gt(person_.age, (int64_t)list.count)));
    sl_delete(sl_referring(person, employer, sl_follow(person, p, employer)));
}
