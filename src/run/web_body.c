/* web_body.c: a request's body on its way to a worker.
 *
 * For a WSGI application it is read whole, so that a client that sends slowly holds no worker: what is small
 * lies in memory, what is large in a file without a name, whose descriptor the worker gets. For an ASGI
 * application what is large comes as it comes, with back-pressure to the client. */
#include "run/web.h"

#include <errno.h>
#include <stdlib.h>

#define PIECE 16384 /* sent to the worker at once */

/* The size that the client announces, or -1. */
static int64_t announced(const sl_request *req)
{
    uint64_t size;
    const char *length = sl_header(req, "Content-Length");
    if (sl_header(req, "Transfer-Encoding"))
        return -1;
    if (!length)
        return 0;
    return sl_view_number(sl_view_of(length), INT64_MAX, &size) == 0 ? (int64_t)size : -1;
}

SL_NORETURN static void too_large(const struct web *web)
{
    sl_fail(SL_HTTP(413), "the request's body is larger than the %llu bytes that are accepted here",
            (unsigned long long)web->manifest->workers.upload_size);
}

/* ---- Whole ------------------------------------------------------------------------------------------- */

/* A body in the making. What it reserves of the disk is given back with the request. */
struct upload {
    struct web *web;
    sl_buffer memory;
    sl_result file;
    uint64_t size, reserved;
};

static void upload_done(void *data)
{
    struct upload *upload = data;
    sl_buffer_done(&upload->memory);
    sl_result_done(&upload->file);
    upload->web->spooled -= upload->reserved;
}

/* A disk that is full is not the application's failure, and may pass. */
SL_NORETURN static void not_written(sl_error *error)
{
    if (error->code != SL_ENOSPC && error->code != -EDQUOT && error->code != -EFBIG)
        sl_fail_again(error);
    sl_fail(SL_HTTP(503), "there is no room for a large body of a request: %s", error->message);
}

/* Writes what is in memory. */
static void write_out(struct upload *upload)
{
    size_t size = upload->memory.size;
    if (!spool_reserve(upload->web, size))
        sl_fail(SL_HTTP(503), "there is no room left for large bodies of requests (spool_size)");
    upload->reserved += size;
    SL_SCRATCH()
    {
        sl_error *error;
        sl_try(sl_file_write_at(upload->file.value, upload->size, upload->memory.data, size), &error);
        if (error)
            not_written(error);
    }
    upload->size += size;
    upload->memory.size = 0;
}

static void open_file(struct upload *upload)
{
    upload->file = spool_file();
    if (upload->file.kind != SL_VALUE) {
        sl_error *error = upload->file.error;
        upload->file = (sl_result){0};
        sl_fail_error(error);
    }
}

static void take_piece(struct upload *upload, const char *data, size_t size)
{
    if (size > upload->web->manifest->workers.upload_size - upload->size - upload->memory.size)
        too_large(upload->web);
    if (upload->memory.size + size > WEB_IN_MEMORY) {
        if (!upload->file.value)
            open_file(upload);
        if (upload->memory.size)
            write_out(upload);
    }
    sl_buffer_put(&upload->memory, data, size); /* never a write for each piece: a chunk may be one byte */
}

static void take_whole(struct relay *relay, struct web_request *request)
{
    struct upload *upload = sl_zalloc(sizeof(*upload));
    size_t size;
    upload->web = relay->web;
    sl_defer(upload_done, upload);
    for (const char *piece; (piece = sl_body_read(relay->req, &size));)
        take_piece(upload, piece, size);
    if (upload->file.value) {
        if (upload->memory.size)
            write_out(upload);
        sl_buffer_done(&upload->memory);
        request->body_file = sl_file_descriptor(upload->file.value);
        request->body_size = (int64_t)upload->size;
    } else {
        request->body = (sl_view){upload->memory.data, upload->memory.size};
        request->body_size = (int64_t)upload->memory.size;
    }
}

void body_take(struct relay *relay, struct web_request *request)
{
    int64_t size = announced(relay->req);
    if (size == 0)
        return;
    if (size > 0 && (uint64_t)size > relay->web->manifest->workers.upload_size)
        too_large(relay->web);
    if (size > 0 && size <= WEB_IN_MEMORY) {
        request->body.data = sl_body(relay->req, WEB_IN_MEMORY, &request->body.size);
        request->body_size = (int64_t)request->body.size;
    } else if (relay->web->asgi) {
        relay->streams_body = true;
        request->body_size = -1;
    } else {
        take_whole(relay, request);
    }
}

/* ---- As it comes ------------------------------------------------------------------------------------- */

void *body_stream(void *data)
{
    struct relay *relay = data;
    while (!relay->body_ended) {
        if (!relay->piece.size) {
            relay->piece.data = sl_body_read(relay->req, &relay->piece.size);
            relay->body_size += relay->piece.size;
            if (relay->body_size > relay->web->manifest->workers.upload_size)
                too_large(relay->web);
        }
        if (!relay->piece.data) {
            relay->body_ended = true;
            sl__talk_end(relay->talk);
        } else {
            size_t part = relay->piece.size < PIECE ? relay->piece.size : PIECE;
            sl__talk_send(relay->talk, WEB_BODY, relay->piece.data, part);
            relay->piece = (sl_view){relay->piece.data + part, relay->piece.size - part};
        }
    }
    return NULL;
}
