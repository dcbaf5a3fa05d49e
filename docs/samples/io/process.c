/* process.c: two programs run at the same time, and one that takes too long. */
#include <silver/silver.h>

#include <stdio.h>

static void *program(void *unused)
{
    sl_deferred *both[] = {
        sl_process_run(((char *[]){"sort", NULL}), .input = "pear\napple\n", .input_size = 11),
        sl_process_run(((char *[]){"sh", "-c", "echo trouble >&2; exit 3", NULL})),
    };
    void **results = sl_await(sl_all(both, 2));
    sl_process_result *sorted = results[0], *failed = results[1];
    printf("%s", sorted->output->data);
    printf("status %d, and on its standard error: %s", failed->status, failed->error->data);

    sl_error *error;
    sl_try(sl_process_run(((char *[]){"sleep", "3600", NULL}), .timeout_ms = 50), &error);
    printf("%s\n", error->message);
    return NULL;
}

int main(void)
{
    return sl_run("process", program, NULL, NULL) < 0;
}
