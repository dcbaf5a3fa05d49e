/* web_response.c: a worker's answer as a response.
 *
 * What is whole is sent as any response is. A stream is taken from the worker by a task of its own, as fast
 * as that makes it, and given to the client by another, as fast as that reads: between them lies a spool, and
 * only when that is full does the worker wait. */
#include "run/web.h"

#include <stdlib.h>
#include <unistd.h>

/* ---- The head ---------------------------------------------------------------------------------------- */

/* What is said between us and the client, and what the server says by itself. */
static bool is_ours(const char *name)
{
    static const char *const names[] = {"connection", "keep-alive",    "proxy-connection",
                                        "te",         "trailer",       "transfer-encoding",
                                        "upgrade",    "content-length"};
    for (size_t i = 0; i < sl_array_size(names); i++)
        if (sl_view_equal_nocase(sl_view_of(name), sl_view_of(names[i])))
            return true;
    return false;
}

void response_headers(sl_response *res, const struct web_header *headers, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (!headers[i].name || is_ours(headers[i].name))
            continue;
        const char *value = sl_printf("%.*s", (int)headers[i].value.size, headers[i].value.data);
        if (strlen(value) != headers[i].value.size)
            sl_fail(SL_EINVAL, "the value of the field %s has a NUL in it", headers[i].name);
        sl_add_header(res, headers[i].name, value);
    }
}

/* What the application says of the body's size, or -1. */
static int64_t said_length(const struct web_response *head)
{
    for (size_t i = 0; i < head->headers.count; i++) {
        const struct web_header *header = &head->headers.items[i];
        uint64_t size;
        if (header->name && sl_view_equal_nocase(sl_view_of(header->name), SL_VIEW("content-length")) &&
            sl_view_number(header->value, INT64_MAX, &size) == 0)
            return (int64_t)size;
    }
    return -1;
}

static void set_length(sl_response *res, int64_t length)
{
    if (length >= 0)
        sl_set_header(res, "Content-Length", sl_printf("%lld", (long long)length));
}

/* ---- Streams ----------------------------------------------------------------------------------------- */

/* Takes the body from the worker. */
static void *collect(void *data)
{
    struct relay *relay = data;
    sl__packet packet;
    while (relay_next(relay, /* bounded= */ !relay->web->asgi, &packet)) {
        if (packet.kind == SL__END)
            break;
        if (packet.kind != SL__DATA || packet.word != WEB_BODY)
            relay_wrong(relay, "said something else in the middle of a response");
        spool_put(&relay->spool, packet.data, packet.size);
    }
    spool_end(&relay->spool);
    return NULL;
}

static void give(struct relay *relay, sl_stream *out)
{
    if (relay->first.size)
        sl_write(out, relay->first.data, relay->first.size);
    for (;;) {
        if (spool_empty(&relay->spool))
            sl_flush(out); /* what the application has said the client is to have, however little it is */
        sl_view piece;
        if (!spool_take(&relay->spool, &piece))
            return;
        sl_write(out, piece.data, piece.size);
    }
}

static void write_stream(sl_stream *out, void *data)
{
    struct relay *relay = data;
    SL_SCOPE(scope)
    {
        if (relay->streams_body && !relay->body_ended)
            sl_go(body_stream, relay);
        sl_go(collect, relay);
        give(relay, out);
        relay->last = true;
        sl_scope_cancel(scope); /* an application need not read all of a request */
    }
}

static void write_nothing(sl_stream *out, void *data)
{
}

static bool is_bodyless(sl_request *req, const struct web_response *head)
{
    return head->status == 204 || head->status == 304 || strcmp(sl_method(req), "HEAD") == 0;
}

/* ---- The whole --------------------------------------------------------------------------------------- */

static sl_response *whole(struct relay *relay, const struct web_response *head, int status)
{
    int64_t said = said_length(head);
    relay->last = true;
    if (strcmp(sl_method(relay->req), "HEAD") == 0 && said >= 0 && head->file < 0) {
        sl_response *res = sl_stream_response(relay->req, status, NULL, write_nothing, NULL);
        set_length(res, said); /* of what GET would get; there is no other */
        return res;
    }
    if (head->file >= 0) {
        uint64_t size = head->file_size < 0 ? UINT64_MAX : (uint64_t)head->file_size;
        return sl_open_file_response(relay->req, status, NULL, head->file, (uint64_t)head->file_offset, size);
    }
    if (said >= 0 && (uint64_t)said != head->body.size && status != 304)
        sl_fail(SL_EFAILED, "the application announced %lld bytes (Content-Length) and gave %zu",
                (long long)said, head->body.size);
    char *body = sl_alloc(head->body.size + 1);
    if (head->body.size)
        memcpy(body, head->body.data, head->body.size);
    return sl_bytes_response(relay->req, status, NULL, body, head->body.size);
}

sl_response *response_of(struct relay *relay, const sl__packet *packet)
{
    const struct web_response *head = relay_decode(packet, web_response_record());
    bool right = head->status >= 200 && head->status <= 599;
    if (!right && head->file >= 0)
        close(head->file);
    if (!right)
        sl_fail(SL_EINVAL, "the application answered with status %lld: that must be 200 … 599",
                (long long)head->status);
    sl_response *res;
    if (head->last || head->file >= 0) {
        res = whole(relay, head, (int)head->status);
    } else {
        char *first = sl_alloc(head->body.size + 1);
        if (head->body.size)
            memcpy(first, head->body.data, head->body.size);
        relay->first = (sl_view){first, head->body.size};
        relay->unwanted = is_bodyless(relay->req, head); /* nobody writes the rest */
        res = sl_stream_response(relay->req, (int)head->status, NULL, write_stream, relay);
        set_length(res, said_length(head));
    }
    response_headers(res, head->headers.items, head->headers.count);
    return res;
}

static void *wait_for_head(struct relay *relay, void *unused)
{
    sl__packet packet;
    if (!relay_next(relay, /* bounded= */ true, &packet))
        relay_wrong(relay, "ended the request without an answer");
    if (packet.kind != SL__DATA || packet.word != WEB_HEAD)
        relay_wrong(relay, "said something else before a response");
    return response_of(relay, &packet);
}

static void *wait_beside_body(struct relay *relay, void *unused)
{
    sl_response *res = NULL;
    SL_SCOPE(scope)
    {
        sl_go(body_stream, relay);
        res = wait_for_head(relay, NULL);
        sl_scope_cancel(scope); /* it goes on beside the response */
    }
    return res;
}

sl_response *response_wait(struct relay *relay)
{
    if (!relay->web->asgi)
        return wait_for_head(relay, NULL);
    return relay_while_client(relay, relay->streams_body ? wait_beside_body : wait_for_head, NULL);
}
