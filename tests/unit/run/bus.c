/* bus.c: events pass between processes, here two roots on one loop for what needs no process, and real ones
 * for death. */
#include "check.h"
#include "run/bus.h"

#include <silver/core.h>
#include <errno.h>
#include <jansson.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <uv.h>

SL_EVENT(said);

static char *directory;

struct party {
    sl_root *root;
    struct bus *bus;
    sl_deferred *joined;
};

static void party_joined(void *data)
{
    struct party *party = data;
    sl_fire(party->joined, NULL, NULL);
}

static void party_start(struct party *party, const char *name)
{
    sl_error *error = NULL;
    party->root = sl_root_new(sl_loop_current(), name);
    party->joined = sl_deferred_new(NULL, NULL);
    assert_int_equal(
        bus_new(sl_loop_current(), party->root, directory, party_joined, party, &party->bus, &error), 0);
    sl_await(party->joined);
}

static void party_end(struct party *party)
{
    party->bus = bus_free(party->bus);
    party->root = sl_root_unref(party->root);
}

static void say(struct party *party, int number)
{
    SL_IN_ROOT(party->root);
    sl_emit(sl_channel("room/%s", "lobby"), said, json_integer(number));
}

static int in_directory(sl_task_fn *test)
{
    directory = scratch_make();
    int code = sl_run("test", test, NULL, NULL);
    scratch_remove(directory);
    return code;
}

/* ---- Between two ------------------------------------------------------------------------------------- */

static void *listen_for_three(void *data)
{
    struct party *party = data;
    SL_IN_ROOT(party->root);
    sl_inbox *inbox = sl_subscribe(sl_channel("room/%s", "lobby"), said);
    for (int i = 1; i <= 3; i++) {
        json_t *payload = sl_next(inbox);
        assert_int_equal(json_integer_value(payload), i);
    }
    return NULL;
}

static void *both_ways(void *data)
{
    struct party one = {0}, two = {0};
    party_start(&one, "chat");
    party_start(&two, "chat");
    sl_deferred *heard_one = sl_spawn(listen_for_three, &one), *heard_two = sl_spawn(listen_for_three, &two);
    sl_yield(); /* both subscribe */
    sl_await(sl_sleep(1));
    say(&one, 1); /* a sender's own subscribers hear it as well */
    say(&one, 2);
    say(&one, 3);
    sl_await(heard_two);
    sl_await(heard_one);
    assert_int_equal(bus_peer_count(one.bus), 1);
    party_end(&two);
    /* The other notices that it has gone. */
    while (bus_peer_count(one.bus) > 0)
        sl_await(sl_sleep(1));
    party_end(&one);
    return NULL;
}

static void test_both_ways(void **state)
{
    assert_int_equal(in_directory(both_ways), 0);
}

/* ---- Who has joined misses nothing ------------------------------------------------------------------- */

static void *newcomers(void *data)
{
    struct party parties[5] = {0};
    for (size_t i = 0; i < sl_array_size(parties); i++) {
        party_start(&parties[i], "chat");
        /* Everyone there reaches the newcomer from now on. */
        sl_deferred *heard = sl_spawn(listen_for_three, &parties[i]);
        sl_await(sl_sleep(1));
        struct party *speaker = &parties[0];
        say(speaker, 1);
        say(speaker, 2);
        say(speaker, 3);
        sl_await(heard);
    }
    for (size_t i = 0; i < sl_array_size(parties); i++)
        party_end(&parties[i]);
    return NULL;
}

static void test_newcomers(void **state)
{
    assert_int_equal(in_directory(newcomers), 0);
}

/* ---- Strangers --------------------------------------------------------------------------------------- */

static int connect_to(const char *name)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof(address.sun_path), "%s/%s", directory, name);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    return fd;
}

static char *only_socket(void)
{
    char *command = sl_printf_heap("ls %s", directory);
    FILE *list = popen(command, "r");
    char name[128] = "";
    assert_non_null(fgets(name, sizeof(name), list));
    pclose(list);
    free(command);
    name[strcspn(name, "\n")] = '\0';
    return sl_strdup_heap(name);
}

/* What the bus is sent that is no greeting ends that connection, and nothing else. */
static void *strangers(void *data)
{
    static const struct {
        const char *data;
        size_t size;
    } wrong[] = {
        {"GET / HTTP/1.1\r\n\r\n", 18}, /* a length beyond all measure */
        {"\0\0\0\0", 4},                /* nothing */
        {"\0\0\0\x07"
         "ea\0b\0c\0",
         11}, /* an event before the greeting */
        {"\0\0\0\x05"
         "h1\0c\0",
         9}, /* a part too few */
        {"\0\0\0\x10"
         "h1\0other\0a.sock\0",
         20}, /* another application */
        {"\0\0\0\x0f"
         "h9\0chat\0a.sock\0",
         19}, /* another version */
        {"\0\0\0\x12"
         "h1\0chat\0../a.sock\0",
         22}, /* a name that leaves the directory */
    };
    struct party one = {0};
    party_start(&one, "chat");
    char *name = only_socket();
    for (size_t i = 0; i < sl_array_size(wrong); i++) {
        int fd = connect_to(name);
        assert_int_equal(write(fd, wrong[i].data, wrong[i].size), (ssize_t)wrong[i].size);
        char c;
        for (ssize_t size; (size = recv(fd, &c, 1, MSG_DONTWAIT)) != 0;) {
            assert_true(size < 0);
            if (errno == ECONNRESET)
                break;
            assert_int_equal(errno, EAGAIN);
            sl_await(sl_sleep(1));
        }
        close(fd);
        assert_int_equal(bus_peer_count(one.bus), 0);
    }
    free(name);
    party_end(&one);
    return NULL;
}

static void test_strangers(void **state)
{
    assert_int_equal(in_directory(strangers), 0);
}

/* ---- Death ------------------------------------------------------------------------------------------- */

static void *die_joined(void *data)
{
    struct party one = {0};
    party_start(&one, "chat");
    kill(getpid(), SIGKILL);
    return NULL;
}

static size_t sockets(void)
{
    char *command = sl_printf_heap("ls %s | wc -l", directory);
    FILE *list = popen(command, "r");
    unsigned count = 0;
    assert_int_equal(fscanf(list, "%u", &count), 1);
    pclose(list);
    free(command);
    return count;
}

/* A socket whose owner was killed is removed by the next who comes, who does not wait for it. */
static void *after_death(void *data)
{
    struct party one = {0};
    assert_int_equal(sockets(), 1);
    party_start(&one, "chat");
    while (sockets() > 1)
        sl_await(sl_sleep(1));
    assert_int_equal(bus_peer_count(one.bus), 0);
    party_end(&one);
    assert_int_equal(sockets(), 0);
    return NULL;
}

static void test_death(void **state)
{
    directory = scratch_make();
    pid_t child = fork();
    if (child == 0) {
        sl_run("child", die_joined, NULL, NULL);
        _exit(1);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(sl_run("test", after_death, NULL, NULL), 0);
    scratch_remove(directory);
}

/* ---- One that does not keep up ----------------------------------------------------------------------- */

static void *laggard(void *data)
{
    struct party one = {0};
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof(address.sun_path), "%s/slow.sock", directory);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(listen(fd, 1), 0); /* and never accepts */
    party_start(&one, "chat");          /* does not wait for ever for it to greet back */
    char *text = sl_malloc(100001);
    memset(text, 'x', 100000);
    text[100000] = '\0';
    {
        SL_IN_ROOT(one.root);
        for (int i = 0; i < 1000; i++) { /* 100 MB */
            sl_emit(sl_channel("room/%s", "lobby"), said, json_string(text));
            assert_true(bus_waiting(one.bus) <= BUS_QUEUE_BYTES_MAX);
            if (i % 10 == 0)
                sl_await(sl_sleep(0));
        }
    }
    assert_true(bus_waiting(one.bus) > BUS_QUEUE_BYTES_MAX / 2); /* the newest are kept */
    free(text);
    party_end(&one);
    close(fd);
    return NULL;
}

static void *hear_seven(void *data)
{
    struct party *party = data;
    SL_IN_ROOT(party->root);
    sl_inbox *inbox = sl_subscribe(sl_channel("room/%s", "lobby"), said);
    while (json_integer_value(sl_next(inbox)) != 7)
        continue;
    return NULL;
}

/* More than may wait is said before the connection is there: the greeting is not among what is dropped. */
static void *hasty(void *data)
{
    struct party one = {0}, two = {0};
    sl_error *error = NULL;
    party_start(&one, "chat");
    sl_deferred *heard = sl_spawn(hear_seven, &one);
    sl_await(sl_sleep(1));
    two.root = sl_root_new(sl_loop_current(), "chat");
    two.joined = sl_deferred_new(NULL, NULL);
    assert_int_equal(bus_new(sl_loop_current(), two.root, directory, party_joined, &two, &two.bus, &error),
                     0);
    char *text = sl_malloc(1000001);
    memset(text, 'x', 1000000);
    text[1000000] = '\0';
    {
        SL_IN_ROOT(two.root);
        for (int i = 0; i < 10; i++)
            sl_emit(sl_channel("room/%s", "lobby"), said, json_string(text));
    }
    free(text);
    sl_await(two.joined);
    say(&two, 7);
    sl_await(sl_timeout(heard, 30000));
    party_end(&two);
    party_end(&one);
    return NULL;
}

static void test_hasty(void **state)
{
    assert_int_equal(in_directory(hasty), 0);
}

static void test_laggard(void **state)
{
    assert_int_equal(in_directory(laggard), 0);
}

static void *long_path(void *data)
{
    struct bus *bus = NULL;
    sl_error *error = NULL;
    char *path = sl_printf_heap("%s/%0120d", directory, 0);
    assert_int_equal(mkdir(path, 0700), 0);
    sl_root *root = sl_root_new(sl_loop_current(), "chat");
    assert_int_equal(bus_new(sl_loop_current(), root, path, party_joined, NULL, &bus, &error), -ENAMETOOLONG);
    assert_null(bus);
    assert_non_null(strstr(error->hint, "XDG_RUNTIME_DIR"));
    sl_error_unref(error);
    sl_root_unref(root);
    free(path);
    return NULL;
}

static void test_long_path(void **state)
{
    assert_int_equal(in_directory(long_path), 0);
}

int main(void)
{
    signal(SIGPIPE, SIG_IGN);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_both_ways), cmocka_unit_test(test_newcomers), cmocka_unit_test(test_strangers),
        cmocka_unit_test(test_death),     cmocka_unit_test(test_laggard),   cmocka_unit_test(test_hasty),
        cmocka_unit_test(test_long_path),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
