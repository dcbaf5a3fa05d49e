/* overflow.c: says whose stack overflowed.
 *
 * The lowest page of each task's stack is a guard. A fault there is told apart from others by its address;
 * the handler needs a stack of its own, since the task's is used up. */
#include "core/task.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define HANDLER_STACK 65536

static struct sigaction previous[2]; /* of SIGSEGV and SIGBUS: set once, before any fault */

static void say(const char *text)
{
    if (write(STDERR_FILENO, text, strlen(text)) < 0) {
        /* nothing is left to do */
    }
}

static void on_fault(int number, siginfo_t *info, void *context)
{
    const sl_loop *loop = sl__loop;
    if (loop && loop->task && sl__stacks_guards(loop->stacks, info->si_addr)) {
        const sl_task *task = loop->task;
        say("silver: task ");
        say(task->name);
        say(" has used up its stack of 256 KiB: put large variables into sl_alloc, or recurse less\n  it was "
            "started in ");
        say(task->site->function);
        say(" (");
        say(task->site->file);
        say(")\n");
    }
    sigaction(number, &previous[number == SIGBUS], NULL);
    raise(number); /* is delivered once this returns */
}

void sl_loop_name_stack_overflows(void)
{
    stack_t stack = {.ss_sp = sl_malloc(HANDLER_STACK), .ss_size = HANDLER_STACK};
    sigaltstack(&stack, NULL); /* kept for as long as the thread */
    struct sigaction action = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_ONSTACK};
    sigemptyset(&action.sa_mask);
    struct sigaction old;
    if (sigaction(SIGSEGV, NULL, &old) == 0 && old.sa_sigaction == on_fault)
        return;
    sigaction(SIGSEGV, &action, &previous[0]);
    sigaction(SIGBUS, &action, &previous[1]);
}
