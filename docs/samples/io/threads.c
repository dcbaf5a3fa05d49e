/* threads.c: work that blocks or computes for long goes into a thread. */
#include <silver/silver.h>

#include <stdio.h>
#include <stdlib.h>

/* In a thread of the pool: plain C, nothing of the loop. */
static sl_result count_primes(void *data)
{
    const unsigned *limit = data;
    unsigned *count = sl_calloc(1, sizeof *count);
    for (unsigned n = 2; n < *limit; n++) {
        unsigned divisor = 2;
        while (divisor * divisor <= n && n % divisor != 0)
            divisor++;
        *count += divisor * divisor > n;
    }
    return sl_owned(count, free);
}

static void *program(void *unused)
{
    unsigned *limit = sl_malloc(sizeof *limit); /* not of this task: it might end before the thread does */
    *limit = 1000;
    unsigned *count = sl_await(sl_in_thread(count_primes, limit, free));
    printf("%u primes below 1000\n", *count);
    return NULL;
}

int main(void)
{
    return sl_run("threads", program, NULL, NULL) < 0;
}
