/* What splitting a script into its statements promises: each is one statement when it is split again, none is
 * empty, and each begins at the line that is said. In both dialects. */
#include "store/sql_split.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void hold(bool promise)
{
    if (!promise)
        abort();
}

/* Tokens follow each other and end at the end. */
static void check_tokens(sl__dialect dialect, sl_view text, sl_arena *arena)
{
    sl__sql_reader reader = sl__sql_read(dialect, text);
    const char *before = text.data;
    for (;;) {
        sl__sql_token token = sl__sql_next(&reader);
        hold(token.text.data >= before && token.text.data + token.text.size <= text.data + text.size);
        before = token.text.data + token.text.size;
        if (token.kind == SL__SQL_END || token.kind == SL__SQL_BROKEN)
            break;
        hold(token.text.size > 0 && token.line >= 1);
        hold(strlen(sl__sql_unquoted(&token, arena)) <= token.text.size);
    }
    hold(before == text.data + text.size);
}

static unsigned line_of(sl_view text, const char *place)
{
    unsigned line = 1;
    for (const char *at = text.data; at < place; at++)
        line += *at == '\n';
    return line;
}

static void check_script(sl__dialect dialect, sl_view text)
{
    sl_arena *arena = sl_arena_new();
    sl__sql_parts parts, again;
    unsigned line = 0, ignored;
    sl_error *error = sl__sql_split(dialect, text, arena, &parts, &line);
    if (error) {
        hold(line >= 1 && line <= line_of(text, text.data + text.size));
        sl_error_unref(error);
        parts.count = 0;
    }
    for (size_t i = 0; i < parts.count; i++) {
        const char *part = parts.items[i].text;
        hold(*part && (i == 0 || parts.items[i].line >= parts.items[i - 1].line));
        error = sl__sql_split(dialect, sl_view_of(part), arena, &again, &ignored);
        hold(!error && again.count == 1 && strcmp(again.items[0].text, part) == 0 &&
             again.items[0].line == 1);
    }
    check_tokens(dialect, text, arena);
    sl_arena_free(arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (memchr(data, '\0', size)) /* is refused before */
        return 0;
    char *text = sl_malloc(size + 1);
    memcpy(text, data, size);
    text[size] = '\0';
    check_script(SL__SQLITE, (sl_view){text, size});
    check_script(SL__POSTGRES, (sl_view){text, size});
    free(text);
    return 0;
}
