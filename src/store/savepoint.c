/* savepoint.c: work inside a transaction that may fail alone.
 *
 * In each database it is an SQL savepoint. What objects went through meanwhile is kept in each session's list
 * of what was touched; undoing puts them back: those inserted belong to nobody again, the others are read
 * anew. Hooks registered meanwhile are dropped, and those who joined meanwhile leave.
 *
 * The databases have one stack of them for a transaction, whatever its tasks: the last that was begun is the
 * first to end. So a task waits with its own until those of others, in which it does not work, have ended,
 * and ends it when those that its children have begun in it have. In which one a task works the context says.
 */
#include "store/commit.h"
#include "core/task.h"

#include <stdio.h>
#include <stdlib.h>

typedef struct memory_of {
    sl__participant *participant;
    void *saved;
} memory_of;

typedef struct inner {
    const sl_site *site;
    sl_transaction *t;
    sl__point *point;
    sl_task_fn *fn;
    void *data, *value;
    memory_of *memories; /* of those who took part before */
    size_t memory_count;
    uint32_t *touched; /* how much had been in each session; those that begin later begin with nothing */
    unsigned touched_count;
} inner;

/* ---- Whose turn it is ---------------------------------------------------------------------------------- */

static void show_point(void *value, sl_buffer *out)
{
    const sl__point *point = value;
    sl_buffer_printf(out, "%u, of %s:%d", point->number, point->site->file, point->site->line);
}

static SL_KEY(savepoint_key, SL_CAPTURED, .show = show_point);

static sl__point *open_one(sl__point *point)
{
    while (point && point->over)
        point = point->outer;
    return point;
}

sl__point *sl__point_here(const sl_transaction *t)
{
    sl__point *point = sl_get(&savepoint_key);
    return point && point->transaction == t ? open_one(point) : NULL;
}

/* The innermost is the one that this task works in. */
static bool is_my_turn(const sl_transaction *t)
{
    return !t->switcher && t->savepoint == sl__point_here(t);
}

static void wait_for_turn(const sl_site *site, sl_transaction *t)
{
    if (t->switcher == sl_task_current())
        sl__fail(site, SL_EINVAL,
                 "sl_savepoint cannot be called while another is begun or undone, by its hooks");
    while (!is_my_turn(t)) {
        if (!t->switched)
            t->switched = sl_deferred_new(NULL, NULL);
        sl__await(site, sl_deferred_ref(t->switched), NULL);
        if (sl__transaction_is_over(t))
            sl__fail_error(site, sl__transaction_over(site, t));
    }
}

static void wake_all(sl_transaction *t)
{
    sl_deferred *switched = t->switched;
    t->switched = NULL;
    if (switched) {
        sl_fire(switched, NULL, NULL);
        sl_forget(switched);
    }
}

static void end_switch(sl_transaction **t)
{
    (*t)->switcher = NULL;
    wake_all(*t);
}

static sl_transaction *begin_switch(sl_transaction *t)
{
    t->switcher = sl_task_current();
    return t;
}

/* One around it may be over already, where that could not wait. */
static void leave_point(inner *in)
{
    in->point->over = true;
    in->t->savepoint = open_one(in->t->savepoint);
}

static void run_in(const inner *in, sl_session *s, const char *what)
{
    char sql[64];
    snprintf(sql, sizeof sql, "%s s%u", what, in->point->number);
    sl_error *error = sl__run_plain(s, sql);
    if (error)
        sl__session_fail(in->site, s, error);
}

/* Those whose connections have it, also such as came meanwhile. */
static void end_in_all(const inner *in, bool undone)
{
    for (sl_session *s = in->t->first; s; s = s->next) {
        sl_error *error = s->unready ? sl__session_wait(s, in->site) : NULL;
        if (error)
            sl__session_fail(in->site, s, error);
        if (!s->connection || s->points < in->point->number)
            continue;
        if (undone)
            run_in(in, s, "ROLLBACK TO SAVEPOINT");
        run_in(in, s, "RELEASE SAVEPOINT");
        s->points = in->point->number - 1;
    }
}

/* What was put down before belongs to what is around it. */
static void flush_in_turn(const inner *in)
{
    do {
        wait_for_turn(in->site, in->t);
        for (sl_session *s = in->t->first; s; s = s->next)
            sl__session_save(in->site, s);
    } while (!is_my_turn(in->t));
}

static void let_remember(inner *in)
{
    for (sl__participant *p = in->t->participants; p; p = p->next)
        in->memory_count++;
    in->memories = sl_arena_zalloc(in->t->arena, (in->memory_count + 1) * sizeof *in->memories);
    size_t i = 0;
    for (sl__participant *p = in->t->participants; p; p = p->next) {
        if (!p->resource->savepoint)
            sl__fail_error(
                in->site,
                sl_error_hint(
                    sl__error_new(in->site, SL_EINVAL,
                                  "%s takes part in this transaction and knows no "
                                  "savepoints",
                                  p->resource->name),
                    "let it join after the savepoint, or give its sl_resource .savepoint and .roll_back"));
        in->memories[i++] = (memory_of){p, p->resource->savepoint(p->data)};
    }
}

/* ---- Undoing ------------------------------------------------------------------------------------------- */

/* An object is found by its key, which it may have changed. */
static void restore_key(sl_row *row, const void *before)
{
    const sl__model_info *info = row->model->info;
    for (unsigned i = 0; before && i < info->key_count; i++) {
        const sl_column *column = &row->model->columns[info->keys[i]];
        memcpy((char *)row + column->offset, (const char *)before + column->offset, column->size);
    }
}

static void undo_object(const sl_site *site, sl_session *s, const sl__touched *touched)
{
    sl_row *row = touched->row;
    sl__table *table = sl__row_table(site, row);
    if (row->state == SL__ROW_STORED)
        sl__map_remove(s, row);
    if (touched->inserted) {
        row->state = SL__ROW_FREE;
    } else if (row->state == SL__ROW_STORED || row->state == SL__ROW_GONE) {
        restore_key(row, touched->before);
        row->snapshot = touched->before;
        row->state = SL__ROW_STORED;
        sl__map_add(s, table, row);
    }
    if (row->model->invalidated)
        row->model->invalidated(row);
}

static void read_anew(const sl_site *site, sl_session *s, sl_row *row)
{
    if (row->state == SL__ROW_STORED && row->generation != s->generation)
        sl__row_refresh(site, s, sl__row_table(site, row), row);
}

/* What was not written yet: new objects belong to nobody, the others are as they were stored. Gives these. */
static sl_row **drop_pending(sl_session *s, uint32_t *ret_count)
{
    sl__session_look_again(s, /* all= */ true);
    sl_row **changed = sl_arena_alloc(s->arena, (s->todo_count + 1) * sizeof *changed);
    uint32_t count = 0;
    for (uint32_t i = s->todo_count; i-- > 0;) {
        sl_row *row = s->todo[i];
        if (!row || row->position != i + 1)
            continue; /* it was written */
        row->position = 0;
        row->pending = NULL;
        if (row->state == SL__ROW_ADDED) {
            row->state = SL__ROW_FREE;
            continue;
        }
        row->state = SL__ROW_STORED;
        restore_key(row, row->snapshot);
        changed[count++] = row;
    }
    s->todo_count = 0;
    *ret_count = count;
    return changed;
}

static void undo_session(const sl_site *site, sl_session *s, uint32_t since)
{
    uint32_t count;
    sl_row **changed = drop_pending(s, &count);
    for (uint32_t i = s->touched_count; i-- > since;)
        undo_object(site, s, &s->touched[i]);
    for (uint32_t i = 0; i < count; i++)
        if (changed[i]->model->invalidated)
            changed[i]->model->invalidated(changed[i]);
    /* Read anew what lives on; an object may be among them more than once. */
    s->generation++;
    for (uint32_t i = 0; i < count; i++)
        read_anew(site, s, changed[i]);
    for (uint32_t i = since; i < s->touched_count; i++)
        read_anew(site, s, s->touched[i].row);
    s->touched_count = since;
}

static void undo_participants(inner *in)
{
    sl_transaction *t = in->t;
    for (sl__participant **link = &t->participants; *link;) {
        sl__participant *p = *link;
        memory_of *memory = NULL;
        for (size_t i = 0; i < in->memory_count && !memory; i++)
            if (in->memories[i].participant == p)
                memory = &in->memories[i];
        if (memory) {
            if (p->resource->roll_back)
                p->resource->roll_back(p->data, memory->saved);
            link = &p->next;
        } else {
            *link = p->next;
            if (p->resource->abort)
                p->resource->abort(p->data);
        }
    }
}

/* Waits until it is this one's turn and nobody writes: what is put down to be written is dropped. */
static sl_transaction *keep_from_writing(const inner *in)
{
    sl_transaction *t = in->t;
    wait_for_turn(in->site, t);
    sl__flush_hold(in->site, t);
    while (!is_my_turn(t)) {
        sl__flush_leave(&t);
        wait_for_turn(in->site, t);
        sl__flush_hold(in->site, t);
    }
    return t;
}

void sl__savepoint_stranger(const sl_site *site, const sl_transaction *t)
{
    const sl__point *mine = sl__point_here(t);
    for (sl__point *point = t->savepoint; point && point != mine; point = point->outer)
        if (!point->stranger)
            point->stranger = site;
}

/* Who wrote that believes it to be there: the rest must not be committed without it. */
static void doom_for_stranger(sl_transaction *t, const sl__point *point)
{
    const sl_site *wrote = point->stranger;
    sl_error *error = sl_error_hint(
        sl__error_new(point->site, SL_EINVAL,
                      "what another task wrote in %s (%s:%d) was undone with the savepoint of %s (%s:%d)",
                      wrote->function, wrote->file, wrote->line, point->site->function, point->site->file,
                      point->site->line),
        "write before the savepoint, after it, or in it: await the task that has it");
    sl__transaction_failed(t, error);
    sl_error_unref(error);
}

static void *undo(void *data)
{
    inner *in = data;
    SL_WITH(&savepoint_key, in->point);
    sl_transaction *held SL_CLEANUP(sl__flush_leave) = keep_from_writing(in);
    sl_transaction *t SL_CLEANUP(end_switch) = begin_switch(held);
    leave_point(in);
    end_in_all(in, /* undone= */ true);
    sl__hooks_undo(t, in->point->last_hook);
    undo_participants(in);
    unsigned i = 0;
    for (sl_session *s = t->first; s; s = s->next, i++)
        undo_session(in->site, s, i < in->touched_count ? in->touched[i] : 0);
    if (in->point->stranger)
        doom_for_stranger(t, in->point);
    return NULL;
}

/* ---- Running ------------------------------------------------------------------------------------------- */

static void *run_inside(void *data)
{
    inner *in = data;
    SL_WITH(&savepoint_key, in->point);
    in->value = in->fn(in->data);
    sl__transaction_check(in->site, in->t); /* a swallowed failure is one all the same */
    flush_in_turn(in);
    sl__transaction_check(in->site, in->t); /* nor may a child of it have failed meanwhile */
    return NULL;
}

static void make_point(inner *in)
{
    sl_transaction *t = in->t;
    in->point = sl_arena_alloc(t->arena, sizeof *in->point);
    *in->point = (sl__point){.transaction = t,
                             .outer = t->savepoint,
                             .site = in->site,
                             .number = t->savepoint ? t->savepoint->number + 1 : 1,
                             .last_hook = t->last_hook};
    for (sl_session *s = t->first; s; s = s->next) {
        in->touched_count++;
        for (uint32_t i = 0; i < s->todo_count; i++) /* put down by others since all was written */
            if (s->todo[i])
                in->point->stranger = s->todo[i]->site;
    }
    in->touched = sl_arena_zalloc(t->arena, (in->touched_count + 1) * sizeof *in->touched);
    t->savepoint = in->point;
}

static void begin(inner *in)
{
    flush_in_turn(in);
    sl_transaction *t SL_CLEANUP(end_switch) = begin_switch(in->t);
    let_remember(in);
    make_point(in);
    unsigned i = 0;
    for (sl_session *s = t->first; s; s = s->next, i++) {
        sl_error *error = sl__session_points(s, in->site);
        if (error) {
            leave_point(in);
            sl__session_fail(in->site, s, error);
        }
        if (i < in->touched_count)
            in->touched[i] = s->touched_count;
    }
}

static void end_well(inner *in)
{
    sl_transaction *t SL_CLEANUP(end_switch) = begin_switch(in->t);
    leave_point(in);
    end_in_all(in, /* undone= */ false);
    if (!t->savepoint)
        for (sl_session *s = t->first; s; s = s->next)
            s->touched_count = 0;
}

static void drop_cause(const inner *in)
{
    sl_error_unref(in->point ? in->point->cause : NULL);
    if (in->point)
        in->point->cause = NULL;
}

static void drop_error(void *error)
{
    sl_error_unref(error);
}

static void undo_all(inner *in, sl_error *error)
{
    sl_error *failed = sl__catch(undo, in, NULL);
    if (!failed)
        return;
    /* Cancelled, past its budget, or without a connection: nothing but what is around it can be undone. */
    leave_point(in);
    wake_all(in->t);
    sl_error_ref(error);
    if (failed->code == SL_ECANCELED || failed->cause)
        sl_error_unref(failed);
    else
        error = sl_error_cause(failed, error);
    sl__transaction_failed(in->t, error);
    sl__fail_error(in->site, error);
}

/* What is put down just now is not the savepoint's, and would be undone with it. */
static void check_not_called(const sl_site *site, const sl_transaction *t)
{
    if (t->switcher != sl_task_current() && sl__flush_is_here(t))
        sl__fail_error(site, sl_error_hint(sl__error_new(site, SL_EINVAL,
                                                         "sl_savepoint cannot be called by the hooks and "
                                                         "validators of what is being written"),
                                           "call it around what writes: sl_save inside sl_savepoint"));
}

void *sl__savepoint(const sl_site *site, sl_task_fn *fn, void *data, sl_error **ret_error)
{
    sl_transaction *t = sl_transaction_current();
    if (!t)
        sl__fail_error(site, sl_error_hint(sl__error_new(site, SL_EINVAL,
                                                         "there is no transaction here to save a point of"),
                                           "call it in a request's handler or inside sl_transact"));
    check_not_called(site, t);
    SL_CLEANUP(drop_cause) inner in = {.site = site, .t = t, .fn = fn, .data = data};
    wait_for_turn(site, t); /* another's savepoint may be doomed: that is not ours */
    sl__transaction_check(site, t);
    begin(&in);
    sl_error *error = sl__catch(run_inside, &in, NULL);
    if (!error) {
        end_well(&in);
        if (ret_error)
            *ret_error = NULL;
        return in.value;
    }
    sl_error *cause = in.point->cause;
    if (cause && cause != error && error->code == SL_EDOOMED) {
        sl_error_unref(error);
        error = sl_error_ref(cause);
    }
    sl_defer(drop_error, error); /* the task's from now on: undoing may fail as well */
    undo_all(&in, error);
    if (!ret_error)
        sl__fail_error(site, sl_error_ref(error));
    *ret_error = error;
    return NULL;
}
