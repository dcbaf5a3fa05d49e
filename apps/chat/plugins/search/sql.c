/* sql.c: SQLite's errors, said so that one knows what to do. */
#include "sql.h"

static const char *advice_for(int code)
{
    switch (code & 0xff) {
    case SQLITE_READONLY:
    case SQLITE_PERM:
    case SQLITE_CANTOPEN:
        return "let the user that runs the application read and write this file, and write to its directory";
    case SQLITE_NOTADB:
    case SQLITE_CORRUPT:
        return "the index is made anew by `silver run DIR reindex`; for the history, put a backup in its "
               "place";
    case SQLITE_FULL:
    case SQLITE_IOERR:
        return "its disk is full, or fails: make room; the system's log (`dmesg`) says more";
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return "another program has held the file for more than 5 seconds: `fuser -v FILE` names it";
    default:
        return NULL;
    }
}

sl_error *sql_error(sqlite3 *db, const char *what, const char *of, const char *path)
{
    int code = db ? sqlite3_extended_errcode(db) : SQLITE_NOMEM;
    sl_error *error = sl_error_new(SL_EDATABASE, "cannot %s %s in %s: %s", what, of, path,
                                   db ? sqlite3_errmsg(db) : "out of memory");
    return advice_for(code) ? sl_error_hint(error, "%s", advice_for(code)) : error;
}
