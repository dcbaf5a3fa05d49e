/* The PostgreSQL driver: a connection lent to others, and COPY. */
#include "postgres_test.h"

#include <jansson.h>

/* ---- Lending ------------------------------------------------------------------------------------------- */

typedef struct stranger {
    const sl__libpq *pq; /* as another library would have it */
    const char *sql;
    int64_t pid;
    bool called, fails;
    int seen; /* PQTRANS_… at the beginning */
} stranger;

/* Works as blocking libraries do. */
static void strangers_work(void *connection, void *data)
{
    stranger *s = data;
    PGconn *conn = connection;
    s->called = true;
    s->pid = s->pq->backendPID(conn);
    s->seen = s->pq->transactionStatus(conn);
    if (s->sql) {
        CHECK(s->pq->sendQuery(conn, s->sql));
        PGresult *result;
        while ((result = s->pq->getResult(conn)))
            s->pq->clear(result);
    }
    if (s->fails)
        sl_fail(SL_EFAILED, "the stranger fails");
}

STORE_TEST(strangers_work_in_the_transaction, 2)
{
    change(store, "CREATE TABLE common (id bigint)");
    sl__connection *c = BEGIN();
    OK(execute(c, "INSERT INTO common VALUES (1)"));
    stranger s = {.pq = &pool_of(store)->pq, .sql = "INSERT INTO common VALUES (2)"};
    int64_t pid = number(c, "SELECT pg_backend_pid()");
    OK(driver->lend(c, strangers_work, &s));
    CHECK(s.called && s.pid == pid && s.seen == PQTRANS_INTRANS);
    CHECK(number(c, "SELECT count(*) FROM common") == 2);
    OK(driver->commit(c));
    CHECK(read_number(store, "SELECT count(*) FROM common") == 2);

    /* Also before anything else was done in it, and what they did is rolled back with the rest. */
    c = BEGIN();
    OK(driver->lend(c, strangers_work, &s));
    CHECK(s.seen == PQTRANS_INTRANS);
    driver->rollback(c);
    CHECK(read_number(store, "SELECT count(*) FROM common") == 2);
}

/* Rows that were not stepped through are there afterwards. */
STORE_TEST(lending_waits_for_what_was_sent, 2)
{
    sl__statement many = statement_of("SELECT g FROM generate_series(1, 10000) g", NULL, 0);
    many.quick = false;
    static const sl__field field = {.kind = SL_KIND_INTEGER, .name = "g"};
    stranger s = {.pq = &pool_of(store)->pq, .sql = "SELECT 1"};
    sl__connection *c = BEGIN();
    sl__cursor *cursor;
    bool row;
    OK(driver->run(c, &many, &cursor));
    OK(driver->step(cursor, &row));
    OK(driver->lend(c, strangers_work, &s));
    for (int64_t i = 2; i <= 10000; i++) {
        int64_t value;
        uint64_t nulls = 0;
        OK(driver->step(cursor, &row));
        OK(driver->read(cursor, 0, &field, 1, &value, &nulls, NULL));
        CHECK(row && value == i);
    }
    driver->close_cursor(cursor);
    OK(driver->commit(c));
}

STORE_TEST(strangers_must_leave_it_in_order, 2)
{
    stranger s = {.pq = &pool_of(store)->pq};
    change(store, "CREATE TABLE order_of (id bigint)");

    s.sql = "COMMIT";
    sl__connection *c = BEGIN();
    FAILS(driver->lend(c, strangers_work, &s), SL_EDATABASE, "has ended the transaction");
    FAILS(execute(c, "SELECT 1"), SL_EDATABASE, "can only be rolled back");
    FAILS(driver->commit(c), SL_EDATABASE, "can only be rolled back");

    /* A failure can be mended by a savepoint, as any other. */
    s.sql = "SELECT 1 / 0";
    c = BEGIN();
    OK(execute(c, "INSERT INTO order_of VALUES (1)"));
    OK(execute(c, "SAVEPOINT before"));
    FAILS(driver->lend(c, strangers_work, &s), SL_EDATABASE, "lent to has failed");
    s.called = false;
    FAILS(driver->lend(c, strangers_work, &s), SL_EDATABASE, "the transaction has failed");
    CHECK(!s.called);
    OK(execute(c, "ROLLBACK TO before"));
    OK(driver->commit(c));
    CHECK(read_number(store, "SELECT count(*) FROM order_of") == 1);
    c = BEGIN();
    FAILS(driver->lend(c, strangers_work, &s), SL_EDATABASE, "lent to has failed");
    FAILS(driver->commit(c), SL_EDATABASE, "rolled back and not committed");

    s.sql = "SELECT pg_terminate_backend(pg_backend_pid())";
    c = BEGIN();
    FAILS(driver->lend(c, strangers_work, &s), SL_EDISCONNECTED, "lost");
    driver->rollback(c);
    FAILS(driver->lend(c = BEGIN(.single = true), strangers_work, &s), SL_EINVAL, "single read");
    driver->rollback(c);
    CHECK(read_number(store, "SELECT 1") == 1);
}

static void count_notices(void *data, const PGresult *result)
{
    ++*(int *)data;
}

static const sl__libpq *strangers_pq;

static void hear_notices(void *connection, void *data)
{
    strangers_pq->setNoticeReceiver(connection, count_notices, data);
}

/* They may be gone when the next one comes. */
STORE_TEST(strangers_hear_no_notices_afterwards, 1)
{
    int heard = 0;
    strangers_pq = &pool_of(store)->pq;
    sl__connection *c = BEGIN();
    OK(driver->lend(c, hear_notices, &heard));
    OK(execute(c, "DO $$ BEGIN RAISE NOTICE 'hello'; END $$"));
    OK(driver->commit(c));
    CHECK(!heard);
}

static void leave_it_busy(void *connection, void *data)
{
    CHECK(pool_of(data)->pq.sendQuery(connection, "SELECT pg_sleep(600)"));
}

STORE_TEST(a_statement_left_running_costs_the_connection, 2)
{
    sl__connection *c = BEGIN();
    FAILS(driver->lend(c, leave_it_busy, store), SL_EDATABASE, "left a statement running");
    driver->rollback(c);
    CHECK(read_number(store, "SELECT 3") == 3);
}

static int64_t sleeper;

static void leave_it_busy_and_stopped(void *connection, void *data)
{
    CHECK(kill((pid_t)sleeper, SIGSTOP) == 0);
    leave_it_busy(connection, data);
}

static bool is_interrupted(int64_t pid)
{
    char path[64], text[80];
    unsigned long long pending = 0;
    snprintf(path, sizeof path, "/proc/%lld/status", (long long)pid);
    FILE *file = fopen(path, "re");
    CHECK(file);
    while (fgets(text, sizeof text, file))
        if (sscanf(text, "ShdPnd: %llx", &pending) == 1)
            break;
    fclose(file);
    return pending & 1 << (SIGINT - 1);
}

/* The server ignores what comes before it has read the statement. */
STORE_TEST(it_is_cancelled_also_where_it_had_not_begun, 2)
{
    sl__connection *c = BEGIN();
    sleeper = number(c, "SELECT pg_backend_pid()");
    FAILS(driver->lend(c, leave_it_busy_and_stopped, store), SL_EDATABASE, "left a statement running");
    driver->rollback(c);
    UNTIL(is_interrupted(sleeper));
    CHECK(kill((pid_t)sleeper, SIGCONT) == 0);
    UNTIL(kill((pid_t)sleeper, 0) < 0);
}

static void *lend_and_fail(void *data)
{
    sl__connection *c = data;
    stranger s = {.pq = &pool_of(c->store)->pq, .sql = "CREATE TABLE unwound (id int)", .fails = true};
    (void)driver->lend(c, strangers_work, &s);
    CHECK(!"it does not return");
    return NULL;
}

/* The connection is good for a rollback after what unwound the stack. */
STORE_TEST(strangers_may_fail_by_exit, 1)
{
    sl__connection *c = BEGIN();
    sl_error *error = NULL;
    sl_try(sl_spawn(lend_and_fail, c), &error);
    CHECK(error && error->code == SL_EFAILED);
    OK(execute(c, "INSERT INTO unwound VALUES (1)"));
    driver->rollback(c);
    c = BEGIN();
    FAILS(execute(c, "SELECT * FROM unwound"), SL_EDATABASE, "unwound");
    driver->rollback(c);
    CHECK(pool_of(store)->counts.connects == 1);
}

/* What strangers set in the session does not stay; statements that they dropped are prepared anew. */
STORE_TEST(a_lent_session_is_tidied_up, 1)
{
    stranger s = {.pq = &pool_of(store)->pq,
                  .sql = "SET TimeZone TO 'Asia/Kolkata'; SET search_path TO nowhere"};
    sl__connection *c = BEGIN();
    CHECK(number(c, "SELECT (current_setting('TimeZone') = 'UTC')::int") == 1);
    OK(driver->lend(c, strangers_work, &s));
    OK(driver->commit(c));
    c = BEGIN();
    CHECK(number(c, "SELECT (current_setting('TimeZone') = 'UTC')::int") == 1);
    CHECK(number(c, "SELECT (current_setting('search_path') = 'nowhere')::int") == 0);
    s.sql = "DEALLOCATE ALL";
    OK(driver->lend(c, strangers_work, &s));
    OK(driver->commit(c));
    c = BEGIN();
    CHECK(number(c, "SELECT (current_setting('TimeZone') = 'UTC')::int") == 1);
    OK(driver->commit(c));
    CHECK(!pool_of(store)->nameless && pool_of(store)->counts.connects == 1);
}

/* What would make the next transaction work as somebody else, or on other tables. */
STORE_TEST(a_lent_session_is_nobodys, 1)
{
    change(store, "CREATE ROLE tenant");
    change(store, "CREATE TABLE shadowed (id bigint)");
    stranger s = {.pq = &pool_of(store)->pq,
                  .sql = "CREATE TEMP TABLE shadowed (other text); SELECT pg_advisory_lock(7); LISTEN news; "
                         "DECLARE held CURSOR WITH HOLD FOR SELECT 1; SET ROLE tenant"};
    sl__connection *c = BEGIN();
    int64_t pid = number(c, "SELECT pg_backend_pid()");
    OK(driver->lend(c, strangers_work, &s));
    CHECK(number(c, "SELECT (current_user = 'tenant')::int") == 1);
    OK(driver->commit(c));
    c = BEGIN();
    CHECK(number(c, "SELECT pg_backend_pid()") == pid);
    CHECK(number(c, "SELECT (current_user = 'tenant')::int") == 0);
    CHECK(number(c, "SELECT count(id) FROM shadowed") == 0);
    CHECK(number(c, "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'") == 0);
    CHECK(number(c, "SELECT count(*) FROM pg_listening_channels()") == 0);
    CHECK(number(c, "SELECT count(*) FROM pg_cursors WHERE is_holdable") == 0);
    OK(driver->commit(c));
    /* Also what was no stranger's. */
    c = BEGIN();
    OK(execute(c, "SET ROLE tenant"));
    OK(driver->commit(c));
    c = BEGIN();
    CHECK(number(c, "SELECT pg_backend_pid()") == pid);
    CHECK(number(c, "SELECT (current_user = 'tenant')::int") == 0);
    OK(driver->commit(c));
}

/* ---- COPY -------------------------------------------------------------------------------------------- */

static const char copy_sql[] = "COPY copied (n, r, t, b, f, ti, d, de, u, j) FROM STDIN";
enum { COLUMNS = 10 };

static void make_copied(sl_store *store)
{
    change(store, "DROP TABLE IF EXISTS copied");
    change(store, "CREATE TABLE copied (n int PRIMARY KEY, r double precision, t text, b bytea, f boolean, "
                  "ti timestamptz, "
                  "d date, de numeric(18, 2), u uuid, j jsonb)");
}

static void set_row(sl_value *row, int64_t n, json_t *json)
{
    const sl_value values[COLUMNS] = {
        INTEGER(n),
        {.kind = SL_KIND_REAL, .real = (double)n / 3},
        {.kind = SL_KIND_TEXT, .text = SL_VIEW("tab\t line\n back\\slash \r\\N ü")},
        {.kind = SL_KIND_BYTES, .text = {"\0\\\377", 3}},
        {.kind = SL_KIND_BOOLEAN, .boolean = n % 2},
        {.kind = SL_KIND_TIME, .integer = n == 1 ? INT64_C(-210866803200000000) : INT64_C(1795953600123456)},
        {.kind = SL_KIND_DATE, .date = {2026, 11, 29}},
        {.kind = SL_KIND_DECIMAL, .decimal = {-1205, 2}},
        {.kind = SL_KIND_UUID, .uuid = {{0xf8, 0x1d, 15}}},
        {.kind = SL_KIND_JSON, .json = json},
    };
    memcpy(row, values, sizeof values);
    if (n % 10 == 0)
        for (int i = 1; i < COLUMNS; i++)
            row[i].null = true;
}

STORE_TEST(copy_stores_rows, 2)
{
    enum { ROWS = 20000 };
    json_t *json = json_pack("{s:s}", "key", "line\n\"quoted\" \\ ü");
    sl_value *values = sl_calloc(ROWS * COLUMNS, sizeof *values);
    int64_t stored = 0;
    for (int64_t i = 0; i < ROWS; i++)
        set_row(values + i * COLUMNS, i + 1, json);
    make_copied(store);
    sl__connection *c = BEGIN();
    OK(execute(c, "INSERT INTO copied (n) VALUES (0)"));
    OK(sl__postgres_copy(c, copy_sql, sizeof copy_sql - 1, values, COLUMNS, ROWS, &stored));
    CHECK(stored == ROWS);
    CHECK(number(c, "SELECT count(*) FROM copied WHERE r IS NULL") == ROWS / 10 + 1);
    CHECK(number(c,
                 "SELECT count(*) FROM copied WHERE r = n::float8 / 3 AND t = E'tab\\t line\\n back\\\\slash "
                 "\\r\\\\N ü' AND "
                 "b = '\\x005cff' AND f = (n % 2 = 1) AND d = '2026-11-29' AND de = -12.05 AND "
                 "u = 'f81d0f00-0000-0000-0000-000000000000' AND j->>'key' = E'line\\n\"quoted\" \\\\ ü' AND "
                 "ti = CASE n WHEN 1 THEN '4714-11-24 00:00:00+00 BC' ELSE '2026-11-29 12:00:00.123456Z' "
                 "END::timestamptz") == ROWS - ROWS / 10);
    OK(driver->commit(c));
    CHECK(read_number(store, "SELECT count(*) FROM copied") == ROWS + 1);
    /* No rows at all, and as the first of a transaction. */
    c = BEGIN();
    OK(sl__postgres_copy(c, copy_sql, sizeof copy_sql - 1, values, COLUMNS, 0, &stored));
    CHECK(stored == 0);
    OK(driver->commit(c));
    free(values);
    json_decref(json);
}

STORE_TEST(copy_fails_as_statements_do, 2)
{
    enum { ROWS = 50000 };
    sl_value *values = sl_calloc(ROWS, sizeof *values);
    int64_t stored = -1;
    make_copied(store);
    static const char sql[] = "COPY copied (n) FROM STDIN";

    /* The server finds it wrong early, while much is still to be sent; then at the end. */
    for (int at = 5; at < ROWS; at += ROWS - 10) {
        for (int64_t i = 0; i < ROWS; i++)
            values[i] = INTEGER(i == at ? 1 : i);
        sl__connection *c = BEGIN();
        FAILS(sl__postgres_copy(c, sql, sizeof sql - 1, values, 1, ROWS, &stored), SL_EEXIST, "copied_pkey");
        FAILS(execute(c, "SELECT 1"), SL_EEXIST, "had failed");
        FAILS(driver->commit(c), SL_EEXIST, "rolled back");
    }
    values[1000] = TEXT("no number");
    sl__connection *c = BEGIN();
    OK(execute(c, "SAVEPOINT before"));
    FAILS(sl__postgres_copy(c, sql, sizeof sql - 1, values, 1, ROWS, &stored), SL_EDATABASE,
          "invalid input syntax");
    OK(execute(c, "ROLLBACK TO before"));
    OK(driver->commit(c));

    /* A value that cannot be sent is ours to find. */
    values[1000] = (sl_value){.kind = SL_KIND_DATE, .date = {2023, 2, 30}};
    c = BEGIN();
    FAILS(sl__postgres_copy(c, sql, sizeof sql - 1, values, 1, ROWS, &stored), SL_EINVAL,
          "value 1 of row 1001 is no date");
    FAILS(driver->commit(c), SL_EINVAL, "rolled back");

    static const char select[] = "SELECT 1", wrong[] = "COPY nowhere FROM STDIN";
    c = BEGIN();
    FAILS(sl__postgres_copy(c, select, sizeof select - 1, values, 1, 1, &stored), SL_EINVAL, "no COPY");
    driver->rollback(c);
    c = BEGIN();
    FAILS(sl__postgres_copy(c, wrong, sizeof wrong - 1, values, 1, 1, &stored), SL_EDATABASE, "nowhere");
    driver->rollback(c);
    CHECK(stored == -1);
    CHECK(read_number(store, "SELECT count(*) FROM copied") == 0);
    CHECK(pool_of(store)->counts.connects <= 2);
    free(values);
}

typedef struct copier {
    sl__connection *connection;
    sl_value *values;
    size_t rows;
} copier;

static void *copy_for_ever(void *data)
{
    static const char sql[] = "COPY held (n) FROM STDIN";
    copier *p = data;
    int64_t stored;
    sl_error *error = sl__postgres_copy(p->connection, sql, sizeof sql - 1, p->values, 1, p->rows, &stored);
    CHECK(error && error->code == SL_ECANCELED);
    driver->rollback(p->connection);
    sl_fail_error(error);
}

/* The server stops reading, because a trigger sleeps; the task is cancelled in the middle. */
STORE_TEST(a_cancelled_copy_is_undone, 2)
{
    change(store, "CREATE TABLE held (n int)");
    change(store, "CREATE FUNCTION hold() RETURNS trigger LANGUAGE plpgsql AS "
                  "$$ BEGIN IF NEW.n = 3 THEN PERFORM pg_sleep(600); END IF; RETURN NEW; END $$");
    change(store, "CREATE TRIGGER holds BEFORE INSERT ON held FOR EACH ROW EXECUTE FUNCTION hold()");
    copier p = {.connection = BEGIN(), .rows = 1000000};
    p.values = sl_calloc(p.rows, sizeof *p.values);
    for (size_t i = 0; i < p.rows; i++)
        p.values[i] = INTEGER((int64_t)i);
    sl_deferred *task = sl_spawn(copy_for_ever, &p);
    while (strcmp(postgres_server_psql("SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'"),
                  "1") != 0)
        sl_await(sl_sleep(1));
    sl_deferred_unref(task);
    UNTIL(strcmp(postgres_server_psql("SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'"),
                 "0") == 0);
    CHECK(read_number(store, "SELECT count(*) FROM held") == 0);
    free(p.values);
}

static void *copy_until_it_ends(void *data)
{
    static const char sql[] = "COPY left_alone (n) FROM STDIN";
    copier *p = data;
    int64_t stored;
    FAILS(sl__postgres_copy(p->connection, sql, sizeof sql - 1, p->values, 1, p->rows, &stored),
          SL_EDISCONNECTED, "the transaction has ended");
    return NULL;
}

static void *lend_until_it_ends(void *data)
{
    copier *p = data;
    stranger s = {0};
    FAILS(driver->lend(p->connection, strangers_work, &s), SL_EDISCONNECTED, "the transaction has ended");
    CHECK(!s.called);
    return NULL;
}

/* A task that its transaction left behind works on, in what is not there any more. */
STORE_TEST(a_transaction_may_end_while_others_use_its_line, 2)
{
    const char *sleeps = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'";
    change(store, "CREATE TABLE left_alone (n int)");
    change(store, "CREATE TRIGGER holds BEFORE INSERT ON left_alone FOR EACH ROW EXECUTE FUNCTION hold()");
    sl_value values[4] = {INTEGER(1), INTEGER(2), INTEGER(3), INTEGER(4)};
    for (int i = 0; i < 4; i++) {
        bool copies = i < 2, commits = i % 2;
        copier p = {.connection = BEGIN(), .values = values, .rows = 4};
        sl__statement s = statement_of("SELECT pg_sleep(600)", NULL, 0);
        sl__cursor *cursor = NULL;
        if (!copies)
            OK(driver->run(p.connection, &s, &cursor));
        sl_deferred *task = sl_spawn(copies ? copy_until_it_ends : lend_until_it_ends, &p);
        UNTIL(strcmp(postgres_server_psql(sleeps), "1") == 0);
        if (commits)
            FAILS(driver->commit(p.connection), SL_EBUSY, "");
        else
            driver->rollback(p.connection);
        sl_await(task);
        driver->close_cursor(cursor);
        UNTIL(strcmp(postgres_server_psql(sleeps), "0") == 0);
    }
    CHECK(read_number(store, "SELECT count(*) FROM left_alone") == 0);
    UNTIL(pool_of(store)->users == 1);
}

int main(void)
{
    postgres_server_need(.fsync = false);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(strangers_work_in_the_transaction),
        cmocka_unit_test(lending_waits_for_what_was_sent),
        cmocka_unit_test(strangers_must_leave_it_in_order),
        cmocka_unit_test(a_statement_left_running_costs_the_connection),
        cmocka_unit_test(it_is_cancelled_also_where_it_had_not_begun),
        cmocka_unit_test(strangers_may_fail_by_exit),
        cmocka_unit_test(strangers_hear_no_notices_afterwards),
        cmocka_unit_test(a_lent_session_is_tidied_up),
        cmocka_unit_test(a_lent_session_is_nobodys),
        cmocka_unit_test(copy_stores_rows),
        cmocka_unit_test(copy_fails_as_statements_do),
        cmocka_unit_test(a_cancelled_copy_is_undone),
        cmocka_unit_test(a_transaction_may_end_while_others_use_its_line),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
