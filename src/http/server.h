/* server.h: the inside of the HTTP server, shared by the files that make it.
 *
 *   server.c      the server: options, listeners, limits, the sweep of time-outs, draining
 *   connection.c  a connection between requests: reading, parsing, refusing, closing
 *   exchange.c    one request, from its head to its end: the task in which the handler runs
 *   body.c        the request's body                    request.c   what handlers ask of a request
 *   head.c        the response's head as bytes          response.c  what handlers say in a response
 *   write.c       sending: queue, back-pressure, files  stream.c    bodies written as they go
 *   websocket.c   the connection as a WebSocket         access_log.c, metrics.c  what is told of it all
 *
 * All of a server belongs to one loop. Bytes are read into one buffer that all its connections share; a
 * connection owns memory for input only while something has come that could not be dealt with at once, so an
 * idle one is just this struct. Reading goes on while a handler runs (so that a client that goes is noticed,
 * without a system call more a request) and stops when INPUT bytes wait that nobody wants yet: TCP then holds
 * the client back. Nothing is timed with a timer of its own: a connection has deadlines, which one sweep
 * looks at. */
#pragma once

#include "core/task.h"
#include "http/chunked.h"
#include "http/message.h"
#include "http/parser.h"
#include "http/ws_frame.h"

#include <netinet/in.h>
#include <uv.h>

#define SL__READ_SIZE 65536  /* the shared buffer */
#define SL__INPUT_MAX 65536  /* waiting in a connection, beyond a head */
#define SL__DRAIN_MAX 262144 /* of an unread body that are read to keep the connection */

typedef struct sl__connection sl__connection;
typedef struct sl__exchange sl__exchange;
typedef struct sl__ws sl__ws;
typedef struct sl__waiter sl__waiter;
typedef struct sl__held sl__held;
typedef struct sl__access_log sl__access_log;

/* ---- Metrics (metrics.c) ---- */

#define SL__DURATION_BUCKETS 14

typedef struct sl__counters {
    uint64_t requests[5][SL__METHOD_OTHER + 1]; /* by class of status, less one, and method */
    uint64_t durations[SL__DURATION_BUCKETS + 1];
    uint64_t duration_ns;
    uint64_t accepted, bytes_in, bytes_out;
    uint64_t refused_connections, refused_in_flight, refused_heads, timed_out;
    uint64_t websockets, websockets_open, messages_in, messages_out;
} sl__counters;

/* A request is over. */
void sl__count_request(sl_http_server *server, sl__method method, int status, uint64_t duration_ns);

/* ---- The server (server.c) ---- */

typedef struct sl__listener {
    union {
        uv_handle_t handle;
        uv_stream_t stream;
        uv_tcp_t tcp;
        uv_pipe_t pipe;
    };
    sl_http_server *server;
    struct sl__listener *next;
} sl__listener;

struct sl_http_server {
    sl_loop *loop;
    sl_context *context; /* in which everything runs */
    sl_http_options options;
    sl__head_limits head_limits;
    sl__static *statics;
    sl__access_log *access_log;

    unsigned references; /* the owner's, and one of each handle and each connection */
    sl__listener *listeners;
    sl__connection *connections;
    size_t connection_count, in_flight;
    uint64_t next_id;
    bool draining, freed, skipped;
    uint64_t drain_deadline;
    sl_deferred *drained;
    uv_timer_t sweep;            /* runs while there are connections */
    uint64_t sweep_ms, swept_ms; /* how often, and when last */
    uint64_t full_until;         /* when to say again that no descriptor is left */

    char *read_buffer;
    sl__parser parser; /* for heads that come whole */
    sl__field *items;  /* its fields */
    char date_line[40];
    uint64_t date_until_ns;
    sl__ws_pool ws_pool;
    sl__counters counters;
};

void sl__server_unref(sl_http_server *server);
/* "Date: …" CR LF, 37 bytes; `now_ns` is the monotonic time. */
const char *sl__server_date(sl_http_server *server, uint64_t now_ns);
/* A connection was made or is gone. */
void sl__server_add(sl_http_server *server, sl__connection *connection);
void sl__server_remove(sl_http_server *server, sl__connection *connection);
/* One to one with a count, and far apart. */
static inline uint64_t sl__server_next_id(sl_http_server *server)
{
    return server->next_id++ * 0x9e3779b97f4a7c15u;
}
/* Whether limits.in_flight leaves no room. */
static inline bool sl__server_full(const sl_http_server *server)
{
    return server->in_flight >= server->options.limits.in_flight;
}

/* ---- Connections (connection.c) ---- */

typedef enum sl__connection_state {
    SL__IDLE,      /* between requests */
    SL__PARTIAL,   /* a part of a head has come */
    SL__BUSY,      /* a request's task has it */
    SL__LAST,      /* closes when all is sent */
    SL__LINGERING, /* all is sent: reads and drops, so that the client sees the answer, until it closes */
    SL__CLOSING,
} sl__connection_state;

struct sl__connection {
    union {
        uv_handle_t handle;
        uv_stream_t stream;
        uv_tcp_t tcp;
        uv_pipe_t pipe;
    };
    sl_http_server *server;
    sl__connection *previous, *next;
    sl__exchange *exchange; /* while SL__BUSY, and after a close until its task has ended */
    sl__ws *ws;             /* once it is a WebSocket */
    struct sl__pending *pending;
    sl__held *held;              /* responses that are kept back, or NULL */
    sl_buffer input;             /* has come and is not dealt with */
    sl__waiter *reader, *writer; /* tasks that wait for input, or for room for output */
    size_t outstanding;          /* queued for sending, with what the queue itself takes */
    size_t queue_seen;           /* at the last sweep */
    uint64_t write_since;        /* when something was last taken, while something is outstanding */
    uint64_t deadline;           /* of what is waited for from the client; 0: none */
    uint64_t requests;
    uint8_t state;
    bool reading, eof, linger, waits_to_write;
    bool broken;    /* nothing can be sent any more */
    bool timed_out; /* the deadline passed while a body was waited for */
    bool closed;    /* the handle is; the memory waits for the task */
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
    } peer;
};

/* Whether enough waits to stop reading. */
static inline bool sl__connection_full(const sl__connection *connection)
{
    return connection->input.size > SL__INPUT_MAX - 4096;
}

void sl__connection_accept(sl__listener *listener);
/* Looks at the deadlines. */
void sl__connection_sweep(sl__connection *connection, uint64_t now_ms);
/* The server is stopping: closes what is idle. */
void sl__connection_drain(sl__connection *connection);
/* Closes at once, with a reset where data may be missing. Wakes the task, whose sending fails from now on. */
void sl__connection_abort(sl__connection *connection);
/* The task of the request is done with the connection: the next request, or the end. */
void sl__connection_done(sl__connection *connection, bool keep_alive);
/* There is no memory for the task of the request: it is refused. */
void sl__connection_unserved(sl__connection *connection);
/* Reads again after input was taken. */
void sl__connection_resume(sl__connection *connection);
/* All that was queued is sent, or so much that there is room. */
void sl__connection_sent(sl__connection *connection);
/* The address without its port, or "unix". */
void sl__connection_peer(const sl__connection *connection, char out[static 48]);

/* Adds the task to those that wait in `list`, until all of them are woken. */
void sl__wait(sl__waiter **list);
void sl__wake(sl__waiter **list);

/* ---- One request (exchange.c, body.c) ---- */

typedef struct sl__body {
    sl__framing framing;
    uint64_t left; /* of a Content-Length */
    sl__chunked chunked;
    sl_buffer current; /* taken from the connection; what the handler sees is in here */
    size_t used;
    uint64_t taken, waited_ms; /* bytes, with the framing; and how long they were waited for */
    bool started, ended, expects_continue;
    int failed; /* the code with which it broke */
    const char *reason, *whole;
    size_t whole_size;
} sl__body;

struct sl__exchange {
    sl_request request; /* first: a request is its exchange */
    sl__body body;
    sl__connection *connection; /* NULL after the end */
    sl_task *task;
    sl_response *response;
    sl_scope *streaming; /* what is cancelled when the connection breaks */
    bool keep_alive, head_sent;
    bool counted; /* in flight: its handler runs, and does not wait for the client */
    int status;   /* 0: none was sent */
    uint64_t body_sent;
    uint64_t sent_ns;           /* when the head was made, unless sending took longer than that; else 0 */
    const char *upgrade;        /* the protocol that the client offers to change to, or NULL */
    const char *peer, *id_text; /* once they were asked for */
};

static inline sl__exchange *sl__exchange_of(const sl_request *req)
{
    return (sl__exchange *)req;
}

/* Whether the request counts as one in flight from now on. Gives whether it did before. */
static inline bool sl__exchange_count(sl__exchange *exchange, bool counted)
{
    size_t *in_flight = &exchange->request.server->in_flight;
    bool before = exchange->counted;
    *in_flight = *in_flight + counted - before;
    exchange->counted = counted;
    return before;
}
/* Starts the task of a request that is parsed. The parser's buffer need not last. */
void sl__exchange_begin(sl__connection *connection, const sl__parser *parser, sl_arena *arena, char *path);

void sl__body_init(sl__body *body, const sl__parser *parser);
void sl__body_done(sl__exchange *exchange);
/* Whether the rest of the body can be expected to be so short that reading it keeps the connection. */
bool sl__body_drainable(const sl__exchange *exchange);
/* Reads and drops the rest, up to SL__DRAIN_MAX: whether the connection can be used again. In the task. */
bool sl__body_drain(sl__exchange *exchange);

/* ---- Responses (head.c, write.c, stream.c) ---- */

typedef struct sl__head {
    bool chunked;     /* else by length, */
    bool until_close; /* or until the connection closes */
    bool no_length;   /* there can be no body: neither is said */
    uint64_t length;
    size_t room; /* to leave behind the head */
} sl__head;
/* Formats into the request's arena, and decides about the connection's end. */
uv_buf_t sl__head_format(sl__exchange *exchange, const sl_response *res, const sl__head *head);

/* Sends all. In the task: waits while more than limits.write_buffer is outstanding, and fails with SL_EPIPE
 * when the client is gone. Nothing of the data is needed after it has returned. */
void sl__send(sl__connection *connection, uv_buf_t *buffers, unsigned count);
/* The same anywhere: what cannot be sent at once is queued without limit. For short things. */
void sl__send_soon(sl__connection *connection, const void *data, size_t size);
/* Keeps the last piece of a response back, to go out in one write with what follows: for as long as the tasks
 * of the requests that wait in the input run without waiting for anything. False if it must be sent now. */
bool sl__hold(sl__connection *connection, const uv_buf_t *piece);
bool sl__holding(const sl__connection *connection);
/* Sends what was kept back, or forgets it. */
void sl__held_send(sl__connection *connection);
void sl__held_drop(sl__connection *connection);
/* Sends a part of a file, read in a thread. In the task. */
void sl__send_file(sl__connection *connection, int fd, uint64_t offset, uint64_t size);

void sl__stream_run(sl__exchange *exchange, sl_response *res);

/* ---- WebSocket (websocket.c) ---- */

/* Answers with 101 and runs the handler to the connection's end. In the task. */
void sl__websocket_run(sl__exchange *exchange, sl_response *res);
/* Input has come, or its end. */
void sl__websocket_feed(sl__connection *connection);
void sl__websocket_sweep(sl__connection *connection, uint64_t now_ms);
void sl__websocket_drain(sl__connection *connection);
/* The connection broke. */
void sl__websocket_gone(sl__connection *connection);

/* ---- Access log (access_log.c) ---- */

typedef struct sl__access {
    const char *method, *target, *referer, *agent; /* NULL: unknown */
    uint8_t minor;
    int status;
    uint64_t size, duration_ns, id;
    char peer[48];
} sl__access;

int sl__access_log_new(sl_http_server *server, sl__access_log **ret_log);
void sl__access_log_put(sl__access_log *log, const sl__access *access);
int sl__access_log_reopen(sl__access_log *log);
/* Writes what is left. */
void sl__access_log_free(sl__access_log *log);
