/* combine.c: deferreds made of deferreds: all, any, settled, shielded; and those made of time: sleep,
 * timeout. */
#include "core/deferred.h"

#include <stdlib.h>

/* ---- All, any, settled ---- */

typedef enum mode {
    ALL,
    ANY,
    SETTLED,
} mode;

/* Shared by the outcome and the links of the inputs. */
typedef struct gathering {
    mode mode;
    size_t count, missing;
    unsigned references;  /* one for the outcome's value or canceller, one for each link */
    sl_deferred *outcome; /* NULL once it was fired */
    sl_deferred **inputs;
    sl_result *results;
    void **values;
} gathering;

typedef struct gathered {
    gathering *gathering;
    size_t index;
} gathered;

/* Not inlined: gcc 12 takes the two references that `gather` gives up for one. */
__attribute__((noinline)) static void gathering_unref(gathering *g)
{
    if (--g->references)
        return;
    for (size_t i = 0; i < g->count; i++) {
        sl_result_done(&g->results[i]);
        if (g->inputs[i])
            sl_forget(g->inputs[i]);
    }
    free(g->inputs);
    free(g->results);
    free(g->values);
    free(g);
}

/* The outcome's value is an array that lives as long as the gathering: found again from the array's address.
 */
static void free_array(void *array)
{
    gathering *g = ((gathering **)array)[-1];
    gathering_unref(g);
}

static void cancel_inputs(gathering *g)
{
    g->references++;
    for (size_t i = 0; i < g->count; i++)
        if (g->inputs[i] && !sl__deferred_ready(g->inputs[i]))
            sl_cancel(g->inputs[i]);
    gathering_unref(g);
}

static sl_cancelled cancel_outcome(sl_deferred *deferred, void *data)
{
    gathering *g = data;
    if (!g->outcome)
        return SL_CANCEL_LATE; /* it is about to be fired: cancelling an input led here */
    g->outcome = NULL;
    cancel_inputs(g);
    gathering_unref(g);
    return SL_CANCEL_DONE;
}

static void *make_array(gathering *g)
{
    size_t item = g->mode == ALL ? sizeof(void *) : sizeof(sl_result);
    size_t head = sizeof(sl_result); /* keeps the alignment */
    char *memory = sl_calloc(1, head + (g->count + 1) * item);
    *(gathering **)(memory + head - sizeof(void *)) = g;
    void *array = memory + head;
    for (size_t i = 0; i < g->count; i++) {
        if (g->mode == ALL)
            ((void **)array)[i] = g->results[i].value;
        else
            ((sl_result *)array)[i] = g->results[i];
    }
    g->values = (void **)(void *)memory;
    return array;
}

static void fire_outcome(gathering *g, sl_result result)
{
    sl_deferred *outcome = g->outcome;
    g->outcome = NULL;
    cancel_inputs(g);
    sl__fire(outcome->made, outcome, result);
}

static void finish(gathering *g, sl_result result)
{
    fire_outcome(g, result);
    gathering_unref(g);
}

static void finish_with_array(gathering *g)
{
    fire_outcome(g, sl_owned(make_array(g), free_array)); /* the outcome's reference passes to its value */
}

static sl_result on_input(sl_result result, void *data)
{
    gathered *input = data;
    gathering *g = input->gathering;
    g->missing--;
    if (!g->outcome) { /* too late to count */
        sl_result_done(&result);
        return sl_ok(NULL);
    }
    if (g->mode == ALL && result.kind == SL_FAILURE) {
        finish(g, result);
    } else if (g->mode == ANY && (result.kind == SL_VALUE || g->missing == 0)) {
        finish(g, result);
    } else {
        if (g->mode == ANY)
            sl_result_done(&result);
        g->results[input->index] = result;
        if (g->missing == 0)
            finish_with_array(g);
    }
    return sl_ok(NULL);
}

static void free_gathered(void *data)
{
    gathered *input = data;
    gathering_unref(input->gathering);
    free(input);
}

static sl_deferred *gather(const sl_site *site, sl_deferred *const *deferreds, size_t count, mode how)
{
    gathering *g = sl_calloc(1, sizeof *g);
    g->mode = how;
    g->count = g->missing = count;
    g->references = 2;
    g->inputs = sl_calloc(count, sizeof *g->inputs);
    g->results = sl_calloc(count, sizeof *g->results);
    sl_deferred *outcome = sl__deferred_new(site, cancel_outcome, g);
    g->outcome = outcome;
    if (count)
        memcpy(g->inputs, deferreds, count * sizeof *g->inputs);
    if (count == 0 && how == ANY)
        finish(g, sl_failed(sl__error_new(site, SL_EINVAL, "sl_any was given no deferreds")));
    else if (count == 0)
        finish_with_array(g);
    for (size_t i = 0; i < count; i++) {
        gathered *input = sl_malloc(sizeof *input);
        *input = (gathered){g, i};
        g->references++;
        sl__then(site, g->inputs[i], on_input, on_input, input, free_gathered);
    }
    gathering_unref(g);
    return outcome;
}

sl_deferred *sl__all(const sl_site *site, sl_deferred *const *deferreds, size_t count)
{
    return gather(site, deferreds, count, ALL);
}

sl_deferred *sl__any(const sl_site *site, sl_deferred *const *deferreds, size_t count)
{
    return gather(site, deferreds, count, ANY);
}

sl_deferred *sl__settled(const sl_site *site, sl_deferred *const *deferreds, size_t count)
{
    return gather(site, deferreds, count, SETTLED);
}

/* ---- Shielded ---- */

static sl_result to_outcome(sl_result result, void *data)
{
    sl_deferred *outcome = data;
    sl__fire(outcome->made, outcome, result); /* swallowed if the outcome was cancelled */
    return sl_ok(NULL);
}

sl_deferred *sl__shielded(const sl_site *site, sl_deferred *deferred)
{
    sl_deferred *outcome = sl__deferred_new(site, NULL, NULL);
    sl__then(site, deferred, to_outcome, to_outcome, outcome, NULL);
    sl_forget(deferred);
    return outcome;
}

/* ---- Sleep and timeout ---- */

static void wake_up(void *data)
{
    sl_deferred *d = data;
    sl__fire(d->made, d, sl_ok(NULL));
}

static sl_cancelled cancel_sleep(sl_deferred *deferred, void *data)
{
    sl__timer_stop(deferred->loop, data);
    return SL_CANCEL_DONE;
}

sl_deferred *sl__sleep(const sl_site *site, uint64_t ms)
{
    sl_deferred *d = sl__deferred_new(site, cancel_sleep, NULL);
    sl__timer *timer = sl__timer_start(d->loop, ms, wake_up, d);
    timer->deferred = d;
    d->data = timer;
    return d;
}

typedef struct timeout {
    sl_deferred *deferred;
    sl__timer *timer;
    const sl_site *site;
    uint64_t ms;
    bool expired;
} timeout;

static void expire(void *data)
{
    timeout *t = data;
    t->timer = NULL;
    t->expired = true;
    sl_cancel(t->deferred);
}

static sl_result end_timeout(sl_result result, void *data)
{
    timeout *t = data;
    if (t->expired && result.kind == SL_FAILURE && result.error->code == SL_ECANCELED) {
        sl_error *error =
            sl__error_new(t->site, SL_ETIMEDOUT, "timed out after %llu ms", (unsigned long long)t->ms);
        result = sl_failed(sl_error_cause(error, result.error));
    }
    return result;
}

static void free_timeout(void *data)
{
    timeout *t = data;
    if (t->timer)
        sl__timer_stop(t->deferred->loop, t->timer);
    free(t);
}

sl_deferred *sl__timeout(const sl_site *site, sl_deferred *deferred, uint64_t ms)
{
    if (sl__deferred_ready(deferred))
        return deferred;
    timeout *t = sl_malloc(sizeof *t);
    *t = (timeout){.deferred = deferred, .site = site, .ms = ms};
    t->timer = sl__timer_start(deferred->loop, ms, expire, t);
    t->timer->deferred = deferred;
    return sl__then(site, deferred, end_timeout, end_timeout, t, free_timeout);
}
