/* hook.c: what is called at points of a transaction's life.
 *
 * Hooks stand in one list in the order of their registration. A savepoint remembers where the list ended when
 * it began: what was registered inside goes with it when it is undone. */
#include "store/commit.h"
#include "core/task.h"

#include <jansson.h>
#include <limits.h>
#include <stdlib.h>

void sl__transaction_hook(const sl_site *site, sl__hook_kind kind, sl_transaction_fn *fn, void *data)
{
    sl_transaction *t = sl_transaction_current();
    if (!t)
        sl__fail_error(
            site, sl_error_hint(sl__error_new(site, SL_EINVAL, "there is no transaction here to hook into"),
                                "call it in a request's handler or inside sl_transact"));
    sl__transaction_check(site, t);
    sl__hook *hook = sl_arena_alloc(t->arena, sizeof *hook);
    *hook = (sl__hook){.kind = kind, .fn = fn, .data = data, .site = site};
    *t->last_hook = hook;
    t->last_hook = &hook->next;
}

struct call {
    sl_transaction_fn *fn;
    void *data;
};

static void *call_shielded(void *data)
{
    const struct call *call = data;
    SL_SHIELD(.deadline_ms = SL__TOLD_MS)
    {
        call->fn(call->data);
    }
    return NULL;
}

sl_error *sl__call_told(sl_transaction_fn *fn, void *data)
{
    return sl__catch(call_shielded, &(struct call){fn, data}, NULL);
}

void sl__log_told(const char *who, sl_error *error)
{
    char *text = sl_error_text(error);
    sl_error_log("%s: %s", who, text);
    free(text);
    sl_error_unref(error);
}

static void call_safely(sl_transaction *t, sl__hook *hook)
{
    sl_error *error = sl__call_told(hook->fn, hook->data);
    if (error)
        sl__log_told(sl_printf("a hook of %s, registered at %s:%d, failed", t->name, hook->site->file,
                               hook->site->line),
                     error);
}

/* Takes the next of a kind out of the list: each is called once. */
static sl__hook *take(sl_transaction *t, sl__hook_kind kind)
{
    for (sl__hook **link = &t->hooks; *link; link = &(*link)->next) {
        sl__hook *hook = *link;
        if (hook->kind != kind)
            continue;
        *link = hook->next;
        if (!hook->next)
            t->last_hook = link;
        return hook;
    }
    return NULL;
}

unsigned sl__count_hooks(const sl_transaction *t, sl__hook_kind kind)
{
    unsigned count = 0;
    for (const sl__hook *hook = t->hooks; hook; hook = hook->next)
        count += hook->kind == kind;
    return count;
}

/* Those that hooks before the commit register have their turn in the next round: so the rounds are counted.
 */
void sl__run_hooks(sl_transaction *t, sl__hook_kind kind)
{
    unsigned left = kind == SL__BEFORE_COMMIT ? sl__count_hooks(t, kind) : UINT_MAX;
    for (sl__hook *hook; left-- && (hook = take(t, kind));) {
        if (kind == SL__BEFORE_COMMIT)
            hook->fn(hook->data);
        else
            call_safely(t, hook);
    }
}

void sl__run_after_hooks(sl_transaction *t)
{
    sl__run_hooks(t, t->state == SL__COMMITTED ? SL__AFTER_COMMIT : SL__AFTER_ABORT);
}

/* ---- Savepoints ---------------------------------------------------------------------------------------- */

/* Drops the hooks that were registered after `last`, the list's end then, and calls those for an abort. */
void sl__hooks_undo(sl_transaction *t, sl__hook **last)
{
    sl__hook *undone = *last;
    *last = NULL;
    t->last_hook = last;
    static const sl__hook_kind kinds[] = {SL__BEFORE_ABORT, SL__AFTER_ABORT};
    for (size_t i = 0; i < sl_array_size(kinds); i++)
        for (sl__hook *hook = undone; hook; hook = hook->next)
            if (hook->kind == kinds[i])
                call_safely(t, hook);
}

/* ---- Events -------------------------------------------------------------------------------------------- */

struct event_to_emit {
    const sl_site *site;
    char *channel;
    const sl_event *event;
    json_t *payload;
};

static void emit(void *data)
{
    struct event_to_emit *e = data;
    sl__emit_safely(e->site, sl_channel("%s", e->channel), e->event, e->payload);
    e->payload = NULL;
}

static void drop_payload(void *data)
{
    struct event_to_emit *e = data;
    json_decref(e->payload);
    e->payload = NULL;
}

static void drop_reference(void *payload)
{
    json_decref(payload);
}

void sl__emit_on_commit(const sl_site *site, const char *channel, const sl_event *event, json_t *payload)
{
    sl_transaction *t = sl_transaction_current();
    if (!t) {
        sl__emit_safely(site, sl_channel("%s", channel), event, payload);
        return;
    }
    struct event_to_emit *e = sl_arena_alloc(t->arena, sizeof *e);
    *e = (struct event_to_emit){
        .site = site, .channel = sl_arena_strdup(t->arena, channel), .event = event, .payload = payload};
    sl_defer(drop_reference, payload); /* the caller's; the task may end before the transaction */
    sl__transaction_hook(site, SL__AFTER_COMMIT, emit, e);
    sl__transaction_hook(site, SL__AFTER_ABORT, drop_payload, e);
    json_incref(payload);
}
