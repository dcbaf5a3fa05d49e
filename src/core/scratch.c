/* scratch.c: a block of a task that owns what is made inside, as the task does otherwise. */
#include "core/task.h"

void sl__scratch_enter(sl__scratch *scratch)
{
    sl_task *task = sl_task_current();
    if (!task)
        sl__die(NULL, "SL_SCRATCH works in tasks only: start one with sl_spawn");
    *scratch = (sl__scratch){task, task->arena, task->cleanups, task->estate};
    task->arena = NULL;
    task->estate = NULL;
}

void sl__scratch_leave(sl__scratch *scratch)
{
    sl_task *task = scratch->task;
    if (!task)
        return;
    sl__cleanups_run(task, scratch->cleanups);
    sl__estate_free(task->estate);
    sl__arena_put(task->loop, task->arena);
    task->estate = scratch->estate;
    task->arena = scratch->arena;
}
