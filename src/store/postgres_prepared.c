/* postgres_prepared.c: the prepared statements of a line.
 *
 * A table from shape and types to what the server has under a name, and a list by last use. Those that are
 * too many are told to the server at a point where no transaction could be hurt by it. */
#include "store/postgres_inside.h"

#include <stdio.h>
#include <stdlib.h>

static sl__pg_prepared **bucket_of(sl__pg_cache *cache, uint64_t key)
{
    return &cache->buckets[(key ^ key >> 32) & (SL__PG_BUCKETS - 1)];
}

static void unlink_used(sl__pg_cache *cache, sl__pg_prepared *p)
{
    *(p->newer ? &p->newer->older : &cache->newest) = p->older;
    *(p->older ? &p->older->newer : &cache->oldest) = p->newer;
}

static void link_newest(sl__pg_cache *cache, sl__pg_prepared *p)
{
    p->newer = NULL;
    p->older = cache->newest;
    *(cache->newest ? &cache->newest->newer : &cache->oldest) = p;
    cache->newest = p;
}

sl__pg_prepared *sl__pg_prepared_find(sl__pg_cache *cache, uint64_t key, const sl__statement *statement,
                                      const Oid *types)
{
    for (sl__pg_prepared *p = *bucket_of(cache, key); p; p = p->next)
        if (p->key == key && p->size == statement->size && p->count == statement->count &&
            memcmp(p->sql, statement->sql, p->size) == 0 &&
            (!p->count || memcmp(p->types, types, p->count * sizeof *types) == 0)) {
            if (p != cache->newest) {
                unlink_used(cache, p);
                link_newest(cache, p);
            }
            return p;
        }
    return NULL;
}

sl__pg_prepared *sl__pg_prepared_add(sl__pg_cache *cache, uint64_t key, const sl__statement *statement,
                                     const Oid *types)
{
    size_t of_types = statement->count * sizeof *types;
    sl__pg_prepared *p = sl_calloc(1, sizeof *p + of_types + statement->size + 1);
    p->types = (Oid *)(p + 1);
    p->sql = (char *)(p + 1) + of_types;
    if (of_types)
        memcpy(p->types, types, of_types);
    memcpy(p->sql, statement->sql, statement->size);
    p->key = key;
    p->size = statement->size;
    p->count = statement->count;
    p->cached = true;
    snprintf(p->name, sizeof p->name, "sl_%016llx_%x_%u", (unsigned long long)key, p->size, cache->epoch);
    sl__pg_prepared **bucket = bucket_of(cache, key);
    p->next = *bucket;
    *bucket = p;
    link_newest(cache, p);
    cache->count++;
    return p;
}

static void free_if_unused(sl__pg_line *line, sl__pg_prepared *p)
{
    if (p->cached || p->uses)
        return;
    line->pq->clear(p->failure);
    free(p);
}

void sl__pg_prepared_drop(sl__pg_line *line, sl__pg_prepared *prepared)
{
    sl__pg_cache *cache = &line->cache;
    if (!prepared->cached)
        return;
    sl__pg_prepared **at = bucket_of(cache, prepared->key);
    while (*at != prepared)
        at = &(*at)->next;
    *at = prepared->next;
    unlink_used(cache, prepared);
    cache->count--;
    prepared->cached = false;
    free_if_unused(line, prepared);
}

void sl__pg_prepared_release(sl__pg_line *line, sl__pg_prepared *prepared)
{
    if (!prepared)
        return;
    prepared->uses--;
    free_if_unused(line, prepared);
}

void sl__pg_cache_clear(sl__pg_line *line)
{
    while (line->cache.oldest)
        sl__pg_prepared_drop(line, line->cache.oldest);
}

void sl__pg_cache_trim(sl__pg_line *line)
{
    bool said = false;
    while (line->conn && line->cache.count > SL__PG_PREPARED_MAX && line->cache.oldest->uses == 0) {
        char text[64];
        snprintf(text, sizeof text, "DEALLOCATE %s", line->cache.oldest->name);
        sl__pg_prepared_drop(line, line->cache.oldest);
        line->pool->counts.forgets++;
        said = sl__pg_say(line, text, /* silent= */ true);
    }
    if (said)
        sl__pg_sync(line);
}
