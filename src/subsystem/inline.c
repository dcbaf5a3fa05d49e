/* inline.c: a caller that runs methods in tasks of this process.
 *
 * It is for tests, so it does as a child would: arguments and results are copied through the service's codec,
 * so that what works here travels too; no more calls run at once than the offer says; open runs before the
 * first call and close after the last. A call that is given up goes on until it notices. */
#include "subsystem/method.h"
#include "subsystem/value.h"
#include "core/task.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <unistd.h>

typedef struct inliner inliner;

typedef struct offered {
    inliner *owner;
    const sl_offer *offer;
    struct call *waiting, **last_waiting, *running;
    uint64_t running_count;
    bool opened;
} offered;

struct inliner {
    struct sl_caller caller; /* the first: it stands for the whole */
    size_t count, busy;      /* offers, and how many calls run or wait */
    bool freed;
    offered offers[];
};

typedef struct call {
    struct call *next, **link; /* among those that wait, or those that run */
    offered *of;
    sl_deferred *deferred; /* NULL: given up */
    sl_task *task;         /* NULL while it waits */
    sl_arena *arena;       /* in which this stands, and the arguments */
    unsigned method;
    bool as_json;
    sl__value arguments;
    sl_result outcome; /* fired when the task is through; a value is in result */
    sl__value result;
    sl_arena *result_arena;
} call;

/* ---- Values ------------------------------------------------------------------------------------------ */

static int copy_files(sl_files *files)
{
    for (unsigned i = 0; i < files->count; i++) {
        int copy = fcntl(files->numbers[i], F_DUPFD_CLOEXEC, 0);
        if (copy < 0) {
            int code = -errno;
            while (i-- > 0)
                close(files->numbers[i]);
            return code;
        }
        files->numbers[i] = copy;
    }
    return 0;
}

/* A copy, as it would come out of a packet. */
static int copy_value(const offered *of, const sl_record *record, const void *value, sl_arena *arena,
                      sl__value *ret_copy, sl_error **ret_error)
{
    const sl_codec *codec = sl__codec_of(SL__CODEC_FLAT, of->offer->codec);
    sl_buffer encoded = {0};
    sl_files files = {0};
    sl__value copy = {.record = record};
    int code = codec->encode(record, value, &encoded, &files, ret_error);
    if (code == 0 && (code = copy_files(&files)) < 0)
        *ret_error = sl_error_new(code, "its files cannot be copied");
    else if (code == 0 &&
             (code = codec->decode(record, (sl_view){encoded.data, encoded.size}, /* borrow= */ false, &files,
                                   arena, &copy.value, ret_error)) < 0)
        while (files.count > 0)
            close(files.numbers[--files.count]);
    if (code == 0)
        *ret_copy = copy;
    sl_buffer_done(&encoded);
    return code;
}

/* ---- Opening and closing ----------------------------------------------------------------------------- */

static void *close_offer(void *data)
{
    const sl_offer *offer = data;
    offer->close();
    return NULL;
}

/* The last call has ended, and nobody can make another. */
static void inliner_end(inliner *owner)
{
    if (!owner->freed || owner->busy)
        return;
    for (size_t i = 0; i < owner->count; i++)
        if (owner->offers[i].opened && owner->offers[i].offer->close)
            sl_background(close_offer, (void *)owner->offers[i].offer);
    free(owner);
}

/* ---- Running ----------------------------------------------------------------------------------------- */

static void start(offered *of);

static void fire(call *ended)
{
    sl_deferred *deferred = ended->deferred;
    ended->deferred = NULL;
    if (!deferred) {
        sl__value_done(&ended->result);
        sl_arena_free(ended->result_arena);
        sl_result_done(&ended->outcome);
    } else if (ended->result_arena) {
        sl__value_fire(deferred, &ended->result, ended->result_arena);
    } else {
        sl__fire(SL_HERE, deferred, ended->outcome);
    }
}

/* It neither runs nor waits any more. */
static void call_over(call *ended)
{
    inliner *owner = ended->of->owner;
    sl__value_done(&ended->arguments);
    owner->busy--;
    fire(ended);
    if (!ended->task)
        sl_arena_free(ended->arena);
    inliner_end(owner);
}

/* The last thing of a call's task: what the method registered has been released. */
static void task_over(void *data)
{
    call *ended = data;
    offered *of = ended->of;
    *ended->link = ended->next;
    if (ended->next)
        ended->next->link = ended->link;
    of->running_count--;
    of->owner->busy++; /* stays until the next was started */
    call_over(ended);
    start(of);
    of->owner->busy--;
    inliner_end(of->owner);
}

static void *run_method(void *data)
{
    call *made = data;
    const sl_service *service = made->of->offer->service;
    if (!made->of->opened && made->of->offer->open)
        made->of->offer->open();
    made->of->opened = true;
    const sl_record *record = service->methods[made->method].result();
    const void *value = sl__method_call(made->of->offer, made->method, made->arguments.value);
    sl_error *error = NULL;
    sl_arena *arena = sl_arena_new();
    if (copy_value(made->of, record, value, arena, &made->result, &error) < 0) {
        sl_arena_free(arena);
        sl_fail_error(
            sl__method_blame(NULL, service->name, service->methods[made->method].name, "result", error));
    }
    if (made->as_json) {
        made->outcome = sl_owned(sl_record_to_json(record, made->result.value), sl__json_unref);
        sl__value_done(&made->result);
        sl_arena_free(arena);
    } else {
        made->result_arena = arena;
    }
    return NULL;
}

static void *run_call(void *data)
{
    call *made = data;
    sl_defer(task_over, made);
    sl_error *error = sl__catch(run_method, made, NULL);
    if (error)
        made->outcome = sl_failed(error);
    return NULL;
}

static void no_stack(void *data)
{
    call *made = data;
    made->outcome = sl_failed(sl_error_new(SL_ENOMEM, "no memory for the stack of a call"));
    task_over(made);
}

static void start_one(offered *of, call *begun)
{
    begun->next = of->running;
    begun->link = &of->running;
    if (begun->next)
        begun->next->link = &begun->next;
    of->running = begun;
    of->running_count++;
    sl_root *root = sl_root_current();
    SL_IN_ROOT(root); /* nothing of the caller's context reaches a child */
    begun->task = sl__task_start(SL_HERE, of->offer->service->methods[begun->method].name, run_call, begun,
                                 sl__loop_scope(sl_loop_current()));
    begun->task->arena = begun->arena;
    begun->task->without_stack = no_stack;
}

static void start(offered *of)
{
    /* The first one opens the service, so the others wait for it. */
    uint64_t most = of->opened && of->offer->concurrency ? of->offer->concurrency : 1;
    while (of->waiting && of->running_count < most) {
        call *next = of->waiting;
        of->waiting = next->next;
        if (!of->waiting)
            of->last_waiting = &of->waiting;
        start_one(of, next);
    }
}

/* ---- Calling ----------------------------------------------------------------------------------------- */

static void drop_waiting(call *dropped)
{
    offered *of = dropped->of;
    call **at = &of->waiting;
    while (*at != dropped)
        at = &(*at)->next;
    *at = dropped->next;
    if (!*at)
        of->last_waiting = at;
    call_over(dropped);
}

static sl_cancelled cancel_call(sl_deferred *deferred, void *data)
{
    call *made = data;
    made->deferred = NULL;
    if (made->task)
        sl__task_cancel(made->task);
    else
        drop_waiting(made);
    return SL_CANCEL_DONE;
}

static offered *find(inliner *owner, const char *service)
{
    for (size_t i = 0; i < owner->count; i++)
        if (strcmp(owner->offers[i].offer->service->name, service) == 0)
            return &owner->offers[i];
    return NULL;
}

static sl_deferred *make(offered *of, const sl_site *site, unsigned method, const void *arguments,
                         bool as_json, const sl_call_options *options)
{
    const sl_service *service = of->offer->service;
    sl_arena *arena = sl_arena_new();
    call *made = sl_arena_zalloc(arena, sizeof *made);
    *made = (call){.of = of, .arena = arena, .method = method, .as_json = as_json};
    sl_error *error = NULL;
    if (copy_value(of, service->methods[method].arguments(), arguments, arena, &made->arguments, &error) <
        0) {
        sl_arena_free(arena);
        return sl__fired(site, sl_failed(sl__method_blame(site, service->name, service->methods[method].name,
                                                          "arguments", error)));
    }
    sl_deferred *deferred = made->deferred = sl__deferred_new(site, cancel_call, made);
    *of->last_waiting = made;
    of->last_waiting = &made->next;
    of->owner->busy++;
    start(of);
    uint64_t timeout_ms = options && options->timeout_ms ? options->timeout_ms : of->offer->timeout_ms;
    return timeout_ms ? sl__timeout(site, deferred, timeout_ms) : deferred;
}

static sl_deferred *nobody(const sl_site *site, const char *service)
{
    sl_error *error = sl__error_new(site, SL_ENOSERVICE, "nobody offers the service %s", service);
    return sl__fired(site, sl_failed(sl_error_hint(error, "give sl_inline_new its offer")));
}

static sl_deferred *call_record(struct sl_caller *caller, const sl_site *site, const sl_service *service,
                                size_t method, const void *arguments, const sl_call_options *options)
{
    offered *of = find((inliner *)caller, service->name);
    if (!of)
        return nobody(site, service->name);
    const sl_service *known = of->offer->service;
    if (known != service &&
        (known->version != service->version || sl_service_digest(known) != sl_service_digest(service)))
        return sl__fired(site,
                         sl_failed(sl__error_new(site, SL_EPROTO,
                                                 "version %u of %s was called, and another (%u) is offered",
                                                 service->version, service->name, known->version)));
    return make(of, site, (unsigned)method, arguments, /* as_json= */ false, options);
}

static sl_deferred *call_names(inliner *owner, const char *service, const char *method, json_t *arguments,
                               const sl_call_options *options)
{
    offered *of = find(owner, service);
    if (!of)
        return nobody(SL_HERE, service);
    int number = sl__method_find(of->offer->service, method);
    if (number < 0)
        return sl_failing(sl__no_method(SL_HERE, of->offer->service, method));
    sl_arena *arena = sl_arena_new();
    void *value;
    sl_error *error = NULL;
    sl_deferred *deferred;
    const sl_service *known = of->offer->service;
    if (sl__method_arguments(SL_HERE, known, &known->methods[number], arguments, arena, &value, &error) < 0)
        deferred = sl_failing(error);
    else
        deferred = make(of, SL_HERE, (unsigned)number, value, /* as_json= */ true, options);
    sl_arena_free(arena);
    return deferred;
}

static sl_deferred *call_json(struct sl_caller *caller, const char *service, const char *method,
                              json_t *arguments, const sl_call_options *options)
{
    if (!arguments)
        arguments = json_object();
    sl_deferred *deferred = call_names((inliner *)caller, service, method, arguments, options);
    json_decref(arguments);
    return deferred;
}

static sl_deferred *room(struct sl_caller *caller, const sl_site *site, const sl_service *service)
{
    if (!find((inliner *)caller, service->name))
        return nobody(site, service->name);
    return sl__fired(site, sl_ok(NULL)); /* any number may wait */
}

/* ---- The caller -------------------------------------------------------------------------------------- */

struct sl_caller *sl_inline_new(const sl_offer *const *offers, size_t count)
{
    inliner *owner = sl_calloc(1, sizeof *owner + count * sizeof *owner->offers);
    owner->caller = (struct sl_caller){.call = call_record, .room = room, .call_json = call_json};
    owner->count = count;
    for (size_t i = 0; i < count; i++) {
        offered *of = &owner->offers[i];
        *of = (offered){.owner = owner, .offer = offers[i]};
        of->last_waiting = &of->waiting;
        for (unsigned m = 0; m < offers[i]->service->method_count; m++)
            if (!offers[i]->methods || !sl__method_function(offers[i], m))
                sl__die(SL_HERE, "sl_inline_new: the offer of %s has no function for %s",
                        offers[i]->service->name, offers[i]->service->methods[m].name);
    }
    return &owner->caller;
}

static void fail(call *made)
{
    sl_deferred *deferred = made->deferred;
    made->deferred = NULL;
    if (deferred)
        sl_fire_error(deferred, sl_error_new(SL_ECLOSED, "the caller was freed"));
}

struct sl_caller *sl_inline_free(struct sl_caller *caller)
{
    if (!caller)
        return NULL;
    inliner *owner = (inliner *)caller;
    owner->busy++; /* stays until all have been told */
    for (size_t i = 0; i < owner->count; i++) {
        while (owner->offers[i].waiting) {
            fail(owner->offers[i].waiting);
            drop_waiting(owner->offers[i].waiting);
        }
        for (call *made = owner->offers[i].running; made; made = made->next) {
            fail(made);
            sl__task_cancel(made->task);
        }
    }
    owner->freed = true;
    owner->busy--;
    inliner_end(owner);
    return NULL;
}
