/* The SQLite driver: several tasks at work in one transaction, which one of them may end. */
#include "sqlite_check.h"

#define COUNT_TO                                                                                             \
    "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?1) SELECT count(*) FROM n"
#define FOR_EVER INT64_C(1000000000000)

struct work {
    sl__connection *connection;
    const char *sql;
    int64_t to;
    bool quick, writes;
    bool done;
};

static void *do_work(void *data)
{
    struct work *work = data;
    sl__statement statement = STATEMENT(work->sql, INTEGER(work->to));
    statement.quick = work->quick;
    statement.writes = work->writes;
    sl_error *error = run(work->connection, statement);
    if (error)
        sl_fail_error(error);
    work->done = true;
    return NULL;
}

static void turns(int count)
{
    while (count--)
        sl_yield();
}

static void open_with_table(void)
{
    open_store(NULL);
    write_alone("DROP TABLE IF EXISTS a");
    write_alone("CREATE TABLE a (x INTEGER)");
}

static sl__sqlite_transaction *transaction(sl__connection *connection)
{
    return (sl__sqlite_transaction *)connection;
}

/* ---- It ends while they wait --------------------------------------------------------------------------- */

TASK_TEST(for_the_thread)
{
    open_with_table();
    for (int writes = 0; writes < 2; writes++) {
        sl__connection *connection = writes ? WRITE() : READ();
        struct work slow = {.connection = connection, .sql = COUNT_TO, .to = FOR_EVER},
                    next = {.connection = connection, .sql = "SELECT ?1", .quick = true}, last = next;
        sl_deferred *tasks[] = {sl_spawn(do_work, &slow), sl_spawn(do_work, &next), sl_spawn(do_work, &last)};
        while (transaction(connection)->inside < 2)
            sl_yield();
        DRIVER->rollback(connection);
        for (int i = 0; i < 3; i++)
            CHECK_FAILS(tasks[i], SL_EDISCONNECTED, "");
        CHECK(!inside()->open && !inside()->holder && !inside()->readers && !inside()->group.link);
    }
    write_alone("INSERT INTO a VALUES (1)");
    CHECK(READ_ALONE("SELECT count(*) FROM a") == 1);
    close_store();
    return NULL;
}

static void *become_writer(void *data)
{
    sl__begin how = {.writes = true, .site = SL_HERE};
    sl_error *error = DRIVER->become_writer(data, &how);
    if (error)
        sl_fail_error(error);
    return NULL;
}

static void *begin_writing(void *data)
{
    return WRITE();
}

/* It ends while it becomes a writer, and two wait behind it. */
static void end_before_others(sl__connection *connection, sl_deferred *tasks[static 3])
{
    tasks[0] = sl_spawn(become_writer, connection);
    turns(2);
    CHECK(inside()->holder == transaction(connection));
    tasks[1] = sl_spawn(begin_writing, NULL);
    tasks[2] = sl_spawn(begin_writing, NULL);
    turns(2);
    DRIVER->rollback(connection);
}

/* The place went to the next one when it ended, and is not to be taken from that. */
static void expect_in_turn(sl_deferred *tasks[static 3])
{
    CHECK_FAILS(tasks[0], SL_EDISCONNECTED, "another task has ended it");
    sl__connection *connection = sl_await(tasks[1]);
    turns(5);
    CHECK(inside()->holder == transaction(connection));
    OK(QUICK(connection, "INSERT INTO a VALUES (1)"));
    DRIVER->rollback(connection);
    connection = sl_await(tasks[2]);
    OK(QUICK(connection, "INSERT INTO a VALUES (1)"));
    OK(DRIVER->commit(connection));
    CHECK(!inside()->open && !inside()->holder && !inside()->readers && !inside()->group.link);
    CHECK(READ_ALONE("SELECT count(*) FROM a") == 1);
}

TASK_TEST(for_another_process)
{
    for (int has_read = 0; has_read < 2; has_read++) {
        open_with_table();
        sqlite3 *db = other_process();
        OTHER(db, "BEGIN IMMEDIATE");
        sl__connection *connection = BEGIN();
        if (has_read)
            CHECK(NUMBER(connection, "SELECT count(*) FROM a") == 0);
        sl_deferred *tasks[3];
        end_before_others(connection, tasks);
        sl_await(sl_sleep(20));
        OTHER(db, "ROLLBACK");
        expect_in_turn(tasks);
        sqlite3_close(db);
        close_store();
    }
    return NULL;
}

TASK_TEST(for_the_thread_to_write)
{
    open_with_table();
    sl__connection *connection = BEGIN();
    struct work slow = {.connection = connection, .sql = COUNT_TO, .to = FOR_EVER};
    sl_deferred *reads = sl_spawn(do_work, &slow);
    while (!transaction(connection)->link->job)
        sl_yield();
    sl_deferred *tasks[3];
    end_before_others(connection, tasks);
    CHECK_FAILS(reads, SL_EDISCONNECTED, "");
    expect_in_turn(tasks);
    close_store();
    return NULL;
}

/* As a statement that meets the lock of another process. */
static void be_busy(sqlite3_context *context, int count, sqlite3_value **values)
{
    ++*(atomic_int *)sqlite3_user_data(context);
    sqlite3_result_error_code(context, SQLITE_BUSY);
}

TASK_TEST(for_another_process_with_what_is_in_a_thread)
{
    for (int writes = 0; writes < 2; writes++) {
        open_with_table();
        atomic_int tries = 0;
        sl__connection *connection = writes ? WRITE() : READ();
        CHECK(NUMBER(connection, "SELECT count(*) FROM a") == 0);
        sqlite3_create_function(transaction(connection)->link->db, "busy", 0, SQLITE_UTF8, &tries, be_busy,
                                NULL, NULL);
        struct work work = {.connection = connection,
                            .sql = writes ? "INSERT INTO a SELECT busy() + ?1" : "SELECT busy() + ?1",
                            .writes = writes};
        sl_deferred *task = sl_spawn(do_work, &work);
        while (tries < 3)
            sl_await(sl_sleep(1));
        while (transaction(connection)->link->job)
            sl_yield();
        DRIVER->rollback(connection);
        CHECK_FAILS(task, SL_EDISCONNECTED, "the transaction of these rows is gone");
        CHECK(!inside()->open && !inside()->holder && !inside()->readers && !inside()->group.link);
        write_alone("INSERT INTO a VALUES (2)");
        close_store();
    }
    return NULL;
}

static void *commit(void *data)
{
    sl_error *error = DRIVER->commit(data);
    if (error)
        sl_fail_error(error);
    return NULL;
}

/* Both wait for the thread, and who commits is told first. */
TASK_TEST(for_the_thread_and_it_is_committed)
{
    open_with_table();
    sl__connection *connection = WRITE();
    OK(QUICK(connection, "INSERT INTO a VALUES (1)"));
    struct work large = {.connection = connection, .sql = "INSERT INTO a SELECT ?1", .writes = true},
                next = {.connection = connection, .sql = "SELECT ?1", .quick = true};
    sl_deferred *writes = sl_spawn(do_work, &large);
    turns(1);
    CHECK(transaction(connection)->link->job);
    sl_deferred *asks = sl_spawn(do_work, &next);
    turns(1);
    sl_deferred *commits = sl_spawn(commit, connection), *joins = sl_spawn(begin_writing, NULL);
    sl__connection *guest = sl_await(joins);
    CHECK(transaction(guest)->part == SL__SQLITE_GUEST);
    FAILS(sl_take(asks).error, SL_EDISCONNECTED, "await what is at work");
    DRIVER->rollback(guest);
    sl_await(commits);
    sl_result result = sl_take(writes); /* it was carried out, and may have been told so too late */
    sl_result_done(&result);
    CHECK(!inside()->open && !inside()->holder && !inside()->readers && !inside()->group.link);
    CHECK(READ_ALONE("SELECT count(*) FROM a") == 2);
    close_store();
    return NULL;
}

/* One waits for the writer's place and the other for a connection, which are two queues. */
TASK_TEST(for_places)
{
    for (int ends = 0; ends < 2; ends++) {
        open_with_table();
        options.connections = 1;
        sl__connection *writer = WRITE(), *connection = BEGIN();
        sl_deferred *becomes = sl_spawn(become_writer, connection);
        turns(2);
        sl__connection *reader = READ(); /* takes what the other gave back */
        struct work read = {.connection = connection, .sql = "SELECT ?1", .quick = true};
        sl_deferred *reads = sl_spawn(do_work, &read);
        turns(2);
        CHECK(!read.done && !inside()->to_read.first);
        if (ends) {
            DRIVER->rollback(connection);
            DRIVER->rollback(writer);
            CHECK_FAILS(becomes, SL_EDISCONNECTED, "another task has ended it");
            CHECK_FAILS(reads, SL_EDISCONNECTED, "another task has ended it");
        } else {
            DRIVER->rollback(writer);
            sl_await(becomes);
            sl_await(reads);
            CHECK(read.done);
            OK(QUICK(connection, "INSERT INTO a VALUES (1)"));
            OK(DRIVER->commit(connection));
        }
        DRIVER->rollback(reader);
        CHECK(!inside()->open && !inside()->holder && !inside()->readers);
        write_alone("INSERT INTO a VALUES (2)");
        close_store();
    }
    return NULL;
}

/* ---- The first statement of several tasks ----------------------------------------------------------------
 */

static void *write_one(void *data)
{
    sl__connection *connection = WRITE();
    OK(QUICK(connection, "INSERT INTO a VALUES (1)"));
    OK(DRIVER->commit(connection));
    return NULL;
}

/* A transaction that joined a group leaves it for what is large, and that must be done once. */
TASK_TEST(they_leave_a_group_once)
{
    for (int ends = 0; ends < 2; ends++) {
        open_with_table();
        sl__connection *before = WRITE();
        sl_deferred *first = sl_spawn(write_one, NULL), *second = sl_spawn(begin_writing, NULL);
        turns(2);
        DRIVER->rollback(before);
        sl__connection *guest = sl_await(second);
        CHECK(transaction(guest)->part == SL__SQLITE_GUEST);
        struct work large = {.connection = guest, .sql = "INSERT INTO a SELECT ?1", .writes = true},
                    other = large;
        sl_deferred *tasks[] = {sl_spawn(do_work, &large), sl_spawn(do_work, &other)};
        turns(1);
        if (ends) {
            DRIVER->rollback(guest);
            CHECK_FAILS(tasks[0], SL_EDISCONNECTED, "");
            CHECK_FAILS(tasks[1], SL_EDISCONNECTED, "");
        } else {
            sl_await(sl_all(tasks, 2));
            OK(DRIVER->commit(guest));
        }
        sl_await(first);
        CHECK(READ_ALONE("SELECT count(*) FROM a") == (ends ? 1 : 3));
        write_alone("INSERT INTO a VALUES (2)");
        CHECK(!inside()->open && !inside()->holder && !inside()->group.link);
        close_store();
    }
    return NULL;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(for_the_thread),
        TEST(for_another_process),
        TEST(for_the_thread_to_write),
        TEST(for_another_process_with_what_is_in_a_thread),
        TEST(for_the_thread_and_it_is_committed),
        TEST(for_places),
        TEST(they_leave_a_group_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
