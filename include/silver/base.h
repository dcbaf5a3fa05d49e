/* base.h: the ground floor. Errors, arenas, views, buffers, tables and the log.
 *
 * Nothing here knows of a loop, a task or a request, and nothing here may suspend. Each function may be
 * called from any thread as long as no two threads share an object.
 *
 * Conventions of the whole library:
 *  - a function that can fail returns 0 or a negative SL_E… code; what it produces goes into ret_…
 * parameters, which it leaves alone when it fails;
 *  - ownership is in the verb: _new and _free (free takes NULL and returns NULL), _ref and _unref;
 *  - sizes are in bytes and times in milliseconds unless the name says otherwise;
 *  - running out of memory ends the process with a message, except where a peer decides about the size:
 *    such sizes have limits. */
#pragma once

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#if defined(__cplusplus)
#error "libsilver is a C library: its macros need gnu17"
#endif

#define SL_API __attribute__((visibility("default")))
#define SL_PRINTF(string, first) __attribute__((format(printf, string, first)))
#define SL_CLEANUP(function) __attribute__((cleanup(function)))
#define SL_NORETURN __attribute__((noreturn, cold))
#define sl_array_size(array) (sizeof(array) / sizeof((array)[0]))

/* ---- Sites: places in the program -------------------------------------------------------------------- */

/* A place in a source file. Sites are static: they cost nothing to keep and are never freed. */
typedef struct sl_site {
    const char *file;
    int line;
    const char *function;
} sl_site;

/* The site where this stands. */
#define SL_HERE                                                                                              \
    (__extension__({                                                                                         \
        static const sl_site sl__here = {__FILE__, __LINE__, __func__};                                      \
        &sl__here;                                                                                           \
    }))

/* ---- Errors ------------------------------------------------------------------------------------------ */

/* Codes are negative. Those of the operating system and of libuv are -errno, so that they pass unchanged;
 * ours lie below -20000; SL_HTTP(status) lies between. X(name, number, message) */
#define SL_ERROR_CODES(X)                                                                                    \
    X(SL_EINVAL, -22, "invalid argument")                                                                    \
    X(SL_ENOENT, -2, "no such file or directory")                                                            \
    X(SL_EIO, -5, "input/output error")                                                                      \
    X(SL_ENOMEM, -12, "out of memory")                                                                       \
    X(SL_EACCES, -13, "permission denied")                                                                   \
    X(SL_EBUSY, -16, "busy")                                                                                 \
    X(SL_EEXIST, -17, "exists already")                                                                      \
    X(SL_ENOSPC, -28, "no space left on device")                                                             \
    X(SL_EPIPE, -32, "the other side has closed")                                                            \
    X(SL_ELOOP, -40, "too many levels")                                                                      \
    X(SL_EPROTO, -71, "protocol error")                                                                      \
    X(SL_E2BIG, -7, "too large")                                                                             \
    X(SL_ETIMEDOUT, -110, "timed out")                                                                       \
    X(SL_ECANCELED, -125, "cancelled")                                                                       \
    X(SL_EFAILED, -20001, "failed")                                                                          \
    X(SL_EABANDONED, -20002, "abandoned: nobody can fire this deferred any more")                            \
    X(SL_EFIRED, -20003, "a deferred was fired twice")                                                       \
    X(SL_ECYCLE, -20004, "a deferred waits for itself")                                                      \
    X(SL_EPARSE, -20005, "malformed input")                                                                  \
    X(SL_ECONFIG, -20006, "wrong configuration")                                                             \
    X(SL_ETEMPLATE, -20007, "wrong template")                                                                \
    X(SL_EBUILD, -20008, "the application does not compile")                                                 \
    X(SL_ECLOSED, -20009, "closed")                                                                          \
    X(SL_ENOTASK, -20010, "not in a task")                                                                   \
    X(SL_EDATABASE, -20011, "database error")                                                                \
    X(SL_ECRASHED, -20012, "a child process died")                                                           \
    X(SL_ENOSERVICE, -20013, "nobody offers this service")                                                   \
    X(SL_ECONFLICT, -20014, "another transaction was in the way")                                            \
    X(SL_ECONSTRAINT, -20015, "a constraint of the database is not kept")                                    \
    X(SL_EINVALID, -20016, "a field is not as it should be")                                                 \
    X(SL_ENOROW, -20017, "there is no such row")                                                             \
    X(SL_EMANY, -20018, "there is more than one")                                                            \
    X(SL_EDOOMED, -20019, "the transaction is doomed")                                                       \
    X(SL_EBUDGET, -20020, "more was asked of the database than allowed")                                     \
    X(SL_ESCHEMA, -20021, "the database is not as the application expects it")                               \
    X(SL_EDISCONNECTED, -20022, "the connection to the database was lost")

enum {
#define SL__CODE(name, number, message) name = number,
    SL_ERROR_CODES(SL__CODE)
#undef SL__CODE
};

/* The failure that becomes a response of this status: sl_fail(SL_HTTP(404), "no room called %s", name). */
#define SL_HTTP(status) (-10000 - (status))
/* The HTTP status of a code: that of SL_HTTP(status); 409 of SL_ECONFLICT, 422 of SL_EINVALID, 503 of
 * SL_EDISCONNECTED, 507 of SL_ENOSPC; else 500. */
SL_API int sl_code_status(int code);

/* The name ("SL_EINVAL", "SL_HTTP(404)", "ECONNREFUSED") and the message of a code. Static strings, but for
 * SL_HTTP whose name is only "SL_HTTP". */
SL_API const char *sl_code_name(int code);
SL_API const char *sl_code_message(int code);

#define SL_ERROR_HOPS 16

/* An error says what was wrong (message), where (origin and the hops that it passed), and what to do (hint).
 * Counted references, one thread at a time. The message has no newline at its end. */
typedef struct sl_error {
    int references;
    int code;
    const sl_site *origin;              /* where it was made */
    unsigned hop_count;                 /* how many awaits and links it passed, also beyond the ring */
    const sl_site *hops[SL_ERROR_HOPS]; /* a ring: hops[i % SL_ERROR_HOPS] is hop number i */
    char *message;                      /* what was wrong, one line */
    char *detail;                       /* more lines (a compiler's output), or NULL */
    char *hint;                         /* what to do, or NULL */
    char *told;                         /* what a client may know of it, or NULL: see sl_error_told */
    struct sl_error *cause;             /* what led to it, or NULL */
} sl_error;

/* Makes an error with one reference, owned by the caller. Never NULL. */
#define sl_error_new(code, ...) sl__error_new(SL_HERE, (code), __VA_ARGS__)
SL_API sl_error *sl__error_new(const sl_site *site, int code, const char *format, ...) SL_PRINTF(3, 4);
SL_API sl_error *sl__error_newv(const sl_site *site, int code, const char *format, va_list arguments);
SL_API sl_error *sl_error_ref(sl_error *error);
SL_API sl_error *sl_error_unref(sl_error *error); /* takes NULL; returns NULL */
/* Add to an error; each returns it. The text is copied; `cause` is taken over (with its reference). */
SL_API sl_error *sl_error_hint(sl_error *error, const char *format, ...) SL_PRINTF(2, 3);
SL_API sl_error *sl_error_detail(sl_error *error, const char *text, size_t size);
SL_API sl_error *sl_error_cause(sl_error *error, sl_error *cause);
/* Words that a client may read, who must not learn of the inside: no places, tables or values. */
SL_API sl_error *sl_error_tell(sl_error *error, const char *format, ...) SL_PRINTF(2, 3);
/* What a client may be told: such words, also those of a cause with the same code; else the message of
 * SL_HTTP(400) to SL_HTTP(499), or what the code means where its status is one of those. NULL: nothing. */
SL_API const char *sl_error_told(const sl_error *error);
SL_API const char *sl__error_words(const sl_error *error); /* the words of sl_error_tell alone, or NULL */
/* Its HTTP status: that of its code. SL_EEXIST and SL_ECONSTRAINT are 409 where there are words for the
 * client, as of a store's unique and foreign keys, and else 500. */
SL_API int sl_error_status(const sl_error *error);
SL_API void sl_error_hop(sl_error *error, const sl_site *site);
/* The whole error as text of several lines: message, hint, detail, origin, hops, cause. malloc'ed; the caller
 * frees it. */
SL_API char *sl_error_text(const sl_error *error);

static inline void sl__error_unrefp(sl_error **error)
{
    sl_error_unref(*error);
}
#define SL_AUTO_ERROR SL_CLEANUP(sl__error_unrefp)

/* ---- Memory ------------------------------------------------------------------------------------------ */

/* malloc, calloc, realloc, strdup that never return NULL: without memory the process ends with a message. */
SL_API void *sl_malloc(size_t size) __attribute__((malloc, alloc_size(1)));
SL_API void *sl_calloc(size_t count, size_t size) __attribute__((malloc, alloc_size(1, 2)));
SL_API void *sl_realloc(void *memory, size_t size) __attribute__((alloc_size(2)));
SL_API char *sl_strdup_heap(const char *string) __attribute__((malloc));
SL_API char *sl_printf_heap(const char *format, ...) SL_PRINTF(1, 2);

typedef void sl_free_fn(void *memory);

/* An arena: memory that is given back all at once. */
typedef struct sl_arena sl_arena;
SL_API sl_arena *sl_arena_new(void);
/* One whose first chunk holds so many bytes and little more: for many small ones that live long. */
SL_API sl_arena *sl_arena_new_sized(size_t size);
SL_API sl_arena *sl_arena_free(sl_arena *arena); /* takes NULL */
SL_API void sl_arena_reset(sl_arena *arena);     /* everything in it is gone; the first chunk is kept */
SL_API size_t sl_arena_used(const sl_arena *arena);
/* Memory aligned for any type; not cleared (alloc) or cleared (zalloc). Never NULL. */
SL_API void *sl_arena_alloc(sl_arena *arena, size_t size) __attribute__((malloc, alloc_size(2)));
SL_API void *sl_arena_zalloc(sl_arena *arena, size_t size) __attribute__((malloc, alloc_size(2)));
SL_API char *sl_arena_strdup(sl_arena *arena, const char *string);
SL_API char *sl_arena_strndup(sl_arena *arena, const char *data,
                              size_t size); /* NUL is added; data may hold NULs */
SL_API char *sl_arena_printf(sl_arena *arena, const char *format, ...) SL_PRINTF(2, 3);
SL_API char *sl_arena_vprintf(sl_arena *arena, const char *format, va_list arguments);

/* ---- Views and buffers ------------------------------------------------------------------------------- */

/* Some bytes that somebody else owns. Not terminated; may hold NULs. */
typedef struct sl_view {
    const char *data;
    size_t size;
} sl_view;

#define SL_VIEW(literal) ((sl_view){"" literal, sizeof(literal) - 1})
static inline sl_view sl_view_of(const char *string)
{
    return (sl_view){string, string ? strlen(string) : 0};
}
static inline bool sl_view_equal(sl_view a, sl_view b)
{
    return a.size == b.size && (a.size == 0 || memcmp(a.data, b.data, a.size) == 0);
}
/* ASCII letters compare without case. */
SL_API bool sl_view_equal_nocase(sl_view a, sl_view b);
SL_API sl_view sl_view_trim(sl_view view, const char *characters); /* without those characters at both ends */
/* A whole decimal number: digits only, no sign, no overflow past `max`. 0 or SL_EPARSE. */
SL_API int sl_view_number(sl_view view, uint64_t max, uint64_t *ret_number);
/* How many bytes must be put in, left out, changed or swapped with their neighbour to make `a` into `b`, for
 * "did you mean"; SIZE_MAX for words of more than 63 bytes. */
SL_API size_t sl_word_distance(const char *a, const char *b);
/* Whether the bytes are well-formed UTF-8 (RFC 3629: no surrogates, nothing overlong). */
SL_API bool sl_utf8_valid(const char *data, size_t size);

/* A growing sequence of bytes. Zero-initialised is empty; data[size] is always NUL once something was put in.
 */
typedef struct sl_buffer {
    char *data;
    size_t size;
    size_t capacity;
} sl_buffer;

SL_API void sl_buffer_done(sl_buffer *buffer); /* frees the contents; the buffer is empty again */
SL_API void sl_buffer_reserve(sl_buffer *buffer,
                              size_t more); /* room for `more` bytes and a NUL after size */
SL_API void sl_buffer_put(sl_buffer *buffer, const void *data, size_t size);
SL_API void sl_buffer_puts(sl_buffer *buffer, const char *string);
SL_API void sl_buffer_printf(sl_buffer *buffer, const char *format, ...) SL_PRINTF(2, 3);
SL_API void sl_buffer_vprintf(sl_buffer *buffer, const char *format, va_list arguments);
SL_API void sl_buffer_consume(sl_buffer *buffer, size_t size); /* drops the first bytes */
static inline void sl_buffer_putc(sl_buffer *buffer, char c)
{
    sl_buffer_put(buffer, &c, 1);
}
/* Appends what can be read from a descriptor up to its end. 0; the system's code; or SL_E2BIG as soon as the
 * buffer has more than `max` bytes. What was read is in the buffer in any case. */
SL_API int sl_buffer_read(sl_buffer *buffer, int fd, size_t max);
/* Appends text with &, <, >, " and ' as HTML entities: safe between tags and in quoted attributes. */
SL_API void sl_buffer_put_html(sl_buffer *buffer, const char *data, size_t size);

/* ---- Tables ------------------------------------------------------------------------------------------ */

/* A hash table from strings (copied, NUL-terminated) to pointers, in order of insertion. The hash is keyed
 * at random, so that a peer cannot choose keys that collide. */
typedef struct sl_table sl_table;
SL_API sl_table *sl_table_new(sl_free_fn *free_value); /* free_value may be NULL */
SL_API sl_table *sl_table_free(sl_table *table);
SL_API void *sl_table_get(const sl_table *table, const char *key);       /* NULL where there is none */
SL_API void sl_table_set(sl_table *table, const char *key, void *value); /* replaces, freeing the old value */
SL_API bool sl_table_remove(sl_table *table, const char *key);
SL_API size_t sl_table_size(const sl_table *table);
/* Walks the table: *cursor starts at 0; false at the end. Removing the entry just given is allowed. */
SL_API bool sl_table_next(const sl_table *table, size_t *cursor, const char **ret_key, void **ret_value);

/* ---- Time -------------------------------------------------------------------------------------------- */

SL_API uint64_t sl_monotonic_ns(void);
SL_API int64_t sl_wall_ms(void); /* since 1970 */

/* ---- Log --------------------------------------------------------------------------------------------- */

typedef enum sl_level {
    SL_DEBUG,
    SL_INFO,
    SL_WARNING,
    SL_ERROR,
} sl_level;

SL_API const char *sl_level_name(sl_level level); /* "DEBUG", "INFO", "WARNING", "ERROR" */

/* Where log lines go. `write` gets one record: a message without a newline at its end, perhaps of several
 * lines. It must not suspend or log. Loggers belong to whoever makes them. */
typedef struct sl_logger {
    const char *name; /* the application's, as it stands in each line */
    sl_level level;   /* records below it are dropped before they are formatted */
    void (*write)(struct sl_logger *logger, sl_level level, const sl_site *site, const char *message,
                  size_t size);
} sl_logger;

/* Formats one record as `[name|2026-11-21 13:58:27,707|INFO] message`, newline included, in local time.
 * Control characters but tab are shown as \x1b; further lines of the message are indented. */
SL_API void sl_log_format(sl_buffer *out, const char *name, sl_level level, const char *message, size_t size);
/* A logger that writes such lines to the standard error. Static: the one used where no root has another. */
SL_API sl_logger *sl_logger_stderr(void);
SL_API void sl_log_to(sl_logger *logger, sl_level level, const sl_site *site, const char *format, ...)
    SL_PRINTF(4, 5);
SL_API void sl_log_tov(sl_logger *logger, sl_level level, const sl_site *site, const char *format,
                       va_list arguments);
