/* sql_name.c: names and types as SQL writes them. */
#include "store/query.h"

/* Quoted, a name is taken as it is, whatever words the database reserves. */
void sl__put_name(sl_buffer *out, const char *name)
{
    sl_buffer_putc(out, '"');
    for (; *name; name++) {
        if (*name == '"')
            sl_buffer_putc(out, '"');
        sl_buffer_putc(out, *name);
    }
    sl_buffer_putc(out, '"');
}

static const char *const sqlite_types[] = {
    [SL_KIND_INTEGER] = "INTEGER", [SL_KIND_REAL] = "REAL",       [SL_KIND_TEXT] = "TEXT",
    [SL_KIND_BYTES] = "BLOB",      [SL_KIND_BOOLEAN] = "INTEGER", [SL_KIND_TIME] = "INTEGER",
    [SL_KIND_DATE] = "TEXT",       [SL_KIND_DECIMAL] = "INTEGER", [SL_KIND_UUID] = "BLOB",
    [SL_KIND_ENUM] = "TEXT",       [SL_KIND_JSON] = "TEXT",
};

static const char *const postgres_types[] = {
    [SL_KIND_INTEGER] = "bigint",  [SL_KIND_REAL] = "double precision",
    [SL_KIND_TEXT] = "text",       [SL_KIND_BYTES] = "bytea",
    [SL_KIND_BOOLEAN] = "boolean", [SL_KIND_TIME] = "timestamptz",
    [SL_KIND_DATE] = "date",       [SL_KIND_UUID] = "uuid",
    [SL_KIND_ENUM] = "text",       [SL_KIND_JSON] = "jsonb",
};

#define NUMERIC(scale) [scale] = "numeric(18," #scale ")"
static const char *const postgres_numerics[] = {
    NUMERIC(0),  NUMERIC(1),  NUMERIC(2),  NUMERIC(3),  NUMERIC(4),  NUMERIC(5),  NUMERIC(6),
    NUMERIC(7),  NUMERIC(8),  NUMERIC(9),  NUMERIC(10), NUMERIC(11), NUMERIC(12), NUMERIC(13),
    NUMERIC(14), NUMERIC(15), NUMERIC(16), NUMERIC(17), NUMERIC(18),
};

const char *sl__sql_type(sl__dialect dialect, const sl_column *column)
{
    if (dialect == SL__SQLITE)
        return sqlite_types[column->kind];
    return column->kind == SL_KIND_DECIMAL ? postgres_numerics[column->scale] : postgres_types[column->kind];
}
