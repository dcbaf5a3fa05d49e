/* content.h: what the files that make contents share: codings, open files, and a look at a request's
 * conditions. */
#pragma once

#include "http/message.h"
#include "http/parser.h" /* sl__fields_find */

/* ---- Content codings (compress.c) -------------------------------------------------------------------- */

/* In the order of our preference where a client likes several alike: smallest for least work first. */
typedef enum sl__coding {
    SL__CODING_IDENTITY,
    SL__CODING_ZSTD,
    SL__CODING_BROTLI,
    SL__CODING_GZIP,
    SL__CODING_COUNT,
} sl__coding;

typedef enum sl__effort {
    SL__EFFORT_LIVE, /* made for one response */
    SL__EFFORT_KEEP, /* made once and sent often */
} sl__effort;

/* "gzip"; "identity" for none. */
extern const char *const sl__coding_names[SL__CODING_COUNT];

/* `size` is how much will come, if that is known, else 0: small contents need small windows. Never NULL. */
sl__encoder *sl__encoder_open(sl__coding coding, sl__effort effort, size_t size);
/* All of the data at once, appended. Uses neither loop nor task. */
void sl__encode_whole(sl__coding coding, sl__effort effort, const void *data, size_t size, sl_buffer *out);

/* ---- Requests (condition.c, range.c, content.c) ----------------------------------------------------- */

/* Smaller contents are not worth the work: they fit a packet either way. */
#define SL__COMPRESS_MIN 1024

/* The fields of a request that decide about the contents, found in one pass. A field that may stand only once
 * and stands there twice is the empty string, which is a valid value of none of them. */
typedef struct sl__conditions {
    const char *accept_encoding; /* the first of `accept_lines` */
    const char *range, *if_range, *if_modified_since, *if_unmodified_since;
    unsigned accept_lines;
    bool if_match, if_none_match;
} sl__conditions;
void sl__conditions_read(const sl_request *req, sl__conditions *ret);
/* Whether anything but the whole contents may be the answer. */
bool sl__conditions_any(const sl__conditions *conditions);

/* What the preconditions make of a successful GET or HEAD, in the order of RFC 9110 section 13.2.2. `etag`
 * and `last_modified` are the response's, or NULL. */
typedef enum sl__verdict {
    SL__GO_ON,
    SL__NOT_MODIFIED,
    SL__PRECONDITION_FAILED,
} sl__verdict;
sl__verdict sl__conditions_judge(const sl_request *req, const sl__conditions *conditions, const char *etag,
                                 const char *last_modified);
/* Whether If-Range, if it is there, lets a range be answered. */
bool sl__conditions_range_holds(const sl__conditions *conditions, const char *etag,
                                const char *last_modified);

/* Past so many ranges, or where they ask for more than there is, the whole is cheaper than what was asked
 * for. */
#define SL__RANGES_MAX 16
typedef struct sl__range {
    uint64_t first, last; /* both inside */
} sl__range;
/* The ranges of a Range field in contents of `size` bytes: how many; 0: send the whole; -1: none can be
 * satisfied. */
int sl__ranges_parse(const char *value, uint64_t size, sl__range ranges[static SL__RANGES_MAX]);
/* Makes a 206 (or, for count -1, a 416) of a response that is known in full. */
void sl__ranges_apply(sl_response *res, const sl__range *ranges, int count, uint64_t size);

/* The coding that the client likes best among those whose bits (1 << coding) are set in `offered`. */
sl__coding sl__coding_choose(const sl_request *req, const sl__conditions *conditions, unsigned offered);
/* Whether contents of this type shrink: text and its like. */
bool sl__compressible(const char *type);

/* ---- Open files (file.c) ----------------------------------------------------------------------------- */

/* Files up to this size are held in memory: sending one is a head and one writev. */
#define SL__FILE_IN_MEMORY 65536

/* By what a file is known again. */
typedef struct sl__file_id {
    uint64_t device, inode, size;
    int64_t mtime_s, ctime_s;
    long mtime_ns, ctime_ns;
    bool settled; /* it was changed well before it was looked at, so that another change shows in the times */
} sl__file_id;

/* A regular file that was opened: its contents, or a descriptor of it. Replacing the file by a rename does
 * not touch it. Counted references, one thread at a time. */
typedef struct sl__file {
    int references;
    int fd;     /* or -1 where the contents are in memory */
    char *data; /* or NULL */
    sl__file_id id;
    const char *type; /* static */
    char etag[56];    /* strong, with its quotes */
    char last_modified[30];
    sl_buffer encoded[SL__CODING_COUNT]; /* the contents in these codings, once they were asked for */
    bool encoding;                       /* somebody is making one of them */
} sl__file;

/* Reads the file of a descriptor, which it takes over; `name` says the type. With `cached` it gives up with
 * -EAGAIN where it would have to wait for a disk. 0, -EISDIR for a directory, -ENOENT for what is no regular
 * file either. Uses neither loop nor task. */
int sl__file_from(int fd, const char *name, bool cached, sl__file **ret_file);
/* Whether the descriptor's file is still the one that was read. */
bool sl__file_same(const sl__file_id *id, int fd);
sl__file *sl__file_ref(sl__file *file);
sl__file *sl__file_unref(sl__file *file); /* takes NULL */
/* The memory that it takes. */
size_t sl__file_bytes(const sl__file *file);
/* A 200 with the file's contents, ETag and Last-Modified; the task holds a reference from now on. */
sl_response *sl__file_respond(sl_request *req, sl__file *file, const char *type);
/* Whether an error of open(2) says that there is no such file for us, rather than that something is wrong
 * here. */
bool sl__file_absent(int code);

/* ---- Fields (fields.c) ------------------------------------------------------------------------------- */

/* Those of a response, kept in the request's arena; neither names nor values are copied. */
void sl__fields_put(sl_arena *arena, sl__fields *fields, const char *name, const char *value); /* replaces */
void sl__fields_remove(sl__fields *fields, const char *name);
