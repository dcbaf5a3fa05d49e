/* sql.h: the little that everything here that speaks with SQLite needs. */
#pragma once

#include <silver/silver.h>
#include <sqlite3.h>

static inline void sql_reset(sqlite3_stmt **statement)
{
    sqlite3_reset(*statement);
    sqlite3_clear_bindings(*statement);
}
static inline void sql_finalize(sqlite3_stmt **statement)
{
    sqlite3_finalize(*statement);
}
/* A prepared statement that is put back, or given back, when the block is left. */
#define SQL_AUTO_RESET SL_CLEANUP(sql_reset)
#define SQL_AUTO_FINALIZE SL_CLEANUP(sql_finalize)

static inline void sql_bind(sqlite3_stmt *statement, int index, const char *text)
{
    sqlite3_bind_text(statement, index, text, -1, SQLITE_TRANSIENT);
}

/* The text of a column; "" where it is NULL. Lives until the next step. */
static inline const char *sql_text(sqlite3_stmt *statement, int index)
{
    const char *text = (const char *)sqlite3_column_text(statement, index);
    return text ? text : "";
}

/* The number that a query gives. An SQLite code. */
static inline int sql_number(sqlite3 *db, const char *sql, int *ret_number)
{
    sqlite3_stmt *statement = NULL;
    int code = sqlite3_prepare_v2(db, sql, -1, &statement, NULL);
    if (code == SQLITE_OK && (code = sqlite3_step(statement)) == SQLITE_ROW) {
        *ret_number = sqlite3_column_int(statement, 0);
        code = SQLITE_OK;
    }
    sqlite3_finalize(statement);
    return code;
}

/* What went wrong last, with the file and what to do: "cannot read the history of the chat in FILE: …". */
sl_error *sql_error(sqlite3 *db, const char *what, const char *of, const char *path);
