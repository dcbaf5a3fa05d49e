/* world.c: see world.h. */
#include "world.h"
#include "postgres_server.h"

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/lsan_interface.h>
#endif
#include <ftw.h>
#include <sys/wait.h>

typedef struct world {
    sl_task_fn *fn;
    const char *kind, *url;
} world;

static char directory[] = "/tmp/silver-store-XXXXXX";
static unsigned count;

static int remove_one(const char *path, const struct stat *status, int type, struct FTW *walk)
{
    (void)status;
    (void)type;
    (void)walk;
    return remove(path);
}

static void remove_directory(void)
{
    nftw(directory, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static const char *new_database(void)
{
    static bool started;
    if (!started)
        postgres_server_need(.fsync = false, .settings = {"max_prepared_transactions=20"});
    started = true;
    char name[20];
    snprintf(name, sizeof name, "world%u", ++count);
    return postgres_server_database(name);
}

const char *world_url(const char *kind)
{
    if (strcmp(kind, "postgres") == 0)
        return new_database();
    static bool made;
    if (!made) {
        made = true;
        assert_non_null(mkdtemp(directory));
        atexit(remove_directory);
    }
    static char url[100];
    snprintf(url, sizeof url, "sqlite:%s/%u.sqlite", directory, ++count);
    return url;
}

static void make_tables(void)
{
    sl_models(company_model, person_model, club_model, membership_model, page_model, place_model);
    sl_migrate(NULL);
}

static void *run_world(void *data)
{
    const world *w = data;
    sl_error *error = NULL;
    if (sl_store_declare(sl_root_current(), w->kind, w->url, &error) < 0)
        fail_msg("%s", error->message);
    make_tables();
    return w->fn(NULL);
}

/* Each in a process of its own: an assertion that fails in a task leaves the loop behind. */
int world_run(const char *kind, sl_task_fn *fn)
{
    static bool in_child;
    if (in_child)
        _exit(1); /* the one before has failed */
    world w = {fn, kind, world_url(kind)};
    fflush(NULL);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        in_child = true;
        int code = sl_run("world", run_world, &w, NULL);
        fflush(NULL);
#if defined(__SANITIZE_ADDRESS__)
        __lsan_do_leak_check(); /* which an exit would do */
#endif
        _exit(code < 0);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    return status;
}

int world_main(int argc, char **argv, const struct CMUnitTest *tests, size_t test_count)
{
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return _cmocka_run_group_tests("store", tests, test_count, NULL, NULL);
}
