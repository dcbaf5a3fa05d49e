/* sqlite_read.c: columns of a row as fields of an object.
 *
 * Nearly all values have the class that their column was declared with and are taken as they are; whatever
 * else a column of SQLite's may hold is converted, or refused, by value.c. */
#include "store/sqlite.h"

static sl_error *hidden_nul(const sl__sqlite_cursor *cursor, const sl__field *field)
{
    return sl_error_hint(sl__error_new(cursor->site, SL_EPARSE,
                                       "store %s: column %s: the text has a NUL in it", cursor->sqlite->name,
                                       field->name),
                         "keep such values in a column of type bytes");
}

static char *copied(sl_arena *arena, const void *data, size_t size)
{
    char *copy = sl_arena_alloc(arena, size + 1);
    memcpy(copy, data, size);
    copy[size] = '\0';
    return copy;
}

/* What the column holds, lent. */
static sl_value value_of(sqlite3_value *held)
{
    sl_value value = {0};
    switch (sqlite3_value_type(held)) {
    case SQLITE_INTEGER:
        value.kind = SL_KIND_INTEGER;
        value.integer = sqlite3_value_int64(held);
        break;
    case SQLITE_FLOAT:
        value.kind = SL_KIND_REAL;
        value.real = sqlite3_value_double(held);
        break;
    case SQLITE_TEXT:
        value.kind = SL_KIND_TEXT;
        value.text.data = (const char *)sqlite3_value_text(held);
        value.text.size = (size_t)sqlite3_value_bytes(held);
        break;
    case SQLITE_BLOB:
        value.kind = SL_KIND_BYTES;
        value.text.data = sqlite3_value_blob(held);
        value.text.size = (size_t)sqlite3_value_bytes(held);
        break;
    default:
        value.null = true;
    }
    return value;
}

/* The class that a value of the kind is stored with; 0: always by way of value.c. */
static const uint8_t classes[] = {
    [SL_KIND_INTEGER] = SQLITE_INTEGER,
    [SL_KIND_REAL] = SQLITE_FLOAT,
    [SL_KIND_TEXT] = SQLITE_TEXT,
    [SL_KIND_BYTES] = SQLITE_BLOB,
    [SL_KIND_BOOLEAN] = SQLITE_INTEGER,
    [SL_KIND_TIME] = SQLITE_INTEGER,
    [SL_KIND_DATE] = 0,
    [SL_KIND_DECIMAL] = SQLITE_INTEGER,
    [SL_KIND_UUID] = 0,
    [SL_KIND_ENUM] = 0,
    [SL_KIND_JSON] = 0,
    [SL_KIND_ROW] = 0,
};

static sl_error *convert(const sl__field *field, sqlite3_value *held, void *object, uint64_t *nulls,
                         sl_arena *arena)
{
    sl_value value = value_of(held);
    return sl__field_from_value(field, &value, object, nulls, arena);
}

static inline bool read_text(sqlite3_value *held, const char **member, sl_arena *arena)
{
    const char *text = (const char *)sqlite3_value_text(held);
    size_t size = (size_t)sqlite3_value_bytes(held);
    if (__builtin_expect(!text || memchr(text, '\0', size), 0))
        return false;
    *member = arena ? copied(arena, text, size) : text;
    return true;
}

static inline void read_bytes(sqlite3_value *held, sl_view *member, sl_arena *arena)
{
    const char *bytes = sqlite3_value_blob(held);
    size_t size = (size_t)sqlite3_value_bytes(held);
    if (!bytes)
        bytes = ""; /* of no bytes SQLite gives no address, which would be NULL */
    *member = (sl_view){arena ? copied(arena, bytes, size) : bytes, size};
}

static inline sl_error *read_field(const sl__sqlite_cursor *cursor, const sl__field *field, int column,
                                   void *object, uint64_t *nulls, sl_arena *arena)
{
    /* The values are the statement's own, and it is nobody else's: read so they need not be looked up for
     * each question. */
    sqlite3_value *held = sqlite3_column_value(cursor->statement, column);
    void *member = (char *)object + field->offset;
    if (__builtin_expect(sqlite3_value_type(held) != classes[field->kind], 0))
        return convert(field, held, object, nulls, arena);
    *nulls &= ~(UINT64_C(1) << field->bit);
    switch (field->kind) {
    case SL_KIND_INTEGER:
    case SL_KIND_TIME:
        *(int64_t *)member = sqlite3_value_int64(held);
        return NULL;
    case SL_KIND_REAL:
        *(double *)member = sqlite3_value_double(held);
        return NULL;
    case SL_KIND_TEXT:
        return read_text(held, member, arena) ? NULL : hidden_nul(cursor, field);
    case SL_KIND_BYTES:
        read_bytes(held, member, arena);
        return NULL;
    case SL_KIND_DECIMAL:
        *(sl_decimal *)member = (sl_decimal){sqlite3_value_int64(held), field->scale};
        return NULL;
    default:
        return convert(field, held, object, nulls, arena);
    }
}

static sl_error *read_batch(const sl__sqlite_batch *batch, unsigned first, const sl__field *fields,
                            unsigned count, void *object, uint64_t *nulls, sl_arena *arena)
{
    sl_error *error = NULL;
    for (unsigned i = 0; i < count && !error; i++)
        error =
            sl__field_from_value(&fields[i], sl__sqlite_batch_value(batch, first + i), object, nulls, arena);
    return error;
}

sl_error *sl__sqlite_read(sl__cursor *read, unsigned first, const sl__field *fields, unsigned count,
                          void *object, uint64_t *nulls, sl_arena *arena)
{
    const sl__sqlite_cursor *cursor = (const sl__sqlite_cursor *)read;
    if (cursor->batch)
        return read_batch(cursor->batch, first, fields, count, object, nulls, arena);
    for (unsigned i = 0; i < count; i++) {
        sl_error *error = read_field(cursor, &fields[i], (int)(first + i), object, nulls, arena);
        if (__builtin_expect(error != NULL, 0))
            return error;
    }
    return NULL;
}

bool sl__sqlite_is_null(sl__cursor *read, unsigned column)
{
    const sl__sqlite_cursor *cursor = (const sl__sqlite_cursor *)read;
    if (cursor->batch)
        return sl__sqlite_batch_value(cursor->batch, column)->null;
    return sqlite3_column_type(cursor->statement, (int)column) == SQLITE_NULL;
}
