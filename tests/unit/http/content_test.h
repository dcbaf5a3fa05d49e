/* content_test.h: requests made by hand, and looks at the responses to them. For tests of contents only. */
#pragma once

#include "http/content.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <unistd.h>
#include <cmocka.h>

#include <brotli/decode.h>
#include <zlib.h>
#include <zstd.h>

static inline void release_request(void *req)
{
    sl__request_release(req);
}

/* A request with header fields given as pairs of name and value, then NULL. In the calling task's arena. */
__attribute__((sentinel)) static inline sl_request *request(const char *method, const char *path, ...)
{
    sl_request *req = sl_zalloc(sizeof(*req));
    const char *query = strchr(path, '?');
    *req = (sl_request){
        .arena = sl_task_arena(),
        .method_id = strcmp(method, "GET") == 0    ? SL__GET
                     : strcmp(method, "HEAD") == 0 ? SL__HEAD
                     : strcmp(method, "POST") == 0 ? SL__POST
                                                   : SL__METHOD_OTHER,
        .method = method,
        .target = path,
        .path = query ? sl_printf("%.*s", (int)(query - path), path) : path,
        .query = query ? query + 1 : "",
        .host = "example.org",
        .minor = 1,
        .head_only = strcmp(method, "HEAD") == 0,
    };
    req->fields.capacity = 32;
    req->fields.items = sl_alloc(32 * sizeof(sl__field));
    va_list pairs;
    va_start(pairs, path);
    for (const char *name; (name = va_arg(pairs, const char *));) {
        const char *value = va_arg(pairs, const char *);
        req->fields.items[req->fields.count++] =
            (sl__field){name, value, (uint32_t)strlen(name), (uint32_t)strlen(value)};
    }
    va_end(pairs);
    sl_defer(release_request, req);
    return req;
}

static inline sl_response *bytes(sl_request *req, const char *type, const void *data, size_t size)
{
    sl_response *res = sl_zalloc(sizeof(*res));
    sl__piece *segment = sl_zalloc(sizeof(*segment));
    *segment = (sl__piece){.data = data, .fd = -1, .size = size};
    *res = (sl_response){.request = req,
                         .status = 200,
                         .type = type,
                         .body = SL__BODY_SEGMENTS,
                         .segments = segment,
                         .segment_count = size ? 1 : 0};
    return res;
}

static inline const char *field(const sl_response *res, const char *name)
{
    const sl__field *found = sl__fields_find(&res->fields, name);
    return found ? found->value : NULL;
}

/* All that the segments hold, of memory and of files. */
static inline sl_view body(const sl_response *res)
{
    uint64_t size = 0, done = 0;
    for (size_t i = 0; i < res->segment_count; i++)
        size += res->segments[i].size;
    char *data = sl_alloc(size + 1);
    for (size_t i = 0; i < res->segment_count; i++) {
        const sl__piece *segment = &res->segments[i];
        if (segment->data)
            memcpy(data + done, segment->data, segment->size);
        else
            assert_int_equal(pread(segment->fd, data + done, segment->size, (off_t)segment->offset),
                             segment->size);
        done += segment->size;
    }
    data[size] = 0;
    return (sl_view){data, size};
}

/* What a client makes of it. `max` is at least the size of the plain contents. */
static inline sl_view decoded(sl_view in, const char *coding, size_t max)
{
    char *out = sl_alloc(max + 1);
    size_t size = max;
    if (strcmp(coding, "gzip") == 0) {
        z_stream z = {.next_in = (unsigned char *)in.data,
                      .avail_in = (unsigned)in.size,
                      .next_out = (unsigned char *)out,
                      .avail_out = (unsigned)max};
        assert_int_equal(inflateInit2(&z, 15 + 16), Z_OK);
        int code = inflate(&z, Z_FINISH);
        assert_true(code == Z_STREAM_END && z.avail_in == 0);
        size = max - z.avail_out;
        inflateEnd(&z);
    } else if (strcmp(coding, "br") == 0) {
        assert_int_equal(BrotliDecoderDecompress(in.size, (const uint8_t *)in.data, &size, (uint8_t *)out),
                         BROTLI_DECODER_RESULT_SUCCESS);
    } else {
        assert_string_equal(coding, "zstd");
        size = ZSTD_decompress(out, max, in.data, in.size);
        assert_false(ZSTD_isError(size));
    }
    out[size] = 0;
    return (sl_view){out, size};
}

#define assert_body(res, text)                                                                               \
    do {                                                                                                     \
        sl_view body_ = body(res);                                                                           \
        assert_int_equal(body_.size, strlen(text));                                                          \
        assert_memory_equal(body_.data, (text), strlen(text));                                               \
    } while (0)

/* IN_TASK(name) { … } is a test whose body runs in a task. */
#define IN_TASK(test)                                                                                        \
    static void test##_body(void);                                                                           \
    static void *test##_task(void *data)                                                                     \
    {                                                                                                        \
        test##_body();                                                                                       \
        return data;                                                                                         \
    }                                                                                                        \
    static void test(void **state)                                                                           \
    {                                                                                                        \
        void *finished = NULL;                                                                               \
        assert_int_equal(sl_run("test", test##_task, (char *)#test, &finished), 0);                          \
        assert_non_null(finished);                                                                           \
    }                                                                                                        \
    static void test##_body(void)
