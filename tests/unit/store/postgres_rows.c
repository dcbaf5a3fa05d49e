/* The PostgreSQL driver: rows, large results, deadlines, what is left unfinished. */
#include "postgres_test.h"

static const sl__field integer_field = {.kind = SL_KIND_INTEGER, .name = "n"};

static int64_t value_of(sl__cursor *cursor)
{
    int64_t value = 0;
    uint64_t nulls = 0;
    OK(driver->read(cursor, 0, &integer_field, 1, &value, &nulls, NULL));
    return value;
}

static bool step(sl__cursor *cursor)
{
    bool row;
    OK(driver->step(cursor, &row));
    return row;
}

/* A statement that is not quick: its rows come one by one. */
static sl__statement slow(const char *sql)
{
    sl__statement s = statement_of(sql, NULL, 0);
    s.quick = false;
    return s;
}

static int waits_to_send(void)
{
    return atoi(
        postgres_server_psql("SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'ClientWrite'"));
}

#define HUGE "SELECT g, repeat('x', 100) FROM generate_series(1, 300000) g"

/* ---- Large results ------------------------------------------------------------------------------------- */

static size_t resident(void)
{
    long pages = 0, held = 0;
    FILE *file = fopen("/proc/self/statm", "re");
    CHECK(file && fscanf(file, "%ld %ld", &pages, &held) == 2);
    fclose(file);
    return (size_t)held * 4096;
}

STORE_TEST(a_large_result_is_never_in_memory, 2)
{
    const sl__statement s = slow(HUGE);
    sl__connection *c = BEGIN();
    sl__cursor *cursor;
    OK(driver->run(c, &s, &cursor));
    CHECK(step(cursor) && value_of(cursor) == 1);
    /* While nobody steps nothing is read, so that the server waits. */
    UNTIL(waits_to_send() == 1);
    size_t before = resident();
    for (int64_t i = 2; i <= 300000; i++)
        CHECK(step(cursor) && value_of(cursor) == i);
    CHECK(!step(cursor) && cursor->changed == 300000);
    CHECK(pool_of(store)->counts.kept == 0);
#if !defined(__SANITIZE_ADDRESS__)
    CHECK(resident() < before + ((size_t)4 << 20)); /* of 30 MB */
#endif
    (void)before;
    driver->close_cursor(cursor);
    OK(driver->commit(c));
}

/* The connection gives results in order: who wants a later one has those before it kept. */
STORE_TEST(rows_are_kept_for_who_steps_out_of_order, 2)
{
    const sl__statement many = slow("SELECT g, repeat('y', g % 50) FROM generate_series(1, 5000) g");
    sl__connection *c = BEGIN();
    sl__cursor *a, *b;
    OK(driver->run(c, &many, &a));
    for (int64_t i = 1; i <= 10; i++)
        CHECK(step(a) && value_of(a) == i);
    CHECK(number(c, "SELECT 77") == 77);
    CHECK(pool_of(store)->counts.kept > 4000);
    OK(driver->run(c, &many, &b));
    for (int64_t i = 11; i <= 5000; i++) {
        CHECK(step(a) && value_of(a) == i);
        if (i % 100 == 0)
            CHECK(step(b) && value_of(b) == i / 100);
    }
    CHECK(!step(a));
    for (int64_t i = 51; i <= 5000; i++)
        CHECK(step(b) && value_of(b) == i);
    CHECK(!step(b) && !step(b));
    driver->close_cursor(a);
    driver->close_cursor(b);
    OK(driver->commit(c));
}

STORE_TEST(a_failure_in_the_middle_of_rows, 2)
{
    const sl__statement s = slow("SELECT 1000 / (1000 - g) FROM generate_series(1, 2000) g");
    sl__connection *c = BEGIN();
    sl__cursor *cursor;
    bool row = true;
    int rows = 0;
    sl_error *error = NULL;
    OK(driver->run(c, &s, &cursor));
    while (!(error = driver->step(cursor, &row)) && row)
        rows++;
    CHECK(rows == 999 && !row);
    FAILS(error, SL_EDATABASE, "division by zero");
    CHECK(!step(cursor)); /* it is told once */
    driver->close_cursor(cursor);
    FAILS(driver->commit(c), SL_EDATABASE, "division by zero");
}

/* ---- What is left unfinished --------------------------------------------------------------------------- */

STORE_TEST(an_abandoned_cursor_is_drained, 2)
{
    const sl__statement s = slow(HUGE);
    sl__connection *c = BEGIN();
    sl__cursor *cursor;
    OK(driver->run(c, &s, &cursor));
    CHECK(step(cursor));
    driver->close_cursor(cursor);
    CHECK(number(c, "SELECT 5") == 5); /* the transaction goes on */
    OK(driver->run(c, &s, &cursor));
    driver->close_cursor(cursor);
    OK(driver->commit(c));
    CHECK(pool_of(store)->counts.kept == 0 && pool_of(store)->counts.cancels == 0);
}

STORE_TEST(an_abandoned_read_is_cancelled, 2)
{
    const sl__statement s = slow("SELECT generate_series(1, 100000000000)");
    sl__connection *c = BEGIN(.single = true);
    sl__cursor *cursor;
    OK(driver->run(c, &s, &cursor));
    CHECK(step(cursor));
    driver->close_cursor(cursor);
    OK(driver->commit(c));
    UNTIL(pool_of(store)->idle);
    CHECK(pool_of(store)->counts.cancels >= 1);
    CHECK(pool_of(store)->counts.connects == 1);
}

STORE_TEST(a_rollback_cancels_what_runs, 2)
{
    const sl__statement s = slow("SELECT 1 FROM pg_sleep(600)");
    sl__connection *c = BEGIN();
    sl__cursor *cursor;
    OK(execute(c, "CREATE TABLE undone (id int)"));
    OK(driver->run(c, &s, &cursor));
    sl_await(sl_sleep(5));
    driver->rollback(c);
    driver->close_cursor(cursor); /* may come later */
    UNTIL(pool_of(store)->idle);
    CHECK(pool_of(store)->counts.connects == 1);
    c = BEGIN();
    FAILS(execute(c, "SELECT * FROM undone"), SL_EDATABASE, "undone");
    driver->rollback(c);
}

/* ---- Deadlines and cancelled tasks --------------------------------------------------------------------- */

static int sleepers(void)
{
    return atoi(postgres_server_psql(
        "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND state = 'active'"));
}

STORE_TEST(a_deadline_cancels_on_the_server, 2)
{
    change(store, "CREATE TABLE timely (id int)");
    sl__connection *c = BEGIN();
    int64_t pid = number(c, "SELECT pg_backend_pid()");
    OK(execute(c, "INSERT INTO timely VALUES (1)"));
    sl__statement s = slow("SELECT 1 FROM pg_sleep(600)");
    s.deadline = sl_loop_now(sl_loop_current()) + 50;
    sl_error *error = query(c, &s, NULL);
    CHECK(error && strstr(error->detail, "pg_sleep(600)"));
    FAILS(error, SL_EBUDGET, "it took longer than it may");
    UNTIL(sleepers() == 0);
    /* It is good for nothing but its end. */
    FAILS(execute(c, "SELECT 1"), SL_EBUDGET, "can only be rolled back");
    FAILS(driver->commit(c), SL_EBUDGET, "can only be rolled back");
    UNTIL(pool_of(store)->idle);
    c = BEGIN();
    CHECK(number(c, "SELECT pg_backend_pid()") == pid); /* the connection lives on */
    CHECK(number(c, "SELECT count(*) FROM timely") == 0);
    OK(driver->commit(c));
}

/* A deadline that has passed already stops a statement too. */
STORE_TEST(a_deadline_of_the_past_is_one, 2)
{
    sl__statement s = slow("SELECT 1 FROM pg_sleep(600)");
    sl__connection *c = BEGIN();
    s.deadline = 1;
    FAILS(query(c, &s, NULL), SL_EBUDGET, "longer than it may");
    driver->rollback(c);
    UNTIL(pool_of(store)->idle);
    CHECK(sleepers() == 0);
}

static void *sleep_in_transaction(void *data)
{
    sl_store *store = data;
    sl__connection *c = BEGIN();
    sl_error *error = execute(c, "SELECT 1 FROM pg_sleep(600)");
    CHECK(error && error->code == SL_ECANCELED);
    driver->rollback(c);
    sl_fail_error(error);
}

STORE_TEST(a_cancelled_task_cancels_its_statement, 2)
{
    sl_deferred *task = sl_spawn(sleep_in_transaction, store);
    while (sleepers() == 0)
        sl_await(sl_sleep(1));
    sl_deferred_unref(task);
    UNTIL(sleepers() == 0 && pool_of(store)->idle);
    CHECK(pool_of(store)->counts.connects == 1);
}

static void *commit_in_scope(void *data)
{
    sl_store *store = data;
    sl__connection *c = BEGIN();
    OK(execute(c, "INSERT INTO kept VALUES (1)"));
    OK(driver->commit(c)); /* although the task is cancelled meanwhile */
    return NULL;
}

STORE_TEST(a_commit_under_way_is_not_cancelled, 2)
{
    change(store, "CREATE TABLE kept (id int)");
    change(store, "CREATE FUNCTION wait_a_bit() RETURNS trigger LANGUAGE plpgsql AS "
                  "$$ BEGIN PERFORM pg_sleep(0.2); RETURN NULL; END $$");
    change(store, "CREATE CONSTRAINT TRIGGER waits AFTER INSERT ON kept DEFERRABLE INITIALLY DEFERRED "
                  "FOR EACH ROW EXECUTE FUNCTION wait_a_bit()");
    sl_deferred *task = sl_spawn(commit_in_scope, store);
    while (sleepers() == 0)
        sl_await(sl_sleep(1));
    sl_deferred_unref(task);
    UNTIL(read_number(store, "SELECT count(*) FROM kept") == 1);
}

/* ---- Many statements ----------------------------------------------------------------------------------- */

/* All are sent before the first is looked at; the one that fails takes those after it along. */
STORE_TEST(statements_are_carried_out_in_order, 2)
{
    enum { COUNT = 500, BAD = 300 };
    change(store, "CREATE TABLE ordered (id bigint PRIMARY KEY, nth bigserial)");
    static sl__statement statements[COUNT];
    static sl_value values[COUNT];
    static sl__cursor *cursors[COUNT];
    for (int round = 0; round < 2; round++) {
        sl__connection *c = BEGIN();
        uint64_t syncs = pool_of(store)->counts.syncs;
        for (int i = 0; i < COUNT; i++) {
            values[i] = INTEGER(round && i == BAD ? 0 : i);
            statements[i] = statement_of("INSERT INTO ordered (id) VALUES ($1) RETURNING nth", &values[i], 1);
            OK(driver->run(c, &statements[i], &cursors[i]));
        }
        for (int i = 0; i < COUNT; i++) {
            bool row;
            sl_error *error = driver->step(cursors[i], &row);
            if (!round || i < BAD) {
                OK(error);
                CHECK(row && (round || value_of(cursors[i]) == i + 1));
            } else if (i == BAD) {
                FAILS(error, SL_EEXIST, "ordered_pkey");
            } else {
                CHECK(error && error->cause && strstr(error->cause->message, "ordered_pkey"));
                FAILS(error, SL_EEXIST, "not carried out, because the transaction had failed");
            }
            driver->close_cursor(cursors[i]);
        }
        CHECK(pool_of(store)->counts.syncs - syncs < 10);
        if (round)
            FAILS(driver->commit(c), SL_EEXIST, "rolled back");
        else
            OK(execute(c, "DELETE FROM ordered"));
        if (!round)
            OK(driver->commit(c));
    }
}

/* Client and server both have much to say: neither may wait for the other. */
STORE_TEST(both_sides_send_much, 2)
{
    size_t size = (size_t)2 << 20;
    char *data = sl_malloc(size);
    memset(data, 'z', size);
    const sl_value value = {.kind = SL_KIND_BYTES, .text = {data, size}};
    sl__statement s = statement_of("SELECT length($1), repeat('q', 2000000)", &value, 1);
    s.quick = false;
    sl__cursor *cursors[20];
    sl__connection *c = BEGIN();
    for (int i = 0; i < 20; i++)
        OK(driver->run(c, &s, &cursors[i]));
    for (int i = 19; i >= 0; i--) {
        CHECK(step(cursors[i]) && value_of(cursors[i]) == (int64_t)size);
        CHECK(!step(cursors[i]));
    }
    for (int i = 0; i < 20; i++)
        driver->close_cursor(cursors[i]);
    OK(driver->commit(c));
    free(data);
}

/* A table that changes under a prepared statement: the first statement of a transaction is run again; a later
 * one conflicts. */
STORE_TEST(stale_statements_are_prepared_again, 1)
{
    change(store, "CREATE TABLE stale (id bigint)");
    change(store, "INSERT INTO stale VALUES (1)");
    sl__connection *c = BEGIN();
    CHECK(number(c, "SELECT * FROM stale") == 1);
    OK(driver->commit(c));
    change(store, "ALTER TABLE stale ALTER id TYPE int");
    c = BEGIN();
    CHECK(number(c, "SELECT * FROM stale") == 1);
    OK(execute(c, "INSERT INTO stale VALUES (2)"));
    OK(driver->commit(c));
    CHECK(pool_of(store)->counts.resent == 1);
    change(store, "ALTER TABLE stale ALTER id TYPE bigint");
    c = BEGIN();
    OK(execute(c, "SELECT 1"));
    FAILS(execute(c, "SELECT * FROM stale"), SL_ECONFLICT, "prepared statement was lost");
    FAILS(driver->commit(c), SL_ECONFLICT, "rolled back");
    c = BEGIN();
    CHECK(number(c, "SELECT count(*) FROM stale") == 2);
    CHECK(number(c, "SELECT * FROM stale ORDER BY 1 DESC") == 1);
    OK(driver->commit(c));
    CHECK(!pool_of(store)->nameless);
}

STORE_TEST(statements_without_a_shape_are_not_kept, 2)
{
    sl__statement s = statement_of("SELECT 4", NULL, 0);
    int64_t value;
    s.shape = 0;
    sl__connection *c = BEGIN();
    OK(query(c, &s, &value));
    CHECK(value == 4 && pool_of(store)->counts.prepares == 0);
    CHECK(number(c, "SELECT count(*) FROM pg_prepared_statements") == 1); /* this one */
    OK(driver->commit(c));
}

STORE_TEST(copy_is_no_statement, 2)
{
    sl__connection *c = BEGIN();
    FAILS(execute(c, "COPY pg_class TO STDOUT"), SL_EDISCONNECTED, "lend the connection");
    driver->rollback(c);
    CHECK(read_number(store, "SELECT 5") == 5);
}

int main(void)
{
    postgres_server_need(.fsync = false);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_large_result_is_never_in_memory),
        cmocka_unit_test(rows_are_kept_for_who_steps_out_of_order),
        cmocka_unit_test(a_failure_in_the_middle_of_rows),
        cmocka_unit_test(an_abandoned_cursor_is_drained),
        cmocka_unit_test(an_abandoned_read_is_cancelled),
        cmocka_unit_test(a_rollback_cancels_what_runs),
        cmocka_unit_test(a_deadline_cancels_on_the_server),
        cmocka_unit_test(a_deadline_of_the_past_is_one),
        cmocka_unit_test(a_cancelled_task_cancels_its_statement),
        cmocka_unit_test(a_commit_under_way_is_not_cancelled),
        cmocka_unit_test(statements_are_carried_out_in_order),
        cmocka_unit_test(both_sides_send_much),
        cmocka_unit_test(stale_statements_are_prepared_again),
        cmocka_unit_test(statements_without_a_shape_are_not_kept),
        cmocka_unit_test(copy_is_no_statement),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
