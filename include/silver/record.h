/* record.h: structures that know their fields.
 *
 * One list makes a struct and the table that describes it:
 *
 *     #define HIT(F)                            \
 *         F(room,  text, SL_REQUIRED, .max = 64) \
 *         F(score, real)
 *     SL_RECORD(hit, HIT);
 *
 *     #define FOUND(F) F(total, integer) F(hits, list(hit))
 *     SL_RECORD(found, FOUND);
 *
 * gives `struct hit { const char *room; double score; }` and hit_record(), its description, from which values
 * are sent to other processes, made into JSON and read from it. Descriptions are constant; what counts is
 * what they say, so that two copies of one list, in two shared objects, are the same. */
#pragma once

#include <silver/base.h>

struct json_t;
typedef struct sl_record sl_record;
typedef const sl_record *sl_record_fn(void);

/* The types of fields, as they stand in a list, and what they are in the struct:
 *
 *     integer    int64_t
 *     real       double
 *     boolean    bool
 *     time       int64_t: microseconds since 1970, UTC; in JSON the same number
 *     text       const char *: UTF-8 without NULs; or NULL, which is null in JSON
 *     bytes      sl_view: anything; in JSON base64, and null where its data is NULL
 *     json       struct json_t *, or NULL, which is null in JSON
 *     file       int: an open descriptor, or -1; travels between processes only, and is null in JSON
 *     record(r)  struct r
 *     list(r)    struct { size_t count; struct r *items; }
 *
 * Records may contain themselves through lists (a tree), SL_RECORD_DEPTH levels at most. */
#define SL_RECORD_DEPTH 64

typedef enum sl_field_kind {
    SL_INTEGER,
    SL_REAL,
    SL_BOOLEAN,
    SL_TIME,
    SL_TEXT_FIELD,
    SL_BYTES,
    SL_JSON,
    SL_FILE,
    SL_NESTED,
    SL_LIST,
} sl_field_kind;

typedef struct sl_record_field {
    const char *name;
    sl_field_kind kind;
    size_t offset;        /* in the struct */
    sl_record_fn *record; /* of SL_NESTED and SL_LIST */
    bool required;        /* text, JSON and bytes: not NULL; list: not empty */
    size_t max; /* of text in characters, of bytes and lists in their own units; 0: no limit of its own */
} sl_record_field;

struct sl_record {
    const char *name;
    size_t size; /* of the struct */
    size_t field_count;
    const sl_record_field *fields;
};

#define SL_REQUIRED .required = true

/* clang-format off */
#define SL__C_integer int64_t
#define SL__C_real double
#define SL__C_boolean bool
#define SL__C_time int64_t
#define SL__C_text const char *
#define SL__C_bytes sl_view
#define SL__C_json struct json_t *
#define SL__C_file int
#define SL__C_record(r) struct r
#define SL__C_list(r) struct { size_t count; struct r *items; }
#define SL__KIND_integer SL_INTEGER
#define SL__KIND_real SL_REAL
#define SL__KIND_boolean SL_BOOLEAN
#define SL__KIND_time SL_TIME
#define SL__KIND_text SL_TEXT_FIELD
#define SL__KIND_bytes SL_BYTES
#define SL__KIND_json SL_JSON
#define SL__KIND_file SL_FILE
#define SL__KIND_record(r) SL_NESTED, .record = r##_record
#define SL__KIND_list(r) SL_LIST, .record = r##_record
#define SL__FIELD_MEMBER(field, type, ...) SL__C_##type field;
#define SL__FIELD_ENTRY(field, type, ...) {.name = #field, .offset = offsetof(sl__this, field), .kind = SL__KIND_##type, __VA_ARGS__},

#define SL_RECORD(identifier, FIELDS)                                                                        \
    struct identifier { FIELDS(SL__FIELD_MEMBER) };                                                          \
    static inline const sl_record *identifier##_record(void)                                                 \
    {                                                                                                        \
        typedef struct identifier sl__this;                                                                  \
        static const sl_record_field fields[] = {FIELDS(SL__FIELD_ENTRY) {0}};                                      \
        static const sl_record record = {                                                                    \
            .name = #identifier, .size = sizeof(sl__this),                                                   \
            .field_count = sizeof(fields) / sizeof(fields[0]) - 1, .fields = fields};                        \
        return &record;                                                                                      \
    }                                                                                                        \
    struct sl__record_ends_##identifier
/* clang-format on */

/* The record without fields, for methods that take or give nothing. */
#define SL__NO_FIELDS(F)
SL_RECORD(sl_nothing, SL__NO_FIELDS);

/* A hash of all that the description says (names, kinds, limits, nested ones too). Never 0. */
SL_API uint64_t sl_record_digest(const sl_record *record);
/* Whether the value keeps what its fields demand (required, max, well-formed text). 0; or SL_EINVAL, and
 * *ret_error names the field by its path ("hits[3].room"). */
SL_API int sl_record_check(const sl_record *record, const void *value, sl_error **ret_error);

/* A codec makes bytes of values and values of bytes.
 *
 * Encoding appends to `out` and refuses what sl_record_check refuses (SL_EINVAL, with the field's path); then
 * `out` is as it was. The numbers of open files are appended to `files`, still the value's own (NULL: files
 * are refused). `size`, if there is one, says how many bytes it will be, at most.
 *
 * Decoding gives a value in the arena, which keeps what its record demands. With `borrow` its bytes may point
 * into `data`, which must then live as long; `data` may be memory that somebody else writes to meanwhile:
 * then such bytes may change, and nothing worse. Hostile bytes are refused with SL_EPARSE, and never make
 * more than a small multiple of their size. Each of `files` must occur once, in order; those of a value
 * that was decoded, and its references to JSON, are the value's own: sl_record_done. */
#define SL_FILES_MAX 16
typedef struct sl_files {
    int numbers[SL_FILES_MAX];
    unsigned count;
} sl_files;
typedef struct sl_codec {
    const char *name;
    int (*encode)(const sl_record *record, const void *value, sl_buffer *out, sl_files *files,
                  sl_error **ret_error);
    int (*decode)(const sl_record *record, sl_view data, bool borrow, const sl_files *files, sl_arena *arena,
                  void **ret_value, sl_error **ret_error);
    size_t (*size)(const sl_record *record, const void *value);
} sl_codec;
/* For two ends on one machine: values as they lie in memory, but for pointers. */
SL_API extern const sl_codec sl_codec_flat;
SL_API extern const sl_codec sl_codec_json;
/* Gives back what a decoded value holds besides memory: its files are closed (the fields are -1 then), its
 * references to JSON released (NULL then). For a value that was not decoded: if it owns these itself. */
SL_API void sl_record_done(const sl_record *record, void *value);

/* JSON of a value; a new reference. Files become null. */
SL_API struct json_t *sl_record_to_json(const sl_record *record, const void *value);
/* A value of JSON, in the arena (JSON fields hold references that the arena does not own: they are the
 * input's). Unknown members, wrong types and what sl_record_check refuses: SL_EINVAL, and *ret_error names
 * the path. Missing members are NULL, 0 or empty unless required. */
SL_API int sl_record_from_json(const sl_record *record, struct json_t *json, sl_arena *arena,
                               void **ret_value, sl_error **ret_error);
