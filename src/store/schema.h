/* schema.h: what models want of a database, what it has, and the steps between.
 *
 *   models ── schema_models.c: which, in what order ── schema_want.c: as SQL ─┐
 *                                                                             ├── schema_diff.c ── schema.c
 *   database ── schema_look.c: its tables ────────────────────────────────────┘
 *   schema/NNN-what.sql ── patch_file.c ──┬── patch_plan.c: what is missing ── patch.c: applies it
 *   sl_patch ─────────────────────────────┘
 *
 * Models and databases are compared by what they mean: a table may have been written by hand, with other
 * words. */
#pragma once

#include "store/sql_split.h"
#include "store/store.h"

/* ---- What is wanted: schema_models.c, schema_want.c -------------------------------------------------- */

typedef struct sl__wanted {
    sl_model *model;
    const sl__model_info *info;
    uint64_t references; /* columns that refer to tables of the same store */
    uint64_t late;       /* those of them that refer to tables further down */
} sl__wanted;
typedef struct sl__wanted_list {
    size_t count;
    sl__wanted *items;
} sl__wanted_list;

/* The models of a store, and those that they refer to, each after what it refers to as far as that can be. In
 * the task's arena; by exit where a model does not say which store it is in. */
sl__wanted_list sl__wanted_of(const sl_site *site, const sl_store *store);

typedef struct sl__wanted_index {
    unsigned count, columns[SL_COLUMNS_MAX];
    bool unique;
    bool inside; /* a UNIQUE of the table itself */
    const char *name;
} sl__wanted_index;
typedef struct sl__wanted_indexes {
    unsigned count;
    sl__wanted_index items[2 * SL_COLUMNS_MAX + SL__MODEL_INDEXES]; /* unique columns, and those that refer */
} sl__wanted_indexes;
/* Those that a model names, its unique columns, and one for each reference that has none otherwise. In the
 * task's arena; by exit where an index names an unknown column. */
const sl__wanted_indexes *sl__wanted_indexes_of(const sl_site *site, const sl__wanted *wanted);

/* Pieces of SQL, each appended. Statements end with a semicolon and a newline. */
void sl__put_columns(sl_buffer *out, const sl_model *model, const unsigned *columns, unsigned count);
/* A column as in CREATE TABLE and ALTER TABLE ADD COLUMN; `key`: with its part of the primary key. */
void sl__put_column(sl_buffer *out, sl__dialect dialect, const sl__wanted *wanted, unsigned column, bool key);
void sl__put_string(sl_buffer *out, const char *text); /* 'it''s' */
/* The same for a table that has rows, where a default that the database cannot give them is left out. */
void sl__put_added_column(sl_buffer *out, sl__dialect dialect, const sl__wanted *wanted, unsigned column);
/* Whether SQLite cannot add the column with its default: it is not constant, or stands beside a reference. */
bool sl__default_is_late(sl__dialect dialect, const sl__wanted *wanted, unsigned column);
void sl__put_check(sl_buffer *out, sl__dialect dialect, const sl__wanted *wanted, unsigned column);
void sl__put_reference(sl_buffer *out, const sl__wanted *wanted, unsigned column);
void sl__put_create_table(sl_buffer *out, sl__dialect dialect, const sl_site *site, const sl__wanted *wanted);
void sl__put_create_index(sl_buffer *out, const sl__wanted *wanted, const sl__wanted_index *index);
/* ALTER TABLE … ADD CONSTRAINT … FOREIGN KEY (PostgreSQL). */
void sl__put_late(sl_buffer *out, const sl__wanted *wanted, unsigned column);
bool sl__has_check(sl__dialect dialect, const sl_column *column);
const char *sl__check_name(const sl__wanted *wanted, unsigned column); /* in the task's arena */
/* All of it. In the task's arena. */
const char *sl__wanted_sql(const sl_site *site, const sl_store *store);

/* ---- What is there: schema_look.c -------------------------------------------------------------------- */

typedef struct sl__seen_column {
    const char *name, *type;
    bool required; /* NOT NULL */
    bool given;    /* it has a default, or is computed: an INSERT need not name it */
    bool computed; /* always by the database: nothing can be written to it */
    bool numbered; /* always by the database (PostgreSQL): likewise */
    unsigned key;  /* its place in the primary key, from 1; 0: none */
} sl__seen_column;
typedef struct sl__seen_index {
    const char *name;
    bool unique;
    bool partial; /* of some rows only, or of expressions, or looked after at the end of a transaction only */
    unsigned count;
    const char *columns[SL_COLUMNS_MAX];
} sl__seen_index;
typedef enum sl__seen_delete {
    SL__DELETE_RESTRICT, /* also NO ACTION */
    SL__DELETE_CASCADE,
    SL__DELETE_SET_NULL,
    SL__DELETE_OTHER,
} sl__seen_delete;
typedef struct sl__seen_reference {
    const char *name, *column, *table;
    const char *to; /* the column that it refers to; NULL: the table's primary key */
    sl__seen_delete on_delete;
    unsigned count; /* of columns */
} sl__seen_reference;
typedef struct sl__seen_check {
    const char *name; /* NULL: none that is known */
    const char *sql;  /* what stands in the parentheses, or more */
} sl__seen_check;
/* A table of the database. Lists lie in the task's arena. */
typedef struct sl__seen {
    bool there;
    bool taken; /* it is not: a sequence, an index or a type has its name (PostgreSQL) */
    bool view;
    size_t column_count, index_count, reference_count, check_count;
    sl__seen_column *columns;
    sl__seen_index *indexes;
    sl__seen_reference *references;
    sl__seen_check *checks;
} sl__seen;

/* In a transaction. By exit. May suspend. */
void sl__look(const sl_site *site, sl_store *store, const char *table, sl__seen *ret_seen);
bool sl__look_for(const sl_site *site, sl_store *store, const char *table); /* whether it is there */
/* Whether the database has no table but those whose names begin with sl_. */
bool sl__look_empty(const sl_site *site, sl_store *store);

/* A row of the room's own questions: up to four texts, then up to three numbers; what is NULL is NULL or 0.
 */
typedef struct sl__asked {
    const char *texts[4];
    int64_t numbers[3];
} sl__asked;
typedef void sl__asked_fn(const sl__asked *row, void *data);
/* Runs SQL that gives so many texts and then so many numbers, and calls fn with each row. By exit. May
 * suspend. */
void sl__ask(const sl_site *site, sl_store *store, const char *sql, const char *parameter, unsigned texts,
             unsigned numbers, sl__asked_fn *fn, void *data);

/* ---- The difference: schema_diff.c ------------------------------------------------------------------- */

typedef struct sl__difference {
    const char *line; /* "table person: column born is missing" */
    const char *sql;  /* that mends it, or a comment that says what to do; ends with a newline */
} sl__difference;
typedef struct sl__differences {
    size_t count, room;
    sl__difference *items;
} sl__differences;

/* Whether a column's values can be kept in a type of the database. schema_types.c. */
bool sl__type_fits(sl__dialect dialect, const char *type, const sl_column *column);
/* Whether PostgreSQL can make the type the wanted one without losing a value. */
bool sl__type_widens(const char *type, const sl_column *column);
/* Of a CHECK's text (schema_check.c): whether it is about the column; whether a text stands in it (*ret_any:
 * whether any does); the number behind `length(…) <=`, or -1. In a task. */
bool sl__check_is_about(sl__dialect dialect, const char *sql, const char *column);
bool sl__check_allows(sl__dialect dialect, const char *sql, const char *text, bool *ret_any);
long sl__check_most(sl__dialect dialect, const char *sql);
/* Compares one table with its model. In the task's arena. */
void sl__differ(const sl_site *site, sl__dialect dialect, const sl__wanted *wanted, const sl__seen *seen,
                sl__differences *differences);
/* Its references in PostgreSQL, for which all tables must be there. */
void sl__differ_late(const sl_site *site, const sl__wanted *wanted, const sl__seen *seen,
                     sl__differences *differences);
/* All of a store. In the task's arena; by exit. May suspend. */
sl__differences sl__differences_of(const sl_site *site, sl_store *store);
/* Whether the database has one of the models' tables. By exit. May suspend. */
bool sl__wanted_begun(const sl_site *site, sl_store *store);

/* ---- Patches: patch_file.c --------------------------------------------------------------------------- */

#define SL__PATCH_FILE_MAX (16 << 20)
#define SL__PATCH_CHECKSUM_SIZE 65

typedef struct sl__patch_file {
    unsigned number;
    const char *summary; /* "what-it-does" of its name */
    const char *path;    /* "schema/003-what-it-does.sql" */
    const char *store;   /* that it names, or NULL */
    bool any_dialect;    /* it is for both, else for this one */
    sl__dialect dialect;
    sl_view text;
    char checksum[SL__PATCH_CHECKSUM_SIZE];
} sl__patch_file;
typedef struct sl__patch_files {
    size_t count;
    sl__patch_file *items; /* by number, then by name */
} sl__patch_files;

/* What a file is by its name: 1; 0 where it is none of ours (no .sql); or SL_EPARSE, and *ret_wrong says why.
 */
int sl__patch_file_name(const char *name, sl__patch_file *ret_file, const char **ret_wrong);
/* The store that is named in the first line (`-- store: NAME`), in the arena; or NULL. */
const char *sl__patch_file_store(sl_view text, sl_arena *arena);
/* SHA-256 in hexadecimal. */
/* What is said of a patch without a statement. */
sl_error *sl__patch_is_empty(const sl_site *site);
void sl__patch_checksum(const void *data, size_t size, char out[static SL__PATCH_CHECKSUM_SIZE]);
/* Reads the files of DIRECTORY/schema. By exit (SL_ESCHEMA: names that are none, files that cannot be read).
 * May suspend. */
sl__patch_files sl__patch_files_read(const sl_site *site, const char *directory);

/* ---- Patches: patch_plan.c --------------------------------------------------------------------------- */

/* One that the application has declared with sl_patch. */
struct sl__patch_entry {
    struct sl__patch_entry *next;
    unsigned number;
    char *summary, *store;
    sl_patch_fn *fn;
    const sl_site *site;
};

/* A patch of this application, as it is for its store. */
typedef struct sl__step {
    unsigned number;
    const char *summary, *checksum;
    const char *named; /* "schema/003-what-it-does.sql", "patch 3 (src/app.c:12)" */
    sl_store *store;
    sl_view text;    /* of a file */
    sl_patch_fn *fn; /* or NULL */
    bool applied;
} sl__step;
typedef struct sl__plan {
    size_t count;
    sl__step *items;       /* by number, from 1 */
    const char *directory; /* of the application; NULL: none */
} sl__plan;

/* What was applied is kept in this table of each store: number, summary, checksum, applied. */
#define SL__PATCH_TABLE "sl_patch"
#define SL__PATCH_MODELS 0 /* the number that stands for tables made from the models */

/* All patches. By exit (SL_ESCHEMA): numbers given twice or left out, stores that are not there. */
sl__plan sl__plan_make(const sl_site *site, sl_stores *stores, const char *directory);
/* The same; with `functions` there may be patches in C that are not known here, so that numbers may be left
 * out. */
sl__plan sl__plan_make_of(const sl_site *site, sl_stores *stores, const char *directory, bool functions);
/* Looks what is applied, in the stores that have patches or models (`only`: in this one). NULL; or what is
 * unknown or altered there, the task's error. May suspend. */
sl_error *sl__plan_look(const sl_site *site, sl_stores *stores, sl__plan *plan, sl_store *only);
/* Makes an error the calling task's; returns it. */
sl_error *sl__own_error(sl_error *error);
/* Whether a store has a patch, and how many are not applied there. */
bool sl__plan_has(const sl__plan *plan, const sl_store *store);
size_t sl__plan_missing(const sl__plan *plan, const sl_store *store);
/* Whether one of a store's patches makes the table, as far as its words tell; a function in C may do
 * anything. In a task. */
bool sl__plan_makes(const sl__plan *plan, const sl_store *store, const char *table);
/* The application's directory as the argument of a command, "." where it is not known. */
const char *sl__plan_directory(const sl__plan *plan);
/* "--store NAME " as an option of `silver db schema`, where the store is one of several; else "". */
const char *sl__store_option(const sl_store *store);
/* The name of a file for the next patch: "schema/004-what-it-does.sql". In the task's arena. */
const char *sl__plan_next(const sl__plan *plan);
/* Whether a store has models. */
bool sl__store_has_models(const sl_stores *stores, const sl_store *store);

/* ---- Patches: patch.c -------------------------------------------------------------------------------- */

/* Is told each thing that was done, as a line. */
typedef void sl__told_fn(const char *line, void *data);
/* Makes the models' tables in stores without patches that have none of them, and applies what is missing
 * (`only`: in this store). Gives how many tables and patches. By exit. May suspend. */
size_t sl__plan_apply(const sl_site *site, sl_stores *stores, const sl__plan *plan, const sl_store *only,
                      sl__told_fn *told, void *data);
/* Waits until nobody is applying a patch to the store. By exit. May suspend. */
void sl__plan_wait(const sl_site *site, sl_stores *stores, const sl__plan *plan, sl_store *store);
/* Writes a patch down as applied without applying it. By exit: there is no such, or it is applied, or one
 * before it is not. */
void sl__plan_record(const sl_site *site, sl_stores *stores, const sl__plan *plan, unsigned number,
                     sl__told_fn *told, void *data);
/* sl_migrate and sl_migrate_record, telling what they do. */
SL_API void sl__record_telling(const sl_site *site, const char *directory, unsigned number, sl__told_fn *told,
                               void *data);
SL_API size_t sl__migrate_telling(const sl_site *site, const char *directory, sl__told_fn *told, void *data);

/* ---- For `silver check`: patch_check.c --------------------------------------------------------------- */

/* Is told each fault: of "schema/001-what.sql" or of "schema"; line 0: of no line; hint may be NULL. */
typedef void sl__patch_wrong_fn(const char *file, unsigned line, const char *message, const char *hint,
                                void *data);
/* What is wrong with the patches of DIRECTORY/schema for the root's stores, none of which is opened.
 * `functions`: there may be patches in C, too. In a task. May suspend. */
SL_API void sl__patches_check(const char *directory, bool functions, sl__patch_wrong_fn *fn, void *data);

/* ---- For those who start applications: schema.c ------------------------------------------------------ */

/* After SL_APPLICATION: where the root has stores and models or patches, applies what is missing in
 * development, or to an empty database; compares; and fails (by exit) where something is different. May
 * suspend. */
SL_API void sl__schema_start(const sl_site *site, const char *directory, bool development);
/* What `silver db schema` prints: of one store, or of all (NULL). A new reference: an object with a list
 * `stores` of {name, path, dialect, wanted, difference, lines, patches: {applied, missing}, same}. By exit.
 * May suspend. */
SL_API struct json_t *sl__schema_tell(const sl_site *site, const char *directory, const char *store);
/* Whether the root has any store. */
SL_API bool sl__stores_any(void);
