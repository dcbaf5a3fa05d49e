/* web_talk.h: what an instance and a worker in Python say to each other about one request: a long call
 * (subsystem/talk.h) of the service WEB_SERVICE.
 *
 *   instance → worker   SL__CALL    struct web_request, flat
 *                       SL__DATA    word WEB_BODY: a piece of the request's body, where it comes as a stream
 * (ASGI); WEB_TEXT, WEB_BINARY: a WebSocket message; WEB_CLOSE: struct web_close, the peer has closed SL__END
 * the request's body has ended SL__CANCEL  the client is gone, or the time is up worker → instance   SL__DATA
 * word WEB_HEAD: struct web_response, flat; WEB_BODY: a piece of the response's body; WEB_TRAILER…; for
 * WebSockets WEB_ACCEPT: struct web_accept, then WEB_TEXT and WEB_BINARY, and WEB_CLOSE SL__END     the
 * response's body has ended (the application may still be working) SL__RESULT  the worker is done with the
 * request SL__FAILED  the application failed: struct sl__trouble. Before WEB_HEAD it becomes the 500
 *
 * A small response is one packet, WEB_HEAD with `body` and `last`, followed by SL__RESULT. */
#pragma once

#include <silver/record.h>

#define WEB_SERVICE "silver.web" /* offered by the instance itself, its module the application's */

enum {
    WEB_HEAD = 1,
    WEB_BODY,
    WEB_ACCEPT,
    WEB_TEXT,
    WEB_BINARY,
    WEB_CLOSE,
};

#define WEB_HEADER(F) F(name, text) F(value, text)
SL_RECORD(web_header, WEB_HEADER);

#define WEB_REQUEST(F)                                                                                       \
    F(method, text)                                                                                          \
    F(target, text) /* as it was sent */                                                                     \
    F(path, bytes)  /* decoded */                                                                            \
    F(query, text)                                                                                           \
    F(scheme, text)                                                                                          \
    F(peer, text)                                                                                            \
    F(server_name, text)                                                                                     \
    F(server_port, text)                                                                                     \
    F(id, text)                                                                                              \
    F(minor, integer)                                                                                        \
    F(headers, list(web_header)) /* names in lower case */                                                   \
    F(body, bytes)               /* the whole, if it is small and has come */                                \
    F(body_file, file)           /* the whole, from its beginning, if it is large; else -1 */                \
    F(body_size, integer)        /* -1: it comes as a stream */                                              \
    F(websocket, boolean)                                                                                    \
    F(protocols, text)      /* that the client offers, as sent; or NULL */                                   \
    F(deadline_ms, integer) /* from now: then the request is given up */
SL_RECORD(web_request, WEB_REQUEST);

#define WEB_RESPONSE(F)                                                                                      \
    F(status, integer)                                                                                       \
    F(headers, list(web_header))                                                                             \
    F(body, bytes)                                                                                           \
    F(last, boolean) /* the body is whole */                                                                 \
    F(file, file)    /* the rest of the body is this file's; else -1 */                                      \
    F(file_offset, integer)                                                                                  \
    F(file_size, integer) /* -1: to its end */
SL_RECORD(web_response, WEB_RESPONSE);

#define WEB_ACCEPT_FIELDS(F) F(protocol, text) F(headers, list(web_header))
SL_RECORD(web_accept, WEB_ACCEPT_FIELDS);
#define WEB_CLOSE_FIELDS(F) F(code, integer) F(reason, text)
SL_RECORD(web_close, WEB_CLOSE_FIELDS);
