/* gio_cat.c: prints a file through GIO's asynchronous calls, from a task. */
#include <silver/gio.h>

#include <stdio.h>

static void *cat(void *path)
{
    GFile *file = g_file_new_for_commandline_arg(path); /* a path or a URI */
    sl_defer(g_object_unref, file);

    GInputStream *stream = sl_await(sl_gio_file_read(file));
    for (;;) {
        sl_bytes *bytes = sl_await(sl_gio_stream_read(stream, 4096));
        if (bytes->size == 0)
            return NULL;
        fwrite(bytes->data, 1, bytes->size, stdout);
    }
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        fprintf(stderr, "usage: gio_cat FILE\n");
        return 2;
    }
    return sl_run("gio_cat", cat, argv[1], NULL) < 0;
}
