/* record.h: what the files about records share: the path to a field, and what each kind of field demands. */
#pragma once

#include <silver/record.h>

_Static_assert(sizeof(void *) == 8 && sizeof(size_t) == 8 && sizeof(bool) == 1,
               "records are of 64-bit machines");

/* Where a walk through a value is, for messages: a chain from the innermost field outwards. */
typedef struct sl__step {
    const struct sl__step *outer;
    const sl_record_field *field;
    size_t index; /* in a list, or SIZE_MAX */
    unsigned depth;
} sl__step;

static inline sl__step sl__step_into(const sl__step *outer, const sl_record_field *field, size_t index)
{
    return (sl__step){outer, field, index, outer ? outer->depth + 1 : 1};
}

/* Makes an error whose message begins with the path of the field ("hits[3].room"); gives its code. */
int sl__record_refuse(int code, const sl_record *record, const sl__step *at, const sl_record_field *field,
                      sl_error **ret_error, const char *format, ...) SL_PRINTF(6, 7);

/* What a field demands of its value: NULL if it holds, else words for the message. */
const char *sl__field_check_text(const sl_record_field *field, const char *data, size_t size);
const char *sl__field_check_size(const sl_record_field *field, size_t size); /* of bytes and lists */
const char *sl__field_check_missing(const sl_record_field *field);           /* NULL or empty */

/* The bytes that an item takes in a list's memory. */
static inline size_t sl__record_stride(const sl_record *record)
{
    return record->size ? record->size : 1;
}

typedef struct sl__items {
    size_t count;
    char *items;
} sl__items;
