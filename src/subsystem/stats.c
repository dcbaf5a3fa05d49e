/* stats.c: what is known of services and their children: as JSON for people's tools, and as Prometheus' text
 * format has it. */
#include "subsystem/manager.h"

#include <inttypes.h>
#include <jansson.h>

/* Upper bounds of the buckets, and their names in seconds. */
static const struct {
    uint64_t ns;
    const char *seconds;
} buckets[SL__TIME_BUCKETS] = {
    {10000, "0.00001"}, {25000, "0.000025"}, {100000, "0.0001"},  {500000, "0.0005"},    {1000000, "0.001"},
    {5000000, "0.005"}, {10000000, "0.01"},  {50000000, "0.05"},  {100000000, "0.1"},    {500000000, "0.5"},
    {1000000000, "1"},  {5000000000, "5"},   {30000000000, "30"}, {120000000000, "120"},
};

static const char *const outcomes[] = {
#define NAME(name) #name,
    SL__OUTCOMES(NAME)
#undef NAME
};

static const char *const states[] = {
#define NAME(name) #name,
    SL__SLOT_STATES(NAME)
#undef NAME
};

void sl__count_end(sl__served *served, sl__outcome outcome, uint64_t ns)
{
    unsigned i = 0;
    while (i < SL__TIME_BUCKETS && ns > buckets[i].ns)
        i++;
    served->counts.times[i]++;
    served->counts.time_ns += ns;
    served->counts.ended[outcome]++;
}

/* ---- JSON -------------------------------------------------------------------------------------------- */

static json_t *number(uint64_t value)
{
    return json_integer((json_int_t)value);
}

static json_t *child_stats(const sl__slot *slot, uint64_t now)
{
    json_t *child = json_object();
    json_object_set_new(child, "pid", number((uint64_t)sl__child_pid(slot->child)));
    json_object_set_new(child, "state", json_string(states[slot->state]));
    json_object_set_new(child, "running", number(slot->running));
    json_object_set_new(child, "waiting", number(slot->queue.count));
    json_object_set_new(child, "calls", number(slot->calls));
    json_object_set_new(child, "age_us", number((now - slot->started_ms) * 1000));
    json_object_set_new(child, "memory", number(sl__child_memory(slot->child)));
    return child;
}

static json_t *children_stats(const sl__served *served)
{
    json_t *children = json_array();
    uint64_t now = sl__now_ms();
    for (unsigned i = 0; i < served->slot_count; i++)
        if (served->slots[i]->child)
            json_array_append_new(children, child_stats(served->slots[i], now));
    return children;
}

static json_t *served_stats(const sl__served *served)
{
    const sl__served_counts *counts = &served->counts;
    json_t *calls = json_object(), *stats = json_object();
    for (unsigned i = 0; i < SL__OUTCOME_COUNT; i++)
        json_object_set_new(calls, outcomes[i], number(counts->ended[i]));
    json_object_set_new(calls, "accepted", number(counts->calls));
    json_object_set_new(calls, "refused", number(counts->refused));
    json_object_set_new(calls, "retried", number(counts->retried));
    json_object_set_new(stats, "name", json_string(served->name));
    json_object_set_new(stats, "version",
                        served->offer.service ? number(served->offer.service->version) : json_null());
    json_object_set_new(stats, "module", json_string(served->module));
    json_object_set_new(stats, "children", children_stats(served));
    json_object_set_new(stats, "running", number(served->running));
    json_object_set_new(stats, "waiting", number(served->waiting));
    json_object_set_new(stats, "waiting_bytes", number(served->waiting_bytes));
    json_object_set_new(stats, "calls", calls);
    json_object_set_new(stats, "calls_us", number(counts->time_ns / 1000));
    json_object_set_new(stats, "starts", number(counts->starts));
    json_object_set_new(stats, "crashes", number(counts->crashes));
    json_object_set_new(stats, "recycled", number(counts->recycled));
    json_object_set_new(stats, "idled", number(counts->idled));
    json_object_set_new(stats, "overdue", number(counts->overdue));
    json_object_set_new(stats, "failing",
                        json_boolean(served->failing_until_ms && sl__now_ms() < served->failing_until_ms));
    return stats;
}

json_t *sl_manager_stats(sl_manager *manager)
{
    json_t *all = json_array();
    size_t cursor = 0;
    const char *name;
    void *served;
    while (sl_table_next(manager->services, &cursor, &name, &served))
        json_array_append_new(all, served_stats(served));
    return all;
}

/* ---- Prometheus -------------------------------------------------------------------------------------- */

static void describe(sl_buffer *out, const char *name, const char *type, const char *help)
{
    sl_buffer_printf(out, "# HELP silver_service_%s %s\n# TYPE silver_service_%s %s\n", name, help, name,
                     type);
}

static void put(sl_buffer *out, const char *name, const sl__served *served, const char *label,
                const char *value, uint64_t count)
{
    sl_buffer_printf(out, "silver_service_%s{service=\"%s\"", name, served->name);
    if (label)
        sl_buffer_printf(out, ",%s=\"%s\"", label, value);
    sl_buffer_printf(out, "} %" PRIu64 "\n", count);
}

static void put_ended(const sl__served *served, sl_buffer *out)
{
    for (unsigned i = 0; i < SL__OUTCOME_COUNT; i++)
        put(out, "calls_total", served, "outcome", outcomes[i], served->counts.ended[i]);
    put(out, "calls_total", served, "outcome", "refused", served->counts.refused);
}

static void put_children(const sl__served *served, sl_buffer *out)
{
    for (unsigned i = SL__SLOT_starting; i < SL__SLOT_STATE_COUNT; i++)
        put(out, "children", served, "state", states[i], sl__slots_in(served, (sl__slot_state)i));
}

static void put_running(const sl__served *served, sl_buffer *out)
{
    put(out, "calls_running", served, NULL, NULL, served->running);
}

static void put_waiting(const sl__served *served, sl_buffer *out)
{
    put(out, "calls_waiting", served, NULL, NULL, served->waiting);
}

static void put_waiting_bytes(const sl__served *served, sl_buffer *out)
{
    put(out, "waiting_bytes", served, NULL, NULL, served->waiting_bytes);
}

static void put_starts(const sl__served *served, sl_buffer *out)
{
    put(out, "child_starts_total", served, NULL, NULL, served->counts.starts);
}

static void put_ends(const sl__served *served, sl_buffer *out)
{
    const sl__served_counts *counts = &served->counts;
    put(out, "child_ends_total", served, "reason", "crashed", counts->crashes);
    put(out, "child_ends_total", served, "reason", "recycled", counts->recycled);
    put(out, "child_ends_total", served, "reason", "idle", counts->idled);
    put(out, "child_ends_total", served, "reason", "overdue", counts->overdue);
}

static void put_times(const sl__served *served, sl_buffer *out)
{
    uint64_t count = 0;
    for (unsigned i = 0; i <= SL__TIME_BUCKETS; i++) {
        count += served->counts.times[i];
        put(out, "call_duration_seconds_bucket", served, "le",
            i < SL__TIME_BUCKETS ? buckets[i].seconds : "+Inf", count);
    }
    sl_buffer_printf(out, "silver_service_call_duration_seconds_sum{service=\"%s\"} %.9f\n", served->name,
                     (double)served->counts.time_ns / 1e9);
    put(out, "call_duration_seconds_count", served, NULL, NULL, count);
}

static const struct {
    const char *name, *type, *help;
    void (*put)(const sl__served *served, sl_buffer *out);
} metrics[] = {
    {"calls_total", "counter", "Calls that ended, by how.", put_ended},
    {"calls_running", "gauge", "Calls that children have now.", put_running},
    {"calls_waiting", "gauge", "Calls that wait for a child.", put_waiting},
    {"waiting_bytes", "gauge", "Bytes of the arguments of calls that wait.", put_waiting_bytes},
    {"children", "gauge", "Child processes, by what they are at.", put_children},
    {"child_starts_total", "counter", "Child processes started.", put_starts},
    {"child_ends_total", "counter", "Child processes that went or were replaced, by why.", put_ends},
    {"call_duration_seconds", "histogram", "From a call to its end, waiting included.", put_times},
};

void sl_manager_metrics(sl_manager *manager, sl_buffer *out)
{
    if (!sl_table_size(manager->services))
        return;
    for (size_t i = 0; i < sl_array_size(metrics); i++) {
        describe(out, metrics[i].name, metrics[i].type, metrics[i].help);
        size_t cursor = 0;
        const char *name;
        void *served;
        while (sl_table_next(manager->services, &cursor, &name, &served))
            metrics[i].put(served, out);
    }
}
