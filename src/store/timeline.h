/* timeline.h: what a request asked of the database, for the page of its failure. */
#pragma once

#include <silver/store.h>

/* The statements run where this holds, in order, 1000 at most. It may outlive the request in contexts that
 * were captured, so it is counted. */
typedef struct sl__timeline sl__timeline;
typedef struct sl__timeline_entry {
    uint64_t began_us; /* since the timeline's beginning */
    uint64_t duration_us;
    int64_t rows;
    const sl_site *site;
    const char *sql, *parameters, *error; /* error: NULL if all went well */
} sl__timeline_entry;

SL_API extern sl_key sl__timeline_key;
SL_API sl__timeline *sl__timeline_new(void);
SL_API void sl__timeline_unref(void *timeline);
SL_API size_t sl__timeline_count(const sl__timeline *timeline, size_t *ret_dropped);
SL_API const sl__timeline_entry *sl__timeline_at(const sl__timeline *timeline, size_t i);
/* Begins to keep timelines in a root, where there is one in the context. */
SL_API void sl__timelines_keep(sl_root *root);
