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

/* ---- What refers, preloaded ---------------------------------------------------------------------------- */

enum { FIRMS = 5, STAFF = 4 };

static void *add_staff(void *data)
{
    struct club *chess = sl_add(sl_new(club, .name = "Chess")),
                *empty = sl_add(sl_new(club, .name = "Empty"));
    for (int c = 0; c < FIRMS; c++) {
        struct company *firm = sl_add(sl_new(company, .name = sl_printf("Firm %d", c)));
        for (int i = 0; i < STAFF && c; i++) { /* none in the first */
            struct person *p = sl_add(sl_new(person, .name = sl_printf("P%d%d", c, i), .age = c));
            sl_link(person, p, employer, firm);
            struct membership *m = sl_new(membership);
            sl_link(membership, m, member, p);
            sl_link(membership, m, club, chess);
            sl_add(m);
        }
    }
    (void)empty;
    return data;
}

static struct company_list firms_with_staff(void)
{
    struct company_list firms =
        sl_list(sl_find(company, sl_ascending(company_.id), sl_preload_referring(person, employer)));
    assert_int_equal(firms.count, FIRMS);
    return firms;
}

static int64_t staff_of(const struct company *firm)
{
    return sl_count(sl_referring(person, employer, firm));
}

static void sees_staff(const struct company *firm, size_t wanted)
{
    struct person_found *staff = sl_referring(person, employer, firm);
    struct person_list list = sl_list(staff);
    assert_int_equal(list.count, wanted);
    size_t seen = 0;
    SL_EACH(p, staff)
    assert_ptr_equal(p, list.items[seen++]);
    assert_int_equal(seen, wanted);
    for (size_t i = 0; i < list.count; i++)
        assert_int_equal(list.items[i]->employer, firm->id);
    assert_int_equal(sl_count(staff), wanted);
    assert_int_equal(sl_is_empty(staff), wanted == 0);
    assert_ptr_equal(sl_some(staff), wanted ? list.items[0] : NULL);
}

static void *take_the_only_one(void *firm)
{
    return (void *)sl_one(sl_referring(person, employer, (const struct company *)firm));
}

static void *preload_staff(void *data)
{
    const sl_captured *seen = sl_capture();
    struct company_list firms = firms_with_staff();
    assert_int_equal(seen->count, 2);
    for (size_t i = 0; i < firms.count; i++)
        sees_staff(firms.items[i], i ? STAFF : 0);
    assert_null(sl_one(sl_referring(person, employer, firms.items[0])));
    assert_error(error_of(take_the_only_one, (void *)firms.items[1]), SL_EMANY, "more than one such person");
    assert_int_equal(seen->count, 2);
    /* What is narrowed is another question. */
    struct person_found *staff = sl_referring(person, employer, firms.items[1]);
    assert_int_equal(sl_count(sl_narrow(staff, sl_eq(person_.name, "P10"))), 1);
    assert_int_equal(sl_count(sl_narrow(staff, sl_limit(2))), 2);
    assert_int_equal(sl_value(staff, sl_max(person_.age)), 1);
    assert_int_equal(seen->count, 5);
    return data;
}

TEST(what_refers_is_preloaded_in_one_query)
{
    sl_transact(add_staff, NULL);
    sl_transact(preload_staff, NULL);
}

static void *preload_levels(void *data)
{
    const sl_captured *seen = sl_capture();
    struct company_list firms =
        sl_list(sl_find(company, sl_ascending(company_.id), sl_preload_referring(person, employer),
                        sl_preload_referring(membership, member), sl_preload(membership, club)));
    assert_int_equal(seen->count, 4);
    struct person_list staff = sl_list(sl_referring(person, employer, firms.items[1]));
    for (size_t i = 0; i < staff.count; i++) {
        const struct membership *m = sl_one(sl_referring(membership, member, staff.items[i]));
        assert_string_equal(sl_follow(membership, m, club)->name, "Chess");
        assert_string_equal(sl_some(sl_linked(club, membership, club, member, staff.items[i]))->name,
                            "Chess");
    }
    assert_int_equal(seen->count, 4);
    return data;
}

static void *preload_links(void *data)
{
    const sl_captured *seen = sl_capture();
    struct club_list clubs =
        sl_list(sl_find(club, sl_ascending(club_.name), sl_preload_referring(membership, club),
                        sl_preload(membership, member)));
    assert_int_equal(seen->count, 3);
    struct person_list members = sl_list(sl_linked(person, membership, member, club, clubs.items[0]));
    assert_int_equal(members.count, (FIRMS - 1) * STAFF);
    assert_int_equal(sl_count(sl_linked(person, membership, member, club, clubs.items[1])), 0);
    assert_int_equal(seen->count, 3);
    sl_remove(sl_load(membership, members.items[0]->id, clubs.items[0]->id));
    assert_int_equal(sl_count(sl_linked(person, membership, member, club, clubs.items[0])),
                     (FIRMS - 1) * STAFF - 1);
    assert_int_equal(seen->count, 5);
    return data;
}

TEST(each_level_is_one_query)
{
    sl_transact(add_staff, NULL);
    sl_transact(preload_levels, NULL);
    sl_transact(preload_links, NULL);
}

static void *fail_with_a_new_one(void *firm)
{
    sl_add(sl_new(person, .name = "Zoe", .employer = ((const struct company *)firm)->id));
    assert_int_equal(staff_of(firm), STAFF + 1);
    sl_fail(SL_EFAILED, "no");
}

static void *write_meanwhile(void *data)
{
    struct company_list firms = firms_with_staff();
    const struct company *one = firms.items[1], *two = firms.items[2];
    const sl_captured *seen = sl_capture();
    sl_edit(company, one)->name = "Another"; /* of another table: it holds */
    sl_add(sl_new(place, .code = "x", .rank = 1));
    assert_int_equal(staff_of(one), STAFF);
    assert_int_equal(seen->count, 2);
    const struct person *p = sl_some(sl_referring(person, employer, one));
    sl_edit(person, p)->age = 50; /* it still refers to the same */
    assert_int_equal(staff_of(one), STAFF);
    assert_int_equal(seen->count, 3);
    sl_link(person, sl_edit(person, p), employer, two);
    assert_int_equal(staff_of(one), STAFF - 1);
    assert_int_equal(staff_of(two), STAFF + 1);

    firms_with_staff();
    sl_remove(p);
    assert_int_equal(staff_of(two), STAFF);
    firms_with_staff();
    sl_add_unless(sl_new(person, .name = "Ann", .badge = "1", .employer = one->id), person_.badge);
    assert_int_equal(staff_of(one), STAFF);
    firms_with_staff();
    sl_update(sl_find(person, sl_eq(person_.employer, one->id)), sl_to(person_.employer, two->id));
    assert_int_equal(staff_of(one), 0);
    firms_with_staff();
    sl_execute(NULL, "UPDATE person SET employer = ? WHERE employer = ?", sl_p(one->id), sl_p(two->id));
    assert_int_equal(staff_of(one), 2 * STAFF);
    firms_with_staff();
    sl_add_many(person, (&(struct person *){sl_new(person, .name = "Bo", .employer = two->id)}), 1);
    assert_int_equal(staff_of(two), 1);

    firms_with_staff();
    sl_error *error;
    sl_savepoint(fail_with_a_new_one, (void *)firms.items[3], &error);
    assert_error(error, SL_EFAILED, "no");
    assert_int_equal(staff_of(firms.items[3]), STAFF);
    return data;
}

TEST(what_was_preloaded_holds_until_it_is_changed)
{
    sl_transact(add_staff, NULL);
    sl_transact(write_meanwhile, NULL);
}

static sl_deferred *let_go;

static void *move_one(void *data)
{
    const struct company *two = sl_one(sl_find(company, sl_eq(company_.name, "Firm 2")));
    const struct person *p = sl_one(sl_find(person, sl_eq(person_.name, "P10")));
    sl_link(person, sl_edit(person, p), employer, two);
    return data;
}

static void *move_when_let_go(void *data)
{
    sl_await(let_go);
    return sl_transact(move_one, data);
}

static void *reload_the_one_moved(void *mover)
{
    struct company_list firms = firms_with_staff();
    const struct person *p = sl_one(sl_find(person, sl_eq(person_.name, "P10")));
    sl_fire(let_go, NULL, NULL);
    sl_await((sl_deferred *)mover);
    assert_int_equal(staff_of(firms.items[1]), STAFF); /* as it was read */
    sl_reload(person, p);
    assert_int_equal(p->employer, firms.items[2]->id);
    assert_int_equal(staff_of(firms.items[1]), STAFF - 1);
    assert_int_equal(staff_of(firms.items[2]), STAFF + 1);
    return NULL;
}

TEST(what_is_read_anew_is_no_longer_among_those_preloaded)
{
    sl_transact(add_staff, NULL);
    let_go = sl_deferred_new(NULL, NULL);
    sl_transact(reload_the_one_moved, sl_spawn(move_when_let_go, NULL));
}

static void *preload_again(void *data)
{
    struct person_found *all = sl_find(person, sl_preload(person, employer));
    (void)sl_list(all);
    sl_execute(NULL, "UPDATE company SET parent = NULL");
    const sl_captured *seen = sl_capture();
    struct person_list staff = sl_list(all);
    for (size_t i = 0; i < staff.count; i++)
        assert_non_null(sl_follow(person, staff.items[i], employer));
    assert_int_equal(seen->count, 2);
    return data;
}

TEST(what_is_old_is_preloaded_again)
{
    sl_transact(add_staff, NULL);
    sl_transact(preload_again, NULL);
}

/* As in another source file, where the model was not used before. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Woverride-init"
SL_MODEL(worker, PERSON, .name = "person");
#pragma GCC diagnostic pop

static void *preload_by_another_description(void *data)
{
    struct person_found *all = sl_find(person);
    const sl_captured *seen = sl_capture();
    (void)sl_list(sl_narrow(all, sl_preload(worker, employer)));
    assert_int_equal(seen->count, 2);
    return data;
}

TEST(preload_takes_any_description_of_a_model)
{
    sl_transact(add_staff, NULL);
    sl_transact(preload_by_another_description, NULL);
}

/* A link that says more than its key. */
#define TOUR(F)                                                                                              \
    F(guide, refers(person), SL_PRIMARY_KEY)                                                                 \
    F(host, refers(company), SL_PRIMARY_KEY)                                                                 \
    F(payer, refers(company))
SL_MODEL(tour, TOUR);

static void *add_tours(void *data)
{
    sl_execute(NULL,
               "CREATE TABLE tour (guide bigint, host bigint, payer bigint, PRIMARY KEY (guide, host))");
    const struct person *p = sl_one(sl_find(person, sl_eq(person_.name, "P10")));
    for (int i = 0; i < 2; i++)
        sl_add(sl_new(tour, .guide = p->id, .host = 1 + i, .payer = 1));
    return data;
}

static void *see_who_pays(void *data)
{
    const struct person *p =
        sl_one(sl_find(person, sl_eq(person_.name, "P10"), sl_preload_referring(tour, guide),
                       sl_preload(tour, payer), sl_preload(tour, host)));
    const sl_captured *seen = sl_capture();
    assert_int_equal(sl_count(sl_linked(company, tour, host, guide, p)), 2);
    assert_int_equal(seen->count, 0);
    assert_int_equal(sl_count(sl_linked(company, tour, payer, guide, p)), 1); /* each once */
    return data;
}

TEST(what_is_linked_twice_comes_once)
{
    sl_transact(add_staff, NULL);
    sl_transact(add_tours, NULL);
    sl_transact(see_who_pays, NULL);
}

static void *link_to_what_is_removed_again(void *data)
{
    struct company *firm = sl_add(sl_new(company, .name = "Firm"));
    struct person *p = sl_add(sl_new(person, .name = "Ann"));
    sl_link(person, p, employer, firm);
    sl_remove(firm);
    return data;
}

TEST(what_is_linked_to_and_removed_again_is_named)
{
    assert_error(error_of(transact, (void *)link_to_what_is_removed_again), SL_EINVALID,
                 "a new person refers to a new company, which is not stored");
}

static void *preload_alone(void *data)
{
    return (void)firms_with_staff(), data;
}

TEST(what_is_preloaded_needs_a_transaction)
{
    assert_error(error_of(preload_alone, NULL), SL_EINVAL, "sl_preload needs a transaction");
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        IN_BOTH(a_key_of_several_columns_is_not_referred_to),
        IN_BOTH(a_reference_has_the_type_of_the_key),
        IN_BOTH(a_text_that_is_lent_can_be_linked_to),
        IN_SQLITE(a_query_reads_one_store),
        IN_BOTH(what_refers_is_preloaded_in_one_query),
        IN_BOTH(each_level_is_one_query),
        IN_BOTH(what_was_preloaded_holds_until_it_is_changed),
        IN_BOTH(what_is_preloaded_needs_a_transaction),
        IN_POSTGRES(what_is_read_anew_is_no_longer_among_those_preloaded),
        IN_BOTH(what_is_old_is_preloaded_again),
        IN_BOTH(preload_takes_any_description_of_a_model),
        IN_BOTH(what_is_linked_twice_comes_once),
        IN_BOTH(what_is_linked_to_and_removed_again_is_named),
    };
    return world_main(argc, argv, tests, sl_array_size(tests));
}
