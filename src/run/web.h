/* web.h: how an instance serves requests by workers in Python.
 *
 *   web_start.c     the workers: offered to the manager, waited for, and what is wrong with them
 *   web_handler.c   one request: from sl_request to a long call (web_talk.h), and its failures
 *   web_body.c      the request's body: read whole before a WSGI worker hears of the request, or streamed
 *   web_response.c  what the worker answers as an sl_response; streams are drained ahead of the client
 *   web_spool.c     bytes that wait: some in memory, the rest in a nameless file
 *   web_socket.c    WebSockets
 *
 * A client never holds a worker: that is given a request when it has come, and rid of it when its answer is
 * written down. What waits for clients waits here, in bounded memory and on bounded disk. */
#pragma once

#include <silver/http.h>
#include <silver/io.h>
#include "run/python.h"
#include "run/web_talk.h"
#include "subsystem/talk.h"

#define WEB_IN_MEMORY 65536 /* of a request's body; what is larger goes to a file */
#define WEB_AHEAD 262144    /* of a response, in memory */

/* Of an instance. */
struct web {
    const struct manifest *manifest;
    const char *interface; /* "wsgi" or "asgi"; NULL: the application has not started */
    bool asgi;
    uint64_t spooled; /* bytes on disk, of all requests and responses */
};

/* A queue of bytes, for one task that puts and one that takes. What does not fit WEB_AHEAD goes to a file
 * without a name; past `most` bytes there, or where the web's spool_size is used up, who puts waits. */
struct spool {
    struct web *web;
    uint64_t most;
    sl_buffer memory;         /* always older than what is in the file */
    sl_buffer current;        /* older still: what was taken last */
    sl_result file;           /* an sl_file, or nothing yet */
    uint64_t put_at, take_at; /* in the file, which is a ring of `most` bytes */
    bool ended, no_file;
    sl_deferred *putter, *taker; /* who waits */
};

/* One request. */
struct relay {
    struct web *web;
    sl_request *req;
    sl__talk *talk;
    uint64_t body_size; /* of what has come of a streamed body */
    sl_view piece;      /* of it, taken and not sent yet */
    bool streams_body, body_ended;
    bool unwanted; /* the response's body: what comes of it is dropped, for a while */
    bool last;     /* it is whole, */
    bool over;     /* and the worker is done with the request */
    bool failed;
    sl_view first; /* what came with the head */
    struct spool spool;
};

struct web *web_of(sl_request *req);

/* ---- web_start.c ---- */

/* What workers, and children with a service in Python, are told of the application by the environment. */
void web_set_environment(const struct manifest *manifest);
/* And what all children are: of which application and instance, and what they log. */
void web_set_identity(const struct manifest *manifest, int instance);

/* ---- web_handler.c ---- */

sl_response *web_handle(sl_request *req);
sl_response *web_failure(sl_request *req, const sl_error *error);
/* Begins the talk about a request: `request` is filled in but for what every request says of itself. A client
 * that goes meanwhile ends this. */
void relay_begin(struct relay *relay, struct web_request *request);
/* The next packet, within timeout_ms where `bounded`; false: the worker is done. Past that the worker is told
 * to leave the request, and this fails with SL_HTTP(504). */
bool relay_next(struct relay *relay, bool bounded, sl__packet *ret_packet);
/* The record in a packet; what came with it lives until the next relay_next. Fails if it is none. */
void *relay_decode(const sl__packet *packet, const sl_record *record);
/* run(relay, data), which ends when the client goes: this then fails with SL_EPIPE. */
void *relay_while_client(struct relay *relay, void *(*run)(struct relay *relay, void *data), void *data);
SL_NORETURN void relay_wrong(const struct relay *relay, const char *what);

/* ---- web_body.c ---- */

/* Takes in the body as the application is to have it: fills request's body, body_file and body_size, or sets
 * relay->streams_body. Fails with SL_HTTP(413) beyond upload_size. */
void body_take(struct relay *relay, struct web_request *request);
/* A task that sends on what comes of the body; it may be cancelled and started again. */
void *body_stream(void *data);

/* ---- web_response.c ---- */

/* Waits for the head, and makes a response of it. */
sl_response *response_wait(struct relay *relay);
sl_response *response_of(struct relay *relay, const sl__packet *head);
/* Adds what the worker says, but for what is between us and the client. */
void response_headers(sl_response *res, const struct web_header *headers, size_t count);

/* ---- web_spool.c ---- */

/* All of these run in tasks and may suspend. */
void spool_put(struct spool *spool, const void *data, size_t size);
void spool_end(struct spool *spool);
bool spool_empty(const struct spool *spool); /* of what has been put */
/* The next bytes, which live until the next call; false at the end. */
bool spool_take(struct spool *spool, sl_view *ret_view);
void spool_done(struct spool *spool);
/* Opens a file without a name: an sl_file, which is the caller's; or the failure. */
sl_result spool_file(void);
/* Takes so many bytes of the web's share of the disk; false if they are not left. */
bool spool_reserve(struct web *web, uint64_t size);

/* ---- web_socket.c ---- */

bool socket_asked(const sl_request *req);
sl_response *socket_serve(struct relay *relay);
