/* fields.c: finding, putting and removing header fields of a response. A list this short is searched from its
 * start. */
#include "http/content.h"

void sl__fields_remove(sl__fields *fields, const char *name)
{
    for (const sl__field *found; (found = sl__fields_find(fields, name));) {
        size_t i = (size_t)(found - fields->items);
        memmove(&fields->items[i], &fields->items[i + 1], (fields->count - i - 1) * sizeof(*found));
        fields->count--;
    }
}

void sl__fields_put(sl_arena *arena, sl__fields *fields, const char *name, const char *value)
{
    sl__fields_remove(fields, name);
    if (fields->count == fields->capacity) {
        size_t capacity = fields->capacity ? fields->capacity * 2 : 8;
        sl__field *items = sl_arena_alloc(arena, capacity * sizeof(*items));
        if (fields->count)
            memcpy(items, fields->items, fields->count * sizeof(*items));
        fields->items = items;
        fields->capacity = capacity;
    }
    fields->items[fields->count++] =
        (sl__field){name, value, (uint32_t)strlen(name), (uint32_t)strlen(value)};
}
