/* The PostgreSQL driver: transactions, failures, the pool. */
#include "postgres_test.h"

#include <silver/io.h>

static int64_t syncs(sl_store *store)
{
    return (int64_t)pool_of(store)->counts.syncs;
}

static int64_t backend_of(sl__connection *c)
{
    return number(c, "SELECT pg_backend_pid()");
}

/* As somebody else would: not over the store's own connections. */
static void terminate(int64_t pid)
{
    char sql[80];
    snprintf(sql, sizeof sql, "SELECT pg_terminate_backend(%lld, 10000)", (long long)pid);
    CHECK(strcmp(postgres_server_psql(sql), "t") == 0);
}

/* ---- Commit and rollback ------------------------------------------------------------------------------- */

STORE_TEST(commits_and_rolls_back, 3)
{
    change(store, "CREATE TABLE plain (id bigint PRIMARY KEY, name text)");
    sl__connection *c = BEGIN();
    CHECK(c->writer && c->driver == driver && c->store == store);
    OK(execute_with(c, "INSERT INTO plain VALUES ($1, $2)", VALUES(INTEGER(1), TEXT("one"))));
    OK(driver->commit(c));
    c = BEGIN();
    OK(execute_with(c, "INSERT INTO plain VALUES ($1, $2)", VALUES(INTEGER(2), TEXT("two"))));
    driver->rollback(c);
    CHECK(read_number(store, "SELECT count(*) FROM plain") == 1);
    CHECK(read_number(store, "SELECT id FROM plain") == 1);
}

STORE_TEST(says_nothing_without_need, 3)
{
    CHECK(read_number(store, "SELECT 1") == 1);
    OK(driver->commit(BEGIN())); /* both connections are made */
    UNTIL(pool_of(store)->idle);
    int64_t before = syncs(store);
    OK(driver->commit(BEGIN()));
    OK(driver->commit(BEGIN(.read_only = true)));
    driver->rollback(BEGIN());
    OK(driver->commit(BEGIN(.single = true)));
    CHECK(syncs(store) == before);

    /* BEGIN goes out with the first statement; the second sends nothing that would not be needed without it.
     */
    sl__connection *c = BEGIN();
    CHECK(number(c, "SELECT 2") == 2);
    CHECK(syncs(store) == before + 1);
    CHECK(number(c, "SELECT 3") == 3);
    CHECK(syncs(store) == before + 2);
    OK(driver->commit(c));
    CHECK(syncs(store) == before + 3);

    /* Statements that are run together are sent together. */
    const sl__statement first = statement_of("SELECT 4", NULL, 0), second = statement_of("SELECT 5", NULL, 0);
    sl__cursor *a, *b;
    bool row;
    c = BEGIN();
    OK(driver->run(c, &first, &a));
    OK(driver->run(c, &second, &b));
    OK(driver->step(b, &row));
    CHECK(row);
    OK(driver->step(a, &row));
    CHECK(row);
    driver->close_cursor(a);
    driver->close_cursor(b);
    CHECK(syncs(store) == before + 4);
    driver->rollback(c);
}

STORE_TEST(levels_are_as_asked, 3)
{
    sl__connection *c = BEGIN();
    CHECK(number(c, "SELECT (current_setting('transaction_isolation') = 'read committed')::int") == 1);
    CHECK(number(c, "SELECT (current_setting('TimeZone') = 'UTC')::int") == 1);
    OK(driver->commit(c));
    c = BEGIN(.serializable = true, .read_only = true);
    CHECK(!c->writer);
    CHECK(number(c, "SELECT (current_setting('transaction_isolation') = 'serializable')::int") == 1);
    FAILS(driver->become_writer(c, &(sl__begin){.site = SL_HERE}), SL_EINVAL, "only read");
    FAILS(execute(c, "CREATE TABLE never (id int)"), SL_EDATABASE, "read-only transaction");
    driver->rollback(c);
    c = BEGIN();
    OK(driver->become_writer(c, &(sl__begin){.site = SL_HERE}));
    driver->rollback(c);
}

STORE_TEST(commit_of_a_failed_transaction_fails, 3)
{
    change(store, "CREATE TABLE lost (id bigint PRIMARY KEY)");
    sl__connection *c = BEGIN();
    OK(execute(c, "INSERT INTO lost VALUES (1)"));
    FAILS(execute(c, "INSERT INTO lost VALUES (1)"), SL_EEXIST, "lost_pkey");
    /* What comes after is told why it cannot be. */
    FAILS(execute(c, "INSERT INTO lost VALUES (2)"), SL_EEXIST, "had failed");
    sl_error *error = driver->commit(c);
    CHECK(error && error->code == SL_EEXIST && strstr(error->message, "rolled back and not committed"));
    CHECK(error->cause && strstr(error->cause->message, "lost_pkey"));
    sl_error_unref(error);
    CHECK(read_number(store, "SELECT count(*) FROM lost") == 0);

    /* Also when nobody looked at the statement that failed. */
    const sl__statement bad = statement_of("INSERT INTO lost VALUES (1), (1)", NULL, 0);
    sl__cursor *cursor;
    c = BEGIN();
    OK(execute(c, "INSERT INTO lost VALUES (3)"));
    OK(driver->run(c, &bad, &cursor));
    driver->close_cursor(cursor);
    FAILS(driver->commit(c), SL_EEXIST, "rolled back and not committed");
    CHECK(read_number(store, "SELECT count(*) FROM lost") == 0);
}

STORE_TEST(a_savepoint_mends, 3)
{
    change(store, "CREATE TABLE mended (id bigint PRIMARY KEY)");
    sl__connection *c = BEGIN();
    OK(execute(c, "INSERT INTO mended VALUES (1)"));
    OK(execute(c, "SAVEPOINT one"));
    FAILS(execute(c, "INSERT INTO mended VALUES (1)"), SL_EEXIST, "mended_pkey");
    OK(execute(c, "ROLLBACK TO SAVEPOINT one"));
    OK(execute(c, "INSERT INTO mended VALUES (2)"));
    OK(driver->commit(c));
    CHECK(read_number(store, "SELECT count(*) FROM mended") == 2);

    /* A failure that nobody waited for does not take the way back with it. */
    const sl__statement bad = statement_of("INSERT INTO mended VALUES (1)", NULL, 0);
    sl__cursor *cursor;
    c = BEGIN();
    OK(execute(c, "SAVEPOINT one"));
    OK(driver->run(c, &bad, &cursor));
    driver->close_cursor(cursor);
    OK(execute(c, "ROLLBACK TO SAVEPOINT one"));
    OK(execute(c, "INSERT INTO mended VALUES (3)"));
    OK(driver->commit(c));
    CHECK(read_number(store, "SELECT count(*) FROM mended") == 3);
}

STORE_TEST(a_statement_must_not_end_the_transaction, 3)
{
    sl__connection *c = BEGIN();
    OK(execute(c, "SELECT 1"));
    OK(execute(c, "COMMIT"));
    FAILS(driver->commit(c), SL_EDATABASE, "ended the transaction");
    CHECK(read_number(store, "SELECT 1") == 1);
}

/* ---- What the server says ------------------------------------------------------------------------------ */

STORE_TEST(failures_have_codes, 3)
{
    change(store, "CREATE TABLE firm (id bigint PRIMARY KEY, name text CONSTRAINT one_name UNIQUE)");
    change(store,
           "CREATE TABLE worker (id bigint PRIMARY KEY, firm bigint CONSTRAINT of_firm REFERENCES firm, "
           "age int CONSTRAINT old_enough CHECK (age >= 16), name text NOT NULL)");
    change(store, "INSERT INTO firm VALUES (1, 'Ann & Co')");
    static const struct {
        const char *sql;
        int code;
        const char *text;
    } cases[] = {
        {"INSERT INTO firm VALUES (2, 'Ann & Co')", SL_EEXIST, "constraint \"one_name\""},
        {"INSERT INTO firm VALUES (2, 'Ann & Co')", SL_EEXIST, "table firm"},
        {"INSERT INTO firm VALUES (2, 'Ann & Co')", SL_EEXIST, "Key (name)=(Ann & Co) already exists"},
        {"INSERT INTO worker VALUES (1, 7, 20, 'x')", SL_ECONSTRAINT, "constraint of_firm"},
        {"INSERT INTO worker VALUES (1, 1, 3, 'x')", SL_ECONSTRAINT, "old_enough"},
        {"INSERT INTO worker VALUES (1, 1, 20, NULL)", SL_ECONSTRAINT, "column name"},
        {"SELEKT 1", SL_EDATABASE, "in: SELEKT 1"},
        {"SELECT nothing FROM firm", SL_EDATABASE, "SQLSTATE 42703"},
        {"SELECT * FROM nowhere", SL_EDATABASE, "store pg: relation \"nowhere\" does not exist"},
        {"SELECT 1 / 0", SL_EDATABASE, "division by zero"},
    };
    for (size_t i = 0; i < sl_array_size(cases); i++)
        for (int shaped = 0; shaped < 2; shaped++) {
            sl__statement s = statement_of(cases[i].sql, NULL, 0);
            s.shape = shaped ? s.shape : 0;
            sl__connection *c = BEGIN();
            FAILS(query(c, &s, NULL), cases[i].code, cases[i].text);
            driver->rollback(c);
        }
    sl__connection *c = BEGIN();
    sl_error *error = execute(c, "SELECT * FROM nowhere");
    CHECK(error && error->hint && strstr(error->hint, "migrate"));
    CHECK(strstr(error->origin->file, "postgres_test.h")); /* the statement's site */
    sl_error_unref(error);
    driver->rollback(c);
}

STORE_TEST(a_deferred_constraint_fails_the_commit, 3)
{
    change(store, "CREATE TABLE parent (id bigint PRIMARY KEY)");
    change(store, "CREATE TABLE child (parent bigint REFERENCES parent DEFERRABLE INITIALLY DEFERRED)");
    sl__connection *c = BEGIN();
    OK(execute(c, "INSERT INTO child VALUES (9)"));
    FAILS(driver->commit(c), SL_ECONSTRAINT, "child_parent_fkey");
    CHECK(read_number(store, "SELECT count(*) FROM child") == 0);
}

STORE_TEST(serialization_failures_are_conflicts, 3)
{
    change(store, "CREATE TABLE dots (id bigint PRIMARY KEY, colour text)");
    change(store, "INSERT INTO dots SELECT g, CASE WHEN g % 2 = 0 THEN 'black' ELSE 'white' END FROM "
                  "generate_series(1, 10) g");
    sl__connection *a = BEGIN(.serializable = true), *b = BEGIN(.serializable = true);
    OK(execute(a, "UPDATE dots SET colour = 'black' WHERE colour = 'white'"));
    OK(execute(b, "UPDATE dots SET colour = 'white' WHERE colour = 'black'"));
    OK(driver->commit(a));
    FAILS(driver->commit(b), SL_ECONFLICT, "could not serialize");
    CHECK(read_number(store, "SELECT count(*) FROM dots WHERE colour = 'black'") == 10);
}

static void *lock_second(void *data)
{
    sl__connection *c = data;
    sl_error *error = execute(c, "UPDATE knots SET n = n + 1 WHERE id = 2");
    if (error)
        driver->rollback(c);
    else
        OK(driver->commit(c));
    return error;
}

STORE_TEST(a_dead_lock_is_a_conflict, 3)
{
    change(store, "CREATE TABLE knots (id bigint PRIMARY KEY, n bigint)");
    change(store, "INSERT INTO knots VALUES (1, 0), (2, 0)");
    sl__connection *a = BEGIN(), *b = BEGIN();
    OK(execute(a, "UPDATE knots SET n = n + 1 WHERE id = 1"));
    OK(execute(b, "UPDATE knots SET n = n + 1 WHERE id = 2"));
    sl_deferred *other = sl_spawn(lock_second, a);
    sl_error *mine = execute(b, "UPDATE knots SET n = n + 1 WHERE id = 1");
    if (mine)
        driver->rollback(b);
    else
        OK(driver->commit(b));
    sl_error *others = sl_await(other);
    CHECK(!mine != !others);
    FAILS(mine ? mine : others, SL_ECONFLICT, "deadlock detected");
    CHECK(read_number(store, "SELECT sum(n) FROM knots") == 2);
}

STORE_TEST(a_lock_that_does_not_come_is_busy, 3)
{
    change(store, "CREATE TABLE held (id bigint PRIMARY KEY)");
    change(store, "INSERT INTO held VALUES (1)");
    sl__connection *a = BEGIN(), *b = BEGIN();
    OK(execute(a, "SELECT id FROM held FOR UPDATE"));
    FAILS(execute(b, "SELECT id FROM held FOR UPDATE NOWAIT"), SL_EBUSY, "could not obtain lock");
    driver->rollback(b);
    driver->rollback(a);
}

/* ---- Two-phase commit ---------------------------------------------------------------------------------- */

STORE_TEST(prepared_transactions_wait_for_their_decision, 3)
{
    change(store, "CREATE TABLE phases (id bigint PRIMARY KEY)");
    for (int64_t i = 1; i <= 2; i++) {
        sl__connection *c = BEGIN();
        OK(execute_with(c, "INSERT INTO phases VALUES ($1)", VALUES(INTEGER(i))));
        OK(driver->prepare(c, i == 1 ? "it's the first" : "second"));
    }
    CHECK(read_number(store,
                      "SELECT count(*) FROM pg_prepared_xacts WHERE gid IN ('it''s the first', 'second')") ==
          2);
    CHECK(read_number(store, "SELECT count(*) FROM phases") == 0);
    OK(driver->decide(store, "it's the first", /* commit= */ true));
    OK(driver->decide(store, "second", /* commit= */ false));
    CHECK(read_number(store, "SELECT sum(id) FROM phases") == 1);
    CHECK(read_number(store, "SELECT count(*) FROM pg_prepared_xacts") == 0);
    /* Once more, as recovery may: there is no such any more. */
    OK(driver->decide(store, "it's the first", /* commit= */ true));
    OK(driver->decide(store, "second", /* commit= */ false));
    OK(driver->decide(store, "never", /* commit= */ false));
}

STORE_TEST(a_failed_transaction_is_not_prepared, 3)
{
    sl__connection *c = BEGIN();
    FAILS(execute(c, "SELECT 1 / 0"), SL_EDATABASE, "division");
    FAILS(driver->prepare(c, "broken"), SL_EDATABASE, "rolled back and not prepared");
    OK(driver->prepare(BEGIN(), "empty")); /* one that did nothing can be */
    FAILS(driver->prepare(BEGIN(), "empty"), SL_EDATABASE, "already in use");
    OK(driver->decide(store, "empty", /* commit= */ true));
    FAILS(driver->prepare(BEGIN(), ""), SL_EINVAL, "1 to 199 bytes");
    FAILS(driver->prepare(BEGIN(.single = true), "single"), SL_EINVAL, "single");
    CHECK(read_number(store, "SELECT count(*) FROM pg_prepared_xacts") == 0);
}

/* ---- The pool ---------------------------------------------------------------------------------------- */

typedef struct turn {
    sl_store *store;
    int number, *order, *count;
} turn;

static void *take_turn(void *data)
{
    turn *t = data;
    sl_store *store = t->store;
    sl__connection *c = BEGIN();
    t->order[(*t->count)++] = t->number;
    OK(execute(c, "SELECT 1"));
    OK(driver->commit(c));
    return NULL;
}

STORE_TEST(transactions_wait_in_order, 1)
{
    enum { TURNS = 20 };
    turn turns[TURNS];
    int order[TURNS], count = 0;
    SL_SCOPE(all)
    {
        sl__connection *c = BEGIN();
        for (int i = 0; i < TURNS; i++) {
            turns[i] = (turn){store, i, order, &count};
            sl_go(take_turn, &turns[i]);
        }
        sl_await(sl_sleep(20));
        CHECK(count == 0);
        OK(execute(c, "SELECT 1"));
        OK(driver->commit(c));
    }
    for (int i = 0; i < TURNS; i++)
        CHECK(order[i] == i);
    CHECK(pool_of(store)->counts.connects == 1);
}

STORE_TEST(waiting_has_a_deadline, 1)
{
    sl__connection *c = BEGIN(), *other = NULL;
    const sl__begin late = {.deadline = sl_loop_now(sl_loop_current()) + 20, .site = SL_HERE};
    FAILS(driver->begin(store, &late, &other), SL_EBUDGET, "all 1 connections were in use");
    OK(driver->commit(c));
    c = BEGIN();
    OK(execute(c, "SELECT 1"));
    OK(driver->commit(c));
}

static void *begin_and_commit(void *data)
{
    sl_store *store = data;
    sl__connection *c = BEGIN();
    OK(execute(c, "SELECT 1"));
    OK(driver->commit(c));
    return NULL;
}

STORE_TEST(an_open_pool_can_be_given_another_limit, 1)
{
    sl_store_options options = {.connections = 2};
    sl__connection *c = BEGIN(), *other = NULL;
    OK(execute(c, "SELECT 1"));
    sl_deferred *waits = sl_spawn(begin_and_commit, store);
    sl_await(sl_sleep(20));
    store->options = &options;
    driver->configured(store);
    sl_await(waits); /* who waited has it */
    other = BEGIN();
    OK(execute(other, "SELECT 1"));
    options.connections = 1;
    driver->configured(store);
    const sl__begin late = {.deadline = sl_loop_now(sl_loop_current()) + 20, .site = SL_HERE};
    sl__connection *third = NULL;
    FAILS(driver->begin(store, &late, &third), SL_EBUDGET, "all 1 connections were in use");
    OK(driver->commit(c));
    OK(driver->commit(other));
}

static void *wait_in_vain(void *data)
{
    sl__connection *c = NULL;
    sl_error *error = driver->begin(data, &(sl__begin){.site = SL_HERE}, &c);
    CHECK(error && error->code == SL_ECANCELED);
    sl_fail_error(error);
}

STORE_TEST(a_cancelled_waiter_takes_nothing, 1)
{
    sl__connection *c = BEGIN();
    sl_deferred *waiter = sl_spawn(wait_in_vain, store);
    sl_await(sl_sleep(5));
    sl_deferred_unref(waiter);
    OK(driver->commit(c));
    for (int i = 0; i < 3; i++)
        OK(driver->commit(BEGIN()));
}

STORE_TEST(an_idle_connection_that_was_closed_is_noticed, 2)
{
    sl__connection *c = BEGIN();
    int64_t pid = backend_of(c);
    OK(driver->commit(c));
    UNTIL(pool_of(store)->idle);
    terminate(pid);
    /* At the next look at it, */
    c = BEGIN();
    CHECK(backend_of(c) != pid);
    pid = backend_of(c);
    OK(driver->commit(c));
    UNTIL(pool_of(store)->idle);
    terminate(pid);
    /* or by the loop, which sees the socket. */
    UNTIL(pool_of(store)->count == 0);
    CHECK(!pool_of(store)->idle && !pool_of(store)->lines);
    c = BEGIN();
    OK(execute(c, "SELECT 1"));
    OK(driver->commit(c));
}

STORE_TEST(a_lost_connection_fails_its_transaction, 2)
{
    change(store, "CREATE TABLE half (id bigint)");
    sl__connection *c = BEGIN();
    OK(execute(c, "INSERT INTO half VALUES (1)"));
    terminate(backend_of(c));
    FAILS(execute(c, "INSERT INTO half VALUES (2)"), SL_EDISCONNECTED, "administrator command");
    FAILS(execute(c, "INSERT INTO half VALUES (3)"), SL_EDISCONNECTED, "lost");
    FAILS(driver->commit(c), SL_EDISCONNECTED, "lost");
    c = BEGIN();
    CHECK(number(c, "SELECT count(*) FROM half") == 0);
    terminate(backend_of(c));
    driver->rollback(c);
    CHECK(read_number(store, "SELECT count(*) FROM half") == 0);
}

static void *terminate_later(void *data)
{
    const char *asleep =
        "SELECT count(*) FROM pg_stat_activity WHERE query = 'COMMIT' AND wait_event = 'PgSleep'";
    while (strcmp(postgres_server_psql(asleep), "1") != 0)
        sl_await(sl_sleep(1));
    terminate((int64_t)(intptr_t)data);
    return NULL;
}

STORE_TEST(a_commit_without_an_answer_says_so, 2)
{
    change(store, "CREATE TABLE slow (id bigint)");
    change(store, "CREATE FUNCTION dawdle() RETURNS trigger LANGUAGE plpgsql AS "
                  "$$ BEGIN PERFORM pg_sleep(60); RETURN NULL; END $$");
    change(store, "CREATE CONSTRAINT TRIGGER dawdles AFTER INSERT ON slow DEFERRABLE INITIALLY DEFERRED "
                  "FOR EACH ROW EXECUTE FUNCTION dawdle()");
    SL_SCOPE(both)
    {
        sl__connection *c = BEGIN();
        OK(execute(c, "INSERT INTO slow VALUES (1)"));
        sl_go(terminate_later, (void *)(intptr_t)backend_of(c));
        FAILS(driver->commit(c), SL_EDISCONNECTED, "it is unknown whether the transaction was committed");
    }
    change(store, "DROP TABLE slow");
}

/* The server gets another one when it recovers from a crash. */
static int checkpointer(void)
{
    return atoi(postgres_server_psql("SELECT pid FROM pg_stat_activity WHERE backend_type = 'checkpointer'"));
}
static int checkpointer_before;

static void *kill_sleeper(void *data)
{
    checkpointer_before = checkpointer();
    const char *found = "";
    while (!*found) {
        sl_await(sl_sleep(1));
        found = postgres_server_psql("SELECT pid FROM pg_stat_activity WHERE wait_event = 'PgSleep'");
    }
    CHECK(kill(atoi(found), SIGKILL) == 0);
    return NULL;
}

/* The server's crash recovery closes all other connections. It begins when the server hears of the death, and
 * until then there can be new ones. */
static void wait_for_recovery(sl_store *store)
{
    bool up = false;
    for (int now = 0; !now || now == checkpointer_before; now = checkpointer())
        sl_await(sl_sleep(10));
    UNTIL(pool_of(store)->count == 0);
    while (!up) {
        sl__connection *c = NULL;
        sl_error *error = driver->begin(store, &(sl__begin){.site = SL_HERE}, &c);
        up = !error;
        sl_error_unref(error);
        if (up)
            driver->rollback(c);
        else
            sl_await(sl_sleep(10));
    }
}

/* No last words: nothing that was sent may pass for done. */
STORE_TEST(a_connection_dies_without_a_word, 3)
{
    change(store, "CREATE TABLE mute (id bigint)");
    change(store, "CREATE FUNCTION nap() RETURNS trigger LANGUAGE plpgsql AS "
                  "$$ BEGIN PERFORM pg_sleep(600); RETURN NULL; END $$");
    change(store, "CREATE CONSTRAINT TRIGGER naps AFTER INSERT ON mute DEFERRABLE INITIALLY DEFERRED "
                  "FOR EACH ROW EXECUTE FUNCTION nap()");
    for (int quick = 0; quick < 4; quick++)
        SL_SCOPE(both)
        {
            sl__statement s = statement_of("SELECT 1 FROM pg_sleep(600)", NULL, 0);
            s.quick = quick & 1;
            sl_go(kill_sleeper, NULL);
            sl__connection *c = BEGIN(.single = quick > 1);
            FAILS(query(c, &s, NULL), SL_EDISCONNECTED, "server closed the connection unexpectedly");
            driver->rollback(c);
            wait_for_recovery(store);
        }
    SL_SCOPE(both)
    {
        sl__connection *c = BEGIN();
        OK(execute(c, "INSERT INTO mute VALUES (1)"));
        sl_go(kill_sleeper, NULL);
        FAILS(driver->commit(c), SL_EDISCONNECTED, "it is unknown whether the transaction was committed");
        wait_for_recovery(store);
    }
    CHECK(read_number(store, "SELECT count(*) FROM mute") == 0);
}

STORE_TEST(the_pool_survives_a_crash_of_the_server, 3)
{
    change(store, "CREATE TABLE crash (id bigint)");
    sl__connection *c = BEGIN();
    OK(execute(c, "INSERT INTO crash VALUES (1)"));
    CHECK(read_number(store, "SELECT 1") == 1); /* the shared connection too */
    postgres_server_stop(SIGKILL);
    FAILS(execute(c, "INSERT INTO crash VALUES (2)"), SL_EDISCONNECTED, "lost");
    driver->rollback(c);
    UNTIL(pool_of(store)->count == 0);
    sl__connection *none = NULL;
    FAILS(driver->begin(store, &(sl__begin){.site = SL_HERE}, &none), SL_EDATABASE,
          "cannot connect to the database postgres");
    postgres_server_again();
    CHECK(read_number(store, "SELECT count(*) FROM crash") == 0);
    c = BEGIN();
    OK(execute(c, "INSERT INTO crash VALUES (3)"));
    OK(driver->commit(c));
    CHECK(read_number(store, "SELECT id FROM crash") == 3);
}

static pid_t postmaster(void)
{
    char path[128];
    int pid = 0;
    snprintf(path, sizeof path, "%s/data/postmaster.pid", postgres_server_directory());
    FILE *file = fopen(path, "re");
    CHECK(file && fscanf(file, "%d", &pid) == 1 && pid > 1);
    fclose(file);
    return pid;
}

static sl_result say_so(void *data)
{
    *(bool *)data = true;
    return sl_ok(NULL);
}

/* Cancelling needs a connection, which a frozen server never answers: files and names go on meanwhile. */
STORE_TEST(a_frozen_server_takes_no_threads, 8)
{
    enum { MANY = 8 };
    sl__connection *all[MANY];
    bool said = false;
    for (int i = 0; i < MANY; i++)
        OK(execute(all[i] = BEGIN(), "SELECT 1"));
    pid_t pid = postmaster();
    CHECK(kill(pid, SIGSTOP) == 0);
    for (int i = 0; i < MANY; i++) {
        sl__statement s = statement_of("SELECT 1 FROM pg_sleep(600)", NULL, 0);
        s.deadline = sl_loop_now(sl_loop_current()) + 10;
        FAILS(query(all[i], &s, NULL), SL_EBUDGET, "longer than it may");
        driver->rollback(all[i]);
    }
    sl_error *error = NULL;
    sl_try(sl_timeout(sl_in_thread(say_so, &said, NULL), 10000), &error);
    CHECK(!error && said);
    CHECK(kill(pid, SIGCONT) == 0);
    UNTIL(strcmp(postgres_server_psql("SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'"),
                 "0") == 0);
    CHECK(read_number(store, "SELECT 5") == 5);
}

STORE_TEST(closing_ends_what_is_open, 3)
{
    const sl__statement s = statement_of("SELECT generate_series(1, 3)", NULL, 0);
    sl__connection *c = BEGIN();
    sl__cursor *cursor, *late;
    bool row;
    OK(driver->run(c, &s, &cursor));
    OK(driver->step(cursor, &row));
    CHECK(row);
    OK(driver->run(c, &s, &late));
    driver->close(store);
    FAILS(driver->step(late, &row), SL_EDISCONNECTED, "closed");
    FAILS(execute(c, "SELECT 1"), SL_EDISCONNECTED, "");
    driver->rollback(c);
    driver->close_cursor(late);
    driver->close_cursor(cursor);
    FAILS(driver->begin(store, &(sl__begin){.site = SL_HERE}, &c), SL_ECLOSED, "not open");
}

/* ---- Connecting ---------------------------------------------------------------------------------------- */

static const char *cannot_open_hint = "";

static void cannot_open(const char *url, int code, const char *text)
{
    sl_store store = test_store(NULL);
    store.url = (char *)url;
    sl_error *error = driver->open(&store);
    char *all = error ? sl_error_text(error) : NULL;
    CHECK(error && error->code == code && strstr(error->message, text) && error->hint &&
          strstr(error->hint, cannot_open_hint));
    CHECK(!strstr(all, "geheim"));
    CHECK(!store.data);
    free(all);
    sl_error_unref(error);
}

static void *connecting_task(void *data)
{
    char url[200];
    cannot_open("host=/nonexistent dbname=x password=geheim", SL_EDATABASE, "at /nonexistent, port 5432");
    cannot_open("postgres://ann:geheim@localhost:1/x?connect_timeout=5", SL_EDATABASE,
                "database x of PostgreSQL at localhost");
    cannot_open("postgres://ann:geheim@127.0.0.1:1/x", SL_EDATABASE, "refused");
    cannot_open("host=nowhere.invalid dbname=x", SL_EDATABASE, "nowhere.invalid");
    cannot_open("postgres://ann:geheim@[::1/x", SL_EINVAL, "malformed");
    cannot_open("hots=x", SL_EINVAL, "invalid connection option \"hots\"");
    snprintf(url, sizeof url, "host=%s user=postgres dbname=nonesuch", postgres_server_directory());
    cannot_open(url, SL_EDATABASE, "\"nonesuch\" does not exist");
    snprintf(url, sizeof url, "host=%s user=nonesuch dbname=postgres", postgres_server_directory());
    cannot_open_hint = "CONFIG_PG_USER";
    cannot_open(url, SL_EDATABASE, "role \"nonesuch\" does not exist");
    cannot_open_hint = "";

    /* Of several hosts the first that answers is taken; a name among them is looked up by us. */
    snprintf(url, sizeof url, "host=localhost,%s port=1,5432 user=postgres dbname=postgres",
             postgres_server_directory());
    sl_store several = test_store(NULL), *store = &several;
    several.url = url;
    OK(driver->open(store));
    CHECK(read_number(store, "SELECT 7") == 7);
    driver->close(store);
    return NULL;
}

static void connecting_tells_what_is_wrong(void **state)
{
    assert_int_equal(sl_run("connecting", connecting_task, NULL, NULL), 0);
}

int main(void)
{
    postgres_server_need(.fsync = false, .settings = {"deadlock_timeout=50ms"});
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(commits_and_rolls_back),
        cmocka_unit_test(says_nothing_without_need),
        cmocka_unit_test(levels_are_as_asked),
        cmocka_unit_test(commit_of_a_failed_transaction_fails),
        cmocka_unit_test(a_savepoint_mends),
        cmocka_unit_test(a_statement_must_not_end_the_transaction),
        cmocka_unit_test(failures_have_codes),
        cmocka_unit_test(a_deferred_constraint_fails_the_commit),
        cmocka_unit_test(serialization_failures_are_conflicts),
        cmocka_unit_test(a_dead_lock_is_a_conflict),
        cmocka_unit_test(a_lock_that_does_not_come_is_busy),
        cmocka_unit_test(prepared_transactions_wait_for_their_decision),
        cmocka_unit_test(a_failed_transaction_is_not_prepared),
        cmocka_unit_test(transactions_wait_in_order),
        cmocka_unit_test(waiting_has_a_deadline),
        cmocka_unit_test(an_open_pool_can_be_given_another_limit),
        cmocka_unit_test(a_cancelled_waiter_takes_nothing),
        cmocka_unit_test(an_idle_connection_that_was_closed_is_noticed),
        cmocka_unit_test(a_lost_connection_fails_its_transaction),
        cmocka_unit_test(a_commit_without_an_answer_says_so),
        cmocka_unit_test(a_connection_dies_without_a_word),
        cmocka_unit_test(the_pool_survives_a_crash_of_the_server),
        cmocka_unit_test(a_frozen_server_takes_no_threads),
        cmocka_unit_test(closing_ends_what_is_open),
        cmocka_unit_test(connecting_tells_what_is_wrong),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
