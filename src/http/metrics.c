/* metrics.c: what is counted, as Prometheus' text format has it. */
#include "http/server.h"

#include <inttypes.h>

/* Upper bounds of the buckets, and their names in seconds. */
static const struct {
    uint64_t ns;
    const char *seconds;
} buckets[SL__DURATION_BUCKETS] = {
    {100000, "0.0001"}, {500000, "0.0005"},  {1000000, "0.001"},  {2500000, "0.0025"}, {5000000, "0.005"},
    {10000000, "0.01"}, {25000000, "0.025"}, {50000000, "0.05"},  {100000000, "0.1"},  {250000000, "0.25"},
    {1000000000, "1"},  {2500000000, "2.5"}, {10000000000, "10"}, {60000000000, "60"},
};

void sl__count_request(sl_http_server *server, sl__method method, int status, uint64_t duration_ns)
{
    sl__counters *counters = &server->counters;
    unsigned kind = (unsigned)(status / 100 - 1);
    counters->requests[kind < 5 ? kind : 4][method]++;
    if (status == 101)
        return; /* its duration says nothing of requests */
    unsigned i = 0;
    while (i < SL__DURATION_BUCKETS && duration_ns > buckets[i].ns)
        i++;
    counters->durations[i]++;
    counters->duration_ns += duration_ns;
}

static void describe(sl_buffer *out, const char *name, const char *type, const char *help)
{
    sl_buffer_printf(out, "# HELP silver_%s %s\n# TYPE silver_%s %s\n", name, help, name, type);
}

static void single(sl_buffer *out, const char *name, const char *type, const char *help, uint64_t value)
{
    describe(out, name, type, help);
    sl_buffer_printf(out, "silver_%s %" PRIu64 "\n", name, value);
}

static void put_requests(const sl__counters *counters, sl_buffer *out)
{
    static const char *const methods[] = {"GET",    "HEAD",  "POST",    "PUT",
                                          "DELETE", "PATCH", "OPTIONS", "other"};
    describe(out, "http_requests_total", "counter", "Requests answered, by class of status and method.");
    for (unsigned kind = 0; kind < 5; kind++) {
        for (unsigned method = 0; method < sl_array_size(methods); method++) {
            if (counters->requests[kind][method])
                sl_buffer_printf(out,
                                 "silver_http_requests_total{status=\"%uxx\",method=\"%s\"} %" PRIu64 "\n",
                                 kind + 1, methods[method], counters->requests[kind][method]);
        }
    }
}

static void put_durations(const sl__counters *counters, sl_buffer *out)
{
    uint64_t count = 0;
    describe(out, "http_request_duration_seconds", "histogram",
             "From a request's head to the end of its response.");
    for (unsigned i = 0; i < SL__DURATION_BUCKETS; i++) {
        count += counters->durations[i];
        sl_buffer_printf(out, "silver_http_request_duration_seconds_bucket{le=\"%s\"} %" PRIu64 "\n",
                         buckets[i].seconds, count);
    }
    count += counters->durations[SL__DURATION_BUCKETS];
    sl_buffer_printf(out,
                     "silver_http_request_duration_seconds_bucket{le=\"+Inf\"} %" PRIu64 "\n"
                     "silver_http_request_duration_seconds_sum %.9f\n"
                     "silver_http_request_duration_seconds_count %" PRIu64 "\n",
                     count, (double)counters->duration_ns / 1e9, count);
}

static void put_refusals(const sl__counters *counters, sl_buffer *out)
{
    describe(out, "http_refused_total", "counter", "What was turned away because of a limit or a mistake.");
    sl_buffer_printf(out,
                     "silver_http_refused_total{reason=\"connections\"} %" PRIu64 "\n"
                     "silver_http_refused_total{reason=\"in_flight\"} %" PRIu64 "\n"
                     "silver_http_refused_total{reason=\"head\"} %" PRIu64 "\n"
                     "silver_http_refused_total{reason=\"time\"} %" PRIu64 "\n",
                     counters->refused_connections, counters->refused_in_flight, counters->refused_heads,
                     counters->timed_out);
}

void sl_http_server_metrics(sl_http_server *server, sl_buffer *out)
{
    const sl__counters *counters = &server->counters;
    put_requests(counters, out);
    put_durations(counters, out);
    put_refusals(counters, out);
    single(out, "http_in_flight", "gauge", "Requests in handlers now, but for those that wait for a body.",
           server->in_flight);
    single(out, "http_connections", "gauge", "Connections open now.", server->connection_count);
    single(out, "http_connections_total", "counter", "Connections accepted.", counters->accepted);
    single(out, "http_received_bytes_total", "counter", "Bytes read from clients.", counters->bytes_in);
    single(out, "http_sent_bytes_total", "counter", "Bytes written to clients.", counters->bytes_out);
    single(out, "websockets", "gauge", "WebSockets open now.", counters->websockets_open);
    single(out, "websockets_total", "counter", "WebSockets opened.", counters->websockets);
    single(out, "websocket_messages_received_total", "counter", "Messages received.", counters->messages_in);
    single(out, "websocket_messages_sent_total", "counter", "Messages sent.", counters->messages_out);
    single(out, "tasks", "gauge", "Tasks that exist now.", sl_task_count(server->loop));
}

void sl_http_server_counts(const sl_http_server *server, sl_http_counts *ret_counts)
{
    *ret_counts = (sl_http_counts){.in_flight = server->in_flight, .connections = server->connection_count};
    for (unsigned kind = 0; kind < 5; kind++)
        for (unsigned method = 0; method <= SL__METHOD_OTHER; method++)
            ret_counts->requests += server->counters.requests[kind][method];
}
