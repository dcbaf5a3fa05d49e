/* puppet.c: a child process whose parent the test plays. */
#include "puppet.h"
#include "modules/sums.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#define PATIENCE_MS 20000

char *module_path(const char *name)
{
    return sl_printf_heap("%s/%s.so", getenv("SUMS_MODULES"), name);
}

static void become_worker(const int wire[2], int output, const char *service, const char *module)
{
    char *program = sl_printf_heap("%s/silver-worker", getenv("SILVER_PROGRAMS"));
    int memory = fcntl(wire[0], F_DUPFD_CLOEXEC, 10), socket = fcntl(wire[1], F_DUPFD_CLOEXEC, 10);
    int printed = fcntl(output, F_DUPFD_CLOEXEC, 10);
    dup2(printed, STDOUT_FILENO);
    dup2(printed, STDERR_FILENO);
    dup2(memory, SL__WIRE_MEMORY_FD);
    dup2(socket, SL__WIRE_SOCKET_FD);
    execl(program, program, service, module, (char *)NULL);
    perror(program);
    _exit(126);
}

void puppet_start(puppet *p, const char *service, const char *module)
{
    int ends[2], output[2];
    *p = (puppet){.arena = sl_arena_new()};
    assert_int_equal(sl__wire_new(NULL, &p->wire, ends), 0);
    assert_int_equal(pipe2(output, O_CLOEXEC), 0);
    p->pid = fork();
    assert_true(p->pid >= 0);
    if (p->pid == 0)
        become_worker(ends, output[1], service, module);
    close(ends[0]);
    close(ends[1]);
    close(output[1]);
    p->output = output[0];
}

static void keep_record(puppet *p, const sl__packet *packet)
{
    sl_arena *arena = sl_arena_new();
    sl__value value;
    sl_error *error = NULL;
    assert_int_equal(sl__value_get(packet, &sl_codec_flat, sl__logged_record(), arena, &value, &error), 0);
    const struct sl__logged *logged = value.value;
    sl_buffer_printf(&p->logged, "%s %s: %s\n", sl_level_name(packet->word), logged->logger, logged->message);
    sl__value_done(&value);
    sl_arena_free(arena);
}

void puppet_next(puppet *p, sl__packet *ret_packet)
{
    for (;;) {
        int r = sl__wire_next(p->wire, ret_packet);
        if (r > 0 && ret_packet->kind != SL__LOG)
            return;
        if (r > 0)
            keep_record(p, ret_packet);
        else if (r == 0)
            r = sl__wire_wait(p->wire, PATIENCE_MS);
        if (r <= 0) {
            char *printed = puppet_printed(p);
            fail_msg("no packet comes (%s); it printed: %s; it logged: %s", sl_code_name(r), printed,
                     p->logged.data);
        }
    }
}

void puppet_ready(puppet *p)
{
    sl__packet packet;
    puppet_next(p, &packet);
    if (packet.kind == SL__FAILED)
        fail_msg("it does not start: %s", sl__trouble_get((sl_view){packet.data, packet.size})->message);
    assert_int_equal(packet.kind, SL__HELLO);
    puppet_next(p, &packet);
    assert_int_equal(packet.kind, SL__READY);
}

sl_error *puppet_refuses(puppet *p)
{
    sl__packet packet;
    do
        puppet_next(p, &packet);
    while (packet.kind == SL__HELLO);
    assert_int_equal(packet.kind, SL__FAILED);
    assert_int_equal(packet.call, 0);
    return sl__trouble_get((sl_view){packet.data, packet.size});
}

uint64_t puppet_call(puppet *p, unsigned method, const void *arguments)
{
    sl_error *error = NULL;
    uint64_t number = p->calls += 2;
    assert_int_equal(sl__value_put(p->wire,
                                   &(sl__packet){.kind = SL__CALL, .word = (uint16_t)method, .call = number},
                                   &sl_codec_flat, sums_service->methods[method].arguments(), arguments,
                                   &p->scratch, &error),
                     0);
    sl__wire_flush(p->wire);
    return number;
}

void *puppet_result(puppet *p, uint64_t number, unsigned method)
{
    sl__packet packet;
    sl_error *error = NULL;
    sl__value_done(&p->last);
    sl_arena_reset(p->arena);
    puppet_next(p, &packet);
    if (packet.kind == SL__FAILED) {
        error = sl__trouble_get((sl_view){packet.data, packet.size});
        fail_msg("the call failed: %s", error->message);
    }
    assert_int_equal(packet.kind, SL__RESULT);
    assert_int_equal(packet.call, number);
    assert_int_equal(sl__value_get(&packet, sl__codec_of(packet.codec, NULL),
                                   sums_service->methods[method].result(), p->arena, &p->last, &error),
                     0);
    return p->last.value;
}

sl_error *puppet_failure(puppet *p, uint64_t number)
{
    sl__packet packet;
    puppet_next(p, &packet);
    assert_int_equal(packet.kind, SL__FAILED);
    assert_int_equal(packet.call, number);
    return sl__trouble_get((sl_view){packet.data, packet.size});
}

char *puppet_printed(puppet *p)
{
    sl_buffer printed = {0};
    sl_buffer_puts(&printed, "");
    sl_buffer_read(&printed, p->output, 65536);
    return printed.data;
}

int puppet_end(puppet *p)
{
    int status;
    assert_int_equal(waitpid(p->pid, &status, 0), p->pid);
    sl__value_done(&p->last);
    sl_arena_free(p->arena);
    sl__wire_free(p->wire);
    close(p->output);
    sl_buffer_done(&p->logged);
    sl_buffer_done(&p->scratch);
    return status;
}

void puppet_stop(puppet *p)
{
    sl__packet packet;
    sl__wire_put(p->wire, &(sl__packet){.kind = SL__STOP}, NULL, 0);
    sl__wire_flush(p->wire);
    int r;
    while ((r = sl__wire_next(p->wire, &packet)) >= 0) {
        if (r > 0 && packet.kind == SL__LOG)
            keep_record(p, &packet);
        else if (r == 0)
            sl__wire_wait(p->wire, PATIENCE_MS);
    }
    assert_non_null(p->logged.data);
    assert_non_null(strstr(p->logged.data, "sums: the service is closed\n"));
    char *printed = puppet_printed(p);
    int status = puppet_end(p);
    if (!WIFEXITED(status) || WEXITSTATUS(status))
        fail_msg("it ended with status %#x, and printed: %s", (unsigned)status, printed);
    free(printed);
}
