/* web_socket.c: a WebSocket between a client and a worker.
 *
 * The application decides whether it is accepted, and may look at Origin for that: it knows whom it trusts.
 * After that two tasks pass messages on, one each way, and each waits where its other side does not keep up.
 */
#include "run/web.h"

#include <stdlib.h>

/* A protocol that was agreed on is known only after the response was made. */
struct socket {
    struct relay *relay;
    const char *protocols[2];
    sl_websocket_options options;
};

bool socket_asked(const sl_request *req)
{
    const char *upgrade = sl_header(req, "Upgrade");
    return upgrade && sl_view_equal_nocase(sl_view_trim(sl_view_of(upgrade), " \t"), SL_VIEW("websocket"));
}

/* ---- Messages ---------------------------------------------------------------------------------------- */

struct listening {
    struct relay *relay;
    sl_websocket *ws;
};

static void tell_closed(struct relay *relay, const sl_websocket *ws)
{
    struct web_close close = {.code = sl_websocket_close_code(ws), .reason = ""};
    sl_buffer data = {0};
    sl_error *error = NULL;
    if (sl_codec_flat.encode(web_close_record(), &close, &data, NULL, &error) < 0)
        sl_fail_error(error);
    sl_defer(free, data.data);
    sl__talk_send(relay->talk, WEB_CLOSE, data.data, data.size);
    sl__talk_end(relay->talk);
}

/* From the client to the worker, to the client's end. */
static void *listen_to_client(void *data)
{
    struct listening *listening = data;
    for (sl_message *message; (message = sl_receive(listening->ws));)
        sl__talk_send(listening->relay->talk, message->kind == SL_TEXT ? WEB_TEXT : WEB_BINARY, message->data,
                      message->size);
    tell_closed(listening->relay, listening->ws);
    return NULL;
}

static void close_socket(sl_websocket *ws, const sl__packet *packet)
{
    const struct web_close *close = relay_decode(packet, web_close_record());
    sl_websocket_close(ws, (int)close->code, close->reason);
}

static void pass_on(struct relay *relay, sl_websocket *ws)
{
    sl__packet packet;
    while (relay_next(relay, /* bounded= */ false, &packet)) {
        if (packet.kind == SL__END)
            continue;
        if (packet.word == WEB_CLOSE)
            close_socket(ws, &packet);
        else if (packet.word == WEB_TEXT || packet.word == WEB_BINARY)
            sl_send_message(ws, packet.word == WEB_TEXT ? SL_TEXT : SL_BINARY, packet.data, packet.size);
        else
            relay_wrong(relay, "said what does not belong into a WebSocket");
    }
}

static void converse(sl_websocket *ws)
{
    struct socket *socket = ws->data;
    struct listening listening = {socket->relay, ws};
    SL_SCOPE(scope)
    {
        sl_go(listen_to_client, &listening);
        pass_on(socket->relay, ws);
        sl_scope_cancel(scope); /* the application is done: nobody listens any more */
    }
}

/* ---- Opening ----------------------------------------------------------------------------------------- */

static void take_accept(struct socket *socket, sl_response *res, const sl__packet *packet)
{
    const struct web_accept *accept = relay_decode(packet, web_accept_record());
    if (accept->protocol)
        socket->protocols[0] = sl_strdup(accept->protocol);
    response_headers(res, accept->headers.items, accept->headers.count);
}

static void *wait_for_answer(struct relay *relay, void *packet)
{
    if (!relay_next(relay, /* bounded= */ true, packet))
        relay_wrong(relay, "neither accepted nor refused a WebSocket");
    return NULL;
}

sl_response *socket_serve(struct relay *relay)
{
    static const char *const anywhere[] = {"*", NULL};
    struct socket *socket = sl_zalloc(sizeof(*socket));
    socket->relay = relay;
    socket->options =
        (sl_websocket_options){.origins = anywhere, .protocols = socket->protocols, .data = socket};
    sl_response *res = sl_websocket_accept(relay->req, converse, &socket->options);
    if (sl_status(res) != 101)
        return res;
    struct web_request request = {
        .body_file = -1, .websocket = true, .protocols = sl_header(relay->req, "Sec-WebSocket-Protocol")};
    relay_begin(relay, &request);
    sl__packet packet;
    relay_while_client(relay, wait_for_answer, &packet);
    if (packet.kind == SL__DATA && packet.word == WEB_HEAD)
        return response_of(relay, &packet);
    if (packet.kind != SL__DATA || packet.word != WEB_ACCEPT)
        relay_wrong(relay, "neither accepted nor refused a WebSocket");
    take_accept(socket, res, &packet);
    return res;
}
