/* message.h: what a request and a response are inside the http room. Everybody else uses silver/http.h. */
#pragma once

#include <silver/http.h>

typedef enum sl__method {
    SL__GET,
    SL__HEAD,
    SL__POST,
    SL__PUT,
    SL__DELETE,
    SL__PATCH,
    SL__OPTIONS,
    SL__METHOD_OTHER, /* any other token: the string says which */
} sl__method;

/* One header field. Both strings are NUL-terminated; names are as they were sent. */
typedef struct sl__field {
    const char *name, *value;
    uint32_t name_size, value_size;
} sl__field;

typedef struct sl__fields {
    sl__field *items;
    size_t count, capacity;
} sl__fields;

/* What must be released when the request has been answered, the last first. */
typedef struct sl__release {
    struct sl__release *next;
    sl_free_fn *fn;
    void *data;
} sl__release;

struct sl_request {
    sl_arena *arena; /* the task's */
    sl_http_server *server;
    struct sl__connection *connection;
    uint64_t id;
    uint64_t started_ns;
    sl__method method_id;
    const char *method, *target, *path, *query, *host;
    uint8_t minor;
    bool head_only; /* HEAD: the head of what GET would get */
    sl__fields fields;
    sl__fields trailers;
    struct sl__body *body; /* the server's: how far the body was read */
    void *web;             /* the web room's: routes, parameters, forms */
    sl__release *releases;
};

/* Calls fn(data) when the response has been sent or given up. (What sl_defer registers inside an SL_SCRATCH
 * block goes with the block.) */
void sl__request_defer(sl_request *req, sl_free_fn *fn, void *data);
void sl__request_release(sl_request *req);

/* From now on this scope is cancelled when the client's connection breaks (NULL: nothing is); and whether it
 * has. For handlers that wait for others, before they have a response. */
SL_API void sl__request_watch(sl_request *req, sl_scope *scope);
SL_API bool sl__request_gone(const sl_request *req);

/* A body is made of segments, sent one after the other. */
typedef struct sl__piece {
    const char *data; /* or, if NULL, */
    int fd;           /* of a file: bytes [offset, offset + size) */
    uint64_t offset;
    uint64_t size;
} sl__piece;

typedef enum sl__body_kind {
    SL__BODY_NONE,     /* no content: 204, 304, or just a head */
    SL__BODY_SEGMENTS, /* known in full */
    SL__BODY_STREAM,   /* written by a function as it goes; chunked */
    SL__BODY_UPGRADE,  /* 101: the connection becomes a WebSocket */
} sl__body_kind;

struct sl_response {
    sl_request *request;
    int status;
    sl__fields fields;
    const char *type; /* Content-Type, unless it is among the fields */
    sl__body_kind body;
    sl__piece *segments;
    size_t segment_count;
    sl_stream_fn *write;
    void *write_data;
    sl_websocket_fn *websocket;
    const sl_websocket_options *websocket_options;
    unsigned char coding; /* of a stream: the sl__coding that its bytes must pass through; 0 is none */
    bool prepared;        /* sl__content_prepare has seen it */
};

/* content.c: what RFC 9110 asks of a response that a handler made, before it is sent: conditional requests
 * (304, 412), ranges (206, 416, multipart/byteranges), compression by Accept-Encoding with Vary. Changes the
 * response in place. For a stream that is to be compressed it sets Content-Encoding, and sl__encoder_new(res)
 * gives the encoder that the stream's bytes must pass through. In the request's task; may suspend (reads of
 * files). */
void sl__content_prepare(sl_request *req, sl_response *res);

/* compress.c: an encoder of one stream. */
typedef struct sl__encoder sl__encoder;
typedef enum sl__encode_step {
    SL__ENCODE_MORE,  /* buffer freely */
    SL__ENCODE_FLUSH, /* what went in must come out */
    SL__ENCODE_END,   /* and the end mark */
} sl__encode_step;
/* The encoder that the response's Content-Encoding names, or NULL if there is none to apply. Freed by the
 * caller. */
sl__encoder *sl__encoder_new(const sl_response *res);
void sl__encode(sl__encoder *encoder, const void *data, size_t size, sl__encode_step step, sl_buffer *out);
sl__encoder *sl__encoder_free(sl__encoder *encoder);

/* static.c: files of a directory. The response for the request's path, NULL where there is no such file (the
 * handler's turn). `statics` is made once a server. In the request's task; may suspend. */
typedef struct sl__static sl__static;
int sl__static_new(const char *directory, sl__static **ret_static);
sl__static *sl__static_free(sl__static *statics);
sl_response *sl__static_serve(sl__static *statics, sl_request *req);
/* The media type of a file name: "text/html; charset=utf-8"; "application/octet-stream" if unknown. Static.
 */
const char *sl__media_type(const char *name);

/* date.c: IMF-fixdate, RFC 9110 section 5.6.7. `out` has room for 30 bytes. Parsing takes all three forms. */
void sl__http_date(int64_t seconds, char out[static 30]);
int sl__http_date_parse(sl_view text, int64_t *ret_seconds);

/* origin.c: whether an Origin is the site that the request went to. */
bool sl__origin_is_ours(const sl_request *req, const char *origin);
/* Whether a browser sent the request for a page of another site. */
bool sl__from_other_site(const sl_request *req);
