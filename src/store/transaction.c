/* transaction.c: what decides over the sessions of all stores.
 *
 * A transaction is found through the context, so it follows the work into tasks that it starts. It is made
 * empty; a session joins it when its store is first used. Inner sl_transact join the outer: their success
 * does nothing, and their failure dooms the whole, with the first cause kept.
 *
 * A statement that failed leaves the innermost savepoint, or the transaction, good for nothing but being
 * undone: that is remembered here (`cause`), so that it cannot be committed although somebody swallowed the
 * failure. */
#include "store/store.h"
#include "store/commit.h"
#include "store/request.h"
#include "core/task.h"

#include <stdlib.h>

enum { PAUSE_MS = 2, PAUSE_DOUBLINGS = 8 };

/* ---- The context's reference --------------------------------------------------------------------------- */

static void *transaction_ref(void *value)
{
    sl_transaction *t = value;
    t->references++;
    return t;
}

static void transaction_unref(void *value)
{
    sl_transaction *t = value;
    if (--t->references > 0)
        return;
    sl_error_unref(t->cause);
    sl__kept_drop(t);
    sl_arena_free(t->arena);
}

static void show_transaction(void *value, sl_buffer *out)
{
    static const char *const states[] = {"active", "being committed", "being committed", "committed",
                                         "rolled back"};
    const sl_transaction *t = value;
    sl_buffer_printf(out, "%s, %s, %llu statements", t->name, t->cause ? "doomed" : states[t->state],
                     (unsigned long long)t->statements);
}

SL_KEY(sl__transaction_key, SL_CAPTURED, .ref = transaction_ref, .unref = transaction_unref,
       .show = show_transaction);

static bool is_open(const sl_transaction *t)
{
    return t && !sl__transaction_is_over(t);
}

sl_transaction *sl_transaction_current(void)
{
    sl_transaction *t = sl__transaction_here();
    return is_open(t) ? t : NULL;
}

/* Its memory lasts until the task (or SL_SCRATCH) that made it ends: objects lie in it. */
static sl_transaction *transaction_new(const sl_site *site, sl_stores *stores, const char *name,
                                       const sl_transact_options *options)
{
    sl_arena *arena = sl_arena_new();
    sl_transaction *t = sl_arena_zalloc(arena, sizeof *t);
    t->references = 1;
    t->stores = stores;
    t->arena = arena;
    t->site = site;
    t->name = name;
    t->options = *options;
    t->writes = !options->read_only;
    t->last_hook = &t->hooks;
    if (options->deadline_ms)
        t->deadline = sl_loop_now(sl_loop_current()) + options->deadline_ms;
    sl_defer(transaction_unref, t);
    return t;
}

/* ---- Doom ---------------------------------------------------------------------------------------------- */

static void doom_with(sl_transaction *t, const sl_error *error)
{
    if (!t->cause)
        t->cause = sl_error_ref((sl_error *)error);
}

void sl__transaction_failed(sl_transaction *t, const sl_error *error)
{
    sl__point *mine = sl__point_here(t);
    sl__point *const points[] = {mine, t->savepoint}; /* the database goes on when the innermost is undone */
    for (size_t i = 0; i < sl_array_size(points); i++)
        if (points[i] && !points[i]->cause)
            points[i]->cause = sl_error_ref((sl_error *)error);
    if (!mine)
        doom_with(t, error);
}

void sl__doom(const sl_site *site, const char *format, ...)
{
    sl_transaction *t = sl_transaction_current();
    if (!t)
        sl__fail(site, SL_EINVAL, "there is no transaction here that could be doomed");
    va_list arguments;
    va_start(arguments, format);
    sl_error *error = sl__error_newv(site, SL_EDOOMED, format, arguments);
    va_end(arguments);
    doom_with(t, error);
    sl_error_unref(error);
}

bool sl_doomed(void)
{
    const sl_transaction *t = sl_transaction_current();
    return t && t->cause;
}

sl_error *sl__transaction_over(const sl_site *site, const sl_transaction *t)
{
    return sl_error_hint(sl__error_new(site, SL_EDOOMED, "the transaction %s has ended", t->name),
                         "work that outlives it is started with sl_background");
}

void sl__transaction_check(const sl_site *site, sl_transaction *t)
{
    if (sl__transaction_is_over(t))
        sl__fail_error(site, sl__transaction_over(site, t));
    const sl_error *cause = t->cause;
    for (const sl__point *p = t->savepoint; p && !cause; p = p->outer)
        cause = p->cause;
    if (!cause)
        return;
    sl_error *error =
        sl__error_new(site, SL_EDOOMED, "the transaction %s is doomed: %s", t->name, cause->message);
    sl_error_hint(error, "what failed in it can be undone alone where it runs in sl_savepoint");
    sl__fail_error(site, sl_error_cause(error, sl_error_ref((sl_error *)cause)));
}

/* ---- Running ------------------------------------------------------------------------------------------- */

typedef struct run {
    sl_task_fn *fn;
    void *data, *value;
    sl_transaction *transaction;
    uint64_t deadline_ms;
} run;

/* What is to be written is part of it, but for an inner one, whose changes go with the outer. */
static void *run_and_write(run *r)
{
    void *value = r->fn(r->data);
    if (r->transaction)
        sl__transaction_write(r->transaction);
    return value;
}

static void *run_within_deadline(void *data)
{
    run *r = data;
    void *value = NULL;
    if (!r->deadline_ms)
        return run_and_write(r);
    SL_SCOPE(scope, .deadline_ms = r->deadline_ms)
    {
        value = run_and_write(r);
    }
    return value;
}

static void *run_and_commit(void *data)
{
    run *r = data;
    sl_transaction *t = r->transaction;
    SL_WITH(&sl__transaction_key, t);
    r->value = run_within_deadline(r);
    sl__transaction_commit(t);
    return NULL;
}

/* One try: NULL, or why it was rolled back. */
static sl_error *try_once(run *r)
{
    sl_error *error = sl__catch(run_and_commit, r, NULL);
    sl_transaction *t = r->transaction;
    if (error)
        error = sl__transaction_abort(t, error);
    sl__run_after_hooks(t);
    return error;
}

/* Inside another: success does nothing, failure dooms the whole, or the savepoint that it runs in. */
static void *join(const sl_site *site, sl_transaction *t, run *r, const sl_transact_options *options)
{
    if (options->durable)
        sl__fail_error(
            site, sl_error_hint(
                      sl__error_new(site, SL_EINVAL, "a durable transaction inside %s cannot be", t->name),
                      "it would be committed only with the outer one: leave `.durable` out, or "
                      "call it elsewhere"));
    sl__transaction_check(site, t);
    r->deadline_ms = options->deadline_ms;
    sl_error *error = sl__catch(run_within_deadline, r, &r->value);
    if (!error)
        return r->value;
    sl__transaction_failed(t, error);
    sl__fail_error(site, error);
}

static bool may_retry(sl_transaction *t, const sl_error *error, unsigned tries)
{
    return error->code == SL_ECONFLICT && tries < t->options.retries &&
           (!t->deadline || sl_loop_now(sl_loop_current()) < t->deadline);
}

static void pause_before(unsigned tries)
{
    uint64_t most = (uint64_t)PAUSE_MS << (tries < PAUSE_DOUBLINGS ? tries : PAUSE_DOUBLINGS);
    sl_await(sl_sleep(1 + (uint64_t)random() % most));
}

static sl_stores *stores_or_fail(const sl_site *site)
{
    sl_stores *stores = sl__stores_here(false);
    if (!stores)
        sl__store_named(site, NULL); /* says what is missing */
    return stores;
}

void *sl__transact(const sl_site *site, const char *name, sl_task_fn *fn, void *data,
                   const sl_transact_options *options)
{
    run r = {.fn = fn, .data = data};
    sl_transaction *outer = sl_transaction_current();
    if (outer)
        return join(site, outer, &r, options);
    sl_stores *stores = stores_or_fail(site);
    uint64_t deadline = 0;
    for (unsigned tries = 0;; tries++) {
        sl_transaction *t = r.transaction = transaction_new(site, stores, name, options);
        t->deadline = deadline = deadline ? deadline : t->deadline;
        r.deadline_ms = options->deadline_ms;
        uint64_t now = sl_loop_now(sl_loop_current());
        if (tries && deadline) /* which may have passed in the pause; 0 would be none */
            r.deadline_ms = deadline > now ? deadline - now : 1;
        sl_error *error = try_once(&r);
        if (!error)
            return r.value;
        if (!may_retry(t, error, tries))
            sl__fail_error(site, error);
        sl_error_unref(error);
        pause_before(tries);
    }
}

void *sl__transact_request(const sl_site *site, sl_task_fn *fn, void *data, bool safe)
{
    sl_stores *stores = sl__stores_here(false);
    if (!stores || sl_transaction_current())
        return fn(data);
    run r = {.fn = fn, .data = data};
    r.transaction = transaction_new(site, stores, "the request", &(sl_transact_options){0});
    r.transaction->request = true;
    r.transaction->statements_max = stores->options.statements;
    r.transaction->ms_max = stores->options.database_ms;
    r.transaction->writes = !safe;
    sl_error *error = try_once(&r);
    if (error)
        sl__fail_error(site, error);
    return r.value;
}
