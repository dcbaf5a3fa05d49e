/* serving.c: the calls that a child carries out.
 *
 * Each call has an arena, which holds its arguments and becomes that of the task in which its method runs. As
 * many run at once as the offer says; the others wait here.
 *
 * A result is in the shared memory as soon as it is there, and the parent sees it if it is awake. Ringing for
 * it costs more than a small call, so it is done once for a batch of them: before the next wait, or when the
 * oldest result has lain for RING_AFTER_NS, and always before a method whose last calls were not all quick,
 * behind which the results would lie for nobody knows how long. */
#include "subsystem/serving.h"
#include "subsystem/method.h"
#include "subsystem/value.h"
#include "core/task.h"

#define RING_AFTER_NS 20000
#define QUICK_NS 10000
#define QUICK_AFTER 8   /* quick calls in a row */
#define BATCH_NS 500000 /* then others on the loop get their turn */

typedef struct call {
    struct call *next, **link; /* among those that wait, or those that run */
    sl__serving *serving;
    sl_arena *arena; /* in which this stands */
    sl_task *task;   /* NULL while it waits */
    sl__value arguments;
    uint64_t number;
    uint64_t begun_ns;
    unsigned method;
    uint8_t codec;
} call;

struct sl__serving {
    sl_loop *loop;
    sl__wire *wire;
    const sl_offer *offer;
    uint64_t most_at_once;
    call *running, *waiting, **last_waiting;
    uint64_t running_count;
    sl_buffer scratch;
    uint64_t clock_ns;  /* when the last call ended, or the batch began */
    uint64_t batch_ns;  /* when the batch began */
    uint64_t spent_ns;  /* on the last call; 0: there was none */
    uint64_t oldest_ns; /* of the results for which it was perhaps not rung yet; 0: there is none */
    uint8_t *quick;     /* by method: how many calls in a row were, up to QUICK_AFTER */
    char **names;       /* of the methods' tasks: "search.query" */
};

sl__serving *sl__serving_new(sl_loop *loop, sl__wire *wire, const sl_offer *offer)
{
    sl__serving *serving = sl_calloc(1, sizeof *serving);
    serving->loop = loop;
    serving->wire = wire;
    serving->offer = offer;
    serving->most_at_once = offer->concurrency ? offer->concurrency : 1;
    serving->last_waiting = &serving->waiting;
    const sl_service *service = offer->service;
    serving->quick = sl_calloc(service->method_count + 1, sizeof *serving->quick);
    serving->names = sl_calloc(service->method_count + 1, sizeof *serving->names);
    for (size_t i = 0; i < service->method_count; i++)
        serving->names[i] = sl_printf_heap("%s.%s", service->name, service->methods[i].name);
    return serving;
}

sl__serving *sl__serving_free(sl__serving *serving)
{
    if (!serving)
        return NULL;
    while (serving->waiting) {
        call *dropped = serving->waiting;
        serving->waiting = dropped->next;
        sl__value_done(&dropped->arguments);
        sl_arena_free(dropped->arena);
    }
    for (size_t i = 0; i < serving->offer->service->method_count; i++)
        free(serving->names[i]);
    free(serving->names);
    free(serving->quick);
    sl_buffer_done(&serving->scratch);
    free(serving);
    return NULL;
}

bool sl__serving_idle(const sl__serving *serving)
{
    return !serving->running && !serving->waiting;
}

/* ---- Answers ---- */

static void put_failed(sl__serving *serving, uint64_t number, const sl_error *error)
{
    serving->scratch.size = 0;
    sl__trouble_put(error, &serving->scratch);
    sl__wire_put(serving->wire, &(sl__packet){.kind = SL__FAILED, .call = number},
                 &(struct iovec){serving->scratch.data, serving->scratch.size}, 1);
}

static void refuse(sl__serving *serving, uint64_t number, sl_error *error)
{
    put_failed(serving, number, error);
    sl_error_unref(error);
}

static void put_result(call *made, const void *result)
{
    sl__serving *serving = made->serving;
    const sl_service *service = serving->offer->service;
    uint64_t spent_us = serving->spent_ns / 1000;
    uint16_t word = serving->spent_ns == 0  ? 0
                    : spent_us < UINT16_MAX ? (uint16_t)(spent_us + 1)
                                            : UINT16_MAX;
    sl__packet head = {.kind = SL__RESULT, .codec = made->codec, .word = word, .call = made->number};
    sl_error *error = NULL;
    if (sl__value_put(serving->wire, &head, sl__codec_of(made->codec, serving->offer->codec),
                      service->methods[made->method].result(), result, &serving->scratch, &error) < 0)
        sl_fail_error(
            sl__method_blame(NULL, service->name, service->methods[made->method].name, "result", error));
}

/* ---- Running ---- */

static void start(sl__serving *serving);

static void leave_list(call *left)
{
    *left->link = left->next;
    if (left->next)
        left->next->link = left->link;
}

static void measure(const call *ended)
{
    sl__serving *serving = ended->serving;
    uint64_t now = sl_monotonic_ns();
    uint8_t *quick = &serving->quick[ended->method];
    serving->spent_ns = now - ended->begun_ns;
    if (serving->spent_ns > QUICK_NS)
        *quick = 0;
    else if (*quick < QUICK_AFTER)
        ++*quick;
    serving->clock_ns = now;
    if (!serving->oldest_ns)
        serving->oldest_ns = now;
}

static void ring_before(sl__serving *serving, unsigned method)
{
    if (!serving->oldest_ns)
        return;
    if (serving->quick[method] == QUICK_AFTER && serving->clock_ns - serving->oldest_ns < RING_AFTER_NS)
        return;
    sl__wire_flush(serving->wire);
    serving->oldest_ns = 0;
    serving->clock_ns = sl_monotonic_ns(); /* whom it woke may have run in our place: no fault of the call */
}

/* The last thing of a call's task: what the method registered has been released. */
static void call_over(void *data)
{
    call *over = data;
    sl__serving *serving = over->serving;
    sl__value_done(&over->arguments);
    leave_list(over);
    serving->running_count--;
    start(serving);
}

static void *run_method(void *data)
{
    call *made = data;
    put_result(made, sl__method_call(made->serving->offer, made->method, made->arguments.value));
    return NULL;
}

static void *run_call(void *data)
{
    call *made = data;
    sl__serving *serving = made->serving;
    sl_defer(call_over, made);
    made->begun_ns = serving->clock_ns;
    ring_before(serving, made->method);
    sl_error *error = sl__catch(run_method, made, NULL);
    if (error)
        refuse(serving, made->number, error);
    measure(made);
    return NULL;
}

static void no_stack(void *data)
{
    call *made = data;
    sl__serving *serving = made->serving;
    refuse(serving, made->number,
           sl_error_new(SL_ENOMEM, "no memory for the stack of %s", serving->names[made->method]));
    call_over(made);
}

static void start_one(sl__serving *serving, call *begun)
{
    begun->next = serving->running;
    begun->link = &serving->running;
    if (begun->next)
        begun->next->link = &begun->next;
    serving->running = begun;
    serving->running_count++;
    begun->task = sl__task_start(SL_HERE, serving->names[begun->method], run_call, begun,
                                 sl__loop_scope(serving->loop));
    begun->task->arena = begun->arena;
    begun->task->without_stack = no_stack;
    begun->task->verb = "called";
    begun->task->object = "by the parent";
}

static void start(sl__serving *serving)
{
    while (serving->waiting && serving->running_count < serving->most_at_once) {
        call *next = serving->waiting;
        serving->waiting = next->next;
        if (!serving->waiting)
            serving->last_waiting = &serving->waiting;
        start_one(serving, next);
    }
}

/* ---- Packets ---- */

static void accept_call(sl__serving *serving, const sl__packet *packet)
{
    const sl_service *service = serving->offer->service;
    const sl_codec *codec = sl__codec_of(packet->codec, serving->offer->codec);
    if (packet->word >= service->method_count || !codec) {
        sl__packet_close(packet);
        refuse(serving, packet->call,
               codec ? sl_error_new(SL_EPROTO, "%s has no method number %u", service->name, packet->word)
                     : sl_error_new(SL_EPROTO, "%s does not speak the codec number %u", service->name,
                                    packet->codec));
        return;
    }
    sl_arena *arena = sl__arena_get(serving->loop);
    call *made = sl_arena_zalloc(arena, sizeof *made);
    *made = (call){.serving = serving,
                   .arena = arena,
                   .number = packet->call,
                   .method = packet->word,
                   .codec = packet->codec};
    sl_error *error = NULL;
    if (sl__value_get(packet, codec, service->methods[made->method].arguments(), arena, &made->arguments,
                      &error) < 0) {
        refuse(
            serving, packet->call,
            sl__method_blame(NULL, service->name, service->methods[made->method].name, "arguments", error));
        sl__arena_put(serving->loop, arena);
        return;
    }
    *serving->last_waiting = made;
    serving->last_waiting = &made->next;
    start(serving);
}

static void cancel_call(sl__serving *serving, uint64_t number)
{
    for (call *made = serving->running; made; made = made->next)
        if (made->number == number) {
            sl__task_cancel(made->task);
            return;
        }
    for (call **at = &serving->waiting; *at; at = &(*at)->next) {
        call *made = *at;
        if (made->number != number)
            continue;
        *at = made->next;
        if (!*at)
            serving->last_waiting = at;
        refuse(serving, number, sl_error_new(SL_ECANCELED, "cancelled before it began"));
        sl__value_done(&made->arguments);
        sl__arena_put(serving->loop, made->arena);
        return;
    }
}

void sl__serving_batch(sl__serving *serving)
{
    serving->clock_ns = serving->batch_ns = sl_monotonic_ns();
}

bool sl__serving_batch_over(const sl__serving *serving)
{
    return serving->clock_ns - serving->batch_ns > BATCH_NS;
}

uint64_t sl__serving_clock(const sl__serving *serving)
{
    return serving->clock_ns;
}

bool sl__serving_packet(sl__serving *serving, const sl__packet *packet)
{
    if (packet->kind == SL__CALL)
        accept_call(serving, packet);
    else if (packet->kind == SL__CANCEL)
        cancel_call(serving, packet->call);
    else
        return false;
    return true;
}
