/* gio.h: GLib on our loop, and GIO's asynchronous calls as deferreds. An optional library of its own:
 * libsilver-gio, pkg-config name silver-gio.
 *
 * After sl_gio_attach all that runs in GLib's main context (sources, signals, D-Bus, the ends of asynchronous
 * calls) runs on the loop. GLib's callbacks run outside of tasks: in them use links and sl_fire, not
 * sl_await. */
#pragma once

#include <gio/gio.h>
#include <silver/io.h>

/* Lets the loop, which must be the calling thread's, drive the thread's main context: the thread-default one;
 * else the process's default one; or, where another thread holds that, a new one, which becomes the thread's
 * default. Calling it again does nothing, and the calls below do it by themselves. Ends with the loop. 0, or
 * SL_EBUSY if another thread holds the thread-default context.
 *
 * GLib's sources alone do not keep the loop running; calls that deferreds wait for do. */
SL_API int sl_gio_attach(sl_loop *loop);

/* g_file_read_async: a GFileInputStream, unreferenced when the awaiting task ends. Cancelling the deferred
 * cancels the call's GCancellable. Failures name the file. */
SL_API sl_deferred *sl_gio_file_read(GFile *file);
/* g_input_stream_read_async: sl_bytes of at most `size` (16 MiB at most), empty at the end. One read of a
 * stream at a time, as GIO wants it. The stream is kept until the read is over, also when it was cancelled.
 */
SL_API sl_deferred *sl_gio_stream_read(GInputStream *stream, size_t size);

/* Any other asynchronous call of GIO. Make a call, start it with its cancellable, sl_gio_ready and itself,
 * and hand out its deferred:
 *
 *     static sl_result info_of(GObject *source, GAsyncResult *result, void *data)
 *     {
 *         GError *error = NULL;
 *         GFileInfo *info = g_file_query_info_finish(G_FILE(source), result, &error);
 *         if (!info)
 *             return sl_failed(sl_gio_error(error, "cannot look at the file"));
 *         return sl_owned(info, g_object_unref);
 *     }
 *
 *     sl_gio_call *call = sl_gio_call_new(info_of, NULL, NULL);
 *     g_file_query_info_async(file, "standard::*", 0, 0, call->cancellable, sl_gio_ready, call);
 *     return call->deferred;
 *
 * (That order is safe: GIO never calls back before the loop turns.) `finish` gets `data`, which `free_data`
 * frees after it. */
typedef sl_result sl_gio_finish_fn(GObject *source, GAsyncResult *result, void *data);
typedef struct sl_gio_call {
    GCancellable *cancellable;
    sl_deferred *deferred;
    sl_gio_finish_fn *finish;
    void *data;
    sl_free_fn *free_data;
} sl_gio_call;
SL_API sl_gio_call *sl_gio_call_new(sl_gio_finish_fn *finish, void *data, sl_free_fn *free_data);
SL_API void sl_gio_ready(GObject *source, GAsyncResult *result, gpointer call);
/* An error that says "WHAT: GLib's message" with the code of errno that fits. Takes over `error`. */
SL_API sl_error *sl_gio_error(GError *error, const char *what);
