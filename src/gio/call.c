/* call.c: GIO's asynchronous calls as deferreds.
 *
 * Every such call takes a cancellable, a callback and its data, and calls back exactly once, on the loop,
 * also when it was cancelled. So a call lives until its callback; cancelling the deferred asks GIO to hurry,
 * and what comes then is dropped by the deferred (SL_CANCEL_LATE). */
#include <silver/gio.h>

#include "gio/internal.h"

#include <errno.h>
#include <stdlib.h>

#define MAX_READ ((size_t)16 << 20)

static sl_cancelled cancel_call(sl_deferred *deferred, void *data)
{
    g_cancellable_cancel(((sl_gio_call *)data)->cancellable);
    return SL_CANCEL_LATE;
}

sl_gio_call *sl_gio_call_new(sl_gio_finish_fn *finish, void *data, sl_free_fn *free_data)
{
    sl_gio_call *call = sl_calloc(1, sizeof *call);
    call->finish = finish;
    call->data = data;
    call->free_data = free_data;
    call->cancellable = g_cancellable_new();
    call->deferred = sl_deferred_new(cancel_call, call);
    sl__gio_hold(call->cancellable);
    return call;
}

void sl_gio_ready(GObject *source, GAsyncResult *result, gpointer user)
{
    sl_gio_call *call = user;
    sl_deferred *deferred = call->deferred;
    sl_result outcome = call->finish(source, result, call->data);
    if (call->free_data)
        call->free_data(call->data);
    sl__gio_release(call->cancellable);
    g_object_unref(call->cancellable);
    free(call);
    sl__fire(SL_HERE, deferred, outcome);
}

/* ---- Errors ------------------------------------------------------------------------------------------ */

static int code_of(const GError *error)
{
    static const struct {
        int gio, code;
    } codes[] = {
        {G_IO_ERROR_NOT_FOUND, SL_ENOENT},
        {G_IO_ERROR_EXISTS, SL_EEXIST},
        {G_IO_ERROR_IS_DIRECTORY, -EISDIR},
        {G_IO_ERROR_NOT_DIRECTORY, -ENOTDIR},
        {G_IO_ERROR_PERMISSION_DENIED, SL_EACCES},
        {G_IO_ERROR_NO_SPACE, SL_ENOSPC},
        {G_IO_ERROR_INVALID_ARGUMENT, SL_EINVAL},
        {G_IO_ERROR_CANCELLED, SL_ECANCELED},
        {G_IO_ERROR_TIMED_OUT, SL_ETIMEDOUT},
        {G_IO_ERROR_BUSY, SL_EBUSY},
        {G_IO_ERROR_PENDING, SL_EBUSY},
        {G_IO_ERROR_CLOSED, SL_ECLOSED},
        {G_IO_ERROR_BROKEN_PIPE, SL_EPIPE},
        {G_IO_ERROR_NOT_SUPPORTED, -ENOTSUP},
        {G_IO_ERROR_CONNECTION_REFUSED, -ECONNREFUSED},
        {G_IO_ERROR_HOST_NOT_FOUND, SL_ENOENT},
    };
    for (size_t i = 0; error->domain == G_IO_ERROR && i < sl_array_size(codes); i++)
        if (codes[i].gio == error->code)
            return codes[i].code;
    return SL_EFAILED;
}

sl_error *sl_gio_error(GError *error, const char *what)
{
    sl_error *made = sl_error_new(code_of(error), "%s: %s", what, error->message);
    g_error_free(error);
    return made;
}

/* ---- Files and streams ------------------------------------------------------------------------------- */

static sl_result finish_file_read(GObject *source, GAsyncResult *result, void *data)
{
    GError *error = NULL;
    GFileInputStream *stream = g_file_read_finish(G_FILE(source), result, &error);
    if (stream)
        return sl_owned(stream, g_object_unref);
    char *name = g_file_get_parse_name(G_FILE(source));
    char *what = sl_printf_heap("cannot read %s", name);
    sl_error *failure = sl_gio_error(error, what);
    free(what);
    g_free(name);
    return sl_failed(failure);
}

sl_deferred *sl_gio_file_read(GFile *file)
{
    sl_gio_call *call = sl_gio_call_new(finish_file_read, NULL, NULL);
    sl_deferred *deferred = call->deferred;
    g_file_read_async(file, G_PRIORITY_DEFAULT, call->cancellable, sl_gio_ready, call);
    return deferred;
}

/* `data` is the sl_bytes that was read into; it becomes the value. */
static sl_result finish_stream_read(GObject *source, GAsyncResult *result, void *data)
{
    GError *error = NULL;
    sl_bytes *bytes = data;
    gssize size = g_input_stream_read_finish(G_INPUT_STREAM(source), result, &error);
    if (size < 0) {
        free(bytes);
        return sl_failed(sl_gio_error(error, "cannot read the stream"));
    }
    bytes->size = (size_t)size;
    bytes->data[size] = '\0';
    return sl_owned(bytes, free);
}

sl_deferred *sl_gio_stream_read(GInputStream *stream, size_t size)
{
    if (size > MAX_READ)
        size = MAX_READ;
    sl_bytes *bytes = sl_malloc(sizeof *bytes + size + 1);
    sl_gio_call *call = sl_gio_call_new(finish_stream_read, bytes, /* free_data= */ NULL);
    sl_deferred *deferred = call->deferred;
    g_input_stream_read_async(stream, bytes->data, size, G_PRIORITY_DEFAULT, call->cancellable, sl_gio_ready,
                              call);
    return deferred;
}
