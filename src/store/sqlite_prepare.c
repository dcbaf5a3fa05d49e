/* sqlite_prepare.c: statements, prepared once and kept.
 *
 * To prepare a statement costs several times what it costs to run a short one, so each link keeps those that
 * it has seen, by a hash of their text, up to a number; the one that was not used for longest makes room for
 * a new one. A statement that is being stepped through is prepared a second time, for whoever wants the same
 * meanwhile. */
#include "store/sqlite.h"

#include <ctype.h>
#include <jansson.h>
#include <stdlib.h>

#define MASK (2 * SL__SQLITE_STATEMENTS - 1)
_Static_assert((SL__SQLITE_STATEMENTS & (SL__SQLITE_STATEMENTS - 1)) == 0, "slots are found with a mask");

/* ---- The cache ----------------------------------------------------------------------------------------- */

static void prepared_free(sl__sqlite_prepared *prepared)
{
    sqlite3_finalize(prepared->statement);
    free(prepared);
}

/* Those behind it that could not stand where they belong move up. */
static void empty_slot(sl__sqlite_cache *cache, unsigned hole)
{
    for (unsigned i = (hole + 1) & MASK; cache->slots[i]; i = (i + 1) & MASK) {
        unsigned home = (unsigned)cache->slots[i]->shape & MASK;
        if (((i - home) & MASK) >= ((i - hole) & MASK)) {
            cache->slots[hole] = cache->slots[i];
            hole = i;
        }
    }
    cache->slots[hole] = NULL;
    cache->count--;
}

static bool make_room(sl__sqlite_cache *cache)
{
    if (cache->count < SL__SQLITE_STATEMENTS)
        return true;
    unsigned oldest = MASK + 1;
    for (unsigned i = 0; i <= MASK; i++) {
        const sl__sqlite_prepared *prepared = cache->slots[i];
        if (prepared && !prepared->busy && (oldest > MASK || prepared->used < cache->slots[oldest]->used))
            oldest = i;
    }
    if (oldest > MASK)
        return false;
    prepared_free(cache->slots[oldest]);
    empty_slot(cache, oldest);
    return true;
}

static void keep(sl__sqlite_cache *cache, sl__sqlite_prepared *prepared)
{
    unsigned i = (unsigned)prepared->shape & MASK;
    while (cache->slots[i])
        i = (i + 1) & MASK;
    cache->slots[i] = prepared;
    cache->count++;
}

static sl__sqlite_prepared *find(const sl__sqlite_cache *cache, const sl__statement *statement)
{
    sl__sqlite_prepared *prepared;
    for (unsigned i = (unsigned)statement->shape & MASK; (prepared = cache->slots[i]); i = (i + 1) & MASK)
        if (prepared->shape == statement->shape && prepared->size == statement->size &&
            memcmp(prepared->sql, statement->sql, statement->size) == 0)
            return prepared;
    return NULL;
}

void sl__sqlite_cache_done(sl__sqlite_cache *cache)
{
    for (unsigned i = 0; i <= MASK; i++)
        if (cache->slots[i])
            prepared_free(cache->slots[i]);
    *cache = (sl__sqlite_cache){0};
}

/* ---- Preparing ----------------------------------------------------------------------------------------- */

/* The text from its first word on. */
static const char *skip_space(const char *sql)
{
    for (;;) {
        const char *end = NULL;
        if (isspace((unsigned char)*sql) || *sql == ';')
            end = sql + 1;
        else if (sql[0] == '-' && sql[1] == '-')
            end = sql + strcspn(sql, "\n");
        else if (sql[0] == '/' && sql[1] == '*' && (end = strstr(sql + 2, "*/")))
            end += 2;
        if (!end)
            return sql;
        sql = end;
    }
}

static bool is_word(const char *sql, const char *word)
{
    size_t size = strlen(word);
    return strncasecmp(sql, word, size) == 0 && !isalnum((unsigned char)sql[size]) && sql[size] != '_';
}

static bool is_any_word(const char *sql, const char *const *words)
{
    for (; *words; words++)
        if (is_word(sql, *words))
            return true;
    return false;
}

/* Transactions share SQLite's: whoever ended one would end those of others. */
static bool ends_transaction(const char *sql)
{
    static const char *const words[] = {"BEGIN", "COMMIT", "END", NULL};
    return is_any_word(sql, words) || (is_word(sql, "ROLLBACK") && !strcasestr(sql, " TO"));
}

static sl_error *look_at(sl__sqlite_link *link, const sl__statement *statement, sl__sqlite_prepared *prepared,
                         const char *rest)
{
    static const char *const words[] = {"INSERT", "UPDATE", "DELETE", "REPLACE", "WITH", NULL};
    const char *name = link->sqlite->name;
    if (!prepared->statement)
        return sl__error_new(statement->site, SL_EINVAL, "store %s: there is no statement in the SQL", name);
    prepared->sql = sqlite3_sql(prepared->statement);
    prepared->size = statement->size;
    prepared->parameters = (uint32_t)sqlite3_bind_parameter_count(prepared->statement);
    prepared->readonly = sqlite3_stmt_readonly(prepared->statement);
    const char *first = skip_space(statement->sql);
    prepared->counts = !prepared->readonly && is_any_word(first, words);
    if (*skip_space(rest))
        return sl_error_hint(sl__error_new(statement->site, SL_EINVAL,
                                           "store %s: there is more than one statement in the SQL", name),
                             "run them one by one");
    if (ends_transaction(first))
        return sl_error_hint(sl__error_new(statement->site, SL_EINVAL,
                                           "store %s: SQL may not begin or end transactions", name),
                             "use sl_transact and sl_savepoint");
    return NULL;
}

static sl__sqlite_prepared *prepare(sl__sqlite_link *link, const sl__statement *statement,
                                    sl_error **ret_error)
{
    const char *rest = "";
    sl__sqlite_prepared *prepared = sl_calloc(1, sizeof *prepared);
    /* With its NUL SQLite need not copy it first. */
    int code =
        sqlite3_prepare_v3(link->db, statement->sql, (int)statement->size + 1,
                           statement->shape ? SQLITE_PREPARE_PERSISTENT : 0, &prepared->statement, &rest);
    if (code)
        *ret_error = sl__sqlite_error(link->sqlite, statement->site, link->db, code, statement->sql);
    else
        *ret_error = look_at(link, statement, prepared, rest);
    if (!*ret_error)
        return prepared;
    if (!(*ret_error)->detail)
        sl_error_detail(*ret_error, statement->sql, statement->size);
    prepared_free(prepared);
    return NULL;
}

sl__sqlite_prepared *sl__sqlite_prepare(sl__sqlite_link *link, const sl__statement *statement,
                                        sl_error **ret_error)
{
    sl__sqlite_cache *cache = &link->cache;
    sl__sqlite_prepared *prepared = statement->shape ? find(cache, statement) : NULL;
    if (__builtin_expect(prepared && !prepared->busy, 1)) {
        prepared->busy = true;
        prepared->used = ++cache->uses;
        return prepared;
    }
    bool kept = statement->shape && !prepared && make_room(cache);
    prepared = prepare(link, statement, ret_error);
    if (!prepared)
        return NULL;
    prepared->busy = true;
    prepared->used = ++cache->uses;
    if (kept) {
        prepared->shape = statement->shape;
        keep(cache, prepared);
    }
    return prepared;
}

void sl__sqlite_unprepare(sl__sqlite_prepared *prepared)
{
    prepared->busy = false;
    if (!prepared->shape)
        prepared_free(prepared);
}

/* ---- Values -------------------------------------------------------------------------------------------- */

static int bind_text(sqlite3_stmt *statement, int index, const sl_value *value, bool copied)
{
    const char *text = value->text.data ? value->text.data : "";
    return sqlite3_bind_text64(statement, index, text, value->text.size,
                               copied ? SQLITE_TRANSIENT : SQLITE_STATIC, SQLITE_UTF8);
}

static int bind_bytes(sqlite3_stmt *statement, int index, const void *data, size_t size, bool copied)
{
    return sqlite3_bind_blob64(statement, index, size ? data : "", size,
                               copied ? SQLITE_TRANSIENT : SQLITE_STATIC);
}

static int bind_date(sqlite3_stmt *statement, int index, sl_date date)
{
    char text[SL_DATE_SIZE];
    return sqlite3_bind_text(statement, index, sl_date_text(date, text), SL_DATE_SIZE - 1, SQLITE_TRANSIENT);
}

static int bind_json(sqlite3_stmt *statement, int index, const json_t *json)
{
    char *text = json_dumps(json, JSON_COMPACT | JSON_ENCODE_ANY);
    return text ? sqlite3_bind_text(statement, index, text, -1, free) : SQLITE_MISUSE;
}

static int bind_value(sqlite3_stmt *statement, int index, const sl_value *value, bool copied)
{
    if (value->null)
        return sqlite3_bind_null(statement, index);
    switch (value->kind) {
    case SL_KIND_INTEGER:
    case SL_KIND_TIME:
        return sqlite3_bind_int64(statement, index, value->integer);
    case SL_KIND_REAL:
        return sqlite3_bind_double(statement, index, value->real);
    case SL_KIND_TEXT:
        return bind_text(statement, index, value, copied);
    case SL_KIND_BYTES:
        return bind_bytes(statement, index, value->text.data, value->text.size, copied);
    case SL_KIND_BOOLEAN:
        return sqlite3_bind_int(statement, index, value->boolean);
    case SL_KIND_DATE:
        return bind_date(statement, index, value->date);
    case SL_KIND_DECIMAL:
        return sqlite3_bind_int64(statement, index, value->decimal.units);
    case SL_KIND_UUID:
        return bind_bytes(statement, index, &value->uuid, sizeof value->uuid, copied);
    case SL_KIND_JSON:
        return bind_json(statement, index, value->json);
    case SL_KIND_ENUM:
    case SL_KIND_ROW:
    case SL_KIND_LIST:
        break;
    }
    return SQLITE_MISUSE;
}

static sl_error *not_bound(sl__sqlite_link *link, const sl__sqlite_prepared *prepared,
                           const sl__statement *statement, uint32_t index, int code)
{
    const char *name = link->sqlite->name;
    sl_error *error;
    if (prepared->parameters != statement->count)
        error = sl__error_new(statement->site, SL_EINVAL,
                              "store %s: the SQL has %u parameters, and %u were given", name,
                              prepared->parameters, statement->count);
    else if (code == SQLITE_MISUSE)
        error = sl__error_new(statement->site, SL_EINVAL,
                              "store %s: parameter %u is no value that SQLite could have", name, index + 1);
    else
        error = sl__sqlite_error(link->sqlite, statement->site, link->db, code, NULL);
    return sl_error_detail(error, statement->sql, statement->size);
}

sl_error *sl__sqlite_bind(sl__sqlite_link *link, const sl__sqlite_prepared *prepared,
                          const sl__statement *statement, bool copied)
{
    if (__builtin_expect(prepared->parameters != statement->count, 0))
        return not_bound(link, prepared, statement, 0, SQLITE_OK);
    for (uint32_t i = 0; i < statement->count; i++) {
        int code = bind_value(prepared->statement, (int)i + 1, &statement->values[i], copied);
        if (__builtin_expect(code, 0))
            return not_bound(link, prepared, statement, i, code);
    }
    return NULL;
}
