/* switch.c: see switch.h. */
#include "core/switch.h"

#include <stdint.h>

#if defined(__x86_64__) && !defined(SL_SWITCH_UCONTEXT)

/* System V ABI for AMD64: rbx, rbp and r12 to r15 belong to the caller. */
__asm__(".text\n"
        ".p2align 4\n"
        ".globl sl__switch\n"
        ".hidden sl__switch\n"
        ".type sl__switch, @function\n"
        "sl__switch:\n"
        "    .cfi_startproc\n"
        "    endbr64\n"
        "    pushq %rbp\n"
        "    pushq %rbx\n"
        "    pushq %r12\n"
        "    pushq %r13\n"
        "    pushq %r14\n"
        "    pushq %r15\n"
        "    movq %rsp, (%rdi)\n"
        "    movq %rsi, %rsp\n"
        "    popq %r15\n"
        "    popq %r14\n"
        "    popq %r13\n"
        "    popq %r12\n"
        "    popq %rbx\n"
        "    popq %rbp\n"
        "    popq %rcx\n"
        "    jmp *%rcx\n"
        "    .cfi_endproc\n"
        ".size sl__switch, .-sl__switch\n"
        ".p2align 4\n"
        ".hidden sl__switch_entry\n"
        ".type sl__switch_entry, @function\n"
        "sl__switch_entry:\n"
        "    .cfi_startproc\n"
        "    .cfi_undefined rip\n" /* the outermost frame: unwinding ends here */
        "    endbr64\n"
        "    movq %r12, %rdi\n"
        "    callq *%r13\n"
        "    ud2\n"
        "    .cfi_endproc\n"
        ".size sl__switch_entry, .-sl__switch_entry\n");

extern char sl__switch_entry[] __attribute__((visibility("hidden")));

void *sl__switch_prepare(void *bottom, void *top, void (*entry)(void *), void *argument)
{
    uint64_t *sp = (uint64_t *)top - 9; /* seven are popped: the entry finds its stack aligned */
    sp[0] = 0;                          /* r15 */
    sp[1] = 0;                          /* r14 */
    sp[2] = (uint64_t)(uintptr_t)entry; /* r13 */
    sp[3] = (uint64_t)(uintptr_t)argument;
    sp[4] = 0; /* rbx */
    sp[5] = 0; /* rbp: ends chains of frame pointers */
    sp[6] = (uint64_t)(uintptr_t)sl__switch_entry;
    sp[7] = sp[8] = 0;
    return sp;
}

void sl__switch_done(void *context)
{
}

#elif defined(__aarch64__) && !defined(SL_SWITCH_UCONTEXT)

/* AAPCS64: x19 to x30 and the low halves of v8 to v15 belong to the caller. The jump lands where a call
 * returns, which is no marked branch target: it need not be, as an object made of assembly without the note
 * for BTI is not checked. */
__asm__(".text\n"
        ".p2align 4\n"
        ".globl sl__switch\n"
        ".hidden sl__switch\n"
        ".type sl__switch, %function\n"
        "sl__switch:\n"
        "    .cfi_startproc\n"
        "    hint #34\n"
        "    sub sp, sp, #160\n"
        "    stp x19, x20, [sp, #0]\n"
        "    stp x21, x22, [sp, #16]\n"
        "    stp x23, x24, [sp, #32]\n"
        "    stp x25, x26, [sp, #48]\n"
        "    stp x27, x28, [sp, #64]\n"
        "    stp x29, x30, [sp, #80]\n"
        "    stp d8, d9, [sp, #96]\n"
        "    stp d10, d11, [sp, #112]\n"
        "    stp d12, d13, [sp, #128]\n"
        "    stp d14, d15, [sp, #144]\n"
        "    mov x9, sp\n"
        "    str x9, [x0]\n"
        "    mov sp, x1\n"
        "    ldp x19, x20, [sp, #0]\n"
        "    ldp x21, x22, [sp, #16]\n"
        "    ldp x23, x24, [sp, #32]\n"
        "    ldp x25, x26, [sp, #48]\n"
        "    ldp x27, x28, [sp, #64]\n"
        "    ldp x29, x30, [sp, #80]\n"
        "    ldp d8, d9, [sp, #96]\n"
        "    ldp d10, d11, [sp, #112]\n"
        "    ldp d12, d13, [sp, #128]\n"
        "    ldp d14, d15, [sp, #144]\n"
        "    add sp, sp, #160\n"
        "    mov x16, x30\n"
        "    br x16\n"
        "    .cfi_endproc\n"
        ".size sl__switch, .-sl__switch\n"
        ".p2align 4\n"
        ".hidden sl__switch_entry\n"
        ".type sl__switch_entry, %function\n"
        "sl__switch_entry:\n"
        "    .cfi_startproc\n"
        "    .cfi_undefined x30\n"
        "    hint #34\n"
        "    mov x0, x19\n"
        "    blr x20\n"
        "    brk #1\n"
        "    .cfi_endproc\n"
        ".size sl__switch_entry, .-sl__switch_entry\n");

extern char sl__switch_entry[] __attribute__((visibility("hidden")));

void *sl__switch_prepare(void *bottom, void *top, void (*entry)(void *), void *argument)
{
    uint64_t *sp = (uint64_t *)top - 20;
    for (int i = 0; i < 20; i++)
        sp[i] = 0;
    sp[0] = (uint64_t)(uintptr_t)argument;          /* x19 */
    sp[1] = (uint64_t)(uintptr_t)entry;             /* x20 */
    sp[11] = (uint64_t)(uintptr_t)sl__switch_entry; /* x30 */
    return sp;
}

void sl__switch_done(void *context)
{
}

#else

#include <silver/base.h>
#include <stdlib.h>
#include <ucontext.h>

typedef struct reference {
    ucontext_t context;
    void (*entry)(void *);
    void *argument;
} reference;

/* makecontext passes ints: a pointer goes in two halves. */
static void enter(unsigned high, unsigned low)
{
    reference *r = (reference *)(uintptr_t)((uint64_t)high << 32 | low);
    r->entry(r->argument);
    abort();
}

void *sl__switch_prepare(void *bottom, void *top, void (*entry)(void *), void *argument)
{
    reference *r = sl_calloc(1, sizeof *r);
    r->entry = entry;
    r->argument = argument;
    getcontext(&r->context);
    r->context.uc_stack.ss_sp = bottom;
    r->context.uc_stack.ss_size = (size_t)((char *)top - (char *)bottom);
    uint64_t address = (uint64_t)(uintptr_t)r;
    makecontext(&r->context, (void (*)(void))(void *)enter, 2, (unsigned)(address >> 32), (unsigned)address);
    return r;
}

void sl__switch(void **save, void *to)
{
    /* The first switch of the loop's own stack makes its context; it is kept for the next. */
    if (!*save)
        *save = sl_calloc(1, sizeof(reference));
    swapcontext(&((reference *)*save)->context, &((reference *)to)->context);
}

void sl__switch_done(void *context)
{
    free(context);
}

#endif
