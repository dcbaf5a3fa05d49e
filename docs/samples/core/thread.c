/* thread.c: a deferred that is fired from another thread, without a trip through the loop. */
#include <silver/silver.h>

#include <pthread.h>
#include <stdio.h>

static void *worker(void *deferred)
{
    sl_fire_from_thread(deferred, "hello from a thread", NULL); /* the deferred fires on its own loop */
    return NULL;
}

static void *program(void *unused)
{
    pthread_t thread;
    sl_deferred *greeting = sl_deferred_new(NULL, NULL);
    pthread_create(&thread, NULL, worker, greeting);
    puts(sl_await(greeting));
    pthread_join(thread, NULL);
    return NULL;
}

int main(void)
{
    return sl_run("thread", program, NULL, NULL) < 0;
}
