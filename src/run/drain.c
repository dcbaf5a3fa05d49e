/* drain.c: how an instance ends: what was begun is finished, as long as there is time. */
#include "run/instance.h"
#include "core/task.h"

static sl_result finished(sl_result result, void *data)
{
    struct instance *instance = data;
    sl_result_done(&result);
    sl_loop_stop(instance->loop);
    return sl_ok(NULL);
}

/* No request is left: what goes on in the background has the rest of the time. */
static sl_result drained(sl_result result, void *data)
{
    struct instance *instance = data;
    uint64_t now = sl_loop_now(instance->loop);
    uint64_t left = instance->drain_until > now ? instance->drain_until - now : 0;
    sl_result_done(&result);
    sl_deferred *done = sl_timeout(sl__background_done(instance->loop), left);
    sl_forget(sl_then(done, finished, finished, instance, NULL));
    return sl_ok(NULL);
}

void instance_drain(struct instance *instance)
{
    if (instance->draining)
        return;
    instance->draining = true;
    SL_IN_ROOT(instance->root);
    if (!instance->ready) {
        sl_loop_stop(instance->loop);
        return;
    }
    instance->drain_until = sl_loop_now(instance->loop) + instance->manifest->limits.drain_ms;
    sl_deferred *done = sl_http_server_drain(instance->server);
    sl_forget(sl_then(done, drained, drained, instance, NULL));
}
