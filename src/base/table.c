/* table.c: a hash table in order of insertion, as Python's dict is built.
 *
 * The entries stand in an array in the order in which they came; a second array of 32-bit indexes,
 * open-addressed with linear probing, finds them by their hash. Removed entries leave a gap until the next
 * growth. The hash is SipHash-1-3, keyed at random for each table (Aumasson and Bernstein, "SipHash: a fast
 * short-input PRF", 2012). */
#include <silver/base.h>

#include <stdlib.h>
#include <sys/random.h>
#include <time.h>

typedef struct entry {
    char *key; /* NULL: removed */
    void *value;
    uint64_t hash;
} entry;

struct sl_table {
    sl_free_fn *free_value;
    uint64_t seed[2];
    entry *entries;
    size_t entry_count, entry_capacity; /* with gaps */
    size_t live;
    uint32_t *index;   /* entry number + 1; 0 is free */
    size_t index_size; /* a power of two */
};

static inline uint64_t rotate(uint64_t x, int by)
{
    return x << by | x >> (64 - by);
}

static inline void sip_round(uint64_t v[4])
{
    v[0] += v[1], v[1] = rotate(v[1], 13) ^ v[0], v[0] = rotate(v[0], 32);
    v[2] += v[3], v[3] = rotate(v[3], 16) ^ v[2];
    v[0] += v[3], v[3] = rotate(v[3], 21) ^ v[0];
    v[2] += v[1], v[1] = rotate(v[1], 17) ^ v[2], v[2] = rotate(v[2], 32);
}

static uint64_t sip_hash(const uint64_t seed[2], const char *data, size_t size)
{
    uint64_t v[4] = {seed[0] ^ 0x736f6d6570736575u, seed[1] ^ 0x646f72616e646f6du,
                     seed[0] ^ 0x6c7967656e657261u, seed[1] ^ 0x7465646279746573u};
    uint64_t word, last = (uint64_t)size << 56;
    for (; size >= 8; data += 8, size -= 8) {
        memcpy(&word, data, 8);
        v[3] ^= word;
        sip_round(v);
        v[0] ^= word;
    }
    for (size_t i = 0; i < size; i++)
        last |= (uint64_t)(unsigned char)data[i] << (8 * i);
    v[3] ^= last;
    sip_round(v);
    v[0] ^= last;
    v[2] ^= 0xff;
    sip_round(v), sip_round(v), sip_round(v);
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}

sl_table *sl_table_new(sl_free_fn *free_value)
{
    sl_table *table = sl_calloc(1, sizeof *table);
    table->free_value = free_value;
    if (getrandom(table->seed, sizeof table->seed, GRND_NONBLOCK) != sizeof table->seed) {
        /* Before the kernel's generator is ready a weaker seed must do. */
        table->seed[0] = sl_monotonic_ns();
        table->seed[1] = (uint64_t)(uintptr_t)table;
    }
    return table;
}

static void drop(sl_table *table, entry *e)
{
    entry dropped = *e;
    *e = (entry){0}; /* first: freeing the value may change the table */
    if (dropped.key && table->free_value)
        table->free_value(dropped.value);
    free(dropped.key);
}

sl_table *sl_table_free(sl_table *table)
{
    if (!table)
        return NULL;
    for (size_t i = 0; i < table->entry_count; i++)
        drop(table, &table->entries[i]);
    free(table->entries);
    free(table->index);
    free(table);
    return NULL;
}

static entry *find(const sl_table *table, const char *key, uint64_t hash)
{
    if (table->live == 0)
        return NULL;
    size_t mask = table->index_size - 1;
    for (size_t i = hash & mask; table->index[i]; i = (i + 1) & mask) {
        entry *e = &table->entries[table->index[i] - 1];
        if (e->key && e->hash == hash && strcmp(e->key, key) == 0)
            return e;
    }
    return NULL;
}

static uint64_t hash_key(const sl_table *table, const char *key)
{
    return sip_hash(table->seed, key, strlen(key));
}

void *sl_table_get(const sl_table *table, const char *key)
{
    entry *e = find(table, key, hash_key(table, key));
    return e ? e->value : NULL;
}

/* Closes the gaps and makes room; the index is built anew, at most half full. */
static void grow(sl_table *table)
{
    size_t kept = 0;
    for (size_t i = 0; i < table->entry_count; i++)
        if (table->entries[i].key)
            table->entries[kept++] = table->entries[i];
    table->entry_count = kept;
    table->entry_capacity = kept < 4 ? 8 : kept * 2;
    table->entries = sl_realloc(table->entries, table->entry_capacity * sizeof *table->entries);

    free(table->index);
    for (table->index_size = 16; table->index_size < table->entry_capacity * 2;)
        table->index_size *= 2;
    table->index = sl_calloc(table->index_size, sizeof *table->index);
    for (size_t i = 0; i < kept; i++) {
        size_t at = table->entries[i].hash & (table->index_size - 1);
        while (table->index[at])
            at = (at + 1) & (table->index_size - 1);
        table->index[at] = (uint32_t)i + 1;
    }
}

void sl_table_set(sl_table *table, const char *key, void *value)
{
    uint64_t hash = hash_key(table, key);
    entry *e = find(table, key, hash);
    if (e) {
        void *old = e->value;
        e->value = value;
        if (table->free_value && old != value)
            table->free_value(old);
        return;
    }
    if (table->entry_count == table->entry_capacity)
        grow(table);
    size_t at = hash & (table->index_size - 1);
    while (table->index[at])
        at = (at + 1) & (table->index_size - 1);
    table->entries[table->entry_count++] = (entry){sl_strdup_heap(key), value, hash};
    table->index[at] = (uint32_t)table->entry_count;
    table->live++;
}

bool sl_table_remove(sl_table *table, const char *key)
{
    entry *e = find(table, key, hash_key(table, key));
    if (!e)
        return false;
    table->live--;
    drop(table, e); /* its place in the index stays until the next growth, as a gap that matches nothing */
    return true;
}

size_t sl_table_size(const sl_table *table)
{
    return table->live;
}

bool sl_table_next(const sl_table *table, size_t *cursor, const char **ret_key, void **ret_value)
{
    for (; *cursor < table->entry_count; ++*cursor) {
        const entry *e = &table->entries[*cursor];
        if (!e->key)
            continue;
        *ret_key = e->key;
        *ret_value = e->value;
        ++*cursor;
        return true;
    }
    return false;
}
