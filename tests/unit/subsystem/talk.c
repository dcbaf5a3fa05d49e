/* Long calls: data both ways, credit, and each way in which they end. */
#include "trial_check.h"
#include "talker.h"
#include "subsystem/hello.h"
#include "subsystem/talk.h"
#include "subsystem/value.h"

#define OFFER_TALKER(manager, ...) offer((manager), "talker", &(sl_offer){__VA_ARGS__})

static sl__talk *begin(unsigned method, const char *head, uint64_t timeout_ms)
{
    struct iovec piece = {(void *)head, strlen(head)};
    return sl__talk_begin("talker", method, &(sl__packet){.codec = SL__CODEC_JSON}, &piece, 1,
                          SL_CALL(.timeout_ms = timeout_ms));
}

static bool holds(const sl__packet *packet, const char *text)
{
    return packet->size == strlen(text) && memcmp(packet->data, text, packet->size) == 0;
}

/* What fails in a task of its own. */
static sl_error *failure_of(sl_task_fn *fn, void *data)
{
    sl_error *error;
    sl_try(sl_spawn(fn, data), &error);
    CHECK(error);
    return error;
}

TRIAL_TEST(data_goes_both_ways)
{
    OFFER_TALKER(manager);
    for (int round = 0; round < 3; round++) {
        sl__talk *talk = begin(TALK_ECHO, "head", 0);
        sl__packet packet;
        sl__talk_send(talk, 3, "one", 3);
        CHECK(sl__talk_next(talk, &packet) && packet.kind == SL__DATA && packet.word == 3 &&
              holds(&packet, "one"));
        sl__talk_send(talk, 4, "", 0);
        sl__talk_send(talk, 5, "three", 5);
        CHECK(sl__talk_next(talk, &packet) && packet.word == 4 && packet.size == 0);
        CHECK(sl__talk_next(talk, &packet) && packet.word == 5 && holds(&packet, "three"));
        bool silent;
        CHECK(sl__talk_next_within(talk, 2, &packet, &silent) && silent);
        CHECK(sl__talk_pid(talk) > 0);
        sl__talk_end(talk);
        CHECK(sl__talk_next_within(talk, 60000, &packet, &silent) && !silent && packet.kind == SL__END);
        CHECK(!sl__talk_next(talk, &packet) && packet.kind == SL__RESULT && packet.word == 7 &&
              holds(&packet, "bye"));
        sl__talk_send(talk, 3, "too late", 8); /* nobody wants it: not an error */
    }
    CHECK(stat_of(manager, "talker", NULL, "starts") == 1);
}

static void *send_much(void *data)
{
    sl__talk *talk = data;
    char *chunk = sl_zalloc(100000);
    for (int i = 0; i < 100; i++)
        sl__talk_send(talk, 0, chunk, 100000);
    sl__talk_end(talk);
    return NULL;
}

/* Ten million bytes, sent by one task and taken by another; and packets larger than the window. */
TRIAL_TEST(much_data)
{
    OFFER_TALKER(manager);
    sl__talk *talk = begin(TALK_ECHO, "", 0);
    sl_go(send_much, talk);
    sl__packet packet;
    size_t total = 0;
    while (sl__talk_next(talk, &packet))
        total += packet.size;
    CHECK(total == 10000000);

    talk = begin(TALK_SWALLOW, "", 0);
    char *large = sl_zalloc(1000001);
    for (int i = 0; i < 5; i++) {
        sl__talk_send(talk, 0, large, 1000001);
        sl__talk_send(talk, 0, large, 1);
    }
    sl__talk_end(talk);
    CHECK(!sl__talk_next(talk, &packet) && *(uint64_t *)packet.data == 5000010);
}

/* What is not taken is not sent: our memory holds a window of it. */
TRIAL_TEST(who_sends_waits_for_who_takes)
{
    OFFER_TALKER(manager);
    sl__talk *talk = begin(TALK_FLOOD, "", 0);
    sl__packet packet;
    int count = 0;
    while (sl__talk_next(talk, &packet))
        count++;
    CHECK(count == FLOOD_PACKETS);
}

static void overrun_by(unsigned method, sl_manager *manager)
{
    sl__talk *talk = begin(method, "", 0);
    sl__packet packet;
    sl_await(sl_sleep(0));
    while (stat_of(manager, "talker", NULL, "running")) /* until it was ended */
        sl_await(sl_sleep(1));
    while (sl__talk_next(talk, &packet))
        sl__packet_close(&packet);
}

static void *overrun(void *data)
{
    overrun_by(TALK_OVERRUN, data);
    return NULL;
}

static void *overrun_with_files(void *data)
{
    overrun_by(TALK_FILES, data);
    return NULL;
}

TRIAL_TEST(who_sends_too_much_is_ended)
{
    OFFER_TALKER(manager, .grace_ms = 20);
    sl_error *error = failure_of(overrun, manager);
    CHECK(error->code == SL_EPROTO && strstr(error->message, "sent more than it may"));
    error = failure_of(overrun_with_files, manager);
    CHECK(error->code == SL_EPROTO && strstr(error->message, "sent more than it may"));
}

static void *die(void *data)
{
    sl__talk *talk = begin(TALK_DIE, "", 0);
    sl__packet packet;
    CHECK(sl__talk_next(talk, &packet) && holds(&packet, "last")); /* what came before is not lost */
    sl__talk_next(talk, &packet);
    return NULL;
}

static void *time_out(void *data)
{
    sl__talk *talk = begin(TALK_IGNORE, "", 50);
    sl__packet packet;
    sl__talk_next(talk, &packet);
    return NULL;
}

static void *time_out_waiting(void *data)
{
    begin(TALK_ANSWER, "", 20);
    return NULL;
}

TRIAL_TEST(ends_are_told)
{
    OFFER_TALKER(manager, .grace_ms = 20);
    sl_error *error = failure_of(die, NULL);
    CHECK(error->code == SL_ECRASHED && strstr(error->message, "signal 6"));
    error = failure_of(time_out, NULL);
    CHECK(error->code == SL_ETIMEDOUT && strstr(error->hint, "timeout_ms"));
    sl__talk *talk = begin(TALK_ECHO, "", 0); /* after SIGKILL: it ignores SIGTERM */
    CHECK(failure_of(time_out_waiting, NULL)->code == SL_ETIMEDOUT);
    sl__talk_end(talk);
    sl__packet packet;
    CHECK(sl__talk_next(talk, &packet) && !sl__talk_next(talk, &packet));
    CHECK(stat_of(manager, "talker", "calls", "timed_out") == 2);
}

static void *talk_for_ever(void *data)
{
    sl__talk *talk = begin(TALK_ECHO, "", UINT64_MAX);
    sl__packet packet;
    sl__talk_next(talk, &packet);
    return NULL;
}

TRIAL_TEST(a_child_that_was_replaced_does_not_talk_for_ever)
{
    OFFER_TALKER(manager, .recycle_ms = 10, .drain_ms = 20, .grace_ms = 60000);
    sl_error *error = failure_of(talk_for_ever, NULL);
    CHECK(error->code == SL_ECLOSED && strstr(error->message, "was replaced") &&
          strstr(error->hint, "drain_ms"));
    CHECK(stat_of(manager, "talker", NULL, "recycled") > 0 &&
          stat_of(manager, "talker", "calls", "closed") == 1);
}

static void *abandoned(void *data)
{
    sl__talk *talk = begin(TALK_ECHO, "", 0);
    sl__talk_send(talk, 0, "x", 1);
    return NULL; /* the talk goes with the task */
}

static void *cancelled(void *data)
{
    sl__talk *talk = begin(TALK_ECHO, "", 0);
    sl__packet packet;
    sl__talk_cancel(talk);
    sl__talk_next(talk, &packet);
    return NULL;
}

TRIAL_TEST(cancelled_talks_leave_the_child)
{
    OFFER_TALKER(manager, .grace_ms = 60000);
    sl_await(sl_spawn(abandoned, NULL));
    AWAIT(stat_of(manager, "talker", NULL, "running") == 0);
    CHECK(failure_of(cancelled, NULL)->code == SL_ECANCELED);
    AWAIT(stat_of(manager, "talker", NULL, "running") == 0);
    CHECK(stat_of(manager, "talker", NULL, "starts") == 1 &&
          stat_of(manager, "talker", "calls", "cancelled") == 2);
}

TRIAL_TEST(heads_have_files_and_answers_need_no_data)
{
    OFFER_TALKER(manager);
    int ends[2];
    CHECK(pipe(ends) == 0);
    sl__packet head = {.files = {ends[0], ends[1]}, .file_count = 2}, packet;
    struct iovec pieces[] = {{"he", 2}, {"ad", 2}};
    sl__talk *talk = sl__talk_begin("talker", TALK_ANSWER, &head, pieces, 2, NULL);
    close(ends[0]);
    close(ends[1]);
    CHECK(!sl__talk_next(talk, &packet) && holds(&packet, "head"));
}

static void *to_nobody(void *data)
{
    sl__talk_begin("nobody", 0, &(sl__packet){0}, NULL, 0, NULL);
    return NULL;
}

TRIAL_TEST(nobody_to_talk_to)
{
    CHECK(failure_of(to_nobody, NULL)->code == SL_ENOSERVICE);
}

#define TEST(name) cmocka_unit_test(name)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(data_goes_both_ways),
        TEST(much_data),
        TEST(who_sends_waits_for_who_takes),
        TEST(who_sends_too_much_is_ended),
        TEST(ends_are_told),
        TEST(a_child_that_was_replaced_does_not_talk_for_ever),
        TEST(cancelled_talks_leave_the_child),
        TEST(heads_have_files_and_answers_need_no_data),
        TEST(nobody_to_talk_to),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
