/* postgres.h: a PostgreSQL of an application's own, for development.
 *
 * It lies in var/postgres below the application, listens on a Unix socket in the application's runtime
 * directory and nowhere else, and lives as long as anybody uses it. One on a machine serves all slots.
 *
 * Who uses it holds a shared lock on var/postgres.users; the process that keeps it, `silver postgres`, holds
 * one on var/postgres.keeper, where it notes how it stands, and waits for the other to be free: the kernel
 * releases locks of the dead, so nobody's end is missed. The keeper starts PostgreSQL anew when it dies; when
 * the keeper dies, PostgreSQL ends with it, and whoever looks after it (postgres_repair) starts another. */
#pragma once

#include <silver/base.h>

struct postgres {
    char *application; /* its directory; NULL: not in use */
    char *runtime;     /* its runtime directory */
    char *name;        /* of the application */
    int users;         /* the shared lock */
    char *sockets;     /* the directory where it listens: libpq's host */
    char *database;    /* its name, and that of its owner */
};
#define POSTGRES_PORT "5432" /* a part of the socket's name */

/* Makes it where it is not there, starts it where it does not run, and waits until it answers. Blocks. 0, or
 * a code with *ret_error. */
int postgres_use(const char *application, const char *runtime, const char *name,
                 struct postgres *ret_postgres, sl_error **ret_error);
/* Starts another keeper if the one before was killed. Does not wait. True if it did. */
bool postgres_repair(const struct postgres *postgres);
/* The last one who leaves stops it, and waits for that. Takes one that is not in use. */
void postgres_leave(struct postgres *postgres);

/* For a process that others started to use it: while this one lives it is not stopped, though they be killed.
 * Where there is none nothing happens. */
void postgres_hold(const char *application);

/* Where the programs of the version that made `data` are, or of the newest where there is no data yet.
 * malloc'ed. 0, or SL_ENOENT with what to install. */
int postgres_programs(const char *data, char **ret_path, sl_error **ret_error);

/* What the keeper notes in its file: its process on a line, then one of these, a blank and a text. */
#define POSTGRES_READY "ready"   /* and the directory of its socket, a tab, the database's name */
#define POSTGRES_FAILED "failed" /* and why */
#define POSTGRES_KEEPER_FD 3     /* the locked file */
#define POSTGRES_NOTE_MAX 4096
