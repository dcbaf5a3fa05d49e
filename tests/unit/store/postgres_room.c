/* The PostgreSQL driver where the server has fewer connections for it than the option says. */
#include "postgres_test.h"

/* A store of a role that may have so many connections of the server's. */
static char few_url[200];

static void allow(int connections)
{
    char sql[80];
    snprintf(sql, sizeof sql, "ALTER ROLE few CONNECTION LIMIT %d", connections);
    postgres_server_psql(sql);
}

/* All that it has are ended, by somebody else. */
static void end_all(sl_store *store)
{
    while (strcmp(postgres_server_psql("SELECT count(pg_terminate_backend(pid, 10000)) FROM pg_stat_activity "
                                       "WHERE usename = 'few'"),
                  "0") != 0)
        continue;
    UNTIL(pool_of(store)->count == 0);
}

#define FEW_TEST(name, allowed) STORE_TEST_AT(name, few_url, 8, allow(allowed))

static void *work(void *data)
{
    sl_store *store = data;
    for (int i = 0; i < 3; i++) {
        sl__connection *c = BEGIN();
        OK(execute(c, "SELECT pg_sleep(0.001)"));
        CHECK(read_number(store, "SELECT 1") == 1);
        OK(driver->commit(c));
        CHECK(read_number(store, "SELECT 2") == 2);
    }
    return NULL;
}

static void *transact(void *data)
{
    sl_store *store = data;
    for (int i = 0; i < 5; i++) {
        sl__connection *c = BEGIN();
        OK(execute(c, "SELECT pg_sleep(0.001)"));
        OK(driver->commit(c));
        CHECK(read_number(store, "SELECT 2") == 2);
    }
    return NULL;
}

FEW_TEST(many_tasks_share_what_there_is, 3)
{
    SL_SCOPE(all)
    {
        for (int i = 0; i < 20; i++)
            sl_go(transact, store);
    }
    CHECK(pool_of(store)->count <= 3 && pool_of(store)->most < 8);
}

FEW_TEST(one_is_enough, 1)
{
    SL_SCOPE(all)
    {
        for (int i = 0; i < 20; i++)
            sl_go(transact, store);
    }
    CHECK(pool_of(store)->count == 1);
}

/* A read beside a transaction takes a second connection. */
FEW_TEST(a_read_beside_a_transaction, 2)
{
    work(store);
    CHECK(pool_of(store)->count == 2 && pool_of(store)->most == 8);
}

static void *begin_one(void *data)
{
    sl_store *store = data;
    return BEGIN();
}

FEW_TEST(more_are_taken_when_there_are_more, 2)
{
    sl__connection *held[4] = {BEGIN(), BEGIN()};
    sl_deferred *third = sl_spawn(begin_one, store), *fourth = sl_spawn(begin_one, store);
    UNTIL(pool_of(store)->most == 2 && pool_of(store)->waiters.first);
    allow(8);
    held[2] = sl_await(third);
    held[3] = sl_await(fourth); /* at once, as there was a third */
    for (int i = 0; i < 4; i++)
        OK(driver->commit(held[i]));
    CHECK(pool_of(store)->count == 4);
}

FEW_TEST(a_line_that_comes_back_is_taken, 1)
{
    sl__connection *c = BEGIN();
    sl_deferred *other = sl_spawn(begin_one, store);
    UNTIL(pool_of(store)->waiters.first);
    OK(driver->commit(c));
    OK(driver->commit(sl_await(other)));
    CHECK(pool_of(store)->count == 1);
}

FEW_TEST(a_deadline_says_what_there_was, 1)
{
    sl__connection *c = BEGIN(), *other = NULL;
    sl__begin late = {.deadline = sl_loop_now(sl_loop_current()) + 200, .site = SL_HERE};
    FAILS(driver->begin(store, &late, &other), SL_EBUDGET, "all 1 connections that the server has for it");
    OK(driver->commit(c));
    allow(0);
    end_all(store);
    late.deadline = sl_loop_now(sl_loop_current()) + 200;
    FAILS(driver->begin(store, &late, &other), SL_EBUDGET, "the server had no connection for it in time");
}

FEW_TEST(none_at_all_is_waited_for, 1)
{
    allow(0);
    end_all(store);
    sl_deferred *one = sl_spawn(begin_one, store);
    UNTIL(pool_of(store)->none_since);
    allow(1);
    OK(driver->commit(sl_await(one)));
    CHECK(!pool_of(store)->none_since);
}

static void *begin_in_vain(void *data)
{
    sl__connection *c = NULL;
    sl_error *error = driver->begin(data, &(sl__begin){.site = SL_HERE}, &c);
    CHECK(error && error->code == SL_EDATABASE && strstr(error->message, "too many connections for role") &&
          strstr(error->message, "the server had no connection for it"));
    CHECK(strstr(error->hint, "max_connections") && strstr(error->hint, "the option connections (here 8)"));
    /* What libpq was told to say for us is not for the user. */
    CHECK(!strstr(error->message, "53300") && !strstr(error->cause->message, "53300"));
    CHECK(!error->cause->detail || !strstr(error->cause->detail, ".c:"));
    sl_error_unref(error);
    return NULL;
}

FEW_TEST(none_at_all_fails_in_the_end, 1)
{
    allow(0);
    end_all(store);
    SL_SCOPE(all)
    {
        for (int i = 0; i < 10; i++)
            sl_go(begin_in_vain, store);
    }
    CHECK(pool_of(store)->count == 0 && !pool_of(store)->waiters.first);
    allow(1);
    CHECK(read_number(store, "SELECT 3") == 3);
}

static void *begin_until_closed(void *data)
{
    sl__connection *c = NULL;
    FAILS(driver->begin(data, &(sl__begin){.site = SL_HERE}, &c), SL_ECLOSED, "closed");
    return NULL;
}

FEW_TEST(closing_ends_the_wait, 1)
{
    allow(0);
    end_all(store);
    sl_deferred *one = sl_spawn(begin_until_closed, store);
    UNTIL(pool_of(store)->none_since && pool_of(store)->waiters.first);
    driver->close(store);
    sl_await(one);
}

int main(void)
{
    postgres_server_need(.fsync = false);
    postgres_server_psql("CREATE ROLE few LOGIN");
    snprintf(few_url, sizeof few_url, "host=%s user=few dbname=postgres connect_timeout=2",
             postgres_server_directory());
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(many_tasks_share_what_there_is),
        cmocka_unit_test(one_is_enough),
        cmocka_unit_test(a_read_beside_a_transaction),
        cmocka_unit_test(more_are_taken_when_there_are_more),
        cmocka_unit_test(a_line_that_comes_back_is_taken),
        cmocka_unit_test(a_deadline_says_what_there_was),
        cmocka_unit_test(none_at_all_is_waited_for),
        cmocka_unit_test(none_at_all_fails_in_the_end),
        cmocka_unit_test(closing_ends_the_wait),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
