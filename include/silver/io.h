/* io.h: files, directories, watches, processes, names and an HTTP client, as deferreds.
 *
 * Each call starts the work and gives a deferred at once, for sl_await or for links; so none of them suspends
 * by itself, and all work with and without a task. They need a loop on the calling thread. Failures carry the
 * operating system's code and name the path, host or program. What a deferred succeeds with is freed when the
 * awaiting task ends. Arguments are copied: they need not outlive the call.
 *
 * Cancelling fails the deferred at once. Work that has not begun never will; work that a thread is busy with
 * (a read, a look-up) runs to its end unseen, and what it made is freed then; a fetch is dropped, a process
 * group is ended. */
#pragma once

#include <silver/core.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/types.h>

/* ---- Files ------------------------------------------------------------------------------------------- */

/* Some bytes; data[size] is NUL. */
typedef struct sl_bytes {
    size_t size;
    char data[];
} sl_bytes;

/* The whole of a file: sl_bytes. SL_E2BIG where it is larger than `max` (0 stands for 64 MiB). Pipes and
 * sockets are refused, as they could keep a thread for ever. At most four files are open for this at any
 * time. */
SL_API sl_deferred *sl_file_read(const char *path, size_t max);
/* Writes a file beside its place, syncs it and renames it over: readers see the old or the new, never a part.
 * An existing file keeps its mode, and its owner where we may set it; a symbolic link is followed; what is no
 * regular file is refused. Succeeds with NULL when the new file is safe on the disk. */
SL_API sl_deferred *sl_file_write(const char *path, const void *data, size_t size);
/* struct stat of a path (links followed). */
SL_API sl_deferred *sl_file_stat(const char *path);
/* These succeed with NULL. */
SL_API sl_deferred *sl_file_remove(const char *path); /* a file, a link or an empty directory */
SL_API sl_deferred *sl_file_rename(const char *from, const char *to);
/* With `parents` those missing above it are made too, and a directory that is there already is a success. */
SL_API sl_deferred *sl_directory_make(const char *path, bool parents);

/* One entry of a directory. Names are relative to it; "." and ".." are left out. A link is not followed: it
 * is never a directory here. */
typedef struct sl_directory_entry {
    const char *name;
    bool directory, link;
} sl_directory_entry;
typedef struct sl_directory {
    size_t count;
    sl_directory_entry *entries; /* sorted by name */
} sl_directory;
SL_API sl_deferred *sl_directory_list(const char *path); /* sl_directory; SL_E2BIG past a million entries */

/* An open file, for reading and writing at positions. */
typedef struct sl_file sl_file;
/* `flags` as in open(2), O_CLOEXEC added; sl_file, closed when the awaiting task ends. */
SL_API sl_deferred *sl_file_open(const char *path, int flags, mode_t mode);
SL_API int sl_file_descriptor(const sl_file *file);
/* sl_bytes of `size`, fewer only at the end of the file; empty past it. The file stays open until reads and
 * writes that are under way have ended, whatever becomes of the task. */
SL_API sl_deferred *sl_file_read_at(sl_file *file, uint64_t offset, size_t size);
/* All of the data (copied). Succeeds with NULL. */
SL_API sl_deferred *sl_file_write_at(sl_file *file, uint64_t offset, const void *data, size_t size);
SL_API sl_deferred *sl_file_sync(sl_file *file);

/* Runs fn(data), which may block, in a thread of libuv's pool (four threads unless UV_THREADPOOL_SIZE says
 * otherwise); succeeds or fails with what it returns, which must not be sl_later(). It must not use the loop,
 * the context or the task. `data` is freed on the loop with `free_data` (may be NULL) once fn is done with it
 * or will never run: a cancelled task does not wait for its thread, so data must not lie on its stack or in
 * its arena. */
#define sl_in_thread(fn, data, free_data) sl__in_thread(SL_HERE, (fn), (data), (free_data))
typedef sl_result sl_thread_fn(void *data);
SL_API sl_deferred *sl__in_thread(const sl_site *site, sl_thread_fn *fn, void *data, sl_free_fn *free_data);

/* ---- Watches ----------------------------------------------------------------------------------------- */

/* Watches a file, by its name, so that it may be replaced, removed and made again; or a directory with what
 * lies in it, or with everything below it (`recursive`; new directories join by themselves, links to
 * directories are not followed). 0 or the system's code, with a line in the log where the system's limit of
 * watches is the reason. Free it before its loop. */
typedef struct sl_watch sl_watch;
SL_API int sl_watch_new(const char *path, bool recursive, sl_watch **ret_watch);
SL_API sl_watch *
sl_watch_free(sl_watch *watch); /* takes NULL; a pending sl_watch_next fails with SL_ECLOSED */
/* The path (char *) of something that changed, came or went since it was last told; it begins with the path
 * given to sl_watch_new. Changes within 25 ms are told once. After more than 4096 untold changes comes the
 * watched path alone, which then means: look at all of it. One call at a time: another fails with SL_EBUSY.
 */
SL_API sl_deferred *sl_watch_next(sl_watch *watch);

/* ---- Processes --------------------------------------------------------------------------------------- */

typedef struct sl_process_options {
    const char *directory;    /* NULL: ours */
    char *const *environment; /* "NAME=value", …, NULL; NULL itself: ours */
    const void *input;        /* given on its standard input, as a file; NULL: /dev/null */
    size_t input_size;
    size_t max_output;   /* each of output and error; 0 is 1 MiB; past it the process is ended, SL_E2BIG */
    uint64_t timeout_ms; /* then it is ended, SL_ETIMEDOUT; 0 is none */
} sl_process_options;

typedef struct sl_process_result {
    int status; /* exit status, or -1 */
    int signal; /* that ended it, or 0 */
    sl_bytes *output, *error;
} sl_process_result;

/* Runs a program (found in PATH) to its end, in a session and process group of its own: sl_process_result. A
 * status other than 0 is a success of this call; a program that cannot be started is a failure. It inherits
 * our standard streams' places and no other descriptor of ours. Children that it leaves in the background
 * live on, unwatched.
 *
 * To end a process is to send SIGTERM to its group, and SIGKILL two seconds later, or to what is left of the
 * group when the process itself is gone. Cancelling does that, and does not wait for it. */
#define sl_process_run(argv, ...) sl__process_run((argv), &(sl_process_options){__VA_ARGS__})
SL_API sl_deferred *sl__process_run(char *const argv[], const sl_process_options *options);

/* ---- Names ------------------------------------------------------------------------------------------- */

typedef struct sl_addresses {
    size_t count;
    struct sockaddr_storage *addresses; /* with the port filled in */
} sl_addresses;
/* getaddrinfo for TCP, in its order: sl_addresses, at least one. `service` is a port number, or a name from
 * /etc/services, or NULL (port 0). */
SL_API sl_deferred *sl_resolve(const char *host, const char *service);

/* ---- HTTP client --------------------------------------------------------------------------------------- */

typedef struct sl_fetch_options {
    const char *method;         /* NULL: GET, or POST with a body */
    const char *const *headers; /* "Name: value", …, NULL */
    const void *body;           /* NULL: none */
    size_t body_size;
    size_t max_size;     /* of the response's body; 0 is 16 MiB; past it SL_E2BIG */
    uint64_t timeout_ms; /* of the whole; 0 is 30 s */
    unsigned
        max_redirects; /* to follow, of GET, HEAD and POST; past it SL_ELOOP; 0: the redirect is the answer */
    const char *unix_socket; /* connect there, not to the URL's host */
} sl_fetch_options;

typedef struct sl_fetched {
    int status;
    sl_bytes *body;
    size_t header_count;
    char **header_names, **header_values; /* of the last response, names in lower case */
    const char *url;                      /* the last one */
} sl_fetched;

/* Fetches an http or https URL with libcurl on our loop: sl_fetched. Any status is a success; only no answer
 * is a failure. Connections are kept and used again; at most 32 go to one host and 256 in all, the rest wait
 * their turn. Proxies are taken from the environment (http_proxy, no_proxy). Certificates are checked. */
#define sl_fetch(url, ...) sl__fetch((url), &(sl_fetch_options){__VA_ARGS__})
SL_API sl_deferred *sl__fetch(const char *url, const sl_fetch_options *options);
/* The first header of this name, in any case of letters; NULL if absent. */
SL_API const char *sl_fetched_header(const sl_fetched *fetched, const char *name);
