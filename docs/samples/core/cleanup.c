/* cleanup.c: a cancelled task finishes what must be finished, behind a shield. */
#include <silver/silver.h>

#include <stdio.h>

typedef struct draft {
    const char *text;
    bool saved;
} draft;

static void save(draft *d)
{
    if (d->saved)
        return;
    SL_SHIELD(.deadline_ms = 1000)
    {
        sl_await(sl_sleep(1)); /* a write to somewhere slow */
        printf("saved \"%s\"\n", d->text);
    }
}

static void *edit(void *unused)
{
    SL_CLEANUP(save) draft mine = {.text = "Dear friend"};
    sl_await(sl_sleep(1000000)); /* fails when the task is cancelled, and the stack is unwound */
    mine.saved = true;
    return NULL;
}

static void *program(void *unused)
{
    SL_SCOPE(scope)
    {
        sl_go(edit, NULL);
        sl_await(sl_sleep(1));
        sl_scope_cancel(scope);
    }
    puts("the editor is gone");
    return NULL;
}

int main(void)
{
    return sl_run("cleanup", program, NULL, NULL) < 0;
}
