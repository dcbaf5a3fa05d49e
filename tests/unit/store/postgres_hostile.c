/* The PostgreSQL driver and a server that does what no server should. It is one of the test's own, in a
 * process for each connection, and does what the SQL says that it is asked for. */
#include "postgres_test.h"
#include "store/postgres_libpq.h"

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static char directory[] = "/tmp/silver-hostile-XXXXXX", url[100], socket_path[100], tcp_url[100];
static pid_t servers[2];

/* ---- The server ---------------------------------------------------------------------------------------- */

typedef struct message {
    char kind;
    uint32_t size;
    char body[70000];
} message;

typedef struct session {
    int socket;
    bool open, panics; /* a transaction is open; its COMMIT ends the server */
    char names[64][40], texts[64][64];
    unsigned count;
    const char *sql; /* what is bound */
} session;

static bool read_all(int fd, void *data, size_t size)
{
    for (char *at = data; size;) {
        ssize_t got = read(fd, at, size);
        if (got <= 0)
            return false;
        at += got;
        size -= (size_t)got;
    }
    return true;
}

static void say(session *s, char kind, const void *body, uint32_t size)
{
    char head[5] = {kind};
    uint32_t all = htonl(size + 4);
    memcpy(head + 1, &all, 4);
    if (write(s->socket, head, 5) != 5 || write(s->socket, body, size) != (ssize_t)size)
        _exit(0);
}
#define SAY(kind, literal) say(s, (kind), "" literal, sizeof(literal) - 1)

static bool read_message(session *s, message *m)
{
    if (!read_all(s->socket, &m->kind, 1) || !read_all(s->socket, &m->size, 4))
        return false;
    m->size = ntohl(m->size) - 4;
    CHECK(m->size < sizeof m->body);
    return read_all(s->socket, m->body, m->size);
}

static void remember(session *s, const message *m)
{
    unsigned at = 0;
    const char *name = m->body, *sql = m->body + strlen(m->body) + 1;
    while (at < s->count && strcmp(s->names[at], name) != 0)
        at++;
    CHECK(at < 64);
    s->count += at == s->count;
    snprintf(s->names[at], sizeof s->names[at], "%.39s", name);
    snprintf(s->texts[at], sizeof s->texts[at], "%.63s", sql);
}

static void bind_it(session *s, const message *m)
{
    const char *name = m->body + strlen(m->body) + 1;
    for (unsigned i = 0; i < s->count; i++)
        if (strcmp(s->names[i], name) == 0)
            s->sql = s->texts[i];
}

static bool is_sql(const session *s, const char *begin)
{
    return strncmp(s->sql, begin, strlen(begin)) == 0;
}

/* One column, an integer of eight bytes in binary. */
#define ONE_COLUMN "\0\1n\0\0\0\0\0\0\0\0\0\0\x14\0\10\377\377\377\377\0\1"

static void describe(session *s)
{
    if (is_sql(s, "SELECT"))
        SAY('T', ONE_COLUMN);
    else
        SAY('n', "");
}

static void execute_it(session *s)
{
    if (is_sql(s, "COMMIT") && s->panics) {
        SAY('E', "SPANIC\0VPANIC\0C53100\0Mcould not write to file \"pg_wal\"\0\0");
        usleep(200000); /* its end is not to be seen at once */
        _exit(0);
    }
    s->panics = s->panics || is_sql(s, "PANIC");
    if (is_sql(s, "SELECT short"))
        SAY('D', "\0\1\0\0\0\3abc");
    if (is_sql(s, "SELECT wide"))
        SAY('D', "\0\3\0\0\0\10\0\0\0\0\0\0\0\1\0\0\0\1a\0\0\0\1b");
    if (is_sql(s, "SELECT none"))
        SAY('D', "\0\0");
    if (is_sql(s, "SELECT beyond"))
        SAY('D', "\0\1\0\0\1\0\0");
    if (is_sql(s, "SELECT one"))
        SAY('D', "\0\1\0\0\0\10\0\0\0\0\0\0\0\1");
    if (is_sql(s, "SELECT twice")) {
        SAY('D', "\0\1\0\0\0\10\0\0\0\0\0\0\0\1");
        SAY('C', "SELECT 1\0");
    }
    if (is_sql(s, "SELECT mute")) {
        SAY('E', "\0"); /* an error without any field */
        return;
    }
    s->open = is_sql(s, "BEGIN") || (s->open && !is_sql(s, "COMMIT") && !is_sql(s, "ROLLBACK"));
    if (is_sql(s, "INSERT"))
        SAY('C', "INSERT 0 99999999999999999999999\0");
    else
        say(s, 'C', s->sql, (uint32_t)strlen(s->sql) + 1);
}

static void serve(session *s)
{
    static message m;
    while (read_message(s, &m))
        switch (m.kind) {
        case 'P':
            remember(s, &m);
            SAY('1', "");
            break;
        case 'B':
            bind_it(s, &m);
            SAY('2', "");
            break;
        case 'D':
            describe(s);
            break;
        case 'E':
            execute_it(s);
            break;
        case 'S':
            say(s, 'Z', s->open ? "T" : "I", 1);
            break;
        case 'Q':
        case 'c':
            SAY('G', "\0\0\0"); /* more data, please; always */
            break;
        default:
            break;
        }
}

static void serve_connection(int fd)
{
    static session s;
    uint32_t size;
    static char startup[10000];
    s.socket = fd;
    if (!read_all(fd, &size, 4) || !read_all(fd, startup, ntohl(size) - 4))
        _exit(0);
    say(&s, 'R', "\0\0\0\0", 4);
    say(&s, 'S', "server_version\00015.0", 20);
    say(&s, 'K', "\0\0\0\1\0\0\0\1", 8);
    say(&s, 'Z', "I", 1);
    serve(&s);
    _exit(0);
}

static void remove_directory(void)
{
    kill(servers[0], SIGKILL);
    kill(servers[1], SIGKILL);
    unlink(socket_path);
    rmdir(directory);
}

static pid_t start_server(int fd, const void *address, socklen_t size)
{
    CHECK(bind(fd, address, size) == 0 && listen(fd, 64) == 0);
    pid_t server = fork();
    if (server)
        return server;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    signal(SIGCHLD, SIG_IGN);
    for (int one; (one = accept(fd, NULL, NULL)) >= 0; close(one))
        if (fork() == 0)
            serve_connection(one);
    _exit(0);
}

static void start_servers(void)
{
    CHECK(mkdtemp(directory));
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(url, sizeof url, "host=%s user=x dbname=x", directory);
    snprintf(socket_path, sizeof socket_path, "%s/.s.PGSQL.5432", directory);
    strcpy(address.sun_path, socket_path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    servers[0] = start_server(fd, &address, sizeof address);
    close(fd);

    struct sockaddr_in tcp = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof tcp;
    fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    servers[1] = start_server(fd, &tcp, size);
    CHECK(getsockname(fd, (struct sockaddr *)&tcp, &size) == 0);
    snprintf(tcp_url, sizeof tcp_url,
             "host=127.0.0.1 port=%u user=x dbname=x sslmode=disable keepalives_idle=7", ntohs(tcp.sin_port));
    close(fd);
    atexit(remove_directory);
}

/* ---- The tests ----------------------------------------------------------------------------------------- */

#define HOSTILE_TEST(name) STORE_TEST_AT(name, url, 2)

/* The log may have been written as far as the COMMIT, and be read again when the server is back. */
HOSTILE_TEST(a_server_that_dies_of_a_commit_leaves_it_unknown)
{
    sl__connection *c = BEGIN();
    OK(execute(c, "PANIC later"));
    FAILS(driver->commit(c), SL_EDISCONNECTED, "it is unknown whether the transaction was committed");
}

HOSTILE_TEST(copy_ends_though_more_is_asked_for)
{
    static const char sql[] = "COPY t FROM STDIN";
    const sl_value values[] = {INTEGER(1)};
    int64_t stored;
    sl__connection *c = BEGIN();
    FAILS(sl__postgres_copy(c, sql, sizeof sql - 1, values, 1, 1, &stored), SL_EINVAL, "no COPY");
    FAILS(driver->commit(c), SL_EDISCONNECTED, "");
    c = BEGIN();
    OK(execute(c, "SELECT one"));
    OK(driver->commit(c));
}

/* Each in a transaction, alone, and shared. */
static void reads(sl_store *store, const char *sql, int code, const char *text)
{
    for (int i = 0; i < 4; i++) {
        int64_t value;
        sl__connection *c = BEGIN(.single = i > 1);
        sl__statement s = statement_of(sql, NULL, 0);
        s.quick = i % 2;
        if (code)
            FAILS(query(c, &s, &value), code, text);
        else
            OK(query(c, &s, &value));
        driver->rollback(c);
        CHECK(read_number(store, "SELECT one") == 1);
    }
}

HOSTILE_TEST(rows_that_are_none_are_errors)
{
    reads(store, "SELECT one", 0, "");
    reads(store, "SELECT short", SL_EDATABASE, "");
    reads(store, "SELECT wide", SL_EDATABASE, "");
    reads(store, "SELECT none", SL_EDATABASE, "");
    reads(store, "SELECT beyond", SL_EDATABASE, "insufficient data");
    reads(store, "SELECT mute", SL_EDATABASE, "");
}

HOSTILE_TEST(numbers_are_bounded)
{
    sl__connection *c = BEGIN();
    sl__statement s = statement_of("INSERT", NULL, 0);
    sl__cursor *cursor;
    bool row;
    OK(driver->run(c, &s, &cursor));
    OK(driver->step(cursor, &row));
    CHECK(!row && cursor->changed == INT64_MAX);
    driver->close_cursor(cursor);
    driver->rollback(c);
}

static void look_at_socket(void *native, void *data)
{
    sl__libpq libpq;
    sl_error *error = NULL;
    CHECK(sl__libpq_load(&libpq, &error) == 0);
    int *seconds = data, fd = libpq.socket(native);
    socklen_t size = sizeof *seconds;
    CHECK(getsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &seconds[0], &size) == 0);
    CHECK(getsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &seconds[1], &size) == 0);
    CHECK(getsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &seconds[2], &size) == 0);
}

/* A server that vanishes says nothing: the kernel asks for it, as often as the URL says, or we do. */
HOSTILE_TEST(who_has_vanished_is_looked_for)
{
    sl_store_options options = {.connections = 2};
    sl_store far = test_store(&options);
    int seconds[3] = {0};
    far.url = tcp_url;
    OK(driver->open(&far));
    sl__connection *c = begin_it(&far, &(sl__begin){.site = SL_HERE});
    sl_error_unref(driver->lend(c, look_at_socket, seconds));
    CHECK(seconds[0] == 60000 && seconds[1] == 10 && seconds[2] == 7);
    driver->rollback(c);
    driver->close(&far);
}

int main(void)
{
    signal(SIGPIPE, SIG_IGN);
    start_servers();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_server_that_dies_of_a_commit_leaves_it_unknown),
        cmocka_unit_test(copy_ends_though_more_is_asked_for),
        cmocka_unit_test(rows_that_are_none_are_errors),
        cmocka_unit_test(numbers_are_bounded),
        cmocka_unit_test(who_has_vanished_is_looked_for),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
