/* http.h: HTTP/1.1 (RFC 9110, RFC 9112) and WebSocket (RFC 6455, RFC 7692).
 *
 * A server accepts connections, reads requests strictly, runs its handler for each in a task of its own, and
 * writes what the handler returns. The task's arena holds the request and the response: nothing is freed by
 * hand, and what sl_alloc gives lives as long as the request. A handler that fails (sl_fail, or an await of
 * something that failed) is answered with an error response. */
#pragma once

#include <silver/core.h>
#include <sys/types.h>

typedef struct sl_request sl_request;
typedef struct sl_response sl_response;
typedef struct sl_stream sl_stream;
typedef struct sl_websocket sl_websocket;
typedef struct sl_http_server sl_http_server;

/* ---- Request ----------------------------------------------------------------------------------------- */
/* All strings are NUL-terminated (a NUL in them is refused) and live as long as the request. */

SL_API const char *sl_method(const sl_request *req); /* "GET" */
SL_API const char *sl_target(const sl_request *req); /* as it was sent: "/rooms/a%20b?x=1" */
SL_API const char *sl_path(const sl_request *req);   /* decoded, without dot segments: "/rooms/a b" */
SL_API const char *sl_query(const sl_request *req);  /* raw, after the "?"; "" if none */
SL_API const char *sl_host(const sl_request *req);   /* of the Host field or an absolute target */
SL_API const char *sl_scheme(const sl_request *req); /* "http" or "https" */
SL_API const char *sl_peer(const sl_request *req);   /* the client's address without its port, or "unix" */
SL_API const char *sl_request_id(const sl_request *req); /* unique: 16 hexadecimal digits */
SL_API int sl_http_minor(const sl_request *req);         /* 1 for HTTP/1.1, 0 for HTTP/1.0 */
/* A header field's value (the first, if there are several lines), or NULL. Names compare without case. */
SL_API const char *sl_header(const sl_request *req, const char *name);
SL_API size_t sl_header_count(const sl_request *req);
SL_API const char *sl_header_at(const sl_request *req, size_t i, const char **ret_name);

/* The whole body, at most `max` bytes (0: the server's body limit), and its size; never NULL. Fails with
 * SL_HTTP(413) beyond, SL_HTTP(400) for a broken one, SL_HTTP(408) when it does not come. A second call gives
 * the same. May suspend. */
SL_API const char *sl_body(sl_request *req, size_t max, size_t *ret_size);
/* The next piece of the body as it comes: NULL at its end. The piece lives until the next call. Reads no
 * further than the handler asks: a client is held back by TCP. May suspend. */
SL_API const char *sl_body_read(sl_request *req, size_t *ret_size);
/* The value of a trailer field, after the body's end; or NULL. */
SL_API const char *sl_trailer(const sl_request *req, const char *name);

/* ---- Response ---------------------------------------------------------------------------------------- */
/* Made in the request's arena. What the library adds by itself unless it is there: Date, Content-Length or
 * chunked coding, Content-Encoding with Vary where the client accepts it and the type is text, and for
 * successful GET with an ETag or Last-Modified, the answers to conditional and range requests. HEAD gets the
 * same without the body. */

SL_API sl_response *sl_respond(sl_request *req, int status); /* without a body */
SL_API sl_response *sl_bytes_response(sl_request *req, int status, const char *type, const void *data,
                                      size_t size); /* not copied */
SL_API sl_response *sl_text(sl_request *req, int status, const char *format, ...)
    SL_PRINTF(3, 4); /* text/plain, UTF-8 */
/* A file's contents: fails with SL_HTTP(404) if it cannot be opened or is not a regular file. `type` NULL: by
 * its name. */
SL_API sl_response *sl_file_response(sl_request *req, const char *path, const char *type);
/* The part of an open regular file from `offset`, `size` bytes (UINT64_MAX: to its end), which the kernel
 * sends from the descriptor. Takes the descriptor over, also when it fails: with SL_EINVAL for what is no
 * regular file or ends before that. It has no ETag: the file may be any. */
SL_API sl_response *sl_open_file_response(sl_request *req, int status, const char *type, int fd,
                                          uint64_t offset, uint64_t size);
/* A body written as it is made: `write` runs in the request's task after the head was decided. */
typedef void sl_stream_fn(sl_stream *out, void *data);
SL_API sl_response *sl_stream_response(sl_request *req, int status, const char *type, sl_stream_fn *write,
                                       void *data);
/* Writes a piece; waits while the client has more than a buffer's worth outstanding. Fails with SL_EPIPE when
 * the client is gone; what a stream awaits is cancelled then. A client that has closed its sending side still
 * gets the whole: whether it is gone shows when something is written, or a minute or two later. May suspend.
 */
SL_API void sl_write(sl_stream *out, const void *data, size_t size);
SL_API void sl_write_printf(sl_stream *out, const char *format, ...) SL_PRINTF(2, 3);
SL_API void sl_flush(sl_stream *out); /* sends what is buffered. May suspend. */

/* Fields. A name or value with a control character in it fails with SL_EINVAL. Return the response. */
SL_API sl_response *sl_set_header(sl_response *res, const char *name, const char *value); /* replaces */
SL_API sl_response *sl_add_header(sl_response *res, const char *name, const char *value); /* another line */
SL_API const char *sl_response_header(const sl_response *res, const char *name);
SL_API int sl_status(const sl_response *res);
SL_API sl_response *sl_set_status(sl_response *res, int status);
SL_API const char *sl_status_reason(int status); /* "Not Found"; "" if unknown */

/* ---- WebSocket --------------------------------------------------------------------------------------- */

struct sl_websocket {
    sl_request *request; /* the one that opened it */
    void *data;          /* of its options */
};

typedef enum sl_message_kind {
    SL_TEXT = 1,
    SL_BINARY = 2,
} sl_message_kind;

typedef struct sl_message {
    sl_message_kind kind;
    size_t size;
    char *data; /* data[size] is NUL; text is valid UTF-8 */
} sl_message;

/* What a WebSocket handler is. It runs in the request's task. When it returns, the connection is closed with
 * 1000, and when it fails, with 1011. When the client goes, sl_receive gives NULL after the messages that had
 * come, and sending fails with SL_ECLOSED; a handler that is still there 5 s later is cancelled, and one that
 * never received at once. */
typedef void sl_websocket_fn(sl_websocket *ws);

typedef struct sl_websocket_options {
    size_t max_message;           /* 0 is 1 MiB; beyond it the peer gets 1009 */
    uint64_t ping_ms;             /* 0 is 20 s; a peer silent for two of them is gone */
    const char *const *origins;   /* allowed besides the site's own, NULL-terminated; "*" allows all */
    const char *const *protocols; /* subprotocols we speak, in order of preference, NULL-terminated */
    void *data;                   /* for the handler, which finds it in the WebSocket */
} sl_websocket_options;

/* Answers an Upgrade request: 101 and then `handler`, or 400, 403 (Origin) or 426 as the case may be. */
SL_API sl_response *sl_websocket_accept(sl_request *req, sl_websocket_fn *handler,
                                        const sl_websocket_options *options);

/* The next message, or NULL when the peer has closed. It lives until the next call. May suspend. */
SL_API sl_message *sl_receive(sl_websocket *ws);
/* Queue a message; wait while the peer has more than a buffer's worth outstanding. May suspend. */
SL_API void sl_send_text(sl_websocket *ws, const char *text);
SL_API void sl_send_printf(sl_websocket *ws, const char *format, ...) SL_PRINTF(2, 3);
SL_API void sl_send_binary(sl_websocket *ws, const void *data, size_t size);
SL_API void sl_send_message(sl_websocket *ws, sl_message_kind kind, const void *data, size_t size);
SL_API void sl_send_json(sl_websocket *ws, const char *format, ...); /* as json_pack */
/* Starts the closing handshake (code 1000 … 4999, reason at most 123 bytes); later sends fail with
 * SL_ECLOSED. */
SL_API void sl_websocket_close(sl_websocket *ws, int code, const char *reason);
SL_API int
sl_websocket_close_code(const sl_websocket *ws); /* the peer's: 1005 without one, 1006 when it just went */
SL_API const char *sl_websocket_protocol(const sl_websocket *ws); /* the one agreed on, or NULL */

/* ---- Server ------------------------------------------------------------------------------------------ */

typedef sl_response *sl_handler(sl_request *req);

/* Everything that a peer could make grow. X(name, default, unit, what happens beyond) — these are also the
 * keys of the manifest's section [limits]. */
#define SL_HTTP_LIMITS(X)                                                                                    \
    X(request_line, 8192, "bytes", "414")                                                                    \
    X(header_size, 32768, "bytes", "431: all fields together")                                               \
    X(header_count, 100, "fields", "431")                                                                    \
    X(body_size, 1048576, "bytes", "413: of what a handler asks for whole")                                  \
    X(header_ms, 10000, "ms", "408: from a request's first byte to the end of its head")                     \
    X(body_ms, 30000, "ms", "408: without a byte of a body that is waited for")                              \
    X(body_rate, 500, "bytes/s", "408: on average, of a body that was waited for longer than body_ms")       \
    X(write_ms, 30000, "ms", "closed: without a byte taken of what is sent")                                 \
    X(idle_ms, 75000, "ms", "closed: between requests")                                                      \
    X(requests, 100000, "requests", "closed after so many on one connection")                                \
    X(connections, 10000, "connections", "503, and closed: open at once in an instance")                     \
    X(in_flight, 2000, "requests", "503: in handlers at once, but for those that wait for a body")           \
    X(write_buffer, 262144, "bytes", "a writer waits: outstanding to one client")                            \
    X(websocket_message, 1048576, "bytes", "1009: one message")                                              \
    X(drain_ms, 10000, "ms", "cancelled: requests that a stop waits for")

typedef struct sl_http_limits {
#define SL__LIMIT(name, value, unit, beyond) uint64_t name;
    SL_HTTP_LIMITS(SL__LIMIT)
#undef SL__LIMIT
} sl_http_limits;
SL_API void sl_http_limits_init(sl_http_limits *limits); /* the defaults */

typedef enum sl_access_format {
    SL_ACCESS_NONE,
    SL_ACCESS_COMBINED,
    SL_ACCESS_JSON,
} sl_access_format;

typedef struct sl_http_options {
    sl_http_limits limits; /* filled by sl_http_limits_init */
    sl_handler *handler;   /* what answers, after static files */
    sl_websocket_options websocket;
    const char *static_directory; /* served from the root before the handler; NULL: none */
    const char *access_log;       /* the file's path; NULL: none */
    sl_access_format access_format;
    bool debug; /* development: failures are shown whole */
    /* Makes the response to a failure, and logs it if it is ours; NULL: plain text, and 5xx in the log. It
     * must not fail. */
    sl_response *(*failure)(sl_request *req, const sl_error *error);
} sl_http_options;

/* Makes a server in the current root. 0 or a code. The options are copied; their strings are not. From then
 * on the process ignores SIGPIPE, unless it has a handler for it. */
SL_API int sl_http_server_new(const sl_http_options *options, sl_http_server **ret_server);
/* Serves a listening socket, which it takes over. Several may be added. */
SL_API int sl_http_server_listen(sl_http_server *server, int fd);
/* Stops accepting, lets requests finish (idle connections close at once, WebSockets with 1001), and succeeds
 * when all are gone, at the latest after the limit drain_ms. */
SL_API sl_deferred *sl_http_server_drain(sl_http_server *server);
SL_API sl_http_server *sl_http_server_free(sl_http_server *server); /* closes everything */
SL_API int sl_http_server_reopen_log(sl_http_server *server);
/* Metrics in Prometheus' text format, version 0.0.4. */
typedef struct sl_http_counts {
    uint64_t requests;               /* answered so far */
    uint64_t in_flight, connections; /* now */
} sl_http_counts;
SL_API void sl_http_server_counts(const sl_http_server *server, sl_http_counts *ret_counts);
SL_API void sl_http_server_metrics(sl_http_server *server, sl_buffer *out);

/* Opens a listening TCP socket: "127.0.0.1:8080", "[::1]:80", ":8080" (all addresses), or "unix:/path". Port
 * 0 picks one. On failure *ret_error says which address and why. */
SL_API int sl_listen(const char *address, int backlog, int *ret_fd, sl_error **ret_error);
/* The socket's address as text, "127.0.0.1:8080". */
SL_API char *sl_listen_address(int fd); /* malloc'ed */
