/* errand.c: the life of a call that was accepted.
 *
 *     waiting → sent → ended          sent → left → answered, or its child is ended
 *
 * Each ends exactly once: sl__errand_end and sl__errand_leave are the only two places where who called is
 * told, and both do it last, since whoever is told may do anything.
 *
 * What was sent and is not wanted any more (cancelled, or past its time) is *left*: its child is told, and
 * the errand stays with the child, whose place it takes, until the child answers or the grace is over. Then
 * the child is ended; if it has others to do, it gets another grace to finish those. One that was sent ahead
 * and that the child has not begun is no reason to end it: there the grace begins when its turn has come. */
#include "subsystem/manager.h"
#include "subsystem/value.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#define KEEP_SCRATCH 4096 /* arguments beyond this size take the buffer in which they were made with them */

/* How far it has come with one that was left. */
enum {
    NOT_BEGUN, /* others are before it */
    BEGUN,     /* the grace runs */
    LAST,      /* the grace is over, but its child has others to end */
};

/* ---- Numbers ------------------------------------------------------------------------------------------ */

static void more_numbers(sl_manager *manager)
{
    uint32_t capacity = manager->errand_capacity ? 2 * manager->errand_capacity : 64;
    manager->errands = sl_realloc(manager->errands, capacity * sizeof *manager->errands);
    manager->generations = sl_realloc(manager->generations, capacity * sizeof *manager->generations);
    manager->free_indices = sl_realloc(manager->free_indices, capacity * sizeof *manager->free_indices);
    for (uint32_t i = capacity; i-- > manager->errand_capacity;) {
        manager->errands[i] = NULL;
        manager->generations[i] = 0;
        manager->free_indices[manager->free_count++] = i;
    }
    manager->errand_capacity = capacity;
}

void sl__errand_register(sl__errand *errand)
{
    sl_manager *manager = errand->served->manager;
    if (!manager->free_count)
        more_numbers(manager);
    uint32_t index = manager->free_indices[--manager->free_count];
    manager->errands[index] = errand;
    errand->number = ((uint64_t)++manager->generations[index] << 32 | index) << 1;
}

void sl__errand_unregister(sl__errand *errand)
{
    if (!errand->number)
        return;
    sl_manager *manager = errand->served->manager;
    uint32_t index = (uint32_t)(errand->number >> 1);
    manager->errands[index] = NULL;
    manager->free_indices[manager->free_count++] = index;
    errand->number = 0;
}

sl__errand *sl__errand_find(sl_manager *manager, uint64_t number)
{
    uint32_t index = (uint32_t)(number >> 1);
    sl__errand *errand = index < manager->errand_capacity ? manager->errands[index] : NULL;
    return errand && errand->number == number ? errand : NULL;
}

/* ---- Making and freeing ------------------------------------------------------------------------------- */

static uint32_t hash_key(const char *key)
{
    uint32_t hash = 2166136261u;
    for (; *key; key++)
        hash = (hash ^ (unsigned char)*key) * 16777619u;
    return hash ? hash : 1;
}

static void free_errand(sl__errand *errand)
{
    sl_manager *manager = errand->served->manager;
    sl__errand_unregister(errand);
    if (errand->due_index != UINT32_MAX)
        sl__due_set(manager, errand, UINT64_MAX);
    if (errand->data != errand->here)
        free(errand->data);
    for (unsigned i = 0; i < errand->file_count; i++)
        close(errand->files[i]);
    free(errand->method_name);
    manager->errand_count--;
    sl__pool_put(&manager->pool, errand);
}

static void take_data(sl__errand *errand, sl_buffer *data)
{
    errand->size = data->size;
    if (data->size <= sizeof errand->here) {
        errand->data = errand->here;
        if (data->size)
            memcpy(errand->here, data->data, data->size);
    } else if (data->size <= KEEP_SCRATCH) {
        errand->data = sl_malloc(data->size);
        memcpy(errand->data, data->data, data->size);
    } else {
        errand->data = data->data;
        *data = (sl_buffer){0};
    }
}

static int take_files(sl__errand *errand, const sl__order *order, sl_error **ret_error)
{
    for (unsigned i = 0; i < order->file_count; i++) {
        int copy = fcntl(order->files[i], F_DUPFD_CLOEXEC, 0);
        if (copy < 0) {
            int code = -errno;
            *ret_error = sl__error_new(order->site, code, "file %d of the call's arguments: %s",
                                       order->files[i], sl_code_message(code));
            return code;
        }
        errand->files[errand->file_count++] = copy;
    }
    return 0;
}

static uint64_t deadline_of(const sl__served *served, const sl_call_options *options)
{
    uint64_t timeout = options->timeout_ms ? options->timeout_ms : served->offer.timeout_ms;
    uint64_t now = served->manager->now_ns / 1000000 + 1; /* at least so long, never less */
    return timeout < SL__LONGEST_MS ? now + timeout : UINT64_MAX;
}

static sl__errand *make_errand(sl__served *served, const sl__order *order)
{
    sl_manager *manager = served->manager;
    sl__errand *errand = sl__pool_get(&manager->pool, sizeof *errand);
    memset(errand, 0, offsetof(sl__errand, here));
    manager->errand_count++;
    errand->served = served;
    errand->site = order->site;
    errand->kind = (uint8_t)order->kind;
    errand->method = (uint16_t)order->method;
    errand->method_name = served->by_name && order->method_name ? sl_strdup_heap(order->method_name) : NULL;
    errand->result = order->result;
    errand->codec = order->codec;
    errand->idempotent = order->idempotent;
    errand->priority = (uint8_t)order->options->priority;
    errand->key = order->options->key ? hash_key(order->options->key) : 0;
    errand->accepted_ns = manager->now_ns;
    errand->deadline_ms = deadline_of(served, order->options);
    errand->due_index = UINT32_MAX;
    take_data(errand, order->data);
    return errand;
}

const char *sl__errand_method(const sl__errand *errand)
{
    const sl_service *service = errand->served->offer.service;
    if (errand->method_name)
        return errand->method_name;
    return service && errand->method < service->method_count ? service->methods[errand->method].name : "?";
}

sl_error *sl__error_copy(const sl_error *error)
{
    sl_error *copy = sl__error_new(error->origin, error->code, "%s", error->message);
    if (error->detail)
        sl_error_detail(copy, error->detail, strlen(error->detail));
    if (error->hint)
        sl_error_hint(copy, "%s", error->hint);
    if (error->told)
        sl_error_tell(copy, "%s", error->told);
    if (error->cause)
        sl_error_cause(copy, sl_error_ref(error->cause));
    return copy;
}

/* ---- Accepting ---------------------------------------------------------------------------------------- */

/* Whether the service refuses all calls, as its children crash. */
static bool is_failing(sl__served *served)
{
    if (!served->failing_until_ms)
        return false;
    uint64_t now = served->manager->now_ns / 1000000;
    if (now < served->failing_until_ms)
        return true;
    served->failing_until_ms = 0;
    served->crashes -= served->crashes > 0; /* one more attempt decides */
    served->first_crash_ms = now;
    return false;
}

static sl_error *failing_error(const sl__served *served, const sl_site *site)
{
    sl_error *error =
        sl__error_new(site, served->last_crash->code, "%s is not called, as its children failed %u times: %s",
                      served->name, served->crashes, served->last_crash->message);
    if (served->last_crash->detail)
        sl_error_detail(error, served->last_crash->detail, strlen(served->last_crash->detail));
    if (served->last_crash->hint)
        sl_error_hint(error, "%s", served->last_crash->hint);
    return error;
}

static sl_error *busy_error(const sl__served *served, const sl_site *site)
{
    sl_error *error = sl__error_new(site, SL_EBUSY, "%s is busy: %u calls wait for it already (%zu bytes)",
                                    served->name, served->waiting, served->waiting_bytes);
    return sl_error_hint(
        error, "await sl_room before calling, let it have more children (maximum), or let more calls "
               "wait (queue_calls, queue_bytes)");
}

static int check_order(sl__served *served, const sl__order *order, sl_error **ret_error)
{
    if (served->manager->closed || served->manager->draining || served->withdrawn) {
        *ret_error = sl__error_new(order->site, SL_ECLOSED, "%s takes no more calls", served->name);
        return SL_ECLOSED;
    }
    if (is_failing(served)) {
        *ret_error = failing_error(served, order->site);
        return (*ret_error)->code;
    }
    if (order->data->size > SL__WIRE_VALUE_MAX || order->file_count > SL__PACKET_FILES) {
        *ret_error = sl__error_new(order->site, SL_E2BIG, "a call of %s has at most %u bytes and %u files",
                                   served->name, SL__WIRE_VALUE_MAX, SL__PACKET_FILES);
        return SL_E2BIG;
    }
    return 0;
}

int sl__errand_accept(sl__served *served, const sl__order *order, sl__errand **ret_errand,
                      sl_error **ret_error)
{
    int code = check_order(served, order, ret_error);
    if (code < 0)
        return code;
    sl__errand *errand = make_errand(served, order);
    if (order->file_count)
        code = take_files(errand, order, ret_error);
    sl__queue *queue = &served->queue;
    sl__slot *slot = code == 0 ? sl__served_choose(served, errand, &queue) : NULL;
    if (slot) {
        code = sl__errand_send(errand, slot, ret_error);
    } else if (code == 0 && sl__served_busy(served, errand->size)) {
        served->counts.refused++;
        *ret_error = busy_error(served, order->site);
        code = SL_EBUSY;
    } else if (code == 0) {
        sl__errand_wait(errand, queue);
        sl__served_touch(served);
    }
    if (code < 0) {
        free_errand(errand);
        return code;
    }
    served->counts.calls++;
    *ret_errand = errand;
    return 0;
}

/* ---- Waiting ------------------------------------------------------------------------------------------ */

static void set_waiting_due(sl__errand *errand)
{
    uint64_t due = errand->deadline_ms;
    if (errand->slot) {
        uint64_t patience = sl__now_ms() + SL__AFFINITY_MS;
        due = patience < due ? patience : due;
    }
    sl__due_set(errand->served->manager, errand, due);
}

void sl__errand_wait(sl__errand *errand, sl__queue *queue)
{
    sl__served *served = errand->served;
    errand->state = SL__ERRAND_WAITING;
    errand->slot = queue == &served->queue ? NULL : (sl__slot *)((char *)queue - offsetof(sl__slot, queue));
    sl__queue_append(queue, errand);
    served->waiting++;
    served->waiting_bytes += errand->size;
    set_waiting_due(errand);
}

void sl__errand_stop_waiting(sl__errand *errand)
{
    sl__served *served = errand->served;
    sl__queue_remove(errand);
    errand->slot = NULL;
    served->waiting--;
    served->waiting_bytes -= errand->size;
}

/* It has waited long enough for the child of its key: any will do. */
static void wait_for_any(sl__errand *errand)
{
    sl__served *served = errand->served;
    sl__queue_remove(errand);
    errand->slot = NULL;
    errand->key = 0;
    sl__queue_prepend(&served->queue, errand);
    sl__due_set(served->manager, errand, errand->deadline_ms);
    sl__served_touch(served);
}

/* ---- Sending ------------------------------------------------------------------------------------------ */

static int find_method(sl__errand *errand, const sl__slot *slot, sl_error **ret_error)
{
    for (unsigned i = 0; i < slot->method_count; i++) {
        if (strcmp(slot->methods[i], errand->method_name) == 0) {
            errand->method = (uint16_t)i;
            return 0;
        }
    }
    sl_buffer names = {0};
    for (unsigned i = 0; i < slot->method_count; i++)
        sl_buffer_printf(&names, "%s%s", i ? ", " : "", slot->methods[i]);
    *ret_error = sl__error_new(errand->site, SL_EINVAL, "%s has no method %s", errand->served->name,
                               errand->method_name);
    sl_error_hint(*ret_error, "it has: %s", names.size ? names.data : "none");
    sl_buffer_done(&names);
    return SL_EINVAL;
}

static void add_to_slot(sl__errand *errand, sl__slot *slot)
{
    errand->state = SL__ERRAND_SENT;
    errand->slot = slot;
    errand->next = NULL;
    errand->previous = slot->last;
    *(slot->last ? &slot->last->next : &slot->first) = errand;
    slot->last = errand;
    if (slot->running++ == 0)
        slot->busy_ns = slot->served->manager->now_ns;
    slot->talks += errand->kind == SL__TALKS;
    slot->calls++;
    slot->used = ++slot->served->stamp;
    slot->served->running++;
}

static void take_from_slot(sl__errand *errand)
{
    sl__slot *slot = errand->slot;
    *(errand->previous ? &errand->previous->next : &slot->first) = errand->next;
    *(errand->next ? &errand->next->previous : &slot->last) = errand->previous;
    errand->next = errand->previous = NULL;
    errand->slot = NULL;
    slot->running--;
    slot->talks -= errand->kind == SL__TALKS;
    slot->left -= errand->state == SL__ERRAND_LEFT;
    slot->served->running--;
    sl__slot_freed(slot);
}

int sl__errand_send(sl__errand *errand, sl__slot *slot, sl_error **ret_error)
{
    if (errand->method_name && find_method(errand, slot, ret_error) < 0)
        return SL_EINVAL;
    sl__errand_register(errand);
    sl__packet head = {.kind = SL__CALL,
                       .codec = errand->codec,
                       .word = errand->method,
                       .call = errand->number,
                       .file_count = errand->file_count};
    memcpy(head.files, errand->files, sizeof head.files);
    struct iovec piece = {errand->data, errand->size};
    errand->position = sl__wire_put(sl__child_wire(slot->child), &head, &piece, errand->size > 0);
    errand->attempts++;
    add_to_slot(errand, slot);
    if (errand->due_index == UINT32_MAX)
        sl__due_set(errand->served->manager, errand, errand->deadline_ms);
    if (errand->talk)
        sl__talk_placed(errand->talk);
    return 0;
}

/* ---- Ending ------------------------------------------------------------------------------------------- */

static void detach(sl__errand *errand)
{
    if (errand->state == SL__ERRAND_WAITING) {
        sl__errand_stop_waiting(errand);
        sl__served_touch(errand->served);
    } else {
        take_from_slot(errand);
    }
}

static void count_end(const sl__errand *errand, sl__outcome outcome)
{
    sl__count_end(errand->served, outcome, errand->served->manager->now_ns - errand->accepted_ns);
}

/* The last thing that is done: it may run anything. */
static void tell(const sl_site *site, sl_deferred *deferred, struct sl__talk *talk, sl_error *error)
{
    if (talk)
        sl__talk_over(talk, error);
    else if (deferred)
        sl__fire(site, deferred, sl_failed(error));
    else
        sl_error_unref(error);
}

sl_deferred *sl__errand_finish(sl__errand *errand, sl__outcome outcome)
{
    sl_deferred *deferred = errand->deferred;
    if (errand->state != SL__ERRAND_LEFT)
        count_end(errand, outcome);
    detach(errand);
    free_errand(errand);
    return deferred;
}

void sl__errand_end(sl__errand *errand, sl__outcome outcome, sl_error *error)
{
    const sl_site *site = errand->site;
    struct sl__talk *talk = errand->talk;
    tell(site, sl__errand_finish(errand, outcome), talk, error);
}

static bool has_begun(const sl__errand *errand)
{
    const sl__slot *slot = errand->slot;
    return slot->capacity > 1 || errand == slot->first ||
           sl__wire_taken(sl__child_wire(slot->child), errand->position);
}

void sl__errand_leave(sl__errand *errand, sl__outcome outcome, sl_error *error)
{
    if (errand->state == SL__ERRAND_WAITING || !errand->slot->child) {
        sl__errand_end(errand, outcome, error);
        return;
    }
    sl_deferred *deferred = errand->deferred;
    struct sl__talk *talk = errand->talk;
    sl__served *served = errand->served;
    bool patient = errand->patience_ms > 0;
    count_end(errand, outcome);
    errand->state = SL__ERRAND_LEFT;
    errand->deferred = NULL;
    errand->talk = NULL;
    errand->overdue = has_begun(errand) ? BEGUN : NOT_BEGUN;
    errand->slot->left++;
    sl__wire_put(sl__child_wire(errand->slot->child),
                 &(sl__packet){.kind = SL__CANCEL, .word = patient, .call = errand->number}, NULL, 0);
    sl__due_set(served->manager, errand,
                sl__now_ms() + (patient ? errand->patience_ms : served->offer.grace_ms));
    tell(errand->site, deferred, talk, error);
}

static void end_child_of(sl__errand *errand)
{
    char why[200];
    snprintf(why, sizeof why,
             "it went on with a call of %.64s for %" PRIu64 " ms after it was told to leave it",
             sl__errand_method(errand), errand->served->offer.grace_ms);
    errand->served->counts.overdue++;
    sl__slot_end(errand->slot, why);
}

/* The grace of one that was left is over. */
static void left_too_long(sl__errand *errand, uint64_t now_ms)
{
    sl__slot *slot = errand->slot;
    uint64_t again = now_ms + errand->served->offer.grace_ms;
    if (slot->state >= SL__SLOT_ending)
        return; /* that is under way */
    if (errand->overdue == NOT_BEGUN) {
        errand->overdue = has_begun(errand) ? BEGUN : NOT_BEGUN;
        sl__due_set(errand->served->manager, errand, again);
    } else if (errand->overdue == BEGUN && slot->capacity > 1 && slot->running > slot->left) {
        errand->overdue = LAST;
        sl__slot_leave(slot);
        sl__due_set(errand->served->manager, errand, again);
    } else {
        end_child_of(errand);
    }
}

void sl__errand_due(sl__errand *errand, uint64_t now_ms)
{
    if (errand->state == SL__ERRAND_LEFT) {
        left_too_long(errand, now_ms);
        return;
    }
    if (errand->deadline_ms > now_ms) {
        if (errand->state == SL__ERRAND_WAITING && errand->slot)
            wait_for_any(errand);
        else
            sl__due_set(errand->served->manager, errand, errand->deadline_ms);
        return;
    }
    uint64_t ms = (sl_monotonic_ns() - errand->accepted_ns) / 1000000;
    const char *where = errand->state == SL__ERRAND_WAITING ? ", and no child had taken it" : "";
    sl_error *error =
        sl__error_new(errand->site, SL_ETIMEDOUT, "a call of %s of %s took more than %" PRIu64 " ms%s",
                      sl__errand_method(errand), errand->served->name, ms, where);
    sl_error_hint(
        error, *where ? "raise `maximum` or `concurrency` of its offer, or timeout_ms; and see that no child "
                        "waits for a call that only it could carry out: that is for ever"
                      : "let it have more time: timeout_ms of the call, or of the offer");
    sl__errand_leave(errand, SL__OUTCOME_timed_out, error);
}

/* ---- What children answer ------------------------------------------------------------------------------ */

/* The longest time of late, which is forgotten slowly, and the average, which follows quickly. */
static void learn_time(sl__served *served, uint64_t ns)
{
    uint64_t faded = served->call_ns == UINT64_MAX ? 0 : served->call_ns - served->call_ns / 64;
    served->call_ns = ns > faded ? ns : faded;
    served->mean_ns = served->mean_ns ? served->mean_ns + ((int64_t)ns - served->mean_ns) / 8 : (int64_t)ns;
}

static void answered(sl__errand *errand, const sl__packet *packet)
{
    sl__served *served = errand->served;
    if (packet->kind == SL__RESULT && packet->word)
        learn_time(served, (uint64_t)packet->word * 1000);
    if (errand->state == SL__ERRAND_LEFT) {
        sl__errand_end(errand, SL__OUTCOME_cancelled, NULL);
    } else if (packet->kind == SL__RESULT) {
        served->crashes = 0;
        served->failing_until_ms = 0;
        sl__errand_result(errand, packet);
    } else {
        sl_error *error = sl__trouble_get((sl_view){packet->data, packet->size});
        sl_error_hop(error, errand->site);
        sl__errand_end(errand, SL__OUTCOME_failed, error);
    }
}

void sl__errand_packet(sl__slot *slot, const sl__packet *packet)
{
    sl__errand *errand = sl__errand_find(slot->served->manager, packet->call);
    bool ours = errand && errand->slot == slot && errand->state != SL__ERRAND_WAITING;
    bool ends = packet->kind == SL__RESULT || packet->kind == SL__FAILED;
    if (!ours || (!ends && !errand->talk) || errand->state == SL__ERRAND_LEFT)
        sl__packet_close(packet);
    if (!ours)
        return; /* it was ended already, and the child did not know */
    if (ends)
        answered(errand, packet);
    else if (errand->talk)
        sl__talk_packet(errand->talk, packet);
}

/* ---- The child's end ----------------------------------------------------------------------------------- */

/* Where a child does one call at a time, it has begun none but the first of those that it has not answered.
 */
static bool may_send_again(const sl__errand *errand, const sl__slot *slot, sl__wire *wire)
{
    if (errand->state == SL__ERRAND_LEFT || errand->attempts >= SL__ATTEMPTS || slot->served->withdrawn ||
        (errand->talk && sl__talk_has_sent(errand->talk)))
        return false;
    if (!sl__wire_taken(wire, errand->position))
        return true;
    return (errand->idempotent || errand->talk) && slot->capacity == 1 && errand->previous;
}

static void wait_again(sl__errand *errand)
{
    sl__served *served = errand->served;
    take_from_slot(errand);
    sl__errand_unregister(errand);
    errand->state = SL__ERRAND_WAITING;
    errand->key = 0;
    sl__queue_prepend(&served->queue, errand);
    served->waiting++;
    served->waiting_bytes += errand->size;
    served->counts.retried++;
    sl__served_touch(served);
}

void sl__errands_of_gone(sl__slot *slot, sl__wire *wire, const sl_error *error)
{
    for (sl__errand *errand = slot->last, *previous; errand; errand = previous) {
        previous = errand->previous;
        if (may_send_again(errand, slot, wire))
            wait_again(errand);
    }
    while (slot->first) {
        sl_error *copy = sl__error_copy(error);
        sl_error_hop(copy, slot->first->site);
        sl__errand_end(slot->first, SL__OUTCOME_crashed, copy);
    }
}
