/* The child's side: silver-worker from its start to its end. */
#include "puppet.h"
#include "modules/sums.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#define METHOD(name) ((unsigned)sl__method_index(sums, name))
#define ADD METHOD(add)

static void start_sums(puppet *p, const char *name)
{
    char *module = module_path(name);
    puppet_start(p, "sums", module);
    free(module);
}

static int64_t add(puppet *p, int64_t a, int64_t b)
{
    uint64_t number = puppet_call(p, ADD, &(struct pair){a, b});
    const struct number *sum = puppet_result(p, number, ADD);
    int64_t value = sum->value;
    return value;
}

/* ---- Starting ---- */

static void it_says_who_it_is(void **state)
{
    puppet p;
    sl__packet packet;
    sl__value value;
    sl_error *error = NULL;
    sl_arena *arena = sl_arena_new();
    start_sums(&p, "sums-many");
    puppet_next(&p, &packet);
    assert_int_equal(packet.kind, SL__HELLO);
    assert_int_equal(sl__value_get(&packet, &sl_codec_flat, sl__hello_record(), arena, &value, &error), 0);
    const struct sl__hello *hello = value.value;
    assert_int_equal(hello->protocol, SL__WIRE_PROTOCOL);
    assert_string_equal(hello->service, "sums");
    assert_int_equal(hello->version, 1);
    assert_int_equal(hello->digest, (int64_t)sl_service_digest(sums_service));
    assert_int_equal(hello->concurrency, 4);
    assert_string_equal(hello->codec, "flat");
    assert_int_equal(hello->methods.count, sums_service->method_count);
    assert_string_equal(hello->methods.items[0].name, "add");
    assert_true(hello->methods.items[0].idempotent);
    assert_false(hello->methods.items[1].idempotent);
    puppet_next(&p, &packet);
    assert_int_equal(packet.kind, SL__READY);
    puppet_stop(&p);
    sl_arena_free(arena);
}

typedef struct refusal {
    const char *module, *message, *hint;
    int code;
} refusal;

static void a_wrong_module_is_refused_in_words(void **state)
{
    static const refusal refusals[] = {
        {"sums-other-abi", "was built for another libsilver", "build it anew", SL_EPROTO},
        {"sums-no-descriptor", "has no sl_plugin_descriptor", "SL_PLUGIN(", SL_EFAILED},
        {"sums-no-methods", "has no function for the method add of sums", "struct sums_methods",
         SL_ENOSERVICE},
        {"sums-method-missing", "has no function for the method count of sums", "struct sums_methods",
         SL_ENOSERVICE},
        {"sums-not-there", "cannot be loaded", "ldd", SL_EFAILED},
        {"sums-open-fails", "there is no index", NULL, SL_ECONFIG},
    };
    for (size_t i = 0; i < sl_array_size(refusals); i++) {
        puppet p;
        start_sums(&p, refusals[i].module);
        sl_error *error = puppet_refuses(&p);
        assert_int_equal(error->code, refusals[i].code);
        assert_non_null(strstr(error->message, refusals[i].message));
        if (refusals[i].hint)
            assert_non_null(strstr(error->hint, refusals[i].hint));
        sl_error_unref(error);
        int status = puppet_end(&p);
        assert_true(WIFEXITED(status));
        assert_int_equal(WEXITSTATUS(status), 1);
    }
}

static void a_service_that_is_not_offered_is_named_with_those_that_are(void **state)
{
    puppet p;
    char *module = module_path("sums");
    puppet_start(&p, "products", module);
    sl_error *error = puppet_refuses(&p);
    assert_int_equal(error->code, SL_ENOSERVICE);
    assert_non_null(strstr(error->message, "does not offer the service products; it offers sums, more"));
    assert_non_null(strstr(error->message, module));
    sl_error_unref(error);
    puppet_end(&p);
    free(module);
}

static void a_module_that_dies_in_open_leaves_its_words(void **state)
{
    puppet p;
    start_sums(&p, "sums-open-exits");
    char *printed = puppet_printed(&p);
    assert_non_null(strstr(printed, "the last words"));
    free(printed);
    int status = puppet_end(&p);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 3);

    start_sums(&p, "sums-open-crashes");
    printed = puppet_printed(&p);
    assert_non_null(strstr(printed, "SIGABRT in task open"));
    free(printed);
    status = puppet_end(&p);
    assert_true(WIFSIGNALED(status));
}

static void started_by_hand_it_says_how_it_is_started(void **state)
{
    char *command =
        sl_printf_heap("%s/silver-worker sums nothing.so 3<&- 4<&- 2>&1", getenv("SILVER_PROGRAMS"));
    FILE *output = popen(command, "r");
    char line[256] = "";
    assert_non_null(fgets(line, sizeof line, output));
    assert_non_null(strstr(line, "a manager starts this program"));
    assert_int_equal(WEXITSTATUS(pclose(output)), 1);
    free(command);
}

/* ---- Calls ---- */

static void calls_have_results(void **state)
{
    puppet p;
    start_sums(&p, "sums");
    puppet_ready(&p);
    for (int i = 0; i < 1000; i++)
        assert_int_equal(add(&p, i, 1), i + 1);
    puppet_stop(&p);
}

static void a_failure_keeps_what_it_says(void **state)
{
    puppet p;
    start_sums(&p, "sums");
    puppet_ready(&p);
    sl_loop *loop; /* the error's places live as long as a loop */
    assert_int_equal(sl_loop_new(&loop), 0);
    uint64_t number = puppet_call(&p, METHOD(greet), &(struct words){"nobody"});
    sl_error *error = puppet_failure(&p, number);
    assert_int_equal(error->code, SL_EINVAL);
    assert_string_equal(error->message, "there is nobody to greet");
    assert_string_equal(error->hint, "name somebody");
    assert_string_equal(error->detail, "looked\neverywhere");
    assert_string_equal(error->origin->function, "greet");
    assert_non_null(strstr(error->origin->file, "sums.c"));
    sl_error_unref(error);
    assert_int_equal(add(&p, 1, 2), 3);
    puppet_stop(&p);
    sl_loop_free(loop);
}

static void a_result_that_breaks_its_record_is_a_failure(void **state)
{
    puppet p;
    start_sums(&p, "sums");
    puppet_ready(&p);
    uint64_t number = puppet_call(&p, METHOD(greet), &(struct words){"spoil"});
    sl_error *error = puppet_failure(&p, number);
    assert_int_equal(error->code, SL_EINVAL);
    assert_non_null(strstr(error->message, "the result of sums.greet"));
    assert_non_null(strstr(error->message, "text"));
    sl_error_unref(error);
    puppet_stop(&p);
}

static void arguments_that_cannot_be_read_are_a_failure(void **state)
{
    puppet p;
    start_sums(&p, "sums");
    puppet_ready(&p);
    static const struct {
        sl__packet head;
        const char *says;
    } wrong[] = {
        {{.kind = SL__CALL, .call = 2, .word = METHOD(greet)}, "the arguments of sums.greet"},
        {{.kind = SL__CALL, .call = 2, .word = 99}, "no method number 99"},
        {{.kind = SL__CALL, .call = 2, .codec = SL__CODEC_PICKLE}, "does not speak the codec"},
        {{.kind = SL__CALL, .call = 2, .codec = SL__CODEC_JSON}, "the arguments of sums.add"},
    };
    for (size_t i = 0; i < sl_array_size(wrong); i++) {
        sl__wire_put(p.wire, &wrong[i].head, &(struct iovec){"nonsense", 8}, 1);
        sl_error *error = puppet_failure(&p, 2);
        if (!strstr(error->message, wrong[i].says))
            fail_msg("\"%s\" does not say \"%s\"", error->message, wrong[i].says);
        sl_error_unref(error);
    }
    assert_int_equal(add(&p, 1, 2), 3);
    puppet_stop(&p);
}

static void a_call_in_json_is_answered_in_json(void **state)
{
    puppet p;
    sl__packet packet;
    start_sums(&p, "sums");
    puppet_ready(&p);
    static const char arguments[] = "{\"a\": 3, \"b\": 4}";
    sl__wire_put(p.wire, &(sl__packet){.kind = SL__CALL, .call = 2, .codec = SL__CODEC_JSON},
                 &(struct iovec){(char *)arguments, sizeof arguments - 1}, 1);
    puppet_next(&p, &packet);
    assert_int_equal(packet.kind, SL__RESULT);
    assert_int_equal(packet.codec, SL__CODEC_JSON);
    char *text = sl_printf_heap("%.*s", (int)packet.size, (const char *)packet.data);
    assert_string_equal(text, "{\"value\":7}");
    free(text);
    puppet_stop(&p);
}

static void large_values_go_both_ways(void **state)
{
    puppet p;
    start_sums(&p, "sums");
    puppet_ready(&p);
    size_t size = 3 << 20;
    char *data = malloc(size);
    for (size_t i = 0; i < size; i++)
        data[i] = (char)(i * 7 + i / 251);
    for (int round = 0; round < 5; round++) {
        uint64_t number = puppet_call(&p, METHOD(reverse), &(struct payload){{data, size}});
        const struct payload *got = puppet_result(&p, number, METHOD(reverse));
        assert_int_equal(got->data.size, size);
        for (size_t i = 0; i < size; i += 997)
            assert_int_equal(got->data.data[i], data[size - 1 - i]);
    }
    free(data);
    puppet_stop(&p);
}

static void files_go_both_ways(void **state)
{
    puppet p;
    start_sums(&p, "sums");
    puppet_ready(&p);
    int ends[2];
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    uint64_t number = puppet_call(&p, METHOD(read), &(struct files){.one = ends[0]});
    assert_int_equal(write(ends[1], "a line\n", 7), 7);
    const struct words *line = puppet_result(&p, number, METHOD(read));
    assert_string_equal(line->text, "a line");
    close(ends[0]);
    close(ends[1]);

    number = puppet_call(&p, METHOD(open), &(struct words){"/proc/self/comm"});
    struct files *opened = puppet_result(&p, number, METHOD(open));
    char name[32] = "";
    assert_true(read(opened->one, name, sizeof name - 1) > 0);
    assert_string_equal(name, "silver-worker\n");
    assert_non_null(opened->note);
    sl_record_done(files_record(), opened);

    /* Nothing is kept open over there. */
    char *directory = sl_printf_heap("ls /proc/%d/fd | wc -l", (int)p.pid);
    int counts[2];
    for (int i = 0; i < 2; i++) {
        for (int calls = 0; i && calls < 50; calls++) {
            number = puppet_call(&p, METHOD(open), &(struct words){"/proc/self/comm"});
            sl_record_done(files_record(), puppet_result(&p, number, METHOD(open)));
        }
        FILE *listing = popen(directory, "r");
        assert_int_equal(fscanf(listing, "%d", &counts[i]), 1);
        pclose(listing);
    }
    assert_int_equal(counts[0], counts[1]);
    free(directory);
    puppet_stop(&p);
}

/* ---- One after another, and at once ---- */

static void one_call_at_a_time_unless_said_otherwise(void **state)
{
    puppet p;
    start_sums(&p, "sums");
    puppet_ready(&p);
    uint64_t nap = puppet_call(&p, METHOD(nap), &(struct number){30});
    uint64_t quick = puppet_call(&p, ADD, &(struct pair){1, 1});
    puppet_result(&p, nap, METHOD(nap));
    puppet_result(&p, quick, ADD);
    assert_int_equal(add(&p, 2, 2), 4); /* back on the short way */
    puppet_stop(&p);

    start_sums(&p, "sums-many");
    puppet_ready(&p);
    uint64_t naps[4];
    for (int i = 0; i < 4; i++)
        naps[i] = puppet_call(&p, METHOD(nap), &(struct number){i < 3 ? 60000 : 1});
    puppet_result(&p, naps[3], METHOD(nap));
    uint64_t fourth = puppet_call(&p, ADD, &(struct pair){1, 1});
    puppet_result(&p, fourth, ADD);
    uint64_t over = puppet_call(&p, METHOD(nap), &(struct number){60000}); /* the fourth place again */
    uint64_t waits = puppet_call(&p, ADD, &(struct pair){2, 2});
    sl__wire_put(p.wire, &(sl__packet){.kind = SL__CANCEL, .call = over}, NULL, 0);
    sl__wire_flush(p.wire);
    sl_error_unref(puppet_failure(&p, over));
    const struct number *sum = puppet_result(&p, waits, ADD);
    assert_int_equal(sum->value, 4);
    for (int i = 0; i < 3; i++) {
        sl__wire_put(p.wire, &(sl__packet){.kind = SL__CANCEL, .call = naps[i]}, NULL, 0);
        sl__wire_flush(p.wire);
        sl_error *error = puppet_failure(&p, naps[i]);
        assert_int_equal(error->code, SL_ECANCELED);
        sl_error_unref(error);
    }
    puppet_stop(&p);
}

static void a_call_that_waits_can_be_cancelled(void **state)
{
    puppet p;
    start_sums(&p, "sums");
    puppet_ready(&p);
    uint64_t nap = puppet_call(&p, METHOD(nap), &(struct number){60000});
    uint64_t waits = puppet_call(&p, ADD, &(struct pair){1, 1});
    uint64_t after = puppet_call(&p, METHOD(count), &(struct sl_nothing){});
    sl__wire_put(p.wire, &(sl__packet){.kind = SL__CANCEL, .call = waits}, NULL, 0);
    sl__wire_put(p.wire, &(sl__packet){.kind = SL__CANCEL, .call = nap}, NULL, 0);
    sl__wire_flush(p.wire);
    sl_error *error = puppet_failure(&p, waits);
    assert_int_equal(error->code, SL_ECANCELED);
    sl_error_unref(error);
    sl_error_unref(puppet_failure(&p, nap));
    const struct number *begun = puppet_result(&p, after, METHOD(count));
    assert_int_equal(begun->value, 2); /* the nap and this */
    puppet_stop(&p);
}

static void a_result_is_not_held_back_by_the_next_call(void **state)
{
    puppet p;
    start_sums(&p, "sums");
    puppet_ready(&p);
    int ends[2];
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    for (int i = 0; i < 20; i++)
        add(&p, i, i);
    uint64_t first = puppet_call(&p, ADD, &(struct pair){1, 1});
    uint64_t blocks = puppet_call(&p, METHOD(read), &(struct files){.one = ends[0]});
    puppet_result(&p, first, ADD); /* although that one blocks until we write */
    assert_int_equal(write(ends[1], "x\n", 2), 2);
    puppet_result(&p, blocks, METHOD(read));
    close(ends[0]);
    close(ends[1]);
    puppet_stop(&p);
}

/* ---- The end ---- */

static void stopped_it_finishes_first(void **state)
{
    puppet p;
    start_sums(&p, "sums");
    puppet_ready(&p);
    uint64_t nap = puppet_call(&p, METHOD(nap), &(struct number){30});
    uint64_t waits = puppet_call(&p, ADD, &(struct pair){1, 1});
    sl__wire_put(p.wire, &(sl__packet){.kind = SL__STOP}, NULL, 0);
    sl__wire_flush(p.wire);
    puppet_result(&p, nap, METHOD(nap));
    puppet_result(&p, waits, ADD);
    puppet_stop(&p);
}

static void what_it_logs_comes_up_and_what_it_prints_is_printed(void **state)
{
    puppet p;
    start_sums(&p, "sums");
    puppet_ready(&p);
    uint64_t number = puppet_call(&p, METHOD(misbehave), &(struct words){"log"});
    puppet_result(&p, number, METHOD(misbehave));
    assert_string_equal(p.logged.data, "WARNING sums: something\nis odd\n");
    sl__wire_put(p.wire, &(sl__packet){.kind = SL__LOG, .word = SL_DEBUG}, NULL, 0);
    number = puppet_call(&p, METHOD(misbehave), &(struct words){"log"});
    puppet_result(&p, number, METHOD(misbehave));
    assert_non_null(strstr(p.logged.data, "DEBUG sums: too quiet\n"));
    number = puppet_call(&p, METHOD(misbehave), &(struct words){"print"});
    puppet_result(&p, number, METHOD(misbehave));
    sl__wire_put(p.wire, &(sl__packet){.kind = SL__STOP}, NULL, 0);
    sl__wire_flush(p.wire);
    char *printed = puppet_printed(&p);
    assert_string_equal(printed, "noise on the standard output\n");
    free(printed);
    puppet_stop(&p);
}

static void a_crash_names_the_method(void **state)
{
    puppet p;
    start_sums(&p, "sums");
    puppet_ready(&p);
    puppet_call(&p, METHOD(misbehave), &(struct words){"crash"});
    char *printed = puppet_printed(&p);
    assert_non_null(strstr(printed, "SIGSEGV in task sums.misbehave"));
    free(printed);
    int status = puppet_end(&p);
    assert_false(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

/* The parent goes without a word: its socket is closed. */
static void it_goes_when_the_parent_is_gone(void **state)
{
    puppet p;
    start_sums(&p, "sums");
    puppet_ready(&p);
    puppet_call(&p, METHOD(nap), &(struct number){60000});
    p.wire = sl__wire_free(p.wire);
    char *printed = puppet_printed(&p); /* until its end */
    free(printed);
    puppet_end(&p);
}

/* A process in between is the parent: it is killed, and the child, which blocks in a method that looks at
 * nothing, goes with it. */
static void it_is_killed_with_its_parent(void **state)
{
    int block[2], told[2];
    assert_int_equal(pipe2(block, O_CLOEXEC), 0);
    assert_int_equal(pipe2(told, 0), 0);
    pid_t between = fork();
    if (between == 0) {
        puppet p;
        start_sums(&p, "sums");
        puppet_ready(&p);
        uint64_t number = puppet_call(&p, ADD, &(struct pair){1, 1});
        puppet_result(&p, number, ADD);
        puppet_call(&p, METHOD(read), &(struct files){.one = block[0]});
        if (write(told[1], &p.pid, sizeof p.pid) < 0)
            _exit(1);
        for (;;)
            pause();
    }
    pid_t child;
    assert_int_equal(read(told[0], &child, sizeof child), sizeof child);
    close(told[1]);
    assert_int_equal(kill(child, 0), 0);
    assert_int_equal(kill(between, SIGKILL), 0);
    assert_int_equal(waitpid(between, NULL, 0), between);
    char none;
    assert_int_equal(read(told[0], &none, 1), 0); /* the last who had the other end, the child, has gone */
    close(told[0]);
    close(block[0]);
    close(block[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_says_who_it_is),
        cmocka_unit_test(a_wrong_module_is_refused_in_words),
        cmocka_unit_test(a_service_that_is_not_offered_is_named_with_those_that_are),
        cmocka_unit_test(a_module_that_dies_in_open_leaves_its_words),
        cmocka_unit_test(started_by_hand_it_says_how_it_is_started),
        cmocka_unit_test(calls_have_results),
        cmocka_unit_test(a_failure_keeps_what_it_says),
        cmocka_unit_test(a_result_that_breaks_its_record_is_a_failure),
        cmocka_unit_test(arguments_that_cannot_be_read_are_a_failure),
        cmocka_unit_test(a_call_in_json_is_answered_in_json),
        cmocka_unit_test(large_values_go_both_ways),
        cmocka_unit_test(files_go_both_ways),
        cmocka_unit_test(one_call_at_a_time_unless_said_otherwise),
        cmocka_unit_test(a_call_that_waits_can_be_cancelled),
        cmocka_unit_test(a_result_is_not_held_back_by_the_next_call),
        cmocka_unit_test(stopped_it_finishes_first),
        cmocka_unit_test(what_it_logs_comes_up_and_what_it_prints_is_printed),
        cmocka_unit_test(a_crash_names_the_method),
        cmocka_unit_test(it_goes_when_the_parent_is_gone),
        cmocka_unit_test(it_is_killed_with_its_parent),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
