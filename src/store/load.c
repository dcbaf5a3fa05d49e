/* load.c: objects by their keys, and what is done with one object. */
#include "store/answer.h"
#include "core/task.h"

/* ---- By key -------------------------------------------------------------------------------------------- */

static void check_key(const sl_site *site, const sl__table *table, const sl_key_part *key, size_t count)
{
    const sl__model_info *info = table->info;
    if (count != info->key_count)
        sl__fail_error(
            site,
            sl_error_hint(sl__error_new(site, SL_EINVAL, "the key of %s has %u column%s, and %zu %s given",
                                        table->model->name, info->key_count, info->key_count == 1 ? "" : "s",
                                        count, count == 1 ? "is" : "are"),
                          "give them all, in the order of the model's list"));
    for (size_t i = 0; i < count; i++) {
        const sl__field *field = &info->all[info->keys[i]];
        if (field->kind != key[i].kind)
            sl__fail(site, SL_EINVAL, "the key column %s of %s is of another type than the value given",
                     field->name, table->model->name);
        if (key[i].kind == SL_KIND_TEXT && key[i].text && !sl_utf8_valid(key[i].text, strlen(key[i].text)))
            sl__fail_error(site, sl_error_hint(sl__error_new(site, SL_EINVALID,
                                                             "the value given for the key column %s of %s is "
                                                             "not UTF-8",
                                                             field->name, table->model->name),
                                               "look at what comes from outside before it is asked for"));
    }
}

/* `absent`: the hash of a key that the session has not; or 0. */
static sl_row *read_by_key(const sl_site *site, sl_session *session, const sl__table *table,
                           const sl__statement *by_key, const sl_key_part *key, uint32_t absent)
{
    uint32_t added = session->map_added;
    sl_value values[SL__KEY_PARTS];
    sl__key_values(key, table->info->key_count, values);
    sl__statement statement = *by_key;
    statement.values = values;
    statement.site = site;
    sl__running running SL_CLEANUP(sl__run_end);
    bool found = false;
    sl_error *error = sl__run_begin(session, &statement, &running);
    if (!error)
        error = sl__run_step(&running, &found);
    if (__builtin_expect(error != NULL, 0))
        sl__session_fail(site, session, error);
    if (!found)
        return NULL;
    /* Where nobody has added anything meanwhile it is not there. */
    return absent && session->map_added == added ? sl__row_read_new(&running, table, key, absent)
                                                 : sl__row_read(&running, table, 0);
}

static void *load(const sl_site *site, sl_session *session, const sl__table *table, const sl_key_part *key)
{
    uint32_t hash = sl__hash_of(table, key);
    sl_row *row = sl__map_find_hashed(session, table, key, hash);
    if (!row && session->todo_count) {
        sl__session_flush(site, session);
        row = sl__map_find_hashed(session, table, key, hash);
    }
    if (!row) {
        row = read_by_key(site, session, table, &table->get, key, /* absent= */ hash);
        sl__session_leave(session);
        return row;
    }
    if (row->state != SL__ROW_STORED)
        return NULL;
    if (__builtin_expect(row->generation != session->generation, 0) && !sl__row_edited(row) &&
        !sl__row_refresh(site, session, table, row))
        return NULL;
    return row;
}

void *sl__load(const sl_site *site, sl_model *model, const sl_key_part *key, size_t count)
{
    sl__table *table;
    sl_session *session = sl__session_for(site, model, /* writes= */ false, &table);
    check_key(site, table, key, count);
    return load(site, session, table, key);
}

/* "5", "(3, Ann)" */
static const char *key_text(const sl_key_part *key, size_t count)
{
    SL_CLEANUP(sl_buffer_done) sl_buffer text = {0};
    sl__put_key(&text, key, (unsigned)count);
    return sl_strdup(text.data);
}

void *sl__need(const sl_site *site, sl_model *model, const sl_key_part *key, size_t count)
{
    void *object = sl__load(site, model, key, count);
    if (!object)
        sl__fail(site, SL_HTTP(404), "there is no %s %s", model->name, key_text(key, count));
    return object;
}

void *sl__load_locked(const sl_site *site, sl_model *model, const sl_key_part *key, size_t count)
{
    sl__table *table;
    sl_session *session = sl__session_for(site, model, /* writes= */ true, &table);
    check_key(site, table, key, count);
    sl__session_settle(site, session);
    sl_row *row = sl__map_find(session, table, key);
    if (row)
        row->generation = session->generation - 1; /* what was read before it was held may be old */
    return read_by_key(site, session, table, &table->locked, key, /* absent= */ 0);
}

/* ---- An object's session ------------------------------------------------------------------------------- */

static SL_NORETURN void not_ours(const sl_site *site, const sl_row *row, const char *verb)
{
    static const char *const why[] = {
        [SL__ROW_NEW] = "it was not added",
        [SL__ROW_ADDED] = "it is to be stored",
        [SL__ROW_STORED] = "it belongs to another transaction, or to one that has ended",
        [SL__ROW_REMOVED] = "it was removed",
        [SL__ROW_GONE] = "it is deleted",
        [SL__ROW_FREE] = ("it was read without a transaction, or rolled back, or sl_put or sl_add_many has "
                          "stored it"),
        [SL__ROW_LENT] = "it is lent by SL_EACH for one round",
    };
    sl__fail_error(site, sl_error_hint(sl__error_new(site, SL_EINVAL, "%s cannot be %s: %s",
                                                     sl__row_named(row), verb, why[row->state]),
                                       "read it with sl_load, in the transaction that changes it"));
}

/* What was looked for and is not there is NULL. */
static inline void check_object(const sl_site *site, const sl_row *row, const char *verb)
{
    if (__builtin_expect(!row, 0))
        sl__fail_error(site,
                       sl_error_hint(sl__error_new(site, SL_EINVAL, "NULL cannot be %s", verb),
                                     "there was no such object: look whether sl_load or the query gave one, "
                                     "or use sl_need, which answers 404"));
}

/* The session of an object that lives in the transaction at hand. */
static sl_session *session_of(const sl_site *site, const sl_row *row, bool writes, const char *verb)
{
    if (row->state != SL__ROW_STORED && row->state != SL__ROW_ADDED)
        not_ours(site, row, verb);
    sl__table *table;
    sl_session *session = sl__session_for(site, row->model, writes, &table);
    if (session != row->session)
        not_ours(site, row, verb);
    if (__builtin_expect(writes && row->position && session->transaction->flusher, 0)) {
        sl__flush_wait(site, session->transaction);
        if (row->state != SL__ROW_STORED && row->state != SL__ROW_ADDED)
            not_ours(site, row, verb);
    }
    return session;
}

void *sl__reload(const sl_site *site, const sl_row *const_row)
{
    sl_row *row = (sl_row *)const_row;
    check_object(site, row, "read anew");
    sl_session *session = session_of(site, row, /* writes= */ false, "read anew");
    if (row->state == SL__ROW_ADDED)
        sl__session_flush(site, session);
    if (row->state != SL__ROW_STORED) /* a hook asks while it is written */
        not_ours(site, row, "read anew");
    if (row->position) {
        session->todo[row->position - 1] = NULL;
        row->position = 0;
    }
    bool there = sl__row_refresh(site, session, sl__row_table(site, row), row);
    if (row->model->info->refers)
        sl__sets_drop(session, row->model->index); /* it may refer to another now */
    return there ? row : NULL;
}

void *sl__edit(const sl_site *site, const sl_row *const_row)
{
    sl_row *row = (sl_row *)const_row;
    check_object(site, row, "edited");
    if (row->state == SL__ROW_NEW)
        return row;
    sl_session *session = session_of(site, row, /* writes= */ true, "edited");
    row->site = site;
    if (row->position) /* it is edited, or added */
        return row;
    if (__builtin_expect(row->generation != session->generation, 0) && !sl__row_edited(row) &&
        !sl__row_refresh(site, session, sl__row_table(site, row), row))
        not_ours(site, row, "edited");
    if (!row->snapshot)
        sl__row_image(session, row);
    sl__row_todo(site, session, row);
    return row;
}

void *sl__list_grown(sl_arena *arena, void *items, uint32_t count, uint32_t *size, size_t item_size)
{
    if (count < *size)
        return items;
    *size = *size ? 2 * *size : 16;
    void *longer = sl_arena_alloc(arena, *size * item_size);
    if (count)
        memcpy(longer, items, count * item_size);
    return longer;
}

void sl__row_todo(const sl_site *site, sl_session *session, sl_row *row)
{
    row->site = site;
    if (row->position)
        return;
    session->todo = sl__list_grown(session->arena, session->todo, session->todo_count, &session->todo_size,
                                   sizeof *session->todo);
    session->todo[session->todo_count++] = row;
    row->position = session->todo_count;
}

void sl__touch(sl_session *session, sl_row *row, bool inserted)
{
    if (!session->transaction->savepoint)
        return;
    session->touched = sl__list_grown(session->arena, session->touched, session->touched_count,
                                      &session->touched_size, sizeof *session->touched);
    session->touched[session->touched_count++] = (sl__touched){row, inserted, row->snapshot};
}

void *sl__add(const sl_site *site, sl_row *row)
{
    if (row->state != SL__ROW_NEW) {
        session_of(site, row, /* writes= */ true, "added"); /* it is stored, or about to be */
        return row;
    }
    sl__table *table;
    sl_session *session = sl__session_for(site, row->model, /* writes= */ true, &table);
    row->session = session;
    row->state = SL__ROW_ADDED;
    sl__row_todo(site, session, row);
    return row;
}

void sl__remove(const sl_site *site, const sl_row *const_row)
{
    sl_row *row = (sl_row *)const_row;
    check_object(site, row, "removed");
    if (row->state == SL__ROW_REMOVED)
        return;
    sl_session *session = session_of(site, row, /* writes= */ true, "removed");
    if (row->state == SL__ROW_ADDED) { /* it never was */
        session->todo[row->position - 1] = NULL;
        row->position = 0;
        row->state = SL__ROW_NEW;
        return;
    }
    row->state = SL__ROW_REMOVED;
    sl__row_todo(site, session, row);
}

/* The nodes of an expression lie in the memory of whoever made it. */
static void lose(void *data)
{
    sl__pending *pending = data;
    pending->lost = true;
}

void sl__set_expression(const sl_site *site, const sl_row *const_row, const sl_node *column,
                        const sl_node *expression)
{
    sl_row *row = sl__edit(site, const_row);
    const sl__table *table = sl__row_table(site, row);
    sl__session_of(site, table->store, /* writes= */ true);
    sl__nodes_in(site, table, &expression, 1);
    if (row->state != SL__ROW_STORED)
        not_ours(site, row, "given an expression");
    sl__pending_drop(row, sl__column_of(column)); /* the last one counts */
    sl__pending *pending = sl_arena_alloc(row->session->arena, sizeof *pending);
    *pending = (sl__pending){
        .next = row->pending, .column = sl__column_of(column), .node = column, .expression = expression};
    row->pending = pending;
    sl_defer(lose, pending);
}

/* ---- Lazy columns -------------------------------------------------------------------------------------- */

static void read_lazy(const sl_site *site, sl_session *session, const sl__table *table, sl_row *row,
                      unsigned column)
{
    /* A selection of one expression by key: lazy columns are rare, and large. */
    const sl__model_info *info = table->info;
    sl_key_part key[SL__KEY_PARTS];
    sl__key_of(info, row->snapshot ? row->snapshot : row, key); /* as it is stored */
    SL_CLEANUP(sl_buffer_done) sl_buffer sql = {0};
    sl_buffer_puts(&sql, "SELECT ");
    sl__put_name(&sql, row->model->columns[column].name);
    sl_buffer_puts(&sql, " FROM ");
    sl__put_name(&sql, sl__model_table(row->model));
    for (unsigned i = 0; i < info->key_count; i++) {
        sl_buffer_puts(&sql, i ? " AND " : " WHERE ");
        sl__put_name(&sql, row->model->columns[info->keys[i]].name);
        sl_buffer_printf(&sql, " = %c%u", table->store->dialect == SL__SQLITE ? '?' : '$', i + 1);
    }
    sl_value values[SL__KEY_PARTS];
    sl__key_values(key, info->key_count, values);
    sl__statement statement = {.sql = sql.data,
                               .size = (uint32_t)sql.size,
                               .shape = sl__shape_of(sql.data, sql.size),
                               .values = values,
                               .count = info->key_count,
                               .quick = true,
                               .site = site};
    sl__running running SL_CLEANUP(sl__run_end);
    bool found = false;
    sl_error *error = sl__run_begin(session, &statement, &running);
    if (!error)
        error = sl__run_step(&running, &found);
    if (!error && found)
        error = running.cursor->driver->read(running.cursor, 0, &info->all[column], 1, row, sl__nulls_of(row),
                                             session->arena);
    if (error)
        sl__session_fail(site, session, error);
    row->loaded |= UINT64_C(1) << column;
    if (row->state != SL__ROW_LENT) /* that one's is dropped with it */
        sl__json_keep(session, row, UINT64_C(1) << column);
    if (row->snapshot)
        sl__row_image_lazy(session, row, column);
}

const void *sl__lazy(const sl_site *site, const sl_row *const_row, const sl_node *node)
{
    sl_row *row = (sl_row *)const_row;
    unsigned column = sl__column_of(node);
    const sl__model_info *info = sl__model_info_of(site, row->model);
    const void *member = (const char *)row + info->all[column].offset;
    bool known = !(info->lazy >> column & 1) || row->loaded >> column & 1 || row->state == SL__ROW_NEW ||
                 row->state == SL__ROW_ADDED || (!(*sl__nulls_of(row) >> column & 1));
    if (known)
        return member;
    if (row->state == SL__ROW_GONE)
        not_ours(site, row, "looked into");
    sl__table *table;
    sl_session *session = sl__session_for(site, row->model, /* writes= */ false, &table);
    read_lazy(site, session, table, row, column);
    sl__session_leave(session);
    return member;
}
