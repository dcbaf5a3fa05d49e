/* savepoint.c: work inside a transaction that may fail alone.
 *
 * In each database it is an SQL savepoint. What objects went through meanwhile is kept in each session's list
 * of what was touched; undoing puts them back: those inserted belong to nobody again, the others are read
 * anew. Hooks registered meanwhile are dropped, and those who joined meanwhile leave. */
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
    sl__point point;
    sl_task_fn *fn;
    void *data, *value;
    memory_of *memories; /* of those who took part before */
    size_t memory_count;
} inner;

static void run_in_all(inner *in, const char *what)
{
    char sql[64];
    snprintf(sql, sizeof sql, "%s s%u", what, in->point.number);
    for (sl_session *s = in->t->first; s; s = s->next) {
        if (!s->connection)
            continue;
        sl_error *error = sl__run_plain(s, sql);
        if (error)
            sl__session_fail(in->site, s, error);
    }
}

static void flush_all(const inner *in)
{
    for (sl_session *s = in->t->first; s; s = s->next)
        sl__session_flush(in->site, s);
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

static void *undo(void *data)
{
    inner *in = data;
    in->t->savepoint = in->point.outer;
    run_in_all(in, "ROLLBACK TO SAVEPOINT");
    run_in_all(in, "RELEASE SAVEPOINT");
    sl__hooks_undo(in->t, in->point.last_hook);
    undo_participants(in);
    return NULL;
}

/* ---- Running ------------------------------------------------------------------------------------------- */

static void *run_inside(void *data)
{
    inner *in = data;
    in->value = in->fn(in->data);
    sl__transaction_check(in->site, in->t); /* a swallowed failure is one all the same */
    flush_all(in);
    return NULL;
}

static void begin(inner *in)
{
    sl_transaction *t = in->t;
    flush_all(in);
    let_remember(in);
    in->point.number = t->savepoint ? t->savepoint->number + 1 : 1;
    run_in_all(in, "SAVEPOINT");
    in->point.outer = t->savepoint;
    in->point.last_hook = t->last_hook;
    t->savepoint = &in->point;
}

static void end_well(inner *in)
{
    in->t->savepoint = in->point.outer;
    run_in_all(in, "RELEASE SAVEPOINT");
    if (!in->t->savepoint)
        for (sl_session *s = in->t->first; s; s = s->next)
            s->touched_count = 0;
}

static void drop_error(void *error)
{
    sl_error_unref(error);
}

static void undo_all(inner *in, sl_error *error, const uint32_t *since, unsigned since_count)
{
    unsigned i = 0;
    sl_error *failed = sl__catch(undo, in, NULL);
    for (sl_session *s = in->t->first; s && !failed; s = s->next, i++)
        undo_session(in->site, s, i < since_count ? since[i] : 0);
    if (!failed)
        return;
    /* Cancelled, or without a connection: then nothing but the whole can be undone. */
    sl_error_unref(failed);
    in->t->savepoint = in->point.outer;
    sl__transaction_failed(in->t, error);
    sl__fail_error(in->site, sl_error_ref(error));
}

void *sl__savepoint(const sl_site *site, const char *name, sl_task_fn *fn, void *data, sl_error **ret_error)
{
    (void)name;
    sl_transaction *t = sl_transaction_current();
    if (!t)
        sl__fail_error(site, sl_error_hint(sl__error_new(site, SL_EINVAL,
                                                         "there is no transaction here to save a point of"),
                                           "call it in a request's handler or inside sl_transact"));
    sl__transaction_check(site, t);
    inner in = {.site = site, .t = t, .fn = fn, .data = data};
    begin(&in);
    enum { SESSIONS_MAX = 16 };
    uint32_t since[SESSIONS_MAX] = {0}; /* sessions that begin later begin with nothing touched */
    unsigned i = 0;
    for (sl_session *s = t->first; s && i < SESSIONS_MAX; s = s->next)
        since[i++] = s->touched_count;

    sl_error *error = sl__catch(run_inside, &in, NULL);
    if (!error) {
        end_well(&in);
        if (ret_error)
            *ret_error = NULL;
        return in.value;
    }
    if (in.point.cause && in.point.cause != error && error->code == SL_EDOOMED) {
        sl_error_unref(error);
        error = sl_error_ref(in.point.cause);
    }
    sl_error_unref(in.point.cause);
    sl_defer(drop_error, error); /* the task's from now on: undoing may fail as well */
    undo_all(&in, error, since, SESSIONS_MAX);
    if (!ret_error)
        sl__fail_error(site, sl_error_ref(error));
    *ret_error = error;
    return NULL;
}
