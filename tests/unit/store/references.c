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

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        IN_BOTH(a_key_of_several_columns_is_not_referred_to),
        IN_BOTH(a_reference_has_the_type_of_the_key),
        IN_BOTH(a_text_that_is_lent_can_be_linked_to),
    };
    return world_main(argc, argv, tests, sl_array_size(tests));
}
