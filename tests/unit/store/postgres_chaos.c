/* The PostgreSQL driver when everything happens at once: tasks transfer, read, stream, lend and sleep, are
 * cancelled and late, while somebody ends their connections. Whatever fails, no money is made or lost, each
 * read gets its own answer, and in the end all connections are at rest. */
#include "postgres_test.h"

#include <silver/io.h>

enum { ACCOUNTS = 50, MONEY = 100, TASKS = 30, DEEDS = 60, KILLS = 40 };

typedef struct actor {
    sl_store *store;
    uint64_t state;
    int deeds;
} actor;

/* xorshift64: each actor does the same in each run; how they meet differs. */
static unsigned dice(actor *a, unsigned sides)
{
    a->state ^= a->state << 13;
    a->state ^= a->state >> 7;
    a->state ^= a->state << 17;
    return (unsigned)(a->state >> 33) % sides;
}

/* What may go wrong here does. */
static bool went_well(sl_error *error)
{
    if (!error)
        return true;
    bool expected = error->code == SL_EDISCONNECTED || error->code == SL_ECONFLICT ||
                    error->code == SL_EBUDGET || error->code == SL_ECANCELED || error->code == SL_ETIMEDOUT ||
                    error->code == SL_EDATABASE;
    if (!expected) {
        fprintf(stderr, "%s\n", sl_error_text(error));
        abort();
    }
    sl_error_unref(error);
    return false;
}

static bool begin(actor *a, const sl__begin *how, sl__connection **ret_connection)
{
    return went_well(driver->begin(a->store, how, ret_connection));
}

static void finish(sl__connection *c, bool good)
{
    if (good)
        (void)went_well(driver->commit(c));
    else
        driver->rollback(c);
}

static void transfer(actor *a)
{
    sl__connection *c;
    if (!begin(a, &(sl__begin){.site = SL_HERE, .serializable = dice(a, 4) == 0}, &c))
        return;
    const sl_value from[] = {INTEGER(1 + dice(a, ACCOUNTS)), INTEGER(dice(a, 10))};
    const sl_value to[] = {INTEGER(1 + dice(a, ACCOUNTS)), from[1]};
    bool good = went_well(execute_with(c, "UPDATE accounts SET money = money - $2 WHERE id = $1", from, 2));
    if (good && dice(a, 5) == 0)
        good = went_well(execute(c, "SELECT 1 / 0"));
    good = good && went_well(execute_with(c, "UPDATE accounts SET money = money + $2 WHERE id = $1", to, 2));
    finish(c, good && dice(a, 10));
}

static void read_single(actor *a)
{
    sl__connection *c;
    int64_t value, id = 1 + dice(a, ACCOUNTS);
    if (!begin(a, &(sl__begin){.site = SL_HERE, .single = true}, &c))
        return;
    sl__statement s = statement_of("SELECT id FROM accounts WHERE id = $1", VALUES(INTEGER(id)));
    bool good = went_well(query(c, &s, &value));
    CHECK(!good || value == id);
    finish(c, good);
}

static void add_up(actor *a)
{
    sl__connection *c;
    int64_t sum;
    if (!begin(a, &(sl__begin){.site = SL_HERE, .read_only = true}, &c))
        return;
    sl__statement s = statement_of("SELECT sum(money)::bigint FROM accounts", NULL, 0);
    bool good = went_well(query(c, &s, &sum));
    CHECK(!good || sum == ACCOUNTS * MONEY);
    finish(c, good);
}

static void stream(actor *a)
{
    sl__connection *c;
    sl__cursor *cursor = NULL;
    int64_t value, steps = dice(a, 3000);
    bool row = true, good;
    sl__statement s = statement_of("SELECT generate_series(1, 2000)", NULL, 0);
    static const sl__field field = {.kind = SL_KIND_INTEGER, .name = "n"};
    s.quick = false;
    if (!begin(a, &(sl__begin){.site = SL_HERE, .single = dice(a, 2)}, &c))
        return;
    good = went_well(driver->run(c, &s, &cursor));
    for (int64_t i = 1; good && row && i < steps; i++) {
        uint64_t nulls = 0;
        if (!(good = went_well(driver->step(cursor, &row))) || !row)
            break;
        OK(driver->read(cursor, 0, &field, 1, &value, &nulls, NULL));
        CHECK(value == i);
    }
    if (dice(a, 2)) {
        driver->close_cursor(cursor);
        finish(c, good);
    } else { /* it may outlive the transaction */
        finish(c, good);
        driver->close_cursor(cursor);
    }
}

static void sleep_too_long(actor *a)
{
    sl__connection *c;
    sl__statement s = statement_of("SELECT 1 FROM pg_sleep(0.05)", NULL, 0);
    s.deadline = sl_loop_now(sl_loop_current()) + 1 + dice(a, 80);
    s.quick = dice(a, 2);
    if (!begin(a, &(sl__begin){.site = SL_HERE, .single = dice(a, 2)}, &c))
        return;
    finish(c, went_well(query(c, &s, NULL)));
}

static void look(void *connection, void *data)
{
    actor *a = data;
    const sl__libpq *pq = &pool_of(a->store)->pq;
    PGresult *result;
    if (pq->sendQuery(connection, "SELECT 1"))
        while ((result = pq->getResult(connection)))
            pq->clear(result);
}

static void lend(actor *a)
{
    sl__connection *c;
    if (!begin(a, &(sl__begin){.site = SL_HERE}, &c))
        return;
    bool good = dice(a, 2) || went_well(execute(c, "SELECT 2"));
    good = good && went_well(driver->lend(c, look, a));
    finish(c, good && went_well(execute(c, "SELECT 3")));
}

static void *do_something(void *data)
{
    static void (*const deeds[])(actor * a) = {transfer, transfer, read_single, read_single, add_up,
                                               stream,   lend,     read_single, transfer,    sleep_too_long};
    actor *a = data;
    deeds[dice(a, sl_array_size(deeds))](a);
    a->deeds++;
    return NULL;
}

static void *act(void *data)
{
    actor *a = data;
    for (int i = 0; i < DEEDS; i++)
        SL_SCRATCH()
        {
            sl_error *error = NULL;
            sl_deferred *deed = sl_spawn(do_something, a);
            if (dice(a, 5) == 0)
                sl_timeout(deed, 1 + dice(a, 20));
            sl_try(deed, &error);
        }
    return NULL;
}

static void *end_connections(void *data)
{
    static const char sql[] =
        "SELECT count(pg_terminate_backend(pid)) FROM (SELECT pid FROM pg_stat_activity "
        "WHERE application_name = 'chaos' AND pid <> pg_backend_pid() ORDER BY random() LIMIT 1) p";
    for (int i = 0; i < KILLS; i++) {
        postgres_server_psql(sql);
        sl_await(sl_sleep(10));
    }
    return NULL;
}

static bool at_rest(const sl__postgres *pool)
{
    unsigned idle = pool->shared && !pool->shared->first && !pool->shared->cancel;
    for (const sl__pg_line *line = pool->idle; line; line = line->next_idle)
        idle++;
    return idle == pool->count && pool->users == 1 && !pool->waiters.first;
}

static void run_chaos(sl_store *store, bool kill)
{
    static actor actors[TASKS];
    change(store, "DROP TABLE IF EXISTS accounts");
    change(store, "CREATE TABLE accounts (id bigint PRIMARY KEY, money bigint)");
    change(store, "INSERT INTO accounts SELECT g, 100 FROM generate_series(1, 50) g");
    SL_SCOPE(all)
    {
        for (unsigned i = 0; i < TASKS; i++) {
            actors[i] = (actor){.store = store, .state = UINT64_C(0x9E3779B97F4A7C15) * (i + 1)};
            sl_go(act, &actors[i]);
        }
        if (kill)
            sl_go(end_connections, store);
    }
    UNTIL(at_rest(pool_of(store)));
    CHECK(read_number(store, "SELECT sum(money)::bigint FROM accounts") == ACCOUNTS * MONEY);
    CHECK(read_number(store, "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'chaos' AND "
                             "state LIKE 'idle in transaction%'") == 0);
}

STORE_TEST(much_at_once, 4)
{
    run_chaos(store, /* kill= */ false);
    CHECK(pool_of(store)->count <= 4);
}

STORE_TEST(much_at_once_while_connections_end, 4)
{
    run_chaos(store, /* kill= */ true);
}

STORE_TEST(much_at_once_on_one_connection, 1)
{
    run_chaos(store, /* kill= */ true);
    CHECK(pool_of(store)->count == 1);
}

/* ---- What was acknowledged ----------------------------------------------------------------------------- */

enum { WRITERS = 100, ROWS_EACH = 40, ROWS = WRITERS * ROWS_EACH, COPIED = 3, RESTARTS = 6 };

typedef enum verdict { NEVER, ACKNOWLEDGED, FAILED, UNKNOWN } verdict;
static verdict verdicts[ROWS];
static int judged[4], next_row;

/* Row `id`, by INSERT or COPY, of which there are COPIED then. */
static sl_error *put_row(sl__connection *c, int64_t id)
{
    static const char sql[] = "COPY kept (id) FROM STDIN";
    const sl_value values[COPIED] = {INTEGER(id), INTEGER(id), INTEGER(id)};
    int64_t stored;
    if (id % 3 == 0)
        return sl__postgres_copy(c, sql, sizeof sql - 1, values, 1, COPIED, &stored);
    for (int i = 0; i < COPIED; i++) {
        sl_error *error = execute_with(c, "INSERT INTO kept VALUES ($1)", values, 1);
        if (error)
            return error;
    }
    return NULL;
}

static verdict judge(sl_error *error)
{
    bool unknown = error && strstr(error->message, "it is unknown whether the transaction was committed");
    bool known = !error || error->code == SL_EDISCONNECTED || error->code == SL_EDATABASE;
    if (!known)
        fprintf(stderr, "%s\n", sl_error_text(error));
    CHECK(known && (!unknown || error->code == SL_EDISCONNECTED));
    verdict found = !error ? ACKNOWLEDGED : unknown ? UNKNOWN : FAILED;
    sl_error_unref(error);
    return found;
}

/* Where there is no server just now it is tried again. */
static sl__connection *begin_at_last(sl_store *store)
{
    sl__connection *c = NULL;
    while (!c) {
        sl_error *error = driver->begin(store, &(sl__begin){.site = SL_HERE}, &c);
        if (!error)
            break;
        CHECK(error->code == SL_EDATABASE && error->hint);
        sl_error_unref(error);
        sl_await(sl_sleep(5));
    }
    return c;
}

static void *write_rows(void *data)
{
    sl_store *store = data;
    while (next_row < ROWS) {
        int id = next_row++;
        sl__connection *c = begin_at_last(store);
        sl_error *error = put_row(c, id);
        if (error)
            driver->rollback(c);
        else
            error = driver->commit(c);
        judged[verdicts[id] = judge(error)]++;
    }
    return NULL;
}

static sl_result stop_server(void *data)
{
    postgres_server_stop(*(int *)data);
    return sl_ok(NULL);
}

static sl_result start_server(void *data)
{
    postgres_server_again();
    return sl_ok(NULL);
}

static void *restart_server(void *data)
{
    static int signals[] = {SIGINT, SIGQUIT, SIGKILL};
    for (int i = 1; i <= RESTARTS; i++) {
        while (next_row < i * ROWS / (RESTARTS + 1))
            sl_await(sl_sleep(1));
        sl_await(sl_in_thread(stop_server, &signals[i % 3], NULL));
        sl_await(sl_in_thread(start_server, NULL, NULL));
    }
    return NULL;
}

static void check_rows(sl_store *store)
{
    sl__connection *c = begin_at_last(store);
    for (int i = 0; i < ROWS; i++) {
        sl__statement s = statement_of("SELECT count(*) FROM kept WHERE id = $1", VALUES(INTEGER(i)));
        int64_t found;
        OK(query(c, &s, &found));
        CHECK(found == 0 || found == COPIED);
        CHECK(verdicts[i] != NEVER && (verdicts[i] != ACKNOWLEDGED || found) &&
              (verdicts[i] != FAILED || !found));
    }
    OK(driver->commit(c));
}

STORE_TEST(what_was_acknowledged_outlives_restarts, 8)
{
    change(store, "CREATE TABLE kept (id bigint)");
    SL_SCOPE(all)
    {
        for (int i = 0; i < WRITERS; i++)
            sl_go(write_rows, store);
        sl_go(restart_server, NULL);
    }
    UNTIL(at_rest(pool_of(store)));
    change(store, "CREATE INDEX ON kept (id)");
    check_rows(store);
    printf("%d acknowledged, %d failed, %d unknown\n", judged[ACKNOWLEDGED], judged[FAILED], judged[UNKNOWN]);
}

int main(void)
{
    postgres_server_need(.fsync = false, .settings = {"deadlock_timeout=20ms"});
    setenv("PGAPPNAME", "chaos", 1);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(much_at_once),
        cmocka_unit_test(much_at_once_while_connections_end),
        cmocka_unit_test(much_at_once_on_one_connection),
        cmocka_unit_test(what_was_acknowledged_outlives_restarts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
