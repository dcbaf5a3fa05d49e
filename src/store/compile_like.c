/* compile_like.c: conditions on texts as SQL. What the patterns become, and why: like.c. */
#include "store/compile.h"

static void put_text(sl__writer *w, const char *text, size_t size, bool null)
{
    sl_value value = {.kind = SL_KIND_TEXT, .null = null, .text = {text, size}};
    sl__put_parameter(w, &value, NULL, false);
}

/* What SQLite bears in a pattern. */
#define PATTERN_MAX 50000

static char *pattern_room(const sl__writer *w, const sl_node *node)
{
    if (w->dialect == SL__SQLITE && node->value.text.size > PATTERN_MAX / 3)
        sl__senseless(node->site, "look for a part of it", "a pattern of %zu bytes: %d is the most",
                      node->value.text.size, PATTERN_MAX / 3);
    return sl_alloc(SL__LIKE_ROOM(node->value.text.size));
}

static void put_glob(sl__writer *w, const sl_node *node)
{
    char *pattern = pattern_room(w, node);
    size_t size = sl__like_to_glob(node->value.text.data, node->variant, pattern);
    sl__put_node(w, node->operands[0]);
    SL__PUT(w, " GLOB ");
    put_text(w, pattern, size, false);
    /* Were the pattern the parameter itself, SQLite would compile the statement anew for each. */
    SL__PUT(w, " || ''");
}

/* Bounds of what begins as the pattern does, for the index. Gives whether they say all. */
static bool put_range(sl__writer *w, const sl_node *node)
{
    char *start = pattern_room(w, node);
    size_t size = sl__like_start(node->value.text.data, node->variant, start);
    if (size == 0 || node->operands[0]->kind != SL__NODE_COLUMN)
        return false;
    char *after = sl_alloc(size + 2);
    memcpy(after, start, size + 1);
    size_t after_size = sl__like_after(after, size);
    if (after_size == 0)
        return false;
    sl__put_node(w, node->operands[0]);
    SL__PUT(w, " >= ");
    put_text(w, start, size, false);
    SL__PUT(w, " AND ");
    sl__put_node(w, node->operands[0]);
    SL__PUT(w, " < ");
    put_text(w, after, after_size, false);
    if (node->variant == SL__LIKE_PREFIX)
        return true;
    SL__PUT(w, " AND ");
    return false;
}

static void put_like_of(sl__writer *w, const sl_node *node, const char *operator)
{
    char *pattern = node->value.null ? NULL : pattern_room(w, node);
    size_t size = pattern ? sl__like_to_like(node->value.text.data, node->variant, pattern) : 0;
    sl__put_node(w, node->operands[0]);
    sl__puts(w, operator);
    put_text(w, pattern, size, !pattern);
}

static void put_sqlite_like(sl__writer *w, const sl_node *node)
{
    if (node->variant == SL__LIKE_CONTAINS) {
        SL__PUT(w, "instr(");
        sl__put_node(w, node->operands[0]);
        SL__PUT(w, ", ");
        put_text(w, node->value.text.data, node->value.text.size, node->value.null);
        SL__PUT(w, ") > 0");
    } else if (node->variant == SL__LIKE_NOCASE || node->value.null) {
        put_like_of(w, node, " LIKE ");
        SL__PUT(w, " || '' ESCAPE '\\'");
    } else {
        SL__PUT(w, "(");
        if (!put_range(w, node))
            put_glob(w, node);
        SL__PUT(w, ")");
    }
}

void sl__put_like(sl__writer *w, const sl_node *node)
{
    if (w->dialect == SL__SQLITE)
        put_sqlite_like(w, node);
    else
        put_like_of(w, node, node->variant == SL__LIKE_NOCASE ? " ILIKE " : " LIKE ");
}
