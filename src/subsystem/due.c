/* due.c: when errands must be looked at: a binary heap of times, and one timer for the first of them.
 *
 * Most calls of a service have the same limit, so that a new one is nearly always the last: putting it in
 * costs one comparison, and taking it out again, when it is done long before its time, a few more. The timer
 * is not moved when the first goes; it comes too early then, and is set again. */
#include "subsystem/manager.h"

static void place(sl_manager *manager, uint32_t index, sl__due due)
{
    manager->heap[index] = due;
    due.errand->due_index = index;
}

static void move_up(sl_manager *manager, uint32_t index, sl__due due)
{
    while (index > 0 && manager->heap[(index - 1) / 2].ms > due.ms) {
        place(manager, index, manager->heap[(index - 1) / 2]);
        index = (index - 1) / 2;
    }
    place(manager, index, due);
}

static void move_down(sl_manager *manager, uint32_t index, sl__due due)
{
    for (;;) {
        uint32_t child = 2 * index + 1;
        if (child >= manager->heap_count)
            break;
        if (child + 1 < manager->heap_count && manager->heap[child + 1].ms < manager->heap[child].ms)
            child++;
        if (manager->heap[child].ms >= due.ms)
            break;
        place(manager, index, manager->heap[child]);
        index = child;
    }
    place(manager, index, due);
}

static void remove_at(sl_manager *manager, uint32_t index)
{
    manager->heap[index].errand->due_index = UINT32_MAX;
    sl__due last = manager->heap[--manager->heap_count];
    if (index == manager->heap_count)
        return;
    if (index > 0 && manager->heap[(index - 1) / 2].ms > last.ms)
        move_up(manager, index, last);
    else
        move_down(manager, index, last);
}

static void on_time(void *data);

static void set_timer(sl_manager *manager)
{
    if (!manager->heap_count)
        return;
    uint64_t first = manager->heap[0].ms;
    if (manager->timer) {
        if (manager->timer_ms <= first)
            return;
        sl__timer_stop(manager->loop, manager->timer);
    }
    uint64_t now = sl__now_ms();
    manager->timer_ms = first;
    manager->timer = sl__timer_start(manager->loop, first > now ? first - now : 0, on_time, manager);
}

static void on_time(void *data)
{
    sl_manager *manager = data;
    manager->timer = NULL;
    sl__manager_enter(manager);
    uint64_t now = sl__now_ms();
    while (manager->heap_count && manager->heap[0].ms <= now) {
        sl__errand *errand = manager->heap[0].errand;
        remove_at(manager, 0);
        sl__errand_due(errand, now);
    }
    if (!manager->timer)
        set_timer(manager);
    sl__manager_leave(manager);
}

void sl__due_set(sl_manager *manager, sl__errand *errand, uint64_t ms)
{
    if (errand->due_index != UINT32_MAX)
        remove_at(manager, errand->due_index);
    if (ms == UINT64_MAX)
        return;
    if (manager->heap_count == manager->heap_capacity) {
        manager->heap_capacity = manager->heap_capacity ? 2 * manager->heap_capacity : 64;
        manager->heap = sl_realloc(manager->heap, manager->heap_capacity * sizeof *manager->heap);
    }
    move_up(manager, manager->heap_count++, (sl__due){ms, errand});
    if (errand->due_index == 0)
        set_timer(manager);
}

void sl__due_done(sl_manager *manager)
{
    if (manager->timer)
        sl__timer_stop(manager->loop, manager->timer);
    manager->timer = NULL;
    free(manager->heap);
    manager->heap = NULL;
    manager->heap_count = manager->heap_capacity = 0;
}
