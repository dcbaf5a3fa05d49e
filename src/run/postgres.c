/* postgres.c: using the application's own PostgreSQL. */
#include "run/postgres.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PLACE "/usr/lib/postgresql"        /* where Debian keeps all versions */
#define PLACE_VARIABLE "SILVER_POSTGRESQL" /* where else they may lie */
#define WAIT_MS 60000                      /* for a first start on a slow disk */
#define STOP_MS 20000
#define STEP_MS 10

extern char **environ;

static void wait_a_little(void)
{
    nanosleep(&(struct timespec){.tv_nsec = STEP_MS * 1000000L}, NULL);
}

/* ---- Where its programs are -------------------------------------------------------------------------- */

static bool has_programs(const char *place, const char *version, char **ret_path)
{
    char *server = sl_printf_heap("%s/%s/bin/postgres", place, version);
    bool there = access(server, X_OK) == 0;
    if (there)
        *ret_path = sl_printf_heap("%s/%s/bin", place, version);
    free(server);
    return there;
}

static int newest(const char *place, char **ret_path)
{
    DIR *folder = opendir(place);
    long best = -1;
    for (struct dirent *entry; folder && (entry = readdir(folder));) {
        char *end, *path = NULL;
        long version = strtol(entry->d_name, &end, 10);
        if (end == entry->d_name || *end || version <= best || !has_programs(place, entry->d_name, &path))
            continue;
        best = version;
        free(*ret_path);
        *ret_path = path;
    }
    if (folder)
        closedir(folder);
    return best < 0 ? SL_ENOENT : 0;
}

/* The version that made the data: "15". */
static bool made_by(const char *data, char version[static 16])
{
    char *path = sl_printf_heap("%s/PG_VERSION", data);
    FILE *file = fopen(path, "re");
    bool known = file && fgets(version, 16, file);
    free(path);
    if (file)
        fclose(file);
    if (known)
        version[strcspn(version, "\n")] = '\0';
    return known && *version;
}

int postgres_programs(const char *data, char **ret_path, sl_error **ret_error)
{
    const char *place = getenv(PLACE_VARIABLE);
    char version[16];
    char *path = NULL;
    if (!place || !*place)
        place = PLACE;
    if (made_by(data, version)) {
        if (has_programs(place, version, ret_path))
            return 0;
        *ret_error = sl_error_hint(
            sl_error_new(SL_ENOENT, "%s was made by PostgreSQL %s, which is not installed", data, version),
            "install it: `apt install postgresql-%s`; or move %s away, and its contents with it", version,
            data);
        return SL_ENOENT;
    }
    if (newest(place, &path) == 0) {
        *ret_path = path;
        return 0;
    }
    *ret_error = sl_error_hint(
        sl_error_new(SL_ENOENT, "service.postgres: PostgreSQL is not installed (nothing in %s)", place),
        "install it: `apt install postgresql`; or say in CONFIG_PG_DBNAME, _USER, _PASSWORD, _HOST and _PORT "
        "which one to use");
    return SL_ENOENT;
}

/* ---- The keeper -------------------------------------------------------------------------------------- */

static int start_keeper(const struct postgres *postgres, int keeper)
{
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    sigset_t none;
    pid_t pid;
    sigemptyset(&none);
    char *arguments[] = {"silver",          "postgres",     postgres->application,
                         postgres->runtime, postgres->name, NULL};
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
    posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
    posix_spawn_file_actions_adddup2(&actions, keeper, POSTGRES_KEEPER_FD);
    posix_spawn_file_actions_addclosefrom_np(&actions, POSTGRES_KEEPER_FD + 1);
    posix_spawnattr_init(&attributes);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGMASK);
    posix_spawnattr_setsigmask(&attributes, &none);
    int code = -posix_spawn(&pid, "/proc/self/exe", &actions, &attributes, arguments, environ);
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&actions);
    while (code == 0 && waitpid(pid, NULL, 0) < 0 && errno == EINTR)
        continue; /* it goes on in the background, as nobody's child of ours */
    return code;
}

/* What stands in the keeper's file: its process, and how it is. */
struct note {
    bool nobody; /* held its lock: now the descriptor does */
    pid_t pid;   /* 0: not said yet */
    const char *words;
    char text[POSTGRES_NOTE_MAX];
};

static int open_keeper(const struct postgres *postgres, struct note *ret_note)
{
    char *path = sl_printf_heap("%s/var/postgres.keeper", postgres->application);
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    int code = fd < 0 ? -errno : 0;
    free(path);
    if (code < 0)
        return code;
    ret_note->nobody = flock(fd, LOCK_EX | LOCK_NB) == 0;
    ssize_t size = pread(fd, ret_note->text, sizeof(ret_note->text) - 1, 0);
    ret_note->text[size > 0 ? size : 0] = '\0';
    ret_note->pid = (pid_t)strtol(ret_note->text, NULL, 10);
    const char *newline = strchr(ret_note->text, '\n');
    ret_note->words = newline ? newline + 1 : "";
    return fd;
}

/* "WORD text": the text, or NULL where the note is about something else. */
static const char *note_says(const struct note *note, const char *word)
{
    size_t size = strlen(word);
    return strncmp(note->words, word, size) == 0 && note->words[size] == ' ' ? note->words + size + 1 : NULL;
}

/* The words of an error: what was wrong, and after a line's end what to do. */
static int say_failed(const char *why, sl_error **ret_error)
{
    size_t size = strcspn(why, "\n");
    *ret_error = sl_error_new(SL_EFAILED, "service.postgres: %.*s", (int)size, why);
    if (why[size] == '\n' && why[size + 1])
        sl_error_hint(*ret_error, "%s", why + size + 1);
    return SL_EFAILED;
}

static bool take_ready(struct postgres *postgres, const struct note *note)
{
    const char *text = note_says(note, POSTGRES_READY);
    const char *tab = text ? strchr(text, '\t') : NULL;
    if (!tab)
        return false;
    postgres->sockets = sl_printf_heap("%.*s", (int)(tab - text), text);
    postgres->database = sl_printf_heap("%.*s", (int)strcspn(tab + 1, "\n"), tab + 1);
    return true;
}

static int wait_until_ready(struct postgres *postgres, sl_error **ret_error)
{
    bool started = false;
    for (int waited = 0; waited < WAIT_MS; waited += STEP_MS) {
        struct note note;
        int keeper = open_keeper(postgres, &note), code = keeper < 0 ? keeper : 0;
        if (code == 0 && note.nobody && started) {
            const char *why = note_says(&note, POSTGRES_FAILED);
            close(keeper);
            return say_failed(why ? why : "the process that keeps it ended", ret_error);
        }
        if (code == 0 && note.nobody) {
            started = true;
            code = ftruncate(keeper, 0) < 0 ? -errno : start_keeper(postgres, keeper);
        } else if (code == 0 && take_ready(postgres, &note)) {
            close(keeper);
            return 0;
        }
        if (keeper >= 0)
            close(keeper); /* the process that was started has it too, and with it the lock */
        if (code < 0) {
            *ret_error =
                sl_error_new(code, "service.postgres: it cannot be started: %s", sl_code_message(code));
            return code;
        }
        wait_a_little();
    }
    *ret_error = sl_error_hint(
        sl_error_new(SL_ETIMEDOUT, "service.postgres: PostgreSQL did not start within %d s", WAIT_MS / 1000),
        "see %s/var/postgres.log", postgres->application);
    return SL_ETIMEDOUT;
}

/* ---- Users ------------------------------------------------------------------------------------------- */

static int make_folder(const char *application, sl_error **ret_error)
{
    char *path = sl_printf_heap("%s/var", application);
    int code = mkdir(path, 0750) < 0 && errno != EEXIST ? -errno : 0;
    if (code < 0)
        *ret_error = sl_error_new(code, "cannot make %s: %s", path, sl_code_message(code));
    free(path);
    return code;
}

/* Waits while the last ones stop it. */
static int join_users(struct postgres *postgres, sl_error **ret_error)
{
    char *path = sl_printf_heap("%s/var/postgres.users", postgres->application);
    postgres->users = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    int code = postgres->users < 0 ? -errno : 0;
    while (code == 0 && flock(postgres->users, LOCK_SH) < 0)
        code = errno == EINTR ? 0 : -errno;
    if (code < 0)
        *ret_error = sl_error_new(code, "cannot lock %s: %s", path, sl_code_message(code));
    free(path);
    return code;
}

int postgres_use(const char *application, const char *runtime, const char *name,
                 struct postgres *ret_postgres, sl_error **ret_error)
{
    struct postgres postgres = {
        .application = sl_strdup_heap(application),
        .runtime = sl_strdup_heap(runtime),
        .name = sl_strdup_heap(name),
        .users = -1,
    };
    char *data = sl_printf_heap("%s/var/postgres", application), *programs = NULL;
    int code = postgres_programs(data, &programs, ret_error); /* told before anything is made */
    if (code == 0)
        code = make_folder(application, ret_error);
    if (code == 0)
        code = join_users(&postgres, ret_error);
    if (code == 0)
        code = wait_until_ready(&postgres, ret_error);
    free(programs);
    free(data);
    if (code < 0)
        postgres_leave(&postgres);
    else
        *ret_postgres = postgres;
    return code;
}

void postgres_hold(const char *application)
{
    char *path = sl_printf_heap("%s/var/postgres.users", application);
    int fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    free(path);
    if (fd >= 0 && flock(fd, LOCK_SH | LOCK_NB) < 0)
        close(fd); /* it is being stopped; else the descriptor is the process's until its end */
}

bool postgres_repair(const struct postgres *postgres)
{
    struct note note;
    if (!postgres->application)
        return false;
    int keeper = open_keeper(postgres, &note);
    if (keeper < 0)
        return false;
    bool again = note.nobody && ftruncate(keeper, 0) == 0 && start_keeper(postgres, keeper) == 0;
    close(keeper);
    return again;
}

/* Only the last one gets the lock for itself, and while it has it nobody comes: the keeper is told to go, and
 * waited for. */
static void stop_keeper(const struct postgres *postgres)
{
    bool told = false;
    if (flock(postgres->users, LOCK_EX | LOCK_NB) < 0)
        return;
    for (int waited = 0; waited < STOP_MS; waited += STEP_MS) {
        struct note note;
        int keeper = open_keeper(postgres, &note);
        if (keeper < 0)
            return;
        if (!note.nobody && !told && note.pid > 0)
            told = kill(note.pid, SIGTERM) == 0; /* it has the lock, so the number is still its own */
        close(keeper);
        if (note.nobody)
            return;
        wait_a_little();
    }
}

void postgres_leave(struct postgres *postgres)
{
    if (!postgres->application)
        return;
    if (postgres->users >= 0) {
        stop_keeper(postgres);
        close(postgres->users);
    }
    free(postgres->application);
    free(postgres->runtime);
    free(postgres->name);
    free(postgres->sockets);
    free(postgres->database);
    *postgres = (struct postgres){.users = -1};
}
