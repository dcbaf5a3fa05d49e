/* switch.h: from one stack to another.
 *
 * A stack that does not run is a pointer: what the processor's calling convention wants kept is pushed on the
 * stack itself. The floating-point control words are not switched: all tasks share them. The assembly for
 * x86-64 and aarch64 leaves by an indirect jump and not by a return, which would mislead the return predictor
 * each time (2.3 ns against 11). With -DSL_SWITCH_UCONTEXT, or on other processors, ucontext serves: slower,
 * and the reference. */
#pragma once

#include <stddef.h>

/* Saves where the caller is in *save and goes on at `to`. */
void sl__switch(void **save, void *to);
/* Prepares a stack such that the first switch to what it returns calls entry(argument), which must never
 * return. `top` is 16-byte aligned. `bottom` is the lowest usable address. */
void *sl__switch_prepare(void *bottom, void *top, void (*entry)(void *), void *argument);
/* Frees what sl__switch_prepare and the switches kept aside (ucontext only). */
void sl__switch_done(void *context);
