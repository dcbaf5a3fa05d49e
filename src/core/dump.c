/* dump.c: the tree of tasks as text. */
#include "core/task.h"

#define DEEPEST 64

static void dump_task(const sl_task *task, unsigned depth, sl_buffer *out);

static void dump_children(const sl_scope *scope, unsigned depth, sl_buffer *out)
{
    for (const sl_task *child = scope->first_child; child; child = child->next_sibling)
        dump_task(child, depth, out);
}

static void dump_state(const sl_task *task, sl_buffer *out)
{
    uint64_t now = uv_now(&task->loop->uv);
    if (task == task->loop->task)
        sl_buffer_puts(out, "running");
    else if (!task->started)
        sl_buffer_puts(out, "not yet begun");
    else if (task->ready)
        sl_buffer_puts(out, "ready");
    else
        sl_buffer_printf(out, "%s at %s (%s:%d) for %.3f s",
                         task->scope->joining ? "waits for its children" : "waits",
                         task->waiting_at->function, task->waiting_at->file, task->waiting_at->line,
                         (double)(now - task->since_ms) / 1000);
    sl_buffer_printf(out, ", age %.3f s", (double)(now - task->started_ms) / 1000);
    if (task->stack)
        sl_buffer_printf(out, ", stack %zu KiB", sl__stack_peak(task->stack) / 1024);
    if (task->scope->cancelled)
        sl_buffer_puts(out, ", cancelled");
}

static void dump_task(const sl_task *task, unsigned depth, sl_buffer *out)
{
    sl_buffer_printf(out, "%*s%s: ", (int)depth * 2, "", task->name);
    dump_state(task, out);
    sl_buffer_putc(out, '\n');
    if (depth == DEEPEST) {
        sl_buffer_printf(out, "%*s…\n", (int)depth * 2 + 2, "");
        return;
    }
    for (const sl_scope *scope = task->scope; scope; scope = scope->parent)
        dump_children(scope, depth + 1, out);
}

void sl_task_dump(sl_loop *loop, sl_buffer *out)
{
    sl_buffer_printf(out, "%zu task%s\n", loop->task_count, loop->task_count == 1 ? "" : "s");
    dump_children(&loop->tasks, 0, out);
}
