/* postgres_server.h: a PostgreSQL of the test's own, for tests that need one.
 *
 * It stands in a temporary directory, in memory where there is room, and listens on a Unix socket there; it
 * is one for the whole program, started at the first use. A guardian process keeps it: it ends the server and
 * removes the directory when the test ends, however it ends. Works as root too (the server then runs as the
 * user postgres or nobody).
 *
 *     int main(void)
 *     {
 *         postgres_server_need(.fsync = false); // ends the program with 77, "skipped", where there is no
 * PostgreSQL …                                     // postgres_server_url()
 *     } */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

typedef struct postgres_server_options {
    bool fsync;
    const char *settings[16]; /* further ones: "log_statement=all" */
} postgres_server_options;

#define postgres_server_need(...) postgres_server_start(&(postgres_server_options){__VA_ARGS__})
void postgres_server_start(const postgres_server_options *options);
/* "host=/dev/shm/… user=postgres dbname=postgres": for libpq, and for sl_store_declare. */
const char *postgres_server_url(void);
const char *postgres_server_directory(void); /* of the socket, which is .s.PGSQL.5432 there */
/* Makes another database; its URL, in static memory. */
const char *postgres_server_database(const char *name);
/* Ends the server by a signal (SIGKILL: as a crash), and waits until it is gone, its children too. */
void postgres_server_stop(int signal);
/* Starts it again, and waits until it is ready. */
void postgres_server_again(void);
/* Runs SQL with psql, as somebody else; ends the program if that fails. What it printed, without decoration,
 * in static memory. */
const char *postgres_server_psql(const char *sql);
