/* scope.c: tasks form a tree.
 *
 * A scope is a block of a task that waits for the tasks started in it. Each task has one for its body; each
 * SL_SCOPE opens another inside. Cancelling marks a scope and all below it, but for those behind a shield,
 * and cancels what their tasks await; the mark stays, so that later awaits fail too. */
#include "core/task.h"

#include <stdlib.h>

void sl__scope_add(sl_scope *scope, sl_task *task)
{
    task->home = scope;
    task->body.parent = NULL;
    task->body.cancelled = scope->cancelled;
    task->next_sibling = scope->first_child;
    task->link_of_sibling = &scope->first_child;
    if (scope->first_child)
        scope->first_child->link_of_sibling = &task->next_sibling;
    scope->first_child = task;
    scope->child_count++;
}

static void unlink_child(sl_task *task)
{
    *task->link_of_sibling = task->next_sibling;
    if (task->next_sibling)
        task->next_sibling->link_of_sibling = task->link_of_sibling;
    task->home->child_count--;
}

static void log_failure(const sl_task *task, const sl_error *error)
{
    char *text = sl_error_text(error);
    sl_error_log("task %s failed: %s", task->name, text);
    free(text);
}

void sl__scope_child_ended(sl_task *task, sl_error *error)
{
    sl_scope *home = task->home;
    unlink_child(task);
    if (error) {
        bool cancelled = error->code == SL_ECANCELED || error->code == SL_ETIMEDOUT;
        if (cancelled && (home->cancelled || task->body.cancelled == SL__WHY_CANCELLED)) {
            home->caught = true;
        } else if (home->owner && !home->error) {
            home->error = sl_error_ref(error);
            sl__scope_cancel_why(home, SL__WHY_SIBLING);
        } else {
            log_failure(task, error);
        }
        sl_error_unref(error);
    }
    if (home->joining && home->child_count == 0)
        sl__task_ready(home->owner);
}

/* ---- Cancelling ---- */

static void mark(sl_loop *loop, sl_scope *scope, sl__why why)
{
    if (scope->cancelled)
        return;
    scope->cancelled = (unsigned char)why;
    scope->next_cancelled = loop->to_cancel;
    loop->to_cancel = scope;
}

/* Makes the task's await fail now. */
static void cancel_await(sl_task *task)
{
    sl_deferred *waiting = task->waiting;
    if (!waiting)
        return;
    sl_cancel(waiting);
    if (task->waiting == waiting) {
        /* It goes on regardless; the task does not wait for it any more. */
        task->waiting_link->data = NULL;
        task->waiting = NULL;
        task->refused = true;
        sl__task_ready(task);
    }
}

/* Marks the scopes that the owner has opened inside this one, but for those behind a shield. False if there
 * is a shield. */
static bool mark_inner(sl_loop *loop, sl_scope *scope)
{
    sl_task *owner = scope->owner;
    sl_scope *shield = NULL;
    for (sl_scope *inner = owner->scope; inner && inner != scope; inner = inner->parent)
        if (inner->shield)
            shield = inner;
    for (sl_scope *inner = shield ? shield->parent : owner->scope; inner && inner != scope;
         inner = inner->parent)
        mark(loop, inner, scope->cancelled);
    return !shield;
}

/* Marks what is directly below, and puts the scope's owner down to be woken. */
static void spread(sl_loop *loop, sl_scope *scope)
{
    if (scope->owner && mark_inner(loop, scope)) {
        scope->next_cancelled = loop->to_wake;
        loop->to_wake = scope;
    }
    for (sl_task *child = scope->first_child; child; child = child->next_sibling)
        mark(loop, &child->body, scope->cancelled);
}

/* Cancelling an await may cancel a task that is awaited, and so on, in lines of any length: what comes up
 * meanwhile is put down for the outermost call, so that nothing recurses. First all is marked, then the tasks
 * are woken, the deepest first. */
void sl__scope_cancel_why(sl_scope *scope, sl__why why)
{
    sl_loop *loop = sl__loop;
    mark(loop, scope, why);
    if (loop->cancelling)
        return;
    loop->cancelling = true;
    while (loop->to_cancel || loop->to_wake) {
        sl_scope *next = loop->to_cancel;
        if (next) {
            loop->to_cancel = next->next_cancelled;
            spread(loop, next);
        } else {
            next = loop->to_wake;
            loop->to_wake = next->next_cancelled;
            cancel_await(next->owner);
        }
    }
    loop->cancelling = false;
}

void sl_scope_cancel(sl_scope *scope)
{
    sl__scope_cancel_why(scope, SL__WHY_CANCELLED);
}

static void deadline_passed(void *data)
{
    sl_scope *scope = data;
    scope->deadline = NULL;
    sl__scope_cancel_why(scope, SL__WHY_DEADLINE);
}

/* ---- Entering and leaving ---- */

void sl__scope_enter(sl_scope *scope, const sl_site *site, const sl_scope_options *options)
{
    sl_task *task = sl_task_current();
    if (!task)
        sl__die(site, "SL_SCOPE works in tasks only: start one with sl_spawn");
    scope->parent = task->scope;
    scope->owner = task;
    scope->site = site;
    scope->shield = options->shield;
    scope->cancelled = options->shield ? SL__WHY_NOT : scope->parent->cancelled;
    scope->exits = task->exits;
    scope->entered = true;
    task->scope = scope;
    if (options->deadline_ms)
        scope->deadline = sl__timer_start(task->loop, options->deadline_ms, deadline_passed, scope);
}

void sl__scope_join(sl_scope *scope)
{
    scope->joining = true;
    while (scope->child_count)
        sl__task_park(scope->owner, scope->site);
    scope->joining = false;
}

sl_error *sl__scope_settle(sl_scope *scope, sl_error *failure)
{
    sl_error *error = scope->error;
    scope->error = NULL;
    if (!error)
        return failure;
    if (failure->code == SL_ECANCELED && scope->cancelled == SL__WHY_SIBLING) {
        sl_error_unref(failure); /* it was the consequence */
        return error;
    }
    sl_error_log("while a scope was left because of \"%s\", a task in it failed: %s", failure->message,
                 error->message);
    sl_error_unref(error);
    return failure;
}

void sl__scope_leave(sl_scope *scope)
{
    if (!scope->entered)
        return;
    sl_task *task = scope->owner;
    /* A scope entered while cleaning up, after the exit began, is left as any other. */
    bool unwound = task->exiting && scope->exits != task->exits;
    if (unwound)
        sl__scope_cancel_why(scope, SL__WHY_CANCELLED);
    sl__scope_join(scope);
    if (scope->deadline)
        sl__timer_stop(task->loop, scope->deadline);
    scope->deadline = NULL;
    if (scope != &task->body)
        task->scope = scope->parent;
    if (unwound) {
        task->exiting = sl__scope_settle(scope, task->exiting);
        return;
    }
    sl_error *error = scope->error;
    scope->error = NULL;
    if (error)
        sl__fail_error(scope->site, error);
    if (scope->cancelled == SL__WHY_DEADLINE && scope->caught)
        sl__fail(scope->site, SL_ETIMEDOUT, "the deadline of the scope has passed");
}
