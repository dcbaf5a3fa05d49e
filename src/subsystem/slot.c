/* slot.c: places for children, and when there is a child in which.
 *
 *     empty → starting → ready → leaving → stopping → empty
 *
 * and from each to `ending`, where signals do the rest. How many children there are is derived from the
 * states each time, never counted besides. A child that is worn (calls, age, memory) goes on until the one
 * that replaces it is ready; there is one replacement at a time, and all limits vary by a tenth, so that they
 * never go all at once. Who is not needed any more is the one that was not used for longest: calls go to the
 * one used last.
 *
 * After a child that died or did not start, the next one waits for a while, twice as long each time; after
 * too many in a row calls are refused at once, naming the last failure. */
#include "subsystem/manager.h"
#include "subsystem/value.h"

#include <inttypes.h>

#define BACK_OFF_MS 50
#define BACK_OFF_MAX_MS 5000
#define MEMORY_EVERY_MS 1000

static const sl__child_events events;

unsigned sl__slots_in(const sl__served *served, sl__slot_state state)
{
    unsigned count = 0;
    for (unsigned i = 0; i < served->slot_count; i++)
        count += served->slots[i]->state == state;
    return count;
}

unsigned sl__slots_kept(const sl__served *served)
{
    unsigned count = 0;
    for (unsigned i = 0; i < served->slot_count; i++) {
        const sl__slot *slot = served->slots[i];
        count += slot->state == SL__SLOT_ready || (slot->state == SL__SLOT_starting && !slot->replaces);
    }
    return count;
}

static uint32_t mixed(uint64_t number)
{
    number = (number ^ (number >> 31)) * 0x9e3779b97f4a7c15u;
    return (uint32_t)(number >> 32);
}

/* The value, give or take a part of it. */
static uint64_t vary(uint64_t value, unsigned percent)
{
    uint64_t part = value < UINT64_MAX / 200 ? value * percent / 100 : value / 100 * percent;
    uint64_t range = 2 * part + 1, now = sl_monotonic_ns();
    return value - range / 2 + mixed(now ^ (uintptr_t)&now) % range;
}

/* ---- Starting ----------------------------------------------------------------------------------------- */

static sl__slot *empty_slot(sl__served *served)
{
    for (unsigned i = 0; i < served->slot_count; i++)
        if (served->slots[i]->state == SL__SLOT_empty)
            return served->slots[i];
    sl__slot *slot = sl_calloc(1, sizeof *slot);
    slot->served = served;
    slot->seed = mixed((uint64_t)(served->slot_count + 1) << 20);
    served->slots = sl_realloc(served->slots, (served->slot_count + 1) * sizeof(sl__slot *));
    return served->slots[served->slot_count++] = slot;
}

static void start_slot(sl__served *served, sl__slot *replaces)
{
    sl_manager *manager = served->manager;
    sl__slot *slot = empty_slot(served);
    const char *argv[] = {served->program, served->name, served->module, NULL};
    sl__child_options options = {.argv = argv,
                                 .environment = manager->environment,
                                 .directory = manager->directory,
                                 .name = served->name,
                                 .start_ms = served->offer.start_ms,
                                 .grace_ms = served->offer.grace_ms};
    sl_error *error = NULL;
    SL_IN_ROOT(manager->root); /* what it prints goes to this root's log */
    served->counts.starts++;
    if (sl__child_start(manager->loop, &options, &events, slot, &slot->child, &error) < 0) {
        sl__served_crashed(served, error, /* told= */ true);
        sl_error_unref(error);
        return;
    }
    slot->state = SL__SLOT_starting;
    slot->replaces = replaces;
    slot->worn = false;
    slot->calls = 0;
    slot->capacity = 1;
    slot->started_ms = slot->memory_ms = sl__now_ms();
    slot->retire_calls = served->offer.recycle_calls ? vary(served->offer.recycle_calls, 10) : UINT64_MAX;
    slot->retire_ms =
        served->offer.recycle_ms ? slot->started_ms + vary(served->offer.recycle_ms, 10) : UINT64_MAX;
    slot->upcalls = sl__upcalls_new(manager->root, slot->child);
}

/* ---- Leaving ------------------------------------------------------------------------------------------ */

static void release_queue(sl__slot *slot)
{
    for (sl__errand *errand; (errand = sl__queue_first(&slot->queue));) {
        sl__errand_stop_waiting(errand);
        sl__errand_wait(errand, &slot->served->queue);
    }
    sl__served_touch(slot->served);
}

static void ask_to_go(sl__slot *slot)
{
    slot->state = SL__SLOT_stopping;
    sl__child_stop(slot->child,
                   slot->served->offer.start_ms); /* what it may take to come it may take to go */
}

void sl__slot_leave(sl__slot *slot)
{
    if (slot->state != SL__SLOT_ready && slot->state != SL__SLOT_starting)
        return;
    slot->state = SL__SLOT_leaving;
    release_queue(slot);
    if (!slot->running) {
        ask_to_go(slot);
        return;
    }
    slot->leave_ms = sl__now_ms() + slot->served->offer.drain_ms;
    sl__slots_look_at(slot->served, slot->leave_ms);
}

void sl__slot_end(sl__slot *slot, const char *why)
{
    if (slot->state == SL__SLOT_empty || slot->state == SL__SLOT_ending)
        return;
    slot->state = SL__SLOT_ending;
    release_queue(slot);
    sl__child_end(slot->child, why);
}

void sl__slot_freed(sl__slot *slot)
{
    sl__served *served = slot->served;
    if (!slot->running) {
        slot->idle_ms = served->manager->now_ns / 1000000;
        sl__slots_look_at(served, slot->idle_ms + served->offer.idle_ms);
        if (slot->state == SL__SLOT_leaving)
            ask_to_go(slot);
    }
    if (slot->calls >= slot->retire_calls)
        slot->worn = true;
    sl__served_touch(served);
}

static sl__slot *find_worn(const sl__served *served)
{
    for (unsigned i = 0; i < served->slot_count; i++)
        if (served->slots[i]->state == SL__SLOT_ready && served->slots[i]->worn)
            return served->slots[i];
    return NULL;
}

void sl__slots_mind(sl__served *served)
{
    const sl_manager *manager = served->manager;
    if (manager->closed || served->withdrawn)
        return;
    uint64_t now = sl__now_ms();
    for (;;) {
        unsigned kept = sl__slots_kept(served), starting = sl__slots_in(served, SL__SLOT_starting);
        bool wanted = kept < served->offer.minimum && !manager->draining;
        if (served->waiting && !starting && kept < served->offer.maximum)
            wanted = true; /* one at a time: what it takes over may do */
        sl__slot *worn = wanted || starting || manager->draining ? NULL : find_worn(served);
        if (!wanted && !worn)
            return;
        uint64_t first_ms =
            served->failing_until_ms > served->retry_ms ? served->failing_until_ms : served->retry_ms;
        if (now < first_ms) {
            sl__slots_look_at(served, first_ms);
            return;
        }
        unsigned crashes = served->crashes;
        start_slot(served, worn);
        if (served->crashes > crashes)
            now = 0; /* it could not even be started: not at once again */
    }
}

/* ---- From time to time -------------------------------------------------------------------------------- */

static bool is_idle(const sl__slot *slot)
{
    return slot->state == SL__SLOT_ready && !slot->running && !slot->queue.count;
}

static void look_at_memory(sl__slot *slot, uint64_t now)
{
    uint64_t limit = slot->served->offer.memory;
    if (!limit || now < slot->memory_ms + MEMORY_EVERY_MS)
        return;
    slot->memory_ms = now;
    if (sl__child_memory(slot->child) > limit)
        slot->worn = true;
}

static sl__errand *first_talk(const sl__slot *slot)
{
    sl__errand *errand = slot->first;
    while (errand && (errand->kind != SL__TALKS || errand->state == SL__ERRAND_LEFT))
        errand = errand->next;
    return errand;
}

/* Those long calls that go on for too long after it was replaced. */
static void leave_talks(sl__slot *slot)
{
    for (sl__errand *talk; (talk = first_talk(slot));) {
        const sl__served *served = slot->served;
        sl_error *error = sl__error_new(
            talk->site, SL_ECLOSED,
            "the child %d of %s was replaced, and a call of %s had not ended %" PRIu64 " ms later",
            sl__child_pid(slot->child), served->name, sl__errand_method(talk), served->offer.drain_ms);
        sl_error_hint(error, "what the call does may be begun again, with another child; or let it have more "
                             "time (drain_ms)");
        sl__errand_leave(talk, SL__OUTCOME_closed, error);
    }
}

static uint64_t look_at_leaving(sl__slot *slot, uint64_t now)
{
    if (now < slot->leave_ms)
        return slot->leave_ms;
    leave_talks(slot);
    return UINT64_MAX;
}

/* When the slot must be looked at again. */
static uint64_t look_at_slot(sl__slot *slot, uint64_t now)
{
    const sl_offer *offer = &slot->served->offer;
    if (slot->state == SL__SLOT_leaving)
        return look_at_leaving(slot, now);
    if (slot->state != SL__SLOT_ready)
        return UINT64_MAX;
    bool spare = sl__slots_kept(slot->served) > offer->minimum;
    if (is_idle(slot) && spare && now >= slot->idle_ms + offer->idle_ms) {
        slot->served->counts.idled++;
        sl__slot_leave(slot);
        return UINT64_MAX;
    }
    slot->worn = slot->worn || now >= slot->retire_ms;
    look_at_memory(slot, now);
    uint64_t next = slot->worn ? UINT64_MAX : slot->retire_ms;
    if (is_idle(slot) && spare && slot->idle_ms + offer->idle_ms < next)
        next = slot->idle_ms + offer->idle_ms;
    if (offer->memory && !slot->worn && slot->memory_ms + MEMORY_EVERY_MS < next)
        next = slot->memory_ms + MEMORY_EVERY_MS;
    return next;
}

static void on_look(void *data)
{
    sl__served *served = data;
    sl_manager *manager = served->manager;
    served->look = NULL;
    SL_IN_ROOT(manager->root);
    sl__manager_enter(manager);
    uint64_t next = UINT64_MAX, now = sl__now_ms();
    for (unsigned i = 0; i < served->slot_count; i++) {
        uint64_t slot_next = look_at_slot(served->slots[i], now);
        next = slot_next < next ? slot_next : next;
    }
    sl__slots_look_at(served, next);
    sl__served_touch(served);
    sl__manager_leave(manager);
}

void sl__slots_look_at(sl__served *served, uint64_t ms)
{
    if (ms == UINT64_MAX || served->withdrawn || (served->look && served->look_ms <= ms))
        return;
    if (served->look)
        sl__timer_stop(served->manager->loop, served->look);
    uint64_t now = sl__now_ms();
    served->look_ms = ms;
    served->look = sl__timer_start(served->manager->loop, ms > now ? ms - now : 1, on_look, served);
}

/* ---- Failures ----------------------------------------------------------------------------------------- */

static void give_up_for_now(sl__served *served, uint64_t now, const sl_error *error)
{
    served->failing_until_ms = now + served->offer.crash_ms;
    sl_error_log("%s: its children failed %u times in a row: calls are refused for %" PRIu64 " ms",
                 served->name, served->crashes, served->offer.crash_ms);
    sl__served_fail_all(served, SL__OUTCOME_crashed, sl__error_copy(error), /* waiting_only= */ true);
}

/* None after one that worked until then; else twice as long each time. */
static uint64_t pause_after(unsigned crashes, bool told)
{
    if (crashes == 1 && !told)
        return 0;
    unsigned doublings = crashes - 1 < 7 ? crashes - 1 : 7;
    uint64_t pause = (uint64_t)BACK_OFF_MS << doublings;
    return vary(pause < BACK_OFF_MAX_MS ? pause : BACK_OFF_MAX_MS, 20);
}

void sl__served_crashed(sl__served *served, const sl_error *error, bool told)
{
    uint64_t now = sl__now_ms();
    sl_warning("%s%s%s", error->message, error->hint ? "; " : "", error->hint ? error->hint : "");
    served->counts.crashes++;
    sl_error_unref(served->last_crash);
    served->last_crash = sl__error_copy(error);
    if (now - served->first_crash_ms > served->offer.crash_ms)
        served->crashes = 0;
    if (served->crashes++ == 0)
        served->first_crash_ms = now;
    served->retry_ms = now + pause_after(served->crashes, told);
    if (served->crashes >= served->offer.crashes)
        give_up_for_now(served, now, served->last_crash);
    else if (told && sl__slots_kept(served) == 0)
        sl__served_fail_all(served, SL__OUTCOME_crashed, sl__error_copy(error), /* waiting_only= */ true);
    sl__served_touch(served);
}

/* ---- What its child does ------------------------------------------------------------------------------- */

static void child_begin(sl__child *child)
{
    sl__slot *slot = sl__child_owner(child);
    sl_manager *manager = slot->served->manager;
    sl__manager_enter(manager);
}

static void child_end(sl__child *child)
{
    sl__slot *slot = sl__child_owner(child);
    slot->busy_ns = slot->served->manager->now_ns;
    sl__manager_leave(slot->served->manager);
}

static int check_hello(const sl__served *served, const struct sl__hello *hello, sl_error **ret_error)
{
    const sl_service *service = served->offer.service;
    sl_error *error = NULL;
    if (hello->protocol != SL__WIRE_PROTOCOL)
        error =
            sl_error_new(SL_EPROTO, "%s speaks version %" PRId64 " of the protocol, and this is version %d",
                         served->program, hello->protocol, SL__WIRE_PROTOCOL);
    else if (strcmp(hello->service, served->name) != 0)
        error = sl_error_new(SL_EPROTO, "%s offers %s, not %s", served->module, hello->service, served->name);
    else if (service && hello->digest && hello->version != service->version)
        error = sl_error_new(SL_EPROTO, "%s has version %" PRId64 " of %s, and the caller's is version %u",
                             served->module, hello->version, served->name, service->version);
    else if (service && hello->digest && (uint64_t)hello->digest != served->digest)
        error = sl_error_new(SL_EPROTO, "%s was built with another description of %s than its callers",
                             served->module, served->name);
    if (!error)
        return 0;
    *ret_error = sl_error_hint(error, "rebuild %s against the present headers", served->module);
    return SL_EPROTO;
}

static void forget_methods(sl__slot *slot)
{
    for (unsigned i = 0; i < slot->method_count; i++)
        free(slot->methods[i]);
    free(slot->methods);
    slot->methods = NULL;
    slot->method_count = 0;
}

static int child_hello(sl__child *child, const struct sl__hello *hello, sl_error **ret_error)
{
    sl__slot *slot = sl__child_owner(child);
    sl__served *served = slot->served;
    int code = check_hello(served, hello, ret_error);
    if (code < 0)
        return code;
    uint64_t able = hello->concurrency > 0 ? (uint64_t)hello->concurrency : 1,
             wanted = served->offer.concurrency;
    slot->capacity = (unsigned)(wanted && wanted < able ? wanted : able < UINT32_MAX ? able : UINT32_MAX);
    forget_methods(slot);
    if (!served->by_name)
        return 0;
    slot->methods = sl_calloc(hello->methods.count + 1, sizeof *slot->methods);
    for (size_t i = 0; i < hello->methods.count; i++)
        slot->methods[slot->method_count++] = sl_strdup_heap(hello->methods.items[i].name);
    return 0;
}

/* The keys of the old one are the new one's. */
static void take_over(sl__slot *slot, sl__slot *old)
{
    uint32_t seed = slot->seed;
    slot->seed = old->seed;
    old->seed = seed;
    slot->replaces = NULL;
    slot->served->counts.recycled++;
    sl__slot_leave(old);
}

static void child_ready(sl__child *child)
{
    sl__slot *slot = sl__child_owner(child);
    if (slot->state != SL__SLOT_starting)
        return;
    slot->state = SL__SLOT_ready;
    slot->idle_ms = sl__now_ms();
    if (slot->replaces)
        take_over(slot, slot->replaces);
    sl__slots_look_at(slot->served, slot->idle_ms + 1);
    sl__served_touch(slot->served);
}

static void child_packet(sl__child *child, const sl__packet *packet)
{
    sl__slot *slot = sl__child_owner(child);
    if (packet->call == 0 || packet->call % 2)
        sl__upcalls_packet(slot->upcalls, packet);
    else
        sl__errand_packet(slot, packet);
}

static void empty(sl__slot *slot, sl__wire *wire, const sl_error *error)
{
    sl__served *served = slot->served;
    slot->child = NULL;
    slot->state = SL__SLOT_empty;
    slot->generation++;
    slot->replaces = NULL;
    for (unsigned i = 0; i < served->slot_count; i++)
        if (served->slots[i]->replaces == slot)
            served->slots[i]->replaces = NULL;
    forget_methods(slot);
    release_queue(slot);
    slot->upcalls = sl__upcalls_end(slot->upcalls);
    sl__errands_of_gone(slot, wire, error);
}

static void child_gone(sl__child *child, const sl_error *error)
{
    sl__slot *slot = sl__child_owner(child);
    sl__served *served = slot->served;
    sl_manager *manager = served->manager;
    sl__slot_state state = slot->state;
    sl__manager_enter(manager);
    empty(slot, sl__child_wire(child), error);
    if (state < SL__SLOT_stopping && !served->withdrawn && !manager->closed)
        sl__served_crashed(served, error, sl__child_told(child));
    sl__manager_leave(manager);
}

static const sl__child_events events = {
    .begin = child_begin,
    .end = child_end,
    .hello = child_hello,
    .ready = child_ready,
    .packet = child_packet,
    .gone = child_gone,
};
