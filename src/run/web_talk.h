/* web_talk.h: what an instance and a worker in Python say to each other about one request: a long call
 * (subsystem/talk.h) of the service WEB_SERVICE, method WEB_SERVE.
 *
 *   instance → worker
 *     SL__CALL    struct web_request, flat
 *     SL__DATA    WEB_BODY: a piece of the request's body, where it comes as a stream (ASGI);
 *                 WEB_TEXT, WEB_BINARY: a WebSocket message; WEB_CLOSE: struct web_close, the peer has closed
 *     SL__END     the request's body has ended; nothing more comes
 *     SL__CANCEL  the time is up; with the word 1: the client is gone, and the application may end what it
 * does worker → instance SL__DATA    WEB_HEAD: struct web_response, flat; WEB_BODY: a piece of the response's
 * body; for WebSockets WEB_ACCEPT: struct web_accept, then WEB_TEXT, WEB_BINARY and WEB_CLOSE (or WEB_HEAD:
 * it is refused with that response) SL__END     the response's body has ended (the application may still be
 * working) SL__RESULT  the worker is done with the request SL__FAILED  the application failed: struct
 * sl__trouble. Before WEB_HEAD it becomes the 500
 *
 * A small response is one packet, WEB_HEAD with `body` and `last`, followed by SL__RESULT.
 *
 * Method WEB_ABOUT is a call without arguments whose result is struct web_about, flat: the instance asks it
 * once, when the first worker is to have loaded the application, and is ready when that is answered. What
 * keeps the application from loading (an import that fails) is the call's failure.
 *
 * A worker finds in its environment what it is to serve; it works in the application's directory. */
#pragma once

#include <silver/record.h>

#define WEB_SERVICE "silver.web" /* offered by the instance itself, its module the application's */
enum {
    WEB_SERVE,
    WEB_ABOUT,
};

#define WEB_ENV_DIRECTORY "SILVER_APPLICATION" /* the application's directory */
#define WEB_ENV_OBJECT "SILVER_OBJECT"         /* the callable's name in the module: "application" */
#define WEB_ENV_VENV "SILVER_VENV"             /* the virtualenv's directory; unset: there is none */
#define WEB_ENV_NAME "SILVER_NAME"             /* the application's name */
#define WEB_ENV_INSTANCE "SILVER_INSTANCE"     /* the instance's number */
#define WEB_ENV_LEVEL "SILVER_LOG_LEVEL"       /* of its log: "debug", "info", "warning" or "error" */
#define WEB_ENV_THREADS "SILVER_THREADS"       /* of a WSGI application in one process */

#define WEB_ABOUT_FIELDS(F)                                                                                  \
    F(interface, text) /* "wsgi" or "asgi" */                                                                \
    F(python, text)    /* its version: "3.11.2" */
SL_RECORD(web_about, WEB_ABOUT_FIELDS);

enum {
    WEB_HEAD = 1,
    WEB_BODY,
    WEB_ACCEPT,
    WEB_TEXT,
    WEB_BINARY,
    WEB_CLOSE,
};

/* The value is bytes: HTTP allows others than UTF-8 in it. */
#define WEB_HEADER(F) F(name, text) F(value, bytes)
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
