/* The switch between stacks, on another processor than this machine's: compiled for it and run under
 * qemu-user. Needs nothing but the C library, and prints a line for each check. */
#include "core/switch.h"

#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unwind.h>

#define STACK_SIZE 65536

static int failed;
static void *outside, *inside;

static void check(const char *what, int good)
{
    printf("%s %s\n", good ? "ok" : "not ok", what);
    failed += !good;
}

static void *make_stack(void (*entry)(void *), void *argument)
{
    char *bottom = aligned_alloc(16, STACK_SIZE);
    if (!bottom)
        exit(1);
    return sl__switch_prepare(bottom, bottom + STACK_SIZE, entry, argument);
}

/* ---- Arguments, and going back and forth ------------------------------------------------------------- */

static void count_up(void *argument)
{
    for (int *count = argument;; (*count)++)
        sl__switch(&inside, outside);
}

static void goes_back_and_forth(void)
{
    int count = 0;
    inside = make_stack(count_up, &count);
    for (int i = 0; i < 1000; i++)
        sl__switch(&outside, inside);
    check("a stack goes on where it left off", count == 999);
}

/* ---- What a call keeps must be kept by a switch ------------------------------------------------------ */

/* Enough integers and doubles alive across the switch that the compiler has to use all the registers that a
 * call keeps. */
static uint64_t busy(uint64_t seed, void **save, void *const *to)
{
    uint64_t i[12];
    double d[12];
    for (int k = 0; k < 12; k++) {
        i[k] = seed * 0x9e3779b97f4a7c15u + (uint64_t)k;
        d[k] = (double)seed / (k + 3);
    }
    uint64_t i0 = i[0], i1 = i[1], i2 = i[2], i3 = i[3], i4 = i[4], i5 = i[5], i6 = i[6], i7 = i[7],
             i8 = i[8], i9 = i[9];
    double d0 = d[0], d1 = d[1], d2 = d[2], d3 = d[3], d4 = d[4], d5 = d[5], d6 = d[6], d7 = d[7];
    for (int round = 0; round < 10; round++) {
        if (to)
            sl__switch(save, *to);
        i0 += i9, i1 ^= i0, i2 += i1, i3 ^= i2, i4 += i3, i5 ^= i4, i6 += i5, i7 ^= i6, i8 += i7, i9 ^= i8;
        d0 += d7, d1 -= d0, d2 += d1, d3 -= d2, d4 += d3, d5 -= d4, d6 += d5, d7 -= d6;
    }
    return i0 ^ i1 ^ i2 ^ i3 ^ i4 ^ i5 ^ i6 ^ i7 ^ i8 ^ i9 ^
           (uint64_t)(int64_t)(d0 + d1 + d2 + d3 + d4 + d5 + d6 + d7);
}

static void bounce(void *argument)
{
    for (;;)
        sl__switch(argument, outside);
}

static void be_busy(void *argument)
{
    uint64_t *result = argument;
    *result = busy(7, &inside, &outside);
    for (;;)
        sl__switch(&inside, outside);
}

static void keeps_registers(void)
{
    uint64_t five = busy(5, NULL, NULL), seven = busy(7, NULL, NULL);
    void *idle = NULL;
    idle = make_stack(bounce, &idle);
    check("a caller's registers outlive a switch to an idle stack", busy(5, &outside, &idle) == five);
    uint64_t of_task = 0;
    inside = make_stack(be_busy, &of_task);
    uint64_t both = busy(5, &outside, &inside);
    while (!of_task)
        sl__switch(&outside, inside);
    check("a caller's registers outlive a switch to a busy stack", both == five);
    check("a stack's registers outlive switches to its caller", of_task == seven);
}

/* ---- Alignment and exits ----------------------------------------------------------------------------- */

static void look_at_alignment(void *argument)
{
    _Alignas(16) char here[16];
    *(uintptr_t *)argument = (uintptr_t)here % 16 + (uintptr_t)__builtin_frame_address(0) % 16;
    for (;;)
        sl__switch(&inside, outside);
}

static void starts_aligned(void)
{
    uintptr_t off = 99;
    inside = make_stack(look_at_alignment, &off);
    sl__switch(&outside, inside);
    check("a stack starts aligned", off == 0);
}

static void jump_within(void *argument)
{
    jmp_buf place;
    volatile int times = 0;
    setjmp(place);
    if (++times < 5)
        longjmp(place, 1);
    *(int *)argument = times;
    for (;;)
        sl__switch(&inside, outside);
}

static void exits_within_a_stack(void)
{
    int times = 0;
    inside = make_stack(jump_within, &times);
    sl__switch(&outside, inside);
    check("longjmp works inside a stack", times == 5);
}

/* ---- Exits: the stack is unwound, with switches in between ---- */

static struct _Unwind_Exception exception;
static jmp_buf landing;
static uintptr_t landing_frame;
static char released[16];

static void note(const char **name)
{
    strcat(released, *name);
    sl__switch(&inside, outside); /* what cleans up may await */
}

static _Unwind_Reason_Code stop(int version, _Unwind_Action actions, _Unwind_Exception_Class class,
                                struct _Unwind_Exception *unwound, struct _Unwind_Context *context,
                                void *data)
{
    if ((actions & _UA_END_OF_STACK) || _Unwind_GetCFA(context) > landing_frame)
        _longjmp(landing, 1);
    return _URC_NO_REASON;
}

static int __attribute__((noinline)) leave(int depth)
{
    static const char *const names[] = {"d", "c", "b", "a"};
    __attribute__((cleanup(note))) const char *mine = names[depth];
    if (depth > 0)
        return leave(depth - 1) + (mine == names[0]);
    return (int)_Unwind_ForcedUnwind(&exception, stop, NULL);
}

static void __attribute__((noinline)) begin_to_leave(void)
{
    landing_frame = (uintptr_t)__builtin_frame_address(0);
    leave(3);
    __asm__ volatile("" ::: "memory");
}

static void exits(void *argument)
{
    if (_setjmp(landing) == 0)
        begin_to_leave();
    else
        *(int *)argument = 1;
    for (;;)
        sl__switch(&inside, outside);
}

static void unwinds(void)
{
    int landed = 0, switches = 0;
    inside = make_stack(exits, &landed);
    for (; !landed && switches < 100; switches++)
        sl__switch(&outside, inside);
    check("an exit runs each cleanup once, from the inside out", strcmp(released, "dcba") == 0);
    check("a cleanup may switch to another stack in the midst of an exit", switches == 5);
    check("an exit ends where it was to", landed);
}

static _Unwind_Reason_Code count_frame(struct _Unwind_Context *context, void *data)
{
    return ++*(int *)data < 1000 ? _URC_NO_REASON : _URC_END_OF_STACK;
}

static void walks(void *argument)
{
    _Unwind_Backtrace(count_frame, argument);
    for (;;)
        sl__switch(&inside, outside);
}

static void ends(void)
{
    int frames = 0;
    inside = make_stack(walks, &frames);
    sl__switch(&outside, inside);
    check("a walk over the frames ends with the stack", frames > 0 && frames < 10);
}

int main(void)
{
    goes_back_and_forth();
    keeps_registers();
    starts_aligned();
    exits_within_a_stack();
    unwinds();
    ends();
    return failed ? 1 : 0;
}
