/* The PostgreSQL driver behind pgbouncer in transaction mode, where each transaction may meet another session
 * of the server, with other prepared statements. */
#include "postgres_test.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

static const char *program;
static char sockets[80], pooler_url[160];
static pid_t pooler;

static void stop_pooler(void)
{
    if (pooler <= 0)
        return;
    kill(pooler, SIGKILL);
    waitpid(pooler, NULL, 0);
    pooler = 0;
}

static bool is_listening(void)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof address.sun_path, "%s/.s.PGSQL.6432", sockets);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool good = connect(fd, (struct sockaddr *)&address, sizeof address) == 0;
    close(fd);
    return good;
}

static void write_settings(const char *path)
{
    FILE *file = fopen(path, "we");
    CHECK(file);
    fprintf(
        file,
        "[databases]\n"
        "postgres = host=%s port=5432 user=postgres dbname=postgres\n"
        "[pgbouncer]\n"
        "listen_addr =\nlisten_port = 6432\nunix_socket_dir = %s\nauth_type = any\npool_mode = transaction\n"
        "default_pool_size = 2\nserver_round_robin = 1\nlogfile = %s/pooler.log\n",
        postgres_server_directory(), sockets, sockets);
    CHECK(fclose(file) == 0);
}

/* It does not run as root either. */
static void become_pooler(const char *path)
{
    const struct passwd *user = geteuid() == 0 ? getpwnam("postgres") : NULL;
    if (user && (setgroups(0, NULL) < 0 || setresgid(user->pw_gid, user->pw_gid, user->pw_gid) < 0 ||
                 setresuid(user->pw_uid, user->pw_uid, user->pw_uid) < 0))
        _exit(126);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    execl(program, "pgbouncer", "-q", path, (char *)NULL);
    _exit(127);
}

static void start_pooler(void)
{
    char path[128];
    snprintf(sockets, sizeof sockets, "%s", postgres_server_directory());
    snprintf(path, sizeof path, "%s/pooler.ini", sockets);
    snprintf(pooler_url, sizeof pooler_url, "host=%s port=6432 user=postgres dbname=postgres", sockets);
    write_settings(path);
    pooler = fork();
    if (pooler == 0)
        become_pooler(path);
    atexit(stop_pooler);
    for (int i = 0; !is_listening(); i++) {
        CHECK(i < 1000 && waitpid(pooler, NULL, WNOHANG) == 0);
        usleep(10000);
    }
}

/* A store behind the pooler. */
#define POOLED_TEST(name, connection_count) STORE_TEST_AT(name, pooler_url, connection_count)

/* Both sessions of the server are there from now on, and take turns. */
static void open_both(sl_store *store)
{
    sl__connection *a = BEGIN(), *b = BEGIN();
    OK(execute(a, "SELECT 'a'::text WHERE false"));
    OK(execute(b, "SELECT 'b'::text WHERE false"));
    OK(driver->commit(a));
    OK(driver->commit(b));
}

POOLED_TEST(transactions_go_on, 4)
{
    open_both(store);
    sl__connection *c = BEGIN();
    OK(execute(c, "CREATE TABLE IF NOT EXISTS pooled (id bigint)"));
    OK(driver->commit(c));
    for (int64_t i = 0; i < 20; i++) {
        c = BEGIN();
        OK(execute_with(c, "INSERT INTO pooled VALUES ($1)", VALUES(INTEGER(i))));
        OK(execute(c, "SELECT count(*) FROM pooled"));
        OK(driver->commit(c));
    }
    CHECK(pool_of(store)->nameless && pool_of(store)->counts.resent >= 1);
    CHECK(read_number(store, "SELECT count(*) FROM pooled") == 20);
    CHECK(read_number(store, "SELECT (current_setting('TimeZone') = 'UTC')::int") == 1);
    CHECK(strcmp(postgres_server_psql("DROP TABLE pooled"), "") == 0);
}

static void *read_some(void *data)
{
    sl_store *store = data;
    for (int64_t i = 0; i < 20; i++) {
        int64_t value;
        sl__connection *c = BEGIN(.single = true);
        sl__statement s = statement_of("SELECT $1 + 1", VALUES(INTEGER(i)));
        OK(query(c, &s, &value));
        CHECK(value == i + 1);
        OK(driver->commit(c));
    }
    return NULL;
}

POOLED_TEST(single_reads_go_on, 4)
{
    open_both(store);
    SL_SCOPE(all)
    {
        for (int i = 0; i < 50; i++)
            sl_go(read_some, store);
    }
    CHECK(pool_of(store)->nameless);
}

/* In the middle of a transaction nothing can be repeated: it is for the caller to do so, who finds it mended.
 */
POOLED_TEST(the_middle_of_a_transaction_conflicts, 1)
{
    char first[10][16];
    sl_error *error = NULL;
    sl__connection *c;
    for (int i = 0; i < 10 && !error; i++) {
        c = BEGIN();
        snprintf(first[i], sizeof first[i], "SELECT %d", i);
        OK(execute(c, first[i]));
        error = execute(c, "SELECT 'again'");
        if (error)
            driver->rollback(c);
        else
            OK(driver->commit(c));
    }
    FAILS(error, SL_ECONFLICT, "prepared statement was lost");
    c = BEGIN();
    OK(execute(c, first[0]));
    OK(execute(c, "SELECT 'again'"));
    OK(driver->commit(c));
}

POOLED_TEST(the_rest_works_too, 4)
{
    static const char sql[] = "COPY poured (id) FROM STDIN";
    const sl_value values[] = {INTEGER(1), INTEGER(2), INTEGER(3)};
    int64_t rows = 0;
    sl__connection *c = BEGIN();
    OK(execute(c, "CREATE TABLE poured (id bigint)"));
    OK(sl__postgres_copy(c, sql, sizeof sql - 1, values, 1, 3, &rows));
    CHECK(rows == 3);
    OK(driver->prepare(c, "pooled"));
    OK(driver->decide(store, "pooled", /* commit= */ true));
    CHECK(read_number(store, "SELECT sum(id) FROM poured") == 6);
    sl__statement s = statement_of("SELECT 1 FROM pg_sleep(600)", NULL, 0);
    s.deadline = sl_loop_now(sl_loop_current()) + 30;
    c = BEGIN();
    FAILS(query(c, &s, NULL), SL_EBUDGET, "longer than it may");
    driver->rollback(c);
    UNTIL(strcmp(postgres_server_psql("SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'"),
                 "0") == 0);
    CHECK(read_number(store, "SELECT 9") == 9);
}

int main(void)
{
    program = access("/usr/sbin/pgbouncer", X_OK) == 0 ? "/usr/sbin/pgbouncer" : "/usr/bin/pgbouncer";
    if (access(program, X_OK) < 0) {
        fputs("skipped: there is no pgbouncer here (the package pgbouncer)\n", stderr);
        return 77;
    }
    postgres_server_need(.fsync = false);
    start_pooler();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(transactions_go_on),
        cmocka_unit_test(single_reads_go_on),
        cmocka_unit_test(the_middle_of_a_transaction_conflicts),
        cmocka_unit_test(the_rest_works_too),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
