/* asgi_internal.h: what the files of the ASGI driver share.
 *
 *     asgi.c            the loop, the wire, beginning and ending requests
 *     asgi_scope.c      from a web_request to the scope
 *     asgi_request.c    a request's receive and send as objects that can be awaited, and its queues
 *     asgi_http.c       messages of http
 *     asgi_websocket.c  messages of websocket
 *     silver/_asgi.py   the application's kind, the loop's making, lifespan */
#pragma once

#include "asgi.h"

#include "subsystem/hello.h"
#include "subsystem/talk.h"

#define ASGI_PIECE PORT_PIECE /* of a body, at most */
#define ASGI_BUCKETS 1024
#define ASGI_LEAVE_MS 500 /* after the parent left a call: then it is told that we have, too */
#define ASGI_CANCEL_MS                                                                                       \
    10000 /* after that the task is cancelled, if its client went; at once if time was up */

/* The names that messages and scopes are made of. */
#define ASGI_NAMES(X)                                                                                        \
    X(asgi, "asgi")                                                                                          \
    X(body, "body")                                                                                          \
    X(bytes, "bytes")                                                                                        \
    X(client, "client")                                                                                      \
    X(code, "code")                                                                                          \
    X(extensions, "extensions")                                                                              \
    X(headers, "headers")                                                                                    \
    X(http_version, "http_version")                                                                          \
    X(method, "method")                                                                                      \
    X(more_body, "more_body")                                                                                \
    X(path, "path")                                                                                          \
    X(query_string, "query_string")                                                                          \
    X(raw_path, "raw_path")                                                                                  \
    X(reason, "reason")                                                                                      \
    X(root_path, "root_path")                                                                                \
    X(scheme, "scheme")                                                                                      \
    X(server, "server")                                                                                      \
    X(state, "state")                                                                                        \
    X(status, "status")                                                                                      \
    X(subprotocol, "subprotocol")                                                                            \
    X(subprotocols, "subprotocols")                                                                          \
    X(text, "text")                                                                                          \
    X(type, "type")                                                                                          \
    X(http, "http")                                                                                          \
    X(https, "https")                                                                                        \
    X(websocket, "websocket")                                                                                \
    X(ws, "ws")                                                                                              \
    X(wss, "wss")                                                                                            \
    X(empty, "")                                                                                             \
    X(http_1_0, "1.0")                                                                                       \
    X(http_1_1, "1.1")                                                                                       \
    X(http_request, "http.request")                                                                          \
    X(http_disconnect, "http.disconnect")                                                                    \
    X(response_start, "http.response.start")                                                                 \
    X(response_body, "http.response.body")                                                                   \
    X(response_pathsend, "http.response.pathsend")                                                           \
    X(websocket_connect, "websocket.connect")                                                                \
    X(websocket_receive, "websocket.receive")                                                                \
    X(websocket_disconnect, "websocket.disconnect")                                                          \
    X(websocket_accept, "websocket.accept")                                                                  \
    X(websocket_send, "websocket.send")                                                                      \
    X(websocket_close, "websocket.close")                                                                    \
    X(websocket_response_start, "websocket.http.response.start")                                             \
    X(websocket_response_body, "websocket.http.response.body")                                               \
    X(call_soon, "call_soon")                                                                                \
    X(set_result, "set_result")                                                                              \
    X(add_done_callback, "add_done_callback")                                                                \
    X(done, "done")

struct asgi_names {
#define ASGI_NAME(identifier, text) PyObject *identifier;
    ASGI_NAMES(ASGI_NAME)
#undef ASGI_NAME
};
extern struct asgi_names asgi_names;

/* A piece of what goes out or has come in: its word (WEB_…; 0: the end) and the object that holds its bytes.
 */
struct piece {
    uint16_t word;
    PyObject *holder; /* bytes, or str with its UTF-8; NULL where there is none */
    const char *data;
    size_t size, offset; /* how much of it has gone */
};
struct pieces {
    struct piece *items;
    size_t first, count, room;
    uint64_t gone; /* since the beginning */
};

/* How far the application's answer is. */
enum said {
    SAID_NOTHING,
    SAID_START,   /* the head is known, and waits for the first of the body */
    SAID_HEAD,    /* the head is sent */
    SAID_ALL,     /* nothing more may follow */
    SAID_ACCEPT,  /* a WebSocket is open */
    SAID_GOODBYE, /* and closed by us */
};

struct response_header {
    uint32_t name, value, size; /* where they are in `text` */
};

typedef struct request {
    PyObject_HEAD struct request *next; /* in its bucket */
    uint64_t id;
    bool listed; /* it is in a bucket: the parent has no answer yet */
    bool websocket;
    bool gone;      /* the client is, or the parent has given it up */
    bool late;      /* … because the time was up */
    bool cancelled; /* the task was */
    bool finished;  /* it has ended */
    PyObject *task, *timer;
    PyObject *scope;
    PyObject *transaction;         /* what it does in databases (transaction.h), or NULL */
    char name[48], peer[80];       /* the request's id and where it comes from, for silver.context */
    PyObject *receivers, *senders; /* futures of those who wait, or NULL */
    uint64_t begun_ns, deadline_ns;
    /* What comes. */
    PyObject *body; /* the whole body, until it is taken */
    int body_file;
    int64_t body_left;            /* of the file */
    bool body_streams, body_told; /* told: the application knows all of it */
    bool incoming_ended, connect_told;
    struct pieces incoming;
    size_t taken; /* bytes that the parent was not given credit for yet */
    int close_code;
    PyObject *close_reason;
    /* What goes. */
    enum said said;
    int64_t window;
    struct pieces outgoing;
    int status;
    struct response_header *headers;
    size_t header_count, header_room;
    sl_buffer text; /* of the headers */
} request;

struct asgi {
    struct web *web;
    struct port *port;
    void (*ready)(struct web *web);
    pthread_t thread;
    PyObject *application, *state, *loop, *loop_dict;
    PyObject *task_type, *task_keywords, *task_name, *create_future, *call_later;
    PyObject *capture, *step, *step_context; /* see asgi_begin in asgi.c */
    PyObject *flush, *readable;
    PyObject *disconnected; /* the exception */
    PyObject *here;         /* the context variable that has a task's request */
    request *buckets[ASGI_BUCKETS];
    size_t listed, tasks;
    bool in_batch, flush_planned, gone, stopped;
    uint64_t unflushed_ns;            /* since when something waits for the bell */
    sl_arena *arena, *response_arena; /* of what comes and of what goes */
    sl_buffer out;
};
extern struct asgi asgi;

/* ---- asgi.c ---- */

/* Something was put: it is rung for at the end of the batch or of the loop's turn. */
void asgi_touched(void);
void asgi_put(const request *r, sl__packet_kind kind, uint16_t word, const void *data, size_t size);
/* A record in SL__DATA; true, or false with an exception. */
bool asgi_put_record(request *r, uint16_t word, const sl_record *record, const void *value);
/* Its task has ended. */
void asgi_ended(request *r);
/* Takes it off the list of those that the parent waits for. */
void asgi_unlist(request *r);

/* ---- asgi_scope.c ---- */

bool asgi_scope_open(void);
/* The scope of a request (a new reference), or NULL with an exception. */
PyObject *asgi_scope(const struct web_request *web);

/* ---- asgi_request.c ---- */

extern PyTypeObject asgi_request_type;
bool asgi_request_open(void);
request *asgi_request_new(uint64_t id, const struct web_request *web);
PyObject *asgi_request_receive(request *r); /* the callables; new references */
PyObject *asgi_request_send(request *r);
void asgi_wake(PyObject **waiting);
bool asgi_piece_add(struct pieces *pieces, uint16_t word, PyObject *holder, const char *data, size_t size);
void asgi_piece_drop(struct pieces *pieces); /* the first */
struct piece *asgi_piece_first(struct pieces *pieces);
/* So many bytes that came were taken by the application: credit for the parent. */
void asgi_took(request *r, size_t size);
/* Sends what the window allows. */
void asgi_pump(request *r);
/* What send gives for pieces that are in the queue: nothing to wait for, or something to await. */
PyObject *asgi_sent(request *r);
/* The task has ended, or all has gone: says so to the parent if both are true. */
void asgi_settle(request *r);
/* The parent has left the call. */
void asgi_leave(request *r);

/* Bytes of a message's value, in *ret_holder (a new reference); 1; 0 if it is absent or None; -1. */
int asgi_bytes(PyObject *message, PyObject *key, PyObject **ret_holder);
/* Headers of a message into r->headers. */
bool asgi_headers(request *r, PyObject *message);
struct web_header *asgi_web_headers(request *r, sl_arena *arena);

/* ---- asgi_http.c, asgi_websocket.c ---- */

/* The next message (a new reference); NULL without an exception: there is none yet. */
PyObject *asgi_http_take(request *r);
PyObject *asgi_websocket_take(request *r);
/* Carries out a message of the application: what its send gives, or NULL with an exception. */
PyObject *asgi_http_send(request *r, PyObject *type, PyObject *message);
PyObject *asgi_websocket_send(request *r, PyObject *type, PyObject *message);
bool asgi_http_start(request *r, PyObject *message);
PyObject *asgi_http_body(request *r, PyObject *message);
/* The task has ended without an exception: whether the conversation is whole; if not, an exception says what
 * is missing. */
bool asgi_http_whole(request *r);
bool asgi_websocket_whole(request *r);
