/* schema_check.c: what a CHECK says, as far as its words tell. */
#include "store/schema.h"

#include <stdlib.h>
#include <strings.h>

static bool same_name(sl__dialect dialect, const char *a, const char *b)
{
    return dialect == SL__SQLITE ? strcasecmp(a, b) == 0 : strcmp(a, b) == 0;
}

bool sl__check_is_about(sl__dialect dialect, const char *sql, const char *column)
{
    sl__sql_reader reader = sl__sql_read(dialect, sl_view_of(sql));
    for (;;) {
        sl__sql_token token = sl__sql_next(&reader);
        if (token.kind == SL__SQL_END || token.kind == SL__SQL_BROKEN)
            return false;
        if ((token.kind == SL__SQL_WORD || token.kind == SL__SQL_NAME) &&
            same_name(dialect, sl__sql_unquoted(&token, sl_task_arena()), column))
            return true;
    }
}

bool sl__check_allows(sl__dialect dialect, const char *sql, const char *text, bool *ret_any)
{
    bool found = false;
    sl__sql_reader reader = sl__sql_read(dialect, sl_view_of(sql));
    for (;;) {
        sl__sql_token token = sl__sql_next(&reader);
        if (token.kind == SL__SQL_END || token.kind == SL__SQL_BROKEN)
            return found;
        if (token.kind != SL__SQL_STRING)
            continue;
        *ret_any = true;
        found |= strcmp(sl__sql_unquoted(&token, sl_task_arena()), text) == 0;
    }
}

/* The sign before a number: <, <=, or another. */
typedef enum sign {
    OTHER,
    LESS,
    LESS_OR_EQUAL,
} sign;

static sign sign_after(sign before, const sl__sql_token *token)
{
    if (token->kind != SL__SQL_SIGN)
        return OTHER;
    if (*token->text.data == '<')
        return LESS;
    return before == LESS && *token->text.data == '=' ? LESS_OR_EQUAL : OTHER;
}

long sl__check_most(sl__dialect dialect, const char *sql)
{
    bool length = false;
    sign before = OTHER;
    sl__sql_reader reader = sl__sql_read(dialect, sl_view_of(sql));
    for (;;) {
        sl__sql_token token = sl__sql_next(&reader);
        if (token.kind == SL__SQL_END || token.kind == SL__SQL_BROKEN)
            return -1;
        if (length && before != OTHER && token.kind == SL__SQL_NUMBER)
            return strtol(token.text.data, NULL, 10) - (before == LESS);
        length |= sl__sql_is(&token, "length") || sl__sql_is(&token, "octet_length") ||
                  sl__sql_is(&token, "char_length");
        before = sign_after(before, &token);
    }
}
