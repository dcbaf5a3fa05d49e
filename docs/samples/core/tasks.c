/* tasks.c: awaiting, trying, failing, owning. */
#include <silver/silver.h>

#include <stdio.h>

static void say_closed(void *name)
{
    printf("%s is closed\n", (char *)name);
}

static void *measure(void *data)
{
    const char *name = data;
    sl_defer(say_closed, sl_printf("the probe in %s", name)); /* runs however the task ends */
    sl_await(sl_sleep(1));
    if (name[0] == 'c')
        sl_fail(SL_EIO, "the probe in the %s is broken", name); /* the task ends here */
    return sl_printf("%s: 21 degrees", name); /* in this task's memory, which goes to whoever awaits it */
}

static void *program(void *unused)
{
    const char *text = sl_await(sl_spawn(measure, "kitchen")); /* a failure would end this task too */
    puts(text);

    sl_error *error;
    sl_try(sl_spawn(measure, "cellar"), &error); /* this one is looked at */
    printf("failed with %s: %s\n", sl_code_name(error->code), error->message);
    return NULL;
}

int main(void)
{
    return sl_run("tasks", program, NULL, NULL) < 0;
}
