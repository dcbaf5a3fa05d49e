/* io.h: files, directories, watches, processes, names and an HTTP client, as deferreds.
 *
 * Each call starts the work and gives a deferred at once, for sl_await or for links; so none of them suspends by itself,
 * and all work with and without a task. Failures carry the operating system's code and name the path, host or program.
 * What a deferred succeeds with is freed when the awaiting task ends. Cancelling stops the work where that is possible. */
#pragma once

#include <silver/core.h>
#include <sys/types.h>
#include <sys/stat.h>

/* ---- Files ------------------------------------------------------------------------------------------- */

/* Some bytes; data[size] is NUL. */
typedef struct sl_bytes {
    size_t size;
    char data[];
} sl_bytes;

/* The whole of a file: sl_bytes. SL_E2BIG where it is larger than `max` (0 stands for 64 MiB). */
SL_API sl_deferred *sl_file_read(const char *path, size_t max);
/* Writes a file beside its place, syncs it and renames it over: readers see the old or the new, never a part. The data
 * is copied. Succeeds with NULL. */
SL_API sl_deferred *sl_file_write(const char *path, const void *data, size_t size);
/* struct stat of a path (links followed). */
SL_API sl_deferred *sl_file_stat(const char *path);
SL_API sl_deferred *sl_file_remove(const char *path);
SL_API sl_deferred *sl_file_rename(const char *from, const char *to);
SL_API sl_deferred *sl_directory_make(const char *path, bool parents);

/* One entry of a directory. Names are relative to it; "." and ".." are left out. */
typedef struct sl_directory_entry {
    const char *name;
    bool directory, link;
} sl_directory_entry;
typedef struct sl_directory {
    size_t count;
    sl_directory_entry *entries; /* sorted by name */
} sl_directory;
SL_API sl_deferred *sl_directory_list(const char *path); /* sl_directory */

/* An open file, for reading and writing at positions. */
typedef struct sl_file sl_file;
/* `flags` as in open(2), O_CLOEXEC added; sl_file, closed when the awaiting task ends. */
SL_API sl_deferred *sl_file_open(const char *path, int flags, mode_t mode);
SL_API int sl_file_descriptor(const sl_file *file);
/* sl_bytes of at most `size`; empty at the end of the file. */
SL_API sl_deferred *sl_file_read_at(sl_file *file, uint64_t offset, size_t size);
/* All of the data (copied). Succeeds with NULL. */
SL_API sl_deferred *sl_file_write_at(sl_file *file, uint64_t offset, const void *data, size_t size);
SL_API sl_deferred *sl_file_sync(sl_file *file);

/* Runs fn(data), which may block, in a thread of libuv's pool; succeeds with what it returns. It must not use the loop. */
#define sl_in_thread(fn, data) sl__in_thread(SL_HERE, (fn), (data))
SL_API sl_deferred *sl__in_thread(const sl_site *site, sl_result (*fn)(void *data), void *data);

/* ---- Watches ----------------------------------------------------------------------------------------- */

/* Watches a file, or a directory with everything below it (`recursive`; new directories join by themselves). */
typedef struct sl_watch sl_watch;
SL_API int sl_watch_new(const char *path, bool recursive, sl_watch **ret_watch);
SL_API sl_watch *sl_watch_free(sl_watch *watch); /* a pending sl_watch_next fails with SL_ECLOSED */
/* The path (char *) of something that changed since the last call. Changes that come together are told once. */
SL_API sl_deferred *sl_watch_next(sl_watch *watch);

/* ---- Processes --------------------------------------------------------------------------------------- */

typedef struct sl_process_options {
    const char *directory;      /* NULL: ours */
    char *const *environment;   /* NULL: ours */
    const char *input;          /* given on its standard input; NULL: /dev/null */
    size_t input_size;
    size_t max_output;          /* each of out and err; 0 is 1 MiB; past it the process is killed, SL_E2BIG */
    uint64_t timeout_ms;        /* then SIGTERM, 2 s later SIGKILL, to its process group; 0 is none */
} sl_process_options;

typedef struct sl_process_result {
    int status; /* exit status, or -1 */
    int signal; /* that ended it, or 0 */
    sl_bytes *output, *error;
} sl_process_result;

/* Runs a program (found in PATH) to its end: sl_process_result. A status other than 0 is a success of this call; a program
 * that cannot be started is a failure. Cancelling ends the process group. */
#define sl_process_run(argv, ...) sl__process_run((argv), &(sl_process_options){__VA_ARGS__})
SL_API sl_deferred *sl__process_run(char *const argv[], const sl_process_options *options);

/* ---- Names ------------------------------------------------------------------------------------------- */

typedef struct sl_addresses {
    size_t count;
    struct sockaddr_storage *addresses; /* with the port filled in */
} sl_addresses;
/* getaddrinfo for TCP: sl_addresses. */
SL_API sl_deferred *sl_resolve(const char *host, const char *service);

/* ---- HTTP client --------------------------------------------------------------------------------------- */

typedef struct sl_fetch_options {
    const char *method;          /* NULL: GET, or POST with a body */
    const char *const *headers;  /* "Name: value", …, NULL */
    const void *body;            /* copied */
    size_t body_size;
    size_t max_size;             /* of the response; 0 is 16 MiB; past it SL_E2BIG */
    uint64_t timeout_ms;         /* of the whole; 0 is 30 s */
    unsigned max_redirects;      /* 0 is none */
    const char *unix_socket;     /* connect there, not to the URL's host */
} sl_fetch_options;

typedef struct sl_fetched {
    int status;
    sl_bytes *body;
    size_t header_count;
    char **header_names, **header_values; /* names in lower case */
    const char *url;             /* the last one */
} sl_fetched;

/* Fetches an http or https URL with libcurl on our loop: sl_fetched. Any status is a success; only no answer is a
 * failure. */
#define sl_fetch(url, ...) sl__fetch((url), &(sl_fetch_options){__VA_ARGS__})
SL_API sl_deferred *sl__fetch(const char *url, const sl_fetch_options *options);
SL_API const char *sl_fetched_header(const sl_fetched *fetched, const char *name); /* NULL if absent */
