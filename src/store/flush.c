/* flush.c: what was added, edited and removed is written.
 *
 * First the hooks run and the changes are found by comparison, checked, and put in order; then each is one
 * statement. To PostgreSQL they are sent without waiting for the answer of the one before, as long as none
 * needs a key that another one's answer brings. Only one task writes at a time: others wait, for they may
 * have asked because of what is being written. */
#include "store/store.h"
#include "core/task.h"

#include <stdlib.h>

enum { IN_FLIGHT = 64 };

typedef struct flight {
    sl__running running;
    sl__table *table;
    sl__write write;
    sl_value *values;
} flight;

/* While a hook or a validator runs, what is asked does not write once more: not by its own task, nor by tasks
 * that were started in it, for which it may wait. The context says so. In the transaction's memory: such a
 * task may outlive it, and then waits as others do. */
typedef struct call {
    const sl_transaction *transaction;
    bool runs;
} call;

typedef struct flush {
    const sl_site *site;
    sl_session *session;
    call *call;
    flight *flights;
    unsigned first, count, limit; /* of the flights that wait for their answers */
} flush;

/* ---- One task at a time -------------------------------------------------------------------------------- */

static void show_call(void *value, sl_buffer *out)
{
    const call *c = value;
    sl_buffer_puts(out, c->runs ? "a hook of what is being written" : "over");
}

static SL_KEY(call_key, SL_CAPTURED, .show = show_call);

static bool is_called(const sl_transaction *t)
{
    const call *c = sl_get(&call_key);
    return c && c->transaction == t && c->runs;
}

static void call_over(call **c)
{
    (*c)->runs = false;
}

/* One that was started before is known to be waited for only where that is done directly. */
static void check_cycle(const sl_site *site, const sl_transaction *t)
{
    if (t->flusher->waiting && t->flusher->waiting == sl_task_current()->result)
        sl__fail_error(site,
                       sl_error_hint(sl__error_new(site, SL_ECYCLE,
                                                   "the objects of %s are being written, by a task that "
                                                   "waits for this one",
                                                   t->name),
                                     "let the hook start the task itself, or do the work"));
}

static void wait_for_flusher(const sl_site *site, sl_transaction *t)
{
    check_cycle(site, t);
    if (!t->flushed)
        t->flushed = sl_deferred_new(NULL, NULL);
    sl__await(site, sl_deferred_ref(t->flushed), NULL);
}

bool sl__flush_is_here(const sl_transaction *t)
{
    return t->flusher && (t->flusher == sl_task_current() || is_called(t));
}

void sl__flush_wait(const sl_site *site, sl_transaction *t)
{
    while (t->flusher && !sl__flush_is_here(t)) {
        wait_for_flusher(site, t);
        sl__transaction_check(site, t);
    }
}

void sl__flush_hold(const sl_site *site, sl_transaction *t)
{
    while (t->flusher) {
        wait_for_flusher(site, t);
        if (sl__transaction_is_over(t))
            sl__fail_error(site, sl__transaction_over(site, t));
    }
    t->flusher = sl_task_current();
}

/* False where the calling task writes already: a hook asked something. */
static bool enter(sl_transaction *t, const sl_site *site)
{
    sl__flush_wait(site, t);
    if (t->flusher)
        return false;
    t->flusher = sl_task_current();
    return true;
}

void sl__flush_leave(sl_transaction **t)
{
    sl_deferred *flushed = (*t)->flushed;
    (*t)->flusher = NULL;
    (*t)->flushed = NULL;
    if (flushed) {
        sl_fire(flushed, NULL, NULL);
        sl_forget(flushed);
    }
}

/* ---- What there is to write ---------------------------------------------------------------------------- */

static void call_before_flush(sl_session *session)
{
    for (uint32_t i = 0; i < session->todo_count; i++) { /* a hook may put more down */
        sl_row *row = session->todo[i];
        if (row && row->position == i + 1 && row->state != SL__ROW_REMOVED && row->model->before_flush)
            row->model->before_flush(row);
    }
}

static bool has_expression(const sl_row *row)
{
    for (const sl__pending *p = row->pending; p; p = p->next)
        if (p->expression)
            return true;
    return false;
}

/* Links to objects whose keys are known already, or will be when it is this one's turn. */
void sl__row_fill_links(const sl_site *site, sl_row *row, bool last)
{
    for (sl__pending *p = row->pending; p; p = p->next) {
        if (p->expression || !sl__link_holds(row, p))
            continue;
        const sl__model_info *info = p->target->model->info;
        const sl__field *key = &info->all[info->keys[0]], *field = &row->model->info->all[p->column];
        sl_key_part part;
        sl__key_of(info, p->target, &part);
        bool known = p->target->state != SL__ROW_NEW && /* it was removed again */
                     (p->target->state != SL__ROW_ADDED || part.kind != SL_KIND_INTEGER || part.integer);
        if (known)
            memcpy((char *)row + field->offset, (char *)p->target + key->offset,
                   p->target->model->columns[info->keys[0]].size);
        else if (last || p->target->state == SL__ROW_NEW)
            sl__fail(site, SL_EINVALID, "%s refers to %s, which is not stored", sl__row_named(row),
                     sl__row_named(p->target));
        if (known)
            *sl__nulls_of(row) &= ~(UINT64_C(1) << p->column);
    }
}

void sl__row_new_key(sl_row *row)
{
    const sl__model_info *info = row->model->info;
    if (info->automatic < 0 || info->whole_key)
        return;
    sl_uuid *uuid = (sl_uuid *)((char *)row + info->all[info->automatic].offset);
    if (memcmp(uuid, &(sl_uuid){0}, sizeof *uuid) == 0)
        *uuid = sl_uuid_new();
    *sl__nulls_of(row) &= ~(UINT64_C(1) << info->automatic);
}

static SL_NORETURN void fail_lost(const sl_row *row, const sl__pending *pending)
{
    sl__fail_error(
        row->site,
        sl_error_hint(sl__error_new(row->site, SL_EINVAL,
                                    "%s: the expression that %s is set to is gone with the task, or "
                                    "SL_SCRATCH, that made it",
                                    sl__row_named(row), row->model->columns[pending->column].name),
                      "call sl_save() there, before it ends"));
}

static sl__write look_at(const sl_site *site, sl_row *row)
{
    sl__write write = {.row = row};
    if (row->state == SL__ROW_REMOVED)
        return write;
    if (row->pending)
        sl__row_fill_links(site, row, /* last= */ false);
    if (row->state == SL__ROW_ADDED)
        sl__row_new_key(row);
    sl__row_normalise(row);
    write.columns = row->state == SL__ROW_ADDED ? UINT64_MAX : sl__row_changes(row);
    for (const sl__pending *p = row->pending; p; p = p->next) {
        if (p->lost)
            fail_lost(row, p);
        if (!p->expression)
            write.columns |= UINT64_C(1) << p->column;
    }
    sl_errors *errors = sl__row_check(row, write.columns);
    if (errors)
        sl__errors_fail(row->site, row, errors);
    return write;
}

/* Of the first `all`: validators may put more down. */
static sl__write *collect(const sl_site *site, sl_session *session, uint32_t all, size_t *ret_count)
{
    sl__write *writes = sl_arena_alloc(session->arena, (all + 1) * sizeof *writes);
    size_t count = 0;
    for (uint32_t i = 0; i < all; i++) {
        sl_row *row = session->todo[i];
        if (!row || row->position != i + 1) /* written before another one failed */
            continue;
        sl__write write = look_at(site, row);
        if (row->state == SL__ROW_STORED && !write.columns && !row->pending)
            sl__row_unchanged(session, row);
        else
            writes[count++] = write;
    }
    *ret_count = count;
    return writes;
}

/* New rows of tables that nothing refers from, and that nobody else could be in the way of, need no order. */
static bool needs_order(const sl__write *writes, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const sl__model_info *info = writes[i].row->model->info;
        if (writes[i].row->state == SL__ROW_REMOVED || info->refers || (info->unique && count > 1))
            return count > 1;
        if (!info->whole_key && count > 1)
            return true;
    }
    return false;
}

/* ---- Values ------------------------------------------------------------------------------------------ */

static void put_value(const sl__model_info *info, unsigned column, const sl_row *row, sl_value *ret_value)
{
    sl__value_from_field(&info->all[column], row, *sl__nulls_of(row), ret_value);
    if (ret_value->kind == SL_KIND_DECIMAL && !ret_value->null)
        sl_decimal_rescale(ret_value->decimal, info->all[column].scale, &ret_value->decimal);
}

/* In the order of the statement's parameters: columns, key, version. The key is that of the row as it is
 * stored. */
unsigned sl__row_values(const sl_row *row, uint64_t columns, unsigned left_out, sl_value *values)
{
    unsigned count = 0;
    for (unsigned i = 0; i < row->model->column_count; i++)
        if (columns >> i & 1 && i != left_out)
            put_value(row->model->info, i, row, &values[count++]);
    return count;
}

static unsigned put_key(const sl_row *row, sl_value *values)
{
    const sl__model_info *info = row->model->info;
    const sl_row *stored = row->snapshot ? row->snapshot : row;
    for (unsigned i = 0; i < info->key_count; i++)
        put_value(info, info->keys[i], stored, &values[i]);
    if (info->version >= 0)
        put_value(info, (unsigned)info->version, stored, &values[info->key_count]);
    return info->key_count + (info->version >= 0);
}

/* The end of it, which is random, where not all may be stored. */
static sl_view parked_text(sl_uuid uuid, size_t max)
{
    sl_view text = sl_view_of(sl_uuid_text(uuid, sl_alloc(SL_UUID_SIZE)));
    size_t cut = max && max < text.size ? text.size - max : 0;
    return (sl_view){text.data + cut, text.size - cut};
}

/* A value that nobody else has, for a moment: NULL where that may be. */
static void park_values(const sl_site *site, const sl_row *row, uint64_t columns, sl_value *values)
{
    unsigned count = 0;
    for (unsigned i = 0; i < row->model->column_count; i++) {
        if (!(columns >> i & 1))
            continue;
        sl_uuid uuid = sl_uuid_new();
        sl_kind kind = row->model->columns[i].kind;
        sl_value value = {.kind = kind, .null = !(row->model->info->required >> i & 1)};
        int64_t number;
        memcpy(&number, uuid.bytes + 8, sizeof number);
        if (kind == SL_KIND_INTEGER || kind == SL_KIND_TIME)
            value.integer = number | INT64_MIN;
        else if (kind == SL_KIND_TEXT)
            value.text = parked_text(uuid, row->model->columns[i].max);
        else if (kind == SL_KIND_UUID)
            value.uuid = uuid;
        else if (!value.null)
            sl__fail_error(site, sl_error_hint(sl__error_new(site, SL_EINVALID,
                                                             "%s and others exchange their values of %s, "
                                                             "which is unique",
                                                             sl__row_named(row), row->model->columns[i].name),
                                               "call sl_save between the changes"));
        values[count++] = value;
    }
}

/* ---- Sending and landing ------------------------------------------------------------------------------- */

/* What was done where the row's site is. */
static const char *site_is_of(const sl_row *row)
{
    return row->state == SL__ROW_REMOVED ? "removed" : row->snapshot ? "changed" : "made";
}

static SL_NORETURN void fail_writing(flush *f, sl_row *row, const char *verb, sl_error *error)
{
    sl_error *told =
        sl__error_new(row->site, error->code, "%s (%s at %s:%d) cannot be %s: %s", sl__row_named(row),
                      site_is_of(row), row->site->file, row->site->line, verb, error->message);
    if (error->hint)
        sl_error_hint(told, "%s", error->hint);
    else if (error->code == SL_EEXIST && row->state == SL__ROW_ADDED)
        sl_error_hint(told,
                      "sl_add_unless stores it unless there is one already, and sl_put changes that one");
    sl_error_cause(told, error);
    for (; f->count; f->count--, f->first++)
        sl__run_end(&f->flights[f->first % f->limit].running);
    sl__session_fail(row->site, f->session, told);
}

static const char *verb_of(const sl_row *row)
{
    return row->state == SL__ROW_REMOVED ? "removed" : "stored";
}

static SL_NORETURN void fail_missing(flush *f, sl_row *row)
{
    bool version = row->model->info->version >= 0;
    sl_error *error =
        version ? sl_error_hint(sl__error_new(row->site, SL_ECONFLICT,
                                              "somebody else has changed it since it was read"),
                                "read it again and decide anew; sl_transact with .retries does that")
                : sl_error_hint(sl__error_new(row->site, SL_ENOROW, "it is not there any more"),
                                "hold it with sl_load_locked, or give its model a version (SL_VERSION)");
    fail_writing(f, row, verb_of(row), error);
}

static void written(sl_session *session, sl__table *table, sl__write *write)
{
    sl_row *row = write->row;
    const sl__model_info *info = table->info;
    if (write->parked) {
        if (info->version >= 0) {
            ++*(int64_t *)((char *)row + info->all[info->version].offset);
            if (row->snapshot)
                ++*(int64_t *)((char *)row->snapshot + info->all[info->version].offset);
        }
        return;
    }
    if (row->state == SL__ROW_ADDED) {
        sl__row_stored(session, table, row);
        return;
    }
    sl__touch(session, row, /* inserted= */ false);
    if (row->state == SL__ROW_REMOVED) {
        sl__row_gone(session, row);
        row->snapshot = NULL;
        row->position = 0;
        return;
    }
    if (info->version >= 0)
        ++*(int64_t *)((char *)row + info->all[info->version].offset);
    for (unsigned i = 0; i < info->key_count; i++)
        if (write->columns >> info->keys[i] & 1) {
            sl__map_remove(session, row);
            sl__map_add(session, table, row);
            break;
        }
    sl__row_written(session, row);
}

static sl_error *read_key(flight *f)
{
    const sl__model_info *info = f->table->info;
    uint64_t *nulls = sl__nulls_of(f->write.row);
    return f->running.cursor->driver->read(f->running.cursor, 0, &info->all[info->automatic], 1, f->write.row,
                                           nulls, NULL);
}

static void land(flush *f)
{
    flight *landing = &f->flights[f->first % f->limit];
    sl_row *row = landing->write.row;
    bool inserted = row->state == SL__ROW_ADDED, more = true;
    sl_error *error = NULL;
    while (more && !error) {
        error = sl__run_step(&landing->running, &more);
        if (!error && more)
            error = read_key(landing);
    }
    int64_t changed = error ? 0 : landing->running.cursor->changed,
            key = error ? 0 : landing->running.cursor->key;
    sl__run_end(&landing->running);
    f->first++;
    f->count--;
    if (error)
        fail_writing(f, row, verb_of(row), error);
    const sl__model_info *info = landing->table->info;
    if (inserted && info->whole_key) {
        int64_t *member = (int64_t *)((char *)row + info->all[info->automatic].offset);
        if (!*member)
            *member = key;
        *sl__nulls_of(row) &= ~(UINT64_C(1) << info->automatic);
    } else if (!inserted && !changed) {
        fail_missing(f, row);
    }
    written(f->session, landing->table, &landing->write);
}

static void land_all(flush *f)
{
    while (f->count)
        land(f);
}

/* Whether it must wait for the answers to what was sent: for a key. */
static bool must_wait(const sl_row *row)
{
    for (const sl__pending *p = row->pending; p; p = p->next)
        if (!p->expression && p->target->state == SL__ROW_ADDED)
            return true;
    return false;
}

static const sl__statement *prepare(flush *f, flight *next)
{
    sl_row *row = next->write.row;
    sl__table *table = next->table;
    sl_value *values = next->values;
    unsigned left_out, count;
    if (next->write.parked) {
        park_values(f->site, row, next->write.parked, values);
        put_key(row, values + __builtin_popcountll(next->write.parked));
        return sl__update_statement(table, next->write.parked);
    }
    if (row->state == SL__ROW_REMOVED) {
        put_key(row, values);
        return &table->remove;
    }
    sl__row_fill_links(f->site, row, /* last= */ true);
    if (row->state == SL__ROW_ADDED) {
        const sl__statement *insert = sl__insert_of(table, row, &left_out);
        sl__row_values(row, UINT64_MAX, left_out, values);
        return insert;
    }
    count = sl__row_values(row, next->write.columns, SL_COLUMNS_MAX, values);
    put_key(row, values + count);
    return sl__update_statement(table, next->write.columns);
}

static void depart(flush *f, sl__write write)
{
    if (f->count == f->limit || must_wait(write.row))
        land_all(f);
    flight *next = &f->flights[(f->first + f->count) % f->limit];
    next->write = write;
    next->table = sl__table_of(f->site, f->session->store->stores, write.row->model);
    sl__statement statement = *prepare(f, next);
    statement.values = next->values;
    statement.site = write.row->site;
    sl_error *error = sl__run_begin(f->session, &statement, &next->running);
    if (error) {
        sl__run_end(&next->running);
        fail_writing(f, write.row, verb_of(write.row), error);
    }
    f->count++;
    if (f->limit == 1)
        land(f);
}

/* What the database computes is one more statement, and the object is read anew. */
static void apply_expressions(flush *f, sl_row *row)
{
    sl__pending *pending = row->pending;
    row->pending = NULL;
    if (!sl__row_assign(row->site, f->session, row, pending))
        fail_missing(f, row);
    if (row->position) /* its only change was that */
        sl__row_unchanged(f->session, row);
    sl__touch(f->session, row, /* inserted= */ false);
    sl__row_refresh(f->site, f->session, sl__table_of(f->site, f->session->store->stores, row->model), row);
}

/* Room for the values of one row, or in SQLite of several that go together. */
static void make_flights(flush *f, const sl__write *writes, size_t count)
{
    bool postgres = f->session->store->dialect == SL__POSTGRES;
    size_t columns = 0, most = postgres ? IN_FLIGHT : 1, rows = postgres || !count ? 1 : count;
    for (size_t i = 0; i < count; i++)
        if (writes[i].row->model->column_count > columns)
            columns = writes[i].row->model->column_count;
    f->limit = (unsigned)(count < most && count ? count : most);
    f->flights = sl_arena_alloc(f->session->arena, f->limit * sizeof(flight));
    size_t room = (rows < SL__ROWS_MAX ? rows : SL__ROWS_MAX) * columns + SL__KEY_PARTS + 1;
    for (unsigned i = 0; i < f->limit; i++)
        f->flights[i].values = sl_arena_alloc(f->session->arena, room * sizeof(sl_value));
}

/* Several new rows by one statement: gives how many, or 0 where they must go one by one. */
static size_t depart_together(flush *f, const sl__write *writes, size_t count, const sl_row *before)
{
    bool written_all;
    size_t some = sl__rows_together(f->session, writes, count, before);
    if (!some)
        return 0;
    sl_error *error = sl__rows_insert(f->session, writes, some, before, f->flights[0].values, &written_all);
    if (error)
        fail_writing(f, writes->row, verb_of(writes->row), error);
    return written_all ? some : 0;
}

static void send_each(flush *f, const sl__write *writes, size_t count)
{
    const sl_row *before = NULL; /* the last one, where the database gave it its key */
    for (size_t i = 0, some; i < count; i += some) {
        sl_row *row = writes[i].row;
        bool given = row->state == SL__ROW_ADDED && sl__row_lacks_key(row);
        some = depart_together(f, writes + i, count - i, before);
        if (!some && (writes[i].columns || writes[i].parked || row->state == SL__ROW_REMOVED))
            depart(f, writes[i]);
        some = some ? some : 1;
        before = given ? writes[i + some - 1].row : NULL;
    }
}

static void *call_flushed(void *data)
{
    sl_row *row = data;
    row->model->flushed(row);
    return NULL;
}

/* It is written: a hook that fails must not leave half of what was to be done. */
void sl__row_tell_flushed(sl_session *session, sl_row *row)
{
    void *ignored;
    sl_error *error = sl__catch_exit(call_flushed, row, &ignored);
    if (error)
        sl__session_fail(row->site, session, error);
}

/* Whether rows of another table go, or are changed, with one of this model's: by the database, and unseen
 * here. */
static bool takes_along(const sl_stores *stores, const sl_model *model)
{
    for (unsigned t = 0; t < stores->table_count; t++) {
        const sl_model *other = stores->tables[t] ? stores->tables[t]->model : NULL;
        for (unsigned i = 0; other && i < other->column_count; i++) {
            const sl_column *column = &other->columns[i];
            if (column->refers && column->on_delete != SL_RESTRICT &&
                sl__model_number(column->refers()) == model->index)
                return true;
        }
    }
    return false;
}

static bool others_may_have_changed(const sl_session *session, const sl__write *writes, size_t count)
{
    const sl_model *seen = NULL;
    for (size_t i = 0; i < count; i++) {
        const sl_row *row = writes[i].row;
        if (row->state != SL__ROW_GONE || row->model == seen)
            continue;
        seen = row->model;
        if (takes_along(session->store->stores, seen))
            return true;
    }
    return false;
}

static void send_all(flush *f, const sl__write *writes, size_t count)
{
    make_flights(f, writes, count);
    send_each(f, writes, count);
    land_all(f);
    if (others_may_have_changed(f->session, writes, count))
        f->session->generation++; /* objects are read anew when they are next looked for */
    for (size_t i = 0; i < count; i++) {
        sl_row *row = writes[i].row;
        if (has_expression(row))
            apply_expressions(f, row);
        row->pending = NULL;
        if (!row->model->flushed || row->state != SL__ROW_STORED)
            continue;
        f->call->runs = true;
        sl__row_tell_flushed(f->session, row);
        f->call->runs = false;
    }
}

/* What hooks and other tasks have put down meanwhile is for the next time. */
static void forget(sl_session *session, uint32_t done)
{
    session->todo_count -= done;
    memmove(session->todo, session->todo + done, session->todo_count * sizeof *session->todo);
    for (uint32_t i = 0; i < session->todo_count; i++)
        if (session->todo[i])
            session->todo[i]->position = i + 1;
}

static void write_all(flush *f)
{
    sl_session *session = f->session;
    f->call->runs = true;
    call_before_flush(session);
    size_t count;
    uint32_t all = session->todo_count;
    sl__write *writes = collect(f->site, session, all, &count);
    f->call->runs = false;
    if (needs_order(writes, count))
        writes = sl__order(f->site, session, writes, count, &count);
    send_all(f, writes, count);
    if (!sl__transaction_is_over(session->transaction)) /* meanwhile: then nothing is to be written */
        forget(session, all);
}

static bool calls_out(const sl_session *session)
{
    for (uint32_t i = 0; i < session->todo_count; i++)
        if (session->todo[i] && session->todo[i]->model->info->called)
            return true;
    return false;
}

static void write_changes(const sl_site *site, sl_session *session)
{
    if (!session->todo_count || !session->transaction || !enter(session->transaction, site))
        return;
    sl_transaction *t SL_CLEANUP(sl__flush_leave) = session->transaction;
    if (t->savepoint) /* that may have been begun while this task waited */
        sl__savepoint_stranger(site, t);
    call *c SL_CLEANUP(call_over) = &(call){.transaction = t};
    flush f = {.site = site, .session = session, .call = c};
    if (!calls_out(session)) {
        write_all(&f);
        return;
    }
    f.call = c = sl_arena_alloc(t->arena, sizeof *c);
    *c = (call){.transaction = t};
    SL_WITH(&call_key, c);
    write_all(&f);
}

void sl__session_flush(const sl_site *site, sl_session *session)
{
    sl__session_look_again(session, /* all= */ false);
    write_changes(site, session);
}

void sl__session_save(const sl_site *site, sl_session *session)
{
    sl__session_look_again(session, /* all= */ true);
    write_changes(site, session);
}

void sl__save(const sl_site *site)
{
    sl_transaction *t = sl_transaction_current();
    for (sl_session *s = t ? t->first : NULL; s; s = s->next)
        sl__session_save(site, s);
}
