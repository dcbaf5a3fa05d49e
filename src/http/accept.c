/* accept.c: lists in field values, their parameters and weights. */
#include "http/accept.h"
#include "http/scan.h"

static bool is_space(char c)
{
    return c == ' ' || c == '\t';
}

bool sl__list_next(const char **cursor, sl_view *ret_element)
{
    const char *at = *cursor;
    while (is_space(*at) || *at == ',')
        at++;
    if (!*at)
        return false;
    const char *start = at;
    for (bool quoted = false; *at && (quoted || *at != ','); at++) {
        if (*at == '"')
            quoted = !quoted;
        else if (quoted && *at == '\\' && at[1])
            at++;
    }
    *cursor = at;
    while (is_space(at[-1]))
        at--;
    *ret_element = (sl_view){start, (size_t)(at - start)};
    return true;
}

bool sl__list_has(const char *list, const char *token)
{
    sl_view element, wanted = sl_view_of(token);
    while (sl__list_next(&list, &element)) {
        if (sl_view_equal_nocase(element, wanted))
            return true;
    }
    return false;
}

/* ---- Parameters ---------------------------------------------------------------------------------------- */

typedef struct parameter {
    sl_view name, value;
    bool quoted;
} parameter;

static const char *skip_spaces(const char *at, const char *end)
{
    while (at < end && is_space(*at))
        at++;
    return at;
}

static const char *skip_token(const char *at, const char *end)
{
    while (at < end && sl__is(*at, SL__CHAR_TOKEN))
        at++;
    return at;
}

/* At the opening quote: where the closing one stands, or NULL. */
static const char *find_quote(const char *at, const char *end)
{
    for (at++; at < end && *at != '"'; at++) {
        if (*at == '\\' && end - at > 1)
            at++;
    }
    return at < end ? at : NULL;
}

/* The next "; name=value" from *cursor: 1, 0 at the end, -1 if it is malformed. */
static int next_parameter(const char **cursor, const char *end, parameter *ret)
{
    const char *at = skip_spaces(*cursor, end);
    if (at < end && *at != ';')
        return -1;
    while (at < end && *at == ';')
        at = skip_spaces(at + 1, end);
    if (at == end)
        return 0;
    const char *name = at;
    at = skip_token(at, end);
    ret->name = (sl_view){name, (size_t)(at - name)};
    if (at == name || at == end || *at != '=')
        return -1;
    at++;
    ret->quoted = at < end && *at == '"';
    const char *value = at, *close = at;
    if (ret->quoted) {
        close = find_quote(at, end);
        if (!close)
            return -1;
        value++;
        at = close + 1;
    } else {
        at = close = skip_token(at, end);
        if (at == value)
            return -1;
    }
    ret->value = (sl_view){value, (size_t)(close - value)};
    *cursor = at;
    at = skip_spaces(at, end);
    return at == end || *at == ';' ? 1 : -1;
}

int sl__parameter(sl_view element, const char *name, sl_view *ret_value, bool *ret_quoted)
{
    const char *end = element.data + element.size;
    const char *at = memchr(element.data, ';', element.size);
    sl_view wanted = sl_view_of(name);
    int count = 0, got = 0;
    parameter one;
    while (at && (got = next_parameter(&at, end, &one)) > 0) {
        if (sl_view_equal_nocase(one.name, wanted)) {
            *ret_value = one.value;
            *ret_quoted = one.quoted;
            count++;
        }
    }
    if (got < 0 || count > 1)
        return SL_EPARSE;
    return count;
}

/* ---- Weights ------------------------------------------------------------------------------------------- */

typedef struct weighted {
    sl_view name;
    int quality;
    bool other; /* it has parameters other than q */
} weighted;

/* A qvalue in thousandths, or -1. */
static int parse_quality(sl_view text)
{
    if (text.size == 0 || text.size > 5 || (text.data[0] != '0' && text.data[0] != '1'))
        return -1;
    int quality = text.data[0] == '1' ? 1000 : 0, unit = 100;
    if (text.size > 1 && text.data[1] != '.')
        return -1;
    for (size_t i = 2; i < text.size; i++, unit /= 10) {
        if (text.data[i] < '0' || text.data[i] > '9')
            return -1;
        quality += (text.data[i] - '0') * unit;
    }
    return quality <= 1000 ? quality : -1;
}

/* The next well-formed element. */
static bool next_weighted(const char **cursor, weighted *ret)
{
    sl_view element;
    while (sl__list_next(cursor, &element)) {
        const char *end = element.data + element.size, *at = element.data;
        while (at < end && *at != ';' && !is_space(*at))
            at++;
        *ret = (weighted){.name = {element.data, (size_t)(at - element.data)}, .quality = 1000};
        parameter one;
        int got, weights = 0;
        while ((got = next_parameter(&at, end, &one)) > 0 && ret->quality >= 0 && weights < 2) {
            if (sl_view_equal_nocase(one.name, SL_VIEW("q"))) {
                weights++;
                ret->quality = one.quoted ? -1 : parse_quality(one.value);
            } else {
                ret->other = true;
            }
        }
        if (got == 0 && ret->name.size > 0 && ret->quality >= 0 && weights < 2)
            return true;
    }
    return false;
}

int sl__accept_quality(const char *field_value, const char *coding)
{
    sl_view wanted = sl_view_of(coding);
    int named = -1, star = -1;
    weighted one;
    while (next_weighted(&field_value, &one)) {
        if (one.other)
            continue;
        if (sl_view_equal_nocase(one.name, wanted))
            named = named < one.quality ? one.quality : named;
        else if (sl_view_equal(one.name, SL_VIEW("*")))
            star = star < one.quality ? one.quality : star;
    }
    if (named >= 0)
        return named;
    if (star >= 0)
        return star;
    return sl_view_equal_nocase(wanted, SL_VIEW("identity")) ? 1 : 0;
}

/* How closely a range names the type: 3 exactly, 2 by its first half, 1 by two stars, 0 not at all. */
static int closeness(sl_view range, sl_view type)
{
    if (sl_view_equal_nocase(range, type))
        return 3;
    if (sl_view_equal(range, SL_VIEW("*/*")))
        return 1;
    const char *slash = memchr(type.data, '/', type.size);
    size_t half = slash ? (size_t)(slash + 1 - type.data) : 0;
    if (half == 0 || range.size != half + 1 || range.data[half] != '*')
        return 0;
    return sl_view_equal_nocase((sl_view){range.data, half}, (sl_view){type.data, half}) ? 2 : 0;
}

int sl__accept_media_quality(const char *field_value, const char *type)
{
    sl_view wanted = sl_view_of(type);
    int best = 0, quality = 0;
    weighted one;
    while (next_weighted(&field_value, &one)) {
        int close = one.other ? 0 : closeness(one.name, wanted);
        if (close > best || (close == best && close > 0 && one.quality > quality)) {
            best = close;
            quality = one.quality;
        }
    }
    return quality;
}
