/* postgres_error.c: what the server says, as our errors.
 *
 * SQLSTATE decides the code (PostgreSQL's manual, appendix A). The message is the server's, with the store's
 * name; the detail has the SQL first, then what else the server said. No message of ours has the password:
 * those of libpq do not, and the URL is never shown. */
#include "store/postgres_inside.h"

#include <stdio.h>

#define SQL_SHOWN 4000

sl_error *sl__pg_error(const sl__postgres *pool, const sl_site *site, int code, const char *format, ...)
{
    sl_buffer text = {0};
    va_list arguments;
    va_start(arguments, format);
    sl_buffer_vprintf(&text, format, arguments);
    va_end(arguments);
    sl_error *error = sl__error_new(site ? site : SL_HERE, code, "store %s: %s", pool->name, text.data);
    sl_buffer_done(&text);
    return error;
}

static void put_sql(sl_buffer *out, const sl__statement *statement)
{
    bool cut = statement->size > SQL_SHOWN;
    sl_buffer_printf(out, "in: %.*s%s\n", cut ? SQL_SHOWN : (int)statement->size, statement->sql,
                     cut ? " …" : "");
}

sl_error *sl__pg_with_sql(sl_error *error, const sl__statement *statement)
{
    sl_buffer text = {0};
    put_sql(&text, statement);
    sl_error_detail(error, text.data, text.size - 1);
    sl_buffer_done(&text);
    return error;
}

const char *sl__pg_first_line(const char *text, char *out, size_t size)
{
    int length = (int)strcspn(text, "\n");
    snprintf(out, size, "%.*s", length, text);
    return out;
}

const char *sl__pg_sqlstate(const sl__postgres *pool, const PGresult *result)
{
    const char *state = pool->pq.resultErrorField(result, PG_DIAG_SQLSTATE);
    return state ? state : "";
}

/* ---- Codes ------------------------------------------------------------------------------------------- */

/* FATAL and PANIC, whatever it is about: the connection ends with that, and perhaps the server. What ran may
 * have been carried out: a COMMIT that was written before the disk was full is there when the server is back.
 */
static bool is_last(const sl__postgres *pool, const PGresult *result)
{
    const char *severity = pool->pq.resultErrorField(result, PG_DIAG_SEVERITY_NONLOCALIZED);
    return severity && (strcmp(severity, "FATAL") == 0 || strcmp(severity, "PANIC") == 0);
}

static int code_of(const char *state, bool cancelled)
{
    static const struct {
        const char *state; /* or how it begins */
        int code;
    } codes[] = {
        {"23505", SL_EEXIST},      {"23", SL_ECONSTRAINT},   {"40001", SL_ECONFLICT},
        {"40P01", SL_ECONFLICT},   {"55P03", SL_EBUSY},      {"53100", SL_ENOSPC},
        {"57P", SL_EDISCONNECTED}, {"08", SL_EDISCONNECTED}, {"25P03", SL_EDISCONNECTED},
    };
    if (cancelled && strcmp(state, "57014") == 0)
        return SL_EBUDGET;
    for (size_t i = 0; i < sl_array_size(codes); i++)
        if (strncmp(state, codes[i].state, strlen(codes[i].state)) == 0)
            return codes[i].code;
    return SL_EDATABASE;
}

/* What to do, where the server has no hint of its own. */
static const char *hint_of(const char *state)
{
    static const struct {
        const char *state, *hint;
    } hints[] = {
        {"40001", "run the transaction again: sl_transact(…, .retries = 3)"},
        {"40P01",
         "run the transaction again: sl_transact(…, .retries = 3); or lock rows in one order everywhere"},
        {"42P01", "`silver run . migrate` applies patches, and `silver db schema` says what is missing of "
                  "the models in sl_models"},
        {"42703", "where it is spelt as in the model, `silver db schema` says what is missing"},
        {"42P10",
         "the columns are those of one SL_UNIQUE, SL_TOGETHER or SL_UNIQUE_INDEX of the model, all of "
         "them"},
        {"23503",
         "look for what is referred to before: sl_need(…). What others refer to is deleted after them, or "
         "with them: SL_ON_DELETE(CASCADE)"},
        {"25006", "begin the transaction without .read_only"},
        {"53100", "free some space on the server's disk"},
        {"53300", "raise max_connections of the server, or lower the option connections"},
        {"57014", "a statement_timeout of the server, or somebody's pg_cancel_backend, stopped it"},
        {"55P03", "another transaction holds what this one wants: try again"},
    };
    for (size_t i = 0; i < sl_array_size(hints); i++)
        if (strcmp(state, hints[i].state) == 0)
            return hints[i].hint;
    return NULL;
}

/* ---- What the server says ------------------------------------------------------------------------------ */

static void put_field(const sl__postgres *pool, sl_buffer *out, const PGresult *result, int field,
                      const char *what)
{
    const char *text = pool->pq.resultErrorField(result, field);
    if (text)
        sl_buffer_printf(out, "%s%s\n", what, text);
}

/* Of "Key (name, room)=(…) already exists.", in whatever language. */
static sl_view columns_of(const char *detail)
{
    const char *open = detail ? strchr(detail, '(') : NULL, *close = open ? strstr(open, ")=(") : NULL;
    return close ? (sl_view){open + 1, (size_t)(close - open - 1)} : (sl_view){0};
}

sl_error *sl__pg_server_error(const sl__postgres *pool, const PGresult *result,
                              const sl__statement *statement, bool cancelled)
{
    char line[512];
    const char *state = sl__pg_sqlstate(pool, result);
    const char *message = pool->pq.resultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);
    const char *hint = pool->pq.resultErrorField(result, PG_DIAG_MESSAGE_HINT);
    int code = is_last(pool, result) ? SL_EDISCONNECTED : code_of(state, cancelled);
    /* What libpq says itself, when it lost the connection, has no fields. */
    if (!message)
        message = sl__pg_first_line(pool->pq.resultErrorMessage(result), line, sizeof line);
    sl_error *error =
        sl__pg_error(pool, statement ? statement->site : NULL, code, "%s%s",
                     code == SL_EDISCONNECTED ? "the connection to the database was lost: " : "", message);
    sl_buffer detail = {0};
    if (statement)
        put_sql(&detail, statement);
    put_field(pool, &detail, result, PG_DIAG_MESSAGE_DETAIL, "");
    put_field(pool, &detail, result, PG_DIAG_CONTEXT, "");
    put_field(pool, &detail, result, PG_DIAG_STATEMENT_POSITION, "at character ");
    put_field(pool, &detail, result, PG_DIAG_TABLE_NAME, "table ");
    put_field(pool, &detail, result, PG_DIAG_COLUMN_NAME, "column ");
    put_field(pool, &detail, result, PG_DIAG_CONSTRAINT_NAME, "constraint ");
    put_field(pool, &detail, result, PG_DIAG_SQLSTATE, "SQLSTATE ");
    if (detail.size)
        sl_error_detail(error, detail.data, detail.size - 1);
    sl_buffer_done(&detail);
    if (hint || (hint = hint_of(state)))
        sl_error_hint(error, "%s", hint);
    if (strcmp(state, "23503") == 0)
        return sl__tell_reference(error);
    return sl__tell_client(error, columns_of(pool->pq.resultErrorField(result, PG_DIAG_MESSAGE_DETAIL)));
}

sl_error *sl__pg_lost_error(const sl__postgres *pool, const sl__statement *statement, const sl_site *site,
                            const char *why)
{
    sl_error *error =
        sl__pg_error(pool, statement ? statement->site : site, SL_EDISCONNECTED,
                     "the connection to the database was lost%s%s", why && *why ? ": " : "", why ? why : "");
    if (statement)
        sl__pg_with_sql(error, statement);
    return sl_error_hint(error, "what was not committed is undone; the next transaction connects anew");
}
