/* postgres_server.c: see postgres_server.h.
 *
 * The guardian is forked from the test and talks with it over a pair of sockets: "s" starts the server and is
 * answered when it is ready, "k" and a signal's number ends it, and the end of the socket, which comes when
 * the test is gone, ends everything. */
#include "postgres_server.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <glob.h>
#include <grp.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define READY_MS 60000
#define STEP_MS 10
#define SKIPPED 77 /* to Meson */
#define NOBODY 65534
#define MEMORY "/dev/shm"
#define ROOM (1024 * 1024 * 1024ull)

static char programs[256], directory[64], data_directory[80], log_path[80], url[160];
static int guardian_socket = -1;
static pid_t guardian, server;
static const postgres_server_options *server_options;

static void die(const char *what)
{
    fprintf(stderr, "PostgreSQL for the test: %s: %s\n", what, strerror(errno));
    exit(1);
}

static bool find_programs(void)
{
    glob_t found;
    bool there = glob("/usr/lib/postgresql/*/bin/postgres", 0, NULL, &found) == 0 && found.gl_pathc;
    if (there) {
        snprintf(programs, sizeof programs, "%s", found.gl_pathv[found.gl_pathc - 1]);
        *strrchr(programs, '/') = '\0';
    }
    globfree(&found);
    return there;
}

/* ---- Processes ----------------------------------------------------------------------------------------- */

/* PostgreSQL refuses to run as root. */
static const struct passwd *other_user(void)
{
    static struct passwd nobody = {.pw_uid = NOBODY, .pw_gid = NOBODY};
    struct passwd *user = geteuid() == 0 ? getpwnam("postgres") : NULL;
    return geteuid() != 0 ? NULL : user ? user : &nobody;
}

/* The programs look for each other in the directory that the first argument says: it becomes the whole path.
 */
static pid_t run(const char *program, char *arguments[])
{
    char path[320];
    pid_t parent = getpid(), pid = fork();
    if (pid != 0)
        return pid;
    const struct passwd *user = other_user();
    int log = open(log_path, O_WRONLY | O_CREAT | O_APPEND, 0644), null = open("/dev/null", O_RDONLY);
    dup2(null, STDIN_FILENO);
    dup2(log, STDOUT_FILENO);
    dup2(log, STDERR_FILENO);
    if (user && (setgroups(0, NULL) < 0 || setresgid(user->pw_gid, user->pw_gid, user->pw_gid) < 0 ||
                 setresuid(user->pw_uid, user->pw_uid, user->pw_uid) < 0))
        _exit(126);
    prctl(PR_SET_PDEATHSIG, SIGQUIT); /* should the guardian be killed too */
    if (getppid() != parent || chdir(directory) < 0)
        _exit(126);
    setenv("LC_ALL", "C.UTF-8", 1);
    unsetenv("LD_PRELOAD");
    snprintf(path, sizeof path, "%s/%s", programs, program);
    arguments[0] = path;
    execv(path, arguments);
    _exit(127);
}

static int wait_for(pid_t pid)
{
    int status = -1;
    while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
        continue;
    return status;
}

static void pause_ms(long ms)
{
    nanosleep(&(struct timespec){.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000L}, NULL);
}

static bool is_ready(void)
{
    char path[96], line[256];
    bool ready = false;
    snprintf(path, sizeof path, "%s/postmaster.pid", data_directory);
    FILE *file = fopen(path, "re");
    for (int i = 1; file && fgets(line, sizeof line, file); i++) {
        if (i == 1 && atoi(line) != server)
            break;
        ready = i == 8 && strncmp(line, "ready", 5) == 0;
    }
    if (file)
        fclose(file);
    return ready;
}

/* ---- The guardian -------------------------------------------------------------------------------------- */

static bool make_cluster(void)
{
    char *arguments[] = {"initdb",
                         "-D",
                         data_directory,
                         "-U",
                         "postgres",
                         "--auth=trust",
                         "--no-sync",
                         "--no-instructions",
                         "--encoding=UTF8",
                         "--locale=C.UTF-8",
                         NULL};
    return wait_for(run("initdb", arguments)) == 0;
}

static bool start_server(void)
{
    char sockets[96];
    char *arguments[64] = {"postgres", "-D", data_directory};
    const char *settings[] = {"listen_addresses=",
                              sockets,
                              "port=5432",
                              server_options->fsync ? "fsync=on" : "fsync=off",
                              "logging_collector=off",
                              "max_prepared_transactions=16",
                              "max_connections=40",
                              "shared_buffers=16MB"};
    int count = 3;
    snprintf(sockets, sizeof sockets, "unix_socket_directories=%s", directory);
    for (size_t i = 0; i < sizeof settings / sizeof *settings; i++) {
        arguments[count++] = "-c";
        arguments[count++] = (char *)settings[i];
    }
    for (int i = 0; i < 16 && server_options->settings[i]; i++) {
        arguments[count++] = "-c";
        arguments[count++] = (char *)server_options->settings[i];
    }
    server = run("postgres", arguments);
    for (int waited = 0; server > 0 && waited < READY_MS; waited += STEP_MS) {
        if (is_ready())
            return true;
        if (waitpid(server, NULL, WNOHANG) != 0)
            break;
        pause_ms(STEP_MS);
    }
    return false;
}

/* After a crash its children, which hold the shared memory, go as soon as they notice: only then can another
 * start. */
static void stop_server(int number)
{
    char path[96];
    if (server <= 0)
        return;
    kill(server, number);
    while (wait(NULL) > 0 || errno == EINTR) /* ours by PR_SET_CHILD_SUBREAPER */
        continue;
    server = 0;
    snprintf(path, sizeof path, "%s/postmaster.pid", data_directory);
    if (number == SIGKILL)
        unlink(path);
}

static int remove_one(const char *path, const struct stat *status, int kind, struct FTW *where)
{
    return remove(path);
}

static void guard(int socket)
{
    unsigned char command;
    setsid(); /* what ends the test by its group leaves us time to clean up */
    signal(SIGPIPE, SIG_IGN);
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    bool made = make_cluster();
    while (read(socket, &command, 1) == 1) {
        bool good = made;
        if (command == 's')
            good = good && start_server();
        else
            stop_server(command);
        if (write(socket, good ? "+" : "-", 1) != 1)
            break;
    }
    stop_server(SIGQUIT);
    nftw(directory, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    _exit(0);
}

/* ---- The test's side ----------------------------------------------------------------------------------- */

static void show_log(void)
{
    char line[512];
    FILE *file = fopen(log_path, "re");
    while (file && fgets(line, sizeof line, file))
        fputs(line, stderr);
    if (file)
        fclose(file);
}

static void ask(unsigned char command)
{
    char answer = 0;
    if (write(guardian_socket, &command, 1) != 1 || read(guardian_socket, &answer, 1) != 1)
        die("its guardian is gone");
    if (answer == '+')
        return;
    show_log();
    errno = EIO;
    die("it does not start");
}

static void end_guardian(void)
{
    if (guardian_socket < 0)
        return;
    close(guardian_socket);
    guardian_socket = -1;
    wait_for(guardian);
}

static bool has_room(const char *path)
{
    struct statvfs status;
    return access(path, W_OK) == 0 && statvfs(path, &status) == 0 &&
           status.f_bavail >= ROOM / status.f_frsize;
}

/* In memory where there is room: each database is some hundred files, and to make those is most of the work.
 */
static void make_directory(void)
{
    const struct passwd *user = other_user();
    snprintf(directory, sizeof directory, "%s/silver-postgres-XXXXXX", has_room(MEMORY) ? MEMORY : "/tmp");
    if (!mkdtemp(directory) || (user && chown(directory, user->pw_uid, user->pw_gid) < 0))
        die(directory);
    snprintf(data_directory, sizeof data_directory, "%s/data", directory);
    snprintf(log_path, sizeof log_path, "%s/log", directory);
    snprintf(url, sizeof url, "host=%s user=postgres dbname=postgres", directory);
}

void postgres_server_start(const postgres_server_options *options)
{
    int pair[2];
    if (guardian_socket >= 0)
        return;
    if (!find_programs()) {
        fputs("skipped: there is no PostgreSQL here (the package postgresql)\n", stderr);
        exit(SKIPPED);
    }
    server_options = options;
    make_directory();
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
        die("socketpair");
    guardian = fork();
    if (guardian < 0)
        die("fork");
    if (guardian == 0) {
        close(pair[0]);
        guard(pair[1]);
    }
    close(pair[1]);
    guardian_socket = pair[0];
    atexit(end_guardian);
    ask('s');
}

const char *postgres_server_url(void)
{
    return url;
}

const char *postgres_server_directory(void)
{
    return directory;
}

void postgres_server_stop(int number)
{
    ask((unsigned char)number);
}

void postgres_server_again(void)
{
    ask('s');
}

/* Its exit status, and what it printed. */
static int run_psql(const char *sql, char *out, size_t room)
{
    char psql[320];
    int pipes[2];
    size_t size = 0;
    snprintf(psql, sizeof psql, "%s/psql", programs);
    if (pipe2(pipes, O_CLOEXEC) < 0)
        die("pipe");
    pid_t pid = fork();
    if (pid == 0) {
        dup2(pipes[1], STDOUT_FILENO);
        unsetenv("LD_PRELOAD");
        execl(psql, "psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-h", directory, "-U",
              "postgres", "-c", sql, "postgres", (char *)NULL);
        _exit(127);
    }
    close(pipes[1]);
    for (ssize_t got; size < room - 1 && (got = read(pipes[0], out + size, room - 1 - size)) > 0;)
        size += (size_t)got;
    close(pipes[0]);
    while (size && out[size - 1] == '\n')
        size--;
    out[size] = '\0';
    return wait_for(pid);
}

const char *postgres_server_psql(const char *sql)
{
    enum { NO_CONNECTION = 2 << 8 /* psql's status: a server whose process was killed recovers first */ };
    static char out[4096];
    int status = NO_CONNECTION;
    for (int i = 0; i < 200 && status == NO_CONNECTION; i++) {
        if (i)
            pause_ms(50);
        status = run_psql(sql, out, sizeof out);
    }
    if (status != 0)
        die(sql);
    return out;
}

const char *postgres_server_database(const char *name)
{
    static char other[4][160];
    static unsigned next;
    char sql[128], *text = other[next++ % 4];
    snprintf(sql, sizeof sql, "CREATE DATABASE \"%s\"", name);
    postgres_server_psql(sql);
    snprintf(text, sizeof other[0], "host=%s user=postgres dbname=%s", directory, name);
    return text;
}
