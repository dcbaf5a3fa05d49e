/* timeline.c: see timeline.h. */
#include "store/timeline.h"
#include "store/store.h"

#include <stdlib.h>

enum { ENTRIES_MAX = 1000, SQL_SHOWN = 4000 /* bytes */ };

struct sl__timeline {
    unsigned references;
    sl_arena *arena;
    uint64_t began_ns;
    sl__timeline_entry *entries;
    size_t count, size, dropped;
};

static void *timeline_ref(void *value)
{
    sl__timeline *timeline = value;
    timeline->references++;
    return timeline;
}

void sl__timeline_unref(void *value)
{
    sl__timeline *timeline = value;
    if (timeline && --timeline->references == 0) {
        free(timeline->entries);
        sl_arena_free(timeline->arena);
    }
}

SL_KEY(sl__timeline_key, SL_CAPTURED, .ref = timeline_ref, .unref = sl__timeline_unref);

sl__timeline *sl__timeline_new(void)
{
    sl_arena *arena = sl_arena_new_sized(256);
    sl__timeline *timeline = sl_arena_zalloc(arena, sizeof *timeline);
    timeline->references = 1;
    timeline->arena = arena;
    timeline->began_ns = sl_monotonic_ns();
    return timeline;
}

/* An insert of many rows is long, and says the same again and again. */
static const char *kept_sql(sl_arena *arena, const char *sql)
{
    size_t size = strlen(sql), cut = SQL_SHOWN;
    if (size <= SQL_SHOWN)
        return sl_arena_strndup(arena, sql, size);
    while (cut && ((unsigned char)sql[cut] & 0xc0) == 0x80)
        cut--;
    return sl_arena_printf(arena, "%.*s … %zu bytes in all", (int)cut, sql, size);
}

static void keep(sl_tracer *tracer, const sl_traced *statement)
{
    (void)tracer;
    sl__timeline *timeline = sl_get(&sl__timeline_key);
    if (!timeline)
        return;
    if (timeline->count == ENTRIES_MAX) {
        timeline->dropped++;
        return;
    }
    if (timeline->count == timeline->size) {
        timeline->size = timeline->size ? 2 * timeline->size : 16;
        timeline->entries = sl_realloc(timeline->entries, timeline->size * sizeof *timeline->entries);
    }
    SL_CLEANUP(sl_buffer_done) sl_buffer parameters = {0};
    sl__put_parameters(&parameters, statement->parameters, statement->parameter_count);
    uint64_t began_ns = statement->began_ns > timeline->began_ns ? statement->began_ns : timeline->began_ns;
    timeline->entries[timeline->count++] = (sl__timeline_entry){
        .began_us = (began_ns - timeline->began_ns) / 1000,
        .duration_us = statement->duration_us,
        .rows = statement->rows,
        .site = statement->site,
        .sql = kept_sql(timeline->arena, statement->sql),
        .parameters = sl_arena_strdup(timeline->arena, parameters.data),
        .error = statement->error ? sl_arena_strdup(timeline->arena, statement->error->message) : NULL,
    };
}

size_t sl__timeline_count(const sl__timeline *timeline, size_t *ret_dropped)
{
    *ret_dropped = timeline->dropped;
    return timeline->count;
}

const sl__timeline_entry *sl__timeline_at(const sl__timeline *timeline, size_t i)
{
    return &timeline->entries[i];
}

static sl_tracer keeper = {.after = keep};

void sl__timelines_keep(sl_root *root)
{
    sl_tracer_add(root, &keeper);
}
