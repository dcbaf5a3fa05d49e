/* stack.c: see stack.h. */
#include "core/stack.h"

#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#if defined(SL_HAVE_VALGRIND)
#include <valgrind/valgrind.h>
#else
#define VALGRIND_STACK_REGISTER(start, end) 0
#define VALGRIND_STACK_DEREGISTER(id) ((void)(id))
#endif

#define SLOTS 64
#define MOST_ARENAS 4096 /* 262,144 tasks */
/* Where each guard splits a mapping, two of the 65,530 mappings that Linux allows a process go for each slot:
 * the rest of the process needs some too. */
#define MOST_SPLITTING_ARENAS 384 /* 24,576 tasks */
#define STAGGER 256
#define STAGGERS 7

#if !defined(MADV_GUARD_INSTALL)
#define MADV_GUARD_INSTALL 102 /* Linux 6.13: a guard without a mapping of its own */
#endif

typedef struct arena {
    char *memory;
    sl__stack slots[SLOTS];
} arena;

struct sl__stacks {
    sl__stack *free;
    size_t idle_count; /* free, and touched */
    size_t arena_count, splitting_count;
    arena *arenas[MOST_ARENAS];
};

static size_t page_size(void)
{
    return (size_t)sysconf(_SC_PAGESIZE);
}

static bool install_guard(char *page, bool *splitting)
{
    if (!*splitting && madvise(page, page_size(), MADV_GUARD_INSTALL) == 0)
        return true;
    *splitting = true;
    return mprotect(page, page_size(), PROT_NONE) == 0;
}

static bool add_arena(sl__stacks *stacks)
{
    if (stacks->arena_count == MOST_ARENAS || stacks->splitting_count == MOST_SPLITTING_ARENAS)
        return false;
    size_t size = (size_t)SLOTS * SL__STACK_SIZE;
    char *memory =
        mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED)
        return false;
    madvise(memory, size, MADV_NOHUGEPAGE); /* one touch must not map 2 MiB */
    arena *a = sl_calloc(1, sizeof *a);
    a->memory = memory;
    bool splitting = stacks->splitting_count > 0;
    for (size_t i = 0; i < SLOTS; i++) {
        sl__stack *slot = &a->slots[i];
        slot->bottom = memory + i * SL__STACK_SIZE;
        slot->top = slot->bottom + SL__STACK_SIZE - (i % STAGGERS) * STAGGER;
        if (!install_guard(slot->bottom, &splitting)) {
            munmap(memory, size);
            free(a);
            return false;
        }
    }
    for (size_t i = SLOTS; i-- > 0;) {
        sl__stack *slot = &a->slots[i];
        slot->valgrind_id = VALGRIND_STACK_REGISTER(slot->bottom, slot->bottom + SL__STACK_SIZE);
        slot->next = stacks->free;
        stacks->free = slot;
    }
    stacks->splitting_count += splitting;
    stacks->arenas[stacks->arena_count++] = a;
    return true;
}

sl__stack *sl__stack_get(sl__stacks **stacks)
{
    if (!*stacks)
        *stacks = sl_calloc(1, sizeof **stacks);
    if (!(*stacks)->free && !add_arena(*stacks))
        return NULL;
    sl__stack *slot = (*stacks)->free;
    (*stacks)->free = slot->next;
    (*stacks)->idle_count -= slot->touched;
    slot->touched = true;
    return slot;
}

void sl__stack_put(sl__stacks *stacks, sl__stack *stack)
{
    stack->next = stacks->free;
    stacks->free = stack;
    stacks->idle_count++;
}

size_t sl__stacks_idle(const sl__stacks *stacks)
{
    return stacks ? stacks->idle_count : 0;
}

void sl__stacks_trim(sl__stacks *stacks, size_t keep, size_t most)
{
    size_t page = page_size();
    for (sl__stack *slot = stacks->free; slot && most && stacks->idle_count > keep; slot = slot->next) {
        if (!slot->touched)
            continue;
        madvise(slot->bottom + page, SL__STACK_SIZE - page, MADV_DONTNEED);
        slot->touched = false;
        stacks->idle_count--;
        most--;
    }
}

void sl__stacks_free(sl__stacks *stacks)
{
    if (!stacks)
        return;
    for (size_t i = 0; i < stacks->arena_count; i++) {
        for (size_t k = 0; k < SLOTS; k++)
            VALGRIND_STACK_DEREGISTER(stacks->arenas[i]->slots[k].valgrind_id);
        munmap(stacks->arenas[i]->memory, (size_t)SLOTS * SL__STACK_SIZE);
        free(stacks->arenas[i]);
    }
    free(stacks);
}

bool sl__stacks_guards(const sl__stacks *stacks, const void *address)
{
    size_t page = page_size();
    for (size_t i = 0; stacks && i < stacks->arena_count; i++) {
        size_t offset = (size_t)((const char *)address - stacks->arenas[i]->memory);
        if (offset < (size_t)SLOTS * SL__STACK_SIZE)
            return offset % SL__STACK_SIZE < page;
    }
    return false;
}

size_t sl__stack_peak(const sl__stack *stack)
{
    size_t page = page_size();
    unsigned char resident[SL__STACK_SIZE / 4096];
    const char *from = stack->bottom + page;
    size_t size = SL__STACK_SIZE - page;
    if (mincore((void *)from, size, resident) < 0)
        return 0;
    size_t i = 0;
    while (i < size / page && !(resident[i] & 1))
        i++;
    return size - i * page;
}
