/* told.c: what a client may be told of a failure of the store: fields, and nothing of tables and places. */
#include "store/store.h"

/* A name as programs give their fields; one of another kind says nothing to anybody. */
static bool is_field(sl_view name)
{
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_";
    for (size_t i = 0; i < name.size; i++)
        if (!memchr(allowed, name.data[i], sizeof(allowed) - 1))
            return false;
    return name.size > 0;
}

/* "person.name": "name" */
static sl_view field_of(sl_view column)
{
    const char *dot = memrchr(column.data, '.', column.size);
    return dot ? (sl_view){dot + 1, (size_t)(column.data + column.size - dot - 1)} : column;
}

static sl_error *tell_unique(sl_error *error, sl_view columns)
{
    sl_buffer names SL_CLEANUP(sl_buffer_done) = {0};
    for (size_t at = 0; at < columns.size;) {
        const char *comma = memmem(columns.data + at, columns.size - at, ", ", 2);
        size_t end = comma ? (size_t)(comma - columns.data) : columns.size;
        sl_view field = field_of((sl_view){columns.data + at, end - at});
        if (!is_field(field))
            return sl_error_tell(error, "there is one like it already");
        sl_buffer_printf(&names, "%s%.*s",
                         !names.size ? ""
                         : comma     ? ", "
                                     : " and ",
                         (int)field.size, field.data);
        at = comma ? end + 2 : end;
    }
    return names.size ? sl_error_tell(error, "there is one with the same %s already", names.data)
                      : sl_error_tell(error, "there is one like it already");
}

sl_error *sl__tell_client(sl_error *error, sl_view columns)
{
    if (error->code == SL_EEXIST)
        return tell_unique(error, columns);
    return error->code == SL_ENOSPC ? sl_error_tell(error, "there is no room for more just now") : error;
}

sl_error *sl__tell_reference(sl_error *error)
{
    return sl_error_tell(error, "what it refers to is not there, or something still refers to it");
}
