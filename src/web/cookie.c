/* cookie.c: RFC 6265. What we send is strict, as section 4.1 has it; what comes is read as servers must
 * (section 4.2 with the leniency of 5.2): a piece that makes no sense is passed over and does not spoil the
 * others.
 *
 * What a value cannot hold is sent as %XX, and so is the percent sign itself: each value that we set comes
 * back as it was. A value that we cannot have sent, because a % in it begins no such code or the codes give
 * no text, was set by somebody else and is given as it is. */

#include "http/scan.h"
#include "web/state.h"

#include <ctype.h>
#include <stdlib.h>
#include <strings.h>

#define COOKIE_SIZE_MAX 4096 /* browsers drop what is larger (section 6.1) */
#define COOKIES_MAX 100

/* ---- In ---------------------------------------------------------------------------------------------- */

/* A character, decoded; *text moves on. Negative: a % begins no code. */
static int next_character(const char **text)
{
    const char *at = *text;
    if (*at != '%') {
        *text += 1;
        return (uint8_t)*at;
    }
    int high = sl__hex(at[1]), low = high < 0 ? -1 : sl__hex(at[2]);
    *text += 3;
    return low < 0 ? -1 : high << 4 | low;
}

static sl_view decode_value(sl_arena *arena, sl_view value)
{
    const char *raw = sl_arena_strndup(arena, value.data, value.size), *from = raw;
    char *text = sl_arena_alloc(arena, value.size + 1), *to = text;
    while (*from) {
        int c = next_character(&from);
        if (c <= 0)
            return (sl_view){raw, value.size};
        *to++ = (char)c;
    }
    *to = 0;
    sl_view decoded = {text, (size_t)(to - text)};
    return sl_utf8_valid(decoded.data, decoded.size) ? decoded : (sl_view){raw, value.size};
}

static void read_cookie(sl_arena *arena, sl_view piece, sl__pairs *cookies)
{
    const char *equals = piece.size ? memchr(piece.data, '=', piece.size) : NULL;
    if (!equals || cookies->count == COOKIES_MAX)
        return;
    sl_view name = sl_view_trim((sl_view){piece.data, (size_t)(equals - piece.data)}, " \t");
    sl_view value =
        sl_view_trim((sl_view){equals + 1, (size_t)(piece.data + piece.size - equals - 1)}, " \t");
    if (value.size >= 2 && value.data[0] == '"' && value.data[value.size - 1] == '"')
        value = (sl_view){value.data + 1, value.size - 2};
    if (name.size == 0 || !sl_utf8_valid(name.data, name.size) || !sl_utf8_valid(value.data, value.size))
        return;
    value = decode_value(arena, value);
    cookies->items[cookies->count++] =
        (sl__pair){sl_arena_strndup(arena, name.data, name.size), value.data, name.size, value.size};
}

static sl__pairs *read_cookies(sl_request *req)
{
    sl__pairs *cookies = sl_arena_zalloc(req->arena, sizeof(*cookies));
    const char *name;
    for (size_t i = 0; i < sl_header_count(req); i++) {
        const char *line = sl_header_at(req, i, &name);
        if (strcasecmp(name, "Cookie") != 0)
            continue;
        if (!cookies->items)
            cookies->items = sl_arena_alloc(req->arena, COOKIES_MAX * sizeof(*cookies->items));
        while (*line) {
            size_t size = strcspn(line, ";");
            read_cookie(req->arena, (sl_view){line, size}, cookies);
            line += size + (line[size] == ';');
        }
    }
    return cookies;
}

const char *sl_cookie(sl_request *req, const char *name)
{
    sl__web *web = sl__web_get(req);
    if (!web->cookies)
        web->cookies = read_cookies(req);
    return sl__pairs_value(web->cookies, name, 0);
}

/* ---- Out --------------------------------------------------------------------------------------------- */

static bool is_token(const char *text)
{
    for (const char *c = text; *c; c++)
        if (!isalnum((unsigned char)*c) && !strchr("!#$%&'*+-.^_`|~", *c))
            return false;
    return text[0] != 0;
}

static void put_value(sl_buffer *out, const char *text)
{
    for (const char *c = text; *c; c++)
        if (*c <= ' ' || *c >= 0x7f || strchr("\",;\\%", *c))
            sl_buffer_printf(out, "%%%02X", (uint8_t)*c);
        else
            sl_buffer_putc(out, *c);
}

static bool is_attribute(const char *text)
{
    for (const char *c = text; *c; c++)
        if (*c < ' ' || *c >= 0x7f || *c == ';')
            return false;
    return true;
}

/* NULL, or what is wrong. */
static const char *check_cookie(const char *name, const char *value, const sl_cookie_options *options,
                                bool secure)
{
    const char *same_site = options->same_site ? options->same_site : "Lax";
    if (!is_token(name))
        return "its name is not a token (letters, digits and !#$%&'*+-.^_`|~)";
    if (!sl_utf8_valid(value, strlen(value)))
        return "its value is not UTF-8";
    if ((options->path && (!is_attribute(options->path) || options->path[0] != '/')) ||
        (options->domain && !is_attribute(options->domain)))
        return "its path (which starts with a slash) or domain has a character that they may not have";
    if (strcmp(same_site, "Strict") != 0 && strcmp(same_site, "Lax") != 0 && strcmp(same_site, "None") != 0)
        return "same_site is \"Strict\", \"Lax\" or \"None\"";
    if (strcmp(same_site, "None") == 0 && !secure)
        return "browsers take same_site \"None\" with Secure only: over https, and without .insecure";
    if (strncmp(name, "__Secure-", 9) == 0 && !secure)
        return "browsers take a name with __Secure- with Secure only: over https, and without .insecure";
    if (strncmp(name, "__Host-", 7) == 0 &&
        (!secure || options->domain || (options->path && strcmp(options->path, "/") != 0)))
        return "browsers take a name with __Host- with Secure, the path \"/\" and no domain only";
    return NULL;
}

/* Whether a Set-Cookie line is for this name and place ("; Path=/; Domain=example.org"). */
static bool is_same_cookie(const char *line, const char *name, const char *place)
{
    size_t name_size = strlen(name), place_size = strlen(place);
    if (strncmp(line, name, name_size) != 0 || line[name_size] != '=')
        return false;
    const char *rest = line + strcspn(line, ";");
    if (strncmp(rest, place, place_size) != 0)
        return false;
    rest += place_size; /* more of the path, or a domain, makes it another place */
    return rest[0] == ';' && strncmp(rest, "; Domain=", 9) != 0;
}

/* Drops a cookie that this response sets already, under the same name and with the same place. */
static void drop_earlier(sl_response *res, const char *name, const char *place)
{
    size_t kept = 0;
    for (size_t i = 0; i < res->fields.count; i++) {
        const sl__field *field = &res->fields.items[i];
        if (strcasecmp(field->name, "Set-Cookie") != 0 || !is_same_cookie(field->value, name, place))
            res->fields.items[kept++] = *field;
    }
    res->fields.count = kept;
}

sl_response *sl__set_cookie(const sl_site *site, sl_response *res, const char *name, const char *value,
                            const sl_cookie_options *options)
{
    bool secure = !options->insecure && strcmp(sl_scheme(res->request), "https") == 0;
    const char *what = check_cookie(name, value, options, secure);
    if (what)
        sl__fail(site, SL_EINVAL, "the cookie \"%s\" cannot be set: %s", name, what);

    SL_CLEANUP(sl_buffer_done) sl_buffer place = {0};
    sl_buffer_printf(&place, "; Path=%s", options->path ? options->path : "/");
    if (options->domain)
        sl_buffer_printf(&place, "; Domain=%s", options->domain);
    drop_earlier(res, name, place.data);

    SL_CLEANUP(sl_buffer_done) sl_buffer line = {0};
    sl_buffer_printf(&line, "%s=", name);
    put_value(&line, value);
    if (line.size - 1 > COOKIE_SIZE_MAX)
        sl__fail(
            site, SL_EINVAL,
            "the cookie \"%s\" cannot be set: it is larger than 4096 bytes, which browsers drop: keep the "
            "data here and send its key",
            name);
    sl_buffer_puts(&line, place.data);
    if (options->max_age_s > 0)
        sl_buffer_printf(&line, "; Max-Age=%lld", (long long)options->max_age_s);
    else if (options->max_age_s < 0)
        sl_buffer_puts(&line, "; Max-Age=0; Expires=Thu, 01 Jan 1970 00:00:00 GMT");
    if (secure)
        sl_buffer_puts(&line, "; Secure");
    if (!options->script)
        sl_buffer_puts(&line, "; HttpOnly");
    sl_buffer_printf(&line, "; SameSite=%s", options->same_site ? options->same_site : "Lax");
    return sl_add_header(res, "Set-Cookie", line.data);
}
