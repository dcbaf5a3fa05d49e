/* context.c: what is true of the work follows it, into tasks and links. */
#include <silver/silver.h>

#include <stdio.h>

static SL_KEY(user_key, SL_CAPTURED);

static void greet(void)
{
    const char *user = sl_get(&user_key);
    printf("hello, %s\n", user ? user : "whoever you are");
}

static void *greet_later(void *unused)
{
    sl_await(sl_sleep(1));
    greet();
    return NULL;
}

static void *program(void *unused)
{
    sl_deferred *later;
    {
        SL_WITH(&user_key, "Ada"); /* until the block is left */
        greet();
        later = sl_spawn(greet_later, NULL); /* takes what holds here along */
    }
    greet();
    sl_await(later);
    return NULL;
}

int main(void)
{
    return sl_run("context", program, NULL, NULL) < 0;
}
