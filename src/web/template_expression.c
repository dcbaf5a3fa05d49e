/* template_expression.c: the grammar of expressions, read by recursive descent, loosest first:
 *
 *     or         := and { "or" and }
 *     and        := not { "and" not }
 *     not        := "not" not | comparison
 *     comparison := filtered [ ("==" | "!=" | "<" | "<=" | ">" | ">=") filtered ]
 *     filtered   := postfix { "|" filter [ "(" or ")" ] }
 *     postfix    := primary { "." name | "." number | "[" or "]" }
 *     primary    := number | string | true | false | null | name | "url" "(" … ")" | "(" or ")" */

#include "web/template.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>

typedef sl__parser_state state;

static sl__expression *read_or(state *s);

bool sl__parse_wrong(state *s, const char *at, const char *hint, const char *format, ...)
{
    if (s->error)
        return false;
    va_list arguments;
    va_start(arguments, format);
    SL_CLEANUP(sl_buffer_done) sl_buffer message = {0};
    sl_buffer_vprintf(&message, format, arguments);
    va_end(arguments);
    s->error = sl__template_error(s->site, s->templ, (size_t)(at - s->templ->source), "%s", message.data);
    if (hint)
        sl_error_hint(s->error, "%s", hint);
    return false;
}

void sl__skip_space(state *s)
{
    while (s->at < s->end && strchr(" \t\r\n", *s->at) && *s->at)
        s->at++;
}

static bool word_character(char c)
{
    return isalnum((unsigned char)c) || c == '_';
}

sl_view sl__read_word(state *s)
{
    const char *start = s->at;
    if (s->at < s->end && !isdigit((unsigned char)*s->at))
        while (s->at < s->end && word_character(*s->at))
            s->at++;
    return (sl_view){start, (size_t)(s->at - start)};
}

/* Takes the word if it stands here. */
static bool take_word(state *s, const char *word)
{
    sl__skip_space(s);
    size_t size = strlen(word);
    if ((size_t)(s->end - s->at) < size || memcmp(s->at, word, size) != 0 ||
        (s->at + size < s->end && word_character(s->at[size])))
        return false;
    s->at += size;
    return true;
}

static bool take(state *s, const char *sign)
{
    sl__skip_space(s);
    size_t size = strlen(sign);
    if ((size_t)(s->end - s->at) < size || memcmp(s->at, sign, size) != 0)
        return false;
    s->at += size;
    return true;
}

static sl__expression *make(state *s, sl__expression_kind kind, const char *at)
{
    sl__expression *expression = sl_arena_zalloc(s->templ->arena, sizeof(*expression));
    expression->kind = (uint8_t)kind;
    expression->offset = (uint32_t)(at - s->templ->source);
    return expression;
}

static unsigned depth_of(const sl__expression *expression)
{
    return expression ? expression->depth : 0;
}

/* Notes how deep an expression has become by its parts: it is evaluated by recursion, on a small stack. */
static sl__expression *deepen(state *s, sl__expression *expression, const sl__expression *part)
{
    unsigned depth = depth_of(part) + 1;
    if (depth > SL__TEMPLATE_EXPRESSION) {
        sl__parse_wrong(s, s->templ->source + expression->offset, "compute it in the handler",
                        "this expression has more than %d steps in one another", SL__TEMPLATE_EXPRESSION);
        return NULL;
    }
    if (depth > expression->depth)
        expression->depth = (uint8_t)depth;
    return expression;
}

static sl__expression *make_pair(state *s, sl__expression_kind kind, const char *at, sl__expression *left,
                                 sl__expression *right)
{
    if (!right)
        return NULL;
    sl__expression *expression = make(s, kind, at);
    expression->left = left;
    expression->right = right;
    return deepen(s, expression, left) ? deepen(s, expression, right) : NULL;
}

/* Expects the closing sign of something that was opened at `open`. */
static bool close_with(state *s, const char *sign, const char *open)
{
    if (take(s, sign))
        return true;
    return sl__parse_wrong(s, open, NULL, "this \"%c\" is not closed with \"%s\"", *open, sign);
}

/* ---- Literals ---------------------------------------------------------------------------------------- */

const char *sl__read_string(state *s, size_t *ret_size)
{
    sl__skip_space(s);
    if (s->at >= s->end || (*s->at != '"' && *s->at != '\''))
        return NULL;
    const char *start = s->at;
    char quote = *s->at++;
    const char *closing = s->at;
    for (; closing < s->end && *closing != quote; closing++) {
        if (*closing == '\n' || *closing == 0)
            break;
        if (*closing == '\\' && ++closing < s->end && !strchr("\\\"'nt", *closing)) {
            sl__parse_wrong(s, closing - 1, "in a text there are \\\\ \\\" \\' \\n and \\t",
                            "unknown escape \\%c", *closing);
            return NULL;
        }
    }
    if (closing >= s->end || *closing != quote) {
        sl__parse_wrong(s, start, "a text ends with the quote that it began with, on the same line",
                        "this text is not closed");
        return NULL;
    }
    char *text = sl_arena_alloc(s->templ->arena, (size_t)(closing - s->at) + 1), *out = text;
    for (; s->at < closing; s->at++) {
        char c = *s->at;
        if (c == '\\')
            c = *++s->at == 'n' ? '\n' : *s->at == 't' ? '\t' : *s->at;
        *out++ = c;
    }
    s->at++;
    *out = 0;
    *ret_size = (size_t)(out - text);
    return text;
}

static sl__expression *read_number(state *s)
{
    const char *start = s->at;
    char text[64];
    size_t size = 0;
    bool real = false;
    while (s->at < s->end && size < sizeof(text) - 1 &&
           (isdigit((unsigned char)*s->at) || (size == 0 && *s->at == '-') ||
            (!real && *s->at == '.' && s->at + 1 < s->end && isdigit((unsigned char)s->at[1])))) {
        real = real || *s->at == '.';
        text[size++] = *s->at++;
    }
    text[size] = 0;
    sl__expression *expression = make(s, real ? SL__E_REAL : SL__E_INTEGER, start);
    errno = 0;
    if (real)
        expression->real = strtod(text, NULL);
    else
        expression->integer = strtoll(text, NULL, 10);
    if (errno || (s->at < s->end && word_character(*s->at))) {
        sl__parse_wrong(s, start, NULL, "this is not a number");
        return NULL;
    }
    return expression;
}

/* ---- Primaries --------------------------------------------------------------------------------------- */

static bool read_url_argument(state *s, sl__url_argument ***tail)
{
    sl__skip_space(s);
    const char *start = s->at;
    sl_view name = sl__read_word(s);
    sl__skip_space(s);
    if (name.size == 0 || s->at >= s->end || *s->at != '=' || (s->at + 1 < s->end && s->at[1] == '='))
        return sl__parse_wrong(s, start,
                               "write url(\"room\", room=name): the route's name, then its variables",
                               "here a variable of the route and \"=\" must stand");
    s->at++;
    sl__url_argument *argument = sl_arena_zalloc(s->templ->arena, sizeof(*argument));
    argument->name = sl_arena_strndup(s->templ->arena, name.data, name.size);
    argument->value = read_or(s);
    **tail = argument;
    *tail = &argument->next;
    return argument->value != NULL;
}

static sl__expression *read_url(state *s, const char *start)
{
    const char *open = s->at - 1;
    sl__expression *expression = make(s, SL__E_URL, start);
    expression->left = read_or(s);
    if (!expression->left)
        return NULL;
    sl__url_argument **tail = &expression->arguments;
    while (take(s, ","))
        if (!read_url_argument(s, &tail))
            return NULL;
    for (const sl__url_argument *argument = expression->arguments; argument; argument = argument->next)
        if (!deepen(s, expression, argument->value))
            return NULL;
    return close_with(s, ")", open) ? deepen(s, expression, expression->left) : NULL;
}

static sl__expression *read_name(state *s)
{
    static const struct {
        const char *word;
        sl__expression_kind kind;
    } constants[] = {{"true", SL__E_TRUE}, {"false", SL__E_FALSE}, {"null", SL__E_NULL}};
    static const char *const reserved[] = {"and", "or", "not", "if", "for", "in", "else", "elif", "end"};
    const char *start = s->at;
    sl_view word = sl__read_word(s);
    for (size_t i = 0; i < sl_array_size(constants); i++)
        if (sl_view_equal(word, sl_view_of(constants[i].word)))
            return make(s, constants[i].kind, start);
    for (size_t i = 0; i < sl_array_size(reserved); i++)
        if (sl_view_equal(word, sl_view_of(reserved[i]))) {
            sl__parse_wrong(s, start, NULL, "here a value must stand, not the word \"%s\"", reserved[i]);
            return NULL;
        }
    if (take(s, "(")) {
        if (sl_view_equal(word, SL_VIEW("url")))
            return read_url(s, start);
        sl__parse_wrong(
            s, start,
            "the only function is url(\"route\", variable=value); a filter is written value | filter",
            "there is no function \"%.*s\"", (int)word.size, word.data);
        return NULL;
    }
    sl__expression *expression = make(s, SL__E_NAME, start);
    expression->text = sl_arena_strndup(s->templ->arena, word.data, word.size);
    expression->size = word.size;
    return expression;
}

static sl__expression *read_primary(state *s)
{
    sl__skip_space(s);
    const char *start = s->at;
    if (start < s->end && (*start == '"' || *start == '\'')) {
        size_t size;
        const char *text = sl__read_string(s, &size);
        if (!text)
            return NULL;
        sl__expression *expression = make(s, SL__E_STRING, start);
        expression->text = text;
        expression->size = size;
        return expression;
    }
    if (start < s->end && (isdigit((unsigned char)*start) ||
                           (*start == '-' && start + 1 < s->end && isdigit((unsigned char)start[1]))))
        return read_number(s);
    if (take(s, "(")) {
        sl__expression *inner = read_or(s);
        return inner && close_with(s, ")", start) ? inner : NULL;
    }
    if (start < s->end && (isalpha((unsigned char)*start) || *start == '_'))
        return read_name(s);
    sl__parse_wrong(s, start, "a value is a name, a \"text\", a number, true, false or null",
                    "here a value is missing");
    return NULL;
}

static sl__expression *read_member(state *s, sl__expression *left, const char *at)
{
    if (s->at < s->end && isdigit((unsigned char)*s->at)) {
        sl__expression *index = make(s, SL__E_INTEGER, s->at);
        while (s->at < s->end && isdigit((unsigned char)*s->at) && index->integer < INT32_MAX)
            index->integer = index->integer * 10 + (*s->at++ - '0');
        return make_pair(s, SL__E_INDEX, at, left, index);
    }
    sl_view word = sl__read_word(s);
    if (word.size == 0) {
        sl__parse_wrong(s, at, NULL, "after this dot the name of a member must stand");
        return NULL;
    }
    sl__expression *member = make(s, SL__E_MEMBER, word.data);
    member->left = left;
    member->text = sl_arena_strndup(s->templ->arena, word.data, word.size);
    member->size = word.size;
    return deepen(s, member, left);
}

static sl__expression *read_postfix(state *s)
{
    sl__expression *left = read_primary(s);
    while (left) {
        sl__skip_space(s);
        const char *at = s->at;
        if (take(s, ".")) {
            left = read_member(s, left, at);
        } else if (take(s, "[")) {
            sl__expression *index = read_or(s);
            left = index && close_with(s, "]", at) ? make_pair(s, SL__E_INDEX, at, left, index) : NULL;
        } else {
            break;
        }
    }
    return left;
}

/* ---- Filters ----------------------------------------------------------------------------------------- */

static const struct {
    const char *name;
    unsigned fewest, most;
} filters[SL__FILTER_COUNT] = {
#define FILTER(name, fewest, most) {#name, fewest, most},
    SL__FILTERS(FILTER)
#undef FILTER
};

static sl__expression *read_filter(state *s, sl__expression *left)
{
    sl__skip_space(s);
    const char *start = s->at;
    sl_view word = sl__read_word(s);
    unsigned i = 0;
    while (i < SL__FILTER_COUNT && !sl_view_equal(word, sl_view_of(filters[i].name)))
        i++;
    if (i == SL__FILTER_COUNT) {
        sl__parse_wrong(
            s, start,
            "the filters are raw, default(value), length, upper, lower, json, urlencode, date(format)",
            "there is no filter \"%.*s\"", (int)word.size, word.data);
        return NULL;
    }
    sl__expression *expression = make(s, SL__E_FILTER, start);
    expression->filter = (uint8_t)i;
    expression->left = left;
    sl__skip_space(s);
    const char *open = s->at;
    if (take(s, "(")) {
        if (filters[i].most == 0) {
            sl__parse_wrong(s, open, NULL, "the filter \"%s\" takes no argument", filters[i].name);
            return NULL;
        }
        expression->right = read_or(s);
        if (!expression->right || !close_with(s, ")", open))
            return NULL;
    } else if (filters[i].fewest > 0) {
        sl__parse_wrong(s, start, NULL, "the filter \"%s\" needs an argument: %s(…)", filters[i].name,
                        filters[i].name);
        return NULL;
    }
    return deepen(s, expression, left) ? deepen(s, expression, expression->right) : NULL;
}

static sl__expression *read_filtered(state *s)
{
    sl__expression *left = read_postfix(s);
    while (left && take(s, "|"))
        left = read_filter(s, left);
    return left;
}

/* ---- Operators --------------------------------------------------------------------------------------- */

static sl__expression *read_comparison(state *s)
{
    static const struct {
        const char *sign;
        sl__expression_kind kind;
    } signs[] = {{"==", SL__E_EQUAL},         {"!=", SL__E_UNEQUAL}, {"<=", SL__E_LESS_EQUAL},
                 {">=", SL__E_GREATER_EQUAL}, {"<", SL__E_LESS},     {">", SL__E_GREATER}};
    sl__expression *left = read_filtered(s);
    if (!left)
        return NULL;
    sl__skip_space(s);
    const char *at = s->at;
    for (size_t i = 0; i < sl_array_size(signs); i++)
        if (take(s, signs[i].sign))
            return make_pair(s, signs[i].kind, at, left, read_filtered(s));
    if (at < s->end && *at == '=') {
        sl__parse_wrong(s, at, "two values are compared with ==", "a single \"=\" means nothing here");
        return NULL;
    }
    return left;
}

static sl__expression *read_not(state *s)
{
    sl__skip_space(s);
    const char *at = s->at;
    unsigned count = 0;
    while (take_word(s, "not"))
        count++;
    sl__expression *operand = read_comparison(s);
    if (!operand || count == 0)
        return operand;
    for (count = count % 2 ? 1 : 2; operand && count > 0; count--) {
        sl__expression *expression = make(s, SL__E_NOT, at);
        expression->left = operand;
        operand = deepen(s, expression, operand);
    }
    return operand;
}

static sl__expression *read_chain(state *s, const char *word, sl__expression_kind kind,
                                  sl__expression *(*read)(state *))
{
    sl__expression *left = read(s);
    while (left) {
        sl__skip_space(s);
        const char *at = s->at;
        if (!take_word(s, word))
            break;
        left = make_pair(s, kind, at, left, read(s));
    }
    return left;
}

static sl__expression *read_and(state *s)
{
    return read_chain(s, "and", SL__E_AND, read_not);
}

static sl__expression *read_or(state *s)
{
    if (s->nesting++ > SL__TEMPLATE_NESTING) {
        sl__parse_wrong(s, s->at, NULL, "more than %d parentheses or blocks in one another",
                        SL__TEMPLATE_NESTING);
        return NULL;
    }
    sl__expression *expression = read_chain(s, "or", SL__E_OR, read_and);
    s->nesting--;
    return expression;
}

sl__expression *sl__parse_expression(state *s)
{
    sl__skip_space(s);
    return read_or(s);
}
