/* content.c: what RFC 9110 asks of a response before it is sent.
 *
 * The order matters. First the client's Accept-Encoding chooses among the forms that the contents could take,
 * since each has a tag of its own. Then the preconditions are judged by the tag of the chosen form. Only a
 * response that passed them is cut into ranges or compressed, never both: parts are always parts of what the
 * handler gave.
 *
 * A response that we compress keeps its tag, made weak: the bytes may differ from one version of a compressor
 * to the next. Compressing never holds the loop for long: small contents are done at once, larger ones in a
 * thread, and the largest become a stream, slice by slice. */
#include "http/content.h"
#include "http/accept.h"

#include <silver/io.h>
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#define AT_ONCE_MAX (16 * 1024)      /* compressed on the loop */
#define THREAD_MAX (4 * 1024 * 1024) /* compressed in a thread; what is larger becomes a stream */
#define SLICE (16 * 1024)            /* of a stream: then others may run */
#define READ_SIZE (64 * 1024)        /* of a file, in a thread */

static const char *field_value(const sl_response *res, const char *name)
{
    const sl__field *field = sl__fields_find(&res->fields, name);
    return field ? field->value : NULL;
}

/* ---- Negotiation ------------------------------------------------------------------------------------- */

bool sl__compressible(const char *type)
{
    static const char *const whole[] = {"application/json",
                                        "application/javascript",
                                        "application/xml",
                                        "application/wasm",
                                        "application/x-ndjson",
                                        "application/sql",
                                        "application/graphql",
                                        "application/rtf",
                                        "font/ttf",
                                        "font/otf",
                                        "image/bmp",
                                        "image/x-icon",
                                        "application/postscript",
                                        "application/yaml",
                                        "application/toml"};
    if (!type)
        return false;
    sl_view essence = sl_view_trim((sl_view){type, strcspn(type, ";")}, " \t");
    if (essence.size > 5 && sl_view_equal_nocase((sl_view){type, 5}, SL_VIEW("text/")))
        return !sl_view_equal_nocase(essence,
                                     SL_VIEW("text/event-stream")); /* open for hours, and so its encoder */
    const char *plus = memrchr(essence.data, '+', essence.size);
    if (plus) {
        sl_view suffix = {plus, (size_t)(essence.data + essence.size - plus)};
        return sl_view_equal_nocase(suffix, SL_VIEW("+json")) ||
               sl_view_equal_nocase(suffix, SL_VIEW("+xml"));
    }
    for (size_t i = 0; i < sl_array_size(whole); i++) {
        if (sl_view_equal_nocase(essence, sl_view_of(whole[i])))
            return true;
    }
    return false;
}

static const char *accept_encoding(const sl_request *req, const sl__conditions *conditions)
{
    if (conditions->accept_lines < 2)
        return conditions->accept_encoding;
    const char *joined = "";
    for (size_t i = 0; i < req->fields.count; i++) {
        const sl__field *field = &req->fields.items[i];
        if (sl_view_equal_nocase((sl_view){field->name, field->name_size}, SL_VIEW("Accept-Encoding")))
            joined = sl_arena_printf(req->arena, "%s%s%s", joined, *joined ? ", " : "", field->value);
    }
    return joined;
}

sl__coding sl__coding_choose(const sl_request *req, const sl__conditions *conditions, unsigned offered)
{
    if (!conditions->accept_encoding || !offered)
        return SL__CODING_IDENTITY;
    const char *value = accept_encoding(req, conditions);
    sl__coding best = SL__CODING_IDENTITY;
    int best_quality = 0;
    for (int coding = SL__CODING_IDENTITY + 1; coding < SL__CODING_COUNT; coding++) {
        int quality = offered & 1u << coding ? sl__accept_quality(value, sl__coding_names[coding]) : 0;
        if (quality > best_quality) {
            best_quality = quality;
            best = (sl__coding)coding;
        }
    }
    return best;
}

static uint64_t segments_size(const sl_response *res)
{
    uint64_t size = 0;
    for (size_t i = 0; i < res->segment_count; i++)
        size += res->segments[i].size;
    return size;
}

/* Whether the contents could be compressed, whatever this client accepts. */
static bool may_encode(const sl_response *res)
{
    if (res->status < 200 || res->status == 204 || res->status == 205 || res->status == 206 ||
        res->status == 304)
        return false;
    if (res->body == SL__BODY_SEGMENTS ? segments_size(res) < SL__COMPRESS_MIN : res->body != SL__BODY_STREAM)
        return false;
    const char *type = field_value(res, "Content-Type");
    if (!sl__compressible(type ? type : res->type))
        return false;
    const char *cache_control = field_value(res, "Cache-Control");
    return !(cache_control && sl__list_has(cache_control, "no-transform")) &&
           !field_value(res, "Content-Encoding") && !field_value(res, "Content-Range") &&
           !field_value(res, "Content-Digest") && !field_value(res, "Content-MD5");
}

static void vary_by_encoding(sl_response *res)
{
    const char *vary = field_value(res, "Vary");
    if (vary && (sl__list_has(vary, "*") || sl__list_has(vary, "Accept-Encoding")))
        return;
    sl_arena *arena = res->request->arena;
    sl__fields_put(arena, &res->fields, "Vary",
                   vary && *vary ? sl_arena_printf(arena, "%s, Accept-Encoding", vary) : "Accept-Encoding");
}

/* Names the coding, and makes the tag weak. */
static void mark_encoded(sl_response *res, sl__coding coding)
{
    sl_arena *arena = res->request->arena;
    sl__fields_put(arena, &res->fields, "Content-Encoding", sl__coding_names[coding]);
    sl__fields_remove(&res->fields, "Content-Length");
    const char *etag = field_value(res, "ETag");
    if (etag && etag[0] == '"')
        sl__fields_put(arena, &res->fields, "ETag", sl_arena_printf(arena, "W/%s", etag));
}

/* ---- Compressing what is known in full --------------------------------------------------------------- */

struct job {
    const sl__piece *segments;
    size_t segment_count;
    sl__coding coding;
    sl_buffer out;
    int code;
};

/* Reads all of [offset, offset + size) of a file; a file that has become shorter is an error. */
static int read_exactly(int fd, char *data, size_t size, uint64_t offset)
{
    while (size > 0) {
        ssize_t got = pread(fd, data, size, (off_t)offset);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return got < 0 ? -errno : SL_EIO;
        data += got;
        size -= (size_t)got;
        offset += (uint64_t)got;
    }
    return 0;
}

static int encode_file(sl__encoder *encoder, const sl__piece *segment, sl_buffer *out)
{
    char *data = sl_malloc(READ_SIZE);
    int code = 0;
    for (uint64_t done = 0; done < segment->size && code == 0;) {
        size_t part = segment->size - done < READ_SIZE ? (size_t)(segment->size - done) : READ_SIZE;
        code = read_exactly(segment->fd, data, part, segment->offset + done);
        if (code == 0)
            sl__encode(encoder, data, part, SL__ENCODE_MORE, out);
        done += part;
    }
    free(data);
    return code;
}

static void encode_job(struct job *job)
{
    uint64_t size = 0;
    for (size_t i = 0; i < job->segment_count; i++)
        size += job->segments[i].size;
    sl__encoder *encoder = sl__encoder_open(job->coding, SL__EFFORT_LIVE, size);
    sl_buffer_reserve(&job->out, size / 3);
    for (size_t i = 0; i < job->segment_count && job->code == 0; i++) {
        const sl__piece *segment = &job->segments[i];
        if (segment->data)
            sl__encode(encoder, segment->data, segment->size, SL__ENCODE_MORE, &job->out);
        else
            job->code = encode_file(encoder, segment, &job->out);
    }
    if (job->code == 0)
        sl__encode(encoder, NULL, 0, SL__ENCODE_END, &job->out);
    sl__encoder_free(encoder);
}

static sl_result encode_in_thread(void *data)
{
    encode_job(data);
    return sl_ok(NULL);
}

static void job_done(void *data)
{
    sl_buffer_done(&((struct job *)data)->out);
}

static void encode_whole(sl_response *res, sl__coding coding, uint64_t size)
{
    struct job *job = sl_arena_zalloc(res->request->arena, sizeof(*job));
    *job = (struct job){.segments = res->segments, .segment_count = res->segment_count, .coding = coding};
    sl_defer(job_done, job);
    bool in_memory = true;
    for (size_t i = 0; i < res->segment_count; i++)
        in_memory &= res->segments[i].data != NULL;
    if (in_memory && size <= AT_ONCE_MAX) {
        encode_job(job);
    } else {
        /* The thread works on this task's memory, so the task waits for it even if it was cancelled. */
        SL_SHIELD()
        {
            sl_await(sl_in_thread(encode_in_thread, job, NULL));
        }
    }
    sl_check(job->code, "cannot read the contents to compress them");
    sl__piece *segment = sl_arena_alloc(res->request->arena, sizeof(*segment));
    *segment = (sl__piece){.data = job->out.data, .fd = -1, .size = job->out.size};
    res->segments = segment;
    res->segment_count = 1;
}

/* ---- Compressing slice by slice ---------------------------------------------------------------------- */

static void write_slices(sl_stream *out, const char *data, uint64_t size)
{
    for (uint64_t done = 0; done < size;) {
        size_t part = size - done < SLICE ? (size_t)(size - done) : SLICE;
        sl_write(out, data + done, part);
        done += part;
        sl_yield();
    }
}

struct piece {
    int fd, code;
    char *data;
    size_t size;
    uint64_t offset;
};

static sl_result read_piece(void *data)
{
    struct piece *piece = data;
    piece->code = read_exactly(piece->fd, piece->data, piece->size, piece->offset);
    return sl_ok(NULL);
}

static void write_file(sl_stream *out, const sl__piece *segment, struct piece *piece)
{
    piece->fd = segment->fd;
    for (uint64_t done = 0; done < segment->size;) {
        piece->size = segment->size - done < READ_SIZE ? (size_t)(segment->size - done) : READ_SIZE;
        piece->offset = segment->offset + done;
        SL_SHIELD()
        {
            sl_await(sl_in_thread(read_piece, piece, NULL));
        }
        sl_check(piece->code, "cannot read the contents at byte %llu", (unsigned long long)piece->offset);
        write_slices(out, piece->data, piece->size);
        done += piece->size;
    }
}

static void write_segments(sl_stream *out, void *data)
{
    const sl_response *res = data;
    struct piece *piece = sl_zalloc(sizeof(*piece));
    for (size_t i = 0; i < res->segment_count; i++) {
        if (res->segments[i].data) {
            write_slices(out, res->segments[i].data, res->segments[i].size);
            continue;
        }
        if (!piece->data)
            piece->data = sl_alloc(READ_SIZE);
        write_file(out, &res->segments[i], piece);
    }
}

static void encode(sl_response *res, sl__coding coding)
{
    uint64_t size = res->body == SL__BODY_SEGMENTS ? segments_size(res) : 0;
    if (res->body == SL__BODY_SEGMENTS && size <= THREAD_MAX) {
        encode_whole(res, coding, size);
        return;
    }
    if (res->body == SL__BODY_SEGMENTS) {
        res->body = SL__BODY_STREAM;
        res->write = write_segments;
        res->write_data = res;
    }
    res->coding = (unsigned char)coding;
}

/* ---- The whole --------------------------------------------------------------------------------------- */

/* 304 and 412 say nothing of contents that they do not have. */
static void drop_contents(sl_response *res, int status)
{
    static const char *const contents[] = {"Content-Type",     "Content-Length", "Content-Encoding",
                                           "Content-Language", "Content-Range",  "Content-Digest"};
    res->status = status;
    res->body = status == 304 ? SL__BODY_NONE : SL__BODY_SEGMENTS;
    res->segment_count = 0;
    res->coding = SL__CODING_IDENTITY;
    res->type = NULL;
    for (size_t i = 0; i < sl_array_size(contents); i++)
        sl__fields_remove(&res->fields, contents[i]);
    if (status == 304 && field_value(res, "ETag"))
        sl__fields_remove(&res->fields, "Last-Modified");
}

void sl__content_prepare(sl_request *req, sl_response *res)
{
    if (res->prepared)
        return;
    res->prepared = true;
    sl__conditions conditions;
    sl__conditions_read(req, &conditions);
    sl__coding coding = SL__CODING_IDENTITY;
    if (may_encode(res)) {
        vary_by_encoding(res);
        /* Who asks for a part, or insists on the tag of the plain form, means the plain form. */
        if (!conditions.range && !conditions.if_match)
            coding = sl__coding_choose(req, &conditions, ~0u);
        if (coding != SL__CODING_IDENTITY)
            mark_encoded(res, coding);
    }
    const char *etag = field_value(res, "ETag"), *last_modified = field_value(res, "Last-Modified");
    bool get = req->method_id == SL__GET || req->method_id == SL__HEAD;
    if (get && res->status == 200 && (etag || last_modified) && sl__conditions_any(&conditions)) {
        sl__verdict verdict = sl__conditions_judge(req, &conditions, etag, last_modified);
        if (verdict != SL__GO_ON) {
            drop_contents(res, verdict == SL__NOT_MODIFIED ? 304 : 412);
            return;
        }
        const char *accept_ranges = field_value(res, "Accept-Ranges");
        if (conditions.range && req->method_id == SL__GET && res->body == SL__BODY_SEGMENTS &&
            !field_value(res, "Content-Range") && !(accept_ranges && sl__list_has(accept_ranges, "none")) &&
            sl__conditions_range_holds(&conditions, etag, last_modified)) {
            sl__range ranges[SL__RANGES_MAX];
            uint64_t size = segments_size(res);
            int count = sl__ranges_parse(conditions.range, size, ranges);
            if (count != 0)
                sl__ranges_apply(res, ranges, count, size);
            return;
        }
    }
    if (coding != SL__CODING_IDENTITY)
        encode(res, coding);
}
