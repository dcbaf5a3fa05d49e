/* fields.c: finding, putting and removing header fields of a response. A list this short is searched from its
 * start. */
#include "http/content.h"

sl__field *sl__fields_find(const sl__fields *fields, const char *name)
{
    size_t size = strlen(name);
    for (size_t i = 0; i < fields->count; i++) {
        sl__field *field = &fields->items[i];
        if (field->name_size == size &&
            sl_view_equal_nocase((sl_view){field->name, size}, (sl_view){name, size}))
            return field;
    }
    return NULL;
}

void sl__fields_remove(sl__fields *fields, const char *name)
{
    for (sl__field *field; (field = sl__fields_find(fields, name));) {
        size_t after = (size_t)(fields->items + fields->count - (field + 1));
        memmove(field, field + 1, after * sizeof(*field));
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
