/* siblings.c: tasks that work in one transaction at the same time. */
#include "world.h"
#include "store/request.h"

static void *find_all(void *data)
{
    (void)data;
    return (void *)(intptr_t)sl_count(sl_find(company));
}

static void *add_named(void *name)
{
    sl_add(sl_new(company, .name = name));
    sl_save();
    return NULL;
}

/* Both are the first to want the transaction's connection. */
static void *begin_together(void *data)
{
    (void)data;
    sl_deferred *tasks[] = {sl_spawn(add_named, "a"), sl_spawn(find_all, NULL), sl_spawn(add_named, "c")};
    sl_await(sl_all(tasks, sl_array_size(tasks)));
    return NULL;
}

static void *transact_together(void *data)
{
    SL_SCOPE(scope, .deadline_ms = 3000)
    {
        sl_transact(begin_together, data);
    }
    return NULL;
}

static void *hold_place(void *data)
{
    add_named("holder");
    sl_await(sl_sleep(60));
    return data;
}

static void *transact_hold(void *data)
{
    return sl_transact(hold_place, data);
}

TEST(a_transaction_has_one_connection)
{
    sl_deferred *holder = sl_spawn(transact_hold, NULL);
    sl_await(sl_sleep(5));
    const sl_error *error = error_of(transact_together, NULL);
    if (error)
        fail_msg("%s", error->message);
    sl_await(holder);
    for (int i = 0; i < 12; i++)
        assert_error(error_of(transact_together, NULL), SL_EEXIST, "cannot be stored");
    assert_int_equal(sl_count(sl_find(company)), 3);
}

/* Goes on working after its transaction's function has returned. */
static void *go_on(void *data)
{
    int *left = data;
    while (--*left > 0) {
        sl_error *error = NULL;
        sl_try(sl_spawn(find_all, NULL), &error);
        sl_await(sl_sleep(0));
    }
    return NULL;
}

static void *leave_behind(void *data)
{
    add_named(data);
    static int left;
    left = 400;
    sl_forget(sl_spawn(go_on, &left));
    sl_await(sl_sleep(1));
    return NULL;
}

static void *transact_name(void *name)
{
    SL_SCOPE(scope, .deadline_ms = 3000)
    {
        sl_transact(leave_behind, name);
    }
    return NULL;
}

TEST(who_works_on_while_it_is_committed_takes_no_new_connection)
{
    char names[12][8];
    for (int i = 0; i < 12; i++) {
        snprintf(names[i], sizeof names[i], "n%d", i);
        const sl_error *error = error_of(transact_name, names[i]);
        if (error)
            fail_msg("%d: %s", i, error->message);
    }
    assert_int_equal(sl_count(sl_find(company)), 12);
}

static void *turn_writer(void *data)
{
    return add_named(data);
}

static void *fail_meanwhile(void *data)
{
    (void)data;
    find_all(NULL);
    sl_forget(sl_spawn(turn_writer, "x"));
    sl_await(sl_sleep(5));
    sl_fail(SL_EFAILED, "meanwhile");
}

static void *transact_fail_meanwhile(void *data)
{
    return sl__transact_request(SL_HERE, fail_meanwhile, data, /* safe= */ true);
}

static void *fail_before(void *data)
{
    (void)data;
    sl_forget(sl_spawn(turn_writer, "y"));
    sl_await(sl_sleep(5));
    sl_fail(SL_EFAILED, "before");
}

static void *transact_fail_before(void *data)
{
    return sl_transact(fail_before, data);
}

TEST(who_waits_while_it_is_rolled_back_is_told)
{
    sl_deferred *holder = sl_spawn(transact_hold, NULL);
    sl_await(sl_sleep(5));
    assert_error(error_of(transact_fail_meanwhile, NULL), SL_EFAILED, "meanwhile");
    assert_error(error_of(transact_fail_before, NULL), SL_EFAILED, "before");
    sl_await(holder);
    sl_transact(add_named, "next"); /* nobody has the writer's place any more */
    assert_int_equal(sl_count(sl_find(company)), 2);
}

static void *run_long(void *data)
{
    (void)data;
    sl_execute(NULL, "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 30000000) "
                     "INSERT INTO company (name) SELECT 'n' || max(i) FROM n");
    return NULL;
}

static void *fail_behind_thread(void *data)
{
    add_named(data);
    sl_forget(sl_spawn(run_long, NULL));
    sl_await(sl_sleep(5));
    sl_forget(sl_spawn(find_all, NULL)); /* waits for the thread */
    sl_await(sl_sleep(5));
    sl_fail(SL_EFAILED, "behind");
}

static void *transact_behind(void *data)
{
    return sl_transact(fail_behind_thread, data);
}

TEST(who_waits_for_a_thread_while_it_is_rolled_back_is_told)
{
    assert_error(error_of(transact_behind, "z"), SL_EFAILED, "behind");
    sl_transact(add_named, "next");
    assert_int_equal(sl_count(sl_find(company)), 1);
}

static void add_late(void *data)
{
    sl_add(sl_new(company, .name = data));
}

static const sl_resource late = {.name = "a late one", .vote = add_late};

static void *join_late(void *data)
{
    add_named("early");
    sl_join_transaction(&late, data);
    return NULL;
}

static void *transact_late(void *data)
{
    return sl_transact(join_late, data);
}

TEST(what_comes_too_late_to_be_written_is_told)
{
    assert_error(error_of(transact_late, "late"), SL_EINVAL, "changed while it was committed");
    assert_int_equal(sl_count(sl_find(company)), 0);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        IN_BOTH(a_transaction_has_one_connection),
        IN_BOTH(who_works_on_while_it_is_committed_takes_no_new_connection),
        IN_BOTH(who_waits_while_it_is_rolled_back_is_told),
        IN_BOTH(what_comes_too_late_to_be_written_is_told),
        IN_BOTH(who_waits_for_a_thread_while_it_is_rolled_back_is_told),
    };
    return world_main(argc, argv, tests, sl_array_size(tests));
}
