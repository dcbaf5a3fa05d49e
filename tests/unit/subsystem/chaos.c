/* chaos: children are killed, ended and stopped at random while many tasks call them, cancel calls, let them
 * time out, wear them and see their services withdrawn. Each call must end exactly once, with a right result
 * or with a reason that there is; and when all is over, nothing is left: no process, descriptor or mapping.
 * All of it is done twice, a short time first: what the allocators keep after that must not grow any more.
 *
 *     chaos [--kills=N] [--seed=N]        unless said otherwise, 10,000 kills, and fewer under the sanitizers
 *
 * Nothing here depends on how long anything takes: the next kill comes when calls have succeeded since the
 * last.
 */
#include "trial_check.h"

#include <time.h>

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define __SANITIZE_ADDRESS__ 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__)
#define KILLS 300
#else
#define KILLS 10000
#endif

#define WARM_UP 10         /* the first round has so much less kills */
#define MAPPINGS_MORE 64   /* that the second round may leave: many less than there are kills */
#define LAST_KILLED 64     /* children that are not counted again: they may not have been reaped yet */
#define ROOTS 4            /* with a manager each */
#define CALLERS 16         /* in each */
#define WITHDRAW_EVERY 500 /* kills */

static unsigned kills_wanted = KILLS;
static uint64_t seed;

typedef struct chaos {
    sl_root *roots[ROOTS];
    sl_manager *managers[ROOTS];
    uint64_t begun, ended, good, by_code[6];
    unsigned kills, kills_wanted, twice;
    pid_t last_killed[LAST_KILLED];
    bool over;
    sl_logger logger;
} chaos;

static uint32_t next_random(void)
{
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(seed >> 33);
}

static uint32_t random_below(uint32_t limit)
{
    return next_random() % limit;
}

/* ---- The services: three children each, those of `trials` with several calls at once ---- */

static void offer_one(sl_manager *manager, bool many)
{
    const sl_offer options = {.service = many ? trials_service : trial_service,
                              .maximum = 3,
                              .timeout_ms = 150,
                              .grace_ms = 10,
                              .recycle_calls = 400,
                              .crashes = UINT64_MAX,
                              .queue_calls = CALLERS / 2};
    offer(manager, many ? "trials" : "trial", &options);
}

/* ---- The callers ---- */

typedef struct counted {
    chaos *chaos;
    bool ended;
} counted;

static sl_result count_end(sl_result result, void *data)
{
    counted *call = data;
    call->chaos->ended++;
    call->chaos->twice += call->ended;
    call->ended = true;
    return result;
}

static sl_deferred *random_call(int64_t *ret_number)
{
    static const char *const keys[] = {NULL, NULL, NULL, "a", "b", "c", "d"};
    sl_call_options options = {.key = keys[random_below(sl_array_size(keys))],
                               .priority = (sl_priority)random_below(3),
                               .timeout_ms = random_below(20) ? 0 : 1 + random_below(3)};
    *ret_number = next_random();
    if (random_below(8) == 0)
        return random_below(2) ? sl_call_with(&options, trial, fail, "it")
                               : sl_call_with(&options, trials, fail, "it");
    if (random_below(50) == 0) { /* one that is never done */
        options.timeout_ms = 5;
        return random_below(2) ? sl_call_with(&options, trial, wait) : sl_call_with(&options, trials, wait);
    }
    if (random_below(2)) { /* one that a kill may hit */
        *ret_number = random_below(3000);
        return random_below(2) ? sl_call_with(&options, trial, linger, *ret_number)
                               : sl_call_with(&options, trials, linger, *ret_number);
    }
    return random_below(2) ? sl_call_with(&options, trial, twice, *ret_number)
                           : sl_call_with(&options, trials, twice, *ret_number);
}

static void judge(chaos *c, const struct trial_number *result, const sl_error *error, int64_t number)
{
    static const int expected[] = {SL_ECRASHED, SL_ETIMEDOUT, SL_ECANCELED,
                                   SL_EBUSY,    SL_ECLOSED,   SL_ENOSERVICE};
    if (!error) {
        CHECK(result->number == 2 * number);
        c->good++;
        return;
    }
    if (error->code == SL_HTTP(404))
        return;
    for (unsigned i = 0; i < sl_array_size(expected); i++) {
        if (error->code == expected[i]) {
            c->by_code[i]++;
            return;
        }
    }
    fprintf(stderr, "a call ended with %d: %s\n", error->code, error->message);
    abort();
}

static void call_once(chaos *c)
{
    int64_t number;
    counted *call = sl_zalloc(sizeof *call);
    call->chaos = c;
    sl_deferred *deferred = random_call(&number);
    c->begun++;
    sl_then(deferred, count_end, count_end, call, NULL);
    if (random_below(10) == 0) {
        for (uint32_t i = random_below(4); i > 0; i--)
            sl_yield();
        sl_cancel(deferred);
    }
    sl_error *error;
    const struct trial_number *result = sl_try(deferred, &error);
    CHECK(call->ended);
    judge(c, result, error, number);
    if (error && error->code == SL_EBUSY)
        sl_try(random_below(2) ? sl_room(trial) : sl_room(trials), &error);
}

static void *caller(void *data)
{
    chaos *c = data;
    while (!c->over)
        SL_SCRATCH()
        {
            call_once(c);
        }
    return NULL;
}

/* ---- The killer ---- */

/* One that has calls, nine times of ten. */
static pid_t random_child(sl_manager *manager)
{
    bool any = random_below(10) == 0;
    json_t *stats = sl_manager_stats(manager), *service, *child;
    pid_t pids[64];
    uint32_t count = 0;
    size_t i, j;
    json_array_foreach(stats, i, service) json_array_foreach(
        json_object_get(service, "children"), j,
        child) if (count < 64 && (any || json_integer_value(json_object_get(child, "running")) > 0))
        pids[count++] = (pid_t)json_integer_value(json_object_get(child, "pid"));
    json_decref(stats);
    return count ? pids[random_below(count)] : 0;
}

static bool was_killed(const chaos *c, pid_t pid)
{
    for (unsigned i = 0; i < LAST_KILLED; i++)
        if (c->last_killed[i] == pid)
            return true;
    return false;
}

static void kill_one(chaos *c)
{
    pid_t pid = random_child(c->managers[random_below(ROOTS)]);
    uint32_t which = random_below(100);
    if (!pid || was_killed(c, pid) || kill(pid, which < 2 ? SIGSTOP : which < 30 ? SIGTERM : SIGKILL) < 0)
        return;
    c->last_killed[c->kills++ % LAST_KILLED] = pid;
}

static void withdraw_one(sl_manager *manager, bool many)
{
    sl_manager_withdraw(manager, many ? "trials" : "trial");
    for (uint32_t i = random_below(3); i > 0; i--)
        sl_yield();
    offer_one(manager, many);
}

static void *killer(void *data)
{
    chaos *c = data;
    unsigned withdrawn = 0;
    while (c->kills < c->kills_wanted) {
        SL_SCRATCH()
        {
            kill_one(c);
            if (c->kills / WITHDRAW_EVERY > withdrawn) {
                withdrawn = c->kills / WITHDRAW_EVERY;
                withdraw_one(c->managers[random_below(ROOTS)], withdrawn % 2);
            }
            for (uint64_t good = c->good; c->good - good < 3;)
                sl_await(sl_sleep(0)); /* others go on */
        }
    }
    c->over = true;
    return NULL;
}

/* ---- All of it ---- */

static unsigned mappings(const char *kind)
{
    char line[512];
    unsigned count = 0;
    FILE *maps = fopen("/proc/self/maps", "re");
    while (fgets(line, sizeof line, maps))
        count += strstr(line, kind) != NULL;
    fclose(maps);
    return count;
}

static void log_quietly(sl_logger *logger, sl_level level, const sl_site *site, const char *message,
                        size_t size)
{
    chaos *c = (chaos *)((char *)logger - offsetof(chaos, logger));
    if (strstr(message, "fired twice") || strstr(message, "does not end")) {
        c->twice++;
        fprintf(stderr, "%s\n", message);
    }
}

static void begin(chaos *c)
{
    for (int r = 0; r < ROOTS; r++) {
        c->roots[r] = sl_root_new(sl_loop_current(), "chaos");
        sl_root_set_logger(c->roots[r], &c->logger);
        SL_IN_ROOT(c->roots[r]);
        c->managers[r] = manager_new();
        offer_one(c->managers[r], false);
        offer_one(c->managers[r], true);
    }
}

static void run_chaos(chaos *c)
{
    SL_SCOPE(scope)
    {
        for (int i = 0; i < ROOTS * CALLERS; i++) {
            SL_IN_ROOT(c->roots[i % ROOTS]);
            sl_go(caller, c);
        }
        sl_go(killer, c);
    }
    CHECK(c->begun == c->ended && c->twice == 0 && c->good > 0);
}

static void end(chaos *c, unsigned files)
{
    for (int r = 0; r < ROOTS; r++)
        sl_await(sl_manager_drain(c->managers[r]));
    CHECK(no_children());
    for (int r = 0; r < ROOTS; r++) {
        sl_manager_free(c->managers[r]);
        sl_root_unref(c->roots[r]);
    }
    while (open_files() != files) /* closed at the end of a pass of the loop */
        sl_yield();
    CHECK(mappings("memfd:") == 0);
}

/* How many mappings there are after it. */
static unsigned run_round(chaos *c, unsigned kills)
{
    unsigned files = open_files();
    *c = (chaos){.kills_wanted = kills, .logger = {.name = "chaos", .level = SL_INFO, .write = log_quietly}};
    begin(c);
    run_chaos(c);
    end(c, files);
    return mappings("");
}

static void *program(void *data)
{
    chaos c;
    unsigned before = run_round(&c, kills_wanted / WARM_UP), after = run_round(&c, kills_wanted);
    printf(
        "%u kills; %llu calls ended, %llu with their result; crashed %llu, timed out %llu, cancelled %llu, "
        "busy %llu, closed %llu, without service %llu; %u mappings, and %u before\n",
        c.kills, (unsigned long long)c.ended, (unsigned long long)c.good, (unsigned long long)c.by_code[0],
        (unsigned long long)c.by_code[1], (unsigned long long)c.by_code[2], (unsigned long long)c.by_code[3],
        (unsigned long long)c.by_code[4], (unsigned long long)c.by_code[5], after, before);
    CHECK(c.by_code[0] > 0); /* else the kills hit nothing */
    CHECK(after <= before + MAPPINGS_MORE);
    return NULL;
}

int main(int argc, char **argv)
{
    seed = (uint64_t)time(NULL);
    for (int i = 1; i < argc; i++) {
        if (strncmp(argv[i], "--kills=", 8) == 0)
            kills_wanted = (unsigned)atoi(argv[i] + 8);
        else if (strncmp(argv[i], "--seed=", 7) == 0)
            seed = strtoull(argv[i] + 7, NULL, 10);
    }
    printf("chaos --kills=%u --seed=%llu\n", kills_wanted, (unsigned long long)seed);
    fflush(stdout);
    return sl_run("chaos", program, NULL, NULL) == 0 ? 0 : 1;
}
