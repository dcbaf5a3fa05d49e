/* value.c: values in packets. */
#include "subsystem/value.h"
#include "core/task.h"

#include <jansson.h>
#include <unistd.h>

const sl_codec *sl__codec_of(unsigned index, const sl_codec *own)
{
    if (index == SL__CODEC_JSON)
        return &sl_codec_json;
    if (index == SL__CODEC_FLAT)
        return own ? own : &sl_codec_flat;
    return NULL;
}

void sl__packet_close(const sl__packet *packet)
{
    for (unsigned i = 0; i < packet->file_count; i++)
        close(packet->files[i]);
}

void sl__json_unref(void *json)
{
    json_decref(json);
}

/* ---- Out ---- */

static int add_files(sl__packet *packet, const sl_record *record, const sl_files *files, sl_error **ret_error)
{
    if (packet->file_count + files->count > SL__PACKET_FILES) {
        *ret_error = sl_error_new(SL_E2BIG, "%s has %u open files: a call takes or gives %d at most",
                                  record->name, files->count, SL__PACKET_FILES);
        return SL_E2BIG;
    }
    memcpy(packet->files + packet->file_count, files->numbers, files->count * sizeof files->numbers[0]);
    packet->file_count += files->count;
    return 0;
}

/* What is large is encoded where the other end will read it. */
static int put_in_segment(sl__wire *wire, sl__packet *packet, sl__segment *segment, size_t room,
                          const sl_codec *codec, const sl_record *record, const void *value,
                          sl_error **ret_error)
{
    sl_buffer out = {.data = sl__segment_data(segment), .capacity = room};
    sl_files files = {0};
    int code = codec->encode(record, value, &out, &files, ret_error);
    if (code == 0)
        code = add_files(packet, record, &files, ret_error);
    if (code < 0) {
        sl__segment_release(segment);
        return code;
    }
    packet->segment = segment;
    packet->size = (uint32_t)out.size;
    sl__wire_put(wire, packet, NULL, 0);
    return 0;
}

int sl__value_put(sl__wire *wire, const sl__packet *head, const sl_codec *codec, const sl_record *record,
                  const void *value, sl_buffer *scratch, sl_error **ret_error)
{
    sl__packet packet = *head;
    size_t size = codec->size ? codec->size(record, value) : 0;
    if (size > SL__INLINE_MAX && size < SL__WIRE_VALUE_MAX) {
        sl__segment *segment = sl__segment_get(wire, size + 1);
        if (segment)
            return put_in_segment(wire, &packet, segment, size + 1, codec, record, value, ret_error);
    }
    scratch->size = 0;
    sl_files files = {0};
    int code = codec->encode(record, value, scratch, &files, ret_error);
    if (code == 0)
        code = add_files(&packet, record, &files, ret_error);
    if (code < 0)
        return code;
    sl__wire_put(wire, &packet, &(struct iovec){scratch->data, scratch->size}, 1);
    return 0;
}

/* ---- In ---- */

int sl__value_get(const sl__packet *packet, const sl_codec *codec, const sl_record *record, sl_arena *arena,
                  sl__value *ret_value, sl_error **ret_error)
{
    sl_files files = {.count = packet->file_count};
    memcpy(files.numbers, packet->files, packet->file_count * sizeof packet->files[0]);
    sl__value value = {.record = record, .segment = packet->segment};
    int code = codec->decode(record, (sl_view){packet->data, packet->size}, /* borrow= */ value.segment,
                             &files, arena, &value.value, ret_error);
    if (code < 0) {
        sl__packet_close(packet);
        return code;
    }
    if (value.segment)
        sl__segment_hold(value.segment);
    *ret_value = value;
    return 0;
}

void sl__value_done(sl__value *value)
{
    if (value->value)
        sl_record_done(value->record, value->value);
    if (value->segment)
        sl__segment_release(value->segment);
    value->value = value->segment = NULL;
}

static void value_dropped(void *data)
{
    sl__value_done(data);
}

void sl__value_fire(sl_deferred *deferred, const sl__value *value, sl_arena *arena)
{
    sl__value *kept = sl_arena_alloc(arena, sizeof *kept);
    sl__cleanup *cleanup = sl_arena_alloc(arena, sizeof *cleanup);
    sl__estate *estate = sl_arena_alloc(arena, sizeof *estate);
    *kept = *value;
    *cleanup = (sl__cleanup){.fn = value_dropped, .data = kept, .value = true};
    *estate = (sl__estate){.arena = arena, .values = cleanup};
    sl__deferred_set_estate(deferred, estate);
    sl_fire(deferred, value->value, NULL);
}
