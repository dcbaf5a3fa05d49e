/* wrap.c: how any callback API becomes a deferred. The made-up API stands first, as its header would declare
 * it. */
#include <silver/silver.h>

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

/* ---- A library that knows nothing of us: an oracle that thinks in a thread of its own ---------------- */

typedef struct oracle_question oracle_question;
typedef void oracle_answered(int answer,
                             void *data); /* called once, in the oracle's thread; -1: it was told to stop */

struct oracle_question {
    pthread_t thread;
    int number;
    unsigned patience_ms;
    oracle_answered *answered;
    void *data;
    pthread_mutex_t lock;
    pthread_cond_t stop_wanted;
    bool stop;
};

static void *oracle_think(void *memory)
{
    oracle_question *question = memory;
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += question->patience_ms / 1000;
    until.tv_nsec += question->patience_ms % 1000 * 1000000L;
    if (until.tv_nsec >= 1000000000L) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000L;
    }
    pthread_mutex_lock(&question->lock);
    while (!question->stop && pthread_cond_timedwait(&question->stop_wanted, &question->lock, &until) == 0)
        continue;
    int answer = question->stop ? -1 : question->number * 2;
    pthread_mutex_unlock(&question->lock);
    question->answered(answer, question->data);
    return NULL;
}

static oracle_question *oracle_ask(int number, unsigned patience_ms, oracle_answered *answered, void *data)
{
    oracle_question *question = calloc(1, sizeof *question);
    question->number = number;
    question->patience_ms = patience_ms;
    question->answered = answered;
    question->data = data;
    pthread_mutex_init(&question->lock, NULL);
    pthread_cond_init(&question->stop_wanted, NULL);
    pthread_create(&question->thread, NULL, oracle_think, question);
    return question;
}

static void oracle_stop(oracle_question *question) /* it answers soon, with -1 */
{
    pthread_mutex_lock(&question->lock);
    question->stop = true;
    pthread_cond_signal(&question->stop_wanted);
    pthread_mutex_unlock(&question->lock);
}

static void oracle_forget(oracle_question *question) /* after it has answered */
{
    pthread_join(question->thread, NULL);
    pthread_mutex_destroy(&question->lock);
    pthread_cond_destroy(&question->stop_wanted);
    free(question);
}

/* ---- The wrapper ------------------------------------------------------------------------------------- */

/* One for each question; it lives until the oracle's word has reached the loop, whatever becomes of the
 * deferred. */
typedef struct asking {
    sl_deferred *deferred; /* NULL once cancelled */
    sl_loop *loop;
    oracle_question *question;
    int answer;
} asking;

/* On the loop, so it may touch everything there. */
static void told(void *data)
{
    asking *a = data;
    if (a->deferred) {
        int *answer = sl_malloc(sizeof *answer);
        *answer = a->answer;
        oracle_forget(a->question);
        sl_fire(a->deferred, answer, free); /* the value goes with a function that frees it */
    }
    free(a);
}

/* In the oracle's thread, so it may do nothing but pass the word on. */
static void on_answered(int answer, void *data)
{
    asking *a = data;
    a->answer = answer;
    sl_loop_post(a->loop, told, a);
}

/* The canceller. After this call nobody fires the deferred: DONE. It waits for the thread, which answers at
 * once when it is told to stop, as no thread may outlive the loop that it posts to; `told` still comes, and
 * frees `a`. */
static sl_cancelled stop_asking(sl_deferred *deferred, void *data)
{
    asking *a = data;
    a->deferred = NULL;
    oracle_stop(a->question);
    oracle_forget(a->question);
    return SL_CANCEL_DONE;
}

/* int *: twice the number. Cancelling it stops the oracle. */
static sl_deferred *ask(int number, unsigned patience_ms)
{
    asking *a = sl_malloc(sizeof *a);
    *a = (asking){.loop = sl_loop_current()};
    a->deferred = sl_deferred_new(stop_asking, a);
    sl_deferred *deferred = a->deferred; /* `a` may be gone as soon as the loop turns: keep what we return */
    a->question = oracle_ask(number, patience_ms, on_answered, a);
    return deferred;
}

/* ---- Its use ----------------------------------------------------------------------------------------- */

static void *program(void *unused)
{
    int *answer = sl_await(ask(21, 1));
    printf("the answer is %d\n", *answer);

    sl_error *error;
    sl_try(sl_timeout(ask(22, 3600 * 1000), 10), &error);
    printf("the second question: %s\n", sl_code_message(error->code));
    return NULL;
}

int main(void)
{
    return sl_run("wrap", program, NULL, NULL) < 0;
}
