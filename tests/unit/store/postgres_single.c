/* The PostgreSQL driver: single reads of many tasks on one connection. */
#include "postgres_test.h"

enum { TASKS = 100, READS = 20 };

typedef struct reader {
    sl_store *store;
    int number;
    int reads;  /* that succeeded */
    int broken; /* every so many reads one fails; 0: none */
    uint64_t deadline;
} reader;

/* One read of a value that says which it is; or one that fails. */
static void read_once(reader *r, int64_t key)
{
    sl_store *store = r->store;
    bool bad = r->broken && key % r->broken == 0;
    int64_t value;
    sl__statement s =
        statement_of(bad ? "SELECT n / 0 FROM singles WHERE id = $1" : "SELECT n FROM singles WHERE id = $1",
                     VALUES(INTEGER(key)));
    sl__connection *c = BEGIN(.single = true);
    sl_error *error = query(c, &s, &value);
    if (bad) {
        FAILS(error, SL_EDATABASE, "division by zero");
        driver->rollback(c);
        return;
    }
    OK(error);
    CHECK(value == key * 10);
    r->reads++;
    OK(driver->commit(c));
}

static void *read_many(void *data)
{
    reader *r = data;
    for (int i = 0; i < READS; i++)
        SL_SCRATCH()
        {
            read_once(r, 1 + (r->number * 7 + i * 31) % 1000);
        }
    return NULL;
}

static void fill(sl_store *store)
{
    change(store, "CREATE TABLE IF NOT EXISTS singles (id bigint PRIMARY KEY, n bigint)");
    change(store, "TRUNCATE singles");
    change(store, "INSERT INTO singles SELECT g, g * 10 FROM generate_series(1, 1000) g");
}

static int read_in_tasks(sl_store *store, int broken)
{
    reader readers[TASKS];
    int reads = 0;
    SL_SCOPE(all)
    {
        for (int i = 0; i < TASKS; i++) {
            readers[i] = (reader){.store = store, .number = i, .broken = broken};
            sl_go(read_many, &readers[i]);
        }
    }
    for (int i = 0; i < TASKS; i++)
        reads += readers[i].reads;
    return reads;
}

STORE_TEST(many_tasks_share_one_connection, 4)
{
    fill(store);
    UNTIL(pool_of(store)->idle);
    uint64_t syncs = pool_of(store)->counts.syncs, runs = pool_of(store)->counts.runs;
    CHECK(read_in_tasks(store, 0) == TASKS * READS);
    CHECK(pool_of(store)->counts.connects == 1 && pool_of(store)->shared);
    CHECK(pool_of(store)->counts.runs - runs == TASKS * READS);
    CHECK(pool_of(store)->counts.prepares <= 4);
    /* Whatever is wanted at the same time goes out together. */
    CHECK(pool_of(store)->counts.syncs - syncs < TASKS * READS / 4);
}

STORE_TEST(a_failure_hurts_nobody_else, 4)
{
    fill(store);
    int reads = read_in_tasks(store, 7);
    CHECK(reads > TASKS * READS / 2 && reads < TASKS * READS);
    CHECK(pool_of(store)->counts.resent > 0); /* some were behind one that failed */
    CHECK(pool_of(store)->shared && pool_of(store)->counts.connects == 1);
}

static void *read_misspelt(void *data)
{
    sl_store *store = data;
    sl__connection *c = BEGIN(.single = true);
    FAILS(execute(c, "SELEKT n FROM singles"), SL_EDATABASE, "in: SELEKT n FROM singles");
    driver->rollback(c);
    return NULL;
}

STORE_TEST(one_that_cannot_be_prepared_hurts_nobody_else, 4)
{
    fill(store);
    SL_SCOPE(all)
    {
        static reader readers[40];
        for (int i = 0; i < 40; i++) {
            readers[i] = (reader){.store = store, .number = i};
            if (i % 5 == 2)
                sl_go(read_misspelt, store);
            else
                sl_go(read_many, &readers[i]);
        }
    }
    CHECK(!pool_of(store)->nameless);
}

/* A wrong parameter is found before anything is sent. */
STORE_TEST(one_that_cannot_be_sent_fails_alone, 4)
{
    const sl_value bad = {.kind = SL_KIND_DATE, .date = {2023, 99, 1}};
    sl__connection *c = BEGIN(.single = true);
    FAILS(execute_with(c, "SELECT $1", &bad, 1), SL_EINVAL, "no date");
    driver->rollback(c);
    CHECK(read_number(store, "SELECT 5") == 5);
}

static void *read_slowly(void *data)
{
    reader *r = data;
    sl_store *store = r->store;
    sl__statement s = statement_of("SELECT 1 FROM pg_sleep(600)", NULL, 0);
    sl__connection *c = BEGIN(.single = true);
    s.deadline = r->deadline;
    sl_error *error = query(c, &s, NULL);
    driver->rollback(c);
    CHECK(error && (error->code == SL_EBUDGET || error->code == SL_ECANCELED));
    if (error->code == SL_ECANCELED)
        sl_fail_error(error);
    FAILS(error, SL_EBUDGET, "it took longer than it may");
    return NULL;
}

static int sleepers(void)
{
    return atoi(postgres_server_psql(
        "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND state = 'active'"));
}

/* What is behind it on the line is answered when the slow one was cancelled on the server. */
STORE_TEST(a_deadline_stops_one_and_not_the_others, 4)
{
    fill(store);
    SL_SCOPE(all)
    {
        reader slow = {.store = store, .deadline = sl_loop_now(sl_loop_current()) + 50};
        static reader readers[20];
        sl_go(read_slowly, &slow);
        sl_await(sl_sleep(10));
        for (int i = 0; i < 20; i++) {
            readers[i] = (reader){.store = store, .number = i};
            sl_go(read_many, &readers[i]);
        }
        sl_await(sl_sleep(0));
    }
    CHECK(pool_of(store)->counts.cancels >= 1);
    CHECK(pool_of(store)->counts.connects == 1);
    CHECK(sleepers() == 0);
}

STORE_TEST(a_cancelled_task_stops_its_read, 4)
{
    reader slow = {.store = store};
    sl_deferred *task = sl_spawn(read_slowly, &slow);
    while (sleepers() == 0)
        sl_await(sl_sleep(1));
    sl_deferred_unref(task);
    CHECK(read_number(store, "SELECT 6") == 6);
    CHECK(sleepers() == 0);
}

static void *read_until_lost(void *data)
{
    sl_store *store = data;
    sl__connection *c = BEGIN(.single = true);
    sl__statement s = statement_of("SELECT 1 FROM pg_sleep(600)", NULL, 0);
    FAILS(query(c, &s, NULL), SL_EDISCONNECTED, "lost");
    driver->rollback(c);
    return NULL;
}

STORE_TEST(a_lost_connection_fails_those_on_it, 4)
{
    SL_SCOPE(all)
    {
        for (int i = 0; i < 10; i++)
            sl_go(read_until_lost, store);
        while (sleepers() == 0)
            sl_await(sl_sleep(1));
        postgres_server_psql(
            "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE wait_event = 'PgSleep'");
    }
    CHECK(!pool_of(store)->shared);
    CHECK(read_number(store, "SELECT 7") == 7);
    CHECK(pool_of(store)->counts.connects == 2);
}

/* A read that may take long has a connection of its own, and no transaction around it. */
STORE_TEST(slow_reads_go_elsewhere, 4)
{
    sl__statement s = statement_of("SELECT pg_backend_pid()", NULL, 0);
    int64_t shared = 0, own = 0;
    sl__connection *c = BEGIN(.single = true);
    OK(query(c, &s, &shared));
    OK(driver->commit(c));
    s.quick = false;
    c = BEGIN(.single = true);
    OK(query(c, &s, &own));
    uint64_t syncs = pool_of(store)->counts.syncs;
    OK(driver->commit(c));
    CHECK(shared && own && shared != own);
    sl_await(sl_sleep(5));
    CHECK(pool_of(store)->counts.syncs == syncs);
}

static void *transact(void *data)
{
    reader *r = data;
    sl_store *store = r->store;
    for (int i = 0; i < READS; i++)
        SL_SCRATCH()
        {
            sl__connection *c = BEGIN();
            OK(execute_with(c, "UPDATE singles SET n = n WHERE id = $1", VALUES(INTEGER(r->number + 1))));
            OK(driver->commit(c));
            r->reads++;
        }
    return NULL;
}

/* With a single connection reads and transactions take turns, and neither starves. */
STORE_TEST(one_connection_is_enough_for_all, 1)
{
    fill(store);
    static reader readers[TASKS];
    SL_SCOPE(all)
    {
        for (int i = 0; i < TASKS; i++) {
            readers[i] = (reader){.store = store, .number = i};
            sl_go(i % 3 ? read_many : transact, &readers[i]);
        }
    }
    for (int i = 0; i < TASKS; i++)
        CHECK(readers[i].reads == READS);
    CHECK(pool_of(store)->counts.connects == 1);
}

/* A table that changes makes prepared reads stale: they are prepared anew. */
/* With the end of an implicit transaction something may fail though its statement was carried out. */
STORE_TEST(what_fails_at_the_end_of_a_read_hurts_nobody_else, 2)
{
    change(store, "CREATE TABLE at_end (id bigint)");
    change(store, "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS "
                  "$$ BEGIN RAISE 'at the end'; RETURN NULL; END $$");
    change(store, "CREATE CONSTRAINT TRIGGER refuses AFTER INSERT ON at_end DEFERRABLE INITIALLY DEFERRED "
                  "FOR EACH ROW EXECUTE FUNCTION refuse()");
    change(store, "CREATE FUNCTION writes() RETURNS bigint LANGUAGE sql AS "
                  "$$ INSERT INTO at_end VALUES (1) RETURNING id $$");
    for (int i = 0; i < 3; i++) {
        int64_t value;
        sl__connection *c = BEGIN(.single = true);
        sl__statement s = statement_of("SELECT writes()", NULL, 0);
        OK(query(c, &s, &value)); /* it is told in the log only: reads have no such end */
        driver->rollback(c);
        CHECK(read_number(store, "SELECT 4") == 4);
    }
    CHECK(read_number(store, "SELECT count(*) FROM at_end") == 0);
    CHECK(pool_of(store)->counts.connects <= 2);
}

STORE_TEST(a_changed_table_is_read_again, 4)
{
    fill(store);
    CHECK(read_number(store, "SELECT * FROM singles WHERE id = 3") == 3);
    change(store, "ALTER TABLE singles ALTER id TYPE int");
    CHECK(read_number(store, "SELECT * FROM singles WHERE id = 3") == 3);
    CHECK(pool_of(store)->counts.resent == 1);
    CHECK(read_number(store, "SELECT * FROM singles WHERE id = 3") == 3);
    CHECK(pool_of(store)->counts.resent == 1 && !pool_of(store)->nameless);
    change(store, "DROP TABLE singles");
}

STORE_TEST(prepared_statements_are_bounded, 4)
{
    char sql[300][32];
    for (int i = 0; i < 300; i++) {
        snprintf(sql[i], sizeof sql[i], "SELECT %d", i);
        CHECK(read_number(store, sql[i]) == i);
    }
    for (int i = 0; i < 300; i++)
        CHECK(read_number(store, sql[299 - i]) == 299 - i);
    CHECK(pool_of(store)->shared->cache.count <= SL__PG_PREPARED_MAX + 1);
    CHECK(pool_of(store)->counts.forgets >= 44);
    CHECK(read_number(store, "SELECT count(*) FROM pg_prepared_statements") <= SL__PG_PREPARED_MAX + 1);
}

static void *read_in_time(void *data)
{
    sl_store *store = data;
    sl__connection *c = BEGIN(.single = true);
    sl__statement s = statement_of("SELECT 1", NULL, 0);
    s.deadline = sl_loop_now(sl_loop_current()) + 50;
    sl_error *error = query(c, &s, NULL);
    bool failed = error;
    CHECK(!error || error->code == SL_EBUDGET || error->code == SL_EDISCONNECTED);
    sl_error_unref(error);
    driver->rollback(c);
    return failed ? data : NULL;
}

/* What all share must not be waited for for ever. */
STORE_TEST(a_frozen_connection_is_given_up, 4)
{
    pid_t pid = (pid_t)read_number(store, "SELECT pg_backend_pid()");
    CHECK(kill(pid, SIGSTOP) == 0);
    int failures = 0;
    while (sl_await(sl_spawn(read_in_time, store)))
        failures++;
    CHECK(failures);
    CHECK(read_number(store, "SELECT pg_backend_pid()") != pid);
    CHECK(kill(pid, SIGCONT) == 0);
}

static void *open_badly(void *data)
{
    sl_store *store = data;
    sl__connection *c = BEGIN(.single = true);
    sl__statement s = statement_of("SELECT 1", NULL, 0);
    FAILS(query(c, &s, NULL), SL_EDATABASE, "cannot connect");
    driver->rollback(c);
    return NULL;
}

STORE_TEST(all_hear_that_there_is_no_server, 4)
{
    postgres_server_stop(SIGINT);
    UNTIL(pool_of(store)->count == 0);
    SL_SCOPE(all)
    {
        for (int i = 0; i < 50; i++)
            sl_go(open_badly, store);
    }
    postgres_server_again();
    CHECK(read_number(store, "SELECT 8") == 8);
}

int main(void)
{
    postgres_server_need(.fsync = false);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(many_tasks_share_one_connection),
        cmocka_unit_test(a_failure_hurts_nobody_else),
        cmocka_unit_test(one_that_cannot_be_prepared_hurts_nobody_else),
        cmocka_unit_test(one_that_cannot_be_sent_fails_alone),
        cmocka_unit_test(a_deadline_stops_one_and_not_the_others),
        cmocka_unit_test(a_cancelled_task_stops_its_read),
        cmocka_unit_test(a_lost_connection_fails_those_on_it),
        cmocka_unit_test(slow_reads_go_elsewhere),
        cmocka_unit_test(one_connection_is_enough_for_all),
        cmocka_unit_test(what_fails_at_the_end_of_a_read_hurts_nobody_else),
        cmocka_unit_test(a_changed_table_is_read_again),
        cmocka_unit_test(prepared_statements_are_bounded),
        cmocka_unit_test(a_frozen_connection_is_given_up),
        cmocka_unit_test(all_hear_that_there_is_no_server),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
