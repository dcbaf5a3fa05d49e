/* stream.c: a response's body written as it goes.
 *
 * Small writes are gathered; the head goes out with the first bytes, so that a function that fails before it
 * has written much is still answered with an error. What the client does not read fills the connection's
 * queue, and then sl_write waits. */
#include "http/server.h"

#include <stdio.h>

#define GATHER 16384
#define AT_ONCE 262144 /* bytes, and then others have their turn: a socket may take megabytes */

struct sl_stream {
    sl__exchange *exchange;
    sl_response *response;
    sl__encoder *encoder;
    sl__head head;
    sl_buffer buffer;
    uint64_t left;    /* of a length that the handler gave */
    size_t unyielded; /* sent since the task last let others run */
    bool has_length;
};

static void stream_done(sl_stream *out)
{
    out->exchange->streaming = NULL;
    sl__encoder_free(out->encoder);
    sl_buffer_done(&out->buffer);
}

/* Sends what was gathered and then `data`, with the head before it if it is the first, and the end behind it.
 */
static void emit(sl_stream *out, const void *data, size_t size, bool last)
{
    sl__exchange *x = out->exchange;
    uv_buf_t buffers[5];
    unsigned count = 0;
    char line[24];
    size_t whole = out->buffer.size + size;
    if (!x->head_sent) {
        buffers[count++] = sl__head_format(x, out->response, &out->head);
        x->status = out->response->status;
        x->head_sent = true;
        x->sent_ns = 0;
    }
    if (whole > 0) {
        if (out->head.chunked)
            buffers[count++] = uv_buf_init(line, (unsigned)snprintf(line, sizeof(line), "%zx\r\n", whole));
        if (out->buffer.size)
            buffers[count++] = (uv_buf_t){out->buffer.data, out->buffer.size};
        if (size)
            buffers[count++] = (uv_buf_t){(char *)data, size};
    }
    if (out->head.chunked) {
        const char *tail = !last ? "\r\n" : whole ? "\r\n0\r\n\r\n" : "0\r\n\r\n";
        if (whole > 0 || last)
            buffers[count++] = uv_buf_init((char *)tail, (unsigned)strlen(tail));
    }
    x->body_sent += whole;
    if (count > 0)
        sl__send(x->connection, buffers, count);
    out->buffer.size = 0;
    out->unyielded += whole;
    if (out->unyielded >= AT_ONCE && !last) {
        out->unyielded = 0;
        sl_yield();
    }
}

void sl_write(sl_stream *out, const void *data, size_t size)
{
    if (out->exchange->connection->broken)
        sl_fail(SL_EPIPE, "the client is gone");
    if (size == 0)
        return;
    if (out->has_length && size > out->left)
        sl_fail(SL_EINVAL, "a stream wrote more than the Content-Length that was set for it");
    out->left -= out->has_length ? size : 0;
    if (out->encoder) {
        sl__encode(out->encoder, data, size, SL__ENCODE_MORE, &out->buffer);
        if (out->buffer.size >= GATHER)
            emit(out, NULL, 0, /* last= */ false);
    } else if (out->buffer.size + size <= GATHER) {
        sl_buffer_put(&out->buffer, data, size);
    } else {
        emit(out, data, size, /* last= */ false);
    }
}

void sl_write_printf(sl_stream *out, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    sl_buffer text SL_CLEANUP(sl_buffer_done) = {0}; /* and not in the arena: a stream may last for days */
    sl_buffer_vprintf(&text, format, arguments);
    va_end(arguments);
    sl_write(out, text.data, text.size);
}

void sl_flush(sl_stream *out)
{
    if (out->exchange->connection->broken)
        sl_fail(SL_EPIPE, "the client is gone");
    if (out->encoder)
        sl__encode(out->encoder, NULL, 0, SL__ENCODE_FLUSH, &out->buffer);
    emit(out, NULL, 0, /* last= */ false);
}

static void decide_framing(sl_stream *out)
{
    const sl_response *res = out->response;
    const char *length = sl_response_header(res, "Content-Length");
    out->has_length = length && sl_view_number(sl_view_of(length), INT64_MAX, &out->left) == 0;
    out->head.length = out->left;
    if (!out->has_length) {
        out->head.chunked = out->exchange->request.minor > 0;
        out->head.until_close = !out->head.chunked;
    }
}

void sl__stream_run(sl__exchange *x, sl_response *res)
{
    sl_stream out SL_CLEANUP(stream_done) = {.exchange = x, .response = res};
    decide_framing(&out);
    if (x->request.head_only) {
        out.head.until_close = false;
        out.head.no_length = !out.has_length && !out.head.chunked;
        uv_buf_t head = sl__head_format(x, res, &out.head);
        x->status = res->status;
        x->head_sent = true;
        sl__send(x->connection, &head, 1);
        return;
    }
    out.encoder = sl__encoder_new(res);
    SL_SCOPE(scope)
    {
        x->streaming = scope;
        res->write(&out, res->write_data);
        x->streaming = NULL;
    }
    if (x->connection->broken)
        sl_fail(SL_EPIPE, "the client is gone");
    if (out.has_length && out.left > 0)
        sl_fail(SL_EFAILED, "a stream ended before the Content-Length that was set for it");
    if (out.encoder)
        sl__encode(out.encoder, NULL, 0, SL__ENCODE_END, &out.buffer);
    emit(&out, NULL, 0, /* last= */ true);
}

/* ---- Handlers that wait ------------------------------------------------------------------------------ */

void sl__request_watch(sl_request *req, sl_scope *scope)
{
    sl__exchange_of(req)->streaming = scope;
    if (scope && sl__request_gone(req))
        sl_scope_cancel(scope);
}

bool sl__request_gone(const sl_request *req)
{
    const sl__exchange *x = sl__exchange_of(req);
    return !x->connection || x->connection->broken;
}
