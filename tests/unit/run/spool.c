/* spool.c: bytes that wait between a task that puts and one that takes, where the disk helps and where not.
 */
#include "check.h"
#include "run/web.h"

#define SIZE (5 * WEB_AHEAD + 12345)
#define PIECE 50000
#define TIME_MS 20000

static struct manifest manifest;
static struct web web;
static struct spool spool;
static bool late; /* who takes begins when there is no room left */

static char byte_at(size_t i)
{
    return (char)(i * 31 + (i >> 8));
}

static void *put_all(void *data)
{
    static char piece[PIECE];
    for (size_t at = 0; at < SIZE;) {
        size_t size = SIZE - at < PIECE ? SIZE - at : PIECE;
        for (size_t i = 0; i < size; i++)
            piece[i] = byte_at(at + i);
        spool_put(&spool, piece, size);
        at += size;
    }
    spool_end(&spool);
    return NULL;
}

static void *run(void *data)
{
    size_t at = 0;
    SL_SCOPE(scope, .deadline_ms = TIME_MS)
    {
        sl_view view;
        sl_go(put_all, NULL);
        while (late && !spool.putter)
            sl_await(sl_sleep(1));
        while (spool_take(&spool, &view))
            for (size_t i = 0; i < view.size; i++, at++)
                if (view.data[i] != byte_at(at))
                    sl_fail(SL_EFAILED, "another byte at %zu", at);
    }
    if (at != SIZE)
        sl_fail(SL_EFAILED, "%zu bytes of %d", at, SIZE);
    return NULL;
}

static void pass(uint64_t on_disk, uint64_t most, bool begins_late)
{
    manifest.workers.spool_size = on_disk;
    web = (struct web){.manifest = &manifest};
    spool = (struct spool){.web = &web, .most = most};
    late = begins_late;
    assert_int_equal(sl_run("spool", run, NULL, NULL), 0);
    spool_done(&spool);
    assert_int_equal(web.spooled, 0);
}

static void test_what_is_put_is_taken(void **state)
{
    pass(1 << 20, 1 << 20, /* begins_late= */ false);
    pass(1 << 20, 300001, /* begins_late= */ true);
}

/* Who takes may have taken all while the other learns that the disk does not help. */
static void test_without_room_on_the_disk(void **state)
{
    pass(0, 1 << 20, /* begins_late= */ false);
    pass(0, 1 << 20, /* begins_late= */ true);
    pass(100000, 1 << 20, /* begins_late= */ true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_is_put_is_taken),
        cmocka_unit_test(test_without_room_on_the_disk),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
