/* services_page.c: the part of the debug page about services: what their calls and their children do. */
#include "web/state.h"

#include <silver/subsystem.h>

static json_int_t number(const json_t *object, const char *key)
{
    return json_integer_value(json_object_get(object, key));
}

static void put_cell(sl_buffer *out, const sl_buffer *text)
{
    sl_buffer_puts(out, "<td>");
    sl_buffer_put_html(out, text->data ? text->data : "", text->size);
    sl_buffer_puts(out, "</td></tr>");
}

/* How its calls ended, but for what never happened. */
static void put_calls(const json_t *service, sl_buffer *text)
{
    const char *outcome;
    json_t *count, *calls = json_object_get(service, "calls");
    sl_buffer_printf(text, "%lld calls", (long long)number(calls, "accepted"));
    json_object_foreach(calls, outcome, count)
    {
        if (json_integer_value(count) && strcmp(outcome, "accepted") != 0)
            sl_buffer_printf(text, ", %lld %s", (long long)json_integer_value(count), outcome);
    }
    sl_buffer_printf(text, "; %lld running, %lld waiting; %lld starts, %lld crashes",
                     (long long)number(service, "running"), (long long)number(service, "waiting"),
                     (long long)number(service, "starts"), (long long)number(service, "crashes"));
    if (json_is_true(json_object_get(service, "failing")))
        sl_buffer_puts(text, "; calls are refused after too many crashes");
}

static void put_child(sl_buffer *out, const json_t *child)
{
    SL_CLEANUP(sl_buffer_done) sl_buffer text = {0};
    const char *state = json_string_value(json_object_get(child, "state"));
    sl_buffer_printf(&text, "%s for %lld s, %lld KiB, %lld calls, %lld running", state ? state : "?",
                     (long long)number(child, "age_us") / 1000000, (long long)number(child, "memory") / 1024,
                     (long long)number(child, "calls"), (long long)number(child, "running"));
    sl_buffer_printf(out, "<tr><th scope=\"row\">process %lld</th>", (long long)number(child, "pid"));
    put_cell(out, &text);
}

static void put_service(sl_buffer *out, const json_t *service)
{
    SL_CLEANUP(sl_buffer_done) sl_buffer text = {0};
    const char *name = json_string_value(json_object_get(service, "name"));
    json_t *child;
    size_t i;
    sl_buffer_puts(out, "<tr><th scope=\"row\">");
    sl__put_html(out, name ? name : "?");
    sl_buffer_puts(out, "</th>");
    put_calls(service, &text);
    put_cell(out, &text);
    json_array_foreach(json_object_get(service, "children"), i, child) put_child(out, child);
}

void sl__put_services(sl_buffer *out)
{
    sl_manager *manager = sl_root_current() ? sl_manager_of(sl_root_current()) : NULL;
    json_t *services = manager ? sl_manager_stats(manager) : NULL, *service;
    size_t i;
    if (json_array_size(services)) {
        sl_buffer_puts(out, "<h2>The services</h2><table>");
        json_array_foreach(services, i, service) put_service(out, service);
        sl_buffer_puts(out, "</table>");
    }
    json_decref(services);
}
