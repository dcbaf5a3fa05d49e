/* references.c: what refers to what: which models may, and what becomes of keys that are lent. */
#include "world.h"

static void *transact(void *fn)
{
    return sl_transact((sl_task_fn *)fn, NULL);
}

/* ---- Models that cannot refer -------------------------------------------------------------------------- */

#define PAIR(F) F(a, integer, SL_PRIMARY_KEY) F(b, integer, SL_PRIMARY_KEY)
SL_MODEL(pair, PAIR);
#define HALF(F) F(id, integer, SL_PRIMARY_KEY) F(pair, refers(pair))
SL_MODEL(half, HALF);
#define HALF_TIE(F) F(company, refers(company), SL_PRIMARY_KEY) F(pair, refers(pair), SL_PRIMARY_KEY)
SL_MODEL(half_tie, HALF_TIE);
#define GUEST(F) F(id, integer, SL_PRIMARY_KEY) F(club, refers(club))
SL_MODEL(guest, GUEST);
#define VISIT(F) F(id, integer, SL_PRIMARY_KEY) F(place, refers_text(place))
SL_MODEL(visit, VISIT);

static void *link_to_a_pair(void *data)
{
    sl_link(half, sl_new(half), pair, sl_new(pair, .a = 1, .b = 2));
    return data;
}

static void *look_for_halves(void *data)
{
    return sl_referring(half, pair, sl_add(sl_new(pair, .a = 1, .b = 2))), data;
}

static void *look_for_linked_pairs(void *data)
{
    return sl_linked(pair, half_tie, pair, company, sl_new(company, .id = 5)), data;
}

static void *link_to_a_uuid(void *data)
{
    sl_link(guest, sl_new(guest), club, sl_new(club, .name = "Chess"));
    return data;
}

TEST(a_key_of_several_columns_is_not_referred_to)
{
    const sl_captured *seen = sl_capture();
    sl_task_fn *const wrong[] = {link_to_a_pair, look_for_halves};
    for (size_t i = 0; i < sl_array_size(wrong); i++)
        assert_error(error_of(transact, (void *)wrong[i]), SL_EINVAL,
                     "model half: column pair refers to pair, whose key is not one column");
    assert_error(error_of(transact, (void *)look_for_linked_pairs), SL_EINVAL,
                 "model half_tie: column pair refers to pair, whose key is not one column");
    assert_int_equal(seen->count, 0);
}

TEST(a_reference_has_the_type_of_the_key)
{
    const sl_error *error = error_of(transact, (void *)link_to_a_uuid);
    assert_error(error, SL_EINVAL,
                 "model guest: column club refers to club by another type than its key has");
    assert_string_equal(error->hint, "write refers_uuid(club)");
}

/* ---- Keys that are lent -------------------------------------------------------------------------------- */

static void *add_places(void *data)
{
    sl_add(sl_new(place, .code = "a place whose code is long", .rank = 1));
    sl_add(sl_new(place, .code = "b place whose code is long", .rank = 2));
    return data;
}

static void *link_to_lent_places(void *data)
{
    struct visit *visits[2] = {sl_new(visit), sl_new(visit)};
    int round = 0;
    SL_EACH(p, sl_find(place, sl_ascending(place_.code)))
    sl_link(visit, visits[round++], place, p);
    assert_string_equal(visits[0]->place, "a place whose code is long");
    assert_string_equal(visits[1]->place, "b place whose code is long");
    return data;
}

TEST(a_text_that_is_lent_can_be_linked_to)
{
    sl_transact(add_places, NULL);
    sl_transact(link_to_lent_places, NULL);
}

/* ---- Two stores ---------------------------------------------------------------------------------------- */

#define NEAR(F) F(id, integer, SL_PRIMARY_KEY) F(name, text) F(count, integer)
SL_MODEL(near, NEAR, .store = "sqlite");
#define FAR(F) F(id, integer, SL_PRIMARY_KEY) F(near, integer)
SL_MODEL(far, FAR, .store = "other");
#define BOTH(F) F(name, text) F(count, integer)
SL_RESULT(both, BOTH);

static void *query_of_two(void *data)
{
    struct far_found *fars = sl_find(far, sl_gt(far_.id, 5));
    struct near_found *nears = sl_find(near), *tied = sl_find(near, sl_in_found(near_.id, fars, far_.near));
    switch (*(int *)data) {
    case 0:
        return (void)sl_list(sl_narrow(nears, sl_join(far_, sl_eq(far_.near, near_.id)))), NULL;
    case 1:
        return (void)sl_count(tied), NULL;
    case 2:
        return (void)sl_some(sl_narrow(nears, sl_not(sl_exists(fars)))), NULL;
    case 3:
        return (void)sl_is_empty(sl_union(nears, tied)), NULL;
    case 4: {
        SL_EACH(both, sl_select(both, near_, SL_AS(.name = near_.name, .count = sl_max(far_.id)),
                                sl_left_join(far_, sl_eq(far_.near, near_.id)), sl_group_by(near_.name)))
        (void)both;
        return NULL;
    }
    case 5:
        return (void)sl_value(nears, sl_subselect(fars, sl_max(far_.id))), NULL;
    case 6:
        return (void)sl_update(nears, sl_to(near_.count, sl_subselect(fars, sl_max(far_.id)))), NULL;
    case 7:
        return (void)sl_delete(tied), NULL;
    default:
        return (void)sl_list(sl_find(near, sl_ascending(sl_subselect(fars, sl_max(far_.id))))), NULL;
    }
}

static void *query_of_two_in_transaction(void *data)
{
    return sl_transact(query_of_two, data);
}

TEST(a_query_reads_one_store)
{
    sl_error *error = NULL;
    assert_int_equal(sl_store_declare(sl_root_current(), "other", world_url("sqlite"), &error), 0);
    sl_store_open("other"); /* which looks for what was left prepared */
    const sl_captured *seen = sl_capture();
    for (int i = 0; i < 9; i++) {
        const sl_error *why = error_of(query_of_two_in_transaction, &i);
        assert_error(why, SL_EINVAL, "a query reads near of the store sqlite and far of the store other");
        assert_non_null(why->hint);
    }
    assert_int_equal(seen->count, 0);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        IN_BOTH(a_key_of_several_columns_is_not_referred_to),
        IN_BOTH(a_reference_has_the_type_of_the_key),
        IN_BOTH(a_text_that_is_lent_can_be_linked_to),
        IN_SQLITE(a_query_reads_one_store),
    };
    return world_main(argc, argv, tests, sl_array_size(tests));
}
