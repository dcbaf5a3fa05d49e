/* A PostgreSQL that says nothing any more: its process is stopped, as a machine that has lost its network or
 * its disk would be. Nobody waits for it longer than the transaction may take. */
#include "world.h"
#include "postgres_server.h"
#include "store/request.h"

#include <signal.h>

#define FROZEN_TEST(name)                                                                                    \
    static void *name##_task(void *data);                                                                    \
    static void name(void **state)                                                                           \
    {                                                                                                        \
        assert_int_equal(world_run("postgres", name##_task), 0);                                             \
    }                                                                                                        \
    static void *name##_task(void *data)

enum { LONG_MS = 20000 /* no transaction here may take as long, by far */ };

/* The process of the server that has the transaction. */
static pid_t backend(void)
{
    return atoi(postgres_server_psql("SELECT pid FROM pg_stat_activity WHERE state = 'idle in transaction'"));
}

static pid_t stopped;

static void stop_backend(void *data)
{
    (void)data;
    stopped = backend();
    assert_true(stopped > 0);
    assert_int_equal(kill(stopped, SIGSTOP), 0);
}

static void wake_backend(void)
{
    assert_int_equal(kill(stopped, SIGCONT), 0);
    while (kill(stopped, 0) == 0) /* its client has gone */
        sl_await(sl_sleep(5));
}

static void *add_and_stop(void *data)
{
    (void)data;
    sl_add(sl_new(place, .code = "frozen", .rank = 1));
    sl_save();
    stop_backend(NULL);
    return NULL;
}

static void *commit_with_deadline(void *data)
{
    return sl_transact(add_and_stop, data, .deadline_ms = 100);
}

static void *commit_with_budget(void *data)
{
    sl_budget(.ms = 100);
    return add_and_stop(data);
}

static void *commit_as_request(void *data)
{
    return sl__transact_request(SL_HERE, commit_with_budget, data, /* safe= */ false);
}

/* Whether it was committed nobody can know here, and either is right. */
static void outcome_is_unknown(sl_task_fn *fn)
{
    uint64_t begin = sl_monotonic_ns();
    const sl_error *error = error_of(fn, NULL);
    assert_error(error, SL_EDISCONNECTED, "it is unknown whether the transaction was committed");
    assert_non_null(strstr(error->message, "did not answer in time"));
    assert_non_null(strstr(error->hint, "look whether the rows are there"));
    assert_true(sl_monotonic_ns() - begin < LONG_MS * UINT64_C(1000000));
    wake_backend();
    /* The store goes on with another connection. */
    assert_true(sl_count(sl_find(place)) <= 1);
}

FROZEN_TEST(a_commit_waits_no_longer_than_the_deadline)
{
    outcome_is_unknown(commit_with_deadline);
    return data;
}

FROZEN_TEST(a_commit_waits_no_longer_than_the_budget)
{
    outcome_is_unknown(commit_as_request);
    return data;
}

/* A budget counts what was waited for the database, not what the task did between. */
static void *copy_after_a_rest(void *data)
{
    struct place *places[2];
    sl_budget(.ms = 2000);
    sl_add(sl_new(place, .code = "first", .rank = 1));
    sl_save();
    sl_await(sl_sleep(2100));
    places[0] = sl_new(place, .code = "second", .rank = 2);
    places[1] = sl_new(place, .code = "third", .rank = 3);
    sl_add_many(place, places, 2);
    return data;
}

FROZEN_TEST(a_rest_before_the_end_costs_no_budget)
{
    sl_transact(copy_after_a_rest, NULL);
    assert_int_equal(sl_count(sl_find(place)), 3);
    return data;
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_commit_waits_no_longer_than_the_deadline),
        cmocka_unit_test(a_commit_waits_no_longer_than_the_budget),
        cmocka_unit_test(a_rest_before_the_end_costs_no_budget),
    };
    return world_main(argc, argv, tests, sizeof tests / sizeof *tests);
}
