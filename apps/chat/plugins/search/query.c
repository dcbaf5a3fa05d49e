/* query.c: what people type into the search field, understood.
 *
 * The text is cut into terms: an optional "-", an optional field, and a word or a phrase in quotes. Words and
 * phrases become strings of an FTS5 expression, in which nothing has a meaning but the quotes around them; so
 * there is nothing to escape, and nothing to inject. */
#include "query.h"
#include "service.h"

#include <time.h>
#include <wctype.h>

enum field {
    TEXT,
    AUTHOR,
    ROOM,
    BEFORE,
    AFTER,
};

static const struct {
    const char *name;
    enum field field;
} fields[] = {{"author:", AUTHOR}, {"room:", ROOM}, {"before:", BEFORE}, {"after:", AFTER}};

struct term {
    bool without, prefix;
    enum field field;
    const char *text; /* in the arena */
};

struct parser {
    sl_arena *arena;
    locale_t letters;
    const char *at;
    struct search_wanted *wanted;
    sl_buffer match, without;
    size_t count;
    bool only_signs; /* there was something, but without letters */
};

/* ---- Characters -------------------------------------------------------------------------------------- */

/* The character at *text, which moves on. The text is valid UTF-8. */
static wint_t next_character(const char **text)
{
    const unsigned char *c = (const unsigned char *)*text;
    int more = *c < 0x80 ? 0 : *c < 0xe0 ? 1 : *c < 0xf0 ? 2 : 3;
    wint_t character = more ? *c & (0x3fu >> more) : *c;
    for (int i = 1; i <= more; i++)
        character = character << 6 | (c[i] & 0x3f);
    *text += 1 + more;
    return character;
}

static size_t put_character(char *out, wint_t c)
{
    if (c < 0x80) {
        out[0] = (char)c;
        return 1;
    }
    size_t more = c < 0x800 ? 1 : c < 0x10000 ? 2 : 3;
    out[0] = (char)(0xff80 >> more | c >> (6 * more));
    for (size_t i = 1; i <= more; i++)
        out[i] = (char)(0x80 | ((c >> (6 * (more - i))) & 0x3f));
    return 1 + more;
}

static bool is_space(wint_t c)
{
    return c <= ' ' || (c >= 0x7f && c <= 0xa0) || (c >= 0x2000 && c <= 0x200a) || c == 0x2028 ||
           c == 0x2029 || c == 0x202f || c == 0x205f || c == 0x3000;
}

/* Telephones make quotes typographic. */
static bool is_quote(wint_t c)
{
    return c == '"' || (c >= 0x201c && c <= 0x201f) || c == 0xab || c == 0xbb;
}

/* Whether there is something in it that can be looked for. */
static bool has_letters(locale_t letters, const char *text)
{
    while (*text)
        if (iswalnum_l(next_character(&text), letters))
            return true;
    return false;
}

locale_t search_letters(void)
{
    locale_t letters = newlocale(LC_CTYPE_MASK, "C.UTF-8", (locale_t)0);
    return letters ? letters : newlocale(LC_CTYPE_MASK, "C", (locale_t)0);
}

const char *search_fold(sl_arena *arena, locale_t letters, const char *name)
{
    char *folded = sl_arena_alloc(arena, 2 * strlen(name) + 1),
         *to = folded; /* a small letter may be longer */
    while (*name)
        to += put_character(to, towlower_l(next_character(&name), letters));
    *to = '\0';
    return folded;
}

/* ---- Terms ------------------------------------------------------------------------------------------- */

static void skip_spaces(struct parser *p)
{
    for (const char *next = p->at; *p->at && is_space(next_character(&next));)
        p->at = next;
}

static enum field take_field(struct parser *p)
{
    for (size_t i = 0; i < sl_array_size(fields); i++) {
        size_t size = strlen(fields[i].name);
        if (strncasecmp(p->at, fields[i].name, size) == 0) {
            p->at += size;
            return fields[i].field;
        }
    }
    return TEXT;
}

/* Up to the next quote, or the end. */
static const char *take_quoted(struct parser *p)
{
    const char *start = p->at, *next = start;
    while (*p->at && !is_quote(next_character(&next)))
        p->at = next;
    const char *text = sl_arena_strndup(p->arena, start, (size_t)(p->at - start));
    p->at = next;
    return text;
}

/* Up to a space or a quote. */
static const char *take_word(struct parser *p, bool *ret_prefix)
{
    const char *start = p->at, *next = start;
    for (wint_t c; *p->at; p->at = next) {
        c = next_character(&next);
        if (is_space(c) || is_quote(c))
            break;
    }
    const char *end = p->at;
    while (end > start && end[-1] == '*')
        end--;
    *ret_prefix = end < p->at && end > start;
    return sl_arena_strndup(p->arena, start, (size_t)(end - start));
}

static bool begins_with_quote(const char *text)
{
    return *text && is_quote(next_character(&text));
}

static bool take_term(struct parser *p, struct term *term)
{
    skip_spaces(p);
    if (!*p->at)
        return false;
    *term = (struct term){0};
    for (; *p->at == '-'; p->at++)
        term->without = true;
    term->field = take_field(p);
    if (begins_with_quote(p->at)) {
        next_character(&p->at);
        term->text = take_quoted(p);
        for (; *p->at == '*'; p->at++)
            term->prefix = true;
    } else {
        term->text = take_word(p, &term->prefix);
    }
    return true;
}

/* ---- What they mean ---------------------------------------------------------------------------------- */

static void say(struct parser *p, const char *format, ...) SL_PRINTF(2, 3);
static void say(struct parser *p, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    p->wanted->wrong = sl_arena_vprintf(p->arena, format, arguments);
    va_end(arguments);
}

static void want_text(struct parser *p, const struct term *term)
{
    if (!has_letters(p->letters, term->text)) {
        p->only_signs = true;
        return;
    }
    sl_buffer *out = term->without ? &p->without : &p->match;
    sl_buffer_printf(out, "%s\"%s\"%s",
                     !out->size      ? ""
                     : term->without ? " OR "
                                     : " AND ",
                     term->text, term->prefix ? " *" : "");
}

static void want_name(struct parser *p, const struct term *term)
{
    const char *field = term->field == AUTHOR ? "author" : "room", *name = term->text;
    if (!*name) {
        say(p, "After “%s:” comes a name, without a space between them: %s:%s", field, field,
            term->field == AUTHOR ? "Ada" : "lobby");
        return;
    }
    struct search_names *names = term->field == AUTHOR
                                     ? (term->without ? &p->wanted->not_authors : &p->wanted->authors)
                                     : (term->without ? &p->wanted->not_rooms : &p->wanted->rooms);
    names->keys[names->count++] = search_fold(p->arena, p->letters, name);
}

/* As many digits as there must be; the text moves on behind them. */
static bool take_number(const char **text, int digits, int *ret_number)
{
    int number = 0;
    for (int i = 0; i < digits; i++, ++*text) {
        if (**text < '0' || **text > '9')
            return false;
        number = 10 * number + (**text - '0');
    }
    *ret_number = number;
    return true;
}

static int64_t begin_of(int year, int month, int day)
{
    struct tm local = {.tm_year = year - 1900, .tm_mon = month - 1, .tm_mday = day, .tm_isdst = -1};
    return (int64_t)mktime(&local) * 1000;
}

static bool is_day(int year, int month, int day)
{
    struct tm date = {.tm_year = year - 1900, .tm_mon = month - 1, .tm_mday = day};
    timegm(&date);
    return date.tm_mon == month - 1 && date.tm_mday == day;
}

/* A day, a month or a year in this server's time zone: when it begins, and when it is over. */
static bool read_date(const char *text, int64_t *ret_begin, int64_t *ret_end)
{
    int year, month = 1, day = 1;
    if (!take_number(&text, 4, &year) || year < 1970)
        return false;
    bool has_month = *text == '-';
    if (has_month && (text++, !take_number(&text, 2, &month)))
        return false;
    bool has_day = has_month && *text == '-';
    if (has_day && (text++, !take_number(&text, 2, &day)))
        return false;
    if (*text || month < 1 || month > 12 || day < 1 || !is_day(year, month, day))
        return false;
    *ret_begin = begin_of(year, month, day);
    *ret_end = has_day     ? begin_of(year, month, day + 1)
               : has_month ? begin_of(year, month + 1, 1)
                           : begin_of(year + 1, 1, 1);
    return true;
}

static void want_time(struct parser *p, const struct term *term)
{
    const char *field = term->field == BEFORE ? "before" : "after";
    int64_t begin, end;
    if (term->without) {
        say(p, "“-%s:” makes no sense: write %s: instead.", field,
            term->field == BEFORE ? "after" : "before");
    } else if (!read_date(term->text, &begin, &end)) {
        say(p, "“%s” is no date. Write %s:2026-11-21, %s:2026-11 or %s:2026.", term->text, field, field,
            field);
    } else if (term->field == BEFORE) {
        p->wanted->until_ms = begin < p->wanted->until_ms ? begin : p->wanted->until_ms;
    } else {
        p->wanted->from_ms = end > p->wanted->from_ms ? end : p->wanted->from_ms;
    }
}

static void want(struct parser *p, const struct term *term)
{
    if (++p->count > SEARCH_TERMS)
        say(p, "This is too much at once: a search may have %d words.", SEARCH_TERMS);
    else if (term->field == TEXT)
        want_text(p, term);
    else if (term->field == AUTHOR || term->field == ROOM)
        want_name(p, term);
    else
        want_time(p, term);
}

static bool says_anything(const struct search_wanted *w)
{
    return w->match || w->authors.count || w->not_authors.count || w->rooms.count || w->not_rooms.count ||
           w->from_ms != INT64_MIN || w->until_ms != INT64_MAX;
}

static const char *kept(struct parser *p, sl_buffer *text)
{
    const char *copy = text->size ? sl_arena_strndup(p->arena, text->data, text->size) : NULL;
    sl_buffer_done(text);
    return copy;
}

static bool is_too_long(const char *text)
{
    size_t length = 0;
    for (; *text && length <= SEARCH_CHARACTERS; length++)
        next_character(&text);
    return length > SEARCH_CHARACTERS;
}

void search_parse(sl_arena *arena, const char *query, struct search_wanted *wanted)
{
    *wanted = (struct search_wanted){.from_ms = INT64_MIN, .until_ms = INT64_MAX};
    struct parser p = {.arena = arena, .at = query, .wanted = wanted};
    if (!sl_utf8_valid(query, strlen(query))) {
        say(&p, "This is not text.");
        return;
    }
    if (is_too_long(query)) {
        say(&p, "This is too long: a search may have %d characters.", SEARCH_CHARACTERS);
        return;
    }
    p.letters = search_letters();
    for (struct term term; !wanted->wrong && take_term(&p, &term);)
        want(&p, &term);
    freelocale(p.letters);
    wanted->match = kept(&p, &p.match);
    wanted->without = kept(&p, &p.without);
    if (wanted->wrong || says_anything(wanted))
        return;
    if (wanted->without)
        say(&p, "Say also what to look for: “-” only leaves messages out.");
    else if (p.only_signs)
        say(&p, "There is no letter and no digit in this, and only those can be looked for.");
    else
        say(&p, "Say what to look for: some words, for instance.");
}
