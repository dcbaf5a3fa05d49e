/* GLib on our loop: files and streams as deferreds, sources of all kinds, cancelling, and the end. */
#include "check.h"

#include <silver/gio.h>
#include <pthread.h>

static GFile *file_at(const char *path)
{
    GFile *file = g_file_new_for_path(path);
    sl_defer(g_object_unref, file);
    return file;
}

TASK_TEST(reads_a_file)
{
    size_t size = 300000;
    char *text = sl_alloc(size);
    for (size_t i = 0; i < size; i++)
        text[i] = (char)('a' + i % 26);
    sl_await(sl_file_write(in_scratch("a"), text, size));
    GInputStream *stream = sl_await(sl_gio_file_read(file_at(in_scratch("a"))));
    size_t read = 0;
    for (sl_bytes *bytes; (bytes = sl_await(sl_gio_stream_read(stream, 10000)))->size > 0;
         read += bytes->size) {
        CHECK(bytes->size <= 10000 && memcmp(bytes->data, text + read, bytes->size) == 0);
        CHECK(bytes->data[bytes->size] == '\0');
    }
    CHECK(read == size);
    return NULL;
}

TASK_TEST(failures_are_ours)
{
    CHECK_FAILS(sl_gio_file_read(file_at(in_scratch("nowhere"))), SL_ENOENT, "nowhere");
    CHECK_FAILS(sl_gio_file_read(file_at(scratch)), -EISDIR, scratch);
    GInputStream *stream = sl_await(sl_gio_file_read(file_at("/proc/self/status")));
    CHECK(g_input_stream_close(stream, NULL, NULL));
    CHECK_FAILS(sl_gio_stream_read(stream, 10), SL_ECLOSED, "cannot read the stream");
    return NULL;
}

TASK_TEST(hundreds_at_once)
{
    enum { COUNT = 300 };
    sl_deferred *many[COUNT];
    put_file(in_scratch("a"), "x");
    for (int i = 0; i < COUNT; i++)
        many[i] = sl_gio_file_read(file_at(in_scratch("a")));
    void **streams = sl_await(sl_all(many, COUNT));
    for (int i = 0; i < COUNT; i++)
        many[i] = sl_gio_stream_read(streams[i], 10);
    void **bytes = sl_await(sl_all(many, COUNT));
    for (int i = 0; i < COUNT; i++)
        CHECK(strcmp(((sl_bytes *)bytes[i])->data, "x") == 0);
    return NULL;
}

/* ---- Cancelling: a connection on which nothing ever comes -------------------------------------------- */

static GSocketConnection *silent_connection(int *ret_other)
{
    int ends[2];
    CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
    GSocket *socket = g_socket_new_from_fd(ends[0], NULL);
    CHECK(socket);
    GSocketConnection *connection = g_socket_connection_factory_create_connection(socket);
    g_object_unref(socket);
    sl_defer(g_object_unref, connection);
    *ret_other = ends[1];
    return connection;
}

TASK_TEST(cancelling_reaches_gio)
{
    int other;
    GSocketConnection *connection = silent_connection(&other);
    GInputStream *stream = g_io_stream_get_input_stream(G_IO_STREAM(connection));
    sl_deferred *read = sl_gio_stream_read(stream, 100);
    sl_cancel(read);
    CHECK_FAILS(read, SL_ECANCELED, "");
    while (g_input_stream_has_pending(stream)) /* until GIO has heard of it */
        sl_yield();
    read = sl_gio_stream_read(stream, 100);
    CHECK(write(other, "hello", 5) == 5);
    CHECK(strcmp(((sl_bytes *)sl_await(read))->data, "hello") == 0);
    CHECK(close(other) == 0);
    CHECK(((sl_bytes *)sl_await(sl_gio_stream_read(stream, 100)))->size == 0);
    return NULL;
}

TASK_TEST(calls_end_with_the_loop)
{
    int other;
    GInputStream *stream = g_io_stream_get_input_stream(G_IO_STREAM(silent_connection(&other)));
    sl_forget(sl_gio_stream_read(stream, 100));
    sl_forget(sl_gio_file_read(file_at("/proc/self/status")));
    CHECK(close(other) == 0 || errno);
    return NULL;
}

/* ---- Sources ----------------------------------------------------------------------------------------- */

static gboolean fire_it(gpointer deferred)
{
    sl_fire(deferred, NULL, NULL);
    return G_SOURCE_REMOVE;
}

static gboolean count_to_hundred(gpointer count)
{
    return ++*(int *)count < 100;
}

static void *invoke_from_thread(void *deferred)
{
    g_main_context_invoke(NULL, fire_it, deferred);
    return NULL;
}

TASK_TEST(sources_run_on_the_loop)
{
    CHECK(sl_gio_attach(sl_loop_current()) == 0 && sl_gio_attach(sl_loop_current()) == 0);
    sl_deferred *fired = sl_deferred_new(NULL, NULL);
    g_idle_add(fire_it, fired);
    sl_await(fired);
    fired = sl_deferred_new(NULL, NULL);
    g_timeout_add(5, fire_it, fired); /* added by a task, while nothing else is going on */
    sl_await(fired);
    int count = 0;
    g_idle_add(count_to_hundred, &count);
    while (count < 100)
        sl_yield();
    pthread_t thread;
    fired = sl_deferred_new(NULL, NULL);
    CHECK(pthread_create(&thread, NULL, invoke_from_thread, fired) == 0);
    sl_await(fired);
    pthread_join(thread, NULL);
    return NULL;
}

/* A busy GLib lets the loop's own work run, and the other way round. */
static gboolean for_ever(gpointer count)
{
    ++*(int *)count;
    return G_SOURCE_CONTINUE;
}

TASK_TEST(neither_starves_the_other)
{
    int count = 0;
    CHECK(sl_gio_attach(sl_loop_current()) == 0);
    guint source = g_idle_add(for_ever, &count);
    for (int i = 0; i < 20; i++)
        sl_await(sl_file_stat("/"));
    CHECK(count > 0);
    g_source_remove(source);
    return NULL;
}

/* Another thread has a loop too; the process's default context being taken, it gets one of its own. */
static void *read_in_thread(void *path)
{
    GFile *file = file_at(path);
    GInputStream *stream = sl_await(sl_gio_file_read(file));
    CHECK(((sl_bytes *)sl_await(sl_gio_stream_read(stream, 10)))->size == 1);
    return NULL;
}

static void *loop_in_thread(void *path)
{
    CHECK(sl_run("second", read_in_thread, path, NULL) == 0);
    return NULL;
}

TASK_TEST(each_loop_has_its_context)
{
    pthread_t thread;
    put_file(in_scratch("a"), "x");
    sl_await(sl_gio_file_read(file_at(in_scratch("a"))));
    CHECK(pthread_create(&thread, NULL, loop_in_thread, in_scratch("a")) == 0);
    pthread_join(thread, NULL);
    return NULL;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, scratch_new, scratch_remove)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(reads_a_file),
        TEST(failures_are_ours),
        TEST(hundreds_at_once),
        TEST(cancelling_reaches_gio),
        TEST(calls_end_with_the_loop),
        TEST(sources_run_on_the_loop),
        TEST(neither_starves_the_other),
        TEST(each_loop_has_its_context),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
