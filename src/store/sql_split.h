/* sql_split.h: SQL as words, and a script as its statements. */
#pragma once

#include "store/query.h"

typedef enum sl__sql_kind {
    SL__SQL_END,
    SL__SQL_WORD,   /* a keyword, or a name without quotes */
    SL__SQL_NAME,   /* a name in quotes */
    SL__SQL_STRING, /* a text, also of dollars */
    SL__SQL_NUMBER,
    SL__SQL_SIGN,   /* one character of all else */
    SL__SQL_BROKEN, /* a text, name or comment that does not end */
} sl__sql_kind;

typedef struct sl__sql_token {
    sl__sql_kind kind;
    sl_view text;  /* as it stands there, quotes included */
    unsigned line; /* where it begins, from 1 */
} sl__sql_token;

typedef struct sl__sql_reader {
    sl__dialect dialect;
    const char *at, *end;
    unsigned line;
} sl__sql_reader;

static inline sl__sql_reader sl__sql_read(sl__dialect dialect, sl_view text)
{
    return (sl__sql_reader){.dialect = dialect, .at = text.data, .end = text.data + text.size, .line = 1};
}
/* The next token; comments and blanks are passed over. */
sl__sql_token sl__sql_next(sl__sql_reader *reader);
/* Whether it is this keyword, in whatever case. */
bool sl__sql_is(const sl__sql_token *token, const char *word);
/* What a text or a name in quotes stands for; of a word itself. In the arena. */
char *sl__sql_unquoted(const sl__sql_token *token, sl_arena *arena);

typedef struct sl__sql_part {
    char *text; /* without its semicolon */
    unsigned line;
} sl__sql_part;
typedef struct sl__sql_parts {
    size_t count;
    sl__sql_part *items;
} sl__sql_parts;

/* Cuts a script into its statements, in the arena. Refuses what would end the transaction that it is to run
 * in, and what never ends: the error (SL_EPARSE) has no place, but *ret_line. */
sl_error *sl__sql_split(sl__dialect dialect, sl_view text, sl_arena *arena, sl__sql_parts *ret_parts,
                        unsigned *ret_line);

typedef enum sl__sql_fault {
    SL__SQL_FINE,
    SL__SQL_TRANSACTIONAL, /* a statement begins, ends or divides a transaction */
    SL__SQL_SEVERAL,       /* there is more than one */
} sl__sql_fault;
/* What is wrong with SQL that is to run as one statement in a transaction that is not its own. */
sl__sql_fault sl__sql_look(sl__dialect dialect, sl_view text);
