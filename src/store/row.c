/* row.c: objects: their keys, how they are read, and what they are called. */
#include "store/store.h"
#include "core/task.h"

#include <inttypes.h>
#include <jansson.h>

/* ---- Keys ---------------------------------------------------------------------------------------------- */

sl_key_part sl__key_part_of(const sl__field *field, const void *object)
{
    const char *member = (const char *)object + field->offset;
    if (field->kind == SL_KIND_INTEGER)
        return sl__key_integer(*(const int64_t *)member);
    if (field->kind == SL_KIND_TEXT)
        return sl__key_text(*(const char *const *)member);
    return sl__key_uuid(*(const sl_uuid *)member);
}

void sl__key_of(const sl__model_info *info, const sl_row *row, sl_key_part *ret_parts)
{
    for (unsigned i = 0; i < info->key_count; i++)
        ret_parts[i] = sl__key_part_of(&info->all[info->keys[i]], row);
}

void sl__key_values(const sl_key_part *parts, unsigned count, sl_value *ret_values)
{
    for (unsigned i = 0; i < count; i++) {
        ret_values[i] = (sl_value){.kind = parts[i].kind};
        if (parts[i].kind == SL_KIND_INTEGER)
            ret_values[i].integer = parts[i].integer;
        else if (parts[i].kind == SL_KIND_UUID)
            ret_values[i].uuid = parts[i].uuid;
        else
            ret_values[i].text = sl_view_of(parts[i].text);
        ret_values[i].null = parts[i].kind == SL_KIND_TEXT && !parts[i].text;
    }
}

/* ---- JSON that objects hold ---------------------------------------------------------------------------- */

typedef struct sl__kept {
    struct sl__kept *next;
    json_t *json;
} sl__kept;

static void drop_json(void *json)
{
    json_decref(json);
}

/* Takes over the reference. */
static void keep(sl_transaction *t, json_t *json)
{
    if (!t) {
        sl_defer(drop_json, json);
        return;
    }
    sl__kept *kept = sl_arena_alloc(t->arena, sizeof *kept);
    *kept = (sl__kept){t->kept, json};
    t->kept = kept;
}

json_t *sl_json_owned(json_t *json)
{
    if (json)
        keep(sl_transaction_current(), json);
    return json;
}

void sl__json_keep(sl_session *session, const sl_row *row, uint64_t columns)
{
    const sl__model_info *info = row->model->info;
    for (uint64_t left = info->json & columns; left; left &= left - 1) {
        json_t *json = *(json_t *const *)((const char *)row + info->all[__builtin_ctzll(left)].offset);
        if (json)
            keep(session->transaction, json);
    }
}

void sl__json_hold(sl_session *session, sl_row *row, json_t **held)
{
    const sl__model_info *info = row->model->info;
    for (uint64_t left = info->json; left; left &= left - 1, held++) {
        json_t *json = *(json_t *const *)((const char *)row + info->all[__builtin_ctzll(left)].offset);
        if (json && json != *held)
            keep(session->transaction, json_incref(json));
        *held = json;
    }
}

void sl__kept_drop(sl_transaction *t)
{
    for (sl__kept *kept = t->kept; kept; kept = kept->next)
        json_decref(kept->json);
}

void sl__json_drop(sl_row *row)
{
    const sl__model_info *info = row->model->info;
    for (uint64_t left = info->json; left; left &= left - 1) {
        json_t **member = (json_t **)((char *)row + info->all[__builtin_ctzll(left)].offset);
        json_decref(*member);
        *member = NULL;
    }
}

/* ---- Reading ------------------------------------------------------------------------------------------- */

static sl_row *row_new(sl_session *session, sl_model *model)
{
    sl_row *row = session->spare;
    session->spare = NULL;
    if (!row || row->model != model) {
        row = sl_arena_alloc(session->arena, model->size);
        if (model->info->lazy)
            memset(row, 0, model->size);
    }
    *row = (sl_row){.model = model, .session = session, .generation = session->generation};
    *sl__nulls_of(row) = model->info->lazy;
    return row;
}

static void read_into(sl__running *running, const sl__model_info *info, unsigned first, sl_row *row,
                      sl_arena *arena)
{
    sl_error *error = running->cursor->driver->read(running->cursor, first, info->fields, info->read_count,
                                                    row, sl__nulls_of(row), arena);
    if (__builtin_expect(error != NULL, 0))
        sl__run_fail(running, error);
}

/* Lazy columns are read again when they are asked for. */
static void forget_lazy(const sl__model_info *info, sl_row *row)
{
    row->loaded = 0;
    for (unsigned i = 0; info->lazy && i < row->model->column_count; i++)
        if (info->lazy >> i & 1)
            memset((char *)row + info->all[i].offset, 0, row->model->columns[i].size);
    *sl__nulls_of(row) |= info->lazy;
}

void sl__row_lend(sl__running *running, const sl__model_info *info, unsigned first, sl_row *row)
{
    read_into(running, info, first, row, /* arena= */ NULL);
    if (__builtin_expect(info->lazy != 0, 0)) /* what was asked for of the one before */
        forget_lazy(info, row);
}

static void loaded(sl_session *session, sl_row *row)
{
    if (__builtin_expect(row->model->info->json != 0, 0))
        sl__json_keep(session, row, UINT64_MAX);
    if (__builtin_expect(row->model->loaded != NULL, 0))
        row->model->loaded(row);
}

/* An object that was there is as it is stored again. Who got it to write to still may. */
static void read_again(sl_session *session, sl_row *row)
{
    row->generation = session->generation;
    loaded(session, row);
    if (row->snapshot || row->open)
        sl__row_written(session, row);
}

/* Only the key, to see whether the object is there already. Text is lent. */
static void read_key(sl__running *running, const sl__model_info *info, unsigned first, sl_row *row)
{
    uint64_t nulls;
    for (unsigned i = 0, position = 0; i < info->key_count; i++) {
        while (info->reads[position] != info->keys[i])
            position = position + 1 < info->read_count ? position + 1 : 0;
        sl_error *error = running->cursor->driver->read(running->cursor, first + position,
                                                        &info->fields[position], 1, row, &nulls, NULL);
        if (__builtin_expect(error != NULL, 0))
            sl__run_fail(running, error);
    }
}

/* `hash`: its key's, where there is a transaction. */
static sl_row *read_new(sl__running *running, const sl__table *table, unsigned first, sl_row *row,
                        uint32_t hash)
{
    sl_session *session = running->session;
    read_into(running, table->info, first, row, session->arena);
    row->state = session->transaction ? SL__ROW_STORED : SL__ROW_FREE;
    if (session->transaction)
        sl__map_put(session, row, hash);
    loaded(session, row);
    return row;
}

sl_row *sl__row_read_new(sl__running *running, const sl__table *table, const sl_key_part *key, uint32_t hash)
{
    /* A text that the database takes for the same may be another one (COLLATE NOCASE), which is there. */
    bool exact = table->info->key_count == 1 && key->kind == SL_KIND_INTEGER;
    return exact ? read_new(running, table, 0, row_new(running->session, table->model), hash)
                 : sl__row_read(running, table, 0);
}

static inline void read_there(sl__running *running, const sl__table *table, unsigned first, sl_row *there)
{
    sl_session *session = running->session;
    if (there->state != SL__ROW_STORED || sl__row_edited(there))
        return;
    sl__touch(session, there, /* inserted= */ false);
    read_into(running, table->info, first, there, session->arena);
    forget_lazy(table->info, there);
    read_again(session, there);
}

static inline sl_row *find_there(sl__running *running, const sl__table *table, unsigned first, sl_row *spare,
                                 uint32_t *ret_hash)
{
    sl_key_part key[SL__KEY_PARTS];
    read_key(running, table->info, first, spare);
    sl__key_of(table->info, spare, key);
    *ret_hash = sl__hash_of(table, key);
    return sl__map_find_hashed(running->session, table, key, *ret_hash);
}

static inline sl_row *read_row(sl__running *running, const sl__table *table, unsigned first, bool over)
{
    sl_session *session = running->session;
    sl_row *row = row_new(session, table->model);
    if (!session->transaction)
        return read_new(running, table, first, row, /* hash= */ 0);
    uint32_t hash;
    sl_row *there = find_there(running, table, first, row, &hash);
    if (!there)
        return read_new(running, table, first, row, hash);
    session->spare = row;
    if (over || there->generation != session->generation)
        read_there(running, table, first, there);
    return there;
}

sl_row *sl__row_read_stored(sl__running *running, const sl__table *table, sl_row *row)
{
    sl_session *session = running->session;
    sl_row *spare = row_new(session, table->model);
    uint32_t hash;
    sl_row *there = find_there(running, table, 0, spare, &hash);
    session->spare = spare;
    if (there) {
        row->state = SL__ROW_FREE;
        read_there(running, table, 0, there);
        return there;
    }
    *row = (sl_row){.model = row->model, .session = session, .generation = session->generation};
    forget_lazy(table->info, row);
    return read_new(running, table, 0, row, hash);
}

sl_row *sl__row_read(sl__running *running, const sl__table *table, unsigned first)
{
    return read_row(running, table, first, /* over= */ false);
}

sl_row *sl__row_read_over(sl__running *running, const sl__table *table)
{
    return read_row(running, table, 0, /* over= */ true);
}

void sl__row_gone(sl_session *session, sl_row *row)
{
    sl__map_remove(session, row);
    row->state = SL__ROW_GONE;
    session->sets = NULL; /* somebody else may have deleted it */
}

bool sl__row_refresh(const sl_site *site, sl_session *session, const sl__table *table, sl_row *row)
{
    sl_key_part key[SL__KEY_PARTS];
    sl_value values[SL__KEY_PARTS];
    sl__key_of(table->info, row->snapshot ? row->snapshot : row, key); /* as it is stored */
    sl__key_values(key, table->info->key_count, values);
    sl__statement statement = table->get;
    statement.values = values;
    statement.site = site;
    sl__running running SL_CLEANUP(sl__run_end);
    bool found = false;
    sl_error *error = sl__run_begin(session, &statement, &running);
    if (!error)
        error = sl__run_step(&running, &found);
    if (error)
        sl__session_fail(site, session, error);
    if (row->state != SL__ROW_STORED || row->position) /* it was edited or removed meanwhile */
        return row->state == SL__ROW_STORED;
    sl__touch(session, row, /* inserted= */ false); /* what is read may be undone */
    row->pending = NULL;
    forget_lazy(table->info, row);
    if (found) {
        read_into(&running, table->info, 0, row, session->arena);
        read_again(session, row);
    } else {
        sl__row_gone(session, row);
    }
    return found;
}

/* ---- What an object is called -------------------------------------------------------------------------- */

sl__table *sl__row_table(const sl_site *site, const sl_row *row)
{
    return sl__table_of(site, sl__stores_here(true), row->model);
}

void sl__put_key(sl_buffer *out, const sl_key_part *key, unsigned count)
{
    sl_buffer_puts(out, count > 1 ? "(" : "");
    for (unsigned i = 0; i < count; i++) {
        char uuid[SL_UUID_SIZE];
        sl_buffer_puts(out, i ? ", " : "");
        if (key[i].kind == SL_KIND_INTEGER)
            sl_buffer_printf(out, "%" PRId64, key[i].integer);
        else if (key[i].kind == SL_KIND_UUID)
            sl_buffer_puts(out, sl_uuid_text(key[i].uuid, uuid));
        else
            sl_buffer_puts(out, key[i].text ? key[i].text : "NULL");
    }
    sl_buffer_puts(out, count > 1 ? ")" : "");
}

const char *sl__row_named(const sl_row *row)
{
    const sl__model_info *info = row->model->info;
    sl_key_part key[SL__KEY_PARTS];
    sl__key_of(info, row, key);
    if (info->whole_key && !key[0].integer)
        return sl_printf("a new %s", row->model->name);
    SL_CLEANUP(sl_buffer_done) sl_buffer text = {0};
    sl_buffer_printf(&text, "%s ", row->model->name);
    sl__put_key(&text, key, info->key_count);
    return sl_strdup(text.data);
}
