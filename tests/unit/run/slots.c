/* slots.c: places are taken in order, held by whoever lives, and free again however that ended. */
#include "check.h"
#include "run/slots.h"

#include <signal.h>
#include <sys/wait.h>

static struct manifest *two_slots(void)
{
    static const char text[] = "[production]\napp_name = chat\nrunner = src/chat.c\n"
                               "[slots]\n0 = 127.0.0.1:8080\n1 = 127.0.0.1:8081\n";
    struct complaints complaints = {0};
    struct manifest *manifest = NULL;
    assert_int_equal(manifest_parse(text, sizeof(text) - 1, "/srv/chat", "app.ini", &complaints, &manifest),
                     0);
    return manifest;
}

static char *scratch;

static char *runtime_of(const char *application)
{
    char *runtime = NULL;
    sl_error *error = NULL;
    assert_int_equal(runtime_directory(application, &runtime, &error), 0);
    return runtime;
}

static int set_up(void **state)
{
    scratch = scratch_make();
    setenv("XDG_RUNTIME_DIR", scratch, 1);
    return 0;
}

static int tear_down(void **state)
{
    scratch_remove(scratch);
    return 0;
}

static void test_first_free(void **state)
{
    struct manifest *manifest = two_slots();
    char *runtime = runtime_of("/srv/chat");
    struct slot first, second, third;
    sl_error *error = NULL;
    assert_int_equal(slot_take(runtime, manifest, -1, &first, &error), 0);
    assert_int_equal(first.place->number, 0);
    assert_false(first.abandoned);
    slot_describe(&first, "http://127.0.0.1:8080/");
    assert_int_equal(slot_take(runtime, manifest, -1, &second, &error), 0);
    assert_int_equal(second.place->number, 1);
    assert_int_equal(slot_take(runtime, manifest, -1, &third, &error), SL_EBUSY);
    char *holder = sl_printf_heap("slot 0: process %d, since ", (int)getpid());
    assert_non_null(strstr(error->detail, holder));
    assert_non_null(
        strstr(error->detail, "at http://127.0.0.1:8080/\nslot 1: a process that is still starting"));
    assert_non_null(strstr(error->message, "all slots of chat are taken"));
    error = sl_error_unref(error);
    free(holder);
    slot_release(&first);
    assert_int_equal(slot_take(runtime, manifest, -1, &third, &error), 0);
    assert_int_equal(third.place->number, 0);
    assert_false(third.abandoned); /* it was released */
    slot_release(&second);
    slot_release(&third);
    free(runtime);
    manifest_free(manifest);
}

static void test_wanted(void **state)
{
    struct manifest *manifest = two_slots();
    char *runtime = runtime_of("/srv/chat");
    struct slot slot, again;
    sl_error *error = NULL;
    assert_int_equal(slot_take(runtime, manifest, 1, &slot, &error), 0);
    assert_int_equal(slot.place->number, 1);
    assert_int_equal(slot_take(runtime, manifest, 1, &again, &error), SL_EBUSY);
    assert_non_null(strstr(error->message, "slot 1 of chat is taken"));
    error = sl_error_unref(error);
    assert_int_equal(slot_take(runtime, manifest, 7, &again, &error), SL_ECONFIG);
    assert_non_null(strstr(error->message, "no slot 7"));
    error = sl_error_unref(error);
    slot_release(&slot);
    free(runtime);
    manifest_free(manifest);
}

static void test_death_releases(void **state)
{
    struct manifest *manifest = two_slots();
    char *runtime = runtime_of("/srv/chat");
    int pipe_fds[2];
    assert_int_equal(pipe(pipe_fds), 0);
    pid_t child = fork();
    if (child == 0) {
        struct slot slot;
        sl_error *error = NULL;
        if (slot_take(runtime, manifest, 0, &slot, &error) == 0) {
            slot_describe(&slot, "http://here/");
            if (write(pipe_fds[1], "x", 1) == 1)
                pause();
        }
        _exit(1);
    }
    char x;
    struct slot slot;
    sl_error *error = NULL;
    assert_int_equal(read(pipe_fds[0], &x, 1), 1);
    assert_int_equal(slot_take(runtime, manifest, 0, &slot, &error), SL_EBUSY);
    error = sl_error_unref(error);
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    assert_int_equal(slot_take(runtime, manifest, 0, &slot, &error), 0);
    assert_true(slot.abandoned); /* it was not released: its instances may linger */
    slot_release(&slot);
    close(pipe_fds[0]);
    close(pipe_fds[1]);
    free(runtime);
    manifest_free(manifest);
}

static void test_runtime_directory(void **state)
{
    char *chat = runtime_of("/srv/chat"), *same = runtime_of("/srv/chat"), *other = runtime_of("/srv/other");
    assert_string_equal(chat, same);
    assert_string_not_equal(chat, other);
    struct stat status;
    assert_int_equal(stat(chat, &status), 0);
    assert_int_equal(status.st_mode & 0777, 0700);
    /* One that others may write to is refused. */
    assert_int_equal(chmod(chat, 0777), 0);
    char *runtime = NULL;
    sl_error *error = NULL;
    assert_int_equal(runtime_directory("/srv/chat", &runtime, &error), SL_EACCES);
    assert_null(runtime);
    assert_non_null(strstr(error->message, "not ours alone"));
    error = sl_error_unref(error);
    /* So is a link in its place. */
    assert_int_equal(chmod(chat, 0700), 0);
    char *elsewhere = sl_printf_heap("%s/elsewhere", scratch);
    assert_int_equal(rename(chat, elsewhere), 0);
    assert_int_equal(symlink(elsewhere, chat), 0);
    assert_int_equal(runtime_directory("/srv/chat", &runtime, &error), SL_EACCES);
    sl_error_unref(error);
    unlink(chat);
    free(elsewhere);
    free(chat);
    free(same);
    free(other);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_first_free, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_wanted, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_death_releases, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_runtime_directory, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
