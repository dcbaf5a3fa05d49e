/* sql_split.c: SQL as words, and a script as its statements.
 *
 * A statement ends with a semicolon that stands in no text, name, comment or parentheses, and not within the
 * body of a trigger (SQLite: it ends with `; END ;`) or of a function that is written in SQL (PostgreSQL:
 * BEGIN ATOMIC … END, in which CASE … END may stand). */
#include "store/sql_split.h"

#include <strings.h>

#define STATEMENTS_MAX 100000

/* ---- Tokens -------------------------------------------------------------------------------------------- */

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool begins_word(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || (unsigned char)c >= 0x80;
}

static bool is_in_word(char c)
{
    return begins_word(c) || is_digit(c) || c == '$';
}

/* The character so many places on, or NUL past the end. */
static char peek(const sl__sql_reader *reader, size_t places)
{
    return places < (size_t)(reader->end - reader->at) ? reader->at[places] : '\0';
}

static void advance(sl__sql_reader *reader, size_t places)
{
    for (; places && reader->at < reader->end; places--)
        reader->line += *reader->at++ == '\n';
}

/* In PostgreSQL comments contain comments. False: it does not end. */
static bool skip_comment(sl__sql_reader *reader)
{
    unsigned depth = 0;
    do {
        if (reader->at == reader->end)
            return false;
        if (peek(reader, 0) == '/' && peek(reader, 1) == '*' &&
            (depth == 0 || reader->dialect == SL__POSTGRES)) {
            depth++;
            advance(reader, 2);
        } else if (peek(reader, 0) == '*' && peek(reader, 1) == '/') {
            depth--;
            advance(reader, 2);
        } else {
            advance(reader, 1);
        }
    } while (depth);
    return true;
}

static void note(const sl__sql_reader *reader, sl__sql_token *token)
{
    token->text.data = reader->at;
    token->line = reader->line;
}

/* To the next token, whose place is noted; false at a comment that does not end, which is then the place. */
static bool skip_blanks(sl__sql_reader *reader, sl__sql_token *token)
{
    while (reader->at < reader->end) {
        char c = *reader->at;
        if (c == ' ' || (c >= '\t' && c <= '\r')) {
            advance(reader, 1);
        } else if (c == '-' && peek(reader, 1) == '-') {
            while (reader->at < reader->end && *reader->at != '\n')
                reader->at++;
        } else if (c == '/' && peek(reader, 1) == '*') {
            note(reader, token);
            if (!skip_comment(reader))
                return false;
        } else {
            break;
        }
    }
    note(reader, token);
    return true;
}

/* Up to `quote`, which stands in it where it is doubled, or (`escapes`) after a backslash. */
static bool skip_quoted(sl__sql_reader *reader, char quote, bool escapes)
{
    for (advance(reader, 1); reader->at < reader->end;) {
        char c = *reader->at;
        if (escapes && c == '\\') {
            advance(reader, 2);
        } else if (c == quote && peek(reader, 1) == quote && quote != ']') {
            advance(reader, 2);
        } else {
            advance(reader, 1);
            if (c == quote)
                return true;
        }
    }
    return false;
}

/* $tag$ … $tag$. The reader is at the first dollar; false where that begins nothing of the kind. */
static bool skip_dollars(sl__sql_reader *reader, bool *ret_ends)
{
    size_t size = 1;
    while (is_in_word(peek(reader, size)) && peek(reader, size) != '$')
        size++;
    if (peek(reader, size) != '$' || is_digit(peek(reader, 1)))
        return false;
    const char *tag = reader->at;
    size++;
    advance(reader, size);
    while ((size_t)(reader->end - reader->at) >= size && memcmp(reader->at, tag, size) != 0)
        advance(reader, 1);
    *ret_ends = (size_t)(reader->end - reader->at) >= size;
    advance(reader, *ret_ends ? size : (size_t)(reader->end - reader->at));
    return true;
}

static sl__sql_kind take_word(sl__sql_reader *reader)
{
    const char *begin = reader->at;
    while (reader->at < reader->end && is_in_word(*reader->at))
        reader->at++;
    bool escaped =
        reader->dialect == SL__POSTGRES && reader->at - begin == 1 && (*begin == 'e' || *begin == 'E');
    if (!escaped || peek(reader, 0) != '\'')
        return SL__SQL_WORD;
    return skip_quoted(reader, '\'', /* escapes= */ true) ? SL__SQL_STRING : SL__SQL_BROKEN;
}

static sl__sql_kind take_number(sl__sql_reader *reader)
{
    while (is_in_word(peek(reader, 0)) || (peek(reader, 0) == '.' && is_digit(peek(reader, 1))))
        reader->at++;
    return SL__SQL_NUMBER;
}

static sl__sql_kind take_token(sl__sql_reader *reader)
{
    char c = *reader->at;
    bool ends;
    if (begins_word(c))
        return take_word(reader);
    if (is_digit(c))
        return take_number(reader);
    if (c == '\'')
        return skip_quoted(reader, c, /* escapes= */ false) ? SL__SQL_STRING : SL__SQL_BROKEN;
    if (c == '"' || (reader->dialect == SL__SQLITE && (c == '`' || c == '[')))
        return skip_quoted(reader, c == '[' ? ']' : c, /* escapes= */ false) ? SL__SQL_NAME : SL__SQL_BROKEN;
    if (c == '$' && reader->dialect == SL__POSTGRES && skip_dollars(reader, &ends))
        return ends ? SL__SQL_STRING : SL__SQL_BROKEN;
    advance(reader, 1);
    return SL__SQL_SIGN;
}

sl__sql_token sl__sql_next(sl__sql_reader *reader)
{
    sl__sql_token token = {.kind = SL__SQL_BROKEN};
    if (skip_blanks(reader, &token))
        token.kind = reader->at == reader->end ? SL__SQL_END : take_token(reader);
    token.text.size = (size_t)(reader->at - token.text.data);
    return token;
}

bool sl__sql_is(const sl__sql_token *token, const char *word)
{
    return token->kind == SL__SQL_WORD && sl_view_equal_nocase(token->text, sl_view_of(word));
}

char *sl__sql_unquoted(const sl__sql_token *token, sl_arena *arena)
{
    char *out = sl_arena_strndup(arena, token->text.data, token->text.size), *to = out;
    bool quoted = token->kind == SL__SQL_STRING || token->kind == SL__SQL_NAME;
    if (!quoted || token->text.size < 2)
        return out;
    char quote = out[token->text.size - 1];
    for (size_t i = 1; i + 1 < token->text.size; i++) {
        *to++ = out[i];
        if (out[i] == quote && out[i + 1] == quote && i + 2 < token->text.size)
            i++;
    }
    *to = '\0';
    return out;
}

/* ---- Statements ---------------------------------------------------------------------------------------- */

typedef struct splitter {
    sl__sql_reader reader;
    sl_arena *arena;
    sl__sql_parts parts;
    size_t room;
    /* Of the statement at hand: */
    const char *begin; /* NULL: none has begun */
    unsigned line;
    unsigned words;     /* tokens so far */
    unsigned parens;    /* that are open */
    unsigned blocks;    /* BEGIN and CASE that are open, in a function */
    bool creates;       /* it began with CREATE */
    bool in_head;       /* and what it creates was not said yet */
    bool trigger, body; /* a trigger (SQLite); a function or procedure (PostgreSQL) */
    bool after_semicolon, after_end;
} splitter;

/* What would end the transaction, or has no meaning in one. */
static const char *const transactions[] = {"BEGIN", "START", "COMMIT", "END", "ABORT", "ROLLBACK"};

static sl_error *refuse(splitter *s, const sl__sql_token *token)
{
    sl__sql_reader ahead = s->reader;
    sl__sql_token next = sl__sql_next(&ahead);
    bool to_savepoint = sl__sql_is(token, "ROLLBACK") && sl__sql_is(&next, "TO");
    for (size_t i = 0; i < sl_array_size(transactions) && !to_savepoint; i++)
        if (sl__sql_is(token, transactions[i]))
            return sl_error_hint(
                sl_error_new(SL_EPARSE, "%s cannot stand here", transactions[i]),
                "it runs in a transaction of its own, which is committed when all went well: "
                "leave it out");
    return NULL;
}

static void begin_statement(splitter *s, const sl__sql_token *token)
{
    s->begin = token->text.data;
    s->line = token->line;
    s->words = s->parens = s->blocks = 0;
    s->creates = s->in_head = sl__sql_is(token, "CREATE");
    s->trigger = s->body = s->after_semicolon = s->after_end = false;
}

/* The words after CREATE, up to what it creates: OR REPLACE, TEMPORARY … */
static void look_at_head(splitter *s, const sl__sql_token *token)
{
    static const char *const before[] = {"OR", "REPLACE", "TEMP", "TEMPORARY", "CONSTRAINT"};
    for (size_t i = 0; i < sl_array_size(before); i++)
        if (sl__sql_is(token, before[i]))
            return;
    s->in_head = false;
    s->trigger = s->reader.dialect == SL__SQLITE && sl__sql_is(token, "TRIGGER");
    s->body = s->reader.dialect == SL__POSTGRES &&
              (sl__sql_is(token, "FUNCTION") || sl__sql_is(token, "PROCEDURE"));
}

static void count_blocks(splitter *s, const sl__sql_token *token)
{
    if (sl__sql_is(token, "BEGIN") || (s->blocks && sl__sql_is(token, "CASE")))
        s->blocks++;
    else if (s->blocks && sl__sql_is(token, "END"))
        s->blocks--;
}

static void add_statement(splitter *s, const char *end)
{
    if (s->parts.count == s->room) {
        s->room = s->room ? 2 * s->room : 16;
        sl__sql_part *items = sl_arena_alloc(s->arena, s->room * sizeof(*items));
        if (s->parts.count)
            memcpy(items, s->parts.items, s->parts.count * sizeof(*items));
        s->parts.items = items;
    }
    sl_view text = sl_view_trim((sl_view){s->begin, (size_t)(end - s->begin)}, " \t\r\n\v\f");
    s->parts.items[s->parts.count++] =
        (sl__sql_part){.text = sl_arena_strndup(s->arena, text.data, text.size), .line = s->line};
    s->begin = NULL;
}

/* Whether a semicolon ends the statement. */
static bool ends(const splitter *s)
{
    return !s->blocks && !s->parens && (!s->trigger || s->after_end);
}

/* One token of a statement. False: it is the semicolon after it. */
static bool take(splitter *s, const sl__sql_token *token)
{
    char sign = token->kind == SL__SQL_SIGN ? *token->text.data : '\0';
    if (sign == ';' && ends(s))
        return false;
    if (s->in_head && s->words)
        look_at_head(s, token);
    if (s->body)
        count_blocks(s, token);
    if (sign == '(')
        s->parens++;
    else if (sign == ')' && s->parens)
        s->parens--;
    s->after_end = s->after_semicolon && sl__sql_is(token, "END");
    s->after_semicolon = sign == ';';
    s->words++;
    return true;
}

static const char *what_broke(const sl__sql_token *token)
{
    switch (token->text.size ? *token->text.data : '\0') {
    case '/':
        return "a comment";
    case '"':
    case '`':
    case '[':
        return "a name in quotes";
    }
    return "a text";
}

sl_error *sl__sql_split(sl__dialect dialect, sl_view text, sl_arena *arena, sl__sql_parts *ret_parts,
                        unsigned *ret_line)
{
    splitter s = {.reader = sl__sql_read(dialect, text), .arena = arena};
    for (;;) {
        sl__sql_token token = sl__sql_next(&s.reader);
        *ret_line = s.begin ? s.line : token.line;
        if (token.kind == SL__SQL_END)
            break;
        if (token.kind == SL__SQL_BROKEN) {
            *ret_line = token.line;
            return sl_error_new(SL_EPARSE, "%s that begins here does not end", what_broke(&token));
        }
        if (s.parts.count == STATEMENTS_MAX)
            return sl_error_new(SL_E2BIG, "there are more than %d statements", STATEMENTS_MAX);
        if (!s.begin && token.kind == SL__SQL_SIGN && *token.text.data == ';')
            continue;
        sl_error *error = s.begin ? NULL : refuse(&s, &token);
        if (error)
            return error;
        if (!s.begin)
            begin_statement(&s, &token);
        if (!take(&s, &token))
            add_statement(&s, token.text.data);
    }
    if (s.begin && s.trigger && !s.after_end)
        return sl_error_hint(sl_error_new(SL_EPARSE, "a trigger that begins here does not end"),
                             "its last words are `; END;`");
    if (s.begin && s.parens)
        return sl_error_new(SL_EPARSE, "a parenthesis of the statement that begins here is not closed");
    if (s.begin && s.blocks)
        return sl_error_hint(sl_error_new(SL_EPARSE, "a function that begins here does not end"),
                             "a BEGIN or CASE in it has no END");
    if (s.begin)
        add_statement(&s, s.reader.end);
    *ret_parts = s.parts;
    return NULL;
}

/* ---- One statement ------------------------------------------------------------------------------------- */

/* What begins, ends or divides a transaction. Of PREPARE only the second word says whether it does. */
static bool is_transactional(const sl__sql_reader *after, const sl__sql_token *token)
{
    sl__sql_reader ahead = *after;
    for (size_t i = 0; i < sl_array_size(transactions); i++)
        if (sl__sql_is(token, transactions[i]))
            return true;
    if (sl__sql_is(token, "SAVEPOINT") || sl__sql_is(token, "RELEASE"))
        return true;
    sl__sql_token next = sl__sql_is(token, "PREPARE") ? sl__sql_next(&ahead) : *token;
    return sl__sql_is(&next, "TRANSACTION");
}

sl__sql_fault sl__sql_look(sl__dialect dialect, sl_view text)
{
    splitter s = {.reader = sl__sql_read(dialect, text)};
    bool several = memchr(text.data, ';', text.size), found = false;
    for (;;) {
        sl__sql_token token = sl__sql_next(&s.reader);
        if (token.kind == SL__SQL_END || token.kind == SL__SQL_BROKEN) /* which the database tells */
            return SL__SQL_FINE;
        if (!s.begin && token.kind == SL__SQL_SIGN && *token.text.data == ';')
            continue;
        if (!s.begin && is_transactional(&s.reader, &token))
            return SL__SQL_TRANSACTIONAL;
        if (!s.begin && found)
            return SL__SQL_SEVERAL;
        if (!several)
            return SL__SQL_FINE;
        found = true;
        if (!s.begin)
            begin_statement(&s, &token);
        if (!take(&s, &token))
            s.begin = NULL;
    }
}
