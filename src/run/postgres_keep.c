/* postgres_keep.c: the process that keeps an application's PostgreSQL.
 *
 * It makes the cluster where there is none (beside its place, and renames it: one that was begun and not
 * finished is begun anew), starts PostgreSQL, starts it anew when it dies, and stops it when nobody uses it
 * any more: then the lock on var/postgres.users is free, which a thread waits for, or the last user says so
 * with SIGTERM. PostgreSQL itself ends with this process, however that ends.
 *
 * PostgreSQL refuses to run as root. Then its processes get a namespace in which this user is called another
 * way: to the rest of the system they are root without its powers, so they can use root's files and no
 * others. Where the system has no such namespace for us they become the user postgres. */
#include "run/postgres.h"
#include "run/run.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <grp.h>
#include <linux/capability.h>
#include <pthread.h>
#include <pwd.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define START_MS 50000
#define STEP_MS 10
#define PATIENCE_S 10  /* with its fast shutdown; then it is stopped at once, and repairs itself next time */
#define FAILURES_MAX 5 /* in a row without being ready in between */
#define PAUSE_MS 200
#define LOG_MAX (4 << 20)
#define SAID_MAX 1500
#define NOBODY_ID 65534

struct keeper {
    const char *application, *sockets;
    char *data, *making, *programs, *log, *database;
    int users;
    pid_t parent;
};

/* For the signals' handlers. */
static atomic_int server; /* PostgreSQL's process, or 0 */
static atomic_bool stopping;

static void stop_server(int number)
{
    int pid = atomic_load(&server);
    atomic_store(&stopping, true);
    alarm(PATIENCE_S);
    if (pid)
        kill(pid, SIGINT);
}

static void stop_at_once(int number)
{
    int pid = atomic_load(&server);
    if (pid)
        kill(pid, SIGQUIT);
}

static void pause_ms(long ms)
{
    nanosleep(&(struct timespec){.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000L}, NULL);
}

/* ---- Notes ------------------------------------------------------------------------------------------- */

static void note(const char *word, const char *text)
{
    char *line = sl_printf_heap("%d\n%s%s%s", (int)getpid(), word, *word ? " " : "", text);
    size_t size = strlen(line);
    /* Whoever reads it meanwhile finds a shorter note, and reads again. */
    if (ftruncate(POSTGRES_KEEPER_FD, 0) < 0 || pwrite(POSTGRES_KEEPER_FD, line, size, 0) != (ssize_t)size)
        _exit(1);
    free(line);
}

/* The last lines of its log. malloc'ed. */
static char *last_said(const struct keeper *keeper)
{
    char text[SAID_MAX + 1];
    int fd = open(keeper->log, O_RDONLY | O_CLOEXEC);
    off_t end = fd < 0 ? 0 : lseek(fd, 0, SEEK_END);
    ssize_t size = fd < 0 ? 0 : pread(fd, text, SAID_MAX, end > SAID_MAX ? end - SAID_MAX : 0);
    if (fd >= 0)
        close(fd);
    text[size > 0 ? size : 0] = '\0';
    const char *begin = end > SAID_MAX && strchr(text, '\n') ? strchr(text, '\n') + 1 : text;
    return sl_strdup_heap(begin);
}

SL_NORETURN static void fail_saying(const struct keeper *keeper, const char *what)
{
    char *said = last_said(keeper);
    char *text = sl_printf_heap("%s\n%s/var/postgres.log says:\n%s", what, keeper->application, said);
    note(POSTGRES_FAILED, text);
    free(text);
    free(said);
    exit(1);
}

/* ---- Its processes ----------------------------------------------------------------------------------- */

static bool write_map(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    bool written = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);
    if (fd >= 0)
        close(fd);
    return written;
}

/* PostgreSQL's user is called another way in a namespace of its own. */
static bool enter_namespace(unsigned user)
{
    unsigned group = getegid();
    char users[64], groups[64];
    snprintf(users, sizeof(users), "%u 0 1", user);
    snprintf(groups, sizeof(groups), "%u %u 1", user, group);
    return unshare(CLONE_NEWUSER) == 0 && write_map("/proc/self/setgroups", "deny") &&
           write_map("/proc/self/uid_map", users) && write_map("/proc/self/gid_map", groups);
}

/* Becomes another user who keeps one of root's powers, to reach and to write files, since the application may
 * lie where only root comes. */
static bool change_user(unsigned user, unsigned group)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct kept[2] = {{0}};
    kept[0].permitted = kept[0].effective = kept[0].inheritable = 1u << CAP_DAC_OVERRIDE;
    return prctl(PR_SET_KEEPCAPS, 1) == 0 && setgroups(0, NULL) == 0 && setresgid(group, group, group) == 0 &&
           setresuid(user, user, user) == 0 && syscall(SYS_capset, &header, kept) == 0 &&
           prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_DAC_OVERRIDE, 0, 0) == 0;
}

static int give_one(const char *path, const struct stat *status, int kind, struct FTW *where)
{
    const struct passwd *user = getpwnam("postgres");
    return lchown(path, user ? user->pw_uid : NOBODY_ID, user ? user->pw_gid : NOBODY_ID);
}

/* Root becomes somebody else: the user postgres, whom Debian's package makes, for PostgreSQL wants its user
 * to have a name. By a namespace; or, where there is none to be had (in a chroot, in some containers), by a
 * change of the user. Whose the files are tells which it was when the database was made. */
static bool be_somebody(const struct keeper *keeper)
{
    if (geteuid() != 0)
        return true;
    const struct passwd *user = getpwnam("postgres");
    unsigned id = user ? user->pw_uid : NOBODY_ID, group = user ? user->pw_gid : NOBODY_ID;
    struct stat data;
    const char *place = stat(keeper->data, &data) == 0 ? keeper->data : keeper->making;
    bool there = stat(place, &data) == 0;
    if (there && data.st_uid != 0)
        return change_user(data.st_uid, data.st_gid);
    if (enter_namespace(id))
        return true;
    /* What root copied is root's now. */
    return (!there || nftw(place, give_one, 16, FTW_PHYS) == 0) && change_user(id, group);
}

SL_NORETURN static void become(const struct keeper *keeper, int input, char *arguments[])
{
    char *program = sl_printf_heap("%s/%s", keeper->programs, arguments[0]);
    int log = open(keeper->log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (log < 0 || dup2(input, STDIN_FILENO) < 0 || dup2(log, STDOUT_FILENO) < 0 ||
        dup2(log, STDERR_FILENO) < 0)
        _exit(126);
    close(POSTGRES_KEEPER_FD);
    close(keeper->users);
    if (!be_somebody(keeper)) {
        dprintf(
            STDERR_FILENO,
            "PostgreSQL does not run as root, and this system lets us neither take another name for it (user "
            "namespaces) nor become another user: %s\n"
            "serve as an ordinary user, or say in CONFIG_PG_DBNAME, _USER, _PASSWORD, _HOST and _PORT which "
            "PostgreSQL to use\n",
            strerror(errno));
        _exit(126);
    }
    prctl(PR_SET_PDEATHSIG, SIGINT);
    if (getppid() != keeper->parent)
        _exit(126);
    signal(SIGINT, SIG_DFL);
    signal(SIGHUP, SIG_DFL);
    signal(SIGTERM, SIG_DFL);
    setenv("LC_ALL", "C.UTF-8", 1);
    arguments[0] = program; /* by its path they find their neighbours */
    execv(program, arguments);
    dprintf(STDERR_FILENO, "%s cannot be run: %s\n", program, strerror(errno));
    _exit(127);
}

static pid_t start(const struct keeper *keeper, int input, char *arguments[])
{
    pid_t pid = fork();
    if (pid == 0)
        become(keeper, input, arguments);
    return pid;
}

static int wait_for(pid_t pid)
{
    int status = -1;
    while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
        continue;
    return status;
}

/* ---- The cluster ------------------------------------------------------------------------------------- */

static int remove_one(const char *path, const struct stat *status, int kind, struct FTW *where)
{
    return remove(path);
}

/* The database is made by the server alone, without a network: nobody sees a cluster that has none. */
static int make_database(const struct keeper *keeper, const char *data, const char *name)
{
    int input[2];
    char *statement = sl_printf_heap("CREATE DATABASE \"%s\"\n", name);
    char *arguments[] = {"postgres", "--single", "-D", (char *)data, "postgres", NULL};
    if (pipe2(input, O_CLOEXEC) < 0)
        return -1;
    ssize_t written = write(input[1], statement, strlen(statement)); /* fits into an empty pipe */
    close(input[1]);
    int status = written < 0 ? -1 : wait_for(start(keeper, input[0], arguments));
    close(input[0]);
    free(statement);
    return status;
}

static bool note_name(const char *data, const char *name)
{
    char *path = sl_printf_heap("%s/silver", data);
    FILE *file = fopen(path, "we");
    free(path);
    return file && fputs(name, file) >= 0 && fclose(file) == 0;
}

static void make_cluster(const struct keeper *keeper, const char *name)
{
    const char *making = keeper->making;
    /* Texts are in the order of SQLite, and what they begin with is found by an index. */
    char *arguments[] = {"initdb",
                         "-D",
                         keeper->making,
                         "-U",
                         (char *)name,
                         "--encoding=UTF8",
                         "--locale=C.UTF-8",
                         "--lc-collate=C",
                         "--auth-local=trust",
                         "--auth-host=reject",
                         "--no-instructions",
                         NULL};
    nftw(making, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    if (wait_for(start(keeper, STDIN_FILENO, arguments)) != 0)
        fail_saying(keeper, "the database cannot be made: initdb failed");
    if (make_database(keeper, making, name) != 0)
        fail_saying(keeper, "the database cannot be made");
    if (!note_name(making, name) || rename(making, keeper->data) < 0)
        fail_saying(keeper, "the database cannot be put in its place");
}

/* The name that it was made with: the application's may have changed since. malloc'ed; or NULL. */
static char *read_name(const struct keeper *keeper)
{
    char *path = sl_printf_heap("%s/silver", keeper->data), name[128];
    FILE *file = fopen(path, "re");
    bool there = file && fgets(name, sizeof(name), file);
    free(path);
    if (file)
        fclose(file);
    return there ? sl_strdup_heap(name) : NULL;
}

/* ---- The server -------------------------------------------------------------------------------------- */

/* The eighth line of postmaster.pid says how it is, once that is this server's. */
static bool is_ready(const struct keeper *keeper, pid_t pid)
{
    char *path = sl_printf_heap("%s/postmaster.pid", keeper->data), line[256];
    FILE *file = fopen(path, "re");
    bool ready = false;
    free(path);
    for (int i = 1; file && fgets(line, sizeof(line), file); i++) {
        if (i == 1 && atoi(line) != pid) /* what a server that was killed left behind says "ready" too */
            break;
        ready = i == 8 && strncmp(line, "ready", 5) == 0;
    }
    if (file)
        fclose(file);
    return ready;
}

static pid_t start_server(const struct keeper *keeper)
{
    char *sockets = sl_printf_heap("unix_socket_directories=%s", keeper->sockets);
    char *arguments[] = {"postgres",
                         "-D",
                         keeper->data,
                         "-c",
                         "listen_addresses=",
                         "-c",
                         sockets,
                         "-c",
                         "unix_socket_permissions=0700",
                         "-c",
                         "port=" POSTGRES_PORT,
                         "-c",
                         "max_prepared_transactions=64", /* for transactions that SQLite takes part in, too */
                         "-c",
                         "logging_collector=off",
                         "-c",
                         "log_destination=stderr",
                         NULL};
    pid_t pid = start(keeper, STDIN_FILENO, arguments);
    free(sockets);
    return pid;
}

/* Serves until it ends. Whether it was ready. */
static bool serve_once(const struct keeper *keeper)
{
    bool ready = false;
    pid_t pid = start_server(keeper), ended = 0;
    if (pid < 0)
        return false;
    atomic_store(&server, pid);
    if (atomic_load(&stopping))
        stop_server(0);
    for (int waited = 0; !ready && !ended && waited < START_MS; waited += STEP_MS) {
        ready = is_ready(keeper, pid);
        if (!ready && (ended = waitpid(pid, NULL, WNOHANG)) == 0)
            pause_ms(STEP_MS);
    }
    if (ready) {
        char *text = sl_printf_heap("%s\t%s", keeper->sockets, keeper->database);
        note(POSTGRES_READY, text);
        free(text);
    } else if (!ended) {
        kill(pid, SIGQUIT);
    }
    if (!ended)
        wait_for(pid);
    atomic_store(&server, 0);
    note("", "");
    return ready;
}

static void serve(const struct keeper *keeper)
{
    int failures = 0;
    while (!atomic_load(&stopping)) {
        failures = serve_once(keeper) ? 0 : failures + 1;
        if (failures == FAILURES_MAX)
            fail_saying(keeper, "PostgreSQL does not start");
        if (!atomic_load(&stopping))
            pause_ms(PAUSE_MS * (failures + 1));
    }
}

/* ---- The whole --------------------------------------------------------------------------------------- */

static void *wait_for_users(void *data)
{
    const struct keeper *keeper = data;
    while (flock(keeper->users, LOCK_EX) < 0 && errno == EINTR)
        continue;
    kill(getpid(), SIGTERM);
    return NULL;
}

static void rotate_log(const struct keeper *keeper)
{
    struct stat status;
    if (stat(keeper->log, &status) < 0 || status.st_size < LOG_MAX)
        return;
    char *old = sl_printf_heap("%s.1", keeper->log);
    rename(keeper->log, old);
    free(old);
}

static int open_users(const char *application)
{
    char *path = sl_printf_heap("%s/var/postgres.users", application);
    int fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    free(path);
    return fd;
}

int run_postgres(int argc, char **argv)
{
    struct stat status;
    if (argc != 4 || fstat(POSTGRES_KEEPER_FD, &status) < 0 ||
        flock(POSTGRES_KEEPER_FD, LOCK_EX | LOCK_NB) < 0) {
        fputs("silver postgres: this is started by `silver serve`, and not by hand\n", stderr);
        return 2;
    }
    fcntl(POSTGRES_KEEPER_FD, F_SETFD, FD_CLOEXEC);
    if (fork() != 0)
        _exit(
            0); /* who started us may live on, and must not have to wait for us; the child has the lock too */
    struct keeper keeper = {
        .application = argv[1],
        .sockets = sl_printf_heap("%s/postgres", argv[2]),
        .data = sl_printf_heap("%s/var/postgres", argv[1]),
        .making = sl_printf_heap("%s/var/postgres.new", argv[1]),
        .log = sl_printf_heap("%s/var/postgres.log", argv[1]),
        .users = open_users(argv[1]),
        .parent = getpid(),
    };
    sl_error *error = NULL;
    note("", "");
    signal(SIGINT, SIG_IGN);
    signal(SIGHUP, SIG_IGN);
    sigaction(SIGTERM, &(struct sigaction){.sa_handler = stop_server}, NULL);
    sigaction(SIGALRM, &(struct sigaction){.sa_handler = stop_at_once}, NULL);
    rotate_log(&keeper);
    if (keeper.users < 0 || (mkdir(keeper.sockets, 0700) < 0 && errno != EEXIST))
        fail_saying(&keeper, "its directories cannot be used");
    if (postgres_programs(keeper.data, &keeper.programs, &error) < 0) {
        note(POSTGRES_FAILED, error->message);
        return 1;
    }
    pthread_t thread;
    if (access(keeper.data, F_OK) < 0)
        make_cluster(&keeper, argv[3]);
    keeper.database = read_name(&keeper);
    if (!keeper.database)
        fail_saying(&keeper, "var/postgres is none of ours: there is no file silver in it");
    if (pthread_create(&thread, NULL, wait_for_users, &keeper) != 0)
        return 1;
    serve(&keeper);
    return 0;
}
