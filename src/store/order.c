/* order.c: in which order things are written.
 *
 * What is written stays in the order in which it was put down, but for what must come before something else:
 *  - what is referred to is inserted before what refers to it, and what refers is removed (or points
 * elsewhere) before what it referred to is removed;
 *  - who gives up a value of a unique key comes before who takes it;
 *  - if that can be, what is changed and would be taken along (ON DELETE) comes before what takes it.
 * Each write is visited in turn, and what must come before it is visited first, depth first. A loop with a
 * unique value in it (two objects exchange theirs) is opened by parking: who has it is first given a value of
 * no meaning. A loop of references is an error. */
#include "store/store.h"
#include "core/task.h"

#include <stdlib.h>

typedef struct edge {
    uint32_t before; /* the write that comes first */
    uint64_t unique; /* the columns that it gives up; 0: a reference */
    struct edge *next;
} edge;

enum { UNSEEN, OPEN, DONE };

typedef struct node {
    edge *edges, **last_edge;
    edge *next;      /* of the edges: the one to look at */
    edge *entered;   /* by which the visit came */
    uint64_t parked; /* columns that were given a value of no meaning */
    uint8_t mark;
} node;

/* Who gives up a value of a unique key: by a hash of model, columns and values. */
typedef struct given {
    uint64_t hash;
    uint32_t write;
    uint64_t columns;
    struct given *next;
} given;

/* A new row whose key its maker has set: by a hash of model and key. */
typedef struct made {
    uint32_t hash;
    sl_row *row;
    struct made *next;
} made;

typedef struct order {
    const sl_site *site;
    sl_session *session;
    const sl__write *writes;
    size_t count;
    node *nodes;
    uint32_t *place; /* of a row, by its position in what is to be written: its write + 1 */
    given **given;   /* buckets */
    size_t given_size, given_count;
    made **made; /* as many buckets */
    bool wishes; /* what is only better is kept as well */
    sl__write *out;
    size_t out_count;
} order;

static void *take(order *o, size_t size)
{
    return sl_arena_zalloc(o->session->arena, size);
}

static void add_edge(order *o, uint32_t before, uint32_t after, uint64_t unique)
{
    if (before == after)
        return;
    edge *e = take(o, sizeof *e);
    *e = (edge){.before = before, .unique = unique};
    node *n = &o->nodes[after]; /* at the end, so that what was put down first stays first */
    *(n->last_edge ? n->last_edge : &n->edges) = e;
    n->last_edge = &e->next;
}

/* ---- References ---------------------------------------------------------------------------------------- */

static bool write_of(const order *o, const sl_row *row, uint32_t *ret_write)
{
    if (!row || !row->position || row->position > o->session->todo_count || !o->place[row->position - 1])
        return false;
    *ret_write = o->place[row->position - 1] - 1;
    return o->writes[*ret_write].row == row;
}

static uint64_t mixed(uint64_t h, uint64_t value)
{
    h = (h ^ value) * UINT64_C(0x9E3779B97F4A7C15);
    return h ^ h >> 29;
}

/* False where the row has no single key, or none yet. */
static bool key_of(const sl_row *row, sl_key_part *ret_key)
{
    const sl__model_info *info = row->model->info;
    if (info->key_count != 1)
        return false;
    sl__key_of(info, row, ret_key);
    return ret_key->kind == SL_KIND_INTEGER ? !info->whole_key || ret_key->integer
                                            : ret_key->kind != SL_KIND_TEXT || ret_key->text;
}

static void note_made(order *o)
{
    o->made = take(o, o->given_size * sizeof *o->made);
    for (size_t i = 0; i < o->count; i++) {
        sl_row *row = o->writes[i].row;
        sl_key_part key;
        if (row->state != SL__ROW_ADDED || !key_of(row, &key))
            continue;
        made *m = take(o, sizeof *m);
        *m = (made){.hash = sl__key_hash(row->model->index, &key, 1), .row = row};
        made **bucket = &o->made[m->hash & (o->given_size - 1)];
        m->next = *bucket;
        *bucket = m;
    }
}

/* What a column of `object`, a row or its snapshot, says. False: NULL, or what has no single key. */
static bool reference_of(const sl_row *row, const void *object, unsigned column, sl_key_part *ret_key)
{
    if (*(const uint64_t *)((const char *)object + row->model->null_offset) >> column & 1)
        return false;
    *ret_key = sl__key_part_of(&row->model->info->all[column], object);
    return ret_key->kind != SL_KIND_TEXT || ret_key->text;
}

/* The new object that a column will refer to: linked, or with this key. */
static sl_row *refers_to_new(const order *o, const sl_row *row, unsigned column)
{
    for (const sl__pending *p = row->pending; p; p = p->next)
        if (p->column == column && p->target && p->target->state == SL__ROW_ADDED && sl__link_holds(row, p))
            return p->target;
    unsigned model = sl__model_number(row->model->columns[column].refers());
    sl_key_part key, own;
    if (!reference_of(row, row, column, &key))
        return NULL;
    uint32_t hash = sl__key_hash(model, &key, 1);
    for (made *m = o->made[hash & (o->given_size - 1)]; m; m = m->next)
        if (m->hash == hash && m->row->model->index == model && key_of(m->row, &own) &&
            sl__key_same(&own, &key, 1))
            return m->row;
    return NULL;
}

/* The object that a column of a stored row refers to. */
static sl_row *referred_to(const order *o, const sl_row *row, unsigned column)
{
    sl_key_part key;
    sl_model *model = row->model->columns[column].refers();
    sl__table *table = sl__table_of(o->site, o->session->store->stores, model);
    const void *stored = row->snapshot ? row->snapshot : row;
    if (table->info->key_count != 1 || !reference_of(row, stored, column, &key))
        return NULL;
    return sl__map_find(o->session, table, &key);
}

static void add_references(order *o, uint32_t i)
{
    const sl_row *row = o->writes[i].row;
    const sl__model_info *info = row->model->info;
    for (unsigned column = 0; column < row->model->column_count; column++) {
        if (!(info->refers >> column & 1))
            continue;
        uint32_t other;
        sl_row *now = row->state == SL__ROW_REMOVED ? NULL : refers_to_new(o, row, column);
        if (write_of(o, now, &other))
            add_edge(o, other, i, 0);
        bool kept = row->state == SL__ROW_STORED && !(o->writes[i].columns >> column & 1);
        if (row->state == SL__ROW_ADDED || (kept && !o->wishes))
            continue;
        sl_row *then = referred_to(o, row, column);
        if (write_of(o, then, &other) && o->writes[other].row->state == SL__ROW_REMOVED)
            add_edge(o, i, other, 0);
    }
}

/* ---- Unique keys --------------------------------------------------------------------------------------- */

/* 0 where one of the columns is NULL: such a key is in nobody's way. */
static uint64_t hash_of(const sl_row *row, const void *object, uint64_t columns)
{
    uint64_t h = mixed(row->model->index, columns);
    uint64_t nulls = *(const uint64_t *)((const char *)object + row->model->null_offset);
    for (unsigned i = 0; i < row->model->column_count; i++) {
        if (!(columns >> i & 1))
            continue;
        if (nulls >> i & 1)
            return 0;
        sl_value value;
        sl__value_from_field(&row->model->info->all[i], object, nulls, &value);
        bool text = value.kind == SL_KIND_TEXT || value.kind == SL_KIND_BYTES || value.kind == SL_KIND_ENUM;
        if (value.kind == SL_KIND_DECIMAL) /* at the column's scale; its bits have gaps */
            h = mixed(h, (uint64_t)value.decimal.units);
        else
            h = mixed(h, text ? sl__shape_of(value.text.data, value.text.size)
                              : sl__shape_of((const char *)object + row->model->columns[i].offset,
                                             row->model->columns[i].size));
    }
    return h ? h : 1;
}

static uint64_t columns_named(const sl_model *model, const char *names)
{
    uint64_t columns = 0;
    for (const char *at = names; *at; at += strspn(at, ", ")) {
        size_t size = strcspn(at, ", ");
        for (unsigned i = 0; i < model->column_count; i++)
            if (strlen(model->columns[i].name) == size && strncmp(model->columns[i].name, at, size) == 0)
                columns |= UINT64_C(1) << i;
        at += size;
    }
    return columns;
}

typedef void unique_fn(order *o, uint32_t write, uint64_t columns);

static void each_unique(order *o, uint32_t write, unique_fn *fn)
{
    const sl_model *model = o->writes[write].row->model;
    const sl__model_info *info = model->info;
    uint64_t key = 0;
    for (unsigned i = 0; i < info->key_count; i++)
        key |= UINT64_C(1) << info->keys[i];
    fn(o, write, key);
    for (unsigned i = 0; i < model->column_count; i++)
        if (model->columns[i].unique && !model->columns[i].primary_key)
            fn(o, write, UINT64_C(1) << i);
    for (unsigned i = 0; i < SL__MODEL_INDEXES; i++)
        if (sl__model_index(model, i)->columns && sl__model_index(model, i)->unique)
            fn(o, write, columns_named(model, sl__model_index(model, i)->columns));
}

static void give(order *o, uint32_t i, uint64_t columns)
{
    const sl__write *write = &o->writes[i];
    const sl_row *row = write->row;
    if (row->state == SL__ROW_ADDED || (row->state == SL__ROW_STORED && !(write->columns & columns)))
        return;
    uint64_t hash = hash_of(row, row->snapshot ? row->snapshot : (const void *)row, columns);
    if (!hash)
        return;
    given *g = take(o, sizeof *g);
    given **bucket = &o->given[hash & (o->given_size - 1)];
    *g = (given){.hash = hash, .write = i, .columns = columns, .next = *bucket};
    *bucket = g;
    o->given_count++;
}

static void need(order *o, uint32_t i, uint64_t columns)
{
    const sl__write *write = &o->writes[i];
    if (write->row->state == SL__ROW_REMOVED ||
        (write->row->state == SL__ROW_STORED && !(write->columns & columns)))
        return;
    uint64_t hash = hash_of(write->row, write->row, columns);
    for (given *g = hash ? o->given[hash & (o->given_size - 1)] : NULL; g; g = g->next)
        if (g->hash == hash)
            add_edge(o, g->write, i, g->columns);
}

/* ---- The order ----------------------------------------------------------------------------------------- */

static SL_NORETURN void fail_loop(order *o, const uint32_t *stack, size_t depth, uint32_t again)
{
    SL_CLEANUP(sl_buffer_done) sl_buffer names = {0};
    size_t from = depth;
    while (from && stack[from - 1] != again)
        from--;
    for (size_t i = from ? from - 1 : 0; i < depth; i++)
        sl_buffer_printf(&names, "%s (%s:%d), ", sl__row_named(o->writes[stack[i]].row),
                         o->writes[stack[i]].row->site->file, o->writes[stack[i]].row->site->line);
    names.size -= 2;
    sl_error *error =
        sl__error_new(o->site, SL_ELOOP, "these refer to each other, so none can be written first: %.*s",
                      (int)names.size, names.data);
    sl__session_fail(
        o->site, o->session,
        sl_error_hint(error,
                      "call sl_save() before one of the links is made, where it may be NULL until then"));
}

/* A column of a unique key that a row can do without for a while. By its own key it is found. */
static uint64_t parkable(const sl__write *write, uint64_t columns)
{
    if (write->row->state == SL__ROW_ADDED)
        return 0;
    for (unsigned i = 0; i < write->row->model->column_count; i++)
        if (write->row->model->columns[i].primary_key)
            columns &= ~(UINT64_C(1) << i);
    return columns & -columns; /* of several one is enough */
}

static void park(order *o, uint32_t write, uint64_t columns)
{
    o->nodes[write].parked |= columns;
    o->out[o->out_count++] = (sl__write){.row = o->writes[write].row, .parked = columns};
}

static void enter(order *o, uint32_t write, edge *by)
{
    node *n = &o->nodes[write];
    n->mark = OPEN;
    n->next = n->edges;
    n->entered = by;
}

/* The stack ends with a loop, which `closing` closes. Who gives up a value in it is parked; then who takes it
 * need not wait any more, and what was entered since is visited another time. Gives the new depth; 0: there
 * is no such. */
static size_t open_loop(order *o, const uint32_t *stack, size_t depth, edge *closing)
{
    uint64_t columns = parkable(&o->writes[closing->before], closing->unique);
    if (columns) {
        park(o, closing->before, columns);
        return depth;
    }
    for (size_t i = depth - 1; stack[i] != closing->before; i--) {
        columns = parkable(&o->writes[stack[i]], o->nodes[stack[i]].entered->unique);
        if (!columns)
            continue;
        park(o, stack[i], columns);
        for (size_t j = i; j < depth; j++)
            o->nodes[stack[j]].mark = UNSEEN;
        return i;
    }
    return 0;
}

/* With a stack of its own: lines of references may be long. False where wishes may have made a loop. */
static bool visit(order *o, uint32_t start, uint32_t *stack)
{
    size_t depth = 0;
    if (o->nodes[start].mark != UNSEEN)
        return true;
    enter(o, start, NULL);
    stack[depth++] = start;
    while (depth) {
        node *n = &o->nodes[stack[depth - 1]];
        edge *e = n->next;
        if (!e) {
            n->mark = DONE;
            o->out[o->out_count++] = o->writes[stack[--depth]];
            continue;
        }
        n->next = e->next;
        node *before = &o->nodes[e->before];
        if (before->mark == DONE || before->parked & e->unique)
            continue;
        if (before->mark == UNSEEN) {
            enter(o, e->before, e);
            stack[depth++] = e->before;
            continue;
        }
        size_t opened = open_loop(o, stack, depth, e);
        if (!opened && o->wishes)
            return false;
        if (!opened)
            fail_loop(o, stack, depth, e->before);
        depth = opened;
    }
    return true;
}

static bool arrange(order *o, bool wishes)
{
    o->wishes = wishes;
    o->given_count = o->out_count = 0;
    o->nodes = take(o, o->count * sizeof(node));
    o->given = take(o, o->given_size * sizeof *o->given);
    for (uint32_t i = 0; i < o->count; i++)
        each_unique(o, i, give);
    for (uint32_t i = 0; i < o->count; i++) {
        add_references(o, i);
        each_unique(o, i, need);
    }
    o->out = take(o, (o->count + o->given_count) * sizeof *o->out);
    uint32_t *stack = take(o, (o->count + 1) * sizeof *stack);
    for (uint32_t i = 0; i < o->count; i++)
        if (!visit(o, i, stack))
            return false;
    return true;
}

sl__write *sl__order(const sl_site *site, sl_session *session, const sl__write *writes, size_t count,
                     size_t *ret_count)
{
    order o = {.site = site, .session = session, .writes = writes, .count = count, .given_size = 16};
    while (o.given_size < count)
        o.given_size *= 2;
    o.place = take(&o, (session->todo_count + 1) * sizeof *o.place);
    for (uint32_t i = 0; i < count; i++)
        if (writes[i].row->position)
            o.place[writes[i].row->position - 1] = i + 1;
    note_made(&o);
    if (!arrange(&o, /* wishes= */ true))
        arrange(&o, /* wishes= */ false);
    *ret_count = o.out_count;
    return o.out;
}
