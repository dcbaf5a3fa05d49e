/* commit.c: the end of a transaction.
 *
 * Order (after Zope's transaction package): hooks before the commit, then everybody writes, until nothing new
 * comes of it; everybody prepares and votes; the stores are committed, which is the decision; everybody
 * finishes; hooks after it. A failure before the decision undoes all. */
#include "store/commit.h"
#include "store/two_phase.h"
#include "core/task.h"

#include <stdlib.h>

enum { ROUNDS = 100 /* in which hooks and flushes may go on making work for each other */ };

static bool has_todo(const sl_transaction *t)
{
    for (sl_session *s = t->first; s; s = s->next) {
        sl__session_look_again(s, /* all= */ true);
        if (s->todo_count)
            return true;
    }
    return false;
}

/* Were it committed now, what is done next in the savepoint would be undone, or stored, as it happens. */
static void check_alone(const sl_transaction *t)
{
    const sl__point *point = t->savepoint;
    if (point)
        sl__fail_error(
            t->site,
            sl_error_hint(sl__error_new(t->site, SL_EINVAL,
                                        "%s ends while a task of it is in the savepoint of "
                                        "%s (%s:%d)",
                                        t->name, point->site->function, point->site->file, point->site->line),
                          "await the tasks that work in it: SL_SCOPE, sl_all"));
}

void sl__transaction_write(sl_transaction *t)
{
    unsigned rounds = 0;
    sl__transaction_check(t->site, t);
    check_alone(t);
    do {
        if (rounds++ == ROUNDS)
            sl__fail(t->site, SL_ELOOP, "the hooks of %s go on making work for each other", t->name);
        sl__run_hooks(t, SL__BEFORE_COMMIT);
        for (sl_session *s = t->first; s; s = s->next)
            sl__session_save(t->site, s);
        sl__participants_call(t, SL__STAGE_FLUSH);
    } while (has_todo(t) || sl__count_hooks(t, SL__BEFORE_COMMIT));
}

/* What was put down and not written is nobody's. What is stored knows by its session that the transaction has
 * ended. */
static void let_go(sl_transaction *t)
{
    for (sl_session *s = t->first; s; s = s->next) {
        for (uint32_t i = 0; i < s->todo_count; i++)
            if (s->todo[i])
                s->todo[i]->state = SL__ROW_FREE;
        s->todo_count = 0;
    }
}

void sl__transaction_commit(sl_transaction *t)
{
    t->state = SL__COMMITTING;
    sl__participants_call(t, SL__STAGE_PREPARE);
    sl__participants_call(t, SL__STAGE_VOTE);
    sl_error *error = NULL;
    for (sl_session *s = t->first; s && !error; s = s->next)
        error = sl__session_wait(s, t->site);
    if (error)
        sl__fail_error(t->site, error);
    check_alone(t);
    sl__transaction_check(t->site, t); /* somebody may have doomed it meanwhile, */
    if (has_todo(t))                   /* or changed what is not written any more */
        sl__fail_error(
            t->site,
            sl_error_hint(sl__error_new(t->site, SL_EINVAL,
                                        "objects of %s were changed while it was committed", t->name),
                          "change them in sl_before_commit, or in .flush of the sl_resource"));

    t->state = SL__DECIDING;
    SL_SHIELD()
    {
        error = sl__sessions_commit(t);
    }
    if (error)
        sl__fail_error(t->site, error);
    t->state = SL__COMMITTED;
    let_go(t);
    sl__participants_call(t, SL__STAGE_FINISH);
}

static void roll_back(sl_session *s)
{
    if (s->connection && !s->connecting) { /* else the task that waits for the writer's place does it */
        s->store->driver->rollback(s->connection);
        s->connection = NULL;
    }
    uint32_t position = 0;
    for (sl_row *row; (row = sl__map_next(s, &position));)
        if (row->model->invalidated)
            row->model->invalidated(row);
}

static void *run_before_abort(void *data)
{
    sl_transaction *t = data;
    SL_WITH(&sl__transaction_key, t);
    t->in_hooks = true;
    sl__run_hooks(t, SL__BEFORE_ABORT);
    sl__participants_call(t, SL__STAGE_ABORT);
    return NULL;
}

sl_error *sl__transaction_abort(sl_transaction *t, sl_error *error)
{
    if (t->state ==
        SL__COMMITTED) /* the decision had fallen: what failed since is told, and undoes nothing */
        return error;
    sl_error *cause = t->cause;
    if (cause && cause != error && error->code == SL_EDOOMED) {
        sl_error_unref(error); /* it was the consequence */
        error = sl_error_ref(cause);
    }
    sl_error *failed = sl__catch(run_before_abort, t, NULL);
    if (failed) {
        sl_error_log("while %s was rolled back: %s", t->name, failed->message);
        sl_error_unref(failed);
    }
    t->state = SL__ABORTED;
    for (sl_session *s = t->first; s; s = s->next)
        roll_back(s);
    let_go(t);
    return error;
}
