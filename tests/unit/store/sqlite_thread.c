/* The SQLite driver: statements that take long, and the loop meanwhile. */
#include "sqlite_check.h"

/* Numbers from 1 to ?1. */
#define NUMBERS "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?1) "
/* The same, and each takes some milliseconds. */
#define SLOW_NUMBERS                                                                                         \
    NUMBERS "SELECT i, 'row ' || i, (WITH RECURSIVE m (j) AS (SELECT i UNION ALL SELECT j + 1 FROM m WHERE " \
            "j < ?2)"                                                                                        \
            " SELECT count(*) FROM m) FROM n"
/* One row, after about as many steps. */
#define COUNT_TO NUMBERS "SELECT count(*) FROM n"
#define FOR_EVER INT64_C(1000000000000)

struct row {
    int64_t i;
    const char *text;
    uint64_t nulls;
};
static const sl__field fields[] = {
    {.kind = SL_KIND_INTEGER, .offset = offsetof(struct row, i), .bit = 0, .name = "i"},
    {.kind = SL_KIND_TEXT, .offset = offsetof(struct row, text), .bit = 1, .name = "text"},
};

/* What another task does meanwhile: it counts its turns. */
struct other {
    uint64_t turns;
    bool stop;
};
static void *count_turns(void *data)
{
    struct other *other = data;
    while (!other->stop) {
        other->turns++;
        sl_await(sl_sleep(1));
    }
    return NULL;
}

static bool went_into_a_thread(const sl__cursor *cursor)
{
    return ((const sl__sqlite_cursor *)cursor)->batch != NULL;
}

/* Rows "i" and "row i" from 1 to count, each once. */
static void check_rows(sl__cursor *cursor, int64_t count, sl_arena *arena)
{
    const char **texts = sl_alloc(sizeof *texts * (size_t)count);
    int64_t i = 0;
    for (bool more = true;;) {
        OK(DRIVER->step(cursor, &more));
        if (!more)
            break;
        struct row row = {0};
        OK(DRIVER->read(cursor, 0, fields, 2, &row, &row.nulls, arena));
        i++;
        CHECK(i <= count && row.i == i && row.nulls == 0);
        CHECK(strncmp(row.text, "row ", 4) == 0 && atoll(row.text + 4) == i);
        CHECK(!DRIVER->is_null(cursor, 0) && DRIVER->is_null(cursor, 1000));
        texts[i - 1] = row.text;
    }
    CHECK(i == count && cursor->changed == count);
    for (int64_t j = 0; arena && j < count; j++)
        CHECK(atoll(texts[j] + 4) == j + 1);
}

TASK_TEST(long_queries_go_into_a_thread)
{
    open_store(NULL);
    for (int copied = 0; copied < 2; copied++) {
        struct other other = {0};
        sl_deferred *counts = sl_spawn(count_turns, &other);
        sl__connection *connection = READ();
        sl__statement select = STATEMENT(SLOW_NUMBERS, INTEGER(12), INTEGER(200000));
        sl__cursor *cursor;
        OK(DRIVER->run(connection, &select, &cursor));
        check_rows(cursor, 12, copied ? sl_task_arena() : NULL);
        CHECK(went_into_a_thread(cursor));
        DRIVER->close_cursor(cursor);
        OK(DRIVER->commit(connection));
        other.stop = true;
        sl_await(counts);
        CHECK(other.turns >= 5);
    }
    close_store();
    return NULL;
}

/* Rows that come fast are stepped through where they are, and others have their turns. */
TASK_TEST(many_rows_let_others_run)
{
    open_store(NULL);
    struct other other = {0};
    sl_deferred *counts = sl_spawn(count_turns, &other);
    sl__connection *connection = READ();
    sl__statement select = STATEMENT(NUMBERS "SELECT i, 'row ' || i FROM n", INTEGER(200000));
    sl__cursor *cursor;
    OK(DRIVER->run(connection, &select, &cursor));
    check_rows(cursor, 200000, NULL);
    DRIVER->close_cursor(cursor);
    DRIVER->rollback(connection);
    other.stop = true;
    sl_await(counts);
    CHECK(other.turns >= 5);
    close_store();
    return NULL;
}

/* The thread takes over in the middle: what was given is not given again. */
TASK_TEST(a_query_moves_in_the_middle)
{
    open_store(NULL);
    write_alone("CREATE TABLE a (i INTEGER PRIMARY KEY, text TEXT, cost INTEGER) STRICT");
    write_alone("WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000)"
                " INSERT INTO a SELECT i, 'row ' || i, (i = 700) * 1000000 FROM n");
    const char *sql =
        "SELECT i, text, (WITH RECURSIVE m (j) AS (SELECT 0 UNION ALL SELECT j + 1 FROM m WHERE j < cost)"
        " SELECT count(*) FROM m) FROM a ORDER BY i";
    sl__connection *connection = READ();
    sl__statement select = STATEMENT(sql);
    sl__cursor *cursor;
    OK(DRIVER->run(connection, &select, &cursor));
    CHECK(!went_into_a_thread(cursor));
    check_rows(cursor, 1000, NULL);
    CHECK(went_into_a_thread(cursor));
    DRIVER->close_cursor(cursor);

    /* From now on at once. */
    OK(DRIVER->run(connection, &select, &cursor));
    CHECK(went_into_a_thread(cursor));
    check_rows(cursor, 1000, sl_task_arena());
    DRIVER->close_cursor(cursor);
    DRIVER->rollback(connection);
    close_store();
    return NULL;
}

/* Where rows are written that were given already, running it again would not give the same. */
TASK_TEST(a_query_that_is_written_to_stays)
{
    open_store(NULL);
    write_alone("CREATE TABLE a (i INTEGER PRIMARY KEY, cost INTEGER) STRICT");
    write_alone("INSERT INTO a VALUES (1, 0), (2, 1000000), (3, 0)");
    sl__connection *connection = WRITE();
    sl__statement select =
        STATEMENT("SELECT i, (WITH RECURSIVE m (j) AS (SELECT 0 UNION ALL SELECT j + 1 FROM m WHERE j < cost)"
                  " SELECT count(*) FROM m) FROM a ORDER BY i");
    sl__cursor *cursor;
    bool more = false;
    OK(DRIVER->run(connection, &select, &cursor));
    for (int64_t i = 1; i <= 3; i++) {
        struct row row = {0};
        OK(DRIVER->step(cursor, &more));
        OK(DRIVER->read(cursor, 0, fields, 1, &row, &row.nulls, NULL));
        CHECK(more && row.i == i);
        if (i == 1)
            OK(QUICK(connection, "DELETE FROM a WHERE i = 1"));
    }
    OK(DRIVER->step(cursor, &more));
    CHECK(!more && !went_into_a_thread(cursor));
    DRIVER->close_cursor(cursor);
    OK(DRIVER->commit(connection));
    close_store();
    return NULL;
}

/* Whether it went into a thread. */
static bool count_in_thread(sl__connection *connection, int64_t to)
{
    sl__statement select = STATEMENT(COUNT_TO, INTEGER(to));
    struct row row = {0};
    sl__cursor *cursor;
    bool more;
    OK(DRIVER->run(connection, &select, &cursor));
    OK(DRIVER->step(cursor, &more));
    OK(DRIVER->read(cursor, 0, fields, 1, &row, &row.nulls, NULL));
    CHECK(more && row.i == to);
    OK(DRIVER->step(cursor, &more));
    CHECK(!more && cursor->changed == 1);
    bool in_thread = went_into_a_thread(cursor);
    DRIVER->close_cursor(cursor);
    return in_thread;
}

TASK_TEST(what_is_slow_is_remembered_until_it_is_not)
{
    open_store(NULL);
    sl__connection *connection = READ();
    CHECK(!count_in_thread(connection, 10));
    CHECK(count_in_thread(connection, 1000000));
    CHECK(count_in_thread(connection, 10));
    while (count_in_thread(connection, 10)) /* if this machine was too busy for that to be fast */
        sl_await(sl_sleep(1));
    DRIVER->rollback(connection);
    close_store();
    return NULL;
}

TASK_TEST(errors_come_back_from_the_thread)
{
    open_store(NULL);
    write_alone("CREATE TABLE a (i INTEGER PRIMARY KEY, x INTEGER UNIQUE)");
    sl__connection *connection = WRITE();
    sl__statement fails = STATEMENT(
        NUMBERS
        "SELECT i, CASE WHEN i < 300 THEN 'row ' || i ELSE abs(-9223372036854775807 - 1) END, "
        "(WITH RECURSIVE m (j) AS (SELECT 0 UNION ALL SELECT j + 1 FROM m WHERE j < (i = 1) * 1000000)"
        " SELECT count(*) FROM m) FROM n",
        INTEGER(500));
    sl__cursor *cursor;
    OK(DRIVER->run(connection, &fails, &cursor));
    CHECK(went_into_a_thread(cursor));
    bool more = false;
    for (int64_t i = 1; i < 300; i++) {
        OK(DRIVER->step(cursor, &more));
        CHECK(more);
    }
    FAILS(DRIVER->step(cursor, &more), SL_EDATABASE, "store main: integer overflow");
    DRIVER->close_cursor(cursor);
    sl__statement insert = STATEMENT(NUMBERS "INSERT INTO a SELECT i, i / 2 FROM n", INTEGER(1000));
    FAILS(run(connection, insert), SL_EEXIST, "UNIQUE constraint failed: a.x");
    CHECK(NUMBER(connection, "SELECT count(*) FROM a") == 0); /* the transaction goes on */
    FAILS(run(connection, STATEMENT("SELECT ?1", {.kind = SL_KIND_ENUM})), SL_EINVAL, "parameter 1");
    FAILS(run(connection, STATEMENT("UPDATE a SET x = ?1", {.kind = SL_KIND_ENUM})), SL_EINVAL,
          "parameter 1");
    OK(DRIVER->commit(connection));
    close_store();
    return NULL;
}

/* ---- Writing ------------------------------------------------------------------------------------------- */

TASK_TEST(bulk_writes_leave_the_loop_alone)
{
    open_store(NULL);
    write_alone("CREATE TABLE a (i INTEGER PRIMARY KEY, x INTEGER)");
    struct other other = {0};
    sl_deferred *counts = sl_spawn(count_turns, &other);
    sl__connection *connection = WRITE();
    int64_t changed = 0;
    sl__statement insert = STATEMENT(NUMBERS "INSERT INTO a SELECT i, 0 FROM n", INTEGER(200000));
    insert.writes = true;
    OK(run_counted(connection, &insert, &changed));
    CHECK(changed == 200000);
    sl__statement update = STATEMENT("UPDATE a SET x = i + 1");
    OK(run_counted(connection, &update, &changed));
    CHECK(changed == 200000);
    other.stop = true;
    sl_await(counts);
    CHECK(other.turns >= 5);
    OK(DRIVER->commit(connection));
    CHECK(READ_ALONE("SELECT sum(x - i) FROM a") == 200000);

    /* With rows that it gives back. */
    connection = WRITE();
    sl__statement remove = STATEMENT("DELETE FROM a WHERE i <= 1000 RETURNING i, 'row ' || i");
    sl__cursor *cursor;
    OK(DRIVER->run(connection, &remove, &cursor));
    CHECK(NUMBER(connection, "SELECT min(i) FROM a") == 1001);
    check_rows(cursor, 1000, NULL);
    DRIVER->close_cursor(cursor);
    OK(DRIVER->run(connection, &STATEMENT("DELETE FROM a WHERE i <= 3000 RETURNING i"), &cursor));
    DRIVER->close_cursor(cursor); /* nobody looks at them */
    OK(DRIVER->commit(connection));
    CHECK(READ_ALONE("SELECT min(i) FROM a") == 3001);
    close_store();
    return NULL;
}

/* The thread has copies of what it works with. */
static void *bulk_with_parameters(void *data)
{
    sl__connection *connection = WRITE();
    char text[] = "short lived";
    sl__statement insert =
        STATEMENT(NUMBERS "INSERT INTO a SELECT NULL, ?2 FROM n", INTEGER(100000), TEXT(text));
    sl__cursor *cursor = NULL;
    sl_error *error = DRIVER->run(connection, &insert, &cursor);
    CHECK(error && error->code == SL_ECANCELED);
    sl_error_unref(error);
    memset(text, 'x', sizeof text - 1);
    DRIVER->close_cursor(cursor);
    DRIVER->rollback(connection);
    return NULL;
}

TASK_TEST(cancelled_writes_are_undone)
{
    open_store(NULL);
    write_alone("CREATE TABLE a (i INTEGER PRIMARY KEY, x)");
    sl_deferred *task = sl_spawn(bulk_with_parameters, NULL);
    while (!inside()->jobs)
        sl_yield();
    sl_cancel(task);
    sl_error *error;
    sl_try(task, &error);
    write_alone("INSERT INTO a VALUES (1, 1)"); /* waits for the thread */
    CHECK(READ_ALONE("SELECT count(*) FROM a") == 1);
    close_store();
    return NULL;
}

TASK_TEST(writes_have_a_deadline)
{
    open_store(NULL);
    write_alone("CREATE TABLE a (i INTEGER PRIMARY KEY, x)");
    sl__connection *connection = WRITE();
    OK(QUICK(connection, "INSERT INTO a VALUES (NULL, 1)"));
    sl__statement insert = STATEMENT(NUMBERS "INSERT INTO a SELECT NULL, 1 FROM n", INTEGER(FOR_EVER));
    insert.deadline = sl_loop_now(sl_loop_current()) + 5;
    FAILS(run(connection, insert), SL_EBUDGET, "the statement was cancelled");
    FAILS(QUICK(connection, "INSERT INTO a VALUES (NULL, 2)"), SL_EDISCONNECTED, "interrupted");
    FAILS(DRIVER->commit(connection), SL_EDISCONNECTED, "interrupted");
    CHECK(READ_ALONE("SELECT count(*) FROM a") == 0);
    close_store();
    return NULL;
}

static void *insert_one(void *data)
{
    sl_error **ret_error = data;
    sl__connection *connection = WRITE();
    OK(QUICK(connection, "INSERT INTO a VALUES (NULL, 5)"));
    sl_yield();
    sl_yield();
    sl_yield();
    *ret_error = DRIVER->commit(connection);
    return NULL;
}

/* A guest of a group that begins with a long statement lets the others go first; one that has already written
 * takes them with it, and they may try again. */
TASK_TEST(others_in_the_group_are_safe_or_told)
{
    open_store(NULL);
    write_alone("CREATE TABLE a (i INTEGER PRIMARY KEY, x)");
    for (int wrote = 0; wrote < 2; wrote++) {
        sl_error *failed = NULL;
        sl_deferred *task = sl_spawn(insert_one, &failed);
        sl_yield();
        sl__connection *guest = WRITE();
        CHECK(((sl__sqlite_transaction *)guest)->part == SL__SQLITE_GUEST);
        if (wrote)
            OK(QUICK(guest, "INSERT INTO a VALUES (NULL, 6)"));
        sl__statement insert = STATEMENT(NUMBERS "INSERT INTO a SELECT NULL, 7 FROM n", INTEGER(FOR_EVER));
        insert.writes = true;
        insert.deadline = sl_loop_now(sl_loop_current()) + 20;
        FAILS(run(guest, insert), SL_EBUDGET, "cancelled");
        DRIVER->rollback(guest);
        sl_await(task);
        if (wrote)
            FAILS(failed, SL_ECONFLICT, "a statement of another transaction");
        else
            OK(failed);
        while (inside()->holder || inside()->jobs)
            sl_await(sl_sleep(1));
        CHECK(READ_ALONE("SELECT count(*) FROM a") == 1);
    }
    close_store();
    return NULL;
}

/* ---- Ends of all kinds --------------------------------------------------------------------------------- */

static void *count_for_ever(void *data)
{
    sl__connection *connection = data;
    sl__statement select = STATEMENT(COUNT_TO, INTEGER(FOR_EVER));
    sl__cursor *cursor = NULL;
    sl_error *error = DRIVER->run(connection, &select, &cursor);
    CHECK(error);
    DRIVER->close_cursor(cursor);
    DRIVER->rollback(connection);
    sl_fail_error(error);
}

TASK_TEST(long_queries_are_cancelled)
{
    open_store(NULL);
    options.connections = 1;
    for (int i = 0; i < 3; i++) {
        sl_deferred *task = sl_spawn(count_for_ever, BEGIN(.single = i == 1));
        while (!inside()->jobs)
            sl_yield();
        sl_cancel(task);
        CHECK_FAILS(task, SL_ECANCELED, "cancelled");
        CHECK(READ_ALONE("SELECT 1") == 1); /* the connection comes back */
        CHECK(inside()->readers == 0 && !inside()->jobs);
    }
    close_store();
    return NULL;
}

TASK_TEST(long_queries_have_a_deadline)
{
    open_store(NULL);
    sl__connection *connection = READ();
    sl__statement select = STATEMENT(COUNT_TO, INTEGER(FOR_EVER));
    for (int i = 0; i < 3; i++) { /* moving into a thread, and in one from the start */
        select.deadline = sl_loop_now(sl_loop_current()) + 10;
        FAILS(run(connection, select), SL_EBUDGET, "store main: the deadline passed before it was through");
        CHECK(NUMBER(connection, "SELECT 1") == 1); /* waits for the thread; what only read goes on */
    }
    select.deadline = 1;
    FAILS(run(connection, select), SL_EBUDGET, "the deadline passed");
    sl__statement rows = STATEMENT(NUMBERS "SELECT i FROM n", INTEGER(FOR_EVER));
    rows.deadline = sl_loop_now(sl_loop_current()) + 10;
    FAILS(run(connection, rows), SL_EBUDGET, "the deadline passed");
    DRIVER->rollback(connection);
    close_store();
    return NULL;
}

static void *read_for_ever(void *data)
{
    sl__connection *connection = READ();
    FAILS(run(connection, STATEMENT(NUMBERS "SELECT i FROM n", INTEGER(FOR_EVER))), SL_ECANCELED,
          "cancelled");
    DRIVER->rollback(connection);
    *(bool *)data = true;
    return NULL;
}

TASK_TEST(reading_rows_is_cancelled)
{
    open_store(NULL);
    bool ended = false;
    sl_deferred *task = sl_spawn(read_for_ever, &ended);
    for (int i = 0; i < 5; i++)
        sl_yield();
    sl_cancel(task);
    sl_error *error;
    sl_try(task, &error);
    while (!ended)
        sl_yield();
    CHECK(inside()->readers == 0);
    close_store();
    return NULL;
}

TASK_TEST(closing_waits_for_threads)
{
    for (int writes = 0; writes < 2; writes++) {
        open_store(NULL);
        write_alone("CREATE TABLE IF NOT EXISTS a (i INTEGER PRIMARY KEY, x)");
        sl_deferred *task = sl_spawn(count_for_ever, BEGIN(.writes = writes));
        while (!inside()->jobs)
            sl_yield();
        close_store();
        CHECK_FAILS(task, SL_ECLOSED, "was closed");
    }
    return NULL;
}

/* ---- Several at once ----------------------------------------------------------------------------------- */

struct counting {
    sl__connection *connection;
    int64_t to, result;
};

static void *count_to(void *data)
{
    struct counting *c = data;
    c->result = NUMBER(c->connection, COUNT_TO, INTEGER(c->to));
    return NULL;
}

static void *count_quickly(void *data)
{
    struct counting *c = data;
    sl__statement select = STATEMENT(COUNT_TO, INTEGER(c->to));
    select.quick = true;
    c->result = number_of(c->connection, select);
    return NULL;
}

/* Tasks that share a transaction wait for the thread that has its connection. */
TASK_TEST(tasks_share_a_connection)
{
    enum { COUNT = 12 };
    open_store(NULL);
    write_alone("CREATE TABLE a (i INTEGER PRIMARY KEY, x)");
    sl__connection *connection = WRITE();
    OK(QUICK(connection, "INSERT INTO a VALUES (1, 1), (2, 2), (3, 3)"));
    sl__cursor *cursor;
    bool more;
    sl__statement rows = STATEMENT("SELECT i FROM a");
    OK(DRIVER->run(connection, &rows, &cursor));
    OK(DRIVER->step(cursor, &more));
    struct counting counting[COUNT];
    sl_deferred *tasks[COUNT];
    for (int i = 0; i < COUNT; i++) {
        counting[i] = (struct counting){connection, i % 3 ? 50000 + i : i + 1, 0};
        tasks[i] = sl_spawn(i % 3 ? count_to : count_quickly, &counting[i]);
    }
    while (!inside()->jobs)
        sl_yield();
    OK(DRIVER->step(cursor, &more)); /* waits, too */
    CHECK(more);
    sl_await(sl_all(tasks, COUNT));
    for (int i = 0; i < COUNT; i++)
        CHECK(counting[i].result == counting[i].to);
    OK(DRIVER->step(cursor, &more));
    CHECK(more);
    OK(DRIVER->step(cursor, &more));
    CHECK(!more);
    DRIVER->close_cursor(cursor);
    OK(DRIVER->commit(connection));
    close_store();
    return NULL;
}

/* The transaction ends while a thread is at it, and its rows are closed after that. */
TASK_TEST(rolling_back_waits_for_the_thread)
{
    open_store(NULL);
    options.connections = 1;
    sl__connection *connection = READ();
    sl__cursor *cursor;
    sl__statement rows = STATEMENT(NUMBERS "SELECT i FROM n", INTEGER(10));
    OK(DRIVER->run(connection, &rows, &cursor));
    sl_deferred *task = sl_spawn(count_for_ever, connection);
    while (!inside()->jobs)
        sl_yield();
    sl_cancel(task); /* rolls back */
    CHECK_FAILS(task, SL_ECANCELED, "");
    while (inside()->readers)
        sl_await(sl_sleep(1));
    bool more;
    FAILS(DRIVER->step(cursor, &more), SL_EDISCONNECTED, "end reading before");
    DRIVER->close_cursor(cursor);
    close_store();
    return NULL;
}

TASK_TEST(threads_work_for_many)
{
    enum { COUNT = 20 };
    open_store(NULL);
    struct counting counting[COUNT];
    sl_deferred *tasks[COUNT];
    for (int i = 0; i < COUNT; i++)
        counting[i] = (struct counting){.to = 50000 + i};
    for (int round = 0; round < COUNT / 4; round++) {
        for (int i = 4 * round; i < 4 * round + 4; i++) {
            counting[i].connection = READ();
            tasks[i % 4] = sl_spawn(count_to, &counting[i]);
        }
        sl_await(sl_all(tasks, 4));
        for (int i = 4 * round; i < 4 * round + 4; i++) {
            CHECK(counting[i].result == counting[i].to);
            OK(DRIVER->commit(counting[i].connection));
        }
    }
    close_store();
    return NULL;
}

/* However many statements take long, commits find a thread. */
TASK_TEST(long_queries_leave_a_thread_for_commits)
{
    enum { COUNT = 8 };
    open_store(NULL);
    options.connections = COUNT;
    write_alone("CREATE TABLE a (i INTEGER PRIMARY KEY)");
    sl_deferred *tasks[COUNT];
    for (int i = 0; i < COUNT; i++)
        tasks[i] = sl_spawn(count_for_ever, READ());
    while (!inside()->queued)
        sl_await(sl_sleep(1));
    write_alone("INSERT INTO a VALUES (1)");
    for (int i = COUNT - 1; i >= 0; i -= 2) { /* some that have a thread, and some that wait for one */
        sl_cancel(tasks[i]);
        CHECK_FAILS(tasks[i], SL_ECANCELED, "cancelled");
    }
    write_alone("INSERT INTO a VALUES (2)");
    for (int i = 0; i < COUNT; i += 2) {
        sl_cancel(tasks[i]);
        CHECK_FAILS(tasks[i], SL_ECANCELED, "cancelled");
    }
    while (inside()->readers)
        sl_await(sl_sleep(1));
    CHECK(!inside()->jobs && !inside()->queued && inside()->in_threads == 0);

    for (int i = 0; i < COUNT; i++) /* and the store is closed over them */
        tasks[i] = sl_spawn(count_for_ever, READ());
    while (!inside()->queued)
        sl_await(sl_sleep(1));
    close_store();
    for (int i = 0; i < COUNT; i++) {
        sl_error *error;
        sl_try(tasks[i], &error);
        CHECK(error && (error->code == SL_ECLOSED || error->code == SL_EDISCONNECTED));
    }
    return NULL;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(long_queries_go_into_a_thread),
        TEST(many_rows_let_others_run),
        TEST(a_query_moves_in_the_middle),
        TEST(a_query_that_is_written_to_stays),
        TEST(what_is_slow_is_remembered_until_it_is_not),
        TEST(errors_come_back_from_the_thread),
        TEST(bulk_writes_leave_the_loop_alone),
        TEST(cancelled_writes_are_undone),
        TEST(writes_have_a_deadline),
        TEST(others_in_the_group_are_safe_or_told),
        TEST(long_queries_are_cancelled),
        TEST(long_queries_have_a_deadline),
        TEST(reading_rows_is_cancelled),
        TEST(closing_waits_for_threads),
        TEST(tasks_share_a_connection),
        TEST(rolling_back_waits_for_the_thread),
        TEST(threads_work_for_many),
        TEST(long_queries_leave_a_thread_for_commits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
