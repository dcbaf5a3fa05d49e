/* sqlite_error.c: what SQLite says was wrong, as an error of ours with what to do about it. */
#include "store/sqlite.h"

static int code_of(int code)
{
    switch (code) {
    case SQLITE_CONSTRAINT_UNIQUE:
    case SQLITE_CONSTRAINT_PRIMARYKEY:
    case SQLITE_CONSTRAINT_ROWID:
        return SL_EEXIST;
    case SQLITE_BUSY_SNAPSHOT:
        return SL_ECONFLICT;
    case SQLITE_IOERR_NOMEM:
        return SL_ENOMEM;
    }
    switch (code & 0xff) {
    case SQLITE_CONSTRAINT:
        return SL_ECONSTRAINT;
    case SQLITE_BUSY:
    case SQLITE_PROTOCOL:
        return SL_EBUSY;
    case SQLITE_FULL:
        return SL_ENOSPC;
    case SQLITE_NOMEM:
        return SL_ENOMEM;
    case SQLITE_INTERRUPT:
        return SL_EBUDGET;
    case SQLITE_ABORT:
        return SL_EDISCONNECTED;
    default:
        return SL_EDATABASE;
    }
}

/* What has no code of its own in SQLite. */
static sl_error *hint_of_words(sl_error *error)
{
    static const struct {
        const char *said, *hint;
    } hints[] = {
        {"no such table: ", "`silver run . migrate` applies patches, and `silver db schema` says what is "
                            "missing of the models in sl_models"},
        {"no such column: ", "where it is spelt as in the model, `silver db schema` says what is missing"},
        {"ON CONFLICT clause does not match", "the columns are those of one SL_UNIQUE, SL_TOGETHER or "
                                              "SL_UNIQUE_INDEX of the model, all of them"},
    };
    for (size_t i = 0; i < sl_array_size(hints); i++)
        if (strstr(error->message, hints[i].said))
            return sl_error_hint(error, "%s", hints[i].hint);
    return error;
}

static sl_error *give_hint(sl_error *error, const sl__sqlite *sqlite, int code)
{
    if (code == SQLITE_BUSY_SNAPSHOT)
        return sl_error_hint(
            error, "others wrote since this transaction first read: let it write before it reads, or "
                   "give its sl_transact some .retries");
    if (code == SQLITE_READONLY_DBMOVED)
        return sl_error_hint(error, "start the application anew, and stop it before another %s is put there",
                             sqlite->path);
    if (code == SQLITE_CONSTRAINT_FOREIGNKEY)
        return sl_error_hint(sl__tell_reference(error),
                             "look for what is referred to before: sl_need(…). What others refer to is "
                             "deleted after them, or with them: SL_ON_DELETE(CASCADE)");
    if (code == SQLITE_ERROR)
        return hint_of_words(error);
    switch (code & 0xff) {
    case SQLITE_BUSY:
    case SQLITE_PROTOCOL:
        return sl_error_hint(
            error,
            "another process holds the database; `fuser -v %s` names it. Where it may take that "
            "long, raise busy_ms",
            sqlite->path);
    case SQLITE_LOCKED:
        return sl_error_hint(error,
                             "rows of that table are still being read in this transaction: end that first");
    case SQLITE_FULL:
        return sl_error_hint(error,
                             "make room on the disk of %s, or let it have more: `sqlite_mb` in the section "
                             "[store] of app.ini%s",
                             sqlite->path, sqlite->options->sqlite_mb ? "" : " (which sets no limit now)");
    case SQLITE_READONLY:
    case SQLITE_PERM:
        return sl_error_hint(error, "let the user that runs this write to %s and to its directory",
                             sqlite->path);
    case SQLITE_CANTOPEN:
        return sl_error_hint(error,
                             "check that the user that runs this may read and write %s and its directory",
                             sqlite->path);
    case SQLITE_NOTADB:
        return sl_error_hint(error, "%s is something else than a database of SQLite: name another file",
                             sqlite->path);
    case SQLITE_CORRUPT:
        return sl_error_hint(
            error, "put a backup in the place of %s; `sqlite3 %s .recover` prints what can still be read",
            sqlite->path, sqlite->path);
    case SQLITE_IOERR:
        return sl_error_hint(error, "the disk of %s fails, or is gone: the system's log (`dmesg`) says more",
                             sqlite->path);
    case SQLITE_INTERRUPT:
        return sl_error_hint(error, "the statement took too long, and was cancelled");
    default:
        return error;
    }
}

sl_error *sl__sqlite_error_said(const sl__sqlite *sqlite, const sl_site *site, int code, const char *said,
                                const char *sql)
{
    sl_error *error = sl__error_new(site, code_of(code), "store %s: %s", sqlite->name, said);
    if (sql)
        sl_error_detail(error, sql, strlen(sql));
    /* "UNIQUE constraint failed: person.name" */
    const char *columns = strstr(said, ": ");
    return give_hint(sl__tell_client(error, sl_view_of(columns ? columns + 2 : "")), sqlite, code);
}

sl_error *sl__sqlite_error(const sl__sqlite *sqlite, const sl_site *site, sqlite3 *db, int code,
                           const char *sql)
{
    return sl__sqlite_error_said(sqlite, site, code, db ? sqlite3_errmsg(db) : sqlite3_errstr(code), sql);
}

sl_error *sl__sqlite_is_closed(const sl__sqlite *sqlite, const sl_site *site)
{
    return sl__error_new(site, SL_ECLOSED, "store %s was closed", sqlite->name);
}
