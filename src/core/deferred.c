/* deferred.c: results that come later, with Twisted's semantics.
 *
 * A deferred holds a result and a list of links. Firing it, or adding a link to a fired one, runs the list:
 * each link gets the result and gives the next. A link that gives a deferred makes the outer one wait: a link
 * of a special kind is put on the inner one that hands its result over. Nothing here recurses: run() keeps a
 * list of the deferreds that became runnable and works it off, so chains and nests of any length use one
 * frame of stack. Only an explicit sl_fire inside a link nests, and that is bounded by MAX_DEPTH.
 *
 * Who owns what: `references` counts those who got the deferred; `promised` stands for the one who made it.
 * The memory goes when both are gone. When nobody who got it is left while it is pending, it is cancelled. */
#include "core/deferred.h"
#include "core/task.h"

#include <stdio.h>
#include <stdlib.h>

#define MAX_DEPTH 64

static void run(sl_deferred *deferred);
static void settle(sl_deferred *d);

void sl_result_done(sl_result *result)
{
    if (result->kind == SL_VALUE) {
        if (result->free && result->value)
            result->free(result->value);
    } else if (result->kind == SL_FAILURE) {
        sl_error_unref(result->error);
    } else {
        sl_deferred_unref(result->deferred);
    }
    *result = sl_ok(NULL);
}

void sl__estate_free(sl__estate *estate)
{
    while (estate) {
        sl__estate *next = estate->next;
        for (sl__cleanup *value = estate->values; value; value = value->next)
            value->fn(value->data);
        sl_arena_free(estate->arena);
        estate = next;
    }
}

void sl__deferred_set_estate(sl_deferred *deferred, sl__estate *estate)
{
    deferred->estate = estate;
}

/* ---- Life ---- */

sl_deferred *sl__deferred_new(const sl_site *site, sl_cancel_fn *cancel, void *data)
{
    sl_loop *loop = sl__loop_needed("sl_deferred_new");
    sl_deferred *d = sl__pool_get(&loop->deferreds, sizeof *d);
    /* Field by field: the embedded link, a third of it all, is written when it is used. */
    d->references = 1;
    d->pauses = 0;
    d->state_and_flags = 0;
    d->promised = true;
    d->loop = loop;
    d->result = sl_ok(NULL);
    d->cancel = cancel;
    d->data = data;
    d->made = site;
    d->fired = d->failed_at = NULL;
    d->inner = d->outer = d->next = NULL;
    d->links = NULL;
    d->last_link = &d->links;
    d->estate = NULL;
    return d;
}

sl_deferred *sl__fired(const sl_site *site, sl_result result)
{
    sl_deferred *d = sl__deferred_new(site, NULL, NULL);
    sl__fire(site, d, result);
    return d;
}

void *sl_deferred_data(const sl_deferred *deferred)
{
    return deferred->data;
}

bool sl_deferred_fired(const sl_deferred *deferred)
{
    return deferred->state == SL__FIRED;
}

sl_deferred *sl_deferred_ref(sl_deferred *deferred)
{
    deferred->references++;
    return deferred;
}

static const char *site_name(const sl_site *site, char out[static 160])
{
    if (site)
        snprintf(out, 160, "%s (%s:%d)", site->function, site->file, site->line);
    return site ? out : "nowhere";
}

static void report_unhandled(const sl_deferred *d)
{
    char made[160], fired[160], failed[160];
    char *text = sl_error_text(d->result.error);
    sl_error_log("nobody handled the failure of a deferred: %s\n  made at %s\n  fired at %s\n  failed at %s",
                 text, site_name(d->made, made), site_name(d->fired, fired),
                 site_name(d->failed_at ? d->failed_at : d->result.error->origin, failed));
    free(text);
}

static void free_link(sl_deferred *d, sl__link *link)
{
    sl__context_unref(link->context);
    if (link == &d->first)
        d->first_taken = false;
    else
        sl__pool_put(&d->loop->links, link);
}

/* Nobody wants the result any more, and no link is left to run. */
static void drop_result(sl_deferred *d)
{
    if (d->result.kind == SL_FAILURE) {
        bool expected = d->released && d->result.error->code == SL_ECANCELED;
        if (!d->quiet && !expected)
            report_unhandled(d);
    }
    sl_result_done(&d->result);
    sl__estate_free(d->estate);
    d->estate = NULL;
}

/* After anything that may have been the last: frees the deferred if it was. */
static void settle(sl_deferred *d)
{
    if (d->references)
        return;
    if (d->running || d->queued || d->cancelling || d->state == SL__FREED)
        return;
    if (d->state == SL__FIRED && !d->inner) {
        while (d->links) { /* paused for good */
            sl__link *link = d->links;
            d->links = link->next;
            if (link->free_data)
                link->free_data(link->data);
            free_link(d, link);
        }
        d->last_link = &d->links;
        if (d->result.kind != SL_VALUE || d->result.value || d->estate)
            drop_result(d);
        if (!d->promised) {
            d->state = SL__FREED;
            sl__pool_put(&d->loop->deferreds, d);
        }
    }
}

static void cancel_pending(sl_deferred *d)
{
    if (d->state != SL__PENDING || d->cancelling)
        return;
    d->cancelling = true;
    sl_cancelled how = d->cancel ? d->cancel(d, d->data) : SL_CANCEL_LATE;
    d->cancelling = false;
    if (d->state != SL__PENDING)
        return;
    sl_error *error = sl_error_new(SL_ECANCELED, "cancelled");
    d->state = SL__FIRED;
    d->promised = d->swallow = how == SL_CANCEL_LATE;
    d->fired = error->origin;
    d->result = sl_failed(error);
    run(d);
}

static void cancel(sl_deferred *d)
{
    sl_deferred *innermost = d;
    while (innermost->state == SL__FIRED && innermost->inner)
        innermost = innermost->inner;
    /* Links may give up the last reference of either. */
    d->references++;
    innermost->references++;
    cancel_pending(innermost);
    innermost->references--;
    settle(innermost);
    d->references--;
    settle(d);
}

void sl_cancel(sl_deferred *deferred)
{
    cancel(deferred);
}

sl_deferred *sl_deferred_unref(sl_deferred *deferred)
{
    if (!deferred || --deferred->references)
        return NULL;
    if (deferred->state == SL__PENDING || deferred->inner) {
        deferred->released = true;
        cancel(deferred);
    } else {
        settle(deferred);
    }
    return NULL;
}

void sl_forget(sl_deferred *deferred)
{
    deferred->quiet = true;
    if (--deferred->references == 0)
        settle(deferred); /* a pending one goes on until it is fired */
}

/* ---- Links ---- */

static sl__link *add_link(sl_deferred *d, const sl_site *site, sl_context *context)
{
    sl__link *link = d->first_taken ? sl__pool_get(&d->loop->links, sizeof *link) : &d->first;
    if (link == &d->first)
        d->first_taken = true;
    link->next = NULL;
    link->context = sl__context_ref(context);
    link->site = site;
    *d->last_link = link;
    d->last_link = &link->next;
    return link;
}

sl_deferred *sl__then(const sl_site *site, sl_deferred *deferred, sl_link_fn *ok, sl_link_fn *failed,
                      void *data, sl_free_fn *free_data)
{
    sl__link *link = add_link(deferred, site, deferred->loop->context);
    link->kind = SL__LINK_CALL;
    link->ok = ok;
    link->failed = failed;
    link->data = data;
    link->free_data = free_data;
    if (deferred->state == SL__FIRED)
        run(deferred);
    return deferred;
}

sl__link *sl__deferred_add_task(sl_deferred *deferred, sl_task *task, const sl_site *site)
{
    sl__link *link = add_link(deferred, site, /* context= */ NULL); /* the task has its own */
    link->kind = SL__LINK_TASK;
    link->data = task;
    link->free_data = NULL;
    return link;
}

/* Whether `inner` waits for `d`, by way of others. The chains are walked from both ends in step, so that
 * building long ones from either end stays cheap. */
static bool waits_for(const sl_deferred *inner, const sl_deferred *d)
{
    const sl_deferred *down = inner, *up = d;
    while (down) {
        if (down == d)
            return true;
        down = down->inner;
        if (up && !up->many_outers) {
            up = up->outer;
            if (!up)
                return false;
            if (up == inner)
                return true;
        }
    }
    return false;
}

static void move_estate(sl_deferred *from, sl_deferred *to)
{
    if (!from->estate)
        return;
    sl__estate **end = &from->estate;
    while (*end)
        end = &(*end)->next;
    *end = to->estate;
    to->estate = from->estate;
    from->estate = NULL;
}

/* The result of `d` is a deferred: takes that one's result if it is there, or waits for it. */
static void enter_inner(sl_deferred *d, const sl_site *site)
{
    sl_deferred *inner = d->result.deferred;
    d->result = sl_ok(NULL);
    if (waits_for(inner, d)) {
        sl_error *error = sl__error_new(
            site, SL_ECYCLE, "a deferred waits for itself: a link returned one that depends on it");
        sl_error_hint(error, "return a deferred that something else fires");
        d->failed_at = site;
        d->result = sl_failed(error);
        if (inner == d)
            d->references--;
        else
            sl_forget(inner);
        return;
    }
    if (sl__deferred_ready(inner)) {
        d->result = inner->result;
        inner->result = sl_ok(NULL);
        move_estate(inner, d);
        if (inner->failed_at)
            d->failed_at = inner->failed_at;
        sl_deferred_unref(inner);
        return;
    }
    sl__link *link = add_link(inner, site, /* context= */ NULL);
    link->kind = SL__LINK_OUTER;
    link->data = d;
    link->free_data = NULL;
    inner->many_outers = inner->many_outers || inner->outer;
    inner->outer = d;
    d->inner = inner;
}

static void call_link(sl_deferred *d, const sl__link *link)
{
    sl_loop *loop = d->loop;
    bool failure = d->result.kind == SL_FAILURE;
    sl_link_fn *fn = failure ? link->failed : link->ok;
    if (fn) {
        sl_result before = d->result;
        d->result = sl_ok(NULL);
        sl_context *saved = loop->context;
        loop->context = link->context;
        d->result = fn(before, link->data);
        loop->context = saved;
        if (d->result.kind == SL_FAILURE) {
            sl_error_hop(d->result.error, link->site);
            d->failed_at = link->site;
        }
    } else if (failure) {
        sl_error_hop(d->result.error, link->site);
    }
    if (link->free_data)
        link->free_data(link->data);
}

/* Hands the result to the deferred that waits, and appends that to those to be run. */
static void hand_to_outer(sl_deferred *d, sl_deferred *outer, sl_deferred ***last)
{
    outer->result = d->result;
    d->result = sl_ok(NULL);
    move_estate(d, outer);
    if (d->failed_at)
        outer->failed_at = d->failed_at;
    outer->inner = NULL;
    if (d->outer == outer)
        d->outer = NULL;
    d->references--; /* the outer one's; d is running, so it stays until its own turn ends */
    outer->queued = true;
    outer->next = NULL;
    **last = outer;
    *last = &outer->next;
}

static void run_links(sl_deferred *d, sl_deferred ***last)
{
    const sl_site *site = d->fired;
    d->running = true;
    while (!d->pauses) {
        if (d->result.kind == SL_DEFERRED) {
            enter_inner(d, site);
            if (d->inner)
                break;
        }
        sl__link *at = d->links;
        if (!at)
            break;
        d->links = at->next;
        if (!d->links)
            d->last_link = &d->links;
        sl__link link = *at;
        site = link.site;
        at == &d->first ? (void)(d->first_taken = false) : sl__pool_put(&d->loop->links, at);
        if (link.kind == SL__LINK_CALL)
            call_link(d, &link);
        else if (link.kind == SL__LINK_OUTER)
            hand_to_outer(d, link.data, last);
        else if (link.data)
            sl__task_resume_with(link.data, d);
        sl__context_unref(link.context);
    }
    d->running = false;
}

static void run_list(sl_deferred *list, sl_deferred **last)
{
    while (list) {
        sl_deferred *d = list;
        list = d->next;
        if (!list)
            last = &list;
        d->queued = false;
        if (!d->inner && !d->pauses && !d->running)
            run_links(d, &last);
        settle(d);
    }
}

static void put_off(sl_loop *loop, sl_deferred *d)
{
    d->queued = true;
    d->next = NULL;
    *loop->put_off_last = d;
    loop->put_off_last = &d->next;
}

static void run_put_off(sl_loop *loop)
{
    while (loop->put_off) {
        sl_deferred *d = loop->put_off;
        loop->put_off = d->next;
        if (!loop->put_off)
            loop->put_off_last = &loop->put_off;
        d->next = NULL;
        loop->fire_depth++;
        run_list(d, &d->next);
        loop->fire_depth--;
    }
}

static void run(sl_deferred *d)
{
    sl_loop *loop = d->loop;
    if (d->running || d->inner || d->pauses || d->queued)
        return;
    if (loop->fire_depth >= MAX_DEPTH) {
        put_off(loop, d);
        return;
    }
    sl_deferred *list = NULL, **last = &list;
    loop->fire_depth++;
    run_links(d, &last);
    settle(d);
    if (list)
        run_list(list, last);
    if (--loop->fire_depth == 0 && loop->put_off)
        run_put_off(loop);
}

/* ---- Firing ---- */

/* What nearly always happens: one task waits and nothing else does. */
static bool hand_to_task(sl_deferred *d)
{
    const sl__link *link = d->links;
    if (link != &d->first || link->next || link->kind != SL__LINK_TASK || !link->data || d->pauses ||
        d->result.kind == SL_DEFERRED)
        return false;
    d->links = NULL;
    d->last_link = &d->links;
    d->first_taken = false;
    sl__task_resume_with(link->data, d); /* it holds a reference until it runs */
    return true;
}

int sl__fire(const sl_site *site, sl_deferred *d, sl_result result)
{
    if (d->state == SL__PENDING) {
        d->promised = false;
        d->state = SL__FIRED;
        d->fired = site;
        d->result = result;
        if ((d->links || !d->references || result.kind == SL_DEFERRED) && !hand_to_task(d))
            run(d);
        return 0;
    }
    if (d->swallow) {
        d->swallow = d->promised = false;
        sl_result_done(&result);
        settle(d);
        return 0;
    }
    char made[160], first[160], second[160];
    sl_error_log("a deferred was fired twice: first at %s, again at %s; it was made at %s",
                 site_name(d->fired, first), site_name(site, second), site_name(d->made, made));
    sl_result_done(&result);
    return SL_EFIRED;
}

void sl__abandon(const sl_site *site, sl_deferred *deferred)
{
    sl_error *error = sl__error_new(site, SL_EABANDONED, "%s", sl_code_message(SL_EABANDONED));
    sl__fire(site, deferred, sl_failed(error));
}

typedef struct posted_fire {
    const sl_site *site;
    sl_deferred *deferred;
    sl_result result;
} posted_fire;

static void fire_posted(void *data)
{
    posted_fire posted = *(posted_fire *)data;
    free(data);
    sl__fire(posted.site, posted.deferred, posted.result);
}

int sl__fire_from_thread(const sl_site *site, sl_deferred *deferred, sl_result result)
{
    posted_fire *posted = sl_malloc(sizeof *posted);
    *posted = (posted_fire){site, deferred, result};
    int r = sl_loop_post(deferred->loop, fire_posted, posted);
    if (r < 0) {
        sl_result_done(&posted->result);
        free(posted);
    }
    return r;
}

void sl_deferred_pause(sl_deferred *deferred)
{
    deferred->pauses++;
}

void sl_deferred_resume(sl_deferred *deferred)
{
    if (deferred->pauses && --deferred->pauses == 0 && deferred->state == SL__FIRED)
        run(deferred);
}
