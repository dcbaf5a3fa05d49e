/* dispatch.c: which child gets which call.
 *
 * A call without a key goes to the child that has the fewest, and of these to the one used last, so that the
 * others may be stopped. A call with a key goes to the child that scores highest for the key (rendezvous
 * hashing: when a child comes or goes, only its own keys move), and waits for that for a while if it is busy.
 *
 * To a child that is busy others are sent ahead, so that it needs not wait for us between
 * two. But what was sent cannot be given to another. So that is done only where a service has one child and
 * no other could take them, and no more than what the child does in half a millisecond, as the slowest call
 * of late went; and not when it has been silent for so long. */
#include "subsystem/manager.h"

static bool may_send_ahead(const sl__slot *slot, const sl__errand *errand)
{
    const sl__served *served = slot->served;
    bool talks = errand->kind == SL__TALKS;
    if (served->offer.maximum > 1 || (slot->capacity > 1 && !talks) || slot->left || slot->worn ||
        errand->priority == SL_IDLE || errand->size > SL__INLINE_MAX)
        return false;
    /* Long calls may take long; but where all are such, as the requests of a web application, they are as
     * short as those of late were on an average: one that has not begun is given to the next child if this
     * one dies. */
    if (slot->talks != (talks ? slot->running : 0))
        return false;
    uint64_t each = talks ? (uint64_t)served->mean_ns : served->call_ns;
    if (!each)
        return false; /* nobody says what they take: whatever comes may be begun at once */
    uint64_t depth = SL__AHEAD_NS * slot->capacity / each;
    if (depth > SL__AHEAD_MAX)
        depth = SL__AHEAD_MAX;
    return slot->running < slot->capacity - 1 + depth &&
           served->manager->now_ns - slot->busy_ns < SL__AHEAD_NS &&
           sl__wire_backlog(sl__child_wire(slot->child)) == 0;
}

static bool has_room(const sl__slot *slot, const sl__errand *errand)
{
    return slot->state == SL__SLOT_ready && (slot->running < slot->capacity || may_send_ahead(slot, errand));
}

static uint32_t score(uint32_t key, uint32_t seed)
{
    uint64_t mixed = (key ^ ((uint64_t)seed << 32 | seed)) * 0xff51afd7ed558ccdu;
    return (uint32_t)((mixed ^ (mixed >> 29)) * 0xc4ceb9fe1a85ec53u >> 32);
}

static sl__slot *slot_of_key(const sl__served *served, uint32_t key)
{
    sl__slot *best = NULL;
    uint32_t best_score = 0;
    for (unsigned i = 0; i < served->slot_count; i++) {
        sl__slot *slot = served->slots[i];
        uint32_t its = slot->state == SL__SLOT_ready ? score(key, slot->seed) : 0;
        if (slot->state == SL__SLOT_ready && (!best || its > best_score)) {
            best = slot;
            best_score = its;
        }
    }
    return best;
}

static sl__slot *any_slot(const sl__served *served, const sl__errand *errand)
{
    sl__slot *best = NULL;
    for (unsigned i = 0; i < served->slot_count; i++) {
        sl__slot *slot = served->slots[i];
        if (!has_room(slot, errand))
            continue;
        if (!best || slot->running < best->running ||
            (slot->running == best->running && slot->used > best->used))
            best = slot;
    }
    return best;
}

/* The slot that takes it now, or NULL; then *ret_queue is where it waits. */
static sl__slot *choose(sl__served *served, const sl__errand *errand, sl__queue **ret_queue)
{
    *ret_queue = &served->queue;
    sl__slot *preferred = errand->key ? slot_of_key(served, errand->key) : NULL;
    if (preferred && has_room(preferred, errand))
        return preferred;
    if (preferred && preferred->queue.count < SL__AFFINITY_WAITS) {
        *ret_queue = &preferred->queue;
        return NULL;
    }
    return any_slot(served, errand);
}

/* Whether `own` has its turn before `other`. */
static bool goes_first(const sl__errand *own, const sl__errand *other)
{
    static const unsigned char order[SL__PRIORITIES] = {[SL_NORMAL] = 1, [SL_URGENT] = 0, [SL_IDLE] = 2};
    if (order[own->priority] != order[other->priority])
        return order[own->priority] < order[other->priority];
    return own->accepted_ns <= other->accepted_ns;
}

sl__slot *sl__served_choose(sl__served *served, sl__errand *errand, sl__queue **ret_queue)
{
    *ret_queue = &served->queue;
    const sl__errand *other = sl__queue_first(&served->queue);
    if (other && goes_first(other, errand))
        return NULL;
    sl__slot *slot = choose(served, errand, ret_queue);
    const sl__errand *own = slot ? sl__queue_first(&slot->queue) : NULL;
    return own && goes_first(own, errand) ? NULL : slot;
}

static void give(sl__errand *errand, sl__slot *slot)
{
    sl_error *error;
    sl__errand_stop_waiting(errand);
    if (sl__errand_send(errand, slot, &error) == 0)
        return;
    sl__errand_wait(errand, &slot->served->queue); /* to be ended it must stand somewhere */
    sl__errand_end(errand, SL__OUTCOME_failed, error);
}

/* What waits for the child of its key. Whether something was sent. */
static bool send_own(sl__served *served)
{
    bool sent = false;
    for (unsigned i = 0; i < served->slot_count; i++) {
        sl__slot *slot = served->slots[i];
        for (sl__errand *own; (own = sl__queue_first(&slot->queue)) && has_room(slot, own); sent = true) {
            const sl__errand *other = sl__queue_first(&served->queue);
            if (other && !goes_first(own, other))
                break;
            give(own, slot);
        }
    }
    return sent;
}

static bool send_common(sl__served *served)
{
    bool sent = false;
    for (sl__errand *errand; (errand = sl__queue_first(&served->queue)); sent = true) {
        sl__queue *queue;
        sl__slot *slot = choose(served, errand, &queue);
        if (slot) {
            const sl__errand *own = sl__queue_first(&slot->queue);
            if (own && goes_first(own, errand))
                break;
            give(errand, slot);
        } else if (queue != &served->queue) {
            sl__errand_stop_waiting(errand);
            sl__errand_wait(errand, queue);
        } else {
            break;
        }
    }
    return sent;
}

bool sl__served_busy(const sl__served *served, size_t size)
{
    if (served->waiting >= served->offer.queue_calls)
        return true;
    /* One that is larger than all that may wait must be possible too. */
    return served->waiting_bytes && served->waiting_bytes + size > served->offer.queue_bytes;
}

/* As many as there is room for: they call only after this. */
static void tell_waiters(sl__served *served)
{
    uint64_t places = served->offer.queue_calls - served->waiting;
    while (served->waiters && places-- > 0 && !sl__served_busy(served, 1)) {
        sl__waiter *waiter = served->waiters;
        sl_deferred *deferred = waiter->deferred;
        sl__waiter_free(waiter);
        sl_fire(deferred, NULL, NULL);
    }
}

void sl__served_dispatch(sl__served *served)
{
    for (bool sent = true; sent;) {
        sent = send_own(served);
        sent = send_common(served) || sent;
    }
    if (served->waiting < served->offer.queue_calls)
        tell_waiters(served);
    sl__slots_mind(served);
}
