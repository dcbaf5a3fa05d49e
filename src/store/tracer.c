/* tracer.c: who sees the statements.
 *
 * Tracers hang on the root's stores in a list. Two are built in: the log, for records at the level debug, and
 * sl_capture, which keeps what was run until its task ends. */
#include "store/store.h"
#include "base/json.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>

typedef struct sl__tracer_link {
    struct sl__tracer_link *next;
    sl_tracer *tracer;
} sl__tracer_link;

static sl_stores *stores_of(sl_root *root)
{
    SL_IN_ROOT(root);
    return sl__stores_here(true);
}

void sl_tracer_add(sl_root *root, sl_tracer *tracer)
{
    sl_stores *stores = stores_of(root);
    sl__tracer_link **end = &stores->tracers;
    while (*end)
        end = &(*end)->next;
    *end = sl_calloc(1, sizeof **end);
    (*end)->tracer = tracer;
}

void sl_tracer_remove(sl_root *root, sl_tracer *tracer)
{
    sl_stores *stores = stores_of(root);
    for (sl__tracer_link **link = &stores->tracers; *link; link = &(*link)->next)
        if ((*link)->tracer == tracer) {
            sl__tracer_link *gone = *link;
            *link = gone->next;
            free(gone);
            return;
        }
}

void sl__tracers_free(sl_stores *stores)
{
    for (sl__tracer_link *link = stores->tracers, *next; link; link = next) {
        next = link->next;
        free(link);
    }
    stores->tracers = NULL;
}

void sl__trace(sl_stores *stores, const sl__running *running, const sl_error *error, bool before)
{
    const sl__statement *statement = &running->statement;
    sl_traced traced = {.store = running->session->store->name,
                        .sql = statement->sql,
                        .parameters = statement->values,
                        .parameter_count = statement->count,
                        .site = statement->site,
                        .error = error,
                        .began_ns = running->started_ns,
                        .rows = running->rows};
    if (!before)
        traced.duration_us = sl__run_took_ns(running) / 1000; /* 0: it began before there was a tracer */
    for (sl__tracer_link *link = stores->tracers, *next; link; link = next) {
        next = link->next;
        if (before && link->tracer->before)
            link->tracer->before(link->tracer, &traced);
        else if (!before && link->tracer->after)
            link->tracer->after(link->tracer, &traced);
    }
}

/* ---- Parameters as text -------------------------------------------------------------------------------- */

enum { SHOWN = 200 /* bytes of a text */, LISTED = 8 /* values of a list */, PARAMETERS = 100 };

static void put_text(sl_buffer *out, sl_view text)
{
    size_t size = text.size < SHOWN ? text.size : SHOWN;
    while (size < text.size && size && ((unsigned char)text.data[size] & 0xc0) == 0x80)
        size--;
    sl_buffer_putc(out, '\'');
    for (size_t i = 0; i < size; i++) {
        if (text.data[i] == '\'')
            sl_buffer_putc(out, '\'');
        sl_buffer_putc(out, text.data[i]);
    }
    sl_buffer_puts(out, size < text.size ? "…'" : "'");
}

static void put_list(sl_buffer *out, const sl_value *list);

static void put_value(sl_buffer *out, const sl_value *value)
{
    char text[40];
    switch (value->null ? SL_KIND_ROW : value->kind) {
    case SL_KIND_INTEGER:
        sl_buffer_printf(out, "%" PRId64, value->integer);
        break;
    case SL_KIND_REAL:
        sl_buffer_printf(out, "%.17g", value->real);
        break;
    case SL_KIND_TEXT:
    case SL_KIND_ENUM:
        put_text(out, value->text);
        break;
    case SL_KIND_BYTES:
        sl_buffer_printf(out, "<%zu bytes>", value->text.size);
        break;
    case SL_KIND_BOOLEAN:
        sl_buffer_puts(out, value->boolean ? "true" : "false");
        break;
    case SL_KIND_TIME:
        sl_buffer_puts(out, sl_time_text(value->integer, text));
        break;
    case SL_KIND_DATE:
        sl_buffer_puts(out, sl_date_text(value->date, text));
        break;
    case SL_KIND_DECIMAL:
        sl_buffer_puts(out, sl_decimal_text(value->decimal, text));
        break;
    case SL_KIND_UUID:
        sl_buffer_puts(out, sl_uuid_text(value->uuid, text));
        break;
    case SL_KIND_JSON: {
        const char *wrong;
        char *json = sl__json_text(value->json, &wrong);
        put_text(out, sl_view_of(json ? json : "…"));
        free(json);
        break;
    }
    case SL_KIND_LIST:
        put_list(out, value);
        break;
    case SL_KIND_ROW:
        sl_buffer_puts(out, "NULL");
        break;
    }
}

/* The first few, and how many there are. */
static void put_list(sl_buffer *out, const sl_value *list)
{
    size_t count = list->list.count < LISTED ? list->list.count : LISTED;
    sl_buffer_putc(out, '{');
    for (size_t i = 0; i < count; i++) {
        if (i)
            sl_buffer_puts(out, ", ");
        put_value(out, &list->list.items[i]);
    }
    if (count < list->list.count)
        sl_buffer_printf(out, ", … %zu in all", list->list.count);
    sl_buffer_putc(out, '}');
}

void sl__put_parameters(sl_buffer *out, const sl_value *values, size_t count)
{
    sl_buffer_putc(out, '(');
    for (size_t i = 0; i < count && i < PARAMETERS; i++) {
        if (i)
            sl_buffer_puts(out, ", ");
        put_value(out, &values[i]);
    }
    if (count > PARAMETERS)
        sl_buffer_printf(out, ", … %zu in all", count);
    sl_buffer_putc(out, ')');
}

/* ---- The log ------------------------------------------------------------------------------------------- */

static void log_statement(sl_tracer *tracer, const sl_traced *statement)
{
    (void)tracer;
    sl_logger *logger = sl_log_current();
    if (logger->level > SL_DEBUG)
        return;
    SL_CLEANUP(sl_buffer_done) sl_buffer parameters = {0};
    sl__put_parameters(&parameters, statement->parameters, statement->parameter_count);
    sl_log_to(logger, SL_DEBUG, statement->site, "store %s, %llu µs, %lld rows (%s:%d): %s %s%s%s",
              statement->store, (unsigned long long)statement->duration_us, (long long)statement->rows,
              statement->site->file, statement->site->line, statement->sql, parameters.data,
              statement->error ? ": " : "", statement->error ? statement->error->message : "");
}

static sl_tracer log_tracer = {.after = log_statement};

void sl__trace_to_log(sl_root *root)
{
    sl_tracer_add(root, &log_tracer);
}

/* ---- Capturing ----------------------------------------------------------------------------------------- */

typedef struct capture {
    sl_tracer tracer;
    sl_captured captured;
    size_t size;
    sl_arena *arena;
    sl_root *root;
} capture;

static void keep(sl_tracer *tracer, const sl_traced *statement)
{
    capture *c = (capture *)tracer;
    if (c->captured.count == c->size) {
        size_t size = c->size ? 2 * c->size : 16;
        struct sl_captured_statement *items = sl_arena_alloc(c->arena, size * sizeof *items);
        if (c->captured.count)
            memcpy(items, c->captured.items, c->captured.count * sizeof *items);
        c->captured.items = items;
        c->size = size;
    }
    SL_CLEANUP(sl_buffer_done) sl_buffer parameters = {0};
    sl__put_parameters(&parameters, statement->parameters, statement->parameter_count);
    c->captured.items[c->captured.count++] = (struct sl_captured_statement){
        .sql = sl_arena_strdup(c->arena, statement->sql),
        .parameters = sl_arena_strdup(c->arena, parameters.data),
        .site = statement->site,
        .duration_us = statement->duration_us,
        .rows = statement->rows,
    };
}

static void end_capture(void *data)
{
    capture *c = data;
    sl_tracer_remove(c->root, &c->tracer);
    sl_root_unref(c->root);
    sl_arena_free(c->arena);
}

const sl_captured *sl_capture(void)
{
    sl_arena *arena = sl_arena_new();
    capture *c = sl_arena_zalloc(arena, sizeof *c);
    *c = (capture){.tracer = {.after = keep}, .arena = arena, .root = sl_root_ref(sl_root_current())};
    sl_tracer_add(c->root, &c->tracer);
    sl_defer(end_capture, c);
    return &c->captured;
}
