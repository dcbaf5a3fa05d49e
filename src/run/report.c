/* report.c: what an instance says of itself when it is asked for a report. */
#include "run/control.h"
#include "run/instance.h"

#include <jansson.h>
#include <stdlib.h>
#include <sys/types.h>

struct sending {
    uv_write_t write;
    char *line;
};

static void sent(uv_write_t *request, int code)
{
    struct sending *sending = request->data;
    free(sending->line);
    free(sending);
}

static json_t *plugin_names(const struct instance *instance)
{
    json_t *names = json_array();
    for (size_t i = 0; i < instance->plugins.count; i++)
        json_array_append_new(names, json_string(instance->plugins.items[i].name));
    return names;
}

static json_t *make(struct instance *instance)
{
    sl_http_counts counts = {0};
    if (instance->server)
        sl_http_server_counts(instance->server, &counts);
    return json_pack("{s:I, s:I, s:I, s:I, s:o, s:o}", "requests", (json_int_t)counts.requests, "in_flight",
                     (json_int_t)counts.in_flight, "connections", (json_int_t)counts.connections, "tasks",
                     (json_int_t)sl_task_count(instance->loop), "plugins", plugin_names(instance), "services",
                     instance->manager ? sl_manager_stats(instance->manager) : json_array());
}

/* One that is longer than the supervisor listens to is not sent: then it knows what it sees for itself. */
void report_send(struct instance *instance)
{
    json_t *report = make(instance);
    char *text = json_dumps(report, JSON_COMPACT);
    json_decref(report);
    if (!text || strlen(text) + sizeof(SAYS_REPORT) + 2 > CONTROL_LINE_MAX) {
        free(text);
        return;
    }
    struct sending *sending = sl_calloc(1, sizeof(*sending));
    sending->line = sl_printf_heap(SAYS_REPORT " %s\n", text);
    sending->write.data = sending;
    free(text);
    uv_buf_t buffer = uv_buf_init(sending->line, (unsigned)strlen(sending->line));
    if (uv_write(&sending->write, (uv_stream_t *)&instance->control, &buffer, 1, sent) < 0)
        sent(&sending->write, 0);
}
