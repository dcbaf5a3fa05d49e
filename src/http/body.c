/* body.c: the request's body, read as the handler asks for it.
 *
 * What waits in the connection is taken over whole, and pieces are views of it: nothing is copied unless the
 * handler wants the body in one piece. While nobody asks, the connection fills up and then stops reading.
 * What follows the body's end is given back: it belongs to the next request. */
#include "http/server.h"

#define FIRST_ROOM 4096

void sl__body_init(sl__body *body, const sl__parser *parser)
{
    body->framing = parser->framing;
    body->left = parser->content_length;
    body->expects_continue = parser->expect_continue;
    body->ended = parser->framing == SL__FRAMING_NONE ||
                  (parser->framing == SL__FRAMING_LENGTH && parser->content_length == 0);
    if (parser->framing == SL__FRAMING_CHUNKED)
        sl__chunked_init(&body->chunked, parser->limits.header_size, parser->limits.header_count);
}

void sl__body_done(sl__exchange *x)
{
    sl__body *body = &x->body;
    sl__connection *c = x->connection;
    if (body->ended && body->used < body->current.size) {
        sl_buffer_consume(&body->current, body->used);
        sl_buffer_put(&body->current, c->input.data, c->input.size);
        sl_buffer_done(&c->input);
        c->input = body->current;
        body->current = (sl_buffer){0};
    }
    sl_buffer_done(&body->current);
    if (body->framing == SL__FRAMING_CHUNKED)
        sl__chunked_done(&body->chunked);
    x->request.trailers = (sl__fields){0};
    body->ended = true; /* for whoever asks while the task is cleaning up */
}

static SL_NORETURN void fail_body(sl__body *body, int status, const char *reason)
{
    body->failed = SL_HTTP(status);
    body->reason = reason;
    sl_fail(body->failed, "%s", reason);
}

/* ---- Waiting for it ---- */

typedef struct parked {
    sl__exchange *exchange;
    bool counted;
} parked;

static void unpark(parked *p)
{
    p->exchange->connection->deadline = 0;
    if (p->counted)
        sl__exchange_count(p->exchange, true);
}

/* Parks the task until something has come or is overdue. Meanwhile it is the client that takes its time and
 * not the handler: the request does not count as one in flight, so that slow clients cannot take all places.
 */
static void park(sl__exchange *x)
{
    sl__connection *c = x->connection;
    uint64_t since = uv_now(c->handle.loop);
    __attribute__((unused)) parked here SL_CLEANUP(unpark) = {x, sl__exchange_count(x, false)};
    c->deadline = since + x->request.server->options.limits.body_ms;
    sl__connection_resume(c);
    sl__wait(&c->reader);
    x->body.waited_ms += uv_now(c->handle.loop) - since;
}

/* Whether a byte now and then is all that comes. */
static bool comes_too_slowly(const sl__exchange *x)
{
    const sl_http_limits *limits = &x->request.server->options.limits;
    const sl__body *body = &x->body;
    uint64_t come = body->taken + x->connection->input.size;
    return body->waited_ms > limits->body_ms && come / limits->body_rate < body->waited_ms / 1000;
}

/* Waits until something has come. */
static void wait_for_input(sl__exchange *x)
{
    sl__connection *c = x->connection;
    if (x->body.expects_continue) {
        x->body.expects_continue = false;
        if (!x->head_sent) /* in the middle of a response it would be taken for a part of that */
            sl__send_soon(c, "HTTP/1.1 100 Continue\r\n\r\n", 25);
    }
    if (c->eof || c->broken)
        fail_body(&x->body, 400, "the connection ended before the request's body did");
    park(x);
    if (c->timed_out && c->input.size == 0)
        fail_body(&x->body, 408, "nothing more of the request's body came in time (body_ms)");
    c->timed_out = false;
    if (comes_too_slowly(x))
        fail_body(&x->body, 408, "the request's body comes too slowly (body_rate)");
}

static void take_input(sl__exchange *x)
{
    sl__body *body = &x->body;
    sl__connection *c = x->connection;
    while (c->input.size == 0)
        wait_for_input(x);
    body->expects_continue = false; /* it did not wait for us */
    sl_buffer_done(&body->current);
    body->current = c->input;
    body->used = 0;
    body->taken += c->input.size;
    c->input = (sl_buffer){0};
    sl__connection_resume(c);
}

static bool next_of_length(sl__body *body, sl_view *ret_piece)
{
    size_t there = body->current.size - body->used;
    size_t size = there < body->left ? there : (size_t)body->left;
    *ret_piece = (sl_view){body->current.data + body->used, size};
    body->used += size;
    body->left -= size;
    body->ended = body->left == 0;
    return size > 0;
}

static bool next_of_chunks(sl__exchange *x, sl_view *ret_piece)
{
    sl__body *body = &x->body;
    sl_view input = {body->current.data + body->used, body->current.size - body->used};
    int got = sl__chunked_next(&body->chunked, &input, ret_piece);
    body->used = body->current.size - input.size;
    if (got < 0)
        fail_body(body, sl_code_status(got), body->chunked.reason);
    if (got == SL__CHUNK_END) {
        body->ended = true;
        x->request.trailers = body->chunked.trailers;
    }
    return got == SL__CHUNK_DATA;
}

/* The next piece; false at the end. */
static bool next_piece(sl__exchange *x, sl_view *ret_piece)
{
    sl__body *body = &x->body;
    if (body->failed)
        sl_fail(body->failed, "%s", body->reason);
    while (!body->ended) {
        if (body->used == body->current.size)
            take_input(x);
        bool got = body->framing == SL__FRAMING_LENGTH ? next_of_length(body, ret_piece)
                                                       : next_of_chunks(x, ret_piece);
        if (got)
            return true;
    }
    return false;
}

const char *sl_body_read(sl_request *req, size_t *ret_size)
{
    sl__exchange *x = sl__exchange_of(req);
    sl_view piece;
    *ret_size = 0;
    x->body.started = true;
    if (x->body.whole || !next_piece(x, &piece))
        return NULL;
    *ret_size = piece.size;
    return piece.data;
}

static SL_NORETURN void fail_too_large(size_t max)
{
    sl_fail(SL_HTTP(413), "the request's body is larger than the %zu bytes that are accepted here", max);
}

/* Room for `size` bytes and a NUL. */
static char *grow(sl_request *req, char *data, size_t have, size_t *room, size_t size)
{
    if (size < *room)
        return data;
    while (*room <= size)
        *room *= 2;
    char *moved = sl_arena_alloc(req->arena, *room);
    memcpy(moved, data, have);
    return moved;
}

const char *sl_body(sl_request *req, size_t max, size_t *ret_size)
{
    sl__exchange *x = sl__exchange_of(req);
    sl__body *body = &x->body;
    if (max == 0)
        max = req->server->options.limits.body_size;
    if (!body->whole) {
        if (body->started)
            sl_fail(SL_EINVAL,
                    "sl_body was called after sl_body_read: the body is read either whole or in pieces");
        bool by_length = body->framing == SL__FRAMING_LENGTH;
        if (by_length && body->left > max)
            fail_too_large(max);
        size_t room = by_length ? (size_t)body->left + 1 : body->ended ? 1 : FIRST_ROOM, size = 0;
        char *data = sl_arena_alloc(req->arena, room);
        body->started = true;
        for (sl_view piece; next_piece(x, &piece); size += piece.size) {
            if (piece.size > max - size)
                fail_too_large(max);
            data = grow(req, data, size, &room, size + piece.size);
            memcpy(data + size, piece.data, piece.size);
        }
        data[size] = '\0';
        body->whole = data;
        body->whole_size = size;
    }
    if (body->whole_size > max)
        fail_too_large(max);
    if (ret_size)
        *ret_size = body->whole_size;
    return body->whole;
}

/* A client that was told to wait for 100 (Continue) and got a final answer may send the body or not: what
 * follows cannot be told apart, so the connection cannot be kept. */
bool sl__body_drainable(const sl__exchange *x)
{
    const sl__body *body = &x->body;
    if (body->ended)
        return true;
    if (body->failed || (body->expects_continue && x->connection->input.size == 0))
        return false;
    return body->framing == SL__FRAMING_CHUNKED || body->left <= SL__DRAIN_MAX;
}

bool sl__body_drain(sl__exchange *x)
{
    sl_view piece;
    uint64_t dropped = 0;
    x->body.expects_continue = false;
    while (dropped <= SL__DRAIN_MAX && next_piece(x, &piece))
        dropped += piece.size;
    return x->body.ended;
}
