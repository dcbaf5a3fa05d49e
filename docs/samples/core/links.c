/* links.c: deferreds without a task. */
#include <silver/silver.h>

#include <stdio.h>

static sl_result twice(sl_result result, void *data)
{
    int *number = result.value;
    *number *= 2;
    return result; /* goes to the next link */
}

static sl_result instead(sl_result result, void *data)
{
    printf("%s, so we take 1\n", result.error->message);
    sl_result_done(&result); /* the result is the link's own */
    return sl_ok(data);      /* from the error side back to the success side */
}

static void *program(void *unused)
{
    int number = 21, one = 1;
    sl_deferred *good = sl_succeeded(&number, NULL);
    sl_then(good, twice, NULL, NULL, NULL); /* NULL: that side passes through */
    printf("%d\n", *(int *)sl_await(good));

    sl_deferred *bad = sl_failing(sl_error_new(SL_ENOENT, "there is no number"));
    sl_then(bad, twice, NULL, NULL, NULL);
    sl_then(bad, NULL, instead, &one, NULL);
    sl_then(bad, twice, NULL, NULL, NULL);
    printf("%d\n", *(int *)sl_await(bad));

    sl_deferred *both[] = {sl_sleep(1), sl_timeout(sl_sleep(1000000), 5)};
    sl_result *results = sl_await(sl_settled(both, 2));
    printf("the first %s, the second: %s\n", results[0].kind == SL_VALUE ? "is done" : "failed",
           results[1].error->message);
    return NULL;
}

int main(void)
{
    return sl_run("links", program, NULL, NULL) < 0;
}
