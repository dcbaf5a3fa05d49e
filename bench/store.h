/* store.h: the tables that bench-store measures with, and what is measured.
 *
 * All tables have the same five columns. `item` is only read, `fresh` is emptied and filled, `edited` is
 * changed; `entry` refers to items. What stands in row n is computed from n, here and in SQL alike, so that
 * each measurement can check what it read or left behind. */
#pragma once

#include <silver/silver.h>

#include <stdio.h>

/* `KEYS` are read in an order that is none: the next one is STRIDE further, and ROWS has no divisor in common
 * with it. */
enum { ROWS = 20000, STRIDE = 7919, TEXT_SIZE = 20, GROUP = 100, TASKS = 100, MAPPED = 1000 };

static inline int64_t key_at(size_t i)
{
    return (int64_t)(1 + i * STRIDE % ROWS);
}

typedef struct content {
    char name[TEXT_SIZE + 1], mail[TEXT_SIZE + 1];
    int64_t number;
    double weight;
} content;
extern content rows[ROWS + 1]; /* by key, from 1 */

/* The same in SQL. */
#define ROW_IN_SQLITE                                                                                        \
    "printf('person number %06d', i), printf('a%06d@mail.example', i), i * 37 % 1000, i * 0.25"
#define ROW_IN_POSTGRES                                                                                      \
    "to_char(i, 'FM\"person number \"000000'), to_char(i, 'FM\"a\"000000\"@mail.example\"'), i * 37 % "      \
    "1000, "                                                                                                 \
    "i * 0.25"

/* What reading all columns of a row comes to. */
static inline uint64_t row_sum(int64_t id, const char *name, const char *mail, int64_t number, double weight)
{
    return (uint64_t)id + (uint64_t)number + (uint64_t)(weight * 4) + (uint64_t)name[TEXT_SIZE - 1] +
           (uint64_t)mail[6];
}

/* Does something n times between clock_start and clock_stop, and gives the sum of the rows that it read or
 * left. */
typedef uint64_t workload_fn(size_t n);
void clock_start(void);
void clock_stop(void);
size_t allocations(void); /* since the program began; 0 where they cannot be counted */

SL_NORETURN void give_up(const char *what, const char *why);

/* Where the databases are. */
extern const char *directory, *disk, *postgres;                  /* postgres: NULL where there is none */
const char *database_path(const char *folder, const char *name); /* the task's */

/* The drivers as C programs use them: store_raw.c, store_libpq.c. */
void raw_open(const char *schema); /* the SQL that makes the tables */
void raw_fill(const char *path);
void raw_close(void);
uint64_t raw_sum(const char *path,
                 const char *table); /* of all rows of a table, with a connection of its own */
workload_fn raw_get, raw_insert, raw_scan, raw_update, raw_durable;
void libpq_open(void);
void libpq_fill(void);
void libpq_close(void);
workload_fn libpq_get, libpq_pipelined, libpq_any;

/* The store: store_silver.c. */
const char *store_open(void); /* gives the SQL that makes SQLite's tables */
workload_fn store_get, store_insert, store_scan, store_update, store_mapped, store_durable;
workload_fn store_postgres_get, store_preload;
