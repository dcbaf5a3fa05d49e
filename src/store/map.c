/* map.c: the map by which a session has one object for each key.
 *
 * It is a hash table without chains: an object stands in the slot that its hash says, or in the next one that
 * is free. The hashes stand by themselves, sixteen to a line of the processor's cache, so that looking for
 * what is not there, and growing, touch no object: those lie all over memory, and to fetch them would take
 * longer than all else that happens here. */
#include "store/store.h"

enum { SLOTS_FIRST = 64 };

/* ---- Hashes -------------------------------------------------------------------------------------------- */

static uint64_t mixed_part(uint64_t h, const sl_key_part *part)
{
    if (part->kind == SL_KIND_INTEGER)
        return sl__mixed(h, (uint64_t)part->integer);
    if (part->kind == SL_KIND_TEXT)
        return sl__mixed(h, part->text ? sl__shape_of(part->text, strlen(part->text)) : 0);
    uint64_t words[2];
    memcpy(words, part->uuid.bytes, sizeof words);
    return sl__mixed(sl__mixed(h, words[0]), words[1]);
}

uint64_t sl__key_mixed(unsigned model, const sl_key_part *key, unsigned count)
{
    uint64_t h = model;
    for (unsigned i = 0; i < count; i++)
        h = mixed_part(h, &key[i]);
    return h;
}

static bool same_part(const sl_key_part *a, const sl_key_part *b)
{
    if (a->kind == SL_KIND_INTEGER)
        return a->integer == b->integer;
    if (a->kind == SL_KIND_UUID)
        return memcmp(&a->uuid, &b->uuid, sizeof a->uuid) == 0;
    return a->text && b->text && strcmp(a->text, b->text) == 0;
}

bool sl__key_same(const sl_key_part *a, const sl_key_part *b, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        if (!same_part(&a[i], &b[i]))
            return false;
    return true;
}

static bool has_key(const sl__table *table, const sl_row *row, const sl_key_part *key)
{
    const sl__model_info *info = table->info;
    if (row->model->index != table->model->index)
        return false;
    if (info->key_count == 1 && key->kind == SL_KIND_INTEGER)
        return *(const int64_t *)((const char *)row + info->all[info->keys[0]].offset) == key->integer;
    sl_key_part own[SL__KEY_PARTS];
    sl__key_of(info, row, own);
    return sl__key_same(own, key, info->key_count);
}

/* ---- The map ------------------------------------------------------------------------------------------- */

sl_row *sl__map_find_hashed(const sl_session *session, const sl__table *table, const sl_key_part *key,
                            uint32_t hash)
{
    if (!session->map_count)
        return NULL;
    uint32_t mask = session->map_size - 1;
    for (uint32_t i = hash & mask; session->map_hashes[i]; i = (i + 1) & mask)
        if (session->map_hashes[i] == hash && has_key(table, session->map[i], key))
            return session->map[i];
    return NULL;
}

static void put(sl_session *session, sl_row *row, uint32_t hash)
{
    uint32_t mask = session->map_size - 1, i = hash & mask;
    while (session->map_hashes[i])
        i = (i + 1) & mask;
    session->map[i] = row;
    session->map_hashes[i] = hash;
}

static void grow(sl_session *session)
{
    sl_row **rows = session->map;
    const uint32_t *hashes = session->map_hashes;
    uint32_t size = session->map_size;
    session->map_size = size ? 2 * size : SLOTS_FIRST;
    session->map = sl_arena_alloc(session->arena, session->map_size * (sizeof *rows + sizeof *hashes));
    session->map_hashes = (uint32_t *)(session->map + session->map_size);
    memset(session->map_hashes, 0, session->map_size * sizeof *hashes);
    for (uint32_t i = 0; i < size; i++)
        if (hashes[i])
            put(session, rows[i], hashes[i]);
}

void sl__map_put(sl_session *session, sl_row *row, uint32_t hash)
{
    if (4 * session->map_count >= 3 * session->map_size)
        grow(session);
    row->hash = hash;
    put(session, row, hash);
    session->map_count++;
    session->map_added++;
}

/* One with the same key that is still here is no more what is stored: its row was deleted by others, or its
 * insertion was undone, before the database gave the key again. */
static void supersede(sl_session *session, const sl__table *table, const sl_key_part *key, uint32_t hash)
{
    sl_row *old = sl__map_find_hashed(session, table, key, hash);
    if (!old || old->state != SL__ROW_STORED)
        return;
    sl__touch(session, old, /* inserted= */ false);
    old->position = 0;
    old->pending = NULL;
    sl__row_gone(session, old);
}

void sl__map_add(sl_session *session, const sl__table *table, sl_row *row)
{
    sl_key_part key[SL__KEY_PARTS];
    sl__key_of(table->info, row, key);
    uint32_t hash = sl__hash_of(table, key);
    supersede(session, table, key, hash);
    sl__map_put(session, row, hash);
}

/* Those behind it that could not stand where they belong move up. */
static void empty_slot(sl_session *session, uint32_t hole)
{
    uint32_t mask = session->map_size - 1;
    for (uint32_t i = (hole + 1) & mask; session->map_hashes[i]; i = (i + 1) & mask)
        if (((i - session->map_hashes[i]) & mask) >= ((i - hole) & mask)) {
            session->map[hole] = session->map[i];
            session->map_hashes[hole] = session->map_hashes[i];
            hole = i;
        }
    session->map_hashes[hole] = 0;
    session->map_count--;
}

void sl__map_remove(sl_session *session, sl_row *row)
{
    uint32_t mask = session->map_size - 1;
    if (!session->map_count)
        return;
    for (uint32_t i = row->hash & mask; session->map_hashes[i]; i = (i + 1) & mask)
        if (session->map[i] == row) {
            empty_slot(session, i);
            return;
        }
}

sl_row *sl__map_next(const sl_session *session, uint32_t *position)
{
    while (*position < session->map_size) {
        uint32_t i = (*position)++;
        if (session->map_hashes[i])
            return session->map[i];
    }
    return NULL;
}
