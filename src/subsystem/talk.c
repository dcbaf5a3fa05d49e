/* talk.c: long calls.
 *
 * A talk is an errand whose child and caller send each other data while it runs. Two tasks may use one talk
 * at the same time, one that takes and one that sends. What comes waits in a list, which the credit keeps
 * short: the other side has sent so many bytes beyond what was taken, and gets credit for what is taken in
 * steps.
 *
 * The errand and the talk know of each other until one of them ends: the errand when the child has answered,
 * has died or was too slow, the talk with its task. */
#include "core/task.h"
#include "subsystem/manager.h"
#include "subsystem/talk.h"
#include "subsystem/value.h"

#define CREDIT_STEP (SL__TALK_WINDOW / 4)
#define CREDIT_UNIT 1024  /* bytes */
#define WAITING_MAX 65536 /* packets: empty ones cost no credit */
#define FILES_MAX 64      /* open files of those */

typedef struct piece {
    struct piece *next;
    sl__packet packet;
    char data[];
} piece;

struct sl__talk {
    sl__errand *errand; /* NULL once it has ended */
    sl_error *error;    /* with which it ended, or NULL */
    sl_deferred *reader, *sender;
    piece *first, **last; /* what came and was not taken */
    piece *current;       /* what sl__talk_next gave */
    size_t waiting, waiting_bytes, waiting_files, taken;
    int64_t credit;
    int pid;
    bool has_sent, over;
};

/* ---- Waiting ------------------------------------------------------------------------------------------- */

static sl_cancelled stop_waiting(sl_deferred *deferred, void *data)
{
    *(sl_deferred **)data = NULL;
    return SL_CANCEL_DONE;
}

static sl_deferred *wait_for(sl_deferred **place)
{
    return *place = sl_deferred_new(stop_waiting, place);
}

static void wake(sl_deferred **place)
{
    sl_deferred *deferred = *place;
    *place = NULL;
    if (deferred)
        sl_fire(deferred, NULL, NULL);
}

/* ---- What the errand tells --------------------------------------------------------------------------- */

static void free_piece(piece *freed)
{
    if (!freed)
        return;
    if (freed->packet.segment)
        sl__segment_release(freed->packet.segment);
    free(freed);
}

/* Keeps a packet: a large one where it lies. */
static void append(sl__talk *talk, const sl__packet *packet)
{
    size_t copied = packet->segment ? 0 : packet->size;
    piece *kept = sl_malloc(sizeof *kept + copied);
    kept->next = NULL;
    kept->packet = *packet;
    if (packet->segment) {
        sl__segment_hold(packet->segment);
    } else {
        if (copied)
            memcpy(kept->data, packet->data, copied);
        kept->packet.data = kept->data;
    }
    *talk->last = kept;
    talk->last = &kept->next;
    talk->waiting++;
    wake(&talk->reader);
}

void sl__talk_placed(sl__talk *talk)
{
    talk->pid = sl__child_pid(talk->errand->slot->child);
    wake(&talk->sender);
}

/* A child that does not keep to its window is not to be trusted with anything. */
static void end_for_breach(sl__errand *errand)
{
    sl__slot *slot = errand->slot;
    sl_error *error =
        sl__error_new(errand->site, SL_EPROTO, "the child %d of %s sent more than it may in a long call",
                      sl__child_pid(slot->child), errand->served->name);
    sl__slot_end(slot, "it sent more than it may in a long call");
    sl__errand_leave(errand, SL__OUTCOME_failed, error);
}

void sl__talk_packet(sl__talk *talk, const sl__packet *packet)
{
    if (packet->kind == SL__CREDIT) {
        sl__packet_close(packet);
        if (talk->credit < SL__TALK_WINDOW)
            talk->credit += (int64_t)packet->word * CREDIT_UNIT;
        wake(&talk->sender);
    } else if ((packet->kind != SL__DATA && packet->kind != SL__END) || talk->waiting >= WAITING_MAX ||
               talk->waiting_bytes > SL__TALK_WINDOW + CREDIT_UNIT ||
               talk->waiting_files + packet->file_count > FILES_MAX) {
        sl__packet_close(packet);
        end_for_breach(talk->errand);
    } else {
        talk->waiting_bytes += packet->size;
        talk->waiting_files += packet->file_count;
        append(talk, packet);
    }
}

static void end_of_talk(sl__talk *talk)
{
    talk->errand = NULL;
    talk->over = true;
    wake(&talk->reader);
    wake(&talk->sender);
}

void sl__talk_result(sl__talk *talk, const sl__packet *packet)
{
    append(talk, packet);
    end_of_talk(talk);
}

void sl__talk_over(sl__talk *talk, sl_error *error)
{
    talk->error = error;
    end_of_talk(talk);
}

bool sl__talk_has_sent(const sl__talk *talk)
{
    return talk->has_sent;
}

/* ---- Beginning and ending ---------------------------------------------------------------------------- */

static void cancel_talk(sl__talk *talk, uint64_t patience_ms)
{
    sl__errand *errand = talk->errand;
    if (!errand)
        return;
    sl_manager *manager = errand->served->manager;
    talk->errand = NULL;
    talk->over = true;
    sl__manager_enter(manager);
    errand->talk = NULL;
    errand->patience_ms = patience_ms;
    sl__errand_leave(errand, SL__OUTCOME_cancelled, NULL);
    sl__manager_leave(manager);
}

static void free_talk(void *data)
{
    sl__talk *talk = data;
    cancel_talk(talk, 0);
    for (piece *at = talk->first, *next; at; at = next) {
        next = at->next;
        sl__packet_close(&at->packet);
        free_piece(at);
    }
    free_piece(talk->current);
    sl_error_unref(talk->error);
    free(talk);
}

static sl__served *find_service(const char *service)
{
    sl_root *root = sl_root_current();
    sl_manager *manager = root ? sl_manager_of(root) : NULL;
    sl__served *served = manager ? sl__manager_find(manager, service) : NULL;
    if (!served)
        sl_fail_error(sl__no_service(SL_HERE, manager, service));
    return served;
}

static void put_pieces(sl_buffer *out, const struct iovec *pieces, unsigned count)
{
    out->size = 0;
    for (unsigned i = 0; i < count; i++)
        sl_buffer_put(out, pieces[i].iov_base, pieces[i].iov_len);
}

/* Until a child has it. */
static void await_place(sl__talk *talk)
{
    while (talk->errand && talk->errand->state != SL__ERRAND_SENT)
        sl_await(wait_for(&talk->sender));
    if (!talk->errand && talk->error)
        sl_fail_error(sl__error_copy(talk->error));
}

sl__talk *sl__talk_begin(const char *service, unsigned method, const sl__packet *head,
                         const struct iovec *pieces, unsigned count, const sl_call_options *options)
{
    static const sl_call_options none;
    sl__served *served = find_service(service);
    sl_manager *manager = served->manager;
    sl__talk *talk = sl_calloc(1, sizeof *talk);
    talk->last = &talk->first;
    talk->credit = SL__TALK_WINDOW;
    sl_defer(free_talk, talk);
    put_pieces(&manager->scratch, pieces, count);
    sl__order order = {.site = SL_HERE,
                       .kind = SL__TALKS,
                       .method = method,
                       .options = options ? options : &none,
                       .codec = head->codec,
                       .data = &manager->scratch,
                       .files = head->files,
                       .file_count = head->file_count};
    sl_error *error;
    sl__manager_enter(manager);
    bool accepted = sl__errand_accept(served, &order, &talk->errand, &error) == 0;
    if (accepted) {
        talk->errand->talk = talk;
        if (talk->errand->state == SL__ERRAND_SENT)
            sl__talk_placed(talk);
    }
    sl__manager_leave(manager);
    if (!accepted)
        sl_fail_error(error);
    await_place(talk);
    return talk;
}

void sl__talk_cancel(sl__talk *talk)
{
    sl__talk_leave(talk, 0);
}

void sl__talk_leave(sl__talk *talk, uint64_t patience_ms)
{
    cancel_talk(talk, patience_ms);
    if (!talk->error)
        talk->error = sl_error_new(SL_ECANCELED, "the call was cancelled");
    wake(&talk->reader);
    wake(&talk->sender);
}

int sl__talk_pid(const sl__talk *talk)
{
    return talk->pid;
}

/* ---- Taking ------------------------------------------------------------------------------------------ */

static void put(sl__talk *talk, sl__packet_kind kind, uint16_t word, const void *data, size_t size)
{
    sl__errand *errand = talk->errand;
    sl__packet head = {.kind = kind, .word = word, .call = errand->number};
    struct iovec payload = {(void *)data, size};
    sl__wire_put(sl__child_wire(errand->slot->child), &head, &payload, size > 0);
}

static void give_credit(sl__talk *talk)
{
    if (talk->taken < CREDIT_UNIT || (talk->taken < CREDIT_STEP && talk->first))
        return;
    if (!talk->errand || talk->errand->state != SL__ERRAND_SENT)
        return;
    size_t units = talk->taken / CREDIT_UNIT;
    put(talk, SL__CREDIT, (uint16_t)(units < UINT16_MAX ? units : UINT16_MAX), NULL, 0);
    talk->taken -= (units < UINT16_MAX ? units : UINT16_MAX) * CREDIT_UNIT;
}

/* What came first. The end of the call is told again and again. */
static bool take(sl__talk *talk, sl__packet *ret_packet)
{
    free_piece(talk->current);
    piece *taken = talk->current = talk->first;
    talk->first = taken->next;
    if (!talk->first)
        talk->last = &talk->first;
    talk->waiting--;
    *ret_packet = taken->packet;
    if (taken->packet.kind == SL__RESULT)
        return false;
    talk->waiting_bytes -= taken->packet.size;
    talk->waiting_files -= taken->packet.file_count;
    talk->taken += taken->packet.size;
    give_credit(talk);
    return true;
}

/* Waits at most so long (UINT64_MAX: for ever); false: nothing came. */
static bool wait_for_data(sl__talk *talk, uint64_t ms)
{
    while (!talk->first && !talk->over) {
        sl_deferred *arrival = wait_for(&talk->reader);
        sl_result result = sl_take(ms == UINT64_MAX ? arrival : sl_timeout(arrival, ms));
        if (result.kind == SL_VALUE)
            continue;
        bool silent = result.error->code == SL_ETIMEDOUT && !sl_task_current()->scope->cancelled;
        if (!silent)
            sl_fail_error(result.error);
        sl_error_unref(result.error);
        return false;
    }
    if (!talk->first && talk->error)
        sl_fail_error(sl__error_copy(talk->error));
    if (!talk->first)
        sl_fail(SL_ECLOSED, "the call has ended: its result was taken already");
    return true;
}

bool sl__talk_next(sl__talk *talk, sl__packet *ret_packet)
{
    wait_for_data(talk, UINT64_MAX);
    return take(talk, ret_packet);
}

bool sl__talk_next_within(sl__talk *talk, uint64_t ms, sl__packet *ret_packet, bool *ret_silent)
{
    *ret_silent = !wait_for_data(talk, ms);
    return *ret_silent || take(talk, ret_packet);
}

/* ---- Sending ----------------------------------------------------------------------------------------- */

/* Whether it may send so much: what the window holds, and more only when nothing of it is used. */
static bool may_send(const sl__talk *talk, size_t size)
{
    return (int64_t)size <= talk->credit || talk->credit > (int64_t)SL__TALK_WINDOW - CREDIT_UNIT;
}

void sl__talk_send(sl__talk *talk, uint16_t word, const void *data, size_t size)
{
    await_place(talk);
    while (talk->errand && !may_send(talk, size)) {
        sl_await(wait_for(&talk->sender));
        await_place(talk);
    }
    if (!talk->errand)
        return; /* it has its result: nobody wants more */
    talk->credit -= (int64_t)size;
    talk->has_sent = true;
    put(talk, SL__DATA, word, data, size);
}

void sl__talk_end(sl__talk *talk)
{
    await_place(talk);
    if (!talk->errand)
        return;
    talk->has_sent = true;
    put(talk, SL__END, 0, NULL, 0);
}
