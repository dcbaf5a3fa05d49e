/* text.c: what people type, made fit to keep and to show. */
#include "text.h"

#include <ctype.h>

/* The character at *text, which moves on. The text is valid UTF-8. */
static uint32_t next_character(const char **text)
{
    const unsigned char *c = (const unsigned char *)*text;
    int more = *c < 0x80 ? 0 : *c < 0xe0 ? 1 : *c < 0xf0 ? 2 : 3;
    uint32_t character = more ? *c & (0x3f >> more) : *c;
    for (int i = 1; i <= more; i++)
        character = character << 6 | (c[i] & 0x3f);
    *text += 1 + more;
    return character;
}

static size_t length_of(const char *text)
{
    size_t length = 0;
    while (*text) {
        next_character(&text);
        length++;
    }
    return length;
}

static bool is_control(uint32_t c)
{
    return c < 0x20 || (c >= 0x7f && c < 0xa0);
}

/* Characters that cannot be seen, or that turn the direction of what follows: in a name they would let
 * somebody pass for somebody else. */
static bool is_hidden(uint32_t c, uint32_t before)
{
    /* It makes a picture of a sign that is one of text otherwise: ☀️. */
    if (c == 0xfe0f && ((before >= 0x2000 && before < 0x3000) || before >= 0x1f000))
        return false;
    static const struct {
        uint32_t from, to;
    } hidden[] = {
        {0xad, 0xad},       {0x34f, 0x34f},     {0x61c, 0x61c},   {0x115f, 0x1160}, {0x17b4, 0x17b5},
        {0x180b, 0x180f},   {0x200b, 0x200f},   {0x2028, 0x202e}, {0x2060, 0x206f}, {0x2800, 0x2800},
        {0x3164, 0x3164},   {0xfe00, 0xfe0f},   {0xfeff, 0xfeff}, {0xffa0, 0xffa0}, {0xfff9, 0xfffb},
        {0x1d173, 0x1d17a}, {0xe0000, 0xe0fff},
    };
    for (size_t i = 0; i < sl_array_size(hidden); i++)
        if (c >= hidden[i].from && c <= hidden[i].to)
            return true;
    return false;
}

static bool is_space(uint32_t c)
{
    return c == ' ' || (c >= '\t' && c <= '\r') || c == 0xa0 || c == 0x1680 || (c >= 0x2000 && c <= 0x200a) ||
           c == 0x202f || c == 0x205f || c == 0x3000;
}

/* ---- Tidying ----------------------------------------------------------------------------------------- */

const char *tidy_line(const char *text)
{
    const char *from = text ?: "";
    char *line = sl_alloc(strlen(from) + 1), *to = line;
    bool space = false;
    while (*from) {
        const char *start = from;
        if (is_space(next_character(&from))) {
            space = to > line;
            continue;
        }
        if (space)
            *to++ = ' ';
        space = false;
        memcpy(to, start, (size_t)(from - start));
        to += from - start;
    }
    *to = 0;
    return line;
}

const char *tidy_lines(const char *text)
{
    const char *from = text ?: "";
    char *lines = sl_alloc(strlen(from) + 1), *to = lines, *end = lines;
    while (*from) {
        const char *start = from;
        uint32_t c = next_character(&from);
        if ((is_control(c) && c != '\n' && c != '\t') || (is_space(c) && to == lines))
            continue; /* "\r" is gone here, and so is what the text began with */
        memcpy(to, start, (size_t)(from - start));
        to += from - start;
        if (!is_space(c))
            end = to;
    }
    *end = 0;
    return lines;
}

/* ---- Checking ---------------------------------------------------------------------------------------- */

const char *wrong_name(const char *name)
{
    if (!*name)
        return "Please say what you are called.";
    if (length_of(name) > NAME_LIMIT)
        return sl_printf("A name may have %d characters; this one has %zu.", NAME_LIMIT, length_of(name));
    uint32_t before = 0;
    for (const char *at = name; *at;) {
        uint32_t c = next_character(&at);
        if (is_control(c) || is_hidden(c, before))
            return "This name has characters in it that nobody can see. Please type it again.";
        before = c;
    }
    return NULL;
}

/* A room's name stands in addresses, so it keeps to what reads well there. */
const char *wrong_room(const char *room)
{
    if (!*room)
        return "Please give the room a name.";
    if (length_of(room) > ROOM_LIMIT)
        return sl_printf("A room's name may have %d characters; this one has %zu.", ROOM_LIMIT,
                         length_of(room));
    bool letters = false;
    uint32_t before = 0;
    for (const char *at = room; *at;) {
        uint32_t c = next_character(&at);
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c > 0xa0;
        if ((!letter && !strchr(" -_", (int)c)) || is_control(c) || is_hidden(c, before))
            return "A room's name is made of letters, digits, spaces, - and _.";
        letters |= letter;
        before = c;
    }
    return letters ? NULL : "A room's name needs a letter or a digit.";
}

const char *wrong_body(const char *body)
{
    if (!*body)
        return "There is nothing in this message yet.";
    if (length_of(body) > BODY_LIMIT)
        return sl_printf("A message may have %d characters; this one has %zu.", BODY_LIMIT, length_of(body));
    return NULL;
}

const char *check_name(sl_value *name)
{
    name->text = sl_view_of(tidy_line(name->text.data));
    return wrong_name(name->text.data);
}

const char *check_room(sl_value *room)
{
    room->text = sl_view_of(tidy_line(room->text.data));
    return wrong_room(room->text.data);
}

const char *check_body(sl_value *body)
{
    body->text = sl_view_of(tidy_lines(body->text.data));
    return wrong_body(body->text.data);
}

/* ---- Showing ----------------------------------------------------------------------------------------- */

int colour_of(const char *name)
{
    uint32_t hash = 2166136261u; /* FNV-1a */
    for (; *name; name++)
        hash = (hash ^ (unsigned char)*name) * 16777619u;
    return (int)((hash ^ hash >> 16) % COLOURS);
}

/* Where the link that begins at `text` ends: a full stop or a bracket after it belongs to the sentence around
 * it. Gives `text` itself where no link begins. */
static const char *end_of_link(const char *text)
{
    size_t scheme = strncmp(text, "https://", 8) == 0 ? 8 : strncmp(text, "http://", 7) == 0 ? 7 : 0;
    if (!scheme)
        return text;
    const char *end = text + scheme + strcspn(text + scheme, " \t\n<>\"`{}|\\^");
    const char *open = memchr(text, '(', (size_t)(end - text));
    while (end > text + scheme && strchr(".,;:!?'*_)]", end[-1])) {
        if (end[-1] == ')' && open && open < end)
            break;
        end--;
    }
    return end > text + scheme ? end : text;
}

static void add_piece(json_t *pieces, const char *start, const char *end, bool link)
{
    if (end > start)
        json_array_append_new(pieces,
                              json_pack("{s:s%, s:b}", "text", start, (size_t)(end - start), "link", link));
}

json_t *pieces_of(const char *body)
{
    json_t *pieces = json_array();
    const char *plain = body, *at = body;
    while ((at = strstr(at, "http"))) {
        bool in_word = at > body && isalnum((unsigned char)at[-1]);
        const char *end = in_word ? at : end_of_link(at);
        if (end > at) {
            add_piece(pieces, plain, at, /* link= */ false);
            add_piece(pieces, at, end, /* link= */ true);
            plain = end;
        }
        at = end > at ? end : at + 4;
    }
    add_piece(pieces, plain, body + strlen(body), /* link= */ false);
    return pieces;
}
