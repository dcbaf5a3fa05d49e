/* manifest.h: app.ini, which says what an application is called, how it runs and where.
 *
 * The manifest is read whole, each key is checked against one table, and everything that is wrong with it is
 * told at once, with its line. Only a manifest without complaints is used. */
#pragma once

#include <silver/http.h>
#include <silver/store.h>
#include "run/complaint.h"
#include "run/run.h"

#define MANIFEST_SIZE_MAX 65536
#define MANIFEST_SLOTS_MAX RUN_SLOTS_MAX
#define MANIFEST_LIST_MAX 64
#define PLUGINS_FOLDER "plugins"

/* A list of words: NULL-terminated. */
struct manifest_list {
    char *items[MANIFEST_LIST_MAX + 1];
    size_t count;
};

struct manifest_slot {
    int number;
    char *address;
    char *directory; /* of its logs, absolute */
};

enum manifest_access {
    MANIFEST_ACCESS_UNSET, /* combined where logs go to files, else none */
    MANIFEST_ACCESS_OFF,
    MANIFEST_ACCESS_COMBINED,
    MANIFEST_ACCESS_JSON,
};

/* How the workers of a Python application are kept: the keys of [workers]. X(name, default, least, most,
 * unit, meaning) */
#define RUN_WORKERS(X)                                                                                       \
    X(processes, 1, 1, 64, "processes", "of each instance")                                                  \
    X(threads, 1, 1, 1024, "threads", "of a WSGI application in each process")                               \
    X(concurrency, 10000, 1, 100000, "requests",                                                             \
      "and WebSockets of an ASGI application at once in each process")                                       \
    X(memory, 536870912, 1048576, INT64_MAX, "bytes", "a process that holds more is replaced")               \
    X(calls, 0, 0, INT32_MAX, "requests", "a process is replaced after so many; 0: never")                   \
    X(timeout_ms, 30000, 1, INT32_MAX, "ms", "504, and the process is ended: without a response")            \
    X(upload_size, 67108864, 1, INT64_MAX, "bytes", "413: of a request's body")                              \
    X(spool_size, 268435456, 1, INT64_MAX, "bytes",                                                          \
      "on disk, of all bodies that wait: 503, or the worker waits")

struct manifest_workers {
#define RUN__WORKERS_FIELD(name, value, least, most, unit, meaning) uint64_t name;
    RUN_WORKERS(RUN__WORKERS_FIELD)
#undef RUN__WORKERS_FIELD
};

struct manifest {
    sl_arena *arena; /* holds all strings */
    char *directory; /* of the application, absolute and without links */
    char *path;      /* of app.ini, as it is shown in messages */
    char *app_name, *version;
    char *runner;     /* its file */
    bool python;      /* and not C, */
    char *object;     /* whose name in the file is this: "application" */
    char *virtualenv; /* as it was given, or NULL */
    struct manifest_workers workers;
    struct manifest_list libraries;  /* names for pkg-config */
    int runner_line, libraries_line; /* where they stand in app.ini, for complaints; 0: nowhere */
    struct manifest_list packages;
    struct manifest_list plugins; /* names: PLUGINS_FOLDER/NAME/, NAME.c or NAME.py */
    int plugins_line;
    bool sqlite, files, postgres, secret;           /* services asked for */
    struct manifest_list sqlites;                   /* names: further databases of SQLite */
    int sqlite_lines[MANIFEST_LIST_MAX];            /* where they stand in app.ini */
    struct manifest_slot slots[MANIFEST_SLOTS_MAX]; /* in the file's order; at least one */
    size_t slot_count;
    sl_http_limits limits;
    sl_store_options store; /* 0: as the library has it */
    enum manifest_access access;
    sl_level level;
    char *metrics; /* the address to serve metrics at, or NULL */
};

/* Reads DIRECTORY/app.ini. 0 and the manifest; or SL_ECONFIG, and `complaints` says why. */
int manifest_load(const char *directory, struct complaints *complaints, struct manifest **ret_manifest);
/* The same from text; `directory` is taken as it is and `path` only names the text in complaints. */
int manifest_parse(const char *text, size_t size, const char *directory, const char *path,
                   struct complaints *complaints, struct manifest **ret_manifest);
struct manifest *manifest_free(struct manifest *manifest); /* takes NULL; returns NULL */

/* Appends the names, with commas between, of what differs and only a new start of `silver serve` takes up:
 * app_name, the runner's directory, the slots, the metrics' address. */
void manifest_unreached(const struct manifest *old, const struct manifest *now, sl_buffer *out);

/* Splits "ADDRESS:PORT" as sl_listen takes it: 0, or SL_EINVAL. ret_port is where the port begins; for
 * "unix:/path" NULL. */
int address_check(const char *address, const char **ret_port);
/* The same address with `offset` added to its port, or NULL if that is no port. malloc'ed. */
char *address_offset(const char *address, unsigned offset);
