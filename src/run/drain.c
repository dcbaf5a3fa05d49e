/* drain.c: how an instance ends: what was begun is finished, as long as there is time.
 *
 * First the requests, then what goes on in the background, then the plug-ins stop, which may call services
 * for the last time, then the services' children go. */
#include "run/instance.h"
#include "core/task.h"

static uint64_t time_left(const struct instance *instance)
{
    uint64_t now = sl_loop_now(instance->loop);
    return instance->drain_until > now ? instance->drain_until - now : 0;
}

static sl_result finished(sl_result result, void *data)
{
    struct instance *instance = data;
    sl_result_done(&result);
    sl_loop_stop(instance->loop);
    return sl_ok(NULL);
}

static void *stop_plugins(void *data)
{
    struct instance *instance = data;
    application_stop(instance);
    return NULL;
}

static sl_result plugins_stopped(sl_result result, void *data)
{
    struct instance *instance = data;
    if (result.kind == SL_FAILURE)
        SAY(instance, SL_WARNING, "a plug-in did not stop as it should: %s", result.error->message);
    sl_result_done(&result);
    sl_deferred *done = sl_timeout(sl_manager_drain(instance->manager), time_left(instance));
    sl_forget(sl_then(done, finished, finished, instance, NULL));
    return sl_ok(NULL);
}

static void begin_stopping(void *data)
{
    struct instance *instance = data;
    SL_IN_ROOT(instance->root);
    sl_deferred *done = sl_timeout(sl_spawn(stop_plugins, instance), time_left(instance));
    sl_forget(sl_then(done, plugins_stopped, plugins_stopped, instance, NULL));
}

static sl_result background_done(sl_result result, void *data)
{
    sl_result_done(&result);
    sl_soon(begin_stopping,
            data); /* this may be the end of a task, and what comes next is no child of that */
    return sl_ok(NULL);
}

static sl_result drained(sl_result result, void *data)
{
    struct instance *instance = data;
    sl_result_done(&result);
    sl_deferred *done = sl_timeout(sl__background_done(instance->loop), time_left(instance));
    sl_forget(sl_then(done, background_done, background_done, instance, NULL));
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
    if (instance->server)
        sl_forget(sl_then(sl_http_server_drain(instance->server), drained, drained, instance, NULL));
    else
        background_done(sl_ok(NULL), instance); /* a command is over when it says so */
}
