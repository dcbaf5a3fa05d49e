/* stack.h: stacks for tasks.
 *
 * Stacks are slots of 256 KiB in arenas of 64, reserved and not yet backed by memory: a parked task costs the
 * pages that it touched, usually one. The lowest page of each is a guard. The slot used last is used next,
 * since it is warm. Tops are staggered so that the stacks of many tasks do not fall into the same cache sets.
 */
#pragma once

#include <silver/base.h>

#define SL__STACK_SIZE (256 * 1024)

typedef struct sl__stacks sl__stacks;
typedef struct sl__stack {
    struct sl__stack *next; /* free slots */
    char *bottom;           /* the guard page begins here */
    char *top;              /* where the first frame goes; 16-byte aligned */
    unsigned valgrind_id;
    bool touched; /* used since it was last trimmed: its pages are still there */
} sl__stack;

/* A slot; NULL where the system gives no more memory. */
sl__stack *sl__stack_get(sl__stacks **stacks);
void sl__stack_put(sl__stacks *stacks, sl__stack *stack);
/* How many free slots still have their pages. */
size_t sl__stacks_idle(const sl__stacks *stacks);
/* Gives the pages of at most `most` free slots back to the system, leaving those of `keep` at least. */
void sl__stacks_trim(sl__stacks *stacks, size_t keep, size_t most);
void sl__stacks_free(sl__stacks *stacks);
/* Whether the address is in the guard page of one of the slots. Safe in a signal handler. */
bool sl__stacks_guards(const sl__stacks *stacks, const void *address);
/* The most that was ever used of the slot, in bytes, to the page. */
size_t sl__stack_peak(const sl__stack *stack);
