/* value_now.c: values that are made of the clock: now, today, and UUIDs in the order of time.
 *
 * A UUID of version 7 (RFC 9562) begins with 48 bits of milliseconds. The 12 bits after the version hold the
 * fraction of the millisecond (its method 3), so that the two together are a clock of 244 ns; a process never
 * gives a reading of it twice: when the clock has not moved on, or was set back, the last reading plus one is
 * taken. The other 62 bits are random. */
#include <silver/model.h>

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <time.h>

int64_t sl_time_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

sl_date sl_date_today(void)
{
    struct timespec now;
    struct tm parts;
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &parts);
    return (sl_date){.year = (int16_t)(parts.tm_year + 1900),
                     .month = (uint8_t)(parts.tm_mon + 1),
                     .day = (uint8_t)parts.tm_mday};
}

/* 60 bits: milliseconds, and 4096ths of one. Larger than any that this process got before, in any thread. */
static uint64_t next_reading(void)
{
    static _Atomic uint64_t last_uuid;
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    uint64_t ms = (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
    uint64_t reading = ms << 12 | ((uint64_t)now.tv_nsec % 1000000 * 4096) / 1000000;
    uint64_t last = atomic_load_explicit(&last_uuid, memory_order_relaxed), next;
    do {
        next = reading > last ? reading : last + 1;
    } while (!atomic_compare_exchange_weak_explicit(&last_uuid, &last, next, memory_order_relaxed,
                                                    memory_order_relaxed));
    return next;
}

static void random_bytes(void *out, size_t size)
{
    ssize_t got;
    do {
        got = getrandom(out, size, 0);
    } while (got < 0 && errno == EINTR);
    /* Two objects with one key would be worse than none. */
    if (got != (ssize_t)size) {
        fprintf(stderr, "silver: the system gives no random numbers: %s\n", strerror(errno));
        abort();
    }
}

sl_uuid sl_uuid_new(void)
{
    uint64_t reading = next_reading(), ms = reading >> 12;
    sl_uuid uuid;
    for (unsigned i = 0; i < 6; i++)
        uuid.bytes[i] = (uint8_t)(ms >> (40 - 8 * i));
    uuid.bytes[6] = (uint8_t)(0x70 | (reading >> 8 & 0x0f));
    uuid.bytes[7] = (uint8_t)reading;
    random_bytes(uuid.bytes + 8, 8);
    uuid.bytes[8] = (uint8_t)(0x80 | (uuid.bytes[8] & 0x3f));
    return uuid;
}
