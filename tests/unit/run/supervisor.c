/* supervisor.c: instances are started, replaced, restarted and stopped. The instances here are this same
 * program, which does what the file `behaviour` in the application's directory says; the supervisor runs in a
 * child process, and what it and its instances log is read from a pipe, so that every step waits for the one
 * before and none for a clock. */
#include "check.h"
#include "run/control.h"
#include "run/supervisor.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>

/* ---- The instance ------------------------------------------------------------------------------------ */

static bool has_behaviour(const char *directory, const char *word)
{
    char *path = sl_printf_heap("%s/behaviour", directory), *text = read_whole(path);
    bool has = strstr(text, word) != NULL;
    free(path);
    free(text);
    return has;
}

static int instance(char **argv)
{
    const char *directory = argv[2];
    signal(SIGPIPE, SIG_IGN);
    setvbuf(stdout, NULL, _IOLBF, 0);
    printf("instance %s begins as %s\n", argv[3], argv[5]);
    if (argv[7]) {
        printf("instance %s explains: %s\n", argv[3], argv[7]);
        if (write(CONTROL_FD, SAYS_BROKEN "\n", sizeof(SAYS_BROKEN)) != sizeof(SAYS_BROKEN))
            return 7;
    } else if (has_behaviour(directory, "fail"))
        return 1;
    if (!argv[7] && has_behaviour(directory, "abort"))
        abort();
    if (fcntl(LISTEN_FD, F_GETFD) < 0 || getpgid(0) != getpid())
        return 3; /* a shared socket, and a process group of its own */
    if (write(CONTROL_FD, SAYS_READY "\n", sizeof(SAYS_READY)) != sizeof(SAYS_READY))
        return 4;
    char line[64];
    if (read(CONTROL_FD, line, LOG_TOKEN_SIZE) != LOG_TOKEN_SIZE)
        return 6;
    FILE *control = fdopen(CONTROL_FD, "r");
    while (fgets(line, sizeof(line), control)) {
        line[strcspn(line, "\n")] = '\0';
        if (strcmp(line, ASKS_BEAT) == 0) {
            if (!has_behaviour(directory, "silent") &&
                write(CONTROL_FD, SAYS_ALIVE "\n", sizeof(SAYS_ALIVE)) != sizeof(SAYS_ALIVE))
                return 5;
            continue;
        }
        printf("instance %s was asked to %s\n", argv[3], line);
        if (strcmp(line, ASKS_DRAIN) == 0 && !has_behaviour(directory, "stubborn"))
            return 0;
    }
    return 0;
}

/* ---- The supervisor in a child ----------------------------------------------------------------------- */

static char *scratch;
static pid_t server;
static FILE *said;
static int
    alive; /* at its end when neither the supervisor nor any instance lives: they inherit the other side */
static unsigned wanted = 1;
static bool production = true;

static void now_ready(void *data)
{
    struct log_file *log = data;
    sl_log_to(&log->logger, SL_INFO, SL_HERE, "all are ready");
}

static void behave(const char *text)
{
    write_file(scratch, "behaviour", text);
}

static int serve(void)
{
    struct complaints complaints = {0};
    struct manifest *manifest = NULL;
    struct log_file log;
    struct notify notify = {0};
    sl_error *error = NULL;
    sl_loop *loop;
    if (manifest_load(scratch, &complaints, &manifest) < 0 || log_file_open(&log, "chat", NULL, &error) < 0 ||
        sl_loop_new(&loop) < 0)
        return 9;
    struct supervisor_options options = {
        .manifest = manifest,
        .logs = scratch,
        .instances = wanted,
        .production = production,
        .listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0),
        .log = &log,
        .notify = &notify,
        .services = &(struct services){.postgres = {.users = -1}},
        .ready = now_ready,
        .data = &log,
    };
    int status = supervisor_run(loop, &options);
    log_file_close(&log);
    manifest_free(manifest);
    return fcntl(options.listener, F_GETFD) < 0 ? status : 8; /* it was taken over */
}

static void start(unsigned instances)
{
    int fds[2], alive_fds[2];
    wanted = instances;
    assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
    assert_int_equal(pipe(alive_fds), 0);
    fflush(NULL);
    server = fork();
    if (server == 0) {
        dup2(fds[1], STDERR_FILENO);
        close(alive_fds[0]);
        exit(serve());
    }
    close(fds[1]);
    close(alive_fds[1]);
    alive = alive_fds[0];
    said = fdopen(fds[0], "r");
}

/* Reads on until a line with these words; returns its text (static). */
static const char *wait_for(const char *words)
{
    static char line[1024];
    while (fgets(line, sizeof(line), said))
        if (strstr(line, words))
            return line;
    fail_msg("nobody said \"%s\"", words);
    return NULL;
}

/* The supervisor's exit status; all that it and its instances still say is `rest`. */
static int finish(sl_buffer *rest)
{
    char line[1024];
    int status;
    while (fgets(line, sizeof(line), said))
        sl_buffer_puts(rest, line);
    fclose(said);
    close(alive);
    assert_int_equal(waitpid(server, &status, 0), server);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static int finish_quietly(void)
{
    sl_buffer rest = {0};
    int status = finish(&rest);
    sl_buffer_done(&rest);
    return status;
}

static int set_up(void **state)
{
    scratch = scratch_make();
    char *sources = sl_printf_heap("%s/src", scratch);
    assert_int_equal(mkdir(sources, 0700), 0);
    free(sources);
    write_file(scratch, "app.ini",
               "[production]\napp_name = chat\nrunner = src/chat.c\n[limits]\ndrain_ms = 100\n");
    write_file(scratch, "src/chat.c", "int x;\n");
    behave("well");
    production = true;
    alarm(60); /* a step that never comes must end the test */
    return 0;
}

static int tear_down(void **state)
{
    alarm(0);
    scratch_remove(scratch);
    return 0;
}

/* ---- Tests ------------------------------------------------------------------------------------------- */

static void test_start_and_stop(void **state)
{
    sl_buffer rest = {0};
    start(3);
    wait_for("all are ready");
    kill(server, SIGTERM);
    assert_int_equal(finish(&rest), 0);
    assert_non_null(strstr(rest.data, "|INFO] instance 0 was asked to drain"));
    assert_non_null(strstr(rest.data, "|INFO] instance 1 was asked to drain"));
    assert_non_null(strstr(rest.data, "|INFO] instance 2 was asked to drain"));
    sl_buffer_done(&rest);
}

static void test_stray_output_becomes_lines(void **state)
{
    start(1);
    const char *line = wait_for("instance 0 begins");
    assert_memory_equal(line, "[chat|20", 8);
    assert_non_null(strstr(line, "|INFO] instance 0 begins as instance,production"));
    wait_for("all are ready");
    kill(server, SIGINT);
    assert_int_equal(finish_quietly(), 0);
}

static void test_cannot_start(void **state)
{
    sl_buffer rest = {0};
    behave("fail");
    start(2);
    assert_int_equal(finish(&rest), 1);
    assert_null(strstr(rest.data, "ready"));
    sl_buffer_done(&rest);
    behave("abort");
    start(1);
    assert_int_equal(finish(&rest), 1);
    assert_non_null(strstr(rest.data, "|ERROR] instance 0 was ended by SIGABRT"));
    assert_non_null(strstr(rest.data, "before it was ready"));
    sl_buffer_done(&rest);
}

/* The process that a line of the log names as "(process N)". */
static void kill_instance(unsigned number)
{
    char *command = sl_printf_heap("pgrep -P %d -f 'instance %s %u '", (int)server, scratch, number);
    FILE *list = popen(command, "r");
    int pid = 0;
    assert_int_equal(fscanf(list, "%d", &pid), 1);
    pclose(list);
    free(command);
    kill(pid, SIGKILL);
}

static void test_crash_is_answered(void **state)
{
    start(2);
    wait_for("all are ready");
    kill_instance(1);
    const char *line = wait_for("instance 1 (process ");
    assert_non_null(strstr(line, "|ERROR] "));
    assert_non_null(strstr(line, "was ended by SIGKILL"));
    assert_non_null(strstr(line, "the last that it said: instance 1 begins"));
    assert_non_null(strstr(line, "again in 100 ms"));
    wait_for("instance 1 begins");
    kill_instance(1);
    assert_non_null(
        strstr(wait_for("instance 1 (process "), "again in 200 ms")); /* it was not healthy for long */
    wait_for("instance 1 begins");
    kill(server, SIGTERM);
    assert_int_equal(finish_quietly(), 0);
}

static void test_roll(void **state)
{
    sl_buffer rest = {0};
    start(2);
    wait_for("all are ready");
    kill(server, SIGHUP);
    wait_for("instance 0 begins as instance,production");
    wait_for("instance 1 begins"); /* not before the first one's successor was ready */
    wait_for("reloaded");
    /* One that does not come up changes nothing. */
    behave("fail");
    kill(server, SIGHUP);
    const char *line = wait_for("the new instance 0 ended with status 1");
    assert_non_null(strstr(line, "the one before goes on"));
    behave("well");
    kill(server, SIGTERM);
    assert_int_equal(finish(&rest), 0);
    assert_non_null(strstr(rest.data, "instance 0 was asked to drain"));
    assert_non_null(strstr(rest.data, "instance 1 was asked to drain"));
    sl_buffer_done(&rest);
}

static void test_sources_are_watched(void **state)
{
    production = false;
    start(1);
    wait_for("all are ready");
    write_file(scratch, "src/chat.c", "int y;\n");
    wait_for("chat has changed: reloading");
    wait_for("reloaded");
    write_file(scratch, "app.ini",
               "[production]\napp_name = chat\nrunner = src/chat.c\n[limits]\ndrain_ms = 100\nidle_ms = 7\n");
    wait_for("chat has changed: reloading");
    wait_for("reloaded");
    kill(server, SIGTERM);
    assert_int_equal(finish_quietly(), 0);
}

/* In development what does not start is explained by an instance that serves that. */
static void test_what_does_not_start_is_explained(void **state)
{
    production = false;
    behave("abort");
    start(1);
    wait_for("is served until it starts: it was ended by SIGABRT");
    wait_for("instance 0 explains: was ended by SIGABRT");
    wait_for("all are ready");
    behave("fail");
    write_file(scratch, "src/chat.c", "int y;\n");
    wait_for("instance 0 explains: ended with status 1");
    wait_for("chat does not compile or start: its error is served until it does");
    behave("well");
    write_file(scratch, "src/chat.c", "int z;\n");
    wait_for("reloaded");
    kill(server, SIGTERM);
    assert_int_equal(finish_quietly(), 0);
}

static void test_dump(void **state)
{
    start(2);
    wait_for("all are ready");
    kill(server, SIGUSR2);
    wait_for("was asked to dump");
    wait_for("was asked to dump");
    kill(server, SIGTERM);
    assert_int_equal(finish_quietly(), 0);
}

static void test_stop_at_once(void **state)
{
    behave("stubborn");
    start(1);
    wait_for("all are ready");
    kill(server, SIGTERM);
    wait_for("was asked to drain");
    kill(server, SIGTERM);
    assert_int_equal(finish_quietly(), 1);
}

static void test_drain_has_an_end(void **state)
{
    behave("stubborn");
    start(1);
    wait_for("all are ready");
    kill(server, SIGTERM);
    wait_for("has not finished by now and is ended");
    assert_int_equal(finish_quietly(), 0);
}

/* The one that was replaced must go too, or a handler that never returns would stay for ever. */
static void test_drain_of_a_roll_has_an_end(void **state)
{
    behave("stubborn");
    start(1);
    wait_for("all are ready");
    kill(server, SIGHUP);
    wait_for("reloaded");
    wait_for("has not finished by now and is ended");
    behave("well");
    kill(server, SIGTERM);
    assert_int_equal(finish_quietly(), 0);
}

static void test_what_a_reload_does_not_reach(void **state)
{
    start(1);
    wait_for("all are ready");
    write_file(
        scratch, "app.ini",
        "[production]\napp_name = chat\nrunner = code/chat.c\n[slots]\n0 = :9000\n[log]\nlevel = debug\n");
    kill(server, SIGHUP);
    const char *line = wait_for("a reload does not change ");
    assert_non_null(strstr(line, "|WARNING] "));
    assert_non_null(strstr(line, "the runner's directory, [slots]: "));
    assert_non_null(strstr(line, "when `silver serve` is started again"));
    wait_for("reloaded");
    kill(server, SIGTERM);
    assert_int_equal(finish_quietly(), 0);
}

/* A handler that never returns: nobody else can tell. */
static void test_silence_is_noticed(void **state)
{
    setenv("SILVER_SILENCE_MS", "90", 1);
    behave("silent");
    start(1);
    unsetenv("SILVER_SILENCE_MS");
    wait_for("all are ready");
    const char *line = wait_for("has not answered for 90 ms");
    assert_non_null(strstr(line, "|ERROR] instance 0 (process "));
    line = wait_for("was ended by SIGABRT");
    assert_non_null(strstr(line, "it is started again in "));
    behave("well");
    kill(server, SIGTERM);
    finish_quietly(); /* the status depends on what goes on in this moment */
}

static void test_old_words_are_not_quoted(void **state)
{
    start(1);
    wait_for("all are ready");
    nanosleep(&(struct timespec){.tv_sec = 2, .tv_nsec = 100000000}, NULL); /* longer ago than "lately" */
    kill_instance(0);
    const char *line = wait_for("instance 0 (process ");
    assert_non_null(strstr(line, "was ended by SIGKILL (Killed); it is started again"));
    kill(server, SIGTERM);
    finish_quietly();
}

static void test_death_of_the_supervisor(void **state)
{
    char byte;
    start(2);
    wait_for("all are ready");
    kill(server, SIGKILL);
    assert_int_equal(waitpid(server, NULL, 0), server);
    assert_int_equal(read(alive, &byte, 1),
                     0); /* the instances found their control sockets at the end, and went */
    close(alive);
    fclose(said);
}

int main(int argc, char **argv)
{
    if ((argc == 7 || argc == 8) && strcmp(argv[1], "instance") == 0)
        return instance(argv);
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_start_and_stop),
        TEST(test_stray_output_becomes_lines),
        TEST(test_cannot_start),
        TEST(test_crash_is_answered),
        TEST(test_roll),
        TEST(test_sources_are_watched),
        TEST(test_what_does_not_start_is_explained),
        TEST(test_dump),
        TEST(test_stop_at_once),
        TEST(test_drain_has_an_end),
        TEST(test_drain_of_a_roll_has_an_end),
        TEST(test_what_a_reload_does_not_reach),
        TEST(test_silence_is_noticed),
        TEST(test_old_words_are_not_quoted),
        TEST(test_death_of_the_supervisor),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
