/* template_parse.c: cuts a template at its tags and makes the tree.
 *
 * Text runs until the next "{{", "{%" or "{#". A dash inside a tag ("{%-", "-%}") removes the white space on
 * that side. The tags that open a body call parse_nodes for it, which returns at the tag that ends it: end,
 * else or elif. */

#include "web/template.h"

typedef enum ending {
    END_OF_TEXT,
    END_TAG,
    END_ELSE,
    END_ELIF,
} ending;

typedef struct parser {
    sl__parser_state s;
    bool trim; /* the tag before ended with a dash */
} parser;

/* The tags that need an end, while they are open. */
typedef struct opener {
    const char *at;
    const char *word;
} opener;

static sl__node *parse_nodes(parser *p, const opener *inside, ending *ret_ending);

/* ---- Places ------------------------------------------------------------------------------------------ */

sl_error *sl__template_error(const sl_site *site, const sl__template *templ, size_t offset,
                             const char *format, ...)
{
    SL_CLEANUP(sl_buffer_done) sl_buffer message = {0};
    va_list arguments;
    va_start(arguments, format);
    sl_buffer_vprintf(&message, format, arguments);
    va_end(arguments);

    if (offset > templ->size)
        offset = templ->size;
    const char *start = templ->source, *at = templ->source + offset;
    unsigned line = 1;
    for (const char *c = templ->source; c < at; c++)
        if (*c == '\n') {
            line++;
            start = c + 1;
        }
    unsigned column = 1;
    for (const char *c = start; c < at; c++)
        if (((unsigned char)*c & 0xC0) != 0x80)
            column++;
    sl_error *error =
        sl__error_new(site, SL_ETEMPLATE, "templates/%s:%u:%u: %s", templ->name, line, column, message.data);

    SL_CLEANUP(sl_buffer_done) sl_buffer shown = {0};
    size_t size = strcspn(start, "\r\n");
    sl_buffer_printf(&shown, "%5u | %.*s\n      | ", line, (int)(size < 400 ? size : 400), start);
    for (const char *c = start; c < at && c < start + 400; c++)
        if (*c == '\t' || ((unsigned char)*c & 0xC0) != 0x80)
            sl_buffer_putc(&shown, *c == '\t' ? '\t' : ' ');
    sl_buffer_puts(&shown, "^");
    return sl_error_detail(error, shown.data, shown.size);
}

/* ---- Tags -------------------------------------------------------------------------------------------- */

static sl__node *make_node(parser *p, sl__template_node_kind kind, const char *at)
{
    sl__node *node = sl_arena_zalloc(p->s.templ->arena, sizeof(*node));
    node->kind = (uint8_t)kind;
    node->offset = (uint32_t)(at - p->s.templ->source);
    return node;
}

/* Expects the end of a tag: "%}" or "-%}". */
static bool close_tag(parser *p, const char *open, const char *sign)
{
    sl__skip_space(&p->s);
    const char *at = p->s.at;
    bool dash = at < p->s.end && *at == '-';
    if (p->s.end - (at + dash) >= 2 && memcmp(at + dash, sign, 2) == 0) {
        p->s.at = at + dash + 2;
        p->trim = dash;
        return true;
    }
    if (at >= p->s.end)
        return sl__parse_wrong(&p->s, open, NULL, "this tag is not closed with \"%s\"", sign);
    return sl__parse_wrong(&p->s, at, NULL, "here \"%s\" was expected", sign);
}

static bool skip_comment(parser *p)
{
    const char *open = p->s.at;
    const char *close = memmem(open + 2, (size_t)(p->s.end - open - 2), "#}", 2);
    if (!close)
        return sl__parse_wrong(&p->s, open, NULL, "this comment is not closed with \"#}\"");
    p->trim = close > open + 2 && close[-1] == '-';
    p->s.at = close + 2;
    return true;
}

static sl__node *parse_print(parser *p)
{
    const char *open = p->s.at;
    p->s.at += 2;
    if (p->s.at < p->s.end && *p->s.at == '-')
        p->s.at++;
    sl__node *node = make_node(p, SL__NODE_PRINT, open);
    node->print = sl__parse_expression(&p->s);
    return node->print && close_tag(p, open, "}}") ? node : NULL;
}

static bool enter(parser *p, const char *at)
{
    if (p->s.nesting++ >= SL__TEMPLATE_NESTING)
        return sl__parse_wrong(&p->s, at, "move an inner part to a file of its own, and include it",
                               "more than %d blocks in one another", SL__TEMPLATE_NESTING);
    return true;
}

static sl__node *parse_if(parser *p, const char *open)
{
    sl__node *node = make_node(p, SL__NODE_IF, open);
    sl__branch **tail = &node->branches;
    opener here = {open, "if"};
    ending how = END_ELIF;
    if (!enter(p, open))
        return NULL;
    while (how != END_TAG) {
        sl__branch *branch = sl_arena_zalloc(p->s.templ->arena, sizeof(*branch));
        *tail = branch;
        tail = &branch->next;
        if (how == END_ELIF && !(branch->condition = sl__parse_expression(&p->s)))
            return NULL;
        bool last = how == END_ELSE;
        if (!close_tag(p, open, "%}"))
            return NULL;
        branch->body = parse_nodes(p, &here, &how);
        if (p->s.error)
            return NULL;
        if (last && how != END_TAG) {
            sl__parse_wrong(&p->s, p->s.at, NULL, "after \"else\" only \"end\" can follow");
            return NULL;
        }
    }
    p->s.nesting--;
    return close_tag(p, open, "%}") ? node : NULL;
}

static const char *read_variable(parser *p)
{
    sl__skip_space(&p->s);
    const char *at = p->s.at;
    sl_view word = sl__read_word(&p->s);
    if (word.size == 0 || sl_view_equal(word, SL_VIEW("in")) || sl_view_equal(word, SL_VIEW("loop"))) {
        sl__parse_wrong(&p->s, at, "write {% for room in rooms %}, or {% for key, value in object %}",
                        "here the name of a variable must stand");
        return NULL;
    }
    return sl_arena_strndup(p->s.templ->arena, word.data, word.size);
}

static bool read_for_head(parser *p, sl__node *node)
{
    if (!(node->loop.item = read_variable(p)))
        return false;
    sl__skip_space(&p->s);
    if (p->s.at < p->s.end && *p->s.at == ',') {
        p->s.at++;
        node->loop.key = node->loop.item;
        if (!(node->loop.item = read_variable(p)))
            return false;
    }
    sl__skip_space(&p->s);
    const char *at = p->s.at;
    if (!sl_view_equal(sl__read_word(&p->s), SL_VIEW("in")))
        return sl__parse_wrong(&p->s, at, "write {% for room in rooms %}", "here the word \"in\" is missing");
    node->loop.sequence = sl__parse_expression(&p->s);
    return node->loop.sequence;
}

static sl__node *parse_for(parser *p, const char *open)
{
    sl__node *node = make_node(p, SL__NODE_FOR, open);
    opener here = {open, "for"};
    ending how;
    if (!enter(p, open) || !read_for_head(p, node) || !close_tag(p, open, "%}"))
        return NULL;
    node->loop.body = parse_nodes(p, &here, &how);
    if (p->s.error)
        return NULL;
    if (how == END_ELSE) {
        if (!close_tag(p, open, "%}"))
            return NULL;
        node->loop.otherwise = parse_nodes(p, &here, &how);
        if (p->s.error)
            return NULL;
    }
    if (how != END_TAG) {
        sl__parse_wrong(&p->s, p->s.at, NULL, "a \"for\" has at most one \"else\", and then \"end\"");
        return NULL;
    }
    p->s.nesting--;
    return close_tag(p, open, "%}") ? node : NULL;
}

/* The literal name of a file. */
static const char *read_file_name(parser *p, const char *word)
{
    size_t size;
    const char *name = sl__read_string(&p->s, &size);
    if (!name)
        sl__parse_wrong(&p->s, p->s.at, NULL, "after \"%s\" the name of a file must stand in quotes", word);
    return name;
}

static sl__node *parse_include(parser *p, const char *open)
{
    sl__node *node = make_node(p, SL__NODE_INCLUDE, open);
    node->include = read_file_name(p, "include");
    return node->include && close_tag(p, open, "%}") ? node : NULL;
}

static sl__node *parse_block(parser *p, const char *open)
{
    sl__template *templ = p->s.templ;
    sl__skip_space(&p->s);
    sl_view word = sl__read_word(&p->s);
    if (word.size == 0) {
        sl__parse_wrong(&p->s, p->s.at, "write {% block title %} … {% end %}",
                        "here the name of the block is missing");
        return NULL;
    }
    sl__node *node = make_node(p, SL__NODE_BLOCK, open);
    sl__block *block = sl_arena_zalloc(templ->arena, sizeof(*block));
    block->name = sl_arena_strndup(templ->arena, word.data, word.size);
    block->offset = node->offset;
    for (const sl__block *other = templ->blocks; other; other = other->next)
        if (strcmp(other->name, block->name) == 0) {
            sl__parse_wrong(&p->s, word.data, NULL, "there is a block \"%s\" in this file already",
                            block->name);
            return NULL;
        }
    block->next = templ->blocks;
    templ->blocks = block;
    node->block = block;

    opener here = {open, "block"};
    ending how;
    if (!enter(p, open) || !close_tag(p, open, "%}"))
        return NULL;
    block->body = parse_nodes(p, &here, &how);
    if (p->s.error)
        return NULL;
    if (how != END_TAG) {
        sl__parse_wrong(&p->s, p->s.at, NULL, "a block has no \"else\"");
        return NULL;
    }
    p->s.nesting--;
    return close_tag(p, open, "%}") ? node : NULL;
}

static bool parse_extends(parser *p, const char *open, bool first)
{
    sl__template *templ = p->s.templ;
    if (templ->extends || !first)
        return sl__parse_wrong(&p->s, open, NULL,
                               "\"extends\" stands once, before everything else in the file");
    templ->extends_offset = (uint32_t)(open - templ->source);
    templ->extends = read_file_name(p, "extends");
    return templ->extends && close_tag(p, open, "%}");
}

static void unknown_tag(parser *p, const char *at, sl_view word)
{
    static const char *const endings[] = {"endif", "endfor", "endblock", "endextends"};
    for (size_t i = 0; i < sl_array_size(endings); i++)
        if (sl_view_equal(word, sl_view_of(endings[i]))) {
            sl__parse_wrong(&p->s, at, "write {% end %}", "there is no \"%s\": all blocks are closed alike",
                            endings[i]);
            return;
        }
    if (sl_view_equal(word, SL_VIEW("elseif")) || sl_view_equal(word, SL_VIEW("elsif"))) {
        sl__parse_wrong(&p->s, at, NULL, "it is written \"elif\" here");
        return;
    }
    sl__parse_wrong(&p->s, at, "the tags are if, elif, else, for, include, extends, block and end",
                    "there is no tag \"%.*s\"", (int)word.size, word.data);
}

/* ---- Bodies ------------------------------------------------------------------------------------------ */

static bool is_blank(const char *data, size_t size)
{
    for (size_t i = 0; i < size; i++)
        if (!strchr(" \t\r\n", data[i]) || !data[i])
            return false;
    return true;
}

/* The text up to the next tag, or NULL where there is none to show. */
static sl__node *parse_text(parser *p)
{
    const char *start = p->s.at, *at = start;
    while (at < p->s.end) {
        at = memchr(at, '{', (size_t)(p->s.end - at));
        if (!at || at + 1 >= p->s.end) {
            at = p->s.end;
            break;
        }
        if (at[1] == '{' || at[1] == '%' || at[1] == '#')
            break;
        at++;
    }
    p->s.at = at;
    sl_view text = {start, (size_t)(at - start)};
    if (p->trim)
        while (text.size && is_blank(text.data, 1)) {
            text.data++;
            text.size--;
        }
    p->trim = false;
    if (at + 2 < p->s.end && at[2] == '-')
        while (text.size && is_blank(text.data + text.size - 1, 1))
            text.size--;
    if (text.size == 0)
        return NULL;
    sl__node *node = make_node(p, SL__NODE_TEXT, text.data);
    node->text.data = text.data;
    node->text.size = text.size;
    return node;
}

/* A tag that stands for itself: NULL with an error, or with *ret_ending where it ends the body. */
static sl__node *parse_tag(parser *p, const opener *inside, bool first, ending *ret_ending)
{
    const char *open = p->s.at;
    p->s.at += 2;
    if (p->s.at < p->s.end && *p->s.at == '-')
        p->s.at++;
    sl__skip_space(&p->s);
    const char *at = p->s.at;
    sl_view word = sl__read_word(&p->s);
    if (sl_view_equal(word, SL_VIEW("if")))
        return parse_if(p, open);
    if (sl_view_equal(word, SL_VIEW("for")))
        return parse_for(p, open);
    if (sl_view_equal(word, SL_VIEW("include")))
        return parse_include(p, open);
    if (sl_view_equal(word, SL_VIEW("block")))
        return parse_block(p, open);
    if (sl_view_equal(word, SL_VIEW("extends"))) {
        if (inside)
            sl__parse_wrong(&p->s, open, NULL, "\"extends\" stands once, before everything else in the file");
        else
            parse_extends(p, open, first);
        return NULL;
    }
    if (sl_view_equal(word, SL_VIEW("end")))
        *ret_ending = END_TAG;
    else if (sl_view_equal(word, SL_VIEW("else")))
        *ret_ending = END_ELSE;
    else if (sl_view_equal(word, SL_VIEW("elif")))
        *ret_ending = END_ELIF;
    else
        unknown_tag(p, at, word);
    if (!inside && !p->s.error)
        sl__parse_wrong(&p->s, at, NULL, "\"%.*s\" without something that it belongs to", (int)word.size,
                        word.data);
    return NULL;
}

/* What a template that extends another says outside of its blocks would never be seen. */
static bool check_outside(parser *p, const sl__node *node)
{
    if (!p->s.templ->extends || node->kind == SL__NODE_BLOCK ||
        (node->kind == SL__NODE_TEXT && is_blank(node->text.data, node->text.size)))
        return true;
    const char *at = p->s.templ->source + node->offset;
    while (node->kind == SL__NODE_TEXT && is_blank(at, 1))
        at++;
    return sl__parse_wrong(&p->s, at, "put it into a block of the extended template",
                           "this stands outside of any block, so it would never be shown");
}

static sl__node *parse_nodes(parser *p, const opener *inside, ending *ret_ending)
{
    sl__node *first = NULL, **tail = &first;
    bool seen = false; /* something that "extends" cannot follow */
    *ret_ending = END_OF_TEXT;
    while (p->s.at < p->s.end && !p->s.error) {
        sl__node *node = parse_text(p);
        if (!node && p->s.at < p->s.end) {
            if (p->s.at[1] == '#') {
                skip_comment(p);
                continue;
            }
            node = p->s.at[1] == '{' ? parse_print(p) : parse_tag(p, inside, !seen, ret_ending);
            if (*ret_ending != END_OF_TEXT || p->s.error)
                return first;
        }
        if (!node)
            continue;
        if (!inside && !check_outside(p, node))
            return first;
        seen = seen || node->kind != SL__NODE_TEXT || !is_blank(node->text.data, node->text.size);
        *tail = node;
        tail = &node->next;
    }
    if (inside && !p->s.error)
        sl__parse_wrong(&p->s, inside->at, NULL, "this \"%s\" has no {%% end %%}", inside->word);
    return first;
}

int sl__template_parse(const sl_site *site, const char *name, const char *source, size_t size,
                       sl__template **ret_template, sl_error **ret_error)
{
    sl_arena *arena = sl_arena_new();
    sl__template *templ = sl_arena_zalloc(arena, sizeof(*templ));
    templ->arena = arena;
    templ->name = sl_arena_strdup(arena, name);
    templ->source = sl_arena_strndup(arena, source, size);
    templ->size = size;
    parser p = {.s = {.site = site, .templ = templ, .at = templ->source, .end = templ->source + size}};
    ending how;
    if (sl_utf8_valid(source, size))
        templ->nodes = parse_nodes(&p, NULL, &how);
    else
        p.s.error = sl__error_new(site, SL_ETEMPLATE, "templates/%s is not UTF-8", name);
    if (p.s.error) {
        *ret_error = p.s.error;
        sl__template_free(templ);
        return SL_ETEMPLATE;
    }
    *ret_template = templ;
    return 0;
}

sl__template *sl__template_free(sl__template *templ)
{
    if (templ)
        sl_arena_free(templ->arena);
    return NULL;
}
