/* hello.c: errors that cross a wire. */
#include "subsystem/hello.h"
#include "core/loop.h"

#include <stdlib.h>

#define DETAIL_MAX 65536
#define PLACES_MAX (SL_ERROR_HOPS + 1)
#define SITES_MAX 4096 /* that a loop keeps of other processes: they may make up any number */

/* ---- Away ---- */

/* Text that may go into a record: what is not UTF-8 (a file's name, a program's output) becomes '?'. */
static char *clean(sl_arena *arena, const char *text, size_t max)
{
    if (!text)
        return NULL;
    size_t size = strnlen(text, max);
    char *copy = sl_arena_strndup(arena, text, size);
    for (size_t at = 0; at < size;) {
        size_t length = 1;
        while (length <= 4 && at + length <= size && !sl_utf8_valid(copy + at, length))
            length++;
        if (length > 4 || at + length > size) {
            copy[at] = '?';
            length = 1;
        }
        at += length;
    }
    return copy;
}

static struct sl__place place_of(sl_arena *arena, const sl_site *site)
{
    return (struct sl__place){.file = clean(arena, site->file, 1024),
                              .line = site->line,
                              .function = clean(arena, site->function, 1024)};
}

void sl__trouble_put(const sl_error *error, sl_buffer *out)
{
    sl_arena *arena = sl_arena_new();
    struct sl__place places[PLACES_MAX];
    struct sl__trouble trouble = {.code = error->code,
                                  .message = clean(arena, error->message, DETAIL_MAX),
                                  .hint = clean(arena, error->hint, DETAIL_MAX),
                                  .told = clean(arena, sl__error_words(error), DETAIL_MAX),
                                  .places = {.items = places}};
    if (error->origin)
        places[trouble.places.count++] = place_of(arena, error->origin);
    unsigned first = error->hop_count > SL_ERROR_HOPS ? error->hop_count - SL_ERROR_HOPS : 0;
    for (unsigned i = first; i < error->hop_count; i++)
        places[trouble.places.count++] = place_of(arena, error->hops[i % SL_ERROR_HOPS]);

    /* What led to it stands below its own lines. */
    sl_buffer detail = {0};
    if (error->detail)
        sl_buffer_puts(&detail, error->detail);
    if (error->cause) {
        char *cause = sl_error_text(error->cause);
        sl_buffer_printf(&detail, "%scaused by: %s", detail.size ? "\n" : "", cause);
        free(cause);
    }
    trouble.detail = clean(arena, detail.data, DETAIL_MAX);
    sl_buffer_done(&detail);
    sl_error *wrong = NULL;
    if (sl_codec_flat.encode(sl__trouble_record(), &trouble, out, NULL, &wrong) < 0)
        sl__die(SL_HERE, "an error cannot be sent: %s", wrong->message);
    sl_arena_free(arena);
}

/* ---- Here ---- */

typedef struct kept {
    sl_site site;
    char text[]; /* of the file and the function */
} kept;

/* A site that lives as long as the loop. */
static const sl_site *site_of(const struct sl__place *place)
{
    sl_loop *loop = sl_loop_current();
    if (!loop || !place->file || !place->function)
        return NULL;
    if (!loop->sites)
        loop->sites = sl_table_new(free);
    char *key = sl_printf_heap("%s\n%s\n%d", place->file, place->function, (int)place->line);
    kept *made = sl_table_get(loop->sites, key);
    if (!made && sl_table_size(loop->sites) < SITES_MAX) {
        size_t file = strlen(place->file) + 1, function = strlen(place->function) + 1;
        made = sl_malloc(sizeof *made + file + function);
        memcpy(made->text, place->file, file);
        memcpy(made->text + file, place->function, function);
        made->site = (sl_site){made->text, (int)place->line, made->text + file};
        sl_table_set(loop->sites, key, made);
    }
    free(key);
    return made ? &made->site : NULL;
}

/* Codes are negative, also if somebody says otherwise. */
static int code_of(int64_t code)
{
    return code < 0 && code > -100000 ? (int)code : SL_EFAILED;
}

sl_error *sl__trouble_get(sl_view data)
{
    sl_arena *arena = sl_arena_new();
    void *value;
    sl_error *error = NULL;
    if (sl_codec_flat.decode(sl__trouble_record(), data, /* borrow= */ true, NULL, arena, &value, &error) <
        0) {
        sl_error *unreadable = sl_error_new(SL_EPROTO, "a child process failed, and how cannot be read");
        sl_arena_free(arena);
        return sl_error_cause(unreadable, error);
    }
    const struct sl__trouble *trouble = value;
    size_t places = trouble->places.count < PLACES_MAX ? trouble->places.count : PLACES_MAX;
    const sl_site *origin = places ? site_of(&trouble->places.items[0]) : NULL;
    error = sl__error_new(origin, code_of(trouble->code), "%s", trouble->message ? trouble->message : "");
    if (trouble->detail)
        sl_error_detail(error, trouble->detail, strlen(trouble->detail));
    if (trouble->hint)
        sl_error_hint(error, "%s", trouble->hint);
    if (trouble->told)
        sl_error_tell(error, "%s", trouble->told);
    for (size_t i = 1; i < places; i++) {
        const sl_site *site = site_of(&trouble->places.items[i]);
        if (site)
            sl_error_hop(error, site);
    }
    sl_arena_free(arena);
    return error;
}
