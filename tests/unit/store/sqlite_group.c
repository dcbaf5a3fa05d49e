/* The SQLite driver: who may write, and transactions that are committed together. */
#include "sqlite_check.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

static void open_with_table(void)
{
    open_store(NULL);
    write_alone("CREATE TABLE a (id INTEGER PRIMARY KEY, x INTEGER UNIQUE)");
    write_alone("CREATE TABLE late (id INTEGER PRIMARY KEY, a INTEGER REFERENCES a (id) DEFERRABLE INITIALLY "
                "DEFERRED)");
}

/* A task that writes, and how it ends. */
struct writer {
    int64_t x;
    const char *also;             /* one more statement, or NULL */
    sl_deferred *go_on, *stopped; /* where it stops before it commits, and has it told */
    bool undo, cancelled;
    int wanted; /* the code with which its commit fails */
    const char *said;
    bool done;
};

static void *write_task(void *data)
{
    struct writer *w = data;
    sl__connection *connection = WRITE();
    OK(QUICK(connection, "INSERT INTO a (x) VALUES (?1)", INTEGER(w->x)));
    if (w->also)
        OK(QUICK(connection, w->also));
    if (w->stopped)
        sl_fire(w->stopped, NULL, NULL);
    if (w->go_on)
        sl_await(w->go_on);
    if (w->undo) {
        DRIVER->rollback(connection);
    } else if (w->wanted) {
        FAILS(DRIVER->commit(connection), w->wanted, w->said);
    } else {
        OK(DRIVER->commit(connection));
        w->done = true;
    }
    return NULL;
}

static sl_deferred *start(struct writer *w)
{
    return sl_spawn(write_task, w);
}

/* Turns of the loop's queue: what is ready has run. */
static void turns(int count)
{
    while (count--)
        sl_yield();
}

static uint64_t waiting(void)
{
    uint64_t count = 0;
    for (const sl__sqlite_transaction *t = inside()->to_write.first; t; t = t->next)
        count++;
    return count;
}

/* ---- Groups -------------------------------------------------------------------------------------------- */

TASK_TEST(those_who_wait_share_a_commit)
{
    enum { COUNT = 100 };
    open_with_table();
    uint64_t before = inside()->commits;
    static struct writer writers[COUNT];
    sl_deferred *tasks[COUNT];
    for (int i = 0; i < COUNT; i++) {
        writers[i] = (struct writer){.x = i};
        tasks[i] = start(&writers[i]);
    }
    sl_await(sl_all(tasks, COUNT));
    CHECK(READ_ALONE("SELECT count(*) FROM a") == COUNT);
    CHECK(READ_ALONE("SELECT sum(x) FROM a") == COUNT * (COUNT - 1) / 2);
    CHECK(inside()->commits - before >= 1 && inside()->commits - before < COUNT / 2);
    CHECK(!inside()->holder && !inside()->group.link);
    close_store();
    return NULL;
}

/* The first is alone and at work when the others come: they are committed together, but for those that fail.
 */
static void three(struct writer *first, struct writer *second, struct writer *third)
{
    uint64_t before = inside()->commits;
    first->go_on = sl_deferred_new(NULL, NULL);
    sl_deferred *go_on = sl_deferred_ref(first->go_on);
    sl_deferred *tasks[] = {start(first), start(second), start(third)};
    while (waiting() < 2)
        sl_yield();
    sl_fire(go_on, NULL, NULL);
    sl_deferred_unref(go_on);
    sl_await(sl_all(tasks, 3));
    CHECK(inside()->commits - before <= 1);
    CHECK(!inside()->holder && !inside()->group.link && inside()->group.count == 0);
}

TASK_TEST(one_that_is_undone_harms_no_other)
{
    open_with_table();
    for (int which = 0; which < 3; which++) {
        struct writer w[3] = {{.x = 10 * which}, {.x = 10 * which + 1}, {.x = 10 * which + 2}};
        w[which].undo = true;
        three(&w[0], &w[1], &w[2]);
        for (int i = 0; i < 3; i++)
            CHECK(READ_ALONE("SELECT count(*) FROM a WHERE x = ?1", INTEGER(10 * which + i)) == (i != which));
    }
    CHECK(READ_ALONE("SELECT count(*) FROM a") == 6);
    close_store();
    return NULL;
}

TASK_TEST(foreign_keys_put_off_are_looked_at_for_each)
{
    open_with_table();
    const char *broken = "INSERT INTO late VALUES (NULL, 999)";
    for (int which = 0; which < 3; which++) {
        struct writer w[3] = {{.x = 10 * which}, {.x = 10 * which + 1}, {.x = 10 * which + 2}};
        w[which].also = broken;
        w[which].wanted = SL_ECONSTRAINT;
        w[which].said = "store main: FOREIGN KEY constraint failed";
        three(&w[0], &w[1], &w[2]);
    }
    CHECK(READ_ALONE("SELECT count(*) FROM a") == 6);
    CHECK(READ_ALONE("SELECT count(*) FROM late") == 0);

    /* One that is kept in the end is none. */
    sl__connection *connection = WRITE();
    OK(QUICK(connection, "INSERT INTO late VALUES (1, 77)"));
    OK(QUICK(connection, "INSERT INTO a VALUES (77, 77)"));
    OK(DRIVER->commit(connection));
    close_store();
    return NULL;
}

TASK_TEST(who_did_not_write_commits_too)
{
    open_with_table();
    uint64_t before = inside()->commits;
    sl__connection *connection = WRITE();
    CHECK(NUMBER(connection, "SELECT count(*) FROM a") == 0);
    OK(DRIVER->commit(connection));
    connection = WRITE();
    OK(DRIVER->commit(connection));
    connection = WRITE();
    DRIVER->rollback(connection);
    connection = READ();
    OK(DRIVER->commit(connection));
    CHECK(inside()->commits == before);
    write_alone("INSERT INTO a VALUES (1, 1)");
    CHECK(inside()->commits == before + 1);
    close_store();
    return NULL;
}

/* A group that is not left alone is committed nevertheless. */
TASK_TEST(groups_end)
{
    enum { COUNT = 2000 };
    open_with_table();
    uint64_t before = inside()->commits;
    static struct writer writers[COUNT];
    static sl_deferred *tasks[COUNT];
    for (int i = 0; i < COUNT; i++) {
        writers[i] = (struct writer){.x = i};
        tasks[i] = start(&writers[i]);
    }
    sl_await(sl_all(tasks, COUNT));
    CHECK(READ_ALONE("SELECT count(*) FROM a") == COUNT);
    CHECK(inside()->commits - before >= COUNT / 256);
    close_store();
    return NULL;
}

TASK_TEST(savepoints_work_in_a_group)
{
    open_with_table();
    struct writer first = {.x = 1, .go_on = sl_deferred_new(NULL, NULL)};
    sl_deferred *go_on = sl_deferred_ref(first.go_on), *task = start(&first);
    turns(3);
    sl_fire(go_on, NULL, NULL);
    sl_deferred_unref(go_on);
    sl__connection *guest = WRITE();
    CHECK(((sl__sqlite_transaction *)guest)->part == SL__SQLITE_GUEST && !first.done);
    OK(QUICK(guest, "SAVEPOINT s1"));
    OK(QUICK(guest, "INSERT INTO a (x) VALUES (2)"));
    OK(QUICK(guest, "ROLLBACK TO s1"));
    OK(QUICK(guest, "INSERT INTO a (x) VALUES (3)"));
    FAILS(QUICK(guest, "INSERT INTO a (x) VALUES (3)"), SL_EEXIST, "a.x");
    OK(QUICK(guest, "RELEASE s1"));
    CHECK(NUMBER(guest, "SELECT count(*) FROM a") == 2);
    CHECK(READ_ALONE("SELECT count(*) FROM a") == 0);
    OK(DRIVER->commit(guest));
    sl_await(task);
    CHECK(first.done && READ_ALONE("SELECT sum(x) FROM a") == 4);
    close_store();
    return NULL;
}

TASK_TEST(a_lent_guest_cannot_end_the_group)
{
    open_with_table();
    struct writer w[2] = {{.x = 1, .go_on = sl_deferred_new(NULL, NULL)}};
    sl_deferred *go_on = sl_deferred_ref(w[0].go_on), *task = start(&w[0]);
    turns(3);
    sl_fire(go_on, NULL, NULL);
    sl_deferred_unref(go_on);
    sl__connection *guest = WRITE();
    void rolls_back(void *connection, void *data);
    FAILS(DRIVER->lend(guest, rolls_back, NULL), SL_EDISCONNECTED, "ended by the code");
    DRIVER->rollback(guest);
    sl_await(task);
    CHECK(w[0].done && READ_ALONE("SELECT sum(x) FROM a") == 1);
    close_store();
    return NULL;
}

void rolls_back(void *connection, void *data);
void rolls_back(void *connection, void *data)
{
    CHECK(sqlite3_exec(connection, "ROLLBACK", NULL, NULL, NULL) == SQLITE_OK);
}

/* Whoever began last is cancelled while the thread commits: it is stored all the same. */
TASK_TEST(a_commit_under_way_goes_on)
{
    open_with_table();
    struct writer w = {.x = 1, .wanted = SL_ECANCELED, .said = "goes on"};
    sl_deferred *task = start(&w);
    while (!inside()->group.committing)
        sl_yield();
    sl_cancel(task);
    sl_error *error;
    sl_try(task, &error);
    while (inside()->group.link)
        sl_await(sl_sleep(1));
    CHECK(READ_ALONE("SELECT count(*) FROM a") == 1);
    close_store();
    return NULL;
}

static void *commit_cancelled(void *data)
{
    sl__connection *connection = WRITE();
    OK(QUICK(connection, "INSERT INTO a (x) VALUES (1)"));
    sl_error *error;
    sl_try(sl_sleep(100000), &error);
    FAILS(DRIVER->commit(connection), SL_ECANCELED, "cancelled");
    return NULL;
}

TASK_TEST(the_cancelled_do_not_begin_to_commit)
{
    open_with_table();
    sl_deferred *task = sl_spawn(commit_cancelled, NULL);
    turns(3);
    sl_cancel(task);
    sl_error *error;
    sl_try(task, &error);
    while (inside()->holder)
        sl_yield();
    CHECK(READ_ALONE("SELECT count(*) FROM a") == 0);
    close_store();
    return NULL;
}

/* ---- A disk that is full ------------------------------------------------------------------------------- */

TASK_TEST(a_full_disk_is_told_to_all)
{
    open_with_table();
    write_alone("CREATE TABLE big (data BLOB)");
    sl__connection *connection = WRITE();
    OK(QUICK(connection, "PRAGMA max_page_count = 60"));
    OK(DRIVER->commit(connection));
    const char *fills = "INSERT INTO big VALUES (zeroblob(1000000))";
    struct writer first = {
        .x = 1, .go_on = sl_deferred_new(NULL, NULL), .wanted = SL_ENOSPC, .said = "make room"};
    sl_deferred *go_on = sl_deferred_ref(first.go_on), *task = start(&first);
    turns(3);
    sl_fire(go_on, NULL, NULL);
    sl_deferred_unref(go_on);
    sl__connection *guest = WRITE();
    CHECK(((sl__sqlite_transaction *)guest)->part == SL__SQLITE_GUEST);
    OK(QUICK(guest, "INSERT INTO a (x) VALUES (2)"));
    FAILS(QUICK(guest, fills), SL_ENOSPC, "database or disk is full");
    sl_await(task); /* it was told */
    FAILS(QUICK(guest, "INSERT INTO a (x) VALUES (3)"), SL_EDISCONNECTED, "database or disk is full");
    FAILS(DRIVER->commit(guest), SL_EDISCONNECTED, "run it again as a whole");

    /* By itself. */
    connection = WRITE();
    FAILS(QUICK(connection, fills), SL_ENOSPC, fills);
    DRIVER->rollback(connection);
    write_alone("INSERT INTO a (x) VALUES (4)");
    CHECK(READ_ALONE("SELECT sum(x) FROM a") == 4);
    close_store();
    return NULL;
}

/* ---- Waiting ------------------------------------------------------------------------------------------- */

static void *wait_to_write(void *data)
{
    const sl__begin *how = data;
    sl__connection *connection = NULL;
    sl_error *error = DRIVER->begin(&store, how, &connection);
    CHECK(error);
    sl_fail_error(error);
}

TASK_TEST(waiting_ends)
{
    open_with_table();
    options.connections = 2;
    sl__connection *writer = WRITE(), *readers[2] = {READ(), READ()};
    sl__begin writes = {.writes = true, .site = SL_HERE}, reads = {.site = SL_HERE};
    for (int i = 0; i < 2; i++) {
        sl__begin *how = i ? &reads : &writes;
        sl_deferred *first = sl_spawn(wait_to_write, how), *second = sl_spawn(wait_to_write, how);
        turns(2);
        const sl__sqlite_queue *queue = i ? &inside()->to_read : &inside()->to_write;
        CHECK(queue->first && queue->first->next && !queue->first->next->next);
        sl_cancel(first);
        CHECK_FAILS(first, SL_ECANCELED, "cancelled");
        sl_cancel(second);
        CHECK_FAILS(second, SL_ECANCELED, "cancelled");
        CHECK(!queue->first);
        how->deadline = sl_loop_now(sl_loop_current()) + 1;
        CHECK_FAILS(sl_spawn(wait_to_write, how), SL_EBUDGET, i ? "could read" : "could write");
        how->deadline = 1; /* long ago */
        CHECK_FAILS(sl_spawn(wait_to_write, how), SL_EBUDGET, "the deadline passed");
        CHECK(!queue->first);
    }
    sl__connection *none;
    FAILS(DRIVER->begin(&store, &writes, &none), SL_EBUDGET, "has had the writer's place");
    SL_SCOPE(scope, .deadline_ms = 1)
    {
        sl_error *error;
        CHECK_FAILS(sl_spawn(wait_to_write, (&(sl__begin){.writes = true, .site = SL_HERE})), SL_ETIMEDOUT,
                    "");
        sl_try(sl_sleep(0), &error);
        sl_scope_cancel(scope);
        break;
    }
    DRIVER->rollback(writer);
    DRIVER->rollback(readers[0]);
    OK(DRIVER->commit(readers[1]));
    CHECK(inside()->readers == 0 && !inside()->holder);
    write_alone("INSERT INTO a (x) VALUES (4)");
    close_store();
    return NULL;
}

static int order[8], order_count;

static void *take_turn(void *data)
{
    sl__connection *connection = BEGIN(.writes = *(int *)data < 4);
    order[order_count++] = *(int *)data;
    sl_yield();
    DRIVER->rollback(connection);
    return NULL;
}

TASK_TEST(turns_come_in_order)
{
    open_with_table();
    options.connections = 1;
    sl__connection *writer = WRITE(), *reader = READ();
    int numbers[8] = {0, 1, 2, 3, 4, 5, 6, 7};
    sl_deferred *tasks[8];
    order_count = 0;
    for (int i = 0; i < 8; i++)
        tasks[i] = sl_spawn(take_turn, &numbers[i]);
    turns(2);
    CHECK(order_count == 0);
    DRIVER->rollback(writer);
    DRIVER->rollback(reader);
    sl_await(sl_all(tasks, 8));
    int last[2] = {-1, -1};
    for (int i = 0; i < 8; i++) {
        CHECK(order[i] > last[order[i] >= 4]);
        last[order[i] >= 4] = order[i];
    }
    CHECK(inside()->readers == 0 && !inside()->links->next->next); /* one that writes and one that reads */
    close_store();
    return NULL;
}

/* ---- Readers that turn writers ------------------------------------------------------------------------- */

static sl_error *become(sl__connection *connection)
{
    return DRIVER->become_writer(connection, &(sl__begin){.writes = true, .site = SL_HERE});
}

TASK_TEST(readers_turn_writers)
{
    open_with_table();
    sl__connection *fresh = BEGIN();
    write_alone("INSERT INTO a (x) VALUES (1)");
    OK(become(fresh)); /* it had read nothing yet */
    CHECK(fresh->writer);
    OK(become(fresh));
    OK(QUICK(fresh, "INSERT INTO a (x) VALUES (2)"));
    OK(DRIVER->commit(fresh));

    sl__connection *reader = BEGIN();
    CHECK(NUMBER(reader, "SELECT count(*) FROM a") == 2);
    OK(become(reader));
    CHECK(reader->writer && inside()->group.link != inside()->writer);
    OK(QUICK(reader, "INSERT INTO a (x) VALUES (3)"));
    OK(DRIVER->commit(reader));
    CHECK(READ_ALONE("SELECT count(*) FROM a") == 3);

    reader = BEGIN();
    CHECK(NUMBER(reader, "SELECT count(*) FROM a") == 3);
    OK(become(reader));
    OK(QUICK(reader, "INSERT INTO a (x) VALUES (4)"));
    DRIVER->rollback(reader);
    CHECK(READ_ALONE("SELECT count(*) FROM a") == 3);
    CHECK(inside()->readers == 0 && !inside()->group.link && !inside()->holder);
    close_store();
    return NULL;
}

TASK_TEST(what_was_read_must_be_the_newest)
{
    open_with_table();
    sl__connection *reader = BEGIN();
    CHECK(NUMBER(reader, "SELECT count(*) FROM a") == 0);
    write_alone("INSERT INTO a (x) VALUES (1)");
    FAILS(become(reader), SL_ECONFLICT, "let it write before it reads");
    CHECK(!reader->writer && !inside()->holder);
    CHECK(NUMBER(reader, "SELECT count(*) FROM a") == 0); /* it can go on reading */
    DRIVER->rollback(reader);

    /* A savepoint is nothing read. */
    reader = BEGIN();
    OK(run(reader, STATEMENT("SAVEPOINT s1")));
    write_alone("INSERT INTO a (x) VALUES (2)");
    OK(become(reader));
    OK(QUICK(reader, "INSERT INTO a (x) VALUES (3)"));
    OK(QUICK(reader, "ROLLBACK TO s1"));
    CHECK(NUMBER(reader, "SELECT sum(x) FROM a") == 3);
    OK(DRIVER->commit(reader));
    close_store();
    return NULL;
}

static void *turn_writer(void *data)
{
    sl__connection *connection = data;
    FAILS(become(connection), SL_ECONFLICT, "");
    DRIVER->rollback(connection);
    return NULL;
}

static void *turn_writer_well(void *data)
{
    sl__connection *connection = data;
    OK(become(connection));
    OK(QUICK(connection, "INSERT INTO a (x) VALUES (100)"));
    OK(DRIVER->commit(connection));
    return NULL;
}

TASK_TEST(they_wait_for_the_place)
{
    open_with_table();
    sl__connection *stale = BEGIN(), *fresh = BEGIN();
    CHECK(NUMBER(stale, "SELECT count(*) FROM a") == 0);
    struct writer first = {.x = 1, .go_on = sl_deferred_new(NULL, NULL)}, last = {.x = 2};
    sl_deferred *go_on = sl_deferred_ref(first.go_on);
    sl_deferred *tasks[4] = {start(&first)};
    turns(3);
    tasks[1] = sl_spawn(turn_writer, stale);
    tasks[2] = sl_spawn(turn_writer_well, fresh);
    tasks[3] = start(&last);
    turns(3);
    CHECK(waiting() == 3);
    sl_fire(go_on, NULL, NULL);
    sl_deferred_unref(go_on);
    sl_await(sl_all(tasks, 4));
    CHECK(READ_ALONE("SELECT sum(x) FROM a") == 103);

    /* Others may join the group that one begins. */
    sl__connection *reader = BEGIN();
    CHECK(NUMBER(reader, "SELECT count(*) FROM a") == 3);
    OK(become(reader));
    OK(QUICK(reader, "INSERT INTO a (x) VALUES (200)"));
    last = (struct writer){.x = 201};
    sl_deferred *task = start(&last);
    turns(3);
    uint64_t before = inside()->commits;
    OK(DRIVER->commit(reader));
    sl_await(task);
    CHECK(inside()->commits == before + 1);
    CHECK(READ_ALONE("SELECT sum(x) FROM a") == 504);
    CHECK(inside()->readers == 0 && !inside()->group.link && !inside()->holder);
    close_store();
    return NULL;
}

/* ---- Other processes ----------------------------------------------------------------------------------- */

TASK_TEST(other_processes_are_waited_for)
{
    open_with_table();
    sqlite3 *db = other_process();
    OTHER(db, "BEGIN IMMEDIATE; INSERT INTO a (x) VALUES (1)");
    struct writer w = {.x = 2};
    sl_deferred *task = start(&w);
    for (int i = 0; i < 5; i++)
        sl_await(sl_sleep(1));
    CHECK(!w.done && inside()->others_ns);
    OTHER(db, "COMMIT");
    sl_await(task);
    CHECK(w.done && READ_ALONE("SELECT sum(x) FROM a") == 3);

    OTHER(db, "BEGIN IMMEDIATE");
    options.busy_ms = 5;
    sl__connection *none;
    sl__begin how = {.writes = true, .site = SL_HERE};
    FAILS(DRIVER->begin(&store, &how, &none), SL_EBUSY, "another process holds the database; `fuser -v");
    options.busy_ms = 60000;
    how.deadline = sl_loop_now(sl_loop_current()) + 3;
    FAILS(DRIVER->begin(&store, &how, &none), SL_EBUDGET, "another process holds the database");
    task = sl_spawn(wait_to_write, (&(sl__begin){.writes = true, .site = SL_HERE}));
    sl_await(sl_sleep(1));
    sl_cancel(task);
    CHECK_FAILS(task, SL_ECANCELED, "cancelled");
    while (inside()->holder)
        sl_yield();
    CHECK(!inside()->group.link);

    sl__connection *reader = BEGIN();
    CHECK(NUMBER(reader, "SELECT count(*) FROM a") == 2);
    options.busy_ms = 5;
    FAILS(become(reader), SL_EBUSY, "fuser");
    DRIVER->rollback(reader);
    OTHER(db, "ROLLBACK");
    write_alone("INSERT INTO a (x) VALUES (4)");
    sqlite3_close(db);
    close_store();
    return NULL;
}

/* They waited together: who comes next does not begin to wait anew. */
TASK_TEST(those_behind_one_that_is_kept_out_give_up_with_it)
{
    enum { COUNT = 20 };
    open_with_table();
    sqlite3 *db = other_process();
    OTHER(db, "BEGIN IMMEDIATE");
    sl__begin how = {.writes = true, .site = SL_HERE};
    sl_deferred *tasks[COUNT];
    options.busy_ms = 30;
    for (int i = 0; i < COUNT; i++)
        tasks[i] = sl_spawn(wait_to_write, &how);
    CHECK_FAILS(tasks[0], SL_EBUSY, "locked");
    options.busy_ms = 1; /* since the lock was first seen it is longer than that */
    turns(COUNT);
    CHECK(!inside()->holder && !inside()->to_write.first);
    for (int i = 1; i < COUNT; i++)
        CHECK_FAILS(tasks[i], SL_EBUSY, "locked");
    OTHER(db, "ROLLBACK");
    write_alone("INSERT INTO a (x) VALUES (4)");
    CHECK(!inside()->held_ns);
    sqlite3_close(db);
    close_store();
    return NULL;
}

TASK_TEST(what_another_process_wrote_is_a_conflict)
{
    open_with_table();
    sqlite3 *db = other_process();
    sl__connection *reader = BEGIN();
    CHECK(NUMBER(reader, "SELECT count(*) FROM a") == 0);
    OTHER(db, "INSERT INTO a (x) VALUES (1)");
    FAILS(become(reader), SL_ECONFLICT, ".retries");
    DRIVER->rollback(reader);
    write_alone("INSERT INTO a (x) VALUES (2)");
    OTHER(db, "INSERT INTO a (x) VALUES (3)");
    write_alone("INSERT INTO a (x) VALUES (4)");
    CHECK(inside()->others_ns); /* it was seen that somebody else writes */
    CHECK(READ_ALONE("SELECT sum(x) FROM a") == 10);
    sqlite3_close(db);
    close_store();
    return NULL;
}

/* Stands for a process that restores the index of the log after a crash, holding the locks of that, until it
 * is killed: then who comes next restores it. */
static pid_t restoring(void)
{
    int told[2];
    CHECK(pipe(told) == 0);
    pid_t child = fork();
    if (child == 0) {
        char path[160];
        snprintf(path, sizeof path, "%s-shm", store_path);
        int fd = open(path, O_RDWR);
        struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 120, .l_len = 3};
        bool done = fd >= 0 && fcntl(fd, F_SETLK, &lock) == 0 && pwrite(fd, "\xff\xff\xff\xff", 4, 8) == 4 &&
                    write(told[1], "x", 1) == 1;
        while (done)
            pause();
        _exit(1);
    }
    char byte;
    close(told[1]);
    CHECK(read(told[0], &byte, 1) == 1);
    close(told[0]);
    return child;
}

struct reader {
    const char *sql;
    bool quick;
    bool done;
};

static void *count_rows(void *data)
{
    struct reader *r = data;
    sl__connection *connection = READ();
    sl__statement select = STATEMENT(r->sql);
    select.quick = r->quick;
    CHECK(number_of(connection, select) == 1);
    OK(DRIVER->commit(connection));
    r->done = true;
    return NULL;
}

/* Is run in a thread from the second time on. */
#define SLOW                                                                                                 \
    "SELECT count(*) FROM a WHERE x < (WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n "     \
    "WHERE i < 100000) SELECT count(*) FROM n)"

static void wait_in_vain(const char *sql)
{
    sl__connection *reader = READ();
    options.busy_ms = 5;
    FAILS(run(reader, STATEMENT(sql)), SL_EBUSY, "fuser -v");
    options.busy_ms = 60000;
    sl__statement late = STATEMENT(sql);
    late.deadline = sl_loop_now(sl_loop_current()) + 3;
    FAILS(run(reader, late), SL_EBUDGET, "another process holds the database");
    DRIVER->rollback(reader);
}

TASK_TEST(readers_wait_for_others_where_they_must)
{
    open_with_table();
    write_alone("INSERT INTO a (x) VALUES (1)");
    sl__connection *connections[] = {READ(), READ()}; /* to open one has to wait, too */
    for (int i = 0; i < 2; i++)
        OK(DRIVER->commit(connections[i]));
    for (int i = 0; i < 3; i++) {
        struct reader r = {.sql = i == 2 ? SLOW : "SELECT count(*) FROM a", .quick = i == 1};
        CHECK(READ_ALONE(r.sql) == 1);
        pid_t child = restoring();
        wait_in_vain(r.sql);
        sl_deferred *task = sl_spawn(count_rows, &r);
        for (int j = 0; j < 5; j++)
            sl_await(sl_sleep(1));
        CHECK(!r.done);
        CHECK(kill(child, SIGKILL) == 0 && waitpid(child, NULL, 0) == child);
        sl_await(task);
        CHECK(r.done);
    }
    close_store();
    return NULL;
}

/* ---- Rolling back -------------------------------------------------------------------------------------- */

TASK_TEST(much_is_undone_in_a_thread)
{
    open_with_table();
    for (int round = 0; round < 2; round++) {
        sl__connection *connection = WRITE();
        OK(QUICK(connection,
                 "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000)"
                 " INSERT INTO a (x) SELECT i FROM n"));
        DRIVER->rollback(connection);
        CHECK(inside()->jobs && inside()->holder);
        if (round) { /* the store is closed meanwhile */
            close_store();
            open_store(NULL);
        }
        CHECK(READ_ALONE("SELECT count(*) FROM a") == 0);
    }
    write_alone("INSERT INTO a (x) VALUES (4)");
    CHECK(!inside()->jobs);
    close_store();
    return NULL;
}

static void *write_and_be_closed(void *data)
{
    struct writer *w = data;
    sl__connection *connection = WRITE();
    OK(QUICK(connection, "INSERT INTO a (x) VALUES (?1)", INTEGER(w->x)));
    OK(DRIVER->commit(connection));
    w->done = true;
    return NULL;
}

/* Those that were through are stored when the store is closed, one that is at work in their group is not. */
TASK_TEST(closing_commits_the_group)
{
    open_with_table();
    struct writer first = {.x = 1, .go_on = sl_deferred_new(NULL, NULL)}, second = {.x = 2};
    sl_deferred *go_on = sl_deferred_ref(first.go_on);
    sl_deferred *tasks[2] = {start(&first), sl_spawn(write_and_be_closed, &second)};
    turns(3);
    sl_fire(go_on, NULL, NULL);
    sl_deferred_unref(go_on);
    sl__connection *guest = WRITE();
    OK(QUICK(guest, "INSERT INTO a (x) VALUES (4)"));
    CHECK(inside()->group.count == 2);
    close_store();
    FAILS(QUICK(guest, "INSERT INTO a (x) VALUES (8)"), SL_EDISCONNECTED, "the store was closed");
    sl_await(sl_all(tasks, 2));
    CHECK(first.done && second.done);
    DRIVER->rollback(guest);
    open_store(NULL);
    CHECK(READ_ALONE("SELECT sum(x) FROM a") == 3);

    /* And what a thread is about to commit. */
    second = (struct writer){.x = 8};
    sl_deferred *task = sl_spawn(write_and_be_closed, &second);
    while (!inside()->group.committing)
        sl_yield();
    close_store();
    sl_await(task);
    open_store(NULL);
    CHECK(READ_ALONE("SELECT sum(x) FROM a") == 11);
    close_store();
    return NULL;
}

/* ---- Everything at once -------------------------------------------------------------------------------- */

static unsigned seed;

static unsigned chance(unsigned below)
{
    seed = seed * 1103515245 + 12345;
    return (seed >> 16) % below;
}

/* Moves an amount between two accounts, in one of many ways; the sum never changes. */
static void *move(void *data)
{
    int64_t *moved = data;
    for (int round = 0; round < 20; round++) {
        bool writes = chance(2);
        sl__connection *connection = BEGIN(.writes = writes);
        CHECK(NUMBER(connection, "SELECT sum(x) FROM account") == 0);
        if (chance(3) == 0)
            sl_yield();
        sl_error *error = writes ? NULL : become(connection);
        if (error) {
            FAILS(error, SL_ECONFLICT, "");
            DRIVER->rollback(connection);
            continue;
        }
        int64_t from = chance(10), to = chance(10);
        OK(QUICK(connection, "UPDATE account SET x = x - 1 WHERE id = ?1", INTEGER(from)));
        if (chance(4) == 0)
            sl_yield();
        sl__statement second = STATEMENT("UPDATE account SET x = x + 1 WHERE id = ?1", INTEGER(to));
        second.writes = true;
        second.quick = chance(4);
        OK(run(connection, second));
        if (chance(5) == 0) {
            DRIVER->rollback(connection);
        } else {
            OK(QUICK(connection, "INSERT INTO moved DEFAULT VALUES"));
            OK(DRIVER->commit(connection));
            ++*moved;
        }
    }
    return NULL;
}

TASK_TEST(sums_stay_what_they_are)
{
    enum { COUNT = 30 };
    open_store(NULL);
    options.connections = 3;
    write_alone("CREATE TABLE account (id INTEGER PRIMARY KEY, x INTEGER)");
    write_alone("CREATE TABLE moved (id INTEGER PRIMARY KEY)");
    write_alone(
        "INSERT INTO account VALUES (0,0), (1,0), (2,0), (3,0), (4,0), (5,0), (6,0), (7,0), (8,0), (9,0)");
    for (seed = 1; seed < 4; seed++) {
        unsigned begun = seed;
        int64_t moved = 0, before = READ_ALONE("SELECT count(*) FROM moved");
        sl_deferred *tasks[COUNT];
        for (int i = 0; i < COUNT; i++)
            tasks[i] = sl_spawn(move, &moved);
        sl_await(sl_all(tasks, COUNT));
        CHECK(READ_ALONE("SELECT sum(x) FROM account") == 0);
        CHECK(READ_ALONE("SELECT count(*) FROM moved") - before == moved && moved > 0);
        CHECK(!inside()->holder && !inside()->group.link && !inside()->readers && !inside()->jobs);
        seed = begun;
    }
    close_store();
    return NULL;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(those_who_wait_share_a_commit),
        TEST(one_that_is_undone_harms_no_other),
        TEST(foreign_keys_put_off_are_looked_at_for_each),
        TEST(who_did_not_write_commits_too),
        TEST(groups_end),
        TEST(savepoints_work_in_a_group),
        TEST(a_lent_guest_cannot_end_the_group),
        TEST(a_commit_under_way_goes_on),
        TEST(the_cancelled_do_not_begin_to_commit),
        TEST(a_full_disk_is_told_to_all),
        TEST(waiting_ends),
        TEST(turns_come_in_order),
        TEST(readers_turn_writers),
        TEST(what_was_read_must_be_the_newest),
        TEST(they_wait_for_the_place),
        TEST(other_processes_are_waited_for),
        TEST(those_behind_one_that_is_kept_out_give_up_with_it),
        TEST(what_another_process_wrote_is_a_conflict),
        TEST(readers_wait_for_others_where_they_must),
        TEST(much_is_undone_in_a_thread),
        TEST(closing_commits_the_group),
        TEST(sums_stay_what_they_are),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
