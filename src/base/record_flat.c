/* record_flat.c: the flat codec: a value as it lies in memory, but for pointers.
 *
 * First comes the struct, then what its fields point to, in the order of the fields: the bytes of a text
 * (without a NUL), bytes (at a multiple of 8), JSON as text, the structs of a list, each list followed by
 * what these point to. In the place of a pointer stands 0 for NULL; else 1 more than the size for text and
 * JSON, 1 for bytes and lists, whose size stands beside. So the decoder needs no offsets: each piece lies
 * where the one before it ended, no two can overlap, and no input can make more than it holds. In the place
 * of a descriptor stands its number among the files.
 *
 * The decoder copies each struct into the arena before it looks at it: the input may be shared memory. */
#include "base/json.h"
#include "base/record.h"

#include <jansson.h>

#define PIECE_ALIGN 8

static size_t aligned(size_t size)
{
    return (size + PIECE_ALIGN - 1) & ~(size_t)(PIECE_ALIGN - 1);
}

/* Whether all of the struct's bytes are numbers, so that a list of them is copied at once. */
static bool is_plain(const sl_record *record)
{
    size_t size = 0;
    for (size_t i = 0; i < record->field_count; i++) {
        sl_field_kind kind = record->fields[i].kind;
        if (kind != SL_INTEGER && kind != SL_REAL && kind != SL_TIME)
            return false;
        size += 8;
    }
    return size == record->size && size;
}

/* ---- Encoding ---- */

typedef struct encoder {
    sl_buffer *out;
    size_t start; /* of this value in `out` */
    sl_files *files;
    sl_error **ret_error;
} encoder;

static int put_struct(encoder *e, const sl_record *record, const char *value, size_t image,
                      const sl__step *at);

static size_t put_cleared(encoder *e, size_t size)
{
    size_t image = e->out->size;
    sl_buffer_reserve(e->out, size);
    memset(e->out->data + image, 0, size + 1);
    e->out->size += size;
    return image;
}

static void set_word(encoder *e, size_t image, uint64_t word)
{
    memcpy(e->out->data + image, &word, sizeof word);
}

static const char *put_text(encoder *e, const sl_record_field *field, const char *text, size_t image)
{
    if (!text)
        return sl__field_check_missing(field);
    size_t size = strlen(text);
    const char *wrong = sl__field_check_text(field, text, size);
    if (wrong)
        return wrong;
    set_word(e, image, size + 1);
    sl_buffer_put(e->out, text, size);
    return NULL;
}

static const char *put_bytes(encoder *e, const sl_record_field *field, const sl_view *view, size_t image)
{
    if (!view->data)
        return view->size ? "has a size but no data" : sl__field_check_missing(field);
    const char *wrong = sl__field_check_size(field, view->size);
    if (wrong)
        return wrong;
    set_word(e, image + offsetof(sl_view, data), 1);
    set_word(e, image + offsetof(sl_view, size), view->size);
    size_t used = e->out->size - e->start;
    put_cleared(e, aligned(used) - used);
    sl_buffer_put(e->out, view->data, view->size);
    return NULL;
}

static int put_dumped(const char *data, size_t size, void *out)
{
    sl_buffer_put(out, data, size);
    return 0;
}

static const char *put_json(encoder *e, const sl_record_field *field, const json_t *json, size_t image)
{
    if (!json)
        return sl__field_check_missing(field);
    size_t before = e->out->size;
    if (sl__json_too_deep(json))
        return SL__JSON_TOO_DEEP;
    if (json_dump_callback(json, put_dumped, e->out, JSON_COMPACT | JSON_ENCODE_ANY) < 0)
        return "cannot be written as JSON";
    set_word(e, image, e->out->size - before + 1);
    return NULL;
}

static const char *put_file(encoder *e, int number, size_t image)
{
    int index = -1;
    if (number >= 0) {
        if (!e->files)
            return "is an open file, which cannot go there";
        if (e->files->count == SL_FILES_MAX)
            return "is one open file too many";
        index = (int)e->files->count;
        e->files->numbers[e->files->count++] = number;
    }
    memcpy(e->out->data + image, &index, sizeof index);
    return NULL;
}

static int put_list(encoder *e, const sl_record *record, const sl_record_field *field, const sl__items *list,
                    size_t image, const sl__step *at)
{
    const char *wrong =
        list->count ? sl__field_check_size(field, list->count) : sl__field_check_missing(field);
    if (!wrong && list->count && !list->items)
        wrong = "has a count but no items";
    if (wrong)
        return sl__record_refuse(SL_EINVAL, record, at, field, e->ret_error, "%s", wrong);
    const sl_record *item = field->record();
    set_word(e, image + offsetof(sl__items, count), list->count);
    if (is_plain(item)) {
        sl_buffer_put(e->out, list->items, list->count * item->size);
        return 0;
    }
    size_t stride = sl__record_stride(item), first = put_cleared(e, list->count * stride);
    for (size_t i = 0; i < list->count; i++) {
        sl__step step = sl__step_into(at, field, i);
        int code = put_struct(e, item, list->items + i * item->size, first + i * stride, &step);
        if (code < 0)
            return code;
    }
    return 0;
}

static int put_field(encoder *e, const sl_record *record, const sl_record_field *field, const char *member,
                     size_t image, const sl__step *at)
{
    const char *wrong = NULL;
    switch (field->kind) {
    case SL_INTEGER:
    case SL_REAL:
    case SL_TIME:
        memcpy(e->out->data + image, member, 8);
        break;
    case SL_BOOLEAN:
        e->out->data[image] = *(const bool *)member;
        break;
    case SL_TEXT_FIELD:
        wrong = put_text(e, field, *(const char *const *)member, image);
        break;
    case SL_BYTES:
        wrong = put_bytes(e, field, (const sl_view *)member, image);
        break;
    case SL_JSON:
        wrong = put_json(e, field, *(json_t *const *)member, image);
        break;
    case SL_FILE:
        wrong = put_file(e, *(const int *)member, image);
        break;
    case SL_NESTED: {
        sl__step step = sl__step_into(at, field, SIZE_MAX);
        return put_struct(e, field->record(), member, image, &step);
    }
    case SL_LIST:
        return put_list(e, record, field, (const sl__items *)member, image, at);
    }
    return wrong ? sl__record_refuse(SL_EINVAL, record, at, field, e->ret_error, "%s", wrong) : 0;
}

static int put_struct(encoder *e, const sl_record *record, const char *value, size_t image,
                      const sl__step *at)
{
    if (at && at->depth > SL_RECORD_DEPTH)
        return sl__record_refuse(SL_EINVAL, record, at, NULL, e->ret_error, "is nested too deeply");
    for (size_t i = 0; i < record->field_count; i++) {
        const sl_record_field *field = &record->fields[i];
        int code = put_field(e, record, field, value + field->offset, image + field->offset, at);
        if (code < 0)
            return code;
    }
    return 0;
}

static int flat_encode(const sl_record *record, const void *value, sl_buffer *out, sl_files *files,
                       sl_error **ret_error)
{
    encoder e = {out, out->size, files, ret_error};
    unsigned file_count = files ? files->count : 0;
    size_t image = put_cleared(&e, record->size);
    int code = put_struct(&e, record, value, image, NULL);
    if (code < 0) {
        out->size = e.start;
        out->data[out->size] = '\0';
        if (files)
            files->count = file_count;
    }
    return code;
}

/* ---- How much it will be ---- */

static size_t pointed_size(const sl_record *record, const char *value, unsigned depth)
{
    size_t size = 0;
    for (size_t i = 0; i < record->field_count && depth <= SL_RECORD_DEPTH; i++) {
        const sl_record_field *field = &record->fields[i];
        const char *member = value + field->offset;
        if (field->kind == SL_TEXT_FIELD && *(const char *const *)member) {
            size += strlen(*(const char *const *)member);
        } else if (field->kind == SL_BYTES) {
            size += ((const sl_view *)member)->size + PIECE_ALIGN - 1;
        } else if (field->kind == SL_JSON && !sl__json_too_deep(*(json_t *const *)member)) {
            size += json_dumpb(*(json_t *const *)member, NULL, 0, JSON_COMPACT | JSON_ENCODE_ANY);
        } else if (field->kind == SL_NESTED) {
            size += pointed_size(field->record(), member, depth + 1);
        } else if (field->kind == SL_LIST) {
            const sl__items *list = (const sl__items *)member;
            const sl_record *item = field->record();
            size += list->count * sl__record_stride(item);
            for (size_t k = 0; list->items && k < list->count && !is_plain(item); k++)
                size += pointed_size(item, list->items + k * item->size, depth + 1);
        }
    }
    return size;
}

static size_t flat_size(const sl_record *record, const void *value)
{
    return record->size + pointed_size(record, value, 0);
}

/* ---- Decoding ---- */

typedef struct decoder {
    const char *data;
    size_t size, at;
    bool borrow;
    const sl_files *files;
    unsigned file_count; /* found so far */
    struct reference {   /* to JSON: given back if it fails */
        struct reference *next;
        json_t *json;
    } * references;
    sl_arena *arena;
    sl_error **ret_error;
} decoder;

static int get_struct(decoder *d, const sl_record *record, char *image, const sl__step *at);

static const char *take(decoder *d, size_t size)
{
    if (size > d->size - d->at)
        return NULL;
    const char *piece = d->data + d->at;
    d->at += size;
    return piece;
}

static const char cut_short[] = "is cut short";

static const char *get_text(decoder *d, const sl_record_field *field, char *member)
{
    uint64_t word;
    memcpy(&word, member, sizeof word);
    if (word == 0)
        return sl__field_check_missing(field);
    const char *piece = take(d, word - 1);
    if (!piece)
        return cut_short;
    char *text = sl_arena_strndup(d->arena, piece, word - 1);
    memcpy(member, &text, sizeof text);
    return sl__field_check_text(field, text, word - 1);
}

static const char *get_bytes(decoder *d, const sl_record_field *field, char *member)
{
    uint64_t present, size;
    memcpy(&present, member + offsetof(sl_view, data), sizeof present);
    memcpy(&size, member + offsetof(sl_view, size), sizeof size);
    if (present == 0)
        return size ? "has a size but no data" : sl__field_check_missing(field);
    const char *wrong = present > 1 ? "is malformed" : sl__field_check_size(field, size);
    if (wrong)
        return wrong;
    const char *piece = take(d, aligned(d->at) - d->at) ? take(d, size) : NULL;
    if (!piece)
        return cut_short;
    sl_view view = {d->borrow ? piece : sl_arena_strndup(d->arena, piece, size), size};
    memcpy(member, &view, sizeof view);
    return NULL;
}

static const char *get_json(decoder *d, const sl_record_field *field, char *member)
{
    uint64_t word;
    memcpy(&word, member, sizeof word);
    if (word == 0)
        return sl__field_check_missing(field);
    const char *piece = take(d, word - 1);
    if (!piece)
        return cut_short;
    json_t *json =
        json_loadb(piece, word - 1, JSON_DECODE_ANY | JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, NULL);
    if (!json)
        return "is not JSON";
    struct reference *reference = sl_arena_alloc(d->arena, sizeof *reference);
    *reference = (struct reference){d->references, json};
    d->references = reference;
    memcpy(member, &json, sizeof json);
    return NULL;
}

static const char *get_file(decoder *d, char *member)
{
    int index, number = -1;
    memcpy(&index, member, sizeof index);
    memcpy(member, &number, sizeof number);
    if (index == -1)
        return NULL;
    if (!d->files || index < 0 || (unsigned)index != d->file_count || d->file_count >= d->files->count)
        return "is a file that did not come";
    memcpy(member, &d->files->numbers[d->file_count++], sizeof number);
    return NULL;
}

static int get_list(decoder *d, const sl_record *record, const sl_record_field *field, char *member,
                    const sl__step *at)
{
    uint64_t count;
    const sl_record *item = field->record();
    size_t stride = sl__record_stride(item);
    memcpy(&count, member + offsetof(sl__items, count), sizeof count);
    const char *wrong = count ? sl__field_check_size(field, count) : sl__field_check_missing(field);
    const char *piece = count <= d->size / stride ? take(d, count * stride) : NULL;
    if (!wrong && !piece)
        wrong = cut_short;
    if (wrong)
        return sl__record_refuse(SL_EPARSE, record, at, field, d->ret_error, "%s", wrong);
    char *items = NULL;
    if (count)
        items = memcpy(sl_arena_alloc(d->arena, count * stride), piece, count * stride);
    memcpy(member + offsetof(sl__items, items), &items, sizeof items);
    for (size_t i = 0; i < count && !is_plain(item); i++) {
        sl__step step = sl__step_into(at, field, i);
        int code = get_struct(d, item, items + i * item->size, &step);
        if (code < 0)
            return code;
    }
    return 0;
}

static int get_field(decoder *d, const sl_record *record, const sl_record_field *field, char *member,
                     const sl__step *at)
{
    const char *wrong = NULL;
    switch (field->kind) {
    case SL_INTEGER:
    case SL_REAL:
    case SL_TIME:
        break;
    case SL_BOOLEAN:
        wrong = *(unsigned char *)member > 1 ? "is neither true nor false" : NULL;
        break;
    case SL_TEXT_FIELD:
        wrong = get_text(d, field, member);
        break;
    case SL_BYTES:
        wrong = get_bytes(d, field, member);
        break;
    case SL_JSON:
        wrong = get_json(d, field, member);
        break;
    case SL_FILE:
        wrong = get_file(d, member);
        break;
    case SL_NESTED: {
        sl__step step = sl__step_into(at, field, SIZE_MAX);
        return get_struct(d, field->record(), member, &step);
    }
    case SL_LIST:
        return get_list(d, record, field, member, at);
    }
    return wrong ? sl__record_refuse(SL_EPARSE, record, at, field, d->ret_error, "%s", wrong) : 0;
}

static int get_struct(decoder *d, const sl_record *record, char *image, const sl__step *at)
{
    if (at && at->depth > SL_RECORD_DEPTH)
        return sl__record_refuse(SL_EPARSE, record, at, NULL, d->ret_error, "is nested too deeply");
    for (size_t i = 0; i < record->field_count; i++) {
        const sl_record_field *field = &record->fields[i];
        int code = get_field(d, record, field, image + field->offset, at);
        if (code < 0)
            return code;
    }
    return 0;
}

static int flat_decode(const sl_record *record, sl_view data, bool borrow, const sl_files *files,
                       sl_arena *arena, void **ret_value, sl_error **ret_error)
{
    decoder d = {.data = data.data,
                 .size = data.size,
                 .borrow = borrow,
                 .files = files,
                 .arena = arena,
                 .ret_error = ret_error};
    const char *piece = take(&d, record->size);
    if (!piece)
        return sl__record_refuse(SL_EPARSE, record, NULL, NULL, ret_error, "%s", cut_short);
    char *image = sl_arena_alloc(arena, sl__record_stride(record));
    if (record->size)
        memcpy(image, piece, record->size);
    int code = get_struct(&d, record, image, NULL);
    if (code == 0 && d.at < d.size)
        code = sl__record_refuse(SL_EPARSE, record, NULL, NULL, ret_error, "has %zu bytes too many",
                                 d.size - d.at);
    else if (code == 0 && files && d.file_count < files->count)
        code = sl__record_refuse(SL_EPARSE, record, NULL, NULL, ret_error, "has %u files too many",
                                 files->count - d.file_count);
    if (code == 0)
        *ret_value = image;
    for (struct reference *r = d.references; code < 0 && r; r = r->next)
        json_decref(r->json);
    return code;
}

const sl_codec sl_codec_flat = {
    .name = "flat", .encode = flat_encode, .decode = flat_decode, .size = flat_size};
