/* overflow.c: says in which task the process is being ended, and whose stack overflowed.
 *
 * The lowest page of each task's stack is a guard. A fault there is told apart from others by its address;
 * the handler needs a stack of its own, since the task's is used up. It may do next to nothing: it writes
 * strings that are there already. */
#include "core/task.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define HANDLER_STACK 65536

static const struct {
    int number;
    const char *name;
} faults[] = {
    {SIGSEGV, "SIGSEGV"}, {SIGBUS, "SIGBUS"}, {SIGABRT, "SIGABRT"}, {SIGFPE, "SIGFPE"}, {SIGILL, "SIGILL"}};

static struct sigaction previous[sl_array_size(faults)]; /* set once, before any fault */

static void say(const char *text)
{
    if (write(STDERR_FILENO, text, strlen(text)) < 0) {
        /* nothing is left to do */
    }
}

/* What a peer sent: it must not look like a line of its own. */
static void say_printable(const char *text)
{
    char chunk[128];
    while (*text) {
        size_t size = 0;
        for (; *text && size + 1 < sizeof(chunk); text++)
            chunk[size++] = (unsigned char)*text < ' ' || *text == 0x7f ? '?' : *text;
        chunk[size] = '\0';
        say(chunk);
    }
}

static void say_origin(const sl_task *task)
{
    if (task->verb) {
        say(": ");
        say_printable(task->verb);
        say(" ");
        say_printable(task->object);
    } else {
        say(", started in ");
        say(task->site->function);
        say(" (");
        say(task->site->file);
        say(")");
    }
}

static void on_fault(int number, siginfo_t *info, void *context)
{
    const sl_loop *loop = sl__loop;
    size_t which = 0;
    while (faults[which].number != number)
        which++;
    if (loop) {
        const sl_task *task = loop->task;
        bool overflow =
            task && (number == SIGSEGV || number == SIGBUS) && sl__stacks_guards(loop->stacks, info->si_addr);
        say("silver: ");
        if (!overflow) {
            say(faults[which].name);
            say(task ? " in " : " outside of all tasks");
        }
        if (task) {
            say("task ");
            say(task->name);
            if (overflow)
                say(" has used up its stack of 256 KiB (put large variables into sl_alloc, or recurse less)");
            say_origin(task);
        }
        say("\n");
    }
    sigaction(number, &previous[which], NULL);
    raise(number); /* is delivered once this returns */
}

void sl_loop_name_crashes(void)
{
    static __thread void *room; /* kept for as long as the thread, and for whoever looks for leaks */
    if (!room)
        room = sl_malloc(HANDLER_STACK);
    stack_t stack = {.ss_sp = room, .ss_size = HANDLER_STACK};
    sigaltstack(&stack, NULL);
    struct sigaction action = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_ONSTACK};
    sigemptyset(&action.sa_mask);
    struct sigaction old;
    if (sigaction(SIGSEGV, NULL, &old) == 0 && old.sa_sigaction == on_fault)
        return;
    for (size_t i = 0; i < sl_array_size(faults); i++)
        sigaction(faults[i].number, &action, &previous[i]);
}
