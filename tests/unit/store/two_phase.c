/* two_phase.c: what is written to several stores is committed in all or in none, also after kill -9 at each
 * step. */
#include "postgres_server.h"
#include "world.h"
#include "store/two_phase.h"

#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>

#define NOTE(F) F(id, integer, SL_PRIMARY_KEY) F(text, text, SL_REQUIRED, SL_UNIQUE)
SL_MODEL(near, NOTE, .store = "near");
SL_MODEL(far, NOTE, .store = "far");
SL_MODEL(third, NOTE, .store = "third");

typedef struct pair {
    char near[300], far[300], third[300]; /* the third may be "" */
} pair;

static bool with_third;

static void declare(const pair *urls)
{
    sl_error *error = NULL;
    if (sl_store_declare(sl_root_current(), "near", urls->near, &error) < 0 ||
        sl_store_declare(sl_root_current(), "far", urls->far, &error) < 0)
        fail_msg("%s", error->message);
    with_third = urls->third[0];
    if (with_third && sl_store_declare(sl_root_current(), "third", urls->third, &error) < 0)
        fail_msg("%s", error->message);
}

static void *make_tables(void *data)
{
    declare(data);
    sl_models(near_model, far_model);
    if (with_third)
        sl_models(third_model);
    sl_migrate(NULL);
    return NULL;
}

static void *write_both(void *data)
{
    sl_add(sl_new(near, .text = data));
    sl_add(sl_new(far, .text = data));
    if (with_third)
        sl_add(sl_new(third, .text = data));
    return NULL;
}

static void *write_and_fail(void *data)
{
    write_both(data);
    sl_save();
    sl_fail(SL_EFAILED, "no");
}

static void *transact_again(void *data)
{
    return sl_transact(write_both, data);
}

static void *transact_and_fail(void *data)
{
    return sl_transact(write_and_fail, data);
}

/* ---- Dying --------------------------------------------------------------------------------------------- */

static int steps_left;
static char text[40];

static void die_here(const char *what)
{
    (void)what;
    if (steps_left-- == 0)
        kill(getpid(), SIGKILL);
}

static void *write_and_die(void *data)
{
    declare(data);
    sl__two_phase_step = die_here;
    sl_transact(write_both, text);
    return NULL;
}

/* Opens both stores, which recovers, and says how many rows there are in each. */
static void *look(void *data)
{
    declare(data);
    int64_t far_count = sl_count(sl_find(far)), near_count = sl_count(sl_find(near));
    int64_t third_count = with_third ? sl_count(sl_find(third)) : far_count;
    bool same = far_count == near_count && third_count == far_count;
    if (!same)
        fprintf(stderr, "near has %lld rows, far %lld, the third %lld\n", (long long)near_count,
                (long long)far_count, (long long)third_count);
    /* Nothing is left that holds locks. */
    sl_transact(write_both, sl_uuid_text(sl_uuid_new(), sl_alloc(SL_UUID_SIZE)), .retries = 5);
    return same ? "same" : NULL;
}

/* In a process of its own: its exit status, or 128 + the signal that ended it. 0: it returned something. */
static int run_apart(sl_task_fn *fn, void *data)
{
    fflush(NULL);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        void *value = NULL;
        int code = sl_run("apart", fn, data, &value);
        fflush(NULL);
        _exit(code < 0 ? 2 : value ? 0 : 1);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

static void kill_at_each_step(pair *urls)
{
    run_apart(make_tables, urls);
    int died = 0, status = 128 + SIGKILL;
    for (int n = 0; status == 128 + SIGKILL; n++) {
        steps_left = n;
        snprintf(text, sizeof text, "written %d", n);
        status = run_apart(write_and_die, urls);
        assert_int_equal(run_apart(look, urls), 0);
        died += status == 128 + SIGKILL;
    }
    assert_int_equal(status, 1); /* at last it went through: there was no step left to die at */
    assert_true(died >= 4);
}

/* Two new databases of these kinds. */
static pair pair_of(const char *near_kind, const char *far_kind)
{
    pair urls = {0};
    snprintf(urls.near, sizeof urls.near, "%s", world_url(near_kind));
    snprintf(urls.far, sizeof urls.far, "%s", world_url(far_kind));
    return urls;
}

/* Of both kinds, with the tables in them. */
static pair new_pair(void)
{
    pair urls = pair_of("sqlite", "postgres");
    run_apart(make_tables, &urls);
    return urls;
}

static void sqlite_and_postgres(void **state)
{
    (void)state;
    pair urls = pair_of("sqlite", "postgres");
    kill_at_each_step(&urls);
}

static void postgres_alone(void **state)
{
    (void)state;
    pair urls = pair_of("postgres", "postgres");
    kill_at_each_step(&urls);
}

/* What one has heard, another still has to ask for. */
static void three_stores(void **state)
{
    (void)state;
    pair urls = pair_of("sqlite", "postgres");
    snprintf(urls.third, sizeof urls.third, "%s", world_url("postgres"));
    kill_at_each_step(&urls);
}

static void *fail_both(void *data)
{
    make_tables(data);
    assert_error(error_of(transact_and_fail, "x"), SL_EFAILED, "no");
    assert_int_equal(sl_count(sl_find(near)), 0);
    assert_int_equal(sl_count(sl_find(far)), 0);
    sl_transact(write_both, "x");
    assert_error(error_of(transact_again, "x"), SL_EEXIST, "x");
    assert_int_equal(sl_count(sl_find(near)), 1);
    assert_int_equal(sl_count(sl_find(far)), 1);
    return "good";
}

static void failure_undoes_both(void **state)
{
    (void)state;
    pair urls = pair_of("sqlite", "postgres");
    assert_int_equal(run_apart(fail_both, &urls), 0);
}

static void *two_files(void *data)
{
    make_tables(data);
    assert_error(error_of(transact_again, "x"), SL_EINVAL, "two stores of SQLite");
    assert_int_equal(sl_count(sl_find(near)), 0);
    assert_int_equal(sl_count(sl_find(far)), 0);
    return "good";
}

static void two_files_are_refused(void **state)
{
    (void)state;
    pair urls = pair_of("sqlite", "sqlite");
    assert_int_equal(run_apart(two_files, &urls), 0);
}

/* ---- What is not heard --------------------------------------------------------------------------------- */

static sl__driver deaf; /* PostgreSQL, whose answers are lost where a test says so */
static int lost, lost_decisions;
static int commit_code; /* what a commit that went well is said to have failed with; 0: nothing */

static sl_error *lose_answer(int *left)
{
    --*left;
    return sl_error_new(SL_EDISCONNECTED, "the answer was lost");
}

static sl_error *prepare_unheard(sl__connection *connection, const char *gid)
{
    sl_error *error = sl__postgres_driver.prepare(connection, gid);
    return error || !lost ? error : lose_answer(&lost);
}

static sl_error *decide_unheard(sl_store *store, const char *gid, bool commit)
{
    if (lost || lost_decisions)
        return lose_answer(lost ? &lost : &lost_decisions);
    return sl__postgres_driver.decide(store, gid, commit);
}

static sl__driver half_deaf; /* SQLite, likewise */

static sl_error *commit_unheard(sl__connection *connection)
{
    sl_error *error = sl__sqlite_driver.commit(connection);
    int code = commit_code;
    commit_code = 0;
    return error || !code ? error : sl_error_new(code, "the answer was lost");
}

static void declare_deaf(const pair *urls)
{
    declare(urls);
    deaf = sl__postgres_driver;
    deaf.prepare = prepare_unheard;
    deaf.decide = decide_unheard;
    half_deaf = sl__sqlite_driver;
    half_deaf.commit = commit_unheard;
    for (sl_store *store = sl__stores_here(false)->first; store; store = store->next)
        store->driver = store->driver == &sl__sqlite_driver ? &half_deaf : &deaf;
}

static bool is_anything_prepared(void)
{
    return strcmp(postgres_server_psql("SELECT count(*) FROM pg_prepared_xacts"), "0") != 0;
}

/* Nothing prepared is left after a while, and both have so many rows. */
static void assert_settled(int64_t rows)
{
    for (int i = 0; i < 50 && is_anything_prepared(); i++)
        sl_await(sl_sleep(100));
    assert_false(is_anything_prepared());
    assert_int_equal(sl_count(sl_find(near)), rows);
    assert_int_equal(sl_count(sl_find(far)), rows);
}

static void *lose_prepare(void *data)
{
    declare_deaf(data);
    lost = 1;
    assert_error(error_of(transact_again, "x"), SL_EDISCONNECTED, "the answer was lost");
    assert_settled(0);
    sl_transact(write_both, "x");
    return "good";
}

static void what_may_be_prepared_is_told_to_abort(void **state)
{
    (void)state;
    pair urls = new_pair();
    assert_int_equal(run_apart(lose_prepare, &urls), 0);
}

static void *recover_unheard(void *data)
{
    declare_deaf(data);
    lost = 1;
    assert_int_equal(sl_count(sl_find(far)), 0); /* it can be used meanwhile */
    assert_int_equal(lost, 0);
    assert_settled(0);
    return "good";
}

static void recovery_that_fails_is_tried_again(void **state)
{
    (void)state;
    pair urls = new_pair();
    steps_left = 1;
    snprintf(text, sizeof text, "left prepared");
    assert_int_equal(run_apart(write_and_die, &urls), 128 + SIGKILL);
    assert_true(is_anything_prepared());
    assert_int_equal(run_apart(recover_unheard, &urls), 0);
}

static void *decide_and_die(void *data)
{
    declare_deaf(data);
    sl_count(sl_find(far));
    lost_decisions = 1000;
    sl_transact(write_both, "x");
    sl_await(sl_sleep(200)); /* what it would forget, it has forgotten */
    kill(getpid(), SIGKILL);
    return NULL;
}

/* Who was not told asks later, and must still find the decision. */
static void a_decision_is_kept_until_it_is_heard(void **state)
{
    (void)state;
    pair urls = new_pair();
    assert_int_equal(run_apart(decide_and_die, &urls), 128 + SIGKILL);
    assert_true(is_anything_prepared());
    assert_int_equal(run_apart(look, &urls), 0);
}

static void *decide_unheard_and_live(void *data)
{
    declare_deaf(data);
    sl_count(sl_find(far));
    lost_decisions = 1;
    sl_transact(write_both, "x");
    assert_settled(1);
    return "good";
}

static void who_is_told_late_hears_the_same(void **state)
{
    (void)state;
    pair urls = new_pair();
    assert_int_equal(run_apart(decide_unheard_and_live, &urls), 0);
}

static void *fail_after_commit(void *data)
{
    declare_deaf(data);
    sl_count(sl_find(near));
    commit_code = SL_EDATABASE;
    assert_error(error_of(transact_again, "x"), SL_EDATABASE, "the answer was lost");
    assert_settled(1);
    return "good";
}

/* A disk may keep what it says that it could not. */
static void a_commit_that_is_said_to_have_failed_is_looked_for(void **state)
{
    (void)state;
    pair urls = new_pair();
    assert_int_equal(run_apart(fail_after_commit, &urls), 0);
}

/* ---- A disk that is full, a file that is gone ---------------------------------------------------------- */

static rlim_t file_limit;

/* Its files may grow to so much; those of PostgreSQL are another process's. */
static void limit_files(rlim_t size)
{
    struct rlimit limit;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
    limit.rlim_cur = size;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

static void *write_with_limit(void *data)
{
    declare(data);
    signal(SIGXFSZ, SIG_IGN);
    int64_t before = sl_count(sl_find(near));
    sl_count(sl_find(far));
    limit_files(file_limit);
    const sl_error *error = error_of(transact_again, text);
    limit_files(RLIM_INFINITY);
    assert_settled(before + !error);
    return error ? "good" : NULL;
}

/* At whatever page the decision's write fails. */
static void the_disk_is_full_at_the_decision(void **state)
{
    (void)state;
    pair urls = new_pair();
    int status = 0;
    unsigned failed = 0;
    for (file_limit = 0; status == 0; file_limit += 6000) {
        snprintf(text, sizeof text, "limit %lu", (unsigned long)file_limit);
        status = run_apart(write_with_limit, &urls);
        failed += status == 0;
    }
    assert_int_equal(status, 1); /* there was enough at last */
    assert_true(failed >= 2);
    assert_int_equal(run_apart(look, &urls), 0);
}

static bool warned;

static void look_for_warning(sl_logger *logger, sl_level level, const sl_site *site, const char *message,
                             size_t size)
{
    (void)logger;
    (void)site;
    warned |= level == SL_WARNING && memmem(message, size, "no store of this application decides it", 39);
}

static void *open_without_decider(void *data)
{
    static sl_logger logger = {.name = "test", .level = SL_WARNING, .write = look_for_warning};
    sl_root_set_logger(sl_root_current(), &logger);
    declare(data);
    sl_models(near_model, far_model);
    sl_migrate(NULL);
    assert_int_equal(sl_count(sl_find(far)), 0); /* it can be used */
    return warned ? "warned" : NULL;
}

static void a_decider_that_is_lost_is_warned_of(void **state)
{
    (void)state;
    pair urls = new_pair();
    steps_left = 1;
    snprintf(text, sizeof text, "left prepared");
    assert_int_equal(run_apart(write_and_die, &urls), 128 + SIGKILL);
    const char *path = urls.near + strlen("sqlite:");
    static const char *const tails[] = {"", "-wal", "-shm"};
    for (size_t i = 0; i < sl_array_size(tails); i++) {
        char file[1000];
        snprintf(file, sizeof file, "%s%s", path, tails[i]);
        assert_int_equal(unlink(file), 0);
    }
    assert_int_equal(run_apart(open_without_decider, &urls), 0);
    assert_true(is_anything_prepared()); /* that is for a person to say */
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(failure_undoes_both),
        cmocka_unit_test(two_files_are_refused),
        cmocka_unit_test(sqlite_and_postgres),
        cmocka_unit_test(postgres_alone),
        cmocka_unit_test(three_stores),
        cmocka_unit_test(a_decision_is_kept_until_it_is_heard),
        cmocka_unit_test(who_is_told_late_hears_the_same),
        cmocka_unit_test(a_commit_that_is_said_to_have_failed_is_looked_for),
        cmocka_unit_test(what_may_be_prepared_is_told_to_abort),
        cmocka_unit_test(recovery_that_fails_is_tried_again),
        cmocka_unit_test(the_disk_is_full_at_the_decision),
        cmocka_unit_test(a_decider_that_is_lost_is_warned_of),
    };
    return world_main(argc, argv, tests, sl_array_size(tests));
}
