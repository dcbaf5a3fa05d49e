/* talker.c: a child that takes part in long calls, on the wire itself, one at a time. */
#include "../talker.h"
#include "subsystem/talk.h"
#include "subsystem/worker.h"

#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

typedef struct kept {
    struct kept *next;
    sl__packet packet;
    char data[];
} kept;

typedef struct talker {
    sl__wire *wire;
    kept *first, **last, *current; /* came while credit was waited for */
    uint64_t call;
    int64_t credit;
    size_t taken;
} talker;

static void put(talker *t, sl__packet_kind kind, uint16_t word, const void *data, size_t size)
{
    struct iovec piece = {(void *)data, size};
    sl__wire_put(t->wire, &(sl__packet){.kind = kind, .word = word, .call = t->call}, &piece, size > 0);
}

/* The next packet on the wire; ends the process with the parent. */
static sl__packet receive(talker *t)
{
    sl__packet packet;
    int r;
    while ((r = sl__wire_next(t->wire, &packet)) == 0)
        if (sl__wire_wait(t->wire, -1) < 0)
            exit(0);
    if (r < 0 || packet.kind == SL__STOP)
        exit(0);
    if (packet.kind == SL__CREDIT)
        t->credit += packet.word * 1024;
    return packet;
}

static sl__packet next(talker *t)
{
    free(t->current);
    t->current = t->first;
    if (!t->first)
        return receive(t);
    t->first = t->first->next;
    if (!t->first)
        t->last = &t->first;
    return t->current->packet;
}

static void wait_for_credit(talker *t)
{
    sl__packet packet = receive(t);
    if (packet.kind == SL__CREDIT)
        return;
    kept *later = malloc(sizeof *later + packet.size);
    later->next = NULL;
    later->packet = packet;
    if (packet.size)
        memcpy(later->data, packet.data, packet.size);
    later->packet.data = later->data;
    *t->last = later;
    t->last = &later->next;
}

static void took(talker *t, size_t size)
{
    t->taken += size;
    if (t->taken < 1024)
        return;
    put(t, SL__CREDIT, (uint16_t)(t->taken / 1024), NULL, 0);
    t->taken %= 1024;
}

static void give(talker *t, uint16_t word, const void *data, size_t size)
{
    while ((int64_t)size > t->credit && t->credit <= SL__TALK_WINDOW - 1024)
        wait_for_credit(t);
    t->credit -= (int64_t)size;
    put(t, SL__DATA, word, data, size);
}

/* Gives back what comes, up to the end. */
static void do_echo(talker *t)
{
    for (sl__packet packet; (packet = next(t)).kind != SL__END;) {
        if (packet.kind == SL__CANCEL) {
            put(t, SL__FAILED, 0, NULL, 0);
            return;
        }
        if (packet.kind != SL__DATA)
            continue;
        char *copy = malloc(packet.size + 1);
        memcpy(copy, packet.data, packet.size);
        took(t, packet.size);
        give(t, packet.word, copy, packet.size);
        free(copy);
    }
    put(t, SL__END, 0, NULL, 0);
    put(t, SL__RESULT, 7, "bye", 3);
}

/* Takes all; the result is how much it was. */
static void do_swallow(talker *t)
{
    uint64_t total = 0;
    for (sl__packet packet; (packet = next(t)).kind != SL__END;) {
        if (packet.kind != SL__DATA)
            continue;
        total += packet.size;
        took(t, packet.size);
    }
    put(t, SL__RESULT, 0, &total, sizeof total);
}

static void do_flood(talker *t, bool politely)
{
    static const char zeros[10000];
    for (int i = 0; i < FLOOD_PACKETS; i++)
        politely ? give(t, 0, zeros, sizeof zeros) : put(t, SL__DATA, 0, zeros, sizeof zeros);
    put(t, SL__RESULT, 0, NULL, 0);
}

static void serve(talker *t, const sl__packet *call)
{
    t->call = call->call;
    t->credit = SL__TALK_WINDOW;
    t->taken = 0;
    switch (call->word) {
    case TALK_ECHO:
        do_echo(t);
        break;
    case TALK_SWALLOW:
        do_swallow(t);
        break;
    case TALK_FLOOD:
        do_flood(t, /* politely= */ true);
        break;
    case TALK_OVERRUN:
        do_flood(t, /* politely= */ false);
        break;
    case TALK_FILES:
        for (int i = 0; i < 100; i++)
            sl__wire_put(t->wire, &(sl__packet){.kind = SL__DATA, .call = t->call, .file_count = 1}, NULL, 0);
        break;
    case TALK_DIE:
        put(t, SL__DATA, 1, "last", 4);
        sl__wire_flush(t->wire);
        abort();
    case TALK_IGNORE:
        for (;;)
            pause();
    case TALK_ANSWER: /* without waiting for the data */
        put(t, SL__RESULT, 1, call->data, call->size);
        break;
    }
}

int main(int argc, char **argv)
{
    talker t = {.last = &t.first};
    if (argc < 2 || sl__worker_join(&t.wire) < 0)
        return 2;
    signal(SIGTERM, SIG_IGN); /* it is hard to end */
    struct sl__hello hello = {.protocol = SL__WIRE_PROTOCOL, .service = argv[1], .concurrency = 1};
    sl_buffer out = {0};
    sl_error *error;
    if (sl_codec_flat.encode(sl__hello_record(), &hello, &out, NULL, &error) < 0)
        return 2;
    put(&t, SL__HELLO, 0, out.data, out.size);
    sl_buffer_done(&out);
    put(&t, SL__READY, 0, NULL, 0);
    for (;;) {
        sl__packet packet = next(&t);
        if (packet.kind == SL__CALL)
            serve(&t, &packet);
    }
}
