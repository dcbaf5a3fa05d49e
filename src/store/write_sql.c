/* write_sql.c: the text of statements and their parameters.
 *
 * Most statements are short: they are written into the writer itself, on the stack, and copied to the task's
 * arena when they are done. Values never come into the text, so that two queries of one shape have the same
 * text, and a driver prepares it once. */
#include "store/compile.h"

void sl__writer_init(sl__writer *w, sl__dialect dialect, const sl_site *site)
{
    /* Not the buffers, which are large. */
    memset(w, 0, offsetof(sl__writer, first_text));
    w->dialect = dialect;
    w->site = site;
    w->text = w->first_text;
    w->capacity = sizeof w->first_text;
    w->values = w->first_values;
    w->room = sl_array_size(w->first_values);
}

static void *copied(const void *data, size_t size, size_t room)
{
    void *copy = sl_alloc(room);
    if (size)
        memcpy(copy, data, size);
    return copy;
}

void sl__writer_grow(sl__writer *w, size_t more)
{
    size_t capacity = w->capacity * 2;
    while (capacity - w->size < more)
        capacity *= 2;
    w->text = copied(w->text, w->size, capacity);
    w->capacity = capacity;
}

void sl__writer_finish(sl__writer *w, sl__statement *ret_statement)
{
    sl__put(w, "", 1);
    size_t size = w->size - 1;
    const char *sql = w->text == w->first_text ? copied(w->text, w->size, w->size) : w->text;
    const sl_value *values = w->values == w->first_values && w->count
                                 ? copied(w->values, w->count * sizeof *values, w->count * sizeof *values)
                                 : w->values;
    *ret_statement = (sl__statement){.sql = sql,
                                     .size = (uint32_t)size,
                                     .count = w->count,
                                     .shape = sl__shape_of(sql, size),
                                     .values = w->count ? values : NULL,
                                     .site = w->site};
}

void sl__put_number(sl__writer *w, uint64_t number)
{
    char digits[20], *at = digits + sizeof digits;
    do {
        *--at = (char)('0' + number % 10);
        number /= 10;
    } while (number);
    sl__put(w, at, (size_t)(digits + sizeof digits - at));
}

/* ---- Names --------------------------------------------------------------------------------------------- */

static void put_quoted(sl__writer *w, const char *name)
{
    for (const char *quote; (quote = strchr(name, '"')); name = quote + 1) {
        sl__put(w, name, (size_t)(quote - name));
        SL__PUT(w, "\"\"");
    }
    sl__puts(w, name);
}

void sl__put_identifier(sl__writer *w, const char *name)
{
    size_t size = strlen(name);
    if (__builtin_expect(memchr(name, '"', size) != NULL, 0)) {
        SL__PUT(w, "\"");
        put_quoted(w, name);
        SL__PUT(w, "\"");
        return;
    }
    if (__builtin_expect(size + 2 > w->capacity - w->size, 0))
        sl__writer_grow(w, size + 2);
    char *at = w->text + w->size;
    at[0] = '"';
    memcpy(at + 1, name, size);
    at[size + 1] = '"';
    w->size += size + 2;
}

/* ---- Parameters ---------------------------------------------------------------------------------------- */

/* The parameter that this node is already, or 0. */
static uint32_t shared_number(const sl__writer *w, const sl_node *node, const sl_value *value)
{
    for (uint32_t i = 0; w->shared && i < w->count; i++)
        if (w->shared[i] == node &&
            (value->kind != SL_KIND_DECIMAL || w->values[i].decimal.scale == value->decimal.scale))
            return i + 1;
    return 0;
}

static void add_value(sl__writer *w, const sl_value *value, const sl_node *node)
{
    if (w->count == SL__PARAMETERS_MAX)
        sl__senseless(w->site, "ask in several queries, or keep the values in a table and use sl_in_found",
                      "a query with more than %d parameters", SL__PARAMETERS_MAX);
    const char *wrong = sl__value_wrong(value);
    if (wrong)
        sl__fail_error(w->site,
                       sl_error_hint(sl__error_new(w->site, SL_EINVALID, "a value of the query %s", wrong),
                                     "look at what comes from outside before it is asked for"));
    if (w->count == w->room) {
        w->room *= 2;
        w->values = copied(w->values, w->count * sizeof *w->values, w->room * sizeof *w->values);
        if (w->shared)
            w->shared = copied(w->shared, w->count * sizeof *w->shared, w->room * sizeof *w->shared);
    }
    if (w->share && !w->shared)
        w->shared = sl_zalloc(w->room * sizeof *w->shared);
    if (w->shared)
        w->shared[w->count] = node;
    w->values[w->count++] = *value;
}

void sl__put_parameter(sl__writer *w, const sl_value *value, const sl_node *node, bool cast)
{
    uint32_t number = w->share && node ? shared_number(w, node, value) : 0;
    if (!number) {
        add_value(w, value, node);
        number = w->count;
    }
    bool postgres = w->dialect == SL__POSTGRES;
    if (postgres)
        SL__PUT(w, "$");
    else
        SL__PUT(w, "?");
    sl__put_number(w, number);
    if (cast && postgres) {
        bool decimal = value->kind == SL_KIND_DECIMAL; /* of any scale */
        SL__PUT(w, "::");
        sl__puts(w, decimal ? "numeric" : sl__sql_type(SL__POSTGRES, &(sl_column){.kind = value->kind}));
    }
}

/* ---- Shapes -------------------------------------------------------------------------------------------- */

/* Of two numbers one in which each bit depends on all of theirs: the halves of the product, folded (as wyhash
 * does). */
static inline uint64_t mixed(uint64_t a, uint64_t b)
{
#if defined(__SIZEOF_INT128__)
    __extension__ typedef unsigned __int128 wide;
    wide product = (wide)a * b;
    return (uint64_t)product ^ (uint64_t)(product >> 64);
#else
    uint64_t low = (a & UINT32_MAX) * (b & UINT32_MAX), high = (a >> 32) * (b >> 32);
    uint64_t first = (a >> 32) * (b & UINT32_MAX), second = (a & UINT32_MAX) * (b >> 32);
    uint64_t middle = (low >> 32) + (first & UINT32_MAX) + (second & UINT32_MAX);
    low = (low & UINT32_MAX) | middle << 32;
    high += (first >> 32) + (second >> 32) + (middle >> 32);
    return low ^ high;
#endif
}

static inline uint64_t eight_bytes(const char *at)
{
    uint64_t number;
    memcpy(&number, at, sizeof number);
    return number;
}

uint64_t sl__shape_of(const char *sql, size_t size)
{
    /* Odd numbers with as many ones as zeros, in no order. */
    const uint64_t one = UINT64_C(0x9e3779b97f4a7c15), two = UINT64_C(0xd1b54a32d192ed03);
    uint64_t hash = mixed(size ^ one, two);
    for (; size > 16; sql += 16, size -= 16)
        hash = mixed(eight_bytes(sql) ^ one, eight_bytes(sql + 8) ^ hash);
    char rest[16] = {0};
    if (size)
        memcpy(rest, sql, size);
    hash = mixed(eight_bytes(rest) ^ two, eight_bytes(rest + 8) ^ hash);
    hash = mixed(hash, one);
    return hash ? hash : 1;
}
