/* What the readers of dates, times, decimals and UUIDs take, they write so that it comes back; and a field of
 * each kind is either refused with a message or written within its bounds. */
#include "store/driver.h"

#include <jansson.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void hold(bool promise)
{
    if (!promise)
        abort();
}

static void check_date(const char *text)
{
    sl_date date = {.year = -1}, back;
    char written[SL_DATE_SIZE];
    if (sl_date_parse(text, &date) < 0) {
        hold(date.year == -1);
        return;
    }
    hold(date.year >= 1 && date.year <= 9999 && strcmp(sl_date_text(date, written), text) == 0);
    hold(sl_date_parse(written, &back) == 0 && memcmp(&date, &back, sizeof(date)) == 0);
}

static void check_time(const char *text)
{
    int64_t us = INT64_MIN, back;
    char written[SL_TIME_SIZE];
    if (sl_time_parse(text, &us) < 0) {
        hold(us == INT64_MIN);
        return;
    }
    hold(sl_time_parse(sl_time_text(us, written), &back) == 0 && us == back);
    hold(strlen(written) == SL_TIME_SIZE - 1);
}

static void check_decimal(const char *text)
{
    sl_decimal decimal = {.scale = -1}, back;
    char written[SL_DECIMAL_SIZE];
    if (sl_decimal_parse(text, &decimal) < 0) {
        hold(decimal.scale == -1);
        return;
    }
    hold(sl_decimal_parse(sl_decimal_text(decimal, written), &back) == 0);
    hold(back.units == decimal.units && back.scale == decimal.scale && back.scale <= 18);
    for (int scale = 0; scale <= 18; scale++)
        if (sl_decimal_rescale(decimal, scale, &back) == 0)
            hold(back.scale == scale && sl_decimal_rescale(back, decimal.scale, &back) == 0 &&
                 back.units == decimal.units);
}

static void check_uuid(const char *text)
{
    sl_uuid uuid, back;
    char written[SL_UUID_SIZE];
    if (sl_uuid_parse(text, &uuid) == 0)
        hold(sl_uuid_parse(sl_uuid_text(uuid, written), &back) == 0 &&
             memcmp(&uuid, &back, sizeof(uuid)) == 0);
}

/* The same bytes as text and as bytes, for a field of each kind. */
static void check_field(sl_kind kind, sl_value value)
{
    static const char *const texts[] = {"red", "green"};
    static const sl_enum_names names = {.name = "colour", .count = 2, .names = texts};
    sl__field field = {.kind = kind, .scale = 2, .bit = 63, .names = &names, .name = "it"};
    union {
        char bytes[sizeof(sl_view)];
        json_t *json;
    } object = {0};
    uint64_t nulls = 0;
    sl_arena *arena = sl_arena_new();
    sl_error *error = sl__field_from_value(&field, &value, &object, &nulls, arena);
    if (error) {
        hold(error->code == SL_EPARSE && strncmp(error->message, "column it: ", 11) == 0);
        sl_error_unref(error);
    } else {
        sl_value back;
        sl__value_from_field(&field, &object, nulls, &back);
        hold(!back.null);
        if (kind == SL_KIND_JSON)
            json_decref(object.json);
    }
    sl_arena_free(arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = sl_malloc(size + 1);
    memcpy(text, data, size);
    text[size] = '\0';
    check_date(text);
    check_time(text);
    check_decimal(text);
    check_uuid(text);
    for (sl_kind kind = SL_KIND_INTEGER; kind <= SL_KIND_JSON; kind++) {
        check_field(kind, (sl_value){.kind = SL_KIND_TEXT, .text = {text, size}});
        check_field(kind, (sl_value){.kind = SL_KIND_BYTES, .text = {text, size}});
    }
    free(text);
    return 0;
}
