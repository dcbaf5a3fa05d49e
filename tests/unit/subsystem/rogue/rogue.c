/* rogue.c: a child that breaks the rules, in the way that the name of its module says. Its program is called
 * silver-worker too, so that a manager starts it. */
#include "../modules/sums.h"
#include "subsystem/worker.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static sl__wire *wire;

static void put(unsigned kind, uint64_t call, const void *data, size_t size)
{
    sl__wire_put(wire, &(sl__packet){.kind = (uint8_t)kind, .call = call},
                 &(struct iovec){(void *)data, size}, 1);
}

static void put_record(unsigned kind, uint64_t call, const sl_record *record, const void *value)
{
    sl_buffer data = {0};
    sl_error *error = NULL;
    if (sl_codec_flat.encode(record, value, &data, NULL, &error) < 0)
        abort();
    put(kind, call, data.data, data.size);
    sl_buffer_done(&data);
}

static void say_hello(void)
{
    struct sl__hello hello = {.protocol = SL__WIRE_PROTOCOL,
                              .service = "sums",
                              .version = 1,
                              .digest = (int64_t)sl_service_digest(sums_service),
                              .concurrency = 1,
                              .codec = "flat"};
    put_record(SL__HELLO, 0, sl__hello_record(), &hello);
    put(SL__READY, 0, "", 0);
}

static void call_up(uint64_t number, const char *method)
{
    struct sl__upcall upcall = {.service = "sums",
                                .method = method,
                                .digest = (int64_t)sl_service_digest(sums_service),
                                .version = 1,
                                .priority = 99,
                                .timeout_ms = -1};
    put_record(SL__CALL, number, sl__upcall_record(), &upcall);
}

/* What it does when it is called. Whether it answers after that. */
static bool misbehave(const char *how)
{
    static const char long_name[SL__CHANNEL_MAX + 1];
    if (strcmp(how, "upcall-garbage") == 0)
        put(SL__CALL, 1, "garbage", 7);
    else if (strcmp(how, "event-garbage") == 0)
        put(SL__TELL, 0, "garbage", 7);
    else if (strcmp(how, "log-garbage") == 0)
        put(SL__LOG, 0, "garbage", 7);
    else if (strcmp(how, "number-twice") == 0)
        for (int i = 0; i < 2; i++)
            call_up(1, "nap");
    else if (strcmp(how, "long-channel") == 0)
        put(SL__HEAR, 0, long_name, sizeof long_name);
    else if (strcmp(how, "other-group") == 0)
        setpgid(0, getpgid(getppid()));
    else
        return true;
    return false;
}

static void overdo(const char *how)
{
    char deep[5000];
    if (strcmp(how, "many-calls") == 0)
        for (uint64_t i = 0; i < 5000; i++)
            call_up(2 * i + 1, "nap");
    if (strcmp(how, "many-channels") == 0)
        for (int i = 0; i < 5000; i++)
            put(SL__HEAR, 0, deep, (size_t)snprintf(deep, sizeof deep, "channel/%d", i));
    if (strcmp(how, "event") == 0)
        put_record(SL__TELL, 0, sl__event_record(), &(struct sl__event){"x", "noted", "1"});
    if (strcmp(how, "odd-channels") == 0) {
        memset(deep, '/', sizeof deep);
        put(SL__HEAR, 0, deep, sizeof deep);
        put(SL__HEAR, 0, "a\0b", 3);
        put(SL__HEAR, 0, "", 0);
        put(SL__UNHEAR, 0, "never heard", 11);
        put(SL__CANCEL, 77, "", 0);
        put_record(SL__TELL, 0, sl__event_record(), &(struct sl__event){"x", "y", "no JSON"});
    }
}

/* Answers the call with a sum of 42, to show that it is still there. */
static void answer(uint64_t number)
{
    put_record(SL__RESULT, number, number_record(), &(struct number){42});
}

int main(int argc, char **argv)
{
    const char *how = strrchr(argv[2], '/') + 1;
    sl__packet packet;
    if (sl__worker_join(&wire) < 0)
        return 1;
    say_hello();
    while (sl__wire_wait(wire, -1) >= 0)
        while (sl__wire_next(wire, &packet) > 0) {
            if (packet.kind == SL__STOP)
                return 0;
            if (packet.kind != SL__CALL)
                continue;
            bool first = packet.word == sl__method_index(sums, add);
            if (first)
                overdo(how);
            if (!first || misbehave(how))
                answer(packet.call);
        }
    return 1;
}
