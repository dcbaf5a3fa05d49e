/* What plug-ins offer, and where the programs are that do it. */
#include "check.h"
#include "modules/sums.h"
#include "subsystem/method.h"
#include "subsystem/module.h"
#include "subsystem/worker.h"

#include <dlfcn.h>
#include <unistd.h>

static const struct sums_methods no_methods;
static const sl_interest interests[] = {SL_OFFERS(sums, &no_methods, .maximum = 2, .queue_calls = 5)};
static const sl_plugin plugin = {
    .abi = SL_PLUGIN_ABI, .name = "sums", .interest_count = sl_array_size(interests), .interests = interests};

static void *load_and_unload(void *data)
{
    sl_root *root = sl_root_current();
    sl_manager_options options = {.programs = getenv("SILVER_PROGRAMS")};
    char *module = sl_printf("%s/sums.so", getenv("SUMS_MODULES"));
    sl_error *error = NULL;
    sl_loaded *loaded = NULL;
    sl_manager *manager;

    CHECK(sl_plugin_load(root, &plugin, module, &loaded, &error) == SL_ENOSERVICE);
    CHECK(strstr(error->message, "test has no manager"));
    error = sl_error_unref(error);

    CHECK(sl_manager_new(root, &options, &manager) == 0);
    CHECK(sl_plugin_load(root, &plugin, NULL, &loaded, &error) == SL_EINVAL);
    CHECK(strstr(error->message, "sums is no shared object"));
    error = sl_error_unref(error);

    CHECK(sl_plugin_load(root, &plugin, module, &loaded, &error) == 0);
    const struct number *sum = sl_await(sl_call(sums, add, 1, 2));
    CHECK(sum->value == 3);

    sl_loaded *again = NULL;
    CHECK(sl_plugin_load(root, &plugin, module, &again, &error) < 0);
    error = sl_error_unref(error);
    sum = sl_await(sl_call(sums, add, 2, 2)); /* the first offer stands */
    CHECK(sum->value == 4);

    sl_plugin_unload(loaded);
    CHECK_FAILS(sl_call(sums, add, 1, 2), SL_ENOSERVICE, "nobody offers the service sums");
    sl_manager_free(manager);
    return NULL;
}

static void a_plugin_offers_as_long_as_it_is_loaded(void **state)
{
    assert_int_equal(sl_run("test", load_and_unload, NULL, NULL), 0);
}

static void programs_are_found(void **state)
{
    char *path = NULL;
    sl_error *error = NULL;
    assert_int_equal(sl__program_find(getenv("SILVER_PROGRAMS"), "silver-worker", &path, &error), 0);
    assert_int_equal(access(path, X_OK), 0);
    free(path);

    assert_int_equal(sl__program_find("/nowhere", "silver-worker", &path, &error), SL_ENOENT);
    assert_string_equal(error->message, "there is no program silver-worker in /nowhere");
    sl_error_unref(error);

    assert_int_equal(sl__program_find(NULL, "silver-nobody", &path, &error), SL_ENOENT);
    assert_non_null(strstr(error->message, "there is no program silver-nobody, neither in /"));
    assert_non_null(strstr(error->message, SL_LIBEXECDIR));
    assert_non_null(error->hint);
    sl_error_unref(error);
}

/* Beside the library: this one is in the program, so the test stands beside itself. */
static void programs_stand_beside_the_library(void **state)
{
    char *path = NULL;
    sl_error *error = NULL;
    char own[4096];
    ssize_t size = readlink("/proc/self/exe", own, sizeof own - 1);
    assert_true(size > 0);
    own[size] = '\0';
    assert_int_equal(sl__program_find(NULL, strrchr(own, '/') + 1, &path, &error), 0);
    assert_string_equal(path, own);
    free(path);
}

SL_SERVICE(plain, 1, SUMS);
#define FEWER(M) M(add, pair, number, SL_IDEMPOTENT)
SL_SERVICE(fewer, 1, FEWER);
#define STRICTER(M) M(add, pair, number)
SL_SERVICE(stricter, 1, STRICTER);
#define RENAMED(M) M(plus, pair, number, SL_IDEMPOTENT)
SL_SERVICE(renamed, 1, RENAMED);
#define TURNED(M) M(add, number, pair, SL_IDEMPOTENT)
SL_SERVICE(turned, 1, TURNED);

static void the_digest_says_what_both_must_agree_on(void **state)
{
    const sl_service *services[] = {sums_service, fewer_service, stricter_service, renamed_service,
                                    turned_service};
    sl_service copies[sl_array_size(services)];
    for (size_t i = 0; i < sl_array_size(services); i++) {
        copies[i] = *services[i];
        copies[i].name = "same";
        assert_true(sl_service_digest(&copies[i]) != 0);
        for (size_t j = 0; j < i; j++)
            assert_true(sl_service_digest(&copies[i]) != sl_service_digest(&copies[j]));
    }
    sl_service plain = *plain_service;
    plain.name = "sums";
    assert_true(sl_service_digest(&plain) == sl_service_digest(sums_service));
    assert_int_equal(sl__method_find(sums_service, "add"), 0);
    assert_int_equal(sl__method_find(sums_service, "greet"), 1);
    assert_int_equal(sl__method_find(sums_service, "gree"), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_plugin_offers_as_long_as_it_is_loaded),
        cmocka_unit_test(programs_are_found),
        cmocka_unit_test(programs_stand_beside_the_library),
        cmocka_unit_test(the_digest_says_what_both_must_agree_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
