/* traceback.c: a traceback of Python, as it stands in an error's detail, as frames with their source.
 *
 * The innermost frame comes first: that is where it went wrong. What lies outside the application, and all
 * but the exception that was raised last, can be opened. */

#include "web/state.h"

#include <stdlib.h>

#define FRAMES_MAX 60
#define AROUND 4 /* lines of source before and after */

typedef struct frame {
    sl_view file, function;
    int line;
} frame;

static bool take(sl_view *rest, const char *prefix)
{
    size_t size = strlen(prefix);
    if (rest->size < size || memcmp(rest->data, prefix, size) != 0)
        return false;
    *rest = (sl_view){rest->data + size, rest->size - size};
    return true;
}

/* Reads `  File "src/runner.py", line 12, in index`; of a syntax error the end is missing. */
static bool read_frame(sl_view line, frame *ret)
{
    if (!take(&line, "  File \""))
        return false;
    const char *quote = memmem(line.data, line.size, "\", line ", 8);
    if (!quote)
        return false;
    ret->file = (sl_view){line.data, (size_t)(quote - line.data)};
    char *end;
    long number = strtol(quote + 8, &end, 10);
    if (number < 1 || number > INT32_MAX || end > line.data + line.size)
        return false;
    ret->line = (int)number;
    sl_view rest = {end, (size_t)(line.data + line.size - end)};
    ret->function = take(&rest, ", in ") ? rest : SL_VIEW("the source");
    return true;
}

/* The frames of the last traceback in the text, in its order: how many. */
static size_t read_frames(const char *text, frame frames[static FRAMES_MAX])
{
    size_t count = 0, seen = 0;
    for (const char *at = text; *at;) {
        size_t size = strcspn(at, "\n");
        sl_view line = {at, size};
        if (take(&line, "Traceback (most recent call last):"))
            count = seen = 0;
        else if (read_frame(line, &frames[seen % FRAMES_MAX]))
            count = ++seen < FRAMES_MAX ? seen : FRAMES_MAX;
        at += size + (at[size] == '\n');
    }
    if (seen <= FRAMES_MAX)
        return count;
    frame ordered[FRAMES_MAX]; /* of a recursion, the innermost */
    for (size_t i = 0; i < FRAMES_MAX; i++)
        ordered[i] = frames[(seen + i) % FRAMES_MAX];
    memcpy(frames, ordered, sizeof(ordered));
    return count;
}

/* The path within the application's own sources, or an empty view: what lies in a virtualenv is not its own.
 */
static sl_view own_path(const sl_app *app, sl_view file)
{
    size_t size = strlen(app->directory);
    bool inside = file.size > size && memcmp(file.data, app->directory, size) == 0 && file.data[size] == '/';
    if (inside)
        file = (sl_view){file.data + size + 1, file.size - size - 1};
    bool installed = memmem(file.data, file.size, "site-packages/", 14) ||
                     memmem(file.data, file.size, "dist-packages/", 14);
    return (inside || (file.size && file.data[0] != '/' && file.data[0] != '<')) && !installed ? file
                                                                                               : (sl_view){0};
}

static void put_frame(sl_buffer *out, const sl_app *app, const frame *one, const char *word)
{
    sl_view own = own_path(app, one->file), shown = own.size ? own : one->file;
    char *file = sl_printf_heap("%.*s", (int)one->file.size, one->file.data);
    sl_buffer_printf(out, "<%s class=\"place\">%s <code>", own.size ? "p" : "details><summary", word);
    sl_buffer_put_html(out, one->function.data, one->function.size);
    sl_buffer_puts(out, "</code> <span class=\"soft\">");
    sl_buffer_put_html(out, shown.data, shown.size);
    sl_buffer_printf(out, ":%d</span></%s>", one->line, own.size ? "p" : "summary");
    sl__source_excerpt(app->directory, file, one->line, AROUND, out);
    if (!own.size)
        sl_buffer_puts(out, "</details>");
    free(file);
}

bool sl__put_traceback(const sl_app *app, const char *detail, sl_buffer *out)
{
    frame *frames = sl_calloc(FRAMES_MAX, sizeof(*frames));
    size_t count = detail ? read_frames(detail, frames) : 0;
    if (count)
        sl_buffer_puts(out, "<h2>Where</h2>");
    for (size_t i = count; i-- > 0;)
        put_frame(out, app, &frames[i], i + 1 == count ? "raised in" : "called by");
    free(frames);
    return count > 0;
}
