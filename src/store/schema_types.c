/* schema_types.c: whether a type of a database keeps the values of a column, whatever it is called. */
#include "store/schema.h"

#include <stdio.h>
#include <strings.h>

static bool contains(const char *type, const char *word)
{
    return strcasestr(type, word) != NULL;
}

/* SQLite's rules of affinity (sqlite.org/datatype3.html, 3.1): what it makes of values, whatever a type is
 * called. */
static const char *affinity(const char *type)
{
    if (contains(type, "INT"))
        return "INTEGER";
    if (contains(type, "CHAR") || contains(type, "CLOB") || contains(type, "TEXT"))
        return "TEXT";
    if (!*type || contains(type, "BLOB"))
        return "BLOB";
    if (contains(type, "REAL") || contains(type, "FLOA") || contains(type, "DOUB"))
        return "REAL";
    return strcasecmp(type, "ANY") == 0 ? "ANY" : "NUMERIC";
}

static bool fits_sqlite(const char *type, const sl_column *column)
{
    const char *wanted = sl__sql_type(SL__SQLITE, column), *got = affinity(type);
    /* NUMERIC keeps whole numbers as they are, and dates, which do not look like numbers. */
    bool numeric = strcmp(wanted, "INTEGER") == 0 || column->kind == SL_KIND_DATE;
    return strcmp(got, wanted) == 0 || strcmp(got, "ANY") == 0 || (numeric && strcmp(got, "NUMERIC") == 0);
}

/* "numeric(18,2)", "character varying(80)": the numbers in parentheses; how many there are. */
static int modifiers(const char *type, long *ret_first, long *ret_second)
{
    const char *open = strchr(type, '(');
    return open ? sscanf(open, "(%ld,%ld)", ret_first, ret_second) : 0;
}

static bool fits_postgres(const char *type, const sl_column *column)
{
    long first = 0, second = 0;
    int count = modifiers(type, &first, &second);
    switch (column->kind) {
    case SL_KIND_TEXT:
    case SL_KIND_ENUM:
        if (strncmp(type, "character varying", 17) == 0)
            return count == 0 || (column->max && first >= (long)column->max);
        return strcmp(type, "text") == 0;
    case SL_KIND_DECIMAL:
        return strncmp(type, "numeric", 7) == 0 && count > 0 && first >= 18 &&
               (count == 2 ? second : 0) == column->scale;
    case SL_KIND_TIME:
        return strcmp(type, "timestamp with time zone") == 0;
    default:
        return strcmp(type, sl__sql_type(SL__POSTGRES, column)) == 0;
    }
}

bool sl__type_widens(const char *type, const sl_column *column)
{
    long precision = 0, scale = 0;
    switch (column->kind) {
    case SL_KIND_INTEGER:
        return strcmp(type, "integer") == 0 || strcmp(type, "smallint") == 0;
    case SL_KIND_REAL:
        return strcmp(type, "real") == 0;
    case SL_KIND_TEXT:
    case SL_KIND_ENUM:
        return strncmp(type, "character varying", 17) == 0;
    case SL_KIND_DECIMAL:
        return modifiers(type, &precision, &scale) == 2 && scale == column->scale && precision < 18;
    case SL_KIND_JSON:
        return strcmp(type, "json") == 0;
    default:
        return false;
    }
}

bool sl__type_fits(sl__dialect dialect, const char *type, const sl_column *column)
{
    return dialect == SL__SQLITE ? fits_sqlite(type, column) : fits_postgres(type, column);
}
