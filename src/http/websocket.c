/* websocket.c: a connection that has become a WebSocket.
 *
 * The handler runs in the request's task. Frames are dealt with as they come, whether or not the handler is
 * receiving: pings are answered, and messages wait until there are QUEUED bytes of them; then reading stops.
 * A frame goes into the connection's queue whole, so that those of several tasks and our own pings never mix.
 *
 * When the client has gone, a handler that receives is told by sl_receive, after the messages that had come,
 * and gets some time to finish; one that never received is cancelled at once. */
#include "base/json.h"
#include "http/accept.h"
#include "http/server.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#define QUEUED 65536 /* bytes of messages that wait */
#define PING_MS 20000
#define GRACE_MS 5000 /* for a handler that was told of the end */
#define CLOSE_MS 2000 /* for the client's side of the closing handshake */

typedef struct incoming {
    struct incoming *next;
    sl_message message;
} incoming;

struct sl__ws {
    sl_websocket public; /* first */
    sl__connection *connection;
    sl_websocket_options options;
    sl_websocket_fn *handler;
    sl_scope *scope;
    const char *protocol;
    sl__ws_decoder decoder;
    sl__ws_deflate deflate;
    incoming *first, **last, *current;
    size_t queued;
    uint64_t heard, pinged_at, next_ping, ended_at;
    int close_code;
    bool deflates, receives, close_sent;
    bool ended; /* nothing more will come */
};

/* ---- The handshake ---- */

/* Browsers send the origin of the page that connects; what is no browser sends none. */
static bool origin_allowed(const sl_request *req, const sl_websocket_options *options)
{
    const char *origin = sl_header(req, "Origin");
    if (!origin)
        return true;
    for (const char *const *allowed = options->origins; allowed && *allowed; allowed++) {
        if (strcmp(*allowed, "*") == 0 || strcmp(*allowed, origin) == 0)
            return true;
    }
    return sl__origin_is_ours(req, origin);
}

/* All lines of a field, with commas between them; NULL if there is none. */
static const char *joined(const sl_request *req, const char *name)
{
    const char *text = NULL;
    for (size_t i = 0; i < req->fields.count; i++) {
        const sl__field *field = &req->fields.items[i];
        if (sl_view_equal_nocase((sl_view){field->name, field->name_size}, sl_view_of(name)))
            text = text ? sl_arena_printf(req->arena, "%s, %s", text, field->value) : field->value;
    }
    return text;
}

static sl_response *upgrade_required(sl_request *req)
{
    sl_response *res =
        sl_text(req, 426, "426 Upgrade Required: this address speaks WebSocket (version 13) only\n");
    sl_set_header(res, "Upgrade", "websocket");
    return sl_set_header(res, "Sec-WebSocket-Version", "13");
}

static sl_websocket_options *merge_options(sl_request *req, const sl_websocket_options *options)
{
    const sl_websocket_options *site = &req->server->options.websocket;
    sl_websocket_options *merged = sl_arena_alloc(req->arena, sizeof(*merged));
    *merged = options ? *options : *site;
    if (!merged->max_message)
        merged->max_message =
            site->max_message ? site->max_message : req->server->options.limits.websocket_message;
    if (!merged->ping_ms)
        merged->ping_ms = site->ping_ms ? site->ping_ms : PING_MS;
    if (!merged->origins)
        merged->origins = site->origins;
    if (!merged->protocols)
        merged->protocols = site->protocols;
    return merged;
}

sl_response *sl_websocket_accept(sl_request *req, sl_websocket_fn *handler,
                                 const sl_websocket_options *options)
{
    sl__exchange *x = sl__exchange_of(req);
    const char *version = sl_header(req, "Sec-WebSocket-Version"), *key = sl_header(req, "Sec-WebSocket-Key");
    options = merge_options(req, options);
    if (!x->upgrade || !sl__list_has(x->upgrade, "websocket") || !version || strcmp(version, "13") != 0)
        return upgrade_required(req);
    if (req->method_id != SL__GET)
        return sl_text(req, 400, "400 Bad Request: a WebSocket is opened by GET\n");
    if (x->body.framing != SL__FRAMING_NONE)
        return sl_text(req, 400, "400 Bad Request: a request that opens a WebSocket has no body\n");
    if (!key || !sl__ws_key_valid(key))
        return sl_text(req, 400, "400 Bad Request: Sec-WebSocket-Key is not 16 bytes in base64\n");
    if (!origin_allowed(req, options))
        return sl_text(req, 403, "403 Forbidden: pages of this Origin may not open this WebSocket\n");
    sl_response *res = sl_respond(req, 200);
    res->status = 101;
    res->body = SL__BODY_UPGRADE;
    res->websocket = handler;
    res->websocket_options = options;
    return res;
}

static const char *choose_protocol(const sl_request *req, const sl_websocket_options *options)
{
    const char *offered = joined(req, "Sec-WebSocket-Protocol");
    for (const char *const *ours = options->protocols; offered && ours && *ours; ours++) {
        const char *cursor = offered;
        for (sl_view token; sl__list_next(&cursor, &token);) {
            if (sl_view_equal(token, sl_view_of(*ours)))
                return *ours;
        }
    }
    return NULL;
}

static void buffer_done(sl_buffer *buffer)
{
    sl_buffer_done(buffer);
}
#define AUTO_BUFFER SL_CLEANUP(buffer_done)

static void answer(sl__ws *ws, sl__exchange *x, sl_response *res)
{
    sl_request *req = &x->request;
    char accept[29];
    sl__ws_accept_key(sl_header(req, "Sec-WebSocket-Key"), accept);
    sl_set_header(res, "Sec-WebSocket-Accept", accept);
    ws->protocol = choose_protocol(req, &ws->options);
    if (ws->protocol)
        sl_set_header(res, "Sec-WebSocket-Protocol", ws->protocol);
    const char *offers = joined(req, "Sec-WebSocket-Extensions");
    sl_buffer extensions AUTO_BUFFER = {0};
    if (offers) {
        ws->deflates = sl__ws_deflate_negotiate(offers, /* keep_context= */ false, &req->server->ws_pool,
                                                &ws->deflate, &extensions);
        if (ws->deflates)
            sl_set_header(res, "Sec-WebSocket-Extensions", extensions.data);
    }
    uv_buf_t head = sl__head_format(x, res, &(sl__head){.no_length = true});
    x->sent_ns = 0; /* the log tells how long it was open */
    x->status = 101;
    x->head_sent = true;
    sl__send(x->connection, &head, 1);
}

/* ---- Frames that come ---- */

static void send_close(sl__ws *ws, int code, const char *reason)
{
    if (ws->close_sent || !ws->connection || ws->connection->broken)
        return;
    sl_buffer frame = {0};
    sl__ws_put_close(&frame, (unsigned)code, reason, NULL);
    ws->close_sent = true;
    sl__send_soon(ws->connection, frame.data, frame.size);
    sl_buffer_done(&frame);
}

static void end_input(sl__ws *ws, int code)
{
    if (ws->ended)
        return;
    ws->ended = true;
    ws->close_code = code;
    ws->ended_at = uv_now(ws->connection->handle.loop);
    sl__wake(&ws->connection->reader);
    if (!ws->receives && ws->scope)
        sl_scope_cancel(ws->scope);
}

static void keep_message(sl__ws *ws, sl_message_kind kind)
{
    incoming *in = sl_malloc(sizeof(*in));
    *in = (incoming){.message = {kind, ws->decoder.message.size, ws->decoder.message.data}};
    ws->decoder.message = (sl_buffer){0};
    if (!in->message.data)
        in->message.data = sl_calloc(1, 1);
    *ws->last = in;
    ws->last = &in->next;
    ws->queued += sizeof(*in) + in->message.size;
    ws->connection->server->counters.messages_in++;
    sl__wake(&ws->connection->reader);
}

static void answer_ping(sl__ws *ws)
{
    /* A client that pings and does not read what it gets is not answered without end. */
    if (ws->close_sent || ws->connection->outstanding > ws->connection->server->options.limits.write_buffer)
        return;
    sl_buffer frame = {0};
    sl__ws_put_frame(&frame, SL__WS_PONG, ws->decoder.control, ws->decoder.control_size, NULL);
    sl__send_soon(ws->connection, frame.data, frame.size);
    sl_buffer_done(&frame);
}

static void take_frame(sl__ws *ws, int got)
{
    switch (got) {
    case SL__WS_TEXT:
        keep_message(ws, SL_TEXT);
        break;
    case SL__WS_BINARY:
        keep_message(ws, SL_BINARY);
        break;
    case SL__WS_PING:
        answer_ping(ws);
        break;
    case SL__WS_CLOSE:
        send_close(ws, ws->decoder.close_code, "");
        end_input(ws, ws->decoder.close_code);
        break;
    default:
        break;
    }
}

static void decode(sl__ws *ws)
{
    sl__connection *c = ws->connection;
    sl_view input = {c->input.data, c->input.size};
    while (!ws->ended && input.size && ws->queued < QUEUED) {
        int got = sl__ws_decode(&ws->decoder, &input);
        if (got < 0) {
            c->linger = true;
            send_close(ws, ws->decoder.close_code, ws->decoder.reason);
            end_input(ws, ws->decoder.close_code);
        } else if (got > 0) {
            take_frame(ws, got);
        }
    }
    if (ws->ended)
        input.size = 0;
    sl_buffer_consume(&c->input, c->input.size - input.size);
    if (c->input.size == 0)
        sl_buffer_done(&c->input);
}

void sl__websocket_feed(sl__connection *c)
{
    sl__ws *ws = c->ws;
    ws->heard = uv_now(c->handle.loop);
    decode(ws);
    if ((c->eof || c->broken) && (c->input.size == 0 || c->broken))
        end_input(ws, 1006);
    if (sl__connection_full(c) && c->reading) {
        c->reading = false;
        uv_read_stop(&c->stream);
    }
}

void sl__websocket_gone(sl__connection *c)
{
    end_input(c->ws, 1006);
}

void sl__websocket_drain(sl__connection *c)
{
    send_close(c->ws, 1001, "the server is stopping");
}

void sl__websocket_sweep(sl__connection *c, uint64_t now)
{
    sl__ws *ws = c->ws;
    if (ws->ended) {
        if (ws->scope && now - ws->ended_at >= GRACE_MS)
            sl_scope_cancel(ws->scope);
        return;
    }
    bool asked = ws->pinged_at > ws->heard && now >= ws->pinged_at + ws->options.ping_ms;
    if (c->reading && asked && now >= ws->heard + 2 * ws->options.ping_ms) {
        sl__connection_abort(c);
    } else if (now >= ws->next_ping && !ws->close_sent && !c->outstanding) {
        static const char ping[] = {(char)(0x80 | SL__WS_PING), 0};
        ws->pinged_at = now;
        ws->next_ping = now + ws->options.ping_ms;
        sl__send_soon(c, ping, sizeof(ping));
    }
}

/* ---- The handler ---- */

static void free_incoming(incoming *in)
{
    if (in)
        free(in->message.data);
    free(in);
}

sl_message *sl_receive(sl_websocket *public)
{
    sl__ws *ws = (sl__ws *)public;
    sl__connection *c = ws->connection;
    ws->receives = true;
    free_incoming(ws->current);
    ws->current = NULL;
    if (!c)
        return NULL;
    while (!ws->first && !ws->ended) {
        sl__connection_resume(c);
        sl__wait(&c->reader);
    }
    incoming *in = ws->first;
    if (!in)
        return NULL;
    ws->first = in->next;
    if (!ws->first)
        ws->last = &ws->first;
    ws->queued -= sizeof(*in) + in->message.size;
    ws->current = in;
    if (c->input.size) {
        decode(ws);
        if (c->eof && c->input.size == 0)
            end_input(ws, 1006);
    }
    sl__connection_resume(c);
    return &in->message;
}

static void send_message(sl__ws *ws, sl_message_kind kind, const void *data, size_t size)
{
    sl__connection *c = ws->connection;
    for (;;) {
        if (ws->close_sent || ws->ended || c->broken)
            sl_fail(SL_ECLOSED, "the WebSocket is closed: nothing can be sent any more");
        if (c->outstanding <= c->server->options.limits.write_buffer)
            break;
        c->waits_to_write = true;
        sl__wait(&c->writer);
        c->waits_to_write = false;
    }
    sl_buffer frame AUTO_BUFFER = {0};
    sl__ws_put_message(&frame, kind == SL_TEXT ? SL__WS_TEXT : SL__WS_BINARY, data, size,
                       ws->deflates ? &ws->deflate : NULL, NULL);
    c->server->counters.messages_out++;
    sl__send_soon(c, frame.data, frame.size);
}

static void send_text(sl_websocket *public, const char *text, size_t size)
{
    if (!sl_utf8_valid(text, size))
        sl_fail(SL_EINVAL, "a text message must be UTF-8: send other bytes with sl_send_binary");
    send_message((sl__ws *)public, SL_TEXT, text, size);
}

void sl_send_text(sl_websocket *ws, const char *text)
{
    send_text(ws, text, strlen(text));
}

void sl_send_printf(sl_websocket *ws, const char *format, ...)
{
    sl_buffer text AUTO_BUFFER = {0};
    va_list arguments;
    va_start(arguments, format);
    sl_buffer_vprintf(&text, format, arguments);
    va_end(arguments);
    send_text(ws, text.data ? text.data : "", text.size);
}

void sl_send_binary(sl_websocket *ws, const void *data, size_t size)
{
    send_message((sl__ws *)ws, SL_BINARY, data, size);
}

void sl_send_message(sl_websocket *ws, sl_message_kind kind, const void *data, size_t size)
{
    if (kind == SL_TEXT)
        send_text(ws, data, size);
    else
        send_message((sl__ws *)ws, SL_BINARY, data, size);
}

static void free_text(char **text)
{
    free(*text);
}

void sl_send_json(sl_websocket *ws, const char *format, ...)
{
    json_error_t error;
    va_list arguments;
    va_start(arguments, format);
    json_t *json = json_vpack_ex(&error, 0, format, arguments);
    va_end(arguments);
    if (!json)
        sl_fail(SL_EINVAL, "sl_send_json: \"%s\": %s", format, error.text);
    const char *wrong;
    char *text SL_CLEANUP(free_text) = sl__json_text(json, &wrong);
    json_decref(json);
    if (!text)
        sl_fail(SL_EINVAL, "sl_send_json: the value %s", wrong);
    send_text(ws, text, strlen(text));
}

void sl_websocket_close(sl_websocket *public, int code, const char *reason)
{
    if (!sl__ws_close_code_valid((unsigned)code))
        sl_fail(SL_EINVAL, "%d cannot be sent as the code of a close", code);
    send_close((sl__ws *)public, code, reason ? reason : "");
}

int sl_websocket_close_code(const sl_websocket *public)
{
    return ((const sl__ws *)public)->close_code;
}

const char *sl_websocket_protocol(const sl_websocket *public)
{
    return ((const sl__ws *)public)->protocol;
}

static void forget_scope(sl__ws **ws)
{
    (*ws)->scope = NULL;
}

/* The scope is forgotten as soon as it is left: what the handler deferred may still wait for something. */
static void *run_handler(void *data)
{
    sl__ws *ws SL_CLEANUP(forget_scope) = data;
    SL_SCOPE(scope)
    {
        ws->scope = scope;
        if (ws->ended && !ws->first)
            sl_scope_cancel(scope);
        ws->handler(&ws->public);
    }
    return NULL;
}

/* Says goodbye and waits until the client has, for a while. */
static void *shake_hands(void *data)
{
    sl__ws *ws = data;
    sl__connection *c = ws->connection;
    send_close(ws, 1000, "");
    c->deadline = uv_now(c->handle.loop) + CLOSE_MS;
    while (!ws->ended && !c->timed_out) {
        while (ws->first) { /* nobody reads these any more */
            incoming *in = ws->first;
            ws->first = in->next;
            free_incoming(in);
        }
        ws->last = &ws->first;
        ws->queued = 0;
        if (c->input.size)
            decode(ws);
        sl__connection_resume(c);
        if (!ws->ended && !ws->first)
            sl__wait(&c->reader);
    }
    return NULL;
}

static void handler_failed(sl__ws *ws, const sl_error *error)
{
    bool just_gone = ws->ended || ws->connection->broken;
    if (just_gone && (error->code == SL_ECANCELED || error->code == SL_ECLOSED || error->code == SL_EPIPE))
        return;
    if (error->code == SL_ECLOSED && ws->close_sent)
        return;
    if (error->code == SL_ECANCELED) {
        send_close(ws, 1001, "the server is stopping");
        return;
    }
    const sl_request *req = ws->public.request;
    char *text = sl_error_text(error);
    sl_error_log("the WebSocket %s (request %s) failed: %s", req->target, sl_request_id(req), text);
    free(text);
    send_close(ws, 1011, "the server failed");
}

static void ws_done(sl__ws **at)
{
    sl__ws *ws = *at;
    sl__connection *c = ws->connection;
    c->server->counters.websockets_open--;
    c->ws = NULL;
    ws->connection = NULL; /* the task may still clean up, and must not send */
    ws->ended = true;
    free_incoming(ws->current);
    ws->current = NULL;
    while (ws->first) {
        incoming *in = ws->first;
        ws->first = in->next;
        free_incoming(in);
    }
    sl__ws_decoder_done(&ws->decoder);
    if (ws->deflates)
        sl__ws_deflate_done(&ws->deflate);
}

void sl__websocket_run(sl__exchange *x, sl_response *res)
{
    sl__connection *c = x->connection;
    x->keep_alive = false;
    sl__ws *opened = sl_arena_zalloc(x->request.arena, sizeof(*opened));
    opened->public.request = &x->request;
    opened->public.data = res->websocket_options->data;
    opened->connection = c;
    opened->options = *res->websocket_options;
    opened->handler = res->websocket;
    opened->last = &opened->first;
    opened->close_code = 1006;
    opened->heard = uv_now(c->handle.loop);
    opened->next_ping = opened->heard + opened->options.ping_ms;
    c->server->counters.websockets++;
    c->server->counters.websockets_open++;
    sl__ws *ws SL_CLEANUP(ws_done) = opened;
    answer(ws, x, res);
    sl__ws_decoder_init(&ws->decoder, /* client= */ false, ws->options.max_message,
                        ws->deflates ? &ws->deflate : NULL);
    c->ws = ws;
    sl__websocket_feed(c);
    if (c->server->draining)
        sl__websocket_drain(c);
    sl_error *error = sl__catch(run_handler, ws, NULL);
    if (error)
        handler_failed(ws, error);
    sl_error_unref(error);
    error = sl__catch(shake_hands, ws, NULL);
    sl_error_unref(error);
}
