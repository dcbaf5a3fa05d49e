/* driver.c: a parent of one silver-python that does what it is told, line by line, and tells what it sees:
 * for tests of the worker alone.
 *
 *     driver SILVER-PYTHON SERVICE MODULE.py
 *
 * Each line of its input is a JSON object: {"kind": number, "call": number, "word": number, "codec": number},
 * with the payload as "record" and "value" (flat), as "json" (text), or as "data" (base64); "file" opens a
 * file of that name and passes it as the record's field "body_file". {"credit": false} ends the credit that
 * is otherwise given at once for all data. Each packet of the worker is printed as such an object. The end of
 * the input closes the wire; the driver ends with the worker, and prints how it ended. */
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "run/web_talk.h"
#include "subsystem/hello.h"
#include "subsystem/wire.h"

#define PAYLOAD(F) F(data, bytes)
SL_RECORD(payload, PAYLOAD);

#define FILE_SHOWN_MAX (1 << 20)

static sl__wire *wire;
static bool gives_credit = true;
static pid_t worker;

static void die(const char *what, const sl_error *error)
{
    fprintf(stderr, "driver: %s%s%s\n", what, error ? ": " : "", error ? error->message : "");
    exit(3);
}

/* ---- Starting ---------------------------------------------------------------------------------------- */

static pid_t start(char **argv)
{
    int ends[2];
    if (sl__wire_new(&(sl__wire_options){.spin_ns = UINT64_MAX}, &wire, ends) < 0)
        die("no wire", NULL);
    pid_t pid = fork();
    if (pid)
        return close(ends[0]), close(ends[1]), pid;
    /* Out of the way of both numbers first. */
    int memory = fcntl(ends[0], F_DUPFD, 10), socket = fcntl(ends[1], F_DUPFD, 10);
    dup2(memory, SL__WIRE_MEMORY_FD);
    dup2(socket, SL__WIRE_SOCKET_FD);
    close(memory);
    close(socket);
    int null = open("/dev/null", O_RDONLY);
    dup2(null, STDIN_FILENO);
    dup2(STDERR_FILENO, STDOUT_FILENO);
    execv(argv[0], argv);
    perror(argv[0]);
    _exit(127);
}

/* ---- Telling ----------------------------------------------------------------------------------------- */

static const sl_record *record_of(const sl__packet *packet)
{
    switch (packet->kind) {
    case SL__HELLO:
        return sl__hello_record();
    case SL__FAILED:
        return sl__trouble_record();
    case SL__LOG:
        return sl__logged_record();
    case SL__TELL:
        return sl__event_record();
    case SL__CALL:
        return sl__upcall_record();
    case SL__DATA:
        return packet->word == WEB_HEAD     ? web_response_record()
               : packet->word == WEB_ACCEPT ? web_accept_record()
               : packet->word == WEB_CLOSE  ? web_close_record()
                                            : NULL;
    }
    return NULL;
}

static void add_file(json_t *told, const struct web_response *response)
{
    size_t size = response->file_size < 0 || response->file_size > FILE_SHOWN_MAX
                      ? FILE_SHOWN_MAX
                      : (size_t)response->file_size;
    char *content = sl_malloc(size + 1);
    ssize_t got = pread(response->file, content, size, (off_t)response->file_offset);
    struct payload payload = {.data = {content, got > 0 ? (size_t)got : 0}};
    json_object_set_new(told, "file", sl_record_to_json(payload_record(), &payload));
    free(content);
}

static void add_payload(json_t *told, const sl__packet *packet)
{
    const sl_record *record = packet->kind == SL__RESULT && packet->codec == SL__CODEC_FLAT && packet->size
                                  ? web_about_record()
                                  : record_of(packet);
    sl_arena *arena = sl_arena_new();
    sl_files files = {.count = packet->file_count};
    memcpy(files.numbers, packet->files, sizeof(files.numbers));
    void *value = NULL;
    sl_error *error = NULL;
    if (!record) {
        struct payload payload = {.data = {packet->data ? packet->data : "", packet->size}};
        json_object_update_new(told, sl_record_to_json(payload_record(), &payload));
    } else if (sl_codec_flat.decode(record, (sl_view){packet->data, packet->size}, false, &files, arena,
                                    &value, &error) < 0) {
        die("a packet is malformed", error);
    } else {
        json_object_set_new(told, "value", sl_record_to_json(record, value));
        if (record == web_response_record() && ((struct web_response *)value)->file >= 0)
            add_file(told, value);
        sl_record_done(record, value);
    }
    sl_arena_free(arena);
}

static void tell(json_t *told)
{
    char *text = json_dumps(told, JSON_COMPACT);
    printf("%s\n", text);
    fflush(stdout);
    free(text);
    json_decref(told);
}

static void tell_packet(const sl__packet *packet)
{
    json_t *told =
        json_pack("{s:i, s:I, s:i, s:i, s:I}", "kind", packet->kind, "call", (json_int_t)packet->call, "word",
                  packet->word, "codec", packet->codec, "size", (json_int_t)packet->size);
    add_payload(told, packet);
    tell(told);
}

/* Credit comes in KiB: what is left over counts the next time. */
static void give_credit(const sl__packet *packet)
{
    static size_t owed;
    owed += packet->size;
    if (owed < 1024)
        return;
    sl__wire_put(wire,
                 &(sl__packet){.kind = SL__CREDIT, .call = packet->call, .word = (uint16_t)(owed / 1024)},
                 NULL, 0);
    owed %= 1024;
}

static int take(void)
{
    sl__packet packet;
    int code;
    while ((code = sl__wire_next(wire, &packet)) > 0) {
        tell_packet(&packet);
        if (gives_credit && packet.kind == SL__DATA)
            give_credit(&packet);
    }
    return code;
}

/* ---- Being told -------------------------------------------------------------------------------------- */

static const sl_record *record_named(const char *name)
{
    const sl_record *const records[] = {web_request_record(), sl__event_record(), sl__trouble_record(),
                                        web_close_record()};
    for (size_t i = 0; i < sl_array_size(records); i++)
        if (strcmp(records[i]->name, name) == 0)
            return records[i];
    die("there is no such record", NULL);
    return NULL;
}

static void make_record(json_t *line, sl_buffer *out, sl__packet *head)
{
    sl_arena *arena = sl_arena_new();
    const sl_record *record = record_named(json_string_value(json_object_get(line, "record")));
    void *value = NULL;
    sl_error *error = NULL;
    if (sl_record_from_json(record, json_object_get(line, "value"), arena, &value, &error) < 0)
        die("a value is refused", error);
    const char *file = json_string_value(json_object_get(line, "file"));
    if (record == web_request_record())
        ((struct web_request *)value)->body_file = file ? open(file, O_RDONLY | O_CLOEXEC) : -1;
    sl_files files = {0};
    if (sl_codec_flat.encode(record, value, out, &files, &error) < 0)
        die("a value cannot be sent", error);
    head->file_count = files.count;
    memcpy(head->files, files.numbers, sizeof(files.numbers));
    sl_arena_free(arena);
}

static void make_data(json_t *line, sl_buffer *out)
{
    sl_arena *arena = sl_arena_new();
    json_t *object = json_pack("{s:O}", "data", json_object_get(line, "data"));
    void *value = NULL;
    sl_error *error = NULL;
    if (sl_record_from_json(payload_record(), object, arena, &value, &error) < 0)
        die("data is refused", error);
    sl_buffer_put(out, ((struct payload *)value)->data.data, ((struct payload *)value)->data.size);
    json_decref(object);
    sl_arena_free(arena);
}

static json_int_t number(json_t *line, const char *name)
{
    return json_integer_value(json_object_get(line, name));
}

static uint64_t worker_cpu_ns(void)
{
    clockid_t clock;
    struct timespec now = {0};
    if (clock_getcpuclockid(worker, &clock) == 0)
        clock_gettime(clock, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

/* So many requests, so many of them at once; how many nanoseconds one took, and of the worker's processor. */
static void bench(json_t *line)
{
    sl_buffer out = {0};
    sl__packet head = {.kind = SL__CALL}, packet;
    make_record(line, &out, &head);
    json_int_t count = number(line, "bench"), at_once = number(line, "at_once"), begun = 0, ended = 0;
    uint64_t start = sl_monotonic_ns(), cpu = worker_cpu_ns();
    while (ended < count) {
        while (begun < count && begun - ended < at_once) {
            head.call = 2 * (uint64_t)++begun;
            sl__wire_put(wire, &head, &(struct iovec){out.data, out.size}, 1);
        }
        if (sl__wire_wait(wire, -1) < 0)
            die("the worker is gone", NULL);
        while (sl__wire_next(wire, &packet) > 0) {
            if (packet.kind == SL__DATA)
                give_credit(&packet);
            if (packet.kind == SL__FAILED)
                tell_packet(&packet);
            ended += packet.kind == SL__RESULT || packet.kind == SL__FAILED;
        }
    }
    tell(json_pack("{s:I, s:I}", "ns", (json_int_t)((sl_monotonic_ns() - start) / (uint64_t)count), "cpu_ns",
                   (json_int_t)((worker_cpu_ns() - cpu) / (uint64_t)count)));
    sl_buffer_done(&out);
}

static void obey(const char *text)
{
    json_error_t wrong;
    json_t *line = json_loads(text, 0, &wrong);
    if (!line)
        die(wrong.text, NULL);
    if (json_object_get(line, "credit")) {
        gives_credit = json_is_true(json_object_get(line, "credit"));
        json_decref(line);
        return;
    }
    if (json_object_get(line, "bench")) {
        bench(line);
        json_decref(line);
        return;
    }
    sl__packet head = {.kind = (uint8_t)number(line, "kind"),
                       .call = (uint64_t)number(line, "call"),
                       .word = (uint16_t)number(line, "word"),
                       .codec = (uint8_t)number(line, "codec")};
    sl_buffer out = {0};
    if (json_object_get(line, "record"))
        make_record(line, &out, &head);
    else if (json_object_get(line, "json"))
        sl_buffer_puts(&out, json_string_value(json_object_get(line, "json")));
    else if (json_object_get(line, "data"))
        make_data(line, &out);
    sl__wire_put(wire, &head, &(struct iovec){out.data, out.size}, out.size > 0);
    for (unsigned i = 0; i < head.file_count; i++)
        close(head.files[i]);
    sl_buffer_done(&out);
    json_decref(line);
}

/* Obeys the whole lines that have come; false at the end of the input. */
static bool hear(sl_buffer *heard)
{
    static char chunk[65536];
    ssize_t got = read(STDIN_FILENO, chunk, sizeof(chunk));
    if (got <= 0)
        return false;
    sl_buffer_put(heard, chunk, (size_t)got);
    for (char *newline; heard->size && (newline = memchr(heard->data, '\n', heard->size));) {
        *newline = 0;
        obey(heard->data);
        sl_buffer_consume(heard, (size_t)(newline - heard->data) + 1);
    }
    return true;
}

static void serve(void)
{
    sl_buffer heard = {0};
    bool hears = true;
    for (;;) {
        int code = take();
        sl__wire_flush(wire);
        if (code < 0)
            break;
        if (!sl__wire_sleep(wire))
            continue;
        struct pollfd polled[] = {{.fd = sl__wire_descriptor(wire), .events = POLLIN},
                                  {.fd = hears ? STDIN_FILENO : -1, .events = POLLIN}};
        poll(polled, 2, -1);
        sl__wire_awake(wire);
        if (polled[1].revents && !hear(&heard))
            break;
    }
    sl_buffer_done(&heard);
}

int main(int argc, char **argv)
{
    if (argc < 4)
        die("how it is used: driver SILVER-PYTHON SERVICE MODULE.py", NULL);
    worker = start(argv + 1);
    serve();
    wire = sl__wire_free(wire);
    int status = 0;
    while (waitpid(worker, &status, 0) < 0 && errno == EINTR)
        ;
    tell(json_pack("{s:i, s:i}", "exited", WIFEXITED(status) ? WEXITSTATUS(status) : -1, "signal",
                   WIFSIGNALED(status) ? WTERMSIG(status) : 0));
    return 0;
}
