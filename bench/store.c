/* store.c: what objects cost in SQLite and PostgreSQL, beside the same by the drivers alone.
 *
 *     bench-store [--only TEXT] DIRECTORY DISK [POSTGRES]
 *     bench-store --check
 *
 * For each line that it reads it does one round of everything, and prints a JSON object: what → µs for one,
 * µs of processor time, and allocations. bench/run puts the rounds side by side with those of Python's
 * mappers. DIRECTORY, which should be in memory, and DISK, which should not, are to have the databases;
 * POSTGRES is the URL of a database that is empty. --check does everything but PostgreSQL once, in small, and
 * says whether the outcome is right. */
#include "store.h"

#include <ftw.h>
#include <inttypes.h>
#include <jansson.h>
#include <malloc.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define TRIM_AT (8 << 20)

const char *directory, *disk, *postgres;
content rows[ROWS + 1];

SL_NORETURN void give_up(const char *what, const char *why)
{
    fprintf(stderr, "bench-store: %s: %s\n", what, why);
    exit(1);
}

const char *database_path(const char *folder, const char *name)
{
    return sl_printf("%s/%s.sqlite", folder, name);
}

/* ---- The clock ---- */

static struct {
    uint64_t wall_ns, used_ns;
    size_t allocations;
} begun, taken;

static uint64_t processor_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

void clock_start(void)
{
    begun.allocations = allocations();
    begun.wall_ns = sl_monotonic_ns();
    begun.used_ns = processor_ns();
}

void clock_stop(void)
{
    taken.used_ns = processor_ns() - begun.used_ns;
    taken.wall_ns = sl_monotonic_ns() - begun.wall_ns;
    taken.allocations = allocations() - begun.allocations;
}

/* ---- What must come of it ---- */

static uint64_t sum_of(int64_t key)
{
    return row_sum(key, rows[key].name, rows[key].mail, rows[key].number, rows[key].weight);
}

static uint64_t of_keys(size_t n)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += sum_of(key_at(i));
    return sum;
}

static uint64_t of_first(size_t n)
{
    uint64_t sum = 0;
    for (size_t i = 1; i <= n; i++)
        sum += sum_of((int64_t)i);
    return sum;
}

static uint64_t of_all(size_t n)
{
    return of_first(ROWS);
}

static uint64_t of_mapped(size_t n)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < MAPPED; i++)
        sum += (uint64_t)rows[key_at(i)].number;
    return sum * (n / MAPPED);
}

/* ---- Rounds ---- */

static const struct measured {
    const char *name;
    workload_fn *run, *expected;
    size_t n, checked; /* how often; for --check, 0: it needs PostgreSQL */
} all[] = {
    {"get, raw C", raw_get, of_keys, ROWS, 100},
    {"get, silver", store_get, of_keys, ROWS, 100},
    {"insert, raw C", raw_insert, of_first, ROWS, 100},
    {"insert, silver", store_insert, of_first, ROWS, 100},
    {"scan, raw C", raw_scan, of_first, ROWS, 100},
    {"scan, silver", store_scan, of_first, ROWS, 100},
    {"update, raw C", raw_update, of_all, ROWS, 100},
    {"update, silver", store_update, of_all, ROWS, 100},
    {"mapped, silver", store_mapped, of_mapped, 2000 * MAPPED, MAPPED},
    {"durable, raw C", raw_durable, of_first, 400, 10},
    {"durable, silver", store_durable, of_first, 4000, TASKS},
    {"postgres get, libpq", libpq_get, of_keys, 5000, 0},
    {"postgres get, silver", store_postgres_get, of_keys, ROWS, 0},
    {"preload, libpq pipelined", libpq_pipelined, of_keys, ROWS, 0},
    {"preload, libpq ANY", libpq_any, of_keys, ROWS, 0},
    {"preload, silver", store_preload, of_keys, ROWS, 0},
};

static const char *only = "";
static bool checking;

static bool is_wanted(const struct measured *measured)
{
    return strstr(measured->name, only) && (postgres || measured->checked);
}

static json_t *measure(const struct measured *measured)
{
    size_t n = checking ? measured->checked : measured->n;
    uint64_t sum = measured->run(n), expected = measured->expected(n);
    if (sum != expected) {
        const char *why = sl_printf("the rows come to %" PRIu64 ", not to %" PRIu64, sum, expected);
        give_up(measured->name, why);
    }
    return json_pack("[f, f, f]", (double)taken.wall_ns / 1000 / (double)n,
                     (double)taken.used_ns / 1000 / (double)n, (double)taken.allocations / (double)n);
}

/* Every other round goes backwards: nobody always comes after the same other. */
static json_t *round_of(unsigned number)
{
    json_t *figures = json_object();
    for (unsigned i = 0; i < sl_array_size(all); i++) {
        const struct measured *measured = &all[number % 2 ? sl_array_size(all) - 1 - i : i];
        if (!is_wanted(measured))
            continue;
        SL_SCRATCH()
        {
            json_object_set_new(figures, measured->name, measure(measured));
        }
    }
    return figures;
}

static void open_all(void)
{
    const char *path = database_path(directory, "silver");
    for (int i = 1; i <= ROWS; i++) {
        snprintf(rows[i].name, sizeof rows[i].name, "person number %06d", i);
        snprintf(rows[i].mail, sizeof rows[i].mail, "a%06d@mail.example", i);
        rows[i].number = i * 37 % 1000;
        rows[i].weight = i * 0.25;
    }
    raw_open(store_open());
    raw_fill(path);
    if (!postgres)
        return;
    libpq_open();
    libpq_fill();
}

static void *rounds(void *data)
{
    char line[16];
    open_all();
    for (unsigned number = 0; checking ? number < 2 : fgets(line, sizeof line, stdin) != NULL; number++) {
        json_t *figures = round_of(number);
        if (!checking) {
            json_dumpf(figures, stdout, JSON_COMPACT);
            putchar('\n');
            fflush(stdout);
        }
        json_decref(figures);
    }
    raw_close();
    if (postgres)
        libpq_close();
    return NULL;
}

/* ---- A directory for --check ---- */

static char checked_directory[] = "/tmp/silver-bench-store-XXXXXX";

static int remove_one(const char *path, const struct stat *status, int type, struct FTW *walk)
{
    return remove(path);
}

static void remove_directory(void)
{
    nftw(checked_directory, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static void use_directory_of_its_own(void)
{
    checking = true;
    directory = disk = mkdtemp(checked_directory);
    if (!directory)
        give_up(checked_directory, "it cannot be made");
    atexit(remove_directory);
}

/* As in an application's instance (src/run/instance.c): memory that was used once is kept. */
static void keep_memory(void)
{
#ifdef M_TRIM_THRESHOLD
    mallopt(M_TRIM_THRESHOLD, TRIM_AT);
    mallopt(M_MMAP_THRESHOLD, TRIM_AT);
#endif
}

int main(int argc, char *argv[])
{
    int at = 1;
    keep_memory();
    if (argc > at + 1 && strcmp(argv[at], "--only") == 0) {
        only = argv[at + 1];
        at += 2;
    }
    if (argc == 2 && strcmp(argv[1], "--check") == 0) {
        use_directory_of_its_own();
    } else if (argc - at == 2 || argc - at == 3) {
        directory = argv[at];
        disk = argv[at + 1];
        postgres = argc - at == 3 ? argv[at + 2] : NULL;
    } else {
        fprintf(stderr, "bench-store [--only TEXT] DIRECTORY DISK [POSTGRES] | --check\n");
        return 2;
    }
    return sl_run("bench", rounds, NULL, NULL) < 0;
}
