/* scopes.c: tasks started together end together. */
#include <silver/silver.h>

#include <stdio.h>

static void *deliver(void *data)
{
    sl_await(sl_sleep(1));
    printf("delivered %s\n", (char *)data);
    return NULL;
}

static void *wait_for_ever(void *data)
{
    sl_error *error;
    sl_try(sl_sleep(1000000), &error);
    printf("%s: %s\n", (char *)data, error->message);
    return NULL;
}

static void *refuse(void *data)
{
    sl_fail(SL_EBUSY, "%s is busy", (char *)data);
}

static void *send_all(void *unused)
{
    SL_SCOPE(scope)
    {
        sl_go(deliver, "the letter");
        sl_go(deliver, "the parcel");
    } /* waits for both */
    puts("both are there");

    SL_SCOPE(scope)
    {
        sl_go(wait_for_ever, "the courier");
        sl_go(refuse, "the post office");
    } /* the failure of one cancels the other, and is raised here */
    return NULL;
}

static void *too_slow(void *unused)
{
    SL_SCOPE(scope, .deadline_ms = 10)
    {
        sl_await(sl_sleep(1000000));
    }
    return NULL;
}

static void *program(void *unused)
{
    sl_error *error;
    sl_try(sl_spawn(send_all, NULL), &error);
    puts(error->message);
    sl_try(sl_spawn(too_slow, NULL), &error);
    puts(error->message);
    return NULL;
}

int main(void)
{
    return sl_run("scopes", program, NULL, NULL) < 0;
}
