/* raw.c: finds the parameters in raw SQL.
 *
 * A ? in quotes, in a comment or in a name is text. What quotes there are differs: SQLite also has names in
 * `…` and […], PostgreSQL strings with backslashes (E'…'), strings in dollars ($tag$…$tag$) and comments in
 * comments. What is not closed goes on to the end: the database says what is wrong with it. */
#include "store/compile.h"

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

bool sl__raw_in_name(char c)
{
    return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' ||
           (unsigned char)c >= 0x80;
}

/* Past the closing quote. A quote that is doubled stands for itself, and so does, with `escapes`, one after a
 * \. */
static const char *past_quoted(const char *at, char quote, bool escapes)
{
    for (; *at; at++) {
        if (escapes && *at == '\\' && at[1])
            at++;
        else if (*at == quote && *++at != quote)
            break;
    }
    return at;
}

static const char *past_comment(const char *at, bool nested)
{
    unsigned depth = 1;
    while (*at && depth) {
        if (at[0] == '*' && at[1] == '/') {
            depth--;
            at += 2;
        } else if (nested && at[0] == '/' && at[1] == '*') {
            depth++;
            at += 2;
        } else {
            at++;
        }
    }
    return at;
}

/* A string in dollars that begins here, or NULL. */
static const char *past_dollars(const char *at)
{
    const char *tag = at + 1;
    while (sl__raw_in_name(*tag))
        tag++;
    if (*tag != '$' || is_digit(at[1]))
        return NULL;
    size_t size = (size_t)(tag + 1 - at);
    for (const char *end = tag + 1; *end; end++)
        if (strncmp(end, at, size) == 0)
            return end + size;
    return tag + strlen(tag);
}

/* Past a name, or a word of SQL, or a number; with the string that a prefix belongs to. */
static const char *past_word(const char *at, sl__dialect dialect)
{
    const char *end = at;
    while (sl__raw_in_name(*end) || *end == '$')
        end++;
    bool escapes = dialect == SL__POSTGRES && end == at + 1 && (*at == 'e' || *at == 'E');
    return escapes && *end == '\'' ? past_quoted(end + 1, '\'', true) : end;
}

static sl__raw_kind question_mark(const char **at)
{
    if (is_digit((*at)[1])) {
        ++*at;
        return SL__RAW_FOREIGN;
    }
    bool doubled = (*at)[1] == '?';
    *at += doubled ? 2 : 1;
    return doubled ? SL__RAW_MARK : SL__RAW_PARAMETER;
}

/* $1, and in SQLite $name, :name and @name. A : of PostgreSQL is a slice or, doubled, a cast. */
static bool is_foreign(const char *at, sl__dialect dialect)
{
    if (dialect == SL__POSTGRES)
        return at[0] == '$' && is_digit(at[1]);
    return sl__raw_in_name(at[1]);
}

sl__raw_kind sl__raw_next(const char **at, sl__dialect dialect)
{
    const char *here = *at, *dollars;
    bool postgres = dialect == SL__POSTGRES;
    switch (*here) {
    case '\0':
        return SL__RAW_END;
    case '?':
        return question_mark(at);
    case '\'':
    case '"':
        *at = past_quoted(here + 1, *here, false);
        return SL__RAW_TEXT;
    case '`':
        *at = postgres ? here + 1 : past_quoted(here + 1, '`', false);
        return SL__RAW_TEXT;
    case '[':
        *at = postgres ? here + 1 : here + strcspn(here, "]");
        return SL__RAW_TEXT;
    case '-':
        *at = here[1] == '-' ? here + strcspn(here, postgres ? "\r\n" : "\n") : here + 1;
        return here[1] == '-' ? SL__RAW_COMMENT : SL__RAW_TEXT;
    case '/':
        *at = here[1] == '*' ? past_comment(here + 2, postgres) : here + 1;
        return SL__RAW_TEXT;
    case '$':
    case ':':
    case '@':
        dollars = postgres && *here == '$' ? past_dollars(here) : NULL;
        *at = dollars ? dollars : here + 1;
        return !dollars && is_foreign(here, dialect) ? SL__RAW_FOREIGN : SL__RAW_TEXT;
    default:
        *at = sl__raw_in_name(*here) ? past_word(here, dialect) : here + 1;
        return SL__RAW_TEXT;
    }
}
