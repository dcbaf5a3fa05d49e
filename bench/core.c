/* core.c: what the core's operations cost. Prints one line each: nanoseconds of processor time, the least of
 * several rounds (the machine may be shared: the minimum is what the code costs). */
#include <silver/core.h>

#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define ROUNDS 15

typedef void operation(size_t n);

static uint64_t processor_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static const char *wanted = "";

static void report(const char *name, operation *op, size_t n, double target)
{
    if (strncmp(name, wanted, strlen(wanted)) != 0)
        return;
    uint64_t best = UINT64_MAX;
    for (int round = 0; round < ROUNDS; round++) {
        uint64_t begun = processor_ns();
        op(n);
        uint64_t took = processor_ns() - begun;
        best = took < best ? took : best;
    }
    printf("%-52s %8.1f ns   (to reach: %.0f)\n", name, (double)best / (double)n, target);
}

static void *nothing(void *data)
{
    return NULL;
}

static sl_result pass(sl_result result, void *data)
{
    return result;
}

static void make_link_fire_release(size_t n)
{
    for (size_t i = 0; i < n; i++) {
        sl_deferred *d = sl_deferred_new(NULL, NULL);
        sl_then(d, pass, NULL, NULL, NULL);
        sl_fire(d, NULL, NULL);
        sl_deferred_unref(d);
    }
}

/* Two tasks that wait for each other in turn: each await suspends, each firing resumes. */
static sl_deferred *turn[2];

static void *other_side(void *data)
{
    for (size_t i = 0; i < (size_t)data; i++) {
        turn[1] = sl_deferred_new(NULL, NULL);
        sl_fire(turn[0], NULL, NULL);
        if (i + 1 < (size_t)data)
            sl_await(turn[1]);
        else
            sl_deferred_unref(turn[1]);
    }
    return NULL;
}

static void suspend_and_resume(size_t n)
{
    turn[0] = sl_deferred_new(NULL, NULL);
    sl_deferred *other = sl_spawn(other_side, (void *)(n / 2));
    for (size_t i = 0; i < n / 2; i++) {
        sl_await(turn[0]);
        turn[0] = sl_deferred_new(NULL, NULL);
        if (i + 1 < n / 2)
            sl_fire(turn[1], NULL, NULL);
        else
            sl_deferred_unref(turn[0]);
    }
    sl_await(other);
}

static void yield(size_t n)
{
    for (size_t i = 0; i < n; i++)
        sl_yield();
}

static void await_ready(size_t n)
{
    for (size_t i = 0; i < n; i++)
        sl_await(sl_succeeded(NULL, NULL));
}

static void make_and_finish_task(size_t n)
{
    for (size_t i = 0; i < n;) {
        SL_SCOPE(all)
        {
            for (size_t batch = 0; batch < 16 && i < n; batch++, i++)
                sl_go(nothing, NULL);
        }
    }
}

static void spawn_and_await(size_t n)
{
    for (size_t i = 0; i < n; i++)
        sl_await(sl_spawn(nothing, NULL));
}

static SL_KEY(key, SL_CAPTURED);
static SL_KEY(other_key, SL_CAPTURED);

static void look_up(size_t n)
{
    SL_WITH(&key, "value");
    SL_WITH(&other_key, "other");
    for (size_t i = 0; i < n; i++) {
        void *value = sl_get(&key);
        __asm__ volatile("" : : "r"(value) : "memory");
    }
}

static void with_block(size_t n)
{
    for (size_t i = 0; i < n; i++) {
        SL_WITH(&key, "value");
        __asm__ volatile("" ::: "memory");
    }
}

struct shape {
    int corners;
};
SL_INTERFACE(shape);
struct round_shape {
    struct shape base;
};
SL_INTERFACE_EXTENDS(round_shape, shape);
struct colour {
    int value;
};
SL_INTERFACE(colour);

static void facet_loop(sl_object *object, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        struct shape *found = sl_facet(object, shape);
        __asm__ volatile("" : : "r"(found) : "memory");
    }
}

static void own_facet(size_t n)
{
    struct shape square = {.corners = 4};
    struct colour red = {1};
    sl_object *object = sl_object_new("square");
    sl_object_add(object, colour, &red, NULL);
    sl_object_add(object, shape, &square, NULL);
    facet_loop(object, n);
    sl_object_unref(object);
}

static void base_facet(size_t n)
{
    struct round_shape circle = {0};
    sl_object *object = sl_object_new("circle");
    sl_object_add(object, round_shape, &circle, NULL);
    facet_loop(object, n);
    sl_object_unref(object);
}

static void *shape_of_colour(void *facet, sl_object *object)
{
    static struct shape blot;
    return &blot;
}

static void adapted_facet(size_t n)
{
    struct colour red = {1};
    sl_root *root = sl_root_current();
    sl_adapter_add(root, colour, shape, shape_of_colour, NULL);
    sl_object *object = sl_object_new("red");
    sl_object_add(object, colour, &red, NULL);
    facet_loop(object, n);
    sl_object_unref(object);
    sl_adapter_remove(root, colour, shape);
}

SL_LOCAL_EVENT(moved, int);
SL_EVENT(said);

static sl_result hears(const sl_told *told, void *data)
{
    ++*(size_t *)data;
    return sl_ok(NULL);
}

static void with_listeners(size_t n, const char *name, void (*tell)(sl_channel *channel, size_t n))
{
    size_t heard = 0;
    sl_object *owner = sl_object_new("owner");
    sl_channel *channel = sl_channel("%s", name);
    for (int i = 0; i < 8; i++)
        sl_listen_to(channel, NULL, hears, &heard, .owner = owner);
    sl_channel *told = sl_channel("%s", "bench/room");
    tell(told, n);
    sl_object_unref(owner);
    if (heard != 8 * n)
        abort();
}

static void emit(sl_channel *channel, size_t n)
{
    for (size_t i = 0; i < n; i++)
        sl_emit(channel, said, NULL);
}

static void tell(sl_channel *channel, size_t n)
{
    int payload = 1;
    for (size_t i = 0; i < n; i++)
        sl_tell(channel, moved, &payload);
}

static void emit_to_eight(size_t n)
{
    with_listeners(n, "bench/room", emit);
}

static void tell_eight(size_t n)
{
    with_listeners(n, "bench/room", tell);
}

static void emit_to_eight_above(size_t n)
{
    with_listeners(n, "bench", emit);
}

static void *fails(void *data)
{
    sl_fail(SL_EINVAL, "no");
}

static void fail_and_try(size_t n)
{
    sl_error *error;
    for (size_t i = 0; i < n; i++)
        sl_try(sl_spawn(fails, NULL), &error);
}

static size_t resident_kib(void)
{
    size_t pages = 0, resident = 0;
    FILE *statm = fopen("/proc/self/statm", "r");
    if (statm && fscanf(statm, "%zu %zu", &pages, &resident) != 2)
        resident = 0;
    if (statm)
        fclose(statm);
    return resident * (size_t)sysconf(_SC_PAGESIZE) / 1024;
}

static void *parks(void *data)
{
    sl_await(sl_sleep(3600000));
    return NULL;
}

static void park_many(size_t n)
{
    size_t before = resident_kib();
    SL_SCOPE(all)
    {
        for (size_t i = 0; i < n; i++)
            sl_go(parks, NULL);
        sl_yield();
        for (int i = 0; i < 1000; i++)
            sl_yield();
        printf("%-52s %8.0f MiB  (to reach: 500)\n", "100,000 parked tasks",
               (double)(resident_kib() - before) / 1024);
        sl_scope_cancel(all);
    }
}

static void *run(void *data)
{
    report("deferred: made, one link, fired, released", make_link_fire_release, 1000000, 25);
    report("await that suspends, and its resumption", suspend_and_resume, 1000000, 40);
    report("yield", yield, 1000000, 40);
    report("await of a result that is there", await_ready, 1000000, 25);
    report("task: made and finished", make_and_finish_task, 1000000, 80);
    report("task: spawned with a deferred, and awaited", spawn_and_await, 1000000, 120);
    report("task: failed (unwound) and tried", fail_and_try, 20000, 20000);
    report("context: look-up", look_up, 10000000, 2);
    report("context: SL_WITH entered and left", with_block, 1000000, 40);
    report("facet: the object's own", own_facet, 10000000, 10);
    report("facet: of an interface that extends it", base_facet, 10000000, 10);
    report("facet: adapted", adapted_facet, 10000000, 10);
    report("channel: emit to 8 listeners", emit_to_eight, 1000000, 60);
    report("channel: emit to 8 listeners of the one above", emit_to_eight_above, 1000000, 60);
    report("channel: tell 8 listeners a local event", tell_eight, 1000000, 60);
    if (!*wanted)
        park_many(100000);
    return NULL;
}

int main(int argc, char **argv)
{
    if (argc > 1)
        wanted = argv[1];
    return sl_run("bench", run, NULL, NULL) < 0;
}
