/* answer.c: what is asked of a selection. */
#include "store/answer.h"
#include "core/task.h"

#include <jansson.h>

/* ---- One object -------------------------------------------------------------------------------------- */

static sl_row *read_one(const sl_site *site, const sl_selection *selection, sl__what what, unsigned most,
                        bool *ret_more)
{
    if (selection->none)
        return NULL;
    const sl__row_list *kept = sl__preloaded(site, selection);
    if (kept) {
        if (most > 1)
            *ret_more = kept->count > 1;
        return kept->count ? kept->items[0] : NULL;
    }
    sl__reading reading SL_CLEANUP(sl__reading_end) = {0};
    sl__reading_begin(site, selection, what, most, /* lent= */ false, &reading);
    sl_row *row = sl__reading_next(&reading);
    if (row && most > 1)
        *ret_more = sl__reading_next(&reading) != NULL;
    if (row && selection->preload_count) {
        sl__run_end(&reading.running);
        sl__preload_all(site, reading.session, selection, &row, 1);
    }
    return row;
}

static void need_order(const sl_site *site, const sl_selection *selection, const char *what)
{
    if (selection->order_count)
        return;
    sl__fail_error(site,
                   sl_error_hint(sl__error_new(site, SL_EINVAL, "the %s of what has no order is any", what),
                                 "add sl_ascending(…) or sl_descending(…), or ask for sl_some"));
}

void *sl__first(const sl_site *site, const sl_selection *selection)
{
    need_order(site, selection, "first");
    return read_one(site, selection, SL__ROWS, 1, NULL);
}

void *sl__last(const sl_site *site, const sl_selection *selection)
{
    need_order(site, selection, "last");
    return read_one(site, selection, SL__BACKWARDS, 1, NULL);
}

void *sl__some(const sl_site *site, const sl_selection *selection)
{
    return read_one(site, selection, SL__ROWS, 1, NULL);
}

void *sl__one(const sl_site *site, const sl_selection *selection)
{
    bool more = false;
    sl_row *row = read_one(site, selection, SL__ROWS, 2, &more);
    if (more)
        sl__fail_error(
            site,
            sl_error_hint(sl__error_new(site, SL_EMANY, "there is more than one such %s", row->model->name),
                          "narrow what is looked for, or take one with sl_first or sl_some"));
    return row;
}

/* ---- All of them ------------------------------------------------------------------------------------- */

void *sl__list(const sl_site *site, const sl_selection *selection)
{
    if (selection->none)
        return sl_zalloc(sizeof(sl__row_list));
    const sl__row_list *kept = sl__preloaded(site, selection);
    if (kept)
        return (void *)kept;
    sl__reading reading SL_CLEANUP(sl__reading_end) = {0};
    sl__reading_begin(site, selection, SL__ROWS, -1, /* lent= */ false, &reading);
    sl_arena *arena = reading.session->arena;
    sl__row_list *found = sl_arena_zalloc(arena, sizeof *found);
    for (sl_row *row; (row = sl__reading_next(&reading));)
        sl__row_list_add(arena, found, row);
    if (selection->preload_count) {
        sl__run_end(&reading.running);
        sl__preload_all(site, reading.session, selection, found->items, found->count);
    }
    return found;
}

/* ---- One after the other ------------------------------------------------------------------------------- */

struct sl__stream {
    const sl__row_list *kept; /* what was preloaded; or NULL, and */
    size_t next;
    sl__reading reading;
};

const void *sl__each_next(const sl_site *site, sl__each *each)
{
    if (each->selection->none)
        return NULL;
    if (!each->stream) {
        each->stream = sl_zalloc(sizeof *each->stream);
        each->stream->kept = sl__preloaded(site, each->selection);
        if (!each->stream->kept)
            sl__reading_begin(site, each->selection, SL__ROWS, -1, /* lent= */ true, &each->stream->reading);
    }
    struct sl__stream *stream = each->stream;
    if (stream->kept)
        return stream->next < stream->kept->count ? stream->kept->items[stream->next++] : NULL;
    const sl_row *row = sl__reading_next(&stream->reading);
    if (row)
        sl__run_leave(&stream->reading.running);
    return row;
}

void sl__each_leave(sl__each *each)
{
    if (each->stream)
        sl__reading_end(&each->stream->reading);
    each->stream = NULL;
}

json_t *sl__rows(const sl_site *site, const sl_selection *selection)
{
    SL_CLEANUP(json_decrefp) json_t *rows = json_array();
    sl__each each SL_CLEANUP(sl__each_leave) = {.selection = selection};
    for (const sl_row *row; (row = sl__each_next(site, &each));)
        json_array_append_new(rows, sl__fields_to_json(row->model, row));
    return json_incref(rows);
}

json_t *sl__row_to_json(const sl_row *row)
{
    sl__model_info_of(SL_HERE, row->model);
    return sl__fields_to_json(row->model, row);
}

/* ---- One value --------------------------------------------------------------------------------------- */

/* The first column of the first row, as `field` says. True if there is a row. */
static bool read_value(const sl_site *site, const sl_selection *selection, sl__what what, const sl_node *node,
                       const sl__field *field, void *member, uint64_t *nulls)
{
    const sl__table *table = sl__selection_table(site, selection);
    sl_store *store = table->store;
    sl__nodes_in(site, table, &node, node != NULL);
    sl__statement statement;
    sl__compile(selection, store->dialect, what, node ? &node : NULL, node != NULL, -1, &statement);
    statement.site = site;
    sl_session *session = sl__session_of(site, store, /* writes= */ false);
    sl__session_settle(site, session);
    sl__running running SL_CLEANUP(sl__run_end) = {0};
    bool row = false;
    sl_error *error = sl__run_begin(session, &statement, &running);
    if (!error)
        error = sl__run_step(&running, &row);
    if (!error && row)
        error = running.cursor->driver->read(running.cursor, 0, field, 1, member, nulls, session->arena);
    if (error)
        sl__run_fail(&running, error);
    sl__run_end(&running);
    sl__session_leave(session);
    return row;
}

int64_t sl__count(const sl_site *site, const sl_selection *selection)
{
    int64_t count = 0;
    uint64_t nulls = 0;
    sl__field field = {.kind = SL_KIND_INTEGER, .name = "count"};
    const sl__row_list *kept = sl__preloaded(site, selection);
    if (kept)
        return (int64_t)kept->count;
    if (!selection->none)
        read_value(site, selection, SL__COUNT, NULL, &field, &count, &nulls);
    return count;
}

bool sl__is_empty(const sl_site *site, const sl_selection *selection)
{
    bool there = false;
    uint64_t nulls = 0;
    sl__field field = {.kind = SL_KIND_BOOLEAN, .name = "exists"};
    const sl__row_list *kept = sl__preloaded(site, selection);
    if (kept)
        return kept->count == 0;
    if (!selection->none)
        read_value(site, selection, SL__EXISTS, NULL, &field, &there, &nulls);
    return !there;
}

sl_value sl__one_value(const sl_site *site, const sl_selection *selection, const sl_node *x,
                       const sl_node *otherwise)
{
    _Alignas(16) char member[32] = {0};
    uint64_t nulls = 0;
    sl__field field = {.kind = x->type, .name = "value", .scale = (uint8_t)sl__scale_of(x)};
    /* Of no rows there is still a count, which the database knows best how to write. */
    bool asked = !selection->none || x->aggregate;
    bool row = asked && read_value(site, selection, SL__VALUE, x, &field, member, &nulls);
    if (row && !nulls) {
        sl_value value;
        sl__value_from_field(&field, member, nulls, &value);
        return value;
    }
    if (!otherwise)
        sl__fail_error(site, sl_error_hint(sl__error_new(site, SL_ENOROW,
                                                         "the value asked for is NULL: there are no rows, or "
                                                         "none has one"),
                                           "sl_value_or gives another value then"));
    return otherwise->value;
}
