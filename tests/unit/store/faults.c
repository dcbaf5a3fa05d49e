/* faults.c: the nth statement or other word to the driver, the nth call of libpq, SQLite's nth allocation,
 * its nth write and its nth sync fail, for every n, that one only or all from there on, and the process is
 * killed at random: what was acknowledged is there, what failed left nothing, and the store goes on to work.
 */
#include "world.h"
#include "store/postgres_inside.h"

#include <signal.h>
#include <sqlite3.h>
#include <sys/wait.h>

/* ---- What is tried ------------------------------------------------------------------------------------- */

static void *inside(void *data)
{
    struct person *p = data;
    sl_edit(person, p)->age = 7;
    sl_save();
    sl_fail(SL_EFAILED, "undone");
}

/* A little of everything. All of it, or nothing, is there afterwards. */
static void *scenario(void *data)
{
    (void)data;
    struct company *mill = sl_add(sl_new(company, .name = "Mill"));
    struct person *ann = sl_add(sl_new(person, .name = "Ann", .age = 1));
    sl_link(person, ann, employer, mill);
    sl_save();
    sl_edit(person, ann)->age = 2;
    assert_int_equal(sl_count(sl_find(person, sl_eq(person_.age, 2))), 1);
    sl_error *error;
    sl_savepoint(inside, ann, &error);
    if (error->code != SL_EFAILED)
        sl_fail_again(error);
    sl_update(sl_find(person), sl_to(person_.age, sl_plus(person_.age, 1)));
    struct person *gone = sl_add(sl_new(person, .name = "Gone"));
    sl_save();
    sl_remove(gone);
    return NULL;
}

static void *try_scenario(void *data)
{
    return sl_transact(scenario, data);
}

static void *clean(void *data)
{
    (void)data;
    sl_delete(sl_find(person));
    sl_delete(sl_find(company));
    return NULL;
}

static bool is_whole(void)
{
    struct person_list people = sl_list(sl_find(person));
    int64_t companies = sl_count(sl_find(company));
    if (people.count == 0 && companies == 0)
        return false;
    assert_int_equal(companies, 1);
    assert_int_equal(people.count, 1);
    assert_int_equal(people.items[0]->age, 3);
    assert_string_equal(people.items[0]->name, "Ann");
    return true;
}

static bool lasting;            /* what fails goes on to fail, until it is armed anew */
static bool answer_may_be_lost; /* of a commit: then it may be there, and the error says that */

/* Whether this is the one, or after it. One that fails stays at one less than nothing. */
static bool is_now(int *left)
{
    if (*left < 0)
        return lasting;
    if (*left == 0 || --*left)
        return false;
    *left = lasting ? -1 : 0;
    return true;
}

/* With the nth of something failing, for every n until there are fewer. `arm` says which is to fail (0:
 * none), and gives how many were still to come until then. */
static void for_every_n(int (*arm)(int n), int limit)
{
    for (int n = 1;; n++) {
        assert_true(n < limit);
        int left = 0;
        SL_SCRATCH()
        {
            arm(n);
            const sl_error *error = error_of(try_scenario, NULL);
            left = arm(0);
            bool whole = is_whole();
            if (!error && !whole)
                fail_msg("number %d failed, and what was acknowledged is not there", n);
            if (error && whole && !(answer_may_be_lost && error->code == SL_EDISCONNECTED))
                fail_msg("number %d failed with \"%s\", and yet it is there", n, error->message);
            if (whole)
                sl_transact(clean, NULL);
        }
        if (left > 0) {
            assert_true(n > 1);
            return;
        }
    }
}

/* ---- Statements -------------------------------------------------------------------------------------- */

static int statements_left, others_left;
static const sl__driver *real_driver;
static sl__driver failing_driver;

static sl_error *failing_run(sl__connection *connection, const sl__statement *statement,
                             sl__cursor **ret_cursor)
{
    if (is_now(&statements_left))
        return sl__error_new(statement->site, SL_EIO, "this statement fails");
    return real_driver->run(connection, statement, ret_cursor);
}

static sl_error *failing_step(sl__cursor *cursor, bool *ret_row)
{
    return is_now(&others_left) ? sl_error_new(SL_EIO, "this row fails") : real_driver->step(cursor, ret_row);
}

static sl_error *failing_begin(sl_store *store, const sl__begin *how, sl__connection **ret_connection)
{
    return is_now(&others_left) ? sl_error_new(SL_EIO, "this begin fails")
                                : real_driver->begin(store, how, ret_connection);
}

static sl_error *failing_become_writer(sl__connection *connection, const sl__begin *how)
{
    return is_now(&others_left) ? sl_error_new(SL_EIO, "this writer fails")
                                : real_driver->become_writer(connection, how);
}

static sl_error *failing_commit(sl__connection *connection)
{
    if (!is_now(&others_left))
        return real_driver->commit(connection);
    real_driver->rollback(connection);
    return sl_error_new(SL_EIO, "this commit fails");
}

static int arm_statements(int n)
{
    int left = statements_left;
    statements_left = n;
    return left;
}

static int arm_others(int n)
{
    int left = others_left;
    others_left = n;
    return left;
}

static void use_failing_driver(void)
{
    sl_store *store = sl_store_open(NULL);
    real_driver = store->driver;
    failing_driver = *real_driver;
    failing_driver.run = failing_run;
    failing_driver.step = failing_step;
    failing_driver.begin = failing_begin;
    failing_driver.become_writer = failing_become_writer;
    failing_driver.commit = failing_commit;
    store->driver = &failing_driver;
}

TEST(the_nth_statement_fails)
{
    use_failing_driver();
    for_every_n(arm_statements, 100);
}

TEST(the_nth_row_begin_or_commit_fails)
{
    use_failing_driver();
    for_every_n(arm_others, 200);
}

TEST(all_from_the_nth_statement_on_fail)
{
    use_failing_driver();
    lasting = true;
    for_every_n(arm_statements, 100);
}

/* ---- libpq: it has no memory left, or has lost the server ---------------------------------------------- */

static int calls_left;
static sl__libpq libpq;

static int failing_send_params(PGconn *conn, const char *sql, int count, const Oid *types,
                               const char *const *values, const int *lengths, const int *formats, int format)
{
    return !is_now(&calls_left) &&
           libpq.sendQueryParams(conn, sql, count, types, values, lengths, formats, format);
}

static int failing_send_prepare(PGconn *conn, const char *name, const char *sql, int count, const Oid *types)
{
    return !is_now(&calls_left) && libpq.sendPrepare(conn, name, sql, count, types);
}

static int failing_send_prepared(PGconn *conn, const char *name, int count, const char *const *values,
                                 const int *lengths, const int *formats, int format)
{
    return !is_now(&calls_left) &&
           libpq.sendQueryPrepared(conn, name, count, values, lengths, formats, format);
}

static int failing_sync_point(PGconn *conn)
{
    return !is_now(&calls_left) && libpq.pipelineSync(conn);
}

static int failing_flush(PGconn *conn)
{
    return is_now(&calls_left) ? -1 : libpq.flush(conn);
}

static int failing_consume(PGconn *conn)
{
    return !is_now(&calls_left) && libpq.consumeInput(conn);
}

static int arm_calls(int n)
{
    int left = calls_left;
    calls_left = n;
    return left;
}

TEST(the_nth_call_of_libpq_fails)
{
    sl__libpq *used = &((sl__postgres *)sl_store_open(NULL)->data)->pq;
    libpq = *used;
    used->sendQueryParams = failing_send_params;
    used->sendPrepare = failing_send_prepare;
    used->sendQueryPrepared = failing_send_prepared;
    used->pipelineSync = failing_sync_point;
    used->flush = failing_flush;
    used->consumeInput = failing_consume;
    answer_may_be_lost = true;
    for_every_n(arm_calls, 500);
}

/* ---- SQLite's memory ----------------------------------------------------------------------------------- */

static int allocations_left;
static sqlite3_mem_methods memory;

static bool allocation_fails(void)
{
    return is_now(&allocations_left);
}

static void *failing_malloc(int size)
{
    return allocation_fails() ? NULL : memory.xMalloc(size);
}

static void *failing_realloc(void *old, int size)
{
    return allocation_fails() ? NULL : memory.xRealloc(old, size);
}

static int arm_allocations(int n)
{
    int left = allocations_left;
    allocations_left = n;
    return left;
}

TEST(the_nth_allocation_of_sqlite_fails)
{
    for_every_n(arm_allocations, 2000);
}

TEST(sqlite_has_no_memory_from_the_nth_on)
{
    lasting = true;
    for_every_n(arm_allocations, 2000);
}

/* ---- SQLite's disk ----------------------------------------------------------------------------------- */

static int writes_left, syncs_left;
static int disk_code = SQLITE_IOERR_WRITE;
static sqlite3_vfs vfs, *real_vfs;

/* SQLite has a table of methods for databases, and another for its other files. */
static struct wrapped {
    sqlite3_io_methods methods;
    const sqlite3_io_methods *real;
} wrapped[4];

static const sqlite3_io_methods *real_methods(sqlite3_file *file)
{
    return ((const struct wrapped *)file->pMethods)->real;
}

static int failing_write(sqlite3_file *file, const void *data, int size, sqlite3_int64 offset)
{
    if (is_now(&writes_left))
        return disk_code;
    return real_methods(file)->xWrite(file, data, size, offset);
}

static int failing_sync(sqlite3_file *file, int flags)
{
    if (is_now(&syncs_left))
        return SQLITE_IOERR_FSYNC;
    return real_methods(file)->xSync(file, flags);
}

static int open_failing(sqlite3_vfs *self, const char *name, sqlite3_file *file, int flags, int *ret_flags)
{
    (void)self;
    int code = real_vfs->xOpen(real_vfs, name, file, flags, ret_flags);
    if (code != SQLITE_OK || !file->pMethods)
        return code;
    struct wrapped *w = wrapped;
    while (w->real && w->real != file->pMethods)
        w++;
    w->real = file->pMethods;
    w->methods = *w->real;
    w->methods.xWrite = failing_write;
    w->methods.xSync = failing_sync;
    file->pMethods = &w->methods;
    return code;
}

static int arm_writes(int n)
{
    int left = writes_left;
    disk_code = SQLITE_IOERR_WRITE;
    writes_left = n;
    return left;
}

static int arm_full(int n)
{
    int left = arm_writes(n);
    disk_code = SQLITE_FULL;
    return left;
}

static int arm_syncs(int n)
{
    int left = syncs_left;
    syncs_left = n;
    return left;
}

TEST(the_nth_write_fails)
{
    for_every_n(arm_writes, 200);
}

TEST(the_disk_is_full_at_the_nth_write)
{
    for_every_n(arm_full, 200);
}

TEST(the_disk_stays_full_from_the_nth_write_on)
{
    lasting = true;
    for_every_n(arm_full, 200);
}

TEST(the_nth_sync_fails)
{
    for_every_n(arm_syncs, 50);
}

static void prepare_sqlite(void)
{
    sqlite3_config(SQLITE_CONFIG_GETMALLOC, &memory);
    sqlite3_mem_methods failing = memory;
    failing.xMalloc = failing_malloc;
    failing.xRealloc = failing_realloc;
    sqlite3_config(SQLITE_CONFIG_MALLOC, &failing);
    sqlite3_initialize();
    real_vfs = sqlite3_vfs_find(NULL);
    vfs = *real_vfs;
    vfs.zName = "failing";
    vfs.xOpen = open_failing;
    sqlite3_vfs_register(&vfs, /* as the default= */ 1);
}

/* ---- kill -9 ----------------------------------------------------------------------------------------- */

static int to_parent, round_now;

static void *write_number(void *data)
{
    sl_add(sl_new(person, .name = sl_printf("%lld", (long long)(intptr_t)data)));
    return NULL;
}

static void *write_numbers(void *data)
{
    for (intptr_t i = 0;; i++)
        SL_SCRATCH()
        {
            int64_t number = ((round_now * 16 + (intptr_t)data) << 32) | i; /* no two are the same */
            sl_transact(write_number, (void *)(intptr_t)number, .retries = 3);
            if (write(to_parent, &number, sizeof number) != sizeof number) /* acknowledged */
                return NULL;
        }
}

static void *write_until_killed(void *data)
{
    sl_error *error = NULL;
    sl_store_declare(sl_root_current(), "store", data, &error);
    SL_SCOPE(scope)
    {
        for (intptr_t task = 1; task <= 10; task++)
            sl_go(write_numbers, (void *)task);
    }
    return NULL;
}

static void check_acknowledged(const int64_t *numbers, size_t count)
{
    for (size_t i = 0; i < count; i++)
        SL_SCRATCH()
        {
            if (sl_count(sl_find(person, sl_eq(person_.name, sl_printf("%lld", (long long)numbers[i])))) != 1)
                fail_msg("%lld was acknowledged and is not there once", (long long)numbers[i]);
        }
}

TEST(nothing_acknowledged_is_lost_by_kill_9)
{
    static int64_t numbers[100000];
    size_t count = 0;
    for (int round = 0; round < 5; round++) {
        int pipes[2];
        assert_int_equal(pipe(pipes), 0);
        char *url = sl_strdup(sl_store_open(NULL)->url);
        pid_t child = fork();
        if (child == 0) {
            close(pipes[0]);
            to_parent = pipes[1];
            execl("/proc/self/exe", "faults", "--write", url, sl_printf("%d", pipes[1]),
                  sl_printf("%d", round), (char *)NULL);
            _exit(127);
        }
        close(pipes[1]);
        size_t wanted = count + 30 + 37 * (size_t)round;
        while (count < wanted && read(pipes[0], &numbers[count], sizeof numbers[0]) == sizeof numbers[0])
            count++;
        assert_int_equal(count, wanted);
        kill(child, SIGKILL);
        while (count < sl_array_size(numbers) &&
               read(pipes[0], &numbers[count], sizeof numbers[0]) == sizeof numbers[0])
            count++; /* what it had acknowledged until then */
        int status;
        waitpid(child, &status, 0);
        assert_true(WIFSIGNALED(status));
        close(pipes[0]);
        check_acknowledged(numbers, count);
        sl_transact(clean, NULL);
        count = 0;
    }
}

int main(int argc, char **argv)
{
    if (argc > 4 && strcmp(argv[1], "--write") == 0) {
        to_parent = atoi(argv[3]);
        round_now = atoi(argv[4]);
        return sl_run("writer", write_until_killed, argv[2], NULL) < 0;
    }
    prepare_sqlite();
    const struct CMUnitTest tests[] = {
        IN_BOTH(the_nth_statement_fails),
        IN_BOTH(all_from_the_nth_statement_on_fail),
        IN_BOTH(the_nth_row_begin_or_commit_fails),
        IN_POSTGRES(the_nth_call_of_libpq_fails),
        IN_SQLITE(sqlite_has_no_memory_from_the_nth_on),
        IN_SQLITE(the_disk_stays_full_from_the_nth_write_on),
        IN_SQLITE(the_nth_allocation_of_sqlite_fails),
        IN_SQLITE(the_nth_write_fails),
        IN_SQLITE(the_disk_is_full_at_the_nth_write),
        IN_SQLITE(the_nth_sync_fails),
        IN_BOTH(nothing_acknowledged_is_lost_by_kill_9),
    };
    return world_main(argc, argv, tests, sl_array_size(tests));
}
