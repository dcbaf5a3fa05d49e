/* run.h: from a directory to running processes. What the command line calls.
 *
 * `silver serve` is one supervisor, which owns the listening socket and the logs and never touches the
 * application's code, and N instances, each a process of its own (`silver instance`, which only the
 * supervisor starts). All functions here return the exit status of the command: 0, 1 (failed; the reason was
 * printed), RUN_EXIT_TAKEN. */
#pragma once

#include <stdbool.h>
#include <stdio.h>

/* Every slot is taken by another `silver serve` (EX_TEMPFAIL of sysexits.h). */
#define RUN_EXIT_TAKEN 75
/* Nobody serves the application (as of the Linux Standard Base's status commands). */
#define RUN_EXIT_NOT_RUNNING 3

#define RUN_INSTANCES_MAX 64
#define RUN_SLOTS_MAX 64 /* numbered from 0 */

struct run_serve_options {
    const char *directory; /* NULL: the current one */
    const char *listen;    /* NULL: the slot's address */
    int slot;              /* its number; RUN_ANY_SLOT: the first free one */
    unsigned instances;    /* 0 stands for 1 */
    const char *
        logfile; /* a name in the slot's log directory, or a path; NULL: the terminal, or APP.log if daemon */
    const char *pidfile; /* NULL: none */
    bool daemon;         /* return when ready, and go on in the background */
    bool production;     /* no debug page, no reloading */
};
#define RUN_ANY_SLOT (-1)

/* Serves until a signal says stop (drained: 0; at once, by a second signal: 1). As a daemon it returns when
 * the server is ready. Prints the ready line on the standard output and everything else on the standard
 * error. */
int run_serve(const struct run_serve_options *options);

/* Checks the manifest and the layout and builds the application; prints each complaint to `out`, as text or
 * as one JSON object {"ok": …, "application": …, "complaints": [{number, file, line, column, message, hint,
 * detail}]}. 0 or 1. */
int run_check(const char *directory, bool json, FILE *out);

/* Runs a command of the application: one that it or a plug-in of it has, or a script in bin/; `words` are its
 * name and arguments. Without a name lists what there is. The status is the command's; 1 if it failed; 2 if
 * there is none of that name. */
int run_command(const char *directory, bool production, int count, char *const words[]);

/* Opens the shell of an application's database: sqlite3 or psql. `store`: its name; NULL where there is only
 * one. The shell's status; 1 where there is none. */
int run_db(const char *directory, const char *store);
/* Prints what the models want of the databases (`store`: of one), and what differs, as SQL or as one JSON
 * object; `difference`: only that, as SQL. 0 where nothing differs, else 1. */
int run_db_schema(const char *directory, const char *store, bool json, bool difference);

/* Prints to `out` who serves the application on this machine for this user, and what they do, as text or as
 * one JSON object. 0; RUN_EXIT_NOT_RUNNING; 1: the manifest cannot be read. */
int run_status(const char *directory, bool json, FILE *out);

/* The hidden command `silver instance`: argv[0] is "instance". Refuses to run by hand. */
int run_instance(int argc, char **argv);
/* The hidden command `silver postgres`, which keeps an application's own PostgreSQL: likewise. */
int run_postgres(int argc, char **argv);
